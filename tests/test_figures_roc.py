"""ROC curves: read back from what was drawn; and that texts of any figure have room."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pandas as pd
import pytest

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import shared_words, style
from bayes_cmvt.figures.roc import honest_auc, plot_roc
from tests.test_figures_selection import overlap, texts_of

MODELS = ("baseline", "horseshoe", "projection")  # the order of the runs' tables
SETS = ("development", "validation", "external")
RATE = np.linspace(0, 1, 21)


def roc_table(sets=SETS[:2], models=MODELS):
    """Curves of the form rate ** power, whose area is 1 / (1 + power)."""
    tables = []
    for name, (place, model) in itertools.product(sets, enumerate(models)):
        curve = RATE ** (0.3 + 0.1 * place)
        about = {"model": model, "set": name}
        about["method"] = "apparent" if name == "development" else "holdout"
        columns = {"false_positive_rate": RATE, "sensitivity": curve}
        columns |= {"lower": curve**1.4, "upper": curve**0.6, "interval": 0.95}
        tables.append(pd.DataFrame(about | columns))
    return pd.concat(tables, ignore_index=True)


def auc_rows(model, name, methods):
    """An AUC for each method, each with a value of its own."""
    values = {"apparent": 0.91, "kfold": 0.82, "loo": 0.83, "holdout": 0.84}
    rows = []
    for method in methods:
        metric = "leave_pair_out_auc" if method == "loo" else "auc"
        value = values[method]
        row = {"model": model, "set": name, "metric": metric, "estimate": value}
        row |= {"lower": value - 0.05, "upper": value + 0.05, "method": method}
        rows.append(row | {"interval_of": "patients", "interval": 0.95})
        rows.append({**rows[-1], "interval_of": "draws", "estimate": 0.5})
    return rows


def performance_table(sets=SETS[:2], models=MODELS):
    rows = []
    for name, model in itertools.product(sets, models):
        methods = ["holdout"] if name != "development" else ["apparent", "kfold"]
        methods += ["loo"] if (name, model) == ("development", "horseshoe") else []
        rows += auc_rows(model, name, methods)
    return pd.DataFrame(rows)


@functools.cache  # nothing here changes a figure
def drawn(sets=SETS[:2], width=None):
    return plot_roc(roc_table(sets), performance_table(sets), width_mm=width)


def overlaps(some, others, by=0.5):
    """Which boxes share more than half a pixel with which others, shape (some, others)."""
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    return (high - low > by).all(axis=-1)


def assert_room(figure):
    """No text meets another or a panel, all are inside, and the figure is no higher than a page."""
    texts = texts_of(figure)
    assert {text.get_fontsize() for text in texts} <= {style.SMALL, style.LARGE}
    said = [text.get_text() for text in texts]
    boxes = np.array([text.get_window_extent().extents for text in texts])
    meet = np.triu(overlaps(boxes, boxes), k=1)
    assert not meet.any(), [(said[one], said[other]) for one, other in np.argwhere(meet)]
    panels = np.array([axes.bbox.extents for axes in figure.axes])
    inside = overlaps(boxes, panels).any(axis=1)
    assert not inside.any(), [said[k] for k in np.flatnonzero(inside)]
    assert boxes[:, :2].min() >= 0
    assert (boxes[:, 2:].max(axis=0) <= figure.bbox.extents[2:]).all()
    for legend, axes in itertools.product(figure.legends, figure.axes):
        assert not overlap(legend.get_window_extent(), axes.bbox)
    assert style.figure_mm(figure)[1] <= style.PAGE_MM + 1e-6


def words_of(figure):
    """Everything that legends and notes say, on one line each."""
    legends = [text for legend in figure.legends for text in legend.get_texts()]
    return [" ".join(text.get_text().split()) for text in [*legends, *figure.texts]]


@pytest.mark.parametrize("width", [85, 175])
@pytest.mark.parametrize("sets", [SETS[:1], SETS[:2], SETS])
def test_texts_have_room(sets, width):
    assert_room(drawn(sets, width))


def test_one_panel_a_set_and_a_curve_for_each_model_with_the_limits_of_its_band():
    table, figure = roc_table(), drawn()
    assert len(figure.axes) == 2
    for axes, name in zip(figure.axes, SETS, strict=False):
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("1 − specificity", "Sensitivity")
        thick = [line for line in axes.lines if line.get_linewidth() > 1]
        for line, model in zip(
            thick, shared_words.ranked(MODELS, shared_words.MODEL_WORDS), strict=True
        ):
            own = table[table["set"].eq(name) & table["model"].eq(model)]
            np.testing.assert_array_equal(line.get_ydata(), own["sensitivity"])
            assert line.get_color() == shared_words.model_mark(model).colour
        (band,) = axes.collections  # the others' bands are two thin lines each
        own = table[table["set"].eq(name) & table["model"].eq("horseshoe")]
        corners = band.get_paths()[0].vertices
        assert set(own["lower"]) | set(own["upper"]) <= set(corners[:, 1])
        assert len(axes.lines) == 3 + 2 * 2 + 1


def test_an_auc_is_of_patients_left_out_by_a_method_that_all_models_have():
    areas = honest_auc(performance_table(), "development", MODELS)
    assert set(areas["method"]) == {"kfold"}
    assert set(areas["estimate"]) == {0.82}
    assert set(honest_auc(performance_table(), "validation", MODELS)["method"]) == {"holdout"}


def test_without_a_common_method_each_model_has_its_best_and_the_legend_says_which():
    rows = [*auc_rows("horseshoe", "development", ["apparent", "loo"])]
    rows += auc_rows("baseline", "development", ["apparent"])
    figure = plot_roc(roc_table(SETS[:1]), pd.DataFrame(rows))
    words = words_of(figure)
    assert "horseshoe: 0.83 (0.78 to 0.88), left out one by one; this curve 0.91" in words
    assert any(word.startswith("LASSO workflow: 0.91 (0.86 to 0.96), apparent") for word in words)
    assert "projected submodel: not judged" in words
    assert "AUC with 95 % interval; the curve is apparent" in words
    assert not any("this curve" in word for word in words if word.startswith("LASSO"))


def test_a_pooled_auc_of_patients_left_out_one_by_one_is_never_shown():
    rows = auc_rows("horseshoe", "development", ["apparent"])
    pooled = {**rows[0], "metric": "auc", "method": "loo", "estimate": 0.41}
    areas = honest_auc(pd.DataFrame([*rows, pooled]), "development", ["horseshoe"])
    assert areas["estimate"].tolist() == [0.91]


def test_an_apparent_curve_says_so_and_the_level_is_named():
    figure = plot_roc(roc_table().assign(interval=0.9), performance_table())
    words = words_of(figure)
    assert "Development patients: apparent curve" in words
    assert "Validation patients" in words
    assert "90 % band over patients, horseshoe" in words
    assert "AUC with 95 % interval: cross-validated; the curve is apparent" in words
    assert "AUC with 95 % interval: new patients" in words


def test_the_area_under_an_apparent_curve_stands_beside_the_honest_one():
    """0.91 is the apparent AUC over patients; 0.5, over draws, must not appear."""
    words = words_of(drawn())
    for model in ("horseshoe", "LASSO workflow", "projected submodel"):
        assert f"{model}: 0.82 (0.77 to 0.87); this curve 0.91" in words
        assert f"{model}: 0.84 (0.79 to 0.89)" in words
    honest = roc_table().assign(method="kfold")
    said = words_of(plot_roc(honest, performance_table()))
    assert not any("this curve" in word or "is apparent" in word for word in said)


def test_at_most_three_models_and_one_model_alone():
    many = roc_table(SETS[:1], (*MODELS, "published"))
    lines = plot_roc(many, performance_table()).axes[0].lines
    assert sum(line.get_linewidth() > 1 for line in lines) == 3
    alone = plot_roc(roc_table(SETS[:1], ["baseline"]), performance_table())
    assert style.figure_mm(alone)[0] == pytest.approx(style.SINGLE_MM)
    assert not any("other models" in word for word in words_of(alone))


def test_limits_that_are_missing_are_named_and_leave_the_curve():
    performance = performance_table().assign(lower=np.nan)
    figure = plot_roc(roc_table().assign(lower=np.nan, upper=np.nan), performance)
    assert "horseshoe: 0.82 (no interval); this curve 0.91" in words_of(figure)


def test_tables_that_cannot_be_drawn_are_refused():
    with pytest.raises(OptionError, match=r"'roc' cannot be drawn(.|\n)*'sensitivity'"):
        plot_roc(roc_table().drop(columns="sensitivity"), performance_table())
    with pytest.raises(OptionError, match="'performance' cannot be drawn"):
        plot_roc(roc_table(), performance_table().iloc[:0])
