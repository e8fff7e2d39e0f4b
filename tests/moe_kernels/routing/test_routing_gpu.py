"""The compiled kernel on a CUDA GPU."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from moe_kernels.routing import ROUTING, fused_routing, reference_routing
from moe_kernels.routing.tunable import ALGORITHMS, routing_launch
from tests.moe_kernels.routing.layouts import LAYOUTS, SCALE_LAYOUTS
from tests.moe_kernels.routing.oracle import assert_routed, assert_usable
from tests.moe_kernels.routing.rows import FORMATS, KINDS, draw
from workbench.sweep.stages.verify import poison

pytestmark = pytest.mark.gpu
DTYPES = tuple(FORMATS)
GIB = 2**30
CONFIGS = [
    {"algorithm": algorithm, "num_warps": warps, "tokens_per_program": block, "scale_load": load}
    for algorithm, (warps, block, load) in product(
        ALGORITHMS,
        [(1, 1, "row"), (1, 1, "ids"), (4, 1, "row"), (1, 4, "row"), (2, 8, "ids"), (8, 16, "row")],
    )
]


@pytest.fixture(scope="module", autouse=True)
def _memory_is_given_back():
    yield
    torch.cuda.empty_cache()


def every_kind(num_experts, dtype, repeats=3):
    return draw(num_experts, list(KINDS) * repeats, num_experts, dtype).cuda()


def random_scale(num_experts, dtype=torch.float32):
    return (torch.rand(num_experts, device="cuda") + 0.5).to(dtype)


def normal(tokens, num_experts, dtype=torch.bfloat16):
    return torch.randn(tokens, num_experts, device="cuda", dtype=torch.float32).to(dtype)


def needs_memory(gib):
    free, _ = torch.cuda.mem_get_info()
    if free < gib * GIB:
        pytest.skip(f"needs {gib} GiB of free GPU memory")


def same(actual, expected):
    """Bit for bit, for two runs of one kernel."""
    return all(
        torch.equal(a.view(torch.int32), e.view(torch.int32)) for a, e in zip(actual, expected, strict=True)
    )


@pytest.mark.smoke
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("tokens", [1, 64, 1024])
def test_every_algorithm_routes_as_gemma_4_does(algorithm, tokens):
    logits, scale = normal(tokens, 128), random_scale(128)
    assert_routed(*fused_routing(logits, scale, 8, config={"algorithm": algorithm}), logits, scale, 8)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: "-".join(map(str, config.values())))
@pytest.mark.parametrize(("num_experts", "top_k"), [(128, 8), (100, 7)])
def test_every_config_gives_what_the_oracle_gives(config, dtype, num_experts, top_k):
    logits, scale = every_kind(num_experts, dtype), random_scale(num_experts)
    assert_routed(*fused_routing(logits, scale, top_k, config=config), logits, scale, top_k)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    ("num_experts", "top_k"),
    [(1, 1), (2, 2), (3, 3), (17, 17), (33, 32), (256, 8), (1000, 9), (1024, 64)],
)
def test_every_algorithm_takes_sizes_at_the_edges(algorithm, dtype, num_experts, top_k):
    logits, scale = every_kind(num_experts, dtype, repeats=1), random_scale(num_experts)
    weights, ids = fused_routing(logits, scale, top_k, config={"algorithm": algorithm})
    assert_routed(weights, ids, logits, scale, top_k)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_ranks_all_of_1024_experts(algorithm):
    logits, scale = every_kind(1024, torch.bfloat16, repeats=1), random_scale(1024)
    weights, ids = fused_routing(logits, scale, 1024, config={"algorithm": algorithm, "num_warps": 8})
    assert_routed(weights, ids, logits, scale, 1024)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("scale_layout", SCALE_LAYOUTS.values(), ids=SCALE_LAYOUTS)
@pytest.mark.parametrize("scale_dtype", [*DTYPES, torch.float64], ids=str)
def test_strides_and_scale_dtypes(layout, scale_layout, scale_dtype):
    logits = layout(every_kind(128, torch.bfloat16, repeats=1))
    scale = scale_layout(random_scale(128, scale_dtype))
    assert_routed(*fused_routing(logits, scale, 8), logits, scale, 8)


@pytest.mark.parametrize("tokens", [0, 1, 2, 3, 63, 64, 65, 2048, 16384])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_token_counts(tokens, dtype):
    logits, scale = normal(tokens, 128, dtype), random_scale(128)
    assert_routed(*fused_routing(logits, scale, 8), logits, scale, 8)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("num_experts", [128, 1024])
@pytest.mark.parametrize("tokens_per_program", [1, 4])
def test_a_quarter_of_a_million_tokens(algorithm, num_experts, tokens_per_program):
    needs_memory(16)
    logits, scale = normal(250_000, num_experts), random_scale(num_experts)
    config = {
        "algorithm": algorithm,
        "tokens_per_program": tokens_per_program,
        "num_warps": num_experts // 128,
    }
    weights, ids = fused_routing(logits, scale, 8, config=config)
    assert_usable(ids, num_experts)
    expected_weights, expected_ids = reference_routing(logits, scale, 8)
    assert torch.equal(ids, expected_ids)
    torch.testing.assert_close(weights, expected_weights, rtol=1e-5, atol=1e-6)
    some = torch.randint(250_000, (500,), device="cuda")
    assert_routed(weights[some], ids[some], logits[some], scale, 8)


@pytest.mark.slow
def test_rows_beyond_the_reach_of_32_bit_offsets():
    needs_memory(12)
    stride = 70_000
    tokens = 2**32 // stride + 3
    storage = torch.zeros(tokens * stride, dtype=torch.bfloat16, device="cuda")
    logits, scale = storage.as_strided((tokens, 128), (stride, 1)), random_scale(128)
    logits.copy_(normal(tokens, 128))
    weights, ids = fused_routing(logits, scale, 8)
    assert_routed(weights, ids, logits.contiguous(), scale, 8)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: "-".join(map(str, config.values())))
@pytest.mark.parametrize("odd", [False, True])
def test_poisoned_outputs_are_overwritten_and_nothing_beside_them(config, odd):
    tokens, margin = 37, 64
    logits, scale = normal(tokens, 100), random_scale(100)
    weights = torch.empty(tokens + 2 * margin, 7, device="cuda")
    ids = torch.empty(tokens + 2 * margin, 7, dtype=torch.int32, device="cuda")
    for tensor in (weights, ids):
        poison(tensor, odd=odd)
    before = weights.clone(), ids.clone()
    inside = slice(margin, margin + tokens)
    routing_launch(logits, scale, weights[inside], ids[inside], config).run()
    assert_routed(weights[inside], ids[inside], logits, scale, 7)
    for beside in (slice(0, margin), slice(margin + tokens, None)):
        assert same((weights[beside], ids[beside]), (before[0][beside], before[1][beside]))


def captured(function):
    """A CUDA graph of the call, warmed up beside it as torch asks, and the tensors that replays write."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        function()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = function()
    return graph, outputs


