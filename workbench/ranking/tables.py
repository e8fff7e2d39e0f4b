"""The tuned tables that vLLM and SGLang ship: read from a wheel, a folder, one file or an installed package.

A table's name tells E, N, device and dtype, and its rows are winners by token count; times are not in it:

    E=128,N=704,device_name=NVIDIA_H200[,dtype=fp8_w8a8][,block_shape=[128,128]][,per_channel_quant=True][_down].json
    {"1": {"BLOCK_SIZE_M": 16, ..., "num_stages": 4}, "2": ..., "triton_version": "3.6.0"}

Tables of AMD and Intel GPUs, of other dtypes, of the second GEMM alone (`_down`) and of adapters are left out, each
counted with its reason; so are rows that are no winner of the engines' grid. A damaged file is an error.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

from moe_kernels.device_slug import device_slug
from workbench.base.errors import InputError
from workbench.base.files import DAMAGED_ARCHIVE, read_bytes
from workbench.base.text import brief
from workbench.ranking.board import Board, boards
from workbench.ranking.grid import ROW_OF, Row
from workbench.ranking.workload import ELEMENT_BYTES, PARAMETERS

MAX_BYTES = 1 << 20
MAX_FILES = 20_000
MAX_TOKENS = 1 << 24
ARCHIVES = (".whl", ".zip")
# Folders of tables of other kernels than the experts' grouped GEMM.
OTHER_KERNELS = {"lora", "moe_front"}

_NAME = re.compile(
    r"E=(?P<experts>[1-9]\d{0,5}),N=(?P<n>[1-9]\d{0,6}),device_name=(?P<device>[^,/]*?)"
    r"(?:,dtype=(?P<dtype>[A-Za-z0-9_]+))?(?:,block_shape=\[(?P<block>\d+, ?\d+)\])?"
    r"(?P<per_channel>,per_channel_quant=True)?(?P<down>_down)?\.json"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableWinners:
    """The winners in one table, as far as it is about a GPU, a dtype and a grid that are known.

    Attributes:
        source: the file, for people.
        num_experts: E on one GPU.
        intermediate_size: N on one GPU.
        dtype: of weights and activations.
        block_scaled: True where weights have a scale per block, which other kernels' tiles must divide.
        rows: the winner's row in the engines' grid, by tokens.
    """

    source: str
    board: Board
    num_experts: int
    intermediate_size: int
    dtype: str
    block_scaled: bool
    rows: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class CollectedTables:
    """The tables of some sources, each content once, and what was left out.

    Attributes:
        left_out: how many tables and rows were left out, by reason.
        sources: how many tables each source gave, by its name.
    """

    tables: tuple[TableWinners, ...]
    left_out: Mapping[str, int]
    sources: Mapping[str, int]


def collect_tables(sources: Iterable[str | Path]) -> CollectedTables:
    """Reads all tables of some sources; a table that two engines ship counts once.

    Args:
        sources: wheels, folders, single tables, or names of installed packages, which are not imported.

    Raises:
        InputError: a source does not exist or cannot be read, a table is damaged, or there is no table at all.
    """
    left_out: Counter[str] = Counter()
    counts: dict[str, int] = {}
    tables: dict[object, TableWinners] = {}
    for source in sources:
        before = len(tables)
        for path, content in _files(str(source)):
            if table := _parse(path, content, left_out):
                tables.setdefault(_content(table), table)
        counts[Path(source).name] = len(tables) - before
    if not tables:
        what = (
            ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "no file named like one"
        )
        raise InputError(f"no table of a known GPU in {', '.join(counts) or 'no source'}: {what}")
    return CollectedTables(tuple(tables.values()), dict(left_out), counts)


def _content(table: TableWinners) -> object:
    rows = tuple(sorted(table.rows.items()))
    return table.board.name, table.num_experts, table.intermediate_size, table.dtype, table.block_scaled, rows


def _files(source: str) -> Iterator[tuple[str, bytes]]:
    """Every file of a source that is named like a table."""
    path = Path(source)
    try:
        if path.suffix in ARCHIVES and path.is_file():
            yield from _archived(path)
        elif path.is_dir() or path.is_file():
            yield from _loose(path)
        elif source.isidentifier() and (spec := find_spec(source)) and spec.submodule_search_locations:
            yield from _loose(Path(spec.submodule_search_locations[0]))
        else:
            raise InputError("is no wheel, folder, table or installed package", file=source)
    except DAMAGED_ARCHIVE as error:
        raise InputError(f"cannot be read: {brief(str(error), 200)}", file=source) from None


def _archived(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        members = [each for each in archive.infolist() if _is_table(each.filename)]
        _check_count(len(members), path)
        for member in members:
            place = f"{path.name}:{member.filename}"
            with archive.open(member) as file:
                content = file.read(MAX_BYTES + 1)
            if len(content) > MAX_BYTES:
                raise InputError(f"is larger than {MAX_BYTES} bytes, the most that is read", file=place)
            yield place, content


def _loose(path: Path) -> Iterator[tuple[str, bytes]]:
    files = [path] if path.is_file() else sorted(path.rglob("E=*.json"))
    tables = [each for each in files if _is_table(each.as_posix())]
    _check_count(len(tables), path)
    for each in tables:
        yield str(each), read_bytes(each, MAX_BYTES)


def _check_count(count: int, path: Path) -> None:
    if count > MAX_FILES:
        raise InputError(f"holds {count} tables; at most {MAX_FILES} are read", file=path)


def _is_table(path: str) -> bool:
    return PurePosixPath(path).name.startswith("E=") and path.endswith(".json")


def _parse(path: str, content: bytes, left_out: Counter[str]) -> TableWinners | None:
    """The table of a file, or None where it is left out."""
    named = _NAME.fullmatch(PurePosixPath(path.rpartition(":")[2]).name)
    if reason := _why_left_out(path, named):
        left_out[reason] += 1
        return None
    assert named is not None
    rows = dict(_rows(_load(path, content), left_out))
    if not rows:
        left_out["tables without a row of the grid"] += 1
        return None
    return TableWinners(
        source=path,
        board=boards()[device_slug(named["device"])],
        num_experts=int(named["experts"]),
        intermediate_size=int(named["n"]),
        dtype=named["dtype"] or "bf16",
        block_scaled=named["block"] is not None,
        rows=rows,
    )


def _why_left_out(path: str, named: re.Match[str] | None) -> str | None:
    if OTHER_KERNELS & set(PurePosixPath(path).parts):
        return "tables of other kernels"
    if named is None:
        return "files with odd names"
    if named["down"]:
        return "tables of the second GEMM alone"
    if (named["dtype"] or "bf16") not in ELEMENT_BYTES:
        return "tables of other dtypes"
    return None if device_slug(named["device"]) in boards() else "tables of other GPUs"


def _load(path: str, content: bytes) -> dict[str, Any]:
    try:
        table = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"malformed JSON: {brief(str(error), 200)}", file=path) from None
    if not isinstance(table, dict):
        raise InputError("the top level must be an object of rows by token count", file=path)
    return table


def _rows(table: Mapping[str, Any], left_out: Counter[str]) -> Iterator[tuple[int, int]]:
    for key, config in table.items():
        if not (key.isascii() and key.isdecimal() and len(key) < 10 and 0 < int(key) <= MAX_TOKENS):
            left_out["other keys"] += 1
        elif (row := _grid_row(config)) is None:
            left_out["rows outside the grid"] += 1
        else:
            yield int(key), row


def _grid_row(config: Any) -> int | None:
    if not isinstance(config, dict):
        return None
    values: Sequence[Any] = [config.get(name, 1 if name == "GROUP_SIZE_M" else None) for name in PARAMETERS]
    if not all(type(value) is int for value in values):
        return None
    row: Row = tuple(values)
    return ROW_OF.get(row)
