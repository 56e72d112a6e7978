from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayes_cmvt.errors import MetricError
from bayes_cmvt.metrics.calibration import calibration_intercept, calibration_slope
from bayes_cmvt.metrics.curves import calibration_curve
from bayes_cmvt.metrics.discrimination import auc
from bayes_cmvt.metrics.optimism_correction import (
    optimism,
    optimism_corrected_curve,
    weighted_optimism,
)
from bayes_cmvt.metrics.scores import brier_score
from tests.references import (
    REFERENCES,
    SHARED,
    reference_design,
    reference_section,
    resampled_rows,
)

NAMES = sorted(REFERENCES)
PARTS = ("apparent", "training", "test", "optimism", "corrected")
PARTS_IN_R = ("index.orig", "training", "test", "optimism", "index.corrected")


def maximum_likelihood(matrix: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """Logistic coefficients by Newton's method; columns scaled, steps until none moves 1e-12."""
    scale = np.abs(matrix).max(axis=0)
    scaled, beta = matrix / scale, np.zeros(matrix.shape[1])
    for _ in range(100):
        risk = expit(scaled @ beta)
        curvature = scaled.T @ (scaled * (risk * (1 - risk))[:, np.newaxis])
        step = np.linalg.solve(curvature, scaled.T @ (outcome - risk))
        beta += step
        if np.abs(step).max() < 1e-12:
            return beta / scale
    pytest.fail("no maximum likelihood estimate")


def expit(log_odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-log_odds))


def log_likelihood(outcome: np.ndarray, log_odds: np.ndarray) -> float:
    return float((outcome * log_odds - np.logaddexp(0, log_odds)).sum())


INDICES = ("R2", "Intercept", "Slope", "D", "U")


def indices(outcome: np.ndarray, log_odds: np.ndarray) -> np.ndarray:
    """Nagelkerke's R2, recalibration line, discrimination and unreliability index.

    Of log-odds L: the line is the logistic regression of the outcome on L. With log-likelihoods l
    of the event share alone, of L and of the line, D = (2 (l_line - l_share) - 1) / n and
    U = (2 (l_line - l_L) - 2) / n.
    """
    n, share = len(outcome), outcome.mean()
    matrix = np.column_stack([np.ones(n), log_odds])
    intercept, slope = maximum_likelihood(matrix, outcome)
    of_share = n * (share * np.log(share) + (1 - share) * np.log(1 - share))
    of_line = log_likelihood(outcome, intercept + slope * log_odds)
    ratio, gained = 2 * (of_line - of_share), 2 * (of_line - log_likelihood(outcome, log_odds))
    nagelkerke = (1 - np.exp(-ratio / n)) / (1 - np.exp(2 * of_share / n))
    return np.array([nagelkerke, intercept, slope, (ratio - 1) / n, (gained - 2) / n])


# R


@dataclass(frozen=True, eq=False)
class Refitted:
    """The reference's bootstrap with maximum likelihood fits of ours."""

    outcome: np.ndarray
    rows: np.ndarray
    log_odds: np.ndarray
    resample_log_odds: np.ndarray
    exact: dict[str, Any]

    def of_risks(self) -> tuple[np.ndarray, ...]:
        risks = (expit(values) for values in (self.log_odds, self.resample_log_odds))
        first, second = risks
        return self.outcome, first, self.rows, second


@functools.cache
def refitted(name: str) -> Refitted:
    rows = resampled_rows(name)
    content = reference_section(name, "calibration")["bootstrap"]
    design = reference_design(name)
    outcome = design["y"].to_numpy(dtype=float)
    matrix = np.column_stack([np.ones(len(design)), design[content["columns"]]])
    fits = [maximum_likelihood(matrix[drawn], outcome[drawn]) for drawn in rows]
    whole = matrix @ maximum_likelihood(matrix, outcome)
    return Refitted(outcome, rows, whole, np.array(fits) @ matrix.T, content["exact"])


def calibrate(exact: dict[str, Any]) -> pd.DataFrame:
    """Columns of rms::calibrate by its algorithm with tightly converged fits."""
    table = exact["calibrate"]
    return pd.DataFrame(table["values"], columns=table["cols"], dtype=float)


def validate(exact: dict[str, Any]) -> pd.DataFrame:
    table = exact["validate"]
    return pd.DataFrame(table["values"], columns=table["cols"], index=table["rows"], dtype=float)


