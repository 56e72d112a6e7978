"""Credible beside bootstrap: against the tables each comes from, by hand, and by invariances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayes_cmvt as bc
from bayes_cmvt.baseline_estimates import resampled_log_odds
from bayes_cmvt.compared_intervals import INTERVALS
from bayes_cmvt.comparison import Comparison, class_thresholds, compare
from bayes_cmvt.comparison_agreement import rank_correlation
from bayes_cmvt.comparison_performance import compared_performance
from bayes_cmvt.design import design_matrix
from bayes_cmvt.errors import OptionError
from bayes_cmvt.evaluation import EvaluationSettings, evaluate
from bayes_cmvt.glossary import COLUMNS
from bayes_cmvt.instability import unstable_risks
from bayes_cmvt.posterior import design_of, expit
from bayes_cmvt.scoring import log_odds_draws
from tests.baseline_study import small_baseline, small_cohort

BRIEF = EvaluationSettings(replicates=200, repeats=0, splits=0)


@pytest.fixture(scope="module")
def fits():
    posterior = bc.sample(small_cohort(), chains=2, warmup=300, draws=500, seed=4)
    return {"horseshoe": posterior, "baseline": small_baseline()}


@pytest.fixture(scope="module")
def performance(fits):
    return evaluate(fits, small_cohort(), settings=BRIEF).tables["performance"]


@pytest.fixture(scope="module")
def found(fits, performance) -> Comparison:
    return compare(fits, small_cohort(), performance=performance)


def test_coefficients_are_those_of_the_two_tables(found, fits):
    cohort = small_cohort()
    table = found.coefficients[found.coefficients["scale"] == "log_odds"].set_index("term")
    other = bc.baseline_coefficients(fits["baseline"], cohort).set_index("term")
    own = bc.coefficients(fits["horseshoe"]).set_index("term")
    for mine, theirs in (
        (table["credible_estimate"], own["median"]),
        (table["credible_lower"], own["lower"]),
        (table["bootstrap_estimate"], other["coef"]),
        (table["bootstrap_upper"], other["boot_upper"]),
        (table["wald_lower"], other["wald_lower"]),
        (table["bootstrap_zero"], other["boot_zero"]),
    ):
        pd.testing.assert_series_equal(mine, theirs, check_names=False)


def test_scales_are_one_another_times_the_contrast(found):
    by_scale = {
        scale: part.set_index("term") for scale, part in found.coefficients.groupby("scale")
    }
    plain = by_scale["log_odds"].drop(index="(Intercept)")
    per_sd, ratio = by_scale["std_log_odds"], by_scale["odds_ratio"]
    for name in INTERVALS:
        np.testing.assert_allclose(plain[name] * per_sd["contrast"], per_sd[name], rtol=1e-12)
        np.testing.assert_allclose(np.exp(plain[name] * ratio["contrast"]), ratio[name], rtol=1e-12)
    # widths on two linear scales have the same ratio
    np.testing.assert_allclose(plain["width_ratio"], per_sd["width_ratio"], rtol=1e-9)
    np.testing.assert_allclose(plain["overlap"], per_sd["overlap"], rtol=1e-9)
    assert ratio.loc["age", "contrast"] == 10


def test_what_was_not_selected_is_no_effect_and_has_no_wald_interval(found):
    ratio = found.coefficients[found.coefficients["scale"] == "odds_ratio"]
    left_out = ratio[~ratio["selected"]]
    assert len(left_out)
    assert (left_out["bootstrap_estimate"] == 1).all()
    assert left_out[["wald_lower", "wald_upper"]].isna().all(axis=None)


def test_risks_are_those_of_predict_and_of_the_resamples_by_hand(found, fits):
    cohort = small_cohort()
    own = bc.predict(fits["horseshoe"], cohort)
    np.testing.assert_array_equal(found.risks["credible_lower"], own["lower"])
    matrix = design_matrix(design_of(fits["baseline"]), cohort.predictors)
    resampled = expit(resampled_log_odds(fits["baseline"], matrix))
    kept = resampled[np.isfinite(resampled).all(axis=1)]
    limits = np.quantile(kept, [0.025, 0.975], axis=0)
    np.testing.assert_allclose(found.risks["bootstrap_lower"], limits[0], rtol=1e-12)
    np.testing.assert_allclose(found.risks["bootstrap_upper"], limits[1], rtol=1e-12)


def test_classes_are_cut_at_the_threshold_in_use_and_every_patient_is_counted_once(found):
    assert class_thresholds(small_cohort()) == (0.3,)
    assert set(found.risks["credible_class"]) <= {"below 0.3", "0.3 or above", "uncertain"}
    sizes = found.classes.groupby("set")["patients"].sum()
    assert sizes.to_dict() == pd.Series(small_cohort().sets).value_counts().to_dict()
    agreement = found.agreement.set_index(["quantity", "set"])["value"]
    parts = ["certain_alike", "certain_otherwise", "certain_credible", "certain_bootstrap"]
    for called, size in sizes.items():
        counted = sum(agreement[part, called] for part in [*parts, "uncertain_both"])
        assert counted == size == agreement["patients", called]


def test_without_a_threshold_in_use_the_range_cuts_three_classes():
    cohort = small_cohort()
    decision = cohort.study.decision.model_copy(update={"use": None})
    without = replace(cohort, study=replace(cohort.study, decision=decision))
    assert class_thresholds(without) == (0.1, 0.6)


def test_performance_pairs_what_has_not_seen_the_patients(found, performance):
    table = found.performance.set_index(["set", "metric"])
    auc = table.loc[("validation", "auc")]
    assert (auc["credible_method"], auc["bootstrap_method"]) == ("holdout", "holdout")
    rows = performance.set_index(["model", "set", "metric", "method", "interval_of"])["lower"]
    assert auc["credible_lower"] == rows["horseshoe", "validation", "auc", "holdout", "patients"]
    delong = rows["baseline", "validation", "auc_delong", "holdout", "patients"]
    assert auc["wald_lower"] == delong


def test_only_what_is_judged_in_the_same_way_has_a_ratio_of_widths():
    row = {"set": "development", "metric": "auc", "lower": 0.5, "upper": 0.9}
    row |= {"interval_of": "patients"}
    rows = [
        row | {"model": "baseline", "method": "apparent", "estimate": 0.9},
        row | {"model": "baseline", "method": "kfold", "estimate": 0.8},
        row | {"model": "baseline", "method": "optimism_corrected", "estimate": 0.7},
        row | {"model": "horseshoe", "method": "apparent", "estimate": 0.95},
        row | {"model": "horseshoe", "method": "kfold", "estimate": 0.85},
        row
        | {"model": "horseshoe", "method": "loo", "metric": "leave_pair_out_auc", "estimate": 0.84},
        row | {"model": "horseshoe", "method": "apparent", "interval_of": "draws", "estimate": 0.1},
        row | {"model": "baseline", "metric": "auc_delong", "method": "apparent", "estimate": 0.9},
    ]
    fair, corrected = compared_performance(pd.DataFrame(rows), "horseshoe", "baseline").to_dict(
        "records"
    )
    assert (fair["credible_estimate"], fair["bootstrap_estimate"]) == (0.85, 0.8)
    assert fair["credible_method"] == fair["bootstrap_method"] == "kfold"
    assert fair["width_ratio"] == 1.0
    assert (corrected["credible_estimate"], corrected["credible_method"]) == (0.84, "loo")
    assert (corrected["bootstrap_estimate"], corrected["bootstrap_method"]) == (
        0.7,
        "optimism_corrected",
    )
    assert np.isnan(corrected["width_ratio"])
    assert np.isnan(corrected["overlap"])
    assert fair["wald_estimate"] == 0.9


def test_the_difference_of_the_auc_is_delongs_on_the_same_patients(found, fits):
    cohort = small_cohort()
    new = ~cohort.development
    risks = [bc.predict(fits[name], cohort)["risk"].to_numpy()[new] for name in fits]
    expected = bc.metrics.auc_difference(cohort.outcome[new], *risks)
    agreement = found.agreement.set_index(["quantity", "set"])["value"]
    assert agreement["auc_difference", "validation"] == pytest.approx(expected.estimate, abs=1e-15)
    assert agreement["auc_difference_lower", "validation"] == pytest.approx(expected.lower)


def test_instability_is_the_mean_distance_and_the_share_of_other_classes(found, fits):
    """Riley & Collins' two indices for one patient, by hand."""
    cohort, model = small_cohort(), fits["baseline"]
    matrix = design_matrix(design_of(model), cohort.predictors)
    others = expit(log_odds_draws(model, matrix))
    risk = bc.predict(model, cohort)["risk"].to_numpy()
    table = found.instability.patients
    row = table[(table["model"] == "baseline") & (table["row"] == cohort.rows[7])].iloc[0]
    assert row["mean_absolute_error"] == pytest.approx(np.abs(others[:, 7] - risk[7]).mean())
    changed = ((others[:, 7] >= 0.3) != (risk[7] >= 0.3)).mean()
    assert row["class_instability"] == pytest.approx(changed)


