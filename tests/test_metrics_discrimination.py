"""Areas, curve, threshold metrics and Youden's point: pROC, scikit-learn, pairs counted by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics
from sklearn.linear_model import LogisticRegression

from bayes_cmvt.errors import MetricError
from bayes_cmvt.metrics import arrays
from bayes_cmvt.metrics.discrimination import (
    AreaDifference,
    Youden,
    auc,
    auc_delong,
    auc_difference,
    negative_predictive_value,
    positive_predictive_value,
    roc_curve,
    sensitivity,
    specificity,
    youden,
)
from tests.builders import assert_leading_axes_are_broadcast
from tests.references import glm_log_odds, reference_design, reference_section

PRINTED = 1e-9  # the references carry 15 significant digits
ROUNDING = 1e-12
AT_THRESHOLD = (sensitivity, specificity, positive_predictive_value, negative_predictive_value)
ASAH_MARKERS = ("wfns", "s100b", "ndka")

type Case = tuple[np.ndarray, np.ndarray, np.ndarray]  # outcome, risk, weights

in_every_dataset = pytest.mark.parametrize("name", ["synth26", "indo_rct", "birthwt", "asah"])


def outcome_and_marker(name: str, variable: str, sign: int = 1) -> tuple[np.ndarray, np.ndarray]:
    design = reference_design(name)
    return design["y"].to_numpy(), sign * design[variable].to_numpy(dtype=float)


def shares_by_pairs(outcome: np.ndarray, risk: np.ndarray) -> np.ndarray:
    """Event times non-event: 1 in order, 1/2 tied, 0 out of order."""
    events, others = risk[outcome == 1][:, None], risk[outcome == 0][None, :]
    return (events > others) + 0.5 * (events == others)


def auc_by_pairs(outcome: np.ndarray, risk: np.ndarray, weights: np.ndarray) -> float:
    pair_weights = weights[outcome == 1][:, None] * weights[outcome == 0][None, :]
    return float((shares_by_pairs(outcome, risk) * pair_weights).sum() / pair_weights.sum())


def covariance_by_definition(outcome: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    a, b = shares_by_pairs(outcome, first), shares_by_pairs(outcome, second)
    return float(
        np.cov(a.mean(axis=1), b.mean(axis=1))[0, 1] / a.shape[0]
        + np.cov(a.mean(axis=0), b.mean(axis=0))[0, 1] / a.shape[1]
    )


def youden_by_trying(
    outcome: np.ndarray, risk: np.ndarray, weights: np.ndarray
) -> tuple[float, float, float, float, int]:
    outcome, risk, weights = (part[weights > 0] for part in (outcome, risk, weights))
    distinct = np.unique(risk)
    inner = (distinct[1:] + distinct[:-1]) / 2
    points = []
    for threshold in [-np.inf, *inner, np.inf]:
        positive = risk >= threshold
        hit = (weights * positive)[outcome == 1].sum() / weights[outcome == 1].sum()
        spared = (weights * ~positive)[outcome == 0].sum() / weights[outcome == 0].sum()
        points.append((float(threshold), float(hit), float(spared), float(hit + spared - 1)))
    highest = max(point[3] for point in points)
    best = [point for point in points if point[3] >= highest - 1e-12]
    return (*max(best, key=lambda point: point[2]), len(best))


def random_case(seed: int, patients: int = 60, digits: int = 1) -> Case:
    """Risks with many ties, whole-number weights some of which are 0."""
    rng = np.random.default_rng(seed)
    outcome = rng.integers(0, 2, patients)
    outcome[:2] = 0, 1
    risk = np.round(rng.uniform(0, 1, patients) * 0.7 + outcome * 0.2, digits)
    weights = rng.integers(0, 4, patients).astype(float)
    weights[:2] = 1
    return outcome, risk, weights


@st.composite
def cases(draw: st.DrawFn, least_of_each: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Small cohorts with both outcomes; risks in eighths, so ties are frequent and sums exact."""
    events, others = (draw(st.integers(least_of_each, 7)) for _ in range(2))
    order = draw(st.permutations([1] * events + [0] * others))
    eighths = st.integers(0, 8)
    risk = draw(st.lists(eighths, min_size=events + others, max_size=events + others))
    return np.array(order), np.array(risk) / 8


# --- areas: R ------------------------------------------------------------------------------------


@in_every_dataset
def test_area_variance_and_interval_of_glm_risks_are_those_of_proc(name):
    printed = reference_section(name, "roc")["glm"]
    outcome, log_odds = glm_log_odds(name)
    risk = 1 / (1 + np.exp(-log_odds))
    area = auc_delong(outcome, risk)
    assert auc(outcome, risk) == pytest.approx(printed["auc"], abs=PRINTED)
    assert area.estimate == pytest.approx(printed["auc"], abs=PRINTED)
    assert area.variance == pytest.approx(printed["var_delong"], abs=PRINTED)
    assert [area.lower, area.upper] == pytest.approx(printed["ci_delong_95"], abs=PRINTED)


