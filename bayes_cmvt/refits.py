"""The same model fitted again to other rows, many times: what internal validation lives on.

Only the Gibbs engine refits: it samples the same posterior as NUTS and needs no compilation for
each fit. What is known of the predictors without any outcome, centre and scale of the columns,
stays as it is.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.chains import advance_chain, chain_draws, gibbs_problem, start_chains
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.design import design_matrix
from bayes_cmvt.posterior import Draws, design_of, expit, linear_predictor_blocks
from bayes_cmvt.priors import CoefficientPrior, numeric_prior
from bayes_cmvt.progress import Report, SamplingState
from bayes_cmvt.threads import side_by_side

type Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class RefitLength:
    """How long a refit is sampled: far shorter than a fit, for its mean risks alone are used.

    With the default the Monte Carlo error of a posterior-mean risk is about a thirtieth of that
    risk's posterior SD.
    """

    chains: int = 2
    warmup: int = 300
    draws: int = 1000

    @property
    def sweeps(self) -> int:
        """Sweeps of all chains."""
        return self.chains * (self.warmup + self.draws)


@dataclass(frozen=True, eq=False)
class Refit:
    """One refit: the rows it learns from, its prior, and the rows whose risk is asked for.

    Attributes
    ----------
    matrix : ndarray, shape (patient, coefficient)
    outcome : ndarray of {0, 1}, shape (patient,)
    prior : CoefficientPrior
    others : ndarray, shape (other patient, coefficient)
    seed : SeedSequence
    memory : RefitMemory, optional
        Where its draws may be already, or are kept for another stage.
    """

    matrix: Matrix
    outcome: NDArray[np.int8]
    prior: CoefficientPrior
    others: Matrix
    seed: np.random.SeedSequence
    memory: RefitMemory | None = None

    def key(self, length: RefitLength) -> str:
        """Hash of everything that the draws depend on."""
        content = hashlib.sha256(repr(length).encode())
        content.update(np.ascontiguousarray(self.matrix).tobytes())
        content.update(np.ascontiguousarray(self.outcome).tobytes())
        # pickled, for a printed array may be shortened
        content.update(pickle.dumps(self.prior))
        content.update(repr((self.seed.entropy, self.seed.spawn_key)).encode())
        return content.hexdigest()


class RefitMemory:
    """Draws of refits that more than one stage asks for, kept while there is room.

    Validation and selection leave out the same folds: where both are run in one go, each fold is
    sampled once. What is remembered is what sampling again would give, to the last bit.

    Parameters
    ----------
    room : int
        Bytes; what does not fit is sampled again.
    """

    def __init__(self, room: int = 400_000_000) -> None:
        self._room = room
        self._draws: dict[str, Draws] = {}

    def recall(self, key: str) -> Draws | None:
        """Draws kept under a key, if there are any."""
        return self._draws.get(key)

    def keep(self, key: str, draws: Draws) -> None:
        """Keep draws where there is still room for them."""
        kept = (draws.intercept, draws.beta, draws.tau, draws.local, draws.slab)
        size = sum(one.nbytes for one in kept if one is not None)
        if size <= self._room:
            self._room -= size
            self._draws[key] = draws


@dataclass(frozen=True, eq=False)
class Development:
    """Development rows as the model sees them, and the prior that other rows would have.

    Attributes
    ----------
    matrix : ndarray, shape (patient, coefficient)
    outcome : ndarray of {0, 1}, shape (patient,)
    fit : DataTree
        Whose design constants and study are used.
    memory : RefitMemory, optional
        Of its refits.
    """

    matrix: Matrix
    outcome: NDArray[np.int8]
    fit: xr.DataTree
    memory: RefitMemory | None = None

    def refit(
        self,
        learnt: NDArray[np.int64],
        asked: NDArray[np.int64],
        seed: np.random.SeedSequence,
        *,
        prior: CoefficientPrior | None = None,
    ) -> Refit:
        """Plan the refit that learns from some rows and is asked for others (positions).

        Without ``prior`` the study's prior is turned into numbers from the rows learnt from.
        """
        outcome = self.outcome[learnt]
        if prior is None:
            prior = numeric_prior(design_of(self.fit), n=len(outcome), events=int(outcome.sum()))
        return Refit(self.matrix[learnt], outcome, prior, self.matrix[asked], seed, self.memory)


def development_rows(
    fit: xr.DataTree, cohort: Cohort, memory: RefitMemory | None = None
) -> Development:
    """Return the development rows of a cohort, standardised with the constants of a fit."""
    matrix = design_matrix(design_of(fit), cohort.predictors[cohort.development])
    return Development(matrix, cohort.outcome[cohort.development], fit, memory)


def refit_risks(
    refits: Sequence[Refit],
    *,
    length: RefitLength | None = None,
    cores: int | None = None,
    report: Report | None = None,
) -> list[NDArray[np.float64]]:
    """Fit again and again, and return the posterior-mean risks that were asked for.

    Parameters
    ----------
    refits : sequence of Refit
        Each has a seed of its own: the result does not depend on the number of cores.
    length : RefitLength, optional
    cores : int, optional
        Refits at the same time; default: all cores.
    report : callable, optional
        Called a few times a second with a `SamplingState` that counts refits.

    Returns
    -------
    list of ndarray, shape (other patient,)
        One for each refit, in order.

    Raises
    ------
    KeyboardInterrupt
        Within a fraction of a second of Ctrl-C.
    """
    length = length or RefitLength()

    def risk(refit: Refit, stopped: Event) -> NDArray[np.float64]:
        return mean_risk(refit_draws(refit, length, stopped), refit.others)

    return counted_refits(risk, refits, cores=cores, report=report)


def counted_refits[Plan, Found](
    carried_out: Callable[[Plan, Event], Found],
    plans: Sequence[Plan],
    *,
    cores: int | None = None,
    report: Report | None = None,
) -> list[Found]:
    """Carry out plans of refits side by side in threads, and count those that are finished.

    Parameters
    ----------
    carried_out : callable
        Takes a plan, and an event that asks it to end; returns what was asked for.
    plans : sequence
    cores : int, optional
    report : callable, optional

    Returns
    -------
    list
        What was found by each plan, in order.
    """
    done: list[int] = []

    def watch() -> None:
        if report is not None:
            report(SamplingState(len(done), len(plans), unit="refits"))

    def task(plan: Plan, stopped: Event) -> Found:
        found = carried_out(plan, stopped)
        done.append(1)
        return found

    tasks = [functools.partial(task, plan) for plan in plans]
    return side_by_side(tasks, threads=cores or os.cpu_count() or 1, watch=watch)


def refit_draws(refit: Refit, length: RefitLength, stopped: Event | None = None) -> Draws:
    """Sample one refit, its chains one after the other; of no use where an event stopped it."""
    stopped = stopped or Event()
    key = "" if refit.memory is None else refit.key(length)
    if refit.memory is not None and (remembered := refit.memory.recall(key)) is not None:
        return remembered
    problem = gibbs_problem(refit.matrix, refit.outcome, refit.prior)
    chains = start_chains(problem, refit.prior, copied_seed(refit.seed).spawn(length.chains))
    for chain in chains:
        advance_chain(chain, problem, length.warmup + length.draws, stopped)
    draws = chain_draws(chains, problem, length.warmup)
    if refit.memory is not None and not stopped.is_set():
        refit.memory.keep(key, draws)
    return draws


def copied_seed(seed: np.random.SeedSequence) -> np.random.SeedSequence:
    """A copy of a seed: spawning changes what the next spawning gives."""
    return np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key)


def mean_risk(draws: Draws, matrix: Matrix) -> NDArray[np.float64]:
    """Posterior-mean risk of each row of a standardised matrix, shape (patient,)."""
    risk = np.empty(len(matrix))
    for block, predictor in linear_predictor_blocks(draws.intercept, draws.beta, matrix):
        risk[block] = expit(predictor).mean(axis=(0, 1))
    return risk
