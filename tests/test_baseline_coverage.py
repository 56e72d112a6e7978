"""The simulation behind docs/baseline-coverage.md: truth in, truth out; and what it finds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.random import SeedSequence

from bayes_cmvt.baseline import Resampled, resample_block
from bayes_cmvt.logistic import fit_maximum_likelihood
from bayes_cmvt.pipeline import run_pipeline
from bayes_cmvt.posterior import expit
from bayes_cmvt.resampling import run_blocks
from bayes_cmvt.schema import Baseline
from bayes_cmvt.workers import Workers
from benchmarks import baseline_coverage
from benchmarks.baseline_coverage import (
    CI_PROB,
    SCENARIOS,
    WEAK,
    Scenario,
    coverage_table,
    expected_coverage,
    percentile_limits,
    study_sets,
    wald_limits,
    weak,
)
from tests.references import COMMITTED

PAGE = Path(__file__).parents[1] / "docs" / "baseline-coverage.md"
SMALL = Scenario(
    name="small",
    intercept=-0.3,
    coefficients=np.array([1.0, 0.0, -0.8]),
    patients=90,
    correlation=0.3,
    settings=Baseline(folds=3),
    resamples=12,
    seed=5,
)


@pytest.fixture(scope="module")
def small() -> dict[str, np.ndarray]:
    return study_sets(SMALL, range(4))


# --- the simulation ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCENARIOS)
def test_truth_put_in_comes_out_again(name: str) -> None:
    """Of 40,000 patients; 4 standard errors each, of which there are 31 at most."""
    scenario = SCENARIOS[name](patients=40_000)
    patients = scenario.drawn(np.random.default_rng(1))
    fit = fit_maximum_likelihood(patients.columns, patients.outcome)
    off = (fit.coefficients - scenario.coefficients) / fit.se
    assert np.abs(off).max() < 4
    assert abs(fit.intercept - scenario.intercept) < 4 * fit.intercept_se
    risk = scenario.risk(patients.columns)
    spread = np.sqrt(np.sum(risk * (1 - risk)))
    assert abs(patients.outcome.sum() - risk.sum()) < 4 * spread


def test_columns_have_the_stated_correlation() -> None:
    """4 standard errors: 1/sqrt(n) at most for a correlation, sqrt(2/n) for a variance."""
    scenario, n = weak(), 40_000
    columns = scenario.columns(n, np.random.default_rng(2))
    place = np.arange(26)
    expected = scenario.correlation ** np.abs(place[:, np.newaxis] - place)
    assert np.abs(np.corrcoef(columns.T) - expected).max() < 4.5 / n**0.5
    assert np.abs(columns.var(axis=0) - 1).max() < 4 * (2 / n) ** 0.5


def test_weak_scenario_is_the_reference_with_four_weak_effects() -> None:
    truth = json.loads((COMMITTED / "synth26_truth.json").read_text(encoding="utf-8"))
    scenario = weak()
    assert (scenario.patients, len(scenario.coefficients)) == (truth["n"], truth["p"])
    named = dict(zip(truth["beta"], scenario.coefficients, strict=True))
    assert all(truth["beta"][name] == 0 for name in WEAK)
    assert named == truth["beta"] | WEAK


def test_a_data_set_depends_on_its_number_alone(small: dict[str, np.ndarray]) -> None:
    third = study_sets(SMALL, range(2, 3))
    for name, values in third.items():
        np.testing.assert_array_equal(values[0], small[name][2])
    threads = run_blocks(study_sets, SMALL, 4, workers=Workers("threads", cores=2), block=3)
    for name, values in threads.items():
        np.testing.assert_array_equal(values, small[name])
    assert not np.array_equal(small["truth"][0], small["truth"][1])


def test_limits_are_percentiles_of_the_resamples_and_wald_s_of_statsmodels() -> None:
    """1e-9: two fits that have converged."""
    patients = SMALL.drawn(np.random.default_rng(3))
    fresh = SMALL.columns(7, np.random.default_rng(4))
    final = run_pipeline(patients, SMALL.settings, SeedSequence(1)).final
    assert final is not None
    assert final.members.tolist() == [True, False, True]
    exog = sm.add_constant(patients.part(final.members))
    theirs = sm.Logit(patients.outcome, exog).fit(disp=0, tol=1e-13, method="newton")
    beta, risk = wald_limits(final, fresh)
    np.testing.assert_allclose(beta[final.members], theirs.conf_int()[1:], rtol=1e-8)
    assert np.isnan(beta[1]).all()
    asked = sm.add_constant(fresh[:, final.members], has_constant="add")
    center, spread = asked @ theirs.params, (asked @ theirs.cov_params() * asked).sum(axis=1)
    half = 1.959963984540054 * np.sqrt(spread)
    np.testing.assert_allclose(risk[:, 0], expit(center - half), rtol=1e-8)
    np.testing.assert_allclose(risk[:, 1], expit(center + half), rtol=1e-8)
    given = Resampled(patients, SMALL.settings, "bootstrap", 9, final.members)
    found = resample_block(given, range(SMALL.resamples))
    beta, risk = percentile_limits(found, fresh)
    np.testing.assert_allclose(beta.T, np.quantile(found["beta"], [0.025, 0.975], axis=0))
    by_resample = expit(found["intercept"] + fresh @ found["beta"].T)
    np.testing.assert_allclose(risk.T, np.quantile(by_resample, [0.025, 0.975], axis=1))
    assert (found["beta"][:, 1] == 0).any()  # a column that a resample leaves out counts as 0


# --- the table -----------------------------------------------------------------------------------


def test_table_counts_what_holds_the_truth() -> None:
    """Three data sets of two columns and two patients, by hand."""
    scenario = Scenario("hand", 0.0, np.array([1.0, 0.0]), 10, 0.0, Baseline())
    nan = np.nan
    beta = [[[0.5, 1.5], [0, 0]], [[1.2, 2.0], [-1, 0]], [[0, 0.8], [0.1, 1]]]
    wald = [[[0.9, 1.4], [nan, nan]], [[1.1, 1.6], [-1, -0.5]], [[nan, nan], [0.2, 0.9]]]
    risk = [[[0.1, 0.3], [0.6, 0.7]], [[0.1, 0.15], [0.5, 0.9]], [[0.3, 0.4], [0.8, 0.9]]]
    found = {
        "beta": np.array(beta, dtype=float),
        "beta_wald": np.array(wald, dtype=float),
        "risk": np.array(risk),
        "risk_wald": np.array(risk),
        "truth": np.array([[0.1, 0.6], [0.19, 0.6], [0.35, 0.6]]),
        "selected": np.isfinite(np.array(wald, dtype=float)[..., 0]),
        "estimate": np.array([[1.2, 0], [1.5, -0.8], [0, 0.5]]),
    }
    table = coverage_table(found, scenario).set_index("what")
    assert table.loc["x1", ["coverage", "below", "above"]].tolist() == pytest.approx([1 / 3] * 3)
    assert table.loc["x1", "mcse"] == pytest.approx(np.sqrt(2 / 3) / 3)
    assert table.loc["x1", "width"] == pytest.approx((1.0 + 0.8 + 0.8) / 3)
    assert table.loc["x1", "selected"] == pytest.approx(2 / 3)
    assert table.loc["x1", "bias"] == pytest.approx(-0.1)
    assert table.loc["x1", "wald_coverage"] == 0.5
    assert table.loc["1 zeros", "coverage"] == pytest.approx(2 / 3)
    assert table.loc["1 zeros", "wald_coverage"] == 0
    assert table.loc["risk", "coverage"] == pytest.approx(4 / 6)
    # of the data sets, 2, 1 and 1 of 2 risks are held
    assert table.loc["risk", "mcse"] == pytest.approx(np.sqrt(4 / 9 + 1 / 9 + 1 / 9) / 6 * 1.0)
    assert table.loc["risk 0 to 0.2", "coverage"] == 0.5
    assert table.loc["risk 0.5 to 1", "truth"] == pytest.approx(0.6)


def test_data_sets_without_a_model_are_counted_and_left_out() -> None:
    hopeless = Scenario("hopeless", -9.0, np.zeros(3), 30, 0.0, Baseline(), resamples=5)
    found = study_sets(hopeless, range(2))
    assert "2 one_class" in baseline_coverage.outcomes(found)
    assert np.isnan(found["risk"]).all()


def test_small_simulation_has_every_row(small: dict[str, np.ndarray]) -> None:
    table = coverage_table(small, SMALL).set_index("what")
    bands = ["risk", "risk 0 to 0.2", "risk 0.2 to 0.5", "risk 0.5 to 1"]
    assert table.index.tolist() == ["x1", "x3", "1 zeros", *bands]
    assert np.isfinite(table.loc[["x1", "x3", "risk"], ["coverage", "width"]]).all(axis=None)
    assert small["resample_status"].sum() == 4 * SMALL.resamples
    assert "data sets: 4 fitted" in baseline_coverage.outcomes(small)
    assert baseline_coverage.as_markdown(table.reset_index()).count("\n") == len(table) + 1


@pytest.mark.parametrize("draws", [40, 300])
def test_percentiles_of_few_draws_cover_less(draws: int) -> None:
    """A normal estimate whose draws err as it does; 4 standard errors of 20,000 sets."""
    rng = np.random.default_rng(draws)
    held = []
    for _ in range(20):
        estimate = rng.normal(size=1000)
        resampled = estimate + rng.normal(size=(draws, 1000))
        lower, upper = np.quantile(resampled, [0.025, 0.975], axis=0)
        held.append((lower <= 0) & (upper >= 0))
    expected = expected_coverage(draws)
    assert abs(np.mean(held) - expected) < 4 * np.sqrt(expected * (1 - expected) / 20_000)
    assert expected < CI_PROB


# --- the page ------------------------------------------------------------------------------------

PAGE_SETS, PAGE_RESAMPLES = {"strong": 300, "weak": 150}, 300


def page_table(name: str) -> pd.DataFrame:
    """The table under the heading of a scenario, as the benchmark prints it."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {name.capitalize()}")[1]
    lines = [line for line in section.split("\n## ")[0].splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    table = pd.DataFrame(cells[1:], columns=cells[0]).set_index("what")
    return table.replace("", np.nan).astype(float)


def binomial_error(coverage: pd.Series, sets: int) -> pd.Series:
    """Standard error of a coverage in so many independent data sets, never quite 0."""
    safe = coverage.clip(0.02, 0.98)
    return np.sqrt(safe * (1 - safe) / sets)


def test_page_says_how_it_was_made_and_what_was_true() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert "python benchmarks/baseline_coverage.py" in text
    for name, sets in PAGE_SETS.items():
        scenario, table = SCENARIOS[name](), page_table(name)
        assert f"{sets} data sets of {scenario.patients} patients" in text
        for place in np.flatnonzero(scenario.coefficients):
            assert table.loc[f"x{place + 1}", "truth"] == scenario.coefficients[place]


def test_page_has_nominal_coverage_where_nothing_is_selected_and_says_where_it_has_not() -> None:
    """3 standard errors of 300 data sets: 0.038 for one coefficient, 0.019 for the mean of four.

    Coefficients are nearly independent of each other: neighbours are correlated by 0.3, and what
    holds one truth and what holds the other by the square of that.
    """
    table, expected = page_table("strong"), expected_coverage(PAGE_RESAMPLES)
    error = np.sqrt(expected * (1 - expected) / PAGE_SETS["strong"])
    coefficients = table.loc[["x1", "x2", "x3", "x4"]]
    assert (coefficients["selected"] == 1).all()
    assert (np.abs(coefficients["coverage"] - expected) < 3 * error).all()
    assert abs(coefficients["coverage"].mean() - expected) < 3 * error / 2
    risk = table.loc["risk"]
    assert abs(risk["coverage"] - expected) < 3 * risk["mcse"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "sets", "resamples"), [("strong", 80, 100), ("weak", 50, 60)])