@in_every_dataset
def test_area_variance_and_interval_of_a_marker_are_those_of_proc(name):
    printed = reference_section(name, "roc")["marker"]
    area = auc_delong(*outcome_and_marker(name, printed["variable"], printed["sign"]))
    assert area.estimate == pytest.approx(printed["auc"], abs=PRINTED)
    assert area.variance == pytest.approx(printed["var_delong"], abs=PRINTED)
    assert [area.lower, area.upper] == pytest.approx(printed["ci_delong_95"], abs=PRINTED)


def assert_difference(found: AreaDifference, printed: dict[str, Any]) -> None:
    assert found.z == pytest.approx(printed["statistic"], abs=PRINTED)
    assert found.p_value == pytest.approx(printed["p_value"], abs=PRINTED)
    assert found.estimate == pytest.approx(printed["auc1"] - printed["auc2"], abs=PRINTED)
    assert [found.lower, found.upper] == pytest.approx(printed["diff_ci_95"], abs=PRINTED)


@in_every_dataset
def test_paired_test_of_glm_risks_and_a_marker_is_that_of_proc(name):
    roc = reference_section(name, "roc")
    outcome, log_odds = glm_log_odds(name)
    risk = 1 / (1 + np.exp(-log_odds))
    _, marker = outcome_and_marker(name, roc["marker"]["variable"], roc["marker"]["sign"])
    found = auc_difference(outcome, risk, marker)
    assert_difference(found, roc["test_glm_vs_marker_delong_paired"])


@pytest.mark.parametrize("variable", ASAH_MARKERS)
def test_areas_of_the_single_markers_of_asah_are_those_of_proc(variable):
    printed = reference_section("asah", "roc")["single_markers"][variable]
    area = auc_delong(*outcome_and_marker("asah", variable))
    assert area.estimate == pytest.approx(printed["auc"], abs=PRINTED)
    assert area.variance == pytest.approx(printed["var_delong"], abs=PRINTED)
    assert [area.lower, area.upper] == pytest.approx(printed["ci_delong_95"], abs=PRINTED)


@pytest.mark.parametrize("pair", ["wfns_s100b", "wfns_ndka", "s100b_ndka"])
def test_paired_tests_of_the_markers_of_asah_are_those_of_proc(pair):
    printed = reference_section("asah", "roc")["marker_tests"][pair]
    first, second = pair.split("_")
    outcome, risk_a = outcome_and_marker("asah", first)
    _, risk_b = outcome_and_marker("asah", second)
    assert_difference(auc_difference(outcome, risk_a, risk_b), printed)


# --- areas: second algorithms --------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("digits", [1, 8])
def test_area_is_the_weighted_share_of_pairs_in_order(seed, digits):
    outcome, risk, weights = random_case(seed, digits=digits)
    shares = np.random.default_rng(seed).dirichlet(np.ones(len(outcome)))
    for given_weights in (weights, shares):
        by_pairs = auc_by_pairs(outcome, risk, given_weights)
        by_sklearn = sklearn_metrics.roc_auc_score(outcome, risk, sample_weight=given_weights)
        found = auc(outcome, risk, weights=given_weights)
        assert found == pytest.approx(by_pairs, abs=ROUNDING)
        assert found == pytest.approx(by_sklearn, abs=ROUNDING)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("digits", [1, 8])
def test_delong_variances_are_those_of_the_definition(seed, digits):
    outcome, risk, _ = random_case(seed, digits=digits)
    _, other, _ = random_case(seed + 100, digits=digits)
    area = auc_delong(outcome, risk)
    assert area.estimate == pytest.approx(auc(outcome, risk), abs=ROUNDING)
    own = covariance_by_definition(outcome, risk, risk)
    assert area.variance == pytest.approx(own, abs=ROUNDING)
    difference = auc_difference(outcome, risk, other)
    expected = (
        own
        + covariance_by_definition(outcome, other, other)
        - 2 * covariance_by_definition(outcome, risk, other)
    )
    assert difference.estimate == pytest.approx(auc(outcome, risk) - auc(outcome, other), abs=1e-12)
    assert difference.variance == pytest.approx(expected, abs=ROUNDING)


@settings(deadline=None)
@given(cases())
def test_area_is_unchanged_by_any_increasing_transform(case):
    outcome, risk = case
    assert auc(outcome, np.exp(5 * risk) - 100) == auc(outcome, risk)
    assert auc(outcome, -risk) == pytest.approx(1 - auc(outcome, risk), abs=ROUNDING)
    assert auc(1 - outcome, risk) == pytest.approx(1 - auc(outcome, risk), abs=ROUNDING)


