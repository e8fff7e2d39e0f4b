"""Runs what only a CUDA GPU can settle: named steps, the most valuable first, resumed where they stopped.

    scripts/gpu_run --rehearse                   # without a GPU: the whole plan on a simulated one, minute by minute
    scripts/gpu_run --limit 540                  # as much as fits into nine minutes
    scripts/gpu_run --limit 200                  # the next call goes on
    scripts/gpu_run --steps routing-quick        # only these; --list names them all
    scripts/gpu_adopt gpu                        # afterwards, at home: winners into results/

Each step has a limit of its own. Winners go to OUT/results, where the steps that follow load them; the log is
OUT/logs.txt, and what came of the steps OUT/steps.json. After each step, and while a long one runs, all of it is
packed into measured-N.tar.gz, few files with plain names. A call that finds an empty OUT unpacks these first and goes
on. Clocks, power limits and modes of the GPU stay as they are.

Exit codes: 0 every step asked for is done, 1 one failed, 75 some are left, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from first_contact.archive import ArchiveError, archives_in, pack, unpack
from first_contact.plan import CALLS, STEPS, Step, without_limits
from first_contact.runner import INTERRUPTED, GpuMachine, Outcome, run_steps, told_to_end

LEFT_OVER = 75


def main() -> int:
    arguments = parse_arguments()
    if arguments.list:
        print_steps()
        return 0
    if arguments.rehearse:
        from first_contact.rehearsal import rehearse

        return rehearse(arguments.out, asked(STEPS, arguments.steps))
    out: Path = arguments.out
    archives: Path = arguments.archive or out
    out.mkdir(parents=True, exist_ok=True)
    restore(out, arguments.restore or archives)
    if arguments.wheels:
        install(arguments.wheels, out / "site")
    steps = STEPS if arguments.limit is not None else without_limits(STEPS)
    wanted = asked(steps, arguments.steps)
    with told_to_end():
        try:
            outcomes = run_steps(
                wanted,
                GpuMachine(out, archives),
                out,
                archives,
                limit_s=arguments.limit,
                again=arguments.again,
            )
        except KeyboardInterrupt:
            pack(out, archives, rehearsal=False)
            print("gpu_run: interrupted; the same command goes on", flush=True)
            return INTERRUPTED
    return report(wanted, outcomes)


def parse_arguments() -> argparse.Namespace:
    description, _, examples = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        prog="scripts/gpu_run",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="end within this time")
    parser.add_argument(
        "--out", type=Path, default=Path("gpu"), metavar="FOLDER", help="output (default: gpu)"
    )
    parser.add_argument("--archive", type=Path, metavar="FOLDER", help="where to pack it to (default: OUT)")
    parser.add_argument(
        "--restore",
        type=Path,
        metavar="FOLDER",
        help="archives of an earlier call (default: the --archive folder)",
    )
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="install these first, into OUT/site")
    parser.add_argument("--steps", type=step_names, metavar="NAME,...", help="run only these")
    parser.add_argument("--again", action="store_true", help="also run what is done")
    parser.add_argument("--list", action="store_true", help="name the steps and end")
    parser.add_argument(
        "--rehearse", action="store_true", help="run the plan on a simulated GPU, in OUT/rehearsal"
    )
    return parser.parse_args()


def step_names(text: str) -> frozenset[str]:
    names = frozenset(text.split(","))
    if unknown := names - {step.name for step in STEPS}:
        allowed = ", ".join(step.name for step in STEPS)
        raise argparse.ArgumentTypeError(f"no step is called {sorted(unknown)[0]!r}; allowed: {allowed}")
    return names


def asked(steps: Sequence[Step], names: frozenset[str] | None) -> list[Step]:
    return [step for step in steps if names is None or step.name in names]


def print_steps() -> None:
    for step in STEPS:
        call = f"call {step.call}, {CALLS[step.call]} s" if step.call in CALLS else "later"
        print(f"{step.name:20} {call:14} {step.limit_s:6.0f} s  {step.what}")


def restore(out: Path, folder: Path) -> None:
    """Unpacks the archives of an earlier call where this output folder knows of none."""
    archives = archives_in(folder)
    if not archives or (out / "steps.json").exists():
        return
    try:
        unpack(archives, out)
    except ArchiveError as error:
        print(f"gpu_run: starts anew: {error}", flush=True)
    else:
        print(f"gpu_run: goes on from {', '.join(map(str, archives))}", flush=True)


def install(wheels: Path, site: Path) -> None:
    """Installs wheels into a folder of their own, which every step imports from."""
    options = ("--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--upgrade", "--quiet")
    files = sorted(map(str, wheels.glob("*.whl")))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(site), *files], check=True
    )
    os.environ["PYTHONPATH"] = os.pathsep.join([str(site.absolute()), os.environ.get("PYTHONPATH", "")])


def report(wanted: Sequence[Step], outcomes: Mapping[str, Outcome]) -> int:
    states = [outcomes[step.name].state if step.name in outcomes else "left" for step in wanted]
    print(f"gpu_run: {', '.join(f'{states.count(state)} {state}' for state in dict.fromkeys(states))}")
    if "failed" in states:
        return 1
    return LEFT_OVER if set(states) - {"done"} else 0


if __name__ == "__main__":
    sys.exit(main())
