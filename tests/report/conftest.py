from __future__ import annotations

import pytest

from tests.sweep.in_process import Bench


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A whole sweep in this process, on answers that the test makes up."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKBENCH_RESULTS", raising=False)
    return Bench(tmp_path, monkeypatch)
