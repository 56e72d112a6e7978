"""From a study's ``[prior]`` to numbers: global scale, shrinkage factors, effective number.

Arithmetic and random numbers only; `bayes_cmvt.horseshoe` states the same prior in PyMC.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_cmvt.design import Design
from bayes_cmvt.errors import StudyError, quoted
from bayes_cmvt.responses import pseudo_patients, response_priors

KEPT_IN_SD = 2.5  # prior SD per predictor SD of a predictor with shrink = false
INTERCEPT_DF = 3.0

FLAT_SD = 50.0  # log-odds: as good as flat under the pseudo-patients that it leaves the word to

type Family = Literal["regularized-horseshoe", "normal", "student-t"]


@dataclass(frozen=True, eq=False)
class PseudoRows:
    """Prior information as patients who count like others, at the mean of all other predictors.

    With a flat prior of the log-odds of a group, ``a`` responders and ``b`` others leave its
    response probability exactly Beta(a, b).

    Attributes
    ----------
    matrix : ndarray, shape (pseudo-patient, coefficient)
        Standardised columns.
    outcome : ndarray of {0, 1}, shape (pseudo-patient,)
    """

    matrix: NDArray[np.float64]
    outcome: NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class CoefficientPrior:
    """The prior of the intercept and of every standardised coefficient, as numbers.

    Attributes
    ----------
    family : str
        ``regularized-horseshoe``, ``normal`` or ``student-t``: prior of the shrunk columns.
    shrunk : ndarray of bool, shape (coefficient,)
        False: kept in, or with an informative prior; normal with ``own_mean``, ``own_sd``.
    own_mean, own_sd : ndarray, shape (coefficient,)
        On the log-odds per SD of the column; nan where shrunk.
    global_scale : float
        τ0, scale of the half-Cauchy of τ; nan unless the family is the horseshoe.
    slab_scale, slab_df : float
        s and ν of the slab, log-odds per SD.
    scale, df : float
        Of the normal and Student-t families.
    intercept_family : {"student-t", "normal"}
    intercept_scale : float
        Log-odds, at the means of the predictors.
    n : int
        Patients that develop the model.
    pseudo_sd : float
        σ̃ = 1/√(ȳ(1 - ȳ)) at the observed event share.
    pseudo : PseudoRows or None
        Printed responses, where the study takes them as its prior; the columns that they inform
        and the intercept then have priors of their own that are as good as flat.
    """

    family: Family
    shrunk: NDArray[np.bool_]
    own_mean: NDArray[np.float64]
    own_sd: NDArray[np.float64]
    global_scale: float
    slab_scale: float
    slab_df: float
    scale: float
    df: float
    intercept_family: Literal["student-t", "normal"]
    intercept_scale: float
    n: int
    pseudo_sd: float
    pseudo: PseudoRows | None = None


def pseudo_sd(event_share: float) -> float:
    """Pseudo-SD of one observation of a logistic likelihood, 1/√(ȳ(1 - ȳ)).

    Piironen & Vehtari 2017, Electron. J. Statist. 11:5018, doi:10.1214/17-EJS1337SI.

    Examples
    --------
    >>> pseudo_sd(0.5)
    2.0
    """
    return float(1 / np.sqrt(event_share * (1 - event_share)))


def global_scale(expected_nonzero: float, columns: int, sigma: float, n: int) -> float:
    """Scale τ0 of the half-Cauchy prior of τ, p0 / (D - p0) · σ̃ / √n.

    Piironen & Vehtari 2017, doi:10.1214/17-EJS1337SI, eq. 3.12.

    Parameters
    ----------
    expected_nonzero : float in (0, columns)
        p0, prior guess at the number of relevant columns.
    columns : int
        D, columns under the horseshoe.
    sigma : float
        Pseudo-SD of one observation.
    n : int

    Examples
    --------
    >>> global_scale(5, 10, 2.0, 400)
    0.1
    """
    return expected_nonzero / (columns - expected_nonzero) * sigma / float(np.sqrt(n))


def numeric_prior(design: Design, *, n: int, events: int) -> CoefficientPrior:
    """Turn the study's prior into numbers for the columns of a design.

    Parameters
    ----------
    design : Design
    n, events : int
        Patients that develop the model, and events among them.

    Returns
    -------
    CoefficientPrior
    """
    study = design.study
    prior = study.prior
    pseudo, informed = _pseudo_rows(design) if prior.published_responses else (None, ())
    shrunk = np.isin(design.terms, study.shrunk_terms)
    own_mean, own_sd = _own_priors(design)
    own_mean[np.isin(design.terms, informed)] = 0.0
    own_sd[np.isin(design.terms, informed)] = FLAT_SD
    sigma = pseudo_sd(events / n)
    tau0 = float("nan")
    if prior.family == "regularized-horseshoe" and shrunk.any():
        columns = int(shrunk.sum())
        expected = columns / 2 if prior.expected_nonzero is None else prior.expected_nonzero
        tau0 = prior.global_scale or global_scale(expected, columns, sigma, n)
    return CoefficientPrior(
        family=prior.family,
        shrunk=shrunk,
        own_mean=own_mean,
        own_sd=own_sd,
        global_scale=tau0,
        slab_scale=prior.slab_scale,
        slab_df=prior.slab_df,
        scale=prior.scale,
        df=prior.df,
        intercept_family=prior.intercept if pseudo is None else "normal",
        intercept_scale=prior.intercept_scale if pseudo is None else FLAT_SD,
        n=n,
        pseudo_sd=sigma,
        pseudo=pseudo,
    )


def _pseudo_rows(design: Design) -> tuple[PseudoRows, tuple[str, ...]]:
    """The study's printed responses as standardised rows, and the columns that they inform.

    Raises
    ------
    StudyError
        They are not one for each level of one predictor: then no prior of the groups alone follows.
    """
    study = design.study
    priors = response_priors(study)
    named = {name for prior in priors for name, _ in prior.where}
    predictor = next((one for one in study.predictors if named == {one.name}), None)
    levels = 0 if predictor is None else len(predictor.terms) + 1
    distinct = {prior.where for prior in priors}
    if predictor is None or not len(priors) == len(distinct) == levels:
        msg = (
            f"{study.source}: published_responses = true under [prior] needs one table "
            "[[published.responses]] for each level of one predictor that is not continuous, and "
            f"no other; found {len(priors)} that name {quoted(sorted(named)) or 'none'}"
        )
        raise StudyError(msg)
    rows = pseudo_patients(study, priors)
    matrix = rows.standardised(design.mean, design.sd)
    return PseudoRows(matrix, rows.outcome.astype(np.int8)), predictor.terms


def _own_priors(design: Design) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Normal priors per SD of the columns that are not shrunk; nan elsewhere."""
    mean, sd = np.full(len(design.terms), np.nan), np.full(len(design.terms), np.nan)
    position = 0
    for predictor in design.study.predictors:
        for _ in predictor.terms:
            if predictor.prior is not None:
                mean[position] = predictor.prior[0] * design.sd[position]
                sd[position] = predictor.prior[1] * design.sd[position]
            elif not predictor.shrink:
                mean[position], sd[position] = 0.0, KEPT_IN_SD
            position += 1
    return mean, sd


