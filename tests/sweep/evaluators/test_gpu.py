from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from moe_kernels.routing_distribution import UNIFORM
from tests.support.nvtx_recorder import record_ranges
from tests.sweep.in_process import DiedError, InProcessPool, Killed
from workbench.base.ranges import NVTX_VARIABLE
from workbench.executors import WorkFailure
from workbench.executors.process import death
from workbench.measure.race import MeasureSettings, TimedConfig, measure_batch
from workbench.sweep.choice import WinnerChoice
from workbench.sweep.evaluators.gpu import CONTEXT_LOST, measure_on_gpu, slow_at_once
from workbench.sweep.evaluators.timed import BATCH, SESSIONS
from workbench.trials.trial import Evidence


class SimulatedGpu:
    """Answers in the place of the GPU's worker, with the times that a test says are true.

    Attributes:
        true_us: config -> microseconds a call.
        verdict: config -> what verifying says.
        deadly: config -> how the process ends that measures it: an exit code, "hangs" or "raises"; else None.
        batches: the configs of every batch that was measured, the baseline first.
    """

    def __init__(self):
        self.true_us = lambda config: 10.0
        self.verdict = lambda config: None
        self.deadly = lambda config: None
        self.batches, self.verified, self.labels, self.settings = [], [], [], []
        self.rng = np.random.default_rng(7)
        self.seconds = 0.0

    def verify_on_gpu(self, reference, problem, config, seeds, distributions):
        self.verified.append(config)
        return self._live(self.verdict(config))

    def measure_on_gpu(self, reference, problem, configs, default, settings, distribution):
        self.labels.append(distribution.label)
        self.settings.append(settings)
        self.batches.append((default, *configs.values()))
        for config in (default, *configs.values()):
            self._live(self.deadly(config))
        too_slow = slow_at_once(configs, default, settings, self.true_us)
        raced = {name: config for name, config in configs.items() if name not in too_slow}
        result = measure_batch(
            [TimedConfig(name, self._timer(config)) for name, config in raced.items()],
            default=self._timer(default),
            default_again=self._timer(default),
            settings=settings,
            now=lambda: self.seconds,
        )
        return replace(result, too_slow=too_slow)

    def _live(self, fate):
        if isinstance(fate, int):
            raise DiedError(death(fate))
        if fate == "hangs":
            raise DiedError(WorkFailure("timeout", "killed after 660 s"))
        if fate == "raises":
            raise RuntimeError("Triton Error [CUDA]: invalid argument")
        return fate

    def _timer(self, config):
        return SimulatedTimer(self, self.true_us(config))


class SimulatedTimer:
    def __init__(self, gpu, true_us):
        self.gpu, self.true_us = gpu, true_us

    def sample(self):
        self.gpu.seconds += 0.001
        return self.true_us * self.gpu.rng.lognormal(0.0, 0.005)


@pytest.fixture
def gpu(bench):
    gpu = SimulatedGpu()
    bench.answers["verify_on_gpu"] = gpu.verify_on_gpu
    bench.answers["measure_on_gpu"] = gpu.measure_on_gpu
    bench.write(problems="{width: 8, tokens: [8]}", space="{block: [1, 2, 4, 8], num_warps: [1, 2]}")
    return gpu


@pytest.fixture
def measure(bench, gpu):
    def measure(**more):
        return bench.run(evidence=Evidence.MEASURED, **more)

    return measure


def by_block(times):
    return lambda config: times[config["block"]]


def statuses(bench):
    return {
        (line["config"]["block"], line["config"]["num_warps"]): line["status"]
        for line in bench.journal_lines()
    }


def test_the_winner_is_the_truth(bench, gpu, measure):
    gpu.true_us = lambda config: {1: 10.0, 2: 9.0, 4: 7.0, 8: 8.0}[config["block"]] * config["num_warps"]
    measure()
    row = bench.rows[8]
    assert row.config == {"fault": "none", "block": 4, "num_warps": 1}
    assert (row.evidence, row.kept_default) == ("measured", False)
    assert row.time_us == pytest.approx(7.0, rel=0.02)
    assert row.default_time_us == pytest.approx(10.0, rel=0.02)
    low, high = row.ci_us
    assert low <= row.time_us <= high
    assert row.measure["routing"] == "uniform"
    assert "note" not in row.extra


def test_a_config_that_only_ties_leaves_the_default(bench, gpu, measure):
    measure()
    row = bench.rows[8]
    assert row.kept_default
    assert row.config == {"fault": "none", "block": 1, "num_warps": 1}
    assert row.speedup == pytest.approx(1.0)
    assert row.measure["margin"] >= 0.01


