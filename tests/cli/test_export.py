from __future__ import annotations

import json

import pytest

from tests.integrations.results_for_experts import CONFIG, FUSED, a_row, kept, write
from workbench.cli.main import main

STEM = "E=128,N=704,device_name=NVIDIA_B200"


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


@pytest.fixture
def run(capsys):
    def run(engine, *arguments, device="b200"):
        with pytest.raises(SystemExit) as exit_:
            main(["export", engine, "--device", device, "--out", "out", *arguments])
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return run


def test_it_names_every_file_and_where_each_row_comes_from(run, results, tmp_path):
    write(results, {8: a_row()})
    code, out, _ = run("vllm")
    assert code == 0
    assert f"out/{STEM}.json" in out
    assert sum("measured" in line for line in out.splitlines()) == 1
    assert "1.50x" in out
    assert "VLLM_TUNED_CONFIG_FOLDER=out" in out
    assert json.loads((tmp_path / "out" / f"{STEM}.json").read_text())["8"] == CONFIG


def test_it_warns_where_the_engine_may_take_another_backend(run, results):
    write(results)
    assert "may not read" in run("vllm")[1]
    assert "may not read" not in run("sglang")[1]


def test_modelled_rows_come_with_a_warning(run, results):
    write(results, {8: a_row(evidence="modelled", ci_us=None)})
    code, _, err = run("vllm")
    assert (code, "--evidence modelled admits modelled ones" in err) == (2, True)
    # What ships holds modelled rows of two problems that would share a file.
    code, out, _ = run("vllm", "--evidence", "modelled", "--problem", "E=128,dtype=bf16")
    assert (code, "warning: ~ modelled: nothing was timed" in out) == (0, True)


def test_a_winner_that_no_engine_can_run_is_named(run, results):
    write(results, {4: a_row(), 8: a_row(config=FUSED)})
    assert "the winners for 8 tokens fuse the activation" in run("vllm")[1]
    write(results, {4: a_row(), 8: a_row(config=FUSED, extra=kept())})
    assert "fuse the activation" not in run("vllm")[1]


def test_json_says_the_same(run, results):
    write(results)
    code, out, _ = run("sglang", "--json")
    record = json.loads(out)
    assert code == 0
    assert [file["path"] for file in record["files"]] == [
        f"out/configs/triton_3_6_0/{STEM}.json",
        f"out/configs/triton_3_6_0/{STEM}_down.json",
    ]
    assert record["files"][0]["rows"]["8"] == "measured"
    assert record["files"][0]["rows"]["4096"] == "engine default"


def test_of_two_problems_with_one_name_one_can_be_chosen(run, results):
    write(results)
    write(results, problem={"hidden_size": 4096})
    code, _, err = run("vllm")
    assert (code, err.count("\n")) == (2, 1)
    assert "H=2816" in err
    assert "H=4096" in err
    assert run("vllm", "--problem", "H=4096")[0] == 0
    code, _, err = run("vllm", "--problem", "hidden_size=1")
    assert (code, "--problem: no winners match; there are those of" in err) == (2, True)


def test_winners_of_the_engine_s_own_kernel_are_exported_by_its_name(run, results, tmp_path):
    write(results, {8: a_row(config={**CONFIG, "num_stages": 2})}, kernel="vllm_fused_moe")
    assert run("vllm")[0] == 2
    assert run("vllm", "--kernel", "vllm_fused_moe")[0] == 0
    assert json.loads((tmp_path / "out" / f"{STEM}.json").read_text())["8"]["num_stages"] == 2


def test_a_device_without_winners_is_an_error_that_lists_what_there_is(run, results, tmp_path):
    write(results)
    code, out, err = run("vllm", device="h200")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "no measured winners of experts that an engine can run for NVIDIA_H200" in err
    assert "experts on NVIDIA_B200" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("engine", "arguments", "message"),
    [
        ("vlm", [], "ENGINE: must be one of vllm, sglang"),
        ("vllm", ["--evidence", "replayed"], "--evidence: must be measured or modelled"),
        ("vllm", ["--problem", "X=1"], "--problem: 'X=1' is no axis=value"),
        ("vllm", ["--problem", "H=many"], "hidden_size must be a positive integer"),
        ("vllm", ["--results", "nowhere"], "nowhere: is no folder"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(run, results, tmp_path, engine, arguments, message):
    write(results)
    code, out, err = run(engine, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not (tmp_path / "out").exists()


def test_a_damaged_results_file_is_one_line_and_leaves_nothing(run, results, tmp_path):
    write(results).write_text("{")
    code, _, err = run("vllm")
    assert (code, err.count("\n")) == (2, 1)
    assert not (tmp_path / "out").exists()


def test_a_table_that_the_installed_engine_ships_is_named(run, results, tmp_path, monkeypatch):
    write(results)
    shipped = tmp_path / "vllm" / "model_executor" / "layers" / "fused_moe" / "configs"
    shipped.mkdir(parents=True)
    (tmp_path / "vllm" / "__init__.py").touch()
    (shipped / f"{STEM}.json").write_text("{}")
    monkeypatch.syspath_prepend(tmp_path)
    assert f"vLLM ships a table {STEM}.json; this one hides it" in run("vllm")[1]