def test_models_that_are_all_the_same_are_stable():
    table = unstable_risks(np.array([0.2, 0.7]), np.tile([0.2, 0.7], (9, 1)), thresholds=[0.5])
    assert table[["mean_absolute_error", "class_instability"]].to_numpy().max() == 0
    assert (table["lower"] == table["upper"]).all()


def test_curves_lie_on_a_grid_within_the_risks_and_hold_no_patient(found):
    table = found.instability.calibration
    for _, curve in table.groupby(["model", "set", "resample"]):
        steps = np.diff(curve["risk"])
        np.testing.assert_allclose(steps, steps.mean(), rtol=1e-9)  # no patient's own risk
    assert np.isfinite(table["observed"]).all()
    assert table["risk"].between(0, 1).all()


def test_only_private_tables_have_rows_and_every_column_is_in_the_glossary(found):
    for name, table in found.tables.items():
        assert ("row" in table) == (name in {"compare_risks", "instability_patients"})
        assert set(table) <= set(COLUMNS), name


def test_the_order_of_the_new_patients_changes_no_comparison(found, fits, performance):
    cohort = small_cohort()
    order = np.arange(len(cohort.outcome))
    new = np.flatnonzero(~cohort.development)
    order[new] = np.random.default_rng(3).permutation(new)
    shuffled = replace(
        cohort,
        predictors=cohort.predictors.iloc[order],
        outcome=cohort.outcome[order],
        sets=cohort.sets[order],
    )
    again = compare(fits, shuffled, performance=performance)
    first, second = (
        one.agreement.sort_values(["set", "quantity"], ignore_index=True) for one in (found, again)
    )
    pd.testing.assert_frame_equal(first, second, rtol=1e-9)
    pd.testing.assert_frame_equal(found.risk_marks, again.risk_marks, rtol=1e-9)


