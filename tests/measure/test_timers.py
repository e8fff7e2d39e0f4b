from __future__ import annotations

import gc
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from moe_kernels.registry import TUNABLES
from moe_kernels.routing import split_routing
from moe_kernels.tunable import Axis, Parameter, Traffic, TunableKernel
from workbench.measure import timers as gpu_timer
from workbench.measure.race import MeasureSettings, TimedConfig, measure_batch
from workbench.measure.timers import GpuTimers, capture_call, launches_per_replay, rotate

MEBIBYTE = 2**20
PROBLEM = {"num_experts": 128, "top_k": 8, "dtype": "bf16", "tokens": 8}


class FakeCuda:
    """Stands in for torch.cuda: time passes where work runs, and a capture records instead of running."""

    def __init__(self):
        self.now_us = 0.0
        self.capturing = None
        self.log = []

    def work(self, microseconds):
        if self.capturing is None:
            self.now_us += microseconds
            self.log.append("run")
        else:
            self.capturing.nodes.append(microseconds)

    @contextmanager
    def graph(self, graph, stream=None):
        self.log.append(("capture", stream.name, gc.isenabled()))
        self.capturing = graph
        try:
            yield
        finally:
            self.capturing = None

    @contextmanager
    def stream(self, stream):
        self.log.append(("enter", stream.name))
        yield
        self.log.append(("leave", stream.name))


class FakeStream:
    def __init__(self, cuda, name):
        self.cuda, self.name = cuda, name

    def wait_stream(self, other):
        self.cuda.log.append((self.name, "waits for", other.name))


class FakeGraph:
    def __init__(self, cuda):
        self.cuda, self.nodes = cuda, []

    def replay(self):
        assert self.cuda.capturing is None
        self.cuda.log.append("replay")
        self.cuda.now_us += sum(self.nodes)


class FakeEvent:
    def __init__(self, cuda, enable_timing):
        assert enable_timing
        self.cuda, self.at, self.waited = cuda, None, False

    def record(self):
        self.at, self.waited = self.cuda.now_us, False

    def synchronize(self):
        self.waited = True

    def elapsed_time(self, end):
        assert end.waited
        return (end.at - self.at) / 1000.0


@contextmanager
def no_device(device):
    yield


@pytest.fixture
def cuda(monkeypatch):
    fake = FakeCuda()
    main = FakeStream(fake, "main")
    replacements = {
        "Stream": lambda device=None: FakeStream(fake, "side"),
        "stream": fake.stream,
        "current_stream": lambda device=None: main,
        "CUDAGraph": lambda: FakeGraph(fake),
        "graph": fake.graph,
        "Event": lambda enable_timing=False: FakeEvent(fake, enable_timing),
        "device": no_device,
        "get_device_properties": lambda device: SimpleNamespace(L2_cache_size=4096),
        "mem_get_info": lambda device: (MEBIBYTE, 2 * MEBIBYTE),
    }
    for name, replacement in replacements.items():
        monkeypatch.setattr(torch.cuda, name, replacement)
    monkeypatch.setattr(gpu_timer, "_with_index", lambda device: torch.device("cpu"))
    return fake


class FakeLaunch:
    def __init__(self, cuda, inputs, outputs, microseconds):
        self.cuda, self.microseconds = cuda, microseconds
        self.run = lambda: cuda.work(microseconds)
        self.inputs, self.outputs = inputs, outputs


def fake_kernel(cuda, launched):
    """A kernel whose one launch takes `us` microseconds."""

    def launches(inputs, outputs, problem, config):
        launched.append((inputs, outputs, config))
        return [FakeLaunch(cuda, inputs, outputs, config["us"])]

    return TunableKernel(
        name="fake",
        axes=(Axis("tokens", "T", ladder=True),),
        parameters=(Parameter("us", 5.0), Parameter("unused", 1)),
        kernels=(),
        make_inputs=lambda problem, device: {"weights": torch.randn(256), "hidden": torch.randn(8)},
        make_outputs=lambda problem, device: {"out": torch.empty(8)},
        launches=launches,
        reference=lambda inputs, problem: {},
        traffic=lambda problem: Traffic(1024 + 32, 32, 0),
        produced=frozenset({"hidden"}),
    )


@pytest.mark.parametrize(
    ("call_us", "launches"),
    [(0.0, 1000), (0.5, 1000), (2.0, 500), (5.0, 200), (80.0, 20), (999.0, 20), (1000.0, 3), (50_000.0, 3)],
)
def test_a_replay_takes_about_a_millisecond(call_us, launches):
    assert launches_per_replay(call_us) == launches


def test_a_call_of_many_milliseconds_is_never_timed_twenty_at_a_time(cuda):
    timer = GpuTimers("cuda").of_call(lambda call: cuda.work(50_000.0))
    assert timer.launches == 3
    assert cuda.now_us < 20 * 50_000.0 * 3


