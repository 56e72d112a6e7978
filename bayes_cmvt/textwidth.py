"""Texts on a terminal: how wide they are (East Asian characters take two columns), one screen."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def screen(blocks: Sequence[Sequence[str]]) -> str:
    r"""Blocks of lines as one text, a blank line between them; empty blocks are left out.

    Examples
    --------
    >>> screen([["one", "two"], [], ["three"]])
    'one\ntwo\n\nthree'
    """
    return "\n\n".join("\n".join(block) for block in blocks if block)


def width(text: str) -> int:
    r"""Columns that a text takes on a terminal: wide characters two, combining marks none.

    Examples
    --------
    >>> width("age"), width("年龄"), width("e\u0301"), width("a\u200bb")
    (3, 4, 1, 2)
    """
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def padded(text: str, columns: int) -> str:
    """Fill a text with blanks on the right up to a width.

    Examples
    --------
    >>> padded("年龄", 6) + "|"
    '年龄  |'
    """
    return text + " " * max(0, columns - width(text))


def fitted(text: str, columns: int) -> str:
    """Cut a text that is too wide, and mark the cut; no blank stands before the mark.

    Examples
    --------
    >>> fitted("sphincterotomy", 8), fitted("rx", 8), fitted("blood loss", 7)
    ('sphinct…', 'rx', 'blood…')
    """
    if width(text) <= columns:
        return text
    kept = ""
    for character in text:
        if width(kept) + _columns(character) > columns - 1:
            break
        kept += character
    return kept.rstrip() + "…"
