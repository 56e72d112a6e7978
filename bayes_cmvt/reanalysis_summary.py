"""What ``figures``, ``report``, ``sensitivity`` and ``reanalyse`` print: records and texts."""

from __future__ import annotations

import math
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from bayes_cmvt.comparison_words import comparison_paragraph
from bayes_cmvt.runs import table_records
from bayes_cmvt.textwidth import padded, screen

if TYPE_CHECKING:
    from bayes_cmvt.reanalysis_run import Reanalysis
    from bayes_cmvt.stages import StageResult

WIDTH = 104
SENSITIVE = 0.05  # Kallioinen et al. 2024: from here on power-scaling calls a quantity sensitive
PRIORS = {
    "as_analysed": "as analysed",
    "half_expected": "half as many expected",
    "double_expected": "twice as many expected, at most",
    "normal": "normal, scale 2.5 per SD",
    "student_t": "Student-t, 4 df, scale 2.5 per SD",
}
NAME, FIGURE = 18, 26


def _common(result: StageResult) -> dict[str, Any]:
    return {
        **{key: value for key, value in result.record.items() if key != "inputs"},
        "reused": result.reused,
        "trusted": not result.problems,
        "run_folder": str(result.folder),
    }


def _again(record: dict[str, Any]) -> str:
    return "; nothing had changed" if record["reused"] else ""


# --- figures -------------------------------------------------------------------------------------


def figures_record(result: StageResult) -> dict[str, Any]:
    """Which figures were drawn, which were left out and why.

    Parameters
    ----------
    result : StageResult
    """
    return _common(result)


def figures_text(record: dict[str, Any]) -> str:
    """The figures on one screen.

    Parameters
    ----------
    record : dict
        From `figures_record`.
    """
    private = set(record["private"])
    lines = [
        padded(name, FIGURE) + title + ("; private" if name in private else "")
        for name, title in record["figures"].items()
    ]
    missing = [f"left out: {name}: {why}" for name, why in record["left_out"].items()]
    kinds = ", ".join([*record["formats"], "csv"])
    folder = record["run_folder"]
    count = len(record["figures"])
    closing = [
        f"{count} {'figure' if count == 1 else 'figures'} in {folder}/figures ({kinds})"
        + _again(record)
    ]
    if any("contact_sheet" in file for file in record["files"]):
        shown = count - len(private)
        closing.append(f"{shown} of them at a glance: {folder}/figures/contact_sheet.png")
    if private:
        closing.append("private, with a mark for each patient: those whose names end in _patients")
    return screen([lines, missing, closing])


# --- the report ----------------------------------------------------------------------------------


def report_record(result: StageResult) -> dict[str, Any]:
    """Which files were written, and how large they are.

    Parameters
    ----------
    result : StageResult
    """
    return _common(result)


def report_text(record: dict[str, Any]) -> str:
    """Where the report is.

    Parameters
    ----------
    record : dict
        From `report_record`.
    """
    folder = record["run_folder"]
    return "\n".join(
        f"report: {folder}/{name} ({size / 1e6:.1f} MB){_again(record)}"
        for name, size in record["files"].items()
    )


# --- other priors --------------------------------------------------------------------------------


def sensitivity_record(result: StageResult) -> dict[str, Any]:
    """What other priors would have changed, as numbers.

    Parameters
    ----------
    result : StageResult
    """
    names = ("sensitivity_fits", "sensitivity_power")
    tables = {name: table_records(result.tables[name]) for name in names}
    return _common(result) | tables | {"tables": list(result.tables)}


def sensitivity_text(record: dict[str, Any]) -> str:
    """What other priors would have changed, on one screen.

    Parameters
    ----------
    record : dict
        From `sensitivity_record`.
    """
    heads = ("m_eff", "elpd less as analysed (SE)", "risks differ by, at most", "median width")
    widths = (22, 28, 26, 14)
    lines = [padded("prior", 34) + "".join(h.rjust(w) for h, w in zip(heads, widths, strict=True))]
    for row in record["sensitivity_fits"]:
        cells = (
            _limits(row, "m_eff"),
            _pair(row["elpd_diff"], row["elpd_diff_se"], 1),
            _spread(row["risk_mean_difference"], row["risk_largest_difference"]),
            _number(row["median_width"], 3),
        )
        shown = "".join(cell.rjust(w) for cell, w in zip(cells, widths, strict=True))
        distrusted = "" if row["trusted"] else "  draws not to be trusted"
        lines.append(padded(PRIORS.get(row["prior"], row["prior"]), 34) + shown + distrusted)
    sensitive = [row["label"] for row in record["sensitivity_power"] if row["prior"] >= SENSITIVE]
    named = ", ".join(sensitive[:8]) + (" and more" if len(sensitive) > 8 else "")
    note = (
        f"power-scaling: sensitive to the prior are {len(sensitive)} of "
        f"{len(record['sensitivity_power'])} quantities: {named}"
        if sensitive
        else "power-scaling: no quantity is sensitive to the prior"
    )
    folder = record["run_folder"]
    closing = [
        f"run folder: {folder}{_again(record)}",
        f"tables: {', '.join(record['tables'])}",
    ]
    return screen([lines, wrap(note, WIDTH), closing])


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _limits(row: dict[str, Any], name: str) -> str:
    ends = (_number(row[f"{name}{end}"], 1) for end in ("_lower", "_upper"))
    return f"{_number(row[name], 1)} ({' to '.join(ends)})"


def _pair(value: float | None, error: float | None, digits: int) -> str:
    return f"{_number(value, digits)} ({_number(error, digits)})"


def _spread(mean: float | None, largest: float | None) -> str:
    return f"{_number(mean, 3)}, {_number(largest, 3)}"


# --- everything ----------------------------------------------------------------------------------


def reanalysis_record(result: Reanalysis) -> dict[str, Any]:
    """What a reanalysis did, stage by stage, and what its comparison says.

    Parameters
    ----------
    result : Reanalysis
    """
    compared = result.results["compare"].tables["compare_agreement"]
    figures, report = result.results["figures"], result.results["report"]
    calculator = result.results["calculator"]
    return {
        "stages": [
            {"stage": one.name, "seconds": one.seconds, "reused": one.reused}
            for one in result.stages
        ],
        "seconds": round(sum(one.seconds for one in result.stages), 3),
        "paragraph": list(comparison_paragraph(compared)),
        "figures": dict(figures.record["figures"]),
        "left_out": dict(figures.record["left_out"]),
        "files": [*report.record["files"], *calculator.record["files"]],
        "trusted": not result.problems,
        "run_folder": str(result.folder),
    }


def reanalysis_text(record: dict[str, Any]) -> str:
    """A reanalysis on one screen.

    Parameters
    ----------
    record : dict
        From `reanalysis_record`.
    """
    stages = [
        padded(one["stage"], NAME)
        + ("as before" if one["reused"] else f"{one['seconds']:.1f} s").rjust(10)
        for one in record["stages"]
    ]
    folder = record["run_folder"]
    missing = [f"figure left out: {name}: {why}" for name, why in record["left_out"].items()]
    closing = [
        f"{len(record['figures'])} figures: {folder}/figures, at a glance in contact_sheet.png",
        f"report: {folder}/report.html",
        f"calculator: {folder}/calculator.html",
        f"run folder: {folder}, {record['seconds']:.0f} s in all",
    ]
    words = [line for sentence in record["paragraph"] for line in wrap(sentence, WIDTH)]
    return screen([stages, words, missing, closing])
