import hashlib
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_cmvt.contradictions import FAMILY_KEYS
from bayes_cmvt.errors import StudyError
from bayes_cmvt.schema import level_key
from bayes_cmvt.study import data_path, level_text, load_study, parse_study, shipped_studies
from tests.builders import HEADING, OUTCOME, X, predictor, study, study_text

BINARY = predictor("b", "binary")
EVERYTHING = """
schema = 1
name = "every-thing_2"
title = 'Every "key" 年龄'
description = "two\\nlines\\tand a tab"
language = "zh"

[outcome]
column = "y"
event = "yes"
non_event = ["no", 0, 0.5]
label = "Y"
horizon = "30 days"
note = "n"

[[predictors]]
name = "x"
label = "X"
unit = "mg/L"
note = "n"
kind = "continuous"
transform = "log1p"
range = [0, 10]
axis = [0.5, 8]
cost = 2
per = 10

[[predictors]]
name = "kept"
kind = "binary"
levels = ["a", "b"]
shrink = false

[[predictors]]
name = "own"
kind = "ordinal"
levels = [1, 2.5, "top"]
prior = [0.4, 0.3]
per = 2

[[predictors]]
name = "both"
kind = "continuous"
prior = [0, 1]
shrink = false

[[predictors]]
name = "c"
kind = "categorical"
levels = ["p", 2.0, "r"]

[data]
missing = "drop"
decimal = ","
file = "folder/cohort.csv"

[split]
column = "set"
development = "training"
validation = 2

[prior]
family = "regularized-horseshoe"
expected_nonzero = 1.5
slab_scale = 1
slab_df = 7
intercept = "normal"
intercept_scale = 1.5

[baseline]
folds = 5
loss = "auc"
rule = "1se"
cv = "glmnet"
p_enter = 0.1
screen_p = 0.2
resamples = 0

[decision]
thresholds = [0.1, 0.3]
use = 0.2

[published]
n = "319"
n_development = "224"
n_validation = "95"
candidates = "26"
literature_incidence = ["0.125", "0.313"]
assumed_or = "1.5"
retained = ["x", "c[2]", "c"]
[[published.coefficients]]
term = "x"
odds_ratio = "2.602"
p = "<0.001"
low = "1.1"
high = "5.0"
se = "0.1"
[[published.coefficients]]
term = "c[r]"
beta = "-0.180"
[[published.performance]]
set = "development"
auc = "0.866"
auc_low = "0.814"
auc_high = "0.917"
sensitivity = "0.780"
specificity = "0.817"
hosmer_lemeshow_p = "0.4762"
calibration_mae = "0.027"
"""


def problems(text):
    with pytest.raises(StudyError) as caught:
        parse_study(text)
    return list(caught.value.problems)


def problem(text):
    found = problems(text)
    assert len(found) == 1, found
    return found[0]


def message(path):
    with pytest.raises(StudyError) as caught:
        load_study(path)
    return str(caught.value)


def again(one):
    """Return the study after a round trip, with the source and hash of the original text."""
    return replace(parse_study(one.to_toml()), source=one.source, sha256=one.sha256)


# The shipped studies ------------------------------------------------------------------------------


def test_three_studies_are_shipped():
    assert sorted(shipped_studies()) == ["cmvt", "ldh", "pep"]


@pytest.mark.parametrize(
    ("name", "predictors", "columns"), [("cmvt", 26, 26), ("pep", 19, 19), ("ldh", 13, 16)]
)
def test_shipped_studies_have_their_columns(name, predictors, columns):
    one = load_study(name)
    assert (len(one.predictors), len(one.terms)) == (predictors, columns)
    informed = {"type[protruding]", "type[prolapsed]", "type[free]"} if name == "ldh" else set()
    assert set(one.terms) - set(one.shrunk_terms) == informed
    assert f"{predictors} predictors, {columns} columns" in repr(one)


