from __future__ import annotations

import dataclasses
import os

import pytest

from workbench.base.errors import InputError
from workbench.devices import find_device
from workbench.sweep import plan as planning
from workbench.sweep.plan import make_plans
from workbench.sweep.spec import load_spec
from workbench.trials.trial import Evidence


def plans(bench, device="auto", **more):
    overrides = {key: more.pop(key) for key in ("trials", "seed") if key in more}
    loaded = load_spec(bench.file).override(**overrides)
    return make_plans(loaded, device, **{"out": bench.out, "jobs": None, **more})


def run_id(bench, **more):
    return plans(bench, **more)[0].run_id


@pytest.fixture
def at_hand(monkeypatch):
    def put(device):
        monkeypatch.setattr(planning, "detect_device", lambda: device)

    put(None)
    return put


@pytest.fixture(autouse=True)
def no_gpu(at_hand):
    """Whatever this machine has."""


def test_budgets_jobs_and_folders_are_no_part_of_the_run(bench, tmp_path):
    names = {
        run_id(bench),
        run_id(bench, trials=7),
        run_id(bench, jobs=7),
        run_id(bench, out=tmp_path / "elsewhere"),
    }
    bench.write(measure="{max_seconds: 5, max_rounds: 50}")
    names.add(run_id(bench))
    bench.file = bench.file.rename(bench.file.with_name("moved.yaml"))
    names.add(run_id(bench))
    assert len(names) == 1
    assert names.pop().startswith("toy-")


@pytest.mark.parametrize(
    "change",
    [
        {"problems": "{width: 8, tokens: [1]}"},
        {"space": "{block: [1, 2]}"},
        {"constraints": "['block <= tokens']"},
        {"search": "{seed: 1}"},
        {"search": "{strategy: random}"},
        {"measure": "{relative_ci: 0.02}"},
        {"verify": "{seeds: 1}"},
        {"device": "h200"},
        {"name": "other"},
        {"kernel": "tests.sweep.toy_kernels:WRONG_DEFAULT"},
    ],
)
def test_what_decides_the_outcome_is(bench, change):
    before = run_id(bench)
    bench.write(**change)
    assert run_id(bench) != before


def test_the_evidence_the_source_and_tritons_version_are_part_of_the_run(bench):
    (plan,) = plans(bench)
    changed = [
        dataclasses.replace(plan, evidence=Evidence.MEASURED),
        dataclasses.replace(plan, source_hash="other"),
        dataclasses.replace(plan, versions={**plan.versions, "triton": "0.0"}),
    ]
    assert len({plan.run_id, *(each.run_id for each in changed)}) == 4
    assert dataclasses.replace(plan, versions={**plan.versions, "torch": "0.0"}).run_id == plan.run_id


def test_without_a_gpu_the_sweeps_devices_are_modelled(bench):
    bench.write(device="[b200, rtx5090]")
    found = [(plan.device.slug, plan.evidence) for plan in plans(bench)]
    assert found == [("NVIDIA_B200", "modelled"), ("NVIDIA_GeForce_RTX_5090", "modelled")]


def test_the_gpu_at_hand_is_measured_whatever_the_sweep_names(bench, at_hand):
    at_hand(find_device("h200"))
    assert [(plan.device.slug, plan.evidence) for plan in plans(bench)] == [("NVIDIA_H200", "measured")]


def test_a_gpu_that_is_asked_for_and_not_at_hand_is_modelled(bench, at_hand):
    at_hand(find_device("h200"))
    assert [plan.evidence for plan in plans(bench, "b200")] == ["modelled"]
    assert [plan.evidence for plan in plans(bench, "h200")] == ["measured"]


def test_auto_without_a_gpu_points_into_the_file(bench):
    bench.write(device="auto")
    with pytest.raises(InputError) as caught:
        plans(bench)
    assert str(caught.value).startswith(f"{bench.file}:3: device: no GPU is at hand")


def test_an_unknown_device_points_into_the_file_or_at_nothing(bench):
    bench.write(device="[b200, b201]")
    with pytest.raises(InputError, match=r"toy\.yaml:3: device\[1\]: no device 'b201'"):
        plans(bench)
    with pytest.raises(InputError, match=r"^no device 'b202'"):
        plans(bench, "b202")


def test_a_device_file_is_a_device(bench, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(MY_GPU)
    assert plans(bench, str(file))[0].device.slug == "My_GPU"


MY_GPU = """\
device_name: My GPU
arch: sm_90
sm_count: 10
clock_ghz: 1.0
l2_mib: 1
memory_gib: 1
bandwidth_gb_per_s: 100
"""


def test_jobs_default_to_the_cores_at_hand(bench):
    assert plans(bench)[0].jobs == len(os.sched_getaffinity(0))
    assert plans(bench, jobs=3)[0].jobs == 3


def test_a_kernel_whose_source_cannot_be_read_is_an_error(bench, monkeypatch):
    monkeypatch.setattr(planning, "source_hash", lambda kernels: None)
    with pytest.raises(InputError, match=r"toy\.yaml:2: kernel: the source"):
        plans(bench)
