"""How every plot looks: two themes, one colour an arm, a heading with the finding, and a caption with its n.

The colours of arms are Okabe and Ito's, which people with any common colour blindness tell apart (Color Universal
Design, 2008), lightened for the dark theme; a baseline is grey.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.figures.bench.arms import palette_places
from workbench.figures.heading import Heading

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
_INCH_A_LINE = 0.165


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """Colours of one theme, as matplotlib takes them.

    Attributes:
        name: `light` or `dark`, the ending of a file's name.
        muted: captions, ticks, reference lines.
        baseline: the baseline arm's.
        palette: the other arms'.
        good: of what is valid.
        bad: of what failed.
        scale: the name of a sequential colour map.
    """

    name: str
    background: str
    text: str
    muted: str
    grid: str
    baseline: str
    palette: tuple[str, ...]
    good: str
    bad: str
    scale: str

    @property
    def rc(self) -> Mapping[str, Any]:
        """The theme as matplotlib's settings, with what makes its files the same at every run."""
        return {
            "figure.facecolor": self.background,
            "savefig.facecolor": self.background,
            "axes.facecolor": self.background,
            "axes.edgecolor": self.muted,
            "axes.labelcolor": self.text,
            "axes.titlecolor": self.text,
            "axes.titlesize": 9,
            "axes.labelsize": 9,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "grid.color": self.grid,
            "grid.linewidth": 0.6,
            "text.color": self.text,
            "xtick.color": self.muted,
            "ytick.color": self.muted,
            "xtick.labelcolor": self.text,
            "ytick.labelcolor": self.text,
            "xtick.labelsize": 8,
            "ytick.labelsize": 8,
            "legend.fontsize": 8,
            "legend.frameon": False,
            "hatch.color": self.muted,
            "hatch.linewidth": 0.6,
            "font.family": "DejaVu Sans",
            "font.size": 9,
            # Names come from files: a dollar sign in one is no formula.
            "text.parse_math": False,
            "axes.formatter.use_mathtext": False,
            "svg.hashsalt": "workbench",
            "svg.fonttype": "path",
        }


LIGHT = Theme(
    name="light",
    background="#ffffff",
    text="#1f2328",
    muted="#6e7781",
    grid="#e4e7eb",
    baseline="#8c959f",
    palette=("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"),
    good="#009e73",
    bad="#b3261e",
    scale="viridis",
)
DARK = Theme(
    name="dark",
    background="#0d1117",
    text="#e6edf3",
    muted="#8b949e",
    grid="#262c36",
    baseline="#9aa4af",
    palette=("#ff9d5c", "#58a6ff", "#3fcf9f", "#e39ac4", "#9adcff", "#f2c14e"),
    good="#3fcf9f",
    bad="#ff7b72",
    scale="viridis",
)
THEMES = (LIGHT, DARK)


def arm_colours(arms: Sequence[str], baseline: str | None, theme: Theme) -> dict[str, str]:
    """One colour an arm, of the palette by its place there."""
    places = palette_places(arms, baseline)
    return {arm: theme.baseline if place < 0 else theme.palette[place] for arm, place in places.items()}


def frame(figure: Figure, heading: Heading, theme: Theme) -> None:
    """Writes the heading and the caption, and leaves the rest of the figure to the axes."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    width, height = figure.get_size_inches()
    columns = int(width * 15.5)
    title = textwrap.wrap(heading.title, int(width * 9.5))
    subtitle = textwrap.wrap(heading.subtitle, columns)
    notes = [line for note in heading.notes for line in textwrap.wrap(note, columns)]
    head = 0.12 + 0.23 * len(title) + _INCH_A_LINE * len(subtitle) + 0.06
    foot = 0.08 + _INCH_A_LINE * len(notes)
    left = 0.12 / width
    figure.text(left, 1 - 0.1 / height, "\n".join(title), size=12, weight="bold", va="top")
    below = 1 - (0.14 + 0.23 * len(title)) / height
    figure.text(left, below, "\n".join(subtitle), size=8.5, color=theme.muted, va="top")
    figure.text(
        left, 0.06 / height, "\n".join(notes), size=8, color=theme.muted, va="bottom", linespacing=1.35
    )
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(rect=(0, foot / height, 1, 1 - (head + foot) / height))


def log2_ticks(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic x axis with a tick at each value that occurs, as plain numbers."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(sorted(set(values))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if values:
        axes.set_xlim(min(values) / 1.25, max(values) * 1.25)


def mark_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Names the rows of a horizontal bar chart, the first at the top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(max(len(labels), 3) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
