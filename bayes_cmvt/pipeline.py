"""The published workflow as one pure function of rows, settings and a stream of random numbers.

Univariable screening (where the study asks for it), a cross-validated LASSO, a multivariable refit,
the P rule or backward elimination by AIC, a final refit. Columns are chosen one by one, as glmnet
does, whatever predictor they belong to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bayes_cmvt.errors import BayesCmvtError, OptionError
from bayes_cmvt.lasso import CrossValidated, cross_validate
from bayes_cmvt.logistic import (
    LogisticFit,
    fit_flac,
    fit_guarded,
    fit_maximum_likelihood,
)
from bayes_cmvt.logistic_inference import likelihood_ratio_tests
from bayes_cmvt.schema import Baseline

type Floats = NDArray[np.float64]
type Flags = NDArray[np.bool_]
type Status = Literal["fitted", "empty", "one_class", "few_patients", "failed"]

STATUSES: dict[Status, str] = {
    "fitted": "at least one predictor kept",
    "empty": "no predictor kept: the final model is the event share alone",
    "one_class": "one outcome only",
    "few_patients": "fewer than two distinct patients of an outcome: no folds",
    "failed": "a fit that did not converge",
}


@dataclass(frozen=True, eq=False)
class Patients:
    """Rows as the workflow sees them.

    Attributes
    ----------
    columns : ndarray, shape (patient, column)
        In any units: nothing below depends on them.
    outcome : ndarray of {0, 1}, shape (patient,)
    groups : ndarray of int, shape (column,)
        Which predictor each column belongs to; the univariable screening asks predictors.
    weights : ndarray, shape (patient,), optional
        Copies of each patient in a resample.
    folds : ndarray of int, shape (patient,), optional
        Of the cross-validation; drawn where there are none.
    """

    columns: Floats
    outcome: NDArray[np.int8]
    groups: NDArray[np.int64]
    weights: Floats | None = None
    folds: NDArray[np.int64] | None = None

    def part(self, members: Flags) -> Floats:
        """Some of the columns, shape (patient, member)."""
        return np.ascontiguousarray(self.columns[:, members])


@dataclass(frozen=True, eq=False)
class Model:
    """A logistic model of some of the columns.

    Attributes
    ----------
    members : ndarray of bool, shape (column,)
    fit : LogisticFit
        Of the members alone, in their order.
    """

    members: Flags
    fit: LogisticFit

    @property
    def coefficients(self) -> Floats:
        """Of every column, 0 for those that are not in the model, shape (column,)."""
        return self.spread(self.fit.coefficients, 0.0)

    def spread(self, values: NDArray[np.float64], absent: float = np.nan) -> Floats:
        """What belongs to the members, over all columns."""
        over_all = np.full(len(self.members), absent)
        over_all[self.members] = values
        return over_all


@dataclass(frozen=True, eq=False)
class PipelineFit:
    """One run of the workflow.

    Attributes
    ----------
    status : str
        A key of `STATUSES`; with the last three there is no final model.
    screened : ndarray of bool, shape (column,)
        What the univariable screening left to the LASSO; everything without a screening.
    folds : int
        Folds of the cross-validation; fewer than asked for where patients are few.
    cross_validated : CrossValidated, optional
        Of the screened columns.
    refit : Model, optional
        What the LASSO kept, fitted again without a penalty.
    final : Model, optional
    risk : Model, optional
        The final model with the coefficients that risks are computed from: its own, or those of
        FLAC where it is a Firth fit, which pulls risks to 1/2 (Puhr 2017, doi:10.1002/sim.7273).
    reason : str
        What the status ``failed`` comes from, where that is known.
    """

    status: Status
    screened: Flags
    folds: int = 0
    cross_validated: CrossValidated | None = None
    refit: Model | None = None
    final: Model | None = None
    risk: Model | None = None
    reason: str = ""


def run_pipeline(
    patients: Patients, settings: Baseline, seed: np.random.SeedSequence
) -> PipelineFit:
    """Run the published workflow once.

    Parameters
    ----------
    patients : Patients
    settings : Baseline
        ``[baseline]`` of the study.
    seed : SeedSequence
        For the folds; not changed.

    Returns
    -------
    PipelineFit
        Rows that cannot be fitted have a status that says why; nothing is raised for them.
    """
    everything = np.ones(patients.columns.shape[1], dtype=bool)
    trouble = _trouble(patients)
    if trouble is not None:
        return PipelineFit(trouble, everything)
    try:
        return _run(patients, settings, seed)
    except BayesCmvtError as error:
        return PipelineFit("failed", everything, reason=str(error))


def _trouble(patients: Patients) -> Status | None:
    events = int(patients.outcome.sum())
    rarer = min(events, len(patients.outcome) - events)
    if rarer == 0:
        return "one_class"
    return "few_patients" if rarer < 2 and patients.folds is None else None


def _run(patients: Patients, settings: Baseline, seed: np.random.SeedSequence) -> PipelineFit:
    screened = screen(patients, settings.screen_p)
    folds = patients.folds
    if folds is None:
        folds = draw_folds(patients.outcome, settings.folds, np.random.default_rng(seed))
    chosen = screened.copy()
    cross_validated = None
    if screened.any():
        cross_validated = cross_validate(
            patients.part(screened),
            patients.outcome,
            folds,
            weights=patients.weights,
            loss=settings.loss,
            cv=settings.cv,
        )
        chosen[screened] = cross_validated.path.selected[chosen_index(cross_validated, settings)]
    refit = fitted_model(patients, chosen)
    final = _final_model(patients, refit, settings)
    return PipelineFit(
        status=_status(cross_validated, refit, final),
        screened=screened,
        folds=len(np.unique(folds)),
        cross_validated=cross_validated,
        refit=refit,
        final=final,
        risk=risk_model(patients, final),
    )


def _status(cross_validated: CrossValidated | None, refit: Model, final: Model) -> Status:
    converged = cross_validated is None or cross_validated.converged
    if not converged or {refit.fit.status, final.fit.status} - {"converged"}:
        return "failed"
    return "fitted" if final.members.any() else "empty"


def chosen_index(cross_validated: CrossValidated, settings: Baseline) -> int:
    """Position of the penalty that the study's rule chooses."""
    return cross_validated.index_min if settings.rule == "min" else cross_validated.index_1se


