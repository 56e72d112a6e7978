"""Updates of a model by new patients: known shifts recovered, exact posteriors, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import optimize, stats
from scipy.special import expit, logit, logsumexp

import bayes_cmvt as bc
from bayes_cmvt import nuts, recalibrating, updating
from bayes_cmvt.cohort import Cohort, load_cohort
from bayes_cmvt.crossvalidation import leave_one_out
from bayes_cmvt.design import design_matrix
from bayes_cmvt.errors import OptionError
from bayes_cmvt.importance import pareto_smoothed
from bayes_cmvt.metrics import recalibration
from bayes_cmvt.posterior import design_of, log_bernoulli
from bayes_cmvt.prediction import predict
from bayes_cmvt.priors import CoefficientPrior, prior_draws
from bayes_cmvt.progress import SamplingState
from bayes_cmvt.recalibrating import Patients, SiteDraws, reweighted_site, sampled_site
from bayes_cmvt.refits import Refit, RefitLength, refit_draws
from bayes_cmvt.study import Study, parse_study
from bayes_cmvt.updates import (
    Update,
    judged_draws,
    left_out_of_draws,
    left_out_of_line,
    log_density,
    slope_stays_finite,
    updated_risk,
)
from bayes_cmvt.updating import LEVEL, LINE, REFIT, REWEIGHTED, SITE, STANDS, update_model
from tests.builders import predictor, study
from tests.references import SHARED

ALPHA, BETA = -1.2, np.array([1.0, -0.7, 0.0])
NAMES = [f"x{j}" for j in range(len(BETA))]


def a_study(rest: str = "") -> Study:
    return study("".join(predictor(name) for name in NAMES), rest)


def a_cohort(seed: int, n: int, *, delta0: float = 0.0, delta1: float = 0.0) -> Cohort:
    """Patients whose log-odds are delta0 + (1 + delta1) times those of the old population."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, len(BETA)))
    risk = expit(delta0 + (1 + delta1) * (ALPHA + x @ BETA))
    frame = pd.DataFrame(x, columns=NAMES).assign(y=(rng.random(n) < risk).astype(int))
    return load_cohort(a_study(), frame)


def of_fit(fit: xr.DataTree) -> SiteDraws:
    posterior = fit["posterior"]
    return SiteDraws(posterior["intercept"].to_numpy(), posterior["beta"].to_numpy())


def patients_of(fit: xr.DataTree, cohort: Cohort) -> Patients:
    return Patients(design_matrix(design_of(fit), cohort.predictors), cohort.outcome)


@pytest.fixture(scope="module")
def old() -> Cohort:
    return a_cohort(1, 300)


@pytest.fixture(scope="module")
def fit(old: Cohort) -> xr.DataTree:
    return bc.sample(old, seed=3, warmup=500, draws=2000)


@pytest.fixture(scope="module")
def alike(fit: xr.DataTree, old: Cohort) -> updating.Updates:
    """New patients of the same population."""
    return update_model(fit, old, a_cohort(4, 150), power_prior=False)


@pytest.fixture(scope="module")
def shifted(fit: xr.DataTree, old: Cohort) -> updating.Updates:
    """Many new patients, of higher risk and less spread."""
    new = a_cohort(5, 800, delta0=0.9, delta1=-0.25)
    return update_model(fit, old, new, power_prior=False)


# --- δ given the log-odds ------------------------------------------------------------------------


