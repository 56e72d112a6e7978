"""Tables of a coverage study: whose intervals hold the truth, by how much, at what width.

Monte Carlo errors take the data set as the unit: what comes from one is not independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayes_cmvt.baseline import CODES
from bayes_cmvt.estimates import term_labels
from bayes_cmvt.intervals import tails
from bayes_cmvt.pipeline import STATUSES
from bayes_cmvt.simulation.coverage import (
    RISK_TARGETS,
    RULE_FIGURES,
    RULES,
    SUMS,
    CoveragePlan,
    held_sums,
)
from bayes_cmvt.simulation.interval_methods import BOOTSTRAPS, PERFORMANCE
from bayes_cmvt.simulation.populations import STRONG
from bayes_cmvt.workers import Arrays

CLASSES = ("zero", "weak", "strong")
CLAIMED, BELOW, ABOVE = "as claimed", "below", "above"
UNDECIDED = "cannot be told"
OURS, OTHER = "credible", "the other"
UNLIKE = ("credible", "wald_selected")  # itself; and what speaks of other columns each time
FEWEST_SETS = 2
FOR_A_VERDICT = 30  # data sets
LOW = 0.05
NEAR = 0.02  # of the claim: a coverage that is certainly so near is as claimed
COLUMNS = [
    *("scenario", "target", "method", "coverage", "coverage_mcse", "width", "bias"),
    *("interval_score", "verdict", "below", "above", "width_mcse", "interval_score_mcse"),
    *("coverage_low", "intervals", "data_sets", "interval"),
]

type Floats = NDArray[np.float64]
type Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Ratio:
    """A ratio of sums over data sets, and its Monte Carlo error."""

    value: float
    mcse: float


def ratio(numerator: Floats, denominator: Floats) -> Ratio:
    """Sum over sum, with the error of a ratio estimator whose units are data sets.

    Parameters
    ----------
    numerator, denominator : ndarray, shape (data set,)

    Returns
    -------
    Ratio
        Without an error where fewer than two data sets contribute; Cochran 1977, section 6.8.

    Examples
    --------
    >>> ratio(np.array([9.0, 7.0]), np.array([10.0, 10.0]))
    Ratio(value=0.8, mcse=0.1)
    """
    used = (denominator > 0) | (numerator != 0)
    sets, total = int(used.sum()), denominator.sum()
    if not total:
        return Ratio(float("nan"), float("nan"))
    value = numerator.sum() / total
    rest = (numerator - value * denominator)[used]
    if sets < FEWEST_SETS:
        return Ratio(float(value), float("nan"))
    error = np.sqrt((rest**2).sum() * sets / (sets - 1)) / total
    return Ratio(float(value), float(error))


# --- Coverage ------------------------------------------------------------------------------------


def coverage_table(found: Arrays, plan: CoveragePlan) -> pd.DataFrame:
    """Coverage of every target by every method.

    Parameters
    ----------
    found : dict of str to ndarray
        From `coverage_block`, all data sets.
    plan : CoveragePlan

    Returns
    -------
    DataFrame
        ``scenario, target, method, coverage, coverage_mcse, width, bias, interval_score, verdict
        (``as claimed``, ``below``, ``above``, ``cannot be told``), below, above, width_mcse,
        interval_score_mcse, coverage_low, intervals, data_sets, interval``.
        Coefficients are log-odds per SD of the population; ``bias`` is the mean of estimate minus
        truth; of one data set in twenty a share of `coverage_low` or less is held.
    """
    rows = []
    for target, method, sums in _all_sums(found, plan):
        if sums[:, 0].any():
            figures = _figures(sums)
            judged = {"verdict": _judged(figures, plan.ci_prob)}
            rows.append({"target": target, "method": method} | judged | figures)
    table = pd.DataFrame(rows, columns=[name for name in COLUMNS if name != "scenario"])
    return table.assign(scenario=plan.population.name, interval=plan.ci_prob)[COLUMNS]


def _all_sums(found: Arrays, plan: CoveragePlan) -> Iterator[tuple[str, str, Floats]]:
    """Target, method and sums of each data set, shape (data set, 7)."""
    by_target = {
        **{name: found["risk_sums"][:, :, k] for k, name in enumerate(RISK_TARGETS)},
        **_coefficient_sums(found, plan),
        **_performance_sums(found, plan),
    }
    for target, sums in by_target.items():
        for place, method in enumerate(plan.methods):
            yield target, method, sums[:, place]


def _coefficient_sums(found: Arrays, plan: CoveragePlan) -> dict[str, Floats]:
    """Sums over the coefficients of each class, shape (data set, method, 7)."""
    classes = coefficient_classes(found["truth"], found["acting"].astype(bool))
    return {
        f"coefficient_{name}": np.array(
            [
                [held_sums(limits[held], truth[held], plan.ci_prob) for limits in of_methods]
                for of_methods, truth, held in zip(
                    found["limits"], found["truth"], classes == place, strict=True
                )
            ]
        )
        for place, name in enumerate(CLASSES)
    }


def coefficient_classes(truth: Floats, acting: Flags) -> NDArray[np.int64]:
    """Position in `CLASSES` of true coefficients per SD: no effect, below 0.5 in size, or larger.

    Examples
    --------
    >>> acting = np.array([False, True, True])
    >>> coefficient_classes(np.array([0.0, -0.4, 0.5]), acting).tolist()
    [0, 1, 2]
    """
    return np.where(~acting, 0, np.where(np.abs(truth) < STRONG, 1, 2))


def _performance_sums(found: Arrays, plan: CoveragePlan) -> dict[str, Floats]:
    """Sums of the one interval that each data set has, shape (data set, method, 7)."""
    stated = found["performance"]
    return {
        name: np.array(
            [
                [held_sums(one[k, :3][np.newaxis], one[k, 3:], plan.ci_prob) for one in of_methods]
                for of_methods in stated
            ]
        )
        for k, name in enumerate(PERFORMANCE)
    }


def _figures(sums: Floats) -> dict[str, float | int]:
    """What sums of data sets come to, shape (data set, 7)."""
    count, held = sums[:, 0], sums[:, 1]
    several = count > 1  # of a single interval a share says nothing
    of = {name: ratio(sums[:, k], count) for k, name in enumerate(SUMS) if k}
    return {
        "coverage": of["held"].value,
        "coverage_mcse": of["held"].mcse,
        "width": of["width"].value,
        "bias": of["bias"].value,
        "interval_score": of["interval_score"].value,
        "below": of["below"].value,
        "above": of["above"].value,
        "width_mcse": of["width"].mcse,
        "interval_score_mcse": of["interval_score"].mcse,
        "coverage_low": float(np.quantile(held[several] / count[several], LOW))
        if several.any()
        else np.nan,
        "intervals": int(count.sum()),
        "data_sets": int((count > 0).sum()),
    }


def coefficient_table(found: Arrays, plan: CoveragePlan) -> pd.DataFrame:
    """Coverage of each coefficient by each method; one truth for all data sets, or its mean.

    Returns
    -------
    DataFrame
        ``scenario, term, label, std_truth, class, method, coverage, coverage_mcse, width, bias,
        interval_score, verdict, below, above, intervals, data_sets, interval``.
    """
    study = plan.population.study
    acting = found["acting"].astype(bool).all(axis=0)
    labels, classes = term_labels(study), coefficient_classes(found["truth"].mean(axis=0), acting)
    several = np.ptp(found["truth"], axis=0) > 0
    rows = []
    for j, term in enumerate(study.terms):
        about = {
            "term": term,
            "label": labels[j],
            "std_truth": float(found["truth"][:, j].mean()),
            "class": "drawn" if several[j] else CLASSES[classes[j]],
        }
        for place, method in enumerate(plan.methods):
            limits, truth = found["limits"][:, place, j], found["truth"][:, j]
            sums = np.array(
                [
                    held_sums(one[np.newaxis], true[np.newaxis], plan.ci_prob)
                    for one, true in zip(limits, truth, strict=True)
                ]
            )
            if sums[:, 0].any():
                figures = _figures(sums)
                judged = {"verdict": _judged(figures, plan.ci_prob)}
                rows.append(about | {"method": method} | judged | figures)
    wanted = ["scenario", "term", "label", "std_truth", "class", *COLUMNS[2:]]
    table = pd.DataFrame(rows).assign(scenario=plan.population.name, interval=plan.ci_prob)
    return table[[name for name in wanted if not name.endswith(("width_mcse", "score_mcse"))]]


# --- The answer ----------------------------------------------------------------------------------


def answer_table(found: Arrays, plan: CoveragePlan) -> pd.DataFrame:
    """Where do credible intervals cover what they claim, where do the others, whose are better.

    Coverage and verdicts are those of the coverage table, each over all data sets of its method.
    Widths and interval scores are compared in the data sets in which both state something.

    Parameters
    ----------
    found : dict of str to ndarray
    plan : CoveragePlan

    Returns
    -------
    DataFrame
        A row for each target and each method besides the posterior that states intervals for the
        same patients and columns: ``scenario, target, method, credible_coverage, credible_mcse,
        credible_verdict, coverage, coverage_mcse, verdict, width_ratio`` (credible / method),
        ``score_ratio`` likewise, ``score_ratio_mcse, better`` (``credible``, ``the other``,
        ``cannot be told``), ``data_sets, interval``; empty without a posterior.
    """
    sums = {(target, method): one for target, method, one in _all_sums(found, plan)}
    rows = []
    for (target, method), other in sums.items():
        own = sums.get((target, "credible"))
        alike = method not in UNLIKE and not target.startswith("predicted")
        if own is None or not alike or not (own[:, 0].any() and other[:, 0].any()):
            continue
        rows.append({"target": target, "method": method} | _beside(own, other, plan.ci_prob))
    table = pd.DataFrame(rows)
    if rows:
        table.insert(0, "scenario", plan.population.name)
        table["interval"] = plan.ci_prob
    return table


def _beside(own: Floats, other: Floats, claimed: float) -> dict[str, Any]:
    """Credible intervals and those of another method, of the same patients or columns."""
    ours, theirs = _figures(own), _figures(other)
    both = (own[:, 0] > 0) & (other[:, 0] > 0)
    scores, widths = score_ratio(own[both], other[both]), _mean_widths(own[both], other[both])
    return {
        "credible_coverage": ours["coverage"],
        "credible_mcse": ours["coverage_mcse"],
        "credible_verdict": _judged(ours, claimed),
        "coverage": theirs["coverage"],
        "coverage_mcse": theirs["coverage_mcse"],
        "verdict": _judged(theirs, claimed),
        "width_ratio": widths,
        "score_ratio": scores.value,
        "score_ratio_mcse": scores.mcse,
        "better": _better(scores) if both.sum() >= FOR_A_VERDICT else UNDECIDED,
        "data_sets": int(both.sum()),
    }


def _mean_widths(own: Floats, other: Floats) -> float:
    """Mean width of one over that of the other."""
    width = SUMS.index("width")
    means = [sums[:, width].sum() / max(sums[:, 0].sum(), 1) for sums in (own, other)]
    return float(means[0] / means[1]) if means[1] else float("nan")


def score_ratio(own: Floats, other: Floats) -> Ratio:
    """Mean interval score of one method over that of another, paired by data set.

    Parameters
    ----------
    own, other : ndarray, shape (data set, 7)
        Sums of the same data sets, as `SUMS`.
    """
    score = SUMS.index("interval_score")
    return ratio(own[:, score] / own[:, 0], other[:, score] / other[:, 0])


def _better(scores: Ratio) -> str:
    lower, upper = _limits(scores)
    if np.isfinite(upper) and upper < 1:
        return OURS
    return OTHER if np.isfinite(lower) and lower > 1 else UNDECIDED


def _limits(one: Ratio) -> tuple[float, float]:
    from scipy.special import ndtri

    half = -float(ndtri(tails(0.95)[0])) * one.mcse
    return one.value - half, one.value + half


def _judged(figures: dict[str, float | int], claimed: float) -> str:
    if figures["data_sets"] < FOR_A_VERDICT:
        return UNDECIDED
    # the error of shares next to 1 shows in no sample: it is at least that of the claim
    least = np.sqrt(claimed * (1 - claimed) / figures["intervals"])
    return verdict(figures["coverage"], max(figures["coverage_mcse"], least), claimed)


def verdict(coverage: float, mcse: float, claimed: float) -> str:
    """Whether coverage is as claimed, seen with its Monte Carlo error.

    ``as claimed``: its 95 % Monte Carlo limits lie within 0.02 of the claim, so that nothing
    larger can be hidden. ``below``, ``above``: they do not hold the claim, and do not lie so near.

    Examples
    --------
    >>> verdict(0.945, 0.004, 0.95), verdict(0.94, 0.01, 0.95)
    ('as claimed', 'cannot be told')
    >>> verdict(0.91, 0.01, 0.95), verdict(0.99, 0.001, 0.95)
    ('below', 'above')
    """
    lower, upper = _limits(Ratio(float(coverage), float(mcse)))
    if claimed - NEAR <= lower and upper <= claimed + NEAR:
        return CLAIMED
    if upper < claimed:
        return BELOW
    return ABOVE if lower > claimed else UNDECIDED


# --- How a posterior is deployed -----------------------------------------------------------------


def plug_in_table(found: Arrays, plan: CoveragePlan) -> pd.DataFrame:
    """Posterior-mean risks beside their logistic projection and the risks at mean coefficients.

    Figures are those of fresh patients, whose true risks are known; of a file, of what happened to
    its patients. The excess log loss is that over the true risks' own. What a logistic model can
    lose of it falls with about one over the number of patients, so that the ratio of two rules says
    how many more patients one would need for the loss of the posterior mean (the question of
    Sadatsafavi & Riley 2026, arXiv:2605.19163).

    Returns
    -------
    DataFrame
        ``scenario, rule, log_loss, excess_log_loss, excess_log_loss_mcse, slope, slope_mcse,
        observed_expected, auc, net_benefit, net_benefit_loss, net_benefit_loss_mcse, threshold,
        more_patients`` (share), ``more_patients_mcse, data_sets``; empty without a posterior.
    """
    used = np.isfinite(found["rules"][:, 0, 0])
    rules, true = found["rules"][used], found["truth_figures"][used]
    if not used.any():
        return pd.DataFrame()
    excess = rules[..., 0] - true[:, np.newaxis, 0]
    reducible = rules[..., 0] - found["nearest_loss"][used][:, np.newaxis]
    benefit = RULE_FIGURES.index("net_benefit")
    lost = true[:, np.newaxis, benefit] - rules[..., benefit]
    slope = RULE_FIGURES.index("slope")
    rows = []
    for place, rule in enumerate(RULES):
        loss, gap = _mean(excess[:, place]), _mean(lost[:, place])
        if not np.isfinite(rules[:, place, 0]).all():
            continue  # too few patients for a projection
        more = ratio(reducible[:, place], reducible[:, 0])
        slopes = _mean(rules[:, place, slope])
        rows.append(
            {
                "rule": rule,
                "log_loss": rules[:, place, 0].mean(),
                "excess_log_loss": loss.value,
                "excess_log_loss_mcse": loss.mcse,
                "slope": slopes.value,
                "slope_mcse": slopes.mcse,
                "observed_expected": rules[
                    :, place, RULE_FIGURES.index("observed_expected")
                ].mean(),
                "auc": np.nanmean(rules[:, place, RULE_FIGURES.index("auc")]),
                "net_benefit": rules[:, place, benefit].mean(),
                "net_benefit_loss": gap.value,
                "net_benefit_loss_mcse": gap.mcse,
                "threshold": plan.threshold,
                "more_patients": more.value - 1,
                "more_patients_mcse": more.mcse,
                "data_sets": int(used.sum()),
            }
        )
    table = pd.DataFrame(rows)
    table.insert(0, "scenario", plan.population.name)
    return table


def _mean(values: Floats) -> Ratio:
    known = values[np.isfinite(values)]
    return ratio(known, np.ones_like(known))


# --- What became of data sets, fits and resamples ------------------------------------------------


def outcomes_table(found: Arrays, plan: CoveragePlan) -> pd.DataFrame:
    """Counts of data sets and fits that were not as they should be; nothing is dropped silently.

    Returns
    -------
    DataFrame
        ``scenario, what, count, of``.
    """
    analysed = found["analysed"].astype(bool)
    sets, fitted = len(analysed), int(analysed.sum())
    rows = [
        ("data sets with fewer than two patients of an outcome", sets - fitted, sets),
        ("data sets with a constant column", int((found["constant_columns"] > 0).sum()), fitted),
    ]
    if "credible" in plan.methods:
        missed = int((~found["gate_met"][analysed]).sum())
        rows.append(("posteriors whose draws miss the gate", missed, fitted))
    rows += [
        (f"data sets of which {method} states nothing", _silent(found, place, analysed), fitted)
        for place, method in enumerate(plan.methods)
        if method != "wald_selected"
    ]
    if set(BOOTSTRAPS) & set(plan.methods):
        statuses, total = found["resample_status"].sum(axis=0), fitted * plan.resamples
        rows += [
            (f"resamples: {STATUSES[code]}", int(count), total)
            for code, count in zip(CODES, statuses, strict=True)
        ]
        separated = int(found["resample_firth"].sum())
        rows.append(("resamples whose final model is separated (Firth)", separated, total))
    return pd.DataFrame(rows, columns=["what", "count", "of"]).assign(
        scenario=plan.population.name
    )[["scenario", "what", "count", "of"]]


def _silent(found: Arrays, place: int, analysed: Flags) -> int:
    return int(np.isnan(found["limits"][analysed, place]).all(axis=(1, 2)).sum())


def coverage_tables(
    found: Mapping[str, Arrays], plans: Mapping[str, CoveragePlan]
) -> dict[str, pd.DataFrame]:
    """All tables of a study, its scenarios one below the other.

    Parameters
    ----------
    found : mapping of str to arrays
        By scenario.
    plans : mapping of str to CoveragePlan

    Returns
    -------
    dict of str to DataFrame
        ``coverage, coverage_coefficients, coverage_answer, plug_in, coverage_outcomes``; those
        without rows are left out.
    """
    makers = {
        "coverage": coverage_table,
        "coverage_coefficients": coefficient_table,
        "coverage_answer": answer_table,
        "plug_in": plug_in_table,
        "coverage_outcomes": outcomes_table,
    }
    tables = {}
    for name, make in makers.items():
        parts = [make(found[scenario], plan) for scenario, plan in plans.items()]
        parts = [part for part in parts if len(part)]
        if parts:
            tables[name] = pd.concat(parts, ignore_index=True)
    return tables
