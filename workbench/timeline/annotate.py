"""Named ranges that every profiler sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def annotate(name: str) -> Iterator[None]:
    """Names a range for torch.profiler (record_function) and for Nsight Systems (nvtx) at once.

    Chrome traces of torch.profiler show the first only, Nsight the second only. Without CUDA there is no nvtx range.

    Args:
        name: what the range is called; `routing`, `experts`, `attention` and so on classify generic kernels inside.
    """
    import torch

    has_nvtx = torch.cuda.is_available()
    with torch.profiler.record_function(name):
        if has_nvtx:
            torch.cuda.nvtx.range_push(name)
        try:
            yield
        finally:
            if has_nvtx:
                torch.cuda.nvtx.range_pop()
