"""Figures of the sensitivity to the prior: read back from what was drawn."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import style
from bayes_cmvt.figures.sensitivity import moved_terms, plot_sensitivity
from tests.test_figures_roc import assert_room, words_of

PRIORS = {
    "as_analysed": "regularised horseshoe: 9.5 of 19 expected, slab 2",
    "half_expected": "regularised horseshoe: 4.75 of 19 expected, slab 2",
    "double_expected": "regularised horseshoe: 14.25 of 19 expected, slab 2",
    "normal": "normal, scale 2.5 per SD",
    "student_t": "Student-t, 4 df, scale 2.5 per SD",
}
HOSTILE = {
    0: '<script>alert("x")</script>',
    1: "a $x$ b $",
    2: "long " * 60,
    3: "=SUM(A1)",
}


def labels(terms, hostile=False):
    return [HOSTILE.get(k, f"Predictor {k}") if hostile else f"Predictor {k}" for k in range(terms)]


def power_table(terms=6, hostile=False):
    """Sensitivity to the prior rises with the number of the predictor, .05 for the fifth."""
    names = [*(f"beta[x{k}]" for k in range(terms)), "tau"]
    prior = np.array([*(0.01 * (k + 1) for k in range(terms)), 0.2])
    table = pd.DataFrame({"quantity": names, "label": [*labels(terms, hostile), "Global scale τ"]})
    table = table.assign(prior=prior, likelihood=0.08)
    return table.assign(diagnosis=np.where(prior >= 0.05, "may disagree", "no sign"))


def prior_table(terms=6, hostile=False):
    """Each prior multiplies the log odds ratio; predictors with small numbers are kept most."""
    rows = []
    for place, (prior, description) in enumerate(PRIORS.items()):
        for k, label in enumerate(labels(terms, hostile)):
            effect = (0.05 + 0.01 * k) * (1 + 0.2 * place)
            row = {"prior": prior, "description": description, "term": f"x{k}", "label": label}
            ends = np.exp([effect, effect - 0.3, effect + 0.3])
            names = ("odds_ratio", "odds_ratio_lower", "odds_ratio_upper")
            row |= dict(zip(names, ends, strict=True))
            shrinkage = (k + 1) / (terms + 1) if place < 3 else np.nan
            rows.append(row | {"shrinkage": shrinkage, "interval": 0.95})
    return pd.DataFrame(rows)


def fit_table(trusted=True):
    table = pd.DataFrame({"prior": list(PRIORS), "description": list(PRIORS.values())})
    table["trusted"] = [True, True, trusted, True, True]
    table["elpd_diff"], table["elpd_diff_se"] = [0.0, 0.3, -0.2, -4.0, -3.5], 1.5
    return table.assign(median_width=[0.1, 0.11, 0.12, 0.2, 0.19], interval=0.95)


@functools.cache  # nothing here changes a figure
def drawn(terms=6, hostile=False, **options):
    tables = power_table(terms, hostile), prior_table(terms, hostile), fit_table()
    return plot_sensitivity(*tables, **options)


@pytest.mark.parametrize("width", [85, 175])
@pytest.mark.parametrize("terms", [1, 6, 60])
def test_texts_have_room(terms, width):
    assert_room(drawn(terms, width_mm=width))


@pytest.mark.parametrize("width", [85, 175])
def test_labels_of_any_kind_are_text_and_have_room(width):
    figure = drawn(hostile=True, width_mm=width)
    assert_room(figure)
    names = [name for axes in figure.axes for name in axes.get_yticklabels()]
    assert not any(name.get_parse_math() for name in names)
    assert sum(name.get_text() == "a $x$ b $" for name in names) == 2
    style.save_bytes(figure, "svg")


def test_sensitivities_are_filled_at_the_threshold_or_above():
    axes = drawn().axes[0]
    marks = [line for line in axes.lines if line.get_marker() in "os"]
    prior = [line for line in marks if line.get_marker() == "o"]
    filled, hollow = prior
    np.testing.assert_allclose(sorted(filled.get_xdata()), [0.05, 0.06, 0.2])
    np.testing.assert_allclose(sorted(hollow.get_xdata()), [0.01, 0.02, 0.03, 0.04])
    assert hollow.get_markerfacecolor() == "white" != filled.get_markerfacecolor()
    likelihood = np.concatenate([line.get_xdata() for line in marks if line.get_marker() == "s"])
    assert likelihood.tolist() == [0.08] * 7
    assert [0.05, 0.05] in [list(line.get_xdata()) for line in axes.lines]
    assert axes.get_xlim()[1] > 0.2
    words = " ".join(words_of(drawn()))
    assert "Of 7 quantities: no sign: 4; may disagree: 3" in words
    assert "Scaled are the top-level priors only: global scale, slab and intercept" in words
    assert "to the prior" in words
    assert "to the likelihood" in words


def test_of_many_quantities_the_most_sensitive_are_drawn_and_the_others_counted():
    figure = drawn(60)
    names = [name.get_text() for name in figure.axes[0].get_yticklabels()]
    assert names == [f"Predictor {k}" for k in range(48, 60)]
    assert any("49 of them, less sensitive to the prior" in word for word in words_of(figure))


def test_odds_ratios_under_each_prior_stand_on_the_row_of_their_term():
    figure, table = drawn(), prior_table()
    axes = figure.axes[1]
    points = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert len(points) == len(PRIORS)
    assert len({line.get_marker() for line in points}) == len(PRIORS)
    for line, prior in zip(points, PRIORS, strict=True):
        own = table[table["prior"].eq(prior)]
        np.testing.assert_array_equal(line.get_xdata(), own["odds_ratio"])
        np.testing.assert_array_equal(np.round(line.get_ydata()), np.arange(6))
    assert axes.get_xscale() == "log"
    low, high = axes.get_xlim()
    assert low < table["odds_ratio_lower"].min() < table["odds_ratio_upper"].max() < high
    assert axes.get_xlabel() == "Odds ratio with 95 % interval"
    # short names; what each prior is in full stands in the table
    assert {"as analysed", "half as many expected", "Student-t"} <= set(words_of(figure))


@pytest.mark.parametrize("width", [85, 175])
def test_an_odds_ratio_of_a_measurement_names_its_step(width):
    contrast = prior_table()["term"].map({"x1": 10.0, "x3": 4.25}).fillna(1.0)
    table = prior_table(hostile=True).assign(contrast=contrast)
    figure = plot_sensitivity(power_table(), table, fit_table(), width_mm=width)
    assert_room(figure)
    steps = {text.xy[1]: text.get_text() for text in figure.axes[1].texts}
    assert steps == {1: "per 10", 3: "per 4.25"}
    words = "Odds ratios compare levels, or the step beside the name; without either, one unit"
    assert words in words_of(figure)
    levels = plot_sensitivity(power_table(), prior_table().assign(contrast=1.0))
    assert not levels.axes[1].texts
    assert words not in words_of(levels)


def test_terms_that_are_kept_most_and_those_that_move_most_are_drawn():
    """Small numbers are kept most, large ones move most: five of each, in the table's order."""
    table = prior_table(60)
    assert moved_terms(table) == [f"x{k}" for k in (*range(5), *range(55, 60))]
    figure = drawn(60)
    assert "50 more terms are not drawn" in words_of(figure)
    names = [name.get_text() for name in figure.axes[1].get_yticklabels()]
    assert names == [f"Predictor {k}" for k in (*range(5), *range(55, 60))]


