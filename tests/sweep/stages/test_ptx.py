from __future__ import annotations

from workbench.sweep.stages.ptx import LATENCY_CYCLES, profile

SCALAR, SHARED, GLOBAL, SHUFFLE, BARRIER = (
    LATENCY_CYCLES[kind] for kind in ("scalar", "shared", "global", "shuffle", "barrier")
)


def body(*lines):
    text = "".join(f"\t{line};\n" for line in lines)
    return f".visible .entry kernel(\n\t.param .u64 a\n)\n{{\n\t.reg .b32 %r<9>;\n$L__BB0_1:\n{text}}}\n"


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
