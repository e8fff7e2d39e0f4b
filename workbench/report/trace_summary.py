"""A trace's summary as tables, and as a record for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from workbench.base.text import brief
from workbench.report.table import Column, Table
from workbench.report.trace_cells import count, kernel_name, percent, spread, us, yes_no
from workbench.timeline.idle import Gaps
from workbench.timeline.own_names import own_name
from workbench.timeline.summary import ClassShare, KernelShare, Summary
from workbench.timeline.what_if import Forecast

CPU_NOTE = "These are CPU ops: their times are not GPU times."


def summary_tables(summary: Summary, what_if: Forecast | None = None, *, top: int = 20) -> tuple[Table, ...]:
    """The overview, classes, kernels, devices and forecast of a trace.

    Args:
        summary: of the trace.
        what_if: a forecast that was asked for.
        top: the most kernels listed.
    """
    tables = [overview_table(summary), classes_table(summary), kernels_table(summary, top)]
    if summary.devices:
        tables.append(devices_table(summary))
    if what_if:
        tables.append(forecast_table(what_if))
    return tuple(tables)


def of_arm(arm: str, table: Table) -> Table:
    """A table that stands beside those of other arms."""
    return replace(table, title=f"{arm}: {table.title[0].lower()}{table.title[1:]}")


def overview_table(summary: Summary) -> Table:
    """What the trace is, how busy, and whether to trust it."""
    return Table(
        title=brief(summary.file, 200),
        columns=(Column("item", style="bold"), Column("value")),
        rows=tuple(_overview(summary)),
        notes=(*((CPU_NOTE,) if summary.basis == "cpu" else ()), *summary.notes),
    )


def _overview(summary: Summary) -> Iterator[tuple[str, str]]:
    total, gaps, step = summary.total, summary.gaps, summary.per_step
    if summary.device_names:
        yield "GPU", brief(", ".join(summary.device_names), 100)
    yield "reliable", "yes" if summary.reliable else "NO"
    yield from (("", f"- {reason}") for reason in summary.reasons)
    yield "kernels", f"{total.kernel_count:,}"
    yield "span", f"{us(total.span_us)} us"
    yield "busy", f"{us(total.busy_us)} us, {percent(1 - gaps.idle_share)} of the span"
    yield "idle", f"{us(gaps.idle_us)} us in {gaps.count:,} gaps, the longest {us(gaps.longest_us)} us"
    if summary.basis == "gpu":
        yield "launch-bound", _launch_bound(gaps)
    yield "coverage", f"{percent(summary.coverage)} of the kernels' time is of a known class"
    if summary.graphs.count:
        yield (
            "graphs",
            f"{summary.graphs.count:,} launches, {summary.graphs.without_kernels:,} without kernels",
        )
    yield "steps", f"{step.count:,}, by {step.source}" if step.count > 1 else f"1: {step.source}"
    yield "a step", f"{spread(step.span_us)} us, of it busy {spread(step.busy_us)} us"
    if step.period_us:
        yield "step to step", f"{spread(step.period_us)} us"
    yield "layers", f"{summary.layers.count or 'unknown'}: {summary.layers.source}"


def _launch_bound(gaps: Gaps) -> str:
    if gaps.launch_bound is None:
        return "unknown: the trace does not say when the work was launched"
    return f"{yes_no(gaps.launch_bound)}; {us(gaps.waiting_us)} us idle for want of launches"


def classes_table(summary: Summary) -> Table:
    """Where a step's time goes, by class."""
    return Table(
        title="A step by class"
        + (", median of the steps (least - most)" if summary.per_step.count > 1 else ""),
        columns=(
            Column("class", style="bold"),
            Column("launches", "right"),
            Column("a layer", "right"),
            Column("us a step", "right"),
            Column("of busy", "right"),
            Column("of span", "right"),
        ),
        rows=tuple(
            (
                each.name,
                count(each.launches),
                count(each.launches_per_layer),
                spread(each.time_us),
                percent(each.share_busy),
                percent(each.share_span),
            )
            for each in summary.per_step.classes
        ),
    )


def kernels_table(summary: Summary, top: int) -> Table:
    """The kernels that take most time of a step."""
    hidden = len(summary.kernels) - top
    ordered = sorted(summary.kernels, key=lambda kernel: -kernel.step_us.median)
    return Table(
        title="A step by kernel" + (", median of the steps" if summary.per_step.count > 1 else ""),
        columns=(
            Column("class", style="bold"),
            Column("launches", "right"),
            Column("a layer", "right"),
            Column("us a step", "right"),
            Column("of busy", "right"),
            Column("of span", "right"),
            Column("kernel"),
        ),
        rows=tuple(_kernel_row(each) for each in ordered[:top]),
        notes=(f"{hidden:,} more take less; --top lists them.",) if hidden > 0 else (),
    )


def unsure_table(kernels: Sequence[KernelShare]) -> Table:
    """The kernels whose class something other than their own name tells."""
    return Table(
        title="Kernels whose class their own name does not tell",
        columns=(
            Column("class", style="bold"),
            Column("us a step", "right"),
            Column("of busy", "right"),
            Column("own name"),
            Column("kernel"),
        ),
        rows=tuple(
            (
                each.kernel_class,
                us(each.step_us.median),
                percent(each.step_share_busy or 0.0),
                brief(own_name(each.name), 40),
                kernel_name(each.name, 60),
            )
            for each in kernels
        ),
        notes=("--rules FILE takes rules of your own; docs/timelines.md has their form.",),
    )


def _kernel_row(kernel: KernelShare) -> tuple[str, ...]:
    return (
        kernel.kernel_class,
        count(kernel.launches_per_step),
        count(kernel.launches_per_layer),
        us(kernel.step_us.median),
        percent(kernel.step_share_busy or 0.0),
        percent(kernel.step_share_span or 0.0),
        kernel_name(kernel.name),
    )


def devices_table(summary: Summary) -> Table:
    """Each device of a trace of several."""
    return Table(
        title="By device",
        columns=(
            Column("device", style="bold"),
            Column("kernels", "right"),
            Column("busy us", "right"),
            Column("span us", "right"),
            Column("most time"),
        ),
        rows=tuple(
            (
                brief(each.name, 40),
                f"{each.kernel_count:,}",
                us(each.busy_us),
                us(each.span_us),
                _most(each.classes),
            )
            for each in summary.devices
        ),
    )


def _most(classes: Sequence[ClassShare]) -> str:
    return ", ".join(f"{each.name} {percent(each.share_busy)}" for each in classes[:3])


def forecast_table(what_if: Forecast) -> Table:
    """The step that would follow."""
    scaled = ", ".join(f"{name} at {factor:g}x" for name, factor in what_if.factors.items())
    return Table(
        title=f"What if: {scaled} (computed, not measured)",
        columns=(Column("item", style="bold"), Column("value", "right")),
        rows=(
            ("a step", f"{us(what_if.step_us)} us → {us(what_if.new_step_us)} us"),
            ("their share of it", f"{percent(what_if.share_before)} → {percent(what_if.share_after)}"),
            ("throughput", f"{what_if.throughput_gain:+.1%}"),
        ),
        notes=(what_if.note,) if what_if.note else (),
    )
