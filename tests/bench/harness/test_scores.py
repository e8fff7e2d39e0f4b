from __future__ import annotations

from workbench.bench.harness.scores import score_suites


def test_arms_are_told_apart_on_the_same_questions():
    right = [1.0, 0.0] * 50
    worse = [0.0] * 20 + right[20:]
    base, same, lower = score_suites({"split": {"s": right}, "fused": {"s": right}, "tuned": {"s": worse}})
    assert (base.accuracy, base.difference, base.passes) == (0.5, None, None)
    assert (same.difference, same.passes) == (0.0, True)
    assert (round(lower.difference, 6), lower.passes) == (-0.1, False)


def test_a_question_or_two_is_no_difference():
    right = [1.0] * 100
    _, one = score_suites({"split": {"s": right}, "fused": {"s": [0.0, *right[1:]]}})
    assert one.passes
