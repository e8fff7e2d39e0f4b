"""Both engines' fused MoE kernels as sweep targets: what a config launches, and what stands around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import triton.language as tl
from torch import Tensor

from moe_kernels.activation import Activation
from moe_kernels.experts.problem import PRODUCED, make_inputs, routed_inputs, traffic
from moe_kernels.tunable import Config, KernelLaunch, Parameter, Problem, Tensors, TunableKernel
from workbench.integrations.engines import CONFIG_KEYS, Engine
from workbench.integrations.targets.alignment import Alignment, align, meta_alignment
from workbench.integrations.targets.problems import (
    AXES,
    compare,
    make_outputs,
    reference_out,
    small_problem,
    why_rejected,
)
from workbench.integrations.targets.recorded import record

_COMPUTE_TYPES = {torch.bfloat16: tl.bfloat16, torch.float16: tl.float16, torch.float32: tl.float32}


@dataclass(frozen=True, slots=True, kw_only=True)
class MoeApi:
    """What of an engine is called.

    Attributes:
        engine: for its default config.
        launcher: its function that launches one GEMM.
        kernel_name: the jit function's name in the launcher's module.
        call: `(inputs, config) -> out`, the whole experts block by the engine's own functions, on a GPU.
        activation: what its Gemma 4 applies.
        skips_alignment: whether it launches without sorting tokens by expert for `(tokens, top_k, num_experts)`.
    """

    engine: Engine
    launcher: Callable[..., Any]
    kernel_name: str
    call: Callable[[Tensors, dict[str, int]], Tensor]
    activation: Activation
    skips_alignment: Callable[[int, int, int], bool] = lambda tokens, top_k, num_experts: False

    @property
    def kernel(self) -> Any:
        """The engine's jit function."""
        return self.launcher.__globals__[self.kernel_name]


@dataclass(frozen=True, slots=True)
class HostCall(KernelLaunch):
    """Something beside a launch that a call does: torch operations, or the engine's own call as a whole."""

    action: Callable[[], object]

    def run(self) -> None:
        """Does it."""
        self.action()


def experts_target(name: str, api: MoeApi) -> TunableKernel:
    """An engine's fused MoE kernel as a kernel that can be swept.

    Every parameter is 0 by default, which stands for what the engine's heuristic chooses for the problem: the baseline
    is the engine without a table. On a GPU a call is the engine's own, from sorting tokens by expert to the sum over
    them; elsewhere its two GEMMs, which are what a config decides.
    """

    def launches(
        inputs: Tensors, outputs: Tensors, problem: Problem, config: Config
    ) -> Sequence[KernelLaunch]:
        chosen = resolved(api.engine, problem, config)
        device = inputs["hidden"].device.type
        if device == "cuda":
            return [_whole_call(api, inputs, outputs, chosen)]
        steps = _steps(api, inputs, outputs, chosen)
        return [step for step in steps if not isinstance(step, HostCall)] if device == "meta" else steps

    def reference(inputs: Tensors, problem: Problem) -> Tensors:
        return {"out": reference_out(inputs, api.activation)}

    def interpreter_problem(problem: Problem, config: Config) -> Problem:
        skips = api.skips_alignment(*(int(problem[axis]) for axis in ("tokens", "top_k", "num_experts")))
        return small_problem(problem, resolved(api.engine, problem, config), skips_alignment=skips)

    return TunableKernel(
        name=name,
        axes=AXES,
        parameters=tuple(Parameter(key, 0) for key in CONFIG_KEYS),
        kernels=(api.kernel,),
        make_inputs=make_inputs,
        make_outputs=make_outputs,
        launches=launches,
        reference=reference,
        traffic=traffic,
        produced=PRODUCED,
        compare=compare,
        reject=why_rejected,
        routed_inputs=routed_inputs,
        interpreter_problem=interpreter_problem,
    )


def resolved(engine: Engine, problem: Problem, config: Config) -> dict[str, int]:
    """The config with the engine's own choice where it says 0."""
    default = engine.default_config(problem, int(problem["tokens"]), None)
    return {key: int(config[key]) or default[key] for key in CONFIG_KEYS}


def _whole_call(api: MoeApi, inputs: Tensors, outputs: Tensors, config: dict[str, int]) -> HostCall:
    def action() -> None:
        outputs["out"].copy_(api.call(inputs, config))

    return _step(api, action)


def _step(api: MoeApi, action: Callable[[], object]) -> HostCall:
    return HostCall(api.kernel, (1, 1, 1), {}, {}, {}, action)


def _steps(api: MoeApi, inputs: Tensors, outputs: Tensors, config: dict[str, int]) -> list[KernelLaunch]:
    """The engine's two GEMMs with torch's operations between them."""
    hidden, ids = inputs["hidden"], inputs["ids"]
    (tokens, hidden_size), top_k = hidden.shape, ids.shape[1]
    _, double, _ = inputs["gate_up"].shape
    alignment = _alignment(api, inputs, config["BLOCK_SIZE_M"])
    first = hidden.new_empty(tokens, top_k, double)
    second = hidden.new_empty(tokens * top_k, double // 2)
    third = hidden.new_empty(tokens, top_k, hidden_size)

    def activate() -> None:
        second.copy_(api.activation.apply(first.view(-1, double)))

    def combine() -> None:
        outputs["out"].copy_(third.float().sum(1))

    return [
        _gemm(
            api, inputs, alignment, config, a=hidden, b=inputs["gate_up"], c=first, routed=False, top_k=top_k
        ),
        _step(api, activate),
        _gemm(api, inputs, alignment, config, a=second, b=inputs["down"], c=third, routed=True, top_k=1),
        _step(api, combine),
    ]


def _alignment(api: MoeApi, inputs: Tensors, block_m: int) -> Alignment:
    ids, experts = inputs["ids"], inputs["gate_up"].shape[0]
    tokens, top_k = ids.shape
    skip = api.skips_alignment(tokens, top_k, experts)
    if ids.device.type == "meta":
        return meta_alignment(ids, block_m, experts, skip=skip)
    return align(ids, block_m, experts, skip=skip)


def _gemm(
    api: MoeApi, inputs: Tensors, alignment: Alignment, config: dict[str, int], **operands: Any
) -> KernelLaunch:
    """The launch that `gemm_arguments` of these operands make."""
    return record(api.launcher, api.kernel_name, **gemm_arguments(inputs, alignment, config, **operands))


def gemm_arguments(
    inputs: Tensors,
    alignment: Alignment,
    config: dict[str, int],
    *,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    routed: bool,
    top_k: int,
) -> dict[str, Any]:
    """The arguments of either engine's launcher for an unquantised GEMM, by name."""
    absent = ("A_scale", "B_scale", "B_zp", "bias", "B_bias", "block_shape")
    formats = ("use_fp8_w8a8", "use_int8_w8a8", "use_int8_w8a16", "use_int4_w4a16", "per_channel_quant")
    return {
        "A": a,
        "B": b,
        "C": c,
        "topk_weights": inputs["weights"],
        "topk_ids": inputs["ids"],
        "sorted_token_ids": alignment.sorted_token_ids,
        "expert_ids": alignment.expert_ids,
        "num_tokens_post_padded": alignment.num_tokens_post_padded,
        "mul_routed_weight": routed,
        "top_k": top_k,
        "config": dict(config),
        "compute_type": _COMPUTE_TYPES[a.dtype],
        **dict.fromkeys(absent, None),
        **dict.fromkeys(formats, False),
    }
