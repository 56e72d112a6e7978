"""A study and a table of patients become a checked `Cohort`, with everything wrong said at once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayes_cmvt.cells import LevelColumn, match_levels, missing_cells, shown_cell
from bayes_cmvt.errors import DataError, OptionError, nearest, quoted
from bayes_cmvt.numerals import NumberColumn, parse_numbers
from bayes_cmvt.plaintext import normalise_text, printable
from bayes_cmvt.readers import SourceTable, name_notes, read_table
from bayes_cmvt.schema import Continuous, Level, LevelPredictor
from bayes_cmvt.study import AnyPredictor, Study, data_path, level_text, shipped_studies
from bayes_cmvt.synthetic import titled

CELLS_NAMED = 20
DEVELOPMENT, VALIDATION = "development", "validation"
LOWEST_VALUE = {"log": (0.0, "above 0"), "log1p": (-1.0, "above -1"), "sqrt": (0.0, "0 or above")}


@dataclass(frozen=True)
class Cohort:
    """The patients that are analysed, checked against their study.

    Attributes
    ----------
    study : Study
    predictors : DataFrame, shape (patient, predictor)
        Original units; index ``row`` is the row of the input file, 1 = first after the header.
        Continuous predictors are float, all others ordered categories of their level texts.
    outcome : ndarray of {0, 1}, shape (patient,)
    sets : ndarray of str, shape (patient,)
        ``development`` or ``validation``.
    flow : tuple of (str, int)
        From the rows of the file to the rows that are analysed, in order.
    notes : tuple of str
        What was recognised or repaired while reading.
    source, sha256 : str
        Name of the file without its folder, and the hash of its bytes.
    """

    study: Study
    predictors: pd.DataFrame
    outcome: NDArray[np.int8]
    sets: NDArray[np.str_]
    flow: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]
    source: str
    sha256: str

    @property
    def title(self) -> str:
        """The study's title, marked where the patients are synthetic."""
        return titled(self.study.heading.title, self.source)

    @property
    def development(self) -> NDArray[np.bool_]:
        """Which patients develop the model, shape (patient,)."""
        return np.asarray(self.sets == DEVELOPMENT)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Row of the input file of each patient, shape (patient,)."""
        return self.predictors.index.to_numpy(dtype=np.int64)

    @property
    def n_development(self) -> int:
        """Number of patients that develop the model."""
        return int(self.development.sum())

    @property
    def events_development(self) -> int:
        """Number of events among them."""
        return int(self.outcome[self.development].sum())

    def __repr__(self) -> str:
        return (
            f"Cohort of {len(self.outcome)} patients with {int(self.outcome.sum())} events, "
            f"study {self.study.name!r}, {self.source}"
        )


@dataclass(frozen=True)
class PredictorTable:
    """Predictors of a table as the study reads them, and what could not be read.

    ``frame`` has shape (row, predictor) with missing cells missing; ``problems`` is empty where
    every cell is readable.
    """

    frame: pd.DataFrame
    problems: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class NewPatients:
    """Patients whose risk is asked for, checked against a study; nobody knows their outcome.

    Attributes
    ----------
    predictors : DataFrame, shape (patient, predictor)
        As `Cohort.predictors`.
    notes : tuple of str
        What was recognised or repaired while reading.
    left_out : int
        Incomplete rows dropped under ``missing = "drop"``.
    """

    predictors: pd.DataFrame
    notes: tuple[str, ...]
    left_out: int


def load_cohort(study: Study, data: str | Path | pd.DataFrame | None = None) -> Cohort:
    """Read the patients of a study and check every cell that it uses.

    Parameters
    ----------
    study : Study
    data : path or DataFrame, optional
        CSV, TSV, Excel, SPSS, Stata or Parquet file, or a table with one row for each patient.
        Without it, the file that the study names.

    Returns
    -------
    Cohort

    Raises
    ------
    DataError
        The data cannot be read, or cells, levels or columns break the study's rules; all at once.
    """
    if not isinstance(study, Study):
        msg = f"load_cohort takes a Study: load_cohort(load_study({str(study)!r}), data)"
        raise OptionError(msg)
    table = _source_table(study, data)
    heading = f'{table.source} cannot be analysed as study "{study.name}"'
    problems = _missing_columns(study, table, outcome_needed=True)
    predictors = read_predictors(study, table)
    problems += predictors.problems
    notes = [*table.notes, *predictors.notes]
    outcome = _outcome(study, table, problems, notes)
    sets = _sets(study, table, problems, notes)
    incomplete = predictors.frame.isna().any(axis=1).to_numpy()
    if study.rules.missing == "error":
        remedy = 'correct them, or set missing = "drop" under [data] (or --missing drop)'
        problems += _missing_problems(study, table, remedy)
    if problems:
        raise DataError(heading, problems)
    kept = ~incomplete & (outcome >= 0)
    cohort = Cohort(
        study=study,
        predictors=predictors.frame[kept],
        outcome=outcome[kept],
        sets=sets[kept],
        flow=_flow(outcome, incomplete, kept),
        notes=tuple(notes),
        source=table.source,
        sha256=table.sha256,
    )
    problems += _class_problems(cohort)
    if problems:
        raise DataError(heading, problems)
    return cohort


def read_predictors(study: Study, table: SourceTable) -> PredictorTable:
    """Read the predictor columns of a table by the study's rules, without looking at the outcome.

    Parameters
    ----------
    study : Study
    table : SourceTable

    Returns
    -------
    PredictorTable
        Columns absent from the table are left out: `load_cohort` and `prediction` name them.
    """
    columns: dict[str, Any] = {}
    problems: list[str] = []
    notes: list[str] = []
    for predictor in study.predictors:
        if predictor.name not in table.frame.columns:
            continue
        columns[predictor.name] = (
            _numbers(study, predictor, table, problems, notes)
            if isinstance(predictor, Continuous)
            else _levels(predictor, table, problems, notes)
        )
    frame = pd.DataFrame(columns, index=table.frame.index)
    frame.index.name = "row"
    return PredictorTable(frame, tuple(problems), tuple(notes))


def load_new_patients(study: Study, data: str | Path | pd.DataFrame) -> NewPatients:
    """Read the predictors of new patients by the rules of a study; no outcome is needed.

    Parameters
    ----------
    study : Study
    data : path or DataFrame

    Returns
    -------
    NewPatients
        With ``missing = "drop"`` incomplete rows are left out, and counted.

    Raises
    ------
    DataError
        Columns, levels or cells that the study does not allow; all at once.
    """
    table = _source_table(study, data)
    problems = _missing_columns(study, table, outcome_needed=False)
    predictors = read_predictors(study, table)
    problems += predictors.problems
    if study.rules.missing == "error":
        problems += _missing_problems(study, table, "complete them, or leave these rows out")
    if problems:
        msg = f'risks for {table.source} cannot be computed with study "{study.name}"'
        raise DataError(msg, problems)
    complete = predictors.frame.dropna()
    if not len(complete):
        msg = f"{table.source} holds no row with all predictors of study {study.name}"
        raise DataError(msg)
    return NewPatients(
        predictors=complete,
        notes=(*table.notes, *predictors.notes),
        left_out=len(predictors.frame) - len(complete),
    )


def _source_table(study: Study, data: str | Path | pd.DataFrame | None) -> SourceTable:
    if isinstance(data, pd.DataFrame):
        return _table_from_frame(data)
    if data is not None:
        return read_table(Path(data))
    named = data_path(study)
    if named is None:
        if study.name not in shipped_studies() or study.source != f"{study.name}.toml":
            msg = (
                f"{study.source} names no data file; give one with --data FILE, or write "
                'file = "FILE" under [data] of the study'
            )
            raise DataError(msg)
        msg = (
            f'no patient data come with study "{study.name}": none are public.\n\n'
            "What can be done:\n"
            f"  analyse a cohort of your own   bayes-cmvt sample {study.name} --data FILE\n"
            f"  see which columns it needs     bayes-cmvt studies {study.name}\n"
            "  see the package at work        bayes-cmvt sample pep"
        )
        raise DataError(msg)
    return read_table(named)


def _table_from_frame(data: pd.DataFrame) -> SourceTable:
    """Take a table from Python as if it were a file: names normalised, rows counted from 1."""
    found = [str(name) for name in data.columns]
    names = pd.Index([normalise_text(name) for name in found], dtype=object)
    frame = data.set_axis(names, axis=1)
    frame = frame.set_axis(pd.RangeIndex(1, len(frame) + 1, name="row"), axis=0)
    if not frame.columns.is_unique:
        repeated = sorted(set(frame.columns[frame.columns.duplicated()]))
        msg = f"the table names columns twice: {quoted(repeated)}; name each column once"
        raise DataError(msg)
    # texts from Python may hold half of a surrogate pair, which strict UTF-8 cannot write
    sha256 = hashlib.sha256(frame.to_csv().encode(errors="surrogatepass")).hexdigest()
    repaired = [printable(name) for name, old in zip(names, found, strict=True) if name != old]
    return SourceTable(frame, "the table", sha256, notes=tuple(name_notes(repaired)))


def _missing_columns(study: Study, table: SourceTable, *, outcome_needed: bool) -> list[str]:
    present = [str(name) for name in table.frame.columns]
    needed = [predictor.name for predictor in study.predictors]
    if outcome_needed:
        needed.insert(0, study.outcome.column)
        if study.split is not None:
            needed.append(study.split.column)
    place = "".join(f" ({note})" for note in table.notes if note.startswith("sheet "))
    return [
        f'column "{name}" is not in the file{place}{nearest(name, present)}'
        for name in needed
        if name not in present
    ]


def _where(row: int, column: str) -> str:
    return f"row {row} (line {row + 1}), column {column}"


def _named(problems: Sequence[str], column: str, kind: str = "cells") -> list[str]:
    """Cut a long list of cells of one column, saying how many more there are."""
    if len(problems) <= CELLS_NAMED:
        return list(problems)
    return [
        *problems[:CELLS_NAMED],
        f"column {column}: {len(problems) - CELLS_NAMED} more {kind} like these",
    ]


def _numbers(
    study: Study,
    predictor: Continuous,
    table: SourceTable,
    problems: list[str],
    notes: list[str],
) -> NDArray[np.float64]:
    cells = table.frame[predictor.name]
    parsed: NumberColumn = parse_numbers(cells, decimal=study.rules.decimal)
    rows = table.frame.index.to_numpy()
    if parsed.ambiguous is not None:
        problems.append(f"column {predictor.name}: {parsed.ambiguous}")
    unreadable = _unreadable(predictor.name, parsed, rows)
    problems += _named(unreadable, predictor.name)
    problems += _named(_out_of_range(study, predictor, parsed, rows), predictor.name)
    notes += [f"column {predictor.name}: {note}" for note in parsed.notes]
    return parsed.values


def _unreadable(column: str, parsed: NumberColumn, rows: NDArray[Any]) -> list[str]:
    """Name each unreadable cell; a column that mostly holds no numbers is one problem."""
    named = [
        f"{_where(rows[cell.position], column)}: {shown_cell(cell.cell)} {cell.reason}"
        for cell in parsed.unreadable
    ]
    present = int((~parsed.missing).sum())
    if len(named) <= max(CELLS_NAMED, present // 2):
        return named
    first = parsed.unreadable[0]
    return [
        f"column {column}: {len(named)} of {present} cells hold no number, such as "
        f"{shown_cell(first.cell)} in row {rows[first.position]}; if these are levels, declare "
        "the predictor as categorical or ordinal"
    ]


def _out_of_range(
    study: Study, predictor: Continuous, parsed: NumberColumn, rows: NDArray[Any]
) -> list[str]:
    values = parsed.values
    unit = f" {predictor.unit}" if predictor.unit else ""
    found: list[str] = []
    if predictor.range is not None:
        low, high = predictor.range
        found += [
            f"{_where(rows[i], predictor.name)}: {shown_cell(values[i])} is outside the "
            f"plausible range {shown_cell(low)} to {shown_cell(high)}{unit} "
            f"declared in {study.source}"
            for i in np.flatnonzero((values < low) | (values > high))
        ]
    if predictor.transform in LOWEST_VALUE:
        lowest, allowed = LOWEST_VALUE[predictor.transform]
        below = values < lowest if predictor.transform == "sqrt" else values <= lowest
        found += [
            f"{_where(rows[i], predictor.name)}: {shown_cell(values[i])} has no "
            f"{predictor.transform}; allowed: {allowed}"
            for i in np.flatnonzero(below)
        ]
    return found


def _levels(
    predictor: LevelPredictor, table: SourceTable, problems: list[str], notes: list[str]
) -> pd.Categorical[str]:
    matched = match_levels(
        table.frame[predictor.name],
        predictor.levels,
        value_labels=table.value_labels.get(predictor.name, {}),
    )
    problems += _unknown_levels(predictor.name, predictor.levels, matched, table)
    notes += [f"column {predictor.name}: {note}" for note in matched.notes]
    return level_categories(predictor, matched.codes)


def level_categories(
    predictor: LevelPredictor, codes: NDArray[np.integer[Any]]
) -> pd.Categorical[str]:
    """Level codes (-1: missing) as ordered categories of the predictor's level texts."""
    texts = pd.Index([level_text(level) for level in predictor.levels])
    return pd.Categorical.from_codes(codes, categories=texts, ordered=True)


