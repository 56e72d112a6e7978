"""One sweep of the exact Gibbs sampler for the logistic model, in pieces that can be checked alone.

The model is that of `bayes_cmvt.horseshoe`. Pólya–Gamma weights ω make the likelihood Gaussian in
the coefficients (Polson, Scott & Windle 2013, doi:10.1080/01621459.2013.829001):

    p(y | θ) p(ω | θ) ∝ exp(κ'Xθ - ½ θ'X'ΩXθ) p(ω),   κ = y - ½,   θ = (α, β)

Given its scales every coefficient is normal, θ_j ~ N(m_j, v_j), because
1/Var(β_j | λ, τ, c) = 1/(τ²λ_j²) + 1/c² (Piironen & Vehtari 2017, doi:10.1214/17-EJS1337SI). With
θ = m + √v u, u ~ N(0, I), G = X'ΩX, h = X'κ - Gm and V = diag(v):

    u | ω, v ~ N(B⁻¹√V h, B⁻¹),   B = I + √V G √V
    log p(y, ω | v) = -½ log|B| + ½ h'√V B⁻¹√V h + constant                         (evidence)

The scales are updated with θ integrated out, then θ is drawn: one block given ω and c, valid only
in this order (van Dyk & Park 2008, doi:10.1198/016214508000000409). Scales are updated by slice
steps on their logarithms (Neal 2003, doi:10.1214/aos/1056562461). Moves with ω integrated out
follow (groups of patients, a common factor of all coefficients; at will an independence step),
because ω slows down what concerns rare events, quasi-separated levels and strong effects (Johndrow
et al. 2019, doi:10.1080/01621459.2018.1505626). Nothing is tuned: a chain has one transition kernel
from its first sweep to its last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bayes_cmvt.compilation import compiled, compiled_within

type Vector = NDArray[np.float64]
type Matrix = NDArray[np.float64]

NORMAL, STUDENT_T, HORSESHOE = 0, 1, 2
UNNORMALISED = 3  # the horseshoe sampled wrongly: for proving that a proof can fail
BLOCK = 512  # patients whose weighted columns are held at a time
SCALE_WIDTH = 0.5  # of the slice on the log of a factor of all coefficients
WIDTH = 1.5  # first width of a slice, on the log of a scale
TRUNCATION = 0.64  # where the two series for the Jacobi density change over (Devroye 2009)
SERIES_AT_LEAST = 0.994  # below 1 - a_1/a_0, which is least at the truncation point
TAIL_SHARE_VANISHES = 40.0  # tilt above which the upper tail has a share below 1e-200
NO_SPREAD = 1e30  # tilt from which the spread of a weight is below the precision of its mean
PROPOSAL_DF = 20.0
NEWTON_STEPS = 100
LARGE_PRODUCT = 1e150
SHORTEST_FRACTION = 1e-6
NEWTON_CONVERGED = 1e-10  # length of the last Newton step, in posterior standard deviations


class Rows(NamedTuple):
    """The development patients.

    Attributes
    ----------
    matrix : ndarray, shape (patient, 1 + coefficient)
        The intercept's column, then the standardised columns. The former holds ones, unless
        patients of another site take a multiple of their row; no `Groups` are then moved.
    centred : ndarray, shape (patient,)
        κ = y - ½.
    score : ndarray, shape (1 + coefficient,)
        X'κ.
    """

    matrix: Matrix
    centred: Vector
    score: Vector


class Groups(NamedTuple):
    """Groups of patients whose log-odds can be changed together: all, and those of each level.

    Attributes
    ----------
    member, start : ndarray of int
        Group g holds the rows ``member[start[g]:start[g + 1]]``.
    events : ndarray, shape (group,)
    column : ndarray of int, shape (group,)
        Position j of the coefficient that separates the group from the others; 0 for all patients.
    of_alpha, of_beta : ndarray, shape (group,)
        Change of α and of β_j that adds 1 to the log-odds of the group and 0 to all others.
    width : ndarray, shape (group,)
        First width of the slice, from the counts of the group.
    """

    member: NDArray[np.int64]
    start: NDArray[np.int64]
    events: Vector
    column: NDArray[np.int64]
    of_alpha: Vector
    of_beta: Vector
    width: Vector


class Prior(NamedTuple):
    """The prior as numbers; vectors have shape (1 + coefficient,), the intercept first.

    Attributes
    ----------
    mean, sd : ndarray
        Of the coefficients with a normal prior of their own; mean 0 elsewhere. ``sd[0]`` is the
        scale of the intercept.
    shrunk : ndarray of int, shape (shrunk coefficient,)
        Positions of the coefficients under the shrinkage prior.
    family : int
        `NORMAL`, `STUDENT_T`, `HORSESHOE`, or `UNNORMALISED`, which no study can ask for.
    scale, df : float
        Of the normal and Student-t families.
    global_scale, slab_scale, slab_df : float
        τ0, s and ν of the horseshoe.
    intercept_df : float
        Degrees of freedom of the intercept's Student-t prior; 0 stands for a normal one.
    """

    mean: Vector
    sd: Vector
    shrunk: NDArray[np.int64]
    family: int
    scale: float
    df: float
    global_scale: float
    slab_scale: float
    slab_df: float
    intercept_df: float


class State(NamedTuple):
    """Where a chain stands.

    Attributes
    ----------
    theta : ndarray, shape (1 + coefficient,)
        Intercept and coefficients.
    log_tau, log_c2 : float
    log_local : ndarray, shape (shrunk coefficient,)
        log λ.
    intercept_mixture : float
        Variance of the intercept's prior over ``sd[0]²``.
    mode : ndarray, shape (1 + coefficient,)
        The last mode of θ given its scales: where the search for the next one starts.
    accepted : bool
        Whether the last independence step moved; False where there is none.
    """

    theta: Vector
    log_tau: float
    log_c2: float
    log_local: Vector
    intercept_mixture: float
    mode: Vector
    accepted: bool


# --- Pólya–Gamma weights -------------------------------------------------------------------------


@compiled
def polya_gamma(rng: Generator, tilt: float) -> float:
    """Draw from PG(1, tilt), by rejection from the exact density of a Jacobi variable.

    ω = J*(1, |tilt|/2) / 4 (Polson, Scott & Windle 2013, section 4; Devroye 2009,
    doi:10.1016/j.spl.2009.07.028). Mean tanh(tilt/2) / (2 tilt).
    """
    if not abs(tilt) < NO_SPREAD:
        return 1 / (2 * abs(tilt))  # nan for nan: a chain gone astray stands still, it never hangs
    z = abs(tilt) / 2
    rate = math.pi**2 / 8 + z * z / 2
    while True:
        if above_truncation(rng, z, rate):
            x = TRUNCATION + rng.standard_exponential() / rate
        else:
            x = truncated_inverse_gaussian(rng, z)
        if series_accepts(rng, x):
            return x / 4


def upper_tail_share(z: float, rate: float) -> float:
    """Share of the proposal above the truncation point t: p / (p + q).

    p = π/(2K) exp(-Kt) with K the rate, q = 2 exp(-z) F(t), F the distribution function of the
    inverse Gaussian with mean 1/z and shape 1; both times exp(z).
    """
    if z > TAIL_SHARE_VANISHES:
        return 0.0
    t = TRUNCATION
    above = math.pi / (2 * rate) * math.exp(z - rate * t)
    below = math.erfc((1 - t * z) / math.sqrt(2 * t))
    below += math.exp(2 * z) * math.erfc((1 + t * z) / math.sqrt(2 * t))
    return above / (above + below)


# the share falls as z grows: two neighbours in this table bound it
TAIL_STEP = 1 / 64
TAIL_SHARES = np.array(
    [upper_tail_share(z, math.pi**2 / 8 + z * z / 2) for z in TAIL_STEP * np.arange(513)]
)
exact_tail_share = compiled(upper_tail_share)


@compiled
def above_truncation(rng: Generator, z: float, rate: float) -> bool:
    """Choose the upper part of the proposal with its share, computed where bounds do not decide."""
    level = rng.random()
    if z < TAIL_STEP * (len(TAIL_SHARES) - 1):
        k = int(z / TAIL_STEP)
        if level >= TAIL_SHARES[k]:
            return False
        if level < TAIL_SHARES[k + 1]:
            return True
    return level < exact_tail_share(z, rate)


@compiled
def truncated_inverse_gaussian(rng: Generator, z: float) -> float:
    """Draw from the inverse Gaussian with mean 1/z and shape 1, given that it is at most t."""
    t = TRUNCATION
    if z < 1 / t:
        # a truncated inverse chi-square, tilted by rejection
        while True:
            first, second = rng.standard_exponential(), rng.standard_exponential()
            if first * first > 2 * second / t:
                continue
            x = t / (1 + t * first) ** 2
            if rng.random() < math.exp(-z * z * x / 2):
                return x
    mean = 1 / z
    while True:
        # Michael, Schucany & Haas 1976, doi:10.1080/00031305.1976.10479147
        chi = mean * rng.standard_normal() ** 2
        x = mean * (1 + chi / 2 - math.sqrt(chi + chi * chi / 4))
        if rng.random() > mean / (mean + x):
            x = mean * mean / x
        if x <= t:
            return x


@compiled
def series_accepts(rng: Generator, x: float) -> bool:
    """Accept x with probability f(x) / a_0(x), f = Σ (-1)ⁿ a_n the density of J*(1, 0).

    The partial sums lie above and below f in turn, so that finitely many terms decide; nearly
    always 1 - a_1/a_0 > 0.994 does, for every x.
    """
    level = rng.random()
    if level < SERIES_AT_LEAST:
        return True
    partial = 1.0
    n = 0
    while True:
        n += 1
        if n % 2 == 1:
            partial -= series_ratio(n, x)
            if level <= partial:
                return True
        else:
            partial += series_ratio(n, x)
            if level > partial:
                return False


@compiled
def series_ratio(n: int, x: float) -> float:
    """Ratio a_n(x) / a_0(x) in the series for the density of J*(1, 0) that converges fast at x.

    a_n is π(n + ½)(2/(πx))^{3/2} exp(-2(n + ½)²/x) up to t and π(n + ½) exp(-(n + ½)²π²x/2) above,
    so that the ratio is (2n + 1) exp(-2n(n + 1)/x) or (2n + 1) exp(-n(n + 1)π²x/2).
    """
    if x > TRUNCATION:
        return (2 * n + 1) * math.exp(-n * (n + 1) * math.pi**2 * x / 2)
    return (2 * n + 1) * math.exp(-2 * n * (n + 1) / x)


# --- One slice step ------------------------------------------------------------------------------


def slice_sampler[Given](
    log_density: Callable[[float, Given], float],
) -> Callable[[Generator, float, Given, float], float]:
    """Make the slice step that leaves ``log_density(x, given)`` invariant.

    Stepping out by ``width`` without a limit, then shrinkage (Neal 2003, figures 3 and 5).
    """

    @compiled_within
    def step(rng: Generator, x: float, given: Given, width: float) -> float:
        level = log_density(x, given) - rng.standard_exponential()
        lower = x - width * rng.random()
        upper = lower + width
        while log_density(lower, given) > level:
            lower -= width
        while log_density(upper, given) > level:
            upper += width
        while True:
            proposal = lower + (upper - lower) * rng.random()
            # x itself lies in the slice: an interval that has shrunk to it ends the search
            if proposal == x or log_density(proposal, given) > level:
                return proposal
            if proposal < x:
                lower = proposal
            else:
                upper = proposal

    return step


# --- Densities -----------------------------------------------------------------------------------


@compiled
def log_half_cauchy(log_x: float, scale: float) -> float:
    """Log density of log x for x ~ C⁺(0, scale): log x - log(1 + x²/scale²), less a constant."""
    distance = abs(log_x - math.log(scale))
    return -distance - math.log1p(math.exp(-2 * distance))


@compiled
def log_inverse_gamma(log_x: float, shape: float, rate: float) -> float:
    """Log density of log x, x ~ Inv-Gamma(shape, rate): -shape log x - rate/x, less a constant."""
    return -shape * log_x - rate * math.exp(-log_x)


@compiled
def horseshoe_variance(log_tau: float, log_local: float, log_c2: float) -> float:
    """Variance of β_j given its scales, v = 1 / (1/(τ²λ²) + 1/c²) = τ²λ̃²."""
    return 1 / (math.exp(-2 * (log_tau + log_local)) + math.exp(-log_c2))


@compiled
def log_evidence(sd: Vector, gram: Matrix, score: Vector) -> float:
    """Evidence log p(y, ω | v) = -½ log|B| + ½ h'√V B⁻¹√V h, less a constant."""
    root = posterior_root(sd, gram)
    whitened = solve_transposed(root, scaled(sd, score))
    half_log_determinant = 0.0
    for j in range(len(sd)):
        half_log_determinant += math.log(root[j, j])
    return 0.5 * sum_of_squares(whitened) - half_log_determinant


