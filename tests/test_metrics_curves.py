"""Calibration curves and their errors: R's loess and lowess, skmisc, scikit-learn, definitions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from skmisc.loess import loess

from bayes_cmvt.errors import MetricError
from bayes_cmvt.metrics.curves import (
    SMOOTHERS,
    CalibrationErrors,
    calibration_curve,
    calibration_errors,
    e50,
    e90,
    emax,
    integrated_calibration_index,
)
from bayes_cmvt.metrics.local_regression import loess_rows, merged_rows, quantile_rows, spread_rows
from tests.references import (
    glm_log_odds,
    log_odds_of,
    reference_design,
    reference_section,
    resampled_rows,
)

PRINTED = 1e-9  # the references carry 15 significant digits
ROUNDING = 1e-12
REPEATED = 1e-10
FIELDS = ("ici", "e50", "e90", "emax")

type Case = tuple[np.ndarray, np.ndarray, np.ndarray]  # outcome, risk, weights

in_every_dataset = pytest.mark.parametrize("name", ["synth26", "indo_rct", "birthwt", "asah"])
any_smoother = pytest.mark.parametrize("smoother", SMOOTHERS)


def cohort(n: int, seed: int, digits: int = 16) -> Case:
    """Risks too extreme and too low, with shares as weights."""
    draws = np.random.default_rng(seed)
    predictor = draws.normal(-1, 1.2, n)
    outcome = (draws.random(n) < expit(0.7 * predictor + 0.3)).astype(int)
    return outcome, np.round(expit(predictor), digits), draws.exponential(size=n)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """From 4 different risks on, heavily tied, with whole-number weights."""
    n = draw(st.integers(8, 40))
    risk = np.array(draw(st.lists(st.integers(0, 40), min_size=n, max_size=n))) / 40
    outcome = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    weights = np.array(draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    risk[:5], outcome[:2] = [0.1, 0.3, 0.4, 0.7, 0.9], [0, 1]
    weights[:5] = np.maximum(weights[:5], 1)
    return outcome, risk, weights


def values(errors: CalibrationErrors) -> np.ndarray:
    return np.array(astuple(errors))


# --- definitions, slowly ------------------------------------------------------------------------


def loess_by_lstsq(
    risk: np.ndarray, outcome: np.ndarray, at: np.ndarray, weights: np.ndarray
) -> Iterator[tuple[float, float]]:
    """Local quadratic and the condition of its columns, at each point."""
    needed = np.floor(0.75 * weights.sum() + 1e-5)
    for point in at:
        distance = abs(risk - point)
        nearest = np.argsort(distance, kind="stable")
        reach = np.searchsorted(np.cumsum(weights[nearest]), needed * (1 - 1e-9))
        bandwidth = distance[nearest][reach]
        if bandwidth == 0:
            yield np.average(outcome[distance == 0], weights=weights[distance == 0]), 1.0
            continue
        kernel = np.sqrt(weights * np.clip(1 - (distance / bandwidth) ** 3, 0, None) ** 3)
        u = (risk - point) / bandwidth
        columns = np.stack([np.ones(len(u)), u, u**2], axis=1) * kernel[:, None]
        solution, _, _, singular = np.linalg.lstsq(columns, outcome * kernel, rcond=None)
        yield solution[0], singular[0] / singular[-1] if singular[-1] else np.inf


def lowess_by_definition(risk: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """Cleveland's local lines at the points that the step leaves, patient by patient, sorted."""
    n, span = len(risk), risk[-1] - risk[0]
    count = max(2, min(n, int(2 / 3 * n + 1e-7)))
    fitted: dict[float, float] = {}
    point = risk[0]
    while True:
        distance = abs(risk - point)
        bandwidth = np.sort(distance)[count - 1]
        kernel = np.where(distance <= 0.999 * bandwidth, 1.0, 0.0)
        far = (distance > 0.001 * bandwidth) & (kernel > 0)
        kernel[far] = (1 - (distance[far] / bandwidth) ** 3) ** 3
        kernel /= kernel.sum()
        centre = kernel @ risk
        spread = kernel @ (risk - centre) ** 2
        fitted[point] = kernel @ outcome
        if np.sqrt(spread) > 0.001 * span:
            slope = kernel @ ((risk - centre) * outcome) / spread
            fitted[point] += slope * (point - centre)
        later = risk[risk > point]
        if not len(later):
            return np.interp(risk, list(fitted), list(fitted.values()))
        close = later[later <= point + 0.01 * span]
        point = close[-1] if len(close) else later[0]


