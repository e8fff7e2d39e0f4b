from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_S
from workbench import __version__
from workbench.base.errors import GateError, InputError, NothingValidError, WorkerError
from workbench.cli import main as cli

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "sweep",
    "show",
    "explain",
    "export",
    "import",
    "lint",
    "compare",
    "devices",
    "doctor",
    "trace",
    "rank",
    "schema",
)
SUBCOMMANDS = (("bench", "import"), ("plot", "sweep"), ("plot", "bench"))


@pytest.fixture
def run(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            cli.main(list(arguments))
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return run


def test_the_version_is_one_line(run):
    assert run("--version") == (0, f"workbench {__version__}\n", "")


def test_help_lists_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(command in out for command in [*COMMANDS, *dict(SUBCOMMANDS)])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"workbench {command}" in out


@pytest.mark.parametrize("command", SUBCOMMANDS, ids=" ".join)
def test_every_subcommand_has_help_with_an_example(run, command):
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert f"workbench {' '.join(command)}" in out


@pytest.mark.parametrize("arguments", [["swep"], ["--nothing"], ["sweep"], ["sweep", "--out"]])
def test_wrong_usage_is_one_line_and_exit_code_2(run, arguments):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "error, code, line",
    [
        (InputError("is wrong", file="a.yaml", line=3, key="name"), 2, "error: a.yaml:3: name: is wrong\n"),
        (InputError("two\nlines"), 2, "error: two lines\n"),
        (WorkerError("the workers cannot run"), 2, "error: the workers cannot run\n"),
        (NothingValidError("no config"), 3, "error: no config\n"),
        (GateError("slower"), 1, "error: slower\n"),
        (KeyboardInterrupt(), 130, "error: interrupted; the same command continues\n"),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(run, monkeypatch, error, code, line):
    def fail(**_):
        raise error

    monkeypatch.setattr("workbench.base.shipped.shipped_sweeps", fail)
    assert run("sweep", "routing") == (code, "", line)


@pytest.mark.parametrize("command", [[sys.executable, "-m", "workbench"]])
def test_the_module_is_the_command(command):
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    found = subprocess.run(
        [*command, "sweep", "missing.yaml"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("error: missing.yaml")
    assert "Traceback" not in found.stderr
