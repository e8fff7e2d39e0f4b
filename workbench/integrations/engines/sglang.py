"""SGLang's tables: `fused_moe_triton_config.py` in `sglang/srt/layers/moe/moe_runner/triton_utils`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import PurePosixPath

from moe_kernels.tunable import Problem
from workbench.base.errors import InputError
from workbench.devices.device import Device
from workbench.integrations.engines.engine import (
    CONFIG_KEYS,
    FOREIGN_GPU_KEYS,
    TRITON_DEFAULTS,
    Config,
    Engine,
    TableName,
    block_shape,
)

# GPUs whose blocks get less shared memory than this take other tiles for FP8.
_LOW_SHARED_BYTES = 128 * 1024


class SGLang(Engine):
    """SGLang: a folder for each Triton version, `block_shape` with a space, a table of its own for the second GEMM."""

    name = "sglang"
    title = "SGLang"
    version = "0.5.23"
    variable = "SGLANG_MOE_CONFIG_DIR"
    package = PurePosixPath("srt/layers/moe/moe_runner/triton_utils/configs")
    known_dtypes = frozenset({"", "fp8_w8a8", "int8_w8a8", "int8_w8a16", "int4_w4a16", "float32"})
    config_keys = frozenset({*CONFIG_KEYS, "num_ctas", "USE_TMA", *FOREIGN_GPU_KEYS})

    def spell_device(self, device_name: str) -> str:
        """Spaces become `_`, and nothing else changes.

        Raises:
            InputError: the name holds what no file name can hold.
        """
        if "/" in device_name:
            raise InputError(f"{self.title} keeps the '/' of {device_name!r}, which no file name can hold")
        return device_name.replace(" ", "_")

    def size_of(self, problem: Problem) -> int:
        """The intermediate size; of four-bit weights the bytes that hold it, two elements in one."""
        size = int(problem["intermediate_size"])
        return size // 2 if problem["dtype"] == "int4_w4a16" else size

    def intermediate_size(self, name: TableName) -> int:
        """Twice N for four-bit weights."""
        return name.size * 2 if name.dtype == "int4_w4a16" else name.size

    def file_name(self, name: TableName) -> str:
        """The file name, `block_shape` as Python prints a list."""
        dtype = f",dtype={name.dtype}" if name.dtype else ""
        block = f",block_shape=[{name.block_shape[0]}, {name.block_shape[1]}]" if name.block_shape else ""
        channel = ",per_channel_quant=True" if name.per_channel else ""
        stem = f"E={name.num_experts},N={name.size},device_name={name.device}{dtype}{block}{channel}"
        return f"{stem}{'_down' if name.down else ''}.json"

    def names(self, name: TableName) -> tuple[TableName, ...]:
        """With a table for the second GEMM, and for FP8 without blocks also the name for a scale a channel.

        SGLang takes the first table for both GEMMs where there is no second, but says that it is missing.
        """
        scales = (False, True) if name.dtype == "fp8_w8a8" and name.block_shape is None else (False,)
        return tuple(
            replace(name, per_channel=channel, down=down) for channel in scales for down in (False, True)
        )

    def folder(self, triton: str) -> PurePosixPath:
        """`configs/triton_3_6_0`: the environment variable names what holds `configs`.

        Raises:
            InputError: the version does not begin with numbers; SGLang reads the folders' names as such.
        """
        version = re.match(r"\d+(\.\d+)*", triton, re.ASCII)
        if version is None:
            raise InputError(f"{triton[:40]!r} is no version of Triton; {self.title} files tables under it")
        return PurePosixPath("configs", f"triton_{version[0].replace('.', '_')}")

    def default_config(self, problem: Problem, tokens: int, device: Device | None) -> Config:
        """`get_default_config`, on CUDA."""
        few = tokens <= int(problem["num_experts"])
        if problem["dtype"] != "fp8_w8a8":
            return _tiles(16, 32, 64, 1) if few else _tiles(64, 64, 32, 8)
        if (block := block_shape(problem)) is not None:
            return _tiles(64, block[0], block[1], 32)
        if device is not None and device.shared_bytes_per_block < _LOW_SHARED_BYTES:
            return _tiles(32, 64, 256, 1, stages=4) if few else _tiles(64, 128, 256, 64, stages=2)
        return _tiles(64, 128, 128, 1, stages=4) if few else _tiles(128, 256, 128, 32, warps=8, stages=4)


def _tiles(
    block_m: int,
    block_n: int,
    block_k: int,
    group_m: int,
    *,
    warps: int = TRITON_DEFAULTS["num_warps"],
    stages: int = TRITON_DEFAULTS["num_stages"],
) -> Config:
    return dict(zip(CONFIG_KEYS, (block_m, block_n, block_k, group_m, warps, stages), strict=True))