def test_intervals_beyond_the_axis_end_in_an_arrow():
    table = prior_table(1)
    table.loc[4, ["odds_ratio_lower", "odds_ratio_upper"]] = [1e-9, 1e9]
    axes = plot_sensitivity(power_table(), table).axes[1]
    low, high = axes.get_xlim()
    assert low > 1e-3
    assert high < 1e3
    assert {"<", ">"} <= {line.get_marker() for line in axes.lines}


def test_fits_under_each_prior_with_those_that_cannot_be_trusted_hollow():
    figure = plot_sensitivity(power_table(), prior_table(), fit_table(trusted=False))
    loss, width = figure.axes[2:]
    for axes, column in ((loss, "elpd_diff"), (width, "median_width")):
        filled, hollow = [line for line in axes.lines if line.get_marker() == "o"]
        values = fit_table()[column].to_numpy()
        np.testing.assert_array_equal(filled.get_xdata(), np.delete(values, 2))
        np.testing.assert_array_equal(hollow.get_xdata(), values[[2]])
        assert hollow.get_markerfacecolor() == "white"
    ends = np.array([segment[:, 0] for segment in loss.collections[-1].get_segments()])
    np.testing.assert_allclose(ends.mean(axis=1), fit_table()["elpd_diff"])
    assert "hollow: the draws of that fit cannot be trusted" in words_of(figure)
    assert not any("hollow" in word for word in words_of(drawn()))
    assert "± 1 SE" in loss.get_xlabel()
    assert "95 % interval" in width.get_xlabel()


@pytest.mark.parametrize("width", [85, 175])
def test_every_prior_has_a_name_of_its_own(width):
    names = [name.get_text() for name in drawn(width_mm=width).axes[2].get_yticklabels()]
    assert len(set(names)) == len(PRIORS)
    assert names[0] == "as analysed"


def test_without_refits_the_power_scaling_stands_alone():
    figure = plot_sensitivity(power_table())
    assert len(figure.axes) == 1
    unknown = power_table().assign(prior=np.nan, diagnosis=None)
    assert any("no diagnosis: 7" in word for word in words_of(plot_sensitivity(unknown)))
    assert len(plot_sensitivity(power_table(), None, fit_table()).axes) == 3


def test_tables_that_cannot_be_drawn_are_refused():
    with pytest.raises(OptionError, match="'sensitivity_power' cannot be drawn"):
        plot_sensitivity(power_table().iloc[:0])
    with pytest.raises(OptionError, match="'sensitivity_priors' cannot be drawn"):
        plot_sensitivity(power_table(), prior_table().drop(columns="odds_ratio_upper"))
    with pytest.raises(OptionError, match="'sensitivity_fits' cannot be drawn"):
        plot_sensitivity(power_table(), None, fit_table().drop(columns="elpd_diff"))
