"""Winners of sweeps as entries: a row of a results file each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from moe_kernels.tuned import Row, TunedFile
from workbench.compare.entry import Entry, Fact, GateMetric
from workbench.compare.log_estimates import LogEstimate, of_interval, with_error
from workbench.trials.winners import read_results_file

METRICS = (
    GateMetric(name="time_us", counts=True, control="default_us"),
    # The default is timed in the same rounds: what drifts from run to run cancels.
    GateMetric(name="speedup", better="higher", counts=True, paired=True, same_source=True),
    GateMetric(name="default_us"),
)
# A row's interval is the hull of two sessions: too narrow where these agree by chance, too wide where they do not. The
# other rows tell which; a handful of degrees of freedom lets them.
SESSIONS_FREEDOM = 4.0
# Says how certain a row had to be, not how it was timed.
_NO_FACT = frozenset({"margin", "timed", "noise_floor"})


def read(path: Path) -> tuple[Entry, ...]:
    """The rows of a results file.

    Raises:
        InputError: it is damaged.
    """
    file = read_results_file(path)
    return tuple(_entry(file, tokens, row) for tokens, row in file.rows.items())


def _entry(file: TunedFile, tokens: int, row: Row) -> Entry:
    timed = row.evidence == "measured"
    axes = {axis: f"{axis}={value}" for axis, value in file.problem.items()}
    return Entry(
        key={"device": file.device, "kernel": file.kernel, **axes, "tokens": str(tokens)},
        facts=dict(_facts(file, row)),
        figures=_figures(row),
        timed=timed,
        source=file.runs[row.run].source_hash,
        config=" ".join(f"{name}={value}" for name, value in row.config.items()),
    )


def _facts(file: TunedFile, row: Row) -> Iterator[tuple[str, Fact]]:
    yield "device_name", file.device_name
    yield "arch", file.arch
    yield "evidence", row.evidence
    yield from ((f"versions.{name}", text) for name, text in file.runs[row.run].versions.items())
    yield from (
        (f"measure.{name}", str(value)) for name, value in row.measure.items() if name not in _NO_FACT
    )


def _figures(row: Row) -> Mapping[str, LogEstimate]:
    """The default's own interval is in no file: it was timed in the same rounds, and gets the row's error."""
    time = (
        of_interval(row.time_us, *row.ci_us, freedom=SESSIONS_FREEDOM)
        if row.ci_us
        else LogEstimate(row.time_us)
    )
    figures = {"time_us": time}
    if row.default_time_us is not None and row.speedup is not None:
        figures["default_us"] = with_error(row.default_time_us, time.error)
        paired = None if time.error is None else 2**0.5 * time.error
        figures["speedup"] = with_error(row.speedup, paired)
    return figures
