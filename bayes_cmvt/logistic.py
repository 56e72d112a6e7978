"""Logistic regression by maximum likelihood, with Firth's penalty, and FLAC.

Everything is computed in a basis of the columns: the intercept, then each column less what the
intercept and the columns before it explain, with (weighted) variance 1. Units, shifts and near
collinearity then matter no more than their effect on the answer, a column of which nothing is left
is recognised, and the last coefficient of the basis is that of the last column up to a factor, so
that it can be held fixed.

Weights are numbers of copies: a weight of 2 is the same patient twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from bayes_cmvt.compilation import compiled, compiled_within
from bayes_cmvt.errors import DataError, quoted

ALIASED_BELOW = 1e-11  # share of a column's norm that others leave; R's glm has the same
CONVERGED_BELOW = 1e-9  # largest change of a linear predictor, or standard errors, by a last step
NEARLY_BELOW = 1e-3  # largest change of a linear predictor where few standard errors decide
NEWTON_STEPS, FIRTH_STEPS, HALVINGS = 200, 500, 30
WINDOW = 5  # steps: linear predictors' drift is judged over one to two windows
GAIN_EXHAUSTED = 1e-10  # of the log-likelihood: from here on a drift is separation
LEAST_DRIFT = 0.5  # Newton's steps go on by about 1 each where there is no maximum
AGAINST_OUTCOME = 1e-6  # share of the largest drift that rounding may turn the wrong way
SINGULAR_BELOW = 1e-14  # share of the diagonal left at a pivot of the information
RIDGE = 1e-8  # share of the diagonal added to a singular information: the step still rises
LONGEST_FIRTH_STEP = 5.0  # per standard deviation, as Heinze & Ploner's logistf
MEMORY, NEAR = 3, 1.0  # steps that are extrapolated from, once linear predictors change less
ROUNDING = 1e-13  # share of the log-likelihood that a step may lose
CONVERGED, SEPARATED, NOT_CONVERGED = 0, 1, 2
STATUSES = ("converged", "separated", "not_converged")

type Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LogisticFit:
    """A fitted logistic model, with what is needed to judge whether it may be used.

    Attributes
    ----------
    intercept : float
        Log-odds where all columns are 0.
    coefficients : ndarray, shape (column,)
        Log odds ratios per unit of the columns as given; 0 where aliased.
    covariance : ndarray, shape (1 + column, 1 + column)
        Inverse Fisher information at the estimate, intercept first; NaN where aliased. Of FLAC,
        that of its augmented data.
    log_likelihood : float
        Unpenalised, of the patients, at the estimate.
    penalised : float
        What the method maximises: Firth's log-likelihood + ½ log|information|, FLAC's
        log-likelihood of the augmented data; of maximum likelihood `log_likelihood` itself.
    method : str
        ``"ml"``, ``"firth"`` or ``"flac"``.
    status : str
        ``"converged"``; ``"separated"``, where a combination of columns tells the outcome of some
        or all patients, so that no maximum exists (numbers are then of the last step, the
        log-likelihood is its limit); ``"not_converged"``; ``"one_class"``, where all patients had
        the same outcome: nothing is estimated, the intercept is infinite, coefficients are 0.
    aliased : ndarray of bool, shape (column,)
        Left out, being constant or an exact combination of earlier columns.
    """

    intercept: float
    coefficients: Floats
    covariance: Floats
    log_likelihood: float
    penalised: float
    method: str
    status: str
    aliased: NDArray[np.bool_]

    @property
    def se(self) -> Floats:
        """Standard errors of the coefficients, shape (column,); NaN where aliased."""
        return np.sqrt(np.diagonal(self.covariance)[1:])

    @property
    def intercept_se(self) -> float:
        """Standard error of the intercept."""
        return math.sqrt(self.covariance[0, 0])

    @property
    def z(self) -> Floats:
        """Coefficients over their standard errors, shape (column,); NaN where aliased."""
        return self.coefficients / self.se

    @property
    def p_value(self) -> Floats:
        """Wald's two-sided P values, shape (column,); NaN where aliased."""
        return np.asarray(2 * ndtr(-np.abs(self.z)))

    @property
    def deviance(self) -> float:
        """Minus twice the unpenalised log-likelihood."""
        return -2 * self.log_likelihood

    @property
    def aic(self) -> float:
        """Akaike's criterion: deviance + 2 (1 + columns that are not aliased)."""
        return self.deviance + 2 * (1 + int((~self.aliased).sum()))


