"""Models of transformers drawn afresh, and ours with the same weights."""

from __future__ import annotations

import logging

import torch
from hypothesis import strategies as st
from transformers import Gemma4AssistantConfig as HfAssistantConfig
from transformers import Gemma4AssistantForCausalLM as HfAssistant
from transformers.models.gemma4.configuration_gemma4 import Gemma4TextConfig as HfTextConfig
from transformers.models.gemma4.modeling_gemma4 import Gemma4ForCausalLM as HfModel

from workbench.models.gemma4 import Gemma4Assistant, Gemma4AssistantConfig, Gemma4Config, Gemma4ForCausalLM

FP32 = {"rtol": 1e-4, "atol": 1e-4}
VOCABULARY = 48
SLIDING, FULL = "sliding_attention", "full_attention"
# It warns of a key that it then reads.
logging.getLogger("transformers.modeling_rope_utils").setLevel(logging.ERROR)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def fields_of_configs(draw):
    """Fields for `hf_config`, of every shape that matters: heads, windows, ropes, k_eq_v, capping, experts."""
    layers = draw(st.sampled_from([[FULL], [SLIDING, FULL], [SLIDING, SLIDING, FULL], [FULL, SLIDING, FULL]]))
    kv_heads, full_kv_heads = draw(st.sampled_from([1, 2])), draw(st.sampled_from([1, 2]))
    experts = draw(st.integers(1, 6))
    drawn = {
        "hidden_size": draw(st.sampled_from([12, 16, 32])),
        "intermediate_size": draw(st.integers(4, 20)),
        "num_attention_heads": draw(st.sampled_from([2, 4])),
        "num_key_value_heads": kv_heads,
        "num_global_key_value_heads": full_kv_heads,
        "head_dim": draw(st.sampled_from([8, 12])),
        "global_head_dim": draw(st.sampled_from([8, 16])),
        "attention_k_eq_v": draw(st.booleans()),
        "attention_bias": draw(st.booleans()),
        "sliding_window": draw(st.integers(1, 9)),
        "enable_moe_block": draw(st.booleans()),
        "num_experts": experts,
        "top_k_experts": draw(st.integers(1, experts)),
        "moe_intermediate_size": draw(st.integers(4, 12)),
        "final_logit_softcapping": draw(st.sampled_from([None, 2.0, 30.0])),
        "tie_word_embeddings": draw(st.booleans()),
        "rope_parameters": {
            SLIDING: {"rope_type": "default", "rope_theta": draw(st.sampled_from([100.0, 1e4]))},
            FULL: {
                "rope_type": "proportional",
                "rope_theta": 1e6,
                "partial_rotary_factor": draw(st.sampled_from([0.25, 0.6, 1.0])),
                "factor": draw(st.sampled_from([1.0, 2.0])),
            },
        },
    }
    return {"layer_types": layers, **drawn}


def hf_config(**changes):
    fields = {
        "vocab_size": VOCABULARY,
        "layer_types": [SLIDING, FULL, SLIDING, FULL],
        "hidden_size": 32,
        "intermediate_size": 24,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_global_key_value_heads": 1,
        "head_dim": 8,
        "global_head_dim": 16,
        "attention_k_eq_v": True,
        "sliding_window": 5,
        "max_position_embeddings": 128,
        "enable_moe_block": True,
        "num_experts": 4,
        "top_k_experts": 2,
        "moe_intermediate_size": 8,
        "hidden_size_per_layer_input": 0,
        "final_logit_softcapping": 5.0,
        **changes,
    }
    config = HfTextConfig(num_hidden_layers=len(fields["layer_types"]), **fields)
    # The other implementations take only sizes that are aligned.
    config._experts_implementation = "eager"
    return config


@torch.no_grad()
def initialise(module):
    """Weights far from their neutral values, so that one left out or exchanged shows; outputs that vary."""
    for tensor in {id(tensor): tensor for tensor in module.state_dict(keep_vars=True).values()}.values():
        if not tensor.is_floating_point():
            tensor.copy_(torch.randperm(tensor.numel()))
        elif tensor.dim() > 1:
            tensor.normal_(0.0, tensor.shape[-1] ** -0.5)
        else:
            tensor.normal_(1.0, 0.3)
    return module.eval()


def draw_models(hf, seed, dtype=torch.float32):
    """A model of transformers and ours with the same weights."""
    torch.manual_seed(seed)
    theirs = initialise(HfModel(hf)).to(dtype)
    ours = Gemma4ForCausalLM(Gemma4Config.from_hf(hf.to_dict()), dtype=dtype)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def random_ids(batch, width, vocabulary=VOCABULARY):
    return torch.randint(0, vocabulary, (batch, width))


@torch.no_grad()
def their_logits(theirs, ids):
    """Logits at every position of one sequence, given as a list."""
    return theirs(torch.tensor([ids])).logits[0]


def hf_assistant_config(target, **changes):
    """An assistant for this target, with the heads that reading its cache takes."""
    shared = ("vocab_size", "head_dim", "num_key_value_heads", "sliding_window")
    heads = ("global_head_dim", "num_global_key_value_heads")
    ours = Gemma4Config.from_hf(target.to_dict())
    text = {
        **{name: getattr(ours, name) for name in (*shared, *heads)},
        "layer_types": [SLIDING, FULL],
        "hidden_size": 12,
        "num_attention_heads": 4,
        "final_logit_softcapping": None,
        "vocab_size_per_layer_input": 0,
        "enable_moe_block": False,
        **dict.fromkeys(("num_experts", "top_k_experts", "moe_intermediate_size")),
        **changes.pop("text", {}),
    }
    config = hf_config(**text)
    config.num_kv_shared_layers = config.num_hidden_layers
    return HfAssistantConfig(text_config=config, backbone_hidden_size=ours.hidden_size, **changes)


def draw_assistants(hf, seed):
    """An assistant of transformers and ours with the same weights."""
    torch.manual_seed(seed)
    theirs = initialise(HfAssistant(hf))
    ours = Gemma4Assistant(Gemma4AssistantConfig.from_hf(hf.to_dict()))
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs
