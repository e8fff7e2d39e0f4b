"""The operator behind `fused_experts` for quantised weights: opaque to torch.compile, without a gradient.

A format travels as a word and a number, and each projection as its tensors, since operators take nothing else.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from moe_kernels.activation import Activation
from moe_kernels.experts.call import QuantisedCall
from moe_kernels.experts.dispatch import run_call
from moe_kernels.formats import Fp8, Int4, Nvfp4, QuantisedWeights, WeightFormat
from moe_kernels.formats.format import TENSOR_NAMES

_PROJECTIONS = ("gate_up", "down")
_TENSORS = ", ".join(
    f"Tensor{'?' if attribute in ('zero_points', 'global_scales') else ''} {name}_{attribute}"
    for name in _PROJECTIONS
    for attribute in TENSOR_NAMES
)
torch.library.define(
    "moe_kernels::fused_quantised_experts",
    f"(Tensor hidden, {_TENSORS}, Tensor weights, Tensor ids, str[] formats, SymInt[] shared, SymInt[] columns, "
    "str activation, str backend, int[]? config) -> Tensor",
)
_op: Any = torch.ops.moe_kernels.fused_quantised_experts.default


def run_quantised(call: QuantisedCall, backend: str, config: list[int] | None) -> Tensor:
    """Runs a call of plain tensors through the operator."""
    projections = (call.gate_up, call.down)
    tensors = [getattr(each, name) for each in projections for name in TENSOR_NAMES]
    out: Tensor = _op(
        call.hidden,
        *tensors,
        call.weights,
        call.ids,
        [_word(each.format) for each in projections],
        [_shared(each.format) for each in projections],
        [each.shape[2] for each in projections],
        str(call.activation),
        backend,
        config,
    )
    return out


def _call(hidden: Tensor, arguments: tuple[Any, ...]) -> QuantisedCall:
    *tensors, weights, ids, formats, shared, columns, activation = arguments
    about = zip((0, len(TENSOR_NAMES)), formats, shared, columns, strict=True)
    gate_up, down = (
        _projection(tensors[place : place + len(TENSOR_NAMES)], *described) for place, *described in about
    )
    return QuantisedCall(
        hidden=hidden, gate_up=gate_up, down=down, weights=weights, ids=ids, activation=Activation(activation)
    )


def _word(weight_format: WeightFormat) -> str:
    return weight_format.scales if isinstance(weight_format, Fp8) else weight_format.dtype_word


def _shared(weight_format: WeightFormat) -> int:
    """The group size, 0 for none, or the rows of a block."""
    if isinstance(weight_format, Int4):
        return 0 if weight_format.group_size is None else weight_format.group_size
    return weight_format.block_rows if isinstance(weight_format, Fp8) else 0


def _format(word: str, shared: int, *, symmetric: bool) -> WeightFormat:
    if word == Int4.dtype_word:
        return Int4(shared or None, symmetric=symmetric)
    return Nvfp4() if word == Nvfp4.dtype_word else Fp8(word, shared)  # type: ignore[arg-type]


def _projection(tensors: list[Tensor], word: str, shared: int, columns: int) -> QuantisedWeights:
    held = dict(zip(TENSOR_NAMES, tensors, strict=True))
    weight_format = _format(word, shared, symmetric=held["zero_points"] is None)
    rounded_up = columns % weight_format.values_per_element
    return QuantisedWeights(format=weight_format, **held, input_size=columns if rounded_up else None)


@torch.library.impl("moe_kernels::fused_quantised_experts", ("cuda", "cpu"))
def _run(hidden: Tensor, *arguments: Any) -> Tensor:
    *described, backend, config = arguments
    return run_call(_call(hidden, tuple(described)), backend, config)


@torch.library.register_fake("moe_kernels::fused_quantised_experts")  # type: ignore[untyped-decorator]
def _fake(hidden: Tensor, *_arguments: Any) -> Tensor:
    return torch.empty_like(hidden, memory_format=torch.contiguous_format)


def _no_gradient(ctx: Any, grad: Tensor) -> None:
    raise RuntimeError(
        "fused_experts: quantised weights have no gradient; run it under torch.no_grad(), or train on weights that "
        "`QuantisedWeights.format.dequantise` gives"
    )


torch.library.register_autograd("moe_kernels::fused_quantised_experts", _no_gradient)
