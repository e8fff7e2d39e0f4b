from __future__ import annotations

import numpy as np
import pytest

from workbench.timeline.agreement import Recording, agree, difference, logit_rounding


@pytest.fixture
def recording():
    draw = np.random.default_rng(0)
    router = draw.normal(size=(60, 8)).astype(np.float32)
    return Recording(draw.normal(size=(30, 50)).astype(np.float32), np.argsort(-router)[:, :2], router)


def moved(recording, by, *, seed=1):
    noise = np.random.default_rng(seed).normal(size=recording.logits.shape) * by
    return Recording(recording.logits + noise.astype(np.float32), recording.ids, recording.router_logits)


def judged(recording, other, floor):
    found, rounding = difference(recording, other), difference(recording, floor)
    return agree("fused", "split", found, rounding, logit_rounding(recording)).failures


def test_what_is_the_same_agrees_even_where_rounding_does_nothing(recording):
    assert judged(recording, recording, recording) == ()


def test_a_difference_like_that_of_two_configs_is_rounding(recording):
    assert judged(recording, moved(recording, 0.05), moved(recording, 0.05, seed=2)) == ()


def test_a_difference_beyond_that_of_two_configs_is_named(recording):
    assert any("nats" in each for each in judged(recording, moved(recording, 0.3), moved(recording, 0.01)))


def test_experts_that_swap_in_a_tie_are_no_difference(recording):
    router = recording.router_logits.copy()
    last = recording.ids[:, 1]
    third = np.argsort(-router)[:, 2]
    router[np.arange(60), third] = router[np.arange(60), last]
    tied = Recording(recording.logits, recording.ids, router)
    swapped = Recording(recording.logits, np.stack([recording.ids[:, 0], third], axis=1), router)
    assert difference(tied, swapped).quality.expert_mismatch == 0


def test_other_experts_are_a_difference(recording):
    other = Recording(recording.logits, np.argsort(recording.router_logits)[:, :2], recording.router_logits)
    assert any("expert sets differ" in each for each in judged(recording, other, recording))


def test_logits_that_are_not_finite_never_agree(recording):
    broken = recording.logits.copy()
    broken[0, 0] = np.nan
    other = Recording(broken, recording.ids, recording.router_logits)
    assert judged(recording, other, recording) == ("logits are not finite",)


def test_ids_of_no_expert_are_a_difference_and_no_error(recording):
    other = Recording(recording.logits, np.full_like(recording.ids, 99), recording.router_logits)
    assert difference(recording, other).quality.expert_mismatch == 1
