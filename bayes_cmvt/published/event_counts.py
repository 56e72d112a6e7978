"""Which numbers of patients with the event reproduce a printed sensitivity and specificity.

A rate is a fraction of whole patients: 0.780 of 82 patients is 64 of 82, of 83 patients it is
nothing. Where a paper does not print the number of events, few of them fit both rates. The two
rates may also have changed places, when the class without the event was taken for that with it:
then the printed sensitivity is the share of patients *without* the event that were classified
right.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from itertools import product
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayes_cmvt.printed_numbers import PrintedNumber
from bayes_cmvt.published.printed_table import DEVELOPMENT, VALIDATION, PrintedTable

PRINTED: Literal["printed"] = "printed"
SWAPPED: Literal["swapped"] = "swapped"
ROWS_AT_MOST = 5_000  # of one set and one labelling; beyond, one row for each number of events
COLUMNS = ["set", "labels", "events", "true_positive", "true_negative"]

type Labels = Literal["printed", "swapped", ""]
type Whole = NDArray[np.int64]
type Rates = tuple[PrintedNumber, PrintedNumber]


@dataclass(frozen=True)
class EventCount:
    """A number of events, and of patients classified right, that a print allows.

    Attributes
    ----------
    labels : {"printed", "swapped"}
        Whether sensitivity and specificity mean what they are called.
    events, true_positive, true_negative : int
        Patients with the event; those of them, and of the others, that were classified right.
    """

    labels: Labels
    events: int
    true_positive: int
    true_negative: int


def numerators(rate: PrintedNumber, totals: Whole) -> tuple[Whole, Whole]:
    """Smallest and largest whole number out of each total whose share is printed as a rate.

    Parameters
    ----------
    rate : PrintedNumber
        A share, not a percentage.
    totals : ndarray of int, shape (total,)

    Returns
    -------
    first, last : ndarray of int, shape (total,)
        None fits where first is above last.

    Examples
    --------
    >>> from bayes_cmvt.printed_numbers import read_printed
    >>> first, last = numerators(read_printed("0.780"), np.array([82, 83]))
    >>> first.tolist(), last.tolist()  # 64 of 82; 65 of 83 is 0.783, 64 of 83 is 0.771
    ([64, 65], [64, 64])
    """
    slack = 1e-12  # as `PrintedNumber.covers`: a half may have been rounded either way
    low, high = max(rate.low - slack, 0.0), min(rate.high + slack, 1.0)
    first = np.ceil(totals * low).astype(np.int64)
    last = np.floor(totals * high).astype(np.int64)
    if rate.low > 1 or rate.high < 0:
        return np.ones_like(first), np.zeros_like(last)
    return first, last


def matching_counts(
    n: int, sensitivity: PrintedNumber, specificity: PrintedNumber, *, events: int | None = None
) -> list[EventCount]:
    """All whole numbers of patients that reproduce a printed sensitivity and specificity.

    Parameters
    ----------
    n : int
        Patients of the set.
    sensitivity, specificity : PrintedNumber
        Shares, not percentages.
    events : int, optional
        Printed number of events; by default any from 1 to n - 1.

    Returns
    -------
    list of EventCount
        As printed first, then with the two labels swapped; by number of events. Where the print is
        so coarse that more than 5,000 rows of one labelling fit, one row for each number of events,
        that whose shares are nearest to the print.

    Examples
    --------
    >>> from bayes_cmvt.printed_numbers import read_printed
    >>> for one in matching_counts(95, read_printed("0.803"), read_printed("0.824")):
    ...     print(one.labels, one.events, one.true_positive, one.true_negative)
    printed 61 49 28
    swapped 34 28 49
    """
    found: list[EventCount] = []
    for labels, rates in _labellings(sensitivity, specificity):
        fitting, positive, negative = _fitting(n, events, rates)
        widths = (positive[1] - positive[0] + 1) * (negative[1] - negative[0] + 1)
        coarse = int(widths.sum()) > ROWS_AT_MOST
        for j, count in enumerate(fitting.tolist()):
            right = _choices(positive[:, j], rates[0].value * count, coarse=coarse)
            others = _choices(negative[:, j], rates[1].value * (n - count), coarse=coarse)
            found += [EventCount(labels, count, *both) for both in product(right, others)]
    return found


def matching_events(
    n: int, sensitivity: PrintedNumber, specificity: PrintedNumber, *, events: int | None = None
) -> dict[Labels, list[int]]:
    """Numbers of events alone that reproduce a printed sensitivity and specificity.

    Parameters
    ----------
    n, sensitivity, specificity, events
        As `matching_counts`.

    Returns
    -------
    dict
        Ascending numbers of events, by labels.

    Examples
    --------
    >>> from bayes_cmvt.printed_numbers import read_printed
    >>> matching_events(224, read_printed("0.780"), read_printed("0.817"))
    {'printed': [82, 109, 164], 'swapped': [60, 115, 142]}
    """
    return {
        labels: _fitting(n, events, rates)[0].tolist()
        for labels, rates in _labellings(sensitivity, specificity)
    }


def _labellings(
    sensitivity: PrintedNumber, specificity: PrintedNumber
) -> tuple[tuple[Labels, Rates], ...]:
    """Rates among events and among the others, as printed and with their labels swapped."""
    return (PRINTED, (sensitivity, specificity)), (SWAPPED, (specificity, sensitivity))


def _fitting(n: int, events: int | None, rates: Rates) -> tuple[Whole, Whole, Whole]:
    """Numbers of events that fit; smallest and largest numbers of events and others told right."""
    possible = np.arange(1, n) if events is None else np.array([events])
    possible = possible[(possible > 0) & (possible < n)]
    positive = np.stack(numerators(rates[0], possible))
    negative = np.stack(numerators(rates[1], n - possible))
    fits = (positive[0] <= positive[1]) & (negative[0] <= negative[1])
    return possible[fits], positive[:, fits], negative[:, fits]


def _choices(limits: Whole, nearest: float, *, coarse: bool) -> list[int]:
    first, last = limits.tolist()
    if coarse:
        return [min(max(round(nearest), first), last)]
    return list(range(first, last + 1))


def patients_of(table: PrintedTable, name: str) -> int | None:
    """Return the number of patients of a set, None where it is not printed."""
    printed = table.of_set(name)
    if printed is not None and printed.n is not None:
        return printed.n
    return {DEVELOPMENT: table.n_development, VALIDATION: table.n_validation}.get(name)


def events_of(table: PrintedTable, name: str) -> int | None:
    """Return the printed number of events of a set, None where it is not printed."""
    printed = table.of_set(name)
    if printed is not None and printed.events is not None:
        return printed.events
    general = getattr(table.study.published, f"events_{name}", None)
    if isinstance(general, str) and general.isdecimal():
        return int(general)
    return None


def feasible_events(table: PrintedTable, name: str) -> dict[Labels, list[int]] | None:
    """Return what `matching_events` gives for a set; None where the print does not say enough."""
    printed, n = table.of_set(name), patients_of(table, name)
    if printed is None or n is None or printed.sensitivity is None or printed.specificity is None:
        return None
    return matching_events(
        n, printed.sensitivity, printed.specificity, events=events_of(table, name)
    )


def event_counts(table: PrintedTable) -> pd.DataFrame:
    """Every whole number of patients that reproduces the printed sensitivity and specificity.

    Parameters
    ----------
    table : PrintedTable

    Returns
    -------
    DataFrame
        ``set, labels, events, true_positive, true_negative``: a row for each possibility, as
        `matching_counts` orders them; none for a set without n, sensitivity and specificity.
    """
    rows = []
    for one in table.performance:
        n, events = patients_of(table, one.set), events_of(table, one.set)
        if n is None or one.sensitivity is None or one.specificity is None:
            continue
        counts = matching_counts(n, one.sensitivity, one.specificity, events=events)
        rows += [(one.set, *astuple(count)) for count in counts]
    return pd.DataFrame(rows, columns=COLUMNS)
