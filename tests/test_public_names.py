from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [
    (path, path.relative_to(base))
    for base, package in [(ROOT, "workbench"), (ROOT / "kernels", "moe_kernels")]
    for path in sorted((base / package).rglob("*.py"))
]


def declares_all(path):
    assigned = (node.targets for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.Assign))
    return any(isinstance(name, ast.Name) and name.id == "__all__" for names in assigned for name in names)


def dotted(path):
    return ".".join(path.parts).removesuffix(".py").removesuffix(".__init__")


DECLARING = [dotted(name) for path, name in FILES if declares_all(path)]
PACKAGES = [dotted(name) for path, name in FILES if declares_all(path) and path.name == "__init__.py"]


def constants_then_classes_then_functions(name):
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("name", DECLARING)
def test_the_public_names_of_a_module_are_there_and_in_order(name):
    if name == "workbench.bench.harness.model":
        pytest.importorskip("lm_eval", reason="needs the extra `quality`")
    module = import_module(name)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert [name for name in module.__all__ if name.startswith("_")] == []
    assert list(module.__all__) == sorted(set(module.__all__), key=constants_then_classes_then_functions)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_declares_every_public_name_that_is_its_own(name):
    package = import_module(name)
    own = {name for name, member in vars(package).items() if is_defined_in(package, member)}
    assert {name for name in own if not name.startswith("_")} <= set(package.__all__)


def is_defined_in(package, member):
    return f"{getattr(member, '__module__', None)}.".startswith(f"{package.__name__}.")
