"""Patients left out: one by one from the draws, in folds and in splits by fitting again."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Event

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.baseline import baseline_settings, workflow_patients
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.errors import OptionError
from bayes_cmvt.pipeline import Patients, PipelineFit, run_pipeline
from bayes_cmvt.posterior import design_of, expit, prior_of
from bayes_cmvt.progress import Report
from bayes_cmvt.refits import (
    RefitLength,
    RefitMemory,
    copied_seed,
    counted_refits,
    development_rows,
    refit_risks,
)

EXACT = RefitLength(chains=2, warmup=500, draws=3000)
SPLIT = RefitLength(chains=1, warmup=300, draws=1000)


@dataclass(frozen=True)
class LeaveOneOut:
    """Expected log predictive density of left-out patients.

    Attributes
    ----------
    elpd, se : float
        Sum over patients of the log predictive density, and its standard error.
    p_loo : float
        Effective number of parameters.
    good_k : float
        Largest Pareto k̂ that importance sampling supports at this number of draws.
    bad : int
        Patients above it.
    refitted : int
        How many of them have a term from an exact refit; the terms of the others are not reliable.
    patients : DataFrame
        ``row, elpd, pareto_k, refitted``; per patient, private.
    """

    elpd: float
    se: float
    p_loo: float
    good_k: float
    bad: int
    refitted: int
    patients: pd.DataFrame


def leave_one_out(fit: xr.DataTree) -> LeaveOneOut:
    """Pareto-smoothed importance-sampling leave-one-out of a fit.

    Vehtari, Gelman & Gabry 2017, doi:10.1007/s11222-016-9696-4; threshold of k̂
    min(1 - 1/log10 S, 0.7) of Vehtari et al. 2024, JMLR 25:72.

    Parameters
    ----------
    fit : DataTree
        With groups ``log_likelihood`` and ``posterior``.

    Returns
    -------
    LeaveOneOut
        `refit_bad_rows` replaces the terms that importance sampling cannot give.
    """
    import arviz_stats as azs

    draws = fit["log_likelihood"].to_dataset()["outcome"]
    efficiency = relative_efficiency(draws)
    with warnings.catch_warnings():
        # a high k̂ is counted and reported below
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto")
        loo = azs.loo(fit, var_name="outcome", reff=efficiency)
    k = np.asarray(loo.pareto_k.to_numpy())
    return LeaveOneOut(
        elpd=float(loo.elpd),
        se=float(loo.se),
        p_loo=float(loo.p),
        good_k=float(loo.good_k),
        bad=int((~(k <= loo.good_k)).sum()),
        refitted=0,
        patients=pd.DataFrame(
            {
                "row": draws["patient"].to_numpy(),
                "elpd": loo.elpd_i.to_numpy(),
                "pareto_k": k,
                "refitted": False,
            }
        ),
    )


def refit_bad_rows(
    loo: LeaveOneOut,
    fit: xr.DataTree,
    cohort: Cohort,
    *,
    seed: int = 2025,
    cores: int | None = None,
    report: Report | None = None,
) -> LeaveOneOut:
    """Fit again without each patient whose k̂ is too high, and put the exact terms in place.

    The model stays the same to the last constant, the prior's scale included; only the patient's
    outcome is taken away.

    Parameters
    ----------
    loo : LeaveOneOut
        Of this fit.
    fit : DataTree
    cohort : Cohort
        Whose development rows the fit learnt from.
    seed : int
    cores : int, optional
    report : callable, optional

    Returns
    -------
    LeaveOneOut
        Unchanged where no k̂ is too high.
    """
    bad = np.flatnonzero(~(loo.patients["pareto_k"] <= loo.good_k).to_numpy())
    if not len(bad):
        return loo
    rows, prior = development_rows(fit, cohort), prior_of(fit)
    everyone = np.arange(len(rows.outcome))
    refits = [
        rows.refit(np.delete(everyone, i), everyone[i : i + 1], stream, prior=prior)
        for i, stream in zip(bad, np.random.SeedSequence(seed).spawn(len(bad)), strict=True)
    ]
    risk = np.concatenate(refit_risks(refits, length=EXACT, cores=cores, report=report))
    patients = loo.patients.copy()
    exact = np.where(rows.outcome[bad] == 1, np.log(risk), np.log1p(-risk))
    within = float(patients["elpd"].sum()) + loo.p_loo  # of patients who are not left out
    patients.loc[bad, "elpd"] = exact
    patients.loc[bad, "refitted"] = True
    elpd = float(patients["elpd"].sum())
    return replace(
        loo,
        elpd=elpd,
        se=float(np.sqrt(len(patients) * patients["elpd"].var(ddof=0))),
        p_loo=within - elpd,
        refitted=len(bad),
        patients=patients,
    )


def left_out_risk(loo: LeaveOneOut, outcome: NDArray[np.int8]) -> NDArray[np.float64]:
    """Risk of each patient by the model that has not seen the patient, shape (patient,).

    Good for scores that are sums over patients (Brier, log score); the AUC of such risks pooled
    over patients is biased downwards and is never computed from them.
    """
    density = np.exp(loo.patients["elpd"].to_numpy())
    return np.asarray(np.where(outcome == 1, density, 1 - density))


def relative_efficiency(log_likelihood: xr.DataArray) -> float:
    """Effective share of the draws for the mean likelihood of a patient, averaged over patients.

    At most 200 patients, evenly spaced, stand for all.
    """
    import arviz_stats as azs

    values = log_likelihood.to_numpy()
    step = max(1, values.shape[-1] // 200)
    ess = np.asarray(azs.ess(np.exp(values[..., ::step]), method="mean"))
    return float(min(1.0, np.nanmean(ess) / (values.shape[0] * values.shape[1])))


@dataclass(frozen=True, eq=False)
class Partition:
    """Rows (positions) to learn from, rows to predict, and the stream of random numbers for it."""

    learnt: NDArray[np.int64]
    asked: NDArray[np.int64]
    seed: np.random.SeedSequence


type Refitter = Callable[[Sequence[Partition]], list[NDArray[np.float64]]]
"""Fits a model again to the rows learnt from, for each partition; returns the risks asked for."""


def horseshoe_refitter(
    fit: xr.DataTree,
    cohort: Cohort,
    *,
    length: RefitLength | None = None,
    cores: int | None = None,
    report: Report | None = None,
    memory: RefitMemory | None = None,
) -> Refitter:
    """How the model of a fit is fitted again: what `out_of_fold` and `split_again` call.

    The prior's scale is derived anew from the rows learnt from, as a study of those rows would.
    """
    rows = development_rows(fit, cohort, memory)

    def refit(partitions: Sequence[Partition]) -> list[NDArray[np.float64]]:
        plans = [rows.refit(one.learnt, one.asked, one.seed) for one in partitions]
        return refit_risks(plans, length=length, cores=cores, report=report)

    return refit


def baseline_refitter(
    baseline: xr.DataTree,
    cohort: Cohort,
    *,
    cores: int | None = None,
    report: Report | None = None,
) -> Refitter:
    """How a frequentist workflow is run again, from its screening to its final model.

    Rows of whom it makes no model have the event share as their risk.
    """
    patients = workflow_patients(cohort, design_of(baseline))
    settings = baseline_settings(baseline)

    def risk(one: Partition, _: Event) -> NDArray[np.float64]:
        learnt = Patients(
            patients.columns[one.learnt], patients.outcome[one.learnt], patients.groups
        )
        found = run_pipeline(learnt, settings, copied_seed(one.seed))
        return pipeline_risk(found, patients, one)

    return functools.partial(counted_refits, risk, cores=cores, report=report)


def pipeline_risk(
    found: PipelineFit, patients: Patients, partition: Partition
) -> NDArray[np.float64]:
    """Risks that a workflow learnt from one part gives to the other part, shape (asked,)."""
    if found.risk is None or found.status not in ("fitted", "empty"):
        share = patients.outcome[partition.learnt].mean()
        return np.full(len(partition.asked), share)
    asked = patients.columns[partition.asked]
    return expit(found.risk.fit.intercept + asked @ found.risk.coefficients)


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Risks of patients by models that have not seen them.

    Attributes
    ----------
    risk : ndarray, shape (repeat, patient)
    fold : ndarray of int, shape (repeat, patient)
        Which fold of its repeat each patient was in.
    """

    risk: NDArray[np.float64]
    fold: NDArray[np.int64]


