"""Optimism of a model that was fitted to the patients it is judged on, by the bootstrap.

Each resample repeats the whole pipeline: its model is judged on the resample, where it was fitted,
and on the original patients. The mean difference is what the apparent performance owes to the fit
(Efron & Gong 1983, doi:10.1080/00031305.1983.10483087). The caller refits; here it is only scored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_cmvt.errors import MetricError
from bayes_cmvt.metrics.arrays import Floats, scalar
from bayes_cmvt.metrics.curves import calibration_curve
from bayes_cmvt.metrics.resampling import WeightedMetric

CURVE_POINTS = 50
BLOCK_VALUES = 1_000_000  # risks scored at once
FROM_THE_ENDS = 5  # the curve runs from the 5th smallest risk to the 5th largest

type Metric = Callable[[Floats, Floats], float | Floats]
"""(outcome (patient,), risk (patient,)) → one value, or one array"""


@dataclass(frozen=True, eq=False)
class Optimism:
    """A metric corrected for optimism.

    Attributes
    ----------
    apparent : float, or ndarray
        Of the model on the patients to whom it was fitted.
    training, test : float, or ndarray
        Means over resamples: each model on its own resample, and on the original patients.
    optimism : float, or ndarray
        Training less test.
    corrected : float, or ndarray
        Apparent less optimism.
    resamples_used : int, or ndarray of int
        Resamples in which both values are finite; the others are left out.
    values : ndarray, shape (resample, 2, ...)
        Of each resample's model on its own resample, and on the original patients; NaN where the
        metric has no value.
    """

    apparent: float | Floats
    training: float | Floats
    test: float | Floats
    optimism: float | Floats
    corrected: float | Floats
    resamples_used: int | NDArray[np.int64]
    values: Floats


@dataclass(frozen=True, eq=False)
class CorrectedCurve:
    """A calibration curve corrected for optimism.

    Attributes
    ----------
    risk : ndarray, shape (point,)
        50 risks, evenly spaced from the 5th smallest to the 5th largest.
    apparent, corrected : ndarray, shape (point,)
        Share of events by the lowess, before and after correction; not cut to [0, 1].
    optimism : ndarray, shape (point,)
    resamples_used : ndarray of int, shape (point,)
        Resamples whose curves, both of them, reach the point.
    mean_absolute_error, mean_squared_error, error_q90 : float
        Of the distances between risk and corrected curve, over the patients within its range: mean,
        mean of squares, 0.9 quantile (type 7).
    """

    risk: Floats
    apparent: Floats
    corrected: Floats
    optimism: Floats
    resamples_used: NDArray[np.int64]
    mean_absolute_error: float
    mean_squared_error: float
    error_q90: float


class _Resampled(NamedTuple):
    """Checked input: outcome and risk (patient,), rows and their models' risks (resample, …)."""

    outcome: Floats
    risk: Floats
    rows: NDArray[np.int64]
    resample_risk: Floats


def optimism(
    metric: Metric,
    outcome: ArrayLike,
    risk: ArrayLike,
    resamples: ArrayLike,
    resample_risk: ArrayLike,
) -> Optimism:
    """Correct a metric for optimism, by a bootstrap that repeated the whole pipeline.

    ``corrected = apparent - mean_b(metric on resample b - metric on the original patients)``, both
    of the model of resample b (Efron & Gong 1983, doi:10.1080/00031305.1983.10483087; Harrell, Lee
    & Mark 1996, doi:10.1002/(SICI)1097-0258(19960229)15:4<361::AID-SIM168>3.0.CO;2-4), as
    ``rms::validate`` does.

    Parameters
    ----------
    metric : callable
        ``metric(outcome, risk)`` of one vector of risks; gives one value, or one array, of which
        every element is corrected by itself.
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like, shape (patient,)
        By the model to be judged; whatever the metric takes.
    resamples : array_like of int, shape (resample, patient)
        Positions of the drawn patients, from 0.
    resample_risk : array_like, shape (resample, patient)
        Risks of the *original* patients, in their order, by the model of each resample. A row with
        NaN says that its model could not be fitted.

    Returns
    -------
    Optimism
        Resamples that the metric refuses (one outcome only) or whose value is not finite are left
        out and counted; NaN where none is left.

    Raises
    ------
    MetricError
        What the metric raises of the original patients, or of every resample; shapes that differ;
        positions that are none.

    Examples
    --------
    >>> from bayes_cmvt.metrics.scores import brier_score
    >>> found = optimism(brier_score, [0, 1], [0.5, 0.5], [[0, 0]], [[0.0, 0.0]])
    >>> found.training, found.test, found.corrected  # 0 on its own two, 1/2 on the original two
    (0.0, 0.5, 0.75)
    """
    given = _checked(outcome, risk, resamples, resample_risk)
    apparent = _numbers(metric(given.outcome, given.risk), "metric")
    return _corrected(apparent, _scored(metric, given, apparent.shape))


