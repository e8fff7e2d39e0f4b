from __future__ import annotations

import itertools

import pytest

from tests.bench.virtual_engine import OutOfMemoryError, VirtualClock, VirtualEngine
from workbench.base.errors import InputError
from workbench.bench.runner import run_workload
from workbench.bench.workload import DecodeWorkload

SPLIT = {"prefill_s": 0.5, "step_s": 0.010}
FUSED = {"prefill_s": 0.4, "step_s": 0.008}


def workload(**changes):
    plain = {
        "name": "chat",
        "input_tokens": 100,
        "output_tokens": 51,
        "arms": ("split", "fused"),
        "repeats": 3,
    }
    return DecodeWorkload(**{**plain, **changes})


def run(work, **arms):
    clock = VirtualClock()
    engine = VirtualEngine(clock, arms)
    return list(run_workload(work, engine, clock=clock)), engine


def values(row):
    return {name: figure.value for name, figure in row.metrics.items()}


def test_every_figure_follows_from_when_tokens_came():
    (row, _), _ = run(workload(concurrency=(4,)), split=SPLIT, fused=FUSED)
    figures = values(row)
    assert figures["ttft_p50_ms"] == pytest.approx(500)
    assert figures["tpot_p50_ms"] == figures["tpot_p99_ms"] == pytest.approx(10)
    assert figures["itl_p99_ms"] == pytest.approx(10)
    assert figures["e2el_p50_ms"] == pytest.approx(1000)
    assert figures["output_tokens_per_s"] == pytest.approx(4 * 51 / 1.0)
    assert figures["tokens_per_s_per_user"] == pytest.approx(100)
    assert figures["peak_memory_bytes"] == 1 << 30


def test_a_row_says_what_it_is_of():
    (row, _), _ = run(workload(concurrency=(4,)), split=SPLIT, fused=FUSED)
    assert (row.source, row.arm, row.device, row.model, row.workload) == (
        "workbench",
        "split",
        "NVIDIA_B200",
        "tiny",
        "chat",
    )
    assert (row.concurrency, row.completed, row.failed, row.status) == (4, 12, 0, "ok")
    assert row.versions == {"torch": "2.13.0"}


def test_figures_are_over_repeats_with_their_spread():
    pace = itertools.cycle([0.010] * 50 + [0.012] * 50 + [0.014] * 50)
    split = {"prefill_s": 0.5, "step_s": lambda: next(pace)}
    (row, _), _ = run(workload(warm_up=0), split=split, fused=FUSED)
    tpot = row.metrics["tpot_p50_ms"]
    assert tpot.samples == pytest.approx((10, 12, 14))
    assert (tpot.n, tpot.of, tpot.spread) == (3, "runs", "bootstrap")
    assert tpot.value == pytest.approx(12)


def test_speculation_is_counted_over_the_run_and_its_gaps_are_of_steps():
    speculating = {"prefill_s": 0.5, "step_s": 0.010, "accepted": 1, "drafted": 4}
    (row, _), _ = run(workload(draft_tokens=4), split=speculating, fused=speculating)
    figures = values(row)
    assert figures["acceptance_length"] == pytest.approx(2.0)
    assert figures["acceptance_rate"] == pytest.approx(0.25)
    assert (row.acceptance_window, row.itl_definition, row.draft_tokens) == ("run", "chunk", 4)
    assert figures["tpot_p50_ms"] == pytest.approx(5)
    assert figures["itl_p50_ms"] == pytest.approx(10)


def test_without_speculation_there_is_no_acceptance():
    (row, _), _ = run(workload(), split=SPLIT, fused=FUSED)
    assert row.acceptance_window is None
    assert "acceptance_length" not in row.metrics


def test_tokens_beyond_the_wanted_length_are_not_counted():
    over = {"prefill_s": 0.5, "step_s": 0.010, "accepted": 3, "drafted": 3}
    (row, _), _ = run(workload(output_tokens=4, concurrency=(2,)), split=over, fused=over)
    assert values(row)["output_tokens_per_s"] == pytest.approx(2 * 4 / 0.51)


