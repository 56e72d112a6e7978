import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bayes_cmvt.cohort import load_cohort
from bayes_cmvt.design import (
    clinical_contrast,
    dependent_columns,
    design_matrix,
    encode,
    extreme_leverage,
    learn_design,
    mean_and_sd,
    recover_predictors,
    reported_contrast,
)
from bayes_cmvt.errors import DataError
from bayes_cmvt.study import load_study
from tests.builders import X, numeric_cohort, patients, predictor, study

SPLIT = '[split]\ncolumn = "set"\ndevelopment = "training"\nvalidation = "test"\n'
MIXED = (
    predictor("x")
    + predictor("arm", "binary", levels='["placebo", "drug"]')
    + predictor("race", "categorical", levels='["white", "black", "other"]')
    + predictor("age", "ordinal", levels='["<60", "60-69", ">=70"]')
)


def mixed(n=60, seed=1):
    rng = np.random.default_rng(seed)
    return patients(
        n,
        x=rng.normal(size=n),
        arm=rng.choice(["placebo", "drug"], n),
        race=rng.choice(["white", "black", "other"], n),
        age=rng.choice(["<60", "60-69", ">=70"], n),
    )


def refused(cohort):
    with pytest.raises(DataError) as caught:
        learn_design(cohort)
    return list(caught.value.problems)


# Encoding -----------------------------------------------------------------------------------------


def test_every_kind_is_encoded_as_the_contract_says():
    declared = MIXED + predictor("ldl", transform='"log"')
    frame = pd.DataFrame(
        {
            "y": [0, 1, 0],
            "x": [1.5, 2.0, 4.0],
            "arm": ["placebo", "drug", "placebo"],
            "race": ["white", "other", "black"],
            "age": [">=70", "<60", "60-69"],
            "ldl": [1.0, np.e, np.e**2],
        }
    )
    cohort = load_cohort(study(declared), frame)
    assert cohort.study.terms == ("x", "arm", "race[black]", "race[other]", "age", "ldl")
    np.testing.assert_allclose(
        encode(cohort.study, cohort.predictors),
        [[1.5, 0, 0, 0, 2, 0], [2, 1, 0, 1, 0, 1], [4, 0, 1, 0, 1, 2]],
        atol=1e-15,
    )


@pytest.mark.parametrize("name", ["x", "arm", "race", "age"])
def test_permuted_rows_give_a_permuted_matrix(name):
    cohort = load_cohort(study(MIXED), mixed())
    order = np.random.default_rng(2).permutation(60)
    shuffled = load_cohort(study(MIXED), mixed().iloc[order])
    np.testing.assert_allclose(
        design_matrix(learn_design(shuffled), shuffled.predictors),
        design_matrix(learn_design(cohort), cohort.predictors)[order],
        rtol=1e-12, atol=1e-12,
    )  # fmt: skip
    assert shuffled.predictors[name].tolist() == cohort.predictors[name].iloc[order].tolist()


def test_other_names_of_the_levels_leave_the_matrix():
    renamed = {"placebo": 7, "drug": "x y", "white": "w", "black": 2.5, "other": "NA"}
    declared = MIXED.replace('["placebo", "drug"]', '[7, "x y"]').replace(
        '["white", "black", "other"]', '["w", 2.5, "NA"]'
    )
    frame = mixed()
    frame["arm"], frame["race"] = frame["arm"].map(renamed), frame["race"].map(renamed)
    one, other = load_cohort(study(MIXED), mixed()), load_cohort(study(declared), frame)
    np.testing.assert_array_equal(
        design_matrix(learn_design(other), other.predictors),
        design_matrix(learn_design(one), one.predictors),
    )
    assert other.study.terms == ("x", "arm", "race[2.5]", "race[NA]", "age")


# Standardisation ----------------------------------------------------------------------------------


