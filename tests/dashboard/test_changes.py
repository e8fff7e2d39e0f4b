from __future__ import annotations

import pytest

from tests.dashboard.samples import (
    DEFAULT,
    LADDER,
    NOW,
    a_row,
    a_search,
    a_trial,
    finalists,
    panel,
    read,
    texts,
    write_run,
    write_winners,
)
from workbench.dashboard.panels.changes import find_changes
from workbench.dashboard.sources import read_results
from workbench.trials.trial import Evidence, Status


@pytest.fixture
def changes(tmp_path):
    """The changes between runs, the earliest first; each is its finals by tokens, or its trials."""

    def changes(*runs, winners=None):
        for number, run in enumerate(runs):
            finals = (
                [finalists(config, time, tokens) for tokens, (config, time) in run.items()]
                if isinstance(run, dict)
                else []
            )
            trials = a_search(tokens=tuple(run)) if finals else run
            write_run(
                tmp_path, trials, run=f"r{number}", started=f"2026-01-0{number + 1}T00:00:00Z", finals=finals
            )
        if winners:
            write_winners(tmp_path, winners, problem={"dtype": "bf16"})
        return {each.problem["tokens"]: each for each in find_changes(read_results(tmp_path, now=NOW))}

    return changes


def test_the_winner_of_each_problem_is_compared_with_that_of_the_run_before(changes):
    found = changes(
        {1: ({"block": 32}, 2.0), 8: ({"block": 32}, 2.0), 64: ({"block": 32}, 2.0)},
        {1: ({"block": 32}, 2.0), 8: ({"block": 128}, 1.0), 64: ({}, 3.0)},
    )
    assert {tokens: (each.kind, each.verdict) for tokens, each in found.items()} == {
        1: ("same config", "not told apart"),
        8: ("other config", "faster"),
        64: ("other config", "slower"),
    }
    assert found[8].ratio == pytest.approx(2.0)


def test_measured_times_whose_intervals_touch_are_not_told_apart(changes):
    (found,) = changes({1: ({"block": 32}, 2.0)}, {1: ({"block": 128}, 1.99)}).values()
    assert (found.kind, found.verdict) == ("other config", "not told apart")


def test_a_config_within_the_noise_of_the_default_has_not_won(changes):
    (found,) = changes({1: ({"block": 32}, 2.0)}, {1: ({"block": 32}, 2.99)}).values()
    assert dict(found.now.config) == DEFAULT


def test_modelled_times_are_compared_without_a_claim_of_timing(changes):
    modelled = [a_search(best, evidence=Evidence.MODELLED) for best in (2.0, 1.0)]
    found = changes(*modelled)[1]
    assert (found.verdict, found.now.evidence) == ("faster, not timed", "modelled")


def test_what_is_modelled_and_what_is_measured_is_never_divided(changes):
    (found,) = changes(a_search(tokens=(1,), evidence=Evidence.MODELLED), {1: ({"block": 32}, 2.0)}).values()
    assert (found.kind, found.ratio, found.verdict) == ("other evidence", None, "-")


def test_a_problem_that_no_run_tried_before_is_new(changes):
    found = changes({1: ({"block": 32}, 2.0)}, {8: ({"block": 32}, 2.0)})
    assert {tokens: each.kind for tokens, each in found.items()} == {8: "new"}


def test_the_latest_earlier_run_that_tried_the_problem_counts(changes):
    runs = [
        {1: ({"block": 32}, 2.0)},
        {1: ({"block": 128}, 2.0)},
        {8: ({"block": 32}, 2.0)},
        {1: ({"block": 128}, 2.0)},
    ]
    found = changes(*runs)
    assert (found[1].earlier.id, found[1].kind) == ("r1", "same config")


def test_a_problem_without_a_valid_config_any_more_is_said_to_be(changes):
    failed = [a_trial({}, status=Status.COMPILE_ERROR, reason="no")]
    (found,) = changes({1: ({"block": 32}, 2.0)}, failed).values()
    assert (found.kind, found.now) == ("no longer valid", None)


def test_a_timed_run_that_was_killed_before_its_finals_keeps_the_default(changes):
    (found,) = changes(a_search(tokens=(1,))).values()
    assert dict(found.now.config) == DEFAULT


def test_the_row_that_the_last_run_published_is_taken_as_it_is(changes):
    published = {1: a_row(run="r1", config={**DEFAULT, "block": 99}, time_us=1.25)}
    (found,) = changes({1: ({"block": 32}, 2.0)}, {1: ({"block": 32}, 2.0)}, winners=published).values()
    assert (dict(found.now.config), found.now.time_us) == ({**DEFAULT, "block": 99}, 1.25)


def test_runs_of_other_devices_and_kernels_are_apart(tmp_path):
    write_run(tmp_path, a_search(), run="a", started="2026-01-01T00:00:00Z", device="NVIDIA_H200")
    write_run(tmp_path, a_search(), run="b", started="2026-01-02T00:00:00Z", kernel="other")
    assert {each.kind for each in find_changes(read_results(tmp_path))} == {"new"}


def test_the_panel_lists_what_changed_first_and_counts_the_rest(tmp_path):
    for number, (config, time) in enumerate([({"block": 32}, 2.0), ({"block": 128}, 1.0)]):
        finals = [finalists({"block": 32}, 2.0, 1), finalists(config, time, 8), finalists(config, time, 64)]
        write_run(
            tmp_path, a_search(), run=f"r{number}", started=f"2026-01-0{number + 1}T00:00:00Z", finals=finals
        )
    found = panel(read(tmp_path), "changes")
    assert found.finding == "Of 3 problems of the last runs: 2 other config, 1 same config; 2 faster."
    assert [texts(row)[2:8] for row in found.blocks[0].rows] == [
        ["dtype=bf16 tokens=8", "other config", "faster", "block=32", "block=128", "2"],
        ["dtype=bf16 tokens=64", "other config", "faster", "block=32", "block=128", "2"],
    ]
    assert found.notes[0].startswith("1 problem not listed")


def test_without_journals_the_page_says_that_nothing_is_known_of_before(tmp_path):
    later = {**{tokens: a_row() for tokens in LADDER}, 512: a_row(run="another")}
    write_winners(tmp_path, later)
    found = panel(read(tmp_path), "changes")
    assert "not known" in found.finding
    assert [texts(row)[4:] for row in found.blocks[0].rows] in ([["3", "1"]], [["1", "3"]])
