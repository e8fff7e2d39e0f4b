from __future__ import annotations

import pytest

from moe_kernels import tuned


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    """An empty folder as $WORKBENCH_RESULTS, another as the current one, and nothing remembered."""
    folder = tmp_path / "named"
    folder.mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("WORKBENCH_RESULTS", str(folder))
    monkeypatch.delenv("WORKBENCH_EVIDENCE", raising=False)
    tuned.refresh()
    yield folder
    tuned.refresh()