def spline_by_optimiser(risk: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """Logistic regression on Harrell's restricted cubic spline with 5 knots, at the risks."""
    x = logit(risk)
    *inner, before, last = np.quantile(x, [0.05, 0.275, 0.5, 0.725, 0.95])
    terms = [
        np.maximum(x - knot, 0) ** 3
        - np.maximum(x - before, 0) ** 3 * (last - knot) / (last - before)
        + np.maximum(x - last, 0) ** 3 * (before - knot) / (last - before)
        for knot in inner
    ]
    columns = np.linalg.qr(np.column_stack([np.ones(len(x)), x, *terms]))[0]

    def loss(coefficients: np.ndarray) -> tuple[float, np.ndarray]:
        predictor = columns @ coefficients
        gradient = columns.T @ (expit(predictor) - outcome)
        return np.logaddexp(0, (1 - 2 * outcome) * predictor).sum(), gradient

    found = minimize(loss, np.zeros(5), jac=True, method="BFGS", options={"gtol": 1e-9})
    return np.asarray(expit(columns @ found.x))


# --- R ------------------------------------------------------------------------------------------


@in_every_dataset
def test_errors_of_loess_equal_r(name: str) -> None:
    expected = reference_section(name, "calibration")["loess"]["direct"]
    outcome, log_odds = glm_log_odds(name)
    risk = expit(log_odds)
    found = calibration_errors(outcome, risk)
    for field in FIELDS:
        assert getattr(found, field) == pytest.approx(expected[field], abs=PRINTED)


@in_every_dataset
def test_errors_of_lowess_equal_val_prob(name: str) -> None:
    expected = reference_section(name, "calibration")["val_prob"]["val_prob"]
    outcome, log_odds = glm_log_odds(name)
    risk = expit(log_odds)
    found = calibration_errors(outcome, risk, "lowess")
    for field, key in (("ici", "Eavg"), ("e90", "E90"), ("emax", "Emax")):
        assert getattr(found, field) == pytest.approx(expected[key], abs=PRINTED)


@in_every_dataset
def test_lowess_curve_equals_r(name: str) -> None:
    boot = reference_section(name, "calibration")["bootstrap"]
    expected = np.reshape(boot["exact"]["calibrate"]["values"], (50, -1))
    outcome, log_odds = log_odds_of(name, boot["glm_coef"])
    risk = expit(log_odds)
    found = calibration_curve(outcome, risk, "lowess", at=expected[:, 0])
    assert found.observed == pytest.approx(expected[:, 1], abs=PRINTED)


@in_every_dataset
def test_lowess_of_200_resamples_equals_r_with_counts_as_weights(name: str) -> None:
    """`training` of `rms::calibrate`: each model on its own resample, where patients repeat."""
    boot = reference_section(name, "calibration")["bootstrap"]
    rows = resampled_rows(name)
    expected = np.reshape(boot["exact"]["calibrate"]["values"], (50, -1))
    points, training, test, used = expected[:, [0, 3, 4, 6]].T
    design = reference_design(name)
    columns, outcome = design[boot["columns"]].to_numpy(dtype=float), design["y"].to_numpy()
    risk = np.array([fitted_risk(columns, outcome, chosen) for chosen in rows])
    counts = np.array([np.bincount(chosen, minlength=len(outcome)) for chosen in rows])
    own = calibration_curve(outcome, risk, "lowess", at=points, weights=counts).observed - points
    original = calibration_curve(outcome, risk, "lowess", at=points).observed - points
    reached = np.isfinite(own + original)
    assert reached.sum(axis=0).tolist() == used.tolist()
    for found, theirs in ((own, training), (original, test)):
        mean = np.mean(found, axis=0, where=reached)
        assert mean == pytest.approx(theirs, abs=PRINTED)


def fitted_risk(columns: np.ndarray, outcome: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Risks of all patients by the logistic model of the chosen ones."""
    matrix = np.column_stack([np.ones(len(outcome)), columns / abs(columns).max(axis=0)])
    coefficients = np.zeros(matrix.shape[1])
    for _ in range(60):
        risk = expit(matrix[chosen] @ coefficients)
        information = matrix[chosen].T @ (matrix[chosen] * (risk * (1 - risk))[:, None])
        step = np.linalg.solve(information, matrix[chosen].T @ (outcome[chosen] - risk))
        coefficients += step
        if abs(step).max() < 1e-14:
            break
    return np.asarray(expit(matrix @ coefficients))


# --- second algorithms --------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "digits"), [(40, 16), (300, 16), (300, 2), (2000, 16)])
def test_loess_equals_skmisc(n: int, digits: int) -> None:
    """Cleveland's own code, ``surface="direct"``; ties at two digits."""
    outcome, risk, _ = cohort(n, seed=n, digits=digits)
    other = loess(risk, outcome, span=0.75, degree=2, surface="direct")
    other.fit()
    found = calibration_curve(outcome, risk, at=risk).observed
    assert found == pytest.approx(other.outputs.fitted_values, abs=REPEATED)


def test_loess_kernel_extrapolates_as_skmisc() -> None:
    outcome, risk, _ = cohort(80, seed=2)
    other = loess(risk, outcome, span=0.5, degree=2, surface="direct")
    other.fit()
    points = np.linspace(risk.min() - 0.05, risk.max() + 0.05, 30)
    order = np.argsort(risk)[None]
    merged = merged_rows(outcome.astype(float), risk[None], np.ones((1, 80)), order, 0)
    found = loess_rows(*merged, points[None], 0.5)[0]
    assert found == pytest.approx(other.predict(points).values, abs=REPEATED)


@given(cases(), st.booleans())
@settings(deadline=None)
def test_loess_equals_least_squares_with_and_without_weights(case: Case, weighted: bool) -> None:
    """Where at least three different risks determine the quadratic."""
    outcome, risk, weights = case
    if not weighted:
        weights = np.ones(len(risk), dtype=int)
    found = calibration_curve(outcome, risk, weights=weights)
    inside = np.isfinite(found.observed)
    kept = weights > 0
    slow = loess_by_lstsq(risk[kept], outcome[kept], found.risk[inside], weights[kept])
    for value, (expected, condition) in zip(found.observed[inside], slow, strict=True):
        if condition < 1e4:
            assert value == pytest.approx(expected, abs=REPEATED)


def test_loess_with_shares_as_weights_equals_least_squares() -> None:
    outcome, risk, weights = cohort(150, seed=3)
    weights *= 150 / weights.sum()
    found = calibration_curve(outcome, risk, weights=weights)
    expected = [value for value, _ in loess_by_lstsq(risk, outcome, found.risk, weights)]
    assert found.observed == pytest.approx(expected, abs=REPEATED)


@given(cases())
@settings(deadline=None)
def test_lowess_equals_its_definition(case: Case) -> None:
    outcome, risk, weights = case
    repeated = np.sort(np.repeat(risk, weights))
    events = np.repeat(outcome, weights)[np.argsort(np.repeat(risk, weights), kind="stable")]
    assume(len(np.unique(repeated)) >= 4)
    found = calibration_curve(outcome, risk, "lowess", at=repeated, weights=weights)
    assert found.observed == pytest.approx(lowess_by_definition(repeated, events), abs=REPEATED)


def test_lowess_of_many_risks_equals_its_definition() -> None:
    outcome, risk, _ = cohort(1500, seed=4)
    order = np.argsort(risk)
    found = calibration_curve(outcome, risk, "lowess")
    expected = lowess_by_definition(risk[order], outcome[order])
    assert found.observed == pytest.approx(expected, abs=REPEATED)


@pytest.mark.parametrize("seed", range(3))
def test_spline_equals_an_optimiser(seed: int) -> None:
    outcome, risk, _ = cohort(250, seed=seed)
    found = calibration_curve(outcome, risk, "spline", at=risk).observed
    assert found == pytest.approx(spline_by_optimiser(risk, outcome), abs=1e-7)


@given(cases(), st.booleans())
@settings(deadline=None)
def test_isotonic_equals_scikit_learn(case: Case, shares: bool) -> None:
    outcome, risk, weights = case
    weights = weights * 0.37 if shares else weights
    model = IsotonicRegression().fit(risk, outcome, sample_weight=weights)
    kept = risk[weights > 0]
    points = np.linspace(kept.min(), kept.max(), 17)
    found = calibration_curve(outcome, risk, "isotonic", at=points, weights=weights)
    assert found.observed == pytest.approx(model.predict(points), abs=REPEATED)


def test_isotonic_equals_scipy() -> None:
    outcome, risk, weights = cohort(400, seed=6)
    order = np.argsort(risk)
    found = calibration_curve(outcome, risk, "isotonic", weights=weights)
    expected = isotonic_regression(outcome[order], weights=weights[order]).x
    assert found.observed == pytest.approx(expected, abs=REPEATED)


def test_corp_curve_is_calibrated_in_each_of_its_pools() -> None:
    outcome, risk, _ = cohort(400, seed=7)
    found = calibration_curve(outcome, risk, "isotonic", at=risk).observed
    for level in np.unique(found):
        assert outcome[found == level].mean() == pytest.approx(level, abs=ROUNDING)


@any_smoother
def test_errors_are_quantiles_of_the_distances_to_the_curve(smoother: str) -> None:
    outcome, risk, _ = cohort(83, seed=8)
    distance = abs(risk - calibration_curve(outcome, risk, smoother, at=risk).observed)
    found = calibration_errors(outcome, risk, smoother)
    expected = [distance.mean(), *np.quantile(distance, [0.5, 0.9]), distance.max()]
    assert values(found) == pytest.approx(expected, abs=ROUNDING)
    for field, function in zip(FIELDS, (integrated_calibration_index, e50, e90, emax), strict=True):
        assert function(outcome, risk, smoother) == getattr(found, field)
        assert isinstance(getattr(found, field), float)


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(1, 4)), min_size=1, max_size=30))
@settings(deadline=None)
def test_weighted_quantiles_are_those_of_repeated_values(pairs: list[tuple[int, int]]) -> None:
    items, weights = np.array(sorted(pairs), dtype=float).T
    shares = np.array([0, 0.05, 0.275, 0.5, 0.9, 1])
    found = quantile_rows(np.array([len(items)]), items[None], weights[None], shares)[0]
    expected = np.quantile(np.repeat(items, weights.astype(int)), shares)
    assert found == pytest.approx(expected, abs=ROUNDING)


