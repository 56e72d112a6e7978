"""Selection replicated: what fresh patients from the same population would have selected.

Every data set is a new sample of the study's size. What LASSO, the P rule, rules on the posterior
and the projection keep of it is compared with the truth, and with what they keep of other samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import SeedSequence
from numpy.typing import NDArray

from bayes_cmvt.design import Design
from bayes_cmvt.errors import OptionError
from bayes_cmvt.estimates import term_labels
from bayes_cmvt.glossary import REPLICATED_RULES
from bayes_cmvt.intervals import tails
from bayes_cmvt.pipeline import draw_folds, run_pipeline
from bayes_cmvt.posterior import PRIOR_DRAWS, Draws, scale_variance
from bayes_cmvt.priors import numeric_prior, prior_draws, shrinkage
from bayes_cmvt.progress import Report
from bayes_cmvt.refits import Refit, RefitLength, refit_draws
from bayes_cmvt.repetitions import SEARCH_DRAWS, JudgedSizes, SelectionSettings, reference_draws
from bayes_cmvt.resampling import Keep, run_blocks
from bayes_cmvt.schema import Continuous
from bayes_cmvt.selection import elpd_differences, search_plan, suggest_size
from bayes_cmvt.selection_rules import (
    DEFAULT_ROPE,
    HORSESHOE,
    Practice,
    beyond_rope,
    check_rope,
    kept_by_rules,
)
from bayes_cmvt.simulation.populations import (
    Learnt,
    Population,
    learnt,
    mean_and_varying_sd,
    too_small,
)
from bayes_cmvt.submodels import SearchPlan, search_submodels, submodel_risks
from bayes_cmvt.workers import Workers

OUTCOMES: Mapping[str, str] = MappingProxyType(
    {
        "complete": "every rule has chosen",
        "separated": "every rule has chosen; the refit had no maximum-likelihood estimate (Firth)",
        "failed": "the frequentist workflow did not converge: LASSO and P rule are left out",
        "few_patients": "fewer than two patients of an outcome: left out",
        "one_class": "one outcome only: left out",
    }
)
WORKFLOW_RULES = ("lasso", "p_rule")
COPIES = "(copies)"
COPY = 0.7  # correlation from which a column counts as a copy of another
BLOCK = 5  # data sets, of a few seconds each
LENGTH = RefitLength(chains=4, warmup=300, draws=1000)
FOLD_LENGTH = RefitLength(chains=1, warmup=300, draws=1000)

type Floats = NDArray[np.float64]
type Flags = NDArray[np.bool_]
type Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class ReplicationSettings:
    """How the rules choose.

    The projection's size costs a fit and a search without each fold. Which size is suggested varies
    with how folds are dealt, far more than with what shortens the work: in 14 samples of a study
    the mean size was 4.5 with ten folds, two chains, 20 clusters and 400 draws (10 s a sample), 4.5
    and 4.6 with five folds and the numbers below (2.3 s), 3.9 with three folds. Importance weights
    with one search by everybody flatter small submodels (3.3).

    Attributes
    ----------
    rope : float, above 1
        Odds ratio up to which an effect is of no practical size.
    interval : float in (0, 1)
        That excludes 0 or not.
    folds : int
        Of the cross-validation that suggests the projection's size; 0 leaves the projection out.
    clusters, draws : int
        Of the search, and projected to judge a size.
    length : RefitLength
        Of the posterior of a data set.
    fold_length : RefitLength
        Of the posterior without a fold.
    """

    rope: float = DEFAULT_ROPE
    interval: float = 0.95
    folds: int = 5
    clusters: int = 10
    draws: int = 100
    length: RefitLength = LENGTH
    fold_length: RefitLength = FOLD_LENGTH


@dataclass(frozen=True, eq=False)
class SelectionPlan:
    """What every data set is to be selected from, and how.

    Attributes
    ----------
    population : Population
    n : int
        Patients of a data set.
    seed : int
    contrast : ndarray, shape (column,)
        On which an effect is of practical size or not, in the column's own units.
    search : SearchPlan
    settings : ReplicationSettings
    """

    population: Population
    n: int
    seed: int
    contrast: Floats
    search: SearchPlan
    settings: ReplicationSettings

    @property
    def rules(self) -> tuple[str, ...]:
        """Rules that choose: no shrinkage without a horseshoe, no projection without folds."""
        absent = set() if self.population.study.prior.family == HORSESHOE else {"kappa"}
        absent |= set() if self.settings.folds else {"projection"}
        return tuple(rule for rule in REPLICATED_RULES if rule not in absent)


@dataclass(frozen=True, eq=False)
class ReplicatedSelection:
    """What fresh samples select.

    Attributes
    ----------
    selection_rules : DataFrame
        ``scenario, rule, sensitivity, sensitivity_mcse, false_discoveries,
        false_discoveries_mcse, kept, kept_mcse, zeros_kept, zeros_kept_mcse, all_true_kept,
        all_true_kept_mcse, exact_set, exact_set_mcse, distinct_sets, same_set_again,
        same_set_again_mcse, data_sets``. Where no effect is zero, as in the scenario ``posterior``,
        there are no false discoveries to count: ``false_discoveries`` and ``zeros_kept`` are empty;
        where all are, ``sensitivity`` and ``all_true_kept`` are.
    selection_survival : DataFrame
        ``scenario, rule, term, label, std_truth, survival, survival_mcse``.
    selection_replacements : DataFrame
        ``scenario, lost, rule, replacement, label, correlation, share_when_lost,
        share_when_kept, mcse, data_sets_lost``; ``(copies)`` are columns with a correlation of
        0.7 and more, any of them.
    selection_outcomes : DataFrame
        ``scenario, outcome, data_sets``.
    """

    selection_rules: pd.DataFrame
    selection_survival: pd.DataFrame
    selection_replacements: pd.DataFrame
    selection_outcomes: pd.DataFrame


def replicated_selection(
    population: Population,
    *,
    n: int,
    replications: int,
    seed: int = 2025,
    settings: ReplicationSettings | None = None,
    workers: Workers | None = None,
    keep: Keep | None = None,
    report: Report | None = None,
) -> ReplicatedSelection:
    """Select from one fresh sample after the other.

    Parameters
    ----------
    population : Population
    n : int
        Patients of each sample.
    replications : int
        Samples, two at least.
    seed : int
        Same seed, same samples and tables, wherever they are computed.
    settings : ReplicationSettings, optional
    workers : Workers, optional
    keep : Keep, optional
        Of finished blocks.
    report : callable, optional
        Called with a `SamplingState` that counts data sets.

    Returns
    -------
    ReplicatedSelection

    Raises
    ------
    OptionError
        Numbers that cannot be honoured, all at once; no sample has both outcomes.
    """
    settings = settings or ReplicationSettings()
    check_replication(population, n, replications, seed, settings)
    plan = selection_plan(population, n, seed, settings)
    found = run_blocks(
        selection_block,
        plan,
        replications,
        workers=workers,
        keep=keep,
        block=BLOCK,
        report=report,
        unit="data sets",
    )
    return selection_tables(plan, found)


def check_replication(
    population: Population, n: int, replications: int, seed: int, settings: ReplicationSettings
) -> None:
    """Refuse what cannot be simulated, all at once.

    Raises
    ------
    OptionError
    """
    problems = [
        f"{name}: found {value!r}; allowed: a whole number from {low:,} to {high:,}"
        for name, value, low, high in (
            ("n", n, 4, 1_000_000),
            ("replications", replications, 2, 1_000_000),
            ("seed", seed, 0, 2**63 - 1),
            ("clusters", settings.clusters, 1, 1000),
            ("draws", settings.draws, 25, 10_000),
        )
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high
    ]
    if isinstance(settings.folds, bool) or settings.folds not in (0, *range(2, 1001)):
        problems.append(
            f"folds: found {settings.folds!r}; allowed: 2 to 1,000, or 0 without a projection"
        )
    if isinstance(n, int) and (problem := too_small(population, n)) is not None:
        problems.append(problem)
    for check in (lambda: check_rope(settings.rope), lambda: tails(settings.interval)):
        try:
            check()
        except OptionError as error:
            problems.append(str(error))
    if problems:
        msg = "the simulation cannot start"
        raise OptionError(msg, problems)


def selection_plan(
    population: Population, n: int, seed: int, settings: ReplicationSettings
) -> SelectionPlan:
    """What every worker is given."""
    design = Design(population.study, *mean_and_varying_sd(population.columns))
    chosen = SelectionSettings(clusters=settings.clusters, draws=settings.draws)
    search = search_plan(design, None, (), chosen)
    return SelectionPlan(population, n, seed, population_contrast(population), search, settings)


def population_contrast(population: Population) -> Floats:
    """Contrast on which effects are judged, as `bayes_cmvt.design.clinical_contrast`.

    ``per`` where declared; else a level or a step of a score, or the step from the 25th to the
    75th percentile of the population (one SD where these coincide).

    Returns
    -------
    ndarray, shape (column,)
        In the columns' own units.
    """
    lower, upper = np.quantile(population.columns, [0.25, 0.75], axis=0)
    quartiles = np.where(upper > lower, upper - lower, population.sd)
    owners = [one for one in population.study.predictors for _ in one.terms]
    steps = np.where([isinstance(one, Continuous) for one in owners], quartiles, 1.0)
    return np.array(
        [step if one.per is None else one.per for one, step in zip(owners, steps, strict=True)]
    )


# --- One data set --------------------------------------------------------------------------------


def selection_block(given: SelectionPlan, block: range) -> Arrays:
    """Select from the samples of some numbers.

    Parameters
    ----------
    given : SelectionPlan
    block : range

    Returns
    -------
    dict of ndarray
        ``kept`` (data set, rule, column), bool; ``outcome`` (data set,), positions in `OUTCOMES`;
        ``beta`` (data set, column), the truth.
    """
    found = [_data_set(given, number) for number in block]
    return {name: np.stack([one[name] for one in found]) for name in found[0]}


def _data_set(given: SelectionPlan, number: int) -> Arrays:
    streams = SeedSequence(given.seed, spawn_key=(number,)).spawn(5)
    sample = given.population.sampled(given.n, np.random.default_rng(streams[0]))
    flags = np.zeros((len(given.rules), len(sample.truth.beta)), dtype=bool)
    rarer = int(np.bincount(sample.outcome, minlength=2).min())
    outcome = "one_class" if rarer == 0 else "few_patients"
    if rarer > 1:
        data = learnt(sample, given.population.study)
        outcome, kept = _by_workflow(data, given, streams[1])
        kept |= _by_posterior(data, given, streams[2:])
        for place, rule in enumerate(given.rules):
            if rule in kept:  # nothing is learnt of a column that is the same in all patients
                flags[place] = kept[rule] & ~data.constant
    code = np.int8(list(OUTCOMES).index(outcome))
    truth = sample.truth
    return {
        "kept": flags,
        "outcome": np.asarray(code),
        "beta": truth.beta,
        "acting": truth.acting,
    }


def _by_workflow(
    data: Learnt, given: SelectionPlan, seed: SeedSequence
) -> tuple[str, dict[str, Flags]]:
    """What the frequentist workflow comes to, and what LASSO and P rule keep."""
    found = run_pipeline(data.patients, given.population.study.baseline, seed)
    if found.status not in ("fitted", "empty") or found.refit is None or found.final is None:
        return "failed", {}
    separated = "firth" in (found.refit.fit.method, found.final.fit.method)
    kept = {"lasso": found.refit.members, "p_rule": found.final.members}
    return "separated" if separated else "complete", kept


def _by_posterior(
    data: Learnt, given: SelectionPlan, streams: list[SeedSequence]
) -> dict[str, Flags]:
    """What rules on single coefficients, and the projection, keep of one posterior."""
    for_draws, for_prior, for_projection = streams
    settings, prior = given.settings, data.prior
    refit = Refit(data.matrix, data.outcome, prior, data.matrix[:0], for_draws)
    draws = refit_draws(refit, settings.length)
    kappa = None
    if prior.family == HORSESHOE:
        kappa = shrinkage(prior, scale_variance(draws, prior)).mean(axis=(0, 1))
        kappa[~prior.shrunk] = np.nan
    contrast = given.contrast / data.design.sd
    drawn = prior_draws(prior, PRIOR_DRAWS, np.random.default_rng(for_prior)).beta
    practice = Practice(settings.rope, contrast, beyond_rope(drawn, contrast, settings.rope))
    beta = draws.beta.reshape(-1, len(contrast))
    kept = kept_by_rules(beta, kappa, practice, settings.interval)
    if settings.folds:
        kept["projection"] = _by_projection(data, given, draws, for_projection)
    return kept


def _by_projection(data: Learnt, given: SelectionPlan, draws: Draws, seed: SeedSequence) -> Flags:
    """Columns of the smallest submodel whose loss cannot be told from none, shape (column,)."""
    for_search, for_folds, *for_refits = seed.spawn(2 + given.settings.folds)
    few = reference_draws(draws).thinned(SEARCH_DRAWS)
    order = search_submodels(few, data.matrix, given.search, for_search).order
    rng = np.random.default_rng(for_folds)
    fold = draw_folds(data.outcome, given.settings.folds, rng)
    judged = _judged(data, given, fold, for_refits)
    least = len(given.search.first)
    size = suggest_size(*elpd_differences(judged, data.outcome), least)
    return np.isin(given.search.groups, order[:size])


def _judged(
    data: Learnt, given: SelectionPlan, fold: NDArray[np.int64], seeds: list[SeedSequence]
) -> JudgedSizes:
    """Judge every size on each fold by posterior and search that have not seen it."""
    plan = given.search
    risk, reference = np.empty((1 + plan.steps, len(fold))), np.empty(len(fold))
    orders = []
    for number in np.unique(fold):
        out = fold == number
        matrix, outcome = data.matrix[~out], data.outcome[~out]
        prior = numeric_prior(data.design, n=len(outcome), events=int(outcome.sum()))
        for_draws, for_search = seeds[number].spawn(2)
        refit = Refit(matrix, outcome, prior, data.matrix[out], for_draws)
        draws = reference_draws(refit_draws(refit, given.settings.fold_length))
        path = search_submodels(draws.thinned(SEARCH_DRAWS), matrix, plan, for_search)
        few = draws.thinned(plan.draws)
        risk[:, out] = submodel_risks(few, matrix, refit.others, path.order, plan)
        reference[out] = few.risks(refit.others).mean(axis=0)
        orders.append(path.order)
    return JudgedSizes(risk[np.newaxis], reference[np.newaxis], fold[np.newaxis], np.stack(orders))


# --- Tables --------------------------------------------------------------------------------------


def selection_tables(plan: SelectionPlan, found: Mapping[str, NDArray[Any]]) -> ReplicatedSelection:
    """Put what the samples selected into tables.

    Parameters
    ----------
    plan : SelectionPlan
    found : mapping of str to ndarray
        What `selection_block` returns, of all data sets.

    Returns
    -------
    ReplicatedSelection

    Raises
    ------
    OptionError
        No sample has two patients of either outcome.
    """
    happened = np.array(list(OUTCOMES))[found["outcome"]]
    usable = np.isin(happened, ("complete", "separated", "failed"))
    if not usable.any():
        msg = (
            f"none of {len(usable)} samples of {plan.n} patients has two patients of either "
            "outcome: there is nothing to select from; take larger samples"
        )
        raise OptionError(msg)
    counted = Counter(happened.tolist())
    scenario = plan.population.name
    outcomes = pd.DataFrame(
        {"scenario": scenario, "outcome": OUTCOMES.keys(), "data_sets": map(counted.get, OUTCOMES)}
    ).fillna({"data_sets": 0})
    worked = usable & (happened != "failed")
    known = plan.population.outcome is None  # what acts on the patients of a file nobody knows
    sets = {
        rule: _Sets(found["kept"][own, place], found["acting"][own].astype(bool), known=known)
        for place, rule in enumerate(plan.rules)
        for own in [worked if rule in WORKFLOW_RULES else usable]
    }
    std_truth = found["beta"][usable].mean(axis=0) * plan.population.sd
    return ReplicatedSelection(
        pd.DataFrame(
            [{"scenario": scenario, "rule": rule} | one.row for rule, one in sets.items()]
        ),
        pd.concat(
            [_survival(plan, rule, one, std_truth) for rule, one in sets.items()]
        ).reset_index(drop=True),
        _replacements(plan, sets["lasso"], sets["p_rule"]),
        outcomes.astype({"data_sets": int}),
    )


@dataclass(frozen=True, eq=False)
class _Sets:
    """What one rule kept, and what is true if that is known, shape (data set, column)."""

    kept: Flags
    true: Flags
    known: bool = True

    @property
    def row(self) -> dict[str, Any]:
        """The rule's figures with their Monte Carlo errors."""
        kept, true = self.kept, self.true
        false = (kept & ~true).sum(axis=1)
        nothing = np.full(len(kept), np.nan)
        some_zero = self.known and not true.all()
        some_true = self.known and bool(true.any())
        each: dict[str, NDArray[Any]] = {
            "sensitivity": _share(kept & true, true) if some_true else nothing,
            "false_discoveries": false / np.maximum(kept.sum(axis=1), 1) if some_zero else nothing,
            "kept": kept.sum(axis=1),
            "zeros_kept": false if some_zero else nothing,
            "all_true_kept": (kept | ~true).all(axis=1) if some_true else nothing,
            "exact_set": (kept == true).all(axis=1) if self.known else nothing,
        }
        row: dict[str, Any] = {}
        for name, values in each.items():
            row[name], row[f"{name}_mcse"] = _mean(values)
        counts = np.unique(kept, axis=0, return_counts=True)[1]
        again, mcse = same_set_again(counts)
        row |= {"distinct_sets": len(counts), "same_set_again": again}
        return row | {"same_set_again_mcse": mcse, "data_sets": len(kept)}


