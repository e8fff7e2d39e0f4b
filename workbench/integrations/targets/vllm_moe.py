"""vLLM's fused MoE kernel as a sweep target: `vllm/model_executor/layers/fused_moe/fused_moe.py`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import Tensor

from moe_kernels.activation import Activation
from moe_kernels.tunable import Tensors, TunableKernel
from workbench.integrations.engines import VLLM
from workbench.integrations.targets.experts import MoeApi, experts_target

_LAYER = "vllm.model_executor.layers.fused_moe"


def describe(name: str) -> TunableKernel:
    """The kernel with `fused_experts` around it, each config put in force as vLLM's own tuner does."""
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


def _skips_alignment(tokens: int, top_k: int, num_experts: int) -> bool:
    """`_prepare_expert_assignment`: few rows each get a block of their own."""
    return tokens * top_k * 4 <= num_experts
