import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_cmvt.cohort import load_cohort
from bayes_cmvt.study import load_study, parse_study
from bayes_cmvt.table_one import (
    difference_of_means,
    difference_of_shares,
    table_one,
    table_one_text,
)
from bayes_cmvt.textwidth import width

HEAD = """
schema = 1
name = "toy"
title = "Toy"
[outcome]
column = "y"
event = 1
[[predictors]]
name = "crp"
label = "C-reactive protein"
unit = "mg/L"
kind = "continuous"
transform = "log"
[[predictors]]
name = "asa"
kind = "categorical"
levels = ["I", "II", "III"]
"""
SPLIT = """
[split]
column = "set"
development = "a"
validation = "b"
"""
TOY = pd.DataFrame(
    {
        "y": [1, 1, 0, 0, 0],
        "crp": [4.0, 6.0, 1.0, 2.0, 3.0],
        "asa": ["I", "II", "I", "I", "II"],
        "set": ["a", "a", "a", "b", "b"],
    }
)


def toy(data=TOY, split=SPLIT):
    return table_one(load_cohort(parse_study(HEAD + split), data))


def row(table, name, summary, level=""):
    chosen = (table["name"] == name) & (table["summary"] == summary) & (table["level"] == level)
    (found,) = table[chosen].to_dict("records")
    return found


def pep():
    return load_cohort(load_study("pep"))


def test_columns_and_rows_are_those_of_the_contract():
    table = toy()
    assert table.columns.tolist() == [
        *("name", "label", "level", "summary", "overall", "no_event", "event"),
        *("difference_outcome", "development", "validation", "difference_set"),
    ]
    assert toy(split="").columns.tolist() == table.columns.tolist()[:8]
    assert table["summary"].tolist() == ["n", "mean ± SD", "median [quartiles]", *["n (%)"] * 3]
    assert table["level"].tolist() == ["", "", "", "I", "II", "III"]
    assert table["label"].tolist()[:2] == ["Patients", "C-reactive protein (mg/L)"]


def test_groups_of_five_patients_by_hand():
    table = toy()
    assert table.loc[0, ["overall", "no_event", "event", "development", "validation"]].tolist() == [
        *("5", "3", "2", "3", "2")
    ]
    means = row(table, "crp", "mean ± SD")  # 16 / 5; SD of 4 6 1 2 3 is sqrt(14.8 / 4)
    assert (means["overall"], means["event"]) == ("3.20 ± 1.92", "5.00 ± 1.41")
    medians = row(table, "crp", "median [quartiles]")
    assert medians["no_event"] == "2.00 [1.50, 2.50]"
    assert row(table, "asa", "n (%)", "I")["no_event"] == "2 (66.7)"
    assert row(table, "asa", "n (%)", "III")["overall"] == "0 (0.0)"


def test_standardised_differences_by_hand():
    table = toy()
    means = row(table, "crp", "mean ± SD")
    # event 4 6: mean 5, variance 2; no event 1 2 3: mean 2, variance 1
    assert means["difference_outcome"] == pytest.approx(3 / math.sqrt(1.5), rel=1e-14)
    # development 4 6 1: mean 11/3, variance 19/3; validation 2 3: mean 2.5, variance 1/2
    assert means["difference_set"] == pytest.approx(
        (11 / 3 - 2.5) / math.sqrt((19 / 3 + 0.5) / 2), rel=1e-14
    )
    first = row(table, "asa", "n (%)", "I")  # 1 of 2 against 2 of 3
    assert first["difference_outcome"] == pytest.approx(
        (1 / 2 - 2 / 3) / math.sqrt((1 / 4 + 2 / 9) / 2), rel=1e-14
    )
    assert row(table, "asa", "n (%)", "III")["difference_outcome"] == 0.0
    assert math.isnan(row(table, "crp", "median [quartiles]")["difference_outcome"])
    assert math.isnan(table.loc[0, "difference_outcome"])


def test_binary_levels_differ_by_opposite_amounts():
    table = table_one(pep())
    binary = table[table["summary"] == "n (%)"]
    for _, both in binary.groupby("name"):
        assert both["difference_outcome"].sum() == pytest.approx(0, abs=1e-15)


def test_pep_has_602_patients_79_events_and_the_published_arms():
    table = table_one(pep())
    assert table.loc[0, ["overall", "no_event", "event"]].tolist() == ["602", "523", "79"]
    # Elmunzer et al., N Engl J Med 2012;366:1414: 27 of 295 on indomethacin, 52 of 307 on placebo
    treated = row(table, "rx", "n (%)", "1")
    assert (treated["overall"], treated["event"]) == ("295 (49.0)", "27 (34.2)")
    assert row(table, "rx", "n (%)", "0")["event"] == "52 (65.8)"
    p1, p0 = 27 / 79, 268 / 523
    expected = (p1 - p0) / math.sqrt((p1 * (1 - p1) + p0 * (1 - p0)) / 2)
    assert treated["difference_outcome"] == pytest.approx(expected, rel=1e-12)
    assert row(table, "age", "mean ± SD")["overall"] == "45.3 ± 13.3"


def test_order_of_the_patients_does_not_matter():
    cohort = pep()
    order = np.random.default_rng(1).permutation(len(cohort.outcome))
    permuted = replace(
        cohort, predictors=cohort.predictors.iloc[order], outcome=cohort.outcome[order]
    )
    pd.testing.assert_frame_equal(table_one(cohort), table_one(permuted), check_exact=True)