@settings(deadline=None)
@given(cases(), st.randoms(use_true_random=False))
def test_area_and_youden_are_unchanged_by_order_and_doubling(case, random):
    outcome, risk = case
    order = list(range(len(risk)))
    random.shuffle(order)
    twice = np.tile(outcome, 2), np.tile(risk, 2)
    for same in ((outcome[order], risk[order]), twice):
        assert auc(*same) == pytest.approx(auc(outcome, risk), abs=ROUNDING)
        assert fields(youden(*same)) == pytest.approx(fields(youden(outcome, risk)), abs=ROUNDING)


@settings(deadline=None)
@given(cases(least_of_each=2))
def test_delong_of_reversed_risks_mirrors_the_area(case):
    outcome, risk = case
    area, mirrored = auc_delong(outcome, risk), auc_delong(outcome, -risk)
    assert mirrored.estimate == pytest.approx(1 - area.estimate, abs=ROUNDING)
    assert mirrored.variance == pytest.approx(area.variance, abs=ROUNDING)
    assert mirrored.lower == pytest.approx(1 - area.upper, abs=ROUNDING)


@settings(deadline=None)
@given(cases(least_of_each=2), st.integers(0, 1000))
def test_differences_are_antisymmetric(case, seed):
    outcome, risk = case
    other = np.random.default_rng(seed).integers(0, 5, len(risk))
    there, back = auc_difference(outcome, risk, other), auc_difference(outcome, other, risk)
    assert there.estimate == -back.estimate
    assert there.variance == back.variance
    assert there.z == -back.z
    assert there.p_value == back.p_value
    assert there.lower == -back.upper


# --- areas: closed forms and degenerate cases ----------------------------------------------------


def test_area_of_separated_patients_is_one_and_of_equal_risks_a_half():
    outcome = [0, 0, 0, 1, 1]
    assert auc(outcome, [0.1, 0.2, 0.3, 0.4, 0.5]) == 1
    assert auc(outcome, [0.5, 0.4, 0.3, 0.2, 0.1]) == 0
    assert auc(outcome, [0.3] * 5) == 0.5
    assert auc(outcome, [0, 0, 0, 1, 1]) == 1
    weights = np.random.default_rng(1).dirichlet(np.ones(5), size=50)
    # rounding of the weights' sums may not lift an area above 1
    separated = auc(outcome, [0.1, 0.2, 0.3, 0.4, 0.5], weights=weights)
    np.testing.assert_allclose(separated, 1, rtol=ROUNDING)
    assert separated.max() <= 1


def test_area_of_three_patients_counts_two_pairs():
    assert auc([0, 1, 0], [0.2, 0.2, 0.7]) == 0.25
    assert auc([1, 0, 1], [-0.0, 0.0, math.pi]) == 0.75  # minus zero is zero


def test_delong_variance_is_zero_where_patients_agree():
    outcome = [0, 0, 0, 1, 1]
    separated = auc_delong(outcome, [0.1, 0.2, 0.3, 0.4, 0.5])
    assert (separated.estimate, separated.variance) == (1, 0)
    assert (separated.lower, separated.upper) == (1, 1)
    tied = auc_delong(outcome, [0.3] * 5)
    assert (tied.estimate, tied.variance, tied.lower, tied.upper) == (0.5, 0, 0.5, 0.5)
    tied = auc_delong(outcome, [0.3] * 5, scale="logit")
    assert (tied.estimate, tied.variance, tied.lower, tied.upper) == (0.5, 0, 0.5, 0.5)


def test_logit_limits_are_the_closed_form_and_missing_at_the_edges():
    outcome, risk, _ = random_case(3)
    area = auc_delong(outcome, risk, ci_prob=0.9, scale="logit")
    centre = math.log(area.estimate / (1 - area.estimate))
    reach = 1.6448536269514722 * math.sqrt(area.variance) / (area.estimate * (1 - area.estimate))
    expected = [1 / (1 + math.exp(-centre - sign * reach)) for sign in (-1, 1)]
    assert [area.lower, area.upper] == pytest.approx(expected, abs=ROUNDING)
    rows = [[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1], [0.1, 0.3, 0.2, 0.4]]
    several = auc_delong([0, 0, 1, 1], rows, scale="logit")
    np.testing.assert_array_equal(np.isnan(several.lower), [True, True, False])
    np.testing.assert_array_equal(np.isnan(several.upper), [True, True, False])
    np.testing.assert_array_equal(several.estimate, [1, 0, 0.75])


def test_plain_limits_are_cut_at_zero_and_one():
    area = auc_delong([0, 0, 1, 1], [[0.1, 0.3, 0.2, 0.4], [0.4, 0.2, 0.3, 0.1]], ci_prob=0.99)
    # 0.75 and 0.25, each ± 2.58 * sqrt(0.125)
    np.testing.assert_array_equal(area.estimate, [0.75, 0.25])
    np.testing.assert_array_equal(area.lower, [0, 0])
    np.testing.assert_array_equal(area.upper, [1, 1])


