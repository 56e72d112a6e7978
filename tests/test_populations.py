"""Populations whose truth is known: their patients, their risks, the samples drawn from them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose

import bayes_cmvt as bc
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.design import encode, learn_design
from bayes_cmvt.errors import DataError, OptionError
from bayes_cmvt.posterior import design_of
from bayes_cmvt.simulation.copula import copula_of, score_reliability
from bayes_cmvt.simulation.populations import (
    PATIENTS,
    SCENARIOS,
    Population,
    check_scenarios,
    file_population,
    judging_risk,
    learnt,
    scenario_population,
    too_small,
)
from bayes_cmvt.study import load_study, parse_study
from tests.baseline_study import STUDY, cohort_of, patients

MADE = tuple(name for name in SCENARIOS if name != "posterior")
HEADING = 'schema = 1\nname = "made"\ntitle = "Made"\n[outcome]\ncolumn = "y"\nevent = 1\n'


@pytest.fixture(scope="module")
def cmvt() -> Cohort:
    return bc.load_cohort(load_study("cmvt"))


@pytest.fixture(scope="module")
def made(cmvt: Cohort) -> dict[str, Population]:
    return {name: scenario_population(name, cmvt, seed=3) for name in MADE}


def mixed_cohort(correlation: float, n: int) -> Cohort:
    """A normal, a skewed, a yes-no and a three-level predictor with one latent correlation."""
    rng = np.random.default_rng(5)
    common = rng.standard_normal((n, 1))
    latent = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * rng.standard_normal((n, 4))
    table = pd.DataFrame(
        {
            "a": latent[:, 0],
            "b": np.exp(latent[:, 1]),
            "c": (latent[:, 2] > 1).astype(int),
            "d": np.array(["low", "mid", "high"])[np.digitize(latent[:, 3], [-0.5, 0.8])],
            "y": rng.integers(0, 2, n),
        }
    )
    predictors = [
        '[[predictors]]\nname = "a"\nkind = "continuous"\n',
        '[[predictors]]\nname = "b"\nkind = "continuous"\n',
        '[[predictors]]\nname = "c"\nkind = "binary"\n',
        '[[predictors]]\nname = "d"\nkind = "ordinal"\nlevels = ["low", "mid", "high"]\n',
    ]
    return bc.load_cohort(parse_study(HEADING + "".join(predictors)), table)


def test_copula_finds_the_latent_correlation_behind_ties() -> None:
    """Its error is some 1/sqrt(n), larger for the rarer level; to first order for two ties."""
    found = copula_of(mixed_cohort(0.4, 20_000)).correlation
    assert_allclose(found[~np.eye(4, dtype=bool)], 0.4, atol=0.03)


def test_reliability_of_normal_scores_has_a_closed_form_for_two_values() -> None:
    assert score_reliability(np.array([0.0, 1.0])) == pytest.approx(np.sqrt(2 / np.pi))
    assert score_reliability(np.arange(2000.0)) == pytest.approx(1, abs=1e-3)


def test_fresh_patients_have_the_marginals_and_correlations_of_the_cohort() -> None:
    cohort = mixed_cohort(0.4, 4000)
    fresh = copula_of(cohort).drawn(40_000, np.random.default_rng(1))
    for name in ("a", "b"):
        quantiles = [0.05, 0.25, 0.5, 0.75, 0.95]
        old, new = (np.quantile(one[name], quantiles) for one in (cohort.predictors, fresh))
        # standard error of a quantile of 4,000 at 5 %: .035 SD
        assert_allclose(np.log(new + 9), np.log(old + 9), atol=0.02)
    for name in ("c", "d"):
        old, new = (one[name].value_counts(normalize=True) for one in (cohort.predictors, fresh))
        assert_allclose(new[old.index], old, atol=4 * np.sqrt(0.25 / 40_000))
    assert set(fresh["b"]) <= set(cohort.predictors["b"])
    spearman = [one[["a", "b"]].corr("spearman").iloc[0, 1] for one in (cohort.predictors, fresh)]
    assert spearman[1] == pytest.approx(spearman[0], abs=0.04)


def test_effects_are_the_printed_ones_and_risks_have_the_assumed_mean(
    made: dict[str, Population], cmvt: Cohort
) -> None:
    published = cmvt.study.published
    assert published is not None
    terms = cmvt.study.terms
    beta = made["study"].truth().beta
    printed = {one.term: np.log(float(one.odds_ratio)) for one in published.coefficients}
    for term, value in zip(terms, beta, strict=True):
        assert value == pytest.approx(printed.get(term, 0.0))
    assert_allclose(made["halved"].truth().beta, beta / 2)
    for name in ("study", "halved", "dense", "correlated", "nonlinear", "null"):
        assert made[name].truth().risk.mean() == pytest.approx(82 / 224, abs=1e-6)
    assert made["rare"].truth().risk.mean() == pytest.approx(0.07, abs=1e-6)


def test_truths_are_what_the_scenarios_say(made: dict[str, Population], cmvt: Cohort) -> None:
    dense = np.abs(made["dense"].truth().beta * made["dense"].sd)
    assert_allclose(np.sort(dense), np.linspace(0.06, 0.54, 26))
    assert not made["null"].truth().beta.any()
    assert np.ptp(made["null"].truth().risk) < 1e-12
    for name in ("study", "rare", "correlated"):
        truth = made[name].truth()
        risk = 1 / (1 + np.exp(-(truth.intercept + made[name].columns @ truth.beta)))
        assert_allclose(truth.risk, risk, rtol=1e-12)
    between = {
        name: np.abs(np.corrcoef(made[name].columns, rowvar=False)).mean()
        for name in ("study", "correlated")
    }
    assert between["correlated"] > 1.5 * between["study"]
    assert all(len(one.columns) == PATIENTS for one in made.values())
    assert cmvt.study.terms == made["study"].study.terms


def test_bent_truth_has_the_nearest_logistic_model_for_coefficients(
    made: dict[str, Population],
) -> None:
    bent = made["nonlinear"]
    truth = bent.truth()
    again = sm.GLM(truth.risk, sm.add_constant(bent.columns), family=sm.families.Binomial()).fit()
    assert_allclose(truth.beta, again.params[1:], rtol=1e-4, atol=1e-6)
    assert (truth.acting == made["study"].truth().acting).all()  # nlr_post and ddimer_pre bend
    assert truth.acting.sum() == 6
    assert np.abs(again.fittedvalues - truth.risk).max() > 0.05


def test_posterior_gives_each_data_set_a_truth_of_its_own(cmvt: Cohort) -> None:
    fit = bc.sample(cmvt, chains=1, warmup=50, draws=20)
    population = scenario_population("posterior", cmvt, seed=3, fit=fit)
    design, draw = design_of(fit), 7
    beta = fit["posterior"]["beta"].to_numpy()[0, draw] / design.sd
    truth = population.truth(draw)
    assert_allclose(truth.beta, beta)
    matrix = (population.columns[:5] - design.mean) / design.sd
    log_odds = float(fit["posterior"]["intercept"][0, draw]) + matrix @ (beta * design.sd)
    assert_allclose(truth.risk[:5], 1 / (1 + np.exp(-log_odds)))
    rng = np.random.default_rng(1)
    assert len({population.sampled(30, rng).truth.intercept for _ in range(30)}) > 5
    with pytest.raises(OptionError, match="needs the posterior"):
        scenario_population("posterior", cmvt, seed=3)


def test_population_is_the_same_for_the_same_seed(cmvt: Cohort) -> None:
    one, again, other = (
        scenario_population("dense", cmvt, seed=seed).coefficients for seed in (4, 4, 5)
    )
    assert (one == again).all()
    assert (one != other).any()


def test_without_a_print_effects_are_those_that_the_workflow_finds() -> None:
    cohort = cohort_of(patients())
    population = scenario_population("study", cohort, seed=1)
    baseline = bc.fit_baseline(cohort, resamples=0)
    kept = baseline["estimate"]["selected_final"].to_numpy()[0, 0]
    assert kept.any()
    assert ((population.truth().beta != 0) == kept).all()
    share = cohort.events_development / cohort.n_development
    assert population.truth().risk.mean() == pytest.approx(share, abs=1e-6)


def test_a_file_is_a_population_with_its_own_fit_as_the_truth() -> None:
    cohort = cohort_of(patients())
    population = file_population(cohort)
    columns = encode(cohort.study, cohort.predictors)
    again = sm.GLM(cohort.outcome, sm.add_constant(columns), family=sm.families.Binomial()).fit()
    assert_allclose(population.truth().beta, again.params[1:], rtol=1e-5, atol=1e-7)
    assert_allclose(population.truth().risk, again.fittedvalues, atol=1e-6)
    sample = population.sampled(50, np.random.default_rng(1))
    rows = [tuple(row) for row in sample.columns]
    assert len(set(rows)) == 50  # without replacement, and with what happened to each
    outcomes = {tuple(row): y for row, y in zip(columns, cohort.outcome, strict=True)}
    assert [outcomes[row] for row in rows] == sample.outcome.tolist()


def test_samples_of_a_file_are_a_tenth_of_it_at_most() -> None:
    population = file_population(cohort_of(patients()))
    assert too_small(population, 20) is None
    assert "n may be 20 at most" in str(too_small(population, 21))


def test_rules_of_a_file_are_judged_by_what_happened() -> None:
    population = file_population(cohort_of(patients()))
    truth = population.truth()
    assert (judging_risk(population, truth) == population.outcome).all()
    drawn = Population("study", population.study, population.columns, population.coefficients)
    assert (judging_risk(drawn, drawn.truth()) == truth.risk).all()


def test_a_population_without_a_fit_is_refused() -> None:
    table = patients().assign(twice=lambda one: one["age"] * 2)
    declared = STUDY.replace(
        "[split]", '[[predictors]]\nname = "twice"\nkind = "continuous"\n[split]'
    )
    cohort = bc.load_cohort(parse_study(declared), table)
    with pytest.raises(DataError, match="no unique maximum-likelihood fit"):
        file_population(cohort)


def test_sample_is_standardised_as_a_run_would_and_keeps_constant_columns_as_zeros(
    made: dict[str, Population],
) -> None:
    sample = made["study"].sampled(120, np.random.default_rng(2))
    sample.columns[:, 3] = 1.0
    seen = learnt(sample, made["study"].study)
    assert seen.constant.tolist() == [j == 3 for j in range(26)]
    assert not seen.matrix[:, 3].any()
    varying = ~seen.constant
    assert_allclose(seen.matrix[:, varying].mean(axis=0), 0, atol=1e-12)
    assert_allclose(seen.matrix[:, varying].std(axis=0, ddof=1), 1)
    assert seen.prior.n == 120
    assert_allclose(seen.standardised(sample.columns)[:, varying], seen.matrix[:, varying])


def test_design_constants_are_those_of_learn_design(cmvt: Cohort) -> None:
    columns = encode(cmvt.study, cmvt.predictors[cmvt.development])
    design = learn_design(cmvt)
    population = Population("study", cmvt.study, columns, np.zeros((1, 27)))
    sample = population.sampled(224, np.random.default_rng(0))
    sample.columns[:] = columns
    assert_allclose(learnt(sample, cmvt.study).design.sd, design.sd)


def test_unknown_and_repeated_scenarios_are_refused_together() -> None:
    with pytest.raises(OptionError) as refused:
        check_scenarios(["study", "densed", "study"])
    assert 'did you mean "dense"' in str(refused.value)
    assert "named 2 times" in str(refused.value)
