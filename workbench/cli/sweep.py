"""`workbench sweep`."""

from __future__ import annotations


def sweep() -> None:
    """Not there yet."""
    raise NotImplementedError
