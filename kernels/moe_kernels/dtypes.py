"""Torch's dtypes by the words that engines, sweep files and results have for them."""

from __future__ import annotations

from collections.abc import Mapping

import torch

DTYPES: Mapping[str, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
WORDS: Mapping[torch.dtype, str] = {dtype: word for word, dtype in DTYPES.items()}
