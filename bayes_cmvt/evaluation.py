"""Everything by which the risks of models are judged: refits, scores and every table of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt import metrics
from bayes_cmvt.baseline import is_baseline
from bayes_cmvt.benefit import (
    net_benefit_difference,
    net_benefit_table,
    threshold_grid,
    treat_all_or_none,
)
from bayes_cmvt.cohort import DEVELOPMENT, VALIDATION, Cohort
from bayes_cmvt.crossvalidation import (
    SPLIT,
    LeaveOneOut,
    Refitter,
    baseline_refitter,
    horseshoe_refitter,
    leave_one_out,
    out_of_fold,
    refit_bad_rows,
    split_again,
)
from bayes_cmvt.curves import (
    calibration_table,
    calibration_tests,
    group_patients,
    risk_group_table,
    roc_table,
)
from bayes_cmvt.design import design_matrix
from bayes_cmvt.errors import OptionError, nearest, quoted
from bayes_cmvt.intervals import tails
from bayes_cmvt.performance import (
    difference_table,
    draw_instability_table,
    left_out_table,
    pairs_left_out,
    performance_table,
    split_table,
)
from bayes_cmvt.posterior import design_of, expit, learnt_from
from bayes_cmvt.prediction import predict
from bayes_cmvt.progress import Report
from bayes_cmvt.projected_fit import is_projection
from bayes_cmvt.refits import RefitLength, RefitMemory
from bayes_cmvt.scoring import Floats, Risks, Scored, ScoringSettings, log_odds_draws, score_risks
from bayes_cmvt.selection import projection_refitter

EXTERNAL = "external"
STRATEGIES = ("treat_all", "treat_none")
SMOOTHERS = ("loess", "lowess", "spline", "isotonic")


@dataclass(frozen=True)
class EvaluationSettings:
    """How thoroughly models are judged.

    Attributes
    ----------
    interval : float in (0, 1)
    replicates : int
        Of the Bayesian bootstrap over patients.
    folds, repeats : int
        Of the cross-validation; 0 repeats: none, and the figures of development patients are
        apparent ones.
    splits : int
        Random 7:3 splits of the development patients, each with a fit of its own; 0: none.
    smoother : {"loess", "lowess", "spline", "isotonic"}
        Of the calibration curve.
    seed : int
    """

    interval: float = 0.95
    replicates: int = 4000
    folds: int = 10
    repeats: int = 5
    splits: int = 200
    smoother: str = "loess"
    seed: int = 2025


@dataclass(frozen=True, eq=False)
class Judged:
    """One model on one set of patients.

    Attributes
    ----------
    deployed : Scored
        The rule as it is deployed.
    log_odds : ndarray, shape (draw, patient)
        In posterior draws, or in the resamples of a frequentist workflow.
    is_posterior : bool
    folds : Scored, optional
        Development patients, each judged by models that have not seen the patient.
    left_out : LeaveOneOut, optional
    pairs : LeavePairOut, optional
    splits : DataFrame, optional
        One row for each random split of the development patients.
    """

    deployed: Scored
    log_odds: Floats
    is_posterior: bool
    folds: Scored | None = None
    left_out: LeaveOneOut | None = None
    pairs: metrics.LeavePairOut | None = None
    splits: pd.DataFrame | None = None

    @cached_property
    def risk_draws(self) -> Floats:
        """Risk of each patient in each draw, shape (draw, patient)."""
        return expit(self.log_odds)

    @property
    def posterior_risk(self) -> Floats | None:
        """Risk of each patient in each posterior draw, where there is a posterior."""
        return self.risk_draws if self.is_posterior else None

    @property
    def quoted(self) -> Scored:
        """The figures to quote: of models that have not seen the patients, where there are such."""
        return self.folds or self.deployed


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` found.

    Attributes
    ----------
    judged : tuple of Judged
        One for each model and set.
    tables : mapping of str to DataFrame
        ``performance, net_benefit, calibration, roc, risk_groups, calibration_tests``, with
        several models ``performance_difference, net_benefit_difference``, with development
        patients ``splits``. No table has rows of patients.
    """

    judged: tuple[Judged, ...]
    tables: Mapping[str, pd.DataFrame]


