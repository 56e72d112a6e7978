"""A fit is a DataTree: how it is put together, and what is read back out of it.

Groups: ``posterior`` (``intercept``, ``beta``, and with the horseshoe ``tau``, ``lambda`` and
``slab``; of each draw ``m_eff``, ``log_lik`` summed over patients, ``mean_risk``), ``prior``,
``prior_predictive``, ``sample_stats``, ``log_likelihood``, ``posterior_predictive``,
``observed_data``, ``constant_data``. The study as TOML, hashes, seed and settings are attributes of
the root, so that prediction needs a fit and new rows, nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.cohort import Cohort
from bayes_cmvt.design import Design, clinical_contrast, design_matrix
from bayes_cmvt.errors import OptionError, RunError
from bayes_cmvt.priors import (
    CoefficientPrior,
    effective_number,
    numeric_prior,
    prior_draws,
    prior_variance,
    shrinkage,
)
from bayes_cmvt.study import parse_study
from bayes_cmvt.synthetic import NOTICE, is_synthetic

PRIOR_DRAWS = 20_000
PRIOR_PREDICTIVE_DRAWS = 500
PATIENT_VALUES = 20_000_000  # per-patient arrays are thinned to at most so many values
PATIENT_DRAWS = 4_000  # and to so many draws of all chains: more say little more of one patient
PRINTED = "printed"  # group of draws from printed standard errors
SAME_MEAN = 1e-6  # SD by which the mean of a standardised column may miss 0
BLOCK_VALUES = 1_000_000  # numbers of one block of patients held at a time


@dataclass(frozen=True, eq=False)
class Draws:
    """What a sampler returns, whichever it is.

    Attributes
    ----------
    intercept : ndarray, shape (chain, draw)
    beta : ndarray, shape (chain, draw, coefficient)
        Log-odds per SD.
    tau, slab : ndarray, shape (chain, draw), or None
    local : ndarray, shape (chain, draw, shrunk coefficient), or None
        λ of the horseshoe, or the local scale of the Student-t prior.
    sample_stats : mapping of str to ndarray, shape (chain, draw)
    """

    intercept: NDArray[np.float64]
    beta: NDArray[np.float64]
    tau: NDArray[np.float64] | None
    local: NDArray[np.float64] | None
    slab: NDArray[np.float64] | None
    sample_stats: Mapping[str, NDArray[Any]]


def build_fit(
    draws: Draws,
    cohort: Cohort,
    design: Design,
    prior: CoefficientPrior,
    *,
    settings: Mapping[str, Any],
    seed: np.random.SeedSequence,
) -> xr.DataTree:
    """Put draws, prior draws and per-patient quantities together as a fit.

    Parameters
    ----------
    draws : Draws
    cohort : Cohort
    design : Design
    prior : CoefficientPrior
    settings : mapping
        Engine, seed, numbers of draws and so on; kept as attributes.
    seed : SeedSequence
        For the prior draws and the predictive draws.

    Returns
    -------
    DataTree
    """
    from arviz_base import from_dict

    prior_rng, predictive_rng = (np.random.default_rng(s) for s in seed.spawn(2))
    matrix = design_matrix(design, cohort.predictors[cohort.development])
    outcome = cohort.outcome[cohort.development]
    groups = {
        "posterior": scalar_draws(draws, prior, matrix, outcome),
        **_prior_groups(prior, matrix, prior_rng),
        "sample_stats": dict(draws.sample_stats),
        **_patient_groups(draws, matrix, outcome, predictive_rng),
        "observed_data": {"outcome": outcome},
        "constant_data": {
            "mean": design.mean,
            "sd": design.sd,
            "global_scale": np.asarray(prior.global_scale),
            "contrast": clinical_contrast(cohort, design),
        },
    }
    all_shrunk = bool(prior.shrunk.all())
    local_dimension = "coefficient" if all_shrunk else "shrunk_coefficient"
    coords: dict[str, Any] = {
        "coefficient": list(design.terms),
        "patient": cohort.rows[cohort.development],
    }
    if not all_shrunk:
        coords["shrunk_coefficient"] = list(cohort.study.shrunk_terms)
    return from_dict(
        groups,
        coords=coords,
        dims={
            "beta": ["coefficient"],
            "lambda": [local_dimension],
            "mean": ["coefficient"],
            "sd": ["coefficient"],
            "contrast": ["coefficient"],
            "outcome": ["patient"],
        },
        attrs={"/": fit_attributes(cohort, settings)},
    )


def scalar_draws(
    draws: Draws,
    prior: CoefficientPrior,
    matrix: NDArray[np.float64],
    outcome: NDArray[np.int8],
) -> dict[str, NDArray[Any]]:
    """Everything in group ``posterior``: parameters, and each draw's totals over patients.

    Parameters
    ----------
    draws : Draws
    prior : CoefficientPrior
    matrix : ndarray, shape (patient, coefficient)
    outcome : ndarray of {0, 1}, shape (patient,)

    Returns
    -------
    dict of str to ndarray, shape (chain, draw) or (chain, draw, coefficient)
    """
    return _posterior_group(draws, prior) | _draw_totals(draws, matrix, outcome)


def _posterior_group(draws: Draws, prior: CoefficientPrior) -> dict[str, NDArray[Any]]:
    group = {"intercept": draws.intercept, "beta": draws.beta}
    named = {"tau": draws.tau, "lambda": draws.local, "slab": draws.slab}
    group |= {name: values for name, values in named.items() if values is not None}
    shape = (*draws.intercept.shape, int(prior.shrunk.sum()))
    variance = prior_variance(prior, draws.tau, draws.local, draws.slab, shape)
    if prior.family != "normal":
        group["m_eff"] = effective_number(prior, variance)
    return group


def _prior_groups(
    prior: CoefficientPrior, matrix: NDArray[np.float64], rng: np.random.Generator
) -> dict[str, dict[str, NDArray[Any]]]:
    drawn = prior_draws(prior, PRIOR_DRAWS, rng)
    one_chain = Draws(
        intercept=drawn.intercept[np.newaxis],
        beta=drawn.beta[np.newaxis],
        tau=None if drawn.tau is None else drawn.tau[np.newaxis],
        local=None if drawn.local is None else drawn.local[np.newaxis],
        slab=None if drawn.slab is None else drawn.slab[np.newaxis],
        sample_stats={},
    )
    shown = max(1, min(PRIOR_PREDICTIVE_DRAWS, PATIENT_VALUES // max(len(matrix), 1)))
    risk = expit(drawn.intercept[:shown, np.newaxis] + drawn.beta[:shown] @ matrix.T)
    predictive = (rng.random(risk.shape) < risk).astype(np.int8)
    return {
        "prior": _posterior_group(one_chain, prior),
        "prior_predictive": {"outcome": predictive[np.newaxis]},
    }


def _draw_totals(
    draws: Draws, matrix: NDArray[np.float64], outcome: NDArray[np.int8]
) -> dict[str, NDArray[Any]]:
    """Log-likelihood and mean risk of all patients in each draw."""
    log_lik, mean_risk = np.zeros(draws.intercept.shape), np.zeros(draws.intercept.shape)
    for block, predictor in linear_predictor_blocks(draws.intercept, draws.beta, matrix):
        log_lik += log_bernoulli(outcome[block], predictor).sum(axis=-1)
        mean_risk += expit(predictor).sum(axis=-1) / len(matrix)
    return {"log_lik": log_lik, "mean_risk": mean_risk}


def _patient_groups(
    draws: Draws,
    matrix: NDArray[np.float64],
    outcome: NDArray[np.int8],
    rng: np.random.Generator,
) -> dict[str, dict[str, NDArray[Any]]]:
    """Log-likelihood and predictive outcome of each patient, thinned where patients are many."""
    chains, n_draws = draws.intercept.shape
    at_most = min(PATIENT_DRAWS, PATIENT_VALUES // max(len(matrix), 1))
    kept = thinned(n_draws, at_most // chains)
    log_likelihood = np.empty((chains, len(kept), len(matrix)))
    predicted = np.empty(log_likelihood.shape, dtype=np.int8)
    for block, predictor in linear_predictor_blocks(
        draws.intercept[:, kept], draws.beta[:, kept], matrix
    ):
        log_likelihood[..., block] = log_bernoulli(outcome[block], predictor)
        predicted[..., block] = rng.random(predictor.shape) < expit(predictor)
    return {
        "log_likelihood": {"outcome": log_likelihood},
        "posterior_predictive": {"outcome": predicted},
    }


def thinned(n_draws: int, at_most: int) -> NDArray[np.int64]:
    """Positions of evenly spaced draws, all of them where they fit.

    Examples
    --------
    >>> thinned(4, 10).tolist(), thinned(10, 4).tolist()
    ([0, 1, 2, 3], [0, 3, 6, 9])
    """
    step = -(-n_draws // max(at_most, 1))
    return np.arange(0, n_draws, step)


def linear_predictor_blocks(
    intercept: NDArray[np.float64], beta: NDArray[np.float64], matrix: NDArray[np.float64]
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield the linear predictor of all draws for one block of patients after another.

    Parameters
    ----------
    intercept : ndarray, shape (chain, draw)
    beta : ndarray, shape (chain, draw, coefficient)
    matrix : ndarray, shape (patient, coefficient)

    Yields
    ------
    block : slice
        Which patients.
    linear_predictor : ndarray, shape (chain, draw, patient of the block)
    """
    from threadpoolctl import threadpool_limits

    width = max(1, BLOCK_VALUES // max(intercept.size, 1))
    # the last bit of a product depends on how many threads share it
    with threadpool_limits(limits=1):
        for start in range(0, len(matrix), width):
            block = slice(start, min(start + width, len(matrix)))
            yield block, intercept[..., np.newaxis] + beta @ matrix[block].T


def expit(linear_predictor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of the logit, without overflow.

    Examples
    --------
    >>> expit(np.array([-800.0, 0.0, 800.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    from scipy.special import expit as inverse_logit

    return np.asarray(inverse_logit(linear_predictor))


def logit(risk: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-odds of risks; infinite at 0 and 1.

    Examples
    --------
    >>> logit(np.array([0.0, 0.5])).tolist()
    [-inf, 0.0]
    """
    from scipy.special import logit as log_odds

    return np.asarray(log_odds(risk))


def log_bernoulli(
    outcome: NDArray[np.int8], linear_predictor: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Log-likelihood of 0/1 outcomes given their log-odds, -log(1 + exp(∓η)).

    Written as min(±η, 0) - log(1 + exp(-|η|)): nothing overflows, and it takes a ninth of the time
    of ``numpy.logaddexp``.
    """
    signed = linear_predictor * (2.0 * outcome - 1)
    return np.asarray(np.minimum(signed, 0) - np.log1p(np.exp(-np.abs(signed))))


def fit_attributes(cohort: Cohort, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the root of a fit says of its study, its data and how it was made."""
    from importlib.metadata import version

    return {
        "study": cohort.study.to_toml(),
        "study_source": cohort.study.source,
        "study_sha256": cohort.study.sha256,
        "data_source": cohort.source,
        "data_sha256": cohort.sha256,
        "flow": json.dumps(cohort.flow),
        "settings": json.dumps(dict(settings)),
        "bayes_cmvt_version": version("bayes-cmvt"),
    }


def design_of(fit: xr.DataTree) -> Design:
    """Return the design of a fit: its study, and the constants of the standardisation.

    Raises
    ------
    RunError
        The tree is no fit of this package.
    """
    try:
        study = parse_study(fit.attrs["study"], source=fit.attrs["study_source"])
        constants = fit["constant_data"]
        return Design(study, constants["mean"].to_numpy(), constants["sd"].to_numpy())
    except KeyError as error:
        msg = f"this DataTree is no fit of bayes_cmvt: {error.args[0]!r} is missing"
        raise RunError(msg) from None


def learnt_from(fit: xr.DataTree, cohort: Cohort) -> bool:
    """Whether the development rows of a cohort are those that a fit has learnt from.

    Their rows of the file, their outcomes, and the means of their columns are compared.
    """
    design = design_of(fit)
    outcome = fit["observed_data"]["outcome"]
    members = cohort.development
    if cohort.study.predictors != design.study.predictors or not (
        np.array_equal(outcome["patient"].to_numpy(), cohort.rows[members])
        and np.array_equal(outcome.to_numpy(), cohort.outcome[members])
    ):
        return False
    matrix = design_matrix(design, cohort.predictors[members])
    return bool(np.abs(matrix.mean(axis=0)).max() < SAME_MEAN)


def check_posterior(fit: xr.DataTree) -> None:
    """Refuse a frequentist fit where draws of a posterior are needed.

    Raises
    ------
    OptionError
    """
    if not isinstance(fit, xr.DataTree):
        msg = (
            f"fit: found {type(fit).__name__}; expected a DataTree, as sample or load_run gives it"
        )
        raise OptionError(msg)
    if "posterior" not in fit.children:
        msg = (
            "this fit has no posterior draws; of a frequentist workflow (fit_baseline) see "
            "baseline_coefficients, predict and evaluate"
        )
        raise OptionError(msg)


def central_coefficients(
    fit: xr.DataTree,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficient sets whose mean risk is the risk that a fit deploys.

    All draws of a posterior; of a frequentist fit its one estimate.

    Returns
    -------
    intercept : ndarray, shape (chain, draw)
    beta : ndarray, shape (chain, draw, coefficient)
        Log-odds per SD.
    """
    group = fit["estimate"] if "estimate" in fit.children else fit["posterior"]
    return group["intercept"].to_numpy(), group["beta"].to_numpy()


def uncertain_coefficients(
    fit: xr.DataTree,
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Coefficient sets whose spread says how uncertain a fit is.

    All draws of a posterior; of a frequentist fit every resample that gave a model, or None where
    it was not resampled; of a printed model draws from its standard errors.

    Returns
    -------
    intercept : ndarray, shape (chain, draw)
    beta : ndarray, shape (chain, draw, coefficient)
        Log-odds per SD.
    """
    if "estimate" not in fit.children:
        return central_coefficients(fit)
    group = next((name for name in ("bootstrap", PRINTED) if name in fit.children), None)
    if group is None:
        return None
    intercept, beta = (fit[group][name].to_numpy() for name in ("intercept", "beta"))
    fitted = np.isfinite(intercept[0])
    return (intercept[:, fitted], beta[:, fitted]) if fitted.any() else None


def needed_predictors(fit: xr.DataTree) -> tuple[str, ...]:
    """Names of the predictors that a fit needs of a patient: of a projected submodel its own."""
    everything = tuple(one.name for one in design_of(fit).study.predictors)
    return tuple(settings_of(fit).get("predictors", everything))


def used_predictors(fit: xr.DataTree) -> tuple[str, ...]:
    """Names of the predictors that have a say in some risk: a coefficient other than 0 somewhere.

    Of a frequentist fit those of the final model and of any resample's.
    """
    sets = [central_coefficients(fit), uncertain_coefficients(fit)]
    some = np.any([(one[1] != 0).any(axis=(0, 1)) for one in sets if one is not None], axis=0)
    predictors, start, used = design_of(fit).study.predictors, 0, []
    for one in predictors:
        if some[start : start + len(one.terms)].any():
            used.append(one.name)
        start += len(one.terms)
    return tuple(used)


def notice_of(fit: xr.DataTree, source: str) -> str:
    """What has to stand beside all that is shown of a fit, whatever it is; may be empty.

    Parameters
    ----------
    fit : DataTree
    source : str
        Data file of the patients who are shown.
    """
    told = [NOTICE] if is_synthetic(source, fit.attrs["data_source"]) else []
    unknown = settings_of(fit).get("without_error", [])
    if unknown:
        told.append(
            f"No error is printed of {', '.join(unknown)}: taken as known exactly, so that bands "
            "and intervals are too narrow."
        )
    return " ".join(told)


def settings_of(fit: xr.DataTree) -> dict[str, Any]:
    """Return how a fit was sampled: engine, seed, chains, draws, target acceptance."""
    settings: dict[str, Any] = json.loads(fit.attrs["settings"])
    return settings


def prior_of(fit: xr.DataTree) -> CoefficientPrior:
    """Return the prior of a fit as numbers, from the study and the observed event share."""
    outcome = fit["observed_data"]["outcome"].to_numpy()
    return numeric_prior(design_of(fit), n=len(outcome), events=int(outcome.sum()))


def coefficient_variance(fit: xr.DataTree) -> NDArray[np.float64]:
    """Prior variance of every coefficient given its scales, in every draw.

    Returns
    -------
    ndarray, shape (chain, draw, coefficient)
        (Log-odds per SD)²; constant for a coefficient with a prior of its own.
    """
    return scale_variance(draws_of(fit), prior_of(fit))


def draws_of(fit: xr.DataTree) -> Draws:
    """Return the draws of a fit as a sampler returned them, without its statistics."""
    posterior = fit["posterior"]
    tau, local, slab = (
        posterior[name].to_numpy() if name in posterior.data_vars else None
        for name in ("tau", "lambda", "slab")
    )
    beta = posterior["beta"].to_numpy()
    return Draws(posterior["intercept"].to_numpy(), beta, tau, local, slab, {})


def scale_variance(draws: Draws, prior: CoefficientPrior) -> NDArray[np.float64]:
    """Prior variance of every coefficient given its scales, of draws that are no fit yet.

    Returns
    -------
    ndarray, shape (chain, draw, coefficient)
    """
    variance = np.empty(draws.beta.shape)
    shrunk = (*draws.beta.shape[:-1], int(prior.shrunk.sum()))
    variance[..., prior.shrunk] = prior_variance(prior, draws.tau, draws.local, draws.slab, shrunk)
    variance[..., ~prior.shrunk] = prior.own_sd[~prior.shrunk] ** 2
    return variance


def shrinkage_draws(fit: xr.DataTree) -> NDArray[np.float64]:
    """Shrinkage factor κ of every coefficient in every draw.

    For a coefficient outside the shrinkage prior it follows from its own prior's variance.

    Returns
    -------
    ndarray, shape (chain, draw, coefficient)
    """
    return shrinkage(prior_of(fit), coefficient_variance(fit))
