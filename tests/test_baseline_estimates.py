"""Tables of the baseline's estimates, against statsmodels and against the stored resamples."""

from __future__ import annotations

import itertools
from collections import Counter
from functools import cache

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import chi2

import bayes_cmvt as bc
from bayes_cmvt import baseline_estimates as estimates
from bayes_cmvt.baseline import fit_baseline
from bayes_cmvt.design import design_matrix, encode, learn_design
from bayes_cmvt.glossary import COLUMNS
from bayes_cmvt.lasso import cross_validate, lasso_path
from bayes_cmvt.pipeline import STATUSES, draw_folds
from bayes_cmvt.prediction import predict
from tests.baseline_study import (
    RESAMPLES,
    SUBSAMPLES,
    TERMS,
    cohort_of,
    patients,
    small_baseline,
    small_cohort,
)
from tests.builders import numeric_cohort

CONTRACT = [
    *["term", "selected_lasso", "selected_final", "coef", "se", "z", "p", "odds_ratio"],
    *["wald_lower", "wald_upper", "boot_lower", "boot_upper", "selection_frequency", "fit"],
]
WALD = ["se", "z", "p", "wald_lower", "wald_upper"]


@cache
def coefficients(ci_prob=0.95):
    table = estimates.baseline_coefficients(small_baseline(), small_cohort(), ci_prob=ci_prob)
    return table.set_index("term", drop=False)


def raw():
    """Development patients: columns in their own units, outcomes."""
    members = small_cohort().development
    columns = encode(small_cohort().study, small_cohort().predictors[members])
    return pd.DataFrame(columns, columns=list(TERMS)), small_cohort().outcome[members]


def stored(name, scheme="bootstrap"):
    return small_baseline()[scheme][name].to_numpy()[0]


def per_unit():
    """Intercept and coefficients of every resample, by hand."""
    design = learn_design(small_cohort())
    beta = stored("reported_beta") / design.sd
    return np.column_stack([stored("reported_intercept") - beta @ design.mean, beta])


# --- Coefficients --------------------------------------------------------------------------------


def test_columns_of_the_contract_come_in_its_order():
    table = coefficients()
    assert [name for name in table if name in CONTRACT] == CONTRACT
    assert table["term"].tolist() == ["(Intercept)", *TERMS]
    assert table.loc["site[south]", "label"] == "site: south vs north"
    assert set(table) <= set(COLUMNS)


def test_final_model_is_that_of_statsmodels():
    """Both converge to a gradient of rounding size: 1e-8 of a standard error."""
    columns, outcome = raw()
    table = coefficients()
    final = table.query("selected_final and term != '(Intercept)'")["term"].tolist()
    assert 1 < len(final) < len(TERMS)
    assert (table["fit"] == "ml").all()
    design = sm.add_constant(columns[final])
    theirs = sm.Logit(outcome, design).fit(disp=0, tol=1e-14, maxiter=100)
    limits = theirs.conf_int(0.05)
    ours = table.loc[["(Intercept)", *final]]
    for name, values in (
        ("coef", theirs.params),
        ("se", theirs.bse),
        ("z", theirs.tvalues),
        ("p", theirs.pvalues),
        ("wald_lower", limits[0]),
        ("wald_upper", limits[1]),
    ):
        np.testing.assert_allclose(ours[name], values, rtol=1e-7, err_msg=name)
    for term in final:
        less = sm.Logit(outcome, design.drop(columns=term)).fit(disp=0, tol=1e-14)
        expected = chi2.sf(2 * (theirs.llf - less.llf), 1)
        assert table.loc[term, "p_likelihood_ratio"] == pytest.approx(expected, rel=1e-6)


def test_refit_columns_are_of_what_the_lasso_kept():
    columns, outcome = raw()
    table = coefficients()
    kept = table.query("selected_lasso and term != '(Intercept)'")["term"].tolist()
    theirs = sm.Logit(outcome, sm.add_constant(columns[kept])).fit(disp=0, tol=1e-14)
    np.testing.assert_allclose(table.loc[kept, "refit_coef"], theirs.params[kept], rtol=1e-6)
    np.testing.assert_allclose(table.loc[kept, "refit_p"], theirs.pvalues[kept], rtol=1e-6)
    final = table.loc[kept].query("refit_p < 0.05").index.tolist()
    assert final == table.query("selected_final").index.tolist()[1:]
    assert table.query("not selected_lasso")["refit_p"].isna().all()


