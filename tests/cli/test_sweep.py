from __future__ import annotations

import json

import pytest

from tests.faults.recording import replay
from tests.support.imports import loaded_by
from tests.sweep.in_process import SWEEP, Bench
from workbench.base.shipped import shipped_sweeps
from workbench.cli.main import main
from workbench.trials.journal import Journal


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Runs the command in this process; the sweep's workers, where it starts any, are real."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKBENCH_RESULTS", raising=False)

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main(["sweep", *map(str, arguments)])
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return run


@pytest.fixture
def file(tmp_path):
    """Writes a sweep file, some of its lines replaced."""

    def write(**lines):
        kept = {line.split(":")[0]: line for line in SWEEP.splitlines()}
        kept |= {key: f"{key}: {text}" for key, text in lines.items()}
        path = tmp_path / "toy.yaml"
        path.write_text("\n".join(kept.values()) + "\n")
        return path

    return write


def assert_refused(found, *told):
    code, out, err = found
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for text in told:
        assert text in err


@pytest.mark.parametrize(
    "change, told",
    [
        ({"kernel": "rooting"}, ["toy.yaml:2: kernel:", "did you mean 'routing'?"]),
        ({"kernel": "tests.sweep.toy_kernels:NOTHING"}, ["toy.yaml:2: kernel:", "nothing of that name"]),
        ({"kernel": "tests.sweep.toy_kernels:TILE"}, ["toy.yaml:2: kernel:", "found a int"]),
        ({"kernel": "no.such.module:KERNEL"}, ["toy.yaml:2: kernel:", "No module named"]),
        ({"kernel": "../toys.py"}, ["toy.yaml:2: kernel:", "allowed"]),
        ({"kernels": "routing"}, ["toy.yaml:7: kernels:", "did you mean 'kernel'?"]),
        ({"name": "../up"}, ["toy.yaml:1: name:", "it is no path"]),
        ({"name": "/tmp/sweep"}, ["toy.yaml:1: name:", "it is no path"]),
        ({"device": "b201"}, ["toy.yaml:3: device:", "did you mean b200?"]),
        ({"device": "auto"}, ["toy.yaml:3: device:", "no GPU is at hand"]),
        ({"device": "missing.yaml"}, ["missing.yaml"]),
        ({"space": "{blocks: [1]}"}, ["toy.yaml:5: space.blocks:", "did you mean 'block'?"]),
        ({"space": "{block: [one]}"}, ["toy.yaml:5: space.block", "must be an integer"]),
        ({"space": "{block: []}"}, ["toy.yaml:5: space.block:", "is empty"]),
        ({"problems": "{width: 8}"}, ["toy.yaml:4: problems:", "axis 'tokens' is missing"]),
        ({"problems": "{width: 8, tokens: [0]}"}, ["toy.yaml:4: problems.tokens", "positive integer"]),
        ({"problems": "[1, 2]"}, ["toy.yaml:4: problems:", "must be a mapping"]),
        ({"constraints": "['block > 9']"}, ["toy.yaml:7: constraints", "no config is left"]),
        ({"constraints": "['blocks > 0']"}, ["toy.yaml:7: constraints", "blocks"]),
        ({"constraints": "['__import__(\"os\")']"}, ["toy.yaml:7: constraints"]),
        ({"constraints": '[\'open("x", "w") == 1\']'}, ["toy.yaml:7: constraints"]),
        ({"constraints": "['block.real > 0']"}, ["toy.yaml:7: constraints"]),
        ({"constraints": "['block >']"}, ["toy.yaml:7: constraints"]),
        ({"search": "{trials: 0}"}, ["toy.yaml:6: search.trials:"]),
        ({"search": "{strategy: best}"}, ["toy.yaml:6: search.strategy:", "exhaustive"]),
        ({"measure": "{max_seconds: .nan}"}, ["toy.yaml:7: measure.max_seconds:"]),
    ],
)
def test_a_wrong_file_is_one_line_that_points_into_it(run, file, tmp_path, change, told):
    assert_refused(run(file(**change)), *told)
    assert [path.name for path in tmp_path.iterdir()] == ["toy.yaml"]


@pytest.mark.parametrize(
    "content, told",
    [
        (b"", "empty"),
        (b"# nothing\n", "empty"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"name: [\n", "toy.yaml:"),
        (b"a: 1\na: 2\n", "toy.yaml:2"),
        (b"just words\n", "mapping"),
        (b"- 1\n", "mapping"),
        (b"name: !!python/object:os.system x\n", "toy.yaml:1"),
    ],
)
def test_what_is_no_sweep_at_all_is_one_line(run, tmp_path, content, told):
    (tmp_path / "toy.yaml").write_bytes(content)
    assert_refused(run("toy.yaml"), told)
    assert [path.name for path in tmp_path.iterdir()] == ["toy.yaml"]


