"""The posterior of every engine against rstanarm, and of the engines against each other.

Same model, 4 x 20,000 draws in Stan (reference/README). Every comparison is in combined Monte Carlo
standard errors, as `bayes_cmvt.agreement` has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_cmvt as bc
from bayes_cmvt.agreement import (
    KEYS,
    agreement,
    differences_in_error,
    engine_agreement,
    risk_statistics,
    scalar_statistics,
)
from bayes_cmvt.chains import advance_chains, chain_draws, gibbs_problem, start_chains
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.design import design_matrix, learn_design
from bayes_cmvt.posterior import build_fit
from bayes_cmvt.priors import numeric_prior
from tests.builders import predictor, study
from tests.references import (
    RISK_ROWS,
    reference,
    reference_coefficients,
    reference_cohort,
    reference_design,
    reference_risks,
)

# Of the thousands of comparisons here, with estimated errors, one or the other may pass 4 by
# chance; a bias would pass it again, so what passes it in one run is looked at in an independent
# second run, and fails only if it passes 4 there too.
FIRST_SEED, SECOND_SEED = 11, 12
INDEPENDENT = "gibbs with independence step"
DRAWS = {"gibbs": 20_000, INDEPENDENT: 10_000, "nuts": 5000, "long nuts": 10_000}  # per chain

slow = pytest.mark.slow
DATA = ("synth26", "indo_rct", "birthwt", "asah")
with_nuts = [
    # NUTS against Gibbs: in `make test` by the command that compares engines (test_cli.py)
    pytest.param(("asah", "nuts"), id="asah-nuts", marks=slow),
    *(pytest.param((name, "long nuts"), id=f"{name}-long-nuts", marks=slow) for name in DATA),
]
with_gibbs = [
    *(pytest.param((name, "gibbs"), id=f"{name}-gibbs") for name in DATA if name != "indo_rct"),
    pytest.param(("birthwt", INDEPENDENT), id="birthwt-independent"),
    # the longest two: of data like these the others tell the same
    pytest.param(("indo_rct", "gibbs"), id="indo_rct-gibbs", marks=slow),
    pytest.param(("synth26", INDEPENDENT), id="synth26-independent", marks=slow),
]


@dataclass(frozen=True)
class Compared:
    """A data set of the references, and the engine that samples it."""

    name: str
    engine: str

    @property
    def cohort(self) -> Cohort:
        return reference_cohort(self.name)

    def fit(self, seed: int) -> xr.DataTree:
        return sampled(self.name, self.engine, seed)


@lru_cache(maxsize=8)
def sampled(name: str, engine: str, seed: int) -> xr.DataTree:
    cohort = reference_cohort(name)
    if engine == INDEPENDENT:
        return with_independence_step(cohort, seed)
    return bc.sample(cohort, engine=engine.split()[-1], seed=seed, draws=DRAWS[engine])


def with_independence_step(cohort: Cohort, seed: int) -> xr.DataTree:
    """Sample with the steps that rare outcomes get, where outcomes are not rare."""
    design = learn_design(cohort)
    prior = numeric_prior(design, n=cohort.n_development, events=cohort.events_development)
    matrix = design_matrix(design, cohort.predictors)
    problem = gibbs_problem(matrix, cohort.outcome, prior, independent=True)
    streams = np.random.SeedSequence(seed).spawn(5)
    chains = start_chains(problem, prior, streams[:4])
    advance_chains(chains, problem, 1000 + DRAWS[INDEPENDENT], cores=2)
    draws = chain_draws(chains, problem, 1000)
    return build_fit(draws, cohort, design, prior, settings={}, seed=streams[4])


@pytest.fixture(scope="module", params=[*with_gibbs, *with_nuts])
def compared(request: pytest.FixtureRequest) -> Compared:
    return Compared(*request.param)


def assert_agree(differences: Callable[[int], pd.DataFrame], comparisons: int) -> None:
    first = agreement(differences(FIRST_SEED))
    assert first.comparisons == comparisons
    assert first.uncompared.empty
    if not first.agrees:
        second = agreement(differences(SECOND_SEED))
        both = first.beyond.merge(second.beyond, on=KEYS)
        assert both.empty, both.to_string()


@pytest.mark.reference
def test_posterior_equals_rstanarm(compared: Compared) -> None:
    """Mean, SD, median and limits of the intercept and of every coefficient."""

    def differences(seed: int) -> pd.DataFrame:
        ours = scalar_statistics(compared.fit(seed))
        return differences_in_error(ours, reference_coefficients(compared.name))

    assert_agree(differences, comparisons=5 * (1 + len(compared.cohort.study.terms)))


@pytest.mark.reference
def test_risks_equal_rstanarm(compared: Compared) -> None:
    """Mean and limits of the risks of the first 20 patients."""
    patients = compared.cohort.predictors.head(RISK_ROWS)

    def differences(seed: int) -> pd.DataFrame:
        ours = risk_statistics(compared.fit(seed), patients)
        return differences_in_error(ours, reference_risks(compared.name))

    assert_agree(differences, comparisons=3 * RISK_ROWS)


@pytest.mark.reference
def test_predicted_risks_are_those_compared(compared: Compared) -> None:
    fit = compared.fit(FIRST_SEED)
    table = risk_statistics(fit, compared.cohort.predictors.head(RISK_ROWS))
    ours = table.pivot_table(index="row", columns="statistic", values="estimate")
    predicted = bc.predict(fit, reference_design(compared.name).head(RISK_ROWS))
    for column, statistic in {"risk": "mean", "lower": "lower", "upper": "upper"}.items():
        np.testing.assert_allclose(predicted[column], ours[statistic], atol=1e-12)


@pytest.mark.reference
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


@pytest.mark.parametrize("compared", with_nuts, indirect=True, scope="module")
def test_gibbs_agrees_with_nuts(compared: Compared) -> None:
    """Also the scales, the totals and 20 risks, which rstanarm's reference does not hold."""
    cohort = compared.cohort

    def differences(seed: int) -> pd.DataFrame:
        gibbs = sampled(compared.name, "gibbs", seed)
        return engine_agreement(gibbs, compared.fit(seed), cohort=cohort)

    assert_agree(differences, comparisons=5 * (1 + len(cohort.study.terms) + 5 + 20))


