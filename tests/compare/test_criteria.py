from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.base.errors import InputError
from workbench.compare.bench import METRICS
from workbench.compare.criteria import make_criteria


def counted(*fail_on, print_only=()):
    return {
        each.name: each.limit
        for each in make_criteria(METRICS, fail_on, print_only).of(METRICS)
        if each.counts
    }


def test_without_rules_metrics_count_as_they_are():
    assert counted() == {each.name: each.limit for each in METRICS if each.counts}


@pytest.mark.parametrize(
    "rule", ["tpot_p50_ms>2%", " tpot_p50_ms > 2 % ", "tpot_ms_p50>2.0%", "TPOT_P50_MS>2%"]
)
def test_a_rule_names_a_metric_in_any_order_of_its_parts_and_a_limit(rule):
    assert counted(rule) == {"tpot_p50_ms": 0.02}


def test_a_rule_without_a_limit_keeps_the_metrics_own():
    assert counted("ttft_p50_ms") == {"ttft_p50_ms": 0.05}


def test_rules_come_one_by_one_or_with_commas_and_replace_the_defaults():
    assert counted("tpot_p99_ms>10%,energy_j_per_token", "missing").keys() == {
        "tpot_p99_ms",
        "energy_j_per_token",
    }


def test_missing_rows_alone_leave_the_metrics_as_they_are():
    assert make_criteria(METRICS, ["missing"], ()).missing
    assert counted("missing") == counted()


def test_what_is_only_printed_does_not_count():
    assert "tpot_p50_ms" not in counted(print_only=["tpot_p50_ms"])


@pytest.mark.parametrize(
    "rule", ["", "tpot_p50_ms>2", "tpot_p50_ms>0.02", "tpot_p50_ms<2%", "tpot_p50_ms>-1%", "a b>1%", ">1%"]
)
def test_another_form_is_refused_with_the_right_one(rule):
    with pytest.raises(
        InputError, match=r"--fail-on: must be METRIC, METRIC>PERCENT%, missing or unresolved"
    ):
        counted(rule)


def test_an_unknown_metric_is_refused_with_those_that_there_are():
    with pytest.raises(
        InputError, match=r"--fail-on: no metric 'tpot_p60_ms' \(did you mean.*allowed: tpot_p50_ms, "
    ):
        counted("tpot_p60_ms>1%")


def test_a_metric_cannot_count_and_only_be_printed():
    with pytest.raises(InputError, match="--print-only: tpot_p50_ms cannot both"):
        counted("tpot_p50_ms", print_only=["tpot_p50_ms"])


@given(text=st.text(max_size=40))
def test_any_text_is_a_rule_or_one_clear_error(text):
    try:
        counted(text)
    except InputError as error:
        assert "\n" not in str(error)
