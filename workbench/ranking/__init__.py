"""Ranks the configs of the fused expert kernels for a GPU that is not there; needs neither torch nor Triton."""

from __future__ import annotations

from workbench.ranking.board import Board
from workbench.ranking.ranker import Ranker, load_ranker, rank, shipped_ranker
from workbench.ranking.workload import Workload

__all__ = ["Board", "Ranker", "Workload", "load_ranker", "rank", "shipped_ranker"]
