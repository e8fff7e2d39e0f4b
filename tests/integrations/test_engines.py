from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.integrations.engine_loaders import loader, needs_wheels
from tests.integrations.results_for_experts import PROBLEM
from workbench.base.errors import InputError
from workbench.devices import find_device
from workbench.integrations.engines import ENGINES, TableName, find_engine
from workbench.integrations.engines.engine import default_changes

VLLM, SGLANG = ENGINES["vllm"], ENGINES["sglang"]
B200 = find_device("b200")


def name_of(engine, device="NVIDIA B200", **problem):
    return engine.file_name(engine.table_name({**PROBLEM, **problem}, device))


def test_a_bf16_table_has_no_dtype_in_its_name():
    assert name_of(VLLM) == name_of(SGLANG) == "E=128,N=704,device_name=NVIDIA_B200.json"
    assert name_of(VLLM, dtype="fp16") == name_of(VLLM)


def test_four_bit_weights_are_counted_in_elements_by_vllm_and_in_bytes_by_sglang():
    problem = {"dtype": "int4_w4a16", "group_size": 32}
    assert name_of(VLLM, **problem) == "E=128,N=704,device_name=NVIDIA_B200,dtype=int4_w4a16.json"
    assert name_of(SGLANG, **problem) == "E=128,N=352,device_name=NVIDIA_B200,dtype=int4_w4a16.json"


def test_a_block_shape_has_a_space_for_sglang_alone():
    problem = {"dtype": "fp8_w8a8", "group_size": 128}
    assert name_of(VLLM, **problem).endswith(",dtype=fp8_w8a8,block_shape=[128,128].json")
    assert name_of(SGLANG, **problem).endswith(",dtype=fp8_w8a8,block_shape=[128, 128].json")


def test_only_vllm_takes_every_h200_for_one_and_replaces_slashes():
    assert "device_name=NVIDIA_H200.json" in name_of(VLLM, "NVIDIA H200 NVL")
    assert "device_name=NVIDIA_H200_NVL.json" in name_of(SGLANG, "NVIDIA H200 NVL")
    assert "device_name=NVIDIA_A_B.json" in name_of(VLLM, "NVIDIA A/B")
    with pytest.raises(InputError, match="keeps the '/'"):
        name_of(SGLANG, "NVIDIA A/B")


def test_sglang_files_tables_under_the_triton_that_they_were_tuned_with():
    assert str(SGLANG.folder("3.6.0")) == "configs/triton_3_6_0"
    assert str(SGLANG.folder("3.6.0+gitabc")) == "configs/triton_3_6_0"
    assert str(VLLM.folder("3.6.0")) == "."
    with pytest.raises(InputError, match="no version of Triton"):
        SGLANG.folder("main")


@pytest.mark.parametrize("engine", ENGINES.values(), ids=list(ENGINES))
@given(
    experts=st.integers(1, 999),
    size=st.integers(1, 99999),
    device=st.text("ABCxyz0189_-()", min_size=1, max_size=20).filter(lambda text: not text.endswith("_down")),
    dtype=st.sampled_from(["", "fp8_w8a8", "int8_w8a8", "bf16"]),
    block=st.none() | st.tuples(st.integers(1, 512), st.integers(1, 512)),
)
def test_a_name_reads_back_as_what_it_was_made_of(engine, experts, size, device, dtype, block):
    name = TableName(num_experts=experts, size=size, device=device, dtype=dtype, block_shape=block)
    assert TableName.parse(engine.file_name(name)) == name


@given(st.text(max_size=60))
def test_any_other_name_is_none(text):
    assert TableName.parse(text) is None


@pytest.mark.parametrize("engine", ENGINES.values(), ids=list(ENGINES))
@pytest.mark.parametrize("dtype", ["bf16", "fp8_w8a8", "int4_w4a16"])
def test_a_name_leaves_hidden_size_and_top_k_open(engine, dtype):
    problem = {**PROBLEM, "dtype": dtype}
    axes = engine.axes_of(engine.table_name(problem, "NVIDIA B200"))
    assert axes == {axis: value for axis, value in problem.items() if axis not in ("hidden_size", "top_k")}


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        ({"dtype": "nvfp4"}, "reads no table for dtype 'nvfp4'"),
        ({"num_experts": "many"}, "problem.num_experts: must be an integer, got 'many'"),
    ],
)
def test_a_problem_without_a_table_is_an_error(problem, message):
    with pytest.raises(InputError, match=message):
        name_of(VLLM, **problem)


def test_an_unknown_engine_is_named_with_those_that_there_are():
    with pytest.raises(InputError, match=r"must be one of vllm, sglang, got 'vlm' \(did you mean 'vllm'\?\)"):
        find_engine("vlm")


def test_the_changes_of_the_default_are_where_the_heuristic_says():
    assert default_changes(VLLM, PROBLEM, B200) == (32, 64, 96, 128, 512, 129 * 128 - 1)
    assert default_changes(SGLANG, PROBLEM, B200) == (128,)


@needs_wheels
@pytest.mark.parametrize("engine", list(ENGINES))
@pytest.mark.parametrize("device", ["b200", "h200", "rtx5090"])
@pytest.mark.parametrize(
    "problem",
    [
        {},
        {"dtype": "fp8_w8a8"},
        {"dtype": "fp8_w8a8", "group_size": 128},
        {"dtype": "int4_w4a16", "group_size": 32},
        {"num_experts": 8, "top_k": 2, "dtype": "fp16"},
    ],
)
def test_our_words_for_the_default_are_the_engine_s_own(engine, device, problem, tmp_path):
    problem, gpu = {**PROBLEM, **problem}, find_device(device)
    own = loader(engine, gpu.device_name, tmp_path, shared_bytes=gpu.shared_bytes_per_block)
    group = problem.get("group_size")
    fp8 = problem["dtype"] == "fp8_w8a8"
    arguments = {
        "E": problem["num_experts"],
        "N": 704,
        "K": 2816,
        "topk": problem["top_k"],
        "dtype": ENGINES[engine].dtypes[problem["dtype"]] or None,
        "block_shape": None if group is None else [group, group] if fp8 else [0, group],
        **({"is_marlin": False} if engine == "sglang" else {}),
    }
    for tokens in [*range(1, 600), 1000, 5000, 16511, 16512, 20000]:
        theirs = own.get_default_config(M=tokens, **arguments)
        ours = ENGINES[engine].default_config(problem, tokens, gpu)
        dropped = {"SPLIT_K"} - ours.keys()
        tritons = {"num_warps": 4, "num_stages": 3} if "BLOCK_SIZE_N" in ours else {}
        assert {**tritons, **{key: value for key, value in theirs.items() if key not in dropped}} == ours
