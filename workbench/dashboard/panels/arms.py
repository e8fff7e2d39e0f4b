"""Bench rows side by side, load by load: what the panels of serving start from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from workbench.base.errors import WorkbenchError
from workbench.bench.figures import Figure
from workbench.bench.metrics import METRICS
from workbench.bench.rows import BenchRow
from workbench.dashboard import labels
from workbench.figures.bench.arms import ArmComparison, compare_arms

EMPTY = "No bench rows here: `workbench bench run chat` measures them, `workbench bench import` reads an engine's."


def comparisons(
    rows: Sequence[BenchRow], baseline: str | None
) -> Iterator[tuple[str, str, ArmComparison | str]]:
    """Each load of each device and model: a name, the device, and its arms, or why they cannot be compared."""
    groups: dict[tuple[str, str, int, str], list[BenchRow]] = defaultdict(list)
    for row in rows:
        groups[row.device, row.model or "", row.gpus, row.workload or ""].append(row)
    for (device, model, gpus, load), group in groups.items():
        named = {row.arm for row in group}
        name = " / ".join(filter(None, (load, device, model, f"{gpus} GPUs" if gpus > 1 else "")))
        try:
            (comparison,) = compare_arms(group, baseline if baseline in named else None)
        except WorkbenchError as error:
            yield labels.plain(name, 160), device, labels.plain(error)
        else:
            yield labels.plain(name, 160), device, comparison


def told(figure: Figure, metric: str) -> str:
    """A figure with its unit, interval and n."""
    return f"{number(figure.value)} {METRICS[metric].unit}{interval(figure)}, n = {figure.n:,} {figure.of}"


def interval(figure: Figure) -> str:
    """Both ends of an interval in brackets, nothing without one."""
    if figure.interval is None:
        return ""
    return f" ({number(figure.interval[0])} to {number(figure.interval[1])})"


def number(value: float) -> str:
    """Four digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
