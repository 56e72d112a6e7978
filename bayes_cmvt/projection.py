"""What a smaller model can say of a larger one: projections, and the order in which columns enter.

The projection of a draw of a reference model onto a submodel is the submodel's maximum-likelihood
fit to the draw's *fitted probabilities* (Goutis & Robert 1998, doi:10.1093/biomet/85.1.29;
Piironen, Paasiniemi & Vehtari 2020, doi:10.1214/20-EJS1711). Its divergence is the Kullback-Leibler
divergence from the draw's probabilities to the submodel's, averaged over patients, in nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_cmvt.compilation import compiled, compiled_summing, compiled_within
from bayes_cmvt.errors import DataError, OptionError, quoted
from bayes_cmvt.lasso import lasso_path

NEWTON_STEPS, HALVINGS = 100, 30
TO_ROUNDING = 1e-12  # gain of log-likelihood per patient below which a Newton step is the last
TO_COMPARE = 1e-8  # the same where divergences are compared: mostly right to 1e-12, else to 1e-9
CERTAIN = 1e-12  # probabilities are kept so far from 0 and 1 that a maximum exists
TO_PREDICT = 1e-6  # the same where only mean risks are asked for
ALIASED_BELOW = 1e-12  # share of a column's information that the others leave
LONGEST_STEP = 5.0  # change of a patient's log-odds in one step
ROUNDING = 1e-13  # share of the log-likelihood that a step may lose
FACTORS = 256  # numbers between 1 and 2 of whose product a single logarithm is taken
UNUSABLE = "the projection"

type Floats = NDArray[np.float64]
type Positions = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Projection:
    """Draws of a reference model, projected onto a submodel.

    Attributes
    ----------
    intercept : ndarray, shape (draw,)
        Log-odds where all columns are 0.
    coefficients : ndarray, shape (draw, column)
        Log odds ratios per unit of the columns as given; 0 for a column that is constant or an
        exact combination of earlier ones.
    divergence : ndarray, shape (draw,)
        Nats per patient.
    """

    intercept: Floats
    coefficients: Floats
    divergence: Floats


@dataclass(frozen=True, eq=False)
class SearchPath:
    """In which order predictors enter a submodel, and what was at stake at each step.

    Attributes
    ----------
    order : ndarray of int, shape (step,)
        Positions of predictors.
    divergence : ndarray, shape (1 + step,)
        Of the submodel of each size, intercept alone first; weighted mean over clusters, nats per
        patient.
    candidates : ndarray, shape (step, predictor)
        Divergence had this predictor entered at this step; NaN for those already in, and for those
        that had to wait for forced ones.
    """

    order: Positions
    divergence: Floats
    candidates: Floats


def project(columns: ArrayLike, targets: ArrayLike) -> Projection:
    """Project draws onto the submodel of some columns.

    Parameters
    ----------
    columns : array_like, shape (patient, column)
        Without an intercept; no column at all is the intercept alone.
    targets : array_like in [0, 1], shape (draw, patient)
        Probabilities fitted by the reference model; kept 1e-12 away from 0 and 1.

    Returns
    -------
    Projection

    Raises
    ------
    DataError
        Shapes that do not fit, values that are not finite, probabilities outside [0, 1].

    Examples
    --------
    A saturated submodel takes over the mean probability of each group:

    >>> found = project([[0], [0], [1], [1]], [[0.1, 0.3, 0.4, 0.6]])
    >>> (1 / (1 + np.exp(-found.intercept - found.coefficients[:, 0] * [0, 1]))).round(9).tolist()
    [0.2, 0.5]
    """
    matrix, wanted = _checked(columns, targets)
    standard, mean, sd = _standardised(matrix)
    rows = _with_ones(standard)
    found, value = _fit_targets(rows, wanted, _started(rows, wanted), TO_ROUNDING)
    everything = np.arange(matrix.shape[1])
    return _of_units(found, everything, (mean, sd), _entropy(wanted) - value)


def project_nested(
    columns: ArrayLike, groups: ArrayLike, targets: ArrayLike, order: Sequence[int]
) -> list[Projection]:
    """Project draws onto the submodel of each size as predictors enter in an order.

    Parameters
    ----------
    columns : array_like, shape (patient, column)
    groups : array_like of int, shape (column,)
        Position of the predictor that each column belongs to.
    targets : array_like in [0, 1], shape (draw, patient)
    order : sequence of int
        Positions of predictors, each once.

    Returns
    -------
    list of Projection
        Intercept alone first; 0 for columns that are not in the submodel. Coefficients are right to
        about 1e-5 per SD, risks to 1e-5 at worst.

    Raises
    ------
    DataError
        As `project`; positions that do not exist.
    """
    matrix, wanted = _checked(columns, targets)
    members = _members(groups, matrix.shape[1])
    standard, mean, sd = _standardised(matrix)
    standing, entropy = np.ascontiguousarray(standard.T), _entropy(wanted)
    rows, inside = _with_ones(standard[:, :0]), np.empty(0, dtype=np.int64)
    fitted, value = _fit_targets(rows, wanted, _started(rows, wanted), TO_PREDICT)
    found = [_of_units(fitted, inside, (mean, sd), entropy - value)]
    for one in _positions("order", order, len(members)):
        rows, inside = np.vstack([rows, standing[members[one]]]), np.append(inside, members[one])
        start = np.pad(fitted, ((0, 0), (0, len(members[one]))))
        fitted, value = _fit_targets(rows, wanted, start, TO_PREDICT)
        found.append(_of_units(fitted, inside, (mean, sd), entropy - value))
    return found


def forward_search(
    columns: ArrayLike,
    groups: ArrayLike,
    targets: ArrayLike,
    *,
    shares: ArrayLike | None = None,
    first: Sequence[int] = (),
    costs: ArrayLike | None = None,
    steps: int | None = None,
) -> SearchPath:
    """Let predictors enter one by one, each time the one that leaves the least divergence.

    Parameters
    ----------
    columns : array_like, shape (patient, column)
    groups : array_like of int, shape (column,)
        Position of the predictor that each column belongs to, 0 to the number of predictors less
        one; the columns of a predictor enter together.
    targets : array_like in [0, 1], shape (cluster, patient)
        Mean fitted probabilities of clusters of draws.
    shares : array_like, shape (cluster,), optional
        Weights of the clusters; default: all alike.
    first : sequence of int
        Predictors that are forced in: they enter before all others, in the order that the search
        finds among them.
    costs : array_like, shape (predictor,), optional
        The next predictor is then the one with the largest fall of divergence per cost.
    steps : int, optional
        Predictors that enter at most; default: all.

    Returns
    -------
    SearchPath

    Raises
    ------
    DataError
        Shapes that do not fit, values that are not finite, probabilities outside [0, 1], predictors
        without a column, positions that do not exist, costs or shares that are not positive.

    Examples
    --------
    >>> x = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1]])
    >>> forward_search(x, [0, 1, 2], [[0.1, 0.1, 0.2, 0.6, 0.5, 0.7]]).order.tolist()
    [0, 1, 2]
    """
    matrix, wanted = _checked(columns, targets)
    members = _members(groups, matrix.shape[1])
    weights, prices = _search_weights(shares, costs, len(wanted), len(members))
    steps = _steps(steps, len(members))
    forced = _positions("first", first, len(members))

    def allowed(entered: list[int]) -> list[int]:
        waiting = [one for one in range(len(members)) if one not in entered]
        return [one for one in waiting if one in forced] or waiting

    return _walk(_standardised(matrix)[0], members, (wanted, weights), prices, steps, allowed)


def follow_order(
    columns: ArrayLike,
    groups: ArrayLike,
    targets: ArrayLike,
    order: Sequence[int],
    *,
    shares: ArrayLike | None = None,
) -> SearchPath:
    """Let predictors enter in a given order, and see what divergence each leaves.

    Parameters
    ----------
    columns, groups, targets, shares
        As in `forward_search`.
    order : sequence of int
        Positions of predictors, each once.

    Returns
    -------
    SearchPath
        ``candidates`` as if each of those that are not in had entered.

    Raises
    ------
    DataError
        As `forward_search`.
    """
    matrix, wanted = _checked(columns, targets)
    members = _members(groups, matrix.shape[1])
    weights, prices = _search_weights(shares, None, len(wanted), len(members))
    given = _positions("order", order, len(members))
    clusters = (wanted, weights)
    return _walk(
        _standardised(matrix)[0],
        members,
        clusters,
        prices,
        len(given),
        lambda entered: [one for one in range(len(members)) if one not in entered],
        given,
    )


def l1_search(
    columns: ArrayLike,
    groups: ArrayLike,
    target: ArrayLike,
    *,
    first: Sequence[int] = (),
    steps: int | None = None,
) -> Positions:
    """Order in which predictors enter the LASSO path of the reference model's probabilities.

    Tran, Nott & Leng 2012, doi:10.1007/s11222-011-9291-4. A predictor enters with the first of its
    columns; of several that enter at one penalty, the one with the larger coefficient per SD first.
    Predictors that never enter follow in the order of `forward_search`.

    Parameters
    ----------
    columns : array_like, shape (patient, column)
    groups : array_like of int, shape (column,)
    target : array_like in [0, 1], shape (patient,)
        Mean fitted probability of each patient.
    first : sequence of int
        Predictors that are forced in: they are put before all others.
    steps : int, optional
        Predictors at most; default: all.

    Returns
    -------
    ndarray of int, shape (step,)

    Raises
    ------
    DataError
        As `forward_search`.
    """
    given = _numbers("target", target)
    if given.ndim != 1:
        raise DataError(UNUSABLE, [f"target has shape {given.shape}; (patient,) is needed"])
    matrix, wanted = _checked(columns, given[np.newaxis])
    members = _members(groups, matrix.shape[1])
    forced = _positions("first", first, len(members))
    steps = _steps(steps, len(members))
    size = _l1_sizes(matrix, wanted[0], members)
    entry = np.where((size > 0).any(axis=0), (size > 0).argmax(axis=0), len(size))
    entered = [one for one in range(len(members)) if entry[one] < len(size)]
    entered.sort(key=lambda one: (one not in forced, entry[one], -size[entry[one], one]))
    if len(entered) < steps:
        # what the path never needed, or a forced predictor among it, comes after the others
        ahead = [one for one in entered if one in forced]
        never = [one for one in forced if one not in entered]
        later = [one for one in entered if one not in forced]
        rest = forward_search(matrix, groups, wanted, first=[*ahead, *never, *later]).order
        entered = [*ahead, *never, *later, *(one for one in rest if one not in [*entered, *never])]
    return np.asarray(entered[:steps], dtype=np.int64)


def _l1_sizes(matrix: Floats, target: Floats, members: list[Positions]) -> Floats:
    """Largest coefficient per SD of each predictor at each penalty, shape (penalty, predictor)."""
    # a fractional outcome is two patients with weights
    outcome = np.repeat([1, 0], len(target))
    weights = np.concatenate([target, 1 - target])
    try:
        path = lasso_path(np.vstack([matrix, matrix]), outcome, weights=weights)
    except OptionError:  # no column goes with the target at all
        return np.zeros((1, len(members)))
    size = np.abs(path.coefficients) * matrix.std(axis=0)
    return np.stack([size[:, columns].max(axis=1) for columns in members], axis=1)


# --- From arrays to the kernel -------------------------------------------------------------------


def _checked(columns: ArrayLike, targets: ArrayLike) -> tuple[Floats, Floats]:
    """Columns, and probabilities kept away from 0 and 1; or all that is wrong."""
    matrix, wanted = _numbers("columns", columns), _numbers("targets", targets)
    if not len(np.atleast_1d(wanted)):
        raise DataError(UNUSABLE, ["targets: at least one vector of probabilities is needed"])
    if matrix.ndim != 2 or wanted.ndim != 2 or not len(matrix) or wanted.shape[1] != len(matrix):
        found = f"columns {matrix.shape}, targets {wanted.shape}"
        msg = f"shapes are not (patient, column) and (draw, patient): {found}"
        raise DataError(UNUSABLE, [msg])
    problems = []
    if not np.isfinite(matrix).all():
        bad = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
        problems.append(f"columns are not finite in rows {quoted(bad.tolist())}, counted from 0")
    if not ((wanted >= 0) & (wanted <= 1)).all():
        problems.append("targets must be probabilities, from 0 to 1")
    if problems:
        raise DataError(UNUSABLE, problems)
    return matrix, np.ascontiguousarray(np.clip(wanted, CERTAIN, 1 - CERTAIN))


def _numbers(name: str, given: ArrayLike) -> Floats:
    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(UNUSABLE, [f"{name}: not an array of numbers"]) from None


def _steps(steps: int | None, predictors: int) -> int:
    if steps is None:
        return predictors
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 0:
        msg = f"steps: found {steps!r}; allowed: a whole number, 0 or more"
        raise DataError(UNUSABLE, [msg])
    return min(int(steps), predictors)


def _members(groups: ArrayLike, width: int) -> list[Positions]:
    """Columns of each predictor."""
    of_column = np.asarray(groups)
    predictors = np.unique(of_column)
    if of_column.shape != (width,) or not np.array_equal(predictors, np.arange(len(predictors))):
        msg = (
            f"groups must name the predictor of each of {width} columns, 0, 1, 2 … without a gap: "
            f"found {quoted(of_column.ravel().tolist())}"
        )
        raise DataError(UNUSABLE, [msg])
    return [np.flatnonzero(of_column == one) for one in predictors]


def _positions(name: str, given: Sequence[int], predictors: int) -> tuple[int, ...]:
    """Positions of predictors, each once."""
    unknown = [
        one
        for one in given
        if isinstance(one, bool | np.bool_)
        or not isinstance(one, int | np.integer)
        or not 0 <= one < predictors
    ]
    if unknown:
        msg = f"{name}: found {quoted(unknown)}; allowed: positions 0 to {predictors - 1}"
        raise DataError(UNUSABLE, [msg])
    if len(set(given)) < len(given):
        raise DataError(UNUSABLE, [f"{name}: a predictor stands twice in {quoted(given)}"])
    return tuple(int(one) for one in given)


def _search_weights(
    shares: ArrayLike | None, costs: ArrayLike | None, clusters: int, predictors: int
) -> tuple[Floats, Floats]:
    """Shares of clusters that sum to one, and costs of predictors."""
    found: list[Floats] = []
    problems = []
    for name, given, length in (("shares", shares, clusters), ("costs", costs, predictors)):
        values = np.ones(length) if given is None else _numbers(name, given)
        if values.shape != (length,) or not ((values > 0) & (values < np.inf)).all():
            problems.append(f"{name}: {length} positive numbers are needed")
        found.append(values)
    if problems:
        raise DataError(UNUSABLE, problems)
    return found[0] / found[0].sum(), found[1]


def _standardised(matrix: Floats) -> tuple[Floats, Floats, Floats]:
    """Columns with mean 0 and SD 1, with both: units and shifts then matter no more to rounding.

    Constant columns become 0, with an SD of 1.
    """
    mean, sd = matrix.mean(axis=0), matrix.std(axis=0)
    largest = np.abs(matrix).max(axis=0, initial=0.0)
    constant = sd <= ALIASED_BELOW * largest
    sd = np.where(constant, 1.0, sd)
    return np.where(constant, 0.0, (matrix - mean) / sd), mean, sd


def _of_units(
    fitted: Floats, inside: Positions, scale: tuple[Floats, Floats], divergence: Floats
) -> Projection:
    """Undo the standardisation; 0 for columns that are not inside."""
    mean, sd = scale
    coefficients = np.zeros((len(fitted), len(mean)))
    coefficients[:, inside] = fitted[:, 1:] / sd[inside]
    return Projection(fitted[:, 0] - coefficients @ mean, coefficients, divergence)


def _walk(
    matrix: Floats,
    members: list[Positions],
    clusters: tuple[Floats, Floats],
    prices: Floats,
    steps: int,
    allowed: Callable[[list[int]], list[int]],
    given: Sequence[int] | None = None,
) -> SearchPath:
    """Let predictors enter, at each step the best of those allowed, or the one that is given."""
    (targets, weights), standing = clusters, np.ascontiguousarray(matrix.T)
    entropy = _entropy(targets)
    rows = _with_ones(matrix[:, :0])
    fitted, value = _fit_targets(rows, targets, _started(rows, targets), TO_ROUNDING)
    order: list[int] = []
    divergence = [float(weights @ (entropy - value))]
    candidates = np.full((steps, len(members)), np.nan)
    for step in range(steps):
        fits, asked = {}, allowed(order)
        for one in asked:
            grown = np.vstack([rows, standing[members[one]]])
            start = np.pad(fitted, ((0, 0), (0, len(members[one]))))
            fits[one] = (grown, *_fit_targets(grown, targets, start, TO_COMPARE))
            candidates[step, one] = weights @ (entropy - fits[one][2])
        gain = (divergence[-1] - candidates[step, asked]) / prices[asked]
        chosen = asked[int(np.argmax(gain))] if given is None else given[step]
        rows, fitted, _ = fits[chosen]
        order.append(chosen)
        divergence.append(float(candidates[step, chosen]))
    return SearchPath(np.asarray(order, dtype=np.int64), np.asarray(divergence), candidates)


def _with_ones(matrix: Floats) -> Floats:
    """A row of ones, then the columns as rows, shape (1 + column, patient)."""
    return np.ascontiguousarray(np.vstack([np.ones(len(matrix)), matrix.T]))


def _started(rows: Floats, targets: Floats) -> Floats:
    """The intercept-only fit as where Newton's method starts, shape (target, 1 + column)."""
    mean = targets.mean(axis=1)
    start = np.zeros((len(targets), len(rows)))
    start[:, 0] = np.log(mean / (1 - mean))
    return start


