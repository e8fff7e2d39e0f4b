"""The grouped matrix product over slots sorted by expert, for weights in a quantised format."""

from __future__ import annotations

import triton
import triton.language as tl

from moe_kernels.experts.grouped.kernel import _tile_of_program
from moe_kernels.experts.kernel import activate_tile, weight_rows


@triton.jit(do_not_specialize=["num_slots"])
def quantised_grouped_kernel(
    a_ptr,
    a_scales,
    weights,
    out_ptr,
    weights_ptr,
    sorted_slots_ptr,
    block_experts_ptr,
    num_blocks_ptr,
    num_slots,
    N,
    K,
    stride_am,
    stride_ak,
    PRODUCT: tl.constexpr,
    LAYOUT: tl.constexpr,
    SLOTS_PER_ROW: tl.constexpr,
    EPILOGUE: tl.constexpr,
    ACTIVATION: tl.constexpr,
    GATED: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    GROUP_M: tl.constexpr,
    EVEN_K: tl.constexpr,
):
    """`out[slot] = epilogue(a[slot // SLOTS_PER_ROW] @ weights[expert of slot].T)`, as the dense product computes it.

    PRODUCT is the format's; `weights` holds its tensors with their strides, `a_scales` those of quantised activations.
    """
    pid = tl.program_id(0)
    num_blocks = tl.load(num_blocks_ptr)
    num_column_blocks = tl.cdiv(N, BLOCK_N)
    # The grid is for the worst case: the host does not know how many blocks the routing filled.
    if pid >= num_blocks * num_column_blocks:
        return
    block, column_block = _tile_of_program(pid, num_blocks, num_column_blocks, GROUP_M)
    expert = tl.load(block_experts_ptr + block).to(tl.int64)
    slots = tl.load(sorted_slots_ptr + block * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)
    in_use = slots < num_slots
    INTERLEAVE: tl.constexpr = GATED and EPILOGUE == "activate"
    rows = weight_rows(column_block * BLOCK_N + tl.arange(0, BLOCK_N), N, INTERLEAVE)
    a_rows = slots // SLOTS_PER_ROW
    total = PRODUCT(
        a_ptr + a_rows * stride_am,
        in_use,
        None if a_scales is None else (a_scales[0] + a_rows * a_scales[1], a_scales[2]),
        weights,
        rows,
        expert,
        K,
        stride_ak,
        LAYOUT,
        BLOCK_M,
        BLOCK_N,
        BLOCK_K,
        EVEN_K,
    )
    if EPILOGUE == "activate":
        total = activate_tile(total, ACTIVATION, GATED)
    elif EPILOGUE == "weigh":
        total *= tl.load(weights_ptr + slots, mask=in_use, other=0.0).to(tl.float32)[:, None]
    WIDTH: tl.constexpr = BLOCK_N // 2 if INTERLEAVE else BLOCK_N
    out_size = N // 2 if INTERLEAVE else N
    columns = column_block * WIDTH + tl.arange(0, WIDTH)
    out_ptrs = out_ptr + slots[:, None] * out_size + columns[None, :]
    tl.store(
        out_ptrs, total.to(out_ptr.dtype.element_ty), mask=in_use[:, None] & (columns < out_size)[None, :]
    )
