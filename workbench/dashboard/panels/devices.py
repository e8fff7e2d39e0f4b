"""Devices and kernels: what there is, of which evidence, and how old."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from workbench.dashboard import labels
from workbench.dashboard.blocks import Cell, Panel, TableBlock, TableColumn, TableRow
from workbench.dashboard.definition import DevicesPanel
from workbench.dashboard.panels.common import facets_of, keeps
from workbench.dashboard.panels.winners import RANK, best_evidence, mean_speedup
from workbench.dashboard.sources import Results
from workbench.trials.winners import FiledWinner

_COLUMNS = (
    TableColumn("device", "device"),
    TableColumn("kernel", "kernel"),
    TableColumn("problems", "problems", "number"),
    *(TableColumn(name, name, "number", help=f"Rungs whose winner is {name}.") for name in RANK),
    TableColumn(
        "speedup", "speed-up", "number", help="Geometric mean over the rungs of the strongest evidence."
    ),
    TableColumn("runs", "runs", "number", help="Journals of sweeps in runs/."),
    TableColumn("bench", "bench rows", "number"),
    TableColumn("age", "last winner", "number"),
)


def collect(results: Results, options: DevicesPanel) -> Panel:
    """A row a device and kernel."""
    title = options.title or "Devices and kernels"
    benched = Counter(row.device for row in results.bench)
    ran = Counter((run.slug, run.kernel) for run in results.runs)
    winning = {(winner.device, winner.kernel) for winner in results.winners}
    served = {(device, "") for device in benched if device not in {device for device, _ in winning}}
    places = [each for each in sorted(winning | set(ran) | served) if keeps(options, *each)]
    if not places:
        return Panel("devices", title, "This folder holds no winners, runs or bench rows yet.", empty=True)
    rows = tuple(
        _row(results, device, kernel, ran[device, kernel], benched[device]) for device, kernel in places
    )
    table = TableBlock(
        "devices", "Devices and kernels", _COLUMNS, rows, sort=("device", False), total="devices and kernels"
    )
    return Panel("devices", title, _finding(places, results), (table,))


def _row(results: Results, device: str, kernel: str, runs: int, bench: int) -> TableRow:
    winners = [each for each in results.winners if (each.device, each.kernel) == (device, kernel)]
    counts = Counter(each.row.evidence for each in winners)
    cells = (
        Cell(labels.device_label(device)),
        Cell(labels.plain(kernel, 80) or "-"),
        _number(len({each.file for each in winners})),
        *(_number(counts[name]) for name in RANK),
        _speedup(winners),
        _number(runs),
        _number(bench),
        _age(winners, results),
    )
    return TableRow(cells, facets_of(device, kernel, tuple(sorted(counts))))


def _number(value: int) -> Cell:
    return Cell(f"{value:,}" if value else "-", value, "" if value else "quiet")


def _speedup(winners: Sequence[FiledWinner]) -> Cell:
    if not winners:
        return Cell("-", None, "quiet")
    evidence, counted = best_evidence(winners)
    mean = mean_speedup(counted)
    return Cell(labels.times(mean, evidence), mean, "strong" if mean and mean > 1.005 else "", hint=evidence)


def _age(winners: Sequence[FiledWinner], results: Results) -> Cell:
    cells = [labels.age(date, results.now) for date in {each.date for each in winners}]
    known = [cell for cell in cells if isinstance(cell.sort, float)]
    return min(known, key=lambda cell: cell.sort or 0.0) if known else Cell("-", None, "quiet")


def _finding(places: Sequence[tuple[str, str]], results: Results) -> str:
    devices, kernels = {device for device, _ in places}, {kernel for _, kernel in places if kernel}
    rungs = sum((each.device, each.kernel) in set(places) for each in results.winners)
    measured = {each.device for each in results.winners if each.row.evidence == "measured"} & devices
    told = (
        f"measured on {len(measured)} of them"
        if measured
        else "none measured on the GPU yet"
        if rungs
        else "no winners yet"
    )
    return (
        f"{labels.count(len(devices), 'device')}, {labels.count(len(kernels), 'kernel')}, "
        f"{labels.count(rungs, 'winning rung')}; {told}."
    )
