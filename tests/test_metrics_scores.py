"""Brier, log and interval scores: rms, scikit-learn, closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics
from sklearn.linear_model import LogisticRegression

from bayes_cmvt.errors import MetricError
from bayes_cmvt.metrics import arrays
from bayes_cmvt.metrics.scores import (
    brier_score,
    interval_score,
    log_score,
    scaled_brier_score,
)
from tests.builders import assert_leading_axes_are_broadcast
from tests.references import glm_log_odds, reference

PRINTED = 1e-9  # the references carry 15 significant digits
ROUNDING = 1e-12
OF_RISKS = (brier_score, scaled_brier_score, log_score)

each = pytest.mark.parametrize("metric", OF_RISKS)
probabilities = st.floats(0, 1)


def random_case(seed: int, patients: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes, risks, whole-number weights some of which are 0."""
    rng = np.random.default_rng(seed)
    outcome = rng.integers(0, 2, patients)
    outcome[:2] = 0, 1
    weights = rng.integers(0, 4, patients).astype(float)
    weights[:2] = 1
    return outcome, rng.uniform(0.01, 0.99, patients), weights


@st.composite
def cohorts(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    size = draw(st.integers(2, 12))
    rest = draw(st.lists(st.integers(0, 1), min_size=size - 2, max_size=size - 2))
    risk = draw(st.lists(probabilities, min_size=size, max_size=size))
    return np.array([0, 1, *rest]), np.array(risk)


@pytest.mark.parametrize("name", ["synth26", "indo_rct", "birthwt", "asah"])
def test_scores_of_glm_risks_are_those_of_rms(name):
    outcome, log_odds = glm_log_odds(name)
    risk, expected = 1 / (1 + np.exp(-log_odds)), reference(name)
    brier = brier_score(outcome, risk)
    assert brier == pytest.approx(expected["glm"]["brier"], abs=PRINTED)
    assert brier == pytest.approx(expected["calibration"]["lrm_stats"]["Brier"], abs=PRINTED)
    assert brier == pytest.approx(
        expected["calibration"]["val_prob"]["val_prob"]["Brier"], abs=PRINTED
    )
    share = expected["design"]["events"] / expected["design"]["n"]
    assert scaled_brier_score(outcome, risk) == pytest.approx(
        1 - expected["glm"]["brier"] / (share * (1 - share)), abs=PRINTED
    )
    # the log-likelihood of R is that of all patients
    assert log_score(outcome, risk) == pytest.approx(
        -expected["glm"]["loglik"] / expected["design"]["n"], abs=PRINTED
    )


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_sklearn(seed):
    outcome, risk, weights = random_case(seed)
    shares = np.random.default_rng(seed).dirichlet(np.ones(len(outcome)))
    for given_weights in (None, weights, shares):
        brier = brier_score(outcome, risk, weights=given_weights)
        expected = sklearn_metrics.brier_score_loss(outcome, risk, sample_weight=given_weights)
        assert brier == pytest.approx(expected, abs=ROUNDING)
        expected = sklearn_metrics.log_loss(outcome, risk, sample_weight=given_weights)
        found = log_score(outcome, risk, weights=given_weights)
        assert found == pytest.approx(expected, abs=ROUNDING)
        # the scaled score is R squared of the risks as predictions of 0 and 1
        expected = sklearn_metrics.r2_score(outcome, risk, sample_weight=given_weights)
        found = scaled_brier_score(outcome, risk, weights=given_weights)
        assert found == pytest.approx(expected, abs=ROUNDING)


def test_constant_risks_have_closed_forms():
    outcome = np.array([1, 0, 0, 0, 1])  # share 0.4
    for risk in (0.1, 0.4, 0.9):
        given_to_all = np.full(5, risk)
        assert brier_score(outcome, given_to_all) == pytest.approx(0.4 * 0.6 + (risk - 0.4) ** 2)
        log_expected = -0.4 * math.log(risk) - 0.6 * math.log(1 - risk)
        assert log_score(outcome, given_to_all) == pytest.approx(log_expected)
        scaled_expected = -((risk - 0.4) ** 2) / 0.24
        assert scaled_brier_score(outcome, given_to_all) == pytest.approx(scaled_expected)


def test_perfect_and_worst_risks_reach_the_ends():
    outcome = [0, 1, 0]
    assert brier_score(outcome, [0, 1, 0]) == 0
    assert brier_score(outcome, [1, 0, 1]) == 1
    assert log_score(outcome, [0, 1, 0]) == 0
    assert math.copysign(1, log_score(outcome, [0, 1, 0])) == 1  # not minus zero
    assert scaled_brier_score(outcome, [0, 1, 0]) == 1
    assert scaled_brier_score(outcome, [1, 0, 1]) == pytest.approx(1 - 1 / (2 / 9))


def test_log_score_is_infinite_where_the_impossible_happened():
    assert log_score([1, 0], [0.0, 0.5]) == math.inf
    assert log_score([1, 0], [0.5, 1.0]) == math.inf
    found = log_score([1, 0], [[0.0, 0.5], [0.5, 0.5], [1.0, 0.0]])
    np.testing.assert_allclose(found, [np.inf, math.log(2), 0])


def test_log_score_does_not_see_patients_of_weight_0():
    outcome, risk = [1, 0, 1], [0.0, 0.5, 0.25]
    found = log_score(outcome, risk, weights=[[0, 1, 1], [1, 1, 1], [0, 0, 3]])
    np.testing.assert_allclose(found, [1.5 * math.log(2), np.inf, 2 * math.log(2)])


def test_one_outcome_alone_has_scores_but_no_scaled_one():
    assert brier_score([1, 1], [0.5, 1]) == 0.125
    assert log_score([0, 0, 0], [0.5, 0.5, 0.5]) == pytest.approx(math.log(2))
    assert brier_score([1], [0.25]) == 0.5625
    with pytest.raises(MetricError, match="all 2 patients had an event; both outcomes are needed"):
        scaled_brier_score([1, 1], [0.5, 1])
    with pytest.raises(MetricError, match="weights: leave no patient, or no patient of one"):
        scaled_brier_score([1, 0], [0.5, 1], weights=[1, 0])


@settings(deadline=None)
@given(cohorts(), probabilities)
def test_no_constant_risk_beats_the_event_share(cohort, constant):
    outcome, _ = cohort
    share = np.full(len(outcome), outcome.mean())
    other = np.full(len(outcome), constant)
    assert brier_score(outcome, share) <= brier_score(outcome, other) + ROUNDING
    assert log_score(outcome, share) <= log_score(outcome, other) + ROUNDING


@settings(deadline=None, max_examples=40)
@given(cohorts(), st.randoms(use_true_random=False))
def test_scores_are_unchanged_by_order_and_doubling(cohort, random):
    outcome, risk = cohort
    order = list(range(len(risk)))
    random.shuffle(order)
    for metric in OF_RISKS:
        same = [
            metric(outcome[order], risk[order]),
            metric(np.tile(outcome, 2), np.tile(risk, 2)),
        ]
        assert same == pytest.approx([metric(outcome, risk)] * 2, rel=1e-12, abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(cohorts())
def test_scores_do_not_mind_which_outcome_is_called_the_event(cohort):
    # away from 0 and 1: 1 - risk is rounded, so a risk below 1e-16 would turn into certainty
    outcome, risk = cohort[0], np.clip(cohort[1], 0.001, 0.999)
    for metric in OF_RISKS:
        assert metric(1 - outcome, 1 - risk) == pytest.approx(metric(outcome, risk), abs=1e-10)


@settings(deadline=None)
@given(cohorts())
def test_scores_stay_within_their_range(cohort):
    outcome, risk = cohort
    assert 0 <= brier_score(outcome, risk) <= 1
    assert log_score(outcome, risk) >= brier_score(outcome, risk)  # -log p >= (1 - p)²
    assert scaled_brier_score(outcome, risk) <= 1


@each
@pytest.mark.parametrize("seed", range(3))
def test_whole_number_weights_are_repeated_patients(metric, seed):
    outcome, risk, weights = random_case(seed)
    times = weights.astype(int)
    repeated = metric(np.repeat(outcome, times), np.repeat(risk, times))
    assert metric(outcome, risk, weights=weights) == pytest.approx(repeated, abs=1e-10)


@each
def test_weights_of_one_change_nothing(metric):
    outcome, risk, _ = random_case(4)
    for ones in (np.ones(len(risk)), np.full(len(risk), 1 / len(risk))):
        found = metric(outcome, risk, weights=ones)
        assert found == pytest.approx(metric(outcome, risk), abs=ROUNDING)


@each
def test_draws_and_weights_are_broadcast_against_each_other(metric):
    outcome, _, _ = random_case(5)
    rng = np.random.default_rng(5)
    risk, weights = rng.uniform(size=(4, 1, 40)), rng.dirichlet(np.ones(40), size=3)
    assert_leading_axes_are_broadcast(metric, outcome, risk, weights, rtol=ROUNDING)


@each
def test_leading_axes_are_kept_and_a_vector_gives_a_number(metric):
    outcome, risk, _ = random_case(6)
    assert isinstance(metric(outcome, risk), float)
    assert metric(outcome, risk[None]).shape == (1,)
    assert metric(outcome, np.broadcast_to(risk, (2, 3, 40))).shape == (2, 3)
    assert metric(outcome, np.empty((0, 40))).shape == (0,)


@each
def test_blocks_do_not_change_the_result(metric, monkeypatch):
    outcome, _, _ = random_case(7)
    risk = np.random.default_rng(7).uniform(size=(7, 40))
    whole = metric(outcome, risk)
    monkeypatch.setattr(arrays, "BLOCK_VALUES", 80)
    monkeypatch.setattr(arrays, "THREADED_ABOVE", 0)
    np.testing.assert_allclose(metric(outcome, risk), whole, rtol=ROUNDING)


@each
@pytest.mark.parametrize(
    ("outcome", "risk", "message"),
    [
        ([0, 1, 2], [0.1, 0.2, 0.3], "outcome: 2 is neither 0 nor 1"),
        ([0, 1, 1], [0.1, np.nan, 0.3], r"risk: 1 of 3 values are missing \(NaN\) or infinite"),
        ([0, 1, 1], [0.1, 0.2], r"risk: has shape \(2,\); expected: \(\.\.\., 3\)"),
        ([0, 1, 1], [0.1, 0.2, 1.5], r"risk: 1\.5 lies outside 0 to 1; give probabilities"),
        ([0, 1, 1], [0.1, 0.2, -2], "risk: -2 lies outside 0 to 1; give probabilities"),
        ([], [], "at least one patient"),
    ],
)
def test_what_is_wrong_with_the_input_is_said(metric, outcome, risk, message):
    with pytest.raises(MetricError, match=message):
        metric(outcome, risk)


# --- intervals -----------------------------------------------------------------------------------


def test_interval_score_is_the_width_where_the_truth_is_inside():
    assert interval_score(-1, 2.5, 2.5) == 3.5
    assert interval_score(2, 2, 2) == 0
    np.testing.assert_array_equal(interval_score([0, 1], 5, [0, 5]), [5, 4])


def test_interval_score_fines_a_truth_outside_by_its_distance():
    # 2 / 0.05 = 40 for each unit
    found = interval_score(0, 1, [-0.5, 1.25, 0.5])
    np.testing.assert_allclose(found, [21, 11, 1], rtol=ROUNDING)
    assert interval_score(0, 1, 3, ci_prob=0.8) == pytest.approx(1 + 10 * 2, rel=ROUNDING)


@settings(deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 3), min_size=1, max_size=20),
    st.floats(0.01, 0.99),
)
def test_interval_score_is_the_sum_of_two_quantile_losses(triples, ci_prob):
    # Gneiting & Raftery 2007, section 6: quantile losses at a/2 and 1 - a/2, times 2/a
    low, high, truth = np.array(triples).T
    low, high = np.minimum(low, high), np.maximum(low, high)
    tail = (1 - ci_prob) / 2
    losses = np.maximum(tail * (truth - low), (tail - 1) * (truth - low)) + np.maximum(
        (1 - tail) * (truth - high), -tail * (truth - high)
    )
    found = interval_score(low, high, truth, ci_prob=ci_prob)
    np.testing.assert_allclose(found, losses / tail, rtol=1e-8, atol=1e-4)
    shifted = interval_score(low + 3, high + 3, truth + 3, ci_prob=ci_prob)
    np.testing.assert_allclose(shifted, found, rtol=1e-6, atol=1e-4)


