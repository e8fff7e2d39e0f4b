"""What a page is made of: everything is text, or a number that Python has computed and the page only draws."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from workbench.dashboard.pictures import Chart, HeatMap, Timeline

Tone = Literal["", "good", "bad", "quiet", "strong"]
Kind = Literal["text", "number", "config", "evidence", "strip", "share"]


@dataclass(frozen=True, slots=True)
class Facets:
    """What a row or a chart is about, for the filters; empty where a filter does not apply to it."""

    device: str = ""
    kernel: str = ""
    evidence: tuple[str, ...] = ()


EVERYTHING = Facets()


@dataclass(frozen=True, slots=True)
class Bar:
    """One rung of a strip: its height over the line at 1.0, as a share of the highest.

    Attributes:
        share: -1 to 1.
        text: what it stands for.
        timed: drawn solid; otherwise hollow.
    """

    share: float
    text: str
    timed: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    Attributes:
        sort: what it is sorted by, where that is not its text; None sorts last.
        hint: more of it, on hovering.
        share: of a bar, 0 to 1.
    """

    text: str
    sort: float | str | None = None
    tone: Tone = ""
    hint: str = ""
    bars: tuple[Bar, ...] = ()
    share: float | None = None


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table.

    Attributes:
        name: in a deep link.
        help: more of the heading, on hovering.
    """

    name: str
    label: str
    kind: Kind = "text"
    sortable: bool = True
    help: str = ""


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of a table.

    Attributes:
        cells: one a column.
        detail: a table below it, opened on demand.
        name: of the row in a deep link, where it has a detail.
    """

    cells: tuple[Cell, ...]
    facets: Facets = EVERYTHING
    detail: TableBlock | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class TableBlock:
    """A table.

    Attributes:
        name: in a deep link; empty where it is not sorted by one.
        rows: in the order in which they stand at first, which `sort` says.
        sort: a column's name and whether it descends, None where the order means something else.
        total: what the count of rows counts, `problems`.
        folded: shown on demand only: the same as a picture beside it.
    """

    name: str
    caption: str
    columns: tuple[TableColumn, ...]
    rows: tuple[TableRow, ...]
    sort: tuple[str, bool] | None = None
    total: str = "rows"
    folded: bool = False
    kind: Literal["table"] = "table"


@dataclass(frozen=True, slots=True)
class Text:
    """Lines of text; `warn` for what limits the figures."""

    lines: tuple[str, ...]
    tone: Literal["", "warn"] = ""
    kind: Literal["text"] = "text"


@dataclass(frozen=True, slots=True)
class Option:
    """One of several things that can be shown.

    Attributes:
        name: in a deep link.
    """

    name: str
    label: str
    blocks: tuple[Block, ...]
    facets: Facets = EVERYTHING


@dataclass(frozen=True, slots=True)
class Selector:
    """Several things of which one is shown at a time.

    Attributes:
        name: in a deep link.
        options: the first is shown at first.
    """

    name: str
    label: str
    options: tuple[Option, ...]
    kind: Literal["choice"] = "choice"


Block = TableBlock | Chart | HeatMap | Timeline | Text | Selector


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        name: in a deep link.
        finding: what it found, in one sentence.
        notes: what its words mean, and what limits it.
        empty: True where there is nothing to show; the finding then says what to do.
    """

    name: str
    title: str
    finding: str
    blocks: tuple[Block, ...] = ()
    notes: tuple[str, ...] = ()
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Highlight:
    """One figure at the top of the page.

    Attributes:
        panel: where more of it is, a panel's name or empty.
    """

    label: str
    value: str
    detail: str
    panel: str = ""
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class Choosable:
    """A value of a filter: as rows have it and as it is shown."""

    value: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """A whole page.

    Attributes:
        subtitle: which folder, which definition, when.
        highlights: the findings, at the top.
        damaged: the table of damaged files, None where there is none.
        panels: in the definition's order.
    """

    title: str
    subtitle: str
    highlights: tuple[Highlight, ...]
    devices: tuple[Choosable, ...]
    kernels: tuple[Choosable, ...]
    evidence: tuple[Choosable, ...]
    damaged: TableBlock | None
    panels: tuple[Panel, ...] = field(default=())
