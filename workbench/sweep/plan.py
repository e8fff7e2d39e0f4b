"""What one sweep will do on one device: its space, how it will evaluate, and the run that it belongs to."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from moe_kernels.routing_distribution import RoutingDistribution
from moe_kernels.tunable import Problem, TunableKernel
from moe_kernels.tuned import source_hash
from workbench.base.errors import InputError
from workbench.base.version import __version__
from workbench.devices import Device, detect_device, driver_version, find_device
from workbench.replay import DEVICE, Family, Noise, read_family
from workbench.replay.device import RecordedDevice, recorded_device
from workbench.sweep.evaluators.ranked import RANKING
from workbench.sweep.priors import has_ranking
from workbench.sweep.recorded_space import recorded_space
from workbench.sweep.routing_distributions import routing_distributions
from workbench.sweep.space import Space, build_space
from workbench.sweep.spec import LoadedSpec, resolve_kernel, resolved
from workbench.sweep.stages.time_model import MODEL
from workbench.trials.trial import Evidence, digest

AUTO = "auto"
# What must not change the identity of a run: budgets, and what is named elsewhere in it.
_BUDGETS = (("search", "trials"), ("measure", "max_rounds"), ("measure", "max_seconds"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """One sweep on one device.

    Attributes:
        device: the GPU that the winners are for; of a recorded family, the first one's.
        evidence: `measured` where that GPU is at hand, `replayed` from a recording, else `modelled`.
        source_hash: of the kernel, or of the recording.
        versions: of Python, torch, Triton, the driver and this tool.
        jobs: compiling workers.
        family: the recordings of a replayed sweep.
        distributions: what a measured sweep's inputs are drawn from; none where nothing is timed.
    """

    loaded: LoadedSpec
    kernel: TunableKernel
    device: Device | RecordedDevice
    evidence: Evidence
    space: Space
    source_hash: str
    versions: Mapping[str, str]
    out: Path
    jobs: int
    family: Family | None = None
    distributions: tuple[RoutingDistribution, ...] = ()

    @property
    def run_id(self) -> str:
        """The sweep's name and a hash of all that decides the outcome; budgets and folders are left out."""
        return f"{self.loaded.spec.name}-{digest(self.identity)}"

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the outcome of the run."""
        sweep = resolved(self.loaded)
        for section, key in _BUDGETS:
            sweep[section].pop(key)
        # What a model alone takes decides nothing where something is timed or recorded.
        left_out = {"sources"} if self.evidence is Evidence.MODELLED else {"sources", "memory_latency_s"}
        figures = {name: value for name, value in asdict(self.device).items() if name not in left_out}
        versions = {} if self.family else {name: self.versions[name] for name in ("triton", "driver")}
        return {
            "sweep": {**sweep, "device": self.device.slug},
            "device": figures,
            "evidence": self.evidence.value,
            "model": self.model,
            "source_hash": self.source_hash,
            "routing": self.routing,
            "versions": versions,
        }

    @property
    def model(self) -> str | None:
        """What modelled times come from, None where they are no model's."""
        if self.evidence is not Evidence.MODELLED:
            return None
        return RANKING if self.is_ranked else MODEL

    @property
    def routing(self) -> list[str]:
        """The labels of the distributions."""
        return [each.label for each in self.distributions]

    @property
    def folder(self) -> Path:
        """The run's journal."""
        return self.out / "runs" / self.run_id

    @property
    def noise(self) -> Noise | None:
        """The noise over recorded times, None where there is none to draw."""
        evaluate = self.loaded.spec.evaluate
        if evaluate is None or evaluate.noise == "none":
            return None
        return evaluate.noise

    @property
    def is_timed(self) -> bool:
        """True where times come from interleaved rounds, on a GPU or over a recording."""
        return self.evidence is Evidence.MEASURED or self.noise is not None

    @property
    def is_ranked(self) -> bool:
        """True where nothing is timed and a ranking orders the configs, so that only what is offered is compiled."""
        return self.evidence is Evidence.MODELLED and has_ranking(self.kernel, self.device)

    def device_of(self, problem: Problem) -> Device | RecordedDevice:
        """The GPU that a problem's winner is for: a family may hold several."""
        return recorded_device(str(problem[DEVICE]), self.family) if self.family else self.device

    def describe_kernel(self) -> dict[str, Any]:
        """The kernel as a journal keeps it, so that it can be replayed where the kernel is not."""
        axes = [
            {"name": each.name, "short": each.short, "kind": each.kind, "ladder": each.ladder}
            for each in self.kernel.axes
        ]
        parameters = [
            {"name": each.name, "default": each.default, "kind": each.kind} for each in self.kernel.parameters
        ]
        return {"name": self.kernel.name, "axes": axes, "parameters": parameters}


