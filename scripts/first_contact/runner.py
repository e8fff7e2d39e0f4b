"""Runs steps within a time limit, each in a process of its own, and packs what they measured while they run."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from first_contact.archive import pack
from first_contact.plan import Step

# An interrupted sweep publishes what it has; a process that does not end by then is killed.
GRACE_S = 10.0
# Kept at the end of a call for the last packing.
PACKING_S = 10.0
# How often what a running step wrote is packed.
PACK_EVERY_S = 20.0
INTERRUPTED = 130

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a step: `done`, `failed` or `cut`, its exit code and its seconds."""

    state: str
    exit_code: int | None
    seconds: float


class Machine(Protocol):
    """Where steps run, and what its clock says."""

    rehearsal: bool

    def now(self) -> float:
        """Seconds on the machine's clock."""
        ...

    def run(self, step: Step, seconds: float) -> int | None:
        """A step's exit code; None where its time was over."""
        ...


@dataclass(slots=True)
class GpuMachine:
    """This machine: steps are processes, time is time.

    Attributes:
        out: where steps write.
        archives: where that is packed to.
    """

    out: Path
    archives: Path
    rehearsal: bool = False

    def now(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    def run(self, step: Step, seconds: float) -> int | None:
        """Runs the command of a step; interrupts it when its time is over, and kills it where that does not help."""
        with started(step.command, self.out) as process:
            deadline = time.monotonic() + seconds
            while (left := deadline - time.monotonic()) > 0:
                try:
                    return process.wait(min(left, PACK_EVERY_S))
                except subprocess.TimeoutExpired:
                    pack(self.out, self.archives, rehearsal=False)
        return None


@contextmanager
def started(
    command: Sequence[str], out: Path, more: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A command's process, which writes to the log; whatever it started has ended when the block is left."""
    words = [word.format(out=out) for word in command]
    with (out / "logs.txt").open("a", encoding="utf-8") as log:
        log.write(f"\n=== {' '.join(words)}\n")
        log.flush()
        process = subprocess.Popen(
            [sys.executable, *([words[0]] if words[0].endswith(".py") else ["-m", words[0]]), *words[1:]],
            stdout=log,
            stderr=subprocess.STDOUT,
            # A group of its own to be ended by, and no session: what outlives this process is found in its session.
            process_group=0,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - there are no other threads here
            env={**os.environ, **environment(out), **(more or {})},
        )
        try:
            yield process
        finally:
            end(process)


def _die_with_parent() -> None:
    """Has this process killed when its parent is: a sweep left behind would hold its lock, and the GPU."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def environment(out: Path) -> dict[str, str]:
    """What makes a step load the winners of the steps before it, and keep compiled kernels for the next call."""
    return {
        "WORKBENCH_RESULTS": str((out / "results").absolute()),
        "TRITON_CACHE_DIR": str((out / "cache" / "triton").absolute()),
    }


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and all of its session, first by asking."""
    if process.poll() is None:
        _signal(process, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def run_steps(
    steps: Sequence[Step], machine: Machine, out: Path, archives: Path, *, limit_s: float | None, again: bool
) -> dict[str, Outcome]:
    """Runs what is left of the steps and packs after each.

    Args:
        steps: in the order of their worth.
        machine: runs them.
        out: their output, and the outcomes of earlier calls.
        archives: where it is packed to.
        limit_s: of this call; None for no limit.
        again: also those that are done.

    Returns:
        The outcome of every step that has ever run, by name.
    """
    outcomes = read_outcomes(out)
    deadline = None if limit_s is None else machine.now() + limit_s - PACKING_S
    for step in _ordered(steps, {} if again else outcomes):
        seconds = step.limit_s
        if deadline is not None:
            seconds = min(step.limit_s, deadline - machine.now() - GRACE_S)
        if seconds < step.least_s:
            print(f"gpu_run: too little time is left for {step.name}", flush=True)
            continue
        outcomes[step.name] = _run(step, machine, seconds)
        write_outcomes(out, outcomes)
        pack(out, archives, rehearsal=machine.rehearsal)
    return outcomes


def _ordered(steps: Sequence[Step], outcomes: Mapping[str, Outcome]) -> list[Step]:
    """What is left to run: what starts over after being cut off comes after all that has not had its turn."""
    left = [step for step in steps if step.name not in outcomes or outcomes[step.name].state == "cut"]
    return sorted(left, key=lambda step: step.name in outcomes and not step.resumes)


def _run(step: Step, machine: Machine, seconds: float) -> Outcome:
    print(f"gpu_run: {step.name}: {step.what} (at most {seconds:.0f} s)", flush=True)
    begin = machine.now()
    exit_code = machine.run(step, seconds)
    took = round(machine.now() - begin, 1)
    is_cut = exit_code in (None, INTERRUPTED)
    state = "cut" if is_cut else "failed" if exit_code else "done"
    print(f"gpu_run: {step.name}: {state} after {took} s", flush=True)
    return Outcome(state, exit_code, took)


def read_outcomes(out: Path) -> dict[str, Outcome]:
    """The outcomes of earlier calls, none where the file is missing or damaged."""
    try:
        found: Any = json.loads((out / "steps.json").read_text(encoding="utf-8"))
        return {name: Outcome(**fields) for name, fields in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def write_outcomes(out: Path, outcomes: Mapping[str, Outcome]) -> None:
    """Writes the outcomes whole."""
    aside = out / "steps.json.tmp"
    text = json.dumps({name: asdict(outcome) for name, outcome in outcomes.items()}, indent=1)
    aside.write_text(text + "\n", encoding="utf-8")
    aside.replace(out / "steps.json")


@contextmanager
def told_to_end() -> Iterator[None]:
    """Turns SIGTERM into the interrupt that ends the running step and packs what there is."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
