"""Printed figures made small enough for a page: fewer dots and a palette."""

from __future__ import annotations

import io

from bayes_cmvt.report.material import FigureImage

DOTS_PER_MM = 200 / 25.4
COLOURS = 64


def figure_image(png: bytes, printed_dpi: float) -> FigureImage:
    """Image for page and Word from the PNG of a figure.

    Parameters
    ----------
    png : bytes
        As it is printed.
    printed_dpi : float
        Dots per inch of it.

    Returns
    -------
    FigureImage
        At most 200 dots per inch, in at most 64 colours.
    """
    from PIL import Image

    with Image.open(io.BytesIO(png)) as opened:
        picture = opened.convert("RGB")
    width_mm = picture.width / printed_dpi * 25.4
    width = round(width_mm * DOTS_PER_MM)
    if width < picture.width:
        height = round(picture.height * width / picture.width)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(written, "PNG", optimize=True)
    return FigureImage(written.getvalue(), "png", written.getvalue(), width_mm)
