"""What a device is in YAML: the keys, their units, and what values are possible."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Kib = Annotated[float, Field(gt=0, le=4096)]


def _written(pattern: str, rule: str) -> AfterValidator:
    """Refuses a string that does not match, and says the rule in words."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must be {rule}, got {value[:60]!r}")
        return value

    return AfterValidator(check)


# A name becomes a folder of results, so what could lead out of it is refused.
Name = Annotated[
    str,
    _written(
        r"[A-Za-z0-9][A-Za-z0-9 /._()+-]{0,99}",
        "the name that CUDA reports: letters, digits, spaces and /._()+-, a letter or digit first",
    ),
]
Alias = Annotated[str, _written(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,39}", "one word of letters, digits and ._+-")]
Arch = Annotated[str, _written(r"sm_[1-9][0-9]{1,2}", "an architecture, for example sm_89")]
Figure = Literal["sm_count", "clock_ghz", "l2_mib", "memory_gib", "bandwidth_gb_per_s"]

MIB, GIB = 1 << 20, 1 << 30


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Entry):
    """What one SM of an architecture holds; memory in KiB (1024 bytes)."""

    shared_kib_per_sm: Kib
    shared_kib_per_block: Kib
    registers_per_sm: int = Field(gt=0, le=1 << 20)
    max_warps_per_sm: int = Field(gt=0, le=1024)
    max_blocks_per_sm: int = Field(gt=0, le=1024)
    source: str = Field(min_length=1)

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
    """One GPU, in the catalogue or in a file of the user's own.

    `l2_mib` and `memory_gib` count in powers of 1024, `bandwidth_gb_per_s` in powers of 1000.
    `limits` is for an architecture that the catalogue does not have.
    """

    device_name: Name
    aliases: tuple[Alias, ...] = ()
    arch: Arch
    sm_count: int = Field(gt=0, le=4096)
    clock_ghz: float = Field(gt=0, le=10)
    l2_mib: float = Field(gt=0, le=16384)
    memory_gib: float = Field(gt=0, le=65536)
    bandwidth_gb_per_s: float = Field(gt=0, le=1_000_000)
    sources: Mapping[Figure, str] = {}
    limits: Limits | None = None

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
}