def test_energy_is_over_output_tokens_and_left_out_where_unknown():
    class Meter:
        def joules(self):
            return 100.0 * clock.seconds

    clock = VirtualClock()
    engine = VirtualEngine(clock, {"split": SPLIT, "fused": FUSED})
    row = next(run_workload(workload(), engine, clock=clock, energy=Meter()))
    assert values(row)["energy_j_per_token"] == pytest.approx(100 * 1.0 / 51)
    (unknown, _), _ = run(workload(), split=SPLIT, fused=FUSED)
    assert "energy_j_per_token" not in unknown.metrics


def test_arms_are_interleaved_in_changing_order_on_the_same_prompts():
    _, engine = run(workload(repeats=20, warm_up=2), split=SPLIT, fused=FUSED)
    rounds = [engine.log[at : at + 2] for at in range(0, len(engine.log), 2)]
    assert len(rounds) == 22
    assert all({arm for arm, _, _ in each} == {"split", "fused"} for each in rounds)
    assert all(len({seed for _, _, seed in each}) == 1 for each in rounds)
    assert len({each[0][0] for each in rounds}) == 2
    assert len({each[0][2] for each in rounds}) == 20


def test_warm_up_is_not_counted():
    pace = itertools.chain([10.0] * 50, itertools.repeat(0.010))
    split = {"prefill_s": 0.5, "step_s": lambda: next(pace)}
    (row,), _ = run(workload(arms=("split",), timeout_s=1e6), split=split)
    assert row.metrics["tpot_p50_ms"].samples == pytest.approx((10, 10, 10))


@pytest.mark.parametrize(
    "error, status",
    [
        (OutOfMemoryError("CUDA out of memory"), "oom"),
        (RuntimeError("no kernel"), "failed"),
        (MemoryError(), "oom"),
    ],
)
def test_an_arm_that_cannot_open_is_a_row_and_the_others_go_on(error, status):
    (split, fused), engine = run(workload(), split=error, fused=FUSED)
    assert (split.status, split.metrics) == (status, {})
    assert type(error).__name__ in split.reason
    assert (fused.status, engine.closed) == ("ok", 1)


def test_an_arm_out_of_memory_is_skipped_on_larger_loads():
    def split(batch):
        return OutOfMemoryError("full") if batch == 8 else SPLIT

    rows, _ = run(workload(concurrency=(16, 1, 8)), split=split, fused=FUSED)
    found = {(row.arm, row.concurrency): row for row in rows}
    assert [found["split", each].status for each in (1, 8, 16)] == ["ok", "oom", "skipped"]
    assert found["split", 16].reason == "out of memory already at concurrency 8"
    assert found["fused", 16].status == "ok"


def test_a_run_that_takes_too_long_times_out():
    (row, _), _ = run(workload(timeout_s=0.6), split={"prefill_s": 0.5, "step_s": 0.2}, fused=FUSED)
    assert row.status == "timeout"
    assert "timeout_s, 0.6 s" in row.reason


def test_a_session_that_yields_nothing_fails():
    (row, _), _ = run(workload(), split={"prefill_s": 0.5, "step_s": 0.01, "accepted": -1}, fused=FUSED)
    assert (row.status, row.metrics) == ("failed", {})
    assert "yielded no token" in row.reason


def test_a_repeat_that_fails_takes_its_arm_along_and_says_which():
    calls = itertools.count()

    def pace():
        if next(calls) == 120:
            raise RuntimeError("lost the GPU")
        return 0.010

    (row, other), _ = run(workload(warm_up=1), split={"prefill_s": 0.5, "step_s": pace}, fused=FUSED)
    assert row.reason == "repeat 2 of 3: RuntimeError: lost the GPU"
    assert row.metrics == {}
    assert other.status == "ok"


def test_an_engine_that_refuses_an_arm_ends_the_run():
    with pytest.raises(InputError):
        run(workload(), split=InputError("no such arm"), fused=FUSED)
