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


# One name may stand for a list of one, in the file and so in its JSON Schema.
Names = Annotated[tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])]
Evidence = Literal["measured", "modelled", "provisional", "replayed"]
Curve = Literal["tpot", "ttft", "throughput", "acceptance"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class PanelOptions(_Section):
    """What every panel takes."""

    title: str | None = Field(
        default=None, min_length=1, max_length=120, description="Instead of the panel's own."
    )
    note: str | None = Field(
        default=None, min_length=1, max_length=600, description="A line of yours below the panel."
    )


class OfDevices(PanelOptions):
    """What a panel takes that is about kernels on devices."""

    devices: Names = Field(default=(), description="Only these slugs or aliases; all where it is empty.")
    kernels: Names = Field(default=(), description="Only these kernels; all where it is empty.")


class DevicesPanel(OfDevices):
    """Devices and kernels: how many winners of which evidence, and how old."""


class WinnersPanel(OfDevices):
    """Winners with speed-up over the default, evidence and age."""

    evidence: tuple[Evidence, ...] = Field(
        default=(), description="Only rows of these; all where it is empty."
    )
    sort: Literal["device", "kernel", "problem", "speedup", "age"] = Field(
        default="speedup", description="The column by which the table is sorted at first."
    )
    descending: bool = Field(default=True, description="The largest first.")


class ChangesPanel(OfDevices):
    """What changed since the run before."""

    unchanged: bool = Field(
        default=False,
        description="Also lists problems whose winner is the same, and those that no earlier run tried.",
    )


class RunsPanel(OfDevices):
    """What a panel takes that is about sweeps' runs."""

    runs: int = Field(
        default=12, ge=1, le=100, description="The most runs that can be chosen, the latest first."
    )


class ConvergencePanel(RunsPanel):
    """The best time so far against trials."""

    problems: int = Field(
        default=12, ge=1, le=30, description="The most problems of a run that are drawn; the table has all."
    )


class LandscapePanel(RunsPanel):
    """The best time over two parameters."""

    x: str | None = Field(
        default=None, description="The parameter along x; otherwise the most important one."
    )
    y: str | None = Field(
        default=None, description="The parameter along y; otherwise the next important one."
    )
    problems: int = Field(
        default=8, ge=1, le=100, description="The most problems of a run that can be chosen."
    )


class FailuresPanel(RunsPanel):
    """What became of the trials, and why some failed."""


class TimelinePanel(PanelOptions):
    """Split against fused: the timeline and the table of shares."""

    traces: dict[str, str] = Field(
        default={},
        max_length=8,
        description="torch.profiler traces by arm, relative to this file, beside the profiles that are found.",
    )


class ServingPanel(PanelOptions):
    """TPOT, TTFT, throughput and acceptance by concurrency."""

    metrics: tuple[Curve, ...] = Field(
        default=("tpot", "throughput", "ttft", "acceptance"), description="Which curves, in which order."
    )
    baseline: str | None = Field(
        default=None, description="The arm that others are compared with; `split`, else the first."
    )


class ParetoPanel(PanelOptions):
    """Tokens/s a user against tokens/s a GPU."""

    baseline: str | None = Field(default=None, description="The arm that is grey; `split`, else the first.")


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
    """A dashboard: the panels that a page shows."""

    title: str = Field(default="Kernel workbench", min_length=1, max_length=120, description="Of the page.")
    panels: Panels = Field(
        description="What the page shows, in this order; an empty panel (`winners:`) takes every default."
    )


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
