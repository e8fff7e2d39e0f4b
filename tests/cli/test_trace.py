from __future__ import annotations

import gzip
import json

import pytest

from tests.support.imports import loaded_by
from tests.timeline.traces import EXPERTS, GEMM, decode_events, kernel, on_cpu, write
from workbench.cli.main import main


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main(["trace", *map(str, arguments)])
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return run


@pytest.fixture
def split(tmp_path):
    return write(tmp_path / "split.json.gz", decode_events("split"))


@pytest.fixture
def fused(tmp_path):
    return write(tmp_path / "fused.json", decode_events("fused"))


def test_the_summary_for_machines_holds_what_is_promised(run, split):
    code, out, _ = run("summary", split, "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["kernel_count"], found["reliable"], len(found["steps"])) == (156, True, 3)
    for part in (found, *found["steps"]):
        assert {"kernel_count", "busy_us", "span_us", "classes"} <= part.keys()
        for share in part["classes"]:
            assert {"name", "launches", "time_us", "share_busy", "share_span"} <= share.keys()
    assert sum(share["share_busy"] for share in found["classes"]) == pytest.approx(1)


def test_the_summary_for_people_names_classes_kernels_and_layers(run, split):
    code, out, _ = run("summary", split)
    assert code == 0
    for text in (
        "routing",
        "fused_moe_kernel",
        "layers",
        "coverage",
        "launch-bound",
        "ProfilerStep annotations",
    ):
        assert text in out


def test_what_if_gives_the_step_that_follows(run, split):
    found = json.loads(run("summary", split, "--what-if", "routing=0.25x", "--json")[1])
    assert found["what_if"]["new_step_us"] == pytest.approx(
        found["per_step"]["span_us"]["median"] - 0.75 * 68
    )
    assert "computed, not measured" in run("summary", split, "--what-if", "routing=0.25x")[1]


def test_the_diff_says_what_became_what(run, split, fused):
    code, out, _ = run("diff", split, fused)
    assert code == 0
    assert "routing: 4 kernels a layer -> 1, 68.0 us -> 16.0 us a step" in out
    found = json.loads(run("diff", split, fused, "--json")[1])
    assert found["classes"][0]["launches_per_layer"] == [4, 1]
    assert found["sentences"][0].startswith("routing: 4 kernels")


@pytest.mark.parametrize("arguments", [["summary"], ["diff"]])
def test_markdown_is_for_a_pull_request(run, split, fused, arguments):
    files = [split, fused][: 1 + (arguments == ["diff"])]
    code, out, _ = run(*arguments, *files, "--markdown")
    assert code == 0
    assert "|:---|" in out
    assert "\x1b" not in out


def test_merged_arms_are_processes_of_one_trace(run, split, fused, tmp_path):
    code, out, _ = run("merge", f"before={split}", fused, "--out", "both.json.gz")
    assert (code, "before, fused" in out) == (0, True)
    events = json.loads(gzip.decompress((tmp_path / "both.json.gz").read_bytes()))["traceEvents"]
    assert [e["args"]["name"] for e in events if e["name"] == "process_name"] == ["before", "fused"]


def test_the_page_is_one_file(run, split, fused, tmp_path):
    code, out, _ = run("view", f"split={split}", f"fused={fused}", "--out", "page.html")
    assert (code, "no network" in out) == (0, True)
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_a_rules_file_of_the_users_is_taken(run, tmp_path):
    trace = write(tmp_path / "a.json", [kernel("zyxw", 0, 5)])
    (tmp_path / "mine.yaml").write_text("names: [{class: experts, match: [zyx]}]\n")
    found = json.loads(run("summary", trace, "--rules", "mine.yaml", "--json")[1])
    assert [share["name"] for share in found["classes"]] == ["experts"]


def test_a_wrong_rules_file_is_one_line(run, split, tmp_path):
    (tmp_path / "mine.yaml").write_text("names:\n  - class: moe\n    match: [zyx]\n")
    code, out, err = run("summary", split, "--rules", "mine.yaml")
    assert (code, out) == (2, "")
    assert err.startswith("error: mine.yaml:2: names[0].class: ")


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["summary", "missing.json"], "missing.json: cannot be read"),
        (["summary", "split.json.gz", "--what-if", "routing"], "--what-if"),
        (["merge", "split.json.gz", "--step", "9"], "there is no step 9"),
        (["merge", "split.json.gz", "--out", "split.json.gz"], "is one of the traces"),
        (["merge", "a=split.json.gz", "a=split.json.gz"], "two arms are called 'a'"),
        (["view", "split.json.gz", "--out", "split.json.gz/x.html"], "cannot be written"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing_behind(run, split, tmp_path, arguments, complaint):
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert complaint in err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_damaged_trace_is_summed_up_with_the_reason_in_sight(run, split):
    split.write_bytes(split.read_bytes()[:-40])
    code, out, _ = run("summary", split)
    assert code == 0
    assert "gzip data end early" in out
    assert "NO" in out


def test_cpu_ops_are_shown_only_when_asked_for_and_said_to_be_that(run, tmp_path):
    trace = write(tmp_path / "cpu.json", [on_cpu("aten::mm", 0, 5)])
    assert run("summary", trace)[0] == 2
    code, out, _ = run("summary", trace, "--cpu")
    assert (code, "not GPU times" in out) == (0, True)


def test_terminal_codes_in_a_name_do_not_reach_the_terminal(run, tmp_path):
    trace = write(tmp_path / "a.json", [kernel(GEMM + "\x1b[31m", 0, 5), kernel("[red]" + EXPERTS, 10, 5)])
    out = run("summary", trace)[1]
    assert "\x1b" not in out
    assert "[red]" in out


def test_reading_a_trace_imports_neither_torch_nor_triton(split, tmp_path):
    loaded = loaded_by("trace", "summary", str(split), "--json", cwd=tmp_path)
    assert loaded.isdisjoint({"torch", "triton", "pandas"})