def test_interval_score_is_best_at_the_true_quantiles():
    truth = np.random.default_rng(3).standard_normal(200_000)
    # true 90 % interval: 2 * 1.6449 wide; expected score 2 phi(1.6449) / 0.05 = 4.125
    at = {half: interval_score(-half, half, truth, ci_prob=0.9).mean() for half in (1.2, 1.6449, 2)}
    assert at[1.6449] == pytest.approx(4.125, abs=0.03)  # SD 2.8: 4 SE are 0.025
    assert at[1.6449] < min(at[1.2], at[2])


def test_interval_score_broadcasts():
    assert interval_score(np.zeros((2, 1)), np.ones(3), 0.5).shape == (2, 3)
    assert interval_score([], [], []).shape == (0,)
    assert isinstance(interval_score(0, 1, 2), float)


def test_infinite_limits_have_infinite_scores():
    found = interval_score([-np.inf, 0, -np.inf], [1, np.inf, np.inf], 5)
    np.testing.assert_array_equal(found, [np.inf] * 3)
    assert interval_score(-1.7e308, 1.7e308, 0) == np.inf


def test_intervals_that_cannot_be_are_refused_all_at_once():
    nan, inf = np.nan, np.inf
    with pytest.raises(MetricError) as caught:
        interval_score([2, nan, 0, 0, inf], [1, 1, nan, -inf, inf], [0, 0, 0, nan, inf])
    assert str(caught.value).splitlines() == [
        "these intervals cannot be scored: 4 problems",
        "",
        "  lower: missing (NaN) or plus infinity in 2 of 5 intervals",
        "  upper: missing (NaN) or minus infinity in 2 of 5 intervals",
        "  truth: missing (NaN) or infinite in 2 of 5 intervals",
        "  lower: above upper in 2 of 5 intervals",
    ]


