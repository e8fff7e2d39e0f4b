from workbench.integrations.targets.alignment import align


def moe_align_block_size(topk_ids, block_size, num_experts):
    found = align(topk_ids, block_size, num_experts)
    return found.sorted_token_ids, found.expert_ids, found.num_tokens_post_padded
