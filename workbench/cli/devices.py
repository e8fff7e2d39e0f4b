"""`workbench devices`."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli.completion import device_names
from workbench.cli.frame_files import CsvFile, ParquetFile, write_frame


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
    csv: CsvFile = None,
    parquet: ParquetFile = None,
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
        workbench devices --csv devices.csv
    """
    from workbench.devices import catalogue, detect_device, find_device
    from workbench.report.devices import catalogue_table, device_record, device_table, devices_frame
    from workbench.report.table import print_json, print_table

    if name is not None:
        device = find_device(name)
        write_frame(csv, parquet, lambda: devices_frame([device_record(device)]))
        if as_json:
            print_json(device_record(device))
        else:
            print_table(device_table(device))
        return
    at_hand = detect_device()
    others = [device_record(device) for device in catalogue() if not at_hand or device.slug != at_hand.slug]
    records = [*([device_record(at_hand, at_hand=True)] if at_hand else []), *others]
    write_frame(csv, parquet, lambda: devices_frame(records))
    if as_json:
        print_json(records)
    else:
        print_table(catalogue_table(catalogue(), at_hand))