def test_cmvt_prints_the_numbers_of_the_source():
    printed = load_study("cmvt").published
    assert (printed.n, printed.n_development, printed.n_validation) == ("319", "224", "95")
    assert printed.candidates == "26"
    assert printed.literature_incidence == ("0.125", "0.313")
    assert len(printed.retained) == 11
    assert [(one.term, one.odds_ratio, one.p) for one in printed.coefficients] == [
        ("age", "2.602", "0.036"),
        ("anaesthesia", "9.730", "0.007"),
        ("ddimer_pre", "1.608", "0.001"),
        ("crp_pre", "1.080", "0.013"),
        ("nlr_post", "1.207", "<0.001"),
        ("out_of_bed_day1", "0.180", "0.002"),
    ]
    development, validation = printed.performance
    assert (development.auc, development.auc_low, development.auc_high) == (
        "0.866",
        "0.814",
        "0.917",
    )
    assert (development.sensitivity, development.specificity) == ("0.780", "0.817")
    assert (development.hosmer_lemeshow_p, development.calibration_mae) == ("0.4762", "0.027")
    assert (validation.auc, validation.auc_low, validation.auc_high) == ("0.859", "0.785", "0.932")
    assert (validation.sensitivity, validation.specificity) == ("0.803", "0.824")
    assert (validation.hosmer_lemeshow_p, validation.calibration_mae) == (None, "0.094")


def test_the_data_of_shipped_studies_stand_beside_them():
    for name, file in (("pep", "indo_rct.csv"), ("cmvt", "cmvt_SYNTHETIC.csv")):
        assert data_path(load_study(name)).name == file
        assert data_path(load_study(name)).is_file()
    assert data_path(load_study("ldh")) is None


def test_shipped_hash_is_that_of_the_bytes():
    path = shipped_studies()["cmvt"]
    assert load_study("cmvt").sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_study(path) == load_study("cmvt")


# Round trips --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cmvt", "pep", "ldh"])
def test_shipped_studies_survive_their_own_toml(name):
    one = load_study(name)
    assert again(one) == one


@pytest.mark.parametrize(
    "text",
    [
        EVERYTHING,
        EVERYTHING.replace("p_enter = 0.1", 'elimination = "aic"'),
        EVERYTHING.replace("expected_nonzero = 1.5", "global_scale = 0.05"),
        study_text(rest='[prior]\nfamily = "normal"\nscale = 1\n'),
        study_text(rest='[prior]\nfamily = "student-t"\nscale = 1\ndf = 7\n'),
        study_text(),
        'data = "a.csv"\n' + study_text(),
    ],
    ids=["everything", "aic", "global scale", "normal", "student", "smallest", "data"],
)
def test_synthetic_studies_survive_their_own_toml(text):
    one = parse_study(text)
    assert again(one) == one
    assert again(again(one)).to_toml() == one.to_toml()


def test_every_key_of_a_full_study_is_kept():
    one = parse_study(EVERYTHING)
    assert one.heading.data == "folder/cohort.csv"
    assert one.terms == ("x", "kept", "own", "both", "c[2]", "c[r]")
    assert one.shrunk_terms == ("x", "c[2]", "c[r]")
    assert one.outcome.non_event == ("no", 0, 0.5)
    assert one.with_missing("error").rules.missing == "error"
    assert one.rules.missing == "drop"


def test_defaults_are_those_of_the_contract():
    one = study()
    assert one.prior.model_dump() == {
        "family": "regularized-horseshoe",
        "expected_nonzero": None,
        "global_scale": None,
        "slab_scale": 2.0,
        "slab_df": 4.0,
        "scale": 2.5,
        "df": 4.0,
        "intercept": "student-t",
        "intercept_scale": 2.5,
        "published_responses": False,
    }
    assert (one.rules.missing, one.split, one.published) == ("error", None, None)
    assert one.baseline.model_dump(exclude_none=True) == {
        "folds": 10,
        "loss": "mse",
        "rule": "min",
        "cv": "exact",
        "p_enter": 0.05,
        "resamples": 1000,
        "folds_by": "patients",
    }
    assert parse_study(study_text(BINARY)).predictors[0].levels == (0, 1)


levels = st.lists(
    st.one_of(
        st.integers(-(10**9), 10**9),
        st.floats(-1e9, 1e9),
        st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1),
    ),
    min_size=2,
    max_size=6,
    unique_by=lambda level: level if isinstance(level, str) else float(level),
)


