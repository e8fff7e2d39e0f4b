"""The arms of a profile: the kernels that prove which one ran, and where the tuned one has its configs from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from moe_kernels import tuned
from moe_kernels.dtypes import WORDS
from moe_kernels.experts.backend import (
    BACKEND_TUNABLES,
    EXPERTS_BACKEND,
    Backend,
    explain_backend,
)
from moe_kernels.routing.tunable import ROUTING
from moe_kernels.tunable import TunableKernel
from workbench.base.errors import InputError
from workbench.models.gemma4.arms import ARMS, UNTUNED, Arm
from workbench.models.gemma4.config import Gemma4Config
from workbench.models.gemma4.experts import Gemma4Experts
from workbench.models.gemma4.router import Route
from workbench.timeline.annotate import annotate
from workbench.timeline.liveness import Liveness
from workbench.timeline.summary import Summary
from workbench.timeline.trace import Basis

_OUR_ROUTING = r"^routing_kernel"
# What torch.topk launches, by size and version; softmax is no sign, attention may have one.
_TORCH_RANKING = r"top_?k|bitonic_?sort|radix_?(sort|find|select)|sort_?key_?value|compute_block_?wise"
# On a CPU only ops that call no other op are work: of the fused semantics the search for NaN, which torch.topk lacks.
_CPU_RANKING, _CPU_SPLIT = r"^aten::(isnan|ne)$", r"^aten::topk$"


# What each layer runs, and what the arm never does, by what the trace holds.
_SPLIT: Mapping[Basis, Liveness] = {
    "gpu": Liveness(must=(_TORCH_RANKING, "softmax"), must_not=(_OUR_ROUTING,)),
    "cpu": Liveness(must=(_CPU_SPLIT,), must_not=(_CPU_RANKING,)),
}
_FUSED: Mapping[Basis, Liveness] = {
    "gpu": Liveness(must=(_OUR_ROUTING,), must_not=(_TORCH_RANKING,)),
    "cpu": Liveness(must=(_CPU_RANKING,), must_not=(_CPU_SPLIT,)),
}
_ROUTING: Mapping[str, Mapping[Basis, Liveness]] = {"split": _SPLIT, "fused": _FUSED, "tuned": _FUSED}


def liveness_of(arm: str, basis: Basis, layers: int) -> Liveness:
    """What the timeline of a step of so many layers must show of an arm."""
    declared = _ROUTING[arm][basis]
    return replace(declared, least_launches=dict.fromkeys(declared.must, layers))


def select_arms(names: Sequence[str]) -> tuple[Arm, ...]:
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


def other_backend(experts: Gemma4Experts, tokens: int) -> Backend:
    """Another way through the same experts than the default one, from which it differs in rounding only.

    Args:
        experts: of any layer.
        tokens: of a step, which decide the default.
    """
    weight = experts.down_proj
    with tuned.pinned(UNTUNED):
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
        "dtype": WORDS[dtype],
    }


def routing_problem(config: Gemma4Config, dtype: torch.dtype) -> dict[str, int | str]:
    """The axes under which the routing's results are filed."""
    logits = torch.float32 if config.router_logits_fp32 else dtype
    return {"num_experts": config.num_experts, "top_k": config.top_k_experts, "dtype": WORDS[logits]}


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


def not_tuned(arm: Arm, sources: Mapping[str, str | None], basis: Basis) -> tuple[str, ...]:
    """The failure of a tuned arm for which a GPU has no results at all; on a CPU no kernel has a config."""
    if not arm.is_tuned or basis == "cpu" or any(sources.values()):
        return ()
    return (
        f"arm {arm.name}: the results hold no usable config for this device, it ran the default ones; leave the arm "
        "out, sweep, or admit modelled results by WORKBENCH_EVIDENCE=modelled",
    )


def annotated_routing(route: Route) -> Route:
    """The same range around every arm's routing, so that its generic kernels count as routing."""

    def annotated(logits: Tensor, per_expert_scale: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
        with annotate("routing"):
            return route(logits, per_expert_scale, top_k)

    return annotated


def of_routing(summary: Summary, basis: Basis) -> Summary:
    """The summary in which liveness is looked for: on a CPU, where ops have common names, the routing alone."""
    if basis == "gpu":
        return summary
    return replace(summary, kernels=tuple(each for each in summary.kernels if each.kernel_class == "routing"))


def _source(
    kernel: TunableKernel, problem: Mapping[str, int | str], tokens: int, device: torch.device
) -> str | None:
    found = tuned.explain(kernel, problem, tokens, device)
    return None if found.taken is None else found.why
