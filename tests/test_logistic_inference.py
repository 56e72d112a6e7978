"""Limits, tests and separation against R, independent searches and exact limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.optimize import brentq, minimize
from scipy.stats import chi2

from bayes_cmvt.errors import DataError, OptionError
from bayes_cmvt.logistic import fit_firth, fit_flac, fit_maximum_likelihood
from bayes_cmvt.logistic_inference import (
    Separation,
    hauck_donner,
    likelihood_ratio_tests,
    name_separation,
    profile_interval,
    wald_interval,
)
from tests.references import reference_design, reference_section, shared_table
from tests.test_logistic import (
    R_FITS,
    information,
    log_posterior,
    r_patients,
    small_studies,
    some_patients,
    with_ones,
)

QUANTILE = chi2.ppf(0.95, 1)


def matrix_of(block):
    return np.asarray(block["values"], dtype=float)[1:]  # the intercept is the first


# --- Limits --------------------------------------------------------------------------------------


@pytest.mark.reference
@pytest.mark.parametrize("name", R_FITS)
def test_wald_limits_equal_those_of_r(name):
    """To 5e-8 of R's standard errors, which are of the step before the last."""
    fit, expected = (
        fit_maximum_likelihood(*r_patients(name)),
        matrix_of(reference_section(name, "glm")["ci_wald"]),
    )
    distance = np.abs(wald_interval(fit) - expected) / fit.se[:, np.newaxis]
    assert distance.max() < 1.96 * 5e-8


@pytest.mark.reference
@pytest.mark.parametrize("name", R_FITS)
def test_profile_limits_are_near_the_interpolated_ones_of_r(name):
    """R's come from a spline through a profile; in standard errors."""
    columns, outcome = r_patients(name)
    fit = fit_maximum_likelihood(columns, outcome)
    expected = matrix_of(reference_section(name, "glm")["ci_profile"])
    distance = np.abs(profile_interval(columns, outcome, fit) - expected) / fit.se[:, np.newaxis]
    assert distance.max() < 1e-2


def profile_deviance(columns, outcome, j):
    """Deviance with coefficient j held, by scipy's trust regions."""
    others = np.delete(columns, j, axis=1)
    others = with_ones((others - others.mean(axis=0)) / others.std(axis=0))

    def deviance(value):
        held = value * columns[:, j]

        def lost(beta):
            log_odds = held + others @ beta
            risk = 1 / (1 + np.exp(-log_odds))
            return np.logaddexp(0, log_odds).sum() - outcome @ log_odds, others.T @ (risk - outcome)

        def curvature(beta):
            return information(others, held + others @ beta)

        start = np.zeros(others.shape[1])
        options = {"gtol": 1e-9}
        found = minimize(
            lost, start, jac=True, hess=curvature, method="trust-exact", options=options
        )
        return 2 * found.fun

    return deviance


@pytest.mark.reference
@pytest.mark.parametrize("name", ["birthwt", "asah"])
def test_profile_limits_equal_those_of_an_independent_search(name):
    columns, outcome = r_patients(name)
    fit = fit_maximum_likelihood(columns, outcome)
    found = profile_interval(columns, outcome, fit)
    for j in range(columns.shape[1]):
        deviance = profile_deviance(columns, outcome, j)
        for side, limit in zip((-1, 1), found[j], strict=True):
            inside, outside = fit.coefficients[j], fit.coefficients[j] + side * 4 * fit.se[j]
            expected = brentq(
                lambda value, deviance=deviance: deviance(value) - fit.deviance - QUANTILE,
                *(inside, outside),
                xtol=1e-9 * fit.se[j],
            )
            assert abs(limit - expected) < 1e-6 * fit.se[j]


@pytest.mark.reference
def test_profile_limits_of_a_firth_fit_as_printed():
    table = shared_table("data", "uti_sex2")
    columns = table[["age", "oc", "vic", "vicl", "vis", "dia"]]
    limits = profile_interval(columns, table["case"], fit_firth(columns, table["case"]))
    assert f"{limits[5, 0]:.6f}" == "0.774568"
    # 8.0302935, printed as 8.03028: their search stops at 1e-4 of the likelihood
    assert limits[5, 1] == pytest.approx(8.03028, abs=2e-5)
    height = held_posterior(columns.to_numpy(float), table["case"].to_numpy(float), 5)
    fit = fit_firth(columns, table["case"])
    for limit in limits[5]:
        assert 2 * (fit.penalised - height(limit)) == pytest.approx(QUANTILE, abs=1e-6)


