"""What every metric takes: outcomes, risks and weights, checked once and scored in blocks of rows.

Outcomes have shape (patient,). Risks have shape (..., patient), weights too; their leading axes
(draws, replicates) are broadcast against each other and kept. A metric is a function of blocks of
such rows, so that no Python loop runs over draws and memory stays small.

Whole-number weights count patients: a patient of weight 2 stands for two alike. Other weights are
shares and are rescaled so that they sum to the number of patients.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_cmvt.errors import MetricError

BLOCK_VALUES = 500_000  # risks of one block
THREADED_ABOVE = 4_000_000  # risks: below it threads cost more than they bring

type Floats = NDArray[np.float64]
type RowScore = Callable[[Floats, Floats, Floats], Floats]
"""(outcome (patient,), risk (row or 1, patient), weights (row or 1, patient)) → (row or 1, ...)"""


@dataclass(frozen=True, eq=False)
class Rows:
    """Checked input of a metric.

    Attributes
    ----------
    outcome : ndarray of {0, 1}, shape (patient,)
    risk, weights : ndarray, shape (row, patient)
        One row where the leading axes have size 1 or are absent, else one for each combination.
    shape : tuple of int
        Leading shape of the result.
    """

    outcome: Floats
    risk: Floats
    weights: Floats
    shape: tuple[int, ...]

    @property
    def length(self) -> int:
        """Number of rows to score."""
        return max(len(self.risk), len(self.weights))


def checked_rows(
    outcome: ArrayLike,
    risk: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    probability: bool = True,
    both_classes: bool = True,
) -> Rows:
    """Check outcomes, risks and weights, and put them in rows.

    Parameters
    ----------
    outcome : array_like of {0, 1}, shape (patient,)
    risk : array_like, shape (..., patient)
    weights : array_like, shape (..., patient), optional
        Not negative; default: one for each patient.
    probability : bool
        Whether risks must lie in [0, 1]; otherwise any finite score will do.
    both_classes : bool
        Whether events and non-events must both be there, with positive weight in every row.

    Returns
    -------
    Rows

    Raises
    ------
    MetricError
        Everything that is wrong with the input, at once.
    """
    y, scores = _numbers(outcome, "outcome"), _numbers(risk, "risk")
    given = np.ones(y.shape) if weights is None else _numbers(weights, "weights")
    problems = _outcome_problems(y, both_classes=both_classes)
    problems += _risk_problems(scores, y, probability=probability)
    if weights is not None and not problems:
        problems += _weight_problems(given, scores, y, both_classes=both_classes)
    if problems:
        msg = "this metric cannot be computed"
        raise MetricError(msg, problems)
    shape = np.broadcast_shapes(scores.shape[:-1], given.shape[:-1])
    return Rows(y, _rows(scores, shape), _rows(patient_weights(given), shape), shape)


def patient_weights(weights: Floats) -> Floats:
    """Weights as numbers of patients: whole numbers as they are, others rescaled to sum to n.

    Examples
    --------
    >>> patient_weights(np.array([2.0, 0.0, 1.0])), patient_weights(np.array([0.5, 0.25, 0.25]))
    (array([2., 0., 1.]), array([1.5 , 0.75, 0.75]))
    """
    if all(np.array_equal(row, np.rint(row)) for row in weights.reshape(-1, weights.shape[-1])):
        return weights
    return np.asarray(weights * (weights.shape[-1] / weights.sum(axis=-1, keepdims=True)))


def score_rows(score: RowScore, rows: Rows) -> Floats:
    """Score every row, in blocks, on all cores where there are many.

    Parameters
    ----------
    score : callable
        Takes the outcome, a block of rows of risks and one of weights; either may have a single
        row that stands for all. Returns one value, or one array, for each row.
    rows : Rows

    Returns
    -------
    ndarray, shape (*rows.shape, ...)
        The same whatever the number of cores: every row is scored by itself.
    """
    height = max(1, BLOCK_VALUES // max(len(rows.outcome), 1))
    blocks = [slice(start, start + height) for start in range(0, rows.length, height)]

    def scored(block: slice) -> Floats:
        risk, weights = (
            part if len(part) == 1 else part[block] for part in (rows.risk, rows.weights)
        )
        # 0/0 and log 0 have documented values; numpy need not warn of them
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return score(rows.outcome, risk, weights)

    many = rows.length * len(rows.outcome) > THREADED_ABOVE
    with _blas().limit(limits=1), ThreadPoolExecutor(_cores() if many else 1) as pool:
        found = np.concatenate(list(pool.map(scored, blocks)))
    return found.reshape((*rows.shape, *found.shape[1:]))


def scalar(values: Floats) -> float | Floats:
    """Return a float for a single risk vector, the array of the leading shape otherwise."""
    return float(values) if values.ndim == 0 else values


def checked_threshold(threshold: float) -> float:
    """Return a risk threshold inside (0, 1).

    Raises
    ------
    MetricError
    """
    return _inside_unit(threshold, f"threshold: found {threshold}; allowed: above 0 and below 1")


def checked_ci_prob(ci_prob: float) -> float:
    """Return the probability of an interval, inside (0, 1).

    Raises
    ------
    MetricError
    """
    msg = f"ci_prob: found {ci_prob}; allowed: above 0 and below 1, for instance 0.95"
    return _inside_unit(ci_prob, msg)


def _inside_unit(value: float, msg: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise MetricError(msg) from None
    if not 0 < number < 1:
        raise MetricError(msg)
    return number


@functools.cache
def _blas() -> Any:
    """Handle of the BLAS libraries, found once: looking for them costs more than many a metric."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _cores() -> int:
    return os.cpu_count() or 1


