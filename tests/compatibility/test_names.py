"""Commands, options and imports of an earlier version: all are there today; there may be more."""

from __future__ import annotations

import importlib
import json

import pytest
from typer.main import get_command

from tests.compatibility.recorded import DATA
from workbench.cli.main import app

COMMANDS = json.loads((DATA / "commands.json").read_text(encoding="utf-8"))
IMPORTS = json.loads((DATA / "imports.json").read_text(encoding="utf-8"))


def commands(command=None, path=()):
    """Every command with what can be given to it, by its words."""
    command = command or get_command(app)
    found = {" ".join(("workbench", *path)): parameters(command)}
    for name, each in getattr(command, "commands", {}).items():
        found |= commands(each, (*path, name))
    return found


def parameters(command):
    """Arguments in their order, options by name, each with its default and whether it takes a value or many."""
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    return {
        "arguments": [
            {"name": each.name, "required": each.required, "many": each.nargs == -1} for each in arguments
        ],
        "options": {
            name: {
                "default": None if each.default is None else str(each.default),
                "required": each.required,
                "flag": each.is_flag,
                "many": each.multiple,
            }
            for each in sorted(options, key=lambda option: option.name)
            for name in sorted((*each.opts, *each.secondary_opts))
        },
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_takes_what_it_took(name):
    found = commands()[name]
    recorded = COMMANDS[name]
    assert found["arguments"][: len(recorded["arguments"])] == recorded["arguments"]
    assert not [each for each in found["arguments"][len(recorded["arguments"]) :] if each["required"]]
    assert {option: found["options"].get(option) for option in recorded["options"]} == recorded["options"]
    added = found["options"].keys() - recorded["options"].keys()
    assert not [option for option in added if found["options"][option]["required"]]


@pytest.mark.parametrize("statement", IMPORTS["statements"])
def test_an_import_that_a_guide_shows_works(statement):
    if "integrations.transformers" in statement:
        pytest.importorskip("transformers")
    exec(statement, {})


@pytest.mark.parametrize("name", IMPORTS["names"])
def test_a_name_that_a_guide_tells_is_there(name):
    if "integrations.transformers" in name:
        pytest.importorskip("transformers")
    module, _, last = name.rpartition(".")
    assert hasattr(importlib.import_module(module), last) or importlib.import_module(name)
