"""Sample sizes: pmsampsize's published examples, the source's formula, and R's own simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_cmvt.errors import OptionError, StudyError
from bayes_cmvt.sample_size import (
    SAMPLE_SIZE_COLUMNS,
    ExpectedFit,
    Targets,
    cox_snell_of_c,
    expected_shrinkage,
    maximum_cox_snell,
    methods_sentence,
    optimism_sample_size,
    prediction_error,
    prediction_error_sample_size,
    required_sample_size,
    sample_size_table,
    shrinkage_sample_size,
)
from bayes_cmvt.study import load_study
from tests.builders import study

FORMULA = """
[published]
n_development = "224"
[published.sample_size]
k = "1.96"
delta = "0.05"
proportions = ["0.13", "0.32"]
printed = ["174", "334"]
missing = "0.20"
printed_with_missing = ["209", "401"]
"""

shares = st.floats(0.02, 0.98)
explained = st.floats(0.02, 0.9)  # of the maximum


def sizes(columns, share, **fit):
    table = required_sample_size(columns, share, fit=ExpectedFit(**fit))
    return table.set_index("criterion")["n"].to_dict()


# --- published examples -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "share", "fit", "expected"),
    [
        # example of its help, with the outputs that its authors' Python port tests (Chagas disease,
        # Riley et al. 2019, doi:10.1002/sim.7992: 4.8 events per parameter)
        (24, 0.174, {"r2_cox_snell": 0.288}, (623, 662, 221)),
        # the same with a C statistic, which pmsampsize simulates: here the integral itself
        (24, 0.174, {"c_statistic": 0.89}, (615, 660, 221)),
        # its test suite, first and third criterion; its second was then rounded on the way
        (24, 0.174, {"r2_cox_snell": 0.55}, (255, None, 221)),
        (36, 0.174, {"r2_cox_snell": 0.288}, (934, None, 221)),
        (24, 0.25, {"r2_cox_snell": 0.288}, (623, None, 289)),
    ],
)
def test_criteria_are_those_of_pmsampsize(columns, share, fit, expected):
    found = sizes(columns, share, **fit)
    for criterion, n in zip(("shrinkage", "optimism", "event share"), expected, strict=True):
        assert n is None or found[criterion] == n


def test_binding_criterion_and_events_per_column_of_the_published_example():
    table = required_sample_size(24, 0.174, fit=ExpectedFit(r2_cox_snell=0.288))
    assert table["criterion"][table["binding"]].tolist() == ["optimism"]
    row = table[table["binding"]].iloc[0]
    assert row["events"] == pytest.approx(115.188, abs=1e-9)
    assert row["events_per_column"] == pytest.approx(4.7995, abs=1e-9)


def test_earlier_versions_of_pmsampsize_rounded_on_the_way():
    """668 for the second criterion: maximum rounded to 2 digits, shrinkage to 3."""
    shrinkage = round(0.288 / (0.288 + 0.05 * round(maximum_cox_snell(0.174), 2)), 3)
    assert math.ceil(shrinkage_sample_size(24, 0.288, shrinkage)) == 668


def test_30_columns_and_5_percent_events():
    """Criterion 1 as pmsampsize 1.1.3 reports it at R² 0.05; the other two by hand."""
    found = sizes(30, 0.05, r2_cox_snell=0.05)
    assert found["shrinkage"] == 5249
    assert found["event share"] == math.ceil((1.96 / 0.05) ** 2 * 0.05 * 0.95) == 73
    by_hand = -0.508 + 0.259 * math.log(0.05) + 0.504 * math.log(30) - math.log(0.05)
    assert found["prediction error"] == math.ceil(math.exp(by_hand / 0.544)) == 544


def test_c_statistic_gives_the_r2_of_r():
    """R 4.4, glm on a million patients with two normal predictors, seeds 1 to 6 (see METHODS §9).

    x <- c(rnorm(a), rnorm(n - a, sqrt(2) * qnorm(C))); 1 - exp(-(null.deviance - deviance) / n).
    The six differ by chance (SD 0.00067 and 0.00048); their mean is known to 0.4 of that.
    """
    at_89 = [0.292004, 0.2910708, 0.2904894, 0.2911491, 0.2902147, 0.2916179]
    at_78 = [0.1596529, 0.1590217, 0.1585243, 0.1586858, 0.1585429, 0.159425]
    for c_statistic, share, simulated in [(0.89, 0.174, at_89), (0.78, 0.2, at_78)]:
        error = np.std(simulated, ddof=1) / math.sqrt(6)
        assert abs(cox_snell_of_c(c_statistic, share) - np.mean(simulated)) < 2.5 * error


def test_c_statistic_agrees_with_other_reported_outputs_of_pmsampsize():
    """R² .158 and n 1556 (C .78), R² .1818 and n 266 (C .81): one simulation each, R² ± .0015."""
    assert cox_snell_of_c(0.78, 0.2) == pytest.approx(0.158, abs=0.0015)
    assert sizes(30, 0.2, c_statistic=0.78)["shrinkage"] == pytest.approx(1556, rel=0.01)
    assert cox_snell_of_c(0.81, 0.18) == pytest.approx(0.1818, abs=0.0015)
    assert sizes(6, 0.18, c_statistic=0.81)["shrinkage"] == pytest.approx(266, rel=0.01)


# --- identities ----------------------------------------------------------------------------------


def test_r2_of_a_c_statistic_is_that_of_the_exact_model():
    """Midpoint rule on 400,001 points of the mixture itself, coded without either shortcut."""
    c_statistic, share = 0.84, 0.31
    from scipy.stats import norm

    distance = math.sqrt(2) * norm.ppf(c_statistic)
    x = np.linspace(-12, 12 + distance, 400_001)
    with_event, without = share * norm.pdf(x, distance), (1 - share) * norm.pdf(x)
    risk = with_event / (with_event + without)
    gain = with_event * np.log(risk / share) + without * np.log((1 - risk) / (1 - share))
    expected = 1 - math.exp(-2 * gain.sum() * (x[1] - x[0]))
    assert cox_snell_of_c(c_statistic, share) == pytest.approx(expected, abs=1e-9)


@given(shares, st.floats(0.501, 0.995))
@settings(max_examples=60, deadline=None)
def test_r2_is_the_same_for_events_and_non_events_and_below_its_maximum(share, c_statistic):
    r2 = cox_snell_of_c(c_statistic, share)
    assert r2 == pytest.approx(cox_snell_of_c(c_statistic, 1 - share), rel=1e-9)
    assert 0 < r2 < maximum_cox_snell(share)
    assert r2 < cox_snell_of_c(min(c_statistic + 0.004, 0.9995), share)


@given(shares, explained, st.integers(1, 60), st.floats(10, 1e5))
@settings(max_examples=60, deadline=None)
def test_expected_shrinkage_inverts_its_sample_size(share, part, columns, n):
    r2 = part * maximum_cox_snell(share)
    shrinkage = expected_shrinkage(n, columns, r2)
    assert r2 <= shrinkage <= 1
    if r2 * (1 + 1e-9) < shrinkage < 1 - 1e-9:
        assert shrinkage_sample_size(columns, r2, shrinkage) == pytest.approx(n, rel=1e-6)


@given(shares, explained, st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_what_a_criterion_measures_at_its_own_n_is_its_target(share, part, columns):
    fit = ExpectedFit(r2_nagelkerke=part)
    exact = required_sample_size(columns, share, fit=fit).set_index("criterion")["n_exact"]
    r2 = part * maximum_cox_snell(share)
    optimism = r2 * (1 / expected_shrinkage(exact["optimism"], columns, r2) - 1)
    assert optimism / maximum_cox_snell(share) == pytest.approx(0.05, rel=1e-6)
    error = prediction_error(exact["prediction error"], columns, share)
    assert error == pytest.approx(0.05, rel=1e-9)


def test_maximum_r2_is_reached_by_knowing_every_outcome():
    """1 - (L0 / L1)^(2/n) with L1 = 1: of 3 events in 10."""
    likelihood = 0.3**3 * 0.7**7
    assert maximum_cox_snell(0.3) == pytest.approx(1 - likelihood ** (2 / 10), rel=1e-12)


def test_share_of_the_maximum_and_default_of_15_percent():
    assert sizes(26, 0.36, r2_nagelkerke=0.15) == sizes(26, 0.36)
    table = required_sample_size(26, 0.36)
    assert table["r2_cox_snell"][0] == pytest.approx(0.15 * maximum_cox_snell(0.36), rel=1e-12)
    assert "nothing declared: 15 % of its maximum" in table["r2_source"][0]
    declared = required_sample_size(26, 0.36, fit=ExpectedFit(c_statistic=0.8))
    assert "C statistic 0.8 declared" in declared["r2_source"][0]


def test_prediction_error_stands_beside_and_says_where_it_was_not_simulated():
    table = required_sample_size(26, 0.9, targets=Targets(prediction_error=0.02))
    row = table[table["criterion"] == "prediction error"].iloc[0]
    assert row["n"] > table["n"][:3].max()
    assert not row["binding"]
    assert "at most 12 columns" in row["note"]
    assert "share without the event taken" in row["note"]
    assert row["n_exact"] == pytest.approx(prediction_error_sample_size(26, 0.1, 0.02), rel=1e-12)
    assert "12 columns" not in required_sample_size(12, 0.1)["note"].str.cat()


# --- a study -------------------------------------------------------------------------------------


def test_source_formula_is_recomputed_as_printed():
    one = study(rest=FORMULA)
    table = sample_size_table(one, [("literature", 0.13)])
    formula = table[table["criterion"].str.startswith("printed formula")]
    np.testing.assert_allclose(formula["n_exact"], [173.8, 208.6, 334.4, 401.2], atol=0.05)
    assert formula["n"].tolist() == [174, 209, 335, 402]
    assert formula["printed"].tolist() == ["174", "209", "334", "401"]
    assert "rounded down, where 335 is usual" in formula["note"].iloc[2]
    assert "it takes N / (1 - 0.2), 218" in formula["note"].iloc[1]  # 173.8 / 0.8 = 217.2
    assert not formula["binding"].any()


def test_number_that_does_not_follow_is_said():
    wrong = FORMULA.replace('"334"', '"300"').replace('printed_with_missing = ["209", "401"]', "")
    table = sample_size_table(study(rest=wrong), [("a", 0.13)])
    assert "gives 334.4; the printed 300 does not follow" in table["note"][2]
    assert "gives 401.2;" in table["note"][3]


def test_table_of_a_study_has_its_columns_and_its_patients():
    table = sample_size_table(load_study("cmvt"), [("82 + 34", 116 / 319), ("60 + 34", 94 / 319)])
    assert list(table) == SAMPLE_SIZE_COLUMNS
    criteria = table[table["r2_cox_snell"].notna()]
    assert criteria["columns"].tolist() == [26] * 8
    assert criteria["study_n"].tolist() == [224] * 8
    assert criteria["scenario"].tolist() == ["82 + 34"] * 4 + ["60 + 34"] * 4
    first = criteria.iloc[0]
    assert first["n"] == math.ceil(shrinkage_sample_size(26, first["r2_cox_snell"]))
    assert first["at_study_n"] == pytest.approx(
        expected_shrinkage(224, 26, first["r2_cox_snell"]), rel=1e-12
    )
    without = sample_size_table(study(), [("as observed", 79 / 602)], columns=5)
    assert without["columns"].tolist() == [5] * 4
    assert without["at_study_n"].isna().all()


def test_sentence_says_assumptions_figures_and_references():
    table = sample_size_table(load_study("cmvt"), [("82 + 34", 116 / 319), ("low", 0.125)])
    first, second = methods_sentence(table).split("\n")
    n = table[table["binding"]]["n"].tolist()
    for words in (
        "26 candidate columns",
        "0.364",
        f"at least {n[0]:,} patients",
        "shrinkage of at least 0.9",
        "BMJ 2020;368:m441",
        "15 % of its maximum",
        "Stat Methods Med Res 2019;28:2455",
        "With the 224 patients at hand the expected shrinkage is 0.51",
    ):
        assert words in first, words
    assert f"at least {n[1]:,} patients" in second
    alone = methods_sentence(required_sample_size(1, 0.2))
    assert "1 candidate column," in alone
    assert "at hand" not in alone


# --- bad input -----------------------------------------------------------------------------------


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(OptionError, match="6 problems") as caught:
        required_sample_size(
            0,
            1.2,
            fit=ExpectedFit(r2_nagelkerke=1.5, c_statistic=0.4),
            targets=Targets(shrinkage=1.0),
        )
    text = str(caught.value)
    assert "columns: found 0; allowed: a whole number, 1 or more" in text
    assert "event share: found 1.2" in text
    assert "target shrinkage: found 1.0" in text
    assert "found r2_nagelkerke = 1.5, c_statistic = 0.4; declare one of them" in text
    assert "C statistic: found 0.4; it must lie between 0.5 and 1" in text
    assert "Nagelkerke's R²: found 1.5" in text


@pytest.mark.parametrize(
    ("columns", "share", "fit", "words"),
    [
        (5, 0.05, {"r2_cox_snell": 0.5}, "lies between 0 and 0.328"),
        (5, 0.4, {"r2_cox_snell": -0.1}, "Cox-Snell's R²: found -0.1"),
        (2.5, 0.4, {}, "columns: found 2.5"),
        (5, math.nan, {}, "event share: found nan"),
    ],
)
def test_what_cannot_be_planned_for_is_refused(columns, share, fit, words):
    with pytest.raises(OptionError, match="no sample size can be computed") as caught:
        required_sample_size(columns, share, fit=ExpectedFit(**fit))
    assert words in str(caught.value)


def test_shrinkage_that_any_number_of_patients_reaches_is_refused():
    with pytest.raises(OptionError, match="no number of patients is needed below R²"):
        required_sample_size(
            5, 0.5, fit=ExpectedFit(r2_cox_snell=0.6), targets=Targets(shrinkage=0.5)
        )


def test_shares_need_names_of_their_own_and_a_study_patients():
    for some in ([], [("a", 0.2), ("a", 0.3)]):
        with pytest.raises(OptionError, match="give at least one, each with a name of its own"):
            sample_size_table(load_study("pep"), some)
    with pytest.raises(OptionError, match="patients of the study: found 0"):
        sample_size_table(load_study("pep"), [("a", 0.2)], study_n=0)


def test_formula_that_gives_no_number_is_refused_naming_the_keys():
    wrong = FORMULA.replace('"0.32"', '"32"').replace('delta = "0.05"', 'delta = "<0.05"')
    with pytest.raises(StudyError, match="2 problems") as caught:
        sample_size_table(study(rest=wrong), [("a", 0.2)])
    text = str(caught.value)
    assert '[published.sample_size], key "proportions", no. 2: found "32"' in text
    assert 'key "delta": found "<0.05"; write the number itself' in text


def test_criteria_grow_with_columns():
    for columns in (5, 10, 20):
        more, fewer = sizes(2 * columns, 0.3), sizes(columns, 0.3)
        assert more["shrinkage"] == pytest.approx(2 * fewer["shrinkage"], abs=2)
        exact = optimism_sample_size(2 * columns, 0.3, 0.1)
        assert exact == pytest.approx(2 * optimism_sample_size(columns, 0.3, 0.1), rel=1e-12)
