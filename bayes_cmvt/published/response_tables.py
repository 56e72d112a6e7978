"""Printed shares of responders as tables: the priors, what they predict, what outweighs them.

Everything here is said before any patient, from `bayes_cmvt.responses` alone: each group's
probability has the prior Beta(successes, failures); neither the study's own prior of coefficients
nor other predictors enter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betainc, betaincinv, betaln, expit, gammaln, ndtri

from bayes_cmvt.errors import OptionError
from bayes_cmvt.intervals import tails
from bayes_cmvt.responses import (
    ResponseDirection,
    ResponsePrior,
    Where,
    where_text,
)
from bayes_cmvt.schema import level_key

DIRECTION_SD = math.log(2)  # of the log odds ratio behind a direction without a figure; ours
NEW_PATIENTS = 20
DATA_WEIGHTS = (0.5, 0.8, 0.9)
NODES = 80  # of each Gauss-Legendre rule: integrands are smooth, errors below 1e-9

type Floats = NDArray[np.float64]


def response_table(priors: Sequence[ResponsePrior], ci_prob: float = 0.95) -> pd.DataFrame:
    """Printed shares and the priors made of them.

    Parameters
    ----------
    priors : sequence of ResponsePrior
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        ``group, where, printed, low, high, worth, successes, failures, prior_mean, prior_lower,
        prior_upper, worth_of_range, note, interval``; ``worth_of_range`` is the worth that the
        printed range would imply if it were a 95 % interval, which no source says that it is.
    """
    lower, upper = tails(ci_prob)
    rows = [
        {
            "group": prior.group,
            "where": where_text(prior.where),
            "printed": prior.printed,
            "low": prior.low,
            "high": prior.high,
            "worth": prior.worth,
            "successes": prior.a,
            "failures": prior.b,
            "prior_mean": prior.a / prior.worth,
            "prior_lower": float(betaincinv(prior.a, prior.b, lower)),
            "prior_upper": float(betaincinv(prior.a, prior.b, upper)),
            "worth_of_range": worth_of_range(prior.mean, prior.high - prior.low),
            "note": prior.note,
            "interval": ci_prob,
        }
        for prior in priors
    ]
    return pd.DataFrame(rows)


def worth_of_range(mean: float, width: float) -> float:
    """Patients' worth of a Beta prior of this mean whose central 95 % are as wide as a range.

    Parameters
    ----------
    mean : float in (0, 1)
    width : float in (0, 1)

    Returns
    -------
    float
        Not rounded; nan where no Beta distribution of that mean is as wide.

    Examples
    --------
    >>> round(worth_of_range(0.6, 0.2), 1)        # 50 to 70 %
    90.7
    """

    def surplus(log_worth: float) -> float:
        worth = math.exp(log_worth)
        ends = betaincinv(worth * mean, worth * (1 - mean), [0.025, 0.975])
        return float(ends[1] - ends[0]) - width

    narrow, wide = math.log(1e8), math.log(0.05)
    if not 0 < mean < 1 or width <= 0 or surplus(wide) < 0 or surplus(narrow) > 0:
        return math.nan
    return math.exp(float(brentq(surplus, wide, narrow)))


# --- what the priors predict ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Shift:
    """Distribution of a stratum's shift of the log-odds: values and their probabilities."""

    value: Floats
    probability: Floats


NO_SHIFT = _Shift(np.zeros(1), np.ones(1))


