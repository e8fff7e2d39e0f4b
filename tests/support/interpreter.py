"""Runs test files where Triton's kernels run in its interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_S

# Of each test, spread over its cases.
CASES = 4
ROOT = Path(__file__).parents[2]


def assert_pass_in_interpreter(config: pytest.Config, *files: Path) -> None:
    """Triton reads TRITON_INTERPRET when it is imported, so these tests take a process of their own.

    The interpreter takes a thousand times as long as a GPU: by default it runs some cases of each test, with --all all.
    """
    # One thread each: tensors are small, and tests may run side by side.
    interpreted = {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    plugins = ["-p", "no:cacheprovider", "-p", "no:xdist"]
    cases = ["--all"] if config.getoption("--all") else ["--cases", str(CASES)]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, *cases, *map(str, files)],
        env={**os.environ, **interpreted},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE_S,
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert " passed" in run.stdout
