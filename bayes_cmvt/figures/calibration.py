"""Calibration: what was predicted beside what was observed, and what the posterior expects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import panel_rows, predictor_rows, shared_words, style
from bayes_cmvt.figures.panel_rows import Block
from bayes_cmvt.figures.style import BAND, DIM, FAINT, INK, MARKS

_SQUARE_MM, _HISTOGRAM_MM = 62.0, 16.0
_LAYER = MARKS[1]  # the posterior's own layer
_DOTTED = (0, (1, 1))
_FIGURES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "integrated_calibration_index": ("integrated calibration index", 3),
        "calibration_slope": ("calibration slope", 2),
        "calibration_intercept": ("intercept with a free slope", 2),
        "calibration_in_the_large": ("calibration in the large", 2),
    }
)
_CURVE = ("model", "set", "method", "risk", "observed", "lower", "upper", "interval")
_EXPECTED = ("model", "set", "risk", "median", "lower", "upper", "interval")
_BINS = ("model", "set", "risk_lower", "risk_upper", "patients", "events")


def plot_calibration(
    calibration: pd.DataFrame,
    expected_calibration: pd.DataFrame | None = None,
    risk_histogram: pd.DataFrame | None = None,
    performance: pd.DataFrame | None = None,
    *,
    model: str = "horseshoe",
    width_mm: float | None = None,
) -> Figure:
    """Observed share of events against predicted risk, a column for each set of patients.

    Above, the smooth curve with its band over patients, on patients left out where the model was
    fitted to the set; beside it as another layer what the posterior expects of the true risks,
    given the deployed ones. Below, how many patients with and without the event have each deployed
    risk.

    Parameters
    ----------
    calibration : DataFrame, one row for each point of a curve
        ``model, set, method, risk, observed, lower, upper, interval``.
    expected_calibration : DataFrame, optional
        ``model, set, risk, median, lower, upper, interval``.
    risk_histogram : DataFrame, optional
        ``model, set, risk_lower, risk_upper, patients, events``.
    performance : DataFrame, optional
        ``model, set, metric, estimate, lower, upper, method, interval_of``.
    model : str
        The model whose risks are judged.
    width_mm : float, optional
        85 for one set, otherwise 175.

    Returns
    -------
    Figure
        Axes of the curves first, those of the histograms after them.

    Raises
    ------
    OptionError
        A table without its columns, a calibration without rows or without the model.
    """
    style.require_columns(calibration, _CURVE, "calibration")
    chosen = calibration[calibration["model"].eq(model)]
    if chosen.empty:
        known = ", ".join(dict.fromkeys(calibration["model"]))
        msg = f"the table 'calibration' has no model {model!r}; it has {known}"
        raise OptionError(msg)
    curves = {name: _most_honest(chosen, name) for name in _sets(chosen)}
    layers = _of_model(expected_calibration, _EXPECTED, "expected_calibration", model)
    bins = _of_model(risk_histogram, _BINS, "risk_histogram", model)
    figures = _metrics(performance, model)
    width = width_mm or (style.SINGLE_MM if len(curves) == 1 else style.DOUBLE_MM)
    with style.journal():
        figure = style.blank_figure(width, style.PAGE_MM)
        limit = _limit([*curves.values(), layers])
        above = [
            _curve_block(figure, curve, layers[layers["set"].eq(name)], limit)
            for name, curve in curves.items()
        ]
        below = [_histogram_block(figure, bins[bins["set"].eq(name)], limit) for name in curves]
        notes = [
            "\n".join([_note(figures, curve), _whose_risks(curve, layers, bins)]).strip()
            for curve in curves.values()
        ]
        rows, heights = _rows(above, below, notes, width)
        panel_rows.arrange(figure, rows, heights, keys=_keys(calibration, layers, bins))
        figure.draw_without_rendering()
    return figure


def _sets(table: pd.DataFrame) -> list[str]:
    return shared_words.ranked(table["set"], shared_words.SET_WORDS)


def _most_honest(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Curve of a set by the best of its methods."""
    own = table[table["set"].eq(name)]
    return own[own["method"].eq(shared_words.ranked(own["method"], shared_words.METHOD_WORDS)[0])]


