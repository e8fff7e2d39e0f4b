"""How promising each candidate is."""

from __future__ import annotations

import numpy as np

from workbench.search.gaussian.coordinates import Floats, Matrix


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
