from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_router_passes_its_tests_on_the_kernel_in_the_interpreter():
    tests = Path(__file__).with_name("test_router.py")
    # Triton reads the variable when it is imported, so this takes a process of its own.
    environment = {**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(tests)]
    run = subprocess.run(
        command,
        env=environment,
        cwd=tests.parents[3],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert " passed" in run.stdout
