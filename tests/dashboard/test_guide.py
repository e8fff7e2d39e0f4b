from __future__ import annotations

import re
import textwrap
from pathlib import Path

from workbench.dashboard.definition import Panels, load_definition

GUIDE = (Path(__file__).parents[2] / "docs" / "dashboard.md").read_text(encoding="utf-8")


def test_the_guides_definition_is_one(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        textwrap.dedent(re.search(r"    title: Routing.*?\n\n", GUIDE, re.DOTALL)[0])
    )
    assert list(load_definition(tmp_path / "mine.yaml").panels) == [
        "winners",
        "changes",
        "landscape",
        "serving",
        "timeline",
    ]


def test_the_guide_names_every_panel_and_field():
    for name, field in Panels.model_fields.items():
        assert f"`{name}`" in GUIDE
        options = next(each for each in field.annotation.__args__ if each is not type(None))
        assert [key for key in options.model_fields if f"`{key}`" not in GUIDE] == []
