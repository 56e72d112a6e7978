"""The ridge competitor: its mode, its width and its limits against other ways to the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, log_expit

from bayes_cmvt.errors import DataError, OptionError
from bayes_cmvt.simulation.ridge import fit_ridge, log_marginal, ridge_interval, ridge_risk

type Floats = NDArray[np.float64]


def patients(n: int, p: int, seed: int = 3, effects: int = 4) -> tuple[Floats, NDArray[np.int64]]:
    """Standardised, correlated columns and an outcome with some effects of 0.6 per SD."""
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(n, p)) + 0.6 * rng.normal(size=(n, 1))
    columns = (columns - columns.mean(axis=0)) / columns.std(axis=0, ddof=1)
    return columns, (rng.random(n) < expit(0.6 * columns[:, :effects].sum(axis=1) - 0.7)).astype(
        int
    )


def precision_at(columns: Floats, theta: Floats, scale: float) -> Floats:
    """Curvature of the log posterior, written out."""
    rows = np.column_stack([np.ones(len(columns)), columns])
    risk = expit(rows @ theta)
    prior = np.full(len(theta), scale**-2)
    prior[0] = 0
    return rows.T @ np.diag(risk * (1 - risk)) @ rows + np.diag(prior)


@pytest.mark.parametrize(("n", "p", "scale"), [(224, 26, 0.2), (150, 8, 3.0), (60, 150, 0.3)])
def test_mode_is_that_of_scikit_learn(n: int, p: int, scale: float) -> None:
    from sklearn.linear_model import LogisticRegression

    columns, outcome = patients(n, p)
    fit = fit_ridge(columns, outcome, scale=scale)
    other = LogisticRegression(C=scale**2, solver="newton-cholesky", tol=1e-10, max_iter=500)
    other.fit(columns, outcome)
    np.testing.assert_allclose(fit.beta, other.coef_[0], atol=1e-6)
    np.testing.assert_allclose(fit.intercept, other.intercept_[0], atol=1e-6)


@pytest.mark.parametrize(("n", "p"), [(224, 26), (50, 120)])
def test_covariance_and_marginal_likelihood_are_those_of_all_columns(n: int, p: int) -> None:
    """Also where they were computed in the space of the patients."""
    columns, outcome = patients(n, p)
    fit = fit_ridge(columns, outcome, scale=0.25)
    theta = np.append(fit.intercept, fit.beta)
    curvature = precision_at(columns, theta, 0.25)
    np.testing.assert_allclose(fit.covariance, np.linalg.inv(curvature), atol=1e-9)
    eta = fit.intercept + columns @ fit.beta
    height = log_expit(np.where(outcome == 1, eta, -eta)).sum() - fit.beta @ fit.beta / 2 / 0.25**2
    laplace = height - p * math.log(0.25) - np.linalg.slogdet(curvature)[1] / 2
    laplace += math.log(2 * math.pi) / 2
    assert log_marginal(columns, outcome, 0.25) == pytest.approx(laplace, abs=1e-8)


@pytest.mark.parametrize("scale", [0.1, 0.5, 2.0])
def test_marginal_likelihood_of_one_column_is_its_integral(scale: float) -> None:
    """Laplace's error falls as 1/n: 0.02 at 100 patients is above it, 0.03 per SD is not."""
    columns, outcome = patients(100, 1, effects=1)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    fit = fit_ridge(columns, outcome, scale=scale)
    sd = np.sqrt(np.diagonal(fit.covariance))
    beta = fit.beta[0] + 10 * sd[1] * nodes
    alpha = fit.intercept + 10 * sd[0] * nodes
    signed = np.where(outcome == 1, 1, -1) * (alpha[:, None, None] + beta[:, None] * columns[:, 0])
    log_posterior = log_expit(signed).sum(axis=-1) - beta**2 / 2 / scale**2
    log_posterior -= math.log(scale * math.sqrt(2 * math.pi))
    top = log_posterior.max()
    integral = weights @ np.exp(log_posterior - top) @ weights * 100 * sd[0] * sd[1]
    exact = top + math.log(integral)
    assert log_marginal(columns, outcome, scale) == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize(("n", "p", "effects"), [(224, 26, 4), (224, 26, 0), (80, 150, 4)])