def test_identical_orders_differ_by_nothing():
    outcome, risk, _ = random_case(4)
    same = auc_difference(outcome, risk, np.exp(risk))
    assert (same.estimate, same.variance, same.z, same.p_value) == (0, 0, 0, 1)
    assert (same.lower, same.upper) == (0, 0)


def test_a_difference_alike_in_every_patient_is_infinitely_sure():
    certain = auc_difference([0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 5, 6], [1] * 6)
    assert (certain.estimate, certain.variance) == (0.5, 0)
    assert (certain.z, certain.p_value) == (math.inf, 0)


def test_limits_of_a_difference_are_cut_at_minus_one_and_one():
    # areas 1 and 1/4: the events beat 2 and 2, then 0 and 1 of 2 non-events
    found = auc_difference([0, 0, 1, 1], [1, 2, 3, 4], [4, 2, 1, 3], ci_prob=0.999)
    assert found.estimate == 0.75
    assert found.upper == 1
    assert -1 <= found.lower < 0.75


def test_intervals_of_delong_cover_the_true_area():
    # normal scores one SD apart: the area is Phi(1 / sqrt 2) = 0.76025; coverage of the plain
    # interval is close to 0.95 with 40 + 60 patients; 4 SE of 2,000 replicates are 0.02, and 0.02
    # more for the normal approximation
    rng = np.random.default_rng(20)
    outcome = np.repeat([0, 1], [60, 40])
    area = auc_delong(outcome, rng.standard_normal((2000, 100)) + outcome)
    covered = (area.lower <= 0.7602499389) & (area.upper >= 0.7602499389)
    assert covered.mean() == pytest.approx(0.95, abs=0.04)
    # mean of 2,000 areas, each with SD 0.05: 4 SE are 0.0045
    assert area.estimate.mean() == pytest.approx(0.7602499389, abs=0.0045)
    assert area.variance.mean() == pytest.approx(area.estimate.var(ddof=1), rel=0.15)


# --- curve ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("digits", [1, 8])
@pytest.mark.parametrize("weighted", [False, True])
def test_curve_is_that_of_sklearn(seed, digits, weighted):
    outcome, risk, weights = random_case(seed, digits=digits)
    there = weights > 0  # scikit-learn drops what has no weight, as we do
    given_weights = weights if weighted else None
    curve = roc_curve(outcome, risk, weights=given_weights)
    false_positive, true_positive, threshold = sklearn_metrics.roc_curve(
        outcome[there] if weighted else outcome,
        risk[there] if weighted else risk,
        sample_weight=weights[there] if weighted else None,
        drop_intermediate=False,
    )
    np.testing.assert_array_equal(curve.threshold, threshold)
    np.testing.assert_allclose(curve.sensitivity, true_positive, atol=ROUNDING)
    np.testing.assert_allclose(curve.specificity, 1 - false_positive, atol=ROUNDING)


@settings(deadline=None)
@given(cases())
def test_curve_runs_from_nobody_to_everybody_and_its_area_is_the_auc(case):
    outcome, risk = case
    curve = roc_curve(outcome, risk)
    assert (curve.sensitivity[0], curve.specificity[0]) == (0, 1)
    assert (curve.sensitivity[-1], curve.specificity[-1]) == (1, 0)
    assert curve.threshold[0] == np.inf
    np.testing.assert_array_equal(curve.threshold[1:], np.unique(risk)[::-1])
    area = np.trapezoid(curve.sensitivity, 1 - curve.specificity)
    assert area == pytest.approx(auc(outcome, risk), abs=ROUNDING)


@in_every_dataset
def test_curve_has_as_many_points_as_that_of_proc(name):
    roc = reference_section(name, "roc")
    outcome, log_odds = glm_log_odds(name)
    risk = 1 / (1 + np.exp(-log_odds))
    _, marker = outcome_and_marker(name, roc["marker"]["variable"], roc["marker"]["sign"])
    assert len(roc_curve(outcome, marker).threshold) == roc["marker"]["n_thresholds"]
    # equal rows of the design may differ in the last bit of R's sum, not of ours
    points = len(roc_curve(outcome, np.round(risk, 12)).threshold)
    assert points == roc["glm"]["n_thresholds"]


def test_curve_points_are_the_metrics_at_their_thresholds():
    outcome, risk, weights = random_case(6)
    curve = roc_curve(outcome, risk, weights=weights)
    inside = (curve.threshold > 0) & (curve.threshold < 1)
    assert inside.sum() > 5
    for threshold, hit, spared in zip(
        curve.threshold[inside], curve.sensitivity[inside], curve.specificity[inside], strict=True
    ):
        assert sensitivity(outcome, risk, threshold, weights=weights) == pytest.approx(hit)
        assert specificity(outcome, risk, threshold, weights=weights) == pytest.approx(spared)


