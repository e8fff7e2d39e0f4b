"""`workbench bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.bench_quality import quality
from workbench.cli.bench_run import run
from workbench.cli.frame_files import CsvFile, ParquetFile, write_frame

if TYPE_CHECKING:
    from workbench.bench.rows import BenchFile

app = typer.Typer(
    no_args_is_help=True, help="Decode throughput and TPOT: run workloads, read engine results, compare arms."
)
app.command()(run)
app.command()(quality)


@app.command("import")
def import_(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Results of `vllm bench serve` or SGLang's bench_serving."),
    ],
    device: Annotated[
        str, typer.Option(metavar="NAME", help="The GPU: a slug, CUDA's name or an alias; no file names it.")
    ] = "unknown",
    arm: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What the runs are called; otherwise their label or tag, else the file's name.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The model, where the file does not name it.", show_default=False),
    ] = None,
    workload: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A name for the load, such as `chat`.", show_default=False),
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="GPUs that served; otherwise what the file says, else 1.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The results folder.")] = Path("results"),
    csv: CsvFile = None,
    parquet: ParquetFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Read the results of serving engines, every run in them, into rows under `results/<DEVICE>/bench/`.

    A field keeps what it means at its source: vLLM counts acceptance over the run, SGLang since the server
    started. Importing a file again replaces its rows.

    Examples:
        workbench bench import fused.json --device b200 --arm fused --workload chat
        workbench bench import sglang.jsonl --device b200 --model google/gemma-4-26B-A4B-it
        workbench bench import fused.json --device b200 --csv rows.csv
    """
    from workbench.bench.frames import bench_frame
    from workbench.bench.importers import About, import_results
    from workbench.bench.rows import write_bench
    from workbench.report.bench import bench_records, bench_table
    from workbench.report.table import print_json, print_table

    about = About(device=_slug(device), arm=arm, model=model, workload=workload, gpus=gpus)
    read = {path: import_results(path, about) for path in files}
    written = {_target(out, about.device, path, file): file for path, file in read.items()}
    for target, file in written.items():
        write_bench(target, file)
    filed = [(target, row) for target, file in written.items() for row in file.rows]
    write_frame(csv, parquet, lambda: bench_frame(filed))
    rows = [row for _, row in filed]
    if as_json:
        print_json(bench_records(rows, list(written)))
    else:
        print_table(bench_table(rows, f"{len(rows)} runs, in {', '.join(map(str, written))}"))


def _slug(device: str) -> str:
    from workbench.bench.rows import UNKNOWN_DEVICE
    from workbench.devices import find_device

    return device if device == UNKNOWN_DEVICE else find_device(device).slug


def _target(out: Path, device: str, path: Path, file: BenchFile) -> Path:
    """Named after the imported file and its contents: two files of one name are two, the same one is one."""
    import re

    from workbench.bench.rows import FOLDER

    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", path.stem).lstrip(".")[:80]
    return out / device / FOLDER / f"{stem}-{str(file.origin['sha256'])[:8]}.json"
