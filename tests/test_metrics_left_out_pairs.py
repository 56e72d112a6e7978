"""Leave-pair-out AUC: exact posteriors on a grid, invariances, no bias where nothing predicts."""

import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from bayes_cmvt.errors import MetricError
from bayes_cmvt.importance import good_k, means_without_pairs, pareto_smoothed
from bayes_cmvt.metrics.left_out_pairs import (
    DRAWS_AT_LEAST,
    leave_pair_out,
    leave_pair_out_auc,
)

PRIOR_SD = 1.5


def log_likelihood(predictor, outcome):
    """Log-probability of each patient's outcome, shape of the predictor."""
    return -np.logaddexp(0, np.where(outcome == 1, -predictor, predictor))


def log_posterior(theta, matrix, outcome):
    """Logistic model, coefficients N(0, 1.5²): log-density of each row of `theta`."""
    fitted = log_likelihood(theta @ matrix.T, outcome).sum(axis=-1)
    return fitted - (theta**2).sum(axis=-1) / (2 * PRIOR_SD**2)


def posterior_draws(matrix, outcome, draws, rng):
    """Independent draws of the coefficients: rejection from a t around the mode.

    The posterior is log-concave, so that a t distribution bounds it; the bound is the largest
    ratio among the proposals.
    """
    size = matrix.shape[1]
    mode = optimize.minimize(
        lambda theta: -log_posterior(theta, matrix, outcome), np.zeros(size), method="BFGS"
    ).x
    risk = expit(matrix @ mode)
    precision = matrix.T @ (matrix * (risk * (1 - risk))[:, np.newaxis])
    precision += np.eye(size) / PRIOR_SD**2
    proposal = stats.multivariate_t(mode, 1.2 * np.linalg.inv(precision), df=8, seed=rng)
    proposed = np.atleast_2d(proposal.rvs(8 * draws))
    ratio = log_posterior(proposed, matrix, outcome) - proposal.logpdf(proposed)
    accepted = proposed[np.log(rng.random(len(proposed))) < ratio - ratio.max()]
    assert len(accepted) >= draws
    return accepted[:draws]


def twelve_patients(seed=1):
    rng = np.random.default_rng(seed)
    matrix = np.column_stack([np.ones(12), rng.standard_normal(12)])
    outcome = (rng.random(12) < expit(matrix @ [-0.3, 2.0])).astype(int)
    return matrix, outcome


def fitted(matrix, outcome, draws, seed):
    """Log-likelihood, outcome and linear predictor of posterior draws."""
    predictor = posterior_draws(matrix, outcome, draws, np.random.default_rng(seed)) @ matrix.T
    return log_likelihood(predictor, outcome), outcome, predictor


def simulated(patients, predictors, draws, seed):
    """A fit to patients whose predictors say nothing, half of them events."""
    rng = np.random.default_rng(seed)
    matrix = np.column_stack([np.ones(patients), rng.standard_normal((patients, predictors))])
    outcome = rng.permutation(np.arange(patients) % 2)
    return fitted(matrix, outcome, draws, seed)


def all_pairs(outcome):
    return np.array([(i, j) for i in np.flatnonzero(outcome) for j in np.flatnonzero(1 - outcome)])


def pooled_leave_one_out_auc(likelihood, outcome, predictor):
    weights = np.exp(pareto_smoothed(-likelihood.T).log_weights)
    risk = (weights * expit(predictor.T)).sum(axis=1)
    return (risk[outcome == 1][:, np.newaxis] > risk[outcome == 0]).mean()


def assert_same(first, second):
    """All fields alike, to the last bit."""
    for name, value in vars(first).items():
        np.testing.assert_array_equal(value, getattr(second, name), err_msg=name)


# --- Truth ---------------------------------------------------------------------------------------


def exact_risks(matrix, outcome, pairs):
    """Posterior mean risks of both patients without them, by integration on a grid."""
    axis = np.linspace(-9, 9, 361)  # six prior standard deviations, in steps of 1/30 of one
    theta = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    predictor = theta @ matrix.T
    everyone, each = log_posterior(theta, matrix, outcome), log_likelihood(predictor, outcome)
    risks = np.empty((len(pairs), 2))
    for row, pair in enumerate(pairs):
        density = everyone - each[:, pair].sum(axis=1)
        density = np.exp(density - density.max())
        risks[row] = density @ expit(predictor[:, pair]) / density.sum()
    return risks


