"""Tables of a selection: the path with every size judged, how stable it is, what else would do."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt import metrics
from bayes_cmvt.baseline import column_groups
from bayes_cmvt.cohort import DEVELOPMENT
from bayes_cmvt.errors import OptionError
from bayes_cmvt.estimates import INTERCEPT, coefficients
from bayes_cmvt.glossary import PROCEDURES, SOURCES
from bayes_cmvt.posterior import design_of, settings_of
from bayes_cmvt.projected_fit import is_projection
from bayes_cmvt.repetitions import LASSO_RULES, JudgedSizes
from bayes_cmvt.scoring import Risks, auc_within_folds
from bayes_cmvt.selection import elpd_differences, size_risks, suggest_size
from bayes_cmvt.selection_rules import RULES

PATIENT_REPLICATES = 500  # a standard error is then right to 3 %
WOULD_DO = 0.75  # share of what a predictor adds that another would add in its place
SAYS_THE_SAME = 0.5  # share of what another adds that is left once the predictor is in

type Floats = NDArray[np.float64]
type Flags = NDArray[np.bool_]


def check_selection_fit(selection: xr.DataTree) -> None:
    """Refuse what is no selection.

    Raises
    ------
    OptionError
    """
    if not isinstance(selection, xr.DataTree) or not is_projection(selection):
        msg = "this fit is no selection: give what select returns"
        raise OptionError(msg)


def judged_sizes(selection: xr.DataTree) -> JudgedSizes:
    """Risks of left-out patients, read back from a selection."""
    group = selection["cross_validation"]
    return JudgedSizes(
        risk=group["risk"].to_numpy(),
        reference=group["reference_risk"].to_numpy(),
        fold=group["fold"].to_numpy(),
        order=group["order"].to_numpy(),
        pareto_k=group["pareto_k"].to_numpy() if "pareto_k" in group.data_vars else None,
        good_k=float(group["good_k"]) if "good_k" in group.data_vars else np.inf,
    )


def selection_table(selection: xr.DataTree) -> pd.DataFrame:
    """Every size of submodel judged on patients left out, beside the full posterior.

    Parameters
    ----------
    selection : DataTree
        From `bayes_cmvt.select`.

    Returns
    -------
    DataFrame
        ``size, term, label, elpd, elpd_diff, elpd_diff_se, elpd_diff_sd, auc, auc_diff,
        auc_diff_se, net_benefit, net_benefit_diff, net_benefit_diff_se, threshold, divergence,
        cost, share_of_folds, suggested, chosen``; one row for each size, the intercept alone first.
        Differences are the submodel's less the reference's; the AUC compares patients of one fold.
        AUC and net benefit are empty where patients were left out one by one.

    Raises
    ------
    OptionError
        The fit is no selection.
    """
    check_selection_fit(selection)
    judged, outcome = judged_sizes(selection), selection["observed_data"]["outcome"].to_numpy()
    of_size, _ = judged.log_densities(outcome)
    difference, se = elpd_differences(judged, outcome)
    search, settings = selection["search"], settings_of(selection)
    study = design_of(selection).study
    order = np.asarray(search["order"].to_numpy(), dtype=np.int64)
    entered = [study.predictors[one] for one in order]
    sizes = np.arange(1 + len(order))
    return pd.DataFrame(
        {
            "size": sizes,
            "term": ["", *(one.name for one in entered)],
            "label": ["intercept alone", *(one.display for one in entered)],
            "elpd": of_size.sum(axis=-1),
            "elpd_diff": difference,
            "elpd_diff_se": se,
            "elpd_diff_sd": _over_repeats(judged, outcome),
            **_paired_metrics(judged, outcome, _threshold(selection), settings["seed"]),
            "divergence": search["divergence"].to_numpy(),
            "cost": search["cost"].to_numpy(),
            "share_of_folds": [
                np.nan,
                *np.diagonal(_shares(judged.order, len(study.predictors))[order]),
            ],
            "suggested": sizes == settings["suggested"],
            "chosen": sizes == settings["size"],
        }
    )


def _over_repeats(judged: JudgedSizes, outcome: NDArray[np.int8]) -> Floats:
    """SD of the difference in elpd over repeats of the folds, shape (1 + step,); NaN for one."""
    if len(judged.risk) < 2:
        return np.full(judged.risk.shape[1], np.nan)
    totals = []
    for repeat in range(len(judged.risk)):
        totals.append(elpd_differences(_one_repeat(judged, repeat), outcome)[0])
    return np.asarray(np.std(totals, axis=0, ddof=1))


def _one_repeat(judged: JudgedSizes, repeat: int) -> JudgedSizes:
    part = slice(repeat, repeat + 1)
    return replace(judged, risk=judged.risk[part], reference=judged.reference[part])


def honest_difference(selection: xr.DataTree) -> tuple[float, float] | None:
    """Elpd less the reference's, and its SE, where every fold's size is chosen by the other folds.

    Returns
    -------
    (float, float) or None
        None where the size was asked for.
    """
    group = selection["cross_validation"]
    if "size_inside" not in group.data_vars:
        return None
    judged, outcome = judged_sizes(selection), selection["observed_data"]["outcome"].to_numpy()
    risk = size_risks(judged.risk, group["size_inside"].to_numpy())
    difference, se = elpd_differences(replace(judged, risk=risk[:, np.newaxis]), outcome)
    return float(difference[0]), float(se[0])


def _threshold(selection: xr.DataTree) -> float:
    """The threshold that the study declares, or the event share, where treat-all gains nothing."""
    use = design_of(selection).study.decision.use
    return float(selection["observed_data"]["outcome"].mean()) if use is None else use


def _paired_metrics(
    judged: JudgedSizes, outcome: NDArray[np.int8], threshold: float, seed: int
) -> dict[str, Any]:
    """AUC and net benefit of each size, and differences to the reference over the same patients."""
    n = len(outcome)
    weights = np.vstack([np.ones(n), metrics.bayesian_bootstrap(n, PATIENT_REPLICATES, seed=seed)])
    fold = None if judged.pareto_k is not None else judged.fold
    risks = [judged.reference, *judged.risk.swapaxes(0, 1)]
    scored = [Risks("", DEVELOPMENT, "kfold", outcome, one, fold) for one in risks]
    benefit = np.stack(
        [
            metrics.net_benefit(
                one.pooled[0], one.pooled[1], threshold, weights=one.pooled_weights(weights)
            )
            for one in scored
        ]
    )
    area = np.full(benefit.shape, np.nan)
    if fold is None:  # risks left out one by one rank patients backwards where the signal is weak
        benefit = area
    else:
        area = np.stack([auc_within_folds(one, weights) for one in scored])
    columns: dict[str, Any] = {}
    for name, values in (("auc", area), ("net_benefit", benefit)):
        difference = values[1:] - values[0]
        columns[name] = values[1:, 0]
        columns[f"{name}_diff"] = difference[:, 0]
        columns[f"{name}_diff_se"] = difference[:, 1:].std(axis=1, ddof=1)
    return columns | {"threshold": threshold}


def _shares(orders: NDArray[np.int64], predictors: int) -> Floats:
    """Share of searches that have a predictor by each size, shape (predictor, size from 1)."""
    entered = np.zeros((predictors, orders.shape[1]))
    for order in orders:
        for step, one in enumerate(order):
            entered[one, step:] += 1
    return entered / max(len(orders), 1)


def selection_stability(selection: xr.DataTree) -> pd.DataFrame:
    """Share of the folds in which each predictor is in by each size.

    Returns
    -------
    DataFrame
        ``term, label, size, share_of_folds``: predictors in the order of the study.
    """
    check_selection_fit(selection)
    predictors = design_of(selection).study.predictors
    shares = _shares(selection["cross_validation"]["order"].to_numpy(), len(predictors))
    return pd.DataFrame(
        [
            {"term": one.name, "label": one.display, "size": size, "share_of_folds": share}
            for one, row in zip(predictors, shares, strict=True)
            for size, share in enumerate(row, start=1)
        ]
    )


def selected_sets(selection: xr.DataTree, source: str) -> dict[str, Flags]:
    """What each procedure selected in the repetitions of a source.

    Returns
    -------
    dict of str to ndarray of bool, shape (repetition, predictor)
        By procedure; repetitions in which a procedure failed are left out.
    """
    group, size = selection[f"again_{source}"], int(settings_of(selection)["size"])
    groups = column_groups(design_of(selection))
    width = selection["search"].sizes["predictor"]
    found: dict[str, Flags] = {}
    if source == "folds":
        if settings_of(selection)["by_suggestion"]:
            found["projection"] = _suggested_again(selection)
    elif "order" in group.data_vars:
        found["projection"] = _flags(group["order"].to_numpy()[:, :size], width)
    for rule in (*RULES, *LASSO_RULES):
        if rule in group.data_vars:
            columns = np.asarray(group[rule].to_numpy(), dtype=bool)
            kept = [columns[:, groups == one].any(axis=1) for one in range(width)]
            found[rule] = np.stack(kept, axis=1)
    return found


def _flags(orders: NDArray[np.int64], predictors: int) -> Flags:
    chosen = np.zeros((len(orders), predictors), dtype=bool)
    for flags, order in zip(chosen, orders, strict=True):
        flags[order] = True
    return chosen


def _suggested_again(selection: xr.DataTree) -> Flags:
    """The set of all patients at the size that each repeat of the folds suggests."""
    judged, outcome = judged_sizes(selection), selection["observed_data"]["outcome"].to_numpy()
    order = selection["search"]["order"].to_numpy()
    orders = []
    for repeat in range(len(judged.risk)):
        once = _one_repeat(judged, repeat)
        least = len(settings_of(selection)["forced"])
        orders.append(order[: suggest_size(*elpd_differences(once, outcome), least)])
    chosen = np.zeros((len(orders), selection["search"].sizes["predictor"]), dtype=bool)
    for flags, one in zip(chosen, orders, strict=True):
        flags[one] = True
    return chosen


def present_sources(selection: xr.DataTree) -> list[str]:
    """Kinds of repetitions that a selection holds, all patients left out."""
    return [one for one in SOURCES if one != "everybody" and f"again_{one}" in selection.children]


def selection_frequencies(selection: xr.DataTree) -> pd.DataFrame:
    """How often each predictor was selected, by procedure and kind of repetition.

    Returns
    -------
    DataFrame
        ``procedure, source, replicates, term, label, frequency``.
    """
    check_selection_fit(selection)
    predictors = design_of(selection).study.predictors
    return pd.DataFrame(
        [
            {
                "procedure": procedure,
                "source": source,
                "replicates": len(sets),
                "term": one.name,
                "label": one.display,
                "frequency": frequency,
            }
            for source in present_sources(selection)
            for procedure, sets in _in_order(selected_sets(selection, source))
            for one, frequency in zip(predictors, sets.mean(axis=0), strict=True)
        ],
        columns=["procedure", "source", "replicates", "term", "label", "frequency"],
    )


def _in_order(found: Mapping[str, Flags]) -> list[tuple[str, Flags]]:
    return [(name, found[name]) for name in PROCEDURES if name in found and len(found[name])]


def selection_recurrence(selection: xr.DataTree) -> pd.DataFrame:
    """How often the set that all patients give comes again, by procedure and kind of repetition.

    Returns
    -------
    DataFrame
        ``procedure, source, replicates, size, same_set, distinct_sets, most_frequent,
        stability``: mean size of the sets, share that equals the set of all patients, number of
        different sets, share of the most frequent one, and the stability of Nogueira et al.
    """
    check_selection_fit(selection)
    own = selected_sets(selection, "everybody")
    rows = []
    for source in present_sources(selection):
        for procedure, sets in _in_order(selected_sets(selection, source)):
            counted = Counter(map(tuple, sets.tolist()))
            same = counted[tuple(own[procedure][0].tolist())] if procedure in own else np.nan
            rows.append(
                {
                    "procedure": procedure,
                    "source": source,
                    "replicates": len(sets),
                    "size": float(sets.sum(axis=1).mean()),
                    "same_set": same / len(sets),
                    "distinct_sets": len(counted),
                    "most_frequent": max(counted.values()) / len(sets),
                    "stability": stability(sets),
                }
            )
    names = ["procedure", "source", "replicates", "size", "same_set", "distinct_sets"]
    return pd.DataFrame(rows, columns=[*names, "most_frequent", "stability"])


def stability(sets: Flags) -> float:
    """Stability of selected sets: 1 where all are the same, 0 as if drawn at random.

    One less the mean variance of the selections over that of sets of the same mean size drawn at
    random (Nogueira, Sechidis & Brown 2018, JMLR 18:174).

    Parameters
    ----------
    sets : ndarray of bool, shape (repetition, predictor)

    Returns
    -------
    float
        NaN with fewer than two sets, or where nothing or everything is always selected.

    Examples
    --------
    >>> stability(np.array([[True, False, False], [True, False, False]]))
    1.0
    """
    share = float(sets.mean())
    if len(sets) < 2 or share in (0.0, 1.0):
        return float("nan")
    variance = sets.var(axis=0, ddof=1).mean()
    return float(1 - variance / (share * (1 - share)))


def selection_alternatives(selection: xr.DataTree) -> pd.DataFrame:
    """Predictors of the path in whose place another would do, because it says much the same.

    At the step at which a predictor enters, the other would have taken at least three quarters of
    what it takes from the divergence; and once it is in, at most half is left of what the other
    would take.

    Returns
    -------
    DataFrame
        ``size, term, label, other_term, other_label, would_take, left_over, share_of_folds,
        other_share_of_folds, share_either, share_both``; shares are of folds, by that size.
    """
    check_selection_fit(selection)
    search, predictors = selection["search"], design_of(selection).study.predictors
    order = search["order"].to_numpy()
    gain = search["divergence"].to_numpy()[:-1, np.newaxis] - (
        search["candidate_divergence"].to_numpy()
    )
    forced = len(settings_of(selection)["forced"])
    rows = []
    for step in range(forced, len(order) - 1):
        one = order[step]
        for other in order[step + 1 :]:
            would_take, left_over = (
                gain[step, other] / gain[step, one],
                gain[step + 1, other] / gain[step, other],
            )
            if would_take >= WOULD_DO and left_over <= SAYS_THE_SAME:
                rows.append(
                    {
                        "size": step + 1,
                        "term": predictors[one].name,
                        "label": predictors[one].display,
                        "other_term": predictors[other].name,
                        "other_label": predictors[other].display,
                        "would_take": would_take,
                        "left_over": left_over,
                        **_shares_of_two(selection, one, other, step + 1),
                    }
                )
    names = ["size", "term", "label", "other_term", "other_label", "would_take", "left_over"]
    shares = ["share_of_folds", "other_share_of_folds", "share_either", "share_both"]
    return pd.DataFrame(rows, columns=[*names, *shares])


def _shares_of_two(selection: xr.DataTree, one: int, other: int, size: int) -> dict[str, float]:
    """Shares of the folds that have one predictor, the other, either, both by a size."""
    orders = selection["cross_validation"]["order"].to_numpy()[:, :size]
    has_one, has_other = ((orders == wanted).any(axis=1) for wanted in (one, other))
    return {
        "share_of_folds": float(has_one.mean()),
        "other_share_of_folds": float(has_other.mean()),
        "share_either": float((has_one | has_other).mean()),
        "share_both": float((has_one & has_other).mean()),
    }


def selection_coefficients(selection: xr.DataTree, *, ci_prob: float = 0.95) -> pd.DataFrame:
    """Coefficients of the chosen submodel: the posterior projected onto it.

    Their intervals say what the reference implies for the submodel. They do not know that the
    predictors were chosen; what the submodel leaves out is not in them.

    Parameters
    ----------
    selection : DataTree
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        As `bayes_cmvt.coefficients`, of the terms that are in; ``shrinkage`` is empty.
    """
    check_selection_fit(selection)
    table = coefficients(selection, ci_prob=ci_prob)
    kept = [INTERCEPT, *selected_terms(selection)]
    return table[table["term"].isin(kept)].reset_index(drop=True)


def failed_weights(selection: xr.DataTree) -> int:
    """Patients whose importance weights cannot be trusted; 0 with K-fold."""
    judged = judged_sizes(selection)
    return 0 if judged.pareto_k is None else int((~(judged.pareto_k <= judged.good_k)).sum())


def selected_columns(selection: xr.DataTree) -> dict[str, Flags]:
    """Columns that each procedure keeps with all patients, shape (coefficient,)."""
    groups, group = column_groups(design_of(selection)), selection["again_everybody"]
    chosen = selected_sets(selection, "everybody")["projection"][0]
    found = {"projection": chosen[groups]}
    for rule in (*RULES, *LASSO_RULES):
        if rule in group.data_vars:
            found[rule] = np.asarray(group[rule].to_numpy()[0], dtype=bool)
    return found


def selected_terms(selection: xr.DataTree) -> list[str]:
    """Terms of the chosen submodel, in the order of the design."""
    kept = selected_columns(selection)["projection"]
    return list(itertools.compress(design_of(selection).terms, kept.tolist()))
