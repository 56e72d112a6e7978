"""Printed figures made small enough for a page: fewer dots and a palette."""

from __future__ import annotations

import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from bayes_cmvt.report.material import FigureImage

DOTS_PER_MM = 200 / 25.4
COLOURS = 256


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
        At most 200 dots per inch, in at most 256 colours.
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
    # of the methods of Pillow this one keeps the colours of thin lines
    palette = picture.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    palette.save(written, "PNG", optimize=True)
    return FigureImage(written.getvalue(), "png", written.getvalue(), width_mm)


def figure_images(pngs: Mapping[str, bytes], printed_dpi: float) -> dict[str, FigureImage]:
    """Images for page and Word from the PNGs of several figures, by name.

    Parameters
    ----------
    pngs : mapping of str to bytes
    printed_dpi : float

    Returns
    -------
    dict of str to FigureImage
        In the order of `pngs`.
    """
    with ThreadPoolExecutor() as threads:  # Pillow leaves Python's lock alone
        found = threads.map(lambda png: figure_image(png, printed_dpi), pngs.values())
        return dict(zip(pngs, found, strict=True))
