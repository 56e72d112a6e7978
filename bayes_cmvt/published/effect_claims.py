"""Claims about printed coefficients: their limits, their P values, how they were chosen."""

from __future__ import annotations

import math
from collections.abc import Iterator

from scipy.special import ndtr

from bayes_cmvt.errors import quoted
from bayes_cmvt.printed_numbers import PrintedNumber
from bayes_cmvt.published.event_counts import patients_of
from bayes_cmvt.published.printed_table import (
    DEVELOPMENT,
    EDGE,
    NORMAL_97_5,
    PrintedEffect,
    PrintedTable,
    Range,
    z_of_p,
)
from bayes_cmvt.published.verdicts import (
    CANNOT_BE_TOLD,
    CONSISTENT,
    IMPOSSIBLE,
    Claim,
    Verdict,
    apart,
    overlap,
    span,
)
from bayes_cmvt.schema import Binary, Categorical

# In 728 small logistic regressions with thin classes z of the likelihood ratio was 0.89 to 1.78 of
# Wald's, and profile limits implied 1.00 to 1.15 of Wald's standard error.
SLIGHTLY_APART = 1.2
STRONGER_BY_LIKELIHOOD = 2.0


def effect_claims(table: PrintedTable) -> Iterator[Claim]:
    """Test every printed coefficient, and what is said of their choice."""
    for effect in table.effects:
        yield from _interval_claims(table, effect)
        yield from _p_against_error(table, effect)
        yield from _smallest_error(table, effect)
    for effect in table.effects:
        yield from _rule(table, effect)
    yield from _selection(table)


def printed_estimate(table: PrintedTable, effect: PrintedEffect) -> str:
    """Return a coefficient as it is printed, such as "OR 9.730"."""
    published = table.study.published
    texts = {one.term: one for one in published.coefficients} if published is not None else {}
    one = texts.get(effect.term)
    text = None if one is None else (one.odds_ratio if effect.as_odds_ratio else one.beta)
    if text is None:
        value = effect.log_odds.value
        text = f"{math.exp(value) if effect.as_odds_ratio else value:.3f}"
    return f"{'OR' if effect.as_odds_ratio else 'beta'} {text}"


# Limits -------------------------------------------------------------------------------------------


def _limits(effect: PrintedEffect) -> tuple[Range, Range] | None:
    """Both printed limits in log-odds, with what rounds to them."""
    if effect.interval is None:
        return None
    low, high = (
        Range(*(_scaled(each, effect) for each in (one.low, one.value, one.high)))
        for one in effect.interval
    )
    return low, high


def _scaled(value: float, effect: PrintedEffect) -> float:
    if not effect.as_odds_ratio:
        return value
    return math.log(value) if value > 0 else -math.inf


def _shown(log_odds: Range, effect: PrintedEffect) -> str:
    if not effect.as_odds_ratio:
        return span(log_odds)
    return span(Range(*(math.exp(x) for x in (log_odds.low, log_odds.value, log_odds.high))))


def _contained(effect: PrintedEffect) -> bool:
    """Whether the limits hold the estimate, as printed or as rounding may have moved it.

    What rounding alone brings to the very edge is not held, as when a table is read.
    """
    limits = _limits(effect)
    if limits is None:
        return True
    (low, high), estimate = limits, effect.log_odds
    if low.value <= estimate.value <= high.value:
        return True
    edge = EDGE * (high.high - low.low) if math.isfinite(low.low) else 0.0
    return low.low + edge <= estimate.high and estimate.low <= high.high - edge


def _middle(low: Range, high: Range) -> Range:
    return Range((low.low + high.low) / 2, (low.value + high.value) / 2, (low.high + high.high) / 2)


def _interval_claims(table: PrintedTable, effect: PrintedEffect) -> Iterator[Claim]:
    limits = _limits(effect)
    if limits is None:
        return
    estimate, words = printed_estimate(table, effect), _interval_words(effect)
    claim = f"{effect.term}: {estimate}, 95 % interval {words}"
    if not _contained(effect):
        implies = "An interval contains its own estimate."
        reason = f"{estimate} lies outside {words}: one of the three is not what was computed."
        yield Claim(f"interval_contains_{effect.term}", claim, implies, IMPOSSIBLE, reason)
        return
    yield Claim(
        f"interval_contains_{effect.term}",
        claim,
        "An interval contains its own estimate.",
        CONSISTENT,
        f"{estimate} lies within {words}.",
    )
    middle = _middle(*limits)
    shown = _shown(middle, effect)
    scale = "on the log scale " if effect.as_odds_ratio else ""
    verdict, reason = CONSISTENT, "The middle of the limits rounds to the estimate."
    if not overlap(middle, effect.log_odds):
        verdict = CANNOT_BE_TOLD
        reason = (
            f"The middle of the limits is {shown}, not {estimate}. Limits of a profile likelihood "
            "or a bootstrap need not be symmetric; the method of the interval would be needed to "
            "tell this from a misprint."
        )
    implies = f"The middle of a Wald interval, {scale}{shown}, is the estimate."
    yield Claim(f"interval_centre_{effect.term}", claim, implies, verdict, reason)