def test_one_launch_is_timed_without_what_comes_before_it(cuda):
    launched = []
    kernel = fake_kernel(cuda, launched)
    timers = GpuTimers("cuda")
    inputs = timers.inputs(kernel, {"tokens": 1})
    assert timers.one_launch_us(kernel, {"tokens": 1}, {"us": 7.0}, inputs) == pytest.approx(7.0)


def test_a_sample_is_the_time_of_one_call(cuda):
    timer = GpuTimers().of_call(lambda call: cuda.work(4.0))
    assert timer.launches == 250
    assert timer.sample() == pytest.approx(4.0)


def test_the_eviction_before_a_replay_is_not_timed(cuda, monkeypatch):
    monkeypatch.setattr(torch, "amax", lambda *arguments, **named: cuda.work(1000.0))
    timer = GpuTimers().of_call(lambda call: cuda.work(4.0))
    cuda.log.clear()
    assert timer.sample() == pytest.approx(4.0)
    assert cuda.log == ["run", "replay"]


def test_calls_are_warmed_up_on_a_side_stream_before_the_capture(cuda):
    capture_call(lambda call: cuda.work(1.0), 5, torch.device("cpu"))
    assert cuda.log == [
        ("side", "waits for", "main"),
        ("enter", "side"),
        *["run"] * 3,
        ("leave", "side"),
        ("main", "waits for", "side"),
        ("capture", "side", False),
    ]


def test_the_collector_is_off_while_capturing_and_then_as_it_was(cuda):
    capture_call(lambda call: None, 1, torch.device("cpu"))
    assert gc.isenabled()
    gc.disable()
    try:
        capture_call(lambda call: None, 1, torch.device("cpu"))
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_collector_comes_back_where_a_capture_fails(cuda):
    def fails_when_captured(call):
        if cuda.capturing is not None:
            raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="not permitted"):
        capture_call(fails_when_captured, 1, torch.device("cpu"))
    assert gc.isenabled()


def test_each_call_of_a_graph_gets_its_index(cuda):
    seen = []
    capture_call(lambda call: seen.append(call) if cuda.capturing else None, 4, torch.device("cpu"))
    assert seen == [0, 1, 2, 3]


def test_a_kernel_is_timed_with_its_config_over_all_copies_of_its_inputs(cuda):
    launched = []
    kernel = fake_kernel(cuda, launched)
    timers = GpuTimers()
    inputs = timers.inputs(kernel, {"tokens": 1})
    timer = timers.of_kernel(kernel, {"tokens": 1}, {"us": 8.0}, inputs)
    assert timer.sample() == pytest.approx(8.0)
    assert len(launched) == len(inputs.copies) == 20
    assert all(config == {"us": 8.0, "unused": 1} for _, _, config in launched)
    assert len({id(outputs) for _, outputs, _ in launched}) == 1


def test_streamed_inputs_are_copied_and_produced_ones_are_not(cuda):
    inputs = GpuTimers().inputs(fake_kernel(cuda, []), {"tokens": 1})
    assert len({copy["weights"].data_ptr() for copy in inputs.copies}) == 20
    assert len({copy["hidden"].data_ptr() for copy in inputs.copies}) == 1
    assert all(torch.equal(copy["weights"], inputs[0]["weights"]) for copy in inputs.copies)
    assert inputs[21] is inputs.copies[1]


def test_the_same_seed_draws_the_same_inputs(cuda):
    timers, kernel = GpuTimers(), fake_kernel(cuda, [])
    first, second = (timers.inputs(kernel, {"tokens": 1}, seed=3)[0] for _ in range(2))
    other = timers.inputs(kernel, {"tokens": 1}, seed=4)[0]
    assert torch.equal(first["weights"], second["weights"])
    assert not torch.equal(first["weights"], other["weights"])


def rotated(wanted_bytes=64 * 1024, *, bytes_read=10**9, memory_bytes=MEBIBYTE, elements=1024):
    inputs = {"weights": torch.zeros(elements)}
    return rotate(
        inputs, frozenset(), bytes_read=bytes_read, wanted_bytes=wanted_bytes, memory_bytes=memory_bytes
    )


def test_the_copies_cover_what_is_wanted():
    inputs = rotated()
    assert len(inputs.copies) == 16
    assert inputs.cold


def test_large_weights_of_which_a_call_reads_little_are_copied_by_what_it_reads():
    assert len(rotated(bytes_read=1024).copies) == 64


def test_tiny_inputs_get_a_copy_for_each_launch_and_count_as_cold_since_each_replay_evicts():
    inputs = rotated(10**9, elements=16)
    assert len(inputs.copies) == 1000
    assert inputs.cold


def test_memory_bounds_the_copies_and_the_inputs_say_that_they_are_not_cold():
    inputs = rotated(memory_bytes=3 * 4096)
    assert len(inputs.copies) == 4
    assert not inputs.cold


