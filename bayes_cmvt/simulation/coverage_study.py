"""The coverage study: scenario after scenario, data set after data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from bayes_cmvt.errors import DataError, OptionError, nearest, quoted
from bayes_cmvt.intervals import tails
from bayes_cmvt.progress import Report
from bayes_cmvt.resampling import Keep, run_blocks
from bayes_cmvt.simulation.coverage import (
    RISK_TARGETS,
    CoveragePlan,
    coverage_block,
    risk_groups,
)
from bayes_cmvt.simulation.coverage_tables import coverage_tables
from bayes_cmvt.simulation.interval_methods import BOOTSTRAPS, METHODS
from bayes_cmvt.simulation.populations import Population, too_small
from bayes_cmvt.study import Study
from bayes_cmvt.workers import Arrays, Workers

BLOCK = 4  # data sets of a few seconds each: what a worker that dies takes with it
FEWEST_PATIENTS, FEWEST_RESAMPLES, MOST = 20, 20, 1_000_000
MEANS_OVER = 50  # truths, where each data set has its own
FLAT_FROM = 10.0  # prior SD, log-odds per SD, from which a normal prior decides nothing
NEEDS_ALL_COLUMNS = "firth"

type KeepFor = Callable[[str], Keep]


def simulate_coverage(
    populations: Sequence[Population],
    *,
    n: int,
    replications: int,
    resamples: int = 200,
    methods: Sequence[str] | None = None,
    threshold: float | None = None,
    ci_prob: float = 0.95,
    seed: int = 2025,
    workers: Workers | None = None,
    keep: KeepFor | None = None,
    report: Report | None = None,
) -> dict[str, pd.DataFrame]:
    """Draw data sets from populations, and count whose intervals hold the truth.

    Parameters
    ----------
    populations : sequence of Population
        From `scenario_population` or `file_population`, each of another name.
    n : int
        Patients of a data set.
    replications : int
        Data sets of each population.
    resamples : int
        Of the bootstraps of each data set; 0: no bootstrap.
    methods : sequence of str, optional
        Some of ``credible, bootstrap, bootstrap_refit, bootstrap_lasso, wald, wald_selected, firth,
        ridge``; default: all that are possible.
    threshold : float, optional
        Of the net benefit; default: the one that the study uses, else the population's mean risk.
    ci_prob : float in (0, 1)
    seed : int
        Same seed, same tables, wherever they are computed.
    workers : Workers, optional
    keep : callable, optional
        Takes the name of a population; where its finished blocks are kept.
    report : callable, optional

    Returns
    -------
    dict of str to DataFrame
        ``coverage, coverage_coefficients, coverage_answer, plug_in, coverage_outcomes``, and of a
        file ``file_truth``.

    Raises
    ------
    OptionError
        Numbers or methods that cannot be honoured, all at once.
    DataError
        A population of which no data set can be analysed.
    """
    check_coverage(
        populations[0].study,
        n=n,
        replications=replications,
        resamples=resamples,
        methods=methods,
        ci_prob=ci_prob,
        seed=seed,
    )
    _check_populations(populations, n)
    chosen = chosen_methods(populations[0].study, n, resamples, methods)
    found: dict[str, Arrays] = {}
    plans: dict[str, CoveragePlan] = {}
    for population in populations:
        plan = CoveragePlan(
            population=population,
            n=n,
            methods=chosen,
            resamples=resamples,
            threshold=deciding_threshold(population) if threshold is None else threshold,
            ci_prob=ci_prob,
            seed=seed,
        )
        arrays = run_blocks(
            coverage_block,
            plan,
            replications,
            workers=workers,
            keep=None if keep is None else keep(population.name),
            block=BLOCK,
            report=report,
            unit=f"data sets ({population.name})",
        )
        _refuse_one_outcome(arrays, plan)
        found[population.name], plans[population.name] = arrays, plan
    tables = coverage_tables(found, plans)
    of_files = [file_truth_table(one) for one in populations if one.outcome is not None]
    return tables | ({"file_truth": pd.concat(of_files)} if of_files else {})


def file_truth_table(population: Population) -> pd.DataFrame:
    """What happened to the patients of a file beside the fit of them all, by fifths of that fit.

    The fit is the truth that limits of risks are held against; where the two columns differ it is
    not what the patients obey, and limits are judged by what nobody knows.

    Parameters
    ----------
    population : Population
        With outcomes.

    Returns
    -------
    DataFrame
        ``scenario, target, patients, true_risk, observed``: fifths, then the highest 5 %.
    """
    assert population.outcome is not None
    risk = population.truth().risk
    groups = dict(zip(RISK_TARGETS[1:], risk_groups(risk), strict=False))
    return pd.DataFrame(
        [
            {
                "scenario": population.name,
                "target": target,
                "patients": int(group.sum()),
                "true_risk": float(risk[group].mean()),
                "observed": float(population.outcome[group].mean()),
            }
            for target, group in groups.items()
            if group.any()
        ]
    )


def check_coverage(
    study: Study,
    *,
    n: int,
    replications: int,
    resamples: int,
    methods: Sequence[str] | None,
    ci_prob: float,
    seed: int,
) -> None:
    """Refuse what cannot be simulated, all at once.

    Raises
    ------
    OptionError
    """
    tails(ci_prob)
    problems = [
        f"{name}: found {value!r}; allowed: a whole number from {low:,} to {high:,}"
        for name, value, low, high in (
            ("n", n, FEWEST_PATIENTS, MOST),
            ("replications", replications, 1, MOST),
            ("seed", seed, 0, 2**63 - 1),
        )
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high
    ]
    if isinstance(resamples, bool) or not (resamples == 0 or FEWEST_RESAMPLES <= resamples <= MOST):
        problems.append(
            f"resamples: found {resamples!r}; allowed: 0 (no bootstrap), or {FEWEST_RESAMPLES} "
            f"and more for limits; 200 and more for a claim"
        )
    problems += _method_problems(methods, resamples)
    columns, prior = len(study.terms), study.prior
    few = isinstance(n, int) and n <= columns
    if few and methods is not None and NEEDS_ALL_COLUMNS in methods:
        problems.append(
            f'method "{NEEDS_ALL_COLUMNS}": a fit of all {columns} columns, which is a flat prior '
            f"but for a trace, needs more than {columns} patients; found n = {n}: leave it out"
        )
    if few and prior.family == "normal" and prior.scale >= FLAT_FROM:
        problems.append(
            f"[prior]: a normal prior of SD {prior.scale:g} is as good as flat, and {n} patients "
            f"cannot tell {columns} columns apart: declare a smaller scale, or another family"
        )
    if problems:
        msg = "the simulation cannot start"
        raise OptionError(msg, problems)


def _method_problems(methods: Sequence[str] | None, resamples: int) -> list[str]:
    if methods is None:
        return []
    problems = [
        f'method: found "{name}"; allowed: {quoted(METHODS)}{nearest(name, METHODS)}'
        for name in methods
        if name not in METHODS
    ]
    if not methods:
        problems.append("methods: name one at least")
    asked = [name for name in methods if name in BOOTSTRAPS]
    if asked and not resamples:
        problems.append(f"methods {quoted(asked)} need resamples; found 0")
    return problems


def _check_populations(populations: Sequence[Population], n: int) -> None:
    problems = [problem for one in populations if (problem := too_small(one, n)) is not None]
    if problems:
        msg = "the population is too small"
        raise OptionError(msg, problems)


def chosen_methods(
    study: Study, n: int, resamples: int, methods: Sequence[str] | None
) -> tuple[str, ...]:
    """The methods that were asked for, or all that are possible, in their order."""
    possible = [
        name
        for name in METHODS
        if (resamples or name not in BOOTSTRAPS)
        and (n > len(study.terms) or name != NEEDS_ALL_COLUMNS)
    ]
    return tuple(name for name in METHODS if name in (possible if methods is None else methods))


def deciding_threshold(population: Population) -> float:
    """The threshold at which the study compares classes, else the population's mean risk."""
    declared = population.study.decision.use
    if declared is not None:
        return declared
    some = range(min(MEANS_OVER, len(population.coefficients)))
    return float(np.mean([population.truth(number).risk.mean() for number in some]))


def _refuse_one_outcome(arrays: Arrays, plan: CoveragePlan) -> None:
    if not arrays["analysed"].any():
        risk = plan.population.truth().risk.mean()
        heading = f'scenario "{plan.population.name}" cannot be studied with n = {plan.n}'
        problem = (
            f"the mean risk is {risk:.2g}: none of the data sets has two patients of each outcome; "
            "choose a larger n, or another scenario"
        )
        raise DataError(heading, [problem])
