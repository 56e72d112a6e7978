"""Pareto-smoothed importance weights: ArviZ as a second algorithm, known tails and posteriors."""

import math
import os

import numpy as np
import pytest
from arviz_stats.base import array_stats
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bayes_cmvt import importance
from bayes_cmvt.errors import MetricError
from bayes_cmvt.importance import good_k, means_without_pairs, pareto_smoothed, tail_length

# both do the same arithmetic in another order
SAME = {"rtol": 0, "atol": 1e-10}


def by_arviz(log_ratios, efficiency=1.0):
    """Log weights and k̂ of one row; ArviZ takes minus the log-ratios."""
    log_weights, k = array_stats.psislw(-np.asarray(log_ratios), r_eff=efficiency)
    return log_weights, float(k)


def assert_as_arviz(log_ratios, efficiency=1.0):
    ours = pareto_smoothed(log_ratios, efficiency=efficiency)
    log_weights, k = by_arviz(log_ratios, efficiency)
    np.testing.assert_allclose(ours.log_weights, log_weights, **SAME)
    np.testing.assert_allclose(ours.pareto_k, k, **SAME)


# --- ArviZ ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("efficiency", [0.2, 1.0, 1.6])
@pytest.mark.parametrize("spread", [0.01, 0.3, 1.0, 3.0, 20.0])
@pytest.mark.parametrize("draws", [26, 100, 1000, 4000])
def test_smoothing_equals_arviz(draws, spread, efficiency):
    rng = np.random.default_rng(draws)
    for log_ratios in (
        spread * rng.standard_normal(draws),
        spread * rng.standard_t(3, draws),
        -spread * rng.exponential(size=draws),
    ):
        assert_as_arviz(log_ratios, efficiency)


@given(st.integers(30, 500), st.floats(0.01, 10), st.floats(0.05, 2), st.integers(0, 2**32 - 1))
def test_smoothing_equals_arviz_whatever_the_ratios(draws, spread, efficiency, seed):
    log_ratios = np.random.default_rng(seed).standard_t(4, draws) * spread
    assert_as_arviz(log_ratios, efficiency)


def test_smoothing_of_a_likelihood_equals_arviz():
    rng = np.random.default_rng(3)
    predictor = rng.standard_normal((6, 2000)) * np.linspace(0.1, 3, 6)[:, np.newaxis]
    ours = pareto_smoothed(np.logaddexp(0, -predictor))
    for row, log_weights, k in zip(
        np.logaddexp(0, -predictor), ours.log_weights, ours.pareto_k, strict=True
    ):
        theirs, their_k = by_arviz(row)
        np.testing.assert_allclose(log_weights, theirs, **SAME)
        np.testing.assert_allclose(k, their_k, **SAME)


def test_a_tail_whose_first_quartile_is_its_minimum_stays_as_it_is_as_in_arviz():
    log_ratios = np.concatenate([-np.linspace(1, 2, 79), np.zeros(11), np.linspace(0.1, 1, 10)])
    smoothed = pareto_smoothed(log_ratios)
    assert math.isnan(smoothed.pareto_k)
    assert math.isnan(by_arviz(log_ratios)[1])
    raw = log_ratios - np.logaddexp.reduce(log_ratios)
    np.testing.assert_allclose(smoothed.log_weights, raw, **SAME)
    np.testing.assert_allclose(by_arviz(log_ratios)[0], raw, **SAME)


def test_equal_ratios_share_out_the_weights_of_arviz():
    # which of several equal ratios gets which weight is the order of sorting, ours or numpy's
    log_ratios = np.round(np.random.default_rng(4).standard_normal(1000), 1)
    ours, (theirs, k) = pareto_smoothed(log_ratios), by_arviz(log_ratios)
    np.testing.assert_allclose(np.sort(ours.log_weights), np.sort(theirs), **SAME)
    assert ours.pareto_k == pytest.approx(k, abs=1e-10)


def test_of_equal_ratios_the_later_is_the_larger():
    log_ratios = np.round(np.random.default_rng(5).standard_normal(1000), 1)
    expected = np.argsort(log_ratios, kind="stable")[-95:]
    np.testing.assert_array_equal(importance.largest_ascending(log_ratios, 95), expected)


