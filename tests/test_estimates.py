from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_cmvt as bc
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.design import design_matrix, encode, learn_design
from bayes_cmvt.estimates import effective_degrees_of_freedom
from bayes_cmvt.posterior import expit, prior_of, shrinkage_draws, thinned

# fmt: off
CONTRACT = [
    "term", "label", "mean", "sd", "median", "lower", "upper", "std_mean", "std_sd", "std_lower",
    "std_upper", "odds_ratio", "odds_ratio_lower", "odds_ratio_upper", "prob_positive",
    "shrinkage", "rhat", "ess_bulk", "ess_tail", "mcse_mean",
]
# fmt: on


def test_coefficients_hold_the_columns_of_the_contract(pep_fit: xr.DataTree) -> None:
    table = bc.coefficients(pep_fit)
    assert [name for name in table.columns if name in CONTRACT] == CONTRACT
    assert list(table["term"])[:3] == ["(Intercept)", "age", "gender"]
    assert table["shrinkage"].isna().tolist() == [True] + [False] * 19


def test_coefficients_per_unit_are_those_per_sd_divided_by_the_sd(
    pep_fit: xr.DataTree, pep_cohort: Cohort
) -> None:
    table = bc.coefficients(pep_fit).iloc[1:]
    sd = encode(pep_cohort.study, pep_cohort.predictors).std(axis=0, ddof=1)
    for name in ("mean", "sd", "lower", "upper"):
        np.testing.assert_allclose(table[name] * sd, table[f"std_{name}"], rtol=1e-10)


def test_intercept_gives_the_log_odds_at_zero(pep_fit: xr.DataTree) -> None:
    """Risks from the original scale are the risks from the standardised scale."""
    posterior = pep_fit["posterior"]
    table = bc.coefficients(pep_fit)
    at_zero = pd.DataFrame(
        {one.name: [18 if one.name == "age" else 0] for one in bc.load_study("pep").predictors}
    )
    at_zero["gender"] = 1  # the first level, coded 0
    risk = bc.predict(pep_fit, at_zero)
    age = posterior["beta"].sel(coefficient="age").to_numpy()
    design = pep_fit["constant_data"]
    age_per_year = age / float(design["sd"].sel(coefficient="age"))
    intercept = posterior["intercept"].to_numpy() - (
        posterior["beta"].to_numpy() @ (design["mean"] / design["sd"]).to_numpy()
    )
    assert table["mean"].iloc[0] == pytest.approx(intercept.mean(), abs=1e-12)
    expected = expit(intercept + 18 * age_per_year).mean()
    assert risk["risk"].iloc[0] == pytest.approx(expected, abs=1e-12)


def test_odds_ratio_is_on_its_contrast(pep_fit: xr.DataTree) -> None:
    table = bc.coefficients(pep_fit).set_index("term")
    assert table.loc["age", "per"] == 10
    assert table.loc["age", "odds_ratio"] == pytest.approx(np.exp(10 * table.loc["age", "median"]))
    assert table.loc["rx", "odds_ratio_lower"] == pytest.approx(np.exp(table.loc["rx", "lower"]))


def test_prob_positive_counts_draws(pep_fit: xr.DataTree) -> None:
    rx = pep_fit["posterior"]["beta"].sel(coefficient="rx")
    table = bc.coefficients(pep_fit).set_index("term")
    assert table.loc["rx", "prob_positive"] == float((rx > 0).mean())


def test_shrinkage_is_kappa_of_the_method(pep_fit: xr.DataTree) -> None:
    posterior = pep_fit["posterior"]
    tau, local = posterior["tau"].to_numpy()[..., None], posterior["lambda"].to_numpy()
    c2 = posterior["slab"].to_numpy()[..., None] ** 2
    events, n = 79, 602
    sigma2 = 1 / (events / n * (1 - events / n))
    regularised = c2 * local**2 / (c2 + tau**2 * local**2)
    kappa = 1 / (1 + n / sigma2 * tau**2 * regularised)
    np.testing.assert_allclose(shrinkage_draws(pep_fit), kappa, rtol=1e-10)
    np.testing.assert_allclose(posterior["m_eff"].to_numpy(), (1 - kappa).sum(axis=-1), rtol=1e-10)


