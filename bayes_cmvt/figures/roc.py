"""Receiver operating characteristic of each model, with its band over patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayes_cmvt.figures import panel_rows, predictor_rows, shared_words, style
from bayes_cmvt.figures.panel_rows import Block
from bayes_cmvt.figures.style import BAND, DIM, FAINT

MODELS = ("horseshoe", "baseline", "projection")
_LEFT_OUT = "leave_pair_out_auc"  # of pooled left-out risks no AUC is printed: METHODS, section 6
_SQUARE_MM, _THIN = 68.0, 0.45


def plot_roc(
    roc: pd.DataFrame, performance: pd.DataFrame, *, width_mm: float | None = None
) -> Figure:
    """Sensitivity against false positives at every threshold, a panel for each set of patients.

    Each curve has its band over patients; that of the first model is filled, the others have thin
    limits. Under each panel the AUC of each model: for patients to whom the model was fitted the
    one that is judged on patients left out, by the same method for all models where there is one,
    and beside it that of the apparent curve.

    Parameters
    ----------
    roc : DataFrame, one row for each model, set and false positive rate
        ``model, set, method, false_positive_rate, sensitivity, lower, upper, interval``.
    performance : DataFrame
        ``model, set, metric, estimate, lower, upper, method, interval_of``.
    width_mm : float, optional
        85 for one set, otherwise 175.

    Returns
    -------
    Figure
        One axes for each set.

    Raises
    ------
    OptionError
        A table without the columns above or without rows.
    """
    needed = ("model", "set", "method", "false_positive_rate", "sensitivity", "lower", "upper")
    style.require_columns(roc, (*needed, "interval"), "roc")
    figures = ("model", "set", "metric", "estimate", "lower", "upper", "method", "interval_of")
    style.require_columns(performance, figures, "performance")
    sets = shared_words.ranked(roc["set"], shared_words.SET_WORDS)
    models = drawn_models(roc["model"])
    width = width_mm or (style.SINGLE_MM if len(sets) == 1 else style.DOUBLE_MM)
    with style.journal():
        figure = style.blank_figure(width, style.PAGE_MM)
        across = panel_rows.columns_of(len(sets), width)
        blocks = [_block(figure, roc, performance, name, models) for name in sets]
        rows = panel_rows.in_rows(blocks, across)
        heights = [min(_SQUARE_MM, width / across - 14.0)] * len(rows)
        panel_rows.arrange(
            figure, rows, heights, keys=_band_keys(models, predictor_rows.percent(roc))
        )
        figure.draw_without_rendering()
    return figure


def drawn_models(found: pd.Series[str]) -> list[str]:
    """Models of a table that figures keep apart: at most three, the horseshoe first."""
    return shared_words.ranked(found, shared_words.MODEL_WORDS)[: len(MODELS)]


def honest_auc(performance: pd.DataFrame, name: str, models: Sequence[str]) -> pd.DataFrame:
    """AUC of each model over one set, by the most honest method that all of them have.

    Parameters
    ----------
    performance : DataFrame
    name : str
        The set.
    models : sequence of str

    Returns
    -------
    DataFrame
        Indexed by ``model``: ``estimate, lower, upper, method``. A model without any AUC has no
        row; where no method but the apparent one is common, each model has its own best one.
    """
    own = performance[performance["set"].eq(name) & performance["model"].isin(models)]
    own = own[own["interval_of"].eq("patients")]
    left_out = own["metric"].eq(_LEFT_OUT) & own["method"].eq("loo")
    areas = own[left_out | (own["metric"].eq("auc") & own["method"].ne("loo"))]
    methods = areas.groupby("model")["method"].agg(set)
    shared = set.intersection(*methods) - {"apparent"} if len(methods) else set()
    order = list(shared_words.METHOD_WORDS)
    known = areas[areas["method"].isin(shared or order)]
    best = known.assign(place=known["method"].map(order.index)).sort_values("place", kind="stable")
    return best.drop_duplicates("model").set_index("model")


def _block(
    figure: Figure,
    roc: pd.DataFrame,
    performance: pd.DataFrame,
    name: str,
    models: Sequence[str],
) -> Block:
    """One set: its curves, and under them how well each model tells events from the others."""
    axes = style.panel(figure, 0.0, 0.0, 1.0, 1.0)
    own = roc[roc["set"].eq(name)]
    drawn = [model for model in models if own["model"].eq(model).any()]
    for model in drawn:
        _draw_curve(axes, own[own["model"].eq(model)], model, filled=model == models[0])
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.6, linestyle=(0, (4, 2)), zorder=1)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0", "0.25", "0.5", "0.75", "1"])
    axes.set(xlabel="1 − specificity", ylabel="Sensitivity")
    apparent = own["method"].eq("apparent").all()
    words = shared_words.SET_WORDS.get(name, name) + (": apparent curve" if apparent else "")
    curves = _curve_areas(own, performance)
    keys, note = _areas(honest_auc(performance, name, drawn), drawn, performance, curves)
    return Block(axes, words, note=note, keys=keys)


def _draw_curve(axes: Axes, curve: pd.DataFrame, model: str, *, filled: bool) -> None:
    mark, rate = shared_words.model_mark(model), curve["false_positive_rate"]
    look: dict[str, Any] = {"color": mark.colour, "linestyle": mark.line}
    if filled:
        axes.fill_between(rate, curve["lower"], curve["upper"], color=BAND, linewidth=0, zorder=0)
    else:
        for limit in ("lower", "upper"):
            axes.plot(rate, curve[limit], linewidth=_THIN, zorder=2, **look)
    axes.plot(rate, curve["sensitivity"], linewidth=1.2, zorder=3, **look)


def _curve_areas(roc: pd.DataFrame, performance: pd.DataFrame) -> dict[str, float]:
    """Area under each apparent curve of one set, by model."""
    apparent = roc.loc[roc["method"].eq("apparent"), ["model", "set"]].drop_duplicates()
    chosen = performance["metric"].eq("auc") & performance["method"].eq("apparent")
    known = performance[chosen & performance["interval_of"].eq("patients")]
    areas = known.merge(apparent, on=["model", "set"]).drop_duplicates("model")
    return dict(zip(areas["model"], areas["estimate"].astype(float), strict=True))


def _areas(
    areas: pd.DataFrame,
    models: Sequence[str],
    performance: pd.DataFrame,
    curves: Mapping[str, float],
) -> tuple[dict[str, Any], str]:
    """Keys of the models with their AUC, and what the AUC is; a method that differs is named."""
    known: dict[Any, Any] = areas.to_dict("index")
    said = {
        name: shared_words.METHOD_WORDS.get(row["method"], row["method"])
        for name, row in known.items()
    }
    common = next(iter(said.values())) if len(set(said.values())) == 1 else ""
    keys: dict[str, Any] = {}
    for model in models:
        text = "not judged"
        if model in known:
            row = known[model]
            text = shared_words.interval_text(row["estimate"], row["lower"], row["upper"])
            text += "" if common else f", {said[model]}"
            if model in curves and row["method"] != "apparent":
                text += f"; this curve {shared_words.signed(curves[model], 2)}"
        keys[f"{shared_words.MODEL_WORDS.get(model, model)}: {text}"] = shared_words.model_key(
            model
        )
    level = f"{predictor_rows.percent(performance)} " if "interval" in performance else ""
    other = any("this curve" in key for key in keys)
    said_of_all = f": {common}" if common else ""
    return keys, f"AUC with {level}interval{said_of_all}" + other * "; the curve is apparent"


def _band_keys(models: Sequence[str], level: str) -> dict[str, Any]:
    first = shared_words.MODEL_WORDS.get(models[0], models[0])
    keys: dict[str, Any] = {
        f"{level} band over patients, {first}": Patch(facecolor=BAND, linewidth=0)
    }
    if len(models) > 1:
        text = f"limits of the {level} bands of the other models"
        keys[text] = Line2D([], [], linewidth=_THIN, color=DIM, linestyle="--")
    return keys
