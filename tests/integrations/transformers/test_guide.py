from __future__ import annotations

import re
from pathlib import Path

import torch

from tests.integrations.transformers.models import causal_model

GUIDE = Path(__file__).parents[3] / "docs" / "transformers.md"


def test_the_example_of_the_guide_runs(tmp_path):
    causal_model().save_pretrained(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert "path/to/gemma-4-26B-A4B-it" in example
    names = {}
    exec(example.replace("path/to/gemma-4-26B-A4B-it", str(tmp_path)), names)
    assert names["ours"].shape == (1, 11)
    assert torch.equal(names["again"], names["ours"])