def fit_maximum_likelihood(
    columns: ArrayLike, outcome: ArrayLike, *, weights: ArrayLike | None = None
) -> LogisticFit:
    """Logistic regression by maximum likelihood: Newton's method with step-halving.

    The maximum exists where Newton's method converges quadratically. Where the linear predictors
    drift on although the likelihood has no more to gain, and no patient's against the outcome, a
    combination of columns separates the outcomes (Albert & Anderson 1984,
    doi:10.1093/biomet/71.1.1), and `status` says so.

    Parameters
    ----------
    columns : array_like, shape (patient, column)
        In any units, without an intercept. Constant columns and exact combinations of earlier
        ones (less than 1e-11 of their norm is left) get the coefficient 0.
    outcome : array_like of {0, 1}, shape (patient,)
    weights : array_like, shape (patient,), optional
        Numbers of copies; they need not be whole.

    Returns
    -------
    LogisticFit

    Raises
    ------
    DataError
        Shapes that differ, values that are not finite, an outcome other than 0 and 1, negative
        weights, no patient.

    Examples
    --------
    Odds 1 to 3 without and 3 to 1 with the risk factor:

    >>> x, y = [[0], [0], [0], [0], [1], [1], [1], [1]], [0, 0, 0, 1, 0, 1, 1, 1]
    >>> fit = fit_maximum_likelihood(x, y)
    >>> round(float(np.exp(fit.coefficients[0])), 9), fit.status
    (9.0, 'converged')
    >>> fit_maximum_likelihood([[0], [1]], [0, 1], weights=[4, 4]).status
    'separated'
    """
    return _fitted(*patients_with_weight(columns, outcome, weights), "ml")[0]


def fit_firth(
    columns: ArrayLike, outcome: ArrayLike, *, weights: ArrayLike | None = None
) -> LogisticFit:
    """Logistic regression with Firth's penalty: finite also where outcomes are separated.

    Maximises log-likelihood + ½ log|information|, the log posterior under Jeffreys' prior (Firth
    1993, doi:10.1093/biomet/80.1.27; Heinze & Schemper 2002, doi:10.1002/sim.1047), by solving
    ``Σ (y - p + h (½ - p)) x = 0`` with h the diagonal of the weighted hat matrix.

    Parameters
    ----------
    columns : array_like, shape (patient, column)
    outcome : array_like of {0, 1}, shape (patient,)
    weights : array_like, shape (patient,), optional
        Numbers of copies.

    Returns
    -------
    LogisticFit
        Standard errors come from the Fisher information without the penalty, as in logistf.

    Raises
    ------
    DataError
        As `fit_maximum_likelihood`.

    Examples
    --------
    Of a two by two table it adds ½ to each cell:

    >>> fit = fit_firth([[0], [0], [1], [1]], [0, 1, 0, 1], weights=[3, 1, 0, 4])
    >>> round(float(np.exp(fit.coefficients[0])), 6)  # (3.5 * 4.5) / (1.5 * 0.5)
    21.0
    """
    return _fitted(*patients_with_weight(columns, outcome, weights), "firth")[0]


