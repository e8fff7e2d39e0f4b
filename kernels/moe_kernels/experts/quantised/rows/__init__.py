"""Activations quantised row by row, as weights of eight bits need them."""

from moe_kernels.experts.quantised.rows.launch import QuantisedRows, quantise_launch

__all__ = ["QuantisedRows", "quantise_launch"]
