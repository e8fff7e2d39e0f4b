"""Public names: packages declare them, no module repeats the declaration, and a class name means one class."""

from __future__ import annotations

import ast
from collections import defaultdict
from importlib import import_module
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


PACKAGES = [dotted(name) for path, name in FILES if declares_all(path) and path.name == "__init__.py"]


def constants_then_classes_then_functions(name):
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def test_only_packages_declare_their_public_names():
    assert [dotted(name) for path, name in FILES if path.name != "__init__.py" and declares_all(path)] == []


def test_the_public_names_of_a_package_are_there_and_in_order():
    wrong = {}
    for package in PACKAGES:
        names = import_module(package).__all__
        missing = [name for name in names if not hasattr(import_module(package), name)]
        private = [name for name in names if name.startswith("_") and name != "__version__"]
        if missing or private or list(names) != sorted(set(names), key=constants_then_classes_then_functions):
            wrong[package] = names
    assert wrong == {}


def test_a_package_declares_every_public_name_that_is_its_own():
    undeclared = {}
    for name in PACKAGES:
        package = import_module(name)
        own = {each for each, member in vars(package).items() if is_defined_in(package, member)}
        if missing := {each for each in own if not each.startswith("_")} - set(package.__all__):
            undeclared[name] = missing
    assert undeclared == {}


def is_defined_in(package, member):
    return f"{getattr(member, '__module__', None)}.".startswith(f"{package.__name__}.")


def test_each_public_class_name_is_defined_once():
    found = defaultdict(list)
    for path, name in FILES:
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(dotted(name))
    assert {name: places for name, places in found.items() if len(places) > 1} == {}
