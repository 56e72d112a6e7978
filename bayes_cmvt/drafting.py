"""A data file becomes the draft of a study file: every guess marked as one, with its reason.

A draft always loads as a study. Columns that no model can use, or whose use only a person can
decide, are left out and named in a comment with the reason.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd
import tomli_w
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from bayes_cmvt.cells import match_levels, missing_cells, shown_cell
from bayes_cmvt.cohort import read_predictors
from bayes_cmvt.design import CONSTANT_BELOW, dependent_columns, encode, mean_and_sd
from bayes_cmvt.errors import DataError, StudyError, nearest, quoted
from bayes_cmvt.numerals import NumberColumn, normalise_text, parse_numbers, printable
from bayes_cmvt.readers import SourceTable
from bayes_cmvt.schema import KINDS, Level, Outcome
from bayes_cmvt.study import Study, level_text, parse_study

MOST_LEVELS = 20
LARGEST_MEASUREMENT = 1e100
NUMERIC_FROM = 0.9  # share of readable cells from which a column is a measurement with slips
MISSING_UP_TO = 0.5  # share of missing cells above which complete cases would cost most rows
RANGE_DIGITS = 2  # significant digits of the width of the range to which its ends are rounded
MOST_VALUES_SHOWN = 8

PAIRS = (
    ("0", "1"),
    ("1", "2"),
    ("no", "yes"),
    ("n", "y"),
    ("false", "true"),
    ("nein", "ja"),
    ("否", "是"),
    ("无", "有"),
    ("阴性", "阳性"),
    ("negative", "positive"),
    ("absent", "present"),
)
PLAIN_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]*)?")
DATE = re.compile(
    r"(?:\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2\d{2}(?:\d{2})?"
    r"|\d{4}年\d{1,2}月\d{1,2}日)(?:[T ]\d{1,2}:\d{2}.*)?"
)
DATE_TYPES = (
    datetime.date,
    datetime.time,
    datetime.timedelta,
    np.datetime64,
    np.timedelta64,
    pd.Period,
)


@dataclass(frozen=True, eq=False)
class _Column:
    """A column of the file: its cells that are not missing, read in every way that may serve.

    ``levels`` counts the distinct values as levels would be declared; it is empty where a cell
    is neither number nor text. ``codes`` has shape (cell,): the position in ``levels``. ``labels``
    are those of SPSS and Stata, code to text.
    """

    name: str
    cells: pd.Series
    missing: int
    levels: Mapping[Level, int]
    codes: NDArray[np.int64]
    numbers: NumberColumn
    labels: Mapping[float | str, str]

    @property
    def present(self) -> int:
        """Number of cells that are not missing."""
        return len(self.cells)

    @property
    def measured(self) -> NDArray[np.float64]:
        """The numbers that can be read."""
        return self.numbers.values[np.isfinite(self.numbers.values)]

    @property
    def texts(self) -> Mapping[Level, str]:
        """What each level is called: its label where it has one."""
        return {level: self.labels.get(level, level_text(level)) for level in self.levels}

    def positions(self, levels: Sequence[Level]) -> NDArray[np.int64]:
        """Return the position of every cell in these levels, which are all that there are."""
        order = np.array([list(levels).index(level) for level in self.levels], dtype=np.int64)
        return np.asarray(order[self.codes])

    @property
    def labelled(self) -> bool:
        """Whether every value carries a label."""
        return bool(self.labels) and all(level in self.labels for level in self.levels)


@dataclass(frozen=True)
class _Line:
    """One key of the draft with its comment, if any."""

    key: str
    value: Any
    comment: str = ""

    def __str__(self) -> str:
        comment = f"  # {_harmless(self.comment)}" if self.comment else ""
        return f"{self.key} = {_toml(self.value)}{comment}"


@dataclass(frozen=True)
class _Candidate:
    """A column drafted as a predictor; ``remarks`` become comment lines above its keys."""

    column: _Column
    lines: tuple[_Line, ...]
    terms: tuple[str, ...]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class _LeftOut:
    """A column that is no predictor of the draft, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class _Draft:
    """All that a draft says, before it is written."""

    heading: tuple[str, ...]
    head: tuple[_Line, ...]
    outcome: tuple[_Line, ...]
    choices: tuple[_Candidate | _LeftOut, ...]
    data: tuple[_Line, ...]

    @property
    def candidates(self) -> tuple[_Candidate, ...]:
        """The predictors, in the order of the file."""
        return tuple(choice for choice in self.choices if isinstance(choice, _Candidate))

    @property
    def left_out(self) -> tuple[_LeftOut, ...]:
        """The columns that are no predictors, in the order of the file."""
        return tuple(choice for choice in self.choices if isinstance(choice, _LeftOut))


