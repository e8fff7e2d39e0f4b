"""Compares two results: reads, matches and judges them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from workbench.base.errors import InputError
from workbench.compare.claims import Claims
from workbench.compare.comparison import Comparison, Judged
from workbench.compare.criteria import Criteria, make_criteria
from workbench.compare.entry import Entry
from workbench.compare.judge import judge
from workbench.compare.match import Match, Pair, match
from workbench.compare.ratios import RUN_TO_RUN, collect
from workbench.compare.result_kinds import KINDS
from workbench.compare.sides import read_sides

_ORDER = ("regression", "unresolved", "improvement", "no interval", "same", "not timed")


def compare(
    a: Path,
    b: Path,
    *,
    fail_on: Sequence[str] = (),
    print_only: Sequence[str] = (),
    arms: tuple[str, str] | None = None,
    allow: Sequence[str] = (),
    claims: Claims | None = None,
    run_to_run: float = RUN_TO_RUN,
) -> Comparison:
    """Compares B with A.

    Args:
        a: before: a file, or a folder of results.
        b: after.
        fail_on: what counts, see `make_criteria`.
        print_only: what is shown and does not count.
        arms: an arm of A and one of B, where they have different names.
        allow: facts that may differ.
        claims: kernels that B's timelines must or must not run.
        run_to_run: what whole runs of one thing differ by: standard deviation, as a fraction.

    Raises:
        InputError: a file is damaged, or an argument wrong.
        IncomparableError: A and B differ in what must be equal.
    """
    one, other = read_sides(a, b)
    if not 0 <= run_to_run < 1:
        raise InputError(f"must be from 0 to below 100, got {100 * run_to_run:g}", key="--run-to-run")
    kinds = {
        schema: kind for schema, kind in KINDS.items() if schema in one.entries and schema in other.entries
    }
    criteria = make_criteria([each for kind in kinds.values() for each in kind.metrics], fail_on, print_only)
    if arms and not any(kind.arms for kind in kinds.values()):
        raise InputError(f"{next(iter(kinds.values())).title} have no arms", key="--arms")
    matches = [
        match(kind, one.entries[schema], other.entries[schema], arms=arms, allow=allow)
        for schema, kind in kinds.items()
    ]
    pairs = [pair for found in matches for pair in found.pairs]
    if claims:
        claims.check_applies(pairs)
    figures = _figures(matches, criteria, run_to_run)
    return Comparison(
        a=one.name,
        b=other.name,
        kinds=tuple(found.kind.title for found in matches),
        figures=figures,
        failures=tuple(line for pair in pairs for line in _failures(pair, claims)),
        unfit=tuple(f"{pair.label}: {line}" for pair in pairs for line in _unfit(pair.a)),
        missing=tuple(label for found in matches for label in found.only_a),
        added=tuple(label for found in matches for label in found.only_b),
        missing_fails=criteria.missing,
        unresolved_fails=criteria.unresolved,
        unjudged=tuple(_unjudged(figures, criteria)),
        notes=(*(note for found in matches for note in found.notes), *_notes(pairs)),
    )


def _figures(matches: Sequence[Match], criteria: Criteria, run_to_run: float) -> tuple[Judged, ...]:
    """Every figure with its verdict, regressions first."""
    families = [
        family
        for found in matches
        for family in collect(found.pairs, criteria.of(found.kind.metrics), run_to_run)
    ]
    return tuple(sorted(judge(families), key=_place))


def _place(figure: Judged) -> tuple[bool, int, float]:
    sign = 1 if figure.better == "lower" else -1
    return (not figure.counts, _ORDER.index(figure.verdict), -sign * (figure.change or 0.0))


def _failures(pair: Pair, claims: Claims | None) -> Iterator[str]:
    """What B fails: its own checks, requests that A did not lose, and kernels that it claims to run."""
    yield from (f"{pair.label}: {line}" for line in pair.b.failures)
    if pair.b.died and not pair.a.died:
        yield f"{pair.label}: {pair.b.died}"
    if pair.b.lost > pair.a.lost:
        yield f"{pair.label}: {pair.b.lost:.1%} of the requests failed, in A {pair.a.lost:.1%}"
    if claims and pair.b.kernels is not None:
        yield from (f"{pair.label}: {line}" for line in claims.broken_by(pair.b.kernels))


def _unfit(a: Entry) -> tuple[str, ...]:
    return (a.died, *a.failures) if a.died else a.failures


def _unjudged(figures: Sequence[Judged], criteria: Criteria) -> Iterator[str]:
    """Metrics that were named, or else all that count, which differ and were judged nowhere."""
    judged = {each.metric for each in figures if each.judged}
    differ = {each.metric for each in figures if each.counts and each.a != each.b}
    if criteria.limits:
        there = {each.metric for each in figures}
        yield from (
            name for name in criteria.limits if name not in judged and (name in differ or name not in there)
        )
    elif not judged:
        yield from sorted(differ)
        if not figures:
            yield "speed"


def _notes(pairs: Sequence[Pair]) -> Iterator[str]:
    """What limits the figures, and where the sides' sources and configs differ."""
    yield from dict.fromkeys(note for pair in pairs for entry in (pair.a, pair.b) for note in entry.notes)
    untimed = sum(not pair.b.timed for pair in pairs)
    if untimed:
        yield f"{untimed} of {len(pairs)} rows are modelled or replayed: nothing was timed, and they are not judged."
    if sources := [pair for pair in pairs if pair.a.source != pair.b.source]:
        yield (
            f"{len(sources)} of {len(pairs)} rows are of another kernel source: their default is no control, "
            "and a speedup over it does not count."
        )
    if configs := [pair for pair in pairs if pair.a.config != pair.b.config]:
        yield f"{len(configs)} of {len(pairs)} rows have another config: {', '.join(_some(configs))}."


def _some(pairs: Sequence[Pair]) -> Iterator[str]:
    yield from (pair.label for pair in pairs[:6])
    if len(pairs) > 6:
        yield f"and {len(pairs) - 6} more"
