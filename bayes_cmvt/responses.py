"""Printed shares of responders as priors: what a review says of groups, in patients' worth.

A printed share becomes a Beta prior of the probability of the event in its group: Beta(a, b) with
whole a and b and a + b = worth, so that it can enter a logistic model as `a` pseudo-patients of the
group with the event and `b` without (conditional means prior: Bedrick, Christensen & Johnson 1996,
J. Am. Stat. Assoc. 91:1450, doi:10.1080/01621459.1996.10476713). Where the model's own prior is
flat on the log-odds, the prior of each group is exactly that Beta; any other prior multiplies it.

A source that prints shares without numbers of patients says nothing of ``worth``: it is declared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bayes_cmvt.errors import OptionError, StudyError, nearest, quoted
from bayes_cmvt.printed_numbers import read_printed
from bayes_cmvt.schema import (
    Categorical,
    Continuous,
    Level,
    LevelPredictor,
    PublishedDirection,
    PublishedResponse,
    level_key,
    level_text,
)
from bayes_cmvt.study import Study

SMALLEST_WORTH = 2  # one pseudo-patient with the event, one without

type Where = tuple[tuple[str, Level], ...]  # predictor and level, in the order of the study


@dataclass(frozen=True)
class ResponsePrior:
    """What is known of the probability of the event in one group of patients before the data.

    Attributes
    ----------
    group : str
        What the source calls the patients.
    where : tuple of (str, level)
        Levels of predictors that make the group; empty for all patients.
    printed : str
        As printed: a share, a bound, or the two ends of a range.
    low, high : float
        Range that the print leaves open.
    mean : float
        The printed share, or the middle of the range.
    a, b : int
        Pseudo-patients with and without the event: the prior is Beta(a, b).
    worth : int
        a + b, patients' worth of information.
    note : str
        How the print was read.
    """

    group: str
    where: Where
    printed: str
    low: float
    high: float
    mean: float
    a: int
    b: int
    worth: int
    note: str


@dataclass(frozen=True)
class ResponseDirection:
    """Of two strata of a group, the one that is printed to have more events; no figure.

    Attributes
    ----------
    where, better, worse : tuple of (str, level)
    note : str
    """

    where: Where
    better: Where
    worse: Where
    note: str


@dataclass(frozen=True, eq=False)
class PseudoPatients:
    """Rows that carry the priors into a logistic likelihood.

    Attributes
    ----------
    columns : ndarray, shape (pseudo-patient, coefficient)
        Encoded in the columns' own units, as `bayes_cmvt.design.encode` has them; nan where the
        print says nothing of a column: it stands at its mean.
    outcome : ndarray of {0, 1}, shape (pseudo-patient,)
    group : tuple of str
        The group of each row.
    """

    columns: NDArray[np.float64]
    outcome: NDArray[np.int64]
    group: tuple[str, ...]

    def standardised(
        self, mean: NDArray[np.float64], sd: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the rows as columns of a design with these constants; what is unsaid is 0.

        Parameters
        ----------
        mean, sd : ndarray, shape (coefficient,)
        """
        return np.nan_to_num((self.columns - mean) / sd, nan=0.0)


def where_text(where: Where) -> str:
    """Return a group's levels as tables write them.

    Examples
    --------
    >>> where_text((("type", "free"), ("age_group", "<25"))), where_text(())
    ('type = free, age_group = <25', 'all patients')
    """
    return ", ".join(f"{name} = {level_text(level)}" for name, level in where) or "all patients"


def response_priors(study: Study, worth: int | None = None) -> tuple[ResponsePrior, ...]:
    """Turn the printed responses of a study into priors.

    a is worth × mean, rounded to whole patients (a half upwards), at least 1 and at most worth - 1:
    without a patient of either kind the prior would be improper.

    Parameters
    ----------
    study : Study
    worth : int, optional
        Patients' worth of information of every figure; what the study file says unless given.

    Returns
    -------
    tuple of ResponsePrior
        In the order of the file; empty where nothing is printed.

    Raises
    ------
    StudyError
        An unknown predictor or level, a share that is missing, outside 0 to 1 or given twice, a
        range whose ends are not in order, a group that stands twice, a direction without a share;
        all at once, naming the key.
    OptionError
        A ``worth`` below 2.
    """
    if worth is not None and worth < SMALLEST_WORTH:
        msg = (
            f"worth: found {worth}; allowed: {SMALLEST_WORTH} patients or more, one that responds "
            "and one that does not"
        )
        raise OptionError(msg)
    if study.published is None:
        return ()
    _check(study, study.published.responses, study.published.directions)
    priors = [_prior(study, one, worth) for one in study.published.responses]
    return tuple(_with_overlaps(priors))


