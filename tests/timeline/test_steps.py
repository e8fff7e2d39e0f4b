from __future__ import annotations

import pytest

from tests.timeline.traces import GEMM, analysed, annotation, decode_events, kernel, launch, write


@pytest.fixture
def steps(tmp_path):
    def steps(events):
        return analysed(write(tmp_path / "trace.json", events)).steps

    return steps


def sizes(found):
    return [(step.name, len(step.members)) for step in found.steps]


def late(number, cpu, gpu):
    return [launch(number, cpu), kernel(GEMM, gpu, 5, correlation=number)]


def test_work_belongs_to_the_step_that_launched_it_not_to_the_one_during_which_it_runs(steps):
    events = [
        annotation("ProfilerStep#1", 0, 100),
        annotation("ProfilerStep#2", 100, 100),
        *late(1, 10, 150),
        *late(2, 20, 160),
        *late(3, 110, 1000),
    ]
    assert sizes(steps(events)) == [("ProfilerStep#1", 2), ("ProfilerStep#2", 1)]


def test_without_launches_the_range_on_the_gpu_decides(steps):
    events = [
        annotation("ProfilerStep#1", 0, 100),
        annotation("ProfilerStep#1", 150, 50, cat="gpu_user_annotation", pid=0, tid=7),
        kernel(GEMM, 160, 5),
        kernel(GEMM, 300, 5),
    ]
    found = steps(events)
    assert (sizes(found), found.unassigned) == ([("ProfilerStep#1", 1)], 1)


def test_steps_of_an_engine_are_found_by_its_names(steps):
    names = ["execute_context_1(8)_generation_0(0)", "execute_context_0(0)_generation_4(4)"]
    events = [annotation(names[i], 100 * i, 90) for i in range(2)]
    events += [each for i in range(2) for each in late(i, 100 * i + 5, 100 * i + 20)]
    found = steps(events)
    assert (sizes(found), found.source) == (
        [(names[0], 1), (names[1], 1)],
        "the engine's annotations of steps",
    )


def test_steps_of_one_name_stay_apart(steps):
    events = [annotation("my decode", 100 * i, 90) for i in range(3)]
    events += [
        annotation("my decode", 100 * i + 50, 90, cat="gpu_user_annotation", pid=0, tid=7) for i in range(3)
    ]
    events += [each for i in range(3) for each in late(i, 100 * i + 5, 100 * i + 60)]
    assert sizes(steps(events)) == [("my decode", 1)] * 3


def test_a_step_that_two_processes_annotate_is_one_step(steps):
    events = [annotation("ProfilerStep#1", 10 * pid, 80, pid=pid, tid=pid) for pid in (1, 2)]
    events += [*late(1, 15, 40), *late(2, 95, 100)]
    assert sizes(steps(events)) == [("ProfilerStep#1", 2)]


def test_steps_that_show_no_work_are_counted_not_shown(steps):
    found = steps([*decode_events(steps=2), annotation("ProfilerStep#9", 9_000_000, 5)])
    assert (len(found.steps), found.without_work) == (2, 1)


def test_without_annotations_the_whole_trace_is_one_step_and_says_so(steps):
    found = steps([kernel(GEMM, 10 * i, 5) for i in range(4)])
    assert sizes(found) == [("all", 4)]
    assert "no annotation" in found.source


def test_correlation_ids_that_processes_share_do_not_mix_their_steps(steps):
    events = [
        annotation("ProfilerStep#1", 0, 100, pid=1),
        annotation("ProfilerStep#2", 1000, 100, pid=1),
        launch(7, 10, pid=1),
        launch(7, 1010, pid=2),
        kernel(GEMM, 50, 5, correlation=7),
        kernel(GEMM, 1050, 5, correlation=7, device=1),
    ]
    assert sizes(steps(events)) == [("ProfilerStep#1", 1), ("ProfilerStep#2", 1)]
