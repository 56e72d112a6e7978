from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import SeedSequence, default_rng
from scipy import stats

from bayes_cmvt.errors import MetricError
from bayes_cmvt.intervals import equal_tailed
from bayes_cmvt.metrics import resampling
from bayes_cmvt.metrics.calibration import calibration_slope
from bayes_cmvt.metrics.discrimination import auc, auc_delong
from bayes_cmvt.metrics.resampling import (
    bayesian_bootstrap,
    bayesian_bootstrap_blocks,
    metric_interval,
)
from bayes_cmvt.metrics.scores import brier_score
from bayes_cmvt.metrics.utility import decision_curve, net_benefit


def replicated(values: Any) -> Any:
    """A metric whose replicates are given, and whose estimate is 0."""

    def metric(outcome: Any, risk: Any, *, weights: Any = None) -> Any:
        return 0.0 if weights is None else np.asarray(values, dtype=float)[: len(weights)]

    return metric


def cohort(patients: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = default_rng(seed)
    risk = rng.beta(2, 5, patients)
    return rng.binomial(1, risk), risk


# weights


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**40))
def test_weights_are_positive_and_sum_to_the_number_of_patients(
    patients: int, replicates: int, seed: int
) -> None:
    weights = bayesian_bootstrap(patients, replicates, seed=seed)
    assert weights.shape == (replicates, patients)
    assert (weights > 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), patients, rtol=1e-14)


def test_weights_are_dirichlet() -> None:
    """Of 5 patients: one is 5 Beta(1, 4), two together 5 Beta(2, 3); P above 0.001 of 7 checks."""
    shares = bayesian_bootstrap(5, 20_000, seed=3) / 5
    for patient in range(5):
        assert stats.kstest(shares[:, patient], stats.beta(1, 4).cdf).pvalue > 0.001
    for pair in ([0, 1], [2, 4]):
        assert stats.kstest(shares[:, pair].sum(axis=1), stats.beta(2, 3).cdf).pvalue > 0.001