@pytest.mark.parametrize("shape", [(1, 4), (3, 4), (2, 3, 4)])
def test_curve_takes_one_vector(shape):
    outcome = [0, 1, 0, 1]
    with pytest.raises(MetricError, match=r"risk: leading shape \(.*\); a ROC curve is of one"):
        roc_curve(outcome, np.full(shape, 0.5))
    with pytest.raises(MetricError, match="a ROC curve is of one vector, shape"):
        roc_curve(outcome, np.full(4, 0.5), weights=np.ones(shape))


# --- threshold metrics ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.7])
def test_threshold_metrics_are_those_of_sklearn(seed, threshold):
    outcome, risk, weights = random_case(seed)
    class_at = risk >= threshold
    for given_weights in (None, weights):
        kept = {"sample_weight": given_weights, "zero_division": np.nan}
        expected = [
            sklearn_metrics.recall_score(outcome, class_at, **kept),
            sklearn_metrics.recall_score(outcome, class_at, pos_label=0, **kept),
            sklearn_metrics.precision_score(outcome, class_at, **kept),
            sklearn_metrics.precision_score(outcome, class_at, pos_label=0, **kept),
        ]
        found = [metric(outcome, risk, threshold, weights=given_weights) for metric in AT_THRESHOLD]
        np.testing.assert_allclose(found, expected, rtol=ROUNDING)


def test_threshold_metrics_by_hand_with_a_risk_at_the_threshold():
    # positive: 0.4 (itself the threshold), 0.9 and 1, of whom two had the event
    outcome, risk = [1, 0, 1, 0, 0, 1], [0.9, 0.4, 0.1, 0.0, 0.39, 1.0]
    found = [metric(outcome, risk, 0.4) for metric in AT_THRESHOLD]
    assert found == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2 / 3], abs=ROUNDING)
    found = [metric(outcome, risk, 0.95) for metric in AT_THRESHOLD]
    assert found == pytest.approx([1 / 3, 1, 1, 3 / 5], abs=ROUNDING)


def test_predictive_values_are_missing_where_nobody_is_called():
    outcome, low, high = [0, 1, 0], [0.0, 0.1, 0.2], [0.7, 0.8, 1.0]
    assert math.isnan(positive_predictive_value(outcome, low, 0.5))
    assert math.isnan(negative_predictive_value(outcome, high, 0.5))
    # somebody is called, but has no weight: not there. Weights whose sums are not exact
    weights = [0.1, 0.7, 0.0]
    assert math.isnan(positive_predictive_value(outcome, [0.1, 0.2, 0.9], 0.5, weights=weights))
    assert math.isnan(negative_predictive_value(outcome, [0.9, 0.8, 0.1], 0.5, weights=weights))
    several = positive_predictive_value(outcome, [low, high], 0.5)
    np.testing.assert_allclose(several, [np.nan, 1 / 3])


def test_predictive_values_take_one_outcome_alone():
    assert positive_predictive_value([1, 1, 1], [0.1, 0.6, 0.7], 0.5) == 1
    assert negative_predictive_value([1, 1, 1], [0.1, 0.6, 0.7], 0.5) == 0
    for metric in (sensitivity, specificity):
        with pytest.raises(MetricError, match="all 3 patients had an event; both outcomes"):
            metric([1, 1, 1], [0.1, 0.6, 0.7], 0.5)


@pytest.mark.parametrize("metric", AT_THRESHOLD)
@pytest.mark.parametrize("threshold", [0, 1, -0.2, 50, math.nan])
def test_a_threshold_outside_0_and_1_is_refused(metric, threshold):
    with pytest.raises(MetricError, match=r"^threshold: found .*; allowed: above 0 and below 1"):
        metric([0, 1], [0.2, 0.8], threshold)


@pytest.mark.parametrize("metric", AT_THRESHOLD)
def test_threshold_metrics_take_probabilities_alone(metric):
    with pytest.raises(MetricError, match="risk: 20 lies outside 0 to 1; give probabilities"):
        metric([0, 1], [0.2, 20], 0.5)


# --- Youden --------------------------------------------------------------------------------------


def fields(point: Youden) -> tuple[Any, ...]:
    return (point.threshold, point.sensitivity, point.specificity, point.index, point.maximisers)


def assert_youden(found: Youden, printed: list[dict[str, float]]) -> None:
    most_specific = max(printed, key=lambda point: point["specificity"])
    assert found.threshold == pytest.approx(most_specific["threshold"], abs=PRINTED)
    assert found.sensitivity == pytest.approx(most_specific["sensitivity"], abs=PRINTED)
    assert found.specificity == pytest.approx(most_specific["specificity"], abs=PRINTED)
    assert found.maximisers == len(printed)


