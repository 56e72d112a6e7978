"""Figures that put credible beside bootstrap intervals: of coefficients, of patients' risks."""

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
from matplotlib.patches import Patch

from bayes_cmvt.figures import predictor_rows, shared_words, style
from bayes_cmvt.figures.predictor_rows import RowPage
from bayes_cmvt.figures.style import FAINT, INK, Mark

Keys = dict[str, Any]  # words of the legend to what is drawn beside them

_EDGE_MM, _GAP_MM = 2.0, 3.0
_LEGEND_SHARE = 0.94  # of the width; on a screen letters are a little wider than on paper
_LOOKS: Mapping[str, Mark] = MappingProxyType(
    dict(zip(("credible", "bootstrap", "wald"), style.MARKS[:3], strict=True))
)

# --- coefficients --------------------------------------------------------------------------------

_ROW_MM = (3.9, 7.0)  # smallest and largest: three intervals under each other
_NAME_SHARE, _SHARES_SHARE = 0.3, 0.3  # of the figure; of what is beside the names
_SCALE = "std_log_odds"
_TICK_MM = 12.0  # a number of the axis and its gap
_INTERCEPT = "(Intercept)"
_WIDEST = 12.0  # log-odds per SD: odds of 160,000 to 1, ends farther away are cut
_STD = "Coefficient per SD\n(log-odds)"
_SHARE = "1 − κ;\nshare at 0"


def plot_compare_coefficients(
    compare_coefficients: pd.DataFrame, *, width_mm: float | None = None
) -> Figure:
    """Credible, bootstrap and Wald interval of each coefficient, below one another.

    The bootstrap repeats the whole workflow and its point is the estimate of the final model, 0
    where the predictor is not selected; the Wald interval is that of the same final model and
    ignores the selection. Beside them stands what each says about zero: the share of resamples in
    which the coefficient is exactly 0, and 1 − κ, how much of it the posterior keeps. Intervals
    that leave the axis, which ends 12 from zero at most, end in an arrow. The intercept is not
    drawn; predictors without room, those kept least, are counted underneath.

    Parameters
    ----------
    compare_coefficients : DataFrame, one row for each coefficient and scale
        ``term, label, scale`` (``std_log_odds`` is drawn), ``credible_estimate, credible_lower,
        credible_upper, bootstrap_estimate, bootstrap_lower, bootstrap_upper, wald_lower,
        wald_upper, bootstrap_zero, kept, interval``.
    width_mm : float, optional
        175 unless another one is given.

    Returns
    -------
    Figure
        Axes: the intervals, the shares.

    Raises
    ------
    OptionError
        A table without the columns above or without rows on that scale.
    """
    columns = [f"{kind}_{end}" for kind in _LOOKS for end in ("lower", "upper")]
    columns += ["credible_estimate", "bootstrap_estimate", "bootstrap_zero", "kept", "interval"]
    needed = ("term", "label", "scale", *columns)
    style.require_columns(compare_coefficients, needed, "compare_coefficients")
    chosen = compare_coefficients["scale"].eq(_SCALE)
    chosen &= compare_coefficients["term"].ne(_INTERCEPT)
    table = compare_coefficients[chosen].reset_index(drop=True)
    style.require_columns(table, (), f"compare_coefficients, scale {_SCALE}")
    with style.journal():
        page = _page(table, width_mm or style.DOUBLE_MM)
        figure = style.blank_figure(page.width, page.bottom + _EDGE_MM)
        left, room = page.left, page.width - page.left - 2 * _EDGE_MM
        beside = _SHARES_SHARE * room
        width = room - beside - _GAP_MM
        height = page.rows.height_mm
        _draw_intervals(style.panel(figure, left, page.top, width, height), page, width)
        left += width + _GAP_MM
        _draw_shares(style.panel(figure, left, page.top, beside, height), page)
        page.add_words(figure)
        figure.draw_without_rendering()
    return figure


@dataclass(frozen=True)
class _Page(RowPage):
    """Coefficients as they are drawn."""

    table: pd.DataFrame = field(default_factory=pd.DataFrame)


