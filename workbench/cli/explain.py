"""`workbench explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from moe_kernels.tunable import Axis, Problem, TunableKernel


def explain(
    kernel: Annotated[
        str, typer.Argument(metavar="KERNEL", help="A kernel, or package.module:NAME for one of your own.")
    ],
    problem: Annotated[
        str,
        typer.Option(metavar="K=V,...", help="Every axis but tokens, by its name or its short name."),
    ],
    tokens: Annotated[int, typer.Option(min=0, metavar="N", help="Tokens in the batch.")],
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="A slug, CUDA's name or an alias; else the GPU at hand.", show_default=False
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
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Which file and row a lookup takes, and why; a damaged file also ends in exit code 2.

    Examples:
        workbench explain routing --device b200 --problem num_experts=128,top_k=8,dtype=bf16 --tokens 8
        workbench explain routing --device b200 --problem E=128,K=8,dtype=bf16 --tokens 8 --evidence modelled
    """
    from moe_kernels import tuned
    from workbench.errors import InputError
    from workbench.report.lookup import lookup_record, lookup_tables
    from workbench.report.table import print_json, print_table
    from workbench.sweep.kernels import load_kernel

    _check_evidence(evidence)
    tunable = load_kernel(kernel)
    tuned.refresh()
    explanation = tuned.explain(
        tunable, _parse_problem(problem, tunable), tokens, _slug(device), evidence=evidence
    )
    if as_json:
        print_json(lookup_record(explanation))
    else:
        for table in lookup_tables(explanation, tunable.default_config):
            print_table(table)
    for file in explanation.files:
        if file.state == "damaged":
            raise InputError(f"damaged: {file.reason}", file=file.path)


def _check_evidence(evidence: str | None) -> None:
    from workbench.errors import InputError

    if evidence not in (None, "measured", "modelled"):
        raise InputError(f"must be measured or modelled, got {evidence!r}", key="--evidence")


def _slug(device: str | None) -> str:
    from moe_kernels.tuned import results_folders
    from workbench.devices import detect_device, find_device
    from workbench.errors import InputError

    if device is None:
        if (at_hand := detect_device()) is None:
            raise InputError(
                "there is no CUDA GPU at hand; name one (see `workbench devices`)", key="--device"
            )
        return at_hand.slug
    # A device of the user's own is in no catalogue, but its results are filed.
    filed = {path.name for folder in results_folders() for path in folder.path.glob("*/") if path.is_dir()}
    return device if device in filed else find_device(device).slug


def _parse_problem(text: str, kernel: TunableKernel) -> Problem:
    from workbench.errors import InputError

    axes = {name: axis for axis in kernel.axes if not axis.ladder for name in (axis.name, axis.short)}
    spelled = ", ".join(f"{axis.name} ({axis.short})" for axis in kernel.axes if not axis.ladder)
    problem: dict[str, int | str] = {}
    for item in filter(None, map(str.strip, text.split(","))):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals or name not in axes:
            raise InputError(f"{item!r} is no axis=value; {kernel.name} has {spelled}", key="--problem")
        axis = axes[name]
        if axis.name in problem:
            raise InputError(f"{axis.name} is given twice", key="--problem")
        problem[axis.name] = _parse_value(axis, value)
    if missing := [axis.name for axis in axes.values() if axis.name not in problem]:
        raise InputError(f"lacks {missing[0]}; {kernel.name} has {spelled}", key="--problem")
    return problem


def _parse_value(axis: Axis, value: str) -> int | str:
    from moe_kernels.tunable import DTYPES
    from workbench.errors import InputError

    if axis.kind == "dtype":
        if value not in DTYPES:
            raise InputError(
                f"{axis.name} must be one of {', '.join(DTYPES)}, got {value!r}", key="--problem"
            )
        return value
    if not (value.isascii() and value.isdecimal() and len(value) < 19 and int(value) > 0):
        raise InputError(f"{axis.name} must be a positive integer, got {value!r}", key="--problem")
    return int(value)
