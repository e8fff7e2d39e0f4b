"""Runs a workload: every load on every arm, interleaved and repeated; what fails stays a row with a status."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from workbench.base.errors import WorkbenchError
from workbench.base.ranges import marked
from workbench.base.text import brief
from workbench.bench.engine import Clock, DecodeEngine, EnergyMeter, NoEnergy, Session, WallClock
from workbench.bench.figures import Figure, of_repeats
from workbench.bench.rows import BenchRow, Status
from workbench.bench.timing import run_figures, time_run
from workbench.bench.workload import DecodeWorkload

Told = Callable[[str], None]

_STATUS: Mapping[str, Status] = {"OutOfMemoryError": "oom", "MemoryError": "oom", "TimeoutError": "timeout"}


@dataclass(slots=True)
class _Arm:
    """One arm on one load, as far as it has come."""

    name: str
    session: Session | None = None
    runs: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    status: Status = "ok"
    reason: str | None = None

    def failed(self, error: Exception, when: str) -> None:
        """Gives the arm up on this load; its session is closed with the others'."""
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        self.status = _STATUS.get(type(error).__name__, "failed")
        self.reason = brief(" ".join(f"{when}: {text}".split()), 300)


def run_workload(
    workload: DecodeWorkload,
    engine: DecodeEngine,
    *,
    clock: Clock | None = None,
    energy: EnergyMeter | None = None,
    told: Told = lambda text: None,
) -> Iterator[BenchRow]:
    """Runs a workload and yields a row for each arm on each load, as soon as the load is done.

    Within a repeat every arm runs once, in an order drawn anew, so that what drifts drifts for all. An arm that ran
    out of memory is skipped on larger loads.

    Args:
        workload: what to run.
        engine: what decodes.
        clock: read around every step; the machine's otherwise.
        energy: read around every run.
        told: gets a line for each run.

    Raises:
        WorkbenchError: the engine refuses the workload.
    """
    too_large: dict[str, str] = {}
    for batch in sorted(workload.concurrency):
        runner = _Load(workload, engine, batch, clock or WallClock(), energy or NoEnergy(), told)
        for arm in runner.run(too_large):
            if arm.status == "oom":
                too_large[arm.name] = f"out of memory already at concurrency {batch}"
            yield _row(workload, engine, batch, arm)


class _Load:
    """All arms on one batch size."""

    def __init__(
        self,
        workload: DecodeWorkload,
        engine: DecodeEngine,
        batch: int,
        clock: Clock,
        energy: EnergyMeter,
        told: Told,
    ) -> None:
        self._workload, self._engine, self._batch = workload, engine, batch
        self._clock, self._energy, self._told = clock, energy, told

    def run(self, skipped: Mapping[str, str]) -> Sequence[_Arm]:
        """Runs every arm that is not to be skipped."""
        import numpy as np

        order = np.random.default_rng((self._workload.seed, self._batch))
        arms = [_Arm(name) for name in self._workload.arms]
        with ExitStack() as sessions:
            for arm in arms:
                self._open(arm, sessions, skipped)
            for repeat in range(-self._workload.warm_up, self._workload.repeats):
                for place in order.permutation(len(arms)):
                    if arms[place].status == "ok":
                        self._run_once(arms[place], repeat)
        return arms

    def _open(self, arm: _Arm, sessions: ExitStack, skipped: Mapping[str, str]) -> None:
        if arm.name in skipped:
            arm.status, arm.reason = "skipped", skipped[arm.name]
            return
        work = self._workload
        try:
            context = self._engine.open(
                arm.name,
                batch=self._batch,
                input_tokens=work.input_tokens,
                output_tokens=work.output_tokens,
                draft_tokens=work.draft_tokens,
            )
            arm.session = sessions.enter_context(context)
        except WorkbenchError:
            raise
        except Exception as error:
            arm.failed(error, "opening")

    def _run_once(self, arm: _Arm, repeat: int) -> None:
        """One run; a negative repeat warms up and is not counted. All arms get the same prompts in a repeat."""
        assert arm.session is not None
        when = f"repeat {repeat + 1} of {self._workload.repeats}" if repeat >= 0 else "warm-up"
        told = f"{arm.name} at concurrency {self._batch}, {when}"
        self._told(told)
        try:
            with marked(told):
                timing = time_run(
                    arm.session,
                    batch=self._batch,
                    output_tokens=self._workload.output_tokens,
                    seed=self._workload.seed + max(repeat, 0),
                    timeout_s=self._workload.timeout_s,
                    clock=self._clock,
                    energy=self._energy,
                )
        except Exception as error:
            arm.failed(error, when)
            return
        if repeat >= 0:
            arm.runs.append(run_figures(timing))
            arm.seconds += timing.duration_s


def _row(workload: DecodeWorkload, engine: DecodeEngine, batch: int, arm: _Arm) -> BenchRow:
    facts, ok = engine.facts, arm.status == "ok"
    metrics = _figures(arm.runs, facts.gpus, workload.seed) if ok else {}
    return BenchRow(
        source="workbench",
        arm=arm.name,
        device=facts.device,
        model=facts.model,
        workload=workload.name,
        input_tokens=float(workload.input_tokens),
        output_tokens=float(workload.output_tokens),
        concurrency=batch,
        request_rate="inf",
        draft_tokens=workload.draft_tokens,
        gpus=facts.gpus,
        status=arm.status,
        reason=arm.reason,
        completed=batch * len(arm.runs) if ok else None,
        failed=0 if ok else None,
        duration_s=arm.seconds if ok else None,
        metrics=metrics,
        acceptance_window="run" if "acceptance_length" in metrics else None,
        itl_definition="chunk",
        versions=dict(facts.versions),
    )


def _figures(runs: Sequence[Mapping[str, float]], gpus: int, seed: int) -> dict[str, Figure]:
    """Each figure over the repeats that all have it."""
    names = [name for name in runs[0] if all(name in run for run in runs)]
    figures = {name: of_repeats([run[name] for run in runs], seed=seed) for name in names}
    throughput = [run["output_tokens_per_s"] / gpus for run in runs]
    return {**figures, "tokens_per_s_per_gpu": of_repeats(throughput, seed=seed)}