class GlobalGiven(NamedTuple):
    """What log τ depends on when θ is integrated out."""

    state: State
    prior: Prior
    gram: Matrix
    score: Vector


@compiled
def log_global_density(log_tau: float, given: GlobalGiven) -> float:
    """Conditional log p(log τ | ω, λ, c, y) = log p(y, ω | v(τ)) + log C⁺(τ; τ0)."""
    state = given.state
    sd = prior_sd(given.prior, log_tau, state.log_c2, state.log_local, state.intercept_mixture)
    return log_evidence(sd, given.gram, given.score) + log_half_cauchy(
        log_tau, given.prior.global_scale
    )


class LocalGiven(NamedTuple):
    """What log λ_j depends on when θ is integrated out: the normal estimate r/s ± 1/√s of β_j."""

    log_tau: float
    log_c2: float
    information: float
    score: float


@compiled
def log_local_density(log_local: float, given: LocalGiven) -> float:
    """Conditional of log λ_j: -½ log(1 + vs) + ½ r²v/(1 + vs) + log C⁺(λ_j; 1).

    Given ω, τ, c and all other λ; s and r are information and score of β_j at 0 with all other
    coefficients integrated out.
    """
    v = horseshoe_variance(given.log_tau, log_local, given.log_c2)
    inflation = 1 + v * given.information
    return (
        -0.5 * math.log(inflation)
        + 0.5 * given.score**2 * v / inflation
        + log_half_cauchy(log_local, 1.0)
    )