def out_of_fold(
    refitter: Refitter,
    outcome: NDArray[np.int8],
    *,
    folds: int = 10,
    repeats: int = 5,
    seed: int = 2025,
) -> OutOfFold:
    """Repeated stratified K-fold: every patient predicted by a model that has not seen the patient.

    Parameters
    ----------
    refitter : callable
        Learns from rows and predicts others, selection and all.
    outcome : ndarray of {0, 1}, shape (patient,)
    folds, repeats : int
        Folds are at most as many as the rarer outcome has patients.
    seed : int

    Returns
    -------
    OutOfFold

    Raises
    ------
    OptionError
        Fewer than 2 folds, 1 repeat or 2 patients of either outcome.
    """
    fold, partitions = fold_partitions(outcome, folds=folds, repeats=repeats, seed=seed)
    risk = np.empty(fold.shape)
    found = refitter([partition for _, partition in partitions])
    for (repeat, partition), predicted in zip(partitions, found, strict=True):
        risk[repeat, partition.asked] = predicted
    return OutOfFold(risk, fold)


def fold_partitions(
    outcome: NDArray[np.int8], *, folds: int, repeats: int, seed: int
) -> tuple[NDArray[np.int64], list[tuple[int, Partition]]]:
    """Deal patients into stratified folds, again for each repeat.

    Parameters
    ----------
    outcome : ndarray of {0, 1}, shape (patient,)
    folds, repeats, seed : int
        As in `out_of_fold`.

    Returns
    -------
    fold : ndarray of int, shape (repeat, patient)
    partitions : list of (int, Partition)
        The repeat, and one fold left out.

    Raises
    ------
    OptionError
        As `out_of_fold`.
    """
    from sklearn.model_selection import StratifiedKFold

    rarer = int(min(outcome.sum(), len(outcome) - outcome.sum()))
    if folds < 2 or repeats < 1 or rarer < 2:
        msg = (
            f"K-fold: found {folds} folds, {repeats} repeats, {rarer} patients of the rarer "
            "outcome; allowed: at least 2 folds, 1 repeat and 2 such patients"
        )
        raise OptionError(msg)
    fold = np.empty((repeats, len(outcome)), dtype=np.int64)
    partitions = []
    for repeat, root in enumerate(np.random.SeedSequence(seed).spawn(repeats)):
        shuffle, *streams = root.spawn(1 + min(folds, rarer))
        splitter = StratifiedKFold(
            len(streams), shuffle=True, random_state=int(shuffle.generate_state(1)[0])
        )
        pairs = splitter.split(np.empty((len(outcome), 1)), outcome)
        for number, ((learnt, asked), stream) in enumerate(zip(pairs, streams, strict=True)):
            fold[repeat, asked] = number
            partitions.append((repeat, Partition(learnt, asked, stream)))
    return fold, partitions


