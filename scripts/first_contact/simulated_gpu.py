"""Runs a command of the workbench on a GPU that is simulated, in a process as real as any.

    python -m first_contact.simulated_gpu workbench sweep sweeps/routing-quick.yaml --out gpu/rehearsal/results

The sweep itself is the real one: its space, search, race, journal and winners. Simulated are the GPU's name, its clock,
and how long its kernels take: the bytes that a call must move over an H200's bandwidth, a launch, and a factor drawn
from the config. A benchmark only reads its arguments. No row can be mistaken for an H200's, since the device is called
NVIDIA_Simulated_GPU.

The clock's seconds go to the file that $FIRST_CONTACT_CLOCK names; past $FIRST_CONTACT_SECONDS the process interrupts
itself, as the limit of a step would.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any, Self

CLOCK_VARIABLE, SECONDS_VARIABLE = "FIRST_CONTACT_CLOCK", "FIRST_CONTACT_SECONDS"
GPU_NAME = "NVIDIA Simulated GPU"
# The machine that is simulated.
CORES = 16
# Assumptions about that machine; nothing has been timed on one.
PROCESS_S = 8.0
VERIFY_S = 0.1
CAPTURE_S = 0.06
LAUNCH_S = 0.005
SAMPLE_S = 1.3e-3


class Clock:
    """The simulated machine's clock: what its work would have taken."""

    def __init__(self, path: Path, limit_s: float) -> None:
        self._path, self._limit_s = path, limit_s
        self._lock, self._seconds, self._written = Lock(), 0.0, 0.0
        self.wait(PROCESS_S)

    def now(self) -> float:
        """Seconds since the process was started."""
        return self._seconds

    def wait(self, seconds: float) -> None:
        """Lets time pass; interrupts this process once its time is over."""
        with self._lock:
            was_over = self._seconds > self._limit_s
            self._seconds += seconds
            if self._seconds - self._written > 1.0:
                self.write()
            if self._seconds > self._limit_s and not was_over:
                os.kill(os.getpid(), signal.SIGINT)

    def write(self) -> None:
        """Writes what has passed."""
        self._written = self._seconds
        self._path.write_text(f"{self._seconds:.3f}\n", encoding="utf-8")


class SimulatedTimers:
    """In the place of `GpuTimers`."""

    clock: Clock

    def __init__(self, device: object = None) -> None:
        self.device = "cpu"

    def inputs(self, *arguments: Any, **options: Any) -> None:
        """Nothing is drawn: no kernel runs."""

    def one_launch_us(self, kernel: Any, problem: Any, config: Any, inputs: object) -> float:
        """One launch of a config."""
        self.clock.wait(LAUNCH_S)
        return simulated_us(kernel, problem, kernel.complete(config))

    def of_kernel(self, kernel: Any, problem: Any, config: Any, inputs: object) -> SimulatedTimer:
        """A timer of one config."""
        self.clock.wait(CAPTURE_S)
        return SimulatedTimer(self.clock, simulated_us(kernel, problem, kernel.complete(config)))


class SimulatedTimer:
    """Gives a config's simulated time with half a percent of noise."""

    launches = 1000
    _made = count()

    def __init__(self, clock: Clock, time_us: float) -> None:
        import numpy as np

        self._clock, self._time_us = clock, time_us
        self._draw = np.random.default_rng(next(self._made))

    def sample(self) -> float:
        """One sample, microseconds."""
        self._clock.wait(max(SAMPLE_S, 3e-6 * self._time_us))
        return float(self._time_us * self._draw.lognormal(0.0, 0.005))


def simulated_us(kernel: Any, problem: Any, config: Any) -> float:
    """The compulsory bytes over the bandwidth, a launch, and up to half as much again by the config's digest."""
    from workbench.devices import find_device
    from workbench.sweep.stages.time_model import LAUNCH_US
    from workbench.trials.trial import digest

    traffic = kernel.traffic(problem)
    moved = (traffic.bytes_read + traffic.bytes_written) / find_device("h200").bandwidth_bytes_per_s * 1e6
    share = int(digest([dict(problem), dict(config)])[:4], 16) / 0xFFFF
    return float((LAUNCH_US + moved) * (1.0 + 0.5 * share))


