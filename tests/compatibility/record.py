"""Records what a command prints today, in a copy of the data.

    python -m tests.compatibility.record [--versions] NAME [VARIABLE=VALUE] COMMAND...

An output that is there already is left as it is: it is what an earlier version printed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from tests.compatibility.recorded import OUTPUTS, copy_of_data, printed, versions


def record(name, arguments, *, of_these_versions):
    path = OUTPUTS / f"{name}.json"
    if path.exists():
        sys.exit(f"{path} is there already")
    environment = {}
    while arguments and "=" in arguments[0]:
        variable, _, environment[variable] = arguments.pop(0).partition("=")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(copy_of_data(Path(folder)))
        found = printed(*arguments, **environment)
        os.chdir("/")
    if of_these_versions:
        found = {"versions": versions(), **found}
    OUTPUTS.mkdir(exist_ok=True)
    lines = ",\n ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found.items())
    path.write_text(f"{{{lines}}}\n", encoding="utf-8")


if __name__ == "__main__":
    given = sys.argv[1:]
    depends = given[:1] == ["--versions"]
    name, *arguments = given[depends:]
    record(name, arguments, of_these_versions=depends)