def a_site(seed: int, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(-1.5, 1.2, n)
    return log_odds, (rng.random(n) < expit(0.5 + 0.8 * log_odds)) - 0.5


def site_log_density(delta: np.ndarray, log_odds: np.ndarray, centred: np.ndarray) -> float:
    risk = expit(delta[0] + (1 + delta[1]) * log_odds)
    likelihood = stats.bernoulli.logpmf((centred > 0).astype(int), risk).sum()
    return float(likelihood + stats.norm.logpdf(delta, 0, [1, 0.25]).sum())


def site_grid(log_odds: np.ndarray, centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (δ0, δ1) and their unnormalised density, which includes the prior's constants."""
    points = np.stack(np.meshgrid(np.linspace(-4, 4, 201), np.linspace(-1.5, 1.5, 201)), axis=-1)
    eta = points[..., :1] + (1 + points[..., 1:]) * log_odds
    likelihood = log_bernoulli((centred > 0).astype(np.int8), eta).sum(axis=-1)
    return points, np.exp(likelihood + stats.norm.logpdf(points, 0, [1, 0.25]).sum(axis=-1))


@pytest.mark.parametrize("seed", range(3))
def test_the_density_of_a_site_is_likelihood_times_prior(seed: int) -> None:
    log_odds, centred = a_site(seed)
    points = np.random.default_rng(seed).normal(0, 0.5, (6, 2))
    ours = [recalibrating.log_site_density(*point, log_odds, centred) for point in points]
    theirs = [site_log_density(point, log_odds, centred) for point in points]
    np.testing.assert_allclose(np.diff(ours), np.diff(theirs), rtol=1e-9)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_the_proposal_sits_at_the_mode_with_the_curvature_there(scale: float) -> None:
    log_odds, centred = a_site(7)
    log_odds = scale * log_odds
    found = recalibrating.site_proposal(log_odds, centred)
    mode = np.array([found.mode0, found.mode1])
    best = optimize.minimize(
        lambda delta: -site_log_density(delta, log_odds, centred), mode, method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-12},
    )  # fmt: skip
    np.testing.assert_allclose(mode, best.x, atol=2e-5)
    risk = expit(mode[0] + (1 + mode[1]) * log_odds)
    columns = np.column_stack([np.ones(len(risk)), log_odds])
    precision = (columns * (risk * (1 - risk))[:, None]).T @ columns + np.diag([1, 16])
    root = np.array([[found.root00, found.root01], [0, found.root11]])
    np.testing.assert_allclose(root.T @ root, precision, rtol=1e-6)


def test_proposed_sites_integrate_the_density() -> None:
    log_odds, centred = a_site(8)
    rows = np.repeat(log_odds[None], 40_000, axis=0)
    deltas, log_ratios = recalibrating.propose_sites(np.random.default_rng(0), rows, centred)
    points, density = site_grid(log_odds, centred)
    cell = (8 / 200) * (3 / 200)
    # the constants that both leave out: of the normal priors, and 1/2π of a bivariate t
    constants = np.log(2 * np.pi) - np.log(2 * np.pi * 0.25)
    estimate = logsumexp(log_ratios) - np.log(len(rows)) + constants
    assert estimate == pytest.approx(np.log(density.sum() * cell), abs=0.01)
    weights = np.exp(log_ratios - log_ratios.max())
    exact = np.tensordot(density, points, 2) / density.sum()
    np.testing.assert_allclose(np.average(deltas, axis=0, weights=weights), exact, atol=0.01)


def test_steps_of_a_site_leave_its_density_invariant() -> None:
    log_odds, centred = a_site(9)
    rng = np.random.default_rng(2)
    delta, kept = (3.0, -0.9), []
    for _ in range(20_000):
        delta = recalibrating.move_site(rng, *delta, log_odds, centred)
        kept.append(delta)
    drawn = np.array(kept[50:])
    points, density = site_grid(log_odds, centred)
    flat, share = points.reshape(-1, 2), density.ravel() / density.sum()
    np.testing.assert_allclose(drawn.mean(axis=0), share @ flat, atol=0.02)
    np.testing.assert_allclose(
        np.cov(drawn.T), np.cov(flat.T, aweights=share), atol=0.02, rtol=0.05
    )
    assert np.mean(np.diff(drawn[:, 0]) != 0) > 0.8


# --- The model of a site -------------------------------------------------------------------------


def normal_prior(coefficients: int = 1) -> CoefficientPrior:
    return CoefficientPrior(
        family="normal",
        shrunk=np.ones(coefficients, dtype=bool),
        own_mean=np.full(coefficients, np.nan),
        own_sd=np.full(coefficients, np.nan),
        global_scale=np.nan,
        slab_scale=2.0,
        slab_df=4.0,
        scale=1.0,
        df=4.0,
        intercept_family="normal",
        intercept_scale=1.5,
        n=30,
        pseudo_sd=2.0,
    )


def few(seed: int, n: int, level: float) -> Patients:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 1))
    return Patients(x, (rng.random(n) < expit(level + 1.2 * x[:, 0])).astype(np.int8))


