"""`fused_routing`: the public function, and the torch operator behind it.

The operator is opaque to torch.compile, has a fake implementation, an autograd formula and a vmap rule, and looks up
its tuned config when it runs, so a compiled graph with dynamic token counts still takes the right row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from triton import knobs

from moe_kernels import tuned
from moe_kernels.dtypes import DTYPES, WORDS
from moe_kernels.routing.reference import reference_routing
from moe_kernels.routing.tunable import MAX_EXPERTS, ROUTING, routing_launch
from moe_kernels.tunable import Config, Value

_SCALE_DTYPES = (*DTYPES.values(), torch.float64)
_PLAIN_TYPES = (Tensor, nn.Parameter)
# Fixed when the kernel was decorated, so read once here too.
_INTERPRETED = bool(knobs.runtime.interpret)


def fused_routing(
    logits: Tensor, per_expert_scale: Tensor, top_k: int, *, config: Config | None = None
) -> tuple[Tensor, Tensor]:
    """Routes T tokens to K of E experts: top-k by logit, softmax over the K logits, times the experts' scale.

    Equal logits go to the lowest expert id (+0 and -0 are equal). NaN of either sign counts as greatest; a row that
    holds NaN or +inf gets NaN weights throughout, as torch gives, and ids that are in range and distinct.

    Plain CUDA tensors take one Triton launch; so do CPU tensors under TRITON_INTERPRET=1. Any other device and any
    tensor subclass runs plain torch operations with the same semantics, and so does one of torch.func's transforms
    inside torch.compile.

    Args:
        logits: [T, E], fp32, bf16 or fp16, contiguous or strided by row, T >= 0, E <= 1024.
        per_expert_scale: [E], fp32, bf16, fp16 or fp64, on the same device.
        top_k: K, with 1 <= K <= E.
        config: values for parameters of the routing kernel, missing ones at their default; None takes the tuned
            config for this device and token count, else the default.

    Returns:
        weights fp32 [T, K] and ids int32 [T, K], by descending logit.

    Raises:
        ValueError: names the argument that is wrong and what is allowed.
    """
    _check_arguments(logits, per_expert_scale, top_k)
    encoded = None if config is None else _encode(config, logits, top_k)
    if _takes_kernel(logits) and _takes_kernel(per_expert_scale) and not _is_compiling_a_transform():
        return _call_op(logits, per_expert_scale, top_k, encoded)
    return reference_routing(logits, per_expert_scale, top_k)


def _takes_kernel(tensor: Tensor) -> bool:
    return type(tensor) in _PLAIN_TYPES and (tensor.is_cuda or (_INTERPRETED and tensor.device.type == "cpu"))


def _is_compiling_a_transform() -> bool:
    """torch.compile cannot trace an operator with autograd under torch.func's transforms, torch's own it can."""
    return torch.compiler.is_compiling() and _in_transform()


def _in_transform() -> bool:
    return torch._C._are_functorch_transforms_active()


def _check_arguments(logits: Tensor, per_expert_scale: Tensor, top_k: int) -> None:
    if logits.dim() != 2:
        raise ValueError(f"logits: must have shape [tokens, experts], got {list(logits.shape)}")
    if logits.dtype not in WORDS:
        raise ValueError(f"logits: dtype must be float32, bfloat16 or float16, got {logits.dtype}")
    num_experts = logits.shape[1]
    if not 1 <= num_experts <= MAX_EXPERTS:
        raise ValueError(f"logits: must have 1 to {MAX_EXPERTS} experts, got {num_experts}")
    if isinstance(top_k, bool) or not isinstance(top_k, int):
        raise ValueError(f"top_k: must be an int, got {top_k!r}")
    if not 1 <= top_k <= num_experts:
        raise ValueError(f"top_k: must be 1 to the number of experts ({num_experts}), got {top_k}")
    if per_expert_scale.dim() != 1 or per_expert_scale.shape[0] != num_experts:
        raise ValueError(
            f"per_expert_scale: must have shape [{num_experts}], got {list(per_expert_scale.shape)}"
        )
    if per_expert_scale.dtype not in _SCALE_DTYPES:
        raise ValueError(
            "per_expert_scale: dtype must be float32, bfloat16, float16 or float64, "
            f"got {per_expert_scale.dtype}"
        )
    if per_expert_scale.device != logits.device:
        raise ValueError(
            f"per_expert_scale: must be on {logits.device} as logits, got {per_expert_scale.device}"
        )


def _call_op(
    logits: Tensor, per_expert_scale: Tensor, top_k: int, config: list[int] | None
) -> tuple[Tensor, Tensor]:
    # torch.library's autograd formulas do not work under torch.func's transforms; autograd functions do.
    route = _RoutingFunction.apply if _in_transform() else _routing_op
    weights, ids = route(logits, per_expert_scale, top_k, config)
    return weights, ids


def _problem(logits: Tensor, top_k: int) -> dict[str, int | str]:
    return {"num_experts": logits.shape[1], "top_k": top_k, "dtype": WORDS[logits.dtype]}


def _encode(config: Config, logits: Tensor, top_k: int) -> list[int]:
    """Checks and completes a config, as integers for the operator."""
    if not isinstance(config, Mapping):
        raise ValueError(f"config: must map names to values, got {config!r}")
    complete = ROUTING.complete(config)
    if reason := ROUTING.why_rejected({**_problem(logits, top_k), "tokens": logits.shape[0]}, complete):
        raise ValueError(f"config: {reason}")
    return ROUTING.encode(complete)


def _config_for(logits: Tensor, top_k: int, encoded: list[int] | None) -> Mapping[str, Value]:
    if encoded is not None:
        return ROUTING.decode(encoded)
    if not logits.is_cuda:
        return ROUTING.default_config
    return tuned.lookup(ROUTING, _problem(logits, top_k), logits.shape[0], logits.device)


def _empty_outputs(logits: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    shape = (logits.shape[0], top_k)
    return logits.new_empty(shape, dtype=torch.float32), logits.new_empty(shape, dtype=torch.int32)


torch.library.define(
    "moe_kernels::fused_routing",
    "(Tensor logits, Tensor per_expert_scale, SymInt top_k, int[]? config=None) -> (Tensor, Tensor)",
)
_routing_op: Any = torch.ops.moe_kernels.fused_routing.default


@torch.library.impl("moe_kernels::fused_routing", ("cuda", "cpu"))
def _route(
    logits: Tensor, per_expert_scale: Tensor, top_k: int, config: list[int] | None = None
) -> tuple[Tensor, Tensor]:
    weights, ids = _empty_outputs(logits, top_k)
    complete = _config_for(logits, top_k, config)
    if logits.shape[0]:
        rows = logits if logits.stride(1) == 1 or logits.shape[1] == 1 else logits.contiguous()
        with torch.cuda.device_of(logits):  # type: ignore[no-untyped-call]
            routing_launch(rows, per_expert_scale.contiguous(), weights, ids, complete).run()
    return weights, ids


@torch.library.register_fake("moe_kernels::fused_routing")  # type: ignore[untyped-decorator]
def _fake(
    logits: Tensor, per_expert_scale: Tensor, top_k: int, config: list[int] | None = None
) -> tuple[Tensor, Tensor]:
    return _empty_outputs(logits, top_k)


def _save_for_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    logits, per_expert_scale, _, _ = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(logits, per_expert_scale, output[1])


def _softmax_at(logits: Tensor, slots: Tensor) -> Tensor:
    return torch.softmax(logits.gather(1, slots).float(), dim=-1)


def _backward(ctx: Any, grad_weights: Tensor, _grad_ids: Tensor | None) -> tuple[Tensor | None, ...]:
    """With p = softmax(logits[ids]) and w = p * scale[ids]: the softmax's own Jacobian, then two scatters."""
    logits, per_expert_scale, ids = ctx.saved_tensors
    slots = ids.long()
    probabilities = _softmax_at(logits, slots)
    upstream = grad_weights * per_expert_scale.float()[slots]
    grad_selected = probabilities * (upstream - (upstream * probabilities).sum(-1, keepdim=True))
    grad_logits = torch.zeros_like(logits).scatter(1, slots, grad_selected.to(logits.dtype))
    grad_scale = torch.zeros_like(per_expert_scale, dtype=torch.float32)
    grad_scale = grad_scale.index_add(0, slots.flatten(), (grad_weights * probabilities).flatten())
    return grad_logits, grad_scale.to(per_expert_scale.dtype), None, None


