"""Simulation-based calibration: its test of ranks, its replicates, and what it finds."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayes_cmvt as bc
from bayes_cmvt import chains, gibbs, recovery
from bayes_cmvt.errors import OptionError, SamplingError
from bayes_cmvt.posterior import Draws
from bayes_cmvt.priors import prior_draws
from bayes_cmvt.progress import SamplingState
from bayes_cmvt.simulation import sbc
from bayes_cmvt.simulation import tested_quantities as ranked
from bayes_cmvt.simulation.rank_envelope import RankTest, rank_test, ranks_of, thinned_evenly
from bayes_cmvt.simulation.sbc import ChainLength, SbcPlan
from bayes_cmvt.workers import Workers, joined
from tests.builders import numeric_cohort

TERMS = ("a", "b", "c")
SHORT = ChainLength(5, 99, 99, ess=0)  # where what the chain finds does not matter


def small_plan(engine="gibbs", length=SHORT, family="regularized-horseshoe", **changed):
    """10 patients, 3 columns, a prior under which a wrong horseshoe shows: that of `recovery`."""
    own = (0.7, 0.8) if family == "normal" else None
    prior = replace(recovery.small_prior(family, own), **changed)
    matrix = recovery.small_design(np.random.default_rng(1))
    return SbcPlan(matrix, TERMS, prior, engine, 3, 100, length)


def tables(plan, arrays):
    return sbc.sbc_tables(plan, ranked.tested_labels(plan.prior, TERMS, TERMS), arrays)


# --- even ranks ----------------------------------------------------------------------------------


def every_case(test: RankTest):
    """Counts of every way in which ranks can fall, and its probability."""
    cells = test.ranks + 1
    cases = itertools.product(range(test.replications + 1), repeat=cells)
    counts = np.array([case for case in cases if sum(case) == test.replications])
    return counts, stats.multinomial(test.replications, np.full(cells, 1 / cells)).pmf(counts)


def below(counts):
    return np.cumsum(counts, axis=-1)[..., :-1]


@pytest.mark.parametrize(("replications", "ranks"), [(1, 1), (5, 3), (8, 2)])
def test_p_value_is_that_of_counting_every_case(replications, ranks):
    """The definition, with scipy's binomial: P(min over k of the two-sided probability <= seen)."""
    test = rank_test(replications, ranks)
    counts, probability = every_case(test)
    law = stats.binom(replications, np.arange(1, ranks + 1) / (ranks + 1))
    tails = np.minimum(law.cdf(below(counts)), law.sf(below(counts) - 1))
    smallest = np.minimum(1, 2 * tails).min(axis=1)
    for case, seen in zip(counts, smallest, strict=True):
        expected = probability[smallest <= seen * (1 + 1e-9)].sum()
        found = test.p_value(np.repeat(np.arange(ranks + 1), case))
        assert found == pytest.approx(expected, rel=1e-9)


def test_envelope_and_p_value_say_the_same_and_it_is_as_wide_as_allowed_but_no_wider():
    test = rank_test(8, 3)
    counts, probability = every_case(test)
    for outside in (0.05, 0.2):
        low, high = test.envelope(outside)
        up_to = np.cumsum(counts, axis=1)
        inside = ((up_to >= low) & (up_to <= high)).all(axis=1)
        p = [test.p_value(np.repeat(np.arange(4), case)) for case in counts]
        np.testing.assert_array_equal(inside, np.array(p) > outside)
        assert probability[~inside].sum() <= outside
        # the next narrower band would be left too often
        most_extreme = min(value for value in p if value > outside)
        assert probability[np.array(p) <= most_extreme * (1 + 1e-9)].sum() > outside
    assert low[-1] == high[-1] == 8


def test_p_values_of_even_ranks_are_even():
    """At 200 ranks it is fine enough; the envelope is left by one in twenty."""
    test, rng = rank_test(200), np.random.default_rng(5)
    p = [test.p_value(one) for one in rng.integers(0, 100, (100, 200))]
    assert stats.kstest(p, "uniform").pvalue > 0.001
    low, high = test.envelope(0.05)
    counts = [np.bincount(one, minlength=100) for one in rng.integers(0, 100, (2000, 200))]
    up_to = np.cumsum(counts, axis=1)
    left = ((up_to < low) | (up_to > high)).any(axis=1).mean()
    assert left == pytest.approx(0.05, abs=0.015)  # 3 standard errors


