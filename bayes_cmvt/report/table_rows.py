"""Rows of a report's tables: what every table of it is built with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from bayes_cmvt.report.document import Block, Code, Content, Inline, Paragraph, Table, given
from bayes_cmvt.report.facts import say, with_facts
from bayes_cmvt.report.material import NOTHING, Key, Material, cell, limits
from bayes_cmvt.report.report_words import Facts

if TYPE_CHECKING:
    import pandas as pd

MODELS = ("horseshoe", "baseline", "projection")
SETS = ("development", "validation", "external")
MOST_ROWS = 400  # of a table in a report; the file has them all

type Row = tuple[Content, ...]
type Rows = tuple[Sequence[str], list[Row]]
type Build = Callable[[Material, pd.DataFrame], Rows]


def present(
    material: Material, facts: Facts, name: str, build: Build, *, command: str | None = "sample"
) -> list[Block]:
    """Return a table of the run as a block, or the command that makes it.

    Parameters
    ----------
    material : Material
    facts : mapping
    name : str
        Of the table, without its ending.
    build : callable
        Takes the material and the table and returns the head and the rows.
    command : str or None
        What makes the table; None: nothing is said where it is missing.

    Returns
    -------
    list of Block
    """
    found = material.table(name)
    if found is None:
        return missing(material, facts, command) if command else []
    head, rows = build(material, found)
    if not rows:
        return []
    caption = say(material, f"t_{name}", facts) or (material.words["t_other"],)
    note = say(material, f"n_{name}", facts) if f"n_{name}" in material.words else None
    if len(rows) > MOST_ROWS:
        note = (*(note or ()), material.words["sentence_gap"], material.words["cut_table"])
    anchor = f"table-{name.replace('_', '-')}"
    source = f"tables/{name}.csv"
    return [Table(anchor, caption, source, tuple(head), tuple(rows[:MOST_ROWS]), note or ())]


def missing(material: Material, facts: Facts, command: str) -> list[Block]:
    """Return the line that says which command makes what is not there."""
    told = with_facts(facts, command=(Code(f"bayes-cmvt {command} RUN"),))
    said = say(material, "missing", told)
    return [Paragraph(said, "missing")] if said else []


def said_block(material: Material, facts: Facts, key: str) -> list[Block]:
    """Return a phrase as a paragraph, if its facts are known."""
    found = say(material, key, facts)
    return [Paragraph(found)] if found else []


def shown(value: Inline | None) -> Content:
    """Return a value as a cell; a dash where there is none."""
    return (NOTHING,) if value is None else (value,)


def named(material: Material, kind: str, name: object) -> Content:
    """Return what a word of a table is called; the word itself where it has no other name."""
    return (material.words.get(f"{kind}_{name}") or given(name, 80),)


def from_to(
    material: Material, name: str, kind: str, key: Mapping[str, Key], *, digits: int = 3
) -> Content:
    """Return the limits of one kind without their estimate."""
    lower = cell(material, name, f"{kind}_lower", key, digits=digits)
    upper = cell(material, name, f"{kind}_upper", key, digits=digits)
    if lower is None or upper is None:
        return (NOTHING,)
    return (lower, f" {material.words['to']} ", upper)


def interval(
    material: Material, name: str, kind: str, key: Mapping[str, Key], *, digits: int = 3
) -> Content:
    """Return an estimate of one kind with its limits."""
    columns = (f"{kind}_estimate", f"{kind}_lower", f"{kind}_upper")
    return limits(material, name, columns, key, digits=digits)


def held(table: pd.DataFrame, column: str, order: Sequence[str]) -> list[str]:
    """Return those of these words that the column holds."""
    words = set(table[column])
    return [one for one in order if one in words]


def heads(material: Material, names: Sequence[str]) -> list[str]:
    """Return the words above columns."""
    return [material.words[f"c_{one}"] for one in names]
