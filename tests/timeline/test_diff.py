from __future__ import annotations

import pytest

from tests.timeline.traces import (
    EXPERTS,
    FUSED,
    GEMM,
    NORM,
    ROUTING,
    decode_events,
    kernel,
    on_cpu,
    summary_of,
)
from workbench.base.errors import IncomparableError, InputError
from workbench.report.trace_diff import sentences
from workbench.timeline.diff import compare
from workbench.timeline.what_if import forecast, parse_factors


@pytest.fixture
def summary(tmp_path):
    def summary(events, **options):
        return summary_of(tmp_path / "trace.json", events, **options)

    return summary


@pytest.fixture
def fusing(summary):
    return compare(summary(decode_events("split", jitter=0.1)), summary(decode_events("fused", jitter=0.1)))


def test_four_kernels_that_became_one_are_one_change(fusing):
    (replaced,) = [each for each in fusing.changes if each.change == "replaced"]
    assert set(replaced.before) == {name for name, _ in ROUTING["split"]}
    assert replaced.after == (FUSED,)
    assert replaced.launches_per_layer == (4, 1)
    assert {each.change for each in fusing.changes} == {"same", "replaced"}


def test_the_change_is_said_in_a_sentence(fusing):
    assert next(sentences(fusing)) == "routing: 4 kernels a layer -> 1, 69.6 us -> 16.4 us a step"


def test_classes_that_did_not_change_need_no_sentence(summary):
    assert list(sentences(compare(summary(decode_events()), summary(decode_events())))) == []


def test_a_change_is_judged_by_the_spread_over_the_steps(fusing):
    by_class = {each.name: each for each in fusing.classes}
    assert by_class["routing"].beyond_spread is True
    assert by_class["experts"].beyond_spread is False
    assert fusing.beyond_spread is True


def test_without_several_steps_there_is_no_spread(summary):
    found = compare(summary(decode_events(steps=1)), summary(decode_events("fused", steps=1)))
    assert found.beyond_spread is None
    assert any("single step" in note for note in found.notes)


def test_the_throughput_follows_from_the_step(fusing):
    before, after = fusing.step_us
    assert fusing.throughput_gain == pytest.approx(before.median / after.median - 1)


def test_other_tiles_of_the_same_kernel_are_retuned(summary):
    a = summary([kernel("_matmul_ogs_16x128x256x1", 0, 5)])
    b = summary([kernel("_matmul_ogs_32x64x256x1", 0, 4)])
    (change,) = compare(a, b).changes
    assert (change.change, change.delta_us) == ("retuned", -1.0)


def test_generic_kernels_are_not_taken_for_each_other(summary):
    a = summary([kernel("triton_poi_fused_add", 0, 5), kernel(GEMM, 10, 5)])
    b = summary([kernel("triton_poi_fused_mul", 0, 5), kernel(GEMM, 10, 5)])
    assert sorted(each.change for each in compare(a, b).changes) == ["added", "removed", "same"]


def test_no_kernel_is_lost_or_counted_twice(summary):
    a, b = (
        summary([kernel(n, 10 * i, 5) for i, n in enumerate([GEMM, NORM, "x"])]),
        summary([kernel(EXPERTS, 0, 9)]),
    )
    found = compare(a, b)
    assert sum(each.time_us[0] for each in found.changes) == 15.0
    assert sum(each.time_us[1] for each in found.changes) == 9.0
    assert sum(each.delta_us for each in found.classes) == pytest.approx(-6.0)


def test_gpu_work_does_not_compare_with_cpu_ops(summary):
    with pytest.raises(IncomparableError):
        compare(summary([kernel(GEMM, 0, 5)]), summary([on_cpu("aten::mm", 0, 5)], cpu=True))


def test_an_unreliable_trace_makes_the_comparison_unreliable_and_says_why(summary):
    found = compare(summary([kernel(GEMM, 0, 5)]), summary([kernel(GEMM, 0, -5)]))
    assert not found.reliable
    assert any("negative duration" in note for note in found.notes)


def test_what_if_follows_amdahl(summary):
    """Routing at 5.8 % of the step that becomes 1.1 % of the old step is 4.9 % more steps."""
    found = summary([kernel(FUSED, 0, 58), kernel(GEMM, 58, 942)])
    forecasted = forecast(found, {"routing": 11 / 58})
    assert (forecasted.step_us, forecasted.new_step_us) == (1000.0, 953.0)
    assert forecasted.throughput_gain == pytest.approx(1 / 0.953 - 1)
    assert forecasted.share_before == pytest.approx(0.058)


def test_time_that_overlaps_other_work_saves_nothing(summary):
    found = summary([kernel(FUSED, 0, 50), kernel(GEMM, 0, 100, stream=8)])
    assert forecast(found, {"routing": 0.0}).new_step_us == 100.0


def test_a_class_that_is_not_there_is_said(summary):
    assert "no routing" in forecast(summary([kernel(GEMM, 0, 5)]), {"routing": 0.5}).note


def test_factors_are_read_as_written():
    assert parse_factors(["routing=0.25x", "experts=2"]) == {"routing": 0.25, "experts": 2.0}


@pytest.mark.parametrize(
    "argument", ["routing", "routing=fast", "routing=-1", "router=0.5x", "routing=1e9", "routing=2000x"]
)
def test_other_factors_are_an_error(argument):
    with pytest.raises(InputError):
        parse_factors([argument])


def test_a_class_twice_is_an_error():
    with pytest.raises(InputError, match="twice"):
        parse_factors(["routing=0.5", "routing=0.25"])
