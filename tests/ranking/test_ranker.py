import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pytest

from workbench.base.errors import InputError
from workbench.devices import catalogue, find_device
from workbench.integrations.engines import LADDER
from workbench.ranking import Workload, load_ranker, rank, shipped_ranker
from workbench.ranking.grid import GRID, grid_tiles
from workbench.ranking.legality import fits
from workbench.ranking.ranker import serialise
from workbench.ranking.workload import PARAMETERS
from workbench.trials.config_table import ConfigTable

CONFIGS = [dict(zip(PARAMETERS, row, strict=True)) for row in GRID]


def gemma(tokens, **changes):
    shape = {"num_experts": 128, "top_k": 8, "hidden_size": 2816, "intermediate_size": 704}
    return Workload(**{**shape, "tokens": tokens, **changes})


def best(device, tokens, **changes):
    return CONFIGS[int(rank(gemma(tokens, **changes), find_device(device), CONFIGS).argmin())]


@pytest.mark.parametrize("device", [each.slug for each in catalogue()])
def test_gemma_is_ranked_on_every_gpu_of_the_catalogue_with_launchable_configs_first(device):
    known = find_device(device)
    scores = rank([gemma(tokens) for tokens in LADDER], known, CONFIGS)
    assert scores.shape == (len(LADDER), len(CONFIGS))
    assert np.isfinite(scores).all()
    legal = fits(grid_tiles(), known.compute_capability, 2, known.shared_bytes_per_block)
    first = np.argsort(scores, axis=1)[:, :100]
    assert legal[first].all()


def test_few_tokens_want_small_blocks_and_many_want_large_ones():
    for device in ("b200", "h200", "h100"):
        assert best(device, 1)["BLOCK_SIZE_M"] == 16
        assert best(device, 16384)["BLOCK_SIZE_M"] >= 128


def test_blocks_never_shrink_much_as_tokens_grow():
    blocks = [best("h200", tokens)["BLOCK_SIZE_M"] for tokens in LADDER]
    assert all(later >= earlier / 2 for earlier, later in pairwise(blocks))


def test_a_table_of_configs_is_ranked_like_a_list_of_them():
    device, problem = find_device("b200"), gemma(32)
    table = ConfigTable.of(PARAMETERS, CONFIGS)
    np.testing.assert_array_equal(rank(problem, device, table), rank(problem, device, CONFIGS))


def test_the_order_of_the_configs_makes_no_difference():
    device, order = find_device("l40s"), np.random.default_rng(0).permutation(len(CONFIGS))
    shuffled = rank(gemma(8), device, [CONFIGS[place] for place in order])
    np.testing.assert_allclose(shuffled, rank(gemma(8), device, CONFIGS)[order], rtol=1e-12)


def test_parameters_that_the_engines_do_not_have_make_no_difference():
    both = [{**CONFIGS[0], "fuse_activation": value} for value in (0, 1)]
    first, second = rank(gemma(8), find_device("h100"), both)
    assert first == second


def test_values_off_the_grid_are_ranked_too():
    odd = {
        **CONFIGS[0],
        "BLOCK_SIZE_M": 8,
        "BLOCK_SIZE_K": 32,
        "num_stages": 1,
        "num_warps": 2,
        "GROUP_SIZE_M": 6,
    }
    assert np.isfinite(rank([gemma(1), gemma(100_000)], find_device("rtx5090"), [odd])).all()


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32", "fp8_w8a8"])
@pytest.mark.parametrize("shape", [{"intermediate_size": 1}, {"num_experts": 1, "top_k": 1}, {"top_k": 128}])
def test_odd_workloads_are_ranked(dtype, shape):
    assert np.isfinite(rank(gemma(3, dtype=dtype, **shape), find_device("b300"), CONFIGS)).all()


def test_a_whole_grid_over_a_whole_ladder_takes_well_under_a_second():
    device, table, workloads = (
        find_device("b200"),
        ConfigTable.of(PARAMETERS, CONFIGS),
        list(map(gemma, LADDER)),
    )
    rank(workloads, device, table)
    started = time.thread_time()
    rank(workloads, device, table)
    assert time.thread_time() - started < 0.8


def test_a_config_without_a_parameter_is_named():
    with pytest.raises(InputError, match="num_stages"):
        rank(gemma(1), find_device("b200"), [dict.fromkeys(PARAMETERS[:-1], 1)])


@pytest.mark.parametrize(("name", "value"), [("tokens", 0), ("top_k", -1), ("dtype", "mxfp4")])
def test_a_workload_that_is_none_is_named(name, value):
    with pytest.raises(InputError, match=name):
        gemma(**{"tokens": 1, name: value})


def test_a_fit_survives_being_written_and_read(tmp_path):
    path = tmp_path / "fit.json"
    path.write_text(serialise(shipped_ranker()))
    again = load_ranker(path)
    np.testing.assert_array_equal(again.weights, shipped_ranker().weights)
    assert again.constants == shipped_ranker().constants


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"schema": "other"}', '{"schema": "workbench.ranking/1"}']
)
def test_a_file_that_is_no_fit_is_refused(tmp_path, content):
    path = tmp_path / "fit.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"fit\.json"):
        load_ranker(path)


def test_the_shipped_fit_says_what_it_was_fitted_to():
    provenance = shipped_ranker().provenance
    assert any(name.startswith("vllm-") for name in provenance["tables"])
    assert any(name.startswith("sglang-") for name in provenance["tables"])
    assert sum(provenance["rows"].values()) > 2000


def test_ranking_imports_neither_torch_nor_triton():
    code = "import sys, workbench.ranking; print(*sys.modules.keys() & {'torch', 'triton'})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
