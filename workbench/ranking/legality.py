"""Shared memory of the engines' grouped GEMM in closed form, so that a grid is screened without compiling it.

Triton's software pipeline keeps `num_stages` tiles of A and B in shared memory where the tensor cores read them from
there (wgmma on sm_90 and tcgen05 on sm_100, which need 64 rows), and one fewer where the operands go through registers
(mma.sync), because the tile in use has left shared memory by then:

    tile   = (BLOCK_SIZE_M + BLOCK_SIZE_N) * BLOCK_SIZE_K * element_bytes
    shared = num_stages * tile          if the tensor cores read shared memory
             (num_stages - 1) * tile    otherwise

Where proven: compiles of the engines' kernel in bf16 with Triton 3.9 over the engines' grid, 1,566 of them: equal but
for barriers of at most 16 bytes on sm_90, sm_100 and sm_120, and in all but one config on sm_80 and on sm_89
(256/128/64, 8 warps, 2 stages: 16 KiB more for the epilogue, and legal all the same). `benchmarks/screen.py` compares
it with this package's own kernel, whose activation may be fused; `workbench.sweep.priors` asks it only where that was
done. No multiple of a tile comes within 16 bytes of a limit. `num_stages` of 1, fp32, rows that are not vectorised and
other kernels are not proven.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workbench.ranking.workload import Array, Tiles

# Rows below which Triton falls back from the tensor cores that read shared memory to mma.sync.
SHARED_OPERAND_ROWS = 64
TRITONS_STAGES = 3
SHARED_OPERAND_ARCHS = (90, 100, 103)
# What the closed form leaves out.
BARRIER_BYTES = 16


def reads_shared(tiles: Tiles, compute_capability: ArrayLike) -> NDArray[np.bool_]:
    """True where the tensor cores read A and B from shared memory; shaped like the configs.

    Args:
        tiles: the configs.
        compute_capability: major * 10 + minor, of all configs or broadcast against them.
    """
    return (tiles.m >= SHARED_OPERAND_ROWS) & np.isin(compute_capability, SHARED_OPERAND_ARCHS)


def shared_bytes(tiles: Tiles, compute_capability: ArrayLike, element_bytes: ArrayLike) -> Array:
    """Bytes of shared memory a block, but for barriers of at most 16 bytes; shaped like the configs.

    Args:
        tiles: the configs.
        compute_capability: major * 10 + minor, of all configs or broadcast against them.
        element_bytes: of A and B, likewise.
    """
    tile = (tiles.m + tiles.n) * tiles.k * np.asarray(element_bytes, dtype=np.float64)
    return tile * np.where(reads_shared(tiles, compute_capability), tiles.stages, tiles.stages - 1)


def packed_shared_bytes(
    tiles: Tiles, compute_capability: ArrayLike, element_bytes: ArrayLike, weight_bytes: ArrayLike
) -> Array:
    """About as many bytes for weights that are packed in memory and unpacked on the way to the tensor cores.

    They are loaded packed, `num_stages - 1` tiles ahead, and one tile lies unpacked beside them. Not proven: it serves
    to rank; whatever is offered is compiled. Shaped like the configs.
    """
    element, weight = np.asarray(element_bytes, np.float64), np.asarray(weight_bytes, np.float64)
    a_stages = np.where(reads_shared(tiles, compute_capability), tiles.stages, tiles.stages - 1)
    packed = tiles.n * weight * (tiles.stages - 1) + tiles.n * element
    return (tiles.m * element * a_stages + packed) * tiles.k


def shared_bytes_of(config: Mapping[str, Any], compute_capability: int, element_bytes: int) -> int:
    """`shared_bytes` of one config, which names a tile and perhaps `num_stages`, otherwise Triton's."""
    sizes = [config[f"BLOCK_SIZE_{axis}"] for axis in "MNK"]
    stages = config.get("num_stages", TRITONS_STAGES)
    # Neither groups nor warps make a difference.
    tiles = Tiles(*np.asarray([*sizes, 1, 1, stages], dtype=np.float64)[:, None])
    return int(shared_bytes(tiles, compute_capability, element_bytes)[0])


def held_bytes(
    tiles: Tiles, compute_capability: ArrayLike, element_bytes: ArrayLike, weight_bytes: ArrayLike
) -> Array:
    """`shared_bytes` of weights that are multiplied as they are, `packed_shared_bytes` of others."""
    return np.where(
        np.asarray(weight_bytes) < np.asarray(element_bytes),
        packed_shared_bytes(tiles, compute_capability, element_bytes, weight_bytes),
        shared_bytes(tiles, compute_capability, element_bytes),
    )


def fits(
    tiles: Tiles, compute_capability: ArrayLike, element_bytes: ArrayLike, limit_bytes: ArrayLike
) -> NDArray[np.bool_]:
    """True where a block fits the device's limit (`Device.shared_bytes_per_block`); shaped like the configs."""
    return shared_bytes(tiles, compute_capability, element_bytes) <= np.asarray(limit_bytes)