def draft_study(
    table: SourceTable,
    *,
    outcome: str,
    event: str | None = None,
    name: str | None = None,
    file: str | None = None,
) -> str:
    """Draft a study file from a data file, every guess marked as one.

    Two distinct values make a binary predictor, other numbers a continuous one with its observed
    range, 3 to 20 distinct texts or labelled codes a categorical one. Left out, with the reason
    in a comment: columns that are empty, mostly missing or constant, dates, identifiers, texts
    with more than 20 values, numbers that cannot be read, what repeats the outcome, and exact
    copies or combinations of earlier columns.

    Parameters
    ----------
    table : SourceTable
    outcome : str
        Column of the outcome.
    event : str, optional
        The value, or its label, that counts as the event; needed where the outcome has more
        than two distinct values, guessed otherwise.
    name : str, optional
        Name of the study, by default that of the file; other characters than ``a-z0-9_-``
        become hyphens.
    file : str, optional
        Path of the data relative to the study file, written under ``[data]``.

    Returns
    -------
    str
        TOML that `bayes_cmvt.study.parse_study` accepts.

    Raises
    ------
    DataError
        There is no such column, it is no outcome, or no other column can be a predictor.
    """
    heading = f"no study can be drafted from {table.source}"
    answers = _answers(table, outcome, heading)
    outcome_lines, has_event = _outcome(answers, event, heading)
    choices = _without_clashes(
        [_choice(table, str(column)) for column in table.frame.columns if column != outcome]
    )
    draft = _Draft(
        heading=_introduction(table),
        head=_head(table, name),
        outcome=outcome_lines,
        choices=choices,
        data=_data(table, answers, choices, file),
    )
    draft = _independent(draft, table, has_event, heading)
    return _written(replace(draft, data=_data(table, answers, draft.choices, file)))


def _independent(
    draft: _Draft, table: SourceTable, has_event: NDArray[np.bool_], heading: str
) -> _Draft:
    """Leave out what the design would refuse, until it refuses nothing."""
    while True:
        study = _parsed(draft, heading)
        refused = _refused(study, table, has_event)
        if not refused:
            return draft
        choices = tuple(
            _LeftOut(one.column.name, refused[one.column.name])
            if isinstance(one, _Candidate) and one.column.name in refused
            else one
            for one in draft.choices
        )
        draft = replace(draft, choices=choices)


def _parsed(draft: _Draft, heading: str) -> Study:
    """Return the draft as a study; raise where it has no predictor or names an unsafe file."""
    if not draft.candidates:
        reasons = [f"column {printable(one.name)}: {_harmless(one.why)}" for one in draft.left_out]
        msg = f"{heading}, no column can be a predictor"
        raise DataError(msg, reasons)
    try:
        return parse_study(_written(draft), source="the draft")
    except StudyError as error:
        raise DataError(heading, error.problems or [error.heading]) from None


# Columns ------------------------------------------------------------------------------------------


def _column(table: SourceTable, name: str) -> _Column:
    """Read a column in every way that may serve; TypeError where cells cannot be compared."""
    cells = table.frame[name]
    missing = missing_cells(cells)
    present = cells[~missing]
    levels, codes = _counted_levels(present)
    return _Column(
        name=name,
        cells=present,
        missing=int(missing.sum()),
        levels=levels,
        codes=codes,
        numbers=parse_numbers(present),
        labels=table.value_labels.get(name, {}),
    )