@given(levels)
def test_levels_survive_a_round_trip_unless_they_look_alike(found):
    import tomli_w

    table = {"name": "c", "kind": "categorical", "levels": found}
    text = HEADING + OUTCOME + tomli_w.dumps({"predictors": [table]})
    if len({level_key(level) for level in found}) < len(found):
        with pytest.raises(StudyError, match="stands twice"):
            parse_study(text)
        return
    one = parse_study(text)
    assert again(one) == one
    assert len(set(one.terms)) == len(found) - 1
    assert [level_text(level) for level in again(one).predictors[0].levels] == [
        level_text(level) for level in found
    ]


# All problems at once -----------------------------------------------------------------------------


def test_a_dozen_faults_are_all_listed():
    text = """
schema = 1
name = "Not A Name"
title = 7
langauge = "en"
data = "../cohort.csv"
[outcome]
colum = "y"
event = true
[[predictors]]
name = "a"
kind = "contnuous"
cost = -1
[[predictors]]
name = "b"
kind = "binary"
levels = ["x", "x"]
[[predictors]]
name = "e"
kind = "continuous"
transform = "Log"
range = [2, 1]
[split]
column = "s"
development = 1
validation = "1"
[prior]
family = "normal"
slab_df = 4
[baseline]
folds = 1
elimination = "aic"
loss = "MSE"
[decision]
thresholds = [0.5]
[published]
n = 319
[[published.coefficients]]
term = "a"
odds_ratio = 2.6
"""
    expected = [
        "key \"name\": found 'Not A Name'",
        'key "title": found 7; write it as text, in quotes',
        'unknown key "langauge"; allowed: "schema"',
        '[outcome], key "column" is missing',
        '[outcome], unknown key "colum"',
        '[outcome], key "event": found True; must be a number or a text in quotes',
        '[predictors, no. 1 "a"], key "kind": found \'contnuous\'; allowed: "continuous"',
        '[predictors, no. 1 "a"], key "cost": found -1',
        '[predictors, no. 2 "b"], key "levels"',
        '[predictors, no. 3 "e"], key "transform": found \'Log\'',
        '[predictors, no. 3 "e"], key "range": found [2, 1]; the first limit must be smaller',
        "[split]: development and validation are both 1",
        '[prior], key "slab_df": has no meaning for family "normal", which takes "scale"',
        '[baseline], key "folds": found 1',
        "[baseline], key \"loss\": found 'MSE'",
        '[decision], key "thresholds"',
        '[published], key "n": found 319; write it as text, in quotes',
        '[published.coefficients, no. 1], key "odds_ratio": found 2.6; write it as text',
    ]
    found = problems(text)
    for start in expected:
        assert sum(one.startswith(start) for one in found) == 1, (start, found)
    assert len(found) == len(expected)


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        (study_text(heading=HEADING + 'langage = "en"\n'), "language"),
        (study_text(predictor("x", "Binary")), "binary"),
        (study_text(predictor("x", transform='"log1"')), "log1p"),
        (study_text(predictor("x", shrnk="true")), "shrink"),
        (study_text(rest='[prior]\nfamily = "regularised-horseshoe"\n'), "regularized-horseshoe"),
        (study_text(rest='[data]\nmissing = "Drop"\n'), "drop"),
        (study_text(rest='[published]\n[[published.coefficients]]\nterm="x"\noddsratio="1"\n'),
         "odds_ratio"),
    ],
)  # fmt: skip
def test_the_nearest_spelling_is_offered(text, nearest):
    assert any(f'; did you mean "{nearest}"?' in one for one in problems(text))


def test_a_kind_that_is_missing_or_no_text_is_named():
    table = '[[predictors]]\nname = "x"\n'
    allowed = 'allowed: "continuous", "binary", "categorical", "ordinal"'
    where = '[predictors, no. 1 "x"], key "kind": '
    assert problem(study_text(table)) == f"{where}is missing; {allowed}"
    assert problem(study_text(table + "kind = 3\n")) == f"{where}found 3; {allowed}"


