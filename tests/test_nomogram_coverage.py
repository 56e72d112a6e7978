"""The simulation behind docs/nomogram-coverage.md: truth in, truth out; and what it finds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import expit, logit

import bayes_cmvt as bc
from bayes_cmvt.cohort import NewPatients, load_new_patients
from bayes_cmvt.design import design_matrix
from bayes_cmvt.logistic import fit_maximum_likelihood
from bayes_cmvt.points_scale import Scale, scale_of
from bayes_cmvt.posterior import design_of
from bayes_cmvt.resampling import run_blocks
from bayes_cmvt.schema import Baseline
from bayes_cmvt.workers import Workers
from benchmarks.nomogram import (
    PREVALENCE,
    SCENARIOS,
    Mixed,
    axes_held,
    axes_table,
    bands_at,
    by_fifth,
    centres_table,
    coverage_table,
    in_words,
    ratio,
    read_off,
    study_of,
    study_sets,
    table_of,
    trusted_fit,
)

PAGE = Path(__file__).parents[1] / "docs" / "nomogram-coverage.md"
PAGE_SETS = 200
ENVELOPE = ["lower_envelope", "upper_envelope"]
SMALL = Mixed(
    name="small",
    intercept=-0.3,
    coefficients=np.array([1.0, 0.0, 0.6, -1.5]),
    patients=120,
    correlation=0.3,
    settings=Baseline(),
    seed=5,
    lengths=(10,),
    fresh=40,
)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A small fit of 4 x 10 draws, its nomogram, and fresh patients with their true risks."""

    fit: xr.DataTree
    cohort: bc.Cohort
    nomogram: bc.Nomogram
    patients: NewPatients
    truth: np.ndarray

    @property
    def scale(self) -> Scale:
        return scale_of(self.fit, self.cohort)

    @property
    def draws(self) -> tuple[np.ndarray, np.ndarray]:
        """Intercepts and coefficients per SD, one row for each draw."""
        posterior = self.fit["posterior"]
        return posterior["intercept"].to_numpy().ravel(), posterior["beta"].to_numpy().reshape(
            -1, 4
        )


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    rng = np.random.default_rng(1)
    given, columns = SMALL.drawn(rng), SMALL.columns(SMALL.fresh, rng)
    study = study_of(SMALL)
    cohort = bc.load_cohort(study, table_of(SMALL, given.columns).assign(y=given.outcome))
    fit = bc.sample(cohort, seed=1, warmup=200, draws=10, cores=1)
    patients = load_new_patients(study, table_of(SMALL, columns))
    nomogram = bc.nomogram_points(fit, cohort)
    return Drawn(fit, cohort, nomogram, patients, SMALL.risk(columns))


@pytest.fixture(scope="module")
def small() -> dict[str, np.ndarray]:
    return study_sets(SMALL, range(2))


# --- Truths --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "events"), [("common", 0.36), ("rare", 0.07)])
def test_truth_put_in_comes_out_again(name: str, events: float) -> None:
    """Of 40,000 patients; 4 standard errors each, of which there are 27."""
    scenario = replace(SCENARIOS[name](), patients=40_000)
    patients = scenario.drawn(np.random.default_rng(1))
    fit = fit_maximum_likelihood(patients.columns, patients.outcome)
    assert np.abs((fit.coefficients - scenario.coefficients) / fit.se).max() < 4
    assert abs(fit.intercept - scenario.intercept) < 4 * fit.intercept_se
    for share, found in (
        (events, patients.outcome.mean()),
        (PREVALENCE, patients.columns[:, scenario.binary].mean(axis=0)),
    ):
        assert np.abs(found - share).max() < 4.5 * np.sqrt(share * (1 - share) / 40_000)
    assert sorted(set(np.abs(scenario.per_sd).round(9))) == [0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.2]


def test_columns_are_declared_as_what_they_are() -> None:
    kinds = [one.kind for one in study_of(SMALL).predictors]
    assert kinds == ["continuous"] * 3 + ["binary"]


# --- One data set --------------------------------------------------------------------------------


def test_figures_do_not_depend_on_where_they_are_computed(small: dict[str, np.ndarray]) -> None:
    threads = run_blocks(study_sets, SMALL, 2, workers=Workers("threads", cores=2), block=1)
    assert set(threads) == set(small)
    for name, values in threads.items():
        np.testing.assert_array_equal(values, small[name])
    assert not np.array_equal(small["truth"][0], small["truth"][1])


def test_fits_are_lengthened_while_they_cannot_be_trusted(drawn: Drawn) -> None:
    """Of 4 x 20 draws no 400 are effective: the gate cannot be met."""
    fit, trusted = trusted_fit(drawn.cohort, (10, 20), 1)
    assert (fit["posterior"].sizes["draw"], trusted) == (20, False)


