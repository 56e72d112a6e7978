"""An update of a model: the risks that it gives, and its elpd over patients that it has not seen.

Draws are asked for each new patient with this patient's outcome taken out of their weights:
Pareto-smoothed importance-sampling leave-one-out (Vehtari, Gelman & Gabry 2017,
doi:10.1007/s11222-016-9696-4). A line fitted by maximum likelihood is fitted again without each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.crossvalidation import relative_efficiency
from bayes_cmvt.diagnostics import draws_needed
from bayes_cmvt.importance import good_k, pareto_smoothed
from bayes_cmvt.intervals import tails
from bayes_cmvt.metrics.calibration import calibration_slope, log_odds, logistic_departures
from bayes_cmvt.posterior import expit, linear_predictor_blocks, log_bernoulli
from bayes_cmvt.recalibrating import Patients, SiteDraws

type Floats = NDArray[np.float64]
type Limits = tuple[float, float, float]
"""Estimate, lower and upper limit."""

PATIENTS_OF_EFFICIENCY = 200
BLOCK_VALUES = 500_000
COLUMNS = [
    *("update", "elpd", "elpd_se", "elpd_diff", "elpd_diff_se", "pareto_k", "bad_k"),
    *("intercept", "intercept_lower", "intercept_upper"),
    *("slope", "slope_lower", "slope_upper", "note"),
]
UNKNOWN: Limits = (np.nan, np.nan, np.nan)
NO_LINE = (0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Update:
    """One way to go on with a model after new patients: draws, and perhaps a line over their mean.

    Attributes
    ----------
    name : str
    draws : SiteDraws
        Of the coefficients of patients like the new ones, on the scale of the fit.
    elpd : ndarray, shape (new patient,)
        Log density of each new patient, had the update not seen this patient.
    log_weights : ndarray, shape (chain, draw), optional
        Of the draws, where they do not count alike; their exponentials sum to 1.
    line : (float, float)
        Intercept and slope that recalibrate the log-odds of the posterior-mean risk.
    pareto_k : float
        Of the weights of all draws; NaN where they count alike.
    bad_k : int
        New patients whose term of the elpd importance sampling cannot give.
    intercept, slope : tuple of 3 float
        Estimate and limits of the recalibration; NaN where the update does not estimate them.
    note : str
        What is assumed, and what is not to be relied upon.
    """

    name: str
    draws: SiteDraws
    elpd: Floats
    log_weights: Floats | None = None
    line: tuple[float, float] = NO_LINE
    pareto_k: float = np.nan
    bad_k: int = 0
    intercept: Limits = UNKNOWN
    slope: Limits = UNKNOWN
    note: str = ""


@dataclass(frozen=True)
class Refused:
    """An update that could not be had, and why."""

    name: str
    note: str
    pareto_k: float = np.nan


def updated_risk(update: Update, matrix: Floats) -> Floats:
    """Posterior-mean risk of patients like the new ones, by an update.

    Parameters
    ----------
    update : Update
    matrix : ndarray, shape (patient, coefficient)
        Standardised with the constants of the fit: `design_matrix(design_of(fit), predictors)`.

    Returns
    -------
    ndarray, shape (patient,)

    Examples
    --------
    >>> draws = SiteDraws(np.zeros((1, 2)), np.log([[[1.0], [3.0]]]))  # odds ratios 1 and 3
    >>> updated_risk(Update("two draws", draws, np.empty(0)), np.array([[1.0]])).tolist()
    [0.625]
    """
    draws = update.draws
    weights = np.full(draws.intercept.shape, 1 / draws.intercept.size)
    if update.log_weights is not None:
        weights = np.exp(update.log_weights)
    risk = np.empty(len(matrix))
    for block, predictor in linear_predictor_blocks(draws.intercept, draws.beta, matrix):
        risk[block] = np.einsum("cd,cdp->p", weights, expit(predictor))
    risk = np.minimum(risk, 1.0)  # weights sum to one but for rounding
    intercept, slope = update.line
    return risk if update.line == NO_LINE else expit(intercept + slope * log_odds(risk))


# --- From draws -----------------------------------------------------------------------------------


def judged_draws(
    name: str, draws: SiteDraws, new: Patients, *, note: str, ci_prob: float = 0.95
) -> Update | Refused:
    """Weigh draws, where they have importance ratios, and leave each new patient out of them.

    Parameters
    ----------
    name, note : str
    draws : SiteDraws
        Given all new patients.
    new : Patients
    ci_prob : float in (0, 1)
        Of the equal-tailed limits of δ0 and 1 + δ1.

    Returns
    -------
    Update, or Refused
        The latter where the weights cannot be trusted: k̂ above `good_k`, 0.7 with 2,200 draws or
        more.

    Raises
    ------
    MetricError
        Fewer than 25 draws.
    """
    efficiency, limit = _efficiency(draws, new), good_k(draws.intercept.size)
    log_weights, k = None, np.nan
    if draws.log_ratios is not None:
        smoothed = pareto_smoothed(draws.log_ratios.ravel(), efficiency=efficiency)
        log_weights = smoothed.log_weights.reshape(draws.intercept.shape)
        k = float(smoothed.pareto_k)
        if not k <= limit:
            return Refused(name, _too_far(k, limit), k)
    elpd, left_out_k = left_out_of_draws(draws, new, efficiency)
    bad = int((~(left_out_k <= limit)).sum())
    intercept, slope = _recalibration(draws, log_weights, ci_prob)
    return Update(
        *(name, draws, elpd, log_weights),
        pareto_k=k,
        bad_k=bad,
        intercept=intercept,
        slope=slope,
        note="; ".join([note, *_cautions(draws, bad, limit)]),
    )


def _too_far(k: float, limit: float) -> str:
    return (
        f"refused: k-hat {k:.2f} is above {limit:.2g}; hardly any draw of the fit lies where the "
        "new patients say"
    )


def _cautions(draws: SiteDraws, bad: int, limit: float) -> list[str]:
    """What is not to be relied upon."""
    cautions = []
    quantities = {"intercept": draws.intercept, "beta": draws.beta}
    if draws.log_ratios is None and draws_needed(quantities) > draws.intercept.shape[1]:
        cautions.append("its chains disagree or are too short: not to be relied upon")
    if bad:
        cautions.append(f"k-hat above {limit:.2g} for {bad} of the new patients")
    return cautions


def _recalibration(
    draws: SiteDraws, log_weights: Floats | None, ci_prob: float
) -> tuple[Limits, Limits]:
    """Posterior mean and equal-tailed limits of δ0 and of 1 + δ1."""
    if draws.delta0 is None or draws.delta1 is None:
        return UNKNOWN, UNKNOWN
    weights = np.ones(draws.delta0.size) if log_weights is None else np.exp(log_weights).ravel()

    def limits(values: Floats) -> Limits:
        flat = values.ravel()
        lower, upper = np.quantile(flat, tails(ci_prob), weights=weights, method="inverted_cdf")
        return float(np.average(flat, weights=weights)), float(lower), float(upper)

    return limits(draws.delta0), limits(1 + draws.delta1)


# --- Log densities of new patients ---------------------------------------------------------------


def log_density(draws: SiteDraws, new: Patients) -> Floats:
    """Log posterior-mean probability of each patient's outcome, shape (patient,)."""
    from scipy.special import logsumexp

    found = np.empty(len(new.outcome))
    for block, predictor in linear_predictor_blocks(draws.intercept, draws.beta, new.matrix):
        likelihood = log_bernoulli(new.outcome[block], predictor)
        found[block] = logsumexp(likelihood, axis=(0, 1)) - np.log(draws.intercept.size)
    return found


