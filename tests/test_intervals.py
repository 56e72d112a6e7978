import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bayes_cmvt.errors import OptionError
from bayes_cmvt.intervals import bias_corrected, equal_tailed, tails

probabilities = st.floats(0.01, 0.99)
draws = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)


@pytest.mark.parametrize("ci_prob", [0, 1, -0.1, 95, math.nan, math.inf])
def test_a_probability_outside_0_and_1_is_refused(ci_prob):
    with pytest.raises(OptionError, match=r"must lie between 0 and 1, for instance 0\.95"):
        tails(ci_prob)
    with pytest.raises(OptionError, match=rf"found {ci_prob};"):
        equal_tailed([1.0, 2.0], ci_prob)


def test_tails_of_usual_levels_are_exact():
    assert [tails(level) for level in (0.5, 0.8, 0.9, 0.95, 0.99)] == [
        (0.25, 0.75),
        (0.1, 0.9),
        (0.05, 0.95),
        (0.025, 0.975),
        (0.005, 0.995),
    ]


@given(probabilities)
def test_tails_leave_out_as_much_below_as_above(ci_prob):
    lower, upper = tails(ci_prob)
    assert lower == pytest.approx(1 - upper, abs=1e-15)
    assert upper - lower == pytest.approx(ci_prob, abs=1e-11)


def test_quantiles_are_those_of_type_7():
    # h = (n - 1) p = 4 * 0.025 = 0.1, so 0.1 of the way from the first draw to the second
    np.testing.assert_allclose(equal_tailed([5.0, 1.0, 4.0, 2.0, 3.0]), [1.1, 3.0, 4.9], rtol=1e-15)


def test_limits_of_many_uniform_draws_are_their_probabilities():
    rng = np.random.default_rng(1)
    lower, median, upper = equal_tailed(rng.uniform(size=40_000), 0.9)
    # SE of a quantile of n uniform draws: sqrt(p (1 - p) / n) <= 0.0025; 4 SE
    assert [lower, median, upper] == pytest.approx([0.05, 0.5, 0.95], abs=0.01)


def test_the_first_axis_holds_the_draws():
    found = np.arange(24.0).reshape(4, 3, 2)
    assert equal_tailed(found).shape == (3, 3, 2)
    np.testing.assert_array_equal(equal_tailed(found)[:, 1, 1], equal_tailed(found[:, 1, 1]))


def test_whole_numbers_and_one_draw_serve():
    assert equal_tailed([7]).tolist() == [7.0, 7.0, 7.0]


@given(draws, probabilities)
def test_limits_enclose_the_median_and_stay_within_the_draws(found, ci_prob):
    lower, median, upper = equal_tailed(found, ci_prob)
    slack = 1e-9 * max(1, *map(abs, found))
    assert min(found) - slack <= lower <= median + slack
    assert median - slack <= upper <= max(found) + slack


@given(draws, probabilities, st.integers(-5, 5), st.randoms())
def test_order_of_draws_is_ignored_and_location_and_scale_carry_over(found, ci_prob, shift, random):
    shuffled = list(found)
    random.shuffle(shuffled)
    expected = equal_tailed(found, ci_prob)
    np.testing.assert_array_equal(equal_tailed(shuffled, ci_prob), expected)
    moved = equal_tailed(4 * np.array(found) + shift, ci_prob)
    np.testing.assert_allclose(moved, 4 * expected + shift, rtol=1e-12, atol=1e-8)
    mirrored = equal_tailed(-np.array(found), ci_prob)
    np.testing.assert_allclose(mirrored, -expected[::-1], rtol=1e-9, atol=1e-6)


@given(draws)
def test_a_wider_level_gives_an_interval_that_holds_the_narrower(found):
    narrow, wide = equal_tailed(found, 0.5), equal_tailed(found, 0.95)
    slack = 1e-9 * max(1, *map(abs, found))
    assert wide[0] <= narrow[0] + slack
    assert wide[2] >= narrow[2] - slack


# --- Bias-corrected and accelerated --------------------------------------------------------------


def replicates_of(statistic, values, count, seed):
    """Bootstrap replicates, and the statistic without each value, as scipy draws and takes them."""
    found = stats.bootstrap(
        (values,), statistic, n_resamples=count, method="BCa", rng=np.random.default_rng(seed)
    )
    left_out = [statistic(np.delete(values, i)) for i in range(len(values))]
    return found, np.asarray(left_out)


@pytest.mark.parametrize("ci_prob", [0.8, 0.95])
@pytest.mark.parametrize(
    "statistic", [np.mean, np.std, stats.gmean, np.max], ids=lambda f: f.__name__
)
def test_bca_limits_are_those_of_scipy(statistic, ci_prob):
    """Same replicates, same jackknife; `np.max` has many replicates equal to the estimate."""
    values = np.random.default_rng(2).exponential(size=30)
    found, left_out = replicates_of(statistic, values, 500, 4)
    theirs = stats.bootstrap(
        (values,),
        statistic,
        n_resamples=0,
        bootstrap_result=found,
        confidence_level=ci_prob,
        method="BCa",
    ).confidence_interval
    estimate, replicates = statistic(values), found.bootstrap_distribution
    ours = bias_corrected(estimate, replicates, left_out, ci_prob)
    # levels are rounded to 1e-12, which moves a quantile by less
    assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    plain = equal_tailed(replicates, ci_prob)
    assert ours != pytest.approx((plain[0], plain[2]), abs=1e-3)


def test_without_bias_and_skewness_bca_limits_are_percentiles():
    replicates = np.linspace(-1, 1, 101)
    expected = equal_tailed(replicates, 0.9)
    found = bias_corrected(0.0, replicates, [-1.0, 0.0, 1.0], 0.9)
    assert found == pytest.approx((expected[0], expected[2]), abs=1e-9)
    same = bias_corrected(0.0, replicates, [2.0, 2.0, 2.0], 0.9)  # no spread, no skewness
    assert same == found


def test_bca_limits_of_replicates_on_one_side_do_not_exist():
    for estimate in (-5.0, 5.0):
        found = bias_corrected(estimate, [0.0, 1.0, 2.0], [0.0, 1.0, 3.0])
        assert np.isnan(found).all()


def test_bca_limits_of_a_constant_are_the_constant():
    assert bias_corrected(0.5, [0.5] * 20, [0.5] * 9) == (0.5, 0.5)


def test_bca_follows_an_increasing_map_of_the_statistic():
    """What percentiles are moved by depends on ranks; the skewness is that of the jackknife."""
    rng = np.random.default_rng(3)
    replicates, left_out = rng.normal(1, 0.2, 400), rng.normal(1, 0.01, 40)
    lower, upper = bias_corrected(1.05, replicates, left_out)
    moved = bias_corrected(4 * 1.05 + 3, 4 * replicates + 3, 4 * left_out + 3)
    assert moved == pytest.approx((4 * lower + 3, 4 * upper + 3), abs=1e-9)


@pytest.mark.parametrize("ci_prob", [0, 1, 95])
def test_bca_of_a_probability_that_is_none_is_refused(ci_prob):
    with pytest.raises(OptionError, match="between 0 and 1"):
        bias_corrected(0.0, [-1.0, 1.0], [0.0, 1.0], ci_prob)