def test_critical_probability_is_that_which_arviz_simulates():
    from arviz_stats.ecdf_utils import simulate_confidence_bands

    points, rng = np.arange(1, 20) / 20, np.random.default_rng(6)
    pointwise = simulate_confidence_bands(100, 1, points, 0.95, 2000, rng)
    # 3 standard errors, and the steps of a distribution that is discrete
    assert rank_test(100, 19).distribution(1 - pointwise) == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize("power", [(0.8, 1), (0.6, 0.6), (1.6, 1.6)])
def test_shifted_and_too_wide_and_too_narrow_ranks_are_found(power):
    ranks = (100 * np.random.default_rng(7).beta(*power, 1000)).astype(int)
    assert rank_test(1000).p_value(ranks) < 0.05 / 40


def test_p_values_of_hopeless_ranks_are_tiny_but_no_rounding_error():
    """All 200 ranks 0: the count below 1 has probability 100^-200, of 99 chances to be so small."""
    p = rank_test(100, 99).p_value(np.zeros(100, dtype=int))
    assert 1e-200 < p <= 2 * 99 * 1e-200 * (1 + 1e-9)


def test_a_conjugate_model_ranks_evenly_and_its_neighbour_does_not():
    """A share with a uniform prior, 10 patients: Beta(1 + y, 11 - y); ties rank at random."""
    rng, n = np.random.default_rng(8), 600
    truth = rng.random(n)
    events = rng.binomial(10, truth)
    right = rng.beta(1 + events, 11 - events, (99, n))
    wrong = rng.beta(1 + events, 14 - events, (99, n))
    ranks = {name: ranks_of(truth, one, rng) for name, one in (("r", right), ("w", wrong))}
    assert rank_test(n).p_value(ranks["r"]) > 0.01
    assert rank_test(n).p_value(ranks["w"]) < 1e-6
    grid = ranks_of(np.round(truth, 1), np.round(right, 1), rng)
    assert rank_test(n).p_value(grid) > 0.01
    np.testing.assert_array_equal(ranks_of(np.array([2.0]), np.array([[1.0], [3.0]]), rng), 1)


# --- what is tested ------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["regularized-horseshoe", "student-t", "normal"])
def test_tested_values_are_their_definitions(family):
    plan = small_plan(family=family)
    rng = np.random.default_rng(2)
    drawn = prior_draws(plan.prior, 6, rng)
    shape = (2, 3)
    draws = Draws(
        intercept=drawn.intercept.reshape(shape),
        beta=drawn.beta.reshape(*shape, 3),
        tau=None if drawn.tau is None else drawn.tau.reshape(shape),
        local=None,
        slab=None if drawn.slab is None else drawn.slab.reshape(shape),
        sample_stats={},
    )
    outcome = np.arange(20) % 2  # the patients twice
    values = ranked.tested_values(plan.prior, plan.matrix, outcome, draws)
    names = ranked.tested_quantities(plan.prior, TERMS)
    assert values.shape == (6, len(names))
    found = dict(zip(names, values.T, strict=True))
    risk = 1 / (1 + np.exp(-(drawn.intercept[:, None] + drawn.beta @ plan.matrix.T)))
    masses = np.where(outcome == 1, np.tile(risk, 2), 1 - np.tile(risk, 2))
    expected = {
        "alpha": drawn.intercept,
        "|beta[b]|": abs(drawn.beta[:, 1]),
        "||beta||": np.linalg.norm(drawn.beta, axis=1),
        "log_lik": np.log(masses).sum(axis=1),
    }
    if family == "normal":  # the first column has a prior of its own, not symmetric about 0
        expected["beta[a]"] = drawn.beta[:, 0]
    if family == "regularized-horseshoe":
        expected |= {"tau": drawn.tau, "c2": drawn.slab**2}
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, err_msg=name)
    order = np.argsort((plan.matrix**2).sum(axis=1))
    for name, place in (("near", 1), ("typical", 4), ("far", 8)):
        log_odds = found[f"risk[{name}]"]
        np.testing.assert_allclose(1 / (1 + np.exp(-log_odds)), risk[:, order[place]], rtol=1e-9)
    assert ("tau" in found) == (family == "regularized-horseshoe")
    assert len(names) == len(set(names)) == 9 + 2 * (family == "regularized-horseshoe")


