"""``bayes-cmvt nomogram`` and ``calculator``: what they add to a run, say and refuse."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_cmvt as bc
from bayes_cmvt.glossary import COLUMNS
from tests.baseline_study import STUDY, contents, invoke, patients

TABLES = ("", "_risk", "_risk_ticks", "_accuracy", "_scores")
PATIENT = ("_patient", "_patient_risk", "_patient_density")
# a patient whom nobody else resembles: every number of theirs would be recognised
PLANTED = {"age": 71.2345, "marker": 9.87654, "noise": -13.57911}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the small study with a baseline and one planted patient. Not to be changed."""
    place = tmp_path_factory.mktemp("nomogram")
    frame = patients(180)
    for name, value in PLANTED.items():
        frame.loc[40, name] = value
    frame.to_csv(place / "small.csv", index=False)
    (place / "small.toml").write_text(STUDY)
    sampled = invoke(
        *["sample", place / "small.toml", "--data", place / "small.csv", "--out", place / "run"],
        *["--draws", "1000", "--quiet"],
    )
    assert sampled.exit_code == 0, sampled.output
    baseline = invoke(
        *["baseline", place / "run", "--resamples", "60", "--subsamples", "0"],
        *["--repeats", "1", "--splits", "0", "--quiet"],
    )
    assert baseline.exit_code == 0, baseline.output
    return place / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def added(before: dict[str, bytes], run: Path) -> set[str]:
    return set(contents(run)) - set(before)


def table(run: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(run / "tables" / f"{name}.csv")


def test_tables_and_figures_are_added_and_explained(run):
    before = contents(run)
    done = invoke("nomogram", run)
    assert done.exit_code == 0, done.output
    figures = {f"figures/nomogram_horseshoe.{kind}" for kind in ("pdf", "png")}
    assert added(before, run) == {*(f"tables/nomogram{name}.csv" for name in TABLES), *figures}
    for name in TABLES:
        assert set(table(run, f"nomogram{name}")) <= set(COLUMNS), name
        assert "row" not in table(run, f"nomogram{name}")
    unchanged = {name: content for name, content in before.items() if name != "run.json"}
    after = contents(run)
    assert {name: after[name] for name in unchanged} == unchanged


def test_models_stand_side_by_side_in_the_tables_and_each_renews_its_own(run):
    for arguments in ((), ("--model", "baseline"), ("--overwrite",)):
        assert invoke("nomogram", run, *arguments).exit_code == 0
    assert set(table(run, "nomogram")["model"]) == {"horseshoe", "baseline"}
    counts = table(run, "nomogram_accuracy").groupby(["model", "quantity"]).size()
    assert (counts == 1).all()


def test_the_same_question_computes_nothing_and_another_does(run):
    first = invoke("nomogram", run, "--json")
    files = contents(run)
    again = invoke("nomogram", run, "--json")
    assert contents(run) == files
    assert json.loads(again.stdout) == json.loads(first.stdout) | {"reused": True}
    other = json.loads(invoke("nomogram", run, "--json", "--gather", "0").stdout)
    assert not other["reused"]
    assert other["accuracy"]["gathered_axes"] == 0
    (run / "figures" / "nomogram_horseshoe.pdf").unlink()
    assert invoke("nomogram", run, "--gather", "0").exit_code == 0
    assert (run / "figures" / "nomogram_horseshoe.pdf").is_file()


def test_a_patient_has_the_interval_of_predict_and_private_tables(run):
    done = invoke("nomogram", run, "--patient", "row=17", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    predicted = table(run, "predictions").set_index("row").loc[17]
    for name in ("risk", "median", "lower", "upper"):
        assert told["patient_risk"][name] == pytest.approx(predicted[name], abs=1e-9)
    for name in PATIENT:
        own = table(run, f"nomogram{name}")
        assert (own["row"] == 17).all()
        assert set(own) <= set(COLUMNS)
    # the figure that may be passed on is drawn without the patient
    assert (run / "figures" / "nomogram_horseshoe_row17_patient.pdf").is_file()
    assert (run / "figures" / "nomogram_horseshoe.pdf").is_file()


def test_a_typed_patient_is_predicted_as_in_a_file(run, tmp_path):
    given = {"age": 71, "marker": 2.5, "sex": 1, "site": "south", "grade": "mid", "noise": 0.5}
    pd.DataFrame([given]).to_csv(tmp_path / "new.csv", index=False)
    expected = bc.predict(bc.load_run(run), tmp_path / "new.csv").iloc[0]
    text = ",".join(f"{key}={value}" for key, value in given.items())
    told = json.loads(invoke("nomogram", run, "--patient", text, "--json").stdout)
    for name in ("risk", "lower", "upper"):
        assert told["patient_risk"][name] == pytest.approx(expected[name], abs=1e-9)
    told = invoke("nomogram", run, "--patient", "age=71").stdout
    assert "assumed, because nothing was said" in told
    assert "profile:" in told


def test_two_models_are_drawn_side_by_side(run):
    done = invoke("nomogram", run, "--beside", "baseline", "--patient", "row=3")
    assert done.exit_code == 0, done.output
    names = {path.name for path in (run / "figures").iterdir()}
    assert "nomogram_horseshoe_beside_baseline_row3_patient.pdf" in names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--beside", "horseshoe"], "--beside: found 'horseshoe', the model itself; name another"),
        (["--model", "lasso"], r"--model: found \'lasso\'"),
        (["--beside", "horsehoe"], 'did you mean "horseshoe"?'),
        (["--model", "projection"], "holds no selection.nc; make it with `bayes-cmvt select"),
        (["--model", "published"], "has no [published] table"),
        (["--patient", "agee=60"], "agee: no predictor of study small has this name; did you mean"),
        (["--patient", "site=west"], 'allowed: "north", "east", "south"'),
        (["--patient", "row=999"], "row: found 999; it is not among the 180 rows analysed"),
        (["--gather", "2"], "gather: found 2.0; allowed: 0 (none) to below 1"),
        (["--axis-limits", "data"], 'axis_limits: found \'data\'; allowed: "study", "rms"'),
        (["--interval", "95"], "interval: found 95.0"),
        (["--event-share", "0.2"], "--event-share: the horseshoe model has an intercept"),
    ],
)
def test_what_cannot_be_drawn_is_refused_and_nothing_written(run, arguments, message):
    before = contents(run)
    done = invoke("nomogram", run, *arguments)
    assert done.exit_code == 2
    assert message.replace("\\", "") in done.stderr
    assert "Nothing was written." in done.stderr
    assert contents(run) == before


