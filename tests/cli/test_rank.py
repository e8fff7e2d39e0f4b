import json

import pytest

from tests.ranking.tables import write_table
from workbench.cli.main import main
from workbench.ranking.ranker import load_ranker


def run(*arguments):
    with pytest.raises(SystemExit) as exited:
        main(["rank", *map(str, arguments)])
    return exited.value.code


@pytest.fixture
def tables(tmp_path):
    write_table(tmp_path / "tables")
    return tmp_path / "tables"


def test_a_refit_is_a_file_that_ranks_and_says_what_it_was_fitted_to(tmp_path, tables, capsys):
    out = tmp_path / "fits" / "fitted.json"
    assert run("fit", "--tables", tables, "--keep-constants", "--out", out) == 0
    assert "fitted to 2 rows" in capsys.readouterr().out
    assert load_ranker(out).provenance["rows"] == {"NVIDIA_H200, bf16": 2}
    assert load_ranker(out).provenance["tables"] == {"tables": 1}


def test_show_places_the_winners_of_tables(tables, capsys):
    assert run("show", "--tables", tables, "--json") == 0
    worth = json.loads(capsys.readouterr().out)["worth"]
    assert worth[0]["of"] == "all"
    assert worth[0]["rows"] == 2
    assert 0 <= worth[0]["median_percentile"] <= 100


def test_show_prints_a_table(tables, capsys):
    assert run("show", "--tables", tables) == 0
    assert "NVIDIA_H200, bf16" in capsys.readouterr().out


def test_a_fit_to_nothing_is_refused(tmp_path, capsys):
    out = tmp_path / "fitted.json"
    assert run("fit", "--out", out) == 2
    assert "--tables" in capsys.readouterr().err
    assert not out.exists()


def test_a_damaged_table_ends_in_one_line_and_nothing_is_written(tmp_path, tables, capsys):
    write_table(tables, "E=8,N=64,device_name=NVIDIA_H200.json").write_text("{")
    out = tmp_path / "fitted.json"
    assert run("fit", "--tables", tables, "--out", out) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not out.exists()