def test_risks_are_those_of_the_draws_and_of_the_drawn_points(drawn: Drawn) -> None:
    """By hand from the draws, and as a reader of the figure adds up points. 1e-9: rounding."""
    read = read_off(
        drawn.fit, drawn.nomogram, patients=drawn.patients, scale=drawn.scale, truth=drawn.truth
    )
    intercept, beta = drawn.draws
    matrix = design_matrix(design_of(drawn.fit), drawn.patients.predictors)
    risk = expit(intercept[:, np.newaxis] + beta @ matrix.T)
    lower, upper = np.quantile(risk, [0.025, 0.975], axis=0)
    np.testing.assert_allclose(read["risk"], risk.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(read["exact_width"], upper - lower, rtol=1e-9)
    np.testing.assert_array_equal(read["below"], upper < drawn.truth)
    np.testing.assert_array_equal(read["above"], lower > drawn.truth)
    np.testing.assert_array_equal(read["exact"] + read["below"] + read["above"], 1)
    at_mean = expit(intercept.mean() + matrix @ beta.mean(axis=0))
    np.testing.assert_allclose(read["at_mean"], at_mean, rtol=1e-9)
    total = np.zeros(len(matrix))
    for name, rows in drawn.nomogram.axes.groupby("axis"):
        values = drawn.patients.predictors[name]
        numbers = values.cat.codes if rows["number"].isna().all() else values
        known = np.arange(len(rows)) if rows["number"].isna().all() else rows["number"]
        total += np.polynomial.Polynomial.fit(known, rows["points"], 1)(numbers.to_numpy())
    log_odds = drawn.nomogram.quantity("log_odds_at_zero_points")
    log_odds += total / drawn.nomogram.quantity("points_per_log_odds")
    np.testing.assert_allclose(read["central"], expit(log_odds), rtol=1e-9)


def test_envelope_is_left_where_a_limit_lies_outside_it(drawn: Drawn) -> None:
    """Patients without a band are counted as outside, and say nothing else of bands."""
    risk = drawn.nomogram.risk.copy()
    middle = risk["total_points"].iloc[len(risk) // 2]
    risk.loc[risk["total_points"] > middle, ["lower", "upper", *ENVELOPE]] = np.nan
    risk.loc[risk["total_points"] <= middle, ["lower", *ENVELOPE]] = [0.0, 0.0, 0.0005]
    scale = drawn.scale
    narrow = replace(drawn.nomogram, risk=risk)
    read = read_off(drawn.fit, narrow, patients=drawn.patients, scale=scale, truth=drawn.truth)
    total = scale.total(scale.log_odds(drawn.patients.predictors))
    beyond = (total > middle) | (total < 0)
    assert 0 < beyond.sum() < len(total)
    np.testing.assert_array_equal(read["beyond"], beyond)
    assert (read["leaves"][~beyond] == 1).all()
    upper = bc.predict(drawn.fit, drawn.patients)["upper"].to_numpy()
    np.testing.assert_allclose(read["excess"][~beyond], upper[~beyond] - 0.0005)
    for name in ("band", "envelope", "leaves", "excess", "band_width"):
        assert np.isnan(read[name][beyond]).all()
    assert (read["outside"] == 1).all()


def test_bands_between_grid_points_are_straight_in_log_odds() -> None:
    nan = np.nan
    limits = {"lower": [0.1, 0.2, nan], "upper": [0.3, 0.5, nan]}
    table = pd.DataFrame({"total_points": [0.0, 1.0, 2.0], **limits})
    table = table.assign(lower_envelope=table["lower"] / 2, upper_envelope=0.9)
    band = bands_at(SimpleNamespace(risk=table), np.array([-0.1, 0.0, 0.5, 1.0, 1.5, 2.1]))
    halfway = expit((logit(0.1) + logit(0.2)) / 2)
    np.testing.assert_allclose(band["lower"], [nan, 0.1, halfway, 0.2, nan, nan])
    np.testing.assert_allclose(band["upper_envelope"], [nan, 0.9, 0.9, 0.9, 0.9, nan])


def test_axes_hold_95_of_100_truths_that_are_draws_of_the_posterior(drawn: Drawn) -> None:
    """Exactly: of 40 draws one lies below and one above the limits of each coefficient."""
    _, beta = drawn.draws
    truths = beta / design_of(drawn.fit).sd
    held = [axes_held(drawn.nomogram, drawn.cohort, truth)["axis_held"] for truth in truths]
    np.testing.assert_array_equal(np.mean(held, axis=0), 0.95)


def test_axes_are_as_long_and_as_wide_as_their_coefficients(drawn: Drawn) -> None:
    """1e-6: of the drawn values, which are given to nine digits."""
    found, scale = axes_held(drawn.nomogram, drawn.cohort, SMALL.coefficients), drawn.scale
    np.testing.assert_allclose(found["axis_drawn"], scale.beta, rtol=1e-6, atol=1e-9)
    _, beta = drawn.draws
    limits = np.quantile(beta / design_of(drawn.fit).sd, [0.025, 0.975], axis=0)
    far = [max(one.high - one.reference, one.reference - one.low) for one in scale.axes]
    width = scale.per_log_odds * np.ptp(limits, axis=0) * far
    np.testing.assert_allclose(found["axis_width"], width, rtol=1e-6)


# --- Tables --------------------------------------------------------------------------------------


def test_fifths_are_of_the_truth_and_leave_out_what_is_not_said() -> None:
    truth = np.array([0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.05])
    values = np.array([1, 0, 1, np.nan, 1, 1, 0, 0, 1, 1])
    expected = [[6, 9], [1, 2], [1, 1], [2, 2], [0, 2], [2, 2]]
    np.testing.assert_array_equal(by_fifth(values, truth), expected)


def test_error_of_a_ratio_is_that_of_a_mean_where_denominators_are_equal() -> None:
    sums = np.array([3.0, 5.0, 4.0, 8.0])
    share, error = ratio(sums, np.full(4, 10.0))
    assert share == pytest.approx(0.5)
    assert error == pytest.approx((sums / 10).std(ddof=1) / 2)
    assert np.isnan(ratio(np.zeros(2), np.zeros(2))).all()


def test_tables_say_what_was_counted(small: dict[str, np.ndarray]) -> None:
    risks, axes = coverage_table(small).set_index("patients"), axes_table(small, SMALL)
    assert risks.index.tolist() == ["all", *(f"fifth {place}" for place in range(1, 6))]
    assert risks.loc["all", "exact"] == small["exact"][:, 0, 0].sum() / (2 * SMALL.fresh)
    assert (np.diff(risks["truth"].iloc[1:]) > 0).all()
    whole = risks[["exact", "below", "above"]].sum(axis=1)
    np.testing.assert_allclose(whole, 1)
    of_fifths = risks.loc["fifth 1":, ["exact", "truth", "exact_width", "beyond"]].mean()
    of_all = risks.loc["all", ["exact", "truth", "exact_width", "beyond"]].astype(float)
    np.testing.assert_allclose(of_fifths, of_all)
    kinds = ["1 strong, continuous", "1 weak, continuous", "1 weak, binary", "1 zero, continuous"]
    assert axes["axes"].tolist() == kinds
    centres = centres_table(small).set_index("centre")
    predict = centres.loc["posterior mean (predict)"]
    assert (predict["to_predict"], predict["to_predict_mcse"]) == (1, 0)
    np.testing.assert_allclose(centres["oe"] * centres["mean"], risks.loc["all", "truth"])
    words = "\n".join(in_words(small))
    assert f"trusted: {small['trusted'].sum()} of 2 fits" in words


# --- The page ------------------------------------------------------------------------------------


def page_tables(name: str) -> list[pd.DataFrame]:
    """The tables under the heading of a scenario, as the benchmark prints them."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {name.capitalize()}")[1]
    blocks, lines = [], section.split("\n## ")[0].splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("| "):
            if not before.startswith("|"):
                blocks.append([])
            blocks[-1].append([cell.strip() for cell in line.strip("|").split("|")])
    tables = [pd.DataFrame(rows[1:], columns=rows[0]) for rows in blocks]
    return [table.set_index(table.columns[0]).replace("", np.nan).astype(float) for table in tables]


@pytest.mark.parametrize("name", SCENARIOS)
def test_page_says_how_it_was_made_and_what_was_true(name: str) -> None:
    text, scenario = PAGE.read_text(encoding="utf-8"), SCENARIOS[name]()
    assert "python benchmarks/nomogram.py coverage" in text
    assert f"{PAGE_SETS} data sets of {scenario.patients} patients" in text
    risks, centres, axes = page_tables(name)
    assert sum(int(name.split()[0]) for name in axes.index) == len(scenario.coefficients)
    assert set(centres.columns) >= {"oe", "to_predict", "gap_largest"}
    columns = scenario.columns(100_000, np.random.default_rng(2))
    truth = np.sort(scenario.risk(columns)).reshape(5, -1).mean(axis=1)
    np.testing.assert_allclose(risks["truth"].iloc[1:], truth, atol=0.004)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_page_is_found_again_by_a_smaller_simulation(name: str) -> None:
    """4 standard errors of the difference of 20 other data sets; a last digit of 0.0005."""
    scenario = replace(SCENARIOS[name](), seed=77)
    found = run_blocks(study_sets, scenario, 20, workers=Workers("processes"), block=2)
    tables = (coverage_table(found), centres_table(found), axes_table(found, scenario))
    for page, table in zip(page_tables(name), tables, strict=True):
        here = table.set_index(table.columns[0])
        assert page.index.tolist() == here.index.tolist()
        for value, error in ERRORS.items():
            if value in page.columns:
                spread = np.hypot(page[error], np.maximum(here[error], 2.7 * page[error]))
                assert (np.abs(page[value] - here[value]) < 4 * spread + 0.001).all()


ERRORS = {
    "exact": "exact_mcse",
    "band": "band_mcse",
    "envelope": "envelope_mcse",
    "mean": "mcse",
    "oe": "oe_mcse",
    "to_predict": "to_predict_mcse",
    "held": "mcse",
}
