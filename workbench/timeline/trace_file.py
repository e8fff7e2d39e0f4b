"""A trace file -> columns: GPU work, what launched it, annotations, and what is odd in them."""

from __future__ import annotations

import gc
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from workbench.base.errors import InputError
from workbench.timeline.columns import clock_of, codes, ids, nanoseconds, text, texts
from workbench.timeline.decode import Decoded, Details, RawEvent, decode, is_coarse
from workbench.timeline.devices import device_labels, device_names
from workbench.timeline.flaws import DAY_NS, Oddities, find_flaws, outlasting
from workbench.timeline.launches import find_launches, find_ops, graph_launches, kernel_launches
from workbench.timeline.ranks import Ranks, find_ranks, within_ranks
from workbench.timeline.trace import CPU_OP, KERNEL, MEMCPY, MEMSET, Annotation, Basis, Int, Trace, Work
from workbench.timeline.unpack import read_unpacked

# Categories as Kineto has written them over the years, in lower case.
KINDS: Mapping[str, int] = {
    "kernel": KERNEL,
    "gpu_memcpy": MEMCPY,
    "memcpy": MEMCPY,
    "gpu_memset": MEMSET,
    "memset": MEMSET,
}
LAUNCHES = ("cuda_runtime", "cuda_driver", "runtime", "driver", "hip_runtime", "hip_driver")
OPS = ("cpu_op", "operator")
GRAPH_LAUNCH = re.compile("GraphLaunch")
KERNEL_LAUNCH = re.compile("Launch(Cooperative)?Kernel|ModuleLaunch")
ANNOTATIONS = ("user_annotation", "gpu_user_annotation")
MODULES = (*ANNOTATIONS, *OPS, "python_function")

# A few events on another clock are set aside; several captures in one file are not.
NEARLY_ALL = 0.9

Groups = Mapping[str, list[RawEvent]]
_NO_ARGS = Details()


def read_trace(path: Path, *, cpu: bool = False) -> Trace:
    """Reads any torch.profiler trace.

    Args:
        path: a `.json` or `.json.gz`.
        cpu: take the CPU ops as the work, of a trace that was captured without a GPU.

    Raises:
        InputError: the file cannot be read, is no trace, or holds no work of the wanted kind.
    """
    basis: Basis = "cpu" if cpu else "gpu"
    with _no_garbage_collection():
        source = read_unpacked(path)
        decoded = decode(source, path)
        groups = _by_category(decoded.events)
        if any(is_coarse(event.ts) for event in _work_events(groups, basis)):
            decoded = decode(source, path, exact=True)
            groups = _by_category(decoded.events)
        del source
        return _trace(decoded, groups, path, basis)


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


def _by_category(events: Iterable[RawEvent]) -> Groups:
    groups: dict[str, list[RawEvent]] = defaultdict(list)
    for event in events:
        if event.ph == "X" and type(event.cat) is str:
            groups[event.cat].append(event)
    folded: dict[str, list[RawEvent]] = defaultdict(list)
    for category, members in groups.items():
        folded[category.lower()] += members
    return folded


def _of(groups: Groups, categories: Iterable[str]) -> list[RawEvent]:
    return [event for category in categories for event in groups.get(category, ())]


def _work_events(groups: Groups, basis: Basis) -> list[RawEvent]:
    return _of(groups, KINDS if basis == "gpu" else OPS)


@dataclass(frozen=True, slots=True)
class _Timed:
    """The events of the work that have a valid time and duration, in order of start.

    Attributes:
        starts: ns since `origin`.
        lengths: ns, as in the file.
        origin: the profiler's time of the first, ns.
        left_out: events without a valid time.
        far: events that lie over a day from all others; they are left out.
    """

    events: list[RawEvent]
    args: list[Details]
    starts: Int
    lengths: Int
    origin: int
    left_out: int
    far: int


@dataclass(frozen=True, slots=True)
class _Calls:
    """Calls of the runtime that launch work: process, correlation id within its rank, start in ns, name."""

    events: list[RawEvent]
    correlation: Int
    start: Int

    def named(self, pattern: re.Pattern[str]) -> Int:
        """The correlation ids of those with such names."""
        which = [at for at, event in enumerate(self.events) if pattern.search(str(event.name))]
        return self.correlation[which]


@dataclass(frozen=True, slots=True)
class _Labels:
    """What the numbers in columns stand for; devices as process and number, streams with their device."""

    names: Sequence[str]
    ops: Sequence[str]
    devices: Sequence[tuple[str, int]]
    streams: Sequence[tuple[int, str]]


