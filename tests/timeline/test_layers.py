from __future__ import annotations

import numpy as np
import pytest

from tests.timeline.traces import analysed, annotation, decode_events, kernel, write
from workbench.timeline.kernel_classes import CLASSES
from workbench.timeline.layers import find_layers, layer_spans


def classes(*names):
    return np.array([CLASSES.index(name) for name in names])


LAYER = ("norm", "gemm", "rope", "kv_cache", "attention", "gemm", "norm", "routing", "routing", "experts")


def test_a_sequence_that_repeats_is_as_many_layers():
    step = classes("embedding", *LAYER * 30, "norm", "gemm", "sampling")
    assert (find_layers([step], ()).count, find_layers([step], ()).anchor) == (30, "attention")


def test_layers_of_two_kinds_in_turn_count_all():
    sliding = LAYER
    every_sixth = tuple(name for name in LAYER if name != "rope")
    step = classes("embedding", *(sliding * 5 + every_sixth) * 5, "norm", "gemm")
    assert find_layers([step], ()).count == 30


def test_routing_and_experts_in_parts_are_one_block_a_layer():
    layer = ("gemm", "routing", "norm", "routing", "experts", "activation", "experts", "norm")
    step = classes("embedding", *layer * 6, "gemm")
    assert (find_layers([step], ()).count, find_layers([step], ()).anchor) == (6, "routing")
    assert [end - start for start, end in layer_spans(step, "routing")] == [len(layer)] * 6


@pytest.mark.parametrize(
    "step", [("gemm",) * 40, ("attention", "gemm", "norm", "copy", "attention", "sort", "attention")]
)
def test_what_does_not_repeat_has_no_known_layers(step):
    found = find_layers([classes(*step)], ())
    assert (found.count, found.anchor) == (None, None)


def test_steps_that_disagree_leave_the_layers_unknown():
    assert find_layers([classes(*LAYER * 30), classes(*LAYER * 12)], ()).count is None


def test_names_of_layers_decide():
    names = [f"model.layers.{i}.mlp" for i in range(7)]
    found = find_layers([classes("gemm", "gemm")], names)
    assert (found.count, found.source) == (7, "names of layers in the trace")


@pytest.mark.parametrize("names", [["layers.3"], ["layers.1", "layers.7"], ["players.1", "players.2"]])
def test_names_that_are_no_run_of_layers_do_not(names):
    assert find_layers([classes("gemm")], names).count is None


def test_layers_begin_where_the_way_to_their_anchor_begins_to_repeat():
    step = classes("copy", "embedding", *LAYER * 3, "norm", "gemm", "sampling")
    size = len(LAYER)
    assert layer_spans(step, "attention") == tuple((2 + i * size, 2 + (i + 1) * size) for i in range(3))


def test_annotations_name_layers_too(tmp_path):
    events = [annotation(f"layer.{i}", 10 * i, 9) for i in range(5)] + [kernel("x", 0, 1)]
    assert analysed(write(tmp_path / "trace.json", events)).layers.count == 5


def test_layers_of_a_trace_are_those_that_it_was_made_of(tmp_path):
    assert analysed(write(tmp_path / "trace.json", decode_events("fused", layers=6))).layers.count == 6
