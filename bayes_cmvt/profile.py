"""One patient whose risk is asked for: a row of the cohort, or values that a user types."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayes_cmvt.cells import match_levels
from bayes_cmvt.cohort import LOWEST_VALUE, Cohort, level_categories
from bayes_cmvt.errors import OptionError, nearest, quoted
from bayes_cmvt.predictor_axes import PredictorAxis, predictor_axes
from bayes_cmvt.pretty_values import number_text
from bayes_cmvt.schema import Continuous, LevelPredictor, level_text

MANY_DIGITS = 1e9  # numbers from here are written with an exponent
ROW = "row"
FARTHEST = 100.0  # lengths of an axis: a value beyond is a slip, and no model knows of it
HEADING = "the patient cannot be read"


@dataclass(frozen=True, eq=False)
class Profile:
    """Values of all predictors of one patient.

    Attributes
    ----------
    name : str
        ``row 17``, or ``profile``.
    row : int or None
        Row of the input file; None for values that were typed.
    predictors : DataFrame, shape (1, predictor)
        As `Cohort.predictors`.
    assumed : frozenset of str
        Predictors that nobody named: `PredictorAxis.common` stands for them.
    """

    name: str
    row: int | None
    predictors: pd.DataFrame
    assumed: frozenset[str]


def patient_profile(
    cohort: Cohort, values: Mapping[str, object] | str | int, *, needed: Sequence[str] | None = None
) -> Profile:
    """One patient: a row of the cohort by its number, or a profile by its values.

    Parameters
    ----------
    cohort : Cohort
    values : int, str or mapping
        Row of the input file (1 = first after the header); or predictors with their values, as a
        mapping or as ``"age=70,anaesthesia=general"``; ``"row=17"`` names a row. A predictor that
        is not named is assumed to be at its median, or its most frequent level.
    needed : sequence of str, optional
        Predictors that the model uses: only of these it is said that they are assumed.

    Returns
    -------
    Profile

    Raises
    ------
    OptionError
        No such row, an unknown predictor or level, a value that is no number or lies outside the
        range that the study declares; all at once.

    Examples
    --------
    >>> import bayes_cmvt as bc
    >>> cohort = bc.load_cohort(bc.load_study("pep"))
    >>> profile = patient_profile(cohort, "age=44, sod=1")
    >>> profile.predictors["age"].tolist(), len(profile.assumed)
    ([44.0], 17)
    """
    given = _pairs(cohort, values) if isinstance(values, str) else values
    if isinstance(given, Mapping) and set(given) == {ROW} and ROW not in cohort.predictors:
        given = _row_number(given[ROW])
    if isinstance(given, Mapping):
        return _typed(cohort, given, needed)
    if isinstance(given, bool) or not isinstance(given, int | np.integer):
        msg = (
            f"patient: found {type(given).__name__}; expected the number of a row, a mapping of "
            'predictors to values, or a text such as "age=70,sex=female"'
        )
        raise OptionError(msg)
    found = cohort.predictors.index.get_indexer(pd.Index([given]))
    if found[0] < 0:
        rows = cohort.rows
        msg = (
            f"row: found {given}; it is not among the {len(rows)} rows analysed, which lie between "
            f"{rows.min()} and {rows.max()} of {cohort.source}"
        )
        raise OptionError(msg)
    return Profile(f"row {given}", int(given), cohort.predictors.iloc[found], frozenset())


def _row_number(given: object) -> int:
    text = str(given).strip()
    if not re.fullmatch(r"[0-9]{1,9}", text):
        msg = f"row: found {text!r}; allowed: the number of a row of the input file, such as 17"
        raise OptionError(msg)
    return int(text)


def _pairs(cohort: Cohort, text: str) -> dict[str, object]:
    """``KEY=VALUE,…`` as a mapping; predictors' names may hold commas and signs of equality.

    A comma separates where a name and a sign of equality follow; others belong to values.
    """
    names = sorted(map(str, cohort.predictors), key=len, reverse=True)
    key_pattern = "|".join([*map(re.escape, names), r"[^,=]+?"])
    keys = list(re.finditer(rf"(?:^\s*|,\s*)({key_pattern})\s*=", text))
    found: dict[str, object] = {}
    problems = []
    if not keys or keys[0].start() > 0:
        problems.append(f"{text!r}: expected KEY=VALUE, such as age=70, or row=17")
    for this, following in zip(keys, [*keys[1:], None], strict=False):
        if this[1] in found:
            problems.append(f"{this[1]}: named twice")
        end = len(text) if following is None else following.start()
        found[this[1]] = text[this.end() : end].strip()
    if ROW in found and len(found) > 1 and ROW not in cohort.predictors:
        problems.append("row names a whole patient; leave the other values out, or leave row out")
    if problems:
        raise OptionError(HEADING, problems)
    return found


def _typed(cohort: Cohort, given: Mapping[str, object], needed: Sequence[str] | None) -> Profile:
    axes = {axis.predictor.name: axis for axis in predictor_axes(cohort)}
    problems = [
        f"{key}: no predictor of study {cohort.study.name} has this name{nearest(key, axes)}; "
        f"allowed: {quoted(axes, at_most=40)}"
        for key in given
        if key not in axes
    ]
    columns: dict[str, object] = {}
    for name, axis in axes.items():
        number = axis.common
        if name in given:
            number = _number(axis, given[name], problems, cohort.study.source)
        columns[name] = _column(axis, number)
    if problems:
        raise OptionError(HEADING, problems)
    assumed = set(axes if needed is None else needed) - set(given)
    frame = pd.DataFrame(columns, index=pd.Index([1], name=ROW))
    return Profile("profile", None, frame, frozenset(assumed))


def _column(axis: PredictorAxis, number: float) -> object:
    if isinstance(axis.predictor, Continuous):
        return [number]
    return level_categories(axis.predictor, np.array([int(number)]))


def _number(axis: PredictorAxis, value: object, problems: list[str], source: str) -> float:
    """The number, or code of the level, that a typed value means."""
    predictor = axis.predictor
    if isinstance(predictor, Continuous):
        return _measurement(predictor, axis, value, problems, source)
    return _code(predictor, value, problems)


def _code(predictor: LevelPredictor, value: object, problems: list[str]) -> float:
    cell = pd.Series([value], dtype=object)
    code = int(match_levels(cell, predictor.levels, value_labels={}).codes[0])
    if code < 0:
        levels = [level_text(level) for level in predictor.levels]
        problems.append(
            f"{predictor.name}: found {str(value)!r}{nearest(value, levels)}; "
            f"allowed: {quoted(levels, at_most=40)}"
        )
    return float(max(code, 0))


def _measurement(
    predictor: Continuous, axis: PredictorAxis, value: object, problems: list[str], source: str
) -> float:
    unit = f" {predictor.unit}" if predictor.unit else ""
    try:
        number = float(str(value).strip())
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        shown = f"{axis.values[0]} to {axis.values[-1]}{unit}"
        problems.append(
            f"{predictor.name}: found {str(value)!r}; a number is needed, its axis shows {shown}"
        )
        return axis.common
    allowed = _refused(predictor, axis, number)
    if allowed:
        where = f" (declared in {source})" if predictor.range is not None else ""
        shown = number_text(number) if abs(number) < MANY_DIGITS else f"{number:g}"
        problems.append(f"{predictor.name}: found {shown}{unit}; allowed: {allowed}{where}")
        return axis.common
    return number


def _refused(predictor: Continuous, axis: PredictorAxis, number: float) -> str:
    """What would be allowed in the place of a number; empty where it is."""
    unit = f" {predictor.unit}" if predictor.unit else ""
    if predictor.range is not None and not predictor.range[0] <= number <= predictor.range[1]:
        low, high = (number_text(limit) for limit in predictor.range)
        return f"{low} to {high}{unit}"
    near, far = FARTHEST * (axis.high - axis.low), max(abs(axis.low), abs(axis.high))
    if not abs(number) <= near + far:
        return f"about what its axis shows, {axis.values[0]} to {axis.values[-1]}{unit}"
    if predictor.transform not in LOWEST_VALUE:
        return ""
    lowest, words = LOWEST_VALUE[predictor.transform]
    too_low = number < lowest if predictor.transform == "sqrt" else number <= lowest
    return f"{words}{unit}, or it has no {predictor.transform}" if too_low else ""