def test_chosen_scale_has_the_largest_marginal_likelihood(n: int, p: int, effects: int) -> None:
    columns, outcome = patients(n, p, effects=effects)
    found = log_marginal(columns, outcome, fit_ridge(columns, outcome).scale)
    others = [log_marginal(columns, outcome, one) for one in np.geomspace(0.001, 10, 60)]
    assert found >= max(others) - 1e-5


def test_a_rotation_of_the_columns_rotates_the_fit() -> None:
    columns, outcome = patients(120, 6)
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(6, 6)))[0]
    fit, turned = fit_ridge(columns, outcome), fit_ridge(columns @ turn, outcome)
    assert turned.scale == pytest.approx(fit.scale, rel=1e-3)
    turned = fit_ridge(columns @ turn, outcome, scale=fit.scale)
    np.testing.assert_allclose(turned.beta, turn.T @ fit.beta, atol=1e-8)
    np.testing.assert_allclose(
        turned.covariance[1:, 1:], turn.T @ fit.covariance[1:, 1:] @ turn, atol=1e-9
    )
    np.testing.assert_allclose(
        ridge_risk(turned, columns @ turn), ridge_risk(fit, columns), atol=1e-8
    )


def test_limits_are_those_of_draws_from_the_normal_posterior() -> None:
    columns, outcome = patients(120, 5)
    fit = fit_ridge(columns, outcome)
    theta = np.random.default_rng(1).multivariate_normal(
        np.append(fit.intercept, fit.beta), fit.covariance, size=100_000
    )
    drawn = expit(theta[:, :1] + theta[:, 1:] @ columns[:10].T)
    found = ridge_risk(fit, columns[:10], 0.9)
    # Monte Carlo error of a 5 % quantile of 100,000: SD sqrt(.05 .95 / 100,000) / density(.103)
    sd = np.log(found[2] / (1 - found[2])) - np.log(found[0] / (1 - found[0]))
    error = 5 * 0.0067 * sd / 3.29 * 0.25
    assert (np.abs(np.quantile(drawn, [0.05, 0.5, 0.95], axis=0) - found) < error).all()
    np.testing.assert_allclose(
        ridge_interval(fit, 0.9)[:, 1],
        fit.beta + 1.6449 * np.sqrt(np.diag(fit.covariance)[1:]),
        atol=1e-4,
    )


def test_a_constant_column_keeps_its_prior() -> None:
    columns, outcome = patients(100, 3)
    columns[:, 1] = 0
    fit = fit_ridge(columns, outcome, scale=0.4)
    assert fit.beta[1] == 0
    assert fit.covariance[2, 2] == pytest.approx(0.16)


def test_separated_outcomes_have_a_finite_fit() -> None:
    columns = np.linspace(-1.7, 1.7, 60)[:, np.newaxis]
    outcome = (columns[:, 0] > 0).astype(int)
    fit = fit_ridge(columns, outcome)
    theta = np.append(fit.intercept, fit.beta)
    score = columns[:, 0] @ (outcome - expit(theta[0] + columns @ theta[1:]))
    assert score == pytest.approx(theta[1] / fit.scale**2, abs=1e-6)


def test_what_cannot_be_fitted_is_named() -> None:
    columns, _ = patients(30, 2)
    with pytest.raises(DataError, match="all 30 patients have the outcome 1"):
        fit_ridge(columns, np.ones(30))
    with pytest.raises(DataError, match="not finite in rows"):
        fit_ridge(np.where(columns > 1, np.nan, columns), np.arange(30) % 2)
    with pytest.raises(OptionError, match="scale: found 0; a prior SD above 0 is needed"):
        fit_ridge(columns, np.arange(30) % 2, scale=0.0)