def test_one_copy_is_enough_where_it_is_larger_than_what_is_wanted():
    inputs = rotated(1024)
    assert len(inputs.copies) == 1
    assert inputs.cold


def test_inputs_that_are_all_produced_are_not_copied():
    inputs = rotate(
        {"logits": torch.zeros(8)},
        frozenset({"logits"}),
        bytes_read=32,
        wanted_bytes=10**6,
        memory_bytes=10**6,
    )
    assert len(inputs.copies) == 1
    assert inputs.cold


def test_a_copy_keeps_strides_and_alignment():
    whole = torch.arange(48.0).reshape(6, 8)
    inputs = rotate(
        {"rows": whole[1:, 2:6]}, frozenset(), bytes_read=80, wanted_bytes=160, memory_bytes=MEBIBYTE
    )
    original, copy = (one["rows"] for one in inputs.copies)
    assert torch.equal(original, copy)
    assert copy.stride() == original.stride()
    assert copy.storage_offset() == original.storage_offset()
    assert copy.untyped_storage().data_ptr() != original.untyped_storage().data_ptr()


def test_timers_of_simulated_kernels_run_through_a_whole_measurement(cuda):
    kernel, timers = fake_kernel(cuda, []), GpuTimers()
    inputs = timers.inputs(kernel, {"tokens": 1})
    default, again, faster = (
        timers.of_kernel(kernel, {"tokens": 1}, {"us": us}, inputs) for us in (5.0, 5.0, 4.0)
    )
    result = measure_batch(
        [TimedConfig("faster", faster)],
        default=default,
        default_again=again,
        settings=MeasureSettings(warmup_seconds=0.001),
        now=lambda: cuda.now_us / 1e6,
    )
    assert result.measurements[0].ratio.median == pytest.approx(0.8)
    assert result.beats_default(result.measurements[0])


@pytest.fixture(scope="module")
def gpu_timers():
    return GpuTimers("cuda")


@pytest.mark.gpu
@pytest.mark.smoke
def test_an_empty_launch_takes_microseconds(gpu_timers):
    times = sorted(gpu_timers.of_empty_kernel().sample() for _ in range(20))
    assert 0.1 < times[10] < 20.0


@pytest.mark.gpu
def test_twice_the_work_takes_about_twice_the_time(gpu_timers):
    data = torch.ones(2**27, dtype=torch.int32, device=gpu_timers.device)
    out = torch.empty((), dtype=torch.int32, device=gpu_timers.device)
    half = gpu_timers.of_call(lambda call: torch.amax(data[: 2**26], dim=0, out=out))
    whole = gpu_timers.of_call(lambda call: torch.amax(data, dim=0, out=out))
    ratios = sorted(whole.sample() / half.sample() for _ in range(20))
    assert 1.6 < ratios[10] < 2.4


@pytest.mark.gpu
def test_rotated_weights_are_slower_than_hot_ones_where_the_hot_ones_fit_the_l2(gpu_timers):
    weights = torch.ones(gpu_timers.l2_bytes // 16, dtype=torch.int32, device=gpu_timers.device)
    out = torch.empty((), dtype=torch.int32, device=gpu_timers.device)
    copies = [weights.clone() for _ in range(40)]
    hot = gpu_timers.of_call(lambda call: torch.amax(weights, dim=0, out=out))
    cold = gpu_timers.of_call(lambda call: torch.amax(copies[call % 40], dim=0, out=out))
    ratios = sorted(cold.sample() / hot.sample() for _ in range(20))
    assert ratios[10] > 1.02


@pytest.mark.gpu
def test_the_routing_kernel_and_the_split_ops_can_be_timed_and_agree_with_themselves(gpu_timers):
    kernel = TUNABLES["routing"]
    inputs = gpu_timers.inputs(kernel, PROBLEM)

    def split(call):
        return split_routing(inputs[call]["logits"], inputs[call]["per_expert_scale"], 8)

    fused = gpu_timers.of_kernel(kernel, PROBLEM, {}, inputs)
    result = measure_batch(
        [TimedConfig("fused", fused)],
        default=gpu_timers.of_call(split),
        default_again=gpu_timers.of_call(split),
        settings=MeasureSettings(slower_margin=None),
    )
    assert result.noise.floor < 0.1
    assert 0.0 < result.measurements[0].ratio.median < 1.0


@pytest.mark.gpu
@pytest.mark.smoke
def test_a_replayed_graph_has_written_the_right_outputs(gpu_timers):
    x = torch.randn(1000, device=gpu_timers.device)
    y = torch.full_like(x, float("nan"))
    gpu_timers.of_call(lambda call: torch.mul(x, 2.0, out=y)).sample()
    assert torch.equal(y, x * 2.0)
