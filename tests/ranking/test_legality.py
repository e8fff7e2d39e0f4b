import numpy as np
import pytest

from workbench.ranking.grid import GRID, grid_tiles
from workbench.ranking.legality import fits, shared_bytes
from workbench.ranking.workload import Tiles

KIB = 1024
LIMITS = {80: 163 * KIB, 89: 99 * KIB, 90: 227 * KIB, 100: 227 * KIB, 120: 99 * KIB}


def tile(m, n, k, warps, stages):
    return Tiles(*np.asarray([[m, n, k, 1, warps, stages]], dtype=float).T)


# Legal configs of 1,920 as counted over the same grid by compiles of the engines' kernel (Triton 3.9, bf16).
@pytest.mark.parametrize(("arch", "count"), [(80, 1336), (89, 976), (90, 1304), (100, 1304), (120, 976)])
def test_as_many_configs_of_the_grid_are_legal_as_compiles_say(arch, count):
    assert int(fits(grid_tiles(), arch, 2, LIMITS[arch]).sum()) == count
    assert len(GRID) == 1920


def test_the_config_that_overflows_an_rtx_board_fits_a_b200():
    config = tile(128, 256, 64, 8, 4)
    assert shared_bytes(config, 120, 2)[0] == 147_456
    assert not fits(config, 120, 2, LIMITS[120])[0]
    assert fits(config, 100, 2, LIMITS[100])[0]


@pytest.mark.parametrize("arch", [90, 100, 103])
def test_tensor_cores_that_read_shared_memory_keep_one_tile_more(arch):
    small, large = tile(32, 64, 128, 4, 3), tile(64, 64, 128, 4, 3)
    assert shared_bytes(small, arch, 2)[0] == 2 * (32 + 64) * 128 * 2
    assert shared_bytes(large, arch, 2)[0] == 3 * (64 + 64) * 128 * 2
    assert shared_bytes(large, 120, 2)[0] == 2 * (64 + 64) * 128 * 2


def test_more_stages_never_need_less():
    tiles = grid_tiles()
    deeper = Tiles(tiles.m, tiles.n, tiles.k, tiles.group, tiles.warps, tiles.stages + 1)
    assert (shared_bytes(deeper, 90, 2) > shared_bytes(tiles, 90, 2)).all()
