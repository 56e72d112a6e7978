"""A data file becomes the draft of a study file: every guess marked as one, with its reason.

A draft always loads as a study. Columns that no model can use, or whose use only a person can
decide, are left out and named in a comment with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

import tomli_w

from bayes_cmvt.errors import DataError, StudyError
from bayes_cmvt.guessing import LONGEST_REASON, Entry, Guesses, guess_study
from bayes_cmvt.plaintext import printable
from bayes_cmvt.readers import SourceTable
from bayes_cmvt.study import parse_study


def draft_study(
    table: SourceTable,
    *,
    outcome: str,
    event: str | None = None,
    name: str | None = None,
    file: str | None = None,
) -> str:
    """Draft a study file from a data file, every guess marked as one.

    Two distinct values make a binary predictor, other numbers a continuous one with its observed
    range, 3 to 20 distinct texts or labelled codes a categorical one. Left out, with the reason
    in a comment: columns that are empty, mostly missing or constant, dates, identifiers, texts
    with more than 20 values, numbers that cannot be read, what repeats the outcome, and exact
    copies or combinations of earlier columns.

    Parameters
    ----------
    table : SourceTable
    outcome : str
        Column of the outcome.
    event : str, optional
        The value, or its label, that counts as the event; needed where the outcome has more
        than two distinct values, guessed otherwise.
    name : str, optional
        Name of the study, by default that of the file; other characters than ``a-z0-9_-``
        become hyphens.
    file : str, optional
        Path of the data relative to the study file, written under ``[data]``.

    Returns
    -------
    str
        TOML that `bayes_cmvt.study.parse_study` accepts.

    Raises
    ------
    DataError
        There is no such column, it is no outcome, or no other column can be a predictor.
    """
    guesses = guess_study(table, outcome=outcome, event=event)
    paragraphs = [
        _introduction(table),
        _lines(_head(table, name)),
        ["[outcome]", *_lines(guesses.outcome)],
        *_predictors(guesses),
        ["[data]", *_lines(_data(table, guesses, file))],
    ]
    text = "\n\n".join("\n".join(lines) for lines in paragraphs) + "\n"
    try:
        parse_study(text, source="the draft")
    except StudyError as error:  # the file is not safe to name
        heading = f"no study can be drafted from {table.source}"
        raise DataError(heading, error.problems or [error.heading]) from None
    return text


# Paragraphs ---------------------------------------------------------------------------------------


def _introduction(table: SourceTable) -> list[str]:
    rows, columns = table.frame.shape
    return [
        _comment(
            f"Draft of a study file, made from {table.source} ({rows} rows, {columns} columns)."
        ),
        _comment(
            'What is marked "guess" was guessed from the data: check it, then delete the mark.'
        ),
        _comment("Candidates must be known when the risk is needed: delete those that come later."),
        _comment("Add a label and, for measurements, a unit to each."),
    ]


def _head(table: SourceTable, name: str | None) -> list[Entry]:
    stem = PurePath(table.source).stem if name is None else name
    title = f"Draft study of {printable(table.source)}"
    return [
        Entry("schema", 1),
        Entry("name", study_name(stem), "from the name of the file" if name is None else ""),
        Entry("title", title, "placeholder; write the title of the study"),
    ]


def study_name(text: str) -> str:
    """Make a study name of any text: ``a-z``, ``0-9``, hyphen and underscore, at most 64.

    Examples
    --------
    >>> study_name("My Cohort (2024)"), study_name("队列")
    ('my-cohort-2024', 'study')
    """
    plain = re.sub(r"[^a-z0-9_-]+", "-", text.lower())[:64].strip("-")
    return plain or "study"


def _predictors(guesses: Guesses) -> list[list[str]]:
    """Return a paragraph for each candidate, and one for all that is left out."""
    paragraphs = [
        ["[[predictors]]", *map(_comment, one.remarks), *_lines(one.entries)]
        for one in guesses.candidates
    ]
    if guesses.left_out:
        reasons = [f"{printable(one.name)}: {one.why}" for one in guesses.left_out]
        paragraphs.append([_comment("Left out:"), *map(_comment, reasons)])
    return paragraphs


def _data(table: SourceTable, guesses: Guesses, file: str | None) -> list[Entry]:
    why, missing = "", guesses.missing_cells
    if missing:
        cells = "1 cell" if missing == 1 else f"{missing} cells"
        why = (
            f"{cells} missing, in {guesses.incomplete_rows} of {len(table.frame)} rows: "
            'complete them, or write "drop"'
        )
    rule = Entry("missing", "error", why, guessed=False)
    return [rule] if file is None else [Entry("file", file), rule]


# Lines --------------------------------------------------------------------------------------------


def _lines(entries: Iterable[Entry]) -> list[str]:
    """Write one line for each key, with its reason as a comment."""
    lines = []
    for entry in entries:
        line = f"{entry.key} = {_toml(entry.value)}"
        mark = "guess: " if entry.guessed else ""
        lines.append(f"{line}  {_comment(f'{mark}{entry.why}')}" if entry.why else line)
    return lines


def _toml(value: Any) -> str:
    """Write a value on one line."""
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return tomli_w.dumps({"x": value}).removeprefix("x = ").removesuffix("\n")


def _comment(text: str) -> str:
    """Write a comment that stays on its line, whatever names and cells it quotes."""
    return f"# {printable(text, at_most=LONGEST_REASON)}"
