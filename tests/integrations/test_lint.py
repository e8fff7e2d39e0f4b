from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integrations.engine_loaders import needs_wheels, wheel
from tests.integrations.results_for_experts import CONFIG
from workbench.base.errors import InputError
from workbench.integrations.engine_table import read_table
from workbench.integrations.engines import ENGINES, LADDER
from workbench.integrations.lint import lint_tables
from workbench.integrations.lint.findings import SEVERITIES
from workbench.integrations.raw_tables import read_tables

GOOD = "E=128,N=704,device_name=NVIDIA_B200.json"
FULL = {str(tokens): CONFIG for tokens in LADDER}
SMALL = {**CONFIG, "num_stages": 2}


@pytest.fixture
def lint(tmp_path):
    def lint(content, name=GOOD, engine=None, **others):
        for file, text in {name: content, **others}.items():
            path = tmp_path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text if isinstance(text, str) else json.dumps(text))
        findings = lint_tables(read_tables(tmp_path), engine)
        return [(each.severity, each.rule, each.key, each.message) for each in findings]

    return lint


def rules(findings, severity=None):
    return {rule for found, rule, _, _ in findings if severity in (None, found)}


def test_a_full_table_has_nothing_wrong(lint):
    assert lint(FULL) == []


def test_tiles_that_do_not_fit_the_gpu_are_named_with_the_limit(lint):
    large = {**CONFIG, "BLOCK_SIZE_M": 128, "BLOCK_SIZE_N": 256, "BLOCK_SIZE_K": 64, "num_stages": 4}
    name = "E=128,N=704,device_name=NVIDIA_GeForce_RTX_5090.json"
    ((severity, rule, key, message),) = lint({**FULL, "4096": large}, name)
    assert (severity, rule, key) == ("error", "cannot-launch", "4096")
    assert "147,456 bytes" in message
    assert "allows 101,376" in message


def test_the_same_tiles_fit_a_data_centre_gpu(lint):
    large = {**CONFIG, "BLOCK_SIZE_M": 128, "BLOCK_SIZE_N": 256, "BLOCK_SIZE_K": 64, "num_stages": 4}
    assert lint({**FULL, "4096": large}) == []


def test_a_ladder_that_misses_its_ends_is_sparse(lint):
    found = lint({"2": CONFIG, "8": CONFIG, "512": CONFIG})
    assert rules(found) == {"no-1", "sparse"}
    messages = " ".join(message for *_, message in found)
    assert "stops at 512" in messages
    assert "nothing lies between 8 and 512" in messages


def test_rows_out_of_order_are_named(lint):
    assert rules(lint({"2": CONFIG, **FULL}), "warning") == {"unsorted"}


def test_vllm_s_triton_version_breaks_sglang_alone(lint):
    content = {"triton_version": "3.6.0", **FULL}
    assert lint(content, engine="vllm") == []
    assert rules(lint(content, engine="sglang"), "error") == {"foreign-key", "row"}
    ((severity, _, key, message),) = lint(content)
    assert (severity, key) == ("warning", "triton_version")
    assert "SGLang cannot read the file" in message


def test_any_other_key_at_the_top_breaks_both(lint):
    found = lint({"_about": {"tuned": "by hand"}, **FULL})
    assert ("error", "foreign-key", "_about") in [each[:3] for each in found]