_KEPT: Mapping[str, Any] = MappingProxyType(
    {
        "linestyle": "none",
        "marker": "D",
        "color": INK,
        "markerfacecolor": "white",
        "markersize": 3.4,
    }
)
_ZERO: Mapping[str, Any] = MappingProxyType(
    {"linestyle": "none", "marker": "X", "color": style.MARKS[1].colour, "markersize": 4.2}
)


def _handle(mark: Mark) -> Line2D:
    look: dict[str, Any] = {"linestyle": mark.line, "marker": mark.marker, "markersize": 3.2}
    return Line2D([], [], color=mark.colour, linewidth=0.9, **look)


def _page(table: pd.DataFrame, width: float) -> _Page:
    """As many coefficients as a page has room for."""
    shown, rows = predictor_rows.fitting_rows(
        table,
        table["kept"],
        room_mm=style.PAGE_MM - 42.0,  # at most that for legend, axis, note and edges
        row_mm=_ROW_MM,
        name_mm=_NAME_SHARE * width,
    )
    more = len(table) - len(shown)
    note = f"{more} more of which the posterior keeps less are not drawn" if more else ""
    return _Page(rows, width, _STD, _interval_keys(table), width, note, shown)


def _interval_keys(table: pd.DataFrame) -> Keys:
    level = predictor_rows.percent(table)
    words = {
        "credible": f"posterior median, {level} credible interval",
        "bootstrap": f"final model, {level} bootstrap interval",
        "wald": f"final model, {level} Wald interval",
    }
    keys: Keys = {text: _handle(_LOOKS[kind]) for kind, text in words.items()}
    if table["kept"].notna().any():  # a normal prior shrinks nothing by a factor of its own
        keys["1 − κ, what the posterior keeps of it"] = Line2D([], [], **_KEPT)
    keys["share of resamples in which it is exactly 0"] = Line2D([], [], **_ZERO)
    return keys


def _draw_intervals(axes: Axes, page: _Page, width: float) -> None:
    """Three lines for each coefficient, in the order of the legend."""
    table, at = page.table, np.arange(len(page.table))
    ends = table[[f"{kind}_{end}" for kind in _LOOKS for end in ("lower", "upper")]]
    points = table[["credible_estimate", "bootstrap_estimate"]]
    every = np.append(np.clip(ends.to_numpy(dtype=float), -_WIDEST, _WIDEST), points.to_numpy())
    low, high = min(0.0, float(np.nanmin(every))), max(0.0, float(np.nanmax(every)))
    spare = 0.03 * (high - low) or 0.1
    limits = low - spare, high + spare
    predictor_rows.draw_rows(axes, page.rows)
    axes.set_xlim(limits)
    axes.axvline(0.0, color=INK, linewidth=0.7, linestyle=(0, (4, 2)), zorder=1)
    size = float(np.clip(0.5 * page.rows.row_mm, 2.0, 3.2))
    for place, (kind, mark) in enumerate(_LOOKS.items()):
        rows = at + 0.25 * (place - 1)
        span = table[f"{kind}_lower"], table[f"{kind}_upper"]
        look: dict[str, Any] = {"color": mark.colour, "zorder": 2}
        predictor_rows.draw_spans(
            axes, span, rows, limits=limits, linewidth=0.9, linestyle=mark.line, **look
        )
        value = table["credible_estimate" if kind == "credible" else "bootstrap_estimate"]
        value = value.where(span[0].notna())  # no Wald interval where nothing was selected
        axes.plot(value, rows, linestyle="none", marker=mark.marker, markersize=size, **look)
    axes.locator_params(axis="x", nbins=int(np.clip(width / _TICK_MM, 2, 6)))
    axes.set_xlabel(_STD)


def _draw_shares(axes: Axes, page: _Page) -> None:
    at = np.arange(len(page.table))
    predictor_rows.draw_rows(axes, page.rows, named=False)
    dots: dict[str, Any] = {"clip_on": False, "zorder": 3}
    axes.plot(page.table["kept"], at - 0.12, **_KEPT, **dots)
    axes.plot(page.table["bootstrap_zero"], at + 0.12, **_ZERO, **dots)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xticks([0.0, 0.5, 1.0], labels=["0", "0.5", "1"])
    axes.grid(axis="x", color=FAINT, linewidth=0.4)
    axes.set_axisbelow(True)
    axes.set_xlabel(_SHARE)


