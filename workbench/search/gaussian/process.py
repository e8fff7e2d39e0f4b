"""The Gaussian process: the target that it models, the fit of its hyper-parameters, and its predictions.

The covariance is `signal * matern52(r)`, r the distance with one length scale a group of coordinates, plus
`weight * sum_j f_j(x) f_j(x')` over each group of features f_j (lines through them with unknown slopes), plus noise.
Formulas: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), 4.2.1, 5.4.1 and 5.9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.search.gaussian.coordinates import Floats, Matrix

ROOT5 = 5**0.5
JITTER = 1e-6

# Normal priors on logarithms, (mean, standard deviation), and bounds. Long length scales keep the many derived
# coordinates harmless until the data ask for one of them.
LENGTH = ((0.5, 0.5), (-3.0, 3.0))
SIGNAL = ((0.0, 1.0), (-4.0, 4.0))
NOISE = ((-4.0, 1.5), (-12.0, 0.0))
EFFECTS = ((0.0, 1.0), (-8.0, 4.0))
WEIGHT = ((-1.0, 1.5), (-12.0, 3.0))

# A time this many times the scale above the best is where compression sets in; the scale is a quartile of what was
# seen, so it shrinks as the search closes in.
SCALE_OF_QUARTILE = 1.2
LEAST_QUARTILE = 0.02

Groups = NDArray[np.intp]


def compress(times: Sequence[float | None]) -> Floats:
    """The target: ln(1 + t / scale) of each time's log ratio t to the best, with mean 0 and standard deviation 1.

    It compresses slow configs and keeps the resolution near the best.

    Args:
        times: any unit; None for a config that failed, which counts as the slowest seen.

    Returns:
        [times], all zero where no time differs from another.
    """
    raw = np.asarray([np.nan if time is None else time for time in times], dtype=np.float64)
    valid = np.isfinite(raw) & (raw > 0)
    if not valid.any():
        return np.zeros(len(raw))
    ratios = np.log(np.where(valid, raw, 1.0) / raw[valid].min())
    ratios[~valid] = ratios[valid].max()
    scale = SCALE_OF_QUARTILE * max(float(np.quantile(ratios[valid], 0.25)), LEAST_QUARTILE)
    target = np.log1p(ratios / scale)
    spread = float(target.std())
    centred: Floats = (target - target.mean()) / (spread if spread > 1e-9 else 1.0)
    return centred


@dataclass(frozen=True, slots=True)
class Prior:
    """Independent normal priors on the logarithms of all hyper-parameters, with bounds.

    Attributes:
        mean: [length scales, signal, noise, weight of the main effects, weights of other features], like the others.
    """

    mean: Floats
    deviation: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(cls, num_groups: int, num_features: int) -> Prior:
        """The prior for so many groups of coordinates, main effects, and so many other features."""
        each = [LENGTH] * num_groups + [SIGNAL, NOISE, EFFECTS] + [WEIGHT] * num_features
        rows = np.asarray([(*normal, *bounds) for normal, bounds in each])
        return cls(*rows.T)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Configs as the process sees them.

    Attributes:
        x: [configs, coordinates].
        x_groups: [coordinates], the group of each, whose length scale it has.
        f: [configs, features].
        f_groups: [features], the group of each, whose weight it has.
    """

    x: Matrix
    x_groups: Groups
    f: Matrix
    f_groups: Groups

    def take(self, places: NDArray[np.int64]) -> Inputs:
        """Some of the configs."""
        return Inputs(self.x[places], self.x_groups, self.f[places], self.f_groups)

    @property
    def num_groups(self) -> int:
        """How many length scales there are."""
        return int(self.x_groups.max(initial=-1)) + 1

    @property
    def num_features(self) -> int:
        """How many weights there are."""
        return int(self.f_groups.max(initial=-1)) + 1


