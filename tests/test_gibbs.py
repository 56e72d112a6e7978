"""Each piece of the Gibbs kernel against a truth computed without it, then the pieces together.

Two forms of test recur. *Invariance*: independent replicates start at exact draws of a law and make
one step; what results must follow that law exactly, and the Kolmogorov-Smirnov P value is exact.
*Proportionality*: a conditional must be the joint density, written here a second time with scipy,
up to a constant along the variable that it updates; θ is integrated out by quadrature.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import arviz_stats as azs
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, special, stats
from scipy.integrate import cumulative_trapezoid
from scipy.interpolate import CubicSpline

from bayes_cmvt import gibbs

type Array = NDArray[np.float64]

# Some 90 moments of independent draws are compared (two-sided P 7e-6 each) and 50 laws: a right
# sampler passes them all at 99 seeds of 100. The seeds are fixed.
STANDARD_ERRORS = 4.5
SMALLEST_P = 1e-4

# Quasi-continuous third column; the second has two values, -0.6 and, rarer, 1.2.
MATRIX = np.column_stack(
    [
        np.ones(12),
        [-0.6, -0.6, 1.2, -0.6, 1.2, -0.6, -0.6, 1.2, -0.6, -0.6, 1.2, -0.6],
        [0.3, -1.0, 0.2, 1.1, 0.4, -0.7, -0.8, 0.9, 1.5, -0.6, -0.3, -1.0],
    ]
)
OUTCOME = np.array([1, 0, 1, 0, 0, 0, 1, 1, 0, 0, 1, 0])
WEIGHTS = np.array([0.2, 0.31, 0.08, 0.24, 0.15, 0.4, 0.19, 0.27, 0.12, 0.05, 0.22, 0.3])


# The model, written a second time -----------------------------------------------------------------


def rows_of(matrix: Array, outcome: NDArray[np.int64]) -> gibbs.Rows:
    matrix = np.ascontiguousarray(matrix)
    centred = outcome - 0.5
    return gibbs.Rows(matrix, centred, matrix.T @ centred)


ROWS = rows_of(MATRIX, OUTCOME)


def a_prior(columns: int = 3, **changes: object) -> gibbs.Prior:
    values: dict[str, object] = {
        "mean": np.zeros(columns),
        "sd": np.array([2.5] + [1.0] * (columns - 1)),
        "shrunk": np.arange(1, columns),
        "family": gibbs.HORSESHOE,
        "scale": 1.3,
        "df": 4.0,
        "global_scale": 0.5,
        "slab_scale": 1.2,
        "slab_df": 5.0,
        "intercept_df": 0.0,
    }
    return gibbs.Prior(**(values | changes))  # type: ignore[arg-type]


BOTH_SHRUNK = a_prior()
ONE_SHRUNK = a_prior(
    mean=np.array([0.0, 0.0, 0.7]), sd=np.array([2.5, 1.0, 0.8]), shrunk=np.array([1])
)
priors = pytest.mark.parametrize(
    "prior", [BOTH_SHRUNK, ONE_SHRUNK], ids=["both shrunk", "one with a normal prior of its own"]
)


def a_state(prior: gibbs.Prior = BOTH_SHRUNK, **changes: object) -> gibbs.State:
    columns = len(prior.mean)
    values: dict[str, object] = {
        "theta": np.zeros(columns),
        "log_tau": -0.7,
        "log_c2": 0.4,
        "log_local": np.array([0.3, -0.9])[: len(prior.shrunk)].copy(),
        "intercept_mixture": 1.0,
        "mode": np.zeros(columns),
        "accepted": False,
    }
    return gibbs.State(**(values | changes))  # type: ignore[arg-type]


class Scales(NamedTuple):
    """log τ, log λ and log c²."""

    log_tau: float
    log_local: Array
    log_c2: float

    def variances(self, prior: gibbs.Prior) -> Array:
        v = np.square(prior.sd)
        products = np.exp(self.log_tau) * np.exp(self.log_local)
        v[prior.shrunk] = 1 / (1 / products**2 + 1 / np.exp(self.log_c2))
        return v

    def log_prior(self, prior: gibbs.Prior) -> float:
        """Densities of τ, λ and c², times the Jacobians of their logarithms."""
        half, rate = prior.slab_df / 2, prior.slab_df * prior.slab_scale**2 / 2
        return float(
            stats.halfcauchy(scale=prior.global_scale).logpdf(np.exp(self.log_tau))
            + self.log_tau
            + np.sum(stats.halfcauchy.logpdf(np.exp(self.log_local)) + self.log_local)
            + stats.invgamma(half, scale=rate).logpdf(np.exp(self.log_c2))
            + self.log_c2
        )


def scales_of(state: gibbs.State) -> Scales:
    return Scales(state.log_tau, state.log_local, state.log_c2)


def log_outcomes(theta: Array, rows: gibbs.Rows = ROWS) -> Array:
    """Logistic log-likelihood of coefficients along the last axis."""
    return special.log_expit(2 * rows.centred * (theta @ rows.matrix.T)).sum(axis=-1)


def log_coefficients(theta: Array, mean: Array, v: Array) -> Array:
    return stats.norm(mean, np.sqrt(v)).logpdf(theta).sum(axis=-1)


def log_weighted(theta: Array) -> Array:
    """Log p(y | θ) + log p(ω | θ) at the weights above, less log PG(ω; 1, 0).

    The density of PG(1, z) is cosh(z/2) exp(-z²ω/2) times that of PG(1, 0).
    """
    eta = theta @ MATRIX.T
    log_cosh = np.logaddexp(eta / 2, -eta / 2) - np.log(2)
    return log_outcomes(theta) + (log_cosh - WEIGHTS * eta**2 / 2).sum(axis=-1)


def log_integral(log_density: Callable[[Array], Array], centre: Array, precision: Array) -> float:
    """Log of an integral over θ by the trapezoidal rule.

    Nodes lie 0.6 apart, up to 8.4, in units that make the precision 1: for integrands like normal
    densities both errors are below 1e-14. Centre and precision only place the nodes.
    """
    root = np.linalg.inv(np.linalg.cholesky(precision)).T
    axis = 0.6 * np.arange(-14, 15)
    nodes = np.stack(np.meshgrid(*[axis] * len(centre), indexing="ij"), axis=-1)
    values = log_density(centre + nodes.reshape(-1, len(centre)) @ root.T)
    volume = abs(np.linalg.det(root)) * 0.6 ** len(centre)
    return float(special.logsumexp(values) + np.log(volume))


def log_marginal(prior: gibbs.Prior, scales: Scales) -> float:
    """Log p(y, ω, τ, λ, c²): the joint density with θ integrated out, less log PG(ω; 1, 0)."""
    v = scales.variances(prior)
    precision = MATRIX.T @ (WEIGHTS[:, np.newaxis] * MATRIX) + np.diag(1 / v)
    centre = np.linalg.solve(precision, ROWS.score + prior.mean / v)

    def log_joint(theta: Array) -> Array:
        return log_weighted(theta) + log_coefficients(theta, prior.mean, v)

    return log_integral(log_joint, centre, precision) + scales.log_prior(prior)


def gram_and_score(prior: gibbs.Prior) -> tuple[Array, Array]:
    gram = MATRIX.T @ (WEIGHTS[:, np.newaxis] * MATRIX)
    return gram, ROWS.score - gram @ prior.mean


def evidence_by_numpy(v: Array, gram: Array, score: Array) -> float:
    """Log N-integral with P = 1/v: ½ log|P| - ½ log|P + G| + ½ h'(P + G)⁻¹h."""
    precision = np.diag(1 / v) + gram
    log_ratio = np.linalg.slogdet(np.diag(1 / v))[1] - np.linalg.slogdet(precision)[1]
    return float(0.5 * (log_ratio + score @ np.linalg.solve(precision, score)))


# Laws and comparisons -----------------------------------------------------------------------------


class Tabulated:
    """A law on an interval, given by its log density less a constant; by the trapezoidal rule."""

    def __init__(
        self, log_density: Callable[[Array], Array], low: float, high: float, points: int = 4001
    ) -> None:
        self.x = np.linspace(low, high, points)
        values = log_density(self.x)
        density = np.exp(values - values.max())
        # the interval holds the law
        assert max(density[0], density[-1]) < 1e-6
        below = cumulative_trapezoid(density, self.x, initial=0)
        self.below = below / below[-1]

    def cdf(self, x: Array) -> Array:
        return np.interp(x, self.x, self.below)

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        return np.interp(rng.random(size), self.below, self.x)


