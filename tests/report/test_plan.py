from __future__ import annotations

from workbench.report.plan import plan_record, plan_table
from workbench.trials.trial import Evidence


def test_a_plan_counts_what_it_would_try(bench):
    record = plan_record(bench.plan(trials=2, jobs=3))
    assert (record["problems"], record["configs"], record["trials"], record["jobs"]) == (2, 6, 4, 3)
    assert record["known"] == 0


def test_a_plan_knows_what_is_in_the_journal(bench):
    bench.run(trials=1)
    assert plan_record(bench.plan())["known"] == 2


def test_a_plan_tells_how_configs_would_be_judged(bench):
    modelled = plan_table(bench.plan())
    measured = plan_table(bench.plan(evidence=Evidence.MEASURED))
    assert "nothing is timed" in dict(modelled.rows)["evidence"]
    assert "timed on it" in dict(measured.rows)["evidence"]
    assert str(bench.file) in modelled.title


def test_problems_that_the_constraints_leave_empty_are_noted(bench):
    bench.write(constraints="['block > tokens']")
    assert plan_table(bench.plan()).notes == ("1 problems have no config under the constraints",)


def test_looking_at_a_plan_writes_nothing(bench):
    plan_table(bench.plan())
    assert not bench.out.exists()
