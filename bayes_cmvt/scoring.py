"""One deployed rule on one set of patients: every metric, and every metric over patients resampled.

The deployed rule is the posterior-mean risk, a fixed function once fitted. What varies is the
patients: a Bayesian bootstrap (Rubin 1981) weighs them anew in every replicate. Draws of the
posterior say something else and are scored apart, in `draw_scores`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt import metrics
from bayes_cmvt.posterior import (
    PATIENT_DRAWS,
    PATIENT_VALUES,
    central_coefficients,
    uncertain_coefficients,
)
from bayes_cmvt.threads import side_by_side

SIMULATED = 200  # outcomes drawn from the risks
GRID = 100  # points at which curves are computed
ROC_GRID = np.linspace(0, 1, GRID + 1)
BLOCK_WEIGHTS = 1_000_000
BLOCK_ROWS = 500  # few enough that all cores have some

type Floats = NDArray[np.float64]
type Scores = dict[str, Floats]

SUMS: Mapping[str, Callable[..., Any]] = {
    "brier_score": metrics.brier_score,
    "scaled_brier_score": metrics.scaled_brier_score,
    "log_score": metrics.log_score,
}
LEVEL: Mapping[str, Callable[..., Any]] = {
    "calibration_in_the_large": metrics.calibration_in_the_large
}
LINE: Mapping[str, Callable[..., Any]] = {
    "calibration_intercept": metrics.calibration_intercept,
    "calibration_slope": metrics.calibration_slope,
}
AT_THRESHOLD: Mapping[str, Callable[..., Any]] = {
    "sensitivity": metrics.sensitivity,
    "specificity": metrics.specificity,
    "positive_predictive_value": metrics.positive_predictive_value,
    "negative_predictive_value": metrics.negative_predictive_value,
    "net_benefit": metrics.net_benefit,
}
CURVES = ("decision", "treat_all", "calibration", "roc")
ERRORS = {"integrated_calibration_index": "ici", "e50": "e50", "e90": "e90", "emax": "emax"}


@dataclass(frozen=True, eq=False)
class Risks:
    """Risks of one set of patients by one deployed rule, however they were come by.

    Attributes
    ----------
    model, set, method : str
        Method is ``apparent``, ``kfold`` or ``holdout``.
    outcome : ndarray of {0, 1}, shape (patient,)
    risk : ndarray, shape (repeat, patient)
        One row, or one for each repeat of the cross-validation.
    fold : ndarray of int, shape (repeat, patient), optional
        Fold of each patient; the AUC compares patients of one fold only, whose risks come from
        one model, every pair weighing the product of its patients' weights.
    """

    model: str
    set: str
    method: str
    outcome: NDArray[np.int8]
    risk: Floats
    fold: NDArray[np.int64] | None = None

    @property
    def repeats(self) -> int:
        """How many risks each patient has."""
        return len(self.risk)

    @property
    def pooled(self) -> tuple[NDArray[np.int8], Floats]:
        """Outcomes and risks of all repeats, one after the other."""
        return np.tile(self.outcome, self.repeats), self.risk.ravel()

    @property
    def varied(self) -> NDArray[np.bool_]:
        """Whose risk comes from a model that tells patients apart, shape (repeat x patient,).

        A workflow may keep no predictor in a fold: its risks are all the same and have no slope.
        """
        if self.fold is None:
            return np.ones(self.risk.size, dtype=bool)
        varied = np.empty(self.risk.shape, dtype=bool)
        for risk, fold, tells in zip(self.risk, self.fold, varied, strict=True):
            for number in range(fold.max() + 1):
                held = fold == number
                tells[held] = np.ptp(risk[held]) > 0
        return varied.ravel()

    @property
    def folds_without_predictor(self) -> int:
        """How many folds, of all repeats, have the same risk for everybody."""
        if self.fold is None:
            return 0
        pairs = np.stack([np.arange(self.repeats).repeat(self.fold.shape[1]), self.fold.ravel()])
        return len(np.unique(pairs[:, ~self.varied], axis=1).T)

    def pooled_weights(self, weights: Floats) -> Floats:
        """Weights of patients, each split among the patient's risks."""
        return weights if self.repeats == 1 else np.tile(weights, self.repeats) / self.repeats


