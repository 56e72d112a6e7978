"""Rows of predictors: names at the left, intervals beside them, as many as fit a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from bayes_cmvt.figures.style import (
    DIM,
    EDGE_MM,
    GAP_MM,
    LARGE,
    SMALL,
    Name,
    add_legend,
    figure_mm,
    filled,
    fitted_names,
    legend_columns,
    legend_mm,
    lines_mm,
    names,
    text_mm,
    write_names,
)

STRIPE = "#F2F2F2"
_HEAD = 3.0  # points: the arrow of an interval that goes on beyond the axis
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Rows:
    """Predictors below one another, with their names as they fit.

    Parameters
    ----------
    called : tuple of Name
    texts : tuple of str
        Names as they are written, broken and cut.
    row_mm : float
        Height of one row.
    """

    called: tuple[Name, ...]
    texts: tuple[str, ...]
    row_mm: float

    @property
    def height_mm(self) -> float:
        """Height of all rows."""
        return self.row_mm * len(self.called)

    @property
    def names_mm(self) -> float:
        """Width of the widest name."""
        pairs = zip(self.texts, self.called, strict=True)
        return max(text_mm(text, name.font) for text, name in pairs)


def name_rows(called: Sequence[Name], width_mm: float, row_mm: float) -> Rows:
    """Names in rows of a height: on two lines where there is room for them."""
    lines = 2 if row_mm >= lines_mm(2) else 1
    return Rows(tuple(called), tuple(fitted_names(called, width_mm, lines)), row_mm)


def strongest(table: pd.DataFrame, strength: pd.Series[float], most: int) -> pd.DataFrame:
    """Rows with the largest strength, at most so many, in the order of the table."""
    order = strength.fillna(-np.inf).rank(ascending=False, method="first")
    return table[order <= most]


@dataclass(frozen=True)
class RowPage:
    """A panel of rows: its legend above, its axis and a note below, in mm from left and top.

    Parameters
    ----------
    rows : Rows
    width : float
        Of the names and the panel together.
    title : str
        Of the horizontal axis.
    keys : mapping of str to artist
        Of the legend.
    across : float
        Of the legend.
    note : str
        Such as what had no room.
    """

    rows: Rows
    width: float
    title: str
    keys: Mapping[str, Any]
    across: float
    note: str = ""

    @property
    def columns(self) -> int:
        """Columns of the legend; on a screen letters are a little wider than on paper."""
        return legend_columns(list(self.keys), 0.94 * self.across)

    @property
    def top(self) -> float:
        """Upper end of the panel."""
        return EDGE_MM + legend_mm(len(self.keys), self.columns) + GAP_MM

    @property
    def left(self) -> float:
        """Left end of the panel."""
        return EDGE_MM + self.rows.names_mm + 2.5

    @property
    def note_top(self) -> float:
        """Where the axis ends and the note begins."""
        return self.top + self.rows.height_mm + x_axis_mm(self.title)

    @property
    def note_text(self) -> str:
        """Note in lines of the width."""
        return filled(self.note, self.width - 2 * EDGE_MM, SMALL) if self.note else ""

    @property
    def bottom(self) -> float:
        """Where everything ends."""
        lines = 1 + self.note_text.count("\n") if self.note else 0
        return self.note_top + lines_mm(lines)

    def add_words(self, figure: Figure) -> None:
        """Write the legend and the note."""
        add_legend(figure, self.keys, left=EDGE_MM, top=EDGE_MM, columns=self.columns)
        if self.note:
            across, down = figure_mm(figure)
            place = EDGE_MM / across, 1 - self.note_top / down
            figure.text(*place, self.note_text, va="top", fontsize=SMALL, color=DIM)


def fitting_rows(
    table: pd.DataFrame,
    strength: pd.Series[float],
    *,
    room_mm: float,
    row_mm: tuple[float, float],
    name_mm: float,
) -> tuple[pd.DataFrame, Rows]:
    """Predictors that have room, the strongest ones where not all have, with their names.

    Parameters
    ----------
    table : DataFrame
        ``term, label`` and more.
    strength : Series
        Of each row.
    room_mm : float
        Height for all rows.
    row_mm : pair of float
        Smallest and largest height of a row.
    name_mm : float
        Width of a name.
    """
    shown = strongest(table, strength, max(1, int(room_mm / row_mm[0])))
    labels = shown["label"].fillna("").astype(str).tolist()
    called = names(shown["term"].astype(str).tolist(), labels)
    return shown, name_rows(called, name_mm, float(np.clip(room_mm / len(shown), *row_mm)))


def draw_rows(axes: Axes, rows: Rows, *, named: bool = True) -> None:
    """Stripes and names of rows 0, 1, … from the top; without names for a panel beside."""
    for row in range(0, len(rows.called), 2):
        axes.axhspan(row - 0.5, row + 0.5, color=STRIPE, linewidth=0, zorder=0)
    axes.set_ylim(len(rows.called) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    if named:
        axes.set_yticks(np.arange(len(rows.called)), labels=list(rows.texts))
        axes.tick_params(axis="y", length=0, pad=5)
        write_names(axes.get_yticklabels(), rows.called)


def draw_spans(
    axes: Axes,
    ends: tuple[pd.Series[float], pd.Series[float]],
    rows: Any,
    *,
    limits: tuple[float, float],
    **look: Any,
) -> None:
    """Intervals on their rows; what goes on beyond the axis ends in an arrow.

    Parameters
    ----------
    axes : Axes
    ends : pair of Series
        Lower and upper ends; an interval with a missing end is not drawn.
    rows : array_like
        Where each interval stands.
    limits : pair of float
        Ends of the axis.
    **look
        Colour, line width and so on of the lines.
    """
    low, high, at = (np.asarray(each, dtype=float) for each in (*ends, rows))
    known = ~(np.isnan(low) | np.isnan(high))
    low, high, at = low[known], high[known], at[known]
    axes.hlines(at, np.clip(low, *limits), np.clip(high, *limits), **look)
    heads: dict[str, Any] = {"linestyle": "none", "clip_on": False}
    heads |= {"markersize": max(_HEAD, 1.4 * float(look.get("linewidth", 1.0)))}
    heads |= {"color": look["color"], "markeredgewidth": 0.0, "zorder": look.get("zorder", 2.0)}
    for beyond, end, marker in (
        (low < limits[0], limits[0], "<"),
        (high > limits[1], limits[1], ">"),
    ):
        if beyond.any():
            axes.plot(np.full(beyond.sum(), end), at[beyond], marker=marker, **heads)


def x_axis_mm(title: str) -> float:
    """Room for the ticks, the numbers and the title of an axis under its panel, in mm."""
    return 3.2 + lines_mm(1) + lines_mm(1 + title.count("\n"), LARGE)


def log_axis(axes: Axes, limits: tuple[float, float], width_mm: float) -> None:
    """Logarithmic axis with ticks 1-2-5, else tens, else fewer: as many as have room."""
    first, last = (int(np.floor(np.log10(end))) for end in limits)
    decades = range(first, last + 1)
    choices = [
        [10.0**k * step for k in decades for step in (1, 2, 5)],
        [10.0**k * step for k in decades for step in (1, 3)],
        *([10.0**k for k in decades if k % every == 0] for every in (1, 2, 3, 4, 6, 10, 20, 100)),
    ]
    per_mm = np.log(limits[1] / limits[0]) / width_mm
    plain_from = 1e-3 if limits[0] > 1e-4 else 1e-2
    for choice in choices:
        ticks = [tick for tick in choice if limits[0] <= tick <= limits[1]]
        numbers = [_plain(tick, plain_from) for tick in ticks]
        halves = np.array([text_mm(number) / 2 + 0.7 for number in numbers])
        if (np.diff(np.log(ticks)) / per_mm >= halves[1:] + halves[:-1]).all():
            break
    axes.set(xscale="log", xlim=limits)
    axes.set_xticks(ticks, labels=numbers)
    axes.xaxis.set_minor_locator(NullLocator())


def _plain(number: float, plain_from: float) -> str:
    """A power of ten as a power where it would be long, anything else written out."""
    if plain_from <= number * 1.001 < 1e4:
        return f"{number:g}"
    exponent = int(np.floor(np.log10(number) + 1e-9))
    factor = round(number / 10.0**exponent)
    power = "10" + str(exponent).translate(_SUPERSCRIPT)
    return power if factor == 1 else f"{factor}·{power}"


def percent(table: pd.DataFrame) -> str:
    """Probability inside the intervals of a table, from its column ``interval``.

    Examples
    --------
    >>> percent(pd.DataFrame({"interval": [0.95, 0.95]}))
    '95 %'
    """
    return f"{100 * float(table['interval'].iloc[0]):.4g} %"
