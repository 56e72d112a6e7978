"""The model in PyMC: the definition that every engine must sample.

y ~ Bernoulli(logit⁻¹(α + zβ)), z standardised. Regularised horseshoe (Piironen & Vehtari 2017,
doi:10.1214/17-EJS1337SI), non-centred: β = b·τ·λ̃ with b ~ N(0, 1), λ ~ C⁺(0, 1), τ ~ C⁺(0, τ0),
λ̃² = c²λ²/(c² + τ²λ²), c² ~ Inv-Gamma(ν/2, νs²/2). ``docs/decisions/0001`` tells which
parameterisations were compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_cmvt.priors import INTERCEPT_DF, CoefficientPrior, with_pseudo_patients

if TYPE_CHECKING:
    import pymc as pm


# PyTensor keeps a Python float that single precision can hold in single precision, and then takes
# its logarithm there: constants that must be exact are given as NumPy doubles
double = np.float64


def logistic_model(
    matrix: NDArray[np.float64],
    outcome: NDArray[np.int8],
    prior: CoefficientPrior,
    terms: tuple[str, ...],
    *,
    weights: NDArray[np.float64] | None = None,
) -> pm.Model:
    """State the logistic model of a study in PyMC.

    Parameters
    ----------
    matrix : ndarray, shape (patient, coefficient)
        Standardised columns of the development rows.
    outcome : ndarray of {0, 1}, shape (patient,)
    prior : CoefficientPrior
    terms : tuple of str
        Names of the columns.
    weights : ndarray, shape (patient,), optional
        Power to which the likelihood of each patient is raised: how many patients each counts for.

    Returns
    -------
    pymc.Model
        With ``intercept``, ``beta`` and, by family, ``tau``, ``lambda``, ``slab``.
    """
    import pymc as pm

    if matrix.shape != (len(outcome), len(terms)):
        msg = f"matrix {matrix.shape} does not fit {len(outcome)} outcomes and {len(terms)} terms"
        raise ValueError(msg)
    if weights is not None and weights.shape != outcome.shape:
        msg = f"weights {weights.shape} do not fit {len(outcome)} outcomes"
        raise ValueError(msg)
    matrix, outcome, weights = with_pseudo_patients(matrix, outcome, prior, weights)
    coords = {"coefficient": list(terms), "patient": np.arange(len(outcome))}
    with pm.Model(coords=coords) as model:
        columns = pm.Data("matrix", matrix, dims=("patient", "coefficient"))
        events = pm.Data("events", outcome.astype(float), dims="patient")
        intercept = _intercept(prior)
        beta = pm.Deterministic("beta", _coefficients(prior), dims="coefficient")
        # pm.Bernoulli evaluates both branches for every patient: 1.7 times the cost of a gradient
        log_odds, shown = intercept + columns @ beta, {"observed": events, "dims": "patient"}
        if weights is None:
            pm.CustomDist("outcome", log_odds, logp=_log_mass, random=_outcomes, **shown)
        else:
            powers = pm.Data("weights", weights, dims="patient")
            pm.CustomDist("outcome", log_odds, powers, logp=_weighted_log_mass, **shown)
    return model


def _log_mass(outcome: Any, log_odds: Any) -> Any:
    """Bernoulli log mass at log-odds η, -log(1 + exp((1 - 2y)η))."""
    import pymc as pm

    return -pm.math.log1pexp((1 - 2 * outcome) * log_odds)


def _weighted_log_mass(outcome: Any, log_odds: Any, weights: Any) -> Any:
    return weights * _log_mass(outcome, log_odds)


def _outcomes(log_odds: Any, rng: np.random.Generator, size: Any = None) -> Any:
    return (rng.random(size) < 1 / (1 + np.exp(-log_odds))).astype(float)


def _intercept(prior: CoefficientPrior) -> Any:
    import pymc as pm

    if prior.intercept_family == "normal":
        return pm.Normal("intercept", 0, double(prior.intercept_scale))
    return pm.StudentT(
        "intercept", nu=double(INTERCEPT_DF), mu=0, sigma=double(prior.intercept_scale)
    )


def _coefficients(prior: CoefficientPrior) -> Any:
    """Shrunk and own-prior coefficients, in the order of the columns."""
    import pymc as pm

    parts = []
    if prior.shrunk.any():
        scale = {
            "regularized-horseshoe": _horseshoe_scale,
            "student-t": _student_t_scale,
            "normal": _normal_scale,
        }[prior.family]
        standard = pm.Normal("standard", 0, 1, shape=int(prior.shrunk.sum()))
        parts.append(standard * scale(prior))
    if not prior.shrunk.all():
        own = ~prior.shrunk
        standard = pm.Normal("standard_own", 0, 1, shape=int(own.sum()))
        parts.append(prior.own_mean[own] + prior.own_sd[own] * standard)
    if len(parts) == 1:
        return parts[0]
    order = np.concatenate([np.flatnonzero(prior.shrunk), np.flatnonzero(~prior.shrunk)])
    return pm.math.concatenate(parts)[np.argsort(order)]


def _horseshoe_scale(prior: CoefficientPrior) -> Any:
    """SD of a coefficient given its scales, τλ̃."""
    import pymc as pm

    tau = pm.HalfCauchy("tau", beta=double(prior.global_scale))
    local = pm.HalfCauchy("lambda", beta=double(1), shape=int(prior.shrunk.sum()))
    half_df = double(prior.slab_df / 2)
    c2 = pm.InverseGamma("c2", alpha=half_df, beta=half_df * prior.slab_scale**2)
    pm.Deterministic("slab", pm.math.sqrt(c2))
    return tau * local * pm.math.sqrt(c2 / (c2 + tau**2 * local**2))


def _student_t_scale(prior: CoefficientPrior) -> Any:
    """SD of a coefficient given its local scale: a Student-t is a scale mixture of normals."""
    import pymc as pm

    size = int(prior.shrunk.sum())
    half_df = double(prior.df / 2)
    variance = pm.InverseGamma("local_variance", alpha=half_df, beta=half_df, shape=size)
    local = pm.Deterministic("lambda", pm.math.sqrt(variance))
    return prior.scale * local


def _normal_scale(prior: CoefficientPrior) -> Any:
    return np.asarray(prior.scale)
