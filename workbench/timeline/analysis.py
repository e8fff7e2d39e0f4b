"""A trace with the class of each piece of its work, its steps and layers: what all reports start from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workbench.timeline.classify import classify
from workbench.timeline.kernel_classes import CLASSES
from workbench.timeline.layers import Layers, find_layers
from workbench.timeline.rules import Rules
from workbench.timeline.steps import Steps, find_steps
from workbench.timeline.trace import Int, Trace
from workbench.timeline.trace_file import read_trace

_NUMBER = {str(name): number for number, name in enumerate(CLASSES)}


@dataclass(frozen=True, slots=True)
class Analysis:
    """A trace and what was found in it.

    Attributes:
        classes: of each piece of its work, as index into `CLASSES`.
    """

    trace: Trace
    classes: Int
    steps: Steps
    layers: Layers


def analyse_file(path: Path, rules: Rules, *, cpu: bool = False) -> Analysis:
    """Reads and analyses a trace; see `read_trace`."""
    return analyse(read_trace(path, cpu=cpu), rules)


def analyse(trace: Trace, rules: Rules) -> Analysis:
    """Classifies the work of a trace and finds its steps and layers."""
    return with_layers(trace, classify(trace, rules), find_steps(trace))


def with_layers(trace: Trace, classes: Int, steps: Steps) -> Analysis:
    """The analysis that follows from classes and steps."""
    layers = find_layers([classes[step.members] for step in steps.steps], trace.modules)
    return Analysis(trace, classes, steps, layers)


def with_written_classes(analysis: Analysis) -> Analysis:
    """The analysis with the classes that its trace names beside each event, as `chrome_trace` writes them.

    Such a trace holds the work of its steps and neither the ops nor the ranges around it, by which CPU ops are told
    apart.
    """
    classes = analysis.classes.copy()
    for place, row in enumerate(analysis.trace.work.row.tolist()):
        named = getattr(analysis.trace.raw[row].args, "kernel_class", None)
        if isinstance(named, str) and named in _NUMBER:
            classes[place] = _NUMBER[named]
    return with_layers(analysis.trace, classes, analysis.steps)
