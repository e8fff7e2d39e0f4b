"""One Triton launch for the routing of T tokens: top-k, softmax over the selected logits, per-expert scale.

Every algorithm ranks *keys*: integers that order as the logits do, with the expert id in their low bits so that equal
logits go to the lowest id. NaN of either sign is the greatest key, and both zeros are one key. The logits are read
back from the winning keys, so nothing is gathered from memory after the ranking.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Unrolling more rounds than this only costs compile time: the rounds depend on each other.
MAX_UNROLLED_ROUNDS = tl.constexpr(16)
INT32_MIN = tl.constexpr(-(2**31))
INT64_MIN = tl.constexpr(-(2**63))


@triton.jit
def _order_key(logits):
    """Maps float bits to an int32 that orders as the values do; 16-bit logits stay within 16 bits."""
    # Integers throughout: float comparisons may flush denormals, and would then tie them with zero.
    if logits.dtype.primitive_bitwidth == 16:
        bits = logits.to(tl.int16, bitcast=True).to(tl.int32)
        all_but_sign: tl.constexpr = 0x7FFF
        infinity: tl.constexpr = 0x7F80 if logits.dtype == tl.bfloat16 else 0x7C00
    else:
        bits = logits.to(tl.int32, bitcast=True)
        all_but_sign: tl.constexpr = 0x7FFFFFFF
        infinity: tl.constexpr = 0x7F800000
    magnitude = bits & all_but_sign
    key = tl.where(bits < 0, bits ^ all_but_sign, bits)
    key = tl.where(magnitude == 0, 0, key)
    return tl.where(magnitude > infinity, all_but_sign, key)


@triton.jit
def _key_logit(key, DTYPE: tl.constexpr):
    """Inverts `_order_key`, as fp32: the NaN key gives NaN, the zero key +0."""
    if DTYPE.primitive_bitwidth == 16:
        bits = tl.where(key < 0, key ^ 0x7FFF, key)
        logit = bits.to(tl.int16).to(DTYPE, bitcast=True).to(tl.float32)
    else:
        bits = tl.where(key < 0, key ^ 0x7FFFFFFF, key)
        logit = bits.to(tl.float32, bitcast=True)
    return logit


@triton.jit
def _pack64(key, tie_break):
    return (key.to(tl.int64) << 32) | tie_break.to(tl.int64)


@triton.jit
def _rank_by_sort(key, tie_break, valid):
    """All experts in order, by one sort over 64-bit keys; returns keys and tie-breaks, each [R, E]."""
    packed = tl.sort(tl.where(valid, _pack64(key, tie_break), INT64_MIN), descending=True)
    return (packed >> 32).to(tl.int32), (packed & 0xFFFFFFFF).to(tl.int32)


@triton.jit
def _rank_by_topk(key, tie_break, valid, BLOCK_K: tl.constexpr, KEY_BITS: tl.constexpr):
    """The first BLOCK_K experts in order, by a partial bitonic sort over packed keys."""
    if KEY_BITS == 16:
        packed = tl.topk(tl.where(valid, (key << 16) | tie_break, INT32_MIN), BLOCK_K)
        ranked = packed >> 16
        ties = packed & 0xFFFF
    else:
        wide = tl.topk(tl.where(valid, _pack64(key, tie_break), INT64_MIN), BLOCK_K)
        ranked = (wide >> 32).to(tl.int32)
        ties = (wide & 0xFFFFFFFF).to(tl.int32)
    return ranked, ties


@triton.jit
def _select_round(packed, best, slots, k, LOWEST: tl.constexpr):
    """Moves the greatest packed key of each row into slot k."""
    greatest = tl.max(packed, axis=1)[:, None]
    return tl.where(packed == greatest, LOWEST, packed), tl.where(slots == k, greatest, best)


@triton.jit
def _select_rounds(packed, slots, K: tl.constexpr, LOWEST: tl.constexpr):
    """K rounds of a maximum over packed keys [R, E]; returns the K greatest in order, [R, BLOCK_K]."""
    best = tl.full((packed.shape[0], slots.shape[1]), LOWEST, packed.dtype)
    if K <= MAX_UNROLLED_ROUNDS:
        for k in tl.static_range(K):
            packed, best = _select_round(packed, best, slots, k, LOWEST)
    else:
        for k in range(K):
            packed, best = _select_round(packed, best, slots, k, LOWEST)
    return best


@triton.jit
def _rank_by_select(key, tie_break, valid, slots, K: tl.constexpr, KEY_BITS: tl.constexpr):
    if KEY_BITS == 16:
        packed = _select_rounds(tl.where(valid, (key << 16) | tie_break, INT32_MIN), slots, K, INT32_MIN)
        ranked = packed >> 16
        ties = packed & 0xFFFF
    else:
        wide = _select_rounds(tl.where(valid, _pack64(key, tie_break), INT64_MIN), slots, K, INT64_MIN)
        ranked = (wide >> 32).to(tl.int32)
        ties = (wide & 0xFFFFFFFF).to(tl.int32)
    return ranked, ties


@triton.jit
def _two_step_round(key, tie_break, ranked, ties, slots, k):
    """Moves each row's greatest key, and among equal ones its greatest tie-break, into slot k."""
    greatest = tl.max(key, axis=1)[:, None]
    tie = tl.max(tl.where(key == greatest, tie_break, -1), axis=1)[:, None]
    here = slots == k
    return (
        tl.where(tie_break == tie, INT32_MIN, key),
        tl.where(here, greatest, ranked),
        tl.where(here, tie, ties),
    )


