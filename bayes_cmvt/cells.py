"""Cells of a table against declared levels: which level each cell is, and which is none.

Case is never ignored, and blanks only with a note: ``"GA "`` is read as ``"GA"`` and said so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayes_cmvt.numerals import MISSING_TOKENS
from bayes_cmvt.plaintext import normalise_text
from bayes_cmvt.schema import Level, level_key, level_text

WRITTEN_OTHERWISE = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,2})?")


@dataclass(frozen=True)
class LevelColumn:
    """A column read against its levels.

    ``codes`` has shape (row,): position of the level, -1 where missing or unknown. ``unknown``
    maps each cell that is no level, as shown in messages, to the positions that hold it.
    """

    codes: NDArray[np.int16]
    unknown: Mapping[str, NDArray[np.int64]]
    notes: tuple[str, ...]


def match_levels(
    cells: pd.Series, levels: Sequence[Level], *, value_labels: Mapping[float | str, str]
) -> LevelColumn:
    """Find the level of every cell.

    A cell is the level that is written like it; else the level of equal number (``1.0`` is 1);
    else the level whose value label it carries (SPSS, Stata); else the level it equals without
    stray blanks and full-width characters, or as a number written otherwise (``01``); both
    are noted.

    Parameters
    ----------
    cells : Series, shape (row,)
    levels : sequence of int, float or str
    value_labels : mapping
        Label of each code, for formats that have them; empty otherwise.

    Returns
    -------
    LevelColumn
    """
    positions, distinct = _factorized(cells)
    found = np.full(len(distinct) + 1, -1, dtype=np.int16)  # the last entry serves missing cells
    unknown: dict[str, NDArray[np.int64]] = {}
    notes: list[str] = []
    lookup = _Lookup.of(levels)
    holders = _holders(positions, len(distinct))
    for number, (cell, holding) in enumerate(zip(distinct, holders, strict=True)):
        if _is_missing(cell, lookup):
            continue
        code, repaired = lookup.find(cell, value_labels)
        found[number] = code
        if code < 0:
            shown = shown_cell(cell)
            unknown[ascii(cell) if shown in unknown else shown] = holding
        elif repaired:
            level = level_text(levels[code])
            count = "1 cell" if len(holding) == 1 else f"{len(holding)} cells"
            notes.append(f'{count} {shown_cell(cell)} read as "{level}"')
    return LevelColumn(found[positions], unknown, tuple(notes))


def missing_cells(cells: pd.Series, levels: Sequence[Level] = ()) -> NDArray[np.bool_]:
    """Return which cells are empty or hold a sign for missing that is no level; shape (row,)."""
    missing = cells.isna().to_numpy(dtype=bool)
    if pd.api.types.is_numeric_dtype(cells):
        return missing
    positions, distinct = _factorized(cells)
    lookup = _Lookup.of(levels)
    empty = np.array([_is_missing(cell, lookup) for cell in distinct] + [True])
    return np.asarray(missing | empty[positions])


def _factorized(cells: pd.Series) -> tuple[NDArray[np.intp], Any]:
    """Return the position of each cell among the distinct ones, -1 where empty, and these."""
    try:
        return pd.factorize(cells, use_na_sentinel=True)
    except TypeError:  # lists and dicts, which Parquet can hold
        return pd.factorize(cells.map(str, na_action="ignore"), use_na_sentinel=True)


def _holders(positions: NDArray[np.intp], distinct: int) -> list[NDArray[np.int64]]:
    """Return the rows that hold each distinct cell, sorted once however many there are."""
    order = np.argsort(positions, kind="stable")
    starts = np.searchsorted(positions[order], np.arange(distinct))
    return np.split(order, starts)[1:]  # what precedes the first start are the empty cells


def shown_cell(cell: object) -> str:
    r"""Return a cell as messages print it: texts quoted, control characters escaped.

    Examples
    --------
    >>> shown_cell("GA "), shown_cell(2.0), shown_cell("a\x1bb")
    ('"GA "', '2', '"a\\x1bb"')
    """
    if isinstance(cell, str):
        inside = cell if len(cell) <= 40 else f"{cell[:37]}…"
        return '"' + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in inside) + '"'
    if isinstance(cell, float | np.floating):
        return f"{cell:.15g}"
    return str(cell)


@dataclass(frozen=True)
class _Lookup:
    by_text: Mapping[str, int]
    by_number: Mapping[float, int]
    by_plain_text: Mapping[str, int]

    @classmethod
    def of(cls, levels: Sequence[Level]) -> _Lookup:
        texts = {level_text(level): code for code, level in enumerate(levels)}
        keys = {level_key(level): code for code, level in enumerate(levels)}
        numbers = {key: code for key, code in keys.items() if not isinstance(key, str)}
        plain = {normalise_text(text): code for text, code in texts.items()} | texts
        return cls(texts, numbers, plain)

    def find(self, cell: object, value_labels: Mapping[float | str, str]) -> tuple[int, bool]:
        """Return the level's code, -1 for none, and whether the cell was repaired to fit."""
        text = cell if isinstance(cell, str) else _number_text(cell)
        if text in self.by_text:
            return self.by_text[text], False
        number = _number(cell)
        if number in self.by_number:
            return self.by_number[number], False
        label = value_labels.get(cell)  # type: ignore[call-overload]
        if label is not None and label in self.by_text:
            return self.by_text[label], False
        plain = normalise_text(text)
        if plain in self.by_plain_text:
            return self.by_plain_text[plain], True
        number = float(plain) if WRITTEN_OTHERWISE.fullmatch(plain) else float("nan")
        return self.by_number.get(number, -1), number in self.by_number


def _number_text(cell: object) -> str:
    if isinstance(cell, float | np.floating) and float(cell).is_integer():
        return str(int(cell))
    return str(cell)


def _number(cell: object) -> float:
    if isinstance(cell, str):
        key = level_key(cell)
        return float("nan") if isinstance(key, str) else key
    try:
        return float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def _is_blank(cell: object) -> bool:
    return isinstance(cell, str) and normalise_text(cell) in {"", *MISSING_TOKENS}


def _is_missing(cell: object, lookup: _Lookup) -> bool:
    """Whether a cell is a sign for missing; a declared level of that name is none."""
    return _is_blank(cell) and normalise_text(str(cell)) not in lookup.by_plain_text
