from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import signal, stats

import bayes_cmvt as bc
from bayes_cmvt.agreement import (
    STATISTICS,
    agreement,
    differences_in_error,
    engine_agreement,
    expected_largest,
    scalar_statistics,
    statistics_with_error,
)
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.runs import write_tree
from tests.builders import numeric_cohort

CHAINS, DRAWS, PAIRS = 4, 1000, 300
FEW = 100  # pairs, where a mean over them is enough


def standard_normal(seed: int, quantities: int = PAIRS, correlation: float = 0.0) -> np.ndarray:
    """Draws with marginals N(0, 1), independent or AR(1), shape (chain, draw, quantity)."""
    noise = np.random.default_rng(seed).normal(size=(CHAINS, DRAWS + 100, quantities))
    innovation = np.sqrt(1 - correlation**2) * noise
    innovation[:, 0] = noise[:, 0]
    return signal.lfilter([1.0], [1.0, -correlation], innovation, axis=1)[:, 100:]


def compared(first: np.ndarray, second: np.ndarray) -> pd.DataFrame:
    """Differences, one row for each quantity and one column for each statistic."""
    names = [f"q{j}" for j in range(first.shape[-1])]
    table = differences_in_error(
        statistics_with_error(first, names), statistics_with_error(second, names)
    )
    return table.pivot_table(index="quantity", columns="statistic", values="difference")


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_differences_of_equal_samplers_are_standard_normal(correlation: float) -> None:
    """Kolmogorov-Smirnov over 300 pairs; 5 statistics x 2 cases, so P above 0.001."""
    first, second = (standard_normal(seed, correlation=correlation) for seed in (1, 2))
    differences = compared(first, second)
    for statistic in STATISTICS:
        assert stats.kstest(differences[statistic], "norm").pvalue > 0.001, statistic


def test_monte_carlo_errors_of_independent_normal_draws_are_their_closed_forms() -> None:
    """Mean σ/√S, SD σ/√(2S), quantile √(p(1-p)/S)/density; averaged over 100 quantities.

    ArviZ rounds the two order statistics around a quantile outwards, which adds about one to the 20
    between those around a limit, and one to the 63 between those around the median.
    """
    table = statistics_with_error(3 * standard_normal(3, FEW), [f"q{j}" for j in range(FEW)])
    size = CHAINS * DRAWS
    expected = {"mean": 3 / np.sqrt(size), "sd": 3 / np.sqrt(2 * size)}
    for name, share in (("lower", 0.025), ("median", 0.5), ("upper", 0.975)):
        density = stats.norm.pdf(stats.norm.ppf(share)) / 3
        expected[name] = np.sqrt(share * (1 - share) / size) / density
    average = table.groupby("statistic")["mcse"].mean()
    for name, value in expected.items():
        tolerance = 0.1 if name in ("lower", "upper") else 0.05
        assert average[name] == pytest.approx(value, rel=tolerance), name


def test_a_shift_is_found_with_its_size() -> None:
    """0.1 against an error of √(2/4000) is 4.47; its mean over 100 pairs has an SD of 0.1."""
    differences = compared(standard_normal(4, FEW) + 0.1, standard_normal(5, FEW))
    assert differences["mean"].mean() == pytest.approx(0.1 / np.sqrt(2 / 4000), abs=0.4)
    assert differences["sd"].abs().mean() < 1
    assert differences["median"].mean() > 3


def test_a_wider_spread_is_found_with_its_size() -> None:
    differences = compared(1.1 * standard_normal(6, FEW), standard_normal(7, FEW))
    expected = 0.1 / np.sqrt((1.1**2 + 1) / (2 * 4000))
    assert differences["sd"].mean() == pytest.approx(expected, abs=0.4)
    assert differences["mean"].abs().mean() < 1


def test_a_heavier_right_tail_is_found_in_the_upper_limit_alone() -> None:
    first = standard_normal(8, FEW)
    differences = compared(
        np.where(first > 1, 1 + 1.25 * (first - 1), first), standard_normal(9, FEW)
    )
    error = np.sqrt(0.025 * 0.975 / 4000) / stats.norm.pdf(1.959964)
    expected = 0.25 * 0.959964 / np.hypot(1.25 * error, error)
    assert differences["upper"].mean() == pytest.approx(expected, abs=0.4)
    assert differences["lower"].abs().mean() < 1


