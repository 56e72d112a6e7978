"""Predicted numbers of events: laws that are known, whole groups, a misfit that is seen."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import integrate, stats

import bayes_cmvt as bc
from bayes_cmvt import predictive_checks as module
from bayes_cmvt.cohort import load_cohort
from bayes_cmvt.curves import group_patients, risk_group_table
from bayes_cmvt.errors import OptionError
from bayes_cmvt.predictive_checks import predictive_checks, predictive_events
from bayes_cmvt.scoring import Risks
from tests.builders import numeric_cohort, patients, predictor, study
from tests.estimate_fit import drawn_posterior

SHORT = {"seed": 1, "chains": 2, "warmup": 200, "draws": 400}


def part(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    return table


@pytest.fixture(scope="module")
def pep_checks(pep_fit, pep_cohort):
    return predictive_checks(pep_fit, pep_cohort)


@pytest.fixture(scope="module")
def bent():
    """300 patients whose risk is highest in the middle of x, which no straight line follows."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=300)
    frame = pd.DataFrame({"x": x, "y": (np.abs(x) < 0.6).astype(int)})
    cohort = load_cohort(study(predictor("x", label="'\"Dose\" <i>'")), frame)
    return cohort, bc.sample(cohort, **SHORT)


def test_columns_and_order(pep_checks):
    assert list(pep_checks.columns) == [
        *("check", "distribution", "group", "label", "patients", "observed"),
        *("median", "lower", "upper", "p_value", "interval"),
    ]
    assert pep_checks["check"].unique().tolist() == ["events", "risk_group", "predictor"]
    assert pep_checks["distribution"].unique().tolist() == ["prior", "posterior"]


def test_groups_of_a_check_hold_every_patient_and_event_once(pep_checks):
    table = part(pep_checks, distribution="posterior")
    whole = part(table, check="events").iloc[0]
    assert (whole["patients"], whole["observed"]) == (602, 79)
    tenths = part(table, check="risk_group")
    assert len(tenths) == 10
    assert (tenths["patients"].sum(), tenths["observed"].sum()) == (602, 79)
    groups = part(table, check="predictor")
    names = groups["group"].str.split("[").str[0]
    sums = groups.groupby(names)[["patients", "observed"]].sum()
    assert len(sums) == 19
    assert (sums["patients"] == 602).all()
    assert (sums["observed"] == 79).all()


def test_observed_events_are_those_of_the_cohort(pep_checks, pep_cohort):
    rx = pep_cohort.predictors["rx"]
    age = pep_cohort.predictors["age"]
    found = part(pep_checks, distribution="posterior").set_index("group")["observed"]
    assert found["rx[1]"] == pep_cohort.outcome[(rx == "1").to_numpy()].sum()
    lower, upper = np.quantile(age, [1 / 3, 2 / 3])
    assert found["age[1]"] == pep_cohort.outcome[(age <= lower).to_numpy()].sum()
    assert found["age[3]"] == pep_cohort.outcome[(age > upper).to_numpy()].sum()


def test_posterior_predicts_the_draws_of_the_fit(pep_fit, pep_checks, pep_cohort):
    outcome = pep_fit["posterior_predictive"]["outcome"].to_numpy().reshape(-1, 602)
    held = (pep_cohort.predictors["rx"] == "1").to_numpy()
    counts = outcome[:, held].sum(axis=1)
    row = part(pep_checks, distribution="posterior", group="rx[1]").iloc[0]
    limits = np.quantile(counts, [0.5, 0.025, 0.975], method="inverted_cdf")
    np.testing.assert_array_equal(row[["median", "lower", "upper"]].to_numpy(dtype=float), limits)
    tail = (counts > row["observed"]).mean() + (counts == row["observed"]).mean() / 2
    assert row["p_value"] == pytest.approx(2 * min(tail, 1 - tail))


def test_risk_groups_are_those_of_the_calibration_table(pep_fit, pep_cohort, pep_checks):
    risk = bc.predict(pep_fit, pep_cohort)["risk"].to_numpy()[np.newaxis]
    rule = Risks("horseshoe", "development", "apparent", pep_cohort.outcome, risk)
    judged = risk_group_table(group_patients(rule, risk, 1))
    tenths = part(pep_checks, check="risk_group", distribution="posterior")
    np.testing.assert_array_equal(tenths["patients"], judged["patients"])
    np.testing.assert_array_equal(tenths["observed"], judged["events"])
    assert tenths["label"].iloc[0] == f"Risk up to {judged['risk_upper'].iloc[0]:.3f}"