def exact_site(old: Patients, new: Patients) -> dict[str, tuple[float, float]]:
    """Mean and SD of α, β, δ0, δ1 on a grid of four dimensions."""
    size = 37
    alpha = np.linspace(-4.5, 1.5, size)[:, None, None, None]
    beta = np.linspace(-1.5, 4, size)[:, None, None]
    delta0 = np.linspace(-3, 4, size)[:, None]
    delta1 = np.linspace(-1.1, 1.1, size)
    total = stats.norm.logpdf(alpha, 0, 1.5) + stats.norm.logpdf(beta)
    total = total + stats.norm.logpdf(delta0) + stats.norm.logpdf(delta1, 0, 0.25)
    for x, y in zip(old.matrix[:, 0], old.outcome, strict=True):
        total += log_bernoulli(y, alpha + beta * x)
    for x, y in zip(new.matrix[:, 0], new.outcome, strict=True):
        total += log_bernoulli(y, delta0 + (1 + delta1) * (alpha + beta * x))
    share = np.exp(total - total.max())
    share /= share.sum()
    found = {}
    for axis, (name, values) in enumerate(
        {"alpha": alpha, "beta": beta, "delta0": delta0, "delta1": delta1}.items()
    ):
        margin = share.sum(axis=tuple(k for k in range(4) if k != axis))
        mean = float(margin @ values.ravel())
        found[name] = (mean, float(np.sqrt(margin @ (values.ravel() - mean) ** 2)))
    return found


def population(draws: SiteDraws) -> dict[str, np.ndarray]:
    """α, β of the old population and δ from draws at the site."""
    assert draws.delta0 is not None
    assert draws.delta1 is not None
    alpha = (draws.intercept - draws.delta0) / (1 + draws.delta1)
    beta = draws.beta[..., 0] / (1 + draws.delta1)
    return {"alpha": alpha, "beta": beta, "delta0": draws.delta0, "delta1": draws.delta1}


def test_a_site_is_sampled_from_its_exact_posterior_with_and_without_the_old_rows() -> None:
    """Tolerance: 4 Monte Carlo errors at 2,000 effective draws, and the grid's own 0.005."""
    old, new = few(21, 30, -1.5), few(22, 20, 0.3)
    exact = exact_site(old, new)
    prior, seed = normal_prior(), np.random.SeedSequence(1)
    length = RefitLength(chains=2, warmup=300, draws=6000)
    sampled = population(sampled_site(old, new, prior, seed, length=length, cores=2))
    fitted = refit_draws(Refit(old.matrix, old.outcome, prior, old.matrix, seed), length)
    draws = reweighted_site(SiteDraws(fitted.intercept, fitted.beta), new, seed)
    assert draws.log_ratios is not None
    weights = np.exp(pareto_smoothed(draws.log_ratios.ravel()).log_weights)
    reweighted = population(draws)
    for name, (mean, sd) in exact.items():
        error = 4 * sd / np.sqrt(2000) + 0.005
        assert sampled[name].mean() == pytest.approx(mean, abs=error), name
        assert sampled[name].std() == pytest.approx(sd, rel=0.07), name
        values = reweighted[name].ravel()
        centre = np.average(values, weights=weights)
        assert centre == pytest.approx(mean, abs=error), name
        spread = np.sqrt(np.average((values - centre) ** 2, weights=weights))
        assert spread == pytest.approx(sd, rel=0.07), name


def test_draws_of_a_site_do_not_depend_on_the_number_of_cores() -> None:
    old, new, seed = few(21, 30, -1.5), few(22, 20, 0.3), np.random.SeedSequence(8)
    length = RefitLength(chains=3, warmup=20, draws=30)
    one, two = (
        sampled_site(old, new, normal_prior(), seed, length=length, cores=cores) for cores in (1, 2)
    )
    np.testing.assert_array_equal(one.beta, two.beta)
    np.testing.assert_array_equal(one.delta1, two.delta1)


