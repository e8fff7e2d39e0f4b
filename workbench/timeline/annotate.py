"""Named ranges that every profiler sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext


@contextmanager
def annotate(name: str) -> Iterator[None]:
    """Names a range for torch.profiler (record_function) and for Nsight Systems (nvtx) at once.

    Chrome traces of torch.profiler show the first only, Nsight the second only. Without CUDA there is no nvtx range.

    Args:
        name: what the range is called; `routing`, `experts`, `attention` and so on classify generic kernels inside.
    """
    import torch

    nvtx = torch.cuda.nvtx.range(name) if torch.cuda.is_available() else nullcontext()
    with torch.profiler.record_function(name), nvtx:
        yield