def test_an_event_share_belongs_to_the_printed_model_wherever_it_is_drawn(tmp_path):
    run = tmp_path / "cmvt"
    sampled = invoke("sample", "cmvt", "--out", run, "--draws", "300", "--quiet")
    assert sampled.exit_code in (0, 3), sampled.output
    done = invoke("nomogram", run, "--beside", "published", "--event-share", "0.2")
    assert done.exit_code == sampled.exit_code, done.output
    assert (run / "figures" / "nomogram_horseshoe_beside_published.pdf").is_file()


def test_a_model_of_other_patients_is_refused(run, tmp_path):
    frame = patients(180, seed=9)
    frame.to_csv(tmp_path / "other.csv", index=False)
    (tmp_path / "small.toml").write_text(STUDY)
    study, data, out = tmp_path / "small.toml", tmp_path / "other.csv", tmp_path / "other"
    sampled = ["sample", study, "--data", data, "--out", out, "--draws", "300", "--quiet"]
    assert invoke(*sampled).exit_code in (0, 3)
    shutil.copy(run / "baseline.nc", out / "baseline.nc")
    done = invoke("nomogram", out, "--model", "baseline")
    assert done.exit_code == 2
    assert "holds a baseline model of other patients" in done.stderr


def test_draws_that_are_not_to_be_trusted_are_said_everywhere(run):
    record = json.loads((run / "run.json").read_text())
    record["diagnostics"] = {**record["diagnostics"], "trusted": False, "problems": ["R-hat 1.4"]}
    (run / "run.json").write_text(json.dumps(record))
    for command in ("nomogram", "calculator"):
        done = invoke(command, run)
        assert done.exit_code == 3
        assert "not to be trusted" in done.stderr
        # no draw of the posterior is in the frequentist model
        assert invoke(command, run, "--model", "baseline").exit_code == 0
    assert "R-hat 1.4" in (run / "calculator.html").read_text()
    assert "R-hat 1.4" not in (run / "calculator_baseline.html").read_text()
    assert "R-hat 1.4" in json.loads(invoke("nomogram", run, "--json").stdout)["notice"]


