"""Hypothesis strategies: what routing may be asked, and with which config."""

from __future__ import annotations

from typing import NamedTuple

import torch
from hypothesis import strategies as st

from moe_kernels.routing.tunable import ALGORITHMS
from tests.moe_kernels.routing.layouts import LAYOUTS, SCALE_LAYOUTS
from tests.moe_kernels.routing.rows import FORMATS, KINDS, draw

DTYPES = tuple(FORMATS)
SCALE_DTYPES = (*DTYPES, torch.float64)
EXPERT_COUNTS = st.one_of(st.integers(1, 40), st.sampled_from([1, 2, 3, 16, 17, 64, 100, 128, 129]))


class Case(NamedTuple):
    logits: torch.Tensor
    scale: torch.Tensor
    top_k: int


@st.composite
def routing_cases(draw_from, max_tokens: int = 6) -> Case:
    num_experts = draw_from(EXPERT_COUNTS)
    top_k = draw_from(st.one_of(st.integers(1, num_experts), st.sampled_from([1, num_experts])))
    kinds = draw_from(st.lists(st.sampled_from(sorted(KINDS)), max_size=max_tokens))
    seed = draw_from(st.integers(0, 2**32 - 1))
    logits = draw(seed, kinds, num_experts, draw_from(st.sampled_from(DTYPES)))
    scale = torch.randn(num_experts, generator=torch.Generator().manual_seed(seed))
    return Case(
        LAYOUTS[draw_from(st.sampled_from(sorted(LAYOUTS)))](logits),
        SCALE_LAYOUTS[draw_from(st.sampled_from(sorted(SCALE_LAYOUTS)))](
            scale.to(draw_from(st.sampled_from(SCALE_DTYPES)))
        ),
        top_k,
    )


def configs() -> st.SearchStrategy[dict[str, int | str] | None]:
    parameters = {
        "algorithm": st.sampled_from(ALGORITHMS),
        "tokens_per_program": st.sampled_from([1, 2, 4, 8]),
        "scale_load": st.sampled_from(["row", "ids"]),
        "num_warps": st.sampled_from([1, 4]),
    }
    return st.none() | st.fixed_dictionaries({}, optional=parameters)
