"""Named ranges that every profiler sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from workbench.base.ranges import nvtx_asked, nvtx_range


@contextmanager
def annotate(name: str) -> Iterator[None]:
    """Names a range for torch.profiler (record_function) and for Nsight Systems (nvtx) at once.

    Chrome traces of torch.profiler show the first only, Nsight the second only. Without CUDA there is an nvtx range
    only where `--nvtx` asks for one.

    Args:
        name: what the range is called; `routing`, `experts`, `attention` and so on classify generic kernels inside.
    """
    import torch

    shown = nvtx_range(name) if nvtx_asked() or torch.cuda.is_available() else nullcontext()
    with torch.profiler.record_function(name), shown:
        yield
