from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import pytest

if os.environ.get("TRITON_INTERPRET") == "1":
    from workbench.sweep.stages.interpreter import mend_interpreter

    mend_interpreter()


@pytest.fixture(scope="module")
def workers(warm_workers):
    """Compiling for another GPU swaps the driver of a whole process, so it is never this one."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool
