"""Puts stand-ins of the engines' packages on the path, and takes them away again."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path

from workbench.sweep.kernels import load_kernel

STAND_INS = Path(__file__).parent / "stand_ins"
_TOP = ("vllm", "sglang", "grouped_gemm")


@contextmanager
def stand_in_engines():
    _forget()
    sys.path.insert(0, str(STAND_INS))
    try:
        yield
    finally:
        sys.path.remove(str(STAND_INS))
        _forget()


def _forget():
    load_kernel.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] in _TOP]:
        del sys.modules[name]
