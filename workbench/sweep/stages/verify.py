"""Checks a config against its kernel's reference before anything is timed.

A wrong kernel is often a fast one, so a config is run on several drawn inputs with poisoned outputs and may
be timed only if every output is right, every element is written and no input has changed. Works with CUDA
tensors, and with CPU tensors in Triton's interpreter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from moe_kernels.tunable import Config, Problem, Tensors, TunableKernel
from workbench.measure.inputs import draw_inputs


@dataclass(frozen=True, slots=True)
class Case:
    """What a config is verified on.

    Attributes:
        seed: that the inputs were drawn from.
        inputs: never written to; each run gets a copy.
        expected: what the reference makes of them.
    """

    seed: int
    inputs: Tensors
    expected: Tensors


def draw_case(kernel: TunableKernel, problem: Problem, seed: int, device: torch.device | str) -> Case:
    """Draws inputs and asks the reference: worth keeping, since it takes longer than running a config on them."""
    inputs = draw_inputs(kernel, problem, seed=seed, device=device)
    return Case(seed, inputs, kernel.reference(inputs, problem))


def verify(
    kernel: TunableKernel,
    problem: Problem,
    config: Config,
    *,
    seeds: Iterable[int] = range(3),
    device: torch.device | str = "cuda",
) -> str | None:
    """Runs `config` once on each seed's inputs and compares the outputs with the reference.

    Args:
        kernel: the kernel with its reference and its comparison.
        problem: the problem, every axis.
        config: the config; missing parameters are taken from the default.
        seeds: one run a seed. The outputs' poison alternates from run to run, so that an element that nobody
            writes is noticed even where the reference holds that very poison.
        device: a CUDA device, or `cpu` where Triton's interpreter is on.

    Returns:
        None where all is right, else the first problem as one line that names the seed.

    Raises:
        Exception: whatever compiling or launching raises; on CUDA a launch's late error is raised here too.
    """
    return verify_on(
        kernel, problem, config, (draw_case(kernel, problem, seed, device) for seed in seeds), device
    )


def verify_on(
    kernel: TunableKernel,
    problem: Problem,
    config: Config,
    cases: Iterable[Case],
    device: torch.device | str = "cuda",
) -> str | None:
    """As `verify`, on cases that were drawn before."""
    complete = kernel.complete(config)
    for run, case in enumerate(cases):
        if problem_found := _verify_once(
            kernel, problem, complete, case, torch.device(device), odd=bool(run % 2)
        ):
            return f"seed {case.seed}: {' '.join(problem_found.split())}"
    return None


def _verify_once(
    kernel: TunableKernel, problem: Problem, config: Config, case: Case, device: torch.device, *, odd: bool
) -> str | None:
    inputs = {name: tensor.clone() for name, tensor in case.inputs.items()}
    outputs = kernel.make_outputs(problem, device)
    for tensor in outputs.values():
        poison(tensor, odd=odd)
    for launch in kernel.launches(inputs, outputs, problem, config):
        launch.run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return _changed_input(inputs, case.inputs) or kernel.compare(outputs, case.expected, problem)


def poison(tensor: torch.Tensor, *, odd: bool = False) -> None:
    """Fills a tensor with a value that no kernel writes by chance: NaN, or the lowest integer (the highest,
    unsigned).

    Args:
        tensor: the tensor to fill.
        odd: another such value: the largest finite number, or the highest integer (one below it, unsigned).
    """
    tensor.fill_(_poison_value(tensor.dtype, odd=odd))


def _poison_value(dtype: torch.dtype, *, odd: bool) -> float | int | bool:
    if dtype is torch.bool:
        return odd
    if dtype.is_floating_point or dtype.is_complex:
        return torch.finfo(dtype).max if odd else float("nan")
    limits = torch.iinfo(dtype)
    if limits.min == 0:
        return limits.max - int(odd)
    return limits.max if odd else limits.min


def _changed_input(inputs: Tensors, untouched: Mapping[str, torch.Tensor]) -> str | None:
    for name, tensor in inputs.items():
        if not torch.equal(_bytes(tensor), _bytes(untouched[name])):
            return f"input {name!r} was modified by the kernel"
    return None


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor's bytes, so that NaN equals itself and -0 differs from +0."""
    return tensor.contiguous().reshape(-1).view(torch.uint8)