def make_plans(
    loaded: LoadedSpec,
    device: str,
    *,
    out: Path,
    jobs: int | None,
    elsewhere: tuple[Device | None, str | None] | None = None,
) -> tuple[SweepPlan, ...]:
    """Plans a sweep, once for each device that it is for.

    Args:
        loaded: the sweep file.
        device: `auto`, a device's name, or a device file; `auto` is the GPU at hand, else what the sweep names.
        out: the results folder.
        jobs: compiling workers; None for one a core.
        elsewhere: the GPU of other machines that measure for this one, with its driver's version.

    Raises:
        InputError: the kernel, the space, a recording or a device is wrong.
    """
    if loaded.spec.evaluate is not None:
        return (_replay_plan(loaded, device, out),)
    kernel = resolve_kernel(loaded)
    code = source_hash(kernel.kernels)
    if code is None:
        raise loaded.error("the source of its jit functions cannot be read; define them in a file", "kernel")
    space = build_space(loaded, kernel)
    distributions = routing_distributions(loaded, kernel)
    at_hand, driver = elsewhere or (detect_device(), driver_version())
    return tuple(
        SweepPlan(
            loaded=loaded,
            kernel=kernel,
            device=each,
            evidence=Evidence.MEASURED if _is(each, at_hand) else Evidence.MODELLED,
            distributions=distributions if _is(each, at_hand) else (),
            space=space,
            source_hash=code,
            versions=_versions(driver, _torch_at_work()),
            out=out,
            jobs=jobs or len(os.sched_getaffinity(0)),
        )
        for each in _devices(loaded, device, at_hand)
    )


def _is(device: Device, at_hand: Device | None) -> bool:
    return at_hand is not None and at_hand.slug == device.slug


def _replay_plan(loaded: LoadedSpec, device: str, out: Path) -> SweepPlan:
    if device != AUTO:
        raise InputError("comes from the recording of a replayed sweep; leave it out", key="--device")
    family = _family(loaded)
    return SweepPlan(
        loaded=loaded,
        kernel=family.kernel,
        device=recorded_device(family.landscapes[0].device, family),
        evidence=Evidence.REPLAYED,
        space=recorded_space(loaded, family),
        source_hash=family.digest,
        versions=_versions(driver_version(), version("torch")),
        out=out,
        jobs=1,
        family=family,
    )


def _family(loaded: LoadedSpec) -> Family:
    assert loaded.spec.evaluate is not None
    paths = [loaded.path(name) for name in loaded.spec.evaluate.replay]
    try:
        return read_family(paths, loaded.spec.default or None)
    except InputError as error:
        if error.file is not None:
            raise
        raise loaded.error(error.message, "default", *([error.key] if error.key else [])) from None


def _devices(loaded: LoadedSpec, device: str, at_hand: Device | None) -> tuple[Device, ...]:
    if device != AUTO:
        return (at_hand if at_hand and device == at_hand.slug else find_device(device),)
    if at_hand:
        return (at_hand,)
    if AUTO in loaded.devices:
        index = loaded.devices.index(AUTO)
        raise loaded.error(
            "no GPU is at hand; name one here or with --device (see `devices`)", "device", index
        )
    return tuple(_named(loaded, index, name) for index, name in enumerate(loaded.devices))


def _named(loaded: LoadedSpec, index: int, name: str) -> Device:
    with loaded.located("device", index):
        return find_device(name)


def _torch_at_work() -> str:
    """Torch's own account of its version, which says what it was built for, too; a replay has no need to load it."""
    import torch

    return str(torch.__version__)


def _versions(driver: str | None, torch: str) -> dict[str, str]:
    return {
        "workbench": __version__,
        "python": platform.python_version(),
        "torch": torch,
        "triton": version("triton"),
        "driver": driver or "none",
    }