# --- the calculator ------------------------------------------------------------------------------


def test_the_calculator_is_one_file_and_the_model_another(run):
    before = contents(run)
    done = invoke("calculator", run, "--json")
    assert done.exit_code == 0, done.output
    assert added(before, run) == {
        "calculator.html",
        *(f"model/{name}" for name in ("horseshoe.json", "model.schema.json", "risk.py", "risk.R")),
    }
    told = json.loads(done.stdout)
    assert told["draws"] == told["draws_of_model"] == 4000
    assert (run / "calculator.html").stat().st_size < 1_500_000
    other = invoke("calculator", run, "--model", "baseline")
    assert other.exit_code == 0, other.output
    assert {"calculator_baseline.html", "model/baseline.json"} <= added(before, run)


def test_an_unchanged_calculator_is_not_made_again(run):
    assert invoke("calculator", run).exit_code == 0
    before = contents(run)
    again = json.loads(invoke("calculator", run, "--json").stdout)
    assert again["reused"]
    assert contents(run) == before
    other = json.loads(invoke("calculator", run, "--json", "--interval", "0.8").stdout)
    assert not other["reused"]
    assert contents(run)["calculator.html"] != before["calculator.html"]


def test_neither_page_nor_model_nor_tables_hold_the_planted_patient(run):
    assert invoke("calculator", run).exit_code == 0
    assert invoke("nomogram", run).exit_code == 0
    shared = ["calculator.html", "model/horseshoe.json"]
    shared += [f"tables/nomogram{name}.csv" for name in TABLES]
    rows = pd.read_parquet(run / "cohort.parquet")
    for name in shared:
        text = (run / name).read_text(encoding="utf-8")
        assert not [value for value in PLANTED.values() if str(abs(value)) in text], name
        assert "cohort.parquet" not in text
    model = json.loads((run / "model/horseshoe.json").read_text())
    numbers = set(_numbers({key: value for key, value in model.items() if key != "draws"}))
    columns = rows[list(PLANTED)].to_numpy()
    held = np.isin(columns, list(numbers)).sum(axis=1)
    # a median may be somebody's value; two values of one patient together are a patient
    assert held.max() < 2
    lengths = {len(one) for one in _lists(model)}
    assert len(rows) not in lengths
    assert int((rows["(set)"] == "development").sum()) not in lengths


def _numbers(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _numbers(one)
    elif isinstance(value, float | int):
        yield float(value)


def _lists(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        yield value
        for one in value:
            yield from _lists(one)


def test_the_exported_program_gives_the_risk_of_predict(run, tmp_path):
    assert invoke("calculator", run).exit_code == 0
    given = {"age": 71, "marker": 2.5, "sex": 1, "site": "south", "grade": "mid", "noise": 0.5}
    pd.DataFrame([given]).to_csv(tmp_path / "new.csv", index=False)
    expected = bc.predict(bc.load_run(run), tmp_path / "new.csv").iloc[0]
    program = [sys.executable, run / "model/risk.py", run / "model/horseshoe.json"]
    done = subprocess.run([*program, json.dumps(given)], capture_output=True, check=True)
    found = json.loads(done.stdout)
    assert found["assumed"] == []
    for name in ("risk", "lower", "upper"):  # draws have 7 digits in the file
        assert found[name] == pytest.approx(expected[name], abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "projection"], "holds no selection.nc"),
        (["--model", "x"], "--model: found 'x'"),
        (["--interval", "0"], "interval: found 0.0"),
    ],
)
def test_a_calculator_that_cannot_be_made_is_refused(run, arguments, message):
    before = contents(run)
    done = invoke("calculator", run, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert contents(run) == before