def test_prior_of_events_is_symmetric_where_the_prior_is(pep_fit, pep_cohort):
    """Intercept and coefficients are symmetric about 0: so many events are as likely as none."""
    table = part(predictive_events(pep_fit, pep_cohort), distribution="prior")
    probability = table["probability"].to_numpy()
    mean = probability @ table["events"].to_numpy()
    # 20,000 draws of a number whose SD is at most 301: standard error 2.1
    assert mean == pytest.approx(301, abs=9)
    ends = probability[:30].sum(), probability[-30:].sum()
    assert ends[0] == pytest.approx(ends[1], abs=0.02)


def test_prior_of_events_is_a_binomial_mixed_over_the_intercept():
    """Second algorithm, for a prior that leaves nothing but the intercept: an integral over it."""
    rest = '[prior]\nfamily = "normal"\nscale = 1e-9\nintercept = "normal"\nintercept_scale = 1.5\n'
    cohort = numeric_cohort(np.random.default_rng(1).normal(size=(12, 1)), rest=rest)
    fit = bc.sample(cohort, **SHORT)
    found = part(predictive_events(fit, cohort), distribution="prior")

    def weighed(alpha, events):
        return stats.norm.pdf(alpha, 0, 1.5) * stats.binom.pmf(events, 12, 1 / (1 + np.exp(-alpha)))

    exact = [integrate.quad(weighed, -12, 12, args=(k,))[0] for k in range(13)]
    # 20,000 draws: standard error of a probability at most 0.003
    np.testing.assert_allclose(found["probability"], exact, atol=0.012)


def test_events_sum_to_one_and_repeat_what_was_observed(pep_fit, pep_cohort):
    table = predictive_events(pep_fit, pep_cohort)
    sums = table.groupby("distribution")["probability"].sum()
    np.testing.assert_allclose(sums, 1, rtol=1e-12)
    assert (table["observed"] == 79).all()
    assert (table.groupby("distribution")["events"].agg(["min", "max"]) == [0, 602]).all(axis=None)
    outcome = pep_fit["posterior_predictive"]["outcome"].to_numpy().sum(axis=-1)
    posterior = part(table, distribution="posterior").set_index("events")["probability"]
    assert posterior[79] == (outcome == 79).mean()


def test_same_seed_same_table(pep_fit, pep_cohort, pep_checks):
    pd.testing.assert_frame_equal(predictive_checks(pep_fit, pep_cohort), pep_checks)


def test_a_bend_that_the_model_misses_is_seen_in_thirds(bent):
    cohort, fit = bent
    table = part(predictive_checks(fit, cohort), distribution="posterior")
    assert part(table, check="events")["p_value"].iloc[0] > 0.5
    thirds = part(table, check="predictor")
    assert (thirds["p_value"] < 1e-3).all()
    assert thirds["observed"].iloc[1] > thirds["upper"].iloc[1]
    assert thirds["label"].iloc[0].startswith('"Dose" <i>: up to -0.')


def test_two_sided_p_values_count_equal_numbers_half():
    counts = np.array([[1], [2], [2], [3]])
    for observed, expected in ((2, 1.0), (3, 0.25), (0, 0.0), (1, 0.25)):
        assert module._two_sided(counts, np.array([observed]))[0] == pytest.approx(expected)


def test_a_predictor_with_a_level_of_few_patients_is_left_out_and_ties_make_fewer_groups():
    frame = patients(60, rare=(np.arange(60) < 9).astype(int), x=np.repeat([1.0, 2.0], [50, 10]))
    declared = predictor("x", unit='"mg/L"') + predictor("rare", "binary")
    cohort = load_cohort(study(declared), frame)
    table = predictive_checks(bc.sample(cohort, **SHORT), cohort)
    found = part(table, check="predictor", distribution="prior")
    assert found["group"].tolist() == ["x[1]", "x[2]"]
    assert found["label"].tolist()[:2] == ["x: up to 1 mg/L", "x: above 1 mg/L"]
    assert found["patients"].tolist() == [50, 10]
    assert len(part(table, check="risk_group", distribution="prior")) <= 6


def test_what_cannot_be_checked_is_refused(pep_fit, pep_cohort, bent):
    cohort, _ = bent
    with pytest.raises(OptionError, match="did not learn from the development patients"):
        predictive_checks(pep_fit, cohort)
    with pytest.raises(OptionError, match="no prior of its own"):
        predictive_events(drawn_posterior(cohort), cohort)
    with pytest.raises(OptionError, match="between 0 and 1"):
        predictive_checks(pep_fit, pep_cohort, 1.0)


def test_prior_draws_of_nothing_but_certain_outcomes(bent):
    cohort, fit = bent
    drawn = fit["prior"].to_dataset().copy()
    drawn["intercept"] = xr.full_like(drawn["intercept"], 1e6)
    changed = fit.copy()
    changed["prior"] = xr.DataTree(drawn)
    table = part(predictive_events(changed, cohort), distribution="prior").set_index("events")
    assert table.loc[300, "probability"] == 1
