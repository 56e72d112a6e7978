"""Selection: against projpred, against what it is by definition, and under what must not matter."""

from __future__ import annotations

import dataclasses
from functools import cache
from threading import Event

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_cmvt as bc
from bayes_cmvt.cohort import Cohort, load_cohort
from bayes_cmvt.crossvalidation import Partition, fold_partitions, leave_one_out
from bayes_cmvt.design import design_matrix
from bayes_cmvt.diagnostics import monte_carlo_error
from bayes_cmvt.errors import DataError, OptionError
from bayes_cmvt.glossary import COLUMNS
from bayes_cmvt.posterior import design_of, draws_of, expit, settings_of
from bayes_cmvt.refits import RefitLength, development_rows, refit_draws
from bayes_cmvt.repetitions import (
    SEARCH_DRAWS,
    Reference,
    SelectionSettings,
    reference_draws,
    search_stream,
)
from bayes_cmvt.selection import (
    known_refits,
    projection_refitter,
    search_plan,
    select,
    suggest_size,
)
from bayes_cmvt.selection_estimates import (
    honest_difference,
    judged_sizes,
    selected_columns,
    selected_sets,
    selected_terms,
    selection_alternatives,
    selection_coefficients,
    selection_frequencies,
    selection_recurrence,
    selection_stability,
    selection_table,
    stability,
)
from bayes_cmvt.selection_rules import (
    Practice,
    expected_errors,
    horseshoe_rules,
    kept_by_rules,
)
from bayes_cmvt.study import parse_study
from bayes_cmvt.submodels import (
    ReferenceDraws,
    cluster_members,
    cluster_targets,
    project_draws,
    search_clusters,
    search_submodels,
)
from tests.baseline_study import STUDY, cohort_of, patients
from tests.references import reference_cohort, reference_section

FEW = SelectionSettings(folds=3, repeats=1, subsamples=4, splits=2, seeds=1, dealings=4, draws=100)
ONCE = dataclasses.replace(FEW, subsamples=0, splits=0, seeds=0, dealings=0)
SE = 4  # Monte Carlo standard errors by which two computations of one number may differ


@cache
def small_cohort() -> Cohort:
    return cohort_of(patients(160))


@cache
def small_fit() -> xr.DataTree:
    return bc.sample(small_cohort(), seed=3, chains=2, warmup=300, draws=600)


@cache
def small_selection() -> xr.DataTree:
    return select(small_fit(), small_cohort(), size=3, settings=FEW)


def draws_and_matrix(fit: xr.DataTree, cohort: Cohort) -> tuple[ReferenceDraws, np.ndarray]:
    return reference_draws(draws_of(fit)), development_rows(fit, cohort).matrix


# --- Against projpred ----------------------------------------------------------------------------


@cache
def reference_fit(name: str) -> tuple[xr.DataTree, Cohort]:
    cohort = reference_cohort(name)
    return bc.sample(cohort, seed=3), cohort


def of_all_draws(fit: xr.DataTree, cohort: Cohort, terms: list[str]) -> tuple[np.ndarray, ...]:
    """Projected coefficients, shape (chain, draw, 1 + term), and divergences, (chain, draw)."""
    drawn = draws_of(fit)
    shape = drawn.intercept.shape
    draws = ReferenceDraws(drawn.intercept.ravel(), drawn.beta.reshape(-1, drawn.beta.shape[-1]))
    names = list(design_of(fit).terms)
    columns = np.array([names.index(term) for term in terms])
    found, divergence = project_draws(draws, development_rows(fit, cohort).matrix, columns)
    both = np.column_stack([found.intercept, found.beta[:, columns]])
    return both.reshape(*shape, -1), divergence.reshape(shape)


def listed(terms: str | list[str]) -> list[str]:
    return [terms] if isinstance(terms, str) else terms


