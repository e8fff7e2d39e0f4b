"""vLLM's tables: `fused_moe.py` and `config.py` in `vllm/model_executor/layers/fused_moe`."""

from __future__ import annotations

from pathlib import PurePosixPath

from moe_kernels.device_slug import device_slug
from moe_kernels.tunable import Problem
from workbench.devices.device import Device
from workbench.integrations.engines.engine import (
    CONFIG_KEYS,
    FOREIGN_GPU_KEYS,
    Config,
    Engine,
    TableName,
    block_shape,
)

# Groups for which vLLM's CUDA kernel takes over from Triton's at small batches.
_CUDA_GROUPS = (32, 64, 128)
_CUDA_TOKENS_PER_EXPERT = 6


class VLLM(Engine):
    """vLLM: one flat folder, `block_shape` without a space, N of four-bit weights counted in elements."""

    name = "vllm"
    title = "vLLM"
    version = "0.33.0"
    variable = "VLLM_TUNED_CONFIG_FOLDER"
    package = PurePosixPath("model_executor/layers/fused_moe/configs")
    known_dtypes = frozenset({"", "fp8_w8a8", "fp8_w8a16", "int8_w8a16", "int4_w4a16", "float32"})
    config_keys = frozenset({*CONFIG_KEYS, "num_ctas", "SPLIT_K", *FOREIGN_GPU_KEYS})
    top_keys = frozenset({"triton_version"})

    def spell_device(self, device_name: str) -> str:
        """White space and slashes become `_`, and every H200 is one device: the rule of our own slugs."""
        return device_slug(device_name)

    def size_of(self, problem: Problem) -> int:
        """The intermediate size; vLLM doubles what it reads off byte-packed weights."""
        return int(problem["intermediate_size"])

    def intermediate_size(self, name: TableName) -> int:
        """The same number."""
        return name.size

    def file_name(self, name: TableName) -> str:
        """The file name, `block_shape` without a space; vLLM knows no other selectors."""
        dtype = f",dtype={name.dtype}" if name.dtype else ""
        block = f",block_shape=[{name.block_shape[0]},{name.block_shape[1]}]" if name.block_shape else ""
        return f"E={name.num_experts},N={name.size},device_name={name.device}{dtype}{block}.json"

    def folder(self, triton: str) -> PurePosixPath:
        """The folder itself, whatever the Triton."""
        return PurePosixPath()

    def row(self, problem: Problem, config: Config) -> Config:
        """The kernel for grouped four-bit weights takes SPLIT_K from the row; for all others vLLM sets it to 1."""
        return {**config, "SPLIT_K": 1} if _is_grouped_int4(problem) else config

    def default_config(self, problem: Problem, tokens: int, device: Device | None) -> Config:
        """`get_default_config`, on CUDA.

        For grouped four-bit weights it gives BLOCK_SIZE_M only, and vLLM completes a row without BLOCK_SIZE_N and
        BLOCK_SIZE_K itself, as it completes its default.
        """
        if _is_grouped_int4(problem):
            return _grouped_int4(problem, tokens)
        if (block := block_shape(problem)) is not None:
            return _blockwise_fp8(tokens, *block)
        return _general(problem, tokens)


def _is_grouped_int4(problem: Problem) -> bool:
    return problem["dtype"] == "int4_w4a16" and "group_size" in problem


def _general(problem: Problem, tokens: int) -> Config:
    fp8 = problem["dtype"] == "fp8_w8a8"
    return {
        "BLOCK_SIZE_M": 16 if tokens <= 32 else 32 if tokens <= 96 else 64 if tokens <= 512 else 128,
        "BLOCK_SIZE_N": 64 if tokens <= 64 else 128,
        "BLOCK_SIZE_K": 128 if fp8 or tokens <= 64 else 64,
        "GROUP_SIZE_M": 16 if tokens // int(problem["num_experts"]) > 128 else 1,
        "num_warps": 4 if tokens <= 128 else 8,
        "num_stages": 4 if tokens <= 32 else 3,
    }


def _blockwise_fp8(tokens: int, block_n: int, block_k: int) -> Config:
    narrow = tokens <= 8 and block_n % 64 == 0
    return {
        "BLOCK_SIZE_M": 16 if tokens <= 64 else 64,
        "BLOCK_SIZE_N": 64 if narrow else block_n,
        "BLOCK_SIZE_K": block_k,
        "GROUP_SIZE_M": 1 if tokens <= 16 else 32,
        "num_warps": 4,
        "num_stages": 4 if narrow and tokens <= 4 else 3,
    }


def _grouped_int4(problem: Problem, tokens: int) -> Config:
    tokens_per_expert = tokens * int(problem["top_k"]) / int(problem["num_experts"])
    if int(problem["group_size"]) in _CUDA_GROUPS and tokens_per_expert <= _CUDA_TOKENS_PER_EXPERT:
        block_m = min(16, 1 << (tokens - 1).bit_length())
    else:
        block_m = 16 if tokens <= 20 else 32 if tokens <= 40 else 64
    return {"BLOCK_SIZE_M": block_m, "GROUP_SIZE_M": 1, "SPLIT_K": 1}
