"""What one sweep will do on one device: its space, how it will evaluate, and the run that it belongs to."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from moe_kernels.tunable import TunableKernel
from moe_kernels.tuned import source_hash
from workbench import __version__
from workbench.devices import Device, detect_device, driver_version, find_device
from workbench.sweep.model import MODEL
from workbench.sweep.rows import Evidence, digest
from workbench.sweep.space import Space, build_space
from workbench.sweep.spec import LoadedSpec, resolve_kernel, resolved

AUTO = "auto"
# What must not change the identity of a run: budgets, and what is named elsewhere in it.
_BUDGETS = (("search", "trials"), ("measure", "max_rounds"), ("measure", "max_seconds"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """One sweep on one device.

    Attributes:
        loaded: the sweep file.
        kernel: the kernel that it names.
        device: the GPU that the winners are for.
        evidence: `measured` where that GPU is at hand, else `modelled`.
        space: problems and configs.
        source_hash: of the kernel.
        versions: of Python, torch, Triton, the driver and this tool.
        out: the results folder.
        jobs: compiling workers.
    """

    loaded: LoadedSpec
    kernel: TunableKernel
    device: Device
    evidence: Evidence
    space: Space
    source_hash: str
    versions: Mapping[str, str]
    out: Path
    jobs: int

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
        figures = {name: value for name, value in asdict(self.device).items() if name != "sources"}
        return {
            "sweep": {**sweep, "device": self.device.slug},
            "device": figures,
            "evidence": self.evidence.value,
            "model": MODEL if self.evidence is Evidence.MODELLED else None,
            "source_hash": self.source_hash,
            "versions": {name: self.versions[name] for name in ("triton", "driver")},
        }

    @property
    def folder(self) -> Path:
        """The run's journal."""
        return self.out / "runs" / self.run_id


def make_plans(loaded: LoadedSpec, device: str, *, out: Path, jobs: int | None) -> tuple[SweepPlan, ...]:
    """Plans a sweep, once for each device that it is for.

    Args:
        loaded: the sweep file.
        device: `auto`, a device's name, or a device file; `auto` is the GPU at hand, else what the sweep names.
        out: the results folder.
        jobs: compiling workers; None for one a core.

    Raises:
        InputError: the kernel, the space or a device is wrong.
    """
    kernel = resolve_kernel(loaded)
    code = source_hash(kernel.kernels)
    if code is None:
        raise loaded.error("the source of its jit functions cannot be read; define them in a file", "kernel")
    space = build_space(loaded, kernel)
    at_hand = detect_device()
    return tuple(
        SweepPlan(
            loaded=loaded,
            kernel=kernel,
            device=each,
            evidence=Evidence.MEASURED if at_hand and at_hand.slug == each.slug else Evidence.MODELLED,
            space=space,
            source_hash=code,
            versions=_versions(),
            out=out,
            jobs=jobs or len(os.sched_getaffinity(0)),
        )
        for each in _devices(loaded, device, at_hand)
    )


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


def _versions() -> dict[str, str]:
    import torch

    return {
        "workbench": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "triton": version("triton"),
        "driver": driver_version() or "none",
    }


__all__ = ["AUTO", "SweepPlan", "make_plans"]
