from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tests.cli.results_for_routing import ROUTING, a_row, path_in, write
from workbench.cli.main import main
from workbench.trials.winners import read_winners


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_RESULTS", str(tmp_path / "results"))

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main(["show", *arguments])
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return run


@pytest.fixture
def results(tmp_path):
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


def line_of(out, tokens):
    return next(line.split() for line in out.splitlines() if line.split()[:1] == [str(tokens)])


def test_a_measured_winner_stands_on_one_line(run, results):
    write(results)
    code, out, _ = run("b200")
    assert code == 0
    assert "routing on NVIDIA_B200, num_experts=128 top_k=8 dtype=bf16" in out
    line = line_of(out, 8)
    assert line[:6] == ["8", "num_warps=4", "measured", "2", "3", "1.50x"]
    assert line[-1] == "current"


def test_modelled_winners_say_that_nothing_was_timed(run, results):
    write(results, {8: a_row(evidence="modelled", ci_us=None)})
    _, out, _ = run("b200")
    assert line_of(out, 8)[:6] == ["8", "num_warps=4", "modelled", "~2", "~3", "ahead"]
    assert "nothing was timed" in out


def test_measured_winners_do_not_speak_of_a_model(run, results):
    write(results)
    _, out, _ = run("b200", "--results", str(results))
    assert "modelled" not in out


def test_a_kept_default_and_a_default_that_cannot_run_are_told_apart(run, results):
    kept = a_row(config=ROUTING.default_config, kept_default=True, default_time_us=2.0)
    write(results, {8: kept, 16: a_row(default_time_us=None)})
    _, out, _ = run("--results", str(results))
    assert line_of(out, 8)[1:7] == ["the", "default", "measured", "2", "2", "kept"]
    assert line_of(out, 16)[3:7] == ["2", "cannot", "run", "-"]


def test_winners_of_other_source_say_so(run, results):
    write(results, hash_="another")
    _, out, _ = run("--results", str(results))
    assert line_of(out, 8)[-1] == "changed"
    assert "A lookup skips these" in out


def test_winners_of_a_kernel_that_is_not_shipped_are_shown_whole(run, results):
    write(results, kernel="mine")
    _, out, _ = run("--results", str(results), "--kernel", "mine")
    assert "algorithm=" in out
    assert line_of(out, 8)[-1] == "unknown"


def test_full_prints_every_parameter(run, results):
    write(results)
    _, out, _ = run("--results", str(results), "--full")
    assert all(f"{name}=" in out for name in ROUTING.default_config)


def test_only_the_named_device_is_shown(run, results):
    write(results)
    write(results, device="NVIDIA_H200")
    _, out, _ = run("h200", "--results", str(results))
    assert "NVIDIA_H200" in out
    assert "NVIDIA_B200" not in out


def test_a_device_of_ones_own_is_found_by_its_folder(run, results):
    write(results, device="NVIDIA_MINE")
    code, out, _ = run("NVIDIA_MINE")
    assert (code, "NVIDIA_MINE" in out) == (0, True)


def test_json_holds_what_the_table_holds(run, results):
    path = write(results)
    code, out, _ = run("b200", "--json", "--results", str(results))
    (record,) = json.loads(out)
    assert code == 0
    assert record["differs_from_default"] == {"num_warps": 4}
    assert (record["evidence"], record["timed"], record["speedup"]) == ("measured", True, 1.5)
    assert (record["source"], record["file"]) == ("current", str(path))


def test_ages_are_whole_days(results):
    write(results)
    (winner,) = read_winners([results], lambda name, problem: None, now=datetime(2026, 1, 11, 11, tzinfo=UTC))
    assert winner.age_days == 9


def test_trial_journals_are_not_taken_for_winners(run, results):
    journal = results / "runs" / "abc" / "a=1.json"
    journal.parent.mkdir(parents=True)
    journal.write_text("no winner")
    code, out, _ = run("--results", str(results))
    assert (code, out) == (0, f"There are no winners in {results}.\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "json:1: damaged: is not JSON"),
        ('{"schema": "workbench.tuned/2"}', "json: schema: damaged: must be workbench.tuned/1"),
        ("\udcff", "json: damaged: is not UTF-8"),
    ],
)
def test_a_damaged_file_is_one_line_and_exit_code_2(run, results, text, message):
    write(results).write_bytes(text.encode(errors="surrogateescape"))
    code, out, err = run()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {path_in(results)}")
    assert message in err


def test_a_file_under_another_devices_name_is_damaged(run, results):
    path = write(results)
    (results / "NVIDIA_H200").mkdir()
    path.parent.rename(results / "NVIDIA_H200" / "routing")
    code, _, err = run("--results", str(results))
    assert code == 2
    assert "is 'NVIDIA_B200', but the file is filed under 'NVIDIA_H200'" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["b2000"], "no device 'b2000'"),
        (
            ["--kernel", "rooting"],
            "--kernel: unknown kernel 'rooting'; there are winners of: experts, ",
        ),
        (["--results", "nowhere"], "nowhere: is no folder"),
        (["--nothing"], "--nothing"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(run, results, arguments, message):
    write(results)
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
