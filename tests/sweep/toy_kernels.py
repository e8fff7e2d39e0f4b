"""Kernels of one's own for whole sweeps: one with faults to choose from, one that is hungry for shared memory."""

from __future__ import annotations

import os
import time

import torch
import triton
import triton.language as tl

from moe_kernels.dtypes import DTYPES
from moe_kernels.tunable import Axis, KernelLaunch, Parameter, Traffic, TunableKernel

FAULTS = ("none", "wrong", "raises", "hangs", "aborts_in_compile", "dies_in_interpreter")
TILE = 128


@triton.jit
def double_kernel(x_ptr, y_ptr, rows, WIDTH: tl.constexpr, BLOCK: tl.constexpr, FAULT: tl.constexpr):
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)[:, None]
    offsets = row * WIDTH + tl.arange(0, WIDTH)[None, :]
    x = tl.load(x_ptr + offsets, mask=row < rows, other=0.0)
    if FAULT == "wrong":
        x += 1.0
    if FAULT == "raises":
        tl.static_assert(False, "a fault of its own")
    if FAULT == "hangs":
        while rows > 0:
            x += 1.0
    tl.store(y_ptr + offsets, x * 2.0, mask=row < rows)


class AbortsInCompile(KernelLaunch):
    def compile(self):
        os.abort()


class DiesInInterpreter(KernelLaunch):
    def run(self):
        os.abort()


LAUNCHES = {"aborts_in_compile": AbortsInCompile, "dies_in_interpreter": DiesInInterpreter}


def _double_inputs(problem, device):
    return {"x": torch.randn(problem["tokens"], problem["width"], device=device)}


def _double_outputs(problem, device):
    return {"y": torch.empty(problem["tokens"], problem["width"], device=device)}


def _double_launches(inputs, outputs, problem, config):
    arguments = {"x_ptr": inputs["x"], "y_ptr": outputs["y"], "rows": problem["tokens"]}
    constexprs = {"WIDTH": problem["width"], "BLOCK": config["block"], "FAULT": config["fault"]}
    options = {"num_warps": config["num_warps"], "enable_fp_fusion": True}
    grid = (triton.cdiv(problem["tokens"], config["block"]), 1, 1)
    launch = LAUNCHES.get(config["fault"], KernelLaunch)
    return [launch(double_kernel, grid, arguments, constexprs, options)]


def _double_problem(problem, config):
    return {**problem, "tokens": config["block"] + problem["tokens"] % config["block"]}


def _doubling(name, *, default="none", **changes):
    fields = {
        "name": name,
        "axes": (Axis("width", "W"), Axis("tokens", "T", ladder=True)),
        "parameters": (
            Parameter("fault", default, kind="categorical", choices=FAULTS),
            Parameter("block", 1),
            Parameter("num_warps", 1),
        ),
        "kernels": (double_kernel,),
        "make_inputs": _double_inputs,
        "make_outputs": _double_outputs,
        "launches": _double_launches,
        "reference": lambda inputs, problem: {"y": inputs["x"] * 2.0},
        "traffic": lambda problem: Traffic(problem["tokens"] * 64, problem["tokens"] * 64, 0),
        "reject": lambda problem, config: "block=64 is too wide" if config["block"] == 64 else None,
        "interpreter_problem": _double_problem,
    }
    return TunableKernel(**{**fields, **changes})


def _slow_reference(inputs, problem):
    time.sleep(0.3)
    return {"y": inputs["x"] * 2.0}


DOUBLE = _doubling("double")
# Verifying takes long enough to be killed in the middle.
EXCHANGED = _doubling("double", exchanged={"num_warps": 1})
ROUTED = _doubling(
    "double", routed_inputs=lambda problem, device, distribution: _double_inputs(problem, device)
)
SLOW = _doubling("slow", reference=_slow_reference)
WRONG_DEFAULT = _doubling("wrong-default", default="wrong")


@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, rows, columns, depth, TILE: tl.constexpr, BLOCK_K: tl.constexpr, STAGES: tl.constexpr
):
    row = tl.program_id(0) * TILE + tl.arange(0, TILE)
    column = tl.program_id(1) * TILE + tl.arange(0, TILE)
    k = tl.arange(0, BLOCK_K)
    sums = tl.zeros((TILE, TILE), tl.float32)
    for start in tl.range(0, depth, BLOCK_K, num_stages=STAGES):
        a = tl.load(a_ptr + row[:, None] * depth + (start + k)[None, :], mask=row[:, None] < rows, other=0.0)
        b = tl.load(b_ptr + (start + k)[:, None] * columns + column[None, :])
        sums = tl.dot(a, b, sums)
    tl.store(c_ptr + row[:, None] * columns + column[None, :], sums, mask=row[:, None] < rows)


def _matmul_inputs(problem, device):
    dtype, size = DTYPES[problem["dtype"]], problem["size"]
    return {
        "a": torch.randn(problem["tokens"], size, device=device).to(dtype),
        "b": torch.randn(size, size, device=device).to(dtype),
    }


def _matmul_outputs(problem, device):
    return {"c": torch.empty(problem["tokens"], problem["size"], device=device)}


def _matmul_launches(inputs, outputs, problem, config):
    size = problem["size"]
    arguments = {
        "a_ptr": inputs["a"],
        "b_ptr": inputs["b"],
        "c_ptr": outputs["c"],
        "rows": problem["tokens"],
        "columns": size,
        "depth": size,
    }
    constexprs = {"TILE": TILE, "BLOCK_K": config["block_k"], "STAGES": config["num_stages"]}
    options = {"num_warps": 4, "enable_fp_fusion": True}
    grid = (triton.cdiv(problem["tokens"], TILE), size // TILE, 1)
    return [KernelLaunch(matmul_kernel, grid, arguments, constexprs, options)]


def _compare_sums(actual, expected, problem):
    close = torch.isclose(actual["c"], expected["c"], rtol=1e-2, atol=1e-2)
    return None if bool(close.all()) else f"c: {int((~close).sum())} sums differ"


def _multiplying(name, default_stages):
    return TunableKernel(
        name=name,
        axes=(Axis("size", "S"), Axis("dtype", "dtype", kind="dtype"), Axis("tokens", "T", ladder=True)),
        parameters=(Parameter("block_k", 64), Parameter("num_stages", default_stages)),
        kernels=(matmul_kernel,),
        make_inputs=_matmul_inputs,
        make_outputs=_matmul_outputs,
        launches=_matmul_launches,
        reference=lambda inputs, problem: {"c": inputs["a"].float() @ inputs["b"].float()},
        traffic=lambda problem: Traffic(problem["size"] ** 2 * 2, problem["tokens"] * problem["size"] * 4, 0),
        compare=_compare_sums,
        interpreter_problem=lambda problem, config: {**problem, "size": TILE},
    )


MATMUL = _multiplying("matmul", 2)
# A default that fits no GPU.
GREEDY_MATMUL = _multiplying("greedy-matmul", 8)