def held_posterior(columns, outcome, j):
    """Penalised log-likelihood with coefficient j held, by a search without derivatives."""
    augmented = with_ones(columns)
    others = np.delete(np.arange(augmented.shape[1]), j + 1)

    def height(value):
        def lost(free):
            beta = np.empty(augmented.shape[1])
            beta[others], beta[j + 1] = free, value
            return -log_posterior(augmented, beta, outcome)

        near = minimize(lost, np.zeros(len(others)), method="BFGS")
        options = {"xatol": 1e-9, "fatol": 1e-13, "maxiter": 20_000, "maxfev": 20_000}
        return -minimize(lost, near.x, method="Nelder-Mead", options=options).fun

    return height


@pytest.mark.parametrize("j", [0, 1])
def test_penalised_profile_equals_an_independent_search(j):
    """Limits and P of a separated thin cell and of the column beside it."""
    columns, outcome = some_patients(k=3)
    columns[:, 2] = (columns[:, 2] - 5e4) / 1000
    outcome[columns[:, 1] == 1] = 1
    fit = fit_firth(columns, outcome)
    limits = profile_interval(columns, outcome, fit)[j]
    height = held_posterior(columns, outcome, j)
    for limit in limits:
        # its slope is about 2 per standard error: 1e-7 here is 1e-7 of a limit
        assert 2 * (fit.penalised - height(limit)) == pytest.approx(QUANTILE, abs=1e-6)
    p_value = likelihood_ratio_tests(columns, outcome, fit)[j]
    expected = chi2.sf(2 * (fit.penalised - height(0.0)), 1)
    assert p_value == pytest.approx(expected, rel=1e-5)


def test_likelihood_ratio_p_is_that_of_refits_without_the_column():
    columns, outcome = some_patients()
    copies = np.random.default_rng(4).integers(0, 4, len(outcome))
    fit = fit_maximum_likelihood(columns, outcome, weights=copies)
    found = likelihood_ratio_tests(columns, outcome, fit, weights=copies)
    for j in range(columns.shape[1]):
        without = fit_maximum_likelihood(np.delete(columns, j, axis=1), outcome, weights=copies)
        statistic = without.deviance - fit.deviance
        assert found[j] == pytest.approx(chi2.sf(statistic, 1), rel=1e-8)


@pytest.mark.parametrize("fitted", [fit_maximum_likelihood, fit_firth])
def test_units_copies_and_aliased_columns_do_not_matter_to_limits(fitted):
    columns, outcome = some_patients()
    copies = np.random.default_rng(4).integers(1, 3, len(outcome))
    fit = fitted(columns, outcome, weights=copies)
    limits = profile_interval(columns, outcome, fit, weights=copies)
    p_value = likelihood_ratio_tests(columns, outcome, fit, weights=copies)
    factor = np.array([1e-3, 3.0, 1e5, 0.1, 1.0])
    other = np.column_stack([columns, columns[:, 0] + columns[:, 3]]) * factor + 7
    other, events = np.repeat(other, copies, axis=0), np.repeat(outcome, copies)
    again = fitted(other, events)
    found = profile_interval(other, events, again)
    np.testing.assert_allclose(found[:4] * factor[:4, np.newaxis], limits, rtol=1e-6)
    assert np.isnan(found[4]).all()
    tests = likelihood_ratio_tests(other, events, again)
    np.testing.assert_allclose(tests[:4], p_value, rtol=1e-6)
    assert np.isnan(tests[4])
    assert np.isnan(wald_interval(again)[4]).all()


