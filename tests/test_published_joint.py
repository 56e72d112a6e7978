"""The horseshoe over all z values: against importance sampling from its prior, and by symmetry."""

import math

import numpy as np
import pytest
from scipy import stats

import bayes_cmvt as bc
from bayes_cmvt.published import joint as module
from bayes_cmvt.published.joint import JointPrior, KnownZ, joint_posterior
from bayes_cmvt.published.printed_table import read_published

PRIOR = JointPrior(0.5, 6.0, 4.0)
TERMS = (
    KnownZ("printed", 2.4, 2.8, "printed"),
    KnownZ("dropped", -1.96, 1.96, "dropped"),
    KnownZ("negative", -1.8, -1.5, "printed"),
    KnownZ("removed", -math.inf, math.inf, "nothing"),
)


@pytest.fixture(scope="module")
def weighted_prior():
    """Draws of (δ, τ) from the prior, weighted by the probability of what is known of z."""
    rng = np.random.default_rng(5)
    count = 3_000_000
    tau = PRIOR.global_scale * np.abs(rng.standard_cauchy(count))
    c2 = stats.invgamma(2, scale=2 * PRIOR.slab_scale**2).rvs(count, random_state=rng)
    weight, delta = np.ones(count), {}
    for one in TERMS:
        local = np.abs(rng.standard_cauchy(count))
        variance = 1 / (1 / (tau * local) ** 2 + 1 / c2)
        delta[one.term] = rng.normal(0, np.sqrt(variance))
        weight *= stats.norm.cdf(one.high - delta[one.term]) - stats.norm.cdf(
            one.low - delta[one.term]
        )
    return delta, tau, weight / weight.sum()


@pytest.fixture(scope="module")
def draws():
    return joint_posterior(TERMS, PRIOR, np.random.default_rng(1), 40_000)


@pytest.mark.parametrize("position", range(len(TERMS)))
def test_effects_are_those_of_importance_sampling(weighted_prior, draws, position):
    delta, _, weight = weighted_prior
    exact = delta[TERMS[position].term]
    effective = 1 / np.sum(weight**2)
    assert effective > 20_000
    for value in (-2.0, -0.5, 0.1, 0.5, 1.0, 2.0, 3.0):
        expected = weight[exact > value].sum()
        found = np.mean(draws.delta[:, position] > value)
        error = math.sqrt(expected * (1 - expected) * (1 / effective + 1 / 40_000))
        # beside Monte Carlo error the midpoints of 200, 300 and 16 parts, less than .004
        assert found == pytest.approx(expected, abs=4 * error + 0.004)


def test_the_global_scale_is_that_of_importance_sampling(weighted_prior, draws):
    _, tau, weight = weighted_prior
    for value in (0.1, 0.5, 1.0, 3.0):
        expected = weight[tau > value].sum()
        assert np.mean(draws.tau > value) == pytest.approx(expected, abs=0.02)


def test_z_stays_where_the_print_puts_it(draws):
    for position, one in enumerate(TERMS):
        assert draws.z[:, position].min() >= one.low - 1e-9
        assert draws.z[:, position].max() <= one.high + 1e-9


def test_mirroring_every_z_mirrors_the_effects():
    mirrored = tuple(KnownZ(one.term, -one.high, -one.low, one.known) for one in TERMS)
    one, other = (
        joint_posterior(terms, PRIOR, np.random.default_rng(3)) for terms in (TERMS, mirrored)
    )
    for position in range(len(TERMS)):
        up = np.quantile(one.delta[:, position], [0.1, 0.5, 0.9])
        down = -np.quantile(other.delta[:, position], [0.9, 0.5, 0.1])
        np.testing.assert_allclose(up, down, atol=0.12)


def test_under_a_bound_the_summary_takes_the_largest_error():
    bound = (KnownZ("bound", 3.29, math.inf, "printed"), *TERMS[1:])
    found = joint_posterior(bound, PRIOR, np.random.default_rng(1))
    assert set(found.z[:, 0]) == {3.29}
    assert np.median(found.delta[:, 0]) < 3.29


def test_what_is_known_of_the_26_candidates():
    table = read_published(bc.load_study("cmvt"))
    known = module.known_z_values(table, 1.96)
    counts = {kind: sum(one.known == kind for one in known) for kind in ("printed", "dropped")}
    assert counts == {"printed": 6, "dropped": 5}
    assert sum(one.known == "nothing" for one in known) == 15
    bed = next(one for one in known if one.term == "out_of_bed_day1")
    assert bed.high < -3.02  # its odds ratio is below 1
