"""Clinical utility: net benefit, decision curves, and what more information would be worth.

Patients whose risk reaches the threshold are treated. One class of outcome suffices everywhere:
a sample without an event has a net benefit too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_cmvt.errors import MetricError
from bayes_cmvt.metrics.arrays import (
    Floats,
    Rows,
    RowScore,
    checked_rows,
    checked_threshold,
    scalar,
    score_rows,
)


@dataclass(frozen=True, eq=False)
class DecisionCurve:
    """Net benefit at many thresholds, beside treating everybody and treating nobody.

    Attributes
    ----------
    threshold : ndarray, shape (threshold,)
        As given.
    net_benefit : ndarray, shape (..., threshold)
        In true positives per patient; leading axes of risk and weights.
    treat_all : ndarray, shape (..., threshold)
        Leading axes of the weights alone: who is treated does not depend on the risk.
    treat_none : ndarray, shape (threshold,)
        0 everywhere.
    """

    threshold: Floats
    net_benefit: Floats
    treat_all: Floats
    treat_none: Floats


def net_benefit(
    outcome: ArrayLike, risk: ArrayLike, threshold: float, *, weights: ArrayLike | None = None
) -> float | Floats:
    """Net benefit of treating patients whose risk reaches a threshold.

    ``TP/n - FP/n * threshold / (1 - threshold)``: true positives, less false positives priced
    by the odds of the threshold (Vickers & Elkin 2006, doi:10.1177/0272989X06295361).

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like in [0, 1], shape (..., patient)
    threshold : float in (0, 1)
        Risk at or above it counts as treated.
    weights : array_like, shape (..., patient), optional

    Returns
    -------
    float, or ndarray of the leading shape
        In true positives per patient, between minus the odds of the threshold and the event share;
        exactly 0 where nobody is treated, exactly `net_benefit_treat_all` where everybody is.

    Raises
    ------
    MetricError
        A risk outside [0, 1], an outcome other than 0 and 1, a threshold outside (0, 1), weights
        that leave no patient, shapes that differ.

    Examples
    --------
    >>> net_benefit([1, 0, 0, 1], [0.9, 0.6, 0.1, 0.4], 0.5)  # 1 true and 1 false positive of 4
    0.0
    >>> net_benefit([1, 0, 0, 1], [0.9, 0.6, 0.1, 0.4], 0.2)  # 2 true and 1 false at odds 1/4
    0.4375
    >>> net_benefit([0, 0], [0.2, 0.3], 0.5)  # nobody treated
    0.0
    """
    thresholds = np.array([checked_threshold(threshold)])
    rows = checked_rows(outcome, risk, weights, both_classes=False)
    return scalar(score_rows(_net_benefits(thresholds), rows)[..., 0])


def net_benefit_treat_all(
    outcome: ArrayLike, threshold: float, *, weights: ArrayLike | None = None
) -> float | Floats:
    """Net benefit of treating everybody.

    ``share - (1 - share) * threshold / (1 - threshold)`` with the share of events (Vickers &
    Elkin 2006, doi:10.1177/0272989X06295361): 0 at the threshold that equals the share.

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    threshold : float in (0, 1)
    weights : array_like, shape (..., patient), optional

    Returns
    -------
    float, or ndarray of the leading shape of the weights
        In true positives per patient.

    Raises
    ------
    MetricError
        As `net_benefit`.

    Examples
    --------
    >>> net_benefit_treat_all([1, 0, 0, 0], 0.25), net_benefit_treat_all([1, 0, 0, 0], 0.5)
    (0.0, -0.5)
    """
    thresholds = np.array([checked_threshold(threshold)])
    return scalar(_treat_all_curve(outcome, thresholds, weights)[..., 0])


def interventions_avoided(
    outcome: ArrayLike, risk: ArrayLike, threshold: float, *, weights: ArrayLike | None = None
) -> float | Floats:
    """Interventions that the rule spares, net of missed events, against treating everybody.

    ``(NB - NB_all) / odds = TN/n - FN/n / odds`` with the odds of the threshold: untreated patients
    without the event, less missed events at the price that the threshold sets on them (Vickers &
    Elkin 2006, doi:10.1177/0272989X06295361). Times 100: per 100 patients.

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like in [0, 1], shape (..., patient)
    threshold : float in (0, 1)
    weights : array_like, shape (..., patient), optional

    Returns
    -------
    float, or ndarray of the leading shape
        Per patient, at most the share of patients without the event.

    Raises
    ------
    MetricError
        As `net_benefit`.

    Examples
    --------
    >>> interventions_avoided([1, 0, 0, 1], [0.9, 0.6, 0.1, 0.4], 0.2)  # 1 true negative of 4
    0.25
    """
    gained = np.asarray(net_benefit(outcome, risk, threshold, weights=weights))
    of_all = np.asarray(net_benefit_treat_all(outcome, threshold, weights=weights))
    return scalar(np.asarray((gained - of_all) / _odds(checked_threshold(threshold))))


def decision_curve(
    outcome: ArrayLike,
    risk: ArrayLike,
    thresholds: ArrayLike | None = None,
    *,
    weights: ArrayLike | None = None,
) -> DecisionCurve:
    """Net benefit of the rule, of treating everybody and of treating nobody, by threshold.

    Definitions of `net_benefit` and `net_benefit_treat_all` (Vickers & Elkin 2006,
    doi:10.1177/0272989X06295361), all thresholds at once.

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like in [0, 1], shape (..., patient)
    thresholds : array_like in (0, 1), shape (threshold,), optional
        In any order; default 0.01, 0.02 … 0.99.
    weights : array_like, shape (..., patient), optional

    Returns
    -------
    DecisionCurve

    Raises
    ------
    MetricError
        As `net_benefit`.

    Examples
    --------
    >>> curve = decision_curve([1, 0, 0, 1], [0.9, 0.6, 0.1, 0.4], [0.2, 0.5])
    >>> curve.net_benefit.tolist(), curve.treat_all.tolist()
    ([0.4375, 0.0], [0.375, 0.0])
    """
    given = _checked_thresholds(thresholds)
    ascending, place = np.unique(given, return_inverse=True)
    rows = checked_rows(outcome, risk, weights, both_classes=False)
    return DecisionCurve(
        threshold=given,
        net_benefit=score_rows(_net_benefits(ascending), rows)[..., place],
        treat_all=_treat_all_curve(outcome, given, weights),
        treat_none=np.zeros(len(given)),
    )


def expected_net_benefit(
    risk_draws: ArrayLike, decision_risk: ArrayLike, threshold: float
) -> float | Floats:
    """Net benefit that each posterior draw, taken for the truth, expects of the deployed rule.

    ``mean_i 1(decision_i >= t) * [p_is - (1 - p_is) * t / (1 - t)]`` for draw s: outcomes are
    replaced by the draw's risks in the definition of Vickers & Elkin (2006,
    doi:10.1177/0272989X06295361). Who is treated is decided by the deployed rule, the posterior
    mean risk, and never by the draw's own risk: nobody at the bedside knows which draw is true, and
    ``1(p_is >= t)`` would credit every draw with knowing the truth.

    Parameters
    ----------
    risk_draws : array_like in [0, 1], shape (..., patient)
        Risks by posterior draw.
    decision_risk : array_like in [0, 1], shape (patient,)
        Risks that decide; all 1 treats everybody.
    threshold : float in (0, 1)

    Returns
    -------
    float, or ndarray of the leading shape
        In true positives per patient, one for each draw.

    Raises
    ------
    MetricError
        A risk or a threshold outside its range, shapes that differ.

    Examples
    --------
    >>> expected_net_benefit([[0.5, 0.25], [0.75, 0.0]], [0.625, 0.125], 0.5)  # treats the first
    array([0.  , 0.25])
    """
    threshold = checked_threshold(threshold)
    draws, decision = _checked_draws(risk_draws, decision_risk)
    return scalar(score_rows(_expected_of_treated(threshold), _decided(draws, decision, threshold)))


def evpi_development(risk_draws: ArrayLike, decision_risk: ArrayLike, threshold: float) -> float:
    """Expected value of perfect information about every patient's risk, at development.

    ``E_s mean_i max{0, p_is - (1 - p_is) * t / (1 - t)} - max{E_s NB_s(rule), E_s NB_s(all), 0}``:
    what would be gained, on average over the draws, by knowing the true risks rather than using
    the best of rule, treating everybody and treating nobody (Sadatsafavi, Yoon Lee & Gustafson
    2022, doi:10.1177/0272989X221078789). NB_s is `expected_net_benefit`.

    Parameters
    ----------
    risk_draws : array_like in [0, 1], shape (..., patient)
        Risks by posterior draw; all leading axes are averaged over.
    decision_risk : array_like in [0, 1], shape (patient,)
        Risks of the deployed rule.
    threshold : float in (0, 1)

    Returns
    -------
    float
        In true positives per patient, not negative.

    Raises
    ------
    MetricError
        As `expected_net_benefit`.

    Examples
    --------
    >>> evpi_development([[0.5, 0.25], [0.75, 0.0]], [0.625, 0.125], 0.5)  # the rule is right
    0.0
    >>> evpi_development([[0.25], [0.75]], [0.5], 0.5)  # treats for nothing in the first draw
    0.25
    """
    threshold = checked_threshold(threshold)
    draws, decision = _checked_draws(risk_draws, decision_risk)
    expected = _expected_of_treated(threshold)
    of_rule, of_all = (
        float(score_rows(expected, _decided(draws, risk, threshold)).mean())
        for risk in (decision, np.ones(decision.shape))
    )

    def informed(_: Floats, risk: Floats, __: Floats) -> Floats:
        return np.asarray(np.maximum(risk - threshold, 0).mean(axis=1) / (1 - threshold))

    perfect = float(score_rows(informed, _decided(draws, decision, threshold)).mean())
    # not negative by definition; a difference of equal means may round below 0
    return max(perfect - max(of_rule, of_all, 0.0), 0.0)


def evpi_validation(net_benefits: ArrayLike) -> float:
    """Expected value of perfect information about which strategy is best, at validation.

    ``E[max_k NB_k] - max_k E[NB_k]`` over replicates of the patients: the net benefit lost, on
    average, because a finite sample cannot tell which strategy has the highest (Sadatsafavi et al.
    2023, Medical Decision Making 43:564, "Value-of-information analysis for external validation
    of risk prediction models").

    Parameters
    ----------
    net_benefits : array_like, shape (replicate, strategy)
        One column for each strategy that could be chosen: the model, treating everybody, and a
        column of zeros for treating nobody.

    Returns
    -------
    float
        In true positives per patient, not negative.

    Raises
    ------
    MetricError
        Another number of axes, no replicate, a value that is missing or infinite.

    Examples
    --------
    >>> evpi_validation([[0.25, 0.0], [-0.25, 0.0]])  # the model is better in one of two
    0.125
    """
    found = _finite(net_benefits, "net_benefits")
    if found.ndim != 2 or not found.size:
        msg = f"net_benefits: has shape {found.shape}; expected: (replicate, strategy)"
        raise MetricError(msg)
    return max(float(found.max(axis=1).mean() - found.mean(axis=0).max()), 0.0)


def probability_useful(net_benefit: ArrayLike, treat_all: ArrayLike) -> float | Floats:
    """Probability that the model beats treating everybody and treating nobody.

    Share of replicates in which its net benefit lies strictly above ``max(treat_all, 0)``. Where
    the rule treats everybody, or nobody, in a replicate, it is not useful there.

    Parameters
    ----------
    net_benefit : array_like, shape (replicate, ...)
    treat_all : array_like, broadcast against the net benefit
        Net benefit of treating everybody in the same replicates: `DecisionCurve.treat_all`.

    Returns
    -------
    float, or ndarray of the trailing shape
        Unitless.

    Raises
    ------
    MetricError
        No replicate, a value that is missing or infinite, shapes that do not fit.

    Examples
    --------
    >>> probability_useful([0.25, 0.125, 0.125, -0.25], [0.125, 0.125, -0.5, -0.5])
    0.5
    """
    found, of_all = _finite(net_benefit, "net_benefit"), _finite(treat_all, "treat_all")
    if not found.size or found.ndim == 0:
        msg = f"net_benefit: has shape {found.shape}; expected: (replicate, ...)"
        raise MetricError(msg)
    try:
        better = found > np.broadcast_to(np.maximum(of_all, 0), found.shape)
    except ValueError:
        msg = f"treat_all: has shape {of_all.shape}, which does not fit that of the net benefit, "
        msg += f"{found.shape}"
        raise MetricError(msg) from None
    return scalar(np.asarray(better.mean(axis=0)))


def _odds[Value: (float, NDArray[np.float64])](threshold: Value) -> Value:
    """Price of a false positive in true positives."""
    return threshold / (1 - threshold)


def _net_benefits(thresholds: Floats) -> RowScore:
    """Net benefit at ascending thresholds, shape (row, threshold), from sums between them."""

    def score(outcome: Floats, risk: Floats, weights: Floats) -> Floats:
        reached = _thresholds_reached(risk, thresholds)
        between = _weight_between(reached, len(thresholds) + 1, outcome, weights)
        treated = np.cumsum(between[:, :0:-1], axis=1)[:, ::-1]
        untreated = np.cumsum(between[:, :-1].sum(axis=2), axis=1)
        patients = weights.sum(axis=1, keepdims=True)
        found = (treated[..., 1] - treated[..., 0] * _odds(thresholds)) / patients
        # who treats everybody equals treating all to the last bit: P(useful) is strict
        return np.where(untreated > 0, found, _treat_all(thresholds)(outcome, risk, weights))

    return score


def _thresholds_reached(risk: Floats, thresholds: Floats) -> NDArray[np.intp]:
    """Number of thresholds that each risk reaches; rows that repeat are searched once."""
    fresh = np.append(True, (risk[1:] != risk[:-1]).any(axis=1))
    reached = np.asarray(np.searchsorted(thresholds, risk[fresh], side="right"))
    return reached if fresh.all() else reached[np.cumsum(fresh) - 1]


def _weight_between(
    reached: NDArray[np.intp], counts: int, outcome: Floats, weights: Floats
) -> Floats:
    """Weight by number of thresholds reached and outcome, shape (row, counts, 2)."""
    length = max(len(reached), len(weights))
    cell = 2 * reached + outcome.astype(np.intp)
    cells = cell + np.arange(length)[:, np.newaxis] * (2 * counts)
    weight = np.broadcast_to(weights, cells.shape)
    summed = np.bincount(cells.ravel(), weight.ravel(), minlength=length * counts * 2)
    return np.asarray(summed).reshape(length, counts, 2)


def _treat_all(thresholds: Floats) -> RowScore:
    """Net benefit of treating everybody, shape (row, threshold)."""

    def score(outcome: Floats, _: Floats, weights: Floats) -> Floats:
        share = (weights * outcome).sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)
        return np.asarray(share - (1 - share) * _odds(thresholds))

    return score


def _treat_all_curve(outcome: ArrayLike, thresholds: Floats, weights: ArrayLike | None) -> Floats:
    """Net benefit of treating everybody, shape (..., threshold), leading axes of the weights."""
    anyone = np.zeros(_finite(outcome, "outcome").shape)
    rows = checked_rows(outcome, anyone, weights, both_classes=False)
    return score_rows(_treat_all(thresholds), rows)


def _expected_of_treated(threshold: float) -> RowScore:
    """Expected net benefit of treating patients of weight 1; p - (1 - p) odds = (p - t)/(1 - t)."""

    def score(_: Floats, risk: Floats, treated: Floats) -> Floats:
        return np.asarray((treated * (risk - threshold)).mean(axis=1) / (1 - threshold))

    return score


def _decided(draws: Floats, decision: Floats, threshold: float) -> Rows:
    """Rows of draws, with 1 as the weight of patients whom the rule treats and 0 of the others."""
    treated = (decision >= threshold).astype(np.float64)
    rows = draws.reshape(-1, len(decision))
    return Rows(decision, rows, treated[np.newaxis], draws.shape[:-1])


def _checked_draws(risk_draws: ArrayLike, decision_risk: ArrayLike) -> tuple[Floats, Floats]:
    """Risks of draws (..., patient) and those of the deployed rule (patient,)."""
    draws = _probabilities(risk_draws, "risk_draws")
    decision = _probabilities(decision_risk, "decision_risk")
    if decision.ndim != 1 or draws.ndim == 0 or draws.shape[-1] != len(decision):
        msg = f"risk_draws and decision_risk: have shapes {draws.shape} and {decision.shape}; "
        msg += "expected: (..., patient) and (patient,)"
        raise MetricError(msg)
    return draws, decision


def _probabilities(values: ArrayLike, name: str) -> Floats:
    """Risks in [0, 1], at least one."""
    found = _finite(values, name)
    if not found.size:
        msg = f"{name}: has shape {found.shape}; expected: at least one draw and one patient"
        raise MetricError(msg)
    for extreme in (found.min(), found.max()):
        if not 0 <= extreme <= 1:
            msg = f"{name}: {extreme:g} lies outside 0 to 1"
            raise MetricError(msg)
    return found


def _finite(values: ArrayLike, name: str) -> Floats:
    """Numbers, none of them missing or infinite."""
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        msg = f"{name}: holds something other than numbers, or rows of different lengths"
        raise MetricError(msg) from None
    if not np.isfinite(found).all():
        msg = f"{name}: {int((~np.isfinite(found)).sum())} of {found.size} values are missing "
        msg += "(NaN) or infinite"
        raise MetricError(msg)
    return found


def _checked_thresholds(thresholds: ArrayLike | None) -> Floats:
    """Thresholds inside (0, 1), by default 0.01 … 0.99."""
    if thresholds is None:
        return np.arange(1, 100) / 100
    found = _finite(thresholds, "thresholds")
    if found.ndim != 1 or not found.size:
        msg = f"thresholds: have shape {found.shape}; expected: (threshold,), at least one"
        raise MetricError(msg)
    for threshold in found:
        checked_threshold(threshold)
    return found
