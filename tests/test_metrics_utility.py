from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from bayes_cmvt.errors import MetricError
from bayes_cmvt.metrics import arrays
from bayes_cmvt.metrics.resampling import bayesian_bootstrap
from bayes_cmvt.metrics.utility import (
    decision_curve,
    evpi_development,
    evpi_validation,
    expected_net_benefit,
    interventions_avoided,
    net_benefit,
    net_benefit_treat_all,
    probability_useful,
)
from tests.references import REFERENCES, reference, reference_design

NAMES = sorted(REFERENCES)

# ten patients whose every count can be read off
OUTCOME = np.array([0, 0, 1, 0, 0, 1, 0, 1, 1, 1])
RISK = np.array([0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 0.9])

tenths = st.integers(0, 10).map(lambda tenth: tenth / 10)  # many ties, with thresholds too
patients = st.lists(
    st.tuples(st.integers(0, 1), tenths, st.integers(0, 3)), min_size=1, max_size=25
).filter(lambda rows: any(weight for _, _, weight in rows))
# no test asserts on time
few, many = settings(max_examples=30, deadline=None), settings(deadline=None)
thresholds = st.integers(1, 19).map(lambda twentieth: twentieth / 20)


def columns(rows: list[tuple[int, float, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    outcome, risk, weight = zip(*rows, strict=True)
    return np.array(outcome), np.array(risk), np.array(weight)


# by hand


@pytest.mark.parametrize(
    ("threshold", "true_positive", "false_positive", "true_negative", "false_negative"),
    [
        (0.01, 5, 5, 0, 0),
        (0.25, 4, 3, 2, 1),
        (0.5, 3, 1, 4, 2),
        (0.8, 2, 0, 5, 3),
        (0.95, 0, 0, 5, 5),
    ],
)
def test_every_rate_of_ten_patients_is_counted_by_hand(
    threshold: float,
    true_positive: int,
    false_positive: int,
    true_negative: int,
    false_negative: int,
) -> None:
    """As dcurves' test_consequences: each rate by itself, then what is made of them."""
    odds = threshold / (1 - threshold)
    events, others = OUTCOME == 1, OUTCOME == 0
    assert 5 * net_benefit(OUTCOME[events], RISK[events], threshold) == true_positive
    found = -5 * net_benefit(OUTCOME[others], RISK[others], threshold) / odds
    assert found == pytest.approx(false_positive, abs=1e-12)
    of_rule = true_positive / 10 - false_positive / 10 * odds
    assert net_benefit(OUTCOME, RISK, threshold) == pytest.approx(of_rule, abs=1e-12)
    of_all = 0.5 - 0.5 * odds
    assert net_benefit_treat_all(OUTCOME, threshold) == pytest.approx(of_all, abs=1e-12)
    avoided = true_negative / 10 - false_negative / 10 / odds
    found = interventions_avoided(OUTCOME, RISK, threshold)
    # the difference of two net benefits of at most 1, divided by odds of 1/99 or more
    assert found == pytest.approx(avoided, abs=1e-12)


def test_a_risk_at_the_threshold_is_treated() -> None:
    assert net_benefit([1, 0], [0.3, 0.3], 0.3) == net_benefit_treat_all([1, 0], 0.3)
    above = np.nextafter(0.3, 1)
    assert net_benefit([1, 0], [0.3, 0.3], above) == 0.0
    # the default thresholds are the numbers that people type
    curve = decision_curve(np.ones(99), [float(f"0.{t:02d}") for t in range(1, 100)])
    np.testing.assert_allclose(curve.net_benefit, np.arange(99, 0, -1) / 99, rtol=1e-15)


def test_risks_of_exactly_0_and_1_are_never_and_always_treated() -> None:
    curve = decision_curve([1, 0, 1], [1.0, 0.0, 0.0])
    np.testing.assert_allclose(curve.net_benefit, 1 / 3, rtol=1e-15)


def test_one_class_suffices() -> None:
    assert net_benefit([1, 1, 1], [0.1, 0.6, 0.6], 0.5) == pytest.approx(2 / 3, abs=1e-15)
    assert net_benefit([0, 0, 0], [0.1, 0.6, 0.6], 0.75) == 0.0
    assert net_benefit_treat_all([0, 0, 0], 0.75) == -3.0
    assert interventions_avoided([0, 0, 0], [0.1, 0.6, 0.6], 0.5) == pytest.approx(1 / 3, abs=1e-15)
    assert decision_curve([1], [0.5], [0.2]).treat_all.tolist() == [1.0]


def test_net_benefit_of_treating_all_is_its_closed_form() -> None:
    at = np.linspace(0.005, 0.995, 34)
    found = [net_benefit_treat_all(OUTCOME[:8], threshold) for threshold in at]
    share = 3 / 8
    np.testing.assert_allclose(found, share - (1 - share) * at / (1 - at), rtol=1e-14, atol=1e-14)
    assert net_benefit_treat_all(OUTCOME[:8], share) == pytest.approx(0, abs=1e-15)


# identities


@many
@given(patients, thresholds)
def test_net_benefit_lies_between_minus_the_odds_and_the_event_share(
    rows: list[tuple[int, float, int]], threshold: float
) -> None:
    outcome, risk, weight = columns(rows)
    found = net_benefit(outcome, risk, threshold, weights=weight)
    share = np.average(outcome, weights=weight)
    assert -threshold / (1 - threshold) - 1e-12 <= found <= share + 1e-12


@few
@given(patients, thresholds)
def test_whole_number_weights_are_repeated_patients(
    rows: list[tuple[int, float, int]], threshold: float
) -> None:
    outcome, risk, weight = columns(rows)
    repeated = np.repeat(outcome, weight), np.repeat(risk, weight)
    for metric in (net_benefit, interventions_avoided):
        found = metric(outcome, risk, threshold, weights=weight)
        assert found == pytest.approx(metric(*repeated, threshold), abs=1e-10), metric
    found = net_benefit_treat_all(outcome, threshold, weights=weight)
    assert found == pytest.approx(net_benefit_treat_all(repeated[0], threshold), abs=1e-10)


@few
@given(patients, thresholds, st.integers(2, 4), st.randoms())
def test_order_and_duplication_of_patients_do_not_matter(
    rows: list[tuple[int, float, int]], threshold: float, times: int, random: Any
) -> None:
    outcome, risk, _ = columns(rows)
    random.shuffle(rows)
    shuffled, theirs, _ = columns(rows * times)
    for metric in (net_benefit, interventions_avoided):
        expected = metric(outcome, risk, threshold)
        assert metric(shuffled, theirs, threshold) == pytest.approx(expected, abs=1e-12)


@few
@given(patients, thresholds, st.floats(0.1, 50))
def test_only_the_shares_of_the_weights_matter(
    rows: list[tuple[int, float, int]], threshold: float, factor: float
) -> None:
    outcome, risk, weight = columns(rows)
    expected = net_benefit(outcome, risk, threshold, weights=weight)
    found = net_benefit(outcome, risk, threshold, weights=weight * factor)
    assert found == pytest.approx(expected, abs=1e-12)
    ones = np.ones(len(outcome))
    assert net_benefit(outcome, risk, threshold, weights=ones) == pytest.approx(
        net_benefit(outcome, risk, threshold), abs=1e-12
    )


@many
@given(patients, thresholds)
def test_only_the_side_of_the_threshold_matters(
    rows: list[tuple[int, float, int]], threshold: float
) -> None:
    outcome, risk, _ = columns(rows)
    extreme = (risk >= threshold).astype(float)
    assert net_benefit(outcome, extreme, threshold) == net_benefit(outcome, risk, threshold)


@few
@given(patients, st.lists(thresholds, min_size=1, max_size=6))
def test_a_curve_is_the_net_benefit_at_each_threshold_in_the_order_given(
    rows: list[tuple[int, float, int]], at: list[float]
) -> None:
    outcome, risk, weight = columns(rows)
    curve = decision_curve(outcome, risk, at, weights=weight)
    assert curve.threshold.tolist() == at
    assert curve.treat_none.tolist() == [0.0] * len(at)
    expected = [net_benefit(outcome, risk, threshold, weights=weight) for threshold in at]
    np.testing.assert_allclose(curve.net_benefit, expected, rtol=0, atol=1e-12)
    expected = [net_benefit_treat_all(outcome, threshold, weights=weight) for threshold in at]
    np.testing.assert_array_equal(curve.treat_all, expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_counts_are_those_of_scikit_learn(weighted: bool) -> None:
    rng = np.random.default_rng(3)
    risk = rng.beta(1, 4, 300).round(2)
    outcome = rng.binomial(1, risk)
    weights = rng.exponential(size=300) if weighted else None
    curve = decision_curve(outcome, risk, weights=weights)
    for threshold, found in zip(curve.threshold, curve.net_benefit, strict=True):
        matrix = confusion_matrix(
            outcome, risk >= threshold, normalize="all", sample_weight=weights
        )
        expected = matrix[1, 1] - matrix[0, 1] * threshold / (1 - threshold)
        assert found == pytest.approx(expected, abs=1e-12)


# leading axes


def test_leading_axes_of_risk_and_weights_are_kept() -> None:
    rng = np.random.default_rng(4)
    outcome, risk = rng.integers(0, 2, 30), rng.random((3, 1, 30))
    weights = bayesian_bootstrap(30, 5, seed=1)
    at = [0.2, 0.5]
    curve = decision_curve(outcome, risk, at, weights=weights)
    assert curve.net_benefit.shape == (3, 5, 2)
    assert curve.treat_all.shape == (5, 2)
    assert curve.treat_none.shape == (2,)
    for one, two, three in np.ndindex(3, 5, 2):
        expected = net_benefit(outcome, risk[one, 0], at[three], weights=weights[two])
        assert curve.net_benefit[one, two, three] == pytest.approx(expected, abs=1e-12)
    avoided = interventions_avoided(outcome, risk, 0.5, weights=weights)
    assert avoided.shape == (3, 5)
    expected = interventions_avoided(outcome, risk[2, 0], 0.5, weights=weights[4])
    assert avoided[2, 4] == pytest.approx(expected, abs=1e-12)
    assert decision_curve(outcome, risk, at).treat_all.shape == (2,)
    assert isinstance(net_benefit(outcome, risk[0, 0], 0.5), float)
    assert isinstance(net_benefit_treat_all(outcome, 0.5), float)
    assert isinstance(interventions_avoided(outcome, risk[0, 0], 0.5), float)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    outcome, weights = rng.integers(0, 2, 40), bayesian_bootstrap(40, 17, seed=2)
    for risk in (rng.random(40), np.repeat(rng.random((2, 40)), [9, 8], axis=0)):
        whole = decision_curve(outcome, risk, weights=weights).net_benefit
        monkeypatch.setattr(arrays, "BLOCK_VALUES", 120)
        parts = decision_curve(outcome, risk, weights=weights).net_benefit
        monkeypatch.undo()
        np.testing.assert_array_equal(parts, whole)


# usefulness


def test_who_treats_everybody_is_never_useful_and_who_treats_nobody_neither() -> None:
    """To the last bit: rounding must not make a rule useful that is the same as treating all."""
    rng = np.random.default_rng(6)
    outcome, weights = rng.integers(0, 2, 224), bayesian_bootstrap(224, 400, seed=3)
    at = np.linspace(0.05, 0.6, 56)
    for risk in (np.full(224, 0.7), rng.uniform(0.61, 1, (400, 224))):
        curve = decision_curve(outcome, risk, at, weights=weights)
        np.testing.assert_array_equal(curve.net_benefit, curve.treat_all)
        assert not probability_useful(curve.net_benefit, curve.treat_all).any()
    nobody = decision_curve(outcome, np.full(224, 0.01), at, weights=weights)
    assert not nobody.net_benefit.any()
    assert not probability_useful(nobody.net_benefit, nobody.treat_all).any()
    one = net_benefit(outcome, np.full(224, 0.7), 0.3, weights=weights)
    np.testing.assert_array_equal(one, net_benefit_treat_all(outcome, 0.3, weights=weights))


def test_usefulness_is_the_share_of_replicates_above_both_alternatives() -> None:
    of_model = np.array([[0.1, 0.3], [0.2, -0.1], [0.0, 0.3], [0.1, 0.2]])
    of_all = np.array([[0.0, 0.2], [0.2, -0.4], [-1.0, 0.2], [0.05, 0.2]])
    np.testing.assert_array_equal(probability_useful(of_model, of_all), [0.5, 0.5])
    # treating all fixed: one value for each threshold
    np.testing.assert_array_equal(probability_useful(of_model, [0.05, 0.25]), [0.75, 0.5])
    assert isinstance(probability_useful(of_model[:, 0], of_all[:, 0]), float)


# what draws expect


def test_two_profiles_are_worked_by_hand() -> None:
    """At 1/4 a risk p gains p - (1 - p)/3; the mean risks 0.3 and 0.15 treat the first profile.

    Gains of the first: -0.2 and 1/3; of the second: -1/15 and -0.2.
    """
    draws, rule = [[0.1, 0.2], [0.5, 0.1]], [0.3, 0.15]
    of_rule = expected_net_benefit(draws, rule, 0.25)
    np.testing.assert_allclose(of_rule, [-0.1, 1 / 6], rtol=1e-14)
    of_all = expected_net_benefit(draws, [1, 1], 0.25)
    np.testing.assert_allclose(of_all, [-2 / 15, 1 / 15], rtol=1e-13)
    assert expected_net_benefit(draws, [0, 0], 0.25).tolist() == [0, 0]
    # knowing the draw: nobody in the first, the first profile in the second, 1/12 on average;
    # the best without knowing is the rule with 1/30, before nobody (0) and all (-1/30)
    assert evpi_development(draws, rule, 0.25) == pytest.approx(1 / 12 - 1 / 30, abs=1e-15)
    # a rule that treats all is worse than treating nobody, which is then the best
    assert evpi_development(draws, [1, 1], 0.25) == pytest.approx(1 / 12, abs=1e-15)


def test_three_replicates_of_three_strategies_are_worked_by_hand() -> None:
    """Best of each: 0.15, 0.2, 0; means 0.2/3, 0.2/3, 0."""
    found = evpi_validation([[0.1, 0.15, 0], [0.2, 0.05, 0], [-0.1, 0.0, 0]])
    assert found == pytest.approx(0.35 / 3 - 0.2 / 3, abs=1e-15)
    assert evpi_validation([[0.1, 0.15, 0.0]]) == 0.0


def test_a_draw_expects_what_outcomes_drawn_from_it_give() -> None:
    """Outcomes 0 and 1 taken for risks: the definition with outcomes is the special case."""
    for threshold in (0.1, 0.25, 0.5, 0.85):
        found = expected_net_benefit(OUTCOME, RISK, threshold)
        assert found == pytest.approx(net_benefit(OUTCOME, RISK, threshold), abs=1e-14)
        assert isinstance(found, float)


def test_the_deployed_rule_decides_and_never_the_draw() -> None:
    """A posterior of independent log-odds, the truth being one more draw: three decisions differ.

    Against the truth, deciding by the risk of one draw loses what the deployed rule gains. Scored
    by itself, a draw that decides looks better than any rule can be: it is credited with the truth.
    2,000 patients x 400 draws: the standard error of a net benefit over patients is below 0.004.
    """
    rng = np.random.default_rng(7)
    centre = rng.normal(-1, 1, 2000)
    draws = 1 / (1 + np.exp(-rng.normal(centre, 1, (400, 2000))))
    truth = 1 / (1 + np.exp(-rng.normal(centre, 1)))
    rule, threshold = draws.mean(axis=0), 0.3
    deployed = expected_net_benefit(truth, rule, threshold)
    by_draw = np.mean([expected_net_benefit(truth, own, threshold) for own in draws[:100]])
    assert by_draw < deployed - 0.02
    expected = expected_net_benefit(draws, rule, threshold)
    assert expected.mean() == pytest.approx(deployed, abs=0.016)
    credited = np.mean([expected_net_benefit(own, own, threshold) for own in draws])
    assert credited > expected.mean() + 0.02
    information = evpi_development(draws, rule, threshold)
    assert information == pytest.approx(credited - expected.mean(), abs=1e-12)


@few
@given(
    st.lists(st.lists(tenths, min_size=3, max_size=3), min_size=1, max_size=8),
    st.lists(tenths, min_size=3, max_size=3),
    thresholds,
)
def test_information_never_harms(
    draws: list[list[float]], rule: list[float], threshold: float
) -> None:
    found = evpi_development(draws, rule, threshold)
    assert found >= 0
    assert evpi_development(draws * 3, rule, threshold) == pytest.approx(found, abs=1e-12)
    if len(draws) == 1:
        assert evpi_development(draws, draws[0], threshold) == pytest.approx(0, abs=1e-12)
    of_rule = expected_net_benefit(draws, rule, threshold)
    of_all = expected_net_benefit(draws, np.ones(3), threshold)
    strategies = np.column_stack([of_rule, of_all, np.zeros(len(draws))])
    assert 0 <= evpi_validation(strategies) <= found + 1e-12


def test_leading_axes_of_draws_are_kept() -> None:
    rng = np.random.default_rng(8)
    draws, rule = rng.random((2, 5, 12)), rng.random(12)
    found = expected_net_benefit(draws, rule, 0.4)
    assert found.shape == (2, 5)
    assert found[1, 3] == pytest.approx(expected_net_benefit(draws[1, 3], rule, 0.4), abs=1e-15)
    whole = evpi_development(draws.reshape(10, 12), rule, 0.4)
    assert evpi_development(draws, rule, 0.4) == pytest.approx(whole, abs=1e-15)


# errors


@pytest.mark.parametrize("threshold", [0, 1, -0.1, 20, np.nan, "low"])
def test_a_threshold_outside_0_and_1_is_refused(threshold: Any) -> None:
    message = "threshold: found .*; allowed: above 0 and below 1"
    for metric in (net_benefit, interventions_avoided):
        with pytest.raises(MetricError, match=message):
            metric(OUTCOME, RISK, threshold)
    with pytest.raises(MetricError, match=message):
        net_benefit_treat_all(OUTCOME, threshold)
    for metric in (expected_net_benefit, evpi_development):
        with pytest.raises(MetricError, match=message):
            metric([RISK], RISK, threshold)
    with pytest.raises(MetricError, match=f"{message}|thresholds: "):
        decision_curve(OUTCOME, RISK, [0.5, threshold])


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ([], r"thresholds: have shape \(0,\); expected: \(threshold,\), at least one"),
        (0.5, r"thresholds: have shape \(\)"),
        ([[0.5]], r"thresholds: have shape \(1, 1\)"),
        (["low"], "thresholds: holds something other than numbers"),
    ],
)
def test_thresholds_that_are_no_list_of_numbers_are_refused(thresholds: Any, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        decision_curve(OUTCOME, RISK, thresholds)


@pytest.mark.parametrize(
    ("outcome", "risk", "weights", "message"),
    [
        ([1, 2], [0.1, 0.2], None, "outcome: 2 is neither 0 nor 1"),
        ([1, 0], [0.1, 1.2], None, r"risk: 1\.2 lies outside 0 to 1"),
        ([1, 0], [0.1, np.nan], None, r"risk: 1 of 2 values are missing"),
        ([1, 0], [0.1], None, r"risk: has shape \(1,\)"),
        ([1, 0], [0.1, 0.2], [1, -1], "weights: hold missing, infinite or negative values"),
        ([1, 0], [0.1, 0.2], [0, 0], "weights: leave no patient"),
        ([1, 0], [0.1, 0.2], [1], r"weights: have shape \(1,\)"),
    ],
)
def test_rows_that_no_metric_takes_are_refused(
    outcome: list[float], risk: list[float], weights: list[float] | None, message: str
) -> None:
    for metric in (net_benefit, interventions_avoided):
        with pytest.raises(MetricError, match=message):
            metric(outcome, risk, 0.5, weights=weights)
    with pytest.raises(MetricError, match=message):
        decision_curve(outcome, risk, weights=weights)
    if not message.startswith("risk"):
        with pytest.raises(MetricError, match=message):
            net_benefit_treat_all(outcome, 0.5, weights=weights)


def test_outcomes_of_treating_all_are_checked() -> None:
    for outcome, message in (
        ([1, np.nan], "outcome: 1 of 2 values are missing"),
        ([[1], [1, 0]], "outcome: holds something other than numbers"),
        ([], r"outcome: has shape \(0,\)"),
        ([[1, 0]], r"outcome: has shape \(1, 2\)"),
    ):
        with pytest.raises(MetricError, match=message):
            net_benefit_treat_all(outcome, 0.5)


@pytest.mark.parametrize(
    ("draws", "rule", "message"),
    [
        ([[0.1, 1.2]], [0.1, 0.2], r"risk_draws: 1\.2 lies outside 0 to 1"),
        ([[0.1, 0.2]], [-0.5, 0.2], r"decision_risk: -0\.5 lies outside 0 to 1"),
        ([[0.1, np.nan]], [0.1, 0.2], "risk_draws: 1 of 2 values are missing"),
        ([[0.1, 0.2]], [0.1], r"have shapes \(1, 2\) and \(1,\); expected: \(\.\.\., patient\)"),
        ([[0.1, 0.2]], [[0.1, 0.2]], r"have shapes \(1, 2\) and \(1, 2\)"),
        (0.1, [0.1], r"have shapes \(\) and \(1,\)"),
        (np.empty((0, 2)), [0.1, 0.2], "risk_draws: has shape .* at least one draw"),
        ([["a"]], [0.1], "risk_draws: holds something other than numbers"),
    ],
)
def test_draws_that_do_not_fit_are_refused(draws: Any, rule: Any, message: str) -> None:
    for metric in (expected_net_benefit, evpi_development):
        with pytest.raises(MetricError, match=message):
            metric(draws, rule, 0.5)


def test_replicates_that_do_not_fit_are_refused() -> None:
    with pytest.raises(MetricError, match=r"expected: \(replicate, strategy\)"):
        evpi_validation([0.1, 0.2])
    with pytest.raises(MetricError, match="net_benefits: 1 of 2 values are missing"):
        evpi_validation([[0.1, np.inf]])
    with pytest.raises(MetricError, match=r"net_benefit: has shape \(\)"):
        probability_useful(0.1, 0.2)
    with pytest.raises(MetricError, match=r"net_benefit: has shape \(0,\)"):
        probability_useful([], [])
    with pytest.raises(MetricError, match=r"treat_all: has shape \(3,\), which does not fit"):
        probability_useful([0.1, 0.2], [0.1, 0.2, 0.3])
    with pytest.raises(MetricError, match="treat_all: 1 of 1 values are missing"):
        probability_useful([0.1], [np.nan])


# R


@pytest.mark.reference
@pytest.mark.parametrize("name", NAMES)
def test_decision_curve_is_that_of_r(name: str) -> None:
    """1e-9: the coefficients behind the risks are printed to 15 digits, counts are exact."""
    content, design = reference(name), reference_design(name)
    expected = content["decision_curve"]
    coefficients = np.array(list(content["glm"]["coef"].values()))
    odds_of = np.column_stack([np.ones(len(design)), design.iloc[:, 2:]]) @ coefficients
    risk, outcome = 1 / (1 + np.exp(-odds_of)), design["y"].to_numpy()
    curve = decision_curve(outcome, risk)
    for column in ("threshold", "net_benefit", "treat_all", "treat_none"):
        np.testing.assert_allclose(getattr(curve, column), expected[column], rtol=0, atol=1e-9)
    at = curve.threshold
    for share, counted in ((1, "tp"), (0, "fp")):
        of_class = outcome == share
        found = decision_curve(outcome[of_class], risk[of_class], at).net_benefit * of_class.sum()
        price = 1 if share else -at / (1 - at)
        np.testing.assert_allclose(found / price, expected[counted], rtol=0, atol=1e-9)
