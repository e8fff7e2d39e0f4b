"""Modules that are called and read directly behave as torch's own."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from workbench.models.gemma4.direct import DirectLinear, DirectModule


class Block(DirectModule):
    def __init__(self) -> None:
        super().__init__()
        self.first = DirectLinear(3, 3, bias=False)
        self.second: nn.Module | None = nn.Linear(3, 3, bias=False)

    def forward(self, hidden: Tensor, *, twice: bool = False) -> Tensor:
        hidden = self.first(hidden)
        if self.second is not None:
            hidden = self.second(hidden)
        return hidden * 2 if twice else hidden


@pytest.fixture
def block() -> Block:
    return Block()


ROWS = torch.arange(6.0).view(2, 3)


def test_a_part_that_is_replaced_takes_effect(block: Block) -> None:
    block.first = nn.Identity()  # type: ignore[assignment]
    assert list(dict(block.named_modules())) == ["", "first", "second"]
    assert block.second is not None
    assert torch.equal(block(ROWS), block.second(ROWS))


def test_a_part_that_is_set_to_none_is_gone(block: Block) -> None:
    block.second = None
    assert torch.equal(block(ROWS), block.first(ROWS))
    assert list(block.state_dict()) == ["first.weight"]


def test_a_part_that_is_deleted_is_gone(block: Block) -> None:
    del block.second
    assert not hasattr(block, "second")
    assert list(block.state_dict()) == ["first.weight"]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_a_copy_has_parts_of_its_own(block: Block, duplicate: Any) -> None:
    copied = duplicate(block)
    assert copied.first is not block.first
    assert copied.first is copied.get_submodule("first")
    with torch.no_grad():
        block.first.weight.zero_()
    assert copied(ROWS).abs().sum() > 0


def test_a_substituted_parameter_takes_effect(block: Block) -> None:
    out = torch.func.functional_call(block, {"first.weight": torch.zeros(3, 3)}, (ROWS,))
    assert not out.any()


class Negated(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return -weight


def test_a_parametrised_weight_takes_effect(block: Block) -> None:
    before = block(ROWS)
    nn.utils.parametrize.register_parametrization(block.first, "weight", Negated())
    assert torch.equal(block(ROWS), -before)


def test_parameters_and_buffers_are_read_by_name_and_nothing_else_is_made_up(block: Block) -> None:
    block.register_buffer("factor", torch.tensor(2.0))
    assert block.tensor("factor") is block.factor
    assert block.first.tensor("weight") is block.first.weight
    assert block.first.tensor("bias") is None
    with pytest.raises(AttributeError, match="nothing"):
        block.tensor("nothing")


def test_hooks_run(block: Block) -> None:
    block.first.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
    assert not block(ROWS).any()


def test_keyword_arguments_reach_forward(block: Block) -> None:
    assert torch.equal(block(ROWS, twice=True), 2 * block(ROWS))
