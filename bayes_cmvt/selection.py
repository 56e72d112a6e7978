"""Which predictors a smaller model needs: search, cross-validation with search inside, stability.

The posterior over all predictors is the reference. A smaller model is a decision made with it: its
predictors are searched for with the reference's own risks, its size is chosen by what patients say
who were left out of reference and search alike, and everything is done again on other patients,
splits and seeds to see how sure the decision is.

The result is a DataTree that is a fit (`bayes_cmvt.projected_fit`): `predict` and what builds on it
take it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bayes_cmvt.baseline import column_groups
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.crossvalidation import Partition, Refitter
from bayes_cmvt.design import Design
from bayes_cmvt.errors import OptionError, nearest, quoted
from bayes_cmvt.intervals import tails
from bayes_cmvt.posterior import check_posterior, design_of, learnt_from, settings_of
from bayes_cmvt.progress import Report
from bayes_cmvt.projected_fit import projected_fit
from bayes_cmvt.refits import (
    RefitLength,
    RefitMemory,
    counted_refits,
    development_rows,
    refit_draws,
)
from bayes_cmvt.repetitions import (
    SEARCH_DRAWS,
    Floats,
    JudgedSizes,
    Positions,
    Reference,
    SelectionSettings,
    reference_draws,
    search_stream,
)
from bayes_cmvt.selection_rules import check_rope
from bayes_cmvt.study import Study
from bayes_cmvt.submodels import (
    SEARCHES,
    SearchPlan,
    of_size,
    search_submodels,
    submodel_risks,
)

LARGEST = 30  # predictors up to which the search goes unless told otherwise
WITHIN_NOISE = 4.0  # elpd: a loss below it cannot be told from none


def select(
    fit: xr.DataTree,
    cohort: Cohort,
    *,
    size: int | None = None,
    force: Sequence[str] = (),
    settings: SelectionSettings | None = None,
    cores: int | None = None,
    report: Report | None = None,
    memory: RefitMemory | None = None,
) -> xr.DataTree:
    """Search for a smaller model, judge every size, and project the posterior onto one.

    Projection predictive selection (Piironen, Paasiniemi & Vehtari 2020, doi:10.1214/20-EJS1711).

    Parameters
    ----------
    fit : DataTree
        A posterior over all predictors: the reference.
    cohort : Cohort
        The patients that it has learnt from.
    size : int, optional
        Predictors of the submodel to project onto; default: the suggested size.
    force : sequence of str
        Predictors that are in every submodel; those with ``shrink = false`` always are.
    settings : SelectionSettings, optional
    cores : int, optional
        Refits at a time; default: all cores. The result does not depend on it.
    report : callable, optional
        Called a few times a second with a `SamplingState` that counts refits.
    memory : RefitMemory, optional
        Of refits, where validation has left out the same folds before.

    Returns
    -------
    DataTree
        A fit; see the head of this module.

    Raises
    ------
    OptionError
        A size that there is no submodel of, unknown predictors, settings outside what is allowed, a
        fit that is no posterior or that has not learnt from these patients.
    """
    settings = settings or SelectionSettings()
    check_selection(settings)
    _check_reference(fit, cohort)
    plan = search_plan(design_of(fit), size, force, settings)
    rows = development_rows(fit, cohort, memory)
    reference = Reference(fit, cohort, rows, plan, settings)
    path = search_submodels(reference.draws, rows.matrix, plan, reference.clustering)
    judged, without_folds = reference.judged(path, cores=cores, report=report)
    outcome, least = rows.outcome, len(plan.first)
    suggested = suggest_size(*elpd_differences(judged, outcome), least)
    chosen = suggested if size is None else size
    inside = chosen_inside(judged, outcome, least) if size is None else None
    repeated = [
        reference.everybody(path),
        *without_folds,
        *reference.repeated(chosen, cores=cores, report=report),
        *reference.dealt_again(cores=cores),
    ]
    return projected_fit(reference, path, judged, repeated, (chosen, suggested), inside)


def _check_reference(fit: xr.DataTree, cohort: Cohort) -> None:
    check_posterior(fit)
    if "prior" not in fit.children:
        msg = "this fit is a selection itself; give the posterior that it was made from"
        raise OptionError(msg)
    if not isinstance(cohort, Cohort):
        msg = f"cohort: found {type(cohort).__name__}; expected a Cohort, from load_cohort"
        raise OptionError(msg)
    if not learnt_from(fit, cohort):
        msg = "the fit did not learn from the development patients of this cohort; give its own"
        raise OptionError(msg)


def check_selection(settings: SelectionSettings) -> None:
    """Refuse settings that cannot be honoured, all at once.

    Raises
    ------
    OptionError
    """
    problems = [
        *_refusals(lambda: tails(settings.interval)),
        *_refusals(lambda: check_rope(settings.rope)),
    ]
    problems += [
        f"{name}: found {value!r}; allowed: a whole number from {low} to {high}"
        for name, value, low, high in (
            ("clusters", settings.clusters, 1, 1000),
            ("draws", settings.draws, 25, 10_000),
            ("max_size", 1 if settings.max_size is None else settings.max_size, 1, 10_000),
            ("folds", settings.folds, 2, 1000),
            ("repeats", settings.repeats, 1, 1000),
            ("subsamples", settings.subsamples, 0, 100_000),
            ("splits", settings.splits, 0, 100_000),
            ("seeds", settings.seeds, 0, 1000),
            ("dealings", settings.dealings, 0, 10_000),
            ("seed", settings.seed, 0, 2**63 - 1),
        )
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high
    ]
    for name, text, allowed in (
        ("search", settings.search, SEARCHES),
        ("validation", settings.validation, ("kfold", "loo")),
    ):
        if text not in allowed:
            near = nearest(str(text), allowed)
            problems.append(f'{name}: found "{text}"; allowed: {quoted(allowed)}{near}')
    if settings.by_cost and settings.search == "l1":
        problems.append("by_cost: the L1 search knows no costs; take the forward search")
    if problems:
        msg = "the selection cannot start"
        raise OptionError(msg, problems)


def _refusals(check: Callable[[], object]) -> list[str]:
    try:
        check()
    except OptionError as error:
        return [str(error)]
    return []


def search_plan(
    design: Design, size: int | None, force: Sequence[str], settings: SelectionSettings
) -> SearchPlan:
    """What the search chooses from, or all that is wrong with size and forced predictors.

    Raises
    ------
    OptionError
    """
    study = design.study
    force = (force,) if isinstance(force, str) else force
    names = [one.name for one in study.predictors]
    problems = [_unknown(name, study) for name in dict.fromkeys(force) if name not in names]
    kept = [one.name for one in study.predictors if not one.shrink or one.name in force]
    largest = len(names)
    steps = min(largest, settings.max_size or LARGEST)
    if size is not None and (isinstance(size, bool) or not isinstance(size, int)):
        problems.append(f"size: found {size!r}; allowed: a whole number from 0 to {largest}")
    elif size is not None and not 0 <= size <= largest:
        problems.append(
            f"size: found {size}; allowed: 0 to {largest}, the number of candidate predictors"
        )
    elif size is not None and size < len(kept):
        problems.append(
            f"size: found {size}, but forced in are {', '.join(kept)}; "
            f"allowed: {len(kept)} to {largest}"
        )
    elif size is not None and settings.max_size is not None and size > settings.max_size:
        problems.append(
            f"size: found {size}, but the search ends at max_size {settings.max_size}; leave "
            "max_size out"
        )
    if problems:
        msg = "the selection cannot start"
        raise OptionError(msg, problems)
    return SearchPlan(
        groups=column_groups(design),
        first=tuple(names.index(name) for name in kept),
        costs=np.array([one.cost for one in study.predictors]) if settings.by_cost else None,
        method=settings.search,
        clusters=settings.clusters,
        steps=max(steps, size or 0, len(kept)),
        draws=settings.draws,
    )


def _unknown(name: str, study: Study) -> str:
    names = [one.name for one in study.predictors]
    for predictor in study.predictors:
        if name in predictor.terms:
            return (
                f'force: "{name}" is a column of {predictor.name}; the columns of a predictor '
                f'enter together: name "{predictor.name}"'
            )
    return f'force: found "{name}"; the study has no such predictor{nearest(name, names)}'


def elpd_differences(judged: JudgedSizes, outcome: NDArray[np.int8]) -> tuple[Floats, Floats]:
    """Elpd of each size less that of the reference, and its standard error over patients.

    Parameters
    ----------
    judged : JudgedSizes
    outcome : ndarray of {0, 1}, shape (patient,)

    Returns
    -------
    difference, se : ndarray, shape (1 + step,)
    """
    of_size, of_reference = judged.log_densities(outcome)
    return _sum_and_error(of_size - of_reference)


def _sum_and_error(difference: Floats) -> tuple[Floats, Floats]:
    """Sum over patients, the last axis, and its standard error."""
    se = np.sqrt(difference.shape[-1] * difference.var(axis=-1, ddof=1))
    return difference.sum(axis=-1), se


def suggest_size(difference: Floats, se: Floats, least: int = 0) -> int:
    """Smallest size whose loss of elpd cannot be told from none.

    Its elpd falls short of the reference's by at most one standard error of the difference, or by
    less than 4, below which the standard error itself is not reliable (Sivula et al. 2020,
    arXiv:2008.10296). That is no evidence of no loss.

    Parameters
    ----------
    difference : ndarray, shape (1 + step,)
        Elpd of the submodel of each size, less that of the reference.
    se : ndarray, shape (1 + step,)
        Standard errors of the differences.
    least : int
        Predictors that are forced in: no smaller size is suggested.

    Returns
    -------
    int
        The largest size where none does.

    Examples
    --------
    >>> suggest_size(np.array([-30.0, -12.0, -5.0, -1.0]), np.array([6.0, 4.0, 6.0, 2.0]))
    2
    """
    close = within_noise(difference, se)
    close[:least] = False
    return int(np.argmax(close)) if close.any() else len(close) - 1


def within_noise(difference: ArrayLike, se: ArrayLike) -> NDArray[np.bool_]:
    """Which differences in elpd fall short by at most one standard error, or by less than 4."""
    gap = np.asarray(difference)
    return np.asarray((gap >= -np.asarray(se)) | (gap > -WITHIN_NOISE))


def chosen_inside(judged: JudgedSizes, outcome: NDArray[np.int8], least: int) -> Positions:
    """Size that each patient's fold would have, chosen by the patients of the other folds.

    The size that all patients suggest is judged by the patients who suggested it, which flatters
    it. Here a fold has no say in the size by which it is judged (its patients still helped to fit
    the models that predict the others).

    Parameters
    ----------
    judged : JudgedSizes
    outcome : ndarray of {0, 1}, shape (patient,)
    least : int

    Returns
    -------
    ndarray of int, shape (repeat, patient)
    """
    of_size, of_reference = judged.log_densities(outcome)
    difference = of_size - of_reference
    sizes = np.empty(judged.fold.shape, dtype=np.int64)
    for chosen, fold in zip(sizes, judged.fold, strict=True):
        for number in np.unique(fold):
            others = difference[:, fold != number]
            chosen[fold == number] = suggest_size(*_sum_and_error(others), least)
    return sizes


def projection_refitter(
    selection: xr.DataTree,
    cohort: Cohort,
    *,
    length: RefitLength | None = None,
    cores: int | None = None,
    report: Report | None = None,
) -> Refitter:
    """How a projected submodel is made again from other rows: sampled, searched, projected.

    Parameters
    ----------
    selection : DataTree
        From `select`.
    cohort : Cohort
    length : RefitLength, optional
    cores : int, optional
    report : callable, optional
    """
    settings = settings_of(selection)
    chosen = SelectionSettings(**settings["selection"])
    rows = development_rows(selection, cohort)
    size = int(settings["size"])
    plan = of_size(search_plan(design_of(selection), size, settings["forced"], chosen), size)
    sampled_for = length or RefitLength()

    def risk(one: Partition, stopped: Event) -> Floats:
        refit = rows.refit(one.learnt, one.asked, one.seed)
        draws = reference_draws(refit_draws(refit, sampled_for, stopped))
        clusters = search_stream(one.seed, sampled_for)
        order = search_submodels(draws.thinned(SEARCH_DRAWS), refit.matrix, plan, clusters).order
        few = draws.thinned(plan.draws)
        return np.asarray(submodel_risks(few, refit.matrix, refit.others, order, plan)[-1])

    def refitted(partitions: Sequence[Partition]) -> list[Floats]:
        return counted_refits(risk, partitions, cores=cores, report=report)

    return refitted


def size_risks(risk: Floats, size: int | Positions) -> Floats:
    """Risks by the submodel of one size, or of a size for each patient.

    Parameters
    ----------
    risk : ndarray, shape (repeat, 1 + step, patient)
    size : int or ndarray of int, shape (repeat, patient)

    Returns
    -------
    ndarray, shape (repeat, patient)
    """
    wanted = np.broadcast_to(np.asarray(size), (len(risk), risk.shape[-1]))
    return np.asarray(np.take_along_axis(risk, wanted[:, np.newaxis], axis=1)[:, 0])


def known_refits(selection: xr.DataTree) -> Refitter:
    """The refits of a selection's own cross-validation, so that they are not made again.

    Good for partitions of the same folds, repeats and seed alone. Where the size was suggested,
    each fold is predicted by the size that the other folds suggest.
    """
    group, size = selection["cross_validation"], int(settings_of(selection)["size"])
    risk = size_risks(group["risk"].to_numpy(), size)
    if "size_inside" in group.data_vars:
        risk = size_risks(group["risk"].to_numpy(), group["size_inside"].to_numpy())
    fold = group["fold"].to_numpy()

    def refitted(partitions: Sequence[Partition]) -> list[Floats]:
        folds = len(partitions) // len(risk)
        found = []
        for number, one in enumerate(partitions):
            repeat = number // folds
            assert len(np.unique(fold[repeat, one.asked])) == 1
            found.append(np.asarray(risk[repeat, one.asked]))
        return found

    return refitted


def is_projection(fit: xr.DataTree) -> bool:
    """Whether a fit is a projected submodel."""
    return "search" in fit.children and "posterior" in fit.children
