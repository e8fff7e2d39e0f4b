"""The arms of one load, side by side: what all pictures of bench rows are collected from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from workbench.base.errors import IncomparableError, InputError
from workbench.base.text import brief, suggestion
from workbench.bench.comparable import check_comparable
from workbench.bench.figures import Figure, of_repeats
from workbench.bench.metrics import METRICS
from workbench.bench.rows import BenchRow

DEFAULT_BASELINE = "split"
# Colours that tell arms apart, and arms that keep their colour whatever they are compared with.
COLOURS = 6
_PLACES = {"fused": 0, "tuned": 1}
_WINDOWS = {"run": "over the run", "server_start": "since the server started"}


@dataclass(frozen=True, slots=True)
class ArmLoad:
    """One arm at one concurrency.

    Attributes:
        concurrency: requests in flight at most; where a run set no limit, on average.
        draft_tokens: tokens drafted a step, None where unknown.
        figures: by metric; over repeats where there are several rows.
    """

    concurrency: float
    draft_tokens: int | None
    figures: Mapping[str, Figure]
    runs: int
    failed_requests: int


@dataclass(frozen=True, slots=True)
class FailedRun:
    """A run without figures.

    Attributes:
        concurrency: where, None where it is not known.
    """

    concurrency: float | None
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class ComparedArm:
    """One arm.

    Attributes:
        points: by rising concurrency.
        acceptance: over what its acceptance length was counted, None without speculation.
    """

    name: str
    points: tuple[ArmLoad, ...]
    failures: tuple[FailedRun, ...]
    acceptance: str | None

    def having(self, metric: str) -> tuple[ArmLoad, ...]:
        """The points with this metric."""
        return tuple(point for point in self.points if metric in point.figures)


@dataclass(frozen=True, slots=True)
class ArmComparison:
    """The arms of one load.

    Attributes:
        name: of the load, for file names; empty where it has none.
        arms: the baseline first, then in order of appearance.
        subtitle: device, model, lengths and GPUs.
        unbounded: True where a concurrency is an average of requests in flight.
    """

    name: str
    arms: tuple[ComparedArm, ...]
    baseline: str
    subtitle: str
    unbounded: bool

    @property
    def concurrencies(self) -> list[float]:
        """Every concurrency with a point or a failure, rising."""
        found = {point.concurrency for arm in self.arms for point in arm.points}
        found |= {
            each.concurrency for arm in self.arms for each in arm.failures if each.concurrency is not None
        }
        return sorted(found)

    def notes(self, metric: str) -> tuple[str, ...]:
        """What a caption says of n, spread and failures of one metric."""
        return (_told_n(self, metric), *_told_failures(self))


def compare_arms(rows: Sequence[BenchRow], baseline: str | None = None) -> list[ArmComparison]:
    """Puts rows side by side, one comparison a load.

    Args:
        rows: at least one.
        baseline: an arm; otherwise `split` where it is there, else the first.

    Raises:
        IncomparableError: rows of one load differ in what must be equal, or an arm is of several engines.
        InputError: there is no such arm.
    """
    loads: dict[str | None, list[BenchRow]] = defaultdict(list)
    for row in rows:
        loads[row.workload].append(row)
    names = list(dict.fromkeys(row.arm for row in rows))
    if baseline is not None and baseline not in names:
        allowed = f"{suggestion(baseline, names)}; there are: {', '.join(brief(name, 40) for name in names)}"
        raise InputError(f"no arm {brief(baseline, 60)!r}{allowed}", key="--baseline")
    return [_compare(load or "", group, baseline) for load, group in loads.items()]


def palette_places(arms: Sequence[str], baseline: str | None) -> dict[str, int]:
    """The place of each arm in a palette of `COLOURS`, -1 for the baseline's grey: an arm looks the same everywhere."""
    taken = {_PLACES[arm] for arm in arms if arm in _PLACES and arm != baseline}
    free = [place for place in range(COLOURS) if place not in taken]
    others = [arm for arm in arms if arm != baseline and arm not in _PLACES]
    places = {arm: free[index % len(free)] for index, arm in enumerate(others)} | _PLACES
    return {arm: -1 if arm == baseline else places[arm] for arm in arms}


def _compare(load: str, rows: Sequence[BenchRow], baseline: str | None) -> ArmComparison:
    check_comparable(rows)
    groups = _by_arm(rows)
    names = list(groups)
    grey = next((name for name in (baseline, DEFAULT_BASELINE) if name in names), names[0])
    ordered = [grey, *(name for name in names if name != grey)]
    return ArmComparison(
        name=load,
        arms=tuple(_arm(name, groups[name]) for name in ordered),
        baseline=grey,
        subtitle=_subtitle(load, rows),
        unbounded=any(row.concurrency is None and row.status == "ok" for row in rows),
    )


def _by_arm(rows: Sequence[BenchRow]) -> dict[str, list[BenchRow]]:
    """Rows by arm; one that ran with several draft lengths is as many arms."""
    arms: dict[str, list[BenchRow]] = defaultdict(list)
    for row in rows:
        arms[row.arm].append(row)
    found: dict[str, list[BenchRow]] = {}
    for name, group in arms.items():
        if len(sources := list(dict.fromkeys(row.source for row in group))) > 1:
            what = f"arm {brief(name, 40)!r} has rows of {sources[0]} and of {sources[1]}"
            raise IncomparableError(f"{what}; name them apart: `bench import --arm NAME`")
        drafts = {row.draft_tokens for row in group if row.status == "ok"}
        for row in group:
            several = len(drafts) > 1 and row.status == "ok"
            told = "unknown drafts" if row.draft_tokens is None else f"{row.draft_tokens} drafted"
            found.setdefault(brief(name, 40) + (f", {told}" if several else ""), []).append(row)
    return found


