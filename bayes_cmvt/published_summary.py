"""What printed results say, and how many patients a study would need: records and screens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from bayes_cmvt.runs import table_records
from bayes_cmvt.textwidth import fitted, padded, screen

if TYPE_CHECKING:
    from bayes_cmvt.published_run import StudyTables

WIDTH = 100
LABEL_WIDTH = 30
SHOWN_SCENARIOS = 6
NARROW = 0.2  # intervals of odds ratios below this width need a third decimal
LARGE = 10_000.0  # numbers from here on take a power of ten
SHOWN_PRIORS = ("weak", "moderate", "horseshoe")
VERDICTS = ("impossible", "cannot be told", "consistent")

type Record = Mapping[str, Any]


def tables_record(result: StudyTables) -> dict[str, Any]:
    """Everything that a command computed from a study file, as numbers and texts.

    Parameters
    ----------
    result : StudyTables

    Returns
    -------
    dict
        JSON-ready; what ``--json`` prints.
    """
    return {
        "study": result.study.name,
        "title": result.study.heading.title,
        "settings": dict(result.settings),
        **{name: table_records(table) for name, table in result.tables.items()},
        "sentences": list(result.sentences),
        "run_folder": str(result.folder),
    }


def published_text(record: Record) -> str:
    """The reanalysis of printed results as a screen of text, 100 columns wide.

    Parameters
    ----------
    record : dict
        From `tables_record`.
    """
    blocks = [
        [
            f"{record['study']}  {record['title']}",
            "  from printed results alone: no patient data were used",
        ],
        _effect_lines(record),
        _prior_lines(record),
        _declared_lines(record),
        _scenario_lines(record),
        _claim_lines(record),
        _information_lines(record),
        _response_lines(record),
        [line for sentence in record["sentences"] for line in wrap(sentence, WIDTH)],
        _closing_lines(record),
    ]
    return screen(blocks)


# Effects ------------------------------------------------------------------------------------------


def _effect_lines(record: Record) -> list[str]:
    rows = record.get("published", [])
    if not rows:
        return []
    lines = [
        padded("behind the print", LABEL_WIDTH)
        + f"{'odds ratio':>11}{'z':>8}{'SE':>8}   {'95% interval':<18}"
        + f"{_level(record)} given selection"
    ]
    for row in rows:
        lines.append(
            padded(fitted(row["label"], LABEL_WIDTH - 1), LABEL_WIDTH)
            + f"{_number(row['odds_ratio'], 3):>11}"
            + f"{_bounded(row):>8}"
            + f"{_number(row['se'], 3):>8}   "
            + f"{_interval(row['ci_lower'], row['ci_upper']):<18}"
            + _interval(row["conditional_lower"], row["conditional_upper"])
        )
    lines += _selection_lines(record)
    rounding = {(one["term"], one["quantity"]): one for one in record["published_rounding"]}
    widest = max(
        (one for one in rounding.values() if one["quantity"] == "se" and one["lowest"]),
        key=lambda one: one["highest"] / one["lowest"],
        default=None,
    )
    if widest is not None:
        lines += wrap(
            f"Rounding of what is printed leaves every figure an interval: widest for the standard "
            f"error of {_label(rows, widest['term'])}, {widest['lowest']:.3f} to "
            f"{widest['highest']:.3f} (tables/published_rounding.csv).",
            WIDTH,
        )
    notes: dict[str, list[str]] = {}
    for row in rows:
        if row["note"]:
            notes.setdefault(row["note"], []).append(row["label"])
    told = [wrap(f"{', '.join(labels)}: {note}.", WIDTH) for note, labels in notes.items()]
    return [*lines, *(line for one in told for line in one)]


def _selection_lines(record: Record) -> list[str]:
    """By which rule the intervals given selection take a term to have been selected."""
    settings = record["settings"]
    if settings["p_enter"] >= 1:
        return []
    whose = (
        "as the study declares"
        if settings["p_enter_declared"]
        else "our assumption: declare p_enter"
    )
    return wrap(
        f"Given selection: given that P was below {settings['p_enter']:g} in the final model "
        f"({whose}). Odds ratios are per unit or level change of the column.",
        WIDTH,
    )


def _label(rows: Sequence[Record], term: str) -> str:
    return str(next(row["label"] for row in rows if row["term"] == term))


def _bounded(row: Record) -> str:
    if row["z"] is None and row["z_upper"] is not None:
        return f"< {row['z_upper']:.2f}"
    return f"> {row['z']:.2f}" if row["z"] and not row["z_upper"] else _number(row["z"], 2)


def _prior_lines(record: Record) -> list[str]:
    rows = record.get("published_priors", [])
    shown = [row for row in rows if row["prior"] in SHOWN_PRIORS]
    if not shown:
        return []
    lines = [
        padded("posterior odds ratio", LABEL_WIDTH)
        + f"{'prior':<13}{'median':>8}   {_level(record):<18}{'P(wrong sign)':>13}"
        + f"{'P(replicates)':>15}"
    ]
    before = ""
    for row in shown:
        label = "" if row["label"] == before else fitted(row["label"], LABEL_WIDTH - 1)
        before = row["label"]
        lines.append(
            padded(label, LABEL_WIDTH)
            + f"{row['prior']:<13}{_number(row['median'], _decimals(row)):>8}   "
            + f"{_interval(row['lower'], row['upper']):<18}"
            + f"{_number(row['prob_wrong_sign'], 3):>13}{_number(row['replication'], 2):>15}"
        )
    return [
        *lines,
        *wrap(
            "The horseshoe shrinks all candidates together, dropped ones included as what is "
            "known of them; P(replicates): two-sided P < 0.05 and the same sign in a second study "
            "of the same size and the same final model. All priors: tables/published_priors.csv. "
            "The interval given selection and the posteriors answer different questions: the first "
            "holds at any fixed effect, the second on average over its prior.",
            WIDTH,
        ),
    ]


def _declared_lines(record: Record) -> list[str]:
    rows = [row for row in record.get("published_errors", []) if row["power"] is not None]
    if not rows:
        return []
    effect = rows[0]["effect"]
    words = {row["term"]: row for row in record["published"]}
    told = "; ".join(
        f"{row['label']}{_contrast(words[row['term']])}: power {row['power']:.2f}, wrong sign in "
        f"{row['type_s']:.0%} of the significant results, exaggerated {row['type_m']:.1f} times"
        for row in rows
    )
    return wrap(f"If the odds ratio were {effect:g} (declared): {told}.", WIDTH)


def _contrast(row: Record) -> str:
    """Units of a contrast other than one; a change of level needs no word."""
    return "" if row["contrast"] in (None, 1) else f" (for {row['contrast']:g} units)"


# Claims and what they rest on ---------------------------------------------------------------------


def _scenario_lines(record: Record) -> list[str]:
    rows = record.get("scenarios", [])
    if not rows:
        return []
    lines = [
        f"{'numbers of events that the print allows':<42}{'share':>7}{'split P':>10}"
        f"{'in literature':>15}{'weight':>9}"
    ]
    for row in rows[:SHOWN_SCENARIOS]:
        counts = f"{_count(row['events_development'])} + {_count(row['events_validation'])}"
        labels = [row["labels_development"], row["labels_validation"]]
        swapped = labels.count("swapped")
        how = "as printed" if not swapped else f"labels swapped in {swapped} of 2 sets"
        lines.append(
            f"{f'{counts} ({how})':<42}{_share(row['event_share']):>7}"
            f"{_probability(row['split_p']):>10}"
            f"{_yes(row['in_literature']):>15}{row['weight']:>9.2f}"
        )
    if record["settings"]["incidence_of"]:
        lines += wrap(
            f"The literature's figures are of {record['settings']['incidence_of']}.", WIDTH
        )
    if len(rows) > SHOWN_SCENARIOS:
        lines.append(f"{len(rows) - SHOWN_SCENARIOS} more, with every part: tables/scenarios.csv")
    return lines


def _claim_lines(record: Record) -> list[str]:
    rows = record.get("claims", [])
    if not rows:
        return []
    counts = ", ".join(
        f"{sum(row['verdict'] == verdict for row in rows)} {verdict}" for verdict in VERDICTS
    )
    lines = [f"claims: {counts} (tables/claims.csv)"]
    for row in rows:
        if row["verdict"] == "impossible":
            lines += _hanging(f"impossible: {row['claim']}. {row['reason']}")
    return lines


def _information_lines(record: Record) -> list[str]:
    """What the design needs: under the first assumption, and under all that were tried."""
    rows = record.get("information", [])
    if not rows:
        return []
    found: dict[tuple[str, str], list[Record]] = {}
    for row in rows:
        found.setdefault((row["term"], row["quantity"]), []).append(row)
    labels = {row["term"]: row["label"] for row in record.get("published", [])}
    lines = ["what the print needs of the design, as findings about the source"]
    if rows[0]["assumption"]:
        first = f"first under: {rows[0]['assumption']}; then under all assumptions tried"
        lines += wrap(first, WIDTH)
    for (term, quantity), told in found.items():
        if term in labels:
            first, all_told = _range(told[0]["lowest"], told[0]["highest"]), _overall(told)
            rest = "" if all_told == first else f"; {all_told}"
            lines += _hanging(f"{labels[term]}: {quantity} {first}{rest}")
    sentences = [_assumed(row) for row in rows if row["term"] not in labels]
    lines += [line for sentence in dict.fromkeys(sentences) for line in _hanging(sentence)]
    return [*lines, "every assumption, each finding as a sentence: tables/information.csv"]


def _assumed(row: Record) -> str:
    """A finding on the whole table, with what it assumes of the risk factors."""
    parts = [part for part in (row["assumption"] or "").split("; ") if "risk factors" in part]
    return f"If {parts[0]}: {row['finding']}" if parts else str(row["finding"])


def _overall(rows: Sequence[Record]) -> str:
    lowest = [row["lowest"] for row in rows if row["lowest"] is not None]
    highest = [row["highest"] for row in rows if row["highest"] is not None]
    if any(row["lowest"] is None and row["highest"] is None for row in rows) and lowest:
        return f"{_range(min(lowest), max(highest, default=None))}, or cannot be told"
    open_end = any(row["highest"] is None and row["lowest"] is not None for row in rows)
    return _range(min(lowest, default=None), None if open_end else max(highest, default=None))


def _range(lowest: float | None, highest: float | None) -> str:
    if lowest is None and highest is None:
        return "cannot be told"
    if highest is None:
        return f"{lowest:.3g} or more"
    return f"{lowest:.3g} to {highest:.3g}" if lowest is not None else f"at most {highest:.3g}"


def _hanging(text: str) -> list[str]:
    return wrap(text, WIDTH, initial_indent="  - ", subsequent_indent="    ")


# Responses ----------------------------------------------------------------------------------------


def _response_lines(record: Record) -> list[str]:
    rows = record.get("responses", [])
    if not rows:
        return []
    lines = [
        padded("printed responses as priors", LABEL_WIDTH)
        + f"{'printed':<14}{'worth':>6}   {'prior':<14}{'mean':>6}   {_level(record)}"
    ]
    for row in rows:
        beta = f"Beta({row['successes']}, {row['failures']})"
        lines.append(
            padded(fitted(row["group"], LABEL_WIDTH - 1), LABEL_WIDTH)
            + f"{row['printed']:<14}{row['worth']:>6}   {beta:<14}{row['prior_mean']:>6.2f}   "
            + _interval(row["prior_lower"], row["prior_upper"])
        )
    whole = [row["group"] for row in rows if "in whole patients" in (row["note"] or "")]
    if whole:
        lines += wrap(
            f"{', '.join(whole)}: rounded to whole patients, which moves the mean (the note in "
            "tables/responses.csv says by how much).",
            WIDTH,
        )
    told = (
        "worth: how many patients' information each figure is given; no source prints it, so "
        "it is declared (--worth, or worth = ... in the study)."
    )
    if record["settings"]["published_responses"]:
        told += (
            f" With patients: bayes-cmvt sample {record['study']} --data FILE takes them, at the "
            "worth of the study, as the prior of the groups."
        )
    return [*lines, *wrap(told, WIDTH)]


def _closing_lines(record: Record) -> list[str]:
    return [f"run folder: {record['run_folder']}  (tables, figures)"]


# Sample size --------------------------------------------------------------------------------------


def sample_size_text(record: Record) -> str:
    """Sample sizes as a screen of text.

    Parameters
    ----------
    record : dict
        From `tables_record`.
    """
    lines = [
        f"{'event share':<34}{'criterion':<26}{'target':>8}{'patients':>10}{'events':>8}"
        f"{'per column':>12}   decides"
    ]
    for row in record["samplesize"]:
        share = f"{row['scenario']} ({row['event_share']:.3g})"
        lines.append(
            f"{fitted(share, 33):<34}{fitted(row['criterion'], 25):<26}"
            f"{_number(row['target'], 3):>8}{row['n']:>10,.0f}{_number(row['events'], 0):>8}"
            f"{_number(row['events_per_column'], 1):>12}   {'yes' if row['binding'] else ''}"
        )
    notes = dict.fromkeys(row["note"] for row in record["samplesize"] if row["note"])
    return screen(
        [
            [f"{record['study']}  {record['title']}"],
            lines,
            [line for note in notes for line in wrap(f"{_capital(note)}", WIDTH)],
            [
                line
                for sentence in record["sentences"]
                for part in sentence.split("\n")
                for line in [*wrap(part, WIDTH), ""]
            ][:-1],
            [f"run folder: {record['run_folder']}"],
        ]
    )


# Cells --------------------------------------------------------------------------------------------


def _level(record: Record) -> str:
    return f"{record['settings']['interval']:.0%} interval"


def _number(value: float | None, decimals: int) -> str:
    if value is None:
        return "?"
    if abs(value) >= LARGE:
        return f"{value:.1e}"
    return f"{value:.{decimals}f}"


def _probability(value: float | None) -> str:
    return "<0.001" if value is not None and value < 0.001 else _number(value, 3)


def _count(value: float | None) -> str:
    return "?" if value is None or math.isnan(value) else f"{value:.0f}"


def _decimals(row: Record) -> int:
    narrow = row["upper"] is not None and row["upper"] - row["lower"] < NARROW
    return 3 if narrow else 2


def _interval(lower: float | None, upper: float | None) -> str:
    if lower is None or upper is None:
        return "cannot be told"
    decimals = 3 if upper - lower < NARROW else 2
    return f"{_number(lower, decimals)} to {_number(upper, decimals)}"


def _share(value: float | None) -> str:
    return "?" if value is None else f"{value:.1%}"


def _yes(value: object) -> str:
    return {True: "yes", False: "no"}.get(bool(value), "") if value not in (None, "") else "?"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