def response_directions(study: Study) -> tuple[ResponseDirection, ...]:
    """Return the printed directions of a study, levels as the study declares them.

    Raises
    ------
    StudyError
        As `response_priors`.
    """
    if study.published is None:
        return ()
    _check(study, study.published.responses, study.published.directions)
    return tuple(
        ResponseDirection(
            _declared(study, one.where),
            _declared(study, one.better),
            _declared(study, one.worse),
            one.note,
        )
        for one in study.published.directions
    )


def pseudo_patients(study: Study, priors: tuple[ResponsePrior, ...]) -> PseudoPatients:
    """Rows of pseudo-patients that carry priors into a logistic likelihood.

    Parameters
    ----------
    study : Study
    priors : tuple of ResponsePrior

    Returns
    -------
    PseudoPatients
        For each prior `a` rows with the event, then `b` without.
    """
    rows = np.array([_encoded(study, prior.where) for prior in priors])
    counts = [count for prior in priors for count in (prior.a, prior.b)]
    groups = [prior.group for prior in priors for _ in range(prior.a + prior.b)]
    columns = rows.reshape(len(priors), len(study.terms)).repeat(
        [prior.a + prior.b for prior in priors], axis=0
    )
    outcome = np.repeat(np.tile([1, 0], len(priors)), counts)
    return PseudoPatients(columns, outcome.astype(np.int64), tuple(groups))


def _encoded(study: Study, where: Where) -> NDArray[np.float64]:
    """Columns of a group in their own units; nan where the group says nothing of them."""
    named = dict(where)
    columns: list[float] = []
    for predictor in study.predictors:
        if predictor.name not in named or isinstance(predictor, Continuous):
            columns += [math.nan] * len(predictor.terms)
            continue
        code = [level_key(level) for level in predictor.levels].index(
            level_key(named[predictor.name])
        )
        if isinstance(predictor, Categorical):
            columns += [float(code == place) for place in range(1, len(predictor.levels))]
        else:
            columns.append(float(code))
    return np.array(columns)


# --- from print to prior -------------------------------------------------------------------------


def _prior(study: Study, response: PublishedResponse, worth: int | None) -> ResponsePrior:
    printed, low, high, mean, read_as = _read(response)
    worth = response.worth if worth is None else worth
    successes = min(max(math.floor(worth * mean + 0.5 + 1e-9), 1), worth - 1)
    notes = [response.note, read_as]
    if abs(successes / worth - mean) > 1e-9:
        whole = f"in whole patients {successes} of {worth}"
        notes.append(f"{whole}, {successes / worth:.3g} instead of {mean:.3g}")
    return ResponsePrior(
        group=response.group,
        where=_declared(study, response.where),
        printed=printed,
        low=low,
        high=high,
        mean=mean,
        a=successes,
        b=worth - successes,
        worth=worth,
        note="; ".join(note.strip().rstrip(".") for note in notes if note.strip()),
    )


def _read(response: PublishedResponse) -> tuple[str, float, float, float, str]:
    """As printed, lowest and highest share, the share taken, and how it was read."""
    if response.share is None:
        low, high = (read_printed(end or "").value for end in (response.low, response.high))
        middle = round((low + high) / 2, 12)
        return (
            f"{response.low} to {response.high}",
            low,
            high,
            middle,
            f"middle of the printed range, {middle:g}",
        )
    share = read_printed(response.share)
    low, high = max(share.low, 0.0), min(share.high, 1.0)
    if not share.bound:
        return share.text, low, high, share.value, f"what rounds to it: {low:g} to {high:g}"
    middle = round((low + high) / 2, 12)
    words = f'"{share.text}" read as {low:g} to {high:g}, its middle {middle:g} taken'
    return share.text, low, high, middle, words


def _with_overlaps(priors: list[ResponsePrior]) -> Iterator[ResponsePrior]:
    """Say where two figures inform about the same patients."""
    for prior in priors:
        also = [
            other.group
            for other in priors
            if other is not prior and _compatible(dict(prior.where), dict(other.where))
        ]
        if not also:
            yield prior
            continue
        words = f"shares patients with {quoted(also)}: both figures count there"
        yield replace(prior, note="; ".join(filter(None, [prior.note, words])))


def _compatible(one: Mapping[str, Level], other: Mapping[str, Level]) -> bool:
    """Whether a patient can be in both groups."""
    return all(level_key(one[name]) == level_key(other[name]) for name in one.keys() & other.keys())


