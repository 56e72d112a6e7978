"""LASSO paths are glmnet's, satisfy their optimality conditions, and count copies of patients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from bayes_cmvt.errors import OptionError
from bayes_cmvt.lasso import (
    CROSS_VALIDATIONS,
    LOSSES,
    CrossValidated,
    LassoPath,
    cross_validate,
    lasso_path,
)
from tests.references import reference_design, reference_section, shared_table

NAMES = ("birthwt", "asah", "synth26", "indo_rct")
SECTIONS = {"exact": "cv_fixed_lambda", "glmnet": "cv"}

# glmnet's reference satisfies the optimality conditions to 2e-7, which leaves its coefficients
# uncertain by about 1e-5 on the standardised scale, and losses by the slope of each times that
REFERENCE_COEFFICIENTS = 1e-5
REFERENCE_LOSS = {"mse": 1e-6, "deviance": 5e-6, "auc": 1e-12}
# violation of the conditions, in units of the largest penalty, recomputed from coefficients per
# unit: the kernel stops at 1e-10, the rest is rounding where a spread is small beside the mean
OPTIMAL = 1e-9
# two runs that both stop at 1e-10 differ by that over the least curvature of these designs
SAME = {"rtol": 1e-6, "atol": 1e-8}


def design(name: str) -> tuple[np.ndarray, np.ndarray]:
    reference_section(name, "lasso")  # skips where it is absent
    table = reference_design(name)
    return table.drop(columns=["row", "y"]).to_numpy(float), table["y"].to_numpy()


def simulated(
    seed: int, patients: int = 80, columns: int = 6
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns of which some are binary or nearly collinear, outcomes, numbers of copies."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(patients, columns))
    matrix[:, 1] = matrix[:, 0] + 0.05 * matrix[:, 1]
    matrix[:, 2] = matrix[:, 2] > 0.8
    matrix[:, 3] = 50 + 1e-3 * matrix[:, 3]
    log_odds = matrix[:, 0] + matrix[:, 2] - 0.5
    outcome = (rng.random(patients) < 1 / (1 + np.exp(-log_odds))).astype(int)
    outcome[:4] = [0, 1, 0, 1]
    return matrix, outcome, rng.integers(0, 4, size=patients).astype(float)


def standardised(
    columns: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns with mean 0 and SD 1 (0 and 1 where constant), means and SDs."""
    share = weights / weights.sum()
    mean = columns[0] + share @ (columns - columns[0])
    scale = np.sqrt(share @ (columns - mean) ** 2)
    constant = np.ptp(columns, axis=0) == 0
    scale[constant] = 1.0
    return np.where(constant, 0.0, (columns - mean) / scale), mean, scale


def violation(
    path: LassoPath, columns: np.ndarray, outcome: np.ndarray, weights: np.ndarray
) -> float:
    """Largest violation of the optimality conditions over the largest useful penalty."""
    kept = weights > 0
    columns, outcome, share = columns[kept], outcome[kept], weights[kept] / weights.sum()
    z, mean, scale = standardised(columns, share)
    beta = path.coefficients * scale
    log_odds = (path.intercept + path.coefficients @ mean)[:, None] + beta @ z.T
    residual = share * (1 / (1 + np.exp(-np.clip(log_odds, -700, 700))) - outcome)
    gradient, penalty = residual @ z, path.penalties[:, None]
    active = np.abs(gradient + penalty * np.sign(beta))
    inactive = np.maximum(np.abs(gradient) - penalty, 0)
    worst = np.where(beta != 0, active, inactive).max()
    largest = np.abs((share * (outcome - share @ outcome)) @ z).max()
    return float(max(worst, np.abs(residual.sum(axis=1)).max()) / largest)


def assert_same_path(found: LassoPath, expected: LassoPath) -> None:
    np.testing.assert_allclose(found.penalties, expected.penalties, rtol=1e-10)
    np.testing.assert_allclose(found.intercept, expected.intercept, **SAME)
    np.testing.assert_allclose(found.coefficients, expected.coefficients, **SAME)
    np.testing.assert_allclose(found.deviance_ratio, expected.deviance_ratio, atol=1e-9)
    np.testing.assert_allclose(found.null_deviance, expected.null_deviance, rtol=1e-12)
    np.testing.assert_array_equal(found.selected, expected.selected)