@pytest.mark.reference
@pytest.mark.parametrize("name", ["birthwt", "synth26"])
def test_projected_coefficients_have_the_means_of_projpred(name: str) -> None:
    fit, cohort = reference_fit(name)
    theirs = reference_section(name, "projpred")
    for projected in (theirs["projection"], *theirs["projection_by_size"]):
        ours, _ = of_all_draws(fit, cohort, listed(projected["terms"]))
        error = monte_carlo_error(ours)["mcse_mean"]
        # R drew 4,000 at the chosen size, and 1,000 for each smaller one
        drawn = np.array(projected["sd"]) / np.sqrt(projected.get("n_draws", 1000))
        z = (ours.mean(axis=(0, 1)) - projected["mean"]) / np.hypot(error, drawn)
        assert np.abs(z).max() < SE, projected["terms"]


@pytest.mark.reference
def test_the_path_of_birthwt_is_that_of_projpred() -> None:
    fit, cohort = reference_fit("birthwt")
    draws, matrix = draws_and_matrix(fit, cohort)
    plan = search_plan(design_of(fit), None, (), SelectionSettings())
    order = search_submodels(draws, matrix, plan, np.random.SeedSequence(1)).order
    theirs = reference_section("birthwt", "projpred")
    names = design_of(fit).terms
    assert [names[one] for one in order] == theirs["cv_varsel"]["solution"]


@pytest.mark.reference
def test_the_path_of_synth26_begins_as_projpred_s_and_then_the_alternatives_tie() -> None:
    fit, cohort = reference_fit("synth26")
    draws, matrix = draws_and_matrix(fit, cohort)
    plan = search_plan(design_of(fit), None, (), SelectionSettings(max_size=6))
    order = search_submodels(draws, matrix, plan, np.random.SeedSequence(1)).order
    ours = [design_of(fit).terms[one] for one in order]
    theirs = reference_section("synth26", "projpred")["cv_varsel"]["solution"]
    assert ours[:4] == theirs[:4]
    assert set(ours[:6]) == set(theirs[:6])
    # x18 and x24 change places: their divergences differ by no more than Monte Carlo error
    pair = [of_all_draws(fit, cohort, [*ours[:4], one])[1] for one in ours[4:]]
    difference = (pair[1] - pair[0])[..., np.newaxis]
    error = monte_carlo_error(difference)["mcse_mean"][0]
    assert abs(difference.mean()) < SE * error


# --- What it is by definition --------------------------------------------------------------------


def test_the_largest_submodel_is_the_reference() -> None:
    table = selection_table(small_selection())
    assert table["size"].tolist() == list(range(7))
    last = table.iloc[-1]
    assert abs(last["elpd_diff"]) < 1e-6
    assert abs(last["auc_diff"]) < 1e-6
    # a mean of several draws' risks is not quite logistic
    assert 0 <= last["divergence"] < 0.01 * table["divergence"][0]
    everything = select(small_fit(), small_cohort(), size=6, settings=ONCE)
    risks = [bc.predict(one, small_cohort()) for one in (small_fit(), everything)]
    for column in ("risk", "lower", "upper"):
        np.testing.assert_allclose(risks[0][column], risks[1][column], atol=1e-8)


def test_no_predictor_is_the_event_share_by_the_reference() -> None:
    nothing = select(small_fit(), small_cohort(), size=0, settings=ONCE)
    risk = bc.predict(nothing, small_cohort())["risk"]
    assert np.ptp(risk) == 0
    draws, matrix = draws_and_matrix(small_fit(), small_cohort())
    assert risk[0] == pytest.approx(draws.risks(matrix).mean(), abs=1e-9)


def test_the_elpd_is_the_sum_of_log_scores_of_left_out_patients() -> None:
    selection, outcome = small_selection(), small_cohort().outcome[small_cohort().development]
    judged = judged_sizes(selection)
    by_hand = np.zeros((len(outcome), 2))
    for patient, event in enumerate(outcome):
        for place, risk in enumerate((judged.risk[0, 2, patient], judged.reference[0, patient])):
            by_hand[patient, place] = np.log(risk if event else 1 - risk)
    row = selection_table(selection).iloc[2]
    assert row["elpd"] == pytest.approx(by_hand[:, 0].sum())
    difference = by_hand[:, 0] - by_hand[:, 1]
    assert row["elpd_diff"] == pytest.approx(difference.sum())
    assert row["elpd_diff_se"] == pytest.approx(difference.std(ddof=1) * np.sqrt(len(outcome)))


