"""The published workflow: the same as R's, and the same whatever should not matter."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from bayes_cmvt import pipeline
from bayes_cmvt.errors import BayesCmvtError, OptionError
from bayes_cmvt.logistic import LogisticFit, fit_maximum_likelihood, linear_predictor
from bayes_cmvt.pipeline import (
    STATUSES,
    Model,
    Patients,
    PipelineFit,
    deciding_p,
    draw_folds,
    eliminate_by_aic,
    run_pipeline,
    screen,
    univariable_p,
)
from bayes_cmvt.posterior import expit
from bayes_cmvt.schema import Baseline
from tests.references import COMMITTED, reference_design, reference_section, shared_table

SEED = np.random.SeedSequence(1)
EVERYTHING_KEPT = Baseline(p_enter=1.0)


def given_patients(
    columns: Any, outcome: Any, *, groups: Any = None, weights: Any = None, folds: Any = None
) -> Patients:
    matrix = np.ascontiguousarray(columns, dtype=float)
    return Patients(
        matrix,
        np.asarray(outcome, dtype=np.int8),
        np.arange(matrix.shape[1]) if groups is None else np.asarray(groups),
        weights=weights,
        folds=folds,
    )


def simulated(n: int = 150, width: int = 6, seed: int = 1) -> Patients:
    """Patients in whom the first two of some columns matter."""
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(n, width))
    risk = expit(1.2 * columns[:, 0] - 0.9 * columns[:, 1] - 0.4)
    return given_patients(columns, rng.random(n) < risk)


def final_of(found: PipelineFit) -> Model:
    assert found.final is not None, found.reason
    return found.final


def assert_same_run(found: PipelineFit, expected: PipelineFit, tolerance: float = 1e-9) -> None:
    """Same choices, same risks model; 1e-9: fits have converged to that."""
    assert (found.status, found.folds) == (expected.status, expected.folds)
    for step in ("refit", "final", "risk"):
        ours, theirs = getattr(found, step), getattr(expected, step)
        np.testing.assert_array_equal(ours.members, theirs.members)
        assert ours.fit.intercept == pytest.approx(theirs.fit.intercept, rel=tolerance)
        np.testing.assert_allclose(ours.coefficients, theirs.coefficients, rtol=tolerance)


# --- R -------------------------------------------------------------------------------------------


@functools.cache
def r_reference(name: str) -> dict[str, Any]:
    """What pipeline_reference.R made of a design."""
    text = (COMMITTED / "pipeline_reference.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)[name]
    return content


@functools.cache
def design(name: str) -> pd.DataFrame:
    return reference_design(name).drop(columns="row")


def r_patients(name: str, folds: Any) -> Patients:
    """Patients of a design; the columns of birthwt's race belong together."""
    table = design(name)
    columns = table.drop(columns="y")
    predictors = columns.columns.str.replace(r"^race\d$", "race", regex=True)
    groups, _ = pd.factorize(predictors)
    return given_patients(columns, table["y"], groups=groups, folds=np.asarray(folds))


def terms_of(name: str, members: Any) -> list[str]:
    return list(itertools.compress(design(name).columns.drop("y"), members))


def assert_is_glm(name: str, model: Model, theirs: dict[str, Any]) -> None:
    """R's glm with epsilon = 1e-14, both written with 15 digits; P has the relative error z dz."""
    assert ["(Intercept)", *terms_of(name, model.members)] == theirs["terms"]
    fit = model.fit
    assert fit.method == "ml"
    for ours, key, tolerance in (
        (np.append(fit.intercept, fit.coefficients), "coef", 1e-9),
        (np.append(fit.intercept_se, fit.se), "se", 1e-9),
    ):
        np.testing.assert_allclose(ours, theirs[key], rtol=tolerance)
    np.testing.assert_allclose(fit.p_value, theirs["p"][1:], rtol=1e-7)
    assert fit.aic == pytest.approx(theirs["aic"], rel=1e-11)


