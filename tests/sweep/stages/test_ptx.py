from __future__ import annotations

import pytest

from workbench.sweep.stages import ptx
from workbench.sweep.stages.ptx import LATENCY_CYCLES, Given

SCALAR, SHARED, GLOBAL, SHUFFLE, BARRIER = (
    LATENCY_CYCLES[kind] for kind in ("scalar", "shared", "global", "shuffle", "barrier")
)


def body(*lines):
    text = "".join(f"\t{line};\n" for line in lines)
    return f".visible .entry kernel(\n\t.param .u64 a\n)\n{{\n\t.reg .b32 %r<9>;\n$L__BB0_1:\n{text}}}\n"


def profile(text, **given):
    return ptx.profile(text, Given(**given))


def test_directives_labels_and_comments_are_no_instructions():
    assert profile(body("ret")).instructions == {"move": 1}
    assert profile("// add.s32 %r1, %r2, %r3;\n.version 8.7\n").instructions == {}


def test_instructions_are_counted_by_class():
    found = profile(
        body(
            "ld.param.b64 %rd1, [a]",
            "ld.global.v2.b32 { %r1, %r2 }, [ %rd1 + 0 ]",
            "@%p1 ld.global.b32 { %r3 }, [ %rd1 + 8 ]",
            "ld.shared.b32 %r3, [%r1]",
            "st.shared.b32 [%r1], %r2",
            "atom.global.add.u32 %r4, [%rd1], %r1",
            "mul.lo.s32 %r5, %r1, %r2",
            "cvt.u64.u32 %rd2, %r1",
            "shfl.sync.bfly.b32 %r6|%p1, %r1, 1, 31, -1",
            "redux.sync.max.s32 %r6, %r1, -1",
            "bar.sync 0",
            "ex2.approx.ftz.f32 %f1, %f2",
            "div.full.f32 %f1, %f1, %f2",
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16 {%f1, %f2}, {%r1}, {%r2}, {%f1, %f2}",
            "mov.b32 %r7, %r6",
            "ret",
        )
    ).instructions
    assert found == {
        "move": 3,
        "global": 3,
        "shared": 2,
        "scalar": 1,
        "wide": 1,
        "shuffle": 1,
        "reduce": 1,
        "barrier": 1,
        "special": 2,
        "matrix": 1,
    }


def test_a_chain_of_dependences_adds_up():
    chain = body("add.s32 %r2, %r1, 1", "add.s32 %r3, %r2, 1", "add.s32 %r4, %r3, 1")
    assert profile(chain).critical_cycles == 3 * SCALAR


def test_independent_instructions_overlap():
    apart = body("add.s32 %r2, %r1, 1", "add.s32 %r3, %r1, 1", "add.s32 %r4, %r1, 1")
    assert profile(apart).critical_cycles == SCALAR


def test_a_load_feeds_every_register_that_it_writes():
    load = "ld.global.v2.b32 { %r1, %r2 }, [ %rd1 + 0 ]"
    assert profile(body(load, "add.s32 %r3, %r2, 1")).critical_cycles == GLOBAL + SCALAR


def test_a_predicate_is_waited_for():
    guarded = body("setp.lt.s32 %p1, %r1, %r2", "@!%p1 add.s32 %r3, %r4, 1")
    assert profile(guarded).critical_cycles == 2 * SCALAR


def test_a_shuffles_two_results_are_both_written():
    chain = body("shfl.sync.bfly.b32 %r2|%p1, %r1, 1, 31, -1", "@%p1 add.s32 %r3, %r4, 1")
    assert profile(chain).critical_cycles == SHUFFLE + SCALAR


def test_what_goes_through_shared_memory_waits_for_the_barrier():
    through = body("st.shared.b32 [%r1], %r2", "bar.sync 0", "ld.shared.b32 %r3, [%r4]")
    assert profile(through).critical_cycles == SHARED + BARRIER + SHARED


def test_a_store_writes_no_register():
    stored = body("ld.global.b32 %r1, [%rd1]", "st.global.b32 [%rd2], %r1", "add.s32 %r3, %rd2, 1")
    assert profile(stored).critical_cycles == 2 * GLOBAL


def kernel(*lines):
    """Lines that end in a colon are labels."""
    text = "".join(f"{line}\n" if line.endswith(":") else f"\t{line};\n" for line in lines)
    return f".visible .entry kernel(\n\t.param .u64 kernel_param_0\n)\n{{\n{text}}}\n"


def counted_loop(*inside, bound="[kernel_param_1]", step=32):
    """A loop as Triton's look: from 0 to a parameter, tested at its end."""
    return kernel(
        f"ld.param.b32 %r9, {bound}",
        "ld.param.b64 %rd1, [kernel_param_0]",
        "mov.b32 %r1, 0",
        "$L__BB0_1:",
        *inside,
        f"add.s32 %r1, %r1, {step}",
        "setp.lt.s32 %p1, %r1, %r9",
        "@%p1 bra $L__BB0_1",
        "ret",
    )


@pytest.mark.parametrize("size, trips", [(1, 1), (32, 1), (33, 2), (704, 22)])
def test_a_loops_body_counts_as_often_as_its_argument_says(size, trips):
    found = profile(counted_loop("ex2.approx.f32 %f1, %f2"), integers={1: size})
    assert found.instructions["special"] == trips


def test_the_iterations_of_a_loop_wait_for_one_another():
    one, many = (
        profile(counted_loop("ex2.approx.f32 %f1, %f1"), integers={1: 32 * trips}).critical_cycles
        for trips in (1, 5)
    )
    assert many - one == 4 * LATENCY_CYCLES["special"]