# --- replicates ----------------------------------------------------------------------------------


def test_replicates_do_not_depend_on_how_numbers_are_cut():
    plan = small_plan()
    whole = sbc.sbc_block(plan, range(6))
    cut = joined([sbc.sbc_block(plan, block) for block in (range(1), range(1, 5), range(5, 6))])
    assert whole.keys() == cut.keys()
    for name, values in whole.items():
        np.testing.assert_array_equal(values, cut[name])
    assert whole["ranks"].min() >= 0
    assert whole["ranks"].max() <= 99
    assert len(np.unique(whole["ranks"][:, 0])) > 3


def test_data_sets_are_redrawn_by_their_share_of_events_alone_and_counted():
    """Shares below 10 % and above 90 %: at 10 patients none and all have the event."""
    plan = small_plan(intercept_scale=6.0)
    arrays = sbc.sbc_block(plan, range(40))
    rng = np.random.default_rng(4)
    drawn = prior_draws(plan.prior, 20_000, rng)
    risk = 1 / (1 + np.exp(-(drawn.intercept[:, None] + drawn.beta @ plan.matrix.T)))
    few, many = np.prod(1 - risk, axis=1).mean(), np.prod(risk, axis=1).mean()
    kept = 1 - few - many
    for name, lost in (("too_few", few), ("too_many", many)):
        odds = lost / kept  # redrawn for each that is kept: geometric
        assert arrays[name].mean() == pytest.approx(odds, abs=4 * np.sqrt(odds * (1 + odds) / 40))
    outcomes = tables(plan, arrays).sbc_outcomes.set_index("outcome")["replicates"]
    assert outcomes["kept"] == 40
    assert outcomes["too few events"] == arrays["too_few"].sum()
    assert list(outcomes.index) == [
        "kept",
        "too few events",
        "too many events",
        "lengthened",
        "short",
    ]


def test_a_prior_that_gives_no_data_set_is_named(monkeypatch):
    monkeypatch.setattr(sbc, "MOST_REDRAWN", 20)
    plan = small_plan(intercept_scale=1e9)
    with pytest.raises(SamplingError, match="20 data sets in a row had events in fewer than 10%"):
        sbc.sbc_block(plan, range(1))


def test_a_chain_that_falls_short_is_made_longer_up_to_a_limit_and_kept():
    short = small_plan(length=ChainLength(10, 100, 400, ess=1e9))
    arrays = sbc.sbc_block(short, range(3))
    assert arrays["lengthened"].all()
    assert arrays["short"].all()
    assert (arrays["sweeps"] == 440).all()
    long = sbc.sbc_block(small_plan(length=ChainLength(10, 100, 400, ess=0)), range(3))
    assert not long["lengthened"].any()
    assert not long["short"].any()
    assert (long["sweeps"] == 110).all()


def test_thinned_draws_are_evenly_spaced_and_end_with_the_last():
    found = thinned_evenly(np.arange(2000)[:, None])[:, 0]
    assert len(found) == 99
    assert found[-1] == 1999
    assert set(np.diff(found)) <= {20, 21}


def test_what_never_moves_has_no_effective_draws():
    values = np.random.default_rng(1).normal(size=(1, 400, 2))
    values[..., 1] = 1.0
    moving, still = sbc.effective_draws(values)
    assert 250 < moving < 600
    assert still == 0


# --- right and wrong samplers --------------------------------------------------------------------

PROOF = ChainLength(100, 500, 4000, ess=150)


