"""What a results folder holds; a damaged file is named, and the rest is read."""

from __future__ import annotations

from workbench.dashboard.sources.damage import Damage, Damages
from workbench.dashboard.sources.profiles import SavedProfile
from workbench.dashboard.sources.results import Results, read_results
from workbench.dashboard.sources.runs import SweepRun

__all__ = ["Damage", "Damages", "Results", "SavedProfile", "SweepRun", "read_results"]
