"""The GPU catalogue and what GPU is at hand."""