def evaluate(
    fits: Mapping[str, xr.DataTree],
    cohort: Cohort,
    *,
    external: bool = False,
    settings: EvaluationSettings | None = None,
    refitters: Mapping[str, Refitter] | None = None,
    cores: int | None = None,
    report: Report | None = None,
    memory: RefitMemory | None = None,
) -> Evaluation:
    """Judge the risks of each model: discrimination, calibration, utility, with their intervals.

    The deployed rule is the posterior-mean risk; intervals are over patients, by a Bayesian
    bootstrap. Development patients judge it as it stands (``apparent``), by repeated K-fold
    cross-validation (``kfold``), and one by one and in pairs left out (``loo``).

    Parameters
    ----------
    fits : mapping of str to DataTree
        Models by name, all of the study of the cohort.
    cohort : Cohort
        Development patients of all models and, where the study splits, validation patients.
    external : bool
        All patients of the cohort are new to the models.
    settings : EvaluationSettings, optional
    refitters : mapping of str to callable, optional
        How a model is fitted again, selection and all; default: `horseshoe_refitter`, or
        `baseline_refitter` for a frequentist workflow, `projection_refitter` for a projected
        submodel, whose search is repeated.
    cores : int, optional
    report : callable, optional
        Called a few times a second with a `SamplingState` that counts refits.
    memory : RefitMemory, optional
        Of the refits of a posterior, for another stage that asks for the same.

    Returns
    -------
    Evaluation

    Raises
    ------
    OptionError
        Settings outside what is allowed, or a cohort of another study.
    MetricError
        A set of patients with one outcome only.
    """
    settings = settings or EvaluationSettings()
    check_evaluation(settings)
    _check_models(fits, cohort, external=external)
    refitters = refitters or {}
    judged = []
    for name, fit in fits.items():
        judge = _Judge(name, fit, cohort, settings, refitters.get(name), cores, report, memory)
        judged += [judge.judged(called, members) for called, members in _sets(cohort, external)]
    return Evaluation(tuple(judged), MappingProxyType(_tables(judged, settings)))


def decision_curve(
    fits: Mapping[str, xr.DataTree],
    cohort: Cohort,
    *,
    external: bool = False,
    settings: EvaluationSettings | None = None,
    refitters: Mapping[str, Refitter] | None = None,
    cores: int | None = None,
) -> pd.DataFrame:
    """Net benefit of each model, of treating all and none, over the study's thresholds.

    Parameters
    ----------
    fits, cohort, external, settings, refitters, cores
        As in `evaluate`; random splits are left out.

    Returns
    -------
    DataFrame
        Table ``net_benefit``: for development patients by cross-validation.
    """
    settings = replace(settings or EvaluationSettings(), splits=0)
    found = evaluate(
        fits, cohort, external=external, settings=settings, refitters=refitters, cores=cores
    )
    return found.tables["net_benefit"]


def check_evaluation(settings: EvaluationSettings) -> None:
    """Refuse numbers that cannot be honoured, all at once.

    Raises
    ------
    OptionError
    """
    tails(settings.interval)
    problems = [
        f"{name}: found {value!r}; allowed: a whole number from {low} to {high}"
        for name, value, low, high in (
            ("replicates", settings.replicates, 100, 100_000),
            ("folds", settings.folds, 2, 1000),
            ("repeats", settings.repeats, 0, 1000),
            ("splits", settings.splits, 0, 10_000),
            ("seed", settings.seed, 0, 2**63 - 1),
        )
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high
    ]
    if settings.smoother not in SMOOTHERS:
        near = nearest(settings.smoother, SMOOTHERS)
        problems.append(
            f'smoother: found "{settings.smoother}"; allowed: {quoted(SMOOTHERS)}{near}'
        )
    if problems:
        msg = "the evaluation cannot start"
        raise OptionError(msg, problems)


def _check_models(fits: Mapping[str, xr.DataTree], cohort: Cohort, *, external: bool) -> None:
    """Refuse what are no models by name, and development patients that a model has not seen."""
    if not isinstance(cohort, Cohort):
        msg = f"cohort: found {type(cohort).__name__}; expected a Cohort, from load_cohort"
        raise OptionError(msg)
    if not isinstance(fits, Mapping) or not fits:
        msg = 'fits: expected models by name, such as {"horseshoe": fit}'
        raise OptionError(msg)
    problems = []
    for name, fit in fits.items():
        if name in STRATEGIES or not isinstance(fit, xr.DataTree):
            problems.append(f'"{name}": expected a fit (DataTree) under a name of its own')
        elif not external and not learnt_from(fit, cohort):
            problems.append(
                f'"{name}" did not learn from the development patients of {cohort.source}; give '
                "the cohort of the fit, or external=True for patients that it has not seen"
            )
    if problems:
        msg = "the models cannot be judged"
        raise OptionError(msg, problems)


def _sets(cohort: Cohort, external: bool) -> list[tuple[str, NDArray[np.bool_]]]:
    """Which patients are judged together, and what they are called."""
    if external:
        return [(EXTERNAL, np.ones(len(cohort.outcome), dtype=bool))]
    sets = [(DEVELOPMENT, cohort.development), (VALIDATION, ~cohort.development)]
    return [(called, members) for called, members in sets if members.any()]