def _of_model(
    table: pd.DataFrame | None, columns: Sequence[str], called: str, model: str
) -> pd.DataFrame:
    """Rows of a model; a table that is not given is one without rows."""
    if table is None or table.empty:
        return pd.DataFrame(columns=list(columns))
    style.require_columns(table, columns, called)
    return table[table["model"].eq(model)]


def _metrics(performance: pd.DataFrame | None, model: str) -> pd.DataFrame:
    columns = ("model", "set", "metric", "estimate", "lower", "upper", "method", "interval_of")
    table = _of_model(performance, columns, "performance", model)
    return table[table["metric"].isin(_FIGURES) & table["interval_of"].eq("patients")]


def _limit(tables: Sequence[pd.DataFrame]) -> float:
    """Upper end of both axes: a round number above nearly everything that is drawn."""
    ends = [table[name].max() for table in tables if len(table) for name in ("risk", "upper")]
    highest = float(np.nanmax([0.05, *ends]))
    return min(1.0, float(np.ceil(highest * 10 + 1e-9)) / 10)


def _curve_block(figure: Figure, curve: pd.DataFrame, layer: pd.DataFrame, limit: float) -> Block:
    axes = style.panel(figure, 0.0, 0.0, 1.0, 1.0)
    axes.plot([0, limit], [0, limit], color=DIM, linewidth=0.6, linestyle=(0, (4, 2)), zorder=1)
    axes.fill_between(
        curve["risk"], curve["lower"], curve["upper"], color=BAND, linewidth=0, zorder=0
    )
    axes.plot(curve["risk"], curve["observed"], color=INK, linewidth=1.2, zorder=3)
    look: dict[str, Any] = {"color": _LAYER.colour, "zorder": 2}
    if len(layer):
        for name in ("lower", "upper"):
            axes.plot(layer["risk"], layer[name], linewidth=0.7, linestyle=_DOTTED, **look)
        axes.plot(layer["risk"], layer["median"], linewidth=1.0, linestyle=_LAYER.line, **look)
    axes.set(xlim=(0, limit), ylim=(0, limit), ylabel="Observed share with the event")
    _risk_ticks(axes.xaxis, limit)
    _risk_ticks(axes.yaxis, limit)
    name = str(curve["set"].iloc[0])
    method = str(curve["method"].iloc[0])
    words = shared_words.SET_WORDS.get(name, name)
    said = "" if method == "holdout" else f": {shared_words.METHOD_WORDS.get(method, method)}"
    return Block(axes, words + said)


def _risk_ticks(axis: Any, limit: float) -> None:
    ticks = np.linspace(0, limit, 5 if limit in (0.2, 0.4, 0.8, 1.0) else 6)
    axis.set_ticks(ticks, labels=[f"{tick:.3g}" for tick in ticks])


def _histogram_block(figure: Figure, bins: pd.DataFrame, limit: float) -> Block:
    """Patients with the event above the line, without it below; each with a scale of its own."""
    axes = style.panel(figure, 0.0, 0.0, 1.0, 1.0)
    inside = bins[bins["risk_lower"] < limit]
    left = inside["risk_lower"].to_numpy(dtype=float)
    wide = inside["risk_upper"].to_numpy(dtype=float) - left
    events = inside["events"].to_numpy(dtype=float)
    others = inside["patients"].to_numpy(dtype=float) - events
    look: dict[str, Any] = {"align": "edge", "linewidth": 0.4, "edgecolor": "white"}
    axes.bar(left, events, wide, color=INK, **look)
    axes.bar(left, -others, wide, color=FAINT, **look)
    axes.axhline(0.0, color=INK, linewidth=0.6)
    highest = max(1.0, float(events.max(initial=0.0)))
    lowest = max(1.0, float(others.max(initial=0.0)))
    axes.set(xlim=(0, limit), ylim=(-1.05 * lowest, 1.05 * highest), ylabel="Patients")
    ticks = [-lowest, 0.0, highest] if highest > 0.45 * lowest else [-lowest, 0.0]
    axes.set_yticks(ticks, labels=[f"{abs(tick):.0f}" for tick in ticks])
    _risk_ticks(axes.xaxis, limit)
    axes.set_xlabel("Predicted risk")
    return Block(axes)


