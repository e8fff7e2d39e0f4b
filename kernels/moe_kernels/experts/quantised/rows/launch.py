"""Activations as eight-bit formats take them: where they are put, and the launch that quantises them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from moe_kernels.experts.quantised.rows.kernel import quantise_groups_kernel, quantise_rows_kernel
from moe_kernels.formats import WeightFormat
from moe_kernels.tunable import KernelLaunch

MAX_BLOCK = 2048
GROUPS_A_PROGRAM = 8


class QuantisedRows(NamedTuple):
    """Rows of activations in e4m3.

    Attributes:
        values: uint8 [rows, size].
        scales: fp32 [rows, 1], or [rows, groups].
    """

    values: Tensor
    scales: Tensor

    @classmethod
    def empty(
        cls, weight_format: WeightFormat, rows: int, size: int, device: torch.device
    ) -> QuantisedRows | None:
        """Room for what a format wants of activations, uninitialised; None where it takes them as they are."""
        group = weight_format.activation_group
        if group == 0:
            return None
        groups = 1 if group is None else triton.cdiv(size, group)
        return cls(
            torch.empty((rows, size), dtype=torch.uint8, device=device),
            torch.empty((rows, groups), dtype=torch.float32, device=device),
        )

    @property
    def argument(self) -> tuple[Any, ...]:
        """The scales with their strides, as the kernels take them."""
        return self.scales, self.scales.stride(0), 0 if self.scales.shape[1] == 1 else 1


def quantise_launch(rows: Tensor, weight_format: WeightFormat, quantised: QuantisedRows) -> KernelLaunch:
    """Describes the launch that quantises rows.

    Args:
        rows: [rows, size].
        weight_format: says what shares a scale.
        quantised: written.
    """
    count, size = rows.shape
    arguments = {
        "x_ptr": rows,
        "values_ptr": quantised.values,
        "scales_ptr": quantised.scales,
        "SIZE": size,
        "stride_xm": rows.stride(0),
        "stride_xk": rows.stride(1),
        "stride_scale": quantised.scales.stride(0),
    }
    options = {"num_warps": 4, "enable_fp_fusion": True}
    if (group := weight_format.activation_group) is None:
        block = min(MAX_BLOCK, triton.next_power_of_2(size))
        return KernelLaunch(quantise_rows_kernel, (count, 1, 1), arguments, {"BLOCK": block}, options)
    groups = min(GROUPS_A_PROGRAM, triton.next_power_of_2(quantised.scales.shape[1]))
    grid = (count, triton.cdiv(quantised.scales.shape[1], groups), 1)
    constexprs = {"GROUP": group, "GROUPS": groups}
    return KernelLaunch(quantise_groups_kernel, grid, arguments, constexprs, options)
