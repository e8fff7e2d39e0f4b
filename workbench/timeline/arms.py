"""The arms of a profile: implementations of one model on the same weights, and the kernels that prove which one ran."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from moe_kernels import tuned
from moe_kernels.experts.backend import (
    BACKEND_TUNABLES,
    EXPERTS_BACKEND,
    Backend,
    explain_backend,
)
from moe_kernels.routing import fused_routing, split_routing
from moe_kernels.routing.tunable import ROUTING
from moe_kernels.tunable import DTYPES, TunableKernel
from workbench.errors import InputError
from workbench.models.gemma4.config import Gemma4Config
from workbench.models.gemma4.experts import Gemma4Experts
from workbench.models.gemma4.router import Gemma4Router, Route
from workbench.timeline.annotate import annotate
from workbench.timeline.liveness import Liveness
from workbench.timeline.summary import Summary
from workbench.timeline.trace import Basis

_OUR_ROUTING = r"^routing_kernel"
# What torch.topk launches, by size and version; softmax is no sign, attention may have one.
_TORCH_RANKING = r"top_?k|bitonic_?sort|radix_?(sort|find|select)|sort_?key_?value|compute_block_?wise"
# On a CPU only ops that call no other op are work: of the fused semantics the search for NaN, which torch.topk lacks.
_CPU_RANKING, _CPU_SPLIT = r"^aten::(isnan|ne)$", r"^aten::topk$"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileArm:
    """One implementation of the model.

    Attributes:
        name: of the arm.
        description: in a few words.
        route: what routes.
        is_tuned: routing and experts look up their configs in the results; else both run their default ones.
        must: patterns of the kernels that each layer runs, by what the trace holds.
        must_not: patterns of kernels that the arm never runs, likewise.
    """

    name: str
    description: str
    route: Route
    is_tuned: bool = False
    must: Mapping[Basis, tuple[str, ...]]
    must_not: Mapping[Basis, tuple[str, ...]]

    def liveness(self, basis: Basis, layers: int) -> Liveness:
        """What the timeline of a step of so many layers must show."""
        must = self.must[basis]
        return Liveness(must=must, must_not=self.must_not[basis], least_launches=dict.fromkeys(must, layers))


_FUSED: Mapping[Basis, tuple[str, ...]] = {"gpu": (_OUR_ROUTING,), "cpu": (_CPU_RANKING,)}
_NOT_FUSED: Mapping[Basis, tuple[str, ...]] = {"gpu": (_TORCH_RANKING,), "cpu": (_CPU_SPLIT,)}
ARMS: dict[str, ProfileArm] = {
    arm.name: arm
    for arm in (
        ProfileArm(
            name="split",
            description="torch routing, experts at their default config",
            route=split_routing,
            must={"gpu": (_TORCH_RANKING, "softmax"), "cpu": (_CPU_SPLIT,)},
            must_not={"gpu": (_OUR_ROUTING,), "cpu": (_CPU_RANKING,)},
        ),
        ProfileArm(
            name="fused",
            description="fused routing at its default config, experts as in split",
            route=fused_routing,
            must=_FUSED,
            must_not=_NOT_FUSED,
        ),
        ProfileArm(
            name="tuned",
            description="fused routing and experts with their configs from results",
            route=fused_routing,
            is_tuned=True,
            must=_FUSED,
            must_not=_NOT_FUSED,
        ),
    )
}


def select_arms(names: Sequence[str]) -> tuple[ProfileArm, ...]:
    """The arms by name, in the given order.

    Raises:
        InputError: there is no such arm, or one is named twice, or none is.
    """
    for name in names:
        if name not in ARMS:
            raise InputError(f"there is no arm {name!r}; the arms are {', '.join(ARMS)}", key="--arms")
    if not names or len(set(names)) < len(names):
        raise InputError(
            f"each arm is named once, at least one of {', '.join(ARMS)}, got {','.join(names)!r}",
            key="--arms",
        )
    return tuple(ARMS[name] for name in names)


@contextmanager
def running(model: nn.Module, arm: ProfileArm, backend: Backend = "auto") -> Iterator[None]:
    """Makes the model's routers and experts run an arm; no weight is copied or moved.

    Args:
        model: holds `Gemma4Router` and `Gemma4Experts` modules.
        arm: what they run.
        backend: of the experts.
    """
    routers = [each for each in model.modules() if isinstance(each, Gemma4Router)]
    experts = [each for each in model.modules() if isinstance(each, Gemma4Experts)]
    routes = [(router, router.route) for router in routers]
    backends = [(each, each.backend) for each in experts]
    try:
        for router in routers:
            router.route = _annotated(arm.route)
        for each in experts:
            each.backend = backend
        with nullcontext() if arm.is_tuned else tuned.untuned():
            yield
    finally:
        for router, route in routes:
            router.route = route
        for each, was in backends:
            each.backend = was


def other_backend(experts: Gemma4Experts, tokens: int) -> Backend:
    """Another way through the same experts than the default one, from which it differs in rounding only.

    Args:
        experts: of any layer.
        tokens: of a step, which decide the default.
    """
    weight = experts.down_proj
    with tuned.untuned():
        chosen = explain_backend(experts_problem(experts.config, weight.dtype), tokens, weight.device).backend
    others: Mapping[str, Backend] = {"decode": "grouped", "grouped": "decode"}
    return others.get(chosen, "torch")


def experts_problem(config: Gemma4Config, dtype: torch.dtype) -> dict[str, int | str]:
    """The axes under which the experts' results are filed."""
    return {
        "num_experts": config.num_experts,
        "top_k": config.top_k_experts,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.moe_intermediate_size,
        "dtype": _word(dtype),
    }


