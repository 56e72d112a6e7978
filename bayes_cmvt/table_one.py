"""Table 1: the patients who are analysed, by outcome and by split, with standardised differences.

Differences are standardised because they describe how far two groups lie apart whatever the
number of patients; P values would not.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayes_cmvt import textwidth
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.schema import Continuous
from bayes_cmvt.study import AnyPredictor

COUNT, SHARE, MEAN, QUARTILES = "n", "n (%)", "mean ± SD", "median [quartiles]"
NOTHING = "–"
SD_DIGITS = 3  # significant digits of the SD, which set the decimals of all that is in its unit
FIXED_BELOW = 1e9  # larger numbers, and numbers of more than 6 decimals, are written with exponent
NARROWEST = 20

BY_OUTCOME = ("overall", "no_event", "event", "difference_outcome")
BY_SET = ("development", "validation", "difference_set")
HEADERS = {"no_event": "no event", "difference_outcome": "difference"}
HEADERS_BY_SET = {"difference_set": "difference"}

type Groups = Mapping[str, NDArray[np.bool_]]
type Row = dict[str, str | float]


def table_one(cohort: Cohort) -> pd.DataFrame:
    """Describe the analysed patients, overall, by outcome and by set.

    Standardised differences (event minus no event; development minus validation) are
    ``(m1 - m0) / sqrt((s1² + s0²) / 2)`` for means and
    ``(p1 - p0) / sqrt((p1 (1 - p1) + p0 (1 - p0)) / 2)`` for each level, unitless
    (Austin 2009, doi:10.1002/sim.3697). SD has divisor n - 1; quartiles interpolate linearly.

    Parameters
    ----------
    cohort : Cohort

    Returns
    -------
    DataFrame
        ``name, label, level, summary, overall, no_event, event, difference_outcome`` and, where
        the study has a split, ``development, validation, difference_set``. The first row counts
        patients; then come two rows for each continuous predictor, in its original units, and
        one for each level of every other. A difference is NaN for counts and medians, and
        where it is undefined: an empty group, or no spread and unequal means.
    """
    event = cohort.outcome == 1
    everyone = np.ones(len(event), dtype=bool)
    groups = {"overall": everyone, "no_event": ~event, "event": event}
    if cohort.study.split is not None:
        groups |= {"development": cohort.development, "validation": ~cohort.development}
    rows = [_patients(groups)]
    for predictor in cohort.study.predictors:
        values = cohort.predictors[predictor.name]
        if isinstance(predictor, Continuous):
            rows += _continuous(predictor, values.to_numpy(dtype=float), groups)
        else:
            rows += _levels(predictor, values, groups)
    columns = ["name", "label", "level", "summary", *BY_OUTCOME]
    columns += BY_SET if cohort.study.split is not None else ()
    return pd.DataFrame(rows, columns=columns)


def _patients(groups: Groups) -> Row:
    counts: Row = {name: str(int(members.sum())) for name, members in groups.items()}
    undefined = dict.fromkeys(("difference_outcome", "difference_set"), math.nan)
    return {"name": "", "label": "Patients", "level": "", "summary": COUNT, **counts, **undefined}


def _continuous(
    predictor: AnyPredictor, values: NDArray[np.float64], groups: Groups
) -> Iterator[Row]:
    style = _NumberStyle.of(values)
    unit = f" ({predictor.unit})" if predictor.unit else ""
    start: Row = {"name": predictor.name, "label": f"{predictor.display}{unit}", "level": ""}
    means: Row = {name: style.mean_and_sd(values[members]) for name, members in groups.items()}
    yield {**start, "summary": MEAN, **means, **_differences(values, groups, difference_of_means)}
    undefined = dict.fromkeys(("difference_outcome", "difference_set"), math.nan)
    medians: Row = {name: style.quartiles(values[members]) for name, members in groups.items()}
    yield {**start, "summary": QUARTILES, **medians, **undefined}


def _levels(predictor: AnyPredictor, values: pd.Series, groups: Groups) -> Iterator[Row]:
    codes = values.cat.codes.to_numpy()
    for code, level in enumerate(values.cat.categories):
        holds = codes == code
        counts: Row = {name: _share(holds[members]) for name, members in groups.items()}
        yield {
            "name": predictor.name,
            "label": predictor.display,
            "level": str(level),
            "summary": SHARE,
            **counts,
            **_differences(holds, groups, difference_of_shares),
        }


def _share(holds: NDArray[np.bool_]) -> str:
    if not len(holds):
        return NOTHING
    return f"{int(holds.sum())} ({100 * float(holds.mean()):.1f})"


# Standardised differences -------------------------------------------------------------------------


def _differences(
    values: NDArray[Any], groups: Groups, difference: Callable[[Any, Any], float]
) -> Row:
    """Difference by outcome and, where there is a split, by set."""
    differences: Row = {
        "difference_outcome": difference(values[groups["event"]], values[groups["no_event"]])
    }
    if "validation" in groups:
        differences["difference_set"] = difference(
            values[groups["development"]], values[groups["validation"]]
        )
    return differences


def difference_of_means(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Difference of two means in pooled SD: ``(m1 - m0) / sqrt((s1² + s0²) / 2)``.

    Austin 2009, doi:10.1002/sim.3697. The two variances weigh the same, whatever the sizes.

    Parameters
    ----------
    first, second : ndarray, shape (patient,)
        The groups' values, in the same unit.

    Returns
    -------
    float
        Unitless; 0 where all values of both groups are the same; NaN where a group is empty,
        a group of one leaves its SD unknown, or neither group varies and the means differ.

    Examples
    --------
    >>> difference_of_means(np.array([4.0, 6.0]), np.array([1.0, 3.0])) * 2**0.5   # 3 / sqrt(2)
    3.0
    >>> difference_of_means(np.array([5.0]), np.array([5.0, 5.0]))
    0.0
    >>> difference_of_means(np.array([5.0, 5.0]), np.array([4.0, 4.0]))
    nan
    """
    if not len(first) or not len(second):
        return math.nan
    together = np.concatenate([first, second])
    if together.min() == together.max():
        return 0.0
    if len(first) < 2 or len(second) < 2:
        return math.nan
    unit = float(np.abs(together).max())  # squares of values near the largest float overflow
    (m1, s1), (m0, s0) = (_mean_and_sd(group / unit) for group in (first, second))
    pooled = math.hypot(s1, s0) / math.sqrt(2)
    return (m1 - m0) / pooled if pooled > 0 else math.nan


