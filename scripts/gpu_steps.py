"""Runs what only a CUDA GPU can settle: named steps in order, within a time limit, resumed where they stopped.

    scripts/gpu_run                              # every step that is not done yet
    scripts/gpu_run --limit 540 --out gpu        # as many as fit into nine minutes; call again to go on
    scripts/gpu_run --steps routing,experts      # only these; --list names them all

A step that ran to its end is not run again (--again runs it once more). One that is cut off by the limit starts
again at the next call; sweeps then go on from their journals. Each step's output is in OUT/logs.txt, what came of the
steps in OUT/steps.json, and the journals with their raw rounds are packed into OUT/journals.tar.gz, so that few files
have to be carried away. Winners go to OUT/results. Clocks, power limits and modes of the GPU stay as they are.

Exit code 0 where every step asked for is done and succeeded, 1 where one failed, 75 where some are left.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

LEFT_OVER = 75
# A sweep that is interrupted writes what it has; what does not end by then is killed.
GRACE_S = 20
# Time kept for packing the journals.
PACKING_S = 10


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Attributes:
        name: of the step.
        what: it settles.
        least_s: seconds under which it is not begun.
        command: arguments; `{out}` is the output folder. A first word that ends in `.py` is a script, another a
            module.
    """

    name: str
    what: str
    least_s: int
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a step: `done`, `failed` or `cut`, its exit code and its seconds."""

    state: str
    exit_code: int | None
    seconds: float


def sweep(name: str, what: str, file: str, least_s: int = 60) -> Step:
    """A sweep of the GPU at hand into the output's results."""
    arguments = ("workbench", "sweep", f"sweeps/{file}.yaml", "--device", "auto", "--out", "{out}/results")
    return Step(name, what, least_s, arguments)


def benchmark(name: str, what: str, *arguments: str, least_s: int = 60) -> Step:
    """A benchmark, which writes its rows to a file of the step's name."""
    file, *rest = arguments
    command = (f"benchmarks/{file}.py", *rest, "--json", f"{{out}}/{name}.json")
    return Step(name, what, least_s, command)


def profile(batch: int, mode: str) -> Step:
    """Timelines of 26B-A4B with random weights, three arms interleaved."""
    arms = ("--arms", "split,fused,tuned", "--batch", str(batch), f"--{mode}", "--out")
    name = f"profile-b{batch}-{mode}"
    command = ("workbench", "profile", "--model", "26b-a4b", *arms, f"{{out}}/{name}")
    return Step(name, f"decode timelines, batch {batch}, {mode}", 120, command)


STEPS: Sequence[Step] = (
    Step("doctor", "what the machine is", 10, ("workbench", "doctor")),
    Step("tests", "the tests that need a GPU", 120, ("pytest", "-m", "gpu", "-q", "-x", "tests")),
    benchmark("correct", "kernels against float64 on fresh inputs", "correct"),
    benchmark("measurement", "A/A spread, empty launch, bandwidth, hot and cold", "measurement"),
    sweep("routing-sweep", "winners of the routing kernel", "routing-h200"),
    benchmark("routing", "routing beside split operations", "routing"),
    sweep("experts-sweep", "winners of the grouped product", "experts-h200", 120),
    sweep("decode-sweep", "winners of the kernels for few tokens", "experts-decode", 120),
    sweep("backend-sweep", "the crossover between them", "experts-backend"),
    benchmark("experts", "experts beside torch and the engines", "experts", least_s=120),
    *(
        sweep(
            f"{name}-sweep", f"winners of the grouped product on {name} weights", f"experts-{name}-h200", 120
        )
        for name in ("fp8", "int4", "nvfp4")
    ),
    *(
        benchmark(f"experts-{name}", f"experts on {name} weights beside bf16", "experts", "--dtype", word)
        for name, word in (("fp8", "fp8_w8a8"), ("int4", "int4_w4a16"), ("nvfp4", "nvfp4"))
    ),
    *(profile(batch, mode) for batch in (1, 4, 16, 64) for mode in ("graph", "eager")),
    *(
        Step(
            f"bench-{workload}",
            f"tokens a second and TPOT of {workload}",
            180,
            ("workbench", "bench", "run", f"workloads/{workload}.yaml", "--out", f"{{out}}/bench-{workload}"),
        )
        for workload in ("chat", "summarization")
    ),
)


