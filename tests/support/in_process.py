"""Calls what a process of its own would run, in this one, which has imported it all; and leaves no trace of it here."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any, TextIO
from unittest import mock

from moe_kernels import tuned
from workbench.cli.main import main


def workbench_here(
    arguments: list[str], *, cwd: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """The command with these arguments, as if it had been started in a folder, with these variables alone."""
    return call_here(
        lambda: main(arguments), arguments=["workbench", *arguments], cwd=cwd, environment=environment
    )


def call_here(
    function: Callable[[], Any],
    *,
    arguments: list[str],
    cwd: Path,
    environment: Mapping[str, str],
    out: TextIO | None = None,
) -> subprocess.CompletedProcess[str]:
    """How a program ended and what it printed; with `out`, its standard output goes there."""
    printed, complained = StringIO(), StringIO()
    with (
        contextlib.chdir(cwd),
        mock.patch.dict(os.environ, environment, clear=True),
        mock.patch.object(sys, "argv", arguments),
        contextlib.redirect_stdout(out or printed),
        contextlib.redirect_stderr(complained),
    ):
        # The kernels remember what they read in a folder.
        tuned.refresh()
        try:
            code = _exit_code(function)
        finally:
            tuned.refresh()
    return subprocess.CompletedProcess(arguments, code, printed.getvalue(), complained.getvalue())


def _exit_code(function):
    try:
        function()
    except SystemExit as ended:
        return ended.code or 0
    except Exception:
        traceback.print_exc()
        return 1
    return 0
