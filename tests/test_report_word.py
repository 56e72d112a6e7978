"""The Word file of a report: opened with python-docx, and by LibreOffice where it is installed."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import docx
import pytest
from docx.oxml.ns import qn

from bayes_cmvt.report.document import Checklist, Document, Heading, Picture, Table, plain_text
from bayes_cmvt.report.report import report_document
from bayes_cmvt.report.word_file import bookmark_name, column_shares, report_word
from tests.test_report import HOSTILE, STUDY, full_run, parse_study, run_record, sampled_run


@pytest.fixture(scope="module")
def report() -> Document:
    return report_document(full_run(run=run_record(file="cohort_SYNTHETIC.csv")))


@pytest.fixture(scope="module")
def content(report: Document) -> bytes:
    return report_word(report)


def opened(content: bytes) -> docx.document.Document:
    return docx.Document(io.BytesIO(content))


def test_word_file_has_the_headings_of_the_report(report: Document, content: bytes) -> None:
    styles = {1: "Title", 2: "Heading 1", 3: "Heading 2"}
    expected = [(one.text, styles[one.level]) for one in report.blocks if isinstance(one, Heading)]
    found = [
        (one.text, one.style.name)
        for one in opened(content).paragraphs
        if one.style is not None and one.style.name in styles.values()
    ]
    assert found == expected


def test_word_tables_hold_the_cells_of_the_report(report: Document, content: bytes) -> None:
    tables = opened(content).tables
    blocks = [one for one in report.blocks if isinstance(one, Table | Checklist)]
    assert len(tables) == len(blocks)
    for table, block in zip(tables, blocks, strict=True):
        assert [cell.text for cell in table.rows[0].cells] == list(block.head)
        if isinstance(block, Table):
            last = [plain_text(cell) for cell in block.rows[-1]]
            assert [cell.text for cell in table.rows[-1].cells] == last
        assert table.rows[0]._tr.trPr.findall(qn("w:tblHeader"))  # repeated on every page
        assert len(table.rows) == 1 + len(block.rows if isinstance(block, Table) else block.items)


def test_word_captions_number_tables_and_figures(report: Document, content: bytes) -> None:
    captions = [one.text for one in opened(content).paragraphs if one.style.name == "Caption"]
    for word, kind in (("Table", Table), ("Figure", Picture)):
        numbers = [int(re.findall(r"\d+", one)[0]) for one in captions if one.startswith(word)]
        count = sum(isinstance(one, kind) for one in report.blocks)
        assert numbers == list(range(1, count + 1))
    assert all("SYNTHETIC cohort" in one for one in captions)


def test_word_pages_are_a4_and_carry_the_marks(content: bytes) -> None:
    section = opened(content).sections[0]
    assert (round(section.page_width.mm), round(section.page_height.mm)) == (210, 297)
    assert "SYNTHETIC cohort" in section.header.paragraphs[0].text


def test_word_pictures_fit_the_page_and_have_a_text(report: Document, content: bytes) -> None:
    shapes = opened(content).inline_shapes
    pictures = [one for one in report.blocks if isinstance(one, Picture)]
    for shape, block in zip(shapes, pictures, strict=True):
        assert shape.width.mm == pytest.approx(block.width_mm, abs=0.01)
        assert shape._inline.docPr.get("descr") == block.alternative


def test_word_jumps_arrive_and_bookmarks_are_unique(content: bytes) -> None:
    body = opened(content).element.body
    names = [one.get(qn("w:name")) for one in body.iter(qn("w:bookmarkStart"))]
    numbers = [one.get(qn("w:id")) for one in body.iter(qn("w:bookmarkStart"))]
    assert len(set(names)) == len(names) == len(set(numbers))
    jumps = [one.get(qn("w:anchor")) for one in body.iter(qn("w:hyperlink"))]
    assert {one for one in jumps if one} <= set(names)
    assert all(len(bookmark_name(one)) <= 40 for one in names)


def test_word_checklists_have_letters_of_one_size(content: bytes) -> None:
    table = opened(content).tables[-5]
    sizes = {
        element.get(qn("w:val"))
        for run in table._tbl.iter(qn("w:r"))
        for element in run.iter(qn("w:sz"))
    }
    assert len(sizes) == 1
    assert all(run.find(f".//{qn('w:sz')}") is not None for run in table._tbl.iter(qn("w:r")))


def test_word_shows_what_the_author_has_to_fill_in(content: bytes) -> None:
    text = "\n".join(cell.text for row in opened(content).tables[-5].rows for cell in row.cells)
    assert "To be filled in by the author: approval and consent" in text


def test_hostile_texts_leave_a_word_file_that_opens() -> None:
    study = parse_study(STUDY.replace("Demonstration of 3 candidates", "<b>&amp; $x$"))
    made = report_word(report_document(full_run(labels=HOSTILE, study=study, problems=HOSTILE)))
    with zipfile.ZipFile(io.BytesIO(made)) as parts:
        for name in parts.namelist():
            if name.endswith((".xml", ".rels")):
                ElementTree.fromstring(parts.read(name))
    document = opened(made)
    assert document.paragraphs[0].text == "<b>&amp; $x$"
    texts = {cell.text for cell in document.tables[2].columns[0].cells}
    assert HOSTILE[0] in texts


def test_shares_of_columns_add_up(report: Document) -> None:
    for block in report.blocks:
        if isinstance(block, Table):
            shares = column_shares(block, 8.0)
            assert sum(shares) == pytest.approx(1)
            assert min(shares) > 0.02


def test_libreoffice_opens_the_word_file(tmp_path: Path) -> None:
    program = shutil.which("soffice")
    if program is None:
        message = "LibreOffice is not installed: the Word file is NOT opened with it"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    file = tmp_path / "report.docx"
    file.write_bytes(report_word(report_document(sampled_run(language="zh"))))
    profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
    command = [program, "--headless", profile, "--convert-to", "pdf", "--outdir", str(tmp_path)]
    done = subprocess.run([*command, str(file)], capture_output=True, timeout=120, check=False)
    pages = (tmp_path / "report.pdf").read_bytes()
    assert done.returncode == 0
    assert pages.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", pages)) >= 8  # its parts begin on new pages
