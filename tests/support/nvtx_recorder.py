"""Stands in for the package `nvtx` and records the ranges that it is asked for."""

from __future__ import annotations

import sys
from types import ModuleType

DOMAIN = "workbench"


class NvtxRecorder:
    """`opened` holds each range as its path (`layer 0/attention`), in the order in which they were opened."""

    def __init__(self):
        self.open, self.opened = [], []

    def push(self, name):
        self.open.append(name)
        self.opened.append("/".join(self.open))

    def pop(self, name):
        assert self.open.pop() == name


def record_ranges(monkeypatch):
    recorder = NvtxRecorder()

    class annotate:  # noqa: N801 - as the package calls it
        def __init__(self, message, *, domain):
            assert domain == DOMAIN
            self.message = message

        def __enter__(self):
            recorder.push(self.message)

        def __exit__(self, *_):
            recorder.pop(self.message)

    module = ModuleType("nvtx")
    module.annotate = annotate
    monkeypatch.setitem(sys.modules, "nvtx", module)
    return recorder
