"""The parts of the reconstruction against finite differences, brute force and closed forms."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, ndtr

import bayes_cmvt as bc
from bayes_cmvt import metrics
from bayes_cmvt.logistic import fit_maximum_likelihood
from bayes_cmvt.published.printed_table import read_published
from bayes_cmvt.reconstruction.information_tuning import (
    expected_auc,
    information,
    misfit,
    tune,
    tuned_quantities,
)
from bayes_cmvt.reconstruction.latent import Drawn, population_of
from bayes_cmvt.reconstruction.other_columns import retained_terms
from bayes_cmvt.reconstruction.outcome_search import OutcomeAim, search_outcomes
from bayes_cmvt.reconstruction.score_nudge import (
    Aim,
    _equations,
    _jacobian,
    movable,
    moves,
    nudge,
)
from tests.builders import X, predictor
from tests.builders import study as build_study


@pytest.fixture(scope="module")
def population():
    return population_of(read_published(bc.load_study("cmvt")))


@pytest.fixture(scope="module")
def designed(population):
    """A tuned design of 224 patients: population, latent variables, values."""
    latent = population.latent(np.random.default_rng(5), 224)
    tuned, _ = tune(population, latent, 82, 0.866)
    return tuned, latent, tuned.raw(latent)


def log_odds(population):
    return np.array([one.log_odds for one in population.printed])


# --- Latent variables and marginals --------------------------------------------------------------


def test_marginals_have_their_medians_spreads_and_shares(population):
    latent = population.latent(np.random.default_rng(1), 40_000)
    raw = population.raw(latent)
    for one in population.drawn:
        if one.kind == "shares":
            found = [(raw[one.name] == code).mean() for code in one.codes]
            np.testing.assert_allclose(found, one.shares, atol=0.012)  # 4.5 SE of a share of 1/2
        else:
            assert np.median(raw[one.name]) == pytest.approx(one.median, rel=0.03)
            assert np.log(raw[one.name]).std() == pytest.approx(one.sd, rel=0.02)
    np.testing.assert_allclose(np.corrcoef(latent.T), population.correlation, atol=0.025)


def test_printed_predictors_are_correlated_towards_risk(population):
    names = population.names
    pairs = [("age", "ddimer_pre", 0.33), ("crp_pre", "out_of_bed_day1", -0.33)]
    for one, other, expected in [*pairs, ("inr_pre", "pt_pre", 0.85), ("bmi", "tt_pre", 0.0)]:
        assert population.correlation[names.index(one), names.index(other)] == expected


@given(st.floats(-6, 6), st.floats(-0.5, 0.5), st.sampled_from(["normal", "lognormal"]))
def test_a_move_changes_the_latent_variable_by_as_much(latent, by, kind):
    one = Drawn("x", kind, median=3.0, sd=0.4)
    moved = one.moved(one.values(np.array([latent])), np.array([by]))
    unit = 1.0 if kind == "normal" else one.sd
    assert one.latent(moved)[0] == pytest.approx(latent + by / unit, abs=1e-9)


def test_shares_are_cut_where_the_normal_distribution_has_them():
    one = Drawn("x", "shares", shares=(0.2, 0.5, 0.3), codes=(1.0, 2.0, 3.0))
    latent = np.linspace(-4, 4, 10_001)
    codes = one.values(latent)
    cuts = latent[1:][np.diff(codes) > 0]
    np.testing.assert_allclose(ndtr(cuts), [0.2, 0.7], atol=4e-4)  # the grid is 0.0008 wide


# --- Information ---------------------------------------------------------------------------------


def test_information_is_the_second_derivative_of_the_log_likelihood():
    generator = np.random.default_rng(3)
    columns, slopes = generator.normal(size=(60, 2)), np.array([0.8, -0.4])
    found = information(columns, slopes, 21)
    assert found.risk.sum() == pytest.approx(21, abs=1e-9)
    design = np.column_stack([np.ones(60), columns])

    def minus_log_likelihood(theta):  # of risks as outcomes: its Hessian is the information
        linear = design @ theta
        return np.sum(np.logaddexp(0, linear) - found.risk * linear)

    theta, h = np.concatenate([[found.intercept], slopes]), 1e-3
    steps = h * np.eye(3)
    hessian = np.array(
        [
            [
                minus_log_likelihood(theta + a + b)
                - minus_log_likelihood(theta + a - b)
                - minus_log_likelihood(theta - a + b)
                + minus_log_likelihood(theta - a - b)
                for a in steps
            ]
            for b in steps
        ]
    ) / (4 * h * h)
    np.testing.assert_allclose(found.covariance, np.linalg.inv(hessian), rtol=1e-5)


@given(st.lists(st.sampled_from([0.1, 0.25, 0.4, 0.6, 0.9]), min_size=2, max_size=9))
def test_expected_auc_is_that_of_all_pairs(risks):
    risk = np.array(risks)
    wins = (risk[:, None] > risk) + 0.5 * (risk[:, None] == risk)
    chance = risk[:, None] * (1 - risk)
    assert expected_auc(risk) == pytest.approx((wins * chance).sum() / chance.sum(), abs=1e-12)


def test_tuning_brings_standard_errors_and_auc_to_the_print(population, designed):
    tuned, _, raw = designed
    found = information(tuned.columns(raw), log_odds(tuned), 82)
    before = information(population.columns(population.raw(designed[1])), log_odds(population), 82)
    assert misfit(tuned, found, 0.866) < min(5.0, misfit(population, before, 0.866) / 10)
    assert expected_auc(found.risk) == pytest.approx(0.866, abs=0.01)
    words = tuned_quantities(population, tuned)
    assert words.keys() == {one.quantity for one in population.printed}
    assert words["ddimer_pre"][:2] == ("median", "1.25")


# --- Moves of single values ----------------------------------------------------------------------


@pytest.mark.parametrize("with_outcome", [True, False])
def test_derivatives_of_the_equations_are_those_of_finite_differences(designed, with_outcome):
    population, _, raw = designed
    outcome = None
    if with_outcome:
        outcome = (np.random.default_rng(2).random(224) < 0.4).astype(float)
    aim = Aim(82, outcome)
    start = information(population.columns(raw), log_odds(population), 82)
    _, score_rows, se_rows = _equations(population, start, aim)
    size = np.sqrt((start.risk * (1 - start.risk)) @ start.design**2)[1:]

    def both(values):  # scores in units of the start, logarithms of standard errors
        found = information(population.columns(values), log_odds(population), 82)
        observed = 0.0 if outcome is None else outcome
        score = found.design[:, 1:].T @ (found.risk - observed) / size
        return np.concatenate([score[score_rows], np.log(found.se[se_rows])])

    patient, h = 17, 1e-5
    for name in movable(population):
        rows = _jacobian(population, raw, start, aim, name, score_rows, se_rows)
        by = np.zeros(224)
        by[patient] = h
        quantity = population.quantity(name)
        ends = [both({**raw, name: quantity.moved(raw[name], sign * by)}) for sign in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * h)
        np.testing.assert_allclose(rows[:, patient], slope, rtol=1e-4, atol=2e-7)


def test_a_nudge_makes_classes_expect_whole_events_and_errors_exact(designed):
    population, _, raw = designed
    nudged = nudge(population, raw, Aim(82))
    assert nudged.remaining < 1e-6
    columns = population.columns(nudged.raw)
    terms = [one.term for one in population.printed]
    for term in ("age", "anaesthesia", "out_of_bed_day1"):
        expected = columns[:, terms.index(term)] @ nudged.information.risk
        assert expected == pytest.approx(round(expected), abs=1e-5)
    for one, se in zip(population.printed, nudged.information.se, strict=True):
        if one.se is not None:
            assert se == pytest.approx(one.se, rel=1e-6)
    assert movable(population) == ["ddimer_pre", "crp_pre", "nlr_post"]
    assert max(np.abs(by).max() for by in moves(population, raw, nudged.raw).values()) < 0.7


def test_a_nudge_to_outcomes_makes_the_print_their_estimate(designed):
    population, _, raw = designed
    start = nudge(population, raw, Aim(82))
    found = start.information
    scores = np.linalg.cholesky(found.covariance).T @ found.design.T
    aim = OutcomeAim(82)
    outcome = search_outcomes(
        found.log_odds, scores, aim, np.random.default_rng(1), 100_000
    ).outcome
    nudged = nudge(population, start.raw, Aim(82, outcome))
    fit = fit_maximum_likelihood(population.columns(nudged.raw), outcome)
    np.testing.assert_allclose(fit.coefficients, log_odds(population), atol=1e-5)
    known = [j for j, one in enumerate(population.printed) if one.se is not None]
    expected = [population.printed[j].se for j in known]
    np.testing.assert_allclose(fit.se[known], expected, rtol=1e-5)


# --- Outcomes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auc", "se", "right"), [(0.70, 0.038, 44), (0.80, 0.032, 50), (0.90, 0.022, 58)]
)
def test_outcomes_have_the_area_error_and_counts_that_were_asked(auc, se, right):
    generator = np.random.default_rng(4)
    linear = generator.normal(size=200)
    aim = OutcomeAim(70, auc=auc, se=se, positive=80, true_positive=right)
    outcome = search_outcomes(linear, np.zeros((1, 200)), aim, generator, 300_000).outcome
    area = metrics.auc_delong(outcome, linear)
    assert outcome.sum() == 70
    assert outcome[np.argsort(-linear)[:80]].sum() == right
    assert area.estimate == pytest.approx(auc, abs=1e-3)
    assert np.sqrt(area.variance) == pytest.approx(se, abs=1e-3)


def test_the_cost_is_the_sum_of_squared_misses():
    generator = np.random.default_rng(6)
    linear, scores = generator.normal(size=90), generator.normal(size=(3, 90))
    aim = OutcomeAim(40, auc=0.8, se=0.05, positive=45, true_positive=30, score_scale=0.5)
    outcome, cost = search_outcomes(linear, scores, aim, generator, 2_000)
    area = metrics.auc_delong(outcome, linear)
    right = outcome[np.argsort(-linear)[:45]].sum()
    expected = np.sum((scores @ (outcome - expit(linear)) / 0.5) ** 2)
    expected += ((area.estimate - 0.8) / 3e-4) ** 2 + ((np.sqrt(area.variance) - 0.05) / 3e-4) ** 2
    expected += ((right - 30) / 0.25) ** 2
    assert cost == pytest.approx(expected, rel=1e-8)


def test_more_exchanges_fit_better():
    linear, scores = np.linspace(-2, 2, 120), np.random.default_rng(0).normal(size=(4, 120))
    aim = OutcomeAim(50, auc=0.82)
    costs = [
        np.mean(
            [
                search_outcomes(linear, scores, aim, np.random.default_rng(s), proposals).cost
                for s in range(5)
            ]
        )
        for proposals in (100, 3_000, 100_000)
    ]
    assert all(more > less for more, less in pairwise(costs))


# --- Other columns -------------------------------------------------------------------------------


def test_kept_terms_are_those_of_the_list_with_all_levels_of_a_predictor():
    study = bc.load_study("cmvt")
    assert retained_terms(study, study.published.retained).sum() == 11
    declared = predictor("race", "categorical", levels='["white", "black", "other"]')
    levels = build_study(X + declared)
    assert retained_terms(levels, ["race"]).tolist() == [False, True, True]
    assert retained_terms(levels, ["race[other]", "x"]).tolist() == [True, False, True]


def test_a_coefficient_printed_for_ten_units_is_compared_as_it_is_printed():
    from bayes_cmvt.reconstruction.synthetic_cohort import reconstruct

    text = (
        '[published]\nn_development = "200"\nevents_development = "80"\n'
        '[[published.coefficients]]\nterm = "x"\nodds_ratio = "2.00"\np = "0.010"\nper = 10\n'
        "[[reconstruction.marginals]]\n"
        'name = "x"\nkind = "normal"\nmedian = 60.0\nsd = 8.0\ndecimals = 2\n'
    )
    made = reconstruct(build_study(X, text), seed=1)
    table = made.agreement.set_index("quantity")
    assert table.loc["x: odds ratio", "achieved"] == pytest.approx(2.0, rel=0.005)
    assert table.loc["x: P", "achieved"] == pytest.approx(0.010, abs=5e-4)
    assert made.agrees
