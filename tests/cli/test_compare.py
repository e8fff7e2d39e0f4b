from __future__ import annotations

import json
import re

import pytest

from tests.compare.sides import a_row, all_rows, bench, winners
from workbench.cli import main as cli

HOSTILE = "x\n::error::forged%0A::warning::[link](http://evil)|<script>@me ##[error]"


@pytest.fixture
def run(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            cli.main(["compare", *map(str, arguments)])
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return run


@pytest.fixture
def same(tmp_path):
    return winners(tmp_path / "a", seed=1), winners(tmp_path / "b", seed=2)


@pytest.fixture
def slower(tmp_path):
    return winners(tmp_path / "a", seed=1), winners(tmp_path / "b", seed=2, factors=all_rows(1.03))


def test_equal_things_exit_with_0_and_say_so_first(run, same):
    code, out, err = run(*same)
    assert (code, err) == (0, "")
    assert out.startswith("No regression in ")


def test_a_regression_exits_with_1_and_stands_first(run, slower):
    code, out, err = run(*slower)
    assert code == 1
    assert out.startswith("FAILED, ")
    assert err.startswith("error: FAILED, ")
    assert err.count("\n") == 1
    assert re.search(r"REGRESSION\s+T=8\s+time_us .* \+\d\.\d % \(\+", out)


def test_what_must_not_be_compared_exits_with_2_and_nothing_else(run, same, tmp_path):
    code, out, err = run(same[0], winners(tmp_path / "c", device="NVIDIA_H200"))
    assert (code, out) == (2, "")
    assert "device: NVIDIA_B200 against NVIDIA_H200" in err


def test_what_proves_nothing_exits_with_2_after_its_table(run, tmp_path):
    a = winners(tmp_path / "a", evidence="modelled")
    code, out, err = run(a, winners(tmp_path / "b", evidence="modelled", factors=all_rows(1.5)))
    assert code == 2
    assert "not timed" in out
    assert "error: NOTHING PROVEN" in err
    assert run(a, a)[0] == 0


def test_json_holds_the_verdict_and_every_figure(run, slower):
    code, out, _ = run(*slower, "--json")
    record = json.loads(out)
    assert (code, record["schema"], record["passed"]) == (1, "workbench.compare/1", False)
    assert {each["verdict"] for each in record["figures"] if each["metric"] == "time_us"} >= {"regression"}


def test_a_rule_that_judges_nothing_is_no_pass(run, tmp_path):
    a, b = a_row(tmp_path / "a.json"), a_row(tmp_path / "b.json")
    code, _, err = run(a, b, "--fail-on", "energy_j_per_token>1%")
    assert code == 2
    assert "energy_j_per_token" in err


def test_an_unknown_metric_is_refused_before_anything_is_printed(run, same):
    code, out, err = run(*same, "--fail-on", "tpot>1%")
    assert (code, out) == (2, "")
    assert "allowed: time_us, speedup, default_us" in err


@pytest.mark.parametrize("percent", ["nan", "100", "inf"])
def test_noise_that_would_hide_everything_is_refused(run, slower, percent):
    code, out, err = run(*slower, "--run-to-run", percent)
    assert (code, out) == (2, "")
    assert "--run-to-run" in err


def test_a_limit_of_ones_own_lets_3_percent_pass(run, slower):
    assert run(*slower, "--fail-on", "time_us>5%")[0] == 0


def test_markdown_of_hostile_names_is_plain(run, tmp_path):
    a, b = a_row(tmp_path / "a.json", arm=HOSTILE), a_row(tmp_path / "b.json", arm=HOSTILE)
    _, out, _ = run(a, b, "--markdown")
    lines = out.splitlines()
    assert lines[0].startswith("**No regression")
    assert not any(line.startswith("::") for line in lines)
    bare = re.sub(r"(`+).*?\1", "", out)
    assert "<script>" not in bare
    assert "](" not in bare


def hostile_pair(tmp_path):
    arms = (HOSTILE, "other")
    return bench(tmp_path / "a.json", arms=arms, seed=1), bench(
        tmp_path / "b.json", arms=arms, tpot=9.0, seed=2
    )


def test_annotations_name_regressions_and_forge_no_command(run, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    code, out, _ = run(*hostile_pair(tmp_path), "--github")
    lines = out.splitlines()
    token = re.fullmatch(r"::stop-commands::([0-9a-f]{32})", lines[0]).group(1)
    rest = lines[lines.index(f"::{token}::") + 1 :]
    assert code == 1
    assert rest
    assert len(rest) <= 10
    for line in rest:
        assert re.fullmatch(r"::error title=[A-Za-z ]+::[^\r\n]*", line)
        assert "%0A" not in line.replace("%250A", "")
    assert (tmp_path / "summary.md").read_text().startswith("**FAILED")


@pytest.mark.parametrize("form", ["--json", "--markdown"])
def test_annotations_stay_out_of_a_document(run, tmp_path, form):
    _, out, err = run(*hostile_pair(tmp_path), "--github", form)
    assert not any(line.startswith("::") for line in out.splitlines())
    assert err.startswith("::error title=Regression::")
    if form == "--json":
        json.loads(out)


def test_the_summary_of_a_step_is_added_to(run, same, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("before\n")
    code, out, _ = run(*same, "--github")
    assert code == 0
    assert out.splitlines()[-1].startswith("::notice title=compare::No regression")
    assert (tmp_path / "summary.md").read_text().startswith("before\n**No regression")


def test_figures_for_github_action_benchmark_go_by_direction(run, tmp_path):
    a, b = bench(tmp_path / "a.json", seed=1), bench(tmp_path / "b.json", seed=2)
    run(a, b, "--benchmark", tmp_path / "out")
    smaller = json.loads((tmp_path / "out" / "customSmallerIsBetter.json").read_text())
    bigger = json.loads((tmp_path / "out" / "customBiggerIsBetter.json").read_text())
    assert {(each["unit"], each["name"].rsplit(" ", 1)[1]) for each in smaller} == {("ms", "tpot_p50_ms")}
    assert {each["unit"] for each in bigger} == {"tokens/s"}
    assert all(set(each) == {"name", "unit", "value", "extra"} for each in (*smaller, *bigger))


def test_modelled_figures_go_to_no_dashboard_of_measured_ones(run, tmp_path):
    path = winners(tmp_path / "a", evidence="modelled")
    run(path, path, "--benchmark", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "customSmallerIsBetter.json").read_text()) == []


@pytest.mark.parametrize("text", ["split", "a,b,c"])
def test_arms_come_in_pairs(run, same, text):
    code, _, err = run(*same, "--arms", text)
    assert code == 2
    assert "--arms: must be an arm of A and one of B" in err


def test_winners_have_no_arms(run, same):
    assert "--arms: winners have no arms" in run(*same, "--arms", "a,b")[2]
