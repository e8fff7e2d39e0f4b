"""What `fused_experts` refuses, with the argument's name and what is allowed."""

from __future__ import annotations

import torch
from torch import Tensor

from moe_kernels.activation import Activation
from moe_kernels.experts.call import ExpertsCall, QuantisedCall
from moe_kernels.formats import QuantisedWeights

DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float64)
_ID_DTYPES = (torch.int32, torch.int64)


def checked_call(
    hidden: Tensor, gate_up: Tensor, down: Tensor, weights: Tensor, ids: Tensor, activation: Activation
) -> ExpertsCall:
    """Puts arguments together.

    Raises:
        ValueError: names the argument that is wrong and what is allowed.
    """
    _check_shapes(hidden, gate_up, down, weights, ids, activation)
    for name, tensor in (("gate_up", gate_up), ("down", down)):
        _check_dtype(name, tensor, (hidden.dtype,), " as hidden")
    _check_devices(hidden, gate_up=gate_up, down=down, weights=weights, ids=ids)
    return ExpertsCall(
        hidden=hidden, gate_up=gate_up, down=down, weights=weights, ids=ids, activation=activation
    )


def checked_quantised_call(
    hidden: Tensor,
    gate_up: Tensor | QuantisedWeights,
    down: Tensor | QuantisedWeights,
    weights: Tensor,
    ids: Tensor,
    activation: Activation,
) -> QuantisedCall:
    """Puts arguments together, of which at least one projection is quantised.

    Raises:
        ValueError: names the argument that is wrong and what is allowed.
    """
    if not isinstance(gate_up, QuantisedWeights) or not isinstance(down, QuantisedWeights):
        name = "down" if isinstance(gate_up, QuantisedWeights) else "gate_up"
        raise ValueError(f"{name}: must be QuantisedWeights as the other projection, got a tensor")
    gate_up.format.check(gate_up, name="gate_up")
    down.format.check(down, name="down")
    if (down.dtype_word, down.format.activation_group) != (
        gate_up.dtype_word,
        gate_up.format.activation_group,
    ):
        raise ValueError(
            f"down: must be {gate_up.format} as gate_up, or differ in group size alone, got {down.format}"
        )
    _check_shapes(hidden, gate_up, down, weights, ids, activation)
    _check_devices(hidden, gate_up=gate_up, down=down, weights=weights, ids=ids)
    return QuantisedCall(
        hidden=hidden, gate_up=gate_up, down=down, weights=weights, ids=ids, activation=activation
    )


def _check_shapes(
    hidden: Tensor,
    gate_up: Tensor | QuantisedWeights,
    down: Tensor | QuantisedWeights,
    weights: Tensor,
    ids: Tensor,
    activation: Activation,
) -> None:
    """All shapes, and the dtypes that do not depend on how the projections are held."""
    _check_dimensions("hidden", hidden, "T", "H")
    tokens, hidden_size = hidden.shape
    _check_dimensions("down", down, "E", hidden_size, "I")
    experts, _, inner = down.shape
    rows = 2 * inner if activation.is_gated else inner
    _check_dimensions("gate_up", gate_up, experts, rows, hidden_size, note=_rows_note(activation))
    _check_dimensions("ids", ids, tokens, "K")
    _check_dimensions("weights", weights, tokens, ids.shape[1])
    _check_dtype("hidden", hidden, DTYPES)
    _check_dtype("weights", weights, DTYPES)
    _check_dtype("ids", ids, _ID_DTYPES)


def _check_devices(hidden: Tensor, **others: Tensor | QuantisedWeights) -> None:
    for name, tensor in others.items():
        if tensor.device != hidden.device:
            raise ValueError(f"{name}: must be on {hidden.device} as hidden, got {tensor.device}")


def _rows_note(activation: Activation) -> str:
    kind = "gated, two rows" if activation.is_gated else "not gated, one row"
    return f" ({activation.value} is {kind} for each of down's I)"


def _check_dimensions(
    name: str, tensor: Tensor | QuantisedWeights, *shape: int | str, note: str = ""
) -> None:
    """A dimension given by a name is free."""
    sizes = tensor.shape
    fits = len(sizes) == len(shape) and all(
        isinstance(wanted, str) or size == wanted for size, wanted in zip(sizes, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"{name}: must have shape [{wanted}]{note}, got {list(sizes)}")


def _check_dtype(name: str, tensor: Tensor, allowed: tuple[torch.dtype, ...], note: str = "") -> None:
    if tensor.dtype not in allowed:
        names = " or ".join(str(dtype).removeprefix("torch.") for dtype in allowed)
        raise ValueError(f"{name}: dtype must be {names}{note}, got {tensor.dtype}")
