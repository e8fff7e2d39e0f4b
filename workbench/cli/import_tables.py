"""`workbench import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def import_tables(
    engine: Annotated[str, typer.Argument(metavar="vllm|sglang", help="Whose tables they are.")],
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="A table, a folder, a wheel, or the engine's name where it is installed."
        ),
    ],
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Only this one's: a slug, CUDA's name or an alias.", show_default=False
        ),
    ] = None,
    problem: Annotated[
        str | None,
        typer.Option(
            metavar="K=V,...", help="Only these problems, for example E=128,I=704.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Where to write the seeds for a sweep's `seeds:`.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """An engine's tables as seeds of a sweep: the configs that a winner has to beat.

    A table's name holds neither the hidden size nor the experts a token, so its
    rows are seeds of every problem that agrees in the rest.

    Examples:
        workbench import sglang sglang --device h200 --out h200.seeds.json
        workbench import vllm ./vllm-0.33.0.whl --problem E=128,I=704
    """
    from workbench.base.files import write_whole
    from workbench.cli.arguments import filed_slug, parse_axes, results_paths
    from workbench.integrations.engines import PROBLEM_AXES, find_engine
    from workbench.integrations.import_tables import import_seeds
    from workbench.integrations.raw_tables import read_tables
    from workbench.integrations.seeds_file import seeds_text
    from workbench.report.engine_import import import_record, import_report
    from workbench.report.table import print_json, print_table

    source = find_engine(engine)
    slug = filed_slug(device, results_paths(None)) if device else None
    axes = parse_axes(problem, PROBLEM_AXES) if problem else {}
    imported = import_seeds(source, read_tables(path, source.name), device=slug, axes=axes)
    if out is not None:
        write_whole(out, seeds_text(imported.seeds))
    if as_json:
        print_json(import_record(imported))
        return
    print_table(import_report(imported, out))
