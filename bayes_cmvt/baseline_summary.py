"""What ``bayes-cmvt baseline`` prints: a record for JSON, and the record as a screen of text."""

from __future__ import annotations

import math
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayes_cmvt.runs import table_records
from bayes_cmvt.textwidth import fitted, padded, screen

if TYPE_CHECKING:
    from bayes_cmvt.stages import StageResult

INTERCEPT = "(Intercept)"
LISTED = {
    "auc": "AUC",
    "calibration_slope": "calibration slope",
    "scaled_brier_score": "scaled Brier score",
}
METHODS = {
    "apparent": "as it stands",
    "optimism_corrected_refit": "refit repeated",
    "optimism_corrected": "workflow repeated",
    "kfold": "cross-validated",
    "holdout": "new patients",
}
WIDTH = 104
LABEL, CELL, METRIC = 38, 21, 19
FAR_APART = 0.1  # P values of two tests that differ by chance lie closer
SLIGHT = 0.05  # log odds ratio below which two decimals show nothing
OFTEN, LISTED_AT_MOST = 0.3, 8
MODEL = "at least one predictor kept"
EMPTY = "no predictor kept: the final model is the event share alone"
REFIT_SEPARATED = "refit after the LASSO separated: Firth's fit"
FINAL_SEPARATED = "final model separated: Firth's fit"
NO_INTERVAL = "-"


def baseline_record(result: StageResult) -> dict[str, Any]:
    """Everything the summary says, as numbers and texts.

    Parameters
    ----------
    result : StageResult

    Returns
    -------
    dict
        JSON-ready.
    """
    record, tables = result.record, result.tables
    inputs = record["inputs"]
    own = {"performance": _of_baseline(tables["performance"])}
    names = ("baseline_coefficients", "baseline_resamples")
    own |= {name: tables[name] for name in names if name in tables}
    return {
        **{key: value for key, value in record.items() if key not in {"inputs", "penalties"}},
        "workflow": inputs["baseline"],
        "settings": inputs["settings"],
        "resamples_asked": inputs["resamples"],
        "subsamples_asked": inputs["subsamples"],
        **record.get("penalties", {}),
        **{name: table_records(table) for name, table in own.items()},
        "models": _models(tables.get("model_frequencies")),
        "risk": _risk_record(tables["baseline_predictions"]),
        "reused": result.reused,
        "tables": [*tables, *(["lasso.json"] if record.get("penalties") else [])],
        "trusted": not result.problems,
        "run_folder": str(result.folder),
    }


def _of_baseline(performance: pd.DataFrame) -> pd.DataFrame:
    return performance[performance["model"] == "baseline"].dropna(axis="columns", how="all")


def _models(table: pd.DataFrame | None) -> dict[str, Any] | None:
    """How often final models recur, by scheme."""
    if table is None or table.empty:
        return None
    return {
        str(scheme): {
            "distinct": len(part),
            "resamples": int(part["resamples"].sum()),
            "most_frequent_share": float(part["share"].max()),
            "same_as_final_share": float(part.loc[part["same_as_final"], "share"].sum()),
        }
        for scheme, part in table.groupby("scheme", sort=False)
    }


def _risk_record(predictions: pd.DataFrame) -> dict[str, float | None]:
    part = predictions[predictions["set"] == "development"]
    widths = {
        "bootstrap": (part["upper"] - part["lower"]).median(),
        "wald": (part["wald_upper"] - part["wald_lower"]).median(),
    }
    return {
        f"median_width_{name}": float(value) if math.isfinite(value) else None
        for name, value in widths.items()
    }


def baseline_text(record: dict[str, Any]) -> str:
    """The baseline on one screen: workflow, final model, what the resamples say of it.

    Parameters
    ----------
    record : dict
        From `baseline_record`.
    """
    study = record["study"]
    blocks = [
        [f"{study['name']}  {study['title']}", *_workflow_lines(record)],
        _model_lines(record),
        _resample_lines(record),
        _performance_lines(record),
        _closing_lines(record),
    ]
    return screen(blocks)


