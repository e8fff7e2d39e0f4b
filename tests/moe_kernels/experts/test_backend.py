"""Which backend is picked, and what is said of it; test_interpreted runs this file too."""

from __future__ import annotations

import json

import pytest
import torch

from moe_kernels import tuned
from moe_kernels.activation import Activation
from moe_kernels.experts import EXPERTS, EXPERTS_BACKEND, EXPERTS_DECODE, explain_backend, fused_experts
from moe_kernels.experts.backend import launches_of
from moe_kernels.experts.call import ExpertsCall
from tests.moe_kernels.experts.cases import draw_tensors
from tests.moe_kernels.experts.oracle import assert_mixed
from workbench.devices import find_device
from workbench.sweep.evaluators.subject import Subject
from workbench.sweep.stages.compile import meta_launches
from workbench.trials.trial import Candidate

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton")
DEVICE = "NVIDIA_B200"
PROBLEM = {"num_experts": 128, "top_k": 8, "hidden_size": 2816, "intermediate_size": 704, "dtype": "bf16"}


@pytest.fixture(autouse=True)
def _results_are_read_anew(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_RESULTS", str(tmp_path))
    tuned.refresh()
    yield
    tuned.refresh()


def write_crossover(folder, rows):
    """Measured winners of the crossover, `tokens: backend`."""
    write_winners(folder, EXPERTS_BACKEND, {tokens: {"backend": name} for tokens, name in rows.items()})


def write_winners(folder, kernel, configs):
    """Measured winners, `tokens: config`."""
    run = {"source_hash": tuned.source_hash(kernel.of(PROBLEM).kernels), "versions": {}, "date": "2026-01-01"}
    row = {
        "run": "r",
        "evidence": "measured",
        "time_us": 1.0,
        "ci_us": [0.9, 1.1],
        "default_time_us": 2.0,
        "speedup": 2.0,
        "kept_default": False,
        "measure": {},
    }
    content = {
        "schema": tuned.SCHEMA,
        "kernel": kernel.name,
        "device": DEVICE,
        "device_name": "NVIDIA B200",
        "arch": "sm_100",
        "problem": PROBLEM,
        "runs": {"r": run},
        "rows": {str(tokens): {**row, "config": config} for tokens, config in configs.items()},
    }
    path = folder / DEVICE / kernel.name / f"{kernel.file_stem(PROBLEM)}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("tokens", "backend"), [(0, "decode"), (1, "decode"), (16, "decode"), (17, "grouped")]
)
def test_the_default_crossover_is_at_one_slot_an_expert(tokens, backend):
    choice = explain_backend(PROBLEM, tokens, DEVICE)
    assert choice.backend == backend
    assert f"{8 * tokens} slots" in choice.reason
    assert choice.impossible == {}


def test_a_tuned_crossover_is_taken_and_said(tmp_path):
    write_crossover(tmp_path, {4: "grouped", 64: "decode", 256: "auto"})
    choices = {tokens: explain_backend(PROBLEM, tokens, DEVICE) for tokens in (4, 64, 1000)}
    assert {tokens: choice.backend for tokens, choice in choices.items()} == {
        4: "grouped",
        64: "decode",
        1000: "grouped",
    }
    assert "tuned crossover" in choices[64].reason
    assert "no crossover is tuned" in choices[1000].reason


@pytest.fixture
def tuned_decode(tmp_path):
    """A device on which the kernels for few tokens have a winner."""
    config = EXPERTS_DECODE.of(PROBLEM).complete({"BLOCK_SIZE_N": 64, "num_stages": 5})
    write_winners(tmp_path, EXPERTS_DECODE, {8: config})
    return config


