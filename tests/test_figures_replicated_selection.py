"""Selection in fresh samples as a figure, read back from what was drawn."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import save_bytes, style
from bayes_cmvt.figures.replicated_selection import plot_replicated_selection
from tests.test_figures_coefficients import HOSTILE
from tests.test_figures_roc import assert_room, words_of

RULES = ("lasso", "p_rule", "kappa", "rope", "interval", "projection")


def survival_table(count, labels=None, true=None, rules=RULES):
    """Effects 0.1, 0.2, … of the last predictors, with changing signs; each rule at its own."""
    true = count // 2 if true is None else true
    size = np.where(np.arange(count) < count - true, 0.0, 0.1 * (1 + np.arange(count)))
    about = {
        "term": [f"x{k}" for k in range(count)],
        "label": labels or [f"Predictor number {k}" for k in range(count)],
        "std_truth": size * (-1.0) ** np.arange(count),
        "survival_mcse": 0.05,
    }
    share = np.linspace(0, 1, count)
    rows = [
        pd.DataFrame(about | {"rule": rule, "survival": share * (1 - place / 10)})
        for place, rule in enumerate(rules)
    ]
    return pd.concat(rows, ignore_index=True).assign(scenario="study")


def rules_table(rules=RULES, **columns):
    place = np.arange(len(rules))
    table = pd.DataFrame({"rule": rules, "sensitivity": 0.9 - place / 20, "data_sets": 60})
    table = table.assign(
        false_discoveries=0.5 - place / 20, sensitivity_mcse=0.02, scenario="study"
    )
    table = table.assign(false_discoveries_mcse=0.03, all_true_kept=0.3 + place / 20)
    return table.assign(exact_set=0.1, same_set_again=0.01 * place).assign(**columns)


@functools.cache  # nothing here changes a figure
def drawn(count, width_mm=None):
    return plot_replicated_selection(survival_table(count), rules_table(), width_mm=width_mm)


def dots_of(axes, marker):
    (line,) = [line for line in axes.lines if line.get_marker() == marker]
    return np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)


@pytest.mark.parametrize("asked", [(1,), (6, 85.0), (26,), (26, 85.0)])
def test_texts_have_room(asked):
    assert_room(drawn(*asked))


def test_true_effects_stand_above_largest_first_and_zeros_below_in_their_order():
    rows, beside = drawn(6).axes[:2]
    names = [text.get_text() for text in rows.get_yticklabels()]
    assert [name[-1] for name in names[:6]] == ["5", "4", "3", "0", "1", "2"]
    assert names[6:] == ["every true effect", "the true set exactly", "the same set again"]
    sizes = [text.get_text() for text in beside.get_yticklabels()]
    assert sizes == ["−0.60", "0.50", "−0.40", "0", "0", "0", "", "", ""]
    ends = [line.get_ydata()[0] for line in rows.lines if line.get_marker() == "None"]
    assert ends == [2.5, 5.5]


def test_each_rule_stands_on_every_row_at_its_share():
    rows = drawn(6).axes[0]
    order = [5, 4, 3, 0, 1, 2]
    for place, marker in enumerate(["x", "+", "s", "^", "D", "o"]):
        share, at = dots_of(rows, marker)
        expected = np.linspace(0, 1, 6)[order] * (1 - place / 10)
        np.testing.assert_allclose(share[:6], expected)
        np.testing.assert_allclose(share[6:], [0.3 + place / 20, 0.1, 0.01 * place])
        np.testing.assert_array_equal(at.round(), np.arange(9))
    assert (np.abs(at - at.round()) < 0.5).all()


def test_sensitivity_stands_against_false_discoveries_with_their_errors():
    errors = drawn(6).axes[2]
    table = rules_table()
    for place, marker in enumerate(["x", "+", "s", "^", "D", "o"]):
        x, y = dots_of(errors, marker)
        assert (x[0], y[0]) == tuple(table.loc[place, ["false_discoveries", "sensitivity"]])
    bars = errors.collections[0].get_segments()[0]
    np.testing.assert_allclose(bars, [[0.47, 0.9], [0.53, 0.9]])


def test_words_name_rules_samples_and_errors():
    said = words_of(drawn(6))
    assert said[:2] == ["LASSO", "LASSO, then the P rule"]
    assert "60 samples; standard errors up to 0.05." in said
    mixed = rules_table(data_sets=[58, 58, 60, 60, 60, 60])
    assert "58 to 60 samples" in words_of(plot_replicated_selection(survival_table(3), mixed))[-1]


def test_where_every_effect_is_true_or_none_there_are_no_errors_to_draw():
    empty = rules_table(false_discoveries=np.nan)
    figure = plot_replicated_selection(survival_table(4, true=4), empty)
    assert len(figure.axes) == 2
    assert "No effect is zero: no discovery is false." in words_of(figure)[-1]
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names[4:] == ["every true effect", "the same set again"]
    null = rules_table(sensitivity=np.nan, all_true_kept=np.nan)
    figure = plot_replicated_selection(survival_table(4, true=0), null, width_mm=85.0)
    assert "Every effect is zero: whatever is kept is false." in words_of(figure)[-1]
    assert_room(figure)


def test_what_has_no_room_is_counted_and_has_the_smallest_effects():
    figure = plot_replicated_selection(survival_table(80, true=40), rules_table())
    shown = len(figure.axes[0].get_yticklabels()) - 3
    note = words_of(figure)[-1].replace("\n", " ")
    assert note.endswith(f"{80 - shown} more with the smallest effects are not drawn.")
    sizes = figure.axes[1].get_yticklabels()
    assert sizes[0].get_text() == "−8.00"
    assert_room(figure)


@pytest.mark.parametrize("width", [style.SINGLE_MM, style.DOUBLE_MM])
def test_labels_are_text_whatever_they_hold(width):
    figure = plot_replicated_selection(survival_table(6, HOSTILE), rules_table(), width_mm=width)
    assert_room(figure)
    assert not any(text.get_parse_math() for text in figure.axes[0].get_yticklabels())
    save_bytes(figure, "svg")  # a letter without a glyph would warn, and warnings are errors


def test_tables_that_cannot_be_drawn_are_refused():
    with pytest.raises(OptionError, match=r"'selection_survival' cannot(.|\n)*'std_truth'"):
        plot_replicated_selection(survival_table(3).drop(columns="std_truth"), rules_table())
    with pytest.raises(OptionError, match=r"'selection_rules' cannot(.|\n)*'exact_set'"):
        plot_replicated_selection(survival_table(3), rules_table().drop(columns="exact_set"))
    two = rules_table(scenario=["study"] * 5 + ["dense"], rule=[*RULES[:5], "stepwise"])
    with pytest.raises(OptionError, match=r"scenarios study, dense(.|\n)*rules stepwise; allowed"):
        plot_replicated_selection(survival_table(3), two)
