"""A column of a data file, read in every way that may serve: as levels, as numbers, as dates."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayes_cmvt.cells import missing_cells, shown_cell
from bayes_cmvt.numerals import NumberColumn, parse_numbers
from bayes_cmvt.plaintext import normalise_text
from bayes_cmvt.readers import SourceTable
from bayes_cmvt.schema import Level, level_text

MOST_VALUES_SHOWN = 8
RANGE_DIGITS = 2  # significant digits of the width of the range to which its ends are rounded
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
class Column:
    """A column of a data file, and what its cells that are not missing can be read as.

    Attributes
    ----------
    name : str
    is_missing : ndarray of bool, shape (row,)
    cells : Series, shape (cell,)
        The cells that are not missing.
    distinct : sequence
        The different ones among them; empty where they cannot be compared, such as lists.
    levels : mapping of level to int
        How often each distinct value occurs, written as a level would be declared; empty where a
        cell is neither number nor text.
    codes : ndarray of int, shape (cell,)
        Position of each cell in ``levels``.
    numbers : NumberColumn, shape (cell,)
        No cells where there are no levels.
    labels : mapping of code to text
        Of SPSS and Stata.
    """

    name: str
    is_missing: NDArray[np.bool_]
    cells: pd.Series
    distinct: Sequence[object]
    levels: Mapping[Level, int]
    codes: NDArray[np.int64]
    numbers: NumberColumn
    labels: Mapping[float | str, str]

    @property
    def missing(self) -> int:
        """Number of cells that are missing."""
        return int(self.is_missing.sum())

    @property
    def present(self) -> int:
        """Number of cells that are not missing."""
        return len(self.cells)

    @property
    def measured(self) -> NDArray[np.float64]:
        """The numbers that can be read."""
        return self.numbers.values[np.isfinite(self.numbers.values)]

    @property
    def dated(self) -> bool:
        """Whether every cell is a date or a time."""
        return bool(len(self.distinct)) and all(map(_is_date, self.distinct))

    @property
    def labelled(self) -> bool:
        """Whether every value carries a label."""
        return bool(self.labels) and all(level in self.labels for level in self.levels)

    @property
    def texts(self) -> Mapping[Level, str]:
        """What each level is called: its label where it has one."""
        return {
            level: normalise_text(self.labels.get(level, level_text(level)))
            for level in self.levels
        }

    @property
    def no_and_yes(self) -> tuple[Level, Level] | None:
        """The two levels as no and yes, where their names are a pair that says so."""
        by_name = {text.casefold(): level for level, text in self.texts.items()}
        for no, yes in PAIRS:
            if by_name.keys() == {no, yes}:
                return by_name[no], by_name[yes]
        return None

    def positions(self, levels: Sequence[Level]) -> NDArray[np.int64]:
        """Return the position of every cell in these levels, which are all that there are."""
        order = np.array([list(levels).index(level) for level in self.levels], dtype=np.int64)
        return np.asarray(order[self.codes])

    def shown_levels(self) -> str:
        """Return the levels for a message, each with its label, long lists cut."""
        shown = [self._shown(level) for level in in_order(self.levels)]
        more = [f"… ({len(shown)} in all)"] if len(shown) > MOST_VALUES_SHOWN else []
        return ", ".join([*shown[:MOST_VALUES_SHOWN], *more])

    def _shown(self, level: Level) -> str:
        label = self.labels.get(level)
        return shown_cell(level) if label is None else f"{shown_cell(level)} ({shown_cell(label)})"


def read_column(table: SourceTable, name: str) -> Column:
    """Read a column of a table in every way that may serve."""
    cells = table.frame[name]
    is_missing = missing_cells(cells)
    present = cells[~is_missing]
    distinct: Any = ()
    levels: dict[Level, int] = {}
    codes = np.empty(0, dtype=np.int64)
    try:
        positions, distinct = pd.factorize(present)
    except TypeError:  # lists and the like, from Parquet
        pass
    else:
        levels, codes = _counted_levels(positions, distinct)
    return Column(
        name=name,
        is_missing=is_missing,
        cells=present,
        distinct=distinct,
        levels=levels,
        codes=codes,
        numbers=parse_numbers(present if levels else present.iloc[:0]),
        labels=table.value_labels.get(name, {}),
    )


def _counted_levels(
    positions: NDArray[np.intp], distinct: Iterable[object]
) -> tuple[dict[Level, int], NDArray[np.int64]]:
    """Count the distinct values as levels; none where a cell is neither number nor text."""
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
        return tidy(float(text)) if "." in text else int(text)
    if isinstance(cell, bool | np.bool_ | int | np.integer):
        return int(cell)
    if isinstance(cell, float | np.floating | Decimal):
        return tidy(float(cell))
    return None


def _is_date(cell: object) -> bool:
    if isinstance(cell, str):
        return bool(DATE.fullmatch(normalise_text(cell)))
    return isinstance(cell, DATE_TYPES)


def tidy(number: float) -> int | float:
    """Return whole numbers as int, as a person would write them.

    Examples
    --------
    >>> tidy(18.0), tidy(0.5), tidy(1e300)
    (18, 0.5, 1e+300)
    """
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


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
    return tidy(float(below)), tidy(float(above))


def in_order(levels: Iterable[Level]) -> list[Level]:
    """Sort levels: numbers by size, then texts by alphabet.

    Examples
    --------
    >>> in_order(["b", 10, "a", 9.5])
    [9.5, 10, 'a', 'b']
    """
    return sorted(levels, key=rank)


def rank(level: Level) -> tuple[bool, float, str]:
    """Return what levels are sorted by."""
    if isinstance(level, str):
        return True, 0.0, level
    return False, float(level), ""