def _counted_levels(present: pd.Series) -> tuple[dict[Level, int], NDArray[np.int64]]:
    """Count the distinct values as levels; none where a cell is neither number nor text."""
    positions, distinct = pd.factorize(present)
    texts = [normalise_text(cell) for cell in distinct if isinstance(cell, str)]
    numeric = all(PLAIN_NUMBER.fullmatch(text) for text in texts)
    read = [_level(cell, numeric=numeric) for cell in distinct]
    levels: dict[str, Level] = {}
    for level in read:
        if level is None:
            return {}, np.empty(0, dtype=np.int64)
        levels.setdefault(level_text(level), level)
    place = {text: number for number, text in enumerate(levels)}
    merged = [place[level_text(level)] for level in read if level is not None]
    codes = np.array(merged, dtype=np.int64)[positions]
    counts = np.bincount(codes, minlength=len(levels)).tolist()
    return dict(zip(levels.values(), counts, strict=True)), codes


def _level(cell: object, *, numeric: bool) -> Level | None:
    if isinstance(cell, str):
        text = normalise_text(cell)
        if not numeric:
            return text
        return _tidy(float(text)) if "." in text else int(text)
    if isinstance(cell, bool | np.bool_ | int | np.integer):
        return int(cell)
    if isinstance(cell, float | np.floating | Decimal):
        return _tidy(float(cell))
    return None


def _tidy(number: float) -> int | float:
    """Return whole numbers as int."""
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def _is_date(column: _Column) -> bool:
    return all(
        bool(DATE.fullmatch(normalise_text(cell)))
        if isinstance(cell, str)
        else isinstance(cell, DATE_TYPES)
        for cell in column.cells.unique()
    )


# Outcome ------------------------------------------------------------------------------------------


def _answers(table: SourceTable, outcome: str, heading: str) -> _Column:
    """Return the outcome column, which must hold at least two numbers or texts."""
    names = [str(name) for name in table.frame.columns]
    if outcome not in names:
        problem = f'column "{printable(outcome)}" is not in the file{nearest(outcome, names)}'
        raise DataError(heading, [problem])
    where = f"column {printable(outcome)}"
    try:
        answers = _column(table, outcome)
    except TypeError:
        raise DataError(heading, [f"{where}: holds neither numbers nor texts"]) from None
    if answers.present and not answers.levels:
        raise DataError(heading, [f"{where}: holds neither numbers nor texts"])
    if len(answers.levels) < 2:
        found = _shown_levels(answers, answers.levels) or "only missing cells"
        problem = f"{where}: an outcome needs two distinct values; found {found}"
        raise DataError(heading, [problem])
    return answers


def _outcome(
    answers: _Column, event: str | None, heading: str
) -> tuple[tuple[_Line, ...], NDArray[np.bool_]]:
    """Return the lines of ``[outcome]``, and which rows with an outcome have the event."""
    where = f"column {printable(answers.name)}"
    if event is None and len(answers.levels) > 2:
        found = _shown_levels(answers, answers.levels)
        problem = (
            f"{where}: holds {len(answers.levels)} distinct values ({found}); "
            "say with --event which of them is the event"
        )
        raise DataError(heading, [problem])
    if event is None:
        chosen, why = _guessed_event(answers)
    else:
        chosen, why = _named_event(answers, event, heading), "as given on the command line"
    others = [level for level in answers.levels if level != chosen]
    for as_written in (lambda level: level, level_text):
        lines, levels = _outcome_lines(answers, as_written(chosen), why, map(as_written, others))
        table = {line.key: line.value for line in lines}
        if _validated(Outcome, table) is None:
            continue
        matched = match_levels(answers.cells, levels, value_labels=answers.labels)
        has_event = answers.positions([*others, chosen]) == len(others)
        known = bool((matched.codes >= 0).all())
        if known and np.array_equal(matched.codes == len(levels) - 1, has_event):
            return lines, has_event
    problem = (
        f"{where}: its name or its values ({_shown_levels(answers, answers.levels)}) cannot be "
        "written in a study file; rename the column, or recode the outcome as 0 and 1"
    )
    raise DataError(heading, [problem])


def _outcome_lines(
    answers: _Column, event: Level, why: str, non_event: Iterator[Level]
) -> tuple[tuple[_Line, ...], list[Level]]:
    """Return the lines and the levels, event last; one spelling of no event needs no line."""
    others = sorted(non_event, key=_by_size)
    lines = [_Line("column", answers.name), _Line("event", event, why)]
    if len(match_levels(answers.cells, [event], value_labels=answers.labels).unknown) != 1:
        lines.append(_Line("non_event", others, "guess: all other values found"))
    return tuple(lines), [*others, event]


