"""What standard errors say about a design: closed forms, simulated patients, truth in and out."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_cmvt as bc
from bayes_cmvt import metrics
from bayes_cmvt.logistic import fit_maximum_likelihood
from bayes_cmvt.published.design_tuning import tune
from bayes_cmvt.published.information import information
from bayes_cmvt.published.printed_table import read_published
from bayes_cmvt.published.quasi_random_design import (
    Item,
    Setting,
    expected_auc,
    intercept_for,
    make_design,
    quasi_random_normals,
)
from tests.builders import predictor, study

POINTS = 8192
THREE = (
    Item("class", 1.2, (0.1, 0.1, 0.1), binary=True),
    Item("normal", -0.8, (0.1, 0.1, 0.1), binary=False),
    Item("skewed", 0.5, (0.1, 0.1, 0.1), binary=False, log_sd=0.7),
)
SPREADS = np.array([0.15, 0.9, 1.4])


def of_class(share, log_odds, events, n):
    """Standard error of the log odds ratio of two classes, and their risks: Woolf's closed form."""
    first = np.arange(POINTS) < share * POINTS
    intercept = intercept_for(log_odds * first, events / n)
    inside, outside = (1 / (1 + math.exp(-intercept - b)) for b in (log_odds, 0.0))
    cells = [
        n * share * inside,
        n * share * (1 - inside),
        n * (1 - share) * outside,
        n * (1 - share) * (1 - outside),
    ]
    assert cells[0] + cells[2] == pytest.approx(events, rel=1e-3)  # a class of whole points
    return math.sqrt(sum(1 / cell for cell in cells))


def simulated(rng, n, correlation):
    """Patients of the three items, drawn without the code under test."""
    shared = rng.normal(size=(n, 1))
    own = rng.normal(size=(n, 3))
    latent = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own
    latent *= np.sign([one.log_odds for one in THREE])
    cut = np.sort(latent[:, 0])[round((1 - SPREADS[0]) * n)]
    lognormal = np.exp(0.7 * latent[:, 2])
    sd = math.sqrt(math.expm1(0.49)) * math.exp(0.49 / 2)
    return np.column_stack(
        [latent[:, 0] >= cut, SPREADS[1] * latent[:, 1], SPREADS[2] * lognormal / sd]
    )


def standard_errors(design, spreads):
    columns = design.columns(spreads)
    return design.standard_errors(columns, design.risk(columns, spreads), spreads)


# --- Designs -------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(100, 4000), st.floats(-3, 3).filter(lambda b: abs(b) > 0.1), st.floats(0.1, 0.9))
def test_two_classes_alone_have_the_standard_error_of_their_four_cells(
    points, log_odds, event_share
):
    share, n = points / POINTS, 300
    item = Item("class", log_odds, (1, 1, 1), binary=True)
    design = make_design([item], quasi_random_normals(1), Setting(n, round(event_share * n)))
    found = standard_errors(design, np.array([share]))[0]
    closed = of_class(share, log_odds, design.setting.events, n)
    assert found == pytest.approx(closed, rel=1e-7)
    reverse = Setting(n, design.setting.events, reversed=frozenset({"class"}))
    found = standard_errors(
        make_design([item], quasi_random_normals(1), reverse), np.array([share])
    )[0]
    assert found == pytest.approx(of_class(share, -log_odds, reverse.events, n), rel=1e-7)


@pytest.mark.parametrize("correlation", [0.0, 0.35])
def test_standard_errors_and_area_are_those_of_simulated_patients(correlation):
    """60,000 patients: the smallest class has 9,000, so that its SE varies by about 0.5 %."""
    rng = np.random.default_rng(5)
    columns = simulated(rng, 60_000, correlation)
    log_odds = columns @ [one.log_odds for one in THREE]
    risk = 1 / (1 + np.exp(-log_odds - intercept_for(log_odds, 0.3)))
    outcome = (rng.random(len(risk)) < risk).astype(float)
    design = make_design(THREE, quasi_random_normals(3), Setting(200, 60, correlation))
    found = standard_errors(design, SPREADS)
    fit = fit_maximum_likelihood(columns, outcome)
    np.testing.assert_allclose(found, fit.se * math.sqrt(60_000 / 200), rtol=0.02)
    own = design.columns(SPREADS)
    assert expected_auc(design.risk(own, SPREADS)) == pytest.approx(
        float(metrics.auc(outcome, risk)), abs=0.006
    )


