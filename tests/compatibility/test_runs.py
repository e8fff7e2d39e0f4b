"""Run folders of an earlier version: the same sweep goes on with them, and comes to the same winners."""

from __future__ import annotations

import json

import pytest

from tests.compatibility.recorded import copy_of_data, done, files_in, versions

ENDED = [
    ("modelled", "routing.yaml", ("small-5f2198193f0d4b94", "small-ba87a8071487a26c")),
    ("modelled", "experts.yaml", ("ranked-6366cc0b31048ae1",)),
    ("replayed", "noisy.yaml", ("noisy-63f16ba0f84c2510",)),
    ("replayed", "again.yaml", ("again-94e91f324ae3f1d1",)),
    ("searched", "searched.yaml", ("searched-e12b18c56fc83af3",)),
]
REPLAYED = [(kind, sweep, run) for kind, sweep, (run, *_) in ENDED if kind != "modelled"]


def lines_of(files, name):
    """What a file tells; of raw samples whatever the order in which problems and their finals were timed."""
    content = files.get(name, b"")
    if not name.endswith(".jsonl"):
        return content
    lines = [without_nulls(json.loads(line)) for line in content.splitlines()]
    return sorted(map(json.dumps, lines)) if name.endswith("samples.jsonl") else lines


def without_nulls(value):
    """What a line tells: fields that have come since say nothing of what was recorded before them."""
    if isinstance(value, list):
        return list(map(without_nulls, value))
    if not isinstance(value, dict):
        return value
    return {name: without_nulls(each) for name, each in value.items() if each not in (None, False)}


FOUND = ("trials.jsonl", "samples.jsonl", "finals.jsonl", "seeds.json")


@pytest.fixture
def data(tmp_path):
    return copy_of_data(tmp_path)


def results_of(data, kind):
    return data / kind / ("results" if kind == "modelled" else "results/replayed")


def skip_where_ids_differ(data, run):
    """A modelled run is one of a Triton, a driver and a model; with others it is another run, as it should be."""
    recorded = json.loads((results_of(data, "modelled") / "runs" / run / "sweep.json").read_text())
    if recorded["versions"] != versions() or "memory_latency_s" not in recorded["device"]:
        pytest.skip(f"made with {recorded['versions']} and the model {recorded['model']} as it was then")


def winners_in(results):
    """Every results file, dates left out."""
    found = {}
    for path in results.glob("*/*/*.json"):
        if path.parts[-3] != "runs":
            found[path.relative_to(results).as_posix()] = file = json.loads(path.read_text())
            for run in file["runs"].values():
                del run["date"]
    return found


@pytest.mark.parametrize(
    "kind, sweep, runs", ENDED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_sweep_that_had_ended_evaluates_nothing_and_publishes_the_same(
    data, monkeypatch, kind, sweep, runs
):
    if kind == "modelled":
        skip_where_ids_differ(data, runs[0])
    monkeypatch.chdir(data / kind)
    results = results_of(data, kind)
    before, winners = files_in(results / "runs"), winners_in(results)
    published = {name for name, file in winners.items() if set(file["runs"]) & set(runs)}
    for name in published:
        (results / name).unlink()
    records = json.loads(done("sweep", sweep, "--jobs", 2, "--json"))
    assert [record["run"] for record in records] == list(runs)
    after = files_in(results / "runs")
    assert after.keys() == before.keys()
    told = [name for name in after if name.endswith(FOUND)]
    assert [name for name in told if lines_of(after, name) != lines_of(before, name)] == []
    assert published
    assert winners_in(results) == winners


@pytest.mark.parametrize(
    "kind, sweep, runs", ENDED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_dry_run_knows_what_was_tried(data, monkeypatch, kind, sweep, runs):
    if kind == "modelled":
        skip_where_ids_differ(data, runs[0])
    monkeypatch.chdir(data / kind)
    for plan in json.loads(done("sweep", sweep, "--dry-run", "--json")):
        journal = data / kind / plan["journal"] / "trials.jsonl"
        assert plan["run"] in runs
        assert plan["known"] == len(journal.read_text().splitlines()) > 0


@pytest.mark.parametrize("kind, sweep, run", REPLAYED)
@pytest.mark.parametrize("kept", [2, 5])
def test_a_replayed_sweep_that_was_cut_off_tries_the_rest_and_ends_the_same(
    data, monkeypatch, kind, sweep, run, kept
):
    monkeypatch.chdir(data / kind)
    results = results_of(data, kind)
    trials, winners = results / "runs" / run / "trials.jsonl", winners_in(results)
    whole = cut_off(trials, kept)
    trials.with_name("finals.jsonl").unlink(missing_ok=True)
    done("sweep", sweep)
    assert trials.read_bytes().splitlines()[:kept] == whole.splitlines()[:kept]
    assert names_in(trials.read_bytes()) == names_in(whole)
    assert winners_in(results) == winners
    # Configs that are timed together share their noise, and these were not together before.
    assert sweep == "noisy.yaml" or lines_of({"x.jsonl": trials.read_bytes()}, "x.jsonl") == lines_of(
        {"x.jsonl": whole}, "x.jsonl"
    )


@pytest.mark.parametrize("kind, sweep, run", REPLAYED)
def test_a_replayed_sweep_that_starts_over_finds_every_figure_that_it_found_then(
    data, monkeypatch, kind, sweep, run
):
    monkeypatch.chdir(data / kind)
    results = results_of(data, kind)
    before, winners = files_in(results / "runs" / run), winners_in(results)
    done("sweep", sweep, "--fresh")
    after = files_in(results / "runs" / run)
    assert after.keys() == before.keys()
    assert [name for name in FOUND if lines_of(after, name) != lines_of(before, name)] == []
    assert winners_in(results) == winners


@pytest.mark.slow
def test_a_modelled_sweep_that_was_cut_off_compiles_what_is_missing_and_ends_the_same(
    data, monkeypatch, compile_cache
):
    run = "small-ba87a8071487a26c"
    skip_where_ids_differ(data, run)
    monkeypatch.chdir(data / "modelled")
    results = results_of(data, "modelled")
    trials = results / "runs" / run / "trials.jsonl"
    winners = winners_in(results)
    whole = cut_off(trials, len(trials.read_text().splitlines()) - 1)
    done("sweep", "routing.yaml", "--device", "b200", "--jobs", 1)
    assert trials.read_bytes() == whole
    assert winners_in(results) == winners


def names_in(content):
    return [json.loads(line)["trial"] for line in content.splitlines()]


def cut_off(path, kept):
    """Leaves so many lines and half of the next; returns what was there."""
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:kept]) + lines[kept][: len(lines[kept]) // 2])
    return whole
