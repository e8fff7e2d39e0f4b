"""Runs the commands of a page: as a reader does, or in this process, which has what they import already."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from tests.docs.blocks import ours
from tests.support.in_process import call_here
from tests.support.patience import PATIENCE_S
from workbench.cli.main import main

# What only a shell can make something of.
SHELL_ONLY = re.compile(r"[$`*?~;&|<\n]")


@dataclass(frozen=True)
class Done:
    """How a command ended, and all that it printed."""

    code: int
    printed: str


def run_in_fresh_process(text: str, language: str, folder: Path, environment: dict[str, str]) -> Done:
    """As a reader runs it."""
    start = [sys.executable, "-c"] if language == "python" else ["bash", "-euo", "pipefail", "-c"]
    done = subprocess.run(
        [*start, text],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    return Done(done.returncode, done.stdout + done.stderr)


def run_here(text: str, language: str, folder: Path, environment: dict[str, str]) -> Done:
    """Python, a command of ours and a script that the page wrote in this process, anything else as a reader does."""
    if language == "python":
        code = compile(text, "<page>", "exec")
        return _call(lambda: exec(code, {"__name__": "__main__"}), ["-c"], folder, environment)
    line = text.replace("\\\n", " ")
    if SHELL_ONLY.search(line):
        return run_in_fresh_process(text, language, folder, environment)
    words, file = _split(line)
    variables = {}
    while "=" in words[0]:
        name, _, variables[name] = words.pop(0).partition("=")
    environment = environment | variables
    if (arguments := ours(shlex.join(words))) is not None:
        return _call(lambda: main(arguments), ["workbench", *arguments], folder, environment, file)
    if words[0] == "python" and re.fullmatch(r"\w+\.py", words[1]):
        script = folder / words[1]
        return _call(
            lambda: runpy.run_path(str(script), run_name="__main__"), words[1:], folder, environment, file
        )
    return run_in_fresh_process(text, language, folder, environment)


def _split(line):
    """The words of a command, and the file that takes its output."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=">")
    lexer.whitespace_split = True
    words = list(lexer)
    return (words[:-2], words[-1]) if ">" in words[-2:-1] else (words, None)


def _call(function, arguments, folder, environment, file=None):
    with (folder / file).open("w", encoding="utf-8") if file else nullcontext() as out:
        done = call_here(function, arguments=arguments, cwd=folder, environment=environment, out=out)
    return Done(done.returncode, done.stdout + done.stderr)
