"""A report as a Word file: the same blocks, with styles, captions and repeated table headings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from bayes_cmvt.report.citations import WORKS, link_of
from bayes_cmvt.report.document import (
    Block,
    Bullets,
    Checklist,
    Cite,
    Code,
    Content,
    Definitions,
    Document,
    Heading,
    Link,
    Paragraph,
    Picture,
    References,
    Table,
    anchor_names,
    plain_text,
)
from bayes_cmvt.textwidth import width

if TYPE_CHECKING:
    from docx.document import Document as WordDocument
    from docx.table import Table as WordTable
    from docx.table import _Cell as Cell
    from docx.text.paragraph import Paragraph as WordParagraph

PAGE_MM = (210.0, 297.0)
MARGIN_MM = 18.0
TEXT_MM = PAGE_MM[0] - 2 * MARGIN_MM
TALLEST_MM = 225.0  # of a picture, with its caption on the same page
FONT_PT = {"body": 10.0, "table": 8.0, "wide": 7.0, "caption": 9.0}
WIDE = 6
FONTS = {"en": "Calibri", "zh": "Microsoft YaHei"}
COLOURS = {"banner": "6D3D00", "untrusted": "A01420", "open": "6D3D00", "missing": "6D3D00"}
SHADES = {"banner": "FFF6E5", "untrusted": "FDEFF0", "open": "FFF6E5", "missing": "FFF6E5"}
CHECKLIST_SHARES = (0.3, 0.54, 0.16)
SHORTEST, LONGEST = 6, 30  # letters that a column is given room for
CELL_MARGIN_MM = 0.8
MM_PER_LETTER = 0.21  # of a point of its size, the margins of a cell included


@dataclass(frozen=True, eq=False)
class _Sheet:
    """The Word file that is written and what all blocks need to know."""

    word: WordDocument
    document: Document
    names: Mapping[str, str]


def report_word(document: Document) -> bytes:
    """Return a report as a ``.docx`` file.

    Parameters
    ----------
    document : Document

    Returns
    -------
    bytes
    """
    import docx

    word = docx.Document()
    sheet = _Sheet(word, document, anchor_names(document))
    _set_page(sheet)
    for block in document.blocks:
        _write(sheet, block)
    stream = BytesIO()
    word.save(stream)
    return stream.getvalue()


def _set_page(sheet: _Sheet) -> None:
    """A4 with the marks on top of every page, fonts and properties."""
    from docx.oxml.ns import qn
    from docx.shared import Mm, Pt

    word, document = sheet.word, sheet.document
    section = word.sections[0]
    section.page_width, section.page_height = Mm(PAGE_MM[0]), Mm(PAGE_MM[1])
    section.left_margin = section.right_margin = Mm(MARGIN_MM)
    section.top_margin = section.bottom_margin = Mm(MARGIN_MM)
    header = section.header.paragraphs[0]
    if document.marks:
        _coloured(header.add_run(" · ".join(document.marks)), COLOURS["untrusted"])
    _page_number(section.footer.paragraphs[0])
    font = FONTS[document.language]
    for name in ("Normal", "Title", "Heading 1", "Heading 2", "Caption"):
        style = word.styles[name]
        style.font.name = font
        style.element.get_or_add_rPr().get_or_add_rFonts().set(qn("w:eastAsia"), font)
    word.styles["Normal"].font.size = Pt(FONT_PT["body"])
    word.core_properties.title = document.title
    word.core_properties.author = "bayes-cmvt"
    word.core_properties.language = "zh-CN" if document.language == "zh" else "en-GB"


def _write(sheet: _Sheet, block: Block) -> None:
    """One block, whatever it is."""
    match block:
        case Heading():
            _heading(sheet, block)
        case Paragraph():
            _paragraph(sheet, block)
        case Bullets():
            _bullets(sheet, block)
        case Table():
            _table(sheet, block)
        case Picture():
            _picture(sheet, block)
        case Checklist():
            _checklist(sheet, block)
        case Definitions():
            _definitions(sheet, block)
        case References():
            _references(sheet)


def _heading(sheet: _Sheet, block: Heading) -> None:
    """The title, a part on a page of its own, or a section."""
    level = block.level - 1
    paragraph = sheet.word.add_heading(block.text, level)
    paragraph.paragraph_format.page_break_before = level == 1 and block.anchor != "summary"
    _bookmark(paragraph, block.anchor)


def _paragraph(sheet: _Sheet, block: Paragraph) -> None:
    paragraph = sheet.word.add_paragraph()
    _fill(sheet, paragraph, block.content)
    if block.tone in SHADES:
        _shade(paragraph._p.get_or_add_pPr(), SHADES[block.tone])
        for run in paragraph.runs:
            _coloured(run, COLOURS[block.tone])


def _bullets(sheet: _Sheet, block: Bullets) -> None:
    for item in block.items:
        _fill(sheet, sheet.word.add_paragraph(style="List Bullet"), item)


def _definitions(sheet: _Sheet, block: Definitions) -> None:
    for name, meaning in block.entries:
        paragraph = sheet.word.add_paragraph()
        paragraph.add_run(name).bold = True
        paragraph.add_run(f"{sheet.document.word('colon')}{meaning}")


def _fill(sheet: _Sheet, paragraph: WordParagraph, content: Content) -> None:
    """Write a content into a paragraph: citations raised, commands in their own font."""
    for one in content:
        match one:
            case str():
                paragraph.add_run(one)
            case Cite():
                if one.key in sheet.document.cited:
                    number = sheet.document.cited.index(one.key) + 1
                    paragraph.add_run(f"[{number}]")
            case Link():
                _jump(paragraph, one.text, one.anchor)
            case Code():
                paragraph.add_run(one.text).font.name = "Consolas"
            case _:
                paragraph.add_run(one.text)


def _caption(sheet: _Sheet, kind: str, block: Table | Picture) -> WordParagraph:
    from docx.shared import Pt

    document = sheet.document
    paragraph = sheet.word.add_paragraph(style="Caption")
    number = f"{document.word(kind)} {block.number}{document.word('caption_end')}"
    paragraph.add_run(number).bold = True
    for mark in document.marks:
        _coloured(paragraph.add_run(f"{mark}{document.word('caption_end')}"), COLOURS["untrusted"])
    _fill(sheet, paragraph, block.caption)
    for run in paragraph.runs:
        run.font.size = Pt(FONT_PT["caption"])
    _bookmark(paragraph, block.anchor)
    return paragraph


def _table(sheet: _Sheet, block: Table) -> None:
    """A caption above, a heading that is repeated, rows that no page breaks."""
    caption = _caption(sheet, "table", block)
    end = sheet.document.word("caption_end")
    caption.add_run(f"{end}{sheet.document.word('source')} {block.source}")
    caption.paragraph_format.keep_with_next = True
    size = FONT_PT["wide" if len(block.head) >= WIDE else "table"]
    grid = _grid(sheet, block.head, len(block.rows), size, column_shares(block, size))
    for cells, row in zip(grid, block.rows, strict=True):
        for cell, content in zip(cells, row, strict=True):
            _fill(sheet, cell.paragraphs[0], content)
            _set_size(cell.paragraphs[0], size)
    if block.note:
        note = sheet.word.add_paragraph()
        _fill(sheet, note, block.note)
        _set_size(note, FONT_PT["table"])
    sheet.word.add_paragraph()


def _grid(
    sheet: _Sheet,
    head: tuple[str, ...],
    count: int,
    size: float,
    shares: tuple[float, ...],
) -> tuple[tuple[Cell, ...], ...]:
    """Empty cells below a heading that is repeated on every page; no page breaks a row."""
    from docx.oxml import OxmlElement
    from docx.shared import Mm

    columns = len(head)
    table = sheet.word.add_table(rows=1 + count, cols=columns, style="Table Grid")
    table.autofit = False
    _set_margins(table)
    for row in table._tbl.tr_lst:
        row.get_or_add_trPr().append(OxmlElement("w:cantSplit"))
    table._tbl.tr_lst[0].get_or_add_trPr().append(OxmlElement("w:tblHeader"))
    widths = [Mm(TEXT_MM * share) for share in shares]
    for column, wanted in zip(table.columns, widths, strict=True):
        column.width = wanted
    cells = table._cells  # rows and columns look up every cell anew
    for place, cell in enumerate(cells):
        cell.width = widths[place % columns]
    for cell, text in zip(cells[:columns], head, strict=True):
        cell.paragraphs[0].add_run(text).bold = True
        _set_size(cell.paragraphs[0], size)
    starts = range(columns, len(cells), columns)
    return tuple(tuple(cells[place : place + columns]) for place in starts)


def _set_margins(table: WordTable) -> None:
    """Less room beside the texts of a table than Word leaves."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn
    from docx.shared import Mm

    margins = OxmlElement("w:tblCellMar")
    for side in ("left", "right"):
        one = OxmlElement(f"w:{side}")
        one.set(qn("w:w"), str(Mm(CELL_MARGIN_MM).twips))
        one.set(qn("w:type"), "dxa")
        margins.append(one)
    properties = table._tbl.tblPr
    look = properties.find(qn("w:tblLook"))
    if look is None:
        properties.append(margins)
    else:
        look.addprevious(margins)