def test_what_is_not_in_the_model_has_odds_ratio_1_and_no_wald_limits():
    absent = coefficients().query("not selected_final")
    assert (absent["coef"] == 0).all()
    assert (absent["odds_ratio"] == 1).all()
    assert absent[[*WALD, "odds_ratio_wald_lower", "odds_ratio_wald_upper"]].isna().all(axis=None)
    present = coefficients().query("selected_final")
    assert present[WALD].notna().all(axis=None)


def test_odds_ratios_are_per_reported_contrast():
    table = coefficients()
    assert table.loc["age", "per"] == 10
    assert (table["per"].drop("age") == 1).all()
    assert table.loc["age", "odds_ratio"] == pytest.approx(np.exp(10 * table.loc["age", "coef"]))
    for end in ("lower", "upper"):
        for kind in ("wald", "boot"):
            expected = np.exp(table["per"] * table[f"{kind}_{end}"])
            np.testing.assert_allclose(table[f"odds_ratio_{kind}_{end}"], expected, rtol=1e-12)


@pytest.mark.parametrize("ci_prob", [0.95, 0.8])
def test_bootstrap_limits_are_quantiles_of_the_stored_coefficients(ci_prob):
    table, drawn = coefficients(ci_prob), per_unit()
    assert np.isfinite(drawn).all()
    tail = (1 - ci_prob) / 2
    for name, level in (("boot_lower", tail), ("boot_median", 0.5), ("boot_upper", 1 - tail)):
        np.testing.assert_allclose(table[name], np.quantile(drawn, level, axis=0), atol=1e-12)
    zero = np.append(0, 1 - stored("selected_final").mean(axis=0))
    np.testing.assert_allclose(table["boot_zero"], zero, atol=1e-12)
    assert 0 < table.loc["age", "boot_zero"] < 1
    assert (table["interval"] == ci_prob).all()


def test_selection_frequencies_are_shares_of_subsamples():
    table = coefficients()
    expected = stored("selected_final", "subsample").mean(axis=0)
    np.testing.assert_allclose(table["selection_frequency"], np.append(1, expected))
    lasso = stored("selected_lasso", "subsample").mean(axis=0)
    np.testing.assert_allclose(table["selection_frequency_lasso"], np.append(1, lasso))
    boot = stored("selected_final").mean(axis=0)
    np.testing.assert_allclose(table["boot_frequency"], np.append(1, boot))


def test_without_resamples_their_columns_are_empty():
    fit = fit_baseline(small_cohort(), resamples=0, seed=5)
    table = estimates.baseline_coefficients(fit, small_cohort())
    theirs = [name for name in table if "boot" in name or "frequency" in name]
    assert {"boot_lower", "boot_upper", "boot_zero", "selection_frequency"} <= set(theirs)
    assert table[theirs].isna().all(axis=None)
    rest = [name for name in table if name not in theirs]
    pd.testing.assert_frame_equal(table[rest], coefficients()[rest].reset_index(drop=True))
    risks = estimates.baseline_predictions(fit, small_cohort())
    assert risks[["median", "lower", "upper"]].isna().all(axis=None)
    assert risks[["risk", "wald_lower", "wald_upper"]].notna().all(axis=None)


def test_a_unit_365_times_smaller_scales_one_coefficient_and_nothing_else():
    frame = patients()
    frame["age"] = (frame["age"] * 365.25).round(6)
    cohort = cohort_of(frame)
    fit = fit_baseline(cohort, resamples=12, seed=5, subsamples=4)
    first = fit_baseline(small_cohort(), resamples=12, seed=5, subsamples=4)
    ours = estimates.baseline_coefficients(fit, cohort).set_index("term")
    theirs = estimates.baseline_coefficients(first, small_cohort()).set_index("term")
    names = ["coef", "se", "wald_lower", "wald_upper", "profile_lower", "profile_upper"]
    names += ["boot_lower", "boot_median", "boot_upper", "refit_coef", "refit_se"]
    assert theirs.loc["age", "selected_final"]
    np.testing.assert_allclose(ours.loc["age", names] * 365.25, theirs.loc["age", names], rtol=1e-6)
    expected = theirs.loc["age", "odds_ratio"] ** (1 / 365.25)
    assert ours.loc["age", "odds_ratio"] == pytest.approx(expected, rel=1e-9)
    rest = [term for term in TERMS if term != "age"]
    same = [*names, "z", "p", "p_likelihood_ratio", "selection_frequency", "boot_zero"]
    np.testing.assert_allclose(
        ours.loc[rest, same].astype(float), theirs.loc[rest, same].astype(float), atol=1e-6
    )
    for risks in ("risk", "lower", "upper"):
        a, b = predict(fit, cohort)[risks], predict(first, small_cohort())[risks]
        np.testing.assert_allclose(a, b, atol=1e-7)


