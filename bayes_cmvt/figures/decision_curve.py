"""Decision curves: net benefit by threshold, and how surely a model is worth using there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import panel_rows, predictor_rows, shared_words, style
from bayes_cmvt.figures.panel_rows import Block
from bayes_cmvt.figures.style import BAND, DIM, FAINT, INK, MARKS

ALL, NONE = "treat_all", "treat_none"
_CURVES_MM, _USEFUL_MM, _THIN = 58.0, 22.0, 0.45
_BELOW = 0.18  # of the highest net benefit: how far under none the axis goes
_EXPECTED = MARKS[4]
_THRESHOLD = "Threshold probability"
_THIN_WORDS = (
    "Thin P(useful): few patients on one side, or the same patients treated as by all or none"
)
_NEEDED = ("set", "strategy", "threshold", "net_benefit", "lower", "upper", "prob_useful")
_EXPECTATION = ("expected_net_benefit", "expected_lower", "expected_upper")


def plot_decision_curve(
    net_benefit: pd.DataFrame, use: float | None = None, *, width_mm: float | None = None
) -> Figure:
    """Net benefit of each model, of treating all and none, a column for each set of patients.

    The band is over patients; that of the first model is filled, the others have thin limits. What
    the posterior expects of the deployed rule is a line of its own with limits over draws. Below,
    P(useful): in which share of the replicates of the patients a model beats both all and none,
    drawn thin where the table has a note (few patients on one side, the same patients treated).
    Net benefits far under that of treating none are cut off.

    Parameters
    ----------
    net_benefit : DataFrame, one row for each set, strategy and threshold
        ``set, strategy, threshold, net_benefit, lower, upper, prob_useful, interval``;
        ``expected_net_benefit, expected_lower, expected_upper, method, note`` where there are any.
    use : float, optional
        Threshold that the study declares.
    width_mm : float, optional
        85 for one set, otherwise 175.

    Returns
    -------
    Figure
        Axes of the net benefits first, then those of P(useful).

    Raises
    ------
    OptionError
        A table without the columns above, without rows or without a model.
    """
    style.require_columns(net_benefit, (*_NEEDED, "interval"), "net_benefit")
    sets = shared_words.ranked(net_benefit["set"], shared_words.SET_WORDS)
    found = [name for name in net_benefit["strategy"] if name not in (ALL, NONE)]
    models = shared_words.ranked(found, shared_words.MODEL_WORDS)[:3]
    if not models:
        msg = f"the table 'net_benefit' has no model, only {ALL} and {NONE}"
        raise OptionError(msg)
    width = width_mm or (style.SINGLE_MM if len(sets) == 1 else style.DOUBLE_MM)
    with style.journal():
        figure = style.blank_figure(width, style.PAGE_MM)
        tables = [net_benefit[net_benefit["set"].eq(name)] for name in sets]
        upper = [_benefit_block(figure, table, models, use) for table in tables]
        lower = [_useful_block(figure, table, models, use) for table in tables]
        across = panel_rows.columns_of(len(sets), width)
        rows: list[list[Block]] = []
        for first in range(0, len(sets), across):
            rows += [upper[first : first + across], lower[first : first + across]]
        heights = [_CURVES_MM, _USEFUL_MM] * (len(rows) // 2)
        noted = "note" in net_benefit and bool(net_benefit["note"].notna().any())
        keys = _keys(net_benefit, models, use)
        panel_rows.arrange(figure, rows, heights, keys=keys, note=_THIN_WORDS if noted else "")
        figure.draw_without_rendering()
    return figure


def _benefit_block(
    figure: Figure, table: pd.DataFrame, models: Sequence[str], use: float | None
) -> Block:
    axes = style.panel(figure, 0.0, 0.0, 1.0, 1.0)
    for model in reversed(models):
        _draw_model(axes, _of(table, model), model, filled=model == models[0])
    _draw_expected(axes, _of(table, _expecting(table, models)))
    everybody, nobody = _of(table, ALL), _of(table, NONE)
    axes.plot(everybody["threshold"], everybody["net_benefit"], **_reference(ALL), zorder=2)
    axes.plot(nobody["threshold"], nobody["net_benefit"], **_reference(NONE), zorder=2)
    _threshold_axis(axes, table, use)
    axes.set_ylim(_range(table))
    axes.set_ylabel("Net benefit (true positives per patient)")
    axes.set_xticklabels([])
    return Block(axes, _heading(table))


def _of(table: pd.DataFrame, strategy: str) -> pd.DataFrame:
    return table[table["strategy"].eq(strategy)].sort_values("threshold")


def _heading(table: pd.DataFrame) -> str:
    name = str(table["set"].iloc[0])
    words = shared_words.SET_WORDS.get(name, name)
    methods = [
        each for each in table.get("method", pd.Series(dtype=str)).unique() if pd.notna(each)
    ]
    if len(methods) != 1 or methods[0] == "holdout":
        return words
    return f"{words}: {shared_words.METHOD_WORDS.get(methods[0], methods[0])}"


def _range(table: pd.DataFrame) -> tuple[float, float]:
    """Ends of the net benefit: all of the upper side, of the lower one what can be told apart."""
    drawn = table[table["strategy"] != NONE]
    highest = float(np.nanmax([drawn["net_benefit"].max(), drawn["upper"].max(), 0.01]))
    models = drawn[drawn["strategy"] != ALL]
    lowest = float(np.nanmin([models["net_benefit"].min(), models["lower"].min(), 0.0]))
    floor = max(lowest - 0.03 * highest, -_BELOW * highest)
    return min(floor, -0.05 * highest), 1.04 * highest


def _draw_model(axes: Axes, curve: pd.DataFrame, model: str, *, filled: bool) -> None:
    mark, threshold = shared_words.model_mark(model), curve["threshold"]
    look: dict[str, Any] = {"color": mark.colour, "linestyle": mark.line}
    if filled:
        limits = curve["lower"], curve["upper"]
        axes.fill_between(threshold, *limits, color=BAND, linewidth=0, zorder=0)
    else:
        for limit in ("lower", "upper"):
            axes.plot(threshold, curve[limit], linewidth=_THIN, zorder=1, **look)
    axes.plot(threshold, curve["net_benefit"], linewidth=1.2, zorder=4, **look)


def _expecting(table: pd.DataFrame, models: Sequence[str]) -> str:
    """First model whose draws say what to expect; none where there is no such model."""
    return next((model for model in models if _has_expectation(_of(table, model))), "")


def _draw_expected(axes: Axes, curve: pd.DataFrame) -> None:
    """What the posterior expects of the deployed rule."""
    if curve.empty:
        return
    look: dict[str, Any] = {"color": _EXPECTED.colour, "zorder": 3}
    threshold, value = curve["threshold"], curve["expected_net_benefit"]
    axes.plot(threshold, value, **_expected_look(), markevery=max(1, len(curve) // 12))
    for limit in ("expected_lower", "expected_upper"):
        axes.plot(threshold, curve[limit], linewidth=0.6, linestyle=(0, (1, 1.5)), **look)


def _expected_look() -> dict[str, Any]:
    """Hollow circles on a thin line: no dashes, which in grey would be those of another model."""
    look: dict[str, Any] = {"color": _EXPECTED.colour, "linestyle": "-", "zorder": 4.5}
    look |= {"linewidth": 0.6, "marker": "o", "markersize": 3.2}
    return look | {"markerfacecolor": "white", "markeredgewidth": 0.8}


def _has_expectation(table: pd.DataFrame) -> bool:
    return all(name in table and bool(table[name].notna().any()) for name in _EXPECTATION)


def _reference(strategy: str) -> dict[str, Any]:
    if strategy == NONE:
        return {"color": INK, "linewidth": 0.6, "linestyle": "-"}
    return {"color": DIM, "linewidth": 1.0, "linestyle": (0, (6, 2, 1, 2))}


def _useful_block(
    figure: Figure, table: pd.DataFrame, models: Sequence[str], use: float | None
) -> Block:
    """P(useful) of each model; lines are thin at thresholds that have a note."""
    axes = style.panel(figure, 0.0, 0.0, 1.0, 1.0)
    for model in models:
        curve, mark = _of(table, model), shared_words.model_mark(model)
        look: dict[str, Any] = {"color": mark.colour, "linestyle": mark.line, "zorder": 3}
        value = curve["prob_useful"]
        noted = (
            curve["note"].notna() if "note" in curve else pd.Series(data=False, index=curve.index)
        )
        axes.plot(curve["threshold"], value, linewidth=_THIN, **look)
        axes.plot(curve["threshold"], value.mask(noted), linewidth=1.2, **look)
    axes.axhline(0.5, color=FAINT, linewidth=0.4, zorder=1)
    _threshold_axis(axes, table, use)
    axes.set(ylim=(-0.03, 1.03), ylabel="P(useful)", xlabel=_THRESHOLD)
    axes.set_yticks([0, 0.5, 1], labels=["0", "0.5", "1"])
    return Block(axes)


def _threshold_axis(axes: Axes, table: pd.DataFrame, use: float | None) -> None:
    ends = float(table["threshold"].min()), float(table["threshold"].max())
    axes.set_xlim(ends if ends[0] < ends[1] else (ends[0] - 0.01, ends[1] + 0.01))
    axes.locator_params(axis="x", nbins=7)
    if use is not None:
        axes.axvline(use, color=INK, linewidth=0.6, linestyle=(0, (1, 2)), zorder=1)


def _keys(table: pd.DataFrame, models: Sequence[str], use: float | None) -> dict[str, Any]:
    level = predictor_rows.percent(table)
    words = [shared_words.MODEL_WORDS.get(model, model) for model in models]
    keys: dict[str, Any] = {
        text: shared_words.model_key(model) for text, model in zip(words, models, strict=True)
    }
    keys["treat all"] = Line2D([], [], **_reference(ALL))
    keys["treat none"] = Line2D([], [], **_reference(NONE))
    keys[f"{level} band over patients, {words[0]}"] = Patch(facecolor=BAND, linewidth=0)
    if len(models) > 1:
        thin: dict[str, Any] = {"linewidth": _THIN, "color": DIM, "linestyle": "--"}
        keys[f"limits of the {level} bands of the other models"] = Line2D([], [], **thin)
    if _expecting(table, models):
        owner = _expecting(table, models)
        text = f"expected under the model, {shared_words.MODEL_WORDS.get(owner, owner)}"
        keys[text] = Line2D([], [], **_expected_look())
        dots: dict[str, Any] = {"color": _EXPECTED.colour, "linestyle": (0, (1, 1.5))}
        keys[f"its {level} limits over draws"] = Line2D([], [], linewidth=0.6, **dots)
    if use is not None:
        dotted: dict[str, Any] = {"color": INK, "linewidth": 0.6, "linestyle": (0, (1, 2))}
        keys[f"threshold of the study: {use:g}"] = Line2D([], [], **dotted)
    return keys
