"""The space of a sweep: `build` reads it off the sweep file, `join` enumerates it, one parameter at a time."""

from workbench.sweep.space.build import MAX_CONFIGS, Space, build_space

__all__ = ["MAX_CONFIGS", "Space", "build_space"]
