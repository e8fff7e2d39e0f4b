from __future__ import annotations

from dataclasses import replace

import pytest

from moe_kernels.tuned import parse, serialise
from tests.compare.sides import LADDER, all_rows, winners
from workbench.base.errors import IncomparableError, InputError
from workbench.compare.gate import compare


@pytest.fixture
def two(tmp_path):
    """Two results folders; keywords are of B alone."""

    def two(**b):
        a = winners(tmp_path / "a", seed=1)
        return a, winners(tmp_path / "b", **{"seed": 2, **b})

    return two


@pytest.mark.parametrize("seed", range(2, 12))
def test_equal_things_do_not_fail(two, seed):
    found = compare(*two(seed=seed))
    assert not found.failed
    assert len(found.judged) >= len(LADDER)


@pytest.mark.parametrize("seed", range(2, 8))
def test_one_row_that_is_3_percent_slower_fails_and_is_named(two, seed):
    found = compare(*two(factors={64: 1.03}, seed=seed))
    assert {each.label for each in found.regressions} == {"T=64"}


def test_all_rows_3_percent_slower_fail_as_a_whole_too(two):
    found = compare(*two(factors=all_rows(1.03)))
    assert any("geometric mean" in each.label for each in found.regressions)


def test_a_slowdown_that_the_default_shares_is_one(two):
    found = compare(*two(factors=all_rows(1.03), default=1.03))
    assert {each.metric for each in found.regressions} == {"time_us"}


def test_faster_rows_are_improvements_and_do_not_fail(two):
    found = compare(*two(factors=all_rows(0.9)))
    assert not found.failed
    assert len(found.improvements) >= len(LADDER)


def test_half_the_rows_3_percent_slower_are_not_taken_for_noise(two):
    slower = dict.fromkeys(LADDER[::2], 1.03)
    found = compare(*two(factors=slower))
    assert {f"T={tokens}" for tokens in slower} <= {each.label for each in found.regressions}


def test_drift_that_the_default_shows_too_is_noise(tmp_path):
    """Each row reads 3 % apart from run to run, the default with it."""
    a = winners(tmp_path / "a", seed=1, noise=0.002)
    drift = {tokens: 1.03 if place % 2 else 0.97 for place, tokens in enumerate(LADDER)}
    text = winners(tmp_path / "b", seed=2, noise=0.002, factors=drift)
    file = parse(text.read_text())
    rows = {
        tokens: replace(row, default_time_us=row.default_time_us * drift[tokens])
        for tokens, row in file.rows.items()
    }
    text.write_text(serialise(replace(file, rows=rows)))
    assert not compare(a, text).failed


def test_a_speedup_over_another_default_does_not_count(two):
    """The default got faster and the winner did not change."""
    found = compare(*two(default=0.9, source="1" * 16))
    assert not found.failed
    assert not any(each.counts for each in found.figures if each.metric == "speedup")
    assert any("another kernel source" in note for note in found.notes)


def test_a_row_without_an_interval_proves_nothing(two):
    found = compare(*two(factors=all_rows(1.5), interval=None))
    assert not found.failed
    assert "interval" in found.void


def test_an_interval_that_holds_no_change_is_no_regression(two):
    found = compare(*two(factors={64: 1.03}, interval=0.08))
    assert not found.failed


def test_rows_that_one_side_has_alone_are_named(two):
    found = compare(*two(ladder=(*LADDER[1:], 8192)))
    assert found.missing == ("T=1",)
    assert found.added == ("T=8192",)
    assert not found.failed


def test_missing_rows_fail_on_request(two):
    paths = two(ladder=LADDER[1:])
    assert compare(*paths, fail_on=["missing"]).failed
    assert not compare(paths[0], paths[0], fail_on=["missing"]).failed


@pytest.mark.parametrize("evidence", ["modelled", "replayed"])
def test_times_that_were_not_measured_are_never_judged(tmp_path, evidence):
    a = winners(tmp_path / "a", evidence=evidence)
    b = winners(tmp_path / "b", evidence=evidence, factors=all_rows(2.0))
    found = compare(a, b)
    assert not found.judged
    assert not found.failed
    assert "no evidence" in found.void
    assert compare(a, a).void is None


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"device": "NVIDIA_H200"}, "device: NVIDIA_B200 against NVIDIA_H200"),
        ({"versions": {"triton": "3.6.0"}}, "versions.triton: 3.9.0 against 3.6.0"),
        ({"versions": {"triton": "3.9.0", "driver": "575"}}, "versions.driver: unknown against 575"),
        ({"evidence": "modelled"}, "evidence: measured against modelled"),
        ({"measure": {"routing": "zipf"}}, "measure.routing: uniform against zipf"),
    ],
)
def test_what_must_not_be_compared_is_refused_by_its_keys(two, changes, told):
    with pytest.raises(IncomparableError, match=told):
        compare(*two(**changes))


@pytest.mark.parametrize("allow", ["versions", "versions.triton"])
def test_versions_may_differ_on_request(two, allow):
    found = compare(*two(versions={"triton": "3.6.0"}), allow=[allow])
    assert "allowed to differ: versions.triton: 3.9.0 against 3.6.0" in found.notes


def test_devices_may_differ_on_request(tmp_path):
    a, b = winners(tmp_path / "a"), winners(tmp_path / "b", device="NVIDIA_H200", seed=1)
    assert not compare(a, b, allow=["device", "device_name"]).failed


def test_evidence_may_never_differ(two):
    with pytest.raises(InputError, match="no key 'evidence'"):
        compare(*two(evidence="modelled"), allow=["evidence"])


def test_folders_hold_many_files_and_journals_are_left_out(tmp_path):
    for side, seed in (("a", 1), ("b", 2)):
        for device in ("NVIDIA_B200", "NVIDIA_H200"):
            winners(tmp_path / side, device=device, seed=seed)
        (tmp_path / side / "runs" / "r").mkdir(parents=True)
        (tmp_path / side / "runs" / "r" / "sweep.json").write_text("no json")
    found = compare(tmp_path / "a", tmp_path / "b")
    assert len([each for each in found.figures if each.metric == "time_us"]) == 2 * len(LADDER) + 1
    assert not found.failed


def test_a_damaged_file_is_named(two, tmp_path):
    a, b = two()
    b.write_text(b.read_text().replace('"time_us": ', '"time_us": -'))
    with pytest.raises(InputError, match=r"b/.*rows\.1\.time_us: damaged"):
        compare(a, b)
