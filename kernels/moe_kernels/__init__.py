"""Fused mixture-of-experts kernels with their tuned configs; imports nothing of `workbench`."""
