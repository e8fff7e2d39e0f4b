"""`workbench profile`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.arguments import Nvtx
from workbench.cli.completion import arm_names, model_names

if TYPE_CHECKING:
    import torch

    from workbench.models.gemma4.config import Gemma4Config
    from workbench.timeline.profile import Profile, ProfileRequest


def profile(
    model: Annotated[
        str, typer.Option(metavar="NAME", help="26b-a4b, or tiny.", autocompletion=model_names)
    ] = "26b-a4b",
    arms: Annotated[
        str,
        typer.Option(
            metavar="ARM,...",
            help="The first is what the others are compared with.",
            autocompletion=arm_names,
        ),
    ] = "split,fused,tuned",
    batch: Annotated[int, typer.Option(metavar="B", help="Sequences, one token a step each.")] = 1,
    steps: Annotated[int, typer.Option(metavar="N", help="Steps of an arm in each round.")] = 8,
    graph: Annotated[
        bool | None,
        typer.Option(
            "--graph/--eager",
            help="Steps as CUDA graphs; by default where there is a GPU.",
            show_default=False,
        ),
    ] = None,
    layers: Annotated[
        int | None, typer.Option(metavar="N", help="Only the first layers.", show_default="all")
    ] = None,
    context: Annotated[int, typer.Option(metavar="N", help="Tokens of each sequence before the step.")] = 128,
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda, or auto: a GPU if any.")] = "auto",
    seed: Annotated[int, typer.Option(metavar="N", help="Of the random weights and tokens.")] = 0,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Traces, summaries, page.")] = Path(
        "profile"
    ),
    nvtx: Nvtx = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Decode steps of several arms on the same weights: do they agree, where does the time go, what is it worth.

    `split` routes by torch operations, `fused` by one kernel, `tuned` runs routing and experts with configs from
    results. An arm that does not run what it claims, or computes something else, fails the gate (exit code 1).

    Examples:
        workbench profile --model tiny --device cpu --out profile
        workbench profile --model 26b-a4b --batch 16 --graph --out profile-b16
        workbench profile --arms split,fused --layers 6 --eager
        nsys profile --trace=cuda,nvtx workbench profile --eager --nvtx
    """
    from workbench.base.errors import GateError
    from workbench.base.ranges import nvtx_ranges
    from workbench.report.profile import profile_record, write_profile
    from workbench.report.table import print_json
    from workbench.timeline.profile import run_profile

    request = _request(model, arms, batch, steps, graph, layers, context, device, seed)
    _check_writable(out)
    with nvtx_ranges(nvtx):
        found = run_profile(request, _tell)
    files = write_profile(found, out)
    if as_json:
        import msgspec

        record = msgspec.to_builtins(profile_record(found))
        print_json({**record, "files": {name: str(file) for name, file in files.items()}})
    else:
        _print_tables(found, files["page"])
    if found.failures:
        raise GateError("; ".join(found.failures))


def _request(
    model: str,
    arms: str,
    batch: int,
    steps: int,
    graph: bool | None,
    layers: int | None,
    context: int,
    device: str,
    seed: int,
) -> ProfileRequest:
    from workbench.base.errors import InputError
    from workbench.timeline.arms import select_arms
    from workbench.timeline.profile import ProfileRequest

    _check_least(
        {"--batch": (batch, 1), "--steps": (steps, 1), "--context": (context, 1), "--seed": (seed, 0)}
    )
    config, where = _config(model, layers), _device(device)
    if graph and where.type != "cuda":
        raise InputError("CUDA graphs need a CUDA GPU; leave it out or use --eager", key="--graph")
    request = ProfileRequest(
        model=model,
        config=config,
        arms=select_arms([name.strip() for name in arms.split(",") if name.strip()]),
        batch=batch,
        context=context,
        steps=steps,
        graph=where.type == "cuda" if graph is None else graph,
        device=where,
        seed=seed,
    )
    longest = config.max_position_embeddings - request.compared_steps
    if context > longest:
        raise InputError(f"must be up to {longest} for {model}, got {context}", key="--context")
    return request


def _check_least(numbers: Mapping[str, tuple[int, int]]) -> None:
    """Raises InputError for the first number that is below the least one beside it."""
    from workbench.base.errors import InputError

    for key, (value, least) in numbers.items():
        if value < least:
            raise InputError(f"must be at least {least}, got {value}", key=key)


def _config(model: str, layers: int | None) -> Gemma4Config:
    from workbench.base.errors import InputError
    from workbench.models.gemma4 import Gemma4Config
    from workbench.models.gemma4.presets import PRESETS

    if model not in PRESETS:
        raise InputError(f"there is no model {model!r}; the models are {', '.join(PRESETS)}", key="--model")
    config = Gemma4Config.preset(model)  # type: ignore[arg-type]
    depth = config.num_hidden_layers
    if layers is not None and not 1 <= layers <= depth:
        raise InputError(f"must be 1 to {depth}, the layers of {model}, got {layers}", key="--layers")
    return config if layers is None else config.with_layers(layers)


def _device(name: str) -> torch.device:
    """The device to run on.

    Raises:
        InputError: it is not there, or the kernels would be interpreted on it.
    """
    import torch
    from triton import knobs

    from workbench.base.errors import InputError

    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"must be auto, cpu or cuda, got {name!r}", key="--device")
    has_cuda = torch.cuda.is_available()
    if name == "cuda" and not has_cuda:
        raise InputError("there is no CUDA GPU here; auto or cpu captures CPU ops", key="--device")
    if knobs.runtime.interpret:
        raise InputError("TRITON_INTERPRET=1 interprets the kernels; unset it to profile", key="--device")
    return torch.device("cuda", 0) if has_cuda and name != "cpu" else torch.device("cpu")


def _check_writable(folder: Path) -> None:
    """Finds out before the work, not after it, that nothing can be written."""
    from tempfile import TemporaryFile

    from workbench.base.errors import InputError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=folder, key="--out") from error


def _print_tables(found: Profile, page: Path) -> None:
    from workbench.report.profile import profile_tables
    from workbench.report.table import print_table

    for table in profile_tables(found):
        print_table(table)
    print(f"{page}: the timeline; traces and summaries beside it")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
