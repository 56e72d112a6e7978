"""What a simulation-based calibration ranks: functions of the draws, by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bayes_cmvt.posterior import Draws, linear_predictor_blocks, log_bernoulli
from bayes_cmvt.priors import CoefficientPrior
from bayes_cmvt.selection_rules import HORSESHOE

DISTANCES = {"near": 0.1, "typical": 0.5, "far": 0.9}  # patients whose risks are ranked

type Floats = NDArray[np.float64]


def tested_quantities(prior: CoefficientPrior, terms: Sequence[str]) -> tuple[str, ...]:
    """Names of the tested quantities, in the order of `tested_values`."""
    return tuple(tested_labels(prior, terms, terms))


def tested_labels(
    prior: CoefficientPrior, terms: Sequence[str], labels: Sequence[str]
) -> dict[str, str]:
    """Name of each tested quantity to what figures call it, in the order of `tested_values`."""
    found: dict[str, str] = {}
    if has_scales(prior):
        found |= {"tau": "Global scale τ", "c2": "Slab variance c²"}
    found["alpha"] = "Intercept α"
    for term, label, shrunk in zip(terms, labels, prior.shrunk, strict=True):
        found[f"|beta[{term}]|" if shrunk else f"beta[{term}]"] = label
    found |= {"||beta||": "Length of β", "log_lik": "Log-likelihood"}
    risks = {f"risk[{name}]": f"Risk of a {name} patient" for name in DISTANCES}
    risks["risk[near]"] = "Risk of a patient near the average"
    risks["risk[far]"] = "Risk of a patient far from it"
    return found | risks


def has_scales(prior: CoefficientPrior) -> bool:
    """Whether τ and c² shrink any column under this prior."""
    return prior.family == HORSESHOE and bool(prior.shrunk.any())


def tested_values(
    prior: CoefficientPrior, matrix: Floats, outcome: NDArray[np.int8], draws: Draws
) -> Floats:
    """Values of the tested quantities in every draw.

    Risks stand as log-odds, which have the same ranks and never round to 1.

    Parameters
    ----------
    prior : CoefficientPrior
    matrix : ndarray, shape (patient, column)
    outcome : ndarray of {0, 1}, shape (k x patient,)
        Of the patients once, or of several data sets of them.
    draws : Draws

    Returns
    -------
    ndarray, shape (chain x draw, quantity)
    """
    beta = draws.beta.reshape(-1, draws.beta.shape[-1])
    columns = []
    if draws.tau is not None and draws.slab is not None and has_scales(prior):
        columns += [draws.tau.ravel(), draws.slab.ravel() ** 2]
    columns.append(draws.intercept.ravel())
    columns += list(np.where(prior.shrunk, np.abs(beta), beta).T)
    columns.append(np.sqrt(np.einsum("sj,sj->s", beta, beta)))
    columns.append(_log_likelihood(matrix, outcome, draws))
    shown = matrix[ranked_patients(matrix)]
    columns += list((draws.intercept.ravel()[:, np.newaxis] + beta @ shown.T).T)
    return np.column_stack(columns)


def _log_likelihood(matrix: Floats, outcome: NDArray[np.int8], draws: Draws) -> Floats:
    """Log-likelihood of every draw, shape (chain x draw,)."""
    total = np.zeros(draws.intercept.shape)
    sets = outcome.reshape(-1, len(matrix))
    for block, predictor in linear_predictor_blocks(draws.intercept, draws.beta, matrix):
        for one in sets:
            total += log_bernoulli(one[block], predictor).sum(axis=-1)
    return total.ravel()


def ranked_patients(matrix: Floats) -> NDArray[np.int64]:
    """Positions of the patients whose risks are ranked: at quantiles of the distance from the mean.

    Examples
    --------
    >>> ranked_patients(np.array([[3.0], [-1.0], [0.0], [-2.0], [4.0]])).tolist()
    [2, 3, 4]
    """
    distance = np.einsum("ij,ij->i", matrix, matrix)
    places = np.array(list(DISTANCES.values())) * (len(matrix) - 1)
    return np.asarray(np.argsort(distance, kind="stable")[np.rint(places).astype(int)])
