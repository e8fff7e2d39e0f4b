"""What changed since the run before: the winner of each problem of a kernel's last run on a device, against the one
that the run before it which tried the same problem would choose.

A run's winner is chosen anew from its journal, by the rule that published it; where the results file still holds the
row that the last run wrote, that row is taken. Runs that `--fresh` put aside are runs before. Problems that the last
run did not try are as they were and are not listed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from workbench.dashboard import labels
from workbench.dashboard.blocks import Cell, Panel, TableBlock, TableColumn, TableRow, Tone
from workbench.dashboard.definition import ChangesPanel
from workbench.dashboard.panels.common import facets_of, keeps
from workbench.dashboard.sources import Results, SweepRun
from workbench.sweep.select import MODELLED_MARGIN, TIMED_MARGIN, select
from workbench.trials.recorded_run import ProblemTrials
from workbench.trials.trial import Evidence, Final

Kind = Literal["new", "no longer valid", "valid now", "other evidence", "other config", "same config"]

_COLUMNS = (
    TableColumn("device", "device"),
    TableColumn("kernel", "kernel"),
    TableColumn("problem", "problem"),
    TableColumn("change", "change"),
    TableColumn(
        "verdict", "speed", help="Measured: told apart where the two intervals have no point in common."
    ),
    TableColumn("before", "config before", "config"),
    TableColumn("now", "config now", "config"),
    TableColumn("time_before", "us before", "number"),
    TableColumn("time_now", "us now", "number"),
    TableColumn("ratio", "over before", "number", help="Speed-up over the winner before; above 1 is faster."),
    TableColumn("evidence", "evidence", "evidence"),
)
_LAST_RUNS = (
    TableColumn("device", "device"),
    TableColumn("kernel", "kernel"),
    TableColumn("run", "last run"),
    TableColumn("age", "age", "number"),
    TableColumn("rungs", "rungs that it wrote", "number"),
    TableColumn("others", "rungs of earlier runs", "number"),
)
_QUIET: Sequence[Kind] = ("same config", "new")
_ORDER: Sequence[Kind] = (
    "no longer valid", "other evidence", "other config", "valid now", "new", "same config"
)  # fmt: skip
_TONES: Mapping[str, Tone] = {
    "no longer valid": "bad",
    "same config": "quiet",
    "faster": "good",
    "slower": "bad",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What a run would publish for a problem.

    Attributes:
        ci_us: its interval, where measured.
    """

    config: Mapping[str, Any]
    evidence: str
    time_us: float
    ci_us: tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One problem in the last run and in the one before.

    Attributes:
        earlier: the one before, None where no other tried the problem.
        before: its winner in the earlier run, None where none was valid.
    """

    run: SweepRun
    earlier: SweepRun | None
    problem: Mapping[str, Any]
    before: Chosen | None
    now: Chosen | None
    kind: Kind

    @property
    def ratio(self) -> float | None:
        """The time before over the time now, None where they are of different evidence."""
        if self.before is None or self.now is None or self.before.evidence != self.now.evidence:
            return None
        return self.before.time_us / self.now.time_us

    @property
    def verdict(self) -> str:
        """Whether the winner is faster than the one before."""
        if self.ratio is None or self.before is None or self.now is None:
            return "-"
        one, other = self.before.ci_us, self.now.ci_us
        if self.now.evidence == Evidence.MEASURED:
            apart = one and other and (one[1] < other[0] or other[1] < one[0])
            return ("faster" if self.ratio > 1 else "slower") if apart else "not told apart"
        if abs(self.ratio - 1) < 1e-4:
            return "the same"
        return f"{'faster' if self.ratio > 1 else 'slower'}, not timed"


def collect(results: Results, options: ChangesPanel) -> Panel:
    """The table of changes, and the last run of each kernel on each device."""
    title = options.title or "What changed since the run before"
    changes = [each for each in find_changes(results) if keeps(options, each.run.slug, each.run.kernel)]
    shown = [each for each in changes if options.unchanged or each.kind not in _QUIET or _moved(each)]
    shown.sort(key=lambda each: (_ORDER.index(each.kind), -abs((each.ratio or 1.0) - 1.0)))
    last = _last_runs(results, options)
    if not changes and last is None:
        return Panel("changes", title, "No run has left a journal or a winner here yet.", empty=True)
    tables = [*([_table(shown)] if shown else []), *([last] if last else [])]
    return Panel("changes", title, _finding(changes), tuple(tables), tuple(_notes(changes, shown)))


def _moved(change: Change) -> bool:
    return change.verdict.startswith(("faster", "slower"))


def find_changes(results: Results) -> Iterator[Change]:
    """The problems of the last run of each kernel on each device."""
    published = {
        (each.device, each.kernel, _key({**each.problem, "": each.tokens}), each.row.run): Chosen(
            config=each.row.config,
            evidence=each.row.evidence,
            time_us=each.row.time_us,
            ci_us=each.row.ci_us,
        )
        for each in results.winners
    }
    for runs in _by_place(results.runs):
        last, *others = runs
        earlier = [(run, {_key(each.problem): each for each in run.recorded.problems}) for run in others]
        for problem in last.recorded.problems:
            key = _key(problem.problem)
            axes = {name: value for name, value in problem.problem.items() if name != last.ladder}
            row_key = _key({**axes, "": problem.problem.get(last.ladder)})
            now = published.get((last.slug, last.kernel, row_key, last.id)) or winner_of(last, problem)
            run, known = next(((run, known[key]) for run, known in earlier if key in known), (None, None))
            before = winner_of(run, known) if run and known else None
            kind = _kind(run, before, now)
            yield Change(run=last, earlier=run, problem=problem.problem, before=before, now=now, kind=kind)


def _by_place(runs: Sequence[SweepRun]) -> list[list[SweepRun]]:
    places: dict[tuple[str, str], list[SweepRun]] = {}
    for run in runs:
        places.setdefault((run.slug, run.kernel), []).append(run)
    return list(places.values())


def _key(problem: Mapping[str, Any]) -> str:
    return json.dumps(dict(problem), sort_keys=True)


def winner_of(run: SweepRun, problem: ProblemTrials) -> Chosen | None:
    """What a run chooses for a problem, by the rule of `workbench.sweep.select`; None where nothing is valid."""
    default = problem.default.config if problem.default else run.default
    final = _final_of(run, problem)
    margin = _margin(problem, final)
    found = select(final.trials if final else problem.trials, default, margin=margin)
    if found is None:
        return None
    return Chosen(
        config=found.config, evidence=found.evidence.value, time_us=found.time_us, ci_us=found.ci_us
    )


def _final_of(run: SweepRun, problem: ProblemTrials) -> Final | None:
    """The last re-timing of a problem's finalists."""
    found = [each for each in run.finals if each.trials and each.trials[0].problem == problem.problem]
    return found[-1] if found else None


