"""The stages of a candidate before it is timed: compile, screen, verify."""