# --- truth, identities --------------------------------------------------------------------------


@any_smoother
def test_curve_finds_the_truth_in_many_patients(smoother: str) -> None:
    """True risk = risk^2: with 40,000 patients within 4 standard errors of a share of 2,000."""
    draws = np.random.default_rng(9)
    risk = draws.uniform(0.05, 0.95, 40_000)
    outcome = (draws.random(40_000) < risk**2).astype(int)
    points = np.linspace(0.15, 0.85, 8)
    found = calibration_curve(outcome, risk, smoother, at=points, grid=200).observed
    assert abs(found - points**2).max() < 4 * np.sqrt(0.25 / 2000)
    errors = calibration_errors(outcome, risk, smoother, grid=200)
    truth = abs(risk - risk**2)
    assert errors.ici == pytest.approx(truth.mean(), abs=0.02)
    assert errors.e50 == pytest.approx(np.median(truth), abs=0.02)


def test_loess_returns_a_quadratic_as_it_is() -> None:
    """Shares that lie on a parabola: 100 patients at each of nine risks."""
    levels = np.arange(1, 10) / 10
    events = np.rint(100 * (0.1 + 0.8 * levels**2)).astype(int)
    curve = 0.1 + 0.8 * levels**2
    outcome = np.concatenate([[1] * k + [0] * (1000 - k) for k in 10 * events])
    assert 10 * events == pytest.approx(1000 * curve, abs=5)
    exact = np.array([k / 100 for k in events])
    parabola = np.polynomial.Polynomial.fit(levels, exact, 2)
    found = calibration_curve(outcome, np.repeat(levels, 1000))
    assert abs(found.observed - exact).max() <= 2 * abs(parabola(levels) - exact).max() + ROUNDING


