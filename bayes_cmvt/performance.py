"""Tables of performance: one row for each model, set, method and metric.

What is judged is the deployed rule, the posterior-mean risk; its intervals are over patients. On
development data the rule has seen its judges: there ``kfold`` and ``loo`` give the figures to
quote, and ``apparent`` stands beside them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayes_cmvt import metrics
from bayes_cmvt.crossvalidation import LeaveOneOut, Partition, left_out_risk
from bayes_cmvt.intervals import equal_tailed
from bayes_cmvt.posterior import log_bernoulli
from bayes_cmvt.scoring import (
    AT_THRESHOLD,
    CURVES,
    LINE,
    SUMS,
    Floats,
    Risks,
    Scored,
    ScoringSettings,
    draw_scores,
    errors_if_calibrated,
)

COLUMNS = ["model", "set", "metric", "estimate", "lower", "upper", "method", "interval_of"]
DIFFERENCES = [
    "set",
    "method",
    "metric",
    "model_a",
    "model_b",
    "estimate",
    "lower",
    "upper",
    "p_value",
]
SPLIT_METRICS = {
    "auc": metrics.auc,
    "calibration_in_the_large": metrics.calibration_in_the_large,
    "calibration_slope": metrics.calibration_slope,
    "brier_score": metrics.brier_score,
    "scaled_brier_score": metrics.scaled_brier_score,
}


def performance_table(scored: Sequence[Scored], ci_prob: float = 0.95) -> pd.DataFrame:
    """One row for each model, set, method and metric, with its interval over patients.

    Parameters
    ----------
    scored : sequence of Scored
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        ``model, set, metric, estimate, lower, upper, method, interval_of, threshold, if_calibrated,
        note, interval``.
    """
    rows = [row for one in scored for row in _performance_rows(one, ci_prob)]
    return _performance_frame(rows, ci_prob)


def _performance_frame(rows: list[dict[str, Any]], ci_prob: float) -> pd.DataFrame:
    names = [*COLUMNS, "threshold", "if_calibrated", "note"]
    return pd.DataFrame(rows, columns=names).assign(interval=ci_prob)


def _row(about: Risks, metric: str, values: Sequence[Any], **others: Any) -> dict[str, Any]:
    """One row of a performance table from estimate, lower and upper limit."""
    names = {"model": about.model, "set": about.set, "method": about.method, "metric": metric}
    limits = dict(zip(("estimate", "lower", "upper"), map(float, values), strict=True))
    usual = {"interval_of": "patients", "threshold": np.nan, "note": ""}
    return {**names, **limits, **usual, **others}


def _performance_rows(scored: Scored, ci_prob: float) -> list[dict[str, Any]]:
    risks, rows, use = scored.risks, [], scored.settings.use
    calibrated = errors_if_calibrated(risks, scored.settings)
    for name, estimate in scored.estimate.items():
        if name in CURVES:
            continue
        lower, _, upper = equal_tailed(scored.replicates[name], ci_prob)
        more: dict[str, Any] = {"if_calibrated": calibrated.get(name, np.nan)}
        if name in LINE and risks.folds_without_predictor:
            left_out = risks.folds_without_predictor
            more["note"] = f"{left_out} folds that kept no predictor are left out"
        if name in AT_THRESHOLD and use is not None:
            more["threshold"] = use
        rows.append(_row(risks, name, (estimate, lower, upper), **more))
    if risks.fold is None and min(np.bincount(risks.outcome, minlength=2)) >= 2:
        rows += _closed_form_rows(risks, ci_prob)
    return rows


def _closed_form_rows(risks: Risks, ci_prob: float) -> list[dict[str, Any]]:
    """Limits without a bootstrap: DeLong's, and for new patients those of their own regression."""
    outcome, risk = risks.outcome, risks.risk[0]
    rows = []
    plain = metrics.auc_delong(outcome, risk, ci_prob=ci_prob)
    logit = metrics.auc_delong(outcome, risk, ci_prob=ci_prob, scale="logit")
    for name, area in (("auc_delong", plain), ("auc_delong_logit", logit)):
        rows.append(_row(risks, name, (area.estimate, area.lower, area.upper)))
    if risks.method == "holdout":
        line = metrics.recalibration(outcome, risk, ci_prob=ci_prob)
        level = (line.in_the_large, line.in_the_large_lower, line.in_the_large_upper)
        rows.append(_row(risks, "recalibration_in_the_large", level))
        slope = (line.slope, line.slope_lower, line.slope_upper)
        rows.append(_row(risks, "recalibration_slope", slope))
    return rows


