from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOE_KERNELS = ROOT / "kernels" / "moe_kernels"
WORKBENCH = ROOT / "workbench"
SLOW_TO_IMPORT = {
    "matplotlib",
    "msgspec",
    "numba",
    "numpy",
    "nvtx",
    "pandas",
    "pyarrow",
    "pydantic",
    "torch",
    "transformers",
    "triton",
    "yaml",
}
# From the ground up: a package imports only those that stand before it.
LAYERS = (
    "base",
    "trials",
    "measure",
    "devices",
    "executors",
    "search",
    "replay",
    "ranking",
    "models",
    "integrations",
    "sweep",
    "timeline",
    "bench",
    "compare",
    "figures",
    "plots",
    "report",
    "dashboard",
    "cli",
)


@cache
def modules() -> Mapping[str, Path]:
    """Every module of the tool and of the kernels by its dotted name."""
    paths = {
        path.relative_to(folder.parent).with_suffix(""): path
        for folder in (WORKBENCH, MOE_KERNELS)
        for path in folder.rglob("*.py")
    }
    return {".".join(name.parts).removesuffix(".__init__"): path for name, path in paths.items()}


@cache
def imports() -> Mapping[str, frozenset[str]]:
    """What each module imports of these: anywhere in it, be it in a function or for types only."""
    return {name: frozenset(_imported(name, path)) for name, path in modules().items()}


def _imported(importer: str, path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{importer} imports relatively"
            found = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [name if name in modules() else str(node.module) for name in found]
        else:
            continue
        yield from (name for name in found if name in modules() and name != importer)


def layer_of(module: str) -> str:
    """The package of the tool that a module is in; of other modules nothing."""
    package, *within = module.split(".")
    return within[0] if package == "workbench" and within else ""


def is_above(one: str, other: str) -> bool:
    return one in LAYERS and other in LAYERS and LAYERS.index(one) > LAYERS.index(other)


def test_every_package_has_a_layer():
    packages = {path.name for path in WORKBENCH.iterdir() if (path / "__init__.py").is_file()}
    assert packages == set(LAYERS)


def test_no_package_imports_upward():
    upward = [
        f"{importer} imports {imported}"
        for importer, names in imports().items()
        for imported in names
        if imported == "workbench" or is_above(layer_of(imported), layer_of(importer))
    ]
    assert upward == []


def test_only_the_command_line_draws_plots():
    layers = {layer_of(importer) for importer, names in imports().items() if "plots" in map(layer_of, names)}
    assert layers == {"plots", "cli"}


def test_no_modules_import_each_other_in_a_circle():
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_the_kernels_import_nothing_of_the_tool():
    importers = [
        f"{importer} imports {name}"
        for importer, names in imports().items()
        for name in names
        if importer.startswith("moe_kernels") and name.startswith("workbench")
    ]
    assert importers == []


def test_the_kernels_load_where_the_tool_is_not_installed():
    code = "import sys; sys.modules['workbench'] = None; import moe_kernels.routing, moe_kernels.tuned"
    assert python(code, MOE_KERNELS.parent) == ""


def test_the_command_line_starts_without_the_slow_imports():
    """Not after `--help` either."""
    code = f"""
import contextlib, io, sys
from workbench.cli.main import main
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as shown:
    main(["--help"])
assert "sweep" in shown.getvalue()
print(*sys.modules.keys() & {SLOW_TO_IMPORT})
"""
    assert python(code, ROOT, MOE_KERNELS.parent).split() == []


@pytest.mark.parametrize(
    "module", ["bench.importers", "report.bench", "plots.sweep", "plots.bench", "dashboard.collect"]
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
