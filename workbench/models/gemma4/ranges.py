"""nvtx ranges around the layers of a model and their parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from workbench.base.ranges import in_range, nvtx_asked
from workbench.models.gemma4.layer import Gemma4DecoderLayer
from workbench.models.gemma4.text_model import Gemma4TextModel

# What Nsight Systems shows, by the name of a layer's part.
PARTS = {"self_attn": "attention", "mlp": "dense MLP", "router": "router", "experts": "experts"}


def mark_parts(model: nn.Module) -> None:
    """Puts ranges around decoder layers and their parts, where ranges are asked for; else changes nothing.

    torch.compile traces the modules as if there were no ranges. A CUDA graph shows them when it is captured, not when
    it is replayed.
    """
    if not nvtx_asked():
        return
    for text_model in (each for each in model.modules() if isinstance(each, Gemma4TextModel)):
        for index, layer in enumerate(text_model.layers):
            assert isinstance(layer, Gemma4DecoderLayer)
            _mark(layer, f"layer {index}")
            for part, name in PARTS.items():
                if part in layer._modules:
                    _mark(getattr(layer, part), name)


def _mark(module: nn.Module, name: str) -> None:
    # An instance's own `forward` goes before its class's: a module without ranges pays for none.
    module.__dict__["forward"] = _unless_compiling(in_range(name, module.forward), module.forward)


def _unless_compiling(shown: Callable[..., Any], forward: Callable[..., Any]) -> Callable[..., Any]:
    """A graph that torch.compile makes has no place for a range, and `fullgraph=True` raises on one."""

    def either(*args: Any, **kwargs: Any) -> Any:
        return forward(*args, **kwargs) if torch.compiler.is_compiling() else shown(*args, **kwargs)

    return either
