"""Compiles a candidate for a GPU that need not be there, and reads what its machine code needs.

Triton's own `JITFunction.warmup` runs under a stand-in driver that reports the target, so arguments are specialised
(pointer alignment, divisibility) as in a real launch, and pipelining and tensor-core code come out as on that GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moe_kernels.tunable import KernelLaunch, Tensors, TunableKernel
from workbench.base.ranges import marked
from workbench.executors import WorkFailure
from workbench.sweep.kernels import load_kernel
from workbench.sweep.stages.ptx import Given, profile
from workbench.sweep.stages.screen import THREADS_PER_WARP
from workbench.sweep.stages.target import registers_and_stack, set_target
from workbench.trials.trial import Candidate, Resources, Status, digest


@dataclass(frozen=True, slots=True)
class Compiled:
    """What became of compiling one candidate.

    Attributes:
        status: ok, compile_error, out_of_resources, timeout or crashed.
        resources: one entry a launch, in order; empty unless ok.
        reason: one line, where it is not ok.
    """

    status: Status
    resources: tuple[Resources, ...] = ()
    reason: str | None = None


def meta_launches(kernel: TunableKernel, candidate: Candidate) -> Sequence[KernelLaunch]:
    """The launches of a candidate over tensors without data."""
    return _launches_over(_meta_inputs(kernel, candidate), kernel, candidate)


def _meta_inputs(kernel: TunableKernel, candidate: Candidate) -> Tensors:
    import torch

    return kernel.make_inputs(candidate.problem, torch.device("meta"))


def _launches_over(inputs: Tensors, kernel: TunableKernel, candidate: Candidate) -> Sequence[KernelLaunch]:
    import torch

    outputs = kernel.make_outputs(candidate.problem, torch.device("meta"))
    return kernel.launches(inputs, outputs, candidate.problem, candidate.config)


def code_identity(launches: Sequence[KernelLaunch]) -> str:
    """Names the machine code of a candidate: equal for candidates that compile to the same code."""
    return digest([_launch_identity(launch) for launch in launches])


def loop_bounds(launch: KernelLaunch) -> list[int | float | None]:
    """What decides how often a launch's loops run: its integer arguments, in order, and what it says of the data."""
    integers = (value for value in _leaves(launch.arguments.values()) if isinstance(value, int))
    return [*integers, launch.data_trips]


def _leaves(values: Iterable[Any]) -> Iterator[Any]:
    """Arguments with tuples taken apart."""
    for value in values:
        if isinstance(value, tuple):
            yield from _leaves(value)
        else:
            yield value


def _launch_identity(launch: KernelLaunch) -> list[Any]:
    typed_only = {param.name for param in launch.kernel.params if param.do_not_specialize}
    arguments = {
        name: _specialisation(value, by_value=name not in typed_only)
        for name, value in launch.arguments.items()
    }
    return [
        f"{launch.kernel.__module__}.{launch.kernel.__name__}",
        arguments,
        *({k: str(v) for k, v in d.items()} for d in (launch.constexprs, launch.options)),
    ]


def _specialisation(value: Any, *, by_value: bool = True) -> str:
    """What Triton specialises on: a tensor's dtype and alignment, an integer's value 1, factor 16 and width."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_specialisation, value))})"
    if isinstance(value, int):
        special = (value == 1, value % 16 == 0) if by_value else ()
        return f"{type(value).__name__} {-(2**31) <= value < 2**31} {value < 2**63} {special}"
    if hasattr(value, "data_ptr"):
        return f"pointer {value.dtype} {by_value and value.data_ptr() % 16 == 0}"
    return type(value).__name__


def compile_candidate(reference: str, candidate: Candidate, compute_capability: int) -> tuple[Resources, ...]:
    """Compiles every launch of a candidate; runs in a worker process.

    Args:
        reference: names the kernel, see `load_kernel`.
        candidate: the problem and the complete config.
        compute_capability: of the target GPU, major * 10 + minor.
    """
    set_target(compute_capability)
    kernel = load_kernel(reference)
    inputs = _meta_inputs(kernel, candidate)
    streamed = {_storage(tensor) for name, tensor in inputs.items() if name not in kernel.produced}
    with marked(f"compile {reference}"):
        return tuple(_resources(launch, streamed) for launch in _launches_over(inputs, kernel, candidate))


def warm_up(reference: str, compute_capability: int) -> None:
    """Imports all that compiling needs; a worker's first task, so that imports are not counted as compiling."""
    import torch

    load_kernel(reference)
    set_target(compute_capability)
    # The first arithmetic on the meta device imports a good second's worth of torch.
    torch.rand(1, device="meta").add(1)


def compiled(outcome: tuple[Resources, ...] | WorkFailure) -> Compiled:
    """Turns a worker's answer, or its failure, into a row."""
    if not isinstance(outcome, WorkFailure):
        return Compiled(Status.OK, outcome)
    if outcome.kind != "error":
        return Compiled(Status(outcome.kind), reason=f"compiling: {outcome.reason}")
    too_much = "OutOfResources" in outcome.reason or "too much shared data" in outcome.reason
    status = Status.OUT_OF_RESOURCES if too_much else Status.COMPILE_ERROR
    return Compiled(status, reason=outcome.reason)


def _resources(launch: KernelLaunch, streamed: set[int]) -> Resources:
    """What a launch needs; tensors over the storages in `streamed` are read from device memory."""
    kernel = launch.compile()
    registers, stack = registers_and_stack(kernel.asm["cubin"])
    num_warps = int(kernel.metadata.num_warps)
    parameters = list(_parameters(launch.arguments, kernel.src.signature))
    ptx = profile(
        kernel.asm["ptx"],
        Given(
            integers={at: value for at, value in enumerate(parameters) if isinstance(value, int)},
            streamed=_large(parameters, streamed),
            threads=num_warps * THREADS_PER_WARP,
            data_trips=launch.data_trips,
        ),
    )
    return Resources(
        registers=registers,
        spill_bytes=stack,
        shared_bytes=int(kernel.metadata.shared),
        num_warps=num_warps,
        instructions=ptx.instructions,
        critical_cycles=ptx.critical_cycles,
        streamed_bytes=ptx.streamed_bytes,
        in_flight_bytes=ptx.in_flight_bytes,
        has_loops=ptx.has_loops,
    )


def _parameters(arguments: Mapping[str, Any], signature: Mapping[str, Any]) -> Iterator[Any]:
    """The arguments that are parameters of the machine code, in its order; constants are none."""
    for name, kind in signature.items():
        yield from _taken(arguments.get(name), kind)


def _taken(value: Any, kind: Any) -> Iterator[Any]:
    if isinstance(kind, tuple):
        for pair in zip(value, kind, strict=True):
            yield from _taken(*pair)
    elif kind != "constexpr":
        yield value


def _large(parameters: Sequence[Any], streamed: set[int]) -> frozenset[int]:
    """The numbers of the streamed tensors, those left out that have less than half the bytes of the largest.

    Small ones, such as scales, are loaded by several threads at once, so that what is loaded says nothing of memory.
    """
    sizes = {
        at: value.nbytes
        for at, value in enumerate(parameters)
        if hasattr(value, "untyped_storage") and _storage(value) in streamed
    }
    return frozenset(at for at, size in sizes.items() if 2 * size >= max(sizes.values()))


def _storage(tensor: Any) -> int:
    """Names a tensor's memory, the same for all views of it."""
    return int(tensor.untyped_storage()._cdata)
