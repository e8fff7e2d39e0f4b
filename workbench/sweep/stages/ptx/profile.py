"""Reads a kernel's PTX: what a thread executes, its longest chain of dependences, and how its loads stream memory.

PTX is nearly in single-assignment form, so one pass finds the critical path of code without loops. A loop's body
counts as often as it runs, which follows from the launch's integer arguments; its iterations wait for one another, as
they do at the barriers of pipelined loops.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from workbench.sweep.stages.ptx.flow import Flow
from workbench.sweep.stages.ptx.instructions import Instruction
from workbench.sweep.stages.ptx.memory import StreamedLoad, in_flight_bytes, streamed_loads
from workbench.sweep.stages.ptx.values import Given, trips

# Cycles from issue until a dependent instruction can issue, rounded from published microbenchmarks (Volta:
# arXiv 1804.06826; Hopper: arXiv 2402.13499); global loads are taken to hit L2. They serve to rank, not to time.
# Nothing waits for a copy as such: what it costs to wait for memory is in the bytes in flight.
LATENCY_CYCLES = {
    "move": 0,
    "scalar": 5,
    "wide": 10,
    "special": 20,
    "shuffle": 24,
    "reduce": 24,
    "shared": 30,
    "barrier": 20,
    "matrix": 33,
    "copy": 0,
    "global": 270,
}


@dataclass(frozen=True, slots=True)
class PtxProfile:
    """What a kernel's PTX says of one launch; None where a loop's trips are not known.

    Attributes:
        instructions: executed a thread, by class.
        critical_cycles: latency of the longest dependence chain, cycles.
        streamed_bytes: that a block loads from streamed tensors.
        in_flight_bytes: the most of them that its loads have under way together.
        has_loops: whether all this depends on the launch's arguments.
    """

    instructions: dict[str, int] | None
    critical_cycles: int | None
    streamed_bytes: int | None
    in_flight_bytes: int | None
    has_loops: bool


def profile(ptx: str, given: Given) -> PtxProfile:
    """Counts what a thread of a launch executes, follows its dependences, and its loads."""
    flow = Flow.of(ptx)
    loads = () if "cp.async.bulk" in ptx else streamed_loads(flow, given)
    weights = _weights(flow, given)
    in_flight = round(in_flight_bytes(flow, {id(load.instruction): load for load in loads}))
    if weights is None:
        return PtxProfile(None, None, None, in_flight, has_loops=True)
    counts: Counter[str] = Counter()
    cycles = 0.0
    for number in flow.order:
        for each in flow.blocks[number].instructions:
            counts[each.kind] += weights[number]  # type: ignore[assignment]
    for weight, instructions in _stretches(flow, weights):
        cycles += weight * _critical_cycles(instructions)
    return PtxProfile(
        instructions={kind: round(count) for kind, count in counts.items()},
        critical_cycles=round(cycles),
        streamed_bytes=round(sum(load.bytes * weights[load.block] for load in _counted(flow, loads))),
        in_flight_bytes=in_flight,
        has_loops=bool(flow.loops),
    )


def _counted(flow: Flow, loads: Sequence[StreamedLoad]) -> Iterator[StreamedLoad]:
    """Without the copies that fill a pipeline before its loop: as many at the loop's end copy nothing."""
    depth = max((len(flow.around(load.block)) for load in loads if load.is_copy), default=0)
    return (load for load in loads if not load.is_copy or len(flow.around(load.block)) == depth)


def _weights(flow: Flow, given: Given) -> dict[int, float] | None:
    """How often each block runs, by its number; None where a loop's trips are not known."""
    runs: dict[int, float] = {}
    for loop in flow.loops:
        found = trips(flow, loop, given.integers)
        known = given.data_trips if found is None else found
        if known is None:
            return None
        runs[loop.head] = known
    return {number: prod(runs[loop.head] for loop in flow.around(number)) for number in flow.order}


def _stretches(flow: Flow, weights: dict[int, float]) -> Iterator[tuple[float, Sequence[Instruction]]]:
    """Code that runs equally often and one block after the other, with how often it runs."""
    stretch: list[Instruction] = []
    before: tuple[object, ...] | None = None
    weight = 1.0
    for number in flow.order:
        around = flow.around(number)
        if around != before and stretch:
            yield weight, stretch
            stretch = []
        stretch.extend(flow.blocks[number].instructions)
        before, weight = around, weights[number]
    yield weight, stretch


def _critical_cycles(instructions: Sequence[Instruction]) -> int:
    ready: dict[str, int] = {}
    shared_ready = finished = 0
    for each in instructions:
        start = max((ready.get(register, 0) for register in each.reads), default=0)
        if each.kind in ("shared", "barrier"):
            start = max(start, shared_ready)
        done = start + LATENCY_CYCLES[each.kind]
        if each.kind == "barrier" or (each.kind == "shared" and not each.writes):
            shared_ready = max(shared_ready, done)
        ready.update(dict.fromkeys(each.writes, done))
        finished = max(finished, done)
    return finished
