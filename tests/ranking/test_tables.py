import json
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ranking.tables import WINNER, write_table
from workbench.base.errors import InputError
from workbench.ranking import tables as module
from workbench.ranking.grid import GRID
from workbench.ranking.tables import collect_tables


def the_table(folder):
    (table,) = collect_tables([folder]).tables
    return table


def test_a_name_tells_experts_size_gpu_and_dtype(tmp_path):
    write_table(
        tmp_path,
        "E=64,N=320,device_name=NVIDIA_H100_80GB_HBM3,dtype=fp8_w8a8,block_shape=[128, 128].json",
    )
    table = the_table(tmp_path)
    assert (table.num_experts, table.intermediate_size, table.dtype) == (64, 320, "fp8_w8a8")
    assert table.board.name == "NVIDIA_H100_80GB_HBM3"
    assert table.block_scaled


def test_every_h200_is_one_gpu(tmp_path):
    write_table(tmp_path, "E=64,N=320,device_name=NVIDIA_H200_NVL.json")
    assert the_table(tmp_path).board.name == "NVIDIA_H200"


def test_rows_are_places_in_the_grid(tmp_path):
    write_table(tmp_path)
    assert {tokens: GRID[row] for tokens, row in the_table(tmp_path).rows.items()} == {
        1: tuple(WINNER.values()),
        64: tuple(WINNER.values()),
    }


def test_a_wheel_reads_like_the_folder_that_it_holds(tmp_path):
    path = write_table(tmp_path / "folder")
    with zipfile.ZipFile(tmp_path / "engine-1.0.whl", "w") as wheel:
        wheel.write(path, f"engine/configs/{path.name}")
    (table,) = collect_tables([tmp_path / "engine-1.0.whl"]).tables
    assert table.rows == the_table(tmp_path / "folder").rows


def test_a_table_that_two_engines_ship_counts_once(tmp_path):
    write_table(tmp_path / "one")
    write_table(tmp_path / "two")
    assert len(collect_tables([tmp_path / "one", tmp_path / "two"]).tables) == 1


def test_foreign_keys_and_parameters_do_not_matter(tmp_path):
    rows = {"triton_version": "3.6.0", "note": {"a": 1}, "1": {**WINNER, "SPLIT_K": 1, "waves_per_eu": 0}}
    write_table(tmp_path, rows=rows)
    collected = collect_tables([tmp_path])
    assert list(collected.tables[0].rows) == [1]
    assert collected.left_out["other keys"] == 2


@pytest.mark.parametrize(
    "config",
    [
        None,
        [],
        {},
        {**WINNER, "num_warps": 16},
        {**WINNER, "num_warps": "4"},
        {**WINNER, "num_stages": True},
        {**WINNER, "BLOCK_SIZE_M": 16.0},
    ],
)
def test_a_row_that_is_no_config_of_the_grid_is_left_out(tmp_path, config):
    write_table(tmp_path, rows={"1": WINNER, "2": config})
    collected = collect_tables([tmp_path])
    assert list(collected.tables[0].rows) == [1]
    assert collected.left_out["rows outside the grid"] == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("E=64,N=320,device_name=AMD_Instinct_MI300X.json", "tables of other GPUs"),
        ("E=64,N=320,device_name=,dtype=fp8_w8a8.json", "tables of other GPUs"),
        ("E=64,N=320,device_name=NVIDIA_H200,dtype=int4_w4a16.json", "tables of other dtypes"),
        ("E=64,N=320,device_name=NVIDIA_H200_down.json", "tables of the second GEMM alone"),
        ("E=64,device_name=NVIDIA_H200.json", "files with odd names"),
        ("E=0,N=1,device_name=NVIDIA_H200.json", "files with odd names"),
    ],
)
def test_other_tables_are_left_out_and_counted(tmp_path, name, reason):
    write_table(tmp_path)
    write_table(tmp_path, name)
    assert collect_tables([tmp_path]).left_out == {reason: 1}


def test_tables_of_other_kernels_are_left_out(tmp_path):
    write_table(tmp_path)
    write_table(tmp_path / "lora", "E=8,N=64,device_name=NVIDIA_H200.json")
    assert collect_tables([tmp_path]).left_out == {"tables of other kernels": 1}


@pytest.mark.parametrize("content", ["", "[]", '{"1": ', "[" * 100_000, '"a"'])
def test_a_damaged_table_is_named(tmp_path, content):
    write_table(tmp_path).write_text(content)
    with pytest.raises(InputError, match="E=128,N=704"):
        collect_tables([tmp_path])


@pytest.mark.parametrize("source", ["nowhere", "no such/place", "engine-1.0.whl"])
def test_a_source_that_does_not_exist_is_an_error(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="is no wheel"):
        collect_tables([source])


def test_a_wheel_that_is_none_is_an_error(tmp_path):
    (tmp_path / "engine.whl").write_bytes(b"PK")
    with pytest.raises(InputError, match="cannot be read"):
        collect_tables([tmp_path / "engine.whl"])


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_wheel_with_a_damaged_entry_is_named(tmp_path, method):
    path, name = tmp_path / "engine.whl", "E=1,N=1,device_name=NVIDIA_B200.json"
    with zipfile.ZipFile(path, "w", method) as wheel:
        wheel.writestr(name, "{}" * 40)
    content = bytearray(path.read_bytes())
    start = content.index(name.encode()) + len(name)
    content[start : start + 16] = b"\xff" * 16
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"engine\.whl: cannot be read: "):
        collect_tables([path])


def test_a_source_without_tables_says_what_was_left_out(tmp_path):
    write_table(tmp_path, "E=64,N=320,device_name=AMD_Instinct_MI300X.json")
    with pytest.raises(InputError, match="1 tables of other GPUs"):
        collect_tables([tmp_path])


def test_a_huge_table_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    write_table(tmp_path)
    with pytest.raises(InputError, match="larger than 10 bytes"):
        collect_tables([tmp_path])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(value=json_values)
def test_whatever_json_a_table_holds_it_is_read_or_refused_in_one_line(value, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    write_table(folder, rows={"1": WINNER, "2": value, "x": value})
    write_table(folder, "E=8,N=64,device_name=NVIDIA_H200.json").write_text(json.dumps(value))
    try:
        assert collect_tables([folder]).tables
    except InputError as error:
        assert "\n" not in str(error)
