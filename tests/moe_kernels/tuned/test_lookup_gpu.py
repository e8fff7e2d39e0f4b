from __future__ import annotations

import pytest
import torch

from moe_kernels.tuned import device_slug, lookup
from tests.moe_kernels.tuned.toys import PROBLEM, TOY, a_file, a_row, write


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("device", [None, 0, torch.device("cuda", 0)])
def test_a_lookup_can_be_captured_in_a_cuda_graph_even_the_first_time(results, device):
    slug = device_slug(torch.cuda.get_device_name(0))
    write(results, a_file({4: a_row(2), 8: a_row(3)}, device=slug), slug)
    x, seen = torch.zeros(8, device="cuda"), []
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for tokens in (4, 8, 4):
            seen.append(lookup(TOY, PROBLEM, tokens, device)["block"])
            x += seen[-1]
    graph.replay()
    torch.cuda.synchronize()
    assert (seen, x.tolist()) == ([2, 3, 2], [7.0] * 8)
