"""Tests and limits of a fitted logistic model, and what separates its outcomes.

A profile is the (penalised) log-likelihood maximised over all coefficients but one. Its root
``r(b) = sqrt(2 (maximum - profile(b)))`` is nearly linear on each side of the estimate, so that
limits, where r equals the normal quantile, are found in a few steps, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import brentq, linprog
from scipy.special import ndtr, ndtri

from bayes_cmvt.errors import BayesCmvtError, DataError, OptionError
from bayes_cmvt.intervals import tails
from bayes_cmvt.logistic import (
    NOT_CONVERGED,
    Basis,
    Floats,
    LogisticFit,
    cautious_log_odds,
    log_scale,
    maximise_likelihood,
    maximise_penalised,
    orthogonal_basis,
    patients_with_weight,
)

LIMIT_ACCURACY = 1e-11  # of a limit, as a share of its first distance from the estimate
DOUBLINGS = 100
AGREEMENT = 1e-5  # of log-likelihoods reached from different starts
NEGLIGIBLE = 1e-6  # of a combination of columns of variance 1: what rounding may leave

_UNUSABLE = "limits, tests and separation of a logistic model"

type Kind = Literal["none", "complete", "quasi-complete"]


def wald_interval(fit: LogisticFit, ci_prob: float = 0.95) -> Floats:
    """Limits estimate -/+ normal quantile times standard error.

    Parameters
    ----------
    fit : LogisticFit
    ci_prob : float in (0, 1)

    Returns
    -------
    ndarray, shape (column, 2)
        NaN where aliased.

    Raises
    ------
    OptionError
        A probability outside (0, 1).
    DataError
        A fit that did not converge: it has no standard errors.

    Examples
    --------
    >>> from bayes_cmvt.logistic import fit_maximum_likelihood
    >>> fit = fit_maximum_likelihood([[0], [0], [1], [1]], [0, 1, 0, 1])
    >>> np.round(wald_interval(fit), 3).tolist()  # 1.96 sqrt(1 + 1 + 1 + 1)
    [[-3.92, 3.92]]
    """
    _check_usable(fit, ("converged",))
    half = -ndtri(tails(ci_prob)[0]) * fit.se
    estimate = np.where(fit.aliased, np.nan, fit.coefficients)
    return np.column_stack([estimate - half, estimate + half])


def likelihood_ratio_tests(
    columns: ArrayLike, outcome: ArrayLike, fit: LogisticFit, *, weights: ArrayLike | None = None
) -> Floats:
    """P values of leaving out each column in turn, by the likelihood ratio.

    Of a Firth fit the penalised likelihood ratio: the coefficient is held at 0 and the penalty
    stays that of all columns (Heinze & Schemper 2002, doi:10.1002/sim.1047). Columns are left out
    of those that are not aliased.

    Parameters
    ----------
    columns : array_like, shape (patient, column)
    outcome : array_like of {0, 1}, shape (patient,)
    fit : LogisticFit
        By maximum likelihood (it may be separated) or by Firth's method, of the same patients.
    weights : array_like, shape (patient,), optional
        Numbers of copies.

    Returns
    -------
    ndarray, shape (column,)
        NaN where aliased; 1 where all patients had the same outcome.

    Raises
    ------
    DataError
        Patients that cannot be used, another number of columns, a fit that did not converge or is
        FLAC's.

    Examples
    --------
    >>> from bayes_cmvt.logistic import fit_maximum_likelihood
    >>> x, y = [[0], [0], [1], [1]], [0, 1, 0, 1]
    >>> fit = fit_maximum_likelihood(x, y, weights=[30, 10, 20, 20])
    >>> likelihood_ratio_tests(x, y, fit, weights=[30, 10, 20, 20]).round(4).tolist()
    [0.02]
    """
    patients = _patients(columns, outcome, fit, weights)
    p_value = np.where(fit.aliased, np.nan, 1.0)
    if fit.status != "one_class":
        for j in np.flatnonzero(~fit.aliased).tolist():
            p_value[j] = 2 * ndtr(-_profile(patients, fit, j).root(0.0))
    return p_value


def profile_interval(
    columns: ArrayLike,
    outcome: ArrayLike,
    fit: LogisticFit,
    *,
    ci_prob: float = 0.95,
    weights: ArrayLike | None = None,
) -> Floats:
    """Limits at which the likelihood ratio test of a coefficient has P = 1 - ci_prob.

    Of a Firth fit by the penalised likelihood (Heinze & Schemper 2002, doi:10.1002/sim.1047).

    Parameters
    ----------
    columns : array_like, shape (patient, column)
    outcome : array_like of {0, 1}, shape (patient,)
    fit : LogisticFit
        As `likelihood_ratio_tests`.
    ci_prob : float in (0, 1)
    weights : array_like, shape (patient,), optional
        Numbers of copies.

    Returns
    -------
    ndarray, shape (column, 2)
        Infinite where the likelihood never falls far enough, which maximum likelihood has where a
        combination of columns separates the outcomes; NaN where aliased.

    Raises
    ------
    OptionError
        A probability outside (0, 1).
    DataError
        As `likelihood_ratio_tests`.

    Examples
    --------
    >>> from bayes_cmvt.logistic import fit_maximum_likelihood
    >>> x, y = [[0], [0], [1]], [0, 1, 1]
    >>> fit = fit_maximum_likelihood(x, y, weights=[6, 6, 6])
    >>> profile_interval(x, y, fit, weights=[6, 6, 6]).round(3).tolist()
    [[0.721, inf]]
    """
    z = -float(ndtri(tails(ci_prob)[0]))
    patients = _patients(columns, outcome, fit, weights)
    limits = np.full((len(fit.coefficients), 2), [-np.inf, np.inf])
    limits[fit.aliased] = np.nan
    if fit.status != "one_class":
        for j in np.flatnonzero(~fit.aliased).tolist():
            limits[j] = _limits(_profile(patients, fit, j), fit, j, z)
    return limits


def hauck_donner(
    wald_p: ArrayLike, likelihood_ratio_p: ArrayLike, level: float
) -> NDArray[np.bool_]:
    """Columns that Wald's test drops at a level although the likelihood ratio keeps them.

    Wald's statistic falls back to 0 as an effect grows without limit, the likelihood ratio does
    not (Hauck & Donner 1977, doi:10.1080/01621459.1977.10479969).

    Parameters
    ----------
    wald_p, likelihood_ratio_p : array_like, shape (column,)
        NaN counts as neither.
    level : float in (0, 1)
        A column is kept where its P is below it.

    Returns
    -------
    ndarray of bool, shape (column,)

    Raises
    ------
    OptionError
        A level outside (0, 1).

    Examples
    --------
    >>> hauck_donner([0.30, 0.01, 0.30], [0.001, 0.01, 0.20], 0.05).tolist()
    [True, False, False]
    """
    if not 0 < level < 1:
        msg = f"the level of a P rule must lie between 0 and 1, for instance 0.05: {level}"
        raise OptionError(msg)
    dropped, kept = np.asarray(wald_p) >= level, np.asarray(likelihood_ratio_p) < level
    return np.asarray(dropped & kept)


@dataclass(frozen=True)
class Separation:
    """Whether columns separate the outcomes.

    Attributes
    ----------
    kind : {"none", "complete", "quasi-complete"}
        A combination of the columns tells the outcome of no, every, or some patients, and is
        against that of none.
    terms : tuple of str
        Columns of such a combination, as few as tell the outcomes of the same patients (by the
        least sum of absolute coefficients per standard deviation).
    """

    kind: Kind
    terms: tuple[str, ...]


def name_separation(columns: ArrayLike, outcome: ArrayLike, terms: Sequence[str]) -> Separation:
    """Which columns separate the outcomes, exactly, by linear programming.

    First the patients that some combination of the columns separates while it is against nobody
    (one combination does so for all of them together); then the columns that are needed for it
    (after Konis 2007, Oxford DPhil thesis, and Albert & Anderson 1984, doi:10.1093/biomet/71.1.1).

    Parameters
    ----------
    columns : array_like, shape (patient, column)
    outcome : array_like of {0, 1}, shape (patient,)
    terms : sequence of str
        Names of the columns.

    Returns
    -------
    Separation
        Without terms where there is none, or all patients had the same outcome.

    Raises
    ------
    DataError
        Patients that cannot be used, another number of terms than columns.

    Examples
    --------
    All three patients of column b have the event:

    >>> a, b, y = [0, 1, 0, 1, 0, 1, 1], [0, 0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1, 1]
    >>> name_separation(np.column_stack([a, b]), y, ["a", "b"])
    Separation(kind='quasi-complete', terms=('b',))
    """
    matrix, event, _ = patients_with_weight(columns, outcome, None)
    if len(terms) != matrix.shape[1]:
        problem = f"{len(terms)} terms are named, there are {matrix.shape[1]} columns"
        raise DataError(_UNUSABLE, [problem])
    rows = np.unique(np.column_stack([event, matrix]), axis=0)
    sign, columns = 2 * rows[:, :1] - 1, np.ascontiguousarray(rows[:, 1:])
    basis = orthogonal_basis(columns, np.ones(len(rows)))
    told, direction = _told_rows(sign * basis.rows)
    if not told.any():
        return Separation("none", ())
    used = np.flatnonzero(~basis.aliased)
    deviations = columns[:, used] - columns[:, used].mean(axis=0)
    sd = deviations.std(axis=0)
    found = _sparsest(sign * np.column_stack([np.ones(len(rows)), deviations / sd]), told)
    if found is None:  # too nearly none for the programme: all that the combination holds
        found = solve_triangular(basis.triangle, direction)[1:] * sd
    size = np.abs(found)
    named = used[size > NEGLIGIBLE * size.max(initial=0.0)].tolist()
    kind: Kind = "complete" if told.all() else "quasi-complete"
    return Separation(kind, tuple(terms[j] for j in named))


# --- Profiles ------------------------------------------------------------------------------------

type Patients = tuple[Floats, Floats, Floats]


def _check_usable(fit: LogisticFit, allowed: tuple[str, ...]) -> None:
    if fit.status not in allowed:
        found = f'the fit ({fit.method}) has status "{fit.status}"; fit_guarded avoids it'
        raise DataError(_UNUSABLE, [found])


def _patients(
    columns: ArrayLike, outcome: ArrayLike, fit: LogisticFit, weights: ArrayLike | None
) -> Patients:
    """Patients of a fit that has a profile."""
    _check_usable(fit, ("converged", "separated", "one_class"))
    patients = patients_with_weight(columns, outcome, weights)
    problems = []
    if fit.method == "flac":
        problems.append("FLAC has no profile of its own; take the Firth fit")
    if patients[0].shape[1] != len(fit.coefficients):
        found = f"{patients[0].shape[1]} columns, the fit has {len(fit.coefficients)}"
        problems.append(found)
    if problems:
        raise DataError(_UNUSABLE, problems)
    return patients


@dataclass(frozen=True, eq=False)
class Profile:
    """The likelihood as a function of one coefficient, all others at their best.

    Attributes
    ----------
    basis : Basis
        Its last column is that of the coefficient.
    outcome, weights : ndarray, shape (patient,)
    penalised : bool
    estimate : ndarray, shape (1 + column used,)
        In the basis.
    tangent : ndarray, shape (1 + column used,), or None
        Change of the coefficients along the profile for a change of the last one by 1; None where
        the estimate is separated.
    maximum : float
        (Penalised) log-likelihood of the basis at the estimate.
    """

    basis: Basis
    outcome: Floats
    weights: Floats
    penalised: bool
    estimate: Floats
    tangent: Floats | None
    maximum: float

    @property
    def scale(self) -> float:
        """Coefficient of the basis per unit of the coefficient."""
        return float(self.basis.triangle[-1, -1])

    def root(self, value: float) -> float:
        """Root of the likelihood ratio at a value of the coefficient, 0 or more."""
        return math.sqrt(max(0.0, 2 * (self.maximum - self.height(value))))

    def height(self, value: float) -> float:
        """(Penalised) log-likelihood with the coefficient held at a value."""
        free, heights = len(self.estimate) - 1, []
        maximise = maximise_penalised if self.penalised else maximise_likelihood
        for start in self._starts(value * self.scale):
            _, reached, status = maximise(self.basis.rows, self.outcome, self.weights, start, free)
            if status != NOT_CONVERGED:
                return float(reached)
            heights.append(float(reached))
        *_, second, highest = sorted(heights)
        if highest - second < AGREEMENT:  # a plateau: the place is not known well, the height is
            return highest
        msg = f"no maximum was found with a coefficient held at {value:.6g} (others free)"
        raise BayesCmvtError(msg)

    def _starts(self, held: float) -> list[Floats]:
        """Where to look for the maximum: along the tangent, at the estimate, from nothing."""
        beside, nothing = self.estimate.copy(), np.zeros(len(self.estimate))
        nothing[0] = cautious_log_odds(self.outcome, self.weights)
        beside[-1], nothing[-1] = held, held
        if self.tangent is None:
            return [nothing, beside]
        return [self.estimate + (held - self.estimate[-1]) * self.tangent, beside, nothing]


def _profile(patients: Patients, fit: LogisticFit, j: int) -> Profile:
    """Profile of one column that is not aliased."""
    columns, outcome, weights = patients
    order = np.append(np.flatnonzero(~fit.aliased & (np.arange(len(fit.aliased)) != j)), j)
    basis = orthogonal_basis(np.ascontiguousarray(columns[:, order]), weights)
    inside = np.append(0, 1 + order)
    estimate = basis.triangle @ np.append(fit.intercept, fit.coefficients[order])
    tangent = None
    if fit.status == "converged":
        covariance = fit.covariance[np.ix_(inside, inside)]
        of_last = basis.triangle @ covariance @ basis.triangle[-1]
        tangent = of_last / of_last[-1]
    penalised = fit.method == "firth"
    return Profile(
        basis=basis,
        outcome=outcome,
        weights=weights,
        penalised=penalised,
        estimate=estimate,
        tangent=tangent,
        maximum=fit.penalised - log_scale(basis.triangle) if penalised else fit.log_likelihood,
    )


def _limits(profile: Profile, fit: LogisticFit, j: int, z: float) -> tuple[float, float]:
    """Both limits of a coefficient."""
    inside, step = float(fit.coefficients[j]), z * float(fit.se[j])
    if fit.status == "separated":
        step = z / profile.scale
        below, above = _unlimited(profile, -1.0), _unlimited(profile, 1.0)
        if below or above:
            lower = -math.inf if below else _crossing(profile, step, z)
            return lower, math.inf if above else _crossing(profile, -step, z)
    return _limit(profile, inside, -step, z), _limit(profile, inside, step, z)


def _limit(profile: Profile, inside: float, step: float, z: float) -> float:
    """Value on one side of the estimate at which the root reaches z."""
    nearest = inside
    for _ in range(DOUBLINGS):
        outside = nearest + step
        if profile.root(outside) >= z:
            return _root_between(profile, nearest, outside, z)
        nearest, step = outside, 2 * step
    return math.copysign(math.inf, step)


def _crossing(profile: Profile, step: float, z: float) -> float:
    """Value at which the root falls to z on the way to an infinite estimate.

    The search starts at 0, as the likelihood far out is flat.
    """
    beyond = profile.root(0.0) < z
    nearest, step = 0.0, -step if beyond else step
    for _ in range(DOUBLINGS):
        outside = nearest + step
        if (profile.root(outside) < z) != beyond:
            return _root_between(profile, nearest, outside, z)
        nearest, step = outside, 2 * step
    return math.copysign(math.inf, step)


def _root_between(profile: Profile, one: float, other: float, z: float) -> float:
    """Value at which the root is z, between one below and one above."""
    accuracy = LIMIT_ACCURACY * abs(other - one)
    try:
        return float(brentq(lambda value: profile.root(value) - z, one, other, xtol=accuracy))
    except ValueError as error:  # no change of sign: the estimate given is no maximum
        msg = (
            f"no limit was found between {one:.6g} and {other:.6g}: the outcomes are so nearly "
            "separated, or not, that rounding decides; fit_firth has limits"
        )
        raise BayesCmvtError(msg) from error


# --- Linear programmes ---------------------------------------------------------------------------


def _direction(gain: Floats, signed: Floats) -> Floats:
    """Combination d in [-1, 1] of largest gain @ d that is against no row: signed @ d >= 0."""
    found = linprog(-gain, A_ub=-signed, b_ub=np.zeros(len(signed)), bounds=(-1, 1))
    if found.status != 0:
        msg = f"the linear programme that looks for separation was not solved: {found.message}"
        raise BayesCmvtError(msg)
    return np.asarray(found.x, dtype=np.float64)


def _unlimited(profile: Profile, side: float) -> bool:
    """Whether a combination with this sign of the last coefficient is against no patient."""
    signed = (2 * profile.outcome - 1)[:, np.newaxis] * profile.basis.rows
    gain = np.zeros(signed.shape[1])
    gain[-1] = side
    return bool(_direction(gain, signed)[-1] * side > NEGLIGIBLE)


def _told_rows(signed: Floats) -> tuple[NDArray[np.bool_], Floats]:
    """Rows that some combination d separates, signed @ d > 0, and one that does so for all.

    Sums of such combinations are such combinations: they are added up until no row is left that
    another one would separate.
    """
    told, sums = np.zeros(len(signed), dtype=np.bool_), np.zeros(signed.shape[1])
    while not told.all():
        found = _direction(signed[~told].sum(axis=0), signed)
        new = ~told & (signed @ found > NEGLIGIBLE)
        if not new.any():
            break
        told, sums = told | new, sums + found
    return told, sums


def _sparsest(signed: Floats, told: NDArray[np.bool_]) -> Floats | None:
    """Combination of least absolute sum, the intercept apart, that separates these rows by 1."""
    slopes = signed[:, 1:]
    width = slopes.shape[1]
    found = linprog(
        np.append(0.0, np.ones(2 * width)),
        A_ub=-np.column_stack([signed[:, 0], slopes, -slopes]),
        b_ub=-told.astype(np.float64),
        bounds=[(None, None)] + [(0.0, None)] * (2 * width),
    )
    return None if found.x is None else np.asarray(found.x[1 : 1 + width] - found.x[1 + width :])
