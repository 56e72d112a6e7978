"""Calibration of risks as a line: their level, their spread, and their groups.

With ``x = logit(risk)`` three numbers come from two different models (Cox 1958,
doi:10.1093/biomet/45.3-4.562; Steyerberg & Vergouwe 2014, doi:10.1093/eurheartj/ehu207):

- in the large: ``logit P(event) = a + x``, the slope held at 1;
- intercept and slope: ``logit P(event) = a + b x``, both free. This ``a`` is that of `val.prob`
  in R; it says nothing of the level unless the slope is 1.

Risks are clipped to [1e-12, 1 - 1e-12] before the logit is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_cmvt.errors import MetricError
from bayes_cmvt.metrics.arrays import (
    Floats,
    Rows,
    checked_ci_prob,
    checked_rows,
    scalar,
    score_rows,
)

CLIPPED = 1e-12
NEWTON_STEPS = 100
CONVERGED = 1e-7  # change of a log-odds by the last Newton step; its square is what is left
RIDGE = 1e-12  # share of the information's diagonal: slows Newton by as little, moves no solution


@dataclass(frozen=True)
class Recalibration:
    """Level and spread of risks, with model-based standard errors and their normal limits.

    Attributes
    ----------
    in_the_large, in_the_large_se, in_the_large_lower, in_the_large_upper : float
        Log-odds to be added to each risk, the slope held at 1.
    intercept, intercept_se, intercept_lower, intercept_upper : float
        Log-odds, of the model with free slope.
    slope, slope_se, slope_lower, slope_upper : float
        Unitless.
    covariance : float
        Of intercept and slope.
    ci_prob : float
    """

    in_the_large: float
    in_the_large_se: float
    in_the_large_lower: float
    in_the_large_upper: float
    intercept: float
    intercept_se: float
    intercept_lower: float
    intercept_upper: float
    slope: float
    slope_se: float
    slope_lower: float
    slope_upper: float
    covariance: float
    ci_prob: float


@dataclass(frozen=True, eq=False)
class HosmerLemeshow:
    """Hosmer–Lemeshow statistic, its degrees of freedom and P; shape (...) where risks have it."""

    statistic: float | Floats
    df: int | NDArray[np.int64]
    p_value: float | Floats


@dataclass(frozen=True, eq=False)
class RiskGroups:
    """Patients by quantiles of their risk.

    Attributes
    ----------
    lower, upper : ndarray, shape (group,)
        Cuts of the risk: above `lower` (the first group: from it on), up to `upper`.
    patients, events : ndarray of int, shape (group,)
    expected : ndarray, shape (group,)
        Sum of the risks, in events.
    """

    lower: Floats
    upper: Floats
    patients: NDArray[np.int64]
    events: NDArray[np.int64]
    expected: Floats


def calibration_in_the_large(
    outcome: ArrayLike, risk: ArrayLike, *, weights: ArrayLike | None = None
) -> float | Floats:
    """Calibration in the large: log-odds by which all risks together are too low.

    The intercept of a logistic model with logit(risk) as offset (Cox 1958,
    doi:10.1093/biomet/45.3-4.562): below 0, risks are too high on the whole. It is not
    `calibration_intercept`.

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like in [0, 1], shape (..., patient)
    weights : array_like, shape (..., patient), optional

    Returns
    -------
    float or ndarray, shape (...)
        In log-odds; finite for every input that is accepted.

    Raises
    ------
    MetricError
        What `checked_rows` refuses; both outcomes are needed.

    Examples
    --------
    >>> round(calibration_in_the_large([0, 0, 0, 1], [0.5, 0.5, 0.5, 0.5]), 6)  # log(1/3)
    -1.098612
    """
    rows = checked_rows(outcome, risk, weights)
    return scalar(score_rows(_in_the_large_rows, rows))


def calibration_intercept(
    outcome: ArrayLike, risk: ArrayLike, *, weights: ArrayLike | None = None
) -> float | Floats:
    """Calibration intercept: that of the logistic model whose slope is free, as `val.prob`.

    It says nothing of the level of the risks unless the slope is 1: see
    `calibration_in_the_large` (Steyerberg & Vergouwe 2014, doi:10.1093/eurheartj/ehu207).

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like in [0, 1], shape (..., patient)
    weights : array_like, shape (..., patient), optional

    Returns
    -------
    float or ndarray, shape (...)
        In log-odds. NaN where the slope is NaN or infinite.

    Raises
    ------
    MetricError
        What `checked_rows` refuses; both outcomes are needed.

    Examples
    --------
    At risk 0.2 one of 3 had the event, at 0.8 three of 4; logit 0.8 = 1.386:
    the line passes through logit 1/3 at -1.386 and logit 3/4 at 1.386.

    >>> found = calibration_intercept([1, 0, 0, 1, 1, 1, 0], [0.2] * 3 + [0.8] * 4)
    >>> round(found, 6), round(float(np.log(1 / 2) + np.log(3)) / 2, 6)
    (0.202733, 0.202733)
    """
    rows = checked_rows(outcome, risk, weights)
    return scalar(score_rows(_line_rows, rows)[..., 0])


def calibration_slope(
    outcome: ArrayLike, risk: ArrayLike, *, weights: ArrayLike | None = None
) -> float | Floats:
    """Calibration slope: coefficient of logit(risk) in a logistic model with intercept.

    1 for risks of the right spread, below 1 for risks too extreme, as after overfitting
    (Steyerberg & Vergouwe 2014, doi:10.1093/eurheartj/ehu207).

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like in [0, 1], shape (..., patient)
    weights : array_like, shape (..., patient), optional

    Returns
    -------
    float or ndarray, shape (...)
        Unitless. NaN where all patients (of positive weight) have one risk. Plus or minus
        infinity where the risk separates events from non-events, a shared risk at the border
        included: no finite maximum of the likelihood exists there (Albert & Anderson 1984,
        doi:10.1093/biomet/71.1.1).

    Raises
    ------
    MetricError
        What `checked_rows` refuses; both outcomes are needed.

    Examples
    --------
    From logit 1/3 to logit 3/4, where the risks say from logit 0.2 to logit 0.8:

    >>> found = calibration_slope([1, 0, 0, 1, 1, 1, 0], [0.2] * 3 + [0.8] * 4)
    >>> round(found, 6), round(float(np.log(6) / np.log(16)), 6)
    (0.646241, 0.646241)
    >>> calibration_slope([0, 0, 1, 1], [0.1, 0.2, 0.2, 0.9])
    inf
    """
    rows = checked_rows(outcome, risk, weights)
    return scalar(score_rows(_line_rows, rows)[..., 1])


def recalibration(
    outcome: ArrayLike, risk: ArrayLike, *, weights: ArrayLike | None = None, ci_prob: float = 0.95
) -> Recalibration:
    """Level and spread of one risk vector, with standard errors: what a model is updated by.

    Standard errors come from the expected information of the two logistic models, weights being
    numbers of patients. They hold for risks that were not fitted to these patients.

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like in [0, 1], shape (patient,)
    weights : array_like, shape (patient,), optional
    ci_prob : float in (0, 1)
        Of the normal (Wald) limits.

    Returns
    -------
    Recalibration
        Where the slope is NaN or infinite (see `calibration_slope`), the intercept, both standard
        errors, their covariance and limits are NaN.

    Raises
    ------
    MetricError
        What `checked_rows` refuses; leading axes; `ci_prob` outside (0, 1).

    Examples
    --------
    One event among 4 patients of risk 1/2: log-odds log(1/3), standard error sqrt(1 + 1/3).

    >>> found = recalibration([0, 0, 0, 1], [0.5, 0.5, 0.5, 0.5])
    >>> round(found.in_the_large, 6), round(found.in_the_large_se**2, 6), found.slope
    (-1.098612, 1.333333, nan)
    """
    rows = _single_row(outcome, risk, weights, "recalibration")
    checked_ci_prob(ci_prob)
    level = float(score_rows(_in_the_large_rows, rows))
    intercept, slope = (float(value) for value in score_rows(_line_rows, rows))
    level_se, intercept_se, slope_se, covariance = _standard_errors(rows, level, intercept, slope)
    return Recalibration(
        *(level, level_se, *_limits(level, level_se, ci_prob)),
        *(intercept, intercept_se, *_limits(intercept, intercept_se, ci_prob)),
        *(slope, slope_se, *_limits(slope, slope_se, ci_prob)),
        covariance,
        float(ci_prob),
    )


def hosmer_lemeshow(
    outcome: ArrayLike, risk: ArrayLike, groups: int = 10, *, external: bool = False
) -> HosmerLemeshow:
    """Hosmer–Lemeshow test: observed and expected events in groups of the risk.

    ``sum (O - E)^2 / E`` over events and non-events of groups cut at the quantiles of the risk
    (type 7; equal cuts count once; a cut belongs to the group below it), compared with a
    chi-squared distribution (Hosmer & Lemeshow 1980, doi:10.1080/03610928008827941). Its power
    is low and its result depends on the cuts: a large P is no evidence of good calibration.

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like in [0, 1], shape (..., patient)
    groups : int
        At least 2. Groups without patients do not count: ties and few patients leave fewer.
    external : bool
        False: risks of a model fitted to these patients by maximum likelihood, groups - 2 degrees
        of freedom. True: risks that owe nothing to these patients, as many as groups. For shrunken
        or cross-validated risks of the same patients neither holds.

    Returns
    -------
    HosmerLemeshow
        P is NaN where no degree of freedom is left. A group that expects no event (or nothing
        else) adds 0 to the statistic if it was right, infinity if it was not.

    Raises
    ------
    MetricError
        What `checked_rows` refuses; `groups` below 2.

    Examples
    --------
    Two groups: 1 event where 0.5 are expected of 5, 4 where 2.5 are expected of 5.

    >>> found = hosmer_lemeshow([1, 0, 0, 0, 0, 1, 1, 1, 1, 0], [0.1] * 5 + [0.5] * 5, 2,
    ...                         external=True)
    >>> round(found.statistic, 6), round(0.5**2 / 0.5 + 0.5**2 / 4.5 + 2 * 1.5**2 / 2.5, 6)
    (2.355556, 2.355556)
    >>> found.df, hosmer_lemeshow([0, 1, 1], [0.2, 0.4, 0.9], 2).p_value
    (2, nan)
    """
    from scipy.stats import chi2

    rows = checked_rows(outcome, risk, both_classes=False)
    count = _group_count(groups)
    found = score_rows(lambda y, p, _: _hosmer_lemeshow_rows(y, p, count), rows)
    degrees = found[..., 1].astype(np.int64) - (0 if external else 2)
    p_value = np.where(degrees > 0, chi2.sf(found[..., 0], np.maximum(degrees, 1)), np.nan)
    return HosmerLemeshow(
        scalar(found[..., 0]),
        degrees if degrees.ndim else int(degrees),
        scalar(p_value),
    )


def risk_groups(outcome: ArrayLike, risk: ArrayLike, groups: int = 10) -> RiskGroups:
    """Observed and expected events in groups of the risk, cut as in `hosmer_lemeshow`.

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like in [0, 1], shape (patient,)
    groups : int
        At least 2.

    Returns
    -------
    RiskGroups
        Groups that hold patients, in order of the risk.

    Raises
    ------
    MetricError
        What `checked_rows` refuses; leading axes; `groups` below 2.

    Examples
    --------
    >>> found = risk_groups([0, 1, 0, 1, 1], [0.1, 0.1, 0.3, 0.7, 0.9], 2)
    >>> found.lower.tolist(), found.upper.tolist(), found.patients.tolist(), found.events.tolist()
    ([0.1, 0.3], [0.3, 0.9], [3, 2], [1, 2])
    >>> found.expected.round(12).tolist()
    [0.5, 1.6]
    """
    rows = _single_row(outcome, risk, None, "risk_groups", both_classes=False)
    cuts = _quantile_cuts(rows.risk, _group_count(groups))
    group = _group_of(rows.risk, cuts)[0]
    edges = np.unique(cuts)
    lower, upper = (edges[:-1], edges[1:]) if len(edges) > 1 else (edges, edges)
    patients, events, expected = (
        np.bincount(group, count, minlength=len(lower))
        for count in (np.ones(len(group)), rows.outcome, rows.risk[0])
    )
    held = patients > 0
    return RiskGroups(
        lower[held],
        upper[held],
        patients[held].astype(np.int64),
        events[held].astype(np.int64),
        expected[held],
    )


def log_odds(risk: Floats) -> Floats:
    """Logit of risks clipped to [1e-12, 1 - 1e-12].

    Examples
    --------
    >>> log_odds(np.array([0.0, 0.5, 1.0])).round(3)
    array([-27.631,   0.   ,  27.631])
    """
    clipped = np.clip(risk, CLIPPED, 1 - CLIPPED)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def logistic_departures(
    offset: Floats,
    columns: Floats,
    patients: Floats,
    events: Floats,
    wanted: NDArray[np.bool_] | None = None,
) -> Floats:
    """Maximum likelihood coefficients of ``logit P = offset + columns``, a model for each row.

    Newton's steps from 0, each shortened by ``log(1 + r)/r`` where r is the largest change of a
    log-odds that it asks for. The curvature of a logistic likelihood changes over a step by no
    more than exp(r) (Bach 2010, doi:10.1214/09-EJS521), so that the likelihood rises with every
    step, from any start, without being evaluated, and the last steps are Newton's own.

    Parameters
    ----------
    offset : ndarray, shape (row or 1, patient)
    columns : ndarray, shape (column, row or 1, patient)
        A column of zeros has coefficient 0.
    patients, events : ndarray, shape (row or 1, patient)
        Weight, and weight of those who had the event.
    wanted : ndarray of bool, shape (row,), optional
        Rows to fit; the others keep 0.

    Returns
    -------
    ndarray, shape (row, column)
        Where the events are separated, what 100 steps reach, with fitted risks near 0 and 1.
    """
    rows = max(len(offset), len(patients), columns.shape[1])
    active = np.ones(rows, dtype=np.bool_) if wanted is None else wanted.copy()
    fitted = np.zeros((rows, len(columns)))
    linear = np.repeat(offset, rows, axis=0) if len(offset) < rows else offset.copy()
    for _ in range(NEWTON_STEPS):
        if not active.any():
            break
        step = _newton_step(linear, columns, patients, events)
        change = _combined(step, columns)
        reach = np.maximum(change.max(axis=1), -change.min(axis=1))
        share = np.where(active, np.log1p(reach) / np.maximum(reach, CONVERGED**2), 0)
        fitted += share[:, None] * step
        change *= share[:, None]
        linear += change
        active &= reach > CONVERGED
    return fitted


def _newton_step(linear: Floats, columns: Floats, patients: Floats, events: Floats) -> Floats:
    risk = np.exp(-linear)
    risk += 1
    np.reciprocal(risk, out=risk)
    expected = patients * risk
    gradient = _products(events - expected, columns)
    np.subtract(1, risk, out=risk)
    expected *= risk
    information = _information(expected, columns)
    diagonal = np.einsum("rkk->rk", information)
    diagonal += RIDGE * diagonal + np.finfo(np.float64).tiny
    return np.asarray(np.linalg.solve(information, gradient[:, :, None])[:, :, 0])


def _information(variance: Floats, columns: Floats) -> Floats:
    """Expected information of each row, shape (row, column, column)."""
    rows, count = len(variance), len(columns)
    if columns.shape[1] == 1:
        pairs = (columns * columns[:, 0]).reshape(count**2, 1, -1)
        return _products(variance, pairs).reshape(rows, count, count)
    found = np.empty((rows, count, count))
    for i in range(count):
        found[:, i, : i + 1] = _products(variance * columns[i], columns[: i + 1])
        found[:, : i + 1, i] = found[:, i, : i + 1]
    return found


def _products(values: Floats, columns: Floats) -> Floats:
    """Sum over patients of values times column, shape (row, column)."""
    if columns.shape[1] == 1:
        return np.asarray(values @ columns[:, 0].T)
    return np.asarray(np.einsum("rp,krp->rk", values, columns))


def _combined(coefficients: Floats, columns: Floats) -> Floats:
    """Sum over columns of coefficient times column, shape (row, patient)."""
    if columns.shape[1] == 1:
        return np.asarray(coefficients @ columns[:, 0])
    return np.asarray(np.einsum("rk,krp->rp", coefficients, columns))


def _in_the_large_rows(outcome: Floats, risk: Floats, weights: Floats) -> Floats:
    ones = np.ones((1, 1, len(outcome)))
    return logistic_departures(log_odds(risk), ones, weights, weights * outcome)[:, 0]


def _line_rows(outcome: Floats, risk: Floats, weights: Floats) -> Floats:
    """Intercept and slope of each row, shape (row, 2), with their limits where risks separate."""
    logit = log_odds(risk)
    centre, spread = logit.mean(axis=1), logit.std(axis=1)
    spread = np.where(spread > 0, spread, 1)
    columns = np.stack([np.ones(logit.shape), (logit - centre[:, None]) / spread[:, None]])
    limit = _slope_limit(outcome, logit, weights)
    finite = limit == 0
    fitted = logistic_departures(logit, columns, weights, weights * outcome, finite)
    slope = fitted[:, 1] / spread
    intercept = np.where(finite, fitted[:, 0] - slope * centre, np.nan)
    return np.column_stack([intercept, np.where(finite, 1 + slope, limit)])


def _slope_limit(outcome: Floats, logit: Floats, weights: Floats) -> Floats:
    """Infinity of either sign where the risk separates, NaN where it is constant, else 0."""
    rows = np.zeros(max(len(logit), len(weights)))
    if (weights > 0).all():
        weights = np.ones((1, len(outcome)))
    lowest, highest = [], []
    for chosen in (outcome == 0, outcome == 1):
        present, part = weights[:, chosen] > 0, logit[:, chosen]
        lowest.append(rows + np.where(present, part, np.inf).min(axis=1))
        highest.append(rows + np.where(present, part, -np.inf).max(axis=1))
    upward, downward = highest[0] <= lowest[1], highest[1] <= lowest[0]
    limits = np.where(upward, np.inf, -np.inf)
    limits[upward & downward] = np.nan
    return np.where(upward | downward, limits, 0)


def _standard_errors(
    rows: Rows, level: float, intercept: float, slope: float
) -> tuple[float, float, float, float]:
    """Of the level, the intercept, the slope; then the covariance of the last two."""
    logit = log_odds(rows.risk)
    ones = np.ones(logit.shape)
    level_se = _inverse_information(logit + level, ones[None], rows.weights)[0, 0] ** 0.5
    if not np.isfinite(slope):
        return float(level_se), np.nan, np.nan, np.nan
    centre = logit.mean()
    columns = np.stack([ones, logit - centre])
    inverse = _inverse_information(intercept + slope * logit, columns, rows.weights)
    shift = np.array([[1, -centre], [0, 1]])  # back from the centred column
    covariance = shift @ inverse @ shift.T
    errors = np.sqrt([level_se**2, covariance[0, 0], covariance[1, 1]])
    return float(errors[0]), float(errors[1]), float(errors[2]), float(covariance[0, 1])


def _inverse_information(linear: Floats, columns: Floats, weights: Floats) -> Floats:
    odds = np.exp(-np.abs(linear))
    information = _information(weights * odds / (1 + odds) ** 2, columns)
    return np.asarray(np.linalg.inv(information[0]))


def _limits(estimate: float, error: float, ci_prob: float) -> tuple[float, float]:
    from scipy.special import ndtri

    half = float(ndtri((1 + ci_prob) / 2)) * error
    return (estimate - half, estimate + half) if np.isfinite(half) else (np.nan, np.nan)


def _single_row(
    outcome: ArrayLike,
    risk: ArrayLike,
    weights: ArrayLike | None,
    name: str,
    *,
    both_classes: bool = True,
) -> Rows:
    rows = checked_rows(outcome, risk, weights, both_classes=both_classes)
    if rows.shape:
        msg = f"{name}: takes one risk vector; found leading axes of shape {rows.shape}"
        raise MetricError(msg)
    return rows


def _group_count(groups: int) -> int:
    if isinstance(groups, bool) or not isinstance(groups, int | np.integer) or groups < 1:
        msg = f"groups: found {groups}; allowed: whole numbers from 1"
        raise MetricError(msg)
    return int(groups)


def _quantile_cuts(risk: Floats, groups: int) -> Floats:
    """Quantiles (type 7) of each row that cut it in groups, ends included.

    Their ranks are computed in whole numbers: 0.7 * 10 is not 7 in floating point.
    """
    ranks = np.arange(groups + 1) * (risk.shape[1] - 1)
    low, fraction = ranks // groups, ranks % groups / groups
    ordered = np.sort(risk, axis=1)
    high = np.minimum(low + 1, risk.shape[1] - 1)
    return np.asarray(ordered[:, low] + fraction * (ordered[:, high] - ordered[:, low]))


def _group_of(risk: Floats, cuts: Floats) -> NDArray[np.int64]:
    """Number of the group of each patient: how many different inner cuts lie below the risk."""
    group = np.zeros(risk.shape, dtype=np.int64)
    for k in range(1, cuts.shape[1] - 1):
        group += (risk > cuts[:, [k]]) & (cuts[:, [k]] > cuts[:, [k - 1]])
    return group


def _hosmer_lemeshow_rows(outcome: Floats, risk: Floats, groups: int) -> Floats:
    """Statistic and number of groups that hold patients, shape (row, 2)."""
    group = _group_of(risk, _quantile_cuts(risk, groups))
    group += groups * np.arange(len(risk))[:, None]
    patients, events, expected, spared = (
        np.bincount(
            group.ravel(), np.broadcast_to(count, risk.shape).ravel(), groups * len(risk)
        ).reshape(-1, groups)
        for count in (np.ones(1), outcome, risk, 1 - risk)
    )
    squared = (events - expected) ** 2
    found = sum(np.where(squared > 0, squared / total, 0) for total in (expected, spared))
    return np.column_stack([np.sum(found, axis=1), (patients > 0).sum(axis=1)])
