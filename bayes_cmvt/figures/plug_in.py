"""Posterior mean or plug-in: what risks at mean coefficients lose, and in how many patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from bayes_cmvt.figures import panel_rows, predictor_rows, shared_words, style
from bayes_cmvt.figures.coverage_axis import ERROR_WORDS, monte_carlo
from bayes_cmvt.figures.coverage_words import PRINTED, SCENARIO_WORDS, data_sets, scenario_names
from bayes_cmvt.figures.panel_rows import Block
from bayes_cmvt.figures.shared_words import dot
from bayes_cmvt.figures.style import DIM, FAINT, Mark

RULE_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "posterior_mean": "posterior mean of the risk",
        "projection": "projection onto one set of coefficients",
        "mean_coefficients": "risk at mean coefficients (plug-in)",
    }
)
_BEST = "posterior_mean"  # what the other rules need more patients for
_ERRORS = ("excess_log_loss_mcse", "more_patients_mcse")
_COLUMNS = ("scenario", "rule", "excess_log_loss", "more_patients", *_ERRORS)
_LINE_MM, _BETWEEN_MM = 3.4, 1.8  # a number is written beside every line
_NARROW_MM, _NAME_MM = 120.0, (19.0, 34.0)
_MOST_PATIENTS = 300.0  # per cent more: what is beyond ends in an arrow, its number beside it


def plot_plug_in(plug_in: pd.DataFrame, *, width_mm: float | None = None) -> Figure:
    """What is lost where one set of coefficients stands for the whole posterior.

    At the left the expected log loss of each rule on fresh patients, less that of the true risks;
    at the right how many more patients a rule would need to be as good as the posterior mean, also
    in numbers. Both with ± 1.96 Monte Carlo standard errors.

    Parameters
    ----------
    plug_in : DataFrame, one row for each scenario and rule
        ``scenario, rule`` (``posterior_mean, projection, mean_coefficients``), ``excess_log_loss``
        (nats per patient), ``excess_log_loss_mcse``, ``more_patients`` (0.26: 26 % more),
        ``more_patients_mcse``; ``data_sets`` where they are counted.
    width_mm : float, optional
        175 unless given.

    Returns
    -------
    Figure
        Axes: excess log loss, more patients.

    Raises
    ------
    OptionError
        A table without the columns above or without a known loss; more than seven rules.
    """
    style.require_columns(plug_in, _COLUMNS, "plug_in")
    table = plug_in[plug_in["excess_log_loss"].notna()].reset_index(drop=True)
    style.require_columns(table, (), "plug_in, rows with a loss")
    table = table.assign(scenario=scenario_names(table["scenario"]), rule=table["rule"].astype(str))
    width = width_mm or style.DOUBLE_MM
    with style.journal():
        figure = style.blank_figure(width, style.PAGE_MM)
        places, height = _places(table)
        panels = [style.panel(figure, 0.0, 0.0, 1.0, 1.0) for _ in range(2)]
        for axes in panels:
            _draw_scenarios(axes, places, height)
        _name_scenarios(panels[0], table, places, _NAME_MM[width >= _NARROW_MM])
        _draw_losses(panels[0], table, places)
        _draw_patients(panels[1], table, places)
        for axes in panels:
            axes.locator_params(axis="x", nbins=6 if width >= _NARROW_MM else 3)
        panel_rows.arrange(
            figure,
            [[Block(panels[0], share=1.2), Block(panels[1])]],
            [height],
            keys=_keys(table),
            note=panel_rows.broken_lines(_note(table), PRINTED * width),
        )
        figure.draw_without_rendering()
    return figure


type _Places = dict[tuple[str, str], float]  # of scenario and rule: mm from the top


def rule_looks(rules: Sequence[str]) -> dict[str, Mark]:
    """Marks of rules, the same in every figure.

    Examples
    --------
    >>> [(rule, mark.marker) for rule, mark in rule_looks(["projection"]).items()]
    [('projection', 's')]
    """
    every = [*RULE_WORDS, *(rule for rule in rules if rule not in RULE_WORDS)]
    every = list(dict.fromkeys(every))
    looks = dict(zip(every, style.marks(len(every)), strict=True))
    return {rule: look for rule, look in looks.items() if rule in set(rules)}


def _places(table: pd.DataFrame) -> tuple[_Places, float]:
    """Lines under each other, and the height of all of them."""
    places: _Places = {}
    top = 0.0
    for scenario in shared_words.ranked(table["scenario"], SCENARIO_WORDS):
        rules = rule_looks(table.loc[table["scenario"].eq(scenario), "rule"].tolist())
        needed = max(_LINE_MM * len(rules), style.lines_mm(2)) + _BETWEEN_MM
        first = top + (needed - _LINE_MM * (len(rules) - 1)) / 2
        places |= {(scenario, rule): first + _LINE_MM * k for k, rule in enumerate(rules)}
        top += needed
    return places, top


def _bounds(places: _Places, height: float) -> dict[str, tuple[float, float]]:
    """Ends of each scenario: half way between its lines and those of its neighbours."""
    scenarios = list(dict.fromkeys(scenario for scenario, _ in places))
    ends = {
        name: [place for (scenario, _), place in places.items() if scenario == name]
        for name in scenarios
    }
    lasts = [max(ends[name]) for name in scenarios]
    firsts = [min(ends[name]) for name in scenarios]
    cuts = [
        0.0,
        *((last + first) / 2 for last, first in zip(lasts, firsts[1:], strict=False)),
        height,
    ]
    return {name: (cuts[k], cuts[k + 1]) for k, name in enumerate(scenarios)}


def _draw_scenarios(axes: Axes, places: _Places, height: float) -> None:
    for low, high in list(_bounds(places, height).values())[::2]:
        axes.axhspan(low, high, color=predictor_rows.STRIPE, linewidth=0, zorder=0)
    axes.set_ylim(height, 0.0)
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    axes.tick_params(axis="y", length=0, pad=4)
    axes.grid(axis="x", color=FAINT, linewidth=0.4, zorder=0.5)
    axes.set_axisbelow(True)
    axes.axvline(0.0, color=DIM, linewidth=0.6, zorder=1)


def _name_scenarios(axes: Axes, table: pd.DataFrame, places: _Places, room_mm: float) -> None:
    found = shared_words.ranked(table["scenario"], SCENARIO_WORDS)
    called = style.names(found, [SCENARIO_WORDS.get(name, name) for name in found])
    middles = [
        np.mean([place for (scenario, _), place in places.items() if scenario == name])
        for name in found
    ]
    axes.set_yticks(middles, labels=style.fitted_names(called, room_mm, 2))
    style.write_names(axes.get_yticklabels(), called)


def _lines(table: pd.DataFrame, places: _Places) -> list[tuple[pd.DataFrame, Any, Mark]]:
    """Rows of each rule, where they stand, and how they look."""
    looks = rule_looks(table["rule"].tolist())
    found = []
    for rule, mark in looks.items():
        rows = table[table["rule"].eq(rule)].drop_duplicates("scenario")
        at = np.array([places[scenario, rule] for scenario in rows["scenario"]])
        found.append((rows, at, mark))
    return found


def _draw_losses(axes: Axes, table: pd.DataFrame, places: _Places) -> None:
    ends = np.array(monte_carlo(table["excess_log_loss"], table[_ERRORS[0]]))
    low, high = min(0.0, float(ends.min())), max(float(ends.max()), 1e-4)
    axes.set_xlim(low - 0.03 * (high - low), high + 0.05 * (high - low))
    for rows, at, mark in _lines(table, places):
        value = rows["excess_log_loss"].to_numpy(dtype=float)
        axes.hlines(at, *monte_carlo(value, rows[_ERRORS[0]]), color=mark.colour, linewidth=0.8)
        axes.plot(value, at, clip_on=False, zorder=3, **dot(mark, 3.4))
    axes.set_xlabel("Excess log loss (nats per patient)")


def _draw_patients(axes: Axes, table: pd.DataFrame, places: _Places) -> None:
    """Patients that the others need to be as good, per cent, with the number of each line."""
    others = table[table["rule"].ne(_BEST) & table["more_patients"].notna()]
    limits = _patient_limits(others)
    axes.set_xlim(limits)
    numbers: dict[float, str] = {}
    for rows, at, mark in _lines(others, places):
        value = 100 * rows["more_patients"].to_numpy(dtype=float)
        error = 100 * rows[_ERRORS[1]].to_numpy(dtype=float)
        low, high = map(pd.Series, monte_carlo(value, error))
        look: dict[str, Any] = {"color": mark.colour, "linewidth": 0.8}
        predictor_rows.draw_spans(axes, (low, high), at, limits=limits, **look)
        inside = (value >= limits[0]) & (value <= limits[1])
        axes.plot(value[inside], at[inside], clip_on=False, zorder=3, **dot(mark, 3.4))
        numbers |= {place: _percent(each) for place, each in zip(at, value, strict=True)}
    axes.set_yticks(list(numbers), labels=list(numbers.values()))
    axes.set_xlabel("More patients needed (%)")


def _patient_limits(table: pd.DataFrame) -> tuple[float, float]:
    ends = 100 * np.array(monte_carlo(table["more_patients"], table[_ERRORS[1]]))
    known: NDArray[np.float64] = ends[np.isfinite(ends)]
    low = float(np.clip(known.min(initial=0.0), -100.0, 0.0))
    high = float(np.clip(known.max(initial=10.0), 10.0, _MOST_PATIENTS))
    return low - 0.03 * (high - low), high + 0.05 * (high - low)


def _percent(value: float) -> str:
    """Return a share of more patients, in words where no number of patients is enough."""
    if not np.isfinite(value):
        return "no number"
    return f"{shared_words.signed(value, 0)} %"


def _keys(table: pd.DataFrame) -> dict[str, Any]:
    looks = rule_looks(table["rule"].tolist())
    words = [RULE_WORDS.get(rule, rule) for rule in looks]
    texts = style.fitted_names(style.names(list(looks), words), 60.0)
    return {
        text: Line2D([], [], linewidth=0.8, **dot(mark, 3.4) | {"linestyle": "-"})
        for text, mark in zip(texts, looks.values(), strict=True)
    }


def _note(table: pd.DataFrame) -> str:
    said = [
        "Excess: over the log loss of the true risks. More patients: to be as good as the "
        "posterior mean.",
        f"{ERROR_WORDS}.",
    ]
    if np.isinf(table["more_patients"].to_numpy(dtype=float)).any():
        said.append("No number: no number of patients makes that rule as good.")
    if "data_sets" in table:
        said.append(f"{data_sets(table)} for each scenario.")
    return "\n".join(said)
