"""The dashboard as one HTML file: its data in, its script only draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.dashboard.sharing import share
from workbench.report import page


def dashboard_html(record: Mapping[str, Any], *, live: bool = False) -> str:
    """The page, whole.

    Args:
        record: what `payload` gives.
        live: the page may ask the server that it came from, and nobody else, for newer data.
    """
    return page.page_html("dashboard", share(record), connect="'self'" if live else "'none'")
