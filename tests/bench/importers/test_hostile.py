from __future__ import annotations

import pytest

from tests.bench.importers.engine_files import SPECULATION, Requests, sglang_record, vllm_record, write
from workbench.base.errors import InputError
from workbench.bench.importers import About, import_results
from workbench.bench.rows import read_bench, write_bench

VALUES = (
    None,
    "1",
    float("nan"),
    float("inf"),
    -1,
    0,
    10**400,
    1e308,
    1e-308,
    True,
    [],
    {},
    [[1]],
    ["a"],
    {"a": 1},
)
RECORDS = {
    "vllm": vllm_record(Requests(count=5), details=True, **SPECULATION),
    "sglang": sglang_record(Requests(count=5), details=True, accept_length=2.0),
}


@pytest.mark.parametrize(
    "engine, key", [(engine, key) for engine, record in RECORDS.items() for key in record]
)
def test_whatever_a_key_holds_the_run_is_a_row_or_refused_with_its_place(tmp_path, engine, key):
    path = tmp_path / "run.json"
    for value in VALUES:
        write(path, {**RECORDS[engine], key: value})
        try:
            file = import_results(path, About())
        except InputError as error:
            assert (error.file, error.line) == (path, 1)
        else:
            write_bench(tmp_path / "row.json", file)
            assert read_bench(tmp_path / "row.json") == file
