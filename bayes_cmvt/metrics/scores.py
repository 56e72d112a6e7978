"""Scores: how far predicted risks lie from what happened, and how good intervals are.

All scores of risks are proper: the true risks have the best expected value. Arguments come in
scikit-learn's order, (y_true, y_proba): the functions of risks work in
``sklearn.metrics.make_scorer(brier_score, response_method="predict_proba",
greater_is_better=False)``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bayes_cmvt.errors import MetricError
from bayes_cmvt.intervals import tails
from bayes_cmvt.metrics.arrays import Floats, checked_ci_prob, checked_rows, scalar, score_rows


def brier_score(
    outcome: ArrayLike, risk: ArrayLike, *, weights: ArrayLike | None = None
) -> float | Floats:
    """Mean squared difference of risk and outcome.

    ``mean (risk - outcome)²`` (Brier 1950, Monthly Weather Review 78:1-3, in the halved form that
    is now usual for two outcomes).

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
        One outcome alone is allowed.
    risk : array_like in [0, 1], shape (..., patient)
        Leading axes (draws) are kept.
    weights : array_like, shape (..., patient), optional

    Returns
    -------
    float or ndarray, shape (...)
        Between 0 (best) and 1, in squared probability.

    Raises
    ------
    MetricError
        An outcome other than 0 and 1, a risk outside [0, 1], shapes that differ, weights that leave
        no patient.

    Examples
    --------
    >>> brier_score([1, 0], [0.5, 0.5])
    0.25
    >>> brier_score([1, 0, 0, 0], [0.5, 0.5, 0, 0])
    0.125
    """
    rows = checked_rows(outcome, risk, weights, both_classes=False)
    return scalar(score_rows(_brier_rows, rows))


def scaled_brier_score(
    outcome: ArrayLike, risk: ArrayLike, *, weights: ArrayLike | None = None
) -> float | Floats:
    """Brier score as the share of the gap between the event share and perfect risks.

    ``1 - Brier / (share (1 - share))``, share = weighted event share of the evaluated patients
    (Steyerberg et al. 2010, doi:10.1097/EDE.0b013e3181c30fb2). Also called index of prediction
    accuracy (Kattan & Gerds 2018, doi:10.1186/s41512-018-0029-2).

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like in [0, 1], shape (..., patient)
        Leading axes (draws) are kept.
    weights : array_like, shape (..., patient), optional

    Returns
    -------
    float or ndarray, shape (...)
        1 for perfect risks, 0 for the event share given to all, negative for worse; unitless.

    Raises
    ------
    MetricError
        Only one outcome, an outcome other than 0 and 1, a risk outside [0, 1], shapes that differ,
        weights that leave no event or no non-event.

    Examples
    --------
    >>> scaled_brier_score([1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25])
    0.0
    >>> scaled_brier_score([1, 0], [1, 0]), scaled_brier_score([1, 0], [0, 1])
    (1.0, -3.0)
    """
    rows = checked_rows(outcome, risk, weights)
    return scalar(score_rows(_scaled_brier_rows, rows))


def log_score(
    outcome: ArrayLike, risk: ArrayLike, *, weights: ArrayLike | None = None
) -> float | Floats:
    """Mean negative log-likelihood of the outcomes.

    ``-mean log p``, p = predicted probability of what happened (Good 1952,
    doi:10.1111/j.2517-6161.1952.tb00104.x). Nothing is clipped.

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
        One outcome alone is allowed.
    risk : array_like in [0, 1], shape (..., patient)
        Leading axes (draws) are kept.
    weights : array_like, shape (..., patient), optional

    Returns
    -------
    float or ndarray, shape (...)
        From 0 (best), in natural logarithms; infinite where a patient with weight had an outcome
        of predicted probability exactly 0.

    Raises
    ------
    MetricError
        As `brier_score`.

    Examples
    --------
    >>> log_score([1, 0], [1, 0])
    0.0
    >>> round(log_score([1, 0], [0.5, 0.5]), 4), log_score([1, 1], [0.5, 0])  # log 2, -log 0
    (0.6931, inf)
    """
    rows = checked_rows(outcome, risk, weights, both_classes=False)
    return scalar(score_rows(_log_rows, rows))


def interval_score(
    lower: ArrayLike, upper: ArrayLike, truth: ArrayLike, *, ci_prob: float = 0.95
) -> float | Floats:
    """Score of central intervals: their width, and a fine for each truth outside.

    ``upper - lower + 2/a (lower - truth)₊ + 2/a (truth - upper)₊`` with a = 1 - ci_prob (Gneiting &
    Raftery 2007, section 6.2, doi:10.1198/016214506000001437). It ranks methods whose intervals
    differ in both width and coverage.

    Parameters
    ----------
    lower, upper, truth : array_like
        Broadcast against each other. Limits may be infinite outwards; the score is then infinite.
    ci_prob : float in (0, 1)
        What the intervals claim: 0.95 for limits at the quantiles 0.025 and 0.975.

    Returns
    -------
    float or ndarray, broadcast shape
        One score for each interval, from 0 (best), in the truth's unit.

    Raises
    ------
    MetricError
        Missing values, lower above upper, a truth that is infinite, shapes that do not fit each
        other, a probability outside (0, 1).

    Examples
    --------
    >>> interval_score(1, 3, 2)
    2.0
    >>> interval_score([1, 1], [3, 3], [0.5, 4], ci_prob=0.5).tolist()  # 2 + 4 * 0.5, 2 + 4 * 1
    [4.0, 6.0]
    """
    tail = _tail(ci_prob)
    low, high, true = _checked_intervals(lower, upper, truth)
    with np.errstate(over="ignore"):
        outside = np.maximum(low - true, 0) + np.maximum(true - high, 0)
        return scalar(np.asarray(high - low + outside / tail))


def _brier_rows(outcome: Floats, risk: Floats, weights: Floats) -> Floats:
    return np.asarray(np.vecdot(weights, (risk - outcome) ** 2) / weights.sum(axis=1))


def _scaled_brier_rows(outcome: Floats, risk: Floats, weights: Floats) -> Floats:
    share = np.vecdot(weights, outcome) / weights.sum(axis=1)
    return np.asarray(1 - _brier_rows(outcome, risk, weights) / (share * (1 - share)))


def _log_rows(outcome: Floats, risk: Floats, weights: Floats) -> Floats:
    surprise = np.abs(np.log(np.where(outcome == 1, risk, 1 - risk)))
    impossible = np.isinf(surprise)
    if not impossible.any():
        return np.asarray(np.vecdot(weights, surprise) / weights.sum(axis=1))
    # a patient of weight 0 is not there: 0 * inf must not become NaN
    known = np.vecdot(weights, np.where(impossible, 0, surprise)) / weights.sum(axis=1)
    return np.where(np.vecdot(weights, impossible.astype(float)) > 0, np.inf, known)


def _tail(ci_prob: float) -> float:
    return tails(checked_ci_prob(ci_prob))[0]


def _checked_intervals(
    lower: ArrayLike, upper: ArrayLike, truth: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """Limits and truths of one shape."""
    try:
        given = [np.asarray(part, dtype=np.float64) for part in (lower, upper, truth)]
        low, high, true = np.broadcast_arrays(*given)
    except (TypeError, ValueError):
        msg = (
            "lower, upper, truth: hold something other than numbers, or shapes that do not fit "
            "each other"
        )
        raise MetricError(msg) from None
    wrong = {
        "lower: missing (NaN) or plus infinity": ~(low < np.inf),
        "upper: missing (NaN) or minus infinity": ~(high > -np.inf),
        "truth: missing (NaN) or infinite": ~np.isfinite(true),
        "lower: above upper": low > high,
    }
    problems = [
        f"{problem} in {where.sum()} of {where.size} intervals"
        for problem, where in wrong.items()
        if where.any()
    ]
    if problems:
        msg = "these intervals cannot be scored"
        raise MetricError(msg, problems)
    return low, high, true
