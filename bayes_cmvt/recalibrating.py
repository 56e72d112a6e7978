"""The model at a new site, whose patients have another level and another spread of log-odds.

With η = α + x'β, the log-odds where the model comes from,

    logit P(event at the new site) = δ0 + (1 + δ1) η,   δ0 ~ N(0, 1), δ1 ~ N(0, 0.25²)

so that what a predictor means is learnt from old and new patients together, and how ill patients
are on the whole, and how well they can be told apart, is the new site's own. δ0 = δ1 = 0 is one
population.

Given all log-odds η the density of (δ0, δ1) is log-concave, nearly normal, and has two dimensions:
a multivariate t at its mode is close to it. From there come the steps of δ in the exact sampler,
which needs the old patients, and the proposals that turn draws of a fit into draws of this model,
which does not.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from threading import Event
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bayes_cmvt import gibbs
from bayes_cmvt.chains import Problem, kernel_prior, rare_outcome, start_chains
from bayes_cmvt.compilation import compiled
from bayes_cmvt.posterior import BLOCK_VALUES, linear_predictor_blocks
from bayes_cmvt.priors import CoefficientPrior, with_pseudo_patients
from bayes_cmvt.progress import Report, SamplingState
from bayes_cmvt.refits import RefitLength
from bayes_cmvt.threads import side_by_side

type Vector = NDArray[np.float64]
type Matrix = NDArray[np.float64]

LEVEL_SD, SPREAD_SD = 1.0, 0.25  # of δ0 and of δ1, a priori
PROPOSAL_DF = 20.0
NEWTON_STEPS = 100
CONVERGED = 1e-8  # change of a log-odds by the last Newton step


@dataclass(frozen=True, eq=False)
class SiteDraws:
    """Draws of the coefficients at a new site.

    Attributes
    ----------
    intercept : ndarray, shape (chain, draw)
        δ0 + (1 + δ1) α.
    beta : ndarray, shape (chain, draw, coefficient)
        (1 + δ1) β.
    delta0, delta1 : ndarray, shape (chain, draw), or None
        None where the site has neither and they count as 0.
    log_ratios : ndarray, shape (chain, draw), or None
        Logarithms of the importance ratios, up to a constant; None where all draws count alike.
    """

    intercept: NDArray[np.float64]
    beta: NDArray[np.float64]
    delta0: NDArray[np.float64] | None = None
    delta1: NDArray[np.float64] | None = None
    log_ratios: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Patients:
    """Standardised columns, shape (patient, coefficient), and outcomes, shape (patient,)."""

    matrix: Matrix
    outcome: NDArray[np.int8]


# --- δ given the log-odds ------------------------------------------------------------------------


class Proposal(NamedTuple):
    """A bivariate t for (δ0, δ1): its mode, and the Cholesky factor U of the precision U'U.

    The factor is ((root00, root01), (0, root11)).
    """

    mode0: float
    mode1: float
    root00: float
    root01: float
    root11: float


@compiled
def log_site_density(delta0: float, delta1: float, log_odds: Vector, centred: Vector) -> float:
    """Log density of (δ0, δ1) given the log-odds η: likelihood and prior, less a constant.

    The likelihood is Σ κη' - |η'|/2 - log(1 + exp(-|η'|)) at η' = δ0 + (1 + δ1) η, κ = y - ½.
    """
    total = -0.5 * ((delta0 / LEVEL_SD) ** 2 + (delta1 / SPREAD_SD) ** 2)
    for i in range(len(log_odds)):
        eta = delta0 + (1 + delta1) * log_odds[i]
        size = abs(eta)
        total += centred[i] * eta - size / 2 - math.log1p(math.exp(-size))
    return total


@compiled
def site_proposal(log_odds: Vector, centred: Vector) -> Proposal:
    """Mode and curvature of the density of (δ0, δ1), by Newton's method from 0.

    Steps are shortened by log(1 + r)/r, r being the largest change of a log-odds: the density then
    rises with every step (Bach 2010, doi:10.1214/09-EJS521).
    """
    delta0, delta1 = 0.0, 0.0
    for _ in range(NEWTON_STEPS):
        slope0, slope1 = -delta0 / LEVEL_SD**2, -delta1 / SPREAD_SD**2
        curve00, curve01, curve11 = 1 / LEVEL_SD**2, 0.0, 1 / SPREAD_SD**2
        for i in range(len(log_odds)):
            x = log_odds[i]
            half = math.tanh((delta0 + (1 + delta1) * x) / 2) / 2  # π - ½
            residual, weight = centred[i] - half, 0.25 - half * half
            slope0 += residual
            slope1 += residual * x
            curve00 += weight
            curve01 += weight * x
            curve11 += weight * x * x
        root00 = math.sqrt(curve00)
        root01 = curve01 / root00
        root11 = math.sqrt(curve11 - root01 * root01)
        step1 = (slope1 - root01 * slope0 / root00) / (root11 * root11)
        step0 = (slope0 - curve01 * step1) / curve00
        reach = 0.0
        for x in log_odds:
            reach = max(reach, abs(step0 + step1 * x))
        if reach < CONVERGED:
            break
        share = math.log1p(reach) / reach
        delta0 += share * step0
        delta1 += share * step1
    return Proposal(delta0, delta1, root00, root01, root11)


@compiled
def proposed(rng: Generator, proposal: Proposal) -> tuple[float, float]:
    """Draw (δ0, δ1) from the bivariate t."""
    stretch = math.sqrt(PROPOSAL_DF / 2 / rng.gamma(PROPOSAL_DF / 2, 1.0))
    noise0, noise1 = stretch * rng.standard_normal(), stretch * rng.standard_normal()
    step1 = noise1 / proposal.root11
    step0 = (noise0 - proposal.root01 * step1) / proposal.root00
    return proposal.mode0 + step0, proposal.mode1 + step1


@compiled
def log_proposal(delta0: float, delta1: float, proposal: Proposal) -> float:
    """Log density of the bivariate t, less a constant that is the same for all modes and roots."""
    step0, step1 = delta0 - proposal.mode0, delta1 - proposal.mode1
    first = proposal.root00 * step0 + proposal.root01 * step1
    second = proposal.root11 * step1
    distance = first * first + second * second
    log_determinant = math.log(proposal.root00) + math.log(proposal.root11)
    return log_determinant - (PROPOSAL_DF + 2) / 2 * math.log1p(distance / PROPOSAL_DF)


@compiled
def move_site(
    rng: Generator, delta0: float, delta1: float, log_odds: Vector, centred: Vector
) -> tuple[float, float]:
    """One Metropolis–Hastings step of (δ0, δ1) given the log-odds, the proposal independent."""
    proposal = site_proposal(log_odds, centred)
    moved0, moved1 = proposed(rng, proposal)
    log_ratio = log_site_density(moved0, moved1, log_odds, centred)
    log_ratio -= log_site_density(delta0, delta1, log_odds, centred)
    log_ratio += log_proposal(delta0, delta1, proposal) - log_proposal(moved0, moved1, proposal)
    if -rng.standard_exponential() < log_ratio:
        return moved0, moved1
    return delta0, delta1


@compiled
def propose_sites(rng: Generator, log_odds: Matrix, centred: Vector) -> tuple[Matrix, Vector]:
    """For each row of log-odds one (δ0, δ1), and the log ratio of its density to the proposal's."""
    deltas, log_ratios = np.empty((len(log_odds), 2)), np.empty(len(log_odds))
    for row in range(len(log_odds)):
        proposal = site_proposal(log_odds[row], centred)
        delta0, delta1 = proposed(rng, proposal)
        deltas[row, 0], deltas[row, 1] = delta0, delta1
        log_ratios[row] = log_site_density(delta0, delta1, log_odds[row], centred)
        log_ratios[row] -= log_proposal(delta0, delta1, proposal)
    return deltas, log_ratios


# --- Without the old patients --------------------------------------------------------------------


def reweighted_site(draws: SiteDraws, new: Patients, seed: np.random.SeedSequence) -> SiteDraws:
    """Turn draws of a fit into weighted draws of the model at a new site.

    Each draw of (α, β) is given one (δ0, δ1) from the t proposal at its conditional mode; the
    importance ratio is p(y_new | α, β, δ) p(δ) / q(δ | α, β).

    Parameters
    ----------
    draws : SiteDraws
        Of a fit, all counting alike.
    new : Patients
    seed : SeedSequence

    Returns
    -------
    SiteDraws
        With ``log_ratios``, to be Pareto-smoothed.
    """
    rng, centred = np.random.default_rng(seed), new.outcome.astype(np.float64) - 0.5
    intercept, shape = draws.intercept.ravel(), draws.intercept.shape
    beta = draws.beta.reshape(len(intercept), -1)
    height = max(1, BLOCK_VALUES // len(centred))
    deltas, log_ratios = np.empty((len(intercept), 2)), np.empty(len(intercept))
    for start in range(0, len(intercept), height):
        some = slice(start, start + height)
        blocks = linear_predictor_blocks(intercept[some], beta[some], new.matrix)
        log_odds = np.concatenate([predictor for _, predictor in blocks], axis=-1)
        deltas[some], log_ratios[some] = propose_sites(rng, log_odds, centred)
    delta0, delta1 = deltas.T.reshape(2, *shape)
    at_the_site = at_site(draws.intercept, draws.beta, delta0, delta1)
    return replace(at_the_site, log_ratios=log_ratios.reshape(shape))


def at_site(intercept: Vector, beta: Vector, delta0: Vector, delta1: Vector) -> SiteDraws:
    """Return the coefficients at the site, δ0 + (1 + δ1) α and (1 + δ1) β, with their δ."""
    factor = 1 + delta1
    return SiteDraws(delta0 + factor * intercept, factor[..., np.newaxis] * beta, delta0, delta1)


# --- With the old patients -----------------------------------------------------------------------

NO_GROUPS = gibbs.Groups(
    member=np.zeros(0, dtype=np.int64),
    start=np.zeros(1, dtype=np.int64),
    events=np.zeros(0),
    column=np.zeros(0, dtype=np.int64),
    of_alpha=np.zeros(0),
    of_beta=np.zeros(0),
    width=np.zeros(0),
)


@dataclass(eq=False)
class _SiteChain:
    """A running chain: its stream, (α, β, δ0) with its scales, δ1, and what it has drawn."""

    rng: Generator
    state: gibbs.State
    delta1: float = 0.0
    drawn: list[Vector] = field(default_factory=list)


def sampled_site(
    old: Patients,
    new: Patients,
    prior: CoefficientPrior,
    seed: np.random.SeedSequence,
    *,
    length: RefitLength,
    cores: int,
    report: Report | None = None,
) -> SiteDraws:
    """Sample old and new patients together, the latter with a level and a spread of their own.

    Given δ1 the model is logistic in (α, β, δ0): old patients have the row (1, x, 0), new ones
    ((1 + δ1), (1 + δ1) x, 1). One sweep of `bayes_cmvt.gibbs` moves these and their scales; one
    Metropolis–Hastings step then moves (δ0, δ1) together.

    Parameters
    ----------
    old, new : Patients
    prior : CoefficientPrior
        Of the fit to the old patients.
    seed : SeedSequence
    length : RefitLength
    cores : int
        Chains that run at the same time; it does not change the draws.
    report : callable, optional

    Returns
    -------
    SiteDraws
    """
    matrix, outcome, _ = with_pseudo_patients(old.matrix, old.outcome, prior)
    old, prior = replace(old, matrix=matrix, outcome=outcome), replace(prior, pseudo=None)
    extended = _with_level(prior)
    rare = any(rare_outcome(float(one.outcome.mean())) for one in (old, new))
    problem = Problem(_rows(old, new), NO_GROUPS, kernel_prior(extended), rare)
    # a copy of the seed: spawning changes what the next spawning gives
    streams = np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key).spawn(length.chains)
    started = start_chains(problem, extended, streams)
    chains = [_SiteChain(chain.rng, chain.state) for chain in started]
    sweeps = length.warmup + length.draws

    def watch() -> None:
        if report is not None:
            report(SamplingState(sum(len(one.drawn) for one in chains), sweeps * len(chains)))

    tasks = [functools.partial(_advance, one, problem, new, sweeps) for one in chains]
    side_by_side(tasks, threads=max(1, cores), watch=watch)
    return _collected(chains, length.warmup)


def _with_level(prior: CoefficientPrior) -> CoefficientPrior:
    """Return the prior with δ0 as a last coefficient, under a normal prior of its own."""
    return replace(
        prior,
        shrunk=np.append(prior.shrunk, False),
        own_mean=np.append(prior.own_mean, 0.0),
        own_sd=np.append(prior.own_sd, LEVEL_SD),
    )


def _rows(old: Patients, new: Patients) -> gibbs.Rows:
    """Rows (1, x, 0) of old and (1, x, 1) of new patients: those of δ1 = 0."""
    outcome = np.concatenate([old.outcome, new.outcome])
    columns = np.column_stack(
        [
            np.ones(len(outcome)),
            np.concatenate([old.matrix, new.matrix]),
            np.repeat([0.0, 1.0], [len(old.outcome), len(new.outcome)]),
        ]
    )
    centred = outcome.astype(np.float64) - 0.5
    return gibbs.Rows(np.ascontiguousarray(columns), centred, _score(columns, centred))


def _score(columns: Matrix, centred: Vector) -> Vector:
    """X'κ without BLAS: the last bit of its product depends on how many threads share it."""
    return np.asarray(np.einsum("ij,i->j", columns, centred))


def _advance(
    chain: _SiteChain, problem: Problem, new: Patients, sweeps: int, stopped: Event
) -> None:
    """Make so many sweeps, unless an event stops the chain."""
    matrix = problem.rows.matrix.copy()  # of this chain: its new rows follow δ1
    first = len(matrix) - len(new.outcome)
    plain, centred = matrix[first:, :-1].copy(), problem.rows.centred[first:].copy()
    while len(chain.drawn) < sweeps and not stopped.is_set():
        matrix[first:, :-1] = (1 + chain.delta1) * plain
        rows = gibbs.Rows(matrix, problem.rows.centred, _score(matrix, problem.rows.centred))
        state, _ = gibbs.advance(
            chain.rng, rows, problem.groups, problem.prior, chain.state, 1, problem.independent
        )
        log_odds = plain @ state.theta[:-1]
        delta0, chain.delta1 = move_site(
            chain.rng, state.theta[-1], chain.delta1, log_odds, centred
        )
        theta = np.append(state.theta[:-1], delta0)
        chain.state = state._replace(theta=theta)
        chain.drawn.append(np.append(theta, chain.delta1))


def _collected(chains: Sequence[_SiteChain], warmup: int) -> SiteDraws:
    """Put the draws after the warm-up together, (α, β, δ0, δ1) of each."""
    drawn = np.stack([np.stack(chain.drawn[warmup:]) for chain in chains])
    return at_site(drawn[..., 0], drawn[..., 1:-2], drawn[..., -2], drawn[..., -1])
