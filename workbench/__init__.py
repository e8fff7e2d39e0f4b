"""Profiling and kernel-autotuning workbench for mixture-of-experts decode."""

from workbench.base.version import __version__

__all__ = ["__version__"]
