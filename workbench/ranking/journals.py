"""Measured journals of the experts' sweeps, as choices: every timed config tells how far it is from the best."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.base.errors import InputError
from workbench.base.files import read_bytes
from workbench.devices.device import Device
from workbench.ranking.board import Board
from workbench.ranking.choices import Choice
from workbench.ranking.grid import ROW_OF
from workbench.ranking.workload import PARAMETERS, Workload

if TYPE_CHECKING:
    from workbench.trials.trial import Trial

MAX_BYTES = 1 << 26
# A journal's problem counts as this many rows of a table: it tells of all its configs, a row only of the best.
JOURNAL_WEIGHT = 3.0
# Times this share apart are told apart about three times in four.
TIME_NOISE = 0.02
AXES = ("num_experts", "top_k", "hidden_size", "intermediate_size", "dtype", "tokens")


def read_journals(folders: Iterable[str | Path]) -> tuple[Choice, ...]:
    """The measured trials of runs, a choice for each problem of which at least two configs were timed.

    Args:
        folders: `results/runs/<run id>`, of the kernel `experts`.

    Raises:
        InputError: a folder is no run, a journal is damaged, or a run has no measured trial that can be learned from.
    """
    return tuple(choice for folder in map(Path, folders) for choice in _choices(folder))


def _choices(folder: Path) -> Iterator[Choice]:
    # The journal's rows know torch's dtypes; nothing else of a ranking needs torch.
    from workbench.trials.journal import read_trials

    board = _board(folder / "sweep.json")
    times: dict[Workload, dict[int, float]] = {}
    for trial in read_trials(folder / "trials.jsonl"):
        if (row := _row(trial)) is not None and trial.time_us:
            known = times.setdefault(Workload.of(trial.problem), {})
            known[row] = min(known.get(row, np.inf), trial.time_us)
    timed = {workload: known for workload, known in times.items() if len(known) > 1}
    if not timed:
        raise InputError(
            "has no problem of `experts` with two measured configs of the engines' grid", file=folder
        )
    for workload, known in timed.items():
        yield _choice(workload, board, known, folder.name)


def _choice(workload: Workload, board: Board, times: Mapping[int, float], origin: str) -> Choice:
    ln_times = np.log(list(times.values()))
    odds = np.exp(-(ln_times - ln_times.min()) / TIME_NOISE)
    candidates = np.asarray(list(times), dtype=np.int64)
    return Choice(workload, board, candidates, odds / odds.sum(), JOURNAL_WEIGHT, origin)


def _row(trial: Trial) -> int | None:
    """The grid's row of a trial that was timed with the engines' kernel; None of any other."""
    is_timed = trial.status == "ok" and trial.evidence == "measured"
    if not is_timed or any(axis not in trial.problem for axis in AXES):
        return None
    if trial.config.get("fuse_activation", 0) or trial.problem.get("group_size", 0):
        return None
    return ROW_OF.get(tuple(int(trial.config.get(name, 0)) for name in PARAMETERS))


def _board(path: Path) -> Board:
    """The GPU of a run, from the figures that it recorded."""
    if not path.is_file():
        raise InputError("is missing, so that its folder is no run", file=path)
    content = read_bytes(path, MAX_BYTES)
    try:
        figures: dict[str, Any] = json.loads(content)["device"]
        return Board.of(Device(**{**figures, "aliases": tuple(figures["aliases"]), "sources": {}}))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"does not describe its GPU ({type(error).__name__}: {error})", file=path) from error
