"""The grouped product for weights in a quantised format."""
