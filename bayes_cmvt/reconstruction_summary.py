"""What ``reconstruct`` made: a record, and a screen with the table of agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from bayes_cmvt.runs import table_records
from bayes_cmvt.synthetic import NOTICE
from bayes_cmvt.textwidth import fitted, padded, screen

if TYPE_CHECKING:
    from bayes_cmvt.reconstruction_run import ReconstructResult

WIDTH = 100
QUANTITY_WIDTH = 56


def reconstruction_record(result: ReconstructResult) -> dict[str, Any]:
    """Everything the summary says, as numbers and texts.

    Parameters
    ----------
    result : ReconstructResult

    Returns
    -------
    dict
        JSON-ready; what ``--json`` prints.
    """
    made = [one for one in result.made if one is not None]
    attempts = sum(one.attempts for one in made)
    return {
        "study": result.study.name,
        "title": result.study.heading.title,
        "synthetic": True,
        "files": [
            file for file, one in zip(result.files, result.made, strict=True) if one is not None
        ],
        "copies": len(result.made),
        "attempts": attempts,
        "rejected": [list(misses) for one in made for misses in one.rejected],
        "refused": list(result.refused),
        "agrees": all(one.agrees for one in made),
        **{name: table_records(table) for name, table in result.tables.items()},
        "seconds": result.seconds,
        "run_folder": str(result.folder),
    }


def reconstruction_text(record: Mapping[str, Any]) -> str:
    """The summary as a screen of text.

    Parameters
    ----------
    record : dict
        From `reconstruction_record`.
    """
    return screen(
        [
            [
                f"{record['study']}  {record['title']}",
                *wrap(NOTICE, WIDTH, initial_indent="  ", subsequent_indent="  "),
            ],
            _agreement_lines(record) if record["copies"] == 1 else _copy_lines(record),
            _conclusion_lines(record),
            _attempt_lines(record),
            _closing_lines(record),
        ]
    )


def _agreement_lines(record: Mapping[str, Any]) -> list[str]:
    lines = [
        padded("agreement with the print", QUANTITY_WIDTH)
        + f"{'printed':>8}{'achieved':>13}  {'tolerance':<29}agrees"
    ]
    for row in record["agreement"]:
        printed, achieved = str(row["printed"] or "-"), row["achieved"]
        value = "-" if achieved is None else f"{achieved:.6g}"
        tolerance = fitted(str(row["tolerance"]), 28)
        agrees = {True: "yes", False: "NO"}.get(row["agrees"], "")
        lines.append(
            padded(fitted(row["quantity"], QUANTITY_WIDTH - 1), QUANTITY_WIDTH)
            + f"{fitted(printed, 7):>8}{value:>13}  {tolerance:<29}{agrees}"
        )
    return lines


def _copy_lines(record: Mapping[str, Any]) -> list[str]:
    lines = [f"{'file':<30}{'events':<12}{'correlation':>12}{'attempts':>10}   agrees"]
    for row in record["reconstructions"]:
        if row["scenario"] is None:
            lines.append(f"{row['file']:<30}could not be made")
            continue
        lines.append(
            f"{row['file']:<30}{row['scenario']:<12}{row['correlation']:>12.2f}"
            f"{row['attempts']:>10.0f}   {'yes' if row['agrees'] else 'NO'}"
        )
    return [*lines, "each quantity of each copy: tables/agreement.csv"]


def _conclusion_lines(record: Mapping[str, Any]) -> list[str]:
    """How far what is concluded depends on what the print leaves open."""
    rows = record.get("reconstruction_conclusions", [])
    if not rows:
        return []
    lines = [
        padded("under the horseshoe, over the copies", 40)
        + f"{'odds ratio (medians)':<24}{'lower limits':<20}P(OR > 1)"
    ]
    for label in dict.fromkeys(row["label"] for row in rows):
        of_it = [row for row in rows if row["label"] == label]
        lines.append(
            padded(fitted(label, 39), 40)
            + f"{_ends(of_it, 'odds_ratio'):<24}{_ends(of_it, 'odds_ratio_lower'):<20}"
            + _ends(of_it, "prob_positive")
        )
    width = _ends(rows, "median_width")
    return [*lines, f"median width of a patient's 95% interval: {width}"]


def _ends(rows: Sequence[Mapping[str, Any]], column: str) -> str:
    values = [row[column] for row in rows]
    return f"{min(values):.2f} to {max(values):.2f}"


def _attempt_lines(record: Mapping[str, Any]) -> list[str]:
    rejected, attempts = len(record["rejected"]), record["attempts"]
    text = (
        f"{attempts} attempts, {rejected} rejected ({rejected / attempts:.0%}) because a target "
        f"was missed; {record['seconds']:.1f} s"
    )
    return [text, *(f"  missed: {', '.join(misses)}" for misses in record["rejected"][:5])]


def _closing_lines(record: Mapping[str, Any]) -> list[str]:
    folder = record["run_folder"]
    return [
        f"run folder: {folder}",
        f"what is assumed: {folder}/assumptions.md",
        f"next: bayes-cmvt sample {folder}/study.toml",
    ]
