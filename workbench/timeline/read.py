"""A trace file -> columns: GPU work, what launched it, annotations, and what is odd in them."""

from __future__ import annotations

import gc
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import InputError
from workbench.timeline.decode import Decoded, Details, RawEvent, decode
from workbench.timeline.flaws import find_flaws
from workbench.timeline.launches import find_launches, find_ops, graph_launches
from workbench.timeline.source import read_bytes
from workbench.timeline.trace import (
    CPU_OP,
    KERNEL,
    MEMCPY,
    MEMSET,
    Annotation,
    Basis,
    GraphLaunches,
    Int,
    Trace,
    Work,
)

# Categories as Kineto has written them over the years, in lower case.
KINDS: Mapping[str, int] = {
    "kernel": KERNEL,
    "gpu_memcpy": MEMCPY,
    "memcpy": MEMCPY,
    "gpu_memset": MEMSET,
    "memset": MEMSET,
}
LAUNCHES = frozenset({"cuda_runtime", "cuda_driver", "runtime", "driver", "hip_runtime", "hip_driver"})
OPS = frozenset({"cpu_op", "operator"})
ANNOTATIONS = frozenset({"user_annotation", "gpu_user_annotation"})
PYTHON = frozenset({"python_function"})

# Nothing that was traced together lies further apart (36 years in ns): such a time is damaged.
FARTHEST_NS = 1 << 60
NO_ARGS = Details()


def read_trace(path: Path, *, cpu: bool = False) -> Trace:
    """Reads any torch.profiler trace.

    Args:
        path: a `.json` or `.json.gz`.
        cpu: take the CPU ops as the work, of a trace that was captured without a GPU.

    Raises:
        InputError: the file cannot be read, is no trace, or holds no work of the wanted kind.
    """
    with _no_garbage_collection():
        return _trace(decode(read_bytes(path), path), path, "cpu" if cpu else "gpu")


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Hundreds of thousands of events would be traversed again and again while they are made."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _trace(decoded: Decoded, path: Path, basis: Basis) -> Trace:
    groups = _by_category(decoded.events)
    if basis == "gpu":
        found = [event for category in KINDS for event in groups.get(category, ())]
    else:
        found = _leaves([event for category in OPS for event in groups.get(category, ())])
    if not found:
        raise InputError(_no_work(basis, groups), file=path)
    return _Builder(groups, found, basis).trace(decoded, path)


def _by_category(events: Iterable[RawEvent]) -> dict[str, list[RawEvent]]:
    groups: dict[str, list[RawEvent]] = defaultdict(list)
    for event in events:
        if event.ph == "X" and event.cat.__class__ is str:
            groups[event.cat].append(event)
    folded: dict[str, list[RawEvent]] = defaultdict(list)
    for category, members in groups.items():
        folded[category.lower()] += members
    return folded


def _no_work(basis: Basis, groups: Mapping[str, Sequence[RawEvent]]) -> str:
    if basis == "cpu":
        return "holds no CPU ops (events of category cpu_op)"
    ops = sum(len(groups.get(category, ())) for category in OPS)
    hint = f"; it holds {ops:,} CPU ops, which --cpu takes instead" if ops else ""
    return f"holds no GPU events (category kernel, gpu_memcpy or gpu_memset){hint}"


def _leaves(ops: Sequence[RawEvent]) -> list[RawEvent]:
    """The ops that call no other op: their times can be added up."""
    timed = [(str(op.tid), start, -length, op) for op in ops if (start := nanoseconds(op.ts)) is not None
             if (length := nanoseconds(op.dur)) is not None]  # fmt: skip
    timed.sort(key=lambda each: each[:3])
    followers = [*timed[1:], None]
    return [
        op
        for (thread, start, length, op), after in zip(timed, followers, strict=True)
        if after is None or after[0] != thread or after[1] >= start - length
    ]


def nanoseconds(value: Any) -> int | None:
    """A time in microseconds, as JSON has it, in whole nanoseconds; None where it is no finite number."""
    kind = value.__class__
    if kind is float:
        return round(value * 1000) if math.isfinite(value) and abs(value) < 1e300 else None
    if kind is int:
        return int(value) * 1000
    if kind is Decimal and value.is_finite() and value.adjusted() < 300:
        return round(value * 1000)
    return None


def integer(value: Any, default: int = -1) -> int:
    """An id; `default` where it is none that fits 64 bits."""
    return value if value.__class__ is int and -(1 << 62) < value < 1 << 62 else default


class _Ids:
    """Numbers things as they come."""

    def __init__(self) -> None:
        self.of: dict[Any, int] = {}

    def __call__(self, key: Any) -> int:
        return self.of.setdefault(key, len(self.of))


