"""Figures of ../shared/data/SOURCES.md come out again, to the last digit that stands there.

Published are those marked [V] there (read in the source) and [M] (from memory of it): test names
say "published" of these alone. The others are the repository's own, mostly of published equations
applied to patients. Sensitivities and specificities stand there for one model only, which was
fitted to patients who are not there (Huber 2019); the published test error of the Pima data is
what they add up to.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from bayes_cmvt.metrics import (
    auc,
    auc_delong,
    auc_difference,
    calibration_in_the_large,
    calibration_intercept,
    calibration_slope,
    log_score,
    sensitivity,
    specificity,
)
from tests.references import shared_table

pytestmark = pytest.mark.reference

type Floats = NDArray[np.float64]


def patients(name: str) -> pd.DataFrame:
    return shared_table("data", name)


def digits(value: float, number: int) -> float:
    """Within half a unit of the last digit, and what adding up in another order may change."""
    return pytest.approx(value, abs=0.5 * 10.0**-number + 1e-12)


def expit(log_odds: Floats) -> Floats:
    return 1 / (1 + np.exp(-log_odds))


def score(table: pd.DataFrame, coefficients: Mapping[str, float], intercept: float) -> Floats:
    """Linear predictor of an equation; what is equal on paper is equal here, or the area moves."""
    found = intercept + table[list(coefficients)].to_numpy(float) @ [*coefficients.values()]
    return found.round(10)


def fitted_risk(columns: pd.DataFrame, outcome: Floats) -> Floats:
    """Risks by maximum likelihood: Newton's steps until none moves a standardised one by 1e-12."""
    standardised = (columns - columns.mean()) / columns.std(ddof=0)
    design = np.column_stack([np.ones(len(columns)), standardised.to_numpy(float)])
    beta = np.zeros(design.shape[1])
    for _ in range(30):
        risk = expit(design @ beta)
        information = (design.T * (risk * (1 - risk))) @ design
        step = np.linalg.solve(information, design.T @ (outcome - risk))
        beta += step
        if np.abs(step).max() < 1e-12:
            return expit(design @ beta)
    pytest.fail("Newton's steps did not converge")


# --- fracture: Hosmer, Lemeshow & Sturdivant 2013 ------------------------------------------------


def glow() -> tuple[Floats, pd.DataFrame]:
    table = patients("glow500")
    columns = (table[["priorfrac", "momfrac", "armassist", "premeno"]] == "Yes").astype(float)
    columns = columns.join(table[["age", "height", "weight"]])
    columns["same"] = table["raterisk"] == "Same"
    columns["greater"] = table["raterisk"] == "Greater"
    return table["fracture"].to_numpy(float), columns.astype(float)


def test_published_area_of_model_4_16_for_fractures() -> None:
    outcome, columns = glow()
    chosen = columns[["age", "priorfrac", "height", "momfrac", "armassist", "greater"]].assign(
        age_priorfrac=columns["age"] * columns["priorfrac"],
        momfrac_armassist=columns["momfrac"] * columns["armassist"],
    )
    assert auc(outcome, fitted_risk(chosen, outcome)) == digits(0.7286, 4)


def test_published_deviance_of_table_2_3_is_that_of_the_log_score() -> None:
    outcome, columns = glow()
    risk = fitted_risk(columns[["age", "priorfrac", "same", "greater"]], outcome)
    assert 2 * len(outcome) * log_score(outcome, risk) == digits(518.90, 2)
    # the printed equation: its four coefficients are rounded, the log score is flat around them
    printed = {"age": 0.04591, "priorfrac": 0.70023, "same": 0.54856, "greater": 0.86576}
    found = log_score(outcome, expit(score(columns, printed, -4.99060)))
    assert 2 * len(outcome) * found == digits(518.90, 2)