def draw_folds(
    outcome: NDArray[np.int8], folds: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Deal patients into folds, each outcome evenly.

    Handed the distinct patients of a resample, copies of one patient share a fold.

    Parameters
    ----------
    outcome : ndarray of {0, 1}, shape (patient,)
    folds : int
        At most as many are made as the rarer outcome has patients.
    generator : Generator

    Returns
    -------
    ndarray of int, shape (patient,)
        From 0.

    Raises
    ------
    OptionError
        Fewer than two patients of an outcome.

    Examples
    --------
    >>> fold = draw_folds(np.array([0, 1, 0, 1, 0, 1, 0]), 3, np.random.default_rng(1))
    >>> np.bincount(fold).tolist()
    [3, 2, 2]
    """
    events = np.flatnonzero(outcome == 1)
    others = np.flatnonzero(outcome == 0)
    count = min(folds, len(events), len(others))
    if count < 2:
        msg = (
            f"folds: found {len(events)} patients with the event and {len(others)} without; "
            "cross-validation needs at least 2 of each"
        )
        raise OptionError(msg)
    order = np.concatenate([generator.permutation(events), generator.permutation(others)])
    fold = np.empty(len(outcome), dtype=np.int64)
    fold[order] = np.arange(len(outcome)) % count
    return fold


def screen(patients: Patients, screen_p: float | None) -> Flags:
    """Columns of predictors whose univariable P is below a level; all of them without one.

    P is Wald's, jointly for the columns of one predictor; where a predictor separates the outcomes
    Wald has none, and the likelihood ratio's takes its place.

    Parameters
    ----------
    patients : Patients
    screen_p : float, optional

    Returns
    -------
    ndarray of bool, shape (column,)
    """
    kept = np.ones(len(patients.groups), dtype=bool)
    if screen_p is None:
        return kept
    for group in np.unique(patients.groups):
        members = patients.groups == group
        kept[members] = univariable_p(patients, members) < screen_p
    return kept


def univariable_p(patients: Patients, members: Flags) -> float:
    """P of one predictor alone, jointly for its columns."""
    from scipy.stats import chi2

    fit = fit_maximum_likelihood(patients.part(members), patients.outcome, weights=patients.weights)
    used = ~fit.aliased
    if not used.any():
        return 1.0
    if fit.status == "converged":
        estimate = fit.coefficients[used]
        inside = np.flatnonzero(used) + 1
        covariance = fit.covariance[np.ix_(inside, inside)]
        statistic = float(estimate @ np.linalg.solve(covariance, estimate))
    else:
        nothing = patients.columns[:, :0]
        null = fit_maximum_likelihood(nothing, patients.outcome, weights=patients.weights)
        statistic = max(0.0, null.deviance - fit.deviance)
    return float(chi2.sf(statistic, used.sum()))


def fitted_model(patients: Patients, members: Flags) -> Model:
    """Fit some of the columns: maximum likelihood, or Firth where that does not exist."""
    return Model(
        members.copy(),
        fit_guarded(patients.part(members), patients.outcome, weights=patients.weights),
    )


def deciding_p(patients: Patients, model: Model) -> Floats:
    """P by which the P rule judges the members of a model, shape (member,).

    Wald's, as such papers use it; of a Firth fit the penalised likelihood ratio's.
    """
    if model.fit.method == "ml":
        return model.fit.p_value
    return likelihood_ratio_tests(
        patients.part(model.members), patients.outcome, model.fit, weights=patients.weights
    )


def _final_model(patients: Patients, refit: Model, settings: Baseline) -> Model:
    members = refit.members.copy()
    members[members] = ~refit.fit.aliased
    if settings.elimination == "aic":
        members = eliminate_by_aic(patients, members)
    elif settings.p_enter < 1:
        # a column that cannot be estimated has no P, and goes too
        members[refit.members] = deciding_p(patients, refit) < settings.p_enter
    return refit if (members == refit.members).all() else fitted_model(patients, members)


def eliminate_by_aic(patients: Patients, members: Flags) -> Flags:
    """Leave out column after column as long as Akaike's criterion falls.

    The deviance of separated data has a limit, and with it the criterion (Akaike 1974,
    doi:10.1109/TAC.1974.1100705).

    Parameters
    ----------
    patients : Patients
    members : ndarray of bool, shape (column,)

    Returns
    -------
    ndarray of bool, shape (column,)
    """

    def aic(kept: Flags) -> float:
        fit = fit_maximum_likelihood(
            patients.part(kept), patients.outcome, weights=patients.weights
        )
        return fit.aic

    kept, best = members.copy(), aic(members)
    while kept.any():
        smaller = []
        for column in np.flatnonzero(kept):
            without = kept.copy()
            without[column] = False
            smaller.append((aic(without), without))
        lowest, without = min(smaller, key=lambda pair: pair[0])
        if lowest >= best:
            break
        kept, best = without, lowest
    return kept


def risk_model(patients: Patients, final: Model) -> Model:
    """The model whose coefficients give risks: a Firth fit hands over to FLAC."""
    if final.fit.method == "ml":
        return final
    flac = fit_flac(patients.part(final.members), patients.outcome, weights=patients.weights)
    return Model(final.members, flac)
