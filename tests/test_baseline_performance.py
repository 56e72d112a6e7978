"""Performance of the baseline, corrected for optimism: by hand, and against rms."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

import bayes_cmvt as bc
from bayes_cmvt import baseline as module
from bayes_cmvt import metrics
from bayes_cmvt.baseline import fit_baseline
from bayes_cmvt.baseline_performance import corrected_calibration, corrected_performance
from bayes_cmvt.cohort import load_cohort
from bayes_cmvt.crossvalidation import baseline_refitter, out_of_fold
from bayes_cmvt.design import design_matrix, learn_design
from bayes_cmvt.evaluation import EvaluationSettings, evaluate
from bayes_cmvt.glossary import COLUMNS
from bayes_cmvt.intervals import bias_corrected
from bayes_cmvt.pipeline import Patients, PipelineFit, fitted_model, run_pipeline
from bayes_cmvt.prediction import predict
from bayes_cmvt.study import parse_study
from tests.baseline_study import RESAMPLES, cohort_of, patients, small_baseline, small_cohort
from tests.builders import HEADING, numeric_cohort, predictor, study_text
from tests.references import reference_design, reference_section, resampled_rows

CONTRACT = ["model", "set", "metric", "estimate", "lower", "upper", "method", "interval_of"]
KEYS = ["method", "metric"]


@cache
def performance():
    return corrected_performance(small_baseline(), small_cohort())


def development():
    members = small_cohort().development
    matrix = design_matrix(learn_design(small_cohort()), small_cohort().predictors[members])
    return matrix, small_cohort().outcome[members], small_cohort().rows[members]


def by_hand(prefix):
    """AUC, Brier and log score of every resample's model: own resample, everybody; the rows."""
    matrix, outcome, rows = development()
    group = small_baseline()["bootstrap"]
    found = []
    for number in range(RESAMPLES):
        own = np.searchsorted(rows, group["rows"].to_numpy()[0, number])
        beta = group[f"{prefix}beta"].to_numpy()[0, number]
        log_odds = group[f"{prefix}intercept"].to_numpy()[0, number] + matrix @ beta
        risk = 1 / (1 + np.exp(-log_odds))
        found.append(
            [
                [score(outcome[part], risk[part]) for part in (own, slice(None))]
                for score in (roc_auc_score, brier_score_loss, log_loss)
            ]
        )
    return dict(zip(("auc", "brier_score", "log_score"), np.moveaxis(found, 1, 0), strict=True))


def test_columns_of_the_contract_come_first():
    table = performance()
    assert list(table)[: len(CONTRACT)] == CONTRACT
    assert set(table) <= set(COLUMNS)
    assert set(table["model"]) == {"baseline"}
    assert set(table["set"]) == {"development"}
    assert set(table["method"]) == {"apparent", "optimism_corrected", "optimism_corrected_refit"}
    assert not table.duplicated(KEYS).any()


@pytest.mark.parametrize(
    ("method", "prefix"), [("optimism_corrected", ""), ("optimism_corrected_refit", "fixed_")]
)
def test_optimism_is_that_of_a_loop_over_the_resamples(method, prefix):
    _, outcome, _ = development()
    risk = predict(small_baseline(), small_cohort())["risk"][small_cohort().development]
    table = performance().set_index(KEYS)
    apparent = {
        "auc": roc_auc_score(outcome, risk),
        "brier_score": brier_score_loss(outcome, risk),
        "log_score": log_loss(outcome, risk),
    }
    for metric, values in by_hand(prefix).items():
        row = table.loc[(method, metric)]
        optimism = (values[:, 0] - values[:, 1]).mean()
        assert row["apparent_estimate"] == pytest.approx(apparent[metric], abs=1e-12)
        assert row["optimism"] == pytest.approx(optimism, abs=1e-12)
        assert row["estimate"] == pytest.approx(apparent[metric] - optimism, abs=1e-12)
        assert row["resamples_used"] == RESAMPLES
        # Noma et al. 2021, algorithm 1: what each model reaches on its own resample, moved
        limits = np.quantile(values[:, 0], [0.025, 0.975]) - optimism
        assert row[["lower", "upper"]].tolist() == pytest.approx(limits.tolist(), abs=1e-12)


def test_repeating_the_whole_workflow_costs_more_than_repeating_the_refit():
    table = performance().set_index(KEYS)["estimate"]
    for metric, sign in (("auc", 1), ("brier_score", -1), ("log_score", -1)):
        honest, naive = (
            table[(method, metric)] for method in ("optimism_corrected", "optimism_corrected_refit")
        )
        assert sign * honest < sign * naive