def _interval_words(effect: PrintedEffect) -> str:
    return " to ".join(one.text for one in effect.interval or ())


# P against the standard error ---------------------------------------------------------------------


def _p_against_error(table: PrintedTable, effect: PrintedEffect) -> Iterator[Claim]:
    """P against a printed interval and against a printed SE; the interval against the SE."""
    estimate = printed_estimate(table, effect)
    limits = _limits(effect)
    if limits is not None and effect.p is not None:
        printed = f"{estimate}, 95 % interval {_interval_words(effect)}"
        z = _z_of_limits(effect, limits)
        yield _p_claim(effect, effect.p, z, source="interval", printed=printed)
    if effect.origin == "se" and effect.p is not None:
        printed = f"{estimate}, SE {span(effect.se)}"
        z = _z(effect, effect.se)
        yield _p_claim(effect, effect.p, z, source="se", printed=printed)
    if effect.origin == "se" and limits is not None:
        yield _se_against_interval(effect, _error(limits), estimate)


def _error(limits: tuple[Range, Range]) -> Range:
    """SE of a Wald interval: its width over 2 · 1.96."""
    low, high = limits
    widths = (high.low - low.high, high.value - low.value, high.high - low.low)
    return Range(*(max(width, 0.0) / (2 * NORMAL_97_5) for width in widths))


def _z(effect: PrintedEffect, error: Range) -> Range:
    """|estimate / SE| over all that rounds to the print."""
    ends = sorted((abs(effect.log_odds.low), abs(effect.log_odds.high)))
    lowest = 0.0 if effect.log_odds.low <= 0 <= effect.log_odds.high else ends[0]
    sizes = Range(lowest, abs(effect.log_odds.value), ends[1])
    return Range(
        _over(sizes.low, error.high), _over(sizes.value, error.value), _over(sizes.high, error.low)
    )


def _over(size: float, error: float) -> float:
    return size / error if error > 0 else math.inf


def _z_of_limits(effect: PrintedEffect, limits: tuple[Range, Range]) -> Range:
    """|z| behind an interval; where it is not symmetric, by its width or by either half of it."""
    found = _z(effect, _error(limits))
    low, high = limits
    if overlap(_middle(low, high), effect.log_odds):
        return found
    halves = ((low, effect.log_odds), (effect.log_odds, high))
    errors = [_error(half) for half in halves]  # of half a width, so half as large
    ways = [found, *(_z(effect, Range(2 * e.low, 2 * e.value, 2 * e.high)) for e in errors)]
    return Range(min(one.low for one in ways), found.value, max(one.high for one in ways))


def _p_claim(
    effect: PrintedEffect, p: PrintedNumber, z: Range, *, source: str, printed: str
) -> Claim:
    """Compare a printed P with that of the z behind an interval or a standard error."""
    claim_id = f"p_against_{source}_{effect.term}"
    claim = f"{effect.term}: {printed}, P {_equals(p)}"
    if not _contained(effect):
        implies = "Nothing, while the interval does not contain its estimate."
        reason = "The estimate and the limits as they were computed would be needed."
        return Claim(claim_id, claim, implies, CANNOT_BE_TOLD, reason)
    words = "limits imply" if source == "interval" else "standard error implies"
    implies = f"The {words} z of {span(z)} and P of {span(_p_of(z), 2)}."
    return Claim(claim_id, claim, implies, *_p_verdict(p, z))


def _p_of(z: Range) -> Range:
    return Range(*(2 * float(ndtr(-each)) for each in (z.high, z.value, z.low)))


def _equals(p: PrintedNumber) -> str:
    return p.text if p.bound else f"= {p.text}"


def _p_verdict(p: PrintedNumber, of_error: Range) -> tuple[Verdict, str]:
    of_p = z_of_p(p)
    ratio = apart(of_error, of_p)
    if ratio == 1:
        return CONSISTENT, f"P {_equals(p)} is among these values."
    numbers = (
        f"P {_equals(p)} needs a z of {span(of_p)}, the rest of the row gives {span(of_error)}"
    )
    stronger = of_p.low > of_error.high
    if ratio <= (STRONGER_BY_LIKELIHOOD if stronger else SLIGHTLY_APART):
        return CANNOT_BE_TOLD, (
            f"{numbers}. A likelihood ratio's P, limits of a profile likelihood and Student's t "
            "differ from Wald's by as much; which of them was used would be needed."
        )
    contradiction = ""
    if of_error.low > NORMAL_97_5 > of_p.high:
        contradiction = " The 95 % limits exclude that there is no effect, this P does not."
    if of_error.high < NORMAL_97_5 < of_p.low:
        contradiction = " This P excludes that there is no effect, the 95 % limits do not."
    return IMPOSSIBLE, (
        f"{numbers}; neither rounding nor another usual test brings them together.{contradiction}"
    )


