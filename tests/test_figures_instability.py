"""Instability as a figure: of risks, of classes, of calibration, models beside each other."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import save_bytes, style
from bayes_cmvt.figures.instability import plot_instability
from tests.test_figures_coefficients import points
from tests.test_figures_roc import assert_room, words_of

MODELS = ("horseshoe", "baseline")  # not in the order of the figure


def patient_table(count=30, models=MODELS, *, patients=None):
    parts = []
    for place, model in enumerate(models):
        risk = np.linspace(0.05, 0.7, count)
        for name in ("development", "validation"):
            part = pd.DataFrame({"model": model, "set": name, "risk": risk})
            part["lower"], part["upper"] = risk / (2 + place), risk * 1.2
            part["mean_absolute_error"] = 0.1 * risk * (1 + place)
            part["class_instability"] = 0.4 * np.exp(-np.abs(risk - 0.3)) * (1 + place)
            parts.append(part.assign(mark=np.arange(count) + 1, patients=patients))
    table = pd.concat(parts, ignore_index=True).assign(interval=0.9, threshold="0.05 and 0.6")
    return table if patients else table.drop(columns=["mark", "patients", "threshold"])


def curve_table(resamples=4, models=MODELS):
    """Straight lines, one of them far above 1."""
    risk = np.linspace(0.1, 0.8, 8)
    rows = [
        pd.DataFrame({"model": model, "set": name, "resample": number, "risk": risk}).assign(
            observed=risk * (0.5 + number / 2)
        )
        for model in models
        for name in ("development", "validation")
        for number in range(resamples)
    ]
    return pd.concat(rows, ignore_index=True)


@functools.cache  # nothing here changes a figure
def drawn(width_mm=None, patients=5):
    return plot_instability(patient_table(patients=patients), curve_table(), width_mm=width_mm)


@pytest.mark.parametrize("width", [style.SINGLE_MM, style.DOUBLE_MM])
@pytest.mark.parametrize("patients", [5, None])
def test_texts_have_room(width, patients):
    assert_room(drawn(width, patients))
    alone = patient_table(200, MODELS[:1], patients=patients)
    assert_room(plot_instability(alone, curve_table(1, MODELS[:1]), width_mm=width))


def columns(figure):
    """Panels of each model from the top, in the order of the figure."""
    count = len(figure.axes) // 2
    return {"baseline": figure.axes[:count], "horseshoe": figure.axes[count:]}


def test_patients_of_the_development_set_stand_over_their_risk():
    table = patient_table(patients=5)
    for model, panels in columns(drawn()).items():
        own = table[(table["model"] == model) & (table["set"] == "development")]
        (lines,) = panels[0].collections
        ends = np.array(lines.get_segments())
        np.testing.assert_array_equal(ends[:, 0, 0], own["risk"])
        np.testing.assert_allclose(ends[..., 1], own[["lower", "upper"]])
        for axes, name in zip(panels[1:3], ("mean_absolute_error", "class_instability")):  # noqa: B905
            (dots,) = points(axes, "s")
            np.testing.assert_array_equal(dots.get_xdata(), own["risk"])
            np.testing.assert_array_equal(dots.get_ydata(), own[name])


def test_models_share_their_axes_and_say_which_is_not_a_bootstrap():
    left, right = columns(drawn()).values()
    for one, other in zip(left, right, strict=True):
        assert one.get_xlim() == other.get_xlim()
        assert one.get_ylim() == other.get_ylim()
    assert left[0].get_title(loc="left") == "Workflow repeated on each resample"
    assert right[0].get_title(loc="left") == "Draws of one posterior: draw instability"
    assert [axes.get_ylabel().replace("\n", " ") for axes in left] == [
        "Risk, 90 % range",
        "Mean absolute difference",
        "Share on another side of 0.05 and 0.6",
        "Observed share",
    ]
    assert [axes.get_ylabel() for axes in right] == [""] * 4
    assert left[0].get_ylim() == (0.0, pytest.approx(1.05 * 0.7 * 1.2))


def test_curves_are_those_of_the_resamples_cut_at_1():
    table = curve_table()
    for panels in columns(drawn()).values():
        (lines,) = [each for each in panels[3].collections if isinstance(each, LineCollection)]
        found = np.array(lines.get_segments())
        own = table[(table["model"] == "baseline") & (table["set"] == "development")]
        expected = own["observed"].to_numpy().reshape(4, 8).clip(0, 1)
        np.testing.assert_allclose(found[..., 1], expected)
        assert found[..., 1].max() == 1.0
        assert panels[3].get_ylim() == (0.0, 1.0)
        assert any(
            list(line.get_xdata()) == [0, 1] == list(line.get_ydata()) for line in panels[3].lines
        )


def test_the_number_of_curves_is_said_and_a_resample_without_one_is_not_counted():
    """A model whose risk is the same for all patients has no calibration curve."""
    for panels in columns(drawn()).values():
        assert panels[3].get_title(loc="right") == "4 curves"
    table = curve_table()
    table.loc[table["resample"].gt(0) & table["model"].eq("baseline"), "observed"] = np.nan
    found = columns(plot_instability(patient_table(patients=5), table))
    assert found["baseline"][3].get_title(loc="right") == "1 curve"
    assert found["horseshoe"][3].get_title(loc="right") == "4 curves"


def test_legend_says_whether_a_point_is_one_patient():
    assert words_of(drawn()) == [
        "90 % range over resamples or draws",
        "means of 5 patients or more",
        "one resample or draw",
        "no difference",
    ]
    assert "a patient" in words_of(drawn(None, None))


def test_too_many_patients_for_lines_are_points_at_the_ends():
    table = patient_table(200)
    figure = plot_instability(table, curve_table())
    assert words_of(figure)[:2] == ["a patient", "in the top row: ends of the 90 % range"]
    own = table[(table["model"] == "baseline") & (table["set"] == "development")]
    lower, upper = points(columns(figure)["baseline"][0], "s")
    np.testing.assert_array_equal(lower.get_ydata(), own["lower"])
    np.testing.assert_array_equal(upper.get_ydata(), own["upper"])


def test_without_a_threshold_there_are_no_classes():
    table = patient_table(patients=5).assign(class_instability=np.nan, threshold=np.nan)
    figure = plot_instability(table, curve_table())
    assert len(figure.axes) == 6
    assert not any("side" in axes.get_ylabel() for axes in figure.axes)


def test_one_model_or_one_set_alone_is_a_figure_too():
    alone = plot_instability(patient_table(models=["horseshoe"]), curve_table())
    assert len(alone.axes) == 4
    other = patient_table(patients=7).query("set == 'validation'")
    figure = plot_instability(other, curve_table(), patients="validation")
    assert "means of 7 patients or more" in words_of(figure)
    with pytest.raises(OptionError, match=r"set 'development'(.|\n)*its sets are validation"):
        plot_instability(other, curve_table())


def test_model_without_a_curve_says_so():
    for curves in (curve_table(models=["horseshoe"]), curve_table().iloc[:0]):
        panel = columns(plot_instability(patient_table(patients=5), curves))["baseline"][3]
        assert [text.get_text() for text in panel.texts] == ["no curve"]
        assert not panel.get_title(loc="right")
    missing = curve_table().assign(observed=np.nan)
    panel = columns(plot_instability(patient_table(patients=5), missing))["baseline"][3]
    assert panel.texts


def test_risks_of_nobody_who_can_have_the_event_are_drawn():
    table = patient_table(patients=5).assign(
        risk=0.0, lower=0.0, upper=0.0, mean_absolute_error=0.0
    )
    figure = plot_instability(table, curve_table())
    assert figure.axes[0].get_ylim() == (0.0, 1.0)


def test_words_of_the_threshold_are_text():
    table = patient_table(patients=5).assign(threshold="$x$ <b>")
    label = plot_instability(table, curve_table()).axes[2].yaxis.label
    assert label.get_text().endswith("$x$ <b>")
    assert not label.get_parse_math()


def test_tables_that_cannot_be_drawn_are_refused():
    with pytest.raises(OptionError, match=r"'instability' cannot(.|\n)*'class_instability'"):
        plot_instability(patient_table().drop(columns="class_instability"), curve_table())
    with pytest.raises(OptionError, match=r"'instability_calibration' cannot(.|\n)*'observed'"):
        plot_instability(patient_table(), curve_table().drop(columns="observed"))


def test_same_bytes_each_time():
    again = plot_instability(patient_table(patients=5), curve_table())
    assert save_bytes(again, "svg") == save_bytes(drawn(), "svg")
