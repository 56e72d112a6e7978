"""How much a model would differ: the risks of the same patients by the models of other samples.

Riley & Collins 2023, doi:10.1002/bimj.202200302: prediction, classification and calibration
instability, from the models of bootstrap resamples on the original patients. Draws of a posterior
are shown beside them as draws of one model's risks, which is another thing: they say what is
unknown given these patients, not what other patients would have given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt import metrics
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.design import design_matrix
from bayes_cmvt.errors import MetricError
from bayes_cmvt.intervals import equal_tailed
from bayes_cmvt.posterior import design_of, expit
from bayes_cmvt.prediction import predict
from bayes_cmvt.risk_marks import marked_means
from bayes_cmvt.scoring import curve_grid, log_odds_draws

CURVES = 100  # resamples whose calibration curves are drawn
POINTS = 40  # of each of these curves

type Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Instability:
    """What `instability` found.

    Attributes
    ----------
    patients : DataFrame
        ``row, set, model, risk, lower, upper, mean_absolute_error, class_instability, interval``;
        private.
    marks : DataFrame
        The same as means over marks of at least five patients: ``model, set, mark, patients, …``.
    calibration : DataFrame
        ``model, set, resample, risk, observed``: the calibration curve of each of at most 100
        resamples' (draws') models on the original patients.
    """

    patients: pd.DataFrame
    marks: pd.DataFrame
    calibration: pd.DataFrame


def instability(
    fits: Mapping[str, xr.DataTree],
    cohort: Cohort,
    *,
    thresholds: Sequence[float],
    ci_prob: float = 0.95,
) -> Instability:
    """Instability of the risks of each model, on every set of patients.

    Parameters
    ----------
    fits : mapping of str to DataTree
        Posteriors and resampled workflows by name.
    cohort : Cohort
    thresholds : sequence of float, ascending
        Cut risks into classes.
    ci_prob : float in (0, 1)

    Returns
    -------
    Instability
        ``mean_absolute_error`` is the mean over resamples of |resample's risk - model's risk|,
        ``class_instability`` the share of resamples that put the patient in another class.
    """
    patients, curves = [], []
    for model, fit in fits.items():
        risk = predict(fit, cohort)["risk"].to_numpy()
        matrix = design_matrix(design_of(fit), cohort.predictors)
        others = expit(log_odds_draws(fit, matrix))
        table = unstable_risks(risk, others, thresholds=thresholds, ci_prob=ci_prob)
        whose = pd.DataFrame({"row": cohort.rows, "set": cohort.sets, "model": model})
        patients.append(whose.join(table))
        curves += [
            _curves(others[:, members], cohort.outcome[members]).assign(model=model, set=called)
            for called in dict.fromkeys(cohort.sets)
            for members in [cohort.sets == called]
        ]
    every = pd.concat(patients, ignore_index=True)
    numbers = ["risk", "lower", "upper", "mean_absolute_error", "class_instability"]
    marks = marked_means(every, "risk", numbers, ["model", "set"])
    calibration = pd.concat(curves, ignore_index=True)
    return Instability(
        patients=every.assign(interval=ci_prob),
        marks=marks.assign(threshold=" and ".join(f"{t:g}" for t in thresholds), interval=ci_prob),
        calibration=calibration[["model", "set", "resample", "risk", "observed"]],
    )


def unstable_risks(
    risk: Floats, others: Floats, *, thresholds: Sequence[float], ci_prob: float = 0.95
) -> pd.DataFrame:
    """How the risks of other models lie about those of the model.

    Parameters
    ----------
    risk : ndarray, shape (patient,)
    others : ndarray, shape (resample, patient)
    thresholds : sequence of float, ascending
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        ``risk, lower, upper, mean_absolute_error, class_instability``.

    Examples
    --------
    >>> table = unstable_risks(np.array([0.2]), np.array([[0.1], [0.4]]), thresholds=[0.3])
    >>> table[["mean_absolute_error", "class_instability"]].round(3).to_numpy().tolist()
    [[0.15, 0.5]]
    """
    lower, _, upper = equal_tailed(others, ci_prob)
    own = np.searchsorted(thresholds, risk, side="right")
    classes = np.searchsorted(thresholds, others, side="right")
    return pd.DataFrame(
        {
            "risk": risk,
            "lower": lower,
            "upper": upper,
            "mean_absolute_error": np.abs(others - risk).mean(axis=0),
            "class_instability": (classes != own).mean(axis=0),
        }
    )


def _curves(others: Floats, outcome: NDArray[np.int8]) -> pd.DataFrame:
    """Calibration curves of some of the other models, each within the middle of its own risks."""
    kept = np.unique(np.linspace(0, len(others) - 1, CURVES).round().astype(int))
    found = []
    for number in kept:
        drawn = others[number]
        if not np.ptp(drawn):  # a model without predictors has one risk and no curve
            continue
        grid = curve_grid(drawn)
        at = np.linspace(grid[0], grid[-1], POINTS)
        try:
            curve = metrics.calibration_curve(outcome, drawn, at=at, grid=len(grid))
        except MetricError:  # one outcome only, or too few different risks
            continue
        found.append(pd.DataFrame({"resample": number + 1, "risk": at, "observed": curve.observed}))
    if not found:
        return pd.DataFrame(columns=["resample", "risk", "observed"])
    return pd.concat(found, ignore_index=True)