def test_swapping_the_event_changes_the_sign():
    cohort = pep()
    table = table_one(cohort)
    swapped = table_one(replace(cohort, outcome=1 - cohort.outcome))
    np.testing.assert_allclose(
        swapped["difference_outcome"], -table["difference_outcome"], rtol=1e-13, atol=1e-15
    )
    assert swapped["event"].tolist() == table["no_event"].tolist()


measurements = st.lists(
    # a subnormal number loses digits when it is halved
    st.floats(-1e3, 1e3).map(lambda value: value if abs(value) > 1e-300 else 0.0),
    min_size=2,
    max_size=20,
)


@given(measurements, measurements, st.sampled_from([0.5, 2.0, 1024.0]))
def test_difference_does_not_depend_on_the_unit(first, second, factor):
    # powers of two are exact, so the difference must agree to the last digit
    plain = difference_of_means(np.array(first), np.array(second))
    scaled = difference_of_means(np.array(first) * factor, np.array(second) * factor)
    assert scaled == plain or (math.isnan(scaled) and math.isnan(plain)) or abs(plain) > 1e10


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=12))
def test_any_finite_values_make_a_table_without_warnings(values):
    data = pd.DataFrame(
        {"y": [1, 0] * len(values), "crp": values * 2, "asa": ["I", "II"] * len(values)}
    )
    study = parse_study(HEAD.replace('transform = "log"', ""))
    table = table_one(load_cohort(study, data))
    assert len(table) == 6
    assert max(map(len, table["overall"])) < 90


def test_equal_constants_differ_by_zero_and_unequal_ones_by_nothing_defined():
    constant = np.full(3, 0.1)
    assert difference_of_means(constant, np.full(5, 0.1)) == 0.0
    assert math.isnan(difference_of_means(constant, np.full(3, 0.3)))
    assert math.isnan(difference_of_means(constant, np.empty(0)))
    assert math.isnan(difference_of_means(np.array([1.0]), np.array([1.0, 2.0])))
    assert difference_of_shares(np.ones(2, bool), np.ones(3, bool)) == 0.0
    assert math.isnan(difference_of_shares(np.ones(2, bool), np.zeros(3, bool)))


def test_one_varying_group_is_enough_for_a_difference():
    # means 2 and 5, variances 2 and 0: -3 / sqrt(1)
    assert difference_of_means(np.array([1.0, 3.0]), np.full(4, 5.0)) == pytest.approx(-3.0)


def test_a_set_without_patients_is_a_dash():
    table = toy(TOY.assign(set="a"))
    assert table.loc[0, "validation"] == "0"
    assert table["validation"].tolist()[1:] == ["–"] * 5
    assert table["difference_set"].isna().all()


def test_one_patient_has_a_mean_and_no_sd():
    table = toy(TOY.assign(set=["a", "a", "a", "a", "b"]))
    assert row(table, "crp", "mean ± SD")["validation"] == "3.00 ± –"


@pytest.mark.parametrize(
    ("factor", "shown"),
    [
        (1, "3.20 ± 1.92"),
        (100, "320 ± 192"),
        (0.01, "0.0320 ± 0.0192"),
        (1e12, "3.20e+12 ± 1.92e+12"),
    ],
)
def test_sd_is_written_with_three_significant_digits(factor, shown):
    table = toy(TOY.assign(crp=TOY["crp"] * factor))
    assert row(table, "crp", "mean ± SD")["overall"] == shown


def test_a_mean_that_rounds_to_zero_has_no_sign():
    study = parse_study(HEAD.replace('transform = "log"', ""))
    data = TOY.assign(crp=[-1.0, 1.0, -1.0, 1.0, -1e-9])
    table = table_one(load_cohort(study, data))
    assert row(table, "crp", "mean ± SD")["overall"] == "0.00 ± 1.00"


def test_text_has_a_line_for_each_row_and_a_heading_for_each_predictor():
    table = toy(split="")
    assert table_one_text(table).splitlines() == [
        "                      overall            no event           event              difference",
        "Patients              5                  3                  2",
        "C-reactive protein (mg/L)",
        "  mean ± SD           3.20 ± 1.92        2.00 ± 1.00        5.00 ± 1.41              2.45",
        "  median [quartiles]  3.00 [2.00, 4.00]  2.00 [1.50, 2.50]  5.00 [4.50, 5.50]",
        "asa, n (%)",
        "  I                   3 (60.0)           2 (66.7)           1 (50.0)                -0.34",
        "  II                  2 (40.0)           1 (33.3)           1 (50.0)                 0.34",
        "  III                 0 (0.0)            0 (0.0)            0 (0.0)                  0.00",
        "",
        "difference: event minus no event, in SD",
    ]


def test_text_sets_the_split_below_where_it_does_not_fit_beside():
    narrow, wide = table_one_text(toy(), 100), table_one_text(toy(), 200)
    assert narrow.count("Patients") == 2
    assert wide.count("Patients") == 1
    assert max(map(width, narrow.splitlines())) <= 100


def test_chinese_text_is_aligned_by_places_and_cut_to_fit():
    long = HEAD.replace("C-reactive protein", "超敏C反应蛋白" * 8).replace('"I",', '"一级",')
    data = TOY.assign(asa=TOY["asa"].replace({"I": "一级"}))
    text = table_one_text(table_one(load_cohort(parse_study(long), data)), 90)
    lines = text.splitlines()
    assert max(map(width, lines)) <= 90
    assert lines[2].endswith("…")
    level = next(line for line in lines if line.startswith("  一级"))
    assert width(level[: level.index("3 (60.0)")]) == lines[0].index("overall")