@dataclass(frozen=True)
class ScoringSettings:
    """How a rule is scored.

    Attributes
    ----------
    thresholds : ndarray, shape (threshold,)
        Of the decision curve.
    use : float, optional
        The threshold at which classes are compared, where the study declares one. Elsewhere
        sensitivity and specificity are those of Youden's point, chosen anew in every replicate.
    replicates : int
        Of the Bayesian bootstrap over patients.
    smoother : str
        Of the calibration curve.
    seed : int
    cores : int, optional
    """

    thresholds: Floats
    use: float | None = None
    replicates: int = 4000
    smoother: str = "loess"
    seed: int = 2025
    cores: int | None = None


@dataclass(frozen=True, eq=False)
class Scored:
    """A rule's scores on a set, and the same over patients resampled.

    Attributes
    ----------
    risks : Risks
    settings : ScoringSettings
    grid : ndarray, shape (point,)
        Risks at which the calibration curve is computed.
    estimate : dict of str to ndarray
        Metrics of shape (), and ``decision`` (threshold,), ``treat_all`` (threshold,),
        ``calibration`` (point,), ``roc`` (point,).
    replicates : dict of str to ndarray
        The same with the replicate as first axis.
    """

    risks: Risks
    settings: ScoringSettings
    grid: Floats
    estimate: Scores
    replicates: Scores


