from __future__ import annotations

import json
from dataclasses import replace

import pytest

from moe_kernels.tuned import Row, Run, TunedFile, serialise
from tests.support.recordings import kernel_tuner, write
from workbench.base.errors import InputError
from workbench.sweep.plan import make_plans
from workbench.sweep.seeds import as_json, from_json, seed_groups
from workbench.sweep.spec import load_spec

WINNERS = TunedFile(
    kernel="double",
    device="NVIDIA_H200",
    device_name="NVIDIA H200",
    arch="sm_90",
    problem={"width": 8},
    runs={"run": Run(source_hash="x", versions={}, date="2026-01-01")},
    rows={
        8: Row(
            run="run",
            config={"fault": "none", "block": 4, "num_warps": 1},
            evidence="measured",
            time_us=7.0,
            default_time_us=9.0,
        )
    },
)


@pytest.fixture
def groups(bench):
    def found(seeds=""):
        if seeds:
            bench.write(seeds=seeds)
        return seed_groups(bench.plan())

    return found


def file_winners(bench, winners, device="NVIDIA_H200"):
    path = bench.out / device / "double" / "W=8.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(serialise(replace(winners, device=device)))
    return path


def test_without_anything_elsewhere_a_sweep_starts_from_nothing(groups):
    assert groups() == ()


def test_winners_of_another_gpu_are_where_a_search_starts(bench, groups):
    file_winners(bench, WINNERS)
    (group,) = groups()
    assert group.problem == {"device": "NVIDIA_H200", "width": 8, "tokens": 8}
    (row,) = group.rows
    assert (row.config["block"], row.time_us, row.chosen) == (4, 7.0, True)


def test_winners_of_the_same_gpu_are_none(bench, groups):
    file_winners(bench, WINNERS, "NVIDIA_B200")
    assert groups() == ()


def test_a_damaged_file_of_another_gpu_is_left_out(bench, groups):
    file_winners(bench, WINNERS).write_text("{")
    assert groups() == ()


def test_a_results_file_can_be_named(bench, groups, tmp_path):
    path = tmp_path / "theirs.json"
    path.write_text(serialise(WINNERS))
    (group,) = groups("theirs.json")
    assert group.source == str(path)
    assert group.rows[0].chosen


def test_a_journal_of_another_gpu_gives_all_its_times(bench, groups):
    bench.write(device="h200", search="{strategy: exhaustive}")
    (plan,) = make_plans(load_spec(bench.file), "h200", out=bench.out.parent / "other", jobs=1)
    run_folder = bench.run_plan(plan)
    bench.write(device="b200")
    found = [group for group in groups(str(run_folder)) if not group.rows[0].chosen]
    assert [group.problem["tokens"] for group in found] == [1, 8]
    assert all(row.time_us for group in found for row in group.rows)


@pytest.mark.parametrize(
    "seeds, told",
    [
        ("none.json", "none.json: cannot be read"),
        ("stencil.json", "is of the kernel 'stencil', not of 'double'"),
        ("bad.json", "bad.json"),
    ],
)
def test_a_seed_that_cannot_be_used_is_one_line(groups, tmp_path, seeds, told):
    write(tmp_path / "stencil.json", kernel_tuner())
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError) as caught:
        groups(seeds)
    assert told in str(caught.value)


def test_groups_survive_the_journal(bench, groups):
    file_winners(bench, WINNERS)
    found = groups()
    assert from_json(json.loads(json.dumps(as_json(found)))) == found


def test_a_resumed_run_starts_from_what_it_started_from(bench, groups):
    file_winners(bench, WINNERS)
    first = bench.run()
    file_winners(bench, WINNERS).unlink()
    bench.run()
    assert "NVIDIA_H200" in (first.plan.folder / "seeds.json").read_text()


def test_a_run_looks_once_for_what_it_starts_from(bench, monkeypatch):
    looked = []

    def count(plan):
        looked.append(plan)
        return seed_groups(plan)

    monkeypatch.setattr("workbench.sweep.run.seed_groups", count)
    bench.run()
    assert len(looked) == 1
