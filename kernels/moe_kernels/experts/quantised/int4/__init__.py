"""Four-bit integer weights."""
