"""The notebook of results runs from its first cell to its last, as it stands."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "results.ipynb"
# Of a cell; the slowest takes seconds, of a machine that has nothing else to do.
TIMEOUT_S = 600
LARGEST_PICTURE = 60_000


class ThisPython(AsyncKernelManager):
    """Runs a notebook in the Python of the tests, whatever kernels are installed."""

    @property
    def kernel_spec(self):
        return KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"])


@pytest.mark.slow
def test_every_cell_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "kernels")]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook, timeout=TIMEOUT_S, startup_timeout=TIMEOUT_S, kernel_manager_class=ThisPython
    )
    client.execute(cwd=str(NOTEBOOK.parent))
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in shown) == 3


def test_the_pictures_in_it_are_small():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert max(len(output.get("data", {}).get("image/png", "")) for output in shown) < LARGEST_PICTURE
    assert not any(output.output_type == "error" for output in shown)
