"""The error of a checkpoint that cannot be read."""

from __future__ import annotations

from workbench.base.errors import InputError


class CheckpointError(InputError, ValueError):
    """A checkpoint that cannot be read; the message names the file and the tensor or key."""