def _numbers(values: ArrayLike, name: str) -> Floats:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        msg = f"{name}: holds something other than numbers, or rows of different lengths"
        raise MetricError(msg) from None


def _outcome_problems(outcome: Floats, *, both_classes: bool) -> list[str]:
    if outcome.ndim != 1 or not len(outcome):
        return [f"outcome: has shape {outcome.shape}; expected: (patient,), at least one patient"]
    strange = outcome[(outcome != 0) & (outcome != 1)]
    if len(strange):
        return [f"outcome: {strange[0]:g} is neither 0 nor 1 ({len(strange)} such values)"]
    if both_classes and outcome.min() == outcome.max():
        only = "an event" if outcome[0] else "no event"
        return [f"outcome: all {len(outcome)} patients had {only}; both outcomes are needed"]
    return []


def _risk_problems(risk: Floats, outcome: Floats, *, probability: bool) -> list[str]:
    if risk.ndim == 0 or risk.shape[-1:] != outcome.shape[-1:]:
        return [f"risk: has shape {risk.shape}; expected: (..., {outcome.size}), as the outcome"]
    lowest, highest = (float(extreme(risk)) if risk.size else 0.0 for extreme in (np.min, np.max))
    if not np.isfinite(lowest + highest):
        count = int((~np.isfinite(risk)).sum())
        return [f"risk: {count} of {risk.size} values are missing (NaN) or infinite"]
    if probability and not 0 <= lowest <= highest <= 1:
        value = lowest if lowest < 0 else highest
        return [
            f"risk: {value:g} lies outside 0 to 1; give probabilities, not per cent or log-odds"
        ]
    return []


def _weight_problems(
    weights: Floats, risk: Floats, outcome: Floats, *, both_classes: bool
) -> list[str]:
    if weights.ndim == 0 or weights.shape[-1:] != outcome.shape[-1:]:
        return [f"weights: have shape {weights.shape}; expected: (..., {outcome.size})"]
    try:
        np.broadcast_shapes(weights.shape[:-1], risk.shape[:-1])
    except ValueError:
        return [
            f"weights: leading shape {weights.shape[:-1]} does not fit that of the risk, "
            f"{risk.shape[:-1]}"
        ]
    if not np.isfinite(weights).all() or weights.min(initial=0) < 0:
        return ["weights: hold missing, infinite or negative values"]
    classes = [1 - outcome, outcome] if both_classes else [np.ones(outcome.shape)]
    if not (weights @ np.column_stack(classes) > 0).all():
        return ["weights: leave no patient, or no patient of one outcome, in at least one row"]
    return []


def _rows(values: Floats, shape: tuple[int, ...]) -> Floats:
    """Put leading axes into one, without copying a single row that stands for all."""
    patients = values.shape[-1]
    if values.size == patients:
        return values.reshape(1, patients)
    return np.broadcast_to(values, (*shape, patients)).reshape(-1, patients)
