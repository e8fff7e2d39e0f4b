"""Routing in float64 numpy, written from the contract and not from the code, and what a right answer is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch


class Routed(NamedTuple):
    """What routing must give: the selected logits, their weights and their experts, each [T, K]."""

    logits: np.ndarray
    weights: np.ndarray
    ids: np.ndarray


def route(logits: torch.Tensor, scale: torch.Tensor, top_k: int) -> Routed:
    values, scale = as_float64(logits), as_float64(scale)
    ids = rank(values)[:, :top_k]
    selected = np.take_along_axis(values, ids, axis=1)
    return Routed(selected, softmax(selected) * scale[ids], ids)


def as_float64(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()


def rank(values: np.ndarray) -> np.ndarray:
    """Every expert by descending logit: NaN is the greatest, and what is equal goes by expert id."""
    is_number = ~np.isnan(values)
    descending = -np.where(is_number, values, 0.0)
    experts = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return np.lexsort((experts, descending, is_number), axis=1)


def softmax(selected: np.ndarray) -> np.ndarray:
    """Softmax by row; NaN or +inf spoils its row, and so does a row that holds nothing but -inf."""
    greatest = selected.max(axis=1, keepdims=True)
    is_spoilt = ~np.isfinite(greatest)
    exponentials = np.exp(np.where(is_spoilt, 0.0, selected) - np.where(is_spoilt, 0.0, greatest))
    return np.where(is_spoilt, np.nan, exponentials / exponentials.sum(axis=1, keepdims=True))


def assert_routed(
    weights: torch.Tensor, ids: torch.Tensor, logits: torch.Tensor, scale: torch.Tensor, top_k: int
) -> None:
    """Ids exactly, weights to fp32 rounding."""
    assert_shaped(weights, ids, logits, top_k)
    assert_usable(ids, logits.shape[1])
    expected = route(logits, scale, top_k)
    np.testing.assert_array_equal(ids.cpu().numpy(), expected.ids)
    assert_close(weights, expected.weights, scale)


def assert_shaped(weights: torch.Tensor, ids: torch.Tensor, logits: torch.Tensor, top_k: int) -> None:
    shape = (logits.shape[0], top_k)
    assert (weights.shape, weights.dtype, weights.device) == (shape, torch.float32, logits.device)
    assert (ids.shape, ids.dtype, ids.device) == (shape, torch.int32, logits.device)


def assert_usable(ids: torch.Tensor, num_experts: int) -> None:
    """The experts index with ids, whatever the logits hold."""
    ordered = np.sort(ids.cpu().numpy(), axis=1)
    assert ((ordered >= 0) & (ordered < num_experts)).all()
    assert (np.diff(ordered, axis=1) > 0).all()


def assert_close(weights: torch.Tensor, expected: np.ndarray, scale: torch.Tensor) -> None:
    tolerance = 1e-6 * max(1.0, np.abs(as_float64(scale)).max())
    np.testing.assert_allclose(as_float64(weights), expected, rtol=3e-6, atol=tolerance)
