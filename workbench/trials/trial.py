"""The rows that flow from stage to stage of a sweep; a config that fails stays a row with a status and a reason."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from moe_kernels.tunable import Config, Problem


class Status(StrEnum):
    """How a trial ended."""

    OK = "ok"
    PRUNED = "pruned"
    COMPILE_ERROR = "compile_error"
    OUT_OF_RESOURCES = "out_of_resources"
    WRONG_RESULT = "wrong_result"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    SKIPPED = "skipped"


class Stage(StrEnum):
    """The last stage that a trial reached, in the order of the flow."""

    SPACE = "space"
    COMPILE = "compile"
    SCREEN = "screen"
    VERIFY = "verify"
    MEASURE = "measure"


class Evidence(StrEnum):
    """How a time came about."""

    MEASURED = "measured"
    PROVISIONAL = "provisional"
    MODELLED = "modelled"
    REPLAYED = "replayed"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One config on one problem, both complete."""

    problem: Problem
    config: Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What the compiled machine code of one launch needs, read from the cubin and the PTX.

    Attributes:
        registers: 32-bit registers a thread.
        spill_bytes: local memory (stack) a thread.
        shared_bytes: static plus dynamic shared memory a block.
        num_warps: warps a block.
        instructions: PTX instructions that a thread executes, by class; None where the data decide how many.
        critical_cycles: latency of the PTX's longest dependence chain, cycles; None likewise.
        streamed_bytes: that a block loads from tensors in device memory, scales and other small ones left out; None
            where that is not known.
        in_flight_bytes: the most of them that a block's loads have under way together; None likewise.
        has_loops: whether the last four depend on the launch's arguments beside the code.
    """

    registers: int
    spill_bytes: int
    shared_bytes: int
    num_warps: int
    instructions: Mapping[str, int] | None
    critical_cycles: int | None
    streamed_bytes: int | None = None
    in_flight_bytes: int | None = None
    has_loops: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One config on one problem with what became of it; a line of `trials.jsonl`.

    Attributes:
        trial: hash of kernel source, problem, config and device.
        reason: why it ended so, where the status is not ok.
        time_us: microseconds a call, where there is one.
        ratio: time over the default's time, the median of paired rounds where measured.
        ratio_ci: interval of that ratio, where measured.
        ci_us: interval of the time, microseconds, where measured.
        resources: one entry a kernel launch, where it compiled.
        verified_on: the problem on which it was verified, where it was.
        in_flight_share: the bytes that its launches keep in flight, over what full bandwidth needs; where modelled.
    """

    trial: str
    problem: Problem
    config: Config
    stage: Stage
    status: Status
    reason: str | None = None
    time_us: float | None = None
    evidence: Evidence = Evidence.NONE
    ratio: float | None = None
    ratio_ci: tuple[float, float] | None = None
    ci_us: tuple[float, float] | None = None
    resources: tuple[Resources, ...] = ()
    verified_on: Problem | None = None
    in_flight_share: float | None = None


@dataclass(frozen=True, slots=True)
class Final:
    """The re-timing of a problem's finalists; a line of `finals.jsonl`.

    Attributes:
        trials: the finalists with their new times, the default among them where it is valid.
        noise_floor: share by which the baseline differed from itself.
    """

    trials: tuple[Trial, ...]
    noise_floor: float

    @property
    def name(self) -> str:
        """Names the finalists, whatever their times."""
        return final_name(self.trials)


def final_name(finalists: Iterable[Trial]) -> str:
    """The hash that names a set of finalists."""
    return digest(sorted(each.trial for each in finalists))


def digest(value: Any) -> str:
    """A short stable hash of anything that JSON can hold."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def trial_id(source_hash: str, candidate: Candidate, device: str, routing: Sequence[str] = ()) -> str:
    """The hash that names a trial: kernel source, problem, config, device, and the routing of timed inputs."""
    return digest([source_hash, dict(candidate.problem), dict(candidate.config), device, *routing])
