"""A dashboard's definition: the panels that a page shows, in its order, from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from workbench.base.validation import validate
from workbench.base.yaml import YamlSource, read_yaml

DEFAULT = "overview"


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Evidence = Literal["measured", "modelled", "replayed"]
Curve = Literal["tpot", "ttft", "throughput", "acceptance"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class PanelOptions(_Section):
    """What every panel takes.

    Attributes:
        title: instead of the panel's own.
        note: a line of the author's, below it.
    """

    title: str | None = Field(default=None, min_length=1, max_length=120)
    note: str | None = Field(default=None, min_length=1, max_length=600)


class OfDevices(PanelOptions):
    """What a panel takes that is about kernels on devices.

    Attributes:
        devices: only these slugs or aliases.
    """

    devices: Names = ()
    kernels: Names = ()


class DevicesPanel(OfDevices):
    """Devices and kernels: how many winners of which evidence, and how old."""


class WinnersPanel(OfDevices):
    """Winners with speed-up over the default, evidence and age.

    Attributes:
        evidence: only rows of these.
        sort: the column by which the table is sorted at first.
        descending: the largest first.
    """

    evidence: tuple[Evidence, ...] = ()
    sort: Literal["device", "kernel", "problem", "speedup", "age"] = "speedup"
    descending: bool = True


class ChangesPanel(OfDevices):
    """What changed since the run before.

    Attributes:
        unchanged: also lists problems whose winner is the same, and those that no earlier run tried.
    """

    unchanged: bool = False


class RunsPanel(OfDevices):
    """What a panel takes that is about sweeps' runs.

    Attributes:
        runs: the most runs that can be chosen, the latest first.
    """

    runs: int = Field(default=12, ge=1, le=100)


class ConvergencePanel(RunsPanel):
    """The best time so far against trials.

    Attributes:
        problems: the most problems of a run that are drawn; the table has all.
    """

    problems: int = Field(default=12, ge=1, le=30)


class LandscapePanel(RunsPanel):
    """The best time over two parameters.

    Attributes:
        x: the parameter along x; otherwise the most important one.
        y: along y; otherwise the next important one.
        problems: the most problems of a run that can be chosen.
    """

    x: str | None = None
    y: str | None = None
    problems: int = Field(default=8, ge=1, le=100)


class FailuresPanel(RunsPanel):
    """What became of the trials, and why some failed."""


class TimelinePanel(PanelOptions):
    """Split against fused: the timeline and the table of shares.

    Attributes:
        traces: torch.profiler traces by arm, relative to the definition's file, beside the profiles that are found.
    """

    traces: dict[str, str] = Field(default={}, max_length=8)


class ServingPanel(PanelOptions):
    """TPOT, TTFT, throughput and acceptance by concurrency.

    Attributes:
        metrics: which curves, in which order.
        baseline: the arm that others are compared with; `split`, else the first.
    """

    metrics: tuple[Curve, ...] = ("tpot", "throughput", "ttft", "acceptance")
    baseline: str | None = None


class ParetoPanel(PanelOptions):
    """Tokens/s a user against tokens/s a GPU.

    Attributes:
        baseline: the arm that is grey; `split`, else the first.
    """

    baseline: str | None = None


class Panels(_Section):
    """The panels by name; one that is not there is not shown."""

    devices: DevicesPanel | None = None
    winners: WinnersPanel | None = None
    changes: ChangesPanel | None = None
    convergence: ConvergencePanel | None = None
    landscape: LandscapePanel | None = None
    timeline: TimelinePanel | None = None
    serving: ServingPanel | None = None
    pareto: ParetoPanel | None = None
    failures: FailuresPanel | None = None


class DashboardSpec(_Section):
    """A definition's file.

    Attributes:
        title: of the page.
        panels: what it shows; an empty panel (`winners:`) takes every default.
    """

    title: str = Field(default="Kernel workbench", min_length=1, max_length=120)
    panels: Panels


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition that has been read.

    Attributes:
        title: of the page.
        panels: their options by name, in the file's order.
        source: the file, for errors that point into it.
    """

    title: str
    panels: Mapping[str, PanelOptions]
    source: YamlSource

    @property
    def name(self) -> str:
        """The file's name without suffix."""
        return self.source.file.stem

    def path(self, name: str) -> Path:
        """A path that the file names, relative to where it is."""
        return self.source.file.parent / name


def load_definition(path: Path) -> Definition:
    """Reads a definition.

    Raises:
        InputError: names file, line and key, and says what is allowed.
    """
    source = read_yaml(path)
    spec = validate(DashboardSpec, source)
    panels = {name: _options(spec.panels, name) for name in source.data["panels"]}
    if not panels:
        allowed = ", ".join(Panels.model_fields)
        raise source.error(f"is empty; at least one panel is needed: {allowed}", ("panels",))
    _check_listed_once(source, panels)
    return Definition(spec.title, panels, source)


def _options(panels: Panels, name: str) -> PanelOptions:
    """The options of a panel that the file names, all defaults where it gives none (`winners:`)."""
    return getattr(panels, name) or _KINDS[name]()


def _check_listed_once(source: YamlSource, panels: Mapping[str, PanelOptions]) -> None:
    for panel, options in panels.items():
        for key, values in options:
            if isinstance(values, tuple) and len(set(values)) < len(values):
                twice = next(value for value in values if values.count(value) > 1)
                raise source.error(f"{twice!r} is listed twice", ("panels", panel, key))


_KINDS: Mapping[str, type[PanelOptions]] = {
    "devices": DevicesPanel,
    "winners": WinnersPanel,
    "changes": ChangesPanel,
    "convergence": ConvergencePanel,
    "landscape": LandscapePanel,
    "timeline": TimelinePanel,
    "serving": ServingPanel,
    "pareto": ParetoPanel,
    "failures": FailuresPanel,
}