class ShiftGiven(NamedTuple):
    """What the shift move holds fixed: log(τλ_j) of every shrunk coefficient."""

    log_products: Vector
    global_scale: float


@compiled
def log_shift_density(log_tau: float, given: ShiftGiven) -> float:
    """Conditional of log τ given the products τλ_j: log C⁺(τ; τ0) + Σ log C⁺(τλ_j/τ; 1).

    Neither a variance nor the likelihood changes.
    """
    total = log_half_cauchy(log_tau, given.global_scale)
    for product in given.log_products:
        total += log_half_cauchy(product - log_tau, 1.0)
    return total


class SlabGiven(NamedTuple):
    """What log c² depends on: the shrunk coefficients and log(τλ_j)."""

    beta: Vector
    log_products: Vector
    slab_scale: float
    slab_df: float


@compiled
def log_slab_density(log_c2: float, given: SlabGiven) -> float:
    """Conditional of log c² given β, λ, τ: log Inv-Gamma(c²; ν/2, νs²/2) + Σ log N(β_j; 0, v_j)."""
    half_df = given.slab_df / 2
    total = log_inverse_gamma(log_c2, half_df, half_df * given.slab_scale**2)
    for beta, product in zip(given.beta, given.log_products):  # noqa: B905 - numba knows no strict
        v = horseshoe_variance(0.0, product, log_c2)
        total -= 0.5 * (math.log(v) + beta * beta / v)
    return total


