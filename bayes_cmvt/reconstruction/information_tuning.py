"""Tune what was assumed until the design gives the printed standard errors.

The standard errors of a logistic model depend on its design and its coefficients alone: at the
printed log-odds b the information is I(b) = XᵀWX, W = p(1 - p). Spreads, units and shares are
adjusted so that the diagonal of its inverse is what was printed; where the print is a bound, so
that the AUC that the model expects of itself is the printed one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from bayes_cmvt.published.quasi_random_design import expected_auc
from bayes_cmvt.reconstruction.latent import Drawn, Floats, Population, PrintedColumn
from bayes_cmvt.schema import Categorical

STEPS = 40
DAMPING = 0.7
AUC_GAIN = 4.0  # log spread per unit of AUC that is missing
LARGEST_STEP = 0.5
LARGEST_MINORITY, SMALLEST_MINORITY = 0.6, 0.005
BOUND_MARGIN = 1.05  # z above its printed bound
NEWTON_STEPS = 60


@dataclass(frozen=True, eq=False)
class Information:
    """A design at the printed coefficients.

    Attributes
    ----------
    design : ndarray, shape (patient, 1 + printed)
        With a column of ones first.
    log_odds : ndarray, shape (patient,)
        With the intercept at which risks add up to the events.
    intercept : float
    covariance : ndarray, shape (1 + printed, 1 + printed)
        Inverse information.
    """

    design: Floats
    log_odds: Floats
    intercept: float
    covariance: Floats

    @property
    def risk(self) -> Floats:
        """Shape (patient,)."""
        return np.asarray(expit(self.log_odds))

    @property
    def se(self) -> Floats:
        """Standard errors of the printed coefficients, shape (printed,)."""
        return np.sqrt(np.diagonal(self.covariance)[1:])


def information(columns: Floats, log_odds: Floats, events: float) -> Information:
    """Information of a design at given coefficients.

    Parameters
    ----------
    columns : ndarray, shape (patient, printed)
    log_odds : ndarray, shape (printed,)
    events : float
        What the risks add up to.

    Returns
    -------
    Information

    Examples
    --------
    >>> found = information(np.array([[0.0], [0.0], [1.0], [1.0]]), np.array([0.0]), 2)
    >>> found.intercept, found.se.round(6).tolist()  # 4 patients in 2 groups, risk 1/2
    (0.0, [2.0])
    """
    slope = columns @ log_odds
    intercept = _intercept(slope, events)
    risk = expit(intercept + slope)
    design = np.column_stack([np.ones(len(slope)), columns])
    matrix = design.T @ (design * (risk * (1 - risk))[:, np.newaxis])
    scale = np.sqrt(np.maximum(np.diagonal(matrix), 1e-300))
    inverse = np.linalg.pinv(matrix / np.outer(scale, scale), hermitian=True)
    return Information(design, intercept + slope, intercept, inverse / np.outer(scale, scale))


def _intercept(slope: Floats, events: float) -> float:
    """Where risks add up to the events: Newton's method inside a bracket."""
    share = np.log(events / (len(slope) - events))
    low, high = share - slope.max(), share - slope.min()
    value = share - float(slope.mean())
    for _ in range(NEWTON_STEPS):
        risk = expit(value + slope)
        excess = float(risk.sum() - events)
        low, high = (low, value) if excess > 0 else (value, high)
        step = excess / max(float((risk * (1 - risk)).sum()), 1e-300)
        value = value - step if low <= value - step <= high else (low + high) / 2
        if abs(step) < 1e-13:
            break
    return float(value)


def expected_auc_se(risk: Floats) -> float:
    """Standard error of the AUC that risks expect, from the spread of their own placements.

    DeLong's two variances with every patient an event by its risk and a non-event otherwise.

    Examples
    --------
    >>> round(expected_auc_se(np.array([0.5, 0.5])), 4)  # each above half of itself and the other
    0.3536
    """
    order = np.argsort(risk, kind="stable")
    events, others = risk[order], 1 - risk[order]
    above = (np.cumsum(others) - others / 2) / others.sum()
    below = 1 - (np.cumsum(events) - events / 2) / events.sum()
    area = float(events @ above) / events.sum()
    of_events = float(events @ (above - area) ** 2) / events.sum() ** 2
    of_others = float(others @ (below - area) ** 2) / others.sum() ** 2
    return float(np.sqrt(of_events + of_others))


