from __future__ import annotations

import pytest
from transformers.models.gemma4.configuration_gemma4 import Gemma4TextConfig as HfTextConfig


@pytest.fixture(autouse=True, scope="package")
def _assistants_of_transformers_can_be_built():
    """transformers 5.23 refuses the one sharing that its own assistants must have: every layer reads."""
    original = HfTextConfig.kv_sharing_modes

    def kv_sharing_modes(self):
        if self.num_kv_shared_layers == self.num_hidden_layers:
            return ["reuse"] * self.num_hidden_layers
        return original.fget(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HfTextConfig, "kv_sharing_modes", property(kv_sharing_modes))
        yield
