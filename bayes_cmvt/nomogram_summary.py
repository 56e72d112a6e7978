"""What ``nomogram`` and ``calculator`` print: a record for JSON, and a screen of text."""

from __future__ import annotations

import math
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayes_cmvt.pretty_values import number_text
from bayes_cmvt.runs import table_records
from bayes_cmvt.textwidth import fitted, padded, screen

if TYPE_CHECKING:
    from bayes_cmvt.stages import StageResult

WIDTH = 104
LABEL, VALUES = 40, 34
SEEN = 0.0005  # difference of risks that is worth a sentence
CALLED = {
    "horseshoe": "full posterior",
    "projection": "projected submodel",
    "baseline": "frequentist final model",
    "published": "printed model",
}
BANDS = {
    "credible": "credible intervals of the posterior",
    "bootstrap": "resampling intervals of the whole workflow; no guarantee after selection",
    "printed": "normal intervals from printed standard errors; correlations are not printed",
}


def nomogram_record(result: StageResult) -> dict[str, Any]:
    """Everything the summary says, as numbers and texts.

    Parameters
    ----------
    result : StageResult

    Returns
    -------
    dict
        JSON-ready; without the patient's distribution.
    """
    tables, record = result.tables, result.record
    options = record["inputs"]["options"]
    accuracy = tables["nomogram_accuracy"]
    told = {
        **{name: value for name, value in record.items() if name != "inputs"},
        "model": options["model"],
        "interval": options["interval"],
        "axes": _axes(tables["nomogram"]),
        "accuracy": {
            row["quantity"]: row["value"] for row in table_records(accuracy[["quantity", "value"]])
        },
        "patient_points": table_records(tables["nomogram_patient"])
        if "nomogram_patient" in tables
        else [],
        "patient_risk": table_records(tables["nomogram_patient_risk"])[0]
        if "nomogram_patient_risk" in tables
        else None,
    }
    return told | _ending(result)


def _ending(result: StageResult) -> dict[str, Any]:
    return {
        "reused": result.reused,
        "tables": list(result.tables),
        "trusted": not result.problems,
        "problems": list(result.problems),
        "run_folder": str(result.folder),
    }


def _axes(table: pd.DataFrame) -> list[dict[str, Any]]:
    """One row for each axis: its ends and its length in points."""
    rows = []
    for _, values in table.groupby("axis", sort=False):
        lowest, highest = (values.loc[values["points"].agg(end)] for end in ("idxmin", "idxmax"))
        rows.append(
            {
                "axis": lowest["axis"],
                "label": lowest["label"],
                "unit": lowest["unit"] if isinstance(lowest["unit"], str) else "",
                "lowest": _value(lowest["value"]),
                "highest": _value(highest["value"]),
                "length": float(lowest["length"]),
                "gathered": bool(lowest["gathered"]),
            }
        )
    return rows


def _value(value: object) -> str:
    """A value as it stands on its axis; a column of numbers alone is read back as numbers."""
    return number_text(value) if isinstance(value, float) else str(value)


def nomogram_text(record: dict[str, Any]) -> str:
    """The nomogram on one screen: axes, how exact it is, the patient.

    Parameters
    ----------
    record : dict
        From `nomogram_record`.
    """
    blocks = [
        _heading_lines(record),
        _axis_lines(record),
        _accuracy_lines(record),
        _patient_lines(record) if record["patient_risk"] else [],
        _file_lines(record),
    ]
    return screen(blocks)


def _heading_lines(record: dict[str, Any]) -> list[str]:
    lines = [record["title"], f"nomogram of the {CALLED[record['model']]} ({record['model']})"]
    lines.append(f"bands: {record['interval']:.0%} {BANDS[record['interval_kind']]}")
    if record["event_share_source"]:
        share = record["accuracy"]["event_share"]
        lines += wrap(
            f"No intercept is printed: the risk axis is anchored at an event share of {share:.1%} "
            f"({record['event_share_source']}) over the patients of this run.",
            WIDTH,
        )
    if record["without_error"]:
        lines += wrap(
            "no error is printed of, and no band drawn for: " + ", ".join(record["without_error"]),
            WIDTH,
        )
    return [*lines, *wrap(record["notice"], WIDTH)]


def _axis_lines(record: dict[str, Any]) -> list[str]:
    """Axes that are drawn, longest first."""
    drawn = [one for one in record["axes"] if not one["gathered"] and one["length"] > 0]
    lines = [padded("", LABEL) + padded("from 0 points … to most", VALUES) + "  points"]
    for one in drawn:
        unit = f" {one['unit']}" if one["unit"] else ""
        ends = f"{one['lowest']} … {one['highest']}{unit}"
        lines.append(
            padded(fitted(one["label"], LABEL - 2), LABEL)
            + padded(fitted(ends, VALUES), VALUES)
            + f"{one['length']:>8.1f}"
        )
    accuracy = record["accuracy"]
    gathered = [one["label"] for one in record["axes"] if one["gathered"]]
    if gathered:
        told = (
            f"{len(gathered)} short axes are gathered at their medians or commonest levels: "
            f"+{accuracy['gathered_points']:.1f} points, within the axes at most "
            f"±{accuracy['gathered_error_points']:.1f} points or "
            f"±{_at_most(accuracy['gathered_error_risk'])} of risk, for these patients at most "
            f"{_at_most(accuracy['gathered_error_largest'])}"
        )
        lines += wrap(told, WIDTH)
    nothing = sum(one["length"] == 0 for one in record["axes"])
    if nothing:
        told = "1 predictor has no points: the model does not use it"
        if nothing > 1:
            told = f"{nothing} predictors have no points: the model does not use them"
        lines.append(told)
    return lines