@in_every_dataset
def test_youden_of_glm_risks_and_of_a_marker_are_those_of_proc(name):
    roc = reference_section(name, "roc")
    outcome, log_odds = glm_log_odds(name)
    assert_youden(youden(outcome, 1 / (1 + np.exp(-log_odds))), roc["glm"]["youden"])
    marker = roc["marker"]
    found = youden(*outcome_and_marker(name, marker["variable"], marker["sign"]))
    assert_youden(found, marker["youden"])


@pytest.mark.parametrize("variable", ASAH_MARKERS)
def test_youden_of_the_single_markers_of_asah_are_those_of_proc(variable):
    printed = reference_section("asah", "roc")["single_markers"][variable]["youden"]
    assert_youden(youden(*outcome_and_marker("asah", variable)), printed)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("digits", [1, 8])
def test_youden_is_the_best_of_all_thresholds(seed, digits):
    outcome, risk, weights = random_case(seed, digits=digits)
    shares = np.random.default_rng(seed).dirichlet(np.ones(len(outcome)))
    for given_weights in (np.ones(len(outcome)), weights, shares):
        found = fields(youden(outcome, risk, weights=given_weights))
        assert found == pytest.approx(youden_by_trying(outcome, risk, given_weights), abs=1e-12)


@settings(deadline=None)
@given(cases())
def test_youden_finds_every_maximiser(case):
    outcome, risk = case
    expected = youden_by_trying(outcome, risk, np.ones(len(risk)))
    assert fields(youden(outcome, risk)) == pytest.approx(expected, abs=ROUNDING)


@settings(deadline=None)
@given(cases())
def test_youden_is_a_point_of_the_curve(case):
    outcome, risk = case
    point, curve = youden(outcome, risk), roc_curve(outcome, risk)
    index = curve.sensitivity + curve.specificity - 1
    assert point.index == pytest.approx(index.max(), abs=ROUNDING)
    assert point.index >= 0
    positive = risk >= point.threshold
    np.testing.assert_array_equal(positive, risk > point.threshold)
    assert positive[outcome == 1].mean() == pytest.approx(point.sensitivity, abs=ROUNDING)
    assert (~positive)[outcome == 0].mean() == pytest.approx(point.specificity, abs=ROUNDING)


def test_youden_without_information_calls_nobody_and_counts_both_ends():
    assert fields(youden([0, 1, 0], [0.3, 0.3, 0.3])) == (math.inf, 0, 1, 0, 2)


def test_youden_of_a_reversed_marker_lies_outside_the_data():
    assert fields(youden([1, 1, 0, 0], [0.1, 0.2, 0.3, 0.4])) == (math.inf, 0, 1, 0, 2)
    # everybody positive or nobody: equal indices, the more specific is given
    assert youden([1, 0], [0.2, 0.2]).threshold == math.inf


def test_youden_threshold_separates_neighbouring_numbers():
    low = 0.5
    high = float(np.nextafter(low, 1))
    assert youden([0, 1], [low, high]).threshold == high
    tiny = 5e-324
    assert youden([0, 1], [0.0, tiny]).threshold == tiny
    huge = youden([0, 1], [-1.7e308, 1.7e308])
    assert (huge.threshold, huge.index) == (0, 1)


def test_youden_does_not_see_patients_of_weight_0():
    point = youden([0, 0, 1, 1], [0.1, 0.3, 0.4, 0.7], weights=[1, 0, 0, 2])
    assert fields(point) == (pytest.approx(0.4), 1, 1, 1, 1)
    point = youden([0, 1, 0, 1], [0.1, 0.3, 0.4, 0.7], weights=[0, 1, 1, 0])
    assert fields(point) == (math.inf, 0, 1, 0, 2)


def test_youden_bootstraps_in_one_call():
    outcome, risk, _ = random_case(7, digits=8)
    weights = np.random.default_rng(7).dirichlet(np.ones(len(outcome)), size=20)
    together = youden(outcome, risk, weights=weights)
    assert together.threshold.shape == (20,)
    assert together.maximisers.dtype == np.int64
    assert len(np.unique(together.threshold)) > 1
    for row, row_weights in enumerate(weights):
        alone = youden(outcome, risk, weights=row_weights)
        found = [np.asarray(part)[row] for part in fields(together)]
        np.testing.assert_allclose(found, fields(alone), atol=ROUNDING)
    assert isinstance(alone.maximisers, int)


# --- what all of them share ----------------------------------------------------------------------

