"""`--csv` and `--parquet` of every command that has them: what is read back is what Python gets."""

from __future__ import annotations

import io

import pandas as pd
import pytest

import workbench
from tests.bench.importers.engine_files import SPECULATION, vllm_record
from tests.bench.importers.engine_files import write as write_engine_result
from tests.cli.results_for_routing import a_row
from tests.cli.results_for_routing import write as write_winners
from tests.timeline.traces import analysed, decode_events, write
from workbench.cli import frame_files
from workbench.cli.main import main
from workbench.devices import catalogue, find_device
from workbench.report.devices import device_record, devices_frame
from workbench.timeline.diff import compare
from workbench.timeline.frames import changes_frame
from workbench.timeline.summary import summarise

OUT = ("--csv", "out/rows.csv", "--parquet", "out/rows.parquet")


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main([*map(str, arguments)])
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return run


def winners(folder):
    write_winners(folder, {8: a_row(), 16: a_row(evidence="modelled", ci_us=None, default_time_us=None)})
    write_winners(folder, kernel="mine")
    return ["show", "--results", folder], lambda: workbench.winners(folder, check_source=True)


def summary(folder):
    path = write(folder / "a.json", decode_events("split"))
    return ["trace", "summary", path], lambda: workbench.kernels(path)


def diff(folder):
    paths = [write(folder / f"{routing}.json", decode_events(routing)) for routing in ("split", "fused")]
    return ["trace", "diff", *paths], lambda: changes_frame(compare(*map(summarise, map(analysed, paths))))


def bench_import(folder):
    path = write_engine_result(folder / "fused.json", vllm_record(details=True, **SPECULATION), vllm_record())
    arguments = ["bench", "import", path, "--device", "b200", "--out", "results"]
    return arguments, lambda: workbench.bench_rows("results")


def devices(folder):
    return ["devices"], lambda: devices_frame([device_record(device) for device in catalogue()])


def one_device(folder):
    return ["devices", "b200"], lambda: devices_frame([device_record(find_device("b200"))])


COMMANDS = [winners, summary, diff, bench_import, devices, one_device]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_files_hold_what_python_gets_and_the_table_stands_as_ever(run, tmp_path, command):
    arguments, make = command(tmp_path)
    code, out, err = run(*arguments, *OUT)
    frame = make()
    assert (code, len(frame) > 0) == (0, True)
    assert run(*arguments)[1] == out
    rows = f"{len(frame):,} row{'' if len(frame) == 1 else 's'} of {len(frame.columns)} columns"
    assert err.splitlines() == [f"out/rows.csv: {rows}", f"out/rows.parquet: {rows}"]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out" / "rows.parquet"), frame)
    text = (tmp_path / "out" / "rows.csv").read_text()
    dtypes = frame.dtypes.to_dict()
    pd.testing.assert_frame_equal(
        pd.read_csv(io.StringIO(text), dtype=dtypes, keep_default_na=False, na_values=[""]), frame
    )


def test_json_stays_json(run, tmp_path):
    arguments, _ = summary(tmp_path)
    assert run(*arguments, "--json", "--csv", "x.csv")[1] == run(*arguments, "--json")[1]


def test_no_winners_are_a_file_of_names_alone(run, tmp_path):
    code, _, err = run("show", "--results", tmp_path, "--csv", "x.csv")
    assert (code, err.startswith("x.csv: 0 rows of ")) == (0, True)
    assert (tmp_path / "x.csv").read_text().startswith("device,kernel,tokens,")


def test_without_pyarrow_one_line_says_what_to_install_before_anything_is_written(run, tmp_path, monkeypatch):
    arguments, _ = bench_import(tmp_path)
    monkeypatch.setattr(frame_files, "find_spec", lambda name: None)
    code, out, err = run(*arguments, "--parquet", "x.parquet")
    assert (code, out) == (2, "")
    assert err == "error: --parquet: needs pyarrow: pip install 'moe-workbench[parquet]'\n"
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("option", ["--csv", "--parquet"])
def test_a_file_that_cannot_be_written_is_one_line(run, tmp_path, option):
    code, _, err = run("devices", option, tmp_path)
    assert (code, err.count("\n")) == (2, 1)
    assert f"{tmp_path}: cannot be written" in err