class GroupGiven(NamedTuple):
    """What a common change of a group's log-odds depends on, with the weights integrated out.

    Attributes
    ----------
    odds : ndarray, shape (patient of the group,)
        e^η before the change.
    events : float
        Events in the group.
    pull, precision : float
        The normal priors of the coefficients that change, as pull·x - ½ precision·x².
    """

    odds: Vector
    events: float
    pull: float
    precision: float


@compiled
def log_group_density(change: float, given: GroupGiven) -> float:
    """Conditional of a change x of a group's log-odds: Σ yx - log(1 + e^x o_i) + log prior.

    Logarithms are taken of products of many factors: a patient costs two multiplications.
    """
    scale = math.exp(change)
    total = (given.events + given.pull) * change - 0.5 * given.precision * change * change
    factors = 1.0
    for odds in given.odds:
        factors *= 1 + scale * odds
        if factors > LARGE_PRODUCT:
            total -= math.log(factors)
            factors = 1.0
    return total - math.log(factors)


class ScaleGiven(NamedTuple):
    """What a common factor of all coefficients depends on, with the weights integrated out.

    Attributes
    ----------
    fixed : ndarray, shape (patient,)
        Part of the log-odds that the factor leaves alone: the intercept.
    effects : ndarray, shape (patient,)
        x_i'β before the change.
    centred : ndarray, shape (patient,)
    pull, precision : float
        The normal priors of β, as pull·f - ½ precision·f² for a factor f.
    size : int
        Number of coefficients.
    """

    fixed: Vector
    effects: Vector
    centred: Vector
    pull: float
    precision: float
    size: int


@compiled
def log_scale_density(log_factor: float, given: ScaleGiven) -> float:
    """Conditional of log f that multiplies β: log-likelihood + log prior of fβ + size·log f."""
    factor = math.exp(log_factor)
    total = given.size * log_factor + given.pull * factor
    total -= 0.5 * given.precision * factor * factor
    factors = 1.0
    for i in range(len(given.effects)):
        eta = given.fixed[i] + factor * given.effects[i]
        size = abs(eta)
        total += given.centred[i] * eta - size / 2
        factors *= 1 + math.exp(-size)
        if factors > LARGE_PRODUCT:
            total -= math.log(factors)
            factors = 1.0
    return total - math.log(factors)


slice_global = slice_sampler(log_global_density)
slice_local = slice_sampler(log_local_density)
slice_shift = slice_sampler(log_shift_density)
slice_slab = slice_sampler(log_slab_density)
slice_group = slice_sampler(log_group_density)
slice_scale = slice_sampler(log_scale_density)


# --- A wrong sampler -----------------------------------------------------------------------------

# N(0, v_j) is proportional to the product of N(0, τ²λ_j²) and N(0, c²). Who takes that product for
# the prior of β_j (Nishimura & Suchard, arXiv:1911.02160) drops its normaliser, and with
# it samples another posterior: the joint density times Π 1/√(c² + τ²λ_j²).


@compiled
def log_missing_normaliser(log_product: float, log_c2: float) -> float:
    """Log of 1/√(c² + τ²λ²), less a constant."""
    larger, smaller = max(log_c2, 2 * log_product), min(log_c2, 2 * log_product)
    return -0.5 * (larger + math.log1p(math.exp(smaller - larger)))


@compiled
def log_wrong_global_density(log_tau: float, given: GlobalGiven) -> float:
    """Conditional of log τ without the normalisers."""
    total = log_global_density(log_tau, given)
    for log_local in given.state.log_local:
        total += log_missing_normaliser(log_tau + log_local, given.state.log_c2)
    return total


@compiled
def log_wrong_local_density(log_local: float, given: LocalGiven) -> float:
    """Conditional of log λ_j without its normaliser."""
    factor = log_missing_normaliser(given.log_tau + log_local, given.log_c2)
    return log_local_density(log_local, given) + factor


@compiled
def log_wrong_slab_density(log_c2: float, given: SlabGiven) -> float:
    """Conditional of log c² without the normalisers."""
    total = log_slab_density(log_c2, given)
    for product in given.log_products:
        total += log_missing_normaliser(product, log_c2)
    return total


slice_wrong_global = slice_sampler(log_wrong_global_density)
slice_wrong_local = slice_sampler(log_wrong_local_density)
slice_wrong_slab = slice_sampler(log_wrong_slab_density)


# --- Linear algebra ------------------------------------------------------------------------------


