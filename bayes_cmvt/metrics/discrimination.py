"""Discrimination: how far patients with the event have higher risks than those without it.

Higher scores always mean that the event is more likely; the direction is never flipped, so a marker
that is low in events has an area below 0.5. Ranks are all that the areas, the curve and Youden's
point use: any finite marker will do. Metrics at a threshold take probabilities, and
``risk >= threshold`` is positive.

Arguments come in scikit-learn's order, (y_true, y_score): a scorer is
``sklearn.metrics.make_scorer(auc, response_method="predict_proba")``, and so for the metrics at a
threshold with ``threshold=0.2``. What scikit-learn calls `sample_weight` is `weights` here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_cmvt.errors import MetricError, nearest, quoted
from bayes_cmvt.intervals import tails
from bayes_cmvt.metrics.arrays import (
    Floats,
    Rows,
    checked_ci_prob,
    checked_rows,
    checked_threshold,
    scalar,
    score_rows,
)

SCALES = ("plain", "logit")
SAME_INDEX = 1e-12  # Youden indices closer than this are equal but for the rounding of weights


@dataclass(frozen=True, eq=False)
class AreaUnderCurve:
    """Area under the ROC curve with DeLong's variance.

    Attributes
    ----------
    estimate : float or ndarray, shape (...)
    variance : float or ndarray, shape (...)
        Variance of the estimate over patients.
    lower, upper : float or ndarray, shape (...)
        Confidence limits.
    """

    estimate: float | Floats
    variance: float | Floats
    lower: float | Floats
    upper: float | Floats


@dataclass(frozen=True, eq=False)
class AreaDifference:
    """Difference of two areas on the same patients, with DeLong's paired test.

    Attributes
    ----------
    estimate : float or ndarray, shape (...)
        First area minus second.
    variance : float or ndarray, shape (...)
        Variance of the difference over patients.
    lower, upper : float or ndarray, shape (...)
        Confidence limits.
    z, p_value : float or ndarray, shape (...)
        Difference over its standard error, and its two-sided P value.
    """

    estimate: float | Floats
    variance: float | Floats
    lower: float | Floats
    upper: float | Floats
    z: float | Floats
    p_value: float | Floats


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Empirical ROC curve, from nobody positive to everybody positive.

    Attributes
    ----------
    threshold : ndarray, shape (point,)
        Infinity, then the distinct risks in falling order.
    sensitivity, specificity : ndarray, shape (point,)
        With ``risk >= threshold`` positive; from (0, 1) to (1, 0).
    """

    threshold: Floats
    sensitivity: Floats
    specificity: Floats


@dataclass(frozen=True, eq=False)
class Youden:
    """Point of the ROC curve with the largest sum of sensitivity and specificity.

    Attributes
    ----------
    threshold : float or ndarray, shape (...)
        Half-way between the two neighbouring risks; infinite where everybody or nobody is positive.
    sensitivity, specificity : float or ndarray, shape (...)
    index : float or ndarray, shape (...)
        Sensitivity + specificity - 1.
    maximisers : int or ndarray of int, shape (...)
        Points with this index; the one with the highest specificity is given.
    """

    threshold: float | Floats
    sensitivity: float | Floats
    specificity: float | Floats
    index: float | Floats
    maximisers: int | NDArray[np.int64]


def auc(outcome: ArrayLike, risk: ArrayLike, *, weights: ArrayLike | None = None) -> float | Floats:
    """Area under the ROC curve: the chance that an event has a higher risk than a non-event.

    Mann-Whitney's share of pairs in which the event has the higher risk, ties counted half
    (Hanley & McNeil 1982, doi:10.1148/radiology.143.1.7063747). Also called C statistic.

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like, shape (..., patient)
        Risks or any finite marker; leading axes (draws) are kept. Never flipped.
    weights : array_like, shape (..., patient), optional
        A pair counts as the product of its two weights.

    Returns
    -------
    float or ndarray, shape (...)
        Between 0 and 1, unitless.

    Raises
    ------
    MetricError
        Only one outcome, an outcome other than 0 and 1, missing or infinite risks, shapes that
        differ, weights that leave no event or no non-event.

    Examples
    --------
    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.8])  # of 4 pairs 3 in order
    0.75
    >>> auc([0, 1], [0.5, 0.5])
    0.5
    """
    rows = checked_rows(outcome, risk, weights, probability=False)
    return scalar(score_rows(_auc_rows, rows))


