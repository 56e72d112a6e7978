"""Credible beside bootstrap intervals as figures: of coefficients, and of patients' risks."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import save_bytes, style
from bayes_cmvt.figures.comparison import plot_compare_coefficients, plot_compare_risks
from tests.test_figures_coefficients import HOSTILE, points, spans
from tests.test_figures_roc import assert_room, words_of
from tests.test_figures_selection import texts_of

KINDS = ("credible", "bootstrap", "wald")
COLOURS = [mark.colour.lower() for mark in style.MARKS[:3]]
MARKERS = [mark.marker for mark in style.MARKS[:3]]


def coefficient_table(count, labels=None):
    """Estimates −1, …, 1; each second predictor is in the final model, the others have no Wald."""
    value = np.linspace(-1.0, 1.0, count)
    selected = np.arange(count) % 2 == 0
    table = pd.DataFrame({"term": [f"x{k}" for k in range(count)]})
    table["label"] = labels or [f"Predictor number {k}" for k in range(count)]
    for place, kind in enumerate(KINDS):
        if kind != "wald":
            table[f"{kind}_estimate"] = np.where(selected | (kind == "credible"), value, 0.0)
        table[f"{kind}_lower"] = value - 0.3 - 0.1 * place
        table[f"{kind}_upper"] = value + 0.3 + 0.1 * place
    table.loc[~selected, ["wald_lower", "wald_upper"]] = np.nan
    table["bootstrap_zero"] = np.linspace(0.9, 0.0, count)
    table["kept"] = np.linspace(0.1, 1.0, count)
    intercept = table.iloc[[0]].assign(term="(Intercept)", label="(Intercept)", kept=np.nan)
    scaled = pd.concat([intercept, table]).assign(scale="std_log_odds")
    ratios = table.assign(scale="odds_ratio", credible_lower=77.0)
    return pd.concat([ratios, scaled], ignore_index=True).assign(interval=0.9)


@functools.cache  # nothing here changes a figure
def drawn(count, width_mm=None):
    return plot_compare_coefficients(coefficient_table(count), width_mm=width_mm)


@pytest.mark.parametrize("asked", [(1,), (1, 85.0), (26,), (26, 85.0)])
def test_coefficients_have_room_for_their_texts(asked):
    assert_room(drawn(*asked))


def test_three_intervals_stand_under_each_other_on_the_row_of_their_coefficient():
    table = coefficient_table(5).query("scale == 'std_log_odds' and term != '(Intercept)'")
    axes = drawn(5).axes[0]
    for place, (kind, colour, marker) in enumerate(zip(KINDS, COLOURS, MARKERS, strict=True)):
        own = table[table[f"{kind}_lower"].notna()]
        rows = own.index - table.index[0] + 0.25 * (place - 1)
        found = spans(axes, colour)
        np.testing.assert_allclose(found[:, 0], rows)
        np.testing.assert_allclose(found[:, 1:], own[[f"{kind}_lower", f"{kind}_upper"]])
        (dots,) = points(axes, marker)
        known = np.isfinite(np.asarray(dots.get_xdata(), dtype=float))
        estimate = "credible_estimate" if kind == "credible" else "bootstrap_estimate"
        np.testing.assert_array_equal(np.asarray(dots.get_xdata())[known], own[estimate])
        np.testing.assert_allclose(np.asarray(dots.get_ydata())[known], rows)
    assert axes.get_ylim() == (4.5, -0.5)
    assert len(axes.get_yticklabels()) == 5
    assert axes.get_xlabel() == "Coefficient per SD\n(log-odds)"


def test_zero_is_on_the_axis_and_so_is_every_interval():
    table = coefficient_table(4)
    for end in ("estimate", "lower", "upper"):
        table[f"credible_{end}"] += 5.0
    low, high = plot_compare_coefficients(table).axes[0].get_xlim()
    assert low < -1.4
    assert high > 1 + 0.3 + 5
    far = table.assign(bootstrap_upper=1e6)
    axes = plot_compare_coefficients(far).axes[0]
    assert 12 < axes.get_xlim()[1] < 13
    (heads,) = points(axes, ">")
    np.testing.assert_allclose(heads.get_ydata(), np.arange(4))


def test_mass_at_zero_stands_beside_what_the_posterior_keeps():
    table = coefficient_table(5).query("scale == 'std_log_odds' and term != '(Intercept)'")
    axes = drawn(5).axes[1]
    (kept,), (zero,) = points(axes, "D"), points(axes, "X")
    np.testing.assert_array_equal(kept.get_xdata(), table["kept"])
    np.testing.assert_array_equal(zero.get_xdata(), table["bootstrap_zero"])
    np.testing.assert_array_equal(np.round(kept.get_ydata()), np.arange(5))
    np.testing.assert_array_equal(np.round(zero.get_ydata()), np.arange(5))
    assert axes.get_xlim() == (-0.02, 1.02)


def test_legend_of_the_coefficients():
    assert words_of(drawn(5)) == [
        "posterior median, 90 % credible interval",
        "final model, 90 % bootstrap interval",
        "final model, 90 % Wald interval",
        "1 − κ, what the posterior keeps of it",
        "share of resamples in which it is exactly 0",
    ]


def test_prior_that_shrinks_nothing_has_no_share_that_is_kept():
    figure = plot_compare_coefficients(coefficient_table(3).assign(kept=np.nan))
    assert not any("κ" in words for words in words_of(figure))
    assert len(figure.axes[0].get_yticklabels()) == 3


def test_coefficients_without_room_are_counted_and_are_those_kept_least():
    figure = drawn(200)
    assert_room(figure)
    shown = len(figure.axes[0].get_yticklabels())
    assert words_of(figure)[-1] == (
        f"{200 - shown} more of which the posterior keeps less are not drawn"
    )
    (kept,) = points(figure.axes[1], "D")
    assert kept.get_xdata().min() == pytest.approx(np.linspace(0.1, 1.0, 200)[-shown])


@pytest.mark.parametrize("width", [style.SINGLE_MM, style.DOUBLE_MM])
def test_labels_are_text_whatever_they_hold(width):
    figure = plot_compare_coefficients(coefficient_table(6, HOSTILE), width_mm=width)
    assert_room(figure)
    rows = figure.axes[0].get_yticklabels()
    assert not any(text.get_parse_math() for text in rows)
    assert rows[5].get_text() == "x5"
    save_bytes(figure, "svg")  # a letter without a glyph would warn, and warnings are errors


def test_tables_of_coefficients_that_cannot_be_drawn_are_refused():
    table = coefficient_table(3)
    with pytest.raises(OptionError, match=r"'compare_coefficients' cannot(.|\n)*'wald_upper'"):
        plot_compare_coefficients(table.drop(columns="wald_upper"))
    with pytest.raises(OptionError, match="scale std_log_odds' cannot be drawn"):
        plot_compare_coefficients(table[table["scale"] == "odds_ratio"])


# --- risks --------------------------------------------------------------------------------------


def risk_table(sets, *, patients=None):
    """Risks in an order of their own; bootstrap intervals are wider and a little higher."""
    parts = []
    for name, count in sets.items():
        risk = np.random.default_rng(1).permutation(np.linspace(0.05, 0.6, count))
        part = pd.DataFrame({"set": name, "credible_estimate": risk})
        part["credible_lower"], part["credible_upper"] = 0.6 * risk, 1.2 * risk
        part["bootstrap_estimate"] = risk + 0.01
        part["bootstrap_lower"], part["bootstrap_upper"] = 0.5 * risk, 1.3 * risk
        parts.append(part.assign(interval=0.9))
    table = pd.concat(parts, ignore_index=True)
    if patients is None:
        return table.assign(row=np.arange(len(table)) + 1)
    return table.assign(mark=np.arange(len(table)) + 1, patients=patients)


MARKS = risk_table({"development": 20, "validation": 12}, patients=5)


@pytest.mark.parametrize("width", [style.SINGLE_MM, style.DOUBLE_MM])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_risks_have_room_for_their_texts(count, width):
    sets = dict(zip(("development", "validation", "external"), (40, 12, 600), strict=True))
    table = risk_table({name: sets[name] for name in list(sets)[:count]})
    figure = plot_compare_risks(table, (0.05, 0.4), width_mm=width)
    assert_room(figure)
    assert len(figure.axes) == count


def test_patients_stand_in_order_of_their_risk_with_both_intervals():
    figure = plot_compare_risks(MARKS)
    for axes, name in zip(figure.axes, ("development", "validation"), strict=True):
        own = MARKS[MARKS["set"] == name].sort_values("credible_estimate")
        places = np.arange(len(own)) + 1
        (lines,) = [each for each in axes.collections if isinstance(each, LineCollection)]
        assert to_hex(lines.get_color()[0]) == COLOURS[1]
        ends = np.array(lines.get_segments())
        np.testing.assert_array_equal(ends[:, 0, 0], places)
        np.testing.assert_allclose(ends[..., 1], own[["bootstrap_lower", "bootstrap_upper"]])
        (dots,) = points(axes, MARKERS[1])
        np.testing.assert_array_equal(dots.get_ydata(), own["bootstrap_estimate"])
        curves = [line.get_ydata() for line in axes.lines if line.get_color() == "#000000"]
        expected = own[["credible_lower", "credible_upper", "credible_estimate"]].to_numpy().T
        np.testing.assert_array_equal(curves, expected)
        band = axes.collections[0].get_paths()[0].vertices
        assert band[:, 1].max() == own["credible_upper"].max()
        assert axes.get_xlim() == (0.4, len(own) + 0.6)
        assert axes.get_ylim() == (0.0, pytest.approx(1.05 * 0.6 * 1.3))


def test_patients_too_close_for_lines_are_points_at_the_ends_of_their_intervals():
    table = risk_table({"development": 600})
    figure = plot_compare_risks(table)
    (axes,) = figure.axes
    own = table.sort_values("credible_estimate")
    lower, upper = points(axes, "o")
    np.testing.assert_array_equal(lower.get_ydata(), own["bootstrap_lower"])
    np.testing.assert_array_equal(upper.get_ydata(), own["bootstrap_upper"])
    assert "limits of the 90 % bootstrap interval" in words_of(figure)


def test_axis_says_whether_a_mark_is_one_patient():
    assert [axes.get_xlabel() for axes in plot_compare_risks(MARKS).axes] == [
        "Groups of 5 patients or more, in order of risk"
    ] * 2
    (axes,) = plot_compare_risks(risk_table({"development": 9})).axes
    assert axes.get_xlabel() == "Patients, in order of risk"
    assert axes.get_title(loc="left") == "Development patients"


def across(axes):
    return [line.get_ydata()[0] for line in axes.lines if list(line.get_xdata()) == [0, 1]]


def test_thresholds_are_lines_and_one_in_use_takes_their_place():
    both = plot_compare_risks(MARKS, (0.05, 0.6))
    assert [across(axes) for axes in both.axes] == [[0.05, 0.6]] * 2
    assert words_of(both)[-1] == "thresholds: 0.05 and 0.6"
    one = plot_compare_risks(MARKS, (0.05, 0.6), 0.1)
    assert [across(axes) for axes in one.axes] == [[0.1]] * 2
    assert words_of(one)[-1] == "threshold in use: 0.1"
    none = plot_compare_risks(MARKS)
    assert not across(none.axes[0])
    assert words_of(none)[-1] == "final model, 90 % bootstrap interval"


def test_missing_limits_leave_the_others_as_they_are():
    table = MARKS.copy()
    table.loc[3, ["bootstrap_lower", "bootstrap_upper", "credible_upper"]] = np.nan
    assert_room(plot_compare_risks(table))


def test_names_of_sets_are_text():
    figure = plot_compare_risks(risk_table({"a $x$ <b>": 9}))
    (title,) = [text for text in texts_of(figure) if text.get_text() == "a $x$ <b>"]
    assert not title.get_parse_math()


def test_tables_of_risks_that_cannot_be_drawn_are_refused():
    with pytest.raises(OptionError, match=r"'compare_risks' cannot(.|\n)*'bootstrap_upper'"):
        plot_compare_risks(MARKS.drop(columns="bootstrap_upper"))
    with pytest.raises(OptionError, match="it has no rows"):
        plot_compare_risks(MARKS.iloc[:0])


def test_same_bytes_each_time():
    assert save_bytes(plot_compare_risks(MARKS), "svg") == save_bytes(
        plot_compare_risks(MARKS), "svg"
    )
    assert save_bytes(plot_compare_coefficients(coefficient_table(5)), "svg") == save_bytes(
        drawn(5), "svg"
    )
