"""How far the prior pulls: shrinkage of each coefficient and effective numbers, prior beside.

A reader has to see what the prior says before the data, or the posterior cannot be judged.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.cohort import Cohort
from bayes_cmvt.errors import OptionError
from bayes_cmvt.estimates import effective_degrees_of_freedom, term_labels
from bayes_cmvt.intervals import equal_tailed, tails
from bayes_cmvt.posterior import (
    check_posterior,
    design_of,
    learnt_from,
    prior_of,
    shrinkage_draws,
)

GRID = 400  # points of a density: none is narrower than a hundredth of the axis
NO_INFORMATION = 30.0  # log-odds beyond which an outcome says nothing: its variance is below 1e-13
LIMITS = ("lower", "median", "upper")


def check_prior(fit: xr.DataTree) -> None:
    """Refuse what was not sampled under a prior of its own: a workflow, a projected submodel.

    Raises
    ------
    OptionError
    """
    check_posterior(fit)
    if "prior" not in fit.children:
        msg = (
            "this fit has no prior of its own; give the posterior that it was projected from, as "
            "sample or load_run returns it"
        )
        raise OptionError(msg)


def check_learnt(fit: xr.DataTree, cohort: Cohort) -> None:
    """Refuse a cohort whose development patients are not those of the fit.

    Raises
    ------
    OptionError
    """
    if not learnt_from(fit, cohort):
        msg = (
            f"the fit did not learn from the development patients of {cohort.source}; "
            "give the cohort that it was sampled from"
        )
        raise OptionError(msg)


def shrinkage_table(fit: xr.DataTree, ci_prob: float = 0.95) -> pd.DataFrame:
    """Shrinkage factor κ of each coefficient, given the data and before them.

    κ = 1 / (1 + n σ̃⁻² v), v the prior variance of the coefficient given its scales (Piironen &
    Vehtari 2017, doi:10.1214/17-EJS1337SI): 0 leaves the estimate alone, 1 shrinks it to nothing.
    Before the data all shrunk coefficients have one distribution; its quantiles are those of the
    prior draws of all of them.

    Parameters
    ----------
    fit : DataTree
        With groups ``prior`` and ``posterior``.
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        ``term, label, shrinkage`` (posterior mean), ``lower, median, upper`` (posterior),
        ``prior_lower, prior_median, prior_upper, interval``. Empty for a coefficient with a prior
        of its own, which is not shrunk.

    Raises
    ------
    OptionError
        A fit without a prior, or ``ci_prob`` outside (0, 1).
    """
    check_prior(fit)
    tails(ci_prob)
    design, shrunk = design_of(fit), prior_of(fit).shrunk
    table = pd.DataFrame({"term": design.terms, "label": term_labels(design.study)})
    columns = ["shrinkage", *LIMITS, *(f"prior_{name}" for name in LIMITS)]
    table[columns] = np.nan
    if shrunk.any():
        kappa = shrinkage_draws(fit)[..., shrunk].reshape(-1, int(shrunk.sum()))
        before = shrinkage_draws(before_data(fit))[..., shrunk]
        summary = np.empty((len(kappa[0]), len(columns)))
        summary[:, 0] = kappa.mean(axis=0)
        summary[:, 1:4] = equal_tailed(kappa, ci_prob).T
        summary[:, 4:] = equal_tailed(before.ravel(), ci_prob)
        table.loc[shrunk, columns] = summary
    return table.assign(interval=ci_prob)


def before_data(fit: xr.DataTree) -> xr.DataTree:
    """Return a fit whose posterior is the prior: what reads draws given the data then reads it.

    Parameters
    ----------
    fit : DataTree
        With group ``prior``.
    """
    groups = {name: fit[name].to_dataset() for name in ("observed_data", "constant_data")}
    tree = xr.DataTree.from_dict({"posterior": fit["prior"].to_dataset(), **groups})
    tree.attrs = dict(fit.attrs)
    return tree


def effective_numbers(fit: xr.DataTree, cohort: Cohort, ci_prob: float = 0.95) -> pd.DataFrame:
    """Effective number of coefficients, before the data and given them.

    ``m_eff`` is Σ (1 - κ) over the shrunk coefficients and ignores their correlation; ``df_eff``,
    tr[(G + P)⁻¹G] with G the information of the outcomes at the draw's risks and P the prior
    precisions, takes it into account and counts all columns.

    Parameters
    ----------
    fit : DataTree
        With groups ``prior`` and ``posterior``.
    cohort : Cohort
        The one that was sampled.
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        ``distribution`` (``prior``, ``posterior``), ``quantity`` (``m_eff``, ``df_eff``), ``mean,
        median, lower, upper, interval``. No ``m_eff`` where it is a constant (normal prior).
        ``df_eff`` is that of at most 400 draws of each distribution, evenly spaced: what is given
        as the 2.5 % quantile of independent draws is their 1 % to 4 % quantile.

    Raises
    ------
    OptionError
        A fit without a prior, another cohort, or ``ci_prob`` outside (0, 1).
    """
    from threadpoolctl import threadpool_limits

    check_prior(fit)
    check_learnt(fit, cohort)
    rows = []
    for distribution, tree in (("prior", _informative(before_data(fit))), ("posterior", fit)):
        # many small products: threads take longer to share one than one needs for it
        with threadpool_limits(limits=1):
            draws = {"df_eff": effective_degrees_of_freedom(tree, cohort)}
        if (found := _m_eff(fit, distribution)) is not None:
            draws = {"m_eff": found, **draws}
        for quantity, values in draws.items():
            lower, median, upper = equal_tailed(values, ci_prob)
            limits = {"mean": values.mean(), "median": median, "lower": lower, "upper": upper}
            rows.append({"distribution": distribution, "quantity": quantity, **limits})
    return pd.DataFrame(rows).assign(interval=ci_prob)


def _informative(tree: xr.DataTree) -> xr.DataTree:
    """Keep intercepts where some patient's outcome is uncertain.

    Columns are centred, so some patient's log-odds are then not beyond the limit on that side.
    """
    drawn = tree["posterior"].to_dataset()
    drawn["intercept"] = drawn["intercept"].clip(-NO_INFORMATION, NO_INFORMATION)
    changed = tree.copy()
    changed["posterior"] = xr.DataTree(drawn)
    return changed


def _m_eff(fit: xr.DataTree, distribution: str) -> NDArray[np.float64] | None:
    """Effective number in each draw, or None where it is none or a constant."""
    group = fit[distribution]
    if "m_eff" not in group.data_vars or not prior_of(fit).shrunk.any():
        return None
    return np.asarray(group["m_eff"].to_numpy().ravel())


def effective_number_density(fit: xr.DataTree) -> pd.DataFrame:
    """Density of the effective number of coefficients, before the data and given them.

    A kernel density estimate reflected at both ends of [0, D], D the number of shrunk columns; at
    the middles of 400 equal steps, so that the densities times the step sum to one.

    Parameters
    ----------
    fit : DataTree
        With groups ``prior`` and ``posterior``.

    Returns
    -------
    DataFrame
        ``distribution, effective_number, density``; no rows where the effective number is a
        constant (normal prior, nothing shrunk).

    Raises
    ------
    OptionError
        A fit without a prior.
    """
    import arviz_stats as azs

    check_prior(fit)
    columns = int(prior_of(fit).shrunk.sum())
    tables = []
    for distribution in ("prior", "posterior"):
        draws = _m_eff(fit, distribution)
        if draws is None:
            continue
        grid, density, _ = azs.kde(
            draws, custom_lims=(0, columns), bound_correction=True, grid_len=GRID
        )
        about = {"distribution": distribution, "effective_number": grid}
        tables.append(pd.DataFrame({**about, "density": density}))
    if not tables:
        return pd.DataFrame(columns=["distribution", "effective_number", "density"])
    return pd.concat(tables, ignore_index=True)