@compiled
def weighted_gram(matrix: Matrix, weights: Vector) -> Matrix:
    """X'ΩX, one block of patients after another."""
    patients, columns = matrix.shape
    gram = np.zeros((columns, columns))
    weighted = np.empty((min(BLOCK, patients), columns))
    for start in range(0, patients, BLOCK):
        size = min(BLOCK, patients - start)
        for i in range(size):
            for j in range(columns):
                weighted[i, j] = weights[start + i] * matrix[start + i, j]
        block = weighted[:size].T @ matrix[start : start + size]
        for j in range(columns):
            for k in range(columns):
                gram[j, k] += block[j, k]
    return gram


@compiled
def posterior_root(sd: Vector, gram: Matrix) -> Matrix:
    """Upper Cholesky factor U of the posterior precision of u, U'U = B = I + √V G √V."""
    size = len(sd)
    root = np.zeros((size, size))
    for i in range(size):
        for j in range(i, size):
            root[i, j] = sd[i] * gram[i, j] * sd[j]
        root[i, i] += 1
    for k in range(size):
        pivot = math.sqrt(root[k, k])
        for j in range(k, size):
            root[k, j] /= pivot
        for i in range(k + 1, size):
            factor = root[k, i]
            for j in range(i, size):
                root[i, j] -= factor * root[k, j]
    return root


@compiled
def solve_transposed(root: Matrix, right: Vector) -> Vector:
    """Solve U'x = b for an upper triangle U."""
    solution = right.copy()
    for i in range(len(solution)):
        solution[i] /= root[i, i]
        for k in range(i + 1, len(solution)):
            solution[k] -= root[i, k] * solution[i]
    return solution


@compiled
def solve(root: Matrix, right: Vector) -> Vector:
    """Solve Ux = b for an upper triangle U."""
    solution = right.copy()
    for i in range(len(solution) - 1, -1, -1):
        for k in range(i + 1, len(solution)):
            solution[i] -= root[i, k] * solution[k]
        solution[i] /= root[i, i]
    return solution


@compiled
def product(root: Matrix, vector: Vector) -> Vector:
    """Ux for an upper triangle U."""
    result = np.zeros(len(vector))
    for i in range(len(vector)):
        for k in range(i, len(vector)):
            result[i] += root[i, k] * vector[k]
    return result


@compiled
def sum_of_squares(vector: Vector) -> float:
    """Inner product x'x."""
    total = 0.0
    for value in vector:
        total += value * value
    return total


@compiled
def scaled(sd: Vector, vector: Vector) -> Vector:
    """Product √V x."""
    result = np.empty(len(vector))
    for j in range(len(vector)):
        result[j] = sd[j] * vector[j]
    return result


@compiled
def standard_normals(rng: Generator, size: int) -> Vector:
    """Independent N(0, 1)."""
    noise = np.empty(size)
    for j in range(size):
        noise[j] = rng.standard_normal()
    return noise


@compiled
def integrated_information(sd: Vector, gram: Matrix, score: Vector) -> tuple[Matrix, Vector]:
    """Information M and score w of θ at m under the evidence, M = (G⁻¹ + V)⁻¹ and w = MG⁻¹h.

    M = G - A'A with U'A = √V G, w = h - A'z with U'z = √V h: G need not be invertible.
    """
    size = len(sd)
    root = posterior_root(sd, gram)
    solved = np.empty((size, size))
    whitened = scaled(sd, score)
    information, remaining = gram.copy(), score.copy()
    for i in range(size):
        for j in range(size):
            solved[i, j] = sd[i] * gram[i, j]
    for i in range(size):
        whitened[i] /= root[i, i]
        for j in range(size):
            solved[i, j] /= root[i, i]
            remaining[j] -= solved[i, j] * whitened[i]
        for k in range(i + 1, size):
            factor = root[i, k]
            whitened[k] -= factor * whitened[i]
            for j in range(size):
                solved[k, j] -= factor * solved[i, j]
        for k in range(size):
            factor = solved[i, k]
            for j in range(size):
                information[k, j] -= factor * solved[i, j]
    return information, remaining


@compiled
def change_variance(information: Matrix, score: Vector, j: int, change: float) -> None:
    """Bring M and w up to date, in place, when v_j grows by ``change`` (Sherman & Morrison)."""
    factor = change / (1 + change * information[j, j])
    column = information[j].copy()
    pull = factor * score[j]
    for i in range(len(score)):
        score[i] -= pull * column[i]
        weight = factor * column[i]
        for k in range(len(score)):
            information[i, k] -= weight * column[k]


# --- The moves -----------------------------------------------------------------------------------


@compiled
def prior_sd(
    prior: Prior, log_tau: float, log_c2: float, log_local: Vector, intercept_mixture: float
) -> Vector:
    """Prior SD √v of every coefficient, the intercept first."""
    sd = prior.sd.copy()
    sd[0] *= math.sqrt(intercept_mixture)
    for index in range(len(prior.shrunk)):
        j = prior.shrunk[index]
        if prior.family >= HORSESHOE:
            sd[j] = math.sqrt(horseshoe_variance(log_tau, log_local[index], log_c2))
        elif prior.family == STUDENT_T:
            sd[j] = prior.scale * math.exp(log_local[index])
        else:
            sd[j] = prior.scale
    return sd


