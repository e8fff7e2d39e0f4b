"""What a serving engine's tuned table is: the name of its file, where it lies, and what stands in for it."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import ClassVar

from moe_kernels.tunable import Problem
from workbench.base.errors import InputError
from workbench.base.text import brief
from workbench.devices.device import Device

Config = dict[str, int]

AXES = ("num_experts", "top_k", "hidden_size", "intermediate_size", "dtype")

# The six keys that both engines pass to their Triton kernel.
CONFIG_KEYS = (
    "BLOCK_SIZE_M",
    "BLOCK_SIZE_N",
    "BLOCK_SIZE_K",
    "GROUP_SIZE_M",
    "num_warps",
    "num_stages",
)
# What Triton takes where a row names neither (CUDAOptions).
TRITON_DEFAULTS: Mapping[str, int] = MappingProxyType({"num_warps": 4, "num_stages": 3})
# Launch options of Triton's AMD and Intel back ends, which its NVIDIA back end does not take.
FOREIGN_GPU_KEYS = frozenset({"waves_per_eu", "matrix_instr_nonkdim", "kpack", "grf_mode"})

# The token counts of both engines' tuners (benchmark_moe.py; tuning_fused_moe_triton.py).
LADDER = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024, 1536, 2048, 3072, 4096)
MAX_BATCH = 32768
# A launch takes no greater integers.
MAX_VALUE = 2**31 - 1

_NAME = re.compile(
    r"E=(?P<experts>[0-9]{1,9}),N=(?P<size>[0-9]{1,9}),device_name=(?P<device>[^,]*?)"
    r"(?:,dtype=(?P<dtype>[^,\[\]]+?))?(?:,block_shape=\[(?P<n>[0-9]{1,9}), ?(?P<k>[0-9]{1,9})\])?"
    r"(?P<channel>,per_channel_quant=True)?(?:,backend=(?P<backend>\w+))?(?P<down>_down)?\.json"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableName:
    """What the name of an engine's table says.

    Attributes:
        num_experts: E, the experts of one rank.
        size: N, the last dimension of the second weight as the engine stores it.
        device: the device in the engine's spelling.
        dtype: the engine's word, empty for bf16 and fp16.
        block_shape: of block-wise quantisation.
        per_channel: whether weights have a scale a channel (SGLang).
        backend: of tables that another kernel than Triton's reads.
        down: whether it is for the second GEMM alone (SGLang).
    """

    num_experts: int
    size: int
    device: str
    dtype: str = ""
    block_shape: tuple[int, int] | None = None
    per_channel: bool = False
    backend: str = ""
    down: bool = False

    @classmethod
    def parse(cls, name: str) -> TableName | None:
        """Reads a file name in either engine's spelling; None where it is neither's."""
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        return cls(
            num_experts=int(found["experts"]),
            size=int(found["size"]),
            device=found["device"],
            dtype=found["dtype"] or "",
            block_shape=(int(found["n"]), int(found["k"])) if found["n"] else None,
            per_channel=bool(found["channel"]),
            backend=found["backend"] or "",
            down=bool(found["down"]),
        )


class Engine(ABC):
    """One serving engine.

    Attributes:
        name: on the command line.
        title: for people.
        version: the release whose loader this was read from.
        variable: the environment variable that names a folder of tables.
        package: where its tables lie in the installed package.
        dtypes: its words for dtypes in file names, by ours; the empty word is left out of a name.
        known_dtypes: every dtype word that its loader can ask for.
        config_keys: the keys that a row may hold.
        top_keys: keys beside the rows that its loader drops; any other one breaks it.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    version: ClassVar[str]
    variable: ClassVar[str]
    package: ClassVar[PurePosixPath]
    dtypes: ClassVar[Mapping[str, str]] = {
        "bf16": "",
        "fp16": "",
        "fp32": "float32",
        "fp8_w8a8": "fp8_w8a8",
        "int4_w4a16": "int4_w4a16",
    }
    known_dtypes: ClassVar[frozenset[str]]
    config_keys: ClassVar[frozenset[str]]
    top_keys: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def spell_device(self, device_name: str) -> str:
        """The device in file names, from the name that CUDA reports."""

    @abstractmethod
    def size_of(self, problem: Problem) -> int:
        """N in file names."""

    @abstractmethod
    def intermediate_size(self, name: TableName) -> int:
        """The inverse of `size_of`."""

    @abstractmethod
    def file_name(self, name: TableName) -> str:
        """The file that the loader looks for."""

    @abstractmethod
    def folder(self, triton: str) -> PurePosixPath:
        """Where a file tuned with a Triton version lies below the folder that a user points the engine to."""

    @abstractmethod
    def default_config(self, problem: Problem, tokens: int, device: Device | None) -> Config:
        """What the engine runs with where it finds no table: its heuristic, in our own words.

        Args:
            problem: the problem.
            tokens: in the batch.
            device: the GPU; None where it has the usual shared memory or none is known.
        """

    def names(self, name: TableName) -> tuple[TableName, ...]:
        """Every name under which the engine may ask for the rows of one problem."""
        return (name,)

    def row(self, problem: Problem, config: Config) -> Config:
        """A tuned config as a row of this engine's table."""
        return config

    def table_name(self, problem: Problem, device_name: str) -> TableName:
        """What the engine looks for on a device.

        Args:
            problem: the axes of `AXES`, and `group_size` for group- or block-wise quantised weights.
            device_name: as CUDA reports it.

        Raises:
            InputError: the engine has no tables for such a problem or no file name for such a device.
        """
        if missing := [axis for axis in AXES if axis not in problem]:
            raise InputError(
                f"lacks {missing[0]}; {self.title}'s tables need {', '.join(AXES)}", key="problem"
            )
        for axis in (*AXES[:-1], *problem.keys() & {"group_size"}):
            if type(problem[axis]) is not int:
                raise InputError(
                    f"must be an integer, got {brief(repr(problem[axis]), 60)}", key=f"problem.{axis}"
                )
        dtype = str(problem["dtype"])
        if dtype not in self.dtypes:
            allowed = ", ".join(self.dtypes)
            what = f"{self.title} reads no table for dtype {brief(repr(dtype), 60)}; it does for {allowed}"
            raise InputError(what)
        return TableName(
            num_experts=int(problem["num_experts"]),
            size=self.size_of(problem),
            device=self.spell_device(device_name),
            dtype=self.dtypes[dtype],
            block_shape=block_shape(problem),
        )

    def axes_of(self, name: TableName) -> dict[str, int | str] | None:
        """The axes of a problem that a file name decides; None where no problem of ours has such a table.

        Neither the hidden size nor the number of experts a token is in a name. A name without a dtype serves bf16
        and fp16; it is read as bf16.
        """
        ours = next((dtype for dtype, word in self.dtypes.items() if word == name.dtype), None)
        if ours is None or name.backend:
            return None
        axes = {"num_experts": name.num_experts, "intermediate_size": self.intermediate_size(name)}
        group = {} if name.block_shape is None else {"group_size": name.block_shape[0]}
        square = name.block_shape is None or name.block_shape[0] == name.block_shape[1]
        return {**axes, "dtype": ours, **group} if square else None


def block_shape(problem: Problem) -> tuple[int, int] | None:
    """The block shape in a file name: of FP8 weights with square blocks; four-bit groups are in no name."""
    if problem["dtype"] != "fp8_w8a8" or "group_size" not in problem:
        return None
    return int(problem["group_size"]), int(problem["group_size"])


def default_changes(engine: Engine, problem: Problem, device: Device) -> tuple[int, ...]:
    """The token counts after which the engine's default config is another one, up to `MAX_BATCH`."""
    changes, before = [], engine.default_config(problem, 1, device)
    for tokens in range(2, MAX_BATCH + 1):
        config = engine.default_config(problem, tokens, device)
        if config != before:
            changes.append(tokens - 1)
        before = config
    return tuple(changes)
