from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from moe_kernels.registry import TUNABLES
from moe_kernels.tunable import KernelLaunch
from tests.support.patience import PATIENCE_S
from tests.sweep.toy_kernels import DOUBLE, MATMUL, double_kernel, matmul_kernel
from workbench.executors import WorkerPool, WorkFailure
from workbench.sweep.stages.compile import code_identity, compile_candidate, compiled, meta_launches
from workbench.trials.trial import Candidate, Status

ROUTING = TUNABLES["routing"]
INTEGERS = st.one_of(
    st.booleans(),
    st.integers(-64, 64),
    st.integers(-(2**31) - 20, -(2**31) + 20),
    st.integers(2**31 - 20, 2**31 + 20),
    st.integers(2**63 - 20, 2**63 + 20),
)


def launched(value, *, kernel=double_kernel, name="rows", **changed):
    fields = {
        "kernel": kernel,
        "grid": (1, 1, 1),
        "arguments": {name: value},
        "constexprs": {"WIDTH": 4},
        "options": {"num_warps": 1},
    }
    return KernelLaunch(**{**fields, **changed})


def identity(value, **more):
    return code_identity([launched(value, **more)])


def as_triton_specialises(value, specialise):
    specialize_impl = pytest.importorskip("triton._C.libtriton").native_specialize_impl
    from triton.backends.nvidia.compiler import CUDABackend

    return specialize_impl(CUDABackend, value, False, specialise, True)


@given(INTEGERS, INTEGERS)
@example(1, True)
@example(0, False)
@example(2**31 - 16, 2**31)
def test_integers_share_code_only_where_triton_specialises_them_alike(one, other):
    if identity(one) == identity(other):
        assert as_triton_specialises(one, True) == as_triton_specialises(other, True)


@given(INTEGERS, INTEGERS)
def test_integers_that_are_not_specialised_differ_by_type_alone(one, other):
    routing = {"kernel": ROUTING.kernels[0], "name": "num_tokens"}
    alike = as_triton_specialises(one, False) == as_triton_specialises(other, False)
    assert (identity(one, **routing) == identity(other, **routing)) == alike


@pytest.mark.parametrize("one, other", [(2, 3), (17, 2**31 - 1), (16, 4096), (-16, 0)])
def test_integers_that_compile_alike_share_their_code(one, other):
    assert identity(one) == identity(other)


@pytest.mark.parametrize(
    "one, other", [(1, 2), (15, 16), (2, 2**31 + 1), (2.0, 2), (None, 2), ((1, 2), (3, 2))]
)
def test_values_that_compile_differently_do_not(one, other):
    assert identity(one) != identity(other)


def test_pointers_differ_by_dtype_and_alignment_not_by_shape():
    meta = torch.empty(8, 8, device="meta")
    assert identity(meta) == identity(torch.empty(3, device="meta"))
    assert identity(meta) != identity(meta.bfloat16())
    assert identity(meta) != identity(meta.view(-1)[1:])


def test_kernels_constants_and_options_are_part_of_it():
    base = identity(5)
    assert base != identity(5, kernel=matmul_kernel)
    assert base != identity(5, constexprs={"WIDTH": 8})
    assert base != identity(5, options={"num_warps": 2})
    assert base == identity(5, grid=(7, 1, 1))


def test_a_call_of_two_launches_is_not_one_of_one():
    assert code_identity([launched(5)] * 2) != identity(5)


def routing_identity(tokens, config=None, **problem):
    problem = {"num_experts": 8, "top_k": 2, "dtype": "bf16", "tokens": tokens, **problem}
    return code_identity(meta_launches(ROUTING, Candidate(problem, ROUTING.complete(config))))


def test_token_counts_share_the_code_of_the_routing_kernel():
    assert len({routing_identity(tokens) for tokens in (1, 2, 3, 15, 16, 17, 4096)}) == 1


