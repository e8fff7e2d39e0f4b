"""Owns a pool whose one worker has started a process of its own, until somebody ends it."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.executors.tasks import start_a_sleeper
from tests.support.patience import PATIENCE_S
from workbench.executors import WorkerPool

if __name__ == "__main__":
    with WorkerPool(2, timeout_s=PATIENCE_S) as pool:
        pool.submit(start_a_sleeper, Path(sys.argv[1])).result()
