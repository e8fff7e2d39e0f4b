"""TTFT, TPOT, inter-token and end-to-end latency of an engine's record, with what spread its details give.

vLLM and SGLang write the same statistics under nearly the same names, in milliseconds, and both take TPOT as
(latency - TTFT) / (output tokens - 1) of a request. Where the run was asked for details, both add lists with an entry
a request, in seconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from workbench.bench.figures import Figure, of_mean, of_quantile, single
from workbench.bench.importers.records import Record
from workbench.bench.metrics import PERCENTILES, latency_metric

# A unit slip is a factor of 1000; a run whose numbers fit only roughly is none.
SLIP = 100.0
FASTEST_TPOT_MS = 0.05
AGREES = 0.01
_OTHER_UNIT = re.compile(r"((?:mean|median|std|p[\d.]+)_(?:ttft|tpot|itl|e2el|e2e_latency))_(?!ms$)([a-z]+)")


def latency_figures(record: Record, names: Mapping[str, str], completed: int) -> dict[str, Figure]:
    """The latencies of a record as figures.

    Args:
        record: one run.
        names: the engine's word for each latency of `LATENCIES`.
        completed: requests that succeeded, at least one.

    Raises:
        InputError: TPOT or a part of another latency is missing, is no finite number, or is in another unit.
    """
    _check_keys(record)
    details = _details(record)
    figures: dict[str, Figure] = {}
    for latency, name in names.items():
        std = record.optional_number(f"std_{name}_ms")
        for statistic, value in _stated(record, name, required=latency == "tpot").items():
            figure = single(value, completed, "requests")
            if statistic == "mean" and std is not None and latency != "itl":
                figure = of_mean(value, std, completed)
            spread = _spread(details.get(latency, ()), statistic, value, latency)
            figures[latency_metric(latency, statistic)] = spread or figure
    return figures


def _stated(record: Record, name: str, *, required: bool) -> dict[str, float]:
    """The statistics of one latency as the file has them, milliseconds; nothing where none was measured."""
    mean, median = f"mean_{name}_ms", f"median_{name}_ms"
    optional = {each: record.optional_number(f"{each}_{name}_ms") for each in PERCENTILES}
    if not required and not any(map(record.has, (mean, median))) and not any(optional.values()):
        return {}
    stated = {"mean": record.number_at(mean), "p50": record.number_at(median)}
    stated |= {each: value for each, value in optional.items() if value is not None and each != "p50"}
    if not any(stated.values()):
        # What both engines write where there was nothing to take a mean of, as TPOT with outputs of one token.
        return {}
    _check_order(record, name, stated)
    return stated


def _check_order(record: Record, name: str, stated: Mapping[str, float]) -> None:
    percentiles = [(each, stated[each]) for each in PERCENTILES if each in stated]
    for (lower, below), (upper, above) in pairwise(percentiles):
        if above < below:
            what = f"is {above:g} ms, less than the {lower} of {below:g} ms"
            raise record.error(f"{upper}_{name}_ms", what)


def _check_keys(record: Record) -> None:
    for key in record.data:
        if found := _OTHER_UNIT.fullmatch(key):
            raise record.error(key, f"is in another unit; it must be in milliseconds, as {found[1]}_ms")


def _spread(values: Sequence[float], statistic: str, stated: float, latency: str) -> Figure | None:
    """The stated percentile with the interval that the details give, where they are of the same requests."""
    if statistic not in PERCENTILES or not len(values):
        return None
    figure = of_quantile(values, PERCENTILES[statistic], "tokens" if latency == "itl" else "requests")
    if abs(figure.value - stated) > AGREES * stated:
        return None
    inside = figure.interval is None or figure.interval[0] <= stated <= figure.interval[1]
    return replace(figure, value=stated) if inside else figure


def _details(record: Record) -> dict[str, Sequence[float]]:
    """Each latency of the successful requests in milliseconds, as far as the details give it."""
    ttfts, itls = record.numbers("ttfts"), record.lists_of_numbers("itls")
    lengths, errors = record.numbers("output_lens"), record.data.get("errors")
    if ttfts is None or itls is None or lengths is None or not isinstance(errors, list):
        return {}
    latencies = record.numbers("latencies") or tuple(map(sum, zip(ttfts, map(sum, itls), strict=False)))
    if len({len(each) for each in (ttfts, itls, lengths, latencies, errors)}) != 1:
        raise record.error(
            "ttfts", "must have as many entries as itls, output_lens and errors: one a request"
        )
    good = [i for i, error in enumerate(errors) if not error]
    decoded = [i for i in good if lengths[i] > 1]
    return {
        "ttft": [1e3 * ttfts[i] for i in good],
        "tpot": [1e3 * (latencies[i] - ttfts[i]) / (lengths[i] - 1) for i in decoded],
        "itl": [1e3 * gap for i in good for gap in itls[i]],
        "e2el": [1e3 * latencies[i] for i in good],
    }


def check_units(record: Record, figures: Mapping[str, Figure], tokens: int, duration_s: float) -> None:
    """Checks that throughput, latencies and duration can be of one run: a wrong unit is a factor of 1000.

    Args:
        record: one run.
        figures: its figures so far, with its output throughput.
        tokens: output tokens of the run.
        duration_s: seconds of the run.

    Raises:
        InputError: a number is off by more than a factor of 100 from what the others say.
    """
    stated, derived = figures["output_tokens_per_s"].value, tokens / duration_s
    if not 1 / SLIP < stated / derived < SLIP:
        what = f"is {stated:g} tokens/s, but total_output_tokens over duration is {derived:g}"
        raise record.error("output_throughput", f"{what}; duration must be in seconds")
    tpot = figures.get("tpot_p50_ms")
    if tpot is not None and tpot.value < FASTEST_TPOT_MS:
        what = f"{tpot.value:g} ms a token is faster than any server answers"
        raise record.error(
            "median_tpot_ms", f"{what}; it must be in milliseconds, {FASTEST_TPOT_MS:g} or more"
        )
    if tpot is not None and tpot.value > SLIP * 1e3 * duration_s:
        what = f"{tpot.value:g} ms a token is far longer than the whole run of {duration_s:g} s"
        raise record.error("median_tpot_ms", f"{what}; it must be in milliseconds")
