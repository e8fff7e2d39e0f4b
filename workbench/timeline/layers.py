"""How many layers a step has, and where each begins: from names of layers, else from what repeats."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from workbench.timeline.kernel_classes import CLASSES, KernelClass
from workbench.timeline.trace import Int

# A layer of a decoder holds one block of each of these, if any.
BLOCKS: tuple[KernelClass, ...] = ("attention", "routing", "experts", "kv_cache", "rope")
# These come in parts: sorting the slots is routing after a norm, and between the experts' products is an activation.
_IN_PARTS: tuple[KernelClass, ...] = ("routing", "experts")
_BETWEEN_PARTS: tuple[KernelClass, ...] = ("norm", "activation", "elementwise", "copy", "reduction")
# Layers differ in small things (sliding and global attention), so not every kernel must repeat.
ALIKE = 0.8
MOST_LAYERS = 1000
_NAMED = re.compile(r"(?:|.*?[^A-Za-z])layers?[._\[ #]{1,2}(\d{1,3})(?!\d)|.*(?:Layer|Block)_(\d{1,3})$")


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers of a step.

    Attributes:
        count: None where the trace does not tell.
        source: how the count was found, or why not.
        anchor: the class one block of which stands in every layer; None where layers cannot be told apart.
    """

    count: int | None
    source: str
    anchor: KernelClass | None = None


def find_layers(steps: Sequence[Int], modules: Iterable[str]) -> Layers:
    """Counts layers.

    Names of layers (`layers.7`, `DecoderLayer_7`) decide, if they are of one module, or of several of which one has as
    many as the sequence shows. Without them the count is how often a step holds a block of attention, routing, experts,
    kv_cache or rope, if the sequence of classes repeats, and all steps agree.

    Args:
        steps: the classes of each step's work in order of start, as indices into `CLASSES`.
        modules: names of annotations, ops and modules.
    """
    counted = Counter(_blocks_in(step) for step in steps if len(step))
    (count, anchor), times = counted.most_common(1)[0] if counted else ((None, None), 0)
    named = _named_layers(modules)
    repeated = count if times > len(steps) / 2 else None
    if len(named) == 1 or repeated in named:
        only = repeated if repeated in named else next(iter(named))
        return Layers(only, "names of layers in the trace", anchor if count == only else None)
    if named:
        told = ", ".join(map(str, sorted(named)))
        return Layers(
            None, f"the trace names layers of several modules ({told}), and no sequence tells which count"
        )
    if count is None or times <= len(steps) / 2:
        return Layers(None, "no sequence of kernels that repeats, and no names of layers")
    return Layers(count, f"the sequence of kernels repeats, one block of {anchor} a layer", anchor)


def layer_spans(classes: Int, anchor: KernelClass) -> tuple[tuple[int, int], ...]:
    """First position and the one after the last of each layer in a step's classes.

    Every layer holds one block of the anchor. Where a layer begins is where the way to the first anchor and the way to
    the second begin to agree, and the last one ends where it no longer goes like the one before.
    """
    joined = _joined(classes)
    starts = np.concatenate(([0], np.flatnonzero(np.diff(joined)) + 1))
    blocks = joined[starts].tolist()
    anchors = [at for at, block in enumerate(blocks) if block == CLASSES.index(anchor)]
    if len(anchors) < 2:
        return ()
    lead = _agreement(blocks[: anchors[0]][::-1], blocks[anchors[0] + 1 : anchors[1]][::-1])
    firsts = [at - lead for at in anchors]
    end = anchors[-1] + _agreement(blocks[anchors[-1] :], blocks[anchors[-2] : firsts[-1]])
    edges = [*starts.tolist(), len(classes)]
    return tuple((edges[first], edges[last]) for first, last in pairwise([*firsts, end]))


def _agreement(one: Sequence[int], other: Sequence[int]) -> int:
    """How many items two sequences begin with alike."""
    return next(
        (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _named_layers(modules: Iterable[str]) -> set[int]:
    """How many layers each module has whose layers are named; what stands before the number tells modules apart."""
    numbers: dict[str, set[int]] = defaultdict(set)
    for name in modules:
        if found := _NAMED.match(name):
            group = 1 if found[1] else 2
            numbers[name[: found.start(group)]].add(int(found[group]))
    # Numbers with holes are of something else, or of a part of the layers.
    return {len(each) for each in numbers.values() if len(each) == max(each) - min(each) + 1 > 1}


def _joined(classes: Int) -> Int:
    """The classes with what stands between the parts of a block counted to it, unless nothing tells blocks apart."""
    joined = classes.copy()
    for name in _IN_PARTS:
        number = CLASSES.index(name)
        parts = np.flatnonzero(classes == number)
        inside = np.isin(classes, [number, *map(CLASSES.index, _BETWEEN_PARTS)])
        block = np.cumsum(~inside)[parts]
        if len(np.unique(block)) < 2:
            continue
        for first, last in pairwise(np.flatnonzero(np.diff(block, prepend=-1, append=-1))):
            joined[parts[first] : parts[last - 1]] = number
    return joined


def _blocks_in(classes: Int) -> tuple[int | None, KernelClass | None]:
    joined = _joined(classes)
    blocks = joined[np.concatenate(([True], joined[1:] != joined[:-1]))]
    counts = {name: int((blocks == CLASSES.index(name)).sum()) for name in BLOCKS}
    counts = {name: count for name, count in counts.items() if 1 < count <= MOST_LAYERS}
    if not counts:
        return None, None
    agreed = Counter(counts.values())
    count = max(counts.values(), key=lambda each: agreed[each])
    anchor = next(name for name, each in counts.items() if each == count)
    return (count, anchor) if _repeats(blocks, CLASSES.index(anchor)) else (None, None)


def _repeats(blocks: Int, anchor: int) -> bool:
    """Whether what follows one block of the anchor mostly follows all of them, or every n-th up to 8."""
    starts = np.flatnonzero(blocks == anchor)
    layers = [tuple(blocks[first:last]) for first, last in pairwise(starts)]
    if len(layers) < 2:
        return len(starts) == 2
    for distance in range(1, min(8, len(layers) - 1) + 1):
        pairs = zip(layers, layers[distance:], strict=False)
        if np.mean([a == b for a, b in pairs]) >= ALIKE:
            return True
    return False
