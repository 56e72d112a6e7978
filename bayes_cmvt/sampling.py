"""One door to the sampler: a cohort in, a fit (DataTree) out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.cohort import Cohort
from bayes_cmvt.design import Design, design_matrix, learn_design
from bayes_cmvt.errors import OptionError, SamplingError
from bayes_cmvt.horseshoe import logistic_model
from bayes_cmvt.posterior import Draws, build_fit
from bayes_cmvt.priors import CoefficientPrior, numeric_prior

REPEATED_TARGET_ACCEPT = 0.995
MOST_DRAWS = 4_000_000  # chains x draws: beyond it the draws of 26 columns no longer fit in memory
# gradients per draw by target acceptance, seen on data of 224 to 602 patients; they grow with n,
# because the posterior narrows where its scales do not: 31 at n = 400, 234 at n = 45,391
LEAPFROGS = {0.9: 31, 0.95: 42, 0.99: 80}
LEAPFROG_PATIENTS, LEAPFROG_GROWTH = 400, 0.43
SAMPLE_STATS = ("diverging", "energy", "depth", "n_steps", "step_size", "mean_tree_accept", "logp")


@dataclass(frozen=True)
class SamplerSettings:
    """How long and how carefully to sample.

    Attributes
    ----------
    engine : {"nuts"}
    chains, warmup, draws : int
        ``warmup`` and ``draws`` are per chain.
    target_accept : float in (0, 1)
        Mean acceptance that NUTS adapts its step size to.
    seed : int
    """

    engine: Literal["nuts"] = "nuts"
    chains: int = 4
    warmup: int = 1000
    draws: int = 2000
    target_accept: float = 0.99
    seed: int = 2025


@dataclass(frozen=True)
class SamplingState:
    """Where a running sampler stands; draws count warm-up, over all chains."""

    finished: int
    total: int
    divergences: int
    step_size: float
    attempt: int


type Report = Callable[[SamplingState], None]


def sample(
    cohort: Cohort,
    *,
    seed: int = 2025,
    chains: int = 4,
    warmup: int = 1000,
    draws: int = 2000,
    target_accept: float = 0.99,
    engine: Literal["nuts"] = "nuts",
    cores: int | None = None,
    report: Report | None = None,
) -> xr.DataTree:
    """Sample the posterior of a study's logistic model.

    NUTS (nutpie) on the PyMC model of `bayes_cmvt.horseshoe`. If any draw diverges the run is
    repeated once at target acceptance 0.995, which the fit records.

    Parameters
    ----------
    cohort : Cohort
    seed : int
        Same seed, same machine: identical draws, whatever the number of cores.
    chains, warmup, draws : int
        ``warmup`` and ``draws`` per chain.
    target_accept : float in (0, 1)
    engine : {"nuts"}
    cores : int, optional
        Chains that run at the same time; default: all cores of the machine.
    report : callable, optional
        Called a few times a second with a `SamplingState`.

    Returns
    -------
    DataTree
        A fit: every function of ArviZ takes it as it is.

    Raises
    ------
    DataError
        A column is constant or an exact combination of others.
    OptionError
        A number of chains or draws, an acceptance or a seed outside what is allowed.
    SamplingError
        The sampler could not start or lost draws.
    """
    settings = SamplerSettings(engine, chains, warmup, draws, target_accept, seed)
    check_settings(settings)
    design = learn_design(cohort)
    prior = numeric_prior(design, n=cohort.n_development, events=cohort.events_development)
    *attempts, summaries = np.random.SeedSequence(seed).spawn(3)
    recorded = asdict(settings)
    started = time.perf_counter()
    compiled = compile_nuts(cohort, design, prior)
    ready = time.perf_counter()
    drawn, first_divergences = _nuts_twice(compiled, settings, attempts, cores, report)
    recorded |= {
        "compile_seconds": round(ready - started, 2),
        "sampling_seconds": round(time.perf_counter() - ready, 2),
        "repeated": first_divergences is not None,
        "divergences_before_repeat": first_divergences or 0,
    }
    if first_divergences is not None:
        recorded["target_accept_used"] = REPEATED_TARGET_ACCEPT
    return build_fit(drawn, cohort, design, prior, settings=recorded, seed=summaries)


def check_settings(settings: SamplerSettings) -> None:
    """Refuse numbers that no sampler can honour, all at once.

    Raises
    ------
    OptionError
    """
    problems = [
        f"{name}: found {value!r}; allowed: a whole number from {low} to {high}"
        for name, value, low, high in (
            ("chains", settings.chains, 1, 64),
            ("warmup", settings.warmup, 10, 1_000_000),
            ("draws", settings.draws, 4, 1_000_000),
            ("seed", settings.seed, 0, 2**63 - 1),
        )
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high
    ]
    if not problems and settings.chains * settings.draws > MOST_DRAWS:
        problems.append(
            f"chains x draws: found {settings.chains * settings.draws}; "
            f"allowed: at most {MOST_DRAWS}"
        )
    if not 0.5 <= settings.target_accept < 1:
        problems.append(
            f"target acceptance: found {settings.target_accept}; allowed: from 0.5 to below 1"
        )
    if settings.engine != "nuts":
        problems.append(f'engine: found "{settings.engine}"; allowed: "nuts"')
    if problems:
        msg = "sampling cannot start"
        raise OptionError(msg, problems)


def _nuts_twice(
    compiled: Any,
    settings: SamplerSettings,
    seeds: list[np.random.SeedSequence],
    cores: int | None,
    report: Report | None,
) -> tuple[Draws, int | None]:
    """Sample, and once more with smaller steps if any draw diverged; say how many had."""
    tree = _nuts(compiled, settings, settings.target_accept, seeds[0], cores, report, attempt=1)
    diverged = int(tree["sample_stats"]["diverging"].sum())
    repeated = diverged > 0 and settings.target_accept < REPEATED_TARGET_ACCEPT
    if repeated:
        target = REPEATED_TARGET_ACCEPT
        tree = _nuts(compiled, settings, target, seeds[1], cores, report, attempt=2)
    return _draws(tree), diverged if repeated else None


def compile_nuts(cohort: Cohort, design: Design, prior: CoefficientPrior) -> Any:
    """Compile the log density and its gradient for nutpie (seconds; cached on disk)."""
    import nutpie
    import pytensor

    matrix = design_matrix(design, cohort.predictors[cohort.development])
    outcome = cohort.outcome[cohort.development]
    # with fast-math a first compilation and one from the cache round differently, and the same
    # seed gives other draws; without it they agree, and the speed is the same
    with pytensor.config.change_flags(numba__fastmath=False):
        return nutpie.compile_pymc_model(logistic_model(matrix, outcome, prior, design.terms))


def _nuts(
    compiled: Any,
    settings: SamplerSettings,
    target_accept: float,
    seed: np.random.SeedSequence,
    cores: int | None,
    report: Report | None,
    *,
    attempt: int,
) -> xr.DataTree:
    import nutpie

    def forward(chains: list[Any]) -> None:
        if report is not None:
            report(_state(chains, settings, attempt))

    with _one_thread_per_chain():
        sampler = nutpie.sample(
            compiled,
            draws=settings.draws,
            tune=settings.warmup,
            chains=settings.chains,
            cores=min(cores or os.cpu_count() or 1, settings.chains),
            seed=int(seed.generate_state(1, np.uint64)[0] >> np.uint64(1)),
            target_accept=target_accept,
            save_warmup=False,
            progress_bar=False,
            blocking=False,
            progress_callback=forward,
            progress_rate=200,
        )
        tree = _wait(sampler)
    _refuse_lost_draws(tree, settings)
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


def _state(chains: list[Any], settings: SamplerSettings, attempt: int) -> SamplingState:
    return SamplingState(
        finished=sum(chain.finished_draws for chain in chains),
        total=settings.chains * (settings.warmup + settings.draws),
        divergences=sum(chain.divergences for chain in chains),
        step_size=float(np.mean([chain.step_size for chain in chains])),
        attempt=attempt,
    )


def _refuse_lost_draws(tree: xr.DataTree, settings: SamplerSettings) -> None:
    posterior = tree["posterior"]
    complete = posterior.sizes["draw"] == settings.draws
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


def expected_seconds(patients: int, columns: int, settings: SamplerSettings, cores: int) -> float:
    """Rough time of NUTS, from the cost of gradients measured on this machine.

    A gradient costs two products of the matrix with a vector and one exponential per patient.
    How many a draw needs is extrapolated from a few data sets: right to a factor of two or three.

    Parameters
    ----------
    patients, columns : int
    settings : SamplerSettings
    cores : int

    Returns
    -------
    float
        Seconds of wall time, warm-up included, compilation not.
    """
    rng = np.random.default_rng(0)
    matrix, beta = rng.normal(size=(patients, columns)), rng.normal(size=columns)
    gradient = min(_timed_gradient(matrix, beta) for _ in range(5))
    nearest = min(LEAPFROGS, key=lambda target: abs(target - settings.target_accept))
    growth = max(1.0, patients / LEAPFROG_PATIENTS) ** LEAPFROG_GROWTH
    draws = (settings.warmup + settings.draws) * settings.chains
    steps = LEAPFROGS[nearest] * growth * draws
    # overhead of the scales and of a leapfrog step itself, in seconds
    return float(steps * (gradient + 8e-6) / max(1, min(cores, settings.chains)))


def _timed_gradient(matrix: NDArray[np.float64], beta: NDArray[np.float64]) -> float:
    started = time.perf_counter()
    risk = 1 / (1 + np.exp(-(matrix @ beta)))
    _ = matrix.T @ risk
    return time.perf_counter() - started
