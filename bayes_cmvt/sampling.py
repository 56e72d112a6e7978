"""One door to both engines: a cohort in, a fit (DataTree) out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.cohort import Cohort
from bayes_cmvt.design import Design, design_matrix, learn_design
from bayes_cmvt.diagnostics import draws_needed
from bayes_cmvt.errors import OptionError, nearest
from bayes_cmvt.posterior import Draws, build_fit, scalar_draws
from bayes_cmvt.priors import CoefficientPrior, numeric_prior
from bayes_cmvt.progress import Report

type Engine = Literal["gibbs", "nuts"]
type Drawn = tuple[Draws, dict[str, Any]]

ENGINES = ("gibbs", "nuts")
DEFAULT_DRAWS = {"gibbs": 4000, "nuts": 2000}
LONGEST = {"gibbs": 100_000, "nuts": 32_000}  # draws per chain at which --draws auto gives up
MOST_DRAWS = 4_000_000  # chains x draws: beyond it the draws of 26 columns no longer fit in memory
AUTO = "auto"


@dataclass(frozen=True)
class SamplerSettings:
    """How long and how carefully to sample.

    Attributes
    ----------
    engine : {"gibbs", "nuts"}
    chains, warmup : int
        ``warmup`` is per chain.
    draws : int or "auto", optional
        Per chain; default: 4000 for Gibbs, 2000 for NUTS. ``auto`` starts there and goes on until
        the gate of R-hat and effective sample size is met.
    target_accept : float in (0, 1)
        Mean acceptance that NUTS adapts its step size to.
    seed : int
    """

    engine: Engine = "gibbs"
    chains: int = 4
    warmup: int = 1000
    draws: int | Literal["auto"] | None = None
    target_accept: float = 0.99
    seed: int = 2025

    @property
    def first_draws(self) -> int:
        """Draws per chain of the run, or of its first part."""
        return self.draws if isinstance(self.draws, int) else DEFAULT_DRAWS[self.engine]


def sample(
    cohort: Cohort,
    *,
    seed: int = 2025,
    chains: int = 4,
    warmup: int = 1000,
    draws: int | Literal["auto"] | None = None,
    target_accept: float = 0.99,
    engine: Engine = "gibbs",
    cores: int | None = None,
    report: Report | None = None,
) -> xr.DataTree:
    """Sample the posterior of a study's logistic model.

    ``gibbs`` is the sampler of `bayes_cmvt.gibbs`, ``nuts`` is nutpie on the PyMC model of
    `bayes_cmvt.horseshoe`; both sample the same posterior. If any draw of NUTS diverges its run is
    repeated once at target acceptance 0.995, which the fit records.

    Parameters
    ----------
    cohort : Cohort
    seed : int
        Same seed, same machine: identical draws, whatever the number of cores.
    chains, warmup : int
        ``warmup`` per chain.
    draws : int or "auto", optional
        Per chain; default: 4000 for Gibbs, 2000 for NUTS. ``auto`` goes on until R-hat and bulk
        effective sample size meet the gate, or 100,000 (NUTS: 32,000) draws per chain; it looks at
        nothing else. Gibbs continues its chains, NUTS starts a longer run.
    target_accept : float in (0, 1)
        For NUTS.
    engine : {"gibbs", "nuts"}
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
    matrix = design_matrix(design, cohort.predictors[cohort.development])
    outcome = cohort.outcome[cohort.development]
    root = np.random.SeedSequence(seed)
    first, second, summaries = root.spawn(3)
    make = _gibbs if engine == "gibbs" else _nuts
    run = _Run(matrix, outcome, prior, design, settings, cores or os.cpu_count() or 1, report)
    started = time.perf_counter()
    draw = make(run, [first, second], root)
    ready = time.perf_counter()
    lengths, (drawn, record) = _until_enough(draw, run)
    recorded = asdict(settings) | {
        "draws": lengths[-1],
        "lengths": lengths if settings.draws == AUTO else [],
        "compile_seconds": round(ready - started, 2),
        "sampling_seconds": round(time.perf_counter() - ready, 2),
        **record,
    }
    return build_fit(drawn, cohort, design, prior, settings=recorded, seed=summaries)


def check_settings(settings: SamplerSettings) -> None:
    """Refuse numbers that no sampler can honour, all at once.

    Raises
    ------
    OptionError
    """
    draws = 4 if settings.draws is None or settings.draws == AUTO else settings.draws
    problems = [
        f"{name}: found {value!r}; allowed: a whole number from {low} to {high}"
        + (f' or "{AUTO}"' if name == "draws" else "")
        for name, value, low, high in (
            ("chains", settings.chains, 1, 64),
            ("warmup", settings.warmup, 10, 1_000_000),
            ("draws", draws, 4, 1_000_000),
            ("seed", settings.seed, 0, 2**63 - 1),
        )
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high
    ]
    if settings.engine not in ENGINES:
        problems.append(
            f'engine: found "{settings.engine}"; allowed: "gibbs", "nuts"'
            + nearest(settings.engine, ENGINES)
        )
    if not problems and settings.chains * settings.first_draws > MOST_DRAWS:
        problems.append(
            f"chains x draws: found {settings.chains * settings.first_draws}; "
            f"allowed: at most {MOST_DRAWS}"
        )
    if not 0.5 <= settings.target_accept < 1:
        problems.append(
            f"target acceptance: found {settings.target_accept}; allowed: from 0.5 to below 1"
        )
    if problems:
        msg = "sampling cannot start"
        raise OptionError(msg, problems)


