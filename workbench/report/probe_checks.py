"""Checks that run a probe, a small kernel in a process of its own: a failing driver can take its process along."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from workbench.report.doctor import Check

ARCHS = ("sm_90", "sm_100", "sm_120")
TIMEOUT_S = 180


@contextmanager
def running(what: str) -> Iterator[subprocess.Popen[str]]:
    """Starts one of the probes; it is gone when the context is left."""
    with tempfile.TemporaryDirectory() as cache:
        process = subprocess.Popen(
            [sys.executable, "-m", "workbench.report.probe", what, *(ARCHS if what == "compile" else ())],
            env=_environment(what, cache),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def compile_checks(process: subprocess.Popen[str]) -> tuple[Check, ...]:
    """Whether Triton compiles for GPUs that are not there, with nothing taken from its cache."""
    found, reason = _answer(process)
    if not isinstance(found, list):
        found = [{"arch": arch, "error": reason} for arch in ARCHS]
    return tuple(_compile_check(each) for each in found)


def interpreter_check(process: subprocess.Popen[str]) -> Check:
    """Whether Triton's interpreter computes what the kernel says: without a GPU, it verifies configs."""
    return _run_check("interpreter", process, "modelled sweeps cannot verify their configs")


def launch_check() -> Check:
    """Whether a kernel runs on the GPU at hand and computes what it should."""
    with running("launch") as process:
        return _run_check("launch on the GPU", process, "nothing can be measured")


def _environment(what: str, cache: str) -> Mapping[str, str]:
    paths = [path for path in sys.path if path]
    environment = {**os.environ, "TRITON_CACHE_DIR": cache, "PYTHONPATH": os.pathsep.join(paths)}
    environment.pop("TRITON_INTERPRET", None)
    return {**environment, "TRITON_INTERPRET": "1"} if what == "interpret" else environment


def _answer(process: subprocess.Popen[str]) -> tuple[Any, str]:
    """What a probe found, or None and why it found nothing."""
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return None, f"no answer in {TIMEOUT_S} s"
    if process.returncode:
        return None, _last_line(err) or f"ended with exit code {process.returncode}"
    try:
        return json.loads(_last_line(out)), ""
    except ValueError:
        return None, f"gave no result, but {_last_line(out)!r}"


def _last_line(text: str) -> str:
    lines: Sequence[str] = text.strip().splitlines()
    return lines[-1] if lines else ""


def _compile_check(found: Mapping[str, Any]) -> Check:
    name = f"compile for {found['arch']}"
    if "error" in found:
        return Check(name, "missing", found["error"], "sweeps for such a GPU need a triton that knows it")
    return Check(name, "ok", f"{found['seconds']:.2f} s for a kernel of three lines")


def _run_check(name: str, process: subprocess.Popen[str], otherwise: str) -> Check:
    found, reason = _answer(process)
    if found is None:
        return Check(name, "missing", reason, otherwise)
    if not found["correct"]:
        return Check(name, "missing", "a kernel of three lines gave wrong results", otherwise)
    return Check(name, "ok", "ran a kernel of three lines, its results are right")