@pytest.mark.slow
def test_ranks_of_the_truth_are_uniform_under_the_horseshoe() -> None:
    """Simulation-based calibration (Talts et al. 2018) of the kernel of a site."""
    rng = np.random.default_rng(77)
    old_x, new_x = rng.normal(size=(60, 2)), rng.normal(size=(50, 2))
    prior = replace(
        normal_prior(2), family="regularized-horseshoe", global_scale=0.5, n=60, slab_scale=1.0
    )
    length = RefitLength(chains=1, warmup=100, draws=990)
    ranks: dict[str, list[int]] = {"alpha": [], "beta": [], "delta0": [], "delta1": []}
    for stream in np.random.SeedSequence(5).spawn(400):
        rng = np.random.default_rng(stream)
        drawn = prior_draws(prior, 1, rng)
        truth = {"alpha": drawn.intercept[0], "beta": drawn.beta[0, 0]}
        truth |= {"delta0": rng.normal(), "delta1": rng.normal(0, 0.25)}
        at_old = truth["alpha"] + old_x @ drawn.beta[0]
        at_new = truth["delta0"] + (1 + truth["delta1"]) * (truth["alpha"] + new_x @ drawn.beta[0])
        old, new = (
            Patients(x, (rng.random(len(x)) < expit(eta)).astype(np.int8))
            for x, eta in ((old_x, at_old), (new_x, at_new))
        )
        found = population(sampled_site(old, new, prior, stream, length=length, cores=1))
        for name, value in truth.items():
            ranks[name].append(int((found[name].ravel()[::10] < value).sum()))
    for name, values in ranks.items():
        counts = np.histogram(values, bins=10, range=(0, 100))[0]
        assert stats.chisquare(counts).pvalue > 0.001, name


# --- All updates of one model --------------------------------------------------------------------


def test_a_known_shift_is_recovered(fit: xr.DataTree, shifted: updating.Updates) -> None:
    table = shifted.table.set_index("update")
    site = table.loc[SITE]
    assert site["slope_lower"] < 0.75 < site["slope_upper"]
    assert site["intercept_lower"] < 0.9 < site["intercept_upper"]
    for name in (LEVEL, LINE, SITE, REFIT):
        assert table.loc[name, "elpd_diff"] > 2 * table.loc[name, "elpd_diff_se"] > 0, name
    # one population cannot follow as far as a site of its own
    assert table.loc[SITE, "elpd"] > table.loc[REFIT, "elpd"]


def test_updated_risks_are_right_for_other_patients_of_the_new_site(
    fit: xr.DataTree, shifted: updating.Updates
) -> None:
    others = patients_of(fit, a_cohort(11, 2000)).matrix
    x = a_cohort(11, 2000).predictors.to_numpy()
    truth = expit(0.9 + 0.75 * (ALPHA + x @ BETA))
    error = {
        name: np.sqrt(np.mean((updated_risk(update, others) - truth) ** 2))
        for name, update in shifted.updates.items()
    }
    assert error[STANDS] > 0.2
    assert max(error[LINE], error[SITE]) < 0.05


def test_reweighting_is_refused_where_the_new_site_is_far_away(shifted: updating.Updates) -> None:
    row = shifted.table.set_index("update").loc[REWEIGHTED]
    assert row["pareto_k"] > 0.7
    assert row["note"].startswith(f"refused: k-hat {row['pareto_k']:.2f} is above 0.7")
    assert np.isnan(row["elpd"])
    assert row["bad_k"] is pd.NA
    assert REWEIGHTED not in shifted.updates
    assert REWEIGHTED not in shifted.risks


def test_updates_by_the_same_population_agree(alike: updating.Updates) -> None:
    table = alike.table.set_index("update")
    assert list(table.index) == [STANDS, LEVEL, LINE, SITE, REWEIGHTED, REFIT]
    assert table.loc[STANDS, "elpd_diff"] == table.loc[STANDS, "elpd_diff_se"] == 0
    others = table.drop(STANDS)
    assert (others["elpd_diff"].abs() < 3 * others["elpd_diff_se"] + 0.5).all()
    assert (table["bad_k"] == 0).all()
    assert table.loc[SITE, "intercept_lower"] < 0 < table.loc[SITE, "intercept_upper"]
    assert table.loc[SITE, "slope_lower"] < 1 < table.loc[SITE, "slope_upper"]


def test_reweighted_draws_are_those_of_the_refit(alike: updating.Updates) -> None:
    """Two ways to one posterior; risks agree to a few Monte Carlo errors."""
    table = alike.table.set_index("update")
    assert table.loc[REWEIGHTED, "pareto_k"] < 0.7
    np.testing.assert_allclose(alike.risks[REWEIGHTED], alike.risks[REFIT], atol=0.01)
    assert table.loc[REWEIGHTED, "elpd"] == pytest.approx(table.loc[REFIT, "elpd"], abs=0.2)


def test_a_refit_narrows_the_posterior(fit: xr.DataTree, alike: updating.Updates) -> None:
    before = fit["posterior"]["beta"].to_numpy()[..., :2].std(axis=(0, 1))
    after = alike.updates[REFIT].draws.beta[..., :2].std(axis=(0, 1))
    # 450 patients instead of 300: by a fifth, but for the prior
    assert (after < 0.95 * before).all()