class SimulatedWorkers:
    """In the place of a pool of processes: answers at once, and lets the clock run."""

    clock: Clock

    def __init__(self, jobs: int, **options: Any) -> None:
        self.jobs = jobs
        self._answers: Mapping[str, Callable[..., Any]] = {
            "warm_up": lambda *_: None,
            "compile_candidate": self._compile,
            "verify_on_gpu": lambda *_: self.clock.wait(VERIFY_S),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left behind."""

    def renew(self) -> None:
        """The next task meets a fresh process, which takes its time to start."""
        self.clock.wait(PROCESS_S)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Answers at once; what is not simulated runs as it is."""
        from workbench.executors.inside import raised

        future: Future[Any] = Future()
        try:
            future.set_result(self._answers.get(function.__name__, function)(*arguments))
        except Exception as error:
            future.set_result(raised(error))
        return future

    def _compile(self, reference: str, candidate: Any, capability: int) -> tuple[Any, ...]:
        """Stand-in resources; every config takes as long as the kernel's first did here, shared by the cores."""
        from workbench.sweep.kernels import load_kernel
        from workbench.sweep.stages.compile import meta_launches
        from workbench.trials.trial import Resources

        self.clock.wait(_compile_seconds(reference, candidate, capability) / CORES)
        resources = Resources(
            registers=64, spill_bytes=0, shared_bytes=0, num_warps=4, instructions={}, critical_cycles=1000
        )
        return tuple(resources for _ in meta_launches(load_kernel(reference), candidate))


_COMPILED: dict[str, float] = {}


def _compile_seconds(reference: str, candidate: Any, capability: int) -> float:
    """What compiling the kernel's first candidate takes on this machine, seconds."""
    from workbench.sweep.stages.compile import compile_candidate

    if reference not in _COMPILED:
        begin = time.perf_counter()
        compile_candidate(reference, candidate, capability)
        _COMPILED[reference] = time.perf_counter() - begin
    return _COMPILED[reference]


def install(clock: Clock) -> None:
    """Puts the simulated GPU where the workbench looks for a real one."""
    import workbench.devices.detect as detect
    import workbench.executors.site as site
    import workbench.measure.clocks as clocks
    import workbench.measure.timers as timers
    import workbench.sweep.evaluators.gpu as evaluator
    from workbench.devices import find_device

    like = find_device("h200")
    SimulatedTimers.clock = SimulatedWorkers.clock = clock
    figures = {name: value for name, value in asdict(like).items() if isinstance(value, int | float)}
    figures.pop("compute_capability")
    gpu = detect.DetectedGpu(GPU_NAME, like.compute_capability, figures)
    detect.detect_gpu = lambda: gpu
    evaluator.measure_batch = partial(evaluator.measure_batch, now=clock.now)  # type: ignore[assignment]
    site.detect_gpu_ids = lambda: ("0",)
    site.WorkerPool = SimulatedWorkers  # type: ignore[assignment, misc]
    timers.GpuTimers = SimulatedTimers  # type: ignore[assignment, misc]
    clocks.open_clocks = lambda *_: clocks.NullClocks("the GPU is simulated")


def run_workbench(arguments: list[str], clock: Clock) -> None:
    """Runs the command line on the simulated GPU."""
    install(clock)
    from workbench.cli.main import main

    sys.argv = ["workbench", *arguments]
    main()


def ask_benchmark(script: str, arguments: list[str]) -> None:
    """Has a benchmark read its arguments, and leaves a file where its rows would be."""
    path = Path(script)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.argv = [script, *arguments]
    spec.loader.exec_module(module)
    read = module.parse_arguments()
    read.json.parent.mkdir(parents=True, exist_ok=True)
    read.json.write_text(json.dumps({"evidence": "none", "note": "a rehearsal"}) + "\n", encoding="utf-8")


def main() -> None:
    first, *rest = sys.argv[1:]
    clock = Clock(Path(os.environ[CLOCK_VARIABLE]), float(os.environ[SECONDS_VARIABLE]))
    try:
        if first == "workbench":
            run_workbench(rest, clock)
        else:
            ask_benchmark(first, rest)
    finally:
        clock.write()


if __name__ == "__main__":
    main()
