"""SGLang's fused MoE and Gemma 4 routing kernels as sweep targets."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import Tensor

from moe_kernels.activation import Activation
from moe_kernels.tunable import Tensors, TunableKernel
from workbench.integrations.engines import SGLang
from workbench.integrations.targets.alignment import Alignment
from workbench.integrations.targets.experts import MoeApi, experts_target, gemm_arguments
from workbench.integrations.targets.recorded import call as call_with_known
from workbench.integrations.targets.routing import routing_target

_KERNELS = "sglang.kernels.ops.moe.fused_moe_triton_kernels"
_RUNNER = "sglang.srt.layers.moe.moe_runner.triton_utils"


def fused_moe(name: str) -> TunableKernel:
    """The kernel of `ops/moe/fused_moe_triton_kernels.py` with SGLang's sort, activation and sum around it.

    A call is put together from SGLang's own parts in the order of `_fused_moe_kernel_sequence`; its entry point needs a
    server's state around it.
    """
    kernels: Any = import_module(_KERNELS)
    runner: Any = import_module(f"{_RUNNER}.fused_moe")
    sort = import_module(f"{_RUNNER}.moe_align_block_size").moe_align_block_size

    def call(inputs: Tensors, config: dict[str, int]) -> Tensor:
        hidden, (tokens, top_k) = inputs["hidden"], inputs["ids"].shape
        experts, double, _ = inputs["gate_up"].shape
        alignment = Alignment(*sort(inputs["ids"], config["BLOCK_SIZE_M"], experts))
        first = hidden.new_empty(tokens * top_k, double)
        second = hidden.new_empty(tokens * top_k, double // 2)
        third, out = hidden.new_empty(tokens, top_k, hidden.shape[1]), hidden.new_empty(hidden.shape)

        def gemm(**tensors: Any) -> None:
            call_with_known(
                kernels.invoke_fused_moe_kernel, **gemm_arguments(inputs, alignment, config, **tensors)
            )

        gemm(a=hidden, b=inputs["gate_up"], c=first, routed=False, top_k=top_k)
        runner.gelu_and_mul(first, second)
        gemm(a=second, b=inputs["down"], c=third, routed=True, top_k=1)
        kernels.moe_sum_reduce_triton(third, out, 1.0)
        return out

    return experts_target(
        name,
        MoeApi(
            engine=SGLang(),
            launcher=kernels.invoke_fused_moe_kernel,
            kernel_name="fused_moe_kernel",
            call=call,
            # SGLang's Gemma 4 asks for "gelu", and its CUDA kernel of that name is the exact one.
            activation=Activation.gelu,
        ),
    )


def gemma4_routing(name: str) -> TunableKernel:
    """The kernel that `gemma4_fused_routing` of `ops/moe/gemma4_routing.py` launches."""
    return routing_target(name, import_module("sglang.kernels.ops.moe.gemma4_routing")._gemma4_routing_kernel)
