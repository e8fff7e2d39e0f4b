from __future__ import annotations

import pytest

from workbench.report import progress as progressing
from workbench.report.progress import SweepProgress
from workbench.sweep.evaluators.work_count import WorkCount
from workbench.sweep.run import run_sweep
from workbench.trials.trial import Stage


class Clock:
    def __init__(self):
        self.seconds = 0.0

    def monotonic(self):
        return self.seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progressing, "time", clock)
    return clock


@pytest.fixture
def lines(capsys):
    return lambda: capsys.readouterr().err.splitlines()


def run(bench, **more):
    with SweepProgress() as progress:
        return run_sweep(bench.plan(**more), progress)


def test_the_start_says_what_will_be_done_and_that_nothing_will_be_timed(bench, lines):
    run(bench, jobs=2)
    first, second, third, *_ = lines()
    assert first.startswith("double for NVIDIA B200, modelled")
    assert "nothing is timed" in first
    assert second == "6 trials on 2 problems; 2 compiling workers"
    assert third.startswith("journal: ")


def test_what_is_known_already_is_told(bench, lines):
    run(bench, trials=1)
    lines()
    run(bench)
    assert "6 trials on 2 problems, 2 known from an earlier run" in lines()[1]


def test_each_problem_ends_with_its_winner_or_without(bench, lines):
    bench.write(constraints="['block > tokens']")
    run(bench)
    *_, one, eight = lines()
    assert one.startswith("T=1: block=4, ~")
    assert eight == "T=8: no valid config of 0"


def watched(plan, done, planned):
    progress = SweepProgress()
    progress.started(plan, 0, planned)
    workload = WorkCount(progress.work)
    workload.planned, workload.done = planned, done
    return workload


def test_a_plain_line_comes_at_most_every_ten_seconds_with_an_estimate(bench, clock, lines):
    workload = watched(bench.plan(), 0, 100)
    lines()
    for _ in range(50):
        clock.seconds += 0.5
        workload.finish(Stage.COMPILE)
    assert lines() == [
        " 20% done, about 40 s left; compile: 0/100 trials known, 0 not valid",
        " 40% done, about 30 s left; compile: 0/100 trials known, 0 not valid",
    ]


def test_an_early_estimate_is_not_told(bench, clock, lines):
    workload = watched(bench.plan(), 0, 100)
    lines()
    clock.seconds = 30.0
    workload.finish(Stage.COMPILE)
    assert lines() == ["  1% done; compile: 0/100 trials known, 0 not valid"]


def test_a_terminal_gets_a_bar_and_an_end(bench, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    run(bench)
    assert "T=8: block=4" in capsys.readouterr().err
