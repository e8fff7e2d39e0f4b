"""`workbench trace`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.frame_files import CsvFile, ParquetFile, write_frame

if TYPE_CHECKING:
    from workbench.report.table import Table
    from workbench.timeline.analysis import Analysis

trace = typer.Typer(
    name="trace",
    no_args_is_help=True,
    help="Read torch.profiler traces: where the time goes, what changed, one timeline of several.",
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A torch.profiler trace, .json or .json.gz.")]
Files = Annotated[
    list[str], typer.Argument(metavar="[ARM=]FILE...", help="Traces, each an arm; its name is the file's.")
]
RulesFile = Annotated[
    Path | None,
    typer.Option(
        "--rules", metavar="FILE", help="Rules of your own, before the shipped.", show_default=False
    ),
]
Cpu = Annotated[bool, typer.Option("--cpu", help="Take CPU ops as the work: of a capture without a GPU.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown for a pull request.")]
Top = Annotated[int, typer.Option(min=1, metavar="N", help="The most kernels listed.")]
StepNumber = Annotated[
    int | None, typer.Option("--step", min=0, metavar="N", help="Only this step, from 0.", show_default=False)
]


@trace.command()
def summary(
    file: File,
    what_if: Annotated[
        list[str] | None,
        typer.Option(
            "--what-if", metavar="CLASS=FACTOR", help="The step if a class took FACTOR of its time."
        ),
    ] = None,
    rules: RulesFile = None,
    top: Top = 20,
    unsure: Annotated[
        bool, typer.Option("--unsure", help="Also list kernels whose class their own name does not tell.")
    ] = False,
    cpu: Cpu = False,
    csv: CsvFile = None,
    parquet: ParquetFile = None,
    markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Where a step's time goes, by class and kernel, and how far the figures can be trusted.

    --csv and --parquet write all kernels, a row each.

    Examples:
        workbench trace summary decode.json.gz
        workbench trace summary decode.json.gz --what-if routing=0.25x
        workbench trace summary decode.json.gz --unsure
        workbench trace summary decode.json.gz --rules mine.yaml --markdown
        workbench trace summary decode.json.gz --csv kernels.csv
    """
    import msgspec

    from workbench.report.trace_summary import summary_tables, unsure_table
    from workbench.timeline.classify import weakly_named
    from workbench.timeline.frames import kernels_frame
    from workbench.timeline.record import summary_record
    from workbench.timeline.rules import load_rules
    from workbench.timeline.summary import summarise
    from workbench.timeline.what_if import forecast, parse_factors

    factors = parse_factors(what_if or ())
    found = summarise(_analyse([file], rules, cpu)[0])
    forecasted = forecast(found, factors) if factors else None
    write_frame(csv, parquet, lambda: kernels_frame(found))
    record = msgspec.to_builtins(summary_record(found, forecasted)) if as_json else None
    tables = summary_tables(found, forecasted, top=top)
    if unsure:
        weak = weakly_named([each.name for each in found.kernels], load_rules(rules))
        tables = (*tables, unsure_table([each for each in found.kernels if each.name in weak]))
    _show(record or tables, markdown)


@trace.command()
def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="The trace before.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The trace after.")],
    rules: RulesFile = None,
    top: Top = 20,
    cpu: Cpu = False,
    csv: CsvFile = None,
    parquet: ParquetFile = None,
    markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """What changed from A to B, by class and then by kernel, also where several kernels became one.

    --csv and --parquet write all changes by kernel, a row each.

    Examples:
        workbench trace diff split.json.gz fused.json.gz
        workbench trace diff split.json.gz fused.json.gz --markdown
        workbench trace diff split.json.gz fused.json.gz --csv changes.csv
    """
    from workbench.report.trace_diff import diff_record, diff_tables
    from workbench.timeline.diff import compare
    from workbench.timeline.frames import changes_frame
    from workbench.timeline.summary import summarise

    found = compare(*(summarise(analysis) for analysis in _analyse([a, b], rules, cpu)))
    write_frame(csv, parquet, lambda: changes_frame(found))
    _show(diff_record(found) if as_json else diff_tables(found, top=top), markdown)


