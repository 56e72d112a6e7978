"""Is the inference right on the study's own design? Simulation-based calibration.

Parameters are drawn from the prior, outcomes of the study's patients given them, and the model is
sampled as it would be for those outcomes. Averaged over the prior, each true value then ranks
evenly among the draws of its own posterior (Talts et al. 2018, arXiv:1804.06788; Modrák et al.
2023, doi:10.1214/23-BA1404). The second mode starts from the posterior of the observed outcomes
and samples given these and the simulated ones together (Säilynoja et al. 2025, arXiv:2502.03279):
it looks where the study's inference takes place.

Columns, their constants and the prior's numbers are fixed beforehand: a global scale computed from
simulated outcomes would make a right sampler fail. A data set drawn from the prior is kept if 10
to 90 % of its patients have the event; that depends on the outcomes alone, and leaves the ranks
even. None is rejected for what its chain did: that chain is made longer.
"""

from __future__ import annotations

import functools
import pickle
from dataclasses import dataclass, replace
from threading import Event, Lock
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
import xarray as xr
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray

from bayes_cmvt import gibbs
from bayes_cmvt.chains import advance_chain, chain_draws, gibbs_problem, start_chains
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.design import design_matrix, learn_design
from bayes_cmvt.errors import OptionError, SamplingError, nearest, quoted
from bayes_cmvt.estimates import term_labels
from bayes_cmvt.nuts import NutsLength, compile_nuts, nuts_once, with_outcome
from bayes_cmvt.posterior import (
    Draws,
    check_posterior,
    design_of,
    draws_of,
    expit,
    learnt_from,
    prior_of,
)
from bayes_cmvt.priors import CoefficientPrior, numeric_prior, prior_draws
from bayes_cmvt.progress import Report
from bayes_cmvt.resampling import Keep, run_blocks
from bayes_cmvt.simulation.rank_envelope import RANKS, rank_test, ranks_of, thinned_evenly
from bayes_cmvt.simulation.tested_quantities import (
    has_scales,
    tested_labels,
    tested_quantities,
    tested_values,
)
from bayes_cmvt.workers import Arrays, Workers

FEWEST_EVENTS, MOST_EVENTS = 0.1, 0.9  # share of the patients, of a data set that is kept
MOST_REDRAWN = 10_000  # data sets in a row that are not kept: then the prior gives none
ALLOWED = 0.05  # probability that a right sampler has any quantity outside its envelope
FEWEST, MOST = 10, 100_000
NUTS_TARGET = 0.95

type Engine = Literal["gibbs", "nuts", "gibbs-without-normaliser"]
type Floats = NDArray[np.float64]
type Counts = NDArray[np.int64]


@dataclass(frozen=True)
class ChainLength:
    """How long the one chain of a data set is.

    Attributes
    ----------
    warmup, draws : int
        At first; both are doubled, and doubled again, while the chain falls short.
    most : int
        No more draws than these.
    ess : float
        Smallest bulk effective sample size that any quantity may have. At twice as many as are
        ranked among, those left by thinning have correlations of about 0.02.
    """

    warmup: int
    draws: int
    most: int
    ess: float = 2 * RANKS


LENGTHS: dict[Engine, ChainLength] = {
    "gibbs": ChainLength(500, 2000, 64_000),
    "gibbs-without-normaliser": ChainLength(500, 2000, 64_000),
    "nuts": ChainLength(500, 1000, 8000),
}


@dataclass(frozen=True, eq=False)
class SbcPlan:
    """What every data set of a simulation shares.

    Attributes
    ----------
    matrix : ndarray, shape (patient, column)
        Standardised with the constants of the observed development rows.
    terms : tuple of str
    prior : CoefficientPrior
    engine : {"gibbs", "nuts", "gibbs-without-normaliser"}
    seed : int
    replications : int
    length : ChainLength
    outcome : ndarray of {0, 1}, shape (patient,), optional
        Observed outcomes, of the second mode alone.
    posterior : Draws, optional
        Of the model given them.
    """

    matrix: Floats
    terms: tuple[str, ...]
    prior: CoefficientPrior
    engine: Engine
    seed: int
    replications: int
    length: ChainLength
    outcome: NDArray[np.int8] | None = None
    posterior: Draws | None = None

    @property
    def learnt_matrix(self) -> Floats:
        """Rows that a chain learns from: with observed outcomes every patient stands twice."""
        return self.matrix if self.outcome is None else np.vstack([self.matrix, self.matrix])

    def learnt_outcome(self, simulated: NDArray[np.int8]) -> NDArray[np.int8]:
        """Outcomes that a chain learns from."""
        if self.outcome is None:
            return simulated
        return np.concatenate([self.outcome, simulated]).astype(np.int8)


