"""Logistic regression against R, printed tables, second algorithms and its own symmetries."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from bayes_cmvt.errors import DataError
from bayes_cmvt.logistic import (
    fit_firth,
    fit_flac,
    fit_guarded,
    fit_maximum_likelihood,
    linear_predictor,
)
from tests.references import reference_design, reference_section, shared_table

METHODS = {"ml": fit_maximum_likelihood, "firth": fit_firth, "flac": fit_flac}
R_FITS = ["birthwt", "asah", "synth26", "indo_rct"]


def r_patients(name):
    design = reference_design(name)
    return design.drop(columns=["row", "y"]).to_numpy(float), design["y"].to_numpy(float)


def some_patients(seed=3, n=150, k=4):
    """Columns of several kinds, one of them thin, in different units."""
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(n, k))
    columns[:, 1] = rng.random(n) < 0.08
    columns[:, 2] = 1000 * columns[:, 2] + 5e4
    outcome = rng.random(n) < 1 / (1 + np.exp(0.7 - columns[:, 0] - columns[:, 1]))
    return columns, outcome.astype(float)


def risks(fit, columns):
    return 1 / (1 + np.exp(-linear_predictor(fit, columns)))


def with_ones(columns):
    return np.column_stack([np.ones(len(columns)), columns])


def information(augmented, log_odds):
    risk = 1 / (1 + np.exp(-log_odds))
    return augmented.T @ (augmented * (risk * (1 - risk))[:, np.newaxis])


def estimates(fit):
    return np.append(fit.intercept, fit.coefficients)


# --- Maximum likelihood --------------------------------------------------------------------------


@pytest.mark.reference
@pytest.mark.parametrize("name", R_FITS)
def test_maximum_likelihood_equals_glm_of_r(name):
    glm = reference_section(name, "glm")
    fit = fit_maximum_likelihood(*r_patients(name))
    assert (fit.status, fit.method) == ("converged", "ml")
    np.testing.assert_allclose(estimates(fit), list(glm["coef"].values()), rtol=1e-9)
    np.testing.assert_allclose(fit.deviance, glm["deviance"], rtol=1e-9)
    np.testing.assert_allclose(fit.log_likelihood, glm["loglik"], rtol=1e-9)
    np.testing.assert_allclose(fit.aic, glm["aic"], rtol=1e-9)
    assert fit.penalised == fit.log_likelihood


@pytest.mark.reference
@pytest.mark.parametrize("name", R_FITS)
def test_standard_errors_are_those_of_the_information_at_the_estimate_of_r(name):
    """R's own are of the weights one step before the last, and differ by up to 2e-8."""
    glm, (columns, outcome) = reference_section(name, "glm"), r_patients(name)
    augmented = with_ones(columns)
    exact = np.linalg.inv(information(augmented, augmented @ list(glm["coef"].values())))
    fit = fit_maximum_likelihood(columns, outcome)
    found = np.append(fit.intercept_se, fit.se)
    np.testing.assert_allclose(found, np.sqrt(np.diag(exact)), rtol=1e-9)
    np.testing.assert_allclose(fit.covariance, exact, rtol=1e-7, atol=1e-9 * exact.max())
    np.testing.assert_allclose(found, list(glm["se"].values()), rtol=5e-8)
    np.testing.assert_allclose(fit.z, list(glm["z"].values())[1:], rtol=5e-8)
    np.testing.assert_allclose(fit.p_value, list(glm["p"].values())[1:], rtol=5e-7)


def assert_prints_as(found, printed):
    """Equal to what was printed, to its last digit."""
    for value, text in zip(found, printed.split(), strict=True):
        digits = len(text.partition(".")[2])
        assert f"{value:.{digits}f}" == text


@pytest.mark.reference
def test_tables_2_2_and_2_3_of_hosmer_lemeshow_sturdivant_on_glow500():
    table = shared_table("data", "glow500")
    yes = table[["priorfrac", "premeno"]].eq("Yes").astype(float)
    same, greater = table["raterisk"].eq("Same"), table["raterisk"].eq("Greater")
    full = np.column_stack(
        [table["age"], table["weight"], yes["priorfrac"], yes["premeno"], same, greater]
    )
    fit = fit_maximum_likelihood(full, table["fracture"])
    assert_prints_as(
        estimates(fit), "-5.605794 0.050142 0.004080 0.679457 0.186958 0.534493 0.874123"
    )
    reduced = fit_maximum_likelihood(full[:, [0, 2, 4, 5]], table["fracture"])
    assert_prints_as(estimates(reduced), "-4.99060 0.04591 0.70023 0.54856 0.86576")
    assert_prints_as([reduced.deviance, reduced.aic], "518.90 528.9")


