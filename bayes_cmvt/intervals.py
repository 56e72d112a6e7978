"""Draws become an interval: equal-tailed quantiles at a stated probability."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_cmvt.errors import OptionError


def tails(ci_prob: float) -> tuple[float, float]:
    """Return the two tail probabilities of an equal-tailed interval.

    Parameters
    ----------
    ci_prob : float in (0, 1)
        Probability inside the interval.

    Raises
    ------
    OptionError
        A probability outside (0, 1).

    Examples
    --------
    >>> tails(0.9)
    (0.05, 0.95)
    """
    if not 0 < ci_prob < 1:
        msg = f"interval: found {ci_prob}; it must lie between 0 and 1, for instance 0.95"
        raise OptionError(msg)
    lower = round((1 - ci_prob) / 2, 12)
    return lower, 1 - lower


def equal_tailed(draws: ArrayLike, ci_prob: float = 0.95) -> NDArray[np.float64]:
    """Lower limit, median and upper limit of draws along their first axis.

    Parameters
    ----------
    draws : array_like, shape (draw, ...)
    ci_prob : float in (0, 1)

    Returns
    -------
    ndarray, shape (3, ...)
        Linear interpolation between order statistics (Hyndman & Fan type 7); where some draws are
        infinite the order statistics themselves, where one is NaN all limits are.

    Examples
    --------
    >>> equal_tailed([0.0, 1.0, 2.0, 3.0, 4.0], 0.5).tolist()
    [1.0, 2.0, 3.0]
    """
    lower, upper = tails(ci_prob)
    values = np.asarray(draws, dtype=float)
    # nothing lies halfway to infinity
    method: Literal["linear", "inverted_cdf"]
    method = "linear" if np.isfinite(values).all() else "inverted_cdf"
    return np.asarray(np.quantile(values, [lower, 0.5, upper], axis=0, method=method))


def bias_corrected(
    estimate: float, replicates: ArrayLike, left_out: ArrayLike, ci_prob: float = 0.95
) -> tuple[float, float]:
    """Limits of the bias-corrected and accelerated bootstrap (BCa).

    Efron 1987, doi:10.1080/01621459.1987.10478410: the percentiles are moved by the share of
    replicates below the estimate, ties counted half, and by the skewness of the estimates with one
    patient left out.

    Parameters
    ----------
    estimate : float
    replicates : array_like, shape (replicate,)
        Bootstrap replicates of the estimate.
    left_out : array_like, shape (patient,)
        The estimate without each patient in turn.
    ci_prob : float in (0, 1)

    Returns
    -------
    lower, upper : float
        NaN where all replicates lie on one side of the estimate.

    Examples
    --------
    >>> bias_corrected(2.0, [0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0], 0.5)  # symmetric
    (1.0, 3.0)
    """
    from scipy.special import ndtr, ndtri

    values, jackknife = np.asarray(replicates, dtype=float), np.asarray(left_out, dtype=float)
    shift = ndtri(np.mean(values < estimate) + np.mean(values == estimate) / 2)
    deviation = jackknife.mean() - jackknife
    spread = np.sum(deviation**2)
    skewness = np.sum(deviation**3) / (6 * spread**1.5) if spread > 0 else 0.0
    if not np.isfinite(shift):
        return np.nan, np.nan
    moved = shift + ndtri(np.asarray(tails(ci_prob)))
    levels = ndtr(shift + moved / (1 - skewness * moved))
    lower, upper = np.quantile(values, np.round(levels, 12))
    return float(lower), float(upper)