def test_other_problems_and_configs_do_not():
    assert routing_identity(4) != routing_identity(4, dtype="fp32")
    assert routing_identity(4) != routing_identity(4, num_experts=16)
    assert routing_identity(4) != routing_identity(4, {"num_warps": 2})
    assert routing_identity(4) != routing_identity(4, {"tokens_per_program": 2})


@pytest.fixture(scope="module")
def compile_for(warm_workers):
    """Compiles in a worker, since this process keeps Triton's own driver."""
    with WorkerPool(1, timeout_s=PATIENCE_S) as pool:

        def compile_for(kernel, capability, problem, config=None):
            candidate = Candidate(problem, kernel.complete(config))
            reference = f"tests.sweep.toy_kernels:{kernel.name.upper()}"
            return compiled(pool.submit(compile_candidate, reference, candidate, capability).result())

        yield compile_for


ROWS = {"width": 16, "tokens": 5}
SQUARE = {"size": 1024, "dtype": "bf16", "tokens": 16}
# The depth of 1024 in blocks of 64.
TRIPS = 16


def test_one_worker_compiles_for_one_gpu_after_another(compile_for):
    for capability in (90, 120, 90):
        found = compile_for(MATMUL, capability, SQUARE)
        assert (found.status, found.reason) == (Status.OK, None)
        (launch,) = found.resources
        # Tensor-core code came out, each GPU's own: sm_90 has warp-group instructions, which need few of them.
        assert (launch.instructions["matrix"] < 64 * TRIPS) == (capability == 90)
        assert launch.num_warps == 4
        assert 64 <= launch.registers <= 255


def test_stages_are_pipelined_so_each_takes_its_shared_memory(compile_for):
    needs = [
        compile_for(MATMUL, 120, SQUARE, {"num_stages": stages}).resources[0].shared_bytes
        for stages in (2, 3, 5)
    ]
    # A stage holds 128 x 64 of either factor, two bytes each: 32 KiB.
    assert [after - before for before, after in pairwise(needs)] == [32_768, 65_536]


def test_what_does_not_fit_still_compiles_for_the_screen_to_judge(compile_for):
    found = compile_for(MATMUL, 120, SQUARE, {"num_stages": 5})
    assert found.status is Status.OK
    assert found.resources[0].shared_bytes == 131_072


def test_a_kernel_that_raises_tells_where_and_why(compile_for):
    found = compile_for(DOUBLE, 100, ROWS, {"fault": "raises"})
    assert found.status is Status.COMPILE_ERROR
    assert found.reason.startswith("CompileTimeAssertionFailure: at ")
    assert found.reason.endswith("a fault of its own")
    assert "\n" not in found.reason


def test_a_compiler_that_aborts_is_a_crash(compile_for):
    found = compile_for(DOUBLE, 100, ROWS, {"fault": "aborts_in_compile"})
    assert found.status is Status.CRASHED
    assert found.reason == "compiling: the worker process died of SIGABRT"
    assert compile_for(DOUBLE, 100, ROWS).status is Status.OK


def test_a_gpu_that_triton_does_not_know_is_a_compile_error(compile_for):
    found = compile_for(DOUBLE, 10, ROWS)
    assert found.status is Status.COMPILE_ERROR
    assert found.reason


@pytest.mark.parametrize(
    "failure, status",
    [
        (WorkFailure("timeout", "killed after 5 s"), Status.TIMEOUT),
        (WorkFailure("crashed", "died"), Status.CRASHED),
        (WorkFailure("error", "CompilationError: at 1:1"), Status.COMPILE_ERROR),
        (WorkFailure("error", "OutOfResources: out of resource: shared memory"), Status.OUT_OF_RESOURCES),
        (
            WorkFailure("error", "PTXASError: uses too much shared data (0x40000 bytes)"),
            Status.OUT_OF_RESOURCES,
        ),
    ],
)
def test_every_failure_has_its_status_and_keeps_its_reason(failure, status):
    found = compiled(failure)
    assert found.status is status
    assert failure.reason in found.reason
    assert found.resources == ()