def fit_flac(
    columns: ArrayLike, outcome: ArrayLike, *, weights: ArrayLike | None = None
) -> LogisticFit:
    """Firth's logistic regression with added covariate: for risks, which Firth's pull to ½.

    Firth's estimate is that of data to which each patient is added with weight h/2 once with the
    event and once without. Here an additional 0/1 column marks what was added, the model is fitted
    by maximum likelihood, and risks are those with the column at 0 (Puhr et al. 2017,
    doi:10.1002/sim.7273). Their sum is the number of events.

    A maximum exists whenever both outcomes occur: the added rows have both outcomes at every
    patient's columns, so that no direction but the mark's against the intercept could separate,
    and that one the patients' two outcomes forbid.

    Parameters
    ----------
    columns : array_like, shape (patient, column)
    outcome : array_like of {0, 1}, shape (patient,)
    weights : array_like, shape (patient,), optional
        Numbers of copies.

    Returns
    -------
    LogisticFit
        Intercept and coefficients of a patient; the mark's coefficient is left out.

    Raises
    ------
    DataError
        As `fit_maximum_likelihood`.

    Examples
    --------
    >>> fit = fit_flac([[0], [0], [1]], [0, 1, 1], weights=[3, 1, 4])
    >>> risk = 1 / (1 + np.exp(-linear_predictor(fit, [[0], [1]])))
    >>> round(float(4 * risk.sum()), 9)  # 5 events
    5.0
    """
    matrix, event, copies = patients_with_weight(columns, outcome, weights)
    firth, hat = _fitted(matrix, event, copies, "firth")
    if firth.status != "converged":
        return replace(firth, method="flac")
    mark = np.repeat([0.0, 1.0], len(event))
    fit, _ = _fitted(
        np.column_stack([np.vstack([matrix, matrix]), mark]),
        np.append(event, np.full(len(event), 0.5)),
        np.append(copies, copies * hat),
        "flac",
    )
    of_patient = replace(
        fit,
        coefficients=fit.coefficients[:-1].copy(),
        covariance=fit.covariance[:-1, :-1].copy(),
        aliased=fit.aliased[:-1].copy(),
    )
    reached = log_likelihood(linear_predictor(of_patient, matrix), event, copies)
    return replace(of_patient, log_likelihood=reached)


def fit_guarded(
    columns: ArrayLike, outcome: ArrayLike, *, weights: ArrayLike | None = None
) -> LogisticFit:
    """Maximum likelihood, or Firth's estimate where the outcomes are separated.

    Parameters
    ----------
    columns : array_like, shape (patient, column)
    outcome : array_like of {0, 1}, shape (patient,)
    weights : array_like, shape (patient,), optional
        Numbers of copies.

    Returns
    -------
    LogisticFit
        `method` says which of the two it is.

    Raises
    ------
    DataError
        As `fit_maximum_likelihood`.

    Examples
    --------
    >>> fit_guarded([[0], [0], [1], [1]], [0, 1, 0, 1]).method
    'ml'
    >>> fit_guarded([[0], [0], [1], [1]], [0, 0, 1, 1]).method
    'firth'
    """
    arrays = patients_with_weight(columns, outcome, weights)
    fit = _fitted(*arrays, "ml")[0]
    if fit.status in ("separated", "not_converged"):
        return _fitted(*arrays, "firth")[0]
    return fit


def linear_predictor(fit: LogisticFit, columns: ArrayLike) -> Floats:
    """Log-odds of patients by a fitted model.

    Parameters
    ----------
    fit : LogisticFit
    columns : array_like, shape (patient, column)
        In the units of the fit.

    Returns
    -------
    ndarray, shape (patient,)

    Raises
    ------
    DataError
        Another number of columns than the fit has.

    Examples
    --------
    >>> fit = fit_maximum_likelihood([[0], [0], [1], [1]], [0, 1, 0, 1])
    >>> np.round(linear_predictor(fit, [[0], [1]]), 9).tolist()
    [0.0, 0.0]
    """
    matrix = np.asarray(columns, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] != len(fit.coefficients):
        raise DataError(
            _UNUSABLE,
            [f"columns have shape {matrix.shape}; (patient, {len(fit.coefficients)}) is needed"],
        )
    return np.asarray(fit.intercept + matrix @ fit.coefficients)


# --- From arrays to a fit ------------------------------------------------------------------------

_UNUSABLE = "logistic regression"


def patients_with_weight(
    columns: ArrayLike, outcome: ArrayLike, weights: ArrayLike | None
) -> tuple[Floats, Floats, Floats]:
    """Columns, outcomes and weights of the patients with a weight, or all that is wrong."""
    matrix = np.ascontiguousarray(columns, dtype=np.float64)
    event = np.ascontiguousarray(outcome, dtype=np.float64)
    copies = np.ones(len(event)) if weights is None else np.asarray(weights, dtype=np.float64)
    if matrix.ndim != 2 or event.shape != matrix.shape[:1] or copies.shape != event.shape:
        found = f"columns {matrix.shape}, outcome {event.shape}, weights {copies.shape}"
        raise DataError(_UNUSABLE, [f"shapes differ or are not (patient, column): {found}"])
    problems = []
    if not np.isfinite(matrix).all():
        rows = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
        problems.append(f"columns are not finite in rows {quoted(rows.tolist())}, counted from 0")
    if not ((event == 0) | (event == 1)).all():
        rows = np.flatnonzero((event != 0) & (event != 1))
        problems.append(f"the outcome is neither 0 nor 1 in rows {quoted(rows.tolist())}")
    if not ((copies >= 0) & (copies < np.inf)).all():
        problems.append("weights must be numbers of copies, 0 or more and finite")
    elif not copies.any():
        problems.append("there is no patient with a weight above 0")
    if problems:
        raise DataError(_UNUSABLE, problems)
    present = copies > 0
    if present.all():
        return matrix, event, np.ascontiguousarray(copies)
    return matrix[present], event[present], copies[present]


