"""The axis of each predictor: which values it shows, between which limits, measured from where.

Limits come from the study, from percentiles, or as in R's rms; never from one patient's extreme
value, except with ``limits="rms"``, which is for comparisons.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayes_cmvt.cohort import LOWEST_VALUE, Cohort
from bayes_cmvt.errors import OptionError
from bayes_cmvt.pretty_values import decade_values, number_text, pretty
from bayes_cmvt.schema import Continuous, Ordinal, level_text
from bayes_cmvt.study import AnyPredictor

type AxisLimits = Literal["study", "rms"]

PERCENTILES = (0.01, 0.99)
INTERVALS, RMS_INTERVALS = 8, 10
FEWEST = 5  # patients between percentiles who have not the commonest value
SPREAD = 2.0  # SDs that an axis reaches where percentiles do not tell values apart
RMS_DISTINCT = 10  # values up to which rms shows every one
DECADES_FROM = 10.0  # ratio of the limits from which a logarithmic axis counts in decades


@dataclass(frozen=True, eq=False)
class PredictorAxis:
    """Which values of a predictor are shown, and what others are compared with.

    Attributes
    ----------
    predictor : Continuous, Binary, Categorical or Ordinal
    values : tuple of str
        As they are written, in ascending order or in the order of the levels.
    numbers : ndarray, shape (value,)
        The same in the predictor's unit; codes 0, 1, 2 … of levels.
    low, high : float
        Ends of the axis.
    reference : float
        From which points are measured: the median of the development rows, rounded to about a
        hundredth of the axis; the first level.
    common : float
        What is assumed of a patient of whom nothing is known: the reference of a measurement, the
        middle level of ordered ones, the most frequent of others.
    """

    predictor: AnyPredictor
    values: tuple[str, ...]
    numbers: NDArray[np.float64]
    low: float
    high: float
    reference: float
    common: float

    def text(self, number: float) -> str:
        """A value as it is written: a number, or the level that a code stands for."""
        if isinstance(self.predictor, Continuous):
            return number_text(number)
        return level_text(self.predictor.levels[int(number)])


def predictor_axes(cohort: Cohort, limits: AxisLimits = "study") -> tuple[PredictorAxis, ...]:
    """The axis of every predictor of a study, in its order, for the development rows of a cohort.

    Parameters
    ----------
    cohort : Cohort
    limits : {"study", "rms"}
        ``study``: the ``axis`` that the study declares, else the 1st to the 99th percentile widened
        to round values within the declared ``range``. ``rms``: what R's ``rms::nomogram`` shows,
        every value where there are at most 10, else ``pretty`` values from minimum to maximum.

    Returns
    -------
    tuple of PredictorAxis

    Raises
    ------
    OptionError
        Other limits.
    """
    if limits not in {"study", "rms"}:
        msg = f'axis_limits: found {limits!r}; allowed: "study", "rms"'
        raise OptionError(msg)
    rows = cohort.predictors[cohort.development]
    axes = []
    for predictor in cohort.study.predictors:
        column = rows[predictor.name]
        if isinstance(predictor, Continuous):
            axes.append(_measured(predictor, column.to_numpy(dtype=float), limits))
        else:
            axes.append(_levelled(predictor, column.cat.codes.to_numpy()))
    return tuple(axes)


def _levelled(predictor: AnyPredictor, codes: NDArray[np.integer[Any]]) -> PredictorAxis:
    assert not isinstance(predictor, Continuous)
    numbers = np.arange(len(predictor.levels), dtype=float)
    if isinstance(predictor, Ordinal):
        common = float(np.sort(codes)[(len(codes) - 1) // 2])
    else:
        common = float(np.bincount(codes).argmax())
    texts = tuple(level_text(level) for level in predictor.levels)
    return PredictorAxis(predictor, texts, numbers, 0.0, numbers[-1], 0.0, common)


def _measured(
    predictor: Continuous, values: NDArray[np.float64], limits: AxisLimits
) -> PredictorAxis:
    whole = bool((values == np.rint(values)).all())
    shown = _as_rms(values) if limits == "rms" else _shown(predictor, values, whole=whole)
    low, high = float(shown[0]), float(shown[-1])
    median = _rounded(float(np.median(values)), high - low, whole=whole)
    reference = min(max(median, low), high)
    texts = tuple(number_text(value) for value in shown)
    return PredictorAxis(predictor, texts, shown, low, high, reference, reference)


def _as_rms(values: NDArray[np.float64]) -> NDArray[np.float64]:
    distinct = np.unique(values)
    if len(distinct) <= RMS_DISTINCT:
        return distinct
    return pretty(distinct[0], distinct[-1], RMS_INTERVALS)


def _shown(
    predictor: Continuous, values: NDArray[np.float64], *, whole: bool
) -> NDArray[np.float64]:
    """Values of a study's axis: round ones within its limits, and the limits."""
    if predictor.axis is not None:
        low, high = predictor.axis
        shown = _round_values(predictor, low, high)
    else:
        low, high = _ends(values)
        shown = _round_values(predictor, low, high)
        low, high = _widened(predictor, shown, low)
    if whole:
        shown = shown[shown == np.rint(shown)]
    inside = shown[(shown > low) & (shown < high)]
    return np.concatenate([[low], inside, [high]])


def _ends(values: NDArray[np.float64]) -> tuple[float, float]:
    """1st and 99th percentile; two SDs from the commonest value where hardly any other is between.

    An SD is nobody's value, as an extreme would be.
    """
    low, high = np.quantile(values, PERCENTILES)
    distinct, counts = np.unique(values, return_counts=True)
    usual = distinct[counts.argmax()]
    others = values[(values >= low) & (values <= high) & (values != usual)]
    if len(others) >= FEWEST:
        return float(low), float(high)
    reach = SPREAD * float(values.std())
    below, above = bool((values < usual).any()), bool((values > usual).any())
    return float(usual - reach * below), float(usual + reach * above)


def _round_values(predictor: Continuous, low: float, high: float) -> NDArray[np.float64]:
    if predictor.transform == "log" and low > 0 and high / low >= DECADES_FROM:
        return decade_values(low, high)
    return pretty(low, high, INTERVALS)


def _widened(
    predictor: Continuous, shown: NDArray[np.float64], percentile: float
) -> tuple[float, float]:
    """Ends of the round values, within the declared range and where the transform is defined."""
    low, high = float(shown[0]), float(shown[-1])
    if predictor.range is not None:
        low, high = max(low, predictor.range[0]), min(high, predictor.range[1])
    if predictor.transform in LOWEST_VALUE:
        lowest = LOWEST_VALUE[predictor.transform][0]
        if low < lowest or (low == lowest and predictor.transform != "sqrt"):
            low = lowest if predictor.transform == "sqrt" else _first_digit(percentile, lowest)
    return low, high


def _first_digit(value: float, lowest: float) -> float:
    """A value rounded down to one digit of its distance from the lowest one allowed."""
    distance = value - lowest
    unit = 10.0 ** math.floor(math.log10(distance))
    return float(f"{lowest + math.floor(distance / unit) * unit:.9g}")


def _rounded(value: float, width: float, *, whole: bool) -> float:
    """A median without the digits that could tell one patient."""
    step = 10.0 ** (math.floor(math.log10(width)) - 2)
    step = max(step, 1.0) if whole else step
    return float(f"{round(value / step) * step:.9g}")