def tune(
    population: Population, latent: Floats, events: int, auc: float | None
) -> tuple[Population, Information]:
    """Adjust the tuned quantities to the printed standard errors, for given latent variables.

    Parameters
    ----------
    population : Population
    latent : ndarray, shape (patient, drawn)
    events : int
    auc : float, optional
        Printed; adjusts quantities whose P value is printed as a bound.

    Returns
    -------
    Population
        Of all steps the one that comes closest.
    Information
        Of its design.
    """
    log_odds = np.array([one.log_odds for one in population.printed])
    raw = population.raw(latent)
    best: tuple[float, Population, Information] | None = None
    for step in range(STEPS):
        found = information(population.columns(raw), log_odds, events)
        missed = misfit(population, found, auc)
        if best is None or missed < best[0]:
            best = (missed, population, found)
        if step == STEPS - 1 or missed < 1e-8:
            break
        population, changed = _adjusted(population, found, auc, DAMPING / (1 + step / 20))
        for name in changed:
            place = population.names.index(name)
            raw[name] = population.drawn[place].values(latent[:, place])
    assert best is not None
    return best[1], best[2]


def misfit(population: Population, found: Information, auc: float | None) -> float:
    """Sum of squares of what a design misses, in units in which 1 is a bad miss."""
    total = 0.0
    for j, one in enumerate(population.printed):
        if one.se is not None:
            total += float(np.log(found.se[j] / one.se) / 0.02) ** 2
        elif np.isfinite(one.largest_se):
            excess = np.log(found.se[j] * BOUND_MARGIN / one.largest_se)
            total += max(0.0, float(excess) / 0.02) ** 2
    if auc is not None:
        total += ((expected_auc(found.risk) - auc) / 0.01) ** 2
    return total


def _adjusted(
    population: Population, found: Information, auc: float | None, damping: float
) -> tuple[Population, list[str]]:
    missing_auc = 0.0 if auc is None else AUC_GAIN * (auc - expected_auc(found.risk))
    changed = []
    for j, one in enumerate(population.printed):
        if one.quantity is None:
            continue
        quantity = population.quantity(one.quantity)
        if quantity.tune == "nothing":
            continue
        if one.se is not None:
            factor = float(np.log(found.se[j] / one.se))
        elif np.isfinite(one.largest_se) and auc is None:
            factor = float(np.log(found.se[j] * BOUND_MARGIN**2 / one.largest_se))
        else:
            factor = missing_auc
        factor = float(np.clip(damping * factor, -LARGEST_STEP, LARGEST_STEP))
        population = population.with_quantity(_wider(quantity, one, factor))
        changed.append(quantity.name)
    return population, changed


def _wider(quantity: Drawn, one: PrintedColumn, by: float) -> Drawn:
    """A quantity whose column spreads more by a factor, given as its logarithm."""
    if quantity.tune == "sd":
        return replace(quantity, sd=quantity.sd * float(np.exp(by)))
    if quantity.tune == "median":
        return replace(quantity, median=quantity.median * float(np.exp(by)))
    shares = np.array(quantity.shares)
    rarer = np.ones(len(shares), dtype=bool)
    if isinstance(one.predictor, Categorical):
        rarer[:] = False
        rarer[one.predictor.terms.index(one.term) + 1] = True
    else:
        rarer[int(np.argmax(shares))] = False
    return replace(quantity, shares=_with_minority(shares, rarer, 2 * by))


def _with_minority(shares: Floats, rarer: NDArray[np.bool_], by: float) -> tuple[float, ...]:
    """Multiply the share of some classes; the others make up for it."""
    now = float(shares[rarer].sum())
    then = float(np.clip(now * np.exp(by), SMALLEST_MINORITY, LARGEST_MINORITY))
    changed = np.where(rarer, shares * then / now, shares * (1 - then) / (1 - now))
    return tuple(changed.tolist())


def tuned_quantities(before: Population, after: Population) -> Mapping[str, tuple[str, str, str]]:
    """What was tuned, from which value to which, in words.

    Returns
    -------
    dict of str to (str, str, str)
        Quantity to what of it, the assumed and the reached value.
    """
    found = {}
    for old, new in zip(before.drawn, after.drawn, strict=True):
        if old.tune == "shares" and any(one.quantity == old.name for one in before.printed):
            values = [", ".join(f"{share:.3f}" for share in each.shares) for each in (old, new)]
        elif old.tune in {"median", "sd"}:
            values = [f"{getattr(each, old.tune):.3g}" for each in (old, new)]
        else:
            continue
        found[old.name] = (old.tune, values[0], values[1])
    return found