def _declared(study: Study, where: Mapping[str, Level]) -> Where:
    """Levels as the study declares them, in the order of its predictors."""
    found: list[tuple[str, Level]] = []
    for predictor in study.predictors:
        if predictor.name in where and not isinstance(predictor, Continuous):
            key = level_key(where[predictor.name])
            found += [
                (predictor.name, level) for level in predictor.levels if level_key(level) == key
            ]
    return tuple(found)


# --- what cannot be used -------------------------------------------------------------------------


def _check(
    study: Study,
    responses: tuple[PublishedResponse, ...],
    directions: tuple[PublishedDirection, ...],
) -> None:
    problems: list[str] = []
    groups: dict[str, Mapping[str, Level]] = {}
    for number, response in enumerate(responses, start=1):
        place = f'[[published.responses]], no. {number} "{response.group}"'
        problems += _where_problems(study, response.where, f'{place}, key "where"')
        problems += _number_problems(response, place)
        if response.worth < SMALLEST_WORTH:
            problems.append(
                f'{place}, key "worth": found {response.worth}; allowed: {SMALLEST_WORTH} or more'
            )
        if not response.group.strip():
            problems.append(f'{place}, key "group": is blank; say who the patients are')
        if response.group in groups:
            problems.append(f'{place}, key "group": the name stands twice; give each its own')
        if any(_same(response.where, where) for where in groups.values()):
            problems.append(f'{place}, key "where": a share of these patients is already given')
        groups[response.group] = response.where
    for number, direction in enumerate(directions, start=1):
        place = f"[[published.directions]], no. {number}"
        problems += _direction_problems(study, direction, groups, place)
    if problems:
        msg = f"{study.source}: the printed responses under [published] cannot be used"
        raise StudyError(msg, problems)


def _where_problems(study: Study, where: Mapping[str, Level], place: str) -> Iterator[str]:
    predictors = {predictor.name: predictor for predictor in study.predictors}
    for name, level in where.items():
        predictor = predictors.get(name)
        if predictor is None:
            yield f'{place}: "{name}" is no predictor{nearest(name, predictors)}'
        elif isinstance(predictor, Continuous):
            yield f'{place}: "{name}" is a measurement; a group needs a predictor with levels'
        else:
            yield from _level_problems(predictor, level, place)


def _level_problems(predictor: LevelPredictor, level: Level, place: str) -> Iterator[str]:
    if level_key(level) not in map(level_key, predictor.levels):
        yield (
            f'{place}: {level!r} is no level of "{predictor.name}"; allowed: '
            f"{quoted(predictor.levels)}{nearest(level, predictor.levels)}"
        )


def _number_problems(response: PublishedResponse, place: str) -> Iterator[str]:
    printed = {"share": response.share, "low": response.low, "high": response.high}
    given = {key: read_printed(text) for key, text in printed.items() if text is not None}
    if not given:
        yield f'{place}: key "share" is missing; give it, or "low" and "high"'
    elif "share" in given and len(given) > 1:
        yield f'{place}: give either "share" or "low" and "high"'
    elif len(given) == 1 and "share" not in given:
        absent = "high" if "low" in given else "low"
        yield f'{place}: key "{absent}" is missing; "low" and "high" are the two ends of one range'
    for key, number in given.items():
        if not 0 <= number.value <= 1 or number.high <= 0 or number.low >= 1:
            yield (
                f'{place}, key "{key}": found "{number.text}"; a share lies between 0 and 1 '
                '(90 % is "0.90")'
            )
        elif number.bound and key != "share":
            yield (
                f'{place}, key "{key}": found "{number.text}"; the end of a range is a number; '
                'write a bound as "share"'
            )
    if {"low", "high"} <= given.keys() and given["low"].value >= given["high"].value:
        yield (
            f'{place}: "low" is {given["low"].text} and "high" {given["high"].text}; '
            "low must be the smaller"
        )


def _direction_problems(
    study: Study,
    direction: PublishedDirection,
    groups: Mapping[str, Mapping[str, Level]],
    place: str,
) -> Iterator[str]:
    for key in ("where", "better", "worse"):
        yield from _where_problems(study, getattr(direction, key), f'{place}, key "{key}"')
    if not any(_same(direction.where, where) for where in groups.values()):
        yield f'{place}, key "where": no share is given for these patients, so none can differ'
    if direction.better.keys() != direction.worse.keys() or not direction.better:
        yield f'{place}: "better" and "worse" must name levels of the same predictors'
    elif _same(direction.better, direction.worse):
        yield f'{place}: "better" and "worse" are the same patients'
    for name in sorted(direction.where.keys() & direction.better.keys()):
        yield f'{place}: "{name}" is in "where" already, so "better" cannot divide it'


def _same(one: Mapping[str, Level], other: Mapping[str, Level]) -> bool:
    return one.keys() == other.keys() and _compatible(one, other)