def assert_is_workflow(name: str, found: PipelineFit, theirs: dict[str, Any]) -> None:
    assert found.cross_validated is not None
    assert found.refit is not None
    which = "lambda_min" if theirs["rule"] == "min" else "lambda_1se"
    assert getattr(found.cross_validated, which) == pytest.approx(theirs["lambda"], rel=1e-9)
    assert_is_glm(name, found.refit, theirs["refit"])
    assert_is_glm(name, final_of(found), theirs["final"])


@pytest.mark.reference
@pytest.mark.parametrize("case", range(12))
@pytest.mark.parametrize("name", ["synth26", "birthwt"])
def test_workflow_is_that_of_r_from_folds_to_final_model(name: str, case: int) -> None:
    """cv.glmnet, glm, P < 0.05, glm; three losses, two rules, two cross-validations."""
    theirs = r_reference(name)["workflows"][case]
    settings = Baseline(**{key: theirs[key] for key in ("loss", "rule", "cv")})
    patients = r_patients(name, r_reference(name)["foldid"])
    found = run_pipeline(patients, settings, SEED)
    assert (found.status, found.folds) == ("fitted", 10)
    assert_is_workflow(name, found, theirs)


@pytest.mark.reference
@pytest.mark.parametrize("name", ["synth26", "birthwt"])
def test_screening_is_that_of_r(name: str) -> None:
    """Joint Wald tests of single predictors, then the workflow of the columns that are left."""
    theirs = r_reference(name)["screening"]
    patients = r_patients(name, r_reference(name)["foldid"])
    groups = np.unique(patients.groups)
    ours = [univariable_p(patients, patients.groups == group) for group in groups]
    np.testing.assert_allclose(ours, theirs["p"], rtol=1e-7)
    found = run_pipeline(patients, Baseline(loss="deviance", screen_p=theirs["level"]), SEED)
    assert terms_of(name, found.screened) == theirs["kept"]
    assert_is_workflow(name, found, theirs["workflow"])


@pytest.mark.reference
@pytest.mark.parametrize("name", ["synth26", "birthwt"])
def test_elimination_is_step_of_r(name: str) -> None:
    theirs = r_reference(name)["elimination"]
    patients = r_patients(name, r_reference(name)["foldid"])
    found = run_pipeline(patients, Baseline(loss="deviance", elimination="aic"), SEED)
    assert_is_glm(name, final_of(found), theirs["lasso"]["final"])
    everything = np.ones(patients.columns.shape[1], dtype=bool)
    kept = eliminate_by_aic(patients, everything)
    assert ["(Intercept)", *terms_of(name, kept)] == theirs["everything"]["final"]["terms"]


def shared_folds(name: str) -> np.ndarray:
    return shared_table("reference", f"{name}_foldid")["foldid"].to_numpy()


def logit(columns: np.ndarray, outcome: np.ndarray) -> Any:
    """Maximum likelihood by statsmodels, intercept first."""
    exog = sm.add_constant(columns, has_constant="add")
    return sm.Logit(outcome, exog).fit(method="newton", tol=1e-13, maxiter=100, disp=0)


@pytest.mark.reference
@pytest.mark.parametrize("rule", ["min", "1se"])
@pytest.mark.parametrize("loss", ["deviance", "mse", "auc"])
@pytest.mark.parametrize("cv", ["exact", "glmnet"])
@pytest.mark.parametrize("name", ["synth26", "birthwt", "asah", "indo_rct"])
def test_selection_is_glmnet_s_and_the_refit_statsmodels(
    name: str, cv: str, loss: str, rule: str
) -> None:
    """1e-6, as a plain refit of the same columns; the P rule then by hand."""
    patients = r_patients(name, shared_folds(name))
    section = "cv_fixed_lambda" if cv == "exact" else "cv"
    theirs = reference_section(name, "lasso")[section][loss]
    chosen = {"loss": loss, "rule": rule, "cv": cv}
    found = run_pipeline(patients, Baseline(**chosen, p_enter=1.0), SEED)
    kept = theirs[f"coef_{rule}"]
    assert found.refit is not None
    columns = design(name).columns.drop("y")
    np.testing.assert_array_equal(found.refit.members, [kept[one] != 0 for one in columns])
    np.testing.assert_array_equal(final_of(found).members, found.refit.members)
    refit = logit(patients.part(found.refit.members), patients.outcome)
    assert_is_logit(found.refit.fit, refit)
    members = found.refit.members.copy()
    members[members] = refit.pvalues[1:] < 0.05
    judged = final_of(run_pipeline(patients, Baseline(**chosen), SEED))
    np.testing.assert_array_equal(judged.members, members)
    assert_is_logit(judged.fit, logit(patients.part(members), patients.outcome))


