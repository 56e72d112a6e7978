"""The coverage study: sums, ratios, verdicts, and the whole of it where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import bayes_cmvt as bc
from bayes_cmvt.errors import DataError, OptionError
from bayes_cmvt.refits import RefitLength
from bayes_cmvt.simulation import coverage_tables as tables
from bayes_cmvt.simulation.coverage import (
    RISK_TARGETS,
    SUMS,
    CoveragePlan,
    coverage_block,
    held_sums,
    risk_groups,
)
from bayes_cmvt.simulation.coverage_study import (
    check_coverage,
    chosen_methods,
    deciding_threshold,
    file_truth_table,
    simulate_coverage,
)
from bayes_cmvt.simulation.interval_methods import METHODS
from bayes_cmvt.simulation.populations import Population, file_population, scenario_population
from bayes_cmvt.study import load_study, parse_study
from tests.baseline_study import cohort_of, patients

SHORT = RefitLength(chains=2, warmup=50, draws=100)
QUICK = ("credible", "wald", "wald_selected", "firth", "ridge")


@pytest.fixture(scope="module")
def small() -> Population:
    return scenario_population("study", cohort_of(patients()), seed=1)


@pytest.fixture(scope="module")
def plan(small: Population) -> CoveragePlan:
    return CoveragePlan(small, 150, METHODS, 20, 0.3, fresh=60, length=SHORT, seed=4)


@pytest.fixture(scope="module")
def found(plan: CoveragePlan) -> dict[str, np.ndarray]:
    return coverage_block(plan, range(4))


def test_sums_leave_out_what_is_not_stated() -> None:
    limits = np.array([[0.0, 1.0, 2.0], [np.nan] * 3, [1.0, 1.5, 3.0], [-1.0, 0.0, 0.5]])
    sums = held_sums(limits, np.array([1.0, 1.0, 0.5, 1.0]), 0.9)
    # widths 2, 2, 1.5; the second misses by .5 below the lower limit, the third by .5 above
    expected = {
        "intervals": 3, "held": 1, "below": 1, "above": 1,
        "width": 5.5, "bias": 0 + 1.0 - 1.0, "interval_score": 5.5 + 20 * 0.5 + 20 * 0.5,
    }  # fmt: skip
    assert_allclose(sums, [expected[name] for name in SUMS])
    assert not held_sums(limits[1:2], np.array([1.0]), 0.9).any()


def test_error_of_a_ratio_is_that_of_leaving_out_data_sets() -> None:
    """The delete-one jackknife is a second way to it; they agree to some 1/sets."""
    rng = np.random.default_rng(3)
    count = rng.integers(5, 30, 200).astype(float)
    held = rng.binomial(count.astype(int), rng.beta(8, 2, 200)).astype(float)
    one = tables.ratio(held, count)
    without = (held.sum() - held) / (count.sum() - count)
    jackknife = np.sqrt(199 / 200 * ((without - without.mean()) ** 2).sum())
    assert one.value == pytest.approx(held.sum() / count.sum())
    assert one.mcse == pytest.approx(jackknife, rel=0.02)
    # taken for independent, the intervals would seem twice as sure
    assert one.mcse > 1.5 * np.sqrt(one.value * (1 - one.value) / count.sum())


def test_results_do_not_depend_on_how_numbers_are_cut(
    plan: CoveragePlan, found: dict[str, np.ndarray]
) -> None:
    again = coverage_block(plan, range(2, 3))
    assert set(again) == set(found)
    for name, values in again.items():
        np.testing.assert_array_equal(values[0], found[name][2], err_msg=name)


def test_groups_of_patients_add_up(found: dict[str, np.ndarray]) -> None:
    sums = found["risk_sums"][:, METHODS.index("credible")]
    by_name = dict(zip(RISK_TARGETS, np.moveaxis(sums, 1, 0), strict=True))
    for start in ("risk_fifth", "predicted_fifth"):
        fifths = sum(by_name[f"{start}_{k}"] for k in range(1, 6))
        assert_allclose(fifths, by_name["risk"], rtol=1e-9, atol=1e-9)
    assert (by_name["risk"][:, 0] == 60).all()
    silent = found["risk_sums"][:, METHODS.index("wald_selected")]
    assert not silent.any()


def test_tables_are_sums_over_data_sets(plan: CoveragePlan, found: dict[str, np.ndarray]) -> None:
    table = tables.coverage_table(found, plan).set_index(["target", "method"])
    sums = found["risk_sums"][:, METHODS.index("ridge"), 0]
    row = table.loc[("risk", "ridge")]
    assert row["coverage"] == pytest.approx(sums[:, 1].sum() / sums[:, 0].sum())
    assert row["width"] == pytest.approx(sums[:, 4].sum() / 240)
    assert row["coverage"] + row["below"] + row["above"] == pytest.approx(1)
    truth = found["truth"][0]
    limits = found["limits"][:, METHODS.index("firth")]
    strong = np.abs(truth) >= 0.5
    held = (limits[..., 0] <= found["truth"]) & (found["truth"] <= limits[..., 2])
    if strong.any():
        row = table.loc[("coefficient_strong", "firth")]
        assert row["coverage"] == pytest.approx(held[:, strong].mean())
    single = tables.coefficient_table(found, plan)
    rows = single[single["method"] == "firth"]
    assert_allclose(rows["coverage"], held.mean(axis=0))
    assert rows["term"].tolist() == list(plan.population.study.terms)
    own = tables.answer_table(found, plan)
    assert (own["credible_verdict"] == "cannot be told").all()  # of four data sets
    assert set(own["method"]) == set(METHODS) - {"credible", "wald_selected"}
    assert not own["target"].str.startswith("predicted").any()


def test_every_column_is_explained(plan: CoveragePlan, found: dict[str, np.ndarray]) -> None:
    for table in tables.coverage_tables({"study": found}, {"study": plan}).values():
        for column in table:
            assert len(bc.define(column)) > 10, column


def test_credible_intervals_are_judged_over_all_their_data_sets(
    plan: CoveragePlan, found: dict[str, np.ndarray]
) -> None:
    """A rival that is silent in some of them takes no part in the verdict, only in the ratio."""
    silent = {name: values.copy() for name, values in found.items()}
    silent["risk_sums"][:2, METHODS.index("bootstrap")] = 0
    coverage = tables.coverage_table(silent, plan).set_index(["target", "method"])
    answer = tables.answer_table(silent, plan).set_index(["target", "method"])
    row = answer.loc[("risk", "bootstrap")]
    assert row["credible_coverage"] == coverage.loc[("risk", "credible"), "coverage"]
    assert row["data_sets"] == 2
    assert row["coverage"] == coverage.loc[("risk", "bootstrap"), "coverage"]


def test_an_interval_score_of_zero_counts_in_the_error() -> None:
    one = tables.ratio(np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.0, 2.0]))
    rest = np.array([1.0, 2.0, 3.0]) - 2.0 * np.array([1.0, 0.0, 2.0])
    assert one.value == 2.0
    assert one.mcse == pytest.approx(np.sqrt((rest**2).sum() * 3 / 2) / 3)


def test_groups_that_ties_distort_are_left_out() -> None:
    risk = np.repeat([0.1, 0.2, 0.3], [40, 20, 40])
    sizes = [int(group.sum()) for group in risk_groups(risk)]
    assert sizes == [0, 0, 20, 0, 0, 0]
    even = [int(group.sum()) for group in risk_groups(np.linspace(0.1, 0.9, 100))]
    assert even == [20, 20, 20, 20, 20, 5]


def test_what_no_logistic_model_can_reach_needs_no_patients(plan: CoveragePlan) -> None:
    """Beyond an irreducible loss of .03 the plug-in loses 3/n, the posterior mean 2/n."""
    rules, truth = np.full((40, 3, 5), 0.5), np.full((40, 5), 0.5)
    for place, k in enumerate((2, 2, 3)):
        rules[:, place, 0] = 0.43 + k / 100
    truth[:, 0] = 0.40
    given = {"rules": rules, "truth_figures": truth, "nearest_loss": np.full(40, 0.43)}
    table = tables.plug_in_table(given, plan)
    assert_allclose(table["more_patients"], [0, 0, 0.5])
    assert_allclose(table["excess_log_loss"], [0.05, 0.05, 0.06])


def test_verdicts_take_data_sets_and_their_error() -> None:
    def judged(coverage: float, mcse: float, sets: int, intervals: int) -> str:
        figures = {"coverage": coverage, "coverage_mcse": mcse, "data_sets": sets}
        return tables._judged(figures | {"intervals": intervals}, 0.95)

    assert judged(0.90, 0.01, 500, 5000) == "below"
    assert judged(0.945, 0.004, 500, 5000) == "as claimed"
    assert judged(0.94, 0.01, 500, 5000) == "cannot be told"
    assert judged(0.99, 0.002, 500, 5000) == "above"
    assert judged(0.50, 0.01, 20, 5000) == "cannot be told"
    # 40 of 40 is no proof of more than 95 %: 0.95^40 = 0.13
    assert judged(1.0, 0.0, 40, 40) == "cannot be told"


def test_scores_are_compared_data_set_by_data_set(plan: CoveragePlan) -> None:
    """Scores that vary from set to set by far more than the methods differ."""
    rng = np.random.default_rng(2)
    level = rng.exponential(5, 60) + 1
    own, other = np.zeros((60, 7)), np.zeros((60, 7))
    own[:, 0] = other[:, 0] = 1
    own[:, -1], other[:, -1] = level, level * 1.1 + rng.normal(0, 0.05, 60)
    own[:, 1] = other[:, 1] = 1
    figures = tables._beside(own, other, 0.95)
    assert figures["better"] == "credible"
    assert figures["score_ratio"] == pytest.approx(1 / 1.1, rel=0.02)
    assert tables._beside(other, own, 0.95)["better"] == "the other"


def test_more_patients_follow_from_the_ratio_of_excess_losses(plan: CoveragePlan) -> None:
    """Losses .40 + k/n at n = 100: the rule with k = 3 needs 150 patients for the loss of k = 2."""
    rules = np.full((40, 3, 5), 0.5)
    noise = np.random.default_rng(1).normal(1, 0.1, 40)
    for place, k in enumerate((2, 2, 3)):
        rules[:, place, 0] = 0.40 + k * noise / 100
    truth = np.full((40, 5), 0.5)
    truth[:, 0] = 0.40
    given = {"rules": rules, "truth_figures": truth, "nearest_loss": truth[:, 0]}
    table = tables.plug_in_table(given, plan)
    assert_allclose(table["more_patients"], [0, 0, 0.5])
    assert_allclose(table["excess_log_loss"], np.array([2, 2, 3]) * noise.mean() / 100)
    assert table["more_patients_mcse"].tolist()[0] == 0


def test_plug_in_figures_are_those_of_a_known_rule(found: dict[str, np.ndarray]) -> None:
    """The true risks lose nothing, have slope 1 and as many events as expected."""
    truth = found["truth_figures"]
    assert_allclose(truth[:, 2], 1, atol=1e-6)
    assert_allclose(truth[:, 4], 1)
    excess = found["rules"][..., 0] - truth[:, np.newaxis, 0]
    assert (excess > 0).all()
    assert (
        found["rules"][..., 3] <= truth[:, np.newaxis, 3] + 1e-12
    ).all()  # nobody decides better


def test_data_sets_of_one_outcome_are_counted(small: Population) -> None:
    rare = Population("rare", small.study, small.columns, small.coefficients - np.eye(1, 8) * 4)
    plan = CoveragePlan(rare, 30, ("wald",), 0, 0.3, fresh=20, length=SHORT)
    found = coverage_block(plan, range(12))
    left = int((~found["analysed"]).sum())
    assert 0 < left < 12
    outcomes = tables.outcomes_table(found, plan).set_index("what")
    row = outcomes.loc["data sets with fewer than two patients of an outcome"]
    assert (row["count"], row["of"]) == (left, 12)
    table = tables.coverage_table(found, plan)
    assert (table.loc[table["target"] == "risk", "data_sets"] == 12 - left).all()


def test_a_population_without_events_is_refused(small: Population) -> None:
    never = Population("rare", small.study, small.columns, small.coefficients - np.eye(1, 8) * 30)
    with pytest.raises(DataError, match="none of the data sets has two patients of each outcome"):
        simulate_coverage([never], n=40, replications=2, resamples=0, methods=("wald",))


def test_all_that_cannot_be_simulated_is_said_at_once() -> None:
    study = load_study("cmvt")
    with pytest.raises(OptionError) as refused:
        check_coverage(
            study,
            n=26,
            replications=0,
            resamples=5,
            methods=("firth", "bootstrop"),
            ci_prob=0.95,
            seed=-1,
        )
    said = str(refused.value)
    for part in ("replications: found 0", "seed", "resamples: found 5", "flat prior", "bootstrop"):
        assert part in said


def test_flat_priors_need_more_patients_than_columns() -> None:
    text = load_study("cmvt").to_toml()
    prior = text[text.index("[prior]") : text.index("[baseline]")]
    wide = parse_study(text.replace(prior, '[prior]\nfamily = "normal"\nscale = 50.0\n\n'))
    given = {"replications": 1, "resamples": 0, "methods": None, "ci_prob": 0.95, "seed": 1}
    with pytest.raises(OptionError, match="as good as flat"):
        check_coverage(wide, n=26, **given)
    check_coverage(wide, n=27, **given)


def test_methods_are_those_that_are_possible() -> None:
    study = load_study("cmvt")
    assert chosen_methods(study, 224, 0, None) == QUICK
    assert "firth" not in chosen_methods(study, 26, 200, None)
    assert chosen_methods(study, 224, 0, ("ridge", "credible")) == ("credible", "ridge")


def test_threshold_is_the_declared_one_or_the_mean_risk(small: Population) -> None:
    assert deciding_threshold(small) == 0.3
    cmvt = scenario_population("study", bc.load_cohort(load_study("cmvt")), seed=1)
    assert deciding_threshold(cmvt) == pytest.approx(82 / 224, abs=1e-6)


def test_samples_of_a_file_must_be_smaller_than_the_file() -> None:
    population = file_population(cohort_of(patients()))
    with pytest.raises(OptionError, match="more than a tenth of them"):
        simulate_coverage([population], n=21, replications=1, resamples=0, methods=("wald",))


def test_the_fit_of_a_file_is_shown_beside_what_happened() -> None:
    population = file_population(cohort_of(patients(2000)))
    table = file_truth_table(population)
    fifths = table[table["target"].str.startswith("risk_fifth")]
    assert fifths["patients"].sum() == 2000
    assert population.outcome is not None
    # the score equations of the fit: as many events as expected, over all
    expected = (fifths["patients"] * fifths["true_risk"]).sum()
    assert expected == pytest.approx(population.outcome.sum(), abs=1e-4)
    assert (fifths["patients"] * fifths["observed"]).sum() == pytest.approx(
        population.outcome.sum()
    )
    for column in table:
        assert len(bc.define(column)) > 10


def test_more_columns_than_patients_go_through(small: Population) -> None:
    study = bc.load_cohort(load_study("cmvt"))
    wide = scenario_population("halved", study, seed=2)
    found = simulate_coverage([wide], n=24, replications=3, resamples=0, seed=8)
    assert "firth" not in set(found["coverage"]["method"])
    risks = found["coverage"].set_index(["target", "method"]).loc[("risk", "credible")]
    assert 0.5 < risks["coverage"] <= 1


@pytest.mark.slow
def test_intervals_of_a_model_that_holds_cover_what_they_claim() -> None:
    """800 patients, seven columns, nothing to choose: Wald's limits of all columns are right."""
    population = scenario_population("study", cohort_of(patients(2000)), seed=1)
    given = {"n": 800, "replications": 200, "resamples": 0, "seed": 5}
    found = simulate_coverage([population], methods=("firth", "ridge"), **given)
    table = found["coverage"].set_index(["target", "method"])
    for target in ("risk", "risk_fifth_1", "risk_fifth_5"):
        row = table.loc[(target, "firth")]
        # four Monte Carlo errors, and 0.01 for what 800 patients leave of the normal limit
        assert abs(row["coverage"] - 0.95) < 4 * row["coverage_mcse"] + 0.01
