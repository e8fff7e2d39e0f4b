"""`workbench export`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.completion import device_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from moe_kernels.tunable import Problem
    from workbench.devices.device import Device
    from workbench.integrations.engine_winners import ProblemWinners


def export(
    engine: Annotated[str, typer.Argument(metavar="vllm|sglang", help="Who will load the tables.")],
    device: Annotated[
        str,
        typer.Option(metavar="NAME", help="A slug, CUDA's name or an alias.", autocompletion=device_names),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where to write; what the engine's variable will name.")
    ],
    evidence: Annotated[
        str, typer.Option(metavar="measured|modelled", help="modelled also exports what was never timed.")
    ] = "measured",
    problem: Annotated[
        str | None,
        typer.Option(
            metavar="K=V,...",
            help="Only problems with these axes, for example H=2816,K=8.",
            show_default=False,
        ),
    ] = None,
    kernel: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Whose winners: experts, or the engine's own kernel (vllm_fused_moe)."
        ),
    ] = "experts",
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of results; otherwise those that a lookup reads.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Winners as the tables that an engine loads; token counts without one are pinned to the engine's default.

    Examples:
        workbench export vllm --device b200 --out ./tables && VLLM_TUNED_CONFIG_FOLDER=./tables vllm serve ...
        workbench export sglang --device h200 --out ./tables --problem H=2816
    """
    from workbench.integrations.engines import find_engine
    from workbench.integrations.export import make_tables, write_tables
    from workbench.integrations.raw_tables import find_package
    from workbench.report.engine_export import Export, export_record, export_tables
    from workbench.report.table import print_json, print_table

    target = find_engine(engine)
    winners = _winners(device, kernel, evidence, problem, results)
    gpu, package = _device(device, winners), find_package(target.name)
    exported = Export(
        engine=target,
        tables=make_tables(target, winners, gpu),
        winners=winners,
        device=gpu,
        out=out,
        source_hash=partial(_source_hash, kernel),
        shipped=package / target.package if package else None,
    )
    write_tables(target, exported.tables, winners[0].file.device_name, out)
    if as_json:
        print_json(export_record(exported))
        return
    for table in export_tables(exported):
        print_table(table)


def _source_hash(kernel: str, problem: Problem) -> str | None:
    from moe_kernels.registry import TUNABLES
    from moe_kernels.tuned import source_hash

    return source_hash(TUNABLES[kernel].of(problem).kernels) if kernel in TUNABLES else None


def _winners(
    device: str, kernel: str, evidence: str, problem: str | None, results: Path | None
) -> Sequence[ProblemWinners]:
    from workbench.base.errors import InputError
    from workbench.cli.arguments import check_evidence, filed_slug, parse_axes, results_paths
    from workbench.integrations.engine_winners import collect_winners, results_on_disk
    from workbench.integrations.engines import PROBLEM_AXES

    check_evidence(evidence)
    folders = results_paths(results)
    slug = filed_slug(device, folders)
    wanted = parse_axes(problem, PROBLEM_AXES) if problem else {}
    found = collect_winners(folders, slug, kernel, evidence)
    chosen = [each for each in found if wanted.items() <= each.file.problem.items()]
    if chosen:
        return chosen
    if found:
        raise InputError(
            f"no winners match; there are those of {'; '.join(each.path.stem for each in found)}",
            key="--problem",
        )
    there = ", ".join(f"{kernel} on {device}" for device, kernel in results_on_disk(folders)) or "none at all"
    hint = "; --evidence modelled admits modelled ones" if evidence == "measured" else ""
    what = f"there are no {evidence} winners of {kernel} that an engine can run for {slug}{hint}; results: {there}"
    raise InputError(what, key="--device")


def _device(name: str, winners: Sequence[ProblemWinners]) -> Device:
    """The GPU itself; one that is in no catalogue is described by its YAML file or by what is at hand."""
    from workbench.base.errors import InputError
    from workbench.devices import detect_device, find_device

    slug = winners[0].file.device
    if (at_hand := detect_device()) is not None and at_hand.slug == slug:
        return at_hand
    for each in (name, winners[0].file.device_name):
        try:
            return find_device(each)
        except InputError as error:
            problem = error
    raise InputError(problem.message, key="--device")
