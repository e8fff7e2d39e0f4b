from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.timeline.traces import (
    ATTENTION,
    EXPERTS,
    GEMM,
    annotation,
    decode_events,
    kernel,
    launch,
    summary_of,
)
from workbench.timeline.intervals import gaps, union_length

times = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), min_size=1, max_size=30)


@given(times)
def test_a_union_is_as_long_as_the_moments_that_it_covers(pairs):
    pairs = sorted(pairs)
    start = np.array([first for first, _ in pairs])
    end = np.array([first + length for first, length in pairs])
    covered = {moment for first, length in pairs for moment in range(first, first + length)}
    assert union_length(start, end) == len(covered)


@given(times)
def test_gaps_and_union_make_up_the_span(pairs):
    pairs = sorted(pairs)
    start = np.array([first for first, _ in pairs])
    end = np.array([first + length for first, length in pairs])
    first, last = gaps(start, end)
    assert (last > first).all()
    assert int((last - first).sum()) + union_length(start, end) == end.max() - start.min()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trace.json"


def share(part, name):
    return next(each for each in part.classes if each.name == name)


def test_busy_is_the_union_over_streams_and_time_is_the_sum(path):
    events = [kernel(GEMM, 0, 10), kernel(EXPERTS, 5, 10, stream=8), kernel(ATTENTION, 30, 10)]
    found = summary_of(path, events)
    assert (found.total.kernel_count, found.total.busy_us, found.total.span_us) == (3, 25.0, 40.0)
    assert share(found.total, "gemm").time_us == 10.0
    assert share(found.total, "gemm").share_busy == pytest.approx(10 / 25)
    assert share(found.total, "gemm").share_span == pytest.approx(10 / 40)
    assert share(found.total, "gemm").exclusive_us == 5.0
    assert (found.gaps.count, found.gaps.idle_us, found.gaps.longest_us) == (1, 15.0, 15.0)


def test_copies_and_fills_are_busy_but_no_kernels(path):
    events = [
        kernel(GEMM, 0, 10),
        kernel("Memcpy DtoD", 10, 5, cat="gpu_memcpy"),
        kernel("Memset", 20, 5, cat="gpu_memset"),
    ]
    found = summary_of(path, events)
    assert (found.total.kernel_count, found.total.busy_us) == (1, 20.0)
    assert share(found.total, "copy").launches == 2


def test_categories_of_old_versions_count_too(path):
    found = summary_of(path, [kernel(GEMM, 0, 10, cat="Kernel"), kernel("Memcpy", 10, 5, cat="Memcpy")])
    assert (found.total.kernel_count, found.total.busy_us) == (1, 15.0)


def test_a_decode_of_split_routing_runs_four_routing_kernels_a_layer(path):
    found = summary_of(path, decode_events("split"))
    per_step = {each.name: each for each in found.per_step.classes}
    assert (found.per_step.count, found.layers.count) == (3, 4)
    assert (per_step["routing"].launches, per_step["routing"].launches_per_layer) == (16, 4)
    assert per_step["routing"].time_us.median == 68.0
    assert {"sort", "reduction", "elementwise"}.isdisjoint(per_step)
    assert (found.reliable, found.coverage) == (True, 1.0)


def test_steps_show_the_same_figures_as_the_whole(path):
    found = summary_of(path, decode_events(steps=3))
    assert sum(step.kernel_count for step in found.steps) == found.total.kernel_count
    assert sum(step.busy_us for step in found.steps) == pytest.approx(found.total.busy_us)
    assert [step.name for step in found.steps] == ["ProfilerStep#0", "ProfilerStep#1", "ProfilerStep#2"]


def test_each_device_has_figures_of_its_own_and_all_together_a_union(path):
    events = [kernel(GEMM, 0, 10), kernel(GEMM, 5, 10, device=1)]
    found = summary_of(path, events)
    assert [(each.name, each.busy_us) for each in found.devices] == [("0", 10.0), ("1", 10.0)]
    assert found.total.busy_us == 15.0


def test_a_gpu_that_waits_for_launches_is_launch_bound(path):
    events = [
        each
        for i in range(10)
        for each in (launch(i, 100 * i), kernel(GEMM, 100 * i + 20, 10, correlation=i))
    ]
    assert summary_of(path, events).gaps.launch_bound is True


def test_a_gpu_that_idles_with_work_queued_is_not_launch_bound(path):
    events = [
        each for i in range(10) for each in (launch(i, i), kernel(GEMM, 100 * i + 20, 10, correlation=i))
    ]
    assert summary_of(path, events).gaps.launch_bound is False


def test_without_launches_nobody_knows_whether_it_is_launch_bound(path):
    assert summary_of(path, [kernel(GEMM, 100 * i, 10) for i in range(3)]).gaps.launch_bound is None


@pytest.mark.parametrize("name", ["cudaGraphLaunch", "hipGraphLaunch", "cuGraphLaunch"])
def test_a_graph_that_hides_its_kernels_makes_the_figures_unreliable(path, name):
    events = [launch(1, 0, name=name), kernel(GEMM, 10, 5, correlation=1), launch(2, 20, name=name)]
    found = summary_of(path, events)
    assert (found.graphs.count, found.graphs.without_kernels) == (2, 1)
    assert not found.reliable
    assert "1 of 2 graph launches show no kernels" in found.reasons[0]


def test_a_graph_whose_kernels_are_there_is_reliable(path):
    events = [
        launch(1, 0, name="cudaGraphLaunch"),
        *(kernel(GEMM, 10 * i, 9, correlation=1) for i in range(1, 5)),
    ]
    assert summary_of(path, events).reliable


def test_time_of_unknown_kernels_lowers_the_coverage_and_the_trust(path):
    found = summary_of(path, [kernel("zyxw", 0, 10), kernel(GEMM, 10, 10)])
    assert found.coverage == pytest.approx(0.5)
    assert not found.reliable


def test_cpu_ops_are_counted_once_and_never_as_kernels(path):
    events = [
        annotation("decode", 0, 100),
        {**launch(1, 0), "cat": "cpu_op", "name": "aten::linear", "dur": 20},
        {**launch(1, 5), "cat": "cpu_op", "name": "aten::addmm", "dur": 10},
        {**launch(1, 30), "cat": "cpu_op", "name": "aten::topk", "dur": 5},
    ]
    found = summary_of(path, events, cpu=True)
    assert (found.basis, found.total.kernel_count, found.total.busy_us) == ("cpu", 0, 15.0)
    assert {each.name: each.time_us for each in found.total.classes} == {"gemm": 10.0, "sort": 5.0}
    assert found.reasons == ("the times are of CPU ops, not of a GPU",)