def test_the_engine_passes_and_the_one_without_the_normaliser_is_caught():
    plan = small_plan(length=PROOF)
    right = tables(plan, sbc.sbc_block(plan, range(24)))
    assert right.passed, right.sbc.to_string()
    plan = replace(plan, engine="gibbs-without-normaliser")
    wrong = tables(plan, sbc.sbc_block(plan, range(24)))
    assert not wrong.passed
    table = wrong.sbc.set_index("quantity")
    assert not table.loc[["tau", "||beta||"], "inside_envelope"].any(), table.to_string()
    assert set(wrong.sbc["engine"]) == {"gibbs-without-normaliser"}


def test_wrong_densities_lack_the_normaliser_and_nothing_else():
    """The joint density times prod_j 1 / sqrt(c^2 + tau^2 lambda_j^2)."""
    beta, products = np.array([0.3, -1.2]), np.array([-0.4, 2.1])
    slab = gibbs.SlabGiven(beta, products, 0.5, 4.0)
    local = gibbs.LocalGiven(-0.7, 0.4, 3.0, -1.1)

    def missing(log_product, log_c2):
        return -0.5 * np.logaddexp(log_c2, 2 * np.asarray(log_product)).sum()

    for x in (-3.0, 0.2, 5.0):
        wrong = gibbs.log_wrong_slab_density(x, slab) - gibbs.log_slab_density(x, slab)
        assert wrong == pytest.approx(missing(products, x), rel=1e-12)
        wrong = gibbs.log_wrong_local_density(x, local) - gibbs.log_local_density(x, local)
        assert wrong == pytest.approx(missing(x - 0.7, 0.4), rel=1e-12)
    plan = small_plan()
    problem = chains.gibbs_problem(plan.matrix, (np.arange(10) % 2).astype(np.int8), plan.prior)
    state = chains.start_chains(problem, plan.prior, [np.random.SeedSequence(1)])[0].state
    gram = plan.matrix.T @ plan.matrix
    gram = np.block([[np.array([[10.0]]), np.zeros((1, 3))], [np.zeros((3, 1)), gram]])
    given = gibbs.GlobalGiven(state, problem.prior, gram, np.ones(4))
    wrong = gibbs.log_wrong_global_density(0.3, given) - gibbs.log_global_density(0.3, given)
    assert wrong == pytest.approx(missing(0.3 + state.log_local, state.log_c2), rel=1e-12)


def test_the_compiled_wrong_sampler_is_the_one_that_the_invariance_test_knows(monkeypatch):
    """Its prior of tau is off by 0.47 (tests/test_recovery.py, in plain Python)."""
    honest = recovery.gibbs_problem

    def wrong(matrix, outcome, prior, *, independent):
        problem = honest(matrix, outcome, prior, independent=independent)
        return replace(problem, prior=problem.prior._replace(family=gibbs.UNNORMALISED))

    monkeypatch.setattr(recovery, "gibbs_problem", wrong)
    matrix = recovery.small_design(np.random.default_rng(1))
    setting = recovery.Setting(matrix, 1000, recovery.SWEEPS, 1)
    seed = np.random.SeedSequence(2)
    rows = recovery.put_to_proof(recovery.variants()[0], setting, seed, lambda finished: None)
    distance = next(row["distance"] for row in rows if row["quantity"] == "horseshoe: tau")
    assert distance == pytest.approx(0.47, abs=0.04)  # 2.5 standard errors


def test_no_study_can_ask_for_the_wrong_sampler():
    assert gibbs.UNNORMALISED not in chains.FAMILIES.values()
    for family in ("regularized-horseshoe", "student-t", "normal"):
        prior = chains.kernel_prior(recovery.small_prior(family))
        assert prior.family != gibbs.UNNORMALISED


# --- of a study ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cohort():
    rng = np.random.default_rng(9)
    return numeric_cohort(rng.normal(size=(30, 2)), events=11)


@pytest.fixture
def short_chains(monkeypatch):
    """Where power does not matter."""
    monkeypatch.setitem(sbc.LENGTHS, "gibbs", ChainLength(20, 100, 100))


