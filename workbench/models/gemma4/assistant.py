"""The multi-token-prediction assistant: drafts tokens from the target's hidden state, keys and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from workbench.models.gemma4.assistant_config import Gemma4AssistantConfig
from workbench.models.gemma4.attention import AttentionInputs
from workbench.models.gemma4.checks import check_shape
from workbench.models.gemma4.kv_cache import LayerCache
from workbench.models.gemma4.layer_types import LayerType
from workbench.models.gemma4.passes import draft_pass
from workbench.models.gemma4.rope import rotation_tables
from workbench.models.gemma4.text_model import Gemma4TextModel

Pass = Mapping[LayerType, AttentionInputs]


class Draft(NamedTuple):
    """One drafted position: its logits [B, 1, V], and the state [B, 1, target's H] that the next starts from."""

    logits: Tensor
    state: Tensor


class Gemma4Assistant(nn.Module):
    """A small dense model whose layers ask the target's last layer of the same kind.

        z      = pre_projection([target embedding of the last token, target's hidden state before it])
        h      = norm(layers(z))
        logits = lm_head(h)
        state  = post_projection(h), in the place of the hidden state for the next token

    Every drafted token is computed at the position of the last token that is known. Parameters as in the
    checkpoint: `model.*`, `pre_projection`, `post_projection`, `lm_head` and, with ordered embeddings,
    `masked_embedding.*`. Built from its own config alone: neither experts nor how the target is spread over
    devices plays a part.

    Args:
        config: the assistant.
        device: where the parameters live.
        dtype: of the parameters; None takes torch's default.
    """

    def __init__(
        self,
        config: Gemma4AssistantConfig,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        text, backbone = config.text, config.backbone_hidden_size
        place = {"device": device, "dtype": dtype}
        self.model = Gemma4TextModel(text, query_only=True, device=device, dtype=dtype)
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False, **place)
        self.pre_projection = nn.Linear(2 * backbone, text.hidden_size, bias=False, **place)
        self.post_projection = nn.Linear(text.hidden_size, backbone, bias=False, **place)
        self.masked_embedding = (
            Gemma4MaskedEmbedding(config, device=device, dtype=dtype)
            if config.use_ordered_embeddings
            else None
        )
        self.tie_weights()

    @classmethod
    def random(
        cls,
        config: Gemma4AssistantConfig,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        seed: int = 0,
    ) -> Gemma4Assistant:
        """An assistant with random weights, drawn where they will live; see `Gemma4ForCausalLM.random`."""
        from workbench.models.gemma4.weights import draw_weights

        return draw_weights(cls(config, device="meta", dtype=dtype), device, seed)

    def tie_weights(self) -> None:
        """Makes the output projection the assistant's own embedding, where the config says so."""
        if self.config.text.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(
        self,
        inputs_embeds: Tensor,
        shared_kv_states: Mapping[LayerType, tuple[Tensor, Tensor]],
        position_ids: Tensor,
        lengths: Tensor | None = None,
    ) -> Draft:
        """Drafts one token from tensors laid out as transformers has them.

        Args:
            inputs_embeds: [B, 1, 2 x target's H], scaled embedding and hidden state.
            shared_kv_states: keys and values, each [B, KV heads, T, D], of the target's last layer of each kind.
            position_ids: int [B, 1].
            lengths: int [B], how many of the T tokens are real where some are padded on the right.

        Raises:
            ValueError: `inputs_embeds` has another shape.
        """
        check_shape("inputs_embeds", inputs_embeds, "B", 1, 2 * self.config.backbone_hidden_size)
        caches = {
            layer_type: LayerCache(keys.transpose(1, 2), values.transpose(1, 2))
            for layer_type, (keys, values) in shared_kv_states.items()
        }
        batch = inputs_embeds.shape[0]
        rotations = rotation_tables(
            self.config.text,
            int(position_ids.max()) + 1,
            device=inputs_embeds.device,
            dtype=inputs_embeds.dtype,
        )
        held = {
            layer_type: torch.arange(cache.slots, device=inputs_embeds.device).expand(batch, -1)
            for layer_type, cache in caches.items()
        }
        known = torch.full_like(position_ids[:, 0], next(iter(caches.values())).slots)
        inputs = draft_pass(
            self.config.text, rotations, held, known if lengths is None else lengths, position_ids[:, 0]
        )
        return self.step(inputs_embeds, inputs, caches)

    def step(self, inputs_embeds: Tensor, inputs: Pass, caches: Mapping[LayerType, LayerCache]) -> Draft:
        """Drafts one token without checks or host synchronisation.

        Args:
            inputs_embeds: [B, 1, 2 x target's H].
            inputs: of a `draft_pass`.
            caches: of the target's last layer of each kind.
        """
        by_layer = [caches[layer_type] for layer_type in self.config.text.layer_types]
        hidden = self.model.norm(self.model(self.pre_projection(inputs_embeds), inputs, by_layer))
        masked = self.masked_embedding
        logits = self.lm_head(hidden) if masked is None else masked(hidden, self.lm_head.weight)
        return Draft(logits, self.post_projection(hidden))


class Gemma4MaskedEmbedding(nn.Module):
    """Scores only the tokens of the likeliest clusters of the vocabulary.

    Parameters as in the checkpoint: `centroids.weight` [C, H] and the buffer `token_ordering` [V], in which the
    V / C tokens of each cluster follow one another.

    Args:
        config: the assistant.
        device: where the parameters live.
        dtype: of the parameters; None takes torch's default.
    """

    token_ordering: Tensor

    def __init__(
        self,
        config: Gemma4AssistantConfig,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_centroids, self.top_k = config.num_centroids, config.centroid_intermediate_top_k
        hidden, vocabulary = config.text.hidden_size, config.text.vocab_size
        self.centroids = nn.Linear(hidden, self.num_centroids, bias=False, device=device, dtype=dtype)
        self.register_buffer("token_ordering", torch.arange(vocabulary, device=device))

    def forward(self, hidden: Tensor, head: Tensor) -> Tensor:
        """Logits of all tokens, with one less than the smallest computed one where none was computed.

        Args:
            hidden: [B, S, H].
            head: the output projection's weight [V, H].

        Returns:
            [B, S, V] in the dtype of `hidden`.
        """
        clusters = self.centroids(hidden).topk(self.top_k, dim=-1).indices
        tokens = self.token_ordering.view(self.num_centroids, -1)[clusters].flatten(-2)
        scores = (head[tokens] @ hidden.unsqueeze(-1)).squeeze(-1)
        floor = (scores.min() - 1).expand(*hidden.shape[:-1], head.shape[0])
        return floor.scatter(-1, tokens, scores)
