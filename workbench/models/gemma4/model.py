"""The language model: prefill, decode and generation."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from workbench.models.gemma4.assistant import Gemma4Assistant
from workbench.models.gemma4.checks import check_ids, check_integer, check_lengths, check_shape
from workbench.models.gemma4.config import Gemma4Config
from workbench.models.gemma4.generate import generate
from workbench.models.gemma4.generation import Generation, Request
from workbench.models.gemma4.kv_cache import StaticKVCache, layer_specs
from workbench.models.gemma4.passes import Rotations, chunk_pass, step_pass, whole_pass
from workbench.models.gemma4.rope import rotation_tables
from workbench.models.gemma4.router import Routing
from workbench.models.gemma4.text_model import Gemma4TextModel
from workbench.models.gemma4.weights import draw_weights

# Bounds what a prefill holds at a time: tokens of all sequences in one pass, and columns of it.
PREFILL_TOKENS = 2048
PREFILL_COLUMNS = 512

_UNSUPPORTED = ("hidden_size_per_layer_input", "num_kv_shared_layers")


class Gemma4ForCausalLM(nn.Module):
    """Gemma 4's text model with its output projection; parameters as transformers names them.

    Args:
        config: the model.
        routing: as in `Gemma4Router`.
        device: where the parameters live.
        dtype: of the parameters; None takes torch's default.

    Raises:
        ValueError: the config uses a feature that this model lacks; names the field.
    """

    def __init__(
        self,
        config: Gemma4Config,
        *,
        routing: Routing = "fused",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name in _UNSUPPORTED:
            if getattr(config, name):
                raise ValueError(
                    f"{name}: must be 0, this model has no such layers, got {getattr(config, name)}"
                )
        self.config = config
        self.model = Gemma4TextModel(config, routing=routing, device=device, dtype=dtype)
        self.lm_head = nn.Linear(
            config.hidden_size,
            config.vocab_size,
            bias=False,
            device="meta" if config.tie_word_embeddings else device,
            dtype=dtype,
        )
        self.tie_weights()

    @classmethod
    def random(
        cls,
        config: Gemma4Config,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        seed: int = 0,
        *,
        routing: Routing = "fused",
    ) -> Gemma4ForCausalLM:
        """A model with random weights, drawn where they will live.

        Args:
            config: the model.
            device: where the weights are drawn and stay.
            dtype: of the weights; None takes torch's default.
            seed: the same one gives the same weights on the same kind of device.
            routing: as in `Gemma4Router`.
        """
        return draw_weights(cls(config, routing=routing, device="meta", dtype=dtype), device, seed)

    def tie_weights(self) -> None:
        """Makes the output projection the embedding, where the config says so."""
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return self.model.embed_tokens.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return self.model.embed_tokens.weight.dtype

    def new_cache(self, batch: int, max_tokens: int, *, draft_tokens: int = 0) -> StaticKVCache:
        """An empty cache for this model.

        Args:
            batch: B, sequences.
            max_tokens: tokens of the longest sequence.
            draft_tokens: tokens that a step writes ahead, beyond the one that it is sure of.

        Raises:
            ValueError: an argument is out of range; sequences end at `max_position_embeddings`.
        """
        check_integer("max_tokens", max_tokens, at_least=1)
        check_integer("draft_tokens", draft_tokens, at_least=0)
        if max_tokens > self.config.max_position_embeddings:
            raise ValueError(
                f"max_tokens: must be up to max_position_embeddings "
                f"({self.config.max_position_embeddings}), got {max_tokens}"
            )
        # The assistant sees one token more than the window, none of which may be written over.
        specs = layer_specs(self.config, self.dtype, slack=draft_tokens + 1 if draft_tokens else 0)
        positions = max_tokens + draft_tokens
        return StaticKVCache(
            specs, batch=batch, max_tokens=positions, rotations=self._rotations(positions), device=self.device
        )

    def forward(self, ids: Tensor, lengths: Tensor | Sequence[int] | None = None) -> Tensor:
        """Logits of every position.

        Args:
            ids: int [B, S].
            lengths: tokens of each sequence where some are padded on the right; what is returned for padding
                means nothing.

        Returns:
            [B, S, V] in the dtype of the weights.

        Raises:
            ValueError: `ids` or `lengths` is wrong.
        """
        ids = _clear_padding(*self._check_prompt(ids, lengths))
        inputs = whole_pass(self.config, self._rotations(ids.shape[1]), ids.shape[1])
        return self.logits(self.model.norm(self.model(self.model.embed(ids), inputs)))

    @torch.inference_mode()
    def prefill(
        self,
        ids: Tensor,
        lengths: Tensor | Sequence[int] | None = None,
        cache: StaticKVCache | None = None,
    ) -> Tensor:
        """Reads prompts, chunk by chunk, and gives the logits after the last token of each.

        Args:
            ids: int [B, S].
            lengths: tokens of each prompt where some are padded on the right.
            cache: takes the keys and values; None computes without keeping them.

        Returns:
            [B, V] in the dtype of the weights.

        Raises:
            ValueError: `ids` or `lengths` is wrong, or the prompts do not fit `cache`.
        """
        ids, lengths = self._check_prompt(ids, lengths)
        cache = cache or self.new_cache(*ids.shape)
        return self.logits(self.start(ids, lengths, cache))

    @torch.inference_mode()
    def decode(self, tokens: Tensor, cache: StaticKVCache) -> Tensor:
        """Appends the next tokens of each sequence to the cache.

        Args:
            tokens: int [B, S], usually S = 1; more need a cache with as many `draft_tokens` less one.
            cache: of a `prefill`; its lengths grow by S.

        Returns:
            Logits after each of them, [B, S, V].

        Raises:
            ValueError: `tokens` is wrong or, on a CPU, does not fit the cache.
        """
        check_ids(tokens, self.config.vocab_size)
        check_shape("tokens", tokens, cache.batch, "S")
        if cache.lengths.device.type == "cpu":
            _check_room(int(cache.lengths.max()) + tokens.shape[1], cache)
        logits, _ = self.step(tokens, cache)
        cache.lengths += tokens.shape[1]
        return logits

    def step(self, tokens: Tensor, cache: StaticKVCache) -> tuple[Tensor, Tensor]:
        """One decode step without checks, host synchronisation or change of the cache's lengths.

        Args:
            tokens: int [B, S], at positions `cache.lengths` and after.
            cache: of a `prefill`.

        Returns:
            logits [B, S, V] and the normalised hidden states behind them [B, S, H].
        """
        inputs = step_pass(self.config, cache, cache.rotations, tokens.shape[1])
        hidden = self.model.norm(self.model(self.model.embed(tokens), inputs, cache.layers))
        return self.logits(hidden), hidden

    def generate(
        self,
        ids: Tensor,
        max_new_tokens: int,
        temperature: float = 0.0,
        lengths: Tensor | Sequence[int] | None = None,
        eos: int | Collection[int] | None = None,
        assistant: Gemma4Assistant | None = None,
        draft_tokens: int = 0,
        *,
        seed: int | None = None,
        graph: bool | None = None,
    ) -> Tensor:
        """Continues prompts; see `generate_with_stats`.

        Returns:
            int64 [B, S + N]: the prompts as given, then N new tokens of each in columns S and after.
        """
        generation = self.generate_with_stats(
            ids,
            max_new_tokens,
            temperature,
            lengths,
            eos,
            assistant,
            draft_tokens,
            seed=seed,
            graph=graph,
        )
        return generation.ids

    @torch.inference_mode()
    def generate_with_stats(
        self,
        ids: Tensor,
        max_new_tokens: int,
        temperature: float = 0.0,
        lengths: Tensor | Sequence[int] | None = None,
        eos: int | Collection[int] | None = None,
        assistant: Gemma4Assistant | None = None,
        draft_tokens: int = 0,
        *,
        seed: int | None = None,
        graph: bool | None = None,
    ) -> Generation:
        """Continues prompts and counts what it took.

        Args:
            ids: int [B, S].
            max_new_tokens: N.
            temperature: 0 takes the likeliest token, more draws from softmax(logits / temperature).
            lengths: tokens of each prompt where some are padded on the right; a prompt's continuation follows
                its own last token, not the padding, though it is returned behind the padding.
            eos: ids that end a sequence; the rest of its columns repeats the one that it met.
            assistant: drafts tokens for this model to check; the result is distributed as without it.
            draft_tokens: tokens drafted for each step; 0 decodes without the assistant.
            seed: of what is drawn; None takes torch's global generator.
            graph: captures the step in a CUDA graph; None does so on a GPU.

        Raises:
            ValueError: names the argument that is wrong and what is allowed.
        """
        ids, lengths = self._check_prompt(ids, lengths)
        request = Request(
            ids=ids,
            lengths=lengths,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            eos=() if eos is None else (eos,) if isinstance(eos, int) else tuple(eos),
            draft_tokens=draft_tokens,
            seed=seed,
            graph=graph,
        )
        return generate(self, request, assistant)

    def _rotations(self, positions: int) -> Rotations:
        return rotation_tables(self.config, positions, device=self.device, dtype=self.dtype)

    def _check_prompt(self, ids: Tensor, lengths: Tensor | Sequence[int] | None) -> tuple[Tensor, Tensor]:
        """Ids and lengths on the model's device; padding may hold anything."""
        check_shape("ids", ids, "B", "S")
        checked = check_lengths(lengths, ids)
        check_ids(_clear_padding(ids, checked), self.config.vocab_size)
        return ids.to(self.device), checked.to(self.device)

    def start(self, ids: Tensor, lengths: Tensor, cache: StaticKVCache) -> Tensor:
        """Fills a cache with prompts.

        Args:
            ids: int [B, S], checked.
            lengths: int64 [B], checked.
            cache: for as many sequences, its content is forgotten.

        Returns:
            The normalised hidden states [B, H] of each prompt's last token.
        """
        ids = _clear_padding(ids, lengths)
        batch, width = ids.shape
        check_shape("ids", ids, cache.batch, "S")
        _check_room(width, cache)
        columns = max(1, min(PREFILL_COLUMNS, PREFILL_TOKENS // batch))
        last = torch.zeros(batch, self.config.hidden_size, dtype=self.dtype, device=ids.device)
        for start in range(0, width, columns):
            chunk = ids[:, start : start + columns]
            inputs = chunk_pass(self.config, cache, cache.rotations, lengths, start, chunk.shape[1])
            hidden = self.model(self.model.embed(chunk), inputs, cache.layers)
            last = _replace_where_ending(last, hidden, lengths - 1 - start)
        cache.lengths.copy_(lengths)
        normed: Tensor = self.model.norm(last)
        return normed

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits [..., V] of normalised hidden states [..., H]."""
        logits: Tensor = self.lm_head(hidden)
        cap = self.config.final_logit_softcapping
        return logits if cap is None else torch.tanh(logits / cap) * cap


def _clear_padding(ids: Tensor, lengths: Tensor) -> Tensor:
    return ids.masked_fill(torch.arange(ids.shape[1], device=ids.device) >= lengths[:, None], 0)


def _replace_where_ending(last: Tensor, hidden: Tensor, column: Tensor) -> Tensor:
    """`hidden` [B, S, H] at `column` [B] for those sequences that end in this chunk, else `last` [B, H]."""
    inside = (column >= 0) & (column < hidden.shape[1])
    rows = torch.arange(len(column), device=column.device)
    return torch.where(inside[:, None], hidden[rows, column.clamp(0, hidden.shape[1] - 1)], last)


def _check_room(tokens: int, cache: StaticKVCache) -> None:
    if tokens > cache.max_tokens:
        raise ValueError(f"ids: {tokens} tokens do not fit the cache, which holds {cache.max_tokens}")