# --- risks ---------------------------------------------------------------------------------------

_HIGH_MM, _LOW_MM = 62.0, 50.0  # panels beside each other, under each other
_SIDE_BY_SIDE = 130.0  # mm: narrower figures have the sets under each other
_HEADING_MM = 5.0
_AXIS_MM = 12.0  # numbers and title of the vertical axis
_APART_MM = 0.7  # closer patients have no line of their own
_RISK = "Risk"


def plot_compare_risks(
    table: pd.DataFrame,
    thresholds: tuple[float, float] | None = None,
    use: float | None = None,
    *,
    width_mm: float | None = None,
) -> Figure:
    """Credible and bootstrap interval of the risks, patients sorted by their risk.

    One panel for each set. The credible intervals, around the posterior means, are a band; the
    bootstrap intervals, of the whole workflow repeated, stand as lines with the risk of the final
    model, or, where patients are too close for lines, as points at their two ends. A table of
    marks, each the means over several patients, shows no single patient, and the axis says so.

    Parameters
    ----------
    table : DataFrame, one row for each patient or mark
        ``set, credible_estimate, credible_lower, credible_upper, bootstrap_estimate,
        bootstrap_lower, bootstrap_upper, interval``; ``mark, patients`` where a row is a mark.
    thresholds : pair of float, optional
        Risks at which a decision changes, drawn as lines.
    use : float, optional
        The one threshold in use, drawn in place of both.
    width_mm : float, optional
        175 unless another one is given.

    Returns
    -------
    Figure
        One axes for each set, in the order of the table.

    Raises
    ------
    OptionError
        A table without rows or without the columns above.
    """
    columns = [f"{kind}_{end}" for kind in ("credible", "bootstrap") for end in _ENDS]
    style.require_columns(table, ("set", *columns, "interval"), "compare_risks")
    sets = {str(called): own for called, own in table.groupby("set", sort=False)}
    lines = {"threshold in use": (use,)} if use is not None else {"thresholds": thresholds or ()}
    width_mm = width_mm or style.DOUBLE_MM
    with style.journal():
        grid = _grid(len(sets), width_mm)
        dense = grid.width / max(len(own) for own in sets.values()) < _APART_MM
        keys = _risk_keys(table, lines, dense=dense)
        legend = style.legend_columns(list(keys), _LEGEND_SHARE * width_mm)
        top = _EDGE_MM + style.legend_mm(len(keys), legend) + _GAP_MM
        figure = style.blank_figure(width_mm, top + grid.height)
        ceiling = min(1.0, 1.05 * float(np.nanmax(table[columns].to_numpy(dtype=float))))
        for (called, own), (left, below) in zip(sets.items(), grid.corners, strict=True):
            axes = style.panel(figure, left, top + below, grid.width, grid.panel)
            draw = _draw_limits if dense else _draw_lines
            draw(axes, own.sort_values("credible_estimate"))
            for value in next(iter(lines.values())):
                axes.axhline(value, **_THRESHOLD)
            axes.set_ylim(0.0, ceiling)
            _name_set(axes, called, own)
        style.add_legend(figure, keys, left=_EDGE_MM, top=_EDGE_MM, columns=legend)
        figure.draw_without_rendering()
    return figure


_ENDS = ("estimate", "lower", "upper")
_BAND = "#CFCFCF"
_THRESHOLD: Mapping[str, Any] = MappingProxyType(
    {"color": INK, "linewidth": 0.8, "linestyle": (0, (1.5, 1.5)), "zorder": 4}
)


@dataclass(frozen=True)
class _Grid:
    """Panels of one size, their left and upper corners under the legend, in mm."""

    corners: tuple[tuple[float, float], ...]
    width: float
    panel: float
    height: float


