"""Sweep files of kernels whose problems differ in axes, parameters and code."""

from __future__ import annotations

import pytest

from workbench.base.errors import InputError
from workbench.sweep.space import build_space
from workbench.sweep.spec import load_spec, resolve_kernel

SWEEP = """\
name: quantised
kernel: experts
device: NVIDIA_B200
problems: {num_experts: 128, top_k: 8, hidden_size: 2816, intermediate_size: [704, 176], tokens: [1, 64], %s}
space: {BLOCK_SIZE_M: [16, 64], %s}
%s
"""


def loaded(folder, dtype, space="fuse_activation: [0, 1]", rest=""):
    path = folder / "sweep.yaml"
    path.write_text(SWEEP % (dtype, space, rest))
    return load_spec(path)


def space_of(spec):
    return build_space(spec, resolve_kernel(spec))


def test_an_axis_of_one_dtype_is_in_its_problems_and_in_no_others(tmp_path):
    for dtype, expected in (
        ("dtype: int4_w4a16, group_size: [16, 32]", {16, 32}),
        ("dtype: int4_w4a16", {None}),
        ("dtype: [bf16, fp16]", {None}),
    ):
        space = space_of(loaded(tmp_path, dtype))
        assert {problem.get("group_size") for problem in space.problems} == expected


def test_constraints_read_it(tmp_path):
    rest = 'constraints: ["intermediate_size % group_size == 0"]'
    space = space_of(loaded(tmp_path, "dtype: int4_w4a16, group_size: 32", rest=rest))
    assert {problem["intermediate_size"] for problem in space.empty_problems} == {176}


def test_a_parameter_of_one_dtype_is_in_its_configs_alone(tmp_path):
    space = space_of(loaded(tmp_path, "dtype: nvfp4", "dot_scaled: [0, 1]"))
    assert space.default["dot_scaled"] == 0
    assert {config["dot_scaled"] for config in space.configs[0]} == {0, 1}
    assert "dot_scaled" not in space_of(loaded(tmp_path, "dtype: bf16")).default


@pytest.mark.parametrize(
    ("dtype", "space", "says"),
    [
        ("dtype: nvfp4, group_size: 16", "fuse_activation: 0", "unknown axis"),
        ("dtype: fp8_w8a8", "dot_scaled: [0, 1]", "unknown parameter"),
        (
            "dtype: int8_w8a8",
            "fuse_activation: 0",
            "must be one of bf16, fp16, fp32, int4_w4a16, fp8_w8a8, nvfp4",
        ),
        (
            "dtype: [bf16, nvfp4]",
            "fuse_activation: 0",
            "'nvfp4' and 'bf16' run different code; give each a sweep",
        ),
    ],
)
def test_what_a_dtype_does_not_have_is_refused_with_a_reason(tmp_path, dtype, space, says):
    with pytest.raises(InputError) as caught:
        resolve_kernel(loaded(tmp_path, dtype, space))
    assert says in caught.value.message


def test_other_kernels_have_no_quantised_dtypes(tmp_path):
    path = tmp_path / "routing.yaml"
    path.write_text(
        "name: r\nkernel: routing\nproblems: {num_experts: 8, top_k: 2, tokens: 1, dtype: nvfp4}\n"
    )
    with pytest.raises(InputError, match="must be one of bf16, fp16, fp32"):
        resolve_kernel(load_spec(path))