def _guessed_event(answers: _Column) -> tuple[Level, str]:
    """Return the likelier of two values to be the event, and why it was chosen."""
    first, second = answers.levels
    texts = {level: normalise_text(text) for level, text in answers.texts.items()}
    known = _known_order(texts)
    if known is None:
        chosen = min(answers.levels, key=lambda level: (answers.levels[level], *_by_size(level)))
        reason = "the rarer of two values"
        if answers.levels[first] == answers.levels[second]:
            reason = "neither of two equally frequent values says that it is the event"
    else:
        chosen = known[1]
        reason = f"{texts[known[0]]}/{texts[chosen]} most often means no event/event"
        if {texts[first], texts[second]} == {"1", "2"}:
            reason = "1/2 is used both ways (2 = yes, or 1 = yes and 2 = no): look it up"
    label = f', "{answers.labels[chosen]}"' if chosen in answers.labels else ""
    count = f"{answers.levels[chosen]} of {answers.present} rows"
    return chosen, f"guess: {reason}; {count}{label}"


def _named_event(answers: _Column, event: str, heading: str) -> Level:
    """Find the value that the user calls the event, by value or by label."""
    levels = list(answers.levels)
    code = int(match_levels(pd.Series([event], dtype=object), levels, value_labels={}).codes[0])
    if code >= 0:
        return levels[code]
    sought = normalise_text(event)
    by_label = [
        level for level in levels if normalise_text(answers.labels.get(level, "")) == sought
    ]
    if len(by_label) == 1:
        return by_label[0]
    found = _shown_levels(answers, levels)
    problem = (
        f"column {printable(answers.name)}: no row holds the event {shown_cell(event)}; "
        f"found {found}{nearest(event, map(printable, answers.texts.values()))}"
    )
    raise DataError(heading, [problem])


# Predictors ---------------------------------------------------------------------------------------


def _choice(table: SourceTable, name: str) -> _Candidate | _LeftOut:
    """Draft a column as a predictor, or say why it is none."""
    try:
        column = _column(table, name)
    except TypeError:  # lists and the like, from Parquet
        return _LeftOut(name, "holds neither numbers nor texts")
    if why := _unfit(column, len(table.frame)):
        return _LeftOut(name, why)
    candidate = _best_kind(column)
    if isinstance(candidate, _LeftOut) or not column.missing:
        return candidate
    remark = f"{column.missing} of {len(table.frame)} cells are missing"
    return replace(candidate, remarks=(*candidate.remarks, remark))


def _unfit(column: _Column, rows: int) -> str:
    """Say why a column cannot be a predictor whatever its kind; empty where it can."""
    if not column.present:
        return "is empty"
    if column.missing > MISSING_UP_TO * rows:
        return f"{column.missing} of {rows} cells are missing; complete cases would lose those rows"
    if _is_date(column):
        return "holds dates or times; derive an age or a duration from them"
    if not column.levels:
        return "holds neither numbers nor texts"
    if column.numbers.ambiguous is not None:
        return f"its numbers can be read in two ways: {column.numbers.ambiguous}"
    one_number = len(column.measured) == column.present and len(np.unique(column.measured)) == 1
    if len(column.levels) == 1 or one_number:
        return f"is constant, {shown_cell(column.cells.iloc[0])} in all rows"
    if len(column.measured) and np.abs(column.measured).max() > LARGEST_MEASUREMENT:
        return "holds numbers too large for a measurement"
    return ""


def _best_kind(column: _Column) -> _Candidate | _LeftOut:
    values = len(column.levels)
    if column.labelled and values <= MOST_LEVELS and (found := _with_levels(column)):
        return found
    if values == 2 and (found := _with_levels(column)):
        return found
    if values == column.present and values > 2 and (why := _identifier(column)):
        return _LeftOut(column.name, why)
    readable = len(column.measured) / column.present
    if readable == 1 or (readable >= NUMERIC_FROM and len(np.unique(column.measured)) > 2):
        return _continuous(column)
    unread = f"{len(column.numbers.unreadable)} of {column.present} cells are no numbers"
    if values > MOST_LEVELS:
        more = f"; {unread}" if readable > 0 else ""
        return _LeftOut(column.name, f"{values} distinct texts{more}")
    return _with_levels(column) or _unwritable(column)


