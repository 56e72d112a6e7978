"""Contact sheet: all figures of a run as thumbnails with their names, on one picture."""

from __future__ import annotations

import io
from collections.abc import Mapping

from matplotlib import font_manager
from matplotlib.font_manager import FontProperties
from PIL import Image, ImageDraw, ImageFont

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import style

WIDTH, COLUMNS, EDGE, NAME = 2400, 4, 24, 26  # pixels; pictures in a row; letters of the names
_HIGHEST = 1.35  # of a thumbnail, in its own widths: a column of text is not longer on paper


def contact_sheet(images: Mapping[str, bytes]) -> bytes:
    """Put pictures of figures side by side, each under its name.

    Each picture keeps its proportions; those in a row are aligned at their top.

    Parameters
    ----------
    images : mapping of str to bytes
        PNG files by the name of the figure, in the order in which they are shown.

    Returns
    -------
    bytes
        A PNG 2400 pixels wide; the same bytes for the same pictures.

    Raises
    ------
    OptionError
        No picture, or one that is none.
    """
    if not images:
        msg = "a contact sheet needs at least one figure"
        raise OptionError(msg)
    columns = min(COLUMNS, len(images))
    wide = (WIDTH - EDGE * (columns + 1)) // columns
    shown = {name: _thumbnail(name, image, wide) for name, image in images.items()}
    names = list(shown)
    rows = [names[first : first + columns] for first in range(0, len(names), columns)]
    heights = [max(shown[name].height for name in row) + 2 * NAME + EDGE for row in rows]
    sheet = Image.new("RGB", (WIDTH, sum(heights) + EDGE), "white")
    top = EDGE
    for row, height in zip(rows, heights, strict=True):
        for place, name in enumerate(row):
            left = EDGE + place * (wide + EDGE)
            _write(sheet, name, (left, top), wide)
            sheet.paste(shown[name], (left, top + 2 * NAME))
        top += height
    written = io.BytesIO()
    sheet.save(written, format="PNG")
    return written.getvalue()


def _thumbnail(name: str, image: bytes, wide: int) -> Image.Image:
    """A picture within a column, on white where it was transparent."""
    try:
        with Image.open(io.BytesIO(image)) as opened:
            picture = opened.convert("RGBA")
    except OSError as error:
        msg = f"the figure {name!r} is no picture that can be read; draw it anew"
        raise OptionError(msg) from error
    opaque = Image.new("RGB", picture.size, "white")
    opaque.paste(picture, mask=picture)
    opaque.thumbnail((wide, round(_HIGHEST * wide)), Image.Resampling.LANCZOS)
    return opaque


def _write(sheet: Image.Image, name: str, place: tuple[int, int], wide: int) -> None:
    """Name of a figure in letters that have glyphs for it, cut where it is too long."""
    (found,) = style.names([name], [name])
    family = found.families[-1]
    font = ImageFont.truetype(font_manager.findfont(FontProperties(family=family)), NAME)
    pen, text = ImageDraw.Draw(sheet), found.text
    while len(text) > 1 and pen.textlength(text, font=font) > wide:
        text = text[:-2] + "…"
    pen.text(place, text, font=font, fill="black")