def _unknown_levels(
    column: str, levels: Sequence[Level], matched: LevelColumn, table: SourceTable
) -> list[str]:
    rows = table.frame.index.to_numpy()
    found = []
    for cell, positions in matched.unknown.items():
        first = rows[positions[0]]
        count = "1 row" if len(positions) == 1 else f"{len(positions)} rows"
        found.append(
            f"column {column}: level {cell} ({count}, first row {first}, line {first + 1}) "
            f"is not one of {quoted(levels)}{nearest(cell.strip(chr(34)), levels)}"
        )
    return _named(found, column, "levels")


def _outcome(
    study: Study, table: SourceTable, problems: list[str], notes: list[str]
) -> NDArray[np.int8]:
    """Return 1, 0, or -1 where the outcome is missing; shape (row,)."""
    rule, frame = study.outcome, table.frame
    nothing = np.full(len(frame), -1, dtype=np.int8)
    if rule.column not in frame.columns:
        return nothing
    labels = table.value_labels.get(rule.column, {})
    declared = (rule.event,) if rule.non_event is None else (*rule.non_event, rule.event)
    matched = match_levels(frame[rule.column], declared, value_labels=labels)
    notes += [f"column {rule.column}: {note}" for note in matched.notes]
    missing = missing_cells(frame[rule.column], declared)
    if study.rules.missing == "error" and missing.any():
        rows = frame.index.to_numpy()[missing]
        problems.append(
            f"column {rule.column}: {len(rows)} of {len(frame)} outcomes are missing "
            f"(rows {quoted(rows.tolist(), 5)}); complete them, or set missing = "
            '"drop" under [data]'
        )
    event = matched.codes == len(declared) - 1
    if rule.non_event is not None:
        problems += _unknown_levels(rule.column, declared, matched, table)
    elif len(matched.unknown) > 1:
        others = list(matched.unknown)
        problems.append(
            f"column {rule.column}: holds {len(others)} values other than the event "
            f"{rule.event!r} ({', '.join(others[:6])}{', …' if len(others) > 6 else ''}); "
            "name the values without the event as non_event under [outcome]"
        )
    if not event.any() and not missing.all():
        others = list(matched.unknown)
        problems.append(
            f"column {rule.column}: no row holds the event {rule.event!r}"
            f"{nearest(rule.event, [other.strip(chr(34)) for other in others])}; "
            f"found {', '.join(others[:6]) or 'only the values without the event'}"
        )
    return np.where(missing, np.int8(-1), event.astype(np.int8)).astype(np.int8)