@dataclass(frozen=True, eq=False)
class SbcResult:
    """Tables of a simulation-based calibration.

    Attributes
    ----------
    sbc : DataFrame, one row for each quantity
        ``quantity, label, replications, p_value, inside_envelope, quantities, envelope, ess_min,
        engine, mode``.
    sbc_ranks : DataFrame, one row for each quantity and rank
        ``quantity, rank, count, envelope_lower, envelope_upper``; the envelope holds the number of
        data sets with a rank up to this one.
    sbc_outcomes : DataFrame
        ``outcome, replicates``: what became of the data sets.
    divergences : int
        Divergent draws of all chains; 0 for Gibbs.
    sweeps : int
        Draws of all chains, warm-up included.
    """

    sbc: pd.DataFrame
    sbc_ranks: pd.DataFrame
    sbc_outcomes: pd.DataFrame
    divergences: int
    sweeps: int

    @property
    def passed(self) -> bool:
        """Whether every quantity is inside its envelope."""
        return bool(self.sbc["inside_envelope"].all())


def simulate_sbc(
    cohort: Cohort,
    *,
    engine: Engine = "gibbs",
    replications: int = 1000,
    seed: int = 2025,
    posterior_fit: xr.DataTree | None = None,
    global_scale: float | None = None,
    slab_scale: float | None = None,
    workers: Workers | None = None,
    keep: Keep | None = None,
    report: Report | None = None,
) -> SbcResult:
    """Test an engine on the study's own design by simulation-based calibration.

    Tested are, as far as the prior has them, τ, c², α, the size of each coefficient (of one with a
    prior of its own the coefficient), the length of them all, the log-likelihood, and the risks of
    three patients: those at 10, 50 and 90 % of the distances of the standardised predictors from
    their mean.

    Parameters
    ----------
    cohort : Cohort
        Its development patients are used; their outcomes only for the numbers of the prior.
    engine : {"gibbs", "nuts", "gibbs-without-normaliser"}
        The last one samples wrongly on purpose (Nishimura & Suchard's variant, arXiv:1911.02160):
        a test that it passes would be worth nothing. Every quantity shows it at a global scale of
        1 and a slab of 0.5; the smaller the former and the wider the latter, the fewer do.
    replications : int
        Data sets that are kept, 10 to 100,000.
    seed : int
        Same seed, same tables, whatever the workers.
    posterior_fit : DataTree, optional
        Second mode: a fit of the same development patients, whose draws are the true values, and
        whose patients are learnt from as well. All data sets are kept in this mode.
    global_scale, slab_scale : float, optional
        τ0 and s, instead of those of the study.
    workers : Workers, optional
        Default: threads, one for each core.
    keep : Keep, optional
        Where finished blocks are kept.
    report : callable, optional

    Returns
    -------
    SbcResult

    Raises
    ------
    OptionError
        Unknown engine, numbers outside what is allowed, a fit of other patients.
    SamplingError
        The prior gives no data set that can be kept.
    """
    check_sbc(engine, replications, seed, global_scale, slab_scale)
    plan = _planned(cohort, engine, replications, seed, posterior_fit)
    plan = replace(plan, prior=_scaled_prior(plan.prior, engine, global_scale, slab_scale))
    block = 5 if engine == "nuts" else 25
    arrays = run_blocks(
        sbc_block,
        plan,
        replications,
        workers=workers,
        keep=keep,
        block=block,
        report=report,
        unit="data sets",
    )
    labels = tested_labels(plan.prior, plan.terms, term_labels(cohort.study))
    return sbc_tables(plan, labels, arrays)


