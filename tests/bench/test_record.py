from __future__ import annotations

import pytest

from tests.bench.virtual_engine import VirtualClock, VirtualEngine
from workbench.bench.record import origin_of, record_workload, rows_path, unfinished
from workbench.bench.rows import read_bench
from workbench.bench.workload import DecodeWorkload

ARM = {"prefill_s": 1.0, "step_s": 0.1}
WORK = DecodeWorkload(
    name="mine", input_tokens=4, output_tokens=5, concurrency=(1, 2), arms=("split", "fused"), repeats=2
)


@pytest.fixture
def record(tmp_path):
    def record(work=WORK, fresh=False):
        clock = VirtualClock()
        engine = VirtualEngine(clock, {"split": ARM, "fused": ARM})
        origin = origin_of(work, engine)
        path = rows_path(tmp_path, "cpu", work.name, origin)
        known = () if fresh else unfinished(path, origin, work)
        return path, engine, record_workload(work, engine, path, origin, known=known, clock=clock)

    return record


def test_every_row_is_in_the_file_when_it_is_told(record):
    path, _, rows = record()
    for count, row in enumerate(rows, 1):
        assert read_bench(path).rows[-1].arm == row.arm
        assert len(read_bench(path).rows) == count
    assert count == 4


def test_a_killed_run_goes_on_with_the_next_load(record):
    path, _, rows = record()
    first = [next(rows), next(rows), next(rows)]
    rows.close()
    again, engine, rest = record()
    rest = list(rest)
    assert again == path
    assert {batch for _, batch, _ in engine.log} == {2}, "the load that was done is not run again"
    assert [row.concurrency for row in rest] == [2, 2]
    assert [(row.arm, row.concurrency) for row in read_bench(path).rows] == [
        ("split", 1), ("fused", 1), ("split", 2), ("fused", 2)
    ]  # fmt: skip
    assert read_bench(path).rows[0].metrics == first[0].metrics


def test_a_run_that_ended_starts_anew(record):
    _, _, rows = record()
    list(rows)
    _, engine, rows = record()
    assert len(list(rows)) == 4
    assert {batch for _, batch, _ in engine.log} == {1, 2}


def test_another_workload_of_the_name_is_another_file(record):
    longer = WORK.model_copy(update={"output_tokens": 6})
    assert record()[0] != record(longer)[0]


def test_a_damaged_file_is_started_over(record):
    path, _, rows = record()
    next(rows)
    path.write_text("{")
    assert len(list(record()[2])) == 4