def _unwritable(column: _Column) -> _LeftOut:
    why = (
        "its name or a value cannot be written in a study file (control characters, blanks at "
        "the ends); rename it"
    )
    return _LeftOut(column.name, why)


def _identifier(column: _Column) -> str:
    whole = bool((column.measured == np.round(column.measured)).all())
    if len(column.measured) and not whole:
        return ""
    kind = "whole numbers" if len(column.measured) == column.present else "texts"
    return f"looks like an identifier: all {column.present} values are distinct {kind}"


def _continuous(column: _Column) -> _Candidate | _LeftOut:
    distinct = len(np.unique(column.measured))
    few = "; if they are codes, make it ordinal or categorical" if distinct <= 5 else ""
    low, high = outward_range(float(column.measured.min()), float(column.measured.max()))
    lines = (
        _Line("name", column.name),
        _Line("kind", "continuous", f"guess: {distinct} distinct numbers{few}"),
        _Line("range", [low, high], "guess: observed range; replace by plausible limits"),
    )
    remarks = []
    if unreadable := column.numbers.unreadable:
        examples = quoted(dict.fromkeys(cell.cell for cell in unreadable), at_most=3)
        cells = "1 cell" if len(unreadable) == 1 else f"{len(unreadable)} cells"
        remarks.append(f"{cells} cannot be read as numbers: {examples}; correct them")
    return _candidate(column, lines, remarks) or _unwritable(column)


def outward_range(low: float, high: float) -> tuple[int | float, int | float]:
    """Round the ends of a range outwards, to two significant digits of its width.

    Examples
    --------
    >>> outward_range(18.0, 93.5), outward_range(0.113, 0.582), outward_range(-1234.0, 56.0)
    ((18, 94), (0.11, 0.59), (-1300, 100))
    """
    with localcontext(prec=400):  # exact for any two numbers that are not equal to rounding
        lowest, highest = Decimal(repr(low)), Decimal(repr(high))
        step = Decimal(1).scaleb((highest - lowest).adjusted() - RANGE_DIGITS + 1)
        below = (lowest / step).to_integral_value(ROUND_FLOOR) * step
        above = (highest / step).to_integral_value(ROUND_CEILING) * step
    return _tidy(float(below)), _tidy(float(above))


def _with_levels(column: _Column) -> _Candidate | None:
    """Draft a binary or categorical predictor by labels, numbers or texts; None if none fits."""
    levels, reference = _ordered(column)
    kind = "binary" if len(levels) == 2 else "categorical"
    spellings: list[Sequence[Level]] = [levels, [level_text(level) for level in levels]]
    labelled = column.labelled
    if labelled:
        spellings.insert(0, [column.labels[level] for level in levels])
    for number, written in enumerate(spellings):
        by_label = labelled and number == 0
        what = "labelled codes" if by_label else "distinct values"
        lines = (
            _Line("name", column.name),
            _Line("kind", kind, f"guess: {len(levels)} {what}"),
            _Line("levels", list(written), f"guess: {reference}"),
        )
        candidate = _candidate(column, lines, ())
        if candidate is not None and _matches(column, levels, written):
            return candidate
    return None


def _matches(column: _Column, levels: Sequence[Level], written: Sequence[Level]) -> bool:
    """Whether every cell is read as its own level when they are declared as written."""
    matched = match_levels(column.cells, written, value_labels=column.labels)
    return bool((matched.codes == column.positions(levels)).all())


def _ordered(column: _Column) -> tuple[list[Level], str]:
    """Return the levels in the order of the draft, and why the first is first."""
    ascending = sorted(column.levels, key=_by_size)
    most = max(ascending, key=lambda level: column.levels[level])
    if len(ascending) == 2:
        texts = {level: normalise_text(text) for level, text in column.texts.items()}
        known = _known_order(texts)
        if known is not None:
            return list(known), f"{texts[known[0]]} before {texts[known[1]]}"
        if column.labelled or not any(isinstance(level, str) for level in ascending):
            return ascending, "in ascending order; the second is coded 1"
    rest = [level for level in ascending if level != most]
    count = f"{column.levels[most]} of {column.present}"
    return [most, *rest], f"the most frequent level first, as reference ({count})"


