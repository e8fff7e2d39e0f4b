"""Eight-bit float weights and activations."""
