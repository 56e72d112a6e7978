"""LASSO for logistic regression: penalised paths and the choice of the penalty by cross-validation.

With patients' shares w_i (their copies over the sum of copies), columns z standardised over them
(divisor n) and an intercept that is not penalised, each penalty λ has the coefficients that
minimise glmnet's objective (Friedman, Hastie & Tibshirani 2010, doi:10.18637/jss.v033.i01)

    F(β) = -Σ_i w_i log p(y_i | β) + λ Σ_j |β_j|

They satisfy: the gradient g of the first term is -λ sign(β_j) where β_j is not 0, within ±λ
elsewhere, and 0 for the intercept. Penalties are solved from the largest down, each in steps:

1. the path's tangent and curvature give the start, dβ/dλ = -H⁻¹ sign(β), H the matrix of second
   derivatives among the coefficients in use (Park & Hastie 2007,
   doi:10.1111/j.1467-9868.2007.00607.x, with a second-order term);
2. F is replaced by its quadratic model at the start, for the columns in use and those whose
   gradient is close to λ (Tibshirani et al. 2012, doi:10.1111/j.1467-9868.2011.01004.x), and the
   model is minimised exactly: solved for the coefficients in use by Cholesky's factor, cut where
   one of them reaches 0, which is then left out, and continued with the column whose gradient
   exceeds λ most (coordinate descent would need hundreds of sweeps where columns are collinear);
3. the step towards its minimum is shortened so that F falls: the third derivative along a step
   that changes log-odds by at most δ is at most δ times the second (Bach 2010,
   doi:10.1214/09-EJS521), hence no search is needed;
4. 2 and 3 are repeated, with the old H while log-odds have hardly moved, until *all* columns
   satisfy the conditions above. A column that was left out wrongly shows there and comes in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_cmvt.compilation import compiled, compiled_summing, compiled_within
from bayes_cmvt.errors import OptionError, nearest, quoted

type Floats = NDArray[np.float64]
type Counts = NDArray[np.int64]
type Flags = NDArray[np.bool_]

LOSSES = ("mse", "deviance", "auc")
CROSS_VALIDATIONS = ("exact", "glmnet")
MSE, DEVIANCE, AUC = 0, 1, 2
LARGEST_VALUE = 1e100  # of a column: squares are sums of finite numbers

PENALTIES = 100
SMALLEST_SHARE, SMALLEST_SHARE_WIDE = 1e-4, 0.01  # of the largest penalty; with n < columns
FEWEST_PENALTIES = 5  # solved before glmnet's own sequence may end early
LEAST_GAIN, LARGEST_RATIO = 1e-5, 0.999  # of the deviance ratio, where it ends
CLIP = 1e-5  # of probabilities, in the deviance

MOST_STEPS = 200  # of Newton's method for one penalty
OPTIMAL = 1e-10  # violation of the conditions, in units of the largest penalty
OPTIMAL_HERE = 1e-4  # and of the penalty that is solved
ROUNDING = 1e-13  # and what sums over residuals are exact to, in units of the mean residual
MOVED_LITTLE = 0.05  # log-odds: second derivatives are used again within this distance
LARGEST_DROP = 0.5  # of the penalty at once: what lies between is solved on the way
SAFE_MOVE = 1.5  # log-odds: a full step within it lowers the objective
CLOSE = 0.5  # of the step from the last penalty: gradients within it of the penalty count as close
RIDGE = 1e-11  # of the diagonal: keeps the factor finite where columns are dependent


@dataclass(frozen=True, eq=False)
class LassoPath:
    """LASSO fits along a decreasing sequence of penalties.

    Attributes
    ----------
    penalties : ndarray, shape (penalty,)
        glmnet's lambda.
    intercept : ndarray, shape (penalty,)
    coefficients : ndarray, shape (penalty, column)
        Per unit of the columns as given; exactly 0 where a column is left out or constant.
    deviance_ratio : ndarray, shape (penalty,)
        Share of the null deviance that the fit explains.
    null_deviance : float
        -2 log-likelihood of the model without predictors, summed over copies.
    converged : bool
        Every fit satisfies the optimality conditions.
    """

    penalties: Floats
    intercept: Floats
    coefficients: Floats
    deviance_ratio: Floats
    null_deviance: float
    converged: bool

    @property
    def selected(self) -> Flags:
        """Columns kept at each penalty, shape (penalty, column)."""
        return np.asarray(self.coefficients != 0)

    @property
    def df(self) -> Counts:
        """Number of columns kept at each penalty, shape (penalty,)."""
        return self.selected.sum(axis=1)


@dataclass(frozen=True, eq=False)
class CrossValidated:
    """The path on all patients, and its loss in patients left out.

    Attributes
    ----------
    path : LassoPath
    loss, cv : str
    mean, se : ndarray, shape (penalty,)
        glmnet's cvm and cvsd.
    index_min, index_1se : int
        Places on the path of the best mean, and of the largest penalty within one `se` of it.
    folds_used : int
        Folds that the mean is about; without those in which an auc is not defined.
    converged : bool
        All fits, those of the folds included, satisfy the optimality conditions.
    """

    path: LassoPath
    loss: str
    cv: str
    mean: Floats
    se: Floats
    index_min: int
    index_1se: int
    folds_used: int
    converged: bool

    @property
    def lambda_min(self) -> float:
        """Largest penalty that attains the best mean."""
        return float(self.path.penalties[self.index_min])

    @property
    def lambda_1se(self) -> float:
        """Largest penalty whose mean is within one standard error of the best."""
        return float(self.path.penalties[self.index_1se])


def lasso_path(
    columns: ArrayLike,
    outcome: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    penalties: ArrayLike | None = None,
) -> LassoPath:
    """LASSO logistic regression along a sequence of penalties, as glmnet defines it.

    Parameters
    ----------
    columns : array_like, shape (patient, column)
        In any units, without a column for the intercept.
    outcome : array_like of {0, 1}, shape (patient,)
    weights : array_like, shape (patient,), optional
        Numbers of copies: all results are those of the rows repeated so often.
    penalties : array_like, shape (penalty,), optional
        Positive and decreasing; all of them are solved. Default: glmnet's sequence, 100 values
        equally spaced on the log scale from the smallest penalty that keeps no column down to
        1e-4 of it (0.01 with fewer patients than columns), ended from the fifth on where the
        deviance ratio gains less than 1e-5 or exceeds 0.999.

    Returns
    -------
    LassoPath

    Raises
    ------
    OptionError
        Shapes that do not fit, values that are not finite, outcomes other than 0 and 1 or all
        alike, negative weights, penalties not positive and decreasing; without `penalties`, no
        column that goes with the outcome at all.

    Examples
    --------
    >>> path = lasso_path([[0, 3], [1, 1], [2, 2], [3, 1], [4, 3]], [0, 0, 1, 0, 1])
    >>> path.selected[0].tolist(), path.selected[1].tolist()
    ([False, False], [True, False])
    >>> float(path.penalties[0].round(6))  # mean of z (y - 2/5), z the standardised first column
    0.282843
    """
    patients = _checked(columns, outcome, weights)
    patients = _rows(patients, np.flatnonzero(patients.weights))
    given = _checked_penalties(penalties)
    start, plan = np.zeros(1, dtype=np.int64), Plan(0, False)
    return _as_path(_fit(patients, given, start, plan)[0], patients, penalties is None)


def cross_validate(
    columns: ArrayLike,
    outcome: ArrayLike,
    folds: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    loss: str = "mse",
    cv: str = "exact",
) -> CrossValidated:
    """LASSO path and its cross-validated loss, as cv.glmnet defines it.

    The loss of a fold is its weighted mean over the patients in it; `mean` averages folds by
    their weights s_k, and ``se`` is √(Σ s_k (loss_k - mean)² / Σ s_k / (folds - 1)).

    - ``mse``: squared errors of both classes, twice the Brier score;
    - ``deviance``: -2 log-likelihood, probabilities clipped to [1e-5, 1 - 1e-5];
    - ``auc``: within each fold, ties counting ½. Folds whose patients have all the same outcome
      are left out of mean and ``se``, as cv.glmnet does.

    Two turns of cv.glmnet are not taken: with fewer than 10 patients to a fold it replaces the auc
    by the deviance, with fewer than 3 it computes ``se`` from patients instead of folds.

    Parameters
    ----------
    columns : array_like, shape (patient, column)
    outcome : array_like of {0, 1}, shape (patient,)
    folds : array_like of int, shape (patient,)
        Any labels. Copies of a patient share the fold of their row.
    weights : array_like, shape (patient,), optional
        Numbers of copies.
    loss : {"mse", "deviance", "auc"}
    cv : {"exact", "glmnet"}
        ``exact``: every fold is solved at the penalties of the path on all patients. ``glmnet``:
        at its own sequence, interpolated linearly in the penalty, with the coefficients of its
        ends outside (what cv.glmnet does unless it is given penalties).

    Returns
    -------
    CrossValidated

    Raises
    ------
    OptionError
        As `lasso_path`; unknown `loss` or `cv`; fewer than 2 folds with weight; a fold without
        which all outcomes are alike; an auc that is defined in fewer than 2 folds.

    Examples
    --------
    >>> columns = [[0], [1], [2], [3], [4], [5], [6], [7]]
    >>> found = cross_validate(columns, [0, 0, 1, 0, 1, 0, 1, 1], [1, 2, 3, 4, 1, 2, 3, 4])
    >>> round(found.lambda_min, 4), round(found.lambda_1se, 4), found.mean[:2].round(4).tolist()
    (0.0676, 0.2728, [0.6829, 0.6761])
    """
    patients = _checked(columns, outcome, weights)
    if loss not in LOSSES:
        heading = f"loss must be one of {quoted(LOSSES)}, not {loss!r}{nearest(loss, LOSSES)}"
        raise OptionError(heading)
    if cv not in CROSS_VALIDATIONS:
        heading = f"cv must be one of {quoted(CROSS_VALIDATIONS)}, not {cv!r}"
        raise OptionError(heading + nearest(cv, CROSS_VALIDATIONS))
    patients, start = _by_fold(patients, folds)
    plan = Plan(LOSSES.index(loss), cv == "glmnet")
    fitted, losses, converged = _fit(patients, np.empty(0), start, plan)
    path = _as_path(fitted, patients, True)
    mean, se, used = _summary(losses, np.add.reduceat(patients.weights, start[:-1]))
    best = mean if loss != "auc" else -mean
    at = int(np.argmin(best))
    within = int(np.argmax(best <= best[at] + se[at]))
    return CrossValidated(path, loss, cv, mean, se, at, within, used, converged)


class Patients(NamedTuple):
    """Checked arrays: columns (patient, column), outcome and weights (patient,)."""

    columns: Floats
    outcome: Floats
    weights: Floats


class Plan(NamedTuple):
    """A cross-validation: place of the loss in `LOSSES`, whether folds have own sequences."""

    loss: int
    own: bool


def _as_path(fitted: Fitted, patients: Patients, own: bool) -> LassoPath:
    if own and len(fitted.penalties) < FEWEST_PENALTIES:
        heading = "no column goes with the outcome: glmnet's sequence of penalties cannot start"
        raise OptionError(heading)
    return LassoPath(
        penalties=fitted.penalties,
        intercept=fitted.coefficients[:, 0].copy(),
        coefficients=fitted.coefficients[:, 1:].copy(),
        deviance_ratio=1 - fitted.deviance[1:] / fitted.deviance[0],
        null_deviance=float(fitted.deviance[0] * patients.weights.sum()),
        converged=fitted.converged,
    )


def _summary(losses: Floats, size: Floats) -> tuple[Floats, Floats, int]:
    """Means over folds, their standard errors, and how many folds have a loss."""
    defined = np.isfinite(losses[:, 0])
    used = int(defined.sum())
    if used < 2:
        heading = (
            f"the auc is defined in {used} of {len(losses)} folds and must be in 2 or more: "
            "the patients of the others have all the same outcome"
        )
        raise OptionError(heading)
    share = (size[defined] / size[defined].sum())[:, None]
    mean = np.sum(share * losses[defined], axis=0)
    se = np.sqrt(np.sum(share * (losses[defined] - mean) ** 2, axis=0) / (used - 1))
    return mean, se, used


def _checked(columns: ArrayLike, outcome: ArrayLike, weights: ArrayLike | None) -> Patients:
    """Patients as arrays that fit together, or everything that is wrong with them."""
    matrix, events = _numbers("columns", columns), _numbers("outcome", outcome)
    copies = np.ones(events.shape) if weights is None else _numbers("weights", weights)
    if matrix.ndim != 2 or 0 in matrix.shape or {events.shape, copies.shape} != {matrix.shape[:1]}:
        heading = (
            f"columns {matrix.shape}, outcome {events.shape} and weights {copies.shape} "
            "must have the shapes (patient, column), (patient,) and (patient,), none of them 0"
        )
        raise OptionError(heading)
    problems = []
    beyond = np.flatnonzero(~(np.abs(matrix) <= LARGEST_VALUE).all(axis=0))
    if len(beyond):
        problems.append(
            f"columns: column {quoted(beyond)} (from 0) has values that are not finite, "
            f"or beyond {LARGEST_VALUE:g}"
        )
    if not np.isin(events, (0, 1)).all():
        problems.append("outcome: values other than 0 and 1")
    if not (np.isfinite(copies).all() and (copies >= 0).all()):
        problems.append("weights: values that are negative or not finite")
    elif len(np.unique(events[copies > 0])) < 2:
        problems.append("outcome: all alike among the patients with weight; both must occur")
    if problems:
        heading = "a LASSO cannot be fitted to these patients"
        raise OptionError(heading, problems)
    return Patients(matrix, events, copies)


def _numbers(name: str, values: ArrayLike) -> Floats:
    try:
        return np.array(values, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        heading = f"{name} must be numbers: {error}"
        raise OptionError(heading) from None


def _checked_penalties(penalties: ArrayLike | None) -> Floats:
    if penalties is None:
        return np.empty(0)
    given = _numbers("penalties", penalties)
    if given.ndim != 1 or not len(given) or not np.isfinite(given).all():
        heading = "penalties must be finite numbers, shape (penalty,), at least one"
        raise OptionError(heading)
    if given[-1] <= 0 or (np.diff(given) >= 0).any():
        heading = "penalties must be positive, each smaller than the one before"
        raise OptionError(heading)
    return given


def _rows(patients: Patients, rows: Counts) -> Patients:
    return Patients(patients.columns[rows], patients.outcome[rows], patients.weights[rows])


def _by_fold(patients: Patients, folds: ArrayLike) -> tuple[Patients, Counts]:
    """Patients with weight, fold after fold, and where each fold starts and the last one ends."""
    labels = np.asarray(folds)
    if labels.shape != patients.outcome.shape or labels.dtype.kind not in "iu":
        heading = (
            f"folds must be whole numbers, shape (patient,), not {labels.dtype} {labels.shape}"
        )
        raise OptionError(heading)
    weighted = np.flatnonzero(patients.weights > 0)
    order = weighted[np.argsort(labels[weighted], kind="stable")]
    names, start = np.unique(labels[order], return_index=True)
    if len(names) < 2:
        heading = f"folds: patients with weight lie in fold {names[0]} alone; 2 are needed"
        raise OptionError(heading)
    grouped = _rows(patients, order)
    events = np.add.reduceat(grouped.outcome, start)
    start = np.append(start, len(order))
    without = events.sum() - events
    alike = names[(without == 0) | (without == len(order) - np.diff(start))]
    if len(alike):
        heading = f"folds: without fold {quoted(alike)} all outcomes are alike"
        raise OptionError(heading)
    return grouped, start


class Rows(NamedTuple):
    """The patients of one fit.

    Attributes
    ----------
    columns : ndarray, shape (1 + column, patient)
        Ones, then the standardised columns; 0 throughout where a column is constant.
    side : ndarray, shape (patient,)
        1 with the event, -1 without.
    share : ndarray, shape (patient,)
        Weights over their sum.
    mean, scale : ndarray, shape (1 + column,)
        Of the columns as given. For the intercept and for constant columns 0 and 1.
    """

    columns: Floats
    side: Floats
    share: Floats
    mean: Floats
    scale: Floats


class Point(NamedTuple):
    """Where a fit stands, on the standardised scale.

    Attributes
    ----------
    coefficients, gradient : ndarray, shape (1 + column,)
        Intercept first; derivatives of the loss without the penalty.
    linear, residual, curvature : ndarray, shape (patient,)
        Log-odds, and the first and second derivative of a patient's loss times its share.
    """

    coefficients: Floats
    gradient: Floats
    linear: Floats
    residual: Floats
    curvature: Floats


class Model(NamedTuple):
    """The quadratic model of the loss, and room to minimise it; shape (1 + column,) or square.

    Attributes
    ----------
    working : ndarray of int
        Columns it is about; the first `size` [0].
    active : ndarray of int
        Columns whose coefficient is not 0, the intercept first; the first `size` [1].
    size : ndarray of int, shape (3,)
        Working columns, active columns, and rows of the factor that are up to date.
    hessian : ndarray
        Second derivatives, by column.
    factor : ndarray
        Cholesky factor of those of the active columns, its diagonal inverted, by place.
    sign, slope, target, step : ndarray
        Signs, gradient and coefficients in the course of the minimisation, by column; solution
        of the last linear equation, by place.
    """

    working: Counts
    active: Counts
    size: Counts
    hessian: Floats
    factor: Floats
    sign: Floats
    slope: Floats
    target: Floats
    step: Floats


class Aim(NamedTuple):
    """A penalty to be solved, the one before, and the smallest that keeps no column."""

    penalty: float
    before: float
    largest: float


class Fitted(NamedTuple):
    """A path as the kernels leave it.

    Attributes
    ----------
    penalties : ndarray, shape (penalty,)
    coefficients : ndarray, shape (penalty, 1 + column)
        Per unit of the columns as given, intercept first.
    deviance : ndarray, shape (1 + penalty,)
        -2 log-likelihood over the number of copies, without predictors first; the latter
        throughout for a fold that is solved at given penalties.
    converged : bool
    """

    penalties: Floats
    coefficients: Floats
    deviance: Floats
    converged: bool


@compiled_within
def _standardised(patients: Patients, first: int, last: int) -> tuple[Rows, float]:
    """All patients but those from `first` to before `last`, and the number of copies."""
    n, p, copies = len(patients.outcome) - (last - first), patients.columns.shape[1], 0.0
    rows = Rows(np.ones((1 + p, n)), np.empty(n), np.empty(n), np.zeros(1 + p), np.ones(1 + p))
    for place in range(n):
        i = place if place < first else place + last - first
        rows.side[place] = 2.0 * patients.outcome[i] - 1.0
        rows.share[place] = patients.weights[i]
        copies += patients.weights[i]
        for j in range(p):
            rows.columns[1 + j, place] = patients.columns[i, j]
    for place in range(n):
        rows.share[place] /= copies
    for j in range(1, 1 + p):
        rows.mean[j], rows.scale[j] = _standardise(rows.columns[j], rows.share)
    return rows, copies


@compiled_within
def _standardise(column: Floats, share: Floats) -> tuple[float, float]:
    """Centre and scale a column; mean and SD. A constant one becomes 0, with mean 0 and SD 1."""
    first, lowest, highest, mean, square = column[0], column[0], column[0], 0.0, 0.0
    for i in range(len(column)):
        lowest, highest = min(lowest, column[i]), max(highest, column[i])
        column[i] -= first  # little is lost where the spread is small beside the mean
        mean += share[i] * column[i]
    for i in range(len(column)):
        column[i] -= mean
        square += share[i] * column[i] * column[i]
    if lowest == highest or square == 0:
        column[:] = 0.0
        return 0.0, 1.0
    for i in range(len(column)):
        column[i] /= math.sqrt(square)
    return first + mean, math.sqrt(square)


@compiled_within
def _started(rows: Rows) -> tuple[Point, Model]:
    """The model without predictors, evaluated, and room for the others."""
    p, n = rows.columns.shape
    point = Point(np.zeros(p), np.empty(p), np.empty(n), np.empty(n), np.empty(n))
    events = others = 0.0
    for i in range(n):
        if rows.side[i] > 0:
            events += rows.share[i]
        else:
            others += rows.share[i]
    point.coefficients[0] = math.log(events / others)
    point.linear[:] = point.coefficients[0]
    model = Model(
        np.empty(p, dtype=np.int64),
        np.zeros(p, dtype=np.int64),
        np.array([0, 1, 0]),
        np.empty((p, p)),
        np.empty((p, p)),
        np.empty(p),
        np.empty(p),
        np.empty(p),
        np.empty(p),
    )
    _evaluate(rows, point)
    return point, model


@compiled_within
def _evaluate(rows: Rows, point: Point) -> None:
    """Derivatives of the loss at the log-odds of the point."""
    side, share, linear = rows.side, rows.share, point.linear
    residual, curvature = point.residual, point.curvature
    for i in range(len(linear)):
        residual[i] = math.exp(-abs(linear[i]))
    for i in range(len(linear)):
        odds = residual[i]
        likely = 1.0 / (1.0 + odds)
        surprise = odds * likely if linear[i] * side[i] >= 0 else likely
        residual[i] = -side[i] * share[i] * surprise
        curvature[i] = share[i] * odds * likely * likely
    _products(rows.columns, residual, point.gradient)


@compiled_summing
def _products(columns: Floats, values: Floats, found: Floats) -> None:
    """Sum of each column times the values."""
    for j in range(len(columns)):
        total = 0.0
        for i in range(len(values)):
            total += columns[j, i] * values[i]
        found[j] = total


@compiled_summing
def _second_derivatives(columns: Floats, curvature: Floats, model: Model, room: Floats) -> None:
    """Second derivatives of the loss among the working columns."""
    working, hessian = model.working, model.hessian
    for a in range(model.size[0]):
        j = working[a]
        for i in range(len(curvature)):
            room[i] = curvature[i] * columns[j, i]
        for b in range(a + 1):
            k = working[b]
            total = 0.0
            for i in range(len(curvature)):
                total += room[i] * columns[k, i]
            hessian[j, k] = total
            hessian[k, j] = total


@compiled_within
def _violation(point: Point, penalty: float) -> float:
    """Largest violation of the optimality conditions."""
    worst = float(abs(point.gradient[0]))
    for j in range(1, len(point.gradient)):
        slope, at = point.gradient[j], point.coefficients[j]
        if at > 0:
            here = abs(slope + penalty)
        elif at < 0:
            here = abs(slope - penalty)
        else:
            here = abs(slope) - penalty
        worst = max(worst, here)
    return worst


@compiled_within
def _build(rows: Rows, point: Point, model: Model, close: float, room: Floats) -> None:
    """Quadratic model at the point for columns in use and those whose gradient is close to λ."""
    working, active, size = model.working, model.active, model.size
    size[:] = 0
    for j in range(len(point.coefficients)):
        at = point.coefficients[j]
        if j == 0 or at != 0:
            active[size[1]] = j
            size[1] += 1
            model.sign[j] = 0.0 if j == 0 else math.copysign(1.0, at)
        if j == 0 or at != 0 or abs(point.gradient[j]) > close:
            working[size[0]] = j
            size[0] += 1
    _second_derivatives(rows.columns, point.curvature, model, room)


@compiled_within
def _missing(point: Point, model: Model, limit: float) -> bool:
    """Whether a column whose gradient exceeds the limit is not among the working ones."""
    place = 0
    for j in range(len(point.gradient)):
        if place < model.size[0] and model.working[place] == j:
            place += 1
        elif abs(point.gradient[j]) > limit:
            return True
    return False


@compiled_within
def _factorise(model: Model) -> None:
    """Bring the Cholesky factor up to date with the active columns."""
    factor, active = model.factor, model.active
    for r in range(model.size[2], model.size[1]):
        for c in range(r + 1):
            total = model.hessian[active[r], active[c]]
            if c == r:
                total *= 1.0 + RIDGE
            for k in range(c):
                total -= factor[r, k] * factor[c, k]
            if c < r:
                factor[r, c] = total * factor[c, c]
            else:
                floor = RIDGE * model.hessian[active[r], active[r]]
                factor[r, r] = 1.0 / math.sqrt(max(total, floor))
    model.size[2] = model.size[1]


@compiled_within
def _solve(model: Model) -> None:
    """Replace `step` by H⁻¹ `step` among the active columns."""
    factor, step, count = model.factor, model.step, model.size[1]
    for r in range(count):
        total = step[r]
        for c in range(r):
            total -= factor[r, c] * step[c]
        step[r] = total * factor[r, r]
    for r in range(count - 1, -1, -1):
        step[r] *= factor[r, r]
        for c in range(r):
            step[c] -= factor[r, c] * step[r]


@compiled_within
def _minimise(point: Point, model: Model, penalty: float, tolerance: float) -> None:
    """Minimise the quadratic model with its penalty; the coefficients are left in `target`."""
    size, active, working = model.size, model.active, model.working
    model.target[:] = point.coefficients
    model.slope[:] = point.gradient
    for _ in range(10 + 4 * size[0]):
        _factorise(model)
        for a in range(size[1]):
            j = active[a]
            model.step[a] = -(model.slope[j] + penalty * model.sign[j])
        _solve(model)
        share, place = _until_zero(model)
        for a in range(size[1]):
            model.target[active[a]] += share * model.step[a]
        if place == 0 and size[1] == size[0]:
            break
        for b in range(size[0]):
            j = working[b]
            for a in range(size[1]):
                model.slope[j] += share * model.hessian[j, active[a]] * model.step[a]
        if place > 0:
            _leave(model, place)
        elif not _enter(model, penalty + tolerance):
            break


@compiled_within
def _until_zero(model: Model) -> tuple[float, int]:
    """Share of the step until the first coefficient reaches 0 and its place; 1 and 0 if none."""
    share, place = 1.0, 0
    for a in range(1, model.size[1]):
        j = model.active[a]
        if (model.target[j] + model.step[a]) * model.sign[j] <= 0:
            here = abs(model.target[j]) / max(abs(model.step[a]), 1e-300)
            if here <= share:
                share, place = here, a
    return share, place


@compiled_within
def _leave(model: Model, place: int) -> None:
    """Take a column out of the active ones."""
    model.target[model.active[place]] = 0.0
    for a in range(place, model.size[1] - 1):
        model.active[a] = model.active[a + 1]
    model.size[1] -= 1
    model.size[2] = place


@compiled_within
def _enter(model: Model, limit: float) -> bool:
    """Make the column active whose slope exceeds the limit most, if there is one."""
    best = -1
    for b in range(1, model.size[0]):
        j = model.working[b]
        if model.target[j] == 0 and abs(model.slope[j]) > limit:
            best, limit = j, abs(model.slope[j])
    if best < 0:
        return False
    model.sign[best] = -math.copysign(1.0, model.slope[best])
    model.active[model.size[1]] = best
    model.size[1] += 1
    return True


@compiled_within
def _move(rows: Rows, point: Point, model: Model, guess: bool, change: Floats) -> float:
    """Go from the coefficients towards `target`, as far as is safe; largest change of log-odds.

    What lies ahead is a guess, or the minimum of the model.
    """
    coefficients, target, linear = point.coefficients, model.target, point.linear
    change[:] = 0.0
    for b in range(model.size[0]):
        j = model.working[b]
        distance = target[j] - coefficients[j]
        if distance != 0:
            for i in range(len(change)):
                change[i] += distance * rows.columns[j, i]
    largest = 0.0
    inward = 0.0  # among patients whose log-odds approach 0: only their second derivatives grow
    for i in range(len(change)):
        largest = max(largest, abs(change[i]))
        inward = max(inward, abs(change[i]) if change[i] * linear[i] < 0 else 0.0)
    bound = largest if guess else inward
    share = 1.0 if bound <= SAFE_MOVE else max(SAFE_MOVE, math.log1p(bound)) / bound
    for i in range(len(change)):
        linear[i] += share * change[i]
    for b in range(model.size[0]):
        j = model.working[b]
        whole = target[j]  # which may be exactly 0
        coefficients[j] = whole if share == 1.0 else (1.0 - share) * coefficients[j] + share * whole
    return share * largest


@compiled_within
def _predict(rows: Rows, point: Point, model: Model, change: float, room: Floats) -> float:
    """Follow tangent and curvature of the path to another penalty; largest change of log-odds."""
    active, step, target = model.active, model.step, model.target
    _factorise(model)
    for a in range(model.size[1]):
        step[a] = -model.sign[active[a]]
    _solve(model)
    for a in range(model.size[1]):
        target[active[a]] = point.coefficients[active[a]] + change * step[a]
    _bend(rows, point, model, room)
    _solve(model)
    for a in range(model.size[1]):
        j = active[a]
        target[j] += 0.5 * change * change * step[a]
        if target[j] * model.sign[j] < 0:
            target[j] = 0.0
    return _move(rows, point, model, True, room)


@compiled_summing
def _bend(rows: Rows, point: Point, model: Model, room: Floats) -> None:
    """Replace the tangent in `step` by minus the derivative of H along it, times it."""
    columns = rows.columns
    room[:] = 0.0
    for a in range(model.size[1]):
        j, slope = model.active[a], model.step[a]
        for i in range(len(room)):
            room[i] += slope * columns[j, i]
    for i in range(len(room)):
        # the derivative of p (1 - p) is p (1 - p) (1 - 2 p), and 1 - 2 p is minus this:
        skew = rows.side[i] + 2.0 * point.residual[i] / rows.share[i]
        room[i] *= skew * point.curvature[i] * room[i]
    for a in range(model.size[1]):
        j, total = model.active[a], 0.0
        for i in range(len(room)):
            total += columns[j, i] * room[i]
        model.step[a] = total


@compiled_within
def _solve_penalty(
    rows: Rows, point: Point, model: Model, aim: Aim, moved: float, room: Floats
) -> tuple[float, bool]:
    """Solve for one penalty; distance from where the model was built, and whether it is solved."""
    if model.size[1] > 1:
        moved += _predict(rows, point, model, aim.penalty - aim.before, room)
    tolerance = min(OPTIMAL * aim.largest, OPTIMAL_HERE * aim.penalty)
    close = aim.penalty - CLOSE * max(aim.before - aim.penalty, 0.0)
    for _ in range(MOST_STEPS):
        _evaluate(rows, point)
        worst = _violation(point, aim.penalty)
        if worst <= tolerance or worst <= ROUNDING * np.sum(np.abs(point.residual)):
            return moved, True
        if moved > MOVED_LITTLE or _missing(point, model, aim.penalty + tolerance):
            _build(rows, point, model, close, room)
            moved = 0.0
        _minimise(point, model, aim.penalty, tolerance)
        moved += _move(rows, point, model, False, room)
    return moved, False


@compiled_within
def _path(rows: Rows, given: Floats, copies: float, judged: bool) -> Fitted:
    """Solve the given penalties or else glmnet's, one after another."""
    point, model = _started(rows)
    largest, room = 0.0, np.empty(len(rows.share))
    for j in range(1, len(point.gradient)):
        largest = max(largest, abs(point.gradient[j]))
    own = len(given) == 0
    penalties = _sequence(largest, copies, len(rows.mean) - 1) if own else given
    found = np.empty((len(penalties), len(rows.mean)))
    deviance = np.full(1 + len(penalties), _mean_deviance(rows, point))
    before, moved, converged = largest, np.inf, True
    for k in range(len(penalties)):
        while before * LARGEST_DROP > penalties[k]:
            aim = Aim(before * LARGEST_DROP, before, largest)
            moved, solved = _solve_penalty(rows, point, model, aim, moved, room)
            before = aim.penalty
        aim = Aim(penalties[k], before, largest)
        moved, solved = _solve_penalty(rows, point, model, aim, moved, room)
        converged, before = converged and solved, aim.penalty
        _record(rows, point, found[k])
        if own or judged:
            deviance[1 + k] = _mean_deviance(rows, point)
        if own and k + 1 >= FEWEST_PENALTIES and _at_end(deviance[: k + 2]):
            return Fitted(penalties[: k + 1], found[: k + 1], deviance[: k + 2], converged)
    return Fitted(penalties, found, deviance, converged)


