from __future__ import annotations

from workbench.sweep.evaluators.kept import Kept


def test_what_was_made_for_a_problem_is_made_once():
    kept, made = Kept(), []
    for key in ("a", "b", "a"):
        assert kept.get({"tokens": 1}, key, lambda each: made.append(each) or each, key) == key
    assert made == ["a", "b"]


def test_another_problem_forgets_the_one_before():
    kept, made = Kept(), []
    for tokens in (1, 1, 2, 1):
        kept.get({"tokens": tokens}, "a", made.append, tokens)
    assert made == [1, 2, 1]
