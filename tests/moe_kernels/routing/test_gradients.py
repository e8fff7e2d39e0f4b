"""Gradients and torch.func's transforms on the path that this process takes; test_interpreted runs this file too."""

from __future__ import annotations

import pytest
import torch
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap
from torch.utils._pytree import tree_map

from moe_kernels.routing import fused_routing
from tests.moe_kernels.routing.oracle import as_float64, rank

TOKENS, EXPERTS, TOP_K = 4, 11, 5


@pytest.fixture
def logits(device):
    """Zeros of both signs and ties among the selected: the gradient goes to whom the weight came from."""
    values = torch.randn(TOKENS, EXPERTS, generator=torch.Generator().manual_seed(1))
    values[1] = values[1].sign() * 0.0
    values[2] = 1.0
    return values.to(device)


@pytest.fixture
def scale(device):
    return (torch.rand(EXPERTS, generator=torch.Generator().manual_seed(2)) + 0.5).to(device)


@pytest.fixture
def ids(logits):
    return torch.from_numpy(rank(as_float64(logits))[:, :TOP_K].copy()).to(logits.device)


@pytest.fixture
def truth(ids):
    """The weights in float64, with the oracle's experts as a constant: autograd needs no help to differentiate it."""

    def weights(logits, scale):
        return torch.softmax(logits.double().gather(1, ids), dim=1) * scale.double()[ids]

    return weights


def routed(logits, scale):
    return fused_routing(logits, scale, TOP_K)[0]


def weighed(weights):
    """A scalar with a different slope in every slot and curvature in all."""
    factors = torch.linspace(-1, 2, weights.shape[-1], dtype=weights.dtype, device=weights.device)
    return (weights * factors).sum() + weights.square().sum()


def gradients(function, *inputs, create_graph=False):
    leaves = tuple(value.detach().clone().requires_grad_() for value in inputs)
    return leaves, torch.autograd.grad(weighed(function(*leaves)), leaves, create_graph=create_graph)


def assert_close(actual, expected, tolerance=2e-6):
    expected = tree_map(lambda tensor: tensor.to(torch.float32), expected)
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def test_gradients_are_those_of_the_weights(logits, scale, truth):
    _, actual = gradients(routed, logits, scale)
    _, expected = gradients(truth, logits, scale)
    assert_close(actual, expected)