def test_development_rows_have_mean_0_and_sd_1_and_other_rows_do_not_matter():
    frame = mixed().assign(set=["training"] * 40 + ["test"] * 20)
    frame.loc[40:, "x"] += 1000
    cohort = load_cohort(study(MIXED, SPLIT), frame)
    design = learn_design(cohort)
    matrix = design_matrix(design, cohort.predictors)[cohort.development]
    np.testing.assert_allclose(matrix.mean(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(matrix.std(axis=0, ddof=1), 1, rtol=1e-14)
    alone = learn_design(load_cohort(study(MIXED), frame.iloc[:40]))
    np.testing.assert_array_equal(design.mean, alone.mean)
    np.testing.assert_array_equal(design.sd, alone.sd)


def test_new_rows_take_the_stored_constants():
    cohort = load_cohort(study(), patients(5))
    design = learn_design(cohort)
    assert (design.mean.tolist(), design.sd.tolist()) == ([3.0], [np.sqrt(2.5)])
    new = pd.DataFrame({"x": [3.0, 103.0]})
    np.testing.assert_allclose(design_matrix(design, new), [[0], [100 / np.sqrt(2.5)]], rtol=1e-15)


@pytest.mark.parametrize("factor", [1000.0, 1e-9, -3.0])
def test_a_change_of_units_leaves_the_standardised_matrix(factor):
    cohort = numeric_cohort(np.random.default_rng(3).normal(5, 2, (40, 3)))
    scaled = cohort.predictors * factor
    other = numeric_cohort(scaled.to_numpy())
    np.testing.assert_allclose(
        np.sign(factor) * design_matrix(learn_design(other), other.predictors),
        design_matrix(learn_design(cohort), cohort.predictors),
        rtol=1e-10, atol=1e-12,
    )  # fmt: skip


def test_a_shift_leaves_the_standardised_matrix():
    values = np.random.default_rng(4).normal(size=(40, 2))
    one, other = numeric_cohort(values), numeric_cohort(values + 1e6)
    np.testing.assert_allclose(
        design_matrix(learn_design(other), other.predictors),
        design_matrix(learn_design(one), one.predictors),
        atol=1e-8,  # 1e6 keeps about ten digits of the values
    )


@pytest.mark.parametrize("size", [1e200, 1e-200, 5e307])
def test_values_of_any_size_are_standardised_without_overflow(size):
    cohort = numeric_cohort(size * np.array([[1.0, 3.0], [2.0, -1.0], [3.0, 2.0], [1.0, 0.0]]))
    design = learn_design(cohort)
    matrix = design_matrix(design, cohort.predictors)
    np.testing.assert_allclose(matrix.std(axis=0, ddof=1), 1, rtol=1e-12)
    np.testing.assert_allclose(
        recover_predictors(design, matrix).to_numpy() / size,
        cohort.predictors.to_numpy() / size, atol=1e-12,
    )  # fmt: skip


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30))
def test_mean_and_sd_are_those_of_numpy(values):
    column = np.array(values)[:, np.newaxis]
    mean, sd = mean_and_sd(column)
    assert mean[0] == pytest.approx(np.mean(values), rel=1e-9, abs=1e-9)
    assert sd[0] == pytest.approx(np.std(values, ddof=1), rel=1e-9, abs=1e-9)


# The way back -------------------------------------------------------------------------------------

TRANSFORMS = {"identity": (-1e3, 1e3), "log": (1e-3, 1e3), "log1p": (-0.9, 1e3), "sqrt": (0, 1e3)}


