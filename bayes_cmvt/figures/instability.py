"""Figure of the instability: how predictions change when the model is learnt again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import predictor_rows, style
from bayes_cmvt.figures.style import DIM, INK

Keys = dict[str, Any]  # words of the legend to what is drawn beside them

_EDGE_MM, _GAP_MM = 2.0, 3.0
_AXIS_MM = 16.5  # numbers and title of the vertical axis
_PANEL_MM = (30.0, 37.0)  # heights in a narrow and in a wide figure
_WIDE = 130.0  # mm
_LEGEND_SHARE = 0.94  # of the width; on a screen letters are a little wider than on paper
_LINES = 150  # more patients than that are drawn as the two ends of their lines
_MODELS: Mapping[str, str] = MappingProxyType(
    {
        "baseline": "Workflow repeated on each resample",
        "horseshoe": "Draws of one posterior: draw instability",
    }
)
_RISK, _OWN_RISK = "Risk by the model", "Risk by one resample or draw"
_COLOUR = style.MARKS[1].colour
_CURVE = "#7F7F7F"
_DIAGONAL: Mapping[str, Any] = MappingProxyType(
    {"color": INK, "linewidth": 0.8, "linestyle": (0, (4, 2))}
)


def plot_instability(
    instability: pd.DataFrame,
    instability_calibration: pd.DataFrame,
    *,
    patients: str = "development",
    width_mm: float | None = None,
) -> Figure:
    """Instability of predictions, classes and calibration, models beside each other.

    From the top: the range of a patient's risk over the models of all resamples against the risk by
    the final model; the mean absolute difference between them; the share of the resamples that put
    the patient on another side of a threshold, left out where there is no threshold; the
    calibration curves of single resamples' models, cut at 0 and 1 (Riley & Collins 2023,
    doi:10.1002/bimj.202200302). Draws of a posterior in place of resamples show draw instability:
    what is not known about one model, and not how the next data set would change it.

    Parameters
    ----------
    instability : DataFrame, one row for each patient or mark
        ``model`` (``baseline``, ``horseshoe``), ``set, risk, lower, upper, mean_absolute_error,
        class_instability, interval``; ``mark, patients`` where a row is a mark, ``threshold``
        what the classes are.
    instability_calibration : DataFrame, one row for each point of a curve
        ``model, set, resample, risk, observed``; no rows where no curve was possible.
    patients : str
        The set that is drawn.
    width_mm : float, optional
        175 unless another one is given.

    Returns
    -------
    Figure
        Axes: the panels of the first model from the top, then those of the next.

    Raises
    ------
    OptionError
        A table without the columns above, no rows of that set or of those models.
    """
    columns = ("model", "set", "risk", "lower", "upper", "mean_absolute_error", "interval")
    style.require_columns(instability, (*columns, "class_instability"), "instability")
    curves = instability_calibration
    if len(curves):
        needed = ("model", "set", "resample", "risk", "observed")
        style.require_columns(curves, needed, "instability_calibration")
        curves = curves[curves["set"] == patients]
    table = _chosen(instability, patients)
    models = [model for model in _MODELS if table["model"].eq(model).any()]
    width_mm = width_mm or style.DOUBLE_MM
    with style.journal():
        page = _page(table, curves, models, width_mm)
        figure = style.blank_figure(width_mm, page.bottom)
        for place, model in enumerate(models):
            panels = _panels(figure, page, place)
            _draw_model(panels, table[table["model"] == model], page)
            own = curves[curves["model"] == model] if len(curves) else curves
            _draw_curves(panels["curves"], own, page)
            panels["risk"].set_title(page.headings[place], fontsize=style.SMALL, loc="left")
            if place == 0:
                _name_panels(panels, page)
        keys = _keys(table)
        style.add_legend(figure, keys, left=_EDGE_MM, top=_EDGE_MM, columns=page.legend_columns)
        figure.draw_without_rendering()
    return figure


def _chosen(instability: pd.DataFrame, patients: str) -> pd.DataFrame:
    known = instability["model"].isin(_MODELS)
    table = instability[known & instability["set"].eq(patients)]
    if table.empty:
        sets = ", ".join(sorted(set(instability["set"].astype(str))))
        msg = f"the table 'instability' has no patients of the set {patients!r} to draw"
        raise OptionError(msg, [f"its sets are {sets}; its models must be {' or '.join(_MODELS)}"])
    return table


@dataclass(frozen=True)
class _Page:
    """Places in mm from the left and the top, words and ends of the axes."""

    rows: tuple[str, ...]
    headings: tuple[str, ...]
    legend_columns: int
    top: float
    across: float  # a column of panels, its axis included
    panel: float
    level: str
    threshold: str
    dense: bool
    highest: Mapping[str, float]  # of the vertical axis of each row

    @property
    def width(self) -> float:
        return self.across - _AXIS_MM - 2 * _EDGE_MM

    @property
    def own_risk(self) -> str:
        return style.filled(_OWN_RISK, self.width)

    @property
    def tops(self) -> tuple[float, ...]:
        """Panels follow each other closely, except the last, whose horizontal axis is its own."""
        last = len(self.rows) - 1
        extra = predictor_rows.x_axis_mm(_RISK)
        return tuple(
            self.top + row * (self.panel + _GAP_MM) + (extra if row == last else 0.0)
            for row in range(len(self.rows))
        )

    @property
    def bottom(self) -> float:
        return self.tops[-1] + self.panel + predictor_rows.x_axis_mm(self.own_risk) + _EDGE_MM


def _page(table: pd.DataFrame, curves: pd.DataFrame, models: list[str], width_mm: float) -> _Page:
    rows = ["risk", "mean_absolute_error", "class_instability", "curves"]
    if not table["class_instability"].notna().any():
        rows.remove("class_instability")
    keys = _keys(table)
    columns = style.legend_columns(list(keys), _LEGEND_SHARE * width_mm)
    across = (width_mm - _EDGE_MM) / len(models)
    room = across - _AXIS_MM - 2 * _EDGE_MM
    headings = tuple(style.filled(_MODELS[model], room, style.SMALL) for model in models)
    above = style.lines_mm(max(1 + heading.count("\n") for heading in headings)) + 2.0
    named = table["threshold"].dropna() if "threshold" in table else table["risk"].iloc[:0]
    return _Page(
        tuple(rows),
        headings,
        columns,
        top=_EDGE_MM + style.legend_mm(len(keys), columns) + _GAP_MM + above,
        across=across,
        panel=_PANEL_MM[width_mm >= _WIDE],
        level=predictor_rows.percent(table),
        threshold=str(named.iloc[0]) if len(named) else "",
        dense=_dense(table),
        highest=_highest(table, curves),
    )


def _highest(table: pd.DataFrame, curves: pd.DataFrame) -> Mapping[str, float]:
    """Ends of the axes: the same for all models, never above 1."""

    def end(values: pd.Series[float]) -> float:
        found = float(values.max())
        return min(1.0, 1.05 * found) if found > 0 else 1.0

    shares = {name: end(table[name]) for name in ("mean_absolute_error", "class_instability")}
    own = end(curves["risk"]) if len(curves) else 1.0
    return {"risk": end(table[["risk", "upper"]].max()), "curves": own, **shares}


def _panels(figure: Figure, page: _Page, place: int) -> dict[str, Axes]:
    left = _EDGE_MM + place * page.across + _AXIS_MM
    return {
        row: style.panel(figure, left, top, page.width, page.panel)
        for row, top in zip(page.rows, page.tops, strict=True)
    }


def _keys(table: pd.DataFrame) -> Keys:
    """What a point, a line and a curve are."""
    who = "a patient"
    if "mark" in table:
        who = f"means of {int(table['patients'].min())} patients or more"
    dots: dict[str, Any] = {"linestyle": "none", "marker": "s", "markersize": 3.0}
    dot = Line2D([], [], color=_COLOUR, markeredgewidth=0.0, **dots)
    level = predictor_rows.percent(table)
    if _dense(table):
        keys: Keys = {who: dot, f"in the top row: ends of the {level} range": dot}
    else:
        line = Line2D([], [], color=_COLOUR, linewidth=1.0)
        keys = {f"{level} range over resamples or draws": line, who: dot}
    keys["one resample or draw"] = Line2D([], [], color=_CURVE, linewidth=0.6)
    keys["no difference"] = Line2D([], [], **_DIAGONAL)
    return keys


def _dense(table: pd.DataFrame) -> bool:
    """Whether there are too many patients for a line each."""
    return bool(table["model"].value_counts().max() > _LINES)


def _draw_model(panels: Mapping[str, Axes], own: pd.DataFrame, page: _Page) -> None:
    """Patients of one model in the panels above the curves."""
    dots: dict[str, Any] = {"linestyle": "none", "marker": "s", "color": _COLOUR}
    dots |= {"markersize": 1.2 if page.dense else 2.4, "markeredgewidth": 0.0}
    axes = panels["risk"]
    axes.plot([0, 1], [0, 1], **_DIAGONAL, zorder=3)
    if page.dense:
        for end in ("lower", "upper"):
            axes.plot(own["risk"], own[end], **dots)
    else:
        axes.vlines(own["risk"], own["lower"], own["upper"], color=_COLOUR, linewidth=0.8)
    for name in ("mean_absolute_error", "class_instability"):
        if name in panels:
            panels[name].plot(own["risk"], own[name], **dots, clip_on=False)
    for name in page.rows[:-1]:
        panels[name].set(xlim=(0.0, page.highest["risk"]), ylim=(0.0, page.highest[name]))
        panels[name].tick_params(axis="x", labelbottom=name == page.rows[-2])
        _few_ticks(panels[name], page)
    panels[page.rows[-2]].set_xlabel(_RISK)


def _few_ticks(axes: Axes, page: _Page) -> None:
    """As many numbers as have room, without noughts at their ends."""
    axes.xaxis.set_major_locator(MaxNLocator(4 if page.width >= 40.0 else 2))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _draw_curves(axes: Axes, own: pd.DataFrame, page: _Page) -> None:
    """One thin curve for each resample or draw, on the patients of the cohort, and how many."""
    known = own.dropna(subset=["risk", "observed"]).sort_values("resample", kind="stable")
    points = np.column_stack([known["risk"], known["observed"].clip(0.0, 1.0)]).astype(float)
    starts = np.flatnonzero(np.diff(known["resample"].to_numpy())) + 1
    lines = np.split(points, starts) if len(points) else []
    axes.add_collection(LineCollection(lines, colors=_CURVE, linewidths=0.25, zorder=1))
    axes.plot([0, 1], [0, 1], **_DIAGONAL, zorder=3)
    axes.set(xlim=(0.0, page.highest["curves"]), ylim=(0.0, 1.0))
    if not lines:
        place: dict[str, Any] = {"ha": "left", "va": "top", "transform": axes.transAxes}
        axes.text(0.02, 0.98, "no curve", color=DIM, **place)
    elif len(lines) == 1:
        _write_count(axes, "1 curve")
    else:
        _write_count(axes, f"{len(lines)} curves")
    axes.set_xlabel(page.own_risk)
    _few_ticks(axes, page)


def _write_count(axes: Axes, words: str) -> None:
    """Over the panel: a model whose risk is the same for all has no curve, and is not counted."""
    axes.set_title(words, fontsize=style.SMALL, color=DIM, loc="right", pad=2.0)


def _name_panels(panels: Mapping[str, Axes], page: _Page) -> None:
    """Titles of the vertical axes, all on one line."""
    classes = f"Share on another\nside of {page.threshold}" if page.threshold else "Change of class"
    words = {
        "risk": f"Risk, {page.level}\nrange",
        "mean_absolute_error": "Mean absolute\ndifference",
        "class_instability": classes,
        "curves": "Observed\nshare",
    }
    room = _AXIS_MM - 1.0
    for row, axes in panels.items():
        axes.set_ylabel(words[row])
        axes.yaxis.set_label_coords(-room / page.width, 0.5)
        axes.yaxis.label.set_verticalalignment("top")
        axes.yaxis.label.set_parse_math(False)
