"""Calibration that the posterior expects: a linear smoother of risks whose mean is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_cmvt as bc
from bayes_cmvt import expected_calibration as module
from bayes_cmvt.cohort import load_cohort
from bayes_cmvt.design import design_matrix
from bayes_cmvt.errors import OptionError
from bayes_cmvt.evaluation import EvaluationSettings, evaluate
from bayes_cmvt.expected_calibration import deployed_risk, expected_calibration, risk_histogram
from bayes_cmvt.posterior import design_of, expit
from tests.builders import numeric_cohort, predictor, study
from tests.estimate_fit import drawn_posterior, fit_of, maximum_likelihood

loess = pytest.importorskip("skmisc.loess").loess
COLUMNS = ["model", "set", "risk", "median", "lower", "upper"]


def with_outcomes(fit, cohort):
    """A fit made by hand that says of whom it learnt."""
    members = cohort.development
    outcome = xr.DataArray(
        cohort.outcome[members], dims="patient", coords={"patient": cohort.rows[members]}
    )
    fit["observed_data"] = xr.DataTree(xr.Dataset({"outcome": outcome}))
    return fit


def posterior_of(cohort, **keys):
    return with_outcomes(drawn_posterior(cohort, **keys), cohort)


def workflow_of(cohort):
    return with_outcomes(maximum_likelihood(cohort), cohort)


@pytest.fixture(scope="module")
def split_cohort():
    """200 patients, every fifth pair held out: one with the event, one without."""
    whole = numeric_cohort(np.random.default_rng(8).normal(size=(200, 3)))
    sets = np.where(np.arange(200) // 2 % 5 == 0, "validation", "development")
    return replace(whole, sets=sets)


@pytest.fixture(scope="module")
def drawn(split_cohort):
    return posterior_of(split_cohort, draws=300)


def risks_of_draws(fit, cohort, members):
    matrix = design_matrix(design_of(fit), cohort.predictors[members])
    posterior = fit["posterior"]
    return expit(posterior["intercept"].to_numpy().T + posterior["beta"].to_numpy()[0] @ matrix.T)


def test_deployed_risk_is_that_of_predict(drawn, split_cohort):
    matrix = design_matrix(design_of(drawn), split_cohort.predictors)
    found = deployed_risk(drawn, matrix)
    np.testing.assert_allclose(found, bc.predict(drawn, split_cohort)["risk"], rtol=1e-12)
    workflow = workflow_of(split_cohort)
    matrix = design_matrix(design_of(workflow), split_cohort.predictors)
    expected = bc.predict(workflow, split_cohort)["risk"]
    np.testing.assert_allclose(deployed_risk(workflow, matrix), expected, rtol=1e-12)


@pytest.mark.parametrize(("points", "tolerance"), [(None, 1e-9), (module.GRID, 2e-3)])
def test_each_curve_is_the_local_regression_of_the_risks_of_a_draw(
    drawn, split_cohort, monkeypatch, points, tolerance
):
    """Second algorithm: Cleveland's own loess, of the risks themselves.

    As in the calibration table it is computed at 100 of the 160 risks and interpolated; without
    that it is exact where three quarters of the patients are a whole number, as here.
    """
    monkeypatch.setattr(module, "GRID", points)
    true = risks_of_draws(drawn, split_cohort, split_cohort.development)
    deployed = true.mean(axis=0)
    grid = np.linspace(*np.quantile(deployed, [0.005, 0.995]), 100)
    found = module._smoothed(deployed, true[:3], grid)
    for curve, risks in zip(found, true[:3], strict=True):
        smooth = loess(deployed, risks, span=0.75, degree=2, surface="direct")
        smooth.fit()
        np.testing.assert_allclose(curve, smooth.predict(grid).values, atol=tolerance)


def test_mean_over_draws_is_the_deployed_risk_itself(pep_fit, pep_cohort):
    """A local quadratic keeps straight lines, and the deployed risk is the mean of the draws."""
    posterior = pep_fit["posterior"]
    matrix = design_matrix(design_of(pep_fit), pep_cohort.predictors)
    kept = slice(0, 100)
    true = expit(
        posterior["intercept"].to_numpy()[0, kept, None]
        + posterior["beta"].to_numpy()[0, kept] @ matrix.T
    )
    deployed = true.mean(axis=0)
    grid = np.linspace(*np.quantile(deployed, [0.005, 0.995]), 100)
    mean = module._smoothed(deployed, true, grid).mean(axis=0)
    np.testing.assert_allclose(mean, grid, atol=1e-9)


def test_limits_are_quantiles_over_draws_of_both_sets(drawn, split_cohort):
    table = expected_calibration(drawn, split_cohort, 0.8)
    assert list(table.columns) == [*COLUMNS, "interval"]
    for called, part in table.groupby("set"):
        members = split_cohort.sets == called
        true = risks_of_draws(drawn, split_cohort, members)
        grid = part["risk"].to_numpy()
        curves = module._smoothed(true.mean(axis=0), true, grid).clip(0, 1)
        limits = np.quantile(curves, [0.1, 0.5, 0.9], axis=0).T
        np.testing.assert_allclose(part[["lower", "median", "upper"]], limits, atol=1e-9)
    assert set(table["set"]) == {"development", "validation"}
    assert (table["interval"] == 0.8).all()


def test_grid_is_that_of_the_calibration_table(drawn, split_cohort):
    quick = EvaluationSettings(replicates=100, repeats=0, splits=0)
    settings = evaluate({"horseshoe": drawn}, split_cohort, settings=quick)
    observed = settings.tables["calibration"]
    expected = expected_calibration(drawn, split_cohort)
    np.testing.assert_allclose(expected["risk"], observed["risk"], rtol=1e-12)
    assert list(expected["set"]) == list(observed["set"])


def test_draws_that_agree_have_no_band(split_cohort):
    table = expected_calibration(posterior_of(split_cohort, draws=5, spread=0.0), split_cohort)
    for column in ("lower", "median", "upper"):
        np.testing.assert_allclose(table[column], table["risk"], atol=1e-9)


def test_fewer_draws_are_evenly_spaced(drawn, split_cohort):
    some = expected_calibration(drawn, split_cohort, draws=3)
    members = split_cohort.development
    true = risks_of_draws(drawn, split_cohort, members)
    part = some[some["set"] == "development"]
    deployed = true.mean(axis=0)
    curves = module._smoothed(deployed, true[[0, 150, 299]], part["risk"].to_numpy())
    np.testing.assert_allclose(part["median"], np.median(curves.clip(0, 1), axis=0), atol=1e-9)


def test_two_different_risks_are_joined_by_a_line():
    frame = pd.DataFrame({"y": [0, 1, 0, 1, 1, 0], "x": [0, 0, 0, 1, 1, 1]})
    cohort = load_cohort(study(predictor("x", "binary")), frame)
    table = expected_calibration(posterior_of(cohort, draws=9), cohort)
    assert table[["median", "lower", "upper"]].notna().all(axis=None)


def test_risks_are_counted_in_bins_that_hold_their_lower_end():
    """Risks 0.06, 1 - 1e-12 and so on, by an intercept for each level."""
    risks = [0.02, 0.06, 0.0599999, 0.5, 0.98]
    x = np.repeat(np.log(np.array(risks) / (1 - np.array(risks))), 2)
    cohort = numeric_cohort(x[:, None])
    design = design_of(workflow_of(cohort))
    fit = with_outcomes(fit_of(cohort, estimate=(design.mean[0], design.sd)), cohort)
    table = risk_histogram({"baseline": fit}, cohort)
    used = table[table["patients"] > 0].set_index("risk_lower")
    assert used["patients"].to_dict() == {0.0: 2, 0.05: 4, 0.5: 2, 0.95: 2}
    assert used["events"].tolist() == [1, 2, 1, 1]
    np.testing.assert_allclose(table["risk_upper"] - table["risk_lower"], 0.05)


def test_histogram_counts_every_patient_of_every_model_and_set(drawn, split_cohort):
    fits = {"horseshoe": drawn, "baseline": workflow_of(split_cohort)}
    table = risk_histogram(fits, split_cohort)
    sums = table.groupby(["model", "set"])[["patients", "events"]].sum()
    for called in ("development", "validation"):
        members = split_cohort.sets == called
        for model in fits:
            assert sums.loc[(model, called), "patients"] == members.sum()
            assert sums.loc[(model, called), "events"] == split_cohort.outcome[members].sum()
    risk = bc.predict(drawn, split_cohort)["risk"].to_numpy()[split_cohort.development]
    part = table[(table["model"] == "horseshoe") & (table["set"] == "development")]
    edges = [*part["risk_lower"], 1.0]
    np.testing.assert_array_equal(part["patients"], np.histogram(risk, edges)[0])


def test_low_risks_have_narrow_bins(pep_fit, pep_cohort):
    table = risk_histogram({"horseshoe": pep_fit}, pep_cohort)
    assert len(table) == 50
    np.testing.assert_allclose(table["risk_upper"] - table["risk_lower"], 0.02)


def test_what_cannot_be_tabled_is_refused(drawn, split_cohort, pep_cohort):
    with pytest.raises(OptionError, match="did not learn from the development patients"):
        expected_calibration(drawn, replace(split_cohort, sets=split_cohort.sets[::-1]))
    with pytest.raises(OptionError, match="did not learn"):
        risk_histogram({"horseshoe": drawn}, pep_cohort)
    with pytest.raises(OptionError, match="no posterior draws"):
        expected_calibration(workflow_of(split_cohort), split_cohort)
    with pytest.raises(OptionError, match="draws: found 1; allowed: 2 or more"):
        expected_calibration(drawn, split_cohort, draws=1)
