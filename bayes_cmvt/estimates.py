"""Draws of the coefficients become tables: odds ratios, intervals, shrinkage, prior beside."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.cohort import Cohort
from bayes_cmvt.design import design_matrix, reported_contrast
from bayes_cmvt.diagnostics import monte_carlo_error
from bayes_cmvt.intervals import equal_tailed, tails
from bayes_cmvt.posterior import (
    check_posterior,
    coefficient_variance,
    design_of,
    expit,
    prior_of,
    settings_of,
    shrinkage_draws,
    thinned,
)
from bayes_cmvt.priors import absolute_quantile, prior_draws
from bayes_cmvt.study import Study, level_text

INTERCEPT = "(Intercept)"
DEGREES_DRAWS = 400
OWN_DRAWS = 100_000  # of a prior without closed form
MONTE_CARLO_COLUMNS = ("rhat", "ess_bulk", "ess_tail", "mcse_mean", "mcse_lower", "mcse_upper")


def coefficients(
    fit: xr.DataTree, *, ci_prob: float = 0.95, diagnosed: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Intercept and coefficients with odds ratios, intervals, shrinkage and Monte Carlo error.

    Parameters
    ----------
    fit : DataTree
    ci_prob : float in (0, 1)
        Probability of the equal-tailed intervals.
    diagnosed : DataFrame, optional
        Result of `diagnostics` at the same ``ci_prob``, where it is at hand.

    Returns
    -------
    DataFrame
        One row for each term, ``(Intercept)`` first: ``term, label, mean, sd, median, lower,
        upper`` (log-odds per original unit, or per level), ``std_mean, std_sd, std_lower,
        std_upper`` (log-odds per SD of the predictor), ``per, odds_ratio, odds_ratio_lower,
        odds_ratio_upper`` (exponential of the posterior median and limits, on the contrast
        ``per``), ``prob_positive, shrinkage``, ``rhat, ess_bulk, ess_tail, mcse_mean, mcse_lower,
        mcse_upper`` (of the standardised coefficient), ``interval`` (``ci_prob``).
    """
    check_posterior(fit)
    design, posterior = design_of(fit), fit["posterior"]
    beta, intercept = posterior["beta"].to_numpy(), posterior["intercept"].to_numpy()
    per_unit = beta / design.sd
    at_zero = intercept - per_unit @ design.mean
    original = np.concatenate([at_zero[..., np.newaxis], per_unit], axis=-1)
    standardised = np.concatenate([intercept[..., np.newaxis], beta], axis=-1)
    contrast = np.concatenate([[1.0], reported_contrast(design)])
    table = pd.DataFrame(
        {
            "term": [INTERCEPT, *design.terms],
            "label": [INTERCEPT, *term_labels(design.study)],
        }
    )
    table = table.assign(**_summary(original, ci_prob, "", with_median=True))
    table = table.assign(**_summary(standardised, ci_prob, "std_", with_median=False))
    table["per"] = contrast
    for name, source in (("", "median"), ("_lower", "lower"), ("_upper", "upper")):
        # the intercept of a far-away zero point, or a heavy tail, may exceed the largest float
        with np.errstate(over="ignore"):
            table[f"odds_ratio{name}"] = np.exp(table[source] * contrast)
    table["prob_positive"] = (original > 0).mean(axis=(0, 1))
    kappa = np.full(len(design.terms), np.nan)
    if "prior" in fit.children:  # projected draws have no prior of their own
        kappa = shrinkage_draws(fit).mean(axis=(0, 1))
    table["shrinkage"] = np.concatenate([[np.nan], kappa])
    if diagnosed is None:
        errors = monte_carlo_error(standardised, ci_prob)
    else:
        names = ["intercept", *(f"beta[{term}]" for term in design.terms)]
        rows = diagnosed.set_index("quantity").loc[names]
        errors = {name: rows[name].to_numpy() for name in MONTE_CARLO_COLUMNS}
    return table.assign(**errors, interval=ci_prob)


def _summary(
    draws: NDArray[np.float64], ci_prob: float, prefix: str, *, with_median: bool
) -> dict[str, NDArray[np.float64]]:
    flat = draws.reshape(-1, draws.shape[-1])
    lower, median, upper = equal_tailed(flat, ci_prob)
    middle = {f"{prefix}median": median} if with_median else {}
    return {
        f"{prefix}mean": flat.mean(axis=0),
        f"{prefix}sd": flat.std(axis=0, ddof=1),
        **middle,
        f"{prefix}lower": lower,
        f"{prefix}upper": upper,
    }


