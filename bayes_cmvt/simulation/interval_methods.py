"""What each method states of one data set: limits of coefficients, risks and performance.

The posterior, three bootstraps of the frequentist workflow, Wald's limits of its final model, and
two fits of all columns. Coefficients are log-odds per SD of the sample; performance is that of
the rule that the method deploys: AUC, calibration slope, net benefit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_cmvt import metrics
from bayes_cmvt.baseline import CODES, resampled_patients
from bayes_cmvt.baseline_performance import optimism_limits
from bayes_cmvt.errors import BayesCmvtError, MetricError
from bayes_cmvt.intervals import equal_tailed, tails
from bayes_cmvt.logistic import LogisticFit, fit_firth, fit_flac, fit_maximum_likelihood
from bayes_cmvt.logistic_inference import wald_interval
from bayes_cmvt.pipeline import Model, Patients, PipelineFit, chosen_index, risk_model, run_pipeline
from bayes_cmvt.posterior import Draws, expit, logit, thinned
from bayes_cmvt.schema import Baseline
from bayes_cmvt.simulation.populations import Learnt
from bayes_cmvt.simulation.ridge import fit_ridge, ridge_interval, ridge_risk

BOOTSTRAPS = ("bootstrap", "bootstrap_refit", "bootstrap_lasso")
METHODS = ("credible", *BOOTSTRAPS, "wald", "wald_selected", "firth", "ridge")
PERFORMANCE = ("auc", "slope", "net_benefit")
RISK_VALUES = 2_500_000  # draws times patients over which mean risks are taken
FEWEST_DRAWS = 200
PERFORMANCE_DRAWS = 400
CERTAIN = 1e-12

type Floats = NDArray[np.float64]
type Linear = tuple[Floats, Floats]  # intercepts (draw,) and coefficients (draw, column)


@dataclass(frozen=True, eq=False)
class Asked:
    """What methods are asked of a data set.

    Attributes
    ----------
    learnt : Learnt
    fresh : ndarray, shape (patient, column)
        Whose risks get limits; standardised with the sample's constants.
    population : ndarray, shape (patient of the population, column)
        Whose deployed risks say how good a rule truly is; likewise.
    threshold : float
        Of the net benefit.
    ci_prob : float
    """

    learnt: Learnt
    fresh: Floats
    population: Floats
    threshold: float
    ci_prob: float


@dataclass(frozen=True, eq=False)
class Statement:
    """What a method states; lower limit, estimate and upper limit on the last axis.

    Attributes
    ----------
    beta : ndarray, shape (column, 3)
    risk : ndarray, shape (patient, 3), optional
    performance : ndarray, shape (3, 3), optional
    rule : ndarray, shape (patient of the population,), optional
        Deployed risks.
    """

    beta: Floats
    risk: Floats | None = None
    performance: Floats | None = None
    rule: Floats | None = None


# --- The posterior -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Rules:
    """Three ways to deploy a posterior, as risks of the population's patients, shape (patient,)."""

    posterior_mean: Floats
    projection: Floats
    mean_coefficients: Floats


def credible(asked: Asked, draws: Draws, seed: np.random.SeedSequence) -> tuple[Statement, Rules]:
    """Equal-tailed credible intervals; the deployed rule is the posterior-mean risk.

    The performance of that rule in the population is unknown for two reasons: the true risks, for
    which the draws stand, and which patients there are, for which the Bayesian bootstrap does
    (Rubin 1981, doi:10.1214/aos/1176345338). Each of 400 draws is weighed by weights of its own.

    Parameters
    ----------
    asked : Asked
    draws : Draws
    seed : SeedSequence

    Returns
    -------
    Statement
    Rules
    """
    linear = linear_draws(draws, asked.learnt.constant)
    rules = deployed_rules(asked, linear)
    own = mean_risk(linear, asked.learnt.matrix)
    kept = thinned(len(linear[0]), PERFORMANCE_DRAWS)
    true = risks((linear[0][kept], linear[1][kept]), asked.learnt.matrix)
    rng = np.random.default_rng(seed)
    weights = rng.standard_exponential(true.shape)
    found = true_performance(own, true, asked.threshold, weights=weights)
    return Statement(
        beta=_limits(linear[1], asked.ci_prob, linear[1].mean(axis=0)),
        risk=_limits(risks(linear, asked.fresh), asked.ci_prob, mean_risk(linear, asked.fresh)),
        performance=_finite_limits(found, asked.ci_prob, np.nanmedian(found, axis=0)),
        rule=rules.posterior_mean,
    ), rules