def test_page_is_found_again_by_a_smaller_simulation(name: str, sets: int, resamples: int) -> None:
    """4 standard errors of the difference, and what fewer draws cover less."""
    scenario = SCENARIOS[name](resamples=resamples, seed=77)
    table = coverage_table(run_blocks(study_sets, scenario, sets), scenario).set_index("what")
    page = page_table(name)
    assert page.index.tolist() == table.index.tolist()
    fewer = expected_coverage(PAGE_RESAMPLES) - expected_coverage(resamples)
    is_risk = page.index.str.startswith("risk")
    for interval, allowed in (("", fewer), ("wald_", 0.0)):
        coverage, mcse = f"{interval}coverage", f"{interval}mcse"
        times = sets if interval == "" else sets * page["selected"].fillna(1)
        here = table[mcse].where(is_risk, binomial_error(page[coverage], times))
        error = np.hypot(here, page[mcse])
        off = page[coverage] - table[coverage]
        asked = off.notna()
        assert (off[asked] < allowed + 4 * error[asked]).all()
        assert (off[asked] > -4 * error[asked]).all()
    if name == "strong":
        error = np.sqrt(0.95 * 0.05 / sets)
        assert abs(table["coverage"].iloc[:4].mean() - expected_coverage(resamples)) < 2 * error
