"""`workbench show`."""

from __future__ import annotations


def show() -> None:
    """Not there yet."""
    raise NotImplementedError