def linear_draws(draws: Draws, constant: NDArray[np.bool_]) -> Linear:
    """Intercepts and coefficients, chains end to end; 0 for columns that the sample lacks."""
    beta = draws.beta.reshape(draws.intercept.size, -1).copy()
    beta[:, constant] = 0.0
    return draws.intercept.ravel(), beta


def risks(linear: Linear, matrix: Floats) -> Floats:
    """Risks of patients by every draw, shape (draw, patient)."""
    return expit(linear[0][:, np.newaxis] + linear[1] @ matrix.T)


def mean_risk(linear: Linear, matrix: Floats) -> Floats:
    """Mean risks over evenly spaced draws, as many as time allows, shape (patient,)."""
    draws = max(FEWEST_DRAWS, RISK_VALUES // len(matrix))
    kept = thinned(len(linear[0]), draws)
    return np.asarray(risks((linear[0][kept], linear[1][kept]), matrix).mean(axis=0))


def deployed_rules(asked: Asked, linear: Linear) -> Rules:
    """The posterior mean, its logistic projection (the nomogram), the risk at mean coefficients."""
    learnt, everybody = asked.learnt, asked.population
    varying = ~learnt.constant
    target = mean_risk(linear, learnt.matrix)
    projection = np.full(len(everybody), np.nan)
    if len(target) > 1 + varying.sum():  # else it is not unique
        projected = fit_maximum_likelihood(
            np.tile(learnt.matrix[:, varying], (2, 1)),
            np.repeat([1, 0], len(target)),
            weights=np.concatenate([target, 1 - target]),
        )
        projection = _plain(projected, everybody[:, varying])
    return Rules(
        posterior_mean=mean_risk(linear, everybody),
        projection=projection,
        mean_coefficients=expit(linear[0].mean() + everybody @ linear[1].mean(axis=0)),
    )


# --- The workflow and its bootstraps -------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Workflow:
    """One run of the frequentist workflow, as the coefficients of three rules.

    Attributes
    ----------
    status : str
    lasso, refit, final : ndarray, shape (1 + column,)
        Of the penalised fit, of the refit of what it kept, of the final model; NaN where there is
        none. A Firth fit hands over to FLAC.
    firth : bool
        Whether the final model is one.
    """

    status: str
    lasso: Floats
    refit: Floats
    final: Floats
    firth: bool

    def linear(self, method: str) -> Floats:
        """Coefficients of a bootstrap's rule, shape (1 + column,)."""
        by_method = {"bootstrap": self.final, "bootstrap_refit": self.refit}
        return by_method.get(method, self.lasso)


def workflow_rules(patients: Patients, found: PipelineFit, settings: Baseline) -> Workflow:
    """Read the three rules of a run of the workflow."""
    nothing = np.full(1 + len(patients.groups), np.nan)
    usable = found.status in ("fitted", "empty")
    if not usable or found.refit is None or found.final is None or found.risk is None:
        return Workflow(found.status, nothing, nothing, nothing, firth=False)
    same = found.refit is found.final
    refit = found.risk if same else risk_model(patients, found.refit)
    return Workflow(
        status=found.status,
        lasso=_lasso_coefficients(found, settings),
        refit=_coefficients(refit),
        final=_coefficients(found.risk),
        firth=found.final.fit.method == "firth",
    )


def _coefficients(model: Model) -> Floats:
    return np.concatenate([[model.fit.intercept], model.coefficients])


def _lasso_coefficients(found: PipelineFit, settings: Baseline) -> Floats:
    """Of the penalised fit itself; the event share alone where nothing was left to penalise."""
    beta = np.zeros(len(found.screened))
    if found.cross_validated is None:
        assert found.refit is not None
        return np.concatenate([[found.refit.fit.intercept], beta])
    chosen, path = chosen_index(found.cross_validated, settings), found.cross_validated.path
    beta[found.screened] = path.coefficients[chosen]
    return np.concatenate([[path.intercept[chosen]], beta])


@dataclass(frozen=True, eq=False)
class Resamples:
    """Resamples of a data set.

    Attributes
    ----------
    rows : ndarray of int, shape (resample, patient)
    workflows : list of Workflow
    """

    rows: NDArray[np.int64]
    workflows: list[Workflow]

    def counts(self) -> NDArray[np.int64]:
        """How many resamples had each status, shape (status,)."""
        found = [CODES.index(one.status) for one in self.workflows]
        return np.bincount(found, minlength=len(CODES))


def resampled_workflows(
    patients: Patients, settings: Baseline, resamples: int, seed: np.random.SeedSequence
) -> Resamples:
    """Repeat the workflow on bootstrap resamples of a data set.

    Parameters
    ----------
    patients : Patients
    settings : Baseline
    resamples : int
    seed : SeedSequence

    Returns
    -------
    Resamples
    """
    for_rows, for_folds = seed.spawn(2)
    rng, n = np.random.default_rng(for_rows), len(patients.outcome)
    rows = np.sort(rng.integers(0, n, (resamples, n)), axis=1)
    found = []
    for drawn, stream in zip(rows, for_folds.spawn(resamples), strict=True):
        resample = resampled_patients(patients, drawn, settings.folds_by)
        found.append(workflow_rules(resample, run_pipeline(resample, settings, stream), settings))
    return Resamples(rows, found)


def bootstrap(method: str, asked: Asked, own: Workflow, resamples: Resamples) -> Statement:
    """Percentile limits over resamples; a column that is not chosen counts as 0.

    Performance is corrected for optimism, its limits shifted accordingly, as
    `bayes_cmvt.baseline_performance` does. The deployed rule is that of the data set itself.

    Parameters
    ----------
    method : {"bootstrap", "bootstrap_refit", "bootstrap_lasso"}
    asked : Asked
    own : Workflow
    resamples : Resamples

    Returns
    -------
    Statement
    """
    coefficients = np.array([one.linear(method) for one in resamples.workflows])
    usable = np.isfinite(coefficients).all(axis=1)
    linear = coefficients[usable, 0], coefficients[usable, 1:]
    estimate = own.linear(method)
    if not usable.any() or not np.isfinite(estimate).all():
        return nothing_stated(asked)
    deployed = estimate[:1], estimate[np.newaxis, 1:]
    resampled = np.full((len(usable), len(asked.learnt.outcome)), np.nan)
    resampled[usable] = risks(linear, asked.learnt.matrix)
    return Statement(
        beta=_limits(linear[1], asked.ci_prob, estimate[1:]),
        risk=_limits(risks(linear, asked.fresh), asked.ci_prob, risks(deployed, asked.fresh)[0]),
        performance=_corrected(
            asked, risks(deployed, asked.learnt.matrix)[0], resamples.rows, resampled
        ),
        rule=risks(deployed, asked.population)[0],
    )


def _corrected(asked: Asked, risk: Floats, rows: NDArray[np.int64], resampled: Floats) -> Floats:
    """Optimism-corrected AUC and net benefit with their limits; a slope has none.

    The slope of a maximum-likelihood fit is 1 in every resample: there is nothing to shift.
    """
    scores: Mapping[str, Callable[..., Any]] = {
        "auc": metrics.auc,
        "net_benefit": functools.partial(metrics.net_benefit, threshold=asked.threshold),
    }
    limits = np.full((len(PERFORMANCE), 3), np.nan)
    for name, metric in scores.items():
        try:
            one = metrics.weighted_optimism(metric, asked.learnt.outcome, risk, rows, resampled)
        except MetricError:  # no resample with both outcomes and a model
            continue
        found = optimism_limits(one, name, asked.ci_prob)
        place = PERFORMANCE.index(name)
        limits[place] = found["lower"], one.corrected, found["upper"]
    return limits


# --- Wald's limits -------------------------------------------------------------------------------


def wald(asked: Asked, found: PipelineFit) -> Statement:
    """Limits of the final model as if nothing else had ever been thought of; apparent performance.

    A column that is not in the model gets what such a paper says of it: 0, without an interval.
    """
    if found.status not in ("fitted", "empty") or found.final is None or found.risk is None:
        return nothing_stated(asked)
    final, risk = found.final, found.risk
    limits = np.zeros((len(final.members), 3))
    interval = wald_interval(final.fit, asked.ci_prob) if final.members.any() else np.zeros((0, 2))
    limits[final.members] = np.column_stack(
        [interval[:, 0], final.fit.coefficients, interval[:, 1]]
    )
    members = final.members
    own = _plain(risk.fit, asked.learnt.matrix[:, members])
    return Statement(
        beta=limits,
        risk=wald_risk(risk.fit, asked.fresh[:, members], asked.ci_prob),
        # of a model without predictors nothing is printed
        performance=apparent_performance(asked, own) if members.any() else None,
        rule=_plain(risk.fit, asked.population[:, members]),
    )


def wald_selected(asked: Asked, found: PipelineFit) -> Statement:
    """Limits of the coefficients of the final model, of those that are in it alone."""
    limits = wald(asked, found).beta.copy()
    if found.final is not None:
        limits[~found.final.members] = np.nan
    return Statement(limits)


def firth(asked: Asked) -> Statement:
    """All columns: Firth's coefficients and FLAC's risks, with Wald's limits."""
    learnt = asked.learnt
    varying = ~learnt.constant
    matrix = learnt.matrix[:, varying]
    try:
        penalised, flac = fit_firth(matrix, learnt.outcome), fit_flac(matrix, learnt.outcome)
        interval = wald_interval(penalised, asked.ci_prob)
    except BayesCmvtError:
        return nothing_stated(asked)
    if {penalised.status, flac.status} != {"converged"}:
        return nothing_stated(asked)
    limits = np.zeros((len(varying), 3))
    limits[varying] = np.column_stack([interval[:, 0], penalised.coefficients, interval[:, 1]])
    return Statement(
        beta=limits,
        risk=wald_risk(flac, asked.fresh[:, varying], asked.ci_prob),
        rule=_plain(flac, asked.population[:, varying]),
    )


def ridge(asked: Asked) -> Statement:
    """All columns under one normal prior whose width the data choose; normal approximation."""
    learnt = asked.learnt
    varying = ~learnt.constant
    fit = fit_ridge(learnt.matrix[:, varying], learnt.outcome)
    interval = ridge_interval(fit, asked.ci_prob)
    limits = np.zeros((len(varying), 3))
    limits[varying] = np.column_stack([interval[:, 0], fit.beta, interval[:, 1]])
    lower, median, upper = ridge_risk(fit, asked.fresh[:, varying], asked.ci_prob)
    return Statement(
        beta=limits,
        risk=np.column_stack([lower, median, upper]),
        rule=expit(fit.intercept + asked.population[:, varying] @ fit.beta),
    )


def wald_risk(fit: LogisticFit, matrix: Floats, ci_prob: float) -> Floats:
    """Limits of risks, normal on the log-odds scale, shape (patient, 3)."""
    from scipy.special import ndtri

    used = np.concatenate([[True], ~fit.aliased])
    row = np.column_stack([np.ones(len(matrix)), matrix])[:, used]
    covariance = fit.covariance[np.ix_(used, used)]
    log_odds = row @ np.concatenate([[fit.intercept], fit.coefficients])[used]
    error = np.sqrt(np.einsum("ij,jk,ik->i", row, covariance, row))
    half = -ndtri(tails(ci_prob)[0]) * error
    return expit(np.column_stack([log_odds - half, log_odds, log_odds + half]))


def _plain(fit: LogisticFit, matrix: Floats) -> Floats:
    return expit(fit.intercept + matrix @ fit.coefficients)


def apparent_performance(asked: Asked, risk: Floats) -> Floats:
    """AUC (DeLong), slope and net benefit (Wald) on the patients that the model was made of."""
    from scipy.special import ndtri

    outcome, quantile = asked.learnt.outcome, -ndtri(tails(asked.ci_prob)[0])
    limits = np.full((len(PERFORMANCE), 3), np.nan)
    area = metrics.auc_delong(outcome, risk, ci_prob=asked.ci_prob)
    limits[0] = area.lower, area.estimate, area.upper
    if np.ptp(risk) > 0:
        predictor = logit(np.clip(risk, CERTAIN, 1 - CERTAIN))[:, np.newaxis]
        again = fit_maximum_likelihood(predictor, outcome)
        if again.status == "converged":
            half = quantile * again.se[0]
            limits[1] = again.coefficients[0] + half * np.array([-1.0, 0.0, 1.0])
    odds = asked.threshold / (1 - asked.threshold)
    gain = (risk >= asked.threshold) * np.where(outcome == 1, 1.0, -odds)
    half = quantile * gain.std(ddof=1) / np.sqrt(len(gain))
    limits[2] = gain.mean() + half * np.array([-1.0, 0.0, 1.0])
    return limits


# --- What all of them share ----------------------------------------------------------------------


def true_performance(
    rule: Floats, risk: Floats, threshold: float, *, weights: Floats | None = None
) -> Floats:
    """AUC, calibration slope and net benefit of a rule, were these the true risks.

    A patient whose risk is p stands there as an event of weight p and as none of weight 1 - p.

    Parameters
    ----------
    rule : ndarray, shape (patient,)
        Deployed risks.
    risk : ndarray, shape (..., patient)
        True ones.
    threshold : float
    weights : ndarray, shape (..., patient), optional
        Of the patients.

    Returns
    -------
    ndarray, shape (..., 3)
        NaN for the slope of a constant rule.
    """
    of_patients = np.ones_like(risk) if weights is None else weights
    both = np.concatenate([of_patients * risk, of_patients * (1 - risk)], axis=-1)
    outcome = np.repeat([1, 0], len(rule))
    twice = np.broadcast_to(np.tile(rule, 2), both.shape)
    slope = np.full(risk.shape[:-1], np.nan)
    if np.ptp(rule) > 0:
        slope = np.asarray(metrics.calibration_slope(outcome, twice, weights=both))
    return np.stack(
        [
            np.asarray(metrics.auc(outcome, twice, weights=both)),
            slope,
            np.asarray(metrics.net_benefit(outcome, twice, threshold, weights=both)),
        ],
        axis=-1,
    )


def nothing_stated(asked: Asked) -> Statement:
    """NaN throughout: the method has no answer to this data set."""
    return Statement(
        beta=np.full((asked.learnt.matrix.shape[1], 3), np.nan),
        risk=np.full((len(asked.fresh), 3), np.nan),
        performance=np.full((len(PERFORMANCE), 3), np.nan),
        rule=np.full(len(asked.population), np.nan),
    )


def _limits(draws: Floats, ci_prob: float, estimate: Floats) -> Floats:
    lower, _, upper = equal_tailed(draws, ci_prob)
    return np.column_stack([lower, estimate, upper])


def _finite_limits(draws: Floats, ci_prob: float, estimate: Floats) -> Floats:
    """Limits of each figure over the draws that have one."""
    found = [equal_tailed(values[np.isfinite(values)], ci_prob) for values in draws.T]
    return np.column_stack([[one[0] for one in found], estimate, [one[2] for one in found]])