def _fitted(
    columns: Floats, outcome: Floats, weights: Floats, method: str
) -> tuple[LogisticFit, Floats]:
    """Fit by a method; with the leverage of each copy of a patient."""
    if outcome.min() == outcome.max():
        return _one_class(columns.shape[1], float(outcome[0]), method), np.zeros(len(outcome))
    found = fit_columns(columns, outcome, weights, method == "firth")
    fit = LogisticFit(
        intercept=float(found.beta[0]),
        coefficients=found.beta[1:],
        covariance=found.covariance,
        log_likelihood=found.log_likelihood,
        penalised=found.penalised,
        method=method,
        status=STATUSES[found.status],
        aliased=found.aliased,
    )
    return fit, found.hat


def _one_class(width: int, outcome: float, method: str) -> LogisticFit:
    """What is left to say where all patients had the same outcome."""
    return LogisticFit(
        intercept=math.copysign(math.inf, outcome - 0.5),
        coefficients=np.zeros(width),
        covariance=np.full((1 + width, 1 + width), np.nan),
        log_likelihood=0.0,
        penalised=0.0,
        method=method,
        status="one_class",
        aliased=np.zeros(width, dtype=np.bool_),
    )


# --- The basis -----------------------------------------------------------------------------------


class Basis(NamedTuple):
    """Columns as combinations of orthogonal ones: (1, columns used) = rows @ triangle.

    Attributes
    ----------
    rows : ndarray, shape (patient, 1 + column used)
        Ones, then what is left of each column, with weighted mean 0 and variance 1.
    triangle : ndarray, shape (1 + column used, 1 + column used)
        Upper triangular.
    aliased : ndarray of bool, shape (column,)
        Columns that are not used.
    """

    rows: Floats
    triangle: Floats
    aliased: NDArray[np.bool_]


@compiled
def orthogonal_basis(columns: Floats, weights: Floats) -> Basis:
    """Take from each column what the intercept and earlier columns explain.

    Each column is taken from all later ones at once, the stable order of Gram and Schmidt (Björck
    1967, doi:10.1007/BF01934122): of an exact combination rounding error alone is left.
    """
    patients, width = columns.shape
    total = weights.sum()
    rows, triangle = np.ones((patients, 1 + width)), np.zeros((1 + width, 1 + width))
    triangle[0, 0] = 1.0
    original = _centre(columns, weights, rows, triangle[0])
    aliased = np.zeros(width, dtype=np.bool_)
    for j in range(1, 1 + width):
        squared = 0.0
        for i in range(patients):
            squared += weights[i] * rows[i, j] * rows[i, j]
        aliased[j - 1] = squared <= ALIASED_BELOW * ALIASED_BELOW * original[j]
        if not aliased[j - 1]:
            _divide_and_take(rows, weights, j, math.sqrt(squared / total), triangle[j])
    if aliased.any():
        kept = np.append(np.zeros(1, dtype=np.int64), np.flatnonzero(~aliased) + 1)
        rows = np.ascontiguousarray(rows[:, kept])
        triangle = np.ascontiguousarray(triangle[kept][:, kept])
    return Basis(rows, triangle, aliased)


@compiled_within
def _centre(columns: Floats, weights: Floats, rows: Floats, mean: Floats) -> Floats:
    """Write columns less their means beside the ones; sums of squares, infinite of constants."""
    patients, width = columns.shape
    raw, squared = np.zeros(1 + width), np.zeros(1 + width)
    for i in range(patients):
        for j in range(width):
            mean[1 + j] += weights[i] * columns[i, j]
            raw[1 + j] += weights[i] * columns[i, j] * columns[i, j]
    mean[1:] /= weights.sum()
    for i in range(patients):
        for j in range(width):
            rows[i, 1 + j] = columns[i, j] - mean[1 + j]
            squared[1 + j] += weights[i] * rows[i, 1 + j] * rows[i, 1 + j]
    for j in range(1, 1 + width):
        if squared[j] <= ALIASED_BELOW * ALIASED_BELOW * raw[j]:
            squared[j] = np.inf
    return squared


