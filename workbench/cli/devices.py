"""`workbench devices`."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli.completion import device_names


def devices(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="One device: a slug, CUDA's name, an alias, or your own .yaml file.",
            show_default=False,
            autocompletion=device_names,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """The GPUs that a sweep can name, and the one at hand.

    For a GPU that is not in the catalogue, write a YAML file with these keys:

        device_name: NVIDIA RTX 6000 Ada Generation   # as CUDA reports it
        arch: sm_89
        sm_count: 142
        clock_ghz: 2.505
        l2_mib: 96
        memory_gib: 48
        bandwidth_gb_per_s: 960

    Examples:
        workbench devices
        workbench devices rtx5090
        workbench devices ./my-gpu.yaml --json
    """
    if name is None:
        _list(as_json)
    else:
        _show(name, as_json)


def _list(as_json: bool) -> None:
    from workbench.devices import catalogue, detect_device
    from workbench.report.devices import catalogue_table, device_record
    from workbench.report.table import print_json, print_table

    at_hand = detect_device()
    if not as_json:
        print_table(catalogue_table(catalogue(), at_hand))
        return
    others = [device_record(device) for device in catalogue() if not at_hand or device.slug != at_hand.slug]
    print_json([*([device_record(at_hand, at_hand=True)] if at_hand else []), *others])


def _show(name: str, as_json: bool) -> None:
    from workbench.devices import find_device
    from workbench.report.devices import device_record, device_table
    from workbench.report.table import print_json, print_table

    device = find_device(name)
    if as_json:
        print_json(device_record(device))
    else:
        print_table(device_table(device))