@st.composite
def cohorts(draw):
    """Random studies over all kinds and transforms, with patients to match."""
    n = draw(st.integers(25, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    declared, columns = "", {}
    for j, kind in enumerate(
        draw(
            st.lists(
                st.sampled_from([*TRANSFORMS, "binary", "categorical", "ordinal"]),
                min_size=1,
                max_size=5,
            )
        )
    ):
        name = f"v{j}"
        if kind in TRANSFORMS:
            declared += predictor(name, transform=f'"{kind}"')
            columns[name] = rng.uniform(*TRANSFORMS[kind], n)
            continue
        count = 2 if kind == "binary" else draw(st.integers(2, 5))
        declared += predictor(name, kind, levels=str([f"l{k}" for k in range(count)]))
        columns[name] = [f"l{k}" for k in rng.integers(0, count, n)]
    return study(declared), patients(n, **columns)


@settings(max_examples=60, deadline=None)
@given(cohorts())
def test_predictors_are_recovered_from_their_matrix(found):
    cohort = load_cohort(*found)
    encoded = encode(cohort.study, cohort.predictors)
    # a level that no random patient has, or two equal columns: refused, which other tests cover
    with_constant = np.column_stack([np.ones(len(encoded)), encoded])
    assume(np.linalg.matrix_rank(with_constant) == with_constant.shape[1])
    design = learn_design(cohort)
    matrix = design_matrix(design, cohort.predictors)
    recovered = recover_predictors(design, matrix, cohort.predictors.index)
    pd.testing.assert_frame_equal(
        recovered, cohort.predictors, check_exact=False, rtol=1e-8, atol=1e-8
    )
    np.testing.assert_allclose(design_matrix(design, recovered), matrix, rtol=1e-7, atol=1e-7)


# Columns that carry nothing -----------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 0.1, -3.0, 1e200, 1e-300])
def test_a_constant_column_is_named_whatever_its_size(value):
    frame = patients(9, c=value)
    assert refused(load_cohort(study(X + predictor("c")), frame)) == [
        f"column c: is constant, {value:g} in all 9 development rows; "
        "it says nothing about the outcome: leave it out of the study"
    ]


def test_a_column_constant_on_the_development_rows_alone_is_named():
    frame = patients(8, c=[1.0] * 5 + [2.0, 3.0, 4.0], set=["training"] * 5 + ["test"] * 3)
    cohort = load_cohort(study(X + predictor("c"), SPLIT), frame)
    assert refused(cohort)[0].startswith("column c: is constant, 1 in all 5 development rows")


def test_a_level_that_nobody_has_is_named_by_its_term():
    frame = mixed().replace({"race": {"other": "white"}})
    assert refused(load_cohort(study(MIXED), frame)) == [
        "column race[other]: is constant, 0 in all 60 development rows; "
        "it says nothing about the outcome: leave it out of the study"
    ]


def test_a_small_but_real_spread_is_no_constant():
    values = 1.0 + 1e-9 * np.arange(8.0)
    cohort = load_cohort(study(), patients(8, x=values))
    assert learn_design(cohort).sd[0] == pytest.approx(1e-9 * np.sqrt(6), rel=1e-4)


def test_all_constant_and_dependent_columns_are_named_at_once():
    values = np.random.default_rng(5).normal(size=(30, 5))
    values[:, 1] = 4
    values[:, 3] = 32 + 1.8 * values[:, 0]
    values[:, 4] = values[:, 0] - 2 * values[:, 2] + 1
    found = refused(numeric_cohort(values))
    assert [one.split(":")[0] for one in found] == ["column x1", "column x3", "column x4"]
    assert "is constant, 4" in found[0]
    assert found[1].endswith(
        "says exactly the same as column x0 (correlation 1 or -1); keep one of the two"
    )
    assert found[2].endswith("is an exact combination of x0, x2; leave one of these columns out")


def test_a_score_that_is_the_sum_of_its_items_is_named_with_them():
    rng = np.random.default_rng(6)
    items = rng.integers(0, 5, (50, 12)).astype(float)
    values = np.column_stack([rng.normal(size=50), items, items.sum(axis=1)])
    (said,) = refused(numeric_cohort(values))
    items_named = ", ".join(f"x{j}" for j in range(1, 13))
    assert said == (
        f"column x13: is an exact combination of {items_named}; leave one of these columns out"
    )


def test_dummies_of_two_equal_categories_are_named():
    frame = mixed()
    frame["copy"] = frame["race"]
    declared = MIXED + predictor("copy", "categorical", levels='["white", "black", "other"]')
    found = refused(load_cohort(study(declared), frame))
    assert [one.split(" (")[0] for one in found] == [
        "column copy[black]: says exactly the same as column race[black]",
        "column copy[other]: says exactly the same as column race[other]",
    ]


def test_columns_that_nearly_agree_are_kept():
    rng = np.random.default_rng(7)
    values = rng.normal(size=(30, 2))
    values[:, 1] = values[:, 0] + 1e-6 * values[:, 1]
    assert learn_design(numeric_cohort(values)).terms == ("x0", "x1")


def test_with_more_columns_than_rows_only_copies_are_named():
    rng = np.random.default_rng(8)
    values = rng.normal(size=(10, 15))
    assert learn_design(numeric_cohort(values)).terms == tuple(f"x{j}" for j in range(15))
    values[:, 9], values[:, 12] = -2 * values[:, 3] + 1, 7 * values[:, 3]
    assert refused(numeric_cohort(values)) == [
        f"column {copy}: says exactly the same as column x3 (correlation 1 or -1); "
        "keep one of the two"
        for copy in ("x9", "x12")
    ]


def test_near_copies_are_kept_however_many_columns_there_are():
    rng = np.random.default_rng(9)
    values = rng.normal(size=(10, 15))
    values[:, 9] = values[:, 3] + 1e-6 * values[:, 9]
    assert learn_design(numeric_cohort(values)).terms == tuple(f"x{j}" for j in range(15))


@given(st.integers(0, 10**6))
def test_columns_of_noise_are_never_dependent(seed):
    matrix = np.random.default_rng(seed).normal(size=(20, 6))
    matrix = (matrix - matrix.mean(axis=0)) / matrix.std(axis=0, ddof=1)
    assert dependent_columns(matrix, list("abcdef")) == []


# Leverage and contrasts ---------------------------------------------------------------------------


def test_a_typing_error_of_884_shows_as_extreme_leverage():
    rng = np.random.default_rng(10)
    frame = patients(200, x=rng.normal(size=200), neutrophils=rng.normal(60, 8, 200))
    frame.loc[16, "neutrophils"] = 884.0
    cohort = load_cohort(study(X + predictor("neutrophils")), frame)
    found = extreme_leverage(cohort, learn_design(cohort))
    assert found[["term", "row", "value"]].to_numpy().tolist() == [["neutrophils", 17, 884.0]]
    values = frame["neutrophils"].to_numpy()
    spread = (values - values.mean()) ** 2
    assert found["share"][0] == pytest.approx(spread[16] / spread.sum(), rel=1e-12)


def test_leverage_is_sorted_and_empty_for_ordinary_columns():
    rng = np.random.default_rng(11)
    values = rng.normal(size=(100, 3))
    cohort = numeric_cohort(values)
    assert extreme_leverage(cohort, learn_design(cohort)).empty
    values[3, 0], values[4, 2] = 9.0, 90.0
    cohort = numeric_cohort(values)
    found = extreme_leverage(cohort, learn_design(cohort))
    assert found[["term", "row"]].to_numpy().tolist() == [["x2", 5], ["x0", 4]]
    assert found["share"].is_monotonic_decreasing


def test_clinical_contrast_is_the_quartile_step_or_the_level_change():
    declared = MIXED + predictor("rare") + predictor("ten", per="10")
    frame = mixed(61).assign(x=np.arange(61.0), rare=[5.0] + [0.0] * 60, ten=np.arange(61.0) ** 2)
    cohort = load_cohort(study(declared), frame)
    design = learn_design(cohort)
    sd = frame["rare"].std()
    np.testing.assert_allclose(
        clinical_contrast(cohort, design), [30.0, 1, 1, 1, 1, sd, 10.0], rtol=1e-12
    )
    np.testing.assert_array_equal(reported_contrast(design), [1, 1, 1, 1, 1, 1, 10])


def test_clinical_contrast_follows_the_transform():
    values = np.exp(np.arange(1.0, 6.0))
    cohort = load_cohort(study(predictor("x", transform='"log"')), patients(5, x=values))
    np.testing.assert_allclose(clinical_contrast(cohort, learn_design(cohort)), [2.0], rtol=1e-12)


def test_the_embedded_trial_has_19_sound_columns():
    cohort = load_cohort(load_study("pep"))
    design = learn_design(cohort)
    matrix = design_matrix(design, cohort.predictors)
    assert matrix.shape == (602, 19)
    assert np.linalg.matrix_rank(matrix) == 19
    assert reported_contrast(design)[design.terms.index("age")] == 10
