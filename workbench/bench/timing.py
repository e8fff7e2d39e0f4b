"""One run of one arm: when each token came, and what follows from that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.base.ranges import in_range
from workbench.bench.engine import Clock, EnergyMeter, EngineStep, Session
from workbench.bench.metrics import LATENCIES, PERCENTILES, latency_metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class StalledError(RuntimeError):
    """A decode step yielded no token although some sequence is not done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTiming:
    """What was seen of one run.

    Attributes:
        ttft_s: seconds from the start to its first token, of each sequence.
        last_s: seconds from the start to its last token, of each sequence.
        gaps_s: seconds between two successive arrivals of a sequence, of all sequences.
        tokens: output tokens of each sequence.
        drafts: drafts that were checked, a sequence and step each.
        peak_memory_bytes: None where unknown.
        energy_j: joules from the start to the last token, None where unknown.
    """

    ttft_s: tuple[float, ...]
    last_s: tuple[float, ...]
    gaps_s: tuple[float, ...]
    tokens: tuple[int, ...]
    drafts: int
    drafted: int
    accepted: int
    peak_memory_bytes: int | None
    energy_j: float | None

    @property
    def duration_s(self) -> float:
        """Seconds from the start to the last token of all."""
        return max(self.last_s)


class _Arrivals:
    """When the tokens of each sequence came; what is beyond the wanted length is not counted."""

    def __init__(self, wanted: int, batch: int) -> None:
        self._wanted = wanted
        self.tokens = [0] * batch
        self.first = [0.0] * batch
        self.last = [0.0] * batch
        self.gaps: list[float] = []

    @property
    def done(self) -> bool:
        return all(count >= self._wanted for count in self.tokens)

    def add(self, tokens: tuple[int, ...], now: float) -> None:
        new = [min(each, self._wanted - had) for each, had in zip(tokens, self.tokens, strict=True)]
        if not any(each > 0 for each in new):
            raise StalledError("a decode step yielded no token although some sequence is not done")
        for sequence in (i for i, each in enumerate(new) if each > 0):
            if not self.tokens[sequence]:
                self.first[sequence] = now
            else:
                self.gaps.append(now - self.last[sequence])
            self.last[sequence] = now
            self.tokens[sequence] += new[sequence]


def time_run(
    session: Session,
    *,
    batch: int,
    output_tokens: int,
    seed: int,
    timeout_s: float,
    clock: Clock,
    energy: EnergyMeter,
) -> RunTiming:
    """Runs one batch from prompt to last token and notes when each token came.

    Raises:
        TimeoutError: it took longer than `timeout_s`; found out between two steps.
        StalledError: the session no longer yields tokens.
    """
    with session.run(seed):
        arrivals, counted = _Arrivals(output_tokens, batch), EngineStep(())
        prefill, decode = in_range("prefill", session.prefill), in_range("decode step", session.step)
        before, started = energy.joules(), clock.now()
        first = tuple(prefill())
        arrivals.add(first, clock.now() - started)
        while not arrivals.done:
            step = decode()
            arrivals.add(step.tokens, now := clock.now() - started)
            counted = _sum(counted, step)
            if now > timeout_s:
                raise TimeoutError(f"longer than timeout_s, {timeout_s:g} s")
        after = energy.joules()
    return RunTiming(
        ttft_s=tuple(arrivals.first),
        last_s=tuple(arrivals.last),
        gaps_s=tuple(arrivals.gaps),
        tokens=tuple(arrivals.tokens),
        drafts=counted.drafts,
        drafted=counted.drafted,
        accepted=counted.accepted,
        peak_memory_bytes=session.peak_memory_bytes(),
        energy_j=None if before is None or after is None else after - before,
    )


def _sum(counted: EngineStep, step: EngineStep) -> EngineStep:
    return EngineStep(
        (),
        drafted=counted.drafted + step.drafted,
        accepted=counted.accepted + step.accepted,
        drafts=counted.drafts + step.drafts,
    )


def run_figures(timing: RunTiming) -> dict[str, float]:
    """Every figure of one run, by the names of `METRICS`.

    TPOT of a sequence is (last token - first token) / (tokens - 1), as vLLM and SGLang take it. Throughput and energy
    are over the whole run, its prefill included; the speed that a user sees is 1000 / TPOT p50.
    """
    import numpy as np

    tokens = np.asarray(timing.tokens)
    first, last = np.asarray(timing.ttft_s), np.asarray(timing.last_s)
    values = {
        "ttft": first,
        "tpot": (last - first) / (tokens - 1),
        "itl": np.asarray(timing.gaps_s),
        "e2el": last,
    }
    figures = {
        latency_metric(latency, name): 1e3 * float(statistic)
        for latency in LATENCIES
        for name, statistic in _statistics(values[latency]).items()
    }
    total = int(tokens.sum())
    figures["output_tokens_per_s"] = total / timing.duration_s
    figures["requests_per_s"] = len(tokens) / timing.duration_s
    figures["tokens_per_s_per_user"] = 1e3 / figures["tpot_p50_ms"]
    return figures | _optional(timing, total)


def _statistics(values: NDArray[np.float64]) -> dict[str, np.float64]:
    import numpy as np

    if not len(values):
        return {}
    return {"mean": values.mean()} | {name: np.quantile(values, q) for name, q in PERCENTILES.items()}


def _optional(timing: RunTiming, tokens: int) -> dict[str, float]:
    """What only some engines and machines tell."""
    figures: dict[str, float] = {}
    if timing.drafts and timing.drafted:
        figures["acceptance_length"] = 1 + timing.accepted / timing.drafts
        figures["acceptance_rate"] = timing.accepted / timing.drafted
    if timing.peak_memory_bytes:
        figures["peak_memory_bytes"] = float(timing.peak_memory_bytes)
    if timing.energy_j:
        figures["energy_j_per_token"] = timing.energy_j / tokens
    return figures
