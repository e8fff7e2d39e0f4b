from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from moe_kernels.tuned import Run, parse
from tests.sweep.toy_kernels import DOUBLE
from workbench.base.errors import InputError
from workbench.devices import find_device
from workbench.sweep.publish import NOT_TIMED, Publisher
from workbench.sweep.select import Winner
from workbench.trials.trial import Evidence

B200 = find_device("b200")


def publisher(out, run_id="run", *, source_hash="abc", date="2026-01-01T00:00:00Z", kernel=DOUBLE):
    run = Run(source_hash=source_hash, versions={"triton": "3.9.0"}, date=date)
    return Publisher(out, kernel, B200, run_id, run, {"model": "m"})


def winner(tokens, time_us=2.0, *, width=8, evidence=Evidence.MODELLED, **changes):
    fields = {
        "problem": {"width": width, "tokens": tokens},
        "config": {**DOUBLE.default_config, "block": 2},
        "evidence": evidence,
        "time_us": time_us,
        "ci_us": (time_us, time_us) if evidence is Evidence.MEASURED else None,
        "default_time_us": 4.0,
        "kept_default": False,
        "margin": 0.05,
    }
    return Winner(**{**fields, **changes})


def path_in(out, width=8):
    return out / "NVIDIA_B200" / "double" / f"W={width}.json"


def rows_in(out, width=8):
    return parse(path_in(out, width).read_text()).rows


def test_a_winner_becomes_a_row_of_its_problems_file(tmp_path):
    (published,) = publisher(tmp_path).publish([winner(4)])
    assert (published.path, published.tokens, published.kept) == (path_in(tmp_path), 4, None)
    file = parse(path_in(tmp_path).read_text())
    assert (file.kernel, file.device, file.arch) == ("double", "NVIDIA_B200", "sm_100")
    assert file.problem == {"width": 8}
    assert file.runs["run"].source_hash == "abc"
    row = file.rows[4]
    assert (row.run, row.evidence, row.time_us, row.speedup) == ("run", "modelled", 2.0, 2.0)
    assert row.measure == {"model": "m", "margin": 0.05}


def test_a_modelled_row_says_that_nothing_was_timed_and_a_measured_one_does_not(tmp_path):
    publisher(tmp_path).publish([winner(4), winner(8, evidence=Evidence.MEASURED)])
    rows = rows_in(tmp_path)
    assert rows[4].extra == {"note": NOT_TIMED}
    assert rows[8].extra == {}


def test_winners_of_several_problems_go_to_several_files(tmp_path):
    published = publisher(tmp_path).publish([winner(1), winner(1, width=16), winner(2)])
    assert [each.path.name for each in published] == ["W=8.json", "W=8.json", "W=16.json"]
    assert sorted(rows_in(tmp_path)) == [1, 2]
    assert sorted(rows_in(tmp_path, 16)) == [1]


def test_only_the_rows_that_were_evaluated_change(tmp_path):
    publisher(tmp_path, "old").publish([winner(1), winner(2)])
    publisher(tmp_path, "new").publish([winner(2, 1.0), winner(4, 1.0)])
    rows = rows_in(tmp_path)
    assert {tokens: (row.run, row.time_us) for tokens, row in rows.items()} == {
        1: ("old", 2.0),
        2: ("new", 1.0),
        4: ("new", 1.0),
    }


def test_keys_that_this_version_does_not_know_stay(tmp_path):
    publisher(tmp_path).publish([winner(1)])
    text = json.loads(path_in(tmp_path).read_text())
    text["rows"]["1"]["checked_by"] = "hand"
    text["owner"] = "kernels"
    path_in(tmp_path).write_text(json.dumps(text))
    publisher(tmp_path).publish([winner(2)])
    file = parse(path_in(tmp_path).read_text())
    assert file.extra == {"owner": "kernels"}
    assert file.rows[1].extra["checked_by"] == "hand"


def test_a_run_without_rows_is_dropped(tmp_path):
    publisher(tmp_path, "old").publish([winner(1)])
    publisher(tmp_path, "new").publish([winner(1, 1.0)])
    assert list(parse(path_in(tmp_path).read_text()).runs) == ["new"]


def test_a_measured_row_is_never_replaced_by_a_modelled_one(tmp_path):
    publisher(tmp_path, "timed").publish([winner(1, evidence=Evidence.MEASURED)])
    before = path_in(tmp_path).read_bytes()
    (published,) = publisher(tmp_path, "model").publish([winner(1, 0.5)])
    assert published.kept == "measured"
    assert path_in(tmp_path).read_bytes() == before


@pytest.mark.parametrize("old", [Evidence.MODELLED, Evidence.MEASURED])
def test_a_measured_row_replaces_either(tmp_path, old):
    publisher(tmp_path, "old").publish([winner(1, evidence=old)])
    (published,) = publisher(tmp_path, "new").publish([winner(1, 1.0, evidence=Evidence.MEASURED)])
    assert published.kept is None
    assert rows_in(tmp_path)[1].run == "new"


