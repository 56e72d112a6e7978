"""Printed shares of responders as priors: what is read, what enters a fit, what is refused."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import beta

from bayes_cmvt.errors import OptionError, StudyError
from bayes_cmvt.responses import (
    PseudoPatients,
    pseudo_patients,
    response_directions,
    response_priors,
    where_text,
)
from bayes_cmvt.study import load_study, parse_study
from tests.builders import predictor, study

PREDICTORS = (
    predictor("grade", "ordinal", levels='["I", "II", "III"]')
    + predictor("type", "categorical", levels='["a", "b", "c"]')
    + predictor("old", "binary", levels='["no", "yes"]')
    + predictor("x")
)


def response(**keys):
    """One ``[[published.responses]]`` table; values are TOML text."""
    keys = {"group": '"some"', **keys}
    return "[[published.responses]]\n" + "".join(f"{key} = {keys[key]}\n" for key in keys)


def direction(**keys):
    return "[[published.directions]]\n" + "".join(f"{key} = {keys[key]}\n" for key in keys)


def small(*tables):
    return study(PREDICTORS, "".join(tables))


def only(**keys):
    (prior,) = response_priors(small(response(**keys)))
    return prior


# --- what is read --------------------------------------------------------------------------------


def test_printed_shares_of_the_review():
    priors = {prior.group: prior for prior in response_priors(load_study("ldh"))}
    found = {
        name: (prior.printed, prior.low, prior.high, prior.a, prior.b, prior.worth)
        for name, prior in priors.items()
    }
    assert found == {
        "bulging": ("0.9", 0.85, 0.95, 18, 2, 20),
        "protruding": ("0.70 to 0.80", 0.7, 0.8, 15, 5, 20),
        "prolapsed": ("<0.50", 0.0, 0.5, 5, 15, 20),
        "free": ("0.50 to 0.70", 0.5, 0.7, 12, 8, 20),
    }
    for name, prior in priors.items():
        assert prior.where == (("type", name),)
        assert prior.a / prior.worth == pytest.approx(prior.mean, abs=1e-12)
    assert "no figure is printed for this type" in priors["protruding"].note
    assert '"<0.50" read as 0 to 0.5, its middle 0.25 taken' in priors["prolapsed"].note


def test_direction_of_the_review_has_no_figure():
    (found,) = response_directions(load_study("ldh"))
    assert found.where == (("type", "free"),)
    assert (found.better, found.worse) == ((("age_group", "<25"),), (("age_group", ">=25"),))


def test_study_without_responses_has_no_priors():
    for name in ("cmvt", "pep"):
        assert response_priors(load_study(name)) == ()
        assert response_directions(load_study(name)) == ()
    assert response_priors(study()) == response_directions(study()) == ()


def test_responses_survive_being_written_out():
    before = load_study("ldh")
    again = parse_study(before.to_toml())
    assert response_priors(again) == response_priors(before)
    assert response_directions(again) == response_directions(before)


@pytest.mark.parametrize(
    ("keys", "low", "high", "mean"),
    [
        ({"share": '"0.90"'}, 0.895, 0.905, 0.9),
        ({"share": '"1.0"'}, 0.95, 1.0, 1.0),
        ({"share": '"0"'}, 0.0, 0.5, 0.0),
        ({"share": '">0.80"'}, 0.8, 1.0, 0.9),
        ({"share": '"≤0.3"'}, 0.0, 0.3, 0.15),
        ({"low": '"0.5"', "high": '"0.7"'}, 0.5, 0.7, 0.6),
    ],
)
def test_shares_bounds_and_ranges(keys, low, high, mean):
    prior = only(**keys)
    assert (prior.low, prior.high, prior.mean) == pytest.approx((low, high, mean), abs=1e-12)
    assert prior.a + prior.b == prior.worth == 20


@pytest.mark.parametrize(
    ("share", "worth", "a"),
    [
        ("0.75", 10, 8),
        ("0.25", 10, 3),
        ("0.9", 2, 1),
        ("1.0", 20, 19),
        ("0", 20, 1),
        ("0.29", 50, 15),
    ],
)
def test_whole_patients_halves_upwards_never_none_of_a_kind(share, worth, a):
    prior = only(share=f'"{share}"', worth=worth)
    assert (prior.a, prior.b) == (a, worth - a)
    exact = a / worth == pytest.approx(float(share), abs=1e-12)
    assert ("in whole patients" in prior.note) is not exact


def test_worth_is_the_users():
    one = small(response(share='"0.9"', worth=10))
    assert response_priors(one)[0].worth == 10
    assert response_priors(one, worth=50)[0].a == 45
    with pytest.raises(OptionError, match="worth: found 1; allowed: 2 patients or more"):
        response_priors(one, worth=1)


def test_levels_are_those_of_the_study_in_its_order():
    numbers = predictor("dose", "categorical", levels="[1, 2, 3]")
    one = study(PREDICTORS + numbers, response(where='{ dose = 2.0, type = "b" }', share='"0.5"'))
    (prior,) = response_priors(one)
    assert prior.where == (("type", "b"), ("dose", 2))
    assert where_text(prior.where) == "type = b, dose = 2"
    assert where_text(()) == "all patients"


def test_figures_that_share_patients_say_so():
    priors = response_priors(
        small(
            response(group='"all"', share='"0.5"'),
            response(group='"b"', where='{ type = "b" }', share='"0.6"'),
            response(group='"c"', where='{ type = "c" }', share='"0.7"'),
            response(group='"old"', where='{ old = "yes" }', share='"0.4"'),
        )
    )
    said = {prior.group: prior.note.rpartition("shares patients with ")[2] for prior in priors}
    assert said["all"].startswith('"b", "c", "old"')
    assert said["b"].startswith('"all", "old"')
    assert said["old"].startswith('"all", "b", "c"')


# --- what enters the likelihood ------------------------------------------------------------------


def test_pseudo_patients_are_whole_and_stand_at_the_mean_of_what_is_unsaid():
    one = small(
        response(where='{ type = "c", grade = "III" }', share='"0.75"', worth=4),
        response(group='"young"', where='{ type = "a", old = "no" }', share='"0.5"', worth=2),
    )
    rows = pseudo_patients(one, response_priors(one))
    assert one.terms == ("grade", "type[b]", "type[c]", "old", "x")
    nan = np.nan
    expected = [[2, 0, 1, nan, nan]] * 4 + [[nan, 0, 0, 0, nan]] * 2
    np.testing.assert_array_equal(rows.columns, expected)
    assert rows.outcome.tolist() == [1, 1, 1, 0, 1, 0]
    assert rows.group == ("some",) * 4 + ("young",) * 2
    mean, sd = np.array([1.0, 0.3, 0.3, 0.5, 9.0]), np.array([0.5, 0.4, 0.5, 0.5, 2.0])
    found = rows.standardised(mean, sd)
    np.testing.assert_allclose(found[0], [2.0, -0.75, 1.4, 0.0, 0.0], rtol=1e-12)
    np.testing.assert_allclose(found[4], [0.0, -0.75, -0.6, -1.0, 0.0], rtol=1e-12)


def test_no_priors_are_no_rows():
    rows = pseudo_patients(study(), ())
    assert isinstance(rows, PseudoPatients)
    assert rows.columns.shape == (0, 1)
    assert rows.outcome.shape == (0,)


def test_flat_prior_times_pseudo_patients_is_the_beta_prior_of_each_group():
    """The likelihood of the rows, on a grid of log-odds of each type, against Beta densities.

    The intercept and three contrasts are a linear map of the log-odds of the four types, of
    constant Jacobian, so that a flat prior of the one is a flat prior of the other.
    """
    one = load_study("ldh")
    priors = response_priors(one)
    rows = pseudo_patients(one, priors)
    types = rows.columns[:, :3]
    log_odds = np.linspace(-7, 7, 281)
    for prior in priors:
        own = np.array([name == prior.group for name in rows.group])
        assert len(np.unique(types[own], axis=0)) == 1
        ones = rows.outcome[own].sum()
        log_likelihood = ones * -np.logaddexp(0, -log_odds)
        log_likelihood += (own.sum() - ones) * -np.logaddexp(0, log_odds)
        share = expit(log_odds)
        expected = beta.logpdf(share, prior.a, prior.b) + np.log(share * (1 - share))
        difference = log_likelihood - expected
        np.testing.assert_allclose(difference, difference[0], atol=1e-9)
    distinct = np.column_stack([np.ones(4), np.unique(types, axis=0)])
    assert abs(np.linalg.det(distinct)) == pytest.approx(1)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, 'key "share" is missing; give it, or "low" and "high"'),
        ({"share": '"0.5"', "low": '"0.4"'}, 'give either "share" or "low" and "high"'),
        ({"low": '"0.4"'}, 'key "high" is missing'),
        ({"high": '"0.4"'}, 'key "low" is missing'),
        ({"low": '"0.7"', "high": '"0.5"'}, '"low" is 0.7 and "high" 0.5; low must be the smaller'),
        ({"low": '"0.5"', "high": '"0.5"'}, "low must be the smaller"),
        ({"share": '"90"'}, 'key "share": found "90"; a share lies between 0 and 1'),
        ({"share": '"-0.2"'}, 'found "-0.2"; a share lies between 0 and 1'),
        ({"share": '"<0"'}, 'found "<0"; a share lies between 0 and 1'),
        ({"share": '">1"'}, 'found ">1"; a share lies between 0 and 1'),
        ({"low": '"<0.5"', "high": '"0.7"'}, 'key "low": found "<0.5"; the end of a range is a'),
        ({"share": '"0.5"', "worth": 1}, 'key "worth": found 1; allowed: 2 or more'),
        ({"share": '"0.5"', "where": '{ kind = "b" }'}, 'key "where": "kind" is no predictor'),
        ({"share": '"0.5"', "where": '{ typ = "b" }'}, 'did you mean "type"?'),
        ({"share": '"0.5"', "where": '{ type = "d" }'}, "'d' is no level of \"type\"; allowed: "),
        ({"share": '"0.5"', "where": "{ x = 3 }"}, '"x" is a measurement; a group needs a'),
        ({"share": '"0.5"', "group": '" "'}, 'key "group": is blank'),
    ],
)
def test_responses_that_cannot_be_used_are_refused_naming_the_key(keys, words):
    with pytest.raises(StudyError, match="printed responses under") as caught:
        response_priors(small(response(**keys)))
    assert words in str(caught.value)
    assert "[[published.responses]], no. 1" in str(caught.value)
    with pytest.raises(StudyError):
        response_directions(small(response(**keys)))


FREE = response(where='{ type = "b" }', share='"0.6"')


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (("{}", '{ old = "no" }', '{ old = "yes" }'), "no share is given for these patients"),
        (('{ type = "b" }', '{ old = "no" }', '{ grade = "I" }'), "levels of the same predictors"),
        (('{ type = "b" }', "{}", "{}"), "levels of the same predictors"),
        (('{ type = "b" }', '{ old = "no" }', '{ old = "no" }'), "are the same patients"),
        (('{ type = "b" }', '{ type = "a" }', '{ type = "c" }'), '"type" is in "where" already'),
        (('{ type = "b" }', '{ old = "ja" }', '{ old = "no" }'), "\"better\": 'ja' is no level of"),
    ],
)
def test_directions_that_cannot_be_used_are_refused(keys, words):
    where, better, worse = keys
    with pytest.raises(StudyError) as caught:
        response_priors(small(FREE, direction(where=where, better=better, worse=worse)))
    assert words in str(caught.value)
    assert "[[published.directions]], no. 1" in str(caught.value)


def test_everything_wrong_is_said_at_once():
    wrong = small(FREE, FREE, response(group='"other"', low='"0.4"', high='"0.4"'))
    with pytest.raises(StudyError, match="3 problems") as caught:
        response_priors(wrong)
    text = str(caught.value)
    assert 'no. 2 "some", key "group": the name stands twice' in text
    assert 'no. 2 "some", key "where": a share of these patients is already given' in text
    assert 'no. 3 "other": "low" is 0.4 and "high" 0.4' in text
