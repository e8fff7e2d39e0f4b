"""What one trial is, tables of configs, the journal of a run, winners on disk.

`workbench.trials(run)` is the table of a run's trials; see `workbench.trials.frames.trials`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame


class _CallablePackage(ModuleType):
    """Importing a package makes it an attribute of the one around it, so that the function needs it to be callable."""

    def __call__(self, run: str | Path, results: str | Path = "results") -> DataFrame:
        from workbench.trials.frames import trials

        return trials(run, results)


sys.modules[__name__].__class__ = _CallablePackage