def _known_order(texts: Mapping[Level, str]) -> tuple[Level, Level] | None:
    """Return two levels as no and yes where their names are a pair that says so."""
    by_name = {text.casefold(): level for level, text in texts.items()}
    for no, yes in PAIRS:
        if by_name.keys() == {no, yes}:
            return by_name[no], by_name[yes]
    return None


def _by_size(level: Level) -> tuple[bool, float, str]:
    """Sort numbers by size before texts by alphabet."""
    if isinstance(level, str):
        return True, 0.0, level
    return False, float(level), ""


def _candidate(
    column: _Column, lines: tuple[_Line, ...], remarks: Sequence[str]
) -> _Candidate | None:
    """Return the predictor if a study file may declare it like that."""
    table = {line.key: line.value for line in lines}
    predictor = _validated(KINDS[table["kind"]], table)
    if predictor is None or column.name == "(Intercept)":
        return None
    return _Candidate(column, lines, predictor.terms, tuple(remarks))


def _validated(model: type[BaseModel], table: Mapping[str, Any]) -> Any:
    try:
        return model.model_validate(table)
    except ValidationError:
        return None


def _without_clashes(
    choices: Sequence[_Candidate | _LeftOut],
) -> tuple[_Candidate | _LeftOut, ...]:
    """Leave out columns whose design columns would be named like those of an earlier one."""
    kept: list[_Candidate | _LeftOut] = []
    taken: set[str] = set()
    for choice in choices:
        if isinstance(choice, _Candidate) and taken & set(choice.terms):
            why = f"{quoted(sorted(taken & set(choice.terms)))} would name two columns; rename it"
            kept.append(_LeftOut(choice.column.name, why))
            continue
        taken |= set(choice.terms) if isinstance(choice, _Candidate) else set()
        kept.append(choice)
    return tuple(kept)


# What the design would refuse ---------------------------------------------------------------------


def _refused(study: Study, table: SourceTable, has_event: NDArray[np.bool_]) -> dict[str, str]:
    """Return the predictors that the design would refuse, each with the reason.

    Judged on complete rows; where these are fewer than half, a column that others explain there
    may not be so in all rows, and nothing is refused.
    """
    answered = ~missing_cells(table.frame[study.outcome.column])
    frame = read_predictors(study, table).frame[answered]
    complete = frame.notna().all(axis=1).to_numpy()
    if complete.sum() < max(2.0, len(table.frame) / 2):
        return {}
    columns = encode(study, frame[complete])
    mean, sd = mean_and_sd(columns)
    varying = sd > CONSTANT_BELOW * np.maximum(np.abs(columns).max(axis=0), np.finfo(float).tiny)
    owners = [one.name for one in study.predictors for _ in one.terms]
    refused = {}
    if len(columns) == len(table.frame):
        refused = {
            owners[j]: "is constant as far as numbers of 16 digits can tell"
            for j in np.flatnonzero(~varying).tolist()
        }
    refused |= _repeating_outcome(columns, owners, has_event[complete])
    usable = [j for j, owner in enumerate(owners) if varying[j] and owner not in refused]
    standardised = (columns[:, usable] - mean[usable]) / sd[usable]
    terms = [study.terms[j] for j in usable]
    return refused | _explained(standardised, terms, [owners[j] for j in usable])


def _repeating_outcome(
    columns: NDArray[np.float64], owners: Sequence[str], event: NDArray[np.bool_]
) -> dict[str, str]:
    """Return the predictors of one 0/1 column that tell the outcome of every patient."""
    repeats = (columns == event[:, np.newaxis]).all(axis=0)
    repeats |= (columns == ~event[:, np.newaxis]).all(axis=0)
    return {
        owners[j]: "says exactly the same as the outcome"
        for j in np.flatnonzero(repeats).tolist()
        if owners.count(owners[j]) == 1
    }


