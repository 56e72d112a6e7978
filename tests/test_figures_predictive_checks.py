"""Figures of the predictive checks: read back from what was drawn."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import style
from bayes_cmvt.figures.predictive_checks import plot_predictive_checks
from tests.test_figures_roc import assert_room, words_of

HOSTILE = (
    '<script>alert("x")</script>: up to 3',
    "a $x$ b: $1",
    "long " * 60 + ": yes",
    "=SUM(A1): no",
    "50 % & \\alpha: 1",
)


def check_table(levels=12, groups=10, labels=()):
    """Predicted medians are a tenth of the patients; P values rise with the level's number."""
    rows = [("events", "all", "All patients", 200, 0.4)]
    rows += [("risk_group", str(k), f"Risk {k}", 20, 0.5) for k in range(1, groups + 1)]
    names = [*labels, *(f"Age: level {k}" for k in range(levels - len(labels)))]
    rows += [
        ("predictor", f"age[{k}]", label, 50 + k, (k + 1) / levels) for k, label in enumerate(names)
    ]
    tables = []
    for distribution, spread in (("prior", 0.5), ("posterior", 0.05)):
        table = pd.DataFrame(rows, columns=["check", "group", "label", "patients", "p_value"])
        middle = 0.1 * table["patients"]
        table = table.assign(distribution=distribution, observed=middle + 1, median=middle)
        table["lower"] = (middle - spread * table["patients"]).clip(lower=0)
        table["upper"] = middle + spread * table["patients"]
        tables.append(table.assign(interval=0.95))
    return pd.concat(tables, ignore_index=True)


def event_table(patients=200, observed=21):
    """Before the data every number is as likely; given them 11 numbers are."""
    number = np.arange(patients + 1)
    near = np.abs(number - 20) <= 5
    tables = [
        pd.DataFrame({"distribution": name, "events": number, "probability": share / share.sum()})
        for name, share in (("prior", np.ones(patients + 1)), ("posterior", near.astype(float)))
    ]
    return pd.concat(tables, ignore_index=True).assign(observed=observed)


@functools.cache  # nothing here changes a figure
def drawn(levels=12, width=None):
    return plot_predictive_checks(check_table(levels), event_table(), width_mm=width)


@pytest.mark.parametrize("width", [85, 175])
@pytest.mark.parametrize("levels", [1, 12, 80])
def test_texts_have_room(levels, width):
    assert_room(drawn(levels, width))


@pytest.mark.parametrize("width", [85, 175])
def test_labels_of_any_kind_are_text_and_have_room(width):
    figure = plot_predictive_checks(check_table(labels=HOSTILE), event_table(), width_mm=width)
    assert_room(figure)
    names = figure.axes[-1].get_yticklabels()
    assert not any(name.get_parse_math() for name in names)
    assert names[1].get_text() == "a $x$ b: $1"
    assert names[2].get_text().endswith("…")
    style.save_bytes(figure, "svg")


def test_numbers_of_events_before_and_given_the_data_with_the_observed_one():
    figure = drawn()
    for axes, name in zip(figure.axes[:2], ("prior", "posterior"), strict=True):
        assert axes.get_xlabel() == "Patients with the event"
        assert [21.0, 21.0] in [list(line.get_xdata()) for line in axes.lines]
        total = sum(bar.get_height() for bar in axes.patches)
        assert total == pytest.approx(1), name
    words = words_of(figure)
    assert "Before the data, 5 numbers a bar" in words
    assert "Given the data" in words
    given = [bar.get_height() for bar in figure.axes[1].patches]
    np.testing.assert_allclose(given, 1 / 11)


def test_an_observed_number_far_from_all_predicted_ones_is_on_the_axis():
    axes = plot_predictive_checks(check_table(), event_table(observed=150)).axes[1]
    low, high = axes.get_xlim()
    assert low < 15 < 150 < high


def test_groups_of_risk_show_what_the_posterior_predicts():
    table = check_table()
    own = table[table["check"].eq("risk_group") & table["distribution"].eq("posterior")]
    axes = drawn().axes[2]
    predicted, observed = axes.lines
    np.testing.assert_array_equal(predicted.get_ydata(), own["median"])
    np.testing.assert_array_equal(observed.get_ydata(), own["observed"])
    ends = np.array([segment[:, 1] for segment in axes.collections[0].get_segments()])
    np.testing.assert_array_equal(ends, own[["lower", "upper"]])


def test_levels_are_shares_and_those_with_the_smallest_p_are_drawn():
    table = check_table(80).sample(frac=1, random_state=2)
    figure = plot_predictive_checks(table, event_table())
    axes = figure.axes[-1]
    assert len(axes.get_yticklabels()) == 30
    own = table[table["check"].eq("predictor") & table["distribution"].eq("posterior")]
    own = own[own["p_value"] <= 30 / 80]
    names = [name.get_text() for name in axes.get_yticklabels()]
    assert names == own["label"].tolist()  # as the table orders them
    predicted, observed = axes.lines
    np.testing.assert_allclose(predicted.get_xdata(), 0.1, rtol=1e-12)
    np.testing.assert_allclose(observed.get_xdata(), own["observed"] / own["patients"])
    assert "50 more levels, each with a predictive P of 0.39 or more" in words_of(figure)
    assert axes.get_xlabel() == "Share of patients with the event"
    assert not any(
        "more levels" in word
        for word in words_of(plot_predictive_checks(check_table(12), event_table()))
    )


def test_parts_that_the_table_says_nothing_of_are_left_out():
    events = check_table().query("check == 'events'")
    figure = plot_predictive_checks(events, event_table())
    assert len(figure.axes) == 2
    only_given = event_table().query("distribution == 'posterior'")
    assert len(plot_predictive_checks(events, only_given).axes) == 1


def test_limits_that_are_missing_leave_the_marks():
    figure = plot_predictive_checks(check_table().assign(lower=np.nan, upper=np.nan), event_table())
    assert len(figure.axes[-1].lines) == 2


def test_the_level_is_named_and_bad_tables_are_refused():
    words = words_of(plot_predictive_checks(check_table().assign(interval=0.8), event_table()))
    assert "predicted given the data: median, 80 % interval" in words
    with pytest.raises(OptionError, match="'predictive_checks' cannot be drawn"):
        plot_predictive_checks(check_table().drop(columns="p_value"), event_table())
    with pytest.raises(OptionError, match="'predictive_events' cannot be drawn"):
        plot_predictive_checks(check_table(), event_table().iloc[:0])
