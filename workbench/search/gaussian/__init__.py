"""The parts of the `auto` search: coordinates, first configs, compressed target, Gaussian process, acquisition."""
