"""Tiny Gemma 4 models of transformers, their ids, and what they answer."""

from __future__ import annotations

import torch
from transformers import Gemma4Config, Gemma4ForCausalLM, Gemma4ForConditionalGeneration, Gemma4TextModel

from tests.models.gemma4.twins import FULL, SLIDING, VOCABULARY, hf_config, initialise

VISION = {
    "num_hidden_layers": 1,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "position_embedding_size": 16,
}
# With a window smaller than the prompt.
IDS = torch.randint(0, VOCABULARY, (2, 7), generator=torch.Generator().manual_seed(0))


def text_config(**changes):
    return hf_config(**{"layer_types": [SLIDING, FULL], **changes})


def causal_model(seed=0, dtype=torch.float32, **changes):
    torch.manual_seed(seed)
    return initialise(Gemma4ForCausalLM(text_config(**changes))).to(dtype)


def text_model(seed=0):
    torch.manual_seed(seed)
    return initialise(Gemma4TextModel(text_config()))


def multimodal_model(seed=0):
    torch.manual_seed(seed)
    config = Gemma4Config(text_config=text_config().to_dict(), vision_config=VISION, audio_config=None)
    config._experts_implementation = "eager"
    return initialise(Gemma4ForConditionalGeneration(config))


@torch.no_grad()
def answer(model, ids=IDS):
    """The tensor that a model gives first: logits, or hidden states where it has no head."""
    return model(ids)[0]


def tokens(model, count=8):
    return model.generate(IDS, max_new_tokens=count, do_sample=False)
