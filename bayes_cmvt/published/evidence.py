"""What one printed effect says: its likelihood, posteriors under stated priors, replication.

The datum is b = ln OR; what is uncertain is its standard error. With s = |b| / z(P) the likelihood
is the average of φ((b - θ)/s)/s over all P and OR that round to the print, each taken as uniform
there. Under a normal prior the posterior is then a mixture of normals in closed form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr, ndtri

from bayes_cmvt.intervals import tails
from bayes_cmvt.published.printed_table import PrintedEffect

NODES = 24  # Gauss-Legendre nodes over each rounding interval
FARTHEST = 60.0  # conditional limits are sought within so many standard errors of the estimate
MODERATE_SD, STRONG_SD, WEAK_SD = 0.355, 0.205, 5.0
WRONG_DIRECTION = 0.15  # prior probability of the other direction under the two leaning priors


@dataclass(frozen=True)
class NormalPrior:
    """A normal prior of a log odds ratio on its contrast.

    Attributes
    ----------
    name : str
    mean, sd : float
        Log odds ratio.
    """

    name: str
    mean: float
    sd: float


@dataclass(frozen=True, eq=False)
class Evidence:
    """The likelihood of a log odds ratio as a weighted sum of normal densities of the estimate.

    Attributes
    ----------
    weight, estimate, error : ndarray, shape (component,)
        Estimates and standard errors that the print allows, and their weights, which sum to 1.
    """

    weight: NDArray[np.float64]
    estimate: NDArray[np.float64]
    error: NDArray[np.float64]

    def per(self, contrast: float) -> Evidence:
        """Return the same evidence on a change of so many units."""
        return Evidence(self.weight, contrast * self.estimate, contrast * self.error)


@dataclass(frozen=True, eq=False)
class NormalMixture:
    """A posterior: a weighted sum of normal densities; ``evidence`` made it."""

    weight: NDArray[np.float64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    evidence: Evidence

    def prob_above(self, value: float) -> float:
        """Probability of more than a value.

        Parameters
        ----------
        value : float
            Log odds ratio.
        """
        return float(self.weight @ ndtr((self.mean - value) / self.sd))

    def quantile(self, probability: float) -> float:
        """Value that is exceeded with probability 1 - ``probability``."""
        ends = self.mean + self.sd * ndtri(probability)
        low, high = float(ends.min()), float(ends.max())
        if high - low < 1e-12 * max(1.0, abs(high)):
            return low
        slack = 1e-9 * (high - low)
        return float(
            brentq(
                lambda x: 1 - self.prob_above(x) - probability,
                low - slack,
                high + slack,
                xtol=1e-12,
            )
        )

    def replication(self, sign: int, critical: float) -> float:
        """Probability that a second study of the same size finds |z| beyond a limit, same sign.

        Parameters
        ----------
        sign : {-1, 1}
            Of the printed effect.
        critical : float
            1.96 for two-sided P < 0.05.
        """
        error = self.evidence.error
        spread = np.sqrt(error**2 + self.sd**2)
        return float(self.weight @ ndtr((sign * self.mean - critical * error) / spread))


def evidence_of(effect: PrintedEffect) -> Evidence:
    """The likelihood of a printed log odds ratio, with what its print leaves open.

    Where P is a bound ("<0.001") the largest SE that it allows stands alone.

    Parameters
    ----------
    effect : PrintedEffect
        With a standard error: ``origin`` other than "nothing".

    Returns
    -------
    Evidence
        Per unit of the predictor or level change.

    Notes
    -----
    Rounding intervals of the odds ratio and of P, of the printed SE or of both limits are taken as
    uniform and independent, on the scale on which they are printed.
    """
    if effect.is_bound:
        one = np.ones(1)
        return Evidence(one, one * effect.log_odds.value, one * effect.se.value)
    estimate, weight = _estimates(effect)
    errors, shares = _errors(effect, estimate)
    every = np.repeat(estimate[:, np.newaxis], errors.shape[1], axis=1)
    weights = weight[:, np.newaxis] * shares
    return Evidence(weights.ravel(), every.ravel(), errors.ravel())


def _nodes(low: float, high: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gauss-Legendre nodes and weights of a uniform distribution."""
    points, weights = np.polynomial.legendre.leggauss(NODES)
    return low + (high - low) * (points + 1) / 2, weights / 2


def _estimates(effect: PrintedEffect) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log odds ratios behind the print: the odds ratio, or the beta, is uniform."""
    ends = effect.log_odds.low, effect.log_odds.high
    if not effect.as_odds_ratio:
        return _nodes(*ends)
    values, weights = _nodes(math.exp(ends[0]), math.exp(ends[1]))
    return np.log(values), weights


def _errors(
    effect: PrintedEffect, estimate: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Standard errors for each estimate, shape (estimate, error), and their weights."""
    if effect.origin == "p" and effect.p is not None:
        p, weights = _nodes(max(effect.p.low, 0.0), min(effect.p.high, 1.0))
        return np.abs(estimate)[:, np.newaxis] / -ndtri(p / 2), weights[np.newaxis]
    errors, weights = _nodes(effect.se.low, effect.se.high)
    return np.repeat(errors[np.newaxis], len(estimate), axis=0), weights[np.newaxis]


