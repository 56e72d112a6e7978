"""The contact sheet: pictures made here, found again on it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import contact_sheet as module
from bayes_cmvt.figures.contact_sheet import contact_sheet

RED, GREEN, BLUE = (200, 30, 30), (30, 150, 30), (30, 30, 200)


def picture(colour, size=(700, 500), mode="RGB"):
    written = io.BytesIO()
    Image.new(mode, size, colour).save(written, format="PNG")
    return written.getvalue()


def pixels(sheet):
    with Image.open(io.BytesIO(sheet)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def box_of(found, colour):
    """Left, top, width and height of everything that has a colour."""
    rows, columns = np.nonzero((found == colour).all(axis=-1))
    left, top = columns.min(), rows.min()
    return left, top, columns.max() - left + 1, rows.max() - top + 1


def test_every_picture_is_on_the_sheet_in_its_proportions_and_in_order():
    found = pixels(contact_sheet({"one": picture(RED), "two": picture(GREEN, (700, 250))}))
    assert found.shape[1] == module.WIDTH
    one, two = box_of(found, RED), box_of(found, GREEN)
    for box, share in ((one, 700 / 500), (two, 700 / 250)):
        assert box[2] / box[3] == pytest.approx(share, rel=0.02)
    assert one[0] < two[0]
    assert one[1] == two[1]  # tops are level
    assert (one[2], two[2]) == (700, 700)  # none is enlarged


def test_rows_follow_each_other_without_meeting():
    colours = [RED, GREEN, BLUE, (90, 90, 0), (0, 90, 90)]
    images = {f"figure {k}": picture(colour, (900, 600)) for k, colour in enumerate(colours)}
    found = pixels(contact_sheet(images))
    boxes = [box_of(found, colour) for colour in colours]
    wide = (module.WIDTH - 5 * module.EDGE) // 4
    assert [box[2] for box in boxes] == [wide] * 5
    assert boxes[4][0] == boxes[0][0]
    assert boxes[4][1] > boxes[0][1] + boxes[0][3]


def test_names_of_any_kind_stand_above_their_pictures_and_within_their_column():
    """Ink in the lines above a picture, none between the columns."""
    names = ["calibration", "<b>x</b> $1$", "long " * 60, "年龄"]
    sheet = contact_sheet({name: picture(RED) for name in names})
    found = pixels(sheet)
    wide = (module.WIDTH - 5 * module.EDGE) // 4
    for place in range(4):
        left = module.EDGE + place * (wide + module.EDGE)
        above = found[module.EDGE : module.EDGE + 2 * module.NAME, left : left + wide]
        assert (above < 128).any()
        between = found[:, left + wide : left + wide + module.EDGE]
        assert (between == 255).all()


def test_a_high_picture_is_no_higher_than_its_column_allows():
    found = pixels(contact_sheet({"high": picture(BLUE, (400, 4000)), "wide": picture(RED)}))
    left, _, width, height = box_of(found, BLUE)
    column = (module.WIDTH - 3 * module.EDGE) // 2
    assert height <= 1.35 * column
    assert width == pytest.approx(height / 10, rel=0.02)
    assert left == module.EDGE


def test_transparency_becomes_white_and_the_bytes_are_the_same_each_time():
    images = {"clear": picture((0, 0, 0, 0), mode="RGBA"), "red": picture(RED)}
    sheet = contact_sheet(images)
    assert sheet == contact_sheet(images)
    found = pixels(sheet)
    clear = found[module.EDGE + 2 * module.NAME :, : module.WIDTH // 2]
    assert (clear == 255).all()


def test_nothing_and_what_is_no_picture_are_refused():
    with pytest.raises(OptionError, match="at least one figure"):
        contact_sheet({})
    with pytest.raises(OptionError, match="'roc' is no picture that can be read"):
        contact_sheet({"roc": b"%PDF-1.7"})
