"""How often intervals hold the truth: samples of a population, and what methods state of them.

A data set is known by its number: its patients, their outcomes, whose risks are asked for, and all
randomness of the methods follow from it. What is kept of it are sums, not patients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayes_cmvt import metrics
from bayes_cmvt.baseline import CODES
from bayes_cmvt.diagnostics import draws_needed
from bayes_cmvt.errors import MetricError
from bayes_cmvt.pipeline import run_pipeline
from bayes_cmvt.posterior import expit, scalar_draws
from bayes_cmvt.refits import Refit, RefitLength, refit_draws
from bayes_cmvt.simulation import interval_methods
from bayes_cmvt.simulation.interval_methods import (
    BOOTSTRAPS,
    PERFORMANCE,
    Asked,
    Rules,
    Statement,
    true_performance,
)
from bayes_cmvt.simulation.populations import (
    Learnt,
    Population,
    Sample,
    Truth,
    judging_risk,
    learnt,
)
from bayes_cmvt.workers import Arrays

FEWEST = 2  # patients of each outcome in a data set that can be analysed
FIFTHS = 5
TOP_SHARE = 0.05
TOLERATED = 0.25  # of the share of a group by which ties may change it
RISK_TARGETS = (
    *("risk", *(f"risk_fifth_{k + 1}" for k in range(FIFTHS)), "risk_top_5pc"),
    *(f"predicted_fifth_{k + 1}" for k in range(FIFTHS)),
)
SUMS = ("intervals", "held", "below", "above", "width", "bias", "interval_score")
RULES = ("posterior_mean", "projection", "mean_coefficients")
RULE_FIGURES = ("log_loss", "auc", "slope", "net_benefit", "observed_expected")
CERTAIN = 1e-12
FRESH = 400  # patients of whom intervals are asked, others for each data set
LENGTH = RefitLength(chains=4, warmup=300, draws=1000)

type Floats = NDArray[np.float64]
type Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class CoveragePlan:
    """What every data set needs.

    Attributes
    ----------
    population : Population
    n : int
        Patients of a data set.
    methods : tuple of str
        Of `bayes_cmvt.simulation.interval_methods.METHODS`.
    resamples : int
        Of each bootstrap.
    threshold : float
        Of the net benefit.
    fresh : int
        Patients of the population whose risks get intervals, others for each data set.
    length : RefitLength
        Of a posterior.
    ci_prob : float
    seed : int
    """

    population: Population
    n: int
    methods: tuple[str, ...]
    resamples: int
    threshold: float
    fresh: int = FRESH
    length: RefitLength = LENGTH
    ci_prob: float = 0.95
    seed: int = 2025


def coverage_block(plan: CoveragePlan, block: range) -> Arrays:
    """Draw data sets by their numbers, and confront what the methods state with the truth.

    Parameters
    ----------
    plan : CoveragePlan
    block : range

    Returns
    -------
    dict of str to ndarray
        First axis: data set. ``limits`` and ``truth`` of coefficients are log-odds per SD of the
        population; ``risk_sums`` has shape (data set, method, target, 7), see `SUMS`;
        ``performance`` lower limit, estimate, upper limit and truth; ``rules`` the figures of three
        ways to deploy a posterior, ``truth_figures`` those of the true risks, ``nearest_loss`` the
        log loss that a logistic model can reach. NaN where nothing is stated.
    """
    results = [_data_set(plan, number) for number in block]
    return {name: np.stack([one[name] for one in results]) for name in results[0]}


@dataclass(frozen=True, eq=False)
class _DataSet:
    """One data set, the patients asked for, and the streams of its methods."""

    plan: CoveragePlan
    sample: Sample
    learnt: Learnt
    asked: Asked
    fresh: NDArray[np.int64]
    seeds: list[np.random.SeedSequence]


def _data_set(plan: CoveragePlan, number: int) -> Arrays:
    streams = np.random.SeedSequence(plan.seed, spawn_key=(number,)).spawn(6)
    population = plan.population
    sample = population.sampled(plan.n, np.random.default_rng(streams[0]))
    record = _nothing(plan) | {
        "events": np.asarray(sample.outcome.sum()),
        "truth": sample.truth.beta * population.sd,
        "acting": sample.truth.acting,
    }
    if min(sample.outcome.sum(), plan.n - sample.outcome.sum()) < FEWEST:
        return record
    seen = learnt(sample, population.study)
    rng = np.random.default_rng(streams[1])
    size = min(plan.fresh, len(population.columns))
    fresh = rng.choice(len(population.columns), size, replace=False)
    everybody = seen.standardised(population.columns)
    asked = Asked(seen, everybody[fresh], everybody, plan.threshold, plan.ci_prob)
    data_set = _DataSet(plan, sample, seen, asked, fresh, streams[2:])
    return record | _confronted(data_set) | {"analysed": np.asarray(True)}


def _nothing(plan: CoveragePlan) -> Arrays:
    """The record of a data set that cannot be analysed."""
    methods, width = len(plan.methods), len(plan.population.study.terms)
    return {
        "analysed": np.asarray(False),
        "limits": np.full((methods, width, 3), np.nan),
        "risk_sums": np.zeros((methods, len(RISK_TARGETS), len(SUMS))),
        "performance": np.full((methods, len(PERFORMANCE), 4), np.nan),
        "rules": np.full((len(RULES), len(RULE_FIGURES)), np.nan),
        "truth_figures": np.full(len(RULE_FIGURES), np.nan),
        "nearest_loss": np.asarray(np.nan),
        "gate_met": np.asarray(False),
        "constant_columns": np.asarray(0),
        "resample_status": np.zeros(len(CODES), dtype=np.int64),
        "resample_firth": np.asarray(0),
    }


def _confronted(data_set: _DataSet) -> Arrays:
    """What the methods state of a data set, held against its truth."""
    plan, truth = data_set.plan, data_set.sample.truth
    found: Arrays = {"constant_columns": np.asarray(data_set.learnt.constant.sum())}
    statements: dict[str, Statement] = {}
    if "credible" in plan.methods:
        statements["credible"], rules, found["gate_met"] = _credible(data_set)
        found |= _rule_figures(rules, truth, plan)
    statements |= _frequentist(data_set, found)
    per_sd = plan.population.sd / data_set.learnt.design.sd
    ordered = [statements[name] for name in plan.methods]
    limits = np.stack([one.beta * per_sd[:, np.newaxis] for one in ordered])
    groups = [group[data_set.fresh] for group in risk_groups(truth.risk)]
    true_risk = truth.risk[data_set.fresh]
    return found | {
        "limits": limits,
        "risk_sums": np.stack([_risk_sums(one, true_risk, groups, plan) for one in ordered]),
        "performance": np.stack([_performance(one, truth, plan) for one in ordered]),
    }


def _credible(data_set: _DataSet) -> tuple[Statement, Rules, NDArray[np.bool_]]:
    """The posterior's statement, its rules, and whether its draws meet the gate."""
    seen, length = data_set.learnt, data_set.plan.length
    refit = Refit(seen.matrix, seen.outcome, seen.prior, seen.matrix[:0], data_set.seeds[0])
    draws = refit_draws(refit, length)
    statement, rules = interval_methods.credible(data_set.asked, draws, data_set.seeds[1])
    scalars = scalar_draws(draws, seen.prior, seen.matrix, seen.outcome)
    # the coefficient of a column that the sample lacks is its prior, and used by nobody
    scalars["beta"] = scalars["beta"][..., ~seen.constant]
    return statement, rules, np.asarray(draws_needed(scalars) <= length.draws)


