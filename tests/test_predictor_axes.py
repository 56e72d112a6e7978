"""Axes: round values as R chooses them, and never one patient's own extreme."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_cmvt.cohort import load_cohort
from bayes_cmvt.errors import OptionError
from bayes_cmvt.predictor_axes import predictor_axes
from bayes_cmvt.pretty_values import decade_values, pretty
from tests.builders import predictor, study

# R 4.2.2: p <- pretty(c(low, high), n); first, last, length
R_PRETTY = (
    (14, 45, 10, 10, 45, 8),
    (80, 250, 10, 80, 260, 10),
    (0, 1, 8, 0, 1, 11),
    (7, 8, 1, 7, 8, 2),
    (-3, 17.2, 5, -5, 20, 6),
    (3.2, 3.2, 8, 2, 4, 3),
    (0.0012, 0.0031, 8, 0.0012, 0.0032, 11),
)


@pytest.mark.parametrize(("low", "high", "intervals", "first", "last", "count"), R_PRETTY)
def test_pretty_values_are_those_of_r(low, high, intervals, first, last, count):
    values = pretty(low, high, intervals)
    assert len(values) == count
    np.testing.assert_allclose([values[0], values[-1]], [first, last], rtol=1e-12)


@given(
    low=st.floats(-1e3, 1e3),
    width=st.floats(1e-2, 1e6),
    intervals=st.integers(1, 20),
)
def test_pretty_values_hold_the_range_in_equal_round_steps(low, width, intervals):
    values = pretty(low, low + width, intervals)
    step = np.diff(values)
    assert values[0] <= low + 1e-9 * step[0]
    assert values[-1] >= low + width - 1e-9 * step[0]
    # values of 1,000 are known to 1e-13, steps of 0.001 then to 1e-10 of themselves
    np.testing.assert_allclose(step, step[0], rtol=1e-9)
    assert f"{step[0]:.6e}"[:8] in ("1.000000", "2.000000", "5.000000")


@given(low=st.floats(1e-4, 1e3), ratio=st.floats(1.0, 1e6))
def test_decades_hold_the_range_in_steps_of_1_2_and_5(low, ratio):
    values = decade_values(low, low * ratio)
    assert values[0] <= low * (1 + 1e-9)
    assert values[-1] >= low * ratio * (1 - 1e-9)
    assert {f"{value:e}"[0] for value in values} <= {"1", "2", "5"}


def axis_of(values, rest="", **keys):
    frame = pd.DataFrame({"y": np.arange(len(values)) % 2, "x": values})
    cohort = load_cohort(study(predictor("x", **keys), rest), frame)
    return predictor_axes(cohort)[0]


def test_one_extreme_patient_does_not_stretch_an_axis():
    values = np.append(np.linspace(20, 40, 300), 987.654)
    axis = axis_of(values)
    assert (axis.low, axis.high) == (20, 40)
    assert axis.reference == 30


def test_no_axis_leaves_the_declared_range_or_where_the_transform_is_defined():
    share = np.append(np.linspace(0.4, 99.7, 200), 50)
    assert axis_of(share, range="[0, 100]").high == 100
    assert axis_of(share, range="[0.3, 99.9]").values[0] == "0.3"
    narrow = np.linspace(0.9, 9, 200)
    logarithmic = axis_of(narrow, transform='"log"')
    assert 0 < logarithmic.low <= np.quantile(narrow, 0.01)
    assert axis_of(narrow - 0.9, transform='"sqrt"').low == 0


def test_a_declared_axis_is_drawn_from_end_to_end():
    axis = axis_of(np.linspace(0, 50, 99), axis="[3, 41]")
    assert axis.values == ("3", "5", "10", "15", "20", "25", "30", "35", "40", "41")


def test_a_logarithmic_axis_over_decades_counts_in_decades():
    axis = axis_of(np.geomspace(0.011, 95, 500), transform='"log"')
    assert axis.values[:4] == ("0.01", "0.02", "0.05", "0.1")
    assert axis.values[-1] == "100"


def test_counts_have_whole_ticks():
    axis = axis_of(np.arange(200) % 4)
    assert axis.values == ("0", "1", "2", "3")
    assert axis.reference in (1, 2)


def test_a_predictor_that_nearly_everybody_shares_still_has_an_axis():
    values = np.zeros(400)
    values[:2] = 3.7
    axis = axis_of(values)
    assert axis.low == 0
    # two SDs, not the value itself: 2 * 3.7 * sqrt(0.005 * 0.995) is 0.52
    assert axis.high == 0.55


def test_nobody_sets_an_axis_alone():
    values = np.zeros(300)
    values[:4] = (3.7, 12.9, 847.123, 3.7)
    axis = axis_of(values)
    assert (axis.low, axis.high) == (0, 100)


def test_medians_keep_no_digit_that_tells_a_patient():
    values = np.append(np.linspace(10, 20, 100), np.linspace(30, 40, 100))
    values = np.append(values, 25.123456)
    assert axis_of(values).reference == 25.1


def test_levels_are_assumed_as_most_patients_have_them():
    frame = pd.DataFrame({"y": np.arange(90) % 2, "x": ["b"] * 50 + ["c"] * 20 + ["a"] * 20})
    levels = '["a", "b", "c"]'
    category = load_cohort(study(predictor("x", "categorical", levels=levels)), frame)
    ordered = load_cohort(study(predictor("x", "ordinal", levels='["b", "a", "c"]')), frame)
    assert [axis.text(axis.common) for axis in predictor_axes(category)] == ["b"]
    assert [axis.text(axis.reference) for axis in predictor_axes(category)] == ["a"]
    # half of the patients have at most the first level
    assert [axis.text(axis.common) for axis in predictor_axes(ordered)] == ["b"]


def test_rms_limits_are_every_value_or_pretty_ones_over_the_whole_range():
    few = axis_values_as_rms(np.array([0, 1, 2, 3, 4, 6] * 10))
    assert few == ("0", "1", "2", "3", "4", "6")
    many = axis_values_as_rms(np.linspace(14, 45, 60))
    assert many == ("10", "15", "20", "25", "30", "35", "40", "45")


def axis_values_as_rms(values):
    frame = pd.DataFrame({"y": np.arange(len(values)) % 2, "x": values})
    return predictor_axes(load_cohort(study(), frame), "rms")[0].values


def test_other_limits_are_refused():
    frame = pd.DataFrame({"y": [0, 1] * 5, "x": np.arange(10.0)})
    with pytest.raises(OptionError, match=r'axis_limits: found .*; allowed: "study", "rms"'):
        predictor_axes(load_cohort(study(), frame), "data")  # type: ignore[arg-type]
