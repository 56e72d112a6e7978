"""NUTS (nutpie) on the PyMC model of `bayes_cmvt.horseshoe`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.errors import SamplingError
from bayes_cmvt.horseshoe import logistic_model
from bayes_cmvt.posterior import Draws
from bayes_cmvt.priors import CoefficientPrior
from bayes_cmvt.progress import Report, SamplingState

REPEATED_TARGET_ACCEPT = 0.995
# gradients per draw by target acceptance, seen on data of 224 to 602 patients; they grow with n,
# because the posterior narrows where its scales do not: 31 at n = 400, 234 at n = 45,391
LEAPFROGS = {0.9: 31, 0.95: 42, 0.99: 80}
LEAPFROG_PATIENTS, LEAPFROG_GROWTH = 400, 0.43
SAMPLE_STATS = ("diverging", "energy", "depth", "n_steps", "step_size", "mean_tree_accept", "logp")


@dataclass(frozen=True)
class NutsLength:
    """How long and how carefully one run of NUTS samples; draws are per chain."""

    chains: int
    warmup: int
    draws: int
    target_accept: float
    cores: int


def compile_nuts(
    matrix: NDArray[np.float64],
    outcome: NDArray[np.int8],
    prior: CoefficientPrior,
    terms: tuple[str, ...],
    *,
    weights: NDArray[np.float64] | None = None,
) -> Any:
    """Compile the log density and its gradient for nutpie (seconds; cached on disk).

    Compiled with ``weights`` (see `logistic_model`), it takes others with ``with_data(weights=…)``.
    """
    import nutpie
    import pytensor

    # with fast-math a first compilation and one from the cache round differently, and the same
    # seed gives other draws; without it they agree, and the speed is the same
    with pytensor.config.change_flags(numba__fastmath=False):
        return nutpie.compile_pymc_model(
            logistic_model(matrix, outcome, prior, terms, weights=weights)
        )


def with_outcome(compiled: Any, outcome: NDArray[np.int8], prior: CoefficientPrior) -> Any:
    """Take other outcomes of the same patients, without compiling again.

    Parameters
    ----------
    compiled : object
        From `compile_nuts`.
    outcome : ndarray of {0, 1}, shape (patient,)
    prior : CoefficientPrior
        Whose pseudo-patients, if there are any, keep their outcomes.
    """
    parts = [outcome] if prior.pseudo is None else [outcome, prior.pseudo.outcome]
    return compiled.with_data(events=np.concatenate(parts).astype(float))


def nuts_once(compiled: Any, length: NutsLength, seed: np.random.SeedSequence) -> Draws:
    """Sample once at the stated target acceptance, whatever diverges.

    Parameters
    ----------
    compiled : object
        From `compile_nuts`.
    length : NutsLength
    seed : SeedSequence

    Returns
    -------
    Draws
        With ``diverging`` among the statistics.
    """
    return _draws(_nuts(compiled, length, length.target_accept, seed, None, attempt=1))


def nuts_twice(
    compiled: Any,
    length: NutsLength,
    seeds: list[np.random.SeedSequence],
    report: Report | None,
) -> tuple[Draws, dict[str, Any]]:
    """Sample, and once more with smaller steps if any draw diverged.

    Parameters
    ----------
    compiled : object
        From `compile_nuts`.
    length : NutsLength
    seeds : list of SeedSequence
        One for each attempt.
    report : callable, optional

    Returns
    -------
    Draws
    dict
        Whether the run was repeated, and how many draws had diverged before.
    """
    tree = _nuts(compiled, length, length.target_accept, seeds[0], report, attempt=1)
    diverged = int(tree["sample_stats"]["diverging"].sum())
    repeated = diverged > 0 and length.target_accept < REPEATED_TARGET_ACCEPT
    record: dict[str, Any] = {"repeated": repeated, "divergences_before_repeat": 0}
    if repeated:
        target = REPEATED_TARGET_ACCEPT
        record = {
            "repeated": True,
            "divergences_before_repeat": diverged,
            "target_accept_used": target,
        }
        tree = _nuts(compiled, length, target, seeds[1], report, attempt=2)
    return _draws(tree), record


def _nuts(
    compiled: Any,
    length: NutsLength,
    target_accept: float,
    seed: np.random.SeedSequence,
    report: Report | None,
    *,
    attempt: int,
) -> xr.DataTree:
    import nutpie

    def forward(chains: list[Any]) -> None:
        if report is not None:
            report(_state(chains, length, attempt))

    with _one_thread_per_chain():
        sampler = nutpie.sample(
            compiled,
            draws=length.draws,
            tune=length.warmup,
            chains=length.chains,
            cores=min(length.cores, length.chains),
            seed=int(seed.generate_state(1, np.uint64)[0] >> np.uint64(1)),
            target_accept=target_accept,
            save_warmup=False,
            progress_bar=False,
            blocking=False,
            progress_callback=forward,
            progress_rate=200,
        )
        tree = _wait(sampler)
    _refuse_lost_draws(tree, length)
    return tree


def _wait(sampler: Any) -> xr.DataTree:
    """Wait in short steps: nutpie's blocking call would swallow Ctrl-C and return half a run."""
    try:
        while True:
            try:
                tree: xr.DataTree = sampler.wait(timeout=0.2)
            except TimeoutError:
                continue
            return tree
    except KeyboardInterrupt:
        sampler.cancel()
        raise
    except RuntimeError as error:
        msg = f"the sampler could not finish: {error}"
        raise SamplingError(msg) from error