def _explained(
    standardised: NDArray[np.float64], terms: Sequence[str], owners: Sequence[str]
) -> dict[str, str]:
    """Return the predictors with a column that is an exact combination of earlier ones.

    The terms are numbered in what `dependent_columns` says, and named afterwards: a name may
    itself contain anything.
    """
    explained: dict[str, str] = {}
    for problem in dependent_columns(standardised, [f"#{j}" for j in range(len(terms))]):
        numbers = [int(number) for number in re.findall(r"#(\d+)", problem)]
        sources = [terms[j] for j in numbers[1:]]
        says = "says exactly the same as" if len(sources) == 1 else "is an exact combination of"
        explained.setdefault(owners[numbers[0]], f"{says} {quoted(sources)}")
    return explained


# Writing ------------------------------------------------------------------------------------------


def _introduction(table: SourceTable) -> tuple[str, ...]:
    rows, columns = table.frame.shape
    return (
        f"Draft of a study file, made from {table.source} ({rows} rows, {columns} columns).",
        'What is marked "guess" was guessed from the data: check it, then delete the mark.',
        "Candidates must be known when the risk is needed: delete those that come later.",
        "Add a label and, for measurements, a unit to each.",
    )


def _head(table: SourceTable, name: str | None) -> tuple[_Line, ...]:
    stem = PurePath(table.source).stem if name is None else name
    title = f"Draft study of {printable(table.source)}"
    origin = "guess: from the name of the file" if name is None else ""
    return (
        _Line("schema", 1),
        _Line("name", study_name(stem), origin),
        _Line("title", title, "guess: placeholder; write the title of the study"),
    )


def study_name(text: str) -> str:
    """Make a study name of any text: ``a-z``, ``0-9``, hyphen and underscore, at most 64.

    Examples
    --------
    >>> study_name("My Cohort (2024)"), study_name("队列")
    ('my-cohort-2024', 'study')
    """
    plain = re.sub(r"[^a-z0-9_-]+", "-", text.lower())[:64].strip("-")
    return plain or "study"


def _data(
    table: SourceTable,
    answers: _Column,
    choices: Sequence[_Candidate | _LeftOut],
    file: str | None,
) -> tuple[_Line, ...]:
    used = [answers, *(one.column for one in choices if isinstance(one, _Candidate))]
    missing = sum(column.missing for column in used)
    comment = ""
    if missing:
        masks = [missing_cells(table.frame[column.name]) for column in used]
        rows = int(np.logical_or.reduce(masks).sum())
        cells = "1 cell" if missing == 1 else f"{missing} cells"
        comment = (
            f'{cells} missing, in {rows} of {len(table.frame)} rows: complete them, or write "drop"'
        )
    rule = _Line("missing", "error", comment)
    return (rule,) if file is None else (_Line("file", file), rule)


def _written(draft: _Draft) -> str:
    paragraphs = [
        [_comment(line) for line in draft.heading],
        [str(line) for line in draft.head],
        ["[outcome]", *map(str, draft.outcome)],
    ]
    paragraphs += [
        ["[[predictors]]", *map(_comment, one.remarks), *map(str, one.lines)]
        for one in draft.candidates
    ]
    if draft.left_out:
        reasons = [_comment(f"{printable(one.name)}: {one.why}") for one in draft.left_out]
        paragraphs.append([_comment("Left out:"), *reasons])
    paragraphs.append(["[data]", *map(str, draft.data)])
    return "\n\n".join("\n".join(lines) for lines in paragraphs) + "\n"


def _comment(text: str) -> str:
    return f"# {_harmless(text)}"


def _harmless(text: str) -> str:
    """Keep a comment on its line, whatever names and cells it quotes."""
    return printable(text, at_most=400)


def _toml(value: Any) -> str:
    """Write a value on one line."""
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return tomli_w.dumps({"x": value}).removeprefix("x = ").removesuffix("\n")


def _shown_levels(column: _Column, levels: Mapping[Level, int] | Sequence[Level]) -> str:
    shown = [_shown_level(column, level) for level in sorted(levels, key=_by_size)]
    more = [f"… ({len(shown)} in all)"] if len(shown) > MOST_VALUES_SHOWN else []
    return ", ".join([*shown[:MOST_VALUES_SHOWN], *more])


def _shown_level(column: _Column, level: Level) -> str:
    label = column.labels.get(level)
    return shown_cell(level) if label is None else f"{shown_cell(level)} ({shown_cell(label)})"
