"""Intervals of shares: Wilson's, and the exact bound of Clopper and Pearson."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def wilson(correct: NDArray[np.int64], total: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The 95 % interval of a share: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927); 0 to 1 if ``total`` is 0."""
    z = 1.959963984540054
    n = np.maximum(total, 1)
    share = correct / n
    centre = share + z * z / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low, high = (centre - half) / scale, (centre + half) / scale
    return np.where(total > 0, np.clip(low, 0, share), 0.0), np.where(total > 0, np.clip(high, share, 1), 1.0)


def upper_bound(errors: ArrayLike, accepted: ArrayLike, level: float = 0.95) -> NDArray[np.float64]:
    """The one-sided exact bound on an error rate, given ``errors`` among ``accepted``; 1 if none were right.

    C. J. Clopper and E. S. Pearson, Biometrika 26 (1934).
    """
    from scipy.special import betaincinv

    errors, accepted = np.broadcast_arrays(np.asarray(errors), np.asarray(accepted))
    right = accepted - errors
    return np.where(right > 0, betaincinv(errors + 1, np.maximum(right, 1), level), 1.0)
