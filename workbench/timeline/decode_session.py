"""A model with random weights that decodes the same tokens whichever arm it runs."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from moe_kernels.experts.backend import Backend
from workbench.base.errors import InputError
from workbench.base.ranges import marked
from workbench.models.gemma4 import Gemma4Config, Gemma4ForCausalLM
from workbench.models.gemma4.arms import Arm, Variant, running
from workbench.models.gemma4.experts import Gemma4Experts
from workbench.models.gemma4.graph import captured
from workbench.models.gemma4.memory import memory_footprint
from workbench.models.gemma4.ranges import mark_parts
from workbench.timeline.arms import annotated_routing, other_backend
from workbench.timeline.capture import Runner


def working_dtype(device: torch.device | str) -> torch.dtype:
    """bf16 on a GPU; fp32 on a CPU, where rounding to bf16 would differ between arms and nothing tells by how much."""
    return torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16


class DecodeSession:
    """Prompts in a cache, and the tokens that follow them.

    A timed step always writes the same position, so that all steps of all arms do the same work.

    Args:
        config: the model.
        device: where it runs.
        batch: B, sequences.
        context: tokens of each prompt.
        forced: tokens after each prompt that the arms are compared on.
        seed: of weights, prompts and tokens.

    Raises:
        InputError: the model does not fit the memory.
    """

    def __init__(
        self,
        config: Gemma4Config,
        device: torch.device,
        *,
        batch: int,
        context: int,
        forced: int,
        seed: int,
    ) -> None:
        check_memory(config, device, batch, context + forced)
        self.config, self.device, self.batch = config, device, batch
        self.model = Gemma4ForCausalLM.random(config, device, working_dtype(device), seed)
        mark_parts(self.model)
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(config.vocab_size, (batch, context + forced), generator=generator).to(device)
        self.prompts, self.forced = ids[:, :context], ids[:, context:]
        self.lengths = torch.full((batch,), context, device=device)
        self.cache = self.model.new_cache(batch, context + forced)

    @contextmanager
    def running(self, arm: Arm, backend: Backend = "auto") -> Iterator[None]:
        """Runs the model as an arm within the context."""
        variant = Variant(backend, backend=backend)
        with marked(f"arm {arm.name}"), running(self.model, arm, variant, around=annotated_routing):
            yield

    def other_backend(self) -> Backend:
        """Another way through the model's experts."""
        experts = next(each for each in self.model.modules() if isinstance(each, Gemma4Experts))
        return other_backend(experts, self.batch)

    def fill(self, arm: Arm) -> None:
        """Puts the prompts into the cache, by the given arm."""
        with self.running(arm):
            self.model.start(self.prompts, self.lengths, self.cache)

    def step_of(self, arm: Arm, *, graph: bool) -> Any:
        """The step of an arm as a function of tokens [B, 1]; a graph keeps the arm that it was captured in."""
        with self.running(arm):
            return captured(self.eager_step, self.tokens, enabled=graph)

    def eager_step(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """A step of whatever the model runs: logits [B, 1, V] and hidden states [B, 1, H]."""
        return self.model.step(tokens, self.cache)

    @property
    def tokens(self) -> Tensor:
        """The tokens [B, 1] of the first step."""
        return self.forced[:, :1]

    def runner(self, arm: Arm, step: Any) -> Runner:
        """How to time and profile an arm."""
        return Runner(step=partial(step, self.tokens), active=partial(self.running, arm))


def check_memory(config: Gemma4Config, device: torch.device, batch: int, tokens: int) -> None:
    """Raises InputError where weights and cache alone are larger than the device's memory."""
    needed = memory_footprint(config, batch=batch, tokens=tokens, dtype=working_dtype(device)).total
    if device.type == "cuda":
        gc.collect()
        free = torch.cuda.mem_get_info(device)[0]
    else:
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > free:
        raise InputError(
            f"{config.depth} need {needed / 1e9:.1f} GB for weights and cache, {device.type} has "
            f"{free / 1e9:.1f} GB; fewer layers or sequences fit",
            key="--layers",
        )
