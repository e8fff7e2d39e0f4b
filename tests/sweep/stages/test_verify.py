from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from moe_kernels.tunable import Axis, Traffic, TunableKernel
from tests.support.patience import PATIENCE_S
from workbench.measure.inputs import draw_inputs
from workbench.sweep.stages.verify import poison, verify

ROOT = Path(__file__).parents[3]
TOYS = Path(__file__).with_name("toys_for_verify.py")


def run_toys(device, **environment):
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    finished = subprocess.run(
        [sys.executable, str(TOYS), device],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout.splitlines()[-1])


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def verdicts(request):
    interpreted = {"TRITON_INTERPRET": "1"} if request.param == "cpu" else {}
    return run_toys(request.param, **interpreted)


def test_a_right_kernel_passes_even_where_its_result_is_nan(verdicts):
    assert verdicts["none"] is None


def test_an_unwritten_float_is_noticed(verdicts):
    assert verdicts["unwritten_float"].startswith("seed 4: y: ")


def test_an_unwritten_integer_is_noticed(verdicts):
    assert verdicts["unwritten_int"].startswith("seed 4: index: ")


def test_an_unwritten_element_whose_right_value_is_nan_is_noticed_by_the_second_poison(verdicts):
    assert verdicts["unwritten_nan"].startswith("seed 5: y: ")


def test_a_wrong_last_row_is_noticed(verdicts):
    assert verdicts["last_row"].startswith("seed 4: y: ")


def test_a_kernel_that_writes_its_input_is_noticed(verdicts):
    assert verdicts["writes_input"] == "seed 4: input 'x' was modified by the kernel"


def test_every_finding_is_one_line(verdicts):
    assert not any("\n" in finding for finding in verdicts.values() if finding)


class PythonLaunch:
    def __init__(self, function):
        self.run = function


def python_kernel(function):
    """A kernel whose launch is a Python function of inputs and outputs: adds one to a value."""
    return TunableKernel(
        name="python",
        axes=(Axis("tokens", "T", ladder=True),),
        parameters=(),
        kernels=(),
        make_inputs=lambda problem, device: {"x": torch.randn(problem["tokens"], device=device)},
        make_outputs=lambda problem, device: {"y": torch.empty(problem["tokens"], device=device)},
        launches=lambda inputs, outputs, problem, config: [PythonLaunch(lambda: function(inputs, outputs))],
        reference=lambda inputs, problem: {"y": inputs["x"] + 1},
        traffic=lambda problem: Traffic(1, 1, 1),
    )


def test_each_seed_draws_other_inputs():
    seen = []

    def run(inputs, outputs):
        seen.append(inputs["x"].clone())
        outputs["y"].copy_(inputs["x"] + 1)

    assert verify(python_kernel(run), {"tokens": 8}, {}, seeds=range(3), device="cpu") is None
    assert len({tuple(x.tolist()) for x in seen}) == 3


def test_drawing_is_repeatable_and_leaves_the_global_generator_alone():
    kernel = python_kernel(lambda inputs, outputs: None)
    state = torch.get_rng_state()
    first = draw_inputs(kernel, {"tokens": 8}, seed=7, device="cpu")
    second = draw_inputs(kernel, {"tokens": 8}, seed=7, device="cpu")
    assert torch.equal(first["x"], second["x"])
    assert torch.equal(torch.get_rng_state(), state)


def test_what_a_launch_raises_reaches_the_caller():
    def run(inputs, outputs):
        raise RuntimeError("out of shared memory")

    with pytest.raises(RuntimeError, match="shared memory"):
        verify(python_kernel(run), {"tokens": 2}, {}, device="cpu")


def test_the_reference_gets_the_inputs_as_drawn_even_where_the_kernel_spoils_them():
    def run(inputs, outputs):
        outputs["y"].copy_(inputs["x"] + 1)
        inputs["x"].zero_()

    assert "modified" in verify(python_kernel(run), {"tokens": 4}, {}, device="cpu")


@pytest.mark.parametrize(
    "name", ["float32", "bfloat16", "float16", "float8_e4m3fn", "int8", "uint8", "int64", "bool"]
)
def test_the_two_poisons_differ(name):
    dtype = getattr(torch, name)
    one, other = torch.zeros(2, dtype=dtype), torch.zeros(2, dtype=dtype)
    poison(one)
    poison(other, odd=True)
    assert not torch.equal(one.float(), other.float())


def test_poison_is_nan_or_the_lowest_integer():
    floats, integers = torch.zeros(3), torch.zeros(3, dtype=torch.int32)
    poison(floats)
    poison(integers)
    assert floats.isnan().all()
    assert (integers == torch.iinfo(torch.int32).min).all()
