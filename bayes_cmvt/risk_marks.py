"""Patients in order of their risk, several to a mark: what may be shown where no patient may."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FEWEST = 5  # patients of a mark
MOST_MARKS = 120  # of a set: more cannot be told apart on a page


def marks_of(risk: NDArray[np.float64]) -> NDArray[np.int64]:
    """Mark of each patient: consecutive patients in order of risk, at least five to a mark.

    Parameters
    ----------
    risk : ndarray, shape (patient,)

    Returns
    -------
    ndarray of int, shape (patient,)
        1, 2, ... from the lowest risk on; 0 for all where there are fewer than five.

    Examples
    --------
    >>> marks_of(np.arange(11.0)).tolist()
    [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2]
    """
    if len(risk) < FEWEST:
        return np.zeros(len(risk), dtype=np.int64)
    count = min(len(risk) // FEWEST, MOST_MARKS)
    found = np.empty(len(risk), dtype=np.int64)
    for mark, members in enumerate(np.array_split(np.argsort(risk, kind="stable"), count), 1):
        found[members] = mark
    return found


def marked_means(
    patients: pd.DataFrame, risk: str, columns: Sequence[str], within: Sequence[str]
) -> pd.DataFrame:
    """Means over the patients of each mark: a median would be the very value of one of them.

    Parameters
    ----------
    patients : DataFrame
        One row for each patient, of each group.
    risk : str
        Column that orders them.
    columns : sequence of str
        What is averaged.
    within : sequence of str
        Columns whose values tell groups apart, such as ``set``.

    Returns
    -------
    DataFrame
        ``within``, ``mark, patients`` and ``columns``; no row of a group of fewer than five.
    """
    marked = patients.assign(
        mark=patients.groupby(list(within), sort=False)[risk].transform(
            lambda group: marks_of(group.to_numpy())
        )
    )
    groups = marked[marked["mark"] > 0].groupby([*within, "mark"], sort=False)
    found = groups[list(columns)].mean()
    found.insert(0, "patients", groups.size())
    return found.reset_index().sort_values([*within, "mark"], ignore_index=True)
