"""Texts that a spreadsheet would run as a formula, made harmless in a CSV and read back whole."""

from __future__ import annotations

import re

import pandas as pd

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_MARKED = re.compile(r"''*[=+\-@\t\r]")


def harmless_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before texts that begin like a formula; numbers stay numbers.

    Labels and levels come from a stranger's study file; OWASP calls it CSV injection.

    Parameters
    ----------
    table : DataFrame
        About to be written as CSV.

    Returns
    -------
    DataFrame
        Column names included; `original_cells` is the inverse.

    Examples
    --------
    >>> table = pd.DataFrame({"label": ["=1+1", "-5", "-5 mg", "age"], "@x": [1, 2, 3, 4]})
    >>> harmless_cells(table)["label"].tolist(), list(harmless_cells(table))
    (["'=1+1", '-5', "'-5 mg", 'age'], ['label', "'@x"])
    """
    found = table.rename(columns=_harmless)
    for place, kind in enumerate(table.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            column = found.iloc[:, place]
            if column.map(_is_formula).any():
                found.isetitem(place, column.map(_harmless).array)
    return found


def original_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Take the apostrophes away again that `harmless_cells` has put.

    Examples
    --------
    >>> table = pd.DataFrame({"'=label": ["'=1+1", "'tis", "age"]})
    >>> original_cells(table).to_dict("list")
    {'=label': ['=1+1', "'tis", 'age']}
    """
    found = table.rename(columns=_original)
    for place, kind in enumerate(table.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            column = found.iloc[:, place]
            if column.map(_is_marked).any():
                found.isetitem(place, column.map(_original).array)
    return found


def _is_formula(cell: object) -> bool:
    return isinstance(cell, str) and bool(_FORMULA.match(cell)) and not _is_number(cell)


def _is_marked(cell: object) -> bool:
    return isinstance(cell, str) and bool(_MARKED.match(cell))


def _harmless(cell: object) -> object:
    return f"'{cell}" if _is_formula(cell) else cell


def _original(cell: object) -> object:
    return str(cell)[1:] if _is_marked(cell) else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
