"""`workbench explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.completion import device_names, kernel_names

if TYPE_CHECKING:
    from moe_kernels.tunable import Problem, TunableKernel
    from workbench.devices.device import Device

_NAME_ONE = "there is no CUDA GPU at hand; name one (see `workbench devices`)"


def explain(
    kernel: Annotated[
        str,
        typer.Argument(
            metavar="KERNEL",
            help="A kernel, or package.module:NAME for one of your own.",
            autocompletion=kernel_names,
        ),
    ],
    problem: Annotated[
        str,
        typer.Option(metavar="K=V,...", help="Every axis but tokens, by its name or its short name."),
    ],
    tokens: Annotated[int, typer.Option(min=0, metavar="N", help="Tokens in the batch.")],
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A slug, CUDA's name or an alias; else the GPU at hand.",
            show_default=False,
            autocompletion=device_names,
        ),
    ] = None,
    evidence: Annotated[
        str | None,
        typer.Option(
            metavar="measured|modelled",
            help="Which rows count; otherwise what WORKBENCH_EVIDENCE says.",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(metavar="vllm|sglang", help="What that engine will load instead.", show_default=False),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="With --engine: the folder that its variable will name.", show_default=False
        ),
    ] = None,
    triton: Annotated[
        str | None,
        typer.Option(
            metavar="X.Y.Z",
            help="With --engine: the Triton that it runs with, if not ours.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Which file and row a lookup takes, and why; a damaged file also ends in exit code 2.

    With --engine, which table vLLM or SGLang looks for, what it finds, and whether it reads it at all.

    Examples:
        workbench explain routing --device b200 --problem num_experts=128,top_k=8,dtype=bf16 --tokens 8
        workbench explain routing --device b200 --problem E=128,K=8,dtype=bf16 --tokens 8 --evidence modelled
        workbench explain experts --engine vllm --device h200 --problem E=128,K=8,H=2816,I=704,dtype=bf16 --tokens 8
    """
    from moe_kernels import tuned
    from workbench.base.errors import InputError
    from workbench.cli.arguments import check_evidence
    from workbench.report.lookup import lookup_record, lookup_tables
    from workbench.report.table import print_json, print_table
    from workbench.sweep.kernels import load_kernel

    check_evidence(evidence)
    if engine is not None:
        _explain_engine(engine, kernel, problem, tokens, device, folder, triton, as_json)
        return
    tunable = load_kernel(kernel)
    tuned.refresh()
    explanation = tuned.explain(
        tunable, _parse_problem(problem, tunable), tokens, _slug(device), evidence=evidence
    )
    if as_json:
        print_json(lookup_record(explanation))
    else:
        for table in lookup_tables(explanation, tunable.of(explanation.problem).default_config):
            print_table(table)
    for file in explanation.files:
        if file.state == "damaged":
            raise InputError(f"damaged: {file.reason}", file=file.path)


def _explain_engine(
    engine: str,
    kernel: str,
    problem: str,
    tokens: int,
    device: str | None,
    folder: Path | None,
    triton: str | None,
    as_json: bool,
) -> None:
    from workbench.base.errors import InputError
    from workbench.cli.arguments import parse_axes
    from workbench.integrations.engine_lookup import Surroundings, look_up
    from workbench.integrations.engine_winners import KERNEL
    from workbench.integrations.engines import PROBLEM_AXES, find_engine
    from workbench.report.engine_lookup import engine_record, engine_tables
    from workbench.report.table import print_json, print_table

    target = find_engine(engine, "--engine")
    if kernel != KERNEL:
        raise InputError(f"{target.title} reads tables for {KERNEL} alone, got {kernel!r}", key="KERNEL")
    gpu, name = _gpu(device)
    axes = parse_axes(problem, PROBLEM_AXES)
    surroundings = Surroundings.at_hand(target, folder, triton)
    try:
        answer = look_up(target, axes, tokens, name, gpu, surroundings)
    except InputError as error:
        raise InputError(error.message, key="--problem") from None
    if as_json:
        print_json(engine_record(answer))
    else:
        for table in engine_tables(answer):
            print_table(table)
    for place in answer.places:
        if place.state == "breaks the engine":
            raise InputError(f"{target.title} cannot read it: {place.reason}", file=place.path)


def _gpu(device: str | None) -> tuple[Device | None, str]:
    """A GPU and its name as CUDA reports it; one in no catalogue has only a name."""
    from workbench.base.errors import InputError
    from workbench.devices import detect_device, find_device

    at_hand = detect_device()
    if device is None or (at_hand is not None and device == at_hand.slug):
        if at_hand is None:
            raise InputError(_NAME_ONE, key="--device")
        return at_hand, at_hand.device_name
    found = find_device(device)
    # An engine sees CUDA's own name, which one slug may share with another (every H200).
    return found, device if device.startswith("NVIDIA ") else found.device_name


def _slug(device: str | None) -> str:
    from moe_kernels.tuned import results_folders
    from workbench.base.errors import InputError
    from workbench.cli.arguments import filed_slug
    from workbench.devices import detect_device

    if device is not None:
        return filed_slug(device, [folder.path for folder in results_folders()])
    if (at_hand := detect_device()) is None:
        raise InputError(_NAME_ONE, key="--device")
    return at_hand.slug


def _parse_problem(text: str, kernel: TunableKernel) -> Problem:
    from workbench.base.errors import InputError
    from workbench.cli.arguments import parse_axes, spelled_axes

    axes = [axis for axis in kernel.axes if not axis.ladder]
    problem = parse_axes(text, axes, f"{kernel.name} has")
    if missing := [axis.name for axis in axes if not axis.of_dtypes and axis.name not in problem]:
        raise InputError(f"lacks {missing[0]}; {kernel.name} has {spelled_axes(axes)}", key="--problem")
    return problem