def _entropy(targets: Floats) -> Floats:
    """Mean log-likelihood of probabilities about themselves, shape (target,)."""
    values = targets * np.log(targets) + (1 - targets) * np.log1p(-targets)
    return np.asarray(values.mean(axis=1))


# --- The kernel ----------------------------------------------------------------------------------


@compiled
def _fit_targets(
    rows: Floats, targets: Floats, start: Floats, enough: float
) -> tuple[Floats, Floats]:
    """Fit every vector of probabilities; coefficients, and the mean log-likelihood that is reached.

    Newton's method with step-halving, until the expected gain per patient is below `enough`.
    """
    width, patients = rows.shape
    fitted, reached = start.copy(), np.empty(len(targets))
    eta, moved = np.empty(patients), np.empty(patients)
    residual, variance = np.empty(patients), np.empty(patients)
    root, room = np.empty((width, width)), np.empty(patients)
    for draw in range(len(targets)):
        gamma, target = fitted[draw], targets[draw]
        _combine(rows, gamma, eta)
        value = _moments(eta, target, residual, variance)
        for _ in range(NEWTON_STEPS):
            _information(rows, variance, root, room)
            _factorise(root)
            delta = _scores(rows, residual)
            gain = _solve(root, delta)
            _combine(rows, delta, moved)
            # where nearly all variances vanish, a step may be astronomically long
            share = min(1.0, LONGEST_STEP / max(np.abs(moved).max(), LONGEST_STEP))
            before, least = value, value - ROUNDING * (1 + abs(value))
            for _ in range(HALVINGS):
                for i in range(patients):
                    room[i] = eta[i] + share * moved[i]
                value = _moments(room, target, residual, variance)
                if value >= least:
                    break
                share *= 0.5
            if value < least:
                value = before
                break
            gamma += share * delta
            eta[:] = room
            if gain < enough * patients:
                break
        reached[draw] = value / patients
    return fitted, reached