def check_sbc(
    engine: str,
    replications: int,
    seed: int,
    global_scale: float | None,
    slab_scale: float | None,
) -> None:
    """Refuse what the simulation cannot honour, all at once.

    Raises
    ------
    OptionError
    """
    problems = []
    if engine not in LENGTHS:
        spelling = nearest(engine, LENGTHS)
        problems.append(f'engine: found "{engine}"; allowed: {quoted(LENGTHS)}{spelling}')
    problems += [
        f"{name}: found {value!r}; allowed: a whole number from {low:,} to {high:,}"
        for name, value, low, high in (
            ("replications", replications, FEWEST, MOST),
            ("seed", seed, 0, 2**63 - 1),
        )
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high
    ]
    problems += [
        f"{name}: found {value!r}; allowed: a number above 0"
        for name, value in (("global_scale", global_scale), ("slab_scale", slab_scale))
        if value is not None and not 0 < value < np.inf
    ]
    if problems:
        msg = "the simulation cannot start"
        raise OptionError(msg, problems)


def _planned(
    cohort: Cohort,
    engine: Engine,
    replications: int,
    seed: int,
    fit: xr.DataTree | None,
) -> SbcPlan:
    """Fix columns, constants and prior; of the second mode the observed outcomes and draws."""
    outcome = cohort.outcome[cohort.development]
    length = LENGTHS[engine]
    if fit is None:
        design = learn_design(cohort)
        prior = numeric_prior(design, n=len(outcome), events=int(outcome.sum()))
    else:
        check_posterior(fit)
        if not learnt_from(fit, cohort):
            msg = "posterior_fit: has learnt from other patients than those of the cohort"
            raise OptionError(msg)
        design, prior = design_of(fit), prior_of(fit)
    matrix = design_matrix(design, cohort.predictors[cohort.development])
    plan = SbcPlan(matrix, design.terms, prior, engine, seed, replications, length)
    if fit is None:
        return plan
    plan = replace(plan, outcome=outcome, posterior=replace(draws_of(fit), local=None))
    _refuse_few_draws(plan)
    return plan


def _refuse_few_draws(plan: SbcPlan) -> None:
    """True values must be about independent: as many effective draws as there are data sets."""
    draws, outcome = plan.posterior, plan.outcome
    assert draws is not None
    assert outcome is not None
    values = tested_values(plan.prior, plan.matrix, outcome, draws)
    ess = effective_draws(values.reshape(*draws.intercept.shape, -1))
    if ess.min() < plan.replications:
        name = tested_quantities(plan.prior, plan.terms)[int(ess.argmin())]
        msg = (
            f"posterior_fit: is worth {ess.min():,.0f} independent draws for {name}, and "
            f"replications = {plan.replications:,} take as many; sample with more draws, or ask "
            "for fewer replications"
        )
        raise OptionError(msg)


def _scaled_prior(
    prior: CoefficientPrior, engine: Engine, tau0: float | None, slab: float | None
) -> CoefficientPrior:
    """The prior with the scales that were asked for."""
    asked = {"global_scale": tau0, "slab_scale": slab}
    changed = {name: float(value) for name, value in asked.items() if value is not None}
    if has_scales(prior):
        return replace(prior, **cast("Any", changed))
    problems = [f"{name}: the prior of this study has none; leave it out" for name in changed]
    if engine == "gibbs-without-normaliser":
        problems.append(f'engine: "{engine}" is a wrong horseshoe, and this study has none')
    if problems:
        msg = "the simulation cannot start"
        raise OptionError(msg, problems)
    return prior


# --- One data set --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Simulated:
    """A true value with outcomes that follow from it, and how many were redrawn before."""

    truth: Draws
    outcome: NDArray[np.int8]
    too_few: int
    too_many: int


def sbc_block(plan: SbcPlan, block: range) -> Arrays:
    """Ranks of the true values among the draws of their posteriors, data set by data set.

    Parameters
    ----------
    plan : SbcPlan
    block : range
        Numbers of data sets; each is drawn again until it can be kept.

    Returns
    -------
    dict of ndarray, shape (data set,) or (data set, quantity)
        ``ranks, ess``; ``too_few, too_many`` (redrawn); ``lengthened, short`` (the chain),
        ``divergences, sweeps``.
    """
    found = [_one_data_set(plan, number) for number in block]
    return {name: np.array([one[name] for one in found]) for name in found[0]}