class Grid:
    """A law on a rectangle, given by its log density less a constant at equidistant nodes."""

    def __init__(self, log_density: Callable[[Array], Array], *axes: Array) -> None:
        self.axes = axes
        values = log_density(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
        weights = np.exp(values - values.max())
        self.weights = weights / weights.sum()
        for j in range(len(axes)):  # the rectangle holds the law
            margin = self.margin(j)
            assert max(margin[0], margin[-1]) < 1e-6

    def margin(self, j: int) -> Array:
        return self.weights.sum(axis=tuple(k for k in range(len(self.axes)) if k != j))

    def moments(self, j: int) -> tuple[float, float]:
        mean = float(self.margin(j) @ self.axes[j])
        return mean, math.sqrt(self.margin(j) @ (self.axes[j] - mean) ** 2)

    def mean_and_covariance(self) -> tuple[Array, Array]:
        nodes = np.stack(np.meshgrid(*self.axes, indexing="ij"), axis=-1)
        nodes, weights = nodes.reshape(-1, len(self.axes)), self.weights.ravel()
        return weights @ nodes, np.cov(nodes.T, aweights=weights, ddof=0)

    def cdf(self, j: int) -> Callable[[Array], Array]:
        """Distribution function; a node's weight is spread over the cell around it."""
        step = self.axes[j][1] - self.axes[j][0]
        edges = np.append(self.axes[j] - step / 2, self.axes[j][-1] + step / 2)
        below = np.append(0.0, np.cumsum(self.margin(j)))
        return lambda x: np.interp(x, edges, below)

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        """Draw a node, then a point of the cell around it."""
        chosen = rng.choice(self.weights.size, size, p=self.weights.ravel())
        where = np.unravel_index(chosen, self.weights.shape)
        nodes = np.stack([axis[index] for axis, index in zip(self.axes, where, strict=True)], -1)
        step = np.array([axis[1] - axis[0] for axis in self.axes])
        return nodes + step * (rng.random(nodes.shape) - 0.5)


def assert_follows(draws: Array, cdf: Callable[[Array], Array]) -> None:
    """Kolmogorov-Smirnov for independent draws."""
    assert stats.kstest(draws, cdf).pvalue > SMALLEST_P


def assert_close_to(draws: Array, expected: float) -> None:
    """The mean of independent draws, within its Monte Carlo error."""
    error = draws.std() / math.sqrt(len(draws))
    assert abs(draws.mean() - expected) < STANDARD_ERRORS * error


def assert_proportional(found: Array, expected: Array, rounding: float = 1e-10) -> None:
    """Two log densities differ by a constant."""
    assert np.isfinite(found).all()
    assert np.ptp(found - expected) < rounding


# Pólya–Gamma weights ------------------------------------------------------------------------------

# 3.125 is where the proposal for the lower part changes over, 80 where the upper part vanishes
TILTS = [0.0, 1e-4, 0.5, 1.5, 3.1, 3.2, 6.0, 20.0, 79.0, 81.0, 150.0, 300.0]
tilts = pytest.mark.parametrize("tilt", TILTS)


def weights_at(tilt: float, size: int = 200_000, seed: int = 1) -> Array:
    return gibbs.draw_weights(np.random.default_rng(seed), np.full(size, tilt))


def weight_mean(z: float) -> float:
    return math.tanh(z / 2) / (2 * z) if z > 0 else 1 / 4


def weight_variance(z: float) -> float:
    """(sinh z - z) / (4z³ cosh²(z/2)), sinh z / cosh²(z/2) = 2 tanh(z/2); 1/24 + O(z²) near 0."""
    if z < 1e-3:
        return 1 / 24
    return (2 * math.tanh(z / 2) - z / math.cosh(z / 2) ** 2) / (4 * z**3)


@tilts
def test_weights_have_the_mean_and_the_variance_of_polya_gamma(tilt: float) -> None:
    draws = weights_at(tilt)
    assert_close_to(draws, weight_mean(tilt))
    assert_close_to((draws - weight_mean(tilt)) ** 2, weight_variance(tilt))


@tilts
def test_weights_have_the_laplace_transform_that_defines_polya_gamma(tilt: float) -> None:
    draws = weights_at(tilt, seed=2)
    # a negative argument brings out the upper tail; exp(-tω) keeps a finite fourth moment
    for times in (-0.2, 0.3, 1.0, 4.0):
        t = times / weight_mean(tilt)
        below = np.cosh(np.sqrt(complex(tilt**2 / 2 + t) / 2)).real  # a cosine where negative
        assert_close_to(np.exp(-t * draws), math.cosh(tilt / 2) / below)


def weight_law(tilt: float) -> Tabulated:
    """The density of PG(1, z) as one alternating series (Polson, Scott & Windle 2013, eq. 16)."""

    def log_density(x: Array) -> Array:
        n = np.arange(60)[:, np.newaxis]
        odd = 2 * n + 1
        first = odd * np.exp(-(odd**2 - 1) / (8 * x))
        series = ((-1.0) ** n * first).sum(axis=0)
        return np.log(series) - 1.5 * np.log(x) - 1 / (8 * x) - tilt**2 * x / 2

    mean, sd = weight_mean(tilt), math.sqrt(weight_variance(tilt))
    # beyond 3 the terms cancel too far; PG(1, 0) has a share of 1e-6 there
    return Tabulated(log_density, mean / 400, min(mean + 20 * sd, 3.0))


@tilts
def test_weights_follow_the_density_of_polya_gamma(tilt: float) -> None:
    assert_follows(weights_at(tilt, seed=3), weight_law(tilt).cdf)


@pytest.mark.parametrize("tilt", [0.5, 6.0])
def test_weights_follow_a_sum_of_exponentials(tilt: float) -> None:
    # ω = Σ E_k / ((k - ½)² + z²/4π²) / 2π² to 2000 terms: the rest has mean 1/(4000π²) = 2.5e-5,
    # against a standard deviation of 0.04 or more: far less than the test can see
    rng = np.random.default_rng(4)
    k = np.arange(1, 2001)
    factors = 1 / ((k - 0.5) ** 2 + tilt**2 / (4 * np.pi**2)) / (2 * np.pi**2)
    sums = np.concatenate([rng.standard_exponential((1000, 2000)) @ factors for _ in range(10)])
    assert stats.ks_2samp(sums, weights_at(tilt, 10_000, seed=5)).pvalue > SMALLEST_P


@pytest.mark.parametrize("tilt", [5e3, 1e8])
def test_weights_at_enormous_log_odds_keep_mean_and_variance(tilt: float) -> None:
    # tanh is 1 and 1/cosh 0 to the last digit
    draws = weights_at(tilt, seed=35)
    assert_close_to(draws, 1 / (2 * tilt))
    assert_close_to((draws - 1 / (2 * tilt)) ** 2, 1 / (2 * tilt**3))


def test_the_sign_of_the_log_odds_does_not_matter_to_the_weights() -> None:
    eta = np.array([0.5, 3.2, 20.0, 300.0])
    one, other = (gibbs.draw_weights(np.random.default_rng(6), sign * eta) for sign in (1, -1))
    np.testing.assert_array_equal(one, other)


def test_each_patient_has_a_weight_at_its_own_log_odds() -> None:
    eta = np.tile([0.0, 6.0, -20.0], 60_000)
    draws = gibbs.draw_weights(np.random.default_rng(7), eta)
    for index, tilt in enumerate([0.0, 6.0, 20.0]):
        assert_close_to(draws[index::3], weight_mean(tilt))


# The slice step -----------------------------------------------------------------------------------


@numba.njit
def log_normal(x: float, sd: float) -> float:
    return -0.5 * (x / sd) ** 2


@numba.njit
def log_of_gamma(x: float, shape: float) -> float:
    return shape * x - math.exp(x)


@numba.njit
def log_of_half_cauchy(x: float, scale: float) -> float:
    return x - math.log(1 + (math.exp(x) / scale) ** 2)


class TwoNormals(NamedTuple):
    """Modes at -1 and 1."""

    sd: float
    share: float


@numba.njit
def log_two_normals(x: float, mixture: TwoNormals) -> float:
    lower = math.exp(-0.5 * ((x + 1) / mixture.sd) ** 2)
    upper = math.exp(-0.5 * ((x - 1) / mixture.sd) ** 2)
    return math.log(mixture.share * lower + (1 - mixture.share) * upper)


normal_step = gibbs.slice_sampler(log_normal)
gamma_step = gibbs.slice_sampler(log_of_gamma)
half_cauchy_step = gibbs.slice_sampler(log_of_half_cauchy)
mixture_step = gibbs.slice_sampler(log_two_normals)


@pytest.mark.parametrize("sd", [0.01, 1.0, 100.0])
def test_a_slice_step_on_a_single_mode_is_uniform_on_the_slice(sd: float) -> None:
    # From x the level leaves |x'| < r, r² = x² + 2 sd² E, E exponential. Steps of 1.5 without a
    # limit reach its ends though they lie 100 steps away, shrinkage finds 1 % of the first width.
    rng = np.random.default_rng(8)
    x = 0.8 * sd
    found = np.array([normal_step(rng, x, sd, 1.5) for _ in range(5000)])
    levels = -np.log1p(-(np.arange(2000) + 0.5) / 2000)  # quantiles of E
    reach = np.sqrt(x**2 + 2 * sd**2 * levels)

    def cdf(values: Array) -> Array:
        return np.clip((values[:, np.newaxis] / reach + 1) / 2, 0, 1).mean(axis=1)

    assert_follows(found, cdf)


type Step = Callable[[np.random.Generator, float, float, float], float]


def one_step_from_each(step: Step, starts: Array, parameter: float) -> Array:
    rng = np.random.default_rng(9)
    found = np.array([step(rng, x, parameter, 1.5) for x in starts])
    assert (found != starts).all()
    return found


@pytest.mark.parametrize("sd", [0.01, 1.0, 100.0])
def test_slice_steps_leave_normals_invariant(sd: float) -> None:
    law = stats.norm(0, sd)
    assert_follows(one_step_from_each(normal_step, law.rvs(10_000, random_state=10), sd), law.cdf)


@pytest.mark.parametrize("shape", [0.3, 4.0])
def test_slice_steps_leave_skewed_laws_invariant(shape: float) -> None:
    law = stats.loggamma(shape)
    assert_follows(one_step_from_each(gamma_step, law.rvs(10_000, random_state=11), shape), law.cdf)


def test_slice_steps_leave_a_half_cauchy_invariant_on_its_logarithm() -> None:
    law = stats.halfcauchy(scale=0.04)
    starts = np.log(law.rvs(10_000, random_state=12))
    assert_follows(np.exp(one_step_from_each(half_cauchy_step, starts, 0.04)), law.cdf)


def test_slice_steps_leave_two_modes_invariant_and_cross_between_them() -> None:
    mixture = TwoNormals(0.3, 0.7)
    rng = np.random.default_rng(14)
    sides = np.where(rng.random(10_000) < mixture.share, -1, 1)
    starts = sides + mixture.sd * rng.standard_normal(10_000)
    found = np.array([mixture_step(rng, x, mixture, 1.5) for x in starts])

    def cdf(x: Array) -> Array:
        lower, upper = (stats.norm(mode, mixture.sd).cdf(x) for mode in (-1, 1))
        return mixture.share * lower + (1 - mixture.share) * upper

    assert_follows(found, cdf)
    # reversible: as many steps lead up as down; of so many equal ones the excess is binomial
    up, down = np.sum((starts < 0) & (found > 0)), np.sum((starts > 0) & (found < 0))
    assert down > 100
    assert abs(up - down) < STANDARD_ERRORS * math.sqrt(up + down)


# Densities ----------------------------------------------------------------------------------------

LOGARITHMS = np.linspace(-12, 12, 25)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 40.0])
def test_half_cauchy_is_that_of_scipy_on_the_logarithm(scale: float) -> None:
    found = np.array([gibbs.log_half_cauchy(x, scale) for x in LOGARITHMS])
    expected = stats.halfcauchy(scale=scale).logpdf(np.exp(LOGARITHMS)) + LOGARITHMS
    assert_proportional(found, expected)