# Contradictions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (study_text(predictor("y")),
         '[predictors, no. 1 "y"]: the column is already the outcome; name each column once'),
        (study_text(X + X),
         '[predictors, no. 2 "x"]: the column is already predictor no. 1; name each column once'),
        (study_text(rest='[split]\ncolumn="x"\ndevelopment=0\nvalidation=1\n'),
         '[predictors, no. 1 "x"]: the column is already the column of the split; '
         "name each column once"),
        (study_text(rest='[split]\ncolumn="y"\ndevelopment=0\nvalidation=1\n'),
         '[split], key "column": "y" is the outcome; name another column'),
        (study_text(rest='[split]\ncolumn="s"\ndevelopment="t"\nvalidation="t"\n'),
         "[split]: development and validation are both 't'; they must be two values of the column"),
        (study_text(rest='[split]\ncolumn="s"\ndevelopment=1\nvalidation="1"\n'),
         "[split]: development and validation are both 1; they must be two values of the column"),
        (study_text(predictor("(Intercept)")),
         '[predictors "(Intercept)"]: this name is kept for the intercept; rename the column'),
        (study_text(predictor("x", prior="[0, 1]", shrink="true")),
         '[predictors "x"]: "prior" replaces the shrinkage prior, so "shrink" cannot be true'),
        (study_text(predictor("c", "categorical", levels="[1, 2, 3]", prior="[0, 1]")),
         '[predictors "c"], key "prior": one prior cannot serve 2 levels; '
         "declare each level as a binary predictor"),
        (study_text(predictor("b", "binary", per="2")),
         '[predictors "b"], key "per": only for continuous and ordinal predictors'),
        (study_text(predictor("c", "categorical", levels="[1, 2]", per="2")),
         '[predictors "c"], key "per": only for continuous and ordinal predictors'),
        (study_text(predictor("x", transform='"log"', axis="[0, 8]")),
         '[predictors "x"], key "axis": begins at 0, which transform "log" cannot take; '
         "begin above 0"),
        (study_text(predictor("x", transform='"log1p"', axis="[-1, 8]")),
         '[predictors "x"], key "axis": begins at -1, which transform "log1p" cannot take; '
         "begin above -1"),
        (study_text(predictor("x", transform='"sqrt"', axis="[-0.5, 8]")),
         '[predictors "x"], key "axis": begins at -0.5, which transform "sqrt" cannot take; '
         "begin above 0"),
        (study_text(outcome=OUTCOME + "non_event = []\n"),
         '[outcome], key "non_event": is empty; name the values of patients without the event'),
        (study_text(outcome=OUTCOME + "non_event = [0, 1]\n"),
         '[outcome]: 1 is "event" and stands in "non_event" as well'),
        (study_text(outcome=OUTCOME + 'non_event = ["1"]\n'),
         '[outcome]: 1 is "event" and stands in "non_event" as well'),
        (study_text(rest="[prior]\nglobal_scale = 1\nexpected_nonzero = 0.5\n"),
         '[prior]: "global_scale" and "expected_nonzero" both set the global scale; leave one out'),
        (study_text(rest="[prior]\nexpected_nonzero = 1\n"),
         '[prior], key "expected_nonzero": found 1; allowed: above 0 and below 1, '
         "the number of columns under the shrinkage prior"),
        (study_text(X + predictor("k", shrink="false") + predictor("p", prior="[0, 1]"),
                    "[prior]\nexpected_nonzero = 2\n"),
         '[prior], key "expected_nonzero": found 2; allowed: above 0 and below 1, '
         "the number of columns under the shrinkage prior"),
        (study_text(rest='[baseline]\nelimination = "aic"\np_enter = 0.05\n'),
         '[baseline]: "elimination" replaces the rule P < "p_enter"; leave one of them out'),
        (study_text(rest='[published]\nretained = ["z", "x"]\n'),
         '[published], key "retained": "z" is no predictor'),
        (study_text(predictor("age"), '[published]\nretained = ["aeg"]\n'),
         '[published], key "retained": "aeg" is no predictor; did you mean "age"?'),
        (study_text(rest='[[published.coefficients]]\nterm = "z"\nbeta = "1"\n'),
         '[[published.coefficients]] "z": is no term of this study'),
        (study_text(rest='[[published.coefficients]]\nterm = "x"\nbeta = "1"\nodds_ratio = "1"\n'),
         '[[published.coefficients]] "x": give either "odds_ratio" or "beta"'),
        (study_text(rest='[[published.coefficients]]\nterm = "x"\n'),
         '[[published.coefficients]] "x": give either "odds_ratio" or "beta"'),
        (study_text(rest='[[published.coefficients]]\nterm = "x"\nbeta = "1"\nlow = "1"\n'),
         '[[published.coefficients]] "x": "low" and "high" are the two ends of one interval; '
         "give both"),
        (study_text(predictor("c", "categorical", levels='["p", "q"]') + predictor("c[q]")),
         '[predictors]: two columns would be called "c[q]"; rename a predictor or a level'),
        ('data = " "\n' + study_text(),
         'key "data": is blank; name a file, or leave the key out'),
        (study_text(rest='[data]\nfile = " "\n'),
         '[data], key "file": is blank; name a file, or leave the key out'),
    ],
)  # fmt: skip
def test_contradictions_are_named(text, said):
    assert problem(text) == said


