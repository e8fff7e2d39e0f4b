"""What `benchmarks/experts.py` compares: ways to run the experts, each a function of its tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import torch
from torch.nn import functional

from moe_kernels.activation import Activation
from moe_kernels.experts import fused_experts
from moe_kernels.experts.problem import call_of
from moe_kernels.tunable import Problem, Tensors

ACTIVATION = Activation.gelu_tanh
Run = Callable[[Tensors], torch.Tensor]


def split(inputs: Tensors, problem: Problem) -> Run:
    """A matrix product per expert in use, with the routing known to the host: the eager loop without its waits."""
    ids = inputs["ids"].flatten().long()
    slots = {expert: torch.nonzero(ids == expert).flatten() for expert in ids.unique().tolist()}
    top_k = inputs["ids"].shape[1]

    def run(inputs: Tensors) -> torch.Tensor:
        out = torch.zeros_like(inputs["hidden"])
        weights = inputs["weights"].flatten()
        for expert, own in slots.items():
            tokens = own // top_k
            inner = ACTIVATION.apply(functional.linear(inputs["hidden"][tokens], inputs["gate_up"][expert]))
            mixed = functional.linear(inner, inputs["down"][expert]) * weights[own, None]
            out.index_add_(0, tokens, mixed.to(out.dtype))
        return out

    return run


def torch_grouped(inputs: Tensors, problem: Problem) -> Run:
    """The grouped matrix product of torch over tokens sorted by expert, and torch operations around it."""
    experts, top_k = inputs["down"].shape[0], inputs["ids"].shape[1]
    numbers = torch.arange(1, experts + 1, device=inputs["ids"].device, dtype=torch.int32)

    def run(inputs: Tensors) -> torch.Tensor:
        order = inputs["ids"].flatten().argsort(stable=True)
        ordered = inputs["ids"].flatten()[order]
        # Ends of the experts' segments, without a wait for their number.
        ends = torch.searchsorted(ordered, numbers).int()
        rows = inputs["hidden"][order // top_k]
        inner = ACTIVATION.apply(functional.grouped_mm(rows, inputs["gate_up"].transpose(1, 2), offs=ends))
        mixed = functional.grouped_mm(inner, inputs["down"].transpose(1, 2), offs=ends)
        weighted = mixed * inputs["weights"].flatten()[order, None]
        by_slot = torch.empty_like(weighted).index_copy_(0, order, weighted)
        return by_slot.view(-1, top_k, by_slot.shape[1]).sum(dim=1).to(rows.dtype)

    return run


def ours(**options: Any) -> Callable[[Tensors, Problem], Run]:
    """`fused_experts` with a backend and a config, on weights in any format."""

    def make(inputs: Tensors, problem: Problem) -> Run:
        def run(inputs: Tensors) -> torch.Tensor:
            call = call_of(inputs, problem)
            tensors = (call.hidden, call.gate_up, call.down, call.weights, call.ids)
            return fused_experts(*tensors, activation=ACTIVATION, **options)

        return run

    return make


def vllm(inputs: Tensors, problem: Problem) -> Run:
    """The Triton kernel of vLLM, with the table that it ships or is pointed to (VLLM_TUNED_CONFIG_FOLDER)."""
    kernel = import_module("vllm.model_executor.layers.fused_moe.fused_moe").fused_experts
    activation = import_module("vllm.model_executor.layers.fused_moe.activation").MoEActivation("gelu_tanh")

    def run(inputs: Tensors) -> torch.Tensor:
        out: torch.Tensor = kernel(
            inputs["hidden"],
            inputs["gate_up"],
            inputs["down"],
            inputs["weights"],
            inputs["ids"],
            activation=activation,
        )
        return out

    return run


def sglang(inputs: Tensors, problem: Problem) -> Run:
    """The Triton kernel of SGLang, with the table that it ships or is pointed to (SGLANG_MOE_CONFIG_DIR)."""
    package = "sglang.srt.layers.moe"
    kernel = import_module(f"{package}.fused_moe_triton.fused_moe").fused_experts
    output = import_module(f"{package}.topk").StandardTopKOutput
    config = import_module(f"{package}.moe_runner").MoeRunnerConfig(activation="gelu", inplace=False)

    def run(inputs: Tensors) -> torch.Tensor:
        routing = output(inputs["weights"], inputs["ids"], None)
        out: torch.Tensor = kernel(inputs["hidden"], inputs["gate_up"], inputs["down"], routing, config)
        return out

    return run


ARMS: Mapping[str, Callable[[Tensors, Problem], Run]] = {
    "split": split,
    "torch-grouped": torch_grouped,
    "grouped-default": ours(backend="grouped", config={}),
    "grouped-tuned": ours(backend="grouped"),
    "decode-default": ours(backend="decode", config={}),
    "decode-tuned": ours(backend="decode"),
    "auto": ours(),
    "vllm": vllm,
    "sglang": sglang,
}
# Those that are written for weights in 16 bits.
DENSE_ARMS = ("split", "torch-grouped", "vllm", "sglang")
