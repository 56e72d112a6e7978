"""Calibration figures: read back from what was drawn."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pandas as pd
import pytest

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import style
from bayes_cmvt.figures.calibration import plot_calibration
from tests.test_figures_roc import assert_room, words_of

SETS = ("development", "validation", "external")
METRICS = {
    "integrated_calibration_index": 0.0314,
    "calibration_slope": 0.95,
    "calibration_intercept": -0.12,
    "calibration_in_the_large": 0.04,
}


def methods_of(name):
    return ("apparent", "kfold") if name == "development" else ("holdout",)


def calibration_table(sets=SETS[:2], models=("baseline", "horseshoe"), highest=0.72):
    """Observed shares are the square of the risk, by each method with a shift of its own."""
    risk = np.linspace(0.02, highest, 25)
    tables = []
    for name, model in itertools.product(sets, models):
        for place, method in enumerate(methods_of(name)):
            observed = risk**2 + 0.01 * place
            about = {"model": model, "set": name, "method": method, "smoother": "loess"}
            columns = {"risk": risk, "observed": observed}
            columns |= {"lower": observed - 0.02, "upper": observed + 0.05, "interval": 0.95}
            tables.append(pd.DataFrame(about | columns))
    return pd.concat(tables, ignore_index=True)


def expected_table(sets=SETS[:2], highest=0.6):
    risk = np.linspace(0.05, highest, 20)
    columns = {"risk": risk, "median": 0.9 * risk, "lower": 0.7 * risk, "upper": 1.1 * risk}
    tables = [
        pd.DataFrame({"model": "horseshoe", "set": name} | columns).assign(interval=0.9)
        for name in sets
    ]
    return pd.concat(tables, ignore_index=True)


def histogram_table(sets=SETS[:2]):
    edges = np.linspace(0, 1, 21)
    columns = {"risk_lower": edges[:-1], "risk_upper": edges[1:]}
    columns |= {"patients": np.arange(20, 0, -1), "events": np.arange(20) // 3}
    tables = [pd.DataFrame({"model": "horseshoe", "set": name} | columns) for name in sets]
    return pd.concat(tables, ignore_index=True)


def performance_table(sets=SETS[:2]):
    """By the honest methods; the apparent values are another number, which must not appear."""
    rows = []
    for name in sets:
        for method, (metric, value) in itertools.product(methods_of(name), METRICS.items()):
            shown = 9.99 if method == "apparent" else value
            row = {"model": "horseshoe", "set": name, "metric": metric, "estimate": shown}
            row |= {"lower": shown - 0.01, "upper": shown + 0.01, "method": method}
            rows.append(row | {"interval_of": "patients", "interval": 0.95})
    return pd.DataFrame(rows)


@functools.cache  # nothing here changes a figure
def drawn(sets=SETS[:2], **options):
    tables = expected_table(sets), histogram_table(sets), performance_table(sets)
    return plot_calibration(calibration_table(sets), *tables, **options)


@pytest.mark.parametrize("width", [85, 175])
@pytest.mark.parametrize("sets", [SETS[:1], SETS[:2], SETS])
def test_texts_have_room(sets, width):
    assert_room(drawn(sets, width_mm=width))


def test_curves_are_those_of_patients_left_out_with_their_band():
    figure, table = drawn(), calibration_table()
    assert len(figure.axes) == 4
    for axes, name, method in zip(figure.axes[:2], SETS, ("kfold", "holdout"), strict=False):
        chosen = table["set"].eq(name) & table["method"].eq(method)
        own = table[chosen & table["model"].eq("horseshoe")]
        (curve,) = [line for line in axes.lines if line.get_linewidth() == 1.2]
        np.testing.assert_array_equal(curve.get_ydata(), own["observed"])
        (band,) = axes.collections
        ends = band.get_paths()[0].vertices[:, 1]
        assert (ends.min(), ends.max()) == (own["lower"].min(), own["upper"].max())
        assert axes.get_ylabel() == "Observed share with the event"
    words = words_of(figure)
    assert "Development patients: cross-validated" in words
    assert "Validation patients" in words


def test_the_posterior_layer_is_another_line_and_named_with_its_own_level():
    axes = drawn().axes[0]
    layer = [line for line in axes.lines if line.get_color() == style.MARKS[1].colour]
    assert len(layer) == 3
    values = {tuple(np.round(line.get_ydata() / line.get_xdata(), 9)) for line in layer}
    assert values == {(0.9,) * 20, (0.7,) * 20, (1.1,) * 20}
    words = words_of(drawn())
    assert "truth that the model expects at a risk" in words
    assert "its 90 % limits over draws" in words
    assert "95 % band over patients" in words
    without = plot_calibration(calibration_table())
    assert not any("expects" in word or "draws" in word for word in words_of(without))


def test_events_stand_above_the_line_and_the_others_below():
    histogram = drawn().axes[2]
    limit = histogram.get_xlim()[1]
    table = histogram_table(SETS[:1])
    inside = table[table["risk_lower"] < limit]
    heights = [bar.get_height() for bar in histogram.patches]
    without = inside["events"] - inside["patients"]
    np.testing.assert_array_equal(heights, [*inside["events"], *without])
    assert histogram.get_xlabel() == "Predicted risk"
    numbers = [text.get_text() for text in histogram.get_yticklabels()]
    assert all(not number.startswith(("-", "−")) for number in numbers)


def test_axes_hold_all_that_is_drawn_and_are_square():
    for highest, limit in ((0.72, 0.8), (0.08, 0.1), (0.995, 1.0)):
        figure = plot_calibration(calibration_table(SETS[:1], highest=highest))
        axes = figure.axes[0]
        assert axes.get_xlim() == axes.get_ylim()
        assert axes.get_xlim() == pytest.approx((0, limit))


def test_numbers_are_those_of_the_curve_and_their_level_is_named():
    (note,) = [word for word in words_of(drawn(SETS[:1])) if "calibration index" in word]
    assert "integrated calibration index: 0.031 (0.021 to 0.041)" in note
    assert "calibration slope: 0.95 (0.94 to 0.96)" in note
    assert "intercept with a free slope: −0.12 (−0.13 to −0.11)" in note
    assert "calibration in the large: 0.04 (0.03 to 0.05)" in note
    assert "(95 % intervals over patients)" in note
    assert "9.99" not in note


def test_a_curve_of_other_risks_than_those_around_it_says_so():
    said = "The curve is cross-validated; {} of the deployed risks"
    development, validation = (word for word in words_of(drawn()) if "calibration index" in word)
    assert development.endswith(said.format("the model layer and the histogram are"))
    assert "deployed" not in validation
    curve = calibration_table(SETS[:1])
    for tables, words in (
        ((None, histogram_table(SETS[:1])), "the histogram is"),
        ((expected_table(SETS[:1]), None), "the model layer is"),
    ):
        assert said.format(words) in words_of(plot_calibration(curve, *tables))
    assert not any("deployed" in word for word in words_of(plot_calibration(curve)))
    apparent = curve[curve["method"].eq("apparent")]
    figure = plot_calibration(apparent, expected_table(SETS[:1]), histogram_table(SETS[:1]))
    assert not any("deployed" in word for word in words_of(figure))


def test_another_model_may_be_asked_for_and_one_that_is_not_there_is_refused():
    figure = plot_calibration(
        calibration_table(), expected_table(), histogram_table(), model="baseline"
    )
    assert not figure.axes[2].patches
    assert len(figure.axes[0].lines) == 2
    with pytest.raises(OptionError, match="no model 'projection'; it has baseline, horseshoe"):
        plot_calibration(calibration_table(), model="projection")
    with pytest.raises(OptionError, match="'calibration' cannot be drawn"):
        plot_calibration(calibration_table().drop(columns="observed"))
    with pytest.raises(OptionError, match="'risk_histogram' cannot be drawn"):
        plot_calibration(calibration_table(), None, histogram_table().drop(columns="events"))


def test_a_band_and_an_interval_that_are_missing_leave_the_rest():
    table = calibration_table(SETS[:1]).assign(lower=np.nan, upper=np.nan)
    performance = performance_table(SETS[:1]).assign(lower=np.nan, upper=np.nan)
    performance.loc[performance["metric"].eq("calibration_slope"), "estimate"] = np.nan
    words = " ".join(words_of(plot_calibration(table, None, None, performance)))
    assert "calibration slope: cannot be told" in words
    assert "calibration in the large: 0.04 (no interval)" in words
