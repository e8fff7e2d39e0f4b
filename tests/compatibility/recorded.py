"""Commands that run in a copy of what an earlier version left, and what that version printed.

The README beside this file says how the files came about.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import shutil
from importlib.metadata import version
from pathlib import Path

import pynvml
import pytest

from workbench.cli.main import main

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parent / "data"
OUTPUTS = DATA / "outputs"
NO_FIGURES = {"age_days", "subtitle"}
VARIABLES = (
    "WORKBENCH_RESULTS",
    "WORKBENCH_EVIDENCE",
    "VLLM_TUNED_CONFIG_FOLDER",
    "SGLANG_MOE_CONFIG_DIR",
    "VLLM_BATCH_INVARIANT",
    "GITHUB_STEP_SUMMARY",
)


def copy_of_data(folder):
    """What was left, without what was printed: its own files can be changed at will."""
    return Path(
        shutil.copytree(DATA, folder / "data", ignore=lambda at, _: {"outputs"} if at == str(DATA) else ())
    )


def run(*arguments, **environment):
    """Runs a command in this process and the current folder.

    Returns:
        Its exit code, what it printed, and its lines on standard error; paths begin here or at the checkout's root.
    """
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        for name in VARIABLES:
            patch.delenv(name, raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, arguments)))
    return ended.value.code, relative(out.getvalue()), relative(err.getvalue()).splitlines()


def relative(text):
    return text.replace(f"{Path.cwd()}{os.sep}", "").replace(f"{ROOT}{os.sep}", "")


def done(*arguments, **environment):
    """What a command that succeeds prints."""
    code, out, err = run(*arguments, **environment)
    assert code == 0, err
    return out


def printed(*arguments, **environment):
    """A command as it is recorded: JSON as it is, other text by lines, and of standard error the error alone."""
    code, out, err = run(*arguments, **environment)
    return {
        "environment": environment,
        "command": list(arguments),
        "code": code,
        "out": json.loads(out)
        if "--json" in arguments and out
        else [line.rstrip() for line in out.splitlines()],
        "err": [line for line in err if line.startswith("error: ")],
    }


def differences(found, recorded, at=""):
    """Where something that was recorded is no longer found; what is new is no difference, nor is rounding."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        if is_an_age(recorded):
            return differences(found.get("hint"), recorded["hint"], f"{at}.hint")
        return [
            each
            for key, value in recorded.items()
            if key not in NO_FIGURES
            for each in differences(found.get(key, "(missing)"), value, f"{at}.{key}")
        ]
    if isinstance(recorded, list) and isinstance(found, list) and len(found) == len(recorded):
        pairs = enumerate(zip(found, recorded, strict=True))
        return [each for place, pair in pairs for each in differences(*pair, f"{at}[{place}]")]
    return [] if is_same(found, recorded) else [f"{at}: {found!r}, was {recorded!r}"]


def is_an_age(value):
    """Whether a cell of a dashboard tells how long ago something was; the time itself is its hint."""
    return bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", str(value.get("hint"))))


def is_same(found, recorded):
    numbers = (int, float)
    if type(found) in numbers and type(recorded) in numbers:
        return math.isclose(found, recorded, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(found, str) and isinstance(recorded, str):
        # How a parser words its complaint is its own affair; the file and the line are not.
        found, recorded = (re.sub(r"(malformed YAML: ).*", r"\1", text) for text in (found, recorded))
    return type(found) is type(recorded) and found == recorded


def versions():
    """What a run's id holds of the machine."""
    return {"triton": version("triton"), "driver": driver()}


def driver():
    try:
        pynvml.nvmlInit()
        return pynvml.nvmlSystemGetDriverVersion()
    except pynvml.NVMLError:
        return "none"


def files_in(folder):
    """The content of every file in a folder, by its path; locks are none."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
