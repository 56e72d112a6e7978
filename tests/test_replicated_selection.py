"""Selection from fresh samples, against truths that are certain or can be counted by hand."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

import bayes_cmvt as bc
from bayes_cmvt.cohort import load_cohort
from bayes_cmvt.design import clinical_contrast, encode, learn_design
from bayes_cmvt.errors import OptionError
from bayes_cmvt.refits import RefitLength
from bayes_cmvt.selection_rules import horseshoe_rules
from bayes_cmvt.simulation.populations import Population, scenario_population
from bayes_cmvt.simulation.replicated_selection import (
    OUTCOMES,
    ReplicationSettings,
    check_replication,
    population_contrast,
    replicated_selection,
    same_set_again,
    selection_block,
    selection_plan,
    selection_tables,
)
from bayes_cmvt.workers import Workers
from tests.builders import predictor, study

SHORT = RefitLength(chains=2, warmup=100, draws=250)
FAST = ReplicationSettings(
    folds=2, clusters=3, draws=25, length=SHORT, fold_length=RefitLength(1, 100, 150)
)
NORMAL = np.random.default_rng(1).normal(size=(5000, 30))
RULES = ["lasso", "p_rule", "kappa", "rope", "interval", "projection"]


def population(beta, intercept=0.0, rest="", columns=None, **keys):
    """Independent normal columns x0, x1, … with effects per SD."""
    columns = NORMAL[:, : len(beta)] if columns is None else columns
    names = [f"x{j}" for j in range(len(beta))]
    declared = "".join(predictor(name, **keys.get(name, {})) for name in names)
    coefficients = np.array([[intercept, *beta]], dtype=float)
    return Population("study", study(declared, rest), columns, coefficients)


def tables_of(kept, beta, *, outcome=None, columns=None):
    """Tables of sets that are written down, (data set, column) by rule; the rest like LASSO."""
    lasso = np.array(next(iter(kept.values())), dtype=bool)
    truth = population(beta, columns=columns)
    plan = selection_plan(truth, 50, 1, FAST)
    every = [np.array(kept.get(rule, lasso), dtype=bool) for rule in plan.rules]
    codes = [list(OUTCOMES).index(one) for one in outcome or ["complete"] * len(lasso)]
    found = {
        "kept": np.stack(every, axis=1),
        "outcome": np.array(codes, dtype=np.int8),
        "beta": np.tile(np.asarray(beta, dtype=float), (len(lasso), 1)),
        "acting": np.tile(np.asarray(beta, dtype=float) != 0, (len(lasso), 1)),
    }
    return selection_tables(plan, found)


# --- what can be counted by hand -----------------------------------------------------------------

SETS = [[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]  # of the columns x0, x1 are true


def test_rules_are_counted_as_by_hand():
    row = tables_of({"lasso": SETS}, [1, -2, 0, 0]).selection_rules.set_index("rule").loc["lasso"]
    assert row["sensitivity"] == pytest.approx((1 + 1 + 0.5 + 0) / 4)
    assert row["false_discoveries"] == pytest.approx((0 + 1 / 3 + 0 + 0) / 4)
    assert row[["kept", "zeros_kept"]].tolist() == [6 / 4, 1 / 4]
    assert row[["all_true_kept", "exact_set"]].tolist() == [2 / 4, 1 / 4]
    assert row[["distinct_sets", "same_set_again", "data_sets"]].tolist() == [4, 0, 4]
    assert row["sensitivity_mcse"] == pytest.approx(np.std([1, 1, 0.5, 0], ddof=1) / 2)
    assert row["exact_set_mcse"] == pytest.approx(np.sqrt(0.25 * 0.75 / 3))


def test_survival_is_the_share_of_samples_per_sd_of_the_population():
    found = tables_of({"lasso": SETS}, [1, -2, 0, 0])
    table = found.selection_survival.query("rule == 'lasso'")
    assert table["survival"].tolist() == [0.75, 0.5, 0.25, 0]
    assert table["term"].tolist() == ["x0", "x1", "x2", "x3"]
    np.testing.assert_allclose(table["std_truth"], [1, -2, 0, 0], atol=0.05)
    assert table["survival_mcse"].tolist()[1] == pytest.approx(np.sqrt(0.25 / 3))


def test_where_no_effect_is_zero_nothing_is_false_and_where_all_are_nothing_is_found():
    dense = tables_of({"lasso": SETS}, [1, 1, 1, 1]).selection_rules
    assert dense[["false_discoveries", "zeros_kept"]].isna().all(axis=None)
    assert dense["sensitivity"].tolist() == [6 / 16] * 6
    null = tables_of({"lasso": SETS}, [0, 0, 0, 0]).selection_rules
    assert null[["sensitivity", "all_true_kept"]].isna().all(axis=None)
    assert null["false_discoveries"].tolist() == [3 / 4] * 6
    assert null["exact_set"].tolist() == [1 / 4] * 6


def test_replacements_stand_where_the_p_rule_lost_a_column():
    """x0 is lost in the last two of four samples; LASSO had its copy x1 in both."""
    rng = np.random.default_rng(3)
    first, other = rng.normal(size=(2, 4000))
    columns = np.column_stack([first, first + 0.3 * rng.normal(size=4000), other])
    lasso = [[1, 0, 0], [1, 0, 1], [1, 1, 0], [0, 1, 0]]
    p_rule = [[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]]
    found = tables_of({"lasso": lasso, "p_rule": p_rule}, [1, 0, 0], columns=columns)
    table = found.selection_replacements.query("lost == 'x0'").set_index(["rule", "replacement"])
    assert table["data_sets_lost"].tolist() == [2] * 6
    shares = ["share_when_lost", "share_when_kept"]
    for rule, name, expected in (
        ("lasso", "x1", [1, 0]),
        ("lasso", "x2", [0, 0.5]),
        ("lasso", "(copies)", [1, 0]),
        ("p_rule", "x1", [0.5, 0]),
    ):
        assert table.loc[(rule, name), shares].tolist() == expected
    assert table.loc[("lasso", "x1"), "correlation"] == pytest.approx(1 / np.sqrt(1.09), abs=0.01)
    assert table.loc[("lasso", "x2"), "mcse"] == pytest.approx(0.5)
    assert table.loc["lasso"].index.tolist()[-1] == "x2"  # what came instead stands first
    assert set(found.selection_replacements["lost"]) == {"x0"}


def test_a_column_that_is_never_lost_has_no_share_when_lost():
    found = tables_of({"lasso": [[1, 0]] * 3}, [1, 0]).selection_replacements
    assert found["share_when_lost"].isna().all()
    assert found["data_sets_lost"].tolist() == [0, 0]
    assert "(copies)" not in set(found["replacement"])


def test_without_zeros_every_column_is_asked_for():
    found = tables_of({"lasso": SETS}, [1, 1, 1, 1]).selection_replacements
    assert list(dict.fromkeys(found["lost"])) == ["x0", "x1", "x2", "x3"]


def test_failed_workflows_are_left_out_of_their_rules_alone_and_one_class_of_all():
    outcome = ["complete", "failed", "one_class", "separated"]
    found = tables_of({"lasso": SETS}, [1, 1, 0, 0], outcome=outcome)
    rules = found.selection_rules.set_index("rule")
    assert rules["data_sets"].tolist() == [2, 2, 3, 3, 3, 3]
    assert rules.loc["lasso", "kept"] == 1.0  # of the first and the last
    assert rules.loc["kappa", "kept"] == pytest.approx(5 / 3)
    counted = found.selection_outcomes.set_index("outcome")["data_sets"]
    assert counted.to_dict() == dict.fromkeys(outcome, 1) | {"few_patients": 0}


@pytest.mark.parametrize("seed", range(3))
def test_same_set_again_is_the_share_of_equal_pairs_and_its_error_the_jackknife(seed):
    sets = np.random.default_rng(seed).integers(0, 4, 12)

    def share_of(some):
        pairs = list(itertools.combinations(some, 2))
        return sum(one == other for one, other in pairs) / len(pairs)

    without = np.array([share_of(np.delete(sets, k)) for k in range(12)])
    found, mcse = same_set_again(np.unique(sets, return_counts=True)[1])
    assert found == pytest.approx(share_of(sets))
    assert mcse == pytest.approx(np.sqrt(11 / 12 * np.square(without - without.mean()).sum()))


def test_same_set_again_has_no_bias():
    """Three sets with known probabilities: the sum of their squares, whatever the sample size."""
    chance = np.array([0.5, 0.3, 0.2])
    drawn = np.random.default_rng(5).multinomial(4, chance, size=20_000)
    found = np.array([same_set_again(row)[0] for row in drawn])
    error = found.std() / np.sqrt(len(found))
    assert abs(found.mean() - np.square(chance).sum()) < 4 * error
    assert np.isnan(same_set_again(np.array([1]))[0])


# --- what is certain -----------------------------------------------------------------------------


def test_what_separates_the_outcomes_is_always_kept():
    found = replicated_selection(
        population([200.0, 0, 0]), n=80, replications=2, settings=FAST, workers=Workers(cores=1)
    )
    first = found.selection_survival.query("term == 'x0'")
    assert first["rule"].tolist() == RULES
    assert first["survival"].tolist() == [1.0] * 6
    rules = found.selection_rules
    assert rules[["sensitivity", "all_true_kept"]].eq(1).all(axis=None)
    counted = found.selection_outcomes.set_index("outcome")["data_sets"]
    assert counted["separated"] == 2


def test_rules_keep_what_they_keep_in_a_run_of_the_same_patients():
    """`bc.sample` and `horseshoe_rules`, wherever they are sure of a bound."""
    keys = {f"x{j}": {"per": "3.0"} for j in range(4)}
    truth = population([3.0, 1.0, 0.4, 0], columns=5 * NORMAL[:, :4], **keys)
    truth = replace(truth, coefficients=truth.coefficients / 5)
    settings = replace(FAST, folds=0, length=RefitLength(4, 300, 1000))
    found = selection_block(selection_plan(truth, 90, 11, settings), range(1))["kept"][0]
    stream = np.random.SeedSequence(11, spawn_key=(0,)).spawn(1)[0]
    drawn = truth.sampled(90, np.random.default_rng(stream))
    frame = pd.DataFrame(drawn.columns, columns=list(truth.study.terms)).assign(y=drawn.outcome)
    fit = bc.sample(load_cohort(truth.study, frame), seed=1, warmup=300, draws=1000)
    rules = horseshoe_rules(fit)
    after, before = rules["prob_beyond_rope"], rules["prior_beyond_rope"]
    sign = 2 * (rules["prob_wrong_sign"] - 0.025)
    for place, (kept, margin) in enumerate(
        (
            (rules["kappa"] == 1, 0.5 - rules["shrinkage"]),
            (rules["rope_rule"], np.minimum(after - 0.5, after - before)),
            (rules["interval_rule"], sign),
        ),
        start=2,
    ):
        sure = margin.abs().to_numpy() > (0.02 if place == 4 else 0.1)
        np.testing.assert_array_equal(found[place, sure], kept.to_numpy(dtype=bool)[sure])
        assert sure.sum() >= 2


def test_samples_do_not_depend_on_how_numbers_are_cut_or_on_cores():
    truth = population([0.8, 0.4, 0])
    plan = selection_plan(truth, 50, 7, FAST)
    whole = selection_block(plan, range(3))
    for name, values in selection_block(plan, range(2, 3)).items():
        np.testing.assert_array_equal(values, whole[name][2:])
    some = replicated_selection(truth, n=50, replications=3, seed=7, settings=FAST)
    other = selection_tables(plan, whole)
    pd.testing.assert_frame_equal(some.selection_survival, other.selection_survival)
    assert whole["kept"].shape == (3, 6, 3)
    np.testing.assert_allclose(whole["beta"], [[0.8, 0.4, 0]] * 3)


def test_samples_with_too_few_events_are_counted_as_often_as_they_come():
    """At a risk of 0.05, 12 patients: binomial counts of 0 and 1 events."""
    truth = population([0.0], intercept=np.log(0.05 / 0.95))
    found = replicated_selection(truth, n=12, replications=60, settings=replace(FAST, folds=0))
    counted = found.selection_outcomes.set_index("outcome")["data_sets"]
    assert counted.sum() == 60
    for outcome, events in (("one_class", 0), ("few_patients", 1)):
        chance = binom.pmf(events, 12, 0.05)
        assert abs(counted[outcome] - 60 * chance) < 4 * np.sqrt(60 * chance * (1 - chance))
    left = 60 - counted["one_class"] - counted["few_patients"]
    assert found.selection_rules["data_sets"].tolist() == [left] * 5


def test_a_column_that_is_the_same_in_all_patients_is_not_kept_even_if_forced_in():
    rng = np.random.default_rng(2)
    columns = np.column_stack([rng.normal(size=3000), np.arange(3000) == 0])
    truth = population([2.0, 1.0], columns=columns, x1={"shrink": "false"})
    plan = selection_plan(truth, 60, 3, FAST)
    found = selection_block(plan, range(2))
    assert not found["kept"][..., 1].any()
    assert found["kept"][..., 0].any(axis=1).all()
    kappa = selection_tables(plan, found).selection_survival.query("rule == 'kappa'")
    assert kappa["survival"].isna().tolist() == [False, True]  # what is not shrunk has no κ


def test_more_columns_than_patients_are_no_obstacle():
    beta = np.zeros(20)
    beta[0] = 3.0
    found = selection_block(selection_plan(population(beta), 16, 4, FAST), range(1))
    assert found["kept"].shape == (1, 6, 20)
    assert OUTCOMES[list(OUTCOMES)[found["outcome"][0]]].startswith("every rule has chosen")


def test_no_shrinkage_without_a_horseshoe_and_no_projection_without_folds():
    normal = population([1.0], rest='[prior]\nfamily = "normal"\n')
    plan = selection_plan(normal, 40, 1, replace(FAST, folds=0))
    assert plan.rules == ("lasso", "p_rule", "rope", "interval")


def test_contrasts_are_those_of_a_cohort_of_the_same_patients():
    rng = np.random.default_rng(4)
    declared = study(
        predictor("a")
        + predictor("b", per="2.5")
        + predictor("c", "binary")
        + predictor("d", "ordinal", levels='["low", "mid", "high"]')
        + predictor("e", transform='"log"')
    )
    frame = pd.DataFrame({"a": rng.normal(size=80), "b": rng.normal(size=80)})
    frame = frame.assign(c=rng.integers(0, 2, 80), d=rng.choice(["low", "mid", "high"], 80))
    frame = frame.assign(e=np.exp(rng.normal(size=80)), y=np.arange(80) % 2)
    cohort = load_cohort(declared, frame)
    columns = encode(declared, cohort.predictors)
    found = population_contrast(Population("study", declared, columns, np.zeros((1, 6))))
    np.testing.assert_allclose(found, clinical_contrast(cohort, learn_design(cohort)))


def test_everything_that_cannot_be_honoured_is_named_at_once():
    truth = population([1.0])
    settings = replace(FAST, folds=1, rope=0.9, interval=1.5)
    with pytest.raises(OptionError) as caught:
        check_replication(truth, 2, 0, -1, settings)
    said = str(caught.value)
    for part in (
        "n: found 2; allowed: a whole number from 4 to 1,000,000",
        "replications: found 0; allowed: a whole number from 2",
        "seed: found -1",
        "folds: found 1; allowed: 2 to 1,000, or 0 without a projection",
        "rope: found 0.9",
        "1.5",
    ):
        assert part in said
    file = replace(truth, outcome=np.zeros(5000, dtype=np.int8))
    with pytest.raises(OptionError, match="n may be 500 at most"):
        check_replication(file, 5001, 2, 1, FAST)


def test_samples_of_one_outcome_alone_are_an_error_that_says_so():
    with pytest.raises(OptionError, match="none of 3 samples of 20 patients has two patients"):
        replicated_selection(population([0.0], intercept=-40.0), n=20, replications=3)


@pytest.mark.slow
def test_the_published_six_rarely_come_again_and_copies_stand_in_for_the_lost():
    """PROTOTYPE §E: all six in 13 % of 60 samples, and SII or SIRI wherever NLR is lost."""
    cohort = bc.load_cohort(bc.load_study("cmvt"))
    truth = scenario_population("study", cohort, seed=2025)
    settings = ReplicationSettings(folds=0)
    found = replicated_selection(truth, n=224, replications=60, settings=settings)
    rule = found.selection_rules.set_index("rule").loc["p_rule"]
    assert abs(rule["all_true_kept"] - 0.13) < 4 * np.sqrt(0.13 * 0.87 / 60)
    assert rule["same_set_again"] < 0.05
    survival = found.selection_survival.query("rule == 'p_rule'").set_index("term")["survival"]
    for term, expected in (("age", 0.56), ("ddimer_pre", 0.86), ("nlr_post", 0.58)):
        assert abs(survival[term] - expected) < 4 * np.sqrt(2 * expected * (1 - expected) / 60)
    lost = found.selection_replacements.query("lost == 'nlr_post' and rule == 'lasso'")
    copies = lost.set_index("replacement").loc["(copies)"]
    assert copies["share_when_lost"] > 0.9 > 0.5 > copies["share_when_kept"]
