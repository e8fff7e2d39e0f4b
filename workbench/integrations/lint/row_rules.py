"""Rules about single rows: what a config may hold, and whether it can launch on its GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from moe_kernels.device_slug import device_slug
from workbench.devices import catalogue
from workbench.devices.device import Device
from workbench.integrations.engines import CONFIG_KEYS, MAX_VALUE
from workbench.integrations.engines.engine import FOREIGN_GPU_KEYS, TRITON_DEFAULTS
from workbench.integrations.lint.findings import CheckedTable, Finding, Severity
from workbench.ranking.legality import shared_bytes_of

MAX_WARPS = 32
# Bytes of an element of both operands, by the engines' words; where they differ the closed form says nothing.
ELEMENT_BYTES: Mapping[str, int] = {"": 2, "fp8_w8a8": 1, "int8_w8a8": 1}
_TILES = ("BLOCK_SIZE_M", "BLOCK_SIZE_N", "BLOCK_SIZE_K")
_REQUIRED = (*_TILES, "GROUP_SIZE_M")
_INT4, _FP8 = "int4_w4a16", "fp8_w8a8"


def _rows(table: CheckedTable) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, row in table.raw.content.items():
        if isinstance(row, dict):
            yield key, row


def _no_config(table: CheckedTable) -> Iterator[Finding]:
    dropped = {key for engine in table.engines for key in engine.top_keys}
    for key, row in table.raw.content.items():
        if not isinstance(row, dict) and key not in dropped:
            yield table.finding("error", "row", "must be an object with a config", key)


def _foreign_keys(table: CheckedTable) -> Iterator[Finding]:
    """A row goes into the launch as it is, so every key that the kernel does not have breaks it."""
    nvidia = table.name.device.startswith("NVIDIA")
    for key, row in _rows(table):
        for name in row:
            refusing = [engine.title for engine in table.engines if name not in engine.config_keys]
            if name in FOREIGN_GPU_KEYS and nvidia:
                refusing = ["Triton on an NVIDIA GPU"]
            if refusing:
                severity: Severity = "warning" if len(refusing) < len(table.engines) else "error"
                what = f"is no key of a config for {' and '.join(refusing)}: the launch fails"
                yield table.finding(severity, "foreign-key", what, f"{key}.{name}")


def _missing_keys(table: CheckedTable) -> Iterator[Finding]:
    for key, row in _rows(table):
        for name in _REQUIRED:
            completed = table.name.dtype == _INT4 and name in _TILES[1:]
            if name not in row and not completed:
                yield table.finding("error", "missing-key", "is missing: the launch fails", f"{key}.{name}")
        for name, value in TRITON_DEFAULTS.items():
            if name not in row:
                what = f"is missing: Triton takes {value}"
                yield table.finding("note", "missing-key", what, f"{key}.{name}")


def _values(table: CheckedTable) -> Iterator[Finding]:
    for key, row in _rows(table):
        for name in CONFIG_KEYS:
            if name in row and (reason := _why_wrong(name, row[name], _least_rows(table))):
                got = str(row[name])[:40]
                yield table.finding("error", "value", f"{reason}, got {got!r}", f"{key}.{name}")


def _least_rows(table: CheckedTable) -> int:
    """The smallest BLOCK_SIZE_M: of what a matrix instruction takes, and vLLM's CUDA kernel for four-bit weights."""
    if table.name.dtype == _INT4 and any(engine.name == "vllm" for engine in table.engines):
        return 1
    # Both engines swap the operands of small FP8 tiles, and the other side of a matrix instruction may be 8.
    return 8 if table.name.dtype == _FP8 else 16


def _why_wrong(name: str, value: Any, least_rows: int = 8) -> str | None:
    if type(value) is not int:
        return "must be an integer"
    if value < 1:
        return "must be positive"
    if value > MAX_VALUE:
        return f"must be at most {MAX_VALUE}"
    least = least_rows if name == "BLOCK_SIZE_M" else 16
    if name in _TILES and (value < least or value & (value - 1)):
        return f"must be a power of two from {least} on"
    if name == "num_warps" and (value > MAX_WARPS or value & (value - 1)):
        return f"must be a power of two up to {MAX_WARPS}"
    return None


def _shared_memory(table: CheckedTable) -> Iterator[Finding]:
    """Tiles that ask a block for more shared memory than the GPU gives it: Triton raises OutOfResources."""
    device = _devices().get(device_slug(table.name.device))
    element_bytes = ELEMENT_BYTES.get(table.name.dtype)
    if device is None or element_bytes is None:
        return
    for key, row in _rows(table):
        if any(_why_wrong(name, row.get(name)) for name in _TILES) or _why_wrong(
            "", row.get("num_stages", TRITON_DEFAULTS["num_stages"])
        ):
            continue
        needed = shared_bytes_of(_clamped(table, row), device.compute_capability, element_bytes)
        if needed > device.shared_bytes_per_block:
            what = f"needs {needed:,} bytes of shared memory a block, {device.slug} allows"
            yield table.finding("error", "cannot-launch", f"{what} {device.shared_bytes_per_block:,}", key)


def _clamped(table: CheckedTable, row: Mapping[str, Any]) -> dict[str, int]:
    """The config with BLOCK_SIZE_K cut to the quantisation's blocks, as vLLM cuts it."""
    block_k = min((row["BLOCK_SIZE_K"], *(table.name.block_shape or ())))
    return {**row, "BLOCK_SIZE_K": block_k}


@cache
def _devices() -> Mapping[str, Device]:
    return {device.slug: device for device in catalogue()}


ROW_RULES: tuple[Callable[[CheckedTable], Iterator[Finding]], ...] = (
    _no_config,
    _foreign_keys,
    _missing_keys,
    _values,
    _shared_memory,
)
