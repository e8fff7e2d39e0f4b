"""A profile of several arms as tables, as a record for JSON, and as the files of its folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from workbench.base.files import write_whole
from workbench.report.markdown import markdown
from workbench.report.table import Column, Table, json_text
from workbench.report.trace_cells import count, percent, spread
from workbench.report.trace_diff import diff_classes_table, diff_record, step_table
from workbench.report.trace_page import page_html, page_record
from workbench.report.trace_summary import CPU_NOTE, classes_table, kernels_table, of_arm
from workbench.timeline.agreement import Agreement, Difference
from workbench.timeline.chrome import arm_of, chrome_trace, write_trace
from workbench.timeline.diff import Diff, compare
from workbench.timeline.page import typical_step
from workbench.timeline.profile import ROUNDS, Profile, ProfiledArm
from workbench.timeline.record import ArmRecord, ProfileRecord, summary_record

WITHHELD = "A gate failed: no speed-up is shown."
_KERNELS = 12


def profile_record(profile: Profile) -> ProfileRecord:
    """What is saved of a profile."""
    request = profile.request
    return ProfileRecord(
        model=request.model,
        depth=request.config.depth,
        batch=request.batch,
        context=request.context,
        steps=request.steps,
        rounds=ROUNDS,
        graph=request.graph,
        device=request.device.type,
        seed=request.seed,
        basis=request.basis,
        device_names=profile.arms[0].summary.device_names,
        evidence="measured",
        weights="random",
        passed=not profile.failures,
        failures=profile.failures,
        notes=tuple(_notes(profile)),
        tuned_from=profile.tuned_from,
        arms={each.arm.name: _arm_record(profile, each) for each in profile.arms},
        correctness=profile.agreements,
        speedups=profile.speedups,
        diffs=tuple(diff_record(diff) for diff in _diffs(profile)),
    )


def _arm_record(profile: Profile, each: ProfiledArm) -> ArmRecord:
    return ArmRecord(
        description=each.arm.description,
        trace=each.analysis.trace.file,
        liveness=each.failures,
        # Without a comparison, nothing invites to make one.
        step_us=None if profile.failures else each.step_us,
        summary=summary_record(each.summary),
    )


def profile_tables(profile: Profile) -> tuple[Table, ...]:
    """The arms, how they agree, what changed, and where the time goes in each."""
    tables = [arms_table(profile)]
    if profile.agreements:
        tables.append(agreement_table(profile))
    for diff in _diffs(profile):
        tables += [step_table(diff), diff_classes_table(diff)]
    for each in profile.arms:
        beside = classes_table(each.summary), kernels_table(each.summary, _KERNELS)
        tables += [of_arm(each.arm.name, table) for table in beside]
    return tuple(tables)


def arms_table(profile: Profile) -> Table:
    """Each arm: whether it ran what it claims, its step and routing, and what it gains."""
    request = profile.request
    how = "CUDA graphs" if request.graph else "eager"
    where = ", ".join(profile.arms[0].summary.device_names) or request.device.type
    return Table(
        title=f"{request.model}, {request.config.depth}, random weights, batch {request.batch}, {how}, {where}",
        columns=(
            Column("arm", style="bold"),
            Column("runs what it claims"),
            Column("us a step", "right"),
            Column("routing a step", "right"),
            Column("routing of busy", "right"),
            Column("throughput", "right"),
            Column("what"),
        ),
        rows=tuple(_arm_row(profile, each) for each in profile.arms),
        notes=tuple(_notes(profile)),
    )


def _arm_row(profile: Profile, each: ProfiledArm) -> tuple[str, ...]:
    routing = next((one for one in each.summary.per_step.classes if one.name == "routing"), None)
    return (
        each.arm.name,
        "NO" if each.failures else "yes",
        "withheld" if profile.failures else spread(each.step_us),
        f"{count(routing.launches)} launches" if routing else "none",
        percent(routing.share_busy) if routing else "none",
        _gain(profile, each.arm.name),
        each.arm.description,
    )


def _gain(profile: Profile, arm: str) -> str:
    if profile.speedups is None:
        return "withheld"
    found = next((each for each in profile.speedups if each.arm == arm), None)
    if found is None:
        return "reference"
    return f"{found.throughput_gain:+.1%}{'' if found.beyond_spread else ' (within the spread)'}"


def _notes(profile: Profile) -> Iterator[str]:
    if profile.request.basis == "cpu":
        yield CPU_NOTE
    yield (
        f"A step is timed without a profiler, in {ROUNDS} interleaved rounds; the timelines are of other steps, "
        "which the profiler slows down."
    )
    untuned = [kernel for kernel, source in profile.tuned_from.items() if source is None]
    if untuned and any(each.arm.is_tuned for each in profile.arms):
        yield f"No result for {', '.join(untuned)}: tuned runs its default config there."
    if profile.failures:
        yield WITHHELD
        yield from profile.failures


def agreement_table(profile: Profile) -> Table:
    """How far the arms' results are apart, beside what rounding alone does."""
    first = profile.agreements[0]
    return Table(
        title="Do the arms compute the same? (same tokens, random weights)",
        columns=(
            Column("compared", style="bold"),
            Column("verdict"),
            Column("expert sets that differ", "right"),
            Column("likeliest token differs", "right"),
            Column("KL mean, nats", "right"),
            Column("KL p99, nats", "right"),
            Column("logits differ by, most", "right"),
            Column("mean", "right"),
        ),
        rows=(
            _difference_row(f"{first.reference}, two configs of its experts", "rounding", first.floor),
            *(_agreement_row(each) for each in profile.agreements),
        ),
        notes=(
            "Experts that differ within one rounding of the K-th router logit are ties and do not count.",
        ),
    )


