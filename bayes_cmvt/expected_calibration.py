"""Calibration as the posterior expects it, and how the risks of a set of patients are spread.

What is observed of calibration varies over patients; what is expected of it varies over draws. The
second is a layer of its own: the truth under the model, never a test of the model.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt import metrics
from bayes_cmvt.cohort import DEVELOPMENT, VALIDATION, Cohort
from bayes_cmvt.design import design_matrix
from bayes_cmvt.errors import OptionError
from bayes_cmvt.intervals import equal_tailed, tails
from bayes_cmvt.posterior import (
    central_coefficients,
    check_posterior,
    design_of,
    expit,
    linear_predictor_blocks,
)
from bayes_cmvt.scoring import GRID, curve_grid, log_odds_draws
from bayes_cmvt.shrinkage_estimates import check_learnt

DRAWS = 1000  # with 4,000 the band's limits moved by a tenth of its width at most
BLOCK_VALUES = 4_000_000  # weights of patients held at a time
NARROW, WIDE = 0.02, 0.05  # bins of a histogram of risks
NARROW_BELOW = 0.5  # risk that all but one in a hundred patients stay below for narrow bins

type Floats = NDArray[np.float64]


def expected_calibration(
    fit: xr.DataTree,
    cohort: Cohort,
    ci_prob: float = 0.95,
    *,
    draws: int = DRAWS,
    model: str = "horseshoe",
) -> pd.DataFrame:
    """Calibration curve of the deployed risks, were the risks of each draw the true ones.

    The risks of a draw are smoothed against the deployed risk, their posterior mean, as outcomes
    are for the calibration table, with local quadratic regression (``loess``, span 0.75)
    on the same grid; limits and median are over draws. The mean over draws is the deployed risk
    itself. How far true and deployed risks may be apart if the model holds; it says nothing of
    whether it does, and is no interval of the observed curve.

    Parameters
    ----------
    fit : DataTree
        With group ``posterior``.
    cohort : Cohort
        The one that was sampled.
    ci_prob : float in (0, 1)
    draws : int
        As many at most, evenly spaced over the chains.
    model : str
        What the table calls the fit.

    Returns
    -------
    DataFrame
        ``model, set, risk, median, lower, upper, interval``, for development patients and, where
        the study splits, validation patients.

    Raises
    ------
    OptionError
        A fit without a posterior or of another cohort; ``draws`` or ``ci_prob`` outside what is
        allowed.
    """
    check_posterior(fit)
    check_learnt(fit, cohort)
    tails(ci_prob)
    if draws < 2:
        msg = f"draws: found {draws}; allowed: 2 or more"
        raise OptionError(msg)
    tables = []
    for called, members in _sets(cohort):
        matrix = design_matrix(design_of(fit), cohort.predictors[members])
        deployed = deployed_risk(fit, matrix)
        grid = curve_grid(deployed)
        curves = _smoothed(deployed, _true_risks(fit, matrix, draws), grid).clip(0, 1)
        lower, median, upper = equal_tailed(curves, ci_prob)
        limits = {"risk": grid, "median": median, "lower": lower, "upper": upper}
        tables.append(pd.DataFrame({"model": model, "set": called, **limits}))
    return pd.concat(tables, ignore_index=True).assign(interval=ci_prob)


def _sets(cohort: Cohort) -> list[tuple[str, NDArray[np.bool_]]]:
    """Development and validation patients, as far as there are any."""
    sets = [(DEVELOPMENT, cohort.development), (VALIDATION, ~cohort.development)]
    return [(called, members) for called, members in sets if members.any()]


def deployed_risk(fit: xr.DataTree, matrix: Floats) -> Floats:
    """Risk that a fit deploys: posterior mean, or that of a frequentist workflow's final model.

    Parameters
    ----------
    fit : DataTree
    matrix : ndarray, shape (patient, coefficient)
        Standardised.

    Returns
    -------
    ndarray, shape (patient,)
    """
    risk = np.empty(len(matrix))
    for block, predictor in linear_predictor_blocks(*central_coefficients(fit), matrix):
        risk[block] = expit(predictor).mean(axis=(0, 1))
    return risk


def _true_risks(fit: xr.DataTree, matrix: Floats, draws: int) -> Floats:
    """Risk of each patient in some draws, evenly spaced; shape (draw, patient)."""
    log_odds = log_odds_draws(fit, matrix)
    kept = np.linspace(0, len(log_odds) - 1, min(draws, len(log_odds))).round().astype(int)
    return expit(log_odds[kept])


def _smoothed(deployed: Floats, true: Floats, grid: Floats) -> Floats:
    """Smooth the true risks of each draw against the deployed risk; shape (draw, point).

    A patient whose true risk is p stands there as an event of weight p and as none of weight
    1 - p: a local regression of outcomes then is that of the risks. Such weights are rescaled to
    two for each patient: the window may hold one patient more than that of the observed curve.
    """
    outcome = np.repeat([1, 0], len(deployed))
    risk = np.tile(deployed, 2)
    height = max(1, BLOCK_VALUES // len(risk))
    curves = [
        metrics.calibration_curve(
            outcome, risk, "loess", at=grid, grid=GRID, weights=np.hstack([part, 1 - part])
        ).observed
        for part in np.split(true, range(height, len(true), height))
    ]
    return np.concatenate(curves)


def risk_histogram(fits: Mapping[str, xr.DataTree], cohort: Cohort) -> pd.DataFrame:
    """Patients and events by deployed risk, in fixed bins: no patient's risk can be read off.

    Parameters
    ----------
    fits : mapping of str to DataTree
        Models by name, all of the study of the cohort.
    cohort : Cohort
        The one that they learnt from.

    Returns
    -------
    DataFrame
        ``model, set, risk_lower, risk_upper, patients, events``: bins of 0.02 where all but one
        in a hundred risks are below 0.5, else of 0.05, the same for all models and sets; from
        ``risk_lower`` to below ``risk_upper``, a risk of 1 in the last. All bins from 0 to 1.

    Raises
    ------
    OptionError
        Models of other patients.
    """
    for fit in fits.values():
        check_learnt(fit, cohort)
    risks = {
        name: deployed_risk(fit, design_matrix(design_of(fit), cohort.predictors))
        for name, fit in fits.items()
    }
    below = np.quantile(np.concatenate(list(risks.values())), 0.99) < NARROW_BELOW
    bins = round(1 / (NARROW if below else WIDE))
    edges = np.linspace(0, 1, bins + 1).round(9)
    tables = []
    for name, risk in risks.items():
        # compared, not divided: 0.06 / 0.02 is below 3 in floating point
        place = np.minimum(np.searchsorted(edges, risk, side="right") - 1, bins - 1)
        for called, members in _sets(cohort):
            patients = np.bincount(place[members], minlength=bins)
            events = np.bincount(place[members & (cohort.outcome == 1)], minlength=bins)
            about = {"model": name, "set": called}
            limits = {"risk_lower": edges[:-1], "risk_upper": edges[1:]}
            tables.append(pd.DataFrame({**about, **limits, "patients": patients, "events": events}))
    return pd.concat(tables, ignore_index=True)
