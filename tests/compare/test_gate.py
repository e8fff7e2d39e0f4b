"""A gate that cannot tell says so: it passes nothing that it could not have failed."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.compare.sides import bench
from workbench.compare.comparison import MOST_REPEATS, Judged
from workbench.compare.gate import compare
from workbench.report.compare import finding

ONE = {"arms": ("split",), "loads": (1,)}


def doubled(folder, noise, repeats=3, **more):
    """A TPOT that doubled, in repeats that scatter by so much."""
    options = {**ONE, "noise": noise, "repeats": repeats, **more}
    a = bench(folder / "a.json", seed=1, **options)
    return a, bench(folder / "b.json", seed=2, tpot=16.0, **options)


def judged(folder, seed, repeats):
    """The TPOT of a pair of which B takes 1.2 times as long, in repeats that scatter by a tenth."""
    options = {**ONE, "noise": 0.15, "repeats": repeats}
    a = bench(folder / f"a{seed}.json", seed=2 * seed, **options)
    b = bench(folder / f"b{seed}.json", seed=2 * seed + 1, tpot=9.6, **options)
    return next(each for each in compare(a, b, fail_on=["tpot_p50_ms"]).figures if each.counts)


def test_a_doubled_tpot_that_is_lost_in_noise_is_no_pass(tmp_path):
    found = compare(*doubled(tmp_path, noise=0.5), fail_on=["tpot_p50_ms"])
    assert not found.failed
    assert found.void.startswith("cannot tell: the only figure is too noisy under the limit; about ")
    assert found.void.endswith("times as many repeats would tell tpot_p50_ms of NVIDIA_B200 chat split x1")


def test_what_was_asked_for_tells(tmp_path):
    told = 0
    for seed in range(10):
        figure = judged(tmp_path, seed, repeats=6)
        repeats = math.ceil(6 * (figure.more_repeats or 1))
        told += judged(tmp_path, seed + 100, repeats=repeats).verdict == "regression"
    # The spread of six repeats is itself a guess.
    assert told >= 6


def test_unresolved_figures_fail_where_that_is_asked_for(tmp_path):
    found = compare(*doubled(tmp_path, noise=0.5), fail_on=["tpot_p50_ms,unresolved"])
    assert found.failed
    assert finding(found).startswith("FAILED, the only figure is too noisy under the limit; about ")
    sound = compare(*[bench(tmp_path / name, **ONE, noise=0.0001) for name in "cd"], fail_on=["unresolved"])
    assert not sound.failed


def test_figures_that_are_resolved_decide_and_the_others_stand_before_them(tmp_path):
    a = bench(tmp_path / "a.json", arms=("split",), loads=(1, 8), noise=0.0005, seed=1)
    b = bench(tmp_path / "b.json", arms=("split",), loads=(1, 8), noise=0.0005, seed=2)
    noisy = bench(tmp_path / "c.json", arms=("split",), loads=(1,), noise=0.3, seed=3)
    import msgspec

    content = msgspec.json.decode(b.read_bytes())
    content["rows"][0] = msgspec.json.decode(noisy.read_bytes())["rows"][0]
    b.write_bytes(msgspec.json.encode(content))
    found = compare(a, b, fail_on=["tpot_p50_ms"])
    assert not found.failed
    assert found.void is None
    verdicts = [each.verdict for each in found.figures if each.counts]
    assert verdicts[0] == "unresolved"
    assert "same" in verdicts
    assert "more too noisy to tell" in finding(found)


def test_of_equal_figures_there_is_nothing_to_tell(tmp_path):
    a, _ = doubled(tmp_path, noise=0.5)
    found = compare(a, a, fail_on=["tpot_p50_ms"])
    assert (found.failed, found.void) == (False, None)
    assert finding(found) == "Nothing differs in 1 figure, which are too noisy to tell more."


@pytest.mark.parametrize(("low", "high"), [(-1.0, 5.0), (-0.5, math.inf)])
def test_an_interval_without_an_end_takes_more_repeats_than_are_counted(low, high):
    figure = Judged(
        label="x",
        metric="time_us",
        better="lower",
        a=1.0,
        b=2.0,
        change=1.0,
        low=low,
        high=high,
        limit=0.015,
        counts=True,
        shown=True,
        verdict="unresolved",
    )
    assert figure.more_repeats > MOST_REPEATS


@pytest.mark.parametrize("noise", [0.002, 0.02, 0.2])
def test_equal_runs_fail_no_more_often_than_promised(tmp_path, noise):
    failed = 0
    for seed in range(40):
        paths = [
            bench(tmp_path / f"{side}-{seed}.json", seed=1000 * side + seed, noise=noise, loads=(1, 8))
            for side in (1, 2)
        ]
        failed += compare(*map(Path, paths)).failed
    assert failed <= 2
