"""Weights that the expert kernels dequantise as they read them, a module a format."""
