"""Draws a plot in every theme and writes it as PNG and SVG, whole and the same at every run."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.base.files import write_whole
from workbench.plots.style import THEMES, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")
DPI = 160
# What would make a file differ between runs or between versions of matplotlib.
_METADATA = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot that can be drawn.

    Attributes:
        name: of its files, without theme and format.
        size: width and height, inches.
        draw: draws its data, which it carries, into an empty figure.
    """

    name: str
    size: tuple[float, float]
    draw: Callable[[Figure, Theme], None]


def draw(plot: Plot, theme: Theme) -> Figure:
    """A plot as a figure of its own, without matplotlib's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with _settings(theme):
        figure = Figure(figsize=plot.size, layout="constrained")
        FigureCanvasAgg(figure)
        plot.draw(figure, theme)
    return figure


def save_plots(plots: Sequence[Plot], folder: Path) -> list[Path]:
    """Writes `<name>-<theme>.<format>` of every plot in every theme and format; all are drawn before one is written.

    Raises:
        InputError: a file cannot be written.
    """
    pictures = {
        folder / f"{plot.name}-{theme.name}.{kind}": content
        for plot in plots
        for theme in THEMES
        for kind, content in _rendered(plot, theme).items()
    }
    for path, content in pictures.items():
        write_whole(path, content)
    return list(pictures)


def _settings(theme: Theme) -> AbstractContextManager[None]:
    import matplotlib

    settings: Any = dict(theme.rc)
    return matplotlib.rc_context(settings)


def _rendered(plot: Plot, theme: Theme) -> dict[str, bytes]:
    figure, rendered = draw(plot, theme), {}
    with _settings(theme), warnings.catch_warnings():
        # A name may hold a character that the font lacks; it is shown as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        # Laid out once: it is most of the time that a figure with many panels takes.
        if (engine := figure.get_layout_engine()) is not None:
            engine.execute(figure)
            figure.set_layout_engine("none")
        for kind in FORMATS:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=DPI, metadata=_METADATA[kind])
            rendered[kind] = buffer.getvalue()
    return rendered