@pytest.mark.parametrize("seed", range(1, 7))
def test_pairs_are_ordered_as_by_the_exact_posterior_without_them(seed):
    matrix, outcome = twelve_patients(seed)
    fit = fitted(matrix, outcome, 40_000, seed)
    pairs = all_pairs(outcome)
    exact = exact_risks(matrix, outcome, pairs)
    found = means_without_pairs(fit[0], expit(fit[2]), pairs).means
    # standard error of a mean risk: its spread, below 0.3, over the root of at least 2,000
    # effective draws
    np.testing.assert_allclose(found, exact, atol=4 * 0.3 / math.sqrt(2_000))
    clear = np.abs(exact[:, 0] - exact[:, 1]) > 0.02
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(
        found[clear, 0] > found[clear, 1], exact[clear, 0] > exact[clear, 1]
    )
    result = leave_pair_out(*fit)
    expected = (exact[:, 0] > exact[:, 1]).mean()
    assert result.estimate == pytest.approx(expected, abs=(~clear).mean() + 1e-12)
    assert (result.pairs, result.evaluated) == (len(pairs), len(pairs))
    assert result.monte_carlo_se == 0


def null_results(data_sets, patients, draws):
    """Leave-pair-out and pooled leave-one-out AUC of data sets whose predictors say nothing."""
    fits = [simulated(patients, 4, draws, seed) for seed in range(data_sets)]
    pairs_left_out = np.array([leave_pair_out_auc(*fit) for fit in fits])
    return pairs_left_out, np.array([pooled_leave_one_out_auc(*fit) for fit in fits])


def assert_only_pairs_are_unbiased(left_out, pooled):
    error = left_out.std(ddof=1) / math.sqrt(len(left_out))
    assert left_out.mean() == pytest.approx(0.5, abs=3 * error)
    below = left_out - pooled
    assert below.mean() > 0.03 + 3 * below.std(ddof=1) / math.sqrt(len(below))


def test_leave_pair_out_is_unbiased_where_nothing_predicts():
    assert_only_pairs_are_unbiased(*null_results(25, 40, 1000))


@pytest.mark.slow
def test_leave_pair_out_is_unbiased_where_nothing_predicts_and_leave_one_out_is_not():
    left_out, pooled = null_results(100, 80, 2000)
    assert_only_pairs_are_unbiased(left_out, pooled)
    assert pooled.mean() + 3 * pooled.std(ddof=1) / math.sqrt(len(pooled)) < 0.5


def test_draws_that_all_fit_alike_give_the_auc_of_the_mean_risk():
    # without a likelihood nothing is learnt from anybody, and leaving out changes nothing
    rng = np.random.default_rng(4)
    outcome, predictor = np.arange(30) % 3 == 0, np.round(rng.standard_normal((100, 30)), 1)
    predictor[:, 20:] = predictor[:, :10]
    found = leave_pair_out(np.full((100, 30), -0.3), outcome, predictor)
    expected = roc_auc_score(outcome, np.round(expit(predictor).mean(axis=0), 13))
    assert found.estimate == pytest.approx(expected, abs=1e-12)
    assert (found.pareto_k_max, found.bad_pairs) == (-math.inf, 0)


@pytest.mark.parametrize(("shift", "expected"), [(3.0, 1.0), (0.0, 0.5), (-3.0, 0.0)])
def test_events_far_above_equal_and_far_below(shift, expected):
    outcome = np.array([1, 1, 0, 0, 0])
    draws = np.random.default_rng(5).standard_normal((200, 1)) / 10
    predictor = draws + shift * outcome
    assert leave_pair_out_auc(log_likelihood(predictor, outcome), outcome, predictor) == expected


# --- Diagnostics ---------------------------------------------------------------------------------


def test_diagnostics_are_those_of_the_pairs():
    fit = simulated(20, 6, 400, 6)
    k = means_without_pairs(fit[0], fit[2], all_pairs(fit[1])).pareto_k
    result = leave_pair_out(*fit)
    assert result.good_k == good_k(400)
    assert 0 < result.bad_pairs == (k > good_k(400)).sum() < result.pairs
    assert result.pareto_k_max == k.max()
    assert leave_pair_out_auc(*fit) == result.estimate


