"""`--csv` and `--parquet`: the rows behind a table as files."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pandas import DataFrame


def _check_pyarrow(path: Path | None) -> Path | None:
    from workbench.base.errors import InputError

    if path is not None and find_spec("pyarrow") is None:
        raise InputError("needs pyarrow: pip install 'moe-workbench[parquet]'", key="--parquet")
    return path


CsvFile = Annotated[
    Path | None,
    typer.Option("--csv", metavar="FILE", help="Write the rows as CSV, too.", show_default=False),
]
ParquetFile = Annotated[
    Path | None,
    typer.Option(
        "--parquet",
        metavar="FILE",
        help="Write the rows as Parquet, too; needs pyarrow.",
        show_default=False,
        # Before the command does anything.
        callback=_check_pyarrow,
    ),
]


def write_frame(csv: Path | None, parquet: Path | None, make: Callable[[], DataFrame]) -> None:
    """Writes a data frame to the files that were asked for, and says so on standard error.

    Args:
        csv: as CSV: UTF-8, a line of names first, what is missing empty.
        parquet: as Parquet, with the dtypes.
        make: makes the data frame; called only where a file was asked for.

    Raises:
        InputError: a file cannot be written.
    """
    from workbench.base.files import write_whole

    if csv is None and parquet is None:
        return
    frame = make()
    if csv is not None:
        write_whole(csv, frame.to_csv(index=False, lineterminator="\n"))
    if parquet is not None:
        packed = io.BytesIO()
        frame.to_parquet(packed, engine="pyarrow", index=False)
        write_whole(parquet, packed.getvalue())
    rows = f"{len(frame):,} row{'' if len(frame) == 1 else 's'} of {len(frame.columns)} columns"
    for path in filter(None, (csv, parquet)):
        print(f"{path}: {rows}", file=sys.stderr)
