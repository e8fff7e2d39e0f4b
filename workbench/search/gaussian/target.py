"""Times as the target that the Gaussian process models: slow configs compressed, resolution kept near the best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# A time this many times the scale above the best is where compression sets in; the scale is a quartile of what was
# seen, so it shrinks as the search closes in.
SCALE_OF_QUARTILE = 1.2
LEAST_QUARTILE = 0.02


def compress(times: Sequence[float | None]) -> NDArray[np.float64]:
    """ln(1 + t / scale) of each time's log ratio t to the best, with mean 0 and standard deviation 1.

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
    centred: NDArray[np.float64] = (target - target.mean()) / (spread if spread > 1e-9 else 1.0)
    return centred
