"""Progress of a benchmark: runs done, what runs now, and about how long it takes still."""

from __future__ import annotations

from workbench.bench.rows import BenchRow
from workbench.report.progress import display


class BenchProgress:
    """Tells on standard error how a benchmark goes; a context manager.

    Args:
        runs: how many runs there are, warm-ups included.
    """

    def __init__(self, runs: int) -> None:
        self._display = display("bench")
        self._runs, self._begun = max(1, runs), 0

    def __enter__(self) -> BenchProgress:
        self._display.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._display.stop()

    def note(self, text: str) -> None:
        """Says something on a line of its own."""
        self._display.line(text)

    def told(self, text: str) -> None:
        """A run begins."""
        if self._begun:
            # An estimate needs something that is done; runs of failed arms never begin, so it errs on the long side.
            self._display.show(text, min(self._begun, self._runs), self._runs)
        self._begun += 1

    def row(self, row: BenchRow) -> None:
        """A row is known and written."""
        figure = row.metrics.get("tpot_p50_ms")
        told = row.status if figure is None else f"TPOT p50 {figure.value:.4g} ms"
        reason = f": {row.reason}" if row.reason else ""
        self._display.line(f"{row.arm} at concurrency {row.concurrency}: {told}{reason}")
