"""Prior and posterior of the coefficients as a figure, beside the path of the LASSO."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import predictor_rows, save_bytes, style
from bayes_cmvt.figures.coefficients import plot_coefficients
from tests.test_figures_roc import assert_room, words_of

PENALTIES = {"lambda_min": 0.01, "lambda_1se": 0.05}
HOSTILE = ["<script>alert(1)</script>", "a $x$ b", "x" * 300, "年龄（岁）", '"quoted" & co', ""]


def prior_table(count, labels=None):
    """Posterior medians 0.5, …, 2; the prior interval of each second predictor leaves the axis."""
    median = np.linspace(0.5, 2.0, count)
    wide = np.where(np.arange(count) % 2, 50.0, 4.0)
    return pd.DataFrame(
        {
            "term": [f"x{k}" for k in range(count)],
            "label": labels or [f"Predictor number {k}" for k in range(count)],
            "contrast": np.where(np.arange(count) % 3, 1.0, 4.3000000001),
            "prior_lower": 1 / wide,
            "prior_median": 1.0,
            "prior_upper": wide,
            "posterior_lower": median / 1.5,
            "posterior_median": median,
            "posterior_upper": median * 1.5,
            "interval": 0.9,
        }
    )


def lasso_tables(count, points=30):
    """Coefficients that grow by straight lines in log λ, later ones further."""
    penalty = np.geomspace(0.2, 0.001, points)
    grown = np.clip(np.log(0.1 / penalty), 0, None)
    path = pd.DataFrame({"lambda": penalty, "df": np.where(grown > 0, count, 0), "dev_ratio": 0.1})
    terms = {f"x{k}": grown * 0.01 * (k + 1) * (-1) ** k for k in range(count)}
    path = path.join(pd.DataFrame({"(Intercept)": -2.0, **terms}))
    curve = pd.DataFrame({"lambda": penalty, "mean": 0.3 - 0.01 * grown, "se": 0.02})
    return path, curve


@functools.cache  # nothing here changes a figure
def drawn(count, width_mm=None, *, path=True):
    lasso = (*lasso_tables(count), PENALTIES, {f"x{k}": 2.0 for k in range(count)})
    return plot_coefficients(prior_table(count), *(lasso if path else ()), width_mm=width_mm)


def spans(axes, colour):
    """Ends of the horizontal lines of a colour, by row."""
    found = [
        (segment[0, 1], segment[0, 0], segment[1, 0])
        for lines in axes.collections
        if to_hex(lines.get_color()[0]) == colour
        for segment in lines.get_segments()
    ]
    return np.array(sorted(found)).reshape(-1, 3)


def points(axes, marker):
    return [line for line in axes.lines if line.get_marker() == marker]


@pytest.mark.parametrize("asked", [(1,), (5, 85.0), (26,), (26, 85.0)])
def test_texts_have_room(asked):
    assert_room(drawn(*asked))


def test_odds_ratios_alone_fill_one_column():
    figure = drawn(5, path=False)
    assert_room(figure)
    assert len(figure.axes) == 1
    assert style.figure_mm(figure)[0] == pytest.approx(style.SINGLE_MM)
    assert style.figure_mm(drawn(5))[0] == pytest.approx(style.DOUBLE_MM)


def test_posterior_stands_on_the_row_of_its_predictor():
    table, axes = prior_table(5), drawn(5).axes[0]
    found = spans(axes, "#000000")
    np.testing.assert_array_equal(found[:, 0], np.arange(5))
    np.testing.assert_allclose(found[:, 1:], table[["posterior_lower", "posterior_upper"]])
    (dots,) = points(axes, "o")
    np.testing.assert_array_equal(dots.get_xdata(), table["posterior_median"])
    np.testing.assert_array_equal(dots.get_ydata(), np.arange(5))
    assert axes.get_ylim() == (4.5, -0.5)
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "Odds ratio"


def test_prior_is_cut_at_the_axis_with_an_arrow_at_both_ends():
    """Limits of 1/50 and 50 leave an axis that holds priors as far as 20; those of 4 do not."""
    axes = drawn(5).axes[0]
    low, high = axes.get_xlim()
    assert 1 / 50 < low < 1 / 20
    assert 20 < high < 50
    found = spans(axes, "#cccccc")
    np.testing.assert_allclose(found[[0, 2, 4], 1:], [[0.25, 4.0]] * 3)
    np.testing.assert_allclose(found[[1, 3], 1:], [[low, high]] * 2)
    for marker, end in (("<", low), (">", high)):
        (heads,) = points(axes, marker)
        np.testing.assert_allclose(heads.get_xdata(), end)
        np.testing.assert_array_equal(heads.get_ydata(), [1, 3])
    (medians,) = points(axes, "|")
    np.testing.assert_array_equal(medians.get_xdata(), 1.0)


def test_missing_and_endless_limits_leave_the_others_as_they_are():
    table = prior_table(4)
    table.loc[1, ["posterior_lower", "posterior_upper"]] = np.nan
    table.loc[2, "posterior_upper"] = np.inf
    table.loc[3, "prior_lower"] = 0.0
    axes = plot_coefficients(table).axes[0]
    found = spans(axes, "#000000")
    np.testing.assert_array_equal(found[:, 0], [0, 2, 3])
    assert 500 <= axes.get_xlim()[1] < 700  # an endless one as far as 500, and a margin
    assert found[1, 2] == axes.get_xlim()[1]


def test_step_of_a_measurement_stands_beside_it_and_that_of_a_level_does_not():
    axes = drawn(5).axes[0]
    steps = {text.get_text(): text.xy[1] for text in axes.texts}
    assert steps == {"per": -0.5, "4.3": 3.0}
    written = [text.get_text() for text in axes.texts]
    assert written == ["4.3", "4.3", "per"]
    levels = plot_coefficients(prior_table(5).assign(contrast=1.0)).axes[0]
    assert not levels.texts


def test_legend_names_the_interval_and_what_comes_before_and_after():
    assert words_of(drawn(3))[:2] == [
        "after the data: median and 90 % interval",
        "before the data: median and 90 % interval",
    ]


def legend_of_the_path(names, width, more=0):
    """What the keys of the path say, and how many predictors have a row."""
    path, curve = lasso_tables(len(names) + more)
    labels = names + [f"Predictor {k}" for k in range(more)]
    table = prior_table(len(labels), labels)
    figure = plot_coefficients(table, path, curve, PENALTIES, width_mm=width)
    assert_room(figure)
    words = [" ".join(text.get_text().split()) for text in figure.legends[-1].get_texts()]
    return words, len(figure.axes[0].get_yticklabels())


@pytest.mark.parametrize("width", [style.SINGLE_MM, style.DOUBLE_MM])
def test_names_of_the_path_are_whole_where_there_is_room(width):
    names = [f"Previous post-ERCP pancreatitis {k}" for k in range(6)]
    words, _ = legend_of_the_path(names, width)
    assert set(names) <= set(words)


def test_names_of_the_path_are_cut_before_a_predictor_loses_its_row():
    names = [f"Previous post-ERCP pancreatitis {k}" for k in range(6)]
    _, rows = legend_of_the_path(names, style.SINGLE_MM, more=60)
    _, short = legend_of_the_path([f"P {k}" for k in range(6)], style.SINGLE_MM, more=60)
    assert rows == short < 66


def test_what_has_no_room_is_counted_and_is_what_lies_nearest_to_1():
    table = prior_table(200)
    figure = plot_coefficients(table)
    assert_room(figure)
    shown = len(figure.axes[0].get_yticklabels())
    assert words_of(figure)[-1] == (
        f"{200 - shown} more with posterior medians nearer to 1 are not drawn"
    )
    (dots,) = points(figure.axes[0], "o")
    left_out = sorted(set(table["posterior_median"]) - set(dots.get_xdata()), key=np.log)
    furthest = np.abs(np.log(left_out)).max()
    assert furthest <= np.abs(np.log(dots.get_xdata())).min()
    assert (np.diff(dots.get_xdata()) > 0).all()  # in the order of the table


# --- the LASSO ----------------------------------------------------------------------------------


def test_path_is_drawn_per_standard_deviation_over_the_penalty():
    path, _ = lasso_tables(9)
    axes = drawn(9).axes[1]
    curves = [line for line in axes.lines if len(line.get_xdata()) == len(path)]
    assert len(curves) == 9
    heights = sorted(float(np.abs(curve.get_ydata()).max()) for curve in curves)
    expected = sorted(2.0 * path[f"x{k}"].abs().max() for k in range(9))
    np.testing.assert_allclose(heights, expected)
    np.testing.assert_array_equal(curves[0].get_xdata(), np.sort(path["lambda"]))
    assert axes.get_ylabel() == "Coefficient per SD\n(log-odds)"
    bare = plot_coefficients(prior_table(9), *lasso_tables(9), PENALTIES)
    assert "per unit" in bare.axes[1].get_ylabel()


def test_six_largest_coefficients_have_marks_and_names_of_their_own():
    figure = drawn(9)
    words = words_of(figure)[2:]
    expected = [f"Predictor number {k}" for k in (8, 7, 6, 5, 4, 3)]
    assert words[:6] == expected
    assert words[6:] == ["3 other predictors", "mean ± 1 SE", "smallest error", "within 1 SE of it"]
    marked = {line.get_marker() for line in figure.axes[1].lines} - {"None", ""}
    assert marked == {mark.marker for mark in style.MARKS[:6]}


def test_error_curve_shares_the_axis_of_the_path_and_both_penalties_cross_both():
    _, curve = lasso_tables(5)
    _, path, error = drawn(5).axes
    assert path.get_xlim() == error.get_xlim()
    low, high = error.get_xlim()
    assert low < 0.001
    assert high > 0.2
    (bars,) = error.containers
    np.testing.assert_array_equal(bars[0].get_ydata(), curve["mean"][::-1])
    ends = np.array([segment[:, 1] for segment in bars[2][0].get_segments()])
    np.testing.assert_allclose(np.diff(ends, axis=1)[:, 0], 2 * 0.02)
    for axes in (path, error):
        across = [line.get_xdata()[0] for line in axes.lines if list(line.get_ydata()) == [0, 1]]
        assert across == list(PENALTIES.values())


def test_numbers_over_the_path_are_the_predictors_with_a_coefficient():
    axes = drawn(5).axes[1]
    over = {text.xy[0]: text.get_text() for text in axes.texts}
    assert set(over) == set(axes.get_xticks())
    assert {text for penalty, text in over.items() if penalty < 0.08} == {"5"}
    assert {text for penalty, text in over.items() if penalty > 0.12} <= {"0"}


def test_path_that_keeps_nobody_where_the_error_is_smallest_names_those_of_its_end():
    figure = plot_coefficients(
        prior_table(3), *lasso_tables(3), {"lambda_min": 0.2, "lambda_1se": 0.2}
    )
    assert words_of(figure)[2:5] == [f"Predictor number {k}" for k in (2, 1, 0)]


def test_all_coefficients_zero_is_a_path_too():
    path, curve = lasso_tables(3)
    path[["x0", "x1", "x2"]] = 0.0
    figure = plot_coefficients(prior_table(3), path, curve, PENALTIES)
    assert_room(figure)
    assert "3 other predictors" in words_of(figure)


def test_tables_that_cannot_be_drawn_are_refused_with_all_that_is_missing():
    table, (path, curve) = prior_table(3), lasso_tables(3)
    with pytest.raises(OptionError, match=r"'prior' cannot be drawn: 2 problems(.|\n)*'label'"):
        plot_coefficients(table.drop(columns=["label", "prior_median"]))
    with pytest.raises(OptionError, match="it has no rows"):
        plot_coefficients(table.iloc[:0])
    with pytest.raises(OptionError, match="with its error curve and its two penalties"):
        plot_coefficients(table, path)
    with pytest.raises(OptionError, match=r"no penalty 'lambda_1se'(.|\n)*no scale of 'x2'"):
        plot_coefficients(table, path, curve, {"lambda_min": 0.1}, {"x0": 1.0, "x1": 1.0})


# --- what figures of rows share -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((0.4, 6.0), ["0.5", "1", "2", "5"]),
        ((0.04, 30.0), ["0.1", "0.3", "1", "3", "10", "30"]),
        ((1e-9, 1e9), ["10⁻⁸", "10⁻⁴", "1", "10⁴", "10⁸"]),
    ],
)
def test_numbers_of_a_logarithmic_axis_do_not_touch(limits, expected):
    with style.journal():
        figure = style.blank_figure(60.0, 20.0)
        axes = style.panel(figure, 5.0, 2.0, 40.0, 10.0)
        predictor_rows.log_axis(axes, limits, 40.0)
    assert [text.get_text() for text in axes.get_xticklabels()] == expected
    boxes = [text.get_window_extent() for text in axes.get_xticklabels()]
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(boxes))


def test_strongest_keeps_the_order_of_the_table_and_puts_the_unknown_last():
    table = pd.DataFrame({"term": list("abcd")})
    strength = pd.Series([1.0, np.nan, 3.0, 1.0])
    kept = predictor_rows.strongest(table, strength, 2)["term"]
    assert kept.tolist() == ["a", "c"]  # of two that are alike, the first
    assert predictor_rows.strongest(table, strength, 3)["term"].tolist() == ["a", "c", "d"]


# --- letters ------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [style.SINGLE_MM, style.DOUBLE_MM])
def test_labels_are_text_whatever_they_hold(width):
    path, curve = lasso_tables(6)
    figure = plot_coefficients(prior_table(6, HOSTILE), path, curve, PENALTIES, width_mm=width)
    assert_room(figure)
    rows = figure.axes[0].get_yticklabels()
    legend = figure.legends[-1].get_texts()[:6]
    assert not any(text.get_parse_math() for text in [*rows, *legend])
    assert " ".join(rows[1].get_text().split()) == "a $x$ b"
    assert rows[5].get_text() == "x5"
    assert rows[2].get_text().endswith("…")
    save_bytes(figure, "svg")  # a letter without a glyph would warn, and warnings are errors


def test_same_bytes_each_time():
    again = plot_coefficients(
        prior_table(5), *lasso_tables(5), PENALTIES, {f"x{k}": 2.0 for k in range(5)}
    )
    assert save_bytes(again, "svg") == save_bytes(drawn(5), "svg")
