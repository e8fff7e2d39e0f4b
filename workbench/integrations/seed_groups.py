"""Seeds of a seeds file as the search takes them, for the problems of one sweep."""

from __future__ import annotations

from collections.abc import Sequence

from moe_kernels.tunable import Problem, TunableKernel
from workbench.base.errors import InputError
from workbench.integrations.engine_winners import KERNEL, VARIANT
from workbench.integrations.seeds_file import Seed, Seeds
from workbench.integrations.targets import ENGINE_TARGETS, target_name
from workbench.replay import DEVICE
from workbench.search.strategy import SeedGroup, SeedRow


def seed_groups(seeds: Seeds, problems: Sequence[Problem], kernel: TunableKernel) -> tuple[SeedGroup, ...]:
    """The seeds that agree with any of a sweep's problems at some token count; open axes are completed from it.

    Engines choose one config for a problem and say nothing of its time, so each seed is a group of its own: a winner
    of somewhere else, which the search tries first and a winner here has to beat.

    Args:
        seeds: as `read_seeds` returns them.
        problems: the sweep's, every axis.
        kernel: the kernel that is swept: the seeds', or an engine's own where they are of the experts.

    Raises:
        InputError: the seeds are for another kernel, or hold what this one does not take.
    """
    if seeds.kernel not in (kernel.name, KERNEL if kernel.name in _engines_own() else None):
        raise InputError(
            f"the seeds are for {seeds.kernel!r}, the sweep is for {kernel.name!r}", key="kernel"
        )
    found: dict[tuple[object, ...], SeedGroup] = {}
    for problem in problems:
        for seed, full in seeds.open_axes(problem):
            group = SeedGroup(seed.source, {DEVICE: seed.device, **full}, (_row(seed, kernel),))
            found.setdefault((group.source, *group.problem.items()), group)
    return tuple(found.values())


def _engines_own() -> set[str]:
    return {target_name(reference) for reference in ENGINE_TARGETS if reference.endswith("fused_moe")}


def _row(seed: Seed, kernel: TunableKernel) -> SeedRow:
    """The seed with the kernel's default for what it leaves open; an engine's kernel has no variants."""
    has_variants = VARIANT in kernel.default_config
    config = {name: value for name, value in seed.config.items() if has_variants or name != VARIANT}
    try:
        return SeedRow(kernel.complete(config), time_us=None, chosen=True)
    except ValueError as error:
        raise InputError(f"{seed.source}: {error}") from error