@dataclass(frozen=True, eq=False)
class _Run:
    """What both engines need."""

    matrix: NDArray[np.float64]
    outcome: NDArray[np.int8]
    prior: CoefficientPrior
    design: Design
    settings: SamplerSettings
    cores: int
    report: Report | None


def _gibbs(
    run: _Run, seeds: list[np.random.SeedSequence], _: np.random.SeedSequence
) -> Callable[[int], Drawn]:
    """Start the chains; the result continues them until each has so many draws."""
    from bayes_cmvt import chains as gibbs_chains

    settings = run.settings
    problem = gibbs_chains.gibbs_problem(run.matrix, run.outcome, run.prior)
    streams = seeds[0].spawn(settings.chains)
    running = gibbs_chains.start_chains(problem, run.prior, streams)

    def draw(length: int) -> Drawn:
        until = settings.warmup + length
        gibbs_chains.advance_chains(running, problem, until, cores=run.cores, report=run.report)
        drawn = gibbs_chains.chain_draws(running, problem, settings.warmup)
        record: dict[str, Any] = {"independence_step": problem.independent}
        if problem.independent:
            record["accepted"] = round(float(drawn.sample_stats["accepted"].mean()), 3)
        return drawn, record

    return draw


def _nuts(
    run: _Run, seeds: list[np.random.SeedSequence], root: np.random.SeedSequence
) -> Callable[[int], Drawn]:
    """Compile the model; the result samples it from the start, each time with fresh seeds."""
    from bayes_cmvt import nuts

    settings = run.settings
    compiled = nuts.compile_nuts(run.matrix, run.outcome, run.prior, run.design.terms)
    seeds_of_runs = _seeds_of_runs(seeds, root)

    def draw(length: int) -> Drawn:
        nuts_length = nuts.NutsLength(
            settings.chains, settings.warmup, length, settings.target_accept, run.cores
        )
        return nuts.nuts_twice(compiled, nuts_length, next(seeds_of_runs), run.report)

    return draw


def _seeds_of_runs(
    first: list[np.random.SeedSequence], root: np.random.SeedSequence
) -> Iterator[list[np.random.SeedSequence]]:
    """Seeds of each run of NUTS, for its two attempts: first those given, then fresh ones."""
    yield first
    while True:
        yield root.spawn(2)


def _until_enough(draw: Callable[[int], Drawn], run: _Run) -> tuple[list[int], Drawn]:
    """Draw once, or until the gate is met; return the lengths tried and the last draws.

    Only R-hat and effective sample size decide, never an estimate: what is reported is not drawn
    towards any value by when sampling stops.
    """
    settings = run.settings
    lengths = [settings.first_draws]
    drawn = draw(lengths[0])
    longest = min(LONGEST[settings.engine], MOST_DRAWS // settings.chains)
    while settings.draws == AUTO and lengths[-1] < longest:
        scalars = scalar_draws(drawn[0], run.prior, run.matrix, run.outcome)
        needed = draws_needed(scalars)
        if needed <= lengths[-1]:
            break
        lengths.append(min(longest, needed))
        drawn = draw(lengths[-1])
    return lengths, drawn


def expected_seconds(
    patients: int,
    columns: int,
    settings: SamplerSettings,
    cores: int,
    *,
    events: int | None = None,
) -> float:
    """Rough time of a run on this machine, compilation not included; see the engines.

    Parameters
    ----------
    patients, columns : int
    settings : SamplerSettings
    cores : int
    events : int, optional
        Where they are rare Gibbs adds an independence step; default: half the patients.

    Returns
    -------
    float
        Seconds of wall time of the run, or of its first part with ``draws="auto"``.
    """
    if settings.engine == "gibbs":
        from bayes_cmvt.chains import rare_outcome, sweep_seconds

        rare = events is not None and rare_outcome(events / patients)
        sweeps = settings.chains * (settings.warmup + settings.first_draws)
        seconds = sweep_seconds(patients, columns, rare=rare) * sweeps
        return seconds / max(1, min(cores, settings.chains))
    from bayes_cmvt.nuts import NutsLength, nuts_seconds

    length = NutsLength(
        settings.chains, settings.warmup, settings.first_draws, settings.target_accept, cores
    )
    return nuts_seconds(patients, columns, length)