@pytest.mark.smoke
@pytest.mark.parametrize("config", [None, *CONFIGS[::6]], ids=repr)
@pytest.mark.parametrize("tokens", [1, 64])
def test_a_captured_graph_replays_with_what_its_inputs_hold_then(config, tokens):
    logits, scale = normal(tokens, 128), random_scale(128)
    graph, (weights, ids) = captured(lambda: fused_routing(logits, scale, 8, config=config))
    for seed in range(3):
        torch.manual_seed(seed)
        logits.copy_(normal(tokens, 128))
        scale.copy_(random_scale(128))
        weights.fill_(float("nan"))
        ids.fill_(-1)
        graph.replay()
        assert_routed(weights, ids, logits, scale, 8)


def test_a_captured_graph_takes_strided_inputs():
    logits, scale = normal(128, 16).t(), random_scale(256, torch.bfloat16)[::2]
    graph, (weights, ids) = captured(lambda: fused_routing(logits, scale, 8))
    logits.copy_(normal(16, 128))
    graph.replay()
    assert_routed(weights, ids, logits, scale, 8)


def test_a_captured_graph_may_hold_a_call_without_tokens():
    logits, scale = torch.empty(0, 128, device="cuda"), random_scale(128)
    # Something to launch beside it: torch warns of empty graphs.
    graph, (weights, ids, _) = captured(lambda: (*fused_routing(logits, scale, 8), scale * 2))
    graph.replay()
    assert weights.shape == ids.shape == (0, 8)


