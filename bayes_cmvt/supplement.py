"""Tables of a posterior that supplementary figures need, besides those of other stages."""

from __future__ import annotations

import pandas as pd
import xarray as xr

from bayes_cmvt.chain_checks import chain_energy, chain_ess, chain_ranks, pareto_k_histogram
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.crossvalidation import leave_one_out
from bayes_cmvt.expected_calibration import expected_calibration, risk_histogram
from bayes_cmvt.importance import good_k
from bayes_cmvt.predictive_checks import predictive_checks, predictive_events
from bayes_cmvt.prior_sensitivity import power_scaling
from bayes_cmvt.shrinkage_estimates import (
    effective_number_density,
    effective_numbers,
    shrinkage_table,
)

POSTERIOR = "horseshoe"
TABLES = (
    *("shrinkage", "effective_number", "effective_number_density"),
    *("expected_calibration", "risk_histogram"),
    *("chain_ranks", "chain_ess", "chain_energy", "pareto_k"),
    *("predictive_checks", "predictive_events", "sensitivity_power"),
)


def supplement_tables(
    fit: xr.DataTree, cohort: Cohort, *, ci_prob: float = 0.95, loo: pd.DataFrame | None = None
) -> dict[str, pd.DataFrame]:
    """Shrinkage, checks of chains and predictions, expected calibration, power-scaling.

    Parameters
    ----------
    fit : DataTree
        A posterior.
    cohort : Cohort
        Whom it has learnt from, and validation patients where the study splits.
    ci_prob : float in (0, 1)
    loo : DataFrame, optional
        Patients of `leave_one_out`, with exact terms where these were computed.

    Returns
    -------
    dict of str to DataFrame
        By the names of their files; ``chain_energy`` of NUTS alone. No table has rows of patients.

    Raises
    ------
    OptionError
        A fit without a prior, or another cohort.
    """
    draws = fit["log_likelihood"].sizes
    patients = leave_one_out(fit).patients if loo is None else loo
    tables = {
        "shrinkage": shrinkage_table(fit, ci_prob),
        "effective_number": effective_numbers(fit, cohort, ci_prob),
        "effective_number_density": effective_number_density(fit),
        "expected_calibration": expected_calibration(fit, cohort, ci_prob),
        "risk_histogram": risk_histogram({POSTERIOR: fit}, cohort),
        "chain_ranks": chain_ranks(fit),
        "chain_ess": chain_ess(fit),
        "chain_energy": chain_energy(fit),
        "pareto_k": pareto_k_histogram(patients, good_k(draws["chain"] * draws["draw"])),
        "predictive_checks": predictive_checks(fit, cohort, ci_prob),
        "predictive_events": predictive_events(fit, cohort),
        "sensitivity_power": power_scaling(fit),
    }
    return {name: table for name, table in tables.items() if table is not None and len(table)}