def test_a_resample_without_predictor_has_auc_one_half_and_no_slope():
    empty = ~small_baseline()["bootstrap"]["selected_final"].to_numpy()[0].any(axis=1)
    assert 0 < empty.sum() < RESAMPLES
    assert (by_hand("")["auc"][empty] == 0.5).all()
    table = performance().set_index(KEYS)
    assert table.loc[("optimism_corrected", "auc"), "resamples_used"] == RESAMPLES
    slope = table.loc[("optimism_corrected", "calibration_slope")]
    assert slope["resamples_used"] == RESAMPLES - empty.sum()
    assert (
        slope["interval_of"] == "draws"
    )  # resamples' models on everybody: no interval over patients
    assert slope["note"] == f"{empty.sum()} of {RESAMPLES} resamples kept no predictor"
    # the slope of each of the others on everybody; 1 on its own resample
    matrix, outcome, _ = development()
    group = small_baseline()["bootstrap"]
    slopes = []
    for number in np.flatnonzero(~empty):
        log_odds = matrix @ group["beta"].to_numpy()[0, number]
        log_odds += group["intercept"].to_numpy()[0, number]
        slopes.append(metrics.calibration_slope(outcome, 1 / (1 + np.exp(-log_odds))))
    firth = group["final_firth"].to_numpy()[0]
    assert slope[["lower", "upper"]].tolist() == pytest.approx(
        np.quantile(slopes, [0.025, 0.975]).tolist(), abs=1e-6
    )
    # of a separated resample the slope there is not 1: risks are FLAC's
    assert slope["estimate"] == pytest.approx(np.mean(slopes), abs=0.5 * firth.sum() / RESAMPLES)


def test_bca_limits_weigh_patients_as_the_resamples_drew_them():
    _, outcome, rows = development()
    risk = predict(small_baseline(), small_cohort())["risk"].to_numpy()[small_cohort().development]
    drawn = np.searchsorted(rows, small_baseline()["bootstrap"]["rows"].to_numpy()[0])
    replicates = [roc_auc_score(outcome[one], risk[one]) for one in drawn]
    everybody = np.arange(150)
    left_out = [roc_auc_score(outcome[everybody != i], risk[everybody != i]) for i in everybody]
    estimate = roc_auc_score(outcome, risk)
    lower, upper = bias_corrected(estimate, replicates, left_out)
    row = performance().set_index(KEYS).loc[("apparent", "auc_bca")]
    assert row[["estimate", "lower", "upper"]].tolist() == pytest.approx(
        [estimate, lower, upper], abs=1e-9
    )
    assert row["resamples_used"] == RESAMPLES


def test_corrected_curve_is_that_of_the_metrics():
    matrix, outcome, rows = development()
    table = corrected_calibration(small_baseline(), small_cohort())
    assert set(table) <= set(COLUMNS)
    drawn = np.searchsorted(rows, small_baseline()["bootstrap"]["rows"].to_numpy()[0])
    risk = predict(small_baseline(), small_cohort())["risk"].to_numpy()[small_cohort().development]
    for method, prefix in (("optimism_corrected", ""), ("optimism_corrected_refit", "fixed_")):
        group = small_baseline()["bootstrap"]
        log_odds = group[f"{prefix}beta"].to_numpy()[0] @ matrix.T
        log_odds += group[f"{prefix}intercept"].to_numpy()[0][:, np.newaxis]
        resampled = 1 / (1 + np.exp(-log_odds))
        expected = metrics.optimism_corrected_curve(outcome, risk, drawn, resampled)
        part = table[table["method"] == method]
        np.testing.assert_allclose(part["risk"], expected.risk, atol=1e-12)
        np.testing.assert_allclose(part["observed"], expected.corrected, atol=1e-9)
        np.testing.assert_allclose(part["apparent_observed"], expected.apparent, atol=1e-9)
        error = part["mean_absolute_error"].iloc[0]
        assert error == pytest.approx(expected.mean_absolute_error, abs=1e-9)


# --- Against rms ---------------------------------------------------------------------------------


def reference_fit(name, monkeypatch):
    """A baseline whose resamples are R's and whose columns are those of the reference."""
    bootstrap = reference_section(name, "calibration")["bootstrap"]
    columns, drawn = bootstrap["columns"], resampled_rows(name)
    declared = "".join(predictor(column) for column in columns)
    study = parse_study(study_text(declared, heading=HEADING))
    cohort = load_cohort(study, reference_design(name))

    def all_columns(patients, settings, seed):
        model = fitted_model(patients, np.ones(len(columns), dtype=bool))
        return PipelineFit("fitted", model.members, refit=model, final=model, risk=model)

    monkeypatch.setattr(module, "run_pipeline", all_columns)
    monkeypatch.setattr(
        module, "drawn_rows", lambda given, stream: np.sort(drawn[stream.spawn_key[1]])
    )
    fit = fit_baseline(cohort, resamples=len(drawn), subsamples=0)
    return fit, cohort, bootstrap["exact"]