WEIGHTED = {
    "auc": auc,
    **{
        metric.__name__: (
            lambda outcome, risk, weights=None, metric=metric: metric(
                outcome, risk, 0.45, weights=weights
            )
        )
        for metric in AT_THRESHOLD
    },
    **{
        f"youden {name}": (
            lambda outcome, risk, weights=None, name=name: getattr(
                youden(outcome, risk, weights=weights), name
            )
        )
        for name in ("threshold", "sensitivity", "specificity", "index", "maximisers")
    },
}
each_weighted = pytest.mark.parametrize("metric", WEIGHTED.values(), ids=WEIGHTED)
UNWEIGHTED = {
    f"{name} {field}": (
        lambda outcome, risk, compute=compute, field=field: getattr(compute(outcome, risk), field)
    )
    for name, compute, names in (
        ("delong", auc_delong, ("estimate", "variance", "lower", "upper")),
        (
            "difference",
            lambda outcome, risk: auc_difference(outcome, risk, np.arange(len(outcome))),
            ("estimate", "variance", "lower", "upper", "z", "p_value"),
        ),
    )
    for field in names
}
each = pytest.mark.parametrize(
    "metric", (WEIGHTED | UNWEIGHTED).values(), ids=WEIGHTED | UNWEIGHTED
)


@each_weighted
@pytest.mark.parametrize("seed", range(3))
def test_weights_of_one_change_nothing(metric, seed):
    outcome, risk, _ = random_case(seed)
    for ones in (np.ones(len(risk)), np.full(len(risk), 1 / len(risk)), np.full(len(risk), 0.3)):
        found = metric(outcome, risk, weights=ones)
        assert found == pytest.approx(metric(outcome, risk), abs=ROUNDING)


@each_weighted
@pytest.mark.parametrize("seed", range(3))
def test_whole_number_weights_are_repeated_patients(metric, seed):
    outcome, risk, weights = random_case(seed)
    times = weights.astype(int)
    repeated = metric(np.repeat(outcome, times), np.repeat(risk, times))
    assert metric(outcome, risk, weights=weights) == pytest.approx(repeated, abs=1e-10)


@each_weighted
def test_draws_and_weights_are_broadcast_against_each_other(metric):
    outcome, _, _ = random_case(8, patients=30)
    rng = np.random.default_rng(8)
    risk = np.round(rng.uniform(size=(4, 1, 30)), 1)
    weights = rng.integers(1, 4, size=(3, 30)).astype(float)
    assert_leading_axes_are_broadcast(metric, outcome, risk, weights, atol=ROUNDING)


@each
def test_leading_axes_are_kept_and_a_vector_gives_a_number(metric):
    outcome, _, _ = random_case(9, patients=30)
    risk = np.round(np.random.default_rng(9).uniform(size=(2, 3, 30)), 2)
    found = metric(outcome, risk)
    assert found.shape == (2, 3)
    for where in np.ndindex(2, 3):
        alone = metric(outcome, risk[where])
        assert isinstance(alone, float | int)
        assert found[where] == pytest.approx(alone, abs=ROUNDING)
    assert metric(outcome, risk[:1, 0]).shape == (1,)
    assert metric(outcome, np.empty((0, 30))).shape == (0,)


@each
def test_blocks_do_not_change_the_result(metric, monkeypatch):
    outcome, _, _ = random_case(10, patients=30)
    risk = np.round(np.random.default_rng(10).uniform(size=(7, 30)), 1)
    whole = metric(outcome, risk)
    monkeypatch.setattr(arrays, "BLOCK_VALUES", 60)
    monkeypatch.setattr(arrays, "THREADED_ABOVE", 0)
    np.testing.assert_allclose(metric(outcome, risk), whole, rtol=ROUNDING)


@each
def test_everything_wrong_with_the_input_is_said(metric):
    for outcome, risk, message in [
        ([0, 1, 2, 1], [0.1, 0.2, 0.3, 0.4], "outcome: 2 is neither 0 nor 1"),
        ([0, 1, 0, 1], [0.1, np.nan, 0.3, 0.4], r"1 of 4 values are missing \(NaN\) or infinite"),
        ([0, 1, 0, 1], [0.1, np.inf, 0.3, 0.4], r"1 of 4 values are missing \(NaN\) or infinite"),
        ([0, 1, 0, 1], [0.1, 0.2, 0.3], r"has shape \(3,\); expected: \(\.\.\., 4\)"),
        ([0, 1, 0, 1], ["low", "high", "low", "low"], "holds something other than numbers"),
        ([], [], "at least one patient"),
    ]:
        with pytest.raises(MetricError, match=message):
            metric(outcome, risk)


@pytest.mark.parametrize(
    "metric", [auc, youden, roc_curve, lambda outcome, risk: auc_delong(outcome, risk)]
)
@pytest.mark.parametrize(("value", "words"), [(0, "no event"), (1, "an event")])
def test_one_outcome_alone_is_refused(metric, value, words):
    with pytest.raises(MetricError, match=f"all 3 patients had {words}; both outcomes are needed"):
        metric([value] * 3, [0.1, 0.2, 0.3])


