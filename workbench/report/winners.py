"""The winners that are on disk: what `show` prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from moe_kernels.tuned import Row, TunedFile
from workbench.errors import InputError
from workbench.report.table import Column, Table
from workbench.results_file import read_results_file

Source = Literal["current", "changed", "unknown"]

NOTHING_TIMED = (
    "~ modelled: nothing was timed. These configs were compiled for that GPU and ranked by a model, whose "
    "times and speed-ups these are. A lookup takes them only under WORKBENCH_EVIDENCE=modelled."
)
REPLAYED = "replayed: read from a recording, not timed by that run. A lookup never takes these."
CHANGED = (
    "changed: the kernel's source is no longer the one that was tuned. A lookup skips these; sweep again."
)
KEPT = "kept: nothing beat the default there, so the config is the default's."
UNKNOWN = "unknown: the kernel is none that ships with this package, so its source cannot be compared."

_COLUMNS = (
    Column("tokens", "right"),
    Column("config"),
    Column("evidence"),
    Column("time us", "right"),
    Column("default us", "right"),
    Column("speed-up", "right"),
    Column("age", "right"),
    Column("source"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelAtHand:
    """What a winner is compared with.

    Attributes:
        default: the kernel's default config.
        source_hash: of its source as it is now, None where that cannot be read.
    """

    default: Mapping[str, int | float | str]
    source_hash: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Winner:
    """One row of one results file.

    Attributes:
        file: where it is.
        device: the device's slug.
        kernel: the kernel's name.
        problem: every axis but the ladder.
        tokens: its rung of the ladder.
        row: config, evidence and times.
        differs: what of its config is not the default's, None where the default is not known.
        date: when it was found.
        age_days: whole days since, None where the file's date cannot be read.
        source: whether the kernel's source is still the one that was tuned.
    """

    file: Path
    device: str
    kernel: str
    problem: Mapping[str, int | str]
    tokens: int
    row: Row
    differs: Mapping[str, int | float | str] | None
    date: str
    age_days: int | None
    source: Source


def read_winners(
    folders: Sequence[Path],
    find_kernel: Callable[[str, Mapping[str, int | str]], KernelAtHand | None],
    *,
    device: str | None = None,
    kernel: str | None = None,
    now: datetime | None = None,
    damaged: Callable[[InputError], None] | None = None,
) -> tuple[Winner, ...]:
    """Reads every results file below some folders.

    Args:
        folders: folders of results.
        find_kernel: the kernel of a name as a problem sees it, None where there is none.
        device: only this slug.
        kernel: only this name.
        now: what ages are counted from.
        damaged: told of a damaged file, which is then left out; without it such a file is an error.

    Raises:
        InputError: a file is damaged, or speaks of something else than its path does.
    """
    now = now or datetime.now(UTC)
    winners: list[Winner] = []
    for path in results_files(folders):
        if device not in (None, path.parts[-3]) or kernel not in (None, path.parts[-2]):
            continue
        try:
            file = _read(path)
        except InputError as error:
            if damaged is None:
                raise
            damaged(error)
        else:
            winners += _winners(path, file, find_kernel(file.kernel, file.problem), now)
    return tuple(winners)


def results_files(folders: Sequence[Path]) -> Iterator[Path]:
    """The results files below some folders, `<DEVICE>/<kernel>/<problem>.json`; trial journals are none."""
    for folder in folders:
        for path in sorted(folder.glob("*/*/*=*.json")):
            if path.parts[-3] != "runs":
                yield path


def _read(path: Path) -> TunedFile:
    file = read_results_file(path)
    for key, filed in (("device", path.parts[-3]), ("kernel", path.parts[-2])):
        if (found := getattr(file, key)) != filed:
            raise InputError(
                f"damaged: is {found!r}, but the file is filed under {filed!r}", file=path, key=key
            )
    return file


def _winners(path: Path, file: TunedFile, kernel: KernelAtHand | None, now: datetime) -> list[Winner]:
    return [
        Winner(
            file=path,
            device=file.device,
            kernel=file.kernel,
            problem=file.problem,
            tokens=tokens,
            row=row,
            differs=differing(row.config, kernel.default) if kernel else None,
            date=file.runs[row.run].date,
            age_days=_age(file.runs[row.run].date, now),
            source=_source(file.runs[row.run].source_hash, kernel),
        )
        for tokens, row in file.rows.items()
    ]


def differing(
    config: Mapping[str, int | float | str], default: Mapping[str, int | float | str]
) -> dict[str, int | float | str]:
    """What of a config is not the default's."""
    return {name: value for name, value in config.items() if default.get(name) != value}