def difference_of_shares(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Difference of two shares in pooled SD of the two binomial variances.

    ``(p1 - p0) / sqrt((p1 (1 - p1) + p0 (1 - p0)) / 2)`` (Austin 2009, doi:10.1002/sim.3697).

    Parameters
    ----------
    first, second : ndarray of bool, shape (patient,)

    Returns
    -------
    float
        Unitless; 0 where all or none of both groups hold the level; NaN where a group is empty
        or all of one group and none of the other hold it.

    Examples
    --------
    >>> difference_of_shares(np.array([True, False]), np.array([False, False]))   # 0.5 / sqrt(1/8)
    1.414213562373095
    >>> difference_of_shares(np.array([True]), np.array([False]))
    nan
    """
    if not len(first) or not len(second):
        return math.nan
    p1, p0 = float(first.mean()), float(second.mean())
    pooled = math.sqrt((p1 * (1 - p1) + p0 * (1 - p0)) / 2)
    if pooled > 0:
        return (p1 - p0) / pooled
    return 0.0 if p1 == p0 else math.nan


def _mean_and_sd(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and SD (divisor n - 1) without overflow; exact for constants, SD NaN for one value.

    Sorted first, so that the order of the patients changes no digit.
    """
    if values.min() == values.max():
        return float(values[0]), 0.0 if len(values) > 1 else math.nan
    unit = float(np.abs(values).max())
    scaled = np.sort(values) / unit
    return float(scaled.mean()) * unit, float(scaled.std(ddof=1)) * unit


# Numbers as text ----------------------------------------------------------------------------------


class _NumberStyle:
    """How the numbers of one predictor are written, the same in all groups.

    Parameters
    ----------
    decimals : int
        Behind the point, or behind the first digit where written with an exponent.
    exponent : bool
    """

    def __init__(self, decimals: int, *, exponent: bool = False) -> None:
        self.code = f".{decimals}{'e' if exponent else 'f'}"

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> _NumberStyle:
        """Choose the decimals that give the SD of all patients three significant digits."""
        if not len(values):
            return cls(0)
        mean, sd = _mean_and_sd(values)
        largest = float(np.abs(values).max())
        if not sd > 0:
            return cls._of_constant(mean)
        decimals = SD_DIGITS - 1 - math.floor(math.log10(sd))
        if decimals <= 6 and largest < FIXED_BELOW:
            return cls(max(decimals, 0))
        digits = math.floor(math.log10(largest)) - math.floor(math.log10(sd)) + SD_DIGITS - 1
        return cls(min(max(digits, 0), 15), exponent=True)

    @classmethod
    def _of_constant(cls, constant: float) -> _NumberStyle:
        fraction = f"{constant:.6f}".rstrip("0").partition(".")[2]
        fits = constant == 0 or 1e-4 <= abs(constant) < FIXED_BELOW
        return cls(len(fraction)) if fits else cls(SD_DIGITS - 1, exponent=True)

    def number(self, value: float) -> str:
        """Write one number; -0 as 0, unknown as a dash."""
        if math.isnan(value):
            return NOTHING
        written = format(value, self.code)
        return written.removeprefix("-") if float(written) == 0 else written

    def mean_and_sd(self, values: NDArray[np.float64]) -> str:
        """Write ``45.3 ± 13.3``."""
        if not len(values):
            return NOTHING
        mean, sd = _mean_and_sd(values)
        return f"{self.number(mean)} ± {self.number(sd)}"

    def quartiles(self, values: NDArray[np.float64]) -> str:
        """Write ``45.0 [36.0, 54.0]``."""
        if not len(values):
            return NOTHING
        unit = float(np.abs(values).max()) or 1.0  # interpolation overflows near the largest float
        lower, median, upper = (
            self.number(float(value) * unit)
            for value in np.quantile(values / unit, [0.25, 0.5, 0.75])
        )
        return f"{median} [{lower}, {upper}]"


# The table on a terminal --------------------------------------------------------------------------


def table_one_text(table: pd.DataFrame, width: int = 100) -> str:
    """Set Table 1 as aligned plain text.

    Parameters
    ----------
    table : DataFrame
        From `table_one`.
    width : int
        Columns of the terminal. Where the outcome and the split do not fit side by side, the
        split follows below; labels and levels are cut to fit, numbers never.

    Returns
    -------
    str
        Lines without blanks at their ends, no line break after the last.
    """
    by_outcome = _block(table, BY_OUTCOME, HEADERS)
    note = "difference: event minus no event, in SD"
    blocks = [by_outcome]
    if "difference_set" in table.columns:
        by_set = _block(table, BY_SET, HEADERS_BY_SET)
        beside = [[*left, *right] for left, right in zip(by_outcome, by_set, strict=True)]
        fits = _needed(table, beside) <= width
        blocks = [beside] if fits else [by_outcome, by_set]
        note += "; development minus validation likewise"
    lines = [line for block in blocks for line in [*_aligned(table, block, width), ""]]
    return "\n".join([*lines, *textwrap.wrap(note, max(width, 20))])


def _block(
    table: pd.DataFrame, columns: Sequence[str], headers: Mapping[str, str]
) -> list[list[str]]:
    """Return headers and cells of some columns."""
    written = [_column(headers.get(name, name), table[name].tolist()) for name in columns]
    return [list(row) for row in zip(*written, strict=True)]


def _column(header: str, cells: Sequence[str | float]) -> list[str]:
    """Return a column with its header; numbers end where the header ends."""
    texts = [cell if isinstance(cell, str) else _signed(cell) for cell in cells]
    if any(isinstance(cell, str) for cell in cells):
        return [header, *texts]
    return [header, *(text.rjust(len(header)) for text in texts)]


def _signed(difference: float) -> str:
    if math.isnan(difference):
        return ""
    written = f"{difference:.2f}"
    return "0.00" if written == "-0.00" else written


def _shown(table: pd.DataFrame) -> list[str]:
    """Return what each row shows, indented below its predictor."""
    rows = zip(table["name"], table["label"], table["level"], table["summary"], strict=True)
    return [f"  {level or summary}" if name else label for name, label, level, summary in rows]


def _needed(table: pd.DataFrame, block: list[list[str]]) -> int:
    """Places that a line with a whole label or level and all numbers takes."""
    widths = [max(map(textwidth.width, _shown(table))), *_widths(block)]
    return sum(widths) + 2 * len(block[0])


def _aligned(table: pd.DataFrame, block: list[list[str]], width: int) -> list[str]:
    """Return the lines of one block: a heading for each predictor, its rows below."""
    spare = width - sum(_widths(block)) - 2 * len(block[0])
    shown = [textwidth.fitted(text, max(NARROWEST, spare)) for text in _shown(table)]
    rows = [[text, *cells] for text, cells in zip(["", *shown], block, strict=True)]
    widths = _widths(rows)
    header, *body = ["  ".join(map(textwidth.padded, row, widths)).rstrip() for row in rows]
    names = ["", *table["name"]]
    lines = [header]
    for line, (before, name), label, summary in zip(
        body, pairwise(names), table["label"], table["summary"], strict=True
    ):
        if name != before:
            heading = f"{label}, {summary}" if summary == SHARE else label
            lines.append(textwidth.fitted(heading, max(NARROWEST, width)))
        lines.append(line)
    return lines


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(textwidth.width, column)) for column in zip(*rows, strict=True)]