@pytest.mark.reference
@pytest.mark.parametrize("name", NAMES)
def test_corrected_curve_is_that_of_rms_calibrate(name: str) -> None:
    """1e-8 as stated: fits converged to 1e-12, printed to 15 digits."""
    refits = refitted(name)
    found = optimism_corrected_curve(*refits.of_risks())
    expected = calibrate(refits.exact)
    assert len(expected) == 50
    for ours, theirs in (
        ("risk", "predy"),
        ("apparent", "calibrated.orig"),
        ("corrected", "calibrated.corrected"),
        ("optimism", "optimism"),
    ):
        np.testing.assert_allclose(
            getattr(found, ours), expected[theirs], rtol=0, atol=1e-8, err_msg=theirs
        )
    np.testing.assert_array_equal(found.resamples_used, expected["n"])
    summary = refits.exact["calibrate_summary"]
    assert found.mean_absolute_error == pytest.approx(summary["mae"], abs=1e-8)
    assert found.mean_squared_error == pytest.approx(summary["mse"], abs=1e-8)
    assert found.error_q90 == pytest.approx(summary["q90"], abs=1e-8)
    ascending = np.sort(refits.of_risks()[1])
    assert (found.risk[0], found.risk[-1]) == (ascending[4], ascending[-5])


@pytest.mark.reference
@pytest.mark.parametrize("name", NAMES)
def test_training_and_test_curves_are_those_of_rms_calibrate(name: str) -> None:
    refits = refitted(name)
    expected = calibrate(refits.exact)
    points = optimism_corrected_curve(*refits.of_risks()).risk

    def departure(outcome: np.ndarray, risk: np.ndarray) -> np.ndarray:
        return calibration_curve(outcome, risk, "lowess", at=points).observed - points

    found = optimism(departure, *refits.of_risks())
    for part in ("training", "test", "optimism"):
        np.testing.assert_allclose(getattr(found, part), expected[part], rtol=0, atol=1e-8)
    np.testing.assert_array_equal(found.resamples_used, expected["n"])


@pytest.mark.reference
@pytest.mark.parametrize("name", NAMES)
def test_indices_are_those_of_rms_validate(name: str) -> None:
    """1e-8 as stated. R2, Intercept, Slope, D and U of log-odds: no risk is too near 0 or 1."""
    refits = refitted(name)
    expected = validate(refits.exact)[list(PARTS_IN_R)]
    by_log_odds = optimism(
        indices, refits.outcome, refits.log_odds, refits.rows, refits.resample_log_odds
    )
    assert list(expected.index) == ["Dxy", *INDICES, "B"]

    def dxy(outcome: np.ndarray, risk: np.ndarray) -> float:
        return 2 * auc(outcome, risk) - 1

    ranked = optimism(dxy, *refits.of_risks())
    squared = optimism(brier_score, *refits.of_risks())
    for part, theirs in zip(PARTS, PARTS_IN_R, strict=True):
        found = [getattr(ranked, part), *getattr(by_log_odds, part), getattr(squared, part)]
        np.testing.assert_allclose(found, expected[theirs], rtol=0, atol=1e-8, err_msg=part)
    assert ranked.resamples_used == squared.resamples_used == 200


@pytest.mark.reference
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("birthwt", 1e-8), ("indo_rct", 1e-8), ("asah", 1e-5), ("synth26", 1e-5)],
)
def test_slope_and_intercept_of_risks_are_those_of_rms_validate(
    name: str, tolerance: float
) -> None:
    """In asah and synth26 some risks of resamples round to 1, or lie within 1e-12 of it.

    Their log-odds, up to 120, are cut there, which changes the mean slope in the sixth digit.
    """
    refits = refitted(name)
    beyond = np.abs(refits.resample_log_odds).max() > -np.log(1e-12)
    assert beyond == (tolerance > 1e-8)
    expected = validate(refits.exact)
    both = ((calibration_slope, "Slope"), (calibration_intercept, "Intercept"))
    for metric, row in both[:1] if beyond else both:
        found = optimism(metric, *refits.of_risks())
        values = [getattr(found, part) for part in PARTS]
        np.testing.assert_allclose(
            values, expected.loc[row, list(PARTS_IN_R)], rtol=0, atol=tolerance
        )


@pytest.mark.reference
@pytest.mark.parametrize("name", NAMES)
def test_every_resample_has_its_own_dxy_as_in_r(name: str) -> None:
    outcome, risk, rows, risks = refitted(name).of_risks()
    expected = pd.read_csv(SHARED / "reference" / f"{name}_bootdxy.csv")
    for b in range(0, 200, 7):
        found = optimism(auc, outcome, risk, rows[[b]], risks[[b]])
        dxy = (2 * found.training - 1, 2 * found.test - 1)
        assert dxy == pytest.approx(tuple(expected.iloc[b, 1:]), abs=1e-8), b