@pytest.mark.parametrize(("shape", "rate"), [(2.0, 8.0), (0.5, 0.01)])
def test_inverse_gamma_is_that_of_scipy_on_the_logarithm(shape: float, rate: float) -> None:
    points = np.linspace(-3, 12, 16)
    found = np.array([gibbs.log_inverse_gamma(x, shape, rate) for x in points])
    assert_proportional(found, stats.invgamma(shape, scale=rate).logpdf(np.exp(points)) + points)


@settings(max_examples=50, deadline=None)
@given(st.floats(-20, 20), st.floats(-20, 20), st.floats(-20, 20))
def test_variance_is_that_of_the_regularised_horseshoe(
    log_tau: float, log_local: float, log_c2: float
) -> None:
    tau2, local2, c2 = np.exp([2 * log_tau, 2 * log_local, log_c2])
    # Piironen & Vehtari 2017, eq. 2.8
    expected = tau2 * (c2 * local2 / (c2 + tau2 * local2))
    assert gibbs.horseshoe_variance(log_tau, log_local, log_c2) == pytest.approx(
        expected, rel=1e-12
    )


@pytest.mark.parametrize(
    ("log_tau", "log_local", "expected"),
    [(-500.0, -500.0, 0.0), (-500.0, 500.0, 0.8), (500.0, 500.0, 4.0), (-500.0, 0.0, 0.0)],
)
def test_extreme_scales_give_the_limits_of_the_variance(
    log_tau: float, log_local: float, expected: float
) -> None:
    found = gibbs.horseshoe_variance(log_tau, log_local, math.log(4))
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("extreme", [-500.0, -50.0, 50.0, 500.0])
def test_far_out_the_conditionals_fall_like_the_half_cauchy(extreme: float) -> None:
    # the evidence tends to a constant: where all is shrunk, and where the slab rules
    gram, score = gram_and_score(BOTH_SHRUNK)
    fixed = gibbs.GlobalGiven(a_state(), BOTH_SHRUNK, gram, score)
    local = gibbs.LocalGiven(-0.7, 0.4, 3.0, 2.0)
    further = extreme + math.copysign(10, extreme)
    for density in (
        lambda x: gibbs.log_global_density(x, fixed),
        lambda x: gibbs.log_local_density(x, local),
    ):
        assert density(further) - density(extreme) == pytest.approx(-10, abs=1e-10)


SETTINGS = [(2.5, 0.8, 0.3), (2.5, 1e-3, 1.0), (0.1, 4.0, 0.3), (10.0, 1.0, 50.0)]


@pytest.mark.parametrize("mean", [(0.0, 0.0, 0.0), (0.4, -0.3, 1.1)])
def test_evidence_is_the_integral_over_the_coefficients(mean: tuple[float, ...]) -> None:
    gram, _ = gram_and_score(BOTH_SHRUNK)
    m = np.array(mean)
    score = ROWS.score - gram @ m
    # the constant that is left out depends on the prior means, not on the variances
    dropped = ROWS.score @ m - m @ gram @ m / 2
    for sd in map(np.array, SETTINGS):
        precision = gram + np.diag(1 / sd**2)

        def log_integrand(theta: Array, sd: Array = sd) -> Array:
            quadratic = np.einsum("...i,ij,...j", theta, gram, theta) / 2
            return theta @ ROWS.score - quadratic + log_coefficients(theta, m, sd**2)

        centre = m + np.linalg.solve(precision, score)
        expected = log_integral(log_integrand, centre, precision) - dropped
        assert gibbs.log_evidence(sd, gram, score) == pytest.approx(expected, abs=1e-10)
        assert evidence_by_numpy(sd**2, gram, score) == pytest.approx(expected, abs=1e-10)


def test_a_coefficient_without_variance_adds_nothing_to_the_evidence() -> None:
    gram, score = gram_and_score(BOTH_SHRUNK)
    found = gibbs.log_evidence(np.array([2.5, 0.0, 0.6]), gram, score)
    rest = np.ix_([0, 2], [0, 2])
    expected = evidence_by_numpy(np.array([2.5, 0.6]) ** 2, gram[rest], score[[0, 2]])
    assert found == pytest.approx(expected, abs=1e-12)


