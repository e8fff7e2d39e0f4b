"""`workbench bench quality`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.arguments import comma_list
from workbench.cli.bench_options import Arms, Checkpoint, DeviceName, Json, Layers, Model, Seed

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.bench.gemma4.models import NamedModel
    from workbench.bench.harness.suites import Suites
    from workbench.bench.text import Tokenizer
    from workbench.report.quality import QualityReport


def quality(
    model: Model = "26b-a4b",
    checkpoint: Checkpoint = None,
    layers: Layers = None,
    device: DeviceName = "auto",
    arms: Arms = None,
    text: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A text to compare on; random tokens otherwise.", show_default=False
        ),
    ] = None,
    tokens: Annotated[int, typer.Option(min=2, metavar="N", help="Tokens to compare on.")] = 2048,
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Tokens a decode step.")] = 8,
    margin: Annotated[
        float, typer.Option(min=1.0, metavar="X", help="The floor, in worst differences between configs.")
    ] = 2.0,
    tasks: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Suites in --tasks-folder to run too.", show_default=False),
    ] = None,
    tasks_folder: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Task files of lm-evaluation-harness, with their data.", show_default=False
        ),
    ] = None,
    mmlu: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="MMLU, with dev/ and test/ as its archive has them.", show_default=False
        ),
    ] = None,
    shots: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Answered questions before each.", show_default=False),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="The most questions of a suite.", show_default=False),
    ] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Compare what arms compute, token by token, by what two configs of one arm differ by.

    All arms read the same tokens. With --tasks or --mmlu they answer multiple-choice questions too, all from local
    files; that needs `pip install 'moe-workbench[quality]'`.

    Exit codes: 0 the same, 1 an arm differs by more, 2 bad input.

    Examples:
        workbench bench quality --model tiny --device cpu
        workbench bench quality --checkpoint gemma-4-26B-A4B-it --text book.txt --arms split,tuned
        workbench bench quality --checkpoint gemma-4-26B-A4B-it --mmlu mmlu/data --limit 100
    """
    from workbench.base.errors import GateError, InputError
    from workbench.bench.gemma4.models import ModelSource, find_torch_device, open_model
    from workbench.bench.harness.library import import_harness
    from workbench.bench.harness.suites import Suites
    from workbench.models.gemma4.arms import ARMS, find_arm
    from workbench.report.quality import quality_record, quality_tables
    from workbench.report.table import print_json, print_table

    names = comma_list(arms) or list(ARMS)
    for name in names:
        find_arm(name)
    if len(set(names)) != len(names) or len(names) < 2:
        raise InputError(f"must be two arms or more, each once, of {', '.join(ARMS)}", key="--arms")
    suites = Suites(
        tasks=tuple(comma_list(tasks) or ()), folder=tasks_folder, mmlu=mmlu, shots=shots, limit=limit
    )
    if suites:
        # All of this fails sooner than weights are there.
        suites.check()
        suites.configs()
        import_harness()
    source = ModelSource(
        preset=model, checkpoint=checkpoint, layers=layers, device=find_torch_device(device), seed=seed or 0
    )
    named = open_model(source)
    tokenizer = _tokenizer(source.checkpoint, named, needed=bool(text or suites))
    ids, what = _windows(named, tokenizer, text, batch, tokens, seed or 0)
    report = _report(named, names, ids, what, margin, suites, tokenizer)
    if as_json:
        print_json(quality_record(report))
    for table in () if as_json else quality_tables(report):
        print_table(table)
    if report.failures:
        raise GateError("quality: " + "; ".join(report.failures))


def _tokenizer(checkpoint: Path | None, named: NamedModel, *, needed: bool) -> Tokenizer | None:
    from workbench.bench.text import open_tokenizer

    return open_tokenizer(checkpoint, named.model.config.vocab_size) if needed else None


def _windows(
    named: NamedModel, tokenizer: Tokenizer | None, text: Path | None, batch: int, tokens: int, seed: int
) -> tuple[Tensor, str]:
    """Ids [B, S], and what they are in words."""
    from workbench.bench.text import random_windows, text_windows

    config = named.model.config
    length = min(max(2, tokens // batch), config.max_position_embeddings)
    if text is None or tokenizer is None:
        return random_windows(batch, length, config.vocab_size, seed), "random tokens"
    ids = text_windows(text, tokenizer, batch, length, config.vocab_size)
    return ids, f"{text} ({tokenizer.name})"


def _report(
    named: NamedModel,
    arms: list[str],
    ids: Tensor,
    what: str,
    margin: float,
    suites: Suites,
    tokenizer: Tokenizer | None,
) -> QualityReport:
    from workbench.bench.gemma4.compare import compare_arms
    from workbench.bench.gemma4.engine import ON_CPU
    from workbench.bench.gemma4.models import slug_of
    from workbench.bench.harness.suites import run_suites
    from workbench.report.quality import QualityReport

    device = named.model.device
    judged, configs, floor = compare_arms(named.model, arms, ids.to(device), margin=margin)
    scores = run_suites(named.model, tokenizer, arms, suites, _tell) if suites and tokenizer else []
    return QualityReport(
        title=f"{named.name} on {slug_of(device)}: {what}, {ids.shape[0]} tokens a step",
        baseline=arms[0],
        arms=judged,
        configs=configs,
        floor=floor,
        margin=margin,
        suites=scores,
        notes=(ON_CPU,) if device.type == "cpu" else (),
    )


def _tell(text: str) -> None:
    typer.echo(text, err=True)