def column_shares(block: Table, size: float) -> tuple[float, ...]:
    """Return the share of each column of the width: no word is broken, long texts are wrapped.

    Parameters
    ----------
    block : Table
    size : float
        Of the letters, points.

    Returns
    -------
    tuple of float
        They add up to 1.

    Examples
    --------
    >>> column_shares(Table("", (), "", ("A", "B"), ((("1.0",), ("2.0",)),)), 8.0)
    (0.5, 0.5)
    """
    columns = [
        [title, *(plain_text(row[place]) for row in block.rows)]
        for place, title in enumerate(block.head)
    ]
    words = [
        max(width(word) for text in texts for word in f"{text} -".split()) for texts in columns
    ]
    least = [min(max(one + 2, SHORTEST), LONGEST) for one in words]
    whole = [min(max(map(width, texts)), LONGEST) for texts in columns]
    wished = [max(0, one - other) for one, other in zip(whole, least, strict=True)]
    spare = max(0.0, TEXT_MM / (size * MM_PER_LETTER) - sum(least))
    part = min(1.0, spare / max(1, sum(wished)))
    weights = [one + part * more for one, more in zip(least, wished, strict=True)]
    return tuple(one / sum(weights) for one in weights)


def _picture(sheet: _Sheet, block: Picture) -> None:
    """A picture that fits the page, its text for who cannot see it, and its caption below."""
    from docx.shared import Mm

    paragraph = sheet.word.add_paragraph()
    paragraph.paragraph_format.keep_with_next = True
    shape = paragraph.add_run().add_picture(
        BytesIO(block.png), width=Mm(min(block.width_mm, TEXT_MM))
    )
    if shape.height > Mm(TALLEST_MM):
        shape.width = round(shape.width * Mm(TALLEST_MM) / shape.height)
        shape.height = Mm(TALLEST_MM)
    properties = shape._inline.docPr
    properties.set("descr", block.alternative)
    properties.set("name", f"{sheet.document.word('figure')} {block.number}")
    _caption(sheet, "figure", block)