def _workflow_lines(record: dict[str, Any]) -> list[str]:
    size, settings = record["development"], record["workflow"]
    asked = settings["folds"]
    fewer = "" if record["folds_used"] >= asked else f", {asked} folds asked for"
    steps = [f"{record['folds_used']}-fold cross-validated LASSO ({settings['loss']}{fewer})"]
    if settings["screen_p"] is not None:
        steps.insert(0, f"univariable screening P < {settings['screen_p']:g}")
    rule = "backward elimination by AIC"
    if settings["elimination"] is None:
        rule = f"P < {settings['p_enter']:g}" if settings["p_enter"] < 1 else "all of them kept"
    lines = [
        f"{size['patients']:,} patients, {size['events']:,} events, {size['columns']} columns",
        *wrap(f"workflow: {', '.join(steps)}, refit, {rule}, final model", WIDTH),
    ]
    kept = sum(row["selected_lasso"] for row in _terms(record))
    final = sum(row["selected_final"] for row in _terms(record))
    if record["lambda"] is not None:
        name = "lambda.min" if settings["rule"] == "min" else "lambda.1se"
        lines.append(
            f"LASSO at {name} {record['lambda']:.4g} keeps {kept} columns; the final model {final}"
        )
    return lines + _separation_lines(record) + _hauck_donner_lines(record)


def _terms(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in record["baseline_coefficients"] if row["term"] != INTERCEPT]


def _separation_lines(record: dict[str, Any]) -> list[str]:
    lines = []
    for step, name in (("selected_lasso", "refit"), ("selected_final", "final model")):
        found = record["separation"][step]
        why = f"{found['kind']} separation by {', '.join(found['terms'])}"
        if found["kind"] == "none":
            why = "maximum likelihood did not converge"
        if found["firth"]:
            lines.append(f"{name}: {why}; estimates are Firth's, risks those of FLAC")
    return lines


def _hauck_donner_lines(record: dict[str, Any]) -> list[str]:
    lines = []
    for row in _terms(record):
        if row["hauck_donner"]:
            wald, ratio = row["refit_p"], row["refit_p_likelihood_ratio"]
            why = ""
            if ratio < FAR_APART * wald:
                why = " (Hauck-Donner: Wald's test fails where an effect is strong)"
            lines.append(
                f"{row['term']}: dropped by Wald's P {wald:.3g}, though the likelihood ratio gives "
                f"P {ratio:.3g}{why}"
            )
    return lines


def _model_lines(record: dict[str, Any]) -> list[str]:
    level = f"{record['settings']['interval']:.0%}"
    shown = [row for row in _terms(record) if row["selected_final"]]
    lines = [
        padded("", LABEL)
        + f"{'odds ratio':>10}  {f'{level} {_naive(record)}':>18}  {f'{level} bootstrap':>18}"
        + f"  {'at 1':>5}  {'selected':>8}"
    ]
    lines += [_term_line(row, _naive(record).lower()) for row in shown]
    if not shown:
        lines.append("The final model has no predictor: everybody has the event share as risk.")
    others = sorted(
        (row for row in _terms(record) if not row["selected_final"]),
        key=lambda row: -(row["selection_frequency"] or 0),
    )
    often = [row for row in others if (row["selection_frequency"] or 0) >= OFTEN]
    if often:
        named = ", ".join(
            f"{row['term']} {row['selection_frequency']:.2f}" for row in often[:LISTED_AT_MOST]
        )
        lines.append(f"not in the model, yet selected in many subsamples: {named}")
    if record["resamples_asked"]:
        lines += [
            f"The {_naive(record)} interval ignores the selection, the bootstrap repeats it with",
            "the whole workflow. at 1: share of resamples without the term; selected: share of",
            f"{record['subsamples_asked']} subsamples with it. Neither interval promises coverage.",
        ]
    return lines


def _naive(record: dict[str, Any]) -> str:
    """Which limits stand for those that such papers print: profile limits of a Firth fit."""
    return "profile" if record["separation"]["selected_final"]["firth"] else "Wald"


def _term_line(row: dict[str, Any], naive: str) -> str:
    label = row["label"] + ("" if row["per"] == 1 else f" (per {row['per']:g})")
    slight = row["odds_ratio"] is not None and abs(math.log(row["odds_ratio"])) < SLIGHT
    places = 4 if slight else 2
    return (
        padded(fitted(label, LABEL - 1), LABEL)
        + f"{_ratio(row['odds_ratio'], places):>10}  {_limits(row, naive, places):>18}"
        + f"  {_limits(row, 'boot', places):>18}  {_share(row['boot_zero']):>5}"
        + f"  {_share(row['selection_frequency']):>8}"
    )


