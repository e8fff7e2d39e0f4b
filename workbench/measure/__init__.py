"""The race of configs against the default: rounds, clocks, timers."""
