"""Predictors become a standardised matrix, and the matrix becomes predictors again.

Learnt on the development rows of a cohort; applied unchanged to new rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayes_cmvt.cohort import Cohort, level_categories
from bayes_cmvt.errors import DataError
from bayes_cmvt.schema import Binary, Categorical, Continuous
from bayes_cmvt.study import AnyPredictor, Study

CONSTANT_BELOW = 1e-12  # SD relative to the largest value: rounding error of a constant column
DEPENDENT_BELOW = 1e-9  # share of a standardised column that others leave unexplained
EXTREME_LEVERAGE = 0.25  # share of a column's sum of squares held by one patient

type Transform = Callable[[NDArray[np.float64]], NDArray[np.float64]]

FORWARD: dict[str, Transform] = {
    "identity": lambda x: x,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
}
BACKWARD: dict[str, Transform] = {
    "identity": lambda x: x,
    "log": np.exp,
    "log1p": np.expm1,
    "sqrt": np.square,
}


@dataclass(frozen=True, eq=False)
class Design:
    """How predictors become standardised columns: z = (x - mean) / sd.

    Attributes
    ----------
    study : Study
    mean, sd : ndarray, shape (coefficient,)
        Of the encoded columns on the development rows; sd with divisor n - 1.
    """

    study: Study
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return self.study.terms


def encode(study: Study, predictors: pd.DataFrame) -> NDArray[np.float64]:
    """Encode predictors as columns in their own units, before standardisation.

    Continuous predictors after their transform; binary 0/1; ordinal scores 0, 1, 2 …; one
    0/1 column for each level of a category but the first (treatment contrasts).

    Parameters
    ----------
    study : Study
    predictors : DataFrame, shape (patient, predictor)
        As in `Cohort.predictors`: floats and categories, nothing missing.

    Returns
    -------
    ndarray, shape (patient, coefficient)
    """
    blocks = [encode_predictor(one, predictors[one.name]) for one in study.predictors]
    return np.asarray(np.column_stack(blocks))


def encode_predictor(predictor: AnyPredictor, values: pd.Series) -> NDArray[np.float64]:
    """Columns of one predictor in its own units, shape (patient, column); as in `encode`."""
    if isinstance(predictor, Continuous):
        numbers = values.to_numpy(dtype=float)
        return np.asarray(FORWARD[predictor.transform](numbers))[:, np.newaxis]
    codes = values.cat.codes.to_numpy()
    if isinstance(predictor, Categorical):
        chosen = codes[:, np.newaxis] == np.arange(1, len(predictor.levels))
        return np.asarray(chosen, dtype=float)
    return np.asarray(codes, dtype=float)[:, np.newaxis]


def learn_design(cohort: Cohort) -> Design:
    """Learn centre and scale of every column on the development rows.

    Parameters
    ----------
    cohort : Cohort

    Returns
    -------
    Design

    Raises
    ------
    DataError
        A column is constant on the development rows, or is an exact linear combination of
        others; all such columns named at once.
    """
    columns = encode(cohort.study, cohort.predictors[cohort.development])
    mean, sd = mean_and_sd(columns)
    largest = np.abs(columns).max(axis=0)
    constant = sd <= CONSTANT_BELOW * np.maximum(largest, np.finfo(float).tiny)
    terms = np.asarray(cohort.study.terms)
    problems = [
        _constant(cohort, term, columns[0, j]) for j, term in enumerate(terms) if constant[j]
    ]
    varying = np.flatnonzero(~constant)
    standardised = (columns[:, varying] - mean[varying]) / sd[varying]
    problems += dependent_columns(standardised, terms[varying].tolist())
    if problems:
        msg = f'{cohort.source} cannot be analysed as study "{cohort.study.name}"'
        raise DataError(msg, problems)
    return Design(cohort.study, mean, sd)


def _constant(cohort: Cohort, term: str, value: float) -> str:
    n = cohort.n_development
    return (
        f"column {term}: is constant, {value:g} in all {n} development rows; "
        "it says nothing about the outcome: leave it out of the study"
    )


def mean_and_sd(columns: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and SD (divisor n - 1) of each column, safe for values near the largest float.

    Examples
    --------
    >>> mean, sd = mean_and_sd(np.array([[1e200], [3e200]]))
    >>> float(mean[0]), round(float(sd[0]) / 1e200, 6)
    (2e+200, 1.414214)
    """
    largest = np.abs(columns).max(axis=0)
    unit = np.where(largest > 0, largest, 1.0)
    scaled = columns / unit
    if len(columns) < 2:
        return columns.mean(axis=0), np.zeros(columns.shape[1])
    return scaled.mean(axis=0) * unit, scaled.std(axis=0, ddof=1) * unit


