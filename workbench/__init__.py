"""Profiling and kernel-autotuning workbench for mixture-of-experts decode."""

__version__ = "0.1.0"