def _frequentist(data_set: _DataSet, found: Arrays) -> dict[str, Statement]:
    """Statements of everything that is no posterior; counts of resamples go into ``found``."""
    plan, asked, patients = data_set.plan, data_set.asked, data_set.learnt.patients
    settings = plan.population.study.baseline
    once = run_pipeline(patients, settings, data_set.seeds[2])
    statements: dict[str, Statement] = {}
    bootstraps = [name for name in plan.methods if name in BOOTSTRAPS]
    if bootstraps:
        own = interval_methods.workflow_rules(patients, once, settings)
        resamples = interval_methods.resampled_workflows(
            patients, settings, plan.resamples, data_set.seeds[3]
        )
        found["resample_status"] = resamples.counts()
        found["resample_firth"] = np.asarray(sum(one.firth for one in resamples.workflows))
        for name in bootstraps:
            statements[name] = interval_methods.bootstrap(name, asked, own, resamples)
    statements["wald"] = interval_methods.wald(asked, once)
    statements["wald_selected"] = interval_methods.wald_selected(asked, once)
    if "firth" in plan.methods:
        statements["firth"] = interval_methods.firth(asked)
    if "ridge" in plan.methods:
        statements["ridge"] = interval_methods.ridge(asked)
    return statements


# --- Against the truth ---------------------------------------------------------------------------