@pytest.mark.parametrize(
    "name", ["missing.yaml", "sweeps/missing.yaml", "missing", ".", "a" * 300, "no\nsuch"]
)
def test_a_file_that_is_not_there_is_one_line(run, name):
    assert_refused(run(name))


def test_a_name_that_is_not_shipped_lists_what_is(run):
    assert_refused(run("rooting"), "shipped: ", "routing")


@pytest.mark.parametrize(
    "options, told",
    [
        (["--device", "b201"], "no device 'b201'"),
        (["--device", "missing.yaml"], "missing.yaml"),
        (["--trials", "0"], "--trials"),
        (["--trials", "many"], "--trials"),
        (["--seed", "-1"], "--seed"),
        (["--seed", "4294967296"], "--seed"),
        (["--jobs", "0"], "--jobs"),
        (["--nothing"], "--nothing"),
        (["extra"], "extra"),
    ],
)
def test_a_wrong_option_is_one_line(run, file, tmp_path, options, told):
    assert_refused(run(file(), *options), told)
    assert [path.name for path in tmp_path.iterdir()] == ["toy.yaml"]


def test_a_results_folder_that_is_a_file_is_refused(run, file, tmp_path):
    (tmp_path / "results").write_text("a file")
    assert_refused(run(file()), "results: is a file")
    assert (tmp_path / "results").read_text() == "a file"


def test_a_results_folder_that_cannot_be_made_is_refused(run, file):
    assert_refused(run(file(), "--out", "/proc/results"), "cannot be written")


def test_a_damaged_results_file_is_refused_and_stays(run, file, tmp_path):
    path = tmp_path / "results" / "NVIDIA_B200" / "double" / "W=8.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"schema": "workbench.tuned/1"')
    assert_refused(run(file()), str(path.relative_to(tmp_path)), "damaged results file")
    assert path.read_text() == '{"schema": "workbench.tuned/1"'
    assert not (tmp_path / "results" / "runs").exists()


def test_a_damaged_results_file_of_the_last_device_is_found_before_the_first_is_swept(run, file, tmp_path):
    path = tmp_path / "results" / "NVIDIA_H200" / "double" / "W=8.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    assert_refused(run(file(device="[b200, h200]")), "NVIDIA_H200")
    assert not (tmp_path / "results" / "runs").exists()


def test_a_dry_run_says_what_would_be_done_and_does_nothing(run, file, tmp_path):
    code, out, err = run(file(device="[b200, rtx5090]"), "--dry-run", "--trials", "2")
    assert (code, err) == (0, "")
    for text in ("NVIDIA_B200", "NVIDIA_GeForce_RTX_5090", "nothing is timed", "toy-"):
        assert text in out
    assert [path.name for path in tmp_path.iterdir()] == ["toy.yaml"]


def test_a_dry_run_as_json_counts_problems_configs_and_trials(run, file):
    code, out, _ = run(file(constraints="['block > tokens']"), "--dry-run", "--json", "--trials", "1")
    assert code == 0
    (plan,) = json.loads(out)
    assert (plan["kernel"], plan["device"], plan["evidence"]) == ("double", "NVIDIA_B200", "modelled")
    assert (plan["problems"], plan["configs"], plan["trials"], plan["known"]) == (2, 2, 1, 0)
    assert plan["empty_problems"] == [{"width": 8, "tokens": 8}]


@pytest.mark.parametrize("name", sorted(shipped_sweeps()))
def test_every_shipped_sweep_is_found_by_its_bare_name(run, name):
    code, out, _ = run(name, "--dry-run", "--json")
    assert code == 0
    assert all(name.replace("-", "_").startswith(plan["kernel"]) for plan in json.loads(out))


def test_a_file_at_hand_comes_before_a_shipped_sweep(run, file, tmp_path):
    file().rename(tmp_path / "routing")
    _, out, _ = run("routing", "--dry-run", "--json")
    assert json.loads(out)[0]["kernel"] == "double"


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return Bench(tmp_path, monkeypatch)


def test_a_sweep_prints_plain_lines_without_a_terminal(run, bench):
    code, out, err = run(bench.file, "--jobs", "1")
    assert code == 0
    assert "\x1b" not in out + err
    *_, first, second = err.splitlines()
    assert err.startswith("double for NVIDIA B200, modelled: that GPU is not at hand")
    assert first.startswith("T=1: block=4, ~")
    assert second.endswith("us (modelled)")
    assert "nothing was timed" in out
    assert "Shortlist to take to the GPU" in out
    assert "loads 2 of these 2 rows under WORKBENCH_EVIDENCE=modelled" in out


def test_a_sweep_as_json_says_that_nothing_was_timed(run, bench):
    code, out, _ = run(bench.file, "--json")
    assert code == 0
    (record,) = json.loads(out)
    assert (record["schema"], record["evidence"], record["timed"]) == ("workbench.sweep/1", "modelled", False)
    assert [each["winner"]["config"]["block"] for each in record["problems"]] == [4, 4]
    assert record["problems"][0]["trials"] == {"ok": 3}
    assert record["lookup"] == {"published": 2, "loaded": 2}
    assert record["empty"] == []
    assert record["shortlist"][0]["config"]["block"] == 4


