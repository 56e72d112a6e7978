"""Discrimination for patients that the model has not seen: leave-pair-out AUC from the draws.

The AUC of pooled leave-one-out risks is biased downwards where the signal is weak: leaving out an
event lowers the risk of everybody else, leaving out a non-event raises it, and the patients left
out are then compared across these different models. Leaving out both patients of a pair compares
them under one model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_cmvt.errors import MetricError
from bayes_cmvt.importance import good_k, means_without_pairs
from bayes_cmvt.metrics.arrays import checked_rows

DRAWS_AT_LEAST = 100
MAX_PAIRS = 50_000
EQUAL_RISKS = 1e-12  # relative difference that is rounding: patients who are alike must tie

type Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LeavePairOut:
    """Leave-pair-out AUC, and whether its importance weights can be trusted.

    Attributes
    ----------
    estimate : float
        Between 0 and 1.
    monte_carlo_se : float
        Standard error due to evaluating some pairs only; 0 where all were evaluated. It says
        nothing of the uncertainty over patients, nor of that due to the number of draws.
    pairs, evaluated : int
        Pairs of an event and a non-event, and how many of them were compared.
    pareto_k_max : float
        Largest Pareto k̂ of the evaluated pairs; NaN where no Pareto distribution fits one of them,
        which is worse than any number.
    good_k : float
        Largest k̂ that this number of draws supports.
    bad_pairs : int
        Evaluated pairs above it: their comparison is not reliable.
    patients : int
    compared : ndarray of int, shape (evaluated, 2)
        Positions of the event and the non-event of each pair.
    scores : ndarray, shape (evaluated,)
        1 where the event has the higher risk, ½ where both are equal, else 0.
    """

    estimate: float
    monte_carlo_se: float
    pairs: int
    evaluated: int
    pareto_k_max: float
    good_k: float
    bad_pairs: int
    patients: int
    compared: NDArray[np.int64]
    scores: Floats

    def weighted(self, weights: ArrayLike) -> Floats:
        """Return the estimate with patients weighted, as a bootstrap over patients weighs them.

        The models stay as they are: what varies is who judges them.

        Parameters
        ----------
        weights : array_like, shape (replicate, patient)

        Returns
        -------
        ndarray, shape (replicate,)

        Raises
        ------
        MetricError
            Weights of other patients.
        """
        from scipy.sparse import csr_array

        rows = np.asarray(weights, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.patients:
            msg = f"weights: have shape {rows.shape}; expected: (replicate, {self.patients})"
            raise MetricError(msg)
        won, compared = (
            (csr_array((values, tuple(self.compared.T)), shape=(self.patients,) * 2).T @ rows.T)
            for values in (self.scores, np.ones(self.evaluated))
        )
        return np.asarray((won.T * rows).sum(axis=-1) / (compared.T * rows).sum(axis=-1))


def leave_pair_out_auc(
    log_likelihood: ArrayLike,
    outcome: ArrayLike,
    linear_predictor: ArrayLike,
    *,
    efficiency: float = 1.0,
    max_pairs: int = MAX_PAIRS,
    seed: int = 2025,
) -> float:
    """Area under the ROC curve with every pair judged by a model that has seen neither patient.

    The estimate of `leave_pair_out`, which also tells whether it can be trusted: see its Pareto k̂.

    Parameters
    ----------
    log_likelihood, linear_predictor : array_like, shape (..., patient)
    outcome : array_like of {0, 1}, shape (patient,)
    efficiency, max_pairs, seed
        As in `leave_pair_out`.

    Returns
    -------
    float

    Raises
    ------
    MetricError
        As `leave_pair_out`.

    Examples
    --------
    >>> predictor = np.tile([0.0, 0.0, -1.0], (100, 1))   # draws that do not differ: ½ and 1
    >>> likelihood = -np.logaddexp(0, predictor * [-1, 1, 1])
    >>> leave_pair_out_auc(likelihood, [1, 0, 0], predictor)
    0.75
    """
    return leave_pair_out(
        log_likelihood,
        outcome,
        linear_predictor,
        efficiency=efficiency,
        max_pairs=max_pairs,
        seed=seed,
    ).estimate


def leave_pair_out(
    log_likelihood: ArrayLike,
    outcome: ArrayLike,
    linear_predictor: ArrayLike,
    *,
    efficiency: float = 1.0,
    max_pairs: int = MAX_PAIRS,
    seed: int = 2025,
) -> LeavePairOut:
    """Leave-pair-out AUC with the diagnostics of its importance weights.

    For each event i and non-event j the draws are weighted by ``1 / (p(y_i | θ) p(y_j | θ))``,
    Pareto-smoothed (Vehtari et al. 2024, JMLR 25:72), which makes their posterior mean risks those
    of the model fitted without the two. The pair counts 1 where the event has the higher risk, ½
    where both are equal, else 0; the estimate is the mean over pairs (Airola et al. 2011,
    doi:10.1016/j.csda.2010.11.018).

    Parameters
    ----------
    log_likelihood : array_like, shape (..., patient)
        Log-probability of each patient's outcome under each draw, at most 0. Leading axes (chain,
        draw) together are the draws, at least 100.
    outcome : array_like of {0, 1}, shape (patient,)
    linear_predictor : array_like, shape (..., patient)
        Log-odds of the event under each draw.
    efficiency : float, above 0
        Effective share of the draws: 1 where they are independent.
    max_pairs : int, at least 2
        All pairs are compared where there are no more than this, otherwise that many different
        ones, drawn at random.
    seed : int, not negative
        Of that draw.

    Returns
    -------
    LeavePairOut
        The same whatever the number of cores.

    Raises
    ------
    MetricError
        Shapes that differ, values missing or infinite, a log-likelihood above 0, outcomes other
        than 0 and 1 or all alike, fewer than 100 draws, options outside what is allowed.

    Examples
    --------
    >>> predictor = np.tile([1.0, 0.0, -1.0], (100, 1))
    >>> result = leave_pair_out(-np.logaddexp(0, predictor * [-1, 1, 1]), [1, 0, 0], predictor)
    >>> result.estimate, result.evaluated, result.bad_pairs
    (1.0, 2, 0)
    """
    from scipy.special import expit

    _check_options(max_pairs, seed)
    likelihood, outcomes, predictor = _checked(log_likelihood, outcome, linear_predictor)
    pairs, count = _chosen_pairs(outcomes, max_pairs, seed)
    left_out = means_without_pairs(likelihood, expit(predictor), pairs, efficiency=efficiency)
    scores = _scores(left_out.means)
    limit = good_k(len(likelihood))
    return LeavePairOut(
        estimate=float(scores.mean()),
        monte_carlo_se=_standard_error(scores, count),
        pairs=count,
        evaluated=len(scores),
        pareto_k_max=float(left_out.pareto_k.max()),
        good_k=limit,
        bad_pairs=int((~(left_out.pareto_k <= limit)).sum()),
        patients=len(outcomes),
        compared=pairs,
        scores=scores,
    )


def _scores(risks: Floats) -> Floats:
    """Score each pair: 1 where the first patient, the event, has the higher risk, ½ where equal."""
    event, other = risks.T
    equal = np.abs(event - other) <= EQUAL_RISKS * np.maximum(event, other)
    return np.where(equal, 0.5, event > other)


def _standard_error(scores: Floats, population: int) -> float:
    """Return the standard error of the mean of a simple random sample of a finite population."""
    left = 1 - len(scores) / population
    return float(np.sqrt(left * scores.var(ddof=1) / len(scores))) if left else 0.0


def _chosen_pairs(outcome: Floats, max_pairs: int, seed: int) -> tuple[NDArray[np.int64], int]:
    """Return the pairs (event, non-event) to compare, and how many there are."""
    events, others = np.flatnonzero(outcome == 1), np.flatnonzero(outcome == 0)
    count = len(events) * len(others)
    if count <= max_pairs:
        chosen = np.arange(count)
    else:
        chosen = np.sort(np.random.default_rng(seed).choice(count, max_pairs, replace=False))
    first, second = np.divmod(chosen, len(others))
    return np.column_stack([events[first], others[second]]), count


def _check_options(max_pairs: int, seed: int) -> None:
    problems = [
        f"{name}: found {value!r}; allowed: a whole number, {least} or more"
        for name, value, least in (("max_pairs", max_pairs, 2), ("seed", seed, 0))
        if not isinstance(value, int | np.integer) or value < least
    ]
    if problems:
        msg = "leave-pair-out cannot be computed"
        raise MetricError(msg, problems)


def _checked(
    log_likelihood: ArrayLike, outcome: ArrayLike, linear_predictor: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """Return the arrays with all draws on the first axis, or say all that is wrong with them."""
    outcomes = checked_rows(outcome, np.zeros(np.shape(outcome))).outcome
    named = {"log_likelihood": log_likelihood, "linear_predictor": linear_predictor}
    arrays = {name: _numbers(values, name) for name, values in named.items()}
    likelihood, predictor = arrays.values()
    problems = [
        problem
        for name, values in arrays.items()
        for problem in _value_problems(name, values, len(outcomes))
    ]
    if not problems:
        problems = _draw_problems(likelihood, predictor)
    if problems:
        msg = "leave-pair-out cannot be computed"
        raise MetricError(msg, problems)
    patients = len(outcomes)
    return likelihood.reshape(-1, patients), outcomes, predictor.reshape(-1, patients)


def _value_problems(name: str, values: Floats, patients: int) -> list[str]:
    if values.ndim == 0 or values.shape[-1] != patients:
        return [f"{name}: has shape {values.shape}; expected: (..., {patients}), as the outcome"]
    strange = int((~np.isfinite(values)).sum())
    if strange:
        return [f"{name}: {strange} of {values.size} values are missing (NaN) or infinite"]
    return []


def _draw_problems(likelihood: Floats, predictor: Floats) -> list[str]:
    """Say what is wrong with arrays that are right each by itself."""
    problems = []
    if likelihood.shape != predictor.shape:
        problems.append(
            f"log_likelihood, linear_predictor: have shapes {likelihood.shape} and "
            f"{predictor.shape}; expected: the same draws in both"
        )
    draws = likelihood.size // likelihood.shape[-1]
    if draws < DRAWS_AT_LEAST:
        problems.append(
            f"log_likelihood: holds {draws} draws; at least {DRAWS_AT_LEAST} are needed to weight "
            "them: give all draws of all chains, thin them less, or sample more"
        )
    highest = likelihood.max(initial=-np.inf)
    if highest > 0:
        problems.append(
            f"log_likelihood: {highest:g} is above 0, which no log-probability is; give the "
            "log-likelihood first, the outcome second, the linear predictor third"
        )
    return problems


def _numbers(values: ArrayLike, name: str) -> Floats:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        msg = f"{name}: holds something other than numbers, or rows of different lengths"
        raise MetricError(msg) from None