def _note(figures: pd.DataFrame, curve: pd.DataFrame) -> str:
    """The numbers of a set, by the method of its curve."""
    name, method = curve["set"].iloc[0], curve["method"].iloc[0]
    own = figures[figures["set"].eq(name) & figures["method"].eq(method)]
    known: dict[Any, Any] = own.drop_duplicates("metric").set_index("metric").to_dict("index")
    lines = []
    for metric, (words, digits) in _FIGURES.items():
        if metric in known:
            row = known[metric]
            text = shared_words.interval_text(row["estimate"], row["lower"], row["upper"], digits)
            lines.append(f"{words}: {text}")
    level = (
        f"({predictor_rows.percent(own)} intervals over patients)"
        if lines and "interval" in own
        else ""
    )
    return "\n".join([*lines, level]).rstrip()


def _whose_risks(curve: pd.DataFrame, layers: pd.DataFrame, bins: pd.DataFrame) -> str:
    """What is said where the curve is of other risks than what is drawn around it."""
    method = str(curve["method"].iloc[0])
    if method in ("holdout", "apparent"):
        return ""
    name = curve["set"].iloc[0]
    parts = (("the model layer", layers), ("the histogram", bins))
    others = [words for words, table in parts if table["set"].eq(name).any()]
    if not others:
        return ""
    are = "are" if len(others) > 1 else "is"
    judged = shared_words.METHOD_WORDS.get(method, method)
    return f"The curve is {judged}; {' and '.join(others)} {are} of the deployed risks"


def _rows(
    above: Sequence[Block], below: Sequence[Block], notes: Sequence[str], width: float
) -> tuple[list[list[Block]], list[float]]:
    """Each row of curves with the histograms under it, whose notes stand below both."""
    across = panel_rows.columns_of(len(above), width)
    noted = [Block(each.axes, note=note) for each, note in zip(below, notes, strict=True)]
    rows: list[list[Block]] = []
    for first in range(0, len(above), across):
        rows += [list(above[first : first + across]), noted[first : first + across]]
    square = min(_SQUARE_MM, width / across - 16.0)
    return rows, [square, _HISTOGRAM_MM] * (len(rows) // 2)


def _keys(calibration: pd.DataFrame, layers: pd.DataFrame, bins: pd.DataFrame) -> dict[str, Any]:
    level = predictor_rows.percent(calibration)
    keys: dict[str, Any] = {
        "observed, smoothed": Line2D([], [], color=INK, linewidth=1.2),
        f"{level} band over patients": Patch(facecolor=BAND, linewidth=0),
        "perfect calibration": Line2D([], [], color=DIM, linewidth=0.6, linestyle=(0, (4, 2))),
    }
    if len(layers):
        look: dict[str, Any] = {"color": _LAYER.colour, "linestyle": _LAYER.line}
        keys["truth that the model expects at a risk"] = Line2D([], [], linewidth=1.0, **look)
        look["linestyle"] = _DOTTED
        keys[f"its {predictor_rows.percent(layers)} limits over draws"] = Line2D(
            [], [], linewidth=0.7, **look
        )
    if len(bins):
        keys["patients with the event"] = Patch(facecolor=INK, linewidth=0)
        keys["patients without it"] = Patch(facecolor=FAINT, linewidth=0)
    return keys