def test_mean_observed_information_of_small_cohorts_is_the_designs():
    """Of cohorts of 200: their mean information, inverted once."""
    rng = np.random.default_rng(6)
    total = np.zeros((4, 4))
    for _ in range(300):
        columns = np.column_stack([np.ones(200), simulated(rng, 200, 0.35)])
        log_odds = columns[:, 1:] @ [one.log_odds for one in THREE]
        risk = 1 / (1 + np.exp(-log_odds - intercept_for(log_odds, 0.3)))
        total += columns.T @ (columns * (risk * (1 - risk))[:, np.newaxis])
    brute = np.sqrt(np.diagonal(np.linalg.inv(total / 300)))[1:]
    design = make_design(THREE, quasi_random_normals(3), Setting(200, 60, 0.35))
    np.testing.assert_allclose(standard_errors(design, SPREADS), brute, rtol=0.03)


@pytest.mark.parametrize("side", [frozenset(), frozenset({"class"})])
@pytest.mark.parametrize("correlation", [0.0, 0.35])
def test_spreads_come_back_from_their_standard_errors(correlation, side):
    setting, normals = Setting(200, 60, correlation, side), quasi_random_normals(3)
    truth = standard_errors(make_design(THREE, normals, setting), SPREADS)
    items = [
        Item(one.term, one.log_odds, (se, se, se), binary=one.binary, log_sd=one.log_sd)
        for one, se in zip(THREE, truth, strict=True)
    ]
    found = tune(make_design(items, normals, setting))
    np.testing.assert_allclose(found.spreads, SPREADS, rtol=0.005)
    np.testing.assert_allclose(found.low, found.high, rtol=1e-9)


def test_an_undisclosed_standard_error_comes_back_from_the_area():
    setting, normals = Setting(200, 60, 0.2), quasi_random_normals(3)
    design = make_design(THREE, normals, setting)
    truth = standard_errors(design, SPREADS)
    area = expected_auc(design.risk(design.columns(SPREADS), SPREADS))
    printed = [truth[0], truth[1], truth[2] * 1.4]
    items = [
        Item(
            one.term, one.log_odds, (se, se, se), one.binary, one.log_sd, free=one.term == "skewed"
        )
        for one, se in zip(THREE, printed, strict=True)
    ]
    at_bound = tune(make_design(items, normals, setting))
    assert at_bound.auc < area
    found = tune(make_design(items, normals, setting), area, start=at_bound)
    np.testing.assert_allclose(found.se, truth, rtol=0.005)
    np.testing.assert_allclose(found.spreads, SPREADS, rtol=0.01)


def test_ends_over_the_rounding_are_those_of_tuning_at_its_ends():
    """P = 0.01 of two digits is 0.005 to 0.015: its ends move the spread by a tenth."""
    setting, normals = Setting(200, 60, 0.2), quasi_random_normals(3)
    truth = standard_errors(make_design(THREE, normals, setting), SPREADS)
    bounds = [(se * 0.93, se, se * 1.06) for se in truth]
    items = [
        Item(one.term, one.log_odds, se, binary=one.binary, log_sd=one.log_sd)
        for one, se in zip(THREE, bounds, strict=True)
    ]
    found = tune(make_design(items, normals, setting))
    for j in range(3):
        for end, reached in ((0, found.high), (2, found.low)):
            exact = [
                Item(one.term, one.log_odds, (se, se, se), binary=one.binary, log_sd=one.log_sd)
                for one, se in zip(THREE, truth, strict=True)
            ]
            own = bounds[j][end]
            exact[j] = Item(
                exact[j].term, exact[j].log_odds, (own, own, own), exact[j].binary, exact[j].log_sd
            )
            alone = tune(make_design(exact, normals, setting), start=found).spreads[j]
            # the whole range holds that of its own rounding, and little more
            assert (reached[j] - alone) * (1 - end) > -0.01 * alone
            assert reached[j] == pytest.approx(alone, rel=0.06)


def test_a_standard_error_below_that_of_balanced_classes_has_no_design():
    """4/√200 = 0.283 is the least that two classes of 200 patients have."""
    item = Item("class", 0.05, (0.25, 0.25, 0.25), binary=True)
    found = tune(make_design([item], quasi_random_normals(1), Setting(200, 100)))
    assert not found.met[0]
    assert math.isnan(found.low[0])
    assert found.se[0] == pytest.approx(4 / math.sqrt(200), rel=1e-3)