def _one_data_set(plan: SbcPlan, number: int) -> dict[str, Any]:
    seeds = SeedSequence(plan.seed, spawn_key=(number,)).spawn(2)
    rng = np.random.default_rng(seeds[0])
    one = _simulated(plan, number, rng)
    outcome = plan.learnt_outcome(one.outcome)
    draws, values, ess, doubled = _sampled(plan, outcome, seeds[1])
    truth = tested_values(plan.prior, plan.matrix, outcome, one.truth)[0]
    diverging = draws.sample_stats.get("diverging", np.zeros(1))
    sweeps = (plan.length.warmup + plan.length.draws) << doubled
    return {
        "ranks": ranks_of(truth, thinned_evenly(values), rng),
        "ess": ess,
        "too_few": one.too_few,
        "too_many": one.too_many,
        "lengthened": doubled > 0,
        "short": bool(ess.min() < plan.length.ess),
        "divergences": int(np.sum(diverging)),
        "sweeps": sweeps,
    }


def _simulated(plan: SbcPlan, number: int, rng: Generator) -> _Simulated:
    """Draw a true value and outcomes given it, from the prior until they can be kept."""
    if plan.posterior is not None:
        truth = _posterior_draw(plan.posterior, (number + 0.5) / plan.replications)
        return _Simulated(truth, _outcome(plan, truth, rng), 0, 0)
    redrawn = [0, 0]
    while sum(redrawn) < MOST_REDRAWN:
        truth = _prior_draw(plan.prior, rng)
        outcome = _outcome(plan, truth, rng)
        share = float(outcome.mean())
        if FEWEST_EVENTS <= share <= MOST_EVENTS:
            return _Simulated(truth, outcome, *redrawn)
        redrawn[int(share > MOST_EVENTS)] += 1
    msg = (
        f"{MOST_REDRAWN:,} data sets in a row had events in fewer than {FEWEST_EVENTS:.0%} or in "
        f"more than {MOST_EVENTS:.0%} of the patients: the prior of this study gives no other"
    )
    raise SamplingError(msg)


def _prior_draw(prior: CoefficientPrior, rng: Generator) -> Draws:
    drawn = prior_draws(prior, 1, rng)

    def one_chain(values: Floats | None) -> Floats | None:
        return None if values is None else values[np.newaxis]

    return Draws(
        intercept=drawn.intercept[np.newaxis],
        beta=drawn.beta[np.newaxis],
        tau=one_chain(drawn.tau),
        local=None,
        slab=one_chain(drawn.slab),
        sample_stats={},
    )


def _posterior_draw(draws: Draws, share: float) -> Draws:
    """The draw that stands behind a share of all: spread evenly, they are next to independent."""
    position = int(share * draws.intercept.size)

    def one(values: Floats) -> Floats:
        return np.asarray(values.reshape(1, -1, *values.shape[2:])[:, [position]])

    return Draws(
        intercept=one(draws.intercept),
        beta=one(draws.beta),
        tau=None if draws.tau is None else one(draws.tau),
        local=None,
        slab=None if draws.slab is None else one(draws.slab),
        sample_stats={},
    )


def _outcome(plan: SbcPlan, truth: Draws, rng: Generator) -> NDArray[np.int8]:
    risk = expit(truth.intercept[0, 0] + plan.matrix @ truth.beta[0, 0])
    return (rng.random(len(risk)) < risk).astype(np.int8)


def _sampled(
    plan: SbcPlan, outcome: NDArray[np.int8], seed: SeedSequence
) -> tuple[Draws, Floats, Floats, int]:
    """Draws, tested values, their effective sample sizes, and how often a chain was doubled."""
    sampler = _nuts_sampler if plan.engine == "nuts" else _gibbs_sampler
    extended = sampler(plan, outcome, seed)
    doubled = 0
    while True:
        draws = extended(doubled)
        values = tested_values(plan.prior, plan.matrix, outcome, draws)
        ess = effective_draws(values[np.newaxis])
        enough = ess.min() >= plan.length.ess
        if enough or plan.length.draws << (doubled + 1) > plan.length.most:
            return draws, values, ess, doubled
        doubled += 1


def _gibbs_sampler(plan: SbcPlan, outcome: NDArray[np.int8], seed: SeedSequence) -> Any:
    """Chain that goes on from where it stands when it is doubled."""
    problem = gibbs_problem(plan.learnt_matrix, outcome, plan.prior)
    if plan.engine == "gibbs-without-normaliser":
        problem = replace(problem, prior=problem.prior._replace(family=gibbs.UNNORMALISED))
    chains = start_chains(problem, plan.prior, [seed])

    def extended(doubled: int) -> Draws:
        warmup, draws = plan.length.warmup << doubled, plan.length.draws << doubled
        advance_chain(chains[0], problem, warmup + draws, Event())
        return chain_draws(chains, problem, warmup)

    return extended


