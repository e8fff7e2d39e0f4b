from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace

import pytest

from moe_kernels.routing import split_routing
from workbench.cli.main import main
from workbench.models.gemma4.arms import ARMS

TASK = """\
task: colours
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
output_type: multiple_choice
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{label}}}}"
metric_list:
  - metric: acc
"""


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))

    def run(*arguments):
        small = ["--model", "tiny", "--device", "cpu", "--tokens", "32", "--arms", "split,fused"]
        with pytest.raises(SystemExit) as exit_:
            main(["bench", "quality", *small, *map(str, arguments)])
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return run


@pytest.fixture
def suite(tmp_path):
    folder = tmp_path / "suite"
    folder.mkdir()
    questions = [
        {"question": f"The colour of {each}:", "choices": [" red", " green", " blue"], "label": each % 3}
        for each in range(9)
    ]
    (folder / "colours.jsonl").write_text("\n".join(map(json.dumps, questions)))
    (folder / "colours.yaml").write_text(TASK.format(data=folder / "colours.jsonl"))
    return folder


@pytest.fixture
def mmlu(tmp_path):
    for split in ("dev", "test"):
        (tmp_path / "mmlu" / split).mkdir(parents=True)
        with (tmp_path / "mmlu" / split / f"sums_{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([f"What is {n}, plus 1?", n, n + 1, "None", "", "B"] for n in range(5))
    return tmp_path / "mmlu"


def test_arms_that_agree_exit_with_0(run):
    code, out, _ = run()
    assert code == 0
    assert "random tokens" in out
    assert "within the floor" in out


def test_an_arm_that_does_not_agree_exits_with_1(run, monkeypatch):
    def reversed_(logits, scale, top_k):
        return split_routing(-logits, scale, top_k)

    monkeypatch.setitem(ARMS, "fused", replace(ARMS["fused"], route=reversed_))
    code, out, err = run()
    assert code == 1
    assert "BEYOND THE FLOOR" in out
    assert err == "error: quality: fused differs by more than configs of split do\n"


def test_a_text_is_read_as_bytes_where_there_is_no_tokenizer(run, tmp_path):
    (tmp_path / "text.txt").write_text("Grüße aus der Küche. " * 10)
    code, out, _ = run("--text", "text.txt", "--json")
    record = json.loads(out)
    assert code == 0
    assert "bytes as ids" in record["title"]
    assert record["arms"][0]["quality"]["tokens"] == 32


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "holds 0 tokens"), (b"\xff\xfe\x00", "is not UTF-8"), (None, "cannot be read")],
)
def test_a_text_that_cannot_be_read_is_refused(run, tmp_path, content, said):
    if content is not None:
        (tmp_path / "text.txt").write_bytes(content)
    code, _, err = run("--text", "text.txt")
    assert code == 2
    assert err.startswith("error: text.txt: ")
    assert said in err


def test_suites_say_how_to_install_the_harness_where_it_is_missing(run, suite, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    code, _, err = run("--tasks", "colours", "--tasks-folder", suite)
    assert code == 2
    assert "pip install 'moe-workbench[quality]'" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [("process_docs: !function evil.run", "has a tag"), ("  trust_remote_code: true", "asks to run code")],
)
def test_task_files_that_bring_code_are_not_run(run, suite, line, said):
    path = suite / "colours.yaml"
    path.write_text(path.read_text() + line + "\n")
    code, _, err = run("--tasks", "colours", "--tasks-folder", suite)
    assert code == 2
    assert err.startswith(f"error: {path}:13: {said}")


def test_suites_need_their_folder(run):
    code, _, err = run("--tasks", "mmlu")
    assert code == 2
    assert err.startswith("error: --tasks-folder: ")


@pytest.mark.parametrize(
    ("row", "said"),
    [("a,b,c\n", "sums_test.csv:1: must be"), ("q,1,2,3,4,E\n", "sums_test.csv:1: answer: must be one of")],
)
def test_mmlu_files_that_are_none_are_refused(run, mmlu, row, said):
    (mmlu / "test" / "sums_test.csv").write_text(row)
    code, _, err = run("--mmlu", mmlu)
    assert code == 2
    assert said in err


def test_a_local_suite_runs_on_every_arm(run, suite):
    pytest.importorskip("lm_eval")
    code, out, _ = run("--tasks", "colours", "--tasks-folder", suite, "--json")
    scores = json.loads(out)["suites"]
    assert code == 0
    assert [(each["arm"], each["task"], each["questions"], each["passes"]) for each in scores] == [
        ("split", "colours", 9, None),
        ("fused", "colours", 9, True),
    ]


def test_mmlu_runs_from_local_files(run, mmlu):
    pytest.importorskip("lm_eval")
    code, out, _ = run("--mmlu", mmlu, "--shots", "2", "--limit", "3", "--json")
    scores = json.loads(out)["suites"]
    assert code == 0
    assert [(each["arm"], each["task"], each["questions"]) for each in scores] == [
        ("split", "mmlu_sums", 3),
        ("fused", "mmlu_sums", 3),
    ]


@pytest.mark.parametrize(
    "template", ["{{ ''.__class__.__mro__ }}", "{{ cycler.__init__.__globals__.os.getcwd() }}"]
)
def test_templates_reach_nothing_but_the_question(run, suite, template):
    pytest.importorskip("lm_eval")
    path = suite / "colours.yaml"
    path.write_text(path.read_text().replace("{{question}}", template))
    code, _, err = run("--tasks", "colours", "--tasks-folder", suite)
    assert code == 2
    assert "SecurityError" in err