def test_a_site_is_the_same_without_the_old_rows(fit: xr.DataTree, alike: updating.Updates) -> None:
    without = update_model(fit, None, a_cohort(4, 150))
    table = without.table.set_index("update")
    sampled = alike.table.set_index("update").loc[SITE]
    row = table.loc[SITE]
    assert row["pareto_k"] < 0.7
    assert row["elpd"] == pytest.approx(sampled["elpd"], abs=0.2)
    for name in ("intercept", "slope", "intercept_lower", "slope_upper"):
        assert row[name] == pytest.approx(sampled[name], abs=0.05), name
    np.testing.assert_allclose(without.risks[SITE], alike.risks[SITE], atol=0.01)
    left_out = table.loc[[REFIT, "power prior 0.25", "power prior 0.5"]]
    assert left_out["note"].str.contains("needs the patients that the model was developed").all()
    assert left_out["elpd"].isna().all()


def test_risks_as_it_stands_are_those_of_the_model(
    fit: xr.DataTree, alike: updating.Updates
) -> None:
    new = a_cohort(4, 150)
    risk = predict(fit, new)["risk"].to_numpy()
    np.testing.assert_allclose(alike.risks[STANDS], risk, rtol=1e-12)
    density = np.where(new.outcome == 1, np.log(risk), np.log1p(-risk))
    np.testing.assert_allclose(alike.updates[STANDS].elpd, density, rtol=1e-10)


def test_risks_on_a_line_are_recalibrated_logits(alike: updating.Updates) -> None:
    new = a_cohort(4, 150)
    found = recalibration(new.outcome, alike.risks[STANDS])
    by_hand = expit(found.intercept + found.slope * logit(alike.risks[STANDS]))
    np.testing.assert_allclose(alike.risks[LINE], by_hand, rtol=1e-10)
    # maximum likelihood makes the expected events those observed
    assert alike.risks[LEVEL].sum() == pytest.approx(new.outcome.sum(), rel=1e-9)
    row = alike.table.set_index("update").loc[LINE]
    assert (row["slope"], row["slope_lower"]) == (found.slope, found.slope_lower)


def test_updated_risks_of_other_patients_are_means_over_the_draws(
    fit: xr.DataTree, alike: updating.Updates
) -> None:
    others = patients_of(fit, a_cohort(9, 20)).matrix
    update = alike.updates[REWEIGHTED]
    assert update.log_weights is not None
    risk = expit(update.draws.intercept[..., None] + update.draws.beta @ others.T)
    by_hand = (np.exp(update.log_weights)[..., None] * risk).sum(axis=(0, 1))
    np.testing.assert_allclose(updated_risk(update, others), by_hand, rtol=1e-10)


def test_progress_names_the_update(
    fit: xr.DataTree, old: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updating, "LENGTH", RefitLength(chains=4, warmup=100, draws=1000))
    seen: list[SamplingState] = []
    update_model(fit, old, a_cohort(4, 60), power_prior=False, report=seen.append)
    names = {state.details for state in seen}
    assert names <= {SITE, REFIT}
    assert SITE in names


# --- Left out ------------------------------------------------------------------------------------


@pytest.mark.parametrize("free_slope", [False, True])
def test_leaving_out_of_a_line_is_fitting_it_again(free_slope: bool) -> None:
    rng = np.random.default_rng(3)
    risk = expit(rng.normal(-1, 1, 40))
    outcome = (rng.random(40) < expit(0.4 + 0.7 * logit(risk))).astype(np.int8)
    found = recalibration(outcome, risk)
    line = (found.intercept, found.slope) if free_slope else (found.in_the_large, 1.0)
    ours = left_out_of_line(outcome, risk, line, free_slope=free_slope)
    for i in range(40):
        rest = recalibration(np.delete(outcome, i), np.delete(risk, i))
        one = (rest.intercept, rest.slope) if free_slope else (rest.in_the_large, 1.0)
        expected = log_bernoulli(outcome[i : i + 1], one[0] + one[1] * logit(risk[i : i + 1]))
        assert ours[i] == pytest.approx(expected[0], rel=1e-7)


