from __future__ import annotations

import json

import pytest

from workbench.bench.gemma4 import session
from workbench.bench.rows import read_bench
from workbench.cli.main import main

WORKLOAD = """\
name: mine
input_tokens: 12
output_tokens: 4
concurrency: [1, 2]
arms: [split, tuned]
repeats: 2
warm_up: 0
"""


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(WORKLOAD)

    def run(*arguments, text=WORKLOAD):
        (tmp_path / "mine.yaml").write_text(text)
        with pytest.raises(SystemExit) as exit_:
            main(["bench", "run", *(arguments or ["mine.yaml"]), "--model", "tiny", "--device", "cpu"])
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return run


def rows_in(tmp_path):
    (path,) = (tmp_path / "results" / "cpu" / "bench").iterdir()
    return read_bench(path).rows


def test_every_arm_and_load_becomes_a_row_with_figures(run, tmp_path):
    code, out, err = run()
    assert code == 0
    rows = rows_in(tmp_path)
    assert [(row.arm, row.concurrency, row.status) for row in rows] == [
        ("split", 1, "ok"), ("tuned", 1, "ok"), ("split", 2, "ok"), ("tuned", 2, "ok")
    ]  # fmt: skip
    assert {row.model for row in rows} == {"tiny, random weights"}
    assert all(row.metrics["tpot_p50_ms"].n == 2 for row in rows)
    assert "TPOT p50 ms" in out
    assert "split at concurrency 1: TPOT p50" in err


def test_a_cut_model_is_said_in_every_row_and_in_the_table(run, tmp_path):
    _, out, _ = run("mine.yaml", "--layers", "2", "--concurrency", "1")
    assert {row.model for row in rows_in(tmp_path)} == {"tiny, 2 of 6 layers, random weights"}
    assert out.count("2 of 6 layers") == 3


def test_drafts_have_an_acceptance_length_over_the_run(run, tmp_path):
    _, out, _ = run(text=WORKLOAD + "draft_tokens: 2\n")
    row = rows_in(tmp_path)[0]
    assert (row.acceptance_window, row.draft_tokens) == ("run", 2)
    assert row.metrics["acceptance_length"].value >= 1
    assert "weights are random: its drafts" in out


def test_options_stand_in_for_the_files_values(run):
    code, out, _ = run("mine.yaml", "--arms", "fused", "--concurrency", "3", "--repeats", "1", "--json")
    assert code == 0
    record = json.loads(out)
    assert [(row["arm"], row["concurrency"], row["completed"]) for row in record["rows"]] == [("fused", 3, 3)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("input_tokens: 12", "input_tokens: 0"), "mine.yaml:2: input_tokens: "),
        (("output_tokens: 4", "output_tokens: 0"), "mine.yaml:3: output_tokens: "),
        (("input_tokens: 12", "input_tokens: 509"), "mine.yaml:2: input_tokens: input_tokens + output_tokens"),
        (("warm_up: 0", "cache_tokens: 15"), "mine.yaml:7: cache_tokens: "),
        (("[split, tuned]", "[split, tunde]"), "mine.yaml:5: arms[1]: unknown arm 'tunde'"),
    ],
)  # fmt: skip
def test_a_workload_that_cannot_be_run_is_refused_with_file_line_and_key(run, tmp_path, change, said):
    code, out, err = run(text=WORKLOAD.replace(*change))
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {said}")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--arms", "split,slow"], "error: --arms: unknown arm 'slow'; allowed: split, fused, tuned"),
        (["--concurrency", "1,x"], "--concurrency: must be numbers"),
        (["--concurrency", "0"], "error: --concurrency: "),
        (["--layers", "9"], "--layers: must be 1 to num_hidden_layers (6)"),
        (["--checkpoint", "nowhere"], "nowhere"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(run, tmp_path, arguments, said):
    code, _, err = run("mine.yaml", *arguments)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_a_name_that_is_no_file_lists_the_shipped_workloads(run):
    code, _, err = run("chta")
    assert code == 2
    assert "no shipped workload of that name; shipped: chat-short, chat, summarization" in err


def test_an_arm_that_fails_is_a_row_and_the_others_go_on(run, tmp_path, monkeypatch):
    step = session.PlainSession.step

    def broken(self):
        if self._load.arm == "tuned":
            raise RuntimeError("no such kernel")
        return step(self)

    monkeypatch.setattr(session.PlainSession, "step", broken)
    code, _, err = run()
    assert code == 0
    assert [row.status for row in rows_in(tmp_path)] == ["ok", "failed"] * 2
    assert "tuned at concurrency 2: failed: repeat 1 of 2: RuntimeError: no such kernel" in err


def test_a_run_without_any_figure_exits_with_3(run, tmp_path, monkeypatch):
    monkeypatch.setattr(session.PlainSession, "step", lambda self: 1 / 0)
    code, _, err = run()
    assert code == 3
    assert "no run succeeded" in err
    assert {row.status for row in rows_in(tmp_path)} == {"failed"}