def test_score_is_taken_at_the_prior_mean() -> None:
    gram, score = gram_and_score(ONE_SHRUNK)
    found = gibbs.prior_score(ROWS, ONE_SHRUNK, gram)
    # the gradient of κ'Xθ - ½θ'Gθ at m, by central differences: exact for a quadratic
    for j, unit in enumerate(np.eye(3)):
        ahead, behind = ONE_SHRUNK.mean + unit, ONE_SHRUNK.mean - unit
        slope = ROWS.score @ (ahead - behind) - (ahead @ gram @ ahead - behind @ gram @ behind) / 2
        assert found[j] == pytest.approx(slope / 2, abs=1e-13)
    np.testing.assert_allclose(found, score, atol=1e-14)


# Each conditional against the joint density -------------------------------------------------------

POINTS = np.linspace(-5, 4, 7)


@priors
def test_global_conditional_is_the_joint_density_without_the_coefficients(
    prior: gibbs.Prior,
) -> None:
    state = a_state(prior)
    fixed = gibbs.GlobalGiven(state, prior, *gram_and_score(prior))
    found = np.array([gibbs.log_global_density(x, fixed) for x in POINTS])
    scales = scales_of(state)
    expected = np.array([log_marginal(prior, scales._replace(log_tau=x)) for x in POINTS])
    assert_proportional(found, expected)


def local_given(scales: Scales, v: float, information: float, score: float) -> gibbs.LocalGiven:
    """What the data say about β_j alone, from M and w: s = M/(1 - vM), r = w/(1 - vM)."""
    inflation = 1 / (1 - v * information)
    return gibbs.LocalGiven(
        scales.log_tau, scales.log_c2, information * inflation, score * inflation
    )


@pytest.mark.parametrize("v", [1e-12, 1e-3, 1.0, 100.0, 1e4])
def test_the_normal_estimate_of_one_coefficient_does_not_depend_on_its_variance(v: float) -> None:
    gram, score = gram_and_score(BOTH_SHRUNK)
    sd = np.array([2.5, math.sqrt(v), 0.6])
    information, pulled = gibbs.integrated_information(sd, gram, score)
    found = local_given(scales_of(a_state()), v, information[1, 1], pulled[1])
    # Schur complement: the other two integrated out
    rest = np.ix_([0, 2], [0, 2])
    others = np.linalg.solve(gram[rest] + np.diag(1 / sd[[0, 2]] ** 2), gram[[0, 2], 1])
    expected = gram[1, 1] - gram[1, [0, 2]] @ others
    # M is near 1/v, and 1 - vM near 1/(vs): the rounding error of G counts (vs)² times
    rounding = 1e-14 * (1 + v * expected) ** 2
    assert found.information == pytest.approx(expected, rel=rounding)
    assert found.score == pytest.approx(score[1] - score[[0, 2]] @ others, rel=rounding)


def along_local(prior: gibbs.Prior, scales: Scales, index: int) -> Array:
    expected = []
    for x in POINTS:
        log_local = scales.log_local.copy()
        log_local[index] = x
        expected.append(log_marginal(prior, scales._replace(log_local=log_local)))
    return np.array(expected)


@priors
def test_local_conditionals_are_the_joint_density_also_after_others_have_moved(
    prior: gibbs.Prior,
) -> None:
    scales = scales_of(a_state(prior))
    gram, score = gram_and_score(prior)
    v = scales.variances(prior)
    information, pulled = gibbs.integrated_information(np.sqrt(v), gram, score)
    for index, moved in enumerate([1.7, -2.0][: len(prior.shrunk)]):
        j = prior.shrunk[index]
        fixed = local_given(scales, v[j], information[j, j], pulled[j])
        found = np.array([gibbs.log_local_density(x, fixed) for x in POINTS])
        assert_proportional(found, along_local(prior, scales, index))
        scales.log_local[index] = moved
        changed = scales.variances(prior)
        gibbs.change_variance(information, pulled, j, changed[j] - v[j])
        v = changed
    expected = gibbs.integrated_information(np.sqrt(v), gram, score)
    np.testing.assert_allclose(information, expected[0], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(pulled, expected[1], rtol=1e-12, atol=1e-14)


THETA = np.array([-0.4, 0.9, -0.2])


def log_joint(prior: gibbs.Prior, theta: Array, scales: Scales) -> float:
    """Log p(y, θ, τ, λ, c²): logistic likelihood, normal priors, priors of the scales."""
    coefficients = log_coefficients(theta, prior.mean, scales.variances(prior))
    return float(log_outcomes(theta) + coefficients) + scales.log_prior(prior)


@priors
def test_shift_conditional_is_the_joint_density_along_the_line(prior: gibbs.Prior) -> None:
    state = a_state(prior)
    fixed = gibbs.ShiftGiven(state.log_tau + state.log_local, prior.global_scale)
    found = np.array([gibbs.log_shift_density(state.log_tau + a, fixed) for a in POINTS])
    expected = [
        log_joint(prior, THETA, Scales(state.log_tau + a, state.log_local - a, state.log_c2))
        for a in POINTS
    ]
    assert_proportional(found, np.array(expected))


@priors
def test_slab_conditional_is_the_joint_density(prior: gibbs.Prior) -> None:
    scales = scales_of(a_state(prior))
    beta = gibbs.shrunk_part(prior, THETA)
    products = gibbs.shifted(scales.log_local, scales.log_tau)
    fixed = gibbs.SlabGiven(beta, products, prior.slab_scale, prior.slab_df)
    found = np.array([gibbs.log_slab_density(x, fixed) for x in POINTS])
    expected = [log_joint(prior, THETA, scales._replace(log_c2=x)) for x in POINTS]
    assert_proportional(found, np.array(expected))


ALL, RARER = 0, 1


def groups_of(rows: gibbs.Rows) -> gibbs.Groups:
    """All patients, and those at 1.2 in the second column."""
    rarer = np.flatnonzero(rows.matrix[:, 1] == 1.2)
    patients = len(rows.matrix)
    return gibbs.Groups(
        member=np.append(np.arange(patients), rarer),
        start=np.array([0, patients, patients + len(rarer)]),
        events=np.array([np.sum(rows.centred > 0), np.sum(rows.centred[rarer] > 0)], dtype=float),
        column=np.array([0, 1]),
        # (0.6 + value) / 1.8 is 1 at the value 1.2 and 0 at -0.6
        of_alpha=np.array([1.0, 0.6 / 1.8]),
        of_beta=np.array([0.0, 1 / 1.8]),
        width=np.array([1.0, 2.5]),
    )


GROUPS = groups_of(ROWS)
groups = pytest.mark.parametrize("group", [ALL, RARER], ids=["all patients", "the rarer level"])


def direction(group: int) -> Array:
    return np.array([GROUPS.of_alpha[group], GROUPS.of_beta[group], 0.0])


def members(group: int) -> NDArray[np.int64]:
    return GROUPS.member[GROUPS.start[group] : GROUPS.start[group + 1]]


@groups
def test_group_conditional_is_the_exact_posterior_along_the_line(group: int) -> None:
    v, mean = np.array([2.5, 0.6, 1.1]) ** 2, np.array([0.0, 0.3, 0.0])
    line = direction(group)
    fixed = gibbs.GroupGiven(
        np.exp(MATRIX[members(group)] @ THETA),
        GROUPS.events[group],
        -float(np.sum(line * (THETA - mean) / v)),
        float(np.sum(line**2 / v)),
    )
    found = np.array([gibbs.log_group_density(x, fixed) for x in POINTS])
    along = THETA + POINTS[:, np.newaxis] * line
    assert_proportional(found, log_outcomes(along) + log_coefficients(along, mean, v))


def test_large_groups_lose_nothing_to_overflow() -> None:
    # 3000 factors of e⁻⁹ to e²⁹ have a product far beyond the largest double
    eta = np.linspace(-9, 29, 3000)
    fixed = gibbs.GroupGiven(np.exp(eta), 1200.0, 0.4, 0.1)
    for x in (-20.0, 0.0, 3.0):
        expected = 1200.4 * x - 0.05 * x**2 - np.logaddexp(0, eta + x).sum()
        assert gibbs.log_group_density(x, fixed) == pytest.approx(expected, rel=1e-12)


# Linear algebra -----------------------------------------------------------------------------------


class Normal(NamedTuple):
    """A problem of linear algebra: √v, G and h."""

    sd: Array
    gram: Array
    score: Array


def a_normal(seed: int, size: int, rank: int) -> Normal:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rank, size))
    return Normal(
        np.exp(rng.normal(0, 1.5, size)), matrix.T @ matrix, matrix.T @ rng.normal(size=rank)
    )


