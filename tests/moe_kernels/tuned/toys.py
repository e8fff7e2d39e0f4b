"""A toy kernel with its rows; jit functions need a file of their own to read their source from."""

from __future__ import annotations

import triton
import triton.language as tl

from moe_kernels.tunable import Axis, Parameter, Traffic, TunableKernel
from moe_kernels.tuned import Row, Run, TunedFile, serialise, source_hash
from tests.moe_kernels.tuned import toy_constants, toy_helpers

DEVICE = "NVIDIA_TOY"
PROBLEM = {"width": 64, "dtype": "bf16"}
RUN_ID = "0123456789abcdef"
TRITON = triton.__version__


@triton.jit
def add_offset(value):
    return value + toy_constants.OFFSET


@triton.jit
def toy_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    """Says what it does, at length."""
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + offsets, mask=offsets < n)  # reads
    total = tl.sum(toy_helpers.weigh(add_offset(value)) * toy_constants.SCALE)
    tl.store(y_ptr + offsets, total, mask=offsets < n)


def reject(problem, config):
    return "block is wider than tokens" if config["block"] > 4 * problem["tokens"] else None


TOY = TunableKernel(
    name="toy",
    axes=(Axis("width", "W"), Axis("dtype", "dtype", kind="dtype"), Axis("tokens", "T", ladder=True)),
    parameters=(Parameter("block", 4), Parameter("algorithm", "plain", kind="categorical")),
    kernels=(toy_kernel,),
    make_inputs=lambda problem, device: {},
    make_outputs=lambda problem, device: {},
    launches=lambda inputs, outputs, problem, config: (),
    reference=lambda inputs, problem: {},
    traffic=lambda problem: Traffic(1, 1, 1),
    reject=reject,
)


def a_run(**changes):
    fields = {"source_hash": source_hash(TOY.kernels), "versions": {"triton": TRITON}, "date": "2026-01-01"}
    return Run(**{**fields, **changes})


def a_row(block=1, **changes):
    fields = {
        "run": RUN_ID,
        "config": {"block": block, "algorithm": "plain"},
        "evidence": "measured",
        "time_us": 2.0,
        "ci_us": (1.9, 2.1),
        "default_time_us": 3.0,
    }
    return Row(**{**fields, **changes})


def a_file(rows=None, **changes):
    fields = {
        "kernel": "toy",
        "device": DEVICE,
        "device_name": "NVIDIA TOY",
        "arch": "sm_90",
        "problem": PROBLEM,
        "runs": {RUN_ID: a_run()},
        "rows": rows if rows is not None else {8: a_row()},
    }
    return TunedFile(**{**fields, **changes})


def path_in(folder, device=DEVICE):
    return folder / device / "toy" / "W=64,dtype=bf16.json"


def write(folder, file, device=DEVICE):
    path = path_in(folder, device)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = file if isinstance(file, bytes) else serialise(file).encode()
    path.write_bytes(text)
    return path
