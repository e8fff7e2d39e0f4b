"""Split against fused: a step of each arm as lanes on one scale, and how much of it each class of kernels takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from workbench.base.errors import InputError
from workbench.dashboard import labels
from workbench.dashboard.blocks import (
    Block,
    Cell,
    Option,
    Panel,
    Selector,
    TableBlock,
    TableColumn,
    TableRow,
    Text,
)
from workbench.dashboard.definition import Definition, TimelinePanel
from workbench.dashboard.pictures import Timeline
from workbench.dashboard.sources import Damages, Results, SavedProfile
from workbench.report.trace_cells import count, percent, signed_us, spread, us
from workbench.timeline.analysis import Analysis, analyse_file, with_written_classes
from workbench.timeline.chrome import arm_of
from workbench.timeline.page import timeline_record, typical_step
from workbench.timeline.rules import load_rules
from workbench.timeline.spread import Spread
from workbench.timeline.summary import ClassPerStep, PerStep, summarise

# All timelines of a page together: a bar each, some 30 bytes of the page.
MOST_KERNELS = 24_000
MOST_PROFILES = 4
_EMPTY = "No profile here: `workbench profile --arms split,fused,tuned` captures one, `--profile DIR` names its folder."
_ARMS = (
    TableColumn("arm", "arm"),
    TableColumn("step", "us a step, without profiler", "number"),
    TableColumn("throughput", "throughput", "number"),
    TableColumn("kernels", "kernels a step", "number"),
    TableColumn("routing", "routing of busy", "number"),
    TableColumn("what", "what runs", sortable=False),
)


@dataclass(frozen=True, slots=True)
class StepShares:
    """One arm's shares of a step, and why they are not reliable where they are not."""

    arm: str
    per_step: PerStep
    reasons: tuple[str, ...]


def collect(results: Results, options: TimelinePanel, definition: Definition, damages: Damages) -> Panel:
    """A timeline and its tables, profile by profile.

    Raises:
        InputError: a trace that the definition names cannot be read.
    """
    title = options.title or "Split against fused"
    budget = _Budget(MOST_KERNELS)
    chosen = []
    if options.traces:
        chosen.append(_of_traces(options.traces, definition, budget))
    chosen += [_of_profile(each, results, budget, damages) for each in results.profiles[:MOST_PROFILES]]
    if not chosen:
        return Panel("timeline", title, _EMPTY, empty=True)
    more = len(results.profiles) - MOST_PROFILES
    notes = (f"{labels.count(more, 'older profile')} not shown.",) if more > 0 else ()
    findings = [_finding(each) for each in results.profiles[:1]] if not options.traces else []
    finding = findings[0] if findings else f"A step of {labels.listed(list(options.traces))}, on one scale."
    return Panel("timeline", title, finding, (Selector("timeline", "profile", tuple(chosen)),), notes)