def test_exchanged_fits_differ_by_the_opposite(fits: list[xr.DataTree]) -> None:
    one, other = engine_agreement(fits[0], fits[1]), engine_agreement(fits[1], fits[0])
    np.testing.assert_array_equal(one["difference"], -other["difference"])
    np.testing.assert_array_equal(one["first"], other["second"])
    assert agreement(one).largest == agreement(other).largest


def test_a_fit_differs_from_itself_by_nothing_also_after_a_visit_to_disk(
    fits: list[xr.DataTree], tmp_path: Path
) -> None:
    write_tree(fits[0], tmp_path / "fit.nc")
    with xr.open_datatree(tmp_path / "fit.nc", engine="h5netcdf") as tree:
        table = engine_agreement(fits[0], tree.load())
    assert (table["difference"] == 0).all()
    assert agreement(table).agrees


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return numeric_cohort(np.random.default_rng(0).normal(size=(60, 3)))


@pytest.fixture(scope="module")
def fits(cohort: Cohort) -> list[xr.DataTree]:
    return [bc.sample(cohort, engine="gibbs", seed=seed, warmup=300) for seed in (1, 2)]


def test_independent_fits_agree_and_every_quantity_was_compared(
    fits: list[xr.DataTree], cohort: Cohort
) -> None:
    table = engine_agreement(fits[0], fits[1], cohort=cohort, patients=3)
    scalars = ["intercept", "beta[x0]", "beta[x1]", "beta[x2]", "log_tau", "log_c2", "m_eff"]
    scalars += ["log_lik", "mean_risk"]
    expected = np.repeat([*scalars, "risk", "risk", "risk"], 5).tolist()
    assert table["quantity"].tolist() == expected
    assert table["statistic"].tolist() == list(STATISTICS) * 12
    assert table["row"].isna().sum() == 45
    assert table["row"].dropna().unique().tolist() == [1, 31, 60]
    judged = agreement(table)
    assert judged.agrees
    assert judged.comparisons == 60
    assert judged.uncompared.empty


def test_estimates_are_those_of_the_tables(fits: list[xr.DataTree], cohort: Cohort) -> None:
    table = engine_agreement(fits[0], fits[1], cohort=cohort, ci_prob=0.9)
    wide = table.pivot_table(index=["quantity", "row"], columns="statistic", values="first")
    risks = bc.predict(fits[0], cohort, ci_prob=0.9).set_index("row")
    ours = wide.loc["risk"]
    named = risks.loc[ours.index].rename(columns={"risk": "mean"})
    for name in ("mean", "lower", "median", "upper"):
        np.testing.assert_allclose(ours[name], named[name], rtol=1e-12)
    slab = fits[0]["posterior"]["slab"].to_numpy()
    log_c2 = table[(table["quantity"] == "log_c2") & (table["statistic"] == "mean")]
    assert float(log_c2["first"].iloc[0]) == pytest.approx(np.log(slab**2).mean(), rel=1e-12)


@pytest.mark.parametrize(("family", "present"), [("normal", set()), ("student-t", {"m_eff"})])
def test_what_a_family_does_not_have_is_left_out(family: str, present: set[str]) -> None:
    matrix = np.random.default_rng(1).normal(size=(40, 2))
    cohort = numeric_cohort(matrix, rest=f'[prior]\nfamily = "{family}"\n')
    fit = bc.sample(cohort, engine="gibbs", warmup=20, draws=50)
    quantities = set(scalar_statistics(fit)["quantity"])
    always = {"intercept", "beta[x0]", "beta[x1]", "log_lik", "mean_risk"}
    assert quantities == always | present


def test_constants_are_listed_and_not_counted() -> None:
    """0.1 has a mean that rounds: the same constant from other numbers of draws must not differ."""
    moving = standard_normal(10, 1)
    first = np.concatenate([moving, np.full((CHAINS, DRAWS, 1), 0.1)], axis=-1)
    second = np.concatenate([standard_normal(11, 1), np.full((CHAINS, DRAWS, 1), 0.1)], axis=-1)
    names = ["moving", "constant"]
    table = differences_in_error(
        statistics_with_error(first, names), statistics_with_error(second[:, :-7], names)
    )
    judged = agreement(table)
    assert judged.agrees
    assert judged.comparisons == 5
    assert judged.uncompared["quantity"].tolist() == ["constant"] * 5


