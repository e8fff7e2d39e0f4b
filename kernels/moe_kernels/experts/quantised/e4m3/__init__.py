"""The eight-bit float e4m3, on GPUs that have it and others."""
