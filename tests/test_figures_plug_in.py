"""What the plug-in loses, as a figure: read back from what was drawn."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import save_bytes, style
from bayes_cmvt.figures.coverage_words import SCENARIO_WORDS
from bayes_cmvt.figures.plug_in import RULE_WORDS, plot_plug_in
from tests.test_figures_coefficients import HOSTILE, points, spans
from tests.test_figures_roc import assert_room, words_of

SCENARIOS = tuple(SCENARIO_WORDS)
# PROTOTYPE §G: 33 % events, and 7 % in scenario "rare"
LOSS = {"posterior_mean": 0.038, "projection": 0.039, "mean_coefficients": 0.048}
RARE = {"posterior_mean": 0.023, "projection": 0.025, "mean_coefficients": 0.039}
MORE = {"posterior_mean": 0.0, "projection": 0.03, "mean_coefficients": 0.25}
RARE_MORE = {"posterior_mean": 0.0, "projection": 0.08, "mean_coefficients": 0.65}


def plug_in_table(scenarios=1):
    rows = []
    for scenario in SCENARIOS[:scenarios]:
        loss, more = (RARE, RARE_MORE) if scenario == "rare" else (LOSS, MORE)
        for rule in RULE_WORDS:
            row = {"scenario": scenario, "rule": rule, "log_loss": 0.45 + loss[rule]}
            row |= {"excess_log_loss": loss[rule], "excess_log_loss_mcse": 0.0012}
            rows.append(row | {"more_patients": more[rule], "more_patients_mcse": 0.02})
    return pd.DataFrame(rows)


@functools.cache  # nothing here changes a figure
def drawn(scenarios=1, width_mm=None):
    return plot_plug_in(plug_in_table(scenarios), width_mm=width_mm)


@pytest.mark.parametrize("asked", [(), (9,), (1, 85.0), (9, 85.0)])
def test_texts_have_room(asked):
    assert_room(drawn(*asked))


def test_losses_and_their_limits_stand_on_the_lines_of_their_rules():
    table, axes = plug_in_table(9), drawn(9).axes[0]
    for rule, mark in zip(RULE_WORDS, style.MARKS, strict=False):
        own = table[table["rule"].eq(rule)]
        (dots,) = points(axes, mark.marker)
        np.testing.assert_array_equal(dots.get_xdata(), own["excess_log_loss"])
        found = spans(axes, mark.colour.lower())
        np.testing.assert_allclose(found[:, 0], dots.get_ydata())
        around = 1.96 * 0.0012 * np.array([-1, 1])
        np.testing.assert_allclose(
            found[:, 1:], own["excess_log_loss"].to_numpy()[:, None] + around
        )
    names = [text.get_text().replace("\n", " ") for text in axes.get_yticklabels()]
    assert names == list(SCENARIO_WORDS.values())
    middle = points(axes, style.MARKS[1].marker)[0].get_ydata()
    np.testing.assert_allclose(axes.get_yticks(), middle)
    assert axes.get_xlim()[0] < 0 < axes.get_xlim()[1]
    assert axes.get_xlabel() == "Excess log loss (nats per patient)"


def test_more_patients_stand_beside_in_numbers_and_the_posterior_mean_needs_none():
    table, axes = plug_in_table(9), drawn(9).axes[1]
    assert not points(axes, style.MARKS[0].marker)
    numbers = {}
    for rule, mark in list(zip(RULE_WORDS, style.MARKS, strict=False))[1:]:
        (dots,) = points(axes, mark.marker)
        own = 100 * table.loc[table["rule"].eq(rule), "more_patients"].to_numpy()
        np.testing.assert_allclose(dots.get_xdata(), own)
        numbers |= dict(zip(dots.get_ydata(), own, strict=True))
        found = spans(axes, mark.colour.lower())
        np.testing.assert_allclose(found[:, 2] - found[:, 1], 2 * 1.96 * 2)
    for place, text in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True):
        assert text.get_text() == f"{numbers[place]:.0f} %"
    assert "65 %" in [text.get_text() for text in axes.get_yticklabels()]
    assert axes.get_xlabel() == "More patients needed (%)"


def test_numbers_of_patients_beyond_the_axis_end_in_an_arrow_and_are_printed():
    table = plug_in_table(4)
    table["more_patients"] = table["more_patients"].astype(float)
    plug = table["rule"].eq("mean_coefficients")
    table.loc[plug, "more_patients"] = [7.5, np.inf, np.nan, -0.04]
    table.loc[table["scenario"].eq("study"), "more_patients_mcse"] = np.nan
    figure = plot_plug_in(table.assign(data_sets=500))
    assert_room(figure)
    axes = figure.axes[1]
    assert len(points(axes, ">")[0].get_xdata()) == 2
    assert axes.get_xlim()[1] < 320
    said = [text.get_text() for text in axes.get_yticklabels()]
    assert {"750 %", "no number", "−4 %"} <= set(said)
    assert len(said) == 7
    assert words_of(figure)[-1].endswith(
        "No number: no number of patients makes that rule as good. 500 data sets for each scenario."
    )


def test_legend_and_note_say_what_is_compared():
    words = words_of(drawn())
    assert words[:3] == list(RULE_WORDS.values())
    assert words[-1] == (
        "Excess: over the log loss of the true risks. More patients: to be as good as the "
        "posterior mean. Lines: ± 1.96 Monte Carlo standard errors."
    )


def test_rules_and_losses_that_are_missing_are_absent():
    table = plug_in_table(3)
    table.loc[1, "excess_log_loss"] = np.nan
    table = table[~(table["scenario"].eq("halved") & table["rule"].ne("posterior_mean"))]
    figure = plot_plug_in(table)
    assert_room(figure)
    (projected,) = points(figure.axes[0], style.MARKS[1].marker)
    assert len(projected.get_xdata()) == 1
    alone = plot_plug_in(table[table["rule"].eq("posterior_mean")])
    assert not alone.axes[1].get_yticklabels()
    assert_room(alone)


@pytest.mark.parametrize("width", [style.SINGLE_MM, style.DOUBLE_MM])
def test_names_are_text_whatever_they_hold(width):
    names = dict(zip(SCENARIOS, HOSTILE[:5], strict=False))
    table = plug_in_table(5).replace({"scenario": names, "rule": {"projection": "a $x$ b"}})
    figure = plot_plug_in(table, width_mm=width)
    assert_room(figure)
    assert not any(text.get_parse_math() for text in figure.axes[0].get_yticklabels())
    save_bytes(figure, "svg")  # a letter without a glyph would warn, and warnings are errors


def test_tables_that_cannot_be_drawn_are_refused():
    with pytest.raises(OptionError, match=r"'plug_in' cannot be drawn(.|\n)*'more_patients'"):
        plot_plug_in(plug_in_table().drop(columns="more_patients"))
    with pytest.raises(OptionError, match="it has no rows"):
        plot_plug_in(plug_in_table().assign(excess_log_loss=np.nan))


def test_same_bytes_each_time():
    assert save_bytes(plot_plug_in(plug_in_table()), "svg") == save_bytes(drawn(), "svg")
