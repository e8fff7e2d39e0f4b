from __future__ import annotations

import pytest
import torch

from workbench.models.gemma4 import Gemma4Config, Gemma4ForCausalLM, memory_footprint

REAL = Gemma4Config.preset("26b-a4b")


def test_the_real_model_fits_64_gb_at_batch_16_and_9000_tokens():
    footprint = memory_footprint(REAL, batch=16, tokens=9000)
    assert footprint.weights == pytest.approx(50.5e9, rel=0.01)
    assert footprint.total < 60e9


def test_the_footprint_is_that_of_the_model_and_cache_themselves():
    config = Gemma4Config.preset("tiny")
    footprint = memory_footprint(config, batch=3, tokens=100, dtype=torch.float32)
    model = Gemma4ForCausalLM.random(config)
    assert footprint.weights == sum(value.nbytes for value in [*model.parameters(), *model.buffers()])
    assert footprint.cache == model.new_cache(3, 100).nbytes


def test_a_cut_model_says_so_and_takes_less():
    cut = memory_footprint(REAL.with_layers(12), batch=16, tokens=9000)
    assert cut.depth == "12 of 30 layers"
    assert cut.total < memory_footprint(REAL, batch=16, tokens=9000).total / 2
