"""How many events each set of a synthetic cohort has, and how many of them are classified right."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

from bayes_cmvt.errors import OptionError
from bayes_cmvt.printed_numbers import PrintedNumber
from bayes_cmvt.published.event_counts import feasible_events
from bayes_cmvt.published.printed_table import (
    DEVELOPMENT,
    VALIDATION,
    PrintedPerformance,
    PrintedTable,
)
from bayes_cmvt.published.weighed_scenarios import default_scenario

EVENT_SHARE = 0.3  # where nothing printed says how many events there were

type Labels = Literal["printed", "swapped", ""]


@dataclass(frozen=True)
class AssumedSet:
    """One set of patients as it is assumed.

    Attributes
    ----------
    set : {"development", "validation"}
    n, events : int
    labels : {"printed", "swapped", ""}
        Whether the printed sensitivity is that of events, or the share of non-events below the
        threshold, its label swapped with specificity; "" where neither is printed or neither fits.
    true_positive, true_negative : int or None
        Patients classified right at one threshold, as printed.
    """

    set: str
    n: int
    events: int
    labels: Labels = ""
    true_positive: int | None = None
    true_negative: int | None = None

    @property
    def positive(self) -> int | None:
        """Patients at or above the threshold."""
        if self.true_positive is None or self.true_negative is None:
            return None
        return self.true_positive + self.n - self.events - self.true_negative


@dataclass(frozen=True)
class Scenario:
    """Event counts of both sets; `validation` is None where everybody develops the model."""

    development: AssumedSet
    validation: AssumedSet | None

    @property
    def sets(self) -> tuple[AssumedSet, ...]:
        """The sets there are, development first."""
        return (self.development,) if self.validation is None else self._both(self.validation)

    @property
    def name(self) -> str:
        """Such as "82 + 34"."""
        return " + ".join(str(one.events) for one in self.sets)

    def _both(self, validation: AssumedSet) -> tuple[AssumedSet, ...]:
        return (self.development, validation)


def scenario_of(
    table: PrintedTable, events_development: int | None = None, events_validation: int | None = None
) -> Scenario:
    """The scenario with given numbers of events; what is not given follows from the print.

    Printed event counts come first; then those of `default_scenario`; where one set's are given, of
    the other's that reproduce its sensitivity and specificity those of the most similar share
    (labels as printed first, the lower share first); then the middle of the incidence that the
    source quotes.

    Parameters
    ----------
    table : PrintedTable
    events_development, events_validation : int, optional

    Returns
    -------
    Scenario

    Raises
    ------
    OptionError
        The print does not say how many patients there were, or a number of events is impossible.

    Examples
    --------
    >>> from bayes_cmvt.published.printed_table import read_published
    >>> from bayes_cmvt.study import load_study
    >>> scenario = scenario_of(read_published(load_study("cmvt")), 82, 34)
    >>> [(one.labels, one.true_positive, one.true_negative) for one in scenario.sets]
    [('printed', 64, 116), ('swapped', 28, 49)]
    """
    sizes = _sizes(table)
    given = {DEVELOPMENT: events_development, VALIDATION: events_validation}
    assumed = default_scenario(table)
    if assumed is not None and events_development is None and events_validation is None:
        given = {
            DEVELOPMENT: assumed.events_development,
            VALIDATION: assumed.events_validation,
        }
    problems = [
        f"events, {name}: found {given[name]}; allowed: 1 to {n - 1} of {n} patients"
        for name, n in sizes.items()
        if given[name] is not None and not 0 < (given[name] or 0) < n
    ]
    if problems:
        msg = "a synthetic cohort cannot have these events"
        raise OptionError(msg, problems)
    choices = [_choices(table, name, n, given[name]) for name, n in sizes.items()]
    best = min(itertools.product(*choices), key=_unlikeness)
    return Scenario(best[0], best[1] if len(best) > 1 else None)


def feasible_sets(table: PrintedTable, name: str, n: int) -> list[AssumedSet]:
    """Every number of events that reproduces printed sensitivity and specificity, either way."""
    printed = table.of_set(name)
    if printed is None or printed.sensitivity is None or printed.specificity is None:
        return []
    events = {one for found in (feasible_events(table, name) or {}).values() for one in found}
    found = [_classified(printed, name, n, one) for one in sorted(events) if 0 < one < n]
    return [one for one in found if one.labels]


def feasible_scenarios(table: PrintedTable) -> list[Scenario]:
    """Every pair of event counts that reproduces what is printed of both sets.

    Examples
    --------
    >>> from bayes_cmvt.published.printed_table import read_published
    >>> from bayes_cmvt.study import load_study
    >>> [one.name for one in feasible_scenarios(read_published(load_study("cmvt")))][:3]
    ['60 + 34', '60 + 61', '82 + 34']
    """
    sizes = _sizes(table)
    choices = [feasible_sets(table, name, n) for name, n in sizes.items()]
    return [
        Scenario(both[0], both[1] if len(both) > 1 else None)
        for both in itertools.product(*choices)
    ]


def _sizes(table: PrintedTable) -> dict[str, int]:
    development = table.n_development or table.n
    if development is None:
        msg = (
            f'{table.study.source}: [published], key "n_development" is missing; a synthetic '
            "cohort needs the number of patients"
        )
        raise OptionError(msg)
    sizes = {DEVELOPMENT: development}
    if table.study.split is not None and table.n_development is not None and table.n_validation:
        sizes[VALIDATION] = table.n_validation
    return sizes


def _choices(table: PrintedTable, name: str, n: int, events: int | None) -> list[AssumedSet]:
    """Sets to choose from: one where the events are given or printed."""
    printed = table.of_set(name)
    known = events if events is not None else (printed.events if printed is not None else None)
    if known is not None:
        return [_classified(printed, name, n, known)]
    found = feasible_sets(table, name, n)
    if found:
        return found
    share = EVENT_SHARE if table.incidence is None else sum(table.incidence) / 2
    return [_classified(printed, name, n, min(max(round(share * n), 1), n - 1))]


def _unlikeness(sets: tuple[AssumedSet, ...]) -> tuple[float, int, float]:
    shares = [one.events / one.n for one in sets]
    swapped = sum(one.labels == "swapped" for one in sets)
    return round(max(shares) - min(shares), 6), swapped, shares[0]


def _classified(printed: PrintedPerformance | None, name: str, n: int, events: int) -> AssumedSet:
    """The counts classified right that print sensitivity and specificity, one way or the other."""
    if printed is None or printed.sensitivity is None or printed.specificity is None:
        return AssumedSet(name, n, events)
    first, second = printed.sensitivity, printed.specificity
    ways: tuple[tuple[Labels, PrintedNumber, PrintedNumber], ...] = (
        ("printed", first, second),
        ("swapped", second, first),
    )
    for labels, of_events, of_others in ways:
        true_positive = round(of_events.value * events)
        true_negative = round(of_others.value * (n - events))
        if of_events.covers(true_positive / events) and of_others.covers(
            true_negative / (n - events)
        ):
            return AssumedSet(name, n, events, labels, true_positive, true_negative)
    return AssumedSet(name, n, events)