def test_every_survivor_of_the_lasso_stays_where_the_p_rule_is_off():
    cohort = cohort_of(patients(), "p_enter = 1\n")
    fit = fit_baseline(cohort, resamples=3, seed=5, subsamples=0)
    table = estimates.baseline_coefficients(fit, cohort)
    np.testing.assert_array_equal(table["selected_final"], table["selected_lasso"])
    assert not table["hauck_donner"].any()


def test_separated_patients_have_a_firth_fit_and_finite_limits():
    matrix = np.random.default_rng(3).normal(size=(60, 3))
    matrix[:, 0] = np.where(np.arange(60) < 20, 1, -1) * (1 + np.abs(matrix[:, 0]))
    cohort = numeric_cohort(matrix, 20)
    fit = fit_baseline(cohort, resamples=8, subsamples=4)
    table = estimates.baseline_coefficients(fit, cohort).set_index("term")
    assert (table["fit"] == "firth").all()
    assert 0 < table.loc["x0", "coef"] < 20
    assert np.isfinite(table.loc["x0", [*WALD, "boot_lower", "boot_upper"]].astype(float)).all()
    assert table.loc["x0", "p_likelihood_ratio"] < 1e-6
    found = estimates.separation(fit, cohort, "selected_final")
    assert (found.kind, found.terms) == ("complete", ("x0",))
    assert estimates.separation(small_baseline(), small_cohort(), "selected_final").kind == "none"
    risks = estimates.baseline_predictions(fit, cohort)
    assert risks[["lower", "upper", "wald_lower", "wald_upper"]].notna().all(axis=None)
    assert (risks["wald_lower"] <= risks["wald_upper"]).all()


# --- The LASSO -----------------------------------------------------------------------------------


def test_path_is_that_of_the_raw_columns():
    """Another origin and unit move the path by rounding: both solve to 1e-10 of a gradient."""
    columns, outcome = raw()
    table = estimates.lasso_path_table(small_baseline())
    assert list(table) == ["lambda", "df", "dev_ratio", "(Intercept)", *TERMS]
    path = lasso_path(columns.to_numpy(), outcome)
    np.testing.assert_allclose(table["lambda"], path.penalties, rtol=1e-9)
    np.testing.assert_array_equal(table["df"], path.df)
    np.testing.assert_allclose(table["dev_ratio"], path.deviance_ratio, atol=1e-8)
    scale = columns.to_numpy().std(axis=0)
    np.testing.assert_allclose(table[list(TERMS)] * scale, path.coefficients * scale, atol=1e-6)
    np.testing.assert_allclose(table["(Intercept)"], path.intercept, atol=1e-6)
    assert table.loc[0, "df"] == 0  # starts where everything is 0


def test_cross_validation_is_that_of_the_same_folds():
    columns, outcome = raw()
    stream = np.random.SeedSequence(5, spawn_key=(0,))
    folds = draw_folds(outcome, 4, np.random.default_rng(stream))
    found = cross_validate(columns.to_numpy(), outcome, folds)
    table = estimates.lasso_cv_table(small_baseline())
    assert list(table) == ["lambda", "mean", "se", "df"]
    np.testing.assert_allclose(table["mean"], found.mean, atol=1e-8)
    np.testing.assert_allclose(table["se"], found.se, atol=1e-8)
    choice = estimates.lasso_choice(small_baseline())
    assert list(choice) == ["lambda_min", "lambda_1se"]
    assert choice["lambda_min"] == pytest.approx(found.lambda_min, rel=1e-9)
    assert choice["lambda_1se"] == pytest.approx(found.lambda_1se, rel=1e-9)


