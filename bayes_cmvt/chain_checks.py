"""The chains looked at: ranks, effective draws as they accrue, energy, Pareto k̂.

What `bayes_cmvt.diagnostics` judges in one number for each quantity, laid out for drawing.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.diagnostics import ESS_PER_CHAIN, TAIL
from bayes_cmvt.errors import OptionError
from bayes_cmvt.estimates import term_labels
from bayes_cmvt.intervals import tails
from bayes_cmvt.posterior import check_posterior, design_of

LABELS = {
    "intercept": "Intercept",
    "tau": "Global scale τ",
    "slab": "Slab scale c",
    "m_eff": "Effective number of coefficients",
    "log_lik": "Log-likelihood",
}
COEFFICIENTS = 2  # of the smallest bulk effective sample size
RANK_BINS = 20
ESS_POINTS = 10
FEWEST_DRAWS = 4  # per chain: fewer have no effective sample size
ENERGY_GRID = 200
K_WIDTH = 0.1
K_LOWEST, K_HIGHEST = -1.0, 2.0  # k̂ beyond them stands in the outermost bins

type Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Watched:
    """A quantity whose chains are drawn.

    Attributes
    ----------
    quantity, label : str
    draws : ndarray, shape (chain, draw)
    """

    quantity: str
    label: str
    draws: Floats


def watched_draws(fit: xr.DataTree) -> list[Watched]:
    """Quantities whose chains are drawn.

    Intercept, scales, effective number, log-likelihood, as far as the fit has them, and the two
    coefficients with the smallest bulk effective sample size. What never moves is left out.

    Raises
    ------
    OptionError
        A fit without a posterior.
    """
    check_posterior(fit)
    posterior, design = fit["posterior"], design_of(fit)
    watched = [
        Watched(name, label, posterior[name].to_numpy())
        for name, label in LABELS.items()
        if name in posterior.data_vars
    ]
    beta, labels = posterior["beta"].to_numpy(), term_labels(design.study)
    watched += [
        Watched(f"beta[{design.terms[j]}]", labels[j], beta[..., j]) for j in _least_effective(beta)
    ]
    return [one for one in watched if np.ptp(one.draws) > 0]


def _least_effective(beta: Floats) -> NDArray[np.int64]:
    """Positions of the coefficients with the smallest bulk effective sample size."""
    import arviz_stats as azs

    with np.errstate(divide="ignore", invalid="ignore"):  # one that never moves has none
        ess = np.asarray(azs.ess(beta))
    order = np.argsort(np.where(np.isfinite(ess), ess, np.inf), kind="stable")
    return np.asarray(order[:COEFFICIENTS])


def chain_ranks(fit: xr.DataTree, ci_prob: float = 0.95) -> pd.DataFrame:
    """How the draws of each chain rank among those of all chains: evenly, where the chains agree.

    Vehtari et al. 2021, doi:10.1214/20-BA1221, section 5. The limits hold the count of one bin
    with the stated probability if the chains sample one distribution. Draws of a chain hang
    together: its share in a bin is as uncertain as that of so many independent draws as the local
    effective sample size there says, on average over the chains, each taken by itself; less what
    the ranks of all chains together fix.

    Parameters
    ----------
    fit : DataTree
        With group ``posterior``.
    ci_prob : float in (0, 1)
        Of the limits, for each bin by itself: of 80 bins some four lie outside of 95 % limits.

    Returns
    -------
    DataFrame
        ``quantity, label, chain, rank_lower, rank_upper`` (as shares of all ranks), ``draws``
        (counted in the bin), ``expected, lower, upper, interval``. Chains are counted from 1.
    """
    tails(ci_prob)
    tables = [
        _rank_counts(one.draws, ci_prob).assign(quantity=one.quantity, label=one.label)
        for one in watched_draws(fit)
    ]
    first = ["quantity", "label", "chain", "rank_lower", "rank_upper"]
    columns = [*first, "draws", "expected", "lower", "upper"]
    return pd.concat(tables, ignore_index=True)[columns].assign(interval=ci_prob)


def _rank_counts(draws: Floats, ci_prob: float) -> pd.DataFrame:
    """Draws of each chain in each bin of the ranks, with the limits of an exchangeable chain."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    chains, length = draws.shape
    edges = np.linspace(0, 1, RANK_BINS + 1)
    rank = (rankdata(draws).reshape(draws.shape) - 0.5) / draws.size
    counts = np.stack([np.histogram(one, edges)[0] for one in rank])
    share, expected = 1 / RANK_BINS, length / RANK_BINS
    variance = share * (1 - share) * (1 - 1 / chains) / _ess_of_a_chain(draws, edges)
    reach = ndtri(tails(ci_prob)[1]) * length * np.sqrt(variance)
    return pd.DataFrame(
        {
            "chain": np.repeat(np.arange(1, chains + 1), RANK_BINS),
            "rank_lower": np.tile(edges[:-1], chains),
            "rank_upper": np.tile(edges[1:], chains),
            "draws": counts.ravel(),
            "expected": expected,
            "lower": np.tile(np.maximum(expected - reach, 0), chains),
            "upper": np.tile(np.minimum(expected + reach, length), chains),
        }
    )