@pytest.mark.parametrize("family", ["regularized-horseshoe", "normal", "student-t"])
@pytest.mark.parametrize("key", sorted(FAMILY_KEYS))
def test_a_key_of_another_prior_family_is_refused(family, key):
    own = {
        "regularized-horseshoe": {"expected_nonzero", "global_scale", "slab_scale", "slab_df"},
        "normal": {"scale"},
        "student-t": {"scale", "df"},
    }
    text = study_text(rest=f'[prior]\nfamily = "{family}"\n{key} = 0.5\n')
    if key in own[family]:
        assert getattr(parse_study(text).prior, key) == 0.5
    else:
        assert problem(text).startswith(
            f'[prior], key "{key}": has no meaning for family "{family}", which takes '
        )


def test_rules_about_readable_tables_speak_although_others_are_broken():
    text = study_text(X + X + predictor("z", "nope"), "[baseline]\nfolds = 0\n")
    assert [one.split(":")[0] for one in problems(text)] == [
        '[baseline], key "folds"',
        '[predictors, no. 3 "z"], key "kind"',
        '[predictors, no. 2 "x"]',
    ]


# Types --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["true", '"7"', "nan", "inf", "-inf", "0", "-1", "[1]"])
@pytest.mark.parametrize("key", ["cost", "per"])
def test_a_positive_number_is_nothing_else(key, value):
    said = problem(study_text(predictor("x", **{key: value})))
    assert said.startswith(f'[predictors, no. 1 "x"], key "{key}": found ')


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("folds", "10.0", "should be a valid integer"),
        ("folds", "true", "should be a valid integer"),
        ("folds", "1001", "should be less than or equal to 1000"),
        ("resamples", "-1", "should be greater than or equal to 0"),
        ("resamples", "1_000_000_001", "should be less than or equal to 1000000000"),
        ("p_enter", "0", "should be greater than 0"),
        ("p_enter", "nan", "should be less than or equal to 1"),
        ("screen_p", "1.1", "should be less than or equal to 1"),
    ],
)
def test_numbers_of_the_baseline_keep_to_their_ranges(key, value, reason):
    said = problem(study_text(rest=f"[baseline]\n{key} = {value}\n"))
    assert said.startswith(f'[baseline], key "{key}": found ')
    assert said.endswith(reason)


def test_whole_numbers_serve_where_a_decimal_number_is_meant():
    one = study(predictor("x", range="[0, 5]", per="10", prior="[0, 1]")).predictors[0]
    assert (one.range, one.per, one.prior) == ((0.0, 5.0), 10.0, (0.0, 1.0))
    assert isinstance(one.range[0], float)


@pytest.mark.parametrize("version", ["true", "1.0", '"1"', "2", "0"])
def test_the_version_of_the_format_is_the_whole_number_1(version):
    said = problem(study_text(heading=HEADING.replace("schema = 1", f"schema = {version}")))
    assert said.startswith('key "schema": found ')


