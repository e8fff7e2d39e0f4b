"""The compiled kernels on a CUDA GPU."""

from __future__ import annotations

import pytest
import torch

from moe_kernels.experts import EXPERTS, EXPERTS_BACKEND, EXPERTS_DECODE, fused_experts
from moe_kernels.experts.align import align_launch, empty_aligned, reference_align
from tests.moe_kernels.experts.cases import LAYOUTS, ROUTINGS, draw_tensors
from tests.moe_kernels.experts.oracle import GATED, UNGATED, assert_mixed
from workbench.sweep.stages.verify import poison, verify

pytestmark = pytest.mark.gpu
GIB = 2**30
GEMMA = {"num_experts": 128, "top_k": 8, "hidden_size": 2816, "intermediate_size": 704}


def tiles(m, n, k, group, warps, stages, fuse):
    names = EXPERTS.default_config
    return dict(zip(names, (m, n, k, group, warps, stages, fuse), strict=True))


def rows(n, down, k, by, warps, stages):
    names = EXPERTS_DECODE.default_config
    return dict(zip(names, (n, down, k, by, warps, stages), strict=True))


GROUPED = [
    tiles(16, 32, 64, 1, 4, 3, 0),
    tiles(16, 64, 128, 1, 4, 4, 1),
    tiles(32, 128, 64, 16, 8, 2, 0),
    tiles(64, 64, 64, 8, 4, 4, 0),
    tiles(64, 128, 64, 8, 8, 2, 1),
    tiles(128, 64, 64, 32, 4, 2, 1),
    tiles(128, 128, 32, 64, 8, 2, 0),
]
DECODE = [
    rows(16, 16, 128, "expert", 4, 4),
    rows(32, 32, 128, "expert", 4, 3),
    rows(64, 16, 64, "expert", 2, 5),
    rows(32, 16, 128, "token", 4, 4),
    rows(16, 4, 256, "token", 2, 2),
]
VARIANTS = [*(("grouped", config) for config in GROUPED), *(("decode", config) for config in DECODE)]
every_variant = pytest.mark.parametrize(("backend", "config"), VARIANTS, ids=str)
ONE_OF_EACH = [VARIANTS[0], VARIANTS[1], VARIANTS[len(GROUPED)], VARIANTS[len(GROUPED) + 3]]
one_of_each = pytest.mark.parametrize(("backend", "config"), ONE_OF_EACH, ids=str)


@pytest.fixture(scope="module", autouse=True)
def _memory_is_given_back():
    yield
    torch.cuda.empty_cache()


def gemma_tensors(tokens, dtype=torch.bfloat16, **options):
    return draw_tensors((tokens, 128, 8, 2816, 704), dtype=dtype, device="cuda", **options)


def needs_memory(gib):
    free, _ = torch.cuda.mem_get_info()
    if free < gib * GIB:
        pytest.skip(f"needs {gib} GiB of free GPU memory")


@every_variant
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("routing", ROUTINGS)
def test_every_config_gives_what_the_oracle_gives(backend, config, dtype, routing):
    tensors = draw_tensors((21, 6, 3, 200, 72), dtype=dtype, routing=routing, device="cuda")
    assert_mixed(fused_experts(*tensors, backend=backend, config=config), tensors)


@one_of_each
@pytest.mark.parametrize("activation", [*GATED, *UNGATED])
@pytest.mark.parametrize(
    "sizes", [(1, 1, 1, 1, 1), (3, 2, 5, 17, 9), (40, 3, 2, 100, 33), (70, 300, 2, 64, 48)], ids=str
)
def test_sizes_at_the_edges_and_every_activation(backend, config, activation, sizes):
    tensors = draw_tensors(sizes, activation=activation, device="cuda")
    out = fused_experts(*tensors, activation=activation, backend=backend, config=config)
    assert_mixed(out, tensors, activation)


@one_of_each
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_strides(backend, config, layout):
    tensors = draw_tensors((9, 5, 2, 96, 64), device="cuda")
    strided = tuple(layout(tensor) for tensor in tensors)
    assert_mixed(fused_experts(*strided, backend=backend, config=config), tensors)


