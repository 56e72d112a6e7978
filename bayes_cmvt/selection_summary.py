"""What ``bayes-cmvt select`` prints: a record for JSON, and the record as a screen of text."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayes_cmvt.glossary import PROCEDURES, SOURCES
from bayes_cmvt.runs import table_records
from bayes_cmvt.selection import within_noise
from bayes_cmvt.textwidth import fitted, padded, screen

if TYPE_CHECKING:
    from bayes_cmvt.stages import StageResult

WIDTH = 104
LABEL, PROCEDURE, FREQUENCY = 36, 24, 12
MORE_SIZES, LEAST_SIZES = 3, 8  # sizes shown beyond the chosen one; sizes shown at least
LISTED_AT_MOST = 10
LEAST_LOSS = 0.005  # of AUC that is worth a sentence
OFTEN = 0.3  # selection frequency from which a predictor outside the set is named
SHORT = {
    "projection": "projection",
    "kappa": "shrinkage < 0.5",
    "rope": "beyond ROPE",
    "interval": "interval",
    "lasso": "LASSO",
    "lasso_final": "LASSO workflow",
}


def selection_record(result: StageResult) -> dict[str, Any]:
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
    own = {
        name: table_records(tables[name]) if name in tables else []
        for name in (
            "selection",
            "selection_coefficients",
            "selection_errors",
            "selection_recurrence",
            "selection_alternatives",
        )
    }
    performance = tables["performance"]
    own["performance"] = table_records(performance[performance["model"] == "projection"])
    told = {
        **{key: value for key, value in record.items() if key != "inputs"},
        "settings": inputs["settings"],
        **own,
        "frequencies": _frequency_record(tables.get("selection_frequencies")),
    }
    return told | {
        "plain_words": plain_words(told),
        "reused": result.reused,
        "tables": list(tables),
        "trusted": not result.problems,
        "problems": list(result.problems),
        "run_folder": str(result.folder),
    }


def _frequency_record(table: pd.DataFrame | None) -> list[dict[str, Any]]:
    """One row for each predictor: its frequencies over subsamples, by procedure."""
    if table is None:
        return []
    rows: dict[str, dict[str, Any]] = {}
    for row in table_records(table[table["source"] == "subsample"]):
        about = rows.setdefault(row["term"], {"term": row["term"], "label": row["label"]})
        about[row["procedure"]] = row["frequency"]
    return list(rows.values())


def selection_text(record: dict[str, Any]) -> str:
    """The selection on one screen: sizes, how stable, what rules keep, in plain words.

    Parameters
    ----------
    record : dict
        From `selection_record`.
    """
    study = record["study"]
    blocks = [
        [f"{study['name']}  {study['title']}", *_search_lines(record)],
        _size_lines(record),
        _frequency_lines(record),
        _recurrence_lines(record),
        _error_lines(record),
        [line for text in record["plain_words"] for line in wrap(text, WIDTH)],
        _closing_lines(record),
    ]
    return screen(blocks)


def _search_lines(record: dict[str, Any]) -> list[str]:
    size, settings = record["development"], record["settings"]
    inside = "the search repeated" if settings["search_inside"] else "the search not repeated"
    times = "once" if settings["repeats"] == 1 else f"{settings['repeats']} times"
    left_out = f"{record['folds_used']}-fold cross-validation, {times}, {inside}"
    if settings["validation"] == "loo":
        left_out = f"patients left out one by one by importance weights, {inside}"
    search = "L1 search" if settings["search"] == "l1" else "forward search"
    lines = [
        f"{size['patients']:,} patients, {size['events']:,} events, "
        f"{size['predictors']} {'predictor' if size['predictors'] == 1 else 'predictors'}",
        f"{search} with {settings['clusters']} clusters of draws; judged by {left_out}",
    ]
    if settings["by_cost"]:
        lines.append("predictors enter by what they bring for their cost")
    if record["problems"]:
        told = "the draws of this run are not to be trusted, and nor is what follows: "
        lines += wrap(told + "; ".join(record["problems"]), WIDTH)
    if record["forced"]:
        lines.append(f"forced in: {', '.join(record['forced'])}")
    if record["bad_k"]:
        lines.append(
            f"{record['bad_k']} patients cannot be left out by weights (k-hat too high): these "
            "figures are not to be relied on; use --validation kfold"
        )
    if not settings["search_inside"]:
        lines.append("Searched once with everybody: figures of all sizes but the largest flatter.")
    return lines


def _size_lines(record: dict[str, Any]) -> list[str]:
    rows = record["selection"]
    last = max(LEAST_SIZES, record["size"] + MORE_SIZES, record["suggested"] + MORE_SIZES)
    lines = [
        padded("size  enters", LABEL + 6)
        + f"{'elpd less reference':>20}  {'AUC':>5}  {'less ref.':>15}  {'net benefit':>11}"
        + f"  {'folds':>5}"
    ]
    lines += [_size_line(row) for row in rows if row["size"] <= last]
    if last < rows[-1]["size"]:
        lines.append(f"{rows[-1]['size'] - last} more sizes: tables/selection.csv")
    told = (
        "elpd: log score of patients left out, in sum, less that of the full posterior (standard "
        f"error). net benefit at {rows[0]['threshold']:.2g}. "
    )
    if record["settings"]["validation"] == "loo":
        told += "AUC and net benefit of patients left out one by one are biased and not shown. "
    if record["settings"]["search_inside"]:
        told += "folds: share of the searches without a fold that have the predictor by that size. "
    return lines + wrap(told + _dealing(record), WIDTH)


def _dealing(record: dict[str, Any]) -> str:
    """How far the dealing of the folds alone moves the difference at the chosen size."""
    if record["settings"]["validation"] == "loo":
        return ""
    spread = record["selection"][record["size"]]["elpd_diff_sd"]
    if spread is None:
        return "Another dealing of the folds may move a difference by a few units (--repeats 5)."
    return f"Another dealing of the folds moves the chosen difference by {spread:.1f} (SD)."


def _size_line(row: dict[str, Any]) -> str:
    marks = {(True, True): " <- suggested, chosen", (True, False): " <- suggested"}
    mark = marks.get((row["suggested"], row["chosen"]), " <- chosen" if row["chosen"] else "")
    loss = f"{_signed(row['elpd_diff'], 1)} ({row['elpd_diff_se']:.1f})"
    area, gap, benefit = "-", "-", "-"
    if row["auc"] is not None:
        area = f"{row['auc']:.2f}"
        gap = f"{_signed(row['auc_diff'], 3)} ({row['auc_diff_se']:.3f})"
    if row["net_benefit"] is not None:
        benefit = _signed(row["net_benefit"], 3)
    share = "" if row["share_of_folds"] is None else f"{row['share_of_folds']:.2f}"
    return (
        f"{row['size']:>4}  "
        + padded(fitted(row["label"], LABEL - 1), LABEL)
        + f"{loss:>20}  {area:>5}  {gap:>15}  {benefit:>11}  {share:>5}{mark}"
    ).rstrip()


def _signed(value: float, places: int) -> str:
    return f"{round(value, places) + 0.0:.{places}f}"


def _frequency_lines(record: dict[str, Any]) -> list[str]:
    """Selection frequencies over subsamples, procedures side by side."""
    rows = record["frequencies"]
    if not rows:
        return []
    shown = [name for name in PROCEDURES if name in rows[0]]
    chosen = _chosen(record)
    often = [
        row for row in rows if row["term"] in chosen or max(row[one] for one in shown) >= OFTEN
    ]
    often.sort(
        key=lambda row: (
            row["term"] not in chosen,
            -row["projection"],
            -max(row[one] for one in shown),
        )
    )
    header = padded(f"selected in {record['settings']['subsamples']} subsamples", LABEL + 6)
    lines = [header + "".join(f"{SHORT[one]:>{len(SHORT[one]) + 2}}" for one in shown)]
    for row in often[: max(LISTED_AT_MOST, len(chosen))]:
        cells = "".join(f"{row[one]:>{len(SHORT[one]) + 2}.2f}" for one in shown)
        mark = "*" if row["term"] in chosen else " "
        lines.append(f"    {mark} " + padded(fitted(row["label"], LABEL - 1), LABEL) + cells)
    lines += _failed_lines(record)
    lines.append(
        f"* in the submodel; projection: the first {record['size']} of each search; all others: "
        "tables/selection_frequencies.csv"
    )
    return lines


def _failed_lines(record: dict[str, Any]) -> list[str]:
    """Say which procedures gave no set in how many subsamples."""
    asked = record["settings"]["subsamples"]
    missing = {
        SHORT[row["procedure"]]: asked - row["replicates"]
        for row in record["selection_recurrence"]
        if row["source"] == "subsample" and row["replicates"] < asked
    }
    if not missing:
        return []
    named = ", ".join(f"{name} in {count}" for name, count in missing.items())
    return [f"no set, for want of events: {named} of the {asked} subsamples"]


def _chosen(record: dict[str, Any]) -> list[str]:
    return [row["term"] for row in record["selection"][1 : record["size"] + 1]]


def _recurrence_lines(record: dict[str, Any]) -> list[str]:
    """How often the same set comes again: one line for each procedure, one column for each way."""
    rows = record["selection_recurrence"]
    if not rows:
        return []
    found = {(row["procedure"], row["source"]): row for row in rows}
    sources = [one for one in SOURCES if any(source == one for _, source in found)]
    headings = {
        "seed": "other seed",
        "folds": "other folds",
        "left_out_fold": "a fold less",
        "split": "7:3 split",
        "subsample": "subsample",
    }
    lines = [
        padded("the same set again, share of", PROCEDURE + 6)
        + "".join(f"{headings[one]:>13}" for one in sources)
        + "   different sets in subsamples"
    ]
    for name in PROCEDURES:
        if not any(procedure == name for procedure, _ in found):
            continue
        cells = [_share(found.get((name, one)), "same_set") for one in sources]
        subsample = found.get((name, "subsample"))
        sets = f"   {subsample['distinct_sets']} of {subsample['replicates']}" if subsample else ""
        line = padded(SHORT[name], PROCEDURE + 6) + "".join(f"{one:>13}" for one in cells)
        lines.append((line + sets).rstrip())
    return lines + wrap(
        f"projection: the size held at {record['size']}, but for other folds, where each of "
        f"{record['settings']['repeats']} dealings suggests its own; the LASSO chooses its penalty "
        "anew everywhere.",
        WIDTH,
    )


def _share(row: dict[str, Any] | None, name: str) -> str:
    return "-" if row is None or row[name] is None else f"{row[name]:.2f}"


def _error_lines(record: dict[str, Any]) -> list[str]:
    """How many false discoveries the posterior expects of each procedure."""
    lines = [
        padded("expected by the posterior", PROCEDURE + 6) + "  columns  wrong sign  within ROPE"
    ]
    for row in record["selection_errors"]:
        lines.append(
            padded(SHORT[row["procedure"]], PROCEDURE + 6)
            + f"{row['columns']:>9}{row['expected_wrong_sign']:>12.1f}"
            + f"{row['expected_in_rope']:>13.1f}"
        )
    if record["m_eff"]:
        low, middle, high = record["m_eff"]
        lines.append(
            f"effective number of columns: median {middle:.1f}, 90 % {low:.1f} to {high:.1f}"
        )
    return lines


def plain_words(record: dict[str, Any]) -> list[str]:
    """What was found in sentences, made from the numbers; no set is ever called the set.

    Parameters
    ----------
    record : dict
        Tables as records, and what the stage tells besides.

    Returns
    -------
    list of str
        Paragraphs.
    """
    return [
        _size_in_words(record),
        _stability_in_words(record),
        *_alternatives_in_words(record),
        "Other patients may well give another set. The full posterior predicts without choosing; a "
        "smaller model is worth it where measuring less is worth its loss.",
    ]


def _size_in_words(record: dict[str, Any]) -> str:
    rows, size = record["selection"], record["size"]
    row = rows[size]
    names = [one["label"] for one in rows[1 : size + 1]]
    what = (
        "No predictor at all" if not names else f"{size} of {record['development']['predictors']}"
    )
    told = (
        f"{what} predict patients left out"
        if names
        else "No predictor at all, the event share alone, predicts patients left out"
    )
    told += (
        f" with an elpd of {_signed(row['elpd_diff'], 1)} (SE {row['elpd_diff_se']:.1f}) "
        "relative to the full posterior"
    )
    if names:
        told += f": {', '.join(names)}"
    gap = record["risk_gap"]
    return (
        f"{told}. {_why_this_size(record)}{_honest(record)}{_auc_in_words(row)}Its risks differ "
        f"from those of the full posterior by {gap['mean']:.3f} on average, {gap['largest']:.3f} "
        "at most."
    )


def _why_this_size(record: dict[str, Any]) -> str:
    row = record["selection"][record["size"]]
    if record["size"] != record["suggested"]:
        return f"The size was asked for; the suggested one is {record['suggested']}. "
    if not within_noise(row["elpd_diff"], row["elpd_diff_se"]):
        return "No size of the search comes within noise of the full posterior: this is its last. "
    kept = " with the forced predictors" if record["forced"] else ""
    return (
        f"It is the smallest size{kept} whose loss is at most one standard error, or below 4: too "
        "small to be told from none, which is no proof that nothing is lost. "
    )


def _honest(record: dict[str, Any]) -> str:
    """What the chosen size loses where those who judge it did not choose it."""
    honest = record["size_inside"]
    if honest is None:
        return ""
    return (
        "The patients who judge this size have chosen it; with every fold's size chosen by the "
        f"other folds the elpd is {_signed(honest['elpd_diff'], 1)} (SE {honest['se']:.1f}). "
    )


def _auc_in_words(row: dict[str, Any]) -> str:
    if row["auc_diff"] is None or -row["auc_diff"] < max(2 * row["auc_diff_se"], LEAST_LOSS):
        return ""
    return (
        f"Its AUC falls short by {-row['auc_diff']:.3f} (SE {row['auc_diff_se']:.3f}): that is "
        "more than noise, whatever the elpd says. "
    )


def _stability_in_words(record: dict[str, Any]) -> str:
    found = {(row["procedure"], row["source"]): row for row in record["selection_recurrence"]}
    projected = found.get(("projection", "subsample")) or found.get(("projection", "left_out_fold"))
    if projected is None:
        return "How stable the set is was not asked for (--subsamples, --splits)."
    if record["size"] == len(record["forced"]):
        what = "Nothing but what was forced in" if record["forced"] else "Nothing"
        return f"{what} is in the submodel: no set to come again."
    source = "subsamples" if projected["source"] == "subsample" else "searches without a fold"
    told = (
        f"{projected['replicates']} {source}, searched anew with the size held at "
        f"{record['size']}, gave {_sets(projected)}"
    )
    lasso = found.get(("lasso_final", "subsample"))
    if lasso is not None:
        told += f"; the LASSO workflow, which chooses its size, gave {_sets(lasso)}"
    return told + "."


def _sets(row: dict[str, Any]) -> str:
    if row["distinct_sets"] == 1:
        return "one set alone" if row["same_set"] else "one set alone, not that of all patients"
    share = round(row["same_set"], 2)
    return f"{row['distinct_sets']} different sets, that of all patients in {share:.0%}"


def _alternatives_in_words(record: dict[str, Any]) -> list[str]:
    told = []
    for row in record["selection_alternatives"]:
        if row["size"] > max(record["size"], record["suggested"]):
            continue
        told.append(
            f"{row['label']} or {row['other_label']}: either would do. At size {row['size']} the "
            f"second would bring {row['would_take']:.0%} of what the first brings, and "
            f"{row['left_over']:.0%} of its own worth is left once the first is in; by that size "
            f"the first is in {row['share_of_folds']:.0%} of the folds, the second in "
            f"{row['other_share_of_folds']:.0%}, one of them in {row['share_either']:.0%}."
        )
    return told


def _closing_lines(record: dict[str, Any]) -> list[str]:
    lines = [f"run folder: {record['run_folder']}"]
    if record["reused"]:
        lines.append(
            "The tables were made before from the same inputs; --overwrite makes them anew."
        )
    lines.append("figures: figures/selection_path, figures/selection_stability (pdf, png)")
    return [*lines, *wrap(f"tables: {', '.join(record['tables'])}", WIDTH)]