@compiled_within
def _divide_and_take(rows: Floats, weights: Floats, j: int, sd: float, shares: Floats) -> None:
    """Divide column j by its SD and take it from all later ones; write what was taken."""
    patients, width = rows.shape
    whole = patients - patients % 4
    for i in range(patients):
        rows[i, j] /= sd
    for i in range(0, whole, 4):
        first, second = weights[i] * rows[i, j], weights[i + 1] * rows[i + 1, j]
        third, fourth = weights[i + 2] * rows[i + 2, j], weights[i + 3] * rows[i + 3, j]
        for k in range(j + 1, width):
            shares[k] += (first * rows[i, k] + second * rows[i + 1, k]) + (
                third * rows[i + 2, k] + fourth * rows[i + 3, k]
            )
    for i in range(whole, patients):
        for k in range(j + 1, width):
            shares[k] += weights[i] * rows[i, j] * rows[i, k]
    shares[j + 1 :] /= weights.sum()
    for i in range(patients):
        for k in range(j + 1, width):
            rows[i, k] -= rows[i, j] * shares[k]
    shares[j] = sd


@compiled
def log_scale(triangle: Floats) -> float:
    """Half the log determinant that the information of the columns has more than the basis's."""
    total = 0.0
    for a in range(len(triangle)):
        total += math.log(triangle[a, a])
    return total


# --- Linear algebra in the basis -----------------------------------------------------------------


@compiled_within
def _products(rows: Floats, weights: Floats, size: int) -> Floats:
    """Lower triangle of rows' diag(weights) rows for the first columns, four rows at a time."""
    patients = len(rows)
    sums = np.zeros((size, size))
    whole = patients - patients % 4
    for i in range(0, whole, 4):
        for a in range(size):
            first, second = weights[i] * rows[i, a], weights[i + 1] * rows[i + 1, a]
            third, fourth = weights[i + 2] * rows[i + 2, a], weights[i + 3] * rows[i + 3, a]
            for b in range(a + 1):
                sums[a, b] += (first * rows[i, b] + second * rows[i + 1, b]) + (
                    third * rows[i + 2, b] + fourth * rows[i + 3, b]
                )
    for i in range(whole, patients):
        for a in range(size):
            first = weights[i] * rows[i, a]
            for b in range(a + 1):
                sums[a, b] += first * rows[i, b]
    return sums


@compiled_within
def _factorise(matrix: Floats) -> bool:
    """Overwrite the lower triangle with its Cholesky factor; False where it is singular."""
    for a in range(len(matrix)):
        diagonal = matrix[a, a]
        pivot = diagonal
        for b in range(a):
            total = matrix[a, b]
            for c in range(b):
                total -= matrix[a, c] * matrix[b, c]
            matrix[a, b] = total / matrix[b, b]
            pivot -= matrix[a, b] * matrix[a, b]
        if not pivot > SINGULAR_BELOW * diagonal:
            return False
        matrix[a, a] = math.sqrt(pivot)
    return True


@compiled_within
def _solved(root: Floats, right: Floats) -> Floats:
    """Solution of root root' x = right."""
    size = len(root)
    x = right.copy()
    for a in range(size):
        for c in range(a):
            x[a] -= root[a, c] * x[c]
        x[a] /= root[a, a]
    for a in range(size - 1, -1, -1):
        x[a] /= root[a, a]
        for c in range(a):
            x[c] -= root[a, c] * x[a]
    return x


@compiled_within
def _inverse_transposed(root: Floats) -> Floats:
    """Transposed inverse of a lower triangular matrix: upper triangular."""
    size = len(root)
    inverse = np.zeros((size, size))
    for a in range(size):
        inverse[a, a] = 1 / root[a, a]
        for b in range(a + 1, size):
            total = 0.0
            for c in range(a, b):
                total -= root[b, c] * inverse[a, c]
            inverse[a, b] = total / root[b, b]
    return inverse


