"""The PyMC model is the density that METHODS §1 states, written out a second time with scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bayes_cmvt.horseshoe import logistic_model
from bayes_cmvt.priors import CoefficientPrior, prior_draws

# PyMC's half-Cauchy keeps its own constant, log 2 - log π, in single precision: 2e-9 for each one
EXACT = 2e-8

TERMS = ("a", "b", "c")
MATRIX = np.array([[0.3, -1.0, 0.2], [1.1, 0.4, -0.7], [-0.8, 0.9, 1.5], [-0.6, -0.3, -1.0]])
OUTCOME = np.array([1, 0, 1, 0], dtype=np.int8)


def a_prior(**changes: object) -> CoefficientPrior:
    values: dict[str, object] = {
        "family": "regularized-horseshoe",
        "shrunk": np.array([True, True, True]),
        "own_mean": np.full(3, np.nan),
        "own_sd": np.full(3, np.nan),
        "global_scale": 0.3,
        "slab_scale": 2.0,
        "slab_df": 4.0,
        "scale": 2.5,
        "df": 4.0,
        "intercept_family": "student-t",
        "intercept_scale": 2.5,
        "n": 4,
        "pseudo_sd": 2.0,
    }
    return CoefficientPrior(**(values | changes))  # type: ignore[arg-type]


def log_likelihood(intercept: float, beta: np.ndarray) -> float:
    risk = 1 / (1 + np.exp(-(intercept + MATRIX @ beta)))
    return float(stats.bernoulli.logpmf(OUTCOME, risk).sum())


def model_log_density(
    prior: CoefficientPrior,
    point: dict[str, object],
    *,
    copies: int = 1,
    weights: np.ndarray | None = None,
) -> float:
    """Log density on the constrained scale, at one point given by variable name."""
    model = logistic_model(
        np.repeat(MATRIX, copies, axis=0), np.repeat(OUTCOME, copies), prior, TERMS, weights=weights
    )
    transformed = {}
    for variable in model.free_RVs:
        value = model.rvs_to_values[variable]
        raw = np.asarray(point[variable.name], dtype=float)
        transformed[value.name] = np.log(raw) if value.name.endswith("_log__") else raw
    return float(model.compile_logp(jacobian=False)(transformed))


@pytest.mark.parametrize("seed", range(3))
def test_horseshoe_density_is_the_stated_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prior = a_prior()
    point = {
        "intercept": rng.normal(),
        "standard": rng.normal(size=3),
        "tau": rng.gamma(2.0) * 0.3,
        "lambda": rng.gamma(2.0, size=3),
        "c2": rng.gamma(3.0),
    }
    local, tau, c2 = point["lambda"], point["tau"], point["c2"]
    beta = point["standard"] * np.sqrt(1 / (1 / (tau * local) ** 2 + 1 / c2))
    expected = (
        stats.t(3, 0, 2.5).logpdf(point["intercept"])
        + stats.norm.logpdf(point["standard"]).sum()
        + stats.halfcauchy(scale=0.3).logpdf(tau)
        + stats.halfcauchy.logpdf(local).sum()
        + stats.invgamma(2.0, scale=4 * 2.0**2 / 2).logpdf(c2)
        + log_likelihood(point["intercept"], beta)
    )
    assert model_log_density(prior, point) == pytest.approx(expected, abs=EXACT)


def test_normal_density_is_the_stated_one() -> None:
    prior = a_prior(family="normal", intercept_family="normal", intercept_scale=10.0)
    point = {"intercept": -0.4, "standard": np.array([0.2, -1.3, 0.8])}
    expected = (
        stats.norm(0, 10).logpdf(-0.4)
        + stats.norm.logpdf(point["standard"]).sum()
        + log_likelihood(-0.4, 2.5 * point["standard"])
    )
    assert model_log_density(prior, point) == pytest.approx(expected, abs=EXACT)


def test_student_t_is_a_scale_mixture_of_normals() -> None:
    prior = a_prior(family="student-t")
    variance = np.array([0.5, 1.0, 3.0])
    point = {
        "intercept": 0.1,
        "standard": np.array([0.2, -1.3, 0.8]),
        "local_variance": variance,
    }
    expected = (
        stats.t(3, 0, 2.5).logpdf(0.1)
        + stats.norm.logpdf(point["standard"]).sum()
        + stats.invgamma(2.0, scale=2.0).logpdf(variance).sum()
        + log_likelihood(0.1, 2.5 * np.sqrt(variance) * point["standard"])
    )
    assert model_log_density(prior, point) == pytest.approx(expected, abs=EXACT)


def test_predictors_with_a_prior_of_their_own_keep_their_place() -> None:
    prior = a_prior(
        shrunk=np.array([True, False, True]),
        own_mean=np.array([np.nan, 0.7, np.nan]),
        own_sd=np.array([np.nan, 0.5, np.nan]),
    )
    point = {
        "intercept": -0.2,
        "standard": np.array([0.4, -0.6]),
        "standard_own": np.array([1.2]),
        "tau": 0.2,
        "lambda": np.array([1.5, 0.4]),
        "c2": 2.0,
    }
    scale = np.sqrt(1 / (1 / (0.2 * point["lambda"]) ** 2 + 1 / 2.0))
    shrunk = point["standard"] * scale
    beta = np.array([shrunk[0], 0.7 + 0.5 * 1.2, shrunk[1]])
    expected = (
        stats.t(3, 0, 2.5).logpdf(-0.2)
        + stats.norm.logpdf(point["standard"]).sum()
        + stats.norm.logpdf(1.2)
        + stats.halfcauchy(scale=0.3).logpdf(0.2)
        + stats.halfcauchy.logpdf(point["lambda"]).sum()
        + stats.invgamma(2.0, scale=8.0).logpdf(2.0)
        + log_likelihood(-0.2, beta)
    )
    assert model_log_density(prior, point) == pytest.approx(expected, abs=EXACT)


def test_our_prior_draws_follow_the_prior_of_the_pymc_model() -> None:
    import pymc as pm

    prior = a_prior(
        shrunk=np.array([True, False, True]),
        own_mean=np.array([np.nan, 0.7, np.nan]),
        own_sd=np.array([np.nan, 0.5, np.nan]),
    )
    model = logistic_model(MATRIX, OUTCOME, prior, TERMS)
    names = ["intercept", "beta", "tau", "slab"]
    theirs = pm.sample_prior_predictive(4000, model=model, var_names=names, random_seed=3)["prior"]
    ours = prior_draws(prior, 4000, np.random.default_rng(4))
    pairs = {
        "intercept": (ours.intercept, theirs["intercept"]),
        "tau": (ours.tau, theirs["tau"]),
        "slab": (ours.slab, theirs["slab"]),
    } | {term: (ours.beta[:, j], theirs["beta"][..., j]) for j, term in enumerate(TERMS)}
    # six two-sample Kolmogorov-Smirnov tests at level 0.001 / 6, seeds fixed
    for name, (mine, other) in pairs.items():
        p_value = stats.ks_2samp(np.asarray(mine), np.asarray(other).ravel()).pvalue
        assert p_value > 0.001 / 6, name


def test_matrix_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit 4 outcomes and 3 terms"):
        logistic_model(MATRIX[:, :2], OUTCOME, a_prior(), TERMS)


@pytest.mark.filterwarnings("ignore:Numba will use object mode:UserWarning")
def test_prior_predictive_outcomes_have_the_prior_event_share() -> None:
    """With intercept and effects held at 0 every outcome is a fair coin."""
    import pymc as pm

    prior = a_prior(
        shrunk=np.array([False, False, False]),
        own_mean=np.zeros(3),
        own_sd=np.full(3, 1e-6),
        intercept_scale=1e-6,
    )
    model = logistic_model(MATRIX, OUTCOME, prior, TERMS)
    drawn = pm.sample_prior_predictive(2000, model=model, random_seed=1)["prior_predictive"]
    share = float(drawn["outcome"].mean())
    assert share == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / 8000))


POINT = {
    "intercept": -0.3,
    "standard": np.array([0.4, -0.6, 1.1]),
    "tau": 0.2,
    "lambda": np.array([1.5, 0.4, 0.9]),
    "c2": 2.0,
}


def test_weights_of_one_are_no_weights() -> None:
    plain = model_log_density(a_prior(), POINT)
    assert model_log_density(a_prior(), POINT, weights=np.ones(4)) == pytest.approx(
        plain, abs=1e-12
    )


def test_weights_of_two_are_rows_twice() -> None:
    twice = model_log_density(a_prior(), POINT, copies=2)
    weighted = model_log_density(a_prior(), POINT, weights=np.full(4, 2.0))
    assert weighted == pytest.approx(twice, abs=1e-12)


def test_a_weight_is_a_power_of_one_patients_likelihood() -> None:
    weights = np.array([0.25, 1.0, 0.0, 3.0])
    plain = model_log_density(a_prior(), POINT, weights=np.zeros(4))
    free = POINT["tau"] * POINT["lambda"]
    beta = POINT["standard"] * np.sqrt(1 / (1 / free**2 + 1 / POINT["c2"]))
    risk = 1 / (1 + np.exp(-(POINT["intercept"] + MATRIX @ beta)))
    expected = plain + weights @ stats.bernoulli.logpmf(OUTCOME, risk)
    assert model_log_density(a_prior(), POINT, weights=weights) == pytest.approx(
        expected, abs=1e-12
    )


def test_weights_must_be_as_many_as_patients() -> None:
    with pytest.raises(ValueError, match=r"weights \(3,\) do not fit 4 outcomes"):
        logistic_model(MATRIX, OUTCOME, a_prior(), TERMS, weights=np.ones(3))
