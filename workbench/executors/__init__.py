"""Where work runs: killable worker processes on this machine."""

from workbench.executors.pool import WorkerPool, WorkFailure, outcome

__all__ = ["WorkFailure", "WorkerPool", "outcome"]
