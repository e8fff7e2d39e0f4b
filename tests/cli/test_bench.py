from __future__ import annotations

import json

import pytest

from tests.bench.importers.engine_files import MODEL, SPECULATION, Requests, sglang_record, vllm_record, write
from workbench.bench.rows import read_bench
from workbench.cli.main import main


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main(["bench", "import", *map(str, arguments)])
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return run


def rows_in(tmp_path, device="NVIDIA_B200"):
    files = sorted((tmp_path / "results" / device / "bench").iterdir())
    return [row for path in files for row in read_bench(path).rows]


def test_results_become_rows_below_their_device(run, tmp_path):
    vllm = write(tmp_path / "fused.json", vllm_record(**SPECULATION))
    sglang = write(tmp_path / "sg.jsonl", *(sglang_record(Requests(concurrency=each)) for each in (1, 8)))
    code, out, _ = run(vllm, sglang, "--device", "b200", "--workload", "chat")
    assert code == 0
    assert [row.arm for row in rows_in(tmp_path)] == ["fused", "sg", "sg"]
    assert "3 runs, in results/NVIDIA_B200/bench/fused-" in out
    assert "counted over the run alone" in out


def test_the_table_marks_acceptance_since_the_servers_start(run, tmp_path):
    _, out, _ = run(write(tmp_path / "sg.jsonl", sglang_record(accept_length=2.9)))
    assert "2.9*" in out
    assert "since the server started" in out


def test_the_table_has_intervals_below_figures_and_says_what_failed(run, tmp_path):
    failed = vllm_record(completed=0, failed=400)
    _, out, _ = run(write(tmp_path / "x.json", vllm_record(details=True, failed=3), failed))
    assert ".." in out
    assert "400 (3 failed)" in out
    assert "failed: no request completed" in out


def test_importing_again_replaces_and_another_file_of_the_name_does_not(run, tmp_path):
    path = write(tmp_path / "x.json", vllm_record())
    run(path, "--arm", "one")
    run(path, "--arm", "two")
    assert [row.arm for row in rows_in(tmp_path, "unknown")] == ["two"]
    run(write(path, vllm_record(Requests(seed=1))))
    assert len(rows_in(tmp_path, "unknown")) == 2


def test_json_has_the_rows_and_their_files(run, tmp_path):
    _, out, _ = run(write(tmp_path / "x.json", vllm_record()), "--json")
    record = json.loads(out)
    assert record["rows"][0]["model"] == MODEL
    assert record["rows"][0]["metrics"]["tpot_p50_ms"]["n"] == 400
    assert len(record["files"]) == 1


def test_one_wrong_file_leaves_nothing_written(run, tmp_path):
    good = write(tmp_path / "good.json", vllm_record())
    bad = write(tmp_path / "bad.json", vllm_record(), vllm_record(median_tpot_ms="10"))
    code, out, err = run(good, bad)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {bad}:2: record 2, median_tpot_ms: must be a finite number, 0 or more")
    assert err.endswith(', got "10" (a string)\n')
    assert not (tmp_path / "results").exists()


def test_an_unknown_device_is_refused(run, tmp_path):
    code, _, err = run(write(tmp_path / "x.json", vllm_record()), "--device", "b2000")
    assert code == 2
    assert "did you mean b200?" in err


@pytest.mark.parametrize("arm", ["[red]x[/red]", "\x1b[31mred", "a\nb"])
def test_a_name_from_a_file_is_no_markup(run, tmp_path, arm):
    _, out, _ = run(write(tmp_path / "x.json", vllm_record(label=arm)))
    assert "\x1b" not in out
    assert "[red]x[/red]" in out or arm != "[red]x[/red]"