def test_the_order_of_the_fits_and_their_names_do_not_matter(found, fits, performance):
    renamed = performance.replace({"model": {"horseshoe": "mine", "baseline": "theirs"}})
    again = compare(
        {"theirs": fits["baseline"], "mine": fits["horseshoe"]}, small_cohort(), performance=renamed
    )
    pd.testing.assert_frame_equal(again.coefficients, found.coefficients)
    pd.testing.assert_frame_equal(again.performance, found.performance)


def test_rank_correlation_is_pearsons_of_mean_ranks():
    first, second = np.array([1.0, 2, 2, 3, 9]), np.array([2.0, 1, 4, 4, 4])
    ranks = [pd.Series(one).rank().to_numpy() for one in (first, second)]
    assert rank_correlation(first, second) == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert np.isnan(rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]))


@pytest.mark.parametrize("wrong", [{}, {"horseshoe": None}, []])
def test_what_is_no_pair_of_fits_is_refused(wrong):
    with pytest.raises(OptionError, match="one posterior and one baseline"):
        compare(wrong, small_cohort())


def test_two_posteriors_are_refused(fits):
    with pytest.raises(OptionError, match="found 2 posteriors and 0 baselines"):
        compare({"a": fits["horseshoe"], "b": fits["horseshoe"]}, small_cohort())


def test_a_baseline_without_resamples_and_another_cohort_are_both_named(fits):
    bare = bc.fit_baseline(small_cohort(), resamples=0, seed=5)
    cohort = small_cohort()
    fewer = replace(
        cohort, predictors=cohort.predictors[5:], outcome=cohort.outcome[5:], sets=cohort.sets[5:]
    )
    with pytest.raises(OptionError) as caught:
        compare({"horseshoe": fits["horseshoe"], "baseline": bare}, fewer)
    assert len(caught.value.problems) == 3
    assert "was not resampled" in caught.value.problems[2]
