"""Performance figures of a posterior and of a resampled workflow, side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bayes_cmvt.compared_intervals import INTERVALS, with_widths

METRICS = (
    *("auc", "calibration_in_the_large", "calibration_slope", "integrated_calibration_index"),
    *("brier_score", "scaled_brier_score", "log_score"),
)
# the same figure under the name by which a method gives it
LEFT_OUT = {"auc": "leave_pair_out_auc"}
WALD_METHODS = ("holdout", "apparent")
WALD = {
    "auc": "auc_delong",
    "calibration_slope": "recalibration_slope",
    "calibration_in_the_large": "recalibration_in_the_large",
}
# limits over patients, of models that have not seen them; no other pair is judged in the same way
PAIRED = ("holdout", "kfold", "apparent")
CORRECTED = "optimism_corrected"
UNFIT_FOR_WIDTHS = ("integrated_calibration_index",)  # resampling pushes it up: never negative


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
        Table ``compare_performance``. First both judged in the same way, on new patients or by
        cross-validation, limits over patients; then for development patients the posterior with
        patients left out beside the workflow corrected for its optimism with everything repeated,
        whose limits are of another kind: no width ratio, no overlap. ``bootstrap_interval_of`` is
        ``draws`` where they are over the resamples' models. Wald's limits are about
        ``wald_estimate``, of the final model as it stands.
    """
    rows = []
    for called in performance["set"].drop_duplicates():
        own, other = (
            performance[(performance["set"] == called) & (performance["model"] == name)]
            for name in (credible, bootstrap)
        )
        rows += [{"set": called, **_paired(own, other, metric)} for metric in METRICS]
        rows += [{"set": called, **_corrected(own, other, metric)} for metric in METRICS]
    methods = [f"{name}_method" for name in ("credible", "bootstrap", "wald")]
    columns = ["set", "metric", *INTERVALS, *methods, "bootstrap_interval_of", "wald_estimate"]
    table = with_widths(pd.DataFrame(rows, columns=columns).dropna(subset=["metric"]))
    unlike = (table["credible_method"] != table["bootstrap_method"]) | table["metric"].isin(
        UNFIT_FOR_WIDTHS
    )
    table.loc[unlike, ["width_ratio", "overlap"]] = np.nan
    table = table.drop(columns="wald_width_ratio").assign(interval=ci_prob)
    return table.reset_index(drop=True)


def _paired(own: pd.DataFrame, other: pd.DataFrame, metric: str) -> dict[str, object]:
    """Both models by the first method that both were judged by; empty where there is none."""
    for method in PAIRED:
        pair = (_row(own, metric, method), _row(other, metric, method))
        if None not in pair:
            return {"metric": metric, **_columns(*pair, other, metric)}
    return {}


def _corrected(own: pd.DataFrame, other: pd.DataFrame, metric: str) -> dict[str, object]:
    """The workflow corrected for its optimism, beside the posterior with patients left out."""
    found = _row(other, metric, CORRECTED)
    if found is None:
        return {}
    left_out = _row(own, LEFT_OUT.get(metric, metric), "loo") or _row(own, metric, "kfold")
    return {"metric": metric, **_columns(left_out, found, other, metric)}


type Row = Mapping[str, object]


def _columns(
    own: Row | None, found: Row | None, other: pd.DataFrame, metric: str
) -> dict[str, object]:
    wald = next(
        filter(None, (_row(other, WALD.get(metric, ""), name) for name in WALD_METHODS)), None
    )
    columns = {
        f"{kind}_{name}": None if row is None else row[name]
        for kind, row in (("credible", own), ("bootstrap", found), ("wald", wald))
        for name in ("estimate", "lower", "upper", "method")
    }
    return columns | {"bootstrap_interval_of": None if found is None else found["interval_of"]}


def _row(performance: pd.DataFrame, metric: str, method: str) -> Row | None:
    """Row of a metric by a method, over patients if there is one; None where there is none."""
    rows = performance[(performance["metric"] == metric) & (performance["method"] == method)]
    if method != CORRECTED:
        rows = rows[rows["interval_of"] == "patients"]
    return dict(rows.iloc[0]) if len(rows) else None