PUBLISHED_FITS = {
    "glow500, table 2.2": (
        {
            "age": 0.050142, "weight": 0.004080, "priorfrac": 0.679457, "premeno": 0.186958,
            "same": 0.534493, "greater": 0.874123,
        },
        -5.605794, 5e-7,
    ),
    "glow500, table 2.3": (
        {"age": 0.04591, "priorfrac": 0.70023, "same": 0.54856, "greater": 0.86576}, -4.99060, 5e-6,
    ),
    "burn1000, table 3.15": (
        {
            "tbsa": 0.089345, "inh_inj": 1.365277, "age": 0.082890, "male": -0.201494,
            "flame": 0.582578, "white": -0.701389,
        },
        -7.695153, 5e-7,
    ),
    "birthwt, Venables & Ripley 7.2": (
        {
            "age": -0.03723, "lwt": -0.01565, "black": 1.19241, "other": 0.74069, "smoke": 0.75553,
            "ptd": 1.34376, "ht": 1.91317, "ui": 0.68019, "ftv1": -0.43638, "ftv2": 0.17901,
        },
        0.82302, 5e-6,
    ),
}  # fmt: skip


def own_patients(title: str) -> tuple[Floats, pd.DataFrame]:
    name = title.split(",")[0]
    return {"glow500": glow, "burn1000": burns, "birthwt": births}[name]()


@pytest.mark.parametrize("title", PUBLISHED_FITS)
def test_a_published_fit_is_calibrated_in_its_own_patients(title: str) -> None:
    """Likelihood equations say slope 1 and level 0; half a unit of each printed digit is lost.

    That moves a log-odds, and therefore the level, by `moved` at most. Line and log-odds have a
    standard deviation above 0.5 in common: 4 times as much for slope and intercept.
    """
    coefficients, intercept, half_unit = PUBLISHED_FITS[title]
    outcome, columns = own_patients(title)
    risk = expit(score(columns, coefficients, intercept))
    moved = half_unit * (1 + np.abs(columns[list(coefficients)]).sum(axis=1).max())
    assert calibration_slope(outcome, risk) == pytest.approx(1, abs=4 * moved)
    assert calibration_in_the_large(outcome, risk) == pytest.approx(0, abs=moved)
    assert calibration_intercept(outcome, risk) == pytest.approx(0, abs=4 * moved)


# --- burns and births ----------------------------------------------------------------------------


def burns() -> tuple[Floats, pd.DataFrame]:
    table = patients("burn1000")
    columns = (table[["inh_inj", "flame"]] == "Yes").join(table[["age", "tbsa"]])
    columns["male"], columns["white"] = table["gender"] == "Male", table["race"] == "White"
    return table["death"].to_numpy(float), columns.astype(float)


def births() -> tuple[Floats, pd.DataFrame]:
    table = patients("birthwt")
    columns = table[["age", "lwt", "smoke", "ht", "ui"]].assign(
        black=table["race"] == 2,
        other=table["race"] == 3,
        ptd=table["ptl"] > 0,
        ftv1=table["ftv"] == 1,
        ftv2=table["ftv"] > 1,
    )
    return table["low"].to_numpy(float), columns.astype(float)


def test_published_deviance_of_low_birth_weights() -> None:
    outcome, columns = births()
    found = log_score(outcome, fitted_risk(columns, outcome))
    assert 2 * len(outcome) * found == digits(195.48, 2)


def test_area_of_the_published_burn_equation() -> None:
    outcome, columns = burns()
    coefficients, intercept, _ = PUBLISHED_FITS["burn1000, table 3.15"]
    assert auc(outcome, score(columns, coefficients, intercept)) == digits(0.966, 3)
    assert auc(outcome, fitted_risk(columns, outcome)) == digits(0.966, 3)


def test_area_of_the_low_birth_weight_model() -> None:
    outcome, columns = births()
    assert auc(outcome, fitted_risk(columns, outcome)) == digits(0.760, 3)


# --- thrombosis: published rules, hypothetical patients ------------------------------------------

OUDEGA = {
    "malign": 0.42, "surg": 0.38, "calfdif3": 1.13, "vein": 0.48, "oachst": 0.75, "sex": 0.59,
    "notraum": 0.60, "ddimdich": 3.01,
}  # fmt: skip
WELLS = ["malign", "par", "surg", "tend", "leg", "calfdif3", "pit", "vein"]


def test_the_oudega_rule_for_thrombosis_in_other_patients() -> None:
    """A rule fitted elsewhere: too extreme and too high."""
    table = patients("dvt_ipd_hypothetical")
    outcome, risk = table["dvt"], expit(score(table, OUDEGA, -5.47))
    assert auc(outcome, risk) == digits(0.819, 3)
    assert calibration_slope(outcome, risk) == digits(0.954, 3)
    assert calibration_in_the_large(outcome, risk) == digits(-0.194, 3)