def routing_problem(config: Gemma4Config, dtype: torch.dtype) -> dict[str, int | str]:
    """The axes under which the routing's results are filed."""
    logits = torch.float32 if config.router_logits_fp32 else dtype
    return {"num_experts": config.num_experts, "top_k": config.top_k_experts, "dtype": _word(logits)}


def tuned_from(
    config: Gemma4Config, dtype: torch.dtype, tokens: int, device: torch.device
) -> Mapping[str, str | None]:
    """Where the tuned arm's configs come from, by kernel: the row in words, or None where the default is taken."""
    if device.type != "cuda":
        return {ROUTING.name: None, "experts": None}
    experts = experts_problem(config, dtype)
    backend = explain_backend(experts, tokens, device).backend
    kernels = {EXPERTS_BACKEND.name: EXPERTS_BACKEND, "experts": BACKEND_TUNABLES[backend]}
    return {
        ROUTING.name: _source(ROUTING, routing_problem(config, dtype), tokens, device),
        **{name: _source(kernel, experts, tokens, device) for name, kernel in kernels.items()},
    }


def not_tuned(arm: ProfileArm, sources: Mapping[str, str | None], basis: Basis) -> tuple[str, ...]:
    """The failure of a tuned arm for which a GPU has no results at all; on a CPU no kernel has a config."""
    if not arm.is_tuned or basis == "cpu" or any(sources.values()):
        return ()
    return (
        f"arm {arm.name}: the results hold no usable config for this device, it ran the default ones; leave the arm "
        "out, sweep, or admit modelled results by WORKBENCH_EVIDENCE=modelled",
    )


def of_routing(summary: Summary, basis: Basis) -> Summary:
    """The summary in which liveness is looked for: on a CPU, where ops have common names, the routing alone."""
    if basis == "gpu":
        return summary
    return replace(summary, kernels=tuple(each for each in summary.kernels if each.kernel_class == "routing"))


def _annotated(route: Route) -> Route:
    """The same range around every arm's routing, so that its generic kernels count as routing."""

    def annotated(logits: Tensor, per_expert_scale: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
        with annotate("routing"):
            return route(logits, per_expert_scale, top_k)

    return annotated


def _source(
    kernel: TunableKernel, problem: Mapping[str, int | str], tokens: int, device: torch.device
) -> str | None:
    found = tuned.explain(kernel, problem, tokens, device)
    return None if found.taken is None else found.why


def _word(dtype: torch.dtype) -> str:
    return next(word for word, each in DTYPES.items() if each is dtype)
