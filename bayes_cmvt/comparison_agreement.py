"""How far credible and bootstrap intervals agree, as numbers: what plain words are made from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bayes_cmvt import metrics
from bayes_cmvt.compared_intervals import UNCERTAIN, width_ratio
from bayes_cmvt.errors import MetricError

CORRECTED, UNSEEN = "optimism_corrected", ("kfold", "holdout")

ALIKE = 1.25  # widths that differ by less are called alike
HARDLY_CHOSEN = 0.95  # mass at 0 from which a percentile interval has next to no width
COMPARED_SCALE = "std_log_odds"
DIGITS = 3  # of risks: a largest value, and a median, are those of one patient

type Row = tuple[str, str, float, str]  # quantity, set, value, label


def agreement_table(
    coefficients: pd.DataFrame,
    risks: pd.DataFrame,
    classes: pd.DataFrame,
    performance: pd.DataFrame,
    *,
    outcome: NDArray[np.int8],
    thresholds: Sequence[float],
    ci_prob: float = 0.95,
) -> pd.DataFrame:
    """Every number by which the two are compared as a whole.

    Parameters
    ----------
    coefficients, risks, classes, performance : DataFrame
        Tables ``compare_coefficients, compare_risks, compare_classes, compare_performance``.
    outcome : ndarray of {0, 1}, shape (patient,)
        Of the rows of ``risks``.
    thresholds : sequence of float, ascending
        That cut risks into classes.
    ci_prob : float in (0, 1)
        Of the intervals of the tables, and of the difference of the AUC.

    Returns
    -------
    DataFrame
        Table ``compare_agreement``: ``quantity, set, value, label, interval``; ``set`` is empty for
        coefficients, the label says in a sentence what the value is.
    """
    rows = [*_of_coefficients(coefficients), *_of_thresholds(thresholds)]
    for called, patients in risks.groupby("set", sort=False):
        rows += _of_risks(str(called), patients)
        rows += _of_classes(str(called), classes[classes["set"] == called])
    for called, figures in performance.groupby("set", sort=False):
        rows += _of_performance(str(called), figures)
    rows += _of_new_patients(risks, outcome, ci_prob)
    table = pd.DataFrame(rows, columns=["quantity", "set", "value", "label"])
    return table.assign(interval=ci_prob)


def _of_thresholds(thresholds: Sequence[float]) -> Iterator[Row]:
    for number, threshold in enumerate(thresholds, 1):
        yield f"threshold_{number}", "", float(threshold), "Risk that parts two classes."


# --- coefficients --------------------------------------------------------------------------------


def _of_coefficients(table: pd.DataFrame) -> Iterator[Row]:
    own = table[table["scale"] == COMPARED_SCALE]
    for quantity, value, label in (*_widths(own), *_exclusions(own), *_ranks(own)):
        yield quantity, "", float(value), label


def _widths(own: pd.DataFrame) -> Iterator[tuple[str, float, str]]:
    """Widths of coefficients that the workflow chooses now and then: others are a point at 0."""
    hardly = own["bootstrap_zero"] >= HARDLY_CHOSEN
    ratio = own.loc[~hardly, "width_ratio"].dropna()
    yield "alike", ALIKE, "Widths that differ by a smaller factor are called alike."
    yield "coefficients", len(own), "Coefficients that are compared."
    yield (
        "hardly_chosen",
        hardly.sum(),
        f"Coefficients that are exactly 0 in {HARDLY_CHOSEN:.0%} of the resamples or more.",
    )
    yield (
        "coefficient_widths",
        len(ratio),
        "Coefficients whose widths can be compared: not hardly chosen.",
    )
    yield (
        "coefficient_width_ratio",
        _median(ratio),
        "Median over these of the credible width over the bootstrap width, per SD.",
    )
    for quantity, members, label in (
        ("credible_wider", ratio > ALIKE, "the credible interval is the wider one"),
        ("bootstrap_wider", ratio < 1 / ALIKE, "the bootstrap interval is the wider one"),
        ("alike_widths", ratio.between(1 / ALIKE, ALIKE), "widths are alike"),
    ):
        yield quantity, members.sum(), f"Of these, coefficients whose {label}."
    yield (
        "coefficient_overlap",
        _median(own.loc[~hardly, "overlap"]),
        "Median over these of the shared part of both intervals.",
    )
    yield (
        "wald_width_ratio",
        _median(own["wald_width_ratio"]),
        "Median over selected coefficients of the credible width over Wald's.",
    )


def _exclusions(own: pd.DataFrame) -> Iterator[tuple[str, float, str]]:
    """Which intervals leave no effect out."""
    credible, bootstrap = (
        (own[f"{name}_lower"] > 0) | (own[f"{name}_upper"] < 0)
        for name in ("credible", "bootstrap")
    )
    wald = (own["wald_lower"] > 0) | (own["wald_upper"] < 0)
    opposed = credible & bootstrap & (own["credible_lower"] * own["bootstrap_lower"] < 0)
    outside = (1 - own["interval"]) / 2
    for quantity, members, label in (
        ("both_exclude_none", credible & bootstrap, "both intervals leave no effect out"),
        ("credible_excludes_none", credible & ~bootstrap, "the credible interval alone does"),
        ("bootstrap_excludes_none", bootstrap & ~credible, "the bootstrap interval alone does"),
        ("one_excludes_none", bootstrap ^ credible, "one of the two intervals alone does"),
        ("neither_excludes_none", ~bootstrap & ~credible, "both intervals hold no effect"),
        ("opposed_effects", opposed, "the two intervals lie on opposite sides of no effect"),
        ("wald_excludes_none", wald, "Wald's interval of the final model leaves no effect out"),
        (
            "within_simulation_error",
            own["within_simulation_error"].astype(bool),
            "a credible limit is within 2 Monte Carlo errors of no effect",
        ),
        (
            "held_by_selection",
            own["bootstrap_zero"] > outside,
            "the bootstrap interval holds no effect because enough resamples leave them out",
        ),
    ):
        yield quantity, members.sum(), f"Coefficients of which {label}."


def _ranks(own: pd.DataFrame) -> Iterator[tuple[str, float, str]]:
    yield (
        "rank_agreement_effects",
        rank_correlation(own["credible_estimate"].abs(), own["bootstrap_estimate"].abs()),
        "Spearman's rank correlation of the sizes of the effects per SD.",
    )
    yield (
        "rank_agreement_kept",
        rank_correlation(own["kept"], 1 - own["bootstrap_zero"]),
        "Spearman's rank correlation of 1 - shrinkage and the share of resamples that select.",
    )


def rank_correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Spearman's rank correlation, ties at their mean rank; NaN where one does not vary.

    Examples
    --------
    >>> rank_correlation([1.0, 2.0, 3.0], [10.0, 30.0, 20.0])
    0.5
    """
    from scipy.stats import spearmanr

    pair = np.column_stack([np.asarray(first, float), np.asarray(second, float)])
    pair = pair[np.isfinite(pair).all(axis=1)]
    if len(pair) < 3 or (np.ptp(pair, axis=0) == 0).any():
        return float("nan")
    return round(float(spearmanr(pair[:, 0], pair[:, 1]).statistic), 12)


