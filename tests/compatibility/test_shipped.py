"""Shipped sweeps, workloads and dashboards mean what they meant: a run's id is a hash of all that decides it."""

from __future__ import annotations

import json

import pytest

from tests.compatibility.recorded import DATA, ROOT, copy_of_data, done, run, versions

SHIPPED = json.loads((DATA / "shipped.json").read_text(encoding="utf-8"))
PLAN = ("kernel", "problems", "empty_problems", "configs", "trials")


@pytest.mark.parametrize("name", SHIPPED["sweeps"])
def test_a_shipped_sweep_is_the_same_sweep(name, monkeypatch, tmp_path):
    """Of another Triton or driver the run is another one; on a machine with a GPU it is for that GPU."""
    recorded = SHIPPED["sweeps"][name]
    # The example's kernel is imported from the current folder.
    monkeypatch.chdir(ROOT if name.startswith("examples/") else tmp_path)
    plans = plans_of(name, recorded)
    same = ("evidence", "device", *PLAN) if versions() == SHIPPED["versions"] else PLAN
    assert [{key: plan[key] for key in same} for plan in plans] == [
        {key: each[key] for key in same} for each in recorded
    ]


def plans_of(name, recorded):
    if versions()["driver"] == "none":
        plans = json.loads(done("sweep", name, "--dry-run", "--json"))
    else:
        dry = ("sweep", name, "--dry-run", "--json", "--device")
        plans = [plan for each in recorded for plan in json.loads(done(*dry, each["device"]))]
    return [{**plan, "empty_problems": len(plan["empty_problems"])} for plan in plans]


@pytest.mark.parametrize("recorded", SHIPPED["workloads"], ids=lambda each: " ".join(each["command"]))
def test_a_shipped_workload_asks_for_what_it_asked_for(recorded):
    """The tiny model is too short for them, and says what they ask for."""
    code, out, err = run(*recorded["command"])
    assert (code, out, err) == (recorded["code"], "", recorded["err"])


@pytest.mark.parametrize("name", SHIPPED["dashboards"])
def test_a_shipped_dashboard_has_the_panels_that_it_had(name, monkeypatch, tmp_path):
    monkeypatch.chdir(copy_of_data(tmp_path))
    page = json.loads(done("dashboard", name, "--results", "winners/before", "--json"))
    recorded = SHIPPED["dashboards"][name]
    assert (page["title"], [panel["name"] for panel in page["panels"]]) == (
        recorded["title"],
        recorded["panels"],
    )
