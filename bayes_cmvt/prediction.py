"""The risk of each patient, from the draws: posterior mean, median and interval.

The central value is the posterior mean of logit⁻¹(α + zβ), the posterior predictive probability;
the interval holds the risk, not the outcome.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.cohort import Cohort, NewPatients, level_categories, load_new_patients
from bayes_cmvt.design import Design, design_matrix, recover_predictors
from bayes_cmvt.errors import OptionError
from bayes_cmvt.intervals import equal_tailed, tails
from bayes_cmvt.posterior import (
    central_coefficients,
    design_of,
    expit,
    linear_predictor_blocks,
    needed_predictors,
    uncertain_coefficients,
)
from bayes_cmvt.schema import Continuous


def predict(
    fit: xr.DataTree,
    patients: Cohort | NewPatients | pd.DataFrame | str | Path,
    *,
    ci_prob: float = 0.95,
) -> pd.DataFrame:
    """Risk of each patient with its interval.

    Parameters
    ----------
    fit : DataTree
        From `bayes_cmvt.sample`, `bayes_cmvt.load_run` or `bayes_cmvt.fit_baseline`.
    patients : Cohort, NewPatients, DataFrame or path
        Patients who are checked already, or new rows with the columns of the study; no outcome
        is needed, and of a projected submodel its own predictors alone.
    ci_prob : float in (0, 1)
        Probability of the equal-tailed interval of the risk.

    Returns
    -------
    DataFrame
        ``row, risk, median, lower, upper, interval``; ``risk`` is the posterior mean, or what the
        final model of a frequentist workflow predicts, with the median and the percentile limits
        over its resamples. The last column repeats ``ci_prob``.

    Raises
    ------
    DataError
        New rows with columns, levels or cells that the study does not allow.
    OptionError
        Patients whose predictors are not those of the fit, or ``ci_prob`` outside (0, 1).
    """
    tails(ci_prob)
    design = design_of(fit)
    predictors = _predictors(design, patients, needed_predictors(fit))
    risk = risk_of(fit, design_matrix(design, predictors), ci_prob)
    risk.insert(0, "row", predictors.index.to_numpy())
    return risk.assign(interval=ci_prob)


def predictions(fit: xr.DataTree, cohort: Cohort, *, ci_prob: float = 0.95) -> pd.DataFrame:
    """Risks of a cohort beside its outcomes: those of `predict`, with ``set`` and ``outcome``."""
    table = predict(fit, cohort, ci_prob=ci_prob)
    table.insert(1, "set", cohort.sets)
    table.insert(2, "outcome", cohort.outcome)
    return table


def risk_of(fit: xr.DataTree, matrix: NDArray[np.float64], ci_prob: float) -> pd.DataFrame:
    """Risk that a fit deploys for each row of a standardised matrix, with its limits.

    Limits and median are NaN where a frequentist fit was not resampled.
    """
    uncertain = uncertain_coefficients(fit)
    if uncertain is None:
        table = pd.DataFrame(np.nan, range(len(matrix)), ["risk", "median", "lower", "upper"])
    else:
        table = risk_table(*uncertain, matrix, ci_prob)
    if "estimate" in fit.children:
        table["risk"] = risk_table(*central_coefficients(fit), matrix, ci_prob)["risk"]
    return table


def risk_table(
    intercept: NDArray[np.float64],
    beta: NDArray[np.float64],
    matrix: NDArray[np.float64],
    ci_prob: float,
) -> pd.DataFrame:
    """Posterior mean, median and limits of the risk of each row of a standardised matrix.

    Parameters
    ----------
    intercept : ndarray, shape (chain, draw)
    beta : ndarray, shape (chain, draw, coefficient)
    matrix : ndarray, shape (patient, coefficient)
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        ``risk, median, lower, upper``, one row for each patient.
    """
    summary = np.empty((4, len(matrix)))
    for block, predictor in linear_predictor_blocks(intercept, beta, matrix):
        risk = expit(predictor).reshape(-1, predictor.shape[-1])
        summary[0, block] = risk.mean(axis=0)
        summary[2, block], summary[1, block], summary[3, block] = equal_tailed(risk, ci_prob)
    return pd.DataFrame(summary.T, columns=["risk", "median", "lower", "upper"])


def _predictors(
    design: Design,
    patients: Cohort | NewPatients | pd.DataFrame | str | Path,
    needed: tuple[str, ...],
) -> pd.DataFrame:
    """Return the checked predictors, which must be those of the design, or the needed ones."""
    if isinstance(patients, Cohort):
        if patients.study.predictors != design.study.predictors:
            whose = f'the cohort belongs to study "{patients.study.name}" and has'
            raise OptionError(_others(design, whose))
        return patients.predictors
    if isinstance(patients, NewPatients):
        if dict(patients.predictors.dtypes) != _column_types(design):
            raise OptionError(_others(design, "the new patients have"))
        return patients.predictors
    own = tuple(one for one in design.study.predictors if one.name in needed)
    read = load_new_patients(replace(design.study, predictors=own), patients).predictors
    if len(own) == len(design.study.predictors):
        return read
    # what the model does not use has the coefficient 0, whatever stands there
    whole = recover_predictors(design, np.zeros((len(read), len(design.terms))), read.index)
    return whole.assign(**{name: read[name] for name in needed})


def _others(design: Design, whose: str) -> str:
    return (
        f'{whose} other predictors than the fit of study "{design.study.name}"; '
        "load them with the study of the fit"
    )


def _column_types(design: Design) -> dict[str, object]:
    """Return the type of each predictor as `load_new_patients` gives it, levels included."""
    nobody = np.empty(0, dtype=np.int16)
    return {
        one.name: np.dtype(float)
        if isinstance(one, Continuous)
        else level_categories(one, nobody).dtype
        for one in design.study.predictors
    }
