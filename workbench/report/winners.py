"""The tables of winners that `show` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from moe_kernels.tuned import Row
from workbench.base.text import pairs
from workbench.report.table import Column, Table
from workbench.trials.winners import FiledWinner

NOTHING_TIMED = (
    "~ modelled: nothing was timed. These configs were compiled for that GPU and ranked by a model, whose times "
    "these are; `ahead`: it puts the config before the default. A lookup takes them only under "
    "WORKBENCH_EVIDENCE=modelled."
)
REPLAYED = "replayed: read from a recording, not timed by that run. A lookup never takes these."
CHANGED = (
    "changed: the kernel's source is no longer the one that was tuned. A lookup skips these; sweep again."
)
KEPT = "kept: nothing beat the default there, so the config is the default's."
UNKNOWN = "unknown: the kernel is none that ships with this package, so its source cannot be compared."

_COLUMNS = (
    Column("tokens", "right"),
    Column("config"),
    Column("evidence"),
    Column("time us", "right"),
    Column("default us", "right"),
    Column("speed-up", "right"),
    Column("age", "right"),
    Column("source"),
)


def winners_tables(winners: Sequence[FiledWinner], *, full: bool = False) -> tuple[Table, ...]:
    """A table a results file, with notes on what its words mean below the last.

    Args:
        winners: as `read_winners` returns them.
        full: True shows whole configs, False what differs from the default.
    """
    groups = [tuple(group) for _, group in groupby(winners, lambda winner: winner.file)]
    notes = _notes(winners)
    return tuple(_table(group, full, notes if group is groups[-1] else ()) for group in groups)


def _table(winners: Sequence[FiledWinner], full: bool, notes: tuple[str, ...]) -> Table:
    first = winners[0]
    title = f"{first.kernel} on {first.device}, {pairs(first.problem)}\n{first.file}"
    return Table(title, _COLUMNS, tuple(_cells(winner, full) for winner in winners), notes)


def _cells(winner: FiledWinner, full: bool) -> tuple[str, ...]:
    row = winner.row
    about = "" if row.evidence == "measured" else "~"
    return (
        str(winner.tokens),
        config_text(row.config, None if full else winner.differs),
        row.evidence,
        f"{about}{row.time_us:.3g}",
        "cannot run" if row.default_time_us is None else f"{about}{row.default_time_us:.3g}",
        _speedup(row, about),
        winner.date if winner.age_days is None else f"{winner.age_days} d",
        winner.source,
    )


def _speedup(row: Row, about: str) -> str:
    if row.kept_default:
        return "kept"
    if row.evidence == "modelled":
        return "ahead"
    return "-" if row.speedup is None else f"{about}{row.speedup:.2f}x"


def config_text(
    config: Mapping[str, int | float | str], differs: Mapping[str, int | float | str] | None
) -> str:
    """A config in one cell: what differs from the default, or all of it where `differs` is None."""
    return pairs(config) if differs is None else pairs(differs) or "the default"


def _notes(winners: Sequence[FiledWinner]) -> tuple[str, ...]:
    evidence = {winner.row.evidence for winner in winners}
    sources = {winner.source for winner in winners}
    notes = (
        ("modelled" in evidence, NOTHING_TIMED),
        ("replayed" in evidence, REPLAYED),
        ("changed" in sources, CHANGED),
        ("unknown" in sources, UNKNOWN),
        (any(winner.row.kept_default for winner in winners), KEPT),
    )
    return tuple(note for applies, note in notes if applies)