def _se_against_interval(effect: PrintedEffect, error: Range, estimate: str) -> Claim:
    claim = f"{effect.term}: {estimate}, SE {span(effect.se)}, interval {_interval_words(effect)}"
    ratio = apart(error, effect.se)
    implies = f"Half the width of the interval over 1.96 is {span(error)}."
    if ratio == 1:
        verdict, reason = CONSISTENT, "The two standard errors round to the same print."
    elif ratio <= SLIGHTLY_APART:
        verdict = CANNOT_BE_TOLD
        reason = (
            "The two differ by no more than Wald's limits and those of a profile likelihood or of "
            "Student's t; the method of the interval would be needed."
        )
    else:
        verdict, reason = IMPOSSIBLE, "The two differ by more than any usual interval does."
    return Claim(f"se_against_interval_{effect.term}", claim, implies, verdict, reason)


def _smallest_error(table: PrintedTable, effect: PrintedEffect) -> Iterator[Claim]:
    """A 0/1 column has variance 1/4 at most, and so has an outcome: SE is 4/√n or more."""
    n = patients_of(table, DEVELOPMENT) or table.n
    binary = isinstance(effect.predictor, Binary | Categorical)
    if n is None or not binary or effect.is_bound or not 0 < effect.se.value < math.inf:
        return
    least = 4 / math.sqrt(n)
    verdict, reason = CONSISTENT, f"It is {span(effect.se)}."
    if effect.se.high * SLIGHTLY_APART < least:
        verdict = IMPOSSIBLE
        reason = f"It is {span(effect.se)}, which {n} patients cannot give by maximum likelihood."
    elif effect.se.high < least:
        verdict = CANNOT_BE_TOLD
        reason = (
            f"It is {span(effect.se)}, a little less; which test and which interval were used "
            "would be needed."
        )
    yield Claim(
        f"standard_error_{effect.term}",
        f"{effect.term}: {printed_estimate(table, effect)}, standard error {span(effect.se)}",
        f"With two classes among {n} patients Wald's standard error is 4/√n = {least:.3g} or more.",
        verdict,
        reason,
    )


# How the effects were chosen ----------------------------------------------------------------------


def _rule(table: PrintedTable, effect: PrintedEffect) -> Iterator[Claim]:
    """P below the level of the rule that kept the printed predictors."""
    baseline = table.study.baseline
    if effect.p is None or baseline.elimination is not None or baseline.p_enter >= 1:
        return
    level, words = baseline.p_enter, f"P {_equals(effect.p)}"
    verdict, reason = CONSISTENT, f"Every value that is printed so is below {level:g}."
    if effect.p.low >= level:
        verdict, reason = _not_below(words, level, declared="p_enter" in baseline.model_fields_set)
    elif effect.p.high > level or (effect.p.value == level and not effect.p.bound):
        verdict = CANNOT_BE_TOLD
        reason = f"It may lie on either side of {level:g}; more digits would be needed."
    claim = f"{effect.term}: {words} in the final model"
    implies = f"The rule of the final model, P < {level:g}, keeps it."
    yield Claim(f"p_rule_{effect.term}", claim, implies, verdict, reason)


def _not_below(words: str, level: float, *, declared: bool) -> tuple[Verdict, str]:
    if declared:
        return IMPOSSIBLE, (
            f"{words} is not below {level:g}: the rule that the study declares under [baseline] "
            "would have dropped it."
        )
    return CANNOT_BE_TOLD, (
        f"{words} is not below {level:g}, but the study file declares no rule (p_enter under "
        "[baseline]); the source's rule would be needed."
    )


def _selection(table: PrintedTable) -> Iterator[Claim]:
    yield from _retained_terms(table)
    yield from _retained_number(table)
    yield from _candidates(table)


def _retained_terms(table: PrintedTable) -> Iterator[Claim]:
    if not table.retained or not table.effects:
        return
    kept = set(table.retained)
    missing = [
        one.term for one in table.effects if one.term not in kept and one.predictor.name not in kept
    ]
    yield Claim(
        "retained_terms",
        f"The first selection kept {len(table.retained)} predictors, the final model has "
        f"{len(table.effects)} coefficients",
        "Every predictor of the final model is among those that the first selection kept.",
        IMPOSSIBLE if missing else CONSISTENT,
        f"Not among those kept: {quoted(missing)}." if missing else "Each of them is.",
    )


def _retained_number(table: PrintedTable) -> Iterator[Claim]:
    if not table.retained:
        return
    number, candidates = len(table.retained), table.candidates
    fits = number <= candidates
    yield Claim(
        "retained_number",
        f"{number} of {candidates} candidates were kept",
        "No more are kept than there were candidates.",
        CONSISTENT if fits else IMPOSSIBLE,
        f"{number} {'does not exceed' if fits else 'exceeds'} {candidates}.",
    )


def _candidates(table: PrintedTable) -> Iterator[Claim]:
    published, declared = table.study.published, len(table.study.predictors)
    if published is None or published.candidates is None:
        return
    same = table.candidates == declared
    yield Claim(
        "candidates",
        f"{table.candidates} candidate predictors",
        f"The study file declares {declared} predictors.",
        CONSISTENT if same else CANNOT_BE_TOLD,
        "The two agree."
        if same
        else "The study file does not list the same number; the source's full list of candidates "
        "would be needed.",
    )
