from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from workbench.cli.main import main
from workbench.devices import find_device
from workbench.report import checks
from workbench.report.checks import evidence_of
from workbench.report.doctor import Check, Diagnosis, doctor_table

COMPILES = Check("compile for sm_100", "ok", "")
CUOBJDUMP = Check("cuobjdump", "ok", "")
INTERPRETER = Check("interpreter", "ok", "")
LAUNCH = Check("launch on the GPU", "ok", "")


@pytest.fixture
def run(capsys, monkeypatch):
    def run(diagnosis, *arguments):
        monkeypatch.setattr(checks, "diagnose", lambda: diagnosis)
        with pytest.raises(SystemExit) as exit_:
            main(["doctor", *arguments])
        return exit_.value.code, capsys.readouterr().out

    return run


@pytest.fixture(scope="module")
def diagnosis():
    return checks.diagnose()


def test_this_machine_can_at_least_model(diagnosis):
    assert "modelled" in diagnosis.evidence
    states = {check.name: check.state for check in diagnosis.checks}
    for name in ("Python", "torch", "triton", "ptxas", "ptxas-blackwell", "cuobjdump", "interpreter"):
        assert states[name] == "ok"


def test_cross_compilation_is_really_tried_for_each_architecture(diagnosis):
    compiled = [check for check in diagnosis.checks if check.name.startswith("compile for")]
    assert [check.name.split()[-1] for check in compiled] == ["sm_90", "sm_100", "sm_120"]
    assert all(check.ok and " s for" in check.detail for check in compiled)


def test_the_diagnosis_as_json_holds_every_check(run, diagnosis):
    code, out = run(diagnosis, "--json")
    record = json.loads(out)
    assert code == 0
    assert record["evidence"] == list(diagnosis.evidence)
    assert [check["name"] for check in record["checks"]] == [check.name for check in diagnosis.checks]


def test_the_table_says_what_to_do_and_which_evidence_there_will_be(run):
    missing = Check("GPU at hand", "missing", "no NVIDIA driver", "run elsewhere")
    code, out = run(Diagnosis((missing,), ("modelled",)))
    assert code == 0
    assert "GPU at hand: run elsewhere" in out
    assert "Evidence: modelled." in out
    assert "Nothing is timed" in out


def test_a_machine_that_can_do_neither_ends_with_exit_code_1(run):
    code, out = run(Diagnosis((Check("triton", "missing", "not installed", "pip install triton"),), ()))
    assert code == 1
    assert "Evidence: none." in out


@pytest.mark.parametrize(
    ("working", "evidence"),
    [
        ((LAUNCH, COMPILES, CUOBJDUMP, INTERPRETER), ("measured", "modelled")),
        ((COMPILES, CUOBJDUMP, INTERPRETER), ("modelled",)),
        ((LAUNCH, COMPILES), ("measured",)),
        ((COMPILES, INTERPRETER), ()),
        ((CUOBJDUMP, INTERPRETER), ()),
    ],
)
def test_evidence_follows_from_what_works(working, evidence):
    assert evidence_of(working) == evidence


@pytest.mark.parametrize("evidence", [("measured", "modelled"), ("measured",), ("modelled",), ()])
def test_every_outcome_has_its_verdict(evidence):
    assert doctor_table(Diagnosis((), evidence)).notes[-1].startswith("Evidence: ")


def test_a_failed_check_is_no_evidence():
    assert evidence_of((replace(LAUNCH, state="missing"), COMPILES)) == ()


def test_a_version_below_the_minimum_is_missing_and_says_what_to_install(monkeypatch):
    monkeypatch.setattr(checks, "version", lambda name: "2.10.0+cu130")
    check = checks.package_check("torch")
    assert (check.state, check.detail) == ("missing", "2.10.0+cu130, older than 2.11")
    assert check.remedy == 'pip install "torch>=2.11"'


def test_a_package_that_is_not_installed_is_missing(monkeypatch):
    def absent(name):
        raise checks.PackageNotFoundError(name)

    monkeypatch.setattr(checks, "version", absent)
    assert checks.package_check("triton").detail == "not installed"


def test_a_slice_of_a_gpu_is_a_warning(monkeypatch):
    monkeypatch.setattr(checks, "detect_device", lambda: replace(find_device("h200"), sm_count=16))
    check = checks.gpu_check()
    assert check.state == "warning"
    assert "132 SMs" in check.remedy


def test_a_driver_without_a_gpu_for_torch_is_told_apart_from_no_driver(monkeypatch):
    monkeypatch.setattr(checks, "detect_device", lambda: None)
    monkeypatch.setattr(checks, "driver_installed", lambda: True)
    assert "CPU build of torch" in checks.gpu_check().detail
    monkeypatch.setattr(checks, "driver_installed", lambda: False)
    assert checks.gpu_check().detail == "no NVIDIA driver"


def test_results_are_looked_up_in_the_order_that_a_lookup_takes(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_RESULTS", str(tmp_path / "absent"))
    first, second, *_, last = checks.results_checks()
    assert (first.name, first.state) == ("results in $WORKBENCH_RESULTS", "warning")
    assert (second.name, second.state) == ("results in ./results", "ok")
    assert (last.name, last.state) == ("./results writable", "ok")
    assert list(tmp_path.iterdir()) == []


def test_a_results_folder_that_is_a_file_is_not_writable(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").write_text("")
    last = checks.results_checks()[-1]
    assert last.state == "missing"
    assert "--out" in last.remedy


def test_a_tool_that_triton_cannot_find_is_missing(monkeypatch):
    class Absent:
        def __getattr__(self, name):
            raise RuntimeError(f"Cannot find {name}")

    import triton

    monkeypatch.setattr(triton.knobs, "nvidia", Absent())
    check = checks.tool_check("ptxas-blackwell")
    assert (check.state, check.detail) == ("missing", "Cannot find ptxas_blackwell")
    assert "TRITON_PTXAS_BLACKWELL_PATH" in check.remedy


def test_an_architecture_that_triton_does_not_know_is_reported_and_the_others_are_not_lost():
    command = [sys.executable, "-m", "workbench.report.probe", "compile", "sm_999", "sm_90"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    unknown, known = json.loads(out.splitlines()[-1])
    assert "sm_999" in unknown["error"]
    assert known["registers"] > 0