@triton.jit
def _rank_by_two_step(key, tie_break, valid, slots, K: tl.constexpr):
    """K rounds of two 32-bit maxima (key, then tie-break): a warp reduces 32 bits in one instruction, not 64."""
    key = tl.where(valid, key, INT32_MIN)
    ranked = tl.full((key.shape[0], slots.shape[1]), INT32_MIN, tl.int32)
    ties = tl.full((key.shape[0], slots.shape[1]), 0, tl.int32)
    if K <= MAX_UNROLLED_ROUNDS:
        for k in tl.static_range(K):
            key, ranked, ties = _two_step_round(key, tie_break, ranked, ties, slots, k)
    else:
        for k in range(K):
            key, ranked, ties = _two_step_round(key, tie_break, ranked, ties, slots, k)
    return ranked, ties


@triton.jit
def _softmax(logits, selected):
    """Softmax over the selected slots of each row, as torch defines it: NaN and +inf make the whole row NaN."""
    greatest = tl.max(tl.where(selected, logits, float("-inf")), axis=1)[:, None]
    exponentials = tl.where(selected, tl.exp(logits - greatest), 0.0)
    return exponentials / tl.sum(exponentials, axis=1)[:, None]


@triton.jit(do_not_specialize=["num_tokens"])
def routing_kernel(
    logits_ptr,
    scale_ptr,
    weights_ptr,
    ids_ptr,
    num_tokens,
    logits_stride,
    E: tl.constexpr,
    K: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_K: tl.constexpr,
    TOKENS: tl.constexpr,
    ALGORITHM: tl.constexpr,
    SCALE_ROW: tl.constexpr,
):
    tokens = tl.program_id(0).to(tl.int64) * TOKENS + tl.arange(0, TOKENS)[:, None]
    experts = tl.arange(0, BLOCK_E)[None, :]
    in_range = tokens < num_tokens
    valid = experts < E
    logits = tl.load(logits_ptr + tokens * logits_stride + experts, mask=in_range & valid, other=0.0)
    if SCALE_ROW:
        # Issued together with the logits, so that its latency is hidden behind theirs.
        scale_row = tl.load(scale_ptr + experts, mask=valid, other=0.0).to(tl.float32)

    key = _order_key(logits)
    tie_break = tl.broadcast_to(BLOCK_E - 1 - experts, (TOKENS, BLOCK_E))
    KEY_BITS: tl.constexpr = logits.dtype.primitive_bitwidth
    WIDTH: tl.constexpr = BLOCK_E if ALGORITHM == "sort" else BLOCK_K
    slots = tl.arange(0, WIDTH)[None, :]
    if ALGORITHM == "sort":
        ranked, ties = _rank_by_sort(key, tie_break, valid)
    elif ALGORITHM == "topk":
        ranked, ties = _rank_by_topk(key, tie_break, valid, BLOCK_K, KEY_BITS)
    elif ALGORITHM == "select":
        ranked, ties = _rank_by_select(key, tie_break, valid, slots, K, KEY_BITS)
    else:
        tl.static_assert(ALGORITHM == "two_step", "unknown routing algorithm")
        ranked, ties = _rank_by_two_step(key, tie_break, valid, slots, K)

    selected = slots < K
    ids = tl.where(selected, BLOCK_E - 1 - ties, 0)
    weights = _softmax(_key_logit(ranked, logits.dtype), selected)
    if SCALE_ROW:
        scale = tl.gather(tl.broadcast_to(scale_row, (TOKENS, BLOCK_E)), ids, axis=1)
    else:
        scale = tl.load(scale_ptr + ids, mask=in_range & selected, other=0.0).to(tl.float32)
    slot_offsets = tokens * K + slots
    tl.store(weights_ptr + slot_offsets, weights * scale, mask=in_range & selected)
    tl.store(ids_ptr + slot_offsets, ids, mask=in_range & selected)