def _checklist(sheet: _Sheet, block: Checklist) -> None:
    """Items in rows; what the author has to fill in is shaded and has room."""
    size = FONT_PT["table"]
    grid = _grid(sheet, block.head, len(block.items), size, CHECKLIST_SHARES)
    for cells, item in zip(grid, block.items, strict=True):
        cells[0].paragraphs[0].add_run(f"{item.item} ").bold = True
        cells[0].paragraphs[0].add_run(item.about)
        answer = cells[1].paragraphs[0]
        _fill(sheet, answer, item.answer)
        if item.to_fill_in:
            _open(sheet, answer if not item.answer else cells[1].add_paragraph(), item.to_fill_in)
        if item.anchor:
            _jump(cells[2].paragraphs[0], sheet.names[item.anchor], item.anchor)
        for cell in cells:
            for paragraph in cell.paragraphs:
                _set_size(paragraph, size)


def _open(sheet: _Sheet, paragraph: WordParagraph, text: str) -> None:
    run = paragraph.add_run(f"{sheet.document.word('to_fill_in')} ")
    run.bold = True
    paragraph.add_run(f"{text} ____________")
    _shade(paragraph._p.get_or_add_pPr(), SHADES["open"])
    for one in paragraph.runs:
        _coloured(one, COLOURS["open"])


