"""The command line: registers the commands and turns errors into one line and an exit code."""

from __future__ import annotations

import sys
from typing import Any

import typer

from workbench.base.errors import WorkbenchError
from workbench.base.text import printable
from workbench.base.version import __version__
from workbench.cli import (
    bench,
    compare,
    dashboard,
    devices,
    doctor,
    explain,
    export,
    import_tables,
    lint,
    plot,
    profile,
    rank,
    schema,
    show,
    sweep,
    trace,
)

INTERRUPTED = 130
# Typer brings its own copy of click, whose base of all usage errors has no public name.
UsageProblem: Any = next(each for each in typer.BadParameter.__mro__ if each.__name__ == "ClickException")

app = typer.Typer(
    name="workbench",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    sweep.sweep,
    show.show,
    dashboard.dashboard,
    explain.explain,
    export.export,
    lint.lint,
    profile.profile,
    compare.compare,
    devices.devices,
    doctor.doctor,
    schema.schema,
):
    app.command()(command)
app.command("import")(import_tables.import_tables)
for name, group in (("trace", trace.trace), ("bench", bench.app), ("plot", plot.app), ("rank", rank.app)):
    app.add_typer(group, name=name)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    """Tune the fused MoE kernels of a decode step, and see what the model will load."""
    if version:
        print(f"workbench {__version__}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> Any:
    """Runs one command and exits: 0 done, 1 a gate failed, 2 bad input, 3 nothing valid, 130 interrupted."""
    try:
        code = app(args=arguments, prog_name="workbench", standalone_mode=False) or 0
    except WorkbenchError as error:
        fail(str(error), error.exit_code)
    except UsageProblem as error:
        fail(" ".join(error.format_message().split()), 2)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    # Typer itself turns Ctrl-C within a command into this code, without a word.
    if code == INTERRUPTED:
        fail("interrupted; the same command continues", INTERRUPTED)
    sys.exit(code)


def fail(message: str, exit_code: int) -> None:
    """Prints one line to standard error and exits."""
    print(f"error: {printable(message)}", file=sys.stderr)
    sys.exit(exit_code)