@dataclass(frozen=True, slots=True)
class Observed:
    """What the process is fitted to.

    Attributes:
        squares: [groups, n, n], squared distances by group of coordinates.
        outer: [feature groups, n, n], products of the features' values.
        target: [n].
    """

    squares: Floats
    outer: Floats
    target: Floats

    @classmethod
    def of(cls, inputs: Inputs, target: Floats) -> Observed:
        """Precomputes what every evaluation of the likelihood needs; `target` is [n]."""
        x, f = inputs.x.astype(np.float64), inputs.f.astype(np.float64)
        squares = np.zeros((inputs.num_groups, len(x), len(x)))
        for column, group in enumerate(inputs.x_groups):
            squares[group] += (x[:, column, None] - x[None, :, column]) ** 2
        outer = [f[:, inputs.f_groups == group] for group in range(inputs.num_features)]
        return cls(squares, np.asarray([each @ each.T for each in outer]).reshape(-1, len(x), len(x)), target)

    def take(self, kept: NDArray[np.int64]) -> Observed:
        """Some of the observations."""
        one, other = np.ix_(kept, kept)
        return Observed(self.squares[:, one, other], self.outer[:, one, other], self.target[kept])


def covariance(theta: Floats, observed: Observed) -> Floats:
    """[n, n], noise and jitter included."""
    num_groups, n = len(observed.squares), len(observed.target)
    matern, _ = _matern(np.exp(-2 * theta[:num_groups]), observed.squares)
    result: Floats = np.exp(theta[num_groups]) * matern
    result += np.tensordot(np.exp(theta[num_groups + 2 :]), observed.outer, 1)
    result[np.diag_indices(n)] += np.exp(theta[num_groups + 1]) + JITTER
    return result


def fit(observed: Observed, prior: Prior, start: Floats, iterations: int) -> Floats:
    """The most probable hyper-parameters by L-BFGS-B from `start`; `start` itself where that fails."""
    from scipy.optimize import minimize

    found = minimize(
        _loss,
        np.clip(start, prior.low, prior.high),
        args=(observed, prior),
        jac=True,
        method="L-BFGS-B",
        bounds=np.stack([prior.low, prior.high], axis=1),
        options={"maxiter": iterations, "maxcor": 8},
    )
    theta: Floats = found.x
    return theta if np.isfinite(found.fun) and np.isfinite(theta).all() else start


