"""What all figures share: widths, marks, letters, names that fit, and the bytes of a figure.

Lengths are in millimetres of the printed page, letters in points (1/72 inch).
"""

from __future__ import annotations

import bisect
import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.textpath import TextToPath
from matplotlib.typing import ColorType
from PIL import Image

from bayes_cmvt.errors import OptionError

Format = Literal["png", "pdf", "svg", "tiff"]

SINGLE_MM, DOUBLE_MM = 85.0, 175.0  # one and two columns of most journals
PAGE_MM = 230.0  # as high as a page leaves room for, with a legend under the figure
MM_PER_INCH, POINTS_PER_INCH = 25.4, 72.0
SMALL, LARGE = 7.0, 8.0  # points: ticks, names and legends; titles and axes
LINE_HEIGHT = 1.2  # of the size of the letters
HEADLINE_EDGE_MM = 2.0
FAMILY = "DejaVu Sans"  # the only family that comes with matplotlib: the same on every machine

INK, DIM, FAINT, BAND = "#000000", "#595959", "#B3B3B3", "#E6E6E6"
SEQUENTIAL = "Blues"  # lightness falls all the way: the order survives a black-and-white print


@dataclass(frozen=True)
class Mark:
    """How one of several things is told from the others: by colour, and without it.

    Parameters
    ----------
    colour : str
    marker : str
    line : str or tuple
        Line style of matplotlib.
    hatch : str
    """

    colour: str
    marker: str
    line: str | tuple[float, tuple[float, ...]]
    hatch: str

    @property
    def edge(self) -> float:
        """Width of the marker's outline, in points: crosses consist of nothing else."""
        return 0.9 if self.marker in "x+" else 0.0


# Okabe & Ito's colours (Wong 2011, doi:10.1038/nmeth.1618), without their yellow, which is pale on
# paper; the first three differ by 20 or more in lightness, the others by marker, line and hatch
MARKS = (
    Mark("#000000", "o", "-", ""),
    Mark("#0072B2", "s", (0, (5, 1.5)), "////"),
    Mark("#E69F00", "^", (0, (1, 1)), "...."),
    Mark("#D55E00", "D", (0, (5, 1.5, 1, 1.5)), "\\\\\\\\"),
    Mark("#009E73", "x", (0, (3, 1)), "xxxx"),
    Mark("#CC79A7", "+", (0, (3, 1, 1, 1, 1, 1)), "----"),
    Mark("#56B4E9", "v", (0, (8, 1.5)), "oooo"),
)


def marks(count: int) -> tuple[Mark, ...]:
    """Marks of so many things, in the order of the palette.

    Raises
    ------
    OptionError
        More things than the palette can keep apart.

    Examples
    --------
    >>> [mark.marker for mark in marks(3)]
    ['o', 's', '^']
    """
    if count > len(MARKS):
        msg = f"a figure keeps at most {len(MARKS)} things apart, not {count}; draw fewer"
        raise OptionError(msg)
    return MARKS[:count]


def luminance(colour: ColorType) -> float:
    """Relative luminance (WCAG 2): on less than 0.18 white letters read better than black ones.

    Examples
    --------
    >>> luminance("white"), luminance("black")
    (1.0, 0.0)
    """
    red_green_blue = np.array(to_rgb(colour))
    linear = np.where(
        red_green_blue <= 0.04045, red_green_blue / 12.92, ((red_green_blue + 0.055) / 1.055) ** 2.4
    )
    return float(linear @ [0.2126, 0.7152, 0.0722])


# --- the page ------------------------------------------------------------------------------------


