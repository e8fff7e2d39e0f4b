"""`workbench rank`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from workbench.ranking.ranker import Ranker

app = typer.Typer(
    no_args_is_help=True,
    help="The ranking of the experts' configs that needs no GPU: refit it, and judge it.",
)

Tables = Annotated[
    list[str],
    typer.Option(
        metavar="WHEEL|FOLDER", help="Tables of vLLM or SGLang: a wheel, a folder or an installed package."
    ),
]


@app.command()
def fit(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the fit is written.")],
    tables: Tables = [],  # noqa: B006
    journals: Annotated[
        list[Path],
        typer.Option(
            metavar="RUN", help="A measured run of `experts`, results/runs/RUN.", show_default=False
        ),
    ] = [],  # noqa: B006
    keep_constants: Annotated[
        bool, typer.Option("--keep-constants", help="Fit the weights alone, on the shipped cost model.")
    ] = False,
) -> None:
    """Refit the ranking to the engines' tables and to measured runs of your own.

    Examples:
        workbench rank fit --tables vllm-0.33.0.whl --tables sglang-0.5.23.whl --out fitted.json
        workbench rank fit --tables vllm --journals results/runs/experts-h200-1f0c --out fitted.json
    """
    from workbench.base.errors import InputError
    from workbench.base.files import write_whole
    from workbench.ranking.choices import choices_of
    from workbench.ranking.fit import fit as fit_ranker
    from workbench.ranking.fit import provenance
    from workbench.ranking.journals import read_journals
    from workbench.ranking.ranker import serialise, shipped_ranker
    from workbench.ranking.tables import collect_tables

    if not tables and not journals:
        raise InputError("name tables or journals, or both", key="--tables")
    collected = collect_tables(tables) if tables else None
    choices = (*choices_of(collected.tables if collected else ()), *read_journals(journals))
    constants = shipped_ranker().constants if keep_constants else None
    ranker = fit_ranker(choices, provenance(choices, collected, journals), constants)
    write_whole(out, serialise(ranker))
    print(f"{out}: fitted to {sum(choice.weight > 0 for choice in choices)} rows")


@app.command()
def show(
    tables: Tables,
    ranking: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A fit; otherwise the shipped one.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Where a fit puts the winners of tables, by GPU and tokens; tables it was fitted to flatter it.

    Example:
        workbench rank show --tables my-tables/ --ranking fitted.json
    """
    from workbench.ranking.choices import choices_of
    from workbench.ranking.judge import place
    from workbench.ranking.tables import collect_tables
    from workbench.report.ranking import worth_records, worth_table
    from workbench.report.table import print_json, print_table

    collected = collect_tables(tables)
    placings = place(_ranker(ranking), choices_of(collected.tables))
    if as_json:
        print_json({"worth": worth_records(placings), "left_out": dict(collected.left_out)})
    else:
        print_table(worth_table(placings, collected.left_out))


def _ranker(path: Path | None) -> Ranker:
    from workbench.ranking.ranker import load_ranker, shipped_ranker

    return load_ranker(path) if path else shipped_ranker()
