"""All candidates at once: a regularised horseshoe over what is known of their z values.

δ_j = β_j / SE_j is an effect in its own standard errors and z_j ~ N(δ_j, 1) its estimate. Of a
printed effect z is known up to rounding, of one dropped at P ≥ 0.05 only that |z| was small, of one
that an earlier selection removed nothing. What is known enters as an interval of z. Estimates
are taken as independent. Given the two global scales the effects are independent, so that the
posterior is drawn from exactly, without a Markov chain, up to the fineness of three grids.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import invgamma

from bayes_cmvt.priors import pseudo_sd
from bayes_cmvt.published.printed_table import PrintedEffect, PrintedTable

GLOBAL_NODES, LOCAL_NODES, SLAB_NODES = 200, 300, 16
DRAWS = 40_000
EVEN = 0.5  # event share that is assumed for the slab where none is printed


@dataclass(frozen=True)
class KnownZ:
    """What is known of one candidate's z.

    Attributes
    ----------
    term : str
    low, high : float
        z lies between; infinite where nothing bounds it.
    known : {"printed", "dropped", "nothing"}
    """

    term: str
    low: float
    high: float
    known: str

    @property
    def bound(self) -> float | None:
        """The near end where z is bounded on one side only, as by P < 0.001; else None."""
        if math.isinf(self.low) == math.isinf(self.high):
            return None
        return self.low if math.isinf(self.high) else self.high


@dataclass(frozen=True)
class JointPrior:
    """Regularised horseshoe of effects in standard errors.

    Attributes
    ----------
    global_scale : float
        τ0 = p0 / (D - p0): one standard error stands for σ̃/√n of an SD-scaled coefficient.
    slab_scale : float
        s·√n/σ̃.
    slab_df : float
    """

    global_scale: float
    slab_scale: float
    slab_df: float


@dataclass(frozen=True, eq=False)
class JointDraws:
    """Independent draws from the joint posterior.

    Attributes
    ----------
    terms : tuple of KnownZ
    z, delta : ndarray, shape (draw, term)
        The estimate that the print leaves open, and the effect, both in standard errors. Where P
        is printed as a bound, z stands at the bound: the largest standard error that is possible.
    tau : ndarray, shape (draw,)
    """

    terms: tuple[KnownZ, ...]
    z: NDArray[np.float64]
    delta: NDArray[np.float64]
    tau: NDArray[np.float64]


def known_z_values(table: PrintedTable, critical: float) -> tuple[KnownZ, ...]:
    """What the print tells of the z value of every candidate column.

    Parameters
    ----------
    table : PrintedTable
    critical : float
        |z| below which the source dropped a retained term from its final model.

    Returns
    -------
    tuple of KnownZ
        One for each design column of the study, in its order.
    """
    printed = {effect.term: effect for effect in table.effects if effect.z.high > 0}
    retained = set(table.retained)
    found = []
    for predictor in table.study.predictors:
        for term in predictor.terms:
            if term in printed:
                found.append(_printed(printed[term]))
            elif critical > 0 and retained & {term, predictor.name}:
                found.append(KnownZ(term, -critical, critical, "dropped"))
            else:
                found.append(KnownZ(term, -math.inf, math.inf, "nothing"))
    return tuple(found)


def _printed(effect: PrintedEffect) -> KnownZ:
    """The signed interval of z; on both sides of 0 where the rounding hides the direction."""
    if not effect.sign:
        return KnownZ(effect.term, -effect.z.high, effect.z.high, "printed")
    ends = (effect.sign * effect.z.low, effect.sign * effect.z.high)
    return KnownZ(effect.term, min(ends), max(ends), "printed")


def joint_prior(table: PrintedTable) -> JointPrior:
    """The study's horseshoe on the scale of standard errors.

    Parameters
    ----------
    table : PrintedTable
        With ``n_development``.

    Notes
    -----
    σ̃ takes the printed event share of the development set; where none is printed, one half, which
    makes the slab widest.
    """
    prior = table.study.prior
    columns = len(table.study.shrunk_terms)
    expected = columns / 2 if prior.expected_nonzero is None else prior.expected_nonzero
    development = table.of_set("development")
    events = None if development is None else development.events
    n = table.n_development or 0
    share = EVEN if not events or events >= n else events / n
    slab = prior.slab_scale * math.sqrt(n) / pseudo_sd(share)
    return JointPrior(expected / (columns - expected), slab, prior.slab_df)


def joint_posterior(
    terms: tuple[KnownZ, ...], prior: JointPrior, rng: np.random.Generator, draws: int = DRAWS
) -> JointDraws:
    """Draw the effects of all candidates from their joint posterior.

    Parameters
    ----------
    terms : tuple of KnownZ
    prior : JointPrior
    rng : Generator
    draws : int

    Returns
    -------
    JointDraws
        Independent draws. τ, λ and c take the midpoints of equally probable parts of their priors
        (200, 300 and 16 of them); all else is exact.
    """
    tau = prior.global_scale * _half_cauchy(GLOBAL_NODES)
    shape = prior.slab_df / 2
    slab = invgamma.ppf(_midpoints(SLAB_NODES), shape, scale=shape * prior.slab_scale**2)
    free = tau[:, np.newaxis] * _half_cauchy(LOCAL_NODES)
    # cell of (τ, c²) by local scale
    variance = 1 / (1 / free[:, np.newaxis, :] ** 2 + 1 / slab[np.newaxis, :, np.newaxis])
    variance = variance.reshape(-1, LOCAL_NODES)
    masses = {(one.low, one.high): _mass(one, variance) for one in terms}
    log_weight = sum(np.log(masses[one.low, one.high].mean(axis=1)) for one in terms)
    weight = np.exp(log_weight - np.max(log_weight))
    cell = rng.choice(len(variance), draws, p=weight / weight.sum())
    z, delta = np.empty((draws, len(terms))), np.empty((draws, len(terms)))
    for position, one in enumerate(terms):
        given = _local(_summary_mass(one, masses[one.low, one.high], variance), cell, rng)
        spread = variance[cell, given]
        z[:, position] = _truncated(one, np.sqrt(1 + spread), rng)
        mean = z[:, position] * spread / (1 + spread)
        delta[:, position] = rng.normal(mean, np.sqrt(spread / (1 + spread)))
    return JointDraws(terms, z, delta, tau[cell // SLAB_NODES])


def _midpoints(count: int) -> NDArray[np.float64]:
    return (np.arange(count) + 0.5) / count


def _half_cauchy(count: int) -> NDArray[np.float64]:
    return np.tan(np.pi / 2 * _midpoints(count))


def _mass(one: KnownZ, variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(low < z < high) with δ integrated out: z ~ N(0, 1 + V)."""
    low, high = _upright(one)
    spread = np.sqrt(1 + variance)
    # both far in the left tail, where the difference keeps its digits
    return np.asarray(ndtr(high / spread) - ndtr(low / spread))