def test_a_slope_that_one_patient_keeps_finite_is_noticed() -> None:
    risk = np.array([0.1, 0.2, 0.3, 0.35, 0.6, 0.7, 0.8])
    overlapping = np.array([0, 1, 0, 1, 0, 1, 1], dtype=np.int8)
    by_one = np.array([0, 0, 1, 0, 1, 1, 1], dtype=np.int8)
    assert slope_stays_finite(overlapping, risk)
    assert not slope_stays_finite(by_one, risk)


def test_leaving_out_of_draws_is_that_of_arviz(pep_fit: xr.DataTree, pep_cohort: Cohort) -> None:
    """Draws of a fit, left out of its own patients; the efficiencies differ by a little."""
    theirs = leave_one_out(pep_fit)
    found = judged_draws("fit", of_fit(pep_fit), patients_of(pep_fit, pep_cohort), note="")
    assert isinstance(found, Update)
    np.testing.assert_allclose(found.elpd, theirs.patients["elpd"], atol=1e-3)
    assert found.bad_k == theirs.bad


def test_leaving_out_of_weighted_draws_is_leaving_out_of_the_others(fit: xr.DataTree) -> None:
    """Weights of all new patients but one, from the fit, which has seen none of them."""
    draws, new = of_fit(fit), patients_of(fit, a_cohort(4, 12))
    eta = draws.intercept[..., None] + draws.beta @ new.matrix.T
    likelihood = log_bernoulli(new.outcome, eta)
    elpd, _ = left_out_of_draws(replace(draws, log_ratios=likelihood.sum(axis=-1)), new)
    for i in range(12):
        others = np.delete(likelihood, i, axis=-1).sum(axis=-1)
        weights = pareto_smoothed(others.ravel()).log_weights
        assert elpd[i] == pytest.approx(logsumexp(weights + likelihood[..., i].ravel()), abs=1e-9)


def test_log_density_is_that_of_the_mean_risk(fit: xr.DataTree) -> None:
    draws, new = of_fit(fit), patients_of(fit, a_cohort(6, 15))
    risk = expit(draws.intercept[..., None] + draws.beta @ new.matrix.T).mean(axis=(0, 1))
    np.testing.assert_allclose(
        np.exp(log_density(draws, new)), np.where(new.outcome, risk, 1 - risk)
    )


# --- Refusals ------------------------------------------------------------------------------------


def test_few_new_events_leave_no_line(fit: xr.DataTree) -> None:
    new = a_cohort(4, 40)
    single = replace(new, outcome=(np.arange(40) == 3).astype(np.int8))
    table = update_model(fit, None, single, power_prior=False).table.set_index("update")
    assert table.loc[LEVEL, "note"] == "left out: it needs two new patients of either outcome"
    assert np.isnan(table.loc[LINE, "elpd"])
    assert np.isfinite(table.loc[SITE, "elpd"])


def test_separated_outcomes_leave_no_slope(fit: xr.DataTree) -> None:
    new = a_cohort(4, 40)
    risk = predict(fit, new)["risk"].to_numpy()
    separated = replace(new, outcome=(risk > np.median(risk)).astype(np.int8))
    table = update_model(fit, None, separated, power_prior=False).table.set_index("update")
    assert "no finite slope" in table.loc[LINE, "note"]
    assert np.isfinite(table.loc[LEVEL, "elpd"])


def test_cohorts_of_another_study_are_refused(fit: xr.DataTree, pep_cohort: Cohort) -> None:
    with pytest.raises(OptionError, match=r'study "pep" and has other predictors than the fit'):
        update_model(fit, None, pep_cohort)


def test_old_patients_must_be_those_of_the_fit(fit: xr.DataTree, old: Cohort) -> None:
    moved = replace(old, predictors=old.predictors + 1)
    for other in (a_cohort(2, 300), a_cohort(2, 40), moved):
        with pytest.raises(OptionError, match="the fit did not learn from the development rows"):
            update_model(fit, other, a_cohort(4, 50))


def test_interval_probability_is_checked(fit: xr.DataTree) -> None:
    with pytest.raises(OptionError, match="between 0 and 1"):
        update_model(fit, None, a_cohort(4, 50), ci_prob=95)


# --- Power priors --------------------------------------------------------------------------------


