"""The timeline page: one HTML file that needs no network and lets nothing in a trace become markup or script."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.report.table import Table
from workbench.report.trace_cells import percent, us
from workbench.report.trace_diff import diff_classes_table, step_table
from workbench.report.trace_summary import CPU_NOTE, classes_table, kernels_table
from workbench.shipped import shipped_page
from workbench.timeline.chrome import Arm
from workbench.timeline.columns import text as writable
from workbench.timeline.diff import compare
from workbench.timeline.page import timeline_record
from workbench.timeline.summary import Summary, summarise

_KERNELS = 12
# Within <script> only these could end it or begin a comment; the separators end a line of JavaScript.
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_POLICY = (
    "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; connect-src 'none'; "
    "base-uri 'none'; form-action 'none'"
)


def page_record(arms: Sequence[Arm], steps: Sequence[int]) -> Mapping[str, Any]:
    """All that the page shows: the timeline and the tables beside it.

    Args:
        arms: with one step each.
        steps: the number of that step in each trace.
    """
    summaries = [summarise(arm.analysis) for arm in arms]
    timeline = timeline_record(arms)
    facts = [_facts(*each) for each in zip(summaries, steps, strict=True)]
    drawn = [{**arm, **fact} for arm, fact in zip(timeline["arms"], facts, strict=True)]
    beside = [*_differences(arms, summaries), *_each(arms, summaries, classes_table)]
    below = _each(arms, summaries, lambda summary: kernels_table(summary, _KERNELS))
    return {**timeline, "arms": drawn, "beside": beside, "below": below}


def page_html(record: Mapping[str, Any]) -> str:
    """The page, whole."""
    template = shipped_page("timeline").read_text(encoding="utf-8")
    policy = _POLICY.format(script=_hash_of("script", template), style=_hash_of("style", template))
    # The data last: nothing in it can then stand for a placeholder.
    return template.replace("{{policy}}", policy, 1).replace("{{data}}", embedded(record), 1)


def embedded(value: Any) -> str:
    """JSON that can stand in a <script> of an HTML page, whatever its strings hold."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    # A file's name can hold half of a surrogate pair, which has no UTF-8.
    return writable(re.sub("[<>&\u2028\u2029]", lambda found: _ESCAPES[found[0]], text))


def _hash_of(tag: str, template: str) -> str:
    """What the policy admits: the one script and the one style sheet of the template, as they are."""
    found = re.search(f"<{tag}>(.*?)</{tag}>", template, re.DOTALL)
    content = found[1] if found else ""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def _facts(summary: Summary, step: int) -> Mapping[str, Any]:
    shown = summary.steps[step]
    layers = summary.layers
    lines = [
        f"step {step} of {len(summary.steps)}: {us(shown.span_us)} us, busy {us(shown.busy_us)} us, "
        f"{shown.kernel_count:,} kernels",
        f"{layers.count or 'unknown'} layers ({layers.source})",
        f"{percent(summary.gaps.idle_share)} of the trace idle",
        *([CPU_NOTE] if summary.basis == "cpu" else []),
    ]
    return {"file": summary.file, "facts": lines, "reasons": list(summary.reasons)}


def _differences(arms: Sequence[Arm], summaries: Sequence[Summary]) -> list[Mapping[str, Any]]:
    first = summaries[0]
    tables = []
    for arm, summary in zip(arms[1:], summaries[1:], strict=True):
        diff = compare(first, summary)
        title = f"{arms[0].name} (A) → {arm.name} (B)"
        tables.append(_table(step_table(diff), title))
        tables.append(_table(diff_classes_table(diff), f"{title}, by class"))
    return tables


def _each(arms: Sequence[Arm], summaries: Sequence[Summary], make: Any) -> list[Mapping[str, Any]]:
    pairs = [(arm, make(summary)) for arm, summary in zip(arms, summaries, strict=True)]
    return [_table(table, f"{arm.name}: {table.title[0].lower()}{table.title[1:]}") for arm, table in pairs]


def _table(table: Table, title: str) -> Mapping[str, Any]:
    return {
        "title": title,
        "headings": [column.heading for column in table.columns],
        "right": [column.justify == "right" for column in table.columns],
        "rows": table.rows,
        "notes": table.notes,
    }
