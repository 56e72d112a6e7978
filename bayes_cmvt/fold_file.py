"""Folds that a user brings: a table of rows and their folds, checked against a cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayes_cmvt.cohort import Cohort
from bayes_cmvt.errors import DataError, nearest
from bayes_cmvt.numerals import parse_numbers
from bayes_cmvt.readers import read_table

NAMED_AT_MOST = 10


def read_folds(path: Path, cohort: Cohort) -> NDArray[np.int64]:
    """Read the fold of each development patient.

    Parameters
    ----------
    path : Path
        Table with columns ``row`` (row of the input file, 1 = first after the header) and ``fold``
        (whole number). Rows of the input file that do not develop the model are passed over.
    cohort : Cohort

    Returns
    -------
    ndarray of int, shape (patient,)
        Folds of the development patients, in the order of the cohort.

    Raises
    ------
    DataError
        The file cannot be read or does not fit the cohort; everything wrong with it at once.
    """
    table = read_table(path)
    problems = [
        f'column "{name}" is missing{nearest(name, table.frame.columns)}'
        for name in ("row", "fold")
        if name not in table.frame
    ]
    if problems:
        raise DataError(_heading(table.source), problems)
    columns = {}
    for name in ("row", "fold"):
        columns[name], found = _whole_numbers(table.frame[name], name)
        problems += found
    if not problems:
        problems = _misfits(columns["row"], columns["fold"], cohort)
    if problems:
        raise DataError(_heading(table.source), problems)
    fold_of = dict(zip(columns["row"].tolist(), columns["fold"].tolist(), strict=True))
    return np.array([fold_of[row] for row in cohort.rows[cohort.development].tolist()])


def _heading(source: str) -> str:
    return f"{source} does not give the folds"


def _whole_numbers(cells: pd.Series, name: str) -> tuple[NDArray[np.int64], list[str]]:
    parsed = parse_numbers(cells)
    values = parsed.values
    bad = ~(np.isfinite(values) & (values == np.rint(values)) & (np.abs(values) < 2**53))
    positions = np.flatnonzero(bad)
    problems = [
        f"line {position + 2}, column {name}: {_found(cells.iloc[position])}; a whole number is "
        "needed"
        for position in positions[:NAMED_AT_MOST]
    ]
    if len(positions) > NAMED_AT_MOST:
        problems.append(f"column {name}: {len(positions)} such cells in all")
    return np.where(bad, 0, values).astype(np.int64), problems


def _found(cell: Any) -> str:
    return "the cell is empty" if pd.isna(cell) else f'found "{cell}"'


def _misfits(rows: NDArray[np.int64], folds: NDArray[np.int64], cohort: Cohort) -> list[str]:
    """What keeps these folds from being those of a cohort."""
    in_file = dict(cohort.flow)["rows in the file"]
    members = cohort.rows[cohort.development]
    values, counts = np.unique(rows, return_counts=True)
    problems = [
        f"row {row}: occurs {count} times; each row has one fold"
        for row, count in zip(values[counts > 1], counts[counts > 1], strict=True)
    ][:NAMED_AT_MOST]
    unknown = rows[(rows < 1) | (rows > in_file)]
    if len(unknown):
        problems.append(
            f"{_listed(unknown)}: not in {cohort.source}, whose rows are 1 to {in_file:,}"
        )
    absent = np.setdiff1d(members, rows)
    if len(absent):
        problems.append(
            f"{_listed(absent)}: development patients without a fold, {len(absent)} of "
            f"{len(members)}"
        )
    if problems:
        return problems
    return _unfit(folds[np.isin(rows, members)], rows, cohort)


def _unfit(folds: NDArray[np.int64], rows: NDArray[np.int64], cohort: Cohort) -> list[str]:
    """Folds that a cross-validation cannot use."""
    if len(np.unique(folds)) < 2:
        return [f"all development patients are in fold {folds[0]}; 2 or more folds are needed"]
    outcome = pd.Series(cohort.outcome, index=cohort.rows)
    members = rows[np.isin(rows, cohort.rows[cohort.development])]
    event = outcome.reindex(members.tolist()).to_numpy()
    return [
        f"fold {fold}: all {name} are in this fold, so that the others have one outcome only"
        for fold in np.unique(folds)
        for name, code in (("events", 1), ("patients without the event", 0))
        if not (event[folds != fold] == code).any()
    ]


def _listed(rows: NDArray[np.int64]) -> str:
    shown = ", ".join(str(row) for row in rows[:NAMED_AT_MOST])
    return f"row{'s' if len(rows) > 1 else ''} {shown}{', …' if len(rows) > NAMED_AT_MOST else ''}"