@any_smoother
@given(case=cases())
@settings(deadline=None)
def test_whole_number_weights_are_repeated_patients(smoother: str, case: Case) -> None:
    outcome, risk, weights = case
    repeated = np.repeat(outcome, weights), np.repeat(risk, weights)
    found = calibration_curve(outcome, risk, smoother, at=repeated[1], weights=weights)
    expected = calibration_curve(*repeated, smoother, at=repeated[1])
    assert found.observed == pytest.approx(expected.observed, abs=REPEATED)
    mine = calibration_errors(outcome, risk, smoother, weights=weights)
    assert values(mine) == pytest.approx(values(calibration_errors(*repeated, smoother)), abs=1e-10)


@any_smoother
def test_whole_number_weights_are_repeated_patients_on_a_grid(smoother: str) -> None:
    outcome, risk, _ = cohort(900, seed=10)
    weights = np.random.default_rng(10).integers(0, 4, 900)
    repeated = np.repeat(outcome, weights), np.repeat(risk, weights)
    mine = calibration_errors(outcome, risk, smoother, grid=20, weights=weights)
    expected = values(calibration_errors(*repeated, smoother, grid=20))
    assert values(mine) == pytest.approx(expected, abs=REPEATED)


@any_smoother
@given(case=cases())
@settings(deadline=None)
def test_permuting_patients_changes_nothing(smoother: str, case: Case) -> None:
    outcome, risk, weights = case
    found = calibration_errors(outcome[::-1], risk[::-1], smoother, weights=weights[::-1])
    expected = values(calibration_errors(outcome, risk, smoother, weights=weights))
    assert values(found) == pytest.approx(expected, abs=REPEATED)


