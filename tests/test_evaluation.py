"""Tables of an evaluation: which figures stand where, and that they are those of the metrics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayes_cmvt as bc
from bayes_cmvt import metrics
from bayes_cmvt.errors import OptionError
from bayes_cmvt.evaluation import EvaluationSettings, check_evaluation, evaluate
from bayes_cmvt.glossary import COLUMNS

QUICK = EvaluationSettings(replicates=300, folds=4, repeats=2, splits=4, seed=3)


class Shrinker:
    """A stand-in for a pipeline: halfway between given risks and the share of the rows learnt."""

    def __init__(self, outcome, risk):
        self.outcome, self.risk = outcome, risk

    def __call__(self, partitions):
        return [
            0.5 * self.risk[one.asked] + 0.5 * self.outcome[one.learnt].mean() for one in partitions
        ]


@pytest.fixture(scope="module")
def split_cohort(pep_cohort):
    """The trial with every fourth patient held out."""
    sets = np.where(np.arange(602) % 4 == 0, "validation", "development")
    return replace(pep_cohort, sets=sets)


@pytest.fixture(scope="module")
def split_fit(split_cohort):
    return bc.sample(split_cohort, seed=2, chains=2, warmup=300, draws=500)


@pytest.fixture(scope="module")
def found(split_fit, split_cohort):
    return evaluate({"horseshoe": split_fit}, split_cohort, settings=QUICK)


def figure(table, metric, **where):
    for column, value in {"metric": metric, **where}.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_every_column_is_in_the_glossary_and_no_row_is_a_patient(found):
    assert set(found.tables) == {
        "performance",
        "net_benefit",
        "calibration",
        "roc",
        "risk_groups",
        "calibration_tests",
        "splits",
    }
    for name, table in found.tables.items():
        assert set(table.columns) <= set(COLUMNS), name
        assert "row" not in table, name


def test_performance_is_that_of_the_posterior_mean_risk(found, split_fit, split_cohort):
    table = found.tables["performance"]
    assert table.columns.tolist()[:8] == [
        *["model", "set", "metric", "estimate", "lower", "upper", "method", "interval_of"]
    ]
    risks = bc.predictions(split_fit, split_cohort)
    for called, method in (("development", "apparent"), ("validation", "holdout")):
        part = risks[risks["set"] == called]
        outcome, risk = part["outcome"].to_numpy(), part["risk"].to_numpy()
        for name in ("auc", "brier_score", "log_score", "calibration_slope"):
            row = figure(table, name, set=called, method=method, interval_of="patients")
            assert row["estimate"] == pytest.approx(getattr(metrics, name)(outcome, risk), abs=1e-9)
            assert row["lower"] < row["estimate"] < row["upper"]
        delong = metrics.auc_delong(outcome, risk)
        row = figure(table, "auc_delong", set=called)
        assert (row["lower"], row["upper"]) == (delong.lower, delong.upper)


def test_development_figures_to_quote_are_below_the_apparent_ones(found):
    table = found.tables["performance"]
    table = table[(table["set"] == "development") & (table["interval_of"] == "patients")]
    apparent = figure(table, "auc", method="apparent")["estimate"]
    assert figure(table, "auc", method="kfold")["estimate"] < apparent - 0.02
    assert figure(table, "leave_pair_out_auc", method="loo")["estimate"] < apparent - 0.02
    for name in ("brier_score", "log_score"):
        left_out = figure(table, name, method="loo")["estimate"]
        assert left_out > figure(table, name, method="apparent")["estimate"]
        # leaving out one patient or a quarter of them is not the same, but nearly
        assert left_out == pytest.approx(figure(table, name, method="kfold")["estimate"], rel=0.03)
    assert table[table["method"] == "loo"]["metric"].tolist() == [
        *["brier_score", "scaled_brier_score", "log_score", "leave_pair_out_auc"]
    ]  # never the AUC of pooled left-out risks, nor a slope of them


def test_left_out_log_score_is_the_elpd(found):
    judged = found.judged[0]
    row = figure(found.tables["performance"], "log_score", method="loo")
    assert row["estimate"] == pytest.approx(-judged.left_out.elpd / 451, rel=1e-12)


def test_draws_stand_apart_as_instability(found):
    table = found.tables["performance"]
    draws = table[table["interval_of"] == "draws"]
    assert set(draws["metric"]) == {"auc", "brier_score", "log_score", "calibration_slope"}
    for called in ("development", "validation"):
        deployed = figure(
            table,
            "log_score",
            set=called,
            interval_of="patients",
            method=("apparent" if called == "development" else "holdout"),
        )
        assert figure(draws, "log_score", set=called)["estimate"] > deployed["estimate"]


def test_net_benefit_of_development_patients_is_cross_validated(found, split_cohort):
    table = found.tables["net_benefit"]
    assert table.columns.tolist()[:7] == [
        *["set", "strategy", "threshold", "net_benefit", "lower", "upper", "prob_useful"]
    ]
    model = table[table["strategy"] == "horseshoe"]
    assert set(zip(model["set"], model["method"], strict=True)) == {
        ("development", "kfold"),
        ("validation", "holdout"),
    }
    development = model[model["set"] == "development"]
    assert development["apparent"].sum() > development["net_benefit"].sum()
    for called, outcome in (
        ("development", split_cohort.outcome[split_cohort.development]),
        ("validation", split_cohort.outcome[~split_cohort.development]),
    ):
        everybody = table[(table["strategy"] == "treat_all") & (table["set"] == called)]
        odds = everybody["threshold"] / (1 - everybody["threshold"])
        expected = outcome.mean() - (1 - outcome.mean()) * odds
        np.testing.assert_allclose(everybody["net_benefit"], expected, atol=1e-12)
    nobody = table[table["strategy"] == "treat_none"]
    assert (nobody[["net_benefit", "lower", "upper"]] == 0).all(axis=None)
    assert model["prob_useful"].between(0, 1).all()
    assert (model["evpi_development"] >= -1e-12).all()
    assert (model["evpi_validation"] >= -1e-12).all()
    assert model.query("set == 'validation'")["apparent"].isna().all()
    treated = model[model["note"] == "same as treat-all"]
    assert (treated["prob_useful"] == 0).all()
    assert len(treated) > 0


def test_the_model_expects_of_its_rule_what_the_draws_say(found):
    model = found.tables["net_benefit"].query("strategy == 'horseshoe' and set == 'validation'")
    judged = found.judged[1]
    risk = 1 / (1 + np.exp(-judged.log_odds))
    rule = judged.deployed.risks.risk[0]
    row = model[model["threshold"] == 0.2].iloc[0]
    treated = rule >= 0.2
    each = (treated * (risk - (1 - risk) * 0.25)).mean(axis=1)
    assert row["expected_net_benefit"] == pytest.approx(each.mean(), abs=1e-12)
    assert row["expected_lower"] < each.mean() < row["expected_upper"]


def test_risk_groups_hold_all_patients_and_predict_their_events(found):
    table = found.tables["risk_groups"]
    for called, patients in (("development", 451), ("validation", 151)):
        part = table[table["set"] == called]
        assert part["patients"].sum() == patients
        # the outermost limits would be the risks of two patients
        assert part[["risk_lower", "risk_upper"]].isna().to_numpy().sum() == 2
        assert (part["predicted_lower"] <= part["expected"]).all()
        assert (part["expected"] <= part["predicted_upper"]).all()
    tests = found.tables["calibration_tests"]
    assert tests["test"].tolist() == [
        *["posterior_predictive", "posterior_predictive", "hosmer_lemeshow"]
    ]
    assert tests["p_value"].between(0, 1).all()
    assert tests["df"].iloc[-1] == 10  # new patients: no degree of freedom was spent on them


def test_few_patients_make_few_groups_and_no_useful_threshold(split_fit, split_cohort):
    few = np.flatnonzero(split_cohort.outcome)[:3].tolist() + list(range(4, 16))
    cohort = replace(
        split_cohort,
        predictors=split_cohort.predictors.iloc[few],
        outcome=split_cohort.outcome[few],
        sets=split_cohort.sets[few],
    )
    tables = evaluate({"m": split_fit}, cohort, external=True, settings=QUICK).tables
    assert tables["risk_groups"]["patients"].tolist() == [15]
    model = tables["net_benefit"].query("strategy == 'm'")
    assert set(model["note"]) <= {
        "same as treat-all",
        "same as treat-none",
        "fewer than 10 patients on one side",
    }


def test_model_based_limits_stand_beside_those_of_new_patients(found):
    table = found.tables["performance"]
    for name in ("auc_delong_logit", "recalibration_slope", "recalibration_in_the_large"):
        row = figure(table, name, set="validation")
        assert row["lower"] < row["estimate"] < row["upper"]
    assert figure(table, "recalibration_slope")["set"] == "validation"
    errors = table[table["if_calibrated"].notna()]
    assert set(errors["metric"]) == {"integrated_calibration_index", "e50", "e90", "emax"}


def test_splits_differ_by_luck(found):
    table = found.tables["splits"]
    assert table["split"].tolist() == [1, 2, 3, 4]
    assert (table["patients"] == 451 - round(0.7 * 451)).all()
    assert table["auc"].nunique() == 4


def test_two_models_are_compared_on_the_same_patients(split_fit, split_cohort):
    cohort = replace(
        split_cohort,
        predictors=split_cohort.predictors[~split_cohort.development],
        outcome=split_cohort.outcome[~split_cohort.development],
        sets=split_cohort.sets[~split_cohort.development],
    )
    fits = {"horseshoe": split_fit, "again": split_fit}
    tables = evaluate(fits, cohort, external=True, settings=QUICK).tables
    difference = tables["performance_difference"]
    assert set(difference["set"]) == {"external"}
    assert (difference[["estimate", "lower", "upper"]] == 0).all(axis=None)
    assert figure(difference, "auc_difference")["p_value"] == 1
    assert (tables["net_benefit_difference"]["net_benefit_difference"] == 0).all()
    assert "splits" not in tables
    # treat-all and treat-none once, not once for each model
    assert not tables["net_benefit"].duplicated(["strategy", "threshold"]).any()


def test_any_model_that_can_be_fitted_again_plugs_in(split_fit, split_cohort):
    members = split_cohort.development
    risk = bc.predict(split_fit, split_cohort)["risk"].to_numpy()[members]
    refitter = Shrinker(split_cohort.outcome[members], risk)
    settings = replace(QUICK, splits=2)
    tables = evaluate(
        {"baseline": split_fit}, split_cohort, settings=settings, refitters={"baseline": refitter}
    ).tables
    table = tables["performance"]
    apparent, folds = (
        figure(table, "auc", method=method, interval_of="patients", set="development")["estimate"]
        for method in ("apparent", "kfold")
    )
    assert folds == pytest.approx(apparent, abs=0.03)  # half of every risk is the apparent one
    slope = figure(table, "calibration_slope", method="kfold")["estimate"]
    assert slope > 1.5


def test_decision_curve_is_the_net_benefit_table(found, split_fit, split_cohort):
    table = bc.decision_curve({"horseshoe": split_fit}, split_cohort, settings=QUICK)
    pd.testing.assert_frame_equal(table, found.tables["net_benefit"])


def test_only_models_by_name_and_their_own_patients_are_judged(split_fit, split_cohort):
    shuffled = replace(split_cohort, outcome=split_cohort.outcome[::-1].copy())
    with pytest.raises(OptionError, match="or external=True for patients that it has not seen"):
        evaluate({"m": split_fit}, shuffled, settings=QUICK)
    with pytest.raises(OptionError, match='"treat_all": expected a fit'):
        evaluate({"treat_all": split_fit}, split_cohort, settings=QUICK)
    with pytest.raises(OptionError, match="models by name"):
        evaluate({}, split_cohort, settings=QUICK)
    with pytest.raises(OptionError, match="found str; expected a Cohort"):
        evaluate({"m": split_fit}, "patients.csv", settings=QUICK)


def test_settings_outside_what_is_allowed_are_refused_all_at_once():
    settings = EvaluationSettings(replicates=5, folds=1, splits=-1, smoother="lowes")
    with pytest.raises(OptionError) as caught:
        check_evaluation(settings)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        *["replicates", "folds", "splits", "smoother"]
    ]
    assert 'did you mean "lowess"' in caught.value.problems[-1]
    with pytest.raises(OptionError, match="between 0 and 1"):
        check_evaluation(EvaluationSettings(interval=1.5))


@pytest.mark.parametrize("smoother", ["lowess", "spline", "isotonic"])
def test_every_smoother_has_a_band(split_fit, split_cohort, smoother):
    part = ~split_cohort.development
    cohort = replace(
        split_cohort,
        predictors=split_cohort.predictors[part],
        outcome=split_cohort.outcome[part],
        sets=split_cohort.sets[part],
    )
    settings = replace(QUICK, smoother=smoother, replicates=200)
    table = evaluate({"m": split_fit}, cohort, external=True, settings=settings).tables[
        "calibration"
    ]
    assert (table["smoother"] == smoother).all()
    assert (table["lower"] <= table["upper"]).all()
    inside = table["observed"].between(table["lower"], table["upper"])
    assert inside.mean() > 0.9