def test_half_a_percent_is_no_win(bench, gpu, measure):
    gpu.true_us = by_block({1: 10.0, 2: 10.0, 4: 9.95, 8: 10.0})
    measure()
    assert bench.rows[8].kept_default


def test_a_config_wins_only_where_it_loses_under_no_distribution(bench, gpu, measure):
    gpu.true_us = lambda config: (
        {4: 7.0, 8: 8.0}.get(config["block"], 10.0)
        * (2.0 if gpu.labels[-1] == "zipf:1" and config["block"] == 4 else 1.0)
    )
    gpu_measures(bench, "[uniform, zipf]")
    measure()
    row = bench.rows[8]
    assert row.config["block"] == 8
    assert row.measure["routing"] == ["uniform", "zipf:1"]
    assert {sample["routing"] for sample in bench.journal_lines("samples.jsonl")} == {"uniform", "zipf:1"}


def test_the_routing_of_the_inputs_is_part_of_a_trials_name(bench, gpu, measure):
    def names(routing):
        gpu_measures(bench, routing)
        return {trial.trial for each in measure().problems for trial in each.trials}

    uniform, zipf = names("uniform"), names("zipf")
    assert len(zipf) == len(uniform) == 4
    assert zipf.isdisjoint(uniform)


def test_the_best_that_a_table_can_hold_is_kept_beside_a_winner_that_has_more(bench, gpu, measure):
    gpu.true_us = lambda config: (
        6.0 if config["num_warps"] == 2 else {1: 10.0, 2: 9.0}.get(config["block"], 12.0)
    )
    bench.write(
        kernel="tests.sweep.toy_kernels:EXCHANGED",
        problems="{width: 8, tokens: [8]}",
        space="{block: [1, 2, 4], num_warps: [1, 2]}",
    )
    measure()
    row = bench.rows[8]
    assert row.config["num_warps"] == 2
    engine = row.extra["engine"]
    assert engine["config"] == {"fault": "none", "block": 2, "num_warps": 1}
    assert engine["time_us"] == pytest.approx(9.0, rel=0.02)
    assert not engine["kept_default"]


def gpu_measures(bench, routing):
    bench.write(
        kernel="tests.sweep.toy_kernels:ROUTED",
        problems="{width: 8, tokens: [8]}",
        space="{block: [1, 2, 4, 8], num_warps: [1]}",
        measure=f"{{routing: {routing}}}",
    )


def test_raw_rounds_and_finals_are_written(bench, gpu, measure):
    gpu.true_us = by_block({1: 10.0, 2: 9.0, 4: 7.0, 8: 8.0})
    measure()
    samples = bench.journal_lines("samples.jsonl")
    trials = {line["trial"] for line in bench.journal_lines()}
    names = Counter(sample["name"] for sample in samples)
    assert {"default", "default again"} < names.keys()
    assert names.keys() - trials == {"default", "default again"}
    assert min(names.values()) >= 10
    (final,) = bench.journal_lines("finals.jsonl")
    assert final["noise_floor"] > 0
    finalists = {trial["config"]["block"]: trial["time_us"] for trial in final["trials"]}
    assert finalists[4] == pytest.approx(7.0, rel=0.02)
    assert finalists[1] == pytest.approx(10.0, rel=0.02)


def test_every_trial_has_its_time_its_ratio_and_its_intervals(bench, gpu, measure):
    measure()
    for line in bench.journal_lines():
        assert (line["status"], line["stage"], line["evidence"]) == ("ok", "measure", "measured")
        assert line["ci_us"][0] <= line["time_us"] <= line["ci_us"][1]
        assert line["ratio_ci"][0] <= line["ratio"] <= line["ratio_ci"][1]
        assert line["verified_on"] == {"width": 8, "tokens": 8}


def test_a_repeated_sweep_measures_nothing_and_publishes_the_same_bytes(bench, gpu, measure):
    measure()
    before = bench.winners_path.read_bytes()
    bench.answers.clear()
    measure()
    assert bench.winners_path.read_bytes() == before
    assert len(bench.journal_lines("finals.jsonl")) == 1


@pytest.mark.parametrize("after", [1, 5, 8])
def test_a_resumed_sweep_measures_only_what_is_not_known(bench, gpu, measure, after):
    gpu.true_us = by_block({1: 10.0, 2: 9.0, 4: 7.0, 8: 8.0})
    with pytest.raises(Killed):
        measure(killed_after=after)
    known = {line["trial"] for line in bench.journal_lines()}
    gpu.batches.clear()
    measure()
    # A batch is written whole: the default alone, then the others together.
    assert len(known) == (1 if after == 1 else 8)
    assert len(bench.told.trials) == 8 - len(known)
    assert known.isdisjoint(trial.trial for trial in bench.told.trials)
    assert len(gpu.batches) == (len(known) < 8) + SESSIONS
    assert bench.rows[8].config["block"] == 4


