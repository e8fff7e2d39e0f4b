from __future__ import annotations

import pytest

from tests.support.patience import PATIENCE_S
from tests.sweep.toy_kernels import MATMUL
from workbench.executors import WorkerPool
from workbench.sweep.stages.interpreter import verify_interpreted


@pytest.fixture(scope="module")
def interpret(warm_workers):
    """Verifies the toy matmul, whose loop runs to a bound known at run time, in a worker of its own."""
    with WorkerPool(1, timeout_s=PATIENCE_S, environment={"TRITON_INTERPRET": "1"}) as pool:

        def interpret(**problem):
            arguments = ("tests.sweep.toy_kernels:MATMUL", problem, MATMUL.default_config, 2)
            return pool.submit(verify_interpreted, *arguments).result()

        yield interpret


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize("size", [128, 256])
def test_a_matmul_in_a_loop_is_right_in_every_dtype(interpret, dtype, size):
    assert interpret(size=size, dtype=dtype, tokens=5) is None