class _Budget:
    """What is left of the kernels that a page draws."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, kernels: int) -> bool:
        if kernels > self._left:
            return False
        self._left -= kernels
        return True


def _finding(profile: SavedProfile) -> str:
    file = profile.file
    where = labels.listed([labels.plain(name, 60) for name in file.device_names]) or labels.plain(
        file.device, 40
    )
    if not file.passed:
        return f"A gate failed on {where}: no speed-up is shown. {labels.plain(' '.join(file.failures[:1]), 200)}"
    if not file.speedups:
        return f"A step of {labels.listed([labels.plain(arm, 40) for arm in file.arms])} on {where}."
    gain = file.speedups[0]
    within = "" if gain.beyond_spread else ", which is within the spread"
    routing = " and ".join(
        f"{percent(each.share_busy)} of {labels.plain(name, 40)}'s"
        for name, arm in list(file.arms.items())[:2]
        for each in arm.summary.per_step.classes
        if each.name == "routing"
    )
    told = f"; routing is {routing} busy time" if routing else ""
    more = "more" if gain.throughput_gain >= 0 else "fewer"
    arms = f"{labels.plain(gain.arm, 40)} decodes {abs(gain.throughput_gain):.1%} {more} steps a second than "
    not_gpu = "" if file.basis == "gpu" else " CPU ops, not GPU times."
    return f"{arms}{labels.plain(gain.reference, 40)} on {where}{within}{told}.{not_gpu}"


def _of_profile(profile: SavedProfile, results: Results, budget: _Budget, damages: Damages) -> Option:
    file = profile.file
    graph = "CUDA graphs" if file.graph else "eager"
    where = ", ".join(file.device_names) or file.device
    label = f"{profile.folder.name}: {file.model}, {file.depth}, batch {file.batch}, {graph}, {where}"
    shares = [
        StepShares(labels.plain(name, 60), arm.summary.per_step, arm.summary.reasons)
        for name, arm in file.arms.items()
    ]
    analyses = _readable(profile, damages)
    missing = [labels.plain(name, 60) for name in file.arms if name not in analyses]
    lines = [*(labels.plain(note, 300) for note in file.notes)]
    if missing:
        lines.append(f"No trace that can be read of {', '.join(missing)}.")
    blocks = (
        _arms_table(profile),
        *_drawn(analyses, budget, str(profile.folder)),
        *_shares(shares, compares=file.passed),
        *([Text(tuple(dict.fromkeys(lines)), "warn")] if lines else []),
    )
    return Option(labels.plain(profile.folder, 120), labels.plain(label, 200), blocks)


def _readable(profile: SavedProfile, damages: Damages) -> dict[str, Analysis]:
    rules, found = load_rules(None), {}
    for arm, path in profile.traces().items():
        try:
            found[arm] = with_written_classes(analyse_file(path, rules, cpu=profile.file.basis == "cpu"))
        except InputError as error:
            damages(error)
    return found


def _of_traces(traces: Mapping[str, str], definition: Definition, budget: _Budget) -> Option:
    rules = load_rules(None)
    analyses = {arm: analyse_file(definition.path(name), rules) for arm, name in traces.items()}
    summaries = {labels.plain(arm, 60): summarise(analysis) for arm, analysis in analyses.items()}
    shares = [StepShares(arm, each.per_step, each.reasons) for arm, each in summaries.items()]
    blocks = (*_drawn(analyses, budget, "traces"), *_shares(shares, compares=True))
    return Option("traces", f"traces of the definition: {labels.listed(list(traces))}", blocks)


def _drawn(analyses: Mapping[str, Analysis], budget: _Budget, name: str) -> Iterator[Block]:
    if not analyses:
        return
    arms = [arm_of(labels.plain(arm, 60), each, typical_step(each)) for arm, each in analyses.items()]
    kernels = sum(len(arm.steps[0].members) for arm in arms)
    if budget.take(kernels):
        yield Timeline(labels.plain(name, 120), timeline_record(arms))
    else:
        what = f"{kernels:,} kernels are more than one page draws; `workbench trace view` makes a page of their own."
        yield Text((what,), "warn")


def _arms_table(profile: SavedProfile) -> TableBlock:
    gains = {each.arm: each for each in profile.file.speedups or ()}
    rows = []
    for name, arm in profile.file.arms.items():
        routing = next((each for each in arm.summary.per_step.classes if each.name == "routing"), None)
        gain = gains.get(name)
        told = "reference" if name not in gains else "-"
        if gain is not None:
            told = f"{gain.throughput_gain:+.1%}{'' if gain.beyond_spread else ', within the spread'}"
        elif not profile.file.passed:
            told = "withheld"
        step = arm.step_us
        cells = (
            Cell(labels.plain(name, 60)),
            Cell("withheld", None, "quiet") if step is None else Cell(spread(step), step.median),
            Cell(told, gain.throughput_gain if gain else None),
            Cell(count(sum(each.launches for each in arm.summary.per_step.classes))),
            Cell(percent(routing.share_busy), routing.share_busy) if routing else Cell("none", None, "quiet"),
            Cell(labels.plain(arm.description, 200)),
        )
        rows.append(TableRow(cells))
    caption = f"The arms, measured in {profile.file.rounds} interleaved rounds; medians (least - most)"
    return TableBlock("", caption, _ARMS, tuple(rows), total="arms")


def _shares(arms: Sequence[StepShares], *, compares: bool) -> Iterator[Block]:
    """The table of shares: a row a class, the arms side by side, the difference to the first."""
    yield _shares_table(arms, compares)
    reasons = [
        f"{each.arm}: not reliable: {labels.plain(reason, 300)}" for each in arms for reason in each.reasons
    ]
    if reasons:
        yield Text(tuple(reasons), "warn")


def _shares_table(arms: Sequence[StepShares], compares: bool) -> TableBlock:
    first, *others = arms
    known = [{each.name: each for each in arm.per_step.classes} for arm in arms]
    names = dict.fromkeys(name for classes in known for name in classes)
    columns = [TableColumn("class", "class")]
    for place, arm in enumerate(arms):
        columns += [
            TableColumn(
                f"time{place}", f"{arm.arm} us", "number", help="A step, median; the range on hovering"
            ),
            TableColumn(
                f"busy{place}",
                "of busy",
                "share",
                help=f"{arm.arm}: share of the time in which anything runs",
            ),
            TableColumn(
                f"span{place}", "of span", "number", help=f"{arm.arm}: share of the step's whole length"
            ),
            TableColumn(f"layer{place}", "a layer", "number", help=f"{arm.arm}: launches a layer"),
        ]
    differs = others if compares else []
    columns += [
        TableColumn(f"delta{place}", f"{arm.arm} less {first.arm}, us", "number")
        for place, arm in enumerate(differs)
    ]
    rows = []
    for name in names:
        sides = [classes.get(name) for classes in known]
        cells = [Cell(labels.plain(name, 40)), *(cell for side in sides for cell in _side(side))]
        cells += [_delta(sides[0], side) for side in sides[1:]] if differs else []
        rows.append(TableRow(tuple(cells)))
    caption = "A step by class of kernels, medians of the profiled steps, which the profiler slows down"
    return TableBlock("", caption, tuple(columns), tuple(rows), total="classes")


def _side(share: ClassPerStep | None) -> tuple[Cell, ...]:
    if share is None:
        return tuple(Cell("none", 0.0, "quiet") for _ in range(4))
    return (
        Cell(us(share.time_us.median), share.time_us.median, hint=f"{spread(share.time_us)} us"),
        Cell(percent(share.share_busy), share.share_busy, share=min(max(share.share_busy, 0.0), 1.0)),
        Cell(percent(share.share_span), share.share_span),
        Cell(count(share.launches_per_layer), share.launches_per_layer),
    )


def _delta(first: ClassPerStep | None, other: ClassPerStep | None) -> Cell:
    zero = Spread(0.0, 0.0, 0.0, 0)
    one, two = (each.time_us if each else zero for each in (first, other))
    change = two.median - one.median
    apart = first is None or other is None or one.apart(two)
    return Cell(
        f"{signed_us(change)}{'' if apart else ', within the spread'}", change, "strong" if apart else "quiet"
    )
