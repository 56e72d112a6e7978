"""Claims about size: the sample-size formula, events per candidate, expected shrinkage."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from bayes_cmvt.printed_numbers import PrintedNumber, read_printed
from bayes_cmvt.published.event_counts import events_of, feasible_events, patients_of
from bayes_cmvt.published.printed_table import DEVELOPMENT, PrintedTable
from bayes_cmvt.published.verdicts import (
    CANNOT_BE_TOLD,
    CONSISTENT,
    IMPOSSIBLE,
    Claim,
    Verdict,
)
from bayes_cmvt.schema import SampleSizeFormula

COUNTS_AT_MOST = 20  # rows of events per candidate; beyond, their range in one row
SLACK = 1e-9  # 240.00000000000003 patients are 240


def planning_claims(table: PrintedTable) -> Iterator[Claim]:
    """Test the printed sample size, and say what it means for the number of candidates."""
    published = table.study.published
    if published is not None and published.sample_size is not None:
        yield from _formula_claims(published.sample_size)
    yield from _events_per_candidate(table)
    yield from _shrinkage(table)


# The formula --------------------------------------------------------------------------------------


def _formula_claims(formula: SampleSizeFormula) -> Iterator[Claim]:
    k, delta = read_printed(formula.k).value, _share(formula.delta)
    for j, proportion in enumerate(formula.proportions):
        share = _share(proportion)
        claim_id = f"sample_size_{j + 1}"
        words = f"N = {formula.k}² p (1 - p) / {formula.delta}² with p = {proportion}"
        if delta <= 0 or not 0 < share < 1:
            reason = "The formula needs a margin above 0 and a proportion between 0 and 1."
            yield Claim(claim_id, words, "Nothing.", CANNOT_BE_TOLD, reason)
            continue
        exact = k**2 * share * (1 - share) / delta**2
        printed = formula.printed[j] if j < len(formula.printed) else None
        yield _formula_claim(claim_id, words, exact, printed)
        if formula.missing is not None and j < len(formula.printed_with_missing):
            yield _missing_claim(formula, j, exact)


def _share(text: str) -> float:
    """Read a share, which may be printed in per cent."""
    value = read_printed(text).value
    return value / 100 if value > 1 else value


def _formula_claim(claim_id: str, words: str, exact: float, printed: str | None) -> Claim:
    implies = f"The formula gives {exact:.1f}, {_up(exact)} patients when rounded up."
    if printed is None:
        reason = "The printed result would be needed."
        return Claim(claim_id, words, implies, CANNOT_BE_TOLD, reason)
    verdict, reason = _rounded_from(read_printed(printed), {"the formula": exact})
    return Claim(claim_id, f"{words} is {printed}", implies, verdict, reason)


def _missing_claim(formula: SampleSizeFormula, j: int, exact: float) -> Claim:
    missing, printed = _share(formula.missing or "0"), formula.printed_with_missing[j]
    start = read_printed(formula.printed[j]).value if j < len(formula.printed) else exact
    routes = {
        f"{start:g} times {1 + missing:g}": start * (1 + missing),
        f"{exact:.1f} times {1 + missing:g}": exact * (1 + missing),
    }
    if missing < 1:
        routes |= {
            f"{start:g} divided by {1 - missing:g}": start / (1 - missing),
            f"{exact:.1f} divided by {1 - missing:g}": exact / (1 - missing),
        }
    verdict, reason = _rounded_from(read_printed(printed), routes)
    given = "; ".join(f"{words} is {value:.1f}" for words, value in routes.items())
    return Claim(
        f"sample_size_with_missing_{j + 1}",
        f"With {formula.missing} more for missing data, {printed}",
        f"{given}.",
        verdict,
        reason,
    )


def _rounded_from(printed: PrintedNumber, routes: Mapping[str, float]) -> tuple[Verdict, str]:
    """Say which value rounds to the print, and how: rounding up is usual for a sample size."""
    for words, value in routes.items():
        if printed.value == _up(value):
            return CONSISTENT, f"It is {words} ({value:.1f}), rounded up, as is usual."
    for words, value in routes.items():
        if printed.covers(value) or printed.value == math.floor(value + SLACK):
            return CONSISTENT, (
                f"It is {words} ({value:.1f}), rounded down, where rounding up is usual: "
                f"{_up(value)}."
            )
    values = " or ".join(f"{value:.1f}" for value in routes.values())
    return IMPOSSIBLE, f"Neither rounding turns {values} into {printed.text}."


def _up(value: float) -> int:
    return math.ceil(value - SLACK)


# Events and candidates ----------------------------------------------------------------------------


def _events_per_candidate(table: PrintedTable) -> Iterator[Claim]:
    if not table.effects and not table.retained:
        return
    candidates, n = table.candidates, patients_of(table, DEVELOPMENT)
    claim = f"{candidates} candidates were screened on the development patients"
    counts = _possible_events(table)
    if n is None or not counts:
        yield Claim(
            "events_per_candidate",
            claim,
            "Nothing, while the number of events is unknown.",
            CANNOT_BE_TOLD,
            "The number of development patients and of those with the event would be needed.",
        )
        return
    if len(counts) > COUNTS_AT_MOST:
        counts = [
            min(counts, key=lambda e: min(e, n - e)),
            max(counts, key=lambda e: min(e, n - e)),
        ]
    for events in counts:
        rarer = min(events, n - events)
        which = "events" if rarer == events else "patients without the event, the rarer class,"
        known = len(counts) == 1
        yield Claim(
            f"events_per_candidate_{events}",
            claim,
            f"With {events} events of {n}, {rarer} {which} are {rarer / candidates:.1f} "
            "per candidate.",
            CONSISTENT if known else CANNOT_BE_TOLD,
            ("" if known else "The number of events is not printed; this is one that fits. ")
            + "A low number is no contradiction: it says how far estimates and choice depend on "
            "chance, about which a formula for the precision of one proportion says nothing.",
        )


def _possible_events(table: PrintedTable) -> list[int]:
    printed, fitting = events_of(table, DEVELOPMENT), feasible_events(table, DEVELOPMENT)
    if printed is not None:
        return [printed]
    return sorted({count for counts in (fitting or {}).values() for count in counts})


def _shrinkage(table: PrintedTable) -> Iterator[Claim]:
    """Heuristic shrinkage factor, 1 - p/χ², with Σz² in the place of the unknown χ².

    Van Houwelingen & Le Cessie 1990, doi:10.1002/sim.4780091109.
    """
    if not table.effects:
        return
    needed = (
        "The likelihood-ratio chi-squared of the whole model (or its Cox-Snell R²) would be needed."
    )
    claim = (
        f"A final model of {len(table.effects)} "
        f"{'coefficient' if len(table.effects) == 1 else 'coefficients'} from {table.candidates} "
        "candidates"
    )
    z = [one.z.value for one in table.effects]
    if not all(math.isfinite(each) for each in z):
        implies = "Nothing, while standard errors are unknown."
        yield Claim("expected_shrinkage", claim, implies, CANNOT_BE_TOLD, needed)
        return
    squares = sum(each**2 for each in z)
    at_least = "at least " if any(one.is_bound for one in table.effects) else ""
    columns = max(table.candidates, len(z))  # a category has several coefficients
    final, screened = (_factor(p, squares) for p in (len(z), columns))
    yield Claim(
        "expected_shrinkage",
        claim,
        f"Were estimates independent, chi-squared would be {at_least}{squares:.1f}, the sum of the "
        f"squared z; a new model of {len(z)} coefficients is then expected to keep {final} of its "
        f"effects in new patients, one of {columns} {screened} (1 - p/chi-squared).",
        CANNOT_BE_TOLD,
        f"{needed} The sum of squared z stands for it only roughly, being computed after the "
        "selection and without the correlation of the estimates.",
    )


def _factor(coefficients: int, chi_squared: float) -> str:
    factor = 1 - coefficients / chi_squared if chi_squared > 0 else 0.0
    return f"{100 * factor:.0f} %" if factor > 0 else "nothing"