def test_publishing_the_same_again_does_not_touch_the_file(tmp_path):
    publisher(tmp_path).publish([winner(1), winner(2)])
    before = written(path_in(tmp_path))
    publisher(tmp_path).publish([winner(2), winner(1)])
    assert written(path_in(tmp_path)) == before


LATER = "2026-02-02T00:00:00Z"


def written(path):
    """Which file it is and when it was written; reading it changes neither."""
    return path.stat().st_ino, path.stat().st_mtime_ns


@pytest.mark.parametrize("run_id", ["run", "another"])
@pytest.mark.parametrize("evidence", [Evidence.MODELLED, Evidence.REPLAYED, Evidence.MEASURED])
def test_a_sweep_that_finds_the_same_once_more_leaves_row_and_date_as_they_were(tmp_path, evidence, run_id):
    publisher(tmp_path).publish([winner(1, evidence=evidence), winner(2, evidence=evidence)])
    before = written(path_in(tmp_path))
    (published,) = publisher(tmp_path, run_id, date=LATER).publish([winner(2, evidence=evidence)])
    assert published.kept is None
    assert written(path_in(tmp_path)) == before


@pytest.mark.parametrize("change", [{"time_us": 1.5}, {"margin": 0.1}, {"config": DOUBLE.default_config}])
def test_a_run_that_finds_something_else_is_told_with_its_date(tmp_path, change):
    publisher(tmp_path).publish([winner(1)])
    publisher(tmp_path, date=LATER).publish([winner(1, **change)])
    assert parse(path_in(tmp_path).read_text()).runs["run"].date == LATER


def test_the_same_row_of_other_source_is_told_with_its_date(tmp_path):
    publisher(tmp_path).publish([winner(1)])
    publisher(tmp_path, source_hash="def", date=LATER).publish([winner(1)])
    (run,) = parse(path_in(tmp_path).read_text()).runs.values()
    assert (run.source_hash, run.date) == ("def", LATER)


def test_nothing_else_is_left_in_the_folder(tmp_path):
    publish = publisher(tmp_path)
    publish.check([{"width": 8, "tokens": 1}])
    publish.publish([winner(1)])
    left = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert left - {Path("runs/.publish.lock")} == {path_in(tmp_path).relative_to(tmp_path)}


def test_a_check_writes_nothing(tmp_path):
    publisher(tmp_path / "out").check([{"width": 8, "tokens": 1}])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"schema": "workbench.tuned/2"}', "\x00"])
def test_a_damaged_file_is_found_by_the_check_and_stays_as_it_was(tmp_path, damage):
    path_in(tmp_path).parent.mkdir(parents=True)
    path_in(tmp_path).write_text(damage)
    for act in (
        lambda: publisher(tmp_path).check([{"width": 8, "tokens": 1}]),
        lambda: publisher(tmp_path).publish([winner(1)]),
    ):
        with pytest.raises(InputError, match="damaged results file") as caught:
            act()
        assert caught.value.file == path_in(tmp_path)
    assert path_in(tmp_path).read_text() == damage


def test_a_file_that_is_not_text_is_damaged_too(tmp_path):
    path_in(tmp_path).parent.mkdir(parents=True)
    path_in(tmp_path).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="damaged results file"):
        publisher(tmp_path).check([{"width": 8, "tokens": 1}])


def test_a_file_of_another_problem_is_not_written_into(tmp_path):
    publisher(tmp_path).publish([winner(1, width=16)])
    path_in(tmp_path, 16).rename(path_in(tmp_path))
    with pytest.raises(InputError, match="another kernel, device or problem"):
        publisher(tmp_path).check([{"width": 8, "tokens": 1}])


@pytest.mark.parametrize("place", ["out", "out/NVIDIA_B200", "out/NVIDIA_B200/double"])
def test_a_file_in_the_place_of_a_folder_is_found_by_the_check(tmp_path, place):
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text("a file")
    with pytest.raises(InputError, match="is a file") as caught:
        publisher(tmp_path / "out").check([{"width": 8, "tokens": 1}])
    assert caught.value.file == tmp_path / place


def test_a_folder_name_that_is_too_long_is_an_error(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        publisher(tmp_path / ("a" * 300)).check([{"width": 8, "tokens": 1}])


def test_a_row_that_the_format_cannot_hold_is_an_error_and_changes_nothing(tmp_path):
    publisher(tmp_path).publish([winner(1)])
    before = path_in(tmp_path).read_bytes()
    with pytest.raises(InputError, match="cannot hold a winner"):
        publisher(tmp_path).publish([winner(2**31)])
    assert path_in(tmp_path).read_bytes() == before


def publish_one_by_one(out, run_id, ladder):
    for tokens in ladder:
        publisher(out, run_id).publish([winner(tokens)])


def test_sweeps_that_publish_to_one_file_at_once_lose_nothing(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    sweeps = [
        spawn.Process(target=publish_one_by_one, args=(tmp_path, f"run-{start}", range(start, 41, 2)))
        for start in (1, 2)
    ]
    for sweep in sweeps:
        sweep.start()
    for sweep in sweeps:
        sweep.join()
    assert sorted(rows_in(tmp_path)) == list(range(1, 41))
    assert len(parse(path_in(tmp_path).read_text()).runs) == 2
