from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from moe_kernels.tuned import parse, serialise
from tests.support.patience import PATIENCE_S, wait_for
from tests.support.processes import wait_until_gone

PROJECT = Path(__file__).parents[1]
SHIPPED = PROJECT / "results" / "NVIDIA_H200" / "routing" / "E=128,K=8,dtype=bf16.json"


@pytest.fixture(scope="module", autouse=True)
def _scripts_can_be_imported():
    sys.path.insert(0, str(PROJECT / "scripts"))
    yield
    sys.path.remove(str(PROJECT / "scripts"))


def step(name, text, folder, **more):
    """A step that runs a Python text."""
    from first_contact.plan import Step

    path = folder / f"{name}.py"
    path.write_text(text)
    fields = {"limit_s": 60, "assumed_s": 1, "least_s": 0, **more}
    return Step(name=name, what="a test", call=1, command=(str(path),), **fields)


@pytest.fixture
def run(tmp_path):
    """Runs steps of the test's own; gives the state of each."""
    from first_contact.runner import GpuMachine, run_steps

    def run(*steps, limit_s=None, again=False, out="out"):
        folder = tmp_path / out
        folder.mkdir(exist_ok=True)
        machine = GpuMachine(folder, tmp_path / "archives")
        found = run_steps(steps, machine, folder, tmp_path / "archives", limit_s=limit_s, again=again)
        return {name: outcome.state for name, outcome in found.items()}

    return run


@pytest.fixture
def short_grace(monkeypatch):
    monkeypatch.setattr("first_contact.runner.GRACE_S", 0.5)
    monkeypatch.setattr("first_contact.runner.PACKING_S", 0.0)


def says(path, word):
    return f"open({str(path)!r}, 'a').write({word!r})"


def test_the_plan_fits_its_calls():
    from first_contact.plan import CALLS, STEPS
    from first_contact.runner import GRACE_S, PACKING_S

    for call, limit_s in CALLS.items():
        assert sum(step.limit_s for step in STEPS if step.call == call) <= limit_s - GRACE_S - PACKING_S


def test_every_step_names_files_that_exist_and_options_that_its_command_has():
    from first_contact.plan import STEPS
    from typer.testing import CliRunner

    from workbench.cli.main import app

    for each in STEPS:
        for first, *rest in filter(None, (each.command, each.rehearsed_as)):
            assert all(
                (PROJECT / word).exists() for word in (first, *rest) if word.endswith((".py", ".yaml"))
            )
            if first == "workbench":
                assert CliRunner().invoke(app, [*rest, "--help"]).exit_code == 0, each.name


def test_steps_run_in_order_and_are_not_run_again(run, tmp_path):
    steps = [step(name, says(tmp_path / "ran", name), tmp_path) for name in "ab"]
    run(*steps)
    assert run(*steps) == {"a": "done", "b": "done"}
    assert (tmp_path / "ran").read_text() == "ab"
    run(steps[1], again=True)
    assert (tmp_path / "ran").read_text() == "abb"


def test_a_step_that_fails_does_not_keep_the_next_from_running(run, tmp_path):
    bad = step("bad", "raise SystemExit(3)", tmp_path)
    assert run(bad, step("good", "", tmp_path)) == {"bad": "failed", "good": "done"}


def test_a_step_over_its_own_limit_is_cut_and_the_others_run(run, tmp_path, short_grace):
    slow = step("slow", "import time; time.sleep(600)", tmp_path, limit_s=0.5)
    assert run(slow, step("next", "", tmp_path)) == {"slow": "cut", "next": "done"}
    assert run(step("slow", "", tmp_path)) == {"slow": "done", "next": "done"}


def test_what_starts_over_waits_for_what_never_ran_and_what_resumes_does_not(run, tmp_path, short_grace):
    for name, resumes in (("tests", False), ("sweep", True)):
        run(step(name, "import time; time.sleep(600)", tmp_path, limit_s=0.5, resumes=resumes))
    steps = [
        step("tests", says(tmp_path / "ran", "t"), tmp_path),
        step("sweep", says(tmp_path / "ran", "s"), tmp_path, resumes=True),
        step("fresh", says(tmp_path / "ran", "f"), tmp_path),
    ]
    run(*steps)
    assert (tmp_path / "ran").read_text() == "sft"


