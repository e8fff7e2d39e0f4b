"""The Gaussian process conditioned on what was timed, at every candidate, one more observation at a time."""

from __future__ import annotations

import numpy as np

from workbench.search.gaussian.coordinates import Floats, Matrix
from workbench.search.gaussian.fit import JITTER, ROOT5, Inputs, Observed, covariance


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