@pytest.mark.reference
@pytest.mark.parametrize(("name", "of_slope"), [("birthwt", 1e-8), ("synth26", 1e-5)])
def test_with_rs_resamples_and_fixed_columns_the_figures_are_those_of_rms(
    name, of_slope, monkeypatch
):
    """To 1e-8, to which R's fits converge.

    In synth26 log-odds of one resample reach 43: as risks they are cut, which changes the mean
    slope in the sixth digit (`test_slope_and_intercept_of_risks_are_those_of_rms_validate`).
    """
    fit, cohort, exact = reference_fit(name, monkeypatch)
    theirs = pd.DataFrame(
        exact["validate"]["values"],
        index=exact["validate"]["rows"],
        columns=exact["validate"]["cols"],
    )
    ours = corrected_performance(fit, cohort).set_index(KEYS)
    for method in ("optimism_corrected", "optimism_corrected_refit"):
        rows = ours.loc[method]
        assert (rows["resamples_used"] == 200).all()
        assert 2 * rows.loc["auc", "estimate"] - 1 == pytest.approx(
            theirs.loc["Dxy", "index.corrected"], abs=1e-8
        )
        assert rows.loc["brier_score", "estimate"] == pytest.approx(
            theirs.loc["B", "index.corrected"], abs=1e-8
        )
        assert rows.loc["calibration_slope", "estimate"] == pytest.approx(
            theirs.loc["Slope", "index.corrected"], abs=of_slope
        )
    curve = corrected_calibration(fit, cohort)
    curve = curve[curve["method"] == "optimism_corrected_refit"]
    their_curve = pd.DataFrame(exact["calibrate"]["values"], columns=exact["calibrate"]["cols"])
    np.testing.assert_allclose(curve["risk"], their_curve["predy"], atol=1e-8)
    np.testing.assert_allclose(
        curve["apparent_observed"], their_curve["calibrated.orig"], atol=1e-6
    )
    np.testing.assert_allclose(curve["observed"], their_curve["calibrated.corrected"], atol=1e-6)
    np.testing.assert_array_equal(curve["resamples_used"], their_curve["n"])
    error = exact["calibrate_summary"]["mae"]
    assert curve["mean_absolute_error"].iloc[0] == pytest.approx(error, abs=1e-6)


# --- Little to judge -----------------------------------------------------------------------------


def noise_cohort():
    matrix = np.random.default_rng(3).normal(size=(80, 3))
    return numeric_cohort(matrix, 30, "[baseline]\np_enter = 1e-9\n")


def test_a_final_model_without_predictors_has_figures_and_no_slope():
    cohort = noise_cohort()
    fit = fit_baseline(cohort, resamples=20, subsamples=5)
    assert not fit["estimate"]["selected_final"].any()
    table = corrected_performance(fit, cohort).set_index(KEYS)
    for method in ("optimism_corrected", "optimism_corrected_refit"):
        assert table.loc[(method, "auc"), ["estimate", "lower", "upper"]].tolist() == [0.5] * 3
        slopes = table.loc[[method]].query("metric == 'calibration_slope'")
        assert slopes["estimate"].isna().all()
        assert (slopes["resamples_used"] == 0).all()
        # the Brier score of the event share, p (1 - p), plus what the share owes to chance
        assert 30 / 80 * 50 / 80 < table.loc[(method, "brier_score"), "estimate"] < 0.25
    assert corrected_calibration(fit, cohort).empty
    found = evaluate(
        {"baseline": fit}, cohort, settings=EvaluationSettings(replicates=100, repeats=1, splits=2)
    )
    row = found.tables["performance"].query("metric == 'auc' and method == 'apparent'").iloc[0]
    assert row["estimate"] == 0.5


def test_resamples_without_a_model_are_left_out_and_counted():
    cohort = numeric_cohort(np.random.default_rng(3).normal(size=(60, 3)), 4)
    fit = fit_baseline(cohort, resamples=30, subsamples=0)
    usable = np.isfinite(fit["bootstrap"]["intercept"].to_numpy()[0])
    assert 0 < usable.sum() < 30
    table = corrected_performance(fit, cohort)
    corrected = table[table["method"] != "apparent"].set_index(KEYS)
    assert (corrected.loc[(slice(None), "auc"), "resamples_used"] == usable.sum()).all()
    assert corrected.loc[(slice(None), "auc"), "estimate"].notna().all()