def test_a_selected_logit_of_zero_has_a_gradient(logits, scale):
    leaf = logits[1:2].clone().requires_grad_()
    routed(leaf, scale)[0, 0].backward()
    assert (leaf.grad != 0).sum() == TOP_K


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gradients_of_16_bit_inputs_are_the_true_ones_rounded_once(logits, scale, truth, dtype):
    logits, scale = logits.to(dtype), scale.to(dtype)
    _, actual = gradients(routed, logits, scale)
    _, expected = gradients(truth, logits.double(), scale.double())
    assert [gradient.dtype for gradient in actual] == [dtype, dtype]
    for got, true in zip(actual, expected, strict=True):
        torch.testing.assert_close(got.double(), true, rtol=torch.finfo(dtype).eps, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gradient_of_a_16_bit_scale_sums_over_tokens_in_fp32(device, dtype):
    logits = torch.zeros(400, 2, device=device)
    scale = torch.ones(2, device=device, dtype=dtype, requires_grad=True)
    fused_routing(logits, scale, 2, config={"tokens_per_program": 256})[0].sum().backward()
    assert scale.grad.tolist() == [200.0, 200.0]


def test_gradients_come_in_the_layout_and_dtype_of_strided_inputs(logits, scale, truth):
    wide = torch.zeros(EXPERTS, 2 * TOKENS, device=logits.device)
    wide[:, ::2] = logits.t()
    wide.requires_grad_()
    weighed(routed(wide[:, ::2].t(), scale)).backward()
    _, (expected, _) = gradients(truth, logits, scale)
    assert_close(wide.grad[:, ::2].t(), expected)
    assert (wide.grad[:, 1::2] == 0).all()


def test_second_gradients_are_those_of_the_weights(logits, scale, truth):
    def second(function):
        leaves, first = gradients(function, logits, scale, create_graph=True)
        return torch.autograd.grad(sum(gradient.square().sum() for gradient in first), leaves)

    assert_close(second(routed), second(truth), tolerance=1e-5)


@pytest.mark.parametrize("wanted", ["logits", "scale"])
def test_one_input_can_be_differentiated_alone(logits, scale, truth, wanted):
    def alone(function):
        inputs = {"logits": logits.clone(), "scale": scale.clone()}
        inputs[wanted].requires_grad_()
        return torch.autograd.grad(weighed(function(**inputs)), inputs[wanted])

    assert_close(alone(routed), alone(truth))


def test_ids_carry_no_gradient(logits, scale):
    weights, ids = fused_routing(logits.clone().requires_grad_(), scale, TOP_K)
    assert weights.requires_grad
    assert not ids.requires_grad


def test_a_row_that_holds_nan_keeps_its_nan_gradient_to_itself(logits, scale):
    spoilt = logits.clone()
    spoilt[0, 3] = float("nan")
    _, (gradient, _) = gradients(routed, spoilt, scale)
    assert gradient[0, 3].isnan()
    assert gradient[1:].isfinite().all()


def test_no_tokens_have_no_gradients(scale):
    logits = torch.empty(0, EXPERTS, device=scale.device)
    _, (to_logits, to_scale) = gradients(routed, logits, scale)
    assert to_logits.shape == (0, EXPERTS)
    assert (to_scale == 0).all()


def both_inputs(function):
    return lambda logits, scale: weighed(function(logits, scale))


@pytest.mark.parametrize("transform", [grad, hessian], ids=["grad", "hessian"])
@pytest.mark.parametrize("argnums", [0, 1, (0, 1)])
def test_transforms_of_a_scalar(logits, scale, truth, transform, argnums):
    actual = transform(both_inputs(routed), argnums)(logits, scale)
    assert_close(actual, transform(both_inputs(truth), argnums)(logits, scale), tolerance=1e-5)


@pytest.mark.parametrize("transform", [jacrev, jacfwd], ids=["jacrev", "jacfwd"])
@pytest.mark.parametrize("argnums", [0, 1, (0, 1)])
def test_jacobians(logits, scale, truth, transform, argnums):
    actual = transform(routed, argnums)(logits, scale)
    assert_close(actual, transform(truth, argnums)(logits, scale))


def test_jvp(logits, scale, truth):
    tangents = (torch.randn_like(logits), torch.randn_like(scale))
    assert_close(jvp(routed, (logits, scale), tangents), jvp(truth, (logits, scale), tangents))


def batches(logits, scale, in_dims):
    """Three of each input that is batched, along the dimension asked for; all of them rank alike."""
    factors = torch.tensor([1.0, 0.5, 2.0], device=logits.device)
    stacked_logits = torch.stack([logits * factor for factor in factors])
    stacked_scale = torch.stack([scale * factor for factor in factors])
    return (
        logits if in_dims[0] is None else stacked_logits.movedim(0, in_dims[0]),
        scale if in_dims[1] is None else stacked_scale.movedim(0, in_dims[1]),
    )


IN_DIMS = [(0, None), (1, None), (2, None), (None, 0), (None, 1), (0, 0), (2, 1)]


@pytest.mark.parametrize("in_dims", IN_DIMS)
def test_vmap(logits, scale, truth, in_dims):
    inputs = batches(logits, scale, in_dims)
    assert_close(vmap(routed, in_dims)(*inputs), vmap(truth, in_dims)(*inputs))


@pytest.mark.parametrize("in_dims", IN_DIMS)
def test_vmap_of_grad(logits, scale, truth, in_dims):
    inputs = batches(logits, scale, in_dims)

    def each(function):
        return vmap(grad(both_inputs(function), (0, 1)), in_dims)(*inputs)

    assert_close(each(routed), each(truth), tolerance=1e-5)


@pytest.mark.parametrize("in_dims", IN_DIMS)
def test_grad_of_vmap(logits, scale, truth, in_dims):
    inputs = batches(logits, scale, in_dims)

    def of_all(function):
        return grad(lambda *each: weighed(vmap(function, in_dims)(*each)), (0, 1))(*inputs)

    assert_close(of_all(routed), of_all(truth), tolerance=1e-5)


@pytest.mark.parametrize("in_dims", IN_DIMS)
def test_backward_through_vmap(logits, scale, truth, in_dims):
    inputs = batches(logits, scale, in_dims)
    _, actual = gradients(vmap(routed, in_dims), *inputs)
    _, expected = gradients(vmap(truth, in_dims), *inputs)
    assert_close(actual, expected, tolerance=1e-5)


def test_vmap_of_vmap(logits, scale, truth):
    scales = torch.stack([scale, 2 * scale])
    batched, _ = batches(logits, scale, (0, None))

    def nested(function):
        return vmap(vmap(function, (0, None)), (None, 0))(batched, scales)

    assert_close(nested(routed), nested(truth))


def test_vmap_gives_ids_to_every_batch(logits, scale, ids):
    for in_dims in IN_DIMS:
        _, got = vmap(lambda *each: fused_routing(*each, TOP_K), in_dims)(*batches(logits, scale, in_dims))
        assert (got.shape, got.dtype) == ((3, TOKENS, TOP_K), torch.int32)
        assert (got == ids).all()


def test_vmap_over_no_tokens(scale):
    weights = vmap(routed, (0, None))(torch.empty(3, 0, EXPERTS, device=scale.device), scale)
    assert weights.shape == (3, 0, TOP_K)