def test_rounding_may_bring_a_standard_error_to_that_of_balanced_classes():
    """0.28 is printed for 4/√200 = 0.283: half of the patients, or not much less."""
    item = Item("class", 0.05, (0.275, 0.28, 0.285), binary=True)
    found = tune(make_design([item], quasi_random_normals(1), Setting(200, 100)))
    assert found.met[0]
    assert found.high[0] == pytest.approx(0.5, abs=1e-6)
    # q (1 - q) = 16 / (4 · 200 · 0.285²) / 4
    expected = (1 - math.sqrt(1 - 16 / (200 * 0.285**2))) / 2
    assert found.low[0] == pytest.approx(expected, abs=0.01)


# --- CMVT ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cmvt():
    return information(read_published(bc.load_study("cmvt")))


def rows(found, term, quantity, *words):
    chosen = found[(found["term"] == term) & found["quantity"].str.contains(quantity, regex=False)]
    for word in words:
        chosen = chosen[chosen["assumption"].str.contains(word, regex=False)]
    assert len(chosen) == 1, chosen["assumption"].tolist()
    return chosen.iloc[0]


def test_classes_of_cmvt_are_those_of_the_prototype(cmvt):
    """PROTOTYPE §A: general 10, or neuraxial 21, if independent; about 10-20 in all."""
    general, neuraxial = ('"general", if', '"neuraxial", if')
    alone = rows(cmvt, "anaesthesia", general, "independent")
    assert alone["lowest"] <= 10 <= alone["highest"] <= 11
    assert "about 8 of them with the event" in alone["finding"]
    other = rows(cmvt, "anaesthesia", neuraxial, "independent")
    assert 19 <= other["lowest"] <= 21 <= other["highest"] <= 23
    correlated = rows(cmvt, "anaesthesia", general, "r = 0.2 to 0.4")
    assert 12 <= correlated["lowest"] <= 14
    assert 20 <= correlated["highest"] <= 25
    whole = rows(cmvt, "anaesthesia", general, "AUC is the printed")
    assert 8 <= whole["lowest"] <= 11
    assert 17 <= whole["highest"] <= 21
    out_of_bed = rows(cmvt, "out_of_bed_day1", '"1", if', "independent")
    still_in_bed = rows(cmvt, "out_of_bed_day1", '"0", if', "independent")
    assert 16 <= still_in_bed["lowest"] <= 20
    assert 34 <= out_of_bed["highest"] <= 41


def test_an_ordinary_share_would_give_anaesthesia_twice_its_z(cmvt):
    """PROTOTYPE §A: 30 : 70 gives z = 5.4; here it lies between the two classes."""
    general, neuraxial = (
        rows(cmvt, "anaesthesia", f'z with 30 % of patients in class "{name}"')
        for name in ("general", "neuraxial")
    )
    assert 4.5 <= neuraxial["lowest"] <= 5.4 <= general["highest"] <= 6.5
    assert "as printed it has 2.7." in general["finding"]


def test_spread_of_age_is_that_of_the_prototype(cmvt):
    """PROTOTYPE §A: 0.40 to 0.48."""
    age = rows(cmvt, "age", "standard deviation", "AUC is the printed")
    assert 0.38 <= age["lowest"] <= 0.41
    assert 0.46 <= age["highest"] <= 0.50


def test_whole_table_of_cmvt_asks_for_correlation_or_a_far_larger_z(cmvt):
    """PROTOTYPE §A: 0.76 to 0.79 if independent; z about 6.0; r about 0.33."""
    area = rows(cmvt, "(all)", "AUC", "independent")
    assert area["quantity"] == "AUC"
    assert 0.755 <= area["lowest"] <= area["highest"] <= 0.79
    assert "less than the printed 0.866" in area["finding"]
    needed = rows(cmvt, "nlr_post", "z that gives", "independent")
    assert 5.8 <= needed["lowest"] <= needed["highest"] <= 6.8
    correlation = rows(cmvt, "(all)", "latent correlation", "equally correlated")
    assert 0.22 <= correlation["lowest"] <= correlation["highest"] <= 0.36
    assert "belong together" in correlation["finding"]


def test_an_effect_whose_p_is_a_bound_has_no_upper_end(cmvt):
    row = rows(cmvt, "nlr_post", "standard deviation", "independent")
    assert row["lowest"] > 2.5
    assert math.isnan(row["highest"])
    assert "cannot be told" in row["finding"]


def test_every_row_is_a_sentence_under_stated_assumptions(cmvt):
    assert cmvt.columns.tolist() == [
        *("term", "quantity", "lowest", "highest", "assumption", "finding")
    ]
    assert cmvt["finding"].str.endswith(".").all()
    assert cmvt["assumption"].str.contains("patients with the event").all()
    known = cmvt.dropna(subset=["lowest", "highest"])
    assert (known["lowest"] <= known["highest"]).all()