def test_auc_and_net_benefit_are_of_left_out_patients() -> None:
    selection, outcome = small_selection(), small_cohort().outcome[small_cohort().development]
    judged, row = judged_sizes(selection), selection_table(selection).iloc[4]
    won = compared = 0.0
    for fold in np.unique(judged.fold):
        held = judged.fold[0] == fold
        events, others = (judged.risk[0, 4, held & (outcome == one)] for one in (1, 0))
        gap = np.subtract.outer(events, others)
        won, compared = won + (gap > 0).sum() + (gap == 0).sum() / 2, compared + gap.size
    assert row["auc"] == pytest.approx(won / compared)
    assert row["threshold"] == 0.3  # declared by the study
    benefit = bc.metrics.net_benefit(outcome, judged.risk[0, 4], 0.3)
    assert row["net_benefit"] == pytest.approx(float(benefit))


def test_the_projected_draws_fit_the_risks_of_the_reference() -> None:
    fit, selection = small_fit(), small_selection()
    matrix = development_rows(fit, small_cohort()).matrix
    target = draws_and_matrix(fit, small_cohort())[0].risks(matrix)
    own = selection["posterior"]
    beta = own["beta"].to_numpy().reshape(len(target), -1)
    log_odds = own["intercept"].to_numpy().ravel()[:, np.newaxis] + beta @ matrix.T
    kept = np.any(beta != 0, axis=0)
    terms = selected_terms(selection)
    assert [t for t, k in zip(design_of(fit).terms, kept, strict=True) if k] == terms
    residual = target - expit(log_odds)
    np.testing.assert_allclose(residual @ matrix[:, kept], 0, atol=1e-7)
    np.testing.assert_allclose(residual.sum(axis=1), 0, atol=1e-7)


def test_columns_of_a_category_enter_together() -> None:
    selection = select(small_fit(), small_cohort(), size=1, force=["site"], settings=ONCE)
    assert selected_terms(selection) == ["site[east]", "site[south]"]
    table = selection_table(selection)
    assert table["term"][1] == "site"
    assert selection_coefficients(selection)["term"].tolist() == [
        "(Intercept)",
        "site[east]",
        "site[south]",
    ]


def test_forced_predictors_are_in_every_submodel_and_in_every_fold() -> None:
    selection = select(small_fit(), small_cohort(), force=["noise", "grade"], settings=FEW)
    # and in the one that is suggested, however little they bring
    assert {"noise", "grade"} <= set(selected_terms(selection))
    assert set(selection_table(selection)["term"][1:3]) == {"noise", "grade"}
    shares = selection_stability(selection).set_index(["term", "size"])["share_of_folds"]
    assert shares["noise", 2] == shares["grade", 2] == 1
    assert settings_of(selection)["forced"] == ["grade", "noise"]


def test_a_predictor_that_is_not_shrunk_is_kept_in() -> None:
    text = STUDY.replace('name = "noise"', 'name = "noise"\nshrink = false')
    cohort = load_cohort(parse_study(text), patients(160))
    fit = bc.sample(cohort, seed=3, chains=2, warmup=200, draws=300)
    selection = select(fit, cohort, settings=FEW)
    assert selection_table(selection)["term"][1] == "noise"
    assert "noise" in selected_terms(selection)
    kept = selection_frequencies(selection).query("procedure == 'projection' and term == 'noise'")
    assert (kept["frequency"] == 1).all()
    assert np.isnan(horseshoe_rules(fit).set_index("term")["kappa"]["noise"])
    assert not selected_columns(selection)["kappa"][-1]


def test_a_predictor_may_be_too_dear() -> None:
    names = [one.name for one in small_cohort().study.predictors]
    first = selection_table(small_selection())["term"][1]
    text = STUDY.replace(f'name = "{first}"', f'name = "{first}"\ncost = 1000.0')
    cohort = load_cohort(parse_study(text), patients(160))
    fit = bc.sample(cohort, seed=3, chains=2, warmup=200, draws=300)
    by_cost = dataclasses.replace(ONCE, by_cost=True)
    table = selection_table(select(fit, cohort, settings=by_cost))
    assert table["term"].iloc[-1] == first
    assert table["cost"].tolist() == [0, *range(1, len(names)), 1000 + len(names) - 1]