@pytest.mark.parametrize("wrong", [[1, 2], ["a", "b", "c"], [[1], [1, 2]]])
def test_intervals_of_no_common_shape_or_no_numbers_are_refused(wrong):
    with pytest.raises(MetricError, match="something other than numbers, or shapes that do not"):
        interval_score([0, 0, 0], [1, 1, 1], wrong)


@pytest.mark.parametrize("ci_prob", [0, 1, -0.1, 95, math.nan, "wide", None])
def test_an_impossible_interval_is_refused(ci_prob):
    message = rf"^ci_prob: found {ci_prob}; allowed: above 0 and below 1, for instance 0\.95$"
    with pytest.raises(MetricError, match=message):
        interval_score(0, 1, 2, ci_prob=ci_prob)


def test_scores_serve_as_scorers_of_sklearn():
    outcome, risk, _ = random_case(8)
    model = LogisticRegression().fit(risk[:, None], outcome)
    for metric, name in ((brier_score, "neg_brier_score"), (log_score, "neg_log_loss")):
        scorer = sklearn_metrics.make_scorer(
            metric, response_method="predict_proba", greater_is_better=False
        )
        assert scorer(model, risk[:, None], outcome) == pytest.approx(
            sklearn_metrics.get_scorer(name)(model, risk[:, None], outcome), abs=ROUNDING
        )