# closed forms


@pytest.mark.parametrize("outcome", [[0, 1, 1], [0, 0, 0, 1]])
def test_brier_score_of_the_event_share_is_corrected_by_twice_its_variance(
    outcome: list[int],
) -> None:
    """Over all n^n resamples: optimism -2 m (1 - m) / n, of a model that is the event share m."""
    y = np.array(outcome)
    rows = np.array(list(itertools.product(range(len(y)), repeat=len(y))))
    risks = np.repeat(y[rows].mean(axis=1, keepdims=True), len(y), axis=1)
    share, variance = y.mean(), y.mean() * (1 - y.mean())
    found = optimism(brier_score, y, np.full(len(y), share), rows, risks)
    assert found.apparent == pytest.approx(variance, abs=1e-15)
    assert found.optimism == pytest.approx(-2 * variance / len(y), abs=1e-14)
    assert found.corrected == pytest.approx(variance * (1 + 2 / len(y)), abs=1e-14)
    assert found.training - found.test == found.optimism
    assert found.resamples_used == len(rows)


def test_a_model_of_noise_loses_its_apparent_discrimination() -> None:
    """12 predictors without effect, 120 patients: the truth is an AUC of 0.5.

    Averaged over 8 data sets; the SD of an AUC of 120 patients is about 0.055, so 4 standard errors
    of the mean are 0.08, and the apparent AUC lies well beyond.
    """
    rng = np.random.default_rng(11)
    apparent, corrected = [], []
    for _ in range(8):
        matrix = np.column_stack([np.ones(120), rng.normal(size=(120, 12))])
        outcome = rng.permutation(np.repeat([0.0, 1.0], 60))
        rows = rng.integers(0, 120, (40, 120))
        fits = np.array([maximum_likelihood(matrix[drawn], outcome[drawn]) for drawn in rows])
        whole = matrix @ maximum_likelihood(matrix, outcome)
        found = optimism(auc, outcome, whole, rows, fits @ matrix.T)
        apparent.append(found.apparent)
        corrected.append(found.corrected)
    assert np.mean(apparent) > 0.62
    assert np.mean(corrected) == pytest.approx(0.5, abs=0.08)


# identities