CONTINUOUS = predictor("marker") + predictor("noise")
KEPT_IN = predictor("marker", prior="[0.3, 0.4]") + predictor("noise", shrink="false")
GROUP = predictor("group", kind="categorical", levels='["a", "b", "c"]')
STUDIES = {
    # name: predictors, prior, scalars beyond intercept, four coefficients and two totals
    "own priors": (KEPT_IN, "", ["log_tau", "log_c2", "m_eff"]),
    "student-t": (CONTINUOUS, '[prior]\nfamily = "student-t"\n', ["m_eff"]),
    "normal": (CONTINUOUS, '[prior]\nfamily = "normal"\n', []),
}


def simulated_patients(n: int = 150) -> pd.DataFrame:
    """Log-odds -0.5 + 0.8 marker + 1.2 [group is c]; the noise column does nothing."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "marker": rng.normal(size=n),
            "noise": rng.normal(size=n),
            "group": rng.choice(["a", "b", "c"], size=n),
        }
    )
    log_odds = -0.5 + 0.8 * table["marker"] + 1.2 * (table["group"] == "c")
    return table.assign(y=(rng.random(n) < 1 / (1 + np.exp(-log_odds))).astype(int))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("own priors", marks=slow),
        pytest.param("student-t", marks=slow),
        pytest.param("normal", marks=slow),
    ],
)
def test_gibbs_agrees_with_nuts_under_every_prior(name: str) -> None:
    predictors, prior, scalars = STUDIES[name]
    cohort = bc.load_cohort(study(predictors + GROUP, prior), simulated_patients())

    def differences(seed: int) -> pd.DataFrame:
        gibbs = bc.sample(cohort, engine="gibbs", seed=seed, draws=10_000)
        nuts = bc.sample(cohort, engine="nuts", seed=seed, draws=2500, target_accept=0.95)
        return engine_agreement(gibbs, nuts, cohort=cohort)

    assert_agree(differences, comparisons=5 * (1 + 4 + 2 + len(scalars) + 20))