def test_where_the_data_decide_the_trips_nothing_is_known():
    found = profile(counted_loop("ex2.approx.f32 %f1, %f2"))
    assert (found.instructions, found.critical_cycles, found.streamed_bytes) == (None, None, None)


def test_where_the_data_decide_the_trips_the_launch_may_say_what_to_expect():
    found = profile(counted_loop("ex2.approx.f32 %f1, %f2"), data_trips=2.5)
    assert found.instructions["special"] == 2


def test_a_loop_in_a_loop_counts_the_product_of_their_trips():
    text = kernel(
        "mov.b32 %r1, 0",
        "$L__BB0_1:",
        "mov.b32 %r2, 6",
        "$L__BB0_2:",
        "ex2.approx.f32 %f1, %f2",
        "add.s32 %r2, %r2, -2",
        "setp.ne.b32 %p2, %r2, 0",
        "@%p2 bra $L__BB0_2",
        "add.s32 %r1, %r1, 1",
        "setp.eq.b32 %p1, %r1, 8",
        "@!%p1 bra $L__BB0_1",
        "ret",
    )
    assert profile(text).instructions["special"] == 24


def test_a_loop_that_is_tested_at_its_head_and_stands_after_its_exit_is_counted():
    text = kernel(
        "mov.b32 %r1, 0",
        "bra.uni $L__BB0_1",
        "$L__BB0_3:",
        "ret",
        "$L__BB0_1:",
        "setp.ge.s32 %p1, %r1, 7",
        "@%p1 bra $L__BB0_3",
        "ex2.approx.f32 %f1, %f2",
        "add.s32 %r1, %r1, 1",
        "bra.uni $L__BB0_1",
    )
    assert profile(text).instructions["special"] == 7


def test_the_halves_of_a_register_are_followed():
    text = kernel(
        "ld.param.b32 %r7, [kernel_param_1]",
        "mov.b64 %rd5, {%r6, %r7}",
        "mov.b64 {_, %r9}, %rd5",
        "mov.b32 %r1, 0",
        "$L__BB0_1:",
        "add.s32 %r1, %r1, 1",
        "setp.lt.s32 %p1, %r1, %r9",
        "@%p1 bra $L__BB0_1",
        "ex2.approx.f32 %f1, %f2",
        "ret",
    )
    assert profile(text, integers={1: 9}).instructions["scalar"] == 18


def test_what_is_added_to_a_wide_product_is_wide():
    text = kernel(
        "ld.param.b32 %r9, [kernel_param_1]",
        "mad.wide.u32 %rd9, %r9, 64, -64",
        "mov.b64 %rd1, 0",
        "$L__BB0_1:",
        "ex2.approx.f32 %f1, %f2",
        "add.s64 %rd1, %rd1, 64",
        "setp.ne.b64 %p1, %rd9, %rd1",
        "@%p1 bra $L__BB0_1",
        "ret",
    )
    assert profile(text, integers={1: 12}).instructions["special"] == 11


STREAMED = {"integers": {1: 320}, "streamed": frozenset({0}), "threads": 128}


def test_a_load_is_in_flight_until_its_result_is_needed():
    together = counted_loop(
        "ld.global.v4.b32 {%r2, %r3, %r4, %r5}, [%rd1]",
        "ld.global.b32 %r6, [%rd1 + 16]",
        "add.s32 %r7, %r2, %r6",
    )
    apart = counted_loop(
        "ld.global.v4.b32 {%r2, %r3, %r4, %r5}, [%rd1]",
        "add.s32 %r7, %r2, %r2",
        "ld.global.b32 %r6, [%rd1 + 16]",
    )
    assert profile(together, **STREAMED).in_flight_bytes == 20 * 128
    assert profile(apart, **STREAMED).in_flight_bytes == 16 * 128
    assert profile(together, **STREAMED).streamed_bytes == 20 * 128 * 10


def pipelined(stages):
    """A loop of copies, `stages - 1` of which are begun before it."""
    copy = ("cp.async.cg.shared.global [%r2], [%rd2], 0x10, %r3", "cp.async.commit_group")
    return kernel(
        "ld.param.b64 %rd1, [kernel_param_0]",
        "add.s64 %rd2, %rd1, %rd7",
        *copy * (stages - 1),
        "mov.b32 %r1, 0",
        "$L__BB0_1:",
        f"cp.async.wait_group {stages - 2}",
        "ld.shared.b32 %r4, [%r2]",
        *copy,
        "add.s32 %r1, %r1, 1",
        "setp.lt.s32 %p1, %r1, 10",
        "@%p1 bra $L__BB0_1",
        "ret",
    )


@pytest.mark.parametrize("stages", [2, 3, 5])
def test_a_pipeline_keeps_all_stages_but_one_in_flight(stages):
    found = profile(pipelined(stages), **STREAMED)
    assert found.in_flight_bytes == (stages - 1) * 16 * 128
    # What the last iterations copy lies beyond the end: nothing.
    assert found.streamed_bytes == 10 * 16 * 128


def test_what_does_not_come_from_a_streamed_tensor_is_not_in_flight():
    found = profile(pipelined(3), integers={}, streamed=frozenset({1}), threads=128)
    assert (found.in_flight_bytes, found.streamed_bytes) == (0, 0)


def test_threads_that_are_guarded_off_keep_nothing_in_flight():
    text = kernel(
        "ld.param.b64 %rd1, [kernel_param_0]",
        "mov.u32 %r1, %tid.x",
        "and.b32 %r2, %r1, 96",
        "setp.eq.b32 %p1, %r2, 0",
        "@%p1 ld.global.b64 %rd2, [%rd1]",
        "ret",
    )
    assert profile(text, **STREAMED).in_flight_bytes == 8 * 32
