"""Writes winners where the model module looks for them: `<out>/<DEVICE>/<kernel>/<problem>.json`, whole files only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from moe_kernels.tunable import Problem, TunableKernel
from moe_kernels.tuned import Row, Run, TunedFile, TunedFileError, read_tuned, serialise
from workbench.base.errors import InputError
from workbench.base.files import write_whole
from workbench.devices import Device
from workbench.replay.device import RecordedDevice
from workbench.sweep.plan import SweepPlan
from workbench.sweep.select import Winner
from workbench.trials.trial import Evidence

NOT_TIMED = "nothing was timed: compiled for this GPU and ranked by a model"
REPLAYED = "read from a recording; nothing was run"

_NOTES = {Evidence.MODELLED: NOT_TIMED, Evidence.REPLAYED: REPLAYED}
_RANK = {"measured": 3, "modelled": 2, "provisional": 1, "replayed": 0}


@dataclass(frozen=True, slots=True)
class Published:
    """What became of one winner.

    Attributes:
        tokens: the row's ladder value.
        kept: the evidence of the better row that stood there already and was left alone, None where there was none.
    """

    path: Path
    tokens: int
    kept: str | None


class Publisher:
    """Writes the winners of one kernel on one device under one folder.

    Args:
        out: the results folder.
        kernel: whose winners.
        device: for which device.
        run_id: of the run that found them.
        run: how they were found.
        measure: how they were measured or modelled; goes into every row.
    """

    def __init__(
        self,
        out: Path,
        kernel: TunableKernel,
        device: Device | RecordedDevice,
        run_id: str,
        run: Run,
        measure: Mapping[str, Any],
    ) -> None:
        self._out, self._kernel, self._device = out, kernel, device
        self._run_id, self._run, self._measure = run_id, run, measure

    def path(self, problem: Problem) -> Path:
        """The results file of a problem."""
        return self._out / self._device.slug / self._kernel.name / f"{self._kernel.file_stem(problem)}.json"

    def check(self, problems: Sequence[Problem]) -> None:
        """Finds out before any work whether the winners can be written.

        Raises:
            InputError: a results file is damaged or of something else, or the folder cannot be written.
        """
        for path, problem in {self.path(problem): problem for problem in problems}.items():
            try:
                _probe(path)
            except OSError as error:
                raise InputError(f"cannot be written: {error.strerror}", file=path) from error
            self._read(problem)

    def publish(self, winners: Sequence[Winner]) -> tuple[Published, ...]:
        """Merges winners into their files: only their rows change, and never to a lesser evidence.

        A row stays with its run and its date where a sweep of the same name, source and versions found it again.

        Raises:
            InputError: a results file is damaged, or cannot be written; then it stays as it was.
        """
        by_path: dict[Path, list[Winner]] = {}
        for winner in winners:
            by_path.setdefault(self.path(winner.problem), []).append(winner)
        (self._out / "runs").mkdir(parents=True, exist_ok=True)
        with FileLock(self._out / "runs" / ".publish.lock"):
            return tuple(row for path, each in by_path.items() for row in self._merge(path, each))

    def _merge(self, path: Path, winners: Sequence[Winner]) -> list[Published]:
        file = self._read(winners[0].problem) or self._empty(winners[0].problem)
        rows, runs, published = dict(file.rows), dict(file.runs), []
        for winner in winners:
            tokens = int(winner.problem[self._kernel.ladder.name])
            standing = rows.get(tokens)
            keep = standing is not None and _RANK[standing.evidence] > _RANK[winner.evidence]
            row = self._row(winner)
            if not keep and not (standing and self._is_told(row, standing, runs)):
                rows[tokens], runs[self._run_id] = row, self._run
            published.append(Published(path, tokens, standing.evidence if standing and keep else None))
        used = {row.run for row in rows.values()}
        merged = replace(file, rows=rows, runs={name: run for name, run in runs.items() if name in used})
        try:
            text = serialise(merged)
        except TunedFileError as error:
            raise InputError(f"its format cannot hold a winner: {error}", file=path) from error
        if text != (path.read_text(encoding="utf-8") if path.exists() else None):
            write_whole(path, text)
        return published

    def _is_told(self, row: Row, standing: Row, runs: Mapping[str, Run]) -> bool:
        """Whether a standing row tells all that this one does, but for the id and the date of its run."""
        is_row_same = replace(row, run=standing.run) == standing
        return is_row_same and replace(runs[standing.run], date=self._run.date) == self._run

    def _row(self, winner: Winner) -> Row:
        return Row(
            run=self._run_id,
            config=dict(winner.config),
            evidence=winner.evidence.value,
            time_us=round(winner.time_us, 4),
            ci_us=winner.ci_us,
            default_time_us=None if winner.default_time_us is None else round(winner.default_time_us, 4),
            kept_default=winner.kept_default,
            measure={**self._measure, "margin": winner.margin, **_in_flight(winner)},
            extra=_extra(winner),
        )

    def _empty(self, problem: Problem) -> TunedFile:
        return TunedFile(
            kernel=self._kernel.name,
            device=self._device.slug,
            device_name=self._device.device_name,
            arch=self._device.arch,
            problem=self._shared(problem),
            runs={},
            rows={},
        )

    def _read(self, problem: Problem) -> TunedFile | None:
        path = self.path(problem)
        try:
            file = read_tuned(path)
        except TunedFileError as error:
            hint = "mend it, or move it away"
            raise InputError(f"damaged results file ({error}); {hint}", file=path) from error
        if file is None:
            return None
        found = (file.kernel, file.device, dict(file.problem))
        if found != (self._kernel.name, self._device.slug, self._shared(problem)):
            raise InputError("damaged results file (it holds another kernel, device or problem)", file=path)
        return file

    def _shared(self, problem: Problem) -> dict[str, int | str]:
        return {axis.name: problem[axis.name] for axis in self._kernel.axes if not axis.ladder}


def _in_flight(winner: Winner) -> dict[str, float]:
    """What a modelled winner keeps in flight of what full bandwidth needs, where it streams memory."""
    return {} if winner.in_flight_share is None else {"in_flight": round(winner.in_flight_share, 3)}


def _extra(winner: Winner) -> dict[str, Any]:
    """What the format has no key for: a note on what was not measured, and the best that an engine's table can hold."""
    note, engine = _NOTES.get(winner.evidence), winner.exchanged
    notes: dict[str, Any] = {"note": note} if note else {}
    if engine is None:
        return notes
    row = {
        "config": dict(engine.config),
        "time_us": round(engine.time_us, 4),
        "ci_us": engine.ci_us,
        "default_time_us": None if engine.default_time_us is None else round(engine.default_time_us, 4),
        "kept_default": engine.kept_default,
    }
    return {**notes, "engine": row}


