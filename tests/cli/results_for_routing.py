"""Results files of the routing kernel, as a sweep would leave them."""

from __future__ import annotations

from moe_kernels.registry import TUNABLES
from moe_kernels.tuned import Row, Run, TunedFile, serialise, source_hash

ROUTING = TUNABLES["routing"]
RUN_ID = "0123456789abcdef"
PROBLEM = {"num_experts": 128, "top_k": 8, "dtype": "bf16"}
DATE = "2026-01-01T12:00:00+00:00"


def path_in(folder, device="NVIDIA_B200"):
    return folder / device / "routing" / "E=128,K=8,dtype=bf16.json"


def write(folder, rows=None, *, device="NVIDIA_B200", hash_=None, kernel="routing"):
    run = Run(
        source_hash=hash_ or source_hash(ROUTING.kernels),
        versions={"torch": "2.13.0", "triton": "3.9.0"},
        date=DATE,
    )
    file = TunedFile(
        kernel=kernel,
        device=device,
        device_name=device.replace("_", " "),
        arch="sm_100",
        problem=PROBLEM,
        runs={RUN_ID: run},
        rows=rows or {8: a_row()},
    )
    path = folder / device / kernel / "E=128,K=8,dtype=bf16.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(serialise(file))
    return path


def a_row(**changes):
    fields = {
        "run": RUN_ID,
        "config": {**ROUTING.default_config, "num_warps": 4},
        "evidence": "measured",
        "time_us": 2.0,
        "ci_us": (1.9, 2.1),
        "default_time_us": 3.0,
        "measure": {"routing": "uniform"},
    }
    return Row(**{**fields, **changes})