def test_a_larger_budget_makes_new_finals(bench, gpu, measure):
    gpu.true_us = by_block({1: 10.0, 2: 9.0, 4: 7.0, 8: 8.0})
    measure(trials=3)
    assert bench.rows[8].config["block"] == 2
    measure(trials=8)
    assert bench.rows[8].config["block"] == 4
    assert len(bench.journal_lines("finals.jsonl")) == 2


def test_a_wrong_config_is_never_timed(bench, gpu, measure):
    gpu.verdict = lambda config: "seed 0: y: wrong" if config["block"] == 4 else None
    measure()
    wrong = [line for line in bench.journal_lines() if line["config"]["block"] == 4]
    assert {(line["status"], line["time_us"], line["stage"]) for line in wrong} == {
        ("wrong_result", None, "verify")
    }
    assert all(config["block"] != 4 for batch in gpu.batches for config in batch)


@pytest.mark.parametrize(
    "fate, status, reason",
    [
        (-11, "crashed", "measuring: the worker process died of SIGSEGV"),
        (CONTEXT_LOST, "crashed", "measuring: it broke the CUDA context"),
        ("hangs", "timeout", "measuring: killed after 660 s"),
        ("raises", "crashed", "measuring: RuntimeError: Triton Error [CUDA]: invalid argument"),
    ],
)
def test_of_a_batch_whose_process_dies_only_the_culprit_is_lost(bench, gpu, measure, fate, status, reason):
    gpu.true_us = by_block({1: 10.0, 2: 9.0, 4: 7.0, 8: 8.0})
    gpu.deadly = lambda config: fate if (config["block"], config["num_warps"]) == (4, 1) else None
    measure()
    found = statuses(bench)
    assert found.pop((4, 1)) == status
    assert set(found.values()) == {"ok"}
    (culprit,) = (line for line in bench.journal_lines() if line["status"] != "ok")
    assert culprit["reason"].startswith(reason)
    assert (culprit["time_us"], culprit["evidence"], culprit["stage"]) == (None, "none", "measure")
    assert bench.rows[8].config == {"fault": "none", "block": 4, "num_warps": 2}


def test_a_config_that_dies_in_verification_is_lost_alone(bench, gpu, measure):
    gpu.verdict = lambda config: CONTEXT_LOST if config["block"] == 2 else None
    measure()
    assert {block for (block, _), status in statuses(bench).items() if status == "crashed"} == {2}


@pytest.mark.parametrize("where", ["verify", "measure"])
def test_a_default_that_cannot_run_leaves_a_winner_without_a_default_time(bench, gpu, measure, where):
    gpu.true_us = by_block({1: 10.0, 2: 9.0, 4: 7.0, 8: 8.0})
    is_default = {"fault": "none", "block": 1, "num_warps": 1}
    dies = lambda config: -6 if config == is_default else None  # noqa: E731
    setattr(gpu, "verdict" if where == "verify" else "deadly", dies)
    measure()
    found = statuses(bench)
    assert found.pop((1, 1)) == "crashed"
    assert set(found.values()) == {"ok"}
    row = bench.rows[8]
    assert (row.config["block"], row.default_time_us, row.kept_default) == (4, None, False)
    # A ratio is one to the default, and there is none.
    assert {line["ratio"] for line in bench.journal_lines()} == {None}


def test_where_every_config_dies_there_is_no_winner(bench, gpu, measure):
    gpu.deadly = lambda config: -6
    outcome = measure()
    assert len(outcome.empty) == 1
    assert set(statuses(bench).values()) == {"crashed"}


def test_finals_that_fail_keep_the_default(bench, gpu, measure):
    gpu.true_us = by_block({1: 10.0, 2: 9.0, 4: 7.0, 8: 8.0})
    bench.answers["measure_on_gpu"] = lambda *arguments: (
        gpu._live(-6) if len(gpu.batches) == 1 else gpu.measure_on_gpu(*arguments)
    )
    measure()
    assert bench.rows[8].kept_default
    assert bench.journal_lines("finals.jsonl") == []


def test_a_few_rounds_win_nothing_however_clear_they_look(bench, gpu, measure):
    gpu.true_us = by_block({1: 10.0, 2: 9.0, 4: 7.0, 8: 8.0})
    bench.write(
        problems="{width: 8, tokens: [8]}",
        space="{block: [1, 2, 4, 8], num_warps: [1, 2]}",
        measure="{max_seconds: 0.02}",
    )
    measure()
    assert bench.rows[8].kept_default


