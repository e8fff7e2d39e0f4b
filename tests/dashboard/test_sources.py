from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.dashboard.samples import (
    NOW,
    a_row,
    a_search,
    a_trial,
    read,
    write_a_profile,
    write_rows,
    write_run,
    write_winners,
)
from workbench.base.errors import InputError
from workbench.dashboard.sources import read_results


def damage(results):
    return [(each.file.rpartition("/")[2], each.line, each.key) for each in results.damaged]


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="--results: is no folder"):
        read_results(tmp_path / "none")


def test_an_empty_folder_is_read_and_every_panel_says_what_to_do(tmp_path):
    dashboard = read(tmp_path)
    assert dashboard.damaged is None
    assert all(panel.empty for panel in dashboard.panels)
    assert "`workbench sweep FILE`" in dashboard.panels[1].finding


def test_runs_come_latest_first_with_what_was_put_aside(tmp_path):
    write_run(tmp_path, a_search(), run="a", started="2026-01-01T00:00:00Z")
    write_run(tmp_path, a_search(), run="b", started="2026-01-02T00:00:00Z")
    write_run(tmp_path, a_search(), run="b.before-20260101T120000", started="2026-01-01T12:00:00Z")
    runs = read_results(tmp_path).runs
    assert [(run.id, run.put_aside) for run in runs] == [
        ("b", False),
        ("b.before-20260101T120000", True),
        ("a", False),
    ]


def test_a_run_without_a_trial_yet_is_no_damage(tmp_path):
    write_run(tmp_path, [])
    results = read_results(tmp_path)
    assert (results.runs, results.damaged) == ((), ())


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema": "workbench.tuned/2"}', b"\xff", b"[" * 100_000])
def test_a_damaged_results_file_is_named_and_the_others_are_read(tmp_path, content):
    write_winners(tmp_path)
    write_winners(tmp_path, device="NVIDIA_H200").write_bytes(content)
    results = read_results(tmp_path, now=NOW)
    assert {winner.device for winner in results.winners} == {"NVIDIA_B200"}
    assert [name for name, _, _ in damage(results)] == ["E=128,K=8,dtype=bf16.json"]


def test_damaged_lines_of_a_journal_are_named_and_the_others_read(tmp_path):
    path = write_run(tmp_path, a_search()) / "trials.jsonl"
    lines = path.read_text().splitlines()
    lines[2], lines[4] = "{", json.dumps({**json.loads(lines[4]), "status": "fine"})
    path.write_text("\n".join(lines) + "\nhalf a li")
    results = read_results(tmp_path)
    assert damage(results) == [("trials.jsonl", 3, None), ("trials.jsonl", 5, None)]
    assert sum(len(problem.trials) for problem in results.runs[0].recorded.problems) == len(lines) - 2


@pytest.mark.parametrize(
    "changed",
    [
        {"config": "block=1"},
        {"config": {}},
        {"config": {"other": 1}},
        {"problem": {"tokens": [1]}},
        {"time_us": "fast"},
        {"time_us": -1.0},
        {"time_us": float("nan")},
        {"ci_us": [1.0, float("inf")]},
        {"reason": ["why"]},
        {"ratio": "1"},
    ],
)
def test_a_line_with_the_right_keys_and_wrong_values_is_damaged(tmp_path, changed):
    path = write_run(tmp_path, a_search()) / "trials.jsonl"
    with path.open("a") as file:
        file.write(json.dumps({**asdict(a_trial({}, 1.0, tokens=512)), **changed}) + "\n")
    results = read_results(tmp_path)
    assert len(results.damaged) == 1
    assert next(iter(changed)) in results.damaged[0].what
    assert len(results.runs[0].recorded.problems) == 3


def test_of_many_damaged_lines_the_first_are_told_and_the_others_counted(tmp_path):
    path = write_run(tmp_path, a_search()) / "trials.jsonl"
    path.write_text(path.read_text() + "{\n" * 50)
    results = read_results(tmp_path)
    assert [each.line for each in results.damaged] == [22, 23, 24, None]
    assert "47 more" in results.damaged[-1].what


@pytest.mark.parametrize("content", ["", "[]", "{", '{"schema": "workbench.profile/1"}', '{"schema": 7}'])
def test_a_damaged_profile_is_named(tmp_path, content):
    write_winners(tmp_path)
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "summary.json").write_text(content)
    results = read_results(tmp_path)
    assert (results.profiles, [name for name, _, _ in damage(results)]) == ((), ["summary.json"])


def test_a_trace_that_cannot_be_read_is_named_and_the_others_are_drawn(tmp_path):
    folder = write_a_profile(tmp_path / "profile")
    (folder / "fused.json.gz").write_bytes(b"no trace")
    dashboard = read(tmp_path)
    assert [row.cells[0].text for row in dashboard.damaged.rows] == ["profile/fused.json.gz"]
    (option,) = next(each for each in dashboard.panels if each.name == "timeline").blocks[0].options
    (timeline,) = [block for block in option.blocks if block.kind == "timeline"]
    assert [arm["name"] for arm in timeline.record["arms"]] == ["split"]


def test_a_trace_outside_of_its_profile_is_not_read(tmp_path):
    folder = write_a_profile(tmp_path / "profile")
    record = json.loads((folder / "summary.json").read_text())
    record["arms"]["fused"]["trace"] = "../profile/fused.json.gz"
    (folder / "summary.json").write_text(json.dumps(record))
    (profile,) = read_results(tmp_path).profiles
    assert list(profile.traces()) == ["split"]


def test_a_damaged_bench_file_is_named_and_the_others_are_read(tmp_path):
    write_rows(tmp_path)
    write_rows(tmp_path, name="other").write_text('{"schema": "workbench.bench/1", "rows": 3}')
    results = read_results(tmp_path)
    assert len(results.bench) == 7
    assert [name for name, _, _ in damage(results)] == ["other.json"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-2, 2) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ["trial", "problem", "config", "stage", "status", "time_us", "evidence", "resources"]
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    field=FIELDS,
    value=JSON,
    about=st.dictionaries(st.sampled_from(["device", "kernel", "default", "sweep"]), JSON),
)
def test_whatever_a_journal_holds_the_page_is_built(tmp_path_factory, field, value, about):
    folder = tmp_path_factory.mktemp("results")
    write_winners(folder, {1: a_row()})
    path = write_run(folder, a_search(tokens=(1,)), about=about)
    odd = {**asdict(a_trial({"block": 7}, 1.0)), field: value}
    with (path / "trials.jsonl").open("a") as file:
        file.write(json.dumps(odd) + "\n")
    assert read(folder).panels[1].name == "winners"