def journal() -> AbstractContextManager[None]:
    """Settings of matplotlib for our figures; when the block ends, the caller's are back.

    They start from matplotlib's defaults: a style that the caller has chosen changes no figure.
    Settings belong to the process: figures are drawn in one thread at a time.
    """
    of_the_session = (
        *(
            "animation",
            "backend",
            "date.",
            "docstring",
            "figure.hooks",
            "figure.max",
            "interactive",
        ),
        *("figure.raise", "keymap", "macosx", "savefig.directory", "timezone", "tk.", "toolbar"),
        "webagg",
    )
    settings: dict[Any, Any] = {
        key: value
        for key, value in matplotlib.rcParamsDefault.items()
        if not key.startswith(of_the_session)
    }
    settings |= {"font.family": [FAMILY], "font.size": SMALL, "axes.titlesize": LARGE}
    settings |= {"axes.labelsize": LARGE, "legend.fontsize": SMALL, "figure.labelsize": LARGE}
    settings |= {"xtick.labelsize": SMALL, "ytick.labelsize": SMALL, "axes.linewidth": 0.6}
    settings |= {"axes.labelpad": 2.0, "axes.spines.top": False, "axes.spines.right": False}
    for axis in ("xtick", "ytick"):
        settings |= {f"{axis}.major.width": 0.6, f"{axis}.major.size": 2.5}
        settings |= {f"{axis}.major.pad": 2.0}
    # letters stay letters in a PDF; shapes of letters in an SVG need no font where it is read
    settings |= {"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "bayes-cmvt"}
    settings |= {"figure.facecolor": "white", "figure.edgecolor": "white"}
    return matplotlib.rc_context(settings)


def blank_figure(width_mm: float, height_mm: float) -> Figure:
    """Figure without axes, on a canvas of its own; call it inside `journal`.

    Parameters
    ----------
    width_mm, height_mm : float
        Of the printed figure.
    """
    figure = Figure(figsize=(width_mm / MM_PER_INCH, height_mm / MM_PER_INCH))
    FigureCanvasAgg(figure)
    return figure


def panel(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place given in mm from the left and from the top of the figure."""
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0), label=f"panel {len(figure.axes)}")
    place(axes, left, top, width, height)
    return axes


def place(axes: Axes, left: float, top: float, width: float, height: float) -> None:
    """Move axes to a place given in mm from the left and from the top of their figure."""
    across, down = figure_mm(axes.get_figure(root=True))
    axes.set_position((left / across, 1 - (top + height) / down, width / across, height / down))


def figure_mm(figure: Figure | None) -> tuple[float, float]:
    """Width and height of a figure, in mm."""
    inches = (0.0, 0.0) if figure is None else figure.get_size_inches()
    return float(inches[0]) * MM_PER_INCH, float(inches[1]) * MM_PER_INCH


def resize(figure: Figure, width_mm: float, height_mm: float) -> None:
    """Give a figure its final size; axes keep their share of it until they are placed anew."""
    figure.set_size_inches(width_mm / MM_PER_INCH, height_mm / MM_PER_INCH)


def add_headline(figure: Figure, text: str) -> None:
    """Write a line above all else; the figure grows by it, and nothing else moves or shrinks.

    Parameters
    ----------
    figure : Figure
        Finished: what is placed afterwards would not leave room.
    text : str
    """
    across, down = figure_mm(figure)
    written = filled(text, across - 2 * HEADLINE_EDGE_MM, weight="bold")
    room = HEADLINE_EDGE_MM + lines_mm(written.count("\n") + 1, LARGE)
    kept = down / (down + room)
    boxes = [(axes, axes.get_position()) for axes in figure.axes]
    resize(figure, across, down + room)
    for axes, box in boxes:
        axes.set_position((box.x0, box.y0 * kept, box.width, box.height * kept))
    for legend in figure.legends:
        anchor = legend.get_bbox_to_anchor().transformed(figure.transFigure.inverted())
        legend.set_bbox_to_anchor((anchor.x0, anchor.y0 * down / (down + room)))
    for note in figure.texts:
        note.set_y(note.get_position()[1] * kept)
    left, top = HEADLINE_EDGE_MM / across, 1 - HEADLINE_EDGE_MM / (down + room)
    figure.text(left, top, written, va="top", fontsize=LARGE, weight="bold", color=INK)


def y_axis_mm(panels: Sequence[Axes]) -> float:
    """Room that the widest vertical axis takes to the left of its panel, title included, in mm."""
    inches = []
    for axes in panels:
        figure = axes.get_figure(root=True)
        box = axes.yaxis.get_tightbbox()
        if figure is not None and box is not None:
            inches.append((axes.bbox.x0 - box.x0) / figure.dpi)
    return float(max(inches, default=0.0)) * MM_PER_INCH


def save_bytes(figure: Figure, kind: Format, *, dpi: float = 300.0) -> bytes:
    """Return a figure as the bytes of a file: the same bytes each time, without a date.

    Parameters
    ----------
    figure : Figure
    kind : {"png", "pdf", "svg", "tiff"}
        A TIFF is compressed without loss (LZW) and has no transparency, as journals ask for it.
    dpi : float
        Dots per inch of a PNG or TIFF; the other two are drawn with lines and letters.

    Raises
    ------
    OptionError
        Another format.
    """
    silent = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    silent["pdf"] = dict.fromkeys(["CreationDate", "Creator", "Producer"])
    if kind == "tiff":
        return _as_tiff(save_bytes(figure, "png", dpi=dpi), dpi)
    if kind not in silent:
        msg = f'a figure is saved as "tiff", "png", "pdf" or "svg", not as {kind!r}'
        raise OptionError(msg)
    written = io.BytesIO()
    with journal():
        figure.savefig(written, format=kind, dpi=dpi, metadata=silent[kind])
    return written.getvalue()


def _as_tiff(png: bytes, dpi: float) -> bytes:
    """Return the same pixels as a TIFF that knows how many of them make an inch."""
    written = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        opaque = image.convert("RGB")
    opaque.save(written, format="TIFF", compression="tiff_lzw", dpi=(dpi, dpi))
    return written.getvalue()


def require_columns(table: pd.DataFrame, columns: Iterable[str], called: str) -> None:
    """Refuse a table without rows or without some of the columns that a figure reads.

    Raises
    ------
    OptionError
        Naming the columns that are missing.
    """
    absent = [name for name in columns if name not in table]
    problems = [f"it has no column {name!r}" for name in absent]
    problems += [] if len(table) else ["it has no rows"]
    if problems:
        msg = f"the table {called!r} cannot be drawn"
        raise OptionError(msg, problems)


# --- letters -------------------------------------------------------------------------------------

# families with Chinese letters, the ones made for reading on paper first; file names, in lower case
_CHINESE = (
    *("notosanscjk", "notosanssc", "sourcehansans", "pingfang", "msyh", "hiraginosansgb", "wqy"),
    *("droidsansfallback", "simhei", "arialuni", "notoserifcjk", "simsun"),
)
_OTHER_CUT = ("bold", "italic", "oblique", "black", "light", "thin", "mono")


@dataclass(frozen=True)
class Name:
    """What a predictor is called in a figure.

    Parameters
    ----------
    term : str
        Its name in the tables.
    text : str
        What is drawn: the label where there are letters for it, otherwise the term.
    families : tuple of str
        Fonts that have the letters between them, the first one preferred.
    """

    term: str
    text: str
    families: tuple[str, ...] = (FAMILY,)

    @property
    def font(self) -> FontProperties:
        """Font of the drawn name."""
        return FontProperties(family=list(self.families), size=SMALL)


def names(terms: Sequence[str], labels: Sequence[str]) -> list[Name]:
    """Names for a figure: labels, and terms where no installed font has a label's letters.

    Letters of a term that no font has either are written by their number, as U+5E74.

    Parameters
    ----------
    terms, labels : sequence of str, same length
        An empty label counts as none.

    Examples
    --------
    >>> [name.text for name in names(["age", "crp"], ["Age", ""])]
    ['Age', 'crp']
    """
    wanted = [" ".join(label.split()) or term for term, label in zip(terms, labels, strict=True)]
    families = families_of([*wanted, *terms])
    found = []
    for term, text in zip(terms, wanted, strict=True):
        shown = text if text in families else term if term in families else _by_number(term)
        found.append(Name(term, shown, families.get(shown, (FAMILY,))))
    return found


def without_glyphs(texts: Iterable[str]) -> list[str]:
    """Texts that no installed font can draw: figures show the names of columns in their place.

    Examples
    --------
    >>> without_glyphs(["Age (years)", "β₂-microglobulin ≥ 3"])
    []
    """
    wanted = [" ".join(text.split()) for text in dict.fromkeys(texts)]
    families = families_of(wanted)
    return [text for text in wanted if text not in families]


def families_of(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Fonts for each text: ours alone, or ours and one more; no entry where none is found."""
    ours = FT2Font(font_manager.findfont(FontProperties(family=FAMILY)))
    missing = {text: _absent(text, ours) for text in texts}
    found: dict[str, tuple[str, ...]] = {
        text: (FAMILY,) for text, letters in missing.items() if not letters
    }
    wanted = {text: letters for text, letters in missing.items() if letters}
    files = _installed() if wanted else iter(())
    while wanted and (path := next(files, "")):
        try:
            font = FT2Font(path)
        except (OSError, RuntimeError):  # uninstalled since matplotlib listed it, or damaged
            continue
        drawn = [text for text, letters in wanted.items() if not _absent(letters, font)]
        if drawn:
            found |= dict.fromkeys(drawn, (FAMILY, _family(path)))
        wanted = {text: letters for text, letters in wanted.items() if text not in found}
    return found


def _absent(text: str, font: FT2Font) -> str:
    """Letters of a text that a font has no glyph for."""
    return "".join(
        letter for letter in text if letter != " " and not font.get_char_index(ord(letter))
    )


def _installed() -> Iterator[str]:
    """Files of installed fonts, the likeliest first; matplotlib's own list may be out of date."""
    listed = {entry.fname for entry in font_manager.fontManager.ttflist}
    files = listed | set(font_manager.findSystemFonts())
    yield from sorted((path for path in files if not _says_nothing(path)), key=_preference)


def _says_nothing(path: str) -> bool:
    """Whether a font has a box for every letter."""
    return any(part in Path(path).stem.lower() for part in ("lastresort", "adobeblank"))


def _preference(path: str) -> tuple[int, bool, str]:
    stem = Path(path).stem.lower().replace("-", "").replace(" ", "")
    places = [place for place, part in enumerate(_CHINESE) if part in stem]
    return min(places, default=len(_CHINESE)), any(cut in stem for cut in _OTHER_CUT), path


def _family(path: str) -> str:
    """Name under which matplotlib finds a file of fonts, simplified Chinese before others."""
    listed = {entry.name for entry in font_manager.fontManager.ttflist if entry.fname == path}
    if not listed:
        font_manager.fontManager.addfont(path)
        return _family(path)
    return min(listed, key=lambda name: (not name.endswith("SC"), name))


def _by_number(text: str) -> str:
    ours = FT2Font(font_manager.findfont(FontProperties(family=FAMILY)))
    return "".join(f"U+{ord(each):04X}" if _absent(each, ours) else each for each in text)


# --- texts that fit ------------------------------------------------------------------------------


def text_mm(text: str, font: FontProperties | None = None) -> float:
    r"""Width of the widest line of a text, in mm; in small letters unless a font is given.

    Examples
    --------
    >>> text_mm("two words") > text_mm("words") == text_mm("words\nor") > 0.0
    True
    """
    font = font or FontProperties(family=FAMILY, size=SMALL)
    return max(_line_mm(line, font) for line in text.split("\n"))


# measuring takes most of the time of a figure, and layouts measure the same words again and again
@lru_cache(maxsize=10_000)
def _line_mm(line: str, font: FontProperties) -> float:
    width = TextToPath().get_text_width_height_descent(line, font, False)[0]
    return float(width) * MM_PER_INCH / POINTS_PER_INCH


def filled(text: str, width_mm: float, size: float = LARGE, weight: str = "normal") -> str:
    """Text in as few lines of a width as it needs, all about equally long; for titles."""
    font = FontProperties(family=FAMILY, size=size, weight=weight)
    fewest = len(broken(text, width_mm, font))
    narrower = (broken(text, share * width_mm, font) for share in np.linspace(0.5, 1.0, 26))
    return "\n".join(next(lines for lines in narrower if len(lines) == fewest))


def lines_mm(lines: int, size: float = SMALL) -> float:
    """Height of so many lines of letters of a size in points, in mm."""
    return lines * size * LINE_HEIGHT * MM_PER_INCH / POINTS_PER_INCH


def fitted_names(called: Sequence[Name], width_mm: float, lines: int = 1) -> list[str]:
    """Names broken into lines of a width; what is too long is cut at its end and marked.

    Where two names would become the same, they are cut in the middle, else the terms are shown.

    Parameters
    ----------
    called : sequence of Name
    width_mm : float
    lines : int
        At most so many.
    """
    shown = [_fitted(name, width_mm, lines, _without_end) for name in called]
    for place in _ambiguous(shown, called):
        shown[place] = _fitted(called[place], width_mm, lines, _without_middle)
    for place in _ambiguous(shown, called):
        shown[place] = called[place].term
    return shown


def _ambiguous(shown: Sequence[str], called: Sequence[Name]) -> list[int]:
    """Places of texts that stand for more than one name."""
    meant: dict[str, set[str]] = {}
    for text, name in zip(shown, called, strict=True):
        meant.setdefault(text, set()).add(name.text)
    return [place for place, text in enumerate(shown) if len(meant[text]) > 1]


def fit_whole(called: Sequence[Name], width_mm: float, lines: int) -> bool:
    """Whether names fit so many lines of a width without being cut."""
    for name in called:
        rows = broken(name.text, width_mm, name.font)
        if len(rows) > lines or text_mm("\n".join(rows), name.font) > width_mm:
            return False
    return True


_BLANK_MM = 1.0  # at most: a blank that is dropped where a line ends


def _fitted(name: Name, width_mm: float, lines: int, cut: Callable[[str, int], str]) -> str:
    """Longest version of a name that fits; a single letter where none does."""
    text, font = name.text, name.font
    room = lines * (width_mm + _BLANK_MM)
    # on one line a version becomes wider with every letter, broken into lines not always: so the
    # versions that are too wide for all lines together are passed over at once, the rest tried
    longest = bisect.bisect_right(
        range(1, len(text)), room, key=lambda kept: text_mm(cut(text, kept), font)
    )
    whole = [text] if text_mm(text, font) <= room else []
    shorter = (cut(text, kept) for kept in range(longest, 0, -1))
    for version in itertools.chain(whole, shorter):
        rows = broken(version, width_mm, font)
        if len(rows) <= lines and text_mm("\n".join(rows), font) <= width_mm:
            return "\n".join(rows)
    return text[:1]


def _without_end(text: str, kept: int) -> str:
    """Text cut at its end; the first one to three letters of a word are cut with the rest."""
    start, inside = text[:kept], kept < len(text) and text[kept].isalnum()
    start = re.sub(r"(?<=\w\W)[A-Za-z]{1,3}$", "", start) if inside else start
    return start.rstrip(" -/(,") + "…"


def _without_middle(text: str, kept: int) -> str:
    tail = kept // 2
    return text[: kept - tail].rstrip(" -/(,") + "…" + text[len(text) - tail :].lstrip()


_EAST = r"[\u2E80-\uFFEF]"
_BREAKS = re.compile(
    rf"(?<=\s)|(?<=\w\w[-/])(?=\w\w)|(?<={_EAST})(?=.)(?<![（【《])(?![\s）】》，。、：；])"
    rf"|(?<=.)(?<![（【《])(?={_EAST})(?![）】》，。、：；])"
)


def broken(text: str, width_mm: float, font: FontProperties) -> list[str]:
    """Lines of a text, broken at blanks, in compound words, and between Chinese letters."""
    lines = [""]
    for piece in _BREAKS.split(text):
        if lines[-1] and text_mm((lines[-1] + piece).rstrip(), font) > width_mm:
            lines.append(piece)
        else:
            lines[-1] += piece
    return [line.rstrip() for line in lines]


def write_names(texts: Sequence[Text], called: Sequence[Name]) -> None:
    """Give drawn texts the fonts of their names; a dollar sign is a dollar sign."""
    for text, name in zip(texts, called, strict=True):
        text.set_fontproperties(name.font)
        text.set_parse_math(False)


# --- the legend ----------------------------------------------------------------------------------

HANDLE_MM, _COLUMN_GAP_MM = 8.0, 4.0
EDGE_MM, GAP_MM = 2.0, 4.0


def legend_columns(
    labels: Sequence[str], width_mm: float, font: FontProperties | None = None
) -> int:
    """Most columns, filled one after the other, in which a legend has a width."""
    widths = [HANDLE_MM + text_mm(label, font) for label in labels]
    for count in range(len(labels), 1, -1):
        columns = [max(column) for column in np.array_split(widths, count)]
        if sum(columns) + _COLUMN_GAP_MM * (count - 1) <= width_mm:
            return count
    return 1


def legend_mm(count: int, columns: int) -> float:
    """Height of a legend of so many things."""
    return -(-count // columns) * lines_mm(1) * 1.2


def add_legend(
    figure: Figure,
    keys: Mapping[str, Any],
    *,
    left: float,
    top: float,
    columns: int,
) -> Legend:
    """Legend outside of all axes, at a place given in mm from the left and top of the figure."""
    across, down = figure_mm(figure)
    em = POINTS_PER_INCH / MM_PER_INCH / SMALL  # legends measure in letters
    legend: Legend = figure.legend(
        list(keys.values()),
        list(keys),
        loc="upper left",
        bbox_to_anchor=(left / across, 1 - top / down),
        ncols=columns,
        frameon=False,
        borderaxespad=0.0,
        borderpad=0.0,
        labelspacing=0.3,
        handlelength=(HANDLE_MM - 2.0) * em,
        handletextpad=1.5 * em,
        columnspacing=_COLUMN_GAP_MM * em,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return legend
