from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_cmvt as bc
from bayes_cmvt.diagnostics import diagnostics, monte_carlo_error, verdict


def replaced(fit: xr.DataTree, group: str, **arrays: np.ndarray) -> xr.DataTree:
    """The fit with some arrays exchanged, or added as scalars of each draw."""
    changed = fit.copy()
    dataset = changed[group].to_dataset()
    for name, values in arrays.items():
        dims = dataset[name].dims if name in dataset else ("chain", "draw")
        dataset[name] = (dims, values)
    changed[group] = xr.DataTree(dataset)
    return changed


def test_a_healthy_fit_passes(pep_fit: xr.DataTree) -> None:
    result = bc.verdict(pep_fit)
    assert result.trusted, result.problems
    assert result.total_draws == 4000
    assert result.max_rhat < 1.01
    assert result.min_ess_bulk >= 400


def test_gate_looks_at_the_quantities_of_the_method(pep_fit: xr.DataTree) -> None:
    table = diagnostics(pep_fit)
    names = table["quantity"].str.split("[").str[0]
    gated = set(names[table["gated"]])
    assert gated == {"intercept", "beta", "tau", "slab", "m_eff", "log_lik", "mean_risk"}
    assert set(names[~table["gated"]]) == {"lambda"}
    assert (names == "beta").sum() == 19


def test_a_frozen_chain_is_caught(pep_fit: xr.DataTree) -> None:
    beta = pep_fit["posterior"]["beta"].to_numpy().copy()
    beta[2] = beta[2, :1] + 1.0
    result = verdict(replaced(pep_fit, "posterior", beta=beta))
    assert not result.trusted
    assert any("chains disagree" in problem for problem in result.problems)


def test_a_quantity_that_never_moves_is_caught(pep_fit: xr.DataTree) -> None:
    tau = np.full(pep_fit["posterior"]["tau"].shape, 0.1)
    result = verdict(replaced(pep_fit, "posterior", tau=tau))
    assert not result.trusted


def test_too_few_draws_are_caught_with_the_number_needed(pep_cohort: bc.Cohort) -> None:
    fit = bc.sample(pep_cohort, seed=3, warmup=300, draws=60)
    result = bc.verdict(fit)
    assert not result.trusted
    assert result.draws_needed > 60
    assert any(f"--draws {result.draws_needed}" in problem for problem in result.problems)


def test_divergences_beyond_one_in_a_thousand_are_caught(pep_fit: xr.DataTree) -> None:
    diverging = np.zeros((4, 1000), dtype=bool)
    diverging[0, :4] = True
    few = replaced(pep_fit, "sample_stats", diverging=diverging)
    assert verdict(few).trusted
    assert verdict(few).divergences == 4
    diverging[0, 4] = True
    many = verdict(replaced(pep_fit, "sample_stats", diverging=diverging))
    assert not many.trusted
    assert "5 of 4000 draws diverged at target acceptance 0.99" in many.problems[0]


def test_slow_energy_is_caught(pep_fit: xr.DataTree) -> None:
    slow = np.random.default_rng(0).normal(size=(4, 1000)).cumsum(axis=1)
    result = verdict(replaced(pep_fit, "sample_stats", energy=slow))
    assert not result.trusted
    assert "E-BFMI" in result.problems[0]


def test_one_chain_is_not_enough(pep_fit: xr.DataTree) -> None:
    one = xr.DataTree.from_dict(
        {
            name: node.to_dataset().isel(chain=[0]) if "chain" in node.dims else node.to_dataset()
            for name, node in pep_fit.children.items()
        }
    )
    one.attrs = pep_fit.attrs
    result = verdict(one)
    assert not result.trusted
    assert "one chain cannot be compared" in result.problems[0]


def test_independent_draws_have_the_known_monte_carlo_error() -> None:
    draws = np.random.default_rng(5).normal(size=(4, 5000, 1))
    table = pd.Series({name: float(value[0]) for name, value in monte_carlo_error(draws).items()})
    # 20,000 independent draws: sd/sqrt(S); the 2.5 % quantile has sqrt(p(1-p)/S)/density
    assert table["mcse_mean"] == pytest.approx(1 / np.sqrt(20000), rel=0.05)
    density = np.exp(-(1.959964**2) / 2) / np.sqrt(2 * np.pi)
    expected = np.sqrt(0.025 * 0.975 / 20000) / density
    assert table["mcse_lower"] == pytest.approx(expected, rel=0.25)
    assert table["rhat"] < 1.001
