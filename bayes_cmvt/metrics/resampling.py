"""What other patients would have given: the Bayesian bootstrap, and intervals of any metric.

The rule stays as it is and the patients vary: these are intervals of a deployed rule's performance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.random import Generator, SeedSequence
from numpy.typing import ArrayLike

from bayes_cmvt.errors import MetricError
from bayes_cmvt.intervals import equal_tailed
from bayes_cmvt.metrics.arrays import Floats, checked_ci_prob, scalar

BLOCK_WEIGHTS = 1_000_000  # weights of one block

type Seed = int | SeedSequence | Generator


class WeightedMetric(Protocol):
    """A metric that takes weights of shape (replicate, patient) and keeps their leading axis."""

    def __call__(
        self, outcome: ArrayLike, risk: ArrayLike, /, *, weights: ArrayLike | None = None
    ) -> float | Floats:
        """Score the risks."""


@dataclass(frozen=True, eq=False)
class MetricInterval:
    """A metric and its interval over patients.

    Attributes
    ----------
    estimate : float, or ndarray
        Of the patients as they are.
    lower, upper : float, or ndarray
        Limits of the percentile interval; of the estimate's shape.
    """

    estimate: float | Floats
    lower: float | Floats
    upper: float | Floats


def bayesian_bootstrap(patients: int, replicates: int, *, seed: Seed) -> Floats:
    """Weights of patients in replicates of the Bayesian bootstrap.

    Dirichlet(1, …, 1) times the number of patients: the posterior of the patients' distribution
    that puts weight on the observed patients alone (Rubin 1981, doi:10.1214/aos/1176345338). It is
    not stratified: the event share varies as well. No patient is ever left out, so no replicate
    loses a class of outcome.

    Parameters
    ----------
    patients, replicates : int
        At least 1.
    seed : int, SeedSequence or Generator
        A Generator is advanced; the others give the same weights every time.

    Returns
    -------
    ndarray, shape (replicate, patient)
        Every row sums to the number of patients.

    Raises
    ------
    MetricError
        A count below 1, or a seed that is none.

    Examples
    --------
    >>> weights = bayesian_bootstrap(4, 3, seed=1)
    >>> weights.shape, weights.sum(axis=1).round(12).tolist()
    ((3, 4), [4.0, 4.0, 4.0])
    """
    return np.concatenate(list(bayesian_bootstrap_blocks(patients, replicates, seed=seed)))


def bayesian_bootstrap_blocks(patients: int, replicates: int, *, seed: Seed) -> Iterator[Floats]:
    """Weights of the Bayesian bootstrap in blocks of rows, for many patients.

    Together the blocks are exactly the rows of `bayesian_bootstrap` (Rubin 1981,
    doi:10.1214/aos/1176345338).

    Parameters
    ----------
    patients, replicates : int
        At least 1.
    seed : int, SeedSequence or Generator

    Yields
    ------
    ndarray, shape (row, patient)
        At most about a million weights, at least one row.

    Raises
    ------
    MetricError
        A count below 1, or a seed that is none; at once, not at the first block.

    Examples
    --------
    >>> [block.shape for block in bayesian_bootstrap_blocks(400_000, 5, seed=1)]
    [(2, 400000), (2, 400000), (1, 400000)]
    """
    for name, count in (("patients", patients), ("replicates", replicates)):
        if count < 1:
            msg = f"{name}: found {count}; at least 1 is needed"
            raise MetricError(msg)
    return _blocks(patients, replicates, _generator(seed))


def metric_interval(
    metric: WeightedMetric,
    outcome: ArrayLike,
    risk: ArrayLike,
    *,
    replicates: int = 4000,
    ci_prob: float = 0.95,
    seed: Seed,
) -> MetricInterval:
    """Percentile interval of a metric over patients, by the Bayesian bootstrap.

    The risks are those of a fixed rule; only the patients' weights vary (Rubin 1981,
    doi:10.1214/aos/1176345338). Limits are those of `bayes_cmvt.intervals.equal_tailed`. An
    infinite replicate, such as the slope of a separated one, counts as the infinity that it is.

    Parameters
    ----------
    metric : callable
        ``metric(outcome, risk)`` gives the estimate, ``metric(outcome, risk, weights=block)`` one
        value, or one array, for each row of a block of weights. Bind further arguments first:
        ``functools.partial(net_benefit, threshold=0.2)``.
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like, shape (patient,)
        Whatever the metric takes.
    replicates : int
    ci_prob : float in (0, 1)
    seed : int, SeedSequence or Generator
        The same seed gives two metrics the same weights, so that their differences are paired.

    Returns
    -------
    MetricInterval
        Both limits are NaN where a replicate is NaN.

    Raises
    ------
    MetricError
        What the metric raises; a probability outside (0, 1); a metric that does not return one
        value for each row of weights.

    Examples
    --------
    >>> from bayes_cmvt.metrics.utility import net_benefit
    >>> def treated(outcome, risk, *, weights=None):
    ...     return net_benefit(outcome, risk, 0.2, weights=weights)
    >>> metric_interval(treated, [1, 1], [0.3, 0.4], seed=1)  # whoever weighs more had an event
    MetricInterval(estimate=1.0, lower=1.0, upper=1.0)
    """
    ci_prob = checked_ci_prob(ci_prob)
    estimate = _numbers(metric(outcome, risk))
    blocks = bayesian_bootstrap_blocks(np.size(outcome), replicates, seed=seed)
    found = np.concatenate([_scored(metric, outcome, risk, block) for block in blocks])
    lower, _, upper = equal_tailed(found, ci_prob)
    return MetricInterval(scalar(estimate), scalar(np.asarray(lower)), scalar(np.asarray(upper)))


def _generator(seed: Seed) -> Generator:
    """Random numbers from a seed, which must be given: a result without one cannot be repeated."""
    try:
        if seed is not None:
            return np.random.default_rng(seed)
    except (TypeError, ValueError):
        pass
    msg = f"seed: found {seed!r}; expected: a whole number from 0, a SeedSequence or a Generator"
    raise MetricError(msg)


def _blocks(patients: int, replicates: int, rng: Generator) -> Iterator[Floats]:
    """Exponentials divided by their sum are Dirichlet; drawn row by row, whatever the block."""
    height = max(1, BLOCK_WEIGHTS // patients)
    for start in range(0, replicates, height):
        drawn = rng.standard_exponential((min(height, replicates - start), patients))
        drawn /= drawn.sum(axis=1, keepdims=True)
        drawn *= patients
        yield drawn


def _scored(metric: WeightedMetric, outcome: ArrayLike, risk: ArrayLike, block: Floats) -> Floats:
    """Metric of every row of a block of weights."""
    found = _numbers(metric(outcome, risk, weights=block))
    if found.shape[:1] != block.shape[:1]:
        msg = (
            f"metric: returned shape {found.shape} for weights of shape {block.shape}; "
            f"expected: one value for each of the {len(block)} rows"
        )
        raise MetricError(msg)
    return found


def _numbers(values: float | Floats) -> Floats:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        msg = f"metric: returned {type(values).__name__}; expected: a number, or an array of them"
        raise MetricError(msg) from None