def left_out_of_draws(
    draws: SiteDraws, new: Patients, efficiency: float = 1.0
) -> tuple[Floats, Floats]:
    """Log density of each new patient, left out of the data by importance sampling.

    Parameters
    ----------
    draws : SiteDraws
        Given all new patients: draws that count alike, or their importance ratios.
    new : Patients
    efficiency : float, above 0
        As in `pareto_smoothed`.

    Returns
    -------
    elpd, pareto_k : ndarray, shape (patient,)
    """
    from scipy.special import logsumexp

    elpd, k = np.empty(len(new.outcome)), np.empty(len(new.outcome))
    for block, predictor in linear_predictor_blocks(draws.intercept, draws.beta, new.matrix):
        likelihood = log_bernoulli(new.outcome[block], predictor)
        likelihood = likelihood.reshape(-1, likelihood.shape[-1]).T
        given_all = 0.0 if draws.log_ratios is None else draws.log_ratios.ravel()
        without = pareto_smoothed(given_all - likelihood, efficiency=efficiency)
        elpd[block] = logsumexp(without.log_weights + likelihood, axis=-1)
        k[block] = without.pareto_k
    return elpd, k


def _efficiency(draws: SiteDraws, new: Patients) -> float:
    """Effective share of the draws, from the likelihood of at most 200 patients."""
    step = -(-len(new.outcome) // PATIENTS_OF_EFFICIENCY)
    shown = Patients(new.matrix[::step], new.outcome[::step])
    likelihood = np.concatenate(
        [
            log_bernoulli(shown.outcome[block], predictor)
            for block, predictor in linear_predictor_blocks(
                draws.intercept, draws.beta, shown.matrix
            )
        ],
        axis=-1,
    )
    return relative_efficiency(xr.DataArray(likelihood))


def left_out_of_line(
    outcome: NDArray[np.int8], risk: Floats, line: tuple[float, float], *, free_slope: bool
) -> Floats:
    """Log density of each patient by the line of the others: exact leave-one-out.

    Parameters
    ----------
    outcome : ndarray of {0, 1}, shape (patient,)
    risk : ndarray, shape (patient,)
        Recalibrated by maximum likelihood.
    line : (float, float)
        The intercept and slope that fit all patients best, where the search starts.
    free_slope : bool
        Whether the slope is fitted too, or held at that of the line.

    Returns
    -------
    ndarray, shape (patient,)

    Examples
    --------
    Two of 5 patients had the event: without one of them 1 of 4 had it, else 2 of 4.

    >>> outcome, level = np.array([1, 1, 0, 0, 0]), (float(np.log(2 / 3)), 1.0)
    >>> found = left_out_of_line(outcome, np.full(5, 0.5), level, free_slope=False)
    >>> np.exp(found).round(9).tolist()
    [0.25, 0.25, 0.5, 0.5, 0.5]
    """
    logit, n = log_odds(risk), len(outcome)
    fitted = line[0] + line[1] * logit
    columns = np.stack([np.ones(n), logit - logit.mean()][: 1 + free_slope])
    elpd = np.empty(n)
    height = max(1, BLOCK_VALUES // n)
    for start in range(0, n, height):
        left_out = np.arange(start, min(start + height, n))
        kept = np.ones((len(left_out), n))
        kept[np.arange(len(left_out)), left_out] = 0
        change = logistic_departures(fitted[None], columns[:, None], kept, kept * outcome)
        moved = fitted[left_out] + np.einsum("rk,kr->r", change, columns[:, left_out])
        elpd[left_out] = log_bernoulli(outcome[left_out], moved)
    return elpd


def slope_stays_finite(outcome: NDArray[np.int8], risk: Floats) -> bool:
    """Whether the slope stays finite without any one patient: only the outermost can matter."""
    outermost = [
        patients[find(risk[patients])]
        for patients in (np.flatnonzero(outcome == 0), np.flatnonzero(outcome == 1))
        for find in (np.argmin, np.argmax)
    ]
    kept = np.ones((len(outermost), len(risk)))
    kept[np.arange(len(outermost)), outermost] = 0
    return bool(np.isfinite(calibration_slope(outcome, risk, weights=kept)).all())


# --- The table -----------------------------------------------------------------------------------


def update_table(
    stands: Update, others: Sequence[Update | Refused], *, ci_prob: float = 0.95
) -> pd.DataFrame:
    """Compare updates with the model as it stands.

    Parameters
    ----------
    stands : Update
    others : sequence of Update or Refused
    ci_prob : float in (0, 1)
        Of the limits of intercept and slope.

    Returns
    -------
    DataFrame
        ``update, elpd, elpd_se, elpd_diff, elpd_diff_se, pareto_k, bad_k``, estimate and limits of
        ``intercept`` and ``slope``, ``note, interval``; the model as it stands comes first.
    """
    rows = [
        _row(one, stands.elpd)
        if isinstance(one, Update)
        else {"update": one.name, "pareto_k": one.pareto_k, "note": one.note}
        for one in (stands, *others)
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.assign(bad_k=table["bad_k"].astype("Int64"), interval=ci_prob)


def _row(update: Update, reference: Floats) -> dict[str, Any]:
    sums = (*_sum_with_error(update.elpd), *_sum_with_error(update.elpd - reference))
    cells = (update.name, *sums, update.pareto_k, update.bad_k)
    return dict(zip(COLUMNS, (*cells, *update.intercept, *update.slope, update.note), strict=True))


def _sum_with_error(values: Floats) -> tuple[float, float]:
    return float(values.sum()), float(np.sqrt(len(values) * values.var()))
