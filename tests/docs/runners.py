"""Runs the commands of a page: as a reader does, or in this process, which has what they import already."""

from __future__ import annotations

import contextlib
import os
import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from unittest import mock

from moe_kernels import tuned
from tests.docs.blocks import ours
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
        return _call(
            lambda: exec(compile(text, "<page>", "exec"), {"__name__": "__main__"}), folder, environment
        )
    line = text.replace("\\\n", " ")
    if SHELL_ONLY.search(line):
        return run_in_fresh_process(text, language, folder, environment)
    words, file = _split(line)
    variables = {}
    while "=" in words[0]:
        name, _, variables[name] = words.pop(0).partition("=")
    environment = environment | variables
    if (arguments := ours(shlex.join(words))) is not None:
        return _call(lambda: main(arguments), folder, environment, file=file)
    if words[0] == "python" and re.fullmatch(r"\w+\.py", words[1]):
        return _call(
            lambda: runpy.run_path(words[1], run_name="__main__"), folder, environment, words[1:], file
        )
    return run_in_fresh_process(text, language, folder, environment)


def _split(line):
    """The words of a command, and the file that takes its output."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=">")
    lexer.whitespace_split = True
    words = list(lexer)
    return (words[:-2], words[-1]) if ">" in words[-2:-1] else (words, None)


def _call(function, folder, environment, arguments=("workbench",), file=None):
    """Leaves this process as it was: its folder, its variables, and what the kernels remember of both."""
    said = StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(folder))
        stack.enter_context(mock.patch.dict(os.environ, environment, clear=True))
        stack.enter_context(mock.patch.object(sys, "argv", list(arguments)))
        out = stack.enter_context(Path(file).open("w", encoding="utf-8")) if file else said
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(said))
        stack.callback(tuned.refresh)
        tuned.refresh()
        try:
            function()
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
    return Done(code, said.getvalue())