@compiled_within
def _record(rows: Rows, point: Point, found: Floats) -> None:
    """Write down the coefficients per unit of the columns as given."""
    found[0] = point.coefficients[0]
    for j in range(1, len(found)):
        found[j] = point.coefficients[j] / rows.scale[j]
        found[0] -= found[j] * rows.mean[j]


@compiled_within
def _at_end(deviance: Floats) -> bool:
    """Whether glmnet's own sequence ends at the last of these penalties."""
    null, before, last = deviance[0], deviance[-2], deviance[-1]
    return bool(1.0 - last / null > LARGEST_RATIO or (before - last) / null < LEAST_GAIN)


@compiled_within
def _mean_deviance(rows: Rows, point: Point) -> float:
    """-2 log-likelihood over the number of copies."""
    total = 0.0
    for i in range(len(rows.share)):
        odds = math.exp(-abs(point.linear[i]))
        against = max(-rows.side[i] * point.linear[i], 0.0)
        total += rows.share[i] * (against + math.log1p(odds))
    return 2.0 * total


@compiled_within
def _sequence(largest: float, copies: float, columns: int) -> Floats:
    """Penalties of glmnet; a single one where no column goes with the outcome."""
    if largest <= ROUNDING:
        return np.full(1, ROUNDING)
    smallest = SMALLEST_SHARE_WIDE if copies < columns else SMALLEST_SHARE
    penalties = np.empty(PENALTIES)
    for k in range(PENALTIES):
        penalties[k] = largest * smallest ** (k / (PENALTIES - 1))
    return penalties


