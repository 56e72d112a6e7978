"""A population whose true risks are known, a rule deployed in it, and the intervals that judge it.

Six independent normal predictors; the rule's coefficients are those of a fit that learnt them with
error and came out too extreme. Validation sets are drawn from the population with replacement and
outcomes from the true risks, so that the rule's true figures are sums over the population: exact.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray

from bayes_cmvt import metrics
from bayes_cmvt.intervals import equal_tailed
from bayes_cmvt.threads import side_by_side

POPULATION = 20_000
DEVELOPMENT, VALIDATION = 224, 95  # patients of the CMVT study
DRAWS = 500
THRESHOLD = 0.3
TRUE = np.array([-1.6, 0.9, 0.7, 0.6, 0.5, 0.4, 0.3])
FITTED = np.array([-1.5, 1.3, 0.7, 1.0, 0.4, 0.8, 0.0])

DELONG, DELONG_LOGIT, MODEL = "DeLong", "DeLong, logit", "model-based standard error"
BOOTSTRAP, OVER_DRAWS = "Bayesian bootstrap", "over draws"

type Floats = NDArray[np.float64]
type Outcome = NDArray[np.int8]


def net_benefit(outcome: Any, risk: Any, *, weights: Any = None) -> Any:
    return metrics.net_benefit(outcome, risk, THRESHOLD, weights=weights)


METRICS = {"auc": metrics.auc, "slope": metrics.calibration_slope, "net_benefit": net_benefit}


@dataclass(frozen=True, eq=False)
class Population:
    """True risk, risk by the deployed rule, and risk by each posterior draw behind that rule.

    Attributes
    ----------
    truth, rule : ndarray, shape (patient,)
        The rule is the mean of the draws' risks.
    draws : ndarray, shape (draw, patient)
    """

    truth: Floats
    rule: Floats
    draws: Floats

    def patients(self, size: int, rng: Generator) -> tuple[NDArray[np.int64], Outcome]:
        """Patients drawn with replacement, and what becomes of them."""
        chosen = rng.integers(0, len(self.truth), size)
        return chosen, (rng.random(size) < self.truth[chosen]).astype(np.int8)


@functools.cache
def population() -> Population:
    """The population; draws are normal around the fit, with the information of 224 patients."""
    rng = np.random.default_rng(2025)
    x = np.column_stack([np.ones(POPULATION), rng.standard_normal((POPULATION, len(TRUE) - 1))])
    fitted = expit(x @ FITTED)
    information = DEVELOPMENT / POPULATION * (x.T * (fitted * (1 - fitted))) @ x
    draws = rng.multivariate_normal(FITTED, np.linalg.inv(information), DRAWS)
    risks = expit(draws @ x.T)
    return Population(expit(x @ TRUE), risks.mean(axis=0), risks)


def expit(log_odds: Floats) -> Floats:
    return 1 / (1 + np.exp(-log_odds))


def true_figure(metric: Any, risk: Floats) -> Any:
    """A metric in the population: everybody counts twice, as event and as non-event."""
    truth = population().truth
    outcome = np.repeat([1, 0], len(truth))
    return metric(outcome, np.tile(risk, 2), weights=np.concatenate([truth, 1 - truth]))


@functools.cache
def true_figures() -> dict[str, float]:
    """AUC, slope and net benefit of the deployed rule."""
    return {name: true_figure(metric, population().rule) for name, metric in METRICS.items()}


def closed_intervals(outcome: Outcome, rule: Floats) -> Iterator[tuple[str, str, float, float]]:
    """Figure, method and limits of the intervals that need no resampling."""
    for scale, method in (("plain", DELONG), ("logit", DELONG_LOGIT)):
        area = metrics.auc_delong(outcome, rule, scale=scale)
        yield "auc", method, area.lower, area.upper
    line = metrics.recalibration(outcome, rule)
    yield "slope", MODEL, line.slope_lower, line.slope_upper


def bootstrap_intervals(
    outcome: Outcome, rule: Floats, replicates: int, seed: SeedSequence
) -> Iterator[tuple[str, str, float, float]]:
    for figure, metric in METRICS.items():
        found = metrics.metric_interval(metric, outcome, rule, replicates=replicates, seed=seed)
        yield figure, BOOTSTRAP, found.lower, found.upper


def draw_limits(outcome: Outcome, draws: Floats) -> Iterator[tuple[str, str, float, float]]:
    """Limits of each draw's own scores: draw instability, an interval of nothing."""
    for figure, metric in METRICS.items():
        lower, _, upper = equal_tailed(metric(outcome, draws))
        yield figure, OVER_DRAWS, lower, upper


def simulate(
    sets: int, *, replicates: int = 0, draws: bool = False, seed: int = 2025
) -> pd.DataFrame:
    """Limits of every 95 % interval in every validation set: one row each."""
    known = population()

    def judge(number: int, stream: SeedSequence, _: Event) -> list[tuple[Any, ...]]:
        patients, weights = stream.spawn(2)
        chosen, outcome = known.patients(VALIDATION, np.random.default_rng(patients))
        rows = list(closed_intervals(outcome, known.rule[chosen]))
        if replicates:
            rows += bootstrap_intervals(outcome, known.rule[chosen], replicates, weights)
        if draws:
            rows += draw_limits(outcome, known.draws[:, chosen])
        return [(number, *row) for row in rows]

    streams = SeedSequence(seed).spawn(sets)
    tasks = [functools.partial(judge, number, stream) for number, stream in enumerate(streams)]
    judged = side_by_side(tasks, threads=os.cpu_count() or 1, watch=lambda: None)
    columns = ["set", "figure", "method", "lower", "upper"]
    return pd.DataFrame([row for rows in judged for row in rows], columns=columns)


def coverage(simulated: pd.DataFrame) -> pd.DataFrame:
    """Coverage with its Monte Carlo error, mean width and mean interval score, by method."""
    truth = simulated["figure"].map(true_figures())
    lower, upper = simulated["lower"], simulated["upper"]
    each = simulated.assign(
        truth=truth,
        coverage=(lower <= truth) & (truth <= upper),
        width=upper - lower,
        interval_score=metrics.interval_score(lower, upper, truth),
    ).groupby(["figure", "method"], sort=False)
    table = each[["truth", "coverage", "width", "interval_score"]].mean()
    share = table["coverage"]
    table.insert(2, "coverage_mcse", np.sqrt(share * (1 - share) / each.size()))
    return table