@any_smoother
@pytest.mark.parametrize("weight", [1, 0.1, 7.3])
def test_equal_weights_change_nothing(smoother: str, weight: float) -> None:
    """7.3 and 0.1 are rescaled to ones that rounding leaves a little short."""
    outcome, risk, _ = cohort(224, seed=11, digits=2)
    equal = np.full(224, weight)
    found = values(calibration_errors(outcome, risk, smoother, weights=equal))
    assert found == pytest.approx(values(calibration_errors(outcome, risk, smoother)), abs=1e-11)
    curve = calibration_curve(outcome, risk, smoother, weights=equal).observed
    assert curve == pytest.approx(calibration_curve(outcome, risk, smoother).observed, abs=1e-11)


@pytest.mark.parametrize("smoother", ["loess", "lowess"])
def test_local_curves_move_with_the_risk_axis(smoother: str) -> None:
    outcome, risk, _ = cohort(120, seed=12)
    found = calibration_curve(outcome, 0.2 + 0.5 * risk, smoother)
    expected = calibration_curve(outcome, risk, smoother)
    assert found.observed == pytest.approx(expected.observed, abs=1e-9)


def test_isotonic_curve_depends_on_ranks_alone() -> None:
    outcome, risk, _ = cohort(120, seed=13)
    found = calibration_curve(outcome, risk**3, "isotonic").observed
    assert found == pytest.approx(calibration_curve(outcome, risk, "isotonic").observed)


@pytest.mark.parametrize("smoother", ["loess", "spline", "isotonic"])
def test_curves_of_the_other_outcome_are_mirrored(smoother: str) -> None:
    outcome, risk, weights = cohort(120, seed=14)
    found = values(calibration_errors(1 - outcome, 1 - risk, smoother, weights=weights))
    expected = values(calibration_errors(outcome, risk, smoother, weights=weights))
    assert found == pytest.approx(expected, abs=1e-8)


@any_smoother
@pytest.mark.parametrize("grid", [None, 10])
def test_rows_of_risks_and_of_weights_are_broadcast(smoother: str, grid: int | None) -> None:
    outcome, risk, weights = cohort(150, seed=15)
    risks = np.stack([risk, np.round(risk, 2), risk**2])[:, None]
    rows = np.stack([weights, weights[::-1]])
    points = np.linspace(0.1, 0.9, 25)
    curves = calibration_curve(outcome, risks, smoother, at=points, grid=grid, weights=rows)
    errors = calibration_errors(outcome, risks, smoother, grid=grid, weights=rows)
    assert curves.observed.shape == (3, 2, 25)
    for i in range(3):
        for j in range(2):
            row = (outcome, risks[i, 0], smoother)
            one = calibration_curve(*row, at=points, grid=grid, weights=rows[j])
            assert curves.observed[i, j] == pytest.approx(one.observed, abs=1e-11, nan_ok=True)
            single = values(calibration_errors(*row, grid=grid, weights=rows[j]))
            assert values(errors)[:, i, j] == pytest.approx(single, abs=1e-11)


# --- grid ---------------------------------------------------------------------------------------


@any_smoother
def test_grid_of_few_risks_is_exact(smoother: str) -> None:
    outcome, risk, weights = cohort(200, seed=16, digits=2)
    exact = values(calibration_errors(outcome, risk, smoother, weights=weights))
    found = values(calibration_errors(outcome, risk, smoother, grid=100, weights=weights))
    assert found == pytest.approx(exact, abs=ROUNDING)