@pytest.mark.reference
def test_limits_of_a_separated_fit_are_those_of_the_patients_that_remain():
    """All diaphragm users are cases: the limit of the likelihood is that of the others alone."""
    table = shared_table("data", "uti_sex2")
    columns, outcome = table[["age", "oc", "vic", "vicl", "vis", "dia"]].to_numpy(), table["case"]
    others = (table["dia"] == 0).to_numpy()
    rest = columns[others][:, :5]
    fit, remaining = (
        fit_maximum_likelihood(columns, outcome),
        fit_maximum_likelihood(rest, outcome[others]),
    )
    limits = profile_interval(columns, outcome, fit)
    expected = profile_interval(rest, outcome[others], remaining)
    np.testing.assert_allclose(limits[:5], expected, atol=1e-6)
    assert limits[5, 1] == np.inf
    at_limit = profile_deviance(columns, outcome.to_numpy(), 5)(limits[5, 0])
    assert at_limit - fit.deviance == pytest.approx(QUANTILE, abs=1e-6)
    p_value = likelihood_ratio_tests(columns, outcome, fit)
    without = fit_maximum_likelihood(columns[:, :5], outcome)
    assert p_value[5] == pytest.approx(chi2.sf(without.deviance - fit.deviance, 1), rel=1e-6)


@pytest.mark.parametrize("sign", [-1, 1])
def test_complete_separation_has_one_finite_limit(sign):
    """With x = -1, 1 twice each the profile at b is 4 log(1 + exp(-b)) whatever the sign."""
    x, y = sign * np.array([[-1.0], [-1], [1], [1]]), [0, 0, 1, 1]
    fit = fit_maximum_likelihood(x, y)
    limits = sign * profile_interval(x, y, fit)[0]
    finite, infinite = limits[::sign]
    assert 8 * np.log1p(np.exp(-finite)) == pytest.approx(QUANTILE, abs=1e-8)
    assert infinite == np.inf


def test_a_wider_interval_has_the_p_value_of_its_probability():
    columns, outcome = some_patients()
    fit = fit_maximum_likelihood(columns, outcome)
    p_value = likelihood_ratio_tests(columns, outcome, fit)[1]
    limits = profile_interval(columns, outcome, fit, ci_prob=1 - p_value)[1]
    assert p_value > 0.01
    assert np.abs(limits).min() == pytest.approx(0, abs=1e-8)


def test_one_class_has_no_limits_and_p_one():
    columns, outcome = np.arange(6.0).reshape(3, 2), np.ones(3)
    fit = fit_maximum_likelihood(columns, outcome)
    assert likelihood_ratio_tests(columns, outcome, fit).tolist() == [1, 1]
    assert profile_interval(columns, outcome, fit).tolist() == [[-np.inf, np.inf]] * 2


# --- Separation ----------------------------------------------------------------------------------


@pytest.mark.reference
def test_the_diaphragm_separates_the_urinary_infections():
    table = shared_table("data", "uti_sex2")
    terms = ["age", "oc", "vic", "vicl", "vis", "dia"]
    found = name_separation(table[terms], table["case"], terms)
    assert found == Separation("quasi-complete", ("dia",))
    assert name_separation(table[terms[:5]], table["case"], terms[:5]) == Separation("none", ())


def test_every_thin_cell_that_separates_is_named():
    columns, outcome = some_patients()
    second = np.zeros((len(outcome), 1))
    second[:9] = 1
    outcome[columns[:, 1] == 1], outcome[:9] = 1, 0
    columns[:9, 1] = 0
    wide = np.column_stack([columns, second])
    found = name_separation(wide, outcome, list("abcde"))
    assert found == Separation("quasi-complete", ("b", "e"))


def test_complete_separation_names_the_columns_that_suffice():
    rng = np.random.default_rng(1)
    columns = rng.normal(size=(60, 5))
    outcome = columns[:, 1] - 0.5 * columns[:, 4] > 0.2
    found = name_separation(columns * 1e4, outcome, list("abcde"))
    assert found.kind == "complete"
    assert {"b", "e"} <= set(found.terms)
    alone = name_separation(columns, columns[:, 3] > 0, list("abcde"))
    assert alone.kind == "complete"
    assert "d" in alone.terms


def test_one_class_is_told_without_any_column():
    assert name_separation([[1], [2]], [1, 1], ["a"]) == Separation("complete", ())


@given(small_studies())
@settings(max_examples=400)
def test_verdict_of_the_fit_is_that_of_the_linear_programme(study):
    columns, outcome = study
    fit = fit_maximum_likelihood(columns, outcome)
    kind = name_separation(columns, outcome, [str(j) for j in range(columns.shape[1])]).kind
    if fit.status != "one_class":
        assert fit.status == ("converged" if kind == "none" else "separated")


