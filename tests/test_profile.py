"""Patients by row or by values: what is read, what is assumed, what is refused."""

from __future__ import annotations

import pytest

from bayes_cmvt.cohort import load_cohort
from bayes_cmvt.errors import OptionError
from bayes_cmvt.profile import patient_profile
from bayes_cmvt.study import parse_study
from tests.baseline_study import STUDY, patients, small_cohort

RANGED = STUDY.replace("per = 10", 'per = 10\nrange = [18, 110]\nunit = "years"')


def ranged():
    return load_cohort(parse_study(RANGED), patients())


@pytest.mark.parametrize("given", [17, "row=17", {"row": 17}, {"row": "17"}])
def test_a_row_of_the_file_is_that_patient(given):
    cohort = small_cohort()
    profile = patient_profile(cohort, given)
    assert (profile.name, profile.row, profile.assumed) == ("row 17", 17, frozenset())
    assert profile.predictors.equals(cohort.predictors.loc[[17]])


def test_values_are_read_by_their_kind_and_the_rest_is_assumed():
    profile = patient_profile(small_cohort(), "age=71.5, site=south,grade=mid, sex=1")
    row = profile.predictors.iloc[0]
    assert row[["age", "site", "grade", "sex"]].tolist() == [71.5, "south", "mid", "1"]
    assert profile.assumed == {"marker", "noise"}
    assert (profile.name, profile.row) == ("profile", None)
    assert profile.predictors.dtypes.equals(small_cohort().predictors.dtypes)


def test_what_a_model_does_not_use_is_not_called_assumed():
    profile = patient_profile(small_cohort(), {"age": 60}, needed=("age", "sex"))
    assert profile.assumed == {"sex"}


def test_commas_and_blanks_belong_to_a_level_unless_a_key_follows():
    text = STUDY.replace('"south"', '"south, coast"')
    frame = patients()
    frame["site"] = frame["site"].replace("south", "south, coast")
    cohort = load_cohort(parse_study(text), frame)
    profile = patient_profile(cohort, "site=south, coast,age=60")
    assert profile.predictors["site"].tolist() == ["south, coast"]


def test_names_may_hold_commas_and_signs_of_equality():
    text = STUDY.replace('name = "age"', 'name = "D-dimer, pre"').replace("noise", "a=b")
    frame = patients().rename(columns={"age": "D-dimer, pre", "noise": "a=b"})
    profile = patient_profile(load_cohort(parse_study(text), frame), "D-dimer, pre=44,a=b=1")
    assert profile.predictors[["D-dimer, pre", "a=b"]].iloc[0].tolist() == [44, 1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("agee=60", r'agee: no predictor of study small has this name; did you mean "age"\?'),
        ("site=sout", r'site: found \'sout\'; did you mean "south"\?; allowed: "north", "east"'),
        ("age=old", r"age: found 'old'; a number is needed"),
        ("age=nan", r"age: found 'nan'; a number is needed"),
        ("age=1e400", r"age: found '1e400'; a number is needed"),
        ("age=884", r"age: found 884 years; allowed: 18 to 110 years \(declared in study.toml\)"),
        ("marker=0", r"marker: found 0; allowed: above 0, or it has no log"),
        ("age=60,age=61", "age: named twice"),
        ("age", r"'age': expected KEY=VALUE, such as age=70, or row=17"),
        ("noise=1e300", r"noise: found 1e\+300; allowed: about what its axis shows, -"),
        ("row=17,age=60", "row names a whole patient"),
        ("row=seventeen", r"row: found 'seventeen'; allowed: the number of a row"),
        ("row=9999", r"row: found 9999; it is not among the 200 rows analysed"),
    ],
)
def test_what_is_no_patient_is_refused_in_words(given, message):
    with pytest.raises(OptionError, match=message):
        patient_profile(ranged(), given)


def test_everything_wrong_is_said_at_once():
    with pytest.raises(OptionError) as refused:
        patient_profile(ranged(), "agee=60,site=west,marker=-1")
    assert len(refused.value.problems) == 3