@pytest.fixture
def synchronising_raises():
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("config", [None, {"algorithm": "sort"}], ids=repr)
def test_neither_routing_nor_its_gradient_makes_the_host_wait(synchronising_raises, config):
    scale = random_scale(128).requires_grad_()
    batches = [normal(tokens, 128).requires_grad_() for tokens in (0, 1, 64)]

    def step():
        for logits in batches:
            fused_routing(logits, scale, 8, config=config)[0].sum().backward()

    step()
    synchronising_raises()
    step()


def test_one_call_allocates_its_outputs_and_nothing_else():
    logits, scale = normal(1024, 128), random_scale(128)
    fused_routing(logits, scale, 8)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    outputs = fused_routing(logits, scale, 8)
    assert torch.cuda.max_memory_allocated() - before == sum(each.nbytes for each in outputs)


def test_streams_do_not_disturb_each_other():
    scale = random_scale(128)
    streams = [torch.cuda.Stream() for _ in range(4)]
    batches = [normal(4096, 128) for _ in streams]
    expected = [fused_routing(logits, scale, 8) for logits in batches]
    torch.cuda.synchronize()
    for _ in range(20):
        actual = []
        for stream, logits in zip(streams, batches, strict=True):
            with torch.cuda.stream(stream):
                actual.append(fused_routing(logits, scale, 8))
        torch.cuda.synchronize()
        assert all(same(a, e) for a, e in zip(actual, expected, strict=True))


def test_the_kernel_waits_for_what_its_stream_has_queued():
    stream = torch.cuda.Stream()
    logits, scale = torch.zeros(64, 128, device="cuda"), random_scale(128)
    final = normal(64, 128, torch.float32)
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        logits.copy_(final)
        weights, ids = fused_routing(logits, scale, 8)
    stream.synchronize()
    assert_routed(weights, ids, final, scale, 8)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@pytest.mark.parametrize("config", [None, {"algorithm": "topk", "tokens_per_program": 2}], ids=repr)
def test_inductor_compiles_it_without_a_break(mode, config):
    torch.compiler.reset()
    scale = random_scale(128)

    def routed(logits):
        return fused_routing(logits * 2, scale, 8, config=config)

    dynamic = None if mode == "reduce-overhead" else True
    run = torch.compile(routed, fullgraph=True, dynamic=dynamic, mode=None if mode == "default" else mode)
    for tokens in (64, 3, 0, 1, 64, 3):
        logits = normal(tokens, 128)
        torch.compiler.cudagraph_mark_step_begin()
        assert same(run(logits), routed(logits))


@pytest.mark.slow
def test_inductor_compiles_a_training_step():
    torch.compiler.reset()

    def loss(logits, scale):
        return fused_routing(logits, scale, 8)[0].square().sum()

    inputs = [normal(64, 128, torch.float32).requires_grad_(), random_scale(128).requires_grad_()]
    run = torch.compile(loss, fullgraph=True)
    gradients = torch.autograd.grad(run(*inputs), inputs)
    torch.testing.assert_close(gradients, torch.autograd.grad(loss(*inputs), inputs))


def test_scale_on_another_device_is_refused():
    with pytest.raises(ValueError, match="per_expert_scale: must be on cuda:0 as logits, got cpu"):
        fused_routing(torch.zeros(2, 4, device="cuda:0"), torch.ones(4), 1)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_the_device_of_the_logits_runs_the_kernel_whichever_is_current():
    logits, scale = normal(64, 128).to("cuda:1"), random_scale(128).to("cuda:1")
    with torch.cuda.device(0):
        weights, ids = fused_routing(logits, scale, 8)
    assert weights.device == logits.device
    assert_routed(weights, ids, logits, scale, 8)


def test_reference_on_the_gpu_gives_what_the_oracle_gives():
    for dtype in DTYPES:
        logits, scale = every_kind(128, dtype), random_scale(128)
        assert_routed(*reference_routing(logits, scale, 8), logits, scale, 8)


def test_default_config_is_one_launch():
    logits, scale = normal(64, 128), random_scale(128)
    fused_routing(logits, scale, 8, config={})
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        fused_routing(logits, scale, 8, config={})
        torch.cuda.synchronize()
    kernels = [
        event.name for event in profiler.events() if event.device_type == torch.autograd.DeviceType.CUDA
    ]
    assert [name for name in kernels if "Memcpy" not in name and "Memset" not in name] == [
        ROUTING.kernels[0].__name__
    ]