def simulated(patients: int = 60, resamples: int = 30, seed: int = 1) -> tuple[np.ndarray, ...]:
    """Outcome, risk, resamples, and risks of models that differ somewhat."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(0, 1, patients)
    outcome = rng.binomial(1, expit(log_odds)).astype(float)
    rows = rng.integers(0, patients, (resamples, patients))
    factors, shifts = rng.normal(1, 0.2, (resamples, 1)), rng.normal(0, 0.2, (resamples, 1))
    return outcome, expit(log_odds), rows, expit(factors * log_odds + shifts)


def test_the_same_patients_and_the_same_model_leave_nothing_to_correct() -> None:
    outcome, risk, _, _ = simulated()
    rows, risks = np.tile(np.arange(60), (3, 1)), np.tile(risk, (3, 1))
    found = optimism(auc, outcome, risk, rows, risks)
    assert (found.optimism, found.corrected) == (0.0, found.apparent)
    curve = optimism_corrected_curve(outcome, risk, rows, risks)
    np.testing.assert_array_equal(curve.optimism, 0)
    np.testing.assert_array_equal(curve.corrected, curve.apparent)
    assert curve.resamples_used.tolist() == [3] * 50


def test_order_of_patients_and_of_resamples_does_not_matter() -> None:
    outcome, risk, rows, risks = simulated()
    rng = np.random.default_rng(2)
    patients, resamples = rng.permutation(60), rng.permutation(30)
    place = np.argsort(patients)  # where each patient has gone
    shuffled = (
        outcome[patients],
        risk[patients],
        rng.permuted(place[rows], axis=1)[resamples],
        risks[:, patients][resamples],
    )
    for metric in (auc, brier_score):
        found = optimism(metric, *shuffled)
        expected = optimism(metric, outcome, risk, rows, risks)
        for part in PARTS:
            assert getattr(found, part) == pytest.approx(getattr(expected, part), abs=1e-12)
    found = optimism_corrected_curve(*shuffled)
    expected = optimism_corrected_curve(outcome, risk, rows, risks)
    np.testing.assert_allclose(found.corrected, expected.corrected, rtol=0, atol=1e-10)
    assert found.mean_absolute_error == pytest.approx(expected.mean_absolute_error, abs=1e-10)


def test_each_value_of_a_metric_is_corrected_by_itself() -> None:
    given = simulated()

    def both(outcome: np.ndarray, risk: np.ndarray) -> list[float]:
        return [auc(outcome, risk), brier_score(outcome, risk)]

    found = optimism(both, *given)
    for k, metric in enumerate((auc, brier_score)):
        expected = optimism(metric, *given)
        for part in (*PARTS, "resamples_used"):
            assert getattr(found, part)[k] == getattr(expected, part)


# what is left out


def test_resamples_without_a_value_are_left_out_and_counted() -> None:
    """One outcome only, a model that could not be fitted, a slope without end."""
    outcome, risk, rows, risks = simulated(resamples=6)
    expected = {
        metric: optimism(metric, outcome, risk, rows[3:], risks[3:])
        for metric in (auc, calibration_slope)
    }
    rows[0] = np.flatnonzero(outcome == 1)[0]
    risks[1, 7] = np.nan
    for metric, used in ((auc, 4), (calibration_slope, 3)):
        cut = (outcome + 1) / 3 if metric is calibration_slope else risks[2]
        found = optimism(metric, outcome, risk, rows, np.vstack([risks[:2], [cut], risks[3:]]))
        assert found.resamples_used == used
        if metric is calibration_slope:
            for part in PARTS:
                theirs = getattr(expected[metric], part)
                assert getattr(found, part) == pytest.approx(theirs, abs=1e-12)


def test_where_no_resample_has_a_value_the_correction_is_missing() -> None:
    outcome, risk, rows, risks = simulated(resamples=4)
    found = optimism(auc, outcome, risk, rows, np.full(risks.shape, np.nan))
    assert found.resamples_used == 0
    assert found.apparent == auc(outcome, risk)
    assert np.isnan([found.training, found.test, found.optimism, found.corrected]).all()
    curve = optimism_corrected_curve(outcome, risk, rows, np.full(risks.shape, np.nan))
    assert not curve.resamples_used.any()
    assert np.isfinite(curve.apparent).all()
    summary = (curve.mean_absolute_error, curve.mean_squared_error, curve.error_q90)
    assert np.isnan([*curve.corrected, *summary]).all()


def test_points_beyond_the_risks_of_a_resample_are_left_out_there_alone() -> None:
    outcome, risk, rows, risks = simulated(patients=80, resamples=3)
    risks[0] = 0.4 + 0.2 * risk  # a timid model: risks from 0.4 to 0.6
    risks[1] = 0.3  # a model that kept no predictor
    found = optimism_corrected_curve(outcome, risk, rows, risks)
    low, high = risks[0][rows[0]].min(), risks[0][rows[0]].max()
    third = risks[2].min(), risks[2].max(), risks[2][rows[2]].min(), risks[2][rows[2]].max()
    within = (found.risk >= max(third[0], third[2])) & (found.risk <= min(third[1], third[3]))
    expected = within.astype(int) + ((found.risk >= low) & (found.risk <= high))
    np.testing.assert_array_equal(found.resamples_used, expected)
    assert {1, 2} <= set(found.resamples_used)
    alone = optimism_corrected_curve(outcome, risk, rows[2:], risks[2:])
    once = found.resamples_used == 1
    np.testing.assert_allclose(found.corrected[once], alone.corrected[once], rtol=0, atol=1e-12)


def test_errors_are_those_of_all_patients_but_four_at_each_end() -> None:
    """The 5th lowest and the 5th highest are patients at the ends of the curve, not beyond them."""
    for seed in range(20):
        outcome, risk, rows, risks = simulated(patients=47, resamples=2, seed=seed)
        found = optimism_corrected_curve(outcome, risk, rows, risks)
        known = np.isfinite(found.corrected)
        assert known[[0, -1]].all() or seed
        if not known.all():
            continue
        inner = np.sort(risk)[4:-4]
        error = np.abs(inner - np.interp(inner, found.risk, found.corrected))
        assert found.mean_absolute_error == pytest.approx(error.mean(), abs=1e-14)
        assert found.mean_squared_error == pytest.approx((error**2).mean(), abs=1e-14)
        assert found.error_q90 == pytest.approx(np.quantile(error, 0.9), abs=1e-14)


# errors


def test_shapes_and_positions_that_do_not_fit_are_refused_together() -> None:
    for resamples, message in (
        ([[0, 2]], "resamples: hold others than the positions 0 to 1"),
        ([[0, -1]], "resamples: hold others than the positions 0 to 1"),
        ([[0, 0.5]], "resamples: hold others"),
        ([[0, np.nan]], "resamples: hold others"),
        ([0, 1], r"resamples: have shape \(2,\); expected: \(resample, 2\)"),
        (np.empty((0, 2)), r"resamples: have shape \(0, 2\)"),
        ([[0, 1, 1]], r"resamples: have shape \(1, 3\); expected: \(resample, 2\)"),
        ([[0], [0, 1]], "resamples: holds something other than numbers"),
    ):
        with pytest.raises(MetricError, match=message):
            optimism(auc, [0, 1], [0.1, 0.2], resamples, [[0.1, 0.2]])
    with pytest.raises(MetricError) as raised:
        optimism(auc, [0, 1], [0.1], [[0, 5]], [[0.1, 0.2], [0.3, 0.4]])
    assert raised.value.heading == "optimism cannot be computed"
    assert raised.value.problems == (
        "risk: has shape (1,); expected: (2,), as the outcome",
        "resamples: hold others than the positions 0 to 1",
        "resample_risk: has shape (2, 2); expected: (1, 2), as the resamples",
    )
    with pytest.raises(MetricError, match=r"outcome: has shape \(\); expected: \(patient,\)"):
        optimism(auc, 1, 0.1, [[0]], [[0.1]])


def test_what_the_metric_refuses_is_refused() -> None:
    with pytest.raises(MetricError, match="both outcomes are needed"):
        optimism(auc, [1, 1], [0.1, 0.2], [[0, 1]], [[0.1, 0.2]])
    with pytest.raises(MetricError, match="none of the 2 resamples can be scored") as raised:
        optimism(auc, [0, 1], [0.1, 0.2], [[0, 0], [1, 1]], [[0.1, 0.2], [0.1, 0.2]])
    assert "both outcomes are needed" in raised.value.problems[0]
    with pytest.raises(MetricError, match="metric: holds something other than numbers"):
        optimism(lambda outcome, risk: "high", [0, 1], [0.1, 0.2], [[0, 1]], [[0.1, 0.2]])
    with pytest.raises(MetricError, match=r"returned shape \(1,\) for a resample, \(2,\) for the"):
        optimism(lambda y, _: np.unique(y), [0, 1], [0.1, 0.2], [[0, 0]], [[0.1, 0.2]])


@pytest.mark.parametrize("risk", [np.arange(1, 10) / 10, np.repeat([0.2, 0.5, 0.7], [2, 16, 2])])
def test_a_curve_without_ends_is_refused(risk: np.ndarray) -> None:
    outcome = np.arange(len(risk)) % 2
    message = "risk: a curve needs at least 10 patients and a 5th smallest risk below"
    with pytest.raises(MetricError, match=message):
        optimism_corrected_curve(outcome, risk, [np.arange(len(risk))], [risk])


def test_risks_of_a_curve_are_checked() -> None:
    outcome, risk = np.arange(20) % 2, np.arange(20) / 10
    with pytest.raises(MetricError, match=r"risk: 1\.9 lies outside 0 to 1"):
        optimism_corrected_curve(outcome, risk, [np.arange(20)], [risk])


def drawn_resamples() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Patients, risks, resamples and their models' risks; one model is constant, one is missing."""
    rng = np.random.default_rng(7)
    predictor = rng.normal(size=120)
    outcome = (rng.random(120) < expit(predictor)).astype(int)
    rows = rng.integers(0, 120, (40, 120))
    slopes, levels = rng.normal(1, 0.3, (2, 40, 1)) - [[[0.0]], [[1.0]]]
    risks = expit(slopes * predictor + levels)
    risks[3], risks[5] = 0.4, np.nan
    return outcome, expit(1.2 * predictor), rows, risks


@pytest.mark.parametrize("metric", [auc, brier_score, calibration_slope, calibration_intercept])
def test_all_resamples_at_once_are_corrected_as_one_by_one(metric: Any) -> None:
    """Copies as weights; both are sums of the same terms in another order."""
    given = drawn_resamples()
    slow, fast = optimism(metric, *given), weighted_optimism(metric, *given)
    assert fast.resamples_used == slow.resamples_used
    np.testing.assert_allclose(fast.values, slow.values, atol=1e-12)
    np.testing.assert_allclose(fast.corrected, slow.corrected, atol=1e-12)


def test_no_resample_with_both_outcomes_is_refused() -> None:
    outcome, risk, rows, risks = drawn_resamples()
    patient = np.full_like(rows, int(np.flatnonzero(outcome)[0]))
    with pytest.raises(MetricError, match="none of the 40 resamples has a model and both outcomes"):
        weighted_optimism(auc, outcome, risk, patient, risks)
