"""What ``bayes-cmvt compare`` prints: a record for JSON, and the record as a screen of text."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any

from bayes_cmvt.comparison_words import comparison_paragraph
from bayes_cmvt.runs import table_records
from bayes_cmvt.textwidth import fitted, padded, screen

if TYPE_CHECKING:
    import pandas as pd

    from bayes_cmvt.stages import StageResult

WIDTH = 104
LABEL, CELL = 34, 22
LISTED_AT_MOST = 10
FIGURE, LAST = 38, "  width ratio"
SCALE, WIDTHS_SCALE = "odds_ratio", "std_log_odds"
METHODS = {
    "kfold": "cross-validated",
    "loo": "left out",
    "holdout": "new patients",
    "apparent": "as it stands",
    "optimism_corrected": "workflow repeated",
}
NAMES = {
    "auc": "AUC",
    "calibration_in_the_large": "calibration-in-the-large",
    "calibration_slope": "calibration slope",
    "integrated_calibration_index": "calibration error (ICI)",
    "brier_score": "Brier score",
    "scaled_brier_score": "scaled Brier score",
    "log_score": "log score",
}
KINDS = ("credible", "bootstrap", "wald")
PRIVATE = ("compare_risks", "instability_patients")


def comparison_record(result: StageResult) -> dict[str, Any]:
    """Everything the summary says, as numbers and texts.

    Parameters
    ----------
    result : StageResult

    Returns
    -------
    dict
        JSON-ready; without rows of patients.
    """
    tables = result.tables
    agreement = tables["compare_agreement"]
    shown = ("compare_coefficients", "compare_performance", "compare_classes", "compare_agreement")
    return {
        **{key: value for key, value in result.record.items() if key not in {"inputs", "files"}},
        "interval": float(agreement["interval"].iloc[0]),
        "paragraph": list(comparison_paragraph(agreement)),
        **{name: table_records(tables[name]) for name in shown},
        "most_different": _most_different(tables["compare_coefficients"]),
        "reused": result.reused,
        "tables": list(tables),
        "private": [name for name in PRIVATE if name in tables],
        "trusted": not result.problems,
        "run_folder": str(result.folder),
    }


def _most_different(coefficients: pd.DataFrame) -> list[str]:
    """Terms to be printed: selected by the workflow, or kept most by the posterior."""
    own = coefficients[coefficients["scale"] == SCALE]
    ranked = own.assign(wanted=own["selected"].astype(float) + own["kept"].fillna(1.0))
    return ranked.nlargest(LISTED_AT_MOST, "wanted", keep="first")["term"].tolist()


def comparison_text(record: dict[str, Any]) -> str:
    """The comparison on one screen: effects, performance, and what follows in plain words.

    Parameters
    ----------
    record : dict
        From `comparison_record`.
    """
    study = record["study"]
    return screen(
        [
            [f"{study['name']}  {study['title']}"],
            _coefficient_lines(record),
            _performance_lines(record),
            [line for sentence in record["paragraph"] for line in wrap(sentence, WIDTH)],
            _closing_lines(record),
        ]
    )


def _coefficient_lines(record: dict[str, Any]) -> list[str]:
    rows = [row for row in record["compare_coefficients"] if row["scale"] == SCALE]
    by_term = {row["term"]: row for row in rows}
    # of odds ratios the wide end would decide: widths are compared as the words do, in log-odds
    ratios = {
        row["term"]: row["width_ratio"]
        for row in record["compare_coefficients"]
        if row["scale"] == WIDTHS_SCALE
    }
    level = f"{100 * record['interval']:g}%"
    heads = (f"{level} credible", f"{level} bootstrap", f"{level} Wald")
    lines = [padded("odds ratio", LABEL) + "".join(head.rjust(CELL) for head in heads) + LAST]
    for term in record["most_different"]:
        row, ratio = by_term[term], ratios.get(term)
        cells = "".join(_cell(row, kind).rjust(CELL) for kind in KINDS)
        shown = "-" if ratio is None else f"{ratio:.2f}"
        label = padded(fitted(row["label"], LABEL - 1), LABEL)
        lines.append(label + cells + shown.rjust(len(LAST)))
    more = len(rows) - len(record["most_different"])
    if more > 0:
        lines.append(f"{more} more: tables/compare_coefficients.csv")
    return [*lines, "width ratio: credible over bootstrap, in log-odds; neither width is a merit"]


def _cell(row: dict[str, Any], kind: str) -> str:
    lower, upper = row[f"{kind}_lower"], row[f"{kind}_upper"]
    if lower is None or upper is None:
        return "-"
    estimate = row.get(f"{kind}_estimate")
    limits = f"{lower:.2f} to {upper:.2f}"
    return limits if estimate is None else f"{estimate:.2f} ({limits})"


def _performance_lines(record: dict[str, Any]) -> list[str]:
    lines = [padded("", FIGURE) + "posterior".rjust(CELL + 2) + "workflow".rjust(CELL + 2)]
    for row in record["compare_performance"]:
        name = padded(f"{NAMES[row['metric']]}, {row['set']}", FIGURE)
        cells = "".join(_cell(row, kind).rjust(CELL + 2) for kind in ("credible", "bootstrap"))
        how = dict.fromkeys(
            METHODS.get(row[f"{kind}_method"], "") for kind in ("credible", "bootstrap")
        )
        lines.append(f"{name}{cells}  {', '.join(filter(None, how))}".rstrip())
    return lines if len(lines) > 1 else []


def _closing_lines(record: dict[str, Any]) -> list[str]:
    folder = record["run_folder"]
    names = [name for name in record["tables"] if name not in record["private"]]
    again = "; nothing had changed" if record["reused"] else ""
    return [
        f"run folder: {folder}{again}",
        *wrap(f"tables: {', '.join(names)}", WIDTH),
        f"private, with a row for each patient: {', '.join(record['private'])}",
        f"next: bayes-cmvt figures {folder}, bayes-cmvt report {folder}",
    ]
