"""Rules about a table as a whole: its name, its keys and its ladder of token counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

from workbench.integrations.engine_table import is_row, nearest
from workbench.integrations.engines import LADDER
from workbench.integrations.lint.findings import CheckedTable, Finding, Severity

# The tuners' own ladder never leaves out more than this factor.
WIDEST_GAP = 4


def _never_read(table: CheckedTable) -> Iterator[Finding]:
    """A name that no loader spells like this; the file is dead."""
    name = table.name
    readers = [engine for engine in table.engines if name.dtype in engine.known_dtypes]
    if not name.device:
        yield table.finding("error", "device", "names no device; no engine looks for it")
    if not readers:
        what = f"is no dtype that {_titles(table)} looks for; an orphan, never read"
        yield table.finding("error", "dtype", f"{name.dtype!r} {what}")
    elif not any(engine.file_name(name) == table.raw.name for engine in readers):
        spelled = " or ".join(dict.fromkeys(engine.file_name(name) for engine in readers))
        yield table.finding("error", "spelling", f"is never read; {_titles(table)} looks for {spelled}")


def _other_device(table: CheckedTable) -> Iterator[Finding]:
    for engine in table.engines:
        spelled = engine.spell_device(table.name.device.replace("/", " "))
        if table.name.device and len(table.engines) == 1 and spelled != table.name.device:
            what = f"is never read; {engine.title} calls that device {spelled}"
            yield table.finding("error", "device", what)


def _keys(table: CheckedTable) -> Iterator[Finding]:
    """Keys beside the rows, and rows that are written in an unusual way."""
    for key in dict.fromkeys(table.raw.duplicates):
        yield table.finding("error", "duplicate", "appears twice in one object; the last one counts", key)
    for key in table.raw.content:
        if is_row(key):
            continue
        if _as_integer(key) is not None:
            yield table.finding("warning", "row", "is a token count in an unusual spelling", key)
        elif broken := [engine.title for engine in table.engines if key not in engine.top_keys]:
            severity: Severity = "error" if len(broken) == len(table.engines) else "warning"
            what = f"is no token count: {' and '.join(broken)} cannot read the file"
            yield table.finding(severity, "foreign-key", what, key)


def _ladder(table: CheckedTable) -> Iterator[Finding]:
    """Engines take the nearest row, however far away it is."""
    rows = [count for key in table.raw.content if (count := _as_integer(key)) is not None]
    if not rows:
        yield table.finding("error", "ladder", "holds no row")
        return
    ordered = sorted(rows)
    if rows != ordered:
        yield table.finding("warning", "unsorted", "its rows are not in ascending order, which decides ties")
    if ordered[0] > 1:
        yield table.finding("warning", "no-1", f"has no row for 1 token, which gets that for {ordered[0]}")
    if ordered[-1] < LADDER[-1]:
        what = f"stops at {ordered[-1]}: every larger batch, as in prefill, gets that row"
        yield table.finding("warning", "sparse", what, str(ordered[-1]))
    for low, high in pairwise(ordered):
        if low < LADDER[-1] and high > WIDEST_GAP * max(low, 1):
            yield table.finding("warning", "sparse", f"nothing lies between {low} and {high}", str(low))


def _down(table: CheckedTable) -> Iterator[Finding]:
    """Both GEMMs share one sort of the tokens, so they share BLOCK_SIZE_M."""
    if not table.name.down:
        return
    if table.up is None or not isinstance(table.up.content, dict):
        yield table.finding("warning", "down", "lies beside no table for the first GEMM")
        return
    if table.up.content == table.raw.content:
        yield table.finding(
            "note", "down", "is a copy of the table for the first GEMM, which serves both without it"
        )
        return
    up, down = _block_m(table.up.content), _block_m(table.raw.content)
    for tokens in sorted({*up, *down} if up and down else ()):
        first, second = up[nearest(up, tokens)], down[nearest(down, tokens)]
        if first != second:
            what = f"BLOCK_SIZE_M is {second}, but {first} in the table for the first GEMM, which SGLang then takes"
            yield table.finding("error", "down", what, f"{tokens}.BLOCK_SIZE_M")


def _block_m(content: object) -> dict[int, object]:
    rows = content.items() if isinstance(content, dict) else ()
    return {int(key): row.get("BLOCK_SIZE_M") for key, row in rows if is_row(key) and isinstance(row, dict)}


def _as_integer(key: str) -> int | None:
    """What the engines' `int(key)` makes of a key; they take more than a plain number."""
    try:
        return int(key) if len(key) < 20 else None
    except ValueError:
        return None


def _titles(table: CheckedTable) -> str:
    return " or ".join(engine.title for engine in table.engines)


TABLE_RULES: tuple[Callable[[CheckedTable], Iterator[Finding]], ...] = (
    _never_read,
    _other_device,
    _keys,
    _ladder,
    _down,
)