# as many rows as columns and more, and fewer: then G is singular
normals = st.builds(a_normal, st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 12))
few = settings(max_examples=40, deadline=None)


@pytest.mark.parametrize("patients", [1, 7, 511, 512, 513, 1024, 1300])
def test_weighted_gram_in_blocks_is_that_of_numpy(patients: int) -> None:
    rng = np.random.default_rng(15)
    matrix, weights = rng.normal(size=(patients, 4)), rng.exponential(size=patients)
    expected = np.einsum("ij,i,ik->jk", matrix, weights, matrix)
    found = gibbs.weighted_gram(matrix, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-11)


@few
@given(normals)
def test_root_is_the_cholesky_factor_of_the_precision(normal: Normal) -> None:
    sd, gram, _ = normal
    precision = np.eye(len(sd)) + np.diag(sd) @ gram @ np.diag(sd)
    root = gibbs.posterior_root(sd, gram)
    assert np.array_equal(root, np.triu(root))
    assert (np.diag(root) > 0).all()
    np.testing.assert_allclose(root.T @ root, precision, rtol=1e-12, atol=1e-12 * precision.max())


@few
@given(normals)
def test_triangles_are_multiplied_and_solved(normal: Normal) -> None:
    sd, gram, score = normal
    root = gibbs.posterior_root(sd, gram)
    np.testing.assert_allclose(gibbs.product(root, score), root @ score, rtol=1e-12, atol=1e-10)
    # the diagonal of U is at least 1, so that the residual tells
    reach = 1e-12 * (1 + np.abs(root).max() ** 2 + np.abs(score).max())
    solved = gibbs.solve(root, score)
    np.testing.assert_allclose(root @ solved, score, atol=reach * (1 + np.abs(solved).max()))
    solved = gibbs.solve_transposed(root, score)
    np.testing.assert_allclose(root.T @ solved, score, atol=reach * (1 + np.abs(solved).max()))


def information_by_numpy(v: Array, gram: Array, score: Array) -> tuple[Array, Array]:
    """M = (G⁻¹ + V)⁻¹ = (I + GV)⁻¹G and w = MG⁻¹h = (I + GV)⁻¹h, for G of any rank."""
    left = np.eye(len(v)) + gram * v
    return np.linalg.solve(left, gram), np.linalg.solve(left, score)


@few
@given(normals)
def test_integrated_information_is_that_of_numpy(normal: Normal) -> None:
    sd, gram, score = normal
    information, remaining = gibbs.integrated_information(sd, gram, score)
    expected, rest = information_by_numpy(sd**2, gram, score)
    # M = G - A'A loses digits where vG is large
    rounding = 1e-13 * (1 + (sd**2).max() * gram.max())
    np.testing.assert_allclose(information, expected, atol=rounding * gram.max())
    np.testing.assert_allclose(remaining, rest, atol=rounding * (1 + np.abs(score).max()))