@pytest.mark.slow
@every_variant
@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
@pytest.mark.parametrize("tokens", [1, 3, 24, 64])
def test_sweeps_verification_passes_gemma_4(backend, config, dtype, tokens):
    kernel = {"grouped": EXPERTS, "decode": EXPERTS_DECODE}[backend]
    assert verify(kernel, {**GEMMA, "dtype": dtype, "tokens": tokens}, config, seeds=range(2)) is None


@pytest.mark.slow
@pytest.mark.parametrize("config", GROUPED, ids=str)
@pytest.mark.parametrize("tokens", [513, 4096, 16384])
def test_sweeps_verification_passes_many_tokens(config, tokens):
    needs_memory(20)
    assert verify(EXPERTS, {**GEMMA, "dtype": "bf16", "tokens": tokens}, config, seeds=[0]) is None


@pytest.mark.smoke
@pytest.mark.parametrize("backend", ["auto", "grouped", "decode"])
@pytest.mark.parametrize("tokens", [1, 64])
def test_sweeps_verification_passes_the_crossover(backend, tokens):
    problem = {**GEMMA, "dtype": "bf16", "tokens": tokens}
    assert verify(EXPERTS_BACKEND, problem, {"backend": backend}, seeds=[0]) is None


@every_variant
@pytest.mark.parametrize("tokens", [1, 16, 200])
def test_the_same_input_gives_the_same_bits(backend, config, tokens):
    tensors = gemma_tensors(tokens, routing="some_foreign")
    first = fused_experts(*tensors, backend=backend, config=config)
    for _ in range(5):
        assert torch.equal(fused_experts(*tensors, backend=backend, config=config), first)


@pytest.mark.parametrize("tokens", [1, 5, 64, 129, 1000, 16384])
@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("block_size", [16, 64, 256])
def test_slots_are_sorted_as_the_reference_sorts_them(tokens, routing, block_size):
    ids = ROUTINGS[routing](tokens, 128, 8).cuda()
    aligned = empty_aligned(ids.numel(), 128, block_size, ids.device)
    for buffer in aligned:
        poison(buffer)
    align_launch(ids, 128, block_size, aligned).run()
    expected = reference_align(ids, 128, block_size)
    used = int(expected.num_blocks)
    assert int(aligned.num_blocks) == used
    assert torch.equal(aligned.block_experts[:used], expected.block_experts)
    assert torch.equal(aligned.sorted_slots[: used * block_size], expected.sorted_slots)
    assert (aligned.sorted_slots[used * block_size :] == torch.iinfo(torch.int32).min).all()


@pytest.mark.slow
def test_results_beyond_the_reach_of_32_bit_offsets():
    needs_memory(40)
    tokens = 2**31 // (8 * 1408) + 65
    hidden, gate_up, down, weights, ids = gemma_tensors(1)
    every = (hidden.expand(tokens, -1), gate_up, down, weights.expand(tokens, -1), ids.expand(tokens, -1))
    out = fused_experts(*every, backend="grouped")
    assert_mixed(out[-1:], (hidden, gate_up, down, weights, ids))
    assert torch.equal(out, out[-1:].expand_as(out))


