"""What a modelled ranking is worth, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.ranking.judge import Placing, Worth
from workbench.report.table import Column, Table

BANDS = (("T <= 8", 1, 8), ("T 9..128", 9, 128), ("T 129..1024", 129, 1024), ("T > 1024", 1025, 1 << 31))


def worths(placings: Sequence[Placing]) -> Mapping[str, Worth]:
    """The worth over all placings, by GPU and dtype, and by tokens; what has no placing is left out."""
    groups = {"all": list(placings)}
    for each in placings:
        groups.setdefault(f"{each.choice.board.name}, {each.choice.workload.dtype}", []).append(each)
    for name, least, most in BANDS:
        groups[name] = [each for each in placings if least <= each.choice.workload.tokens <= most]
    return {name: Worth.of(group) for name, group in groups.items() if group}


def worth_records(placings: Sequence[Placing]) -> list[dict[str, Any]]:
    """The same for machines."""
    return [
        {"of": name, "rows": worth.rows, "median_percentile": worth.median}
        | dict(zip(("within_10", "within_30"), worth.within, strict=True))
        | dict(zip(("top_50", "top_100", "top_200"), worth.top, strict=True))
        for name, worth in worths(placings).items()
    ]


def worth_table(placings: Sequence[Placing], left_out: Mapping[str, int]) -> Table:
    """Percentiles of the tables' winners, and what of the tables was left out."""
    headings = ("median %", "in best 10 %", "in best 30 %", "top 50", "top 100", "top 200")
    return Table(
        title="Winners of tables, placed by the modelled ranking (per cent of the launchable grid; of the rows)",
        columns=(
            Column("of"),
            Column("rows", "right"),
            *(Column(heading, "right") for heading in headings),
        ),
        rows=tuple(_row(name, worth) for name, worth in worths(placings).items()),
        notes=tuple(f"left out: {count} {reason}" for reason, count in sorted(left_out.items())),
    )


def _row(name: str, worth: Worth) -> tuple[str, ...]:
    shares = (*worth.within, *worth.top)
    return name, str(worth.rows), f"{worth.median:.1f}", *(f"{share:.0f}" for share in shares)