def _agreement_row(each: Agreement) -> tuple[str, ...]:
    verdict = "DIFFERS" if each.failures else "agrees"
    return _difference_row(f"{each.reference}, {each.arm}", verdict, each.difference)


def _difference_row(name: str, verdict: str, found: Difference) -> tuple[str, ...]:
    quality = found.quality
    if quality is None:
        return (name, "not finite", *[""] * 6)
    return (
        name,
        verdict,
        f"{percent(quality.expert_mismatch or 0.0)} of {found.routings:,}",
        f"{percent(1 - quality.top1_agreement)} of {quality.tokens:,}",
        f"{quality.kl_mean:.2g}",
        f"{quality.kl_p99:.2g}",
        f"{found.logit_max:.3g}",
        f"{found.logit_mean:.2g}",
    )


def write_profile(profile: Profile, folder: Path) -> Mapping[str, Path]:
    """Writes the traces, the summaries and the page.

    Returns:
        The files by what they are.

    Raises:
        InputError: one cannot be written.
    """
    analyses = {each.arm.name: each.analysis for each in profile.arms}
    arms = [arm_of(*each) for each in analyses.items()]
    files = {name: folder / analysis.trace.file for name, analysis in analyses.items()}
    for arm, file in zip(arms, files.values(), strict=True):
        write_trace(file, chrome_trace([arm]))
    files |= {"merged": folder / "merged.json.gz", "summary": folder / "summary.json"}
    files |= {"markdown": folder / "summary.md", "page": folder / "timeline.html"}
    write_trace(files["merged"], chrome_trace(arms))
    write_whole(files["summary"], json_text(msgspec.to_builtins(profile_record(profile))) + "\n")
    write_whole(files["markdown"], markdown(profile_tables(profile)))
    write_whole(files["page"], _page(profile))
    return files


def _page(profile: Profile) -> str:
    steps = [typical_step(each.analysis) for each in profile.arms]
    arms = [
        arm_of(each.arm.name, each.analysis, step) for each, step in zip(profile.arms, steps, strict=True)
    ]
    notes = [WITHHELD, *profile.failures] if profile.failures else []
    return page_html(page_record(arms, steps, differences=not profile.failures, notes=notes))


def _diffs(profile: Profile) -> Iterator[Diff]:
    """What changed from the first arm to each other one; nothing where a gate failed."""
    first, *others = profile.arms
    if not profile.failures:
        yield from (compare(first.summary, each.summary) for each in others)
