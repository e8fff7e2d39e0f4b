"""`fused_experts`: the public function, and the torch operator behind it.

The operator is opaque to torch.compile, has a fake implementation and an autograd formula, and picks backend and tuned
config when it runs, so a compiled graph with dynamic token counts still takes the right ones.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from moe_kernels.activation import Activation
from moe_kernels.experts.backend import BACKEND_TUNABLES, Backend, check_backend, explain_call
from moe_kernels.experts.call import ExpertsCall, QuantisedCall, RoutedCall
from moe_kernels.experts.checks import checked_call, checked_quantised_call
from moe_kernels.experts.dispatch import encode_config, run_call
from moe_kernels.experts.gradient import Gradients, experts_gradients
from moe_kernels.experts.quantised.op import run_quantised
from moe_kernels.experts.reference import reference_experts
from moe_kernels.formats import QuantisedWeights
from moe_kernels.tunable import Config

_PLAIN_TYPES = (Tensor, nn.Parameter, nn.Buffer)


def fused_experts(
    hidden: Tensor,
    gate_up: Tensor | QuantisedWeights,
    down: Tensor | QuantisedWeights,
    weights: Tensor,
    ids: Tensor,
    *,
    activation: Activation | str = "gelu_tanh",
    config: Config | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """Sums each token's K experts: `weight * down(act(gate(x)) * up(x))`.

    bf16 and fp16 tensors on CUDA run Triton kernels that accumulate in fp32 and apply the routed weight in fp32, and so
    do they on the CPU under TRITON_INTERPRET=1. The same input gives the same bits. fp32, other devices, tensor
    subclasses and torch.func's transforms run plain torch operations, at one host synchronisation a call; so does the
    backward pass, which quantised weights do not have. An id out of range marks an expert that lives elsewhere and adds
    nothing; an id that comes twice in a row adds twice. Strides are free.

    Args:
        hidden: [T, H], bf16, fp16, fp32 or fp64, T >= 0.
        gate_up: [E, 2I, H], the gate in the first I rows, or [E, I, H] with an ungated activation; dtype of `hidden`.
            Or quantised: the kernels dequantise them in registers, never in memory.
        down: [E, H, I], dtype of `hidden`, or quantised as `gate_up` is.
        weights: [T, K], floating point; fp32 as routing gives them.
        ids: [T, K], int32 or int64.
        activation: an `Activation` or its name; `gelu_tanh` is Gemma 4's.
        config: values for parameters of the backend, missing ones at their default; with `auto` they are those of the
            grouped product. None takes the tuned config for this device and token count, else the default.
        backend: `grouped` sorts tokens by expert, `decode` reads each expert's weights once for few tokens, `torch`
            runs torch operations; `auto` picks one, as `explain_backend` says.

    Returns:
        [T, H] in the dtype of `hidden`.

    Raises:
        ValueError: names the argument that is wrong and what is allowed, or why the backend cannot take the call.
    """
    parsed = Activation.parse(activation)
    check_backend(backend)
    call: RoutedCall
    if isinstance(gate_up, QuantisedWeights) or isinstance(down, QuantisedWeights):
        call = checked_quantised_call(hidden, gate_up, down, weights, ids, parsed)
    else:
        call = checked_call(hidden, gate_up, down, weights, ids, parsed)
    encoded = None if config is None else encode_config(config, call, backend)
    if _is_plain(call):
        if backend in BACKEND_TUNABLES:
            explain_call(call, backend)
        return _run_operator(call, backend, encoded)
    if backend in BACKEND_TUNABLES:
        raise ValueError(
            f"backend: {backend} takes plain tensors outside torch.func's transforms; allowed here: auto, torch"
        )
    return reference_experts(call)


def _is_plain(call: RoutedCall) -> bool:
    plain = all(type(tensor) in _PLAIN_TYPES for tensor in _tensors(call))
    return plain and not torch._C._are_functorch_transforms_active()


def _tensors(call: RoutedCall) -> tuple[Tensor, ...]:
    projections = (
        tuple(each.tensors().values()) if isinstance(each, QuantisedWeights) else (each,)
        for each in (call.gate_up, call.down)
    )
    return call.hidden, *chain(*projections), call.weights, call.ids


def _run_operator(call: RoutedCall, backend: str, config: list[int] | None) -> Tensor:
    if isinstance(call, QuantisedCall):
        return run_quantised(call, backend, config)
    out: Tensor = _experts_op(*_tensors(call), str(call.activation), backend, config)
    return out


torch.library.define(
    "moe_kernels::fused_experts",
    "(Tensor hidden, Tensor gate_up, Tensor down, Tensor weights, Tensor ids, str activation, str backend, "
    "int[]? config=None) -> Tensor",
)
torch.library.define(
    "moe_kernels::fused_experts_backward",
    "(Tensor grad, Tensor hidden, Tensor gate_up, Tensor down, Tensor weights, Tensor ids, str activation, "
    "bool of_projections) -> (Tensor, Tensor, Tensor, Tensor)",
)
_experts_op: Any = torch.ops.moe_kernels.fused_experts.default
_backward_op: Any = torch.ops.moe_kernels.fused_experts_backward.default


def _call(tensors: tuple[Tensor, ...], activation: str) -> ExpertsCall:
    hidden, gate_up, down, weights, ids = tensors
    return ExpertsCall(
        hidden=hidden,
        gate_up=gate_up,
        down=down,
        weights=weights,
        ids=ids,
        activation=Activation(activation),
    )


@torch.library.impl("moe_kernels::fused_experts", ("cuda", "cpu"))
def _run(
    hidden: Tensor,
    gate_up: Tensor,
    down: Tensor,
    weights: Tensor,
    ids: Tensor,
    activation: str,
    backend: str,
    config: list[int] | None = None,
) -> Tensor:
    return run_call(_call((hidden, gate_up, down, weights, ids), activation), backend, config)


@torch.library.register_fake("moe_kernels::fused_experts")  # type: ignore[untyped-decorator]
def _fake(hidden: Tensor, *_arguments: Any) -> Tensor:
    return torch.empty_like(hidden, memory_format=torch.contiguous_format)


@torch.library.impl("moe_kernels::fused_experts_backward", ("cuda", "cpu"))
def _run_backward(grad: Tensor, *arguments: Any) -> Gradients:
    *tensors, activation, of_projections = arguments
    return experts_gradients(_call(tuple(tensors), activation), grad, of_projections=of_projections)


@torch.library.register_fake("moe_kernels::fused_experts_backward")  # type: ignore[untyped-decorator]
def _fake_backward(grad: Tensor, *arguments: Any) -> Gradients:
    hidden, gate_up, down, weights, _, _, of_projections = arguments
    kept = down.shape[0] if of_projections else 0
    shapes = (hidden.shape, (kept, *gate_up.shape[1:]), (kept, *down.shape[1:]))
    grads = (hidden.new_empty(shape) for shape in shapes)
    return (*grads, weights.new_empty(weights.shape))


def _save_for_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.activation, _, _ = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    of_projections = any(ctx.needs_input_grad[1:3])
    hidden, gate_up, down, weights = _backward_op(grad, *ctx.saved_tensors, ctx.activation, of_projections)
    projections = (gate_up, down) if of_projections else (None, None)
    return hidden, *projections, weights, None, None, None, None


torch.library.register_autograd("moe_kernels::fused_experts", _backward, setup_context=_save_for_backward)
