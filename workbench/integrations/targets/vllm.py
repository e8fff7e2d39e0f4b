"""vLLM's fused MoE and Gemma 4 routing kernels as sweep targets."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import Tensor

from moe_kernels.activation import Activation
from moe_kernels.tunable import Tensors, TunableKernel
from workbench.integrations.engines import VLLM
from workbench.integrations.targets.experts import MoeApi, experts_target
from workbench.integrations.targets.routing import routing_target

_LAYER = "vllm.model_executor.layers.fused_moe"


def fused_moe(name: str) -> TunableKernel:
    """The kernel of `layers/fused_moe/fused_moe.py` with `fused_experts` around it.

    Each config is put in force as vLLM's own tuner does.
    """
    layer: Any = import_module(_LAYER)
    module: Any = import_module(f"{_LAYER}.fused_moe")
    gelu_tanh = import_module(f"{_LAYER}.activation").MoEActivation.GELU_TANH

    def call(inputs: Tensors, config: dict[str, int]) -> Tensor:
        with layer.override_config(dict(config)):
            out: Tensor = module.fused_experts(
                hidden_states=inputs["hidden"],
                w1=inputs["gate_up"],
                w2=inputs["down"],
                topk_weights=inputs["weights"],
                topk_ids=inputs["ids"],
                activation=gelu_tanh,
            )
        return out

    return experts_target(
        name,
        MoeApi(
            engine=VLLM(),
            launcher=module.invoke_fused_moe_triton_kernel,
            kernel_name="fused_moe_kernel",
            call=call,
            activation=Activation.gelu_tanh,
            skips_alignment=_skips_alignment,
        ),
    )


def gemma4_routing(name: str) -> TunableKernel:
    """The kernel that `gemma4_fused_routing_kernel_triton` of `models/gemma4.py` launches."""
    return routing_target(name, import_module("vllm.model_executor.models.gemma4")._gemma4_routing_kernel)


def _skips_alignment(tokens: int, top_k: int, num_experts: int) -> bool:
    """`_prepare_expert_assignment`: few rows each get a block of their own."""
    return tokens * top_k * 4 <= num_experts
