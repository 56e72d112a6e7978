"""Claims that involve both sets of patients: labels, and each joint number of events."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from bayes_cmvt.published.event_counts import PRINTED, SWAPPED, feasible_events
from bayes_cmvt.published.printed_table import PrintedTable
from bayes_cmvt.published.verdicts import CANNOT_BE_TOLD, CONSISTENT, IMPOSSIBLE, Claim
from bayes_cmvt.published.weighed_scenarios import SETS, scenarios

SCENARIOS_SHOWN = 40
MISTAKES = (
    "no labels would have to be swapped",
    "the labels of one set would have to be swapped",
    "the labels of both sets would have to be swapped",
)


def scenario_claims(table: PrintedTable) -> Iterator[Claim]:
    """Say of labels and joint numbers of events what the print allows."""
    found = scenarios(table)
    if found.empty:
        yield from _without(table)
        return
    yield from _labels(found)
    for _, row in found.head(SCENARIOS_SHOWN).iterrows():
        yield _scenario(row, len(found))


def _without(table: PrintedTable) -> Iterator[Claim]:
    """Why there is no joint number of events, where rates are printed."""
    fitting = {name: feasible_events(table, name) for name in SETS}
    if all(each is None for each in fitting.values()):
        return
    none = [name for name, each in fitting.items() if each is not None and not any(each.values())]
    claim = "Sensitivity and specificity belong to whole numbers of patients"
    if none:
        implies = "Each set has a number of events that gives both of its rates."
        reason = f"No number of events does in the {' and in the '.join(none)} set, swapped or not."
        yield Claim("scenarios", claim, implies, IMPOSSIBLE, reason)
        return
    implies = "The print leaves too many numbers of events to weigh, or none that add up."
    reason = "More digits, or the printed numbers of events, would be needed."
    yield Claim("scenarios", claim, implies, CANNOT_BE_TOLD, reason)


def _labels(found: pd.DataFrame) -> Iterator[Claim]:
    """Whether sensitivity and specificity can mean what they are called in both sets."""
    columns = [f"labels_{name}" for name in SETS]
    if not found[columns].isin([PRINTED, SWAPPED]).to_numpy().all():
        return
    claim = "Sensitivity and specificity mean what they are called in both sets"
    implies = f"The events are split most evenly with {_words(_most_even(found))}."
    as_printed = found[(found[columns] == PRINTED).all(axis=1)]
    if as_printed.empty:
        reason = "No numbers of events fit both sets with the labels as they are printed."
        yield Claim("labels", claim, implies, IMPOSSIBLE, reason)
        return
    if len(found) == 1:
        reason = "No other numbers of events fit the print."
        yield Claim("labels", claim, implies, CONSISTENT, reason)
        return
    reason = (
        f"With the labels as printed in both sets it is {_words(_most_even(as_printed))}. The "
        "numbers of events would be needed, and whether the split was stratified on the outcome."
    )
    yield Claim("labels", claim, implies, CANNOT_BE_TOLD, reason)


def _most_even(found: pd.DataFrame) -> pd.Series[Any]:
    return found.iloc[int(found["split_p"].to_numpy().argmax())]


def _words(row: pd.Series[Any]) -> str:
    counts = " and ".join(
        f"{row[f'events_{name}']:.0f} events in {name}{_swapped(row, name, ' (labels swapped)')}"
        for name in SETS
        if row[f"events_{name}"] >= 0
    )
    split = "" if math.isnan(row["split_p"]) else f", split P {row['split_p']:.2g}"
    return f"{counts} ({100 * row['event_share']:.1f} % of patients{split})"


def _swapped(row: pd.Series[Any], name: str, words: str) -> str:
    return words if row[f"labels_{name}"] == SWAPPED else ""


def _scenario(row: pd.Series[Any], scenarios_found: int) -> Claim:
    names = [
        f"{row[f'events_{name}']:.0f}{_swapped(row, name, '_swapped')}"
        for name in SETS
        if row[f"events_{name}"] >= 0
    ]
    claim_id, claim = f"scenario_{'_'.join(names)}", f"{_words(row)} give the printed rates"
    if scenarios_found == 1:
        reason = "No other numbers of events fit the print."
        return Claim(claim_id, claim, _implies(row), CONSISTENT, reason)
    return Claim(
        claim_id,
        claim,
        _implies(row),
        CANNOT_BE_TOLD,
        f"It fits the print and has {row['weight']:.2g} of the weight of all {scenarios_found} "
        "that do, by conventions that stand in scenarios.csv. The numbers of events would be "
        "needed.",
    )


def _implies(row: pd.Series[Any]) -> str:
    parts = []
    if not math.isnan(row["split_p"]):
        parts.append(
            f"of simple random splits a share of {row['split_p']:.2g} would be no more even (a "
            "split stratified on the outcome makes this void)"
        )
    if row["in_literature"] != "":
        inside = "within" if row["in_literature"] else "outside"
        parts.append(f"the event share lies {inside} the incidence that the source quotes")
    text = "; ".join([*parts, MISTAKES[int(row["swaps"])]])
    return f"{text[0].upper()}{text[1:]}."