@contextmanager
def _one_thread_per_chain() -> Iterator[None]:
    """Keep BLAS from starting threads of its own inside every chain."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield


def _state(chains: list[Any], length: NutsLength, attempt: int) -> SamplingState:
    step = float(np.mean([chain.step_size for chain in chains]))
    divergences = sum(chain.divergences for chain in chains)
    return SamplingState(
        finished=sum(chain.finished_draws for chain in chains),
        total=length.chains * (length.warmup + length.draws),
        details=f"step {step:.3g}, {divergences} divergences",
        attempt=attempt,
    )


def _refuse_lost_draws(tree: xr.DataTree, length: NutsLength) -> None:
    posterior = tree["posterior"]
    complete = posterior.sizes["draw"] == length.draws
    if not complete or bool(posterior["beta"].isnull().any()):
        msg = "the sampler returned fewer draws than it was asked for; run it again"
        raise SamplingError(msg)


def _draws(tree: xr.DataTree) -> Draws:
    posterior, stats = tree["posterior"], tree["sample_stats"]

    def values(name: str) -> NDArray[np.float64] | None:
        return posterior[name].to_numpy() if name in posterior.data_vars else None

    return Draws(
        intercept=posterior["intercept"].to_numpy(),
        beta=posterior["beta"].to_numpy(),
        tau=values("tau"),
        local=values("lambda"),
        slab=values("slab"),
        sample_stats={name: stats[name].to_numpy() for name in SAMPLE_STATS if name in stats},
    )


def nuts_seconds(patients: int, columns: int, length: NutsLength) -> float:
    """Rough time of NUTS, from the cost of gradients measured on this machine.

    A gradient costs two products of the matrix with a vector and one exponential per patient.
    How many a draw needs is extrapolated from a few data sets: right to a factor of two or three.

    Parameters
    ----------
    patients, columns : int
    length : NutsLength

    Returns
    -------
    float
        Seconds of wall time, warm-up included, compilation not.
    """
    rng = np.random.default_rng(0)
    matrix, beta = rng.normal(size=(patients, columns)), rng.normal(size=columns)
    gradient = min(_timed_gradient(matrix, beta) for _ in range(5))
    nearest = min(LEAPFROGS, key=lambda target: abs(target - length.target_accept))
    growth = max(1.0, patients / LEAPFROG_PATIENTS) ** LEAPFROG_GROWTH
    draws = (length.warmup + length.draws) * length.chains
    steps = LEAPFROGS[nearest] * growth * draws
    # overhead of the scales and of a leapfrog step itself, in seconds
    return float(steps * (gradient + 8e-6) / max(1, min(length.cores, length.chains)))


def _timed_gradient(matrix: NDArray[np.float64], beta: NDArray[np.float64]) -> float:
    started = time.perf_counter()
    risk = 1 / (1 + np.exp(-(matrix @ beta)))
    _ = matrix.T @ risk
    return time.perf_counter() - started