def test_a_pair_that_no_pareto_distribution_fits_is_bad():
    outcome = np.array([1, 0, 0])
    predictor = np.random.default_rng(7).standard_normal((200, 3))
    likelihood = log_likelihood(predictor, outcome)
    likelihood[0, 0] = -5000.0  # one draw carries all weight of the event's pairs
    result = leave_pair_out(likelihood, outcome, predictor)
    assert result.bad_pairs == 2
    assert not result.pareto_k_max <= result.good_k
    assert result.estimate == (predictor[0, 0] > predictor[0, 1:]).mean()


def test_efficiency_lengthens_the_tail():
    fit = simulated(20, 3, 1000, 8)
    assert leave_pair_out(*fit, efficiency=0.3).pareto_k_max != leave_pair_out(*fit).pareto_k_max


# --- What must not matter ------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1))
def test_order_of_patients_and_of_draws_does_not_matter(seed):
    likelihood, outcome, predictor = simulated(12, 2, 200, 9)
    rng = np.random.default_rng(seed)
    patients, draws = rng.permutation(12), rng.permutation(200)
    rows = np.ix_(draws, patients)
    before = leave_pair_out(likelihood, outcome, predictor)
    after = leave_pair_out(likelihood[rows], outcome[patients], predictor[rows])
    assert after.estimate == before.estimate
    assert after.bad_pairs == before.bad_pairs
    assert after.pareto_k_max == pytest.approx(before.pareto_k_max, abs=1e-10)


def test_events_and_non_events_may_change_their_names():
    likelihood, outcome, predictor = simulated(30, 3, 500, 10)
    before = leave_pair_out(likelihood, outcome, predictor)
    after = leave_pair_out(likelihood, 1 - outcome, -predictor)
    assert after.estimate == before.estimate
    assert after.pareto_k_max == pytest.approx(before.pareto_k_max, abs=1e-10)


def test_patients_who_are_alike_tie_though_their_predictors_differ_by_rounding():
    likelihood, outcome, predictor = simulated(12, 2, 200, 11)
    first = np.flatnonzero(outcome)[0]
    others = np.flatnonzero(1 - outcome)
    predictor[:, others] = np.nextafter(predictor[:, [first]], np.inf)
    only = np.append(others, first)
    assert leave_pair_out_auc(likelihood[:, only], outcome[only], predictor[:, only]) == 0.5


def test_chains_are_put_together():
    likelihood, outcome, predictor = simulated(20, 2, 400, 12)
    chains = [array.reshape(4, 100, 20) for array in (likelihood, predictor)]
    together = leave_pair_out(chains[0], outcome, chains[1])
    assert_same(together, leave_pair_out(likelihood, outcome, predictor))


def test_number_of_cores_does_not_matter(monkeypatch):
    fit = simulated(60, 3, 1000, 13)
    results = []
    for cores in (1, 3):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        results.append(leave_pair_out(*fit))
    assert_same(*results)


# --- Weighted patients ---------------------------------------------------------------------------


def test_weights_of_one_change_nothing():
    result = leave_pair_out(*simulated(20, 3, 300, 15))
    weights = np.repeat([[1.0], [0.7]], 20, axis=1)
    np.testing.assert_allclose(result.weighted(weights), result.estimate, rtol=1e-12)


@pytest.mark.parametrize("max_pairs", [30, 100])
def test_whole_number_weights_repeat_the_pairs(max_pairs):
    result = leave_pair_out(*simulated(20, 3, 300, 15), max_pairs=max_pairs)
    weights = np.random.default_rng(16).integers(0, 4, (5, 20))
    expected = [
        np.repeat(result.scores, row[result.compared].prod(axis=1)).mean() for row in weights
    ]
    np.testing.assert_allclose(result.weighted(weights), expected, rtol=1e-12)


def test_pairs_are_kept_with_their_scores():
    likelihood, outcome, predictor = simulated(20, 3, 300, 15)
    result = leave_pair_out(likelihood, outcome, predictor)
    np.testing.assert_array_equal(result.compared, all_pairs(outcome))
    means = means_without_pairs(likelihood, expit(predictor), result.compared).means
    np.testing.assert_array_equal(result.scores, means[:, 0] > means[:, 1])
    assert result.scores.mean() == result.estimate


# --- Some pairs of many --------------------------------------------------------------------------


def test_some_pairs_stand_for_all_within_their_standard_error():
    fit = simulated(40, 3, 300, 14)
    everyone = leave_pair_out(*fit)
    some = [leave_pair_out(*fit, max_pairs=100, seed=seed) for seed in range(60)]
    estimates = np.array([result.estimate for result in some])
    errors = np.array([result.monte_carlo_se for result in some])
    assert {(result.pairs, result.evaluated) for result in some} == {(400, 100)}
    standardised = (estimates - everyone.estimate) / errors
    assert abs(standardised.mean()) < 3 / math.sqrt(60)
    # a standard deviation of 60 has relative standard error 1 / sqrt(120)
    assert standardised.std() == pytest.approx(1, abs=3 / math.sqrt(120))


