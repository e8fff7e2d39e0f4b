from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


@pytest.fixture
def gpu_steps():
    spec = importlib.util.spec_from_file_location("gpu_steps", PROJECT / "scripts" / "gpu_steps.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_steps"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gpu_steps"]


@pytest.fixture
def run(gpu_steps, tmp_path, monkeypatch):
    """Runs the script with steps of the test's own, each a Python text."""

    def run(steps, *arguments):
        own = []
        for name, text in steps.items():
            (tmp_path / f"{name}.py").write_text(text)
            own.append(gpu_steps.Step(name, "a test", 0, (str(tmp_path / f"{name}.py"),)))
        monkeypatch.setattr(gpu_steps, "STEPS", own)
        monkeypatch.setattr(sys, "argv", ["gpu_run", "--out", str(tmp_path / "out"), *arguments])
        return gpu_steps.main()

    return run


def states(tmp_path):
    return {
        name: each["state"]
        for name, each in json.loads((tmp_path / "out" / "steps.json").read_text()).items()
    }


def test_every_step_names_a_file_that_exists_and_options_that_the_command_has(gpu_steps):
    from typer.testing import CliRunner

    from workbench.cli.main import app

    for step in gpu_steps.STEPS:
        first, *rest = step.command
        assert all((PROJECT / word).exists() for word in step.command if word.endswith((".py", ".yaml")))
        if first == "workbench":
            assert CliRunner().invoke(app, [*rest, "--help"]).exit_code == 0, step.name


def test_steps_run_in_order_and_are_not_run_again(run, tmp_path):
    steps = {name: f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})" for name in "ab"}
    assert run(steps) == run(steps) == 0
    assert (tmp_path / "ran").read_text() == "ab"
    assert run(steps, "--again", "--steps", "b") == 0
    assert (tmp_path / "ran").read_text() == "abb"


def test_a_step_that_fails_does_not_keep_the_next_from_running(run, tmp_path):
    assert run({"bad": "raise SystemExit(3)", "good": ""}) == 1
    assert states(tmp_path) == {"bad": "failed", "good": "done"}


def test_a_step_that_the_limit_cuts_off_starts_again(run, gpu_steps, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_steps, "GRACE_S", 0.5)
    monkeypatch.setattr(gpu_steps, "PACKING_S", 0)
    assert run({"slow": "import time; time.sleep(60)"}, "--limit", "1.5") == gpu_steps.LEFT_OVER
    assert states(tmp_path) == {"slow": "cut"}
    assert run({"slow": ""}) == 0
    assert states(tmp_path) == {"slow": "done"}


def test_journals_are_packed_into_one_file(run, tmp_path):
    runs = tmp_path / "out" / "results" / "runs"
    text = (
        f"import pathlib; p = pathlib.Path({str(runs)!r}); p.mkdir(parents=True); (p / 'x').write_text('1')"
    )
    assert run({"sweep": text}) == 0
    assert (tmp_path / "out" / "journals.tar.gz").stat().st_size > 0