@pytest.mark.parametrize("other", [np.full((CHAINS, DRAWS, 1), 0.5), standard_normal(12, 1)])
def test_an_engine_that_stands_still_does_not_agree(other: np.ndarray) -> None:
    still = statistics_with_error(np.full((CHAINS, DRAWS, 1), 0.25), ["q"])
    judged = agreement(differences_in_error(still, statistics_with_error(other, ["q"])))
    assert not judged.agrees
    assert judged.largest > 4


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_draws_that_are_no_finite_numbers_do_not_agree(value: float) -> None:
    draws = standard_normal(13, 2)
    draws[2, 5, 1] = value
    first = statistics_with_error(draws, ["good", "bad"])
    second = statistics_with_error(standard_normal(14, 2), ["good", "bad"])
    judged = agreement(differences_in_error(first, second))
    assert not judged.agrees
    assert judged.beyond.empty
    assert set(judged.uncompared["quantity"]) == {"bad"}
    assert "mean" in set(judged.uncompared["statistic"])


def test_nothing_compared_is_no_agreement() -> None:
    first = statistics_with_error(standard_normal(15, 1), ["one"])
    second = statistics_with_error(standard_normal(15, 1), ["other"])
    judged = agreement(differences_in_error(first, second))
    assert not judged.agrees
    assert judged.comparisons == 0
    assert np.isnan(judged.largest)
    assert np.isnan(judged.expected_largest)


def test_beyond_holds_the_rows_that_differ() -> None:
    first, second = standard_normal(16, 3), standard_normal(17, 3)
    second[..., 1] += 0.3
    names = ["a", "b", "c"]
    table = differences_in_error(
        statistics_with_error(first, names), statistics_with_error(second, names)
    )
    judged = agreement(table)
    assert not judged.agrees
    assert set(judged.beyond["quantity"]) == {"b"}
    assert {"mean", "median"} <= set(judged.beyond["statistic"])
    assert judged.largest == table["difference"].abs().max()


@pytest.mark.parametrize("comparisons", [5, 250])
def test_expected_largest_is_the_median_of_simulated_maxima(comparisons: int) -> None:
    """20,000 maxima: the median's own error is below 0.006."""
    draws = np.random.default_rng(20).normal(size=(20_000, comparisons))
    simulated = np.median(np.abs(draws).max(axis=1))
    assert expected_largest(comparisons) == pytest.approx(simulated, abs=0.02)


def test_fits_of_other_posteriors_are_refused_with_every_reason(
    fits: list[xr.DataTree], cohort: Cohort
) -> None:
    short = {"warmup": 20, "draws": 20}
    matrix = np.random.default_rng(0).normal(size=(60, 3))
    prior = '[prior]\nfamily = "normal"\n'
    other = bc.sample(numeric_cohort(matrix, events=20, rest=prior), engine="gibbs", **short)
    with pytest.raises(bc.OptionError, match="same study and patients") as caught:
        engine_agreement(fits[0], other, cohort=cohort)
    assert caught.value.problems == (
        "the fits have other priors",
        "the fits have other patients or outcomes",
    )
    fewer = numeric_cohort(matrix[:, :2])
    with pytest.raises(bc.OptionError) as caught:
        engine_agreement(fits[0], bc.sample(fewer, engine="gibbs", **short), cohort=fewer)
    assert caught.value.problems[0] == "the fits have other predictors"
    assert caught.value.problems[-1].startswith("the cohort has other predictors")
    with pytest.raises(bc.OptionError, match="cohort has other predictors or development"):
        engine_agreement(fits[0], fits[1], cohort=numeric_cohort(matrix[:50]))


def test_every_column_is_in_the_glossary(fits: list[xr.DataTree], cohort: Cohort) -> None:
    for table in (engine_agreement(*fits, cohort=cohort), scalar_statistics(fits[0])):
        for column in table.columns:
            assert len(bc.define(column)) > 10, column
