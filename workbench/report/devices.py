"""The catalogue of GPUs as tables and as records for JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from workbench.base.frames import Dtype, frame_of
from workbench.devices import Device
from workbench.report.table import Column, Table

if TYPE_CHECKING:
    from pandas import DataFrame

AT_HAND = "*"

# What `devices NAME` prints: heading, the field that its source is filed under, and the value with its unit.
FIGURES: tuple[tuple[str, str, Callable[[Device], str]], ...] = (
    ("SMs", "sm_count", lambda device: f"{device.sm_count}"),
    ("boost clock", "clock_ghz", lambda device: f"{device.clock_ghz:.3f} GHz"),
    ("shared memory per SM", "shared_bytes_per_sm", lambda device: _kib(device.shared_bytes_per_sm)),
    ("shared memory per block", "shared_bytes_per_block", lambda device: _kib(device.shared_bytes_per_block)),
    ("registers per SM", "registers_per_sm", lambda device: f"{device.registers_per_sm:,}"),
    ("resident warps per SM", "max_warps_per_sm", lambda device: f"{device.max_warps_per_sm}"),
    ("resident blocks per SM", "max_blocks_per_sm", lambda device: f"{device.max_blocks_per_sm}"),
    ("L2 cache", "l2_bytes", lambda device: f"{device.l2_bytes / 2**20:g} MiB"),
    ("memory", "memory_bytes", lambda device: f"{device.memory_bytes / 2**30:.4g} GiB"),
    ("bandwidth", "bandwidth_bytes_per_s", lambda device: f"{device.bandwidth_bytes_per_s / 1e9:,.0f} GB/s"),
    ("memory latency", "memory_latency_s", lambda device: f"{device.memory_latency_s * 1e9:.0f} ns"),
)


def catalogue_table(devices: Sequence[Device], at_hand: Device | None) -> Table:
    """The catalogue, a line for each GPU, with the GPU at hand marked, and added where it is not in there."""
    slug = at_hand.slug if at_hand else None
    rows = [*devices]
    if at_hand and slug not in {device.slug for device in devices}:
        rows.append(at_hand)
    return Table(
        title="GPUs that a sweep can name",
        columns=(
            Column("device", style="bold"),
            Column("alias"),
            Column("arch"),
            Column("SMs", "right"),
            Column("shared/block", "right"),
            Column("L2", "right"),
            Column("memory", "right"),
            Column("bandwidth", "right"),
        ),
        rows=tuple(_row(device, f" {AT_HAND}" if device.slug == slug else "") for device in rows),
        notes=(
            f"{AT_HAND} the GPU at hand: {at_hand.device_name}"
            if at_hand
            else "There is no CUDA GPU at hand.",
            "`workbench devices NAME` shows one in full, with the sources of its figures.",
        ),
    )


def device_table(device: Device) -> Table:
    """One GPU in full, a line for each figure, with its source."""
    sources = [device.sources.get(field, "unknown") for _, field, _ in FIGURES]
    shown = ["same" if source == before else source for before, source in pairwise(["", *sources])]
    aliases = f", {' or '.join(device.aliases)} for short" if device.aliases else ""
    return Table(
        title=f"{device.slug} ({device.arch}), {device.device_name!r} to CUDA{aliases}",
        columns=(Column("figure", style="bold"), Column("value", "right"), Column("source")),
        rows=tuple(
            (heading, value(device), source)
            for (heading, _, value), source in zip(FIGURES, shown, strict=True)
        ),
    )


def device_record(device: Device, *, at_hand: bool = False) -> Mapping[str, Any]:
    """One GPU for JSON: the fields of `Device`, its architecture, and whether it is the one at hand."""
    fields = {field.name: getattr(device, field.name) for field in dataclasses.fields(device)}
    return {"arch": device.arch, "at_hand": at_hand, **fields}


def devices_frame(records: Sequence[Mapping[str, Any]]) -> DataFrame:
    """A row a GPU: what `device_record` gives, without the sources; aliases are joined by spaces."""
    dtypes: Mapping[type, Dtype] = {
        str: "string",
        int: "Int64",
        float: "float64",
        bool: "boolean",
        tuple: "string",
    }
    plain = [{**record, "aliases": " ".join(record["aliases"])} for record in records]
    columns = {name: dtypes[type(value)] for name, value in records[0].items() if name != "sources"}
    return frame_of(plain, {name: (dtype, itemgetter(name)) for name, dtype in columns.items()})


def _row(device: Device, mark: str) -> tuple[str, ...]:
    return (
        f"{device.slug}{mark}",
        device.aliases[0] if device.aliases else "",
        device.arch,
        f"{device.sm_count}",
        f"{device.shared_bytes_per_block / 1024:g} KiB",
        f"{device.l2_bytes / 2**20:g} MiB",
        f"{device.memory_bytes / 2**30:.4g} GiB",
        f"{device.bandwidth_bytes_per_s / 1e9:,.0f} GB/s",
    )


def _kib(size: int) -> str:
    return f"{size / 1024:g} KiB"
