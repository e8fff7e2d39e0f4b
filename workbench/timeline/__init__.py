"""Decode timelines: reads any torch.profiler trace, classifies its kernels, and says what changed between two.

    source -> decode -> read -> classify -> steps -> layers -> summary -> diff | what_if | merge | page

Nothing here imports torch at module level: a trace is read on any machine.
"""
