from __future__ import annotations

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

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


def imported(names):
    for name in names:
        if name == "workbench.bench.harness.model" and find_spec("lm_eval") is None:
            continue  # It needs the extra `quality`.
        yield import_module(name)


def test_the_public_names_of_every_module_are_there_and_in_order():
    assert DECLARING
    assert [
        (module.__name__, name)
        for module in imported(DECLARING)
        for name in module.__all__
        if name.startswith("_") or not hasattr(module, name)
    ] == []
    assert [
        module.__name__
        for module in imported(DECLARING)
        if list(module.__all__) != sorted(set(module.__all__), key=constants_then_classes_then_functions)
    ] == []


def test_a_package_declares_every_public_name_that_is_its_own():
    assert PACKAGES
    assert [
        (package.__name__, name)
        for package in imported(PACKAGES)
        for name, member in vars(package).items()
        if not name.startswith("_") and is_defined_in(package, member) and name not in package.__all__
    ] == []


def is_defined_in(package, member):
    return f"{getattr(member, '__module__', None)}.".startswith(f"{package.__name__}.")
