"""Tables of printed responses: closed forms of Beta and Beta-binomial, and brute-force draws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import beta, betabinom

from bayes_cmvt.errors import OptionError
from bayes_cmvt.published.response_tables import (
    direction_in_words,
    response_predictive,
    response_table,
    response_weight,
    worth_of_range,
)
from bayes_cmvt.responses import response_directions, response_priors
from bayes_cmvt.study import load_study, parse_study


@pytest.fixture(scope="module")
def ldh():
    return load_study("ldh")


def predictive(one, worth=None, **keys):
    return response_predictive(response_priors(one, worth), response_directions(one), **keys)


# --- priors --------------------------------------------------------------------------------------


def test_priors_have_the_quantiles_of_their_beta(ldh):
    table = response_table(response_priors(ldh), 0.9)
    a, b = table["successes"], table["failures"]
    np.testing.assert_allclose(table["prior_mean"], a / (a + b), rtol=1e-12)
    np.testing.assert_allclose(table["prior_lower"], beta.ppf(0.05, a, b), rtol=1e-9)
    np.testing.assert_allclose(table["prior_upper"], beta.ppf(0.95, a, b), rtol=1e-9)
    assert (table["interval"] == 0.9).all()
    assert table["where"].tolist()[-1] == "type = free"


@given(st.floats(0.03, 0.97), st.floats(1.0, 2000.0))
@settings(max_examples=60, deadline=None)
def test_worth_of_a_range_is_that_of_the_beta_it_came_from(mean, worth):
    lower, upper = beta.ppf([0.025, 0.975], worth * mean, worth * (1 - mean))
    assert worth_of_range(mean, upper - lower) == pytest.approx(worth, rel=1e-6)


def test_worth_of_a_range_that_no_beta_has_is_missing():
    for mean, width in [(0.0, 0.2), (1.0, 0.2), (0.5, 0.0), (0.01, 0.999)]:
        assert math.isnan(worth_of_range(mean, width))


def test_the_printed_ranges_would_be_worth_more_than_is_given(ldh):
    """All but the bound: 20 patients are a cautious reading of ranges 10 to 20 points wide."""
    table = response_table(response_priors(ldh)).set_index("group")
    assert (table["worth_of_range"].drop("prolapsed") > 90).all()
    assert table["worth_of_range"]["prolapsed"] == pytest.approx(9.74, abs=0.005)


# --- predictions ---------------------------------------------------------------------------------


def test_groups_without_direction_are_beta_binomial(ldh):
    table = predictive(ldh, patients=35)
    a, b = np.array([[18, 2], [15, 5], [5, 15], [12, 8]]).T
    whole = table[table["stratum"] == "all"]
    assert whole["responders_lower"].tolist() == betabinom.ppf(0.025, 35, a, b).tolist()
    assert whole["responders_upper"].tolist() == betabinom.ppf(0.975, 35, a, b).tolist()
    np.testing.assert_allclose(whole["responders"], 35 * a / (a + b), rtol=1e-12)
    np.testing.assert_allclose(whole["prior_upper"], beta.ppf(0.975, a, b), rtol=1e-9)
    same = table[table["note"].str.startswith("no difference printed")]
    assert same["where"].tolist() == [
        f"type = {name}" for name in ("bulging", "protruding", "prolapsed") for _ in range(2)
    ]
    for _, row in same.iterrows():
        own = whole[whole["group"] == row["group"]].iloc[0]
        assert row["prior_lower"] == own["prior_lower"]
        assert row["responders_upper"] == own["responders_upper"]


def test_strata_of_a_direction_against_a_million_draws(ldh):
    """Mean ± 5 standard errors; quantiles and counts where their empirical level is within 5."""
    table = predictive(ldh, direction_sd=1.0).set_index(["group", "stratum"]).loc["free"]
    rng = np.random.default_rng(5)
    draws = 1_000_000
    log_odds = logit(rng.beta(12, 8, draws))
    half = np.abs(rng.normal(0, 1.0, draws)) / 2
    error = 5 * math.sqrt(0.025 * 0.975 / draws)
    for stratum, sign in (("age_group = <25", 1), ("age_group = >=25", -1)):
        row, share = table.loc[stratum], expit(log_odds + sign * half)
        number = rng.binomial(20, share)
        assert row["prior_mean"] == pytest.approx(share.mean(), abs=5 * share.std() / 1000)
        assert np.mean(share < row["prior_lower"]) == pytest.approx(0.025, abs=error)
        assert np.mean(share < row["prior_upper"]) == pytest.approx(0.975, abs=error)
        fewest, most = row["responders_lower"], row["responders_upper"]
        assert np.mean(number < fewest) < 0.025 + error < np.mean(number <= fewest) + 2 * error
        assert np.mean(number < most) < 0.975 + error
        assert np.mean(number <= most) > 0.975 - error
        assert row["responders"] == pytest.approx(number.mean(), abs=5 * number.std() / 1000)


def test_direction_moves_the_strata_apart_by_as_much_as_is_assumed(ldh):
    tables = [predictive(ldh, direction_sd=sd) for sd in (1e-9, 0.5, 1.0)]
    free = [table[table["group"] == "free"].set_index("stratum") for table in tables]
    young, old = "age_group = <25", "age_group = >=25"
    for column in ("prior_mean", "prior_lower", "prior_upper", "responders"):
        assert free[0].loc[young, column] == pytest.approx(free[0].loc["all", column], abs=1e-6)
        apart = [table.loc[young, column] - table.loc[old, column] for table in free]
        assert apart[0] < apart[1] < apart[2]
    median = free[2]["prior_mean"]
    assert median[old] < median["all"] < median[young]


def test_mirrored_shares_and_directions_give_mirrored_predictions(ldh):
    """Events and non-events exchanged: Beta(8, 12), the other stratum better."""
    text = ldh.to_toml().replace('low = "0.50"\nhigh = "0.70"', 'low = "0.30"\nhigh = "0.50"')
    mirrored = predictive(parse_study(text)).query("group == 'free'").set_index("stratum")
    plain = predictive(ldh).query("group == 'free'").set_index("stratum")
    for one, other in [("age_group = <25", "age_group = >=25"), ("all", "all")]:
        found, expected = mirrored.loc[one], plain.loc[other]
        assert found["prior_mean"] == pytest.approx(1 - expected["prior_mean"], abs=1e-12)
        assert found["prior_lower"] == pytest.approx(1 - expected["prior_upper"], abs=1e-9)
        assert found["responders_upper"] == 20 - expected["responders_lower"]


def test_worth_narrows_predictions_up_to_ten_thousand_patients(ldh):
    widths = []
    for worth in (2, 20, 200, 10_000):
        row = predictive(ldh, worth=worth).query("group == 'free'").iloc[1]
        assert row["prior_lower"] < row["prior_mean"] < row["prior_upper"]
        widths.append(row["prior_upper"] - row["prior_lower"])
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"patients": 0}, "new patients: found 0; allowed: 1 or more"),
        ({"direction_sd": 0.0}, "SD of the direction: found 0.0"),
        ({"direction_sd": math.inf}, "SD of the direction: found inf"),
        ({"ci_prob": 1.0}, "interval: found 1.0"),
    ],
)
def test_options_outside_what_is_allowed_are_refused(ldh, keys, words):
    with pytest.raises(OptionError) as caught:
        predictive(ldh, **keys)
    assert words in str(caught.value)


def test_study_without_responses_has_empty_tables():
    assert predictive(load_study("pep")).empty
    assert response_table(()).empty
    assert response_weight(()).empty


# --- what outweighs ------------------------------------------------------------------------------


@given(st.integers(2, 500), st.sampled_from([0.5, 0.6, 0.8, 0.9]))
@settings(max_examples=60, deadline=None)
def test_n_is_the_first_with_the_weight_and_its_pull_is_the_largest(worth, weight):
    table = response_weight(response_priors(load_study("ldh"), worth), [weight])
    for (_, row), prior in zip(
        table.iterrows(), response_priors(load_study("ldh"), worth), strict=True
    ):
        n = row["n"]
        enough = [
            (k / (worth + k) > 0.5) if weight == 0.5 else (k / (worth + k) >= weight - 1e-12)
            for k in (n - 1, n)
        ]
        assert enough == [False, True]
        pulls = [abs((prior.a + y) / (worth + n) - y / n) for y in (0, n // 2, n)]
        assert row["largest_pull"] == pytest.approx(max(pulls), rel=1e-12)


def test_sentence_of_the_weight(ldh):
    first, second = response_weight(response_priors(ldh))["note"][:2]
    assert first == (
        "type = bulging: from 21 patients on the data have more weight than the printed figure, "
        "and the figure moves the estimate by at most 0.44"
    )
    assert "from 80 patients on the data have 80 % of the weight" in second
    with pytest.raises(OptionError, match="weight of the data: found 1"):
        response_weight(response_priors(ldh), [1.0])


def test_direction_in_words_has_the_quantiles_of_a_half_normal():
    draws = np.exp(np.abs(np.random.default_rng(1).normal(0, 0.4, 400_000)))
    words = f"median {np.median(draws):.1f}, 95 % below {np.quantile(draws, 0.95):.1f}"
    assert words in direction_in_words(0.4)