def dependent_columns(standardised: NDArray[np.float64], terms: list[str]) -> list[str]:
    """Name every column that is an exact linear combination of earlier ones.

    With at least as many columns as rows every column is one; then only exact copies are named.

    Parameters
    ----------
    standardised : ndarray, shape (patient, coefficient)
    terms : list of str

    Returns
    -------
    list of str
        One problem for each such column, naming the columns it is made of.
    """
    n, columns = standardised.shape
    if columns >= n:
        return _copied_columns(standardised, terms)
    problems: list[str] = []
    kept: list[int] = []
    for j in range(columns):
        basis = standardised[:, kept]
        weights = np.linalg.lstsq(basis, standardised[:, j])[0] if kept else np.empty(0)
        rest = standardised[:, j] - basis @ weights
        if rest @ rest > DEPENDENT_BELOW**2 * (n - 1):
            kept.append(j)
            continue
        sources = [terms[kept[i]] for i in np.flatnonzero(np.abs(weights) > 1e-6)]
        problems.append(_dependent(terms[j], sources))
    return problems


def _copied_columns(standardised: NDArray[np.float64], terms: list[str]) -> list[str]:
    allowed = DEPENDENT_BELOW * np.sqrt(len(standardised) - 1)
    problems: list[str] = []
    for j in range(1, len(terms)):
        column, earlier = standardised[:, [j]], standardised[:, :j]
        # the distance itself: a correlation next to 1 has lost the digits that would show it
        distance = np.minimum(
            np.linalg.norm(earlier - column, axis=0), np.linalg.norm(earlier + column, axis=0)
        )
        copied = np.flatnonzero(distance <= allowed)
        problems += [_dependent(terms[j], [terms[i]]) for i in copied[:1]]
    return problems


def _dependent(term: str, sources: list[str]) -> str:
    if len(sources) == 1:
        return (
            f"column {term}: says exactly the same as column {sources[0]} "
            "(correlation 1 or -1); keep one of the two"
        )
    return (
        f"column {term}: is an exact combination of {', '.join(sources)}; "
        "leave one of these columns out"
    )


def design_matrix(design: Design, predictors: pd.DataFrame) -> NDArray[np.float64]:
    """Encode and standardise predictors with the constants of a design.

    Parameters
    ----------
    design : Design
    predictors : DataFrame, shape (patient, predictor)

    Returns
    -------
    ndarray, shape (patient, coefficient)
        In SD of the development rows.
    """
    return np.asarray((encode(design.study, predictors) - design.mean) / design.sd)


def recover_predictors(
    design: Design, matrix: NDArray[np.float64], rows: pd.Index | None = None
) -> pd.DataFrame:
    """Undo `design_matrix`: from standardised columns back to values and levels.

    Parameters
    ----------
    design : Design
    matrix : ndarray, shape (patient, coefficient)
    rows : Index, optional
        Index of the returned table.

    Returns
    -------
    DataFrame, shape (patient, predictor)
    """
    columns = matrix * design.sd + design.mean
    recovered, start = {}, 0
    for predictor in design.study.predictors:
        width = len(predictor.terms)
        recovered[predictor.name] = _decoded(predictor, columns[:, start : start + width])
        start += width
    return pd.DataFrame(recovered, index=rows)