def with_pseudo_patients(
    matrix: NDArray[np.float64],
    outcome: NDArray[np.int8],
    prior: CoefficientPrior,
    weights: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int8], NDArray[np.float64] | None]:
    """Append the pseudo-patients of a prior to the rows that a sampler learns from.

    Parameters
    ----------
    matrix : ndarray, shape (patient, coefficient)
    outcome : ndarray of {0, 1}, shape (patient,)
    prior : CoefficientPrior
    weights : ndarray, shape (patient,), optional
        Pseudo-patients count fully.
    """
    pseudo = prior.pseudo
    if pseudo is None:
        return matrix, outcome, weights
    if weights is not None:
        weights = np.concatenate([weights, np.ones(len(pseudo.outcome))])
    rows = np.vstack([matrix, pseudo.matrix])
    return rows, np.concatenate([outcome, pseudo.outcome]).astype(outcome.dtype), weights


@dataclass(frozen=True, eq=False)
class PriorDraws:
    """Draws from the prior; ``tau``, ``local`` and ``slab`` are None where the family has none."""

    intercept: NDArray[np.float64]
    beta: NDArray[np.float64]
    tau: NDArray[np.float64] | None
    local: NDArray[np.float64] | None
    slab: NDArray[np.float64] | None


def prior_draws(prior: CoefficientPrior, draws: int, rng: np.random.Generator) -> PriorDraws:
    """Draw intercept and coefficients from the prior.

    Parameters
    ----------
    prior : CoefficientPrior
    draws : int
    rng : Generator

    Returns
    -------
    PriorDraws
        Arrays of shape (draw,) and (draw, coefficient).
    """
    if prior.intercept_family == "normal":
        intercept = rng.normal(0, prior.intercept_scale, draws)
    else:
        intercept = rng.standard_t(INTERCEPT_DF, draws) * prior.intercept_scale
    shape = (draws, int(prior.shrunk.sum()))
    tau = local = slab = None
    if prior.family == "regularized-horseshoe":
        tau = np.abs(rng.standard_cauchy(draws)) * prior.global_scale
        local = np.abs(rng.standard_cauchy(shape))
        slab = 1 / np.sqrt(rng.gamma(prior.slab_df / 2, 1, draws))
        slab = slab * prior.slab_scale * np.sqrt(prior.slab_df / 2)
    elif prior.family == "student-t":
        local = 1 / np.sqrt(rng.gamma(prior.df / 2, 2 / prior.df, shape))
    sd = np.sqrt(prior_variance(prior, tau, local, slab, shape))
    beta = rng.normal(0, 1, (draws, len(prior.shrunk)))
    beta[:, prior.shrunk] *= sd
    beta[:, ~prior.shrunk] *= prior.own_sd[~prior.shrunk]
    beta[:, ~prior.shrunk] += prior.own_mean[~prior.shrunk]
    if prior.pseudo is not None:
        intercept, beta = _informed_draws(prior.pseudo, beta, rng)
    return PriorDraws(intercept, beta, tau, local, slab)