def test_a_backend_stands_for_its_kernel_with_the_config_that_calls_on_the_device_take(tuned_decode):
    problem = {**PROBLEM, "tokens": 8}
    assert EXPERTS_BACKEND.runs(problem, {"backend": "decode"}, DEVICE) == ("experts_decode", tuned_decode)
    assert EXPERTS_BACKEND.runs(problem, {"backend": "auto"}, DEVICE) == ("experts_decode", tuned_decode)
    assert EXPERTS_BACKEND.runs(problem, {"backend": "grouped"}, DEVICE) == (
        "experts",
        EXPERTS.of(PROBLEM).default_config,
    )
    # Another GPU has no such winner.
    other = EXPERTS_BACKEND.runs(problem, {"backend": "decode"}, "NVIDIA_H200")
    assert other == ("experts_decode", EXPERTS_DECODE.of(PROBLEM).default_config)


def test_what_is_compiled_for_a_backend_is_what_its_calls_launch(tuned_decode):
    subject = Subject(
        reference="experts_backend",
        kernel=EXPERTS_BACKEND.of(PROBLEM),
        device=find_device(DEVICE),
        source_hash="",
        verify_seeds=1,
    )
    launched = subject.runs(Candidate({**PROBLEM, "tokens": 8}, {"backend": "decode"}))
    assert (launched.reference, launched.candidate.config) == ("experts_decode", tuned_decode)
    up, *_ = meta_launches(launched.kernel, launched.candidate)
    assert (up.constexprs["BLOCK_N"], up.options["num_stages"]) == (64, 5)


@pytest.mark.parametrize("dtype", ["fp32", "int8_w8a16"])
def test_auto_never_picks_a_kernel_that_cannot_take_the_dtype(dtype, tmp_path):
    choice = explain_backend({**PROBLEM, "dtype": dtype}, 4, DEVICE)
    assert choice.backend == "torch"
    assert set(choice.impossible) == {"grouped", "decode"}
    assert dtype in choice.reason


@pytest.mark.parametrize("backend", ["grouped", "decode"])
def test_an_explicit_backend_that_cannot_be_taken_is_refused(backend):
    says = f"backend: {backend} takes bf16 or fp16, got fp32; allowed here: auto, torch"
    with pytest.raises(ValueError, match=f"^{says}$"):
        explain_backend({**PROBLEM, "dtype": "fp32"}, 4, DEVICE, backend=backend)


@pytest.mark.parametrize("backend", ["grouped", "decode", "torch"])
def test_an_explicit_backend_is_taken_whatever_the_token_count(backend):
    for tokens in (1, 4096):
        assert explain_backend(PROBLEM, tokens, DEVICE, backend=backend).backend == backend


def test_there_is_no_other_backend():
    with pytest.raises(
        ValueError, match="backend: must be one of auto, grouped, decode, torch, got 'triton'"
    ):
        explain_backend(PROBLEM, 1, DEVICE, backend="triton")


@pytest.mark.parametrize("backend", ["auto", "grouped", "decode", "torch"])
def test_every_backend_gives_the_same_up_to_rounding(device, takes_kernel, backend):
    torch.manual_seed(0)
    tensors = draw_tensors((6, 4, 2, 20, 12), routing="some_foreign", device=device)
    if backend in ("grouped", "decode") and not takes_kernel:
        with pytest.raises(ValueError, match="takes CUDA tensors, got cpu; allowed here: auto, torch"):
            fused_experts(*tensors, backend=backend)
    else:
        assert_mixed(fused_experts(*tensors, backend=backend), tensors)


@pytest.mark.parametrize(
    ("backend", "config", "kernels"),
    [
        ("grouped", {"fuse_activation": 0}, 5),
        ("grouped", {"fuse_activation": 1}, 4),
        ("decode", {"down_by": "expert"}, 3),
        ("decode", {"down_by": "token"}, 2),
    ],
    ids=str,
)
def test_a_call_takes_as_few_launches_as_it_says(backend, config, kernels):
    from moe_kernels.experts.backend import BACKEND_TUNABLES

    names = ("hidden", "gate_up", "down", "weights", "ids")
    tensors = draw_tensors((6, 4, 2, 32, 16), device="meta")
    call = ExpertsCall(**dict(zip(names, tensors, strict=True)), activation=Activation.gelu_tanh)
    complete = BACKEND_TUNABLES[backend].complete(config)
    assert len(launches_of(backend, call, torch.empty_like(call.hidden), complete)) == kernels
