"""What a device is in YAML: the keys, their units, and what values are possible."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from workbench.devices.device import MEMORY_LATENCY_S

Kib = Annotated[float, Field(gt=0, le=4096)]


def _written(pattern: str, rule: str) -> tuple[AfterValidator, WithJsonSchema]:
    """Refuses a string that does not match, and says the rule in words."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must be {rule}, got {value[:60]!r}")
        return value

    return AfterValidator(check), WithJsonSchema({"type": "string", "pattern": f"^({pattern})$"})


# A name becomes a folder of results, so what could lead out of it is refused.
Name = Annotated[
    str,
    *_written(
        r"[A-Za-z0-9][A-Za-z0-9 /._()+-]{0,99}",
        "the name that CUDA reports: letters, digits, spaces and /._()+-, a letter or digit first",
    ),
]
Alias = Annotated[str, *_written(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,39}", "one word of letters, digits and ._+-")]
Arch = Annotated[str, *_written(r"sm_[1-9][0-9]{1,2}", "an architecture, for example sm_89")]
Figure = Literal["sm_count", "clock_ghz", "l2_mib", "memory_gib", "bandwidth_gb_per_s", "memory_latency_ns"]

MIB, GIB = 1 << 20, 1 << 30


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Entry):
    """What one SM of an architecture holds; memory in KiB (1024 bytes)."""

    shared_kib_per_sm: Kib = Field(description="Shared memory of an SM, KiB.")
    shared_kib_per_block: Kib = Field(description="The most shared memory of one block, KiB.")
    registers_per_sm: int = Field(gt=0, le=1 << 20, description="32-bit registers of an SM.")
    max_warps_per_sm: int = Field(gt=0, le=1024, description="The most warps that an SM holds at a time.")
    max_blocks_per_sm: int = Field(gt=0, le=1024, description="The most blocks that an SM holds at a time.")
    source: str = Field(min_length=1, description="Where these figures are from.")

    @field_validator("shared_kib_per_block")
    @classmethod
    def _block_fits_sm(cls, value: float, info: ValidationInfo) -> float:
        per_sm = info.data.get("shared_kib_per_sm", value)
        if value > per_sm:
            raise ValueError(f"one block cannot have {value:g} KiB of the SM's {per_sm:g} KiB")
        return value

    def fields(self) -> dict[str, Any]:
        """The fields of `Device` that these limits decide, memory in bytes."""
        return {
            "shared_bytes_per_sm": round(self.shared_kib_per_sm * 1024),
            "shared_bytes_per_block": round(self.shared_kib_per_block * 1024),
            "registers_per_sm": self.registers_per_sm,
            "max_warps_per_sm": self.max_warps_per_sm,
            "max_blocks_per_sm": self.max_blocks_per_sm,
        }


class DeviceEntry(_Entry):
    """One GPU, in the catalogue or in a file of the user's own."""

    device_name: Name = Field(description="The name that CUDA reports.")
    aliases: tuple[Alias, ...] = Field(default=(), description="Short names for the command line.")
    arch: Arch = Field(description="The architecture, for example sm_89.")
    sm_count: int = Field(gt=0, le=4096, description="Streaming multiprocessors.")
    clock_ghz: float = Field(gt=0, le=10, description="The SMs' boost clock, GHz.")
    l2_mib: float = Field(gt=0, le=16384, description="L2 cache, MiB (1024^2 bytes).")
    memory_gib: float = Field(gt=0, le=65536, description="Device memory, GiB (1024^3 bytes).")
    bandwidth_gb_per_s: float = Field(
        gt=0, le=1_000_000, description="Memory bandwidth, GB/s (1000^3 bytes)."
    )
    memory_latency_ns: float = Field(
        default=MEMORY_LATENCY_S * 1e9,
        gt=0,
        le=100_000,
        description="From a load's issue to its data where many are under way, ns.",
    )
    sources: Mapping[Figure, str] = Field(default={}, description="Where each figure is from.")
    limits: Limits | None = Field(
        default=None, description="What an SM holds, for an architecture that the catalogue does not have."
    )

    def fields(self) -> dict[str, Any]:
        """The fields of `Device` that this entry decides, in bytes and bytes per second."""
        return {
            "device_name": self.device_name,
            "aliases": self.aliases,
            "compute_capability": int(self.arch.removeprefix("sm_")),
            "sm_count": self.sm_count,
            "clock_ghz": self.clock_ghz,
            "l2_bytes": round(self.l2_mib * MIB),
            "memory_bytes": round(self.memory_gib * GIB),
            "bandwidth_bytes_per_s": self.bandwidth_gb_per_s * 1e9,
            "memory_latency_s": self.memory_latency_ns / 1e9,
        }


class CatalogueFile(_Entry):
    """The catalogue: limits by architecture, and the GPUs."""

    architectures: Mapping[Arch, Limits]
    devices: tuple[DeviceEntry, ...]


FIELD_OF_FIGURE: Mapping[Figure, str] = {
    "sm_count": "sm_count",
    "clock_ghz": "clock_ghz",
    "l2_mib": "l2_bytes",
    "memory_gib": "memory_bytes",
    "bandwidth_gb_per_s": "bandwidth_bytes_per_s",
    "memory_latency_ns": "memory_latency_s",
}
