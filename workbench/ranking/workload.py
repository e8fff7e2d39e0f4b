"""What is ranked: the expert GEMMs of one MoE layer, and the configs as columns of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from workbench.base.errors import InputError

if TYPE_CHECKING:
    from moe_kernels.tunable import Config, Problem
    from workbench.trials.config_table import ConfigTable

    Configs: TypeAlias = ConfigTable | Sequence[Config]

Array = NDArray[np.float64]

# Bytes of a weight and of an activation element, by the engines' words.
ELEMENT_BYTES: Mapping[str, int] = {
    "bf16": 2,
    "fp16": 2,
    "fp32": 4,
    "fp8_w8a8": 1,
    "int8_w8a8": 1,
}
# Bytes of a weight where activations have 16 bits, its share of the scales of a group of 16 or 32 counted.
PACKED_BYTES: Mapping[str, float] = {"int4_w4a16": 0.5625, "nvfp4": 0.5625}
PARAMETERS = ("BLOCK_SIZE_M", "BLOCK_SIZE_N", "BLOCK_SIZE_K", "GROUP_SIZE_M", "num_warps", "num_stages")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One call of the experts: two grouped GEMMs, [T*K, H] x [H, 2I] and [T*K, I] x [I, H], over E experts.

    Attributes:
        num_experts: E, experts on this GPU.
        top_k: K, experts a token.
        hidden_size: H.
        intermediate_size: I on this GPU (the engines' N).
        tokens: T.
        dtype: of weights and activations, one of `ELEMENT_BYTES`; or of weights alone, one of `PACKED_BYTES`.
    """

    num_experts: int
    top_k: int
    hidden_size: int
    intermediate_size: int
    tokens: int
    dtype: str = "bf16"

    def __post_init__(self) -> None:
        if self.dtype not in (known := (*ELEMENT_BYTES, *PACKED_BYTES)):
            raise InputError(
                f"cannot be ranked, got {self.dtype!r}; known are {', '.join(known)}", key="dtype"
            )
        for name in ("num_experts", "top_k", "hidden_size", "intermediate_size", "tokens"):
            if (value := getattr(self, name)) < 1:
                raise InputError(f"must be a positive integer, got {value!r}", key=name)

    @classmethod
    def of(cls, problem: Problem) -> Workload:
        """The workload of a problem of the `experts` kernel."""
        counts = ("num_experts", "top_k", "hidden_size", "intermediate_size", "tokens")
        return cls(**{name: int(problem[name]) for name in counts}, dtype=str(problem["dtype"]))

    @property
    def element_bytes(self) -> int:
        """Bytes of one element as it is multiplied."""
        return 2 if self.dtype in PACKED_BYTES else ELEMENT_BYTES[self.dtype]

    @property
    def weight_bytes(self) -> float:
        """Bytes of one weight in memory."""
        return PACKED_BYTES.get(self.dtype, self.element_bytes)

    @property
    def tokens_per_expert(self) -> float:
        """Rows that an expert gets on average, T*K/E."""
        return self.tokens * self.top_k / self.num_experts


@dataclass(frozen=True, slots=True)
class Tiles:
    """Configs as columns: each array is [configs], in the order in which they were given."""

    m: Array
    n: Array
    k: Array
    group: Array
    warps: Array
    stages: Array

    @classmethod
    def of(cls, configs: Configs) -> Tiles:
        """The six parameters of each config; other parameters make no difference.

        Raises:
            InputError: a config lacks one of the six, or has a value that is no positive number.
        """
        columns = [_column(configs, name) for name in PARAMETERS]
        return cls(*columns)

    def __len__(self) -> int:
        return len(self.m)

    def take(self, rows: NDArray[Any]) -> Tiles:
        """Some of the configs."""
        return Tiles(*(column[rows] for column in self.columns()))

    def columns(self) -> tuple[Array, ...]:
        """The six columns, in the order of `PARAMETERS`."""
        return self.m, self.n, self.k, self.group, self.warps, self.stages


def _column(configs: Configs, name: str) -> Array:
    try:
        # Asked of the object, not of its class, whose module imports torch.
        read = getattr(configs, "column", None)
        values = read(name) if read else [each[name] for each in configs]
        column = np.asarray(values, dtype=np.float64)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"every config needs {', '.join(PARAMETERS)} as numbers", key=name) from error
    if not (np.isfinite(column).all() and (column > 0).all()):
        raise InputError("must be a positive number in every config", key=name)
    return column