def captured(function):
    """A CUDA graph of the call, warmed up beside it as torch asks, and the tensor that replays write."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        function()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = function()
    return graph, out


@pytest.mark.smoke
@pytest.mark.parametrize(("backend", "config"), [("auto", None), *ONE_OF_EACH], ids=str)
@pytest.mark.parametrize("tokens", [1, 33])
def test_a_captured_graph_replays_with_what_its_inputs_hold_then(backend, config, tokens):
    sizes = (tokens, 6, 3, 64, 48)
    tensors = draw_tensors(sizes, device="cuda")
    graph, out = captured(lambda: fused_experts(*tensors, backend=backend, config=config))
    for routing in ROUTINGS:
        for tensor, fresh in zip(tensors, draw_tensors(sizes, routing=routing, device="cuda"), strict=True):
            tensor.copy_(fresh)
        out.fill_(float("nan"))
        graph.replay()
        assert_mixed(out, tensors)


@pytest.fixture
def synchronising_raises():
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(("backend", "config"), [("auto", None), *ONE_OF_EACH], ids=str)
def test_the_host_never_waits(synchronising_raises, backend, config):
    calls = [
        draw_tensors((tokens, 6, 3, 64, 48), routing="some_foreign", device="cuda") for tokens in (0, 1, 40)
    ]

    def run_all():
        for tensors in calls:
            fused_experts(*tensors, backend=backend, config=config)

    run_all()
    synchronising_raises()
    run_all()


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("backend", "config", "kernels"),
    [
        (
            "grouped",
            {"fuse_activation": 0},
            ["align", "grouped_matmul", "activation", "grouped_matmul", "sum"],
        ),
        ("grouped", {"fuse_activation": 1}, ["align", "grouped_matmul", "grouped_matmul", "sum"]),
        ("decode", {"down_by": "expert"}, ["expert_matmul", "expert_matmul", "sum"]),
        ("decode", {"down_by": "token"}, ["expert_matmul", "token_down"]),
    ],
    ids=str,
)
def test_a_call_is_its_launches_and_nothing_else(backend, config, kernels):
    tensors = draw_tensors((4, 6, 3, 64, 48), device="cuda")
    fused_experts(*tensors, backend=backend, config=config)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        fused_experts(*tensors, backend=backend, config=config)
        torch.cuda.synchronize()
    events = [each for each in profiler.events() if each.device_type == torch.autograd.DeviceType.CUDA]
    events.sort(key=lambda each: each.time_range.start)
    assert [each.name for each in events] == [f"{kernel}_kernel" for kernel in kernels]


def test_streams_do_not_disturb_each_other():
    streams = [torch.cuda.Stream() for _ in range(4)]
    calls = [gemma_tensors(tokens) for tokens in (1, 16, 64, 300)]
    expected = [fused_experts(*tensors) for tensors in calls]
    torch.cuda.synchronize()
    for _ in range(10):
        actual = []
        for stream, tensors in zip(streams, calls, strict=True):
            with torch.cuda.stream(stream):
                actual.append(fused_experts(*tensors))
        torch.cuda.synchronize()
        assert all(torch.equal(a, e) for a, e in zip(actual, expected, strict=True))


def test_fp32_on_the_gpu_takes_torch_operations():
    tensors = draw_tensors((9, 5, 2, 96, 64), dtype=torch.float32, routing="some_foreign", device="cuda")
    assert_mixed(fused_experts(*tensors, backend="torch"), tensors)
    torch.testing.assert_close(fused_experts(*tensors), fused_experts(*tensors, backend="torch"))


def test_gradients_on_the_gpu_are_those_on_the_cpu():
    *floats, ids = draw_tensors((6, 4, 2, 32, 16), dtype=torch.float32, routing="some_foreign")
    found = []
    for device in ("cpu", "cuda"):
        inputs = [tensor.to(device).requires_grad_() for tensor in floats]
        fused_experts(*inputs, ids.to(device)).square().sum().backward()
        found.append([tensor.grad.cpu() for tensor in inputs])
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_inductor_compiles_it_without_a_break(mode):
    torch.compiler.reset()
    _, gate_up, down, _, _ = draw_tensors((1, 6, 3, 64, 48), device="cuda")

    def mixed(hidden, weights, ids):
        return fused_experts(hidden * 2, gate_up, down, weights, ids)

    dynamic = None if mode == "reduce-overhead" else True
    run = torch.compile(mixed, fullgraph=True, dynamic=dynamic, mode=None if mode == "default" else mode)
    for tokens in (64, 3, 1, 64, 3):
        hidden, _, _, weights, ids = draw_tensors((tokens, 6, 3, 64, 48), device="cuda")
        torch.compiler.cudagraph_mark_step_begin()
        assert torch.equal(run(hidden, weights, ids), mixed(hidden, weights, ids))
