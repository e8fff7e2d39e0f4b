"""The experts as a grouped matrix product over slots sorted by expert: for many tokens."""

from moe_kernels.experts.grouped.tunable import EXPERTS, GroupedWorkspace, grouped_launches, grouped_outputs

__all__ = ["EXPERTS", "GroupedWorkspace", "grouped_launches", "grouped_outputs"]