@compiled_within
def _combine(rows: Floats, gamma: Floats, predictor: Floats) -> None:
    """Write linear predictors."""
    predictor[:] = gamma[0] * rows[0]
    for a in range(1, len(gamma)):
        for i in range(len(predictor)):
            predictor[i] += gamma[a] * rows[a, i]


@compiled_within
def _moments(eta: Floats, target: Floats, residual: Floats, variance: Floats) -> float:
    """Write t - p and p(1 - p) of each patient; returns the log-likelihood."""
    total, product = 0.0, 1.0
    for i in range(len(eta)):
        small = math.exp(-abs(eta[i]))
        common = 1 / (1 + small)
        rare = small * common
        variance[i] = rare * common
        if eta[i] > 0:
            total -= (1 - target[i]) * eta[i]
            residual[i] = target[i] * rare - (1 - target[i]) * common
        else:
            total += target[i] * eta[i]
            residual[i] = target[i] * common - (1 - target[i]) * rare
        product *= 1 + small
        if i % FACTORS == FACTORS - 1:
            total -= math.log(product)
            product = 1.0
    return total - math.log(product)


@compiled_summing
def _information(rows: Floats, variance: Floats, root: Floats, room: Floats) -> None:
    """Write the lower triangle of rows diag(variance) rows'."""
    patients = len(variance)
    for a in range(len(rows)):
        for i in range(patients):
            room[i] = variance[i] * rows[a, i]
        for b in range(a + 1):
            total = 0.0
            for i in range(patients):
                total += room[i] * rows[b, i]
            root[a, b] = total


