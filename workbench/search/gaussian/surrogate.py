"""The surrogate of a search: a Gaussian process over the candidates, fitted now and then, extended in between."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from workbench.search.gaussian.candidates import Candidates
from workbench.search.gaussian.coordinates import Floats, Matrix
from workbench.search.gaussian.problem_data import ProblemData
from workbench.search.gaussian.process import Inputs, Observed, Posterior, Prior, compress, fit

ITERATIONS = 15
# It is fitted anew for each result at first, and then each time the results have grown by this share.
DENSE, FEWEST_NEW, GROWTH = 64, 4, 1 / 16
# Most results that are modelled, and most that the hyper-parameters are fitted to.
MOST_OBSERVED, MOST_FITTED = 800, 200
# How far the prior of the length scales moves to those of the landscapes searched elsewhere.
TRUST_IN_LENGTHS = 0.5
LEAST_SPREAD = 1e-9


class Surrogate:
    """The Gaussian process over some candidates, fitted to what was told.

    Args:
        data: of the problem.
        candidates: where it predicts.
        told: rows of candidates whose results are modelled.
        start: hyper-parameters from which the fit starts, None for their prior.

    Attributes:
        rows: [candidates], their rows in the table, ascending.
        theta: the hyper-parameters.
    """

    def __init__(
        self, data: ProblemData, candidates: Candidates, told: list[int], start: Floats | None
    ) -> None:
        self.rows = candidates.rows
        self._candidates, self._order, self._num_told = candidates, list(told), len(data.times)
        places = candidates.places(told)
        assert places is not None
        everywhere = _inputs(data, candidates)
        inputs = everywhere.take(places)
        target = compress([data.times[row] for row in told])
        observed = Observed.of(inputs, target)
        self.theta = _fitted(observed, _prior(data, inputs, target), start)
        self._posterior = Posterior(self.theta, everywhere)
        self._waiting: list[int] = []
        self._posterior.condition(inputs, observed)

    def is_stale(self, num_told: int) -> bool:
        """Whether enough was told since to fit anew."""
        return num_told - self._num_told >= (1 if num_told < DENSE else max(FEWEST_NEW, GROWTH * num_told))

    def include(self, row: int) -> bool:
        """Conditions on a config, its time known or pending; False where it is no candidate."""
        if row in self._order:
            return True
        places = self._candidates.places([row])
        if places is None:
            return False
        self._waiting.append(int(places[0]))
        self._order.append(row)
        return True

    def scores(self, times: Mapping[int, float | None]) -> Floats:
        """[candidates], the logarithm of the expected improvement of the target."""
        while self._waiting:
            self._posterior.extend(self._waiting.pop(0))
        told = np.asarray([row in times for row in self._order], dtype=bool)
        target = np.full(len(told), np.nan)
        target[told] = compress([times[row] for row in self._order if row in times])
        mean, deviation = self._posterior.predict(target)
        return expected_improvement(mean, deviation, float(np.nanmin(target)) if told.any() else 0.0)


def most_telling(times: Mapping[int, float | None]) -> list[int]:
    """The rows whose results are modelled: all, or the fastest half and the latest half of what is bearable."""
    if len(times) <= MOST_OBSERVED:
        return list(times)
    fastest = sorted(times, key=lambda row: np.inf if (time := times[row]) is None else time)
    kept = {*fastest[: MOST_OBSERVED // 2], *list(times)[-MOST_OBSERVED // 2 :]}
    return [row for row in times if row in kept]


def expected_improvement(mean: Matrix, deviation: Matrix, best: float) -> Floats:
    """Logarithm of the expected improvement under `best`, so that far candidates still have an order.

    With z = (best - mean) / deviation it is ln(deviation * (z cdf(z) + pdf(z))); far below 0, where that underflows,
    its leading term pdf(z) / z**2.

    Args:
        mean: [candidates], lower is better.
        deviation: [candidates], above 0.
        best: what has to be improved on.

    Returns:
        [candidates].
    """
    from scipy.special import ndtr

    spread = deviation.astype(np.float64)
    z = (best - mean) / spread
    log_density = -0.5 * z * z - 0.5 * np.log(2 * np.pi)
    near = np.maximum(z, -8.0)
    exact = np.log(np.maximum(near * ndtr(near) + np.exp(-0.5 * near * near) / np.sqrt(2 * np.pi), 1e-300))
    far: Floats = np.where(z < -8.0, log_density - 2 * np.log(np.maximum(-z, 8.0)), exact)
    return far + np.log(spread)


def _prior(data: ProblemData, inputs: Inputs, target: Floats) -> Prior:
    """The prior of the hyper-parameters: what mattered elsewhere matters here as far as the two landscapes agree."""
    prior = Prior.of(inputs.num_groups, data.num_predictors)
    usual = prior.mean[: data.coordinates.num_groups].copy()
    for index, lesson in enumerate(data.landscapes):
        assert lesson.theta is not None
        feature = inputs.f[:, inputs.f_groups == 1 + index][:, 0]
        trust = TRUST_IN_LENGTHS * _agreement(feature, target) / len(data.landscapes)
        prior.mean[: len(usual)] += trust * (lesson.theta[: len(usual)] - usual)
    return prior


def _agreement(feature: Matrix, target: Floats) -> float:
    """Their correlation, 0 where it is negative or where one of them is constant."""
    if feature.std() < LEAST_SPREAD or target.std() < LEAST_SPREAD:
        return 0.0
    return max(0.0, float(np.corrcoef(feature, target)[0, 1]))


def _inputs(data: ProblemData, candidates: Candidates) -> Inputs:
    """The candidates with what the compiler says of them, which is more each time, as further coordinates."""
    resources = data.resources.coordinates(candidates.x, candidates.rows)
    groups = data.coordinates.num_groups + np.arange(resources.shape[1])
    x_groups = np.concatenate([data.coordinates.groups, groups])
    return Inputs(
        np.concatenate([candidates.x, resources], axis=1), x_groups, candidates.features, data.feature_groups
    )


def _fitted(observed: Observed, prior: Prior, start: Floats | None) -> Floats:
    """Fits to a part of what was observed where that is a lot."""
    if start is None or len(start) != len(prior.mean):
        start = prior.mean
    if len(observed.target) > MOST_FITTED:
        order = np.argsort(observed.target, kind="stable")
        half = MOST_FITTED // 2
        rest = np.linspace(half, len(order) - 1, half).astype(np.int64)
        observed = observed.take(np.concatenate([order[:half], order[rest]]))
    return fit(observed, prior, start, ITERATIONS)