@pytest.mark.usefixtures("short_chains")
def test_tables_of_a_study_do_not_depend_on_workers_and_say_what_was_done(cohort):
    seen: list[SamplingState] = []
    one = sbc.simulate_sbc(
        cohort, replications=10, workers=Workers(cores=1), report=seen.append, seed=4
    )
    two = sbc.simulate_sbc(cohort, replications=10, workers=Workers(cores=2), seed=4)
    for name in ("sbc", "sbc_ranks", "sbc_outcomes"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(two, name), check_exact=True)
    table = one.sbc.set_index("quantity")
    assert list(table.index) == [
        *("tau", "c2", "alpha", "|beta[x0]|", "|beta[x1]|", "||beta||", "log_lik"),
        *("risk[near]", "risk[typical]", "risk[far]"),
    ]
    assert set(table["quantities"]) == {10}
    assert set(table["envelope"]) == {0.995}
    assert set(table["replications"]) == {10}
    assert set(table["mode"]) == {"prior"}
    np.testing.assert_array_equal(table["inside_envelope"], table["p_value"] > 0.005)
    assert one.passed == table["inside_envelope"].all()
    ranks = one.sbc_ranks
    assert (ranks.groupby("quantity")["count"].sum() == 10).all()
    assert set(ranks["rank"]) == set(range(100))
    assert (ranks["envelope_lower"] <= ranks["envelope_upper"]).all()
    assert (one.divergences, one.sweeps) == (0, 10 * 120)
    assert seen[-1].finished == seen[-1].total == 10
    assert seen[-1].unit == "data sets"
    other = sbc.simulate_sbc(cohort, replications=10, seed=5)
    assert (other.sbc_ranks["count"] != ranks["count"]).any()


def planned(monkeypatch, cohort, **options):
    """The plan that a call makes, without its replicates."""
    seen = []

    def stop(_, plan, *__, **___):
        seen.append(plan)
        raise InterruptedError

    monkeypatch.setattr(sbc, "run_blocks", stop)
    with pytest.raises(InterruptedError):
        sbc.simulate_sbc(cohort, **options)
    return seen[0]


def test_prior_is_that_of_the_study_at_its_own_events_unless_scales_are_given(monkeypatch, cohort):
    plan = planned(monkeypatch, cohort)
    sigma = 1 / np.sqrt(11 / 30 * 19 / 30)  # p0 = D / 2: tau0 = sigma / sqrt(n)
    assert plan.prior.global_scale == pytest.approx(sigma / np.sqrt(30), rel=1e-12)
    np.testing.assert_allclose(plan.matrix.std(axis=0, ddof=1), 1, rtol=1e-12)
    assert plan.outcome is None
    given = planned(monkeypatch, cohort, global_scale=1.0, slab_scale=0.5)
    assert (given.prior.global_scale, given.prior.slab_scale) == (1.0, 0.5)
    assert given.prior.slab_df == plan.prior.slab_df


@pytest.fixture(scope="module")
def fit(cohort):
    return bc.sample(cohort, engine="gibbs", chains=2, draws=2000, seed=1)


def test_second_mode_starts_from_draws_of_the_fit_and_learns_from_both(monkeypatch, cohort, fit):
    plan = planned(monkeypatch, cohort, replications=60, posterior_fit=fit)
    np.testing.assert_array_equal(plan.outcome, cohort.outcome)
    simulated = (1 - cohort.outcome).astype(np.int8)
    learnt = plan.learnt_outcome(simulated)
    np.testing.assert_array_equal(learnt, [*cohort.outcome, *simulated])
    np.testing.assert_array_equal(plan.learnt_matrix, np.vstack([plan.matrix] * 2))
    problems = []
    honest = sbc.gibbs_problem

    def watched(matrix, outcome, prior):
        problems.append((matrix, outcome))
        return honest(matrix, outcome, prior)

    monkeypatch.setattr(sbc, "gibbs_problem", watched)
    arrays = sbc.sbc_block(replace(plan, length=SHORT), range(2))
    assert not arrays["too_few"].any()
    for matrix, outcome in problems:
        assert matrix.shape == (60, 2)
        np.testing.assert_array_equal(outcome[:30], cohort.outcome)
    assert (problems[0][1] != problems[1][1]).any()


