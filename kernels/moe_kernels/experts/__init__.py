"""Fused experts: both projections of K experts a token, as a grouped product or, for few tokens, without sorting."""

from moe_kernels.experts.backend import EXPERTS_BACKEND, BackendChoice, explain_backend
from moe_kernels.experts.call import ExpertsCall, QuantisedCall, RoutedCall
from moe_kernels.experts.decode import EXPERTS_DECODE
from moe_kernels.experts.grouped import EXPERTS
from moe_kernels.experts.op import fused_experts
from moe_kernels.experts.reference import reference_experts

__all__ = [
    "EXPERTS",
    "EXPERTS_BACKEND",
    "EXPERTS_DECODE",
    "BackendChoice",
    "ExpertsCall",
    "QuantisedCall",
    "RoutedCall",
    "explain_backend",
    "fused_experts",
    "reference_experts",
]
