"""The arms: how the decode model routes, and which configs its kernels take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from moe_kernels import tuned
from moe_kernels.experts.backend import Backend
from moe_kernels.registry import TUNABLES
from moe_kernels.tunable import Config
from workbench.errors import InputError
from workbench.models.gemma4 import Gemma4Experts, Gemma4ForCausalLM, Gemma4Router
from workbench.models.gemma4.router import Routing
from workbench.yaml_source import brief, suggestion

__all__ = ["ARMS", "AS_IS", "Arm", "Variant", "find_arm", "running"]

_DEFAULTS: Mapping[str, Config] = {name: {} for name in TUNABLES}


@dataclass(frozen=True, slots=True)
class Arm:
    """What an arm runs.

    Attributes:
        routing: as in `Gemma4Router`.
        configs: of kernels by name, parameters that are missing at their default; a kernel that is missing takes
            its tuned config.
    """

    routing: Routing
    configs: Mapping[str, Config]


@dataclass(frozen=True, slots=True)
class Variant:
    """Another config of an arm: what it computes differs by rounding alone.

    Attributes:
        name: as tables show it.
        backend: of the experts, as in `Gemma4Experts`.
        configs: of kernels by name, in the place of the arm's.
    """

    name: str
    backend: Backend = "auto"
    configs: Mapping[str, Config] = field(default_factory=dict)


# `split` routes by torch operations; `fused` by one kernel; both run every kernel at its default config.
ARMS: Mapping[str, Arm] = {
    "split": Arm("split", _DEFAULTS),
    "fused": Arm("fused", _DEFAULTS),
    "tuned": Arm("fused", {}),
}
AS_IS = Variant("as it is")


def find_arm(name: str) -> Arm:
    """An arm by its name.

    Raises:
        InputError: there is none.
    """
    if name not in ARMS:
        hint = suggestion(name, tuple(ARMS))
        raise InputError(f"unknown arm {brief(name, 60)!r}{hint}; allowed: {', '.join(ARMS)}", key="arms")
    return ARMS[name]


@contextmanager
def running(model: Gemma4ForCausalLM, name: str, variant: Variant = AS_IS) -> Iterator[None]:
    """Runs a model as an arm within the context; all arms share its weights.

    A CUDA graph captured within it keeps what it captured.

    Raises:
        InputError: there is no such arm.
    """
    arm = find_arm(name)
    for module in model.modules():
        if isinstance(module, Gemma4Router):
            module.routing = arm.routing
        elif isinstance(module, Gemma4Experts):
            module.backend = variant.backend
    with tuned.pinned({**arm.configs, **variant.configs}):
        yield