def test_path_cross_validation_and_choice_agree():
    path = estimates.lasso_path_table(small_baseline())
    table = estimates.lasso_cv_table(small_baseline())
    choice = estimates.lasso_choice(small_baseline())
    pd.testing.assert_frame_equal(table[["lambda", "df"]], path[["lambda", "df"]])
    best = table["mean"].idxmin()
    assert choice["lambda_min"] == table.loc[best, "lambda"]
    within = table["mean"] <= table.loc[best, "mean"] + table.loc[best, "se"]
    assert choice["lambda_1se"] == table.loc[within, "lambda"].max() > choice["lambda_min"]
    kept = [term for term in TERMS if path.loc[best, term] != 0]
    assert kept == coefficients().query("selected_lasso").index.tolist()[1:]


# --- What resamples chose ------------------------------------------------------------------------


def test_pairs_are_counted_by_hand():
    table = estimates.selection_pairs(small_baseline())
    for scheme in ("bootstrap", "subsample"):
        chosen = stored("selected_final", scheme)
        part = table[table["scheme"] == scheme].set_index(["term", "other_term"])
        assert list(part.index) == list(itertools.combinations(TERMS, 2))
        for one, other in itertools.combinations(range(len(TERMS)), 2):
            row = part.loc[(TERMS[one], TERMS[other])]
            assert row["share_both"] == pytest.approx(
                np.mean(chosen[:, one] & chosen[:, other]), abs=1e-12
            )
            alone = chosen[:, one].mean() * chosen[:, other].mean()
            assert row["share_if_independent"] == pytest.approx(alone, abs=1e-12)


def test_models_are_counted_by_hand():
    table = estimates.model_frequencies(small_baseline())
    own = " + ".join(coefficients().query("selected_final").index[1:])
    for scheme, count in (("bootstrap", RESAMPLES), ("subsample", SUBSAMPLES)):
        counted = Counter(
            " + ".join(itertools.compress(TERMS, one)) for one in stored("selected_final", scheme)
        )
        part = table[table["scheme"] == scheme]
        assert dict(zip(part["terms"], part["resamples"], strict=True)) == counted
        assert part["resamples"].sum() == count
        assert part["resamples"].is_monotonic_decreasing
        assert part["rank"].tolist() == list(range(1, len(part) + 1))
        np.testing.assert_allclose(part["share"], part["resamples"] / count)
        assert part.loc[part["same_as_final"], "terms"].tolist() in ([own], [])
        sizes = [len(terms.split(" + ")) if terms else 0 for terms in part["terms"]]
        assert part["size"].tolist() == sizes
        assert 0 in sizes


def test_what_became_of_resamples_adds_up():
    table = estimates.resample_outcomes(small_baseline())
    assert set(table) <= set(COLUMNS)
    for scheme, count in (("bootstrap", RESAMPLES), ("subsample", SUBSAMPLES)):
        part = table[table["scheme"] == scheme].set_index("what")
        assert part.loc[list(STATUSES.values()), "resamples"].sum() == count
        empty = (~stored("selected_final", scheme).any(axis=1)).sum()
        assert part.loc[STATUSES["empty"], "resamples"] == empty > 0
        final = part.loc["final model separated: Firth's fit", "resamples"]
        assert final == stored("final_firth", scheme).sum()
        np.testing.assert_allclose(part["share"], part["resamples"] / count)
    assert stored("final_firth").any()  # the study has thin resamples


def test_resamples_without_a_model_are_counted_and_left_out_of_limits_and_shares():
    cohort = numeric_cohort(np.random.default_rng(3).normal(size=(60, 3)), 4)
    fit = fit_baseline(cohort, resamples=30, subsamples=20)
    counts = estimates.resample_outcomes(fit).query("scheme == 'bootstrap'").set_index("what")
    without = counts.loc[[STATUSES["one_class"], STATUSES["few_patients"]], "resamples"].sum()
    assert without > 0
    assert estimates.usable(fit, "bootstrap").sum() == 30 - without
    design = learn_design(cohort)
    beta = (fit["bootstrap"]["reported_beta"].to_numpy()[0] / design.sd)[
        estimates.usable(fit, "bootstrap")
    ]
    table = estimates.baseline_coefficients(fit, cohort).set_index("term")
    upper = np.quantile(beta, 0.975, axis=0)
    np.testing.assert_allclose(table.loc[list(design.terms), "boot_upper"], upper, atol=1e-12)
    np.testing.assert_allclose(
        table.loc[list(design.terms), "boot_zero"], (beta == 0).mean(axis=0), atol=1e-12
    )
    assert table["boot_upper"].notna().all()


