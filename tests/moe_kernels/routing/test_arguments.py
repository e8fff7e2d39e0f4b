"""What `fused_routing` refuses, on the path that this process takes; test_interpreted runs this file too."""

from __future__ import annotations

import re
from types import MappingProxyType

import pytest
import torch

from moe_kernels.routing import fused_routing

LOGITS, SCALE = torch.zeros(3, 4), torch.ones(4)
SHAPE = "logits: must have shape [tokens, experts], got "
DTYPE = "logits: dtype must be float32, bfloat16 or float16, got "
COUNT = "logits: must have 1 to 1024 experts, got "
SCALE_SHAPE = "per_expert_scale: must have shape [4], got "
SCALE_DTYPE = "per_expert_scale: dtype must be float32, bfloat16, float16 or float64, got "
PARAMETERS = "algorithm, num_warps, tokens_per_program, scale_load"

WRONG = {
    "logits of one dimension": ((torch.zeros(4), SCALE, 1), SHAPE + "[4]"),
    "logits of three dimensions": ((torch.zeros(1, 3, 4), SCALE, 1), SHAPE + "[1, 3, 4]"),
    "fp64 logits": ((LOGITS.double(), SCALE, 1), DTYPE + "torch.float64"),
    "integer logits": ((LOGITS.int(), SCALE, 1), DTYPE + "torch.int32"),
    "fp8 logits": ((LOGITS.to(torch.float8_e4m3fn), SCALE, 1), DTYPE + "torch.float8_e4m3fn"),
    "no experts": ((torch.zeros(3, 0), torch.ones(0), 1), COUNT + "0"),
    "too many experts": ((torch.zeros(1, 1025), torch.ones(1025), 1), COUNT + "1025"),
    "top_k of 0": ((LOGITS, SCALE, 0), "top_k: must be 1 to the number of experts (4), got 0"),
    "negative top_k": ((LOGITS, SCALE, -1), "top_k: must be 1 to the number of experts (4), got -1"),
    "top_k above E": ((LOGITS, SCALE, 5), "top_k: must be 1 to the number of experts (4), got 5"),
    "float top_k": ((LOGITS, SCALE, 2.0), "top_k: must be an int, got 2.0"),
    "bool top_k": ((LOGITS, SCALE, True), "top_k: must be an int, got True"),
    "short scale": ((LOGITS, torch.ones(3), 1), SCALE_SHAPE + "[3]"),
    "long scale": ((LOGITS, torch.ones(5), 1), SCALE_SHAPE + "[5]"),
    "scale of one element": ((LOGITS, torch.ones(1), 1), SCALE_SHAPE + "[1]"),
    "scalar scale": ((LOGITS, torch.ones(()), 1), SCALE_SHAPE + "[]"),
    "scale of two dimensions": ((LOGITS, torch.ones(1, 4), 1), SCALE_SHAPE + "[1, 4]"),
    "integer scale": ((LOGITS, SCALE.long(), 1), SCALE_DTYPE + "torch.int64"),
    "fp8 scale": ((LOGITS, SCALE.to(torch.float8_e5m2), 1), SCALE_DTYPE + "torch.float8_e5m2"),
    "scale elsewhere": (
        (LOGITS, SCALE.to("meta"), 1),
        "per_expert_scale: must be on cpu as logits, got meta",
    ),
    "logits elsewhere": (
        (LOGITS.to("meta"), SCALE, 1),
        "per_expert_scale: must be on meta as logits, got cpu",
    ),
}

WRONG_CONFIGS = {
    "unknown parameter": ({"warps": 1}, f"config: 'warps' is no parameter of routing; it has {PARAMETERS}"),
    "unknown algorithm": (
        {"algorithm": "bogo"},
        "config: algorithm='bogo' is not one of sort, topk, select, two_step",
    ),
    "two parameters in one": (
        {"algorithm": "sort,num_warps=2"},
        "config: algorithm='sort,num_warps=2' is not one of sort, topk, select, two_step",
    ),
    "unknown scale_load": ({"scale_load": "all"}, "config: scale_load='all' is not one of row, ids"),
    "number as text": ({"num_warps": "2"}, "config: num_warps must be int, got '2'"),
    "bool": ({"num_warps": True}, "config: num_warps must be int, got True"),
    "float": ({"tokens_per_program": 2.0}, "config: tokens_per_program must be int, got 2.0"),
    "None": ({"algorithm": None}, "config: algorithm must be str, got None"),
    "no power of two": ({"num_warps": 3}, "config: num_warps=3 is no power of two up to 32"),
    "zero": ({"tokens_per_program": 0}, "config: tokens_per_program=0 is no power of two up to 1024"),
    "negative": ({"num_warps": -4}, "config: num_warps=-4 is no power of two up to 32"),
    "too many": ({"num_warps": 64}, "config: num_warps=64 is no power of two up to 32"),
    "no mapping": (["sort"], "config: must map names to values, got ['sort']"),
}


def message(text):
    return f"^{re.escape(text)}$"


@pytest.mark.parametrize(("arguments", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_argument_is_named_with_what_is_allowed(arguments, says):
    with pytest.raises(ValueError, match=message(says)):
        fused_routing(*arguments)


@pytest.mark.parametrize("tokens", [0, 3])
@pytest.mark.parametrize(("config", "says"), WRONG_CONFIGS.values(), ids=WRONG_CONFIGS)
def test_a_wrong_config_is_refused_on_every_path_and_without_tokens_too(config, says, tokens):
    with pytest.raises(ValueError, match=message(says)):
        fused_routing(torch.zeros(tokens, 4), SCALE, 2, config=config)


@pytest.mark.parametrize(
    "config",
    [None, {}, {"algorithm": "sort"}, MappingProxyType({"tokens_per_program": 16, "num_warps": 8})],
    ids=repr,
)
def test_a_config_may_name_all_parameters_some_or_none(config):
    weights, ids = fused_routing(LOGITS, SCALE, 2, config=config)
    assert weights.tolist() == [[0.5, 0.5]] * 3
    assert ids.tolist() == [[0, 1]] * 3
