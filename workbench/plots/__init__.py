"""Draws with matplotlib what `workbench.figures` collected; computes nothing, and imports matplotlib only to draw."""
