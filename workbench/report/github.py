"""A comparison for GitHub: annotations of a workflow, and figures for github-action-benchmark.

Whatever a name holds, it stays within its own annotation: GitHub reads a line that begins with `::` as a command, and
takes back `%25`, `%0D`, `%0A` (and `%3A`, `%2C` in properties) as percent, line breaks, colon and comma.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from workbench.base.text import brief
from workbench.compare.comparison import Comparison, Judged
from workbench.report.compare import change_text, finding, sentence

_MOST = 10
_DATA: Mapping[str, str] = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY: Mapping[str, str] = {**_DATA, ":": "%3A", ",": "%2C"}


def annotation_lines(comparison: Comparison) -> Iterator[str]:
    """Lines that GitHub shows on the run: an error a failure, else one notice; GitHub shows ten of a kind at most."""
    lines = [
        *(("A check failed", line) for line in comparison.failures),
        *(("Regression", sentence(each)) for each in comparison.regressions),
    ]
    if comparison.missing_fails:
        lines += [("Missing in B", label) for label in comparison.missing]
    for title, line in lines[: _MOST - 1]:
        yield _command("error", title, line)
    if len(lines) >= _MOST:
        yield _command(
            "error", "compare", f"{finding(comparison)} {len(lines) - _MOST + 1} more in the summary."
        )
    if comparison.void:
        yield _command("error", "compare", finding(comparison))
    elif not lines:
        yield _command("notice", "compare", finding(comparison))


def _command(level: str, title: str, message: str) -> str:
    return f"::{level} title={_escaped(title, _PROPERTY)}::{_escaped(brief(message, 400), _DATA)}"


def _escaped(text: str, table: Mapping[str, str]) -> str:
    return "".join(table.get(each, each) for each in text)


def without_commands() -> tuple[str, str]:
    """Lines before and after text in which GitHub is to look for no commands."""
    token = secrets.token_hex(16)
    return f"::stop-commands::{token}", f"::{token}::"


def benchmarks(comparison: Comparison) -> dict[str, list[dict[str, Any]]]:
    """B's figures by github-action-benchmark's tool: `customSmallerIsBetter` and `customBiggerIsBetter`.

    What only a model says, and what does not count, is left out.
    """
    tools: dict[str, list[dict[str, Any]]] = {"customSmallerIsBetter": [], "customBiggerIsBetter": []}
    for figure in comparison.figures:
        if figure.counts and figure.b is not None and figure.verdict != "not timed":
            tool = "customSmallerIsBetter" if figure.better == "lower" else "customBiggerIsBetter"
            tools[tool].append(_benchmark(figure))
    return tools


def _benchmark(figure: Judged) -> dict[str, Any]:
    return {
        "name": f"{figure.label} {figure.metric}",
        "unit": _unit(figure.metric),
        "value": figure.b,
        "extra": f"against A: {change_text(figure)}; {figure.verdict}",
    }


def _unit(metric: str) -> str:
    """The unit that a metric's name ends with."""
    if "_per_" in metric:
        parts = metric.split("_per_")
        return "/".join([parts[0].rsplit("_", 1)[-1], *parts[1:]])
    ending = metric.rsplit("_", 1)[-1]
    return ending if ending in ("us", "ms", "bytes") else "x" if metric == "speedup" else ""
