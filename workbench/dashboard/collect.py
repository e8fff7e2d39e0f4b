"""A whole page: every panel of a definition, the findings on top, and what could not be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.base.errors import InputError
from workbench.dashboard import labels
from workbench.dashboard.blocks import (
    Cell,
    Choosable,
    Dashboard,
    Highlight,
    Panel,
    TableBlock,
    TableColumn,
    TableRow,
)
from workbench.dashboard.definition import Definition, OfDevices, PanelOptions
from workbench.dashboard.panels import (
    changes,
    convergence,
    devices,
    failures,
    landscape,
    pareto,
    serving,
    timeline,
    winners,
)
from workbench.dashboard.sources import Damage, Damages, Results
from workbench.devices import find_device
from workbench.trials.trial import Status

Collect = Callable[[Results, Any], Panel]

PANELS: Mapping[str, Collect] = {
    "devices": devices.collect,
    "winners": winners.collect,
    "changes": changes.collect,
    "convergence": convergence.collect,
    "landscape": landscape.collect,
    "serving": serving.collect,
    "pareto": pareto.collect,
    "failures": failures.collect,
}
_DAMAGED = (
    TableColumn("file", "file"),
    TableColumn("line", "line", "number"),
    TableColumn("key", "key"),
    TableColumn("what", "what is wrong", sortable=False),
)


def collect(results: Results, definition: Definition) -> Dashboard:
    """Every panel of a definition.

    Raises:
        InputError: the definition names a device or a trace that is not there.
    """
    damages = Damages()
    filed = {each.device for each in results.winners} | {run.slug for run in results.runs}
    panels = tuple(
        _panel(name, _resolved(name, options, definition, filed), results, definition, damages)
        for name, options in definition.panels.items()
    )
    damaged = (*results.damaged, *damages.found)
    return Dashboard(
        title=labels.plain(definition.title, 120),
        subtitle=_subtitle(results, definition),
        highlights=tuple(_highlights(results, panels, damaged)),
        devices=_devices(results),
        kernels=_choosable({each.kernel for each in results.winners} | {run.kernel for run in results.runs}),
        evidence=_choosable({each.row.evidence for each in results.winners}),
        damaged=_damaged_table(damaged, results.folder) if damaged else None,
        panels=panels,
    )


def _panel(
    name: str, options: PanelOptions, results: Results, definition: Definition, damages: Damages
) -> Panel:
    if name == "timeline":
        panel = timeline.collect(results, options, definition, damages)  # type: ignore[arg-type]
    else:
        panel = PANELS[name](results, options)
    return replace(panel, notes=(*panel.notes, labels.plain(options.note, 600))) if options.note else panel


def _resolved(name: str, options: PanelOptions, definition: Definition, filed: set[str]) -> PanelOptions:
    """The options with the slugs of the devices that they name: as results are filed, else of the catalogue."""
    if not isinstance(options, OfDevices) or not options.devices:
        return options
    slugs = []
    for place, device in enumerate(options.devices):
        try:
            slugs.append(device if device in filed else find_device(device).slug)
        except InputError as error:
            raise definition.source.error(error.message, ("panels", name, "devices", place)) from None
    return options.model_copy(update={"devices": tuple(slugs)})


def _subtitle(results: Results, definition: Definition) -> str:
    folder = labels.plain(results.folder, 200)
    return f"{folder} by {labels.plain(definition.name, 60)}, {results.now:%Y-%m-%d %H:%M} UTC"


def _devices(results: Results) -> tuple[Choosable, ...]:
    slugs = {each.device for each in results.winners} | {run.slug for run in results.runs}
    slugs |= {row.device for row in results.bench}
    return tuple(Choosable(labels.plain(slug), labels.device_label(slug)) for slug in sorted(slugs))


def _choosable(values: set[str]) -> tuple[Choosable, ...]:
    return tuple(Choosable(labels.plain(value), labels.plain(value, 80)) for value in sorted(values))


def _highlights(results: Results, panels: Sequence[Panel], damaged: Sequence[Damage]) -> list[Highlight]:
    shown = {panel.name for panel in panels}
    found = [*_winners_highlights(results), *_runs_highlights(results)]
    if damaged:
        files = len({each.file for each in damaged})
        found.append(
            Highlight("Damaged", labels.count(files, "file"), "left out; all else is shown", "damaged", "bad")
        )
    return [each if each.panel in {*shown, "damaged"} else replace(each, panel="") for each in found]


def _winners_highlights(results: Results) -> list[Highlight]:
    if not results.winners:
        return []
    evidence, counted = winners.best_evidence(results.winners)
    if evidence == labels.MODELLED:
        told = "none measured; a lookup takes only measured ones"
        return [Highlight("Modelled rows", f"{len(counted):,}", told, "devices")]
    mean = winners.mean_speedup(counted)
    best = max(counted, key=lambda each: each.row.speedup or 0.0)
    where = f"{labels.plain(best.kernel, 40)}, {labels.count(best.tokens, 'token')}, {labels.device_label(best.device)}"
    measured = sum(each.row.evidence == "measured" for each in results.winners)
    return [
        Highlight(
            "Over the default",
            labels.times(mean, evidence),
            f"geometric mean of {labels.count(len(counted), 'rung')}, {evidence}",
            "winners",
        ),
        Highlight(
            "Largest speed-up", labels.times(best.row.speedup, evidence), f"{where}, {evidence}", "winners"
        ),
        Highlight(
            "Measured on the GPU",
            f"{measured:,} of {len(results.winners):,}",
            "winning rungs; a lookup takes only these",
            "devices",
        ),
    ]


def _runs_highlights(results: Results) -> list[Highlight]:
    if not results.runs:
        return []
    latest = results.runs[0]
    found = list(changes.find_changes(results))
    changed = sum(each.kind not in ("same config", "new") for each in found)
    new = sum(each.kind == "new" for each in found)
    trials = [trial for problem in latest.recorded.problems for trial in problem.trials]
    failed = sum(trial.status is not Status.OK for trial in trials)
    return [
        Highlight(
            "Changed winners",
            f"{changed:,} of {len(found):,}",
            f"problems of the last runs; {new:,} are new",
            "changes",
            "strong" if changed else "",
        ),
        Highlight(
            "Latest run",
            f"{len(trials) - failed:,} of {len(trials):,}",
            f"trials are valid; {labels.plain(latest.id, 60)}, {labels.age(latest.started, results.now).text}",
            "failures",
        ),
    ]


def _damaged_table(damaged: Sequence[Damage], folder: Path) -> TableBlock:
    rows = tuple(
        TableRow(
            (
                Cell(labels.plain(_relative(each.file, folder))),
                Cell("-" if each.line is None else f"{each.line:,}", each.line),
                Cell(labels.plain(each.key or "-", 120)),
                Cell(labels.plain(each.what), tone="bad"),
            )
        )
        for each in damaged
    )
    return TableBlock(
        "damaged", "Files that could not be read; all else is shown", _DAMAGED, rows, total="places"
    )


def _relative(file: str, folder: Path) -> str:
    path = Path(file)
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else file
