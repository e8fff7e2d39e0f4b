"""Generation: one token a step, or as many as the target agrees to with an assistant's draft."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from workbench.models.gemma4.assistant import Gemma4Assistant
from workbench.models.gemma4.generation import DecodingModel, Generation, Request, finish
from workbench.models.gemma4.graph import captured
from workbench.models.gemma4.speculative import generate_speculatively

# Steps between two looks at whether all sequences have ended; each look waits for the GPU.
STEPS_BETWEEN_LOOKS = 16


def generate(model: DecodingModel, request: Request, assistant: Gemma4Assistant | None) -> Generation:
    """Runs a request, by plain decoding or with the assistant.

    Raises:
        ValueError: the sequences are longer than the model takes, or the assistant is not one for this model.
    """
    width = request.ids.shape[1]
    limit = model.config.max_position_embeddings
    if width + request.max_new_tokens > limit:
        raise ValueError(
            f"max_new_tokens: with {width} tokens of prompt must be up to max_position_embeddings ({limit}) "
            f"less those, got {request.max_new_tokens}"
        )
    if request.draft_tokens and assistant is None:
        raise ValueError(f"draft_tokens: must be 0 without an assistant, got {request.draft_tokens}")
    if assistant is None or not request.draft_tokens:
        return _decode(model, request)
    return generate_speculatively(model, assistant, request)


def _decode(model: DecodingModel, request: Request) -> Generation:
    batch, width = request.ids.shape
    cache = model.new_cache(batch, width + request.max_new_tokens)
    select, ends = request.select(), request.ends()
    hidden = model.start(request.ids, request.lengths, cache)
    tokens = select(model.logits(hidden))[:, None]
    new, done = [tokens], torch.isin(tokens, ends)
    step = captured(partial(model.step, cache=cache), tokens, enabled=request.captures)
    while len(new) < request.max_new_tokens and not _all_ended(done, len(new), request):
        logits, _ = step(tokens)
        cache.lengths += 1
        tokens = torch.where(done, tokens, select(logits))
        done = done | torch.isin(tokens, ends)
        new.append(tokens)
    steps = len(new) - 1
    new.extend([tokens] * (request.max_new_tokens - len(new)))
    return finish(model, request, torch.cat(new, dim=1), steps=steps)


def _all_ended(done: Tensor, steps: int, request: Request) -> bool:
    looks = not done.is_cuda or steps % STEPS_BETWEEN_LOOKS == 0
    return bool(request.eos) and looks and bool(done.all())
