"""How a fit becomes points: central coefficients, and the scale that they are drawn on.

The central coefficients of a posterior are the logistic projection of its posterior-mean risks: at
posterior-mean coefficients risks of rare events would be read too low.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.cohort import Cohort, level_categories
from bayes_cmvt.design import design_matrix, encode_predictor
from bayes_cmvt.errors import OptionError
from bayes_cmvt.posterior import (
    PRINTED,
    central_coefficients,
    design_of,
    expit,
    linear_predictor_blocks,
    settings_of,
)
from bayes_cmvt.predictor_axes import AxisLimits, PredictorAxis, predictor_axes
from bayes_cmvt.projection import project
from bayes_cmvt.schema import Continuous

PROJECTED = "projection"  # engine of a fit that `bayes_cmvt.select` made

type Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scale:
    """Central coefficients, and how log-odds become points.

    Attributes
    ----------
    intercept : float
        Log-odds where all columns are 0 in their own units.
    beta : ndarray, shape (coefficient,)
        Log-odds per unit of each column.
    axes : tuple of PredictorAxis
    columns : tuple of slice
        Which coefficients belong to each axis.
    lowest, length : ndarray, shape (axis,)
        Smallest contribution to the log-odds on each axis, and the distance to the largest.
    """

    intercept: float
    beta: Floats
    axes: tuple[PredictorAxis, ...]
    columns: tuple[slice, ...]
    lowest: Floats
    length: Floats

    @property
    def per_log_odds(self) -> float:
        """Points for one unit of log-odds."""
        return 100.0 / float(self.length.max())

    @property
    def at_zero(self) -> float:
        """Log-odds at 0 total points."""
        return self.intercept + float(self.lowest.sum())

    def points(self, axis: int, values: pd.Series) -> Floats:
        """Points of values of one predictor, shape (value,); outside the axis as well."""
        encoded = encode_predictor(self.axes[axis].predictor, values)
        contribution = encoded @ self.beta[self.columns[axis]]
        return np.asarray(self.per_log_odds * (contribution - self.lowest[axis]))

    def at_reference(self, axis: int) -> float:
        """Points of the value from which those of others are measured."""
        reference = np.array([self.axes[axis].reference])
        return float(self.points(axis, axis_values(self.axes[axis], reference))[0])

    def at_common(self, axis: int) -> float:
        """Points of the value that is assumed where nothing is known."""
        common = np.array([self.axes[axis].common])
        return float(self.points(axis, axis_values(self.axes[axis], common))[0])

    def log_odds(self, predictors: pd.DataFrame) -> Floats:
        """Central log-odds of patients, shape (patient,)."""
        total = np.zeros(len(predictors))
        for j, axis in enumerate(self.axes):
            total += self.points(j, predictors[axis.predictor.name])
        return np.asarray(self.at_zero + total / self.per_log_odds)

    def total(self, log_odds: Floats) -> Floats:
        """Total points at log-odds."""
        return np.asarray(self.per_log_odds * (log_odds - self.at_zero))

    def risk(self, total: Floats) -> Floats:
        """Central risk at total points."""
        return expit(self.at_zero + np.asarray(total) / self.per_log_odds)


def model_of(fit: xr.DataTree) -> str:
    """What tables call a fit: ``horseshoe``, ``projection``, ``baseline`` or ``published``."""
    if PRINTED in fit.children:
        return "published"
    if "estimate" in fit.children:
        return "baseline"
    return "projection" if settings_of(fit)["engine"] == PROJECTED else "horseshoe"


def scale_of(fit: xr.DataTree, cohort: Cohort, axis_limits: AxisLimits = "study") -> Scale:
    """Central coefficients of a fit on the axes of a cohort.

    Parameters
    ----------
    fit : DataTree
    cohort : Cohort
    axis_limits : {"study", "rms"}

    Returns
    -------
    Scale

    Raises
    ------
    OptionError
        No predictor has an effect.
    """
    design, axes = design_of(fit), predictor_axes(cohort, axis_limits)
    intercept, beta = central_model(fit, design_matrix(design, _development(cohort)))
    beta = beta / design.sd
    columns = _columns(axes)
    ends = []
    for axis, own in zip(axes, columns, strict=True):
        contribution = encode_predictor(axis.predictor, axis_values(axis)) @ beta[own]
        ends.append((contribution.min(), np.ptp(contribution)))
    lowest, length = np.asarray(ends).T
    if not length.max() > 0:
        msg = f"in the {model_of(fit)} model no predictor has an effect: there is nothing to draw"
        raise OptionError(msg)
    return Scale(float(intercept - beta @ design.mean), beta, axes, columns, lowest, length)


def central_model(fit: xr.DataTree, matrix: Floats) -> tuple[float, Floats]:
    """Intercept and coefficients per SD by which a fit is read off a nomogram.

    Of a posterior the logistic projection of its posterior-mean risks of the patients given; of
    other fits their estimate.

    Parameters
    ----------
    fit : DataTree
    matrix : ndarray, shape (patient, coefficient)
        Standardised.

    Returns
    -------
    float, ndarray of shape (coefficient,)
    """
    intercept, beta = central_coefficients(fit)
    if "estimate" in fit.children:
        return float(intercept[0, 0]), beta[0, 0]
    inside = np.flatnonzero((beta != 0).any(axis=(0, 1)))
    found = project(matrix[:, inside], _mean_risk(intercept, beta, matrix)[np.newaxis])
    central = np.zeros(matrix.shape[1])
    central[inside] = found.coefficients[0]
    return float(found.intercept[0]), central


def _mean_risk(intercept: Floats, beta: Floats, matrix: Floats) -> Floats:
    mean = np.empty(len(matrix))
    for block, predictor in linear_predictor_blocks(intercept, beta, matrix):
        mean[block] = expit(predictor).mean(axis=(0, 1))
    return mean


def _development(cohort: Cohort) -> pd.DataFrame:
    return cohort.predictors[cohort.development]


def _columns(axes: Sequence[PredictorAxis]) -> tuple[slice, ...]:
    ends = np.cumsum([len(axis.predictor.terms) for axis in axes]).tolist()
    return tuple(slice(start, end) for start, end in zip([0, *ends], ends, strict=False))


def axis_values(axis: PredictorAxis, numbers: Floats | None = None) -> pd.Series:
    """Values of an axis, or others by number or code, as `design.encode_predictor` takes them."""
    numbers = axis.numbers if numbers is None else numbers
    if isinstance(axis.predictor, Continuous):
        return pd.Series(numbers)
    return pd.Series(level_categories(axis.predictor, numbers.astype(int)))
