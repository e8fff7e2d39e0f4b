from __future__ import annotations

import json

import pytest

from workbench.base.errors import InputError
from workbench.bench.figures import of_repeats
from workbench.bench.rows import SCHEMA, BenchFile, BenchRow, bench_files, read_bench, write_bench

OK = BenchRow(
    source="workbench",
    arm="fused",
    device="NVIDIA_B200",
    model="tiny",
    concurrency=8,
    request_rate="inf",
    metrics={"tpot_p50_ms": of_repeats([3.0, 3.1, 3.2])},
    acceptance_per_position=(0.8, 0.6),
)
FAILED = BenchRow(source="vllm", arm="split", device="NVIDIA_B200", status="oom", reason="out of memory")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "NVIDIA_B200" / "bench" / "chat.json"
    write_bench(path, BenchFile(schema=SCHEMA, origin={"file": "x"}, rows=(OK, FAILED)))
    return path


def edited(path, *keys, to):
    record = json.loads(path.read_text())
    place = record
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    path.write_text(json.dumps(record))
    return path


def test_rows_are_read_as_they_were_written(path):
    assert read_bench(path) == BenchFile(schema=SCHEMA, origin={"file": "x"}, rows=(OK, FAILED))


def test_files_are_found_by_device(path, tmp_path):
    assert list(bench_files(tmp_path)) == [path]
    assert list(bench_files(tmp_path, "NVIDIA_B200")) == [path]
    assert list(bench_files(tmp_path, "NVIDIA_H200")) == []


@pytest.mark.parametrize(
    "keys, to, said",
    [
        (["schema"], "workbench.bench/2", "schema: "),
        (["rows", 0, "status"], "fine", "rows[0].status: "),
        (["rows", 0, "metrics", "tpot_p50_ms", "value"], "3", "rows[0].metrics"),
        (
            ["rows", 0, "metrics", "tpot"],
            {"value": 1.0, "n": 1, "of": "runs"},
            "rows[0].metrics.tpot: no such metric",
        ),
        (["rows", 0, "metrics", "tpot_p50_ms", "value"], 0.0, "rows[0].metrics.tpot_p50_ms: must be above 0"),
        (
            ["rows", 0, "metrics", "tpot_p50_ms", "samples"],
            [3.0, -1.0],
            "rows[0].metrics.tpot_p50_ms: must be",
        ),
        (["rows", 0, "reason"], "why", "rows[0].reason: "),
        (["rows", 1, "reason"], None, "rows[1].reason: "),
        (["rows", 1, "status"], "ok", "rows[1].reason: "),
        (["rows", 0, "concurrency"], "8", "rows[0].concurrency: "),
        (["rows"], {}, "rows: "),
    ],
)
def test_a_damaged_file_names_the_key(path, keys, to, said):
    with pytest.raises(InputError) as error:
        read_bench(edited(path, *keys, to=to))
    assert said in str(error.value)
    assert str(path) in str(error.value)


def test_figures_of_a_failed_run_are_refused(path):
    figure = {"value": 1.0, "n": 1, "of": "runs"}
    with pytest.raises(InputError, match="must be empty where the status is oom"):
        read_bench(edited(path, "rows", 1, "metrics", to={"tpot_p50_ms": figure}))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"rows": []}', '{"model_id": "x"}'])
def test_what_is_no_file_of_rows_is_refused(path, text):
    path.write_text(text)
    with pytest.raises(InputError, match="is no file of bench rows"):
        read_bench(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_bench(tmp_path / "none.json")
