"""Profiling and kernel-autotuning workbench for mixture-of-experts decode.

What it writes, as pandas data frames:

    winners, trials, samples    of sweeps
    bench_rows                  of decode benchmarks
    kernels, trace_classes      of traces
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.base.version import __version__

__all__ = ["__version__", "bench_rows", "kernels", "samples", "trace_classes", "trials", "winners"]

if TYPE_CHECKING:
    from workbench.bench.frames import bench_rows
    from workbench.timeline.frames import kernels, trace_classes
    from workbench.trials.frames import samples, trials, winners
else:
    # Not imported before they are asked for: a command starts without them.
    _PLACES = {
        "bench_rows": "bench",
        "kernels": "timeline",
        "samples": "trials",
        "trace_classes": "timeline",
        "winners": "trials",
    }

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name == "trials":
            # The package of that name, which can be called.
            return import_module("workbench.trials")
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"workbench.{_PLACES[name]}.frames"), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