@pytest.mark.reference
def test_birth_weights_of_venables_and_ripley():
    """What is printed was rounded twice (0.7406849 to 0.740685 to 0.74069): R 4.2.2 has digits."""
    table = shared_table("data", "birthwt")
    race, visits = table["race"], table["ftv"]
    terms = [table["age"], table["lwt"], race == 2, race == 3, table["smoke"], table["ptl"] > 0]
    terms += [table["ht"], table["ui"], visits == 1, visits >= 2]
    fit = fit_maximum_likelihood(np.column_stack(terms), table["low"])
    printed = [0.82302, -0.03723, -0.01565, 1.19241, 0.74069, 0.75553, 1.34376, 1.91317, 0.68019]
    np.testing.assert_allclose(estimates(fit), [*printed, -0.43638, 0.17901], atol=5.5e-6)
    by_r = [0.82301898863, -0.03723429389, -0.01565300858, 1.19241323385, 0.74068490155]
    by_r += [0.75552838805, 1.34376339381, 1.91316587700, 0.68019547860, -0.43637967961]
    np.testing.assert_allclose(estimates(fit), [*by_r, 0.17900852700], rtol=1e-9)
    assert_prints_as([fit.deviance, fit.aic], "195.48 217.48")


@pytest.mark.reference
def test_table_3_15_of_hosmer_lemeshow_sturdivant_on_burn1000():
    table = shared_table("data", "burn1000")
    terms = [table["tbsa"], table["inh_inj"] == "Yes", table["age"], table["gender"] == "Male"]
    terms += [table["flame"] == "Yes", table["race"] == "White"]
    fit = fit_maximum_likelihood(np.column_stack(terms), table["death"])
    assert_prints_as(
        estimates(fit), "-7.695153 0.089345 1.365277 0.082890 -0.201494 0.582578 -0.701389"
    )


def test_without_columns_the_intercept_is_the_log_odds_of_the_event():
    fit = fit_maximum_likelihood(np.empty((8, 0)), [1, 1, 1, 1, 1, 1, 0, 0])
    assert fit.intercept == pytest.approx(np.log(3), rel=1e-12)
    assert fit.intercept_se == pytest.approx(np.sqrt(1 / 6 + 1 / 2), rel=1e-12)
    assert fit.coefficients.shape == fit.se.shape == (0,)


def test_many_patients_solve_the_score_equations():
    rng = np.random.default_rng(2)
    columns = rng.normal(size=(45_000, 26))
    outcome = (rng.random(45_000) < 1 / (1 + np.exp(2 - columns[:, 0]))).astype(float)
    fit = fit_maximum_likelihood(columns, outcome)
    score = with_ones(columns).T @ (outcome - risks(fit, columns))
    # rounding of 45,000 terms of size 1 adds up to about 1e-10
    assert np.abs(score).max() < 1e-8


@pytest.mark.reference
def test_a_large_finite_estimate_converges():
    columns, outcome = r_patients("asah")
    fit = fit_maximum_likelihood(columns, outcome)
    assert fit.status == "converged"
    assert linear_predictor(fit, columns).max() > 21


@pytest.mark.parametrize("gap", [1e-1, 1e-3, 1e-5])
def test_outcomes_that_overlap_by_little_have_a_maximum(gap):
    """Symmetric data; the slope b solves 2 sigmoid(-b) = gap sigmoid(b gap / 2), nearly."""
    columns = np.array([-1, -gap / 2, gap / 2, 1])[:, np.newaxis]
    fit = fit_maximum_likelihood(columns, [0, 1, 0, 1])
    assert fit.status == "converged"
    slope = fit.coefficients[0]
    score = 2 / (1 + np.exp(slope)) - gap / (1 + np.exp(-slope * gap / 2))
    assert abs(score) < 1e-12
    assert fit.intercept == pytest.approx(0, abs=1e-6)


