"""Fits made by hand: coefficients that a test knows, on the axes of any cohort."""

from __future__ import annotations

import numpy as np
import xarray as xr

from bayes_cmvt.cohort import Cohort
from bayes_cmvt.design import Design, design_matrix, learn_design
from bayes_cmvt.logistic import fit_maximum_likelihood
from bayes_cmvt.posterior import fit_attributes


def fit_of(
    cohort: Cohort, *, estimate=None, posterior=None, bootstrap=None, design: Design | None = None
) -> xr.DataTree:
    """A fit from pairs (intercept, beta): shapes (draw,) and (draw, coefficient), per SD."""
    design = design or learn_design(cohort)
    groups = {"estimate": estimate, "posterior": posterior, "bootstrap": bootstrap}
    datasets = {
        f"/{name}": xr.Dataset(
            {
                "intercept": (("chain", "draw"), np.atleast_1d(pair[0])[np.newaxis]),
                "beta": (("chain", "draw", "coefficient"), np.atleast_2d(pair[1])[np.newaxis]),
            }
        )
        for name, pair in groups.items()
        if pair is not None
    }
    constants = {"mean": ("coefficient", design.mean), "sd": ("coefficient", design.sd)}
    tree = xr.DataTree.from_dict({**datasets, "/constant_data": xr.Dataset(constants)})
    tree.attrs.update(fit_attributes(cohort, {"engine": "by hand"}))
    return tree


def maximum_likelihood(cohort: Cohort) -> xr.DataTree:
    """All columns of a cohort in one maximum-likelihood model, as a frequentist fit."""
    design = learn_design(cohort)
    members = cohort.development
    matrix = design_matrix(design, cohort.predictors[members])
    found = fit_maximum_likelihood(matrix, cohort.outcome[members])
    return fit_of(cohort, estimate=(found.intercept, found.coefficients), design=design)


def drawn_posterior(cohort: Cohort, draws: int = 400, spread: float = 0.3, seed: int = 1):
    """Draws around effects of all sizes; a posterior in everything that tables ask for."""
    rng = np.random.default_rng(seed)
    width = len(cohort.study.terms)
    centre = rng.normal(0, 0.6, width)
    beta = centre + rng.normal(0, spread, (draws, width))
    return fit_of(cohort, posterior=(-0.5 + rng.normal(0, spread, draws), beta))
