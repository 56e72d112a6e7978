"""A model meets patients of another hospital: as it stands, recalibrated, or taught by them.

Every update is judged by what it says of new patients that it has not seen: the log density of
each, left out of the data in its turn, summed to an elpd. The differences to the model as it stands
are paired, patient by patient.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.chains import advance_chains, chain_draws, gibbs_problem, start_chains
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.design import Design, design_matrix
from bayes_cmvt.errors import OptionError
from bayes_cmvt.intervals import tails
from bayes_cmvt.metrics.calibration import recalibration
from bayes_cmvt.posterior import (
    design_of,
    learnt_from,
    linear_predictor_blocks,
    log_bernoulli,
    prior_of,
)
from bayes_cmvt.progress import Report
from bayes_cmvt.recalibrating import Patients, SiteDraws, reweighted_site, sampled_site
from bayes_cmvt.refits import RefitLength
from bayes_cmvt.updates import (
    NO_LINE,
    Refused,
    Update,
    judged_draws,
    left_out_of_line,
    log_density,
    slope_stays_finite,
    update_table,
    updated_risk,
)

type Floats = NDArray[np.float64]

LENGTH = RefitLength(chains=4, warmup=500, draws=2000)
NUTS_WARMUP, NUTS_DRAWS, NUTS_TARGET = 1000, 1000, 0.99  # of each chain, for a power prior
POWERS = (0.25, 0.5)  # of the old likelihood; 1 is the exact refit

STANDS = "as it stands"
LEVEL = "recalibrated intercept"
LINE = "recalibrated intercept and slope"
SITE = "site recalibration"
REWEIGHTED = "reweighted draws"
REFIT = "refit on old and new"

NO_OLD_ROWS = "left out: it needs the patients that the model was developed on"


@dataclass(frozen=True, eq=False)
class Updates:
    """All updates of a model by the same new patients.

    Attributes
    ----------
    table : DataFrame
        One row for each update, refused ones too: ``update, elpd, elpd_se, elpd_diff,
        elpd_diff_se, pareto_k, bad_k``, estimate and limits of ``intercept`` and ``slope``,
        ``note, interval``. Differences are to the model as it stands, above 0 where the update is
        better.
    updates : mapping of str to Update
        By name, without those refused; `updated_risk` gives their risks for other patients.
    risks : mapping of str to ndarray, shape (new patient,)
        Risk of the new patients by each update, which has seen their outcomes.
    """

    table: pd.DataFrame
    updates: Mapping[str, Update]
    risks: Mapping[str, Floats]


@dataclass(frozen=True, eq=False)
class _Given:
    """What every update starts from."""

    fit: xr.DataTree
    draws: SiteDraws
    new: Patients
    old: Patients | None
    seed: int
    cores: int
    ci_prob: float
    report: Report | None


def update_model(
    fit: xr.DataTree,
    old: Cohort | None,
    new: Cohort,
    *,
    seed: int = 2025,
    cores: int | None = None,
    power_prior: bool = True,
    ci_prob: float = 0.95,
    report: Report | None = None,
) -> Updates:
    """Update a model by new patients in every way, and compare the ways by elpd.

    As it stands; level, then level and spread of its log-odds by maximum likelihood; a site with
    its own δ0 and δ1 (see `bayes_cmvt.recalibrating`); its draws reweighted by the new likelihood;
    an exact refit to old and new patients with the original constants and prior; and the same with
    the old likelihood to the power 0.25 and 0.5 (Ibrahim & Chen 2000, doi:10.1214/ss/1009212673).
    The elpd of an update that draws is Pareto-smoothed importance-sampling leave-one-out over the
    new patients (Vehtari, Gelman & Gabry 2017, doi:10.1007/s11222-016-9696-4), that of an update
    by maximum likelihood is exact leave-one-out.

    Parameters
    ----------
    fit : DataTree
        Of the old patients.
    old : Cohort or None
        Whose development rows the fit learnt from; without it the refits are left out and the site
        is recalibrated by importance sampling.
    new : Cohort
        Patients that the fit has not seen, all rows, loaded with the study of the fit.
    seed : int
    cores : int, optional
        Chains that run at the same time; it does not change the result.
    power_prior : bool
        Whether to sample the two power priors, which takes NUTS and a compilation.
    ci_prob : float in (0, 1)
        Of the limits of intercept and slope: Wald for maximum likelihood, else equal-tailed.
    report : callable, optional
        Called a few times a second with a `SamplingState`, whose details begin with the update.

    Returns
    -------
    Updates

    Raises
    ------
    OptionError
        Cohorts that do not belong to the fit, ``ci_prob`` outside (0, 1).
    MetricError
        A fit of fewer than 25 draws.
    SamplingError
        NUTS could not finish.
    """
    tails(ci_prob)
    posterior, design = fit["posterior"], design_of(fit)
    given = _Given(
        fit=fit,
        draws=SiteDraws(posterior["intercept"].to_numpy(), posterior["beta"].to_numpy()),
        new=_patients(design, new, np.ones(len(new.outcome), dtype=np.bool_)),
        old=None if old is None else _old_patients(fit, design, old),
        seed=seed,
        cores=cores or os.cpu_count() or 1,
        ci_prob=ci_prob,
        report=report,
    )
    stands = Update(
        *(STANDS, given.draws, log_density(given.draws, given.new)),
        note="nothing is learnt from the new patients",
    )
    others = [*_lines(given, stands), _site(given), _reweighted(given), _refit(given)]
    if power_prior:
        others += _power_priors(given)
    updates = {one.name: one for one in (stands, *others) if isinstance(one, Update)}
    risks = {name: updated_risk(one, given.new.matrix) for name, one in updates.items()}
    return Updates(update_table(stands, others, ci_prob=ci_prob), updates, risks)


def _patients(design: Design, cohort: Cohort, chosen: NDArray[np.bool_]) -> Patients:
    if cohort.study.predictors != design.study.predictors:
        msg = (
            f'the cohort belongs to study "{cohort.study.name}" and has other predictors than the '
            f'fit of study "{design.study.name}"; load it with the study of the fit'
        )
        raise OptionError(msg)
    return Patients(design_matrix(design, cohort.predictors[chosen]), cohort.outcome[chosen])


def _old_patients(fit: xr.DataTree, design: Design, cohort: Cohort) -> Patients:
    """Development rows of the cohort, which must be those that the fit learnt from."""
    patients = _patients(design, cohort, cohort.development)
    if not learnt_from(fit, cohort):
        msg = (
            f"the fit did not learn from the development rows of {cohort.source}: outcomes or "
            "predictors differ; give the cohort that the fit was sampled from, or None"
        )
        raise OptionError(msg)
    return patients


# --- Maximum likelihood on the log-odds ----------------------------------------------------------


def _lines(given: _Given, stands: Update) -> Iterator[Update | Refused]:
    """The log-odds of the model as it stands with another level, then with another line."""
    outcome = given.new.outcome
    if min(outcome.sum(), (1 - outcome).sum()) < 2:
        note = "left out: it needs two new patients of either outcome"
        yield from (Refused(LEVEL, note), Refused(LINE, note))
        return
    risk = updated_risk(stands, given.new.matrix)
    found = recalibration(outcome, risk, ci_prob=given.ci_prob)
    level = (found.in_the_large, NO_LINE[1])
    yield replace(
        stands,
        name=LEVEL,
        line=level,
        elpd=left_out_of_line(outcome, risk, level, free_slope=False),
        intercept=(found.in_the_large, found.in_the_large_lower, found.in_the_large_upper),
        note="level by maximum likelihood; the order of the patients stays",
    )
    if not np.isfinite(found.slope) or not slope_stays_finite(outcome, risk):
        yield Refused(LINE, "left out: no finite slope fits best, or none without one patient")
        return
    line = (found.intercept, found.slope)
    yield replace(
        stands,
        name=LINE,
        line=line,
        elpd=left_out_of_line(outcome, risk, line, free_slope=True),
        intercept=(found.intercept, found.intercept_lower, found.intercept_upper),
        slope=(found.slope, found.slope_lower, found.slope_upper),
        note="level and spread by maximum likelihood",
    )


# --- Updates that draw ---------------------------------------------------------------------------


def _site(given: _Given) -> Update | Refused:
    if given.old is None:
        draws = reweighted_site(given.draws, given.new, _stream(given, 0))
    else:
        draws = sampled_site(
            *(given.old, given.new, prior_of(given.fit), _stream(given, 0)),
            length=LENGTH,
            cores=given.cores,
            report=_named(given.report, SITE),
        )
    return _judged(given, SITE, draws, "a level and a spread of the log-odds of the site's own")


def _reweighted(given: _Given) -> Update | Refused:
    draws, new = given.draws, given.new
    log_ratios = np.zeros(draws.intercept.shape)
    for block, predictor in linear_predictor_blocks(draws.intercept, draws.beta, new.matrix):
        log_ratios += log_bernoulli(new.outcome[block], predictor).sum(axis=-1)
    note = f'the same model as "{REFIT}", from the draws of the fit'
    return _judged(given, REWEIGHTED, replace(draws, log_ratios=log_ratios), note)


def _refit(given: _Given) -> Update | Refused:
    if given.old is None:
        return Refused(REFIT, NO_OLD_ROWS)
    both, prior = _together(given.old, given.new), prior_of(given.fit)
    problem = gibbs_problem(both.matrix, both.outcome, prior)
    chains = start_chains(problem, prior, _stream(given, 1).spawn(LENGTH.chains))
    until = LENGTH.warmup + LENGTH.draws
    report = _named(given.report, REFIT)
    advance_chains(chains, problem, until, cores=given.cores, report=report)
    drawn = chain_draws(chains, problem, LENGTH.warmup)
    note = "one population is assumed: old and new patients differ in their predictors alone"
    return _judged(given, REFIT, SiteDraws(drawn.intercept, drawn.beta), note)


def _power_priors(given: _Given) -> Iterator[Update | Refused]:
    """Sample both powers of the old likelihood; the model is compiled once."""
    names = [f"power prior {power:g}" for power in POWERS]
    if given.old is None:
        yield from (Refused(name, NO_OLD_ROWS) for name in names)
        return
    from bayes_cmvt import nuts

    both = _together(given.old, given.new)
    sizes = [len(given.old.outcome), len(given.new.outcome)]
    prior = prior_of(given.fit)
    compiled = nuts.compile_nuts(
        *(both.matrix, both.outcome, prior, design_of(given.fit).terms),
        weights=np.repeat([POWERS[0], 1.0], sizes),
    )
    if prior.pseudo is not None:  # the compiled model ends with its pseudo-patients
        sizes[1] += len(prior.pseudo.outcome)
    length = nuts.NutsLength(LENGTH.chains, NUTS_WARMUP, NUTS_DRAWS, NUTS_TARGET, given.cores)
    for position, (name, power) in enumerate(zip(names, POWERS, strict=True)):
        weighted = compiled.with_data(weights=np.repeat([power, 1.0], sizes))
        seeds = _stream(given, 2 + position).spawn(2)
        drawn, _ = nuts.nuts_twice(weighted, length, seeds, _named(given.report, name))
        note = f"one population, in which an old patient counts {power:g} of a new one"
        yield _judged(given, name, SiteDraws(drawn.intercept, drawn.beta), note)


def _judged(given: _Given, name: str, draws: SiteDraws, note: str) -> Update | Refused:
    return judged_draws(name, draws, given.new, note=note, ci_prob=given.ci_prob)


def _together(old: Patients, new: Patients) -> Patients:
    return Patients(
        np.concatenate([old.matrix, new.matrix]), np.concatenate([old.outcome, new.outcome])
    )


def _stream(given: _Given, position: int) -> np.random.SeedSequence:
    """Stream of one update; it does not depend on which others are sampled."""
    return np.random.SeedSequence(given.seed, spawn_key=(position,))


def _named(report: Report | None, name: str) -> Report | None:
    """Let progress begin with the name of the update."""
    if report is None:
        return None
    return lambda state: report(replace(state, details=f"{name}  {state.details}".rstrip()))
