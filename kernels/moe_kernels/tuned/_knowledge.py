"""What lookups read from outside, each thing once: the environment, results files, the kernels' source."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moe_kernels.tuned._device import Located
from moe_kernels.tuned._folders import Folder, read_tuned, results_folders
from moe_kernels.tuned._json import TunedFileError
from moe_kernels.tuned.explanation import Question
from moe_kernels.tuned.format import TunedFile
from moe_kernels.tuned.source import source_hash

if TYPE_CHECKING:
    from moe_kernels.tunable import TunableKernel

EVIDENCE_VARIABLE = "WORKBENCH_EVIDENCE"
ADMITTED = ("measured", "modelled")

_log = logging.getLogger("moe_kernels.tuned")


@dataclass(slots=True)
class Knowledge:
    """What has been read so far.

    Attributes:
        folders: where to look for results, in order.
        evidence: what the environment admits.
        triton: the version of the Triton at hand.
    """

    folders: tuple[Folder, ...]
    evidence: str
    triton: str | None
    _files: dict[Path, TunedFile | TunedFileError | None] = field(default_factory=dict)
    _hashes: dict[tuple[int, ...], str | None] = field(default_factory=dict)
    # Keeps kernels alive, as hashes and answers are filed under their identity.
    _kernels: list[tuple[TunableKernel, tuple[Any, ...]]] = field(default_factory=list)

    @classmethod
    def from_environment(cls) -> Knowledge:
        """Reads the environment, and no file yet."""
        return cls(results_folders(), _admitted_evidence(), _triton_version())

    def of_folders(self, paths: Sequence[Path]) -> Knowledge:
        """The same with other folders to look in, whose files are read anew."""
        return replace(self, folders=tuple(Folder("given", path) for path in paths), _files={})

    def question(
        self,
        kernel: TunableKernel,
        problem: Mapping[str, int | str],
        tokens: int,
        located: Located,
        evidence: str | None = None,
    ) -> Question:
        """Puts together what a lookup has to decide."""
        seen = kernel.of(problem)
        return Question(
            kernel=seen,
            device=located.slug,
            no_device=located.why,
            problem=dict(problem),
            tokens=tokens,
            evidence=evidence or self.evidence,
            source_hash=self._source_hash(kernel, seen.kernels),
            triton=self.triton,
            folders=self.folders,
            read=self._read,
        )

    def _source_hash(self, kernel: TunableKernel, functions: tuple[Any, ...]) -> str | None:
        key = tuple(map(id, functions))
        if id(kernel) not in {id(known) for known, _ in self._kernels} or key not in self._hashes:
            self._kernels.append((kernel, functions))
            self._hashes[key] = source_hash(functions)
        return self._hashes[key]

    def _read(self, path: Path) -> TunedFile | None:
        if path not in self._files:
            try:
                self._files[path] = read_tuned(path)
            except TunedFileError as error:
                self._files[path] = error
        found = self._files[path]
        if isinstance(found, TunedFileError):
            raise found
        return found


def _admitted_evidence() -> str:
    named = os.environ.get(EVIDENCE_VARIABLE) or "measured"
    if named in ADMITTED:
        return named
    _log.warning(
        "%s=%r is not one of %s; only measured rows count", EVIDENCE_VARIABLE, named, ", ".join(ADMITTED)
    )
    return "measured"


def _triton_version() -> str | None:
    try:
        import triton
    except ImportError:
        return None
    return str(triton.__version__)
