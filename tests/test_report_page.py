"""The report page in headless Chromium: what is shown, asked for and printed."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from itertools import pairwise

import pytest

from bayes_cmvt.report.material import FigureImage
from bayes_cmvt.report.report import report_document
from bayes_cmvt.report.web_page import report_page
from tests.browser import Connection, Page, browser, new_page
from tests.test_report import HOSTILE, full_run, image_bytes, run_record

pytestmark = pytest.mark.page
DRAWING = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="60" height="40"><style>rect {fill: #0a0}'
    b'</style><rect width="60" height="40"/><script>window.hit = 3</script></svg>'
)
MARGIN = 40  # pixels that a table may be wider than its box before it scrolls


@pytest.fixture(scope="module")
def chromium_browser() -> Iterator[Connection]:
    with browser() as connection:
        yield connection


@pytest.fixture(scope="module")
def page(chromium_browser: Connection, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """A report with hostile labels, a drawing that carries a script, and both warnings."""
    run = full_run(labels=HOSTILE, problems=HOSTILE, run=run_record(file="cohort_SYNTHETIC.csv"))
    drawing = FigureImage(DRAWING, "svg", image_bytes(), 85.0)
    run = dataclasses.replace(run, figures={**run.figures, "calibration": drawing})
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(report_page(report_document(run)), encoding="utf-8")
    opened = new_page(chromium_browser)
    opened.open(file)
    return opened


def test_page_is_silent_and_asks_for_nothing(page: Page) -> None:
    heard = page.heard("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
    assert heard == []
    asked = [one["request"]["url"] for one in page.heard("Network.requestWillBeSent")]
    assert [one for one in asked if not one.startswith(("file:", "data:"))] == []
    assert sum(one.startswith("file:") for one in asked) == 1


def test_no_text_of_a_stranger_was_executed(page: Page) -> None:
    assert page.run("window.hit === undefined")
    assert page.run("document.scripts.length") == 0
    assert HOSTILE[0] in page.text()


def test_all_images_are_shown_and_described(page: Page) -> None:
    images = page.run(
        "[...document.images].map((one) => [one.complete, one.naturalWidth, one.alt.length])"
    )
    assert len(images) >= 6
    assert all(complete and width > 0 and described > 20 for complete, width, described in images)


def test_a_drawing_keeps_its_colours_under_the_content_policy(page: Page) -> None:
    # the policy allows no style but that of the page; one inside of an image must still count
    colour = page.run(
        """(() => { const canvas = document.createElement("canvas");
        const image = [...document.images].find((one) => one.src.startsWith("data:image/svg"));
        const pen = canvas.getContext("2d"); pen.drawImage(image, 0, 0);
        return [...pen.getImageData(10, 10, 1, 1).data]; })()"""
    )
    assert colour == [0, 170, 0, 255]


def test_headings_are_in_order_and_named_in_the_contents(page: Page) -> None:
    levels = page.run("[...document.querySelectorAll('h1, h2, h3')].map((one) => +one.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    named = page.run("document.querySelectorAll('nav a').length")
    assert named == len(levels) - 1


@pytest.mark.parametrize("pixels", [390, 768, 1280])
def test_nothing_is_wider_than_the_screen_but_tables_in_their_boxes(
    page: Page, pixels: int
) -> None:
    page.width(pixels)
    try:
        assert page.run("document.documentElement.scrollWidth") <= pixels
        boxes = page.run("[...document.querySelectorAll('.box')].map((one) => one.clientWidth)")
        assert max(boxes) <= pixels
    finally:
        page.width(1280)


def test_printed_pages_repeat_headings_and_begin_parts_anew(page: Page) -> None:
    printed = page.pdf()
    pages = len(re.findall(rb"/Type\s*/Page\b", printed))
    parts = page.run("document.querySelectorAll('h2').length")
    assert pages >= parts  # every part but the summary begins a page
    rule = "getComputedStyle(document.querySelector('thead')).display"
    assert page.run(rule) == "table-header-group"
    styles = json.loads(
        page.run(
            "JSON.stringify([...document.styleSheets].flatMap((one) => [...one.cssRules])"
            ".map((one) => one.cssText))"
        )
    )
    assert any("@top-center" in one and "NOT TO BE TRUSTED" in one for one in styles)


def test_screen_readers_meet_named_tables_and_images(page: Page) -> None:
    named = page.named_elements()
    images = [name for role, name in named if role == "image"]
    regions = [name for role, name in named if role == "region"]
    assert images
    assert all(images)
    assert regions
    assert all(regions)
