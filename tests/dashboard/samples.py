"""Results folders as the project's own writers leave them; every figure is made up."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from moe_kernels.tuned import Row, Run, TunedFile, serialise
from tests.timeline.traces import analysed, decode_events
from tests.timeline.traces import write as write_trace
from workbench.base.shipped import shipped_dashboards
from workbench.bench.figures import of_repeats, reciprocal
from workbench.bench.rows import SCHEMA, BenchFile, BenchRow, write_bench
from workbench.dashboard.collect import collect
from workbench.dashboard.definition import load_definition
from workbench.dashboard.payload import payload
from workbench.dashboard.serve import listen
from workbench.dashboard.sources import read_results
from workbench.models.gemma4 import Gemma4Config
from workbench.report.profile import write_profile
from workbench.timeline.arms import ARMS
from workbench.timeline.profile import Profile, ProfiledArm, ProfileRequest
from workbench.timeline.spread import Spread
from workbench.timeline.summary import summarise
from workbench.trials.journal import Journal
from workbench.trials.trial import Evidence, Final, Stage, Status, Trial

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
B200 = "NVIDIA_B200"
DEFAULT = {"block": 64, "num_warps": 4, "mode": "a"}
RUN = "routing-b200-0123456789abcdef"
LADDER = (1, 8, 64)


def a_row(**changes):
    fields = {
        "run": RUN,
        "config": {**DEFAULT, "block": 128},
        "evidence": "measured",
        "time_us": 2.0,
        "ci_us": (1.9, 2.1),
        "default_time_us": 3.0,
        "measure": {"routing": "uniform"},
    }
    return Row(**{**fields, **changes})


def write_winners(
    folder, rows=None, *, device=B200, kernel="routing", problem=None, stem=None, date="2026-03-01T12:00:00Z"
):
    """A results file; `rows` by tokens."""
    rows = rows or {tokens: a_row() for tokens in LADDER}
    run = Run(source_hash="0" * 16, versions={"torch": "2.13.0", "triton": "3.9.0"}, date=date)
    problem = problem or {"num_experts": 128, "top_k": 8, "dtype": "bf16"}
    file = TunedFile(
        kernel=kernel,
        device=device,
        device_name=device.replace("_", " "),
        arch="sm_100",
        problem=problem,
        runs={row.run: run for row in rows.values()},
        rows=rows,
    )
    path = folder / device / kernel / f"{stem or 'E=128,K=8,dtype=bf16'}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(serialise(file))
    return path


def a_trial(config=None, time_us=None, *, tokens=1, status=Status.OK, **changes):
    config = {**DEFAULT, **(config or {})}
    evidence = changes.pop("evidence", Evidence.MEASURED)
    return Trial(
        trial=json.dumps([config, tokens]),
        problem={"dtype": "bf16", "tokens": tokens},
        config=config,
        stage=Stage.MEASURE,
        status=status,
        time_us=time_us,
        evidence=evidence if time_us else Evidence.NONE,
        **changes,
    )


def timed(config, time_us, default_us, *, tokens=1, spread=0.01):
    """A trial that was timed, with its ratio to the default's."""
    ratio = time_us / default_us
    interval = (1.0, 1.0) if ratio == 1.0 else (ratio * (1 - spread), ratio * (1 + spread))
    ends = (time_us * (1 - spread), time_us * (1 + spread))
    return a_trial(config, time_us, tokens=tokens, ratio=ratio, ratio_ci=interval, ci_us=ends)


def write_run(
    folder,
    trials,
    *,
    run=RUN,
    device=B200,
    kernel="routing",
    started="2026-03-01T12:00:00Z",
    finals=(),
    about=None,
):
    """A run's journal."""
    axes = [
        {"name": "dtype", "short": "dtype", "kind": "dtype", "ladder": False},
        {"name": "tokens", "short": "T", "kind": "count", "ladder": True},
    ]
    sweep = {
        "sweep": {"name": "routing-b200", "kernel": kernel},
        "device": {"slug": device, "device_name": device.replace("_", " ")},
        "kernel": {"name": kernel, "axes": axes},
        "default": DEFAULT,
        **(about or {}),
    }
    with Journal(folder / "runs" / run, sweep=sweep, environment={"started": started, "jobs": 1}) as journal:
        journal.record(trials)
        for final in finals:
            journal.record_final(final)
    return folder / "runs" / run


def a_search(best=2.0, *, tokens=LADDER, evidence=Evidence.MEASURED):
    """Trials of a small space, the default among them, some of which failed."""
    trials = []
    for each in tokens:
        for place, block in enumerate((32, 64, 128)):
            for warps in (2, 4):
                time = 3.0 if (block, warps) == (64, 4) else best + 0.3 * place + 0.1 * warps
                trials.append(
                    a_trial({"block": block, "num_warps": warps}, time, tokens=each, evidence=evidence)
                )
        reason = f"needs {each + 9000} bytes of shared memory, 8192 are there"
        trials.append(a_trial({"block": 256}, tokens=each, status=Status.OUT_OF_RESOURCES, reason=reason))
    return trials


def finalists(config, time_us, tokens, *, noise_floor=0.002):
    """The re-timing of the default and of a config, which may be the default itself."""
    timings = [timed({}, 3.0, 3.0, tokens=tokens)]
    if config:
        timings.append(timed(config, time_us, 3.0, tokens=tokens))
    return Final(tuple(timings), noise_floor)


