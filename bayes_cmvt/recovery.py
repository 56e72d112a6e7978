"""Is the sampler right? Its proof by invariance, on a small problem of its own.

Draw the parameters from the prior and outcomes given them, and make a few sweeps that start at
those parameters. If a sweep leaves the posterior unchanged, parameters and outcomes follow the
same joint law afterwards as before, exactly (Gandy & Scott 2020, arXiv:2001.06465). Kolmogorov–
Smirnov tests look for a difference: half-Cauchy scales, which have no moments, do not disturb
them. Replicates are independent, no chain has to converge, and outcomes that are all alike stay
in.

What it cannot see: a chain that moves too slowly, which is for the gate in `diagnostics`, and a
wrong dependence between parameters whose own laws are right, for which each conditional is checked
by itself (tests/test_gibbs.py).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray

from bayes_cmvt import gibbs
from bayes_cmvt.chains import Problem, gibbs_problem
from bayes_cmvt.errors import OptionError
from bayes_cmvt.priors import INTERCEPT_DF, CoefficientPrior, prior_draws
from bayes_cmvt.progress import Report, SamplingState
from bayes_cmvt.threads import side_by_side

PATIENTS, COLUMNS = 10, 3
SWEEPS = 5
AT_RARER_LEVEL = 3  # patients at the rarer level of the first column
ENVELOPE = 0.05  # probability, at most, that a right sampler has any quantity outside
STREAM = 1000  # replicates that share a stream of random numbers
FRESH = 200_000  # at least so many prior draws stand for a law without a closed form
FEWEST, MOST, MOST_SWEEPS, MOST_CORES = 100, 1_000_000, 1000, 1024

type Vector = NDArray[np.float64]
type Matrix = NDArray[np.float64]


def invariance_test(
    *,
    replications: int = 10_000,
    seed: int = 2025,
    sweeps: int = SWEEPS,
    cores: int = 1,
    report: Report | None = None,
) -> pd.DataFrame:
    """Test by simulation that the Gibbs sampler leaves the posterior unchanged.

    10 patients, 3 columns, the first with two values; four variants of the sampler. In each
    replicate the parameters are drawn from the prior, outcomes given them, and the sweeps start
    at those parameters. What comes out is compared with the prior. All λ_j are pooled, a priori
    they are independent; coefficients share τ and c, so that each has a row of its own. The
    log-likelihood is where a sampler that ignores or misreads the outcomes would show.

    Gandy & Scott 2020, arXiv:2001.06465. P values are those of Kolmogorov–Smirnov tests, the
    envelope has Bonferroni's correction: a right sampler leaves it for 1 seed in 20 at most.

    Parameters
    ----------
    replications : int
        Independent replicates of each variant, 100 to 1,000,000.
    seed : int
        Same seed, same table, whatever the number of cores.
    sweeps : int
    cores : int
        Threads; more than one bring little, a replicate takes a tenth of a millisecond.
    report : callable, optional
        Called a few times a second with a `SamplingState` that counts replicates.

    Returns
    -------
    DataFrame
        ``quantity, replications, p_value, inside_envelope, distance, variant``: a row for each
        quantity of each variant, ``distance`` that of Kolmogorov and Smirnov.

    Raises
    ------
    OptionError
    """
    check_invariance(replications, seed, sweeps, cores)
    every = variants()
    design_seed, *seeds = SeedSequence(seed).spawn(1 + len(every))
    matrix = small_design(np.random.default_rng(design_seed))
    setting = Setting(matrix, replications, sweeps, cores)
    rows: list[dict[str, Any]] = []
    for position, variant in enumerate(every):

        def count(finished: int, position: int = position, name: str = variant.name) -> None:
            if report is not None:
                before, total = position * replications, len(every) * replications
                report(SamplingState(before + finished, total, name, unit="replicates"))

        rows += put_to_proof(variant, setting, seeds[position], count)
    return with_envelope(rows)


def check_invariance(replications: int, seed: int, sweeps: int, cores: int) -> None:
    """Refuse numbers that the test cannot honour, all at once.

    Raises
    ------
    OptionError
    """
    problems = [
        f"{name}: found {value!r}; allowed: a whole number from {low:,} to {high:,}"
        for name, value, low, high in (
            ("replications", replications, FEWEST, MOST),
            ("seed", seed, 0, 2**63 - 1),
            ("sweeps", sweeps, 1, MOST_SWEEPS),
            ("cores", cores, 1, MOST_CORES),
        )
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high
    ]
    if problems:
        msg = "the simulation cannot start"
        raise OptionError(msg, problems)


# --- The small problem ---------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Variant:
    """One sampler to be proved: a prior, and whether its sweeps hold an independence step."""

    name: str
    prior: CoefficientPrior
    independent: bool = False


class Setting(NamedTuple):
    """Standardised columns, replicates of each variant, sweeps of each, streams at a time."""

    matrix: Matrix
    replications: int
    sweeps: int
    workers: int


class States(NamedTuple):
    """Parameters and the outcomes that belong to them, one row for each replicate.

    Attributes
    ----------
    theta : ndarray, shape (replicate, 1 + coefficient)
        Intercept and coefficients.
    log_tau, log_c2 : ndarray, shape (replicate,)
    log_local : ndarray, shape (replicate, shrunk coefficient)
    mixture : ndarray, shape (replicate,)
        Variance of the intercept's prior over its squared scale.
    outcome : ndarray of {0, 1}, shape (replicate, patient)
    """

    theta: Matrix
    log_tau: Vector
    log_c2: Vector
    log_local: Matrix
    mixture: Vector
    outcome: NDArray[np.int8]


def variants() -> tuple[Variant, ...]:
    """The samplers to be proved: every family, and what only some problems make them do.

    The independence step, a normal intercept, and a prior of its own on the column with two
    values. At τ0 = 1 and s = 0.5 a wrong horseshoe shows; at τ0 = 0.04 and s = 2 one hid.
    """
    horseshoe = small_prior("regularized-horseshoe")
    return (
        Variant("horseshoe", horseshoe),
        Variant("horseshoe with independence step", horseshoe, independent=True),
        Variant("student-t", small_prior("student-t")),
        Variant("normal with own prior", small_prior("normal", own=(0.7, 0.8))),
    )


def small_prior(family: Any, own: tuple[float, float] | None = None) -> CoefficientPrior:
    """Prior of the small problem; ``own`` is mean and SD of the first column, not shrunk then."""
    first = np.arange(COLUMNS) == 0
    mean, sd = (np.nan, np.nan) if own is None else own
    return CoefficientPrior(
        family=family,
        shrunk=np.ones(COLUMNS, dtype=np.bool_) if own is None else ~first,
        own_mean=np.where(first, mean, np.nan),
        own_sd=np.where(first, sd, np.nan),
        global_scale=1.0,
        slab_scale=0.5,
        slab_df=4.0,
        scale=2.5,
        df=4.0,
        intercept_family="normal" if family == "normal" else "student-t",
        intercept_scale=2.5,
        n=PATIENTS,
        pseudo_sd=2.0,
    )


def small_design(rng: Generator) -> Matrix:
    """Draw the standardised columns: the first with two values, the others normal."""
    matrix = rng.normal(size=(PATIENTS, COLUMNS))
    matrix[:, 0] = rng.permutation(np.arange(PATIENTS) < AT_RARER_LEVEL)
    return np.asarray((matrix - matrix.mean(axis=0)) / matrix.std(axis=0, ddof=1))


def prior_states(prior: CoefficientPrior, matrix: Matrix, size: int, rng: Generator) -> States:
    """Draw all parameters from the prior, and outcomes given them.

    Parameters
    ----------
    prior : CoefficientPrior
    matrix : ndarray, shape (patient, coefficient)
    size : int
    rng : Generator

    Returns
    -------
    States
    """
    from scipy.special import expit

    drawn = prior_draws(prior, size, rng)
    mixture, alpha = np.ones(size), drawn.intercept
    if prior.intercept_family == "student-t":
        # α again, together with the variance that mixes normals to a Student-t
        mixture = INTERCEPT_DF / 2 / rng.gamma(INTERCEPT_DF / 2, 1, size)
        alpha = rng.normal(0, prior.intercept_scale * np.sqrt(mixture))
    risk = expit(alpha[:, np.newaxis] + drawn.beta @ matrix.T)
    return States(
        theta=np.column_stack([alpha, drawn.beta]),
        log_tau=np.zeros(size) if drawn.tau is None else np.log(drawn.tau),
        log_c2=np.zeros(size) if drawn.slab is None else 2 * np.log(drawn.slab),
        log_local=np.zeros((size, 0)) if drawn.local is None else np.log(drawn.local),
        mixture=mixture,
        outcome=(rng.random(risk.shape) < risk).astype(np.int8),
    )


# --- Replicates ----------------------------------------------------------------------------------


@dataclass(eq=False)
class _Stream:
    """Replicates that share a stream of random numbers, and how many are done."""

    seed: SeedSequence
    size: int
    finished: int = 0


def put_to_proof(
    variant: Variant, setting: Setting, seed: SeedSequence, count: Callable[[int], None]
) -> list[dict[str, Any]]:
    """Make the replicates of one variant and compare what comes out with the prior."""
    fresh_seed, *seeds = seed.spawn(1 + -(-setting.replications // STREAM))
    streams = [
        _Stream(stream_seed, min(STREAM, setting.replications - STREAM * position))
        for position, stream_seed in enumerate(seeds)
    ]
    moved = _all_moved(variant, setting, streams, count)
    size, rng = max(FRESH, setting.replications), np.random.default_rng(fresh_seed)
    fresh = prior_states(variant.prior, setting.matrix, size, rng)
    rows = compared(variant.prior, setting.matrix, moved, fresh)
    return [
        {
            "quantity": f"{variant.name}: {row.pop('quantity')}",
            "replications": setting.replications,
            "variant": variant.name,
            **row,
        }
        for row in rows
    ]


def _all_moved(
    variant: Variant, setting: Setting, streams: Sequence[_Stream], count: Callable[[int], None]
) -> States:
    """Make the replicates, several streams at a time; Ctrl-C is heard between two of them."""

    @functools.cache  # most outcomes recur
    def problem(outcome: bytes) -> Problem:
        found = np.frombuffer(outcome, dtype=np.int8)
        return gibbs_problem(setting.matrix, found, variant.prior, independent=variant.independent)

    def watch() -> None:
        if finished := sum(stream.finished for stream in streams):
            count(finished)

    tasks = [
        functools.partial(_moved, variant.prior, setting, stream, problem) for stream in streams
    ]
    parts = side_by_side(tasks, threads=setting.workers, watch=watch)
    return States(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _moved(
    prior: CoefficientPrior,
    setting: Setting,
    stream: _Stream,
    problem: Callable[[bytes], Problem],
    stopped: Event,
) -> States:
    """Draw states from the prior, make the sweeps, return where they end."""
    rng = np.random.default_rng(stream.seed)
    start = prior_states(prior, setting.matrix, stream.size, rng)
    ends = []
    for replicate in range(stream.size):
        if stopped.is_set():
            break
        given = problem(start.outcome[replicate].tobytes())
        ends.append(_swept(given, start, replicate, setting.sweeps, rng))
        stream.finished += 1
    return States(
        theta=np.array([end.theta for end in ends]),
        log_tau=np.array([end.log_tau for end in ends]),
        log_c2=np.array([end.log_c2 for end in ends]),
        log_local=np.array([end.log_local for end in ends]),
        mixture=np.array([end.intercept_mixture for end in ends]),
        outcome=start.outcome,
    )


def _swept(
    problem: Problem, start: States, replicate: int, sweeps: int, rng: Generator
) -> gibbs.State:
    """Make the sweeps of one replicate."""
    state = gibbs.State(
        theta=start.theta[replicate],
        log_tau=float(start.log_tau[replicate]),
        log_c2=float(start.log_c2[replicate]),
        log_local=start.log_local[replicate],
        intercept_mixture=float(start.mixture[replicate]),
        mode=np.zeros(start.theta.shape[1]),
        accepted=False,
    )
    end, _ = gibbs.advance(
        rng,
        problem.rows,
        problem.groups,
        problem.prior,
        state,
        sweeps,
        problem.independent,
    )
    return end


# --- Comparison ----------------------------------------------------------------------------------


def compared(
    prior: CoefficientPrior, matrix: Matrix, moved: States, fresh: States
) -> list[dict[str, Any]]:
    """Kolmogorov–Smirnov distance and P value of every quantity.

    Against the prior's distribution function where it has a closed form, else against fresh
    draws of the prior (two-sample test).
    """
    from scipy.stats import kstest

    laws, drawn = prior_laws(prior), quantities(prior, matrix, fresh)
    rows = []
    for name, values in quantities(prior, matrix, moved).items():
        result = kstest(values, laws.get(name, drawn[name]))
        rows.append({"quantity": name, "distance": result.statistic, "p_value": result.pvalue})
    return rows


def quantities(prior: CoefficientPrior, matrix: Matrix, states: States) -> dict[str, Vector]:
    """What is tested, by name; independent values of one law each.

    Parameters
    ----------
    prior : CoefficientPrior
    matrix : ndarray, shape (patient, coefficient)
    states : States

    Returns
    -------
    dict of str to ndarray, shape (replicate,), for λ (replicate x shrunk coefficient,)
    """
    found: dict[str, Vector] = {}
    if prior.family == "regularized-horseshoe":
        found |= {"tau": np.exp(states.log_tau), "c2": np.exp(states.log_c2)}
    if prior.family != "normal":
        found["lambda"] = np.exp(states.log_local).ravel()
    found["alpha"] = states.theta[:, 0]
    if prior.intercept_family == "student-t":
        found["variance of alpha"] = states.mixture
    for j, shrunk in enumerate(prior.shrunk, start=1):
        beta = states.theta[:, j]
        found |= {f"|beta_{j}|": np.abs(beta)} if shrunk else {f"beta_{j}": beta}
    log_odds = states.theta[:, :1] + states.theta[:, 1:] @ matrix.T
    likelihood = states.outcome * log_odds - np.logaddexp(0, log_odds)
    return found | {"log-likelihood": likelihood.sum(axis=1)}


def prior_laws(prior: CoefficientPrior) -> dict[str, Callable[[Vector], Vector]]:
    """Distribution functions of those quantities whose prior has a closed form."""
    from scipy import stats

    def inverse_gamma(df: float, scale: float) -> Any:
        return stats.invgamma(df / 2, scale=df / 2 * scale**2)

    laws: dict[str, Any] = {"variance of alpha": inverse_gamma(INTERCEPT_DF, 1).cdf}
    intercept = stats.t(INTERCEPT_DF) if prior.intercept_family == "student-t" else stats.norm()
    laws["alpha"] = lambda x: intercept.cdf(x / prior.intercept_scale)
    for j in 1 + np.flatnonzero(~prior.shrunk):
        laws[f"beta_{j}"] = stats.norm(prior.own_mean[j - 1], prior.own_sd[j - 1]).cdf
    if prior.family == "regularized-horseshoe":
        laws["tau"] = stats.halfcauchy(scale=prior.global_scale).cdf
        laws["lambda"] = stats.halfcauchy().cdf
        laws["c2"] = inverse_gamma(prior.slab_df, prior.slab_scale).cdf
        return laws
    if prior.family == "student-t":
        laws["lambda"] = lambda x: inverse_gamma(prior.df, 1).cdf(x**2)
    shape = stats.t(prior.df) if prior.family == "student-t" else stats.norm()
    for j in 1 + np.flatnonzero(prior.shrunk):
        laws[f"|beta_{j}|"] = lambda x: 2 * shape.cdf(x / prior.scale) - 1
    return laws


def with_envelope(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Put the rows together and say which are inside the envelope: P at least 0.05 / rows."""
    table = pd.DataFrame(rows)
    table["inside_envelope"] = table["p_value"] >= ENVELOPE / len(table)
    columns = ["quantity", "replications", "p_value", "inside_envelope", "distance", "variant"]
    return table[columns]
