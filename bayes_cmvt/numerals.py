"""Text → numbers, with nothing guessed silently.

A column is read as a whole: whether ``,`` and ``.`` mark decimals or thousands is decided from all
its cells, or by the caller, and never from one cell at a time. A comma counts as decimal where at
least one cell cannot be a thousands group (``2,5``), as thousands where a cell proves it
(``1,234.5``). A column that allows both readings is not read at all.
"""

from __future__ import annotations

import datetime
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayes_cmvt.errors import quoted
from bayes_cmvt.plaintext import normalise_text, printable

MISSING_TOKENS = frozenset({"NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "None", "."})

NOT_A_NUMBER = "is not a number"
NOT_FINITE = "is not a finite number"
TOO_SMALL = "is too small to be held as a number other than 0"

type Cells = Sequence[object] | NDArray[Any] | pd.Series[Any]
type DecimalSign = Literal[".", ","]
type Separators = Literal[
    "plain",
    "decimal comma",
    "decimal comma and thousands point",
    "thousands comma",
    "thousands point",
    "undecided",
]
type Outcome = float | str | None
"""A number, the reason why there is none, or None for a missing cell."""


@dataclass(frozen=True)
class UnreadableCell:
    """A cell that holds something other than a number.

    Parameters
    ----------
    position : int
        Counted from 0 within the column.
    cell : str
        As found; its `str` is fit for a message, control characters escaped.
    reason : str
        Why it cannot be read, to follow the cell in a sentence.
    """

    position: int
    cell: str
    reason: str

    def __str__(self) -> str:
        return f'"{printable(self.cell)}" {self.reason}'


@dataclass(frozen=True, eq=False)
class NumberColumn:
    """A column read as numbers, with all that was repaired, recognised or left unread.

    Parameters
    ----------
    values : ndarray of float64, shape (row,)
        NaN where missing or unreadable, and everywhere in an ambiguous column.
    missing : ndarray of bool, shape (row,)
        True where the cell is empty or holds a token for missing.
    unreadable : tuple of UnreadableCell
        In the order of the rows.
    notes : tuple of str
        What was repaired or recognised, with counts.
    ambiguous : str or None
        What to tell the user where the separators allow two readings.
    separators : str
        The reading chosen, "undecided" for an ambiguous column.
    """

    values: NDArray[np.float64]
    missing: NDArray[np.bool_]
    unreadable: tuple[UnreadableCell, ...] = ()
    notes: tuple[str, ...] = ()
    ambiguous: str | None = None
    separators: Separators = "plain"


def parse_numbers(cells: Cells, *, decimal: DecimalSign | None = None) -> NumberColumn:
    """Read a column of cells as numbers; the column decides what its separators mean.

    Parameters
    ----------
    cells : sequence, ndarray or Series, shape (row,)
        Texts, numbers, booleans (read as 0 and 1), None, NaN, NA. Numeric arrays are not visited
        cell by cell.
    decimal : {".", ","}, optional
        Decides; the other sign then groups thousands, and cells where it does not are unreadable.

    Returns
    -------
    NumberColumn
        Never raises for the content of a cell.

    Examples
    --------
    >>> parse_numbers(["2,5", "1,234", None]).values    # 2,5 proves that the comma is decimal
    array([2.5  , 1.234,   nan])
    >>> parse_numbers(["1,234.5", "1,234"]).values      # 1,234.5 proves that it groups thousands
    array([1234.5, 1234. ])
    >>> print(parse_numbers(["1,234"]).ambiguous)       # doctest: +ELLIPSIS
    "1,234" can be read as 1234 (thousands comma) or as 1.234 (decimal comma); set decimal = ...
    >>> parse_numbers(["1,234"], decimal=",").values
    array([1.234])
    >>> print(*parse_numbers(["12 mg", "NA"]).unreadable)
    "12 mg" is not a number
    """
    if (numeric := _numeric_array(cells)) is not None:
        return _numeric_column(numeric)
    found = list(cells)
    counts = Counter(cell for cell in found if isinstance(cell, str))
    cleaned = {cell: _cleaned(cell) for cell in counts}
    evidence = _evidence(text for text in dict.fromkeys(cleaned.values()) if _holds_value(text))
    ambiguous = None if decimal else _ambiguity(evidence)
    reading: DecimalSign = decimal or ("," if evidence.comma else ".")
    read = _read_undecided if ambiguous else _READERS[reading]
    outcomes = {cell: _read_text(text, read) for cell, text in cleaned.items()}
    every = [outcomes[cell] if isinstance(cell, str) else _read_object(cell) for cell in found]
    numbers = {cell: cleaned[cell] for cell, read_as in outcomes.items() if _is_number(read_as)}
    values = [outcome if isinstance(outcome, float) else math.nan for outcome in every]
    return NumberColumn(
        values=np.full(len(found), math.nan) if ambiguous else np.array(values, dtype=float),
        missing=np.array([outcome is None for outcome in every], dtype=bool),
        unreadable=_unreadable(found, every),
        notes=(
            *_separator_notes(numbers, counts, reading),
            *_cleaning_notes(numbers, counts),
            *_missing_notes(cleaned, counts),
        ),
        ambiguous=ambiguous,
        separators="undecided" if ambiguous else _separators(numbers.values(), reading),
    )


# Cleaning -----------------------------------------------------------------------------------------

_MINUS = "\N{MINUS SIGN}"


def _cleaned(cell: str) -> str:
    """Normalise a text that should hold a number: `normalise_text` and the Unicode minus."""
    return normalise_text(cell).replace(_MINUS, "-")


def _holds_value(text: str) -> bool:
    """Whether a cleaned text claims to hold a value, readable or not."""
    return text != "" and text not in MISSING_TOKENS


# One cell -----------------------------------------------------------------------------------------

# [0-9] and not \d, which matches the digits of every script, as float() reads them
_EXPONENT = r"(?:[eE][+-]?[0-9]+)?"
_POINT = re.compile(
    rf"[+-]?(?:[1-9][0-9]{{0,2}}(?:,[0-9]{{3}})+(?:\.[0-9]+)?"
    rf"|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+){_EXPONENT})"
)
_COMMA = re.compile(
    rf"[+-]?(?:[1-9][0-9]{{0,2}}(?:\.[0-9]{{3}})+(?:,[0-9]+)?"
    rf"|(?:[0-9]+(?:,[0-9]+)?|,[0-9]+){_EXPONENT})"
)
_INFINITE = re.compile(r"[+-]?(?:inf|infinity|∞)", re.IGNORECASE)
_GROUPED_OTHERWISE = re.compile(r"[+-]?[0-9]{1,3}(?:[ '’`_][0-9]{3})+(?:[.,][0-9]*)?")
_SEPARATED_DIGITS = re.compile(r"[+-]?[0-9.,]*[0-9][0-9.,]*")


def _read_point(text: str) -> Outcome:
    """Read a cleaned text whose decimals follow a point."""
    if _POINT.fullmatch(text):
        return _finite(text.replace(",", ""))
    return _reason(text, ".")


def _read_comma(text: str) -> Outcome:
    """Read a cleaned text whose decimals follow a comma."""
    if _COMMA.fullmatch(text):
        return _finite(text.replace(".", "").replace(",", "."))
    return _reason(text, ",")


def _read_undecided(text: str) -> Outcome:
    """Tell what is unreadable either way; the rest is neither number nor missing, hence NaN."""
    fits = _POINT.fullmatch(text) or _COMMA.fullmatch(text)
    return math.nan if fits else _reason(text, ".")


_READERS: Mapping[str, Callable[[str], Outcome]] = {".": _read_point, ",": _read_comma}


def _is_number(outcome: Outcome) -> bool:
    return isinstance(outcome, float) and not math.isnan(outcome)


def _read_text(text: str, read: Callable[[str], Outcome]) -> Outcome:
    return read(text) if _holds_value(text) else None


def _finite(text: str) -> Outcome:
    """Convert a text in Python's own notation, refusing what float64 cannot hold."""
    value = float(text)
    if math.isinf(value):
        return NOT_FINITE
    if value == 0 and re.search("[1-9]", re.split("[eE]", text)[0]):
        return TOO_SMALL
    return value


def _reason(text: str, decimal: DecimalSign) -> str:
    """Why a text that `decimal` does not make a number cannot be read."""
    if _INFINITE.fullmatch(text):
        return NOT_FINITE
    if _GROUPED_OTHERWISE.fullmatch(text):
        return f"{NOT_A_NUMBER}: write thousands without blanks, apostrophes or underscores"
    if _SEPARATED_DIGITS.fullmatch(text):
        sign, other = ("point", "comma") if decimal == "." else ("comma", "point")
        return f"{NOT_A_NUMBER} where the {sign} is decimal and the {other} groups thousands"
    return NOT_A_NUMBER


def _read_object(cell: object) -> Outcome:
    """Read a cell that is not a text."""
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return None
    # before the numbers: np.timedelta64 counts itself among the integers
    if isinstance(cell, (np.datetime64, np.timedelta64)) and np.isnat(cell):
        return None
    if isinstance(cell, (datetime.date, np.datetime64)):
        return "is a date, not a number"
    if isinstance(cell, (datetime.time, datetime.timedelta, np.timedelta64)):
        return "is a time, not a number"
    if isinstance(cell, (bool, np.bool_, int, np.integer, float, np.floating, Decimal)):
        return _read_number(cell)
    return NOT_A_NUMBER


def _read_number(
    cell: bool | np.bool_ | int | np.integer | float | np.floating | Decimal,
) -> Outcome:
    try:
        value = float(cell)
    except OverflowError:
        return NOT_FINITE
    except ValueError:  # the signalling NaN of decimal
        return None
    if math.isinf(value):
        return NOT_FINITE
    if value == 0 and cell != 0:
        return TOO_SMALL
    return None if math.isnan(value) else value


# One column ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Evidence:
    """The first text, if any, of each kind that bears on the meaning of the separators.

    Parameters
    ----------
    point, comma : str or None
        A number with a decimal point only, with a decimal comma only.
    grouping_comma, grouping_point : str or None
        The same, where it also proves that the other sign groups thousands.
    either_comma, either_point : str or None
        One group, "1,234" or "1.234": thousands by one reading, decimals by the other.
    """

    point: str | None
    comma: str | None
    grouping_comma: str | None
    grouping_point: str | None
    either_comma: str | None
    either_point: str | None


def _evidence(texts: Iterable[str]) -> _Evidence:
    separated = [text for text in texts if "," in text or "." in text]
    fits = [
        (text, bool(_POINT.fullmatch(text)), bool(_COMMA.fullmatch(text))) for text in separated
    ]
    point = [text for text, by_point, by_comma in fits if by_point and not by_comma]
    comma = [text for text, by_point, by_comma in fits if by_comma and not by_point]
    either = [text for text, by_point, by_comma in fits if by_point and by_comma]
    return _Evidence(
        point=next(iter(point), None),
        comma=next(iter(comma), None),
        grouping_comma=next((text for text in point if "," in text), None),
        grouping_point=next((text for text in comma if "." in text), None),
        either_comma=next((text for text in either if "," in text), None),
        either_point=next((text for text in either if "." in text), None),
    )


def _ambiguity(evidence: _Evidence) -> str | None:
    """Say which two readings a column allows; None where there is only one.

    A comma must be proven, one way or the other; a point is decimal unless the column has commas.
    """
    if evidence.point and evidence.comma:
        return _mixed(evidence.point, evidence.comma)
    if evidence.either_comma and not (evidence.comma or evidence.grouping_comma):
        return _two_readings(evidence.either_comma, "comma")
    if evidence.either_point and evidence.comma and not evidence.grouping_point:
        return _two_readings(evidence.either_point, "point", beside=evidence.comma)
    return None


_REMEDY = 'set decimal = "," or decimal = "." under [data] of the study file'


def _mixed(point: str, comma: str) -> str:
    return (
        f'"{point}" has a decimal point and "{comma}" a decimal comma; correct the cells, '
        f"or {_REMEDY} to have every cell listed that does not agree with it"
    )


def _two_readings(example: str, sign: Literal["comma", "point"], beside: str = "") -> str:
    mark = "," if sign == "comma" else "."
    readings = (
        f"{example.replace(mark, '')} (thousands {sign}) "
        f"or as {example.replace(mark, '.')} (decimal {sign})"
    )
    context = f', beside "{beside}" with its decimal comma' if beside else ""
    return f'"{example}" can be read as {readings}{context}; {_REMEDY}'


def _separators(numbers: Iterable[str], decimal: DecimalSign) -> Separators:
    """Name the reading by the signs that occur in it."""
    texts = list(numbers)
    commas = any("," in text for text in texts)
    points = any("." in text for text in texts)
    if decimal == ".":
        return "thousands comma" if commas else "plain"
    if commas:
        return "decimal comma and thousands point" if points else "decimal comma"
    return "thousands point" if points else "plain"


# A column that holds numbers already --------------------------------------------------------------


def _numeric_array(cells: Cells) -> NDArray[np.float64] | None:
    """Return the column as float64 where its type is numeric, None where cells must be visited."""
    dtype = getattr(cells, "dtype", None)
    if dtype is None or not pd.api.types.is_numeric_dtype(dtype):
        return None
    if pd.api.types.is_complex_dtype(dtype):
        return None
    return pd.Series(cells).to_numpy(dtype=np.float64, na_value=np.nan, copy=True)


def _numeric_column(values: NDArray[np.float64]) -> NumberColumn:
    infinite = np.isinf(values)
    missing = np.isnan(values)
    unreadable = tuple(
        UnreadableCell(int(position), str(values[position]), NOT_FINITE)
        for position in np.flatnonzero(infinite)
    )
    return NumberColumn(np.where(infinite, np.nan, values), missing, unreadable)


# What is told -------------------------------------------------------------------------------------


def _unreadable(found: Sequence[object], outcomes: Sequence[Outcome]) -> tuple[UnreadableCell, ...]:
    return tuple(
        UnreadableCell(position, str(found[position]), outcome)
        for position, outcome in enumerate(outcomes)
        if isinstance(outcome, str)
    )


def _separator_notes(
    numbers: Mapping[str, str], counts: Mapping[str, int], decimal: DecimalSign
) -> list[str]:
    """Tell how many values had a sign other than the decimal point, with the first of them."""
    commas = [cell for cell, text in numbers.items() if "," in text]
    points = [cell for cell, text in numbers.items() if "." in text]
    if decimal == ".":
        return _note(commas, counts, "thousands commas", "read without them", numbers)
    return [
        *_note(commas, counts, "a decimal comma", "read as decimal numbers", numbers),
        *_note(points, counts, "thousands points", "read without them", numbers),
    ]


def _note(
    cells: Sequence[str],
    counts: Mapping[str, int],
    trait: str,
    treatment: str,
    numbers: Mapping[str, str] | None = None,
) -> list[str]:
    if not cells:
        return []
    count = sum(counts[cell] for cell in cells)
    example = f' ("{numbers[cells[0]]}")' if numbers else ""
    return [f"{_counted(count, 'value')} with {trait}{example} {treatment}"]


def _cleaning_notes(numbers: Mapping[str, str], counts: Mapping[str, int]) -> list[str]:
    stray = [cell for cell in numbers if normalise_text(cell) != cell]
    minus = [cell for cell in numbers if _MINUS in cell]
    return [
        *_note(stray, counts, "stray blanks or full-width characters", "read without them"),
        *_note(minus, counts, "a Unicode minus", "read as negative numbers"),
    ]


def _missing_notes(cleaned: Mapping[str, str], counts: Mapping[str, int]) -> list[str]:
    tokens: Counter[str] = Counter()
    for cell, text in cleaned.items():
        if text in MISSING_TOKENS:
            tokens[text] += counts[cell]
    return [
        f"{_counted(count, 'cell')} {quoted([token])} read as missing"
        for token, count in tokens.items()
    ]


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
