"""`sweep` on several GPUs and on a cluster: what it says where they are not there."""

from __future__ import annotations

import sys

import pytest

from tests.sweep.in_process import SWEEP
from workbench.cli.main import main
from workbench.executors import site


@pytest.fixture
def refused(capsys, tmp_path, monkeypatch):
    """Runs the command, which must end with one line and code 2, and gives that line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.yaml").write_text(SWEEP)

    def refused(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main(["sweep", "toy.yaml", *arguments])
        captured = capsys.readouterr()
        assert (exit_.value.code, captured.out) == (2, "")
        (line,) = captured.err.splitlines()
        assert list(tmp_path.iterdir()) == [tmp_path / "toy.yaml"]
        return line

    return refused


def test_more_measuring_workers_than_gpus_are_refused(refused, monkeypatch):
    monkeypatch.setattr(site, "detect_gpu_ids", lambda: ("0", "1"))
    assert refused("--gpus", "3") == (
        "error: --gpus: asks for 3 measuring workers, one a GPU, and 2 GPUs of one kind are at hand"
    )


def test_without_ray_the_option_says_how_to_install_it(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert refused("--ray", "10.0.0.1:6379") == (
        "error: --ray: Ray is not installed: pip install 'moe-workbench[ray]', on every node"
    )


@pytest.mark.parametrize(
    "option", [["--gpus", "0"], ["--gpus", "two"], ["--timeout", "0"], ["--timeout", "soon"]]
)
def test_what_is_no_number_of_them_is_refused(refused, option):
    assert option[0] in refused(*option)
