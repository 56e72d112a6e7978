"""Claims about one set of patients: numbers, classification rates, area under the ROC curve."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.special import logit

from bayes_cmvt.printed_numbers import PrintedNumber
from bayes_cmvt.published.event_counts import (
    PRINTED,
    SWAPPED,
    events_of,
    feasible_events,
    numerators,
    patients_of,
)
from bayes_cmvt.published.printed_table import PrintedPerformance, PrintedTable, Range
from bayes_cmvt.published.verdicts import (
    CANNOT_BE_TOLD,
    CONSISTENT,
    IMPOSSIBLE,
    Claim,
    overlap,
    span,
)
from bayes_cmvt.published.weighed_scenarios import (
    SETS,
    auc_standard_error,
    hanley_mcneil_se,
)

COUNTS_SHOWN = 12  # numbers of events that a sentence lists
SCENARIOS_SHOWN = 40
# DeLong's SE was 0.79 to 1.15 of Hanley and McNeil's where scores are normal in both classes, with
# spreads from 1 : 1.4 to 1.4 : 1
NEAR = (0.75, 1.25)


def performance_claims(table: PrintedTable) -> Iterator[Claim]:
    """Test the numbers of patients and everything printed about their classification."""
    yield from _patients(table)
    yield from _events(table)
    for printed in table.performance:
        yield from _rates(table, printed)
    for printed in table.performance:
        yield from _area(table, printed)
    for printed in table.performance:
        yield from _calibration(printed)


# Numbers ------------------------------------------------------------------------------------------


def _patients(table: PrintedTable) -> Iterator[Claim]:
    parts = (table.n_development, table.n_validation)
    if table.n is None or parts[0] is None or parts[1] is None:
        return
    total = parts[0] + parts[1]
    yield Claim(
        "patients",
        f"{table.n} patients: {parts[0]} for development, {parts[1]} for validation",
        f"{parts[0]} + {parts[1]} = {total}.",
        CONSISTENT if total == table.n else IMPOSSIBLE,
        "The parts add up." if total == table.n else f"The parts add up to {total}, not {table.n}.",
    )


def _events(table: PrintedTable) -> Iterator[Claim]:
    published = table.study.published
    total = None if published is None else published.events
    parts = [events_of(table, name) for name in SETS]
    if total is None or not total.isdecimal() or parts[0] is None or parts[1] is None:
        return
    same = parts[0] + parts[1] == int(total)
    yield Claim(
        "events",
        f"{total} events: {parts[0]} in development, {parts[1]} in validation",
        f"{parts[0]} + {parts[1]} = {parts[0] + parts[1]}.",
        CONSISTENT if same else IMPOSSIBLE,
        "The parts add up." if same else f"The parts do not add up to {total}.",
    )


# Sensitivity and specificity ----------------------------------------------------------------------


def _rates(table: PrintedTable, printed: PrintedPerformance) -> Iterator[Claim]:
    rates = {"sensitivity": printed.sensitivity, "specificity": printed.specificity}
    given = {name: rate for name, rate in rates.items() if rate is not None}
    if not given:
        return
    n, events = patients_of(table, printed.set), events_of(table, printed.set)
    if events is not None:
        totals = {"sensitivity": events, "specificity": None if n is None else n - events}
        for name, rate in given.items():
            yield _rate_of(printed.set, name, rate, totals[name])
    if n is None or (events is None and len(given) == 1):
        yield Claim(
            f"rates_{printed.set}",
            f"{printed.set}: {_rate_words(given)}",
            "Nothing, while the numbers behind the shares are unknown.",
            CANNOT_BE_TOLD,
            "The number of patients with and without the event would be needed.",
        )
    elif len(given) == 2:
        yield _joint_rates(table, printed.set, given)


def _rate_words(rates: dict[str, PrintedNumber]) -> str:
    return ", ".join(f"{name} {rate.text}" for name, rate in rates.items())


def _rate_of(set_name: str, name: str, rate: PrintedNumber, total: int | None) -> Claim:
    """Whether a rate is a fraction of a known number of patients."""
    claim_id = f"{name}_{set_name}"
    who = "with the event" if name == "sensitivity" else "without the event"
    claim = f"{set_name}: {name} {rate.text} of {total} patients {who}"
    if total is None or total <= 0:
        known = total is not None
        implies = f"A {name} is a share of patients {who}."
        reason = f"There are no patients {who}." if known else "The number of patients is needed."
        return Claim(claim_id, claim, implies, IMPOSSIBLE if known else CANNOT_BE_TOLD, reason)
    first, last = (int(each[0]) for each in numerators(rate, np.array([total])))
    if first <= last:
        fraction = f"{first} of {total}" if first == last else f"{first} to {last} of {total}"
        return Claim(claim_id, claim, f"{fraction} is printed so.", CONSISTENT, "It is a fraction.")
    below = min(math.floor(rate.value * total), total)
    nearest = [each for each in (below, below + 1) if each <= total]
    near = " and ".join(
        f"{each} of {total} is {each / total:.{rate.decimals}f}" for each in nearest
    )
    return Claim(
        claim_id,
        claim,
        f"The nearest that {total} patients allow: {near}.",
        IMPOSSIBLE,
        f"No whole number of {total} patients gives {rate.text}.",
    )


def _joint_rates(table: PrintedTable, set_name: str, rates: dict[str, PrintedNumber]) -> Claim:
    """Which numbers of events give both rates at once."""
    fits = feasible_events(table, set_name) or {PRINTED: [], SWAPPED: []}
    n = patients_of(table, set_name)
    swapped = (
        f"with the two labels swapped {_listed(fits[SWAPPED])}"
        if fits[SWAPPED]
        else "with the two labels swapped none"
    )
    implies = f"As printed {_listed(fits[PRINTED])} of {n} patients had the event, {swapped}."
    if fits[PRINTED]:
        verdict, reason = CONSISTENT, "At least one number of events gives both rates as printed."
        if len(fits[PRINTED]) > 1 or fits[SWAPPED]:
            reason += " Which one it was cannot be told from the rates."
    elif fits[SWAPPED]:
        verdict = IMPOSSIBLE
        reason = "No number of events gives both rates as labelled; swapped, they fit."
    else:
        verdict, reason = IMPOSSIBLE, "No number of events gives both rates, swapped or not."
    claim = f"{set_name}: {_rate_words(rates)}"
    return Claim(f"rates_{set_name}", claim, implies, verdict, reason)


def _listed(counts: list[int]) -> str:
    if not counts:
        return "none"
    if len(counts) > COUNTS_SHOWN:
        return f"any of {len(counts)} numbers from {counts[0]} to {counts[-1]}"
    words = [str(one) for one in counts]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


# Areas under the ROC curve ------------------------------------------------------------------------


def _area(table: PrintedTable, printed: PrintedPerformance) -> Iterator[Claim]:
    if printed.auc is None:
        return
    if printed.auc_low is not None and printed.auc_high is not None:
        yield from _area_interval(printed, printed.auc, printed.auc_low, printed.auc_high)
        yield from _area_errors(table, printed, printed.auc)
    if printed.sensitivity is not None and printed.specificity is not None:
        yield _area_against_rates(printed, printed.auc, printed.sensitivity, printed.specificity)


def _range(number: PrintedNumber) -> Range:
    return Range(number.low, number.value, number.high)


def _area_interval(
    printed: PrintedPerformance, auc: PrintedNumber, low: PrintedNumber, high: PrintedNumber
) -> Iterator[Claim]:
    claim = f"{printed.set}: AUC {auc.text}, 95 % interval {low.text} to {high.text}"
    inside = low.low <= auc.high and auc.low <= high.high and low.value <= high.value
    yield Claim(
        f"auc_interval_{printed.set}",
        claim,
        "An interval contains its own estimate.",
        CONSISTENT if inside else IMPOSSIBLE,
        "It does." if inside else f"{auc.text} lies outside {low.text} to {high.text}.",
    )
    if not inside:
        return
    middle = Range(
        (low.low + high.low) / 2, (low.value + high.value) / 2, (low.high + high.high) / 2
    )
    implies = f"DeLong's interval is symmetric: its middle, {middle.value:.4f}, is the estimate."
    verdict, reason = CONSISTENT, "The middle of the limits rounds to the estimate."
    if not overlap(middle, _range(auc)):
        verdict = CANNOT_BE_TOLD
        reason = (
            "The limits are not symmetric about the estimate"
            f"{_logit_words(auc, low, high)}. The method of the interval would be needed."
        )
    yield Claim(f"auc_symmetric_{printed.set}", claim, implies, verdict, reason)


def _logit_words(auc: PrintedNumber, low: PrintedNumber, high: PrintedNumber) -> str:
    """Say whether limits that are not symmetric are so on the logit scale."""
    if min(low.low, auc.low) <= 0 or max(high.high, auc.high) >= 1:
        return ""
    middle = Range(
        *(
            (logit(low_end) + logit(high_end)) / 2
            for low_end, high_end in (
                (low.low, high.low),
                (low.value, high.value),
                (low.high, high.high),
            )
        )
    )
    own = Range(*(float(logit(each)) for each in (auc.low, auc.value, auc.high)))
    if overlap(middle, own):
        return "; they are on the logit scale, which some programs use"
    return ", nor on the logit scale; a bootstrap gives such limits"


def _area_errors(
    table: PrintedTable, printed: PrintedPerformance, auc: PrintedNumber
) -> Iterator[Claim]:
    """Standard error of the interval against Hanley and McNeil's, for each feasible count."""
    n, error = patients_of(table, printed.set), auc_standard_error(printed)
    fitting, known = feasible_events(table, printed.set), events_of(table, printed.set)
    if n is None or error is None:
        return
    events = sorted({count for counts in (fitting or {}).values() for count in counts})
    if known is not None:
        events = [known]
    feasible = [each for each in events if 0 < each < n]
    if len(feasible) > COUNTS_SHOWN:
        feasible = [feasible[0], feasible[len(feasible) // 2], feasible[-1]]
    for each in feasible:
        formula = hanley_mcneil_se(auc.value, each, n - each)
        if formula == 0:  # an AUC of 0 or 1 has no such error
            continue
        ratio = Range(*(one / formula for one in (error.low, error.value, error.high)))
        near = ratio.low <= NEAR[1] and NEAR[0] <= ratio.high
        yield Claim(
            f"auc_error_{printed.set}_{each}",
            f"{printed.set}: AUC {auc.text} with an interval that implies SE {error.value:.4f}",
            f"With {each} events of {n}, Hanley and McNeil's formula gives {formula:.4f}.",
            CONSISTENT if near else CANNOT_BE_TOLD,
            f"The printed SE is {ratio.value:.2f} of the formula's, which "
            + (
                "scores of other shapes than the formula assumes explain."
                if near
                else "is more than the usual shapes of scores explain; the method of the interval "
                "and the number of events would be needed."
            ),
        )


def _area_against_rates(
    printed: PrintedPerformance,
    auc: PrintedNumber,
    sensitivity: PrintedNumber,
    specificity: PrintedNumber,
) -> Claim:
    """A ROC curve rises through its printed point, which bounds the area beneath it."""
    lowest = max(0.0, sensitivity.low) * max(0.0, specificity.low)
    highest = 1 - max(0.0, 1 - sensitivity.high) * max(0.0, 1 - specificity.high)
    inside = overlap(Range(lowest, lowest, highest), _range(auc))
    bounds = span(Range(lowest, lowest, highest))
    return Claim(
        f"auc_against_rates_{printed.set}",
        f"{printed.set}: AUC {auc.text}, sensitivity {sensitivity.text}, specificity "
        f"{specificity.text}",
        f"A ROC curve through this point has an area of {bounds}.",
        CONSISTENT if inside else IMPOSSIBLE,
        "The area lies within." if inside else f"No curve through the point has area {auc.text}.",
    )


# Calibration --------------------------------------------------------------------------------------


def _calibration(printed: PrintedPerformance) -> Iterator[Claim]:
    if printed.hosmer_lemeshow_p is not None:
        yield Claim(
            f"hosmer_lemeshow_{printed.set}",
            f"{printed.set}: Hosmer-Lemeshow P {printed.hosmer_lemeshow_p.text}",
            "Nothing that another printed number could contradict.",
            CANNOT_BE_TOLD,
            "The patients, the mean risk and the events of each group of risk would be needed.",
        )
    if printed.calibration_mae is not None:
        yield Claim(
            f"calibration_mae_{printed.set}",
            f"{printed.set}: mean absolute error of calibration {printed.calibration_mae.text}",
            "Nothing that another printed number could contradict.",
            CANNOT_BE_TOLD,
            "Risks and outcomes of the patients, or the calibration curve, would be needed.",
        )