torch.library.register_autograd("moe_kernels::fused_routing", _backward, setup_context=_save_for_backward)


def _vmap(
    info: Any,
    in_dims: tuple[int | None, ...],
    logits: Tensor,
    per_expert_scale: Tensor,
    top_k: int,
    config: list[int] | None = None,
) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    """Batches of tokens are more tokens; a batched scale is applied after one launch with a scale of ones."""
    size = info.batch_size
    batched = logits.expand(size, *logits.shape) if in_dims[0] is None else logits.movedim(in_dims[0], 0)
    rows = batched.reshape(-1, batched.shape[-1])
    shape = (size, batched.shape[1], top_k)
    if in_dims[1] is None:
        weights, ids = _call_op(rows, per_expert_scale, top_k, config)
        return (weights.view(shape), ids.view(shape)), (0, 0)
    scale = per_expert_scale.movedim(in_dims[1], 0).float()
    weights, ids = _call_op(rows, torch.ones_like(scale[0]), top_k, config)
    slot_scale = scale.gather(1, ids.view(size, -1).long())
    return ((weights.view(size, -1) * slot_scale).view(shape), ids.view(shape)), (0, 0)


torch.library.register_vmap("moe_kernels::fused_routing", _vmap)


class _RoutingFunction(torch.autograd.Function):
    """The operator as torch.func can transform it."""

    @staticmethod
    def forward(
        logits: Tensor, per_expert_scale: Tensor, top_k: int, config: list[int] | None
    ) -> tuple[Tensor, Tensor]:
        weights, ids = _routing_op(logits, per_expert_scale, top_k, config)
        return weights, ids

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        _save_for_backward(ctx, inputs, output)
        ctx.save_for_forward(*inputs[:2], output[1])

    @staticmethod
    def jvp(
        ctx: Any, logits_tangent: Tensor, scale_tangent: Tensor, *_constants: None
    ) -> tuple[Tensor, None]:
        logits, per_expert_scale, ids = ctx.saved_tensors
        slots = ids.long()
        probabilities = _softmax_at(logits, slots)
        change = logits_tangent.gather(1, slots).float()
        change = probabilities * (change - (probabilities * change).sum(-1, keepdim=True))
        scale, scale_change = per_expert_scale.float()[slots], scale_tangent.float()[slots]
        return change * scale + probabilities * scale_change, None

    backward = staticmethod(_backward)
    vmap = staticmethod(_vmap)
