from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest

import workbench.devices
from workbench.cli.main import main
from workbench.devices import catalogue, find_device


@pytest.fixture
def run(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main(["devices", *arguments])
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return run


@pytest.fixture
def at_hand(monkeypatch):
    def put(device):
        monkeypatch.setattr(workbench.devices, "detect_device", lambda: device)

    return put


def test_the_list_names_every_device_on_one_line_each(run, at_hand):
    at_hand(None)
    code, out, _ = run()
    lines = [line for device in catalogue() for line in out.splitlines() if f" {device.slug} " in line]
    assert (code, len(lines)) == (0, len(catalogue()))
    assert "There is no CUDA GPU at hand." in out


def test_the_list_marks_the_gpu_at_hand(run, at_hand):
    at_hand(find_device("h200"))
    _, out, _ = run()
    assert "NVIDIA_H200 * " in out
    assert "* the GPU at hand: NVIDIA H200" in out


def test_the_list_adds_a_gpu_at_hand_that_is_not_in_the_catalogue(run, at_hand):
    at_hand(dataclasses.replace(find_device("h100"), slug="NVIDIA_H100_PCIe", aliases=()))
    _, out, _ = run()
    assert "NVIDIA_H100_PCIe * " in out
    code, out, _ = run("--json")
    records = json.loads(out)
    assert [record["slug"] for record in records if record["at_hand"]] == ["NVIDIA_H100_PCIe"]
    assert (code, len(records)) == (0, len(catalogue()) + 1)


def test_one_device_comes_with_the_sources_of_its_figures(run):
    code, out, _ = run("b200")
    assert code == 0
    for text in ("NVIDIA_B200 (sm_100)", "227 KiB", "126.5 MiB", "CUDA C++ Programming Guide"):
        assert text in out


def test_one_device_as_json_has_every_field(run):
    _, out, _ = run("rtx5090", "--json")
    record = json.loads(out)
    device = find_device("rtx5090")
    assert record.pop("arch") == "sm_120"
    assert record.pop("at_hand") is False
    assert record.pop("aliases") == list(device.aliases)
    assert record == {name: getattr(device, name) for name in record}
    assert {*record, "aliases"} == {field.name for field in dataclasses.fields(device)}


def test_a_device_of_ones_own_is_shown_by_its_path(run, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "device_name: My GPU\narch: sm_120\nsm_count: 10\nclock_ghz: 2\nl2_mib: 8\nmemory_gib: 8\n"
        "bandwidth_gb_per_s: 300\n"
    )
    code, out, _ = run(str(path))
    assert code == 0
    assert "My_GPU (sm_120)" in out
    assert f"given in {path}" in out


def test_an_unknown_device_is_one_line_and_exit_code_2(run):
    code, out, err = run("rtx509")
    assert (code, out) == (2, "")
    assert err.startswith("error: no device 'rtx509' (did you mean rtx5090?)")
    assert err.count("\n") == 1


def test_one_device_is_shown_without_importing_torch():
    program = (
        "import sys; from workbench.cli.main import app; app(['devices', 'b200'], standalone_mode=False); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0
