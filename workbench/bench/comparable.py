"""What must be equal before two bench rows may be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

from workbench.base.errors import IncomparableError
from workbench.base.text import brief
from workbench.bench.rows import BenchRow

# Drawn lengths, and prompts that are tokenized once more, differ by a little between runs of one load.
LENGTHS_AGREE = 0.05

_EQUAL: Mapping[str, Callable[[BenchRow], object]] = {
    "device": lambda row: row.device,
    "model": lambda row: row.model,
    "gpus": lambda row: row.gpus,
    "workload": lambda row: row.workload,
}
_LENGTHS: Mapping[str, Callable[[BenchRow], float | None]] = {
    "input_tokens": lambda row: row.input_tokens,
    "output_tokens": lambda row: row.output_tokens,
}


def differences(rows: Sequence[BenchRow]) -> dict[str, tuple[str, str]]:
    """The keys in which rows differ that must agree, each with two of its values."""
    found = {key: _unequal(value(row) for row in rows if _says(row, key)) for key, value in _EQUAL.items()}
    found |= {key: _apart(map(value, rows)) for key, value in _LENGTHS.items()}
    return {key: values for key, values in found.items() if values}


def _says(row: BenchRow, key: str) -> bool:
    """A run that never came up cannot say what it was of; as little as its file's name may be left."""
    return row.status == "ok" or key in ("device", "workload") or (key == "model" and row.model is not None)


def check_comparable(rows: Sequence[BenchRow]) -> None:
    """Checks that rows are of one device, model, number of GPUs and load; arms and concurrency may differ.

    Raises:
        IncomparableError: names every key that differs, with its values.
    """
    if found := differences(rows):
        told = "; ".join(f"{key}: {one} against {other}" for key, (one, other) in found.items())
        raise IncomparableError(f"these rows cannot be compared, they differ in {told}{_hint(found)}")


def _unequal(values: Iterable[object]) -> tuple[str, str] | None:
    distinct = list(dict.fromkeys(values))
    return (_told(distinct[0]), _told(distinct[1])) if len(distinct) > 1 else None


def _apart(values: Iterable[float | None]) -> tuple[str, str] | None:
    """The first two neighbours, by size, that are further apart than lengths of one load are."""
    known = sorted(value for value in values if value is not None)
    for one, other in pairwise(known):
        if other - one > LENGTHS_AGREE * other:
            return f"{one:g}", f"{other:g}"
    return None


def _told(value: object) -> str:
    return "unknown" if value is None else brief(str(value), 60)


def _hint(found: Mapping[str, object]) -> str:
    if found.keys() & _LENGTHS:
        return ". Name their loads apart: `bench import --workload NAME`"
    return ". `bench import` takes --device, --model and --gpus" if found.keys() - {"workload"} else ""