def _sets(
    study: Study, table: SourceTable, problems: list[str], notes: list[str]
) -> NDArray[np.str_]:
    everyone = np.full(len(table.frame), DEVELOPMENT)
    if study.split is None or study.split.column not in table.frame.columns:
        return everyone
    column = study.split.column
    declared = (study.split.development, study.split.validation)
    labels = table.value_labels.get(column, {})
    matched = match_levels(table.frame[column], declared, value_labels=labels)
    notes += [f"column {column}: {note}" for note in matched.notes]
    problems += _unknown_levels(column, declared, matched, table)
    missing = missing_cells(table.frame[column], declared)
    if missing.any():
        rows = table.frame.index.to_numpy()[missing]
        count = "1 row belongs" if len(rows) == 1 else f"{len(rows)} rows belong"
        problems.append(
            f"column {column}: {count} to no set (first row {rows[0]}); write {quoted(declared)}"
        )
    return np.where(matched.codes == 1, VALIDATION, DEVELOPMENT)


def _missing_problems(study: Study, table: SourceTable, remedy: str) -> list[str]:
    """Count missing predictor cells by column; cells already named as unreadable do not count."""
    problems = []
    for predictor in study.predictors:
        if predictor.name not in table.frame.columns:
            continue
        levels = () if isinstance(predictor, Continuous) else predictor.levels
        count = int(missing_cells(table.frame[predictor.name], levels).sum())
        if count:
            problems.append(
                f"column {predictor.name}: {count} of {len(table.frame)} values are missing; "
                f"{remedy}"
            )
    return problems


