"""Chains of the Gibbs sampler: where they start, how they run side by side, when they stop.

Each chain has a stream of random numbers of its own and runs in a thread of its own; the kernel
releases Python's lock. A chain is advanced in short stretches, so that progress can be shown and
Ctrl-C is heard; where the stretches end does not change the draws.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event

import numpy as np
from numpy.typing import NDArray

from bayes_cmvt import gibbs
from bayes_cmvt.posterior import Draws
from bayes_cmvt.priors import (
    INTERCEPT_DF,
    CoefficientPrior,
    prior_draws,
    with_pseudo_patients,
)
from bayes_cmvt.progress import Report, SamplingState
from bayes_cmvt.threads import side_by_side

# Below this share of the rarer outcome the independence step is on: docs/decisions/0006.
RARE_SHARE = 0.02
STRETCH_SECONDS = 0.15
FIRST_STRETCH = 5
FAMILIES = {
    "normal": gibbs.NORMAL,
    "student-t": gibbs.STUDENT_T,
    "regularized-horseshoe": gibbs.HORSESHOE,
}


@dataclass(frozen=True, eq=False)
class Problem:
    """What a chain samples: patients, groups of them, prior, and whether events are rare."""

    rows: gibbs.Rows
    groups: gibbs.Groups
    prior: gibbs.Prior
    independent: bool


@dataclass(eq=False)
class Chain:
    """A running chain: its stream, where it stands, and what it has drawn."""

    rng: np.random.Generator
    state: gibbs.State
    traces: list[gibbs.Trace] = field(default_factory=list)
    finished: int = 0


def gibbs_problem(
    matrix: NDArray[np.float64],
    outcome: NDArray[np.int8],
    prior: CoefficientPrior,
    *,
    independent: bool | None = None,
) -> Problem:
    """Put patients and prior in the form that the kernel takes.

    Parameters
    ----------
    matrix : ndarray, shape (patient, coefficient)
        Standardised columns of the development rows.
    outcome : ndarray of {0, 1}, shape (patient,)
    prior : CoefficientPrior
    independent : bool, optional
        Whether every sweep holds an independence step; default: where the rarer outcome has a
        share below 2 %.

    Returns
    -------
    Problem
    """
    matrix, outcome, _ = with_pseudo_patients(matrix, outcome, prior)
    columns = np.ascontiguousarray(np.column_stack([np.ones(len(outcome)), matrix]))
    centred = outcome.astype(np.float64) - 0.5
    if independent is None:
        independent = rare_outcome(float(outcome.mean()))
    # without BLAS: the last bit of its product depends on how many threads share it
    score = np.einsum("ij,i->j", columns, centred)
    rows = gibbs.Rows(columns, centred, score)
    return Problem(rows, level_groups(rows), kernel_prior(prior), independent)


def rare_outcome(event_share: float) -> bool:
    """Whether the rarer outcome is so rare that sweeps hold an independence step.

    Examples
    --------
    >>> rare_outcome(0.004), rare_outcome(0.13), rare_outcome(0.99)
    (True, False, True)
    """
    return min(event_share, 1 - event_share) < RARE_SHARE


def kernel_prior(prior: CoefficientPrior) -> gibbs.Prior:
    """Write a prior as the kernel takes it, the intercept first."""
    shrunk = 1 + np.flatnonzero(prior.shrunk)
    return gibbs.Prior(
        mean=np.concatenate([[0.0], np.where(prior.shrunk, 0.0, prior.own_mean)]),
        sd=np.concatenate([[prior.intercept_scale], np.where(prior.shrunk, 1.0, prior.own_sd)]),
        shrunk=shrunk,
        # without a shrunk coefficient nothing has scales to update
        family=FAMILIES[prior.family] if len(shrunk) else gibbs.NORMAL,
        scale=float(prior.scale),
        df=float(prior.df),
        global_scale=float(prior.global_scale),
        slab_scale=float(prior.slab_scale),
        slab_df=float(prior.slab_df),
        intercept_df=INTERCEPT_DF if prior.intercept_family == "student-t" else 0.0,
    )


def level_groups(rows: gibbs.Rows) -> gibbs.Groups:
    """Find the groups of patients that are moved together.

    All patients, and for each column with two values the patients at the rarer one.

    Parameters
    ----------
    rows : Rows

    Returns
    -------
    Groups
    """
    members = [np.arange(len(rows.matrix))]
    columns, of_alpha, of_beta = [0], [1.0], [0.0]
    for j in range(1, rows.matrix.shape[1]):
        values, counts = np.unique(rows.matrix[:, j], return_counts=True)
        if len(values) != 2:
            continue
        rarer = int(counts.argmin())
        gap = float(values[rarer] - values[1 - rarer])
        members.append(np.flatnonzero(rows.matrix[:, j] == values[rarer]))
        columns.append(j)
        of_alpha.append(-float(values[1 - rarer]) / gap)
        of_beta.append(1 / gap)
    sizes = np.array([len(group) for group in members])
    events = np.array([np.sum(rows.centred[group] > 0) for group in members], dtype=float)
    return gibbs.Groups(
        member=np.concatenate(members),
        start=np.concatenate([[0], np.cumsum(sizes)]),
        events=events,
        column=np.array(columns),
        of_alpha=np.array(of_alpha),
        of_beta=np.array(of_beta),
        # three standard errors of the log-odds of a group of this size and number of events
        width=3 * np.sqrt(1 / (events + 0.5) + 1 / (sizes - events + 0.5)),
    )


def start_chains(
    problem: Problem, prior: CoefficientPrior, seeds: Sequence[np.random.SeedSequence]
) -> list[Chain]:
    """Start a chain for each seed: scales drawn from their prior, coefficients at their means."""
    return [_started(problem, prior, np.random.default_rng(seed)) for seed in seeds]


def _started(problem: Problem, prior: CoefficientPrior, rng: np.random.Generator) -> Chain:
    drawn = prior_draws(prior, 1, rng)
    theta = problem.prior.mean.copy()
    state = gibbs.State(
        theta=theta,
        log_tau=0.0 if drawn.tau is None else float(np.log(drawn.tau[0])),
        log_c2=0.0 if drawn.slab is None else float(2 * np.log(drawn.slab[0])),
        log_local=np.zeros(0) if drawn.local is None else np.log(drawn.local[0]),
        intercept_mixture=1.0,
        mode=theta.copy(),
        accepted=False,
    )
    return Chain(rng, state)


def advance_chains(
    chains: Sequence[Chain],
    problem: Problem,
    until: int,
    *,
    cores: int,
    report: Report | None = None,
) -> None:
    """Advance every chain until it has made so many sweeps, warm-up included.

    Parameters
    ----------
    chains : sequence of Chain
        Changed in place.
    problem : Problem
    until : int
    cores : int
        Chains that run at the same time.
    report : callable, optional
        Called a few times a second with a `SamplingState`.

    Raises
    ------
    KeyboardInterrupt
        Within a fraction of a second of Ctrl-C; the chains are then of no further use.
    """

    def watch() -> None:
        if report is not None and any(chain.finished for chain in chains):
            report(_progress(chains, until))

    tasks = [functools.partial(advance_chain, chain, problem, until) for chain in chains]
    side_by_side(tasks, threads=max(1, cores), watch=watch)


def advance_chain(chain: Chain, problem: Problem, until: int, stopped: Event) -> None:
    """Advance one chain in place until it has made so many sweeps, or an event stops it."""
    stretch = FIRST_STRETCH
    while chain.finished < until and not stopped.is_set():
        stretch = min(stretch, until - chain.finished)
        started = time.perf_counter()
        chain.state, trace = gibbs.advance(
            chain.rng,
            problem.rows,
            problem.groups,
            problem.prior,
            chain.state,
            stretch,
            problem.independent,
        )
        seconds = time.perf_counter() - started
        chain.traces.append(trace)
        chain.finished += stretch
        # the first stretch may hold seconds of compilation: grow from it, never jump
        stretch = max(1, min(2 * stretch, round(stretch * STRETCH_SECONDS / seconds)))


def _progress(chains: Sequence[Chain], until: int) -> SamplingState:
    return SamplingState(
        finished=sum(chain.finished for chain in chains), total=until * len(chains)
    )


def chain_draws(chains: Sequence[Chain], problem: Problem, warmup: int) -> Draws:
    """Collect what the chains have drawn after their warm-up.

    Parameters
    ----------
    chains : sequence of Chain
        All with the same number of sweeps.
    problem : Problem
    warmup : int
        Sweeps of each chain to leave out.

    Returns
    -------
    Draws
    """

    def kept(name: str) -> NDArray[np.float64]:
        parts = [[getattr(trace, name) for trace in chain.traces] for chain in chains]
        return np.stack([np.concatenate(part)[warmup:] for part in parts])

    theta, family = kept("theta"), problem.prior.family
    horseshoe = family >= gibbs.HORSESHOE
    return Draws(
        intercept=np.ascontiguousarray(theta[..., 0]),
        beta=np.ascontiguousarray(theta[..., 1:]),
        tau=np.exp(kept("log_tau")) if horseshoe else None,
        local=None if family == gibbs.NORMAL else np.exp(kept("log_local")),
        slab=np.exp(kept("log_c2") / 2) if horseshoe else None,
        sample_stats={"accepted": kept("accepted")} if problem.independent else {},
    )


def sweep_seconds(patients: int, columns: int, *, rare: bool = False) -> float:
    """Rough time of one sweep, from the cost of a weighted Gram matrix measured on this machine.

    Parameters
    ----------
    patients, columns : int
    rare : bool
        Whether sweeps hold an independence step, which takes five or six Newton steps.

    Returns
    -------
    float
        Seconds.
    """
    matrix = np.random.default_rng(0).normal(size=(patients, columns + 1))
    gram = min(_timed_gram(matrix) for _ in range(3))
    weights = 1.3e-7 * patients  # Pólya-Gamma draws, moves of groups
    scales = 1e-9 * (columns + 1) ** 3 + 2e-6 * columns
    newton = 6 * (gram + 4e-8 * patients) if rare else 0.0
    return weights + gram + scales + newton


def _timed_gram(matrix: NDArray[np.float64]) -> float:
    started = time.perf_counter()
    _ = (matrix * matrix[:, :1]).T @ matrix
    return time.perf_counter() - started
