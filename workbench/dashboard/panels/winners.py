"""Winners: how much faster than the default, on what evidence, how old; a row a results file, its rungs within."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from statistics import fmean, geometric_mean

from workbench.dashboard import labels
from workbench.dashboard.blocks import Bar, Cell, Panel, TableBlock, TableColumn, TableRow
from workbench.dashboard.definition import WinnersPanel
from workbench.dashboard.panels.common import facets_of, keeps
from workbench.dashboard.sources import Results
from workbench.report.winners import CHANGED, KEPT, NOTHING_TIMED, REPLAYED, config_text
from workbench.trials.winners import FiledWinner

RANK = ("measured", "modelled", "provisional", "replayed")
_EMPTY = "No winners here yet: `workbench sweep FILE` writes them."
_COLUMNS = (
    TableColumn("device", "device"),
    TableColumn("kernel", "kernel"),
    TableColumn("problem", "problem"),
    TableColumn(
        "strip", "speed-up by tokens", "strip", sortable=False, help="A bar a rung, few tokens first."
    ),
    TableColumn("speedup", "speed-up", "number", help="Over the default: geometric mean over the rungs."),
    TableColumn("best", "best at", "number", help="The largest speed-up and at how many tokens."),
    TableColumn("ahead", "ahead", "number", help="Rungs where something beat the default."),
    TableColumn("evidence", "evidence", "evidence"),
    TableColumn("age", "age", "number"),
)
_SOURCE = TableColumn("source", "source")
_RUNGS = (
    TableColumn("tokens", "tokens", "number"),
    TableColumn("config", "config, where not the default's", "config"),
    TableColumn("evidence", "evidence", "evidence"),
    TableColumn("time", "time us", "number"),
    TableColumn("interval", "95 % interval", "number"),
    TableColumn("default", "default us", "number"),
    TableColumn("speedup", "speed-up", "number"),
    TableColumn("age", "age", "number"),
    TableColumn("run", "run"),
)


def collect(results: Results, options: WinnersPanel) -> Panel:
    """The table of winners."""
    winners = [
        winner
        for winner in results.winners
        if keeps(options, winner.device, winner.kernel)
        and (not options.evidence or winner.row.evidence in options.evidence)
    ]
    title = options.title or "Winners"
    if not winners:
        return Panel("winners", title, _EMPTY, empty=True)
    files = [list(group) for _, group in groupby(winners, lambda winner: winner.file)]
    has_source = any(winner.source != "unknown" for winner in winners)
    rows = [_row(group, results, has_source) for group in files]
    columns = (*_COLUMNS, _SOURCE) if has_source else _COLUMNS
    table = TableBlock(
        "winners",
        "Winners by device, kernel and problem",
        columns,
        sorted_rows(rows, columns, options.sort, options.descending),
        sort=(options.sort, options.descending),
        total="problems",
    )
    return Panel("winners", title, finding(winners), (table,), tuple(_notes(winners)))


def sorted_rows(
    rows: Sequence[TableRow], columns: Sequence[TableColumn], by: str, descends: bool
) -> tuple[TableRow, ...]:
    """Rows by a column, those without a value last."""
    place = next(place for place, column in enumerate(columns) if column.name == by)

    def value(row: TableRow) -> float | str:
        cell = row.cells[place]
        return cell.text if cell.sort is None else cell.sort

    known = [row for row in rows if row.cells[place].sort is not None or columns[place].kind == "text"]
    return (*sorted(known, key=value, reverse=descends), *(row for row in rows if row not in known))


def finding(winners: Sequence[FiledWinner]) -> str:
    """What the best evidence says of all winners together."""
    evidence, counted = best_evidence(winners)
    if evidence == labels.MODELLED:
        return f"{labels.count(len(counted), 'modelled row')}, none measured."
    mean = mean_speedup(counted)
    ahead = sum(not each.row.kept_default for each in counted)
    timed = "" if evidence == labels.MEASURED else ", read back"
    where = f"{labels.count(len(counted), 'rung')} ({evidence}{timed})"
    if mean is None:
        return f"The default runs on none of {where}."
    return (
        f"Winners are {labels.times(mean, evidence)} as fast as the default: geometric mean over {where}; "
        f"{ahead:,} of them beat it."
    )


def best_evidence(winners: Sequence[FiledWinner]) -> tuple[str, list[FiledWinner]]:
    """The winners of the strongest evidence there is: figures of different evidence are never averaged."""
    evidence = next(each for each in RANK if any(winner.row.evidence == each for winner in winners))
    return evidence, [winner for winner in winners if winner.row.evidence == evidence]


def mean_speedup(winners: Sequence[FiledWinner]) -> float | None:
    """The geometric mean over the default, None where the default runs on none or nothing was timed."""
    speedups = [
        each.row.speedup for each in winners if each.row.speedup and each.row.evidence != labels.MODELLED
    ]
    return geometric_mean(speedups) if speedups else None


def _row(group: Sequence[FiledWinner], results: Results, has_source: bool) -> TableRow:
    first = group[0]
    evidence, counted = best_evidence(group)
    mean, known = mean_speedup(counted), sum(each.row.speedup is not None for each in counted)
    left_out = (
        f"; {len(group) - len(counted)} of other evidence left out" if len(counted) < len(group) else ""
    )
    cells = [
        Cell(labels.device_label(first.device)),
        Cell(labels.plain(first.kernel, 80)),
        Cell(labels.plain(first.file.stem.replace(",", " "), 160), hint=labels.pairs(first.problem)),
        Cell("", bars=_strip(group), hint=_strip_text(group)),
        Cell(
            labels.times(mean, evidence),
            mean,
            "strong" if mean and mean > 1.005 else "",
            hint="nothing was timed"
            if evidence == labels.MODELLED
            else f"geometric mean of {labels.count(known, 'rung')}, {evidence}{left_out}",
        ),
        _best(counted, evidence),
        Cell(
            f"{(ahead := sum(not each.row.kept_default for each in group))} of {len(group)}",
            ahead / len(group),
        ),
        _evidence(group),
        _age(group, results),
    ]
    if has_source:
        cells.append(_source(group))
    about = facets_of(first.device, first.kernel, tuple(sorted({each.row.evidence for each in group})))
    return TableRow(
        tuple(cells), about, _rungs(group, results), labels.plain(first.file.relative_to(results.folder))
    )


def _best(counted: Sequence[FiledWinner], evidence: str) -> Cell:
    known = [each for each in counted if each.row.speedup]
    if evidence == labels.MODELLED:
        return Cell("-", None, "quiet", hint="nothing was timed")
    if not known:
        return Cell("default cannot run", None, "quiet")
    best = max(known, key=lambda each: each.row.speedup or 0.0)
    if best.row.kept_default:
        return Cell("default kept", 1.0, "quiet")
    return Cell(f"{labels.times(best.row.speedup, evidence)} at {best.tokens:,}", best.row.speedup)


def _evidence(group: Sequence[FiledWinner]) -> Cell:
    counts = Counter(each.row.evidence for each in group)
    told = [name if len(counts) == 1 else f"{name} {counts[name]}" for name in RANK if name in counts]
    return Cell(", ".join(told), told[0])


def _age(group: Sequence[FiledWinner], results: Results) -> Cell:
    cells = [labels.age(date, results.now) for date in dict.fromkeys(each.date for each in group)]
    known = [cell for cell in cells if isinstance(cell.sort, float)]
    if not known:
        return cells[0]
    newest = min(known, key=lambda cell: cell.sort or 0.0)
    oldest = max(known, key=lambda cell: cell.sort or 0.0)
    if newest.text == oldest.text:
        return newest
    return Cell(f"{newest.text} to {oldest.text}", fmean([float(newest.sort or 0), float(oldest.sort or 0)]))


def _source(group: Sequence[FiledWinner]) -> Cell:
    sources = {each.source for each in group}
    if "changed" in sources:
        return Cell("changed", "changed", "bad", "A lookup skips rows of other source; sweep again.")
    return Cell("unknown" if "unknown" in sources else "current")


def _strip(group: Sequence[FiledWinner]) -> tuple[Bar, ...]:
    gains = [_gain(each) for each in group]
    highest = max(0.1, *map(abs, gains))
    return tuple(
        Bar(
            gain / highest,
            f"{each.tokens:,} tokens: {_told(each)}",
            each.row.evidence == labels.MEASURED,
        )
        for each, gain in zip(group, gains, strict=True)
    )


def _gain(winner: FiledWinner) -> float:
    """How much faster than the default, 0 where nothing was timed."""
    row = winner.row
    return 0.0 if row.speedup is None or row.evidence == labels.MODELLED else row.speedup - 1.0


def _told(winner: FiledWinner) -> str:
    row = winner.row
    if row.speedup is None:
        return "the default cannot run"
    if row.kept_default:
        return "default kept"
    if row.evidence == labels.MODELLED:
        return "ahead of the default by the model"
    return f"{labels.times(row.speedup, row.evidence)}, {row.evidence}"


def _strip_text(group: Sequence[FiledWinner]) -> str:
    return "; ".join(f"{each.tokens:,}: {_told(each)}" for each in group)


def _rungs(group: Sequence[FiledWinner], results: Results) -> TableBlock:
    first = group[0]
    caption = f"{labels.plain(first.kernel, 80)} on {labels.device_label(first.device)}, {labels.pairs(first.problem)}"
    return TableBlock("", caption, _RUNGS, tuple(_rung(each, results) for each in group), total="rungs")


def _rung(winner: FiledWinner, results: Results) -> TableRow:
    row, evidence = winner.row, winner.row.evidence
    config = config_text(row.config, winner.differs)
    ends = (labels.time_us(end, evidence) for end in row.ci_us or ())
    cells = (
        Cell(f"{winner.tokens:,}", winner.tokens),
        Cell(labels.plain(config), hint=labels.pairs(row.config)),
        Cell(evidence),
        Cell(labels.time_us(row.time_us, evidence), row.time_us),
        Cell(" to ".join(ends) or "-", row.ci_us and row.ci_us[0]),
        Cell("cannot run", None, "quiet")
        if row.default_time_us is None
        else Cell(labels.time_us(row.default_time_us, evidence), row.default_time_us),
        Cell("kept", 1.0, "quiet")
        if row.kept_default
        else Cell("ahead", None, hint="by the model; nothing was timed")
        if evidence == labels.MODELLED
        else Cell(labels.times(row.speedup, evidence), row.speedup, "strong"),
        labels.age(winner.date, results.now),
        Cell(labels.plain(row.run, 60), hint=labels.plain(row.run)),
    )
    return TableRow(cells)


def _notes(winners: Sequence[FiledWinner]) -> list[str]:
    evidence = {winner.row.evidence for winner in winners}
    sources = {winner.source for winner in winners}
    notes = [
        ("modelled" in evidence, NOTHING_TIMED),
        ("replayed" in evidence, REPLAYED),
        ("changed" in sources, CHANGED),
        (any(winner.row.kept_default for winner in winners), KEPT),
        (
            sources == {"unknown"},
            "Whether the kernels' source is still the tuned one: `dashboard --check-source`.",
        ),
        (
            True,
            "Bars: up is faster than the default, filled is measured, hollow is not. A row opens its rungs.",
        ),
    ]
    return [note for applies, note in notes if applies]
