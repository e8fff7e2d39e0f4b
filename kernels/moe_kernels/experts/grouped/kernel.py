"""The grouped matrix product over slots sorted by expert, and the activation between its two passes."""

from __future__ import annotations

import triton
import triton.language as tl

from moe_kernels.experts.kernel import activate_tile, matmul_tile, pointwise, weight_rows


@triton.jit
def _tile_of_program(pid, num_blocks, num_column_blocks, GROUP_M: tl.constexpr):
    """Programs go through GROUP_M row blocks before the next column block, so that these share weights in the L2."""
    group_size = GROUP_M * num_column_blocks
    first = pid // group_size * GROUP_M
    rows = min(num_blocks - first, GROUP_M)
    return first + pid % group_size % rows, pid % group_size // rows


@triton.jit(do_not_specialize=["num_slots"])
def grouped_matmul_kernel(
    a_ptr,
    b_ptr,
    scale_ptr,
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
    stride_be,
    stride_bn,
    stride_bk,
    SLOTS_PER_ROW: tl.constexpr,
    EPILOGUE: tl.constexpr,
    ACTIVATION: tl.constexpr,
    GATED: tl.constexpr,
    FORMAT: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    GROUP_M: tl.constexpr,
    EVEN_K: tl.constexpr,
):
    """`out[slot] = epilogue(a[slot // SLOTS_PER_ROW] @ b[expert of slot].T)`.

    The epilogue stores as it is, activates, or multiplies by the slot's routed weight, in fp32.
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
    total = matmul_tile(
        a_ptr + slots // SLOTS_PER_ROW * stride_am,
        in_use,
        b_ptr + expert * stride_be + rows * stride_bn,
        scale_ptr,
        K,
        stride_ak,
        stride_bk,
        BLOCK_M,
        BLOCK_N,
        BLOCK_K,
        EVEN_K,
        FORMAT,
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


@triton.jit
def activation_kernel(
    gate_up_ptr, inner_ptr, SIZE, ACTIVATION: tl.constexpr, GATED: tl.constexpr, BLOCK: tl.constexpr
):
    """[S, 2I] as `[gate | up]`, or [S, I] where ungated, to [S, I], in fp32."""
    slot = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = columns < SIZE
    row_ptr = gate_up_ptr + slot * SIZE * (2 if GATED else 1)
    inner = pointwise(tl.load(row_ptr + columns, mask=mask, other=0.0).to(tl.float32), ACTIVATION)
    if GATED:
        inner *= tl.load(row_ptr + SIZE + columns, mask=mask, other=0.0).to(tl.float32)
    tl.store(inner_ptr + slot * SIZE + columns, inner.to(inner_ptr.dtype.element_ty), mask=mask)
