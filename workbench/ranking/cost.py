"""An analytic cost model of the experts' two grouped GEMMs; it ranks configs, and its microseconds are no times.

Per GEMM: how many tiles there are (exactly, for uniform routing), what a tile moves from DRAM and L2, what its
iterations cost an SM, how blocks that share an SM hide each other, and how waves quantise. Its constants are effective
values, fitted to which configs win (`workbench.ranking.fit`); some of them are not physical, so none of this is a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import bdtrc

from workbench.ranking.board import Board
from workbench.ranking.legality import held_bytes, reads_shared
from workbench.ranking.workload import Array, Tiles, Workload

Constants = Mapping[str, float]

# Before any fit; what each stands for is said where it is used.
START: Constants = {
    "eff_mma": 0.8,
    "eff_mma_90": 0.6,
    "eff_mma_100": 0.25,
    "tile_latency_us": 0.75,
    "prologue_us": 1.6,
    "iteration_cycles": 0.1,
    "chain_cycles": 20.0,
    "hard_waves": 0.5,
    "dram": 0.88,
    "l2": 1.0,
    "overlap_power": 3.0,
    "spill": 0.02,
    "wide_n": 64.0,
    "epilogue": 1.0,
    "segment_hbm": 0.1,
    "segment_gddr": 0.3,
    "serial_prologue": 0.5,
    "start_per_n_us": 0.05,
    "tau": 0.08,
}
REGISTER_FILE = 65536
MAX_REGISTERS = 255
RESERVED_SHARED_BYTES = 1024
TENSOR_MEMORY_COLUMNS = 512
SHARED_BYTES_PER_CYCLE = 128
DRAM_SEGMENT_BYTES = 128
MMA_K = 16


@dataclass(frozen=True, slots=True)
class _Gemm:
    """One grouped GEMM, [rows, k] x [k, n] for each expert; each row of A is read by `share` experts."""

    n: Array
    k: Array
    share: Array


@dataclass(frozen=True, slots=True)
class _Launch:
    """What one GEMM asks of a GPU before any constant comes in; every array is [workloads, configs].

    Attributes:
        blocks: expected thread blocks, padding included.
        iterations: of the loop over k.
        bytes_per_iteration: that a block loads from DRAM and L2 together.
        dram_share: of these bytes, the share that comes from DRAM.
    """

    blocks: Array
    iterations: Array
    bytes_per_iteration: Array
    dram_share: Array


class CostModel:
    """The cost model of some workloads, each on its GPU, over some configs; evaluated under any constants.

    Args:
        workloads: [workloads].
        boards: the GPU of each workload.
        tiles: [configs], or [workloads, configs] where every workload has its own; GROUP_SIZE_M makes no difference.
    """

    def __init__(self, workloads: Sequence[Workload], boards: Sequence[Board], tiles: Tiles) -> None:
        self._work = {name: _rows(workloads, name) for name in _WORK}
        self._board = {name: _rows(boards, name) for name in _BOARD}
        self._tiles = Tiles(*map(np.atleast_2d, tiles.columns()))
        capability, width = _rows(boards, "compute_capability"), self._work["element_bytes"]
        # Exactly 1 for weights that are multiplied as they are.
        self._packing = self._work["weight_bytes"] / width
        self._shared_operands = reads_shared(self._tiles, capability)
        self._registers_wanted = self._wanted_registers()
        self._resident = self._occupancy(
            held_bytes(self._tiles, capability, width, self._work["weight_bytes"])
        )
        self._blocks_m = _expected_blocks(workloads, self._tiles.m)
        self._launches = tuple(map(self._launch, self._gemms()))

    def ln_us(self, constants: Constants = START) -> Array:
        """[workloads, configs] ln of the modelled microseconds of both GEMMs; launch cost left out."""
        first, second = (self._us(launch, constants) for launch in self._launches)
        total: Array = np.log(first + second)
        return total

    def _gemms(self) -> tuple[_Gemm, _Gemm]:
        work = self._work
        hidden, intermediate, top_k = work["hidden_size"], work["intermediate_size"], work["top_k"]
        return _Gemm(2 * intermediate, hidden, top_k), _Gemm(hidden, intermediate, np.ones_like(top_k))

    def _launch(self, gemm: _Gemm) -> _Launch:
        work, board, tiles = self._work, self._board, self._tiles
        experts, top_k, width = work["num_experts"], work["top_k"], work["element_bytes"]
        rows = work["tokens"] * top_k
        active = experts * -np.expm1(work["tokens"] * np.log1p(-np.minimum(top_k / experts, 1 - 1e-9)))
        blocks_n, iterations = np.ceil(gemm.n / tiles.n), np.ceil(gemm.k / tiles.k)
        blocks = self._blocks_m * blocks_n
        # Padding rows load nothing; the last tile along n and k is partly empty.
        loaded_rows = rows / self._blocks_m + gemm.n / blocks_n * self._packing
        per_iteration = loaded_rows * gemm.k / iterations * width
        weights = active * gemm.n * gemm.k * width * self._packing
        activations = rows / gemm.share * gemm.k * width
        # An expert's weights are read again by its further blocks where they outgrow L2; and a tuner repeats its
        # call, so that small weights are still in L2 from the call before.
        again = np.clip(gemm.n * gemm.k * width * self._packing / (0.5 * board["l2_bytes"]) - 0.5, 0, 1)
        warm = np.clip(1.2 - weights / (0.8 * board["l2_bytes"]), 0, 1)
        dram = (weights * (1 + (self._blocks_m / active - 1) * again) + activations) * (1 - warm)
        dram = dram + rows * gemm.n
        share = np.clip(dram / (blocks * iterations * per_iteration), 0, 1)
        return _Launch(blocks, iterations, per_iteration, share)

    def _wanted_registers(self) -> Array:
        """Registers a thread, a line fitted to 1,566 compiles; what exceeds 255 spills."""
        tiles, threads = self._tiles, 32 * self._tiles.warps
        sums = tiles.m + tiles.n
        operands = 0.38 * sums / 8
        accumulators = 0.77 * tiles.m * tiles.n / threads
        loads = 3.43 * sums * tiles.k / (8 * threads)
        return 24.5 + accumulators + loads + np.where(self._shared_operands, -0.4, operands)

    def _occupancy(self, shared: Array) -> Array:
        """[workloads, configs] blocks that an SM holds at once, at least 1."""
        board, tiles = self._board, self._tiles
        registers = np.ceil(np.minimum(self._registers_wanted, MAX_REGISTERS) / 8) * 8
        resident = np.minimum(
            np.floor(board["shared_bytes_per_sm"] / (shared + RESERVED_SHARED_BYTES)),
            np.floor(REGISTER_FILE / (registers * 32 * tiles.warps)),
        )
        resident = np.minimum(resident, np.floor(board["max_warps_per_sm"] / tiles.warps))
        resident = np.minimum(resident, board["max_blocks_per_sm"])
        columns = tiles.n * np.where(tiles.m > 128, 2, 1)
        in_tensor_memory = self._shared_operands & (board["tensor_memory"] > 0)
        resident = np.where(
            in_tensor_memory, np.minimum(resident, TENSOR_MEMORY_COLUMNS // columns), resident
        )
        return np.maximum(resident, 1)

    def _us(self, launch: _Launch, constants: Constants) -> Array:
        sms, resident = self._board["sm_count"], self._resident
        slots = sms * resident
        full = np.floor(launch.blocks / slots)
        rest = launch.blocks - full * slots
        deep = np.maximum(1, np.ceil(rest / sms))
        busy = np.minimum(sms, rest / deep)
        whole = self._wave_us(launch, resident, sms, constants)
        last = self._wave_us(launch, deep, np.maximum(busy, 1e-3), constants)
        hard = full * whole + np.where(rest > 0, last, 0)
        soft = np.where(full > 0, launch.blocks / slots * whole, last)
        share = constants["hard_waves"]
        return share * hard + (1 - share) * soft

    def _wave_us(self, launch: _Launch, resident: Array, busy_sms: Array, constants: Constants) -> Array:
        """Microseconds in which `busy_sms` SMs finish `resident` blocks each."""
        tiles, board = self._tiles, self._board
        per_cycle = 1 / (board["clock_ghz"] * 1e3)
        width = self._work["element_bytes"]
        compute = resident * self._compute_cycles(constants) * per_cycle
        segment = board["segment_gddr"] * constants["segment_gddr"]
        segment = segment + (1 - board["segment_gddr"]) * constants["segment_hbm"]
        dram_us = (1 + segment * DRAM_SEGMENT_BYTES / (tiles.k * width * self._packing)) / (
            board["dram_bytes_per_us"] * constants["dram"]
        )
        l2_us = 1 / (board["l2_bytes_per_us"] * constants["l2"])
        memory = resident * busy_sms * launch.bytes_per_iteration
        memory = memory * (launch.dram_share * dram_us + (1 - launch.dram_share) * l2_us)
        alone = constants["prologue_us"] + constants["start_per_n_us"] * tiles.n / 64
        alone = alone + launch.iterations * self._serial_us(constants, per_cycle)
        bound = _norm(
            (launch.iterations * compute, launch.iterations * memory, alone), constants["overlap_power"]
        )
        spilled = np.clip(self._registers_wanted - MAX_REGISTERS, 0, 200)
        epilogue = constants["epilogue"] * resident * tiles.m * tiles.n * 8 / SHARED_BYTES_PER_CYCLE
        start = constants["serial_prologue"] * constants["prologue_us"]
        return start + bound * (1 + constants["spill"] * np.sqrt(spilled)) + epilogue * per_cycle

    def _compute_cycles(self, constants: Constants) -> Array:
        """SM cycles of one iteration of one block: tensor cores or shared memory, whichever is slower."""
        return np.maximum(self._matrix_cycles(constants), self._shared_cycles())

    def _matrix_cycles(self, constants: Constants) -> Array:
        tiles, board, width = self._tiles, self._board, self._work["element_bytes"]
        # Where Hopper's and data-centre Blackwell's own MMAs are not taken, Triton widens FP8 to 16 bits.
        is_widened = ~self._shared_operands & (board["mma"] > 0)
        operations = tiles.m * tiles.n * tiles.k * np.where(is_widened, np.maximum(width, 2), width)
        through_registers = sum(
            (board["mma"] == kind) * constants[name]
            for kind, name in enumerate(("eff_mma", "eff_mma_90", "eff_mma_100"))
        )
        from_shared = 0.85 * np.sqrt(np.minimum(1, tiles.n / constants["wide_n"]))
        efficiency = np.where(self._shared_operands, from_shared, through_registers)
        return operations / (board["bf16_flops_per_cycle"] * efficiency)

    def _shared_cycles(self) -> Array:
        tiles, width = self._tiles, self._work["element_bytes"]
        loaded = (tiles.m + tiles.n) * tiles.k * width
        warps_m, warps_n = _warp_grid(tiles)
        # Every column of warps reads all of A again, every row of warps all of B.
        read = tiles.m * tiles.k * width * warps_n + tiles.n * tiles.k * width * warps_m
        return np.where(self._shared_operands, 1.5 * loaded, loaded + read) / SHARED_BYTES_PER_CYCLE

    def _serial_us(self, constants: Constants, per_cycle: Array) -> Array:
        """Microseconds of one iteration of a block that is alone: its chain of MMAs, or its load's latency."""
        tiles, chain = self._tiles, constants["chain_cycles"]
        steps = tiles.k / MMA_K
        registers = constants["iteration_cycles"] + steps * (
            chain + 2 * tiles.m * tiles.n / (128 * tiles.warps)
        )
        shared = steps * chain / 2 + self._matrix_cycles(constants)
        cycles = np.where(self._shared_operands, shared, registers)
        latency = constants["tile_latency_us"] / np.maximum(tiles.stages - 1, 0.5)
        return _norm((cycles * per_cycle, latency), constants["overlap_power"])


