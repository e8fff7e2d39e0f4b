"""A decoder layer: attention, then the dense MLP with the experts beside it."""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.models.gemma4.attention import AttentionInputs, Gemma4Attention, Gemma4QueryAttention
from workbench.models.gemma4.config import Gemma4Config
from workbench.models.gemma4.direct import DirectModule
from workbench.models.gemma4.kv_cache import LayerCache
from workbench.models.gemma4.layer_types import LayerType
from workbench.models.gemma4.mlp import Gemma4MLP
from workbench.models.gemma4.moe import Gemma4MoE
from workbench.models.gemma4.norm import Gemma4RMSNorm
from workbench.models.gemma4.router import Routing


class Gemma4DecoderLayer(DirectModule):
    """One layer, with parameters named as in the checkpoint's layer.

        r   = x + post_attention_layernorm(self_attn(input_layernorm(x)))
        a   = mlp(pre_feedforward_layernorm(r))
        out = (r + post_feedforward_layernorm(a)) * layer_scalar

    Where the model has experts, `a` becomes `post_feedforward_layernorm_1(a)` plus what `Gemma4MoE` makes of `r`.

    Args:
        config: the model.
        layer_type: sliding or full.
        query_only: the attention reads keys and values of another model.
        routing: as in `Gemma4Router`.
        device: where the parameters live.
        dtype: of the parameters; None takes torch's default.
    """

    input_layernorm: Gemma4RMSNorm
    post_attention_layernorm: Gemma4RMSNorm
    pre_feedforward_layernorm: Gemma4RMSNorm
    post_feedforward_layernorm: Gemma4RMSNorm
    post_feedforward_layernorm_1: Gemma4RMSNorm

    def __init__(
        self,
        config: Gemma4Config,
        layer_type: LayerType,
        *,
        query_only: bool = False,
        routing: Routing = "fused",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.layer_type = layer_type
        attention = Gemma4QueryAttention if query_only else Gemma4Attention
        self.self_attn = attention(config, layer_type, device=device, dtype=dtype)
        self.mlp = Gemma4MLP(config, device=device, dtype=dtype)
        for name in self._norms(config):
            norm = Gemma4RMSNorm(config.hidden_size, config.rms_norm_eps, device=device, dtype=dtype)
            setattr(self, name, norm)
        self.register_buffer("layer_scalar", torch.ones(1, device=device, dtype=dtype))
        self._moe: tuple[Gemma4MoE, ...] = ()
        if config.enable_moe_block:
            self._adopt(Gemma4MoE(config, routing=routing, device=device, dtype=dtype))

    @staticmethod
    def _norms(config: Gemma4Config) -> tuple[str, ...]:
        norms = (
            "input_layernorm",
            "post_attention_layernorm",
            "pre_feedforward_layernorm",
            "post_feedforward_layernorm",
        )
        return (*norms, "post_feedforward_layernorm_1") if config.enable_moe_block else norms

    def _adopt(self, moe: Gemma4MoE) -> None:
        """Takes the block's parts as its own: in the checkpoint they have no prefix within the layer."""
        for name, part in moe.named_children():
            setattr(self, name, part)
        # In a tuple, so that torch does not register the block, and with it every parameter a second time.
        self._moe = (moe,)

    def forward(self, hidden: Tensor, inputs: AttentionInputs, cache: LayerCache | None) -> Tensor:
        """Runs S tokens of B sequences.

        Args:
            hidden: [B, S, H].
            inputs: shared by all layers of this kind.
            cache: of this layer; None in a pass without a cache.

        Returns:
            [B, S, H] in the dtype of `hidden`.
        """
        attended = self.self_attn(self.input_layernorm(hidden), inputs, cache)
        residual = hidden + self.post_attention_layernorm(attended)
        mixed = self._feed_forward(residual)
        out: Tensor = (residual + self.post_feedforward_layernorm(mixed)) * self.tensor("layer_scalar")
        return out

    def _feed_forward(self, residual: Tensor) -> Tensor:
        dense: Tensor = self.mlp(self.pre_feedforward_layernorm(residual))
        for moe in self._moe:
            sparse = moe(residual.flatten(0, -2)).view_as(residual)
            mixed: Tensor = self.post_feedforward_layernorm_1(dense) + sparse
            return mixed
        return dense
