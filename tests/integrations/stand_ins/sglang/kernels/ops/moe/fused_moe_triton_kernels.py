"""Stands in for SGLang's module: the names and signatures that the workbench calls, in SGLang's order."""

import triton
import triton.language as tl
from grouped_gemm import block


@triton.jit
def fused_moe_kernel(
    a_ptr, a_desc, b_ptr, b_desc, bias_ptr, c_ptr, topk_weights_ptr, sorted_token_ids_ptr, expert_ids_ptr,
    num_tokens_post_padded_ptr, N, K, EM, num_valid_tokens, stride_am, stride_be, stride_bn, stride_cm,
    BLOCK_SIZE_M: tl.constexpr, BLOCK_SIZE_N: tl.constexpr, BLOCK_SIZE_K: tl.constexpr,
    GROUP_SIZE_M: tl.constexpr, MUL_ROUTED_WEIGHT: tl.constexpr, top_k: tl.constexpr, even_Ks: tl.constexpr,
    FUSE_SWIGLU: tl.constexpr = False,
):  # fmt: skip
    block(
        a_ptr, b_ptr, c_ptr, topk_weights_ptr, sorted_token_ids_ptr, expert_ids_ptr, num_tokens_post_padded_ptr,
        N, K, EM, num_valid_tokens, stride_am, stride_be, stride_bn, stride_cm,
        MUL_ROUTED_WEIGHT, top_k, False, BLOCK_SIZE_M, BLOCK_SIZE_N, BLOCK_SIZE_K,
    )  # fmt: skip


def invoke_fused_moe_kernel(
    A, B, bias, C, A_scale, B_scale, B_zp, topk_weights, topk_ids, sorted_token_ids, expert_ids,
    num_tokens_post_padded, mul_routed_weight, top_k, config, compute_type, use_fp8_w8a8, use_int8_w8a8,
    use_int8_w8a16, use_int4_w4a16, per_channel_quant, block_shape=None, filter_expert=True,
):  # fmt: skip
    length = sorted_token_ids.shape[0]
    fused_moe_kernel[
        lambda meta: (triton.cdiv(length, meta["BLOCK_SIZE_M"]) * triton.cdiv(B.shape[1], meta["BLOCK_SIZE_N"]),)
    ](
        A, None, B, None, bias, C, topk_weights, sorted_token_ids, expert_ids, num_tokens_post_padded,
        B.shape[1], B.shape[2], length, topk_ids.numel(), A.stride(0), B.stride(0), B.stride(1), C.stride(-2),
        MUL_ROUTED_WEIGHT=mul_routed_weight, top_k=top_k, even_Ks=B.shape[2] % config["BLOCK_SIZE_K"] == 0, **config,
    )  # fmt: skip


def moe_sum_reduce_triton(input, output, routed_scaling_factor):
    output.copy_(input.float().sum(1) * routed_scaling_factor)