def assert_is_logit(fit: LogisticFit, theirs: Any) -> None:
    ours = np.append(fit.intercept, fit.coefficients)
    np.testing.assert_allclose(ours, theirs.params, rtol=1e-6)
    np.testing.assert_allclose(np.append(fit.intercept_se, fit.se), theirs.bse, rtol=1e-6)
    np.testing.assert_allclose(fit.p_value, theirs.pvalues[1:], rtol=1e-6, atol=1e-12)


# --- what must not matter ------------------------------------------------------------------------


def test_seed_is_left_as_it_was_and_gives_the_same_result_again() -> None:
    seed = np.random.SeedSequence(7)
    patients = simulated()
    first = run_pipeline(patients, Baseline(), seed)
    second = run_pipeline(patients, Baseline(), seed)
    assert seed.n_children_spawned == 0
    assert first.cross_validated is not None
    assert second.cross_validated is not None
    np.testing.assert_array_equal(first.cross_validated.mean, second.cross_validated.mean)
    assert_same_run(first, second, 0.0)
    other = run_pipeline(patients, Baseline(), np.random.SeedSequence(8)).cross_validated
    assert other is not None
    assert (other.mean != first.cross_validated.mean).any()


def test_patients_are_left_as_they_were() -> None:
    patients = simulated()
    before = patients.columns.copy(), patients.outcome.copy()
    run_pipeline(patients, Baseline(screen_p=0.5, elimination="aic"), SEED)
    np.testing.assert_array_equal(patients.columns, before[0])
    np.testing.assert_array_equal(patients.outcome, before[1])


VARIANTS = [
    Baseline(),
    Baseline(loss="deviance", rule="1se", cv="glmnet"),
    Baseline(loss="auc", screen_p=0.3),
    Baseline(elimination="aic"),
]


