from __future__ import annotations

import dataclasses
import json
import os

import pytest

from workbench.report.sweep import (
    config_label,
    problem_label,
    sweep_record,
    sweep_report,
)
from workbench.report.sweep_tables import sweep_tables
from workbench.report.table import print_json
from workbench.sweep.publish import NOT_TIMED
from workbench.trials.trial import Evidence


def tables_of(outcome):
    return list(sweep_tables(sweep_report(outcome)))


def as_measured(outcome):
    """The same outcome as if it had been timed."""
    problems = tuple(
        dataclasses.replace(each, winner=dataclasses.replace(each.winner, evidence=Evidence.MEASURED))
        for each in outcome.problems
    )
    plan = dataclasses.replace(outcome.plan, evidence=Evidence.MEASURED)
    return dataclasses.replace(outcome, plan=plan, problems=problems)


def test_each_problem_is_a_line_with_its_winner(bench):
    winners, _ = tables_of(bench.run())
    assert [row[0] for row in winners.rows] == ["T=1", "T=8"]
    assert {row[1] for row in winners.rows} == {"block=4"}
    assert {row[4] for row in winners.rows} == {"3/3"}


def test_modelled_times_are_marked_wherever_they_stand(bench):
    winners, shortlist = tables_of(bench.run())
    assert NOT_TIMED in winners.title
    assert [column.heading for column in winners.columns[2:5]] == ["~us", "~default us", "valid/tried"]
    assert all(cell.startswith("~") for row in winners.rows for cell in row[2:4])
    assert any(note.startswith("Nothing was timed.") for note in winners.notes)
    assert shortlist.title.startswith("Shortlist to take to the GPU")


def test_measured_times_are_not_marked_and_have_no_shortlist(bench):
    (winners,) = tables_of(as_measured(bench.run()))
    assert "~" not in str(winners)
    assert [column.heading for column in winners.columns[2:5]] == ["us", "default us", "speed-up"]
    assert not any("timed" in note for note in winners.notes)


def test_a_kept_default_says_so(bench):
    bench.cycles = lambda config: 1000
    winners, _ = tables_of(bench.run())
    assert {(row[1], row[5]) for row in winners.rows} == {("default", "default kept")}


def test_a_default_that_is_not_valid_says_so(bench):
    bench.verdict = lambda config: "wrong" if config["block"] == 1 else None
    winners, failures, _ = tables_of(bench.run())
    assert {row[3] for row in winners.rows} == {"invalid"}
    assert failures.rows == (("wrong_result", "2", "wrong"),)


def test_failures_are_counted_by_what_they_say_most_frequent_first(bench):
    bench.verdict = lambda config: {1: None, 2: "rare", 4: "wrong"}[config["block"]]
    bench.write(space="{block: [1, 2, 4], num_warps: [1, 2]}", constraints="['block != 2 or num_warps == 1']")
    report = sweep_report(bench.run())
    assert [(each.count, each.reason) for each in report.failures] == [(4, "wrong"), (2, "rare")]


def test_many_kinds_of_failure_are_cut_short_and_counted(bench):
    bench.verdict = lambda config: f"wrong {config['block']}" if config["block"] > 1 else None
    bench.write(space=f"{{block: [{', '.join(map(str, range(1, 21)))}]}}")
    _, failures, _ = tables_of(bench.run())
    assert len(failures.rows) == 12
    assert failures.notes == ("and 7 other reasons; all are in trials.jsonl",)


def test_the_shortlist_counts_where_a_config_is_among_the_best(bench):
    bench.write(space="{block: [1, 2, 4, 8, 16]}")
    report = sweep_report(bench.run())
    where = {each.config["block"]: each.problems for each in report.shortlist}
    assert where == dict.fromkeys((4, 8, 16), ("T=1", "T=8"))


def test_configs_left_untried_are_told(bench):
    assert any("untried on 2 problems" in note for note in tables_of(bench.run(trials=1))[0].notes)
    assert not any("left configs untried" in note for note in tables_of(bench.run())[0].notes)


def test_the_lookup_is_asked_whether_it_loads_what_was_published(bench):
    report = sweep_report(bench.run())
    assert (report.loaded, report.published) == (2, 2)


def test_a_folder_that_lookups_do_not_know_has_its_variable_told(bench, tmp_path):
    bench.out = tmp_path / "elsewhere"
    before = dict(os.environ)
    (note,) = (note for note in tables_of(bench.run())[0].notes if "lookup loads" in note)
    assert f"WORKBENCH_RESULTS={bench.out} WORKBENCH_EVIDENCE=modelled" in note
    assert dict(os.environ) == before


def test_the_record_is_json_and_says_what_was_timed(bench, capsys):
    outcome = bench.run()
    print_json(sweep_record(sweep_report(outcome)))
    record = json.loads(capsys.readouterr().out)
    assert (record["timed"], record["evidence"]) == (False, "modelled")
    assert record["problems"][1]["problem"] == {"width": 8, "tokens": 8}
    assert record["problems"][1]["winner"]["time_us"] == outcome.problems[1].winner.time_us
    assert sweep_record(sweep_report(as_measured(outcome)))["timed"] is True


@pytest.mark.parametrize(
    "problems, labels",
    [
        ("{width: 8, tokens: [1, 2]}", ["T=1", "T=2"]),
        ("{width: [8, 16], tokens: [1]}", ["T=1 W=8", "T=1 W=16"]),
    ],
)
def test_a_problem_is_named_by_what_varies(bench, problems, labels):
    bench.write(problems=problems)
    plan = bench.plan()
    assert [problem_label(problem, plan) for problem in plan.space.problems] == labels


def test_a_config_is_named_by_what_differs_from_the_default():
    default = {"block": 1, "warps": 2}
    assert config_label({"block": 4, "warps": 2}, default) == "block=4"
    assert config_label(default, default) == "default"
