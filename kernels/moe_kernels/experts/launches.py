"""Parts of launches that both ways through the experts have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import triton
from torch import Tensor

from moe_kernels.experts.call import ExpertsCall
from moe_kernels.experts.kernel import sum_kernel
from moe_kernels.tunable import KernelLaunch

SUM_BLOCK = 512


def matrix_arguments(a: Tensor, b: Tensor, out: Tensor) -> dict[str, Any]:
    """The operands of a product of rows and experts' weights, with their strides.

    Args:
        a: [rows, depth].
        b: [E, columns, depth].
        out: [rows, columns of the epilogue], contiguous.
    """
    return {
        "a_ptr": a,
        "b_ptr": b,
        # bf16 and fp16 weights have no scales; formats that have some pass them here.
        "scale_ptr": None,
        "out_ptr": out,
        "N": b.shape[1],
        "K": b.shape[2],
        "stride_am": a.stride(0),
        "stride_ak": a.stride(1),
        "stride_be": b.stride(0),
        "stride_bn": b.stride(1),
        "stride_bk": b.stride(2),
    }


def activation_constexprs(call: ExpertsCall) -> Mapping[str, Any]:
    """The activation as the kernels name it."""
    return {
        "ACTIVATION": call.activation.value.removesuffix("_no_mul"),
        "GATED": call.activation.is_gated,
    }


def sum_launch(call: ExpertsCall, partials: Tensor, ids: Tensor, out: Tensor) -> KernelLaunch:
    """Describes the launch that sums each token's partial results.

    Args:
        call: the call.
        partials: [T*K, H], contiguous.
        ids: [T, K], contiguous.
        out: [T, H], contiguous, written.
    """
    return KernelLaunch(
        kernel=sum_kernel,
        grid=(call.num_tokens, triton.cdiv(call.hidden_size, SUM_BLOCK), 1),
        arguments={"partials_ptr": partials, "ids_ptr": ids, "out_ptr": out, "H": call.hidden_size},
        constexprs={"E": call.num_experts, "TOP_K": call.top_k, "BLOCK_H": SUM_BLOCK},
        options={"num_warps": 4, "enable_fp_fusion": True},
    )