@any_smoother
def test_grid_of_many_risks_is_close(smoother: str) -> None:
    """Docstring of `calibration_errors`: measured at most 4e-4; isotonic steps move more."""
    outcome, risk, _ = cohort(2000, seed=17)
    exact = values(calibration_errors(outcome, risk, smoother))
    found = values(calibration_errors(outcome, risk, smoother, grid=100))
    assert found == pytest.approx(exact, abs=5e-3 if smoother == "isotonic" else 6e-4)


@given(st.integers(30, 300), st.integers(10, 25), st.integers(0, 1000))
@settings(deadline=None)
def test_grid_points_are_risks_with_both_ends_and_what_borders_on_gaps(
    n: int, points: int, seed: int
) -> None:
    draws = np.random.default_rng(seed)
    risk = np.sort(np.where(draws.random(n) < 0.5, draws.beta(2, 40, n), draws.beta(30, 2, n)))
    weights = draws.exponential(size=(1, n))
    spread = spread_rows(np.array([n]), risk[None], weights, points)[0]
    assert spread.shape == (points,)
    assert set(spread) <= set(risk)
    assert (spread[0], spread[-1]) == (risk[0], risk[-1])
    assert (np.diff(spread) >= 0).all()
    wide = np.flatnonzero(np.diff(risk) > 4 / (points - 1) * np.ptp(risk))
    assert set(risk[wide]) | set(risk[wide + 1]) <= set(spread)


@given(st.integers(30, 300), st.integers(12, 25), st.integers(0, 1000))
@settings(deadline=None)
def test_merging_keeps_weight_events_and_mean_risk(n: int, most: int, seed: int) -> None:
    draws = np.random.default_rng(seed)
    outcome, risk = draws.integers(0, 2, n).astype(float), draws.beta(1, 3, (1, n))
    weights = draws.exponential(size=(2, n))
    used, x, w, t = merged_rows(outcome, risk, weights, np.argsort(risk), most)
    for row in range(2):
        assert used[row] <= most
        assert (np.diff(x[row, : used[row]]) > 0).all()
        assert w[row].sum() == pytest.approx(weights[row].sum())
        assert t[row].sum() == pytest.approx(weights[row] @ outcome)
        assert x[row] @ w[row] == pytest.approx(weights[row] @ risk[0])
        assert (x[row, 0], x[row, -1]) == (risk.min(), risk.max())


# --- few risks, ties, ends ----------------------------------------------------------------------


@any_smoother
def test_three_risks_have_their_shares_joined_by_lines(smoother: str) -> None:
    outcome, risk = [0, 1, 0, 1, 1, 1], [0.2, 0.2, 0.4, 0.4, 0.8, 0.8]
    found = calibration_curve(outcome, risk, smoother, at=[0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 0.9])
    expected = [np.nan, 0.5, 0.5, 0.5, 0.75, 1, np.nan]
    assert found.observed == pytest.approx(expected, nan_ok=True)


def test_falling_shares_are_kept_except_by_isotonic() -> None:
    outcome, risk = [1, 1, 0, 1, 0, 0], [0.2, 0.2, 0.4, 0.4, 0.8, 0.8]
    assert calibration_curve(outcome, risk).observed == pytest.approx([1, 0.5, 0])
    assert calibration_curve(outcome, risk, "isotonic").observed == pytest.approx([0.5] * 3)


@any_smoother
def test_one_risk_for_all_has_one_share(smoother: str) -> None:
    found = calibration_errors([0, 0, 0, 1], [0.5] * 4, smoother)
    assert values(found) == pytest.approx([0.25] * 4)
    curve = calibration_curve([0, 0, 0, 1], [0.5] * 4, smoother, at=[0.4, 0.5])
    assert curve.observed == pytest.approx([np.nan, 0.25], nan_ok=True)


@any_smoother
def test_risks_of_0_and_1_and_a_single_outcome_have_a_curve(smoother: str) -> None:
    outcome, risk = [0, 0, 1, 0, 1, 1, 0, 1], [0, 0, 0.1, 0.3, 0.5, 0.8, 1, 1]
    assert np.isfinite(values(calibration_errors(outcome, risk, smoother))).all()
    none = calibration_curve(np.zeros(8), np.arange(8) / 8, smoother).observed
    assert none == pytest.approx(np.zeros(8), abs=1e-8)
    everyone = calibration_curve(np.ones(8), np.arange(8) / 8, smoother).observed
    assert everyone == pytest.approx(np.ones(8), abs=1e-8)


