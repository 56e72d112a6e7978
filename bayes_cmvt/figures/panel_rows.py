"""Panels with their legends and texts laid out in rows, once the room of letters is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text

from bayes_cmvt.figures.style import (
    EDGE_MM,
    FAMILY,
    GAP_MM,
    HANDLE_MM,
    INK,
    LARGE,
    MM_PER_INCH,
    PAGE_MM,
    SMALL,
    add_legend,
    broken,
    families_of,
    figure_mm,
    filled,
    legend_columns,
    lines_mm,
    place,
    resize,
    y_axis_mm,
)

_SPARE = 1.03  # letters are up to 3 % wider in print than on the canvas where they are measured


@dataclass(frozen=True)
class Block:
    """A panel with what belongs to it: a heading above, keys and a note below.

    Parameters
    ----------
    axes : Axes
    heading, note : str
        Broken into lines where they are placed.
    keys : mapping of str to artist
        A legend of its own, one line each.
    share : float
        Of the width of its row, in proportion to its neighbours.
    columns : int
        Panels that would fill its row; 0 where the row is full.
    """

    axes: Axes
    heading: str = ""
    note: str = ""
    keys: Mapping[str, Any] = field(default_factory=dict)
    share: float = 1.0
    columns: int = 0


def in_rows(blocks: Sequence[Block], across: int) -> list[list[Block]]:
    """Rows of at most so many panels, all equally wide."""
    alike = [replace(block, columns=across) for block in blocks]
    return [alike[first : first + across] for first in range(0, len(alike), across)]


@dataclass(frozen=True)
class _Slot:
    """Where a block goes, in mm; its texts as they are broken there."""

    block: Block
    outer: float
    left: float
    width: float
    heading: str
    note: str
    keys: Mapping[str, Any]

    @property
    def heading_mm(self) -> float:
        lines = 1 + self.heading.count("\n")
        return lines_mm(lines, LARGE) + 1.2 if self.heading else 0.0

    @property
    def keys_mm(self) -> float:
        lines = sum(1 + label.count("\n") for label in self.keys)
        return _key_lines_mm(lines) + 0.5 if lines else 0.0

    @property
    def note_mm(self) -> float:
        return lines_mm(1 + self.note.count("\n")) + 0.5 if self.note else 0.0


def arrange(
    figure: Figure,
    rows: Sequence[Sequence[Block]],
    heights: Sequence[float],
    *,
    keys: Mapping[str, Any] | None = None,
    note: str = "",
) -> None:
    """Give rows of panels their places, and the figure the height that they need.

    Every text is broken into lines of the room that there is. Panels become lower, all by the
    same share, where the page would be too short.

    Parameters
    ----------
    figure : Figure
        Its width is kept.
    rows : sequence of sequences of Block
        From the top; rows of as many blocks stand under each other.
    heights : sequence of float
        Of the panels of each row, in mm.
    keys : mapping of str to artist, optional
        Legend of the whole figure, above all panels.
    note : str
        Under all panels.
    """
    across, _ = figure_mm(figure)
    room = across - 2 * EDGE_MM
    legend = {broken_lines(label, room - HANDLE_MM): key for label, key in (keys or {}).items()}
    columns = legend_columns(list(legend), room, font_of("".join(legend))) if legend else 1
    start = EDGE_MM + (_legend_mm(list(legend), columns) + GAP_MM if legend else 0.0)
    said = broken_lines(note, room)
    end = EDGE_MM + (lines_mm(1 + said.count("\n")) + 1.0 if said else 0.0)
    slots, panels = _slots(figure, rows, heights), list(heights)
    for _ in range(2):  # titles of axes are broken again where there is less room for them
        fixed = sum(_around_mm(row) for row in slots) + GAP_MM * (len(rows) - 1)
        lowered = float(np.clip((PAGE_MM - start - end - fixed) / sum(heights), 0.2, 1.0))
        panels = [lowered * height for height in heights]
        slots = _slots(figure, rows, panels) if lowered < 1.0 else slots
    resize(figure, across, start + fixed + sum(panels) + end)
    top = start
    for row, height in zip(slots, panels, strict=True):
        _put_row(figure, row, top, height)
        top += _around_mm(row) + height + GAP_MM
    if legend:
        added = add_legend(figure, legend, left=EDGE_MM, top=EDGE_MM, columns=columns)
        _dress(added.get_texts())
    if said:
        write(figure, said, EDGE_MM, top - GAP_MM + 1.0)


def font_of(text: str, size: float = SMALL) -> FontProperties:
    """Font with the letters of a text, which `names` has found to be drawable."""
    plain = " ".join(text.split())
    return FontProperties(family=list(families_of([plain]).get(plain, (FAMILY,))), size=size)


def _dress(texts: Iterable[Text]) -> None:
    for text in texts:
        text.set_fontproperties(font_of(text.get_text(), SMALL))


def write(figure: Figure, text: str, left: float, top: float, size: float = SMALL) -> Text:
    """Write a text at a place given in mm from the left and top of the figure."""
    across, down = figure_mm(figure)
    place = (left / across, 1 - top / down)
    look: dict[str, Any] = {"va": "top", "ha": "left", "linespacing": 1.1, "color": INK}
    return figure.text(*place, text, font=font_of(text, size), parse_math=False, **look)


def under_axes_mm(panels: Sequence[Axes]) -> float:
    """Room that the highest horizontal axis takes under its panel, title included, in mm."""
    inches = []
    for axes in panels:
        figure = axes.get_figure(root=True)
        box = axes.xaxis.get_tightbbox()
        if figure is not None and box is not None:
            inches.append((axes.bbox.y0 - box.y0) / figure.dpi)
    return float(max(inches, default=0.0)) * MM_PER_INCH


def _legend_mm(labels: Sequence[str], columns: int) -> float:
    """Height of a legend some of whose labels have several lines."""
    parts = np.array_split([1 + label.count("\n") for label in labels], columns)
    return _key_lines_mm(max(int(part.sum()) for part in parts))


def _key_lines_mm(lines: int) -> float:
    return 1.13 * lines_mm(lines)  # a legend's line and the gap under it, as matplotlib draws them


def _slots(
    figure: Figure, rows: Sequence[Sequence[Block]], heights: Sequence[float]
) -> list[list[_Slot]]:
    """Share the width of each row, once it is known how much room its axes take."""
    across, _ = figure_mm(figure)
    resize(figure, across, PAGE_MM)
    for row, height in zip(rows, heights, strict=True):
        for block in row:
            place(block.axes, 16.0, EDGE_MM, 0.75 * across / _columns(row), height)
            block.axes.set_ylabel(filled(" ".join(block.axes.get_ylabel().split()), height))
    return [_shared_width(row, _lefts(rows, _columns(row)), across) for row in rows]


def _columns(row: Sequence[Block]) -> int:
    return max(len(row), *(block.columns for block in row))


def _lefts(rows: Sequence[Sequence[Block]], count: int) -> list[float]:
    """Room for the vertical axes of rows of so many panels, column by column."""
    alike = [row for row in rows if _columns(row) == count]
    columns = [[row[place].axes for row in alike if place < len(row)] for place in range(count)]
    return [_SPARE * y_axis_mm(column) for column in columns]


def _shared_width(row: Sequence[Block], lefts: Sequence[float], across: float) -> list[_Slot]:
    room = across - 2 * EDGE_MM - sum(lefts) - GAP_MM * (len(lefts) - 1)
    shares = sum(block.share for block in row) + len(lefts) - len(row)
    slots, outer = [], EDGE_MM
    for block, left in zip(row, lefts, strict=False):
        width = room * block.share / shares
        block.axes.set_xlabel(filled(" ".join(block.axes.get_xlabel().split()), width))
        _, _, _, height = block.axes.get_position().bounds
        place(block.axes, outer + left, EDGE_MM, width, height * PAGE_MM)
        heading = broken_lines(block.heading, left + width, LARGE)
        keys = {
            broken_lines(label, left + width - HANDLE_MM): key for label, key in block.keys.items()
        }
        note = broken_lines(block.note, left + width)
        slots.append(_Slot(block, outer, outer + left, width, heading, note, keys))
        outer += left + width + GAP_MM
    return slots


def broken_lines(text: str, width_mm: float, size: float = SMALL) -> str:
    """Text each of whose lines is broken again where it is longer than a width."""
    font = font_of(text, size)
    return "\n".join("\n".join(broken(line, width_mm, font)) for line in text.split("\n"))


def _around_mm(row: Sequence[_Slot]) -> float:
    """Height of a row without its panels."""
    below = under_axes_mm([slot.block.axes for slot in row])
    beside = max(slot.keys_mm + slot.note_mm for slot in row)
    return max(slot.heading_mm for slot in row) + below + (1.0 + beside if beside else 0.0)


def _put_row(figure: Figure, row: Sequence[_Slot], top: float, height: float) -> None:
    heading = max(slot.heading_mm for slot in row)
    for slot in row:
        place(slot.block.axes, slot.left, top + heading, slot.width, height)
    under = top + heading + height + under_axes_mm([slot.block.axes for slot in row]) + 1.0
    for slot in row:
        if slot.heading:
            write(figure, slot.heading, slot.outer, top, LARGE)
        if slot.keys:
            added = add_legend(figure, slot.keys, left=slot.outer, top=under, columns=1)
            _dress(added.get_texts())
        if slot.note:
            write(figure, slot.note, slot.outer, under + slot.keys_mm)


def columns_of(count: int, width_mm: float) -> int:
    """Panels beside each other on a page of a width: one on a column, at most three on two.

    Examples
    --------
    >>> columns_of(2, 85.0), columns_of(2, 175.0), columns_of(5, 175.0)
    (1, 2, 3)
    """
    return max(1, min(count, 3, int(width_mm // 55)))
