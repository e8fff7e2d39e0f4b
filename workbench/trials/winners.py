"""The winners that are on disk, each with whether it still holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from moe_kernels.tunable import Config, Problem, Value
from moe_kernels.tuned import Row, TunedFile, TunedFileError, read_tuned
from workbench.base.errors import InputError

Source = Literal["current", "changed", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelAtHand:
    """What a winner is compared with.

    Attributes:
        source_hash: of its source as it is now, None where that cannot be read.
    """

    default: Config
    source_hash: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FiledWinner:
    """One row of one results file.

    Attributes:
        problem: every axis but the ladder.
        tokens: its rung of the ladder.
        differs: what of its config is not the default's, None where the default is not known.
        age_days: whole days since, None where the file's date cannot be read.
        source: whether the kernel's source is still the one that was tuned.
    """

    file: Path
    device: str
    kernel: str
    problem: Problem
    tokens: int
    row: Row
    differs: Config | None
    date: str
    age_days: int | None
    source: Source


def kernel_at_hand(name: str, problem: Mapping[str, int | str]) -> KernelAtHand | None:
    """A shipped kernel as it is now, None where there is none of that name; importing them imports torch."""
    from moe_kernels.registry import TUNABLES
    from moe_kernels.tuned import source_hash

    if name not in TUNABLES:
        return None
    kernel = TUNABLES[name].of(problem)
    return KernelAtHand(default=kernel.default_config, source_hash=source_hash(kernel.kernels))


def read_winners(
    folders: Sequence[Path],
    find_kernel: Callable[[str, Problem], KernelAtHand | None],
    *,
    device: str | None = None,
    kernel: str | None = None,
    now: datetime | None = None,
    damaged: Callable[[InputError], None] | None = None,
) -> tuple[FiledWinner, ...]:
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
    winners: list[FiledWinner] = []
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


def _winners(path: Path, file: TunedFile, kernel: KernelAtHand | None, now: datetime) -> list[FiledWinner]:
    return [
        FiledWinner(
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


def differing(config: Config, default: Config) -> dict[str, Value]:
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


def read_results_file(path: Path) -> TunedFile:
    """The winners of one kernel on one device and problem.

    Raises:
        InputError: names file, line and key: it is damaged or has vanished.
    """
    try:
        file = read_tuned(path)
    except TunedFileError as error:
        raise InputError(f"damaged: {error.message}", file=path, line=error.line, key=error.key) from error
    if file is None:
        raise InputError("vanished while it was read", file=path)
    return file


def winner_record(winner: FiledWinner) -> dict[str, Any]:
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
