"""What ``bayes-cmvt validate`` prints: a record for JSON, and the record as a screen of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from bayes_cmvt.intervals import tails
from bayes_cmvt.runs import table_records
from bayes_cmvt.textwidth import padded, screen

if TYPE_CHECKING:
    from bayes_cmvt.stages import StageResult

LISTED = {
    "auc": "AUC",
    "auc_delong_logit": "AUC, DeLong (logit)",
    "leave_pair_out_auc": "AUC, leave-pair-out",
    "calibration_slope": "calibration slope",
    "recalibration_slope": "slope, model-based",
    "calibration_in_the_large": "calibration-in-the-large",
    "integrated_calibration_index": "calibration error (ICI)",
    "brier_score": "Brier score",
    "scaled_brier_score": "scaled Brier score",
    "log_score": "log score",
    "youden": "Youden's threshold",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "net_benefit": "net benefit",
}
MODEL = "horseshoe"
METHODS = {
    "apparent": "as it stands",
    "kfold": "cross-validated",
    "loo": "left out",
    "holdout": "new patients",
}
ERROR = "integrated_calibration_index"
OTHER_MODELS = {
    "baseline": "The frequentist baseline",
    "projection": "The projected submodel",
}
COMPARED = ("auc", "calibration_slope", "brier_score", "log_score")
USEFUL, FEW = 0.95, 20
LABEL, CELL = 26, 25


def validation_record(result: StageResult) -> dict[str, Any]:
    """Everything the summary says, as numbers and texts.

    Parameters
    ----------
    result : StageResult

    Returns
    -------
    dict
        JSON-ready.
    """
    record = result.record
    sets = set(record["sets"])
    tables = {
        name: table_records(_about(table, sets))
        for name, table in result.tables.items()
        if name not in {"calibration", "roc", "splits"}
        and (name != "updating" or record["inputs"]["update"])
    }
    return {
        **{key: value for key, value in record.items() if key != "inputs"},
        "settings": record["inputs"]["settings"],
        "data": record["inputs"]["data"]["file"],
        "reused": result.reused,
        **tables,
        "other_models": _of_other_models(result, sets),
        "splits": _split_limits(result) if "development" in sets else None,
        "tables": list(result.tables),
        "trusted": not result.problems,
        "run_folder": str(result.folder),
    }


def _about(table: pd.DataFrame, sets: set[str]) -> pd.DataFrame:
    """Rows of the posterior's model, of treating all and none, and of the sets judged."""
    kept = pd.Series(True, index=table.index)
    for name, allowed in (
        ("set", sets),
        ("model", {MODEL}),
        ("strategy", {MODEL, "treat_all", "treat_none"}),
    ):
        if name in table:
            kept &= table[name].isin(allowed)
    return table[kept]