def test_l1_search_orders_all_predictors() -> None:
    settings = dataclasses.replace(ONCE, search="l1")
    table = selection_table(select(small_fit(), small_cohort(), size=2, settings=settings))
    assert sorted(table["term"][1:]) == sorted(one.name for one in small_cohort().study.predictors)
    assert (np.diff(table["divergence"]) < 1e-12).all()


# --- Patients left out ---------------------------------------------------------------------------


def test_weights_leave_patients_out_as_psis_does() -> None:
    settings = dataclasses.replace(ONCE, validation="loo", search_inside=False)
    fit, cohort = small_fit(), small_cohort()
    selection = select(fit, cohort, size=2, settings=settings)
    judged = judged_sizes(selection)
    outcome = cohort.outcome[cohort.development]
    _, reference = judged.log_densities(outcome)
    theirs = leave_one_out(fit)
    # the same draws thinned from 1,200 to 1,000
    np.testing.assert_allclose(reference.sum(), theirs.elpd, atol=0.3)
    assert selection_table(selection)[["auc", "net_benefit"]].isna().all(axis=None)
    inside = dataclasses.replace(settings, search_inside=True, max_size=2)
    again = select(fit, cohort, size=2, settings=inside)
    assert judged_sizes(again).order.shape == (len(outcome), 2)
    # who is searched without pays for it: the log score cannot gain by much
    flattered, honest = (selection_table(one)["elpd"][2] for one in (selection, again))
    assert honest <= flattered + 0.5


def test_the_search_once_is_the_same_in_every_fold() -> None:
    settings = dataclasses.replace(ONCE, search_inside=False)
    selection = select(small_fit(), small_cohort(), size=2, settings=settings)
    assert set(selection_stability(selection)["share_of_folds"]) == {0.0, 1.0}


