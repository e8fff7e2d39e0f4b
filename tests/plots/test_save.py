from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree

import pytest

from workbench.base.errors import InputError
from workbench.figures.heading import Heading
from workbench.plots.save import Plot, draw, save_plots
from workbench.plots.style import LIGHT, frame


def drawn(text):
    def on(figure, theme):
        frame(figure, Heading(text, "subtitle", ("a note",)), theme)
        figure.subplots().plot([1, 2], [3, 4], label=text)

    return Plot("mine", (4.0, 3.0), on)


def test_every_theme_and_format_is_written(tmp_path):
    files = save_plots([drawn("x")], tmp_path / "plots")
    names = {"mine-light.png", "mine-light.svg", "mine-dark.png", "mine-dark.svg"}
    assert {path.name for path in files} == names == {path.name for path in (tmp_path / "plots").iterdir()}
    assert (tmp_path / "plots" / "mine-dark.png").read_bytes().startswith(b"\x89PNG")
    assert ElementTree.parse(tmp_path / "plots" / "mine-light.svg").getroot().tag.endswith("svg")


def test_the_files_are_the_same_at_every_run(tmp_path):
    first, second = (save_plots([drawn("x")], tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.parametrize("text", ["$x^2$ costs $5", r"$\frac{", "<b>&amp;</b>", "日本", "\\textbf{x}"])
def test_names_from_files_are_no_markup(tmp_path, text):
    save_plots([drawn(text)], tmp_path)
    assert text in [each.get_text() for each in draw(drawn(text), LIGHT).texts]


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "plots").write_text("a file")
    with pytest.raises(InputError, match="cannot be written"):
        save_plots([drawn("x")], tmp_path / "plots")


def test_a_plot_leaves_matplotlibs_settings_and_figures_alone():
    code = (
        "import sys, matplotlib\n"
        "from workbench.plots.save import Plot, draw\n"
        "from workbench.plots.style import DARK\n"
        "before = matplotlib.rcParams.copy()\n"
        "draw(Plot('x', (3, 2), lambda figure, theme: figure.subplots()), DARK)\n"
        "assert matplotlib.rcParams.copy() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
