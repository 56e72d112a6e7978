"""Predictors that add nothing to others: constants, copies, exact combinations, the outcome itself.

Found before there is a cohort, so that a draft leaves out what its design would refuse.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bayes_cmvt.cohort import read_predictors
from bayes_cmvt.design import CONSTANT_BELOW, dependent_columns, encode, mean_and_sd
from bayes_cmvt.errors import quoted
from bayes_cmvt.readers import SourceTable
from bayes_cmvt.study import Study


def redundant_predictors(
    study: Study, table: SourceTable, answered: NDArray[np.bool_], has_event: NDArray[np.bool_]
) -> dict[str, str]:
    """Name the predictors of a study that the design would refuse, each with the reason.

    Judged on complete rows; where these are fewer than half, a column that others explain there
    may not be so in all rows, and nothing is refused.

    Parameters
    ----------
    study : Study
    table : SourceTable
    answered : ndarray of bool, shape (row,)
        Where the outcome is known.
    has_event : ndarray of bool, shape (answered row,)

    Returns
    -------
    dict of str to str
        Predictor to reason.
    """
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