def _informed_draws(
    pseudo: PseudoRows, beta: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw each group's probability from its Beta, and solve for intercept and coefficients."""
    groups, member = np.unique(pseudo.matrix, axis=0, return_inverse=True)
    events = np.bincount(member.ravel(), pseudo.outcome)
    others = np.bincount(member.ravel()) - events
    share = rng.beta(events, others, (len(beta), len(groups)))
    log_odds = np.log(share) - np.log1p(-share)
    columns = np.flatnonzero(groups.any(axis=0))
    rows = np.column_stack([np.ones(len(groups)), groups[:, columns]])
    solved = np.linalg.solve(rows, log_odds.T).T
    beta = beta.copy()
    beta[:, columns] = solved[:, 1:]
    return solved[:, 0], beta


def prior_variance(
    prior: CoefficientPrior,
    tau: NDArray[np.float64] | None,
    local: NDArray[np.float64] | None,
    slab: NDArray[np.float64] | None,
    shape: tuple[int, ...],
) -> NDArray[np.float64]:
    """Variance of each shrunk coefficient given its scales.

    Horseshoe: 1 / (1/(τ²λ²) + 1/c²), which equals τ²λ̃² with λ̃² = c²λ²/(c² + τ²λ²); Student-t:
    scale²·λ²; normal: scale².

    Parameters
    ----------
    prior : CoefficientPrior
    tau, slab : ndarray, shape (...) or None
    local : ndarray, shape (..., shrunk coefficient) or None
    shape : tuple of int
        Shape of the result, (..., shrunk coefficient).
    """
    if tau is not None and local is not None and slab is not None:
        c = slab[..., np.newaxis]
        # from reciprocals: right for every half-Cauchy draw, also where τλ is 0 or overflows
        with np.errstate(over="ignore", divide="ignore"):
            free = tau[..., np.newaxis] * local
            return np.square(1 / np.hypot(1 / free, 1 / c))
    if local is not None:
        return np.square(prior.scale * local)
    return np.full(shape, prior.scale**2)


def shrinkage(prior: CoefficientPrior, variance: ArrayLike) -> NDArray[np.float64]:
    """Shrinkage factor κ = 1 / (1 + n σ̃⁻² v) of a coefficient with prior variance v.

    0 leaves the estimate alone, 1 shrinks it to nothing; at v = σ̃²/n it is one half. It ignores
    correlation between columns. Piironen & Vehtari 2017, doi:10.1214/17-EJS1337SI.
    """
    return np.asarray(1 / (1 + prior.n / prior.pseudo_sd**2 * np.asarray(variance, dtype=float)))


def effective_number(prior: CoefficientPrior, variance: ArrayLike) -> NDArray[np.float64]:
    """Effective number of nonzero shrunk coefficients, Σ (1 - κ) over the last axis."""
    return np.asarray((1 - shrinkage(prior, variance)).sum(axis=-1))


def absolute_quantile(
    prior: CoefficientPrior, probability: float, rng: np.random.Generator, draws: int = 1_000_000
) -> float:
    """Size that a shrunk coefficient stays below, a priori, with the stated probability.

    Its prior is symmetric about 0, so the equal-tailed interval reaches as far on either side.

    Parameters
    ----------
    prior : CoefficientPrior
    probability : float in (0, 1)
    rng : Generator
    draws : int

    Returns
    -------
    float
        Log-odds per SD; nan where no coefficient is shrunk.
    """
    if not prior.shrunk.any():
        return float("nan")
    one = replace(
        prior,
        shrunk=np.array([True]),
        own_mean=np.array([np.nan]),
        own_sd=np.array([np.nan]),
        pseudo=None,
    )
    beta = prior_draws(one, draws, rng).beta
    return float(np.quantile(np.abs(beta), probability))
