"""What a report is made from, and how its numbers are looked up: each with where it stands."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bayes_cmvt.report.document import Inline, Value, harmless
from bayes_cmvt.report.report_words import Words
from bayes_cmvt.study import Study

if TYPE_CHECKING:
    import pandas as pd

PRIVATE_FIGURES = ("_patient", "_patients")
NOTHING = "–"
PER_CENT = "\u00a0%"
LARGE = 100_000.0  # from here on a number without set decimals is printed as a power of ten
MOST_DECIMALS = 4
UTC_TIME = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d\+00:00$")

type Language = Literal["en", "zh"]
type Key = str | float | bool


@dataclass(frozen=True)
class FigureImage:
    """A figure as bytes.

    Attributes
    ----------
    content : bytes
        For the page.
    media : {"svg", "png"}
        What `content` is.
    png : bytes
        For Word.
    width_mm : float
        Width in print.
    """

    content: bytes
    media: Literal["svg", "png"]
    png: bytes
    width_mm: float


@dataclass(frozen=True, eq=False)
class ReportRun:
    """A finished run, as a report needs it.

    Attributes
    ----------
    run : mapping
        Content of ``run.json``, with its ``stages``.
    study : Study
    tables : mapping of str to DataFrame
        As they stand in ``tables/``; those with a row per patient are never read.
    penalties : mapping of str to float
        ``lambda_min`` and ``lambda_1se`` of ``lasso.json``; empty without a baseline.
    figures : mapping of str to FigureImage
        By name, in the order in which they are shown.
    paragraph : tuple of str
        The comparison in plain words, in the language of the report.
    problems : tuple of str
        Why the draws are not to be trusted; empty where they are.
    language : {"en", "zh"}
    notes : tuple of str
        What else is to be said on top, such as that another version made the run.
    """

    run: Mapping[str, Any]
    study: Study
    tables: Mapping[str, pd.DataFrame]
    penalties: Mapping[str, float]
    figures: Mapping[str, FigureImage]
    paragraph: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    language: Language = "en"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Material:
    """A run without anything of a single patient, and the words of its language.

    Attributes
    ----------
    run : ReportRun
        With the tables and figures that may be shown, and no others.
    words : mapping of str to str
    """

    run: ReportRun
    words: Words

    def table(self, name: str) -> pd.DataFrame | None:
        """A table of the run, or None where no stage has made it."""
        found = self.run.tables.get(name)
        return None if found is None or found.empty else found

    def has(self, *names: str) -> bool:
        """Whether all of these tables are there."""
        return all(self.table(name) is not None for name in names)


def shown_part(run: ReportRun) -> ReportRun:
    """Return the run without tables that have a row per patient and figures of single patients.

    Parameters
    ----------
    run : ReportRun

    Returns
    -------
    ReportRun
    """
    from dataclasses import replace

    tables = {name: table for name, table in run.tables.items() if "row" not in table.columns}
    figures = {
        name: image for name, image in run.figures.items() if not name.endswith(PRIVATE_FIGURES)
    }
    return replace(run, tables=tables, figures=figures)


def number_text(number: float, digits: int | None = None, scale: float = 1.0) -> str:
    """Return a number as it is printed; without `digits` about three that count.

    Examples
    --------
    >>> number_text(0.8314, 3), number_text(-2.5, 1), number_text(12345, 0)
    ('0.831', '−2.5', '12,345')
    >>> number_text(0.0042), number_text(0.42), number_text(1234.5), number_text(1e-5)
    ('0.0042', '0.42', '1,234', '1.0e−05')
    >>> number_text(-0.001, 2), number_text(float("inf"), 2)
    ('0.00', '∞')
    """
    shown = number * scale
    if math.isinf(shown):
        text = "∞" if shown > 0 else "-∞"
    elif digits is None and (0 < abs(shown) < 0.001 or abs(shown) >= LARGE):
        text = f"{shown:.1e}"
    else:
        places = _places(shown) if digits is None else digits
        text = f"{shown:,.{places}f}"
        text = text.lstrip("-") if not text.strip("-0.,") else text
    return text.replace("-", "\u2212")


def clock_text(text: str) -> str:
    """Return a time of ``run.json`` as it is read, any other text as it is.

    Examples
    --------
    >>> clock_text("2026-11-22T06:45:24+00:00"), clock_text("1.2")
    ('2026-11-22 06:45 UTC', '1.2')
    """
    return UTC_TIME.sub(r"\1 \2 UTC", text)


def scale_of(unit: str) -> float:
    """Return what a number is multiplied with before its unit is written."""
    return 100.0 if unit == PER_CENT else 1.0


def _places(number: float) -> int:
    """Decimals of a number of any size, such as an odds ratio."""
    size = abs(number)
    limits = ((100.0, 0), (10.0, 1), (0.1, 2), (0.01, 3))
    return next((places for limit, places in limits if size >= limit), 0 if size == 0 else 4)


def cell(
    material: Material,
    table: str,
    column: str,
    key: Mapping[str, Key],
    *,
    digits: int | None = None,
    unit: str = "",
) -> Value | None:
    """One cell of a table as a value; None where the row is not there, not one, or empty.

    Parameters
    ----------
    material : Material
    table, column : str
    key : mapping
        Columns and what they hold in the row.
    digits : int, optional
        Decimals; without it as many as the size of the number asks for.
    unit : str
        Behind the number; `PER_CENT` multiplies it by 100.

    Returns
    -------
    Value or None
    """
    found = material.table(table)
    place = None if found is None else position(found, key)
    if found is None or place is None:
        return None
    return _value(found, table, column, _Place(place, tuple(key.items())), digits, unit)


@dataclass(frozen=True)
class _Place:
    """A row by its number and by what it holds."""

    position: int
    row: tuple[tuple[str, Key], ...]


def position(table: pd.DataFrame, key: Mapping[str, Key]) -> int | None:
    """Number of the one row that holds these values; None where there is none, or more."""
    import numpy as np

    if not set(key) <= set(table.columns):
        return None
    fitting = np.ones(len(table), dtype=bool)
    for name, wanted in key.items():
        fitting &= np.asarray(table[name].to_numpy() == wanted, dtype=bool)
    places = np.flatnonzero(fitting)
    return int(places[0]) if len(places) == 1 else None


def _value(
    held: pd.DataFrame,
    table: str,
    column: str,
    place: _Place,
    digits: int | None,
    unit: str,
) -> Value | None:
    """A cell as a value; None where it is empty."""
    if column not in held.columns:
        return None
    content: Any = held[column].to_numpy()[place.position]
    source = f"tables/{table}.csv"
    if isinstance(content, str):
        return Value(harmless(content), content, source, place.row, column)
    number = float(content)
    if math.isnan(number):
        return None
    scale = scale_of(unit)
    text = number_text(number, digits, scale) + unit
    return Value(text, number, source, place.row, column, scale)


def counted(material: Material, table: str, key: Mapping[str, Key]) -> Value | None:
    """How many rows of a table are such, as a value.

    Parameters
    ----------
    material : Material
    table : str
    key : mapping
        Columns and values; `` !=``, `` >`` or `` <`` behind a column's name compares otherwise.

    Returns
    -------
    Value or None
    """
    found = material.table(table)
    if found is None:
        return None
    rows = matching(found, key)
    return Value(
        number_text(len(rows), 0),
        float(len(rows)),
        f"tables/{table}.csv",
        tuple(key.items()),
        "count()",
    )


def matching(table: pd.DataFrame, key: Mapping[str, Key]) -> pd.DataFrame:
    """Rows of a table that hold these values, or compare so with them."""
    rows = table
    for name, wanted in key.items():
        column, _, comparison = name.partition(" ")
        cells = rows[column]
        match comparison:
            case "!=":
                rows = rows[cells != wanted]
            case ">":
                rows = rows[cells > wanted]
            case "<":
                rows = rows[cells < wanted]
            case _:
                rows = rows[cells == wanted]
    return rows


def _places_of_width(found: Sequence[Value | None]) -> int | None:
    """Decimals that tell narrow limits apart; None where the usual ones do."""
    numbers = [float(one.number) for one in found if one is not None]
    width = max(numbers, default=1.0) - min(numbers, default=0.0)
    if not 0 < width < 0.1:
        return None
    return min(MOST_DECIMALS, 1 - math.floor(math.log10(width)))


def from_run(
    material: Material,
    path: str,
    *,
    digits: int | None = None,
    unit: str = "",
) -> Value | None:
    """One entry of ``run.json`` as a value; None where it is not there or empty.

    Parameters
    ----------
    material : Material
    path : str
        Keys joined by ``/``.
    digits, unit
        As in `cell`.

    Returns
    -------
    Value or None
    """
    found: Any = material.run.run
    for key in path.split("/"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return _entry(found, "run.json", path, digits=digits, unit=unit)


def from_study(
    material: Material,
    path: str,
    *,
    digits: int | None = None,
    unit: str = "",
) -> Value | None:
    """One entry of the study as a value, as `from_run` does."""
    found: Any = material.run.study
    for key in path.split("/"):
        found = found[int(key)] if key.isdigit() else getattr(found, key)
    return _entry(found, "study.toml", path, digits=digits, unit=unit)


def _entry(found: Any, source: str, path: str, *, digits: int | None, unit: str) -> Value | None:
    if isinstance(found, str) and found:
        return Value(clock_text(harmless(found)), found, source, (), path)
    if isinstance(found, bool) or not isinstance(found, int | float) or math.isnan(found):
        return None
    scale = scale_of(unit)
    if digits is None:
        shown = str(found) if scale == 1 else f"{found * scale:g}"
    else:
        shown = number_text(found, digits, scale)
    text = shown.replace("-", "\u2212")
    return Value(text + unit, float(found), source, (), path, scale)


def limits(
    material: Material,
    table: str,
    columns: tuple[str, str, str],
    key: Mapping[str, Key],
    *,
    digits: int | None = None,
) -> tuple[Inline, ...]:
    """An estimate with its interval, ``0.83 (0.79 to 0.87)``; a dash where there is none.

    Parameters
    ----------
    material : Material
    table : str
    columns : tuple of str
        Estimate, lower and upper limit.
    key : mapping
        As in `cell`.
    digits : int, optional

    Returns
    -------
    tuple of Inline
    """
    held = material.table(table)
    place = None if held is None else position(held, key)
    if held is None or place is None:
        return (NOTHING,)
    at = _Place(place, tuple(key.items()))
    found = [_value(held, table, one, at, digits, "") for one in columns]
    if digits is None and (places := _places_of_width(found)) is not None:
        found = [_value(held, table, one, at, places, "") for one in columns]
    middle, lower, upper = found
    if middle is None:
        return (NOTHING,)
    if lower is None or upper is None:
        return (middle,)
    return (middle, " (", lower, f" {material.words['to']} ", upper, ")")
