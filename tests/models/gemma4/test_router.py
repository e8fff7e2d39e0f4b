"""The router on the path that this process takes; test_router_fused runs this module on the kernel too."""

from __future__ import annotations

import dataclasses
import os

import pytest
import torch
from torch.func import functional_call, grad, vmap
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from workbench.models.gemma4 import Gemma4Config, Gemma4Router

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
KERNEL_OP = "moe_kernels.fused_routing.default"


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, needs_cuda])])
def device(request):
    return torch.device(request.param)


@pytest.fixture
def drawn():
    """Sizes and the seed of the values, drawn afresh; printed where a test fails."""
    torch.seed()
    seed = torch.randint(2**31, ()).item()
    torch.manual_seed(seed)
    num_experts = torch.randint(2, 24, ()).item()
    sizes = {
        "hidden_size": torch.randint(2, 40, ()).item(),
        "num_experts": num_experts,
        "top_k_experts": torch.randint(1, num_experts + 1, ()).item(),
    }
    print(f"seed {seed}, {sizes}")
    return dataclasses.replace(Gemma4Config.preset("tiny"), **sizes)


@pytest.fixture
def router(drawn, device):
    return Gemma4Router(drawn, device=device)


@pytest.fixture
def hidden(drawn, device):
    return torch.randn(5, drawn.hidden_size, device=device)


def routed(router, scale, hidden):
    """Weights with `scale` in the place of the router's own."""
    return functional_call(router, {"per_expert_scale": scale}, (hidden,))[0]


def random_scale(router, *batch):
    return torch.rand(*batch, *router.per_expert_scale.shape, device=router.per_expert_scale.device) + 0.5


class Counted(torch.Tensor):
    """A tensor that holds another one and sends every operation through Python, as TorchAX's does."""

    operations = 0

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, device=inner.device)

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        Counted.operations += 1
        args, kwargs = tree_map_only(Counted, lambda tensor: tensor.inner, (args, kwargs or {}))
        return tree_map_only(torch.Tensor, Counted, function(*args, **kwargs))


class OperationNames(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(str(function))
        return function(*args, **(kwargs or {}))


def takes_kernel(device):
    return device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"


def test_plain_tensors_take_the_kernel_where_there_is_one(router, hidden):
    with OperationNames() as operations:
        router(hidden)
    assert (KERNEL_OP in operations.names) == takes_kernel(hidden.device)


def test_split_routing_runs_torch_operations_and_agrees(drawn, router, hidden):
    split = Gemma4Router(drawn, routing="split", device=hidden.device)
    split.load_state_dict(router.state_dict())
    with OperationNames() as operations:
        weights, ids = split(hidden)
    assert KERNEL_OP not in operations.names
    torch.testing.assert_close(weights, router(hidden)[0])
    assert torch.equal(ids, router(hidden)[1])


def test_weights_are_the_softmax_over_the_chosen_logits_times_the_scale(router, hidden):
    scale = random_scale(router)
    weights, ids = functional_call(router, {"per_expert_scale": scale}, (hidden,))
    logits, expected_ids = router.logits(hidden).double().topk(ids.shape[1])
    assert torch.equal(ids.long(), expected_ids)
    torch.testing.assert_close(weights, (logits.softmax(-1) * scale[expected_ids]).float())


def test_parameters_are_named_as_in_the_checkpoint(drawn, router):
    shapes = {name: list(parameter.shape) for name, parameter in router.named_parameters()}
    hidden_size, num_experts = drawn.hidden_size, drawn.num_experts
    assert shapes == {
        "proj.weight": [num_experts, hidden_size],
        "scale": [hidden_size],
        "per_expert_scale": [num_experts],
    }


def test_no_tokens_give_empty_outputs(drawn, router, hidden):
    weights, ids = router(hidden[:0])
    assert weights.shape == ids.shape == (0, drawn.top_k_experts)
    assert (weights.dtype, ids.dtype) == (torch.float32, torch.int32)


@pytest.mark.parametrize("name", ["per_expert_scale", "scale", "proj.weight"])
def test_substituted_parameter_changes_the_weights(router, hidden, name):
    substitute = torch.rand_like(router.get_parameter(name)) + 0.5
    weights, ids = functional_call(router, {name: substitute}, (hidden,))
    changed = Gemma4Router(router.config, device=hidden.device)
    changed.load_state_dict({**router.state_dict(), name: substitute})
    torch.testing.assert_close(weights, changed(hidden)[0])
    if name == "per_expert_scale":
        assert torch.equal(ids, router(hidden)[1])
        assert not torch.allclose(weights, router(hidden)[0])


def test_gradient_of_a_substituted_scale_is_each_expert_s_probability(router, hidden):
    scale = random_scale(router)
    found = grad(lambda value: routed(router, value, hidden).sum())(scale)
    probabilities, ids = functional_call(router, {"per_expert_scale": torch.ones_like(scale)}, (hidden,))
    expected = torch.zeros_like(scale).index_add(0, ids.flatten().long(), probabilities.flatten())
    torch.testing.assert_close(found, expected)


def test_gradients_of_all_parameters_are_those_of_split_routing(drawn, router, hidden):
    split = Gemma4Router(drawn, routing="split", device=hidden.device)
    parameters = {name: torch.randn_like(value) for name, value in router.named_parameters()}

    def loss(values, module):
        weights, _ = functional_call(module, values, (hidden,))
        return (weights * torch.arange(1, weights.shape[1] + 1, device=weights.device)).sum()

    found, expected = grad(loss)(parameters, router), grad(loss)(parameters, split)
    for name in parameters:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)


