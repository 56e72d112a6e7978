"""The published workflow on a cohort and on every resample of it, as a DataTree.

Groups: ``estimate`` (the final model of all development patients: one chain, one draw), ``lasso``
(path and cross-validation), ``bootstrap`` (one draw for each resample: rows, choice and
coefficients), ``subsample`` (the same of subsamples without replacement), ``observed_data`` and
``constant_data`` as in a posterior. What reads a posterior's risks reads these as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.cohort import Cohort
from bayes_cmvt.design import Design, design_matrix, learn_design
from bayes_cmvt.errors import DataError, OptionError
from bayes_cmvt.pipeline import (
    STATUSES,
    Flags,
    Floats,
    Model,
    Patients,
    PipelineFit,
    chosen_index,
    fitted_model,
    risk_model,
    run_pipeline,
)
from bayes_cmvt.posterior import design_of, fit_attributes
from bayes_cmvt.progress import Report
from bayes_cmvt.resampling import Keep, run_blocks
from bayes_cmvt.schema import Baseline
from bayes_cmvt.workers import Arrays, Workers

SUBSAMPLES = 200
SUBSAMPLE_SHARE = 0.632  # distinct patients of a bootstrap resample, on average
CODES = tuple(STATUSES)
ON_EVERYBODY, MOST_RESAMPLES = 0, 1_000_000

type Scheme = Literal["bootstrap", "subsample"]
SCHEMES: Mapping[Scheme, int] = {"bootstrap": 1, "subsample": 2}


@dataclass(frozen=True, eq=False)
class Resampled:
    """What every resample needs: the patients, the workflow, where its randomness comes from.

    Attributes
    ----------
    patients : Patients
        Everybody, in standardised columns.
    settings : Baseline
    scheme : {"bootstrap", "subsample"}
    seed : int
    final : ndarray of bool, shape (column,)
        Columns of the final model of everybody, which every resample fits again besides.
    """

    patients: Patients
    settings: Baseline
    scheme: Scheme
    seed: int
    final: Flags


def fit_baseline(
    cohort: Cohort,
    *,
    resamples: int | None = None,
    seed: int = 2025,
    folds: NDArray[np.int64] | None = None,
    subsamples: int = SUBSAMPLES,
    workers: Workers | None = None,
    keep: Mapping[Scheme, Keep] | None = None,
    report: Report | None = None,
) -> xr.DataTree:
    """Run the study's frequentist workflow, and again on every resample of the patients.

    Everything is repeated on each resample: screening, folds, LASSO, refit, selection, final fit
    (Efron 2014, doi:10.1080/01621459.2013.823775, on estimates after selection).

    Parameters
    ----------
    cohort : Cohort
        Its development patients are used.
    resamples : int, optional
        Bootstrap resamples; 0: none. Default: as the study says.
    seed : int
        Same seed, same result, whatever the workers.
    folds : ndarray of int, shape (patient,), optional
        Folds of the development patients, in the order of the cohort; drawn otherwise. Resamples
        draw their own.
    subsamples : int
        Subsamples of 0.632 n patients without replacement, for selection frequencies; none
        without resamples.
    workers : Workers, optional
        Where resamples run; default: threads on all cores.
    keep : mapping of str to Keep, optional
        Where finished blocks are kept, by scheme, so that an interrupted run goes on.
    report : callable, optional
        Called a few times a second with a `SamplingState`.

    Returns
    -------
    DataTree

    Raises
    ------
    OptionError
        Negative numbers of resamples, folds that do not fit the patients, an unreachable cluster.
    DataError
        Patients of whom the workflow cannot make a model at all.
    """
    if not isinstance(cohort, Cohort):
        msg = f"cohort: found {type(cohort).__name__}; expected a Cohort, from load_cohort"
        raise OptionError(msg)
    settings = cohort.study.baseline
    resamples = settings.resamples if resamples is None else resamples
    check_counts(resamples, subsamples, seed)
    design = learn_design(cohort)
    patients = workflow_patients(cohort, design, folds)
    once = run_pipeline(patients, settings, np.random.SeedSequence(seed, spawn_key=(ON_EVERYBODY,)))
    _refuse_failure(once, cohort)
    tree = _estimate_groups(once, cohort, design, settings)
    assert once.final is not None
    counts: Mapping[Scheme, int] = {
        "bootstrap": resamples,
        "subsample": subsamples if resamples else 0,
    }
    for scheme, count in counts.items():
        if count:
            # folds of a file belong to everybody
            everybody = workflow_patients(cohort, design, None)
            given = Resampled(everybody, settings, scheme, seed, once.final.members)
            arrays = run_blocks(
                resample_block,
                given,
                count,
                workers=workers,
                keep=(keep or {}).get(scheme),
                report=report,
                unit="resamples" if scheme == "bootstrap" else "subsamples",
            )
            tree[scheme] = _resample_group(arrays, cohort)
    return _as_fit(tree, cohort, design, {"seed": seed, "resamples": resamples})


def check_counts(resamples: int, subsamples: int, seed: int) -> None:
    """Refuse numbers that are none, all at once.

    Raises
    ------
    OptionError
    """
    problems = [
        f"{name}: found {value!r}; allowed: a whole number from 0 to {most}"
        for name, value, most in (
            ("resamples", resamples, MOST_RESAMPLES),
            ("subsamples", subsamples, MOST_RESAMPLES),
            ("seed", seed, 2**63 - 1),
        )
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most
    ]
    if problems:
        msg = "the baseline cannot start"
        raise OptionError(msg, problems)


def workflow_patients(
    cohort: Cohort, design: Design, folds: NDArray[np.int64] | None = None
) -> Patients:
    """Development patients of a cohort as the workflow sees them.

    Raises
    ------
    OptionError
        Folds that do not fit them.
    """
    members = cohort.development
    outcome = cohort.outcome[members]
    if folds is not None:
        folds = np.asarray(folds)
        if folds.shape != outcome.shape or len(np.unique(folds)) < 2:
            msg = (
                f"folds: found shape {folds.shape} with {len(np.unique(folds))} distinct values; "
                f"expected one fold for each of {len(outcome)} development patients, 2 or more"
            )
            raise OptionError(msg)
    return Patients(
        columns=design_matrix(design, cohort.predictors[members]),
        outcome=outcome,
        groups=column_groups(design),
        folds=folds,
    )


def column_groups(design: Design) -> NDArray[np.int64]:
    """Position of the predictor that each column belongs to, shape (column,)."""
    predictors = design.study.predictors
    return np.repeat(np.arange(len(predictors)), [len(one.terms) for one in predictors])


def _refuse_failure(once: PipelineFit, cohort: Cohort) -> None:
    if once.final is None or once.status == "failed":
        msg = (
            f"{cohort.source}: the frequentist workflow finds no model for the "
            f"{cohort.n_development} development patients: {once.reason or STATUSES[once.status]}"
        )
        raise DataError(msg)


# --- Resamples -----------------------------------------------------------------------------------


def resample_block(given: Resampled, block: range) -> Arrays:
    """Run the workflow on resamples, by their numbers.

    A resample depends on the seed, its scheme and its number, on nothing else.

    Parameters
    ----------
    given : Resampled
    block : range

    Returns
    -------
    dict of str to ndarray
        First axis: resample. ``rows`` are positions of patients; coefficients are log-odds per SD,
        NaN where there is no model.
    """
    results = [_resample(given, number) for number in block]
    return {name: np.stack([one[name] for one in results]) for name in results[0]}


def drawn_rows(given: Resampled, stream: np.random.SeedSequence) -> NDArray[np.int64]:
    """Positions of the patients of one resample, in order; copies stand side by side."""
    rng, n = np.random.default_rng(stream), len(given.patients.outcome)
    if given.scheme == "bootstrap":
        return np.sort(rng.integers(0, n, n))
    return np.sort(rng.permutation(n)[: round(SUBSAMPLE_SHARE * n)])


def _resample(given: Resampled, number: int) -> dict[str, NDArray[Any]]:
    root = np.random.SeedSequence(given.seed, spawn_key=(SCHEMES[given.scheme], number))
    for_rows, for_folds = root.spawn(2)
    rows = drawn_rows(given, for_rows)
    patients = resampled_patients(given.patients, rows, given.settings.folds_by)
    found = run_pipeline(patients, given.settings, for_folds)
    width = len(patients.groups)
    record: dict[str, NDArray[Any]] = {
        "rows": rows.astype(np.int32),
        "status": np.asarray(CODES.index(found.status), dtype=np.int8),
        "folds": np.asarray(found.folds, dtype=np.int16),
        "constant_columns": np.asarray(_constant(patients), dtype=np.int32),
        "lambda": np.asarray(_penalty(found, given.settings)),
    }
    usable = found.status in ("fitted", "empty")
    models = {"refit": found.refit, "final": found.final}
    for name, model in models.items():
        members = model.members if model is not None and usable else np.zeros(width, dtype=bool)
        firth = model is not None and model.fit.method == "firth"
        record[f"selected_{'lasso' if name == 'refit' else name}"] = members
        record[f"{name}_firth"] = np.asarray(firth)
    fixed = risk_model(patients, fitted_model(patients, given.final)) if usable else None
    for prefix, model in (
        ("", found.risk),
        ("reported_", found.final),
        ("fixed_", fixed),
    ):
        intercept, beta = _coefficients(model if usable else None, width)
        record |= {f"{prefix}intercept": intercept, f"{prefix}beta": beta}
    return record


def resampled_patients(
    patients: Patients, rows: NDArray[np.int64], folds_by: Literal["patients", "rows"]
) -> Patients:
    """Patients of a resample: each once, with the number of copies; or every copy by itself.

    By patient, all copies of one share a fold; by row, they are dealt into folds like strangers
    and let the LASSO see in training what it is asked in validation.
    """
    if folds_by == "rows":
        return Patients(patients.columns[rows], patients.outcome[rows], patients.groups)
    distinct, copies = np.unique(rows, return_counts=True)
    return Patients(
        patients.columns[distinct],
        patients.outcome[distinct],
        patients.groups,
        weights=copies.astype(float),
    )


def _constant(patients: Patients) -> int:
    return int((np.ptp(patients.columns, axis=0) == 0).sum())


def _penalty(found: PipelineFit, settings: Baseline) -> float:
    if found.cross_validated is None:
        return np.nan
    return float(
        found.cross_validated.path.penalties[chosen_index(found.cross_validated, settings)]
    )


def _coefficients(model: Model | None, width: int) -> tuple[NDArray[np.float64], Floats]:
    if model is None:
        return np.asarray(np.nan), np.full(width, np.nan)
    return np.asarray(model.fit.intercept), model.coefficients


# --- The DataTree --------------------------------------------------------------------------------


def _estimate_groups(
    once: PipelineFit, cohort: Cohort, design: Design, settings: Baseline
) -> dict[str, dict[str, Any]]:
    """Groups ``estimate`` and ``lasso``, log-odds per SD."""
    assert once.refit is not None
    assert once.final is not None
    width = len(design.terms)
    estimate: dict[str, Any] = {
        "screened": once.screened,
        "selected_lasso": once.refit.members,
        "selected_final": once.final.members,
        "refit_firth": np.asarray(once.refit.fit.method == "firth"),
        "final_firth": np.asarray(once.final.fit.method == "firth"),
        "folds": np.asarray(once.folds),
        "lambda": np.asarray(_penalty(once, settings)),
    }
    for prefix, model in (("", once.risk), ("reported_", once.final)):
        intercept, beta = _coefficients(model, width)
        estimate |= {f"{prefix}intercept": intercept, f"{prefix}beta": beta}
    one_draw = {name: np.asarray(value)[np.newaxis, np.newaxis] for name, value in estimate.items()}
    groups = {"estimate": one_draw}
    if once.cross_validated is not None:
        groups["lasso"] = _lasso_group(once, width)
    groups["observed_data"] = {"outcome": cohort.outcome[cohort.development]}
    groups["constant_data"] = {"mean": design.mean, "sd": design.sd}
    return groups


def _lasso_group(once: PipelineFit, width: int) -> dict[str, Any]:
    found = once.cross_validated
    assert found is not None
    beta = np.zeros((len(found.path.penalties), width))
    beta[:, once.screened] = found.path.coefficients
    return {
        "penalty": found.path.penalties,
        "path_intercept": found.path.intercept,
        "path_beta": beta,
        "deviance_ratio": found.path.deviance_ratio,
        "cv_mean": found.mean,
        "cv_se": found.se,
        "index_min": np.asarray(found.index_min),
        "index_1se": np.asarray(found.index_1se),
    }


def _resample_group(arrays: Arrays, cohort: Cohort) -> dict[str, Any]:
    """One chain of resamples; rows are rows of the input file."""
    rows = cohort.rows[cohort.development].astype(np.int32)[arrays["rows"]]
    return {name: values[np.newaxis] for name, values in {**arrays, "rows": rows}.items()}


DIMENSIONS = {
    "rows": ["position"],
    "outcome": ["patient"],
    "path_intercept": ["step"],
    "path_beta": ["step", "coefficient"],
    **{name: ["step"] for name in ("penalty", "deviance_ratio", "cv_mean", "cv_se")},
    **{
        name: ["coefficient"]
        for name in (
            *("beta", "reported_beta", "fixed_beta", "mean", "sd"),
            *("screened", "selected_lasso", "selected_final"),
        )
    },
}


MEANING = {
    "intercept": "log-odds at the means; of the model that predicts (FLAC where separated)",
    "beta": "log-odds per SD; of the model that predicts (FLAC where separated)",
    "reported_intercept": "log-odds at the means; of the model in print (Firth where separated)",
    "reported_beta": "log-odds per SD; of the model in print (Firth where separated)",
    "fixed_intercept": "log-odds at the means; columns of everybody's final model, fitted again",
    "fixed_beta": "log-odds per SD; columns of everybody's final model, fitted again",
    "rows": "rows of the input file, 1 = first after the header",
    "status": ", ".join(f"{code} {STATUSES[name]}" for code, name in enumerate(CODES)),
    "lambda": "penalty that cross-validation chose",
    "folds": "folds of the cross-validation",
    "refit_firth": "the refit of what the LASSO kept is Firth's",
    "final_firth": "the final model is Firth's",
    "constant_columns": "columns that are constant in the resample",
    "selected_lasso": "kept by the LASSO",
    "selected_final": "in the final model",
}


def _as_fit(
    groups: Mapping[str, Mapping[str, Any]],
    cohort: Cohort,
    design: Design,
    settings: Mapping[str, Any],
) -> xr.DataTree:
    leading = {"estimate": ["chain", "draw"], "bootstrap": ["chain", "draw"]}
    leading["subsample"] = leading["bootstrap"]
    coords = {"coefficient": list(design.terms), "patient": cohort.rows[cohort.development]}
    datasets = {}
    for group, variables in groups.items():
        first = leading.get(group, [])
        data = xr.Dataset(
            {
                name: ([*first, *DIMENSIONS.get(name, [])], np.asarray(values))
                for name, values in variables.items()
            }
        )
        wanted = {name: values for name, values in coords.items() if name in data.dims}
        counted = {name: np.arange(data.sizes[name]) for name in first}
        for name in data.data_vars:
            if name in MEANING:
                data[name].attrs["description"] = MEANING[str(name)]
        datasets[group] = data.assign_coords({**wanted, **counted})
    tree = xr.DataTree.from_dict({f"/{group}": data for group, data in datasets.items()})
    tree.attrs.update(fit_attributes(cohort, {"engine": "baseline", **settings}))
    return tree


def is_baseline(fit: xr.DataTree) -> bool:
    """Whether a fit is a frequentist workflow rather than a posterior."""
    return "estimate" in fit.children


def baseline_settings(fit: xr.DataTree) -> Baseline:
    """The workflow that a fit has run: ``[baseline]`` of its study."""
    return design_of(fit).study.baseline