def disagreements(resamples, seed):
    """Bootstrap resamples of indo_rct where fit and linear programme differ; how many separate."""
    design = reference_design("indo_rct").drop(columns="row")
    outcome = design.pop("y").to_numpy(float)
    columns, terms = design.to_numpy(float), list(design)
    rng, differ, separated = np.random.default_rng(seed), 0, 0
    for _ in range(resamples):
        drawn = rng.integers(0, len(outcome), len(outcome))
        distinct, copies = np.unique(drawn, return_counts=True)
        fit = fit_maximum_likelihood(columns[distinct], outcome[distinct], weights=copies)
        named = name_separation(columns[distinct], outcome[distinct], terms)
        differ += fit.status != ("converged" if named.kind == "none" else "separated")
        separated += named.kind != "none"
    return differ, separated


def test_verdict_in_some_bootstrap_resamples_of_the_trial():
    differ, separated = disagreements(150, seed=1)
    assert differ == 0
    assert separated > 0


@pytest.mark.slow
def test_verdict_in_2000_bootstrap_resamples_of_the_trial():
    differ, separated = disagreements(2000, seed=2)
    assert differ == 0
    assert separated > 100


@given(small_studies())
@settings(max_examples=100)
def test_tests_and_limits_agree_with_each_other(study):
    """A column is kept at 5 % where its 95 % limits leave out 0, and only there."""
    columns, outcome = study
    fit = fit_maximum_likelihood(columns, outcome)
    p_value = likelihood_ratio_tests(columns, outcome, fit)
    lower, upper = profile_interval(columns, outcome, fit).T
    used = ~fit.aliased & (np.abs(p_value - 0.05) > 1e-6)
    outside = (lower[used] > 0) | (upper[used] < 0)
    np.testing.assert_array_equal(outside, p_value[used] < 0.05)


# --- Hauck and Donner ----------------------------------------------------------------------------


def test_wald_drops_strong_predictors_that_the_likelihood_ratio_keeps():
    """Five patients with the thin marker have the event from a far lower dose on.

    One swapped pair of doses is all that is in the way of separation: log odds ratios are near 30,
    and Wald's standard errors larger still.
    """
    dose = np.append(np.linspace(-2, 2, 40), np.linspace(-2, 2, 5))
    thin = np.repeat([0.0, 1.0], [40, 5])
    outcome = np.append(dose[:40] > 1, dose[40:] > -1.5).astype(float)
    outcome[[29, 30]] = outcome[[30, 29]]
    noise = np.arange(45) // 4 % 2  # alike in the swapped pair
    columns = np.column_stack([thin, dose, noise])
    fit = fit_maximum_likelihood(columns, outcome)
    ratio = likelihood_ratio_tests(columns, outcome, fit)
    assert fit.status == "converged"
    assert fit.p_value.min() > 0.05
    assert ratio[:2].max() < 1e-5
    assert hauck_donner(fit.p_value, ratio, 0.05).tolist() == [True, True, False]


def test_aliased_columns_are_not_flagged():
    assert not hauck_donner([np.nan], [np.nan], 0.05).any()


# --- What has no answer --------------------------------------------------------------------------


def test_wald_limits_of_a_separated_fit_are_refused():
    fit = fit_maximum_likelihood([[0], [0], [1], [1]], [0, 0, 1, 1])
    with pytest.raises(DataError, match='status "separated"; fit_guarded avoids it'):
        wald_interval(fit)


def test_flac_has_no_profile_and_columns_must_be_those_of_the_fit():
    columns, outcome = some_patients()
    flac, fit = fit_flac(columns, outcome), fit_maximum_likelihood(columns, outcome)
    with pytest.raises(DataError, match="take the Firth fit"):
        likelihood_ratio_tests(columns, outcome, flac)
    with pytest.raises(DataError, match="3 columns, the fit has 4"):
        profile_interval(columns[:, :3], outcome, fit)
    with pytest.raises(DataError, match="1 terms are named, there are 4 columns"):
        name_separation(columns, outcome, ["a"])


def test_probabilities_and_levels_lie_between_0_and_1():
    columns, outcome = some_patients()
    fit = fit_maximum_likelihood(columns, outcome)
    with pytest.raises(OptionError, match="between 0 and 1"):
        profile_interval(columns, outcome, fit, ci_prob=95)
    with pytest.raises(OptionError, match="level of a P rule"):
        hauck_donner([0.1], [0.01], 5)
