"""A finished run becomes a document: its parts in order, numbered and cited."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bayes_cmvt.report.checklists import checklists
from bayes_cmvt.report.checks import diagnostics, sensitivity
from bayes_cmvt.report.citations import WORKS
from bayes_cmvt.report.closing import glossary, session
from bayes_cmvt.report.document import (
    Block,
    Checklist,
    Cite,
    Document,
    Heading,
    Picture,
    Table,
    contents_of,
    harmless,
)
from bayes_cmvt.report.facts import facts_of
from bayes_cmvt.report.figure_pages import figure_part
from bayes_cmvt.report.material import Material, ReportRun, shown_part
from bayes_cmvt.report.methods import methods
from bayes_cmvt.report.opening import banners, marks_of, summary
from bayes_cmvt.report.report_words import load_words
from bayes_cmvt.report.results import described_patients, results
from bayes_cmvt.synthetic import titled

PAGE_WORDS = (
    "contents",
    "top",
    "figure",
    "table",
    "source",
    "to_fill_in",
    "caption_end",
    "colon",
)


def report_document(run: ReportRun) -> Document:
    """Put a report together from the tables and figures of a run.

    Nothing of a single patient is in it: tables with a ``row`` column and figures of patients are
    not read. Stages that have not run are named with the command that runs them.

    Parameters
    ----------
    run : ReportRun

    Returns
    -------
    Document
        For `bayes_cmvt.report.web_page.report_page` and `bayes_cmvt.report.word_file.report_word`.
    """
    material = Material(shown_part(run), load_words(run.language))
    facts = facts_of(material)
    source = run.run.get("data", {}).get("file")
    title = titled(harmless(run.study.heading.title), source)
    parts: list[Block] = [
        Heading(1, title, "top"),
        *banners(material, facts),
        *summary(material, facts),
        *methods(material, facts),
        *described_patients(material, facts),
        *results(material, facts),
        *figure_part(material, facts),
        *diagnostics(material, facts),
        *sensitivity(material, facts),
        *checklists(material, facts),
    ]
    blocks = [*parts, *glossary(material, parts), *session(material, facts)]
    words = tuple((key, material.words[key]) for key in PAGE_WORDS)
    numbered = tuple(_numbered(_reachable(blocks)))
    return Document(title, run.language, numbered, _cited(blocks), marks_of(material), words)


def _reachable(blocks: Sequence[Block]) -> Iterable[Block]:
    """Checklists whose items point only to what is there."""
    anchors = {block.anchor for block in blocks if isinstance(block, Heading | Table | Picture)}
    for block in blocks:
        if isinstance(block, Checklist):
            items = (
                one if one.anchor in anchors else replace(one, anchor="") for one in block.items
            )
            yield replace(block, items=tuple(items))
        else:
            yield block


def _numbered(blocks: Iterable[Block]) -> Iterable[Block]:
    """Tables and figures, each counted from 1."""
    tables = pictures = 0
    for block in blocks:
        if isinstance(block, Table):
            tables += 1
            yield replace(block, number=tables)
        elif isinstance(block, Picture):
            pictures += 1
            yield replace(block, number=pictures)
        else:
            yield block


def _cited(blocks: Iterable[Block]) -> tuple[str, ...]:
    """Cited works in the order in which they are first cited."""
    keys = [
        one.key
        for block in blocks
        for content in contents_of(block)
        for one in content
        if isinstance(one, Cite)
    ]
    return tuple(key for key in dict.fromkeys(keys) if key in WORKS)