@trace.command()
def merge(
    files: Files,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The merged trace; .gz packs it.")
    ] = Path("merged.json.gz"),
    step: StepNumber = None,
    rules: RulesFile = None,
    cpu: Cpu = False,
    as_json: Json = False,
) -> None:
    """One Chrome trace with a process per arm on one clock, t = 0 where each arm's first step begins.

    Examples:
        workbench trace merge split=a.json.gz fused=b.json.gz --out merged.json.gz
        workbench trace merge a.json.gz b.json.gz --step 3
    """
    from workbench.report.table import print_json
    from workbench.timeline.chrome import arm_of, chrome_trace, write_trace

    named = _arms(files)
    analyses = _analyse(list(named.values()), rules, cpu)
    _keep_inputs(out, named.values())
    merged = chrome_trace([arm_of(*pair, step) for pair in zip(named, analyses, strict=True)])
    write_trace(out, merged)
    if as_json:
        print_json({"out": str(out), "arms": list(named), "events": len(merged["traceEvents"])})
    else:
        print(f"{out}: {len(merged['traceEvents']):,} events of {', '.join(named)}")


@trace.command()
def view(
    files: Files,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The page.")] = Path(
        "timeline.html"
    ),
    step: StepNumber = None,
    rules: RulesFile = None,
    cpu: Cpu = False,
    open_: Annotated[
        bool,
        typer.Option("--open", help="Serve the timeline on 127.0.0.1:9001 and open it in Perfetto's UI."),
    ] = False,
) -> None:
    """One offline page: a step of each trace as lanes on one scale, with the summary and what changed.

    Examples:
        workbench trace view split=a.json.gz fused=b.json.gz --out timeline.html
        workbench trace view decode.json.gz --open
    """
    from workbench.base.files import write_whole
    from workbench.report.trace_page import page_html, page_record
    from workbench.timeline.chrome import arm_of, chrome_trace
    from workbench.timeline.page import typical_step
    from workbench.timeline.perfetto import serve_once

    named = _arms(files)
    analyses = _analyse(list(named.values()), rules, cpu)
    if open_:
        serve_once(chrome_trace([arm_of(*pair, step) for pair in zip(named, analyses, strict=True)]), print)
        return
    _keep_inputs(out, named.values())
    steps = [typical_step(analysis) if step is None else step for analysis in analyses]
    arms = [arm_of(*each) for each in zip(named, analyses, steps, strict=True)]
    html = page_html(page_record(arms, steps))
    write_whole(out, html)
    print(f"{out}: {', '.join(named)}, {len(html.encode()) / 1e6:.2f} MB, no network needed")


def _analyse(files: Sequence[Path], rules: Path | None, cpu: bool) -> list[Analysis]:
    from workbench.timeline.analysis import analyse_file
    from workbench.timeline.rules import load_rules

    loaded = load_rules(rules)
    return [analyse_file(file, loaded, cpu=cpu) for file in files]


def _show(result: Mapping[str, object] | Sequence[Table], markdown: bool) -> None:
    from workbench.report.markdown import markdown as as_markdown
    from workbench.report.table import print_json, print_table

    if isinstance(result, Mapping):
        print_json(result)
    elif markdown:
        print(as_markdown(result), end="")
    else:
        for table in result:
            print_table(table)


def _arms(arguments: Sequence[str]) -> Mapping[str, Path]:
    """Files by arm: `split=a.json.gz`, or a file alone, whose name is then the arm's."""
    from workbench.base.errors import InputError

    arms: dict[str, Path] = {}
    for argument in arguments:
        name, equals, file = argument.partition("=")
        if not equals or "/" in name or Path(argument).exists():
            name, file = Path(argument).name.removesuffix(".gz").removesuffix(".json"), argument
        if not name or name in arms:
            raise InputError(f"two arms are called {name!r}; name them, as in split=FILE", file=argument)
        arms[name] = Path(file)
    return arms


def _keep_inputs(out: Path, files: Iterable[Path]) -> None:
    from workbench.base.errors import InputError

    if out.resolve() in {file.resolve() for file in files}:
        raise InputError("is one of the traces; name another file", file=out, key="--out")
