"""Decode benchmarks: workloads, the runner, importers of engine results, and the rows that all of them write."""
