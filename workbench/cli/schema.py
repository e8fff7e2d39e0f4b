"""`workbench schema`."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

from workbench.cli.completion import fitting

# The model that reads each kind of file.
MODELS = {
    "sweep": ("workbench.sweep.spec", "SweepSpec"),
    "workload": ("workbench.bench.workload", "DecodeWorkload"),
    "dashboard": ("workbench.dashboard.definition", "DashboardSpec"),
    "device": ("workbench.devices.entries", "DeviceEntry"),
}


def kind_names(incomplete: str) -> list[str]:
    """Kinds of files that have a schema."""
    return fitting(MODELS, incomplete)


def schema(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help=f"One of {', '.join(MODELS)}.", autocompletion=kind_names)
    ],
) -> None:
    """Print the JSON Schema of a YAML file, by which editors complete keys and show what they mean.

    The schemas stand in docs/schemas/ too. VS Code (with redhat.vscode-yaml), neovim (with yaml-language-server) and
    others take a file's schema from its first line:

        # yaml-language-server: $schema=sweep.json

    A file of another project is mapped by its name, in VS Code's settings.json for example:

        "yaml.schemas": {"./sweep.json": "sweeps/*.yaml"}

    Examples:
        workbench schema sweep > sweep.json
        workbench schema device > device.json
    """
    from workbench.base.errors import InputError
    from workbench.base.schema import file_schema
    from workbench.base.text import brief, suggestion
    from workbench.report.table import print_json

    if kind not in MODELS:
        hint = suggestion(kind, tuple(MODELS))
        raise InputError(f"no such file {brief(kind, 60)!r}{hint}; allowed: {', '.join(MODELS)}", key="KIND")
    module, name = MODELS[kind]
    print_json(file_schema(getattr(import_module(module), name), kind))