class Publishers:
    """Writes the winners of a plan, each under the GPU that it is for.

    Args:
        plan: the sweep.
        started: when its run was started, ISO 8601.
    """

    def __init__(self, plan: SweepPlan, started: str) -> None:
        self._plan, self._started = plan, started
        self._by_device: dict[str, Publisher] = {}

    def check(self, problems: Sequence[Problem]) -> None:
        """Finds out before any work whether the winners can be written.

        Raises:
            InputError: a results file is damaged or of something else, or the folder cannot be written.
        """
        for problem in problems:
            self._of(problem).check([problem])

    def publish(self, winner: Winner) -> Published:
        """Merges one winner into its file.

        Raises:
            InputError: the results file is damaged, or cannot be written; then it stays as it was.
        """
        return self._of(winner.problem).publish([winner])[0]

    def _of(self, problem: Problem) -> Publisher:
        device, plan = self._plan.device_of(problem), self._plan
        if device.slug not in self._by_device:
            run = Run(
                source_hash=plan.source_hash,
                versions=dict(plan.versions),
                date=self._started,
                extra={"sweep": plan.loaded.spec.name},
            )
            self._by_device[device.slug] = Publisher(
                plan.out, plan.kernel, device, plan.run_id, run, _how_measured(plan)
            )
        return self._by_device[device.slug]


def _how_measured(plan: SweepPlan) -> dict[str, Any]:
    """How times came about, for every row."""
    if plan.evidence is Evidence.MODELLED:
        return {"model": plan.model, "timed": False}
    if plan.evidence is Evidence.REPLAYED:
        noise = plan.loaded.spec.evaluate and plan.loaded.spec.model_dump()["evaluate"]["noise"]
        return {"noise": noise, "timed": False}
    return {"routing": plan.routing[0] if len(plan.routing) == 1 else plan.routing}


def _probe(path: Path) -> None:
    """Writes and removes a file in the nearest folder that exists."""
    folder = next(parent for parent in path.parents if parent.exists())
    if not folder.is_dir():
        raise InputError("is a file; results need a folder there", file=folder)
    write_whole(folder / ".workbench-probe", "")
    (folder / ".workbench-probe").unlink(missing_ok=True)
