"""Stands in for vLLM's module: the names and signatures that the workbench calls, by plain code."""

import triton
import triton.language as tl
from grouped_gemm import block

from vllm.model_executor.layers.fused_moe import get_config


@triton.jit
def fused_moe_kernel(
    a_ptr, b_ptr, c_ptr, b_bias_ptr, topk_weights_ptr, sorted_token_ids_ptr, expert_ids_ptr,
    num_tokens_post_padded_ptr, N, K, EM, num_valid_tokens, stride_am, stride_be, stride_bn, stride_cm,
    naive_block_assignment: tl.constexpr,
    BLOCK_SIZE_M: tl.constexpr, BLOCK_SIZE_N: tl.constexpr, BLOCK_SIZE_K: tl.constexpr,
    GROUP_SIZE_M: tl.constexpr, SPLIT_K: tl.constexpr, MUL_ROUTED_WEIGHT: tl.constexpr, top_k: tl.constexpr,
):  # fmt: skip
    block(
        a_ptr, b_ptr, c_ptr, topk_weights_ptr, sorted_token_ids_ptr, expert_ids_ptr, num_tokens_post_padded_ptr,
        N, K, EM, num_valid_tokens, stride_am, stride_be, stride_bn, stride_cm,
        MUL_ROUTED_WEIGHT, top_k, naive_block_assignment, BLOCK_SIZE_M, BLOCK_SIZE_N, BLOCK_SIZE_K,
    )  # fmt: skip


def invoke_fused_moe_triton_kernel(
    A, B, C, A_scale, B_scale, topk_weights, sorted_token_ids, expert_ids, num_tokens_post_padded,
    mul_routed_weight, top_k, config, compute_type, use_fp8_w8a8, use_int8_w8a8, use_int8_w8a16, use_int4_w4a16,
    per_channel_quant, block_shape=None, B_bias=None,
):  # fmt: skip
    naive = sorted_token_ids is None
    rows = A.size(0) * top_k
    length = rows * config["BLOCK_SIZE_M"] if naive else sorted_token_ids.size(0)
    config = {**config, "SPLIT_K": 1}
    fused_moe_kernel[
        lambda meta: (triton.cdiv(length, meta["BLOCK_SIZE_M"]) * triton.cdiv(B.size(1), meta["BLOCK_SIZE_N"]),)
    ](
        A, B, C, B_bias, topk_weights, sorted_token_ids, expert_ids, num_tokens_post_padded,
        B.size(1), B.size(2), length, rows, A.stride(0), B.stride(0), B.stride(1), C.stride(1),
        naive_block_assignment=naive, MUL_ROUTED_WEIGHT=mul_routed_weight, top_k=top_k, **config,
    )  # fmt: skip


def fused_experts(hidden_states, w1, w2, topk_weights, topk_ids, activation):
    """Answers with what it was called with, to see that a config is in force."""
    return hidden_states * get_config()["num_stages"] + (activation.value == "gelu_tanh")