def _decoded(
    predictor: AnyPredictor, block: NDArray[np.float64]
) -> NDArray[np.float64] | pd.Categorical[str]:
    if isinstance(predictor, Continuous):
        return np.asarray(BACKWARD[predictor.transform](block[:, 0]))
    if isinstance(predictor, Categorical):
        codes = np.rint(block).astype(int) @ np.arange(1, block.shape[1] + 1)
    else:
        codes = np.rint(block[:, 0]).astype(int)
    return level_categories(predictor, codes)


def extreme_leverage(cohort: Cohort, design: Design) -> pd.DataFrame:
    """Columns in which one patient holds an extreme share of the spread.

    The share is z² / (n - 1), the leverage of that patient in a model with this column alone
    (less 1/n). Typing errors such as 884 % neutrophils show here, and so do levels that only
    a handful of patients have.

    Parameters
    ----------
    cohort : Cohort
    design : Design

    Returns
    -------
    DataFrame
        ``term, row, value, share``, largest share first; empty where no share reaches 0.25.
    """
    predictors = cohort.predictors[cohort.development]
    matrix = design_matrix(design, predictors)
    share = matrix**2 / max(len(matrix) - 1, 1)
    worst = share.argmax(axis=0)
    raw = encode(cohort.study, predictors)
    found = pd.DataFrame(
        {
            "term": design.terms,
            "row": predictors.index.to_numpy()[worst],
            "value": raw[worst, np.arange(raw.shape[1])],
            "share": share.max(axis=0),
        }
    )
    found = found[found["share"] >= EXTREME_LEVERAGE]
    return found.sort_values("share", ascending=False, ignore_index=True)


def one_sided_levels(cohort: Cohort) -> pd.DataFrame:
    """Levels whose development patients all had the event, or none of them.

    Their maximum-likelihood effect is infinite (quasi-separation): the data bound it on one side
    only, the prior on the other.

    Returns
    -------
    DataFrame
        ``name, level, patients, event``, ``event`` being the number of events; levels that no
        patient has are left out.
    """
    outcome = cohort.outcome[cohort.development]
    found = []
    for predictor in cohort.study.predictors:
        if isinstance(predictor, Continuous):
            continue
        values = cohort.predictors.loc[cohort.development, predictor.name]
        for level in values.cat.categories:
            held = (values == level).to_numpy()
            patients, events = int(held.sum()), int(outcome[held].sum())
            if patients and events in (0, patients):
                found.append((predictor.name, level, patients, events))
    return pd.DataFrame(found, columns=["name", "level", "patients", "event"])


def reported_contrast(design: Design) -> NDArray[np.float64]:
    """Contrast on which each odds ratio is reported, in the column's own units.

    One unit or the level change, or ``per`` where the study declares it.

    Returns
    -------
    ndarray, shape (coefficient,)
    """
    contrasts = [
        one.per or 1.0 if not isinstance(one, Binary | Categorical) else 1.0
        for one in design.study.predictors
        for _ in one.terms
    ]
    return np.asarray(contrasts, dtype=float)


def clinical_contrast(cohort: Cohort, design: Design) -> NDArray[np.float64]:
    """Contrast on which effects are compared across columns, in each column's own units.

    ``per`` where declared; else the level change of a category, one step of an ordinal score, and
    for a continuous predictor the step from its 25th to its 75th percentile (after its transform;
    one SD where these coincide).

    Returns
    -------
    ndarray, shape (coefficient,)
    """
    columns = encode(cohort.study, cohort.predictors[cohort.development])
    lower, upper = np.quantile(columns, [0.25, 0.75], axis=0)
    quartile_step = np.where(upper > lower, upper - lower, design.sd)
    declared = [one.per for one in design.study.predictors for _ in one.terms]
    continuous = [isinstance(one, Continuous) for one in design.study.predictors for _ in one.terms]
    steps = np.where(continuous, quartile_step, 1.0)
    return np.array(
        [step if per is None else per for per, step in zip(declared, steps, strict=True)]
    )
