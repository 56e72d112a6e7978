"""Chains laid out for drawing: what is known of independent, correlated and disagreeing chains."""

from __future__ import annotations

import arviz_stats as azs
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.signal import lfilter

import bayes_cmvt as bc
from bayes_cmvt.chain_checks import (
    RANK_BINS,
    chain_energy,
    chain_ess,
    chain_ranks,
    pareto_k_histogram,
    watched_draws,
)
from bayes_cmvt.diagnostics import diagnostics
from bayes_cmvt.errors import OptionError
from tests.builders import numeric_cohort
from tests.estimate_fit import drawn_posterior, maximum_likelihood

CHAINS, DRAWS = 4, 4000


@pytest.fixture(scope="module")
def cohort():
    return numeric_cohort(np.random.default_rng(4).normal(size=(40, 2)))


def with_chains(cohort, intercept, **scalars):
    """A fit whose intercept has the given chains; its coefficients never move."""
    fit = drawn_posterior(cohort, draws=2)
    shape = (*intercept.shape, 2)
    posterior = xr.Dataset(
        {
            "intercept": (("chain", "draw"), intercept),
            "beta": (("chain", "draw", "coefficient"), np.ones(shape)),
            **{name: (("chain", "draw"), values) for name, values in scalars.items()},
        }
    )
    fit["posterior"] = xr.DataTree(posterior)
    return fit


def correlated(rho, seed):
    noise = np.random.default_rng(seed).normal(size=(CHAINS, DRAWS + 500))
    return lfilter([1], [1, -rho], noise, axis=1)[:, 500:]


def share_outside(table):
    return float(((table["draws"] < table["lower"]) | (table["draws"] > table["upper"])).mean())


def test_watched_are_the_scalars_and_the_two_slowest_coefficients(pep_fit):
    watched = watched_draws(pep_fit)
    names = [one.quantity for one in watched]
    assert names[:5] == ["intercept", "tau", "slab", "m_eff", "log_lik"]
    table = diagnostics(pep_fit).set_index("quantity")["ess_bulk"]
    slowest = table[table.index.str.startswith("beta")].nsmallest(2)
    assert names[5:] == list(slowest.index)
    labels = bc.coefficients(pep_fit).set_index("term")["label"]
    assert watched[5].label == labels[names[5].removeprefix("beta[").removesuffix("]")]


def test_what_never_moves_is_not_watched(cohort):
    fit = with_chains(cohort, correlated(0, 1), tau=np.ones((CHAINS, DRAWS)))
    assert [one.quantity for one in watched_draws(fit)] == ["intercept"]


def test_every_draw_is_counted_once_and_every_bin_of_all_chains_is_even(pep_fit):
    table = chain_ranks(pep_fit)
    by_chain = table.groupby(["quantity", "chain"])["draws"].sum()
    assert (by_chain == 1000).all()
    by_bin = table.groupby(["quantity", "rank_lower"])["draws"].sum()
    assert (by_bin == 4000 / RANK_BINS).all()
    assert (table["expected"] == 1000 / RANK_BINS).all()
    np.testing.assert_allclose(table["rank_upper"] - table["rank_lower"], 1 / RANK_BINS)
    assert set(table["chain"]) == {1, 2, 3, 4}


def test_ranks_are_unchanged_by_an_increasing_transform(cohort):
    draws = correlated(0.5, 2)
    plain, bent = (chain_ranks(with_chains(cohort, one)) for one in (draws, np.exp(draws)))
    pd.testing.assert_series_equal(plain["draws"], bent["draws"])


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_one_bin_in_twenty_lies_outside_of_95_percent_limits(cohort, rho):
    """Limits without autocorrelation would leave out one in six at a correlation of 0.9."""
    shares = [share_outside(chain_ranks(with_chains(cohort, correlated(rho, s)))) for s in range(8)]
    # 640 bins, of which neighbours are not independent: standard error about 0.01
    assert np.mean(shares) == pytest.approx(0.05, abs=0.03)


def test_independent_chains_have_the_hypergeometric_limits(cohort):
    """The bin's share of a chain, given its share of all: sqrt(p (1 - p) (1 - 1/C) / S)."""
    table = chain_ranks(with_chains(cohort, correlated(0, 3)))
    spread = np.sqrt(0.05 * 0.95 * 0.75 * DRAWS)
    # the effective sample size of independent draws is estimated to within a tenth
    assert table["upper"].mean() == pytest.approx(200 + 1.96 * spread, rel=0.02)
    np.testing.assert_allclose(table["upper"] - 200, 200 - table["lower"])


def test_a_chain_elsewhere_is_seen_and_does_not_widen_its_own_limits(cohort):
    draws = correlated(0, 3)
    fair = chain_ranks(with_chains(cohort, draws))
    draws[0] += 0.5
    moved = chain_ranks(with_chains(cohort, draws))
    # half an SD off: most bins of that chain hold too many or too few
    assert share_outside(moved[moved["chain"] == 1]) > 0.5
    assert moved["upper"].mean() == pytest.approx(fair["upper"].mean(), rel=0.05)


