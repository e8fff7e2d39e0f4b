"""What is wrong in engines' tables: every finding names the file, the key and what it leads to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from workbench.integrations.engines import ENGINES, Engine, TableName
from workbench.integrations.lint.findings import CheckedTable, Finding
from workbench.integrations.lint.row_rules import ROW_RULES
from workbench.integrations.lint.table_rules import TABLE_RULES
from workbench.integrations.raw_tables import RawTable


def lint_tables(tables: Sequence[RawTable], engine: str | None = None) -> tuple[Finding, ...]:
    """Lints tables, file by file.

    Args:
        tables: as they were found.
        engine: whose they are; None finds it out: below `triton_X_Y_Z` they are SGLang's, below vLLM's own package
            vLLM's, elsewhere either may read them.
    """
    by_path = {table.path: table for table in tables}
    findings: list[Finding] = []
    for raw in tables:
        checked, problems = _check(raw, by_path, engine)
        findings += problems
        if checked is not None:
            findings += [each for rule in (*TABLE_RULES, *ROW_RULES) for each in rule(checked)]
    return (*_unreadable_folders(tables), *findings)


def _check(
    raw: RawTable, by_path: dict[PurePosixPath, RawTable], engine: str | None
) -> tuple[CheckedTable | None, list[Finding]]:
    name = TableName.parse(raw.name)
    if name is None:
        return None, [Finding("error", "name", raw.path, "", "its name is none that an engine looks for")]
    if name.backend:
        what = f"is for the backend {name.backend}, not for Triton's kernel; its rows are not checked"
        return None, [Finding("note", "backend", raw.path, "", what)]
    if raw.problem or not isinstance(raw.content, dict):
        what = raw.problem or "must be an object with a row a token count"
        return None, [Finding("error", "json", raw.path, "", what)]
    engines = (ENGINES[engine],) if engine else _readers(raw.path)
    up = by_path.get(raw.path.with_name(raw.name.replace("_down.json", ".json"))) if name.down else None
    return CheckedTable(raw=raw, name=name, engines=engines, up=up), []


def _readers(path: PurePosixPath) -> tuple[Engine, ...]:
    if path.parent.name.startswith("triton_"):
        return (ENGINES["sglang"],)
    if path.parent.as_posix().endswith(f"vllm/{ENGINES['vllm'].package}"):
        return (ENGINES["vllm"],)
    return tuple(ENGINES.values())


def _unreadable_folders(tables: Sequence[RawTable]) -> Iterator[Finding]:
    """SGLang sorts its version folders as numbers, and raises where one is none."""
    for folder in sorted({table.path.parent for table in tables}):
        version = folder.name.removeprefix("triton_")
        if version != folder.name and not all(part.isdecimal() for part in version.split("_")):
            what = "SGLang reads what follows triton_ as numbers and raises when it looks for another version"
            yield Finding("error", "folder", folder, "", what)