def _median(values: pd.Series[float]) -> float:
    found = values.dropna()
    return float(found.median()) if len(found) else float("nan")


# --- risks ---------------------------------------------------------------------------------------


def _of_risks(called: str, patients: pd.DataFrame) -> Iterator[Row]:
    difference = (patients["credible_estimate"] - patients["bootstrap_estimate"]).abs()
    credible, bootstrap, wald = (
        patients[f"{name}_upper"] - patients[f"{name}_lower"]
        for name in ("credible", "bootstrap", "wald")
    )
    against_wald = width_ratio(
        *(patients[name] for name in ("credible_lower", "credible_upper")),
        *(patients[name] for name in ("wald_lower", "wald_upper")),
    )
    for quantity, value, label in (
        ("patients", len(patients), "Patients whose risks are compared."),
        ("risk_difference", difference.mean(), "Mean absolute difference of the two risks."),
        (
            "risk_difference_95",
            difference.quantile(0.95),
            "Difference of the two risks that one patient in twenty exceeds.",
        ),
        (
            "rank_agreement_risks",
            rank_correlation(patients["credible_estimate"], patients["bootstrap_estimate"]),
            "Spearman's rank correlation of the two risks.",
        ),
        ("credible_risk_width", _median(credible), "Median width of the credible intervals."),
        ("bootstrap_risk_width", _median(bootstrap), "Median width of the bootstrap intervals."),
        ("wald_risk_width", _median(wald), "Median width of Wald's intervals."),
        (
            "risk_width_ratio",
            _median(patients["width_ratio"]),
            "Median over patients of the credible width over the bootstrap width.",
        ),
        (
            "risk_width_ratio_wald",
            _median(pd.Series(against_wald)),
            "Median over patients of the credible width over Wald's.",
        ),
        ("risk_overlap", _median(patients["overlap"]), "Median shared part of both intervals."),
    ):
        yield quantity, called, round(float(value), DIGITS), label