def test_interval_level_is_the_one_asked_for(pep_fit: xr.DataTree) -> None:
    half, wide = bc.coefficients(pep_fit, ci_prob=0.5), bc.coefficients(pep_fit, ci_prob=0.95)
    draws = pep_fit["posterior"]["beta"].sel(coefficient="rx").to_numpy().ravel()
    row = half.set_index("term").loc["rx"]
    assert row["std_lower"] == pytest.approx(np.quantile(draws, 0.25))
    assert row["std_upper"] == pytest.approx(np.quantile(draws, 0.75))
    assert (wide["upper"] - wide["lower"] > half["upper"] - half["lower"]).all()
    with pytest.raises(bc.OptionError, match=r"between 0 and 1, for instance 0\.95"):
        bc.coefficients(pep_fit, ci_prob=95)


def test_prior_odds_ratios_follow_the_prior_per_sd(pep_fit: xr.DataTree) -> None:
    """A level that few patients have carries a wider prior on its level change."""
    table = bc.prior_odds_ratios(pep_fit).set_index("term")
    assert table.loc["age", "contrast"] == 10
    sd = pep_fit["constant_data"]["sd"].to_series()
    draws = pep_fit["prior"]["beta"].to_numpy()
    # the prior is symmetric and the same for every column: all columns' |draws| estimate one
    # quantile; its error comes from 20,000 draws of τ and c, about 1 % on the log scale
    reach = np.quantile(np.abs(draws), 0.95)
    for term in ("amp", "rx"):
        log_upper = np.log(table.loc[term, "prior_upper"])
        assert log_upper == pytest.approx(reach / sd[term], rel=0.04)
        assert log_upper == pytest.approx(-np.log(table.loc[term, "prior_lower"]), rel=1e-12)
        assert table.loc[term, "prior_median"] == 1.0
    rx = pep_fit["posterior"]["beta"].sel(coefficient="rx").to_numpy() / sd["rx"]
    assert table.loc["rx", "posterior_upper"] == pytest.approx(np.exp(np.quantile(rx, 0.975)))


def test_degrees_of_freedom_allow_for_correlation(pep_fit: xr.DataTree, pep_cohort: Cohort) -> None:
    """tr[(G + P)^-1 G], with the intercept projected out as a Schur complement, draw by draw."""
    degrees = effective_degrees_of_freedom(pep_fit, pep_cohort)
    posterior = pep_fit["posterior"]
    matrix = design_matrix(learn_design(pep_cohort), pep_cohort.predictors)
    whole = np.column_stack([np.ones(len(matrix)), matrix])
    kept = thinned(4000, 400)
    for position in (0, 200, 399):
        chain, draw = divmod(int(kept[position]), 1000)
        one = posterior.to_dataset().isel(chain=chain, draw=draw)
        risk = expit(float(one["intercept"]) + matrix @ one["beta"].to_numpy())
        information = whole.T @ (whole * (risk * (1 - risk))[:, None])
        schur = (
            information[1:, 1:]
            - np.outer(information[1:, 0], information[0, 1:]) / information[0, 0]
        )
        tau_lambda = float(one["tau"]) * one["lambda"].to_numpy()
        precision = np.diag(1 / tau_lambda**2 + 1 / float(one["slab"]) ** 2)
        expected = np.trace(np.linalg.solve(schur + precision, schur))
        assert degrees[position] == pytest.approx(expected, rel=1e-8)
    assert (degrees < 19).all()


def test_intercept_is_judged_at_zero_throughout(pep_fit: xr.DataTree) -> None:
    """prob_positive of the intercept belongs to the same zero point as its mean."""
    posterior, constants = pep_fit["posterior"], pep_fit["constant_data"]
    shift = posterior["beta"].to_numpy() @ (constants["mean"] / constants["sd"]).to_numpy()
    at_zero = posterior["intercept"].to_numpy() - shift
    row = bc.coefficients(pep_fit).iloc[0]
    assert row["prob_positive"] == (at_zero > 0).mean()
    assert row["median"] == pytest.approx(np.median(at_zero), abs=1e-12)


def test_global_scale_of_the_fit_is_the_formula(pep_fit: xr.DataTree) -> None:
    share = 79 / 602
    expected = 9.5 / (19 - 9.5) / np.sqrt(share * (1 - share)) / np.sqrt(602)
    assert float(pep_fit["constant_data"]["global_scale"]) == pytest.approx(expected)
    assert prior_of(pep_fit).global_scale == pytest.approx(expected)


def test_labels_name_the_levels_compared() -> None:
    from bayes_cmvt.estimates import term_labels

    labels = dict(zip(bc.load_study("ldh").terms, term_labels(bc.load_study("ldh")), strict=True))
    assert labels["type[free]"].endswith(": free vs bulging")