def test_batched_scales_are_each_applied(router, hidden):
    scales = random_scale(router, 3)
    batched = vmap(lambda scale: routed(router, scale, hidden))(scales)
    torch.testing.assert_close(batched, torch.stack([routed(router, scale, hidden) for scale in scales]))


def test_batched_tokens_are_each_routed(router, drawn):
    batch = torch.randn(3, 4, drawn.hidden_size, device=router.scale.device)
    weights, ids = vmap(lambda hidden: router(hidden))(batch)
    for row, (expected_weights, expected_ids) in enumerate(map(router, batch)):
        torch.testing.assert_close(weights[row], expected_weights)
        assert torch.equal(ids[row], expected_ids)


def test_gradients_of_batched_scales_are_those_of_each(router, hidden):
    scales = random_scale(router, 3)
    gradient = grad(lambda scale: routed(router, scale, hidden).square().sum())
    torch.testing.assert_close(vmap(gradient)(scales), torch.stack([gradient(scale) for scale in scales]))


def test_substituted_subclass_changes_the_weights_and_sees_the_operations(router, hidden):
    scale = random_scale(router)
    before = Counted.operations
    weights = routed(router, Counted(scale), hidden)
    assert isinstance(weights, Counted)
    assert Counted.operations > before
    torch.testing.assert_close(weights.inner, routed(router, scale, hidden))


def test_subclass_as_the_router_s_own_parameter_is_applied(router, hidden):
    scale = random_scale(router)
    expected = routed(router, scale, hidden)
    router.per_expert_scale = torch.nn.Parameter(Counted(scale), requires_grad=False)
    torch.testing.assert_close(router(hidden)[0].inner, expected)


def test_changed_parameter_is_read_at_the_next_call(router, hidden):
    before = router(hidden)[0]
    with torch.no_grad():
        router.per_expert_scale.mul_(2)
    torch.testing.assert_close(router(hidden)[0], 2 * before)


def test_fp32_logits_are_not_rounded_to_bf16(drawn, device):
    config = dataclasses.replace(drawn, router_logits_fp32=True)
    router = Gemma4Router(config, device=device, dtype=torch.bfloat16)
    hidden = torch.randn(6, drawn.hidden_size, device=device, dtype=torch.bfloat16)
    rounded = Gemma4Router(drawn, device=device, dtype=torch.bfloat16)
    rounded.load_state_dict(router.state_dict())
    logits = router.logits(hidden)
    assert (logits.dtype, rounded.logits(hidden).dtype) == (torch.float32, torch.bfloat16)
    assert not torch.equal(logits, logits.bfloat16().float())
    torch.testing.assert_close(logits, rounded.logits(hidden).float(), rtol=2e-2, atol=2e-2)
    assert router(hidden)[0].dtype is torch.float32


@pytest.mark.parametrize("shape", [(3,), (1, 3, 8), (3, 7)])
def test_hidden_of_another_shape_is_refused(shape, device):
    router = Gemma4Router(dataclasses.replace(Gemma4Config.preset("tiny"), hidden_size=8), device=device)
    with pytest.raises(ValueError, match=r"hidden: must have shape \[T, 8\], got \["):
        router(torch.zeros(shape, device=device))


def test_unknown_routing_is_refused():
    with pytest.raises(ValueError, match="routing: must be one of 'fused', 'split', got 'sorted'"):
        Gemma4Router(Gemma4Config.preset("tiny"), routing="sorted")