def test_second_mode_passes(monkeypatch, cohort, fit):
    monkeypatch.setitem(sbc.LENGTHS, "gibbs", PROOF)
    result = sbc.simulate_sbc(cohort, replications=30, posterior_fit=fit)
    assert result.passed, result.sbc.to_string()
    assert set(result.sbc["mode"]) == {"posterior"}


@pytest.mark.slow  # the model is compiled
def test_nuts_is_compiled_once_and_its_outcomes_are_swapped(monkeypatch, cohort):
    from bayes_cmvt import nuts

    monkeypatch.setitem(sbc.LENGTHS, "nuts", ChainLength(200, 400, 800, ess=100))
    compiled = []
    honest = sbc.compile_nuts
    monkeypatch.setattr(sbc, "compile_nuts", lambda *a: compiled.append(a) or honest(*a))
    result = sbc.simulate_sbc(cohort, engine="nuts", replications=20, workers=Workers(cores=2))
    small = planned(monkeypatch, cohort, engine="nuts", replications=20)
    assert len(compiled) == 1
    assert result.passed, result.sbc.to_string()
    counts = result.sbc_outcomes.set_index("outcome")["replicates"]
    assert (counts["diverged"] > 0) == (result.divergences > 0)
    matrix, _, prior, terms = compiled[0]
    outcome = (np.arange(30) % 3 == 0).astype(np.int8)
    length, seed = nuts.NutsLength(1, 100, 100, 0.9, 1), np.random.SeedSequence(1)
    own = honest(matrix, outcome, prior, terms)
    swapped = nuts.with_outcome(sbc.compiled_model(small), outcome, prior)
    one, other = (nuts.nuts_once(model, length, seed) for model in (own, swapped))
    np.testing.assert_array_equal(one.beta, other.beta)


# --- what cannot be simulated --------------------------------------------------------------------


def test_every_number_out_of_range_is_named_at_once(cohort):
    with pytest.raises(OptionError) as raised:
        sbc.simulate_sbc(
            cohort, engine="gibs", replications=0, seed=-1, global_scale=0.0, slab_scale=np.nan
        )
    text = str(raised.value)
    for part in (
        "the simulation cannot start: 5 problems",
        'engine: found "gibs"; allowed: "gibbs", "gibbs-without-normaliser", "nuts"; did you mean',
        "replications: found 0; allowed: a whole number from 10 to 100,000",
        "seed: found -1",
        "global_scale: found 0.0; allowed: a number above 0",
        "slab_scale: found nan",
    ):
        assert part in text
    with pytest.raises(OptionError, match=r"replications: found 20\.5"):
        sbc.simulate_sbc(cohort, replications=20.5)


def test_a_prior_without_scales_refuses_them_and_the_wrong_horseshoe():
    rng = np.random.default_rng(9)
    cohort = numeric_cohort(rng.normal(size=(30, 2)), 11, '[prior]\nfamily = "normal"\n')
    with pytest.raises(OptionError) as raised:
        sbc.simulate_sbc(
            cohort, engine="gibbs-without-normaliser", global_scale=1.0, slab_scale=1.0
        )
    for part in ("global_scale: the prior", "slab_scale: the prior", "is a wrong horseshoe"):
        assert part in str(raised.value)


def test_a_fit_of_other_patients_or_with_too_few_draws_is_refused(cohort, fit):
    other = numeric_cohort(np.random.default_rng(10).normal(size=(30, 2)), 12)
    with pytest.raises(OptionError, match="posterior_fit: has learnt from other patients"):
        sbc.simulate_sbc(other, posterior_fit=fit)
    with pytest.raises(OptionError, match=r"worth [\d,]+ independent draws for .*take as many"):
        sbc.simulate_sbc(cohort, posterior_fit=fit, replications=50_000)
    with pytest.raises(OptionError, match="fit: found int"):
        sbc.simulate_sbc(cohort, posterior_fit=3)


def test_plans_are_values():
    with pytest.raises(dataclasses.FrozenInstanceError):
        small_plan().seed = 4
