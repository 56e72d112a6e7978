"""TRIPOD+AI and BARG, item by item: what the run answers, what only the author can say.

The items are in ``templates/checklists.*.json`` in words of our own: what each asks, the phrase
that answers it with facts of the run, where to look, what is left to fill in.
"""

from __future__ import annotations

import json
from typing import TypedDict

from bayes_cmvt.report.document import (
    Block,
    Checklist,
    ChecklistItem,
    Content,
    Heading,
    Paragraph,
)
from bayes_cmvt.report.facts import say
from bayes_cmvt.report.material import Material
from bayes_cmvt.report.model_file import template_text
from bayes_cmvt.report.report_words import Facts, written


class Item(TypedDict, total=False):
    """One item as it is stored.

    ``answers`` are tried in order, the first whose facts are known is printed; all of ``also`` that
    are known follow.
    """

    item: str
    about: str
    answers: list[str]
    also: list[str]
    anchor: str
    open: str


def checklists(material: Material, facts: Facts) -> list[Block]:
    """Return both checklists.

    Parameters
    ----------
    material : Material
    facts : mapping

    Returns
    -------
    list of Block
    """
    words = material.words
    blocks: list[Block] = [Heading(2, words["checklists"], "checklists")]
    reading = say(material, "checklists_read", facts)
    blocks += [Paragraph(reading)] if reading else []
    items: dict[str, list[Item]] = json.loads(
        template_text(f"checklists.{material.run.language}.json")
    )
    head = (words["c_item"], words["c_answer"], words["c_where"])
    for name in ("tripod", "barg"):
        asked = tuple(_answered(material, facts, one) for one in items[name])
        blocks.append(Heading(3, words[name], name))
        blocks.append(Checklist(head, asked))
    return blocks


def _answered(material: Material, facts: Facts, item: Item) -> ChecklistItem:
    """One item with what the run says of it; where it says nothing the author has the word."""
    answer = _first(item.get("answers", []), facts)
    for phrase in item.get("also", []):
        more = written(phrase, facts)
        if more is not None:
            answer = (*answer, *((material.words["sentence_gap"],) if answer else ()), *more)
    left = item.get("open", "") or ("" if answer else material.words["not_in_run"])
    anchor = item.get("anchor", "") if answer else ""
    return ChecklistItem(item["item"], item["about"], answer, anchor, left)


def _first(phrases: list[str], facts: Facts) -> Content:
    found = (written(one, facts) for one in phrases)
    return next((one for one in found if one is not None), ())
