"""Ridge as a competitor: one normal prior for all coefficients, its width learnt from the data.

Empirical Bayes: the prior SD is where Laplace's approximation of the marginal likelihood is
largest, and the posterior is taken for normal around its mode. Nothing says how uncertain the prior
SD itself is, which is what a full posterior adds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import ndtri

from bayes_cmvt.errors import DataError, OptionError
from bayes_cmvt.intervals import tails
from bayes_cmvt.logistic import patients_with_weight
from bayes_cmvt.posterior import expit

type Floats = NDArray[np.float64]

SCALES = 0.001, 10.0  # prior SD per SD of a column: from no effect at all to no shrinkage
LOOKED_AT = 9  # prior SDs tried before the search: the marginal likelihood may have two tops
SEARCHED_TO = 1e-3  # of the logarithm of the prior SD
ROUGH, EXACT = 1e-6, 1e-16  # Newton's decrement: while prior SDs are compared, and at the end
NEWTON_STEPS, HALVINGS = 100, 40
ROUNDING = 1e-12  # share of the log posterior that a step may lose


@dataclass(frozen=True, eq=False)
class RidgeFit:
    """A ridge logistic regression, with the normal approximation of its posterior.

    Attributes
    ----------
    intercept : float
        Log-odds where all columns are 0, at the posterior mode.
    beta : ndarray, shape (column,)
        Log odds ratios per unit of the columns as given, at the posterior mode.
    covariance : ndarray, shape (1 + column, 1 + column)
        Inverse curvature of the log posterior at its mode, intercept first.
    scale : float
        Prior SD of every coefficient.
    """

    intercept: float
    beta: Floats
    covariance: Floats
    scale: float


def fit_ridge(matrix: ArrayLike, outcome: ArrayLike, *, scale: float | None = None) -> RidgeFit:
    """Logistic regression with the prior N(0, scale²) on each coefficient, flat on the intercept.

    The prior SD maximises the marginal likelihood in Laplace's approximation (Tierney & Kadane
    1986, doi:10.1080/01621459.1986.10478240; MacKay 1992, doi:10.1162/neco.1992.4.5.720),

    ``l(b) - b'b / (2 scale²) - p log(scale) - ½ log|X'WX + P|`` at the mode b,

    between 0.001 and 10 per unit of the columns. Where the data speak for no effect at all it lies
    at the lower bound, and the limits of coefficients are then far too narrow: the known weakness
    of a prior that is estimated and taken for known.

    With more columns than patients all is computed in the space that the patients span; in the
    directions beyond it the posterior is the prior.

    Parameters
    ----------
    matrix : array_like, shape (patient, column)
        Standardised columns. A constant column keeps its prior.
    outcome : array_like of {0, 1}, shape (patient,)
    scale : float, optional
        Prior SD; default: chosen by the marginal likelihood.

    Returns
    -------
    RidgeFit

    Raises
    ------
    DataError
        One outcome only, shapes that differ, values that are not finite.
    OptionError
        A prior SD that is not above 0.

    Examples
    --------
    Odds 1 to 3 and 3 to 1 one unit below and above the mean; so wide a prior hardly matters:

    >>> counts = [30, 10, 10, 30]
    >>> x, y = np.repeat([-1.0, -1, 1, 1], counts), np.repeat([0, 1, 0, 1], counts)
    >>> round(float(fit_ridge(x[:, None], y, scale=10.0).beta[0]), 2)  # log 3
    1.1
    """
    columns, event, _ = patients_with_weight(matrix, outcome, None)
    if scale is not None and not 0 < scale < math.inf:
        msg = f"scale: found {scale:g}; a prior SD above 0 is needed"
        raise OptionError(msg)
    if event.min() == event.max():
        heading = "Ridge regression cannot be fitted"
        raise DataError(heading, [f"all {len(event)} patients have the outcome {event[0]:g}"])
    rows, directions = _spanned(columns)
    posterior = _Posterior(np.column_stack([np.ones(len(event)), rows]), event)
    found = scale or _chosen_scale(posterior)
    theta, covariance = posterior.normal(found)
    if directions is None:
        return RidgeFit(float(theta[0]), theta[1:], covariance, found)
    return RidgeFit(
        float(theta[0]), directions @ theta[1:], _all_columns(covariance, directions, found), found
    )


def ridge_risk(fit: RidgeFit, matrix: ArrayLike, ci_prob: float = 0.95) -> Floats:
    """Lower limit, median and upper limit of risks: normal on the log-odds scale.

    Parameters
    ----------
    fit : RidgeFit
    matrix : array_like, shape (patient, column)
        Columns in the units of the fit.
    ci_prob : float in (0, 1)

    Returns
    -------
    ndarray, shape (3, patient)

    Raises
    ------
    OptionError
        A probability outside (0, 1).
    """
    rows = np.asarray(matrix, dtype=np.float64)
    cross, spread = fit.covariance[0, 1:], fit.covariance[1:, 1:]
    variance = fit.covariance[0, 0] + 2 * rows @ cross + ((rows @ spread) * rows).sum(axis=1)
    log_odds = fit.intercept + rows @ fit.beta
    half = -ndtri(tails(ci_prob)[0]) * np.sqrt(variance)
    return expit(np.stack([log_odds - half, log_odds, log_odds + half]))


def ridge_interval(fit: RidgeFit, ci_prob: float = 0.95) -> Floats:
    """Limits of the coefficients: mode -/+ normal quantile times posterior SD.

    Parameters
    ----------
    fit : RidgeFit
    ci_prob : float in (0, 1)

    Returns
    -------
    ndarray, shape (column, 2)
        Log odds ratios per unit of the columns as fitted.

    Raises
    ------
    OptionError
        A probability outside (0, 1).
    """
    half = -ndtri(tails(ci_prob)[0]) * np.sqrt(np.diagonal(fit.covariance)[1:])
    return np.column_stack([fit.beta - half, fit.beta + half])


def log_marginal(matrix: ArrayLike, outcome: ArrayLike, scale: float) -> float:
    """Log marginal likelihood at a prior SD, in Laplace's approximation, intercept flat.

    Parameters
    ----------
    matrix : array_like, shape (patient, column)
    outcome : array_like of {0, 1}, shape (patient,)
        Both outcomes.
    scale : float
        Above 0.

    Returns
    -------
    float
        Of the integral over intercept and coefficients; the flat prior of the intercept has
        density 1.
    """
    columns, event, _ = patients_with_weight(matrix, outcome, None)
    rows, _ = _spanned(columns)
    posterior = _Posterior(np.column_stack([np.ones(len(event)), rows]), event)
    return posterior.log_marginal(scale, EXACT) + math.log(2 * math.pi) / 2


# --- The posterior in the space that the patients span -------------------------------------------


def _spanned(columns: Floats) -> tuple[Floats, Floats | None]:
    """Columns, or with more of them than patients: their scores on orthonormal directions.

    The prior is the same in all directions, so that the scores' coefficients have it too.
    """
    patients, width = columns.shape
    if width <= patients:
        return columns, None
    left, sizes, directions = np.linalg.svd(columns, full_matrices=False)
    return left * sizes, directions.T


def _all_columns(covariance: Floats, directions: Floats, scale: float) -> Floats:
    """Covariance of all columns from that in the directions; beyond them it is the prior's."""
    width = len(directions)
    inside = covariance[1:, 1:] - scale**2 * np.eye(directions.shape[1])
    whole = np.empty((1 + width, 1 + width))
    whole[0, 0] = covariance[0, 0]
    whole[0, 1:] = whole[1:, 0] = directions @ covariance[1:, 0]
    whole[1:, 1:] = directions @ inside @ directions.T + scale**2 * np.eye(width)
    return whole


