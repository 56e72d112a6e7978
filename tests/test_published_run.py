"""``bayes-cmvt published`` and ``samplesize``: what they write, what they say, what they refuse."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

import bayes_cmvt as bc
from bayes_cmvt.glossary import COLUMNS
from tests.baseline_study import contents, invoke
from tests.builders import predictor, study, study_text

LEADING = [
    *("term", "odds_ratio", "z_lower", "z", "z_upper", "se_lower", "se", "se_upper"),
    *("ci_lower", "ci_upper"),
    *(
        f"{prior}_{column}"
        for prior in ("weak", "moderate", "strong", "optimistic", "pessimistic", "horseshoe")
        for column in ("median", "lower", "upper", "prob_above_1")
    ),
    *("conditional_lower", "conditional_upper"),
]
TERMS = "".join(predictor(name, "binary") for name in "abc")


def block(*coefficients, rest='n_development = "120"\n', after=""):
    """A [published] table with one binary term for each mapping of printed numbers."""
    text = f"[published]\n{rest}"
    for term, keys in zip("abc", coefficients, strict=False):
        lines = "".join(f'{key} = "{value}"\n' for key, value in keys.items())
        text += f'[[published.coefficients]]\nterm = "{term}"\n{lines}'
    return study_text(TERMS, text + after)


def refused(tmp_path, text):
    path = tmp_path / "s.toml"
    path.write_text(text)
    done = invoke("published", path, "--out", tmp_path / "out")
    assert done.exit_code == 2, done.output
    assert "Nothing was written." in done.stderr
    assert not (tmp_path / "out").exists()
    return done.stderr


@pytest.fixture(scope="module")
def cmvt(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published") / "run"
    done = invoke("published", "cmvt", "--out", folder)
    assert done.exit_code == 0, done.output
    return folder, done.stdout


def test_the_tables_of_the_contract_stand_in_the_folder(cmvt):
    folder, _ = cmvt
    table = pd.read_csv(folder / "tables" / "published.csv")
    assert table.columns[: len(LEADING)].tolist() == LEADING
    claims = pd.read_csv(folder / "tables" / "claims.csv")
    assert claims.columns[:5].tolist() == ["claim_id", "claim", "implies", "verdict", "reason"]
    assert set(claims["verdict"]) <= {"consistent", "impossible", "cannot be told"}
    counts = pd.read_csv(folder / "tables" / "event_counts.csv")
    named = ["set", "labels", "events", "true_positive", "true_negative"]
    assert counts.columns[:5].tolist() == named
    for path in (folder / "tables").glob("*.csv"):
        unknown = set(pd.read_csv(path).columns) - set(COLUMNS)
        assert not unknown, path.name
    assert {path.suffix for path in (folder / "figures").iterdir()} == {".pdf", ".png"}


def test_the_event_counts_are_those_of_the_facts(cmvt):
    counts = pd.read_csv(cmvt[0] / "tables" / "event_counts.csv")
    found = {
        (row["set"], row["labels"], row["events"], row["true_positive"], row["true_negative"])
        for row in counts.to_dict("records")
    }
    assert {
        ("development", "printed", 82, 64, 116),
        ("development", "printed", 109, 85, 94),
        ("development", "printed", 164, 128, 49),
        ("validation", "printed", 61, 49, 28),
        ("validation", "swapped", 34, 28, 49),
    } <= found
    events = {(one[0], one[1], one[2]) for one in found}
    swapped = {("development", "swapped", events) for events in (60, 115, 142)}
    assert events == {(a, b, c) for a, b, c, *_ in found if b == "printed"} | swapped | {
        ("validation", "swapped", 34)
    }


def test_anaesthesia_in_the_table(cmvt):
    table = pd.read_csv(cmvt[0] / "tables" / "published.csv").set_index("term")
    row = table.loc["anaesthesia"]
    assert round(row["z"], 3) == 2.697
    assert round(row["se"], 3) == 0.844
    assert (round(row["ci_lower"], 2), round(row["ci_upper"], 1)) == (1.86, 50.8)
    rounding = pd.read_csv(cmvt[0] / "tables" / "published_rounding.csv")
    of_it = rounding[rounding["term"] == "anaesthesia"].set_index("quantity")
    assert (of_it["lowest"] < of_it["at_print"]).all()
    assert (of_it["at_print"] < of_it["highest"]).all()
    assert 1.83 < of_it.loc["ci_lower", "lowest"] < 1.86 < of_it.loc["ci_lower", "highest"] < 1.90


def test_priors_for_contrasts_are_not_applied_to_unknown_units(cmvt):
    table = pd.read_csv(cmvt[0] / "tables" / "published.csv").set_index("term")
    for term in ("age", "ddimer_pre", "crp_pre", "nlr_post"):
        assert math.isnan(table.loc[term, "weak_median"])
        assert "no contrast is declared" in table.loc[term, "note"]
        assert np.isfinite(table.loc[term, "horseshoe_median"])
    for term in ("anaesthesia", "out_of_bed_day1"):
        assert np.isfinite(table.loc[term, "pessimistic_median"])


def test_a_declared_contrast_scales_the_prior_and_not_the_table():
    lines = 'n_development = "100"\n[[published.coefficients]]\nterm = "x"\nodds_ratio = "1.08"\n'
    texts = [
        study(predictor("x", per=per), f'[published]\n{lines}p = "0.013"\n') for per in (1, 10)
    ]
    one, ten = (bc.published_tables(text)["published"].iloc[0] for text in texts)
    assert one["moderate_median"] > ten["moderate_median"]  # .077 per unit is .77 per ten
    assert one["weak_median"] == pytest.approx(1.08, abs=2e-3)
    assert ten["weak_median"] == pytest.approx(1.08, abs=5e-3)


def test_the_same_seed_gives_the_same_files(cmvt, tmp_path):
    again = tmp_path / "again"
    assert invoke("published", "cmvt", "--out", again, "--quiet").exit_code == 0
    kept = {
        name: content for name, content in contents(cmvt[0]).items() if "run.json" not in str(name)
    }
    assert kept == {
        name: content for name, content in contents(again).items() if "run.json" not in str(name)
    }


def test_the_screen_says_what_was_not_used(cmvt):
    assert "no patient data were used" in cmvt[1]
    assert "82 + 34 (labels swapped in 1 of 2 sets)" in cmvt[1]
    assert "nan" not in cmvt[1]
    assert max(map(len, cmvt[1].splitlines())) <= 120


def test_json_holds_every_table(tmp_path):
    done = invoke("published", "ldh", "--out", tmp_path / "out", "--json", "--worth", "10")
    record = json.loads(done.stdout)
    assert [row["group"] for row in record["responses"]] == [
        *("bulging", "protruding", "prolapsed", "free")
    ]
    assert {row["worth"] for row in record["responses"]} == {10}


# Bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"odds_ratio": "2.0", "p": "0"}, 'key "p": found "0"; no P value is 0'),
        ({"odds_ratio": "2.0", "p": "0.000"}, 'such as "<0.001"'),
        ({"odds_ratio": "2.0", "p": "1.2"}, 'key "p": found "1.2"; allowed: above 0, at most 1'),
        ({"odds_ratio": "0", "p": "0.1"}, 'key "odds_ratio": found "0"; allowed: a number above 0'),
        ({"odds_ratio": "-2", "p": "0.1"}, 'key "odds_ratio": found "-2"'),
        ({"odds_ratio": "2", "low": "0.5", "high": "1.5"}, "does not contain odds_ratio"),
        ({"odds_ratio": "2", "low": "3.0", "high": "1.5"}, "the lower limit must be smaller"),
        ({"beta": "0.5", "se": "0"}, 'key "se": found "0"; allowed: a number above 0'),
    ],
)
def test_numbers_that_cannot_be_are_refused_by_their_key(tmp_path, keys, message):
    told = refused(tmp_path, block(keys))
    assert '[[published.coefficients]] "a"' in told
    assert message in told


def test_missing_numbers_of_patients_are_named(tmp_path):
    performance = '[[published.performance]]\nset = "validation"\nsensitivity = "0.8"\n'
    told = refused(tmp_path, block({"odds_ratio": "2", "p": "0.1"}, rest="", after=performance))
    assert 'key "n_development" is missing' in told
    assert "give it as [published] n_validation" in told


def test_all_problems_are_told_at_once_with_what_is_impossible(tmp_path):
    performance = (
        '[[published.performance]]\nset = "development"\nevents = "10"\nsensitivity = "0.780"\n'
    )
    told = refused(
        tmp_path,
        block(
            {"odds_ratio": "2", "low": "0.5", "high": "1.5"},
            {"odds_ratio": "2.0", "low": "1.2", "high": "3.3", "p": "0.2"},
            {"odds_ratio": "2.0", "p": "0"},
            after=performance,
        ),
    )
    assert "does not contain odds_ratio" in told
    assert "no P value is 0" in told
    assert "No whole number of 10 patients gives 0.780" in told
    assert "P = 0.2 needs a z of 1.15 to 1.44" in told


def test_a_study_without_print_is_refused(tmp_path):
    done = invoke("published", "pep", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "there is nothing to reanalyse" in done.stderr


def test_an_effect_without_an_error_cannot_be_told():
    table = bc.published_tables(bc_study({"odds_ratio": "2.0"}))["published"].iloc[0]
    assert math.isnan(table["se"])
    assert "a P value, an interval or the error is needed" in table["note"]


def bc_study(*coefficients):
    from bayes_cmvt.study import parse_study

    return parse_study(block(*coefficients))


# Sample size --------------------------------------------------------------------------------------


def test_sample_size_of_the_study_and_of_declared_figures(tmp_path):
    done = invoke("samplesize", "cmvt", "--out", tmp_path / "a", "--json")
    record = json.loads(done.stdout)
    assert done.exit_code == 0
    printed = [row for row in record["samplesize"] if "formula" in row["criterion"]]
    assert [row["n"] for row in printed][::2] == [174, 335]
    declared = invoke(
        *["samplesize", "pep", "--event-share", "0.174", "--columns", "24"],
        *["--r2-cox-snell", "0.288", "--out", tmp_path / "b", "--json"],
    )
    rows = {row["criterion"]: row for row in json.loads(declared.stdout)["samplesize"]}
    assert max(row["n"] for row in rows.values() if row["binding"]) == 662


def test_sample_size_of_a_study_that_says_nothing_of_events(tmp_path):
    done = invoke("samplesize", "ldh", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "--event-share" in done.stderr


# Prints at the edge -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "note"),
    [
        ({"odds_ratio": "0.02", "low": "0.00", "high": "0.45"}, ""),
        ({"odds_ratio": "123456789", "p": "0.99"}, "not below P 0.05"),
        ({"odds_ratio": "1.2", "p": "1.000"}, "not below P 0.05"),
        ({"odds_ratio": "1.00", "p": "0.03"}, "hides its direction"),
        ({"odds_ratio": "1.000", "low": "0.90", "high": "1.11"}, "not below P 0.05"),
        ({"odds_ratio": "1.4", "p": ">0.05"}, "bounded on one side only"),
        ({"odds_ratio": "1.9", "p": "<0.05"}, "cannot be told from the print"),
        ({"odds_ratio": "1.9", "p": "0.05"}, "cannot be told from the print"),
        ({"odds_ratio": "2.00", "low": "1.50", "high": "4.90"}, "not symmetric about the estimate"),
    ],
)
def test_a_print_at_the_edge_is_told_in_words(tmp_path, keys, note):
    path = tmp_path / "s.toml"
    path.write_text(block(keys))
    done = invoke("published", path, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "nan" not in done.output
    row = pd.read_csv(tmp_path / "out" / "tables" / "published.csv").iloc[0]
    assert note in str(row["note"])


def test_printed_limits_stand_as_they_are_printed():
    table = bc.published_tables(bc_study({"odds_ratio": "2.00", "low": "1.50", "high": "4.90"}))[
        "published"
    ]
    assert table[["ci_lower", "ci_upper"]].iloc[0].tolist() == [1.5, 4.9]


@pytest.mark.parametrize("rule", ["p_enter = 1", 'elimination = "aic"'])
def test_without_a_p_rule_nothing_is_known_of_what_was_dropped(rule):
    from bayes_cmvt.study import parse_study

    text = block(
        {"odds_ratio": "2.0", "p": "0.01"}, rest='n_development = "120"\nretained = ["b"]\n'
    )
    tables = bc.published_tables(parse_study(f"{text}[baseline]\n{rule}\n"))
    joint = tables["published_joint"].set_index("term")
    assert joint.loc["b", "known"] == "nothing"
    assert "no interval given selection" in tables["published"].loc[0, "note"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ('events_development = "300"\n', "below the 120 patients"),
        ('events_development = "0"\n', "a whole number from 1 up"),
    ],
)
def test_events_that_leave_one_outcome_are_refused(tmp_path, extra, message):
    told = refused(
        tmp_path,
        block({"odds_ratio": "2.0", "p": "0.01"}, rest=f'n_development = "120"\n{extra}'),
    )
    assert message in told


def test_a_term_that_is_printed_twice_is_refused(tmp_path):
    text = block({"odds_ratio": "2.0", "p": "0.01"}, {"odds_ratio": "2.0", "p": "0.01"})
    told = refused(tmp_path, text.replace('term = "b"', 'term = "a"'))
    assert "stands 2 times" in told


def test_a_number_printed_for_ten_units_is_that_of_one_unit_to_the_tenth():
    lines = 'n_development = "100"\n[[published.coefficients]]\nterm = "x"\n'
    ten = lines + 'odds_ratio = "2.000000"\nlow = "1.200000"\nhigh = "3.333333"\nper = 10\n'
    one = (
        lines
        + f'odds_ratio = "{2**0.1:.9f}"\nlow = "{1.2**0.1:.9f}"\nhigh = "{3.333333**0.1:.9f}"\n'
    )
    tables = [
        bc.published_tables(study(predictor("x", per=10), f"[published]\n{text}"))[
            "published"
        ].iloc[0]
        for text in (ten, one)
    ]
    for column in ("odds_ratio", "z", "se", "ci_lower", "ci_upper", "moderate_median"):
        assert tables[0][column] == pytest.approx(tables[1][column], rel=1e-5), column
    assert "not per 10" in tables[1]["note"]
    assert "not per 10" not in tables[0]["note"]


def test_printed_events_settle_what_the_rates_mean():
    rates = (
        '[[published.performance]]\nset = "development"\nn = "224"\nevents = "82"\n'
        'sensitivity = "0.780"\nspecificity = "0.817"\n'
        '[[published.performance]]\nset = "validation"\nn = "95"\nevents = "61"\n'
        'sensitivity = "0.803"\nspecificity = "0.824"\n'
    )
    table = bc.published_tables(study(TERMS, f"[published]\n{rates}"))["claims"]
    settled = table.set_index("claim_id").loc[["labels", "scenario_82_61"], "verdict"]
    assert settled.eq("consistent").all()
