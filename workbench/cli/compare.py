"""`workbench compare`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

if TYPE_CHECKING:
    from workbench.compare.comparison import Comparison
    from workbench.report.table import Table


Before = Annotated[Path, typer.Argument(metavar="A", help="Before: a file, or a folder of results.")]
After = Annotated[Path, typer.Argument(metavar="B", help="After: of the same kind.")]
FailOn = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-on",
        metavar="METRIC[>PERCENT%],...",
        help="What alone counts: worse by more than that; also `missing` (rows that B lacks) and `unresolved` "
        "(figures too noisy to tell).",
    ),
]
PrintOnly = Annotated[
    list[str] | None,
    typer.Option("--print-only", metavar="METRIC,...", help="Shown, and never a failure."),
]
ArmPair = Annotated[
    str | None,
    typer.Option(
        metavar="ARM,ARM",
        help="The arm of A and that of B; otherwise arms of one name, or the only one of each.",
        show_default=False,
    ),
]
Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="KEY,...", help="What may differ, as versions.triton or versions."),
]
Must = Annotated[
    list[str] | None,
    typer.Option("--must", metavar="PATTERN", help="A kernel that B's timeline has to run."),
]
MustNot = Annotated[
    list[str] | None, typer.Option("--must-not", metavar="PATTERN", help="A kernel that it must not run.")
]
RunToRun = Annotated[
    float,
    typer.Option(
        min=0.0, metavar="PERCENT", help="What whole runs of one thing differ by: standard deviation."
    ),
]
GitHub = Annotated[
    bool,
    typer.Option("--github", help="Annotations too, and Markdown into $GITHUB_STEP_SUMMARY where it is set."),
]
Benchmark = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Write customSmallerIsBetter.json and customBiggerIsBetter.json for github-action-benchmark.",
        show_default=False,
    ),
]
Top = Annotated[int, typer.Option(min=1, metavar="N", help="The most figures listed.")]
Full = Annotated[bool, typer.Option("--all", help="List every figure.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown for a pull request.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def compare(
    a: Before,
    b: After,
    fail_on: FailOn = None,
    print_only: PrintOnly = None,
    arms: ArmPair = None,
    allow: Allow = None,
    must: Must = None,
    must_not: MustNot = None,
    run_to_run: RunToRun = 0.3,
    github: GitHub = False,
    benchmark: Benchmark = None,
    top: Top = 30,
    full: Full = False,
    markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Gate: is B worse than A, beyond a limit and the noise? Winners, bench rows, trace summaries or profiles.

    A regression is worse by more than its limit and has an interval that leaves out no change; a check that B failed
    (a run that died, liveness, correctness) is a failure whatever the speed. Each metric has a direction and a
    limit: time_us, speedup, step_us, busy_us, tpot_p50_ms, output_tokens_per_s and acceptance_length 1.5 %,
    ttft_p50_ms 5 %; others are printed until --fail-on names them. Modelled and replayed times are never judged.

    Exit codes: 0 no regression, 1 a regression or a failed check, 2 bad input, what must not be compared, or nothing
    that could be judged: every figure is too noisy to tell, say.

    Examples:
        workbench compare results-main results
        workbench compare main.json pr.json --fail-on 'tpot_p50_ms>2%,ttft_p50_ms>10%' --print-only acceptance_length
        workbench compare split.json fused.json --must routing_kernel --must-not gatherTopK
        workbench compare rows.json rows.json --arms split,fused --markdown
    """
    from workbench.base.errors import GateError, IncomparableError
    from workbench.cli.arguments import comma_list
    from workbench.compare.claims import make_claims
    from workbench.compare.gate import compare as compare_sides
    from workbench.report.compare import finding

    comparison = compare_sides(
        a,
        b,
        fail_on=fail_on or (),
        print_only=print_only or (),
        arms=_arms(arms),
        allow=[key for text in allow or () for key in comma_list(text) or ()],
        claims=make_claims(must or (), must_not or ()),
        run_to_run=run_to_run / 100,
    )
    if benchmark is not None:
        _write_benchmarks(comparison, benchmark)
    _show(comparison, top=top, full=full, markdown=markdown, as_json=as_json, github=github)
    if comparison.failed:
        raise GateError(finding(comparison))
    if comparison.void:
        raise IncomparableError(finding(comparison))


def _arms(text: str | None) -> tuple[str, str] | None:
    from workbench.base.errors import InputError
    from workbench.cli.arguments import comma_list

    names = comma_list(text)
    if names is None:
        return None
    if len(names) != 2:
        raise InputError(f"must be an arm of A and one of B, as in split,fused, got {text!r}", key="--arms")
    return names[0], names[1]


def _show(
    comparison: Comparison, *, top: int, full: bool, markdown: bool, as_json: bool, github: bool
) -> None:
    from workbench.report.compare import compare_record, compare_tables
    from workbench.report.markdown import markdown as as_markdown
    from workbench.report.table import print_json

    tables = compare_tables(comparison, top=top, full=full)
    if as_json:
        print_json(compare_record(comparison))
    elif markdown:
        print(as_markdown(tables), end="")
    else:
        _print_tables(tables, quoted=github)
    if github:
        _summarise(as_markdown(tables))
        _annotate(comparison, sys.stderr if as_json or markdown else sys.stdout)


def _print_tables(tables: Sequence[Table], *, quoted: bool) -> None:
    """Prints tables, for GitHub as text in which it looks for no commands."""
    from workbench.report.github import without_commands
    from workbench.report.table import print_table

    before, after = without_commands()
    if quoted:
        print(before)
    for table in tables:
        print_table(table)
    if quoted:
        print(after)


def _annotate(comparison: Comparison, stream: TextIO) -> None:
    """Prints annotations beside what stands on standard output, which may be a document."""
    from workbench.report.github import annotation_lines

    for line in annotation_lines(comparison):
        print(line, file=stream)


def _summarise(text: str) -> None:
    """Adds to the summary of the workflow's step, which GitHub shows with the run."""
    import os

    from workbench.base.errors import InputError

    if not (path := os.environ.get("GITHUB_STEP_SUMMARY")):
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}", file=path, key="GITHUB_STEP_SUMMARY"
        ) from error


def _write_benchmarks(comparison: Comparison, folder: Path) -> None:
    from workbench.base.files import write_whole
    from workbench.report.github import benchmarks
    from workbench.report.table import json_text

    for tool, figures in benchmarks(comparison).items():
        write_whole(folder / f"{tool}.json", json_text(figures) + "\n")
