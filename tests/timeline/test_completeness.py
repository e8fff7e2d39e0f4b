"""Traces that do not show all that ran, or show what cannot be: the figures must say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.timeline.traces import (
    EXPERTS,
    GEMM,
    NORM,
    annotation,
    decode_events,
    kernel,
    launch,
    on_cpu,
    summarised,
    summary_of,
    write,
)
from workbench.base.errors import InputError

FAULTS = Path(__file__).parents[3] / "shared" / "data" / "faults"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trace.json"


def launches(count, *, without=0, name="cudaLaunchKernel"):
    events = []
    for number in range(count):
        events.append(launch(number, 100 * number, name=name))
        if number >= without:
            events.append(kernel(GEMM, 100 * number + 10, 50, correlation=number))
    return events


@pytest.mark.parametrize(
    "name", ["cudaLaunchKernel", "cudaLaunchKernelExC", "hipLaunchKernel", "cuLaunchKernelEx"]
)
def test_launches_without_kernels_make_the_figures_unreliable(path, name):
    found = summary_of(path, launches(18, without=11, name=name))
    assert not found.reliable
    assert found.reasons == (
        "11 of 18 kernel launches show no kernel: their work is missing from every figure",
    )


def test_a_launch_at_the_end_of_a_capture_may_lose_its_kernel(path):
    assert summary_of(path, launches(200, without=1)).reliable


def replays(*sizes, graph=5):
    events = []
    for number, size in enumerate(sizes):
        events.append(launch(number, 1000 * number, name="cudaGraphLaunch"))
        for at in range(size):
            options = {} if graph is None else {"graph id": graph}
            events.append(kernel(GEMM, 1000 * number + 10 + 60 * at, 50, correlation=number, **options))
    return events


def test_a_replay_that_shows_fewer_kernels_than_another_of_its_graph_is_incomplete(path):
    found = summary_of(path, replays(6, 6, 1, 6))
    assert (found.graphs.count, found.graphs.without_kernels, found.graphs.incomplete) == (4, 0, 1)
    assert "1 of 4 graph launches show fewer kernels than other replays" in found.reasons[0]


def test_replays_of_one_length_and_of_graphs_that_are_not_named_are_whole(path):
    assert summary_of(path, replays(6, 6, 6)).reliable
    assert summary_of(path, replays(6, 3, graph=None)).reliable


def test_a_kernel_that_outlasts_later_ones_of_its_stream_hides_behind_nothing(path):
    events = [kernel(GEMM, 1000 * number, 15) for number in range(30)]
    events[4]["dur"] = 3_400_000
    found = summary_of(path, events)
    assert not found.reliable
    assert "work that lasts beyond the end of later work on its own stream (1 of 30)" in found.reasons[0]


def test_kernels_of_one_graph_launch_and_of_several_streams_may_overlap(path):
    one_launch = [kernel(GEMM, 0, 900, correlation=1), kernel(NORM, 100, 20, correlation=1)]
    streams = [kernel(GEMM, 1000, 900, stream=8, correlation=2), kernel(NORM, 1100, 20, correlation=3)]
    assert not [
        reason for reason in summary_of(path, one_launch + streams).reasons if "lasts beyond" in reason
    ]


def test_the_tail_of_a_kernel_may_overlap_the_head_of_the_next(path):
    events = [kernel(GEMM, 100 * number, 101.5, correlation=number) for number in range(20)]
    assert summary_of(path, events).reliable


def test_a_few_events_on_another_clock_are_left_out_and_counted(path):
    events = [*decode_events(origin=1.6e15), kernel(EXPERTS, 0, 10)]
    found = summary_of(path, events)
    assert found.reliable
    assert found.total.span_us < 1e6
    assert "1 events over a day from all others are left out" in found.notes


def test_what_a_coarse_clock_shows_as_no_time_is_weighed_by_what_it_can_have_been(path):
    few = [kernel(GEMM, 1000 * number, 500) for number in range(20)]
    few[3]["dur"] = 0
    found = summary_of(path, few)
    assert (found.reliable, found.notes) == (True, ("1 events have a duration of 0 us",))
    short = [kernel(GEMM, 10 * number, number % 2) for number in range(20)]
    assert "10 events have a duration of 0 us" in summary_of(path, short).reasons


def test_on_a_fine_clock_no_time_is_time_that_was_lost(path):
    events = [kernel(GEMM, 1000.001 * number, 500.001 * (number > 4)) for number in range(20)]
    assert "5 events have a duration of 0 us" in summary_of(path, events).reasons


def ranked(rank, label):
    """Two steps of three kernels of a rank, whose process is `label` and a number; ranks count launches alike."""
    events, number = [], 0
    for step in range(2):
        begin = 4000 * step + 100 * rank
        events.append(annotation(f"step[DECODE bs={rank + 1}] {step}", begin, 900, pid=f"{label}10", tid=1))
        for at in range(3):
            number += 1
            events.append(launch(number, begin + 10 * at, pid=f"{label}10", tid=1))
            events.append(
                kernel(
                    GEMM, begin + 1100 + 20 * at, 15, correlation=number, pid=f"{label}{rank}", device=rank
                )
            )
    return events


@pytest.mark.parametrize("labels", [("[TP00] ", "[TP01] "), ("rank0/", "rank1/"), ("1", "2")])
def test_ranks_in_one_file_keep_their_own_launches(path, labels):
    found = summary_of(path, [event for rank, label in enumerate(labels) for event in ranked(rank, label)])
    assert found.per_step.count == 4
    assert {step.name.split("]")[0][-4:] for step in found.steps} == {"bs=1", "bs=2"}
    assert [(step.kernel_count, step.busy_us) for step in found.steps] == [(3, 45.0)] * 4


def test_shares_are_of_what_all_devices_do_together(path):
    events = [kernel(GEMM, 100 * at, 50, device=device, pid=device) for device in range(4) for at in range(5)]
    found = summary_of(path, events)
    assert found.total.busy_us == 250.0
    assert [round(each.share_busy, 3) for each in found.total.classes] == [1.0]
    assert [round(each.share_busy, 3) for each in found.kernels] == [1.0]


def test_ranges_that_hold_little_of_the_work_are_no_steps(path):
    events = [kernel(GEMM, 1000 * at, 900) for at in range(8)]
    events += [annotation(f"Optimizer.zero_grad#{at}", 2000 * at, 900, pid=100) for at in range(2)]
    found = summary_of(path, events)
    assert found.per_step.count == 1
    assert (
        "annotations that repeat hold only 25.00% of the work's time: the whole trace"
        in found.per_step.source
    )


def layers_of(path, *modules):
    events = [*decode_events(layers=4), *(on_cpu(name, at, 1, cat="python_function") for at, name in modules)]
    return summary_of(path, events).layers


def named(pattern, count):
    return [(at, pattern.format(at)) for at in range(count)]


def test_layers_of_several_modules_are_not_added_up(path):
    text, decoder = "nn.Module: CLIPEncoderLayer_{}", "nn.Module: Gemma4DecoderLayer_{}"
    assert layers_of(path, *named(text, 44), *named(decoder, 4)).count == 4
    unknown = layers_of(path, *named(text, 44), *named(decoder, 30))
    assert unknown.count is None
    assert "layers of several modules (30, 44)" in unknown.source


def test_the_sole_device_gives_its_name_whatever_its_number(path):
    found = summary_of(path, [kernel(GEMM, 10 * at, 5, device=2) for at in range(4)])
    assert found.device_names == ("NVIDIA B200",)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("[[1695835535, [1, 2]], [1695835536, [1, 3]]]", "a list of 2 values none of which is an event"),
        ("[]", "nor any others that last"),
    ],
)
def test_a_file_that_is_no_trace_says_what_it_is(path, content, what):
    path.write_text(content)
    with pytest.raises(InputError, match=what):
        summarised(path)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_a_truncated_file_gives_the_events_before_and_its_devices(path, share):
    whole = write(path, decode_events(steps=20)).read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    found = summarised(path)
    assert found.device_names == ("NVIDIA B200",)
    assert found.reasons[0].startswith("the JSON ends early; read are the ")
    assert found.total.kernel_count >= int(share * 200)


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the traces that found these faults are not here")
@pytest.mark.parametrize(
    ("name", "steps", "busy_us", "reason"),
    [
        ("steps_optimizer_ranges", 1, 32_420.0, None),
        ("launches_without_kernels", 2, 105.0, "11 of 18 kernel launches"),
        ("graph_replay_partial", 4, 285.0, "1 of 4 graph launches"),
        ("impossible_duration", 1, 3_400_045.0, "work that lasts beyond"),
        ("zero_us_memset", 2, 180.0, None),
        ("merged_ranks", 4, 180.0, None),
        ("layers_two_families", 2, 180.0, None),
        ("amd_device_name", 2, 180.0, None),
    ],
)
def test_the_traces_that_found_these_faults_are_read_right(name, steps, busy_us, reason):
    found = summarised(FAULTS / name / "trace.json")
    assert (found.per_step.count, found.total.busy_us) == (steps, busy_us)
    assert found.reliable == (reason is None)
    assert reason is None or reason in found.reasons[0]
