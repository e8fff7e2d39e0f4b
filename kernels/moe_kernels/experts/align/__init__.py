"""Sorting slots by expert, as a grouped matrix product reads them."""

from moe_kernels.experts.align.launch import align_launch, empty_aligned, most_blocks
from moe_kernels.experts.align.reference import Aligned, reference_align

__all__ = ["Aligned", "align_launch", "empty_aligned", "most_blocks", "reference_align"]