def a_bench_row(arm, concurrency, tpot_ms, **changes):
    """Repeats of a run of one arm."""
    samples = tuple(tpot_ms * factor for factor in (0.999, 1.0, 1.001))
    throughput = of_repeats([concurrency * 1e3 / each for each in samples])
    metrics = {
        "tpot_p50_ms": of_repeats(samples),
        "tpot_p99_ms": of_repeats([1.2 * each for each in samples]),
        "ttft_p50_ms": of_repeats([10 * each for each in samples]),
        "output_tokens_per_s": throughput,
        "tokens_per_s_per_user": reciprocal(of_repeats(samples), 1e3),
        "tokens_per_s_per_gpu": throughput,
    }
    fields = {"source": "workbench", "device": B200, "model": "gemma", "workload": "chat", "draft_tokens": 0}
    return BenchRow(arm=arm, concurrency=concurrency, metrics=metrics, **{**fields, **changes})


def a_failed_run(arm, concurrency, **changes):
    fields = {"source": "workbench", "device": B200, "model": "gemma", "workload": "chat"}
    failure = {"status": "oom", "reason": "out of memory"}
    return BenchRow(arm=arm, concurrency=concurrency, **{**fields, **failure, **changes})


def bench_rows():
    times = {"split": {1: 10.0, 4: 12.0, 16: 20.0}, "fused": {1: 9.0, 4: 11.5, 16: 21.0}}
    rows = [a_bench_row(arm, at, time) for arm, each in times.items() for at, time in each.items()]
    return [*rows, a_failed_run("fused", 64)]


def write_rows(folder, rows=None, *, device=B200, name="chat"):
    path = folder / device / "bench" / f"{name}.json"
    write_bench(path, BenchFile(schema=SCHEMA, origin={"file": "x"}, rows=tuple(rows or bench_rows())))
    return path


def write_a_profile(folder, *, layers=4, description=None, failures=(), names=("split", "fused")):
    """A profile whose arms' traces are small ones of a GPU."""
    folder.mkdir(parents=True, exist_ok=True)
    request = ProfileRequest(
        model="tiny",
        config=Gemma4Config.preset("tiny").with_layers(2),
        arms=(ARMS["split"], ARMS["fused"]),
        batch=2,
        context=8,
        steps=2,
        graph=True,
        device=torch.device("cuda"),
        seed=0,
    )
    arms = []
    for at, (routing, name) in enumerate(zip(("split", "fused"), names, strict=True)):
        path = write_trace(folder / f"{routing}.json.gz", decode_events(routing, layers=layers, steps=2))
        arm = replace(ARMS[routing], name=name, **({"description": description} if description else {}))
        analysis = analysed(path)
        analysis = replace(analysis, trace=replace(analysis.trace, file=f"{routing}.json.gz"))
        median = 1000.0 - 50.0 * at
        spread = Spread(median, median - 5, median + 5, 3)
        arms.append(
            ProfiledArm(
                arm=arm,
                analysis=analysis,
                summary=summarise(analysis),
                step_us=spread,
                failures=tuple(failures),
            )
        )
    profile = Profile(request=request, arms=tuple(arms), agreements=(), tuned_from={"routing": None})
    write_profile(profile, folder)
    return folder


def whole_folder(folder):
    """One of everything, measured."""
    write_winners(
        folder,
        {
            1: a_row(),
            8: a_row(time_us=1.0, ci_us=(0.9, 1.1)),
            64: a_row(config=DEFAULT, time_us=3.0, ci_us=(2.9, 3.1), kept_default=True),
        },
    )
    modelled = {tokens: a_row(evidence="modelled", ci_us=None, run="m") for tokens in LADDER}
    write_winners(folder, modelled, device="NVIDIA_H200", kernel="experts", date="2026-02-01T12:00:00Z")
    before = [finalists({"block": 32}, 2.2, tokens) for tokens in LADDER]
    now = [finalists({"block": 32}, 2.2, 1), finalists({"block": 128}, 1.5, 8), finalists({}, 3.0, 64)]
    write_run(folder, a_search(2.0), run="routing-b200-old", started="2026-02-01T12:00:00Z", finals=before)
    write_run(folder, a_search(1.0), run="routing-b200-new", started="2026-03-04T11:00:00Z", finals=now)
    write_rows(folder)
    write_a_profile(folder / B200 / "profile")
    return folder


def read(folder, name="overview", **options):
    """A dashboard as data."""
    definition = load_definition(Path(name) if "/" in str(name) else shipped_dashboards()[name])
    return collect(read_results(folder, now=NOW, **options), definition)


def record_of(folder, name="overview", **options):
    """A dashboard as JSON."""
    return payload(read(folder, name, **options))


def panel(dashboard, name):
    return next(each for each in dashboard.panels if each.name == name)


def texts(row):
    return [cell.text for cell in row.cells]


def tables_of(blocks):
    """Every table of some blocks, those within choices included."""
    for block in blocks:
        if block.kind == "table":
            yield block
        elif block.kind == "choice":
            for option in block.options:
                yield from tables_of(option.blocks)


@contextmanager
def served(live):
    """A server of a live page; gives its port."""
    with listen(live, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