@compiled
def draw_weights(rng: Generator, linear_predictor: Vector) -> Vector:
    """Draw ω_i ~ PG(1, x_i'θ), given θ alone."""
    weights = np.empty(len(linear_predictor))
    for i in range(len(weights)):
        weights[i] = polya_gamma(rng, linear_predictor[i])
    return weights


@compiled
def draw_global(rng: Generator, prior: Prior, state: State, gram: Matrix, score: Vector) -> float:
    """Update log τ with θ integrated out."""
    given = GlobalGiven(state, prior, gram, score)
    if prior.family == UNNORMALISED:
        return slice_wrong_global(rng, state.log_tau, given, WIDTH)
    return slice_global(rng, state.log_tau, given, WIDTH)


@compiled
def draw_locals(
    rng: Generator, prior: Prior, state: State, log_tau: float, gram: Matrix, score: Vector
) -> Vector:
    """Update each log λ_j in turn with θ integrated out; M and w follow by rank-one updates."""
    log_local = state.log_local.copy()
    sd = prior_sd(prior, log_tau, state.log_c2, log_local, state.intercept_mixture)
    information, pulled = integrated_information(sd, gram, score)
    for index in range(len(prior.shrunk)):
        j = prior.shrunk[index]
        v = sd[j] * sd[j]
        # as if v were 0: what the data say about β_j alone
        inflation = 1 / (1 - v * information[j, j])
        given = LocalGiven(
            log_tau, state.log_c2, information[j, j] * inflation, pulled[j] * inflation
        )
        if prior.family == UNNORMALISED:
            log_local[index] = slice_wrong_local(rng, log_local[index], given, WIDTH)
        else:
            log_local[index] = slice_local(rng, log_local[index], given, WIDTH)
        changed = horseshoe_variance(log_tau, log_local[index], state.log_c2)
        change_variance(information, pulled, j, changed - v)
    return log_local


@compiled
def draw_theta(rng: Generator, prior: Prior, sd: Vector, gram: Matrix, score: Vector) -> Vector:
    """Draw θ = m + √v u, u ~ N(B⁻¹√V h, B⁻¹)."""
    root = posterior_root(sd, gram)
    whitened = solve_transposed(root, scaled(sd, score))
    for j in range(len(whitened)):
        whitened[j] += rng.standard_normal()
    return coefficients(prior, sd, solve(root, whitened))


@compiled
def coefficients(prior: Prior, sd: Vector, u: Vector) -> Vector:
    """Coefficients θ = m + √v u."""
    theta = np.empty(len(u))
    for j in range(len(u)):
        theta[j] = prior.mean[j] + sd[j] * u[j]
    return theta


@compiled
def shrunk_part(prior: Prior, theta: Vector) -> Vector:
    """Coefficients under the shrinkage prior."""
    beta = np.empty(len(prior.shrunk))
    for index in range(len(beta)):
        beta[index] = theta[prior.shrunk[index]]
    return beta


@compiled
def shifted(vector: Vector, amount: float) -> Vector:
    """Sum x + a."""
    result = np.empty(len(vector))
    for index in range(len(vector)):
        result[index] = vector[index] + amount
    return result


@compiled
def prior_score(rows: Rows, prior: Prior, gram: Matrix) -> Vector:
    """Score of θ at m, h = X'κ - Gm."""
    score = rows.score.copy()
    for j in range(len(score)):
        for k in range(len(score)):
            score[j] -= gram[j, k] * prior.mean[k]
    return score


@compiled
def move_groups(
    rng: Generator, rows: Rows, groups: Groups, prior: Prior, sd: Vector, theta: Vector
) -> Vector:
    """Change the log-odds of all patients, then of each level, with the weights integrated out.

    The weights hold back what concerns rare events or quasi-separated levels; these steps do not.
    Of a level only its own patients change: x is added to their log-odds by β_j, and α is moved so
    that those of all others stay. θ is changed in place; the log-odds Xθ are returned.
    """
    log_odds = rows.matrix @ theta
    odds = np.empty(len(log_odds))
    for i in range(len(odds)):
        odds[i] = math.exp(log_odds[i])
    for index in range(len(groups.column)):
        members = groups.member[groups.start[index] : groups.start[index + 1]]
        j, of_alpha, of_beta = groups.column[index], groups.of_alpha[index], groups.of_beta[index]
        group_odds = np.empty(len(members))
        for k in range(len(members)):
            group_odds[k] = odds[members[k]]
        precision = (of_alpha / sd[0]) ** 2
        pull = -of_alpha * theta[0] / sd[0] ** 2
        if j > 0:
            precision += (of_beta / sd[j]) ** 2
            pull -= of_beta * (theta[j] - prior.mean[j]) / sd[j] ** 2
        given = GroupGiven(group_odds, groups.events[index], pull, precision)
        change = slice_group(rng, 0.0, given, groups.width[index])
        theta[0] += of_alpha * change
        if j > 0:
            theta[j] += of_beta * change
        factor = math.exp(change)
        for member in members:
            odds[member] *= factor
            log_odds[member] += change
    return log_odds