def _summary_mass(
    one: KnownZ, mass: NDArray[np.float64], variance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What local scales are drawn by: under a bound on P the density at the bound itself.

    The bound enters the other effects as the interval that it is. For the effect's own summary it
    would let a heavy-tailed prior decide how far beyond the bound z lies.
    """
    bound = one.bound
    if bound is None:
        return mass
    return np.asarray(np.exp(-0.5 * bound**2 / (1 + variance)) / np.sqrt(1 + variance))


def _upright(one: KnownZ) -> tuple[float, float]:
    """The interval, mirrored to the left where it lies right of 0."""
    return (-one.high, -one.low) if one.low > 0 else (one.low, one.high)


def _local(
    mass: NDArray[np.float64], cell: NDArray[np.intp], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Draw the local scale of one candidate, given the cell of the global ones."""
    total = np.cumsum(mass, axis=1)
    chosen = np.empty(len(cell), dtype=np.intp)
    level = rng.random(len(cell))
    for one in np.unique(cell):
        inside = cell == one
        chosen[inside] = np.searchsorted(total[one], level[inside] * total[one, -1])
    return np.minimum(chosen, LOCAL_NODES - 1)


def _truncated(
    one: KnownZ, spread: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw z ~ N(0, spread²) within its interval by inversion; a bound stays where it is."""
    if one.bound is not None:
        return np.full(len(spread), one.bound)
    low, high = _upright(one)
    below, above = ndtr(low / spread), ndtr(high / spread)
    drawn = spread * ndtri(below + (above - below) * rng.random(len(spread)))
    return np.asarray(-drawn if one.low > 0 else drawn)
