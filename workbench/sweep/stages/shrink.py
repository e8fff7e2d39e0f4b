"""A small problem that stands for a large one in Triton's interpreter, which takes up to a second a program."""

from __future__ import annotations

from math import prod

from moe_kernels.tunable import Config, Problem, TunableKernel
from workbench.sweep.stages.compile import meta_launches
from workbench.trials.trial import Candidate

MAX_PROGRAMS = 8
# Tried from the largest on; a remainder by one of these is the remainder by every smaller power of two as well.
_BLOCKS = (4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1)


def interpreted_problem(kernel: TunableKernel, problem: Problem, config: Config) -> Problem:
    """The kernel's own small problem; where it declares none, the problem with a shorter ladder.

    The ladder keeps its remainder by every block up to the one that leaves at most 8 programs, so the last, partly
    filled blocks are as in the real problem. Where no length leaves so few, the shortest is taken.
    """
    if kernel.interpreter_problem is not None:
        return kernel.interpreter_problem(problem, config)
    ladder = kernel.ladder.name
    length = int(problem[ladder])
    lengths = dict.fromkeys(
        [length, *(block + length % block for block in _BLOCKS if block + length % block <= length)]
    )
    shrunk: Problem = problem
    for shorter in lengths:
        shrunk = {**problem, ladder: shorter}
        if _programs(kernel, Candidate(shrunk, config)) <= MAX_PROGRAMS:
            break
    return shrunk


def _programs(kernel: TunableKernel, candidate: Candidate) -> int:
    return max((prod(launch.grid) for launch in meta_launches(kernel, candidate)), default=0)