@pytest.mark.parametrize("variant", VARIANTS)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=8)
def test_copies_are_repeated_rows(variant: Baseline, seed: int) -> None:
    """Where all copies of a patient share a fold."""
    rng = np.random.default_rng(seed)
    once = simulated(60, 4, seed)
    rows = np.sort(rng.integers(0, 60, 90))
    distinct, copies = np.unique(rows, return_counts=True)
    folds = draw_folds(once.outcome[distinct], 5, rng)
    counted = given_patients(
        once.columns[distinct],
        once.outcome[distinct],
        weights=copies.astype(float),
        folds=folds,
    )
    repeated = given_patients(
        once.columns[rows], once.outcome[rows], folds=np.repeat(folds, copies)
    )
    # 1e-7: sums over copies round otherwise, and separated fits lose digits
    assert_same_run(
        run_pipeline(counted, variant, SEED), run_pipeline(repeated, variant, SEED), 1e-7
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_units_of_columns_do_not_matter(variant: Baseline) -> None:
    patients = simulated()
    scale, shift = np.array([1, 1000, 0.01, 2, 1, 1]), np.array([0, 50, -1, 3, 0, 100])
    moved = given_patients(patients.columns * scale + shift, patients.outcome)
    here, there = (run_pipeline(each, variant, SEED) for each in (patients, moved))
    for step in ("refit", "final"):
        np.testing.assert_array_equal(getattr(here, step).members, getattr(there, step).members)
    # 1e-8: the shift by 100 units costs two digits
    np.testing.assert_allclose(
        final_of(there).coefficients * scale, final_of(here).coefficients, rtol=1e-8
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_order_of_patients_does_not_matter_where_folds_go_with_them(variant: Baseline) -> None:
    rng = np.random.default_rng(3)
    plain = simulated()
    folds, order = draw_folds(plain.outcome, 10, rng), rng.permutation(len(plain.outcome))
    dealt = dataclasses.replace(plain, folds=folds)
    moved = given_patients(plain.columns[order], plain.outcome[order], folds=folds[order])
    assert_same_run(run_pipeline(moved, variant, SEED), run_pipeline(dealt, variant, SEED), 1e-8)


@pytest.mark.parametrize("variant", VARIANTS)
def test_order_of_columns_does_not_matter(variant: Baseline) -> None:
    patients, order = simulated(), np.array([3, 0, 5, 1, 4, 2])
    moved = given_patients(patients.columns[:, order], patients.outcome)
    here, there = (final_of(run_pipeline(each, variant, SEED)) for each in (patients, moved))
    np.testing.assert_array_equal(there.members, here.members[order])
    np.testing.assert_allclose(there.coefficients, here.coefficients[order], rtol=1e-8)


# --- what becomes of patients that no model fits -------------------------------------------------


def test_every_status_has_words() -> None:
    assert set(STATUSES) == {"fitted", "empty", "one_class", "few_patients", "failed"}


@pytest.mark.parametrize("outcome", [0, 1])
def test_one_outcome_only_is_one_class(outcome: int) -> None:
    patients = given_patients(simulated(20).columns, np.full(20, outcome))
    found = run_pipeline(patients, Baseline(), SEED)
    assert found.status == "one_class"
    assert (found.refit, found.final, found.risk) == (None, None, None)


@pytest.mark.parametrize("rare", [0, 1])
def test_a_single_patient_of_an_outcome_is_few_patients(rare: int) -> None:
    outcome = np.full(20, 1 - rare)
    outcome[4] = rare
    patients = given_patients(simulated(20).columns, outcome)
    found = run_pipeline(patients, Baseline(), SEED)
    assert (found.status, found.final) == ("few_patients", None)
    # with folds of one's own: the fold without the single patient says why
    dealt = dataclasses.replace(patients, folds=np.arange(20) % 4)
    found = run_pipeline(dealt, Baseline(), SEED)
    assert found.status == "failed"
    assert "alike" in found.reason


def test_fewer_events_than_folds_make_fewer_folds() -> None:
    patients = simulated(60)
    outcome = np.zeros(60)
    outcome[np.argsort(-patients.columns[:, 0])[:4]] = 1
    found = run_pipeline(given_patients(patients.columns, outcome), Baseline(), SEED)
    assert found.folds == 4
    assert found.status in ("fitted", "empty")


def test_nothing_kept_is_the_event_share() -> None:
    rng = np.random.default_rng(2)
    patients = given_patients(rng.normal(size=(80, 4)), np.arange(80) % 5 == 0)
    by_lasso = run_pipeline(patients, Baseline(rule="1se"), SEED)
    by_p = run_pipeline(patients, Baseline(p_enter=1e-9), SEED)
    by_screening = run_pipeline(patients, Baseline(screen_p=1e-9), SEED)
    assert by_screening.cross_validated is None
    assert not by_screening.screened.any()
    for found in (by_lasso, by_p, by_screening):
        assert found.status == "empty"
        assert not final_of(found).members.any()
        assert final_of(found).coefficients.tolist() == [0, 0, 0, 0]
        assert expit(final_of(found).fit.intercept) == pytest.approx(0.2, rel=1e-12)


def test_folds_that_cannot_be_used_fail_and_say_why() -> None:
    patients = dataclasses.replace(simulated(), folds=np.ones(150, dtype=int))
    found = run_pipeline(patients, Baseline(), SEED)
    assert (found.status, found.final) == ("failed", None)
    assert "fold" in found.reason


def test_columns_that_are_all_constant_fail_and_say_why() -> None:
    patients = given_patients(np.ones((40, 2)), np.arange(40) % 2)
    found = run_pipeline(patients, Baseline(), SEED)
    assert found.status == "failed"
    assert "no column goes with the outcome" in found.reason
    screened = run_pipeline(patients, Baseline(screen_p=0.1), SEED)
    assert screened.status == "empty"


@pytest.mark.parametrize("step", ["cross_validate", "fitted_model"])
def test_a_fit_that_did_not_converge_is_a_failure(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = getattr(pipeline, step)

    def unfinished(*arguments: Any, **keywords: Any) -> Any:
        made = plain(*arguments, **keywords)
        if step == "cross_validate":
            return dataclasses.replace(made, converged=False)
        return Model(made.members, dataclasses.replace(made.fit, status="not_converged"))

    monkeypatch.setattr(pipeline, step, unfinished)
    assert run_pipeline(simulated(), Baseline(), SEED).status == "failed"


def separated(n: int = 80) -> Patients:
    """The first column is 1 in eight patients only, all of whom had the event."""
    plain = simulated(n, 4, 3)
    columns, outcome = plain.columns.copy(), plain.outcome.copy()
    columns[:, 0] = 0
    columns[np.flatnonzero(outcome == 1)[:8], 0] = 1
    return given_patients(columns, outcome)


@pytest.mark.parametrize("p_enter", [1.0, 0.05])
def test_separated_refit_is_firth_s_and_its_risks_are_flac_s(p_enter: float) -> None:
    """Risks by FLAC add up to the events; 1e-9, its fit has converged to that."""
    patients = separated()
    found = run_pipeline(patients, Baseline(p_enter=p_enter), SEED)
    assert found.status == "fitted"
    assert found.refit is not None
    assert found.risk is not None
    assert found.refit.members[0]
    assert found.refit.fit.method == final_of(found).fit.method == "firth"
    assert found.risk.fit.method == "flac"
    assert np.abs(found.refit.coefficients).max() < 10
    np.testing.assert_array_equal(found.risk.members, final_of(found).members)
    log_odds = linear_predictor(found.risk.fit, patients.part(found.risk.members))
    assert expit(log_odds).sum() == pytest.approx(patients.outcome.sum(), rel=1e-9)


def test_p_of_a_separated_refit_is_that_of_the_penalised_likelihood_ratio() -> None:
    """Wald's would drop the strongest predictor, which no patient contradicts."""
    patients = separated()
    found = run_pipeline(patients, Baseline(), SEED)
    assert found.refit is not None
    p = deciding_p(patients, found.refit)
    assert p[0] < 0.01
    np.testing.assert_array_equal(final_of(found).members[found.refit.members], p < 0.05)
    assert found.refit.fit.p_value[0] > p[0]
    assert final_of(found).members[0]


def test_a_test_without_an_answer_is_a_failure_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One resample in many thousands must not end the others."""

    def unanswered(*arguments: Any, **keywords: Any) -> Any:
        raise BayesCmvtError("no maximum was found")  # noqa: EM101

    monkeypatch.setattr(pipeline, "likelihood_ratio_tests", unanswered)
    found = run_pipeline(separated(), Baseline(), SEED)
    assert (found.status, found.reason) == ("failed", "no maximum was found")


def test_risks_of_a_plain_model_are_its_own() -> None:
    found = run_pipeline(simulated(), Baseline(), SEED)
    assert found.risk is found.final


# --- steps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_without_a_p_rule_everything_that_the_lasso_kept_stays(seed: int) -> None:
    found = run_pipeline(simulated(seed=seed), EVERYTHING_KEPT, SEED)
    assert found.final is found.refit
    assert found.cross_validated is not None
    at = found.cross_validated.index_min
    np.testing.assert_array_equal(final_of(found).members, found.cross_validated.path.selected[at])


def categorical(seed: int = 4) -> Patients:
    """Columns: a number, three dummies of one predictor, a number."""
    rng = np.random.default_rng(seed)
    level = rng.integers(0, 4, 200)
    columns = np.column_stack(
        [rng.normal(size=200), *(level == k for k in (1, 2, 3)), rng.normal(size=200)]
    )
    event = rng.random(200) < expit(0.6 * (level == 3) - 0.5 * columns[:, 4])
    return given_patients(columns, event, groups=[0, 1, 1, 1, 2])


def test_screening_asks_all_columns_of_a_predictor_at_once() -> None:
    patients = categorical()
    expected = np.empty(5)
    for group in range(3):
        members = patients.groups == group
        fit = logit(patients.part(members), patients.outcome)
        asked = np.eye(members.sum() + 1)[1:]
        test = fit.wald_test(asked, use_f=False, scalar=True)
        expected[members] = test.pvalue
        assert univariable_p(patients, members) == pytest.approx(test.pvalue, rel=1e-8)
    levels = np.sort(np.unique(expected))
    assert screen(patients, None).all()
    for level in (*levels * 0.999, *levels * 1.001):
        np.testing.assert_array_equal(screen(patients, level), expected < level)
    found = run_pipeline(patients, Baseline(screen_p=float(levels[1:].mean())), SEED)
    assert found.refit is not None
    assert not (found.refit.members & ~found.screened).any()


def test_screening_asks_the_likelihood_ratio_where_wald_has_no_answer() -> None:
    patients = separated()
    members = np.array([True, False, False, False])
    fit = fit_maximum_likelihood(patients.part(members), patients.outcome)
    assert fit.status == "separated"
    # deviance of the other patients at their own event share, and of everybody at theirs
    marked = patients.columns[:, 0] == 1

    def deviance(outcome: np.ndarray) -> float:
        p = outcome.mean()
        return float(-2 * np.sum(outcome * np.log(p) + (1 - outcome) * np.log(1 - p)))

    gained = deviance(patients.outcome) - deviance(patients.outcome[~marked])
    assert univariable_p(patients, members) == pytest.approx(chi2.sf(gained, 1), rel=1e-6)
    assert screen(patients, 0.05)[0]


def test_a_constant_column_does_not_pass_a_screening() -> None:
    plain = simulated()
    patients = given_patients(np.column_stack([np.full(150, 3.0), plain.columns]), plain.outcome)
    assert univariable_p(patients, np.arange(7) == 0) == 1.0
    assert not screen(patients, 1.0)[0]


@pytest.mark.parametrize("seed", range(6))
def test_elimination_is_stepwise_by_deviances_of_statsmodels(seed: int) -> None:
    patients = simulated(120, 7, seed)

    def aic(kept: tuple[int, ...]) -> float:
        fit = logit(patients.columns[:, list(kept)], patients.outcome)
        return float(-2 * fit.llf + 2 * (1 + len(kept)))

    kept = tuple(range(7))
    while kept:
        smaller = list(itertools.combinations(kept, len(kept) - 1))
        best = min(smaller, key=aic)
        if aic(best) >= aic(kept):
            break
        kept = best
    found = eliminate_by_aic(patients, np.ones(7, dtype=bool))
    assert np.flatnonzero(found).tolist() == list(kept)


def test_elimination_may_leave_nothing_and_keeps_what_separates() -> None:
    noise = given_patients(np.arange(60)[:, np.newaxis] // 2, np.arange(60) % 2)
    assert not eliminate_by_aic(noise, np.ones(1, dtype=bool)).any()
    assert eliminate_by_aic(separated(), np.ones(4, dtype=bool))[0]


def test_more_columns_than_patients_are_no_obstacle() -> None:
    rng = np.random.default_rng(6)
    columns = rng.normal(size=(40, 60))
    patients = given_patients(columns, columns[:, 0] + rng.normal(size=40) > 0)
    found = run_pipeline(patients, Baseline(rule="1se"), SEED)
    assert found.status == "fitted"
    assert final_of(found).members[0]
    # whatever the LASSO keeps, the outcome is a model or a named failure, never a NaN
    many = run_pipeline(patients, EVERYTHING_KEPT, SEED)
    assert many.status in ("fitted", "failed")
    if many.status == "fitted":
        assert many.risk is not None
        assert np.isfinite(many.risk.coefficients).all()


@pytest.mark.parametrize("variant", [*VARIANTS, EVERYTHING_KEPT])
def test_a_column_given_twice_is_used_once(variant: Baseline) -> None:
    plain = simulated()
    patients = given_patients(np.column_stack([plain.columns, plain.columns[:, 0]]), plain.outcome)
    found, once = (final_of(run_pipeline(each, variant, SEED)) for each in (patients, plain))
    assert found.members[[0, 6]].sum() == 1
    used = found.coefficients[:6].copy()
    used[0] += found.coefficients[6]
    # 1e-6: the two runs may stop at penalties that agree to the LASSO's tolerance only
    np.testing.assert_allclose(used, once.coefficients, rtol=1e-6)


@pytest.mark.parametrize("variant", [EVERYTHING_KEPT, Baseline(elimination="aic"), Baseline()])
def test_what_the_refit_cannot_estimate_leaves_the_model(
    variant: Baseline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A LASSO that keeps a sum of columns beside them, which its optimum hardly ever does."""
    plain = pipeline.cross_validate

    def keeps_everything(*arguments: Any, **keywords: Any) -> Any:
        made = plain(*arguments, **keywords)
        everything = np.ones_like(made.path.coefficients)
        return dataclasses.replace(
            made, path=dataclasses.replace(made.path, coefficients=everything)
        )

    two = simulated(width=2)
    patients = given_patients(np.column_stack([two.columns, two.columns.sum(axis=1)]), two.outcome)
    monkeypatch.setattr(pipeline, "cross_validate", keeps_everything)
    found = run_pipeline(patients, variant, SEED)
    assert found.refit is not None
    assert found.refit.members.all()
    assert found.refit.fit.aliased.tolist() == [False, False, True]
    assert final_of(found).members.tolist() == [True, True, False]


@pytest.mark.parametrize("variant", [*VARIANTS, EVERYTHING_KEPT])
def test_a_constant_column_is_never_used(variant: Baseline) -> None:
    plain = simulated()
    patients = given_patients(np.column_stack([np.full(150, 7.0), plain.columns]), plain.outcome)
    found, once = (run_pipeline(each, variant, SEED) for each in (patients, plain))
    assert not final_of(found).members[0]
    np.testing.assert_allclose(
        final_of(found).coefficients[1:], final_of(once).coefficients, rtol=1e-8
    )


# --- folds ---------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(0, 1), min_size=4, max_size=80).filter(lambda one: sum(one) >= 2),
    st.integers(2, 12),
    st.integers(0, 2**32),
)
def test_folds_are_balanced_and_each_outcome_evenly(
    events: list[int], folds: int, seed: int
) -> None:
    outcome = np.append(np.array(events, dtype=np.int8), np.zeros(2, dtype=np.int8))
    fold = draw_folds(outcome, folds, np.random.default_rng(seed))
    count = min(folds, int(outcome.sum()), int((1 - outcome).sum()))
    assert np.unique(fold).tolist() == list(range(count))
    for members in (outcome == 0, outcome == 1, outcome >= 0):
        sizes = np.bincount(fold[members], minlength=count)
        assert sizes.max() - sizes.min() <= 1
    again = draw_folds(outcome, folds, np.random.default_rng(seed))
    np.testing.assert_array_equal(fold, again)


def test_every_patient_falls_in_every_fold_equally_often() -> None:
    """4 standard errors of a share of 4,000 draws."""
    outcome = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1], dtype=np.int8)
    rng = np.random.default_rng(1)
    drawn = np.array([draw_folds(outcome, 2, rng) for _ in range(4000)])
    assert np.abs(drawn.mean(axis=0) - 0.5).max() < 4 * 0.5 / 4000**0.5


@pytest.mark.parametrize("events", [0, 1, 5, 6])
def test_folds_need_two_patients_of_each_outcome(events: int) -> None:
    outcome = (np.arange(6) < events).astype(np.int8)
    with pytest.raises(OptionError, match=f"found {events} patients with the event"):
        draw_folds(outcome, 3, np.random.default_rng(1))


def test_copies_of_a_resample_share_a_fold_because_patients_are_dealt_once() -> None:
    """What `run_pipeline` draws by itself for distinct patients with weights."""
    once = simulated(60, 4)
    rows = np.sort(np.random.default_rng(4).integers(0, 60, 60))
    distinct, copies = np.unique(rows, return_counts=True)
    counted = given_patients(
        once.columns[distinct], once.outcome[distinct], weights=copies.astype(float)
    )
    fold = draw_folds(counted.outcome, 10, np.random.default_rng(SEED))
    repeated = given_patients(once.columns[rows], once.outcome[rows], folds=np.repeat(fold, copies))
    assert_same_run(
        run_pipeline(counted, Baseline(), SEED), run_pipeline(repeated, Baseline(), SEED), 1e-7
    )
