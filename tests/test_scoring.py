"""One rule on one set: what is pooled, what is kept within folds, what is resampled."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from bayes_cmvt import metrics
from bayes_cmvt.performance import performance_table
from bayes_cmvt.scoring import (
    ROC_GRID,
    Risks,
    ScoringSettings,
    curve_grid,
    draw_scores,
    errors_if_calibrated,
    log_odds_draws,
    score_risks,
)

SETTINGS = ScoringSettings(thresholds=np.array([0.1, 0.2, 0.3]), use=0.2, replicates=300, seed=4)


def rule(patients=150, repeats=1, seed=1):
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(-1, 1, patients)
    outcome = (rng.random(patients) < 1 / (1 + np.exp(-log_odds))).astype(np.int8)
    noisy = log_odds + rng.normal(0, 0.3, (repeats, patients))
    return outcome, 1 / (1 + np.exp(-noisy))


def test_estimates_are_the_metrics_of_the_deployed_rule():
    outcome, risk = rule()
    found = score_risks(Risks("m", "validation", "holdout", outcome, risk), SETTINGS).estimate
    assert found["auc"] == pytest.approx(roc_auc_score(outcome, risk[0]), abs=1e-12)
    for name in ("brier_score", "log_score", "calibration_slope", "calibration_in_the_large"):
        assert found[name] == pytest.approx(getattr(metrics, name)(outcome, risk[0]), abs=1e-12)
    assert found["sensitivity"] == metrics.sensitivity(outcome, risk[0], 0.2)
    assert found["net_benefit"] == found["decision"][1]
    assert found["youden"] == metrics.youden(outcome, risk[0]).threshold
    exact = metrics.calibration_errors(outcome, risk[0])
    assert found["integrated_calibration_index"] == pytest.approx(exact.ici, abs=2e-3)


def test_without_a_declared_threshold_youdens_point_is_chosen_anew_in_every_replicate():
    outcome, risk = rule()
    risks = Risks("m", "validation", "holdout", outcome, risk)
    found = score_risks(risks, dataclasses.replace(SETTINGS, use=None))
    point = metrics.youden(outcome, risk[0])
    assert (found.estimate["sensitivity"], found.estimate["specificity"]) == (
        point.sensitivity,
        point.specificity,
    )
    assert np.ptp(found.replicates["youden"]) > 0.2  # hardly determined by 150 patients
    # the best point of each replicate is better than the same point in all of them
    fixed = score_risks(risks, dataclasses.replace(SETTINGS, use=float(point.threshold))).replicates
    best = found.replicates["sensitivity"] + found.replicates["specificity"]
    assert (best >= fixed["sensitivity"] + fixed["specificity"] - 1e-12).all()


def test_roc_curve_on_the_grid_is_that_of_scikit_learn():
    outcome, risk = rule()
    risk = risk.round(2)  # ties
    found = score_risks(Risks("m", "validation", "holdout", outcome, risk), SETTINGS)
    false, true, _ = roc_curve(outcome, risk[0], drop_intermediate=False)
    np.testing.assert_allclose(found.estimate["roc"], np.interp(ROC_GRID, false, true), atol=1e-12)
    area = np.trapezoid(found.estimate["roc"], ROC_GRID)
    assert area == pytest.approx(float(found.estimate["auc"]), abs=0.01)


def test_pooled_repeats_count_every_patient_once():
    outcome, risk = rule(repeats=3)
    fold = np.tile(np.arange(150) % 5, (3, 1))
    found = score_risks(Risks("m", "development", "kfold", outcome, risk, fold), SETTINGS)
    each = [metrics.brier_score(outcome, one) for one in risk]
    assert found.estimate["brier_score"] == pytest.approx(np.mean(each), abs=1e-12)
    curves = [metrics.decision_curve(outcome, one, SETTINGS.thresholds) for one in risk]
    expected = np.mean([curve.net_benefit for curve in curves], axis=0)
    np.testing.assert_allclose(found.estimate["decision"], expected, atol=1e-12)
    # three risks of a patient are no three patients: intervals as wide as those of one repeat
    single = score_risks(Risks("m", "development", "kfold", outcome, risk[:1], fold[:1]), SETTINGS)
    widths = [one.replicates["brier_score"].std() for one in (found, single)]
    assert widths[0] / widths[1] == pytest.approx(1, abs=0.15)


def test_auc_of_folds_compares_patients_of_one_fold_only():
    outcome, risk = rule()
    fold = (np.arange(150) % 5)[np.newaxis]
    # each fold has a model with an intercept of its own: pooled ranks mean nothing
    shifted = 1 / (1 + np.exp(-(np.log(risk / (1 - risk)) + 3 * fold)))
    found = score_risks(Risks("m", "development", "kfold", outcome, shifted, fold), SETTINGS)
    parts = [fold[0] == number for number in range(5)]
    pairs = [outcome[part].sum() * (1 - outcome[part]).sum() for part in parts]
    within = [roc_auc_score(outcome[part], risk[0, part]) for part in parts]
    assert found.estimate["auc"] == pytest.approx(np.average(within, weights=pairs), abs=1e-12)


def test_interval_of_the_auc_of_folds_is_as_wide_as_delongs():
    # normalised fold by fold the weights would tell too little: 8 events in each of 10 folds
    outcome, risk = rule(patients=600, seed=6)
    fold = np.random.default_rng(2).permutation(np.arange(600) % 10)[np.newaxis]
    risks = Risks("m", "development", "kfold", outcome, risk, fold)
    found = score_risks(risks, dataclasses.replace(SETTINGS, replicates=2000))
    error = np.sqrt(metrics.auc_delong(outcome, risk[0]).variance)
    # a bootstrap SD of 2,000 replicates has a standard error of 1.6 %; folds waste few pairs
    assert found.replicates["auc"].std() == pytest.approx(error, rel=0.12)


def test_replicates_do_not_depend_on_cores_and_pair_models_on_the_same_patients():
    outcome, risk = rule(repeats=2)
    a, b = (Risks(name, "validation", "holdout", outcome, risk[[i]]) for i, name in enumerate("ab"))
    first = score_risks(a, SETTINGS)
    alone = score_risks(a, dataclasses.replace(SETTINGS, cores=1))
    for name, values in first.replicates.items():
        np.testing.assert_array_equal(values, alone.replicates[name])
    other = score_risks(b, SETTINGS)
    np.testing.assert_array_equal(first.replicates["treat_all"], other.replicates["treat_all"])
    # the rules are nearly the same: paired, their difference is far less uncertain than either
    difference = first.replicates["auc"] - other.replicates["auc"]
    assert difference.std() < 0.6 * first.replicates["auc"].std()


def test_errors_of_right_risks_are_not_0_and_shrink_with_patients():
    few, many = (
        errors_if_calibrated(Risks("m", "validation", "holdout", *rule(patients)), SETTINGS)[
            "integrated_calibration_index"
        ]
        for patients in (100, 1600)
    )
    assert 0.01 < few < 0.1
    # mean absolute errors go with 1 / sqrt(n): a quarter, simulated to a few per cent
    assert many / few == pytest.approx(0.25, abs=0.06)


def test_curve_points_are_no_patients():
    risk = np.array([[0.1, 0.2, 0.4, 0.8, 0.81]])
    assert not np.isin(risk, curve_grid(risk)).any()


def test_draws_are_scored_one_by_one(pep_fit, pep_cohort):
    from bayes_cmvt.refits import development_rows

    matrix = development_rows(pep_fit, pep_cohort).matrix
    log_odds = log_odds_draws(pep_fit, matrix)
    assert log_odds.shape == (4000, 602)
    risk = 1 / (1 + np.exp(-log_odds[:50]))
    found = draw_scores(pep_cohort.outcome, risk)
    assert found["auc"][7] == pytest.approx(roc_auc_score(pep_cohort.outcome, risk[7]), abs=1e-12)
    deployed = metrics.log_score(pep_cohort.outcome, (1 / (1 + np.exp(-log_odds))).mean(axis=0))
    assert np.mean(found["log_score"] > deployed) > 0.9  # hardly a draw does as well as their mean


def test_folds_that_tell_nobody_apart_are_left_out_of_the_slope():
    """Risks that differ from fold to fold alone would have a slope of folds, not of patients."""
    outcome, risk = rule()
    fold = np.arange(150) % 5
    flat = np.isin(fold, (0, 3))
    mixed = np.where(flat, 0.3 + 0.01 * fold, risk[0])
    risks = Risks("m", "development", "kfold", outcome, mixed[np.newaxis], fold[np.newaxis])
    found = score_risks(risks, SETTINGS)
    assert risks.folds_without_predictor == 2
    expected = metrics.calibration_slope(outcome[~flat], risk[0, ~flat])
    assert found.estimate["calibration_slope"] == pytest.approx(expected, rel=1e-12)
    assert np.isfinite(found.replicates["calibration_slope"]).all()
    row = performance_table([found]).set_index("metric").loc["calibration_slope"]
    assert row["note"] == "2 folds that kept no predictor are left out"


def test_where_no_fold_tells_anybody_apart_there_is_no_slope():
    outcome, _ = rule()
    fold = np.arange(150) % 5
    risk = 0.3 + 0.01 * fold
    risks = Risks("m", "development", "kfold", outcome, risk[np.newaxis], fold[np.newaxis])
    found = score_risks(risks, SETTINGS)
    assert np.isnan(found.estimate["calibration_slope"])
    assert np.isnan(found.replicates["calibration_intercept"]).all()
    assert np.isfinite(found.estimate["calibration_in_the_large"])