def _margin(problem: ProblemTrials, final: Final | None) -> float:
    """How far ahead of the default a config must be: for what is timed, beyond the noise of the default itself."""
    evidence = {trial.evidence for trial in problem.valid}
    if Evidence.MODELLED in evidence:
        return MODELLED_MARGIN
    if final is not None:
        return max(TIMED_MARGIN, final.noise_floor)
    # A timed run without a final was killed before it could publish: the default stands.
    return 1.0 if Evidence.MEASURED in evidence else 0.0


def _kind(earlier: SweepRun | None, before: Chosen | None, now: Chosen | None) -> Kind:
    if earlier is None or (before is None and now is None):
        return "new" if earlier is None else "same config"
    if now is None or before is None:
        return "no longer valid" if now is None else "valid now"
    if before.evidence != now.evidence:
        return "other evidence"
    return "same config" if dict(before.config) == dict(now.config) else "other config"


def _finding(changes: Sequence[Change]) -> str:
    if not changes:
        return "No journals are in runs/, so what stood before the last run is not known."
    counts = Counter(change.kind for change in changes)
    if counts["new"] == len(changes):
        return f"No earlier run tried these {labels.count(len(changes), 'problem')}: nothing to compare with."
    told = ", ".join(f"{counts[kind]:,} {kind}" for kind in _ORDER if counts[kind])
    speeds = Counter(change.verdict for change in changes if _moved(change))
    moved = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(speeds.items()))
    return (
        f"Of {labels.count(len(changes), 'problem')} of the last runs: {told}{'; ' if moved else ''}{moved}."
    )