def power_moments(old: Patients, new: Patients, power: float) -> np.ndarray:
    """Mean and SD of α and β on a grid: the old likelihood counts with a power."""
    alpha, beta = np.linspace(-4, 3, 301)[:, None], np.linspace(-2, 4, 301)
    total = stats.norm.logpdf(alpha, 0, 1.5) + stats.norm.logpdf(beta)
    for patients, weight in ((old, power), (new, 1.0)):
        for x, y in zip(patients.matrix[:, 0], patients.outcome, strict=True):
            total = total + weight * log_bernoulli(y, alpha + beta * x)
    share = np.exp(total - total.max())
    share /= share.sum()
    moments = []
    for axis, values in enumerate((alpha.ravel(), beta)):
        margin = share.sum(axis=1 - axis)
        mean = margin @ values
        moments += [mean, np.sqrt(margin @ (values - mean) ** 2)]
    return np.array(moments)


@pytest.mark.slow
def test_power_priors_are_those_of_a_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    """One compilation for both powers; tolerance 4 Monte Carlo errors of 1,500 effective draws."""
    monkeypatch.setattr(updating, "NUTS_TARGET", 0.9)
    settings = (
        '[prior]\nfamily = "normal"\nscale = 1.0\nintercept = "normal"\nintercept_scale = 1.5\n'
    )
    one = study(predictor("x"), settings)
    old, new = few(31, 40, -1.0), few(32, 25, 0.5)
    cohorts = [
        load_cohort(one, pd.DataFrame({"x": part.matrix[:, 0], "y": part.outcome.astype(int)}))
        for part in (old, new)
    ]
    fitted = bc.sample(cohorts[0], seed=1, warmup=200, draws=1000)
    compilations = []
    compile_nuts = nuts.compile_nuts
    monkeypatch.setattr(
        nuts, "compile_nuts", lambda *a, **k: compilations.append(1) or compile_nuts(*a, **k)
    )
    found = update_model(fitted, *cohorts)
    assert len(compilations) == 1
    rows = [patients_of(fitted, cohort) for cohort in cohorts]
    for name, power in (("power prior 0.25", 0.25), ("power prior 0.5", 0.5), (REFIT, 1.0)):
        draws = found.updates[name].draws
        ours = [
            summary(values)
            for values in (draws.intercept, draws.beta[..., 0])
            for summary in (np.mean, np.std)
        ]
        expected = power_moments(*rows, power)
        np.testing.assert_allclose(ours, expected, atol=0.1 * expected[1::2].max(), err_msg=name)
        assert found.table.set_index("update").loc[name, "bad_k"] == 0


# --- A published model at hospitals of its own ---------------------------------------------------

OUDEGA = {
    "malign": 0.42, "surg": 0.38, "calfdif3": 1.13, "vein": 0.48, "oachst": 0.75, "sex": 0.59,
    "notraum": 0.60, "ddimdich": 3.01,
}  # fmt: skip
DVT = SHARED / "data" / "dvt_ipd_hypothetical.csv"


@pytest.mark.slow
@pytest.mark.skipif(not DVT.is_file(), reason="../shared is not beside this repository")
def test_a_published_model_is_updated_at_another_hospital() -> None:
    """Hypothetical patients of four hospitals (metamisc); Oudega's coefficients as the prior."""
    table = pd.read_csv(DVT)
    names = [name for name in table.columns if name not in ("dvt", "study")]
    declared = "".join(
        predictor(name, "binary", **({"prior": [OUDEGA[name], 0.3]} if name in OUDEGA else {}))
        for name in names
    )
    outcome = '[outcome]\ncolumn = "dvt"\nevent = 1\n'
    dvt = parse_study('schema = 1\nname = "dvt"\ntitle = "DVT"\n' + outcome + declared)
    first, second = (
        load_cohort(dvt, table[table["study"] == place].drop(columns="study")) for place in "bd"
    )
    fitted = bc.sample(first, seed=1)
    found = update_model(fitted, first, second).table.set_index("update")
    without = update_model(fitted, None, second, power_prior=False).table.set_index("update")
    # hospital d has a third of the events that b's model expects
    assert (found["intercept_upper"].loc[[LEVEL, LINE, SITE]] < 0).all()
    updated = found.drop(STANDS)
    assert (updated["elpd_diff"] > 0).all()
    assert (
        found.loc[[SITE, REFIT], "elpd_diff"] > 2 * found.loc[[SITE, REFIT], "elpd_diff_se"]
    ).all()
    for name in (SITE, REWEIGHTED):
        assert without.loc[name, "elpd"] == pytest.approx(found.loc[name, "elpd"], abs=0.3)
    for name in ("intercept", "slope"):
        assert without.loc[SITE, name] == pytest.approx(found.loc[SITE, name], abs=0.05)
