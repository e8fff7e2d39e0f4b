"""Runs the plan on a machine without a GPU: real processes, real packing, real resuming; only GPU and clock are not.

Sweeps run against a simulated GPU, whose clock says what they would have taken; what that can't say is assumed, and the
table says which. Benchmarks only read their arguments, tests are only collected, and profiles and workloads run a tiny
model on the CPU. Between the calls the machine goes back: the second starts from the archives alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from first_contact.archive import archives_in, unpack
from first_contact.plan import CALLS, LATER, Step
from first_contact.runner import INTERRUPTED, read_outcomes, run_steps, started
from first_contact.simulated_gpu import CLOCK_VARIABLE, SECONDS_VARIABLE

RECORD = "rehearsal.json"
# A stand-in that hangs is a fault of its own.
LONGEST_REAL_S = 600.0


@dataclass(frozen=True, slots=True)
class Turn:
    """A step's turn: its call, when it began and how long it took on the simulated clock, in seconds."""

    call: int
    step: str
    begin_s: float
    seconds: float
    limit_s: float
    state: str
    basis: str


class SimulatedMachine:
    """A machine with a GPU, simulated.

    Args:
        call: the number of the call.
        out: where steps write.
        record: takes each turn, those of earlier calls among them.
    """

    rehearsal = True

    def __init__(self, call: int, out: Path, record: Path) -> None:
        self._call, self._out, self._record = call, out, record
        # A rehearsal that was killed right after a turn does not know what came of it, and takes it again.
        known = read_outcomes(out)
        turns = [turn for turn in read_turns(record) if turn.call != call or turn.step in known]
        write_turns(record, turns)
        self._now = sum(turn.seconds for turn in turns if turn.call == call)

    def now(self) -> float:
        """Seconds since the call began."""
        return self._now

    def run(self, step: Step, seconds: float) -> int | None:
        """Runs a step, or what stands in for it, for so long on the simulated clock."""
        is_simulated = step.rehearsed_as is None
        exit_code = self._run(step, seconds)
        took = self._clock() if is_simulated and step.command[0] == "workbench" else step.assumed_s
        is_cut = exit_code == INTERRUPTED or took > seconds
        turn = Turn(
            call=self._call,
            step=step.name,
            begin_s=round(self._now, 1),
            seconds=round(min(took, seconds), 1),
            limit_s=round(seconds, 1),
            state="cut" if is_cut else "failed" if exit_code else "done",
            basis="simulated" if took != step.assumed_s else "assumed",
        )
        write_turns(self._record, [*read_turns(self._record), turn])
        self._now += turn.seconds
        return None if is_cut else exit_code

    def _run(self, step: Step, seconds: float) -> int:
        simulated = ("first_contact.simulated_gpu", *step.command)
        self._clock_file.write_text("0\n", encoding="utf-8")
        more = {CLOCK_VARIABLE: str(self._clock_file), SECONDS_VARIABLE: str(seconds)}
        with started(step.rehearsed_as or simulated, self._out, more) as process:
            return process.wait(LONGEST_REAL_S)

    def _clock(self) -> float:
        return float(self._clock_file.read_text(encoding="utf-8"))

    @property
    def _clock_file(self) -> Path:
        return (self._record.parent / "clock").absolute()


def rehearse(out: Path, steps: Sequence[Step]) -> int:
    """Rehearses the calls one after the other, or goes on where a killed rehearsal stopped; prints what happened when.

    Args:
        out: the output folder; the rehearsal is in `rehearsal` below it.
        steps: those of the plan that are asked for.

    Returns:
        0 where every step of the first call was done, 1 otherwise.
    """
    folder = out / "rehearsal"
    if (folder / "finished").exists():
        shutil.rmtree(folder)
    archives, record = folder / "archives", folder / RECORD
    planned = [step for step in steps if step.call != LATER]
    for call, limit_s in CALLS.items():
        call_out = folder / f"call-{call}"
        if not call_out.exists():
            # As a machine that has just started: all that it knows is in the archives.
            call_out.mkdir(parents=True)
            unpack(archives_in(archives), call_out)
        machine = SimulatedMachine(call, call_out, record)
        left_s = limit_s - machine.now()
        run_steps(planned, machine, call_out, archives, limit_s=left_s, again=False)
    (folder / "finished").touch()
    turns = read_turns(record)
    print("\n".join(timetable(turns, archives)))
    done = {turn.step for turn in turns if turn.state == "done" and turn.call == 1}
    return int(not done.issuperset(step.name for step in planned if step.call == 1))


def read_turns(record: Path) -> list[Turn]:
    """The turns so far."""
    if not record.exists():
        return []
    return [Turn(**fields) for fields in json.loads(record.read_text(encoding="utf-8"))]


def write_turns(record: Path, turns: Sequence[Turn]) -> None:
    """Writes the turns whole."""
    aside = record.with_suffix(".tmp")
    aside.write_text(json.dumps([asdict(turn) for turn in turns], indent=1) + "\n", encoding="utf-8")
    aside.replace(record)


def timetable(turns: Sequence[Turn], archives: Path) -> Iterator[str]:
    """The plan as it went, a line a step."""
    yield "call  from   to     limit  step                  basis      state"
    for turn in turns:
        begin, end = _minutes(turn.begin_s), _minutes(turn.begin_s + turn.seconds)
        yield (
            f"{turn.call}     {begin}  {end}  {turn.limit_s:3.0f} s  {turn.step:20}  {turn.basis:9}  {turn.state}"
        )
    for path in archives_in(archives):
        yield f"{path.name}: {path.stat().st_size / 2**20:.1f} MiB"
    yield "Times are of a simulated clock (see the module's docstring): no GPU has run any of this."


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60:2}:{int(seconds) % 60:02}"