def _chosen_scale(posterior: _Posterior) -> float:
    """Prior SD of the largest marginal likelihood: the best of a few, then Brent's search."""
    from scipy.optimize import minimize_scalar

    def loss(log_scale: float) -> float:
        return -posterior.log_marginal(math.exp(log_scale), ROUGH)

    # upwards, for each mode is sought from the one before
    tried = np.linspace(math.log(SCALES[0]), math.log(SCALES[1]), LOOKED_AT)
    losses = [loss(one) for one in tried]
    best = int(np.argmin(losses))
    around = tried[max(best - 1, 0)], tried[min(best + 1, LOOKED_AT - 1)]
    search = minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": SEARCHED_TO})
    found = search.x if search.fun < losses[best] else tried[best]
    return math.exp(found)


class _Posterior:
    """The log posterior of intercept and coefficients, climbed from where it was left."""

    def __init__(self, rows: Floats, outcome: Floats) -> None:
        self._rows = rows
        self._outcome = outcome
        share = float(outcome.mean())
        self._theta = np.zeros(rows.shape[1])
        self._theta[0] = math.log(share / (1 - share))

    def normal(self, scale: float) -> tuple[Floats, Floats]:
        """Mode and inverse curvature at a prior SD."""
        _, root = self._climb(scale, EXACT)
        return self._theta.copy(), cho_solve((root, True), np.eye(len(self._theta)))

    def log_marginal(self, scale: float, decrement: float) -> float:
        """Laplace's approximation, without the ½ log 2π of the intercept."""
        height, root = self._climb(scale, decrement)
        columns = len(self._theta) - 1
        log_root = float(np.log(np.diagonal(root)).sum())  # half the log determinant
        return height - columns * math.log(scale) - log_root

    def _climb(self, scale: float, decrement: float) -> tuple[float, Floats]:
        """Climb to the mode by Newton's steps, halved where they lead down.

        Returns the height and the lower Cholesky factor of the curvature.
        """
        precision = np.full(len(self._theta), scale**-2.0)
        precision[0] = 0.0
        eta = self._rows @ self._theta
        height = self._height(eta, self._theta, precision)
        for _ in range(NEWTON_STEPS):
            risk = expit(eta)
            slope = self._rows.T @ (self._outcome - risk) - precision * self._theta
            curvature = (self._rows.T * (risk * (1 - risk))) @ self._rows
            curvature.flat[:: len(precision) + 1] += precision
            root, _ = cho_factor(curvature, lower=True, check_finite=False)
            step = cho_solve((root, True), slope, check_finite=False)
            if slope @ step < decrement:
                return height, root
            for _ in range(HALVINGS):
                theta = self._theta + step
                eta = self._rows @ theta
                reached = self._height(eta, theta, precision)
                if reached >= height - ROUNDING * abs(height):
                    break
                step /= 2
            self._theta, height = theta, reached
        return height, root

    def _height(self, eta: Floats, theta: Floats, precision: Floats) -> float:
        """Log-likelihood and log prior, its constant left out."""
        likelihood = self._outcome @ eta - np.logaddexp(0.0, eta).sum()
        return float(likelihood - precision @ theta**2 / 2)