def _of_other_models(
    result: StageResult, sets: set[str]
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Figures of other models on other patients, and how far the posterior's differ, by model."""
    if "performance_difference" not in result.tables or "external" not in sets:
        return {}
    table, gaps = result.tables["performance"], result.tables["performance_difference"]
    paired = gaps[gaps["model_a"] == MODEL]
    return {
        name: {
            "performance": table_records(
                table[(table["model"] == name) & (table["set"] == "external")]
            ),
            "difference": table_records(paired[paired["model_b"] == name]),
        }
        for name in OTHER_MODELS
        if (paired["model_b"] == name).any()
    }


def _split_limits(result: StageResult) -> dict[str, dict[str, float]] | None:
    """Where 95 % of the splits lie, and their median, for each metric."""
    if "splits" not in result.tables:
        return None
    table = result.tables["splits"].drop(columns=["model", "split", "patients", "event"])
    lower, upper = tails(result.record["inputs"]["settings"]["interval"])
    limits = table.quantile([lower, 0.5, upper])
    return {
        str(name): {"lower": float(low), "median": float(middle), "upper": float(high)}
        for name, (low, middle, high) in limits.items()
    }


def validation_text(record: dict[str, Any]) -> str:
    """The evaluation on one screen: each figure with its interval, and how to read it.

    Parameters
    ----------
    record : dict
        From `validation_record`.
    """
    study = record["study"]
    blocks = [[f"{study['name']}  {study['title']}", *_how(record)]]
    blocks += [_set_lines(record, called) for called in record["sets"]]
    blocks += [_left_out_lines(record), _split_lines(record), _utility_lines(record)]
    blocks += [_update_lines(record), _closing_lines(record)]
    return screen(blocks)


def _how(record: dict[str, Any]) -> list[str]:
    level = f"{record['settings']['interval']:.0%}"
    return [
        "What is judged is the posterior-mean risk, a fixed rule; the "
        f"{level} intervals are over patients.",
    ]


def _set_lines(record: dict[str, Any], called: str) -> list[str]:
    """One line for each metric, one column for each method."""
    size = record["sets"][called]
    rows = [
        row
        for row in record["performance"]
        if row["set"] == called and row["interval_of"] == "patients"
    ]
    methods = [method for method in METHODS if any(row["method"] == method for row in rows)]
    source = f", {record['data']}" if called == "external" else ""
    heading = f"{called}: {size['patients']:,} patients, {size['events']:,} events{source}"
    columns = "".join(padded(METHODS[method], CELL) for method in methods)
    lines = [heading, (" " * LABEL + columns).rstrip()]
    for metric, label in LISTED.items():
        found = {row["method"]: row for row in rows if row["metric"] == metric}
        if not found:
            continue
        first = next(iter(found.values()))
        at = "" if first["threshold"] is None else f" at {first['threshold']:.3g}"
        if metric in {"sensitivity", "specificity"} and first["threshold"] is None:
            at = ", Youden's"
        cells = [_cell(found.get(method)) for method in methods]
        lines.append((padded(label + at, LABEL) + "".join(padded(c, CELL) for c in cells)).rstrip())
    lines += _caution_lines(size, rows) + _calibrated_lines(rows)
    others = record["other_models"].items() if called == "external" else ()
    return lines + [line for name, found in others for line in _other_lines(name, found)]


def _other_lines(name: str, found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Another model on the same patients, and the paired differences."""
    lines = [f"{OTHER_MODELS[name]} on the same patients, and horseshoe minus {name}:"]
    own = {row["metric"]: row for row in found["performance"] if row["interval_of"] == "patients"}
    difference = {row["metric"]: row for row in found["difference"]}
    for metric in COMPARED:
        cells = (_cell(own[metric]), _cell(difference[metric]))
        label = padded(LISTED[metric], LABEL)
        lines.append((label + "".join(padded(cell, CELL) for cell in cells)).rstrip())
    return lines


def _caution_lines(size: dict[str, int], rows: list[dict[str, Any]]) -> list[str]:
    """Say what makes all figures above doubtful."""
    lines = []
    rarer = min(size["events"], size["patients"] - size["events"])
    if rarer < FEW:
        lines.append(f"Only {rarer} patients of the rarer outcome: these figures say little.")
    if any(row["metric"] == "auc" and (row["upper"] or 1) < 0.5 for row in rows):
        lines.append("An AUC below 0.5: is the event of these patients coded the other way round?")
    return lines


def _calibrated_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Say how large the calibration error of right risks is: it is never 0."""
    expected = [row["if_calibrated"] for row in rows if row["metric"] == ERROR]
    if not expected or expected[-1] is None:
        return []
    return [f"Right risks would have an ICI of {expected[-1]:.3f} here; resampling adds to it."]


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    estimate, lower, upper = (_shown(row[name]) for name in ("estimate", "lower", "upper"))
    return f"{estimate} ({lower} to {upper})"


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _left_out_lines(record: dict[str, Any]) -> list[str]:
    if "loo" not in record:
        return []
    loo, pairs = record["loo"], record["pairs"]
    lines = ["As it stands the rule has seen these patients: quote the other columns."]
    lines.append(
        f"left out one by one: elpd {loo['elpd']:.1f} (SE {loo['se']:.1f}); "
        + (
            f"{loo['refitted']} patients with a high k-hat were left out by fitting again"
            if loo["bad_k"]
            else "all k-hat are good"
        )
    )
    drawn = "" if pairs["evaluated"] == pairs["pairs"] else f" of {pairs['pairs']:,}, at random"
    lines.append(
        f"left out in pairs: {pairs['evaluated']:,}{drawn}; {pairs['bad_k']:,} with a high k-hat"
    )
    return lines


def _split_lines(record: dict[str, Any]) -> list[str]:
    limits = record["splits"]
    if limits is None:
        return []
    count = record["settings"]["splits"]
    ranges = " and ".join(
        f"{label} {limits[name]['lower']:.2f} to {limits[name]['upper']:.2f}"
        for name, label in (("auc", "AUC"), ("calibration_slope", "slope"))
    )
    return [
        f"Split 7:3 at random, the smaller part shows {ranges}, by luck of the",
        f"split alone ({record['settings']['interval']:.0%} of {count} splits: tables/splits.csv).",
    ]


def _utility_lines(record: dict[str, Any]) -> list[str]:
    """At which thresholds acting on the risks is useful, set by set."""
    lines = []
    for called in record["sets"]:
        rows = [
            row
            for row in record["net_benefit"]
            if row["set"] == called and row["prob_useful"] is not None
        ]
        if not rows:
            continue
        useful = [r["threshold"] for r in rows if r["prob_useful"] >= USEFUL and not r["note"]]
        span = f"{rows[0]['threshold']:g} to {rows[-1]['threshold']:g}"
        method = METHODS[rows[0]["method"]]
        lines.append(f"  {called} ({method}): {_stretches(useful, rows)} of {span}")
    heading = (
        f"better than treating all and none, with probability {USEFUL:g} or more, at thresholds"
    )
    return [heading, *lines] if lines else []


def _stretches(useful: list[float], rows: list[dict[str, Any]]) -> str:
    """Neighbouring thresholds as one stretch.

    Examples
    --------
    >>> _stretches([0.1, 0.2, 0.4], [{"threshold": t} for t in (0.1, 0.2, 0.3, 0.4)])
    '0.1 to 0.2, 0.4'
    """
    stretches: list[list[float]] = []
    previous = None
    for row in rows:
        threshold = row["threshold"]
        if threshold in useful:
            if stretches and previous == stretches[-1][-1]:
                stretches[-1].append(threshold)
            else:
                stretches.append([threshold])
        previous = threshold
    ends = [f"{one[0]:g} to {one[-1]:g}" if len(one) > 1 else f"{one[0]:g}" for one in stretches]
    return ", ".join(ends) or "none"


def _update_lines(record: dict[str, Any]) -> list[str]:
    updates = record.get("updating")
    if not updates:
        return []
    width = max(len(row["update"]) for row in updates)
    lines = [f"{'update':<{width}}  elpd of new patients, difference (SE)"]
    for row in updates:
        name = f"{row['update']:<{width}}"
        if row["elpd"] is None:
            lines.append(f"{name}  {row['note'].partition(';')[0]}")
        elif row["elpd_diff_se"]:
            difference = f"{row['elpd_diff']:+.1f} ({row['elpd_diff_se']:.1f})"
            lines.append(f"{name}  {row['elpd']:.1f}  {difference}")
        else:
            lines.append(f"{name}  {row['elpd']:.1f}")
    return [
        *lines,
        "A difference below 4, or within twice its SE, is of no account: tables/updating.csv",
    ]


def _closing_lines(record: dict[str, Any]) -> list[str]:
    lines = [f"run folder: {record['run_folder']}"]
    if record["reused"]:
        lines.append(
            "The tables were made before from the same inputs; --overwrite makes them anew."
        )
    return [*lines, f"tables: {', '.join(record['tables'])}"]