def _trace(decoded: Decoded, groups: Groups, path: Path, basis: Basis) -> Trace:
    timed = _timed(groups, basis, path, decoded.damage)
    calls, ranks = _ranked_calls(groups, timed)
    of_work = _ranks_of(timed.events, ranks.of_work)
    correlation = within_ranks(ids([each.correlation for each in timed.args]), of_work)
    work, labels = _work(timed, correlation, calls, groups, ranks, basis)
    graph = within_ranks(ids([each.graph_id for each in timed.args]), of_work)
    odd = find_flaws(
        work, timed.lengths, Oddities(timed.left_out, timed.far, outlasting(work, correlation)), basis
    )
    return Trace(
        file=str(path),
        basis=basis,
        work=work,
        names=tuple(labels.names),
        ops=tuple(labels.ops),
        devices=device_labels(labels.devices),
        streams=tuple(label for _, label in labels.streams),
        device_names=device_names(decoded.device_properties, labels.devices),
        annotations=_annotations(groups, timed.origin, ranks),
        modules=frozenset(name for event in _of(groups, MODULES) if type(name := event.name) is str),
        graphs=graph_launches(calls.named(GRAPH_LAUNCH), correlation, graph),
        kernel_launches=kernel_launches(calls.named(KERNEL_LAUNCH), correlation),
        raw=timed.events,
        damage=decoded.damage,
        flaws=odd.flaws,
        notes=odd.notes,
    )


def _timed(groups: Groups, basis: Basis, path: Path, damage: Sequence[str]) -> _Timed:
    found = _work_events(groups, basis)
    if not found:
        raise InputError("; ".join((_no_work(basis, groups), *damage)), file=path)
    clock = clock_of([event.ts for event in found])
    events, starts, lengths = _in_order(found, clock)
    if not events:
        raise InputError("no event of its work has a valid time and duration", file=path)
    left_out = len(found) - len(events)
    near = _near(starts)
    far = len(starts) - (near.stop - near.start)
    events, starts, lengths = events[near], starts[near], lengths[near]
    if basis == "cpu":
        events, starts, lengths = _leaves(events, starts, lengths)
    args = [event.args or _NO_ARGS for event in events]
    return _Timed(events, args, starts - starts[0], lengths, clock + int(starts[0]), left_out, far)


def _near(starts: Int) -> slice:
    """The stretch of sorted times without a gap of over a day, where nearly all of them lie in one."""
    edges = [0, *(np.flatnonzero(np.diff(starts) > DAY_NS) + 1).tolist(), len(starts)]
    first, last = max(pairwise(edges), key=lambda edge: edge[1] - edge[0])
    return slice(first, last) if last - first >= NEARLY_ALL * len(starts) else slice(0, len(starts))


def _ranked_calls(groups: Groups, timed: _Timed) -> tuple[_Calls, Ranks]:
    """The calls that launch, and the rank of each process."""
    events = [event for event in _of(groups, LAUNCHES) if event.args]
    starts, valid = nanoseconds([event.ts for event in events], timed.origin)
    numbers = ids([event.args.correlation for event in events if event.args])
    keep = np.flatnonzero(valid & (numbers >= 0))
    events, starts, numbers = [events[at] for at in keep.tolist()], starts[keep], numbers[keep]
    ranks = find_ranks(
        texts(event.pid for event in timed.events),
        ids([each.correlation for each in timed.args]),
        timed.starts,
        texts(event.pid for event in events),
        numbers,
        starts,
    )
    return _Calls(events, within_ranks(numbers, _ranks_of(events, ranks.of_calls)), starts), ranks


def _ranks_of(events: Sequence[RawEvent], ranks: Mapping[str, int]) -> Int:
    if not ranks:
        return np.zeros(len(events), dtype=np.int64)
    return np.array([ranks.get(name, 0) for name in texts(event.pid for event in events)], dtype=np.int64)


def _work(
    timed: _Timed, correlation: Int, calls: _Calls, groups: Groups, ranks: Ranks, basis: Basis
) -> tuple[Work, _Labels]:
    name, names = codes(texts(event.name for event in timed.events))
    device, devices = codes(_devices(timed, basis))
    stream, streams = codes(zip(device.tolist(), _streams(timed), strict=True))
    if basis == "gpu":
        launched = find_launches(correlation, timed.starts, calls.correlation, calls.start)
        op, ops = _ops(groups, timed, launched, ranks)
    else:
        launched, op, ops = timed.starts, name, names
    work = Work(
        start=timed.starts,
        end=timed.starts + np.maximum(timed.lengths, 0),
        kind=_kinds(timed.events),
        name=name,
        device=device,
        stream=stream,
        launched=launched,
        op=op,
        rank=_ranks_of(timed.events, ranks.of_work),
        row=np.arange(len(timed.events), dtype=np.int64),
    )
    return work, _Labels(names, ops, devices, streams)


