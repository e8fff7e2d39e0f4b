"""What several panels need."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from workbench.dashboard import labels
from workbench.dashboard.blocks import Block, Facets, Option, Selector
from workbench.dashboard.definition import OfDevices, RunsPanel
from workbench.dashboard.sources import Results, SweepRun

NO_RUNS = "No journals here: `workbench sweep FILE` writes them to runs/, which is not committed."


def keeps(options: OfDevices, device: str, kernel: str) -> bool:
    """Whether a panel is about a device and a kernel."""
    return (not options.devices or device in options.devices) and (
        not options.kernels or kernel in options.kernels
    )


def runs_of(results: Results, options: RunsPanel) -> list[SweepRun]:
    """The runs that a panel shows, the latest first."""
    return [run for run in results.runs if keeps(options, run.slug, run.kernel)][: options.runs]


def facets_of(device: str, kernel: str = "", evidence: Sequence[str] = ()) -> Facets:
    """What something is about, in text that can be shown."""
    return Facets(labels.plain(device), labels.plain(kernel), tuple(evidence))


def run_facets(run: SweepRun) -> Facets:
    """What a run is about."""
    return facets_of(run.slug, run.kernel, run.recorded.evidence.split(" and "))


def run_label(run: SweepRun, results: Results) -> str:
    """A run as it is chosen by."""
    ago = labels.age(run.started, results.now).text
    aside = ", put aside" if run.put_aside else ""
    return (
        f"{labels.plain(run.id, 80)} - {labels.device_label(run.slug)}, {run.recorded.evidence}, {ago}{aside}"
    )


def choice_of_runs(
    name: str, runs: Sequence[SweepRun], results: Results, blocks_of: Callable[[SweepRun], Sequence[Block]]
) -> Selector:
    """A choice among runs, the latest first."""
    options = tuple(
        Option(labels.plain(run.id, 120), run_label(run, results), tuple(blocks_of(run)), run_facets(run))
        for run in runs
    )
    return Selector(name, "run", options)