def test_a_single_resample_of_one_class_leaves_figures_empty_and_raises_nothing():
    cohort = numeric_cohort(np.random.default_rng(3).normal(size=(60, 3)), 2)
    for seed in range(40):  # the first whose one resample holds no event
        rows = np.random.default_rng(
            np.random.SeedSequence(seed, spawn_key=(1, 0)).spawn(2)[0]
        ).integers(0, 60, 60)
        if (rows > 1).all():
            break
    fit = fit_baseline(cohort, resamples=1, subsamples=0, seed=seed)
    assert (fit["bootstrap"]["rows"] > 2).all()
    table = corrected_performance(fit, cohort)
    corrected = table[table["method"] != "apparent"]
    assert (corrected["resamples_used"] == 0).all()
    assert corrected["estimate"].isna().all()
    assert table[["lower", "upper"]].isna().all(axis=None)


def test_another_cohort_is_refused():
    other = cohort_of(patients(seed=3))
    for table in (corrected_performance, corrected_calibration):
        with pytest.raises(bc.OptionError, match="was not fitted to the development patients"):
            table(small_baseline(), other)
    with pytest.raises(bc.OptionError, match="between 0 and 1"):
        corrected_performance(small_baseline(), small_cohort(), ci_prob=0)


# --- Beside the posterior ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pep_baseline(pep_cohort):
    return fit_baseline(pep_cohort, resamples=20, subsamples=5)


@pytest.fixture(scope="module")
def both(pep_fit, pep_baseline, pep_cohort):
    settings = EvaluationSettings(replicates=200, repeats=0, splits=0)
    fits = {"horseshoe": pep_fit, "baseline": pep_baseline}
    return evaluate(fits, pep_cohort, settings=settings).tables


def test_both_models_stand_in_one_decision_curve(both, pep_baseline, pep_cohort):
    table = both["net_benefit"]
    assert set(table["strategy"]) == {"horseshoe", "baseline", "treat_all", "treat_none"}
    ours = table[table["strategy"] == "baseline"]
    risk = predict(pep_baseline, pep_cohort)["risk"]
    expected = [
        metrics.net_benefit(pep_cohort.outcome, risk, threshold) for threshold in ours["threshold"]
    ]
    np.testing.assert_allclose(ours["net_benefit"], expected, atol=1e-12)


def test_only_a_posterior_has_an_expected_net_benefit(both):
    table = both["net_benefit"].set_index("strategy")
    assert table.loc["horseshoe", "expected_net_benefit"].notna().all()
    assert table.loc["baseline", "expected_net_benefit"].isna().all()


def test_differences_are_paired(both):
    single = both["performance"].query("method == 'apparent' and interval_of == 'patients'")
    single = single.set_index(["model", "metric"])["estimate"]
    table = both["performance_difference"]
    row = table.query("metric == 'auc' and method == 'apparent'").iloc[0]
    expected = single[("horseshoe", "auc")] - single[("baseline", "auc")]
    names = [row[name] for name in row.index if row[name] in ("horseshoe", "baseline")]
    sign = 1 if names[0] == "horseshoe" else -1
    assert row["estimate"] == pytest.approx(sign * expected, abs=1e-12)
    assert row["upper"] - row["lower"] < 0.1  # of two AUCs of the same patients, 0.13 wide each


def test_the_baseline_is_cross_validated_as_a_whole(pep_baseline, pep_cohort):
    """Its risks in each fold are those of a workflow that has not seen the fold."""
    given = []
    refit = baseline_refitter(pep_baseline, pep_cohort)

    def spied(partitions):
        given.extend(partitions)
        return refit(partitions)

    found = out_of_fold(spied, pep_cohort.outcome, folds=3, repeats=1, seed=4)
    design = learn_design(pep_cohort)
    everybody = design_matrix(design, pep_cohort.predictors)
    one = given[0]
    seed = np.random.SeedSequence(one.seed.entropy, spawn_key=one.seed.spawn_key)
    learnt = Patients(
        everybody[one.learnt],
        pep_cohort.outcome[one.learnt],
        np.arange(everybody.shape[1]),
    )
    model = run_pipeline(learnt, pep_cohort.study.baseline, seed).risk
    expected = model.fit.intercept + everybody[one.asked] @ model.coefficients
    np.testing.assert_allclose(found.risk[0][one.asked], 1 / (1 + np.exp(-expected)), atol=1e-12)
    again = out_of_fold(refit, pep_cohort.outcome, folds=3, repeats=1, seed=4)
    np.testing.assert_array_equal(again.risk, found.risk)


def test_draws_say_how_unstable_the_selection_is(both):
    """Rows of draws are finite, or not there: a constant risk has no slope."""
    table = both["performance"].query("interval_of == 'draws' and model == 'baseline'")
    assert set(table["metric"]) >= {"auc", "brier_score", "log_score"}
    assert table[["estimate", "lower", "upper"]].notna().all(axis=None)
