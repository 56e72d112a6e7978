"""Predictive checks: events that the model expects before and after the data, beside those seen."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayes_cmvt.figures import panel_rows, predictor_rows, style
from bayes_cmvt.figures.panel_rows import Block
from bayes_cmvt.figures.style import FAINT, INK, MARKS

_CHECKS = ("check", "distribution", "group", "label", "patients", "observed", "median", "lower")
_EVENTS = ("distribution", "events", "probability", "observed")
_BEFORE_AFTER: Mapping[str, str] = MappingProxyType(
    {"prior": "Before the data", "posterior": "Given the data"}
)
_PANEL_MM, _ROW_MM, _MOST, _BARS, _NARROW_MM = 34.0, 3.5, 30, 50, 120.0
_SEEN = MARKS[1]  # what was observed


def plot_predictive_checks(
    predictive_checks: pd.DataFrame,
    predictive_events: pd.DataFrame,
    *,
    width_mm: float | None = None,
) -> Figure:
    """Events that prior and posterior predict, beside those observed.

    Above, how probable each number of events is before and given the data, and the events in
    groups of rising risk; below, the share with the event at each level of the predictors. Where
    there are many levels those with the smallest P values are drawn, and the others counted.

    Parameters
    ----------
    predictive_checks : DataFrame, one row for each distribution and group
        ``check, distribution, group, label, patients, observed, median, lower, upper, p_value,
        interval``.
    predictive_events : DataFrame, one row for each distribution and number of events
        ``distribution, events, probability, observed``.
    width_mm : float, optional
        175 unless given.

    Returns
    -------
    Figure
        Axes: numbers of events (prior, posterior), groups of risk, levels of predictors; those
        that the tables say nothing of are left out.

    Raises
    ------
    OptionError
        A table without the columns above or without rows.
    """
    columns = (*_CHECKS, "upper", "p_value", "interval")
    style.require_columns(predictive_checks, columns, "predictive_checks")
    style.require_columns(predictive_events, _EVENTS, "predictive_events")
    width = width_mm or style.DOUBLE_MM
    given_data = predictive_checks[predictive_checks["distribution"].eq("posterior")]
    groups = given_data[given_data["check"].eq("risk_group")]
    levels = given_data[given_data["check"].eq("predictor")]
    drawn = predictor_rows.strongest(levels, -levels["p_value"], _MOST)
    with style.journal():
        figure = style.blank_figure(width, style.PAGE_MM)
        above = [
            _event_block(figure, own, name)
            for name in _BEFORE_AFTER
            if len(own := predictive_events[predictive_events["distribution"].eq(name)])
        ]
        above += [_group_block(figure, groups)] if len(groups) else []
        across = 2 if width < _NARROW_MM else 3
        rows = panel_rows.in_rows(above, across)
        heights = [_PANEL_MM] * len(rows)
        if len(drawn):
            rows.append([_level_block(figure, drawn, width)])
            heights.append(_ROW_MM * len(drawn))
        note = _left_out(levels, drawn)
        panel_rows.arrange(figure, rows, heights, keys=_keys(predictive_checks), note=note)
        figure.draw_without_rendering()
    return figure


def _event_block(figure: Figure, events: pd.DataFrame, name: str) -> Block:
    """Probability of each number of events, in bars of a few numbers where there are many."""
    axes = style.panel(figure, 0.0, 0.0, 1.0, 1.0)
    own = events.sort_values("events")
    seen = float(own["observed"].iloc[0])
    number, share = own["events"].to_numpy(dtype=float), own["probability"].to_numpy(dtype=float)
    inside = number[share > share.max() / 1000]
    low, high = min(inside.min(), seen), max(inside.max(), seen)
    wide = max(1.0, np.ceil((high - low + 1) / _BARS))
    starts = np.arange(low, high + 1, wide)
    place = np.floor((number - low) / wide).astype(int)
    kept = (place >= 0) & (place < len(starts))
    heights = np.bincount(place[kept], share[kept], minlength=len(starts))
    axes.bar(starts - 0.5, heights, wide, align="edge", color=FAINT, linewidth=0)
    axes.axvline(seen, **_seen_line())
    axes.set(xlabel="Patients with the event", ylabel="Probability", ylim=(0, None))
    axes.set_xlim(low - 0.5 - wide, high + 0.5 + wide)
    axes.locator_params(nbins=4)
    many = f", {wide:.0f} numbers a bar" if wide > 1 else ""
    return Block(axes, f"{_BEFORE_AFTER[name]}{many}")


def _seen_line() -> dict[str, Any]:
    return {"color": _SEEN.colour, "linewidth": 1.2, "linestyle": _SEEN.line, "zorder": 4}


def _seen_mark(size: float) -> dict[str, Any]:
    look = {"color": _SEEN.colour, "marker": _SEEN.marker, "markersize": size, "zorder": 4}
    return {**look, "linestyle": "none"}


def _predicted_mark(size: float) -> dict[str, Any]:
    look = {"color": INK, "marker": "o", "markersize": size, "zorder": 3, "linestyle": "none"}
    return {**look, "markerfacecolor": "white", "markeredgewidth": 0.8}


def _group_block(figure: Figure, groups: pd.DataFrame) -> Block:
    axes = style.panel(figure, 0.0, 0.0, 1.0, 1.0)
    place = np.arange(1, len(groups) + 1)
    axes.vlines(place, groups["lower"], groups["upper"], color=INK, linewidth=0.9, zorder=2)
    axes.plot(place, groups["median"], **_predicted_mark(4.4))
    axes.plot(place, groups["observed"], **_seen_mark(2.8))
    axes.set(xlim=(0.4, len(groups) + 0.6), ylim=(0, None))
    axes.set(xlabel="Group of patients, by rising risk", ylabel="Patients with the event")
    axes.set_xticks(place[:: max(1, len(place) // 5)])
    axes.locator_params(axis="y", nbins=5, integer=True)
    return Block(axes, "Groups of risk")


def _level_block(figure: Figure, levels: pd.DataFrame, width_mm: float) -> Block:
    """Share with the event at each level, one row each."""
    axes = style.panel(figure, 0.0, 0.0, 1.0, 1.0)
    labels = levels["label"].fillna("").astype(str).tolist()
    called = style.names(levels["group"].astype(str).tolist(), labels)
    predictor_rows.draw_rows(axes, predictor_rows.name_rows(called, 0.42 * width_mm, _ROW_MM))
    share = levels[["observed", "median", "lower", "upper"]].div(levels["patients"], axis="index")
    _draw_shares(axes, share)
    axes.set_xlabel("Share of patients with the event")
    axes.locator_params(axis="x", nbins=6)
    return Block(axes, "Levels of the predictors")


def _draw_shares(axes: Axes, share: pd.DataFrame) -> None:
    place = np.arange(len(share))
    axes.hlines(place, share["lower"], share["upper"], color=INK, linewidth=0.9, zorder=2)
    axes.plot(share["median"], place, **_predicted_mark(3.8))
    axes.plot(share["observed"], place, **_seen_mark(2.4))
    highest = float(np.nanmax(share.to_numpy(dtype=float)))
    axes.set_xlim(0, min(1.02, max(1.06 * highest, 0.01)))


def _left_out(levels: pd.DataFrame, drawn: pd.DataFrame) -> str:
    """How many levels are not drawn, and what is known of them."""
    others = levels.drop(drawn.index)
    if others.empty:
        return ""
    least = float(others["p_value"].min())
    return f"{len(others)} more levels, each with a predictive P of {least:.2g} or more"


def _keys(checks: pd.DataFrame) -> dict[str, Any]:
    level = predictor_rows.percent(checks)
    return {
        "observed": Line2D([], [], **{**_seen_mark(3.4), "linestyle": _SEEN.line}),
        "probability of each number of events": Patch(facecolor=FAINT, linewidth=0),
        f"predicted given the data: median, {level} interval": Line2D(
            [], [], **{**_predicted_mark(4.0), "linestyle": "-"}
        ),
    }