def _points(difference: float) -> str:
    return f"{_of_hundred(difference)} percentage points"


def _at_most(difference: float) -> str:
    """A bound in percentage points, rounded up."""
    return f"{math.ceil(1000 * difference - 1e-9) / 10:.1f} percentage points"


def _percent(share: float) -> str:
    return f"{_of_hundred(share)}%"


def _of_hundred(share: float) -> str:
    """A share in per cent, one decimal, below one per cent two digits."""
    return f"{100 * share:.1f}" if share >= 0.01 or share == 0 else f"{100 * share:.2g}"


def _accuracy_lines(record: dict[str, Any]) -> list[str]:
    accuracy = record["accuracy"]
    told = ""
    if accuracy["gap_largest"] >= SEEN:
        told = _gap_in_words(accuracy)
    if accuracy["outside_envelope"] is not None:
        told += (
            f"The exact interval of {_percent(accuracy['outside_envelope'])} of these "
            f"{_patients(accuracy)} patients leaves the drawn envelope, of "
            f"{_percent(accuracy['outside_envelope_left_out'])} where the patient has no part in "
            "it: for a single patient use --patient, or the calculator. "
        )
    if accuracy["beyond_axes"]:
        told += f"{_percent(accuracy['beyond_axes'])} of them have a value beyond an axis. "
    return wrap(told + "Limits of single axes do not add up to the limits of the risk.", WIDTH)


def _gap_in_words(accuracy: dict[str, Any]) -> str:
    return (
        f"The risks of the axis differ from those of `predict` by "
        f"{_points(accuracy['gap_median'])} (median) and {_at_most(accuracy['gap_largest'])} at "
        f"most, at most by {accuracy['gap_largest_share']:.0%} of the risk, over these "
        f"{_patients(accuracy)} patients with all their values; gathered axes come on top. "
    )


def _patients(accuracy: dict[str, Any]) -> str:
    part, whole = accuracy["patients"], accuracy["patients_of_cohort"]
    return f"{part:,.0f}" if part == whole else f"{part:,.0f} (of {whole:,.0f})"


def _patient_lines(record: dict[str, Any]) -> list[str]:
    risk, points = record["patient_risk"], record["patient_points"]
    told = f"{record['patient']}: {risk['total_points']:.1f} total points, "
    told += f"risk {_percent(risk['risk'])}"
    if risk["lower"] is not None:
        limits = f"{_percent(risk['lower'])} to {_percent(risk['upper'])}"
        told += f", {risk['interval']:.0%} interval {limits}"
    lines = [f"{told}; read off the axis {_percent(risk['central_risk'])}"]
    if record["interval_kind"] == "bootstrap":
        lines += wrap(
            "Resamples select other predictors too: values without points here may still change "
            "the interval, not the risk.",
            WIDTH,
        )
    assumed = [f"{one['label']} {_value(one['value'])}" for one in points if one["assumed"]]
    if assumed:
        lines += wrap(
            "assumed, because nothing was said (the interval does not hold this uncertainty): "
            + ", ".join(assumed),
            WIDTH,
        )
    beyond = [f"{one['label']} {_value(one['value'])}" for one in points if one["beyond"]]
    if beyond:
        told = "beyond its axis, where few patients were or none: "
        lines += wrap(told + ", ".join(beyond), WIDTH)
    return lines


def _file_lines(record: dict[str, Any]) -> list[str]:
    figures = [name for name in record["files"] if name.endswith(".pdf")]
    lines = [f"figure: {record['run_folder']}/{name}" for name in figures]
    lines.append(f"tables: {record['run_folder']}/tables/nomogram*.csv")
    if record["patient"]:
        lines.append("tables and figures of a patient are private: do not pass them on")
    if record["reused"]:
        lines.append("nothing has changed since it was made: the files are as they were")
    return lines


def calculator_record(result: StageResult) -> dict[str, Any]:
    """Everything the summary of a calculator says.

    Parameters
    ----------
    result : StageResult

    Returns
    -------
    dict
        JSON-ready.
    """
    return {**result.record, **_ending(result)}


def calculator_text(record: dict[str, Any]) -> str:
    """The calculator in a few lines: what it holds, where it is.

    Parameters
    ----------
    record : dict
        From `calculator_record`.
    """
    name = next(name for name in record["files"] if name.endswith(".html"))
    size = record["files"][name] / 1e6
    draws = f"{record['draws']:,} draws" if record["draws"] else "no draws: it gives no interval"
    told = (
        f"calculator of the {CALLED[record['model']]}: {record['predictors']} predictors, {draws}, "
        f"{size:.2f} MB, no patient in it, no network needed"
    )
    lines = [record["title"], *wrap(told, WIDTH), *wrap(record["notice"], WIDTH)]
    folder = record["run_folder"]
    others = [
        f"open in a browser: {folder}/{name}",
        f"the model as JSON, with programs in Python and R that read it: {folder}/model/",
    ]
    return screen([lines, others])
