from __future__ import annotations

import importlib
from pathlib import Path

from tests.conftest import GPU_FILES

ROOT = Path(__file__).parents[1]


def test_the_files_that_only_a_gpu_runs_can_be_imported():
    paths = [path for pattern in GPU_FILES for path in sorted((ROOT / "tests").rglob(pattern))]
    assert len(paths) >= 6
    for path in paths:
        importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