def main() -> int:
    arguments = parse_arguments()
    if arguments.list:
        for step in STEPS:
            print(f"{step.name:20} {step.what}")
        return 0
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    outcomes = read_outcomes(out)
    deadline = None if arguments.limit is None else time.monotonic() + arguments.limit - PACKING_S
    wanted = [step for step in STEPS if arguments.steps is None or step.name in arguments.steps]
    for step in wanted:
        if not arguments.again and outcomes.get(step.name, {}).get("state") in ("done", "failed"):
            continue
        if deadline is not None and deadline - time.monotonic() < step.least_s:
            print(f"gpu_run: too little time is left for {step.name}", flush=True)
            break
        outcomes[step.name] = asdict(run(step, out, deadline))
        write_outcomes(out, outcomes)
    pack_journals(out)
    return report(wanted, outcomes)


def parse_arguments() -> argparse.Namespace:
    description, _, examples = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=examples, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="ends within this time")
    parser.add_argument("--out", type=Path, default=Path("gpu"), metavar="FOLDER", help="default: gpu")
    parser.add_argument("--steps", type=step_names, metavar="NAME,...", help="only these")
    parser.add_argument("--again", action="store_true", help="also those that are done")
    parser.add_argument("--list", action="store_true", help="names the steps and ends")
    return parser.parse_args()


def step_names(text: str) -> frozenset[str]:
    names = frozenset(text.split(","))
    if unknown := names - {step.name for step in STEPS}:
        allowed = ", ".join(step.name for step in STEPS)
        raise argparse.ArgumentTypeError(f"no step is called {sorted(unknown)[0]!r}; allowed: {allowed}")
    return names


def run(step: Step, out: Path, deadline: float | None) -> Outcome:
    begin = time.monotonic()
    print(f"gpu_run: {step.name}: {step.what}", flush=True)
    with (out / "logs.txt").open("a", encoding="utf-8") as log:
        log.write(f"\n=== {step.name}: {' '.join(step.command)}\n")
        log.flush()
        process = subprocess.Popen(
            arguments_of(step, out), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        left = None if deadline is None else deadline - begin - GRACE_S
        exit_code = wait(process, left)
    seconds = round(time.monotonic() - begin, 1)
    state = "cut" if exit_code is None else "failed" if exit_code else "done"
    print(f"gpu_run: {step.name}: {state} after {seconds} s", flush=True)
    return Outcome(state, exit_code, seconds)


def arguments_of(step: Step, out: Path) -> list[str]:
    first, *rest = (word.format(out=out) for word in step.command)
    return [sys.executable, *([first] if first.endswith(".py") else ["-m", first]), *rest]


def wait(process: subprocess.Popen[bytes], seconds: float | None) -> int | None:
    """The exit code, or None where the process was ended for want of time, first by asking."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return None


def read_outcomes(out: Path) -> dict[str, Mapping[str, object]]:
    try:
        found = json.loads((out / "steps.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return dict(found)


def write_outcomes(out: Path, outcomes: Mapping[str, Mapping[str, object]]) -> None:
    part = out / "steps.json.part"
    part.write_text(json.dumps(outcomes, indent=1) + "\n", encoding="utf-8")
    part.replace(out / "steps.json")


def pack_journals(out: Path) -> None:
    runs = out / "results" / "runs"
    if not runs.is_dir():
        return
    part = out / "journals.tar.gz.part"
    with tarfile.open(part, "w:gz") as packed:
        packed.add(runs, arcname="runs")
    part.replace(out / "journals.tar.gz")


def report(wanted: Sequence[Step], outcomes: Mapping[str, Mapping[str, object]]) -> int:
    states = [outcomes.get(step.name, {}).get("state", "left") for step in wanted]
    print(f"gpu_run: {', '.join(f'{states.count(state)} {state}' for state in dict.fromkeys(states))}")
    if "failed" in states:
        return 1
    return LEFT_OVER if set(states) - {"done"} else 0


if __name__ == "__main__":
    sys.exit(main())
