"""Performance of the baseline: corrected for optimism by repeating everything, or only the refit.

The bootstrap of ``rms::validate`` and ``rms::calibrate`` repeats the fit of the final model's
columns; what their choice owes to chance stays in its figures. Both stand side by side here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_cmvt import metrics
from bayes_cmvt.baseline import CODES
from bayes_cmvt.baseline_estimates import check_cohort, resampled_log_odds
from bayes_cmvt.cohort import DEVELOPMENT, Cohort
from bayes_cmvt.design import design_matrix
from bayes_cmvt.errors import MetricError
from bayes_cmvt.intervals import bias_corrected, equal_tailed, tails
from bayes_cmvt.metrics.optimism_correction import CorrectedCurve, Optimism
from bayes_cmvt.pipeline import Floats
from bayes_cmvt.posterior import central_coefficients, design_of, expit

MODEL = "baseline"
METHODS = {"optimism_corrected": "", "optimism_corrected_refit": "fixed_"}
JACKKNIFE_AT_MOST = 5_000  # patients left out one by one
BLOCK_WEIGHTS = 1_000_000

type Metric = Callable[..., Any]
CORRECTED: Mapping[str, Metric] = {
    "auc": metrics.auc,
    "calibration_slope": metrics.calibration_slope,
    "calibration_in_the_large": metrics.calibration_in_the_large,
    "brier_score": metrics.brier_score,
    "scaled_brier_score": metrics.scaled_brier_score,
    "log_score": metrics.log_score,
}
FIXED_IN_TRAINING = ("calibration_slope", "calibration_in_the_large")
BIAS_CORRECTED = ("auc", "brier_score", "scaled_brier_score", "log_score")
COLUMNS = [
    *("model", "set", "metric", "estimate", "lower", "upper", "method", "interval_of"),
    *("apparent_estimate", "optimism", "resamples_used", "note"),
]


def corrected_performance(
    baseline: xr.DataTree, cohort: Cohort, *, ci_prob: float = 0.95
) -> pd.DataFrame:
    """Performance of the final model, corrected for optimism with the whole workflow repeated.

    Limits are the percentiles of what each resample's model reaches on its own resample, less the
    optimism (Noma et al. 2021, doi:10.1002/sim.9148, algorithm 1). Slope and calibration-in-the-
    large of a maximum-likelihood fit are 1 and 0 there, whatever the resample: what stands for them
    are the percentiles of the resamples' models on all patients, which are no interval of the
    model's performance but say how far the workflow's products differ (``interval_of`` is
    ``draws``). A resample that kept no predictor has an AUC of 0.5 and no slope: it is left out of
    the slope and counted; having no optimism, it makes the shifted limits too low, and the note of
    the row says how many there are.

    Parameters
    ----------
    baseline : DataTree
        With resamples.
    cohort : Cohort
        The cohort that it was fitted to.
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        ``model, set, metric, estimate, lower, upper, method, interval_of, apparent_estimate,
        optimism, resamples_used, note, interval``; method ``optimism_corrected`` repeats the
        workflow, ``optimism_corrected_refit`` the fit of the final model's columns alone, as rms
        does. Rows ``…_bca``, method ``apparent``, are of the final model as it stands.

    Raises
    ------
    OptionError
        Another cohort.
    """
    tails(ci_prob)
    check_cohort(baseline, cohort)
    rows = _apparent_rows(baseline, cohort, ci_prob)
    for method in METHODS:
        rows += _corrected_rows(baseline, cohort, method, ci_prob)
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.assign(model=MODEL, set=DEVELOPMENT, interval=ci_prob)


def _matrix(baseline: xr.DataTree, cohort: Cohort) -> Floats:
    return design_matrix(design_of(baseline), cohort.predictors[cohort.development])


def _risk(baseline: xr.DataTree, matrix: Floats) -> Floats:
    intercept, beta = central_coefficients(baseline)
    return expit(intercept[0, 0] + matrix @ beta[0, 0])


def _positions(baseline: xr.DataTree, cohort: Cohort) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Positions among the development patients of the rows of every resample."""
    members = cohort.rows[cohort.development]
    order = np.argsort(members)
    rows = baseline["bootstrap"]["rows"].to_numpy()[0]
    return np.asarray(order[np.searchsorted(members, rows, sorter=order)])


def _corrected_rows(
    baseline: xr.DataTree, cohort: Cohort, method: str, ci_prob: float
) -> list[dict[str, Any]]:
    matrix, outcome = _matrix(baseline, cohort), cohort.outcome[cohort.development]
    risk = _risk(baseline, matrix)
    resampled = expit(resampled_log_odds(baseline, matrix, METHODS[method]))
    rows, note = _positions(baseline, cohort), _empty_note(baseline, method)
    found = []
    for name, metric in CORRECTED.items():
        try:
            one = metrics.weighted_optimism(metric, outcome, risk, rows, resampled)
        except MetricError:  # a constant risk has no slope, of whatever resample
            continue
        found.append(
            {
                "metric": name,
                "method": method,
                "estimate": one.corrected,
                "apparent_estimate": one.apparent,
                "optimism": one.optimism,
                "resamples_used": one.resamples_used,
                "note": note,
                **optimism_limits(one, name, ci_prob),
            }
        )
    return found