def test_the_wells_score_needs_no_probabilities() -> None:
    table = patients("dvt_ipd_hypothetical")
    points = score(table, dict.fromkeys(WELLS, 1.0) | {"altdiagn": -2.0}, 0)
    assert auc(table["dvt"], points) == digits(0.725, 3)


def test_a_score_before_surgery_tells_who_has_a_thrombosis() -> None:
    table = patients("dvt_trauma_dpredcrs")
    assert auc(table["dvt"], table["RAPT"]) == digits(0.718, 3)


# --- haemorrhage: pROC ---------------------------------------------------------------------------


def test_published_areas_of_three_markers_of_haemorrhage() -> None:
    table = patients("asah")
    for marker, area in (("wfns", 0.8237), ("s100b", 0.7314), ("ndka", 0.6120)):
        assert auc(table["poor"], table[marker]) == digits(area, 4)


@pytest.mark.parametrize(
    ("marker", "lower", "upper"),
    [("ndka", 0.5012, 0.7227), ("s100b", 0.6301, 0.8326), ("wfns", 0.7485, 0.8988)],
)
def test_delong_limits_of_the_markers(marker: str, lower: float, upper: float) -> None:
    """Those of ndka are published."""
    table = patients("asah")
    found = auc_delong(table["poor"], table[marker])
    assert [found.lower, found.upper] == [digits(lower, 4), digits(upper, 4)]


@pytest.mark.parametrize(
    ("first", "second", "p_value", "number"),
    [("wfns", "s100b", 0.0272, 4), ("wfns", "ndka", 0.00515, 5), ("s100b", "ndka", 0.1643, 4)],
)
def test_delong_tests_of_two_markers(first: str, second: str, p_value: float, number: int) -> None:
    table = patients("asah")
    found = auc_difference(table["poor"], table[first], table[second])
    assert found.p_value == digits(p_value, number)


# --- diabetes and trauma -------------------------------------------------------------------------


def diabetes() -> tuple[Floats, Floats]:
    """Outcomes of the test patients, and their risks by a model of the training patients."""
    table = patients("pima")
    columns = table[["npreg", "glu", "bp", "skin", "bmi", "ped", "age"]]
    train, test = (table["set"] == part for part in ("train", "test"))
    outcome = table["diabetes"].to_numpy(float)
    # the equation found on the standardised training columns, applied to all
    standardised = (columns - columns[train].mean()) / columns[train].std(ddof=0)
    risk = fitted_risk(columns[train], outcome[train])
    log_odds = np.log(risk / (1 - risk))
    design = standardised.assign(one=1.0).to_numpy(float)
    equation = np.linalg.lstsq(design[train], log_odds, rcond=None)[0]
    return outcome[test], expit(design[test] @ equation)


def test_published_test_error_of_diabetes_is_what_sensitivity_and_specificity_say() -> None:
    """66 of 332 on the wrong side of 0.5."""
    outcome, risk = diabetes()
    missed = (1 - sensitivity(outcome, risk, 0.5)) * outcome.sum()
    alarmed = (1 - specificity(outcome, risk, 0.5)) * (1 - outcome).sum()
    assert missed + alarmed == pytest.approx(66, abs=1e-9)
    assert (missed + alarmed) / len(outcome) == digits(0.199, 3)


def test_area_of_diabetes_in_the_test_patients() -> None:
    assert auc(*diabetes()) == digits(0.866, 3)


def test_area_of_a_model_of_death_after_trauma() -> None:
    """Of 19,681 with these predictors 74 have no outcome; SOURCES.md's figure has them alive."""
    table = patients("crash2")
    names = ["age", "sbp", "gcs", "hr", "rr", "injurytime"]
    complete = table.dropna(subset=names)
    assert (len(complete), complete["death28"].isna().sum()) == (19_681, 74)
    columns = complete[names].assign(penetrating=(complete["injurytype"] == "penetrating") * 1.0)
    outcome = complete["death28"].fillna(0).to_numpy(float)
    assert auc(outcome, fitted_risk(columns, outcome)) == digits(0.821, 3)