def test_shrink_is_true_or_false_and_not_1():
    said = problem(study_text(predictor("x", shrink="1")))
    assert said == '[predictors, no. 1 "x"], key "shrink": found 1; should be a valid boolean'


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("true", "must be a number or a text in quotes, as it stands in the data"),
        ("[1]", "must be a number or a text in quotes, as it stands in the data"),
        ("2025-01-01", "must be a number or a text in quotes, as it stands in the data"),
        ("nan", "must be a finite number of at most 1000000000"),
        ("inf", "must be a finite number of at most 1000000000"),
        ("1" + "0" * 400, "must be a finite number of at most 1000000000"),
        ("0x" + "f" * 5000, "must be a finite number of at most 1000000000"),
    ],
)
def test_a_level_is_a_number_or_a_text(value, reason):
    in_outcome = study_text(outcome=OUTCOME.replace("event = 1", f"event = {value}"))
    assert problem(in_outcome).endswith(reason)
    in_levels = study_text(predictor("b", "binary", levels=f"[0, {value}]"))
    assert problem(in_levels).endswith(reason)


@pytest.mark.parametrize("digits", ["1" + "0" * 400, "0x" + "f" * 5000])
@pytest.mark.parametrize("key", ["per", "cost", "label", "kind", "transform", "range", "shrink"])
def test_huge_whole_numbers_are_a_problem_and_no_crash(key, digits):
    table = f'[[predictors]]\nname = "x"\n{key} = {digits}\n'
    table += "" if key == "kind" else 'kind = "continuous"\n'
    assert problem(study_text(table)).startswith(f'[predictors, no. 1 "x"], key "{key}": found ')


def test_a_decimal_number_of_too_many_digits_is_no_toml():
    with pytest.raises(StudyError, match="is not readable as TOML"):
        parse_study(study_text(predictor("x", per="1" + "0" * 5000)))


@pytest.mark.parametrize(
    ("levels", "reason"),
    [
        ('["1", 1]', "stands twice"),
        ('["1.0", 1]', "stands twice"),
        ("[1000000, 1000000.0]", "stands twice"),
        ('["a", ""]', "a level is blank; a blank cell is a missing value"),
        ('["a", "  "]', "a level is blank; a blank cell is a missing value"),
    ],
)
def test_levels_that_look_alike_or_blank_are_refused(levels, reason):
    assert reason in problem(study_text(predictor("b", "binary", levels=levels)))


@pytest.mark.parametrize("levels", ["[0.1234567, 0.12345678]", '["01", "1"]', '["GA", "ga"]'])
def test_levels_that_differ_are_kept_apart(levels):
    assert len(study(predictor("b", "binary", levels=levels)).predictors[0].levels) == 2


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (study_text(heading=HEADING.replace('"S"', '"a\\u001b[31m"')), 'key "title": found '),
        (study_text(heading=HEADING + 'description = "a\\u0000"\n'), 'key "description": found '),
        (study_text(heading=HEADING.replace('"S"', '"a\\nb"')), 'key "title": found '),
        (study_text(predictor("x", label='"a\\u202eb"')), '"x"], key "label": found '),
        (study_text(predictor("a\\u001b[2Jb")), '], key "name": found '),
        (study_text(predictor("b", "binary", levels='["a\\u001b", "c"]')), 'key "levels": found '),
        (study_text(outcome=OUTCOME.replace('"y"', '"y\\u200b"')), 'key "column": found '),
        (study_text(outcome=OUTCOME.replace("1", '"\\u009b1m"')), 'key "event": found '),
        ('"a\\u001b[31m" = 1\n' + study_text(), 'unknown key "a\\x1b[31m"'),
        (study_text(predictor("x", **{'"\\u001b]0;"': "1"})), 'unknown key "\\x1b]0;"'),
    ],
)  # fmt: skip
def test_control_characters_are_refused_and_never_printed(text, where):
    said = problem(text)
    assert where in said
    assert all(one.isprintable() for one in said)
    assert "remove it" in said or "unknown key" in said


def test_a_key_that_is_a_number_is_an_unknown_key():
    assert '[outcome], unknown key "123"' in problem(study_text(outcome=OUTCOME + "123 = 4\n"))


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/b", "A", "", "a.toml", "s\\n", "x" * 65]
)
def test_a_name_is_no_path(name):
    said = problem(study_text(heading=HEADING.replace('"s"', f'"{name}"')))
    assert said.startswith('key "name": found ')
    assert said.endswith(
        'allowed are lower-case letters, digits, "_" and "-", at most 64 characters'
    )