def assert_same_cross_validation(found: CrossValidated, expected: CrossValidated) -> None:
    assert_same_path(found.path, expected.path)
    np.testing.assert_allclose(found.mean, expected.mean, **SAME)
    np.testing.assert_allclose(found.se, expected.se, **SAME)
    assert (found.index_min, found.index_1se) == (expected.index_min, expected.index_1se)


# --- glmnet ---------------------------------------------------------------------------------------


@pytest.mark.reference
@pytest.mark.parametrize("name", NAMES)
def test_lasso_path_equals_glmnet(name: str) -> None:
    columns, outcome = design(name)
    expected = reference_section(name, "lasso")
    table = shared_table("reference", f"{name}_lasso_path")
    path = lasso_path(columns, outcome)
    assert path.converged
    assert len(path.penalties) == expected["nlambda"]
    np.testing.assert_allclose(path.penalties, expected["lambda"], rtol=1e-9)
    scale = columns.std(axis=0)
    theirs = table.iloc[:, 4:].to_numpy()
    np.testing.assert_allclose(
        path.coefficients * scale, theirs * scale, rtol=0, atol=REFERENCE_COEFFICIENTS
    )
    centred = path.intercept + path.coefficients @ columns.mean(axis=0)
    their_centred = table["(Intercept)"] + theirs @ columns.mean(axis=0)
    np.testing.assert_allclose(centred, their_centred, rtol=0, atol=REFERENCE_COEFFICIENTS)
    np.testing.assert_array_equal(path.selected, theirs != 0)
    np.testing.assert_array_equal(path.df, expected["df"])
    np.testing.assert_allclose(path.deviance_ratio, expected["dev_ratio"], rtol=0, atol=1e-6)
    assert path.null_deviance == pytest.approx(expected["nulldev"], rel=1e-12)


@pytest.mark.reference
@pytest.mark.parametrize("name", NAMES)
def test_given_penalties_are_all_solved_and_give_the_same_path(name: str) -> None:
    columns, outcome = design(name)
    path = lasso_path(columns, outcome)
    beyond = np.append(path.penalties, path.penalties[-1] * np.array([0.5, 0.1]))
    given_ones = lasso_path(columns, outcome, penalties=beyond)
    assert len(given_ones.penalties) == len(beyond)
    np.testing.assert_allclose(given_ones.coefficients[:-2], path.coefficients, **SAME)
    alone = lasso_path(columns, outcome, penalties=[path.penalties[30]])
    np.testing.assert_allclose(alone.coefficients[0], path.coefficients[30], **SAME)
    assert alone.deviance_ratio[0] == pytest.approx(path.deviance_ratio[30], abs=1e-9)


@pytest.mark.reference
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("cv", CROSS_VALIDATIONS)
@pytest.mark.parametrize("name", NAMES)
def test_cross_validation_equals_cv_glmnet(name: str, cv: str, loss: str) -> None:
    columns, outcome = design(name)
    folds = shared_table("reference", f"{name}_foldid")["foldid"].to_numpy()
    theirs = reference_section(name, "lasso")[SECTIONS[cv]][loss]
    found = cross_validate(columns, outcome, folds, loss=loss, cv=cv)
    assert found.converged
    np.testing.assert_allclose(found.mean, theirs["cvm"], rtol=0, atol=REFERENCE_LOSS[loss])
    np.testing.assert_allclose(found.se, theirs["cvsd"], rtol=0, atol=REFERENCE_LOSS[loss])
    assert found.index_min + 1 == theirs["index_min_1based"]
    assert found.index_1se + 1 == theirs["index_1se_1based"]
    assert found.lambda_min == pytest.approx(theirs["lambda_min"], rel=1e-9)
    assert found.lambda_1se == pytest.approx(theirs["lambda_1se"], rel=1e-9)
    # the first penalty keeps nothing: given as a number, R keeps a column there by rounding
    np.testing.assert_array_equal(found.path.df[1:], theirs["nzero"][1:])
    for index, coefficients in (
        (found.index_min, theirs["coef_min"]),
        (found.index_1se, theirs["coef_1se"]),
    ):
        kept = np.array(list(coefficients.values()))[1:] != 0
        np.testing.assert_array_equal(found.path.selected[index], kept)


# --- the definition -------------------------------------------------------------------------------


