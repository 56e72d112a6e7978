"""Shrinkage of each predictor as a figure, and the effective number of predictors."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import save_bytes, style
from bayes_cmvt.figures.shrinkage import plot_shrinkage
from tests.test_figures_coefficients import HOSTILE, points, spans
from tests.test_figures_roc import assert_room, words_of


def shrinkage_table(count, labels=None):
    """Means 0.1, …, 0.9; the last of several predictors has a prior of its own."""
    mean = np.linspace(0.1, 0.9, count)
    table = pd.DataFrame(
        {
            "term": [f"x{k}" for k in range(count)],
            "label": labels or [f"Predictor number {k}" for k in range(count)],
            "shrinkage": mean,
            "lower": mean / 4,
            "median": mean,
            "upper": 1 - (1 - mean) / 4,
            "prior_lower": 0.001,
            "prior_median": 0.5,
            "prior_upper": 0.999,
            "interval": 0.9,
        }
    )
    if count > 2:
        table.iloc[-1, 2:9] = np.nan
    return table


def density_table():
    """Uniform before, triangular after the data, on 0 to 10: both integrate to one."""
    at = np.linspace(0.05, 9.95, 100)
    after = np.where(at < 5, at, 10 - at) / 25
    parts = {"prior": np.full(100, 0.1), "posterior": after}
    rows = [
        pd.DataFrame({"distribution": name, "effective_number": at, "density": values})
        for name, values in parts.items()
    ]
    return pd.concat(rows, ignore_index=True)


def number_table(quantities=("m_eff", "df_eff")):
    rows = [
        {"distribution": distribution, "quantity": quantity, "mean": 5.0 - place, "median": 5.0}
        | {"lower": 1.0 + place, "upper": 9.0 - place, "interval": 0.9}
        for distribution in ("prior", "posterior")
        for place, quantity in enumerate(quantities)
    ]
    return pd.DataFrame(rows)


@functools.cache  # nothing here changes a figure
def drawn(count, width_mm=None):
    return plot_shrinkage(
        shrinkage_table(count), density_table(), number_table(), width_mm=width_mm
    )


def without_texts_of_rows(figure):
    """The figure without what stands on rows that show nothing else."""
    for text in figure.axes[0].texts:
        text.set_visible(False)
    return figure


@pytest.mark.parametrize("asked", [(1,), (5, 85.0), (26,), (26, 85.0)])
def test_texts_have_room(asked):
    figure = plot_shrinkage(
        shrinkage_table(asked[0]), density_table(), number_table(), width_mm=(*asked, None)[1]
    )
    assert_room(without_texts_of_rows(figure))


def test_shrinkage_stands_on_the_row_of_its_predictor_and_none_where_there_is_none():
    table, axes = shrinkage_table(5).iloc[:4], drawn(5).axes[0]
    found = spans(axes, "#000000")
    np.testing.assert_array_equal(found[:, 0], np.arange(4))
    np.testing.assert_allclose(found[:, 1:], table[["lower", "upper"]])
    (dots,) = points(axes, "o")
    np.testing.assert_array_equal(dots.get_xdata()[:4], table["shrinkage"])
    (medians,) = points(axes, "|")
    np.testing.assert_array_equal(medians.get_xdata()[:4], 0.5)
    (said,) = axes.texts
    assert said.get_text() == "not shrunk: a prior of its own"
    assert said.get_position() == (0.5, 4.0)
    assert len(axes.get_yticklabels()) == 5
    assert axes.get_xlim() == (-0.02, 1.02)


def test_densities_and_numbers_share_their_axis():
    _, upper, lower = drawn(5).axes
    table, numbers = density_table(), number_table()
    assert upper.get_xlim() == lower.get_xlim()
    assert upper.get_xlim()[1] >= 9.95
    for line, name in zip(upper.lines, ("prior", "posterior"), strict=True):
        own = table[table["distribution"] == name]
        np.testing.assert_array_equal(line.get_xdata(), own["effective_number"])
        np.testing.assert_array_equal(line.get_ydata(), own["density"])
    assert upper.get_ylim()[0] == 0.0
    before, after = (mark.colour.lower() for mark in (style.MARKS[1], style.MARKS[0]))
    for colour, rows in ((before, [0, 1]), (after, [2, 3])):
        found = spans(lower, colour)
        np.testing.assert_array_equal(found[:, 0], rows)
        np.testing.assert_allclose(found[:, 1:], numbers.loc[rows, ["lower", "upper"]])
    called = [text.get_text() for text in lower.get_yticklabels()]
    assert called == ["Σ(1 − κ)", "degrees of freedom"] * 2
    assert lower.get_xlabel() == "Effective number of predictors"


def test_legend_names_the_interval():
    assert words_of(drawn(5)) == [
        "after the data: mean and 90 % interval",
        "before the data: mean and 90 % interval",
        "before the data: median of κ",
    ]


def test_what_no_table_tells_is_left_out():
    """A normal prior has no density of Σ(1 − κ) and no m_eff."""
    alone = plot_shrinkage(shrinkage_table(5))
    assert len(alone.axes) == 1
    assert style.figure_mm(alone)[0] == pytest.approx(style.SINGLE_MM)
    assert "before the data: mean and 90 % interval" not in words_of(alone)
    numbers = plot_shrinkage(shrinkage_table(5), density_table().iloc[:0], number_table(["df_eff"]))
    assert len(numbers.axes) == 2
    assert numbers.axes[1].get_ylim() == (1.5, -0.5)
    curves = plot_shrinkage(shrinkage_table(5), density_table())
    assert curves.axes[1].get_xlabel() == "Effective number of predictors"


def test_nothing_shrunk_is_a_figure_too():
    table = shrinkage_table(3)
    table.iloc[:, 2:9] = np.nan
    axes = plot_shrinkage(table).axes[0]
    assert len(axes.texts) == 3
    assert not spans(axes, "#000000").size


def test_what_has_no_room_is_counted_and_is_what_is_shrunk_most():
    figure = plot_shrinkage(shrinkage_table(200), density_table(), number_table())
    shown = len(figure.axes[0].get_yticklabels())
    assert words_of(figure)[-1] == f"{200 - shown} more that are shrunk further are not drawn"
    (dots,) = points(figure.axes[0], "o")
    kept = shrinkage_table(200)["shrinkage"]
    drawn_means = dots.get_xdata()[np.isfinite(dots.get_xdata())]
    assert kept[~kept.isin(drawn_means)].min() >= drawn_means.max()
    assert_room(without_texts_of_rows(figure))


@pytest.mark.parametrize("width", [style.SINGLE_MM, style.DOUBLE_MM])
def test_labels_are_text_whatever_they_hold(width):
    figure = plot_shrinkage(shrinkage_table(6, HOSTILE), density_table(), width_mm=width)
    assert_room(without_texts_of_rows(figure))
    rows = figure.axes[0].get_yticklabels()
    assert not any(text.get_parse_math() for text in rows)
    assert rows[5].get_text() == "x5"
    save_bytes(figure, "svg")  # a letter without a glyph would warn, and warnings are errors


def test_tables_that_cannot_be_drawn_are_refused():
    with pytest.raises(OptionError, match=r"'shrinkage' cannot be drawn(.|\n)*'upper'"):
        plot_shrinkage(shrinkage_table(3).drop(columns="upper"))
    with pytest.raises(OptionError, match=r"'effective_number_density'(.|\n)*'density'"):
        plot_shrinkage(shrinkage_table(3), density_table().drop(columns="density"))
    with pytest.raises(OptionError, match=r"'effective_number' cannot(.|\n)*'quantity'"):
        plot_shrinkage(shrinkage_table(3), None, number_table().drop(columns="quantity"))