def response_predictive(
    priors: Sequence[ResponsePrior],
    directions: Sequence[ResponseDirection] = (),
    *,
    patients: int = NEW_PATIENTS,
    direction_sd: float = DIRECTION_SD,
    ci_prob: float = 0.95,
) -> pd.DataFrame:
    """What the priors say of the probability, and of the number responding among new patients.

    A row for each group, and one for each of its strata that a direction divides: there the log
    odds ratio between the strata is half-normal with the SD `direction_sd`, half of it added to
    the group's log-odds in the better stratum and half taken off in the worse, so that the group's
    middle stays. In a group without a printed direction both strata have the group's own prior.

    Parameters
    ----------
    priors : sequence of ResponsePrior
    directions : sequence of ResponseDirection
    patients : int
        New patients of each row.
    direction_sd : float
        No source prints it; the default ln 2 has a median odds ratio of 1.6, 95 % below 3.9.
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        ``group, where, stratum`` ("all" for the group), ``prior_mean, prior_lower, prior_upper`` of
        the probability, ``patients, responders, responders_lower, responders_upper`` (mean and
        equal-tailed interval of their number), ``note, interval``.

    Raises
    ------
    OptionError
        Patients below 1, an SD of 0 or less, a probability outside (0, 1).
    """
    problems = [] if patients >= 1 else [f"new patients: found {patients}; allowed: 1 or more"]
    if not 0 < direction_sd < math.inf:
        problems.append(f"SD of the direction: found {direction_sd}; it must be above 0")
    if problems:
        msg = "no response can be predicted"
        raise OptionError(msg, problems)
    limits = tails(ci_prob)
    rows = [
        {"group": prior.group, "where": where_text(prior.where), "stratum": stratum}
        | _predicted(prior, shift, patients, limits)
        | {"note": note, "interval": ci_prob}
        for prior in priors
        for stratum, shift, note in _strata(prior, directions, direction_sd)
    ]
    return pd.DataFrame(rows)


def _strata(
    prior: ResponsePrior, directions: Sequence[ResponseDirection], direction_sd: float
) -> Iterator[tuple[str, _Shift, str]]:
    """Name, shift and note of a group as a whole, then of the strata that any direction names."""
    yield "all", NO_SHIFT, ""
    told: dict[str, tuple[_Shift, str]] = {}
    for direction in directions:
        applies = _levels(direction.where) == _levels(prior.where)
        for stratum, sign in ((direction.better, 0.5), (direction.worse, -0.5)):
            name = where_text(stratum)
            if applies:
                told[name] = (
                    _half_normal(sign * direction_sd),
                    f"direction printed, no figure: log odds ratio half-normal, SD "
                    f"{direction_sd:.3g} (ours), half of it {'added' if sign > 0 else 'taken off'}",
                )
            elif not _names(stratum) & _names(prior.where):
                told.setdefault(name, (NO_SHIFT, "no difference printed: prior of the group"))
    for name, (shift, note) in told.items():
        yield name, shift, note


def _levels(where: Where) -> dict[str, float | str]:
    return {name: level_key(level) for name, level in where}


def _names(where: Where) -> set[str]:
    return {name for name, _ in where}


def _half_normal(scale: float) -> _Shift:
    """Signed half-normal shift; a Gauss-Legendre rule out to 9 SD."""
    at, weight = np.polynomial.legendre.leggauss(NODES)
    z = 4.5 * (at + 1)
    density = weight * np.exp(-(z**2) / 2)
    return _Shift(scale * z, density / density.sum())


def _predicted(
    prior: ResponsePrior, shift: _Shift, patients: int, limits: tuple[float, float]
) -> dict[str, Any]:
    log_odds, probability = _beta_nodes(prior.a, prior.b)
    shifted = expit(log_odds[:, np.newaxis] + shift.value)
    joint = probability[:, np.newaxis] * shift.probability
    mean = float((shifted * joint).sum())
    lower, upper = (_quantile(prior, shift, level) for level in limits)
    cumulative = np.cumsum(_responders(prior, shift, patients))
    fewest, most = (int(np.searchsorted(cumulative, level - 1e-12)) for level in limits)
    return {
        "prior_mean": mean,
        "prior_lower": lower,
        "prior_upper": upper,
        "patients": patients,
        "responders": patients * mean,
        "responders_lower": fewest,
        "responders_upper": min(most, patients),
    }


def _beta_nodes(a: int, b: int) -> tuple[Floats, Floats]:
    """Log-odds of a Beta variable and their probabilities: Gauss-Legendre over its bulk."""
    low, high = betaincinv(a, b, 1e-14), 1 - betaincinv(b, a, 1e-14)
    start, end = math.log(low) - math.log1p(-low), math.log(high) - math.log1p(-high)
    at, weight = np.polynomial.legendre.leggauss(NODES)
    log_odds = start + (end - start) * (at + 1) / 2
    log_density = a * log_odds - (a + b) * np.logaddexp(0, log_odds)
    density = weight * np.exp(log_density - log_density.max())
    return log_odds, density / density.sum()


