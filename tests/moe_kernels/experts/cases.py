"""What the experts may be asked: tensors of any sizes, routings of any kind, under any strides."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from hypothesis import strategies as st
from torch import Tensor

from tests.moe_kernels.experts.oracle import GATED, UNGATED

FAR_OUT = 2**33 + 1


def uniform(tokens: int, experts: int, top_k: int) -> Tensor:
    return torch.randint(experts, (tokens, top_k))


def distinct(tokens: int, experts: int, top_k: int) -> Tensor:
    return torch.rand(tokens, max(experts, top_k)).topk(top_k, dim=-1).indices % experts


def all_on_the_last(tokens: int, experts: int, top_k: int) -> Tensor:
    return torch.full((tokens, top_k), experts - 1)


def one_expert_a_row(tokens: int, experts: int, top_k: int) -> Tensor:
    """The same id in all places of a row."""
    return torch.randint(experts, (tokens, 1)).repeat(1, top_k)


def some_foreign(tokens: int, experts: int, top_k: int) -> Tensor:
    """Out of range on both sides; the last wraps around into the range where it is narrowed to 32 bits."""
    outside = torch.tensor([-1, experts, -experts, experts + 5, FAR_OUT])
    ids = torch.cat([torch.arange(experts), outside])
    return ids[torch.randint(len(ids), (tokens, top_k))]


def all_foreign(tokens: int, experts: int, top_k: int) -> Tensor:
    return torch.full((tokens, top_k), -1)


ROUTINGS: Mapping[str, Callable[[int, int, int], Tensor]] = {
    routing.__name__: routing
    for routing in (uniform, distinct, all_on_the_last, one_expert_a_row, some_foreign, all_foreign)
}


def contiguous(tensor: Tensor) -> Tensor:
    return tensor.contiguous()


def transposed(tensor: Tensor) -> Tensor:
    """The last two dimensions change places in memory."""
    return tensor.transpose(-1, -2).contiguous().transpose(-1, -2)


def every_other(tensor: Tensor) -> Tensor:
    return tensor.repeat_interleave(2, dim=-1)[..., ::2]


def inside_wider_rows(tensor: Tensor) -> Tensor:
    """From an odd offset, between values that would spoil every result."""
    # Integers have no NaN; an id of 1 is one that an expert may have.
    spoil = float("nan") if tensor.is_floating_point() else 1
    wide = tensor.new_full((*tensor.shape[:-1], tensor.shape[-1] + 4), spoil)
    wide[..., 1:-3] = tensor
    return wide[..., 1:-3]


LAYOUTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    layout.__name__: layout for layout in (contiguous, transposed, every_other, inside_wider_rows)
}


def draw_tensors(
    sizes: tuple[int, int, int, int, int],
    *,
    dtype: torch.dtype = torch.bfloat16,
    routing: str = "uniform",
    activation: str = "gelu_tanh",
    device: torch.device | str = "cpu",
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """hidden, gate_up, down, weights and ids, of sizes T, E, K, H and I, from torch's global generator."""
    tokens, experts, top_k, hidden_size, inner = sizes
    rows = 2 * inner if activation in GATED else inner

    # Drawn where they live: the weights of a real model take the CPU long.
    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, device=device)

    return (
        normal(tokens, hidden_size).to(dtype),
        normal(experts, rows, hidden_size).mul_(hidden_size**-0.5).to(dtype),
        normal(experts, hidden_size, inner).mul_(inner**-0.5).to(dtype),
        normal(tokens, top_k),
        ROUTINGS[routing](tokens, experts, top_k).to(device),
    )


@st.composite
def calls(draw, dtypes=(torch.bfloat16, torch.float16), max_size: int = 40):
    """Tensors of a call, and its activation."""
    sizes = (
        draw(st.integers(0, 7)),
        draw(st.integers(1, 5)),
        draw(st.integers(1, 4)),
        draw(st.integers(1, max_size)),
        draw(st.integers(1, max_size)),
    )
    torch.manual_seed(draw(st.integers(0, 2**32 - 1)))
    activation = draw(st.sampled_from((*GATED, *UNGATED)))
    tensors = draw_tensors(
        sizes,
        dtype=draw(st.sampled_from(dtypes)),
        routing=draw(st.sampled_from(sorted(ROUTINGS))),
        activation=activation,
    )
    layouts = [LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))] for _ in tensors]
    return tuple(layout(tensor) for layout, tensor in zip(layouts, tensors, strict=True)), activation


def blocks(*values: int) -> st.SearchStrategy[int]:
    return st.sampled_from(values)


GROUPED_CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "BLOCK_SIZE_M": blocks(16, 32),
        "BLOCK_SIZE_N": blocks(16, 32, 64),
        "BLOCK_SIZE_K": blocks(16, 32, 64),
        "GROUP_SIZE_M": blocks(1, 2, 3, 64),
        "fuse_activation": blocks(0, 1),
    },
)
DECODE_CONFIGS = st.fixed_dictionaries(
    {"down_by": st.just("expert")},
    optional={
        "BLOCK_SIZE_N": blocks(16, 32, 64),
        "DOWN_BLOCK_SIZE_N": blocks(16, 32),
        "BLOCK_SIZE_K": blocks(16, 32, 64),
    },
) | st.fixed_dictionaries(
    {"down_by": st.just("token")},
    optional={"DOWN_BLOCK_SIZE_N": blocks(4, 8, 32), "BLOCK_SIZE_K": blocks(16, 64)},
)