@compiled
def scale_coefficients(
    rng: Generator, rows: Rows, prior: Prior, sd: Vector, theta: Vector, log_odds: Vector
) -> None:
    """Multiply all coefficients by one factor, with the weights integrated out.

    A step of the group of positive factors, whose invariant measure gives the term size·log f
    (Liu & Sabatti 2000, doi:10.1093/biomet/87.2.353). θ is changed in place; ``log_odds`` are
    those before.
    """
    pull, precision = 0.0, 0.0
    for j in range(1, len(theta)):
        pull += theta[j] * prior.mean[j] / sd[j] ** 2
        precision += (theta[j] / sd[j]) ** 2
    fixed, effects = np.empty(len(log_odds)), np.empty(len(log_odds))
    for i in range(len(log_odds)):
        fixed[i] = rows.matrix[i, 0] * theta[0]
        effects[i] = log_odds[i] - fixed[i]
    given = ScaleGiven(fixed, effects, rows.centred, pull, precision, len(theta) - 1)
    factor = math.exp(slice_scale(rng, 0.0, given, SCALE_WIDTH))
    for j in range(1, len(theta)):
        theta[j] *= factor


@compiled
def draw_slab(
    rng: Generator, prior: Prior, beta: Vector, log_products: Vector, log_c2: float
) -> float:
    """Update log c² given the coefficients."""
    given = SlabGiven(beta, log_products, prior.slab_scale, prior.slab_df)
    if prior.family == UNNORMALISED:
        return slice_wrong_slab(rng, log_c2, given, WIDTH)
    return slice_slab(rng, log_c2, given, WIDTH)


@compiled
def draw_mixture(rng: Generator, deviation: float, df: float) -> float:
    """Draw the variance that mixes normals to a Student-t, Inv-Gamma((ν+1)/2, (ν+d²)/2) given d."""
    return (df + deviation * deviation) / 2 / rng.gamma((df + 1) / 2, 1.0)


@compiled
def sweep(
    rng: Generator, rows: Rows, groups: Groups, prior: Prior, state: State, independent: bool
) -> State:
    """One sweep; the order of the first three updates of the block is what makes it valid."""
    log_tau, log_c2, log_local = state.log_tau, state.log_c2, state.log_local
    weights = draw_weights(rng, rows.matrix @ state.theta)
    gram = weighted_gram(rows.matrix, weights)
    score = prior_score(rows, prior, gram)
    if prior.family >= HORSESHOE:
        log_tau = draw_global(rng, prior, state, gram, score)
        log_local = draw_locals(rng, prior, state, log_tau, gram, score)
    sd = prior_sd(prior, log_tau, log_c2, log_local, state.intercept_mixture)
    theta = draw_theta(rng, prior, sd, gram, score)
    mode, accepted = state.mode, False
    if independent:
        theta, mode, accepted = independence_step(rng, rows, prior, sd, theta, mode)
    log_odds = move_groups(rng, rows, groups, prior, sd, theta)
    scale_coefficients(rng, rows, prior, sd, theta, log_odds)
    beta = shrunk_part(prior, theta)
    if prior.family >= HORSESHOE:
        products = shifted(log_local, log_tau)
        log_tau = slice_shift(rng, log_tau, ShiftGiven(products, prior.global_scale), WIDTH)
        log_local = shifted(products, -log_tau)
        log_c2 = draw_slab(rng, prior, beta, products, log_c2)
    elif prior.family == STUDENT_T:
        log_local = np.empty(len(beta))
        for index in range(len(beta)):
            mixed = draw_mixture(rng, beta[index] / prior.scale, prior.df)
            log_local[index] = 0.5 * math.log(mixed)
    mixture = state.intercept_mixture
    if prior.intercept_df > 0:
        mixture = draw_mixture(rng, theta[0] / prior.sd[0], prior.intercept_df)
    return State(theta, log_tau, log_c2, log_local, mixture, mode, accepted)


# --- Independence step ---------------------------------------------------------------------------


@compiled
def log_likelihood(rows: Rows, theta: Vector) -> float:
    """Σ y η - log(1 + exp η) = Σ κη - |η|/2 - log(1 + exp(-|η|))."""
    linear_predictor = rows.matrix @ theta
    total = 0.0
    for i in range(len(linear_predictor)):
        eta = linear_predictor[i]
        size = abs(eta)
        total += rows.centred[i] * eta - size / 2 - math.log1p(math.exp(-size))
    return total


@compiled
def log_target(rows: Rows, prior: Prior, sd: Vector, u: Vector) -> float:
    """Target log p(u | v, y) = log-likelihood at m + √v u - ½u'u, less a constant."""
    return log_likelihood(rows, coefficients(prior, sd, u)) - 0.5 * sum_of_squares(u)


@compiled
def posterior_mode(rows: Rows, prior: Prior, sd: Vector, start: Vector) -> tuple[Vector, Matrix]:
    """Mode of p(u | v, y) and the Cholesky factor of minus its Hessian, by damped Newton steps."""
    mode = start
    value = log_target(rows, prior, sd, mode)
    for _ in range(NEWTON_STEPS):
        gradient, root = slope_and_curvature(rows, prior, sd, mode)
        step = solve(root, solve_transposed(root, gradient))
        length = math.sqrt(sum_of_squares(product(root, step)))
        mode, value = climb(rows, prior, sd, mode, value, step)
        if length < NEWTON_CONVERGED:
            break
    return mode, root