@compiled_summing
def _scores(rows: Floats, residual: Floats) -> Floats:
    """Sums of each row times the residuals."""
    sums = np.empty(len(rows))
    for a in range(len(rows)):
        total = 0.0
        for i in range(len(residual)):
            total += rows[a, i] * residual[i]
        sums[a] = total
    return sums


@compiled_within
def _factorise(root: Floats) -> None:
    """Overwrite the lower triangle with its Cholesky factor.

    A pivot of nothing becomes infinite: that coefficient then never moves from 0.
    """
    for a in range(len(root)):
        diagonal = root[a, a]
        pivot = diagonal
        for b in range(a):
            total = root[a, b]
            for c in range(b):
                total -= root[a, c] * root[b, c]
            root[a, b] = total / root[b, b]
            pivot -= root[a, b] * root[a, b]
        root[a, a] = math.sqrt(pivot) if pivot > ALIASED_BELOW * diagonal else np.inf


@compiled_within
def _solve(root: Floats, right: Floats) -> float:
    """Overwrite the scores with Newton's step; returns the gain that the step promises, twice."""
    gain = 0.0
    for a in range(len(right)):
        for c in range(a):
            right[a] -= root[a, c] * right[c]
        right[a] /= root[a, a]
        gain += right[a] * right[a]
    for a in range(len(right) - 1, -1, -1):
        right[a] /= root[a, a]
        for c in range(a):
            right[c] -= root[a, c] * right[a]
    return gain
