"""The deployed model: its scripts compute what `predict` does; it holds nothing of a patient."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_cmvt as bc
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.published.printed_fit import printed_fit
from bayes_cmvt.report import model_file
from bayes_cmvt.report.calculator import calculator_page
from bayes_cmvt.report.model_file import (
    DeployedModel,
    companion_files,
    deployed_model,
    model_json,
    threshold_step,
)
from bayes_cmvt.study import parse_study
from bayes_cmvt.synthetic import NOTICE
from tests.baseline_study import STUDY, TERMS, cohort_of, patients, small_baseline, small_cohort
from tests.estimate_fit import drawn_posterior, fit_of

SCRIPTS = Path(model_file.__file__).parent / "templates"
ROUNDING = 1e-6  # draws are written with 7 digits; a risk moves by a quarter of its log-odds
PLANTED = {"age": 71.2345, "marker": 9.87654, "noise": -4.56789}


@cache
def small_posterior() -> xr.DataTree:
    """400 draws around effects of all sizes."""
    return drawn_posterior(small_cohort())


@cache
def small_projection() -> xr.DataTree:
    """The same of a submodel with a measurement and a category."""
    fit = small_posterior()
    kept = [term in {"marker", "site[east]", "site[south]"} for term in TERMS]
    beta = fit["posterior"]["beta"].to_numpy()[0] * kept
    projected = fit_of(
        small_cohort(), posterior=(fit["posterior"]["intercept"].to_numpy()[0], beta)
    )
    settings = {"engine": "projection", "predictors": ["marker", "site"]}
    projected.attrs["settings"] = json.dumps(settings)
    return projected


@cache
def small_estimate() -> xr.DataTree:
    """A frequentist fit that was not resampled."""
    tree = small_baseline()
    once = xr.DataTree.from_dict({f"/{name}": tree[name].dataset for name in tree.children})
    once.attrs.update(tree.attrs)
    del once["bootstrap"]
    return once


FITS = {
    "horseshoe": small_posterior,
    "projection": small_projection,
    "baseline": small_baseline,
    "estimate": small_estimate,
}


def small_model(name: str, **options: Any) -> DeployedModel:
    model = "baseline" if name == "estimate" else name
    return deployed_model(FITS[name](), small_cohort(), model=model, **options)


def small_rows(count: int) -> pd.DataFrame:
    """New patients of the small study, some of them far from all that were studied."""
    rows = patients(count, seed=11).drop(columns=["y", "set"])
    rows.loc[0, ["age", "marker"]] = [110.0, 200.0]
    return rows


def profiles(model: DeployedModel, rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    names = [one.name for one in model.predictors]
    for _, row in rows[names].iterrows():
        yield {
            name: row[name] if isinstance(row[name], str) else float(row[name]) for name in names
        }


def as_written(profile: dict[str, Any]) -> dict[str, Any]:
    """Codes as the levels are written: 1, not 1.0."""
    return {name: int(value) if name == "sex" else value for name, value in profile.items()}


def python_risk(document: dict[str, Any], profile: dict[str, Any]) -> dict[str, Any]:
    """What risk.py prints of a profile, run in this process."""
    printed = io.StringIO()
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "model.json"
        file.write_text(json.dumps(document), encoding="utf-8")
        called = ["risk.py", str(file), json.dumps(profile)]
        with mock.patch.object(sys, "argv", called), contextlib.redirect_stdout(printed):
            runpy.run_path(str(SCRIPTS / "risk.py"))
    answer: dict[str, Any] = json.loads(printed.getvalue())
    return answer


# --- What computes a risk ------------------------------------------------------------------------


@pytest.mark.parametrize("name", FITS)
def test_python_script_gives_the_risks_of_predict(name: str) -> None:
    model, rows = small_model(name, ci_prob=0.9), small_rows(20)
    document = json.loads(model_json(model))
    found = [python_risk(document, as_written(profile)) for profile in profiles(model, rows)]
    table = pd.DataFrame(found).astype({"lower": float, "upper": float})
    expected = bc.predict(FITS[name](), rows, ci_prob=0.9)
    for column in ("risk", "lower", "upper"):
        np.testing.assert_allclose(table[column], expected[column], atol=ROUNDING)
    assert not any(table["assumed"])


@pytest.mark.reference
@pytest.mark.parametrize("name", FITS)
def test_r_script_gives_the_risks_of_predict(name: str, tmp_path: Path) -> None:
    program = shutil.which("Rscript")
    if program is None:
        pytest.skip("Rscript is not installed: risk.R is NOT tested")
    model, rows = small_model(name), small_rows(1)
    file = tmp_path / "model.json"
    file.write_text(model_json(model), encoding="utf-8")
    (profile,) = profiles(model, rows)
    arguments = [program, SCRIPTS / "risk.R", file, json.dumps(as_written(profile))]
    answer = subprocess.run(arguments, capture_output=True, check=True, timeout=60).stdout
    found, expected = json.loads(answer), bc.predict(FITS[name](), rows).iloc[0]
    assert found["assumed"] == []
    for column in ("risk", "lower", "upper"):
        limit = np.nan if found[column] is None else found[column]
        assert limit == pytest.approx(expected[column], abs=ROUNDING, nan_ok=True)


def test_scripts_assume_the_default_and_say_so_and_refuse_what_they_do_not_know(
    pep_fit: xr.DataTree, pep_cohort: Cohort, tmp_path: Path
) -> None:
    model = deployed_model(pep_fit, pep_cohort)
    defaults = {
        one.name: one.levels[int(one.default)] if one.levels else one.default
        for one in model.predictors
    }
    file = tmp_path / "model.json"
    file.write_text(model_json(model), encoding="utf-8")
    called = [str(SCRIPTS / "risk.py"), str(file)]

    def script(profile: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        import sys

        arguments = [sys.executable, *called, json.dumps(profile)]
        return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)

    found = json.loads(script({"age": 70, "rx": 1}).stdout)
    expected = bc.predict(pep_fit, pd.DataFrame([defaults | {"age": 70, "rx": 1}])).iloc[0]
    assert found["risk"] == pytest.approx(expected["risk"], abs=ROUNDING)
    assert found["assumed"] == [name for name in defaults if name not in {"age", "rx"}]
    refused = script({"agee": 70})
    assert refused.returncode == 1
    assert refused.stderr.startswith("not in the model: agee; allowed: age, gender, sod")


# --- What is in it -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FITS)
def test_model_json_is_as_its_schema_says(name: str) -> None:
    schema = json.loads(companion_files()["model.schema.json"])
    document = json.loads(model_json(small_model(name)))
    assert sorted(document) == sorted(schema["required"]) == sorted(schema["properties"])
    described = schema["$defs"]["predictor"]["properties"]
    assert all(sorted(one) == sorted(described) for one in document["predictors"])
    if find_spec("jsonschema") is None:  # comes with notebooks, not with the package
        return
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert [*validator.iter_errors(document)] == []
    (problem,) = validator.iter_errors(document | {"patients": []})
    assert "'patients' was unexpected" in problem.message


def test_a_submodel_asks_for_its_own_predictors_alone() -> None:
    model = small_model("projection")
    assert [one.name for one in model.predictors] == ["marker", "site"]
    assert model.terms == ("marker", "site[east]", "site[south]")
    assert model.beta.shape == (400, 3)


def test_a_baseline_asks_for_what_the_final_model_or_a_resample_uses() -> None:
    tree = small_baseline()
    chosen = tree["estimate"]["beta"].to_numpy().reshape(1, -1) != 0
    resampled = np.nan_to_num(tree["bootstrap"]["beta"].to_numpy()[0]) != 0
    final = {TERMS[j].split("[")[0] for j in np.flatnonzero(chosen.any(axis=0))}
    ever = final | {TERMS[j].split("[")[0] for j in np.flatnonzero(resampled.any(axis=0))}
    assert {one.name for one in small_model("baseline").predictors} == ever
    assert {one.name for one in small_model("estimate").predictors} == final
    assert final < ever


def test_a_final_model_without_predictors_has_one_risk_and_asks_for_nothing() -> None:
    cohort = small_cohort()
    fit = fit_of(cohort, estimate=(-1.0, np.zeros(len(TERMS))))
    model = deployed_model(fit, cohort, model="baseline")
    assert (model.predictors, model.terms) == ((), ())
    risk = python_risk(json.loads(model_json(model)), {})
    assert risk["risk"] == pytest.approx(1 / (1 + np.e), abs=1e-12)


def test_kinds_of_interval() -> None:
    kinds = {name: small_model(name).interval_kind for name in FITS}
    assert kinds == {
        "horseshoe": "credible",
        "projection": "credible",
        "baseline": "bootstrap",
        "estimate": "none",
    }
    assert small_model("horseshoe").central is None
    assert not len(small_model("estimate").intercept)


def test_a_printed_model_is_anchored_at_a_share_that_the_file_names() -> None:
    """The risks are those of `predict`, and their mean over the cohort is the share."""
    cohort = bc.load_cohort(bc.load_study("cmvt"))
    fit = printed_fit(cohort, event_share=0.2, draws=50)
    document = json.loads(model_json(deployed_model(fit, cohort, model="published")))
    assert document["event_share"] == {"share": 0.2, "source": "declared"}
    assert document["interval_kind"] == "printed"
    assert len(document["predictors"]) == len(cohort.study.published.coefficients)
    names = [one["name"] for one in document["predictors"]]
    rows = cohort.predictors.loc[cohort.development, names].astype(object)
    found = [python_risk(document, row)["risk"] for row in rows.to_dict("records")]
    assert np.mean(found) == pytest.approx(0.2, abs=ROUNDING)
    expected = bc.predict(fit, cohort)["risk"][cohort.development]
    np.testing.assert_allclose(found, expected, atol=ROUNDING)


def test_inputs_come_from_the_study_and_from_rounded_values_of_the_development_rows() -> None:
    model = small_model("horseshoe")
    age, marker, sex, site, grade, _ = model.predictors
    development = small_cohort().predictors[small_cohort().development]
    assert (age.transform, marker.transform, sex.levels) == ("identity", "log", ("0", "1"))
    assert abs(age.default - development["age"].median()) <= 0.5  # a hundredth of 50 to 60 years
    assert age.default == round(age.default, 1)
    assert site.levels[int(site.default)] == development["site"].value_counts().idxmax()
    assert grade.levels == ("low", "mid", "high")
    assert (model.thresholds, model.threshold) == ((0.1, 0.6), 0.3)


@pytest.mark.parametrize(
    ("limits", "first", "step"), [((0.05, 0.6), 0.32, 0.01), ((0.001, 0.004), 0.0025, 0.0001)]
)
def test_without_a_threshold_in_use_the_middle_is_rounded(
    limits: tuple[float, float], first: float, step: float
) -> None:
    text = STUDY.replace("thresholds = [0.1, 0.6]\nuse = 0.3", f"thresholds = {list(limits)}")
    cohort = bc.load_cohort(bc.study.parse_study(text), patients())
    assert deployed_model(drawn_posterior(cohort), cohort).threshold == first
    assert threshold_step(limits) == pytest.approx(step, rel=1e-12)


def test_a_model_of_synthetic_patients_and_failed_diagnostics_say_so() -> None:
    cohort = dataclasses.replace(small_cohort(), source="small_SYNTHETIC.csv")
    fit = drawn_posterior(cohort)
    document = json.loads(model_json(deployed_model(fit, cohort, problems=["R-hat 1.4"])))
    assert document["notice"] == NOTICE
    assert document["study"]["title"] == "SYNTHETIC: Small"
    assert document["problems"] == ["R-hat 1.4"]


# --- What is not in it ---------------------------------------------------------------------------


def numbers_in(content: Any) -> Iterator[float]:
    """Every number of a JSON document."""
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        for part in content:
            yield from numbers_in(part)
    elif isinstance(content, int | float):
        yield float(content)


def lengths_in(content: Any) -> Iterator[int]:
    """How long every list of a JSON document is."""
    if isinstance(content, dict):
        content = list(content.values())
    elif isinstance(content, list):
        yield len(content)
    if isinstance(content, list):
        for part in content:
            yield from lengths_in(part)


def test_no_patient_is_in_the_file_or_the_page() -> None:
    """No row that would be recognised, no extreme of a column, no list of as many patients."""
    frame = patients(203)
    frame.loc[0, list(PLANTED)] = list(PLANTED.values())
    cohort = cohort_of(frame)
    model = deployed_model(drawn_posterior(cohort), cohort)
    html = calculator_page(model).html
    embedded = re.search(r'<script type="application/json" id="model">(.*?)</script>', html)
    assert embedded is not None
    content = json.loads(embedded[1])
    codes = content.pop("codes")
    columns = np.column_stack([model.intercept, model.beta])
    extremes = frame[list(PLANTED)].agg(["min", "max"]).to_numpy().ravel()
    for document, text in ((json.loads(model_json(model)), model_json(model)), (content, html)):
        found = np.array([*numbers_in(document)])
        for value in (*PLANTED.values(), *extremes):
            assert not np.isclose(found, value, rtol=1e-7, atol=0).any(), value
        for value in PLANTED.values():
            assert str(abs(value)) not in text
            assert not np.isclose(columns, value, rtol=1e-7, atol=0).any()
        counts = {len(frame), cohort.n_development, len(frame) - cohort.n_development}
        assert not counts & {*lengths_in(document)}
    # the draws and nothing else, four letters for three bytes
    assert len(codes) == 4 * -(-2 * columns.size // 3)


# --- What is refused -----------------------------------------------------------------------------


def test_a_cohort_of_another_study_is_refused(pep_cohort: Cohort) -> None:
    with pytest.raises(bc.OptionError, match='belongs to study "pep" and has other predictors'):
        deployed_model(small_posterior(), pep_cohort)


def test_an_impossible_interval_and_a_tree_that_is_no_fit_are_refused() -> None:
    with pytest.raises(bc.OptionError, match=r"interval: found 95; it must lie between 0 and 1"):
        deployed_model(small_posterior(), small_cohort(), ci_prob=95)
    with pytest.raises(bc.RunError, match="this DataTree is no fit"):
        deployed_model(xr.DataTree(), small_cohort())


def test_no_value_of_a_patient_who_alone_differs_can_be_worked_out() -> None:
    """Of a column that is 0 but for one patient, n = (sd / mean)^2 and value = n * mean."""
    frame = patients()
    frame["noise"] = 0.0
    frame.loc[41, "noise"] = 41.237
    cohort = cohort_of(frame)
    fit = drawn_posterior(cohort)
    model = deployed_model(fit, cohort)
    mean, sd = (values[model.terms.index("noise")] for values in (model.mean, model.sd))
    found = np.inf if mean == 0 else (sd / mean) ** 2 * mean
    assert abs(found / 41.237 - 1) > 0.02
    document = json.loads(model_json(model))
    profile = {"age": 66.0, "marker": 1.5, "sex": 1, "site": "south", "grade": "mid", "noise": 3.0}
    expected = bc.predict(fit, pd.DataFrame([profile])).iloc[0]
    answer = python_risk(document, profile)
    for name in ("risk", "lower", "upper"):
        assert answer[name] == pytest.approx(expected[name], abs=ROUNDING)


def test_scripts_refuse_what_the_study_does_not_allow() -> None:
    text = STUDY.replace("per = 10", "per = 10\nrange = [18, 110]")
    cohort = bc.load_cohort(parse_study(text), patients())
    document = json.loads(model_json(deployed_model(drawn_posterior(cohort), cohort)))
    for profile, told in (
        ({"age": 450}, "age: found 450; allowed: 18"),
        ({"site": "west"}, "site: found west; allowed: north, east, south"),
        ({"marker": 0}, "no risk can be computed"),
    ):
        with pytest.raises(SystemExit, match=told), np.errstate(divide="ignore"):
            python_risk(document, profile)
