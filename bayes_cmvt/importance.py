"""Pareto-smoothed importance weights: what the posterior would be with other data.

Draws from one posterior stand for another one, that of fewer, more or other patients, once each is
weighted by the ratio of the two densities. The largest ratios are noise; they are replaced by the
quantiles of a generalised Pareto distribution fitted to them, whose shape k̂ tells whether the
weights can be trusted (Vehtari, Simpson, Gelman, Yao & Gabry 2024, JMLR 25:72).

ArviZ has the same smoothing, one vector at a time; it is written anew here because leaving out
every pair of patients takes ten thousands of them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_cmvt.compilation import compiled
from bayes_cmvt.errors import MetricError
from bayes_cmvt.threads import side_by_side

type Vector = NDArray[np.float64]
type Matrix = NDArray[np.float64]
type Integers = NDArray[np.int64]

SHORTEST_TAIL = 5  # ratios to which a Pareto distribution can be fitted
ALL_ALIKE = 1e-12  # log-ratios that differ by less differ by rounding
NODES_AT_LEAST = 30  # of the grid for the ratio of shape to scale
PRIOR_DRAWS, PRIOR_SHAPE = 10, 0.5  # the prior of k̂ counts as ten draws with shape ½
EVERY = 16  # value that is looked at to judge where the largest begin
FACTORS = 16  # of which a single logarithm is taken
LARGEST_EXPONENT = 600.0  # e to its power does not overflow
FEW_DIGITS = 0.01  # mean logarithm below which products lose digits
BLOCK_VALUES = 500_000  # ratios that one thread smooths at a time


@dataclass(frozen=True, eq=False)
class ImportanceWeights:
    """Smoothed weights of draws.

    Attributes
    ----------
    log_weights : ndarray, shape (..., draw)
        Their exponentials sum to one over the draws.
    pareto_k : float or ndarray, shape (...)
        Shape of the Pareto distribution fitted to the largest ratios: the larger, the less the
        weights can be trusted; above `good_k` they cannot. ``-inf`` where the largest ratios are
        all alike and nothing needs smoothing; NaN or ``inf``, also to be read as "cannot be
        trusted", where no Pareto distribution fits, and the weights are left as they were.
    """

    log_weights: NDArray[np.float64]
    pareto_k: float | NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PairMeans:
    """Posterior means without the two patients of a pair.

    Attributes
    ----------
    means : ndarray, shape (pair, 2)
        Of the first and of the second patient's values.
    pareto_k : ndarray, shape (pair,)
        As in `ImportanceWeights`.
    """

    means: NDArray[np.float64]
    pareto_k: NDArray[np.float64]


def pareto_smoothed(log_ratios: ArrayLike, *, efficiency: float = 1.0) -> ImportanceWeights:
    """Weights of draws from their log importance ratios, Pareto-smoothed and normalised.

    The ``min(S / 5, 3 √(S / efficiency))`` largest of S ratios, rounded down, are replaced by the
    expected order statistics of the generalised Pareto distribution fitted to them (Zhang &
    Stephens 2009, doi:10.1198/tech.2009.08017, with the weakly informative prior of k), cut off at
    the largest raw ratio (Vehtari et al. 2024, JMLR 25:72). Of equal ratios, that of the later
    draw counts as the larger.

    Parameters
    ----------
    log_ratios : array_like, shape (..., draw)
        Draws on the last axis, chains put together; a constant may be added to each row. ``-inf``
        is a draw of weight zero. To leave a patient out: minus its log-likelihood.
    efficiency : float, above 0
        Effective share of the draws: 1 where they are independent.

    Returns
    -------
    ImportanceWeights

    Raises
    ------
    MetricError
        Fewer than 25 draws, ratios missing or infinite, an efficiency that is not positive.

    Examples
    --------
    >>> weights = pareto_smoothed(np.zeros(100))  # the same posterior: all draws count alike
    >>> float(np.exp(weights.log_weights[0]).round(12)), weights.pareto_k
    (0.01, -inf)
    """
    ratios = _checked_ratios(log_ratios)
    draws = ratios.shape[-1]
    length = tail_length(draws, efficiency=efficiency)
    rows = np.ascontiguousarray(ratios.reshape(-1, draws))
    parts = _in_blocks(len(rows), draws, lambda block: smoothed_rows(rows[block], length))
    log_weights = np.concatenate([part[0] for part in parts]).reshape(ratios.shape)
    shape = np.concatenate([part[1] for part in parts]).reshape(ratios.shape[:-1])
    return ImportanceWeights(log_weights, float(shape) if shape.ndim == 0 else shape)


def means_without_pairs(
    log_likelihood: ArrayLike, values: ArrayLike, pairs: ArrayLike, *, efficiency: float = 1.0
) -> PairMeans:
    """Posterior means for the two patients of each pair, had neither been in the data.

    Draws are weighted by ``1 / (p(y_i | θ) p(y_j | θ))``, Pareto-smoothed for each pair: importance
    sampling leave-one-out (Vehtari, Gelman & Gabry 2017, doi:10.1007/s11222-016-9696-4) with two
    patients left out.

    Parameters
    ----------
    log_likelihood, values : array_like, shape (draw, patient)
        What each draw says of each patient; finite.
    pairs : array_like of int, shape (pair, 2)
        Positions of patients, from 0.
    efficiency : float, above 0
        As in `pareto_smoothed`.

    Returns
    -------
    PairMeans

    Raises
    ------
    MetricError
        Shapes that differ, values missing or infinite, positions that do not exist, fewer than 25
        draws, an efficiency that is not positive.

    Examples
    --------
    >>> means_without_pairs(np.zeros((100, 2)), np.ones((100, 2)), [(0, 1)]).means.round(12)
    array([[1., 1.]])
    """
    likelihood, given, chosen = _checked_pairs(log_likelihood, values, pairs)
    draws = len(likelihood)
    length = tail_length(draws, efficiency=efficiency)
    log_ratios, by_patient = np.ascontiguousarray(-likelihood.T), np.ascontiguousarray(given.T)
    parts = _in_blocks(
        len(chosen), draws, lambda block: pair_rows(log_ratios, by_patient, chosen[block], length)
    )
    return PairMeans(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def good_k(draws: int) -> float:
    """Largest Pareto k̂ at which this number of draws suffices, ``min(1 - 1 / log10 S, 0.7)``.

    Vehtari et al. 2024, JMLR 25:72.

    Parameters
    ----------
    draws : int, at least 2

    Returns
    -------
    float

    Raises
    ------
    MetricError
        Fewer than two draws.

    Examples
    --------
    >>> good_k(100), good_k(4000)
    (0.5, 0.7)
    """
    if draws < 2:
        msg = f"draws: found {draws}; allowed: 2 or more"
        raise MetricError(msg)
    return min(1 - 1 / math.log10(draws), 0.7)


def tail_length(draws: int, *, efficiency: float = 1.0) -> int:
    """Number of largest ratios that are smoothed, ``min(S / 5, 3 √(S / efficiency))`` rounded down.

    Vehtari et al. 2024, JMLR 25:72, appendix H.

    Parameters
    ----------
    draws : int
    efficiency : float, above 0

    Returns
    -------
    int

    Raises
    ------
    MetricError
        An efficiency that is not positive; a tail of fewer than five, which no Pareto distribution
        can be fitted to.

    Examples
    --------
    >>> tail_length(100), tail_length(10_000), tail_length(10_000, efficiency=0.25)
    (20, 300, 600)
    """
    if not 0 < efficiency < math.inf:
        msg = f"efficiency: found {efficiency}; allowed: above 0, 1 for independent draws"
        raise MetricError(msg)
    length = min(draws // 5, math.floor(3 * math.sqrt(draws / efficiency)))
    if length < SHORTEST_TAIL:
        msg = (
            f"{draws} draws are too few for Pareto smoothing: only the {length} largest ratios "
            f"would be smoothed, at least {SHORTEST_TAIL} are needed; sample more draws, or thin "
            "them less"
        )
        raise MetricError(msg)
    return length


# --- Checks and blocks ---------------------------------------------------------------------------


def _checked_ratios(log_ratios: ArrayLike) -> NDArray[np.float64]:
    """Return log-ratios as numbers, of which at least one in each row has a weight."""
    ratios = _numbers(log_ratios, "log_ratios")
    if ratios.ndim == 0 or 0 in ratios.shape:
        msg = f"log_ratios: have shape {ratios.shape}; expected: (..., draw), none of them empty"
        raise MetricError(msg)
    strange = int((np.isnan(ratios) | (ratios == np.inf)).sum())
    if strange:
        msg = f"log_ratios: {strange} of {ratios.size} values are missing (NaN) or +infinite"
        raise MetricError(msg)
    if not np.isfinite(ratios.max(axis=-1)).all():
        msg = "log_ratios: all draws of a row are -infinite; none of them has a weight"
        raise MetricError(msg)
    return ratios


def _checked_pairs(
    log_likelihood: ArrayLike, values: ArrayLike, pairs: ArrayLike
) -> tuple[Matrix, Matrix, Integers]:
    """Return what the kernel needs, which itself reads memory without looking."""
    likelihood, given = _numbers(log_likelihood, "log_likelihood"), _numbers(values, "values")
    chosen, patients = np.asarray(pairs), likelihood.shape[-1] if likelihood.ndim == 2 else 0
    problems = []
    if likelihood.ndim != 2 or likelihood.shape != given.shape:
        problems.append(
            f"log_likelihood, values: have shapes {likelihood.shape} and {given.shape}; "
            "expected: (draw, patient) for both"
        )
    for name, array in (("log_likelihood", likelihood), ("values", given)):
        if not np.isfinite(array).all():
            problems.append(f"{name}: some values are missing (NaN) or infinite")
    if (
        chosen.ndim != 2
        or chosen.shape[-1] != 2
        or chosen.dtype.kind not in "iu"
        or not chosen.size
    ):
        problems.append(f"pairs: have shape {chosen.shape}; expected: whole numbers, (pair, 2)")
    elif chosen.min() < 0 or chosen.max() >= patients:
        problems.append(f"pairs: name patients outside 0 to {patients - 1}")
    if problems:
        msg = "pairs of patients cannot be left out"
        raise MetricError(msg, problems)
    return likelihood, given, np.ascontiguousarray(chosen, dtype=np.int64)


def _numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        msg = f"{name}: holds something other than numbers, or rows of different lengths"
        raise MetricError(msg) from None


def _in_blocks[T](rows: int, draws: int, kernel: Callable[[slice], T]) -> list[T]:
    """Run a kernel on blocks of rows, on all cores; no row knows in which block it is."""
    height = max(1, BLOCK_VALUES // draws)
    blocks = [slice(start, start + height) for start in range(0, rows, height)]
    tasks = [lambda _, block=block: kernel(block) for block in blocks]
    return side_by_side(tasks, threads=os.cpu_count() or 1, watch=lambda: None)


# --- Kernels: each uses those above it -----------------------------------------------------------


@compiled
def largest_ascending(values: Vector, count: int) -> Integers:
    """Positions of the largest values in ascending order; of equal ones the later is larger.

    Only the values above a bound are sorted, one that about twice as many reach as are wanted,
    judged by every sixteenth value.
    """
    some = values[::EVERY].copy()
    place = len(some) - 2 * count // EVERY - 1
    bound = some[np.argsort(some, kind="mergesort")[max(0, place)]]
    found = np.flatnonzero(values >= bound)
    if len(found) < count:
        found = np.arange(len(values))
    return found[np.argsort(values[found], kind="mergesort")[-count:]]


@compiled
def mean_logs(theta: Vector, excess: Vector) -> Vector:
    """Mean of log(1 - θx) over the excesses x, for each θ.

    Logarithms of products, so that one is taken for up to 16 factors; where the mean is near zero
    the factors are near one and products lose digits.
    """
    largest_factor = 1 + np.abs(theta).max() * excess[-1]
    factors = max(1, min(FACTORS, int(LARGEST_EXPONENT / math.log(largest_factor))))
    means = np.zeros(len(theta))
    for start in range(0, len(excess), factors):
        product = np.ones(len(theta))
        for x in excess[start : start + factors]:
            for j in range(len(theta)):
                product[j] *= 1 - theta[j] * x
        for j in range(len(theta)):
            means[j] += math.log(product[j]) / len(excess)
    for j in range(len(theta)):
        if abs(means[j]) < FEW_DIGITS:
            means[j] = mean_log(theta[j], excess)
    return means


@compiled
def mean_log(theta: float, excess: Vector) -> float:
    """Mean of log(1 - θx) over the excesses x, digit for digit."""
    total = 0.0
    for x in excess:
        total += math.log1p(-theta * x)
    return total / len(excess)


@compiled
def pareto_fit(excess: Vector) -> tuple[float, float]:
    """Shape k̂ and scale σ̂ of a generalised Pareto distribution, from excesses in ascending order.

    With θ = -k/σ the likelihood of θ alone is n(log(-θ/k(θ)) - k(θ) - 1), k(θ) the mean of
    log(1 - θx). Its mean over a grid that reaches from 1/max(x) downwards, as far as the first
    quartile says, is θ̂ (Zhang & Stephens 2009). The prior enters k̂ after σ̂ was found.
    """
    n = len(excess)
    quartile = excess[int(n / 4 + 0.5) - 1]
    if not quartile > excess[0]:
        return math.nan, math.nan
    nodes = NODES_AT_LEAST + int(math.sqrt(n))
    theta = 1 / excess[-1] + (1 - np.sqrt(nodes / (np.arange(nodes) + 0.5))) / (3 * quartile)
    shape = mean_logs(theta, excess)
    log_likelihood = n * (np.log(-theta / shape) - shape - 1)
    likelihood = np.exp(log_likelihood - log_likelihood.max())
    estimate = (likelihood * theta).sum() / likelihood.sum()
    k = mean_log(estimate, excess)
    scale = -k / estimate
    if not scale > 0:
        return math.inf, math.nan
    return (n * k + PRIOR_DRAWS * PRIOR_SHAPE) / (n + PRIOR_DRAWS), scale


@compiled
def pareto_quantile(probability: float, k: float) -> float:
    """Quantile of the generalised Pareto distribution with scale one."""
    if k == 0:
        return -math.log1p(-probability)
    return math.expm1(-k * math.log1p(-probability)) / k


@compiled
def smooth(log_ratios: Vector, length: int, weights: Vector) -> tuple[Integers, float]:
    """Write the weights, the largest raw one being 1; return the tail's positions and k̂.

    The tail is smoothed if and only if k̂ is finite.
    """
    largest = log_ratios.max()
    for draw in range(len(log_ratios)):
        weights[draw] = math.exp(log_ratios[draw] - largest)
    ordered = largest_ascending(log_ratios, length + 1)
    cutoff, tail = weights[ordered[0]], ordered[1:]
    if largest - log_ratios[tail[0]] < ALL_ALIKE:
        return tail, -math.inf
    k, scale = pareto_fit(weights[tail] - cutoff)
    if math.isfinite(k):
        for rank in range(length):
            quantile = scale * pareto_quantile((rank + 0.5) / length, k)
            weights[tail[rank]] = min(cutoff + quantile, 1.0)
    return tail, k


@compiled
def smoothed_rows(log_ratios: Matrix, length: int) -> tuple[Matrix, Vector]:
    """Normalised log weights and k̂ of each row of log-ratios."""
    log_weights = np.empty_like(log_ratios)
    shape = np.empty(len(log_ratios))
    weights = np.empty(log_ratios.shape[1])
    for row in range(len(log_ratios)):
        tail, shape[row] = smooth(log_ratios[row], length, weights)
        log_total = math.log(weights.sum())
        # logarithms of the raw weights themselves: exp may have made them zero
        log_weights[row] = log_ratios[row] - log_ratios[row].max() - log_total
        if math.isfinite(shape[row]):
            for draw in tail:
                log_weights[row, draw] = math.log(weights[draw]) - log_total
    return log_weights, shape


@compiled
def pair_rows(
    log_ratios: Matrix, values: Matrix, pairs: Integers, length: int
) -> tuple[Matrix, Vector]:
    """Weighted means of the values of both patients, and k̂, of each pair."""
    means = np.empty((len(pairs), 2))
    shape = np.empty(len(pairs))
    weights = np.empty(log_ratios.shape[1])
    for row in range(len(pairs)):
        first, second = pairs[row]
        _, shape[row] = smooth(log_ratios[first] + log_ratios[second], length, weights)
        total, of_first, of_second = 0.0, 0.0, 0.0
        for draw in range(len(weights)):
            total += weights[draw]
            of_first += weights[draw] * values[first, draw]
            of_second += weights[draw] * values[second, draw]
        means[row] = of_first / total, of_second / total
    return means, shape