def auc_delong(
    outcome: ArrayLike,
    risk: ArrayLike,
    *,
    ci_prob: float = 0.95,
    scale: Literal["plain", "logit"] = "plain",
) -> AreaUnderCurve:
    """Area under the ROC curve with the variance and interval of DeLong.

    Variances of the patients' shares of pairs in order, with n - 1 divisors (DeLong, DeLong &
    Clarke-Pearson 1988, doi:10.2307/2531595), and a normal interval of the area or of its logit.

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like, shape (..., patient)
        Risks or any finite marker; leading axes (draws) are kept.
    ci_prob : float in (0, 1)
    scale : {"plain", "logit"}
        "plain": estimate ± z standard errors, cut at 0 and 1, as R's pROC prints it. "logit": the
        same on the logit, transformed back; limits are NaN where the area is 0 or 1.

    Returns
    -------
    AreaUnderCurve
        Unitless. The variance is 0 where the two outcomes are separated or all risks are equal.

    Raises
    ------
    MetricError
        Fewer than 2 events or 2 non-events, another scale, a probability outside (0, 1), and what
        `auc` raises.

    Examples
    --------
    >>> area = auc_delong([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.8])
    >>> area.estimate, area.variance  # shares of each patient: 1/2, 1 in both groups
    (0.75, 0.125)
    >>> area.upper
    1.0
    """
    z = _normal_quantile(ci_prob)
    if scale not in SCALES:
        msg = f"scale: found {scale!r}; allowed: {quoted(SCALES)}{nearest(scale, SCALES)}"
        raise MetricError(msg)
    rows = checked_rows(outcome, risk, probability=False)
    _check_two_of_each(rows.outcome)
    estimate, variance = np.moveaxis(score_rows(_delong_rows, rows), -1, 0)
    limits = _plain_limits if scale == "plain" else _logit_limits
    lower, upper = limits(estimate, np.sqrt(variance), z)
    return AreaUnderCurve(scalar(estimate), scalar(variance), scalar(lower), scalar(upper))