@compiled
def _fit(
    patients: Patients, given: Floats, start: Counts, plan: Plan
) -> tuple[Fitted, Floats, bool]:
    """Path on all patients, loss of each fold at each of its penalties, all fits converged.

    Fold k holds the patients from start[k] to before start[k + 1].
    """
    rows, copies = _standardised(patients, 0, 0)
    whole = _path(rows, given, copies, True)
    losses, converged = np.empty((len(start) - 1, len(whole.penalties))), whole.converged
    for k in range(len(losses)):
        rows, copies = _standardised(patients, start[k], start[k + 1])
        part = _path(rows, np.empty(0) if plan.own else whole.penalties, copies, False)
        converged = converged and part.converged
        for at in range(len(whole.penalties)):
            coefficients = _interpolated(part, whole.penalties[at])
            losses[k, at] = _loss(patients, start[k : k + 2], coefficients, plan.loss)
    return whole, losses, converged


@compiled_within
def _interpolated(fitted: Fitted, penalty: float) -> Floats:
    """Coefficients at a penalty, linear between those of the path, constant outside."""
    penalties, found, after = fitted.penalties, np.empty(fitted.coefficients.shape[1]), 0
    while after < len(penalties) - 1 and penalties[after] > penalty:
        after += 1
    before, share = max(after - 1, 0), 1.0
    if penalties[after] < penalty < penalties[before]:
        share = (penalties[before] - penalty) / (penalties[before] - penalties[after])
    for j in range(len(found)):
        found[j] = fitted.coefficients[after, j]
        if share < 1.0:
            found[j] = share * found[j] + (1.0 - share) * fitted.coefficients[before, j]
    return found


