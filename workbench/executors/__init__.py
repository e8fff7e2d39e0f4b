"""Where work runs: killable worker processes, on this machine or on many."""

from workbench.executors.executor import Executor, WorkFailure
from workbench.executors.pool import WorkerPool
from workbench.executors.site import LocalSite, Site, local_site

__all__ = ["Executor", "LocalSite", "Site", "WorkFailure", "WorkerPool", "local_site"]
