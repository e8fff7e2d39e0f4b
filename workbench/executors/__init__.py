"""Where work runs: killable worker processes, on this machine or on many (`site` says where, `ray` is a cluster)."""

from workbench.executors.executor import Executor, WorkFailure
from workbench.executors.pool import WorkerPool

__all__ = ["Executor", "WorkFailure", "WorkerPool"]