def posterior(evidence: Evidence, prior: NormalPrior) -> NormalMixture:
    """Posterior of a log odds ratio under a normal prior, in closed form.

    Parameters
    ----------
    evidence : Evidence
        On the contrast of the prior.
    prior : NormalPrior

    Returns
    -------
    NormalMixture
    """
    total = evidence.error**2 + prior.sd**2
    misfit = (evidence.estimate - prior.mean) ** 2 / total
    log_weight = np.log(evidence.weight) - 0.5 * (np.log(total) + misfit)
    weight = np.exp(log_weight - log_weight.max())
    mean = (prior.sd**2 * evidence.estimate + evidence.error**2 * prior.mean) / total
    sd = prior.sd * evidence.error / np.sqrt(total)
    return NormalMixture(weight / weight.sum(), mean, sd, evidence)


def stated_priors(sign: int, expected_odds_ratio: float | None) -> tuple[NormalPrior, ...]:
    """Priors of a log odds ratio on a contrast, as recommended for the reanalysis of trials.

    Neutral weak N(0, 5²), moderate N(0, 0.355²) and strong N(0, 0.205²); optimistic and pessimistic
    around the log of an expected odds ratio in the printed direction and in the other, with an SD
    that leaves 0.15 to the opposite direction.
    Zampieri et al. 2021, doi:10.1164/rccm.202006-2381CP.

    Parameters
    ----------
    sign : {-1, 1}
        Direction that the source claims.
    expected_odds_ratio : float or None
        Above 1; None: the two leaning priors do not apply.

    Examples
    --------
    >>> optimistic = stated_priors(1, 1.5)[3]
    >>> round(optimistic.mean, 3), round(optimistic.sd, 3)
    (0.405, 0.391)
    """
    neutral = (
        NormalPrior("weak", 0.0, WEAK_SD),
        NormalPrior("moderate", 0.0, MODERATE_SD),
        NormalPrior("strong", 0.0, STRONG_SD),
    )
    if expected_odds_ratio is None:
        return neutral
    mean = math.log(expected_odds_ratio)
    sd = mean / float(ndtri(1 - WRONG_DIRECTION))
    return (
        *neutral,
        NormalPrior("optimistic", sign * mean, sd),
        NormalPrior("pessimistic", -sign * mean, sd),
    )


# Given that it was selected -----------------------------------------------------------------------


def conditional_cdf(z: float, delta: ArrayLike, critical: float) -> NDArray[np.float64]:
    """P(Z ≤ z) of Z ~ N(δ, 1) given |Z| > critical.

    Parameters
    ----------
    z : float
        Beyond the critical value, on either side.
    delta : array_like
        True effect in standard errors.
    critical : float

    Examples
    --------
    >>> round(float(conditional_cdf(2.5, 0.0, 1.96)), 3)  # half below, of the rest .75 up to 2.5
    0.876
    """
    shift = np.asarray(delta, dtype=float)
    left, right = log_ndtr(-critical - shift), log_ndtr(shift - critical)
    total = np.logaddexp(left, right)
    if z < 0:
        return np.exp(log_ndtr(z - shift) - total)
    return 1 - np.exp(log_ndtr(shift - z) - total)


def conditional_limits(z: float, critical: float, ci_prob: float = 0.95) -> tuple[float, float]:
    """Exact confidence limits of δ given that |Z| exceeded a critical value.

    The law of Z, truncated to the region of selection, is inverted: right at every δ in repeated
    selected studies. Zhong & Prentice 2008, doi:10.1093/biostatistics/kxn001.

    Parameters
    ----------
    z : float
        Estimate over its standard error.
    critical : float
        |z| that selection asked for.
    ci_prob : float in (0, 1)

    Returns
    -------
    lower, upper : float
        In standard errors; nan where ``z`` was not selected.

    Examples
    --------
    >>> lower, upper = conditional_limits(2.697, 1.96)
    >>> round(lower, 2), round(upper, 2)
    (-0.28, 4.59)
    """
    if not abs(z) > critical or math.isinf(z):
        return math.nan, math.nan
    below, above = tails(ci_prob)
    limits = [_shift_with(z, critical, probability) for probability in (above, below)]
    return limits[0], limits[1]


def _shift_with(z: float, critical: float, probability: float) -> float:
    return float(
        brentq(
            lambda delta: float(conditional_cdf(z, delta, critical)) - probability,
            z - FARTHEST,
            z + FARTHEST,
            xtol=1e-12,
        )
    )


# At a declared effect -----------------------------------------------------------------------------


@dataclass(frozen=True)
class TypeErrors:
    """What a study of this precision does at a declared effect.

    Attributes
    ----------
    power : float
        Probability of |z| beyond the critical value.
    type_s : float
        Share of those with the wrong sign.
    type_m : float
        Mean factor by which their estimates exceed the effect.
    """

    power: float
    type_s: float
    type_m: float


def type_errors(effect: float, error: float, critical: float) -> TypeErrors:
    """Power, type S and type M error at a declared effect, in closed form.

    Gelman & Carlin 2014, doi:10.1177/1745691614551642. The effect is declared, never the estimate.

    Parameters
    ----------
    effect : float
        Log odds ratio, not 0.
    error : float
        Standard error of its estimate.
    critical : float

    Examples
    --------
    >>> errors = type_errors(0.1, 0.4, 1.96)
    >>> round(errors.power, 3), round(errors.type_s, 3), round(errors.type_m, 1)
    (0.057, 0.237, 9.4)
    """
    delta = abs(effect) / error
    right, left = float(ndtr(delta - critical)), float(ndtr(-critical - delta))
    power = right + left
    density = (_density(critical - delta) + _density(critical + delta)) / power
    size = density + delta * (right - left) / power
    return TypeErrors(power, left / power, size / delta)


def _density(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
