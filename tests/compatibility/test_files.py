"""Files of an earlier version, read and written by the modules that the guides name, and written again by commands."""

from __future__ import annotations

import json
import shutil

import pytest

from moe_kernels.tuned import lookup, parse, refresh, serialise
from tests.compatibility.recorded import DATA, copy_of_data, differences, done, files_in
from workbench.bench.rows import read_bench, write_bench
from workbench.models.gemma4 import Gemma4Config, Gemma4MoE

WINNERS = [
    path
    for folder in ("modelled/results", "replayed/results/replayed", "winners/before", "winners/after")
    for path in sorted((DATA / folder).glob("*/*/*.json"))
    if path.parts[-3] != "runs"
]
BENCH = sorted((DATA / "bench" / "results").glob("*/bench/*.json"))
DASHBOARDS = json.loads((DATA / "dashboards.json").read_text(encoding="utf-8"))


@pytest.fixture
def data(tmp_path, monkeypatch):
    folder = copy_of_data(tmp_path)
    monkeypatch.chdir(folder)
    for name in ("WORKBENCH_RESULTS", "WORKBENCH_EVIDENCE"):
        monkeypatch.delenv(name, raising=False)
    return folder


def named(path):
    return path.relative_to(DATA).as_posix()


@pytest.mark.parametrize("path", WINNERS, ids=named)
def test_winners_are_read_and_written_as_they_were(path):
    text = path.read_text(encoding="utf-8")
    file = parse(text)
    assert file.rows.keys() == {int(tokens) for tokens in json.loads(text)["rows"]}
    assert serialise(file) == text


@pytest.mark.parametrize("path", BENCH, ids=named)
def test_bench_rows_are_read_and_written_as_they_were(path, tmp_path):
    write_bench(tmp_path / path.name, read_bench(path))
    assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_a_lookup_takes_the_row_that_it_took(data, monkeypatch):
    monkeypatch.setenv("WORKBENCH_RESULTS", str(data / "winners" / "before"))
    refresh()
    problem = {"num_experts": 96, "top_k": 6, "dtype": "bf16"}
    taken = {tokens: lookup("routing", problem, tokens, "NVIDIA_B200") for tokens in (1, 8, 40, 512, 5000)}
    refresh()
    assert {tokens: config["num_warps"] for tokens, config in taken.items()} == {
        1: 2,
        8: 4,
        40: 1,
        512: 4,
        5000: 4,
    }


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_exported_tables_are_byte_for_byte_what_they_were(data, engine):
    done("export", engine, "--device", "h200", "--results", "winners/before", "--out", "new")
    assert files_in(data / "new") == files_in(data / "tables" / engine)


def test_imported_seeds_are_byte_for_byte_what_they_were(data):
    done("import", "vllm", "tables/theirs", "--out", "new.json")
    assert (data / "new.json").read_bytes() == (data / "tables" / "seeds.json").read_bytes()


def test_imported_bench_rows_are_byte_for_byte_what_they_were(data):
    given = ("--device", "b200", "--workload", "chat", "--out", "new")
    done("bench", "import", "engines/fused.json", "engines/split.json", *given)
    done("bench", "import", "engines/sg.jsonl", "--arm", "sglang", *given)
    assert files_in(data / "new" / "NVIDIA_B200") == files_in(data / "bench" / "results" / "NVIDIA_B200")


def test_a_trace_is_summed_up_as_it_was(data, monkeypatch):
    monkeypatch.chdir(data / "traces")
    recorded = json.loads((data / "traces" / "split.summary.json").read_text(encoding="utf-8"))
    assert differences(json.loads(done("trace", "summary", "split.json.gz", "--json")), recorded) == []


def test_the_timelines_of_a_saved_profile_are_merged_and_viewed(data):
    arms = ("before=profiles/before/split.json.gz", "after=profiles/after/split.json.gz")
    merged = json.loads(done("trace", "merge", *arms, "--cpu", "--out", "merged.json.gz", "--json"))
    assert (merged["arms"], merged["events"] > 1000) == (["before", "after"], True)
    done("trace", "view", *arms, "--cpu", "--out", "timeline.html")
    assert "ProfilerStep" in (data / "timeline.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("recorded", DASHBOARDS, ids=lambda each: " ".join(each["command"]))
def test_a_dashboard_has_the_panels_and_findings_that_it_had(data, recorded):
    assert differences(findings(json.loads(done(*recorded["command"], "--json"))), recorded["shown"]) == []


def findings(page):
    """What stands out of a page; how long ago the latest run was is no figure of it."""
    return {
        "title": page["title"],
        "damaged": page["damaged"],
        "highlights": [each for each in page["highlights"] if each["label"] != "Latest run"],
        "panels": [{key: panel[key] for key in ("name", "title", "finding")} for panel in page["panels"]],
    }


def test_a_page_of_a_results_folder_is_written(data):
    done("dashboard", "--results", "modelled/results", "--profile", "profiles/before", "--out", "page.html")
    assert (data / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_workload_that_was_cut_off_keeps_its_rows_and_goes_on(data):
    """What a killed run leaves is the rows that it had."""
    (path,) = (data / "bench" / "results" / "cpu" / "bench").iterdir()
    whole = json.loads(path.read_text(encoding="utf-8"))
    file = read_bench(path)
    write_bench(path, type(file)(schema=file.schema, origin=file.origin, rows=file.rows[:3]))
    shutil.move(data / "bench" / "results" / "cpu", data / "new" / "cpu")
    command = ("bench", "run", "bench/small.yaml", "--model", "tiny", "--device", "cpu", "--layers", "2")
    found = json.loads(done(*command, "--out", "new", "--json"))
    (known, *others) = (data / "new" / "cpu" / "bench").iterdir()
    if others:
        pytest.skip("made with another torch or Triton, whose runs are others")
    assert differences(found["rows"][:2], whole["rows"][:2]) == []
    assert [(row["arm"], row["concurrency"]) for row in found["rows"]] == [
        (row["arm"], row["concurrency"]) for row in whole["rows"]
    ]
    assert known.name == path.name


def test_the_tiny_model_computes_what_it_computed():
    import torch

    recorded = json.loads((DATA / "gemma4.json").read_text(encoding="utf-8"))
    config = Gemma4Config.preset("tiny")
    assert {name: getattr(config, name) for name in recorded["config"]} == recorded["config"]
    block = Gemma4MoE(config)
    for parameter in block.parameters():
        weights = torch.linspace(-1, 1, parameter.numel()).sin() * 0.3
        parameter.data = weights.reshape(parameter.shape).to(parameter.dtype)
    hidden = torch.linspace(-2, 2, 4 * config.hidden_size).cos().reshape(4, -1)
    output = block(hidden).detach().double()
    assert output.mean(dim=1).tolist() == pytest.approx(recorded["means"], rel=1e-3, abs=1e-5)
    assert output.std(dim=1).tolist() == pytest.approx(recorded["deviations"], rel=1e-3, abs=1e-5)