def test_large_spaces_are_measured_in_batches_beside_the_default(bench, gpu, measure):
    blocks = ", ".join(str(block) for block in range(65, 65 + BATCH + 6))
    bench.write(problems="{width: 8, tokens: [8]}", space=f"{{block: [{blocks}]}}")
    measure()
    default, *batches, finals, again = gpu.batches
    assert [len(batch) for batch in (default, *batches)] == [1, 1 + BATCH, 1 + 6]
    assert all(batch[0]["block"] == 1 for batch in gpu.batches)
    assert len(finals) == len(again) == 5
    assert finals[0] == again[0]
    assert finals[1:] != again[1:]
    assert sorted(map(str, finals)) == sorted(map(str, again))


def test_what_one_launch_shows_to_be_hopeless_is_not_raced_and_says_so(bench, gpu, measure):
    gpu.true_us = by_block({1: 10.0, 2: 49.0, 4: 51.0, 8: 9.0})
    measure()
    slow = [line for line in bench.journal_lines() if line["status"] == "pruned"]
    assert {line["config"]["block"] for line in slow} == {4}
    assert {line["stage"] for line in slow} == {"measure"}
    assert slow[0]["reason"] == "one launch took 51.0 us, 5.1 times the default's 10.0 us: not raced"
    assert slow[0]["time_us"] is None
    assert bench.rows[8].config["block"] == 8


def test_finals_race_whatever_the_search_left_them(bench, gpu, measure):
    measure()
    assert [settings.too_slow_ratio for settings in gpu.settings][-SESSIONS:] == [None] * SESSIONS


def test_the_finals_of_all_problems_come_last_and_share_one_fresh_process(bench, gpu, measure):
    bench.write(problems="{width: 8, tokens: [8, 16, 32]}", space="{block: [1, 2, 4, 8]}")
    gpu.true_us = by_block({1: 10.0, 2: 9.0, 4: 7.0, 8: 8.0})
    renewed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InProcessPool, "renew", lambda pool: renewed.append(len(gpu.batches)))
        measure()
    assert len(renewed) == 1
    assert len(gpu.batches) == renewed[0] + 3 * SESSIONS


def test_winners_of_the_search_are_provisional_until_the_finals(bench, gpu, measure):
    gpu.true_us = by_block({1: 10.0, 2: 9.0, 4: 7.0, 8: 8.0})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WinnerChoice, "winner", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            measure()
    assert bench.rows[8].evidence == "provisional"
    assert bench.rows[8].config["block"] == 4
    text = json.loads(bench.winners_path.read_text())["rows"]["8"]
    assert (text["evidence"], text["provisional"]) == ("measured", True)
    measure()
    assert bench.rows[8].evidence == "measured"
    assert "provisional" not in bench.winners_path.read_text()


def test_progress_counts_every_compile_and_every_trial(bench, gpu, measure):
    measure()
    assert bench.told.workload.done == bench.told.workload.planned == 16


def test_a_lost_context_is_put_into_words_and_other_deaths_are_not():
    from workbench.sweep.evaluators.gpu import _told

    assert "CUDA context" in _told(WorkFailure("crashed", "code 86", exit_code=CONTEXT_LOST)).reason
    assert _told(WorkFailure("crashed", "code 1", exit_code=1)).reason == "code 1"
    assert _told("a verdict") == "a verdict"


def test_a_batch_names_what_it_does_for_nsight_and_nothing_within_a_round(monkeypatch):
    class Timers:
        def inputs(self, *_):
            return None

        def one_launch_us(self, *_):
            return 1.0

        def of_kernel(self, *_):
            return SimpleNamespace(sample=lambda: 1.0)

    monkeypatch.setattr("workbench.measure.timers.GpuTimers", Timers)
    monkeypatch.setenv(NVTX_VARIABLE, "1")
    ranges = record_ranges(monkeypatch)
    settings = MeasureSettings(min_rounds=2, max_rounds=2, warmup_seconds=0)
    problem = {"num_experts": 8, "top_k": 2, "dtype": "bfloat16", "tokens": 1}
    measure_on_gpu("routing", problem, {"a": {}}, {}, settings, UNIFORM)
    batch = "batch of 1 routing: num_experts=8 top_k=2 dtype=bfloat16 tokens=1"
    parts = ("inputs", "single launches", "graphs", "rounds")
    assert ranges.opened == [batch, *(f"{batch}/{part}" for part in parts)]
    assert ranges.open == []
