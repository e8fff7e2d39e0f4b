"""What a table's name does not tell: the hidden size and the experts a token of the model behind it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from workbench.base.validation import validate
from workbench.base.yaml import read_yaml
from workbench.ranking.workload import Workload

SHAPES = Path(__file__).with_name("shapes.yaml")


class Shape(BaseModel):
    """One assumption; an empty list of E, N or dtype holds every value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_experts: tuple[int, ...] = ()
    intermediate_size: tuple[int, ...] = ()
    dtype: tuple[str, ...] = ()
    hidden_size: int = Field(gt=0)
    top_k: int = Field(gt=0)
    model: str

    def holds(self, num_experts: int, intermediate_size: int, dtype: str) -> bool:
        """True where this assumption is about such a table."""
        asked = ((self.num_experts, num_experts), (self.intermediate_size, intermediate_size))
        return all(not known or value in known for known, value in (*asked, (self.dtype, dtype)))


class _ShapesFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    shapes: tuple[Shape, ...]


def assumed_shape(num_experts: int, intermediate_size: int, dtype: str) -> Shape:
    """The shape of the model that a table was most likely tuned for."""
    return next(each for each in _shapes() if each.holds(num_experts, intermediate_size, dtype))


def assumed_workload(num_experts: int, intermediate_size: int, dtype: str, tokens: int) -> Workload:
    """The workload of one row of a table."""
    shape = assumed_shape(num_experts, intermediate_size, dtype)
    return Workload(
        num_experts=num_experts,
        top_k=min(shape.top_k, num_experts),
        hidden_size=shape.hidden_size,
        intermediate_size=intermediate_size,
        tokens=tokens,
        dtype=dtype,
    )


@cache
def _shapes() -> tuple[Shape, ...]:
    return validate(_ShapesFile, read_yaml(SHAPES)).shapes
