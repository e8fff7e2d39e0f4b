"""The experts: E gated feed-forward networks, of which each token passes K."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from moe_kernels.experts import fused_experts
from moe_kernels.experts.backend import BACKENDS, Backend
from moe_kernels.formats import QuantisedWeights, WeightFormat, parse_format
from workbench.models.gemma4.checks import check_choice, check_shape
from workbench.models.gemma4.config import Gemma4Config
from workbench.models.gemma4.direct import DirectModule

# Up to here, on a CPU, a copy of the experts' weights costs less than a product for each expert in use.
GATHERED_ELEMENTS = 2**18
PROJECTIONS = ("gate_up_proj", "down_proj")
# What checkpoints add to a projection's name; values that are not packed keep the bare name.
SUFFIXES: Mapping[str, str] = {
    "values": "_packed",
    "scales": "_scale",
    "zero_points": "_zero_point",
    "global_scales": "_global_scale",
}


class Gemma4Experts(DirectModule):
    """Experts by `moe_kernels.experts.fused_experts`: Triton kernels for bf16 and fp16 on CUDA, else torch operations.

    Parameters as in the checkpoint: `gate_up_proj` [E, 2I, H], the gate in the first I rows of an expert and
    the up projection in the rest, and `down_proj` [E, H, I]. With a format there are buffers in their place, laid out
    as `moe_kernels.formats` says: `gate_up_proj_packed` (`gate_up_proj` where values are not packed),
    `gate_up_proj_scale`, `_zero_point` and `_global_scale`, and the same of `down_proj`. They keep their dtypes when
    the model changes its own.

    Args:
        config: the model.
        backend: `grouped`, `decode` or `torch`, or `auto`, which picks by dtype, device, token count and what was
            tuned; `moe_kernels.experts.explain_backend` says what it picks and why.
        format: of the weights, or its name, for example `int4-g32`; None keeps them in `dtype`.
        device: where the parameters live.
        dtype: of the parameters, and of scales where the format leaves a choice; None takes torch's default.

    Raises:
        ValueError: there is no such backend or format, or the format does not fit the sizes.
    """

    # Where there is no format, or its values are not packed.
    gate_up_proj: Tensor
    down_proj: Tensor

    def __init__(
        self,
        config: Gemma4Config,
        *,
        backend: Backend = "auto",
        format: WeightFormat | str | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_choice("backend", backend, BACKENDS)
        self.config = config
        self.backend = backend
        self.format: WeightFormat | None = None
        experts, hidden, inner = config.num_experts, config.hidden_size, config.moe_intermediate_size
        # E, N and K of each projection.
        self.shapes = {"gate_up_proj": (experts, 2 * inner, hidden), "down_proj": (experts, hidden, inner)}
        if format is None:
            for name, shape in self.shapes.items():
                self.register_parameter(name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        else:
            known, scale_dtype = _parsed(format), dtype or torch.get_default_dtype()
            shapes = self.shapes.values()
            self.hold(*(known.empty(*shape, device=device, scale_dtype=scale_dtype) for shape in shapes))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draws each projection with variance 1 / fan-in, which keeps the scale of what passes through."""
        for name in PROJECTIONS:
            held = self.projection(name)
            deviation = held.shape[-1] ** -0.5
            if isinstance(held, Tensor):
                nn.init.normal_(held, std=deviation)
            elif held.device.type != "meta":
                _draw(held, deviation)

    def projection(self, name: str) -> Tensor | QuantisedWeights:
        """The weights of `gate_up_proj` or `down_proj` as they are held."""
        if self.format is None:
            held: Tensor = self.tensor(name)
            return held
        tensors = {
            attribute: tensor
            for attribute in SUFFIXES
            if (tensor := getattr(self, buffer_name(self.format, name, attribute), None)) is not None
        }
        columns = self.shapes[name][2]
        rounded_up = columns % self.format.values_per_element
        return QuantisedWeights(format=self.format, **tensors, input_size=columns if rounded_up else None)

    def hold(self, gate_up: QuantisedWeights, down: QuantisedWeights) -> None:
        """Takes quantised weights in the place of what is held, as buffers that share their memory.

        Raises:
            ValueError: the formats differ, or weights do not fit their format or the config.
        """
        if gate_up.format != down.format:
            raise ValueError(f"down: must be {gate_up.format} as gate_up, got {down.format}")
        for name, weights in zip(PROJECTIONS, (gate_up, down), strict=True):
            weights.format.check(weights, name=name)
            if weights.shape != self.shapes[name]:
                raise ValueError(
                    f"{name}: must have shape {list(self.shapes[name])}, got {list(weights.shape)}"
                )
        for held in [*self._parameters, *self._buffers]:
            delattr(self, held)
        self.format = gate_up.format
        for name, weights in zip(PROJECTIONS, (gate_up, down), strict=True):
            for attribute, tensor in weights.tensors().items():
                self.register_buffer(buffer_name(self.format, name, attribute), tensor)

    @torch.no_grad()
    def quantise(self, format: WeightFormat | str) -> None:
        """Quantises the weights as they are, expert by expert, and holds them instead.

        Raises:
            ValueError: they are quantised already, or the format is unknown or does not fit the sizes.
        """
        if self.format is not None:
            raise ValueError(f"format: the experts are quantised already, as {self.format}")
        known = _parsed(format)
        self.hold(*(known.quantise(getattr(self, name)) for name in PROJECTIONS))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Gemma4Experts:
        # A model's dtype is not that of its quantised weights.
        def keeping_dtype(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype is tensor.dtype else tensor.to(moved.device)

        super()._apply(fn if self.format is None else keeping_dtype, recurse)  # type: ignore[no-untyped-call]
        return self

    def forward(self, hidden: Tensor, weights: Tensor, ids: Tensor) -> Tensor:
        """Sums each token's K experts: `weight * down(act(gate(x)) * up(x))`.

        The weight multiplies in the wider dtype of the two (fp32), then the product is rounded to the dtype
        of `hidden`. The kernels never make the host wait; the torch operations do once, for the number of tokens
        of each expert.

        Args:
            hidden: [T, H], T >= 0.
            weights: [T, K], fp32.
            ids: [T, K], int32 or int64; one out of 0..E-1 adds nothing.

        Returns:
            [T, H] in the dtype of `hidden`.

        Raises:
            ValueError: an argument has another shape or dtype, or the backend cannot take it.
        """
        check_shape("hidden", hidden, "T", self.config.hidden_size)
        check_shape("ids", ids, hidden.shape[0], "K")
        check_shape("weights", weights, *ids.shape)
        if self.backend == "auto" and self._gathers(hidden, ids):
            return self._run_gathered(hidden, weights, ids)
        return fused_experts(
            hidden,
            self.projection("gate_up_proj"),
            self.projection("down_proj"),
            weights,
            ids,
            # A plain string: torch.compile traces no methods of an enumeration.
            activation=self.config.hidden_activation.value,
            backend=self.backend,
        )

    def _gathers(self, hidden: Tensor, ids: Tensor) -> bool:
        """Whether each slot gets a copy of its expert: few and small ones, of plain tensors on a CPU."""
        is_plain = self.format is None and type(hidden) is Tensor and hidden.is_cpu
        return is_plain and 0 < ids.numel() * self.tensor("gate_up_proj").stride(0) <= GATHERED_ELEMENTS

    def _run_gathered(self, hidden: Tensor, weights: Tensor, ids: Tensor) -> Tensor:
        """As the loop over experts, by two batched products; a foreign expert's slot counts zero."""
        slots, tokens, top_k = ids.flatten(), *ids.shape
        known = slots.clamp(0, self.config.num_experts - 1)
        rows = hidden.unsqueeze(1).expand(-1, top_k, -1).reshape(len(slots), 1, hidden.shape[1])
        gate_up = torch.bmm(rows, self.tensor("gate_up_proj").index_select(0, known).mT)
        inner = self.config.hidden_activation.apply(gate_up)
        outputs = torch.bmm(inner, self.tensor("down_proj").index_select(0, known).mT)
        weighted = (outputs * weights.reshape(-1, 1, 1)).to(hidden.dtype)
        weighted = weighted.masked_fill((known != slots).view(-1, 1, 1), 0.0)
        return weighted.view(tokens, top_k, hidden.shape[1]).sum(dim=1)

    def extra_repr(self) -> str:
        """The options that are no parameters."""
        return f"backend={self.backend}" + (f", format={self.format}" if self.format else "")


def _parsed(format: WeightFormat | str) -> WeightFormat:
    return parse_format(format) if isinstance(format, str) else format


def buffer_name(held: WeightFormat, projection: str, attribute: str) -> str:
    """The name of a buffer, from the projection's and the attribute of `QuantisedWeights`."""
    is_bare = attribute == "values" and held.values_per_element == 1
    return projection if is_bare else projection + SUFFIXES[attribute]


def _draw(weights: QuantisedWeights, deviation: float) -> None:
    """Draws and quantises one expert after the other."""
    for index in range(weights.shape[0]):
        drawn = torch.randn((1, *weights.shape[1:]), device=weights.device) * deviation
        target = weights.expert(index).tensors()
        for name, tensor in weights.format.quantise(drawn).tensors().items():
            target[name].copy_(tensor)
