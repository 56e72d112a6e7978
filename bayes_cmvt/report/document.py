"""A report as frozen blocks: what stands in it, before it becomes a web page or a Word file.

Every number of the run is a `Value` that knows where it stands; whatever else has digits is marked
as what it is (`Given`, `Fixed`, `Cite`, `Code`), so that a test can tell them apart.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

HARMFUL = frozenset({"Cc", "Cf", "Cs", "Cn", "Co"})  # controls, formats, surrogates, unassigned
LONGEST_GIVEN = 200  # letters of a text of the user; a label of 5,000 would bury a page


@dataclass(frozen=True)
class Value:
    """A number or a text of the run, and where it stands.

    Attributes
    ----------
    text : str
        As it is printed.
    number : float or str
        As it is stored, in full.
    source : str
        ``tables/NAME.csv``, ``run.json`` or ``study.toml``.
    row : tuple of (str, object)
        Columns and what they hold in the row; a name that ends with `` !=``, `` >`` or `` <``
        compares otherwise.
    column : str
        Column of the table; ``count()`` of such rows; keys joined by ``/`` of the other files.
    scale : float
        What the number was multiplied with: 100 for per cent.
    """

    kind: ClassVar[str] = "value"
    text: str
    number: float | str
    source: str
    row: tuple[tuple[str, str | float], ...]
    column: str
    scale: float = 1.0


@dataclass(frozen=True)
class Given:
    """A text that somebody else wrote: a label, a title, a message; made harmless."""

    kind: ClassVar[str] = "given"
    text: str


@dataclass(frozen=True)
class Fixed:
    """A constant of a definition, such as the 1.01 of a rule: the same in every run."""

    kind: ClassVar[str] = "fixed"
    text: str


@dataclass(frozen=True)
class Cite:
    """A reference by its key in `bayes_cmvt.report.citations`."""

    kind: ClassVar[str] = "cite"
    key: str


@dataclass(frozen=True)
class Link:
    """A jump to an anchor of the same document."""

    kind: ClassVar[str] = "link"
    text: str
    anchor: str


@dataclass(frozen=True)
class Code:
    """A command or a file name."""

    kind: ClassVar[str] = "code"
    text: str


type Inline = str | Value | Given | Fixed | Cite | Link | Code
type Content = tuple[Inline, ...]
type Tone = Literal["plain", "banner", "untrusted", "note", "open", "missing", "comparison"]


@dataclass(frozen=True)
class Heading:
    """A heading of level 1, 2 or 3 with its anchor."""

    kind: ClassVar[str] = "heading"
    level: int
    text: str
    anchor: str


@dataclass(frozen=True)
class Paragraph:
    """One paragraph; `tone` says what it is for."""

    kind: ClassVar[str] = "paragraph"
    content: Content
    tone: Tone = "plain"


@dataclass(frozen=True)
class Bullets:
    """A list without an order."""

    kind: ClassVar[str] = "bullets"
    items: tuple[Content, ...]


@dataclass(frozen=True)
class Table:
    """A table with its caption and the file that it was read from; `number` is given at the end."""

    kind: ClassVar[str] = "table"
    anchor: str
    caption: Content
    source: str
    head: tuple[str, ...]
    rows: tuple[tuple[Content, ...], ...]
    note: Content = ()
    number: int = 0


@dataclass(frozen=True)
class Picture:
    """A figure with its caption, the tables it was drawn from and a text in its place."""

    kind: ClassVar[str] = "picture"
    anchor: str
    caption: Content
    source: str
    alternative: str
    content: bytes
    media: Literal["svg", "png"]
    png: bytes
    width_mm: float
    number: int = 0


@dataclass(frozen=True)
class ChecklistItem:
    """One item: what it asks, what the run answers, what only the author can say."""

    item: str
    about: str
    answer: Content
    anchor: str
    to_fill_in: str


@dataclass(frozen=True)
class Checklist:
    """Items of one checklist, in its order, under headings of three columns."""

    kind: ClassVar[str] = "checklist"
    head: tuple[str, str, str]
    items: tuple[ChecklistItem, ...]


@dataclass(frozen=True)
class Definitions:
    """Words with the sentence that defines each."""

    kind: ClassVar[str] = "definitions"
    entries: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class References:
    """Stands where the numbered list of all cited works is printed."""

    kind: ClassVar[str] = "references"


type Block = Heading | Paragraph | Bullets | Table | Picture | Checklist | Definitions | References


@dataclass(frozen=True)
class Document:
    """A whole report.

    Attributes
    ----------
    title : str
    language : {"en", "zh"}
    blocks : tuple of Block
        Headings in order, tables and figures numbered from 1.
    cited : tuple of str
        Keys of the cited works; the first is number 1.
    marks : tuple of str
        What every printed page and every caption must say: synthetic, or not to be trusted.
    words : tuple of (str, str)
        Fixed words that a page needs besides the blocks.
    """

    title: str
    language: Literal["en", "zh"]
    blocks: tuple[Block, ...]
    cited: tuple[str, ...]
    marks: tuple[str, ...]
    words: tuple[tuple[str, str], ...]

    def word(self, key: str) -> str:
        """One of the fixed words."""
        return dict(self.words)[key]


def contents_of(block: Block) -> Iterator[Content]:
    """Every content of a block, in reading order.

    Examples
    --------
    >>> list(contents_of(Paragraph(("a", Fixed("1")))))
    [('a', Fixed(text='1'))]
    """
    match block:
        case Paragraph():
            yield block.content
        case Bullets():
            yield from block.items
        case Table():
            yield block.caption
            yield from (cell for row in block.rows for cell in row)
            yield block.note
        case Picture():
            yield block.caption
        case Checklist():
            yield from (one.answer for one in block.items)


def harmless(text: str, at_most: int = LONGEST_GIVEN) -> str:
    r"""Remove what neither a page nor a Word file should get from a stranger's text; cut it.

    Control characters, characters that turn the direction of writing, lone surrogates and
    characters that XML does not know; what markup could mean is escaped where it is written.

    Examples
    --------
    >>> harmless("a\x00b\u202ec\n d"), harmless("x" * 9, at_most=3)
    ('abc d', 'xxx…')
    """
    visible = (
        " " if letter.isspace() else letter
        for letter in text
        if letter.isspace() or unicodedata.category(letter) not in HARMFUL
    )
    kept = " ".join("".join(visible).split())
    return kept if len(kept) <= at_most else f"{kept[:at_most]}…"


def given(text: object, at_most: int = LONGEST_GIVEN) -> Given:
    """Return a text of the user as it may be printed.

    Examples
    --------
    >>> given("Age  (years)").text
    'Age (years)'
    """
    return Given(harmless(str(text), at_most))


def plain_text(content: Content, cited: tuple[str, ...] = ()) -> str:
    """Return a content as a text alone, as an image's alternative or a test needs it.

    Examples
    --------
    >>> plain_text(("kept ", Fixed("1.01"), Cite("a")), ("a",))
    'kept 1.01[1]'
    """
    return "".join(_text(one, cited) for one in content)


def _text(one: Inline, cited: tuple[str, ...]) -> str:
    match one:
        case str():
            return one
        case Cite():
            return f"[{cited.index(one.key) + 1}]" if one.key in cited else ""
        case _:
            return one.text


def anchor_names(document: Document) -> dict[str, str]:
    """What stands at each anchor of a document: the text of a heading, or the number of a table.

    Parameters
    ----------
    document : Document

    Returns
    -------
    dict of str to str
    """
    names: dict[str, str] = {}
    for block in document.blocks:
        match block:
            case Heading():
                names[block.anchor] = block.text if block.level > 1 else document.word("top")
            case Table():
                names[block.anchor] = f"{document.word('table')} {block.number}"
            case Picture():
                names[block.anchor] = f"{document.word('figure')} {block.number}"
    return names
