from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.dashboard.samples import a_search, whole_folder, write_a_profile, write_run, write_winners
from tests.support.imports import loaded_by
from workbench.cli.main import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main(["dashboard", *map(str, arguments)])
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return run


def test_it_writes_one_page_of_the_results_beside(run, tmp_path):
    whole_folder(tmp_path / "results")
    code, out, err = run()
    assert (code, err) == (0, "")
    assert out.startswith("dashboard.html: 9 panels, ")
    assert "no network needed\n" in out
    assert "<!doctype html>" in (tmp_path / "dashboard.html").read_text()


def test_json_is_what_the_page_shows(run, tmp_path):
    whole_folder(tmp_path / "results")
    code, out, _ = run("tuning", "--json")
    record = json.loads(out)
    assert (code, record["schema"]) == (0, "workbench.dashboard/1")
    assert [panel["name"] for panel in record["panels"]] == [
        "winners",
        "changes",
        "convergence",
        "landscape",
        "failures",
    ]
    assert not (tmp_path / "dashboard.html").exists()


def test_a_damaged_file_is_told_and_the_page_is_written(run, tmp_path):
    write_winners(tmp_path / "results")
    write_winners(tmp_path / "results", device="NVIDIA_H200").write_text("{")
    code, out, _ = run("--out", "page.html")
    assert (code, "1 damaged file left out" in out) == (0, True)
    assert "is not JSON" in (tmp_path / "page.html").read_text()


def test_what_profile_wrote_beside_the_results_is_found(run, tmp_path):
    write_winners(tmp_path / "results")
    write_a_profile(tmp_path / "profile", layers=2)
    assert "fused decodes 5.3% more" in run("--json")[1]
    assert "fused decodes" not in run("--json", "--profile", tmp_path / "results")[1]


def test_a_definition_of_ones_own_is_read_from_its_file(run, tmp_path):
    write_run(tmp_path / "results", a_search())
    (tmp_path / "mine.yaml").write_text("title: Ours\npanels: {failures: }")
    record = json.loads(run("mine.yaml", "--json")[1])
    assert (record["title"], [panel["name"] for panel in record["panels"]]) == ("Ours", ["failures"])


def test_traces_that_a_definition_names_are_drawn(run, tmp_path):
    write_winners(tmp_path / "results")
    write_a_profile(tmp_path / "elsewhere", layers=2)
    traces = "{split: elsewhere/split.json.gz, fused: elsewhere/fused.json.gz}"
    (tmp_path / "mine.yaml").write_text(f"panels:\n  timeline: {{traces: {traces}}}\n")
    (panel,) = json.loads(run("mine.yaml", "--json")[1])["panels"]
    kinds = [block["kind"] for block in panel["blocks"][0]["options"][0]["blocks"]]
    assert kinds == ["timeline", "table"]


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--results", "none"], "none: --results: is no folder"),
        (
            ["overviw"],
            "overviw: no such file, and no shipped dashboard of that name; shipped: overview, serving",
        ),
        (["--profile", "none"], "none: --profile: is no folder"),
        (["--out", "results"], "results: cannot be written: is a folder"),
        (
            ["bad.yaml"],
            "bad.yaml:2: panels.winers: unknown key (did you mean 'winners'?); allowed: devices, winners",
        ),
        (["gone.yaml"], "gone.json"),
        (["--port", "70000", "--serve"], "--port"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run, tmp_path, arguments, said):
    write_winners(tmp_path / "results")
    (tmp_path / "bad.yaml").write_text("panels:\n  winers:\n")
    (tmp_path / "gone.yaml").write_text("panels: {timeline: {traces: {split: gone.json}}}")
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert not (tmp_path / "dashboard.html").exists()


def test_building_a_page_imports_neither_torch_nor_a_kernel(tmp_path):
    (tmp_path / "results").symlink_to(ROOT / "results")
    loaded = loaded_by("dashboard", "--results", "results", cwd=tmp_path)
    assert loaded.isdisjoint({"torch", "triton", "matplotlib"})
    assert (tmp_path / "dashboard.html").stat().st_size < 2_000_000
