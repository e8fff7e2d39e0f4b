"""What `patch` refuses, with the module's name and why. Importing this imports `transformers`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import nn
from transformers.models.gemma4.modeling_gemma4 import (
    Gemma4TextDecoderLayer,
    Gemma4TextExperts,
    Gemma4TextRouter,
)

from moe_kernels.activation import Activation
from moe_kernels.experts.checks import DTYPES
from moe_kernels.routing.tunable import MAX_EXPERTS
from workbench.base.errors import InputError
from workbench.integrations.transformers.forwards import is_reached
from workbench.integrations.transformers.modules import KNOWN, OURS

_PARTS = ("router", "experts")


def check_parts(model: nn.Module) -> None:
    """Raises InputError unless every router and all experts of a model can be replaced, and there are some."""
    if not isinstance(model, nn.Module):
        raise InputError(f"the model must be a torch module, got {type(model).__name__}")
    if not any(type(module) in KNOWN for module in model.modules()) and not list(_layers(model)):
        names = " and ".join(cls.__name__ for cls in OURS)
        raise InputError(
            f"{type(model).__name__} has no {names} of transformers; of Gemma 4, 26B-A4B has them, dense models do not"
        )
    for name, layer in _layers(model):
        for part in _PARTS:
            _check_kind(f"{name}.{part}".lstrip("."), getattr(layer, part), model)
    for name, module in model.named_modules():
        if isinstance(module, Gemma4TextRouter):
            _check_router(name, module)
        elif isinstance(module, Gemma4TextExperts):
            _check_experts(name, module, model)


def _layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, module in model.named_modules():
        if isinstance(module, Gemma4TextDecoderLayer) and module.enable_moe_block:
            yield name, module


def _check_kind(name: str, part: nn.Module, model: nn.Module) -> None:
    """A quantiser replaces modules by its own; an adapter wraps them, and then they are inside."""
    if not any(type(module) in KNOWN for module in part.modules()):
        raise InputError(f"is a {type(part).__name__}, which ours cannot replace{_format(model)}", key=name)


def _check_router(name: str, router: Any) -> None:
    _check_reached(name, router)
    if router.config.num_experts > MAX_EXPERTS:
        raise InputError(f"routes to {router.config.num_experts} experts; at most {MAX_EXPERTS}", key=name)


def _check_experts(name: str, experts: Any, model: nn.Module) -> None:
    _check_reached(name, experts)
    for parameter in ("gate_up_proj", "down_proj"):
        if kind := _foreign_kind(getattr(experts, parameter, None)):
            what = f"is {kind}; ours take plain tensors of bf16, fp16 and fp32"
            raise InputError(what + _format(model), key=f"{name}.{parameter}")
    try:
        Activation.parse(experts.config.hidden_activation)
    except ValueError as error:
        raise InputError(str(error), key=name) from None


def _foreign_kind(tensor: Any) -> str:
    """What is no plain floating-point tensor, in words; empty for one that is."""
    if tensor is None:
        return "not there"
    if type(tensor).__module__.partition(".")[0] != "torch":
        return f"a {type(tensor).__name__}"
    return "" if tensor.dtype in DTYPES else str(tensor.dtype).removeprefix("torch.")


def _check_reached(name: str, module: nn.Module) -> None:
    """Another library may have put a function in the place of `forward`, and the class is never asked then."""
    if not is_reached(module):
        raise InputError("its forward was replaced by another library; take that out first", key=name)


def _format(model: nn.Module) -> str:
    """How the model says that it is quantised."""
    for module in model.modules():
        found = getattr(getattr(module, "config", None), "quantization_config", None)
        if found is not None:
            words = ", ".join(_words(found))
            return f"; the model is quantised ({words}): load it with `dequantize=True`, where that format has it"
    return ""


def _words(config: Any) -> Iterable[str]:
    values: Mapping[str, Any] = config if isinstance(config, Mapping) else config.to_dict()
    for key in ("quant_method", "format"):
        if value := values.get(key):
            yield str(getattr(value, "value", value))