@compiled_within
def _hat_diagonal(rows: Floats, variance: Floats, inverse: Floats) -> Floats:
    """Leverage v x'(information)⁻¹x of each row, from the transposed inverse root."""
    patients, size = rows.shape
    hat, part = np.empty(patients), np.empty((4, size))
    for block in range(0, patients, 4):
        i = min(block, max(0, patients - 4))  # the last block may repeat rows
        last = patients - 1
        k, m, n = min(i + 1, last), min(i + 2, last), min(i + 3, last)
        part[:] = 0.0
        for a in range(size):
            first, second, third, fourth = rows[i, a], rows[k, a], rows[m, a], rows[n, a]
            for b in range(a, size):
                part[0, b] += first * inverse[a, b]
                part[1, b] += second * inverse[a, b]
                part[2, b] += third * inverse[a, b]
                part[3, b] += fourth * inverse[a, b]
        part *= part
        for row, item in enumerate((i, k, m, n)):
            hat[item] = variance[item] * part[row].sum()
    return hat


@compiled_within
def _combined(rows: Floats, gamma: Floats) -> Floats:
    """Linear predictors by the first coefficients of the basis."""
    predictor = np.zeros(len(rows))
    for i in range(len(rows)):
        total = 0.0
        for a in range(len(gamma)):
            total += rows[i, a] * gamma[a]
        predictor[i] = total
    return predictor


@compiled_within
def _weighted_sums(rows: Floats, values: Floats, size: int) -> Floats:
    """Sums of the first columns times values."""
    sums = np.zeros(size)
    for i in range(len(rows)):
        for a in range(size):
            sums[a] += rows[i, a] * values[i]
    return sums