@pytest.mark.parametrize("printed", ["2.602 ", "about 1", "1e-5", "0,5", "", "1.", "٣"])
def test_printed_numbers_are_written_as_printed(printed):
    said = problem(study_text(rest=f'[published]\nn = "{printed}"\n'))
    assert said.endswith('write the number as it is printed, such as "0.180" or "<0.001"')


@pytest.mark.parametrize("column", ["", "  ", "a ", " a"])
def test_a_column_has_a_name_without_blanks_around(column):
    said = problem(study_text(predictor(column)))
    assert ("is blank; give a name" in said) or ("begins or ends with a blank" in said)


@pytest.mark.parametrize("column", ["blood\u00a0loss", "blood\u3000loss"])
def test_a_column_is_named_as_the_data_name_it(column):
    assert parse_study(study_text(predictor(column))).predictors[0].name == "blood loss"


def test_sections_must_be_tables():
    assert problem("outcome = 5\n" + HEADING + X) == (
        "[outcome]: found 5; write it as a table of keys"
    )
    assert problem("predictors = [5]\n" + HEADING + OUTCOME) == (
        "[[predictors, no. 1]]: found 5; write a table with name, kind and levels"
    )
    assert problem(HEADING + OUTCOME) == (
        "[[predictors]] is missing; give one table for each candidate predictor"
    )
    assert problem(HEADING + X) == "[outcome] is missing; it names the outcome column and its event"


def test_an_empty_document_lists_all_that_a_study_needs():
    assert problems("") == [
        'key "schema" is missing',
        'key "name" is missing',
        'key "title" is missing',
        "[outcome] is missing; it names the outcome column and its event",
        "[[predictors]] is missing; give one table for each candidate predictor",
    ]


# The file -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bracket", ["[", "{a="])
def test_brackets_nested_too_deeply_are_named(bracket):
    with pytest.raises(StudyError, match="brackets nested too deeply"):
        parse_study("a = " + bracket * 100_000)


@pytest.mark.parametrize(
    "text",
    [
        study_text(heading=HEADING.replace('title = "S"', "title" + ".a" * 3000 + " = 1")),
        study_text('[[predictors]]\nname = "x"\nkind' + ".a" * 3000 + " = 1\n"),
        study_text(outcome="[[outcome]]\na" + ".a" * 3000 + " = 1\n"),
    ],
)
def test_tables_nested_too_deeply_are_shown_short(text):
    assert len(problem(text)) < 300


def test_a_study_that_is_no_utf8_names_the_line(tmp_path):
    path = tmp_path / "latin.toml"
    path.write_bytes(b"schema = 1\nname = 'x'\ntitle = 'M\xfcnchen'\n")
    assert message(path) == "latin.toml is not UTF-8 text (line 3); save it as UTF-8"


def test_utf16_is_refused(tmp_path):
    path = tmp_path / "wide.toml"
    path.write_bytes(study_text().encode("utf-16"))
    assert message(path) == "wide.toml is not UTF-8 text (line 1); save it as UTF-8"


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path):
    plain, marked = tmp_path / "plain.toml", tmp_path / "marked.toml"
    text = study_text(heading=HEADING + 'description = """a\nb"""\n')
    plain.write_bytes(text.encode())
    marked.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    expected = replace(load_study(plain), source="marked.toml", sha256=load_study(marked).sha256)
    assert load_study(marked) == expected


def test_a_folder_is_no_study(tmp_path):
    assert message(tmp_path) == (
        f'{tmp_path} is a folder; name a study file (.toml) or one of "cmvt", "ldh", "pep"'
    )


@pytest.mark.parametrize("content", [b"", b" \n\t\n"])
def test_an_empty_file_is_no_study(tmp_path, content):
    path = tmp_path / "s.toml"
    path.write_bytes(content)
    assert message(path) == f"{path} is empty; see `bayes-cmvt init` for a draft"


def test_a_study_of_more_than_a_megabyte_is_refused_and_one_of_it_is_read(tmp_path):
    path = tmp_path / "s.toml"
    text = study_text()
    path.write_text(text + "#" * (1_000_000 - len(text)))
    assert load_study(path).name == "s"
    path.write_text(text + "#" * (1_000_001 - len(text)))
    assert message(path) == f"{path} is larger than 1 MB; a study file is a short text"