def term_labels(study: Study) -> list[str]:
    """Label of each term: of a category with its levels, of a transformed predictor with how."""
    from bayes_cmvt.schema import Binary, Categorical, Continuous

    labels = []
    for predictor in study.predictors:
        if isinstance(predictor, Categorical):
            reference = level_text(predictor.levels[0])
            labels += [
                f"{predictor.display}: {level_text(level)} vs {reference}"
                for level in predictor.levels[1:]
            ]
        elif isinstance(predictor, Binary) and predictor.levels != (0, 1):
            second, first = (level_text(level) for level in reversed(predictor.levels))
            labels.append(f"{predictor.display}: {second} vs {first}")
        elif isinstance(predictor, Continuous) and predictor.transform != "identity":
            labels.append(f"{predictor.display} ({predictor.transform})")
        else:
            labels.append(predictor.display)
    return labels


def prior_odds_ratios(fit: xr.DataTree, *, ci_prob: float = 0.95) -> pd.DataFrame:
    """What the prior says of every odds ratio, on a clinical contrast, beside the posterior.

    The contrast is the level change, or the step from the 25th to the 75th percentile, or ``per``
    where the study declares it. A rare level widens its prior on the level contrast, because the
    prior is stated per SD.

    Parameters
    ----------
    fit : DataTree
        With groups ``prior`` and ``posterior``.
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        ``term, label, contrast, prior_lower, prior_median, prior_upper, posterior_lower,
        posterior_median, posterior_upper, interval``, all odds ratios on that contrast.
    """
    design = design_of(fit)
    contrast = fit["constant_data"]["contrast"].to_numpy()
    table = pd.DataFrame(
        {"term": design.terms, "label": term_labels(design.study), "contrast": contrast}
    )
    scale = contrast / design.sd
    beta = fit["posterior"]["beta"].to_numpy()
    prior_limits = _prior_limits(fit, ci_prob)
    posterior_limits = equal_tailed(beta.reshape(-1, beta.shape[-1]), ci_prob)
    for name, limits in (("prior", prior_limits), ("posterior", posterior_limits)):
        for end, limit in zip(("lower", "median", "upper"), limits, strict=True):
            with np.errstate(over="ignore"):
                table[f"{name}_{end}"] = np.exp(limit * scale)
    return table.assign(interval=ci_prob)


def _prior_limits(fit: xr.DataTree, ci_prob: float) -> NDArray[np.float64]:
    """Lower limit, median and upper limit of each coefficient's prior, per SD.

    The shrunk coefficients share one prior, symmetric about 0: its limits come from a million
    draws of its own, because a few thousand leave a heavy tail uncertain by a factor of two.
    """
    from scipy.special import ndtri

    prior = prior_of(fit)
    rng = np.random.default_rng(settings_of(fit)["seed"])
    reach = absolute_quantile(prior, ci_prob, rng)
    limits = np.outer([-reach, 0.0, reach], np.ones(len(prior.shrunk)))
    own = ~prior.shrunk
    z = ndtri(tails(ci_prob)[1])
    limits[:, own] = prior.own_mean[own] + np.outer([-z, 0.0, z], prior.own_sd[own])
    if prior.pseudo is not None:
        limits[:, own] = equal_tailed(prior_draws(prior, OWN_DRAWS, rng).beta[:, own], ci_prob)
    return limits


def effective_degrees_of_freedom(fit: xr.DataTree, cohort: Cohort) -> NDArray[np.float64]:
    """Effective degrees of freedom of the coefficients in each draw, tr[(G + P)⁻¹G].

    G = ZᵀWZ with the intercept projected out, W the variances of the outcomes at the draw's
    risks, P the prior precisions given the draw's scales. Unlike the effective number, it takes
    the correlation of the columns into account.

    Parameters
    ----------
    fit : DataTree
    cohort : Cohort
        The one that was sampled.

    Returns
    -------
    ndarray, shape (draw,)
        At most 400 draws, evenly spaced over the chains.
    """
    from threadpoolctl import threadpool_limits

    design, posterior = design_of(fit), fit["posterior"]
    matrix = design_matrix(design, cohort.predictors[cohort.development])
    intercept = posterior["intercept"].to_numpy().ravel()
    kept = thinned(len(intercept), DEGREES_DRAWS)
    beta = posterior["beta"].to_numpy().reshape(len(intercept), -1)
    precision = 1 / np.maximum(coefficient_variance(fit).reshape(beta.shape), np.finfo(float).tiny)
    # small products, one after the other: more threads wait for each other longer than they work
    with threadpool_limits(limits=1):
        degrees = [
            _degrees(matrix, intercept[one] + matrix @ beta[one], precision[one]) for one in kept
        ]
    return np.asarray(degrees)


def _degrees(
    matrix: NDArray[np.float64],
    linear_predictor: NDArray[np.float64],
    precision: NDArray[np.float64],
) -> float:
    risk = expit(linear_predictor)
    weight = risk * (1 - risk)
    centred = matrix - (weight @ matrix) / weight.sum()
    information = centred.T @ (centred * weight[:, np.newaxis])
    # scaled by the prior SDs, so that a coefficient shrunk to nothing adds a row of zeros
    sd = 1 / np.sqrt(precision)
    scaled = information * np.outer(sd, sd)
    return float(np.trace(np.linalg.solve(scaled + np.eye(len(sd)), scaled)))
