"""Level, slope and groups of calibration: R's glm, scikit-learn, closed forms, identities."""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import chi2, norm
from sklearn.linear_model import LogisticRegression

from bayes_cmvt.errors import MetricError
from bayes_cmvt.metrics.calibration import (
    calibration_in_the_large,
    calibration_intercept,
    calibration_slope,
    hosmer_lemeshow,
    log_odds,
    logistic_departures,
    recalibration,
    risk_groups,
)
from tests.references import glm_log_odds, reference_design, reference_section, resampled_rows

PRINTED = 1e-9  # the references carry 15 significant digits
ROUNDING = 1e-12
REPEATED = 1e-10
MODELS = (calibration_in_the_large, calibration_intercept, calibration_slope)

type Case = tuple[np.ndarray, np.ndarray, np.ndarray]  # outcome, risk, weights

in_every_dataset = pytest.mark.parametrize("name", ["synth26", "indo_rct", "birthwt", "asah"])
any_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)


def line_by_newton(predictors: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """Coefficients of a logistic model by plain Newton steps on scaled columns."""
    matrix = np.column_stack([np.ones(len(outcome)), predictors])
    scale = np.abs(matrix).max(axis=0)
    matrix, coefficients = matrix / scale, np.zeros(matrix.shape[1])
    for _ in range(60):
        risk = expit(matrix @ coefficients)
        information = matrix.T @ (matrix * (risk * (1 - risk))[:, None])
        step = np.linalg.solve(information, matrix.T @ (outcome - risk))
        coefficients += step
        if abs(step).max() < 1e-14:
            break
    return np.asarray(coefficients / scale)


@st.composite
def cases(draw: st.DrawFn, most: int = 30) -> Case:
    """Overlapping outcomes at tied risks, the ends included, with whole-number weights."""
    n = draw(st.integers(6, most))
    risk = np.array(draw(st.lists(st.integers(0, 20), min_size=n, max_size=n))) / 20
    outcome = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    weights = np.array(draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    risk[:4], outcome[:4], weights[:4] = [0.2, 0.2, 0.6, 0.6], [0, 1, 0, 1], [1, 2, 2, 1]
    return outcome, risk, weights


def overlapping(n: int = 60, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(seed)
    risk = expit(draws.normal(-0.5, 1, n))
    return (draws.random(n) < risk).astype(int), risk


# --- R ------------------------------------------------------------------------------------------


@in_every_dataset
def test_level_intercept_and_slope_equal_glm(name: str) -> None:
    expected = reference_section(name, "calibration")["val_prob"]["exact_recalibration"]
    outcome, predictor = glm_log_odds(name)
    found = recalibration(outcome, expit(predictor))
    assert found.in_the_large == pytest.approx(expected["calibration_in_the_large"], abs=PRINTED)
    assert found.intercept == pytest.approx(expected["intercept"], abs=PRINTED)
    assert found.slope == pytest.approx(expected["slope"], abs=PRINTED)


@in_every_dataset
def test_standard_errors_equal_those_of_the_last_step_but_one_of_glm(name: str) -> None:
    """R inverts the information from which its last step started: 1e-8 away from the solution."""
    expected = reference_section(name, "calibration")["val_prob"]["exact_recalibration"]
    outcome, predictor = glm_log_odds(name)
    found = recalibration(outcome, expit(predictor))
    lines = np.column_stack([np.ones(len(outcome)), predictor])
    for mine, theirs, columns, offset in (
        ([found.in_the_large_se], ["calibration_in_the_large_se"], lines[:, :1], predictor),
        ([found.intercept_se, found.slope_se], ["intercept_se", "slope_se"], lines, 0.0),
    ):
        printed = [expected[key] for key in theirs]
        steps = standard_errors_by_step(columns, outcome, offset)
        assert steps[-1] == pytest.approx(mine, abs=ROUNDING)
        assert min(abs(step - printed).max() for step in steps) < PRINTED
        assert mine == pytest.approx(printed, rel=2e-7)


def standard_errors_by_step(
    columns: np.ndarray, outcome: np.ndarray, offset: np.ndarray | float
) -> list[np.ndarray]:
    """Of reweighted least squares from (outcome + 1/2)/2, as `glm` starts."""
    predictor, errors = logit((outcome + 0.5) / 2), []
    for _ in range(20):
        risk = expit(predictor)
        variance = risk * (1 - risk)
        covariance = np.linalg.inv(columns.T @ (columns * variance[:, None]))
        errors.append(np.sqrt(np.diag(covariance)))
        response = variance * (predictor - offset) + outcome - risk
        predictor = offset + columns @ covariance @ columns.T @ response
    return errors


@in_every_dataset
def test_mean_slope_of_200_resampled_models_equals_that_of_r(name: str) -> None:
    """`validate`: models fitted to resamples, each recalibrated on the original patients."""
    boot = reference_section(name, "calibration")["bootstrap"]
    design = reference_design(name)
    columns, outcome = design[boot["columns"]].to_numpy(dtype=float), design["y"].to_numpy()
    rows = resampled_rows(name)
    models = np.array([line_by_newton(columns[chosen], outcome[chosen]) for chosen in rows])
    predictors = models[:, :1] + models[:, 1:] @ columns.T
    table = boot["exact"]["validate"]
    values = dict(
        zip(table["rows"], np.reshape(table["values"], (-1, len(table["cols"]))), strict=True)
    )
    expected = [values[row][table["cols"].index("test")] for row in ("Intercept", "Slope")]

    ones = np.ones(predictors.shape)
    departures = logistic_departures(
        predictors, np.stack([ones, predictors]), ones[:1], outcome[None].astype(float)
    )
    assert departures.mean(axis=0) == pytest.approx(np.subtract(expected, [0, 1]), abs=PRINTED)
    if abs(predictors).max() < 12:  # beyond, a risk near 1 no longer holds its log-odds
        risk = expit(predictors)
        found = [model(outcome, risk).mean() for model in MODELS[1:]]
        assert found == pytest.approx(expected, abs=PRINTED)


@in_every_dataset
def test_hosmer_lemeshow_equals_r(name: str) -> None:
    expected = reference_section(name, "calibration")["hosmer_lemeshow"]
    outcome, predictor = glm_log_odds(name)
    found = hosmer_lemeshow(outcome, expit(predictor))
    assert found.statistic == pytest.approx(expected["statistic"], abs=PRINTED)
    assert found.df == expected["df"]
    assert found.p_value == pytest.approx(expected["p_value"], abs=PRINTED)
    external = hosmer_lemeshow(outcome, expit(predictor), external=True)
    assert external.df == expected["g"]
    assert external.p_value == pytest.approx(expected["p_value_df_g_external"], abs=PRINTED)


@in_every_dataset
def test_risk_groups_equal_r(name: str) -> None:
    expected = reference_section(name, "calibration")["hosmer_lemeshow"]
    outcome, predictor = glm_log_odds(name)
    found = risk_groups(outcome, expit(predictor))
    assert found.patients.tolist() == expected["n"]
    assert found.events.tolist() == expected["observed_events"]
    assert found.expected == pytest.approx(expected["expected_events"], abs=PRINTED)
    assert [*found.lower, found.upper[-1]] == pytest.approx(expected["breaks"], abs=PRINTED)


# --- a second algorithm -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_intercept_and_slope_equal_logistic_regression_of_scikit_learn(seed: int) -> None:
    outcome, risk = overlapping(seed=seed)
    weights = np.random.default_rng(seed).exponential(size=60)
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    model.fit(logit(risk)[:, None], outcome, sample_weight=weights)
    found = recalibration(outcome, risk, weights=weights)
    assert found.intercept == pytest.approx(model.intercept_[0], abs=1e-8)
    assert found.slope == pytest.approx(model.coef_[0, 0], abs=1e-8)


@given(cases())
@settings(deadline=None)
def test_in_the_large_is_the_root_of_its_score(case: Case) -> None:
    """Risks of 0 and 1 among them, clipped: the score is flat for stretches."""
    outcome, risk, weights = case
    offset = logit(np.clip(risk, 1e-12, 1 - 1e-12))

    def score(level: float) -> float:
        return float(weights @ (expit(offset + level) - outcome))

    found = calibration_in_the_large(outcome, risk, weights=weights)
    assert found == pytest.approx(brentq(score, -60, 60, xtol=1e-13), abs=1e-8)
    assert abs(score(found)) < 1e-9


@given(cases())
@settings(deadline=None)
def test_intercept_and_slope_solve_their_equations(case: Case) -> None:
    outcome, risk, weights = case
    intercept, slope = (model(outcome, risk, weights=weights) for model in MODELS[1:])
    residual = weights * (outcome - expit(intercept + slope * log_odds(risk)))
    assert abs(residual.sum()) < 1e-9
    assert abs(residual @ log_odds(risk)) < 1e-8


def test_standard_errors_invert_the_information() -> None:
    outcome, risk = overlapping()
    found = recalibration(outcome, risk)
    columns = np.column_stack([np.ones(60), logit(risk)])
    fitted = expit(columns @ [found.intercept, found.slope])
    covariance = np.linalg.inv(columns.T @ (columns * (fitted * (1 - fitted))[:, None]))
    expected = [*np.sqrt(np.diag(covariance)), covariance[0, 1]]
    assert [found.intercept_se, found.slope_se, found.covariance] == pytest.approx(expected)


# --- closed forms and limits --------------------------------------------------------------------


def test_recalibration_of_two_risks_is_its_closed_form() -> None:
    """Saturated: variance of a logit is 1/events + 1/non-events."""
    outcome = np.repeat([1, 0, 1, 0], [2, 8, 6, 4])
    risk = np.repeat([expit(-1.0), expit(1.0)], 10)
    low, high = logit(0.2), logit(0.6)
    found = recalibration(outcome, risk, ci_prob=0.9)
    assert found.slope == pytest.approx((high - low) / 2, abs=ROUNDING)
    assert found.intercept == pytest.approx((high + low) / 2, abs=ROUNDING)
    variances = np.array([1 / 2 + 1 / 8, 1 / 6 + 1 / 4])
    assert found.slope_se == pytest.approx(np.sqrt(variances.sum()) / 2, abs=ROUNDING)
    assert found.intercept_se == pytest.approx(np.sqrt(variances.sum()) / 2, abs=ROUNDING)
    assert found.covariance == pytest.approx((variances[1] - variances[0]) / 4, abs=ROUNDING)
    half = norm.ppf(0.95) * found.slope_se
    assert found.slope_lower == pytest.approx(found.slope - half, abs=ROUNDING)
    assert found.slope_upper == pytest.approx(found.slope + half, abs=ROUNDING)
    assert found.ci_prob == 0.9


def test_level_of_one_risk_is_the_difference_of_logits() -> None:
    found = calibration_in_the_large([1, 1, 1, 0], [[0.2] * 4, [0.5] * 4])
    assert found == pytest.approx([logit(0.75) - logit(0.2), logit(0.75)], abs=ROUNDING)


@given(cases(), st.floats(-2, 2), st.floats(0.2, 5))
@settings(deadline=None)
def test_moving_and_stretching_log_odds_moves_and_stretches_the_line(
    case: Case, shift: float, stretch: float
) -> None:
    outcome, risk, weights = case
    inner = 0.05 + 0.9 * risk
    moved = expit(shift + stretch * logit(inner))
    intercept, slope = (model(outcome, inner, weights=weights) for model in MODELS[1:])
    expected = [intercept - slope * shift / stretch, slope / stretch]
    found = [model(outcome, moved, weights=weights) for model in MODELS[1:]]
    assert found == pytest.approx(expected, abs=1e-8)


def test_slope_of_true_risks_tends_to_1_and_their_level_to_0() -> None:
    for n in (1_000, 10_000, 100_000):
        draws = np.random.default_rng(n)
        risk = expit(draws.normal(-1.5, 1, n))
        found = recalibration((draws.random(n) < risk).astype(int), risk)
        assert abs(found.slope - 1) < 4 * found.slope_se < 14 / np.sqrt(n)
        assert abs(found.in_the_large) < 4 * found.in_the_large_se < 14 / np.sqrt(n)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ([0, 0, 1, 1], np.inf),
        ([1, 1, 0, 0], -np.inf),
    ],
)
@pytest.mark.parametrize("risk", [[0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.2, 0.4], [0.0, 0.0, 1.0, 1.0]])
def test_slope_of_separating_risks_is_infinite(
    outcome: list[int], risk: list[float], expected: float
) -> None:
    assert calibration_slope(outcome, risk) == expected
    assert np.isnan(calibration_intercept(outcome, risk))
    found = recalibration(outcome, risk)
    assert found.slope == expected
    assert np.isfinite([found.in_the_large, found.in_the_large_se]).all()
    assert np.isnan(astuple(found)[4:8] + astuple(found)[9:13]).all()


def test_only_patients_with_weight_can_keep_a_risk_from_separating() -> None:
    outcome, risk = [0, 1, 0, 1, 0], [0.1, 0.2, 0.3, 0.4, 0.5]
    weights = [[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [0, 1, 1, 0, 1]]
    slope = calibration_slope(outcome, risk, weights=weights)
    assert np.isfinite(slope[0])
    assert slope[1:].tolist() == [np.inf, -np.inf]
    assert slope[0] == pytest.approx(calibration_slope(outcome, risk), abs=ROUNDING)


def test_one_risk_for_all_has_no_slope() -> None:
    slope = calibration_slope([0, 1, 1], [[0.3, 0.3, 0.3], [0.3, 0.3, 0.5]])
    assert np.isnan(slope[0])
    assert slope[1] == np.inf
    assert np.isnan(calibration_slope([0, 1, 1], [0.3, 0.3, 0.9], weights=[1, 1, 0]))


def test_almost_separating_risks_have_a_finite_slope() -> None:
    """Two patients 1e-9 out of order: their slope solves its equations all the same."""
    risk = np.array([0.1, 0.3, 0.5, 0.5 + 1e-9, 0.7, 0.9])
    outcome = np.array([0, 0, 1, 0, 1, 1])
    intercept, slope = calibration_intercept(outcome, risk), calibration_slope(outcome, risk)
    residual = outcome - expit(intercept + slope * log_odds(risk))
    assert 10 < slope < 1000
    assert abs(residual.sum()) < 1e-9
    assert abs(residual @ log_odds(risk)) < 1e-9


def test_risks_in_a_narrow_band_keep_their_precision() -> None:
    outcome, _ = overlapping()
    band = logit(0.1) + 1e-6 * np.random.default_rng(3).normal(size=60)
    wide = expit((band - logit(0.1)) * 1e6)
    slope = calibration_slope(outcome, expit(band))
    assert slope * 1e-6 == pytest.approx(calibration_slope(outcome, wide), rel=1e-6)


# --- identities ---------------------------------------------------------------------------------


@any_model
@given(case=cases())
@settings(deadline=None)
def test_whole_number_weights_are_repeated_patients(model: Any, case: Case) -> None:
    outcome, risk, weights = case
    repeated = model(np.repeat(outcome, weights), np.repeat(risk, weights))
    assert model(outcome, risk, weights=weights) == pytest.approx(repeated, abs=REPEATED)


@any_model
@given(case=cases())
@settings(deadline=None)
def test_doubling_or_permuting_patients_changes_no_line(model: Any, case: Case) -> None:
    outcome, risk, _ = case
    expected = pytest.approx(model(outcome, risk), abs=REPEATED)
    assert model(np.tile(outcome, 2), np.tile(risk, 2)) == expected
    assert model(outcome[::-1], risk[::-1]) == expected


@any_model
def test_weights_of_one_and_their_multiples_change_no_line(model: Any) -> None:
    outcome, risk = overlapping()
    for weight in (1, 3, 0.1):
        found = model(outcome, risk, weights=np.full(60, weight))
        assert found == pytest.approx(model(outcome, risk), abs=ROUNDING)


@any_model
def test_rows_of_risks_and_of_weights_are_broadcast(model: Any) -> None:
    outcome, risk = overlapping()
    draws = np.random.default_rng(5)
    risks = expit(logit(risk) + draws.normal(size=(3, 1, 60)))
    weights = draws.exponential(size=(2, 60))
    found = model(outcome, risks, weights=weights)
    assert found.shape == (3, 2)
    for i in range(3):
        for j in range(2):
            single = model(outcome, risks[i, 0], weights=weights[j])
            assert found[i, j] == pytest.approx(single, abs=ROUNDING)
    assert model(outcome, risks[:, 0], weights=weights[0]) == pytest.approx(found[:, 0], abs=1e-13)
    assert isinstance(model(outcome, risk), float)


# --- groups -------------------------------------------------------------------------------------


def group_sizes_by_cut(values: list[int], groups: int) -> list[int]:
    """Patients in each interval of the unique type 7 quantiles, in whole numbers and fractions."""
    ordered, cuts = sorted(values), set()
    for k in range(groups + 1):
        low, rest = divmod(k * (len(values) - 1), groups)
        high = ordered[min(low + 1, len(values) - 1)]
        cuts.add(ordered[low] + Fraction(rest, groups) * (high - ordered[low]))
    inner = sorted(cuts)[1:-1]
    sizes = Counter(sum(value > cut for cut in inner) for value in values)
    return [sizes[group] for group in sorted(sizes)]


@given(st.lists(st.integers(0, 1000), min_size=3, max_size=60), st.integers(2, 12))
@settings(deadline=None)
def test_groups_are_intervals_of_the_unique_quantiles(values: list[int], groups: int) -> None:
    risk = np.array(values) / 1024
    found = risk_groups(np.zeros(len(risk)), risk, groups)
    assert found.patients.tolist() == group_sizes_by_cut(values, groups)
    inside = [
        ((risk > low) | ((risk == low) & (low == risk.min()))) & (risk <= high)
        for low, high in zip(found.lower, found.upper, strict=True)
    ]
    assert [int(group.sum()) for group in inside] == found.patients.tolist()
    assert found.expected == pytest.approx([risk[group].sum() for group in inside])


def test_hosmer_lemeshow_is_the_sum_over_its_groups() -> None:
    outcome, risk = overlapping()
    table = risk_groups(outcome, risk, 7)
    spared, survivors = table.patients - table.expected, table.patients - table.events
    statistic = (
        (table.events - table.expected) ** 2 / table.expected + (survivors - spared) ** 2 / spared
    ).sum()
    found = hosmer_lemeshow(outcome, risk, 7)
    assert found.statistic == pytest.approx(statistic, abs=ROUNDING)
    assert (found.df, found.p_value) == (5, pytest.approx(chi2.sf(statistic, 5), abs=ROUNDING))


def test_hosmer_lemeshow_of_draws_is_that_of_each_draw() -> None:
    outcome, risk = overlapping()
    risks = np.array([risk, np.round(risk, 1), np.full(60, 0.4)])
    found = hosmer_lemeshow(outcome, risks, external=True)
    single = [hosmer_lemeshow(outcome, row, external=True) for row in risks]
    assert found.statistic == pytest.approx([one.statistic for one in single], abs=ROUNDING)
    assert found.df.tolist() == [one.df for one in single]
    assert found.p_value == pytest.approx([one.p_value for one in single], abs=ROUNDING)
    assert found.df[2] == 1


def test_ties_leave_fewer_groups_and_too_few_leave_no_p() -> None:
    outcome, risk = [0, 1, 0, 1, 1, 0], [0.2, 0.2, 0.2, 0.6, 0.6, 0.6]
    found = hosmer_lemeshow(outcome, risk)
    assert found.df == 0
    assert np.isnan(found.p_value)
    assert found.statistic == pytest.approx((1 - 0.6) ** 2 / (0.6 * 0.8) + 0.2**2 / (1.8 * 0.4))
    constant = risk_groups(outcome, [0.5] * 6)
    assert constant.patients.tolist() == [6]
    assert (constant.lower[0], constant.upper[0]) == (0.5, 0.5)


def test_a_group_that_expects_nothing_counts_only_when_it_was_wrong() -> None:
    right = hosmer_lemeshow([0, 0, 1, 1], [0.0, 0.0, 1.0, 1.0], 2, external=True)
    assert (right.statistic, right.p_value) == (0, 1)
    wrong = hosmer_lemeshow([1, 0, 1, 1], [0.0, 0.0, 1.0, 1.0], 2, external=True)
    assert (wrong.statistic, wrong.p_value) == (np.inf, 0)


def test_hosmer_lemeshow_keeps_its_level_for_true_risks() -> None:
    """External: 600 tests at level 0.1, whose binomial standard error is 0.0122."""
    draws = np.random.default_rng(8)
    risk = expit(draws.normal(0, 1, 400))
    outcomes = (draws.random((600, 400)) < risk).astype(int)
    p_values = [hosmer_lemeshow(outcome, risk, external=True).p_value for outcome in outcomes]
    assert np.mean(np.array(p_values) < 0.1) == pytest.approx(0.1, abs=4 * 0.0122)


# --- what is refused ----------------------------------------------------------------------------


@any_model
@pytest.mark.parametrize(
    ("outcome", "risk", "message"),
    [
        ([0, 0, 0], [0.1, 0.2, 0.3], "all 3 patients had no event; both outcomes are needed"),
        ([0, 1, 2], [0.1, 0.2, 0.3], "2 is neither 0 nor 1"),
        ([0, 1, 1], [0.1, 0.2, 1.3], "1.3 lies outside 0 to 1"),
        ([0, 1, 1], [0.1, 0.2, np.nan], "1 of 3 values are missing"),
        ([0, 1, 1], [0.1, 0.2], r"has shape \(2,\)"),
    ],
)
def test_input_that_no_line_takes_is_refused(
    model: Any, outcome: list[int], risk: list[float], message: str
) -> None:
    with pytest.raises(MetricError, match=message):
        model(outcome, risk)


def test_leading_axes_are_refused_where_one_risk_vector_is_asked_for() -> None:
    for function in (recalibration, risk_groups):
        message = rf"{function.__name__}: takes one risk vector; found leading axes of shape \(2,\)"
        with pytest.raises(MetricError, match=message):
            function([0, 1, 1], [[0.1, 0.2, 0.3], [0.2, 0.3, 0.4]])


@pytest.mark.parametrize("ci_prob", [0, 1, 95, np.nan])
def test_recalibration_refuses_a_level_outside_0_to_1(ci_prob: float) -> None:
    with pytest.raises(MetricError, match=r"ci_prob: found .*; allowed: above 0 and below 1"):
        recalibration([0, 1, 0], [0.1, 0.2, 0.3], ci_prob=ci_prob)


@pytest.mark.parametrize("groups", [0, -3, 2.5, "ten", True])
def test_groups_are_refused_unless_a_whole_number_from_1(groups: Any) -> None:
    for function in (hosmer_lemeshow, risk_groups):
        with pytest.raises(MetricError, match=r"groups: found .*; allowed: whole numbers from 1"):
            function([0, 1, 1], [0.1, 0.2, 0.3], groups)