def test_standard_error_is_that_of_a_finite_population():
    fit = simulated(40, 3, 300, 14)
    result = leave_pair_out(*fit, max_pairs=399)
    share = result.estimate
    expected = math.sqrt((1 - 399 / 400) * share * (1 - share) / 398)
    assert result.monte_carlo_se == pytest.approx(expected, rel=1e-12)


def test_one_seed_draws_the_same_pairs():
    fit = simulated(40, 3, 300, 14)
    first, second, other = (
        leave_pair_out(*fit, max_pairs=50, seed=seed).pareto_k_max for seed in (1, 1, 2)
    )
    assert first == second != other


# --- Errors --------------------------------------------------------------------------------------


def valid():
    return [np.full((DRAWS_AT_LEAST, 4), -0.5), [1, 0, 1, 0], np.zeros((DRAWS_AT_LEAST, 4))]


@pytest.mark.parametrize(
    ("place", "value", "text"),
    [
        (0, np.zeros((100, 3)), r"log_likelihood: has shape \(100, 3\); expected: \(\.\.\., 4\)"),
        (0, -1.0, r"log_likelihood: has shape \(\)"),
        (0, np.full((100, 4), -np.inf), "log_likelihood: 400 of 400 values are missing"),
        (0, np.full((100, 4), 0.25), r"log_likelihood: 0\.25 is above 0, .* the outcome second"),
        (0, [["a"] * 4] * 100, "log_likelihood: holds something other than numbers"),
        (0, np.zeros((101, 4)), r"shapes \(101, 4\) and \(100, 4\); expected: the same draws"),
        (1, [1, 0, 1], r"expected: \(\.\.\., 3\), as the outcome"),
        (1, [1, 1, 1, 1], "outcome: all 4 patients had an event; both outcomes are needed"),
        (1, [0, 0, 0, 0], "outcome: all 4 patients had no event; both outcomes are needed"),
        (1, [1, 0, 2, 0], "outcome: 2 is neither 0 nor 1"),
        (1, [1, 0, math.nan, 0], "outcome: nan is neither 0 nor 1"),
        (2, np.full((100, 4), math.nan), "linear_predictor: 400 of 400 values are missing"),
        (2, np.zeros(4), r"shapes \(100, 4\) and \(4,\)"),
    ],
)
def test_arrays_that_do_not_serve_are_refused(place, value, text):
    arguments = valid()
    arguments[place] = value
    with pytest.raises(MetricError, match=text):
        leave_pair_out_auc(*arguments)


def test_too_few_draws_are_refused_with_what_to_do():
    likelihood, outcome, predictor = valid()
    with pytest.raises(MetricError, match=r"holds 99 draws; at least 100 .* or sample more"):
        leave_pair_out_auc(likelihood[1:], outcome, predictor[1:])
    with pytest.raises(MetricError, match="holds 1 draws"):
        leave_pair_out_auc(likelihood[0], outcome, predictor[0])


def test_all_that_is_wrong_is_said_at_once():
    likelihood, outcome, predictor = valid()
    likelihood[0, 0], predictor[0, 0] = math.nan, math.inf
    with pytest.raises(MetricError, match="leave-pair-out cannot be computed: 2 problems") as error:
        leave_pair_out_auc(likelihood, outcome, predictor)
    assert error.value.problems == (
        "log_likelihood: 1 of 400 values are missing (NaN) or infinite",
        "linear_predictor: 1 of 400 values are missing (NaN) or infinite",
    )


def test_options_outside_what_is_allowed_are_refused():
    with pytest.raises(MetricError) as error:
        leave_pair_out(*valid(), max_pairs=1, seed=-1)
    assert error.value.problems == (
        "max_pairs: found 1; allowed: a whole number, 2 or more",
        "seed: found -1; allowed: a whole number, 0 or more",
    )
    with pytest.raises(MetricError, match=r"max_pairs: found 10\.5"):
        leave_pair_out(*valid(), max_pairs=10.5)
    with pytest.raises(MetricError, match="efficiency: found 0"):
        leave_pair_out(*valid(), efficiency=0)
