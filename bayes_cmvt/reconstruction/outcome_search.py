"""Give outcomes to synthetic patients: drawn from their risks, then exchanged until they fit.

Outcomes start as a draw from the risks. Pairs of an event and a non-event then exchange their
outcomes, by simulated annealing (Kirkpatrick, Gelatt & Vecchi 1983,
doi:10.1126/science.220.4598.671), until scores, AUC, its DeLong standard error and the number
classified right are as asked. The number of events never changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayes_cmvt.compilation import compiled, compiled_within
from bayes_cmvt.reconstruction.latent import Floats

HOT, COLD = 300.0, 0.1  # temperatures, in units of the cost
RIGHT_SCALE = 0.25  # patients classified right: one too many costs 16


@dataclass(frozen=True)
class OutcomeAim:
    """What outcomes should give; nan or 0 where nothing is asked.

    Attributes
    ----------
    events : int
    auc, se : float
        And its standard error.
    positive, true_positive : int
        Patients with the highest risks that count as positive, and events among them.
    auc_scale, se_scale, score_scale : float
        Miss that costs 1: of the AUC, of its standard error, of each score in standard errors.
    se_slack : float
        Miss of the standard error that costs nothing.
    """

    events: int
    auc: float = float("nan")
    se: float = float("nan")
    positive: int = 0
    true_positive: int = 0
    auc_scale: float = 3e-4
    se_scale: float = 3e-4
    score_scale: float = 0.01
    se_slack: float = 0.0


class Search(NamedTuple):
    """An aim as the kernel reads it."""

    auc: float
    se: float
    positive: int
    true_positive: int
    auc_scale: float
    se_scale: float
    se_slack: float


class Found(NamedTuple):
    """Outcomes, and what they miss."""

    outcome: Floats
    cost: float


def search_outcomes(
    log_odds: Floats,
    scores: Floats,
    aim: OutcomeAim,
    generator: np.random.Generator,
    proposals: int,
) -> Found:
    """Draw outcomes and exchange them until they fit.

    Parameters
    ----------
    log_odds : ndarray, shape (patient,)
    scores : ndarray, shape (score, patient)
        What a patient with the event adds to each score, whitened; sums over events should be
        those over risks.
    aim : OutcomeAim
    generator : Generator
    proposals : int
        Exchanges that are tried.

    Returns
    -------
    Found
        `outcome` of {0, 1}, shape (patient,); `cost` is the sum of squared misses in their units.
    """
    order = np.argsort(-log_odds, kind="stable")
    risk = 1 / (1 + np.exp(-log_odds[order]))
    ordered = np.ascontiguousarray(scores[:, order].T) / aim.score_scale
    noise = generator.logistic(size=len(order))
    chosen = np.argsort(-(log_odds[order] + noise), kind="stable")[: aim.events]
    outcome = np.zeros(len(order), dtype=np.int64)
    outcome[chosen] = 1
    search = Search(
        aim.auc,
        aim.se,
        aim.positive,
        aim.true_positive,
        aim.auc_scale,
        aim.se_scale,
        aim.se_slack,
    )
    temperature = np.geomspace(HOT, COLD, proposals)
    threshold = -temperature * np.log1p(-generator.random(proposals))
    picks = generator.random((proposals, 2))
    residual = ordered.T @ (outcome - risk)
    cost = _anneal(outcome, ordered, residual, search, picks, threshold)
    placed = np.empty(len(order))
    placed[order] = outcome
    return Found(placed, float(cost))


@compiled_within
def _ranking_cost(outcome: NDArray[np.int64], search: Search) -> float:
    """Cost of AUC, its standard error and the classification; patients from the highest risk."""
    n = len(outcome)
    events = 0
    for i in range(n):
        events += outcome[i]
    others = n - events
    above, seen, right = 0, 0, 0
    event_sum, event_squares, other_squares = 0.0, 0.0, 0.0
    for i in range(n):
        if outcome[i] == 1:
            share = (others - seen) / others
            event_sum += share
            event_squares += share * share
            above += 1
            if i < search.positive:
                right += 1
        else:
            share = above / events
            other_squares += share * share
            seen += 1
    auc = event_sum / events
    cost = 0.0
    if not np.isnan(search.auc):
        cost += ((auc - search.auc) / search.auc_scale) ** 2
    if not np.isnan(search.se):
        variance = (event_squares / events - auc * auc) / (events - 1)
        variance += (other_squares / others - auc * auc) / (others - 1)
        miss = abs(np.sqrt(max(variance, 0.0)) - search.se) - search.se_slack
        cost += (max(miss, 0.0) / search.se_scale) ** 2
    if search.positive > 0:
        cost += ((right - search.true_positive) / RIGHT_SCALE) ** 2
    return cost


@compiled
def _anneal(
    outcome: NDArray[np.int64],
    scores: Floats,
    residual: Floats,
    search: Search,
    picks: Floats,
    threshold: Floats,
) -> float:
    """Exchange outcomes in place; the best state is left in `outcome`, its cost returned."""
    events = np.flatnonzero(outcome == 1)
    others = np.flatnonzero(outcome == 0)
    now = float(np.sum(residual * residual)) + _ranking_cost(outcome, search)
    best = now
    best_outcome = outcome.copy()
    tried = np.empty_like(residual)
    for step in range(len(picks)):
        i = int(picks[step, 0] * len(events))
        j = int(picks[step, 1] * len(others))
        one, other = events[i], others[j]
        cost = 0.0
        for k in range(len(residual)):
            tried[k] = residual[k] + scores[other, k] - scores[one, k]
            cost += tried[k] * tried[k]
        if cost - now > threshold[step]:
            continue
        outcome[one], outcome[other] = 0, 1
        cost += _ranking_cost(outcome, search)
        if cost - now > threshold[step]:
            outcome[one], outcome[other] = 1, 0
            continue
        events[i], others[j] = other, one
        residual[:] = tried
        now = cost
        if now < best:
            best = now
            best_outcome[:] = outcome
    outcome[:] = best_outcome
    return best