def _grid(count: int, width: float) -> _Grid:
    """Sets beside each other where the figure is wide, otherwise under each other."""
    columns = min(count, 3) if width >= _SIDE_BY_SIDE else 1
    panel = _HIGH_MM if columns > 1 or count == 1 else _LOW_MM
    across = (width - _EDGE_MM) / columns
    down = _HEADING_MM + panel + predictor_rows.x_axis_mm(_RISK) + _GAP_MM
    corners = tuple(
        (_EDGE_MM + number % columns * across + _AXIS_MM, number // columns * down + _HEADING_MM)
        for number in range(count)
    )
    return _Grid(corners, across - _AXIS_MM - 2 * _EDGE_MM, panel, -(-count // columns) * down)


def _risk_keys(table: pd.DataFrame, lines: Mapping[str, tuple[float, ...]], *, dense: bool) -> Keys:
    level = predictor_rows.percent(table)
    credible, bootstrap = _LOOKS["credible"], _LOOKS["bootstrap"]
    keys: Keys = {"posterior mean": Line2D([], [], color=credible.colour, linewidth=1.0)}
    keys[f"{level} credible interval"] = Patch(facecolor=_BAND, linewidth=0)
    if dense:
        keys[f"limits of the {level} bootstrap interval"] = Line2D([], [], **_LIMIT, markersize=2.4)
    else:
        model = Line2D([], [], color=bootstrap.colour, marker=bootstrap.marker, markersize=2.6)
        model.set_linewidth(0.7)
        keys[f"final model, {level} bootstrap interval"] = model
    for words, values in lines.items():
        if values:
            said = " and ".join(f"{value:g}" for value in values)
            keys[f"{words}: {said}"] = Line2D([], [], **_THRESHOLD)
    return keys


_LIMIT: Mapping[str, Any] = MappingProxyType(
    {
        **{"linestyle": "none", "marker": "o", "color": _LOOKS["bootstrap"].colour},
        "markeredgewidth": 0.0,
    }
)


def _draw_band(axes: Axes, own: pd.DataFrame, *, edge: float) -> Any:
    """Credible intervals and posterior means; returns the places of the patients."""
    at = np.arange(1, len(own) + 1)
    colour = _LOOKS["credible"].colour
    limits = own["credible_lower"], own["credible_upper"]
    axes.fill_between(at, *limits, step="mid", color=_BAND, linewidth=0, zorder=1)
    for limit in limits if edge else ():
        axes.step(at, limit, where="mid", color=colour, linewidth=edge, zorder=1.5)
    axes.plot(at, own["credible_estimate"], color=colour, linewidth=1.0, zorder=3)
    axes.set_xlim(0.4, len(own) + 0.6)
    return at


def _draw_lines(axes: Axes, own: pd.DataFrame) -> None:
    """Each bootstrap interval as a line, with the risk of the final model."""
    at = _draw_band(axes, own, edge=0.4)
    mark = _LOOKS["bootstrap"]
    look: dict[str, Any] = {"color": mark.colour, "zorder": 2}
    axes.vlines(at, own["bootstrap_lower"], own["bootstrap_upper"], linewidth=0.7, **look)
    dots: dict[str, Any] = {"linestyle": "none", "markersize": 2.4, "markeredgewidth": 0.0}
    axes.plot(at, own["bootstrap_estimate"], marker=mark.marker, **dots, **look)


def _draw_limits(axes: Axes, own: pd.DataFrame) -> None:
    """The two ends of each bootstrap interval as points."""
    at = _draw_band(axes, own, edge=0.0)
    for end in ("lower", "upper"):
        axes.plot(at, own[f"bootstrap_{end}"], **_LIMIT, markersize=1.3, zorder=2)


def _name_set(axes: Axes, called: str, own: pd.DataFrame) -> None:
    """Say whose risks they are, and whether single patients are shown."""
    axes.locator_params(axis="x", integer=True, nbins=6)
    axes.set_xlabel("Patients, in order of risk")
    if "mark" in own:
        fewest = int(own["patients"].min())
        axes.set_xlabel(f"Groups of {fewest} patients or more, in order of risk")
    axes.set_ylabel(_RISK)
    heading = shared_words.SET_WORDS.get(called, called)
    style.write_names([axes.set_title(heading, loc="left")], style.names([called], [heading]))
