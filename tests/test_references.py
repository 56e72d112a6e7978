"""The posterior against rstanarm: same model, 4 x 20,000 draws in Stan (reference/README)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_cmvt as bc
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.design import design_matrix
from bayes_cmvt.posterior import design_of, expit
from tests.references import (
    available,
    draw_summaries,
    reference,
    reference_cohort,
    reference_risks,
    reference_summaries,
    standardised_differences,
)

# Combined Monte Carlo standard errors, as the issue asks. Of some 600 comparisons with estimated
# errors one may pass 4 by chance; a bias would pass it again, so what passes it in one run is
# looked at in an independent second run, and fails only if it passes 4 there too.
AT_MOST = 4.0
FIRST_SEED, SECOND_SEED = 11, 12

pytestmark = pytest.mark.reference


@dataclass(frozen=True, eq=False)
class Compared:
    """A data set of the references, with our fits of it by seed."""

    name: str
    cohort: Cohort

    @cache  # noqa: B019 - a handful of fits, kept for the module
    def fit(self, seed: int) -> xr.DataTree:
        return bc.sample(self.cohort, seed=seed, draws=5000)


@pytest.fixture(scope="module", params=["synth26", "indo_rct", "birthwt", "asah"])
def compared(request: pytest.FixtureRequest) -> Compared:
    name = str(request.param)
    if not available(name):
        pytest.skip(f"{name}.json is not beside this repository")
    return Compared(name, reference_cohort(name))


def coefficient_differences(compared: Compared, seed: int) -> pd.DataFrame:
    posterior = compared.fit(seed)["posterior"]
    draws = np.concatenate(
        [posterior["intercept"].to_numpy()[..., None], posterior["beta"].to_numpy()], axis=-1
    )
    ours = draw_summaries(draws, ["(Intercept)", *compared.cohort.study.terms])
    return standardised_differences(ours, reference_summaries(compared.name))


def risk_differences(compared: Compared, seed: int) -> pd.DataFrame:
    ours = draw_summaries(first_risks(compared, seed), [f"row {i}" for i in range(1, 21)])
    return standardised_differences(ours, reference_risks(compared.name))


def first_risks(compared: Compared, seed: int) -> np.ndarray:
    fit = compared.fit(seed)
    posterior = fit["posterior"]
    matrix = design_matrix(design_of(fit), compared.cohort.predictors)[:20]
    intercept, beta = posterior["intercept"].to_numpy(), posterior["beta"].to_numpy()
    return expit(intercept[..., None] + beta @ matrix.T)


def assert_within_error(
    compared: Compared, differences: Callable[[Compared, int], pd.DataFrame], statistics: int
) -> None:
    first = differences(compared, FIRST_SEED).abs()
    assert first.shape[1] == statistics
    assert not first.isna().to_numpy().any()
    beyond = first > AT_MOST
    if beyond.to_numpy().any():
        again = differences(compared, SECOND_SEED).abs()
        assert not (beyond & (again > AT_MOST)).to_numpy().any(), (first.max(), again.max())


def test_posterior_equals_rstanarm(compared: Compared) -> None:
    assert_within_error(compared, coefficient_differences, statistics=5)


def test_risks_equal_rstanarm(compared: Compared) -> None:
    assert_within_error(compared, risk_differences, statistics=3)


def test_predicted_risks_are_those_of_the_draws(compared: Compared) -> None:
    risk = first_risks(compared, FIRST_SEED).reshape(-1, 20)
    table = bc.predict(compared.fit(FIRST_SEED), compared.cohort).head(20)
    np.testing.assert_allclose(table["risk"], risk.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(table["lower"], np.quantile(risk, 0.025, axis=0), atol=1e-12)
    np.testing.assert_allclose(table["upper"], np.quantile(risk, 0.975, axis=0), atol=1e-12)


def test_elpd_loo_equals_rstanarm(compared: Compared) -> None:
    ours, theirs = (
        bc.leave_one_out(compared.fit(FIRST_SEED)),
        reference(compared.name)["horseshoe"]["loo"],
    )
    # 0.3: what two runs of rstanarm itself differ by (reference README, "Tolerances")
    assert abs(ours.elpd - theirs["elpd_loo"]) < 0.3
    assert abs(ours.p_loo - theirs["p_loo"]) < 0.3
    assert ours.bad == theirs["n_k_gt_0.7"]


def test_draws_pass_the_gate(compared: Compared) -> None:
    verdict = bc.verdict(compared.fit(FIRST_SEED))
    assert verdict.trusted, verdict.problems
    assert verdict.divergences <= 0.001 * verdict.total_draws
