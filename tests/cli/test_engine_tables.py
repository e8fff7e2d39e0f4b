"""`import`, `lint` and `explain --engine` from the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.integrations.results_for_experts import CONFIG
from workbench.cli.main import main
from workbench.integrations.engines import LADDER
from workbench.integrations.seeds_file import read_seeds

NAME = "E=128,N=704,device_name=NVIDIA_H200.json"
FULL = {str(tokens): CONFIG for tokens in LADDER}
PROBLEM = "E=128,K=8,H=2816,I=704,dtype=bf16"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for variable in ("VLLM_TUNED_CONFIG_FOLDER", "SGLANG_MOE_CONFIG_DIR", "VLLM_BATCH_INVARIANT"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def run(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main(list(arguments))
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return run


def table(content=None, folder="tables", name=NAME):
    path = Path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(FULL if content is None else content))
    return str(path)


def test_lint_ends_with_0_where_nothing_is_wrong(run):
    assert run("lint", table()) == (0, "1 tables: 0 errors, 0 warnings, 0 notes\n", "")


def test_lint_ends_with_0_on_warnings_and_with_1_on_errors(run):
    code, out, _ = run("lint", table({"1": CONFIG}))
    assert (code, "stops at 1" in out) == (0, True)
    code, out, _ = run("lint", table({**FULL, "8": {**CONFIG, "num_warps": "4"}}))
    assert (code, "8.num_warps" in out) == (1, True)


def test_lint_takes_a_folder_and_the_engine_that_will_read_it(run):
    table({"triton_version": "3.6.0", **FULL})
    assert run("lint", "tables", "--engine", "vllm")[0] == 0
    assert run("lint", "tables", "--engine", "sglang")[0] == 1


def test_lint_says_the_same_in_json(run):
    code, out, _ = run("lint", table({"x": 1, **FULL}), "--json")
    record = json.loads(out)
    assert (code, record["tables"], record["counts"]["error"]) == (1, 1, len(record["findings"]))
    assert record["findings"][0]["key"] == "x"


def test_import_writes_seeds_that_read_back(run):
    code, out, _ = run("import", "sglang", table(), "--out", "seeds.json")
    assert code == 0
    assert "18 seeds are in seeds.json" in out
    assert len(read_seeds(Path("seeds.json")).rows) == 18


def test_import_says_the_same_in_json(run):
    record = json.loads(run("import", "vllm", table(), "--json")[1])
    assert (record["kernel"], record["seeds"], record["tables"][0]["device"]) == (
        "experts",
        18,
        "NVIDIA_H200",
    )


def test_explain_names_the_file_the_row_and_whether_it_is_read(run):
    table()
    arguments = ("explain", "experts", "--engine", "vllm", "--problem", PROBLEM, "--tokens", "100")
    code, out, _ = run(*arguments, "--device", "h200", "--folder", "tables")
    assert code == 0
    assert f"the row for 96 tokens of tables/{NAME}" in out
    assert "yes: TRITON" in out
    record = json.loads(run(*arguments, "--device", "b200", "--folder", "tables", "--json")[1])
    assert record["file_name"] == NAME.replace("H200", "B200")
    assert (record["found"], record["is_default"], record["reads_it"]) == (None, True, "unless")
    assert record["remedy"] == "start vLLM with --moe-backend triton"


def test_explain_reads_the_engine_s_variable(run, monkeypatch):
    monkeypatch.setenv("SGLANG_MOE_CONFIG_DIR", "out")
    table(folder="out/configs/triton_3_6_0")
    arguments = ("explain", "experts", "--engine", "sglang", "--problem", PROBLEM, "--tokens", "8")
    record = json.loads(run(*arguments, "--device", "h200", "--triton", "3.6.0", "--json")[1])
    assert record["found"] == f"out/configs/triton_3_6_0/{NAME}"
    assert record["row"] == 8


def test_explain_takes_cuda_s_own_name_for_what_the_slug_leaves_out(run):
    arguments = ("explain", "experts", "--engine", "sglang", "--problem", PROBLEM, "--tokens", "8", "--json")
    record = json.loads(run(*arguments, "--device", "NVIDIA H200 NVL")[1])
    assert record["file_name"] == NAME.replace("H200", "H200_NVL")


def test_a_table_that_breaks_the_engine_is_explained_and_exit_code_2(run):
    table({"note": 1, **FULL})
    arguments = ("explain", "experts", "--engine", "vllm", "--problem", PROBLEM, "--tokens", "8")
    code, out, err = run(*arguments, "--device", "h200", "--folder", "tables")
    assert (code, "breaks the engine" in out, err.count("\n")) == (2, True, 1)
    assert err.startswith(f"error: tables/{NAME}: vLLM cannot read it: note: is no token count")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lint", "nowhere"), "nowhere: is no file, folder or wheel"),
        (("lint", ".", "--engine", "trt"), "--engine: must be one of vllm, sglang"),
        (("import", "vllm", "nowhere.json"), "nowhere.json: is no file, folder or wheel"),
        (("import", "vllm", "vllm"), "the package vllm is not installed"),
        (("import", "trt", "."), "ENGINE: must be one of vllm, sglang"),
        (
            ("explain", "routing", "--engine", "vllm", "--tokens", "8", "--problem", "E=1"),
            "for experts alone",
        ),
        (
            (
                "explain",
                "experts",
                "--engine",
                "vllm",
                "--tokens",
                "8",
                "--problem",
                "E=1",
                "--device",
                "h200",
            ),
            "--problem: lacks top_k",
        ),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(run, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_what_a_terminal_would_obey_is_spelled_in_an_error(run):
    code, _, err = run("lint", "\x1b[2J\udcff")
    assert (code, err) == (2, "error: \\x1b[2J\\udcff: is no file, folder or wheel\n")


def test_explain_names_the_option_that_is_wrong(run):
    arguments = ("explain", "experts", "--engine", "sglang", "--problem", PROBLEM, "--tokens", "8")
    code, _, err = run(*arguments, "--device", "h200", "--triton", "main")
    assert (code, err.startswith("error: --triton: 'main' is no version of Triton")) == (2, True)


def test_seeds_are_not_written_over_a_pipe_or_a_folder(run):
    os.mkfifo("pipe")
    for place in ("pipe", "."):
        code, out, err = run("import", "vllm", table(), "--out", place)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "cannot be written" in err
    assert Path("pipe").is_fifo()


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"1": {**CONFIG, "num_stages": "3"}}, "1.num_stages: must be a positive integer, got '3'"),
        ({"1": {**CONFIG, "evidence": 1}}, "1.evidence: is no key of SGLang's"),
        ({"triton_version": "3.6.0", "1": CONFIG}, "triton_version: is no token count"),
    ],
)
def test_a_table_that_cannot_be_imported_is_one_line_with_file_and_key(run, content, key):
    path = table(content)
    code, out, err = run("import", "sglang", path, "--out", "seeds.json")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {path}: {key}")
    assert not Path("seeds.json").exists()
