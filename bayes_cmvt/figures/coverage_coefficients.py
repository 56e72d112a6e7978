"""Coverage of single coefficients: where weak effects fall short."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayes_cmvt.figures import panel_rows, predictor_rows, shared_words, style
from bayes_cmvt.figures.coverage_axis import (
    coverage_axis,
    coverage_limits,
    draw_level,
    level_key,
    limits_words,
    monte_carlo,
)
from bayes_cmvt.figures.coverage_words import (
    COMPARED,
    PRINTED,
    SCENARIO_WORDS,
    data_sets,
    known_rows,
    left_out_words,
    method_looks,
    method_texts,
    plain_words,
    scenario_texts,
)
from bayes_cmvt.figures.panel_rows import Block
from bayes_cmvt.figures.style import DIM, INK, MARKS

_ABOUT = ("scenario", "term", "label", "std_truth", "class", "method")
_NEEDED = (*_ABOUT, "coverage", "coverage_mcse", "interval")
_CLASSES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "zero": {"marker": "o", "color": INK, "markerfacecolor": "white"},
        "weak": {"marker": "D", "color": MARKS[3].colour, "markeredgewidth": 0.0},
        "strong": {"marker": "s", "color": MARKS[1].colour, "markeredgewidth": 0.0},
        "drawn": {"marker": "^", "color": INK, "markeredgewidth": 0.0},
    }
)
_CLASS_WORDS: Mapping[str, str] = MappingProxyType(
    {
        **{name: f"{name} coefficients" for name in ("zero", "weak", "strong")},
        "drawn": "drawn for each data set, at their mean",
    }
)
_SHORT: Mapping[str, str] = MappingProxyType(
    {"credible": "credible", "bootstrap": "bootstrap", "wald": "Wald"}
)
_MOST_PANELS, _MOST_METHODS = (8, 24), 3  # on a column, on a page; where scenarios are compared
_PANEL_MM, _NARROW_MM = 42.0, 120.0


def plot_coverage_coefficients(
    coverage_coefficients: pd.DataFrame, *, width_mm: float | None = None
) -> Figure:
    """Coverage of each coefficient against its true size: where weak effects fall short.

    One panel for each method of one scenario, with the coefficient that is covered least named
    underneath; of several scenarios a panel for the credible, the bootstrap and the Wald interval,
    fewer where the page has no room for them.

    Parameters
    ----------
    coverage_coefficients : DataFrame, one row for each scenario, coefficient and method
        ``scenario, term, label, std_truth`` (log-odds per SD), ``class`` (``zero, weak, strong``,
        ``drawn`` for each data set), ``method, coverage, coverage_mcse, interval``; ``data_sets``
        where they are counted.
    width_mm : float, optional
        175 unless given.

    Returns
    -------
    Figure
        Axes: the panels, by scenario and in it by method.

    Raises
    ------
    OptionError
        A table without the columns above, or none with a known coverage at a known size; intervals
        of several levels, more than seven methods.
    """
    style.require_columns(coverage_coefficients, _NEEDED, "coverage_coefficients")
    table = coverage_coefficients[coverage_coefficients["std_truth"].notna()]
    table = known_rows(table, _NEEDED, "coverage_coefficients")
    width = width_mm or style.DOUBLE_MM
    scenarios = shared_words.ranked(table["scenario"], SCENARIO_WORDS)
    chosen = _chosen_methods(table, len(scenarios), wide=width >= _NARROW_MM)
    with style.journal():
        figure = style.blank_figure(width, style.PAGE_MM)
        across = _beside(len(scenarios), len(chosen), wide=width >= _NARROW_MM)
        pairs = list(itertools.product(scenarios, chosen))
        height = min(_PANEL_MM, 190.0 / -(-len(pairs) // across) - 14.0)
        panels = [style.panel(figure, 0.0, 0.0, 1.0, 1.0) for _ in pairs]
        blocks = []
        for number, (axes, pair) in enumerate(zip(panels, pairs, strict=True)):
            _draw_sizes(axes, table, pair, (width / across - 8.0, height))
            _frame(axes, number, across, len(pairs), predictor_rows.percent(table))
            every = scenarios, chosen
            blocks.append(_coefficient_block(axes, table, pair, every, width / across))
        rows = panel_rows.in_rows(blocks, across)
        panel_rows.arrange(
            figure,
            rows,
            [height] * len(rows),
            keys=_class_keys(table),
            note=panel_rows.broken_lines(_sizes_note(table, chosen), PRINTED * width),
        )
        figure.draw_without_rendering()
    return figure


def _chosen_methods(table: pd.DataFrame, scenarios: int, *, wide: bool) -> list[str]:
    """Methods that have a panel: those that are compared elsewhere first."""
    found = list(method_looks(table["method"]))
    if scenarios == 1:
        return found
    most = int(np.clip(_MOST_PANELS[wide] // scenarios, 1, _MOST_METHODS))
    first = [*(name for name in COMPARED if name in found), *found]
    return list(dict.fromkeys(first))[:most]


def _beside(scenarios: int, methods: int, *, wide: bool) -> int:
    """Panels beside each other."""
    if scenarios == 1 or methods == 1:
        return min(scenarios * methods, 3 if wide else 2)
    return methods * (2 if wide and scenarios > 4 else 1)


def _coefficient_block(
    axes: Axes,
    table: pd.DataFrame,
    pair: tuple[str, str],
    every: tuple[Sequence[str], Sequence[str]],
    room_mm: float,
) -> Block:
    """Say whose coverage a panel shows; of a single scenario also what is covered least."""
    scenarios, methods = every
    (scenario,), (method,) = scenario_texts(pair[:1]), method_texts(pair[1:])
    if len(scenarios) == 1:
        own = table[table["method"].eq(pair[1])]
        return Block(axes, method, note=_least_covered(own, room_mm - 24.0))
    short = _SHORT.get(pair[1], method)
    if len(methods) == 1:
        return Block(axes, scenario)
    return Block(axes, f"{scenario}: {short}" if pair[1] == methods[0] else short)


def _least_covered(own: pd.DataFrame, room_mm: float) -> str:
    """Name of the coefficient that is covered least, with its coverage."""
    least = own.iloc[int(own["coverage"].to_numpy(dtype=float).argmin())]
    label = "" if pd.isna(least["label"]) else str(least["label"])
    (text,) = style.fitted_names(style.names([str(least["term"])], [label]), room_mm)
    return f"least: {text}, {least['coverage']:.2f}"


def _draw_sizes(
    axes: Axes, table: pd.DataFrame, pair: tuple[str, str], room: tuple[float, float]
) -> None:
    own = table[table["scenario"].eq(pair[0]) & table["method"].eq(pair[1])]
    level = float(table["interval"].iloc[0])
    coverage_axis(axes, level, coverage_limits(table), room[1], "y")
    draw_level(axes, level, "y")
    for called, look in _class_looks(table).items():
        rows = own[own["class"].eq(called)]
        size, value = rows["std_truth"].abs(), rows["coverage"].to_numpy(dtype=float)
        low, high = np.clip(monte_carlo(value, rows["coverage_mcse"]), 0.0, 1.0)
        axes.vlines(size, low, high, color=look["color"], linewidth=0.6, zorder=2)
        axes.plot(size, value, linestyle="none", markersize=2.8, clip_on=False, zorder=3, **look)
    largest = float(table["std_truth"].abs().max()) or 1.0
    axes.set_xlim(-0.05 * largest, 1.05 * largest)
    axes.locator_params(axis="x", nbins=int(np.clip(room[0] / 11.0, 2, 6)))


def _frame(axes: Axes, number: int, across: int, count: int, level: str) -> None:
    """Numbers of axes at the left and under the last panel of a column; titles beside them."""
    if number % across:
        axes.tick_params(axis="y", labelleft=False)
    else:
        axes.set_ylabel(f"Coverage of {level} intervals")
    if number + across < count:
        axes.tick_params(axis="x", labelbottom=False)
    else:
        axes.set_xlabel("True size (log-odds per SD)")


def _class_looks(table: pd.DataFrame) -> dict[str, Mapping[str, Any]]:
    """Classes of the table; one that is not known has a cross."""
    other = {"marker": "x", "color": DIM}
    found = shared_words.ranked(table["class"], _CLASSES)
    return {called: _CLASSES.get(called, other) for called in found}


def _class_keys(table: pd.DataFrame) -> dict[str, Any]:
    looks = _class_looks(table)
    texts = plain_words(list(looks), _CLASS_WORDS, 45.0)
    keys: dict[str, Any] = {
        text: Line2D([], [], linestyle="none", markersize=3.2, **look)
        for text, look in zip(texts, looks.values(), strict=True)
    }
    return keys | level_key(float(table["interval"].iloc[0]))


def _sizes_note(table: pd.DataFrame, chosen: Sequence[str]) -> str:
    said = [f"{limits_words(predictor_rows.percent(table))}."]
    scenarios = shared_words.ranked(table["scenario"], SCENARIO_WORDS)
    counted = f", {data_sets(table)}" if "data_sets" in table else ""
    if len(scenarios) == 1:
        said.append(f"{scenario_texts(scenarios)[0]}{counted}.")
    else:
        said += [f"{counted[2:].capitalize()} for each scenario."] if counted else []
    left_out = [method for method in method_looks(table["method"]) if method not in chosen]
    if len(chosen) == 1 and len(scenarios) > 1:
        said.append(f"Intervals: {method_texts(chosen)[0]}.")
    if left_out:
        said.append(left_out_words(method_texts(left_out)))
    return "\n".join(said)