class Posterior:
    """Mean and deviation at a fixed set of candidates, for fixed hyper-parameters.

    Single precision at the candidates, double where matrices are factored. Adding an observation costs one row.

    Args:
        theta: hyper-parameters as `fit` gives them.
        candidates: where to predict.
    """

    def __init__(self, theta: Floats, candidates: Inputs) -> None:
        self._theta, num_groups = theta, candidates.num_groups
        self._scale = np.exp(-theta[:num_groups])[candidates.x_groups].astype(np.float32)
        self._weight = np.exp(0.5 * theta[num_groups + 2 :])[candidates.f_groups].astype(np.float32)
        self._signal, self._noise = np.exp(theta[num_groups : num_groups + 2])
        self._x, self._f = candidates.x * self._scale, candidates.f * self._weight
        self._squares = np.einsum("ij,ij->i", self._x, self._x)
        self._prior = (self._signal + np.einsum("ij,ij->i", self._f, self._f)).astype(np.float32)
        self._factor: Floats = np.zeros((0, 0))
        self._rows: Matrix = np.zeros((0, len(self._x)), dtype=np.float32)
        self._explained = np.zeros(len(self._x), dtype=np.float32)

    def condition(self, inputs: Inputs, observed: Observed) -> None:
        """Conditions on several configs at once, instead of any before; `observed` is made of `inputs`."""
        from scipy.linalg import solve_triangular

        self._factor = np.asarray(np.linalg.cholesky(covariance(self._theta, observed)), dtype=np.float64)
        across = self._across(inputs.x * self._scale, inputs.f * self._weight)
        factor = self._factor.astype(np.float32)
        rows = solve_triangular(factor, across, lower=True, check_finite=False, overwrite_b=True)
        self._rows = np.empty((max(64, len(rows) * 5 // 4), len(self._x)), dtype=np.float32)
        self._rows[: len(rows)] = rows
        self._explained = np.einsum("ij,ij->j", rows, rows)

    def extend(self, candidate: int) -> None:
        """Conditions on one of the candidates, after those before."""
        n = len(self._factor)
        across = self._across(self._x[[candidate]], self._f[[candidate]])[0]
        known = self._rows[:n, candidate]
        left = float(self._prior[candidate]) + self._noise + JITTER - float(known @ known)
        pivot = np.sqrt(max(left, JITTER))
        self._factor = np.block([[self._factor, np.zeros((n, 1))], [known[None].astype(np.float64), pivot]])
        if n == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[n] = (across - known @ self._rows[:n]) / np.float32(pivot)
        self._explained = self._explained + self._rows[n] ** 2

    def predict(self, target: Floats) -> tuple[Matrix, Matrix]:
        """Mean and standard deviation (noise left out) at every candidate, both [candidates].

        Args:
            target: [n], one for each config conditioned on, in that order; it may have changed since. NaN where it is
                not known yet: the mean given those before it is believed (Ginsbourger et al. 2010, kriging believer).
        """
        n = len(self._factor)
        whitened = self._whiten(target)
        mean: Matrix = whitened.astype(np.float32) @ self._rows[:n]
        return mean, np.sqrt(np.maximum(self._prior - self._explained, np.float32(1e-10)))

    def _whiten(self, target: Floats) -> Floats:
        """The target times the inverse factor; a believed value is where that is 0."""
        from scipy.linalg import solve_triangular

        target = target.copy()
        for place in np.flatnonzero(np.isnan(target)):
            factor, before = self._factor[:place, :place], target[:place]
            whitened = solve_triangular(factor, before, lower=True, check_finite=False) if place else before
            target[place] = self._factor[place, :place] @ whitened
        solved: Floats = solve_triangular(self._factor, target, lower=True, check_finite=False)
        return solved

    def _across(self, x: Matrix, f: Matrix) -> Matrix:
        """[n, candidates], covariances of some configs with the candidates, inputs scaled already."""
        r2 = np.einsum("ij,ij->i", x, x)[:, None] + self._squares[None] - 2 * (x @ self._x.T)
        np.maximum(r2, 0, out=r2)
        r = np.float32(ROOT5) * np.sqrt(r2)
        result: Matrix = (1 + r + np.float32(5 / 3) * r2) * np.exp(-r) * np.float32(self._signal)
        return result + f @ self._f.T if f.shape[1] else result


def _matern(inverse_squares: Floats, squares: Floats) -> tuple[Floats, Floats]:
    """Matern-5/2 and minus its derivative by r**2, times 6/5."""
    r2 = np.tensordot(inverse_squares, squares, 1)
    r = ROOT5 * np.sqrt(r2)
    slope = (1 + r) * (decay := np.exp(-r))
    return slope + (5 / 3) * r2 * decay, slope


def _loss(theta: Floats, observed: Observed, prior: Prior) -> tuple[float, Floats]:
    """Minus the log posterior of the hyper-parameters, and its gradient."""
    from scipy.linalg.lapack import dpotrf, dpotri

    num_groups, y = len(observed.squares), observed.target
    factor, failed = dpotrf(covariance(theta, observed), lower=1)
    if failed:
        return 1e25, np.zeros_like(theta)
    inverse, _ = dpotri(factor, lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    solved = inverse @ y
    off = (theta - prior.mean) / prior.deviation
    loss = 0.5 * y @ solved + np.log(np.diag(factor)).sum() + 0.5 * off @ off
    half = 0.5 * (inverse - np.outer(solved, solved))
    return float(loss), _gradient(theta, half, observed, num_groups) + off / prior.deviation


def _gradient(theta: Floats, half: Floats, observed: Observed, num_groups: int) -> Floats:
    """Of the likelihood, from half of (inverse covariance - outer product of the solution)."""
    inverse_squares, signal = np.exp(-2 * theta[:num_groups]), np.exp(theta[num_groups])
    matern, slope = _matern(inverse_squares, observed.squares)
    by_length = np.tensordot(observed.squares, half * slope, 2) * inverse_squares * signal * (5 / 3)
    by_weight = np.tensordot(observed.outer, half, 2) * np.exp(theta[num_groups + 2 :])
    by_signal, by_noise = signal * (half * matern).sum(), np.exp(theta[num_groups + 1]) * np.trace(half)
    return np.concatenate([by_length, [by_signal, by_noise], by_weight])