@pytest.mark.parametrize("metric", [auc, youden, roc_curve])
def test_weights_that_leave_one_outcome_are_refused(metric):
    with pytest.raises(MetricError, match="weights: leave no patient, or no patient of one"):
        metric([0, 1, 1], [0.1, 0.2, 0.3], weights=[0, 1, 1])
    with pytest.raises(MetricError, match="weights: hold missing, infinite or negative values"):
        metric([0, 1, 1], [0.1, 0.2, 0.3], weights=[-1, 1, 1])


@pytest.mark.parametrize("outcome", [[0, 1, 1, 1], [1, 0, 0, 0]])
def test_delong_needs_two_of_each(outcome):
    message = r"outcome: [13] with and [13] without the event; .* at least 2 of each"
    with pytest.raises(MetricError, match=message):
        auc_delong(outcome, [0.1, 0.2, 0.3, 0.4])
    with pytest.raises(MetricError, match=message):
        auc_difference(outcome, [0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("ci_prob", [0, 1, -0.1, 95, math.nan, "wide", None])
def test_an_impossible_interval_is_refused(ci_prob):
    message = rf"^ci_prob: found {ci_prob}; allowed: above 0 and below 1, for instance 0\.95$"
    with pytest.raises(MetricError, match=message):
        auc_delong([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], ci_prob=ci_prob)
    with pytest.raises(MetricError, match=message):
        auc_difference([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], [1, 2, 3, 4], ci_prob=ci_prob)


def test_another_scale_is_refused_with_the_nearest_one():
    message = r"^scale: found 'logist'; allowed: \"plain\", \"logit\"; did you mean \"logit\"\?$"
    with pytest.raises(MetricError, match=message):
        auc_delong([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], scale="logist")


def test_errors_of_two_risks_say_which_one():
    outcome = [0, 0, 1, 1]
    with pytest.raises(MetricError) as caught:
        auc_difference(outcome, [0.1, np.nan, 0.3, 0.4], [0.1, 0.2])
    assert str(caught.value).splitlines() == [
        "these areas cannot be compared: 2 problems",
        "",
        "  risk_a: 1 of 4 values are missing (NaN) or infinite",
        "  risk_b: has shape (2,); expected: (..., 4), as the outcome",
    ]
    with pytest.raises(MetricError, match="risk_b: holds something other than numbers"):
        auc_difference(outcome, [0.1, 0.2, 0.3, 0.4], ["a", "b", "c", "d"])
    with pytest.raises(MetricError) as caught:
        auc_difference([0, 0, 3, 1], [0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4])
    # said once, not once for each risk
    assert str(caught.value).count("outcome: 3 is neither 0 nor 1 (1 such values)") == 1
    message = r"risk_a, risk_b: leading shapes \(2,\) and \(3,\) do not fit each other"
    with pytest.raises(MetricError, match=message):
        auc_difference(outcome, np.ones((2, 4)), np.ones((3, 4)))


def test_differences_broadcast_the_leading_axes_of_both_risks():
    outcome, _, _ = random_case(11, patients=20)
    rng = np.random.default_rng(11)
    risk_a, risk_b = (
        np.round(rng.uniform(size=(3, 1, 20)), 1),
        np.round(rng.uniform(size=(2, 20)), 1),
    )
    found = auc_difference(outcome, risk_a, risk_b)
    assert found.z.shape == (3, 2)
    for i, j in np.ndindex(3, 2):
        alone = auc_difference(outcome, risk_a[i, 0], risk_b[j])
        assert found.estimate[i, j] == pytest.approx(alone.estimate, abs=ROUNDING)
        assert found.variance[i, j] == pytest.approx(alone.variance, abs=ROUNDING)
    one = auc_difference(outcome, risk_a[:, 0], risk_b[0])
    np.testing.assert_allclose(one.p_value, found.p_value[:, 0], rtol=1e-10)
    none = auc_difference(outcome, np.empty((0, 20)), risk_b[0])
    assert none.estimate.shape == (0,)


def test_auc_and_threshold_metrics_serve_as_scorers_of_sklearn():
    outcome, risk, _ = random_case(12, digits=8)
    model = LogisticRegression().fit(risk[:, None], outcome)
    scorer = sklearn_metrics.make_scorer(auc, response_method="predict_proba")
    assert scorer(model, risk[:, None], outcome) == pytest.approx(
        sklearn_metrics.get_scorer("roc_auc")(model, risk[:, None], outcome), abs=ROUNDING
    )
    scorer = sklearn_metrics.make_scorer(
        sensitivity, response_method="predict_proba", threshold=0.5
    )
    assert scorer(model, risk[:, None], outcome) == pytest.approx(
        sklearn_metrics.get_scorer("recall")(model, risk[:, None], outcome), abs=ROUNDING
    )
