"""Stands in for the engine's module: a routing kernel of the same shape."""

import triton
import triton.language as tl


@triton.jit
def _gemma4_routing_kernel(
    gating_ptr, per_expert_scale_ptr, topk_weights_ptr, topk_ids_ptr, stride_g_t,
    E: tl.constexpr, K: tl.constexpr, BLOCK_E: tl.constexpr,
):  # fmt: skip
    row, lanes = tl.program_id(0), tl.arange(0, BLOCK_E)
    logits = tl.load(gating_ptr + row * stride_g_t + lanes, mask=lanes < E, other=-float("inf")).to(
        tl.float32
    )
    largest, total, left = tl.max(logits, axis=0), 0.0, logits
    for _ in range(K):
        best = tl.argmax(left, axis=0)
        total += tl.exp(tl.max(left, axis=0) - largest)
        left = tl.where(lanes == best, -float("inf"), left)
    left = logits
    for slot in range(K):
        best = tl.argmax(left, axis=0)
        weight = tl.exp(tl.max(left, axis=0) - largest) / total
        tl.store(
            topk_weights_ptr + row * K + slot, weight * tl.load(per_expert_scale_ptr + best).to(tl.float32)
        )
        tl.store(topk_ids_ptr + row * K + slot, best.to(tl.int32))
        left = tl.where(lanes == best, -float("inf"), left)
