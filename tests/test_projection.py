"""Projections and searches: brute force in R, closed forms, and what must not matter."""

from __future__ import annotations

import functools
import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_cmvt.errors import DataError
from bayes_cmvt.projection import (
    Projection,
    follow_order,
    forward_search,
    l1_search,
    project,
    project_nested,
)
from tests.references import COMMITTED, reference_design

NAMES = ("synth26", "indo_rct")
SUBSETS = range(5)  # no column, one, two, six, all
SEARCHES = ("plain", "one_cluster", "grouped", "first", "costs", "all_of_it")
L1_SEARCHES = ("plain", "grouped", "first_draw")

# glm.fit stops where the deviance changes by 1e-14 of itself: its step is then below 1e-7, and
# the next one, which it does not take, below 1e-13; divergences are stationary there
COEFFICIENTS, DIVERGENCE = 1e-8, 1e-10
# two fits that both stop within rounding of the maximum, well-conditioned columns
SAME = 1e-9


def expit(log_odds: Any) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.asarray(log_odds))))


def logit(probability: Any) -> np.ndarray:
    share = np.asarray(probability)
    return np.asarray(np.log(share / (1 - share)))


@functools.cache
def r_reference() -> dict[str, Any]:
    """What selection_reference.R made of both designs."""
    text = (COMMITTED / "selection_reference.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def as_numbers(values: Any) -> np.ndarray:
    """A list of R with null where R has NA."""
    return np.array(values, dtype=float)


@functools.cache
def r_columns(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Columns of a design as given, and standardised as R's scale() does."""
    raw = reference_design(name).drop(columns=["row", "y"]).to_numpy(float)
    return raw, (raw - raw.mean(axis=0)) / raw.std(axis=0, ddof=1)


def r_draws(name: str) -> np.ndarray:
    return as_numbers(r_reference()[name]["draws"])


def r_targets(name: str, *, average: bool = False) -> np.ndarray:
    """Probabilities of each draw; or their mean, weighted as in the searches."""
    draws, shares = r_draws(name), r_reference()[name]["forward"]["plain"]["shares"]
    targets = expit(draws[:, :1] + draws[:, 1:] @ r_columns(name)[1].T)
    return np.average(targets, axis=0, weights=shares)[np.newaxis] if average else targets


def simulated(
    seed: int, patients: int = 40, columns: int = 4, draws: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Columns, one of them binary, and probabilities that they explain in part."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(patients, columns))
    matrix[:, -1] = rng.random(patients) < 0.4
    matrix[:2, -1] = [0, 1]
    effects = rng.normal(size=(draws, columns)) * 0.8
    return matrix, expit(effects @ matrix.T + rng.normal(size=(draws, patients)) - 0.7)


def risks(found: Projection, columns: np.ndarray) -> np.ndarray:
    return expit(found.intercept[:, np.newaxis] + found.coefficients @ columns.T)


def kullback_leibler(targets: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Mean over patients, from its definition."""
    events = targets * np.log(targets / fitted)
    return np.asarray((events + (1 - targets) * np.log((1 - targets) / (1 - fitted))).mean(axis=-1))


seeds = st.integers(0, 10**6)


# --- R -------------------------------------------------------------------------------------------


@pytest.mark.reference
@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("name", NAMES)
def test_projections_equal_glm_fits_to_fractions(name: str, subset: int) -> None:
    theirs = r_reference()[name]["projections"][subset]
    columns = r_columns(name)[1][:, np.array(theirs["kept"], dtype=int)]
    found = project(columns, r_targets(name))
    np.testing.assert_allclose(found.intercept, theirs["intercept"], rtol=0, atol=COEFFICIENTS)
    expected = as_numbers(theirs["coefficients"]).reshape(len(found.intercept), -1)
    np.testing.assert_allclose(found.coefficients, expected, rtol=0, atol=COEFFICIENTS)
    np.testing.assert_allclose(found.divergence, theirs["divergence"], rtol=0, atol=DIVERGENCE)


@pytest.mark.reference
@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("name", NAMES)
def test_forward_search_equals_brute_force_in_r(name: str, search: str) -> None:
    theirs = r_reference()[name]["forward"][search]
    shares = None if search == "one_cluster" else theirs["shares"]
    found = forward_search(
        r_columns(name)[1],
        theirs["groups"],
        r_targets(name, average=search == "one_cluster"),
        shares=shares,
        first=theirs["first"],
        costs=theirs["costs"],
        steps=len(theirs["order"]),
    )
    assert found.order.tolist() == theirs["order"]
    np.testing.assert_allclose(found.divergence, theirs["divergence"], rtol=0, atol=DIVERGENCE)
    # NaN in the same places
    expected = as_numbers(theirs["candidates"])
    np.testing.assert_allclose(found.candidates, expected, rtol=0, atol=DIVERGENCE)


@pytest.mark.reference
@pytest.mark.parametrize("search", L1_SEARCHES)
@pytest.mark.parametrize("name", NAMES)
def test_l1_search_equals_the_path_of_glmnet(name: str, search: str) -> None:
    theirs = r_reference()[name]["l1"][search]
    targets = r_targets(name) if search == "first_draw" else r_targets(name, average=True)
    assert 0 < theirs["entered"] <= len(theirs["order"])
    found = l1_search(r_columns(name)[0], theirs["groups"], targets[0])
    assert found.tolist() == theirs["order"]


@pytest.mark.reference
@pytest.mark.parametrize("name", NAMES)
def test_all_columns_of_the_reference_give_its_draws_back(name: str) -> None:
    draws = r_draws(name)
    found = project(r_columns(name)[1], r_targets(name))
    np.testing.assert_allclose(found.intercept, draws[:, 0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.coefficients, draws[:, 1:], rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.divergence, 0, atol=1e-14)


# --- Closed forms --------------------------------------------------------------------------------


def test_the_intercept_alone_is_the_log_odds_of_the_mean() -> None:
    targets = simulated(1)[1]
    found = project(np.empty((40, 0)), targets)
    assert found.coefficients.shape == (3, 0)
    mean = targets.mean(axis=1)
    np.testing.assert_allclose(found.intercept, logit(mean), rtol=1e-12)
    expected = kullback_leibler(targets, mean[:, np.newaxis])
    np.testing.assert_allclose(found.divergence, expected, atol=1e-14)


@pytest.mark.parametrize("codes", [(0.0, 1.0), (1.0, 2.0), (-0.3, 70.0)])
def test_one_binary_column_takes_over_the_mean_of_each_group(codes: tuple[float, float]) -> None:
    targets = simulated(2)[1]
    member = np.arange(40) < 7
    found = project(np.where(member, codes[1], codes[0])[:, np.newaxis], targets)
    low, high = (logit(targets[:, rows].mean(axis=1)) for rows in (~member, member))
    slope = (high - low) / (codes[1] - codes[0])
    np.testing.assert_allclose(found.coefficients[:, 0], slope, atol=SAME)
    np.testing.assert_allclose(found.intercept, low - slope * codes[0], atol=SAME)


def test_groups_that_saturate_take_over_all_their_means() -> None:
    level = np.arange(40) % 4
    indicators = (level[:, np.newaxis] == [1, 2, 3]).astype(float)
    targets = simulated(3)[1]
    fitted = risks(project(indicators, targets), indicators)
    for one in range(4):
        mean = targets[:, level == one].mean(axis=1, keepdims=True)
        np.testing.assert_allclose(fitted[:, level == one], np.repeat(mean, 10, axis=1), atol=SAME)


def test_as_many_columns_as_patients_leave_no_divergence() -> None:
    columns, targets = simulated(4, patients=5, columns=4)
    found = project(columns, targets)
    np.testing.assert_allclose(risks(found, columns), targets, atol=SAME)
    np.testing.assert_allclose(found.divergence, 0, atol=1e-12)


def test_a_draw_of_the_submodel_itself_is_given_back() -> None:
    columns = simulated(5)[0] * [1, 10, 0.1, 1]
    intercept, coefficients = np.array([-1.3, 0.2]), np.array([[0.5, -0.1, 3, 1], [0, 0, 0, -2.0]])
    found = project(columns, expit(intercept[:, np.newaxis] + coefficients @ columns.T))
    np.testing.assert_allclose(found.intercept, intercept, atol=1e-10)
    np.testing.assert_allclose(found.coefficients, coefficients, atol=1e-10)
    np.testing.assert_allclose(found.divergence, 0, atol=1e-14)


# --- What every projection satisfies -------------------------------------------------------------


@given(seeds, st.integers(10, 60), st.integers(1, 5))
def test_projections_solve_their_score_equations(seed: int, patients: int, width: int) -> None:
    columns, targets = simulated(seed, patients, width)
    found = project(columns, targets)
    fitted = risks(found, columns)
    scores = (targets - fitted) @ np.column_stack([np.ones(patients), columns])
    np.testing.assert_allclose(scores / patients, 0, atol=1e-9)
    np.testing.assert_allclose(found.divergence, kullback_leibler(targets, fitted), atol=1e-12)


@given(seeds)
def test_order_of_patients_columns_and_draws_does_not_matter(seed: int) -> None:
    columns, targets = simulated(seed)
    rng = np.random.default_rng(seed)
    rows, places, draws = rng.permutation(40), rng.permutation(4), rng.permutation(3)
    found = project(columns, targets)
    again = project(columns[rows][:, places], targets[draws][:, rows])
    np.testing.assert_allclose(again.intercept, found.intercept[draws], atol=SAME)
    np.testing.assert_allclose(again.coefficients, found.coefficients[draws][:, places], atol=SAME)
    np.testing.assert_allclose(again.divergence, found.divergence[draws], atol=1e-12)


@given(seeds, st.floats(-4, 4), st.floats(-4, 4))
def test_units_and_origins_of_columns_do_not_matter(seed: int, power: float, origin: float) -> None:
    columns, targets = simulated(seed)
    factor = 10**power * np.array([1, -1, 1e-3, 2.0])
    shift = np.abs(factor) * 10**origin * np.array([1, -3, 0, 2.0])
    found, other = project(columns, targets), project(columns * factor + shift, targets)
    # an origin of 3e4 SD leaves columns 12 digits
    np.testing.assert_allclose(other.coefficients * factor, found.coefficients, atol=1e-8)
    np.testing.assert_allclose(other.divergence, found.divergence, atol=1e-10)
    centred = other.intercept + other.coefficients @ shift
    np.testing.assert_allclose(centred, found.intercept, atol=1e-6)


@given(seeds)
def test_swapping_the_outcomes_turns_the_signs(seed: int) -> None:
    columns, targets = simulated(seed)
    found, swapped = project(columns, targets), project(columns, 1 - targets)
    np.testing.assert_allclose(swapped.intercept, -found.intercept, atol=SAME)
    np.testing.assert_allclose(swapped.coefficients, -found.coefficients, atol=SAME)
    np.testing.assert_allclose(swapped.divergence, found.divergence, atol=1e-12)


@given(seeds)
def test_projecting_a_projection_again_changes_nothing(seed: int) -> None:
    """Onto fewer columns: directly, or by way of more columns, gives the same submodel."""
    columns, targets = simulated(seed)
    through = project(columns, targets)
    direct = project(columns[:, :2], targets)
    again = project(columns[:, :2], risks(through, columns))
    np.testing.assert_allclose(again.coefficients, direct.coefficients, atol=SAME)
    # so divergences add up as squares do in Pythagoras' theorem
    total = through.divergence + again.divergence
    np.testing.assert_allclose(total, direct.divergence, atol=1e-12)


# --- Columns that add nothing, probabilities at the ends -----------------------------------------


@given(seeds)
def test_constant_and_dependent_columns_add_nothing(seed: int) -> None:
    columns, targets = simulated(seed)
    a, b, c, d = columns.T
    constant, thousand = np.full(40, 0.1) * 3, np.full(40, 1e3)
    redundant = [constant, a, thousand, b, a - 2 * b, c, 7e3 - c / 60, np.zeros(40), d, 1 - d]
    found, plain = project(np.column_stack(redundant), targets), project(columns, targets)
    own = [1, 3, 5, 8]
    np.testing.assert_allclose(found.coefficients[:, own], plain.coefficients, atol=1e-8)
    assert (np.delete(found.coefficients, own, axis=1) == 0).all()
    np.testing.assert_allclose(found.divergence, plain.divergence, atol=1e-12)


def test_columns_that_are_constant_in_these_rows_leave_the_intercept_alone() -> None:
    targets = simulated(6)[1]
    found = project(np.tile([1.0, -3.3], (40, 1)), targets)
    alone = project(np.empty((40, 0)), targets)
    assert (found.coefficients == 0).all()
    np.testing.assert_allclose(found.intercept, alone.intercept, rtol=1e-12)
    np.testing.assert_allclose(found.divergence, alone.divergence, rtol=1e-12)


def test_searches_put_columns_that_add_nothing_last() -> None:
    columns, targets = simulated(7)
    matrix = np.column_stack([np.ones(40), columns, 2 - columns[:, 0]])
    path = forward_search(matrix, np.arange(6), targets)
    copies = {1, 5}  # one of them enters, the other has nothing left to add
    assert path.order[0] != 0
    assert 0 in path.order[-2:]
    assert copies & set(path.order[-2:].tolist())
    np.testing.assert_allclose(path.divergence[4:], path.divergence[4], atol=1e-12)
    assert l1_search(matrix[:, :5], np.arange(5), targets[0])[-1] == 0


@pytest.mark.parametrize("columns", [np.ones((40, 2)), np.tile([[1.0], [-1.0]], (20, 2))])
def test_l1_search_where_no_column_goes_with_the_target(columns: np.ndarray) -> None:
    target = np.repeat([0.1, 0.3, 0.2, 0.6], 10)
    found = l1_search(columns * [1, 2], [0, 1], target)
    assert sorted(found.tolist()) == [0, 1]


@pytest.mark.parametrize("distance", [0.0, 1e-15, 1e-12, 1e-9])
@pytest.mark.parametrize("outcome", ["separated", "overlapping", "one_class"])
def test_probabilities_at_0_and_1_have_finite_projections(outcome: str, distance: float) -> None:
    columns = simulated(8)[0]
    events = {
        "separated": columns[:, 0] > 0.1,
        "overlapping": np.arange(40) % 3 == 0,
        "one_class": np.zeros(40, dtype=bool),
    }[outcome]
    targets = np.where(events, 1 - distance, distance)[np.newaxis]
    found = project(columns, targets)
    assert np.isfinite(found.intercept).all()
    assert np.isfinite(found.coefficients).all()
    alone = project(columns[:, :0], targets).divergence[0]
    # no probability is taken as more certain than 1 - 1e-12
    assert -1e-12 <= found.divergence[0] <= alone + 1e-12
    if outcome == "separated":
        assert found.divergence[0] < 1e-6


@given(seeds, st.sampled_from([3, 10, 30]), st.integers(20, 60))
def test_divergence_never_rises_however_certain_the_draws(
    seed: int, spread: int, patients: int
) -> None:
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(patients, 5))
    targets = expit(spread * (rng.normal(size=(2, patients)) + rng.normal(size=(2, 1))))
    path = forward_search(columns, np.arange(5), targets)
    assert (path.divergence > -1e-12).all()
    # a step that promises 1e-8 is the last one
    assert (np.diff(path.divergence) < 1e-8).all()
    nested = [project(columns[:, :width], targets).divergence for width in range(6)]
    # each starts from the intercept, and may end far from the others where all is nearly flat
    assert (np.diff(nested, axis=0) < (1e-3 if spread == 30 else 1e-8)).all()


@pytest.mark.parametrize(
    ("columns", "target"),
    [
        ([[0, -3, -2], [2, -3, -2], [-2, 2, -3], [0, -3, -1]], [0, 1, 1, 0.001]),
        ([[-1, -2, 1], [-1, 2, 3], [-3, -1, 2], [2, 1, -2]], [1, 0.999, 0.5, 0.001]),
        (
            [[-3, 3, 0], [1, -2, -2], [-3, 1, 0], [1, -3, 2], [-2, -3, 0]],
            [0.001, 0, 0.9, 0.001, 0],
        ),
    ],
)
def test_steps_of_newton_that_overshoot_by_far_are_not_taken(
    columns: list[list[float]], target: list[float]
) -> None:
    path = forward_search(columns, [0, 1, 2], [target])
    assert (np.diff(path.divergence) < 1e-9).all()


# --- Forward search ------------------------------------------------------------------------------


@given(seeds)
def test_each_step_takes_the_best_of_all_projections(seed: int) -> None:
    columns, targets = simulated(seed)
    shares = np.array([1.0, 3.0, 2.0])
    path = forward_search(columns, np.arange(4), targets, shares=shares)
    kept: list[int] = []
    for step, chosen in enumerate(path.order.tolist()):
        assert path.divergence[step] == pytest.approx(
            np.average(project(columns[:, kept], targets).divergence, weights=shares), abs=1e-12
        )
        expected = np.full(4, np.nan)
        for one in set(range(4)) - set(kept):
            each = project(columns[:, [*kept, one]], targets).divergence
            expected[one] = np.average(each, weights=shares)
        np.testing.assert_allclose(path.candidates[step], expected, atol=1e-12)
        assert chosen == np.nanargmin(expected)
        kept.append(chosen)
    assert sorted(kept) == [0, 1, 2, 3]


@given(seeds)
def test_searches_follow_their_predictors_wherever_they_stand(seed: int) -> None:
    columns, targets = simulated(seed)
    rng = np.random.default_rng(seed)
    rows, places = rng.permutation(40), rng.permutation(4)
    columns_moved, targets_moved = (columns * 3 - 1)[rows][:, places], targets[:, rows]
    moved = forward_search(columns_moved, np.arange(4), targets_moved)
    assert places[moved.order].tolist() == forward_search(columns, range(4), targets).order.tolist()
    moved_l1 = l1_search(columns_moved, np.arange(4), targets_moved[0])
    assert places[moved_l1].tolist() == l1_search(columns, range(4), targets[0]).tolist()


def test_columns_of_one_predictor_enter_together_wherever_they_stand() -> None:
    columns, targets = simulated(9, columns=5)
    path = forward_search(columns, [0, 1, 1, 2, 2], targets)
    apart = forward_search(columns[:, [1, 0, 3, 2, 4]], [1, 0, 2, 1, 2], targets)
    assert apart.order.tolist() == path.order.tolist()
    np.testing.assert_allclose(apart.candidates, path.candidates, atol=1e-12)
    assert path.candidates.shape == (3, 3)
    alone = project(columns[:, 1:3], targets).divergence.mean()
    assert path.candidates[0, 1] == pytest.approx(alone, abs=1e-12)


def test_shares_are_numbers_of_copies_of_a_cluster() -> None:
    columns, targets = simulated(10)
    path = forward_search(columns, np.arange(4), targets, shares=[1, 3, 2])
    copies = forward_search(columns, np.arange(4), np.repeat(targets, [1, 3, 2], axis=0))
    larger = forward_search(columns, np.arange(4), targets, shares=[10, 30, 20])
    for other in (copies, larger):
        assert other.order.tolist() == path.order.tolist()
        np.testing.assert_allclose(other.divergence, path.divergence, atol=1e-12)


@pytest.mark.parametrize("first", [(2,), (3, 1), (1, 3), (0, 1, 2, 3)])
def test_forced_predictors_enter_before_all_others(first: tuple[int, ...]) -> None:
    columns, targets = simulated(11)
    path = forward_search(columns, np.arange(4), targets, first=first)
    assert set(path.order[: len(first)].tolist()) == set(first)
    others = sorted(set(range(4)) - set(first))
    assert np.isnan(path.candidates[: len(first), others]).all()
    # among themselves in the order in which the search finds them, however they are given
    among = forward_search(columns[:, sorted(first)], np.arange(len(first)), targets)
    assert path.order[: len(first)].tolist() == np.sort(first)[among.order].tolist()
    assert path.divergence[-1] == pytest.approx(project(columns, targets).divergence.mean())


def test_the_next_predictor_has_the_largest_fall_of_divergence_for_its_cost() -> None:
    columns, targets = simulated(12)
    plain = forward_search(columns, np.arange(4), targets)
    same = forward_search(columns, np.arange(4), targets, costs=[2.5] * 4)
    assert same.order.tolist() == plain.order.tolist()
    costs = np.ones(4)
    costs[plain.order[0]] = 1e6
    dear = forward_search(columns, np.arange(4), targets, costs=costs)
    assert dear.order[-1] == plain.order[0]
    assert dear.order[0] == plain.order[1:][np.argmin(plain.candidates[0, plain.order[1:]])]
    # divergences themselves are not divided
    np.testing.assert_allclose(dear.candidates[0], plain.candidates[0], rtol=1e-14)


def test_costs_choose_among_forced_predictors_too() -> None:
    columns, targets = simulated(12)
    plain = forward_search(columns, np.arange(4), targets, first=[0, 1])
    costs = np.ones(4)
    costs[plain.order[0]] = 1e6
    dear = forward_search(columns, np.arange(4), targets, first=[0, 1], costs=costs)
    assert dear.order[:2].tolist() == plain.order[:2][::-1].tolist()


@pytest.mark.parametrize("steps", [0, 1, 3, 4, 9])
def test_fewer_steps_are_the_beginning_of_the_same_path(steps: int) -> None:
    columns, targets = simulated(13)
    path = forward_search(columns, np.arange(4), targets)
    short = forward_search(columns, np.arange(4), targets, steps=steps)
    taken = min(steps, 4)
    assert short.order.tolist() == path.order[:taken].tolist()
    np.testing.assert_array_equal(short.divergence, path.divergence[: 1 + taken])
    np.testing.assert_array_equal(short.candidates, path.candidates[:taken])
    l1_order = l1_search(columns, np.arange(4), targets[0])
    assert l1_search(columns, np.arange(4), targets[0], steps=steps).tolist() == (
        l1_order[:taken].tolist()
    )


def test_without_a_predictor_the_path_is_the_intercept() -> None:
    targets = simulated(14)[1]
    path = forward_search(np.empty((40, 0)), np.empty(0, dtype=int), targets)
    assert path.order.shape == (0,)
    assert path.candidates.shape == (0, 0)
    assert path.divergence.tolist() == pytest.approx(
        [project(np.empty((40, 0)), targets).divergence.mean()]
    )
    assert l1_search(np.empty((40, 0)), np.empty(0, dtype=int), targets[0]).shape == (0,)


# --- A given order -------------------------------------------------------------------------------


def test_following_the_order_of_a_search_finds_its_divergences() -> None:
    columns, targets = simulated(15, columns=5)
    groups, shares = [0, 1, 1, 2, 3], [1, 3, 2]
    path = forward_search(columns, groups, targets, shares=shares)
    again = follow_order(columns, groups, targets, path.order.tolist(), shares=shares)
    assert again.order.tolist() == path.order.tolist()
    np.testing.assert_allclose(again.divergence, path.divergence, atol=1e-12)
    taken = again.candidates[np.arange(4), path.order]
    np.testing.assert_allclose(taken, path.divergence[1:], atol=1e-12)
    np.testing.assert_allclose(again.candidates, path.candidates, atol=1e-12)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4), 2)))
def test_following_any_order_is_projecting_at_each_size(order: tuple[int, ...]) -> None:
    columns, targets = simulated(16)
    path = follow_order(columns, np.arange(4), targets, order)
    for size in range(3):
        expected = project(columns[:, list(order[:size])], targets).divergence.mean()
        assert path.divergence[size] == pytest.approx(expected, abs=1e-12)


@given(seeds)
def test_nested_projections_are_the_projections_of_each_size(seed: int) -> None:
    columns, targets = simulated(seed, columns=6)
    matrix = columns * [1, 20, 1e-3, 1, 1, 3] + [0, 500, 1, -2, 0, 1]
    groups, order = np.array([0, 1, 1, 2, 3, 1]), [2, 1, 0]
    found = project_nested(matrix, groups, targets, order)
    assert len(found) == 4
    for size, one in enumerate(found):
        inside = np.isin(groups, order[:size])
        alone = project(matrix[:, inside], targets)
        assert (one.coefficients[:, ~inside] == 0).all()
        per_sd = (one.coefficients[:, inside] - alone.coefficients) * matrix[:, inside].std(axis=0)
        np.testing.assert_allclose(per_sd, 0, atol=1e-4)
        np.testing.assert_allclose(one.divergence, alone.divergence, atol=1e-9)
        own_risks = risks(alone, matrix[:, inside])
        np.testing.assert_allclose(risks(one, matrix), own_risks, atol=1e-5)


@pytest.mark.reference
@pytest.mark.parametrize("name", NAMES)
def test_nested_projections_have_the_divergences_of_the_search_in_r(name: str) -> None:
    theirs = r_reference()[name]["forward"]["plain"]
    columns = r_columns(name)[1]
    found = project_nested(columns, theirs["groups"], r_targets(name), theirs["order"])
    mean = [np.average(one.divergence, weights=theirs["shares"]) for one in found]
    np.testing.assert_allclose(mean, theirs["divergence"], rtol=0, atol=DIVERGENCE)


# --- L1 search -----------------------------------------------------------------------------------


def test_l1_search_puts_forced_predictors_first_and_keeps_the_order_of_the_others() -> None:
    columns, targets = simulated(17)
    plain = l1_search(columns, np.arange(4), targets[0]).tolist()
    last = plain[-1]
    found = l1_search(columns, np.arange(4), targets[0], first=[last]).tolist()
    assert found == [last, *plain[:-1]]
    two = l1_search(columns, np.arange(4), targets[0], first=[plain[-1], plain[-2]]).tolist()
    assert set(two[:2]) == set(plain[-2:])
    assert two[2:] == plain[:-2]


def test_a_forced_predictor_that_never_enters_the_path_is_first_all_the_same() -> None:
    columns, targets = simulated(18)
    matrix = np.column_stack([columns, np.ones(40)])
    plain = l1_search(matrix, np.arange(5), targets[0]).tolist()
    assert plain[-1] == 4
    forced = l1_search(matrix, np.arange(5), targets[0], first=[4]).tolist()
    assert forced == [4, *plain[:-1]]


def test_l1_search_of_risks_that_are_all_alike_still_names_every_predictor() -> None:
    columns = simulated(19)[0]
    found = l1_search(columns, [0, 1, 1, 2], np.full(40, 0.2))
    assert sorted(found.tolist()) == [0, 1, 2]


# --- What cannot be used -------------------------------------------------------------------------

X = np.array([[0.0, 1], [1, 1], [2, 0], [3, 2]])
T = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.2, 0.6, 0.4]])
SHAPES = r"\(patient, column\)"


@pytest.mark.parametrize(
    ("columns", "targets", "text"),
    [
        (X[:3], T, SHAPES + r".*columns \(3, 2\), targets \(2, 4\)"),
        (X[:, 0], T, SHAPES + r".*columns \(4,\)"),
        (X, T[0], SHAPES + r".*targets \(4,\)"),
        (X[:0], T[:, :0], SHAPES + r".*columns \(0, 2\)"),
        (X, T[np.newaxis], SHAPES + r".*targets \(1, 2, 4\)"),
        (np.where(X == 3, np.nan, X), T, "not finite in rows 3, counted from 0"),
        (np.where(X == 0, np.inf, X), T, "not finite in rows 0, 2, counted from 0"),
        (X, T + 0.5, "probabilities, from 0 to 1"),
        (X, T - 0.3, "probabilities, from 0 to 1"),
        (X, np.where(T == 0.6, np.nan, T), "probabilities, from 0 to 1"),
        ([["a", "b"]] * 4, T, "columns"),
        (X, [["a"] * 4], "targets"),
        ([[1.0], [1.0, 2.0]], T, "columns"),
    ],
)
def test_columns_and_targets_that_cannot_be_used(columns: Any, targets: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        project(columns, targets)
    with pytest.raises(DataError, match=text):
        forward_search(columns, [0, 1], targets)


def test_everything_wrong_with_the_numbers_is_said_at_once() -> None:
    with pytest.raises(DataError) as raised:
        project(np.where(X == 3, np.nan, X), T * 2)
    assert len(raised.value.problems) == 2


@pytest.mark.parametrize(
    "groups", [[0], [0, 1, 2], [0, 2], [1, 2], [-1, 0], [[0, 1]], [0, np.nan], ["a", "b"]]
)
def test_groups_name_every_predictor_without_a_gap(groups: Any) -> None:
    with pytest.raises(DataError, match="groups must name the predictor of each of 2 columns"):
        forward_search(X, groups, T)
    with pytest.raises(DataError, match="groups must name the predictor of each of 2 columns"):
        l1_search(X, groups, T[0])


@pytest.mark.parametrize("name", ["shares", "costs"])
@pytest.mark.parametrize(
    "values", [[1], [1, 2, 3], [1, 0], [1, -1], [1, np.nan], [1, np.inf], ["a", "b"]]
)
def test_shares_and_costs_are_positive_numbers(name: str, values: Any) -> None:
    with pytest.raises(
        DataError, match=f"{name}: (2 positive numbers are needed|not an array of numbers)"
    ):
        forward_search(X, [0, 1], T, **{name: values})


@pytest.mark.parametrize("first", [[2], [0, 7], [-1], [0.5], ["a"]])
def test_unknown_positions_are_named(first: Any) -> None:
    text = r"first: found .*; allowed: positions 0 to 1"
    with pytest.raises(DataError, match=text):
        forward_search(X, [0, 1], T, first=first)
    with pytest.raises(DataError, match=text):
        l1_search(X, [0, 1], T[0], first=first)
    with pytest.raises(DataError, match="order: found"):
        follow_order(X, [0, 1], T, first)
    with pytest.raises(DataError, match="order: found"):
        project_nested(X, [0, 1], T, first)


def test_a_predictor_stands_once_in_an_order() -> None:
    with pytest.raises(DataError, match="order: a predictor stands twice in 1, 1"):
        follow_order(X, [0, 1], T, [1, 1])
    with pytest.raises(DataError, match="order: a predictor stands twice in 1, 1"):
        project_nested(X, [0, 1], T, [1, 1])


@pytest.mark.parametrize("steps", [-1, 1.5])
def test_steps_are_a_whole_number(steps: Any) -> None:
    with pytest.raises(DataError, match="steps"):
        forward_search(X, [0, 1], T, steps=steps)
    with pytest.raises(DataError, match="steps"):
        l1_search(X, [0, 1], T[0], steps=steps)


def test_l1_search_is_about_one_vector_of_probabilities() -> None:
    with pytest.raises(DataError, match="target"):
        l1_search(X, [0, 1], T)


def test_a_search_needs_a_cluster() -> None:
    with pytest.raises(DataError, match="at least one vector of probabilities"):
        forward_search(X, [0, 1], T[:0])