# --- Other prints --------------------------------------------------------------------------------

PREDICTORS = "".join(
    [
        predictor("x"),
        predictor("item", kind="binary", levels='["no", "yes"]'),
        predictor("grade", kind="ordinal", levels="[1, 2, 3]"),
        predictor("place", kind="categorical", levels='["a", "b", "c"]'),
        predictor("marker", transform='"log"'),
    ]
)
SETTING = '[published]\nn_development = "200"\n'
EVENTS = '[[published.performance]]\nset = "development"\nauc = "0.75"\nevents = "60"\n'


def found_for(*coefficients, setting=SETTING, performance=EVENTS):
    tables = [
        "\n".join(
            ["[[published.coefficients]]", *(f'{key} = "{text}"' for key, text in keys.items())]
        )
        for keys in coefficients
    ]
    return information(
        read_published(study(PREDICTORS, "\n".join([setting, performance, *tables])))
    )


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_one_class_alone_comes_back_from_its_printed_row(share):
    se = of_class(share, 1.1, 60, 200)
    found = found_for({"term": "item", "beta": "1.100", "se": f"{se:.4f}"})
    row = rows(found, "item", '"yes", if')
    assert row["lowest"] <= share * 200 <= row["highest"] <= row["lowest"] + 2
    assert "as printed" in row["assumption"]
    assert rows(found, "(all)", "AUC")["quantity"] == "AUC"


def test_terms_of_every_kind_have_rows():
    found = found_for(
        {"term": "x", "odds_ratio": "1.50", "p": "0.020"},
        {"term": "item", "odds_ratio": "2.00", "low": "0.80", "high": "5.00"},
        {"term": "grade", "beta": "0.500", "se": "0.200"},
        {"term": "place[b]", "odds_ratio": "0.40", "p": "0.030"},
        {"term": "marker", "odds_ratio": "1.80", "p": "0.004"},
    )
    rows(found, "grade", "standard deviation of the scores", "independent")
    rows(found, "marker", "standard deviation after log", "independent")
    rows(found, "place[b]", 'patients in class "b", if', "independent")
    rows(found, "place[b]", 'other than "b", if', "independent")
    assert found["lowest"].notna().all()


def test_what_is_not_printed_cannot_be_told():
    found = found_for(
        {"term": "x", "odds_ratio": "1.50"}, {"term": "marker", "odds_ratio": "1.00", "p": "0.980"}
    )
    assert found["term"].tolist() == ["x", "marker", "(all)"]
    assert found["finding"].str.startswith("Cannot be told").all()
    assert "P value" in found["finding"][0]
    assert "more digits" in found["finding"][1]


@pytest.mark.parametrize("performance", ["", EVENTS.replace('events = "60"\n', "")])
def test_without_events_nothing_is_assumed(performance):
    found = found_for({"term": "x", "odds_ratio": "1.5", "p": "0.02"}, performance=performance)
    assert found["finding"].tolist() == [
        "Cannot be told: the number of patients with the event would be needed."
    ]


def test_the_quoted_incidence_stands_in_for_events_and_is_named():
    setting = SETTING + 'literature_incidence = ["0.2", "0.4"]\n'
    found = found_for(
        {"term": "x", "odds_ratio": "1.5", "p": "0.02"}, setting=setting, performance=""
    )
    assert found["assumption"][0].startswith(
        "60 of 200 patients with the event (the middle of the quoted incidence)"
    )
    assert "AUC of the development patients would be needed" in found["finding"].iloc[-1]


def test_a_standard_error_that_no_design_has_is_named_and_others_are_told():
    found = found_for(
        {"term": "x", "odds_ratio": "1.5", "p": "0.02"},
        {"term": "item", "beta": "0.500", "se": "0.150"},
    )
    row = rows(found, "item", '"yes", if', "independent")
    assert math.isnan(row["lowest"])
    assert "as small as 0.15; the smallest is 0.3" in row["finding"]
    assert rows(found, "x", "standard deviation", "independent")["lowest"] > 0
    areas = found[found["quantity"] == "AUC"]
    assert areas["lowest"].isna().all()
    assert areas["finding"].str.startswith("Cannot be told: no design").all()


def test_a_second_call_gives_the_same_numbers():
    effect = {"term": "item", "odds_ratio": "2.00", "p": "0.030"}
    assert found_for(effect).equals(found_for(effect))
