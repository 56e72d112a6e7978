"""What methods state of a data set, against other implementations of the same statements."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose

import bayes_cmvt as bc
from bayes_cmvt.intervals import equal_tailed
from bayes_cmvt.pipeline import run_pipeline
from bayes_cmvt.posterior import Draws
from bayes_cmvt.simulation import interval_methods as methods
from bayes_cmvt.simulation.interval_methods import Asked
from bayes_cmvt.simulation.populations import Population, learnt, scenario_population
from bayes_cmvt.study import load_study

SEED = np.random.SeedSequence(9)
N = 600  # so many that nothing separates


@pytest.fixture(scope="module")
def population() -> Population:
    return scenario_population("halved", bc.load_cohort(load_study("cmvt")), seed=3)


@pytest.fixture(scope="module")
def asked(population: Population) -> Asked:
    sample = population.sampled(N, np.random.default_rng(1))
    seen = learnt(sample, population.study)
    everybody = seen.standardised(population.columns)[:300]
    return Asked(seen, everybody[:40], everybody, threshold=0.3, ci_prob=0.95)


@pytest.fixture(scope="module")
def once(asked: Asked, population: Population):
    return run_pipeline(asked.learnt.patients, population.study.baseline, SEED)


def expit(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_wald_limits_are_those_of_statsmodels(asked: Asked, once) -> None:
    stated = methods.wald(asked, once)
    members = once.final.members
    rows = sm.add_constant(asked.learnt.matrix[:, members])
    again = sm.GLM(asked.learnt.outcome, rows, family=sm.families.Binomial()).fit(tol=1e-12)
    limits = again.conf_int()[1:]
    assert_allclose(stated.beta[members][:, [0, 2]], limits, atol=1e-5)
    assert_allclose(stated.beta[members][:, 1], again.params[1:], atol=1e-6)
    assert not stated.beta[~members].any()
    fresh = sm.add_constant(asked.fresh[:, members], has_constant="add")
    frame = again.get_prediction(fresh, transform=True).summary_frame(alpha=0.05)
    assert stated.risk is not None
    # statsmodels takes the limits of the log-odds too
    assert_allclose(stated.risk[:, 0], frame["mean_ci_lower"], atol=1e-5)
    assert_allclose(stated.risk[:, 2], frame["mean_ci_upper"], atol=1e-5)
    assert stated.performance is not None
    assert_allclose(
        stated.performance[1, 1], 1, atol=1e-6
    )  # the slope of a fit on its own patients
    chosen = methods.wald_selected(asked, once).beta
    assert np.isnan(chosen[~members]).all()
    assert_allclose(chosen[members], stated.beta[members])


def test_true_performance_is_that_of_outcomes_with_these_risks() -> None:
    """Sums over pairs of patients, and a weighted regression; both written out."""
    rng = np.random.default_rng(1)
    rule, risk = rng.uniform(0.05, 0.9, 40), rng.uniform(0.05, 0.9, 40)
    weights = rng.exponential(size=40)
    found = methods.true_performance(rule, risk, 0.3, weights=weights)
    event, other = weights * risk, weights * (1 - risk)
    order = (rule[:, None] > rule) + 0.5 * (rule[:, None] == rule)
    area = event @ order @ other / (event.sum() * other.sum())
    x = np.log(rule / (1 - rule))
    twice = sm.add_constant(np.concatenate([x, x]))
    fit = sm.GLM(
        np.repeat([1.0, 0.0], 40),
        twice,
        family=sm.families.Binomial(),
        freq_weights=np.concatenate([event, other]),
    ).fit(tol=1e-12)
    benefit = ((rule >= 0.3) * (event - other * 0.3 / 0.7)).sum() / weights.sum()
    assert_allclose(found, [area, fit.params[1], benefit], rtol=1e-6)
    several = methods.true_performance(rule, np.stack([risk, risk[::-1]]), 0.3)
    alone = methods.true_performance(rule, risk[::-1], 0.3)
    assert_allclose(several[1], alone, rtol=1e-9)


def test_a_constant_rule_has_no_slope() -> None:
    found = methods.true_performance(np.full(5, 0.4), np.linspace(0.1, 0.8, 5), 0.3)
    assert_allclose(found[[0, 2]], [0.5, 0.45 - 0.55 * 0.3 / 0.7])
    assert np.isnan(found[1])


def posterior_draws(columns: int) -> Draws:
    rng = np.random.default_rng(4)
    return Draws(
        intercept=rng.normal(-0.5, 0.2, (2, 300)),
        beta=rng.normal(0.2, 0.3, (2, 300, columns)),
        tau=None,
        local=None,
        slab=None,
        sample_stats={},
    )


def test_credible_limits_are_quantiles_of_the_draws(asked: Asked) -> None:
    draws = posterior_draws(26)
    stated, rules = methods.credible(asked, draws, SEED)
    beta = draws.beta.reshape(600, 26)
    assert_allclose(stated.beta[:, [0, 2]], np.quantile(beta, [0.025, 0.975], axis=0).T)
    risk = expit(draws.intercept.ravel()[:, None] + beta @ asked.fresh.T)
    assert stated.risk is not None
    assert_allclose(stated.risk[:, [0, 2]], np.quantile(risk, [0.025, 0.975], axis=0).T)
    assert_allclose(stated.risk[:, 1], risk.mean(axis=0))
    everybody = expit(draws.intercept.ravel()[:, None] + beta @ asked.population.T)
    assert_allclose(rules.posterior_mean, everybody.mean(axis=0))
    plugged = expit(draws.intercept.mean() + asked.population @ beta.mean(axis=0))
    assert_allclose(rules.mean_coefficients, plugged)
    own = expit(draws.intercept.ravel()[:, None] + beta @ asked.learnt.matrix.T).mean(axis=0)
    rows = sm.add_constant(asked.learnt.matrix)
    projected = sm.GLM(own, rows, family=sm.families.Binomial()).fit(tol=1e-12)
    nomogram = projected.predict(sm.add_constant(asked.population, has_constant="add"))
    assert_allclose(rules.projection, nomogram, atol=1e-5)


def test_performance_of_the_deployed_rule_varies_over_draws_and_patients(asked: Asked) -> None:
    """With one draw again and again only patients are left: the Bayesian bootstrap of the rule."""
    draws = posterior_draws(26)
    same = Draws(
        np.repeat(draws.intercept[:1, :1], 400, axis=1),
        np.repeat(draws.beta[:1, :1], 400, axis=1),
        None,
        None,
        None,
        {},
    )
    narrow, _ = methods.credible(asked, same, SEED)
    wide, _ = methods.credible(asked, draws, SEED)
    assert narrow.performance is not None
    assert wide.performance is not None
    risk = expit(same.intercept[0, 0] + asked.learnt.matrix @ same.beta[0, 0])
    true = methods.true_performance(risk, risk, 0.3)
    assert narrow.performance[0, 0] < true[0] < narrow.performance[0, 2]
    # the rule is the truth: every weighted slope is 1
    assert_allclose(narrow.performance[1], 1, atol=1e-6)
    assert np.ptp(wide.performance[1]) > 0.1


def test_columns_that_the_sample_lacks_have_no_effect(population: Population) -> None:
    sample = population.sampled(150, np.random.default_rng(1))
    sample.columns[:, 5] = 0.0
    seen = learnt(sample, population.study)
    everybody = seen.standardised(population.columns)[:100]
    asked = Asked(seen, everybody[:10], everybody, 0.3, 0.95)
    stated, rules = methods.credible(asked, posterior_draws(26), SEED)
    assert not stated.beta[5].any()
    assert np.isfinite(rules.projection).all()
    for other in (methods.firth(asked), methods.ridge(asked)):
        assert np.isfinite(other.beta).all()
        assert not other.beta[5].any()


def test_rules_of_the_workflow_are_its_models(asked: Asked, once, population: Population) -> None:
    patients, settings = asked.learnt.patients, population.study.baseline
    own = methods.workflow_rules(patients, once, settings)
    assert_allclose(own.final[1:], once.risk.coefficients)
    kept = once.refit.members
    assert (own.refit[1:] != 0).tolist() == kept.tolist()
    assert (own.lasso[1:] != 0).tolist() == kept.tolist()
    rows = sm.add_constant(patients.columns[:, kept])
    again = sm.GLM(patients.outcome, rows, family=sm.families.Binomial()).fit(tol=1e-12)
    assert once.refit.fit.method == "ml"
    assert_allclose(own.refit[1:][kept], again.params[1:], atol=1e-5)
    shrunk = np.abs(own.lasso[1:]).sum()
    assert 0 < shrunk < np.abs(own.refit[1:]).sum()


def test_bootstrap_limits_are_percentiles_over_resamples(
    asked: Asked, once, population: Population
) -> None:
    patients, settings = asked.learnt.patients, population.study.baseline
    resamples = methods.resampled_workflows(patients, settings, 25, SEED)
    own = methods.workflow_rules(patients, once, settings)
    assert resamples.counts().sum() == 25
    for name, attribute in (("bootstrap", "final"), ("bootstrap_refit", "refit")):
        stated = methods.bootstrap(name, asked, own, resamples)
        drawn = np.array([getattr(one, attribute) for one in resamples.workflows])
        assert_allclose(stated.beta[:, [0, 2]].T, equal_tailed(drawn[:, 1:])[[0, 2]])
        assert_allclose(stated.beta[:, 1], getattr(own, attribute)[1:])
        risk = expit(drawn[:, :1] + drawn[:, 1:] @ asked.fresh.T)
        assert stated.risk is not None
        assert_allclose(stated.risk[:, 2], np.quantile(risk, 0.975, axis=0))
        assert stated.performance is not None
        # what the rule is said to reach elsewhere is less than what it reaches here
        here = bc.metrics.auc(
            asked.learnt.outcome,
            expit(getattr(own, attribute)[0] + asked.learnt.matrix @ getattr(own, attribute)[1:]),
        )
        assert stated.performance[0, 1] < here


def test_resamples_without_a_model_are_left_out_and_counted(asked: Asked, once) -> None:
    settings = asked.learnt.design.study.baseline
    own = methods.workflow_rules(asked.learnt.patients, once, settings)
    nothing = methods.Workflow("failed", *[np.full(27, np.nan)] * 3, firth=False)
    rows = np.tile(np.arange(N), (3, 1))
    some = methods.Resamples(rows, [own, nothing, own])
    stated = methods.bootstrap("bootstrap", asked, own, some)
    assert_allclose(stated.beta, np.repeat(own.final[1:, None], 3, axis=1))
    assert some.counts().tolist().count(0) == 3
    none = methods.bootstrap("bootstrap", asked, own, methods.Resamples(rows, [nothing] * 3))
    assert np.isnan(none.beta).all()


def test_firth_and_ridge_use_all_columns(asked: Asked) -> None:
    for stated in (methods.firth(asked), methods.ridge(asked)):
        assert (stated.beta[:, 0] < stated.beta[:, 1]).all()
        assert (stated.beta[:, 1] < stated.beta[:, 2]).all()
        assert stated.risk is not None
        assert ((stated.risk > 0) & (stated.risk < 1)).all()
    sizes = [np.abs(one(asked).beta[:, 1]).sum() for one in (methods.ridge, methods.firth)]
    assert sizes[0] < sizes[1]
