from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bayes_cmvt.cohort import load_cohort
from bayes_cmvt.design import learn_design
from bayes_cmvt.priors import (
    CoefficientPrior,
    effective_number,
    global_scale,
    numeric_prior,
    prior_draws,
    prior_variance,
    pseudo_sd,
    shrinkage,
)
from tests.builders import X, numeric_cohort, patients, predictor, study

DRAWS = 20_000


def horseshoe(columns=26, tau0=0.05, n=224, events=82, **changes):
    prior = CoefficientPrior(
        family="regularized-horseshoe",
        shrunk=np.ones(columns, dtype=bool),
        own_mean=np.full(columns, np.nan),
        own_sd=np.full(columns, np.nan),
        global_scale=tau0,
        slab_scale=2.0,
        slab_df=4.0,
        scale=2.5,
        df=4.0,
        intercept_family="student-t",
        intercept_scale=2.5,
        n=n,
        pseudo_sd=pseudo_sd(events / n),
    )
    return replace(prior, **changes)


def assert_follows(draws, distribution):
    """Kolmogorov-Smirnov at a fixed seed; a right sampler passes 999 seeds of 1000."""
    assert stats.kstest(np.ravel(draws), distribution.cdf).pvalue > 1e-3


def drawn(prior, draws=DRAWS, seed=1):
    return prior_draws(prior, draws, np.random.default_rng(seed))


# The global scale ---------------------------------------------------------------------------------


def test_pseudo_sd_by_hand():
    assert pseudo_sd(0.2) == pytest.approx(2.5, rel=1e-15)
    assert pseudo_sd(82 / 224) == pytest.approx(224 / np.sqrt(82 * 142), rel=1e-15)


def test_global_scale_by_hand_for_the_cmvt_study():
    # sqrt(82 * 142) = 107.907, 224 / 107.907 = 2.07585; sqrt(224) = 14.96663; 6 / 20 = 0.3
    sigma = pseudo_sd(82 / 224)
    assert sigma == pytest.approx(2.07585, abs=5e-6)
    assert global_scale(6, 26, sigma, 224) == pytest.approx(0.0416097, abs=5e-7)
    assert global_scale(13, 26, sigma, 224) == pytest.approx(0.138699, abs=1e-6)


@given(st.floats(0.1, 9.9), st.floats(0.5, 10), st.integers(1, 10_000))
def test_global_scale_gives_back_its_expected_number(expected, sigma, n):
    # Piironen & Vehtari 2017, eq. 3.11: E(m_eff | tau) = tau a / (1 + tau a) * D, a = sqrt(n)/sigma
    a = np.sqrt(n) / sigma
    tau0 = global_scale(expected, 10, sigma, n)
    assert 10 * tau0 * a / (1 + tau0 * a) == pytest.approx(expected, rel=1e-9)


def test_at_the_global_scale_the_mean_effective_number_is_the_expected_one():
    prior = horseshoe(tau0=global_scale(6, 26, pseudo_sd(82 / 224), 224))
    local = np.abs(np.random.default_rng(2).standard_cauchy((DRAWS, 26)))
    variance = np.square(prior.global_scale * local)  # the slab is left out of the formula
    number = effective_number(prior, variance)
    assert number.mean() == pytest.approx(6, abs=4 * number.std() / np.sqrt(DRAWS))


def test_numeric_prior_takes_half_the_columns_unless_the_study_says_otherwise():
    values = np.random.default_rng(3).normal(size=(40, 6))
    sigma = 2.0
    for rest, tau0 in [
        ("", global_scale(3, 6, sigma, 40)),
        ("[prior]\nexpected_nonzero = 1\n", global_scale(1, 6, sigma, 40)),
        ("[prior]\nglobal_scale = 0.07\n", 0.07),
    ]:
        prior = numeric_prior(learn_design(numeric_cohort(values, rest=rest)), n=40, events=20)
        assert prior.global_scale == pytest.approx(tau0, rel=1e-14)
        assert (prior.pseudo_sd, prior.n) == (sigma, 40)
        assert prior.shrunk.all()


def own_prior_design():
    rng = np.random.default_rng(4)
    declared = (
        X
        + predictor("kept", shrink="false")
        + predictor("own", prior="[0.4, 0.3]")
        + predictor("c", "categorical", levels='["p", "q", "r"]')
        + predictor("both", prior="[-1, 2]", shrink="false")
    )
    frame = patients(
        60,
        x=rng.normal(size=60),
        kept=rng.normal(size=60),
        own=rng.normal(0, 5, 60),
        c=["p", "q", "r"] * 20,
        both=rng.normal(0, 0.1, 60),
    )
    return learn_design(load_cohort(study(declared), frame))


