"""Rows of logits that routing gets wrong when it is wrong, from one numpy generator, in any float dtype."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch


class Format(NamedTuple):
    """How a float dtype lays out its bits: an unsigned and a signed integer of its width, and infinity's bits."""

    unsigned: type
    signed: torch.dtype
    infinity: int

    @property
    def sign(self) -> int:
        return 1 << (np.dtype(self.unsigned).itemsize * 8 - 1)


FORMATS = {
    torch.float32: Format(np.uint32, torch.int32, 0x7F80_0000),
    torch.bfloat16: Format(np.uint16, torch.int16, 0x7F80),
    torch.float16: Format(np.uint16, torch.int16, 0x7C00),
}


def from_bits(bits: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    layout = FORMATS[dtype]
    signed = bits.astype(layout.unsigned).view(np.dtype(layout.unsigned).str.replace("u", "i"))
    return torch.from_numpy(signed.copy()).view(dtype)


def to_bits(values: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    rounded = torch.from_numpy(np.asarray(values, dtype=np.float64)).to(dtype)
    return rounded.view(FORMATS[dtype].signed).numpy().view(FORMATS[dtype].unsigned).astype(np.int64)


Row = Callable[[np.random.Generator, int, torch.dtype], np.ndarray]


def normal(rng: np.random.Generator, size: int, dtype: torch.dtype) -> np.ndarray:
    return to_bits(rng.normal(size=size) * 3, dtype)


def few_values(rng: np.random.Generator, size: int, dtype: torch.dtype) -> np.ndarray:
    return to_bits(rng.integers(-1, 2, size=size), dtype)


def all_equal(rng: np.random.Generator, size: int, dtype: torch.dtype) -> np.ndarray:
    return to_bits(np.full(size, rng.normal()), dtype)


def zeros_of_both_signs(rng: np.random.Generator, size: int, dtype: torch.dtype) -> np.ndarray:
    return rng.integers(0, 2, size=size) * FORMATS[dtype].sign


def denormals_and_zeros(rng: np.random.Generator, size: int, dtype: torch.dtype) -> np.ndarray:
    """The smallest magnitudes there are; a kernel that flushes denormals ties them with zero."""
    return rng.integers(0, 4, size=size) + rng.integers(0, 2, size=size) * FORMATS[dtype].sign


def huge(rng: np.random.Generator, size: int, dtype: torch.dtype) -> np.ndarray:
    """The largest finite magnitudes; their differences overflow."""
    largest = FORMATS[dtype].infinity - 1
    return largest - rng.integers(0, 3, size=size) + rng.integers(0, 2, size=size) * FORMATS[dtype].sign


def any_bits(rng: np.random.Generator, size: int, dtype: torch.dtype) -> np.ndarray:
    return rng.integers(0, 2 * FORMATS[dtype].sign, size=size)


def sprinkled(rng: np.random.Generator, size: int, dtype: torch.dtype, *patterns: int) -> np.ndarray:
    """Normal logits with about a third of them, and at least one, replaced by the given bits."""
    replaced = rng.random(size) < 1 / 3
    replaced[rng.integers(size)] = True
    return np.where(replaced, rng.choice(np.array(patterns), size=size), normal(rng, size, dtype))


def nans_of_both_signs(rng: np.random.Generator, size: int, dtype: torch.dtype) -> np.ndarray:
    """Quiet and signalling ones: the payload's first and last bit."""
    infinity, sign = FORMATS[dtype].infinity, FORMATS[dtype].sign
    payloads = (infinity + 1, sign - 1)
    return sprinkled(rng, size, dtype, *payloads, *(sign | payload for payload in payloads))


def one_negative_nan(rng: np.random.Generator, size: int, dtype: torch.dtype) -> np.ndarray:
    """What inf - inf gives on x86."""
    row = normal(rng, size, dtype)
    row[rng.integers(size)] = FORMATS[dtype].sign | (FORMATS[dtype].sign - 1)
    return row


def plus_infinities(rng: np.random.Generator, size: int, dtype: torch.dtype) -> np.ndarray:
    return sprinkled(rng, size, dtype, FORMATS[dtype].infinity)


def minus_infinities(rng: np.random.Generator, size: int, dtype: torch.dtype) -> np.ndarray:
    return sprinkled(rng, size, dtype, FORMATS[dtype].sign | FORMATS[dtype].infinity)


def one_finite(rng: np.random.Generator, size: int, dtype: torch.dtype) -> np.ndarray:
    """Fewer finite logits than slots."""
    row = only_minus_infinity(rng, size, dtype)
    row[rng.integers(size)] = to_bits(rng.normal(size=1), dtype)[0]
    return row


def only_minus_infinity(rng: np.random.Generator, size: int, dtype: torch.dtype) -> np.ndarray:
    return np.full(size, FORMATS[dtype].sign | FORMATS[dtype].infinity)


def all_specials(rng: np.random.Generator, size: int, dtype: torch.dtype) -> np.ndarray:
    infinity, sign = FORMATS[dtype].infinity, FORMATS[dtype].sign
    patterns = (0, sign, 1, sign | 1, infinity, sign | infinity, infinity + 1, sign | (sign - 1))
    return sprinkled(rng, size, dtype, *patterns)


KINDS: Mapping[str, Row] = {
    kind.__name__: kind
    for kind in (
        normal,
        few_values,
        all_equal,
        zeros_of_both_signs,
        denormals_and_zeros,
        huge,
        any_bits,
        nans_of_both_signs,
        one_negative_nan,
        plus_infinities,
        minus_infinities,
        one_finite,
        only_minus_infinity,
        all_specials,
    )
}


def draw(seed: int, kinds: list[str], num_experts: int, dtype: torch.dtype) -> torch.Tensor:
    """One row of each kind, [len(kinds), num_experts], contiguous."""
    rng = np.random.default_rng(seed)
    rows = [KINDS[kind](rng, num_experts, dtype) for kind in kinds]
    return from_bits(np.array(rows, dtype=np.int64).reshape(len(kinds), num_experts), dtype)