def score_risks(risks: Risks, settings: ScoringSettings) -> Scored:
    """Compute every metric of a rule on a set, and again for every replicate of the bootstrap.

    Replicates of different models on the same set weigh the patients alike, so that their
    differences are paired.

    Parameters
    ----------
    risks : Risks
    settings : ScoringSettings

    Returns
    -------
    Scored
    """
    grid = curve_grid(risks.risk)
    once = np.ones((1, len(risks.outcome)))
    estimate = {name: values[0] for name, values in _scores(risks, once, settings, grid).items()}
    height = max(1, min(BLOCK_ROWS, BLOCK_WEIGHTS // risks.risk.size))
    sizes = [
        min(height, settings.replicates - start) for start in range(0, settings.replicates, height)
    ]
    streams = np.random.SeedSequence(settings.seed).spawn(len(sizes))

    def replicate(size: int, stream: np.random.SeedSequence, _: Event) -> Scores:
        weights = metrics.bayesian_bootstrap(len(risks.outcome), size, seed=stream)
        return _scores(risks, weights, settings, grid)

    tasks = [
        functools.partial(replicate, size, stream)
        for size, stream in zip(sizes, streams, strict=True)
    ]
    cores = settings.cores or os.cpu_count() or 1
    blocks = side_by_side(tasks, threads=cores, watch=lambda: None)
    replicates = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    return Scored(risks, settings, grid, estimate, replicates)


def curve_grid(risk: Floats) -> Floats:
    """Points of a calibration curve, evenly spaced within the middle 99 % of the risks.

    Points at single patients' risks would tell whose they are.
    """
    low, high = np.quantile(risk, [0.005, 0.995])
    return np.linspace(low, high, GRID)


def _scores(risks: Risks, weights: Floats, settings: ScoringSettings, grid: Floats) -> Scores:
    """Every metric for every row of weights; the row is the first axis."""
    outcome, risk = risks.pooled
    pooled = risks.pooled_weights(weights)
    scores: Scores = {
        name: metric(outcome, risk, weights=pooled) for name, metric in {**SUMS, **LEVEL}.items()
    }
    varied = risks.varied
    scores |= {
        name: metric(outcome[varied], risk[varied], weights=pooled[:, varied])
        if varied.any()
        else np.full(len(weights), np.nan)
        for name, metric in LINE.items()
    }
    scores["auc"] = auc_within_folds(risks, weights)
    errors = metrics.calibration_errors(outcome, risk, settings.smoother, grid=GRID, weights=pooled)
    scores |= {name: np.asarray(getattr(errors, field)) for name, field in ERRORS.items()}
    if settings.use is not None:
        scores |= {
            name: metric(outcome, risk, settings.use, weights=pooled)
            for name, metric in AT_THRESHOLD.items()
        }
    if risks.fold is None:
        point = metrics.youden(outcome, risk, weights=pooled)
        scores["youden"] = np.asarray(point.threshold)
        if settings.use is None:
            scores["sensitivity"] = np.asarray(point.sensitivity)
            scores["specificity"] = np.asarray(point.specificity)
    curve = metrics.decision_curve(outcome, risk, settings.thresholds, weights=pooled)
    scores["decision"], scores["treat_all"] = curve.net_benefit, curve.treat_all
    scores["calibration"] = metrics.calibration_curve(
        outcome, risk, settings.smoother, at=grid, grid=GRID, weights=pooled
    ).observed
    if risks.fold is None:
        scores["roc"] = _roc(outcome, risk, pooled)
    return scores


def _roc(outcome: NDArray[np.int8], risk: Floats, weights: Floats) -> Floats:
    """Sensitivity at each false-positive rate of the grid, for every row of weights."""
    order = np.argsort(-risk, kind="stable")
    last_of_ties = np.flatnonzero(np.diff(risk[order], append=-1.0))
    events = weights[:, order] * outcome[order]
    true, reached = (np.cumsum(part, axis=-1) for part in (events, weights[:, order]))
    false = reached - true
    rates = [
        np.pad(part[:, last_of_ties] / part[:, -1:], ((0, 0), (1, 0))) for part in (false, true)
    ]
    return np.stack([np.interp(ROC_GRID, *pair) for pair in zip(*rates, strict=True)])


def auc_within_folds(risks: Risks, weights: Floats) -> Floats:
    """AUC; with folds over the pairs of one fold, whose risks come from one model.

    Parameters
    ----------
    risks : Risks
    weights : ndarray, shape (replicate, patient)

    Returns
    -------
    ndarray, shape (replicate,)
    """
    if risks.fold is None:
        return np.asarray(metrics.auc(risks.outcome, risks.risk[0], weights=weights))
    won, compared = np.zeros(len(weights)), np.zeros(len(weights))
    for risk, fold in zip(risks.risk, risks.fold, strict=True):
        for number in range(fold.max() + 1):
            held = np.flatnonzero(fold == number)
            outcome, weight = risks.outcome[held], weights[:, held]
            pairs = (weight @ outcome) * (weight @ (1 - outcome))
            won += pairs * np.asarray(metrics.auc(outcome, risk[held], weights=weight))
            compared += pairs
    return np.asarray(won / compared)


def errors_if_calibrated(risks: Risks, settings: ScoringSettings) -> dict[str, float]:
    """Mean calibration errors of risks that are right, among patients such as these.

    The errors are mean distances: of risks that are right they are not 0, and a bootstrap makes
    them larger still.

    Parameters
    ----------
    risks : Risks
    settings : ScoringSettings

    Returns
    -------
    dict of str to float
        By metric, over outcomes simulated from the risks.
    """
    rng = np.random.default_rng(settings.seed)
    risk, errors = risks.risk[0], []
    for _ in range(SIMULATED):
        outcome = (rng.random(len(risk)) < risk).astype(float)
        errors.append(metrics.calibration_errors(outcome, risk, settings.smoother, grid=GRID))
    return {
        name: float(np.mean([getattr(one, field) for one in errors]))
        for name, field in ERRORS.items()
    }


def log_odds_draws(fit: xr.DataTree, matrix: Floats) -> Floats:
    """Log-odds of each patient in each draw, thinned to 4,000 draws and 20 million values.

    Parameters
    ----------
    fit : DataTree
    matrix : ndarray, shape (patient, coefficient)
        Standardised.

    Returns
    -------
    ndarray, shape (draw, patient)
    """
    from threadpoolctl import threadpool_limits

    found = uncertain_coefficients(fit) or central_coefficients(fit)
    intercept = found[0].ravel()
    beta = found[1].reshape(len(intercept), -1)
    at_most = max(1, min(PATIENT_DRAWS, PATIENT_VALUES // len(matrix)))
    kept = np.linspace(0, len(intercept) - 1, min(at_most, len(intercept))).round().astype(int)
    # the last bit of a product depends on how many threads share it
    with threadpool_limits(limits=1):
        return np.asarray(intercept[kept, np.newaxis] + beta[kept] @ matrix.T)


def draw_scores(outcome: NDArray[np.int8], risk: Floats) -> Scores:
    """Score each draw's own risks: how unstable the draws are, no interval of anything.

    Nobody deploys the risks of one draw; the deployed rule does better than nearly all of them.

    Parameters
    ----------
    outcome : ndarray of {0, 1}, shape (patient,)
    risk : ndarray, shape (draw, patient)

    Returns
    -------
    dict of str to ndarray, shape (draw,)
    """
    scores = {
        "auc": metrics.auc,
        "brier_score": metrics.brier_score,
        "log_score": metrics.log_score,
        "calibration_slope": metrics.calibration_slope,
    }
    return {name: np.asarray(metric(outcome, risk)) for name, metric in scores.items()}
