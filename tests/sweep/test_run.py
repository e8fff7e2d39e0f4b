from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from moe_kernels.tuned import parse
from tests.sweep.in_process import Killed
from workbench.base.errors import InputError
from workbench.sweep.problem_sweep import CHUNK
from workbench.trials.lock import Holder


def configs(lines):
    return [(line["problem"]["tokens"], line["config"]["block"]) for line in lines]


def test_the_fastest_config_of_each_problem_is_published(bench):
    outcome = bench.run()
    assert {tokens: row.config["block"] for tokens, row in bench.rows.items()} == {1: 4, 8: 4}
    assert [each.winner.config["block"] for each in outcome.problems] == [4, 4]
    assert outcome.empty == ()


def test_every_trial_is_in_the_journal_once(bench):
    bench.run()
    lines = bench.journal_lines()
    assert sorted(configs(lines)) == [(tokens, block) for tokens in (1, 8) for block in (1, 2, 4)]
    assert {(line["status"], line["evidence"], line["stage"]) for line in lines} == {
        ("ok", "modelled", "measure")
    }
    assert len({line["trial"] for line in lines}) == 6


def test_each_distinct_code_is_compiled_once_and_each_code_path_verified_once(bench):
    bench.write(problems="{width: 8, tokens: [16, 32, 64]}")
    bench.run()
    assert len(bench.journal_lines()) == 9
    assert len(bench.compiled) == 3
    assert len(bench.verified) == 3


def test_a_repeated_sweep_asks_for_nothing_and_does_not_touch_the_winners(bench):
    bench.run()
    before = bench.winners_path.stat()
    bench.answers.clear()
    outcome = bench.run()
    assert bench.winners_path.stat() == before
    assert len(outcome.problems[0].trials) == 3
    assert bench.told.starts == [(6, 6)]


def test_winners_that_were_deleted_come_back_the_same(bench):
    bench.run()
    before = bench.winners_path.read_bytes()
    bench.winners_path.unlink()
    bench.run()
    assert bench.winners_path.read_bytes() == before


@pytest.mark.parametrize("after", range(1, 7))
def test_killed_after_any_trial_the_same_command_ends_the_same(bench, after):
    with pytest.raises(Killed):
        bench.run(killed_after=after)
    assert len(bench.journal_lines()) == after
    bench.run()
    assert len(bench.told.trials) == 6 - after
    assert len({line["trial"] for line in bench.journal_lines()}) == len(bench.journal_lines()) == 6
    resumed = bench.winners_path.read_text()

    bench.run(fresh=True)
    assert undated(bench.winners_path.read_text()) == undated(resumed)


def undated(text):
    file = json.loads(text)
    for run in file["runs"].values():
        del run["date"]
    return file


def test_a_run_that_continues_after_a_dead_process_says_so(bench):
    plan = bench.plan()
    plan.folder.parent.mkdir(parents=True)
    dead = Holder(4711, "elsewhere", "2026-01-01T00:00:00Z", "workbench sweep toy.yaml")
    plan.folder.with_name(f".{plan.folder.name}.lock.holder").write_text(json.dumps(asdict(dead)))
    bench.run()
    assert bench.told.notes == [f"continues after a process that died ({dead})"]
    bench.run()
    assert bench.told.notes == []


def test_fresh_does_all_the_work_again(bench):
    bench.run()
    bench.run(fresh=True)
    assert len(bench.told.trials) == 6
    assert len(bench.journal_lines()) == 6


def test_a_larger_budget_continues_the_same_run(bench):
    bench.run(trials=1)
    assert configs(bench.journal_lines()) == [(1, 1), (8, 1)]
    bench.run(trials=3)
    assert [trial.config["block"] for trial in bench.told.trials] == [2, 4, 2, 4]
    assert bench.rows[1].config["block"] == 4


def test_a_smaller_budget_uses_no_more_of_the_journal_than_it_may(bench):
    bench.run(trials=3)
    outcome = bench.run(trials=1)
    assert bench.told.trials == []
    assert [len(each.trials) for each in outcome.problems] == [1, 1]


def test_the_default_comes_first_beside_the_budget(bench):
    bench.write(space="{block: [2, 4]}")
    bench.run(trials=1)
    assert configs(bench.journal_lines()) == [(1, 1), (1, 2), (8, 1), (8, 2)]


MANY = f"{{block: [{', '.join(map(str, range(65, 65 + CHUNK + 20)))}], num_warps: [1]}}"


def test_more_configs_than_are_asked_for_at_once_are_all_tried(bench):
    bench.write(problems="{width: 8, tokens: [1]}", space=MANY)
    outcome = bench.run()
    assert len(outcome.problems[0].trials) == CHUNK + 20 + 1
    assert bench.told.starts == [(0, CHUNK + 20 + 1)]
    bench.run()
    assert bench.told.trials == []


def test_a_sweep_killed_after_its_first_many_configs_continues(bench):
    bench.write(problems="{width: 8, tokens: [1]}", space=MANY)
    with pytest.raises(Killed):
        bench.run(killed_after=CHUNK + 5)
    outcome = bench.run()
    assert len(bench.told.trials) == 16
    assert len(outcome.problems[0].trials) == CHUNK + 20 + 1


def test_a_default_late_in_the_space_is_one_trial(bench):
    late = f"{{block: [{', '.join(map(str, range(65, 65 + CHUNK + 5)))}, 1]}}"
    bench.write(problems="{width: 8, tokens: [1]}", space=late)
    outcome = bench.run()
    assert len(outcome.problems[0].trials) == CHUNK + 5 + 1
    assert len(bench.journal_lines()) == CHUNK + 5 + 1


def test_problems_without_a_config_have_no_trials_and_no_winner(bench):
    bench.write(constraints="['block > tokens']")
    outcome = bench.run()
    assert outcome.empty == ({"width": 8, "tokens": 8},)
    assert sorted(bench.rows) == [1]


def test_a_problem_whose_configs_all_fail_is_empty_and_publishes_nothing(bench):
    bench.verdict = lambda config: "seed 0: y: all wrong"
    outcome = bench.run()
    assert len(outcome.empty) == 2
    assert not bench.winners_path.exists()
    assert {line["status"] for line in bench.journal_lines()} == {"wrong_result"}
    assert {line["time_us"] for line in bench.journal_lines()} == {None}


def test_rows_of_other_sweeps_stay(bench):
    bench.run()
    bench.write(problems="{width: 8, tokens: [8, 64]}", name="other")
    bench.run()
    file = parse(bench.winners_path.read_text())
    assert sorted(file.rows) == [1, 8, 64]
    assert file.rows[1].run != file.rows[8].run == file.rows[64].run


@pytest.mark.parametrize("name", ["winners", "journal"])
def test_damage_is_told_before_any_work_and_nothing_is_lost(bench, name):
    bench.run()
    path = bench.winners_path if name == "winners" else bench.plan().folder / "trials.jsonl"
    path.write_bytes(b"damaged\n" + path.read_bytes())
    before = {each: each.read_bytes() for each in bench.out.rglob("*.json*") if each.is_file()}
    bench.answers.clear()
    with pytest.raises(InputError) as caught:
        bench.run()
    assert caught.value.file == path
    after = {each: each.read_bytes() for each in before}
    environment = bench.plan().folder / "environment.json"
    assert {**after, environment: None} == {**before, environment: None}
