"""Can the draws be trusted? The gate of R-hat, effective sample size, divergences and energy.

Vehtari, Gelman, Simpson, Carpenter & Bürkner 2021, Bayesian Anal. 16:667, doi:10.1214/20-BA1221.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.intervals import tails
from bayes_cmvt.posterior import check_posterior, settings_of

RHAT_BELOW = 1.01
ESS_PER_CHAIN = 100
BFMI_AT_LEAST = 0.3
TAIL = (0.05, 0.95)
DIVERGENT_AT_MOST = 0.001
CONFLICT_TAIL = 0.01
GATED = ("intercept", "beta", "tau", "slab", "m_eff", "log_lik", "mean_risk")
REPORTED = ("lambda",)


@dataclass(frozen=True)
class Verdict:
    """Whether the draws can be trusted, and if not, what failed and what to do.

    Attributes
    ----------
    trusted : bool
    problems : tuple of str
        What failed, on which quantity, and what would mend it; empty where trusted.
    max_rhat, min_ess_bulk : float
        Over the gated quantities.
    divergences, total_draws : int
    min_bfmi : float
        Smallest energy Bayesian fraction of missing information; nan where the engine has none.
    draws_needed : int
        Draws per chain that would meet the effective sample size, at the rate seen.
    warnings : tuple of str
        What the draws, right as they may be, say against the model: a prior that the data
        contradict.
    """

    trusted: bool
    problems: tuple[str, ...]
    max_rhat: float
    min_ess_bulk: float
    divergences: int
    total_draws: int
    min_bfmi: float
    draws_needed: int
    warnings: tuple[str, ...] = ()


def diagnostics(fit: xr.DataTree, ci_prob: float = 0.95) -> pd.DataFrame:
    """R-hat, effective sample sizes and Monte Carlo errors of every scalar of the posterior.

    Parameters
    ----------
    fit : DataTree
        With group ``posterior``.
    ci_prob : float in (0, 1)
        Interval whose limits the last two Monte Carlo errors belong to.

    Returns
    -------
    DataFrame
        ``quantity, gated, mean, sd, rhat, ess_bulk, ess_tail, mcse_mean, mcse_lower, mcse_upper,
        interval``.
    """
    posterior = fit["posterior"].to_dataset()
    if "search" in fit.children:  # what a projected submodel leaves out is 0 in every draw
        inside = (posterior["beta"] != 0).any(("chain", "draw"))
        posterior = posterior.sel(coefficient=inside)
    if "m_eff" in posterior and float(np.ptp(posterior["m_eff"].to_numpy())) == 0.0:
        posterior = posterior.drop_vars("m_eff")  # nothing is shrunk: a constant, not sampled
    tables = [
        _scalar_diagnostics(posterior[name], name in GATED, ci_prob)
        for name in (*GATED, *REPORTED)
        if name in posterior.data_vars
    ]
    return pd.concat(tables, ignore_index=True).assign(interval=ci_prob)


def _scalar_diagnostics(variable: xr.DataArray, gated: bool, ci_prob: float) -> pd.DataFrame:
    draws = variable.to_numpy()
    names = [str(variable.name)]
    if draws.ndim == 3:
        names = [f"{variable.name}[{term}]" for term in variable[variable.dims[-1]].to_numpy()]
    else:
        draws = draws[..., np.newaxis]
    table = pd.DataFrame({"quantity": names, "gated": gated})
    table["mean"], table["sd"] = draws.mean(axis=(0, 1)), draws.std(axis=(0, 1), ddof=1)
    return table.assign(**monte_carlo_error(draws, ci_prob))


def monte_carlo_error(draws: NDArray[np.float64], ci_prob: float = 0.95) -> dict[str, Any]:
    """Rank-normalised split R-hat, bulk and tail ESS, and Monte Carlo standard errors.

    Parameters
    ----------
    draws : ndarray, shape (chain, draw, quantity)
    ci_prob : float in (0, 1)

    Returns
    -------
    dict of str to ndarray, shape (quantity,)
        ``rhat, ess_bulk, ess_tail`` (the smaller of those of the 5 % and 95 % quantiles),
        ``mcse_mean, mcse_lower, mcse_upper`` (of the limits of the equal-tailed interval).
    """
    import arviz_stats as azs

    lower, upper = tails(ci_prob)
    # a quantity that never moves has no R-hat: numpy's 0/0 becomes nan, and nan fails the gate
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "rhat": azs.rhat(draws),
            "ess_bulk": azs.ess(draws),
            "ess_tail": azs.ess(draws, method="tail", prob=TAIL),
            "mcse_mean": azs.mcse(draws),
            "mcse_lower": azs.mcse(draws, method="quantile", prob=lower),
            "mcse_upper": azs.mcse(draws, method="quantile", prob=upper),
        }


def verdict(fit: xr.DataTree, table: pd.DataFrame | None = None) -> Verdict:
    """Apply the gate to a fit.

    Parameters
    ----------
    fit : DataTree
        With groups ``posterior`` and ``sample_stats``.
    table : DataFrame, optional
        Result of `diagnostics` where it is at hand.

    Returns
    -------
    Verdict
    """
    check_posterior(fit)
    gated = diagnostics(fit) if table is None else table
    gated = gated[gated["gated"]]
    chains, draws = fit["posterior"].sizes["chain"], fit["posterior"].sizes["draw"]
    divergences = _divergences(fit)
    smallest_energy = _smallest_bfmi(fit)
    needed = ESS_PER_CHAIN * chains
    smallest = float(gated["ess_bulk"].min())
    draws_needed = _draws_needed(draws, smallest, needed)
    problems = [
        *_rhat_problems(gated, chains),
        *_ess_problems(gated, needed, draws_needed),
        *_divergence_problems(divergences, chains * draws, settings_of(fit)),
        *_energy_problems(smallest_energy),
    ]
    return Verdict(
        trusted=not problems,
        problems=tuple(problems),
        max_rhat=float(gated["rhat"].max()),
        min_ess_bulk=smallest,
        divergences=divergences,
        total_draws=chains * draws,
        min_bfmi=smallest_energy,
        draws_needed=draws_needed,
        warnings=tuple(_prior_conflict(fit)),
    )


def draws_needed(quantities: Mapping[str, NDArray[np.float64]]) -> int:
    """Draws per chain that would meet the gate of R-hat and bulk effective sample size.

    Parameters
    ----------
    quantities : mapping of str to ndarray, shape (chain, draw) or (chain, draw, coefficient)
        Group ``posterior`` of a fit, or what will become it.

    Returns
    -------
    int
        The present number where the gate is met; twice as many where only the chains disagree.
    """
    import arviz_stats as azs

    gated = np.concatenate(
        [
            values[..., np.newaxis] if values.ndim == 2 else values
            for name, values in quantities.items()
            if name in GATED
        ],
        axis=-1,
    )
    chains, draws = int(gated.shape[0]), int(gated.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        smallest = float(np.min(azs.ess(gated)))
        agree = bool((azs.rhat(gated) < RHAT_BELOW).all())
    enough = smallest >= ESS_PER_CHAIN * chains
    if enough and agree:
        return draws
    wanted = _draws_needed(draws, smallest, ESS_PER_CHAIN * chains)
    return wanted if agree else max(wanted, 2 * draws)


def _divergences(fit: xr.DataTree) -> int:
    stats = _sample_stats(fit)
    return int(stats["diverging"].sum()) if "diverging" in stats.data_vars else 0


def _sample_stats(fit: xr.DataTree) -> xr.Dataset:
    """Return what the engine says of each draw; Gibbs without an independence step says nothing."""
    return fit["sample_stats"].to_dataset() if "sample_stats" in fit.children else xr.Dataset()


def _smallest_bfmi(fit: xr.DataTree) -> float:
    import arviz_stats as azs

    if "energy" not in _sample_stats(fit).data_vars:
        return float("nan")
    return float(azs.bfmi(fit)["energy"].min())


def _draws_needed(draws: int, smallest: float, needed: int) -> int:
    if not smallest > 0:
        return 2 * draws
    return max(draws, 100 * math.ceil(1.2 * draws * needed / smallest / 100))


def _prior_conflict(fit: xr.DataTree) -> list[str]:
    """Whether the effective number of coefficients lies where its prior hardly reaches.

    A prior-data conflict in the sense of Evans & Moshonov 2006, doi:10.1214/06-BA129: the prior
    distribution function at the posterior median.
    """
    if "m_eff" not in fit["posterior"].data_vars or "prior" not in fit.children:
        return []
    before = fit["prior"]["m_eff"].to_numpy().ravel()
    found = float(fit["posterior"]["m_eff"].median())
    below = float((before < found).mean())
    if CONFLICT_TAIL <= below <= 1 - CONFLICT_TAIL:
        return []
    direction, change = ("more", "larger") if below > 0.5 else ("fewer", "smaller")
    return [
        f"prior and data disagree: the effective number of coefficients is {found:.1f} after the "
        f"data, before them it was beyond that with probability {min(below, 1 - below):.2g} only; "
        f"the data want {direction}: a {change} expected_nonzero, or a look at why"
    ]


def _rhat_problems(gated: pd.DataFrame, chains: int) -> list[str]:
    if chains < 2:
        return ["one chain cannot be compared with another: use --chains 4"]
    failing = gated[~(gated["rhat"] < RHAT_BELOW)]
    if failing.empty:
        return []
    worst = _worst(failing, failing["rhat"].fillna(np.inf).idxmax(), "rhat", ".3f")
    return [
        f"chains disagree: R-hat of {worst} is not below {RHAT_BELOW} "
        f"({len(failing)} of {len(gated)} quantities); look at these chains, then sample longer"
    ]


def _ess_problems(gated: pd.DataFrame, needed: int, draws_needed: int) -> list[str]:
    failing = gated[~(gated["ess_bulk"] >= needed)]
    if failing.empty:
        return []
    worst = _worst(failing, failing["ess_bulk"].fillna(-1).idxmin(), "ess_bulk", ".0f")
    return [
        f"too few effective draws: bulk ESS of {worst} is below {needed} ({len(failing)} of "
        f"{len(gated)} quantities); about --draws {draws_needed} would do"
    ]


def _worst(failing: pd.DataFrame, index: Any, column: str, form: str) -> str:
    row = failing.loc[index]
    return f"{row['quantity']} = {row[column]:{form}}"


def _divergence_problems(divergences: int, total: int, settings: dict[str, Any]) -> list[str]:
    if divergences <= DIVERGENT_AT_MOST * total:
        return []
    target = settings.get("target_accept_used", settings.get("target_accept"))
    return [
        f"{divergences} of {total} draws diverged at target acceptance {target} (allowed: 0.1 %); "
        "look for a level that few patients have, a narrower slab_scale, or --target-accept 0.999"
    ]


def _energy_problems(smallest: float) -> list[str]:
    if math.isnan(smallest) or smallest >= BFMI_AT_LEAST:
        return []
    return [
        f"energy explored too slowly: E-BFMI {smallest:.2f} is below {BFMI_AT_LEAST}; "
        "sample longer (--warmup, --draws)"
    ]
