"""What the routers of a model see and decide while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from workbench.models.gemma4.router import Gemma4Router


@contextmanager
def noted_routings(model: nn.Module) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Notes every routing within the context; a replayed CUDA graph hides its own.

    Yields:
        Logits [T, E] and ids [T, K], router by router as they run.
    """
    noted: list[tuple[Tensor, Tensor]] = []

    def note(router: Gemma4Router, inputs: tuple[Tensor], outputs: tuple[Tensor, Tensor]) -> None:
        noted.append((router.logits(*inputs), outputs[1]))

    routers = [each for each in model.modules() if isinstance(each, Gemma4Router)]
    handles = [router.register_forward_hook(note) for router in routers]
    try:
        yield noted
    finally:
        for handle in handles:
            handle.remove()