def test_own_priors_are_per_unit_and_kept_predictors_per_sd():
    design = own_prior_design()
    prior = numeric_prior(design, n=60, events=30)
    assert prior.shrunk.tolist() == [True, False, False, True, True, False]
    assert prior.global_scale == pytest.approx(global_scale(1.5, 3, 2.0, 60))  # 3 shrunk columns
    own, both = design.sd[2], design.sd[5]
    nan = np.nan
    np.testing.assert_allclose(prior.own_mean, [nan, 0, 0.4 * own, nan, nan, -both], rtol=1e-15)
    np.testing.assert_allclose(prior.own_sd, [nan, 2.5, 0.3 * own, nan, nan, 2 * both], rtol=1e-15)


def test_draws_of_own_priors_follow_them_and_return_to_units():
    design = own_prior_design()
    beta = drawn(numeric_prior(design, n=60, events=30)).beta
    assert_follows(beta[:, 1], stats.norm(0, 2.5))
    assert_follows(beta[:, 2] / design.sd[2], stats.norm(0.4, 0.3))
    assert_follows(beta[:, 5] / design.sd[5], stats.norm(-1, 2))


def test_a_study_without_shrunk_columns_needs_no_global_scale():
    values = np.random.default_rng(5).normal(size=(40, 2))
    design = learn_design(numeric_cohort(values, shrink="false"))
    prior = numeric_prior(design, n=40, events=20)
    assert np.isnan(prior.global_scale)
    found = drawn(prior)
    assert found.local.shape == (DRAWS, 0)
    assert_follows(found.beta, stats.norm(0, 2.5))


# Draws --------------------------------------------------------------------------------------------


def test_scales_follow_the_distributions_of_the_horseshoe():
    found = drawn(horseshoe(columns=2, slab_scale=1.5, slab_df=5.0))
    assert_follows(found.tau, stats.halfcauchy(scale=0.05))
    assert_follows(found.local[:, 0], stats.halfcauchy())
    assert_follows(found.local[:, 1], stats.halfcauchy())
    assert_follows(np.square(found.slab), stats.invgamma(2.5, scale=2.5 * 1.5**2))


def test_quantiles_of_tau_are_those_of_a_half_cauchy():
    tau = drawn(horseshoe(columns=1)).tau
    for probability in (0.25, 0.5, 0.75):
        expected = 0.05 * np.tan(np.pi / 2 * probability)
        density = stats.halfcauchy(scale=0.05).pdf(expected)
        error = np.sqrt(probability * (1 - probability) / DRAWS) / density
        assert np.quantile(tau, probability) == pytest.approx(expected, abs=4 * error)


def test_scales_and_coefficients_are_independent_as_the_model_says():
    found = drawn(horseshoe(columns=2))
    pairs = [
        (found.tau, found.local[:, 0]),
        (found.tau, found.slab),
        (found.local[:, 0], found.local[:, 1]),
        (found.slab, found.intercept),
        (found.tau, np.sign(found.beta[:, 0])),
    ]
    for one, other in pairs:
        assert abs(stats.spearmanr(one, other).statistic) < 4 / np.sqrt(DRAWS)


def test_coefficients_given_their_scales_are_standard_normal():
    prior = horseshoe(columns=3)
    found = drawn(prior)
    variance = prior_variance(prior, found.tau, found.local, found.slab, found.local.shape)
    assert_follows(found.beta / np.sqrt(variance), stats.norm())


def test_without_global_shrinkage_the_slab_is_a_student_t():
    found = drawn(horseshoe(columns=1, tau0=1e12, slab_scale=2.0, slab_df=4.0))
    assert_follows(found.beta, stats.t(4, scale=2.0))


def test_with_a_wide_slab_the_prior_is_the_plain_horseshoe():
    prior = horseshoe(columns=1, slab_scale=1e12)
    found = drawn(prior)
    variance = prior_variance(prior, found.tau, found.local, found.slab, (DRAWS, 1))
    plain = found.tau[:, np.newaxis] * found.local
    np.testing.assert_allclose(np.sqrt(variance), plain, rtol=1e-6)


@pytest.mark.parametrize(
    ("family", "distribution"),
    [("normal", stats.norm(0, 1.7)), ("student-t", stats.t(5, scale=1.7))],
)
def test_other_families_follow_their_distributions(family, distribution):
    found = drawn(horseshoe(columns=2, family=family, scale=1.7, df=5.0, tau0=np.nan))
    assert_follows(found.beta[:, 0], distribution)
    assert_follows(found.beta[:, 1], distribution)
    assert (found.tau, found.slab) == (None, None)


