"""Words and marks that figures of coverage share, and which rows of a table they draw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pandas as pd

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import shared_words, style
from bayes_cmvt.figures.style import MARKS, Mark

SCENARIO_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "study": "As the study",
        "halved": "Effects halved",
        "dense": "All effects small",
        "correlated": "Correlated predictors",
        "rare": "Rare events",
        "nonlinear": "Non-linear truth",
        "null": "No effects",
        "posterior": "From the posterior",
        "population": "Real patients",
    }
)
METHOD_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "credible": "credible (horseshoe)",
        "bootstrap": "bootstrap, whole workflow",
        "bootstrap_refit": "bootstrap, LASSO + refit",
        "bootstrap_lasso": "bootstrap, LASSO alone",
        "wald": "Wald, selection ignored",
        "firth": "Firth, all columns",
        "ridge": "ridge",
    }
)
COMPARED = ("credible", "bootstrap", "wald")  # they have the marks that they have elsewhere
METHOD_MARKS: Mapping[str, Mark] = MappingProxyType(
    dict(
        zip(
            (*COMPARED, *(method for method in METHOD_WORDS if method not in COMPARED)),
            MARKS,
            strict=True,
        )
    )
)
PRINTED = 0.93  # of the width: letters are up to 3 % wider in print than where they are measured
_NOT_DRAWN = "wald_selected|predicted_.*"  # of chosen columns alone, of patients by their estimate


def known_rows(table: pd.DataFrame, columns: Iterable[str], called: str) -> pd.DataFrame:
    """Rows with a coverage, all of intervals of one level.

    Raises
    ------
    OptionError
        A table without one of the columns or without a known coverage, or of several levels.
    """
    style.require_columns(table, columns, called)
    known = table[table["coverage"].notna()]
    for name in known.columns.intersection(["target", "method"]):
        known = known[~known[name].astype(str).str.fullmatch(_NOT_DRAWN)]
    known = known.assign(scenario=scenario_names(known["scenario"])).reset_index(drop=True)
    style.require_columns(known, (), f"{called}, rows with a coverage")
    levels = sorted(known["interval"].astype(float).unique())
    if len(levels) > 1:
        said = " and ".join(f"{100 * level:.4g} %" for level in levels)
        msg = f"the table {called!r} cannot be drawn"
        raise OptionError(msg, [f"it has intervals of {said}: draw one level at a time"])
    named = known.columns.intersection(["scenario", "target", "method", "class"])
    return known.astype(dict.fromkeys(named, str))


def scenario_names(column: pd.Series[Any]) -> pd.Series[str]:
    """Names of scenarios; the scenario "null" is back that readers of CSV take for a missing cell.

    Examples
    --------
    >>> list(scenario_names(pd.Series(["study", None])))
    ['study', 'null']
    """
    return column.astype(object).where(column.notna(), "null").astype(str)


def method_looks(methods: Iterable[str]) -> dict[str, Mark]:
    """Marks of methods, the same in every figure; of unknown ones those that are left over.

    Raises
    ------
    OptionError
        More methods than marks.

    Examples
    --------
    >>> [(name, mark.marker) for name, mark in method_looks(["mine", "wald"]).items()]
    [('wald', '^'), ('mine', 'o')]
    """
    found = shared_words.ranked(methods, METHOD_WORDS)
    style.marks(len(found))
    known = {method: METHOD_MARKS[method] for method in found if method in METHOD_MARKS}
    free = iter([mark for mark in MARKS if mark not in known.values()])
    return {method: known[method] if method in known else next(free) for method in found}


def method_texts(methods: Sequence[str]) -> list[str]:
    """Plain words of methods; of an unknown one its name, cut where it is long."""
    return plain_words(methods, METHOD_WORDS, 45.0)


def scenario_texts(scenarios: Sequence[str], room_mm: float = 45.0) -> list[str]:
    """Plain words of scenarios; of an unknown one its name, cut where it is long."""
    return plain_words(scenarios, SCENARIO_WORDS, room_mm)


def plain_words(found: Sequence[str], words: Mapping[str, str], room_mm: float) -> list[str]:
    """Plain words of what a table names; of an unknown one its name, cut where it is long."""
    unknown = [name for name in found if name not in words]
    texts = style.fitted_names(style.names(unknown, unknown), room_mm)
    return [({**words} | dict(zip(unknown, texts, strict=True)))[name] for name in found]


def data_sets(table: pd.DataFrame, unit: str = "data sets") -> str:
    """How many data sets stand behind a table's rows, at least.

    Examples
    --------
    >>> data_sets(pd.DataFrame({"data_sets": [998, 1000]}))
    '≥ 998 data sets'
    """
    low, high = int(table["data_sets"].min()), int(table["data_sets"].max())
    return f"{low} {unit}" if low == high else f"≥ {low} {unit}"


def left_out_words(texts: Iterable[str]) -> str:
    """Return what a page has no room for, as a sentence."""
    return f"Without room here, in the table: {'; '.join(texts)}."