def test_evaluate_repeats_sampling_search_and_projection() -> None:
    selection, cohort = small_selection(), small_cohort()
    outcome = cohort.outcome[cohort.development]
    _, partitions = fold_partitions(outcome, folds=3, repeats=1, seed=FEW.seed)
    known = known_refits(selection)([one for _, one in partitions])
    again = projection_refitter(selection, cohort)([one for _, one in partitions])
    for ours, theirs in zip(known, again, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
    settings = bc.EvaluationSettings(folds=3, repeats=1, splits=0, replicates=100)
    found = bc.evaluate({"projection": selection}, cohort, settings=settings).tables["performance"]
    row = found.query("metric == 'auc' and method == 'kfold'").iloc[0]
    table = selection_table(selection)
    assert row["estimate"] == pytest.approx(table["auc"][3], abs=1e-9)


# --- What must not matter ------------------------------------------------------------------------


def test_the_result_does_not_depend_on_the_cores() -> None:
    settings = dataclasses.replace(FEW, subsamples=3, splits=1)
    one, two = (
        select(small_fit(), small_cohort(), size=2, settings=settings, cores=cores)
        for cores in (1, 2)
    )
    for group in one.children:
        xr.testing.assert_identical(one[group].to_dataset(), two[group].to_dataset())


def test_order_of_patients_and_units_do_not_change_the_path() -> None:
    fit, cohort = small_fit(), small_cohort()
    draws, matrix = draws_and_matrix(fit, cohort)
    plan = search_plan(design_of(fit), None, (), SelectionSettings())
    members = cluster_members(draws, matrix, 20, np.random.SeedSequence(1))
    path = search_submodels(draws, matrix, plan, np.random.SeedSequence(1))
    shuffled = np.random.default_rng(4).permutation(len(matrix))
    again = cluster_targets(members, draws.risks(matrix[shuffled]))
    other = search_clusters(again, matrix[shuffled], plan)
    assert other.order.tolist() == path.order.tolist()
    np.testing.assert_allclose(other.divergence, path.divergence, atol=1e-12)
    units = matrix * np.array([12.0, 0.01, 1, 1, 1, 1, 1000.0]) + 5
    other = search_clusters(cluster_targets(members, draws.risks(matrix)), units, plan)
    assert other.order.tolist() == path.order.tolist()
    np.testing.assert_allclose(other.divergence, path.divergence, atol=1e-12)


def test_clusters_are_a_partition_that_keeps_the_mean_risk() -> None:
    draws, matrix = draws_and_matrix(small_fit(), small_cohort())
    members = cluster_members(draws, matrix, 20, np.random.SeedSequence(1))
    risks = draws.risks(matrix)
    clusters = cluster_targets(members, risks)
    assert len(clusters.shares) == 20
    np.testing.assert_allclose(clusters.shares @ clusters.targets, risks.mean(axis=0), atol=1e-12)
    # nearest mean: the clusters vary less than draws dealt at random
    within = sum(((risks[members == one] - clusters.targets[one]) ** 2).sum() for one in range(20))
    assert within < 0.8 * ((risks - risks.mean(axis=0)) ** 2).sum()
    same = ReferenceDraws(np.zeros(50), np.zeros((50, matrix.shape[1])))
    assert set(cluster_members(same, matrix, 20, np.random.SeedSequence(1))) == {0}


def test_a_fold_has_no_say_in_the_size_by_which_it_is_judged() -> None:
    selection = select(small_fit(), small_cohort(), settings=FEW)
    outcome = small_cohort().outcome[small_cohort().development]
    judged = judged_sizes(selection)
    inside = selection["cross_validation"]["size_inside"].to_numpy()
    of_size, of_reference = judged.log_densities(outcome)
    for fold in np.unique(judged.fold):
        others = (of_size - of_reference)[:, judged.fold[0] != fold]
        se = np.sqrt(others.shape[1]) * others.std(axis=1, ddof=1)
        assert set(inside[0, judged.fold[0] == fold]) == {suggest_size(others.sum(axis=1), se)}
    by_hand = of_size[inside[0], np.arange(len(outcome))] - of_reference
    found = honest_difference(selection)
    assert found == pytest.approx((by_hand.sum(), by_hand.std(ddof=1) * np.sqrt(len(outcome))))
    assert honest_difference(small_selection()) is None  # the size was asked for
    held = np.flatnonzero(judged.fold[0] == 0)
    asked = Partition(held[:0], held, np.random.SeedSequence(0))
    risk = known_refits(selection)([asked])[0]
    np.testing.assert_array_equal(risk, judged.risk[0, inside[0, held[0]], held])


# --- Sizes, stability, alternatives --------------------------------------------------------------


@pytest.mark.parametrize(
    ("difference", "se", "size"),
    [
        ([-20, -9, -3.9, 0], [1, 1, 1, 1], 2),  # less than 4 counts as none
        ([-20, -9, -4, 0], [1, 1, 1, 1], 3),
        ([-20, -9, -5, 0], [1, 9, 1, 1], 1),  # within one standard error
        ([2, 1, 1, 0], [1, 1, 1, 1], 0),  # better than the reference
        ([-20, -9, -8, -7], [1, 1, 1, 1], 3),  # none: the largest
    ],
)
def test_suggested_size(difference: list[float], se: list[float], size: int) -> None:
    assert suggest_size(np.array(difference, float), np.array(se, float)) == size
    assert suggest_size(np.array(difference, float), np.array(se, float), 3) == 3


def test_stability_is_one_for_one_set_and_none_for_sets_drawn_at_random() -> None:
    one = np.tile([True, False, True, False], (7, 1))
    assert stability(one) == 1
    drawn = np.random.default_rng(3).random((4000, 12)) < 0.3
    # the mean share of 48,000 flips has an SE of .002; of the ratio it is of that order
    assert abs(stability(drawn)) < 0.01
    # two sets of two in four with one in common: 1 - mean(0, 0, 1/2, 1/2) / (1/4)
    assert stability(np.array([[1, 1, 0, 0], [1, 0, 1, 0]], bool)) == pytest.approx(0.0)
    assert np.isnan(stability(np.zeros((5, 3), bool)))


def test_frequencies_and_recurrence_count_the_sets() -> None:
    selection = small_selection()
    frequencies = selection_frequencies(selection)
    recurrence = selection_recurrence(selection).set_index(["procedure", "source"])
    own = selected_sets(selection, "everybody")
    for (procedure, source), part in frequencies.groupby(["procedure", "source"], sort=False):
        sets = selected_sets(selection, str(source))[str(procedure)]
        np.testing.assert_allclose(part["frequency"], sets.mean(axis=0))
        row = recurrence.loc[(procedure, source)]
        assert row["replicates"] == len(sets)
        assert row["same_set"] == np.mean([(one == own[procedure][0]).all() for one in sets])
        assert row["distinct_sets"] == len(np.unique(sets, axis=0))
    # three predictors whatever the patients; the LASSO knows no seed of the sampler
    assert (
        frequencies.query("procedure == 'projection'").groupby("source")["frequency"].sum() == 3
    ).all()
    assert ("lasso", "seed") not in recurrence.index
    assert ("projection", "folds") not in recurrence.index  # the size was asked for


def test_subsamples_are_those_of_the_baseline() -> None:
    baseline = bc.fit_baseline(small_cohort(), resamples=1, subsamples=4, seed=FEW.seed)
    groups = np.array([0, 1, 2, 3, 3, 4, 5])
    for step, procedure in (("selected_lasso", "lasso"), ("selected_final", "lasso_final")):
        theirs = baseline["subsample"][step].to_numpy()[0]
        of_predictors = np.stack([theirs[:, groups == one].any(axis=1) for one in range(6)], axis=1)
        ours = selected_sets(small_selection(), "subsample")[procedure]
        np.testing.assert_array_equal(ours, of_predictors)


def test_the_same_information_twice_is_named_and_counted() -> None:
    frame = patients(160)
    rng = np.random.default_rng(8)
    frame["noise"] = frame["age"] + rng.normal(0, 1.0, len(frame)).round(2)
    frame["y"] = (rng.random(len(frame)) < expit(0.12 * (frame["age"] - 60))).astype(int)
    cohort = load_cohort(parse_study(STUDY), frame)
    fit = bc.sample(cohort, seed=3, chains=2, warmup=300, draws=500)
    selection = select(fit, cohort, size=1, settings=ONCE)
    found = selection_alternatives(selection)
    row = found[found["size"] == 1].iloc[0]
    assert {row["term"], row["other_term"]} == {"age", "noise"}
    assert row["would_take"] > 0.9
    assert row["left_over"] < 0.3
    assert row["share_either"] == 1
    assert row["share_both"] == 0
    assert row["share_of_folds"] + row["other_share_of_folds"] == 1
    forced = select(fit, cohort, force=["age"], size=1, settings=ONCE)
    assert not len(selection_alternatives(forced))
    by_l1 = dataclasses.replace(ONCE, search="l1")
    assert len(selection_alternatives(select(fit, cohort, size=1, settings=by_l1)))


# --- Rules on single coefficients ----------------------------------------------------------------


def test_rules_decide_as_they_are_stated() -> None:
    beta = np.array([[0.3, 0.3, -0.01, 0.0], [0.4, -0.1, 0.01, 0.2], [0.5, 0.3, 0.0, -0.2]])
    contrast = np.array([1.0, 1.0, 1.0, 0.1])
    practice = Practice(1.1, contrast, before=np.array([0.6, 1.0, 0.6, 0.6]))
    kept = kept_by_rules(beta, np.array([0.2, 0.5, np.nan, 0.49]), practice, 0.9)
    assert kept["kappa"].tolist() == [True, False, False, True]
    # the second is as likely to be of practical size as before the data
    assert kept["rope"].tolist() == [True, False, False, False]
    assert kept["interval"].tolist() == [True, False, False, False]
    assert "kappa" not in kept_by_rules(beta, None, practice, 0.9)


def test_rules_of_a_fit_are_on_the_clinical_contrast() -> None:
    fit = small_fit()
    rules = horseshoe_rules(fit, rope=1.2)
    beta = fit["posterior"]["beta"].to_numpy().reshape(-1, 7)
    contrast = fit["constant_data"]["contrast"].to_numpy()
    for j in range(7):
        odds_ratio = np.exp(beta[:, j] / design_of(fit).sd[j] * contrast[j])
        outside = np.mean((odds_ratio > 1.2) | (odds_ratio < 1 / 1.2))
        assert rules["prob_beyond_rope"][j] == pytest.approx(outside)
        positive = np.mean(beta[:, j] > 0)
        assert rules["prob_wrong_sign"][j] == pytest.approx(min(positive, 1 - positive))
    assert contrast[0] == 10  # `per` of age
    kept = {"all": np.ones(7, bool), "none": np.zeros(7, bool)}
    errors = expected_errors(rules, kept).set_index("procedure")
    assert errors.loc["all", "expected_wrong_sign"] == pytest.approx(rules["prob_wrong_sign"].sum())
    assert errors.loc["none", "expected_in_rope"] == 0


def test_without_a_horseshoe_there_is_no_rule_on_shrinkage() -> None:
    cohort = load_cohort(parse_study(STUDY + '[prior]\nfamily = "normal"\n'), patients(160))
    fit = bc.sample(cohort, seed=3, chains=2, warmup=200, draws=300)
    assert horseshoe_rules(fit)["kappa"].isna().all()
    assert "kappa" not in selected_columns(select(fit, cohort, size=1, settings=ONCE))


# --- What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"size": 7}, "size: found 7; allowed: 0 to 6, the number of candidate predictors"),
        ({"size": -1}, "size: found -1; allowed: 0 to 6"),
        ({"size": 1, "force": ["age", "sex"]}, "forced in are age, sex; allowed: 2 to 6"),
        ({"force": ["agee"]}, 'found "agee"; the study has no such predictor.*age'),
        ({"force": ["site[east]"]}, 'is a column of site; .* name "site"'),
        ({"size": 2.5}, "size: found 2.5; allowed: a whole number from 0 to 6"),
        (
            {"size": 3, "settings": dataclasses.replace(FEW, max_size=2)},
            "search ends at max_size 2",
        ),
        ({"force": "agee"}, 'found "agee"'),
        ({"settings": dataclasses.replace(FEW, rope="1.1")}, "rope: found '1.1'; allowed"),
        ({"settings": dataclasses.replace(FEW, rope=1.0)}, "rope: found 1.0; allowed: an odds"),
        ({"settings": dataclasses.replace(FEW, search="lars")}, 'search: found "lars"; allowed'),
        ({"settings": dataclasses.replace(FEW, draws=3)}, "draws: found 3; allowed: a whole"),
        (
            {"settings": dataclasses.replace(FEW, search="l1", by_cost=True)},
            "the L1 search knows no costs",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(asked: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        select(small_fit(), small_cohort(), **asked)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(OptionError, match=r"(?s)bmi.*grad.*size: found 9"):
        select(small_fit(), small_cohort(), size=9, force=["bmi", "grad"])


def test_a_baseline_and_other_patients_are_refused() -> None:
    with pytest.raises(OptionError, match="no posterior draws"):
        select(bc.fit_baseline(small_cohort(), resamples=0), small_cohort())
    with pytest.raises(OptionError, match="did not learn from"):
        select(small_fit(), cohort_of(patients(150)))
    with pytest.raises(OptionError, match="this fit is no selection"):
        selection_table(small_fit())
    with pytest.raises(OptionError, match="this fit is no selection"):
        selection_table("run")
    with pytest.raises(OptionError, match="found str; expected a DataTree"):
        select("run", small_cohort())
    with pytest.raises(OptionError, match="found DataFrame; expected a Cohort"):
        select(small_fit(), patients(160))
    with pytest.raises(OptionError, match="this fit is a selection itself"):
        select(small_selection(), small_cohort())


def test_every_column_of_every_table_is_in_the_glossary() -> None:
    tables: list[pd.DataFrame] = [
        selection_table(small_selection()),
        selection_stability(small_selection()),
        selection_frequencies(small_selection()),
        selection_recurrence(small_selection()),
        selection_alternatives(small_selection()),
        selection_coefficients(small_selection()),
        horseshoe_rules(small_fit()),
        expected_errors(horseshoe_rules(small_fit()), selected_columns(small_selection())),
    ]
    for table in tables:
        assert set(table) <= set(COLUMNS)


def test_a_refit_of_the_reference_is_that_of_validate() -> None:
    """The K-fold risks of the reference are those of `evaluate`, up to the thinning of draws."""
    selection, cohort = small_selection(), small_cohort()
    settings = bc.EvaluationSettings(folds=3, repeats=1, splits=0, replicates=100)
    found = bc.evaluate({"horseshoe": small_fit()}, cohort, settings=settings)
    theirs = found.judged[0].folds
    assert theirs is not None
    ours = judged_sizes(selection)
    np.testing.assert_array_equal(ours.fold, theirs.risks.fold)
    # 100 of 2,000 draws: a posterior SD of .08 leaves an SE of .008
    assert np.abs(ours.reference - theirs.risks.risk).max() < 0.05
    assert np.abs(ours.reference - theirs.risks.risk).mean() < 0.01
    assert RefitLength() == RefitLength(chains=2, warmup=300, draws=1000)


def test_risks_of_left_out_patients_come_from_their_own_fold() -> None:
    """By hand: sample without a fold, search, project, predict."""
    fit, cohort = small_fit(), small_cohort()
    rows = development_rows(fit, cohort)
    plan = search_plan(design_of(fit), 3, (), FEW)
    reference = Reference(fit, cohort, rows, plan, FEW)
    _, partitions = fold_partitions(rows.outcome, folds=3, repeats=1, seed=FEW.seed)
    fold = partitions[1][1]
    refit = rows.refit(fold.learnt, fold.asked, fold.seed)
    draws = reference_draws(refit_draws(refit, RefitLength(), Event()))
    matrix = design_matrix(design_of(fit), cohort.predictors[cohort.development])
    stream = search_stream(fold.seed, RefitLength())
    order = search_submodels(draws.thinned(SEARCH_DRAWS), matrix[fold.learnt], plan, stream).order
    judged = judged_sizes(small_selection())
    assert judged.order[1].tolist() == order.tolist()
    columns = reference.plan.columns(order[:2].tolist())
    projected, _ = project_draws(draws.thinned(FEW.draws), matrix[fold.learnt], columns)
    risk = projected.risks(matrix[fold.asked]).mean(axis=0)
    np.testing.assert_allclose(judged.risk[0, 2, fold.asked], risk, atol=1e-6)


def test_subsamples_of_one_outcome_are_counted_not_dropped_in_silence() -> None:
    frame = patients(60)
    frame["y"] = 0
    frame.loc[[5, 17, 33], "y"] = 1
    frame = frame.drop(columns="set")
    cohort = load_cohort(parse_study(STUDY.replace(STUDY[STUDY.index("[split]") :], "")), frame)
    fit = bc.sample(cohort, seed=3, chains=2, warmup=200, draws=300)
    many = dataclasses.replace(ONCE, folds=2, subsamples=60)
    found = selection_recurrence(select(fit, cohort, size=1, settings=many))
    replicates = found.query("source == 'subsample'").set_index("procedure")["replicates"]
    # no event among 0.632 of 60: (22 * 21 * 20) / (60 * 59 * 58) = .045 of the subsamples
    assert 50 <= replicates["projection"] < 60
    # the LASSO needs two events besides
    assert replicates["lasso"] <= replicates["projection"]


def test_a_submodel_asks_for_its_own_predictors_alone() -> None:
    selection, cohort = small_selection(), small_cohort()
    needed = settings_of(selection)["predictors"]
    assert len(needed) == 3
    new = patients(30, seed=11)
    whole = bc.predict(selection, new)
    few = new[needed]
    pd.testing.assert_frame_equal(bc.predict(selection, few), whole)
    gaps = new.astype({name: object for name in new if name not in needed})
    for name in new:
        if name not in needed:
            gaps.loc[0, name] = None
    pd.testing.assert_frame_equal(bc.predict(selection, gaps), whole)
    with pytest.raises(DataError, match=needed[0]):
        bc.predict(selection, new.drop(columns=needed[0]))
    nothing = select(small_fit(), cohort, size=0, settings=ONCE)
    assert len(bc.predict(nothing, new[["noise"]])) == 30


def test_a_sound_selection_passes_the_gate() -> None:
    fit = bc.sample(small_cohort(), seed=3)
    assert bc.verdict(fit).trusted
    found = bc.verdict(select(fit, small_cohort(), size=2, settings=ONCE))
    assert found.trusted, found.problems
