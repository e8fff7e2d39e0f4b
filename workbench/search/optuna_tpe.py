"""Optuna's tree-structured Parzen estimator as its users know it, kept from repeating itself.

Optuna samples each parameter by itself and knows no constraint between parameters. Here what it proposes is looked up
in the table of legal configs: what is not legal is reported back as failed, what was proposed before with its result,
and after a number of misses a config is drawn from those that are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from moe_kernels.tunable import Config
from workbench.base.errors import InputError
from workbench.search.strategy import SearchTask, Strategy

# Misses in a row before a config is drawn at random.
MOST_MISSES = 20
# Most winners from elsewhere that are tried first.
MOST_ENQUEUED = 4


class OptunaTPE(Strategy):
    """One study a problem, with Optuna's own defaults.

    Args:
        task: what is searched.

    Raises:
        InputError: Optuna is not installed.
    """

    def __init__(self, task: SearchTask) -> None:
        super().__init__(task)
        self._optuna = _import_optuna()
        self._studies: dict[int, _Study] = {}

    def ask(self, problem: int, count: int) -> Sequence[int]:
        """What the study of this problem proposes, one config at a time."""
        study = self._study(problem)
        if not study.begun:
            study.begin(self._winners_elsewhere(problem))
        return study.ask(count)

    def tell(self, problem: int, config: int, time_us: float | None) -> None:
        """Reports to the study of this problem."""
        self._study(problem).tell(config, time_us)

    def _study(self, problem: int) -> _Study:
        if problem not in self._studies:
            self._studies[problem] = _Study(self._optuna, self.task, problem)
        return self._studies[problem]

    def _winners_elsewhere(self, problem: int) -> list[int]:
        """The best of the other problems, the last searched first, and of the seeds."""
        others = [study.best for other, study in reversed(self._studies.items()) if other != problem]
        found = [
            self.task.tables[problem].find(config) for config in [*others, *_best_seeds(self.task)] if config
        ]
        return list(dict.fromkeys(row for row in found if row is not None))[:MOST_ENQUEUED]


class _Study:
    """An Optuna study of one problem, in which the rows of the table are the legal proposals."""

    def __init__(self, optuna: Any, task: SearchTask, problem: int) -> None:
        self._optuna, self._table = optuna, task.tables[problem]
        seed = np.random.SeedSequence([task.seed, problem])
        self._rng = np.random.default_rng(seed)
        sampler = optuna.samplers.TPESampler(seed=int(seed.generate_state(1)[0]))
        self._study = optuna.create_study(direction="minimize", sampler=sampler)
        self._distributions = _distributions(optuna, task, problem)
        self._unseen = np.ones(len(self._table), dtype=bool)
        self._pending: dict[int, Any] = {}
        self._times: dict[int, float | None] = {}
        self.begun = False

    @property
    def best(self) -> Config | None:
        """The fastest config so far."""
        times = {row: time for row, time in self._times.items() if time is not None}
        return self._table[min(times, key=times.__getitem__)] if times else None

    def begin(self, first: Sequence[int]) -> None:
        """Has the study try some rows first."""
        self.begun = True
        for row in first:
            if self._unseen[row]:
                self._study.enqueue_trial(self._parameters(row))

    def ask(self, count: int) -> list[int]:
        asked: list[int] = []
        while len(asked) < count and self._unseen.any():
            asked.append(row := self._propose())
            self._unseen[row] = False
        return asked

    def tell(self, row: int, time_us: float | None) -> None:
        is_time = time_us is not None and np.isfinite(time_us)
        self._unseen[row], self._times[row] = False, time_us if is_time else None
        if (trial := self._pending.pop(row, None)) is not None:
            self._report(trial, row)
        elif is_time:
            parameters, fixed = self._parameters(row), self._distributions
            create = self._optuna.trial.create_trial
            self._study.add_trial(create(params=parameters, distributions=fixed, value=time_us))

    def _propose(self) -> int:
        for _ in range(MOST_MISSES):
            trial = self._study.ask(self._distributions)
            row = self._table.find({**self._constant, **trial.params})
            if row is not None and self._unseen[row]:
                self._pending[row] = trial
                return row
            self._report(trial, row)
        return int(self._rng.choice(np.flatnonzero(self._unseen)))

    def _report(self, trial: Any, row: int | None) -> None:
        """Tells the study a row's time; that it failed where the row is illegal, failed, or has no time yet."""
        time = None if row is None else self._times.get(row)
        failed = self._optuna.trial.TrialState.FAIL
        self._study.tell(trial, time, state=None if time is not None else failed)

    @property
    def _constant(self) -> dict[str, Any]:
        return {name: levels[0] for name, levels in self._table.levels.items() if len(levels) == 1}

    def _parameters(self, row: int) -> dict[str, Any]:
        config = self._table[row]
        return {name: config[name] for name in self._distributions}


def _distributions(optuna: Any, task: SearchTask, problem: int) -> dict[str, Any]:
    """One distribution a parameter with several levels: whole numbers in even steps as such, all else as choices."""
    kinds = {parameter.name: parameter.kind for parameter in task.parameters}
    distributions = {}
    for name, levels in task.tables[problem].levels.items():
        if len(levels) > 1:
            step = _even_step(levels) if kinds.get(name, "numeric") == "numeric" else None
            distributions[name] = (
                optuna.distributions.IntDistribution(min(levels), max(levels), step=step)
                if step
                else optuna.distributions.CategoricalDistribution(levels)
            )
    return distributions


def _even_step(levels: Sequence[Any]) -> int | None:
    """The step of whole numbers at even distances, None where they are not."""
    if not all(type(level) is int for level in levels):
        return None
    steps = set(np.diff(sorted(levels)).tolist())
    return int(steps.pop()) if len(steps) == 1 else None


def _best_seeds(task: SearchTask) -> list[Config]:
    """The chosen, or else the fastest, of each group of seeds."""
    best = []
    for group in task.seeds:
        known = [row for row in group.rows if row.chosen or row.time_us is not None]
        ranked = sorted(known, key=lambda row: (not row.chosen, row.time_us or np.inf))
        best += [row.config for row in ranked[:1]]
    return best


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError:
        how = "the search strategy 'optuna' needs Optuna: pip install 'moe-workbench[optuna]'"
        raise InputError(how, key="search.strategy") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
