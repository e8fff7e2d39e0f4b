"""A toy kernel with faults to choose from; run as a script, it prints what verify says of each as JSON."""

from __future__ import annotations

import json
import sys

import torch
import triton
import triton.language as tl

from moe_kernels.tunable import Axis, KernelLaunch, Parameter, Traffic, TunableKernel

FAULTS = ("none", "unwritten_float", "unwritten_int", "unwritten_nan", "last_row", "writes_input")
WIDTH = 4


@triton.jit
def double_rows(x_ptr, y_ptr, index_ptr, rows, WIDTH: tl.constexpr, FAULT: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, WIDTH)
    x = tl.load(x_ptr + row * WIDTH + lanes)
    doubled = x * 2.0
    if FAULT == "last_row":
        doubled = tl.where(row == rows - 1, x, doubled)
    keep = lanes >= 0
    if FAULT == "unwritten_float":
        keep = lanes > 0
    if FAULT == "unwritten_nan":
        keep = (lanes + row) > 0
    tl.store(y_ptr + row * WIDTH + lanes, doubled, mask=keep)
    if FAULT != "unwritten_int":
        tl.store(index_ptr + row, row)
    if FAULT == "writes_input":
        tl.store(x_ptr + row * WIDTH + lanes, -x)


def make_inputs(problem, device):
    x = torch.randn(problem["tokens"], WIDTH, device=device)
    x[0, 0] = float("nan")
    return {"x": x}


def make_outputs(problem, device):
    rows = problem["tokens"]
    index = torch.empty(rows, dtype=torch.int32, device=device)
    return {"y": torch.empty(rows, WIDTH, device=device), "index": index}


def launches(inputs, outputs, problem, config):
    rows = problem["tokens"]
    arguments = {"x_ptr": inputs["x"], "y_ptr": outputs["y"], "index_ptr": outputs["index"], "rows": rows}
    constexprs = {"WIDTH": WIDTH, "FAULT": config["fault"]}
    return [KernelLaunch(double_rows, (rows, 1, 1), arguments, constexprs, {"num_warps": 1})]


def reference(inputs, problem):
    index = torch.arange(problem["tokens"], dtype=torch.int32, device=inputs["x"].device)
    return {"y": inputs["x"] * 2.0, "index": index}


DOUBLE_ROWS = TunableKernel(
    name="double-rows",
    axes=(Axis("tokens", "T", ladder=True),),
    parameters=(Parameter("fault", "none", kind="categorical", choices=FAULTS),),
    kernels=(double_rows,),
    make_inputs=make_inputs,
    make_outputs=make_outputs,
    launches=launches,
    reference=reference,
    traffic=lambda problem: Traffic(problem["tokens"] * WIDTH * 4, problem["tokens"] * (WIDTH * 4 + 4), 0),
)


def verdicts(device):
    from workbench.sweep.stages.verify import verify

    problem = {"tokens": 3}
    return {
        fault: verify(DOUBLE_ROWS, problem, {"fault": fault}, seeds=(4, 5), device=device) for fault in FAULTS
    }


if __name__ == "__main__":
    print(json.dumps(verdicts(sys.argv[1])))