@dataclass(frozen=True, eq=False)
class _Judge:
    """One model, and what is needed to judge it."""

    name: str
    fit: xr.DataTree
    cohort: Cohort
    settings: EvaluationSettings
    refitter: Refitter | None
    cores: int | None
    report: Report | None
    memory: RefitMemory | None = None

    def judged(self, called: str, members: NDArray[np.bool_]) -> Judged:
        """Judge the model on one set of patients."""
        risk = predict(self.fit, self.cohort)["risk"].to_numpy()[members]
        method = "apparent" if called == DEVELOPMENT else "holdout"
        rule = Risks(self.name, called, method, self.cohort.outcome[members], risk[np.newaxis])
        matrix = design_matrix(design_of(self.fit), self.cohort.predictors[members])
        judged = Judged(
            score_risks(rule, self.scoring),
            log_odds_draws(self.fit, matrix),
            is_posterior=not is_baseline(self.fit),
        )
        return self.cross_validated(judged) if called == DEVELOPMENT else judged

    def cross_validated(self, judged: Judged) -> Judged:
        """Judge it on development patients by models that have not seen them."""
        settings, outcome = self.settings, judged.deployed.risks.outcome
        if "log_likelihood" in self.fit.children:  # a projection has none
            judged = self.left_out(judged)
        if settings.repeats:
            found = out_of_fold(
                self.refitter or self.again(),
                outcome,
                folds=settings.folds,
                repeats=settings.repeats,
                seed=settings.seed,
            )
            risks = Risks(self.name, DEVELOPMENT, "kfold", outcome, found.risk, found.fold)
            judged = replace(judged, folds=score_risks(risks, self.scoring))
        if settings.splits:
            again = self.refitter or self.again(SPLIT)
            drawn = split_again(again, outcome, splits=settings.splits, seed=settings.seed)
            judged = replace(judged, splits=split_table(self.name, outcome, drawn))
        return judged

    def left_out(self, judged: Judged) -> Judged:
        """Judge it on development patients one by one and in pairs, by its draws."""
        left_out = refit_bad_rows(
            leave_one_out(self.fit),
            self.fit,
            self.cohort,
            seed=self.settings.seed,
            cores=self.cores,
            report=self.report,
        )
        outcome = judged.deployed.risks.outcome
        pairs = pairs_left_out(outcome, judged.log_odds, self.settings.seed)
        return replace(judged, left_out=left_out, pairs=pairs)

    def again(self, length: RefitLength | None = None) -> Refitter:
        """How the model is fitted again."""
        if is_baseline(self.fit):
            return baseline_refitter(self.fit, self.cohort, cores=self.cores, report=self.report)
        if is_projection(self.fit):
            return projection_refitter(
                self.fit, self.cohort, length=length, cores=self.cores, report=self.report
            )
        return horseshoe_refitter(
            self.fit,
            self.cohort,
            length=length,
            cores=self.cores,
            report=self.report,
            memory=self.memory,
        )

    @property
    def scoring(self) -> ScoringSettings:
        """How its risks are scored."""
        decision = self.cohort.study.decision
        return ScoringSettings(
            thresholds=threshold_grid(*decision.thresholds),
            use=decision.use,
            replicates=self.settings.replicates,
            smoother=self.settings.smoother,
            seed=self.settings.seed,
            cores=self.cores,
        )


def _tables(judged: Sequence[Judged], settings: EvaluationSettings) -> dict[str, pd.DataFrame]:
    """Every table that has rows; those of two models only where there are two."""
    ci_prob, seed = settings.interval, settings.seed
    scored = [one for each in judged for one in (each.deployed, each.folds) if one is not None]
    grouped = [group_patients(one.deployed.risks, one.risk_draws, seed) for one in judged]
    parts = {
        "performance": [performance_table(scored, ci_prob)]
        + [table for one in judged for table in _more_performance(one, ci_prob)],
        "net_benefit": _net_benefits(judged, ci_prob),
        "calibration": [calibration_table(one, ci_prob) for one in scored],
        "roc": [roc_table(one, ci_prob) for one in scored if one.risks.fold is None],
        "risk_groups": [risk_group_table(one, ci_prob) for one in grouped],
        "calibration_tests": [calibration_tests(one) for one in grouped],
        "splits": [one.splits for one in judged if one.splits is not None],
        "performance_difference": [difference_table(scored, ci_prob)],
        "net_benefit_difference": [net_benefit_difference([one.quoted for one in judged], ci_prob)],
    }
    tables = {name: pd.concat(part, ignore_index=True) for name, part in parts.items() if part}
    return {name: table for name, table in tables.items() if len(table)}


def _more_performance(judged: Judged, ci_prob: float) -> list[pd.DataFrame]:
    """What patients left out say, and how unstable the draws are."""
    rule = judged.deployed.risks
    tables = []
    if len(judged.log_odds) > 1:  # a workflow that was not resampled is one rule
        tables.append(draw_instability_table(rule, judged.risk_draws, ci_prob))
    if judged.left_out is not None and judged.pairs is not None:
        settings = judged.deployed.settings
        tables.append(left_out_table(rule, judged.left_out, judged.pairs, settings, ci_prob))
    return tables


def _net_benefits(judged: Sequence[Judged], ci_prob: float) -> list[pd.DataFrame]:
    """Net benefit by set: of each model, and once of treating everybody and nobody."""
    tables = [
        net_benefit_table(one.quoted, one.deployed, one.posterior_risk, ci_prob) for one in judged
    ]
    first = {one.deployed.risks.set: one.quoted for one in reversed(judged)}
    return tables + [treat_all_or_none(one, ci_prob) for one in first.values()]
