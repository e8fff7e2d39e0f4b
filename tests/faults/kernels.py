"""A kernel with configs that misbehave in every way that a config can, in the process that compiles or runs it."""

from __future__ import annotations

import os
import signal
import time

import triton
import triton.language as tl

from moe_kernels.tunable import KernelLaunch, Parameter
from tests.sweep.toy_kernels import _doubling, double_kernel

# What an earlier config did to this process; as a corrupted device context, it never passes.
CORRUPTED = []


class Sound(KernelLaunch):
    def run(self):
        if CORRUPTED:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        super().run()


class RaisesInCompile(KernelLaunch):
    def compile(self):
        raise RuntimeError("PassManager::run failed")


class Raises(Sound):
    def run(self):
        raise IndexError("a fault of its own")


class HangsInCompile(KernelLaunch):
    def compile(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(3600)


class Hangs(Sound):
    def run(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(3600)


class AbortsInCompile(KernelLaunch):
    def compile(self):
        os.abort()


class ExhaustsMemory(Sound):
    def run(self):
        held = []
        while True:
            held.append(b"x" * 2**26)


class Corrupts(Sound):
    def run(self):
        CORRUPTED.append(True)
        super().run()


class CorruptsQuietly(Sound):
    def run(self):
        super().run()
        CORRUPTED.append(True)


class IsKilled(Sound):
    def run(self):
        os.kill(os.getpid(), signal.SIGKILL)


@triton.jit
def harmful_kernel(
    x_ptr, y_ptr, rows, WIDTH: tl.constexpr, BLOCK: tl.constexpr, LOOPS: tl.constexpr, REACH: tl.constexpr
):
    offsets = tl.program_id(0) * BLOCK * WIDTH + tl.arange(0, BLOCK * WIDTH)
    x = tl.load(x_ptr + offsets, mask=offsets < rows * WIDTH, other=0.0)
    if LOOPS:
        # What it counts can be changed from outside, as far as the compiler knows: it never ends.
        while tl.load(x_ptr + offsets, mask=offsets < 0, other=0.0, volatile=True).sum() == 0.0:
            x += 1.0
    tl.store(y_ptr + offsets.to(tl.int64) + REACH, x * 2.0, mask=offsets < rows * WIDTH)


LAUNCHES = {
    "none": Sound,
    "raises_in_compile": RaisesInCompile,
    "raises": Raises,
    "hangs_in_compile": HangsInCompile,
    "hangs": Hangs,
    "aborts_in_compile": AbortsInCompile,
    "exhausts_memory": ExhaustsMemory,
    "corrupts": Corrupts,
    "corrupts_quietly": CorruptsQuietly,
    "is_killed": IsKilled,
}


# Faults of the GPU itself: a kernel that writes where nothing is, and one that loops for ever.
HARMFUL = {"none": (False, 0), "writes_out_of_bounds": (False, 2**40), "loops": (True, 0)}


def _harmful_launches(inputs, outputs, problem, config):
    arguments = {"x_ptr": inputs["x"], "y_ptr": outputs["y"], "rows": problem["tokens"]}
    loops, reach = HARMFUL[config["fault"]]
    constexprs = {"WIDTH": problem["width"], "BLOCK": config["block"], "LOOPS": loops, "REACH": reach}
    options = {"num_warps": config["num_warps"], "enable_fp_fusion": True}
    grid = (triton.cdiv(problem["tokens"], config["block"]), 1, 1)
    return [KernelLaunch(harmful_kernel, grid, arguments, constexprs, options)]


def _launches(inputs, outputs, problem, config):
    arguments = {"x_ptr": inputs["x"], "y_ptr": outputs["y"], "rows": problem["tokens"]}
    # Configs that differ in their fault only are not the same code; the kernel's own faults are left alone.
    constexprs = {"WIDTH": problem["width"], "BLOCK": config["block"], "FAULT": f"it {config['fault']}"}
    options = {"num_warps": config["num_warps"], "enable_fp_fusion": True}
    grid = (triton.cdiv(problem["tokens"], config["block"]), 1, 1)
    return [LAUNCHES[config["fault"]](double_kernel, grid, arguments, constexprs, options)]


FAULTY = _doubling(
    "faulty",
    parameters=(
        Parameter("fault", "none", kind="categorical", choices=tuple(LAUNCHES)),
        Parameter("block", 1),
        Parameter("num_warps", 1),
    ),
    launches=_launches,
)
HARMFUL_ON_GPU = _doubling(
    "harmful",
    parameters=(
        Parameter("fault", "none", kind="categorical", choices=tuple(HARMFUL)),
        Parameter("block", 1),
        Parameter("num_warps", 1),
    ),
    kernels=(harmful_kernel,),
    launches=_harmful_launches,
)