def test_a_single_patient_weighs_1() -> None:
    assert bayesian_bootstrap(1, 3, seed=1).tolist() == [[1.0]] * 3


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 100))
def test_blocks_together_are_the_whole_whatever_their_size(
    patients: int, replicates: int, most: int
) -> None:
    whole = bayesian_bootstrap(patients, replicates, seed=SeedSequence(5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampling, "BLOCK_WEIGHTS", most)
        blocks = list(bayesian_bootstrap_blocks(patients, replicates, seed=SeedSequence(5)))
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
    assert all(len(block) == 1 or block.size <= most for block in blocks)


def test_the_same_seed_gives_the_same_weights_and_a_generator_is_advanced() -> None:
    first = bayesian_bootstrap(6, 4, seed=7)
    np.testing.assert_array_equal(bayesian_bootstrap(6, 4, seed=7), first)
    np.testing.assert_array_equal(bayesian_bootstrap(6, 4, seed=SeedSequence(7)), first)
    rng = default_rng(7)
    np.testing.assert_array_equal(bayesian_bootstrap(6, 4, seed=rng), first)
    assert (bayesian_bootstrap(6, 4, seed=rng) != first).all()
    # more replicates begin with the same ones
    np.testing.assert_array_equal(bayesian_bootstrap(6, 9, seed=7)[:4], first)


@pytest.mark.parametrize("count", [0, -1])
def test_counts_below_1_are_refused_at_once(count: int) -> None:
    with pytest.raises(MetricError, match=f"patients: found {count}; at least 1 is needed"):
        bayesian_bootstrap_blocks(count, 4, seed=1)
    with pytest.raises(MetricError, match=f"replicates: found {count}; at least 1 is needed"):
        bayesian_bootstrap(4, count, seed=1)


@pytest.mark.parametrize("seed", [None, -1, "one", 0.5])
def test_a_seed_that_is_none_is_refused(seed: Any) -> None:
    with pytest.raises(MetricError, match=f"seed: found {seed!r}; expected: a whole number from 0"):
        bayesian_bootstrap_blocks(4, 4, seed=seed)


# intervals


def test_limits_of_the_event_share_are_those_of_its_beta_posterior() -> None:
    """The weight of 30 of 100 patients is Beta(30, 70); 4 standard errors of a quantile."""
    outcome = np.repeat([1, 0], [30, 70])

    def share(outcome: Any, risk: Any, *, weights: Any = None) -> Any:
        return (outcome * (np.ones(100) if weights is None else weights)).mean(axis=-1)

    replicates, posterior = 20_000, stats.beta(30, 70)
    found = metric_interval(share, outcome, outcome, replicates=replicates, ci_prob=0.9, seed=2)
    assert found.estimate == 0.3
    for limit, probability in ((found.lower, 0.05), (found.upper, 0.95)):
        expected = posterior.ppf(probability)
        error = np.sqrt(0.05 * 0.95 / replicates) / posterior.pdf(expected)
        assert limit == pytest.approx(expected, abs=4 * error)


def test_limits_are_quantiles_of_the_metric_of_every_replicate() -> None:
    outcome, risk = cohort(60)
    weights = bayesian_bootstrap(60, 500, seed=4)
    treated = functools.partial(net_benefit, threshold=0.3)
    for metric in (auc, brier_score, treated):
        found = metric_interval(metric, outcome, risk, replicates=500, seed=4)
        lower, _, upper = equal_tailed(metric(outcome, risk, weights=weights))
        assert found.estimate == metric(outcome, risk)
        assert (found.lower, found.upper) == pytest.approx((lower, upper), rel=1e-14)
        assert isinstance(found.lower, float)
        narrow = metric_interval(metric, outcome, risk, replicates=500, ci_prob=0.5, seed=4)
        assert found.lower < narrow.lower < narrow.upper < found.upper


def test_blocks_of_weights_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, risk = cohort(50)
    whole = metric_interval(auc, outcome, risk, replicates=100, seed=5)
    monkeypatch.setattr(resampling, "BLOCK_WEIGHTS", 370)
    parts = metric_interval(auc, outcome, risk, replicates=100, seed=5)
    assert (parts.lower, parts.upper) == (whole.lower, whole.upper)


def test_width_of_the_interval_of_the_auc_is_that_of_delong() -> None:
    """Both are right to first order; 400 patients, 2,000 replicates: within a tenth."""
    outcome, risk = cohort(400)
    found = metric_interval(auc, outcome, risk, replicates=2000, seed=6)
    delong = auc_delong(outcome, risk)
    assert found.upper - found.lower == pytest.approx(delong.upper - delong.lower, rel=0.1)


def test_a_metric_of_many_values_has_limits_for_each() -> None:
    outcome, risk = cohort(40)
    at = [0.1, 0.3, 0.5]

    def curve(outcome: Any, risk: Any, *, weights: Any = None) -> Any:
        return decision_curve(outcome, risk, at, weights=weights).net_benefit

    found = metric_interval(curve, outcome, risk, replicates=200, seed=7)
    assert found.estimate.shape == found.lower.shape == (3,)
    for k, threshold in enumerate(at):
        treated = functools.partial(net_benefit, threshold=threshold)
        one = metric_interval(treated, outcome, risk, replicates=200, seed=7)
        found_k = (found.estimate[k], found.lower[k], found.upper[k])
        assert found_k == pytest.approx((one.estimate, one.lower, one.upper), abs=1e-12)


def test_the_same_seed_pairs_two_rules() -> None:
    """Of one rule against itself nothing is left."""
    outcome, risk = cohort(40)

    def gained(outcome: Any, risk: Any, *, weights: Any = None) -> Any:
        first, second = (auc(outcome, one, weights=weights) for one in (risk, risk**2))
        return np.asarray(first) - second

    found = metric_interval(gained, outcome, risk, replicates=100, seed=8)
    assert (found.estimate, found.lower, found.upper) == (0.0, 0.0, 0.0)


# infinities


@pytest.mark.parametrize(
    ("values", "lower", "upper"),
    [
        ([1, 2, 3, 4, np.inf], 2.0, 4.0),
        ([1, 2, 3, np.inf, np.inf], 2.0, np.inf),
        ([-np.inf, -np.inf, 3, 4, 5], -np.inf, 4.0),
        ([np.inf] * 5, np.inf, np.inf),
        ([-np.inf, np.inf], -np.inf, np.inf),
        ([1, 2, np.nan, 3, np.inf], np.nan, np.nan),
    ],
)
def test_infinite_replicates_count_and_missing_ones_show(
    values: list[float], lower: float, upper: float
) -> None:
    found = metric_interval(
        replicated(values), [0, 1], [0, 1], replicates=len(values), ci_prob=0.5, seed=1
    )
    assert found.estimate == 0.0
    np.testing.assert_array_equal([found.lower, found.upper], [lower, upper])


def test_a_slope_that_is_infinite_in_every_replicate_has_infinite_limits() -> None:
    outcome, risk = [0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.8, 0.9]
    found = metric_interval(calibration_slope, outcome, risk, replicates=20, seed=1)
    assert (found.estimate, found.lower, found.upper) == (np.inf, np.inf, np.inf)


# errors


@pytest.mark.parametrize("ci_prob", [0, 1, 95, np.nan])
def test_a_probability_outside_0_and_1_is_refused(ci_prob: float) -> None:
    with pytest.raises(MetricError, match=f"ci_prob: found {ci_prob}; allowed: above 0 and below"):
        metric_interval(auc, [0, 1], [0.1, 0.2], ci_prob=ci_prob, seed=1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, 2.0], r"metric: returned shape \(2,\) for weights of shape \(4, 2\)"),
        (1.0, r"metric: returned shape \(\) for weights"),
        ("high", "metric: returned str; expected: a number"),
    ],
)
def test_a_metric_without_a_value_for_each_replicate_is_refused(values: Any, message: str) -> None:
    def metric(outcome: Any, risk: Any, *, weights: Any = None) -> Any:
        return 0.0 if weights is None else values

    with pytest.raises(MetricError, match=message):
        metric_interval(metric, [0, 1], [0.1, 0.2], replicates=4, seed=1)


def test_what_the_metric_refuses_is_refused() -> None:
    with pytest.raises(MetricError, match="both outcomes are needed"):
        metric_interval(auc, [1, 1], [0.1, 0.2], seed=1)
    with pytest.raises(MetricError, match=r"risk: has shape \(1,\)"):
        metric_interval(auc, [0, 1], [0.1], seed=1)
    with pytest.raises(MetricError, match="replicates: found 0"):
        metric_interval(auc, [0, 1], [0.1, 0.2], replicates=0, seed=1)
