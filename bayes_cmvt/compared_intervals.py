"""Credible beside bootstrap and Wald: the same three intervals of one quantity, and how they lie.

Widths are compared because readers do it; neither a narrow nor a wide interval is a merit.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

type Floats = NDArray[np.float64]

INTERVALS = (
    *("credible_estimate", "credible_lower", "credible_upper"),
    *("bootstrap_estimate", "bootstrap_lower", "bootstrap_upper"),
    *("wald_lower", "wald_upper"),
)


def overlap(
    first_lower: ArrayLike, first_upper: ArrayLike, second_lower: ArrayLike, second_upper: ArrayLike
) -> Floats:
    """Length that two intervals share, as a part of the length that they cover together.

    Parameters
    ----------
    first_lower, first_upper, second_lower, second_upper : array_like, shape (quantity,)

    Returns
    -------
    ndarray, shape (quantity,)
        1: the same interval; 0: apart, or one is a single point; NaN where a limit is missing or
        infinite, or both are single points.

    Examples
    --------
    >>> overlap([0.0, 0.0, 0.0], [2.0, 1.0, 2.0], [1.0, 3.0, 1.0], [4.0, 4.0, 1.0]).tolist()
    [0.25, 0.0, 0.0]
    """
    lower = np.stack([np.asarray(first_lower, float), np.asarray(second_lower, float)])
    upper = np.stack([np.asarray(first_upper, float), np.asarray(second_upper, float)])
    with np.errstate(invalid="ignore", divide="ignore"):
        shared = np.maximum(upper.min(axis=0) - lower.max(axis=0), 0.0)
        together = (upper - lower).sum(axis=0) - shared
        return np.asarray(np.where(np.isfinite(together), shared / together, np.nan))


def width_ratio(
    lower: ArrayLike, upper: ArrayLike, other_lower: ArrayLike, other_upper: ArrayLike
) -> Floats:
    """Width of an interval over that of another; NaN where the other has none.

    Examples
    --------
    >>> width_ratio([0.0, 0.0], [2.0, 2.0], [0.0, 1.0], [4.0, 1.0]).tolist()
    [0.5, nan]
    """
    width = np.asarray(upper, float) - np.asarray(lower, float)
    other = np.asarray(other_upper, float) - np.asarray(other_lower, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = width / other
    return np.asarray(np.where((other > 0) & np.isfinite(ratio), ratio, np.nan))


def with_widths(table: pd.DataFrame) -> pd.DataFrame:
    """Add how the intervals of a table of `INTERVALS` lie: ``width_ratio``, ``overlap`` and more.

    Parameters
    ----------
    table : DataFrame
        With the columns of `INTERVALS`.

    Returns
    -------
    DataFrame
        With ``width_ratio`` (credible over bootstrap) after them, and ``overlap`` and
        ``wald_width_ratio`` (credible over Wald) at the end.
    """
    credible, bootstrap, wald = (
        (table[f"{name}_lower"], table[f"{name}_upper"])
        for name in ("credible", "bootstrap", "wald")
    )
    found = table.copy()
    place = list(found.columns).index(INTERVALS[-1]) + 1
    found.insert(place, "width_ratio", width_ratio(*credible, *bootstrap))
    found["overlap"] = overlap(*credible, *bootstrap)
    found["wald_width_ratio"] = width_ratio(*credible, *wald)
    return found


def risk_classes(thresholds: Sequence[float]) -> list[str]:
    """Names of the classes that thresholds cut risks into; a risk at a threshold is above it.

    Parameters
    ----------
    thresholds : sequence of float, ascending

    Examples
    --------
    >>> risk_classes([0.05, 0.6])
    ['below 0.05', '0.05 to 0.6', '0.6 or above']
    """
    texts = [f"{threshold:g}" for threshold in thresholds]
    between = [f"{low} to {high}" for low, high in itertools.pairwise(texts)]
    return [f"below {texts[0]}", *between, f"{texts[-1]} or above"]


UNCERTAIN = "uncertain"


def class_of(lower: ArrayLike, upper: ArrayLike, thresholds: Sequence[float]) -> list[str]:
    """Class that an interval of a risk lies in whole, or that it is uncertain.

    Parameters
    ----------
    lower, upper : array_like, shape (patient,)
    thresholds : sequence of float, ascending

    Returns
    -------
    list of str
        Empty where a limit is missing.

    Examples
    --------
    >>> class_of([0.01, 0.02, 0.3], [0.04, 0.2, 0.5], [0.05, 0.6])
    ['below 0.05', 'uncertain', '0.05 to 0.6']
    """
    low, high = np.asarray(lower, float), np.asarray(upper, float)
    names = np.array([*risk_classes(thresholds), UNCERTAIN, ""])
    first = np.searchsorted(thresholds, low, side="right")
    last = np.searchsorted(thresholds, high, side="right")
    place = np.where(first == last, first, len(names) - 2)
    place[np.isnan(low) | np.isnan(high)] = len(names) - 1
    return [str(name) for name in names[place]]
