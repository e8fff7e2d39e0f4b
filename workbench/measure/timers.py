"""Times kernels on a CUDA GPU: CUDA graphs of many launches, cold streamed inputs, events around each replay.

A routing kernel runs for a few microseconds, less than what launching it from Python costs and not much more
than the resolution of CUDA's events (0.5 us), so one sample is one replay of a graph that holds up to 1000
launches, and a call's time is the replay's over their number.

Inputs that a model streams (weights) are cold there, so the launches of a graph rotate over distinct copies
of them; inputs that the previous kernel has just produced stay one hot tensor. Before each replay, outside
the timed span, the GPU reads a buffer of several L2 sizes. That evicts the copies where all of them together
would still fit the L2, and keeps the GPU busy while the host submits the replay, so that no idle gap is timed
and the clocks stay up.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import triton

from moe_kernels.tunable import Config, KernelLaunch, Problem, Tensors, TunableKernel
from workbench.measure.inputs import draw_inputs

REPLAY_US = 1000.0
FEWEST_LAUNCHES = 20
# Calls of over a millisecond need no company to be timed, and a replay of many would last for seconds.
FEWEST_LONG_LAUNCHES = 3
MOST_LAUNCHES = 1000
L2_MULTIPLE = 5
MEMORY_SHARE = 0.5

_PROBE_REPLAYS = 3
_SINGLE_CALLS = 3
_WARMUP_CALLS = 3


@triton.jit
def _empty_kernel():  # type: ignore[no-untyped-def]  # noqa: ANN202
    pass


@dataclass(frozen=True, slots=True)
class RotatingInputs:
    """A problem's inputs, the streamed ones in several copies.

    Attributes:
        copies: whole sets of inputs of equal values; the produced tensors are the same in each set.
        streamed_bytes: what one call reads of its streamed inputs at most.
        wanted_bytes: what the copies should cover to be cold by rotation alone.
    """

    copies: tuple[Tensors, ...]
    streamed_bytes: int
    wanted_bytes: int

    def __getitem__(self, call: int) -> Tensors:
        """The inputs of the graph's call of this index."""
        return self.copies[call % len(self.copies)]

    @property
    def cold(self) -> bool:
        """False where memory is too small for copies that keep every launch cold."""
        covers = len(self.copies) * self.streamed_bytes >= self.wanted_bytes
        return not self.streamed_bytes or covers or len(self.copies) >= MOST_LAUNCHES


class GraphTimer:
    """Times one captured graph; made by `GpuTimers`.

    Attributes:
        launches: calls in one replay.
    """

    def __init__(
        self,
        call: Callable[[int], object],
        launches: int,
        device: torch.device,
        lead_in: Callable[[], object],
    ) -> None:
        self.launches = launches
        # A graph holds bare addresses; the call keeps the tensors behind them alive.
        self._call = call
        self._graph = capture_call(call, launches, device)
        self._device = device
        self._lead_in = lead_in
        self._start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]

    def sample(self) -> float:
        """Replays once and returns microseconds a call; waits for the GPU."""
        with torch.cuda.device(self._device):
            self._lead_in()
            self._start.record()
            self._graph.replay()
            self._end.record()
            self._end.synchronize()
        return float(self._start.elapsed_time(self._end)) * 1000.0 / self.launches


