from __future__ import annotations

import pytest

from moe_kernels import tuned
from moe_kernels.tuned import _folders, results_folders


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Puts the package somewhere else."""

    def put(*parts):
        folder = tmp_path.joinpath(*parts)
        folder.mkdir(parents=True)
        monkeypatch.setattr(_folders, "__file__", str(folder / "tuned" / "_folders.py"))
        return folder

    return put


def found():
    return {folder.origin: folder.path for folder in results_folders()}


def test_folders_come_in_the_order_of_a_lookup(results, tmp_path):
    assert [folder.origin for folder in results_folders()] == ["$WORKBENCH_RESULTS", "./results", "shipped"]
    assert found()["$WORKBENCH_RESULTS"] == results
    assert found()["./results"] == tmp_path / "here" / "results"


def test_an_installed_package_ships_results_within_itself(package):
    folder = package("site-packages", "moe_kernels")
    (folder / "_shipped" / "results").mkdir(parents=True)
    assert found()["shipped"] == folder / "_shipped" / "results"


def test_a_checkout_has_results_beside_the_kernels(package, tmp_path):
    package("checkout", "kernels", "moe_kernels")
    (tmp_path / "checkout" / "pyproject.toml").touch()
    assert found()["shipped"] == tmp_path / "checkout" / "results"


def test_a_vendored_package_without_results_looks_nowhere_else(package):
    package("engine", "third_party", "moe_kernels")
    assert "shipped" not in found()


def test_a_folder_that_is_named_twice_is_read_once(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RESULTS", "results")
    assert [folder.origin for folder in results_folders()] == ["$WORKBENCH_RESULTS", "shipped"]


def test_an_empty_variable_names_no_folder(monkeypatch):
    monkeypatch.setenv("WORKBENCH_RESULTS", "")
    assert "$WORKBENCH_RESULTS" not in found()


def test_every_public_name_exists():
    assert sorted(tuned.__all__) == sorted(set(tuned.__all__))
    assert all(hasattr(tuned, name) for name in tuned.__all__)
