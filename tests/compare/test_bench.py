from __future__ import annotations

from dataclasses import replace

import pytest

from tests.compare.sides import a_row, bench
from workbench.base.errors import IncomparableError, InputError
from workbench.bench.figures import of_repeats, single
from workbench.bench.rows import read_bench, write_bench
from workbench.compare.gate import compare


@pytest.fixture
def two(tmp_path):
    def two(**b):
        return bench(tmp_path / "a.json", seed=1), bench(tmp_path / "b.json", **{"seed": 2, **b})

    return two


@pytest.mark.parametrize("seed", range(2, 12))
def test_equal_things_do_not_fail(two, seed):
    found = compare(*two(seed=seed))
    assert not found.failed
    assert found.judged


@pytest.mark.parametrize("seed", range(2, 8))
def test_a_tpot_3_percent_higher_fails(two, seed):
    found = compare(*two(tpot=8.24, seed=seed))
    assert {"tpot_p50_ms", "output_tokens_per_s"} <= {each.metric for each in found.regressions}


def test_a_higher_throughput_is_better_and_a_lower_tpot_too(two):
    found = compare(*two(tpot=7.0))
    assert not found.failed
    assert {"tpot_p50_ms", "output_tokens_per_s"} <= {each.metric for each in found.improvements}


def test_a_metric_that_is_only_printed_does_not_fail(two):
    paths = two(tpot=9.0)
    assert compare(*paths, print_only=["tpot_p50_ms"]).failed
    found = compare(*paths, print_only=["tpot_p50_ms,output_tokens_per_s"])
    assert not found.failed
    assert any(each.metric == "tpot_p50_ms" and each.shown for each in found.figures)


def test_a_run_that_died_fails_whatever_the_speed(tmp_path):
    a = a_row(tmp_path / "a.json")
    b = a_row(tmp_path / "b.json", status="oom", reason="CUDA out of memory", metrics={})
    found = compare(a, b)
    assert found.failed
    assert found.failures == ("NVIDIA_B200 fused x8: oom: CUDA out of memory",)


def test_what_died_on_both_sides_is_no_regression(tmp_path):
    rows = {"arms": ("split",), "loads": (1, 8), "noise": 0.001}
    paths = [bench(tmp_path / f"{seed}.json", seed=seed, **rows) for seed in (1, 2)]
    for path in paths:
        file = read_bench(path)
        died = replace(file.rows[1], status="oom", reason="CUDA out of memory", metrics={})
        write_bench(path, replace(file, rows=(file.rows[0], died)))
    found = compare(*paths)
    assert not found.failed
    assert found.void is None
    assert found.unfit == ("x8: oom: CUDA out of memory",)


def test_where_a_died_there_is_nothing_to_compare_with(tmp_path):
    a = a_row(tmp_path / "a.json", status="oom", reason="CUDA out of memory", metrics={})
    found = compare(a, a_row(tmp_path / "b.json"))
    assert not found.failed
    assert "A failed its own checks" in found.void


def test_requests_that_only_b_loses_fail(tmp_path):
    a = a_row(tmp_path / "a.json", completed=100, failed=1)
    assert not compare(a, a).failed
    b = a_row(tmp_path / "b.json", completed=98, failed=3)
    assert "requests failed" in compare(a, b).failures[0]


def test_single_arms_are_compared_whatever_they_are_called(tmp_path):
    a = a_row(tmp_path / "a.json", arm="before")
    found = compare(a, a_row(tmp_path / "b.json", arm="after"))
    assert "arm before of A against arm after of B" in found.notes


def test_arms_of_one_file_are_compared_by_name(tmp_path):
    path = bench(tmp_path / "a.json")
    assert compare(path, path, arms=("split", "fused")).figures
    with pytest.raises(InputError, match="B has no arm 'tuned'; it has split, fused"):
        compare(path, path, arms=("split", "tuned"))


def test_runs_of_one_arm_and_load_are_repeats(tmp_path):
    paths = []
    for side, tpot in (("a", 8.0), ("b", 8.4)):
        (tmp_path / side).mkdir()
        for run in range(5):
            metrics = {"tpot_p50_ms": single(tpot * (1 + 0.001 * run), 100, "requests")}
            a_row(tmp_path / side / f"{run}.json", metrics=metrics)
        paths.append(tmp_path / side)
    (regression,) = compare(*paths).regressions
    assert regression.metric == "tpot_p50_ms"


def test_a_single_run_without_an_interval_proves_nothing(two):
    found = compare(*two(tpot=9.0, repeats=1, arms=("split",)), arms=("split", "split"))
    assert not any(each.judged for each in found.figures if each.metric == "tpot_p50_ms")


def test_the_mean_stands_in_where_the_median_has_no_interval(tmp_path):
    def metrics(value):
        mean = of_repeats([value, 1.001 * value, 1.002 * value])
        return {"tpot_p50_ms": single(value), "tpot_mean_ms": mean}

    a = a_row(tmp_path / "a.json", metrics=metrics(8.0))
    b = a_row(tmp_path / "b.json", metrics=metrics(8.4))
    assert [each.metric for each in compare(a, b).regressions] == ["tpot_mean_ms"]


def test_an_acceptance_length_of_another_window_is_another_quantity(tmp_path):
    metrics = {"acceptance_length": of_repeats([3.0, 3.01]), "tpot_p50_ms": of_repeats([8.0, 8.01])}
    a = a_row(tmp_path / "a.json", metrics=metrics, acceptance_window="run")
    b = a_row(tmp_path / "b.json", metrics=metrics, acceptance_window="server_start")
    assert "acceptance_length" not in {each.metric for each in compare(a, b).figures}


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"device": "NVIDIA_H200"}, "device: NVIDIA_B200 against NVIDIA_H200"),
        ({"model": "tiny"}, "model: 26b-a4b against tiny"),
        ({"workload": "mine"}, "workload: chat against mine"),
        ({"gpus": 2}, "gpus: 1 against 2"),
        ({"source": "vllm"}, "source: workbench against vllm"),
        ({"versions": {"torch": "2.11"}}, "versions.torch: 2.13.0 against 2.11"),
        ({"input_tokens": 2000.0}, "input_tokens: unknown against 2000"),
    ],
)
def test_what_must_not_be_compared_is_refused_by_its_keys(two, changes, told):
    with pytest.raises(IncomparableError, match=told):
        compare(*two(**changes))


def test_lengths_that_were_drawn_may_differ_a_little(tmp_path):
    a = a_row(tmp_path / "a.json", input_tokens=1000.0)
    assert not compare(a, a_row(tmp_path / "b.json", input_tokens=1010.0)).failed
    with pytest.raises(IncomparableError, match="input_tokens: 1000 against 1100"):
        compare(a, a_row(tmp_path / "b.json", input_tokens=1100.0))
