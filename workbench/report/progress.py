"""Progress of a sweep: a live bar with an estimate on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from workbench.report.evidence import EVIDENCE, mark_of
from workbench.report.sweep import config_label, device_label, problem_label
from workbench.sweep.evaluators.work_count import WorkCount
from workbench.sweep.outcome import ProblemOutcome
from workbench.sweep.plan import SweepPlan
from workbench.trials.trial import Evidence, Stage, Status, Trial

PLAIN_LINE_EVERY_S = 10.0
# Before this share of the work, starting the workers dominates and an estimate would only mislead.
ESTIMATE_FROM = 0.1


class Display(Protocol):
    """Where progress is told: notes on lines of their own, and how much of the work is done."""

    def start(self) -> None:
        """The work begins."""
        ...

    def show(self, told: str, done: int, planned: int) -> None:
        """So much of it is done."""
        ...

    def line(self, text: str) -> None:
        """Says something on a line of its own."""
        ...

    def stop(self) -> None:
        """The work has ended."""
        ...


def display(name: str) -> Display:
    """The display that standard error can take, for work of this name."""
    return _Live(name) if sys.stderr.isatty() else _Plain()


class SweepProgress:
    """Tells on standard error how a sweep goes; a context manager."""

    def __init__(self) -> None:
        self._display: Display = display("sweep")
        self._total = self._known = self._failed = self._new = 0
        self._times: dict[str, dict[str, float]] = {}
        self._best = ""

    def __enter__(self) -> SweepProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self._display.stop()

    def note(self, text: str) -> None:
        """Says something on a line of its own."""
        self._display.line(text)

    def started(self, plan: SweepPlan, done: int, total: int) -> None:
        """Says what is about to happen and how much of it is known from an earlier process."""
        self._plan, self._known, self._total, self._new = plan, done, total, total - done
        how = f"{plan.evidence.value}: {EVIDENCE[plan.evidence].plan}"
        self._display.line(f"{plan.kernel.name} for {device_label(plan)}, {how}")
        known = f", {done} known from an earlier run" if done else ""
        problems = len(plan.space.problems)
        workers = "" if plan.family else f"; {plan.jobs} compiling workers"
        self._display.line(f"{total} trials on {problems} problems{known}{workers}")
        self._display.line(f"journal: {plan.folder}")
        self._display.start()

    def trial(self, trial: Trial) -> None:
        """Counts a trial, and keeps the best of its problem."""
        self._known += 1
        self._failed += trial.status is not Status.OK
        if trial.time_us is not None:
            self._note_time(trial, trial.time_us)
        if self._plan.family:
            self._show_trials(trial.stage)

    def _note_time(self, trial: Trial, time_us: float) -> None:
        label = problem_label(trial.problem, self._plan)
        times = self._times.setdefault(label, {})
        if trial.config == self._plan.kernel.default_config:
            times["default"] = time_us
        best = times["best"] = min(time_us, times.get("best", time_us))
        is_told = "default" in times and self._plan.evidence is not Evidence.MODELLED
        speedup = f", {times['default'] / best:.2f}x the default" if is_told else ""
        self._best = f"{label}: best {mark_of(self._plan.evidence)}{best:.2f} us{speedup}"

    def work(self, count: WorkCount) -> None:
        """Shows how much of the work is done: by trials where they are timed, else by compiles and checks."""
        if self._plan.is_timed or self._plan.is_ranked:
            self._show_trials(count.stage)
        else:
            self._display.show(self._told(count.stage), count.done, count.planned)

    def _show_trials(self, stage: Stage) -> None:
        self._display.show(self._told(stage), self._known - (self._total - self._new), max(1, self._new))

    def _told(self, stage: Stage) -> str:
        parts = [
            f"{stage.value}: {self._known}/{self._total} trials known",
            f"{self._failed} not valid",
            self._best,
        ]
        return ", ".join(part for part in parts if part)

    def problem(self, outcome: ProblemOutcome) -> None:
        """Says what won a problem."""
        label, winner = problem_label(outcome.problem, self._plan), outcome.winner
        if winner is None:
            self._display.line(f"{label}: no valid config of {len(outcome.trials)}")
            return
        mark = mark_of(winner.evidence)
        config = config_label(winner.config, self._plan.kernel.default_config)
        self._display.line(f"{label}: {config}, {mark}{winner.time_us:.2f} us ({winner.evidence.value})")


class _Live:
    """A bar on a terminal."""

    def __init__(self, name: str) -> None:
        self._progress = Progress(
            TextColumn(name),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )

    def start(self) -> None:
        self._task = self._progress.add_task("starting workers", total=None)
        self._progress.start()

    def show(self, told: str, done: int, planned: int) -> None:
        self._progress.update(self._task, description=told, completed=done, total=planned)

    def line(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)

    def stop(self) -> None:
        self._progress.stop()


class _Plain:
    """Lines where there is no terminal, at most one in ten seconds."""

    def start(self) -> None:
        self._started = self._said = time.monotonic()

    def show(self, told: str, done: int, planned: int) -> None:
        now = time.monotonic()
        if now - self._said >= PLAIN_LINE_EVERY_S:
            self._said = now
            left = (now - self._started) / done * (planned - done)
            told_left = f", about {left:.0f} s left" if done >= ESTIMATE_FROM * planned else ""
            self.line(f"{done / planned:4.0%} done{told_left}; {told}")

    def line(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def stop(self) -> None:
        """Nothing is left on the screen."""