class GpuTimers:
    """Makes the timers of one GPU.

    Timers that are to be compared should come from one of these and, for one problem, share their inputs.

    Args:
        device: a CUDA device.
    """

    def __init__(self, device: torch.device | str = "cuda") -> None:
        self.device = _with_index(torch.device(device))
        self.l2_bytes = int(torch.cuda.get_device_properties(self.device).L2_cache_size)
        words = max(1, L2_MULTIPLE * self.l2_bytes // 4)
        self._evictor = torch.ones(words, dtype=torch.int32, device=self.device)
        self._evicted = torch.empty((), dtype=torch.int32, device=self.device)

    def inputs(self, kernel: TunableKernel, problem: Problem, *, seed: int = 0) -> RotatingInputs:
        """Draws a problem's inputs from `seed` and copies the streamed ones.

        There are as many copies as cover 5 times the L2 (by what one call can read of them), at most as many
        as a graph holds launches, and at most what half of the free memory takes.
        """
        drawn = draw_inputs(kernel, problem, seed=seed, device=self.device)
        free, _ = torch.cuda.mem_get_info(self.device)
        return rotate(
            drawn,
            kernel.produced,
            bytes_read=kernel.traffic(problem).bytes_read,
            wanted_bytes=L2_MULTIPLE * self.l2_bytes,
            memory_bytes=int(free * MEMORY_SHARE),
        )

    def of_kernel(
        self, kernel: TunableKernel, problem: Problem, config: Config, inputs: RotatingInputs
    ) -> GraphTimer:
        """A timer of one config; compiles it where that has not happened yet.

        Raises:
            Exception: whatever compiling, launching or capturing raises.
        """
        outputs = kernel.make_outputs(problem, self.device)
        complete = kernel.complete(config)
        calls = [tuple(kernel.launches(copy, outputs, problem, complete)) for copy in inputs.copies]
        return self.of_call(lambda call: _run(calls[call % len(calls)]))

    def of_call(self, call: Callable[[int], object]) -> GraphTimer:
        """A timer of any function that can be captured in a CUDA graph: no host synchronisation, nothing
        random.

        Args:
            call: gets the index of the call within the graph, from 0, to rotate its inputs by.
        """
        with torch.cuda.device(self.device):
            estimate_us = self._estimate_us(call, FEWEST_LONG_LAUNCHES)
            if estimate_us < REPLAY_US:
                estimate_us = self._estimate_us(call, FEWEST_LAUNCHES)
            return self._timer(call, launches_per_replay(estimate_us))

    def one_launch_us(
        self, kernel: TunableKernel, problem: Problem, config: Config, inputs: RotatingInputs
    ) -> float:
        """The least of a few single calls, microseconds, what launching costs the GPU included.

        Raises:
            Exception: whatever compiling or launching raises.
        """
        outputs = kernel.make_outputs(problem, self.device)
        launches = tuple(kernel.launches(inputs[0], outputs, problem, kernel.complete(config)))
        with torch.cuda.device(self.device):
            _run(launches)
            return min(self._once_us(launches) for _ in range(_SINGLE_CALLS))

    def _once_us(self, launches: tuple[KernelLaunch, ...]) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        self._evict()
        start.record()
        _run(launches)
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) * 1000.0

    def _estimate_us(self, call: Callable[[int], object], launches: int) -> float:
        probe = self._timer(call, launches)
        return min(probe.sample() for _ in range(_PROBE_REPLAYS))

    def of_empty_kernel(self) -> GraphTimer:
        """A timer of a kernel that does nothing: what a launch inside a graph costs on this GPU."""
        launch = KernelLaunch(_empty_kernel, (1, 1, 1), {}, {}, {"num_warps": 1, "enable_fp_fusion": True})
        return self.of_call(lambda call: launch.run())

    def _timer(self, call: Callable[[int], object], launches: int) -> GraphTimer:
        timer = GraphTimer(call, launches, self.device, self._evict)
        timer.sample()
        return timer

    def _evict(self) -> None:
        """Reads the evictor: a read leaves clean lines, which cost the timed span no write-back."""
        torch.amax(self._evictor, dim=0, out=self._evicted)


def rotate(
    inputs: Tensors, produced: frozenset[str], *, bytes_read: int, wanted_bytes: int, memory_bytes: int
) -> RotatingInputs:
    """Copies streamed inputs so that rotating over the copies covers `wanted_bytes`.

    Args:
        inputs: one set of inputs, which becomes the first copy.
        produced: names of inputs that are not copied.
        bytes_read: what one call reads in all: large weights are cold only where a call reads them.
        wanted_bytes: what the copies should cover.
        memory_bytes: what further copies may take.
    """
    streamed = {name: tensor for name, tensor in inputs.items() if name not in produced}
    stored = sum(tensor.untyped_storage().nbytes() for tensor in streamed.values())
    if not stored:
        return RotatingInputs((inputs,), 0, wanted_bytes)
    read = max(1, min(bytes_read, sum(tensor.nbytes for tensor in streamed.values())))
    count = max(1, min(-(-wanted_bytes // read), MOST_LAUNCHES, 1 + memory_bytes // stored))
    copies = [dict(inputs)]
    for _ in range(count - 1):
        copies.append({**inputs, **{name: _copy(tensor) for name, tensor in streamed.items()}})
    return RotatingInputs(tuple(copies), read, wanted_bytes)


def launches_per_replay(call_us: float) -> int:
    """How many calls take about 1 ms together, between 20 and 1000; of longer calls 3."""
    if call_us <= REPLAY_US / MOST_LAUNCHES:
        return MOST_LAUNCHES
    return max(FEWEST_LAUNCHES, round(REPLAY_US / call_us)) if call_us < REPLAY_US else FEWEST_LONG_LAUNCHES


def capture_call(call: Callable[[int], object], launches: int, device: torch.device) -> torch.cuda.CUDAGraph:
    """Captures `launches` calls in one CUDA graph, after a warm-up on a side stream, as torch asks for."""
    with torch.cuda.device(device):
        side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for index in range(_WARMUP_CALLS):
                call(index)
        torch.cuda.current_stream(device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with _without_collector(), torch.cuda.graph(graph, stream=side):
            for index in range(launches):
                call(index)
    return graph


@contextmanager
def _without_collector() -> Iterator[None]:
    """Keeps the cyclic collector off.

    A compiled kernel that it finalises unloads its CUDA module, which is illegal while a stream is captured
    (as in triton.testing.cuda_graph_without_gc).
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _run(launches: tuple[KernelLaunch, ...]) -> None:
    for launch in launches:
        launch.run()


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    """A copy in memory of its own, with the strides and the alignment that the machine code was made for."""
    storage = tensor.untyped_storage().clone()  # type: ignore[no-untyped-call]
    empty = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
    return empty.set_(storage, tensor.storage_offset(), tensor.size(), tensor.stride())


def _with_index(device: torch.device) -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if device.index is None else device