def weighted_optimism(
    metric: WeightedMetric,
    outcome: ArrayLike,
    risk: ArrayLike,
    resamples: ArrayLike,
    resample_risk: ArrayLike,
) -> Optimism:
    """Correct a metric that takes weights for optimism: `optimism`, all resamples at once.

    A patient drawn twice is a patient of weight 2, so that the metric is computed for many
    resamples in one call (Efron & Gong 1983, doi:10.1080/00031305.1983.10483087).

    Parameters
    ----------
    metric : callable
        ``metric(outcome, risk, weights=)`` that keeps leading axes and gives one value for each;
        NaN where it has none.
    outcome, risk, resamples, resample_risk : array_like
        As in `optimism`.

    Returns
    -------
    Optimism

    Raises
    ------
    MetricError
        As `optimism`; no resample with both outcomes and a model.

    Examples
    --------
    >>> from bayes_cmvt.metrics.scores import brier_score
    >>> risk = np.array([0.2, 0.4, 0.6])
    >>> found = weighted_optimism(brier_score, [0, 1, 1], risk, [[0, 0, 2]], [risk])
    >>> round(found.training, 12), round(found.test, 12)  # (.04 + .04 + .16)/3, (.04 + .36 + .16)/3
    (0.08, 0.186666666667)
    """
    given = _checked(outcome, risk, resamples, resample_risk)
    apparent = _numbers(metric(given.outcome, given.risk), "metric")
    events = given.outcome[given.rows].sum(axis=1)
    usable = np.isfinite(given.resample_risk).all(axis=1)
    usable &= (events > 0) & (events < given.rows.shape[1])
    if not usable.any():
        msg = f"none of the {len(usable)} resamples has a model and both outcomes"
        raise MetricError(msg)
    scored = np.full((len(usable), 2), np.nan)
    height = max(1, BLOCK_VALUES // len(given.outcome))
    for block in np.array_split(np.flatnonzero(usable), -(-int(usable.sum()) // height)):
        risks = given.resample_risk[block]
        copies = np.stack(
            [np.bincount(rows, minlength=risks.shape[1]) for rows in given.rows[block]]
        )
        scored[block, 0] = metric(given.outcome, risks, weights=copies)
        scored[block, 1] = metric(given.outcome, risks)
    return _corrected(apparent, scored)


def _corrected(apparent: Floats, scored: Floats) -> Optimism:
    """Means over the resamples in which both values are finite, and their difference."""
    finite = np.isfinite(scored).all(axis=1)
    used = np.asarray(finite.sum(axis=0))
    with np.errstate(invalid="ignore"):
        training, test = np.where(finite[:, np.newaxis], scored, 0.0).sum(axis=0) / used
    return Optimism(
        apparent=scalar(apparent),
        training=scalar(np.asarray(training)),
        test=scalar(np.asarray(test)),
        optimism=scalar(np.asarray(training - test)),
        corrected=scalar(np.asarray(apparent - (training - test))),
        resamples_used=used if used.ndim else int(used),
        values=scored,
    )


def optimism_corrected_curve(
    outcome: ArrayLike, risk: ArrayLike, resamples: ArrayLike, resample_risk: ArrayLike
) -> CorrectedCurve:
    """Correct a calibration curve for optimism, point by point.

    As ``rms::calibrate`` with its defaults (Harrell 2015, doi:10.1007/978-3-319-19425-7): the curve
    is the lowess of `calibration_curve` (span 2/3, no robustness iterations), interpolated at 50
    points; each point is corrected as in `optimism`, by the resamples whose curves reach it.

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like in [0, 1], shape (patient,)
    resamples, resample_risk : array_like, shape (resample, patient)
        As in `optimism`.

    Returns
    -------
    CorrectedCurve

    Raises
    ------
    MetricError
        As `optimism`; fewer than 10 patients, or risks so much tied that the 5th smallest is the
        5th largest.

    Examples
    --------
    >>> risk = np.arange(1, 20) / 20
    >>> outcome = np.arange(19) % 2
    >>> curve = optimism_corrected_curve(outcome, risk, [np.arange(19)], [risk])  # same patients
    >>> float(abs(curve.optimism).max()), curve.risk[[0, -1]].tolist()
    (0.0, [0.25, 0.75])
    """
    given = _checked(outcome, risk, resamples, resample_risk)
    points = _curve_points(given.risk)

    def curve(outcome: Floats, risk: Floats) -> Floats:
        return calibration_curve(outcome, risk, smoother="lowess", at=points).observed

    found = optimism(curve, *given)
    corrected = np.asarray(found.corrected)
    error = np.abs(given.risk - _interpolated(points, corrected, given.risk))
    error = error[np.isfinite(error)]
    return CorrectedCurve(
        risk=points,
        apparent=np.asarray(found.apparent),
        corrected=corrected,
        optimism=np.asarray(found.optimism),
        resamples_used=np.asarray(found.resamples_used),
        mean_absolute_error=float(error.mean()) if len(error) else np.nan,
        mean_squared_error=float((error**2).mean()) if len(error) else np.nan,
        error_q90=float(np.quantile(error, 0.9)) if len(error) else np.nan,
    )


def _scored(metric: Metric, given: _Resampled, shape: tuple[int, ...]) -> Floats:
    """Metric of every model on its resample and on the original patients, (resample, 2, ...)."""
    found = np.full((len(given.rows), 2, *shape), np.nan)
    refused = []
    for values, rows, risk in zip(found, given.rows, given.resample_risk, strict=True):
        if not np.isfinite(risk).all():
            continue
        try:
            values[0] = _value(metric, given.outcome[rows], risk[rows], shape)
            values[1] = _value(metric, given.outcome, risk, shape)
        except MetricError as problem:
            refused.append(str(problem))
    if len(refused) == len(found):
        msg = f"none of the {len(found)} resamples can be scored"
        raise MetricError(msg, refused[:1])
    return found


def _value(metric: Metric, outcome: Floats, risk: Floats, shape: tuple[int, ...]) -> Floats:
    """Metric of one vector of risks, of the shape that it has for the original patients."""
    found = _numbers(metric(outcome, risk), "metric")
    if found.shape != shape:
        msg = f"metric: returned shape {found.shape} for a resample, {shape} for the patients"
        raise MetricError(msg)
    return found


def _curve_points(risk: Floats) -> Floats:
    """Evenly spaced risks; the first and the last are patients' own, to the last bit."""
    if len(risk) >= 2 * FROM_THE_ENDS:
        ascending = np.sort(risk)
        low, high = ascending[FROM_THE_ENDS - 1], ascending[-FROM_THE_ENDS]
        if low < high:
            return np.linspace(low, high, CURVE_POINTS)
    msg = (
        f"risk: a curve needs at least {2 * FROM_THE_ENDS} patients and a 5th smallest risk below "
    )
    msg += f"the 5th largest; found {len(risk)} patients"
    raise MetricError(msg)


def _interpolated(points: Floats, values: Floats, risk: Floats) -> Floats:
    """Linear interpolation between the points whose value is known; NaN outside them."""
    known = np.isfinite(values)
    if not known.any():
        return np.full(risk.shape, np.nan)
    return np.asarray(np.interp(risk, points[known], values[known], left=np.nan, right=np.nan))


def _checked(
    outcome: ArrayLike, risk: ArrayLike, resamples: ArrayLike, resample_risk: ArrayLike
) -> _Resampled:
    """Outcomes and risks of patients, rows and risks of resamples; the metric checks the values."""
    given = zip(
        ("outcome", "risk", "resamples", "resample_risk"),
        (outcome, risk, resamples, resample_risk),
        strict=True,
    )
    y, p, rows, risks = (_numbers(values, name) for name, values in given)
    problems = []
    if y.ndim != 1 or not len(y):
        problems.append(f"outcome: has shape {y.shape}; expected: (patient,), at least one patient")
    if p.shape != y.shape:
        problems.append(f"risk: has shape {p.shape}; expected: {y.shape}, as the outcome")
    if rows.ndim != 2 or not len(rows) or rows.shape[1:] != y.shape:
        problems.append(f"resamples: have shape {rows.shape}; expected: (resample, {y.size})")
    elif not ((rows >= 0) & (rows < y.size) & (rows == np.rint(rows))).all():
        problems.append(f"resamples: hold others than the positions 0 to {y.size - 1}")
    if risks.shape != rows.shape:
        problems.append(
            f"resample_risk: has shape {risks.shape}; expected: {rows.shape}, as the resamples"
        )
    if problems:
        msg = "optimism cannot be computed"
        raise MetricError(msg, problems)
    return _Resampled(y, p, rows.astype(np.int64), risks)


def _numbers(values: ArrayLike, name: str) -> Floats:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        msg = f"{name}: holds something other than numbers, or rows of different lengths"
        raise MetricError(msg) from None
