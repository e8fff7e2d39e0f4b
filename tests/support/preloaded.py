"""What the server of warm workers imports once for all; not Triton, which each imports with its own settings."""

from __future__ import annotations

import sys

import torch.fx.experimental.symbolic_shapes  # noqa: F401 - the better part of what workers import

assert "triton" not in sys.modules
