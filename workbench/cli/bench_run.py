"""`workbench bench run`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.arguments import Nvtx, comma_counts, comma_list, named_file
from workbench.cli.bench_options import Arms, Checkpoint, DeviceName, Json, Layers, Model, Seed
from workbench.cli.completion import workload_names

if TYPE_CHECKING:
    import torch

    from workbench.bench.engine import EnergyMeter
    from workbench.bench.gemma4.engine import Gemma4Engine
    from workbench.bench.gemma4.models import ModelSource
    from workbench.bench.rows import BenchRow
    from workbench.bench.workload import DecodeWorkload, LoadedWorkload


def run(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A workload file, or the name of a shipped one (`chat`).",
            autocompletion=workload_names,
        ),
    ],
    model: Model = "26b-a4b",
    checkpoint: Checkpoint = None,
    assistant: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The assistant's weights; random ones otherwise.", show_default=False
        ),
    ] = None,
    layers: Layers = None,
    device: DeviceName = "auto",
    arms: Arms = None,
    concurrency: Annotated[
        str | None, typer.Option(metavar="N,M", help="Instead of the file's.", show_default=False)
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(metavar="N", help="Instead of the file's.", show_default=False)
    ] = None,
    eager: Annotated[bool, typer.Option("--eager", help="No CUDA graph.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run again what a killed run has done.")] = False,
    seed: Seed = None,
    nvtx: Nvtx = False,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The results folder.")] = Path("results"),
    as_json: Json = False,
) -> None:
    """Run a decode workload on our model, arms interleaved, into rows under `results/<DEVICE>/bench/`.

    Rows are written as they come. Killed at any moment, the same command continues with the next load.

    Exit codes: 0 done, 2 bad input, 3 no run succeeded, 130 interrupted.

    Examples:
        workbench bench run chat
        workbench bench run chat --layers 6 --concurrency 1,8
        workbench bench run mine.yaml --model tiny --device cpu --arms split,fused
    """
    from workbench.base.ranges import nvtx_ranges
    from workbench.base.shipped import shipped_workloads
    from workbench.bench.gemma4.models import ModelSource, find_torch_device
    from workbench.bench.workload import load_workload

    given = {
        "arms": comma_list(arms),
        "concurrency": comma_counts(concurrency, "--concurrency"),
        "repeats": repeats,
        "seed": seed,
    }
    loaded = load_workload(named_file(file, shipped_workloads(), "workload")).override(**given)
    source = ModelSource(
        preset=model,
        checkpoint=checkpoint,
        layers=layers,
        device=find_torch_device(device),
        seed=loaded.workload.seed,
    )
    with nvtx_ranges(nvtx):
        engine = _engine(loaded, source, assistant, graph=False if eager else None)
        _record(loaded.workload, engine, source.device, out, as_json, fresh=fresh, eager=eager)


def _engine(
    loaded: LoadedWorkload, source: ModelSource, assistant: Path | None, graph: bool | None
) -> Gemma4Engine:
    from workbench.bench.gemma4.engine import Gemma4Engine
    from workbench.bench.gemma4.models import open_assistant, open_model

    if source.checkpoint is None:
        # Before anything as large as the weights is drawn.
        loaded.check_fits(source.config().max_position_embeddings, source.preset)
    named = open_model(source)
    loaded.check_fits(named.model.config.max_position_embeddings, named.name)
    drafter = open_assistant(named.model, assistant, source.seed) if loaded.workload.draft_tokens else None
    return Gemma4Engine(named, drafter, draws_assistant=assistant is None, graph=graph)


def _record(
    workload: DecodeWorkload,
    engine: Gemma4Engine,
    device: torch.device,
    out: Path,
    as_json: bool,
    *,
    fresh: bool,
    eager: bool,
) -> None:
    from workbench.base.errors import NothingValidError
    from workbench.bench.record import origin_of, record_workload, rows_path, unfinished
    from workbench.report.bench import bench_records, bench_table
    from workbench.report.bench_progress import BenchProgress
    from workbench.report.table import print_json, print_table

    origin = origin_of(workload, engine, eager=eager, about=engine.about(workload.draft_tokens))
    path = rows_path(out, engine.facts.device, workload.name, origin)
    known = () if fresh else unfinished(path, origin, workload)
    with BenchProgress(_runs(workload, known)) as progress, _energy(device) as energy:
        progress.note(f"{engine.facts.model} on {engine.facts.device}: {path}")
        if known:
            progress.note(f"{len(known)} rows known from an earlier run")
        rows = list(known)
        for row in record_workload(
            workload, engine, path, origin, known=known, energy=energy, told=progress.told
        ):
            progress.row(row)
            rows.append(row)
    if as_json:
        print_json(bench_records(rows, [path]))
    else:
        title = f"{workload.name} on {engine.facts.device}, {engine.facts.model}, in {path}"
        print_table(bench_table(rows, title, engine.about(workload.draft_tokens)))
    if all(row.status != "ok" for row in rows):
        raise NothingValidError(f"{path}: no run succeeded; {rows[0].reason}")


def _runs(workload: DecodeWorkload, known: tuple[BenchRow, ...]) -> int:
    loads = len(workload.concurrency) - len(known) // len(workload.arms)
    return loads * len(workload.arms) * (workload.warm_up + workload.repeats)


def _energy(device: torch.device) -> AbstractContextManager[EnergyMeter]:
    from contextlib import nullcontext

    from workbench.bench.energy import open_energy
    from workbench.bench.engine import NoEnergy

    return open_energy(device) if device.type == "cuda" else nullcontext(NoEnergy())
