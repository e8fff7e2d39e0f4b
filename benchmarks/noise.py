"""What noise costs a sweep, on recorded landscapes: `python benchmarks/noise.py LANDSCAPE... [--seeds 20]`.

Each run is a whole replayed sweep with noise drawn over the recorded times: racing, re-timed finals, selection.

- selection regret: true time of the published config over the truly fastest of the same candidates (the default among
  them), geometric mean over runs; aim at most 1.005;
- slower than the default: published rows whose true time is above the default's; aim none;
- A/A false wins: the same sweep with every config's true time set to the default's; any win is false; aim at most 1 %.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from workbench.replay import Family, Landscape
from workbench.sweep.evaluators.work_count import WorkCount
from workbench.sweep.outcome import ProblemOutcome
from workbench.sweep.plan import SweepPlan, make_plans
from workbench.sweep.run import run_sweep
from workbench.sweep.spec import load_spec
from workbench.trials.trial import Trial

SWEEP = """\
name: noise
evaluate: {{replay: {path}, noise: {{seed: {seed}}}}}
search: {{strategy: {strategy}, trials: {trials}, seed: {seed}}}
"""


@dataclass(frozen=True)
class Found:
    """What one noisy sweep published.

    Attributes:
        regret: true time of the winner over that of the truly fastest candidate.
        over_default: true time of the winner over the default's.
        is_win: True where it was published as ahead of the default.
    """

    regret: float
    over_default: float
    is_win: bool


class Silent:
    """A progress that says nothing."""

    def started(self, plan: SweepPlan, done: int, total: int) -> None: ...
    def note(self, text: str) -> None: ...
    def trial(self, trial: Trial) -> None: ...
    def work(self, count: WorkCount) -> None: ...
    def problem(self, outcome: ProblemOutcome) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("landscapes", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=60, help="configs tried in each sweep")
    parser.add_argument("--strategy", default="auto")
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    print(f"{'landscape':<36}{'regret':>8}{'worst':>8}{'slower':>8}{'A/A wins':>10}{'s a sweep':>11}")
    all_real: list[Found] = []
    all_equal: list[Found] = []
    for path in arguments.landscapes:
        started = time.perf_counter()
        real = [one(path, seed, arguments.strategy, arguments.trials, same=False) for seed in seeds]
        equal = [one(path, seed, "random", arguments.trials, same=True) for seed in seeds]
        all_real += real
        all_equal += equal
        row(path.name, real, equal, (time.perf_counter() - started) / (2 * len(seeds)))
    row("all", all_real, all_equal, float("nan"))


def row(name: str, real: Sequence[Found], equal: Sequence[Found], seconds: float) -> None:
    regret = float(np.exp(np.mean(np.log([found.regret for found in real]))))
    worst = max(found.regret for found in real)
    slower = sum(found.over_default > 1.0 for found in real)
    wins = sum(found.is_win for found in equal)
    print(
        f"{name:<36}{regret:>8.4f}{worst:>8.3f}{slower:>5}/{len(real)}{wins:>7}/{len(equal)}{seconds:>11.2f}"
    )


def one(path: Path, seed: int, strategy: str, trials: int, *, same: bool) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "noise.yaml"
        file.write_text(SWEEP.format(path=path.resolve(), seed=seed, strategy=strategy, trials=trials))
        (plan,) = make_plans(load_spec(file), "auto", out=Path(folder) / "out", jobs=None)
        if same:
            plan = levelled(plan)
        (problem,) = run_sweep(plan, Silent()).problems
    assert plan.family is not None
    assert problem.winner is not None
    (landscape,) = plan.family.landscapes
    tried = [true_time(landscape, trial.config) for trial in problem.trials if trial.status == "ok"]
    chosen, default = (
        true_time(landscape, problem.winner.config),
        true_time(landscape, plan.kernel.default_config),
    )
    return Found(chosen / min(tried), chosen / default, not problem.winner.kept_default)


def levelled(plan: SweepPlan) -> SweepPlan:
    """The same sweep over a landscape in which every config that runs takes as long as the default."""
    assert plan.family is not None
    (landscape,) = plan.family.landscapes
    level = true_time(landscape, plan.kernel.default_config)
    flat = replace(landscape, times_us=np.where(np.isnan(landscape.times_us), np.nan, level))
    return replace(plan, family=Family((flat,), plan.family.default))


def true_time(landscape: Landscape, config: object) -> float:
    row = landscape.table.find(config)  # type: ignore[arg-type]
    assert row is not None
    return float(landscape.times_us[row])


if __name__ == "__main__":
    sys.exit(main())
