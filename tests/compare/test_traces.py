from __future__ import annotations

import json

import pytest

from tests.compare.sides import profile, summary, winners
from tests.timeline.traces import decode_events, write
from workbench.base.errors import IncomparableError, InputError
from workbench.compare.claims import make_claims
from workbench.compare.gate import compare


@pytest.mark.parametrize("seed", range(2, 12))
def test_equal_traces_do_not_fail(tmp_path, seed):
    found = compare(summary(tmp_path / "a.json", seed=1), summary(tmp_path / "b.json", seed=seed))
    assert not found.failed
    assert {each.metric for each in found.judged} == {"step_us", "busy_us"}


@pytest.mark.parametrize("seed", range(2, 8))
def test_a_step_3_percent_longer_fails(tmp_path, seed):
    a, b = summary(tmp_path / "a.json", seed=1), summary(tmp_path / "b.json", seed=seed, step_us=4120)
    assert "step_us" in {each.metric for each in compare(a, b).regressions}


def test_more_launches_are_exact_and_fail_on_request(tmp_path):
    a, b = summary(tmp_path / "a.json"), summary(tmp_path / "b.json")
    b.write_text(b.read_text().replace('"launches": 30.0', '"launches": 33.0'))
    assert not compare(a, b).failed
    assert compare(a, b, fail_on=["launches>1%"]).failed


def test_a_trace_as_the_profiler_wrote_it_is_summed_up_first(tmp_path):
    a = write(tmp_path / "a.json.gz", decode_events("split", steps=6))
    b = write(tmp_path / "b.json", decode_events("fused", steps=6))
    assert not compare(a, b).failed
    assert {"step_us", "busy_us"} == {each.metric for each in compare(b, a).regressions}


def test_a_single_step_has_no_spread_and_proves_nothing(tmp_path):
    a, b = summary(tmp_path / "a.json", count=1), summary(tmp_path / "b.json", count=1, step_us=8000)
    assert "interval" in compare(a, b).void
    assert compare(a, a).void is None


def test_a_trace_that_cannot_be_trusted_fails(tmp_path):
    a = summary(tmp_path / "a.json")
    b = summary(tmp_path / "b.json", reliable=False, reasons=["2 graph launches show no kernels"])
    assert compare(a, b).failures == ("step: not reliable: 2 graph launches show no kernels",)
    assert "A failed its own checks" in compare(b, a).void


def test_a_fused_arm_that_did_not_run_the_fused_kernel_fails(tmp_path):
    a, b = summary(tmp_path / "a.json", seed=1), summary(tmp_path / "b.json", seed=2)
    assert not compare(a, b, claims=make_claims(["^routing_"], ["gatherTopK"])).failed
    found = compare(a, b, claims=make_claims(["_gemma4_routing"], ["routing_kernel"]))
    assert len(found.failures) == 2


def test_claims_need_timelines_and_valid_patterns(tmp_path):
    with pytest.raises(InputError, match="--must: only trace summaries"):
        path = winners(tmp_path)
        compare(path, path, claims=make_claims(["x"], []))
    with pytest.raises(InputError, match="--must-not: is no regular expression"):
        make_claims([], ["("])


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"basis": "cpu"}, "basis: gpu against cpu"),
        ({"device_names": ["NVIDIA H200"]}, "device: NVIDIA B200 against NVIDIA H200"),
        ({"layers": {"count": 6, "source": "names of layers in the trace"}}, "layers: 30 against 6"),
    ],
)
def test_what_must_not_be_compared_is_refused_by_its_keys(tmp_path, changes, told):
    with pytest.raises(IncomparableError, match=told):
        compare(summary(tmp_path / "a.json"), summary(tmp_path / "b.json", **changes))


def test_profiles_are_compared_arm_by_arm_without_the_profiler(tmp_path):
    a = profile(tmp_path / "a.json")
    b = profile(tmp_path / "b.json", step_us={"split": 4200.0, "fused": 4160.0})
    (regression,) = compare(a, b).regressions
    assert (regression.label, regression.metric) == ("fused", "step_us")


def test_a_profile_that_failed_its_gate_fails_this_one(tmp_path):
    a = profile(tmp_path / "a.json")
    b = profile(tmp_path / "b.json", failures=["correctness: arm fused: 3% of the expert sets differ"])
    assert compare(a, b).failures == ("fused: correctness: arm fused: 3% of the expert sets differ",)


def test_profiles_of_other_batches_are_not_compared(tmp_path):
    with pytest.raises(IncomparableError, match="batch: 1 against 8"):
        compare(profile(tmp_path / "a.json"), profile(tmp_path / "b.json", batch=8))


def test_a_key_of_the_wrong_type_is_named(tmp_path):
    record = json.loads(summary(tmp_path / "a.json").read_text())
    record["per_step"]["span_us"]["median"] = "fast"
    (tmp_path / "b.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"b\.json: per_step\.span_us\.median: "):
        compare(tmp_path / "a.json", tmp_path / "b.json")