def left_out_table(
    about: Risks,
    loo: LeaveOneOut,
    pairs: metrics.LeavePairOut,
    settings: ScoringSettings,
    ci_prob: float = 0.95,
) -> pd.DataFrame:
    """Brier and log score of patients left out one by one, and the AUC of pairs left out.

    Parameters
    ----------
    about : Risks
        Apparent risks of the development patients.
    loo : LeaveOneOut
    pairs : LeavePairOut
        Of the same patients.
    settings : ScoringSettings
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        As `performance_table`, method ``loo``.
    """
    left_out = replace(about, method="loo")
    risk, rows = left_out_risk(loo, about.outcome), []
    for name, metric in SUMS.items():
        found = metrics.metric_interval(
            metric,
            about.outcome,
            risk,
            replicates=settings.replicates,
            ci_prob=ci_prob,
            seed=settings.seed,
        )
        rows.append(_row(left_out, name, (found.estimate, found.lower, found.upper)))
    weights = metrics.bayesian_bootstrap(
        len(about.outcome), settings.replicates, seed=settings.seed
    )
    lower, _, upper = equal_tailed(pairs.weighted(weights), ci_prob)
    rows.append(_row(left_out, "leave_pair_out_auc", (pairs.estimate, lower, upper)))
    return _performance_frame(rows, ci_prob)


def pairs_left_out(outcome: NDArray[np.int8], log_odds: Floats, seed: int) -> metrics.LeavePairOut:
    """Leave-pair-out AUC of the patients that a model was fitted to, from its draws.

    Parameters
    ----------
    outcome : ndarray of {0, 1}, shape (patient,)
    log_odds : ndarray, shape (draw, patient)
    seed : int
        Of the choice of pairs where they are many.
    """
    return metrics.leave_pair_out(log_bernoulli(outcome, log_odds), outcome, log_odds, seed=seed)


def draw_instability_table(about: Risks, risk: Floats, ci_prob: float = 0.95) -> pd.DataFrame:
    """Scores of each draw's own risks: median and limits over draws.

    Not an interval of the rule's performance, which is no function of one draw. A score that some
    draws do not have is that of the others: a resample of a workflow that kept no predictor gives a
    constant risk, which has no slope.

    Parameters
    ----------
    about : Risks
    risk : ndarray, shape (draw, patient)
    ci_prob : float in (0, 1)
    """
    rows = []
    for name, values in draw_scores(about.outcome, risk).items():
        defined = values[np.isfinite(values)]
        if len(defined):
            lower, median, upper = equal_tailed(defined, ci_prob)
            rows.append(_row(about, name, (median, lower, upper), interval_of="draws"))
    return _performance_frame(rows, ci_prob)


def split_table(
    model: str, outcome: NDArray[np.int8], splits: Sequence[tuple[Partition, Floats]]
) -> pd.DataFrame:
    """How performance on the second part of a split varies from split to split.

    Parameters
    ----------
    model : str
    outcome : ndarray of {0, 1}, shape (patient,)
    splits : sequence of (Partition, ndarray)
        From `split_again`.

    Returns
    -------
    DataFrame
        ``model, split, patients, event`` and a column for each metric; one row for each split.
    """
    rows = []
    for number, (partition, risk) in enumerate(splits, start=1):
        held = outcome[partition.asked]
        about = {"model": model, "split": number, "patients": len(held), "event": int(held.sum())}
        rows.append(about | {name: metric(held, risk) for name, metric in SPLIT_METRICS.items()})
    return pd.DataFrame(rows)


def difference_table(scored: Sequence[Scored], ci_prob: float = 0.95) -> pd.DataFrame:
    """Differences between models scored on the same patients by the same method, paired.

    Parameters
    ----------
    scored : sequence of Scored
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        ``set, method, metric, model_a, model_b, estimate, lower, upper, p_value, interval``;
        intervals are over patients, the P value is that of DeLong's paired test.
    """
    rows = [
        {**about, **row}
        for a, b in itertools.combinations(scored, 2)
        if (a.risks.set, a.risks.method) == (b.risks.set, b.risks.method)
        for about in [
            {"set": a.risks.set, "method": a.risks.method}
            | {"model_a": a.risks.model, "model_b": b.risks.model}
        ]
        for row in _difference_rows(a, b, ci_prob)
    ]
    return pd.DataFrame(rows, columns=DIFFERENCES).assign(interval=ci_prob)


def _difference_rows(a: Scored, b: Scored, ci_prob: float) -> list[dict[str, Any]]:
    rows = []
    for name, estimate in a.estimate.items():
        if name in CURVES:
            continue
        difference = float(estimate - b.estimate[name])
        lower, _, upper = equal_tailed(a.replicates[name] - b.replicates[name], ci_prob)
        rows.append({"metric": name, "estimate": difference, "lower": lower, "upper": upper})
    if a.risks.fold is None:
        test = metrics.auc_difference(
            a.risks.outcome, a.risks.risk[0], b.risks.risk[0], ci_prob=ci_prob
        )
        limits = {"estimate": test.estimate, "lower": test.lower, "upper": test.upper}
        rows.append({"metric": "auc_difference", **limits, "p_value": test.p_value})
    return rows
