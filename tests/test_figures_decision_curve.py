"""Decision curves: read back from what was drawn."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pandas as pd
import pytest

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import shared_words, style
from bayes_cmvt.figures.decision_curve import plot_decision_curve
from tests.test_figures_roc import assert_room, words_of

SETS = ("development", "validation", "external")
STRATEGIES = ("baseline", "horseshoe", "projection", "treat_all", "treat_none")
THRESHOLD = np.linspace(0.05, 0.6, 12)
SHARE = 0.35


def benefit_table(sets=SETS[:2], strategies=STRATEGIES):
    """Treating all has its closed form at a share of .35 with the event."""
    tables = []
    for name, (place, strategy) in itertools.product(sets, enumerate(strategies)):
        value = 0.3 * (1 - THRESHOLD) - 0.01 * place
        if strategy == "treat_all":
            value = SHARE - (1 - SHARE) * THRESHOLD / (1 - THRESHOLD)
        value = 0 * THRESHOLD if strategy == "treat_none" else value
        model = not strategy.startswith("treat")
        about = {"set": name, "strategy": strategy, "threshold": THRESHOLD, "net_benefit": value}
        about |= {"lower": value - 0.03, "upper": value + 0.04}
        about["prob_useful"] = np.linspace(0.4, 1, 12) if model else np.nan
        about["method"] = "kfold" if name == "development" else "holdout"
        drawn = strategy in ("horseshoe", "projection")
        for column, shift in (("net_benefit", 0.001), ("lower", -0.02), ("upper", 0.02)):
            about[f"expected_{column}"] = value + shift if drawn else np.nan
        about["note"] = ["few" if model and k < 2 else None for k in range(12)]
        tables.append(pd.DataFrame(about).assign(interval=0.95))
    return pd.concat(tables, ignore_index=True)


@functools.cache  # nothing here changes a figure
def drawn(sets=SETS[:2], use=None, width=None):
    return plot_decision_curve(benefit_table(sets), use, width_mm=width)


@pytest.mark.parametrize("width", [85, 175])
@pytest.mark.parametrize("sets", [SETS[:1], SETS[:2], SETS])
def test_texts_have_room(sets, width):
    assert_room(drawn(sets, 0.2, width))


def line_of(axes, values):
    """The drawn line that has these values."""
    found = [line for line in axes.lines if np.array_equal(line.get_ydata(), values)]
    assert len(found) == 1
    return found[0]


def test_net_benefits_of_models_of_all_and_none_are_drawn_in_each_set():
    table, figure = benefit_table(), drawn()
    assert len(figure.axes) == 4
    for axes, name in zip(figure.axes[:2], SETS, strict=False):
        for strategy in STRATEGIES:
            own = table[table["set"].eq(name) & table["strategy"].eq(strategy)]
            line = line_of(axes, own["net_benefit"])
            np.testing.assert_array_equal(line.get_xdata(), THRESHOLD)
            if not strategy.startswith("treat"):
                assert line.get_color() == shared_words.model_mark(strategy).colour
        (band,) = axes.collections
        own = table[table["set"].eq(name) & table["strategy"].eq("horseshoe")]
        ends = band.get_paths()[0].vertices[:, 1]
        assert set(own["lower"]) | set(own["upper"]) <= set(ends)
    assert figure.axes[2].get_xlabel() == "Threshold probability"
    assert [axes.get_ylabel() for axes in figure.axes[2:]] == ["P(useful)"] * 2
    assert figure.axes[0].get_ylabel().replace("\n", " ").startswith("Net benefit (true positives")


def test_the_axis_is_cut_a_little_under_none_however_bad_treating_all_becomes():
    table = benefit_table()
    axes = drawn().axes[0]
    low, high = axes.get_ylim()
    models = table[~table["strategy"].str.startswith("treat")]
    assert high > table["upper"].max()
    assert -0.2 * high < low < 0
    assert table["net_benefit"].min() < low < models["lower"].min()


def test_what_the_model_expects_is_a_line_of_its_own_with_limits_over_draws():
    table, figure = benefit_table(SETS[:1]), drawn(SETS[:1])
    own = table[table["strategy"].eq("horseshoe")]
    for column in ("expected_net_benefit", "expected_lower", "expected_upper"):
        assert line_of(figure.axes[0], own[column]).get_color() == style.MARKS[4].colour
    words = words_of(figure)
    assert "expected under the model, horseshoe" in words
    assert "its 95 % limits over draws" in words
    bare = table.drop(columns=["expected_net_benefit", "expected_lower", "expected_upper", "note"])
    assert not any("expected" in word for word in words_of(plot_decision_curve(bare)))


def test_p_useful_is_thin_where_the_table_has_a_note():
    figure = drawn(SETS[:1])
    thick = [line for line in figure.axes[1].lines if line.get_linewidth() == 1.2]
    assert len(thick) == 3
    for line in thick:
        shown = np.asarray(line.get_ydata(), dtype=float)
        assert np.isnan(shown).tolist() == [True] * 2 + [False] * 10
    assert any(word.startswith("Thin P(useful)") for word in words_of(figure))
    assert figure.axes[1].get_ylim() == pytest.approx((-0.03, 1.03))


def test_keys_differ_without_colour_and_what_is_thin_is_said_in_words():
    """The dashes of what is expected were those of another model when printed in grey."""
    (legend,) = drawn().legends
    assert not any("P(useful)" in text.get_text() for text in legend.get_texts())
    looks = [
        (str(line._dash_pattern), line.get_linewidth(), line.get_marker())
        for line in legend.get_lines()
    ]
    assert len(set(looks)) == len(looks)
    for axes in drawn().axes[:2]:
        assert [line.get_marker() for line in axes.lines].count("o") == 1
    bare = benefit_table().drop(columns="note")
    assert not any("P(useful)" in word for word in words_of(plot_decision_curve(bare)))


def test_a_threshold_is_marked_where_the_study_has_one():
    figure = drawn(use=0.2)
    assert "threshold of the study: 0.2" in words_of(figure)
    for axes in figure.axes:
        assert [0.2, 0.2] in [list(line.get_xdata()) for line in axes.lines]
    assert not any("threshold of" in word for word in words_of(drawn()))


def test_sets_are_named_with_how_they_were_judged():
    words = words_of(drawn())
    assert "Development patients: cross-validated" in words
    assert "Validation patients" in words


def test_limits_that_are_missing_one_threshold_and_one_model():
    table = benefit_table(SETS[:1], ("baseline", "treat_all", "treat_none"))
    assert_room(plot_decision_curve(table.assign(lower=np.nan, upper=np.nan)))
    figure = plot_decision_curve(table[table["threshold"] == THRESHOLD[3]])
    low, high = figure.axes[0].get_xlim()
    assert low < THRESHOLD[3] < high


def test_tables_that_cannot_be_drawn_are_refused():
    with pytest.raises(OptionError, match=r"'net_benefit' cannot be drawn(.|\n)*'prob_useful'"):
        plot_decision_curve(benefit_table().drop(columns="prob_useful"))
    with pytest.raises(OptionError, match="has no model, only treat_all and treat_none"):
        plot_decision_curve(benefit_table(SETS[:1], ("treat_all", "treat_none")))
