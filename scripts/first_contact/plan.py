"""The steps of a first contact with a GPU, in the order of their worth.

A borrowed machine gives fifteen minutes in all. Starting it, transfers and idle time take about two of them, so the
plan is one call of 540 s that brings back what must come back, and a second of about 200 s. What follows has no place
in those and is for machines that stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

FIRST, SECOND, LATER = 1, 2, 3
# Seconds of each call, packing included.
CALLS = {FIRST: 540, SECOND: 200}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step.

    Attributes:
        name: as the log, `--steps` and its output files have it.
        what: it settles.
        call: the call that it is planned for; see `CALLS`.
        limit_s: seconds after which it is cut off.
        command: arguments; `{out}` is the output folder. A first word that ends in `.py` is a script, another a
            module.
        assumed_s: seconds that a rehearsal takes it to need. An assumption: no GPU has run it yet.
        least_s: seconds under which it is not begun.
        resumes: whether it continues where it was cut off; otherwise it starts over, after all that did not run yet.
        rehearsed_as: the command that stands in where there is no GPU; None where a simulated GPU runs this one.
    """

    name: str
    what: str
    call: int
    limit_s: float
    command: tuple[str, ...]
    assumed_s: float
    least_s: float = 10.0
    resumes: bool = False
    rehearsed_as: tuple[str, ...] | None = None


def sweep(name: str, what: str, file: str, call: int, limit_s: float) -> Step:
    """A sweep of the GPU at hand into the output's results; it goes on from its journal."""
    # `--gpus 1`: without a GPU this is an error, not a sweep that ranks by a model.
    options = ("--device", "auto", "--gpus", "1", "--out", "{out}/results")
    command = ("workbench", "sweep", f"sweeps/{file}.yaml", *options)
    return Step(
        name=name,
        what=what,
        call=call,
        limit_s=limit_s,
        command=command,
        assumed_s=limit_s / 2,
        least_s=20.0,
        resumes=True,
    )


def benchmark(name: str, what: str, *arguments: str, call: int, limit_s: float) -> Step:
    """A benchmark, which writes its rows to a file of the step's name after each problem."""
    file, *rest = arguments
    command = (f"benchmarks/{file}.py", *rest, "--json", f"{{out}}/benchmarks/{name}.json")
    return Step(
        name=name,
        what=what,
        call=call,
        limit_s=limit_s,
        command=command,
        assumed_s=limit_s * 2 / 3,
        least_s=15.0,
    )


def profile(batch: int, mode: str, call: int, limit_s: float = 75.0) -> Step:
    """Timelines of 26B-A4B with random weights, three arms interleaved; the tuned one loads the fresh winners."""
    name = f"profile-b{batch}-{mode}"
    arms = ("--arms", "split,fused,tuned", "--batch", str(batch))
    out = ("--out", f"{{out}}/profiles/{name}")
    return Step(
        name=name,
        what=f"decode timelines, batch {batch}, {mode}",
        call=call,
        limit_s=limit_s,
        command=("workbench", "profile", "--model", "26b-a4b", *arms, f"--{mode}", *out),
        assumed_s=limit_s * 2 / 3,
        least_s=30.0,
        rehearsed_as=("workbench", "profile", "--model", "tiny", "--device", "cpu", *arms, "--eager", *out),
    )


def bench(workload: str, call: int, limit_s: float, *options: str) -> Step:
    """A decode workload; its rows come one by one, and it goes on after the last."""
    command = ("workbench", "bench", "run", workload)
    out = ("--out", "{out}/results")
    small = ("--model", "tiny", "--device", "cpu", "--concurrency", "1", "--repeats", "1")
    return Step(
        name=f"bench-{workload}",
        what=f"tokens a second and TPOT of {workload}",
        call=call,
        limit_s=limit_s,
        command=(*command, *options, *out),
        assumed_s=limit_s * 2 / 3,
        least_s=40.0,
        resumes=True,
        rehearsed_as=(*command, *small, *out),
    )


def tests(name: str, what: str, expression: str, call: int, limit_s: float, *options: str) -> Step:
    """Tests that need a GPU; without one they are only collected."""
    command = ("pytest", "-q", "-m", expression, *options, "tests")
    return Step(
        name=name,
        what=what,
        call=call,
        limit_s=limit_s,
        command=command,
        assumed_s=limit_s * 2 / 3,
        least_s=20.0,
        rehearsed_as=("pytest", "-q", "-m", expression, "--gpu-files", "--collect-only", "tests"),
    )


def doctor() -> Step:
    """What the machine is and can do."""
    return Step(
        name="doctor",
        what="what the machine is",
        call=FIRST,
        limit_s=25.0,
        command=("workbench", "doctor"),
        assumed_s=10.0,
    )


STEPS: Sequence[Step] = (
    doctor(),
    # Six processes: each imports torch once, and compiling is what most of these tests do.
    tests("smoke", "that kernels, graphs, timers and clocks work", "gpu and smoke", FIRST, 55, "-n", "6"),
    sweep("routing-quick", "winners of routing", "routing-quick", FIRST, 95),
    sweep("decode-quick", "winners of the experts for few tokens", "experts-decode-quick", FIRST, 95),
    sweep("backend-quick", "the crossover of the experts", "experts-backend-quick", FIRST, 50),
    profile(1, "graph", FIRST),
    benchmark(
        "routing",
        "routing beside split operations",
        "routing",
        "--tokens",
        *("1", "8", "64", "1024", "4096"),
        "--dtypes",
        "bf16",
        call=FIRST,
        limit_s=40,
    ),
    benchmark(
        "experts",
        "experts beside torch and the engines",
        *("experts", "--tokens", "1", "8", "64"),
        call=FIRST,
        limit_s=45,
    ),
    benchmark(
        "measurement",
        "A/A spread, empty launch, bandwidth, hot and cold",
        "measurement",
        call=FIRST,
        limit_s=40,
    ),
    profile(16, "graph", SECOND, 45),
    sweep("grouped-quick", "winners of the grouped experts", "experts-quick", SECOND, 70),
    bench("chat-short", SECOND, 65, "--concurrency", "1,16"),
    benchmark("correct", "kernels against float64 on fresh inputs", "correct", call=LATER, limit_s=600),
    tests("tests", "all other tests that need a GPU", "gpu and not smoke", LATER, 900),
    sweep("routing", "winners of routing, every token count", "routing-h200", LATER, 1800),
    sweep("decode", "winners of the kernels for few tokens", "experts-decode", LATER, 3600),
    sweep("backend", "the crossover, every token count", "experts-backend", LATER, 1800),
    sweep("grouped", "winners of the grouped experts", "experts-h200", LATER, 36_000),
    *(
        sweep(f"grouped-{name}", f"winners on {name} weights", f"experts-{name}-h200", LATER, 36_000)
        for name in ("fp8", "int4", "nvfp4")
    ),
    *(
        benchmark(
            f"experts-{name}",
            f"experts on {name} weights beside bf16",
            *("experts", "--dtype", word),
            call=LATER,
            limit_s=600,
        )
        for name, word in (("fp8", "fp8_w8a8"), ("int4", "int4_w4a16"), ("nvfp4", "nvfp4"))
    ),
    *(profile(batch, mode, LATER, 240) for batch in (4, 64) for mode in ("graph", "eager")),
    *(bench(workload, LATER, 3600) for workload in ("chat", "summarization")),
)


def without_limits(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps for a machine that stays: a limit only ends what hangs."""
    return tuple(replace(step, limit_s=10 * step.limit_s) for step in steps)
