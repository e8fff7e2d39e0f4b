"""Options that `bench run` and `bench quality` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.completion import arm_names, model_names

Model = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Random weights: `26b-a4b`, or `tiny` for trying out.",
        autocompletion=model_names,
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Weights instead: a safetensors folder.", show_default=False),
]
Layers = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Keep the first N layers; every row and table says so.", show_default=False
    ),
]
DeviceName = Annotated[
    str, typer.Option("--device", metavar="NAME", help="`auto`, `cpu`, `cuda` or `cuda:N`.")
]
Arms = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="Of split, fused, tuned; the first is the baseline.",
        show_default=False,
        autocompletion=arm_names,
    ),
]
Seed = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Of weights and prompts.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