def test_an_unknown_study_is_named_with_its_neighbour(tmp_path):
    assert message("cmtv") == (
        "no study cmtv: it is neither a file nor a shipped study "
        '("cmvt", "ldh", "pep"); did you mean "cmvt"?'
    )
    with pytest.raises(StudyError, match="cannot be read"):
        load_study("a\0b")


def test_broken_toml_names_the_place():
    with pytest.raises(StudyError, match=r"study\.toml is not readable as TOML: .*at line 2"):
        parse_study("schema = 1\nname = s\n")


# The data file ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    ["../x", "a/../../x", "/etc/passwd", "C:\\\\x", "C:x", "\\\\\\\\host\\\\x", "\\\\x", "~/x",
     "~root", "a\\\\..\\\\x", "//host/x"],
)  # fmt: skip
@pytest.mark.parametrize("form", ["above", "under"])
def test_a_study_may_only_name_data_in_its_own_folder(data, form):
    text = (
        f'data = "{data}"\n' + study_text()
        if form == "above"
        else study_text(rest=f'[data]\nfile = "{data}"\n')
    )
    said = problem(text)
    assert said.startswith(
        'key "data": found ' if form == "above" else '[data], key "file": found '
    )
    assert said.endswith(
        "a study file may only name data in its own folder; give any other file yourself "
        "with --data"
    )


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path):
    inside = tmp_path / "study"
    inside.mkdir()
    (tmp_path / "secret.csv").write_text("y,x\n1,2\n")
    (inside / "cohort.csv").symlink_to(tmp_path / "secret.csv")
    (inside / "real.csv").write_text("y,x\n1,2\n")
    (inside / "near.csv").symlink_to(inside / "real.csv")
    path = inside / "s.toml"
    path.write_text('data = "cohort.csv"\n' + study_text())
    with pytest.raises(StudyError, match=r'data "cohort\.csv" leads out of the study\'s folder'):
        data_path(load_study(path))
    path.write_text('data = "near.csv"\n' + study_text())
    assert data_path(load_study(path)) == inside / "near.csv"


def test_a_linked_folder_cannot_lead_out_either(tmp_path):
    inside = tmp_path / "study"
    inside.mkdir()
    (inside / "up").symlink_to(tmp_path)
    path = inside / "s.toml"
    path.write_text('data = "up/cohort.csv"\n' + study_text())
    with pytest.raises(StudyError, match="leads out of the study's folder"):
        data_path(load_study(path))


def test_data_above_the_tables_and_file_under_data_mean_the_same():
    above = parse_study('data = "a.csv"\n' + study_text())
    under = parse_study(study_text(rest='[data]\nfile = "a.csv"\n'))
    assert above.heading == under.heading
    assert data_path(above) is None  # parsed from text: no folder to start from


def test_both_forms_of_data_at_once_are_explained():
    text = 'data = "a.csv"\n' + study_text(rest='[data]\nmissing = "drop"\n')
    with pytest.raises(StudyError, match=r'inside it as file = "cohort.csv"') as caught:
        parse_study(text)
    assert 'TOML allows the name "data" once' in str(caught.value)


@pytest.mark.parametrize("value", ["5", "true", "[1]"])
def test_the_data_file_is_a_text(value):
    assert problem(f"data = {value}\n" + study_text()).endswith("write it as text, in quotes")
    said = problem(study_text(rest=f"[data]\nfile = {value}\n"))
    assert said.startswith('[data], key "file": found ')
    assert said.endswith("write it as text, in quotes")


def test_a_file_under_data_is_reported_there():
    assert problem(study_text(rest='[data]\nfile = "a\\u001b"\n')).startswith(
        '[data], key "file": found '
    )
    assert problem(study_text(rest='[data]\nflie = "a.csv"\n')).endswith(
        'unknown key "flie"; allowed: "missing", "decimal", "file"; did you mean "file"?'
    )


def test_level_text_drops_the_point_of_whole_numbers_alone():
    assert [level_text(one) for one in (1, 1.0, -2.0, 0.5, "1.0", 1e6)] == [
        "1", "1", "-2", "0.5", "1.0", "1000000",
    ]  # fmt: skip
    assert math.isclose(float(level_text(1e-7)), 1e-7)
