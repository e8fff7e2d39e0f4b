"""Runs a call when its operator does: picks the backend and its config, and launches."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from moe_kernels.experts.backend import (
    BACKEND_TUNABLES,
    capability_of,
    config_for,
    explain_call,
    launches_of,
)
from moe_kernels.experts.call import KERNEL_DTYPES, QuantisedCall, RoutedCall
from moe_kernels.experts.reference import reference_experts
from moe_kernels.tunable import Config, Problem


def encode_config(config: Config, call: RoutedCall, backend: str) -> list[int]:
    """Checks and completes a config, as integers for the operator.

    Raises:
        ValueError: names what is wrong and what is allowed.
    """
    if not isinstance(config, Mapping):
        raise ValueError(f"config: must map names to values, got {config!r}")
    if backend == "torch":
        raise ValueError("config: the backend torch has no parameters, only grouped and decode have")
    problem = _problem_of_config(call)
    kernel = BACKEND_TUNABLES[_backend_of_config(backend)].of(problem)
    complete = kernel.complete(config)
    capability = capability_of(call.hidden.device)
    reason = kernel.why_rejected(problem, complete)
    if reason is None and capability is not None:
        reason = kernel.reject_on(problem, complete, capability)
    if reason:
        raise ValueError(f"config: {reason}")
    return kernel.encode(complete)


def _problem_of_config(call: RoutedCall) -> Problem:
    """A config is right or wrong in itself, on the torch path too."""
    problem = {**call.problem, "tokens": call.num_tokens}
    return problem if isinstance(call, QuantisedCall) else {**problem, "dtype": KERNEL_DTYPES[0]}


def _backend_of_config(backend: str) -> str:
    return "grouped" if backend == "auto" else backend


def run_call(call: RoutedCall, backend: str, config: list[int] | None) -> Tensor:
    """Runs a call of plain tensors.

    Args:
        call: checked.
        backend: as for `fused_experts`.
        config: as `encode_config` gives it; None takes the tuned one, else the default.

    Returns:
        [T, H] in the dtype of `hidden`, contiguous.
    """
    chosen = explain_call(call, backend).backend
    if chosen == "torch" or call.is_empty:
        return reference_experts(call)
    if config is None:
        complete = config_for(chosen, call.problem, call.num_tokens, call.hidden.device)
    else:
        chosen = _backend_of_config(backend)
        complete = BACKEND_TUNABLES[chosen].of(call.problem).decode(config)
    out = torch.empty_like(call.hidden, memory_format=torch.contiguous_format)
    with torch.cuda.device_of(call.hidden):  # type: ignore[no-untyped-call]
        for launch in launches_of(chosen, call, out, complete):
            launch.run()
    return out
