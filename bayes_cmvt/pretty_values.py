"""Round numbers for axes: R's `pretty`, and 1-2-5 steps over decades."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

HIGH_BIAS = (1.5, 2.75)  # R's preference for larger units, and for 5 among them
SMALL = 1e-10  # share of a unit that is rounding error
SHRINK = 0.75  # R's share of the range where it is nothing but rounding error


def pretty(low: float, high: float, intervals: int = 8) -> NDArray[np.float64]:
    """Equally spaced round values that hold a range, as R's ``pretty(c(low, high), n)``.

    Becker, Chambers & Wilks 1988, The New S Language: about so many intervals of 1, 2 or 5 times
    a power of 10.

    Parameters
    ----------
    low, high : float
        Finite, ``low <= high``.
    intervals : int
        About so many, at least a third of them.

    Returns
    -------
    ndarray, shape (value,)
        From at most ``low`` to at least ``high``.

    Examples
    --------
    >>> pretty(14, 45, 10).tolist()
    [10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0]
    >>> pretty(-3, 17.2, 5).tolist()
    [-5.0, 0.0, 5.0, 10.0, 15.0, 20.0]
    """
    unit = _unit(low, high, intervals)
    first, last = math.floor(low / unit + SMALL), math.ceil(high / unit - SMALL)
    missing = intervals // 3 - (last - first)
    if missing > 0:
        first, last = _extended(first, last, missing, low, high)
    digits = max(0, 1 - math.floor(math.log10(unit)))
    return np.round(np.arange(first, last + 1) * unit, digits)


def _unit(low: float, high: float, intervals: int) -> float:
    """Distance of neighbouring values."""
    largest = max(abs(low), abs(high))
    if high - low < largest * 1e-13 or largest == 0:
        cell = (9 + largest / 10 if largest > 10 else largest or 1.0) * SHRINK
        cell /= max(intervals // 3, 1)
    else:
        cell = (high - low) / intervals
    base = 10.0 ** math.floor(math.log10(cell))
    unit = base
    for factor, bias in ((2, HIGH_BIAS[0]), (5, HIGH_BIAS[1]), (10, HIGH_BIAS[0])):
        if factor * base - cell >= bias * (cell - unit):
            break
        unit = factor * base
    return unit


def _extended(first: int, last: int, missing: int, low: float, high: float) -> tuple[int, int]:
    """More intervals on both sides; a range that begins or ends at 0 goes on doing so."""
    if low == 0 and first == 0 and high != 0:
        return first, last + missing
    if high == 0 and last == 0 and low != 0:
        return first - missing, last
    half, odd = divmod(missing, 2)
    return (first - half - odd, last + half) if first >= 0 else (first - half, last + half + odd)


def decade_values(low: float, high: float, at_most: int = 13) -> NDArray[np.float64]:
    """1, 2 and 5 times powers of 10 that hold a range of positive numbers, for logarithmic axes.

    Powers of 10 alone where there would be too many.

    Parameters
    ----------
    low, high : float
        Positive, ``low <= high``.
    at_most : int

    Returns
    -------
    ndarray, shape (value,)

    Examples
    --------
    >>> decade_values(0.3, 7).tolist()
    [0.2, 0.5, 1.0, 2.0, 5.0, 10.0]
    """
    first, last = math.floor(math.log10(low) + SMALL), math.ceil(math.log10(high) - SMALL)
    for steps in ((1, 2, 5), (1,)):
        values = np.array([step * 10.0**k for k in range(first, last + 1) for step in steps])
        start = np.flatnonzero(values <= low * (1 + SMALL))[-1]
        stop = np.flatnonzero(values >= high * (1 - SMALL))[0]
        values = values[start : max(stop, start + 1) + 1]
        if len(values) <= at_most:
            break
    return np.array([float(f"{value:.6g}") for value in values])


def number_text(value: float) -> str:
    """A number as it is written on an axis: no exponent, no rounding error.

    Examples
    --------
    >>> number_text(0.1 + 0.2), number_text(1200000.0), number_text(-2.50)
    ('0.3', '1200000', '-2.5')
    """
    return np.format_float_positional(float(f"{value:.9g}") + 0.0, trim="-")
