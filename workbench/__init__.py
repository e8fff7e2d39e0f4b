"""Profiling and kernel-autotuning workbench for mixture-of-experts decode.

What it writes, as pandas data frames:

    winners, trial_rows, samples     of sweeps
    bench_rows                       of decode benchmarks
    kernels, trace_classes           of traces
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.base.version import __version__

__all__ = ["__version__", "bench_rows", "kernels", "samples", "trace_classes", "trial_rows", "winners"]

if TYPE_CHECKING:
    from workbench.bench.frames import bench_rows
    from workbench.timeline.frames import kernels, trace_classes
    from workbench.trials.frames import samples, trial_rows, winners
else:
    # Not imported before they are asked for: a command starts without them.
    _PLACES = {
        "bench_rows": "bench",
        "kernels": "timeline",
        "samples": "trials",
        "trace_classes": "timeline",
        "trial_rows": "trials",
        "winners": "trials",
    }

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"workbench.{_PLACES[name]}.frames"), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
