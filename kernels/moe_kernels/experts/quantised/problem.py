"""Problems with quantised weights: the format that their axes name, its inputs, and its workspace."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from moe_kernels.experts.quantised.rows import QuantisedRows
from moe_kernels.formats import Fp8, Int4, Nvfp4, QuantisedWeights, WeightFormat
from moe_kernels.formats.format import TENSOR_NAMES
from moe_kernels.tunable import Problem, Tensors

# Each stands for all of its kind, whose tuned configs are the same; group_size is an axis of its own.
QUANTISED_WORDS: Mapping[str, type[WeightFormat]] = MappingProxyType(
    {each.dtype_word: each for each in (Int4, Fp8, Nvfp4)}
)
GROUPED_WORDS = (Int4.dtype_word,)
_ROWS = ("hidden", "inner")


def format_of(problem: Problem) -> WeightFormat | None:
    """The format of a problem's weights, None where they are not quantised.

    Int4 without a group size has a scale for each output channel, as fp8 has.

    Raises:
        ValueError: there is no such group size.
    """
    word = problem["dtype"]
    if word == Int4.dtype_word:
        return Int4(int(problem["group_size"]) if "group_size" in problem else None)
    if word == Fp8.dtype_word:
        return Fp8("channel")
    return Nvfp4() if word == Nvfp4.dtype_word else None


def why_no_format(problem: Problem) -> str | None:
    """Says why weights of a problem's sizes cannot be in its format, or None."""
    try:
        found = format_of(problem)
    except ValueError as error:
        return str(error)
    for axis in ("hidden_size", "intermediate_size"):
        if found is not None and (reason := found.why_no_size(int(problem[axis]))):
            return f"{axis}={problem[axis]}: {reason}"
    return None


def divisor_of_sizes(problem: Problem) -> int:
    """What H and I have to be multiples of."""
    found = format_of(problem)
    if isinstance(found, Int4):
        return found.group_size or 1
    return 16 if isinstance(found, Nvfp4) else 1


def quantised_inputs(name: str, weight: Tensor, weight_format: WeightFormat) -> dict[str, Tensor]:
    """The tensors of a projection, by names that `projection_of` reads."""
    if weight.device.type == "meta":
        held = weight_format.empty(*weight.shape, device="meta", scale_dtype=weight.dtype)
    else:
        held = weight_format.quantise(weight)
    return {f"{name}_{attribute}": tensor for attribute, tensor in held.tensors().items()}


def projection_of(name: str, inputs: Tensors, weight_format: WeightFormat, columns: int) -> QuantisedWeights:
    """The projection that `quantised_inputs` took apart."""
    tensors = {each: inputs[f"{name}_{each}"] for each in TENSOR_NAMES if f"{name}_{each}" in inputs}
    rounded_up = columns % weight_format.values_per_element
    return QuantisedWeights(format=weight_format, **tensors, input_size=columns if rounded_up else None)


def bytes_of(weight_format: WeightFormat, rows: int, columns: int) -> int:
    """Bytes of one expert's matrix."""
    return weight_format.empty(1, rows, columns, device="meta", scale_dtype=torch.bfloat16).nbytes


def rows_outputs(
    weight_format: WeightFormat, sizes: tuple[tuple[int, int], tuple[int, int]], device: torch.device
) -> dict[str, Tensor]:
    """Room for quantised activations of both products, by names that `rows_of` reads."""
    found: dict[str, Tensor] = {}
    for name, size in zip(_ROWS, sizes, strict=True):
        if (rows := QuantisedRows.empty(weight_format, *size, device)) is not None:
            found |= {f"{name}_codes": rows.values, f"{name}_scales": rows.scales}
    return found


def rows_of(outputs: Tensors) -> tuple[QuantisedRows | None, QuantisedRows | None]:
    """What `rows_outputs` made: rows of hidden states, and of the activation's results."""
    hidden, inner = (
        QuantisedRows(outputs[f"{name}_codes"], outputs[f"{name}_scales"])
        if f"{name}_codes" in outputs
        else None
        for name in _ROWS
    )
    return hidden, inner