def _share(some: Flags, of: Flags) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray(some.sum(axis=1) / of.sum(axis=1))


def _mean(values: NDArray[Any]) -> tuple[float, float]:
    """Mean over data sets and its standard error; NaN for the error of a single one."""
    if len(values) < 2:
        return float(np.mean(values)), float("nan")
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))


def same_set_again(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Probability that two independent samples give the same set, and its Monte Carlo error.

    The share of pairs of samples whose sets are equal, which has no bias; the error by the
    jackknife (Efron & Stein 1981, doi:10.1214/aos/1176345462).

    Parameters
    ----------
    counts : ndarray of int, shape (set,)
        Samples that gave each of the sets.

    Returns
    -------
    (float, float)
        NaN with a single sample; the error also with two.

    Examples
    --------
    >>> same_set_again(np.array([2, 1, 1]))[0].__round__(4)
    0.1667
    """
    samples, pairs = int(counts.sum()), float((counts * (counts - 1)).sum())
    if samples < 2:
        return float("nan"), float("nan")
    share = pairs / (samples * (samples - 1))
    if samples < 3:
        return share, float("nan")
    without = (pairs - 2 * (counts - 1)) / ((samples - 1) * (samples - 2))
    spread = counts @ np.square(without - counts @ without / samples)
    return share, float(np.sqrt((samples - 1) / samples * spread))


def _survival(plan: SelectionPlan, rule: str, sets: _Sets, std_truth: Floats) -> pd.DataFrame:
    """Share of samples in which a rule keeps each column; empty where it does not judge it."""
    study = plan.population.study
    mean_error = [_mean(column) for column in sets.kept.T]
    table = pd.DataFrame(
        {
            "scenario": plan.population.name,
            "rule": rule,
            "term": study.terms,
            "label": term_labels(study),
            "std_truth": std_truth,
            "survival": [mean for mean, _ in mean_error],
            "survival_mcse": [error for _, error in mean_error],
        }
    )
    if rule == "kappa":
        unjudged = ~np.isin(study.terms, study.shrunk_terms)
        table.loc[unjudged, ["survival", "survival_mcse"]] = np.nan
    return table


def _replacements(plan: SelectionPlan, lasso: _Sets, p_rule: _Sets) -> pd.DataFrame:
    """What LASSO and P rule kept instead of each column that the P rule lost."""
    correlation = _correlations(plan.population.columns)
    labels = [*term_labels(plan.population.study), f"any column correlated by {COPY:g} or more"]
    names = [*plan.population.study.terms, COPIES]
    rows = []
    for one in _asked(plan, p_rule.true):
        copies = np.abs(correlation[one]) >= COPY
        copies[one] = False
        lost = ~p_rule.kept[:, one]
        about = {"scenario": plan.population.name, "lost": names[one]}
        for rule, sets in (("lasso", lasso), ("p_rule", p_rule)):
            present = np.column_stack([sets.kept, sets.kept[:, copies].any(axis=1)])
            strength = np.append(correlation[one], _strongest(correlation[one, copies]))
            table = pd.DataFrame({"replacement": names, "label": labels, "correlation": strength})
            table = table.assign(**_with_and_without(present, lost), data_sets_lost=lost.sum())
            table = table.drop(index=[one, *([] if copies.any() else [len(copies)])])
            table = table.assign(**about, rule=rule)
            more = table["share_when_lost"] - table["share_when_kept"]
            rows.append(table.loc[more.sort_values(ascending=False, kind="stable").index])
    first = ["scenario", "lost", "rule"]
    columns = ["replacement", "label", "correlation", "share_when_lost", "share_when_kept"]
    every = [*first, *columns, "mcse", "data_sets_lost"]
    return pd.concat(rows, ignore_index=True)[every] if rows else pd.DataFrame(columns=every)


def _asked(plan: SelectionPlan, true: Flags) -> list[int]:
    """Columns whose loss is looked into: true ones; where none is zero, those printed, or all."""
    if not true.all():
        return np.flatnonzero(true.all(axis=0)).tolist()
    published = plan.population.study.published
    printed = [] if published is None else [one.term for one in published.coefficients]
    terms = plan.population.study.terms
    return [place for place, term in enumerate(terms) if not printed or term in printed]


def _with_and_without(present: Flags, lost: Flags) -> dict[str, Floats]:
    """Share of data sets that have each column, where another was lost and where it was kept."""
    shares, variance = {}, np.zeros(present.shape[1])
    for name, own in (("share_when_lost", lost), ("share_when_kept", ~lost)):
        count = int(own.sum())
        share = present[own].mean(axis=0) if count else np.full(len(variance), np.nan)
        variance += share * (1 - share) / (count - 1) if count > 1 else np.nan
        shares[name] = share
    return shares | {"mcse": np.sqrt(variance)}


def _correlations(columns: Floats) -> Floats:
    """Correlations over the population; NaN with a constant column."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.atleast_2d(np.corrcoef(columns, rowvar=False))


def _strongest(correlation: Floats) -> float:
    return float(correlation[np.abs(correlation).argmax()]) if len(correlation) else float("nan")