@pytest.mark.parametrize(
    ("family", "distribution"),
    [("student-t", stats.t(3, scale=1.3)), ("normal", stats.norm(0, 1.3))],
)
def test_the_intercept_follows_its_family(family, distribution):
    found = drawn(horseshoe(columns=1, intercept_family=family, intercept_scale=1.3))
    assert_follows(found.intercept, distribution)


def test_the_same_seed_gives_the_same_draws():
    one, other = drawn(horseshoe(), 50), drawn(horseshoe(), 50)
    np.testing.assert_array_equal(one.beta, other.beta)
    assert not np.array_equal(one.beta, drawn(horseshoe(), 50, seed=2).beta)


# Variance, shrinkage, effective number ------------------------------------------------------------

scales = st.floats(1e-6, 1e6)


@given(scales, scales, scales)
def test_precision_is_the_sum_of_two_precisions(tau, local, slab):
    prior = horseshoe(columns=1)
    (variance,) = prior_variance(prior, np.array(tau), np.array([local]), np.array(slab), (1,))
    assert 1 / variance == pytest.approx(1 / (tau * local) ** 2 + 1 / slab**2, rel=1e-12)
    regularised = slab**2 * local**2 / (slab**2 + tau**2 * local**2)  # Piironen & Vehtari, eq. 2.8
    assert variance == pytest.approx(tau**2 * regularised, rel=1e-12)


@pytest.mark.parametrize(
    ("tau", "local", "expected"),
    [
        (1e300, 1e300, 4.0),
        (1e300, 1.0, 4.0),
        (1e300, 1e-300, 0.8),
        (1e-300, 1e-300, 0.0),
        (0.0, 1e300, 0.0),
        (1e-200, 1e180, 1e-40),
        (np.inf, 1.0, 4.0),
    ],
)
def test_extreme_draws_of_a_half_cauchy_neither_overflow_nor_vanish(tau, local, expected):
    prior = horseshoe(columns=1)
    found = prior_variance(prior, np.array([tau]), np.array([[local]]), np.array([2.0]), (1, 1))
    np.testing.assert_allclose(found, [[expected]], rtol=1e-12)


def test_variance_keeps_chains_and_draws_apart():
    prior = horseshoe(columns=3)
    rng = np.random.default_rng(6)
    tau, slab = rng.uniform(1, 2, (4, 5)), rng.uniform(1, 2, (4, 5))
    local = rng.uniform(1, 2, (4, 5, 3))
    found = prior_variance(prior, tau, local, slab, (4, 5, 3))
    assert found.shape == (4, 5, 3)
    (one,) = prior_variance(prior, tau[2, 3:4], local[2, 3:4], slab[2, 3:4], (1, 3))
    np.testing.assert_array_equal(found[2, 3], one)


def test_other_families_have_their_own_variance():
    prior = horseshoe(columns=2, family="normal", scale=3.0)
    np.testing.assert_array_equal(
        prior_variance(prior, None, None, None, (4, 2)), np.full((4, 2), 9)
    )
    local = np.array([[1.0, 2.0]])
    np.testing.assert_array_equal(prior_variance(prior, None, local, None, (1, 2)), [[9.0, 36.0]])


def test_shrinkage_is_one_half_at_the_variance_of_the_estimate():
    prior = horseshoe()
    unit = prior.pseudo_sd**2 / prior.n
    np.testing.assert_allclose(
        shrinkage(prior, [0.0, unit / 3, unit, 3 * unit, np.inf]),
        [1, 0.75, 0.5, 0.25, 0], rtol=1e-14,
    )  # fmt: skip


def test_effective_number_counts_what_is_not_shrunk():
    prior = horseshoe(columns=4)
    unit = prior.pseudo_sd**2 / prior.n
    np.testing.assert_allclose(
        effective_number(prior, [[0, unit, np.inf, 3 * unit], [0, 0, 0, 0]]), [2.25, 0], atol=1e-14
    )


def test_prior_of_the_effective_number_is_the_figure_of_the_methods():
    # METHODS section 1: at p0 = 6 of 26 and 82 of 224, median 6.0, 90 % 0.3 to 20.7
    draws = 40_000
    prior = horseshoe(tau0=global_scale(6, 26, pseudo_sd(82 / 224), 224))
    found = drawn(prior, draws)
    variance = prior_variance(prior, found.tau, found.local, found.slab, found.local.shape)
    number = np.sort(effective_number(prior, variance))
    for probability, printed in [(0.05, 0.3), (0.5, 6.0), (0.95, 20.7)]:
        reach = 4 * np.sqrt(probability * (1 - probability) / draws)  # Monte Carlo, in probability
        low, high = np.quantile(number, [probability - reach, probability + reach])
        assert low - 0.05 <= printed <= high + 0.05, (probability, low, high)  # printed to 0.1
