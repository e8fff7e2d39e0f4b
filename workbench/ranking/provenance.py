"""What a fit says of itself: which tables and journals, how many rows of which GPUs, and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.ranking.choices import Choice
from workbench.ranking.tables import Reading


def provenance(
    choices: Sequence[Choice], reading: Reading | None, journals: Sequence[Path]
) -> Mapping[str, Any]:
    """The provenance of a fit to some choices.

    Args:
        choices: all that were read; those of weight 0 do not count.
        reading: the tables they come from, where there are some.
        journals: folders of runs.
    """
    rows = Counter(f"{choice.board.name}, {choice.workload.dtype}" for choice in choices if choice.weight > 0)
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "tables": dict(reading.sources) if reading else {},
        "journals": [journal.name for journal in journals],
        "rows": dict(sorted(rows.items())),
    }
