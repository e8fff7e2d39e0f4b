"""`workbench explain`."""

from __future__ import annotations


def explain() -> None:
    """Not there yet."""
    raise NotImplementedError