@compiled_within
def _of_columns(basis: Basis, gamma: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """Coefficients and their covariance, from those of the basis and spread @ spread'."""
    size, width = len(gamma), 1 + len(basis.aliased)
    moved, factor = gamma.copy(), spread.copy()
    for a in range(size - 1, -1, -1):
        moved[a] /= basis.triangle[a, a]
        factor[a] /= basis.triangle[a, a]
        for c in range(a):
            moved[c] -= basis.triangle[c, a] * moved[a]
            factor[c] -= basis.triangle[c, a] * factor[a]
    products = _products(np.ascontiguousarray(factor.T), np.ones(size), size)
    kept = np.append(np.zeros(1, dtype=np.int64), np.flatnonzero(~basis.aliased) + 1)
    beta, covariance = np.zeros(width), np.full((width, width), np.nan)
    for a in range(size):
        beta[kept[a]] = moved[a]
        for b in range(a + 1):
            covariance[kept[a], kept[b]] = products[a, b]
            covariance[kept[b], kept[a]] = products[a, b]
    return beta, covariance


# --- The likelihood and its maxima ---------------------------------------------------------------


@compiled
def log_likelihood(predictor: Floats, outcome: Floats, weights: Floats) -> float:
    """Weighted sum of yη - log(1 + exp(η))."""
    total = 0.0
    for i in range(len(predictor)):
        eta = predictor[i]
        # outcome and shortfall apart: yη - max(η, 0) would cancel where η is large
        missed = (1 - outcome[i]) * eta if eta > 0 else -outcome[i] * eta
        total -= weights[i] * (missed + math.log1p(math.exp(-abs(eta))))
    return total


@compiled_within
def _moments(predictor: Floats, outcome: Floats, residual: Floats, variance: Floats) -> None:
    """Write y - p and p(1 - p) of each row, without cancellation where p is near 0 or 1."""
    for i in range(len(predictor)):
        small = math.exp(-abs(predictor[i]))
        common, rare = 1 / (1 + small), small / (1 + small)
        variance[i] = rare * common
        if predictor[i] > 0:
            residual[i] = outcome[i] * rare - (1 - outcome[i]) * common
        else:
            residual[i] = outcome[i] * common - (1 - outcome[i]) * rare


@compiled_within
def _separates(drift: Floats, outcome: Floats) -> bool:
    """Whether linear predictors drift towards the outcomes and, but for rounding, none against."""
    largest, against = 0.0, 0.0
    for i in range(len(drift)):
        largest = max(largest, abs(drift[i]))
        if outcome[i] == 1:
            against = max(against, -drift[i])
        elif outcome[i] == 0:
            against = max(against, drift[i])
        else:
            against = max(against, abs(drift[i]))
    return largest > LEAST_DRIFT and against <= AGAINST_OUTCOME * largest


@compiled
def cautious_log_odds(outcome: Floats, weights: Floats) -> float:
    """Log-odds of the event with half a patient added to both sides."""
    events, total = 0.0, 0.0
    for i in range(len(outcome)):
        events += weights[i] * outcome[i]
        total += weights[i]
    return math.log((events + 0.5) / (total - events + 0.5))


@compiled_within
def _information_root(rows: Floats, curvature: Floats, size: int) -> tuple[Floats, bool]:
    """Cholesky factor of the information, with a ridge where it is singular: then False."""
    root = _products(rows, curvature, size)
    regular = _factorise(root)
    if not regular:
        root = _products(rows, curvature, size)
        for a in range(size):
            root[a, a] += RIDGE * (root[a, a] + RIDGE)
        _factorise(root)
    return root, regular


@compiled_within
def _settled(change: float, gain: float) -> bool:
    """Whether a last step was small: on all linear predictors, or in standard errors."""
    return change < CONVERGED_BELOW or (change < NEARLY_BELOW and gain < CONVERGED_BELOW**2)


@compiled
def maximise_likelihood(
    rows: Floats, outcome: Floats, weights: Floats, start: Floats, free: int
) -> tuple[Floats, float, int]:
    """Maximise over the first `free` coefficients of the basis, the others held at their start.

    Returns the coefficients, the log-likelihood and the position in `STATUSES`.
    """
    gamma, eta = start.copy(), _combined(rows, start)
    reached = log_likelihood(eta, outcome, weights)
    residual, variance = np.empty(len(rows)), np.empty(len(rows))
    earlier, recent = eta, eta  # up to two windows and one window ago
    for step in range(1, NEWTON_STEPS + 1):
        _moments(eta, outcome, residual, variance)
        root, regular = _information_root(rows, weights * variance, free)
        if not regular and _separates(eta - earlier, outcome):
            return gamma, reached, SEPARATED
        score = _weighted_sums(rows, weights * residual, free)
        delta = _solved(root, score)
        change = _combined(rows, delta)
        least, largest = reached - ROUNDING * (1 + abs(reached)), np.abs(change).max()
        gain = np.dot(score, delta)
        reached = log_likelihood(eta + change, outcome, weights)
        for _ in range(HALVINGS):
            if reached >= least:
                break
            delta *= 0.5
            change *= 0.5
            reached = log_likelihood(eta + change, outcome, weights)
        gamma[:free] += delta
        eta = eta + change
        if regular and _settled(largest, gain):
            return gamma, reached, CONVERGED
        if step % WINDOW == 0:
            if gain < GAIN_EXHAUSTED and _separates(eta - earlier, outcome):
                return gamma, reached, SEPARATED
            earlier, recent = recent, eta
    return gamma, reached, NOT_CONVERGED


class Penalised(NamedTuple):
    """The penalised log-likelihood at an estimate, and what the next step needs.

    Attributes
    ----------
    value : float
        Log-likelihood + ½ log|information|; minus infinity where that is singular.
    pull : ndarray, shape (patient,)
        y - p + h (½ - p).
    curvature : ndarray, shape (patient,)
        (1 + h) p (1 - p).
    """

    value: float
    pull: Floats
    curvature: Floats


@compiled_within
def _penalised(rows: Floats, outcome: Floats, weights: Floats, eta: Floats) -> Penalised:
    """Penalised log-likelihood at linear predictors."""
    pull, curvature = np.empty(len(rows)), np.empty(len(rows))
    _moments(eta, outcome, pull, curvature)
    root = _products(rows, weights * curvature, rows.shape[1])
    if not _factorise(root):
        return Penalised(-np.inf, pull, curvature)
    value = log_likelihood(eta, outcome, weights)
    for a in range(len(root)):
        value += math.log(root[a, a])
    hat = _hat_diagonal(rows, curvature, _inverse_transposed(root))
    for i in range(len(rows)):
        pull[i] -= hat[i] * 0.5 * math.tanh(0.5 * eta[i])
        curvature[i] *= 1 + hat[i]
    return Penalised(value, pull, curvature)


@compiled_within
def _extrapolated(delta: Floats, moved: Floats, bent: Floats) -> Floats:
    """Step to where the last steps' own changes say that the step vanishes (Anderson 1965).

    `bent` holds the changes of the step over the last moves, shape (move, coefficient).
    """
    size = len(bent)
    root, right = np.zeros((size, size)), np.zeros(size)
    for a in range(size):
        right[a] = np.dot(bent[a], delta)
        for b in range(a + 1):
            root[a, b] = np.dot(bent[a], bent[b])
    step = delta.copy()
    if _factorise(root):
        share = _solved(root, right)
        for a in range(size):
            step -= share[a] * (moved[a] + bent[a])
    return step


@compiled
def maximise_penalised(
    rows: Floats, outcome: Floats, weights: Floats, start: Floats, free: int
) -> tuple[Floats, float, int]:
    """As `maximise_likelihood`, with the penalty ½ log|information| of all columns of the basis.

    Steps are Newton's on the data augmented with weights h/2 for both outcomes, which in a
    saturated model is exact; with the information of the data alone, a patient alone in a cell
    sends them to and fro for ever. As h changes with the estimate they converge linearly, at times
    slowly, and are extrapolated (doi:10.1145/321296.321305).
    """
    gamma, eta = start.copy(), _combined(rows, start)
    now = _penalised(rows, outcome, weights, eta)
    moved, bent = np.zeros((MEMORY, free)), np.zeros((MEMORY, free))
    last, step = np.zeros(free), np.zeros(free)
    for move in range(FIRTH_STEPS):
        root = _products(rows, weights * now.curvature, free)
        if not (now.value > -np.inf and _factorise(root)):
            break
        score = _weighted_sums(rows, weights * now.pull, free)
        delta = _solved(root, score)
        if move > 0:
            moved[(move - 1) % MEMORY], bent[(move - 1) % MEMORY] = step, delta - last
        last = delta
        largest, gain = np.abs(_combined(rows, delta)).max(), np.dot(score, delta)
        delta = delta * min(1.0, LONGEST_FIRTH_STEP / np.abs(delta).max())
        known = min(move, MEMORY) if largest < NEAR else 0
        step = _extrapolated(delta, moved[:known], bent[:known])
        least = now.value - ROUNDING * (1 + abs(now.value))
        for halvings in range(HALVINGS):
            change = _combined(rows, step)
            now = _penalised(rows, outcome, weights, eta + change)
            if now.value >= least:
                break
            step = delta * 0.5**halvings
        gamma[:free] += step
        eta = eta + change
        if _settled(largest, gain):
            return gamma, now.value, CONVERGED
    return gamma, now.value, NOT_CONVERGED


class Fitted(NamedTuple):
    """A fit in the units of the columns; 0 and NaN where aliased.

    Attributes
    ----------
    beta : ndarray, shape (1 + column,)
    covariance : ndarray, shape (1 + column, 1 + column)
    aliased : ndarray of bool, shape (column,)
    hat : ndarray, shape (patient,)
        Leverage of each copy of a patient; 0 unless there is a penalty.
    log_likelihood, penalised : float
    status : int
        Position in `STATUSES`.
    """

    beta: Floats
    covariance: Floats
    aliased: NDArray[np.bool_]
    hat: Floats
    log_likelihood: float
    penalised: float
    status: int


@compiled
def fit_columns(columns: Floats, outcome: Floats, weights: Floats, penalty: bool) -> Fitted:
    """Fit by maximum likelihood, or with Firth's penalty."""
    basis = orthogonal_basis(columns, weights)
    size = basis.rows.shape[1]
    start = np.zeros(size)
    start[0] = cautious_log_odds(outcome, weights)
    if penalty:
        gamma, reached, status = maximise_penalised(basis.rows, outcome, weights, start, size)
    else:
        gamma, reached, status = maximise_likelihood(basis.rows, outcome, weights, start, size)
    eta = _combined(basis.rows, gamma)
    hat, spread = np.zeros(len(eta)), np.full((size, size), np.nan)
    residual, variance = np.empty(len(eta)), np.empty(len(eta))
    _moments(eta, outcome, residual, variance)
    root = _products(basis.rows, weights * variance, size)
    if _factorise(root):
        spread = _inverse_transposed(root)
        if penalty:
            hat = _hat_diagonal(basis.rows, variance, spread)
    beta, covariance = _of_columns(basis, gamma, spread)
    value = log_likelihood(eta, outcome, weights)
    penalised = reached + log_scale(basis.triangle) if penalty else value
    return Fitted(beta, covariance, basis.aliased, hat, value, penalised, status)
