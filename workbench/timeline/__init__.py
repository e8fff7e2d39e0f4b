"""Decode timelines: reads any torch.profiler trace, classifies its kernels, and says what changed between two.

    unpack -> decode -> trace_file -> classify, steps, layers -> analysis -> summary -> record | diff | what_if
                                                                          -> chrome (merge) | page (view)

A trace is read on any machine: of this, only what runs a model (`profile` and its parts) imports torch.
"""
