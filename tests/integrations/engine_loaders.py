"""The engines' own loaders, cut out of their wheels at test time: `$WORKBENCH_ENGINE_WHEELS` names a folder of them.

Only the functions that name, find and read tables are run, with stand-ins for what they ask the GPU and the server.
"""

from __future__ import annotations

import ast
import functools
import json
import logging
import os
import re
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

WHEELS = os.environ.get("WORKBENCH_ENGINE_WHEELS")
needs_wheels = pytest.mark.skipif(not WHEELS, reason="$WORKBENCH_ENGINE_WHEELS names no folder of wheels")

MODULES = {
    "vllm": "vllm/model_executor/layers/fused_moe/fused_moe.py",
    "sglang": "sglang/srt/layers/moe/moe_runner/triton_utils/fused_moe_triton_config.py",
}
FUNCTIONS = ("get_config_file_name", "get_moe_configs", "get_default_config", "try_get_optimal_moe_config")


def wheel(engine):
    found = sorted(Path(WHEELS).glob(f"{engine}-*.whl"))
    if not found:
        pytest.skip(f"no wheel of {engine} in $WORKBENCH_ENGINE_WHEELS")
    return found[-1]


def loader(engine, device_name, package, *, triton="3.6.0", shared_bytes=232448):
    """The engine's functions as if they ran on a GPU of that name, with their module in the folder `package`."""
    source = zipfile.ZipFile(wheel(engine)).read(MODULES[engine]).decode()
    wanted = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name in FUNCTIONS
    ]
    namespace = {**_shared(), **STAND_INS[engine](device_name, triton, shared_bytes)}
    namespace["__file__"] = str(package / "module.py")
    _without_imports(wanted)
    exec(compile(ast.Module(wanted, []), engine, "exec"), namespace)
    return SimpleNamespace(**{name: namespace[name] for name in FUNCTIONS})


def _without_imports(functions):
    """Leaves out what a function imports from its engine; the namespace has a stand-in."""
    for function in functions:
        function.body = [node for node in function.body if not isinstance(node, ast.ImportFrom)]


def _shared():
    logger = logging.getLogger("engines")
    logger.info_once = logger.warning_once = lambda *arguments, **options: None
    types = ("Any", "Dict", "List", "Optional", "Tuple")
    return {
        **dict.fromkeys(types, _Generic()),
        "functools": functools,
        "json": json,
        "os": os,
        "logger": logger,
        "torch": SimpleNamespace(dtype=Any),
        "get_config": lambda: None,
        "next_power_of_2": lambda value: 1 << (value - 1).bit_length(),
    }


class _Generic:
    def __getitem__(self, item):
        return object


def _vllm(device_name, triton, shared_bytes):
    def use_cuda(num_valid_tokens, group_size, num_experts, bit):
        return bit == 4 and group_size in (32, 64, 128) and num_valid_tokens / num_experts <= 6

    return {
        "get_device_name_as_file_name": lambda: re.sub(r"[\s/]+", "_", device_name),
        "current_platform": SimpleNamespace(is_rocm=lambda: False),
        "envs": SimpleNamespace(
            VLLM_BATCH_INVARIANT=False, VLLM_TUNED_CONFIG_FOLDER=os.environ.get("VLLM_TUNED_CONFIG_FOLDER")
        ),
        "should_moe_wna16_use_cuda": use_cuda,
    }


def _sglang(device_name, triton, shared_bytes):
    state = SimpleNamespace(deterministic=SimpleNamespace(enable_deterministic_inference=False))
    return {
        "get_device_name": lambda: device_name,
        "get_exec": lambda: state,
        "triton": SimpleNamespace(__version__=triton),
        "_is_hip": False,
        "_use_low_smem_fp8_default": lambda: shared_bytes < 128 * 1024,
    }


STAND_INS = {"vllm": _vllm, "sglang": _sglang}
