"""Parts of launches that both ways through the experts have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import triton
from torch import Tensor

from moe_kernels.experts.call import QuantisedCall, RoutedCall
from moe_kernels.experts.kernel import sum_kernel
from moe_kernels.experts.quantised.arguments import FORMAT_CODE, layout_of, weight_argument
from moe_kernels.experts.quantised.rows import QuantisedRows, quantise_launch
from moe_kernels.formats import Fp8, QuantisedWeights
from moe_kernels.formats.fp8 import BLOCK
from moe_kernels.tunable import Config, KernelLaunch

SUM_BLOCK = 512
Rows = tuple[QuantisedRows | None, QuantisedRows | None]


@dataclass(frozen=True, slots=True)
class Operands:
    """How a product of rows and experts' weights takes its matrices.

    Attributes:
        arguments: of its kernel.
        constexprs: of its kernel.
        before: the launch that quantises the rows, where the weights' format wants that.
    """

    arguments: Mapping[str, Any]
    constexprs: Mapping[str, Any]
    before: tuple[KernelLaunch, ...] = ()


def operands_of(
    a: Tensor, b: Tensor | QuantisedWeights, out: Tensor, rows: QuantisedRows | None, config: Config
) -> Operands:
    """The operands of a product.

    Args:
        a: [rows, depth].
        b: [E, columns, depth].
        out: [rows, columns of the epilogue], contiguous.
        rows: where rows are quantised to.
        config: of the product.
    """
    if isinstance(b, Tensor):
        return Operands(matrix_arguments(a, b, out), {"FORMAT": "plain"})
    code = FORMAT_CODE[b.dtype_word]
    taken = a if rows is None else rows.values
    arguments = {
        "a_ptr": taken,
        "a_scales": None if rows is None else rows.argument,
        "weights": weight_argument(b),
        "out_ptr": out,
        "N": b.shape[1],
        "K": b.shape[2],
        "stride_am": taken.stride(0),
        "stride_ak": taken.stride(1),
    }
    product = code.scaled_product if config.get("dot_scaled") else code.product
    before = () if rows is None else (quantise_launch(a, b.format, rows),)
    return Operands(arguments, {"PRODUCT": product, "LAYOUT": layout_of(b)}, before)


def depth_block(config: Config, b: Tensor | QuantisedWeights) -> int:
    """BLOCK_SIZE_K as a product takes it: no deeper than a block of scales, as the engines cut it, too."""
    block = int(config["BLOCK_SIZE_K"])
    has_blocks = isinstance(b, QuantisedWeights) and isinstance(b.format, Fp8) and b.format.scales == "block"
    return min(block, BLOCK) if has_blocks else block


def empty_rows(call: RoutedCall) -> Rows:
    """Room for the quantised activations of both products, where the format wants them quantised."""
    if not isinstance(call, QuantisedCall):
        return None, None
    device = call.hidden.device
    return (
        QuantisedRows.empty(call.gate_up.format, call.num_tokens, call.hidden_size, device),
        QuantisedRows.empty(call.down.format, call.num_slots, call.intermediate_size, device),
    )


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
        # Formats that have scales run kernels of their own.
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


def activation_constexprs(call: RoutedCall) -> Mapping[str, Any]:
    """The activation as the kernels name it."""
    return {
        "ACTIVATION": call.activation.value.removesuffix("_no_mul"),
        "GATED": call.activation.is_gated,
    }


def sum_launch(call: RoutedCall, partials: Tensor, ids: Tensor, out: Tensor) -> KernelLaunch:
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