def _age(date: str, now: datetime) -> int | None:
    try:
        found = datetime.fromisoformat(date)
    except ValueError:
        return None
    return max(0, (now - (found if found.tzinfo else found.replace(tzinfo=UTC))).days)


def _source(tuned: str, kernel: KernelAtHand | None) -> Source:
    if kernel is None or kernel.source_hash is None:
        return "unknown"
    return "current" if tuned == kernel.source_hash else "changed"


def winners_tables(winners: Sequence[Winner], *, full: bool = False) -> tuple[Table, ...]:
    """A table a results file, with notes on what its words mean below the last.

    Args:
        winners: as `read_winners` returns them.
        full: True shows whole configs, False what differs from the default.
    """
    groups = [tuple(group) for _, group in groupby(winners, lambda winner: winner.file)]
    notes = _notes(winners)
    return tuple(_table(group, full, notes if group is groups[-1] else ()) for group in groups)


def _table(winners: Sequence[Winner], full: bool, notes: tuple[str, ...]) -> Table:
    first = winners[0]
    title = f"{first.kernel} on {first.device}, {pairs(first.problem)}\n{first.file}"
    return Table(title, _COLUMNS, tuple(_cells(winner, full) for winner in winners), notes)


def _cells(winner: Winner, full: bool) -> tuple[str, ...]:
    row = winner.row
    about = "" if row.evidence == "measured" else "~"
    return (
        str(winner.tokens),
        config_text(row.config, None if full else winner.differs),
        row.evidence,
        f"{about}{row.time_us:.3g}",
        "cannot run" if row.default_time_us is None else f"{about}{row.default_time_us:.3g}",
        _speedup(row, about),
        winner.date if winner.age_days is None else f"{winner.age_days} d",
        winner.source,
    )


def _speedup(row: Row, about: str) -> str:
    if row.kept_default:
        return "kept"
    return "-" if row.speedup is None else f"{about}{row.speedup:.2f}x"


def config_text(
    config: Mapping[str, int | float | str], differs: Mapping[str, int | float | str] | None
) -> str:
    """A config in one cell: what differs from the default, or all of it where `differs` is None."""
    return pairs(config) if differs is None else pairs(differs) or "the default"


def pairs(mapping: Mapping[str, Any]) -> str:
    """`a=1 b=2`."""
    return " ".join(f"{name}={value}" for name, value in mapping.items())


def _notes(winners: Sequence[Winner]) -> tuple[str, ...]:
    evidence = {winner.row.evidence for winner in winners}
    sources = {winner.source for winner in winners}
    notes = (
        ("modelled" in evidence, NOTHING_TIMED),
        ("replayed" in evidence, REPLAYED),
        ("changed" in sources, CHANGED),
        ("unknown" in sources, UNKNOWN),
        (any(winner.row.kept_default for winner in winners), KEPT),
    )
    return tuple(note for applies, note in notes if applies)


def winner_record(winner: Winner) -> dict[str, Any]:
    """A winner as JSON holds it."""
    row = winner.row
    return {
        "device": winner.device,
        "kernel": winner.kernel,
        "problem": dict(winner.problem),
        "tokens": winner.tokens,
        "config": dict(row.config),
        "differs_from_default": None if winner.differs is None else dict(winner.differs),
        "kept_default": row.kept_default,
        "evidence": row.evidence,
        "timed": row.evidence == "measured",
        "time_us": row.time_us,
        "ci_us": row.ci_us,
        "default_time_us": row.default_time_us,
        "speedup": row.speedup,
        "date": winner.date,
        "age_days": winner.age_days,
        "source": winner.source,
        "file": str(winner.file),
    }
