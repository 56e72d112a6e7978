"""The ``[published]`` table of a study as numbers with the intervals that their print leaves open.

A printed odds ratio with its P value has a standard error: SE = |ln OR| / z, z = Φ⁻¹(1 - P/2). Both
are rounded, so z, SE and the confidence interval are intervals too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from scipy.special import ndtri

from bayes_cmvt.errors import StudyError
from bayes_cmvt.printed_numbers import PrintedNumber, read_printed
from bayes_cmvt.schema import (
    AnyPredictor,
    Continuous,
    Ordinal,
    Published,
    PublishedCoefficient,
    PublishedPerformance,
    level_text,
)
from bayes_cmvt.study import Study

NORMAL_97_5 = float(ndtri(0.975))
WITHOUT_PATIENTS = (
    '[published], key "n_development" is missing; what standard errors say about the design needs '
    "the number of patients that the coefficients were fitted to"
)
EDGE = 0.1  # of an interval's width on either side, in which no estimate stands
DEVELOPMENT, VALIDATION = "development", "validation"


@dataclass(frozen=True)
class Range:
    """A quantity that a print leaves open within limits; ``value`` is that at the print itself.

    A limit that cannot be told is infinite, or nan.
    """

    low: float
    value: float
    high: float


@dataclass(frozen=True)
class PrintedEffect:
    """One printed coefficient.

    Attributes
    ----------
    term : str
    predictor : AnyPredictor
        Of the study.
    log_odds : Range
        ln OR, or the printed beta, per one unit of the column whatever it is printed for.
    z : Range
        |estimate / SE|; ``high`` is inf where P is printed as a bound.
    se : Range
        Of the log odds ratio. Where P is a bound ("<0.001"), ``value`` and ``high`` are the largest
        SE that the bound allows and ``low`` is 0: it cannot be told.
    origin : {"p", "interval", "se", "nothing"}
        What the standard error follows from; "nothing": z and se are nan.
    p : PrintedNumber or None
    interval : tuple of PrintedNumber or None
        Printed 95 % limits, on the scale of the printed estimate (odds ratio or beta) per one unit.
    as_odds_ratio : bool
        Whether the estimate is printed as an odds ratio.
    """

    term: str
    predictor: AnyPredictor
    log_odds: Range
    z: Range
    se: Range
    origin: Literal["p", "interval", "se", "nothing"]
    p: PrintedNumber | None
    interval: tuple[PrintedNumber, PrintedNumber] | None
    as_odds_ratio: bool

    @property
    def sign(self) -> int:
        """1, or -1 for a printed odds ratio below 1; 0 where the rounding hides it."""
        if self.log_odds.low > 0:
            return 1
        return -1 if self.log_odds.high < 0 else 0

    @property
    def is_bound(self) -> bool:
        """Whether z is known from below only, as for P < 0.001."""
        return math.isinf(self.z.high)

    @property
    def contrast(self) -> float | None:
        """Units of the predictor on which its effect has a meaning; None where none is declared.

        A change of level is a contrast; of a measurement, ``per = ...`` of the study declares one.
        """
        if isinstance(self.predictor, Continuous | Ordinal):
            return self.predictor.per
        return 1.0

    @property
    def contrast_words(self) -> str:
        """What the printed effect is of, in words."""
        one = self.predictor
        if isinstance(one, Continuous | Ordinal):
            return f"per 1 {one.unit}" if one.unit else "per unit"
        level = self.term.removeprefix(f"{one.name}[").removesuffix("]")
        if self.term == one.name:
            level = level_text(one.levels[1])
        return f"{level} against {level_text(one.levels[0])}"


@dataclass(frozen=True)
class PrintedPerformance:
    """What was printed of one set of patients; counts are None where nothing says them."""

    set: str
    n: int | None
    events: int | None
    auc: PrintedNumber | None
    auc_low: PrintedNumber | None
    auc_high: PrintedNumber | None
    sensitivity: PrintedNumber | None
    specificity: PrintedNumber | None
    hosmer_lemeshow_p: PrintedNumber | None
    calibration_mae: PrintedNumber | None


@dataclass(frozen=True)
class PrintedTable:
    """The whole ``[published]`` table, read.

    Attributes
    ----------
    study : Study
    n, n_development, n_validation : int or None
    candidates : int
        Candidate predictors: printed, else those of the study.
    incidence : tuple of float or None
        Range in the literature that the source quotes.
    assumed_odds_ratio : float or None
        Effect at which type S and type M errors are stated, above 1.
    expected_odds_ratio : float or None
        Effect that optimistic and pessimistic priors are centred at, above 1: ``expected_or`` of
        the study, else ``assumed_or``, the one effect that it declares.
    retained : tuple of str
        Terms that the source's first selection kept.
    effects : tuple of PrintedEffect
    performance : tuple of PrintedPerformance
    """

    study: Study
    n: int | None
    n_development: int | None
    n_validation: int | None
    candidates: int
    incidence: tuple[float, float] | None
    assumed_odds_ratio: float | None
    expected_odds_ratio: float | None
    retained: tuple[str, ...]
    effects: tuple[PrintedEffect, ...]
    performance: tuple[PrintedPerformance, ...]

    def of_set(self, name: str) -> PrintedPerformance | None:
        """Return the printed performance of one set, None where nothing was printed."""
        return next((one for one in self.performance if one.set == name), None)


type Impossible = Callable[[PrintedTable], Iterable[str]]


def read_published(
    study: Study, impossible: Impossible = lambda _: (), *, patients_needed: bool = True
) -> PrintedTable:
    """Read the ``[published]`` table of a study.

    Parameters
    ----------
    study : Study
    impossible : callable, optional
        Takes the table as far as it can be read and gives what is impossible in it, one line each;
        called where the table is refused, so that one message says all.
    patients_needed : bool
        Whether printed coefficients are refused without the number of patients they come from.

    Returns
    -------
    PrintedTable

    Raises
    ------
    StudyError
        There is no such table, or numbers in it that cannot be: P of 0 or above 1, an odds ratio of
        0 or less, limits that do not hold the estimate, numbers of patients missing; all at once.
    """
    if study.published is None:
        msg = (
            f'{study.source}: study "{study.name}" has no [published] table, the printed results '
            "to work from; see models/README.md for its keys"
        )
        raise StudyError(msg)
    problems: list[str] = []
    table = _read(study, study.published, problems)
    if patients_needed and table.effects and table.n_development is None:
        problems.append(WITHOUT_PATIENTS)
    if problems:
        msg = f"{study.source}: the printed results under [published] cannot be used"
        raise StudyError(msg, [*problems, *impossible(table)])
    return table


def _read(study: Study, published: Published, problems: list[str]) -> PrintedTable:
    counts = {
        key: _count(getattr(published, key), f'[published], key "{key}"', problems)
        for key in ("n", "n_development", "n_validation", "candidates")
    }
    for key in ("n", "n_development", "n_validation"):
        events = key.replace("n", "events", 1)
        where = f'[published], key "{events}"'
        _events(getattr(published, events), where, counts[key], problems)
    terms = [one.term for one in published.coefficients]
    problems += [
        f'[[published.coefficients]] "{term}": stands {terms.count(term)} times; a term is printed '
        "once"
        for term in dict.fromkeys(terms)
        if terms.count(term) > 1
    ]
    effects = tuple(_effect(study, one, problems) for one in published.coefficients)
    performance = tuple(_performance(published, one, problems) for one in published.performance)
    incidence = published.literature_incidence
    assumed = _declared(published.assumed_or, "assumed_or", problems)
    return PrintedTable(
        study=study,
        n=counts["n"],
        n_development=counts["n_development"],
        n_validation=counts["n_validation"],
        candidates=counts["candidates"] or len(study.predictors),
        incidence=None
        if incidence is None
        else _incidence((read_printed(incidence[0]), read_printed(incidence[1])), problems),
        assumed_odds_ratio=assumed,
        expected_odds_ratio=_declared(published.expected_or, "expected_or", problems) or assumed,
        retained=published.retained,
        effects=tuple(effect for effect in effects if effect is not None),
        performance=performance,
    )


def _count(text: str | None, where: str, problems: list[str]) -> int | None:
    if text is None:
        return None
    printed = read_printed(text)
    if printed.bound or printed.decimals or printed.value < 1:
        problems.append(f'{where}: found "{text}"; allowed: a whole number, 1 or more')
        return None
    return int(printed.value)


def _events(text: str | None, where: str, n: int | None, problems: list[str]) -> int | None:
    if text is None:
        return None
    printed = read_printed(text)
    whole = not printed.bound and not printed.decimals
    if not whole or not 1 <= printed.value < (n or math.inf):
        among = "" if n is None else f", below the {n} patients"
        problems.append(
            f'{where}: found "{text}"; allowed: a whole number from 1 up{among}, for a model needs '
            "patients with and without the event"
        )
        return None
    return int(printed.value)


def _declared(text: str | None, key: str, problems: list[str]) -> float | None:
    """An odds ratio that the study declares, on the far side of 1."""
    if text is None:
        return None
    value = read_printed(text).value
    if value <= 0 or value == 1:
        problems.append(
            f'[published], key "{key}": found "{text}"; allowed: an odds ratio above 0, other '
            "than 1"
        )
        return None
    return max(value, 1 / value)


def _incidence(
    printed: tuple[PrintedNumber, PrintedNumber], problems: list[str]
) -> tuple[float, float] | None:
    low, high = printed[0].value, printed[1].value
    if not 0 < low <= high < 1:
        problems.append(
            f'[published], key "literature_incidence": found "{printed[0].text}", '
            f'"{printed[1].text}"; allowed: two shares between 0 and 1, the smaller first'
        )
        return None
    return low, high


# One coefficient ----------------------------------------------------------------------------------


def _effect(study: Study, one: PublishedCoefficient, problems: list[str]) -> PrintedEffect | None:
    where = f'[[published.coefficients]] "{one.term}"'
    as_odds_ratio = one.odds_ratio is not None
    estimate = read_printed(one.odds_ratio or one.beta or "1")
    found: list[str] = []
    if estimate.bound:
        found.append(f'{where}: the estimate "{estimate.text}" is a bound; give the number itself')
    elif as_odds_ratio and estimate.value <= 0:
        found.append(
            f'{where}, key "odds_ratio": found "{estimate.text}"; allowed: a number above 0'
        )
    p = _p_value(one.p, f'{where}, key "p"', found)
    se = _standard_error(one.se, f'{where}, key "se"', found)
    interval = _interval(one, as_odds_ratio=as_odds_ratio, where=where, problems=found)
    problems += found
    if estimate.bound or (as_odds_ratio and estimate.value <= 0):
        return None
    if interval is not None and not _holds(interval, estimate, as_odds_ratio=as_odds_ratio):
        key = "odds_ratio" if as_odds_ratio else "beta"
        problems.append(
            f'{where}, keys "low" and "high": the interval {interval[0].text} to '
            f'{interval[1].text} does not contain {key} = "{estimate.text}"; check the three '
            "against the print"
        )
    estimate = _per_unit(estimate, one.per, as_odds_ratio=as_odds_ratio)
    if interval is not None:
        low, high = (_per_unit(each, one.per, as_odds_ratio=as_odds_ratio) for each in interval)
        interval = low, high
    se = None if se is None else _per_unit(se, one.per, as_odds_ratio=False)
    log_odds = _log_odds(estimate, as_odds_ratio=as_odds_ratio)
    z, error, origin = _z_and_error(log_odds, p, interval, se, as_odds_ratio=as_odds_ratio)
    return PrintedEffect(
        term=one.term,
        predictor=next(each for each in study.predictors if one.term in each.terms),
        log_odds=log_odds,
        z=z,
        se=error,
        origin=origin,
        p=p,
        interval=interval,
        as_odds_ratio=as_odds_ratio,
    )


def _per_unit(printed: PrintedNumber, per: float, *, as_odds_ratio: bool) -> PrintedNumber:
    """A number that is printed per so many units, as it is per one; its text stays as printed."""
    if per == 1:
        return printed

    def scaled(value: float) -> float:
        if not as_odds_ratio:
            return value / per
        return math.exp(math.log(value) / per) if value > 0 else value

    return replace(
        printed,
        value=scaled(printed.value),
        low=scaled(printed.low),
        high=scaled(printed.high),
    )


def _p_value(text: str | None, where: str, problems: list[str]) -> PrintedNumber | None:
    if text is None:
        return None
    printed = read_printed(text)
    if not printed.bound and printed.value == 0:
        bound = f"<0.{'0' * (printed.decimals - 1)}1" if printed.decimals else "<0.001"
        problems.append(
            f'{where}: found "{text}"; no P value is 0: write what it stands for, such as "{bound}"'
        )
    elif not 0 < printed.value <= 1 or (printed.bound == ">" and printed.value >= 1):
        problems.append(f'{where}: found "{text}"; allowed: above 0, at most 1')
    else:
        return printed
    return None


def _standard_error(text: str | None, where: str, problems: list[str]) -> PrintedNumber | None:
    if text is None:
        return None
    printed = read_printed(text)
    if printed.bound or printed.value <= 0:
        problems.append(f'{where}: found "{text}"; allowed: a number above 0')
        return None
    return printed


def _interval(
    one: PublishedCoefficient, *, as_odds_ratio: bool, where: str, problems: list[str]
) -> tuple[PrintedNumber, PrintedNumber] | None:
    if one.low is None or one.high is None:
        return None
    low, high = read_printed(one.low), read_printed(one.high)
    if low.bound or high.bound:
        problems.append(f'{where}, keys "low" and "high": limits are numbers, not bounds')
    elif low.value >= high.value:
        problems.append(
            f'{where}, keys "low" and "high": found "{one.low}" and "{one.high}"; the lower limit '
            "must be smaller"
        )
    elif as_odds_ratio and low.value < 0:
        problems.append(f'{where}, key "low": found "{one.low}"; an odds ratio is above 0')
    else:
        return low, high
    return None


def _holds(
    interval: tuple[PrintedNumber, PrintedNumber], estimate: PrintedNumber, *, as_odds_ratio: bool
) -> bool:
    """Whether an interval contains its estimate, as printed or as rounding may have moved it.

    What rounding alone brings to the very edge is not contained: no interval of any width has its
    estimate there.
    """
    if interval[0].value <= estimate.value <= interval[1].value:
        return True
    scale = _log if as_odds_ratio else float
    low, high = scale(interval[0].low), scale(interval[1].high)
    edge = EDGE * (high - low) if math.isfinite(low) else 0.0
    return low + edge <= scale(estimate.high) and scale(estimate.low) <= high - edge


def _log_odds(estimate: PrintedNumber, *, as_odds_ratio: bool) -> Range:
    if not as_odds_ratio:
        return Range(estimate.low, estimate.value, estimate.high)
    return Range(_log(estimate.low), math.log(estimate.value), math.log(estimate.high))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _z_and_error(
    log_odds: Range,
    p: PrintedNumber | None,
    interval: tuple[PrintedNumber, PrintedNumber] | None,
    se: PrintedNumber | None,
    *,
    as_odds_ratio: bool,
) -> tuple[Range, Range, Literal["p", "interval", "se", "nothing"]]:
    """The most direct source first: a printed SE, then the printed limits, then P."""
    sizes = _sizes(log_odds)
    if se is not None:
        error = Range(se.low, se.value, se.high)
        return _ratio(sizes, error), error, "se"
    if interval is not None:
        error = _error_of_interval(interval, log_odds, as_odds_ratio=as_odds_ratio)
        return _ratio(sizes, error), error, "interval"
    if p is not None:
        z = z_of_p(p)
        error = _error_of_z(sizes, z)
        hidden = sizes.low == 0  # the direction is unknown, and how large the estimate was
        return z, Range(error.low, math.nan, error.high) if hidden else error, "p"
    unknown = Range(math.nan, math.nan, math.nan)
    return unknown, unknown, "nothing"


def _sizes(log_odds: Range) -> Range:
    ends = sorted((abs(log_odds.low), abs(log_odds.high)))
    low = 0.0 if log_odds.low <= 0 <= log_odds.high else ends[0]
    return Range(low, abs(log_odds.value), ends[1])


def _ratio(over: Range, under: Range) -> Range:
    return Range(
        _divided(over.low, under.high),
        _divided(over.value, under.value),
        _divided(over.high, under.low),
    )


def _divided(over: float, under: float) -> float:
    return math.inf if under == 0 else over / under


def _error_of_interval(
    interval: tuple[PrintedNumber, PrintedNumber], log_odds: Range, *, as_odds_ratio: bool
) -> Range:
    """SE = (upper - lower) / (2 · 1.96) in log-odds, over all that rounds to the print.

    A lower limit that may be 0 has no logarithm: the upper half of the interval stands for both.
    """
    lower, upper = interval
    scale = _log if as_odds_ratio else float
    if math.isinf(scale(lower.low)):
        above = scale(upper.low) - log_odds.high, scale(upper.high) - log_odds.low
        half = scale(upper.value) - log_odds.value
        low, value, high = (max(each, 0.0) / NORMAL_97_5 for each in (above[0], half, above[1]))
        return Range(low, value, high)
    widths = (
        scale(upper.low) - scale(lower.high),
        scale(upper.value) - scale(lower.value),
        scale(upper.high) - scale(lower.low),
    )
    low, value, high = (max(width, 0.0) / (2 * NORMAL_97_5) for width in widths)
    return Range(low, value, high)


def z_of_p(p: PrintedNumber) -> Range:
    """|z| behind a printed two-sided P value: Φ⁻¹(1 - P/2) over all that rounds to the print.

    Parameters
    ----------
    p : PrintedNumber

    Returns
    -------
    Range
        Of "<0.001": from 3.29, which is also ``value``, to infinity; of ">0.05" from 0 to 1.96,
        ``value`` nan.

    Examples
    --------
    >>> z = z_of_p(read_printed("0.007"))
    >>> round(z.low, 3), round(z.value, 3), round(z.high, 3)
    (2.674, 2.697, 2.721)
    """
    low, high = max(p.low, 0.0), min(p.high, 1.0)
    value = math.nan if p.bound == ">" else _z(p.value)
    return Range(_z(high), value, math.inf if low == 0 else _z(low))


def _z(p: float) -> float:
    return abs(float(ndtri(p / 2)))


def _error_of_z(sizes: Range, z: Range) -> Range:
    """SE = |ln OR| / z; under a bound on P the largest SE is the one that is used."""
    if math.isinf(z.high):
        return Range(0.0, _divided(sizes.value, z.low), _divided(sizes.high, z.low))
    return _ratio(sizes, z)


# One set of patients ------------------------------------------------------------------------------


def _performance(
    published: Published, one: PublishedPerformance, problems: list[str]
) -> PrintedPerformance:
    where = f'[[published.performance]] "{one.set}"'
    n = _of_set(published, one, "n", where, problems)
    n_count = _count(n, f'{where}, key "n"', problems)
    if n is None:
        place = f"[published] n_{one.set}" if one.set in (DEVELOPMENT, VALIDATION) else "its key n"
        problems.append(f"{where}: the number of patients is missing; give it as {place}")
    events = _of_set(published, one, "events", where, problems)
    read = {
        key: _share(getattr(one, key), f'{where}, key "{key}"', problems)
        for key in (
            "auc",
            "auc_low",
            "auc_high",
            "sensitivity",
            "specificity",
            "hosmer_lemeshow_p",
            "calibration_mae",
        )
    }
    if (read["auc_low"] is None) != (read["auc_high"] is None):
        problems.append(f'{where}: "auc_low" and "auc_high" are one interval; give both')
    return PrintedPerformance(
        one.set, n_count, _events(events, f'{where}, key "events"', n_count, problems), **read
    )


def _of_set(
    published: Published, one: PublishedPerformance, key: str, where: str, problems: list[str]
) -> str | None:
    """A count that stands in the table of the set, or beside those of the whole study."""
    own: str | None = getattr(one, key)
    general: str | None = getattr(published, f"{key}_{one.set}", None)
    if own is not None and general is not None and own != general:
        problems.append(
            f'{where}, key "{key}": found "{own}", but [published] says {key}_{one.set} = '
            f'"{general}"'
        )
    return general if own is None else own


def _share(text: str | None, where: str, problems: list[str]) -> PrintedNumber | None:
    if text is None:
        return None
    printed = read_printed(text)
    if not 0 <= printed.value <= 1:
        problems.append(f'{where}: found "{text}"; allowed: 0 to 1')
        return None
    return printed
