"""A GPU as the cost model sees it: the catalogue's figures, and a few that are told per architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from workbench.base.errors import InputError
from workbench.base.validation import validate
from workbench.base.yaml import read_yaml
from workbench.devices import Device, catalogue
from workbench.devices.catalogue import listed_device
from workbench.devices.entries import Arch, DeviceEntry

BOARDS = Path(__file__).with_name("boards.yaml")
# Which constant of the cost model tells how well mma.sync fills an architecture's tensor cores.
MMA_OF_MAJOR = {9: 1, 10: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A GPU's figures, per microsecond or per cycle and SM as the names say.

    Attributes:
        name: the device's slug.
        compute_capability: major * 10 + minor.
        shared_bytes_per_block: the most that a block may ask for.
        l2_bytes_per_us: an estimate.
        bf16_flops_per_cycle: dense, of one SM.
        segment_gddr: 1.0 where the memory is GDDR or LPDDR, 0.0 where it is HBM.
        tensor_memory: 1.0 where accumulators live in tensor memory.
        mma: 0, or 1 on Hopper, or 2 on data-centre Blackwell, whose mma.sync is slower than their own MMAs.
    """

    name: str
    compute_capability: int
    sm_count: int
    clock_ghz: float
    l2_bytes: int
    shared_bytes_per_sm: int
    shared_bytes_per_block: int
    max_warps_per_sm: int
    max_blocks_per_sm: int
    dram_bytes_per_us: float
    l2_bytes_per_us: float
    bf16_flops_per_cycle: float
    segment_gddr: float
    tensor_memory: float
    mma: int

    @classmethod
    def of(cls, device: Device) -> Board:
        """The figures of a device of the catalogue or of the user's own.

        Raises:
            InputError: no architecture like the device's is known.
        """
        rates = _rates(device)
        flops = _file().bf16_flops_per_cycle.get(device.device_name, rates.bf16_flops_per_cycle)
        halved = device.device_name in _file().half_rate
        major = device.compute_capability // 10
        return cls(
            name=device.slug,
            compute_capability=device.compute_capability,
            sm_count=device.sm_count,
            clock_ghz=device.clock_ghz,
            l2_bytes=device.l2_bytes,
            shared_bytes_per_sm=device.shared_bytes_per_sm,
            shared_bytes_per_block=device.shared_bytes_per_block,
            max_warps_per_sm=device.max_warps_per_sm,
            max_blocks_per_sm=device.max_blocks_per_sm,
            dram_bytes_per_us=device.bandwidth_bytes_per_s / 1e6,
            l2_bytes_per_us=rates.l2_bytes_per_cycle * device.sm_count * device.clock_ghz * 1e3,
            bf16_flops_per_cycle=flops / 2 if halved else flops,
            segment_gddr=float(rates.memory == "gddr"),
            tensor_memory=float(major == 10),
            mma=MMA_OF_MAJOR.get(major, 0),
        )


@cache
def boards() -> Mapping[str, Board]:
    """Every board of the catalogue and of the tables, by slug."""
    devices = (*catalogue(), *(listed_device(entry, "public listings") for entry in _file().boards))
    return {device.slug: Board.of(device) for device in devices}


class _Rates(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    bf16_flops_per_cycle: float = Field(gt=0)
    l2_bytes_per_cycle: float = Field(gt=0)
    memory: Literal["hbm", "gddr"]


class _BoardsFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    architectures: Mapping[Arch, _Rates]
    half_rate: tuple[str, ...]
    bf16_flops_per_cycle: Mapping[str, float]
    boards: tuple[DeviceEntry, ...]


@cache
def _file() -> _BoardsFile:
    return validate(_BoardsFile, read_yaml(BOARDS))


def _rates(device: Device) -> _Rates:
    """The rates of an architecture, or of the nearest older one of the same major version or below."""
    known = {int(arch.removeprefix("sm_")): rates for arch, rates in _file().architectures.items()}
    older = [capability for capability in known if capability <= device.compute_capability]
    if not older:
        raise InputError(f"{device.arch} cannot be ranked; the oldest known is sm_{min(known)}", key="arch")
    return known[max(older)]
