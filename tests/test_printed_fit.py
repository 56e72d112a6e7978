"""A printed model as a fit: its odds ratios come back, its mean risk is the share it is told."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import bayes_cmvt as bc
from bayes_cmvt.cohort import Cohort, load_cohort
from bayes_cmvt.errors import OptionError, StudyError
from bayes_cmvt.points_scale import scale_of
from bayes_cmvt.published.printed_fit import printed_fit
from bayes_cmvt.published.printed_table import read_published
from bayes_cmvt.study import load_study, parse_study
from tests.baseline_study import small_cohort

SHARE = 82 / 224


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return bc.load_cohort(bc.load_study("cmvt"))


@pytest.fixture(scope="module")
def fit(cohort):
    return printed_fit(cohort)


def test_points_are_the_printed_log_odds_ratios(cohort, fit):
    """Points of one unit over points of another are the ratio of printed log odds ratios."""
    scale = scale_of(fit, cohort)
    printed = {one.term: one.log_odds.value for one in read_published(cohort.study).effects}
    assert len(printed) == 6
    for axis, own, length in zip(scale.axes, scale.columns, scale.length, strict=True):
        expected = printed.get(axis.predictor.name, 0.0)
        assert scale.beta[own][0] == pytest.approx(expected, abs=1e-12)
        span = axis.high - axis.low
        assert length == pytest.approx(abs(expected) * span, abs=1e-9)


def test_the_risk_axis_is_anchored_at_the_event_share(cohort, fit):
    found = bc.nomogram_points(fit, cohort)
    assert found.quantity("event_share") == pytest.approx(SHARE, abs=1e-12)
    assert (found.model, found.interval_kind) == ("published", "printed")
    central = scale_of(fit, cohort)
    risk = 1 / (1 + np.exp(-central.log_odds(cohort.predictors[cohort.development])))
    assert risk.mean() == pytest.approx(SHARE, abs=1e-9)


def test_every_draw_has_the_share_and_the_printed_errors(cohort, fit):
    matrix = _matrix(cohort)
    intercept, beta = (fit["printed"][name].to_numpy()[0] for name in ("intercept", "beta"))
    risk = 1 / (1 + np.exp(-(intercept[:50, np.newaxis] + beta[:50] @ matrix.T)))
    np.testing.assert_allclose(risk.mean(axis=1), SHARE, atol=1e-9)
    terms = cohort.study.terms
    for one in read_published(cohort.study).effects:
        drawn = (
            beta[:, terms.index(one.term)]
            / fit["constant_data"]["sd"].to_numpy()[terms.index(one.term)]
        )
        # 4 standard errors of a mean and of a standard deviation of 4,000 normal draws
        assert abs(drawn.mean() - one.log_odds.value) < 4 * one.se.value / np.sqrt(4000)
        assert drawn.std() == pytest.approx(one.se.value, rel=4 / np.sqrt(8000))


def _matrix(cohort: Cohort) -> np.ndarray:
    from bayes_cmvt.design import design_matrix, learn_design

    return design_matrix(learn_design(cohort), cohort.predictors[cohort.development])


def test_the_share_comes_from_the_most_explicit_source(cohort):
    declared = json.loads(printed_fit(cohort, event_share=0.2, draws=2).attrs["settings"])
    assert (declared["event_share"], declared["event_share_source"]) == (0.2, "declared")
    study = cohort.study.to_toml().replace("events_development = 82\n", "")
    study = study.replace("events_validation = 34\n", "")
    likeliest = load_cohort(parse_study(study), _frame())
    told = json.loads(printed_fit(likeliest, draws=2).attrs["settings"])
    assert told["event_share_source"] == "82 events of 224 patients, assumed, as the print allows"
    printed = study.replace('auc = "0.866"', 'auc = "0.866"\nevents = "60"')
    told = json.loads(
        printed_fit(load_cohort(parse_study(printed), _frame()), draws=2).attrs["settings"]
    )
    assert told["event_share_source"] == "60 events of 224 patients, printed"


def _frame():
    import pandas as pd

    from bayes_cmvt.study import data_path

    path = data_path(load_study("cmvt"))
    assert path is not None
    return pd.read_csv(path)


def test_what_is_no_printed_model_is_refused(cohort):
    with pytest.raises(OptionError, match=r"event share: found 1\.2; allowed: between 0 and 1"):
        printed_fit(cohort, event_share=1.2)
    with pytest.raises(StudyError, match=r"has no \[published\] table"):
        printed_fit(small_cohort())
    with pytest.raises(OptionError, match="draws: found 0; allowed: a whole number, 1 or more"):
        printed_fit(cohort, draws=0)


def test_an_effect_without_a_printed_error_is_said_to_look_too_certain(cohort):
    """Its band has no width, which nobody may take for knowledge."""
    text = cohort.study.to_toml()
    told = 'odds_ratio = "2.602", per = 1.0, p = "0.036"'
    assert told in text
    text = text.replace(told, 'odds_ratio = "2.602", per = 1.0')
    silent = load_cohort(parse_study(text), _frame())
    fit = printed_fit(silent, draws=50)
    found = bc.nomogram_points(fit, silent)
    assert "No error is printed of age" in found.notice
    age = found.axes[found.axes["axis"] == "age"]
    np.testing.assert_allclose(age["points_lower"], age["points_upper"], atol=1e-9)
    assert "No error is printed of age" in bc.model_json(
        bc.deployed_model(fit, silent, model="published")
    )


def test_a_print_without_numbers_of_patients_can_still_be_drawn(cohort):
    """Points need none; the share is then declared, or that of the cohort."""
    nothing = {"n": None, "n_development": None, "n_validation": None, "performance": ()}
    published = cohort.study.published.model_copy(update=nothing)
    study = replace(cohort.study, published=published, reconstruction=None)
    silent = replace(cohort, study=study)
    for share, source in ((0.2, "declared"), (None, "82 events of 224 patients, of the cohort")):
        settings = json.loads(printed_fit(silent, event_share=share, draws=2).attrs["settings"])
        assert settings["event_share_source"] == source