def test_several_devices_are_one_json_document(run, bench):
    _, out, _ = run(bench.file, "--json", "--device", "rtx5090")
    bench.write(device="[b200, rtx5090]")
    _, out, _ = run(bench.file, "--json")
    assert [each["device"] for each in json.loads(out)] == ["NVIDIA_B200", "NVIDIA_GeForce_RTX_5090"]


def test_a_sweep_in_which_nothing_is_valid_ends_with_3(run, bench):
    bench.verdict = lambda config: "seed 0: y: wrong"
    code, out, err = run(bench.file)
    assert code == 3
    assert err.splitlines()[-1].startswith(f"error: {bench.file}: no problem has a valid config")
    assert "no valid config" in out
    assert "seed 0: y: wrong" in out


def test_a_sweep_with_some_empty_problems_ends_well_and_lists_them(run, bench):
    bench.write(constraints="['block > tokens']")
    code, out, _ = run(bench.file, "--json")
    assert code == 0
    assert json.loads(out)[0]["empty"] == [{"width": 8, "tokens": 8}]
    _, out, _ = run(bench.file)
    assert "no valid config" in next(line for line in out.splitlines() if "T=8" in line)


def test_an_interrupted_sweep_ends_with_130_and_the_same_command_continues(run, bench):
    def interrupt(self, trial):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workbench.report.progress.SweepProgress.trial", interrupt)
        code, _, err = run(bench.file)
    assert code == 130
    assert err.splitlines()[-1] == "error: interrupted; the same command continues"
    assert len(bench.journal_lines()) == 1
    assert run(bench.file)[0] == 0
    assert len(bench.journal_lines()) == 6


def test_a_sweep_that_another_process_runs_is_refused(run, bench):
    plan = bench.plan()
    with Journal(plan.folder, sweep={}, environment={}):
        assert_refused(run(bench.file, "--out", bench.out), "another process is running this sweep")


def test_a_measured_row_is_left_alone_and_the_table_says_so(run, bench):
    run(bench.file)
    path = bench.winners_path
    text = path.read_text().replace('"evidence": "modelled"', '"evidence": "measured"')
    path.write_text(text)
    code, out, _ = run(bench.file, "--fresh")
    assert code == 0
    assert out.count("a measured row stands") == 2
    assert path.read_text() == text


MATMUL = """\
name: hungry
kernel: tests.sweep.toy_kernels:{kernel}
device: NVIDIA_B200
problems: {{size: 1024, dtype: bf16, tokens: [16]}}
space: {{num_stages: [2, 5]}}
verify: {{seeds: 1}}
"""


@pytest.mark.usefixtures("warm_workers")
@pytest.mark.parametrize(
    "device, kernel, fits", [("rtx5090", "MATMUL", False), ("b200", "GREEDY_MATMUL", True)]
)
def test_what_needs_more_shared_memory_than_the_gpu_has_is_pruned_there(run, tmp_path, device, kernel, fits):
    file = tmp_path / "hungry.yaml"
    file.write_text(MATMUL.format(kernel=kernel))
    code, out, err = run(file, "--device", device, "--json", "--jobs", "1")
    assert code == 0, err
    (record,) = json.loads(out)
    (journal,) = (tmp_path / "results" / "runs").glob("hungry-*/trials.jsonl")
    trials = {trial["config"]["num_stages"]: trial for trial in map(json.loads, journal.open())}
    five = trials[5]
    needed = five["resources"][0]["shared_bytes"]
    assert 101_376 < needed <= 232_448
    winner = record["problems"][0]["winner"]
    if fits:
        assert (five["status"], five["reason"]) == ("ok", None)
        # Its default of 8 stages fits no GPU at all.
        assert trials[8]["status"] == "pruned"
        assert "NVIDIA_B200 allows 232,448" in trials[8]["reason"]
        assert winner["default_time_us"] is None
    else:
        assert (five["status"], five["stage"], five["time_us"]) == ("pruned", "screen", None)
        told = f"needs {needed:,} bytes of shared memory a block, NVIDIA_GeForce_RTX_5090 allows 101,376"
        assert five["reason"] == told
        assert (winner["config"]["num_stages"], winner["kept_default"]) == (2, True)


def test_a_replay_loads_neither_torch_nor_a_kernel(tmp_path):
    command = replay(tmp_path)
    loaded = loaded_by("sweep", command.file.name, cwd=tmp_path)
    assert loaded.isdisjoint({"torch", "triton", "matplotlib", "moe_kernels.routing", "moe_kernels.experts"})
    assert len(list(tmp_path.glob("results/replayed/*/stencil/*.json"))) == 2
