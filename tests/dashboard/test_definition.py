from __future__ import annotations

import pytest

from workbench.base.errors import InputError
from workbench.base.shipped import shipped_dashboards
from workbench.dashboard.collect import PANELS
from workbench.dashboard.definition import Panels, WinnersPanel, load_definition


@pytest.fixture
def written(tmp_path):
    def written(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return path

    return written


@pytest.mark.parametrize("name", shipped_dashboards())
def test_every_shipped_definition_is_one(name):
    assert load_definition(shipped_dashboards()[name]).panels


def test_the_overview_has_every_panel():
    assert set(load_definition(shipped_dashboards()["overview"]).panels) == set(Panels.model_fields)


def test_every_panel_that_can_be_named_can_be_collected():
    assert {*PANELS, "timeline"} == set(Panels.model_fields)


def test_panels_stand_in_the_order_of_the_file(written):
    loaded = load_definition(written("panels: {pareto: , winners: {sort: age}, devices: }"))
    assert list(loaded.panels) == ["pareto", "winners", "devices"]
    assert loaded.panels["winners"] == WinnersPanel(sort="age")


@pytest.mark.parametrize(
    "text, said",
    [
        (
            "panels:\n  winers:",
            "2: panels.winers: unknown key (did you mean 'winners'?); allowed: devices, winners",
        ),
        (
            "panels:\n  winners:\n    colour: red",
            "3: panels.winners.colour: unknown key; allowed: title, note",
        ),
        (
            "tilte: x\npanels: {winners: }",
            "1: tilte: unknown key (did you mean 'title'?); allowed: title, panels",
        ),
        (
            "panels:\n  winners: {sort: spedup}",
            "panels.winners.sort: must be 'device', 'kernel', 'problem', 'speedup'",
        ),
        ("panels:\n  serving: {metrics: [tpto]}", "2: panels.serving.metrics[0]: must be 'tpot'"),
        (
            "panels:\n  landscape: {runs: 0}",
            "2: panels.landscape.runs: must be greater than or equal to 1, got 0",
        ),
        ("panels: {}", "1: panels: is empty; at least one panel is needed: devices, winners"),
        ("panels: [winners]", "1: panels: must be a mapping"),
        ("title: x", "panels: this key is required and is missing"),
        (
            "panels:\n  winners:\n    devices: [b200, b200]",
            "3: panels.winners.devices: 'b200' is listed twice",
        ),
        ("panels: {winners: !!python/none }", "the tag"),
    ],
)
def test_what_is_wrong_is_named_with_file_line_and_key(written, text, said):
    path = written(text)
    with pytest.raises(InputError) as error:
        load_definition(path)
    assert str(error.value).startswith(f"{path}:")
    assert said in str(error.value)