def test_integrated_information_inverts_where_it_can() -> None:
    sd, gram, score = a_normal(16, 4, 9)
    information, remaining = gibbs.integrated_information(sd, gram, score)
    inverse = np.linalg.inv(gram)
    expected = np.linalg.inv(inverse + np.diag(sd**2))
    np.testing.assert_allclose(information, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(remaining, expected @ inverse @ score, rtol=1e-9, atol=1e-12)


@few
@given(normals, st.integers(0, 5), st.floats(0.01, 100))
def test_a_changed_variance_is_the_same_as_starting_afresh(
    normal: Normal, position: int, factor: float
) -> None:
    sd, gram, score = normal
    j = position % len(sd)
    information, remaining = gibbs.integrated_information(sd, gram, score)
    v = sd**2
    v[j] *= factor
    gibbs.change_variance(information, remaining, j, v[j] - sd[j] ** 2)
    expected, rest = information_by_numpy(v, gram, score)
    rounding = 1e-12 * (1 + max(v.max(), (sd**2).max()) * gram.max())
    np.testing.assert_allclose(information, expected, atol=rounding * gram.max())
    np.testing.assert_allclose(remaining, rest, atol=rounding * (1 + np.abs(score).max()))


# Moves given the weights --------------------------------------------------------------------------


@priors
def test_prior_deviations_are_those_of_the_family(prior: gibbs.Prior) -> None:
    state = a_state(prior)
    scale = np.sqrt(2.0)  # of the intercept, from its mixture
    arguments = (state.log_tau, state.log_c2, state.log_local, 2.0)
    horseshoe = np.sqrt(scales_of(state).variances(prior))
    normal, student = prior.sd.copy(), prior.sd.copy()
    normal[prior.shrunk] = prior.scale
    student[prior.shrunk] = prior.scale * np.exp(state.log_local)
    families = {
        gibbs.HORSESHOE: horseshoe,
        gibbs.NORMAL: normal,
        gibbs.STUDENT_T: student,
    }
    for family, expected in families.items():
        expected[0] = 2.5 * scale
        found = gibbs.prior_sd(prior._replace(family=family), *arguments)
        np.testing.assert_allclose(found, expected, rtol=1e-14)


@priors
def test_coefficients_are_drawn_from_their_normal_posterior(prior: gibbs.Prior) -> None:
    gram, score = gram_and_score(prior)
    v = np.array([2.5, 0.3, 0.8]) ** 2
    precision = gram + np.diag(1 / v)
    mean = np.linalg.solve(precision, ROWS.score + prior.mean / v)
    rng = np.random.default_rng(17)
    draws = np.array([gibbs.draw_theta(rng, prior, np.sqrt(v), gram, score) for _ in range(20_000)])
    # independent N(0, 1) after whitening by numpy
    white = (draws - mean) @ np.linalg.cholesky(precision)
    for j in range(3):
        assert_follows(white[:, j], stats.norm.cdf)
        for k in range(j):
            assert_close_to(white[:, j] * white[:, k], 0.0)


def test_global_scale_keeps_its_conditional() -> None:
    prior, state = BOTH_SHRUNK, a_state()
    gram, score = gram_and_score(prior)
    scales = scales_of(state)

    def log_density(x: Array) -> Array:
        each = (scales._replace(log_tau=value) for value in x)
        return np.array(
            [evidence_by_numpy(s.variances(prior), gram, score) + s.log_prior(prior) for s in each]
        )

    law = Tabulated(log_density, -16, 15, 601)
    rng = np.random.default_rng(18)
    starts = law.draw(rng, 5000)
    found = np.array(
        [gibbs.draw_global(rng, prior, state._replace(log_tau=x), gram, score) for x in starts]
    )
    assert (found != starts).all()
    assert_follows(found, law.cdf)


def test_local_scales_keep_their_conditional_together() -> None:
    # two columns that correlate: either coefficient can explain the outcome, so that each scale
    # depends on the other
    prior, log_tau = BOTH_SHRUNK, -1.5
    gram = np.array([[30.0, 3.0, -2.0], [3.0, 30.0, 27.0], [-2.0, 27.0, 30.0]])
    score = np.array([-4.0, 21.0, 20.0])
    axis = np.arange(-15, 15, 0.1)

    def log_density(log_local: Array) -> Array:
        flat = log_local.reshape(-1, 2)
        v = np.full((len(flat), 3), 2.5**2)
        v[:, 1:] = 1 / (np.exp(-2 * (log_tau + flat)) + np.exp(-0.4))
        precision = gram + np.eye(3) / v[:, np.newaxis]
        fitted = score @ np.linalg.solve(precision, score[:, np.newaxis])[..., 0].T
        half_cauchy = stats.halfcauchy.logpdf(np.exp(flat)) + flat
        values = fitted - np.linalg.slogdet(precision)[1] - np.log(v).sum(axis=1)
        return (values / 2 + half_cauchy.sum(axis=1)).reshape(log_local.shape[:-1])

    law = Grid(log_density, axis, axis)
    rng = np.random.default_rng(19)
    starts = law.draw(rng, 5000)
    found = np.array(
        [
            gibbs.draw_locals(rng, prior, a_state(log_local=start), log_tau, gram, score)
            for start in starts
        ]
    )
    assert (found != starts).all()
    for j in range(2):
        assert_follows(found[:, j], law.cdf(j))
    # together: how often both lie on the same side of their means
    middle = np.array([law.moments(j)[0] for j in range(2)])
    same_side = (axis > middle[0])[:, np.newaxis] == (axis > middle[1])
    agree = (found[:, 0] > middle[0]) == (found[:, 1] > middle[1])
    assert_close_to(agree.astype(float), law.weights[same_side].sum())


def test_slab_keeps_its_conditional() -> None:
    prior, scales = BOTH_SHRUNK, scales_of(a_state())

    def log_density(x: Array) -> Array:
        return np.array([log_joint(prior, THETA, scales._replace(log_c2=value)) for value in x])

    law = Tabulated(log_density, -6, 12, 401)
    rng = np.random.default_rng(20)
    starts = law.draw(rng, 5000)
    products, beta = scales.log_tau + scales.log_local, THETA[1:].copy()
    found = np.array([gibbs.draw_slab(rng, prior, beta, products, x) for x in starts])
    assert (found != starts).all()
    assert_follows(found, law.cdf)


@pytest.mark.parametrize(("deviation", "df"), [(0.0, 3.0), (2.7, 4.0), (-2.7, 4.0)])
def test_mixture_follows_its_inverse_gamma(deviation: float, df: float) -> None:
    rng = np.random.default_rng(21)
    found = np.array([gibbs.draw_mixture(rng, deviation, df) for _ in range(20_000)])
    assert_follows(found, stats.invgamma((df + 1) / 2, scale=(df + deviation**2) / 2).cdf)


def test_mixture_and_normal_together_are_a_student_t() -> None:
    rng = np.random.default_rng(22)
    starts = stats.t(3).rvs(20_000, random_state=23)
    mixture = np.array([gibbs.draw_mixture(rng, x, 3.0) for x in starts])
    assert_follows(mixture, stats.invgamma(1.5, scale=1.5).cdf)
    assert_follows(np.sqrt(mixture) * rng.standard_normal(20_000), stats.t(3).cdf)


# Groups of patients -------------------------------------------------------------------------------

GROUP_PRIOR = a_prior(mean=np.array([0.0, 0.3, 0.0]), shrunk=np.array([2]))
GROUP_SD = np.array([2.5, 0.6, 1.1])


def one_group(group: int) -> gibbs.Groups:
    chosen = slice(group, group + 1)
    return gibbs.Groups(
        members(group).copy(),
        np.array([0, len(members(group))]),
        GROUPS.events[chosen],
        GROUPS.column[chosen],
        GROUPS.of_alpha[chosen],
        GROUPS.of_beta[chosen],
        GROUPS.width[chosen],
    )


@groups
def test_group_moves_keep_the_exact_posterior_along_their_line(group: int) -> None:
    line = direction(group)

    def log_density(x: Array) -> Array:
        along = THETA + x[:, np.newaxis] * line
        return log_outcomes(along) + log_coefficients(along, GROUP_PRIOR.mean, GROUP_SD**2)

    law = Tabulated(log_density, -8, 8)
    rng = np.random.default_rng(24)
    starts = law.draw(rng, 5000)
    moved = THETA + starts[:, np.newaxis] * line
    for theta in moved:
        gibbs.move_groups(rng, ROWS, one_group(group), GROUP_PRIOR, GROUP_SD, theta)
    found = (moved - THETA)[:, 0] / line[0]
    np.testing.assert_allclose(moved, THETA + found[:, np.newaxis] * line, atol=1e-12)
    assert (found != starts).all()
    assert_follows(found, law.cdf)


@groups
def test_group_moves_change_the_log_odds_of_members_alone(group: int) -> None:
    theta = THETA.copy()
    rng = np.random.default_rng(25)
    log_odds = gibbs.move_groups(rng, ROWS, one_group(group), GROUP_PRIOR, GROUP_SD, theta)
    np.testing.assert_allclose(log_odds, MATRIX @ theta, atol=1e-14)
    change = MATRIX @ (theta - THETA)
    inside = np.isin(np.arange(12), members(group))
    assert abs(change[inside]).min() > 1e-3
    # equal to rounding
    assert np.ptp(change[inside]) < 1e-14
    np.testing.assert_allclose(change[~inside], 0, atol=1e-15)


def test_one_call_moves_each_group_from_where_the_last_one_left() -> None:
    # a draw that the first width already holds does not tell where the density lies: 100 calls do
    rng, again = np.random.default_rng(26), np.random.default_rng(26)
    together, one_by_one = THETA.copy(), THETA.copy()
    for _ in range(100):
        log_odds = gibbs.move_groups(rng, ROWS, GROUPS, GROUP_PRIOR, GROUP_SD, together)
        np.testing.assert_allclose(log_odds, MATRIX @ together, atol=1e-13)
        for group in (ALL, RARER):
            gibbs.move_groups(again, ROWS, one_group(group), GROUP_PRIOR, GROUP_SD, one_by_one)
    np.testing.assert_allclose(together, one_by_one, rtol=1e-10)


# Independence step --------------------------------------------------------------------------------


def test_likelihood_is_that_of_scipy() -> None:
    for theta in (np.zeros(3), THETA, 3 * THETA):
        expected = stats.bernoulli.logpmf(OUTCOME, special.expit(MATRIX @ theta)).sum()
        assert gibbs.log_likelihood(ROWS, theta) == pytest.approx(expected, rel=1e-12)


def test_likelihood_of_certain_predictions_is_0_or_minus_the_log_odds() -> None:
    rows = rows_of(np.array([[1000.0], [-1000.0]]), np.array([1, 0]))
    assert gibbs.log_likelihood(rows, np.array([1.0])) == 0
    assert gibbs.log_likelihood(rows, np.array([-1.0])) == -2000


class Hard(NamedTuple):
    """A problem for Newton's method."""

    rows: gibbs.Rows
    prior: gibbs.Prior
    sd: Array


def separated() -> Hard:
    rng = np.random.default_rng(27)
    matrix = np.column_stack([np.ones(60), rng.normal(size=(60, 2))])
    rows = rows_of(matrix, (matrix[:, 1] > 1.0).astype(int))
    return Hard(rows, ONE_SHRUNK, np.array([5.0, 40.0, 1e-4]))


HARD = {
    "twelve patients": Hard(ROWS, ONE_SHRUNK, np.array([2.5, 0.3, 0.8])),
    "complete separation under a wide prior": separated(),
}
hard = pytest.mark.parametrize("problem", HARD.values(), ids=HARD.keys())


def minus_log_posterior(u: Array, problem: Hard) -> float:
    theta = problem.prior.mean + problem.sd * u
    return -float(log_outcomes(theta, problem.rows)) + float(u @ u) / 2


@hard
def test_mode_is_that_of_scipy_with_its_curvature(problem: Hard) -> None:
    rows, prior, sd = problem
    mode, root = gibbs.posterior_mode(rows, prior, sd, np.zeros(3))
    risk = special.expit(rows.matrix @ (prior.mean + sd * mode))
    gradient = sd * (rows.matrix.T @ (rows.centred + 0.5 - risk)) - mode
    weighted = rows.matrix * (risk * (1 - risk))[:, np.newaxis]
    curvature = np.eye(3) + sd[:, np.newaxis] * (rows.matrix.T @ weighted) * sd
    np.testing.assert_allclose(root.T @ root, curvature, rtol=1e-9, atol=1e-9)
    # within 1e-9 posterior standard deviations of a point without slope
    assert np.linalg.norm(np.linalg.solve(root.T, gradient)) < 1e-9
    found = optimize.minimize(minus_log_posterior, np.zeros(3), (problem,), "BFGS", tol=1e-6)
    # scipy stops at a slope of 1e-6, and the curvature is at least 1; differences cost the rest
    np.testing.assert_allclose(mode, found.x, atol=1e-4)
    assert minus_log_posterior(mode, problem) <= found.fun + 1e-12 * abs(found.fun)


@hard
def test_mode_does_not_depend_on_where_the_search_starts(problem: Hard) -> None:
    rows, prior, sd = problem
    starts = [np.zeros(3), np.array([3.0, -2.0, 5.0]), np.array([-30.0, 30.0, -30.0])]
    modes = [gibbs.posterior_mode(rows, prior, sd, start)[0] for start in starts]
    for mode in modes[1:]:
        np.testing.assert_allclose(mode, modes[0], atol=1e-9)


# One event among twenty and a wide prior: skewed, and far from the t distribution that proposes
RARE = rows_of(
    np.column_stack([np.ones(20), np.linspace(-1.6, 1.7, 20)]), (np.arange(20) == 15).astype(int)
)
RARE_PRIOR = a_prior(2, family=gibbs.NORMAL, mean=np.array([0.0, 0.5]))
RARE_SD = np.array([4.0, 2.0])


def rare_law() -> Grid:
    def log_density(theta: Array) -> Array:
        return log_outcomes(theta, RARE) + log_coefficients(theta, RARE_PRIOR.mean, RARE_SD**2)

    return Grid(log_density, np.arange(-20, 5, 0.05), np.arange(-8, 10, 0.05))


def independence_steps(rng: np.random.Generator, theta: Array, steps: int) -> Array:
    for _ in range(steps):
        moved, _, accepted = gibbs.independence_step(
            rng, RARE, RARE_PRIOR, RARE_SD, theta, np.zeros(2)
        )
        assert accepted == (moved != theta).all()
        theta = moved
    return theta


def follow_rare_law(found: Array, law: Grid) -> None:
    for j in range(2):
        assert_follows(found[:, j], law.cdf(j))
    # sees tails that are too light or too heavy: the squared Mahalanobis distance has mean 2
    mean, covariance = law.mean_and_covariance()
    white = np.linalg.solve(np.linalg.cholesky(covariance), (found - mean).T)
    assert_close_to(np.sum(white**2, axis=0), 2.0)


def test_independence_steps_keep_the_exact_posterior() -> None:
    law, rng = rare_law(), np.random.default_rng(28)
    starts = law.draw(rng, 2000)
    follow_rare_law(np.array([independence_steps(rng, theta, 20) for theta in starts]), law)


def test_independence_steps_reach_the_exact_posterior_from_elsewhere() -> None:
    # two of three steps move, but the far tail, where few proposals fall, fills only after some 50
    law, rng = rare_law(), np.random.default_rng(29)
    start = np.array([0.5, -1.0])
    follow_rare_law(np.array([independence_steps(rng, start, 80) for _ in range(600)]), law)


def test_independence_steps_return_the_mode_as_coefficients() -> None:
    rng, start = np.random.default_rng(30), np.zeros(2)
    _, mode, _ = gibbs.independence_step(rng, RARE, RARE_PRIOR, RARE_SD, start, start)
    u, _ = gibbs.posterior_mode(RARE, RARE_PRIOR, RARE_SD, start)
    np.testing.assert_allclose(mode, RARE_PRIOR.mean + RARE_SD * u, rtol=1e-12)


# Whole sweeps -------------------------------------------------------------------------------------

both_ways = pytest.mark.parametrize("independent", [False, True], ids=["gibbs", "independence"])


def chain(
    prior: gibbs.Prior,
    rows: gibbs.Rows,
    groups: gibbs.Groups,
    *,
    independent: bool,
    sweeps: int = 40_000,
) -> gibbs.Trace:
    state = a_state(prior)
    rng = np.random.default_rng(31)
    state, _ = gibbs.advance(rng, rows, groups, prior, state, 200, independent)
    return gibbs.advance(rng, rows, groups, prior, state, sweeps, independent)[1]


def within_monte_carlo_error(draws: Array, mean: float, sd: float | None = None) -> None:
    """Mean and standard deviation of one chain, within 4 of their Monte Carlo errors."""
    one_chain = draws[np.newaxis].astype(float)
    assert abs(draws.mean() - mean) < 4 * azs.mcse(one_chain, method="mean")
    if sd is not None:
        assert abs(draws.std() - sd) < 4 * azs.mcse(one_chain, method="sd")


def check_sweeps(prior: gibbs.Prior, law: Grid, *, independent: bool) -> None:
    trace = chain(prior, ROWS, GROUPS, independent=independent)
    assert trace.accepted.any() == independent
    mean, covariance = law.mean_and_covariance()
    for j in range(3):
        within_monte_carlo_error(trace.theta[:, j], mean[j], math.sqrt(covariance[j, j]))
        for k in range(j):
            products = (trace.theta[:, j] - mean[j]) * (trace.theta[:, k] - mean[k])
            within_monte_carlo_error(products, covariance[j, k])


def grid_for(log_prior: Callable[[Array], Array]) -> Grid:
    axis = np.arange(-9, 9.01, 0.2)
    return Grid(lambda theta: log_outcomes(theta) + log_prior(theta), axis, axis, axis)


@both_ways
def test_sweeps_under_normal_priors_give_the_exact_posterior(independent: bool) -> None:
    # also one of its own with a mean that is not 0
    prior = ONE_SHRUNK._replace(family=gibbs.NORMAL)
    v = np.array([2.5, 1.3, 0.8]) ** 2
    law = grid_for(lambda theta: log_coefficients(theta, prior.mean, v))
    check_sweeps(prior, law, independent=independent)


@both_ways
def test_sweeps_under_student_t_priors_give_the_exact_posterior(independent: bool) -> None:
    prior = ONE_SHRUNK._replace(
        family=gibbs.STUDENT_T, intercept_df=3.0, sd=np.array([0.3, 1.0, 0.8])
    )
    law = grid_for(
        lambda theta: (
            stats.t(3, 0, 0.3).logpdf(theta[..., 0])
            + stats.t(4, 0, 1.3).logpdf(theta[..., 1])
            + stats.norm(0.7, 0.8).logpdf(theta[..., 2])
        )
    )
    check_sweeps(prior, law, independent=independent)


class HorseshoeTruth:
    """The posterior under the horseshoe of one coefficient, by quadrature in three stages.

    The likelihood is integrated over α for each β, over β for each variance v, and the result over
    log τ, log λ and log c².
    """

    def __init__(self, prior: gibbs.Prior, rows: gibbs.Rows) -> None:
        alpha = np.arange(-9, 9.01, 0.2)
        # nodes 3 % apart, and 3e-5 near 0
        s = np.linspace(-np.arcsinh(4e4), np.arcsinh(4e4), 801)
        beta = 1e-3 * np.sinh(s)
        width = 1e-3 * np.cosh(s)
        theta = np.stack(np.meshgrid(alpha, beta, indexing="ij"), axis=-1)
        intercept = stats.t(prior.intercept_df, 0, prior.sd[0]).logpdf(theta[..., 0])
        joint = np.exp(log_outcomes(theta, rows) + intercept)
        log_v = np.linspace(-14, 14, 561)  # below, β is 0 as far as the data can tell
        density = stats.norm(0, np.exp(log_v / 2)[:, np.newaxis]).pdf(beta) * width
        self.expected = {
            name: CubicSpline(log_v, density @ (joint * values).sum(axis=0))
            for name, values in {
                "one": 1.0,
                "alpha": theta[..., 0],
                "alpha²": theta[..., 0] ** 2,
                "beta": theta[..., 1],
                "beta²": theta[..., 1] ** 2,
                "beta²/(1 + beta²)": theta[..., 1] ** 2 / (1 + theta[..., 1] ** 2),
            }.items()
        }
        self.set_scales(prior)

    def set_scales(self, prior: gibbs.Prior) -> None:
        log_tau = np.arange(-17, 17.01, 0.25)[:, np.newaxis, np.newaxis]
        log_local = np.arange(-17, 17.01, 0.25)[:, np.newaxis]
        log_c2 = np.arange(-4, 14.01, 0.25)
        half, rate = prior.slab_df / 2, prior.slab_df * prior.slab_scale**2 / 2
        weights = (
            stats.halfcauchy(scale=prior.global_scale).pdf(np.exp(log_tau)) * np.exp(log_tau)
            * (stats.halfcauchy.pdf(np.exp(log_local)) * np.exp(log_local))
            * (stats.invgamma(half, scale=rate).pdf(np.exp(log_c2)) * np.exp(log_c2))
        )  # fmt: skip
        log_v = -np.logaddexp(-2 * (log_tau + log_local), -log_c2)
        self.means = {
            name: float((weights * spline(np.maximum(log_v, -14))).sum())
            for name, spline in self.expected.items()
        }
        posterior = weights * self.expected["one"](np.maximum(log_v, -14))
        effect = weights * self.expected["beta²/(1 + beta²)"](np.maximum(log_v, -14))
        axes = {
            "tau": log_tau,
            "lambda": log_local,
            "tau lambda": log_tau + log_local,
            "c²": log_c2,
        }
        for name, axis in axes.items():
            self.means[f"log {name}"] = float((posterior * axis).sum())
            self.means[f"(log {name})²"] = float((posterior * axis**2).sum())
            self.means[f"log {name} beta²/(1 + beta²)"] = float((effect * axis).sum())

    def mean(self, name: str) -> float:
        return self.means[name] / self.means["one"]


@both_ways
def test_sweeps_under_the_horseshoe_give_the_exact_posterior(independent: bool) -> None:
    # a clear effect under a prior that expects none: the scales learn from the data
    column = np.tile([-0.6, -0.6, 1.2], 12)
    outcome = ((np.arange(36) % 9 < 2) | ((column > 0) & (np.arange(36) % 4 > 0))).astype(int)
    rows = rows_of(np.column_stack([np.ones(36), column]), outcome)
    prior = a_prior(2, intercept_df=3.0, global_scale=0.1, sd=np.array([0.5, 1.0]))
    trace = chain(prior, rows, groups_of(rows), independent=independent)
    truth = HorseshoeTruth(prior, rows)
    alpha, beta = trace.theta.T
    local = trace.log_local[:, 0]
    log_product, effect = trace.log_tau + local, beta**2 / (1 + beta**2)
    for name, draws in {
        "alpha": alpha,
        "alpha²": alpha**2,
        "beta": beta,
        "beta²": beta**2,
        "beta²/(1 + beta²)": effect,
        "log tau": trace.log_tau,
        "(log tau)²": trace.log_tau**2,
        "log lambda": local,
        "(log lambda)²": local**2,
        "log tau lambda": log_product,
        "(log tau lambda)²": log_product**2,
        # draws of the coefficient and of its scales belong together
        "log tau lambda beta²/(1 + beta²)": log_product * effect,
        "log c² beta²/(1 + beta²)": trace.log_c2 * effect,
        "log c²": trace.log_c2,
        "(log c²)²": trace.log_c2**2,
    }.items():
        within_monte_carlo_error(draws, truth.mean(name))


@both_ways
@pytest.mark.parametrize("family", [gibbs.NORMAL, gibbs.STUDENT_T, gibbs.HORSESHOE])
def test_draws_do_not_depend_on_where_stretches_end(family: int, independent: bool) -> None:
    prior = BOTH_SHRUNK._replace(family=family, intercept_df=3.0)

    def draws(*stretches: int, seed: int = 32) -> list[list[Array]]:
        rng, state = np.random.default_rng(seed), a_state()
        traces = []
        for sweeps in stretches:
            state, trace = gibbs.advance(rng, ROWS, GROUPS, prior, state, sweeps, independent)
            traces.append(trace)
            np.testing.assert_array_equal(state.theta, trace.theta[-1])
        return [np.concatenate(parts) for parts in zip(*traces, strict=True)]

    whole = draws(40)
    for one, other in zip(whole, draws(20, 20), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(whole, draws(1, 38, 1), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(whole[0], draws(40, seed=33)[0])


def test_a_sweep_leaves_the_state_it_started_from_untouched() -> None:
    state = a_state(theta=THETA.copy())
    gibbs.advance(np.random.default_rng(34), ROWS, GROUPS, BOTH_SHRUNK, state, 3, True)
    np.testing.assert_array_equal(state.theta, THETA)
    np.testing.assert_array_equal(state.log_local, [0.3, -0.9])
    np.testing.assert_array_equal(state.mode, np.zeros(3))


@pytest.mark.parametrize("tilt", [1e30, -1e200, math.inf, math.nan])
def test_a_weight_at_an_absurd_tilt_is_its_mean_and_never_hangs(tilt: float) -> None:
    """Relative to its mean 1/(2|tilt|) the SD of PG(1, tilt) is of order |tilt|^(-1/2)."""
    drawn = gibbs.polya_gamma(np.random.default_rng(0), tilt)
    np.testing.assert_equal(drawn, 1 / (2 * abs(tilt)))


def test_the_share_of_the_upper_tail_falls_as_its_table_says() -> None:
    """Bounds decide only where the share is monotone; a finer grid stays between neighbours."""
    assert (np.diff(gibbs.TAIL_SHARES) < 0).all()
    for position in range(4 * (len(gibbs.TAIL_SHARES) - 1)):
        z = position * gibbs.TAIL_STEP / 4
        share = gibbs.upper_tail_share(z, math.pi**2 / 8 + z * z / 2)
        k = position // 4
        assert gibbs.TAIL_SHARES[k + 1] <= share <= gibbs.TAIL_SHARES[k]


def test_the_series_accepts_at_least_what_it_accepts_unseen() -> None:
    """1 - a_1/a_0 is least at the truncation point, from either side."""
    x = np.concatenate([np.geomspace(1e-3, gibbs.TRUNCATION, 400), np.linspace(0.6400001, 9, 400)])
    least = min(1 - gibbs.series_ratio(1, value) for value in x)
    assert gibbs.SERIES_AT_LEAST < least < 0.995


@pytest.mark.parametrize("seed", range(5))
def test_a_common_factor_has_the_joint_density_along_its_ray(seed: int) -> None:
    """Likelihood of fβ, normal priors of fβ, and f to the number of coefficients."""
    rng = np.random.default_rng(seed)
    matrix = np.column_stack([np.repeat([1, 1.3], 15), rng.normal(size=(30, 3))])
    outcome = rng.integers(0, 2, 30)
    theta, mean, sd = rng.normal(size=4), rng.normal(size=4), rng.uniform(0.3, 2, 4)
    pull = float(np.sum(theta[1:] * mean[1:] / sd[1:] ** 2))
    precision = float(np.sum((theta[1:] / sd[1:]) ** 2))
    fixed, effects = matrix[:, 0] * theta[0], matrix[:, 1:] @ theta[1:]
    given = gibbs.ScaleGiven(fixed, effects, outcome - 0.5, pull, precision, 3)

    def joint(log_factor: float) -> float:
        moved = theta * np.array([1, *[math.exp(log_factor)] * 3])
        risk = special.expit(matrix @ moved)
        prior = stats.norm.logpdf(moved[1:], mean[1:], sd[1:]).sum()
        return float(stats.bernoulli.logpmf(outcome, risk).sum() + prior + 3 * log_factor)

    at = np.linspace(-2, 1.5, 9)
    ours = np.array([gibbs.log_scale_density(value, given) for value in at])
    theirs = np.array([joint(value) for value in at])
    np.testing.assert_allclose(ours - ours[0], theirs - theirs[0], rtol=1e-9, atol=1e-9)


def test_a_common_factor_leaves_the_posterior_of_one_coefficient_invariant() -> None:
    """Exact draws of β (α known, prior with a mean), one step each: they still follow the law."""
    rng = np.random.default_rng(8)
    x, outcome = rng.normal(size=25), rng.integers(0, 2, 25)
    rows = gibbs.Rows(np.column_stack([np.ones(25), x]), outcome - 0.5, np.zeros(2))
    prior = gibbs.Prior(
        np.array([0.0, 0.6]), np.array([1.0, 0.9]), np.zeros(0, dtype=np.int64), gibbs.NORMAL,
        1.0, 1.0, 1.0, 1.0, 1.0, 0.0,
    )  # fmt: skip
    grid = np.linspace(-4, 5, 20_001)
    density = np.exp(
        stats.bernoulli.logpmf(outcome, special.expit(0.3 + grid[:, None] * x)).sum(axis=1)
        + stats.norm.logpdf(grid, 0.6, 0.9)
    )
    share = cumulative_trapezoid(density, grid, initial=0)
    share /= share[-1]
    # the factor is positive: the law is that of |β| given its sign, and the sign stays
    start = np.interp(rng.random(20_000), share, grid)
    moved = []
    for beta in start:
        theta = np.array([0.3, beta])
        gibbs.scale_coefficients(rng, rows, prior, prior.sd, theta, rows.matrix @ theta)
        moved.append(theta[1])
    assert (np.sign(moved) == np.sign(start)).all()
    assert stats.kstest(moved, lambda value: np.interp(value, grid, share)).pvalue > 1e-3
    assert np.mean(np.abs(np.array(moved) - start)) > 0.1