_WORK = (
    "num_experts",
    "top_k",
    "hidden_size",
    "intermediate_size",
    "tokens",
    "element_bytes",
    "weight_bytes",
)
_BOARD = (
    "sm_count", "clock_ghz", "l2_bytes", "shared_bytes_per_sm", "max_warps_per_sm", "max_blocks_per_sm",
    "bf16_flops_per_cycle", "dram_bytes_per_us", "l2_bytes_per_us", "segment_gddr", "tensor_memory", "mma",
)  # fmt: skip


def _rows(objects: Sequence[Workload] | Sequence[Board], name: str) -> Array:
    return np.asarray([getattr(each, name) for each in objects], dtype=np.float64)[:, None]


def _norm(parts: Sequence[Array], power: float) -> Array:
    """A soft maximum: the p-norm, with the largest part taken out so that no power overflows."""
    largest = parts[0]
    for part in parts[1:]:
        largest = np.maximum(largest, part)
    return largest * sum((part / largest) ** power for part in parts) ** (1 / power)


def _warp_grid(tiles: Tiles) -> tuple[Array, Array]:
    """How many warps along m and n: doubled along the longer side of a warp's share, until all warps are placed."""
    along_m, along_n = np.ones_like(tiles.warps), np.ones_like(tiles.warps)
    for _ in range(5):
        left = along_m * along_n < tiles.warps
        taller = (tiles.m / along_m >= tiles.n / along_n) & (16 * along_m < tiles.m)
        along_m, along_n = (
            np.where(left & taller, 2 * along_m, along_m),
            np.where(left & ~taller, 2 * along_n, along_n),
        )
    return along_m, along_n


def _expected_blocks(workloads: Sequence[Workload], block_m: Array) -> Array:
    """[workloads, configs] expected blocks of rows over all experts, under uniform routing."""
    sizes, place = np.unique(block_m, return_inverse=True)
    counts = np.asarray([[_blocks_of(each, int(size)) for size in sizes] for each in workloads])
    rows = np.broadcast_to(place.reshape(block_m.shape), (len(workloads), block_m.shape[1]))
    return np.take_along_axis(counts, rows, axis=1)


def _blocks_of(workload: Workload, size: int) -> float:
    share = min(1.0, workload.top_k / workload.num_experts)
    return workload.num_experts * _expected_ceil(workload.tokens, share, size)


@lru_cache(maxsize=1 << 16)
def _expected_ceil(tokens: int, share: float, size: int) -> float:
    """E[ceil(X / size)] of X ~ Binomial(tokens, share), as the sum of P(X > j * size) over j."""
    starts = np.arange(0, tokens, size, dtype=np.float64)
    return float(bdtrc(starts, tokens, share).sum()) if share < 1 else float(-(-tokens // size))
