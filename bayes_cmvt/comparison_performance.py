"""Performance figures of a posterior and of a resampled workflow, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bayes_cmvt.compared_intervals import INTERVALS, with_widths

METRICS = (
    *("auc", "calibration_in_the_large", "calibration_slope", "integrated_calibration_index"),
    *("brier_score", "scaled_brier_score", "log_score"),
)
# the same figure under the name by which a method gives it
LEFT_OUT = {"auc": "leave_pair_out_auc"}
WALD = {
    "auc": "auc_delong",
    "calibration_slope": "recalibration_slope",
    "calibration_in_the_large": "recalibration_in_the_large",
}
# what a method is asked for first: models that have not seen the patients
CREDIBLE_METHODS = ("holdout", "loo", "kfold", "apparent")
BOOTSTRAP_METHODS = ("holdout", "optimism_corrected", "kfold", "apparent")
WALD_METHODS = ("holdout", "apparent")


def compared_performance(
    performance: pd.DataFrame, credible: str, bootstrap: str, *, ci_prob: float = 0.95
) -> pd.DataFrame:
    """Each figure of both models with its interval, and Wald's of the final model.

    Parameters
    ----------
    performance : DataFrame
        Table ``performance`` with the rows of both models.
    credible, bootstrap : str
        Their names in it.
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        Table ``compare_performance``. Development patients: the posterior by patients left out, the
        workflow corrected for its optimism with everything repeated, else by cross-validation;
        Wald's limits are those of the final model as it stands. The methods are columns. All limits
        are over patients, but those of the slope and of calibration-in-the-large of a resampled
        workflow, which are over its resamples' models (`bayes_cmvt.fit_baseline`).
    """
    rows = []
    for called in performance["set"].drop_duplicates():
        one = performance[performance["set"] == called]
        rows += [
            {"set": called, "metric": metric} | _figures(one, metric, credible, bootstrap)
            for metric in METRICS
        ]
    columns = ["set", "metric", *INTERVALS]
    columns += ["credible_method", "bootstrap_method", "wald_method"]
    table = with_widths(pd.DataFrame(rows, columns=columns))
    some = table[["credible_estimate", "bootstrap_estimate"]].notna().any(axis=1)
    table = table[some].drop(columns="wald_width_ratio")
    return table.assign(interval=ci_prob).reset_index(drop=True)


def _figures(
    performance: pd.DataFrame, metric: str, credible: str, bootstrap: str
) -> dict[str, object]:
    own = performance[performance["model"] == credible]
    other = performance[performance["model"] == bootstrap]
    left_out = {"loo": LEFT_OUT.get(metric, metric)}
    found = _row(own, metric, CREDIBLE_METHODS, left_out)
    resampled = _row(other, metric, BOOTSTRAP_METHODS, {})
    wald = _row(other, WALD.get(metric, ""), WALD_METHODS, {})
    return {
        f"{kind}_{name}": row[name]
        for kind, row in (("credible", found), ("bootstrap", resampled), ("wald", wald))
        for name in ("estimate", "lower", "upper", "method")
    }


def _row(
    performance: pd.DataFrame, metric: str, methods: Sequence[str], called: Mapping[str, str]
) -> dict[str, object]:
    """First row of a metric by the order of the methods; empty where there is none."""
    for method in methods:
        members = (performance["metric"] == called.get(method, metric)) & (
            performance["method"] == method
        )
        # of draws only where the method has no other: see the docstring of compared_performance
        rows = performance[members].sort_values("interval_of", ascending=False)
        if method != "optimism_corrected":
            rows = rows[rows["interval_of"] == "patients"]
        if len(rows):
            return dict(rows.iloc[0])
    return {"estimate": np.nan, "lower": np.nan, "upper": np.nan, "method": ""}
