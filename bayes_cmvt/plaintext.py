"""Texts as they are compared and as they are shown: without what the eye does not see."""

from __future__ import annotations

_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_BLANKS = dict.fromkeys([0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " ")
_ZERO_WIDTH = dict.fromkeys([*range(0x200B, 0x2010), 0x2060, 0xFEFF])
_CLEANING: dict[int, int | str | None] = {**_FULL_WIDTH, **_BLANKS, **_ZERO_WIDTH}


def normalise_text(cell: str) -> str:
    r"""Remove what the eye does not see: blanks at the ends, full-width forms, zero widths.

    Full-width forms (U+FF01 to U+FF5E) become ASCII, blanks of every kind become plain ones and are
    removed at both ends, characters without width (byte order mark included) are removed anywhere.

    Examples
    --------
    >>> normalise_text("\u3000ＣＲＰ（mg/L）\xa0")
    'CRP(mg/L)'
    >>> normalise_text("blood\u00a0loss\u200b")
    'blood loss'
    """
    return cell.strip() if cell.isascii() else cell.translate(_CLEANING).strip()


def printable(text: str, at_most: int = 80) -> str:
    r"""Escape what a terminal would act on or not show; cut what would not fit a message.

    Examples
    --------
    >>> print(printable("age\x1b[31m\n"), printable("年龄"), printable("abcdef", at_most=3))
    age\x1b[31m\n 年龄 abc…
    """
    shown = text if len(text) <= at_most else f"{text[:at_most]}…"
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in shown)
