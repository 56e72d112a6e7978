from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import bayes_cmvt as bc
from bayes_cmvt import posterior, runs, workflow
from bayes_cmvt.cli import app
from bayes_cmvt.cohort import Cohort, NewPatients, load_new_patients
from bayes_cmvt.design import design_matrix, learn_design
from bayes_cmvt.posterior import design_of
from bayes_cmvt.workflow import predict_patients


def test_risk_is_the_posterior_mean_with_equal_tailed_limits(
    pep_fit: xr.DataTree, pep_cohort: Cohort
) -> None:
    matrix = design_matrix(learn_design(pep_cohort), pep_cohort.predictors)
    draws = pep_fit["posterior"]
    predictor = draws["intercept"].to_numpy()[..., None] + draws["beta"].to_numpy() @ matrix.T
    risk = (1 / (1 + np.exp(-predictor))).reshape(-1, 602)
    table = bc.predict(pep_fit, pep_cohort, ci_prob=0.9)
    np.testing.assert_allclose(table["risk"], risk.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(table["median"], np.median(risk, axis=0), atol=1e-12)
    np.testing.assert_allclose(table["lower"], np.quantile(risk, 0.05, axis=0), atol=1e-12)
    np.testing.assert_allclose(table["upper"], np.quantile(risk, 0.95, axis=0), atol=1e-12)
    assert table["row"].tolist() == list(range(1, 603))


def test_blocks_of_patients_do_not_change_the_risks(
    pep_fit: xr.DataTree, pep_cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bc.predict(pep_fit, pep_cohort)
    monkeypatch.setattr(posterior, "BLOCK_VALUES", 7 * 4000)
    pd.testing.assert_frame_equal(bc.predict(pep_fit, pep_cohort), whole, rtol=1e-12)


def test_new_rows_reuse_the_constants_of_the_fit(pep_fit: xr.DataTree, pep_cohort: Cohort) -> None:
    rows = pep_cohort.predictors.iloc[[3, 99]].astype(object)
    fresh = bc.predict(pep_fit, rows)
    known = bc.predict(pep_fit, pep_cohort).iloc[[3, 99]]
    np.testing.assert_allclose(fresh["risk"], known["risk"], rtol=1e-12)
    assert fresh["row"].tolist() == [1, 2]


def test_mean_risk_is_close_to_the_event_share(pep_fit: xr.DataTree, pep_cohort: Cohort) -> None:
    """The score equation of the intercept, up to its prior: mean risk = event share."""
    risk = bc.predict(pep_fit, pep_cohort)["risk"]
    assert risk.mean() == pytest.approx(79 / 602, abs=0.003)


def test_unseen_levels_and_missing_columns_are_refused(
    pep_fit: xr.DataTree, pep_cohort: Cohort
) -> None:
    rows = pep_cohort.predictors.iloc[:3].astype(object)
    rows.loc[2, "gender"] = 0
    with pytest.raises(bc.DataError, match=r"column gender: level 0 .* is not one of 1, 2"):
        bc.predict(pep_fit, rows)
    with pytest.raises(bc.DataError, match='column "rx" is not in the file'):
        bc.predict(pep_fit, rows.drop(columns="rx"))


def test_cohort_of_another_study_is_refused(pep_fit: xr.DataTree) -> None:
    from tests.references import reference_cohort

    with pytest.raises(bc.OptionError, match='fit of study "pep"'):
        bc.predict(pep_fit, reference_cohort("indo_rct"))


def test_checked_new_patients_have_the_risks_of_their_rows(
    pep_fit: xr.DataTree, pep_cohort: Cohort
) -> None:
    rows = pep_cohort.predictors.iloc[[3, 99]].astype(object)
    new = load_new_patients(pep_cohort.study, rows)
    pd.testing.assert_frame_equal(bc.predict(pep_fit, new), bc.predict(pep_fit, rows))


def test_new_patients_of_another_study_are_refused(
    pep_fit: xr.DataTree, pep_cohort: Cohort
) -> None:
    rows = pep_cohort.predictors.iloc[:3]
    fewer = NewPatients(rows.drop(columns="rx"), notes=(), left_out=0)
    turned = rows["gender"].cat.reorder_categories(["2", "1"])
    for other in (fewer, NewPatients(rows.assign(gender=turned), notes=(), left_out=0)):
        with pytest.raises(bc.OptionError, match='other predictors than the fit of study "pep"'):
            bc.predict(pep_fit, other)


def test_rows_left_out_and_repairs_reach_the_result_of_the_command(
    pep_fit: xr.DataTree, pep_cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = pep_cohort.study.with_missing("drop")
    monkeypatch.setattr(runs, "read_run", lambda folder: {"diagnostics": {"problems": []}})
    monkeypatch.setattr(runs, "load_run", lambda folder: pep_fit)
    monkeypatch.setattr(posterior, "design_of", lambda fit: replace(design_of(fit), study=drop))
    rows = pep_cohort.predictors.iloc[[3, 99, 5]].astype(object).rename(columns={"rx": "rx "})
    rows.loc[100, "gender"] = None
    rows.to_csv(tmp_path / "new.csv", index=False)
    result = predict_patients(tmp_path, tmp_path / "new.csv", 0.95)
    known = bc.predict(pep_fit, pep_cohort).iloc[[3, 5]]
    np.testing.assert_allclose(result.risks["risk"], known["risk"], rtol=1e-12)
    assert result.risks["row"].tolist() == [1, 3]
    assert result.left_out == 1
    assert result.notes == ('1 column read without stray blanks or full-width characters: "rx"',)


@pytest.mark.parametrize(("left_out", "said"), [(0, ""), (1, "1 row"), (1200, "1200 rows")])
def test_command_says_what_was_repaired_and_left_out_unless_quiet(
    left_out: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    risks = pd.DataFrame({"row": [1], "risk": [0.5]})
    result = workflow.PredictResult(risks, (), notes=("a note",), left_out=left_out)
    monkeypatch.setattr(workflow, "predict_patients", lambda *_: result)
    loud = CliRunner().invoke(app, ["predict", "run", "--data", "new.csv"])
    left = f"{said} left out: a predictor is missing\n" if said else ""
    assert (loud.exit_code, loud.stderr) == (0, f"a note\n{left}")
    quiet = CliRunner().invoke(app, ["predict", "run", "--data", "new.csv", "--quiet"])
    assert (quiet.exit_code, quiet.stderr) == (0, "")
    assert loud.stdout == quiet.stdout == "row,risk\n1,0.5\n"


def test_predictions_stand_beside_the_outcomes(pep_fit: xr.DataTree, pep_cohort: Cohort) -> None:
    table = bc.predictions(pep_fit, pep_cohort)
    expected = ["row", "set", "outcome", "risk", "median", "lower", "upper", "interval"]
    assert list(table.columns) == expected
    assert table["outcome"].sum() == 79
    assert set(table["set"]) == {"development"}