@st.composite
def designs(draw: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns of all kinds (binary, constant, copied, sums, nearly collinear), with copies."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    patients, count = draw(st.integers(5, 60)), draw(st.integers(1, 30))
    columns = rng.normal(size=(patients, count))
    kinds = st.sampled_from(["normal", "binary", "constant", "copy", "sum", "close", "units"])
    for j in range(count):
        kind = draw(kinds)
        if kind == "binary":
            columns[:, j] = columns[:, j] > 1
        elif kind == "constant":
            columns[:, j] = 0.1
        elif kind == "copy":
            columns[:, j] = -2 * columns[:, rng.integers(j + 1)]
        elif kind == "sum":
            columns[:, j] = columns[:, : j + 1].sum(axis=1)
        elif kind == "close":
            columns[:, j] = columns[:, rng.integers(j + 1)] + 1e-3 * rng.normal(size=patients)
        elif kind == "units":
            columns[:, j] = (columns[:, j] + 2) * 10.0 ** rng.integers(-4, 5)
    columns[:, 0] = rng.normal(size=patients)
    outcome = (
        rng.random(patients) < 1 / (1 + np.exp(-draw(st.sampled_from([0, 1, 30])) * columns[:, 0]))
    ).astype(int)
    outcome[:2] = [0, 1]
    weights = rng.integers(0, 4, size=patients).astype(float)
    weights[:2] = 1
    return columns, outcome, weights


@given(designs())
def test_own_sequence_satisfies_the_optimality_conditions(
    patients: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    columns, outcome, weights = patients
    path = lasso_path(columns, outcome, weights=weights)
    assert path.converged
    assert violation(path, columns, outcome, weights) < OPTIMAL
    assert path.df[0] == 0
    assert not path.selected[:, np.ptp(columns[weights > 0], axis=0) == 0].any()


@given(designs(), st.lists(st.floats(-5, 0.5), min_size=1, max_size=6, unique=True))
def test_given_penalties_satisfy_the_optimality_conditions(
    patients: tuple[np.ndarray, np.ndarray, np.ndarray], exponents: list[float]
) -> None:
    columns, outcome, weights = patients
    penalties = np.unique(10.0 ** np.array(exponents))[::-1]
    path = lasso_path(columns, outcome, weights=weights, penalties=penalties)
    assert path.converged
    assert len(path.penalties) == len(penalties)
    assert violation(path, columns, outcome, weights) < OPTIMAL


@pytest.mark.parametrize("share", [0.3, 0.03])
def test_lasso_agrees_with_another_algorithm(share: float) -> None:
    columns, outcome, weights = simulated(3)
    z, _mean, scale = standardised(columns, weights)
    largest = lasso_path(columns, outcome, weights=weights).penalties[0]
    path = lasso_path(columns, outcome, weights=weights, penalties=[share * largest])
    saga = LogisticRegression(
        C=1 / (share * largest * weights.sum()),
        l1_ratio=1,
        solver="saga",
        tol=1e-12,
        max_iter=1_000_000,
        random_state=0,
    )
    saga.fit(z, outcome, sample_weight=weights)
    # saga's own tolerance is on the change of coefficients per pass, not on their error
    np.testing.assert_allclose(path.coefficients[0] * scale, saga.coef_[0], rtol=0, atol=1e-6)


def fold_losses(
    patients: tuple[np.ndarray, np.ndarray, np.ndarray],
    folds: np.ndarray,
    penalties: np.ndarray,
    loss: str,
    cv: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Losses (fold, penalty) and weights of folds, from the written definitions."""
    columns, outcome, weights = patients
    losses, sizes = [], []
    for fold in np.unique(folds):
        out = folds == fold
        part = lasso_path(
            columns[~out],
            outcome[~out],
            weights=weights[~out],
            penalties=penalties if cv == "exact" else None,
        )
        every = np.column_stack([part.intercept, part.coefficients])
        at = [np.interp(penalties, part.penalties[::-1], column[::-1]) for column in every.T]
        risk = 1 / (1 + np.exp(-(at[0][:, None] + np.array(at[1:]).T @ columns[out].T)))
        losses.append([loss_of(loss, outcome[out], row, weights[out]) for row in risk])
        sizes.append(weights[out].sum())
    return np.array(losses), np.array(sizes)


def loss_of(loss: str, outcome: np.ndarray, risk: np.ndarray, weights: np.ndarray) -> float:
    if loss == "mse":
        return float(np.average((outcome - risk) ** 2 + (risk - outcome) ** 2, weights=weights))
    if loss == "deviance":
        clipped = np.clip(risk, 1e-5, 1 - 1e-5)
        likelihood = np.where(outcome == 1, clipped, 1 - clipped)
        return float(np.average(-2 * np.log(likelihood), weights=weights))
    higher = risk[outcome == 1][:, None] - risk[outcome == 0]
    pairs = weights[outcome == 1][:, None] * weights[outcome == 0]
    return float(np.sum(pairs * (np.sign(higher) + 1) / 2) / pairs.sum()) if pairs.size else np.nan


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("cv", CROSS_VALIDATIONS)
def test_cross_validation_is_its_definition(cv: str, loss: str) -> None:
    columns, outcome, weights = simulated(5)
    weights = weights + 0.5
    folds = np.arange(len(outcome)) % 4 * 7 - 3
    found = cross_validate(columns, outcome, folds, weights=weights, loss=loss, cv=cv)
    path = lasso_path(columns, outcome, weights=weights)
    assert_same_path(found.path, path)
    losses, size = fold_losses((columns, outcome, weights), folds, path.penalties, loss, cv)
    mean = np.average(losses, axis=0, weights=size)
    se = np.sqrt(np.average((losses - mean) ** 2, axis=0, weights=size) / 3)
    np.testing.assert_allclose(found.mean, mean, **SAME)
    np.testing.assert_allclose(found.se, se, **SAME)
    best = -mean if loss == "auc" else mean
    assert found.index_min == np.flatnonzero(best <= best.min())[0]
    assert found.index_1se == np.flatnonzero(best <= (best + se)[found.index_min])[0]


def test_penalties_end_as_glmnet_ends_them() -> None:
    """100 log-spaced values; no end before the fifth; a gain below 1e-5 or a ratio above .999."""
    columns, outcome, _ = simulated(1)
    path = lasso_path(columns, outcome)
    gains = np.diff(path.deviance_ratio)
    assert 5 < len(path.penalties) < 100
    assert gains[3:-1].min() >= 1e-5 > gains[-1]
    steps = path.penalties / path.penalties[0]
    np.testing.assert_allclose(steps, 1e-4 ** (np.arange(len(steps)) / 99), rtol=1e-12)


@pytest.mark.parametrize(("copies", "smallest"), [(2, 1e-4), (1, 0.01)])
def test_copies_decide_whether_columns_outnumber_patients(copies: int, smallest: float) -> None:
    rng = np.random.default_rng(0)
    columns, outcome = rng.normal(size=(12, 20)), np.arange(12) % 2
    path = lasso_path(columns, outcome, weights=np.full(12, copies))
    assert path.converged
    assert path.penalties[1] / path.penalties[0] == pytest.approx(smallest ** (1 / 99))


# --- copies, units, order -------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1))
def test_weights_are_repeated_rows(seed: int) -> None:
    columns, outcome, weights = simulated(seed)
    rows = np.repeat(np.arange(len(outcome)), weights.astype(int))
    assert_same_path(
        lasso_path(columns, outcome, weights=weights), lasso_path(columns[rows], outcome[rows])
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("cv", CROSS_VALIDATIONS)
def test_weights_are_repeated_rows_in_cross_validation(cv: str, loss: str) -> None:
    columns, outcome, weights = simulated(8)
    folds = np.arange(len(outcome)) % 5
    folds[weights == 0] = 99  # a fold without anyone
    rows = np.repeat(np.arange(len(outcome)), weights.astype(int))
    assert_same_cross_validation(
        cross_validate(columns, outcome, folds, weights=weights, loss=loss, cv=cv),
        cross_validate(columns[rows], outcome[rows], folds[rows], loss=loss, cv=cv),
    )


@given(st.integers(0, 2**32 - 1))
def test_path_does_not_depend_on_units_or_order(seed: int) -> None:
    columns, outcome, weights = simulated(seed)
    rng = np.random.default_rng(seed)
    units, shift = 10.0 ** rng.integers(-3, 4, size=6), rng.normal(size=6)
    rows, order = rng.permutation(len(outcome)), rng.permutation(6)
    path = lasso_path(columns, outcome, weights=weights)
    other = lasso_path(
        (columns * units + shift)[rows][:, order], outcome[rows], weights=weights[rows]
    )
    np.testing.assert_allclose(other.penalties, path.penalties, rtol=1e-9)
    np.testing.assert_allclose(
        other.coefficients * units[order], path.coefficients[:, order], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(other.selected, path.selected[:, order])


@pytest.mark.parametrize("loss", LOSSES)
def test_swapped_outcome_turns_every_sign(loss: str) -> None:
    columns, outcome, weights = simulated(2)
    folds = np.arange(len(outcome)) % 5
    found = cross_validate(columns, outcome, folds, weights=weights, loss=loss)
    swapped = cross_validate(columns, 1 - outcome, folds, weights=weights, loss=loss)
    np.testing.assert_allclose(swapped.path.coefficients, -found.path.coefficients, **SAME)
    np.testing.assert_allclose(swapped.path.intercept, -found.path.intercept, **SAME)
    np.testing.assert_allclose(swapped.mean, found.mean, **SAME)
    assert swapped.lambda_min == pytest.approx(found.lambda_min)


def test_labels_of_folds_do_not_matter() -> None:
    columns, outcome, _ = simulated(2)
    folds = np.arange(len(outcome)) % 4
    renamed = np.array([40, -2, 7, 0])[folds]
    found = cross_validate(columns, outcome, folds)
    assert_same_cross_validation(cross_validate(columns, outcome, renamed), found)


# --- columns and outcomes that are hard -----------------------------------------------------------


def test_constant_columns_are_left_out_also_within_a_fold() -> None:
    columns, outcome, weights = simulated(4)
    folds = np.arange(len(outcome)) % 4
    odd = np.column_stack([columns, np.full(len(outcome), 0.1), folds == 2])
    found = cross_validate(odd, outcome, folds, weights=weights, loss="deviance")
    assert found.converged
    assert np.isfinite(found.mean).all()
    assert not found.path.selected[:, 6].any()
    only_constant = cross_validate(odd[:, :7], outcome, folds, weights=weights, loss="deviance")
    without = cross_validate(columns, outcome, folds, weights=weights, loss="deviance")
    np.testing.assert_allclose(only_constant.mean, without.mean, **SAME)


def test_a_column_that_varies_among_absent_patients_alone_is_constant() -> None:
    columns, outcome, weights = simulated(4)
    absent = np.column_stack([columns, weights == 0])
    path = lasso_path(absent, outcome, weights=weights)
    assert not path.selected[:, 6].any()
    np.testing.assert_allclose(
        path.coefficients[:, :6], lasso_path(columns, outcome, weights=weights).coefficients, **SAME
    )


def test_of_two_equal_columns_the_first_is_kept() -> None:
    columns, outcome, _ = simulated(6)
    path = lasso_path(np.column_stack([columns, columns[:, 0]]), outcome)
    once = lasso_path(columns, outcome)
    assert path.converged
    assert not path.selected[:, 6].any()
    np.testing.assert_allclose(path.coefficients[:, :6], once.coefficients, **SAME)


def test_more_columns_than_patients() -> None:
    rng = np.random.default_rng(1)
    columns = rng.normal(size=(40, 120))
    outcome = (columns[:, 0] + rng.normal(size=40) > 0).astype(int)
    found = cross_validate(columns, outcome, np.arange(40) % 5)
    assert found.converged
    assert violation(found.path, columns, outcome, np.ones(40)) < OPTIMAL
    assert found.path.df.max() <= 40


def test_separated_data_end_the_path_at_a_deviance_ratio_of_999() -> None:
    columns = np.repeat([-2.0, -1.0, 1.0, 2.0], 5)[:, None]
    path = lasso_path(columns, columns[:, 0] > 0)
    assert path.converged
    assert path.deviance_ratio[-2] <= 0.999 < path.deviance_ratio[-1]
    assert np.isfinite(path.coefficients).all()


@pytest.mark.parametrize("smallest", [1e-4, 1e-12, 1e-100])
def test_separated_data_with_tiny_penalties_have_finite_optimal_coefficients(
    smallest: float,
) -> None:
    """By symmetry the intercept is 0, and one column's optimum solves one equation."""
    columns = np.array([-1.0, -1.0, 1.0, 1.0])[:, None]
    path = lasso_path(columns, [0, 0, 1, 1], penalties=[smallest])
    assert path.converged
    assert path.intercept[0] == pytest.approx(0, abs=1e-6)
    # 1 / (1 + exp β) = λ, solved to 1e-4 of λ
    assert path.coefficients[0, 0] == pytest.approx(
        np.log1p(-smallest) - np.log(smallest), abs=2e-4
    )


def test_two_runs_give_the_same_bits() -> None:
    columns, outcome, weights = simulated(2)
    folds = np.arange(len(outcome)) % 5
    one, two = (cross_validate(columns, outcome, folds, weights=weights) for _ in range(2))
    np.testing.assert_array_equal(one.mean, two.mean)
    np.testing.assert_array_equal(one.path.coefficients, two.path.coefficients)


# --- an auc that is not defined -------------------------------------------------------------------


def test_folds_with_one_outcome_are_left_out_of_the_auc() -> None:
    columns, outcome, weights = simulated(7)
    weights = weights + 1
    folds = np.arange(len(outcome)) % 4
    folds[np.flatnonzero(outcome == 0)[:6]] = 4
    found = cross_validate(columns, outcome, folds, weights=weights, loss="auc")
    losses, size = fold_losses(
        (columns, outcome, weights), folds, found.path.penalties, "auc", "exact"
    )
    assert found.folds_used == 4
    assert np.isnan(losses[4]).all()
    np.testing.assert_allclose(found.mean, np.average(losses[:4], axis=0, weights=size[:4]), **SAME)
    assert cross_validate(columns, outcome, folds, weights=weights).folds_used == 5


def test_an_auc_of_fewer_than_two_folds_is_refused() -> None:
    columns, outcome, _ = simulated(7)
    folds = np.where(outcome == 1, np.arange(len(outcome)) % 2, 2 + np.arange(len(outcome)) % 2)
    with pytest.raises(OptionError, match="auc is defined in 0 of 4 folds"):
        cross_validate(columns, outcome, folds, loss="auc")


# --- what is refused ------------------------------------------------------------------------------

COLUMNS, OUTCOME = [[0.0, 1.0], [1.0, 0.0], [2.0, 2.0], [3.0, 1.0]], [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": [0.0, 1.0, 2.0, 3.0]}, r"columns \(4,\)"),
        ({"columns": np.empty((4, 0))}, "none of them 0"),
        ({"columns": [["a"], ["b"]]}, "columns must be numbers"),
        ({"outcome": [0, 1, 1]}, r"outcome \(3,\)"),
        ({"outcome": [0, 1, 2, 1]}, "other than 0 and 1"),
        ({"outcome": [1, 1, 1, 1]}, "both must occur"),
        ({"outcome": [0, 1, np.nan, 1]}, "other than 0 and 1"),
        ({"columns": [[0.0, np.nan], [1, 0], [2, 2], [3, 1]]}, r"column 1 \(from 0\)"),
        ({"columns": [[1e200, 1], [1, 0], [2, 2], [3, 1]]}, "beyond 1e\\+100"),
        ({"weights": [1, 1, 1]}, r"weights \(3,\)"),
        ({"weights": [1, -1, 1, 1]}, "negative or not finite"),
        ({"weights": [1, np.inf, 1, 1]}, "negative or not finite"),
        ({"weights": [0, 1, 0, 1]}, "both must occur"),
        ({"penalties": []}, "at least one"),
        ({"penalties": 0.1}, r"shape \(penalty,\)"),
        ({"penalties": [0.2, np.nan]}, "finite"),
        ({"penalties": [0.1, 0.1]}, "smaller than the one before"),
        ({"penalties": [0.1, 0.0]}, "positive"),
        ({"columns": [[1.0], [1.0], [1.0], [1.0]]}, "no column goes with the outcome"),
        ({"columns": [[0.0], [0.0], [1.0], [1.0]]}, "no column goes with the outcome"),
    ],
)
def test_paths_that_cannot_be_fitted_are_refused_in_words(
    changes: dict[str, Any], message: str
) -> None:
    arguments = {"columns": COLUMNS, "outcome": OUTCOME} | changes
    with pytest.raises(OptionError, match=message):
        lasso_path(arguments.pop("columns"), arguments.pop("outcome"), **arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": [0, 1]}, "folds must be whole numbers"),
        ({"folds": [0.5, 1, 2, 3]}, "folds must be whole numbers"),
        ({"folds": [5, 5, 5, 5]}, "fold 5 alone"),
        ({"folds": [5, 5, 5, 6], "weights": [1, 1, 1, 0]}, "fold 5 alone"),
        ({"folds": [1, 9, 2, 9]}, "without fold 9 all outcomes are alike"),
        ({"loss": "auk"}, 'did you mean "auc"'),
        ({"cv": "glment"}, 'did you mean "glmnet"'),
    ],
)
def test_cross_validations_that_make_no_sense_are_refused_in_words(
    changes: dict[str, Any], message: str
) -> None:
    arguments = {"folds": [1, 1, 2, 2]} | changes
    with pytest.raises(OptionError, match=message):
        cross_validate(COLUMNS, OUTCOME, arguments.pop("folds"), **arguments)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(OptionError, match="2 problems"):
        lasso_path([[0.0], [np.inf]], [0, 3])
