"""Coverage of intervals as figures: read back from what was drawn."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pandas as pd
import pytest

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import save_bytes, style
from bayes_cmvt.figures.coverage import TARGET_WORDS, plot_coverage
from bayes_cmvt.figures.coverage_coefficients import plot_coverage_coefficients
from bayes_cmvt.figures.coverage_words import METHOD_MARKS, METHOD_WORDS, SCENARIO_WORDS
from tests.test_figures_coefficients import HOSTILE, points, spans
from tests.test_figures_roc import assert_room, words_of

SCENARIOS = tuple(SCENARIO_WORDS)
METHODS = tuple(METHOD_WORDS)
# PROTOTYPE §E and §G: coverage of risks on average, and width; score: from both
RISK = {
    "credible": (0.948, 0.389),
    "bootstrap": (0.993, 0.614),
    "bootstrap_refit": (0.893, 0.512),
    "bootstrap_lasso": (0.871, 0.450),
    "wald": (0.513, 0.234),
    "firth": (0.916, 0.472),
    "ridge": (0.941, 0.410),
}
SHIFT = {
    **{"risk": 0.0, "risk_fifth_1": -0.02, "risk_fifth_2": 0.01, "risk_fifth_3": 0.012},
    **{"risk_fifth_4": 0.01, "risk_fifth_5": -0.03, "risk_top_5pc": -0.08},
    **{"coefficient_zero": 0.05, "coefficient_weak": -0.1, "coefficient_strong": -0.02},
    **{"auc": 0.0, "slope": -0.01, "net_benefit": 0.002},
}
WIDTH = {
    **{"risk": 1.0, "risk_fifth_1": 0.45, "risk_fifth_2": 0.9, "risk_fifth_3": 1.3},
    **{"risk_fifth_4": 1.4, "risk_fifth_5": 1.0, "risk_top_5pc": 0.7},
    **{"coefficient_zero": 1.5, "coefficient_weak": 2.2, "coefficient_strong": 4.0},
    **{"auc": 0.2, "slope": 1.9, "net_benefit": 0.15},
}
ONLY = {"auc": METHODS[:2], "slope": METHODS[:2], "net_benefit": METHODS[:2]}


def coverage_table(scenarios=1, methods=7, targets=tuple(SHIFT)):
    """Coverages as the prototype found them, worse in later scenarios and extreme patients."""
    rows = []
    found = itertools.product(enumerate(SCENARIOS[:scenarios]), targets, METHODS[:methods])
    for (place, scenario), target, method in found:
        if method not in ONLY.get(target, METHODS):
            continue
        coverage, width = RISK[method]
        coverage = min(1.0, coverage + SHIFT[target] * (1 + 2 * (method == "wald")) - 0.005 * place)
        width *= WIDTH[target]
        score = width * (1 + 9.0 * max(0.97 - coverage, 0.0))
        row = {"scenario": scenario, "target": target, "method": method, "coverage": coverage}
        row |= {"coverage_mcse": 0.006, "width": width, "width_mcse": 0.01 * width, "bias": 0.0}
        row |= {"interval_score": score, "interval_score_mcse": 0.02 * score, "below": 0.02}
        rows.append(row | {"above": 0.03, "intervals": 300_000, "data_sets": 1000})
    return pd.DataFrame(rows).assign(interval=0.95)


@functools.cache  # nothing here changes a figure
def drawn(scenarios=1, methods=7, width_mm=None):
    return plot_coverage(coverage_table(scenarios, methods), width_mm=width_mm)


def coefficient_table(scenarios=1, methods=3, columns=26):
    """Twenty zeros, then sizes from .1 to 1.5: covered least where effects are weak."""
    size = np.concatenate([np.zeros(columns - 6), np.linspace(0.1, 1.5, 6)])[-columns:]
    number = np.arange(columns)
    dip = np.where(size > 0, 0.14 * np.exp(-size), -0.045) - 0.002 * number % 3 * 0.003
    about = {
        "term": [f"x{k}" for k in range(columns)],
        "std_truth": size * (-1.0) ** number,
        "label": [f"Predictor number {k}" for k in range(columns)],
        "class": np.select([size == 0, size < 0.5], ["zero", "weak"], "strong"),
    }
    rows = [
        pd.DataFrame(
            about
            | {"coverage": np.minimum(RISK[method][0] - dip - 0.004 * place, 1.0)}
            | {"scenario": scenario, "method": method, "coverage_mcse": 0.007}
        )
        for (place, scenario), method in itertools.product(
            enumerate(SCENARIOS[:scenarios]), METHODS[:methods]
        )
    ]
    return pd.concat(rows, ignore_index=True).assign(interval=0.95, data_sets=1000)


@functools.cache  # nothing here changes a figure
def drawn_coefficients(scenarios=1, methods=3, width_mm=None):
    return plot_coverage_coefficients(coefficient_table(scenarios, methods), width_mm=width_mm)


# --- whose intervals hold the truth --------------------------------------------------------------


def lines_of(table, figure, target, method):
    """Heights of what is drawn for a target, by its place among the targets."""
    axes = figure.axes[0]
    marker = METHOD_MARKS[method].marker
    (dots,) = points(axes, marker)
    own = table[table["method"].eq(method)].reset_index(drop=True)
    return dots.get_ydata()[own.index[own["target"].eq(target)][0]]


ALL = pytest.param((8, 7), marks=pytest.mark.slow)  # fewer scenarios stand for all of them
ALL_NARROW = pytest.param((8, 7, 85.0), marks=pytest.mark.slow)


@pytest.mark.parametrize("asked", [(), (3, 7), (2, 7, 85.0), ALL, ALL_NARROW])
def test_texts_have_room(asked):
    assert_room(drawn(*asked))


def test_coverage_and_its_monte_carlo_limits_are_those_of_the_table():
    table, axes = coverage_table(), drawn().axes[0]
    for method, mark in METHOD_MARKS.items():
        own = table[table["method"].eq(method)]
        (dots,) = points(axes, mark.marker)
        np.testing.assert_array_equal(dots.get_xdata(), own["coverage"])
        found = spans(axes, mark.colour.lower())
        order = np.argsort(dots.get_ydata(), kind="stable")
        np.testing.assert_allclose(found[:, 0], np.sort(dots.get_ydata()))
        limits = own["coverage"].to_numpy()[order, None] + 1.96 * 0.006 * np.array([-1, 1])
        np.testing.assert_allclose(found[:, 1:], np.clip(limits, 0, 1))
    assert axes.get_xlabel() == "Coverage of 95 % intervals"


def test_targets_stand_below_one_another_with_a_line_for_each_of_their_methods():
    table, figure = coverage_table(), drawn()
    axes = figure.axes[0]
    labels = [text.get_text().replace("\n", " ") for text in axes.get_yticklabels()]
    assert labels == list(TARGET_WORDS.values())
    middles = dict(zip(TARGET_WORDS, axes.get_yticks(), strict=True))
    for target in TARGET_WORDS:
        methods = ONLY.get(target, METHODS)
        at = np.array([lines_of(table, figure, target, method) for method in methods])
        assert at.mean() == pytest.approx(middles[target])
        assert (np.diff(at) > 0.9).all()
    assert middles["auc"] - middles["coefficient_strong"] < 10  # two lines need less than seven


def test_level_is_a_line_in_a_shade_and_named_on_the_axis():
    axes = drawn().axes[0]
    assert [0.95, 0.95] in [list(line.get_xdata()) for line in axes.lines]
    (band,) = [patch for patch in axes.patches if patch.get_zorder() == 0.3]
    assert band.get_x() == pytest.approx(0.94)
    assert band.get_width() == pytest.approx(0.02)
    ticks = [text.get_text() for text in axes.get_xticklabels()]
    assert {"0.95", "1"} <= set(ticks)
    np.testing.assert_array_equal([float(text) for text in ticks], axes.get_xticks())
    words = words_of(drawn())
    assert "95 %, the level asked for" in words
    assert "Lines: ± 1.96 Monte Carlo standard errors; shaded: 95 % ± 1 point." in words[-1]
    ninety = plot_coverage(coverage_table(1, 2, ("risk",)).assign(interval=0.9))
    assert ninety.axes[0].get_xlabel() == "Coverage of 90 % intervals"
    assert "0.9" in [text.get_text() for text in ninety.axes[0].get_xticklabels()]


def test_axis_has_most_room_near_the_level_and_a_place_for_every_coverage():
    axes = drawn().axes[0]
    at = axes.transData.transform([[value, 0.0] for value in (0.3, 0.85, 0.95, 1.0)])[:, 0]
    left, right = axes.bbox.x0, axes.bbox.x1
    assert left < at[0] < at[1] < at[2] < at[3] < right
    assert at[3] - at[1] > 0.35 * (right - left)  # a straight axis gives it 0.2
    scale = axes.xaxis.get_transform()
    values = np.linspace(0.0, 1.0, 41)
    np.testing.assert_allclose(scale.inverted().transform(scale.transform(values)), values)
    never = plot_coverage(coverage_table(1, 2, ("risk",)).assign(coverage=[0.0, 1.0])).axes[0]
    assert never.get_xlim()[0] < 0.0 < 1.0 < never.get_xlim()[1]


def test_width_and_score_are_multiples_of_the_credible_ones_that_stand_beside_them():
    table = coverage_table()
    base = table[table["method"].eq("credible")].set_index("target")
    for axes, name, title in zip(
        drawn().axes[1:], ("width", "interval_score"), ("width", "score"), strict=True
    ):
        assert axes.get_xscale() == "log"
        assert axes.get_xlabel() == f"Relative {title}"
        for method, mark in METHOD_MARKS.items():
            own = table[table["method"].eq(method)]
            (dots,) = points(axes, mark.marker)
            ratio = own[name].to_numpy() / base.loc[own["target"], name].to_numpy()
            np.testing.assert_allclose(dots.get_xdata(), ratio)
        numbers = [float(text.get_text()) for text in axes.get_yticklabels()]
        np.testing.assert_allclose(numbers, base[name], rtol=0.06)
    assert "(lower is better): multiples of those of credible (horseshoe)" in words_of(drawn())[-1]


def test_widths_beyond_the_axis_end_in_an_arrow_and_are_printed():
    targets = ("risk", "coefficient_weak", "coefficient_strong", "auc")
    table = coverage_table(targets=targets)
    wald = table["method"].eq("wald") & table["target"].eq("coefficient_weak")
    firth = table["method"].eq("firth") & table["target"].eq("risk")
    table.loc[wald, "width"] = np.inf
    table.loc[firth, "width"] *= 100
    table.loc[firth, "interval_score"] = 0.0
    strong = table["target"].eq("coefficient_strong")
    table.loc[strong & table["method"].isin(["wald", "firth", "ridge"]), "width"] = 0.0
    table.loc[table["target"].eq("auc") & table["method"].eq("bootstrap"), "interval_score"] = 99.0
    figure = plot_coverage(table)
    assert_room(figure)
    _, widths, scores = figure.axes
    assert len(points(widths, ">")) == 2
    assert len(points(scores, "<")) == 1
    assert 10 < widths.get_xlim()[1] < 15
    said = words_of(figure)[-1]
    assert "width 121 (risk, all patients, Firth, all columns)" in said
    assert "width infinite (weak coefficients, Wald, selection ignored)" in said
    assert "score 0 (risk, all patients, Firth, all columns)" in said
    wald_widths = points(widths, METHOD_MARKS["wald"].marker)[0]
    assert np.isfinite(wald_widths.get_xdata()).all()
    assert said.endswith("; 1 more in the table.")


def test_scenarios_stand_beside_each_other_with_their_data_sets_and_targets_that_have_room():
    figure = drawn(3, 7)
    words = words_of(figure)
    assert [word for word in words if word in SCENARIO_WORDS.values()] == list(
        SCENARIO_WORDS.values()
    )[:3]
    assert words.count("1000 sets") == 3
    assert len(figure.axes) == 9
    shown = [text.get_text().replace("\n", " ") for text in figure.axes[0].get_yticklabels()]
    assert "risk, all patients" in shown
    assert "top 5 % of risk" in shown
    left_out = words[-1].split("Without room here, in the table: ")[1].rstrip(".").split("; ")
    assert sorted([*shown, *left_out]) == sorted(TARGET_WORDS.values())
    limits = {axes.get_xlim() for axes in figure.axes[::3]}
    assert len(limits) == 1
    assert "As the study, 1000 data sets" in words_of(drawn())
    fewer = coverage_table(1, 4, ("risk",))
    fewer.loc[3, "data_sets"] = 990
    assert "As the study, ≥ 990 data sets" in words_of(plot_coverage(fewer))


def test_missing_methods_and_cells_are_absent():
    table = coverage_table(2, 7, ("risk", "coefficient_weak"))
    gone = table["method"].str.startswith("bootstrap") & table["scenario"].eq("halved")
    table = table[~gone].reset_index(drop=True)
    risk = table["target"].eq("risk") & table["method"].eq("ridge")
    table.loc[risk, ["coverage", "width", "interval_score"]] = np.nan
    table.loc[table["method"].eq("firth"), ["coverage_mcse", "width", "width_mcse"]] = np.nan
    figure = plot_coverage(table)
    assert_room(figure)
    first, widths, _, second, *_ = figure.axes
    for axes in (first, second):
        (ridge,) = points(axes, METHOD_MARKS["ridge"].marker)
        assert len(ridge.get_xdata()) == 1
    assert not points(second, METHOD_MARKS["bootstrap"].marker)
    (firth,) = points(widths, METHOD_MARKS["firth"].marker)
    assert not len(firth.get_xdata())
    only = plot_coverage(coverage_table(1, 1, ("risk",)))
    assert words_of(only)[0] == "credible (horseshoe)"
    assert not any("bootstrap" in word for word in words_of(only))


def test_same_bytes_each_time_whatever_stands_in_the_table_alone():
    table = coverage_table(1, 5, ("risk", "auc"))
    chosen = table[table["method"].eq("wald")].assign(method="wald_selected", coverage=0.1)
    predicted = table[table["target"].eq("risk")].assign(target="predicted_fifth_1")
    more = pd.concat([table, chosen, predicted])
    assert len(chosen) == 1
    assert save_bytes(plot_coverage(more), "svg") == save_bytes(plot_coverage(table), "svg")


def test_scenario_that_a_reader_of_csv_takes_for_missing_is_null():
    table = coverage_table(2, 2, ("risk",))
    read = table.assign(scenario=table["scenario"].where(table["scenario"].ne("halved")))
    figure = plot_coverage(read)
    shown = [word for word in words_of(figure) if word in SCENARIO_WORDS.values()]
    assert shown == ["As the study", "No effects"]
    (dots,) = points(figure.axes[3], METHOD_MARKS["credible"].marker)
    assert dots.get_xdata() == table["coverage"].iloc[2]


def test_without_credible_intervals_the_first_method_is_the_measure():
    table = coverage_table(1, 5, ("risk", "auc"))
    figure = plot_coverage(table[table["method"].ne("credible")], width_mm=85.0)
    assert_room(figure)
    (first,) = points(figure.axes[1], METHOD_MARKS["bootstrap"].marker)
    np.testing.assert_allclose(first.get_xdata(), 1.0)
    assert "multiples of those of bootstrap, whole workflow" in words_of(figure)[-1]


def test_legend_names_methods_in_plain_words_and_marks_differ_without_colour():
    assert words_of(drawn())[:7] == list(METHOD_WORDS.values())
    assert len({mark.marker for mark in METHOD_MARKS.values()}) == 7
    assert METHOD_MARKS["credible"].marker == "o"
    assert [METHOD_MARKS[name] for name in ("credible", "bootstrap", "wald")] == list(
        style.MARKS[:3]
    )


@pytest.mark.parametrize("width", [style.SINGLE_MM, style.DOUBLE_MM])
def test_names_are_text_whatever_they_hold(width):
    table = coverage_table(2, 5, ("risk", "auc"))
    names = {"method": METHODS[4::-1], "scenario": SCENARIOS, "target": ("auc", "risk")}
    hostile = {
        column: dict(zip(known, HOSTILE[place:], strict=False))
        for place, (column, known) in enumerate(names.items())
    }
    figure = plot_coverage(table.replace(hostile), width_mm=width)
    assert_room(figure)
    assert not any(text.get_parse_math() for text in figure.axes[0].get_yticklabels())
    save_bytes(figure, "svg")  # a letter without a glyph would warn, and warnings are errors


def test_tables_that_cannot_be_drawn_are_refused():
    table = coverage_table()
    with pytest.raises(OptionError, match=r"'coverage' cannot be drawn(.|\n)*'interval_score'"):
        plot_coverage(table.drop(columns="interval_score"))
    with pytest.raises(OptionError, match="rows with a coverage' cannot be drawn"):
        plot_coverage(table.assign(coverage=np.nan))
    two = pd.concat([table, table.assign(interval=0.9)])
    with pytest.raises(OptionError, match="90 % and 95 %: draw one level at a time"):
        plot_coverage(two)
    another = pd.concat([table, table.replace({"method": {"ridge": "lasso"}})])
    with pytest.raises(OptionError, match="at most 7 things apart, not 8"):
        plot_coverage(another)


# --- single coefficients -------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [(1, 7), (5, 7), (3, 3, 85.0), (5, 7, 85.0), ALL, ALL_NARROW])
def test_coefficients_have_room_for_their_texts(asked):
    assert_room(drawn_coefficients(*asked))


def test_coverage_stands_over_the_true_size_by_class():
    table, figure = coefficient_table(), drawn_coefficients()
    assert len(figure.axes) == 3
    for axes, method in zip(figure.axes, METHODS, strict=False):
        own = table[table["method"].eq(method)]
        for called, marker in (("zero", "o"), ("weak", "D"), ("strong", "s")):
            rows = own[own["class"].eq(called)]
            (dots,) = points(axes, marker)
            np.testing.assert_allclose(dots.get_xdata(), rows["std_truth"].abs())
            np.testing.assert_array_equal(dots.get_ydata(), rows["coverage"])
        ends = np.concatenate([np.array(each.get_segments()) for each in axes.collections])
        np.testing.assert_allclose(
            ends[:, :, 1].min(axis=1), own["coverage"].to_numpy() - 1.96 * 0.007
        )
        assert [0.95, 0.95] in [list(line.get_ydata()) for line in axes.lines]
    (hollow,) = points(figure.axes[0], "o")
    assert hollow.get_markerfacecolor() == "white"
    assert figure.axes[0].get_ylabel() == "Coverage of 95 % intervals"
    assert {axes.get_xlabel() for axes in figure.axes} == {"True size (log-odds per SD)"}
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


def test_panels_of_one_scenario_are_named_after_their_method_and_name_what_is_covered_least():
    words = words_of(drawn_coefficients(1, 7))
    assert [word for word in words if word in METHOD_WORDS.values()] == list(METHOD_WORDS.values())
    table = coefficient_table(1, 7)
    least = table.loc[table.groupby("method", sort=False)["coverage"].idxmin()]
    for _, row in least.iterrows():
        assert f"least: {row['label']}, {row['coverage']:.2f}" in words
    assert "As the study, 1000 data sets." in words[-1]
    assert words[:4] == [
        *(f"{called} coefficients" for called in ("zero", "weak", "strong")),
        "95 %, the level asked for",
    ]


def test_of_several_scenarios_three_methods_are_drawn_and_on_a_column_one():
    page, column = drawn_coefficients(5, 7), drawn_coefficients(5, 7, 85.0)
    assert len(page.axes) == 15
    assert len(column.axes) == 5
    words = words_of(page)
    assert "As the study: credible" in words
    assert words.count("bootstrap") == words.count("Wald") == 5
    assert words[-1].endswith(
        "1000 data sets for each scenario. Without room here, in the table: bootstrap, "
        "LASSO + refit; bootstrap, LASSO alone; Firth, all columns; ridge."
    )
    assert "Intervals: credible (horseshoe)." in words_of(column)[-1]


@pytest.mark.parametrize("width", [style.SINGLE_MM, style.DOUBLE_MM])
def test_labels_are_text_whatever_they_hold(width):
    table = coefficient_table(1, 4)
    table["label"] = table["method"].map(dict(zip(METHODS, HOSTILE, strict=False)))
    figure = plot_coverage_coefficients(table, width_mm=width)
    assert_room(figure)
    save_bytes(figure, "svg")
    assert sum(word.startswith("least: ") for word in words_of(figure)) == 4


def test_coefficients_without_a_size_or_a_coverage_are_absent():
    table = coefficient_table(2, 2)
    table.loc[table["scenario"].eq("halved"), "std_truth"] = np.nan
    table.loc[25, "coverage"] = np.nan
    table = table.drop(columns="data_sets").assign(coverage_mcse=np.nan)
    figure = plot_coverage_coefficients(table)
    assert len(figure.axes) == 2
    (strong,) = points(figure.axes[0], "s")
    assert len(strong.get_xdata()) == 3
    assert "As the study." in words_of(figure)[-1]
    sampled = plot_coverage_coefficients(coefficient_table(1, 1).assign(**{"class": "drawn"}))
    assert words_of(sampled)[0] == "drawn for each data set, at their mean"
    null = coefficient_table(1, 1)
    null = null.assign(std_truth=0.0, **{"class": "zero"})
    assert_room(plot_coverage_coefficients(null))


def test_tables_of_coefficients_that_cannot_be_drawn_are_refused():
    table = coefficient_table()
    with pytest.raises(OptionError, match=r"'coverage_coefficients' cannot(.|\n)*'interval'"):
        plot_coverage_coefficients(table.drop(columns="interval"))
    with pytest.raises(OptionError, match="it has no rows"):
        plot_coverage_coefficients(table.assign(std_truth=np.nan))