@given(st.integers(1, 60), st.integers(60, 300), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_largest_are_those_of_a_stable_sort(count, length, digits, seed):
    values = np.round(np.random.default_rng(seed).standard_normal(length), digits)
    expected = np.argsort(values, kind="stable")[-count:]
    np.testing.assert_array_equal(importance.largest_ascending(values, count), expected)


def test_largest_are_found_where_every_sixteenth_value_misleads():
    values = np.arange(4000.0)
    values[::16] += 10_000
    expected = np.argsort(values)[-190:]
    np.testing.assert_array_equal(importance.largest_ascending(values, 190), expected)
    np.testing.assert_array_equal(
        importance.largest_ascending(-values, 190), np.argsort(-values)[-190:]
    )


# --- Known tails ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.7, 1.0])
def test_k_of_pareto_ratios_is_their_shape(shape):
    draws, rows = 10_000, 60
    log_ratios = shape * np.random.default_rng(6).exponential(size=(rows, draws))
    tail = tail_length(draws)
    found = np.asarray(pareto_smoothed(log_ratios).pareto_k)
    expected = (tail * shape + 5) / (tail + 10)  # the prior: ten draws with shape one half
    # a row has standard error (1 + k) / sqrt(tail); bias of the fit below half of it
    error = (1 + shape) / math.sqrt(tail)
    assert found.mean() == pytest.approx(expected, abs=error * (0.25 + 3 / math.sqrt(rows)))
    assert found.std() == pytest.approx(error, rel=0.35)


def test_fit_finds_shape_and_scale_of_a_generalised_pareto_distribution():
    for shape in (-0.3, 0.0, 0.4):
        excess = np.sort(stats.genpareto.rvs(shape, scale=2.0, size=50_000, random_state=7))
        k, scale = importance.pareto_fit(excess)
        assert k == pytest.approx(shape, abs=4 * 1.5 / math.sqrt(50_000))
        assert scale == pytest.approx(2.0, abs=4 * 2 * 2 / math.sqrt(50_000))


@pytest.mark.parametrize("shape", [-0.4, 0.0, 1e-9, 0.7])
def test_quantiles_are_those_of_scipy(shape):
    for probability in (0.001, 0.5, 0.999):
        found = importance.pareto_quantile(probability, shape)
        assert found == pytest.approx(stats.genpareto.ppf(probability, shape), rel=1e-7)


def test_logarithms_of_products_equal_sums_of_logarithms():
    excess = np.sort(np.random.default_rng(8).pareto(0.2, 300))
    theta = np.concatenate([[0.99 / excess[-1]], -np.geomspace(1e-18, 1e3, 40)])
    expected = np.log1p(-theta[:, np.newaxis] * excess).mean(axis=1)
    np.testing.assert_allclose(importance.mean_logs(theta, excess), expected, rtol=1e-12)


def test_ratios_that_are_all_alike_need_no_smoothing():
    smoothed = pareto_smoothed(np.full((2, 3, 40), -7.0))
    np.testing.assert_allclose(np.exp(smoothed.log_weights), 1 / 40, rtol=1e-14)
    assert smoothed.log_weights.shape == (2, 3, 40)
    np.testing.assert_array_equal(smoothed.pareto_k, np.full((2, 3), -np.inf))


def test_a_tail_of_equal_ratios_above_others_is_bounded_and_stays():
    log_ratios = np.concatenate([np.linspace(-3, -1, 70), np.zeros(30)])
    smoothed = pareto_smoothed(log_ratios)
    assert smoothed.pareto_k == -np.inf
    np.testing.assert_allclose(
        smoothed.log_weights, log_ratios - np.logaddexp.reduce(log_ratios), **SAME
    )


def test_differences_of_rounding_are_none():
    log_ratios = np.random.default_rng(9).integers(0, 9, 400) * 1e-16
    assert pareto_smoothed(log_ratios).pareto_k == -np.inf


def test_one_draw_that_outweighs_all_is_not_to_be_trusted():
    log_ratios = np.concatenate([np.linspace(-1, 0, 399), [5000.0]])
    smoothed = pareto_smoothed(log_ratios)
    assert not smoothed.pareto_k <= good_k(400)
    assert smoothed.log_weights[-1] == 0
    assert smoothed.log_weights[0] == pytest.approx(-5001.0)


def test_a_draw_of_weight_zero_keeps_it():
    log_ratios = np.random.default_rng(10).standard_normal(400)
    log_ratios[7] = -np.inf
    smoothed = pareto_smoothed(log_ratios)
    assert smoothed.log_weights[7] == -np.inf
    np.testing.assert_allclose(smoothed.log_weights, by_arviz(log_ratios)[0], **SAME)


# --- What smoothing keeps, and what it is for ----------------------------------------------------


@given(st.integers(30, 300), st.floats(0.01, 20), st.integers(0, 2**32 - 1))
def test_weights_sum_to_one_and_keep_their_order(draws, spread, seed):
    log_ratios = np.random.default_rng(seed).standard_normal(draws) * spread
    log_weights = pareto_smoothed(log_ratios).log_weights
    assert np.exp(log_weights).sum() == pytest.approx(1, rel=1e-12)
    ordered = log_weights[np.argsort(log_ratios)]
    assert (np.diff(ordered) >= -1e-12).all()


@given(st.floats(-1e3, 1e3), st.integers(0, 2**32 - 1))
def test_a_constant_added_to_the_log_ratios_changes_nothing(constant, seed):
    log_ratios = np.random.default_rng(seed).standard_normal(200)
    before, after = pareto_smoothed(log_ratios), pareto_smoothed(log_ratios + constant)
    np.testing.assert_allclose(after.log_weights, before.log_weights, rtol=0, atol=1e-8)
    assert after.pareto_k == pytest.approx(before.pareto_k, abs=1e-8)


def test_order_of_draws_does_not_matter():
    rng = np.random.default_rng(11)
    log_ratios, order = rng.standard_t(3, 1000), rng.permutation(1000)
    before, after = pareto_smoothed(log_ratios), pareto_smoothed(log_ratios[order])
    np.testing.assert_allclose(after.log_weights, before.log_weights[order], **SAME)
    assert after.pareto_k == before.pareto_k


def test_no_weight_exceeds_the_largest_raw_one():
    log_ratios = np.random.default_rng(12).standard_t(2, (200, 100))
    log_weights = pareto_smoothed(log_ratios).log_weights
    # relative to a draw below the tail, whose weight is raw
    lowest = np.argmin(log_ratios, axis=1)[:, np.newaxis]
    for values in (log_weights, log_ratios):
        values -= np.take_along_axis(values, lowest, axis=1)
    assert (log_weights.max(axis=1) <= log_ratios.max(axis=1) + 1e-12).all()
    assert np.isclose(log_weights.max(axis=1), log_ratios.max(axis=1)).any()


def test_weighted_draws_have_the_moments_of_the_other_distribution():
    draws = np.random.default_rng(13).standard_normal(200_000)
    target = stats.norm(0.7, 0.8)
    smoothed = pareto_smoothed(target.logpdf(draws) - stats.norm.logpdf(draws))
    weights = np.exp(smoothed.log_weights)
    error = math.sqrt((weights**2).sum())  # Kish: 1 / sqrt(effective number)
    assert smoothed.pareto_k < good_k(200_000)
    assert weights @ draws == pytest.approx(0.7, abs=4 * 0.8 * error)
    assert weights @ draws**2 == pytest.approx(0.7**2 + 0.8**2, abs=4 * 2 * error)


def test_many_rows_do_not_depend_on_the_number_of_cores(monkeypatch):
    log_ratios = np.random.default_rng(14).standard_normal((400, 4000))
    results = []
    for cores in (1, 3):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        results.append(pareto_smoothed(log_ratios))
    np.testing.assert_array_equal(results[0].log_weights, results[1].log_weights)
    np.testing.assert_array_equal(results[0].pareto_k, results[1].pareto_k)


# --- Pairs ---------------------------------------------------------------------------------------


def test_means_without_a_pair_are_those_of_the_smoothed_weights():
    rng = np.random.default_rng(15)
    predictor = rng.standard_normal((500, 5))
    likelihood, values = -np.logaddexp(0, predictor), rng.random((500, 5))
    pairs = [(0, 1), (4, 2), (3, 0)]
    found = means_without_pairs(likelihood, values, pairs, efficiency=0.7)
    for (first, second), means, k in zip(pairs, found.means, found.pareto_k, strict=True):
        ratios = -likelihood[:, first] - likelihood[:, second]
        expected = pareto_smoothed(ratios, efficiency=0.7)
        weights = np.exp(expected.log_weights)
        np.testing.assert_allclose(means, weights @ values[:, [first, second]], rtol=1e-12)
        assert k == expected.pareto_k


# --- Numbers of draws, errors --------------------------------------------------------------------


def test_tail_is_that_of_the_paper():
    # min(S / 5, 3 sqrt(S / efficiency)): both are 45 at S = 225
    assert [tail_length(draws) for draws in (25, 99, 224, 225, 226, 4000)] == [
        5, 19, 44, 45, 45, 189,
    ]  # fmt: skip
    assert tail_length(4000, efficiency=0.25) == 379
    assert tail_length(100, efficiency=0.01) == 20


def test_good_k_is_its_formula():
    assert good_k(1000) == pytest.approx(2 / 3, rel=1e-15)
    assert good_k(2000) == pytest.approx(1 - 1 / math.log10(2000))
    assert good_k(2155) == good_k(10**6) == 0.7
    assert good_k(10) == 0


def test_good_k_needs_two_draws():
    with pytest.raises(MetricError, match="draws: found 1; allowed: 2 or more"):
        good_k(1)


@pytest.mark.parametrize("efficiency", [0.0, -1.0, math.nan, math.inf])
def test_an_efficiency_must_be_positive(efficiency):
    with pytest.raises(MetricError, match=r"efficiency: found .*; allowed: above 0"):
        pareto_smoothed(np.zeros(100), efficiency=efficiency)


def test_too_few_draws_are_refused_with_what_to_do():
    with pytest.raises(MetricError, match=r"24 draws are too few .* sample more draws, or thin"):
        pareto_smoothed(np.zeros(24))
    with pytest.raises(MetricError, match="only the 4 largest ratios would be smoothed"):
        pareto_smoothed(np.zeros(300), efficiency=150.0)


@pytest.mark.parametrize(
    ("log_ratios", "text"),
    [
        (1.0, r"have shape \(\); expected: \(\.\.\., draw\)"),
        (np.zeros((0, 50)), r"have shape \(0, 50\)"),
        ([[0.0, 1.0], [0.0]], "something other than numbers, or rows of different lengths"),
        (["a", "b"], "something other than numbers"),
        ([0.0] * 48 + [math.nan, math.inf], r"2 of 50 values are missing \(NaN\) or \+infinite"),
        ([-math.inf] * 50, "all draws of a row are -infinite"),
    ],
)
def test_ratios_that_cannot_be_smoothed_are_refused(log_ratios, text):
    with pytest.raises(MetricError, match=f"log_ratios: .*{text}"):
        pareto_smoothed(log_ratios)


def test_pairs_that_cannot_be_left_out_are_refused():
    zeros = np.zeros((100, 3))
    for pairs in ([(0, 3)], [(-1, 0)]):
        with pytest.raises(MetricError, match="pairs: name patients outside 0 to 2"):
            means_without_pairs(zeros, zeros, pairs)
    for pairs in ([(0.0, 1.0)], [0, 1], [(0, 1, 2)], np.zeros((0, 2), dtype=int)):
        with pytest.raises(MetricError, match=r"expected: whole numbers, \(pair, 2\)"):
            means_without_pairs(zeros, zeros, pairs)
    with pytest.raises(MetricError, match=r"shapes \(100, 3\) and \(100, 2\)"):
        means_without_pairs(zeros, zeros[:, :2], [(0, 1)])
    with pytest.raises(MetricError, match="values: some values are missing"):
        means_without_pairs(zeros, zeros + np.nan, [(0, 1)])
