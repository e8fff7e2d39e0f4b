"""Hyper-parameters of the Gaussian process: their priors, and the fit to what was timed.

The covariance is `signal * matern52(r)`, r the distance with one length scale a group of coordinates, plus
`weight * sum_j f_j(x) f_j(x')` over each group of features f_j (lines through them with unknown slopes), plus noise.
Formulas: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), 4.2.1, 5.4.1 and 5.9.
"""

from __future__ import annotations

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

Groups = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Prior:
    """Independent normal priors on the logarithms of all hyper-parameters, with bounds.

    Attributes:
        mean: [length scales, signal, noise, weight of the main effects, weights of other features].
        deviation: alike.
        low: alike.
        high: alike.
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
