"""What a data file says about the study it was made for: guesses, each with its reason.

Columns that no model can use, or whose use only a person can decide, are left out with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from bayes_cmvt.cells import match_levels, shown_cell
from bayes_cmvt.columns import Column, in_order, outward_range, rank, read_column
from bayes_cmvt.errors import DataError, nearest, quoted
from bayes_cmvt.plaintext import normalise_text, printable
from bayes_cmvt.readers import SourceTable
from bayes_cmvt.redundancy import redundant_predictors
from bayes_cmvt.schema import (
    KINDS,
    AnyPredictor,
    Baseline,
    DataRules,
    Decision,
    Heading,
    Level,
    Outcome,
    Prior,
    level_text,
)
from bayes_cmvt.study import Study

MOST_LEVELS = 20
LARGEST_MEASUREMENT = 1e100
NUMERIC_FROM = 0.9  # share of readable cells from which a column is a measurement with slips
MISSING_UP_TO = 0.5  # share of missing cells above which complete cases would cost most rows
LONGEST_REASON = 400
NO_VALUES = "holds neither numbers nor texts"


@dataclass(frozen=True)
class Entry:
    """One key of a study file with its value; why it is so, and whether that is a guess."""

    key: str
    value: Any
    why: str = ""
    guessed: bool = True


@dataclass(frozen=True, eq=False)
class Candidate:
    """A column guessed to be a predictor, as it is declared; what is remarkable about it."""

    column: Column
    entries: tuple[Entry, ...]
    predictor: AnyPredictor
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """A column that is no candidate, and why."""

    name: str
    why: str


@dataclass(frozen=True, eq=False)
class Guesses:
    """All that was guessed from a data file.

    Attributes
    ----------
    outcome : tuple of Entry
        The keys of ``[outcome]``.
    candidates : tuple of Candidate
        In the order of the file; at least one.
    left_out : tuple of LeftOut
        In the order of the file.
    missing_cells, incomplete_rows : int
        Missing cells in the outcome and the candidates, and the rows that hold them.
    """

    outcome: tuple[Entry, ...]
    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]
    missing_cells: int
    incomplete_rows: int


@dataclass(frozen=True, eq=False)
class _Answers:
    """The outcome as it is declared; ``has_event`` has shape (row with an outcome,)."""

    column: Column
    entries: tuple[Entry, ...]
    outcome: Outcome
    has_event: NDArray[np.bool_]


class _RefusalError(Exception):
    """No study can be guessed; ``problems`` say why, and ``ending`` ends the heading."""

    def __init__(self, *problems: str, ending: str = "") -> None:
        self.problems = problems
        self.ending = ending


def guess_study(table: SourceTable, *, outcome: str, event: str | None = None) -> Guesses:
    """Guess what each column of a data file is to a study of one outcome.

    Parameters
    ----------
    table : SourceTable
    outcome : str
        Column of the outcome.
    event : str, optional
        The value, or its label, that counts as the event.

    Returns
    -------
    Guesses
        They make a study whose design is accepted, as far as the complete rows can tell.

    Raises
    ------
    DataError
        There is no such column, it is no outcome, or no other column can be a predictor.
    """
    try:
        return _guesses(table, outcome, event)
    except _RefusalError as refusal:
        heading = f"no study can be drafted from {table.source}{refusal.ending}"
        raise DataError(heading, refusal.problems) from None


def _guesses(table: SourceTable, outcome: str, event: str | None) -> Guesses:
    answers = _answers(_outcome_column(table, outcome), event)
    choices = _without_clashes(
        [
            _choice(read_column(table, str(name)))
            for name in table.frame.columns
            if str(name) != outcome
        ]
    )
    answered = ~answers.column.is_missing
    while refused := redundant_predictors(
        _study(answers, _candidates(choices)), table, answered, answers.has_event
    ):
        choices = [
            LeftOut(one.column.name, refused[one.column.name])
            if isinstance(one, Candidate) and one.column.name in refused
            else one
            for one in choices
        ]
    candidates = _candidates(choices)
    missing = [answers.column.is_missing, *(one.column.is_missing for one in candidates)]
    return Guesses(
        outcome=answers.entries,
        candidates=candidates,
        left_out=tuple(one for one in choices if isinstance(one, LeftOut)),
        missing_cells=int(np.sum(missing)),
        incomplete_rows=int(np.any(missing, axis=0).sum()),
    )


def _study(answers: _Answers, candidates: Sequence[Candidate]) -> Study:
    """Return the study that the guesses make."""
    return Study(
        heading=Heading(schema=1, name="draft", title="Draft"),
        outcome=answers.outcome,
        predictors=tuple(one.predictor for one in candidates),
        rules=DataRules(),
        split=None,
        prior=Prior(),
        baseline=Baseline(),
        decision=Decision(),
        published=None,
        reconstruction=None,
        source="the draft",
        sha256="",
    )


def _candidates(choices: Sequence[Candidate | LeftOut]) -> tuple[Candidate, ...]:
    """Return the candidates, of which there must be one."""
    candidates = tuple(one for one in choices if isinstance(one, Candidate))
    if not candidates:
        reasons = [
            f"column {printable(one.name)}: {printable(one.why, at_most=LONGEST_REASON)}"
            for one in choices
            if isinstance(one, LeftOut)
        ]
        raise _RefusalError(*reasons, ending=", no column can be a predictor")
    return candidates


def _declared(model: type[BaseModel], entries: Sequence[Entry]) -> Any:
    """Return the table of a study file with these keys; None where it would be refused."""
    try:
        return model.model_validate({entry.key: entry.value for entry in entries})
    except ValidationError:
        return None


# Outcome ------------------------------------------------------------------------------------------


def _outcome_column(table: SourceTable, name: str) -> Column:
    """Return the outcome column, which must hold at least two numbers or texts."""
    names = [str(one) for one in table.frame.columns]
    if name not in names:
        problem = f'column "{printable(name)}" is not in the file{nearest(name, names)}'
        raise _RefusalError(problem)
    column = read_column(table, name)
    where = f"column {printable(name)}"
    if column.present and not column.levels:
        problem = f"{where}: {NO_VALUES}"
        raise _RefusalError(problem)
    if len(column.levels) < 2:
        found = column.shown_levels() or "only missing cells"
        problem = f"{where}: an outcome needs two distinct values; found {found}"
        raise _RefusalError(problem)
    return column


def _answers(column: Column, event: str | None) -> _Answers:
    """Declare the outcome by its values, or as texts where numbers do not serve."""
    where = f"column {printable(column.name)}"
    if event is None and len(column.levels) > 2:
        problem = (
            f"{where}: holds {len(column.levels)} distinct values ({column.shown_levels()}); "
            "say with --event which of them is the event"
        )
        raise _RefusalError(problem)
    chosen = _guessed_event(column) if event is None else _named_event(column, event)
    others = [level for level in column.levels if level != chosen.value]
    has_event = column.positions([*others, chosen.value]) == len(others)
    for spelled in (lambda level: level, level_text):
        named = replace(chosen, value=spelled(chosen.value))
        non_event = in_order(map(spelled, others))
        entries = _outcome_entries(column, named, non_event)
        outcome = _declared(Outcome, entries)
        codes = _codes(column, [*non_event, named.value])
        right = bool((codes >= 0).all()) and np.array_equal(codes == len(others), has_event)
        if outcome is not None and right:
            return _Answers(column, entries, outcome, has_event)
    problem = (
        f"{where}: its name or its values ({column.shown_levels()}) cannot be written in a study "
        "file; rename the column, or recode the outcome as 0 and 1"
    )
    raise _RefusalError(problem)


def _outcome_entries(column: Column, event: Entry, non_event: list[Level]) -> tuple[Entry, ...]:
    """Return the keys of ``[outcome]``; one spelling of no event needs no key."""
    entries = (Entry("column", column.name), event)
    if len(match_levels(column.cells, [event.value], value_labels=column.labels).unknown) == 1:
        return entries
    return (*entries, Entry("non_event", non_event, "all other values found"))


def _codes(column: Column, levels: Sequence[Level]) -> NDArray[np.int16]:
    """Return the position of every cell in the levels as a study would read it."""
    return match_levels(column.cells, levels, value_labels=column.labels).codes


def _guessed_event(column: Column) -> Entry:
    """Return the likelier of two values to be the event, and why it was chosen."""
    first, second = column.levels
    texts, pair = column.texts, column.no_and_yes
    if pair is None:
        chosen = min(column.levels, key=lambda level: (column.levels[level], *rank(level)))
        reason = "the rarer of two values"
        if column.levels[first] == column.levels[second]:
            reason = "neither of two equally frequent values says that it is the event"
    else:
        chosen = pair[1]
        reason = f"{texts[pair[0]]}/{texts[chosen]} most often means no event/event"
        if set(texts.values()) == {"1", "2"}:
            reason = "1/2 is used both ways (2 = yes, or 1 = yes and 2 = no): look it up"
    label = f', "{column.labels[chosen]}"' if chosen in column.labels else ""
    count = f"{column.levels[chosen]} of {column.present} rows"
    return Entry("event", chosen, f"{reason}; {count}{label}")


def _named_event(column: Column, event: str) -> Entry:
    """Find the value that the user calls the event, by value or by label."""
    levels = list(column.levels)
    code = int(match_levels(pd.Series([event], dtype=object), levels, value_labels={}).codes[0])
    sought = normalise_text(event)
    found = [level for level in levels if normalise_text(column.labels.get(level, "")) == sought]
    if code >= 0:
        found = [levels[code]]
    if len(found) != 1:
        problem = (
            f"column {printable(column.name)}: no row holds the event {shown_cell(event)}; found "
            f"{column.shown_levels()}{nearest(event, map(printable, column.texts.values()))}"
        )
        raise _RefusalError(problem)
    return Entry("event", found[0], "as given on the command line", guessed=False)


# Predictors ---------------------------------------------------------------------------------------


def _choice(column: Column) -> Candidate | LeftOut:
    """Guess a column to be a predictor, or say why it is none."""
    if why := _unfit(column):
        return LeftOut(column.name, why)
    choice = _best_kind(column)
    if isinstance(choice, LeftOut) or not column.missing:
        return choice
    remark = f"{column.missing} of {len(column.is_missing)} cells are missing"
    return replace(choice, remarks=(*choice.remarks, remark))


def _unfit(column: Column) -> str:
    """Say why a column cannot be a predictor whatever its kind; empty where it can."""
    rows = len(column.is_missing)
    if not column.present:
        return "is empty"
    if column.missing > MISSING_UP_TO * rows:
        return f"{column.missing} of {rows} cells are missing; complete cases would lose those rows"
    if column.dated:
        return "holds dates or times; derive an age or a duration from them"
    if not column.levels:
        return NO_VALUES
    if column.numbers.ambiguous is not None:
        return f"its numbers can be read in two ways: {column.numbers.ambiguous}"
    one_number = len(column.measured) == column.present and len(np.unique(column.measured)) == 1
    if len(column.levels) == 1 or one_number:
        return f"is constant, {shown_cell(column.cells.iloc[0])} in all rows"
    if len(column.measured) and np.abs(column.measured).max() > LARGEST_MEASUREMENT:
        return "holds numbers too large for a measurement"
    return ""


def _best_kind(column: Column) -> Candidate | LeftOut:
    values = len(column.levels)
    few = values == 2 or (column.labelled and values <= MOST_LEVELS)
    if few and (found := _with_levels(column)):
        return found
    if values == column.present and values > 2 and (why := _identifier(column)):
        return LeftOut(column.name, why)
    readable = len(column.measured) / column.present
    if readable == 1 or (readable >= NUMERIC_FROM and len(np.unique(column.measured)) > 2):
        return _continuous(column) or _unwritable(column)
    if values > MOST_LEVELS:
        unread = f"{len(column.numbers.unreadable)} of {column.present} cells are no numbers"
        more = f"; {unread}" if readable > 0 else ""
        return LeftOut(column.name, f"{values} distinct texts{more}")
    return _with_levels(column) or _unwritable(column)


def _unwritable(column: Column) -> LeftOut:
    why = (
        "its name or a value cannot be written in a study file (control characters, blanks at "
        "the ends); rename it"
    )
    return LeftOut(column.name, why)


def _identifier(column: Column) -> str:
    if (column.measured != np.round(column.measured)).any():
        return ""
    kind = "whole numbers" if len(column.measured) == column.present else "texts"
    return f"looks like an identifier: all {column.present} values are distinct {kind}"


def _candidate(column: Column, kind: str, why: str, *more: Entry) -> Candidate | None:
    """Return the predictor if a study file may declare it like that."""
    entries = (Entry("name", column.name), Entry("kind", kind, why), *more)
    predictor = _declared(KINDS[kind], entries)
    if predictor is None or column.name == "(Intercept)":
        return None
    return Candidate(column, entries, predictor)


def _continuous(column: Column) -> Candidate | None:
    distinct = len(np.unique(column.measured))
    few = "; if they are codes, make it ordinal or categorical" if distinct <= 5 else ""
    low, high = outward_range(float(column.measured.min()), float(column.measured.max()))
    limits = Entry("range", [low, high], "observed range; replace by plausible limits")
    candidate = _candidate(column, "continuous", f"{distinct} distinct numbers{few}", limits)
    unreadable = column.numbers.unreadable
    if candidate is None or not unreadable:
        return candidate
    examples = quoted(dict.fromkeys(cell.cell for cell in unreadable), at_most=3)
    cells = "1 cell" if len(unreadable) == 1 else f"{len(unreadable)} cells"
    remark = f"{cells} cannot be read as numbers: {examples}; correct them"
    return replace(candidate, remarks=(remark,))


def _with_levels(column: Column) -> Candidate | None:
    """Guess a binary or categorical predictor by labels, numbers or texts; None if none fits."""
    levels, why = _ordered(column)
    kind = "binary" if len(levels) == 2 else "categorical"
    spellings: dict[str, list[list[Level]]] = {
        "labelled codes": [[column.labels[level] for level in levels]] if column.labelled else [],
        "distinct values": [levels, [level_text(level) for level in levels]],
    }
    for what, ways in spellings.items():
        for spelled in ways:
            declared = Entry("levels", spelled, why)
            candidate = _candidate(column, kind, f"{len(levels)} {what}", declared)
            if candidate and np.array_equal(_codes(column, spelled), column.positions(levels)):
                return candidate
    return None


def _ordered(column: Column) -> tuple[list[Level], str]:
    """Return the levels in the order of the draft, and why the first is first."""
    ascending = in_order(column.levels)
    if len(ascending) == 2:
        if column.no_and_yes is not None:
            no, yes = column.no_and_yes
            return [no, yes], f"{column.texts[no]} before {column.texts[yes]}"
        if column.labelled or not any(isinstance(level, str) for level in ascending):
            return ascending, "in ascending order; the second is coded 1"
    most = max(ascending, key=lambda level: column.levels[level])
    rest = [level for level in ascending if level != most]
    count = f"{column.levels[most]} of {column.present}"
    return [most, *rest], f"the most frequent level first, as reference ({count})"


def _without_clashes(choices: Sequence[Candidate | LeftOut]) -> list[Candidate | LeftOut]:
    """Leave out columns whose design columns would be named like those of an earlier one."""
    kept: list[Candidate | LeftOut] = []
    taken: set[str] = set()
    for choice in choices:
        terms = set(choice.predictor.terms) if isinstance(choice, Candidate) else set()
        if isinstance(choice, Candidate) and taken & terms:
            why = f"{quoted(sorted(taken & terms))} would name two columns; rename it"
            kept.append(LeftOut(choice.column.name, why))
            continue
        taken |= terms
        kept.append(choice)
    return kept