# --- Risks ---------------------------------------------------------------------------------------


def test_risk_is_the_final_models_and_its_limits_are_percentiles_over_resamples():
    cohort, fit = small_cohort(), small_baseline()
    matrix = design_matrix(learn_design(cohort), cohort.predictors)
    found = predict(fit, cohort, ci_prob=0.9)
    columns, outcome = raw()
    final = coefficients().query("selected_final").index.tolist()[1:]
    theirs = sm.Logit(outcome, sm.add_constant(columns[final])).fit(disp=0, tol=1e-14)
    everybody = pd.DataFrame(encode(cohort.study, cohort.predictors), columns=list(TERMS))
    expected = theirs.predict(sm.add_constant(everybody[final]))
    np.testing.assert_allclose(found["risk"], expected, atol=1e-9)
    log_odds = stored("intercept")[:, np.newaxis] + stored("beta") @ matrix.T
    risk = 1 / (1 + np.exp(-log_odds))
    for name, level in (("lower", 0.05), ("median", 0.5), ("upper", 0.95)):
        np.testing.assert_allclose(found[name], np.quantile(risk, level, axis=0), atol=1e-12)
    assert found["row"].tolist() == list(range(1, 201))


def test_risks_of_new_rows_are_those_of_the_same_patients():
    rows = patients().iloc[[3, 99, 120]].drop(columns=["y", "set"])
    fresh = predict(small_baseline(), rows)
    known = predict(small_baseline(), small_cohort()).iloc[[3, 99, 120]]
    for name in ("risk", "median", "lower", "upper"):
        np.testing.assert_allclose(fresh[name], known[name], rtol=1e-12)
    assert fresh["row"].tolist() == [1, 2, 3]
    strange = rows.assign(site="west")
    with pytest.raises(bc.DataError, match='column site: level "west"'):
        predict(small_baseline(), strange)


def test_predictions_stand_beside_walds_limits_that_ignore_the_selection():
    table = estimates.baseline_predictions(small_baseline(), small_cohort(), ci_prob=0.9)
    assert list(table) == [
        *["row", "set", "outcome", "risk", "median", "lower", "upper", "interval"],
        *["wald_lower", "wald_upper"],
    ]
    columns, outcome = raw()
    final = coefficients().query("selected_final").index.tolist()[1:]
    theirs = sm.GLM(outcome, sm.add_constant(columns[final]), sm.families.Binomial()).fit(tol=1e-14)
    everybody = pd.DataFrame(
        encode(small_cohort().study, small_cohort().predictors), columns=list(TERMS)
    )
    summary = theirs.get_prediction(sm.add_constant(everybody[final])).summary_frame(alpha=0.1)
    np.testing.assert_allclose(table["wald_lower"], summary["mean_ci_lower"], atol=1e-7)
    np.testing.assert_allclose(table["wald_upper"], summary["mean_ci_upper"], atol=1e-7)
    assert table["set"].value_counts().to_dict() == {"development": 150, "validation": 50}
    np.testing.assert_array_equal(table["outcome"], small_cohort().outcome)


def test_coefficients_and_risks_need_the_cohort_of_the_fit():
    other = cohort_of(patients(seed=3))
    for table in (estimates.baseline_coefficients, estimates.baseline_predictions):
        with pytest.raises(bc.OptionError, match="was not fitted to the development patients"):
            table(small_baseline(), other)


@pytest.mark.parametrize("ci_prob", [0, 1, 95])
def test_an_interval_that_is_none_is_refused(ci_prob):
    with pytest.raises(bc.OptionError, match="between 0 and 1"):
        estimates.baseline_coefficients(small_baseline(), small_cohort(), ci_prob=ci_prob)