def _nuts_sampler(plan: SbcPlan, outcome: NDArray[np.int8], seed: SeedSequence) -> Any:
    """Chain that starts again when it is doubled: its step size belongs to its warm-up."""
    compiled = with_outcome(compiled_model(plan), outcome, plan.prior)

    def extended(doubled: int) -> Draws:
        warmup, draws = plan.length.warmup << doubled, plan.length.draws << doubled
        length = NutsLength(1, warmup, draws, NUTS_TARGET, cores=1)
        return nuts_once(compiled, length, seed.spawn(1)[0])

    return extended


_COMPILING = Lock()


def compiled_model(plan: SbcPlan) -> Any:
    """Compiled model of a plan; of all its data sets one, in each process."""
    with _COMPILING:
        return _compiled(pickle.dumps((plan.learnt_matrix, plan.prior, plan.terms)))


@functools.lru_cache(maxsize=1)
def _compiled(model: bytes) -> Any:
    matrix, prior, terms = pickle.loads(model)
    return compile_nuts(matrix, (np.arange(len(matrix)) % 2).astype(np.int8), prior, terms)


def effective_draws(values: Floats) -> Floats:
    """Bulk effective sample size of each quantity, 0 where it never moves.

    Vehtari et al. 2021, doi:10.1214/20-BA1221.

    Parameters
    ----------
    values : ndarray, shape (chain, draw, quantity)

    Returns
    -------
    ndarray, shape (quantity,)
    """
    import arviz_stats as azs

    with np.errstate(divide="ignore", invalid="ignore"):
        ess = np.asarray(azs.ess(values))
    moving = np.ptp(values, axis=(0, 1)) > 0
    return np.where(moving & np.isfinite(ess), ess, 0.0)


# --- Tables --------------------------------------------------------------------------------------


def sbc_tables(plan: SbcPlan, labels: dict[str, str], arrays: Arrays) -> SbcResult:
    """Put what the data sets gave into tables.

    Parameters
    ----------
    plan : SbcPlan
    labels : dict of str to str
        From `tested_labels`.
    arrays : dict of ndarray
        From `sbc_block`, of all data sets.

    Returns
    -------
    SbcResult
    """
    ranks, test = arrays["ranks"], rank_test(len(arrays["ranks"]))
    outside = ALLOWED / len(labels)
    table = pd.DataFrame(
        {
            "quantity": list(labels),
            "label": list(labels.values()),
            "replications": len(ranks),
            "p_value": [test.p_value(one) for one in ranks.T],
        }
    )
    table = table.assign(
        inside_envelope=table["p_value"] > outside,
        quantities=len(labels),
        envelope=1 - outside,
        ess_min=arrays["ess"].min(axis=0),
        engine=plan.engine,
        mode="prior" if plan.posterior is None else "posterior",
    )
    return SbcResult(
        sbc=table,
        sbc_ranks=_rank_table(list(labels), ranks, test.envelope(outside)),
        sbc_outcomes=_outcome_table(plan.engine, arrays),
        divergences=int(arrays["divergences"].sum()),
        sweeps=int(arrays["sweeps"].sum()),
    )


def _rank_table(
    quantities: list[str], ranks: Counts, envelope: tuple[Counts, Counts]
) -> pd.DataFrame:
    counts = [np.bincount(one, minlength=RANKS + 1) for one in ranks.T]
    return pd.DataFrame(
        {
            "quantity": np.repeat(quantities, RANKS + 1),
            "rank": np.tile(np.arange(RANKS + 1), len(quantities)),
            "count": np.concatenate(counts),
            "envelope_lower": np.tile(envelope[0], len(quantities)),
            "envelope_upper": np.tile(envelope[1], len(quantities)),
        }
    )


def _outcome_table(engine: Engine, arrays: Arrays) -> pd.DataFrame:
    rows = {
        "kept": len(arrays["ranks"]),
        "too few events": arrays["too_few"].sum(),
        "too many events": arrays["too_many"].sum(),
        "lengthened": arrays["lengthened"].sum(),
        "short": arrays["short"].sum(),
    }
    if engine == "nuts":
        rows["diverged"] = (arrays["divergences"] > 0).sum()
    replicates = np.array(list(rows.values()), dtype=np.int64)
    return pd.DataFrame({"outcome": list(rows), "replicates": replicates})
