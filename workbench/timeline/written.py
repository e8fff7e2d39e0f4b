"""Classes as a trace of ours has them written beside each event.

Such a trace holds the work of its steps and neither the ops nor the ranges around it, by which CPU ops are told apart.
"""

from __future__ import annotations

from dataclasses import replace

from workbench.timeline.kernel_classes import CLASSES
from workbench.timeline.layers import find_layers
from workbench.timeline.summary import Analysis

_NUMBER = {str(name): number for number, name in enumerate(CLASSES)}


def as_written(analysis: Analysis) -> Analysis:
    """The analysis with the classes that its trace names, and the layers that follow from them."""
    classes = analysis.classes.copy()
    for place, row in enumerate(analysis.trace.work.row.tolist()):
        named = getattr(analysis.trace.raw[row].args, "kernel_class", None)
        if isinstance(named, str) and named in _NUMBER:
            classes[place] = _NUMBER[named]
    layers = find_layers([classes[step.members] for step in analysis.steps.steps], analysis.trace.modules)
    return replace(analysis, classes=classes, layers=layers)