def _quantile(prior: ResponsePrior, shift: _Shift, level: float) -> float:
    """Quantile of the shifted probability: its distribution function, inverted."""
    if len(shift.value) == 1:
        return float(betaincinv(prior.a, prior.b, level))

    def surplus(log_odds: float) -> float:
        below = betainc(prior.a, prior.b, expit(log_odds - shift.value))
        return float(below @ shift.probability) - level

    return float(expit(brentq(surplus, -60.0, 60.0)))


def _responders(prior: ResponsePrior, shift: _Shift, patients: int) -> Floats:
    """Probability of each number of responders, from none to all."""
    number = np.arange(patients + 1)
    log_choose = gammaln(patients + 1) - gammaln(number + 1) - gammaln(patients - number + 1)
    if len(shift.value) == 1:
        log_ways = betaln(prior.a + number, prior.b + patients - number) - betaln(prior.a, prior.b)
        return np.asarray(np.exp(log_choose + log_ways))
    log_odds, probability = _beta_nodes(prior.a, prior.b)
    shifted = (log_odds[:, np.newaxis] + shift.value).ravel()
    joint = (probability[:, np.newaxis] * shift.probability).ravel()
    hit, missed = -np.logaddexp(0, -shifted), -np.logaddexp(0, shifted)
    return np.array(
        [
            np.exp(choose + k * hit + (patients - k) * missed) @ joint
            for k, choose in zip(number, log_choose, strict=True)
        ]
    )


# --- what outweighs them -------------------------------------------------------------------------


def response_weight(
    priors: Sequence[ResponsePrior], weights: Sequence[float] = DATA_WEIGHTS
) -> pd.DataFrame:
    """Patients of a group after which the data outweigh its prior.

    The posterior mean is (worth × prior mean + n × observed share) / (worth + n): the data have
    the weight n / (worth + n), and the prior moves the mean from the observed share by the rest of
    the weight times the distance between the two. That holds for a group by itself; predictors that
    the groups share, and the study's own prior, change it.

    Parameters
    ----------
    priors : sequence of ResponsePrior
    weights : sequence of float in (0, 1)
        Of the data; 0.5 asks for more than half.

    Returns
    -------
    DataFrame
        ``group, where, worth, data_weight, n, largest_pull`` (most that the prior can still move
        the posterior mean, whatever share is observed), ``note`` (a sentence).

    Examples
    --------
    >>> from bayes_cmvt.responses import response_priors
    >>> from bayes_cmvt.study import load_study
    >>> response_weight(response_priors(load_study("ldh")))["n"].tolist()[:3]
    [21, 80, 180]
    """
    rows = [_weighed(prior, weight) for prior in priors for weight in weights]
    return pd.DataFrame(rows)


def _weighed(prior: ResponsePrior, weight: float) -> dict[str, Any]:
    if not 0 < weight < 1:
        msg = f"weight of the data: found {weight}; it must lie between 0 and 1"
        raise OptionError(msg)
    exact = round(prior.worth * weight / (1 - weight), 9)
    n = math.floor(exact) + 1 if weight == 0.5 else math.ceil(exact)
    mean = prior.a / prior.worth
    pull = prior.worth / (prior.worth + n) * max(mean, 1 - mean)
    share = f"{weight:.0%} of the weight".replace("%", " %")
    sentence = (
        f"{where_text(prior.where)}: from {n:,} patients on the data have "
        f"{'more weight than the printed figure' if weight == 0.5 else share}, and the "
        f"figure moves the estimate by at most {pull:.2f}"
    )
    return {
        "group": prior.group,
        "where": where_text(prior.where),
        "worth": prior.worth,
        "data_weight": weight,
        "n": n,
        "largest_pull": pull,
        "note": sentence,
    }


def direction_in_words(direction_sd: float = DIRECTION_SD) -> str:
    """Say what is assumed of a direction that is printed without a figure.

    Examples
    --------
    >>> direction_in_words()[:61]
    'a direction printed without a figure is taken as an odds rati'
    """
    median, high = (math.exp(direction_sd * float(ndtri(level))) for level in (0.75, 0.975))
    return (
        "a direction printed without a figure is taken as an odds ratio above 1, median "
        f"{median:.1f}, 95 % below {high:.1f} (half-normal on the log-odds; our assumption)"
    )