def test_spline_of_separated_outcomes_is_near_its_limit() -> None:
    risk = np.arange(1, 41) / 41
    found = calibration_curve((risk > 0.5).astype(int), risk, "spline").observed
    assert found == pytest.approx((risk > 0.5).astype(float), abs=1e-5)


def test_local_fit_falls_back_where_most_patients_share_one_risk() -> None:
    """Nine of ten at one risk: the bandwidth there is 0 and the curve their share of events."""
    risk = np.array([0.1, 0.2, 0.7, 0.9] + [0.4] * 36)
    outcome = np.array([0, 1, 0, 1] + [1] * 9 + [0] * 27)
    for smoother in ("loess", "lowess"):
        curve = calibration_curve(outcome, risk, smoother)
        assert curve.observed[2] == pytest.approx(0.25)
        assert np.isfinite(curve.observed).all()
    # the bandwidth is the distance to 0.4, where 0.2 is from 0.3 too
    between = calibration_curve(outcome, risk, at=[0.3, 0.5]).observed
    assert between == pytest.approx([(0.25 * 36 + 1) / 37, 0.25])


def test_risks_that_differ_by_rounding_alone_do_not_bend_the_curve() -> None:
    draws = np.random.default_rng(20)
    levels = np.repeat([0.1, 0.2, 0.4, 0.6], 25)
    outcome = (draws.random(100) < levels).astype(int)
    noisy = levels * (1 + 1e-15 * draws.integers(-3, 4, 100))
    assert len(np.unique(noisy)) > 4
    for smoother in ("loess", "lowess", "spline"):
        found = calibration_errors(outcome, noisy, smoother)
        expected = values(calibration_errors(outcome, levels, smoother))
        assert values(found) == pytest.approx(expected, abs=1e-6), smoother


def test_curve_is_nan_outside_the_risks_of_patients_with_weight() -> None:
    outcome, risk, _ = cohort(60, seed=21)
    weights = (risk > np.median(risk)).astype(int)
    for smoother in SMOOTHERS:
        found = calibration_curve(outcome, risk, smoother, weights=weights)
        assert (np.isnan(found.observed) == (found.risk <= np.median(risk))).all()


def test_points_come_back_in_the_order_given() -> None:
    outcome, risk, _ = cohort(60, seed=22)
    found = calibration_curve(outcome, risk, at=[0.5, 0.2, 0.5])
    assert found.risk.tolist() == [0.5, 0.2, 0.5]
    assert found.observed[0] == found.observed[2]
    assert found.observed[1] == calibration_curve(outcome, risk, at=[0.2]).observed[0]


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"smoother": "loes"}, r'smoother: found "loes"; allowed: .*; did you mean "loess"\?'),
        ({"smoother": None}, "smoother: found None; allowed"),
        ({"grid": 5}, "grid: found 5; allowed: None .* or a whole number from 10"),
        ({"grid": 20.5}, "grid: found 20.5; allowed"),
        ({"weights": [1, -1, 1, 1]}, "negative"),
        ({"risk": [0.1, 0.2, 0.3, 1.2]}, "1.2 lies outside 0 to 1"),
    ],
)
def test_input_that_no_curve_takes_is_refused(wrong: dict[str, Any], message: str) -> None:
    arguments = {"outcome": [0, 1, 0, 1], "risk": [0.1, 0.2, 0.3, 0.4]} | wrong
    for function in (calibration_curve, calibration_errors, emax):
        with pytest.raises(MetricError, match=message):
            function(**arguments)


@pytest.mark.parametrize("at", [[0.1, 1.2], [[0.1]], 0.3, ["a"], [np.nan], [[0.1], [0.1, 0.2]]])
def test_points_are_refused_unless_risks_in_a_row(at: Any) -> None:
    with pytest.raises(MetricError, match=r"at: expected risks from 0 to 1, shape \(point,\)"):
        calibration_curve([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], at=at)


def test_curves_of_many_risk_rows_need_points() -> None:
    with pytest.raises(MetricError, match="leading axes need the points at which to evaluate"):
        calibration_curve([0, 1, 0, 1], [[0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.4, 0.4]])
