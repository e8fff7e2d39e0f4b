from __future__ import annotations

import pytest

from tests.support.chromium import BINARY, Chromium


@pytest.fixture
def chromium(tmp_path):
    """Opens Chromium on a page of its own; all are closed at the end."""
    if BINARY is None:
        pytest.skip("there is no Chromium (Debian: apt install chromium)")
    opened = []

    def open_(path, **options):
        browser = Chromium(tmp_path / f"profile{len(opened)}", **options)
        opened.append(browser)
        browser.open(path)
        browser.settle()
        return browser

    yield open_
    for browser in opened:
        browser.close()
