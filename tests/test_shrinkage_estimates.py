"""Shrinkage and effective numbers: the formulas of the method, before the data and given them."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import integrate

import bayes_cmvt as bc
from bayes_cmvt.cohort import load_cohort
from bayes_cmvt.design import design_matrix
from bayes_cmvt.errors import OptionError
from bayes_cmvt.estimates import DEGREES_DRAWS, effective_degrees_of_freedom
from bayes_cmvt.posterior import coefficient_variance, design_of, expit, thinned
from bayes_cmvt.shrinkage_estimates import (
    before_data,
    effective_number_density,
    effective_numbers,
    shrinkage_table,
)
from tests.builders import numeric_cohort, patients, predictor, study
from tests.estimate_fit import drawn_posterior, maximum_likelihood

SHORT = {"seed": 1, "chains": 2, "warmup": 100, "draws": 200}


def cohort_of(rest="", n=60, width=3):
    matrix = np.random.default_rng(4).normal(size=(n, width))
    return numeric_cohort(matrix, rest=rest)


@pytest.fixture(scope="module")
def tame():
    """A prior whose draws leave every outcome uncertain, so that plain algebra is stable."""
    cohort = cohort_of("[prior]\nslab_scale = 0.5\nintercept_scale = 0.3\n")
    return cohort, bc.sample(cohort, **SHORT)


def test_shrinkage_is_kappa_of_the_method_with_its_quantiles(pep_fit):
    table = shrinkage_table(pep_fit, 0.9)
    posterior = pep_fit["posterior"]
    tau, local = posterior["tau"].to_numpy()[..., None], posterior["lambda"].to_numpy()
    c2 = posterior["slab"].to_numpy()[..., None] ** 2
    information = 602 * (79 / 602) * (1 - 79 / 602)
    kappa = 1 / (1 + information * tau**2 * c2 * local**2 / (c2 + tau**2 * local**2))
    flat = kappa.reshape(-1, 19)
    np.testing.assert_allclose(table["shrinkage"], flat.mean(axis=0), rtol=1e-10)
    expected = np.quantile(flat, [0.05, 0.5, 0.95], axis=0).T
    np.testing.assert_allclose(table[["lower", "median", "upper"]], expected, rtol=1e-10)
    np.testing.assert_allclose(table["shrinkage"], bc.coefficients(pep_fit)["shrinkage"][1:])
    assert (table["interval"] == 0.9).all()


def test_prior_shrinkage_follows_the_product_of_two_half_cauchys(pep_fit):
    """At p0 = D/2 τ0 is σ̃/√n, so that κ = 1/(1 + t²λ²), t and λ half-Cauchy, where the slab is far.

    Its median is 1/2; P(κ > k) = P(tλ < √(1/k - 1)), an integral over t.
    """
    row = shrinkage_table(pep_fit).iloc[0]
    # 20,000 draws of τ: its share below 1/2 has a standard error of 0.002, the density there is 0.4
    assert row["prior_median"] == pytest.approx(0.5, abs=0.02)
    reach = np.sqrt(1 / row["prior_upper"] - 1)

    def density(t):
        return 2 / np.pi / (1 + t * t) * 2 / np.pi * np.arctan(reach / t)

    beyond = integrate.quad(density, 0, 1)[0] + integrate.quad(density, 1, np.inf)[0]
    # a share of 0.025 in as many draws has a standard error of at most 0.001
    assert beyond == pytest.approx(0.025, abs=0.004)


def test_what_is_not_shrunk_has_empty_cells():
    declared = (
        predictor("x") + predictor("kept", shrink="false") + predictor("known", prior="[0, 1]")
    )
    rng = np.random.default_rng(2)
    frame = patients(40, kept=rng.normal(size=40), known=rng.normal(size=40))
    cohort = load_cohort(study(declared), frame)
    table = shrinkage_table(bc.sample(cohort, **SHORT)).set_index("term")
    figures = table.drop(columns=["label", "interval"])
    assert figures.loc["x"].notna().all()
    assert figures.loc[["kept", "known"]].isna().all(axis=None)


def test_a_study_that_shrinks_nothing_has_no_effective_number():
    cohort = load_cohort(study(predictor("x", shrink="false")), patients(40))
    fit = bc.sample(cohort, **SHORT)
    assert shrinkage_table(fit)["shrinkage"].isna().all()
    assert set(effective_numbers(fit, cohort)["quantity"]) == {"df_eff"}
    assert effective_number_density(fit).empty


def test_a_normal_prior_shrinks_by_a_constant_and_has_no_distribution_of_its_number():
    cohort = cohort_of('[prior]\nfamily = "normal"\nscale = 0.5\n')
    fit = bc.sample(cohort, **SHORT)
    table = shrinkage_table(fit)
    kappa = 1 / (1 + 60 * 0.25 * 0.5**2)  # half the patients had the event
    figures = table.drop(columns=["term", "label", "interval"])
    np.testing.assert_allclose(figures, kappa, rtol=1e-12)
    assert effective_number_density(fit).empty
    assert set(effective_numbers(fit, cohort)["quantity"]) == {"df_eff"}


def test_effective_numbers_are_those_of_the_draws(pep_fit, pep_cohort):
    table = effective_numbers(pep_fit, pep_cohort, 0.8).set_index(["distribution", "quantity"])
    drawn = {
        ("prior", "m_eff"): pep_fit["prior"]["m_eff"].to_numpy(),
        ("posterior", "m_eff"): pep_fit["posterior"]["m_eff"].to_numpy(),
        ("posterior", "df_eff"): effective_degrees_of_freedom(pep_fit, pep_cohort),
    }
    for key, draws in drawn.items():
        expected = [draws.mean(), *np.quantile(draws, [0.5, 0.1, 0.9])]
        found = table.loc[key, ["mean", "median", "lower", "upper"]].to_numpy(dtype=float)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    # at p0 = D/2 the prior of each 1 - κ is symmetric about 1/2, as far as the slab is far
    assert table.loc[("prior", "m_eff"), "mean"] == pytest.approx(19 / 2, abs=0.2)


def test_degrees_of_freedom_before_the_data_are_the_trace_of_the_smoother(tame):
    """Second algorithm: the trace of the smoother with an unpenalised intercept, less 1 for it."""
    cohort, fit = tame
    design = design_of(fit)
    rows = np.column_stack([np.ones(60), design_matrix(design, cohort.predictors)])
    prior = fit["prior"]
    kept = thinned(prior.sizes["draw"], DEGREES_DRAWS)
    variance = coefficient_variance(before_data(fit))[0, kept]
    coefficients = np.column_stack([prior["intercept"][0, kept], prior["beta"][0, kept]])
    degrees = []
    for one, spread in zip(coefficients, variance, strict=True):
        risk = expit(rows @ one)
        information = rows.T @ (rows * (risk * (1 - risk))[:, None])
        penalty = np.diag([0.0, *(1 / np.maximum(spread, 1e-30))])
        degrees.append(np.trace(np.linalg.solve(information + penalty, information)) - 1)
    table = effective_numbers(fit, cohort).set_index(["distribution", "quantity"])
    row = table.loc[("prior", "df_eff")]
    assert row["mean"] == pytest.approx(np.mean(degrees), rel=1e-6)
    assert row["median"] == pytest.approx(np.median(degrees), rel=1e-6)


def test_prior_draws_that_leave_no_outcome_uncertain_have_no_degrees_of_freedom(tame):
    cohort, fit = tame
    drawn = fit["prior"].to_dataset().copy()
    drawn["intercept"] = xr.full_like(drawn["intercept"], 1e5)
    changed = fit.copy()
    changed["prior"] = xr.DataTree(drawn)
    table = effective_numbers(changed, cohort).set_index(["distribution", "quantity"])
    assert table.loc[("prior", "df_eff"), "upper"] == pytest.approx(0, abs=1e-6)


def test_density_is_that_of_the_draws_and_sums_to_one(pep_fit):
    table = effective_number_density(pep_fit)
    for distribution, part in table.groupby("distribution"):
        grid, density = part["effective_number"].to_numpy(), part["density"].to_numpy()
        step = grid[1] - grid[0]
        assert grid[0] - step / 2 == pytest.approx(0, abs=1e-9)
        assert grid[-1] + step / 2 == pytest.approx(19, abs=1e-9)
        assert density.sum() * step == pytest.approx(1, abs=1e-6)
        draws = pep_fit[distribution]["m_eff"].to_numpy().ravel()
        below = (draws[:, None] <= grid + step / 2).mean(axis=0)
        # a kernel moves a distribution function by about its bandwidth (0.4) times its curvature
        assert np.abs(np.cumsum(density) * step - below).max() < 0.02


def test_fits_without_a_prior_and_other_cohorts_are_refused(pep_fit, pep_cohort):
    workflow = maximum_likelihood(cohort_of())
    with pytest.raises(OptionError, match="no posterior draws"):
        shrinkage_table(workflow)
    with pytest.raises(OptionError, match="no prior of its own"):
        effective_number_density(drawn_posterior(cohort_of()))
    with pytest.raises(OptionError, match="did not learn from the development patients"):
        effective_numbers(pep_fit, cohort_of())
    with pytest.raises(OptionError, match="between 0 and 1"):
        shrinkage_table(pep_fit, 95)
