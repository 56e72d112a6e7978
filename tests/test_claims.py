"""Claims of a print: each contradiction is caught with its reason, and nothing else is."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

import bayes_cmvt as bc
from bayes_cmvt.errors import StudyError
from bayes_cmvt.logistic import fit_maximum_likelihood
from bayes_cmvt.logistic_inference import likelihood_ratio_tests, profile_interval, wald_interval
from bayes_cmvt.published.claims import claims, impossible
from bayes_cmvt.published.printed_table import read_published
from tests.builders import predictor, study

VERDICTS = {"consistent", "impossible", "cannot be told"}
PREDICTORS = predictor("x") + predictor("z") + predictor("item", kind="binary")


def published(text, predictors=PREDICTORS, before=""):
    return study(predictors, before + "[published]\n" + text)


def table_of(*parts, before=""):
    return read_published(published("\n".join(parts), before=before))


def coefficient(term="x", **keys):
    lines = [f'{key} = "{value}"' for key, value in keys.items()]
    return "\n".join(["[[published.coefficients]]", f'term = "{term}"', *lines])


def performance(name="development", **keys):
    lines = [f'{key} = "{value}"' for key, value in keys.items()]
    return "\n".join(["[[published.performance]]", f'set = "{name}"', *lines])


def row(found, claim_id):
    rows = found[found["claim_id"] == claim_id]
    assert len(rows) == 1, found["claim_id"].tolist()
    return rows.iloc[0]


def verdict(found, claim_id):
    return row(found, claim_id)["verdict"]


@pytest.fixture(scope="module")
def cmvt():
    return claims(read_published(bc.load_study("cmvt")))


# --- CMVT ----------------------------------------------------------------------------------------


def test_nothing_in_cmvt_is_impossible_and_every_row_is_whole(cmvt):
    assert cmvt.columns.tolist() == ["claim_id", "claim", "implies", "verdict", "reason"]
    assert cmvt["claim_id"].is_unique
    assert set(cmvt["verdict"]) == {"consistent", "cannot be told"}
    for text in cmvt[["implies", "reason"]].to_numpy().ravel():
        assert text.endswith("."), text
        assert "nan" not in text
    assert not impossible(read_published(bc.load_study("cmvt")))


def test_all_twelve_joint_scenarios_stand_in_the_table(cmvt):
    scenarios = cmvt[cmvt["claim_id"].str.startswith("scenario_")]
    assert len(scenarios) == 12
    assert set(scenarios["verdict"]) == {"cannot be told"}
    told = row(cmvt, "scenario_82_34_swapped")
    assert "the event share lies outside the incidence" in told["implies"]
    assert "the labels of one set would have to be swapped" in told["implies"]


@pytest.mark.parametrize(
    ("claim_id", "words"),
    [
        ("rates_development", "82, 109 or 164 of 224"),
        ("rates_development", "swapped 60, 115 or 142"),
        ("rates_validation", "As printed 61 of 95"),
        ("rates_validation", "swapped 34"),
        ("events_per_candidate_82", "are 3.2 per candidate"),
        ("events_per_candidate_142", "82 patients without the event, the rarer class, are 3.2"),
        ("auc_error_development_60", "gives 0.0314"),
        ("auc_error_validation_34", "gives 0.0438"),
        ("expected_shrinkage", "at least 49.0"),
        ("labels", "82 events in development and 34 events in validation (labels swapped)"),
    ],
)
def test_figures_of_cmvt_are_those_of_the_facts(cmvt, claim_id, words):
    assert words in row(cmvt, claim_id)["implies"]


def test_intervals_of_cmvts_areas_are_symmetric_and_hold_their_estimates(cmvt):
    for name in ("development", "validation"):
        for kind in ("interval", "symmetric", "against_rates"):
            assert verdict(cmvt, f"auc_{kind}_{name}") == "consistent"


def test_what_needs_patients_says_what_would_be_needed(cmvt):
    for claim_id in ("hosmer_lemeshow_development", "calibration_mae_validation"):
        assert verdict(cmvt, claim_id) == "cannot be told"
        assert "would be needed" in row(cmvt, claim_id)["reason"]


# --- The impossible block of the issue -----------------------------------------------------------


def test_a_sensitivity_that_no_ten_patients_give_is_impossible():
    found = claims(table_of('n_development = "40"', performance(sensitivity="0.780", events="10")))
    told = row(found, "sensitivity_development")
    assert told["verdict"] == "impossible"
    assert "7 of 10 is 0.700 and 8 of 10 is 0.800" in told["implies"]
    assert "No whole number of 10 patients gives 0.780" in told["reason"]


def test_an_interval_without_its_odds_ratio_is_impossible_and_refused():
    effect = coefficient(odds_ratio="2", low="0.5", high="1.5", p="0.2")
    declared = published('n_development = "100"\n' + effect)
    tables = []

    def caught(table):
        tables.append(table)
        return impossible(table)

    with pytest.raises(StudyError, match=r"OR 2 lies outside 0\.5 to 1\.5"):
        read_published(declared, caught)
    found = claims(tables[0])
    assert verdict(found, "interval_contains_x") == "impossible"
    assert verdict(found, "p_against_interval_x") == "cannot be told"
    assert "interval_centre_x" not in set(found["claim_id"])


def test_a_p_value_that_its_interval_excludes_is_impossible():
    effect = coefficient(odds_ratio="1.50", low="1.05", high="2.14", p="0.2")
    told = row(claims(table_of('n_development = "100"', effect)), "p_against_interval_x")
    assert told["verdict"] == "impossible"
    assert "exclude that there is no effect, this P does not" in told["reason"]


def test_a_p_value_that_leaves_out_what_its_interval_holds_is_impossible():
    effect = coefficient(odds_ratio="1.50", low="0.75", high="3.00", p="<0.001")
    told = row(claims(table_of('n_development = "100"', effect)), "p_against_interval_x")
    assert told["verdict"] == "impossible"
    assert "This P excludes that there is no effect" in told["reason"]


def test_impossible_lines_stand_alone():
    table = table_of(
        'n = "100"\nn_development = "60"\nn_validation = "30"',
        performance(sensitivity="0.780", events="10"),
    )
    lines = impossible(table)
    assert len(lines) == 2
    assert lines[0].startswith("100 patients: 60 for development, 30 for validation: impossible.")
    assert "The parts add up to 90, not 100." in lines[0]


# --- P, limits and standard errors ---------------------------------------------------------------


@given(
    st.floats(-1.5, 1.5).filter(lambda b: abs(b) > 0.05),
    st.floats(0.05, 0.8),
    st.integers(2, 4),
    st.integers(1, 3),
)
def test_a_true_wald_row_is_never_called_impossible(beta, se, decimals, p_decimals):
    """Rounded to any number of digits, estimate, limits and P of one fit fit together."""
    limits = {"low": beta - ndtri(0.975) * se, "high": beta + ndtri(0.975) * se}
    keys = {name: f"{math.exp(value):.{decimals}f}" for name, value in limits.items()}
    p = 2 * ndtr(-abs(beta) / se)
    keys["p"] = (
        f"{p:.{p_decimals}f}" if round(p, p_decimals) > 0 else f"<0.{'0' * (p_decimals - 1)}1"
    )
    keys["odds_ratio"] = f"{math.exp(beta):.{decimals}f}"
    if keys["low"] == keys["high"]:
        return
    found = claims(table_of('n_development = "2000"', coefficient(**keys)))
    assert verdict(found, "interval_contains_x") == "consistent"
    assert verdict(found, "interval_centre_x") == "consistent"
    assert verdict(found, "p_against_interval_x") == "consistent"


def test_no_usual_interval_and_test_of_one_fit_are_called_impossible():
    """Profile limits and P values by likelihood ratio, in thin classes, where they differ most."""
    rng, tested = np.random.default_rng(4), 0
    while tested < 25:
        columns = np.column_stack([rng.random(90) < 0.08, rng.normal(size=90)]).astype(float)
        risk = 1 / (1 + np.exp(1.5 - rng.normal(scale=1.5) * columns[:, 0]))
        outcome = (rng.random(90) < risk).astype(float)
        fit = fit_maximum_likelihood(columns, outcome)
        if fit.status != "converged":
            continue
        tested += 1
        by_ratio = likelihood_ratio_tests(columns, outcome, fit)[0]
        profile = profile_interval(columns, outcome, fit)[0]
        for limits in (profile, wald_interval(fit)[0]):
            for p in (by_ratio, fit.p_value[0]):
                found = claims(
                    table_of(
                        'n_development = "90"',
                        coefficient(
                            "item",
                            beta=f"{fit.coefficients[0]:.2f}",
                            low=f"{limits[0]:.2f}",
                            high=f"{limits[1]:.2f}",
                            p=f"{p:.3f}" if p > 0.0005 else "<0.001",
                        ),
                    )
                )
                assert "impossible" not in set(found["verdict"])


def test_a_slight_disagreement_of_p_and_interval_cannot_be_told():
    """z = 2.10 from the interval, 1.96 or less from P: profile limits differ by as much."""
    low, high = (math.exp(0.42 + side * 0.2 * 1.96) for side in (-1, 1))
    effect = coefficient(
        odds_ratio=f"{math.exp(0.42):.3f}", low=f"{low:.3f}", high=f"{high:.3f}", p="0.051"
    )
    told = row(claims(table_of('n_development = "100"', effect)), "p_against_interval_x")
    assert told["verdict"] == "cannot be told"
    assert "profile likelihood" in told["reason"]


def test_limits_that_are_not_symmetric_cannot_be_told_from_a_misprint():
    effect = coefficient(odds_ratio="2.00", low="1.10", high="9.00")
    told = row(claims(table_of('n_development = "100"', effect)), "interval_centre_x")
    assert told["verdict"] == "cannot be told"
    assert "profile likelihood" in told["reason"]


@pytest.mark.parametrize(
    ("p", "expected"), [("0.046", "consistent"), ("0.055", "cannot be told"), ("0.5", "impossible")]
)
def test_p_is_compared_with_a_printed_standard_error(p, expected):
    """2 Φ(-0.40/0.20) = 0.0455."""
    found = claims(table_of('n_development = "100"', coefficient(beta="0.400", se="0.200", p=p)))
    assert verdict(found, "p_against_se_x") == expected


def test_an_interval_is_compared_with_a_printed_standard_error():
    effect = coefficient(beta="0.400", se="0.200", low="0.008", high="0.792")
    assert verdict(claims(table_of('n_development = "50"', effect)), "se_against_interval_x") == (
        "consistent"
    )
    effect = coefficient(beta="0.400", se="0.100", low="0.008", high="0.792")
    assert verdict(claims(table_of('n_development = "50"', effect)), "se_against_interval_x") == (
        "impossible"
    )


def test_no_two_classes_of_n_patients_have_so_small_a_standard_error():
    """Balanced classes with risk 1/2 have 4/√n, the least there is: 0.4 of 100 patients."""
    for se, expected in (
        ("0.41", "consistent"),
        ("0.40", "consistent"),
        ("0.38", "cannot be told"),
        ("0.30", "impossible"),
    ):
        effect = coefficient("item", beta="0.400", se=se)
        found = claims(table_of('n_development = "100"', effect))
        assert verdict(found, "standard_error_item") == expected
    found = claims(table_of('n_development = "100"', coefficient(beta="0.400", se="0.010")))
    assert "standard_error_x" not in set(found["claim_id"])


# --- Rules and numbers ---------------------------------------------------------------------------

RULE = "[baseline]\np_enter = 0.05\n"


@pytest.mark.parametrize(
    ("before", "p", "expected"),
    [
        (RULE, "0.036", "consistent"),
        (RULE, "<0.05", "consistent"),
        (RULE, "0.05", "cannot be told"),
        (RULE, "0.2", "impossible"),
        ("", "0.2", "cannot be told"),
    ],
)
def test_the_rule_of_the_final_model_is_tested(before, p, expected):
    effect = coefficient(odds_ratio="1.5", p=p)
    found = claims(table_of('n_development = "100"', effect, before=before))
    assert verdict(found, "p_rule_x") == expected


def test_another_rule_than_p_is_not_tested():
    effect = coefficient(odds_ratio="1.5", p="0.2")
    for rule in ('[baseline]\nelimination = "aic"\n', "[baseline]\np_enter = 1\n"):
        found = claims(table_of('n_development = "100"', effect, before=rule))
        assert "p_rule_x" not in set(found["claim_id"])


def test_what_was_kept_is_tested_against_what_there_was():
    effect = coefficient("z", odds_ratio="1.5", p="0.02")
    found = claims(
        table_of('n_development = "100"\ncandidates = "1"\nretained = ["x", "item"]', effect)
    )
    assert verdict(found, "retained_terms") == "impossible"
    assert '"z"' in row(found, "retained_terms")["reason"]
    assert verdict(found, "retained_number") == "impossible"
    assert verdict(found, "candidates") == "cannot be told"


def test_parts_that_add_up_are_consistent():
    found = claims(
        table_of(
            'n = "90"\nn_development = "60"\nn_validation = "30"\nevents = "15"',
            performance(auc="0.8", events="10"),
            performance("validation", auc="0.8", events="6"),
        )
    )
    assert verdict(found, "patients") == "consistent"
    assert verdict(found, "events") == "impossible"


# --- Sensitivity, specificity and areas ----------------------------------------------------------


def test_rates_that_fit_only_with_their_labels_swapped_are_impossible_as_printed():
    """The validation print of CMVT with its two rates exchanged: 61 events fit one way only."""
    found = claims(
        table_of(
            'n_development = "95"',
            performance(sensitivity="0.824", specificity="0.803", events="61"),
        )
    )
    assert verdict(found, "sensitivity_development") == "impossible"
    told = row(found, "rates_development")
    assert told["verdict"] == "impossible"
    assert "swapped, they fit" in told["reason"]


def test_rates_that_fit_no_number_of_patients_are_impossible():
    found = claims(
        table_of('n_development = "20"', performance(sensitivity="0.995", specificity="0.817"))
    )
    assert verdict(found, "rates_development") == "impossible"
    assert verdict(found, "scenarios") == "impossible"


def test_one_rate_without_events_cannot_be_told():
    found = claims(table_of('n_development = "20"', performance(sensitivity="0.7")))
    told = row(found, "rates_development")
    assert told["verdict"] == "cannot be told"
    assert "would be needed" in told["reason"]


@pytest.mark.parametrize(
    ("auc", "low", "high", "inside", "symmetric"),
    [
        ("0.80", "0.75", "0.85", "consistent", "consistent"),
        ("0.800", "0.710", "0.870", "consistent", "cannot be told"),
        ("0.90", "0.75", "0.85", "impossible", None),
    ],
)
def test_area_and_its_interval(auc, low, high, inside, symmetric):
    found = claims(
        table_of('n_development = "200"', performance(auc=auc, auc_low=low, auc_high=high))
    )
    assert verdict(found, "auc_interval_development") == inside
    if symmetric is not None:
        assert verdict(found, "auc_symmetric_development") == symmetric


def test_limits_that_are_symmetric_on_the_logit_scale_are_called_so():
    """logit 0.8 ± 0.4."""
    limits = [1 / (1 + math.exp(-(math.log(4) + side))) for side in (-0.4, 0.4)]
    keys = {"auc": "0.800", "auc_low": f"{limits[0]:.3f}", "auc_high": f"{limits[1]:.3f}"}
    found = claims(table_of('n_development = "200"', performance(**keys)))
    assert "on the logit scale" in row(found, "auc_symmetric_development")["reason"]


def test_an_area_must_lie_under_a_curve_through_its_own_point():
    """Through (0.1, 0.9) areas run from 0.81 to 0.99."""
    rates = {"sensitivity": "0.90", "specificity": "0.90"}
    for auc, expected in (("0.85", "consistent"), ("0.70", "impossible"), ("1.00", "impossible")):
        found = claims(table_of('n_development = "200"', performance(auc=auc, **rates)))
        assert verdict(found, "auc_against_rates_development") == expected


# --- Sample size ---------------------------------------------------------------------------------

FORMULA = """[published.sample_size]
k = "1.96"
delta = "0.05"
proportions = ["0.13", "0.32"]
printed = ["{first}", "{second}"]
missing = "0.20"
printed_with_missing = ["209", "{missing}"]
"""


def size_claims(first="174", second="334", missing="401"):
    return claims(table_of(FORMULA.format(first=first, second=second, missing=missing)))


def test_sample_size_of_the_source_follows_from_its_formula():
    """1.96² p (1 - p) / 0.05² = 173.8 and 334.4; the second is rounded down."""
    found = size_claims()
    assert "gives 173.8, 174 patients" in row(found, "sample_size_1")["implies"]
    assert "rounded up, as is usual" in row(found, "sample_size_1")["reason"]
    assert "gives 334.4, 335 patients" in row(found, "sample_size_2")["implies"]
    assert "rounded down, where rounding up is usual" in row(found, "sample_size_2")["reason"]
    assert "174 times 1.2" in row(found, "sample_size_with_missing_1")["reason"]
    assert "334 times 1.2" in row(found, "sample_size_with_missing_2")["reason"]
    assert set(found["verdict"][found["claim_id"].str.startswith("sample")]) == {"consistent"}


def test_a_sample_size_that_the_formula_does_not_give_is_impossible():
    found = size_claims(second="384", missing="500")
    assert verdict(found, "sample_size_2") == "impossible"
    assert verdict(found, "sample_size_with_missing_2") == "impossible"


# --- Whatever is printed -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        [""],
        ['n = "10"'],
        ['n_development = "100"', coefficient(odds_ratio="1.00", p="0.98")],
        ['n_development = "100"', coefficient(odds_ratio="1.5", p=">0.05")],
        ['n_development = "100"', coefficient(odds_ratio="0.01", low="0.00", high="0.90")],
        ['n_development = "100"', coefficient(beta="-0.2")],
        ['n_development = "100"', coefficient(beta="-0.2", se="0.1", p="<0.001")],
        ['n_development = "50000"', performance(sensitivity="0.8", specificity="0.7")],
        ['n_development = "30"', performance(sensitivity="1.00", specificity="0.00", events="1")],
        ['n_development = "30"', performance(sensitivity="1.00", specificity="0.5", events="29")],
    ],
)
def test_any_readable_print_is_tested_without_failing(parts):
    found = claims(table_of(*parts))
    assert set(found["verdict"]) <= VERDICTS
    assert found["claim_id"].is_unique
    assert not found.isna().any(axis=None)


@pytest.mark.parametrize("name", ["pep", "ldh"])
def test_shipped_studies_without_printed_coefficients_are_refused_or_tested(name):
    declared = bc.load_study(name)
    if declared.published is None:
        with pytest.raises(StudyError, match="has no"):
            read_published(declared)
        return
    assert set(claims(read_published(declared))["verdict"]) <= VERDICTS