def test_a_step_for_which_too_little_time_is_left_leaves_it_to_shorter_ones(run, tmp_path, short_grace):
    long, short = step("long", "", tmp_path, least_s=100), step("short", "", tmp_path)
    assert run(long, short, limit_s=50) == {"short": "done"}


def test_steps_load_the_winners_of_the_steps_before(run, tmp_path):
    text = f"import os; open({str(tmp_path / 'seen')!r}, 'w').write(os.environ['WORKBENCH_RESULTS'])"
    run(step("sweep", text, tmp_path))
    assert (tmp_path / "seen").read_text() == str(tmp_path / "out" / "results")


def test_whatever_a_step_started_ends_with_it(run, tmp_path, short_grace):
    text = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(tmp_path / 'child')!r}, 'w').write(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    run(step("slow", text, tmp_path, limit_s=3))
    child = int((tmp_path / "child").read_text())
    assert not wait_until_gone([child])


def test_all_that_was_measured_is_packed_into_files_with_plain_names(run, tmp_path):
    deep = tmp_path / "out" / "results" / "NVIDIA_H200" / "routing" / "E=128,K=8.json"
    text = f"import pathlib; p = pathlib.Path({str(deep)!r}); p.parent.mkdir(parents=True); p.write_text('1')"
    run(step("sweep", text, tmp_path))
    assert [path.name for path in (tmp_path / "archives").iterdir()] == ["measured-1.tar.gz"]


def test_a_machine_that_starts_bare_goes_on_from_the_archives(run, tmp_path):
    from first_contact.archive import archives_in, unpack

    steps = [step(name, says(tmp_path / "out" / "rows.txt", name), tmp_path) for name in "ab"]
    run(steps[0])
    unpack(archives_in(tmp_path / "archives"), tmp_path / "fresh")
    assert (tmp_path / "fresh" / "rows.txt").read_text() == "a"
    assert run(*steps, out="fresh") == {"a": "done", "b": "done"}
    assert (tmp_path / "out" / "rows.txt").read_text() == "ab"


def test_large_files_are_spread_over_archives_of_their_own_and_the_small_ones_come_first(
    tmp_path, monkeypatch
):
    from first_contact.archive import pack, read_manifest, unpack

    monkeypatch.setattr("first_contact.archive.PART_BYTES", 20_000)
    out = tmp_path / "out"
    (out / "profiles").mkdir(parents=True)
    for number in range(8):
        (out / "profiles" / f"{number}.json.gz").write_bytes(os.urandom(15_000))
    (out / "profiles" / "giant.json.gz").write_bytes(os.urandom(30_000))
    (out / "steps.json").write_text("{}")
    archives = pack(out, tmp_path / "archives", rehearsal=False)
    assert len(archives) == 6
    assert all(path.stat().st_size < 25_000 for path in archives)
    unpack(archives[:1], tmp_path / "first")
    assert (tmp_path / "first" / "steps.json").exists()
    left_out = read_manifest(tmp_path / "first")["left_out"]
    assert len(left_out) == 3
    assert "profiles/giant.json.gz" in left_out


def test_archives_that_are_no_longer_needed_go(tmp_path, monkeypatch):
    from first_contact.archive import archives_in, pack

    monkeypatch.setattr("first_contact.archive.PART_BYTES", 20_000)
    out = tmp_path / "out"
    out.mkdir()
    for name in "ab":
        (out / name).write_bytes(os.urandom(15_000))
    assert len(pack(out, tmp_path, rehearsal=False)) == 2
    (out / "b").unlink()
    assert pack(out, tmp_path, rehearsal=False) == archives_in(tmp_path)


def packed(path, *members, content=b"x"):
    with tarfile.open(path, "w:gz") as archive:
        for name, kind in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size = kind, len(content) if kind == tarfile.REGTYPE else 0
            entry.linkname = "/etc/passwd"
            archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../outside", tarfile.REGTYPE),
        ("/etc/outside", tarfile.REGTYPE),
        ("link", tarfile.SYMTYPE),
        ("hard", tarfile.LNKTYPE),
        ("pipe", tarfile.FIFOTYPE),
    ],
)
def test_an_archive_that_reaches_outside_is_refused_whole(tmp_path, name, kind):
    from first_contact.archive import ArchiveError, unpack

    path = packed(tmp_path / "measured-1.tar.gz", ("good", tarfile.REGTYPE), (name, kind))
    with pytest.raises(ArchiveError, match="no plain file below the folder"):
        unpack([path], tmp_path / "into")
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize(
    "content", [b"", b"no archive", gzip.compress(b"no archive", mtime=0)], ids=["empty", "text", "gzip"]
)
def test_a_damaged_archive_is_one_line(tmp_path, content):
    from first_contact.archive import ArchiveError, unpack

    (tmp_path / "measured-1.tar.gz").write_bytes(content)
    with pytest.raises(ArchiveError, match=r"measured-1.tar.gz: cannot be unpacked: .+"):
        unpack([tmp_path / "measured-1.tar.gz"], tmp_path / "into")