def optimism_limits(found: Optimism, name: str, ci_prob: float) -> dict[str, Any]:
    """Limits of a corrected metric: shifted percentiles, or those of the models on all patients."""
    values = found.values[np.isfinite(found.values).all(axis=1)]
    if not len(values):
        return {"lower": np.nan, "upper": np.nan, "interval_of": "patients"}
    fixed = name in FIXED_IN_TRAINING
    lower, _, upper = equal_tailed(values[:, 1 if fixed else 0], ci_prob)
    moved = 0.0 if fixed else found.optimism
    return {
        "lower": float(lower - moved),
        "upper": float(upper - moved),
        "interval_of": "draws" if fixed else "patients",
    }


def _empty_note(baseline: xr.DataTree, method: str) -> str:
    """How many resamples of the whole workflow kept no predictor, if any did."""
    status = baseline["bootstrap"]["status"].to_numpy()[0]
    empty = int((status == CODES.index("empty")).sum())
    if not empty or METHODS[method]:
        return ""
    return f"{empty} of {len(status)} resamples kept no predictor"


def _apparent_rows(baseline: xr.DataTree, cohort: Cohort, ci_prob: float) -> list[dict[str, Any]]:
    """The final model as it stands, with BCa limits over the resamples' patients."""
    outcome = cohort.outcome[cohort.development]
    n = len(outcome)
    rows = _positions(baseline, cohort)
    both = [0 < outcome[one].sum() < n for one in rows]
    # without a patient, and in some resample, both outcomes must be left
    if n > JACKKNIFE_AT_MOST or min(outcome.sum(), n - outcome.sum()) < 2 or not any(both):
        return []
    risk = _risk(baseline, _matrix(baseline, cohort))
    copies = np.stack([np.bincount(one, minlength=n) for one in rows[both]]).astype(float)
    found = []
    for name in BIAS_CORRECTED:
        metric = CORRECTED[name]
        estimate = float(metric(outcome, risk))
        replicates = _weighted(metric, outcome, risk, copies)
        left_out = _weighted(metric, outcome, risk, 1.0 - np.eye(n))
        lower, upper = bias_corrected(estimate, replicates, left_out, ci_prob)
        found.append(
            {"metric": f"{name}_bca", "method": "apparent", "estimate": estimate}
            | {"interval_of": "patients", "note": ""}
            | {"lower": lower, "upper": upper, "resamples_used": len(copies)}
        )
    return found


def _weighted(metric: Metric, outcome: Any, risk: Floats, weights: Floats) -> Floats:
    """Metric for every row of weights, some rows at a time."""
    height = max(1, BLOCK_WEIGHTS // weights.shape[1])
    parts = [
        metric(outcome, risk, weights=weights[start : start + height])
        for start in range(0, len(weights), height)
    ]
    return np.concatenate([np.atleast_1d(part) for part in parts])


def corrected_calibration(baseline: xr.DataTree, cohort: Cohort) -> pd.DataFrame:
    """Calibration curve of the final model, apparent and corrected both ways.

    As ``rms::calibrate``: 50 points, lowess (Harrell 2015, doi:10.1007/978-3-319-19425-7).

    Parameters
    ----------
    baseline : DataTree
        With resamples.
    cohort : Cohort

    Returns
    -------
    DataFrame
        ``model, set, method, risk, observed, apparent_observed, resamples_used,
        mean_absolute_error``; empty where the risks are too few for a curve.
    """
    check_cohort(baseline, cohort)
    matrix, outcome = _matrix(baseline, cohort), cohort.outcome[cohort.development]
    risk, rows = _risk(baseline, matrix), _positions(baseline, cohort)
    parts = []
    for method, prefix in METHODS.items():
        resampled = expit(resampled_log_odds(baseline, matrix, prefix))
        try:
            curve = metrics.optimism_corrected_curve(outcome, risk, rows, resampled)
        except MetricError:
            continue
        parts.append(_curve_rows(curve, method))
    names = ["method", "risk", "observed", "apparent_observed", "resamples_used"]
    empty = pd.DataFrame(columns=[*names, "mean_absolute_error"])
    table = pd.concat(parts, ignore_index=True) if parts else empty
    table.insert(0, "set", DEVELOPMENT)
    table.insert(0, "model", MODEL)
    return table


def _curve_rows(curve: CorrectedCurve, method: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "method": method,
            "risk": curve.risk,
            "observed": curve.corrected,
            "apparent_observed": curve.apparent,
            "resamples_used": curve.resamples_used,
            "mean_absolute_error": curve.mean_absolute_error,
        }
    )
