"""Numbers of events behind printed rates, against counting them all; scenarios, weighed."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import fisher_exact

import bayes_cmvt as bc
from bayes_cmvt.printed_numbers import read_printed
from bayes_cmvt.published.event_counts import event_counts, matching_counts
from bayes_cmvt.published.printed_table import read_published
from bayes_cmvt.published.weighed_scenarios import (
    default_scenario,
    hanley_mcneil_se,
    literature_factor,
    scenarios,
    split_probability,
)
from tests.builders import study

COUNTS = ["labels", "events", "true_positive", "true_negative"]
RATES = (
    '[[published.performance]]\nset = "{set}"\nsensitivity = "{first}"\nspecificity = "{second}"\n'
)


def printed(published, *sets):
    return read_published(study(rest="\n".join(["[published]", published, *sets])))


def rates(name, first, second, more=""):
    return RATES.format(set=name, first=first, second=second) + more


@pytest.fixture(scope="module")
def cmvt():
    return read_published(bc.load_study("cmvt"))


@pytest.fixture(scope="module")
def twelve(cmvt):
    return scenarios(cmvt)


# --- One set -------------------------------------------------------------------------------------


def test_rows_of_cmvt_are_those_of_the_facts(cmvt):
    """STUDY_FACTS §A."""
    found = event_counts(cmvt)
    development = found[found["set"] == "development"][COUNTS].to_numpy().tolist()
    assert development == [
        ["printed", 82, 64, 116],
        ["printed", 109, 85, 94],
        ["printed", 164, 128, 49],
        ["swapped", 60, 49, 128],
        ["swapped", 115, 94, 85],
        ["swapped", 142, 116, 64],
    ]
    validation = found[found["set"] == "validation"][COUNTS].to_numpy().tolist()
    assert validation == [["printed", 61, 49, 28], ["swapped", 34, 28, 49]]


def by_counting(n, sensitivity, specificity, decimals):
    """Every table of n patients, its rates printed by hand: floor of what a half was added to."""
    found = []
    for events in range(1, n):
        for tp in range(events + 1):
            if not prints(tp, events, sensitivity, decimals):
                continue
            found += [
                (events, tp, tn)
                for tn in range(n - events + 1)
                if prints(tn, n - events, specificity, decimals)
            ]
    return found


def prints(part, total, text, decimals):
    """|part/total - print| is at most half a unit of the last digit, in whole numbers."""
    unit = 10**decimals
    return 2 * abs(part * unit - round(float(text) * unit) * total) <= total


@pytest.mark.parametrize(
    ("n", "first", "second"),
    [(30, "0.8", "0.7"), (61, "0.75", "0.83"), (95, "0.803", "0.824"), (40, "1.00", "0.00")],
)
def test_counts_equal_counting_every_table(n, first, second):
    decimals = len(first) - 2
    found = matching_counts(n, read_printed(first), read_printed(second))
    as_printed = [
        (one.events, one.true_positive, one.true_negative)
        for one in found
        if one.labels == "printed"
    ]
    swapped = [
        (one.events, one.true_positive, one.true_negative)
        for one in found
        if one.labels == "swapped"
    ]
    assert as_printed == by_counting(n, first, second, decimals)
    assert swapped == by_counting(n, second, first, decimals)


@given(
    st.tuples(*[st.integers(0, 60)] * 4),
    st.integers(1, 4),
)
def test_a_true_table_is_among_the_counts_that_its_printed_rates_allow(cells, decimals):
    true_positive, false_negative, true_negative, false_positive = cells
    events, others = true_positive + false_negative, true_negative + false_positive
    assume(events > 0 and others > 0)
    first = read_printed(f"{true_positive / events:.{decimals}f}")
    second = read_printed(f"{true_negative / others:.{decimals}f}")
    truth = (events, true_positive, true_negative)
    for labels, pair in (("printed", (first, second)), ("swapped", (second, first))):
        found = matching_counts(events + others, *pair, events=events)
        assert truth in {
            (one.events, one.true_positive, one.true_negative)
            for one in found
            if one.labels == labels
        }


def test_swapped_labels_are_the_other_class_called_the_event():
    """A table with events and non-events exchanged is read with exchanged labels."""
    found = matching_counts(224, read_printed("0.780"), read_printed("0.817"))
    mirrored = {
        (224 - one.events, one.true_negative, one.true_positive)
        for one in found
        if one.labels == "printed"
    }
    assert mirrored == {
        (one.events, one.true_positive, one.true_negative)
        for one in found
        if one.labels == "swapped"
    }


def test_a_coarse_print_of_many_patients_gives_one_row_per_number_of_events():
    found = matching_counts(3000, read_printed("0.8"), read_printed("0.7"))
    for labels in ("printed", "swapped"):
        events = [one.events for one in found if one.labels == labels]
        assert events == sorted(set(events))
        assert len(events) > 2900
    assert all(0.75 <= one.true_positive / one.events <= 0.85 for one in found[:100])


def test_printed_events_restrict_and_silent_sets_give_no_rows():
    table = printed(
        'n_development = "224"\nn_validation = "95"\nevents_development = "109"\n',
        rates("development", "0.780", "0.817"),
        '[[published.performance]]\nset = "validation"\nauc = "0.8"\nsensitivity = "0.8"\n',
    )
    assert event_counts(table)[["set", *COUNTS]].to_numpy().tolist() == [
        ["development", "printed", 109, 85, 94]
    ]


# --- Both sets -----------------------------------------------------------------------------------

SPLITS = {
    (82, 34): "1.00",
    (142, 61): "1.00",
    (60, 34): "0.11",
    (164, 61): "0.11",
    (109, 34): "0.037",
    (115, 61): "0.037",
    (109, 61): "0.014",
    (115, 34): "0.014",
    (82, 61): "8e-6",
    (142, 34): "8e-6",
    (60, 61): "6e-10",
    (164, 34): "6e-10",
}
SHARES = {(82, 34): 36.4, (142, 61): 63.6, (60, 34): 29.5, (164, 61): 70.5}
SWAPS = {(82, 34): 1, (142, 61): 1, (60, 34): 2, (164, 61): 0, (82, 61): 0}
HANLEY = {82: 0.0275, 142: 0.0235, 60: 0.0314, 109: 0.0248, 164: 0.0237}


def of(found, pair):
    rows = found[(found["events_development"] == pair[0]) & (found["events_validation"] == pair[1])]
    assert len(rows) == 1
    return rows.iloc[0]


def test_all_twelve_scenarios_have_the_figures_of_the_facts(twelve):
    pairs = set(zip(twelve["events_development"], twelve["events_validation"], strict=True))
    assert len(twelve) == 12
    assert pairs == set(SPLITS)
    for pair, p in SPLITS.items():
        figures = 2 if p[-3:-1] != "e-" and "e" not in p else 1
        digits = f"{of(twelve, pair)['split_p']:.{figures}g}"
        assert math.isclose(float(digits), float(p), rel_tol=1e-9), pair
    for pair, share in SHARES.items():
        assert round(100 * of(twelve, pair)["event_share"], 1) == share
    for pair, swaps in SWAPS.items():
        assert of(twelve, pair)["swaps"] == swaps
    inside = twelve[twelve["in_literature"]]
    assert inside[["events_development", "events_validation"]].to_numpy().tolist() == [[60, 34]]


def test_standard_errors_of_the_areas_are_those_of_the_facts(twelve):
    row = of(twelve, (82, 34))
    assert round(row["se_printed_development"], 4) == 0.0263
    assert round(row["se_printed_validation"], 4) == 0.0375
    # half a unit of the last digit of either limit, over the two limits' 3.92
    assert row["se_printed_upper_development"] - row["se_printed_development"] == pytest.approx(
        0.001 / 3.919928, rel=1e-6
    )
    for events, se in HANLEY.items():
        rows = twelve[twelve["events_development"] == events]
        assert set(rows["se_hanley_mcneil_development"].round(4)) == {se}
    assert round(of(twelve, (82, 34))["se_hanley_mcneil_validation"], 4) == 0.0438
    assert round(of(twelve, (82, 61))["se_hanley_mcneil_validation"], 4) == 0.0372


@given(st.integers(1, 120), st.integers(1, 120), st.data())
def test_split_probability_is_that_of_fishers_exact_test(n_first, n_second, data):
    first = data.draw(st.integers(0, n_first))
    second = data.draw(st.integers(0, n_second))
    table = [[first, n_first - first], [second, n_second - second]]
    expected = fisher_exact(table).pvalue
    found = split_probability(n_first, n_second, first, second)
    assert found == pytest.approx(expected, rel=1e-6)


def test_hanley_mcneil_equals_its_form_of_one_pair_and_of_equal_classes():
    """One event and one non-event: the variance of a coin, A(1 - A)."""
    assert hanley_mcneil_se(0.8, 1, 1) == pytest.approx(math.sqrt(0.8 * 0.2))
    a, m = 0.8, 50
    by_hand = a * (1 - a) + (m - 1) * (a / (2 - a) + 2 * a * a / (1 + a) - 2 * a * a)
    assert hanley_mcneil_se(a, m, m) == pytest.approx(math.sqrt(by_hand) / m, rel=1e-12)
    assert hanley_mcneil_se(1.0, 10, 10) == 0


def test_weight_is_the_product_of_its_columns(twelve):
    factors = ["split_p", "literature_factor", "label_factor", "auc_factor"]
    product = twelve[factors].prod(axis=1)
    np.testing.assert_allclose(twelve["weight"], product / product.sum(), rtol=1e-12)
    assert twelve["weight"].is_monotonic_decreasing


def test_literature_counts_less_the_further_away():
    shares = [0.2, 0.313, 0.35, 0.5, 0.7]
    factors = [literature_factor(share, (0.125, 0.313)) for share in shares]
    assert factors[:2] == [1.0, 1.0]
    assert factors == sorted(factors, reverse=True)
    half = 1 / (1 + math.exp(-(math.log(0.313 / 0.687) + 0.5)))
    assert literature_factor(half, (0.125, 0.313)) == pytest.approx(math.exp(-0.5))


def test_default_of_cmvt_is_82_and_34_named_as_an_assumption(cmvt, twelve):
    default = default_scenario(cmvt)
    assert (default.events_development, default.events_validation) == (82, 34)
    assert (default.labels_development, default.labels_validation) == ("printed", "swapped")
    assert twelve["default"].tolist() == [True] + [False] * 11
    assert "assumption" in default.reason
    assert "For it:" in default.reason
    assert "Against it: 36.4 % of patients with the event lie outside" in default.reason
    assert "without the split it would be 82 and 61 events" in default.reason
    assert "without the literature it would be 164 and 61 events" in default.reason


@pytest.mark.parametrize("mistake", [0.01, 0.1, 0.5, 1.0])
def test_default_of_cmvt_does_not_hang_on_what_a_swapped_label_costs(twelve, mistake):
    others = twelve["split_p"] * twelve["literature_factor"] * twelve["auc_factor"]
    assert (others * mistake ** twelve["swaps"]).idxmax() == 0


# --- Other prints --------------------------------------------------------------------------------


def test_development_alone_has_scenarios_without_a_split():
    found = scenarios(printed('n_development = "224"\n', rates("development", "0.780", "0.817")))
    assert sorted(found["events_development"]) == [60, 82, 109, 115, 142, 164]
    assert found["events_validation"].isna().all()
    assert found["split_p"].isna().all()
    assert set(found["in_literature"]) == {""}
    assert found["weight"].sum() == pytest.approx(1)


def test_printed_totals_decide():
    published = 'n_development = "224"\nn_validation = "95"\nevents = "116"\n'
    sets = [rates("development", "0.780", "0.817"), rates("validation", "0.803", "0.824")]
    table = printed(published, *sets)
    assert scenarios(table)[["events_development", "events_validation"]].to_numpy().tolist() == [
        [82, 34]
    ]
    assert (
        default_scenario(table).reason == "It is the only number of events that the print allows."
    )


def test_printed_events_need_no_rates():
    table = printed(
        'n_development = "224"\nn_validation = "95"\n',
        '[[published.performance]]\nset = "development"\nauc = "0.8"\nevents = "80"\n',
        '[[published.performance]]\nset = "validation"\nauc = "0.8"\nevents = "33"\n',
    )
    default = default_scenario(table)
    assert (default.events_development, default.events_validation) == (80, 33)
    assert event_counts(table).empty


@pytest.mark.parametrize(
    "sets",
    [
        [],
        [rates("development", "0.995", "0.817")],
        ['[[published.performance]]\nset = "development"\nauc = "0.8"\n'],
    ],
)
def test_no_scenario_where_nothing_says_the_events_or_nothing_fits(sets):
    """0.995 of at most 94 patients is no fraction."""
    table = printed('n_development = "95"\n', *sets)
    assert scenarios(table).empty
    assert default_scenario(table) is None


def test_a_print_that_decides_nothing_has_no_default():
    table = printed(
        'n_development = "2000"\nn_validation = "900"\n',
        rates("development", "0.8", "0.7"),
        rates("validation", "0.8", "0.7"),
    )
    assert scenarios(table).empty
    assert default_scenario(table) is None
    assert not event_counts(table).empty


def test_tables_have_their_columns_even_when_empty():
    table = printed('n_development = "95"\n')
    assert event_counts(table).columns.tolist() == ["set", *COUNTS]
    assert isinstance(scenarios(table), pd.DataFrame)
    assert "weight" in scenarios(table)
