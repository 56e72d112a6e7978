"""Search and rules done again: without each fold, on other patients, splits and seeds.

What is repeated is everything that leads to a submodel: the posterior of other patients, the search
with its draws, the rules on its coefficients, and beside them the frequentist workflow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Event
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.baseline import ON_EVERYBODY, Resampled, drawn_rows, workflow_patients
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.crossvalidation import (
    SPLIT,
    Partition,
    fold_partitions,
    relative_efficiency,
    split_partitions,
)
from bayes_cmvt.importance import good_k, pareto_smoothed
from bayes_cmvt.pipeline import Patients, PipelineFit, run_pipeline
from bayes_cmvt.posterior import (
    Draws,
    design_of,
    draws_of,
    log_bernoulli,
    prior_of,
    scale_variance,
)
from bayes_cmvt.priors import CoefficientPrior, shrinkage
from bayes_cmvt.progress import Report
from bayes_cmvt.projection import SearchPath
from bayes_cmvt.refits import (
    Development,
    RefitLength,
    copied_seed,
    counted_refits,
    refit_draws,
)
from bayes_cmvt.selection_rules import (
    DEFAULT_ROPE,
    HORSESHOE,
    Practice,
    kept_by_rules,
    practice_of,
)
from bayes_cmvt.submodels import (
    ReferenceDraws,
    SearchPlan,
    cluster_members,
    cluster_targets,
    nested_submodels,
    of_size,
    search_clusters,
    search_submodels,
    submodel_risks,
)

REFERENCE_DRAWS = 4_000
SEARCH_DRAWS = 1_000  # of a repetition, to be clustered
WEIGHTED_DRAWS = 1_000  # of the posterior, where patients are left out by weights
AS_LONG = RefitLength(chains=2, warmup=500, draws=3000)
SUBSAMPLE, DRAWN_AGAIN, DEALT_AGAIN = 2, 3, 4  # spawn keys; 1 and 2 are those of the baseline
LASSO_RULES = ("lasso", "lasso_final")

type Validation = Literal["kfold", "loo"]
type Floats = NDArray[np.float64]
type Flags = NDArray[np.bool_]
type Positions = NDArray[np.int64]


@dataclass(frozen=True)
class SelectionSettings:
    """How submodels are searched for, judged and repeated.

    Attributes
    ----------
    search : {"forward", "l1"}
    by_cost : bool
        The next predictor is the one with the largest fall of divergence per ``cost`` of the study.
    clusters : int
        Of draws, to search with.
    draws : int
        That are projected to judge a submodel.
    max_size : int, optional
        Predictors of the largest submodel; default: all, at most 30.
    validation : {"kfold", "loo"}
        Refits without a fold, or importance weights without each patient in turn.
    search_inside : bool
        Whether the search is repeated without the patients left out; without it figures flatter.
    folds, repeats : int
        Of the K-fold cross-validation.
    subsamples, splits, seeds, dealings : int
        Repetitions on 0.632 n patients, on seven tenths of them, on all with other seeds of the
        sampler, and of the LASSO on all with its folds dealt again.
    rope : float
        Odds ratio up to which an effect is of no practical size.
    interval : float in (0, 1)
    seed : int
    """

    search: Literal["forward", "l1"] = "forward"
    by_cost: bool = False
    clusters: int = 20
    draws: int = 400
    max_size: int | None = None
    validation: Validation = "kfold"
    search_inside: bool = True
    folds: int = 10
    repeats: int = 5
    subsamples: int = 200
    splits: int = 40
    seeds: int = 6
    dealings: int = 50
    rope: float = DEFAULT_ROPE
    interval: float = 0.95
    seed: int = 2025


@dataclass(frozen=True, eq=False)
class JudgedSizes:
    """Risks of patients left out, by the submodel of each size and by the reference.

    Attributes
    ----------
    risk : ndarray, shape (repeat, 1 + step, patient)
    reference : ndarray, shape (repeat, patient)
    fold : ndarray of int, shape (repeat, patient)
        Which fold the patient was left out with.
    order : ndarray of int, shape (fold, step)
        Predictors as they entered without each fold, repeat by repeat.
    pareto_k : ndarray, shape (patient,), optional
        Of importance weights.
    good_k : float
        Largest k̂ that so many draws support.
    """

    risk: Floats
    reference: Floats
    fold: Positions
    order: Positions
    pareto_k: Floats | None = None
    good_k: float = np.inf

    def log_densities(self, outcome: NDArray[np.int8]) -> tuple[Floats, Floats]:
        """Log predictive density of each patient; means over repeats.

        Returns
        -------
        of_size : ndarray, shape (1 + step, patient)
        of_reference : ndarray, shape (patient,)
        """
        of_size, of_reference = (
            np.where(outcome == 1, np.log(risk), np.log1p(-risk)).mean(axis=0)
            for risk in (self.risk, self.reference)
        )
        return of_size, of_reference


@dataclass(frozen=True, eq=False)
class Repetition:
    """One repetition of search and rules: which patients, and where its randomness comes from.

    Attributes
    ----------
    source : str
        One of `bayes_cmvt.glossary.SOURCES`.
    partition : Partition
        Rows learnt from; rows whose risk is asked for, if any.
    length : RefitLength
    dealing : SeedSequence, optional
        Of the folds of the LASSO; without it the LASSO is not repeated.
    prior : CoefficientPrior, optional
        Default: derived anew from the rows.
    """

    source: str
    partition: Partition
    length: RefitLength
    dealing: np.random.SeedSequence | None = None
    prior: CoefficientPrior | None = None


@dataclass(frozen=True, eq=False)
class Repeated:
    """What one repetition selected.

    Attributes
    ----------
    source : str
    order : ndarray of int, shape (step,), or None
        None where nothing was searched: folds of the LASSO dealt again, patients of one outcome.
    kept : mapping of str to ndarray of bool, shape (coefficient,)
        Columns, by rule.
    risk : ndarray, shape (1 + step, patient asked for), or None
    reference : ndarray, shape (patient asked for,), or None
    """

    source: str
    order: Positions | None
    kept: Mapping[str, Flags]
    risk: Floats | None = None
    reference: Floats | None = None


def _stream(seed: int, *key: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=key)


def search_stream(seed: np.random.SeedSequence, length: RefitLength) -> np.random.SeedSequence:
    """Stream of a search with the draws of a refit, which has spawned one for each chain."""
    return copied_seed(seed).spawn(length.chains + 1)[-1]


def reference_draws(draws: Draws) -> ReferenceDraws:
    """Draws of a sampler with their chains put together, at most 4,000."""
    beta = draws.beta.reshape(-1, draws.beta.shape[-1])
    return ReferenceDraws(draws.intercept.ravel(), beta).thinned(REFERENCE_DRAWS)


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference model with its patients, and how the selection is carried out with it."""

    fit: xr.DataTree
    cohort: Cohort
    rows: Development
    plan: SearchPlan
    settings: SelectionSettings

    @property
    def clustering(self) -> np.random.SeedSequence:
        """Of the clusters of the search with all patients."""
        return _stream(self.settings.seed, DRAWN_AGAIN)

    @property
    def draws(self) -> ReferenceDraws:
        """Draws of the posterior, chains put together, at most 4,000."""
        return reference_draws(draws_of(self.fit))

    @cached_property
    def patients(self) -> Patients:
        """The same patients as the frequentist workflow sees them."""
        return workflow_patients(self.cohort, design_of(self.fit))

    def judged(
        self, path: SearchPath, *, cores: int | None = None, report: Report | None = None
    ) -> tuple[JudgedSizes, list[Repeated]]:
        """Judge every size on patients left out; with what was selected without each fold."""
        if self.settings.validation == "loo":
            return self.judged_by_weights(path, cores, report), []
        fold, partitions = fold_partitions(
            self.rows.outcome,
            folds=self.settings.folds,
            repeats=self.settings.repeats,
            seed=self.settings.seed,
        )
        plans = [
            Repetition("left_out_fold", one, RefitLength(), dealing=one.seed)
            for _, one in partitions
        ]
        given = None if self.settings.search_inside else path.order

        def carry_out(plan: Repetition, stopped: Event) -> Repeated:
            return self.carried_out(plan, self.plan, stopped, given)

        found = counted_refits(carry_out, plans, cores=cores, report=report)
        return _judged_folds(fold, found, plans), found

    def repeated(
        self, size: int, *, cores: int | None = None, report: Report | None = None
    ) -> list[Repeated]:
        """Search for submodels of one size, and apply the rules, on other patients and seeds."""
        plan = of_size(self.plan, size)

        def carry_out(one: Repetition, stopped: Event) -> Repeated:
            return self.carried_out(one, plan, stopped)

        return counted_refits(carry_out, self.elsewhere(), cores=cores, report=report)

    def elsewhere(self) -> list[Repetition]:
        """Subsamples, splits, and all patients with other seeds."""
        settings, patients = self.settings, self.patients
        everyone = np.arange(len(patients.outcome))
        nobody = everyone[:0]
        nothing = np.zeros(len(patients.groups), dtype=bool)
        baseline = self.cohort.study.baseline
        given = Resampled(patients, baseline, "subsample", settings.seed, nothing)
        plans = []
        for number in range(settings.subsamples):
            # rows and folds are those of `bayes-cmvt baseline` with the same seed
            root = _stream(settings.seed, SUBSAMPLE, number)
            for_rows, for_folds, for_draws = root.spawn(3)
            chosen = Partition(drawn_rows(given, for_rows), nobody, for_draws)
            plans.append(Repetition("subsample", chosen, SPLIT, dealing=for_folds))
        if settings.splits:
            for one in split_partitions(
                patients.outcome, splits=settings.splits, seed=settings.seed
            ):
                chosen = Partition(one.learnt, nobody, one.seed)
                plans.append(Repetition("split", chosen, SPLIT, dealing=one.seed))
        for number in range(settings.seeds):
            chosen = Partition(everyone, nobody, _stream(settings.seed, DRAWN_AGAIN, number))
            plans.append(Repetition("seed", chosen, AS_LONG, prior=prior_of(self.fit)))
        return plans

    def everybody(self, path: SearchPath) -> Repeated:
        """What is selected with all patients: the sets that repetitions are compared with."""
        everyone = np.arange(len(self.rows.outcome))
        kept = self.kept(draws_of(self.fit), prior_of(self.fit))
        kept |= self.kept_by_lasso(everyone, _stream(self.settings.seed, ON_EVERYBODY))
        return Repeated("everybody", path.order, kept)

    def carried_out(
        self,
        repetition: Repetition,
        plan: SearchPlan,
        stopped: Event,
        given: Positions | None = None,
    ) -> Repeated:
        """Sample, search (unless an order is given), apply the rules; predict what is asked for."""
        partition, length = repetition.partition, repetition.length
        if not np.ptp(self.rows.outcome[partition.learnt]):
            return Repeated(repetition.source, None, {})
        refit = self.rows.refit(
            partition.learnt, partition.asked, partition.seed, prior=repetition.prior
        )
        sampled = refit_draws(refit, length, stopped)
        if stopped.is_set():
            return Repeated(repetition.source, None, {})
        draws = reference_draws(sampled)
        order = given
        if order is None:
            clusters = search_stream(partition.seed, length)
            order = search_submodels(
                draws.thinned(SEARCH_DRAWS), refit.matrix, plan, clusters
            ).order
        kept = self.kept(sampled, refit.prior)
        if repetition.dealing is not None:
            kept |= self.kept_by_lasso(partition.learnt, repetition.dealing)
        if not len(partition.asked):
            return Repeated(repetition.source, order, kept)
        few = draws.thinned(plan.draws)
        return Repeated(
            repetition.source,
            order,
            kept,
            submodel_risks(few, refit.matrix, refit.others, order, plan),
            few.risks(refit.others).mean(axis=0),
        )

    def kept(self, sampled: Draws, prior: CoefficientPrior) -> dict[str, Flags]:
        """Which columns the rules on single coefficients keep."""
        kappa = None
        if prior.family == HORSESHOE:
            kappa = shrinkage(prior, scale_variance(sampled, prior)).mean(axis=(0, 1))
            kappa[~prior.shrunk] = np.nan
        beta = sampled.beta.reshape(-1, len(prior.shrunk))
        return kept_by_rules(beta, kappa, self.practice, self.settings.interval)

    @cached_property
    def practice(self) -> Practice:
        """What counts as an effect of practical size, and how likely that was before the data."""
        return practice_of(self.fit, self.settings.rope)

    def kept_by_lasso(self, learnt: Positions, dealing: np.random.SeedSequence) -> dict[str, Flags]:
        """Which columns LASSO, and the whole frequentist workflow, keep; none where it fails."""
        patients = self.patients
        part = Patients(patients.columns[learnt], patients.outcome[learnt], patients.groups)
        found = run_pipeline(part, self.cohort.study.baseline, copied_seed(dealing))
        if not _has_models(found):
            return {}
        assert found.refit is not None
        assert found.final is not None
        return {
            "lasso": found.refit.members,
            "lasso_final": found.final.members,
        }

    def dealt_again(self, *, cores: int | None = None) -> list[Repeated]:
        """What LASSO and the whole workflow keep of everybody when the folds are dealt again."""
        everyone = np.arange(len(self.rows.outcome))
        seeds = [
            _stream(self.settings.seed, DEALT_AGAIN, number)
            for number in range(self.settings.dealings)
        ]

        def deal(one: np.random.SeedSequence, _: Event) -> Repeated:
            kept = self.kept_by_lasso(everyone, one)
            return Repeated("folds", None, kept)

        return counted_refits(deal, seeds, cores=cores)

    def judged_by_weights(
        self, path: SearchPath, cores: int | None, report: Report | None
    ) -> JudgedSizes:
        """Judge every size on each patient in turn, left out by importance weights."""
        matrix, plan = self.rows.matrix, self.plan
        draws = self.draws.thinned(WEIGHTED_DRAWS)
        weights, pareto_k = self.left_out_weights(draws)
        risks = draws.risks(matrix)
        members = cluster_members(draws, matrix, plan.clusters, self.clustering)
        everyone = np.arange(len(matrix))
        found = JudgedSizes(
            risk=self.risks_by_weights(draws, path.order, weights)[np.newaxis],
            reference=np.einsum("is,si->i", weights, risks)[np.newaxis],
            fold=everyone[np.newaxis],
            order=np.tile(path.order, (len(matrix), 1)),
            pareto_k=pareto_k,
            good_k=good_k(len(draws.intercept)),
        )
        if not self.settings.search_inside:
            return found

        def leave_out(patient: int, stopped: Event) -> tuple[Positions, Floats]:
            if stopped.is_set():
                return path.order, np.empty(1 + len(path.order))
            others = np.delete(everyone, patient)
            clusters = cluster_targets(members, risks[:, others], weights[patient])
            order = search_clusters(clusters, matrix[others], plan).order
            submodels = nested_submodels(draws, matrix[others], order, plan)
            asked = [one.risks(matrix[[patient]])[:, 0] @ weights[patient] for one in submodels]
            return order, np.array(asked)

        each = counted_refits(leave_out, everyone.tolist(), cores=cores, report=report)
        return replace(
            found,
            risk=np.stack([risk for _, risk in each], axis=-1)[np.newaxis],
            order=np.stack([order for order, _ in each]),
        )

    def risks_by_weights(self, draws: ReferenceDraws, order: Positions, weights: Floats) -> Floats:
        """Risk of each patient left out by weights, searched and projected once with everybody.

        Returns
        -------
        ndarray, shape (1 + step, patient)
        """
        matrix = self.rows.matrix
        submodels = nested_submodels(draws, matrix, order, self.plan)
        return np.stack([np.einsum("is,si->i", weights, one.risks(matrix)) for one in submodels])

    def left_out_weights(self, draws: ReferenceDraws) -> tuple[Floats, Floats]:
        """Importance weights of draws without each patient, shape (patient, draw), and their k̂."""
        matrix, outcome = self.rows.matrix, self.rows.outcome
        log_odds = draws.intercept[:, np.newaxis] + draws.beta @ matrix.T
        efficiency = relative_efficiency(self.fit["log_likelihood"].to_dataset()["outcome"])
        smoothed = pareto_smoothed(-log_bernoulli(outcome, log_odds).T, efficiency=efficiency)
        return np.exp(smoothed.log_weights), np.asarray(smoothed.pareto_k)


def _judged_folds(
    fold: Positions, found: Sequence[Repeated], plans: Sequence[Repetition]
) -> JudgedSizes:
    """Put the risks of left-out patients in their places."""
    orders = [one.order for one in found if one.order is not None]
    risk = np.empty((len(fold), 1 + len(orders[0]), fold.shape[1]))
    reference = np.empty(fold.shape)
    folds = len(found) // len(fold)
    for number, (one, plan) in enumerate(zip(found, plans, strict=False)):
        asked = plan.partition.asked
        assert one.risk is not None
        assert one.reference is not None
        risk[number // folds][:, asked] = one.risk
        reference[number // folds, asked] = one.reference
    return JudgedSizes(risk, reference, fold, np.stack(orders))


def _has_models(found: PipelineFit) -> bool:
    return found.status in ("fitted", "empty") and found.refit is not None
