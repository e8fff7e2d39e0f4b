"""CUDA graphs: a function of tensors recorded once, replayed without the host's work for each kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_WARM_UP_CALLS = 3


class CapturedCall:
    """A function as a CUDA graph.

    The function must have static shapes and no host synchronisation, and a second call with the same arguments must
    leave everything as the first did: it runs a few times before it is recorded. Tensors that it holds beside its
    arguments are read and written at their present addresses.

    Args:
        function: what to capture.
        examples: arguments that fix shapes and dtypes.
    """

    def __init__(self, function: Callable[..., Any], *examples: Tensor) -> None:
        self._inputs = tuple(example.clone() for example in examples)
        with torch.cuda.device(examples[0].device):
            self._warm_up(function)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._outputs = function(*self._inputs)

    def _warm_up(self, function: Callable[..., Any]) -> None:
        """Loads kernels and libraries, on a stream of its own as capturing needs it."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP_CALLS):
                function(*self._inputs)
        torch.cuda.current_stream().wait_stream(stream)

    def __call__(self, *inputs: Tensor) -> Any:
        """Replays the function for other arguments; what it returns is overwritten by the next replay."""
        for static, given in zip(self._inputs, inputs, strict=True):
            static.copy_(given)
        self._graph.replay()
        return self._outputs


def captured(function: Callable[..., Any], *examples: Tensor, enabled: bool) -> Callable[..., Any]:
    """The function itself, or captured where `enabled`.

    Raises:
        ValueError: it is to be captured without a CUDA GPU.
    """
    if not enabled:
        return function
    if not examples[0].is_cuda:
        raise ValueError(f"graph: must be false on {examples[0].device.type}, CUDA graphs need a CUDA GPU")
    return CapturedCall(function, *examples)