def _of_classes(called: str, classes: pd.DataFrame) -> Iterator[Row]:
    credible, bootstrap = (classes[f"{name}_class"] != UNCERTAIN for name in CERTAIN)
    same = classes["credible_class"] == classes["bootstrap_class"]
    for quantity, members, label in (
        ("certain_alike", credible & bootstrap & same, "certain under both, and the same"),
        ("certain_otherwise", credible & bootstrap & ~same, "certain under both, and another"),
        ("certain_credible", credible & ~bootstrap, "certain under the credible interval alone"),
        ("certain_bootstrap", bootstrap & ~credible, "certain under the bootstrap interval alone"),
        ("uncertain_both", ~credible & ~bootstrap, "uncertain under both"),
    ):
        patients = classes.loc[members, "patients"].sum()
        yield quantity, called, float(patients), f"Patients whose class of risk is {label}."
    between = same & credible & classes["credible_class"].str.contains(" to ")
    yield (
        "between_thresholds",
        called,
        float(classes.loc[between, "patients"].sum()),
        "Of those certain under both: between the thresholds, where the decision depends on them.",
    )


CERTAIN = ("credible", "bootstrap")


END = {"estimate": "", "lower": "_lower", "upper": "_upper"}

# --- performance ---------------------------------------------------------------------------------


def _of_performance(called: str, figures: pd.DataFrame) -> Iterator[Row]:
    """AUC of both by one method on patients they have not seen, and corrected for optimism."""
    auc = figures[figures["metric"] == "auc"]
    method = auc["bootstrap_method"]
    fair = auc[(auc["credible_method"] == method) & method.isin(UNSEEN)]
    corrected = auc[method == CORRECTED]
    for name, rows, kind, what in (
        ("credible_auc", fair, "credible", "of the posterior"),
        ("bootstrap_auc", fair, "bootstrap", "of the workflow"),
        ("corrected_auc", corrected, "bootstrap", "of the workflow, corrected for optimism"),
    ):
        for end, suffix in END.items():
            for value, how in zip(rows[f"{kind}_{end}"], rows[f"{kind}_method"], strict=True):
                yield f"{name}{suffix}", called, float(value), f"AUC {what} ({how}): {end}."


def _of_new_patients(
    risks: pd.DataFrame, outcome: NDArray[np.int8], ci_prob: float
) -> Iterator[Row]:
    """Difference of the AUC on the same patients, none of whom either model has seen."""
    new = (risks["set"] != "development").to_numpy()
    if not new.any():
        return
    try:
        found = metrics.auc_difference(
            outcome[new],
            risks.loc[new, "credible_estimate"].to_numpy(),
            risks.loc[new, "bootstrap_estimate"].to_numpy(),
            ci_prob=ci_prob,
        )
    except MetricError:  # one outcome only
        return
    called = str(risks.loc[new, "set"].iloc[0])
    label = "the AUC of the posterior less that of the workflow, paired by patient (DeLong)"
    yield "auc_difference", called, float(found.estimate), f"Difference: {label}."
    yield "auc_difference_lower", called, float(found.lower), f"Lower limit of {label}."
    yield "auc_difference_upper", called, float(found.upper), f"Upper limit of {label}."