def script(name, *arguments, cwd=PROJECT):
    command = [str(PROJECT / "scripts" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    """The output of a rehearsal of two steps that was killed in the middle and run again."""
    out = tmp_path_factory.mktemp("gpu")
    options = ("--rehearse", "--out", out, "--steps", "doctor,backend-quick")
    command = [str(PROJECT / "scripts" / "gpu_run"), *map(str, options)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    wait_for((out / "rehearsal" / "call-1" / "steps.json").exists)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    return out, script("gpu_run", *options)


def test_a_rehearsal_runs_the_steps_and_says_when_each_began(rehearsed):
    out, told = rehearsed
    assert told.returncode == 0, told.stdout
    turns = json.loads((out / "rehearsal" / "rehearsal.json").read_text())
    assert [(turn["step"], turn["state"]) for turn in turns] == [
        ("doctor", "done"),
        ("backend-quick", "done"),
    ]
    assert turns[1]["begin_s"] == turns[0]["seconds"]
    assert "backend-quick         simulated  done" in told.stdout
    assert "no GPU has run any of this" in told.stdout


def test_a_rehearsal_that_was_killed_goes_on(rehearsed):
    _, told = rehearsed
    assert "gpu_run: doctor: done" not in told.stdout


def test_the_second_call_of_a_rehearsal_knows_only_what_the_archives_held(rehearsed):
    out, _ = rehearsed
    second = out / "rehearsal" / "call-2"
    winners = [path.relative_to(second) for path in second.glob("results/*/*/*=*.json")]
    assert {path.parts[1] for path in winners} == {"NVIDIA_Simulated_GPU"}


def test_nothing_of_a_rehearsal_is_adopted(rehearsed, adopt, tmp_path):
    out, _ = rehearsed
    told = adopt(out / "rehearsal" / "archives")
    assert told == (2, "error: these archives are of a rehearsal: nothing in them was measured\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_the_whole_plan_can_be_rehearsed(tmp_path):
    from first_contact.plan import LATER, STEPS

    told = script("gpu_run", "--rehearse", "--out", tmp_path)
    turns = json.loads((tmp_path / "rehearsal" / "rehearsal.json").read_text())
    assert told.returncode == 0, told.stdout
    assert {turn["step"] for turn in turns} == {each.name for each in STEPS if each.call != LATER}
    for call, limit_s in ((1, 540), (2, 200)):
        assert sum(turn["seconds"] for turn in turns if turn["call"] == call) <= limit_s


@pytest.fixture
def came_back(tmp_path):
    """What came back from a GPU: shipped rows as if they had been measured, changed as a test likes."""
    from first_contact.archive import pack

    def came_back(change=lambda file: file):
        file = parse(SHIPPED.read_text())
        rows = {tokens: replace(row, evidence="measured", time_us=1.5) for tokens, row in file.rows.items()}
        rows = {tokens: replace(row, default_time_us=3.0) for tokens, row in list(rows.items())[:3]}
        out = tmp_path / "gpu"
        path = out / SHIPPED.relative_to(PROJECT)
        path.parent.mkdir(parents=True)
        path.write_text(serialise(change(replace(file, rows=rows))))
        (out / "results" / "runs" / "a-run").mkdir(parents=True)
        (out / "results" / "runs" / "a-run" / "samples.jsonl").write_text("{}\n")
        (out / "benchmarks").mkdir()
        (out / "benchmarks" / "routing.json").write_text("{}")
        pack(out, out, rehearsal=False)
        return out

    return came_back


@pytest.fixture
def adopt(tmp_path, monkeypatch, capsys):
    """Adopts what is in a folder; gives the exit code, and what was printed."""

    def adopt(out, *more):
        from first_contact.adopt import main

        folders = ("--results", str(tmp_path / "results"), "--evidence", str(tmp_path / "evidence"))
        monkeypatch.setattr(sys, "argv", ["gpu_adopt", str(out), *folders, *more])
        code = main()
        told = capsys.readouterr()
        return code, told.out + told.err

    return adopt


def adopted(tmp_path):
    return parse((tmp_path / "results" / SHIPPED.relative_to(PROJECT / "results")).read_text())


def test_measured_rows_are_adopted_beside_the_rows_that_stand(came_back, adopt, tmp_path):
    standing = tmp_path / "results" / SHIPPED.relative_to(PROJECT / "results")
    standing.parent.mkdir(parents=True)
    standing.write_text(SHIPPED.read_text())
    assert adopt(came_back())[0] == 0
    evidence = [row.evidence for row in adopted(tmp_path).rows.values()]
    assert evidence == ["measured"] * 3 + ["modelled"] * (len(evidence) - 3)
    (folder,) = (tmp_path / "evidence").iterdir()
    assert folder.name.startswith("NVIDIA_H200-2")
    assert (folder / "benchmarks" / "routing.json").exists()
    assert (folder / "measured-1.tar.gz").exists()
    assert (tmp_path / "results" / "runs" / "a-run" / "samples.jsonl").exists()


def test_a_dry_run_takes_nothing(came_back, adopt, tmp_path):
    assert adopt(came_back(), "--dry-run")[0] == 0
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / "evidence").exists()


def of_rows(**fields):
    return lambda file: replace(file, rows={t: replace(row, **fields) for t, row in file.rows.items()})


def of_runs(**fields):
    return lambda file: replace(file, runs={name: replace(run, **fields) for name, run in file.runs.items()})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (of_rows(evidence="modelled"), "3 modelled"),
        (of_rows(evidence="provisional"), "3 provisional"),
        (of_runs(source_hash="0" * 16), "3 of another source of the kernel"),
        (lambda file: replace(file, device_name="NVIDIA B200"), "3 under the name of another device"),
    ],
)
def test_rows_that_say_nothing_of_the_kernel_on_the_device_are_refused(
    came_back, adopt, tmp_path, change, why
):
    code, told = adopt(came_back(change))
    assert code == 1
    assert f"none taken; not {why}" in told
    assert not (tmp_path / "results").exists()


def test_a_run_that_is_killed_takes_its_step_along(tmp_path):
    text = (
        "import subprocess, sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from first_contact.runner import started\n"
        "out = Path(sys.argv[2])\n"
        "with started((str(out / 'step.py'),), out) as process:\n"
        "    (out / 'pid').write_text(str(process.pid)); process.wait()\n"
    )
    (tmp_path / "step.py").write_text("import time; time.sleep(600)")
    run = subprocess.Popen([sys.executable, "-c", text, str(PROJECT / "scripts"), str(tmp_path)])
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    run.kill()
    run.wait()
    assert not wait_until_gone([int((tmp_path / "pid").read_text())])