def held_sums(limits: Floats, truth: Floats, ci_prob: float) -> Floats:
    """Sums over intervals of what `SUMS` names; intervals with NaN are left out.

    Parameters
    ----------
    limits : ndarray, shape (interval, 3)
        Lower limit, estimate, upper limit.
    truth : ndarray, shape (interval,)
    ci_prob : float

    Returns
    -------
    ndarray, shape (7,)

    Examples
    --------
    >>> held_sums(np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]]), np.array([0.5, 3.0]), 0.5).tolist()
    [2.0, 1.0, 1.0, 0.0, 4.0, -1.5, 8.0]
    """
    stated = np.isfinite(limits).all(axis=-1) & np.isfinite(truth)
    if not stated.any():
        return np.zeros(len(SUMS))
    (lower, estimate, upper), true = limits[stated].T, truth[stated]
    below, above = upper < true, lower > true
    score = metrics.interval_score(lower, upper, true, ci_prob=ci_prob)
    columns = (~(below | above), below, above, upper - lower, estimate - true, score)
    return np.array([stated.sum(), *(np.sum(one) for one in columns)], dtype=float)


def risk_groups(risk: Floats) -> list[Flags]:
    """Which patients are in each fifth of a risk, and in its highest 5 %, shape (patient,) each."""
    top = risk >= np.quantile(risk, 1 - TOP_SHARE)
    return [*_fifths(risk), _if_about(top, TOP_SHARE)]


def _fifths(risk: Floats) -> list[Flags]:
    """Fifths of the patients by risk; a fifth that ties make another share has nobody."""
    cuts = np.quantile(risk, np.arange(1, FIFTHS) / FIFTHS)
    fifth = np.searchsorted(cuts, risk, side="right")
    return [_if_about(fifth == k, 1 / FIFTHS) for k in range(FIFTHS)]


def _if_about(group: Flags, share: float) -> Flags:
    """The group where it is what it is called, by a quarter more or less; else nobody."""
    return group if abs(group.mean() / share - 1) <= TOLERATED else np.zeros_like(group)


def _risk_sums(one: Statement, truth: Floats, true: list[Flags], plan: CoveragePlan) -> Floats:
    """Sums over all patients asked for, by their true risk, and by what the method says of them."""
    if one.risk is None or not np.isfinite(one.risk).all():
        return np.zeros((len(RISK_TARGETS), len(SUMS)))
    everybody = np.ones(len(truth), dtype=bool)
    groups = [everybody, *true, *_fifths(one.risk[:, 1])]
    return np.stack([held_sums(one.risk[held], truth[held], plan.ci_prob) for held in groups])


def _performance(one: Statement, truth: Truth, plan: CoveragePlan) -> Floats:
    """Stated performance of the method's own rule, and its true one, shape (3, 4)."""
    if one.performance is None or one.rule is None or not np.isfinite(one.rule).all():
        return np.full((len(PERFORMANCE), 4), np.nan)
    judged = judging_risk(plan.population, truth)
    true = _true_performance(one.rule, judged, plan.threshold)
    return np.column_stack([one.performance, true])


def _true_performance(rule: Floats, risk: Floats, threshold: float) -> Floats:
    try:
        return true_performance(rule, risk, threshold)
    except MetricError:  # a rule so extreme that it has no slope
        return np.full(len(PERFORMANCE), np.nan)


def _rule_figures(rules: Rules, truth: Truth, plan: CoveragePlan) -> Arrays:
    """Figures of three ways to deploy a posterior, of the true risks, of the nearest model's."""
    population = plan.population
    risk = judging_risk(population, truth)

    def loss(rule: Floats) -> float:
        bounded = np.clip(rule, CERTAIN, 1 - CERTAIN)
        return float(-(risk * np.log(bounded) + (1 - risk) * np.log1p(-bounded)).mean())

    def figures(rule: Floats) -> Floats:
        if not np.isfinite(rule).all():
            return np.full(len(RULE_FIGURES), np.nan)
        performance = _true_performance(rule, risk, plan.threshold)
        return np.array([loss(rule), *performance, risk.mean() / rule.mean()])

    nearest = expit(truth.intercept + population.columns @ truth.beta)
    return {
        "rules": np.stack([figures(getattr(rules, name)) for name in RULES]),
        "truth_figures": figures(truth.risk),
        "nearest_loss": np.asarray(loss(nearest)),
    }