def test_one_chain_has_nothing_to_disagree_with(cohort):
    table = chain_ranks(with_chains(cohort, correlated(0, 3)[:1]))
    assert (table["draws"] == table["expected"]).all()
    assert (table["lower"] == table["upper"]).all()


def test_effective_sample_sizes_end_where_the_diagnostics_stand(pep_fit):
    table = chain_ess(pep_fit)
    last = table.groupby("quantity").last()
    known = diagnostics(pep_fit).set_index("quantity").loc[last.index]
    np.testing.assert_allclose(last["ess_bulk"], known["ess_bulk"], rtol=1e-12)
    np.testing.assert_allclose(last["ess_tail"], known["ess_tail"], rtol=1e-12)
    assert (last["draws"] == 4000).all()
    assert (table["needed"] == 400).all()


def test_effective_sample_size_of_independent_draws_is_their_number(cohort):
    table = chain_ess(with_chains(cohort, correlated(0, 5)))
    assert table["draws"].is_monotonic_increasing
    np.testing.assert_allclose(table["ess_bulk"] / table["draws"], 1, atol=0.25)


def test_a_handful_of_draws_is_no_error(cohort):
    table = chain_ess(with_chains(cohort, correlated(0, 5)[:, :6]))
    assert list(table["draws"]) == [16, 20, 24]
    assert len(chain_ranks(with_chains(cohort, correlated(0, 5)[:, :6]))) == RANK_BINS * CHAINS


def test_gibbs_has_no_energy(pep_fit):
    assert chain_energy(pep_fit) is None


def test_energy_of_independent_normal_draws_is_known(cohort):
    """Energies N(50, 1): centred N(0, 1), changes N(0, 2), and E-BFMI 2."""
    fit = with_chains(cohort, correlated(0, 5))
    energy = 50 + correlated(0, 6)
    fit["sample_stats"] = xr.DataTree(xr.Dataset({"energy": (("chain", "draw"), energy)}))
    table = chain_energy(fit)
    assert set(table["chain"]) == {1, 2, 3, 4}
    for chain, part in table.groupby("chain"):
        grid, step = part["energy"].to_numpy(), np.diff(part["energy"])[0]
        for name, variance in (("marginal", 1), ("transition", 2)):
            assert part[name].sum() * step == pytest.approx(1, abs=0.01)
            normal = np.exp(-(grid**2) / 2 / variance) / np.sqrt(2 * np.pi * variance)
            # a kernel estimate of 4,000 draws: standard error about 0.01 at the mode
            np.testing.assert_allclose(part[name], normal, atol=0.04)
        expected = np.square(np.diff(energy[chain - 1])).mean() / energy[chain - 1].var(ddof=1)
        np.testing.assert_allclose(part["bfmi"], expected, rtol=1e-12)
    np.testing.assert_allclose(
        np.unique(table["bfmi"]), np.unique(azs.bfmi(fit)["energy"]), rtol=1e-12
    )


def test_pareto_k_are_counted_in_tenths_the_upper_end_included():
    loo = pd.DataFrame({"row": range(6), "pareto_k": [-0.05, 0.05, 0.1, 0.7, 0.7000001, 0.65]})
    table = pareto_k_histogram(loo, 0.7).set_index("k_upper")["patients"]
    assert table[0.0] == 1
    assert table[0.1] == 2
    assert table[0.7] == 2
    assert table[0.8] == 1
    assert table.sum() == 6
    assert not {"row", "pareto_k"} & set(pareto_k_histogram(loo, 0.7))


def test_pareto_k_that_is_none_or_far_off_stands_in_the_outermost_bins():
    loo = pd.DataFrame({"pareto_k": [np.nan, np.inf, 5.0, -np.inf, -3.0, 0.3]})
    table = pareto_k_histogram(loo, 0.65)
    assert table["patients"].tolist()[-1] == 3
    assert table["patients"].tolist()[0] == 2
    assert table["k_lower"].iloc[0] == -1
    assert table["k_upper"].iloc[-1] == 2
    assert table["patients"].sum() == 6
    np.testing.assert_allclose(table["k_lower"].to_numpy()[1:], table["k_upper"].to_numpy()[:-1])
    assert pareto_k_histogram(loo.iloc[:0], 0.7)["patients"].sum() == 0


def test_tables_of_no_draws_are_refused(cohort):
    with pytest.raises(OptionError, match="no posterior draws"):
        chain_ranks(maximum_likelihood(cohort))
    with pytest.raises(OptionError, match="pareto_k is missing"):
        pareto_k_histogram(pd.DataFrame({"row": [1]}), 0.7)
