"""Calibration curves: the share of events against the risk, smoothed, and its distance from it.

Curves and their errors are those of Austin & Steyerberg 2019 (doi:10.1002/sim.8281), with the
smoothers of R (`loess` with ``surface = "direct"``, `lowess` as `rms::calibrate` uses it), a
restricted cubic spline, and isotonic regression.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bayes_cmvt.errors import MetricError, nearest, quoted
from bayes_cmvt.metrics.arrays import Floats, Rows, checked_rows, scalar, score_rows
from bayes_cmvt.metrics.calibration import log_odds, logistic_departures
from bayes_cmvt.metrics.local_regression import (
    LOESS_SPAN,
    LOWESS_SPAN,
    Counts,
    Merged,
    error_rows,
    interpolated_rows,
    isotonic_rows,
    loess_rows,
    lowess_rows,
    merged_rows,
    quantile_rows,
    spread_rows,
)

SMOOTHERS = ("loess", "lowess", "spline", "isotonic")
GROUPS_PER_POINT = 10
FEWEST_RISKS = 4  # different risks below which nothing is smoothed
KNOTS = (  # ranks of Harrell 2015, doi:10.1007/978-3-319-19425-7, table 2.3
    (0.05, 0.275, 0.5, 0.725, 0.95),
    (0.05, 0.35, 0.65, 0.95),
    (0.1, 0.5, 0.9),
)
KNOTS_APART = 1e-6  # of the range of log-odds
DEPENDENT = 1e-9  # share of a column that earlier ones must leave for it to count


@dataclass(frozen=True, eq=False)
class CalibrationCurve:
    """Observed share of events against the risk.

    Attributes
    ----------
    risk : ndarray, shape (point,)
    observed : ndarray, shape (..., point)
        Not clipped: a local regression may leave [0, 1].
    smoother : str
    """

    risk: Floats
    observed: Floats
    smoother: str


@dataclass(frozen=True, eq=False)
class CalibrationErrors:
    """Distances between risks and their calibration curve; shape (...) where risks have it.

    Attributes
    ----------
    ici, e50, e90, emax : float or ndarray
        Mean (integrated calibration index), median, 0.9 quantile and maximum over patients.
    """

    ici: float | Floats
    e50: float | Floats
    e90: float | Floats
    emax: float | Floats


def calibration_curve(
    outcome: ArrayLike,
    risk: ArrayLike,
    smoother: str = "loess",
    *,
    at: ArrayLike | None = None,
    grid: int | None = None,
    weights: ArrayLike | None = None,
) -> CalibrationCurve:
    """Calibration curve: the share of events among patients of a given risk, smoothed.

    The smoothers (whole-number weights are patients, for each of them):

    - ``loess``: at each point a quadratic fitted by least squares with tricube weights
      ``(1 - (d/h)^3)^3`` of the distance d (Cleveland & Devlin 1988,
      doi:10.1080/01621459.1988.10478639), as R's ``loess(span = 0.75, degree = 2,
      surface = "direct")``. The bandwidth h is the distance within which the patients' weight
      reaches ``floor(0.75 W + 1e-5)``, W being all of it. With fewer than 3 different risks
      inside, also risks within 1e-7 h of each other, the degree falls to 1 or 0.
    - ``lowess``: Cleveland 1979 (doi:10.1080/01621459.1979.10481038) without robustness
      iterations, as R's ``lowess(risk, outcome, iter = 0)``: lines, the weight within h reaching
      ``floor(2/3 W + 1e-7)``, at least 2; a mean where the spread within h is below 0.001 of the
      range of risks. Risks within 0.01 of the range from the last one fitted are skipped, and
      what lies between fitted risks is interpolated. R's takes no weights; here those of
      patients multiply the tricube weights as in loess.
    - ``spline``: logistic regression on a restricted cubic spline of logit(risk) with 5 knots at
      Harrell's ranks; 4, 3 or none (a line) where there are not more different risks than knots
      or the knots do not differ.
    - ``isotonic``: non-decreasing least squares fit by pooling adjacent violators, the CORP
      reliability curve (Dimitriadis, Gneiting & Jordan 2021, doi:10.1073/pnas.2016191118), joined
      by lines.

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like in [0, 1], shape (..., patient)
    smoother : {"loess", "lowess", "spline", "isotonic"}
    at : array_like in [0, 1], shape (point,), optional
        Risks at which to evaluate. Default: the different risks, ascending; needed where the risk
        has leading axes.
    grid : int, optional
        An approximation for many patients, see `calibration_errors`.
    weights : array_like, shape (..., patient), optional

    Returns
    -------
    CalibrationCurve
        NaN outside the risks of the patients who have weight: nothing is extrapolated. Where they
        have fewer than 4 different risks, the share of events of each, joined by lines (for
        ``isotonic`` this needs no exception and there is none).

    Raises
    ------
    MetricError
        What `checked_rows` refuses; an unknown smoother; a grid below 10; points outside [0, 1].

    Examples
    --------
    >>> calibration_curve([0, 1, 0, 1], [0.2, 0.2, 0.4, 0.8], "isotonic").observed.round(3).tolist()
    [0.333, 0.333, 1.0]
    >>> calibration_curve([0, 1, 1, 1], [0.2, 0.2, 0.4, 0.4], at=[0.2, 0.3, 0.9]).observed.tolist()
    [0.5, 0.75, nan]
    """
    rows = _checked(outcome, risk, weights, smoother, grid)
    given, place = np.unique(_points(rows, at), return_inverse=True)
    points = given[None]

    def curve(merged: Merged) -> Floats:
        return _curve(merged, smoother, points, grid)

    return CalibrationCurve(given[place], _score(curve, rows, grid)[..., place], smoother)


def calibration_errors(
    outcome: ArrayLike,
    risk: ArrayLike,
    smoother: str = "loess",
    *,
    grid: int | None = None,
    weights: ArrayLike | None = None,
) -> CalibrationErrors:
    """ICI, E50, E90 and Emax: how far the risks lie from their calibration curve, smoothed once.

    Mean, median, 0.9 quantile (type 7) and maximum over patients of ``|risk - curve(risk)|``
    (Austin & Steyerberg 2019, doi:10.1002/sim.8281); patients without weight do not count.

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like in [0, 1], shape (..., patient)
    smoother : {"loess", "lowess", "spline", "isotonic"}
        See `calibration_curve`.
    grid : int, optional
        None: exact, at every different risk; loess then costs the square of their number.
        A number G of at least 10: an approximation. More than 10 G different risks are merged with
        their neighbours into at most 10 G groups, narrow in rank as well as in distance; the
        lowest and the highest stay alone. Where more than G are left, loess is computed at no
        more than G of them, chosen in the same way, and interpolated. For 2,000 patients, G = 100
        and six distributions of the risk (normal and heavy-tailed log-odds, rare events, uniform,
        two clusters) ICI differed from the exact one by at most 2e-5, E50, E90 and Emax by
        4e-4 (with ``isotonic``, whose curve has jumps: 1e-4, 6e-4, 2e-3, 6e-3). With nine tenths
        of the risks within 0.01 the curve had a peak between the points: Emax 0.15, exact 0.18.
    weights : array_like, shape (..., patient), optional
        In quantiles too whole-number weights are patients.

    Returns
    -------
    CalibrationErrors

    Raises
    ------
    MetricError
        What `checked_rows` refuses; an unknown smoother; a grid below 10.

    Examples
    --------
    Shares 1/2 and 1 at risks 0.2 and 0.4 (too few for a curve): errors 0.3 and 0.6.

    >>> found = calibration_errors([0, 1, 1, 1], [0.2, 0.2, 0.4, 0.4])
    >>> round(found.ici, 12), round(found.e50, 12), round(found.emax, 12)
    (0.45, 0.45, 0.6)
    """
    rows = _checked(outcome, risk, weights, smoother, grid)

    def errors(merged: Merged) -> Floats:
        curve = _curve(merged, smoother, merged.risk, grid)
        return error_rows(merged.used, merged.risk, merged.weights, curve)

    found = _score(errors, rows, grid)
    return CalibrationErrors(*(scalar(found[..., column]) for column in range(4)))


def integrated_calibration_index(
    outcome: ArrayLike,
    risk: ArrayLike,
    smoother: str = "loess",
    *,
    grid: int | None = None,
    weights: ArrayLike | None = None,
) -> float | Floats:
    """Integrated calibration index: mean distance between risks and their calibration curve.

    `calibration_errors` explains the arguments and gives it with E50, E90 and Emax at once.

    Returns
    -------
    float or ndarray, shape (...)
        A risk difference, at least 0.

    Raises
    ------
    MetricError
        As `calibration_errors`.

    Examples
    --------
    >>> round(integrated_calibration_index([0, 1, 1, 1], [0.2, 0.2, 0.4, 0.4]), 12)
    0.45
    """
    return calibration_errors(outcome, risk, smoother, grid=grid, weights=weights).ici


def e50(
    outcome: ArrayLike,
    risk: ArrayLike,
    smoother: str = "loess",
    *,
    grid: int | None = None,
    weights: ArrayLike | None = None,
) -> float | Floats:
    """Median distance between risks and their calibration curve (E50).

    `calibration_errors` explains the arguments and gives it with the others at once.

    Returns
    -------
    float or ndarray, shape (...)
        A risk difference, at least 0.

    Raises
    ------
    MetricError
        As `calibration_errors`.

    Examples
    --------
    >>> round(e50([0, 1, 1, 1, 1], [0.2, 0.2, 0.4, 0.4, 0.4]), 12)  # 0.3 twice, 0.6 three times
    0.6
    """
    return calibration_errors(outcome, risk, smoother, grid=grid, weights=weights).e50


def e90(
    outcome: ArrayLike,
    risk: ArrayLike,
    smoother: str = "loess",
    *,
    grid: int | None = None,
    weights: ArrayLike | None = None,
) -> float | Floats:
    """0.9 quantile of the distances between risks and their calibration curve (E90).

    `calibration_errors` explains the arguments and gives it with the others at once.

    Returns
    -------
    float or ndarray, shape (...)
        A risk difference, at least 0.

    Raises
    ------
    MetricError
        As `calibration_errors`.

    Examples
    --------
    >>> round(e90([0, 1, 1, 1], [0.2, 0.2, 0.2, 0.4]), 12)  # 0.467 three times, 0.6; rank 2.7
    0.56
    """
    return calibration_errors(outcome, risk, smoother, grid=grid, weights=weights).e90


def emax(
    outcome: ArrayLike,
    risk: ArrayLike,
    smoother: str = "loess",
    *,
    grid: int | None = None,
    weights: ArrayLike | None = None,
) -> float | Floats:
    """Largest distance between the risk of a patient and the calibration curve (Emax).

    `calibration_errors` explains the arguments and gives it with the others at once.

    Returns
    -------
    float or ndarray, shape (...)
        A risk difference, at least 0.

    Raises
    ------
    MetricError
        As `calibration_errors`.

    Examples
    --------
    >>> round(emax([0, 1, 1, 1], [0.2, 0.2, 0.4, 0.4]), 12)
    0.6
    """
    return calibration_errors(outcome, risk, smoother, grid=grid, weights=weights).emax


def _checked(
    outcome: ArrayLike,
    risk: ArrayLike,
    weights: ArrayLike | None,
    smoother: str,
    grid: int | None,
) -> Rows:
    if smoother not in SMOOTHERS:
        hint = nearest(smoother, SMOOTHERS)
        msg = f"smoother: found {quoted([smoother])}; allowed: {quoted(SMOOTHERS)}{hint}"
        raise MetricError(msg)
    if grid is not None and (not isinstance(grid, int | np.integer) or grid < 10):
        msg = f"grid: found {grid}; allowed: None (exact) or a whole number from 10"
        raise MetricError(msg)
    return checked_rows(outcome, risk, weights, both_classes=False)


def _points(rows: Rows, at: ArrayLike | None) -> Floats:
    if at is None:
        if len(rows.risk) > 1:
            msg = "at: risks with leading axes need the points at which to evaluate their curves"
            raise MetricError(msg)
        return np.unique(rows.risk)
    msg = "at: expected risks from 0 to 1, shape (point,)"
    try:
        points = np.asarray(at, dtype=np.float64)
    except (TypeError, ValueError):
        raise MetricError(msg) from None
    if points.ndim != 1 or not ((points >= 0) & (points <= 1)).all():
        raise MetricError(msg)
    return points


def _score(score: Callable[[Merged], Floats], rows: Rows, grid: int | None) -> Floats:
    """Score blocks of merged rows; a single row of risks is sorted once."""
    shared = np.argsort(rows.risk, axis=1) if len(rows.risk) == 1 else None
    most = 0 if grid is None else GROUPS_PER_POINT * grid

    def block(outcome: Floats, risk: Floats, weights: Floats) -> Floats:
        order = np.argsort(risk, axis=1) if shared is None else shared
        return score(Merged(*merged_rows(outcome, risk, weights, order, most)))

    return score_rows(block, rows)


def _curve(merged: Merged, smoother: str, points: Floats, grid: int | None) -> Floats:
    """Curve of each row at ascending points, shape (row, point); NaN outside its risks."""
    count, risk, weights, events = merged
    if smoother == "isotonic":
        return interpolated_rows(count, risk, isotonic_rows(count, weights, events), points)
    if smoother == "lowess":
        found = interpolated_rows(count, risk, lowess_rows(*merged, LOWESS_SPAN), points)
    elif smoother == "spline":
        found = _spline(merged, points)
    elif grid is None or points.shape[1] <= grid:
        found = loess_rows(*merged, points, LOESS_SPAN)
    else:
        spread = spread_rows(count, risk, weights, grid)
        full = np.full(len(count), spread.shape[1])
        found = interpolated_rows(full, spread, loess_rows(*merged, spread, LOESS_SPAN), points)
    few = (count < FEWEST_RISKS)[:, None]
    if few.any():
        shares = np.divide(events, weights, out=np.zeros(events.shape), where=weights > 0)
        found = np.where(few, interpolated_rows(count, risk, shares, points), found)
    outside = (points < risk[:, :1]) | (points > risk[:, -1:])
    return np.where(outside, np.nan, found)


def _spline(merged: Merged, points: Floats) -> Floats:
    """Logistic regression of each row on a restricted cubic spline of its log-odds."""
    logit, at = log_odds(merged.risk), log_odds(points)
    knots = _knots(merged.used, logit, merged.weights)
    columns, columns_at = _orthonormal(
        _spline_columns(logit, knots), _spline_columns(at, knots), merged.weights
    )
    fitted = logistic_departures(logit, np.stack(columns), merged.weights, merged.events)
    terms = zip(fitted.T, columns_at, strict=True)
    linear = at + sum(coefficient[:, None] * column for coefficient, column in terms)
    return np.asarray(1 / (1 + np.exp(-linear)))


def _orthonormal(
    columns: list[Floats], others: list[Floats], weights: Floats
) -> tuple[list[Floats], list[Floats]]:
    """Gram–Schmidt for each row, the same done to the others; a dependent column becomes 0."""
    done: list[Floats] = []
    moved: list[Floats] = []
    for column, other in zip(columns, others, strict=True):
        size = _size(column, weights)
        for earlier, beside in zip(done, moved, strict=True):
            share = np.einsum("rp,rp,rp->r", weights, column, earlier)[:, None]
            column, other = column - share * earlier, other - share * beside
        left = _size(column, weights)
        scale = np.where(left > DEPENDENT * size, 1 / left, 0)
        done.append(column * scale)
        moved.append(other * scale)
    return done, moved


def _size(column: Floats, weights: Floats) -> Floats:
    return np.asarray(np.sqrt(np.einsum("rp,rp,rp->r", weights, column, column))[:, None])


def _knots(count: Counts, logit: Floats, weights: Floats) -> Floats:
    """Knots of each row: first, second, third (NaN where there are fewer), last but one, last."""
    knots = np.full((len(count), len(KNOTS[0])), np.nan)
    least = KNOTS_APART * (logit[:, -1:] - logit[:, :1])
    different = 1 + (np.diff(logit, axis=1) > least).sum(axis=1)
    for ranks in KNOTS:
        found = quantile_rows(count, logit, weights, np.array(ranks))
        apart = (np.diff(found, axis=1) > least).all(axis=1)
        chosen = np.isnan(knots[:, -1]) & (different > len(ranks)) & apart
        knots[chosen, : len(ranks) - 2] = found[chosen, :-2]
        knots[chosen, -2:] = found[chosen, -2:]
    return knots


def _spline_columns(logit: Floats, knots: Floats) -> list[Floats]:
    """Columns for intercept, line and cubic terms that are linear beyond the outer knots."""
    first, before, last = (knots[:, [k]] for k in (0, -2, -1))
    columns = [np.ones(logit.shape), logit]
    for k in range(knots.shape[1] - 2):
        knot = knots[:, [k]]
        share = (last - knot) / (last - before)
        cubic = _cube(logit - knot) - share * _cube(logit - before)
        cubic += (share - 1) * _cube(logit - last)
        columns.append(np.nan_to_num(cubic / (last - first) ** 2, nan=0.0))
    return columns


def _cube(distance: Floats) -> Floats:
    return np.asarray(np.maximum(distance, 0) ** 3)
