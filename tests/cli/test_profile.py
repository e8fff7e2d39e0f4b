from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest

from workbench.cli.main import main

QUICK = ("--model", "tiny", "--layers", "1", "--steps", "1", "--context", "4", "--device", "cpu")


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main(["profile", *map(str, arguments)])
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return run


def test_everything_is_written_and_the_json_says_what(run, tmp_path):
    code, out, err = run(*QUICK, "--arms", "split,fused", "--out", "here", "--json")
    found = json.loads(out)
    assert (code, found["passed"], found["basis"], found["graph"]) == (0, True, "cpu", False)
    assert found["depth"] == "1 of 6 layers"
    written = {path.name for path in (tmp_path / "here").iterdir()}
    assert written == {
        "split.json.gz",
        "fused.json.gz",
        "merged.json.gz",
        "summary.json",
        "summary.md",
        "timeline.html",
    }
    assert json.loads((tmp_path / "here" / "summary.json").read_text())["arms"].keys() == {"split", "fused"}
    events = json.loads(gzip.decompress((tmp_path / "here" / "merged.json.gz").read_bytes()))["traceEvents"]
    assert [e["args"]["name"] for e in events if e["name"] == "process_name"] == ["split", "fused"]
    assert "timing split: round 1" in err


def test_a_wrong_arm_fails_the_gate_after_its_timeline_is_written(run, tmp_path, monkeypatch):
    from moe_kernels.routing import split_routing
    from workbench.models.gemma4.arms import ARMS

    monkeypatch.setitem(ARMS, "fused", replace(ARMS["fused"], route=split_routing))
    code, out, err = run(*QUICK, "--arms", "split,fused")
    assert code == 1
    assert "error: liveness: arm fused" in err
    assert "withheld" in out
    assert "Steps per second" not in out
    assert (tmp_path / "profile" / "timeline.html").exists()


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["--arms", "split,quick"], "there is no arm 'quick'; the arms are split, fused, tuned"),
        (["--arms", "split,split"], "each arm is named once"),
        (["--arms", ","], "each arm is named once"),
        (["--model", "large"], "there is no model 'large'; the models are 26b-a4b, tiny"),
        (["--batch", "0"], "--batch: must be at least 1"),
        (["--steps", "0"], "--steps: must be at least 1"),
        (["--layers", "7"], "--layers: must be 1 to 6"),
        (["--layers", "0"], "--layers: must be 1 to 6"),
        (["--context", "600"], "--context: must be up to"),
        (["--seed", "-1"], "--seed: must be at least 0"),
        (["--device", "tpu"], "--device: must be auto, cpu or cuda"),
        (["--graph"], "--graph: CUDA graphs need a CUDA GPU"),
        (["--out", "file/folder"], "cannot be written"),
        (["--model", "26b-a4b", "--layers", "30", "--batch", "1000000"], "GB for weights and cache"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing_behind(run, tmp_path, arguments, complaint):
    (tmp_path / "file").touch()
    code, out, err = run(*QUICK, *arguments)
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert (code, out) == (2, "")
    assert complaint in line
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {tmp_path / "file"}
