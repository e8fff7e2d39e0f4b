"""Fused routing: top-k, softmax and per-expert scale of an MoE router in one launch, beside its torch references."""

from moe_kernels.routing.op import fused_routing
from moe_kernels.routing.reference import reference_routing, split_routing
from moe_kernels.routing.tunable import ROUTING

__all__ = ["ROUTING", "fused_routing", "reference_routing", "split_routing"]