def _arm(name: str, rows: Sequence[BenchRow]) -> ComparedArm:
    loads: dict[float, list[BenchRow]] = defaultdict(list)
    failures = []
    for row in rows:
        if row.status != "ok":
            failures.append(FailedRun(row.concurrency, row.status, row.reason or ""))
        elif (concurrency := _in_flight(row)) is not None:
            loads[concurrency].append(row)
    windows = {row.acceptance_window for row in rows if row.acceptance_window is not None}
    return ComparedArm(
        name,
        tuple(_point(concurrency, loads[concurrency]) for concurrency in sorted(loads)),
        tuple(failures),
        " and ".join(_WINDOWS[window] for window in sorted(windows)) or None,
    )


def _in_flight(row: BenchRow) -> float | None:
    """The limit, or else the mean by Little's law: requests a second times seconds a request."""
    if row.concurrency is not None:
        return float(row.concurrency)
    rate, latency = row.metrics.get("requests_per_s"), row.metrics.get("e2el_mean_ms")
    if rate is not None and latency is not None:
        return round(rate.value * latency.value / 1e3, 2)
    ttft, tpot = row.metrics.get("ttft_mean_ms"), row.metrics.get("tpot_mean_ms")
    if rate is None or ttft is None or tpot is None or not row.output_tokens:
        return None
    return round(rate.value * (ttft.value + tpot.value * (row.output_tokens - 1)) / 1e3, 2)


def _point(concurrency: float, rows: Sequence[BenchRow]) -> ArmLoad:
    shared = [name for name in METRICS if all(name in row.metrics for row in rows)]
    figures = {
        name: rows[0].metrics[name]
        if len(rows) == 1
        # Runs of rows of their own were not interleaved with any other arm's, and must not be paired.
        else replace(of_repeats([row.metrics[name].value for row in rows]), samples=())
        for name in shared
    }
    repeats = max((len(figure.samples) for row in rows for figure in row.metrics.values()), default=0)
    return ArmLoad(
        concurrency,
        rows[0].draft_tokens,
        figures,
        len(rows) if len(rows) > 1 else max(repeats, 1),
        sum(row.failed or 0 for row in rows),
    )


def _subtitle(load: str, rows: Sequence[BenchRow]) -> str:
    first = rows[0]
    gpus = f"{first.gpus} GPU{'s' if first.gpus > 1 else ''}"
    lengths = [each for each in rows if each.input_tokens is not None and each.output_tokens is not None]
    told = ""
    if lengths:
        told = f"{lengths[0].input_tokens:.0f} tokens in, {lengths[0].output_tokens:.0f} out"
    sources = ", ".join(sorted({row.source for row in rows}))
    device = "GPU unknown" if first.device == "unknown" else first.device
    model = brief(first.model, 60) if first.model else "model unknown"
    return " · ".join(filter(None, (brief(load, 40), told, device, gpus, model, f"measured by {sources}")))


def _told_n(comparison: ArmComparison, metric: str) -> str:
    points = [point for arm in comparison.arms for point in arm.having(metric)]
    if not points:
        return "n = 0"
    runs = _range(point.runs for point in points)
    has_runs = any(point.figures[metric].spread == "bootstrap" for point in points)
    within = any(point.figures[metric].spread in ("ranks", "normal") for point in points)
    kinds = ["over runs"] * has_runs + ["over the requests of one run"] * within
    bars = f"bars: 95 % intervals {' or '.join(kinds)}" if kinds else "no spread is known"
    observed = _range(point.figures[metric].n for point in points if point.figures[metric].of != "runs")
    requests = f" of {observed} requests or tokens" if observed else ""
    return f"n = {runs} runs a point{requests}; {bars}."


def _range(values: Iterable[int]) -> str:
    known = sorted(values)
    if not known:
        return ""
    return f"{known[0]:,}" if known[0] == known[-1] else f"{known[0]:,} to {known[-1]:,}"


def _told_failures(comparison: ArmComparison) -> list[str]:
    notes = []
    for arm in comparison.arms:
        by_status: dict[str, list[FailedRun]] = defaultdict(list)
        for failure in arm.failures:
            by_status[failure.status].append(failure)
        for status, failures in by_status.items():
            places = ", ".join(
                sorted({_place(each) for each in failures}, key=lambda place: (len(place), place))
            )
            notes.append(f"{arm.name}: {status} at {places}: {brief(failures[0].reason, 90)}")
        if lost := sum(point.failed_requests for point in arm.points):
            notes.append(f"{arm.name}: {lost} requests failed; its figures are of the others.")
    if comparison.unbounded:
        notes.append("A run without a limit stands at its mean number of requests in flight.")
    return notes


def _place(failure: FailedRun) -> str:
    return "unlimited concurrency" if failure.concurrency is None else f"{failure.concurrency:g}"
