"""Which row a lookup takes, and why: the one place that decides it, for the lookup and for whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from moe_kernels.tuned._device import is_one_folder
from moe_kernels.tuned._folders import Folder
from moe_kernels.tuned._json import TunedFileError
from moe_kernels.tuned.format import PROVISIONAL, Row, TunedFile, Value

if TYPE_CHECKING:
    from moe_kernels.tunable import TunableKernel

State = Literal["taken", "no usable row", "damaged", "no file", "no folder", "not reached"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowVerdict:
    """One row of a results file, and whether a lookup may take it.

    Attributes:
        tokens: its rung of the ladder.
        row: the row.
        triton: the Triton version of its run, where the file states one.
        usable: True where nothing speaks against it.
        reason: what speaks against it.
    """

    tokens: int
    row: Row
    triton: str | None
    usable: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileVerdict:
    """One place where results were looked for.

    Attributes:
        origin: why that folder is considered, for example `$WORKBENCH_RESULTS`.
        path: the file.
        state: what came of it.
        reason: what is wrong, where it is damaged.
        rows: a verdict a row.
    """

    origin: str
    path: Path
    state: State
    reason: str = ""
    rows: tuple[RowVerdict, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a lookup returns and how it came to it.

    Attributes:
        kernel: the kernel's name.
        device: the device's slug, None where there is no device.
        problem: as asked.
        tokens: as asked.
        evidence: `measured`, or `modelled` where modelled rows are admitted too.
        source_hash: of the kernel's source at hand.
        files: every place that was considered, in order.
        taken: the row that the config comes from, None where the default is taken.
        config: what the lookup returns, complete and immutable.
        why: in one line, which row or why the default.
        warning: what a user should know although a row was taken, for example another Triton.
    """

    kernel: str
    device: str | None
    problem: Mapping[str, int | str]
    tokens: int
    evidence: str
    source_hash: str | None
    files: tuple[FileVerdict, ...]
    taken: RowVerdict | None
    config: Mapping[str, Value]
    why: str
    warning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a lookup has to decide, with all that is read from outside.

    Attributes:
        kernel: the kernel.
        device: the device's slug, None where there is none.
        no_device: why there is none.
        problem: the problem's axes; the ladder may be among them and is ignored.
        tokens: the ladder's value.
        evidence: `measured` or `modelled`.
        source_hash: of the kernel's source at hand.
        triton: the version of the Triton at hand.
        folders: where to look, in order.
        read: reads a file, None where there is none, `TunedFileError` where it is damaged.
    """

    kernel: TunableKernel
    device: str | None
    no_device: str
    problem: Mapping[str, int | str]
    tokens: int
    evidence: str
    source_hash: str | None
    triton: str | None
    folders: tuple[Folder, ...]
    read: Callable[[Path], TunedFile | None]


def decide(question: Question) -> Explanation:
    """Finds the row that a lookup takes, or why it takes the default."""
    if (obstacle := _obstacle(question)) is not None:
        return _explanation(question, (), None, f"the default config: {obstacle}")
    files: list[FileVerdict] = []
    decided = False
    for folder in question.folders:
        verdict = _unreached(folder, question) if decided else _examine(folder, question)
        decided = decided or verdict.state in ("taken", "damaged")
        files.append(verdict)
    return _conclude(question, tuple(files))


def _conclude(question: Question, files: tuple[FileVerdict, ...]) -> Explanation:
    for file in files:
        if file.state == "damaged":
            return _explanation(question, files, None, f"the default config: {file.path}: {file.reason}")
        if file.state == "taken":
            taken = _nearest((row for row in file.rows if row.usable), question.tokens)
            why = f"the row for {taken.tokens} {question.kernel.ladder.name} of {file.path}"
            return _explanation(question, files, taken, why)
    if reasons := [row.reason for file in files for row in file.rows]:
        return _explanation(question, files, None, f"the default config: no usable row ({reasons[0]})")
    return _explanation(question, files, None, "the default config: there are no results for this problem")


def _nearest(rows: Iterable[RowVerdict], tokens: int) -> RowVerdict:
    return min(rows, key=lambda row: (abs(row.tokens - tokens), row.tokens))


def _obstacle(question: Question) -> str | None:
    """What keeps the question from naming a file."""
    kernel, problem = question.kernel, question.problem
    if question.device is None:
        return question.no_device
    fixed = {axis.name for axis in kernel.axes if not axis.ladder}
    if missing := sorted(fixed - problem.keys()):
        return f"the problem lacks {', '.join(missing)}"
    if unknown := sorted(problem.keys() - fixed - {kernel.ladder.name}):
        return f"{kernel.name} has no axis {', '.join(unknown)}"
    names = (question.device, kernel.name, kernel.file_stem(problem) + ".json")
    wrong = [name for name in names if not is_one_folder(name)]
    return f"{wrong[0]!r} is no name of a folder or file" if wrong else None


def _path(folder: Folder, question: Question) -> Path:
    name = question.kernel.file_stem(question.problem) + ".json"
    return folder.path / str(question.device) / question.kernel.name / name


def _unreached(folder: Folder, question: Question) -> FileVerdict:
    return FileVerdict(origin=folder.origin, path=_path(folder, question), state="not reached")


def _examine(folder: Folder, question: Question) -> FileVerdict:
    path = _path(folder, question)
    try:
        file = question.read(path)
        if file is not None:
            _check_identity(file, question)
    except TunedFileError as error:
        return FileVerdict(origin=folder.origin, path=path, state="damaged", reason=str(error))
    if file is None:
        state: State = "no file" if folder.path.is_dir() else "no folder"
        return FileVerdict(origin=folder.origin, path=path, state=state)
    rows = tuple(_judge(tokens, row, file, question) for tokens, row in file.rows.items())
    state = "taken" if any(row.usable for row in rows) else "no usable row"
    return FileVerdict(origin=folder.origin, path=path, state=state, rows=rows)


def _check_identity(file: TunedFile, question: Question) -> None:
    """A file that was copied or renamed speaks of something else than its path says."""
    ladder = question.kernel.ladder.name
    asked = {
        "kernel": question.kernel.name,
        "device": question.device,
        "problem": {axis: value for axis, value in question.problem.items() if axis != ladder},
    }
    for key, expected in asked.items():
        if (found := getattr(file, key)) != expected:
            raise TunedFileError(f"is {found!r}, but the file is filed under {expected!r}", key=key)


def _judge(tokens: int, row: Row, file: TunedFile, question: Question) -> RowVerdict:
    run = file.runs[row.run]
    reason = (
        _wrong_config(row, question)
        or _wrong_evidence(row, question.evidence)
        or _wrong_source(run.source_hash, question.source_hash)
        or ""
    )
    triton = run.versions.get("triton")
    return RowVerdict(tokens=tokens, row=row, triton=triton, usable=not reason, reason=reason)


def _wrong_config(row: Row, question: Question) -> str | None:
    kernel = question.kernel
    if missing := [name for name in kernel.default_config if name not in row.config]:
        return f"config: {', '.join(missing)} is missing"
    try:
        config = kernel.complete(row.config)
        return kernel.why_rejected({**question.problem, kernel.ladder.name: question.tokens}, config)
    except Exception as error:  # a kernel of the user's own may fail in any way
        return str(error) or type(error).__name__


def _wrong_evidence(row: Row, admitted: str) -> str | None:
    if row.evidence == "measured" or (row.evidence == admitted == "modelled"):
        return None
    if row.evidence == "modelled":
        return "modelled, never timed; WORKBENCH_EVIDENCE=modelled admits it"
    if row.evidence == PROVISIONAL:
        return "provisional: its sweep ended before the best configs were timed again"
    return f"{row.evidence} rows are never loaded"


def _wrong_source(tuned: str, current: str | None) -> str | None:
    if current is None:
        return "the kernel's source cannot be read"
    return None if tuned == current else f"tuned for other source ({tuned[:16]}, now {current})"


def _explanation(
    question: Question, files: tuple[FileVerdict, ...], taken: RowVerdict | None, why: str
) -> Explanation:
    kernel = question.kernel
    # In the kernel's own order of parameters, whatever the file's.
    config = kernel.complete(taken.row.config) if taken else kernel.default_config
    return Explanation(
        kernel=kernel.name,
        device=question.device,
        problem=question.problem,
        tokens=question.tokens,
        evidence=question.evidence,
        source_hash=question.source_hash,
        files=files,
        taken=taken,
        config=MappingProxyType(config),
        why=why,
        warning=_other_triton(taken.triton, question.triton) if taken else "",
    )


def _other_triton(tuned: str | None, current: str | None) -> str:
    if tuned is None or current is None or tuned.split(".")[:2] == current.split(".")[:2]:
        return ""
    return f"the row was tuned with Triton {tuned}, this is {current}: its gain may not hold"