def auc_difference(
    outcome: ArrayLike, risk_a: ArrayLike, risk_b: ArrayLike, *, ci_prob: float = 0.95
) -> AreaDifference:
    """Difference of two areas under the ROC curve on the same patients, and DeLong's paired test.

    The variance is that of the patients' differences in shares of pairs in order, so that what
    both risks have in common cancels (DeLong, DeLong & Clarke-Pearson 1988, doi:10.2307/2531595).

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    risk_a, risk_b : array_like, shape (..., patient)
        Risks or any finite markers; leading axes are broadcast against each other and kept.
    ci_prob : float in (0, 1)

    Returns
    -------
    AreaDifference
        Area of `risk_a` minus area of `risk_b`, unitless; limits are cut at -1 and 1. Where both
        put all pairs in the same order the variance is 0, z is 0 and P is 1, as in R's pROC. Where
        every patient changes by the same share the variance is 0 too, z infinite and P 0: too few
        patients for this test, not proof.

    Raises
    ------
    MetricError
        Fewer than 2 events or 2 non-events, shapes that do not fit each other, a probability
        outside (0, 1), and what `auc` raises.

    Examples
    --------
    >>> difference = auc_difference([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.8], [0.3, 0.4, 0.1, 0.8])
    >>> difference.estimate, difference.variance  # 3 of 4 pairs in order, then 2 of 4
    (0.25, 0.125)
    >>> round(difference.z, 4), round(difference.p_value, 4)
    (0.7071, 0.4795)
    """
    from scipy.special import ndtr

    quantile = _normal_quantile(ci_prob)
    rows = _paired_rows(outcome, risk_a, risk_b)
    _check_two_of_each(rows.outcome)
    estimate, variance = np.moveaxis(score_rows(_paired_rows_delong, rows), -1, 0)
    error = np.sqrt(variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where((estimate == 0) & (error == 0), 0.0, estimate / error)
    lower, upper = (np.clip(estimate + sign * quantile * error, -1, 1) for sign in (-1, 1))
    found = (estimate, variance, lower, upper, z, 2 * np.asarray(ndtr(-np.abs(z))))
    return AreaDifference(*(scalar(part) for part in found))


def roc_curve(outcome: ArrayLike, risk: ArrayLike, *, weights: ArrayLike | None = None) -> RocCurve:
    """Sensitivity and specificity at every threshold that tells patients apart.

    The empirical curve (Fawcett 2006, doi:10.1016/j.patrec.2005.10.010); the area under its
    straight lines is `auc`.

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like, shape (patient,)
        One vector of risks or of any finite marker.
    weights : array_like, shape (patient,), optional
        Patients of weight 0 give no threshold.

    Returns
    -------
    RocCurve
        One point more than there are distinct risks.

    Raises
    ------
    MetricError
        Leading axes, and what `auc` raises.

    Examples
    --------
    >>> curve = roc_curve([0, 1, 1], [0.2, 0.2, 0.7])
    >>> curve.threshold.tolist()
    [inf, 0.7, 0.2]
    >>> curve.sensitivity.tolist(), curve.specificity.tolist()
    ([0.0, 0.5, 1.0], [1.0, 1.0, 0.0])
    """
    rows = checked_rows(outcome, risk, weights, probability=False)
    if rows.shape:
        msg = f"risk: leading shape {rows.shape}; a ROC curve is of one vector, shape (patient,)"
        raise MetricError(msg)
    there = rows.weights[0] > 0
    event, weight = rows.outcome[there], rows.weights[0][there]
    distinct, place = np.unique(rows.risk[0][there], return_inverse=True)
    true_positive, false_positive = (
        np.cumsum(np.append(0.0, np.bincount(place, weight * part)[::-1]))
        for part in (event, 1 - event)
    )
    return RocCurve(
        threshold=np.append(np.inf, distinct[::-1]),
        sensitivity=true_positive / true_positive[-1],
        specificity=(false_positive[-1] - false_positive) / false_positive[-1],
    )


def sensitivity(
    outcome: ArrayLike, risk: ArrayLike, threshold: float, *, weights: ArrayLike | None = None
) -> float | Floats:
    """Share of events whose risk reaches a threshold.

    True positives of all events (Altman & Bland 1994, doi:10.1136/bmj.308.6943.1552).

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like in [0, 1], shape (..., patient)
        Leading axes (draws) are kept.
    threshold : float in (0, 1)
        Risk at or above it is positive.
    weights : array_like, shape (..., patient), optional

    Returns
    -------
    float or ndarray, shape (...)
        Between 0 and 1, unitless.

    Raises
    ------
    MetricError
        Only one outcome, an outcome other than 0 and 1, a risk outside [0, 1], a threshold outside
        (0, 1), shapes that differ, weights that leave no event or no non-event.

    Examples
    --------
    >>> sensitivity([1, 1, 0, 0], [0.9, 0.2, 0.5, 0.1], 0.5)
    0.5
    """
    true_positive, _, false_negative, _ = _counts(outcome, risk, threshold, weights)
    return _share(true_positive, false_negative)


def specificity(
    outcome: ArrayLike, risk: ArrayLike, threshold: float, *, weights: ArrayLike | None = None
) -> float | Floats:
    """Share of non-events whose risk stays below a threshold.

    True negatives of all non-events (Altman & Bland 1994, doi:10.1136/bmj.308.6943.1552).

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like in [0, 1], shape (..., patient)
        Leading axes (draws) are kept.
    threshold : float in (0, 1)
        Risk at or above it is positive.
    weights : array_like, shape (..., patient), optional

    Returns
    -------
    float or ndarray, shape (...)
        Between 0 and 1, unitless.

    Raises
    ------
    MetricError
        As `sensitivity`.

    Examples
    --------
    >>> specificity([1, 0, 0, 0], [0.9, 0.5, 0.2, 0.1], 0.2)  # 0.2 itself is positive
    0.3333333333333333
    """
    _, false_positive, _, true_negative = _counts(outcome, risk, threshold, weights)
    return _share(true_negative, false_positive)


def positive_predictive_value(
    outcome: ArrayLike, risk: ArrayLike, threshold: float, *, weights: ArrayLike | None = None
) -> float | Floats:
    """Share of events among patients whose risk reaches a threshold.

    True positives of all positives (Altman & Bland 1994, doi:10.1136/bmj.309.6947.102).

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
        One outcome alone is allowed.
    risk : array_like in [0, 1], shape (..., patient)
        Leading axes (draws) are kept.
    threshold : float in (0, 1)
        Risk at or above it is positive.
    weights : array_like, shape (..., patient), optional

    Returns
    -------
    float or ndarray, shape (...)
        Between 0 and 1, unitless; NaN where nobody is positive.

    Raises
    ------
    MetricError
        An outcome other than 0 and 1, a risk outside [0, 1], a threshold outside (0, 1), shapes
        that differ, weights that leave no patient.

    Examples
    --------
    >>> positive_predictive_value([1, 1, 0, 0], [0.9, 0.2, 0.5, 0.1], 0.5)
    0.5
    >>> positive_predictive_value([1, 0], [0.2, 0.1], 0.5)
    nan
    """
    counts = _counts(outcome, risk, threshold, weights, both_classes=False)
    return _share(counts[0], counts[1])


def negative_predictive_value(
    outcome: ArrayLike, risk: ArrayLike, threshold: float, *, weights: ArrayLike | None = None
) -> float | Floats:
    """Share of non-events among patients whose risk stays below a threshold.

    True negatives of all negatives (Altman & Bland 1994, doi:10.1136/bmj.309.6947.102).

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
        One outcome alone is allowed.
    risk : array_like in [0, 1], shape (..., patient)
        Leading axes (draws) are kept.
    threshold : float in (0, 1)
        Risk at or above it is positive.
    weights : array_like, shape (..., patient), optional

    Returns
    -------
    float or ndarray, shape (...)
        Between 0 and 1, unitless; NaN where nobody is negative.

    Raises
    ------
    MetricError
        As `positive_predictive_value`.

    Examples
    --------
    >>> negative_predictive_value([1, 0, 0, 0], [0.3, 0.9, 0.2, 0.1], 0.5)
    0.6666666666666666
    >>> negative_predictive_value([1, 0], [0.9, 0.8], 0.5)
    nan
    """
    counts = _counts(outcome, risk, threshold, weights, both_classes=False)
    return _share(counts[3], counts[2])


def youden(outcome: ArrayLike, risk: ArrayLike, *, weights: ArrayLike | None = None) -> Youden:
    """Threshold with the largest sum of sensitivity and specificity, and how many share it.

    Youden's index is sensitivity + specificity - 1 (Youden 1950, Cancer 3:32-35). The threshold
    lies half-way between two neighbouring distinct risks, as R's pROC prints it (Robin et al. 2011,
    doi:10.1186/1471-2105-12-77), where ``risk >= threshold`` and ``risk > threshold`` agree. It is
    known to be unstable: score bootstrap weights at once to see how far it moves.

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like, shape (..., patient)
        Risks or any finite marker; leading axes (draws) are kept.
    weights : array_like, shape (..., patient), optional
        Patients of weight 0 give no threshold.

    Returns
    -------
    Youden
        Of several maximisers the one with the highest specificity. The threshold is -inf where
        everybody is positive there, inf where nobody is.

    Raises
    ------
    MetricError
        As `auc`.

    Examples
    --------
    >>> youden([0, 0, 1, 1], [0.1, 0.25, 0.75, 0.8])
    Youden(threshold=0.5, sensitivity=1.0, specificity=1.0, index=1.0, maximisers=1)
    >>> youden([0, 1, 0, 1], [0.1, 0.2, 0.4, 0.8]).maximisers  # 0.15 and 0.6
    2
    """
    rows = checked_rows(outcome, risk, weights, probability=False)
    cut, found_sensitivity, found_specificity, index, count = np.moveaxis(
        score_rows(_youden_rows, rows), -1, 0
    )
    return Youden(
        threshold=scalar(cut),
        sensitivity=scalar(found_sensitivity),
        specificity=scalar(found_specificity),
        index=scalar(index),
        maximisers=int(count) if count.ndim == 0 else count.astype(np.int64),
    )


def _normal_quantile(ci_prob: float) -> float:
    """Standard errors on each side of a normal interval."""
    from scipy.special import ndtri

    return -float(ndtri(tails(checked_ci_prob(ci_prob))[0]))


def _check_two_of_each(outcome: Floats) -> None:
    events = int(outcome.sum())
    if min(events, len(outcome) - events) < 2:
        msg = (
            f"outcome: {events} with and {len(outcome) - events} without the event; "
            "DeLong's variance needs at least 2 of each"
        )
        raise MetricError(msg)


def _paired_rows(outcome: ArrayLike, risk_a: ArrayLike, risk_b: ArrayLike) -> Rows:
    """Two risks of the same patients: the second travels where weights would."""
    checked, problems = [], []
    for name, risk in (("risk_a", risk_a), ("risk_b", risk_b)):
        try:
            checked.append(checked_rows(outcome, risk, probability=False))
        except MetricError as error:
            found = error.problems or (error.heading,)
            problems += [problem.replace("risk:", f"{name}:", 1) for problem in found]
    if problems:
        msg = "these areas cannot be compared"
        raise MetricError(msg, dict.fromkeys(problems))
    try:
        shape = np.broadcast_shapes(*(rows.shape for rows in checked))
    except ValueError:
        shapes = " and ".join(str(rows.shape) for rows in checked)
        msg = f"risk_a, risk_b: leading shapes {shapes} do not fit each other"
        raise MetricError(msg) from None
    first, second = (_spread(rows, shape) for rows in checked)
    return Rows(checked[0].outcome, first, second, shape)


def _spread(rows: Rows, shape: tuple[int, ...]) -> Floats:
    """Rows of risks for a wider leading shape; a single row stands for all."""
    if len(rows.risk) == 1:
        return rows.risk
    patients = len(rows.outcome)
    wide = np.broadcast_to(rows.risk.reshape(*rows.shape, patients), (*shape, patients))
    return wide.reshape(-1, patients)


def _plain_limits(estimate: Floats, error: Floats, z: float) -> tuple[Floats, Floats]:
    return np.clip(estimate - z * error, 0, 1), np.clip(estimate + z * error, 0, 1)


def _logit_limits(estimate: Floats, error: Floats, z: float) -> tuple[Floats, Floats]:
    """Limits on the logit scale, transformed back; NaN where it is infinite."""
    from scipy.special import expit, logit

    inner = np.where((estimate > 0) & (estimate < 1), estimate, np.nan)
    centre, reach = logit(inner), z * error / (inner * (1 - inner))
    return np.asarray(expit(centre - reach)), np.asarray(expit(centre + reach))


def _counts(
    outcome: ArrayLike,
    risk: ArrayLike,
    threshold: float,
    weights: ArrayLike | None,
    *,
    both_classes: bool = True,
) -> Floats:
    """True and false positives, false and true negatives at a threshold; shape (4, ...)."""
    cut = checked_threshold(threshold)

    def count(outcome: Floats, risk: Floats, weights: Floats) -> Floats:
        positive = (risk >= cut).astype(np.float64)
        events, others = weights * outcome, weights * (1 - outcome)
        pairs = [(part, kind) for part in (positive, 1 - positive) for kind in (events, others)]
        return np.stack([np.vecdot(part, kind) for part, kind in pairs], axis=-1)

    rows = checked_rows(outcome, risk, weights, both_classes=both_classes)
    return np.moveaxis(score_rows(count, rows), -1, 0)


def _share(part: Floats, rest: Floats) -> float | Floats:
    with np.errstate(invalid="ignore"):
        return scalar(np.asarray(part / (part + rest)))


def _in_order(outcome: Floats, risk: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Rising risks, and the weights of events and of non-events in that order."""
    order = np.argsort(risk, axis=1)
    event, weight = outcome[order], np.take_along_axis(weights, order, axis=1)
    return np.take_along_axis(risk, order, axis=1), weight * event, weight * (1 - event)


def _below(values: Floats, weight: Floats) -> Floats:
    """Weight below each of the rising values, that of equal ones counted half."""
    through = np.cumsum(weight, axis=1)
    before = np.zeros_like(through)
    before[:, 1:] = through[:, :-1]
    differ = values[:, 1:] != values[:, :-1]
    if not differ.all():
        edge = np.ones((len(differ), 1), dtype=bool)
        first, last = np.hstack([edge, differ]), np.hstack([differ, edge])
        # sums only rise, so a running extreme carries those of the group's edge to its members
        before = np.maximum.accumulate(np.where(first, before, 0), axis=1)
        backwards = np.where(last, through, np.inf)[:, ::-1]
        through = np.minimum.accumulate(backwards, axis=1)[:, ::-1]
    return (before + through) / 2


def _auc_rows(outcome: Floats, risk: Floats, weights: Floats) -> Floats:
    values, events, others = _in_order(outcome, risk, weights)
    pairs = np.vecdot(weights, outcome) * np.vecdot(weights, 1 - outcome)
    return np.asarray(np.minimum(np.vecdot(events, _below(values, others)) / pairs, 1))


def _pairs_in_order(outcome: Floats, risk: Floats) -> Floats:
    """Pairs in order of each patient with those of the other outcome, ties half: exact numbers."""
    order = np.argsort(risk, axis=1)
    values, event = np.take_along_axis(risk, order, axis=1), outcome[order]
    below = _below(values, 1 - event)
    above = outcome.sum() - _below(values, event)
    pairs = np.empty_like(values)
    np.put_along_axis(pairs, order, np.where(event == 1, below, above), axis=1)
    return pairs


def _delong(outcome: Floats, pairs: Floats) -> Floats:
    """Share of pairs in order and its variance, or those of a difference; shape (row, 2)."""
    events, others = pairs[:, outcome == 1], pairs[:, outcome == 0]
    m, n = events.shape[1], others.shape[1]
    variance = events.var(axis=1, ddof=1) / (m * n**2) + others.var(axis=1, ddof=1) / (n * m**2)
    return np.stack([events.sum(axis=1) / (m * n), variance], axis=-1)


def _delong_rows(outcome: Floats, risk: Floats, _weights: Floats) -> Floats:
    return _delong(outcome, _pairs_in_order(outcome, risk))


def _paired_rows_delong(outcome: Floats, risk_a: Floats, risk_b: Floats) -> Floats:
    return _delong(outcome, _pairs_in_order(outcome, risk_a) - _pairs_in_order(outcome, risk_b))


def _youden_rows(outcome: Floats, risk: Floats, weights: Floats) -> Floats:
    """Threshold, sensitivity, specificity, index and number of maximisers; shape (row, 5)."""
    values, events, others = _in_order(outcome, risk, weights)
    lower, upper, distinct = _neighbours(values, events + others > 0)
    missed, spared = (
        np.concatenate([np.zeros((len(part), 1)), np.cumsum(part, axis=1)], axis=1)
        for part in (events, others)
    )
    all_events, all_others = missed[:, -1:], spared[:, -1:]
    # the index times all pairs: a whole number where weights are, so that equal ones are equal
    gain = spared * all_events - missed * all_others
    gain = np.where(distinct, gain, -np.inf)
    best = gain >= gain.max(axis=1, keepdims=True) - SAME_INDEX * all_events * all_others
    last = best.shape[1] - 1 - np.argmax(best[:, ::-1], axis=1, keepdims=True)
    at = [np.take_along_axis(part, last, axis=1) for part in (lower, upper, missed, spared)]
    found_sensitivity, found_specificity = (all_events - at[2]) / all_events, at[3] / all_others
    index = found_sensitivity + found_specificity - 1
    count = best.sum(axis=1, keepdims=True)
    return np.hstack([_between(at[0], at[1]), found_sensitivity, found_specificity, index, count])


def _neighbours(
    values: Floats, there: NDArray[np.bool_]
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Values on both sides of each cut, and whether patients with weight lie on its two sides."""
    edge = np.full((len(there), 1), np.inf)
    backwards = np.where(there, values, np.inf)[:, ::-1]
    upper = np.hstack([np.minimum.accumulate(backwards, axis=1)[:, ::-1], edge])
    lower = np.hstack([-edge, np.broadcast_to(values, there.shape)])
    return lower, upper, np.hstack([edge > 0, there]) & (lower < upper)


def _between(lower: Floats, upper: Floats) -> Floats:
    """Half-way, but above the lower value even where no number lies between the two."""
    middle = lower / 2 + upper / 2
    return np.where(middle > lower, middle, upper)