def _no_work(basis: Basis, groups: Groups) -> str:
    if basis == "cpu":
        return "holds no CPU ops (events of category cpu_op)"
    if not groups:
        return "holds no GPU events, nor any others that last (`ph` X): it is no trace, or an empty one"
    ops = len(_of(groups, OPS))
    hint = f"; it holds {ops:,} CPU ops, which --cpu takes instead" if ops else ""
    return f"holds no GPU events (category kernel, gpu_memcpy or gpu_memset){hint}"


def _in_order(events: Sequence[RawEvent], clock: int) -> tuple[list[RawEvent], Int, Int]:
    """The events that have a valid time and duration, sorted by start, with both in ns."""
    starts, has_start = nanoseconds([event.ts for event in events], clock)
    lengths, has_length = nanoseconds([event.dur for event in events])
    order = np.argsort(starts, kind="stable")
    order = order[(has_start & has_length)[order]]
    return [events[at] for at in order.tolist()], starts[order], lengths[order]


def _leaves(raw: Sequence[RawEvent], starts: Int, lengths: Int) -> tuple[list[RawEvent], Int, Int]:
    """The ops that call no other op: their times can be added up."""
    thread, _ = codes((str(event.pid), str(event.tid)) for event in raw)
    order = np.lexsort((-lengths, starts, thread))
    ends = starts[order] + lengths[order]
    is_last = np.concatenate((thread[order][1:] != thread[order][:-1], [True]))
    is_over = np.concatenate((starts[order][1:] >= ends[:-1], [True]))
    leaves = np.sort(order[is_last | is_over])
    return [raw[at] for at in leaves.tolist()], starts[leaves], lengths[leaves]


def _ops(groups: Groups, timed: _Timed, launched: Int, ranks: Ranks) -> tuple[Int, list[str]]:
    calls = [event for event in _of(groups, OPS) if event.args]
    starts, has_start = nanoseconds([event.ts for event in calls], timed.origin)
    lengths, has_length = nanoseconds([event.dur for event in calls])
    keys = ids([event.args.external_id for event in calls if event.args])
    keys[~(has_start & has_length)] = -1
    keys = within_ranks(keys, _ranks_of(calls, ranks.of_calls))
    external = within_ranks(
        ids([each.external_id for each in timed.args]), _ranks_of(timed.events, ranks.of_work)
    )
    op = find_ops(external, launched, keys, starts, starts + lengths)
    used, position = np.unique(op[op >= 0], return_inverse=True)
    name, names = codes(texts(calls[at].name for at in used.tolist()))
    found = np.full_like(op, -1)
    found[op >= 0] = name[position]
    return found, names


def _devices(timed: _Timed, basis: Basis) -> list[tuple[str, int]]:
    """Numbers of devices are those of a process; files that were merged hold several processes."""
    if basis == "cpu":
        return [("cpu", -1)] * len(timed.events)
    numbers = ids([each.device for each in timed.args]).tolist()
    return list(zip(texts(event.pid for event in timed.events), numbers, strict=True))


def _streams(timed: _Timed) -> list[str]:
    pairs = zip(timed.events, timed.args, strict=True)
    return texts(event.tid if each.stream is None else each.stream for event, each in pairs)


def _kinds(raw: Sequence[RawEvent]) -> Int:
    category, categories = codes(event.cat for event in raw)
    return np.array([KINDS.get(each.lower(), CPU_OP) for each in categories], dtype=np.int64)[category]


def _is_on_gpu(event: RawEvent) -> bool:
    return str(event.cat).lower() == "gpu_user_annotation"


def _annotations(groups: Groups, origin: int, ranks: Ranks) -> tuple[Annotation, ...]:
    events = _of(groups, ANNOTATIONS)
    starts, has_start = nanoseconds([event.ts for event in events], origin)
    lengths, has_length = nanoseconds([event.dur for event in events])
    valid = has_start & has_length & (lengths >= 0)
    times = zip(starts, starts + lengths, strict=True)
    found = [
        Annotation(
            name=text(event.name),
            start=int(start),
            end=int(end),
            on_gpu=_is_on_gpu(event),
            lane=f"{event.pid}:{event.tid}",
            rank=(ranks.of_work if _is_on_gpu(event) else ranks.of_calls).get(text(event.pid), 0),
        )
        for event, (start, end), is_valid in zip(events, times, valid, strict=True)
        if is_valid
    ]
    return tuple(sorted(found, key=lambda each: (each.start, -each.end)))
