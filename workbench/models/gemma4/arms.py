"""The arms of a comparison: ways through one model on the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import nn

from moe_kernels import tuned
from moe_kernels.experts.backend import Backend
from moe_kernels.registry import TUNABLES
from moe_kernels.routing import fused_routing, split_routing
from moe_kernels.tunable import Config
from workbench.base.errors import InputError
from workbench.base.text import brief, suggestion
from workbench.models.gemma4.experts import Gemma4Experts
from workbench.models.gemma4.router import Gemma4Router, Route

# Pinned, these give every kernel its default config.
UNTUNED: Mapping[str, Config] = {name: {} for name in TUNABLES}


@dataclass(frozen=True, slots=True)
class Arm:
    """One way through the model.

    Attributes:
        is_tuned: routing and experts look up their configs in the results; else both run their default ones.
    """

    name: str
    description: str
    route: Route
    is_tuned: bool = False


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


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm("split", "torch routing, experts at their default config", split_routing),
        Arm("fused", "fused routing at its default config, experts as in split", fused_routing),
        Arm(
            "tuned", "fused routing and experts with their configs from results", fused_routing, is_tuned=True
        ),
    )
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


def _as_it_is(route: Route) -> Route:
    return route


@contextmanager
def running(
    model: nn.Module, arm: Arm, variant: Variant = AS_IS, *, around: Callable[[Route], Route] = _as_it_is
) -> Iterator[None]:
    """Makes the model's routers and experts run an arm; no weight is copied or moved.

    A CUDA graph captured within the context keeps what it captured.

    Args:
        model: holds `Gemma4Router` and `Gemma4Experts` modules.
        arm: what they run.
        variant: in which config.
        around: what is put around the routing.
    """
    routes = {each: each.route for each in model.modules() if isinstance(each, Gemma4Router)}
    backends = {each: each.backend for each in model.modules() if isinstance(each, Gemma4Experts)}
    route = around(arm.route)
    try:
        for router in routes:
            router.route = route
        for experts in backends:
            experts.backend = variant.backend
        with tuned.pinned({**({} if arm.is_tuned else UNTUNED), **variant.configs}):
            yield
    finally:
        for router, was in routes.items():
            router.route = was
        for experts, before in backends.items():
            experts.backend = before