def _table(changes: Sequence[Change]) -> TableBlock:
    rows = tuple(map(_row, changes))
    return TableBlock(
        "changes", "Winners of the last run against the run before", _COLUMNS, rows, total="problems"
    )


def _row(change: Change) -> TableRow:
    run, ratio = change.run, change.ratio
    sides = [each.evidence for each in (change.before, change.now) if each]
    evidence = " to ".join(dict.fromkeys(sides)) or "none"
    earlier = labels.plain(change.earlier.id, 120) if change.earlier else "no earlier run"
    cells = (
        Cell(labels.device_label(run.slug)),
        Cell(labels.plain(run.kernel, 80)),
        Cell(
            labels.plain(run.problem_label(change.problem)),
            hint=f"{labels.plain(run.id, 120)} after {earlier}",
        ),
        Cell(change.kind, tone=_TONES.get(change.kind, "strong")),
        Cell(change.verdict, tone=_TONES.get(change.verdict, "quiet")),
        _config(change.before, change.now.config if change.now else None),
        _config(change.now, change.before.config if change.before else run.default or None),
        _time(change.before),
        _time(change.now),
        Cell("-", None, "quiet") if ratio is None else Cell(labels.times(ratio, sides[0]), ratio),
        Cell(evidence),
    )
    return TableRow(cells, facets_of(run.slug, run.kernel, tuple(sides)))


def _config(chosen: Chosen | None, other: Mapping[str, Any] | None) -> Cell:
    """What differs from the other side, or of a new one from the default; the whole config where there is neither."""
    if chosen is None:
        return Cell("none", None, "quiet")
    whole = labels.pairs(chosen.config)
    if other is None:
        return Cell(whole)
    differs = {name: value for name, value in chosen.config.items() if other.get(name) != value}
    return Cell(labels.pairs(differs), hint=whole) if differs else Cell("the same", None, "quiet", whole)


def _time(chosen: Chosen | None) -> Cell:
    if chosen is None:
        return Cell("-", None, "quiet")
    return Cell(labels.time_us(chosen.time_us, chosen.evidence), chosen.time_us)


def _last_runs(results: Results, options: ChangesPanel) -> TableBlock | None:
    """Which run wrote what stands in the results files, by the dates that they hold."""
    rows = []
    for device, kernel in sorted({(each.device, each.kernel) for each in results.winners}):
        if not keeps(options, device, kernel):
            continue
        winners = [each for each in results.winners if (each.device, each.kernel) == (device, kernel)]
        last = max(winners, key=lambda each: (each.date, each.row.run))
        wrote = sum(each.row.run == last.row.run for each in winners)
        cells = (
            Cell(labels.device_label(device)),
            Cell(labels.plain(kernel, 80)),
            Cell(labels.plain(last.row.run, 80), hint=labels.plain(last.row.run)),
            labels.age(last.date, results.now),
            Cell(f"{wrote:,}", wrote),
            Cell(f"{len(winners) - wrote:,}", len(winners) - wrote),
        )
        rows.append(
            TableRow(cells, facets_of(device, kernel, sorted({each.row.evidence for each in winners})))
        )
    caption = "The last run whose winners stand in the results files"
    return TableBlock("last-runs", caption, _LAST_RUNS, tuple(rows), total="kernels") if rows else None


def _notes(changes: Sequence[Change], shown: Sequence[Change]) -> Iterator[str]:
    if hidden := len(changes) - len(shown):
        yield f"{labels.count(hidden, 'problem')} not listed: the same config and speed, or tried by no earlier run."
    if any(each.now and each.now.evidence != Evidence.MEASURED for each in changes):
        yield "~: not timed; what differs is the model's or the recording's opinion, not a measured difference."
    yield (
        "The last run of each kernel on each device against the latest earlier run that tried the same problem; "
        "winners are chosen anew from the journals by the sweep's own rule."
    )