def split_again(
    refitter: Refitter,
    outcome: NDArray[np.int8],
    *,
    share: float = 0.7,
    splits: int = 200,
    seed: int = 2025,
) -> list[tuple[Partition, NDArray[np.float64]]]:
    """Split the same patients at random again and again, learn from one part, predict the other.

    Simple random splits, as such papers draw them; one that leaves a part without either outcome
    is drawn again.

    Parameters
    ----------
    refitter : callable
    outcome : ndarray of {0, 1}, shape (patient,)
    share : float in (0, 1)
        Of the patients, to learn from.
    splits : int
    seed : int

    Returns
    -------
    list of (Partition, ndarray)
        Each split with the risks of its second part.

    Raises
    ------
    OptionError
        A share outside (0, 1), or too few patients of either outcome to be split.
    """
    partitions = split_partitions(outcome, share=share, splits=splits, seed=seed)
    return list(zip(partitions, refitter(partitions), strict=True))


def split_partitions(
    outcome: NDArray[np.int8], *, share: float = 0.7, splits: int, seed: int
) -> list[Partition]:
    """Split patients at random, again and again.

    Parameters
    ----------
    outcome, share, splits, seed
        As in `split_again`.

    Raises
    ------
    OptionError
        As `split_again`.
    """
    size = round(share * len(outcome))
    rarer = int(min(outcome.sum(), len(outcome) - outcome.sum()))
    if not 0 < size < len(outcome) or rarer < 4:
        msg = (
            f"splits: found a share of {share:g} of {len(outcome)} patients, {rarer} of the rarer "
            "outcome; allowed: a share above 0 and below 1, and at least 4 such patients"
        )
        raise OptionError(msg)
    return [
        _random_split(outcome, size, stream)
        for stream in np.random.SeedSequence(seed).spawn(splits)
    ]


def _random_split(outcome: NDArray[np.int8], size: int, seed: np.random.SeedSequence) -> Partition:
    shuffle, stream = seed.spawn(2)
    rng = np.random.default_rng(shuffle)
    while True:
        order = rng.permutation(len(outcome))
        learnt, asked = np.sort(order[:size]), np.sort(order[size:])
        if all(0 < outcome[part].sum() < len(part) for part in (learnt, asked)):
            return Partition(learnt, asked, stream)