# --- Aliasing and separation ---------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_constants_and_exact_combinations_are_left_out(method):
    columns, outcome = some_patients()
    a, b, c, d = columns.T
    redundant = np.column_stack(
        [a, np.full(len(a), 0.1), b, a + b, c, 7e5 - 3 * c / 60, d, a - c * 1e-3 + d, b]
    )
    fit, plain = METHODS[method](redundant, outcome), METHODS[method](columns, outcome)
    left_out = np.array([0, 1, 0, 1, 0, 1, 0, 1, 1], dtype=bool)
    assert (fit.aliased == left_out).all()
    assert (fit.coefficients[left_out] == 0).all()
    assert np.isnan(fit.covariance[1:, 1:][left_out]).all()
    assert np.isnan(fit.se[left_out]).all()
    np.testing.assert_allclose(fit.coefficients[~left_out], plain.coefficients, rtol=1e-7)
    np.testing.assert_allclose(fit.se[~left_out], plain.se, rtol=1e-7)
    assert fit.aic == pytest.approx(plain.aic, rel=1e-12)
    assert fit.penalised == pytest.approx(plain.penalised, rel=1e-10)


def test_a_nearly_exact_combination_is_kept_and_fitted():
    """A part in 1e7 of the column is its own: its coefficient is that of this part, over 1e-7."""
    columns, outcome = some_patients()
    a, _, _, d = columns.T
    near = fit_maximum_likelihood(np.column_stack([a, a + 1e-7 * d]), outcome)
    apart = fit_maximum_likelihood(np.column_stack([a, d]), outcome)
    assert not near.aliased.any()
    # the part is known to 1e-16 / 1e-7
    assert near.coefficients[1] * 1e-7 == pytest.approx(apart.coefficients[1], rel=1e-7)
    assert near.log_likelihood == pytest.approx(apart.log_likelihood, rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_fewer_distinct_patients_than_columns(method):
    rng = np.random.default_rng(1)
    columns, outcome = rng.normal(size=(4, 7)), [0, 1, 0, 1]
    fit = METHODS[method](columns, outcome, weights=[2, 1, 1, 3])
    assert fit.aliased.sum() == 4  # intercept and three columns tell four patients apart
    assert fit.status == ("separated" if method == "ml" else "converged")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("outcome", [0, 1])
def test_one_class_is_said_and_nothing_estimated(method, outcome):
    fit = METHODS[method](np.arange(6.0).reshape(3, 2), np.full(3, outcome))
    assert fit.status == "one_class"
    assert (fit.coefficients == 0).all()
    assert risks(fit, [[1, 2]]) == [outcome]
    assert np.isnan(fit.p_value).all()
    assert fit.deviance == 0


def test_deviance_of_separated_outcomes_has_reached_its_limit():
    """All events in a thin cell: its patients drop out of the limit, with the column."""
    columns, outcome = some_patients()
    cell = columns[:, 1] == 1
    outcome[cell] = 1
    fit = fit_maximum_likelihood(columns, outcome)
    rest = fit_maximum_likelihood(columns[~cell][:, [0, 2, 3]], outcome[~cell])
    assert fit.status == "separated"
    assert fit.deviance == pytest.approx(rest.deviance, abs=1e-9)
    assert fit.aic == pytest.approx(rest.aic + 2, abs=1e-9)
    np.testing.assert_allclose(fit.coefficients[[0, 2, 3]], rest.coefficients, rtol=1e-6)


def test_guarded_is_maximum_likelihood_unless_separated():
    columns, outcome = some_patients()
    assert fit_guarded(columns, outcome).method == "ml"
    outcome[columns[:, 1] == 1] = 1
    guarded, firth = fit_guarded(columns, outcome), fit_firth(columns, outcome)
    assert (guarded.method, guarded.status) == ("firth", "converged")
    np.testing.assert_array_equal(guarded.coefficients, firth.coefficients)
    assert fit_guarded(columns, np.ones(len(outcome))).status == "one_class"


# --- Firth ---------------------------------------------------------------------------------------


@pytest.mark.reference
def test_firth_of_urinary_infections_as_printed():
    """Estimates, standard errors (of the Fisher information) and penalised log-likelihood."""
    table = shared_table("data", "uti_sex2")
    fit = fit_firth(table[["age", "oc", "vic", "vicl", "vis", "dia"]], table["case"])
    assert fit.status == "converged"
    assert_prints_as(
        estimates(fit), "0.120254 -1.10598 -0.0688167 2.26887 -2.11141 -0.788317 3.09601"
    )
    assert_prints_as(
        np.append(fit.intercept_se, fit.se),
        "0.485542 0.42366 0.443793 0.548416 0.543082 0.417368 1.67501",
    )
    assert_prints_as([fit.penalised], "-132.5394")


def log_posterior(augmented, beta, outcome):
    """Log-likelihood + ½ log|information|: Jeffreys' prior, up to a constant."""
    log_odds = augmented @ beta
    likelihood = outcome @ log_odds - np.logaddexp(0, log_odds).sum()
    return likelihood + 0.5 * np.linalg.slogdet(information(augmented, log_odds))[1]


@pytest.mark.parametrize("separated", [False, True])
def test_firth_is_the_mode_under_jeffreys_prior(separated):
    columns, outcome = some_patients()
    columns[:, 2] = (columns[:, 2] - 5e4) / 1000
    if separated:
        outcome[columns[:, 1] == 1] = 1
    augmented, fit = with_ones(columns), fit_firth(columns, outcome)
    start = np.zeros(augmented.shape[1])
    found = minimize(lambda beta: -log_posterior(augmented, beta, outcome), start, tol=1e-9)
    assert fit.penalised == pytest.approx(-found.fun, abs=1e-8)
    # a quasi-Newton search on differences finds its place to about 1e-5
    np.testing.assert_allclose(estimates(fit), found.x, atol=2e-5)
    at_fit = information(augmented, linear_predictor(fit, columns))
    np.testing.assert_allclose(fit.covariance, np.linalg.inv(at_fit), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("events", [(0, 2, 5), (1, 1, 1), (3, 7, 0)])
def test_firth_adds_half_a_patient_to_both_outcomes_of_every_group(events):
    """Of a saturated model; also where a group holds a single patient."""
    patients = np.array([7, 9, 5]) if events != (1, 1, 1) else np.array([1, 4, 2])
    columns = np.repeat(np.eye(3)[:, 1:], 2, axis=0)
    counts = np.column_stack([patients - events, events]).ravel().astype(float)
    fit = fit_firth(columns, np.tile([0, 1], 3), weights=counts)
    expected = np.log((np.array(events) + 0.5) / (patients - events + 0.5))
    np.testing.assert_allclose(linear_predictor(fit, np.eye(3)[:, 1:]), expected, atol=1e-8)


# --- FLAC ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("separated", [False, True])
def test_flac_is_maximum_likelihood_of_the_augmented_data(separated):
    """Built as Puhr (2017) states it, with leverages of a plain formula, by statsmodels."""
    columns, outcome = some_patients()
    columns[:, 2] = (columns[:, 2] - 5e4) / 1000
    if separated:
        outcome[columns[:, 1] == 1] = 1
    augmented, firth = with_ones(columns), fit_firth(columns, outcome)
    risk = risks(firth, columns)
    inverse = np.linalg.inv(information(augmented, linear_predictor(firth, columns)))
    leverage = risk * (1 - risk) * np.einsum("ij,jk,ik->i", augmented, inverse, augmented)
    mark = np.repeat([0.0, 1.0, 1.0], len(outcome))
    three = np.column_stack([np.tile(augmented, (3, 1)), mark])
    expected = sm.GLM(
        np.concatenate([outcome, outcome, 1 - outcome]),
        three,
        family=sm.families.Binomial(),
        freq_weights=np.concatenate([np.ones(len(outcome)), leverage / 2, leverage / 2]),
    ).fit(tol=1e-14, tol_criterion="params")
    fit = fit_flac(columns, outcome)
    assert (fit.method, fit.status) == ("flac", "converged")
    np.testing.assert_allclose(estimates(fit), expected.params[:-1], atol=1e-7)
    np.testing.assert_allclose(fit.covariance, expected.cov_params()[:-1, :-1], atol=1e-7)
    likelihood = (outcome * np.log(risks(fit, columns))).sum()
    likelihood += ((1 - outcome) * np.log(1 - risks(fit, columns))).sum()
    assert fit.log_likelihood == pytest.approx(likelihood, rel=1e-12)


@st.composite
def small_studies(draw):
    """Few patients, few columns of small whole numbers or thin cells: often separated."""
    patients, width = draw(st.integers(2, 25)), draw(st.integers(0, 4))
    decimal = st.integers(-30, 30).map(lambda tenths: tenths / 10)
    cell = draw(st.sampled_from([st.integers(0, 1), st.integers(-2, 2), decimal]))
    row = st.lists(cell, min_size=width, max_size=width)
    columns = draw(st.lists(row, min_size=patients, max_size=patients))
    outcome = draw(st.lists(st.integers(0, 1), min_size=patients, max_size=patients))
    return np.array(columns, dtype=float).reshape(patients, width), np.array(outcome, dtype=float)


@given(small_studies())
@settings(max_examples=150)
def test_risks_by_flac_add_up_to_the_events_even_where_outcomes_are_separated(study):
    columns, outcome = study
    fit = fit_flac(columns, outcome)
    assert fit.status in ("converged", "one_class")
    assert risks(fit, columns).sum() == pytest.approx(outcome.sum(), abs=1e-6)


@given(small_studies())
@settings(max_examples=150)
def test_firth_solves_its_score_equations(study):
    columns, outcome = study
    fit = fit_firth(columns, outcome)
    if fit.status == "one_class":
        return
    assert fit.status == "converged"
    augmented = with_ones(columns)[:, np.append(True, ~fit.aliased)]
    spread = np.sqrt((augmented**2).sum(axis=0))
    risk = risks(fit, columns)
    root = np.sqrt(risk * (1 - risk))[:, np.newaxis] * (augmented / spread)
    left = np.linalg.svd(root, full_matrices=False)[0]
    score = (augmented / spread).T @ (outcome - risk + (left**2).sum(axis=1) * (0.5 - risk))
    assert np.abs(score).max() < 1e-6


# --- Symmetries ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_order_of_patients_does_not_matter(method):
    columns, outcome = some_patients()
    order = np.random.default_rng(1).permutation(len(outcome))
    fit = METHODS[method](columns, outcome)
    again = METHODS[method](columns[order], outcome[order])
    np.testing.assert_allclose(estimates(again), estimates(fit), rtol=1e-8)
    np.testing.assert_allclose(again.se, fit.se, rtol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_units_of_columns_do_not_matter(method):
    columns, outcome = some_patients()
    factor, shift = np.array([1e-6, 3.0, -1e5, 0.1]), np.array([1e-3, -5.0, 1e6, 40.0])
    fit = METHODS[method](columns, outcome)
    other = METHODS[method](columns * factor + shift, outcome)
    np.testing.assert_allclose(other.coefficients * factor, fit.coefficients, rtol=1e-7)
    np.testing.assert_allclose(other.se * np.abs(factor), fit.se, rtol=1e-7)
    assert other.log_likelihood == pytest.approx(fit.log_likelihood, rel=1e-10)
    # the penalty is ½ log|information|, which has the units of the columns
    units = np.log(np.abs(factor)).sum() if method == "firth" else 0.0
    assert other.penalised == pytest.approx(fit.penalised + units, rel=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_weights_are_numbers_of_copies(method):
    columns, outcome = some_patients()
    copies = np.random.default_rng(4).integers(0, 4, len(outcome))
    fit = METHODS[method](columns, outcome, weights=copies)
    repeated = METHODS[method](np.repeat(columns, copies, axis=0), np.repeat(outcome, copies))
    np.testing.assert_allclose(estimates(fit), estimates(repeated), rtol=1e-8)
    np.testing.assert_allclose(fit.covariance, repeated.covariance, rtol=1e-7, atol=1e-12)
    assert fit.log_likelihood == pytest.approx(repeated.log_likelihood, rel=1e-10)
    assert fit.penalised == pytest.approx(repeated.penalised, rel=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_swapping_the_outcomes_turns_the_signs(method):
    columns, outcome = some_patients()
    fit, swapped = METHODS[method](columns, outcome), METHODS[method](columns, 1 - outcome)
    np.testing.assert_allclose(estimates(swapped), -estimates(fit), rtol=1e-7)
    np.testing.assert_allclose(swapped.se, fit.se, rtol=1e-7)
    assert swapped.penalised == pytest.approx(fit.penalised, rel=1e-10)


# --- What cannot be fitted -----------------------------------------------------------------------


def test_everything_wrong_with_the_patients_is_said_at_once():
    with pytest.raises(DataError) as raised:
        fit_maximum_likelihood([[np.nan], [1], [2]], [0, 2, 1], weights=[1, -1, 1])
    text = str(raised.value)
    assert "columns are not finite in rows 0, counted from 0" in text
    assert "the outcome is neither 0 nor 1 in rows 1" in text
    assert "weights must be numbers of copies" in text


def test_shapes_that_differ_are_named():
    with pytest.raises(DataError, match=r"columns \(2, 1\), outcome \(3,\), weights \(3,\)"):
        fit_firth([[1], [2]], [0, 1, 1])


def test_no_patient_with_a_weight_is_refused():
    with pytest.raises(DataError, match="no patient with a weight above 0"):
        fit_guarded([[1], [2]], [0, 1], weights=[0, 0])


def test_another_number_of_columns_is_refused():
    fit = fit_maximum_likelihood([[0], [0], [1], [1]], [0, 1, 0, 1])
    with pytest.raises(DataError, match=r"shape \(1, 2\); \(patient, 1\) is needed"):
        linear_predictor(fit, [[1, 2]])