def _limits(row: dict[str, Any], kind: str, places: int) -> str:
    lower, upper = (row[f"odds_ratio_{kind}_{end}"] for end in ("lower", "upper"))
    if lower is None or upper is None:
        return NO_INTERVAL
    return f"{_ratio(lower, places)} to {_ratio(upper, places)}"


def _ratio(value: float | None, places: int) -> str:
    if value is None:  # no float holds it
        return NO_INTERVAL
    return f"{value:.{places}f}" if 0.01 <= value < 1000 else f"{value:.1g}"


def _share(value: float | None) -> str:
    return NO_INTERVAL if value is None else f"{value:.2f}"


def _resample_lines(record: dict[str, Any]) -> list[str]:
    """What became of the resamples, and how often the same model came out."""
    if "baseline_resamples" not in record:
        return ["no resamples: no bootstrap limits, no selection frequencies"]
    counts = {
        row["what"]: row
        for row in record["baseline_resamples"]
        if row["scheme"] == "bootstrap" and row["resamples"]
    }
    total = sum(row["resamples"] for row in counts.values() if row["what"] in _exclusive())
    fitted_count = counts.get(MODEL, {"resamples": 0})["resamples"]
    lines = [f"{total:,} resamples of the whole workflow: {fitted_count:,} kept a predictor"]
    lines += [
        f"  {row['resamples']:,} ({row['share']:.1%}): {what}"
        for what, row in counts.items()
        if what != MODEL
    ]
    models = record["models"]
    if models and "bootstrap" in models:
        found = models["bootstrap"]
        said = (
            f"{found['distinct']:,} different final models in {found['resamples']:,} resamples, "
            "that without predictors counted; the most frequent in "
            f"{found['most_frequent_share']:.1%}, the one above in "
            f"{found['same_as_final_share']:.1%}"
        )
        lines += wrap(said, WIDTH)
    return lines


def _exclusive() -> tuple[str, ...]:
    from bayes_cmvt.pipeline import STATUSES

    return tuple(STATUSES.values())


def _performance_lines(record: dict[str, Any]) -> list[str]:
    """One line for each metric, one column for each way to judge; then risks."""
    found: dict[tuple[str, str], dict[str, Any]] = {
        (row["metric"], row["method"]): row
        for row in record["performance"]
        if row["set"] != "external"
        and (row["interval_of"] == "patients" or row["method"].startswith("optimism"))
    }
    methods = [name for name in METHODS if any(method == name for _, method in found)]
    lines = [" " * METRIC + "".join(padded(METHODS[name], CELL) for name in methods).rstrip()]
    for metric, label in LISTED.items():
        cells = [padded(_cell(found.get((metric, name))) + " ", CELL) for name in methods]
        lines.append((padded(label, METRIC) + "".join(cells)).rstrip())
    if "optimism_corrected" in methods:
        lines += [
            "Brackets are over patients; where repeated, of resamples' models on their own",
            "resample, less the optimism.",
        ]
    widths = record["risk"]
    if widths["median_width_bootstrap"] is not None:
        lines.append(
            f"median width of a patient's interval: {widths['median_width_bootstrap']:.2f} over "
            f"resamples, {widths['median_width_wald']:.2f} by Wald, who ignores the selection"
        )
    return lines


def _cell(row: dict[str, Any] | None) -> str:
    if row is None or row["estimate"] is None:
        return NO_INTERVAL
    limits = [row[name] for name in ("lower", "upper")]
    if None in limits or row["interval_of"] != "patients":
        return _two_places(row["estimate"])
    lower, upper = map(_two_places, limits)
    return f"{_two_places(row['estimate'])} ({lower} to {upper})"


def _two_places(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"


def _closing_lines(record: dict[str, Any]) -> list[str]:
    lines = [f"run folder: {record['run_folder']}"]
    if record["reused"]:
        lines.append(
            "The tables were made before from the same inputs; --overwrite makes them anew."
        )
    return [*lines, *wrap(f"tables: {', '.join(record['tables'])}", WIDTH)]
