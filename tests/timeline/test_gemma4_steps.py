"""Decode steps of Gemma 4 as a GPU shows them: replayed graphs without ops or annotations, and eager ones."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from moe_kernels.routing import split_routing
from tests.timeline import gemma4_kernels as gemma4
from tests.timeline.gemma4_kernels import DecodeStep
from tests.timeline.traces import analysed, annotation, kernel, launch, on_cpu, summary_of, write
from workbench.timeline.diff import compare
from workbench.timeline.kernel_classes import CLASSES


class _Operations(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.called = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if not func.is_view:
            dtype = str((kwargs or {}).get("dtype", "")).removeprefix("torch.")
            self.called.append(f"{func.overloadpacket} {dtype}".strip())
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "dtype, routing", [(torch.bfloat16, "split"), (torch.float32, "split, fp32 logits")], ids=str
)
def test_the_kernels_are_those_of_the_operations_that_split_routing_calls(dtype, routing):
    logits, scale = torch.randn(16, 128, dtype=dtype), torch.ones(128, dtype=dtype)
    with _Operations() as operations:
        split_routing(logits, scale, 8)
    launched = [name for op in operations.called for name in gemma4.OF_OPS[op]]
    assert launched == [name.removesuffix("_fp32") for name in gemma4.ROUTING[routing]]


def replayed(step, *, name_of=gemma4.whole, steps=1):
    """Graph launches, each in a ProfilerStep, and the kernels of each."""
    events, gpu = [], 500.0
    for number in range(1, steps + 1):
        cpu = 10_000.0 * number
        gpu = max(gpu, cpu)
        events += [
            annotation(f"ProfilerStep#{number}", cpu, 100),
            launch(number, cpu + 5, name="cudaGraphLaunch"),
        ]
        for each in step.kernels:
            events.append(kernel(name_of(each), gpu, 2, correlation=number, **{"graph node id": 7}))
            gpu += 2.5
    return events


def eager(step):
    """Every kernel with its launch, and those of an operation of routing within it."""
    ops = {
        name: op.split()[0].replace("aten.", "aten::") for op, all_ in gemma4.OF_OPS.items() for name in all_
    }
    events = []
    for number, each in enumerate(step.kernels, 1):
        ts = 100.0 * number
        if each in ops:
            events.append(on_cpu(ops[each], ts, 10, External_id=number))
        events.append(launch(number, ts + 2))
        named = {"External id": number} if each in ops else {}
        events.append(kernel(gemma4.whole(each), ts + 20, 5, correlation=number, **named))
    return events


@pytest.fixture
def classes_of(tmp_path):
    def classes_of(events):
        return [CLASSES[each] for each in analysed(write(tmp_path / "trace.json", events)).classes]

    return classes_of


STEPS = [
    DecodeStep(routing, experts, attention, layers=3, verifies=attention == "math")
    for routing in gemma4.ROUTING
    for experts in gemma4.EXPERTS
    for attention in gemma4.ATTENTION
]


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_a_replayed_graph_shows_each_kernel_as_what_it_is(classes_of, step):
    assert classes_of(replayed(step)) == step.classes


# Triton's kernels, in which ways through the experts differ, are named the same in both.
@pytest.mark.parametrize("step", [each for each in STEPS if each.experts == "decode"], ids=str)
def test_mangled_names_show_the_same(classes_of, step):
    assert classes_of(replayed(step, name_of=gemma4.mangled)) == step.classes


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_routing_is_found_by_bare_names_of_functions_too(classes_of, step):
    found = classes_of(replayed(step, name_of=gemma4.bare))
    assert [each == "routing" for each in found] == [each == "routing" for each in step.classes]


@pytest.mark.parametrize("step", [each for each in STEPS if each.attention == "kernel"], ids=str)
def test_an_eager_step_shows_the_same_routing(classes_of, step):
    assert classes_of(eager(step)).count("routing") == step.routing_launches


@pytest.mark.parametrize(
    "routing, launches",
    [("split", 210), ("split, one token", 210), ("split, fp32 logits", 180), ("fused", 30)],
)
def test_a_summary_counts_the_launches_of_routing_a_step(tmp_path, routing, launches):
    summary = summary_of(tmp_path / "trace.json", replayed(DecodeStep(routing), steps=2))
    (found,) = [each for each in summary.per_step.classes if each.name == "routing"]
    assert (found.launches, found.launches_per_layer) == (launches, launches / 30)
    assert summary.layers.count == 30
    assert found.share_busy == pytest.approx(launches / len(DecodeStep(routing).kernels))


@pytest.mark.parametrize("layers", [2, 30])
@pytest.mark.parametrize("attention", gemma4.ATTENTION)
@pytest.mark.parametrize("experts", gemma4.EXPERTS)
@pytest.mark.parametrize("routing", ["split", "fused"])
def test_a_replayed_graph_has_as_many_layers_as_the_model(tmp_path, routing, experts, attention, layers):
    step = DecodeStep(routing, experts, attention, layers=layers)
    assert analysed(write(tmp_path / "trace.json", replayed(step))).layers.count == layers


def test_what_fusing_replaced_is_the_kernels_of_split_routing_alone(tmp_path):
    split, fused = (
        summary_of(tmp_path / f"{arm}.json", replayed(DecodeStep(arm), steps=2)) for arm in ("split", "fused")
    )
    found = compare(split, fused)
    (routing,) = [each for each in found.classes if each.name == "routing"]
    assert routing.launches == (210, 30)
    (change,) = [each for each in found.changes if each.change != "same"]
    assert set(change.before) == {gemma4.whole(each) for each in gemma4.ROUTING["split"]}
    assert change.after == ("routing_kernel",)


def in_a_row(*kernels):
    return [kernel(gemma4.whole(name), 10 * place, 8) for place, name in enumerate(kernels)]


SAMPLER = ("top_k_fp32", "sort_fp32", "attention_softmax")


@pytest.mark.parametrize("attention", ["attention", "somebody's unknown kernel"])
def test_a_samplers_top_k_before_the_next_steps_first_layer_is_a_sort(classes_of, attention):
    layer = ("norm", "gemv", attention, "gemv", "norm", "routing_kernel", "expert_matmul_kernel")
    found = classes_of(in_a_row(*SAMPLER, "embed", "mul_scalar", *layer))
    assert found[:3] == ["sort", "sort", "reduction"]
    assert found.count("routing") == 1


def test_a_samplers_top_k_before_the_last_norm_of_an_expert_layer_is_a_sort(classes_of):
    assert (
        classes_of(in_a_row("expert_matmul_kernel", "norm", *SAMPLER, "norm", "gemv")).count("routing") == 0
    )


def test_what_quantises_the_experts_input_may_stand_after_its_norm(classes_of):
    quantise = "void vllm::scaled_fp8_quant_kernel_strided<c10::BFloat16, c10::Float8_e4m3fn>"
    found = classes_of(in_a_row("gemv", *gemma4.ROUTING["split"], "norm", quantise, "fused_moe_kernel"))
    assert found == ["gemm", *["routing"] * 7, "norm", "elementwise", "experts"]