def _ess_of_a_chain(draws: Floats, edges: Floats) -> Floats:
    """Effective sample size of a chain's share of draws in each bin, shape (bin,).

    Each chain by itself: taken together, chains that disagree would have wide limits, and pass.
    """
    import arviz_stats as azs

    pairs = list(itertools.pairwise(edges))
    with np.errstate(divide="ignore", invalid="ignore"):
        ess = [[float(azs.ess(one[None], method="local", prob=p)) for p in pairs] for one in draws]
    return np.minimum(np.mean(ess, axis=0), draws.shape[1])


def chain_ess(fit: xr.DataTree) -> pd.DataFrame:
    """Effective sample sizes as draws accrue: they grow in proportion where chains mix well.

    Vehtari et al. 2021, doi:10.1214/20-BA1221, section 5.

    Parameters
    ----------
    fit : DataTree
        With group ``posterior``.

    Returns
    -------
    DataFrame
        ``quantity, label, draws`` (first draws of all chains together), ``ess_bulk, ess_tail,
        needed`` (what the gate asks of the bulk).
    """
    import arviz_stats as azs

    rows: list[dict[str, Any]] = []
    for one in watched_draws(fit):
        chains, length = one.draws.shape
        lengths = np.linspace(0, length, ESS_POINTS + 1)[1:].round().astype(int)
        for used in np.unique(np.maximum(lengths, min(FEWEST_DRAWS, length))):
            first = one.draws[:, :used]
            with np.errstate(divide="ignore", invalid="ignore"):
                ess = {
                    "ess_bulk": float(azs.ess(first)),
                    "ess_tail": float(azs.ess(first, method="tail", prob=TAIL)),
                }
            about = {"quantity": one.quantity, "label": one.label, "draws": chains * used}
            rows.append({**about, **ess, "needed": ESS_PER_CHAIN * chains})
    return pd.DataFrame(rows)


def chain_energy(fit: xr.DataTree) -> pd.DataFrame | None:
    """Energy of a Hamiltonian sampler beside its changes from draw to draw, chain by chain.

    Where the changes are much narrower than the energy itself, momentum alone takes long to reach
    the tails (Betancourt 2016, arXiv:1604.00695).

    Parameters
    ----------
    fit : DataTree

    Returns
    -------
    DataFrame or None
        ``chain, energy`` (less the chain's mean), ``marginal, transition`` (densities), ``bfmi``
        (E-BFMI of the chain; the gate asks for 0.3). None where the engine has no energy (Gibbs).
    """
    import arviz_stats as azs

    stats = fit.children.get("sample_stats")
    if stats is None or "energy" not in stats.data_vars:
        return None
    energy = stats["energy"].to_numpy()
    centred, change = energy - energy.mean(axis=1, keepdims=True), np.diff(energy, axis=1)
    reach = max(float(np.abs(centred).max()), float(np.abs(change).max()))
    tables = []
    for chain, bfmi in enumerate(np.ravel(azs.bfmi(fit)["energy"].to_numpy())):
        grid, marginal, _ = azs.kde(
            centred[chain], custom_lims=(-reach, reach), grid_len=ENERGY_GRID
        )
        transition = azs.kde(change[chain], custom_lims=(-reach, reach), grid_len=ENERGY_GRID)[1]
        densities = {"energy": grid, "marginal": marginal, "transition": transition}
        tables.append(pd.DataFrame({"chain": chain + 1, **densities, "bfmi": bfmi}))
    return pd.concat(tables, ignore_index=True)


def pareto_k_histogram(loo: pd.DataFrame, good_k: float) -> pd.DataFrame:
    """Patients by the Pareto k̂ of leaving them out, in bins of 0.1; no patient can be told.

    Parameters
    ----------
    loo : DataFrame
        With a column ``pareto_k``: the patients of `leave_one_out`, table ``loo`` of a run.
    good_k : float
        Largest k̂ that importance sampling supports, see `bayes_cmvt.importance.good_k`.

    Returns
    -------
    DataFrame
        ``k_lower, k_upper, patients, good_k``; above ``k_lower``, up to ``k_upper``, between the
        bins in use and at least from 0 to 0.8. What lies outside -1 and 2 stands in the outermost
        bins, where there is no k̂ in the uppermost: both are to be read as "cannot be trusted".

    Raises
    ------
    OptionError
        A table without ``pareto_k``.
    """
    if "pareto_k" not in loo:
        msg = "loo: column pareto_k is missing; give the table of patients of leave_one_out"
        raise OptionError(msg)
    k = loo["pareto_k"].to_numpy(dtype=float)
    k = np.clip(np.where(np.isnan(k), np.inf, k), K_LOWEST + K_WIDTH / 2, K_HIGHEST)
    # whole tenths, so that rounding moves no k̂ of exactly 0.7 into the bin above
    tenth = np.ceil(np.round(k / K_WIDTH, 9)).astype(int)
    bins = np.arange(min(1, tenth.min(initial=1)), max(8, tenth.max(initial=8)) + 1)
    counts = (tenth[:, np.newaxis] == bins).sum(axis=0)
    limits = {"k_lower": (bins - 1) * K_WIDTH, "k_upper": bins * K_WIDTH}
    return pd.DataFrame(limits).round(9).assign(patients=counts, good_k=good_k)