def _references(sheet: _Sheet) -> None:
    for number, key in enumerate(sheet.document.cited, start=1):
        work = WORKS[key]
        paragraph = sheet.word.add_paragraph(f"{number}. {work.text} ")
        _link(paragraph, work.address, link_of(work))


def _bookmark(paragraph: WordParagraph, name: str) -> None:
    """An anchor to jump to; Word wants a number of its own for each."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    number = str(abs(hash_number(name)))
    start, end = OxmlElement("w:bookmarkStart"), OxmlElement("w:bookmarkEnd")
    for one in (start, end):
        one.set(qn("w:id"), number)
    start.set(qn("w:name"), bookmark_name(name))
    paragraph._p.insert(0, start)
    paragraph._p.append(end)


def hash_number(name: str) -> int:
    """Return a number that is the same for the same name in every run.

    Examples
    --------
    >>> hash_number("a") == hash_number("a"), hash_number("a") == hash_number("b")
    (True, False)
    """
    import zlib

    return zlib.crc32(name.encode()) & 0x7FFFFFFF


def bookmark_name(anchor: str) -> str:
    """Return an anchor as Word allows it: letters, digits, underscores, at most 40.

    Examples
    --------
    >>> bookmark_name("table-table-one")
    'table_table_one'
    """
    return anchor.replace("-", "_")[:40]


def _jump(paragraph: WordParagraph, text: str, anchor: str) -> None:
    """A link inside of the file."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    link = OxmlElement("w:hyperlink")
    link.set(qn("w:anchor"), bookmark_name(anchor))
    run = paragraph.add_run(text)
    link.append(run._r)
    paragraph._p.append(link)


def _link(paragraph: WordParagraph, text: str, address: str) -> None:
    """A link to the web, which nothing follows by itself."""
    from docx.opc.constants import RELATIONSHIP_TYPE
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    identity = paragraph.part.relate_to(address, RELATIONSHIP_TYPE.HYPERLINK, is_external=True)
    link = OxmlElement("w:hyperlink")
    link.set(qn("r:id"), identity)
    link.append(paragraph.add_run(text)._r)
    paragraph._p.append(link)


def _page_number(paragraph: WordParagraph) -> None:
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    for kind, text in (("begin", ""), ("", "PAGE"), ("end", "")):
        run = paragraph.add_run()
        if kind:
            mark = OxmlElement("w:fldChar")
            mark.set(qn("w:fldCharType"), kind)
        else:
            mark = OxmlElement("w:instrText")
            mark.text = text
        run._r.append(mark)


def _shade(properties: Any, colour: str) -> None:
    """A ground behind a paragraph."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    shade = OxmlElement("w:shd")
    shade.set(qn("w:val"), "clear")
    shade.set(qn("w:fill"), colour)
    properties.append(shade)


def _set_size(paragraph: WordParagraph, size: float) -> None:
    from docx.shared import Pt

    paragraph.paragraph_format.space_after = Pt(0)
    linked = (run for link in paragraph.hyperlinks for run in link.runs)
    for run in (*paragraph.runs, *linked):
        run.font.size = Pt(size)


def _coloured(run: Any, colour: str) -> None:
    from docx.shared import RGBColor

    run.font.color.rgb = RGBColor.from_string(colour)
    run.bold = True
