"""Figure of the shrinkage: of each predictor, and how many predictors are effectively kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayes_cmvt.figures import predictor_rows, style
from bayes_cmvt.figures.predictor_rows import RowPage
from bayes_cmvt.figures.style import DIM, FAINT, INK, Mark

Keys = dict[str, Any]  # words of the legend to what is drawn beside them

_EDGE_MM, _GAP_MM = 2.0, 3.0
_ROW_MM = (3.0, 6.6)  # smallest and largest
_NAME_SHARE, _ROWS_SHARE = 0.42, 0.58  # of the rows; of a figure with the numbers at their side
_SIDE_BY_SIDE = 130.0  # mm: narrower figures have the numbers underneath
_DENSITY_MM, _NUMBER_MM = 36.0, 5.0  # densities; a row under them
_KEPT = "Shrinkage κ\n(0 kept as it is, 1 removed)"
_NUMBER = "Effective number of predictors"
_NO_SHRINKAGE = "not shrunk: a prior of its own"
_LOOKS: Mapping[str, Mark] = MappingProxyType(
    {"prior": style.MARKS[1], "posterior": style.MARKS[0]}
)
_QUANTITIES: Mapping[str, str] = MappingProxyType(
    {"m_eff": "Σ(1 − κ)", "df_eff": "degrees of freedom"}
)


def plot_shrinkage(
    shrinkage: pd.DataFrame,
    effective_number_density: pd.DataFrame | None = None,
    effective_number: pd.DataFrame | None = None,
    *,
    width_mm: float | None = None,
) -> Figure:
    """How far each coefficient is shrunk, and the effective number of predictors that remain.

    Beside the shrinkage stand the densities of Σ(1 − κ) before and after the data, and under them
    means and intervals: of Σ(1 − κ), and of the effective degrees of freedom, which take the
    correlation of predictors into account. What no table tells is left out. Predictors without
    room, those that are shrunk most, are counted underneath.

    Parameters
    ----------
    shrinkage : DataFrame, one row for each predictor
        ``term, label, shrinkage`` (posterior mean), ``lower, upper, prior_median, interval``;
        empty for predictors with a prior of their own.
    effective_number_density : DataFrame, optional
        ``distribution`` (``prior``, ``posterior``), ``effective_number, density``.
    effective_number : DataFrame, optional
        ``distribution, quantity`` (``m_eff``, ``df_eff``), ``mean, lower, upper, interval``.
    width_mm : float, optional
        85 for the shrinkage alone, otherwise 175.

    Returns
    -------
    Figure
        Axes: the shrinkage and, where there are any, the densities and the numbers.

    Raises
    ------
    OptionError
        A table without the columns above, a `shrinkage` without rows.
    """
    needed = ("term", "label", "shrinkage", "lower", "upper", "prior_median", "interval")
    style.require_columns(shrinkage, needed, "shrinkage")
    density = _known(effective_number_density, _DENSITY_COLUMNS, "effective_number_density")
    numbers = _known(effective_number, _NUMBER_COLUMNS, "effective_number")
    alone = density.empty and numbers.empty
    width = width_mm or (style.SINGLE_MM if alone else style.DOUBLE_MM)
    beside = not alone and width >= _SIDE_BY_SIDE
    with style.journal():
        under = 0.0 if alone or beside else _numbers_mm(density, numbers) + _GAP_MM
        page = _page(
            shrinkage, (width, width * _ROWS_SHARE if beside else width), under, alone=alone
        )
        bottom = page.bottom + under
        if beside:
            bottom = max(bottom, page.top + _numbers_mm(density, numbers))
        figure = style.blank_figure(width, bottom + _EDGE_MM)
        _draw_shrinkage(figure, page)
        if not alone:
            top = page.top if beside else page.bottom + _GAP_MM
            _draw_numbers(figure, density, numbers, (page.width if beside else 0.0, top))
        figure.draw_without_rendering()
    return figure


_DENSITY_COLUMNS = ("distribution", "effective_number", "density")
_NUMBER_COLUMNS = ("distribution", "quantity", "mean", "lower", "upper", "interval")


def _known(table: pd.DataFrame | None, columns: tuple[str, ...], called: str) -> pd.DataFrame:
    """Rows before and after the data; none at all is no mistake."""
    if table is None or table.empty:
        return pd.DataFrame(columns=list(columns))
    style.require_columns(table, columns, called)
    return table[table["distribution"].isin(_LOOKS)]


# --- the predictors ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Page(RowPage):
    """Predictors as they are drawn."""

    table: pd.DataFrame = field(default_factory=pd.DataFrame)


def _page(
    shrinkage: pd.DataFrame, widths: tuple[float, float], under: float, *, alone: bool
) -> _Page:
    """As many predictors as a page has room for, besides what stands under them."""
    across, width = widths
    shown, rows = predictor_rows.fitting_rows(
        shrinkage,
        1.0 - shrinkage["shrinkage"].fillna(0.0),
        room_mm=style.PAGE_MM - under - 32.0,  # at most that for legend, axis, note and edges
        row_mm=_ROW_MM,
        name_mm=_NAME_SHARE * width,
    )
    more = len(shrinkage) - len(shown)
    note = f"{more} more that are shrunk further are not drawn" if more else ""
    return _Page(rows, width, _KEPT, _keys(shrinkage, alone=alone), across, note, shown)


def _keys(shrinkage: pd.DataFrame, *, alone: bool) -> Keys:
    words = f"the data: mean and {predictor_rows.percent(shrinkage)} interval"
    before, after = _LOOKS["prior"], _LOOKS["posterior"]
    look: dict[str, Any] = {"linestyle": "none", "marker": "|", "markeredgewidth": 1.2}
    keys: Keys = {f"after {words}": _line(after)}
    if not alone:
        keys[f"before {words}"] = _line(before)
    look |= {"color": before.colour, "markersize": 6.0}
    keys["before the data: median of κ"] = Line2D([], [], **look)
    return keys


def _draw_shrinkage(figure: Figure, page: _Page) -> None:
    width = page.width - page.left - 2 * _EDGE_MM
    axes = style.panel(figure, page.left, page.top, width, page.rows.height_mm)
    predictor_rows.draw_rows(axes, page.rows)
    table, at = page.table, np.arange(len(page.table))
    before, after = _LOOKS["prior"], _LOOKS["posterior"]
    dots: dict[str, Any] = {"linestyle": "none", "clip_on": False}
    axes.plot(
        *(table["prior_median"], at),
        **dots,
        marker="|",
        color=before.colour,
        markersize=6.0,
        markeredgewidth=1.2,
    )
    predictor_rows.draw_spans(
        axes, (table["lower"], table["upper"]), at, limits=(0.0, 1.0), color=INK, linewidth=0.9
    )
    axes.plot(table["shrinkage"], at, **dots, marker=after.marker, color=INK, markersize=3.4)
    for row in np.flatnonzero(table["shrinkage"].isna()):
        axes.text(0.5, float(row), _NO_SHRINKAGE, ha="center", va="center", color=DIM)
    _unit_axis(axes, width)
    axes.set_xlabel(_KEPT)
    page.add_words(figure)


def _unit_axis(axes: Axes, width: float) -> None:
    """From 0 to 1: quarters, or halves where there is little room."""
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0] if width >= 28.0 else [0.0, 0.5, 1.0]
    axes.set_xlim(-0.02, 1.02)
    axes.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axes.grid(axis="x", color=FAINT, linewidth=0.4, zorder=0.5)
    axes.set_axisbelow(True)


# --- their number --------------------------------------------------------------------------------


def _line(mark: Mark) -> Line2D:
    look: dict[str, Any] = {"linestyle": mark.line, "marker": mark.marker, "markersize": 3.4}
    return Line2D([], [], color=mark.colour, linewidth=1.0, **look)


def _numbers_mm(density: pd.DataFrame, numbers: pd.DataFrame) -> float:
    """Height of densities, numbers and their axis."""
    upper = 0.0 if density.empty else _DENSITY_MM + _GAP_MM
    lower = _NUMBER_MM * len(numbers)
    return upper + lower + predictor_rows.x_axis_mm(_NUMBER)


def _draw_numbers(
    figure: Figure, density: pd.DataFrame, numbers: pd.DataFrame, corner: tuple[float, float]
) -> None:
    """Densities, and under them a row for each mean with its interval, on the same axis."""
    start, top = corner
    across, _ = style.figure_mm(figure)
    called = [_QUANTITIES.get(quantity, str(quantity)) for quantity in numbers["quantity"]]
    names_mm = max((style.text_mm(text) for text in called), default=0.0) + 3.5
    left = start + _EDGE_MM + max(names_mm, 10.0)
    width = across - left - 2 * _EDGE_MM
    panels = []
    if not density.empty:
        panels.append(style.panel(figure, left, top, width, _DENSITY_MM))
        _draw_densities(panels[0], density)
        top += _DENSITY_MM + _GAP_MM
    if not numbers.empty:
        panels.append(style.panel(figure, left, top, width, _NUMBER_MM * len(numbers)))
        _draw_means(panels[-1], numbers, called)
    ends = [density["effective_number"].max(), numbers["upper"].max()]
    for axes in panels:
        axes.set_xlim(0.0, 1.02 * float(np.nanmax(np.array(ends, dtype=float))))
        axes.locator_params(axis="x", nbins=6)
    for axes in panels[:-1]:
        axes.tick_params(axis="x", labelbottom=False)
    panels[-1].set_xlabel(_NUMBER)


def _draw_densities(axes: Axes, density: pd.DataFrame) -> None:
    for distribution, mark in _LOOKS.items():
        own = density[density["distribution"] == distribution]
        axes.plot(
            *(own["effective_number"], own["density"]),
            color=mark.colour,
            linestyle=mark.line,
            linewidth=1.0,
        )
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("Density of Σ(1 − κ)")
    axes.set_yticks([])


def _draw_means(axes: Axes, numbers: pd.DataFrame, called: list[str]) -> None:
    """A row for each quantity before and after the data."""
    at = np.arange(len(numbers))
    for distribution, mark in _LOOKS.items():
        own = (numbers["distribution"] == distribution).to_numpy()
        table = numbers[own]
        look: dict[str, Any] = {"color": mark.colour, "zorder": 2}
        axes.hlines(
            at[own], table["lower"], table["upper"], linestyle=mark.line, linewidth=1.0, **look
        )
        dots: dict[str, Any] = {"linestyle": "none", "marker": mark.marker, "markersize": 3.6}
        axes.plot(table["mean"], at[own], **dots, **look)
    axes.set_ylim(len(numbers) - 0.5, -0.5)
    axes.set_yticks(at, labels=called)
    axes.tick_params(axis="y", length=0)
