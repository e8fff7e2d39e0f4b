from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOE_KERNELS = ROOT / "kernels" / "moe_kernels"
SLOW_TO_IMPORT = {"matplotlib", "msgspec", "numpy", "pydantic", "ruamel", "torch", "transformers", "triton"}


def imported_by(path):
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize(
    "path", sorted(MOE_KERNELS.rglob("*.py")), ids=lambda path: str(path.relative_to(MOE_KERNELS))
)
def test_the_kernels_import_nothing_of_the_tool(path):
    assert "workbench" not in set(imported_by(path))


def test_the_kernels_load_where_the_tool_is_not_installed():
    code = "import sys; sys.modules['workbench'] = None; import moe_kernels.routing, moe_kernels.tuned"
    assert python(code, MOE_KERNELS.parent) == ""


def test_the_command_line_starts_without_the_slow_imports():
    code = f"import sys, workbench.cli.main; print(*sys.modules.keys() & {SLOW_TO_IMPORT})"
    assert python(code, ROOT, MOE_KERNELS.parent).split() == []


@pytest.mark.parametrize(
    "module", ["bench.importers", "report.bench", "report.plots.sweep", "report.plots.bench"]
)
def test_pictures_and_imports_need_neither_torch_nor_matplotlib_until_something_is_drawn(module):
    code = f"import sys, workbench.{module}; print(*sys.modules.keys() & {{'torch', 'triton', 'matplotlib'}})"
    assert python(code, ROOT, MOE_KERNELS.parent).split() == []


def test_the_folder_of_the_kernels_is_no_package():
    assert not (MOE_KERNELS.parent / "__init__.py").exists()


def python(code, *path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
