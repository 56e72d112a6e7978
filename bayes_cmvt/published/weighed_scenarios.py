"""Numbers of events of both sets at once, weighed; and the one that a reconstruction assumes.

Each scenario reproduces the printed rates, so that nothing in the arithmetic chooses between them.
What bears on them is put side by side, each piece in a column of its own, and multiplied to a
weight. The weight is bookkeeping with stated conventions, not a probability that was measured:
whoever finds another convention better multiplies the columns anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit
from scipy.stats import hypergeom

from bayes_cmvt.published.event_counts import (
    PRINTED,
    SWAPPED,
    Labels,
    events_of,
    feasible_events,
    patients_of,
)
from bayes_cmvt.published.printed_table import (
    DEVELOPMENT,
    NORMAL_97_5,
    VALIDATION,
    PrintedPerformance,
    PrintedTable,
    Range,
)

SCENARIOS_AT_MOST = 2_000  # beyond, the print decides nothing
OUTSIDE_LITERATURE = 0.5  # log-odds beyond the quoted range at which the factor is exp(-1/2)
LABEL_MISTAKE = 0.1  # factor of each set whose two labels must have been swapped
# of ln(DeLong SE / Hanley-McNeil SE): between -0.24 and 0.14 on average where scores are normal in
# both classes with spreads from 1 : 1.4 to 1.4 : 1, and 0.02 to 0.07 from sample to sample
AUC_SE_SPREAD = 0.15
AS_LIKELY = 1e-7  # relative: splits whose probabilities differ by rounding alone are equally likely
SETS = (DEVELOPMENT, VALIDATION)
FACTORS = {
    "split_p": "without the split",
    "literature_factor": "without the literature",
    "label_factor": "without the labels",
    "auc_factor": "without the AUC intervals",
}
COLUMNS = [
    *("labels_development", "labels_validation", "events_development", "events_validation"),
    *("event_share", "split_p", "in_literature"),
    *(
        f"{kind}_{name}"
        for name in SETS
        for kind in ("se_printed", "se_printed_lower", "se_printed_upper", "se_hanley_mcneil")
    ),
    *("swaps", "literature_factor", "label_factor", "auc_factor", "weight", "default"),
]

type Option = tuple[Labels, int | None]


@dataclass(frozen=True)
class AssumedEvents:
    """Numbers of events that are assumed, and why.

    Attributes
    ----------
    labels_development, labels_validation : {"printed", "swapped", ""}
        Whether sensitivity and specificity of the set mean what they are called; "" where none are
        printed.
    events_development, events_validation : int or None
        None where nothing says them.
    weight : float
        Share of the weights of all scenarios.
    reason : str
        What speaks for it and what against, in sentences.
    """

    labels_development: Labels
    labels_validation: Labels
    events_development: int | None
    events_validation: int | None
    weight: float
    reason: str


def split_probability(
    n_development: int, n_validation: int, events_development: int, events_validation: int
) -> float:
    """Two-sided P of the split of the events, had patients been divided purely at random.

    Hypergeometric: the probabilities of all splits that are no more likely than this one, summed
    (as Fisher's exact test). It says nothing where the split was stratified on the outcome.

    Parameters
    ----------
    n_development, n_validation : int
    events_development, events_validation : int

    Returns
    -------
    float in (0, 1]

    Examples
    --------
    >>> round(split_probability(224, 95, 60, 34), 2)
    0.11
    """
    n, events = n_development + n_validation, events_development + events_validation
    low, high = max(0, events - n_validation), min(events, n_development)
    probability = hypergeom(n, events, n_development).pmf(np.arange(low, high + 1))
    observed = probability[events_development - low]
    return float(min(1.0, probability[probability <= observed * (1 + AS_LIKELY)].sum()))


def hanley_mcneil_se(auc: float, events: int, non_events: int) -> float:
    """Standard error of an area under the ROC curve from the area and the counts alone.

    Hanley & McNeil 1982 (doi:10.1148/radiology.143.1.7063747), with scores exponential in both
    classes: ``Q1 = A/(2 - A)``, ``Q2 = 2A²/(1 + A)``.

    Parameters
    ----------
    auc : float in [0, 1]
    events, non_events : int
        1 or more.

    Returns
    -------
    float

    Examples
    --------
    >>> round(hanley_mcneil_se(0.866, 82, 142), 4)
    0.0275
    """
    first, second = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (
        auc * (1 - auc) + (events - 1) * (first - auc**2) + (non_events - 1) * (second - auc**2)
    ) / (events * non_events)
    return math.sqrt(max(variance, 0.0))


def auc_standard_error(printed: PrintedPerformance | None) -> Range | None:
    """Standard error behind a printed 95 % interval of the AUC, half its width over 1.96.

    Returns
    -------
    Range or None
        Over all intervals that round to the print; None where none is printed.
    """
    if printed is None or printed.auc_low is None or printed.auc_high is None:
        return None
    low, high, scale = printed.auc_low, printed.auc_high, 2 * NORMAL_97_5
    return Range(
        max(0.0, high.low - low.high) / scale,
        (high.value - low.value) / scale,
        (high.high - low.low) / scale,
    )


def scenarios(table: PrintedTable) -> pd.DataFrame:
    """All joint numbers of events that reproduce the printed rates, with what bears on them.

    ``weight`` is the product of four factors, divided by its sum over the scenarios:

    - ``split_p``: of a simple random split (`split_probability`; void if it was stratified);
    - ``literature_factor``: 1 where the event share lies within the incidence that the source
      quotes, else exp(-(d/0.5)²/2), d the distance from it in log-odds, since places, definitions
      and screening differ;
    - ``label_factor``: 0.1 for each set whose sensitivity and specificity must have changed places
      (if both were swapped by one habit, that is one mistake; the factor counts two);
    - ``auc_factor``: for each set exp(-(d/0.15)²/2), d the log of the SE that the printed AUC
      interval implies over Hanley and McNeil's for these counts, which depends on the shape of the
      scores.

    A factor about which nothing is printed is 1.

    Parameters
    ----------
    table : PrintedTable

    Returns
    -------
    DataFrame
        A row for each pair of numbers of events, by falling weight; ``in_literature`` is empty
        where no incidence is quoted. Empty where one set's printed rates fit no number of events,
        where nothing says the number of events, or where more than 2,000 pairs fit.
    """
    options = [_options(table, name) for name in SETS]
    if math.prod(map(len, options)) > SCENARIOS_AT_MOST or options == [[("", None)]] * 2:
        return pd.DataFrame(columns=COLUMNS)
    rows = [
        _row(table, development, validation)
        for development, validation in product(*options)
        if _adds_up(table, development[1], validation[1])
    ]
    found = pd.DataFrame(rows, columns=COLUMNS)
    if found.empty:
        return found
    found["weight"] /= found["weight"].sum() or 1.0
    by = ["weight", "swaps", "events_development", "events_validation"]
    found = found.sort_values(by, ascending=[False, True, True, True], ignore_index=True)
    return found.assign(default=np.arange(len(found)) == 0)


def _options(table: PrintedTable, name: str) -> list[Option]:
    """What the print allows for one set; one option without a number where it says nothing."""
    fitting, events = feasible_events(table, name), events_of(table, name)
    if fitting is not None:
        return [(labels, count) for labels, counts in fitting.items() for count in counts]
    known = events is not None and patients_of(table, name) is not None
    return [("", events if known else None)]


def _adds_up(table: PrintedTable, development: int | None, validation: int | None) -> bool:
    printed = table.study.published.events if table.study.published is not None else None
    if printed is None or not printed.isdecimal() or development is None or validation is None:
        return True
    return development + validation == int(printed)


def _row(table: PrintedTable, development: Option, validation: Option) -> dict[str, Any]:
    chosen = dict(zip(SETS, (development, validation), strict=True))
    sizes = {name: patients_of(table, name) for name in SETS if chosen[name][1] is not None}
    events = sum(chosen[name][1] or 0 for name in sizes)
    share = events / sum(size or 0 for size in sizes.values())
    row: dict[str, Any] = {"event_share": share, "split_p": math.nan, "auc_factor": 1.0}
    for name, (labels, count) in chosen.items():
        row |= {f"labels_{name}": labels, f"events_{name}": math.nan if count is None else count}
        if count is not None:
            row |= _area(table, name, count)
            row["auc_factor"] *= _area_factor(row, name)
    if len(sizes) == len(SETS):
        row["split_p"] = split_probability(
            *(patients_of(table, name) or 0 for name in SETS),
            *(chosen[name][1] or 0 for name in SETS),
        )
    row["in_literature"] = ""
    row["literature_factor"] = 1.0
    if table.incidence is not None:
        row["in_literature"] = table.incidence[0] <= share <= table.incidence[1]
        row["literature_factor"] = literature_factor(share, table.incidence)
    row["swaps"] = sum(labels == SWAPPED for labels, _ in chosen.values())
    row["label_factor"] = LABEL_MISTAKE ** row["swaps"]
    split = 1.0 if math.isnan(row["split_p"]) else row["split_p"]
    row["weight"] = split * row["literature_factor"] * row["label_factor"] * row["auc_factor"]
    return row


def literature_factor(share: float, incidence: Sequence[float]) -> float:
    """Factor of an event share beside a quoted incidence; its formula is that of `scenarios`.

    Examples
    --------
    >>> literature_factor(0.2, (0.125, 0.313)), round(literature_factor(0.364, (0.125, 0.313)), 2)
    (1.0, 0.9)
    """
    if not 0 < share < 1:
        return 0.0
    low, high = (float(logit(each)) for each in incidence)
    own = float(logit(share))
    beyond = max(low - own, own - high, 0.0) / OUTSIDE_LITERATURE
    return math.exp(-(beyond**2) / 2)


def _area(table: PrintedTable, name: str, events: int) -> dict[str, float]:
    printed, n = table.of_set(name), patients_of(table, name)
    found: dict[str, float] = {}
    error = auc_standard_error(printed)
    if error is not None:
        found |= {
            f"se_printed_{name}": error.value,
            f"se_printed_lower_{name}": error.low,
            f"se_printed_upper_{name}": error.high,
        }
    if printed is not None and printed.auc is not None and n is not None and 0 < events < n:
        formula = hanley_mcneil_se(printed.auc.value, events, n - events)
        found[f"se_hanley_mcneil_{name}"] = formula
    return found


def _area_factor(row: dict[str, Any], name: str) -> float:
    printed, formula = row.get(f"se_printed_{name}"), row.get(f"se_hanley_mcneil_{name}")
    if not printed or not formula:
        return 1.0
    return math.exp(-((math.log(printed / formula) / AUC_SE_SPREAD) ** 2) / 2)


def default_scenario(table: PrintedTable) -> AssumedEvents | None:
    """The numbers of events that are assumed where one scenario is needed: an assumption, named.

    The rule: the largest weight of `scenarios`, ties to fewer swapped labels, then fewer events.
    The evidence need not all point one way; `AssumedEvents.reason` says what speaks for it and what
    against.

    Parameters
    ----------
    table : PrintedTable

    Returns
    -------
    AssumedEvents or None
        None where `scenarios` is empty.
    """
    found = scenarios(table)
    if found.empty:
        return None
    first = found.iloc[0]
    development, validation = (
        None if math.isnan(first[f"events_{name}"]) else int(first[f"events_{name}"])
        for name in SETS
    )
    return AssumedEvents(
        labels_development=first["labels_development"],
        labels_validation=first["labels_validation"],
        events_development=development,
        events_validation=validation,
        weight=float(first["weight"]),
        reason=_reason(table, found),
    )


def _reason(table: PrintedTable, found: pd.DataFrame) -> str:
    first = found.iloc[0]
    if len(found) == 1:
        return "It is the only number of events that the print allows."
    speaks: dict[bool, list[str]] = {True: [], False: []}
    if not math.isnan(first["split_p"]):
        likely = first["split_p"] >= 0.05
        speaks[likely].append(f"the two-sided P of the split of events is {first['split_p']:.2g}")
    if table.incidence is not None:
        low, high = table.incidence
        inside = bool(first["in_literature"])
        where = "within" if inside else "outside"
        speaks[inside].append(
            f"{100 * first['event_share']:.1f} % of patients with the event lie {where} the "
            f"{100 * low:.3g} % to {100 * high:.3g} % of the literature that the source quotes"
        )
    swaps = int(first["swaps"])
    if swaps:
        speaks[False].append(f"sensitivity and specificity must be swapped in {_sets(swaps)}")
    elif PRINTED in set(first[[f"labels_{name}" for name in SETS]]):
        speaks[True].append("sensitivity and specificity mean what they are called")
    for name in SETS:
        printed, formula = first[f"se_printed_{name}"], first[f"se_hanley_mcneil_{name}"]
        if printed > 0 and formula > 0:
            near = abs(math.log(printed / formula)) <= AUC_SE_SPREAD
            speaks[near].append(
                f"the AUC interval of the {name} set implies a standard error of {printed:.4f}, "
                f"where {formula:.4f} is expected of these counts"
            )
    sentences = [f"It has the largest weight of {len(found)} scenarios that fit the print."]
    for is_for, word in ((True, "For"), (False, "Against")):
        if speaks[is_for]:
            sentences.append(f"{word} it: {'; '.join(speaks[is_for])}.")
    return " ".join([*sentences, _sensitivity(found), "It is an assumption, not a finding."])


def _sets(swaps: int) -> str:
    return "both sets" if swaps == len(SETS) else "one set"


def _sensitivity(found: pd.DataFrame) -> str:
    """Which single factor, left out, would give another scenario the largest weight."""
    factors = found[[*FACTORS]].fillna(1.0)
    changes = []
    for left_out, words in FACTORS.items():
        best = int(factors.drop(columns=left_out).prod(axis=1).to_numpy().argmax())
        if best != 0:
            changes.append(f"{words} it would be {_events_in_words(found.iloc[best])}")
    if not changes:
        return "No single factor, left out, would change the choice."
    return f"The choice rests on the factors: {'; '.join(changes)}."


def _events_in_words(row: pd.Series[Any]) -> str:
    counts = [f"{row[f'events_{name}']:.0f}" for name in SETS if row[f"events_{name}"] >= 0]
    return f"{' and '.join(counts)} events"