@compiled
def slope_and_curvature(rows: Rows, prior: Prior, sd: Vector, u: Vector) -> tuple[Vector, Matrix]:
    """Gradient √V X'(y - π) - u of the target, and the Cholesky factor of minus its Hessian."""
    residuals = rows.matrix @ coefficients(prior, sd, u)
    weights = np.empty(len(residuals))
    for i in range(len(residuals)):
        half = math.tanh(residuals[i] / 2) / 2  # π - ½
        weights[i] = 0.25 - half * half
        residuals[i] = rows.centred[i] - half
    gradient = scaled(sd, rows.matrix.T @ residuals)
    for j in range(len(u)):
        gradient[j] -= u[j]
    return gradient, posterior_root(sd, weighted_gram(rows.matrix, weights))


@compiled
def climb(
    rows: Rows, prior: Prior, sd: Vector, u: Vector, value: float, step: Vector
) -> tuple[Vector, float]:
    """Go along a step, or the largest half, quarter … of it that does not lead down."""
    fraction = 1.0
    while True:
        moved = np.empty(len(u))
        for j in range(len(u)):
            moved[j] = u[j] + fraction * step[j]
        moved_value = log_target(rows, prior, sd, moved)
        # near the mode the difference is rounding error of the sum over patients
        if moved_value >= value - 1e-9 * abs(value) or fraction < SHORTEST_FRACTION:
            return moved, moved_value
        fraction /= 2


@compiled
def log_proposal(distance: Vector) -> float:
    """Log density of the proposal, a multivariate t, less a constant; distance is U(u - mode)."""
    df = PROPOSAL_DF
    return -(df + len(distance)) / 2 * math.log1p(sum_of_squares(distance) / df)


@compiled
def independence_step(
    rng: Generator, rows: Rows, prior: Prior, sd: Vector, theta: Vector, start: Vector
) -> tuple[Vector, Vector, bool]:
    """One Metropolis–Hastings step for θ given the scales, ω integrated out.

    The proposal is a multivariate t with 20 df at the mode of p(θ | v, y), with the curvature
    there. The search ends so near the mode that where it started does not matter.
    """
    mode, root = posterior_mode(rows, prior, sd, standardised(prior, sd, start))
    stretch = math.sqrt(PROPOSAL_DF / 2 / rng.gamma(PROPOSAL_DF / 2, 1.0))
    noise = standard_normals(rng, len(theta))
    current, distance = standardised(prior, sd, theta), np.empty(len(theta))
    for j in range(len(theta)):
        noise[j] *= stretch
        distance[j] = current[j] - mode[j]
    proposal = solve(root, noise)
    for j in range(len(theta)):
        proposal[j] += mode[j]
    log_ratio = log_target(rows, prior, sd, proposal) - log_target(rows, prior, sd, current)
    log_ratio += log_proposal(product(root, distance)) - log_proposal(noise)
    accepted = -rng.standard_exponential() < log_ratio
    chosen = coefficients(prior, sd, proposal) if accepted else theta
    return chosen, coefficients(prior, sd, mode), accepted


@compiled
def standardised(prior: Prior, sd: Vector, theta: Vector) -> Vector:
    """Standardised coefficients u = (θ - m) / √v."""
    u = np.empty(len(theta))
    for j in range(len(theta)):
        u[j] = (theta[j] - prior.mean[j]) / sd[j]
    return u


# --- A stretch of a chain ------------------------------------------------------------------------


class Trace(NamedTuple):
    """Draws of one stretch of a chain, one row for each sweep.

    Attributes
    ----------
    theta : ndarray, shape (sweep, 1 + coefficient)
    log_tau, log_c2 : ndarray, shape (sweep,)
    log_local : ndarray, shape (sweep, shrunk coefficient)
    accepted : ndarray of bool, shape (sweep,)
    """

    theta: Matrix
    log_tau: Vector
    log_c2: Vector
    log_local: Matrix
    accepted: NDArray[np.bool_]


@compiled
def advance(
    rng: Generator,
    rows: Rows,
    groups: Groups,
    prior: Prior,
    state: State,
    sweeps: int,
    independent: bool,
) -> tuple[State, Trace]:
    """Make so many sweeps; return where the chain then stands, and the draws."""
    theta = np.empty((sweeps, len(state.theta)))
    log_local = np.empty((sweeps, len(state.log_local)))
    log_tau, log_c2 = np.empty(sweeps), np.empty(sweeps)
    accepted = np.empty(sweeps, dtype=np.bool_)
    for t in range(sweeps):
        state = sweep(rng, rows, groups, prior, state, independent)
        log_tau[t], log_c2[t], accepted[t] = state.log_tau, state.log_c2, state.accepted
        for j in range(len(state.theta)):
            theta[t, j] = state.theta[j]
        for j in range(len(state.log_local)):
            log_local[t, j] = state.log_local[j]
    return state, Trace(theta, log_tau, log_c2, log_local, accepted)
