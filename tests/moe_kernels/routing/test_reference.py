from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from moe_kernels.routing import reference_routing, split_routing
from tests.moe_kernels.routing.cases import DTYPES, routing_cases
from tests.moe_kernels.routing.oracle import (
    as_float64,
    assert_close,
    assert_routed,
    assert_shaped,
    assert_usable,
    rank,
    route,
    softmax,
)
from tests.moe_kernels.routing.rows import FORMATS, KINDS, draw

drawn = settings(max_examples=120, deadline=None, database=None)


@given(routing_cases())
@drawn
def test_reference_gives_what_the_oracle_gives(case):
    weights, ids = reference_routing(*case)
    assert_routed(weights, ids, *case)


@given(routing_cases())
@drawn
def test_split_selects_the_oracles_logits_and_weighs_each_slot_by_its_own_expert(case):
    weights, ids = split_routing(*case)
    assert_shaped(weights, ids, case.logits, case.top_k)
    assert_usable(ids, case.logits.shape[1])
    selected = np.take_along_axis(as_float64(case.logits), ids.long().numpy(), axis=1)
    np.testing.assert_array_equal(selected, route(*case).logits)
    assert_close(weights, softmax(selected) * as_float64(case.scale)[ids.long().numpy()], case.scale)


@given(routing_cases())
@drawn
def test_split_gives_the_oracles_expert_wherever_its_logit_is_the_only_one(case):
    _, ids = split_routing(*case)
    values, expected = as_float64(case.logits), route(*case)
    rivals = (values[:, None, :] == expected.logits[:, :, None]).sum(-1)
    np.testing.assert_array_equal(ids.numpy()[rivals == 1], expected.ids[rivals == 1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_reference_is_right_on_every_kind_of_row_at_the_largest_sizes(kind, dtype):
    logits = draw(1, [kind] * 3, 1024, dtype)
    scale = torch.rand(1024) + 0.5
    for top_k in (1, 8, 1024):
        assert_routed(*reference_routing(logits, scale, top_k), logits, scale, top_k)


def test_oracle_ranks_nan_first_then_by_value_then_by_id():
    nan, inf = float("nan"), float("inf")
    row = np.array([[0.0, -0.0, 1.0, -nan, -inf, inf, 1.0, nan, -1.0]])
    assert rank(row).tolist() == [[3, 7, 5, 2, 6, 0, 1, 8, 4]]


def test_oracle_spoils_rows_as_torch_does():
    nan, inf = float("nan"), float("inf")
    rows = torch.tensor([[nan, 0.0], [inf, 0.0], [-inf, -inf], [0.0, -inf], [1.0, 2.0]], dtype=torch.float64)
    np.testing.assert_allclose(softmax(rows.numpy()), torch.softmax(rows, dim=1).numpy(), rtol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
def test_drawn_rows_hold_what_they_are_named_after(dtype):
    def of(kind):
        return draw(0, [kind], 400, dtype)[0]

    bits = of("nans_of_both_signs").view(FORMATS[dtype].signed)
    assert of("nans_of_both_signs").isnan().any()
    assert set(torch.sign(bits[of("nans_of_both_signs").isnan()]).tolist()) == {-1, 1}
    assert of("one_negative_nan").isnan().sum() == 1
    assert set(of("zeros_of_both_signs").signbit().tolist()) == {True, False}
    assert 0 < of("denormals_and_zeros").double().abs().max() < torch.finfo(dtype).tiny
    assert of("huge").isfinite().all()
    assert of("huge").double().max() == torch.finfo(dtype).max
    assert (of("plus_infinities") == float("inf")).any()
    assert of("one_finite").isfinite().sum() == 1
