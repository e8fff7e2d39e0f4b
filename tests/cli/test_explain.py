from __future__ import annotations

import json

import pytest

from moe_kernels import tuned
from tests.cli.results_for_routing import ROUTING, a_row, path_in, write
from workbench.cli.main import main

PROBLEM = "num_experts=128,top_k=8,dtype=bf16"


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    folder = tmp_path / "named"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_RESULTS", str(folder))
    monkeypatch.delenv("WORKBENCH_EVIDENCE", raising=False)
    yield folder
    tuned.refresh()


@pytest.fixture
def run(capsys):
    def run(*arguments, kernel="routing", device="b200", problem=PROBLEM, tokens="8"):
        given = ["--problem", problem, "--tokens", tokens, *(["--device", device] if device else [])]
        with pytest.raises(SystemExit) as exit_:
            main(["explain", kernel, *given, *arguments])
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return run


def test_it_names_the_row_the_file_and_the_config(run, results):
    path = write(results, {4: a_row(), 16: a_row()})
    code, out, _ = run(tokens="10")
    assert code == 0
    assert f"the row for 4 tokens of {path}, measured" in out
    assert "$WORKBENCH_RESULTS" in out
    assert sum(line.lstrip().startswith("->") for line in out.splitlines()) == 1


def test_it_says_why_a_row_is_passed_over(run, results):
    write(results, hash_="another")
    _, out, _ = run()
    assert "the default config: no usable row (tuned for other source (another, now" in out
    assert "no: tuned for other source" in out


def test_modelled_rows_count_where_they_are_admitted_and_say_that_nothing_was_timed(run, results):
    write(results, {8: a_row(evidence="modelled", ci_us=None)})
    _, out, _ = run()
    assert "no usable row (modelled, never timed" in out
    _, out, _ = run("--evidence", "modelled")
    assert "modelled: nothing was timed" in out
    assert "the row for 8 tokens" in out


def test_short_names_of_axes_are_understood(run, results):
    write(results)
    assert run(problem="dtype=bf16, K=8 ,E=128")[1] == run(problem="dtype=bf16,top_k=8,num_experts=128")[1]


def test_json_says_the_same(run, results):
    path = write(results)
    code, out, _ = run("--json")
    record = json.loads(out)
    assert code == 0
    assert record["config"] == {**ROUTING.default_config, "num_warps": 4}
    assert (record["is_default"], record["taken"]["tokens"], record["taken"]["evidence"]) == (
        False,
        8,
        "measured",
    )
    assert record["files"][0] | {"rows": []} == {
        "origin": "$WORKBENCH_RESULTS",
        "path": str(path),
        "state": "taken",
        "reason": None,
        "rows": [],
    }


def test_it_agrees_with_the_lookup(run, results):
    write(
        results,
        {tokens: a_row(config={**ROUTING.default_config, "num_warps": tokens}) for tokens in (1, 2, 4)},
    )
    problem = {"num_experts": 128, "top_k": 8, "dtype": "bf16"}
    for tokens in (1, 2, 3, 100):
        record = json.loads(run("--json", tokens=str(tokens))[1])
        assert record["config"] == tuned.lookup("routing", problem, tokens, "NVIDIA_B200")


def test_a_damaged_file_is_explained_and_exit_code_2(run, results):
    write(results).write_text("{")
    code, out, err = run()
    assert code == 2
    assert "the default config" in out
    assert err.startswith(f"error: {path_in(results)}: damaged: line 1: is not JSON")
    assert err.count("\n") == 1


def test_without_any_results_the_default_is_taken(run):
    code, out, _ = run(problem="E=100,K=7,dtype=bf16")
    assert code == 0
    assert "there are no results for this problem" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel": "rooting"}, "unknown kernel 'rooting' (did you mean 'routing'?); allowed: routing"),
        ({"kernel": "no.such.module:NAME"}, "cannot import 'no.such.module'"),
        ({"device": "b2000"}, "no device 'b2000'"),
        ({"device": "../elsewhere"}, "no device '../elsewhere'"),
        ({"problem": "num_experts=128"}, "--problem: lacks top_k; routing has num_experts (E), top_k (K)"),
        (
            {"problem": "experts=128"},
            "--problem: 'experts=128' is no axis=value; routing has num_experts (E)",
        ),
        ({"problem": PROBLEM + ",tokens=8"}, "'tokens=8' is no axis=value"),
        ({"problem": PROBLEM + ",E=64"}, "--problem: num_experts is given twice"),
        ({"problem": "E=many,K=8,dtype=bf16"}, "num_experts must be a positive integer, got 'many'"),
        ({"problem": "E=0,K=8,dtype=bf16"}, "num_experts must be a positive integer, got '0'"),
        ({"problem": "E=128,K=8,dtype=bfloat16"}, "dtype must be one of bf16, fp16, fp32, got 'bfloat16'"),
        ({"tokens": "-1"}, "--tokens"),
        ({"tokens": "many"}, "--tokens"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(run, arguments, message):
    code, out, err = run(**arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_an_unknown_evidence_is_one_line_and_exit_code_2(run):
    code, _, err = run("--evidence", "replayed")
    assert (code, err) == (2, "error: --evidence: must be measured or modelled, got 'replayed'\n")


def test_without_a_gpu_a_device_must_be_named(run, monkeypatch):
    monkeypatch.setattr("workbench.devices.detect_device", lambda: None)
    code, _, err = run(device=None)
    assert (code, "--device: there is no CUDA GPU at hand" in err) == (2, True)
