from __future__ import annotations

import json

import pytest

from tests.bench.importers.engine_files import Requests, sglang_record, vllm_record, write
from tests.plots.recorded import grid, write_run
from workbench.cli.main import main


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main(list(map(str, arguments)))
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return run


@pytest.fixture
def recorded(tmp_path):
    write_run(
        tmp_path / "results" / "runs" / "mine-0123", grid(lambda config: config["warps"] * config["block"])
    )


def import_arms(run, tmp_path, **paces):
    for arm, pace in paces.items():
        records = [vllm_record(Requests(concurrency=each, tpot_s=pace, count=50)) for each in (1, 8)]
        run("bench", "import", write(tmp_path / f"{arm}.json", *records), "--device", "b200")


def test_a_sweep_is_plotted_in_every_theme_and_format(run, recorded, tmp_path):
    code, out, _ = run("plot", "sweep", "mine")
    assert code == 0
    files = {path.name for path in (tmp_path / "plots" / "mine-0123").iterdir()}
    names = {"convergence", "importance", "landscape", "statuses"}
    assert files == {
        f"{name}-{theme}.{kind}" for name in names for theme in ("light", "dark") for kind in ("png", "svg")
    }
    assert len(out.splitlines()) == 16


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["other"], "no such run"),
        (["mine", "--x", "wraps"], "--x: no parameter 'wraps' (did you mean 'warps'?)"),
        (["mine", "--problem", "tokens=3"], "--problem: "),
    ],
)
def test_what_there_is_not_in_a_run_is_refused(run, recorded, tmp_path, arguments, said):
    code, out, err = run("plot", "sweep", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert not (tmp_path / "plots").exists()


def test_arms_of_a_device_are_plotted(run, tmp_path):
    import_arms(run, tmp_path, split=0.010, fused=0.009)
    code, out, _ = run("plot", "bench", "--device", "b200", "--json")
    assert code == 0
    names = {path.split("/")[-1].rsplit("-", 1)[0] for path in json.loads(out)}
    assert names == {"tpot", "ttft", "throughput", "pareto", "speedup"}


def test_files_can_be_named(run, tmp_path):
    import_arms(run, tmp_path, split=0.010)
    (path,) = (tmp_path / "results" / "NVIDIA_B200" / "bench").iterdir()
    assert run("plot", "bench", path, "--out", tmp_path / "here")[0] == 0
    assert (tmp_path / "here" / "tpot-light.png").exists()


def test_what_does_not_compare_is_refused(run, tmp_path):
    import_arms(run, tmp_path, split=0.010)
    sglang = write(tmp_path / "sg.jsonl", sglang_record(Requests(input_len=8000)))
    run("bench", "import", sglang, "--device", "b200")
    code, out, err = run("plot", "bench", "--device", "b200")
    assert (code, out) == (2, "")
    assert "gpus: 2 against 1; input_tokens: 1000 against 8000" in err


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "there are no bench rows"),
        (["--device", "b2000"], "no device"),
        (["none.json"], "cannot be read"),
    ],
)
def test_nothing_to_plot_is_refused(run, arguments, said):
    code, _, err = run("plot", "bench", *arguments)
    assert code == 2
    assert said in err


def test_an_unknown_load_or_baseline_is_refused(run, tmp_path):
    import_arms(run, tmp_path, split=0.010)
    assert "--workload: no row of the load 'chat'" in run("plot", "bench", "--workload", "chat")[2]
    assert (
        "--baseline: no arm 'splat' (did you mean 'split'?)" in run("plot", "bench", "--baseline", "splat")[2]
    )