def _flow(
    outcome: NDArray[np.int8], incomplete: NDArray[np.bool_], kept: NDArray[np.bool_]
) -> tuple[tuple[str, int], ...]:
    return (
        ("rows in the file", len(outcome)),
        ("left out: outcome missing", int((outcome < 0).sum())),
        ("left out: a predictor missing", int((incomplete & (outcome >= 0)).sum())),
        ("analysed", int(kept.sum())),
    )


def _class_problems(cohort: Cohort) -> list[str]:
    n, events = cohort.n_development, cohort.events_development
    where = "" if cohort.study.split is None else " in the development set"
    if n == 0:
        if cohort.flow[0] == ("rows in the file", len(cohort.outcome)):
            return [f"the file holds no patient{where}"]
        return [f'no patient is left{where}; see which cells are missing with missing = "error"']
    if events in (0, n):
        which = "none has" if events == 0 else "all have"
        return [
            f"column {cohort.study.outcome.column}: of {n} patients{where} {which} the event; "
            "a risk model needs patients with and without it"
        ]
    return []


def flow_table(cohort: Cohort) -> pd.DataFrame:
    """Return the flow from file to analysis: ``step, patients``."""
    counts: Mapping[str, int] = dict(cohort.flow)
    rows = [*counts.items()]
    for name in (DEVELOPMENT, VALIDATION) if cohort.study.split else (DEVELOPMENT,):
        chosen = cohort.sets == name
        rows.append((f"{name}: patients", int(chosen.sum())))
        rows.append((f"{name}: events", int(cohort.outcome[chosen].sum())))
    return pd.DataFrame(rows, columns=["step", "patients"])


__all__ = [
    "AnyPredictor",
    "Cohort",
    "NewPatients",
    "PredictorTable",
    "flow_table",
    "level_categories",
    "load_cohort",
    "load_new_patients",
    "read_predictors",
]
