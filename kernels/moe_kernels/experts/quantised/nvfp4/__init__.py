"""NVFP4 weights."""