@pytest.mark.parametrize(
    ("key", "engine", "severity"),
    [
        ("SPLIT_K", "sglang", "error"),
        ("SPLIT_K", None, "warning"),
        ("USE_TMA", "vllm", "error"),
        ("waves_per_eu", "vllm", "error"),
        ("evidence", None, "error"),
    ],
)
def test_a_foreign_key_in_a_row_breaks_the_launch(lint, key, engine, severity):
    ((found, rule, where, _),) = lint({**FULL, "8": {**CONFIG, key: 1}}, engine=engine)
    assert (found, rule, where) == (severity, "foreign-key", f"8.{key}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"BLOCK_SIZE_M": "16"}, "must be an integer, got '16'"),
        ({"num_warps": True}, "must be an integer, got 'True'"),
        ({"num_stages": 0}, "must be positive, got '0'"),
        ({"BLOCK_SIZE_N": 48}, "must be a power of two from 16 on, got '48'"),
        ({"num_warps": 64}, "must be a power of two up to 32, got '64'"),
        ({"BLOCK_SIZE_M": 8}, "must be a power of two from 16 on, got '8'"),
        ({"num_stages": 10**400}, "must be at most 2147483647, got '1000"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(lint, changes, message):
    ((severity, rule, key, found),) = lint({**FULL, "8": {**CONFIG, **changes}})
    assert (severity, rule, key) == ("error", "value", f"8.{next(iter(changes))}")
    assert message in found


def test_vllm_s_own_kernel_for_four_bit_weights_takes_tiles_of_few_rows(lint):
    few, name = {**FULL, "1": {**CONFIG, "BLOCK_SIZE_M": 1}}, GOOD.replace(".json", ",dtype=int4_w4a16.json")
    assert rules(lint(few, name, engine="vllm")) == set()
    assert rules(lint(few, name, engine="sglang"), "error") == {"value"}


def test_a_missing_tile_is_an_error_and_a_missing_warp_count_a_note(lint):
    row = {key: value for key, value in CONFIG.items() if key not in ("BLOCK_SIZE_K", "num_warps")}
    found = lint({**FULL, "8": row})
    assert [each[:3] for each in found] == [
        ("error", "missing-key", "8.BLOCK_SIZE_K"),
        ("note", "missing-key", "8.num_warps"),
    ]


@pytest.mark.parametrize(
    ("name", "engine", "rule"),
    [
        ("E=128,N=704,device_name=NVIDIA_B200,dtype=bf16.json", None, "dtype"),
        ("E=128,N=704,device_name=NVIDIA_B200,dtype=float8.json", "vllm", "dtype"),
        ("E=128,N=704,device_name=,dtype=fp8_w8a8.json", None, "device"),
        ("E=128,N=704,device_name=NVIDIA_H200_NVL.json", "vllm", "device"),
        (
            "E=128,N=704,device_name=NVIDIA_B200,dtype=fp8_w8a8,block_shape=[128, 128].json",
            "vllm",
            "spelling",
        ),
        (
            "E=128,N=704,device_name=NVIDIA_B200,dtype=fp8_w8a8,block_shape=[128,128].json",
            "sglang",
            "spelling",
        ),
        (
            "E=128,N=704,device_name=NVIDIA_B200,dtype=fp8_w8a8,per_channel_quant=True.json",
            "vllm",
            "spelling",
        ),
        ("E=128,N=many,device_name=NVIDIA_B200.json", None, "name"),
        ("my-table.json", None, "name"),
    ],
)
def test_a_name_that_no_engine_looks_for_is_an_error(lint, name, engine, rule):
    assert rules(lint(dict.fromkeys(FULL, SMALL), name, engine), "error") == {rule}


def test_a_second_table_must_share_block_size_m(lint):
    down = {**FULL, "64": {**CONFIG, "BLOCK_SIZE_M": 32}}
    found = lint(
        FULL, "triton_3_6_0/" + GOOD, **{"triton_3_6_0/" + GOOD.replace(".json", "_down.json"): down}
    )
    assert [each[:3] for each in found] == [("error", "down", "64.BLOCK_SIZE_M")]


def test_a_second_table_that_is_a_copy_is_a_note(lint):
    found = lint(
        FULL, "triton_3_6_0/" + GOOD, **{"triton_3_6_0/" + GOOD.replace(".json", "_down.json"): FULL}
    )
    assert [each[:2] for each in found] == [("note", "down")]


def test_a_folder_that_is_no_triton_version_breaks_sglang(lint):
    assert ("error", "folder") in [each[:2] for each in lint(FULL, "triton_3_6_0_dev/" + GOOD)]


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", "null", '{"1": ' + "[" * 5000, "1" * 5000, "\udc80"])
def test_a_damaged_file_is_a_finding(lint, text, tmp_path):
    (tmp_path / GOOD).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert [each.rule for each in lint_tables(read_tables(tmp_path))] == ["json"]


def test_a_key_that_stands_twice_is_an_error(lint):
    text = json.dumps(FULL)
    assert ("error", "duplicate", "1") in [
        each[:3] for each in lint(text[:-1] + ', "1": ' + json.dumps(CONFIG) + "}")
    ]


def test_other_files_of_a_folder_are_left_alone(lint):
    assert lint(FULL, **{"provenance.json": {"files": {}}, "N=1,K=2,device_name=X.json": {"1": CONFIG}}) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def test_a_key_of_control_characters_is_shown_in_ascii(lint):
    found = lint({"\x1b[31m": 1, "\ud800": 2, **FULL})
    assert {key for _, _, key, _ in found} == {r"\x1b[31m", r"\ud800"}


tables_of_anything = st.dictionaries(
    st.sampled_from(["1", "0", "-3", "01", "8", "x", ""]) | st.text(max_size=3),
    json_values | st.dictionaries(st.sampled_from([*CONFIG, "USE_TMA", "x"]), json_values, max_size=7),
    max_size=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(tables_of_anything)
def test_nothing_in_a_table_makes_lint_raise(tmp_path, content):
    (tmp_path / GOOD).write_text(json.dumps(content))
    tables = read_tables(tmp_path)
    for engine in (None, *ENGINES):
        assert all(each.severity in SEVERITIES for each in lint_tables(tables, engine))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(tables_of_anything)
def test_reading_a_table_raises_nothing_but_an_error_of_ours(tmp_path, content):
    (tmp_path / GOOD).write_text(json.dumps(content))
    for engine in ENGINES.values():
        with suppress(InputError):
            assert read_table(read_tables(tmp_path)[0], engine).rows


@needs_wheels
@pytest.mark.parametrize(("engine", "least", "copies"), [("vllm", 300, 0), ("sglang", 380, 11)])
def test_the_shipped_tables_are_linted_whole(engine, least, copies):
    tables = read_tables(wheel(engine))
    findings = lint_tables(tables, engine)
    assert len(tables) >= least
    assert "cannot-launch" not in {each.rule for each in findings}
    assert sum(each.rule == "down" and each.severity == "note" for each in findings) >= copies
