"""How two intervals lie, and classes of risk: against closed forms and what must hold anyway."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from bayes_cmvt.compared_intervals import (
    INTERVALS,
    UNCERTAIN,
    class_of,
    overlap,
    risk_classes,
    width_ratio,
    with_widths,
)
from bayes_cmvt.risk_marks import FEWEST, MOST_MARKS, marked_means, marks_of

ends = st.lists(st.floats(-50, 50), min_size=2, max_size=2).map(sorted)


@given(ends, ends)
def test_overlap_is_symmetric_a_share_and_1_for_the_same_interval(first, second):
    there, back = overlap(*first, *second), overlap(*second, *first)
    np.testing.assert_array_equal(there, back)
    if first != second and not np.isnan(there):
        assert 0 <= there <= 1
    if first[0] < first[1]:
        assert overlap(*first, *first) == 1.0


@given(ends, ends, st.floats(0.1, 10), st.floats(-5, 5))
def test_overlap_and_ratio_do_not_depend_on_the_unit(first, second, unit, shift):
    if min(np.diff(first)[0], np.diff(second)[0]) < 0.01:
        return  # rounding of the shift would be all that is compared
    moved = [np.multiply(one, unit) + shift for one in (first, second)]
    np.testing.assert_allclose(overlap(*moved[0], *moved[1]), overlap(*first, *second), atol=1e-9)
    np.testing.assert_allclose(
        width_ratio(*moved[0], *moved[1]), width_ratio(*first, *second), rtol=1e-9
    )


def test_a_missing_or_infinite_limit_gives_neither_overlap_nor_ratio():
    for limits in ((np.nan, 1.0), (0.0, np.inf)):
        assert np.isnan(overlap(*limits, 0.0, 1.0))
        assert np.isnan(width_ratio(*limits, 0.0, 1.0))


def test_a_single_point_shares_nothing_and_has_no_ratio():
    assert overlap(-1.0, 1.0, 0.0, 0.0) == 0.0
    assert np.isnan(width_ratio(-1.0, 1.0, 0.0, 0.0))


def test_width_ratio_stands_behind_the_intervals_as_the_contract_says():
    table = with_widths(
        pd.DataFrame([[0.0, -1.0, 1.0, 0.0, -2.0, 2.0, -1.0, 0.0]], columns=INTERVALS)
    )
    assert list(table) == [*INTERVALS, "width_ratio", "overlap", "wald_width_ratio"]
    assert table.loc[0, ["width_ratio", "overlap", "wald_width_ratio"]].tolist() == [0.5, 0.5, 2.0]


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted),
    st.lists(st.floats(0.01, 0.99), min_size=1, max_size=3, unique=True).map(sorted),
)
def test_a_class_is_certain_exactly_if_no_threshold_parts_the_limits(limits, thresholds):
    (found,) = class_of([limits[0]], [limits[1]], thresholds)
    # a risk at a threshold counts as above it
    parted = any(limits[0] < one <= limits[1] for one in thresholds)
    assert (found == UNCERTAIN) == parted
    if not parted:
        place = sum(one <= limits[0] for one in thresholds)
        assert found == risk_classes(thresholds)[place]


def test_a_missing_limit_has_no_class():
    assert class_of([np.nan], [0.2], [0.3]) == [""]


@given(st.lists(st.floats(0, 1), max_size=900))
def test_marks_hold_five_patients_or_more_and_keep_the_order(risks):
    risk = np.array(risks)
    marks = marks_of(risk)
    if len(risk) < FEWEST:
        assert not marks.any()
        return
    counts = np.bincount(marks)[1:]
    assert counts.min() >= FEWEST
    assert len(counts) <= MOST_MARKS
    order = np.argsort(risk, kind="stable")
    assert (np.diff(marks[order]) >= 0).all()


def test_marked_means_are_the_means_and_small_groups_are_left_out():
    rng = np.random.default_rng(1)
    patients = pd.DataFrame({"set": ["a"] * 23 + ["b"] * 4, "risk": rng.random(27)})
    found = marked_means(patients, "risk", ["risk"], ["set"])
    assert set(found["set"]) == {"a"}
    assert found["patients"].sum() == 23
    by_hand = [np.mean(part) for part in np.array_split(np.sort(patients["risk"][:23]), 4)]
    np.testing.assert_allclose(found["risk"], by_hand, rtol=1e-12)
