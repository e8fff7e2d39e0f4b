from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.timeline.traces import (
    EXPERTS,
    GEMM,
    decode_events,
    document,
    kernel,
    on_cpu,
    summarised,
    summary_of,
    write,
)
from workbench.base.errors import InputError, WorkbenchError
from workbench.timeline.trace_file import read_trace

WHOLE = json.dumps(document(decode_events())).encode()
AMID = WHOLE.index(b'{"ph"', 9000)
KERNELS = 3 * 4 * 13


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trace.json"


def reading(path, content):
    path.write_bytes(content)
    return summarised(path)


@pytest.mark.parametrize(
    "content",
    [
        WHOLE,
        gzip.compress(WHOLE, mtime=0),
        gzip.compress(WHOLE[:999], mtime=0) + gzip.compress(WHOLE[999:], mtime=0),
        b"\xef\xbb\xbf" + WHOLE,
        json.dumps(decode_events()).encode(),
        WHOLE.replace(b"nvjet", b"nv\\jet"),
    ],
    ids=["plain", "gzip", "two gzip members", "byte order mark", "bare list", "malformed escape"],
)
def test_every_form_of_the_file_reads_the_same(path, content):
    found = reading(path, content)
    assert (found.total.kernel_count, found.reliable) == (KERNELS, True)


@pytest.mark.parametrize(
    "content, reason",
    [
        (gzip.compress(WHOLE, mtime=0)[:-9], "gzip data end early"),
        (gzip.compress(WHOLE, mtime=0)[:1500], "gzip data end early"),
        (WHOLE[: len(WHOLE) // 2], "JSON ends early"),
        (WHOLE[:-1], "JSON ends early"),
        (WHOLE[:-2], "JSON ends early"),
        (WHOLE[:AMID] + b"@" + WHOLE[AMID:], "malformed JSON at character"),
        (WHOLE.replace(b"fused_moe", b"fus\xff\xfemoe"), "not UTF-8"),
        (WHOLE.replace(b'"registers per thread": 44', b'"occupancy": nan', 2), "2 values are not finite"),
        (WHOLE.replace(b'{"ph"', b'7, {"ph"', 2), "2 malformed events"),
    ],
)
def test_a_damaged_file_gives_what_is_left_and_says_that_it_is_not_all(path, content, reason):
    found = reading(path, content)
    assert 0 < found.total.kernel_count <= KERNELS
    assert not found.reliable
    assert any(reason in each for each in found.reasons)


@pytest.mark.parametrize(
    "content, complaint",
    [
        (b"", "is empty"),
        (b"hello", "expected a torch.profiler trace"),
        (b"null", "expected a torch.profiler trace"),
        (b"{}", "traceEvents"),
        (b'{"traceEvents": 7}', "traceEvents"),
        (b"[" * 100_000, "no event"),
        (b"[]", "no GPU events"),
        (gzip.compress(b"", mtime=0), "unpacks to nothing"),
        (gzip.compress(WHOLE, mtime=0)[:40], "end early"),
        (json.dumps(document([on_cpu("aten::mm", 0, 5)])).encode(), "holds 1 CPU ops, which --cpu takes"),
    ],
)
def test_a_file_without_anything_to_sum_up_is_one_clear_error(path, content, complaint):
    with pytest.raises(InputError) as raised:
        reading(path, content)
    assert complaint in str(raised.value)
    assert str(raised.value).startswith(str(path))


def test_a_missing_file_is_an_error(path):
    with pytest.raises(InputError, match="cannot be read"):
        read_trace(path)


@pytest.mark.parametrize(
    "event, reason",
    [
        (kernel(GEMM, 50, -5), "negative duration"),
        (kernel(GEMM, 50, 0), "duration of 0 us"),
        (kernel(GEMM, None, 5), "without a valid time"),
        (kernel(GEMM, "soon", 5), "without a valid time"),
        (kernel(GEMM, 10**40, 5), "without a valid time"),
        (kernel(GEMM, 5, 90), "overlaps by 5.0 us"),
        (kernel(GEMM, 9_000_000, 5), "is idle"),
    ],
)
def test_odd_events_make_the_figures_unreliable_not_wrong(path, event, reason):
    found = summary_of(path, [kernel(EXPERTS, 0, 10), event])
    assert not found.reliable
    assert any(reason in each for each in found.reasons)
    assert found.total.busy_us <= 95


@pytest.mark.parametrize("origin", [0, 1_700_000_000_000_000, 1_700_000_000_000_000_000])
def test_nanoseconds_survive_whatever_the_clock_shows(path, origin):
    events = ",".join(
        f'{{"ph":"X","cat":"kernel","name":"gemm","pid":0,"ts":{origin + i // 1000}.{i % 1000:03d},"dur":0.101}}'
        for i in (0, 207, 413, 1619)
    )
    found = reading(path, f'{{"traceEvents":[{events}]}}'.encode())
    assert (found.total.busy_us, found.total.span_us) == (0.404, 1.720)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
fields = {
    "name": anything,
    "pid": anything,
    "tid": anything,
    "ts": anything,
    "dur": anything,
    "args": anything,
}
events = st.fixed_dictionaries({"ph": st.just("X"), "cat": st.just("kernel")}, optional=fields)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(events | anything, max_size=6))
def test_whatever_events_hold_there_is_a_summary_or_one_error(tmp_path, events):
    try:
        found = summary_of(tmp_path / "any.json", [kernel(GEMM, 0, 5), *events])
    except WorkbenchError:
        return
    assert found.total.kernel_count >= 1
    assert 0 <= found.total.busy_us <= found.total.span_us


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(WHOLE)), st.binary(min_size=0, max_size=4))
def test_a_file_broken_anywhere_is_a_summary_or_one_error(tmp_path, at, bytes_):
    path = tmp_path / "broken.json"
    try:
        found = reading(path, WHOLE[:at] + bytes_ + WHOLE[at + 3 :])
    except WorkbenchError:
        return
    assert found.total.kernel_count <= KERNELS + 1


def test_devices_of_processes_that_share_a_number_are_told_apart(path):
    found = summary_of(path, [kernel(GEMM, 0, 5, pid=1), kernel(GEMM, 0, 5, pid=2)])
    assert [each.name for each in found.devices] == ["1:0", "2:0"]


def test_the_gpu_that_worked_is_named(path):
    found = read_trace(write(path, [kernel(GEMM, 0, 5)]))
    assert found.device_names == ("NVIDIA B200",)
