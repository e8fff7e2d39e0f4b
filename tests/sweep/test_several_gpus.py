"""Several GPUs on one machine, simulated: every problem is timed on one of them, and all of them at once."""

from __future__ import annotations

import threading

import pytest

from tests.support.patience import PATIENCE_S
from tests.sweep.evaluators.test_gpu import SimulatedGpu, by_block
from tests.sweep.in_process import Killed
from workbench.executors.site import LocalSite
from workbench.trials.trial import Evidence

TOKENS = [1, 2, 4, 8, 16, 32]


@pytest.fixture
def gpu(bench):
    gpu = SimulatedGpu()
    gpu.true_us = by_block({1: 10.0, 2: 9.0, 4: 7.0, 8: 8.0})
    bench.answers["verify_on_gpu"] = gpu.verify_on_gpu
    bench.answers["measure_on_gpu"] = gpu.measure_on_gpu
    bench.write(problems=f"{{width: 8, tokens: {TOKENS}}}", space="{block: [1, 2, 4, 8]}")
    return gpu


@pytest.fixture
def measure(bench, gpu):
    def measure(count, **more):
        return bench.run(
            evidence=Evidence.MEASURED, site=LocalSite([str(number) for number in range(count)]), **more
        )

    return measure


def where_measured(bench):
    """Tokens -> the GPUs that measured or verified anything of that problem."""
    found = {}
    for environment, function, (_, problem, *_) in bench.asked:
        if function in ("verify_on_gpu", "measure_on_gpu"):
            found.setdefault(problem["tokens"], set()).add(environment["CUDA_VISIBLE_DEVICES"])
    return found


def test_all_gpus_are_timed_at_once_and_each_problem_on_one(bench, gpu, measure):
    together, first = threading.Barrier(3, timeout=PATIENCE_S), threading.local()

    def meet(*arguments):
        if not getattr(first, "met", False):
            first.met = True
            together.wait()
        return gpu.measure_on_gpu(*arguments)

    bench.answers["measure_on_gpu"] = meet
    measure(3)
    where = where_measured(bench)
    assert sorted(where) == TOKENS
    assert {len(gpus) for gpus in where.values()} == {1}
    assert set.union(*where.values()) == {"0", "1", "2"}


def test_outcomes_are_in_the_order_of_the_problems_and_every_trial_in_the_journal_once(bench, measure):
    outcome = measure(3)
    assert [each.problem["tokens"] for each in outcome.problems] == TOKENS
    assert {each.winner.config["block"] for each in outcome.problems} == {4}
    assert {tokens: row.config["block"] for tokens, row in bench.rows.items()} == dict.fromkeys(TOKENS, 4)
    names = [line["trial"] for line in bench.journal_lines()]
    assert len(names) == len(set(names)) == 4 * len(TOKENS)
    assert len(bench.journal_lines("finals.jsonl")) == len(TOKENS)


def test_each_code_is_compiled_once_for_all_gpus(bench, measure):
    bench.write(problems="{width: 8, tokens: [16, 32, 64]}", space="{block: [1, 2, 4, 8]}")
    measure(3)
    assert len(bench.compiled) == 4


def test_killed_and_run_again_on_another_number_of_gpus_it_ends_the_same(bench, measure):
    with pytest.raises(Killed):
        measure(3, killed_after=10)
    known = len(bench.journal_lines())
    measure(2)
    assert known + len(bench.told.trials) == len(bench.journal_lines()) == 4 * len(TOKENS)
    assert {row.config["block"] for row in bench.rows.values()} == {4}


def test_what_goes_wrong_on_one_gpu_ends_the_sweep(bench, gpu, measure):
    def fill_the_disk(trial):
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workbench.trials.journal._append", lambda *_: fill_the_disk(None))
        with pytest.raises(OSError, match="No space left"):
            measure(2)


def test_more_gpus_than_problems_are_no_trouble(bench, measure):
    assert len(measure(9).problems) == len(TOKENS)
