"""Capturing decode steps of several arms in one profile, interleaved, and taking it apart by arm."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from workbench.timeline.analysis import Analysis, analyse_file, with_layers
from workbench.timeline.annotate import annotate
from workbench.timeline.rules import load_rules
from workbench.timeline.spread import Spread, spread_of
from workbench.timeline.steps import Step, Steps
from workbench.timeline.trace import NO_TIME, Int, Work

STEP_NAME = "decode step"
_WAIT, _WARM_UP = 1, 2
# The first step of each block finds the caches as another arm left them.
_LEAD = 1
_NUMBER = re.compile(r"\d+")

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Runner:
    """How to run one arm.

    Attributes:
        step: one decode step; the same input each time.
        active: the context in which `step` runs the arm.
    """

    step: Callable[[], Any]
    active: Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class StepBlock:
    """Consecutive steps of one arm."""

    arm: str
    steps: int


def interleaved(arms: Sequence[str], rounds: int, steps: int) -> tuple[StepBlock, ...]:
    """Blocks in the order A B A B, so that a drift of clocks meets all arms alike."""
    return tuple(StepBlock(arm, steps) for _ in range(rounds) for arm in arms)


def time_arms(
    runners: Mapping[str, Runner], device: torch.device, *, rounds: int, steps: int, tell: Tell
) -> Mapping[str, Spread]:
    """Times steps without a profiler, on the host's clock from idle GPU to idle GPU.

    Returns:
        us a step by arm; the spread is over rounds.
    """
    times: dict[str, list[float]] = {name: [] for name in runners}
    for number, block in enumerate(interleaved(tuple(runners), rounds, steps)):
        tell(f"timing {block.arm}: round {number // len(runners) + 1} of {rounds}, {steps} steps")
        times[block.arm].append(_time_block(runners[block.arm], device, steps))
    return {name: spread_of(values) for name, values in times.items()}


def _time_block(runner: Runner, device: torch.device, steps: int) -> float:
    with runner.active():
        for _ in range(_LEAD):
            runner.step()
        synchronise(device)
        start = time.perf_counter_ns()
        for _ in range(steps):
            runner.step()
        synchronise(device)
        return (time.perf_counter_ns() - start) / steps / 1000


def capture_arms(
    runners: Mapping[str, Runner], device: torch.device, *, rounds: int, steps: int, tell: Tell
) -> Mapping[str, Analysis]:
    """Profiles all arms in one session and gives each its own steps.

    The time in which the other arms ran is cut out: an arm's rounds follow each other on its clock.

    Args:
        runners: by arm.
        device: where they run; without a GPU the CPU ops are captured.
        rounds: blocks of each arm.
        steps: of each block.
        tell: is told what happens.

    Raises:
        InputError: the profiler recorded no work.
    """
    blocks = interleaved(tuple(runners), rounds, steps)
    tell(f"profiling {', '.join(runners)}: {rounds} rounds of {steps} steps")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "capture.json"
        _profile(runners, device, blocks, file)
        tell("reading the profile")
        analysis = analyse_file(file, load_rules(), cpu=device.type != "cuda")
    steps_of = _steps_by_block(analysis, blocks)
    return {
        name: part_of(
            analysis, [each for block, each in zip(blocks, steps_of, strict=True) if block.arm == name], name
        )
        for name in runners
    }


def _profile(
    runners: Mapping[str, Runner], device: torch.device, blocks: Sequence[StepBlock], file: Path
) -> None:
    lengths = [_LEAD + block.steps for block in blocks]
    plan = torch.profiler.schedule(wait=_WAIT, warmup=_WARM_UP, active=sum(lengths), repeat=1)
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    lengths[0] += _WAIT + _WARM_UP
    with torch.profiler.profile(
        activities=activities,
        schedule=plan,
        on_trace_ready=lambda profile: profile.export_chrome_trace(str(file)),
    ) as profile:
        for block, length in zip(blocks, lengths, strict=True):
            _run_block(runners[block.arm], device, length, profile)


def _run_block(runner: Runner, device: torch.device, length: int, profile: torch.profiler.profile) -> None:
    with runner.active():
        for number in range(length):
            with annotate(STEP_NAME):
                runner.step()
            if number == length - 1:
                synchronise(device)
            profile.step()


def _steps_by_block(analysis: Analysis, blocks: Sequence[StepBlock]) -> Sequence[Sequence[Step]]:
    """The steps of each block, found by their number; without the one that leads the block."""
    numbered = {int(found[0]): step for step in analysis.steps.steps if (found := _NUMBER.search(step.name))}
    first, found_blocks = _WAIT + _WARM_UP, []
    for block in blocks:
        numbers = range(first + _LEAD, first + _LEAD + block.steps)
        found_blocks.append([numbered[number] for number in numbers if number in numbered])
        first = numbers.stop
    return found_blocks


def part_of(analysis: Analysis, blocks: Sequence[Sequence[Step]], name: str) -> Analysis:
    """Some blocks of steps as a trace of its own, one block right after the other.

    Args:
        analysis: of the whole.
        blocks: steps in order.
        name: of the part.
    """
    trace, works, owners, classes = analysis.trace, [], [], []
    steps = [step for block in blocks for step in block]
    numbers = {id(step): number for number, step in enumerate(steps)}
    end = None
    for block in filter(None, blocks):
        members = np.concatenate([step.members for step in block])
        owner = np.concatenate([np.full(len(step.members), numbers[id(step)]) for step in block])
        order = np.argsort(trace.work.start[members], kind="stable")
        work = trace.work.take(members[order])
        works.append(work if end is None else _moved(work, end - int(work.start[0])))
        owners.append(owner[order])
        classes.append(analysis.classes[members[order]])
        end = int(works[-1].end.max())
    return _assembled(analysis, works, np.concatenate(owners), np.concatenate(classes), steps, name)


def _moved(work: Work, by: int) -> Work:
    launched = np.where(work.launched == NO_TIME, NO_TIME, work.launched + by)
    return replace(work, start=work.start + by, end=work.end + by, launched=launched)


def _assembled(
    analysis: Analysis, works: Sequence[Work], owner: Int, classes: Int, steps: Sequence[Step], name: str
) -> Analysis:
    columns = {
        column: np.concatenate([getattr(work, column) for work in works])
        for column in (field.name for field in dataclasses.fields(Work))
    }
    trace = replace(analysis.trace, file=f"{name}.json.gz", work=Work(**columns))
    own = tuple(Step(step.name, np.flatnonzero(owner == number)) for number, step in enumerate(steps))
    return with_layers(trace, classes, Steps(own, analysis.steps.source))


def synchronise(device: torch.device) -> None:
    """Waits until the device is idle."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
