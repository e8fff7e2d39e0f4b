from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.cli.results_for_routing import PROBLEM, write

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
SOURCES = [
    ".gitignore",
    "LICENSE",
    "README.md",
    "dashboards",
    "docs/schemas",
    "kernels",
    "pyproject.toml",
    "results",
    "sweeps",
    "workloads",
]
# Imported only by what needs the extra, which asks for it first.
NEEDS_AN_EXTRA = ("workbench.bench.harness.model",)
PLANTED = "NVIDIA_L40S"
RESULTS = "moe_kernels/_shipped/results"
SWEEPS = "workbench/_shipped/sweeps"
WORKLOADS = "workbench/_shipped/workloads"


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The checkout as a sweep leaves it: with a winner, the journal of a run, a lock and half a file."""
    folder = tmp_path_factory.mktemp("sources")
    for name in [*SOURCES, "workbench"]:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "runs", ".*")
            )
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, folder)
    winner = write(folder / "results", device=PLANTED)
    for leaving in ["runs/0123456789abcdef/trials.jsonl", "runs/.publish.lock", ".workbench-probe"]:
        (folder / "results" / leaving).parent.mkdir(parents=True, exist_ok=True)
        (folder / "results" / leaving).touch()
    winner.with_name(f".{winner.name}.tmp").touch()
    return folder


@pytest.fixture(scope="module")
def wheel(sources, tmp_path_factory):
    """Built as a release is: from the source distribution."""
    out = tmp_path_factory.mktemp("dist")
    build(sources, out)
    return only(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", folder, wheel], check=True, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def run(installed, tmp_path_factory):
    """Runs Python where the wheel is and the checkout is not: -S leaves out the .pth file of an editable install."""
    dependencies = [path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}]
    unset = {"PYTHONHOME", "TRITON_INTERPRET", "WORKBENCH_EVIDENCE", "WORKBENCH_RESULTS"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment["PYTHONPATH"] = os.pathsep.join([str(installed), *dependencies])
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    def run(*arguments, cwd=elsewhere):
        command = [sys.executable, "-S", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def loaded(run):
    """What a process finds that imports everything, asks for a winner, and has the other `kernels` too."""
    code = f"""
import importlib, json, pkgutil, sys
import moe_kernels, moe_kernels.tuned, workbench
import kernels
for package in (moe_kernels, workbench):
    for module in pkgutil.walk_packages(package.__path__, f"{{package.__name__}}."):
        if not module.name.endswith((".__main__", *{NEEDS_AN_EXTRA})):
            importlib.import_module(module.name)
ours = [module for name, module in sys.modules.items() if name.split(".")[0] in ("moe_kernels", "workbench")]
print(json.dumps({{
    "ours": [module.__file__ for module in ours],
    "winner": dict(moe_kernels.tuned.lookup("routing", {PROBLEM}, tokens=8, device="{PLANTED}")),
    "theirs": [kernels.get_kernel.__module__, kernels.__file__],
}}))
"""
    return json.loads(run("-c", code).splitlines()[-1])


def build(sources, out, *options):
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, *options, sources]
    subprocess.run(command, check=True, cwd=out, capture_output=True)


def only(found):
    (one,) = found
    return one


def names_in(wheel):
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_is_the_same_straight_from_the_checkout(sources, wheel, tmp_path):
    build(sources, tmp_path, "--wheel")
    assert names_in(only(tmp_path.glob("*.whl"))) == names_in(wheel)


def test_the_wheel_holds_the_two_packages_and_nothing_else(wheel):
    assert {name.split("/")[0] for name in names_in(wheel)} == {
        "moe_kernels",
        "workbench",
        only(name.split("/")[0] for name in names_in(wheel) if name.endswith("/RECORD")),
    }


def test_every_module_of_the_checkout_is_in_the_wheel(wheel):
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "workbench").rglob("*.py")}
    modules |= {str(path.relative_to(ROOT / "kernels")) for path in (ROOT / "kernels").rglob("*.py")}
    assert modules <= names_in(wheel)


def test_every_winner_sweep_and_workload_ships(sources, wheel):
    winners = {path.relative_to(sources / "results") for path in (sources / "results").glob("*/*/*.json")}
    shipped = {f"{RESULTS}/{path}" for path in winners}
    shipped |= {f"{SWEEPS}/{path.name}" for path in (ROOT / "sweeps").glob("*.yaml")}
    shipped |= {f"{WORKLOADS}/{path.name}" for path in (ROOT / "workloads").glob("*.yaml")}
    shipped |= {f"workbench/_shipped/docs/schemas/{path.name}" for path in (ROOT / "docs/schemas").glob("*")}
    assert shipped <= names_in(wheel)


def test_journals_locks_and_half_files_stay_out_of_the_wheel(wheel):
    folders_and_files = {part for name in names_in(wheel) for part in Path(name).parts}
    assert "runs" not in folders_and_files
    assert [part for part in folders_and_files if part.startswith(".")] == []


@pytest.mark.long
def test_every_installed_module_imports_from_where_the_wheel_was_installed(loaded, installed):
    assert len(loaded["ours"]) > 50
    assert [file for file in loaded["ours"] if not Path(file).is_relative_to(installed)] == []


def test_the_installed_lookup_takes_the_shipped_winners(loaded):
    assert loaded["winner"]["num_warps"] == 4


def test_both_distributions_work_in_one_process(loaded, installed):
    name, file = loaded["theirs"]
    assert name.startswith("kernels.")
    assert not Path(file).is_relative_to(installed)


def test_the_installed_command_answers(run):
    assert "sweep" in run("-m", "workbench", "--help")
    devices = json.loads(run("-m", "workbench", "devices", "--json"))
    assert "NVIDIA_B200" in json.dumps(devices)


def test_the_installed_command_shows_the_shipped_winners(run, installed):
    winners = json.loads(run("-m", "workbench", "show", "--json"))
    assert {winner["device"] for winner in winners} == {path.name for path in (installed / RESULTS).iterdir()}
    assert PLANTED in {winner["device"] for winner in winners}


def test_the_installed_command_finds_a_shipped_sweep_by_name(run, tmp_path):
    assert "routing" in run("-m", "workbench", "sweep", "routing", "--dry-run", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", [ROOT, ROOT / "kernels", ROOT / "tests"], ids=lambda folder: folder.name)
def test_the_name_kernels_stays_that_of_hugging_face_in_the_checkout(folder):
    code = "import importlib.util, moe_kernels; print(importlib.util.find_spec('kernels').origin)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    theirs = distribution("kernels").locate_file("kernels/__init__.py")
    assert done.stdout.strip() == str(theirs), done.stderr
