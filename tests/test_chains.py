from __future__ import annotations

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import bayes_cmvt as bc
from bayes_cmvt import chains, gibbs
from bayes_cmvt.design import design_matrix, learn_design
from bayes_cmvt.priors import numeric_prior
from bayes_cmvt.progress import SamplingState
from tests.builders import numeric_cohort


def started(
    n: int = 60, columns: int = 3, events: int = 20, count: int = 2, rest: str = "", **keys: str
) -> tuple[chains.Problem, list[chains.Chain]]:
    rng = np.random.default_rng(0)
    cohort = numeric_cohort(rng.normal(size=(n, columns)), events, rest, **keys)
    design = learn_design(cohort)
    prior = numeric_prior(design, n=n, events=events)
    matrix = design_matrix(design, cohort.predictors)
    problem = chains.gibbs_problem(matrix, cohort.outcome, prior)
    seeds = np.random.SeedSequence(1).spawn(count)
    return problem, chains.start_chains(problem, prior, seeds)


def test_groups_are_all_patients_and_the_rarer_level_of_each_two_valued_column() -> None:
    rng = np.random.default_rng(0)
    matrix = np.column_stack(
        [np.ones(50), rng.normal(size=50), np.arange(50) < 10, rng.integers(0, 3, 50)]
    ).astype(float)
    matrix[:, 2] = (matrix[:, 2] - 0.2) / 0.4
    centred = np.where(np.arange(50) % 5 == 0, 0.5, -0.5)
    groups = chains.level_groups(gibbs.Rows(matrix, centred, matrix.T @ centred))
    assert groups.column.tolist() == [0, 2]
    assert groups.start.tolist() == [0, 50, 60]
    assert groups.member[50:].tolist() == list(range(10))
    assert groups.events.tolist() == [10.0, 2.0]


def test_a_step_of_a_group_changes_its_own_log_odds_alone() -> None:
    levels = np.repeat([0.0, 1.0], [40, 8])
    matrix = np.column_stack([np.ones(48), (levels - levels.mean()) / levels.std(ddof=1)])
    centred = np.full(48, -0.5)
    groups = chains.level_groups(gibbs.Rows(matrix, centred, matrix.T @ centred))
    for index, expected in enumerate((np.ones(48), levels)):
        change = np.array([groups.of_alpha[index], groups.of_beta[index]])
        np.testing.assert_allclose(matrix @ change, expected, atol=1e-12)


@pytest.mark.parametrize(("events", "expected"), [(1, True), (2, False), (98, False), (99, True)])
def test_the_independence_step_is_on_below_two_per_cent(events: int, expected: bool) -> None:
    problem, _ = started(n=100, events=events)
    assert problem.independent is expected


def test_the_problem_does_not_depend_on_how_many_threads_blas_has() -> None:
    """So many patients that a product is shared between threads, and rounds by their number."""
    matrix = np.random.default_rng(0).normal(size=(45_000, 26))
    cohort = numeric_cohort(matrix, 15_000)
    prior = numeric_prior(learn_design(cohort), n=45_000, events=15_000)
    scores = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            scores.append(chains.gibbs_problem(matrix, cohort.outcome, prior).rows.score)
    np.testing.assert_array_equal(*scores)


def test_chains_start_apart() -> None:
    """Scales come from the prior: chains that then agree have forgotten where they began."""
    _, running = started(count=4)
    assert len({chain.state.log_tau for chain in running}) == 4
    assert len({float(chain.state.log_local[0]) for chain in running}) == 4


def test_without_a_shrunk_coefficient_there_are_no_scales() -> None:
    problem, running = started(shrink="false")
    chains.advance_chains(running, problem, 40, cores=1)
    draws = chains.chain_draws(running, problem, 10)
    assert draws.beta.shape == (2, 30, 3)
    assert (draws.tau, draws.local, draws.slab) == (None, None, None)


@pytest.mark.parametrize(("family", "names"), [("normal", set()), ("student-t", {"local"})])
def test_each_family_has_its_own_scales(family: str, names: set[str]) -> None:
    problem, running = started(rest=f'[prior]\nfamily = "{family}"')
    chains.advance_chains(running, problem, 40, cores=2)
    draws = chains.chain_draws(running, problem, 10)
    present = {name for name in ("tau", "local", "slab") if getattr(draws, name) is not None}
    assert present == names


def test_progress_ends_at_the_total_and_never_goes_back() -> None:
    problem, running = started(n=2000, columns=8, events=600)
    states: list[SamplingState] = []
    chains.advance_chains(running, problem, 1500, cores=1, report=states.append)
    finished = [state.finished for state in states]
    assert finished == sorted(finished)
    assert {state.total for state in states} == {3000}
    assert [chain.finished for chain in running] == [1500, 1500]


def test_ctrl_c_stops_every_chain() -> None:
    """The interruption is raised where the main thread looks at the progress."""
    problem, running = started(n=500, events=150)

    def interrupt(_: SamplingState) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        chains.advance_chains(running, problem, 10_000_000, cores=2, report=interrupt)
    assert all(chain.finished < 10_000_000 for chain in running)
    assert threading.active_count() < 10


def test_stretches_do_not_change_the_draws() -> None:
    problem, one = started()
    chains.advance_chains(one, problem, 300, cores=2)
    _, parts = started()
    for until in (1, 17, 120, 300):
        chains.advance_chains(parts, problem, until, cores=1)
    first, second = (chains.chain_draws(running, problem, 50) for running in (one, parts))
    np.testing.assert_array_equal(first.beta, second.beta)
    np.testing.assert_array_equal(first.local, second.local)


def test_more_columns_than_patients_are_sampled() -> None:
    """The Gram matrix is singular, the posterior is proper; the gate says that it mixes."""
    rng = np.random.default_rng(3)
    cohort = numeric_cohort(rng.normal(size=(40, 60)), 15)
    fit = bc.sample(cohort, seed=1, draws=3000, engine="gibbs")
    assert bc.verdict(fit).trusted, bc.verdict(fit).problems


def test_a_prior_that_the_data_contradict_is_flagged() -> None:
    """p0 far too small, and far too large, for twelve strong effects, or for none."""
    rng = np.random.default_rng(4)
    matrix = rng.normal(size=(600, 12))
    happened = rng.random(600) < 1 / (1 + np.exp(-matrix @ np.full(12, 0.8)))
    strong, events = np.argsort(~happened, kind="stable"), int(happened.sum())
    flagged = {}
    for p0 in (0.001, 6.0):
        rest = f"[prior]\nexpected_nonzero = {p0}"
        cohort = numeric_cohort(matrix[strong], events, rest)
        flagged[p0] = bc.verdict(bc.sample(cohort, seed=1, draws=1000)).warnings
    assert flagged[6.0] == ()
    assert "larger expected_nonzero" in flagged[0.001][0]
    noise = numeric_cohort(rng.normal(size=(600, 12)), 200, "[prior]\nexpected_nonzero = 11.999")
    warnings = bc.verdict(bc.sample(noise, seed=1, draws=1000)).warnings
    assert "smaller expected_nonzero" in warnings[0]
