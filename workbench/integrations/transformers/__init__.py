"""Our router and experts in a Gemma 4 of `transformers`, put in by one call and taken out by another."""

from __future__ import annotations

from workbench.integrations.transformers.patch import Patch, patch, unpatch

__all__ = ["Patch", "patch", "unpatch"]