class _Builder:
    """Puts the columns of one trace together on a clock that starts with its first work."""

    def __init__(
        self, groups: Mapping[str, list[RawEvent]], found: Sequence[RawEvent], basis: Basis
    ) -> None:
        self.groups, self.basis = groups, basis
        starts = [nanoseconds(event.ts) for event in found]
        known = sorted(start for start in starts if start is not None)
        middle = known[len(known) // 2] if known else 0
        timed = [
            (start, event)
            for start, event in zip(starts, found, strict=True)
            if start is not None and abs(start - middle) < FARTHEST_NS
        ]
        timed = [(start, event) for start, event in timed if _length(event) is not None]
        timed.sort(key=lambda each: each[0])
        self.without_time = len(found) - len(timed)
        self.raw = [event for _, event in timed]
        self.origin = timed[0][0] if timed else 0
        self.starts = np.array([start - self.origin for start, _ in timed], dtype=np.int64)
        self.names, self.devices, self.streams = _Ids(), _Ids(), _Ids()

    def trace(self, decoded: Decoded, path: Path) -> Trace:
        if not self.raw:
            raise InputError("none of its GPU events has a valid time and duration", file=path)
        lengths = self._column(lambda event: _length(event) or 0)
        work = self._work(lengths)
        annotations = tuple(self._annotations())
        ops = self._op_names
        return Trace(
            file=str(path),
            basis=self.basis,
            work=work,
            names=tuple(self.names.of),
            ops=ops,
            devices=_device_labels(self.devices.of),
            streams=tuple(str(stream) for _, stream in self.streams.of),
            device_names=_device_names(decoded.device_properties, self.devices.of),
            annotations=annotations,
            modules=self._modules(),
            graphs=self._graphs(),
            raw=self.raw,
            origin_ns=self.origin,
            damage=decoded.damage,
            flaws=find_flaws(work, lengths, self.without_time, self.basis),
        )

    def _work(self, lengths: Int) -> Work:
        correlations = self._column(lambda event: integer((event.args or NO_ARGS).correlation))
        self.correlations = correlations
        self.launches = self._launches()
        launched = find_launches(correlations, self.starts, *self.launches)
        return Work(
            start=self.starts,
            end=self.starts + np.maximum(lengths, 0),
            kind=self._column(lambda event: KINDS.get(event.cat.lower(), CPU_OP)),
            name=self._column(lambda event: self.names(text(event.name))),
            device=self._column(lambda event: self.devices(self._device(event))),
            stream=self._column(lambda event: self.streams((self._device(event), _stream(event)))),
            launched=launched if self.basis == "gpu" else self.starts,
            op=self._ops(launched),
            row=np.arange(len(self.raw), dtype=np.int64),
        )

    def _column(self, value: Any) -> Int:
        return np.fromiter((value(event) for event in self.raw), dtype=np.int64, count=len(self.raw))

    def _device(self, event: RawEvent) -> tuple[str, int]:
        """Numbers of devices are those of a process; files that were merged hold several processes."""
        if self.basis == "cpu":
            return ("cpu", 0)
        return (text(event.pid), integer((event.args or NO_ARGS).device))

    def _launches(self) -> tuple[Int, Int]:
        """Correlations and times of the calls that launch work."""
        found = []
        for category in LAUNCHES:
            for event in self.groups.get(category, ()):
                correlation = integer(event.args.correlation) if event.args else -1
                start = self._time(event.ts)
                if correlation >= 0 and start is not None:
                    found.append((correlation, start))
        columns = np.array(found, dtype=np.int64).reshape(-1, 2)
        return columns[:, 0], columns[:, 1]

    def _time(self, value: Any) -> int | None:
        time = nanoseconds(value)
        return None if time is None or abs(time - self.origin) >= FARTHEST_NS else time - self.origin

    def _ops(self, launched: Int) -> Int:
        self._op_names: tuple[str, ...] = ()
        if self.basis == "cpu":
            self._op_names = tuple(self.names.of)
            return self._column(lambda event: self.names(text(event.name)))
        calls: dict[int, tuple[int, int, str]] = {}
        for category in OPS:
            for event in self.groups.get(category, ()):
                start, length = self._time(event.ts), nanoseconds(event.dur)
                if event.args and start is not None and length is not None:
                    calls[integer(event.args.external_id)] = (start, start + length, text(event.name))
        external = [integer((event.args or NO_ARGS).external_id) for event in self.raw]
        ids, self._op_names = find_ops(external, launched, calls)
        return ids

    def _annotations(self) -> list[Annotation]:
        found = []
        for category in ANNOTATIONS:
            for event in self.groups.get(category, ()):
                start, length = self._time(event.ts), nanoseconds(event.dur)
                if start is None or length is None or not 0 <= length < FARTHEST_NS:
                    continue
                lane = f"{event.pid}:{event.tid}"
                on_gpu = category == "gpu_user_annotation"
                found.append(Annotation(text(event.name), start, start + length, on_gpu, lane))
        return sorted(found, key=lambda each: (each.start, -each.end))

    def _modules(self) -> frozenset[str]:
        categories = ANNOTATIONS | OPS | PYTHON
        names = (event.name for category in categories for event in self.groups.get(category, ()))
        return frozenset(name for name in names if name.__class__ is str)

    def _graphs(self) -> GraphLaunches:
        calls = (event for category in LAUNCHES for event in self.groups.get(category, ()))
        return graph_launches(
            [
                integer((event.args or NO_ARGS).correlation)
                for event in calls
                if "GraphLaunch" in text(event.name)
            ],
            self.correlations,
        )


def text(value: Any) -> str:
    """A name, whatever the file has there."""
    return value if value.__class__ is str else str(value)


def _length(event: RawEvent) -> int | None:
    length = nanoseconds(event.dur)
    return length if length is not None and abs(length) < FARTHEST_NS else None


def _stream(event: RawEvent) -> str:
    stream = (event.args or NO_ARGS).stream
    return text(event.tid if stream is None else stream)


def _device_labels(devices: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    pairs = list(devices)
    numbers = [number for _, number in pairs]
    return tuple(
        process if number < 0 else f"{number}" if numbers.count(number) == 1 else f"{process}:{number}"
        for process, number in pairs
    )


def _device_names(properties: Any, devices: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    known = {
        each.get("id"): each["name"]
        for each in (properties if isinstance(properties, list) else ())
        if isinstance(each, dict) and isinstance(each.get("name"), str) and isinstance(each.get("id"), int)
    }
    names = (known.get(number, "") for _, number in devices)
    return tuple(dict.fromkeys(name for name in names if name))
