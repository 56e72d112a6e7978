"""What the tables of a study file say against each other.

Each rule takes validated tables and yields one line for each contradiction. A table that did not
validate is None; the rules that need it are passed over, so that the others still speak.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from bayes_cmvt.errors import nearest, quoted
from bayes_cmvt.schema import (
    AnyPredictor,
    Baseline,
    Continuous,
    Ordinal,
    Outcome,
    Prior,
    Published,
    PublishedCoefficient,
    level_key,
)

PRIOR_KEYS: dict[str, frozenset[str]] = {
    "regularized-horseshoe": frozenset(
        {"expected_nonzero", "global_scale", "slab_scale", "slab_df"}
    ),
    "normal": frozenset({"scale"}),
    "student-t": frozenset({"scale", "df"}),
}
FAMILY_KEYS = frozenset().union(*PRIOR_KEYS.values())
LOWEST_VALUE = {"log": 0.0, "log1p": -1.0, "sqrt": 0.0}


def contradictions(heading: Any, sections: Mapping[str, Any], predictors: list[Any]) -> list[str]:
    """Return what two keys or tables say against each other, as far as each was readable."""
    readable: list[AnyPredictor] = [predictor for predictor in predictors if predictor is not None]
    problems = [*_name_clashes(sections, readable), *_predictor_contradictions(readable)]
    if heading is not None and heading.data is not None:
        problems += _unsafe_path(heading.data, 'key "data"')
    if sections.get("data") is not None and sections["data"].file is not None:
        problems += _unsafe_path(sections["data"].file, '[data], key "file"')
    if sections.get("outcome") is not None:
        problems += _outcome_contradictions(sections["outcome"])
    if sections.get("prior") is not None:
        columns = _shrunk_columns(readable) if len(readable) == len(predictors) else None
        problems += _prior_contradictions(sections["prior"], columns)
    if sections.get("baseline") is not None:
        problems += _baseline_contradictions(sections["baseline"])
    split = sections.get("split")
    if split is not None and level_key(split.development) == level_key(split.validation):
        problems.append(
            f"[split]: development and validation are both {split.development!r}; "
            "they must be two values of the column"
        )
    if sections.get("published") is not None and len(readable) == len(predictors):
        problems += _published_contradictions(sections["published"], readable)
    return problems


def _shrunk_columns(predictors: list[AnyPredictor]) -> int:
    return sum(len(one.terms) for one in predictors if one.shrink and one.prior is None)


def _name_clashes(sections: Mapping[str, Any], predictors: list[AnyPredictor]) -> Iterator[str]:
    taken = {}
    if sections.get("outcome") is not None:
        taken[sections["outcome"].column] = "the outcome"
    if sections.get("split") is not None:
        column = sections["split"].column
        if column in taken:
            yield f'[split], key "column": "{column}" is the outcome; name another column'
        taken[column] = "the column of the split"
    for number, predictor in enumerate(predictors, start=1):
        if predictor.name in taken:
            yield (
                f'[predictors, no. {number} "{predictor.name}"]: the column is already '
                f"{taken[predictor.name]}; name each column once"
            )
        taken.setdefault(predictor.name, f"predictor no. {number}")
    distinct = {predictor.name: predictor for predictor in predictors}
    terms = [term for predictor in distinct.values() for term in predictor.terms]
    for term in sorted({one for one in terms if terms.count(one) > 1}):
        yield f'[predictors]: two columns would be called "{term}"; rename a predictor or a level'


def _predictor_contradictions(predictors: list[AnyPredictor]) -> Iterator[str]:
    for predictor in predictors:
        where = f'[predictors "{predictor.name}"]'
        if predictor.name == "(Intercept)":
            yield f"{where}: this name is kept for the intercept; rename the column"
        if (
            predictor.prior is not None
            and "shrink" in predictor.model_fields_set
            and predictor.shrink
        ):
            yield f'{where}: "prior" replaces the shrinkage prior, so "shrink" cannot be true'
        if predictor.prior is not None and len(predictor.terms) > 1:
            yield (
                f'{where}, key "prior": one prior cannot serve {len(predictor.terms)} levels; '
                "declare each level as a binary predictor"
            )
        if isinstance(predictor, Continuous):
            yield from _axis_contradictions(predictor, where)
        elif predictor.per is not None and not isinstance(predictor, Ordinal):
            yield f'{where}, key "per": only for continuous and ordinal predictors'


def _axis_contradictions(predictor: Continuous, where: str) -> Iterator[str]:
    lowest = LOWEST_VALUE.get(predictor.transform)
    if lowest is None or predictor.axis is None:
        return
    start = predictor.axis[0]
    if start < lowest or (start == lowest and predictor.transform != "sqrt"):
        yield (
            f'{where}, key "axis": begins at {start:g}, which transform '
            f'"{predictor.transform}" cannot take; begin above {lowest:g}'
        )


def _outcome_contradictions(outcome: Outcome) -> Iterator[str]:
    if outcome.non_event is not None and not outcome.non_event:
        yield '[outcome], key "non_event": is empty; name the values of patients without the event'
    if level_key(outcome.event) in map(level_key, outcome.non_event or ()):
        yield f'[outcome]: {outcome.event!r} is "event" and stands in "non_event" as well'


def _prior_contradictions(prior: Prior, columns: int | None) -> Iterator[str]:
    stray = (prior.model_fields_set & FAMILY_KEYS) - PRIOR_KEYS[prior.family]
    for key in sorted(stray):
        yield (
            f'[prior], key "{key}": has no meaning for family "{prior.family}", '
            f"which takes {quoted(sorted(PRIOR_KEYS[prior.family]))}"
        )
    if prior.expected_nonzero is None or "expected_nonzero" in stray:
        return
    if prior.global_scale is not None:
        yield (
            '[prior]: "global_scale" and "expected_nonzero" both set the global scale; '
            "leave one out"
        )
    if columns is not None and prior.expected_nonzero >= columns:
        yield (
            f'[prior], key "expected_nonzero": found {prior.expected_nonzero:g}; allowed: above 0 '
            f"and below {columns}, the number of columns under the shrinkage prior"
        )


def _baseline_contradictions(baseline: Baseline) -> Iterator[str]:
    if baseline.elimination is not None and "p_enter" in baseline.model_fields_set:
        yield ('[baseline]: "elimination" replaces the rule P < "p_enter"; leave one of them out')


def _published_contradictions(
    published: Published, predictors: list[AnyPredictor]
) -> Iterator[str]:
    names = [predictor.name for predictor in predictors]
    terms = [term for predictor in predictors for term in predictor.terms]
    for name in published.retained:
        if name not in names and name not in terms:
            yield f'[published], key "retained": "{name}" is no predictor{nearest(name, names)}'
    for coefficient in published.coefficients:
        where = f'[[published.coefficients]] "{coefficient.term}"'
        if coefficient.term not in terms:
            yield f"{where}: is no term of this study{nearest(coefficient.term, terms)}"
        yield from _coefficient_contradictions(coefficient, where)


def _coefficient_contradictions(coefficient: PublishedCoefficient, where: str) -> Iterator[str]:
    if (coefficient.odds_ratio is None) == (coefficient.beta is None):
        yield f'{where}: give either "odds_ratio" or "beta"'
    if (coefficient.low is None) != (coefficient.high is None):
        yield f'{where}: "low" and "high" are the two ends of one interval; give both'


def _unsafe_path(data: str, where: str) -> Iterator[str]:
    """Say why a study file, which may come from a stranger, cannot name this data path."""
    windows, posix = PureWindowsPath(data), PurePosixPath(data)
    outside = posix.is_absolute() or windows.is_absolute() or windows.drive or windows.root
    if outside or ".." in posix.parts or ".." in windows.parts or data.startswith("~"):
        yield (
            f'{where}: found "{data}"; a study file may only name data in its own folder; '
            "give any other file yourself with --data"
        )
    if not data.strip():
        yield f"{where}: is blank; name a file, or leave the key out"