@compiled_within
def _loss(patients: Patients, limits: Counts, coefficients: Floats, loss: int) -> float:
    """Weighted mean loss of the patients of a fold; NaN for an auc without both outcomes."""
    columns = patients.columns[limits[0] : limits[1]]
    outcome = patients.outcome[limits[0] : limits[1]]
    weights = patients.weights[limits[0] : limits[1]]
    linear = np.full(len(outcome), coefficients[0])
    for j in range(columns.shape[1]):
        if coefficients[1 + j] != 0:
            for i in range(len(linear)):
                linear[i] += coefficients[1 + j] * columns[i, j]
    if loss == AUC:
        return _auc(linear, outcome, weights)
    total = copies = 0.0
    for i in range(len(linear)):
        risk = 1.0 / (1.0 + math.exp(-linear[i]))
        copies += weights[i]
        if loss == MSE:
            total += 2.0 * weights[i] * (outcome[i] - risk) ** 2
        else:
            risk = min(max(risk, CLIP), 1.0 - CLIP)
            total -= 2.0 * weights[i] * math.log(risk if outcome[i] == 1 else 1.0 - risk)
    return total / copies


@compiled_within
def _auc(score: Floats, outcome: Floats, weights: Floats) -> float:
    """Share of pairs of a patient with and one without the event that are in order, ties ½."""
    order = np.argsort(score)
    events = others = pairs = 0.0
    tied_events = tied_others = 0.0
    for place in range(len(order)):
        i = order[place]
        tied_events += weights[i] * outcome[i]
        tied_others += weights[i] * (1.0 - outcome[i])
        if place + 1 == len(order) or score[order[place + 1]] != score[i]:
            pairs += tied_events * (others + 0.5 * tied_others)
            events, others = events + tied_events, others + tied_others
            tied_events = tied_others = 0.0
    return pairs / (events * others)
