"""Small recordings that tests make themselves."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path

PARAMETERS = {
    "block": [16, 32, 64, 128],
    "tile": [1, 2, 4],
    "unroll": [0, 1],
    "layout": ["row", "column"],
    "one": [3],
}


def milliseconds(config: dict) -> float | str:
    """A landscape with one valley, and a corner where nothing launches."""
    if config["block"] * config["tile"] > 256:
        return "RuntimeFailedConfig"
    far = abs(config["block"] - 64) / 64 + abs(config["tile"] - 2)
    return 1.0 + 0.5 * far + 0.05 * config["unroll"] + (0.1 if config["layout"] == "row" else 0.0)


def kernel_tuner(device: str = "NVIDIA RTX A4000", size=(4096, 4096), time=milliseconds, **changed) -> dict:
    """The top level of a Kernel Tuner cache file; `changed` replaces its keys, None removes them."""
    cache = {}
    for values in itertools.product(*PARAMETERS.values()):
        config = dict(zip(PARAMETERS, values, strict=True))
        cache[",".join(map(str, values))] = {**config, "time": time(config), "times": []}
    top = {
        "device_name": device,
        "kernel_name": "stencil",
        "problem_size": list(size),
        "tune_params_keys": list(PARAMETERS),
        "tune_params": PARAMETERS,
        "cache": cache,
        **changed,
    }
    return {key: value for key, value in top.items() if value is not None}


def write(path: Path, top: dict) -> Path:
    """Writes a recording, packed where its name says so."""
    content = json.dumps(top).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path
