"""What changed between two traces, as sentences, tables and a record for JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workbench.base.text import brief
from workbench.report.table import Column, Table
from workbench.report.trace_cells import count, kernel_name, percent, signed_us, spread, us
from workbench.timeline.diff import SCHEMA, ClassChange, Diff, KernelChange

# Below a thousandth of the step a class has not changed in a way worth a sentence.
WORTH_A_SENTENCE = 0.001
_BEYOND = {None: "?", True: "yes", False: "no"}


def diff_record(diff: Diff) -> Mapping[str, Any]:
    """The comparison for JSON: pairs are A and B, times in microseconds."""
    fields = dataclasses.asdict(diff)
    for change in fields["changes"]:
        change["class"] = change.pop("kernel_class")
    return {"schema": SCHEMA, **fields, "sentences": list(sentences(diff))}


def sentences(diff: Diff) -> Iterator[str]:
    """What changed, a sentence a class, the largest change first."""
    step = max(diff.step_us[0].median, 1e-9)
    for each in diff.classes:
        if abs(each.delta_us) >= WORTH_A_SENTENCE * step or each.launches[0] != each.launches[1]:
            times = f"{us(each.time_us[0].median)} us -> {us(each.time_us[1].median)} us a step"
            yield f"{each.name}: {_launches(each)}, {times}"


def diff_tables(diff: Diff, *, top: int = 20) -> tuple[Table, ...]:
    """The step, the classes and the kernels."""
    return step_table(diff), diff_classes_table(diff), changes_table(diff, top)


def step_table(diff: Diff) -> Table:
    """A step of A and of B."""
    return Table(
        title=f"{brief(diff.files[0], 120)} (A) → {brief(diff.files[1], 120)} (B)",
        columns=(
            Column("a step", style="bold"),
            Column("A", "right"),
            Column("B", "right"),
            Column("B - A", "right"),
        ),
        rows=(
            (
                "span, us",
                *map(spread, diff.step_us),
                signed_us(diff.step_us[1].median - diff.step_us[0].median),
            ),
            (
                "busy, us",
                *map(spread, diff.busy_us),
                signed_us(diff.busy_us[1].median - diff.busy_us[0].median),
            ),
            ("launches", *map(count, diff.kernels), f"{diff.kernels[1] - diff.kernels[0]:+,g}"),
            ("layers", *(str(each or "unknown") for each in diff.layers), ""),
        ),
        notes=(*_verdict(diff), *sentences(diff), *diff.notes),
    )


def _verdict(diff: Diff) -> Iterator[str]:
    if diff.throughput_gain is not None:
        beyond = {None: "one step a trace, no spread", True: "beyond the spread", False: "within the spread"}
        yield f"Steps per second: {diff.throughput_gain:+.1%} ({beyond[diff.beyond_spread]})."
    if not diff.reliable:
        yield "NOT RELIABLE: the figures of at least one trace are not complete; reasons below."


def diff_classes_table(diff: Diff) -> Table:
    """A step by class."""
    return Table(
        title="By class",
        columns=(
            Column("class", style="bold"),
            Column("kernels", "left"),
            Column("A, us a step", "right"),
            Column("B, us a step", "right"),
            Column("B - A", "right"),
            Column("of busy", "right"),
            Column("of span", "right"),
            Column("beyond spread"),
        ),
        rows=tuple(
            (
                each.name,
                _launches(each),
                *map(spread, each.time_us),
                signed_us(each.delta_us),
                " → ".join(map(percent, each.share_busy)),
                " → ".join(map(percent, each.share_span)),
                _BEYOND[each.beyond_spread],
            )
            for each in diff.classes
        ),
    )


def _launches(change: ClassChange | KernelChange) -> str:
    """How many kernels became how many: a layer where layers are known and run about whole numbers of them."""
    before, after = change.launches_per_layer
    if (
        before is not None
        and after is not None
        and _is_whole(before)
        and _is_whole(after)
        and before + after >= 0.9
    ):
        return f"{_kernels(round(before))} a layer -> {round(after)}"
    return f"{count(change.launches[0])} kernels a step -> {count(change.launches[1])}"


def _is_whole(value: float) -> bool:
    """A step also runs a few kernels before and after its layers."""
    return abs(value - round(value)) <= 0.1


def _kernels(number: int) -> str:
    return f"{number} kernel" if number == 1 else f"{number} kernels"


def changes_table(diff: Diff, top: int) -> Table:
    """By kernel: same, retuned, replaced, removed and added."""
    hidden = len(diff.changes) - top
    return Table(
        title="By kernel",
        columns=(
            Column("change", style="bold"),
            Column("class"),
            Column("kernels"),
            Column("A, us a step", "right"),
            Column("B, us a step", "right"),
            Column("B - A", "right"),
            Column("what"),
        ),
        rows=tuple(
            (
                each.change,
                each.kernel_class,
                _launches(each),
                us(each.time_us[0]),
                us(each.time_us[1]),
                signed_us(each.delta_us),
                _what(each),
            )
            for each in diff.changes[:top]
        ),
        notes=(f"{hidden:,} more changed less.",) if hidden > 0 else (),
    )


def _what(change: KernelChange) -> str:
    if change.change in {"same", "removed", "added"}:
        return kernel_name((*change.before, *change.after)[0])
    return f"{_several(change.before)} → {_several(change.after)}"


def _several(names: Sequence[str]) -> str:
    shown = " + ".join(kernel_name(name, 40) for name in names[:4])
    return shown if len(names) <= 4 else f"{shown} + {len(names) - 4} more"
