from __future__ import annotations

import subprocess
import sys

import workbench.models.gemma4


def test_every_public_class_and_function_is_exported():
    public = {
        name
        for name, member in vars(workbench.models.gemma4).items()
        if callable(member) and not name.startswith("_")
    }
    assert public == set(workbench.models.gemma4.__all__)


def test_the_tool_and_its_models_package_import_without_torch():
    code = "import sys, workbench, workbench.models; sys.exit('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
    )
