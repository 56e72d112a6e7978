"""Leave-one-out from the draws: how well the model predicts a patient it has not seen."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr


@dataclass(frozen=True)
class LeaveOneOut:
    """Expected log predictive density of left-out patients.

    Attributes
    ----------
    elpd, se : float
        Sum over patients of the log predictive density, and its standard error.
    p_loo : float
        Effective number of parameters.
    good_k : float
        Largest Pareto k̂ that importance sampling supports at this number of draws.
    bad : int
        Patients above it: their terms are not reliable.
    patients : DataFrame
        ``row, elpd, pareto_k``; per patient, private.
    """

    elpd: float
    se: float
    p_loo: float
    good_k: float
    bad: int
    patients: pd.DataFrame


def leave_one_out(fit: xr.DataTree) -> LeaveOneOut:
    """Pareto-smoothed importance-sampling leave-one-out of a fit.

    Vehtari, Gelman & Gabry 2017, doi:10.1007/s11222-016-9696-4; threshold of k̂
    min(1 - 1/log10 S, 0.7) of Vehtari et al. 2024, JMLR 25:72.

    Parameters
    ----------
    fit : DataTree
        With groups ``log_likelihood`` and ``posterior``.

    Returns
    -------
    LeaveOneOut
    """
    import arviz_stats as azs

    draws = fit["log_likelihood"].to_dataset()["outcome"]
    efficiency = relative_efficiency(draws)
    with warnings.catch_warnings():
        # a high k̂ is counted and reported below
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto")
        loo = azs.loo(fit, var_name="outcome", reff=efficiency)
    k = np.asarray(loo.pareto_k.to_numpy())
    return LeaveOneOut(
        elpd=float(loo.elpd),
        se=float(loo.se),
        p_loo=float(loo.p),
        good_k=float(loo.good_k),
        bad=int((~(k <= loo.good_k)).sum()),
        patients=pd.DataFrame(
            {
                "row": draws["patient"].to_numpy(),
                "elpd": loo.elpd_i.to_numpy(),
                "pareto_k": k,
            }
        ),
    )


def relative_efficiency(log_likelihood: xr.DataArray) -> float:
    """Effective share of the draws for the mean likelihood of a patient, averaged over patients.

    At most 200 patients, evenly spaced, stand for all.
    """
    import arviz_stats as azs

    values = log_likelihood.to_numpy()
    step = max(1, values.shape[-1] // 200)
    ess = np.asarray(azs.ess(np.exp(values[..., ::step]), method="mean"))
    return float(min(1.0, np.nanmean(ess) / (values.shape[0] * values.shape[1])))
