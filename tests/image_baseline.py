"""Figures compared with stored pictures of them, dot by dot.

A stored picture is what somebody has looked at. After a change that is wanted, draw them anew with

    RENEW_FIGURES=1 python -m pytest tests/test_figures_baselines.py

look at every picture that `git diff` shows, and commit them with the change.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from bayes_cmvt.figures import style

FOLDER = Path(__file__).parent / "reference" / "figures"
RENEW = "RENEW_FIGURES"
DPI = 100.0
COLOURS, ROUNDS = 256, 2  # of a stored picture; rounds in which its colours are improved
# Root mean square difference of grey levels, of 255. Storing in few colours makes up to 0.8; one
# other letter in a word makes 1.0, a line that is missing 1.6, a band 4.
TOLERANCE = 0.9


def assert_looks_as_stored(figure: Figure, name: str, drawn_to: Path) -> None:
    """Compare a figure with its stored picture; store it where this is asked for.

    Parameters
    ----------
    figure : Figure
    name : str
        Of the picture in `FOLDER`, without its ending.
    drawn_to : Path
        Folder for the picture of a figure that differs.

    Raises
    ------
    AssertionError
        There is no such picture, it has another size, or too many dots differ.
    """
    path = FOLDER / f"{name}.png"
    image = rendered(figure)
    if os.environ.get(RENEW):
        store(image, path)
    how = f"if it is wanted: {RENEW}=1 python -m pytest tests/test_figures_baselines.py"
    assert path.exists(), f"no picture {path} is stored; {how}"
    with Image.open(path) as opened:
        stored = np.asarray(opened.convert("RGB"), dtype=float)
    drawn_to = drawn_to / path.name
    image.save(drawn_to)
    assert stored.shape == (image.height, image.width, 3), (
        f"{name} is now {image.width} x {image.height} dots, stored are {stored.shape[1]} x "
        f"{stored.shape[0]}; look at {drawn_to} and {path}; {how}"
    )
    found = difference(np.asarray(image, dtype=float), stored)
    assert found <= TOLERANCE, (
        f"{name} differs by {found:.2f} grey levels (RMS, at most {TOLERANCE}) from the stored "
        f"picture; look at {drawn_to} and {path}; {how}"
    )


def rendered(figure: Figure) -> Image.Image:
    """Figure as coloured dots."""
    with Image.open(io.BytesIO(style.save_bytes(figure, "png", dpi=DPI))) as opened:
        return opened.convert("RGB")


def store(image: Image.Image, path: Path) -> None:
    """Write a picture in few colours, which makes it small."""
    path.parent.mkdir(parents=True, exist_ok=True)
    few = image.quantize(COLOURS, kmeans=ROUNDS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def difference(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Root mean square difference of two pictures, in grey levels."""
    return float(np.sqrt(np.mean((one - other) ** 2)))
