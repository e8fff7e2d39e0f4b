"""What a trace holds, in columns: GPU work with its streams and launches, and annotations."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from workbench.timeline.decode import RawEvent

Int: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]
Basis = Literal["gpu", "cpu"]

KERNEL, MEMCPY, MEMSET, CPU_OP = 0, 1, 2, 3
NO_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Work:
    """Kernels, copies and fills, sorted by start; all columns are int64 of one length.

    Attributes:
        start: ns since the trace's origin.
        end: ns; never before `start`.
        kind: KERNEL, MEMCPY, MEMSET (or CPU_OP in a trace without GPU).
        name: index into `Trace.names`.
        device: index into `Trace.devices`.
        stream: index into `Trace.streams`; a stream belongs to one device.
        launched: when the CPU launched it, ns since the origin; NO_TIME where the trace does not say.
        op: index into `Trace.ops` of the innermost CPU op that launched it; -1 where the trace does not say.
        rank: of the process that launched it; 0 in a trace of one process.
        row: index into `Trace.raw`.
    """

    start: Int
    end: Int
    kind: Int
    name: Int
    device: Int
    stream: Int
    launched: Int
    op: Int
    rank: Int
    row: Int

    def __len__(self) -> int:
        return len(self.start)

    def take(self, which: Mask | Int) -> Work:
        """The selected part, in the same order."""
        return Work(*(getattr(self, field.name)[which] for field in dataclasses.fields(self)))


@dataclass(frozen=True, slots=True)
class Annotation:
    """A named range.

    Attributes:
        start: ns since the trace's origin.
        end: ns.
        on_gpu: a range of GPU time (gpu_user_annotation), not of the launching thread.
        lane: process and thread, or device and stream: ranges of one lane nest.
        rank: of its process, as in `Work`.
    """

    name: str
    start: int
    end: int
    on_gpu: bool
    lane: str
    rank: int = 0


@dataclass(frozen=True, slots=True)
class GraphLaunches:
    """Launches of CUDA or HIP graphs, and how many of them show no kernels in the trace.

    Attributes:
        incomplete: of the others, those that show fewer kernels than other replays of the same graph.
    """

    count: int
    without_kernels: int
    incomplete: int = 0


@dataclass(frozen=True, slots=True)
class KernelLaunches:
    """Launches of single kernels, and how many of them show no kernel in the trace."""

    count: int
    without_kernels: int


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace that was read.

    Attributes:
        basis: `gpu`, or `cpu` where the work is CPU ops.
        names: of kernels.
        ops: names of CPU ops that launched work.
        devices: labels, `0` or `PROCESS:0` where devices of several processes share a number.
        device_names: names of the GPUs that worked, where the file has them.
        annotations: sorted by start.
        modules: names of annotations, CPU ops and Python functions: where layers are named.
        raw: the events behind `work`, for their details.
        damage: what of the file could not be read: its figures are of a part only.
        flaws: what is odd in the events that were read: its figures need care.
        notes: what is odd, and changes no figure by more than a reader would mind.
    """

    file: str
    basis: Basis
    work: Work
    names: tuple[str, ...]
    ops: tuple[str, ...]
    devices: tuple[str, ...]
    streams: tuple[str, ...]
    device_names: tuple[str, ...]
    annotations: tuple[Annotation, ...]
    modules: frozenset[str]
    graphs: GraphLaunches
    kernel_launches: KernelLaunches
    raw: Sequence[RawEvent]
    damage: tuple[str, ...] = ()
    flaws: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
