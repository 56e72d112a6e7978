"""A large design without sampling noise, and the standard errors that it has.

The information of a logistic model at given coefficients, ``I(b) = XᵀWX`` with ``W = p(1 - p)``,
depends on the predictors and the event share alone. Patients are 8,192 quasi-random points that
stand for n of them; predictors are cut from, or scaled on, standard normals that point towards
higher risk and correlate equally.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtri
from scipy.stats import qmc

POINTS_LOG2, MANY = 13, 8
SEED = 2025  # of the scrambling: the same points every time
INTERCEPT_STEPS = 50

type Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Item:
    """One printed coefficient as a column of the design.

    Attributes
    ----------
    term : str
    log_odds : float
        Other than 0.
    se : tuple of float
        Lowest, at the print, highest.
    binary : bool
    log_sd : float
        Of a measurement: 0 for a normal one, else the SD of its logarithm.
    free : bool
        The print bounds its SE only; ``se`` is then that at the bound.
    """

    term: str
    log_odds: float
    se: tuple[float, float, float]
    binary: bool
    log_sd: float = 0.0
    free: bool = False


@dataclass(frozen=True)
class Setting:
    """What is assumed around the printed coefficients.

    Attributes
    ----------
    n, events : int
    correlation : float in [0, 1)
        Of any two latent normals, in the direction of risk.
    reversed : frozenset of str
        Terms of which the class coded 0 is the smaller one.
    """

    n: int
    events: int
    correlation: float = 0.0
    reversed: frozenset[str] = frozenset()


def quasi_random_normals(items: int) -> Floats:
    """Scrambled Sobol points, made normal; the same for the same number of items.

    Returns
    -------
    ndarray, shape (8192, 1 + item)
        One normal that all items share, and one of its own for each; half as many points for more
        than 8 items, for time.

    Examples
    --------
    >>> normals = quasi_random_normals(2)
    >>> normals.shape, float(abs(normals.mean(axis=0)).max()) < 1e-3
    ((8192, 3), True)
    """
    uniform = qmc.Sobol(1 + items, rng=SEED).random_base2(POINTS_LOG2 - (items > MANY))
    half = 0.5 / len(uniform)  # no point at 0 or 1, where the normal is infinite
    return np.asarray(ndtri(np.clip(uniform, half, 1 - half)))


@dataclass(frozen=True, eq=False)
class Design:
    """Columns, risks and information as functions of the spread of each item.

    The spread of a binary item is the share of its smaller class, that of a measurement its
    standard deviation.

    Attributes
    ----------
    items : tuple of Item
    setting : Setting
    bases : tuple of ndarray, each of shape (point,)
        Of a binary item the ranks of the points from the side of its smaller class, of a
        measurement its values with mean 0 and SD 1.
    """

    items: tuple[Item, ...]
    setting: Setting
    bases: tuple[Floats, ...]

    @cached_property
    def binary(self) -> NDArray[np.bool_]:
        """Which items are binary, shape (item,)."""
        return np.array([one.binary for one in self.items])

    @cached_property
    def effects(self) -> Floats:
        """Log odds ratios of the columns; of reversed items those of the other class."""
        signs = [-1.0 if one.term in self.setting.reversed else 1.0 for one in self.items]
        return np.array(signs) * [one.log_odds for one in self.items]

    @cached_property
    def targets(self) -> Floats:
        """Logarithms of the printed standard errors, shape (item,)."""
        return np.log([one.se[1] for one in self.items])

    @property
    def points(self) -> int:
        """Number of points that stand for the n patients."""
        return len(self.bases[0])

    def columns(self, spreads: Floats) -> Floats:
        """Columns of SD 1, or 1 in the smaller class of a binary item; shape (point, item).

        The point at the border of a class belongs to it in part, so that standard errors change
        smoothly with its share.
        """
        found = np.column_stack(self.bases)
        inside = np.clip(spreads[self.binary] * self.points - found[:, self.binary], 0.0, 1.0)
        found[:, self.binary] = inside
        return found

    def risk(self, columns: Floats, spreads: Floats) -> Floats:
        """Risks of the points, shape (point,), whose mean is the event share."""
        log_odds = columns @ (self.effects * self._units(spreads))
        share = self.setting.events / self.setting.n
        return np.asarray(expit(log_odds + intercept_for(log_odds, share)))

    def standard_errors(self, columns: Floats, risk: Floats, spreads: Floats) -> Floats:
        """Standard error of each log odds ratio for n patients, shape (item,)."""
        with_ones = np.column_stack([np.ones(self.points), columns])
        weighted = with_ones * (risk * (1 - risk))[:, np.newaxis]
        information = with_ones.T @ weighted * (self.setting.n / self.points)
        covariance = np.linalg.pinv(information, hermitian=True)
        return np.sqrt(np.diagonal(covariance)[1:]) / self._units(spreads)

    def _units(self, spreads: Floats) -> Floats:
        """What one SD, or a change of class, is in the unit of the odds ratio."""
        return np.where(self.binary, 1.0, spreads)


def make_design(items: Sequence[Item], normals: Floats, setting: Setting) -> Design:
    """Design of items under a setting, its spreads still open.

    Parameters
    ----------
    items : sequence of Item
    normals : ndarray, shape (point, 1 + item)
        From `quasi_random_normals`.
    setting : Setting

    Returns
    -------
    Design
    """
    r = setting.correlation
    risk_direction = np.sqrt(r) * normals[:, :1] + np.sqrt(1 - r) * normals[:, 1:]
    latent = risk_direction * np.sign([one.log_odds for one in items])
    bases = [
        _base(one, latent[:, j], reverse=one.term in setting.reversed)
        for j, one in enumerate(items)
    ]
    return Design(tuple(items), setting, tuple(bases))


def _base(item: Item, latent: Floats, *, reverse: bool) -> Floats:
    if item.binary:
        ranks = np.empty(len(latent))
        ranks[np.argsort(latent if reverse else -latent, kind="stable")] = np.arange(len(latent))
        return ranks
    if item.log_sd == 0:
        return latent
    mean, variance = np.exp(item.log_sd**2 / 2), np.expm1(item.log_sd**2)
    return np.asarray((np.exp(item.log_sd * latent) / mean - 1) / np.sqrt(variance))


def intercept_for(log_odds: Floats, share: float) -> float:
    """Intercept at which the mean risk is a given share.

    Examples
    --------
    >>> round(intercept_for(np.array([-1.0, 1.0]), 0.5), 9)
    0.0
    """
    target = float(logit(share))
    intercept = target - float(log_odds.mean())
    for _ in range(INTERCEPT_STEPS):
        risk = expit(log_odds + intercept)
        mean = float(risk.mean())
        if not 0 < mean < 1:
            break
        slope = float((risk * (1 - risk)).mean()) / (mean * (1 - mean))
        step = (target - float(logit(mean))) / slope
        intercept += float(np.clip(step, -5.0, 5.0))
        if abs(step) < 1e-6:  # the next one would be its square
            return intercept
    wide = 40 + float(np.abs(log_odds).max())
    return float(brentq(lambda a: float(expit(log_odds + a).mean()) - share, -wide, wide))


def expected_auc(risk: Floats) -> float:
    """Area under the ROC curve of risks that are true: of a random event and a random non-event.

    Examples
    --------
    Two groups, risks 1/4 and 3/4: 9/16 right, 1/16 wrong, 6/16 tied.

    >>> expected_auc(np.array([0.25, 0.75]))
    0.75
    """
    order = np.argsort(risk, kind="stable")
    events, others = risk[order], 1 - risk[order]
    below = np.concatenate([[0.0], np.cumsum(others)])
    first = np.searchsorted(events, events, side="left")
    last = np.searchsorted(events, events, side="right")
    wins = (below[first] + below[last]) / 2
    return float(events @ wins / (events.sum() * others.sum()))
