"""``bayes-cmvt validate``: on the run's own patients, on others, again, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayes_cmvt as bc
from bayes_cmvt import cli
from bayes_cmvt.glossary import COLUMNS
from bayes_cmvt.runs import load_run
from bayes_cmvt.stages import run_cohort

STUDY = """
schema = 1
name = "small"
title = "Small"
[outcome]
column = "y"
event = 1
[[predictors]]
name = "age"
kind = "continuous"
[[predictors]]
name = "sex"
kind = "binary"
[split]
column = "set"
development = "a"
validation = "b"
[decision]
thresholds = [0.1, 0.6]
use = 0.3
"""
QUICK = ["--folds", "3", "--repeats", "1", "--splits", "2", "--replicates", "200"]


def patients(n, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    age = rng.normal(60, 10, n).round(1)
    sex = rng.integers(0, 2, n)
    log_odds = -0.7 + shift + 0.06 * (age - 60) + 0.8 * sex
    y = (rng.random(n) < 1 / (1 + np.exp(-log_odds))).astype(int)
    return pd.DataFrame(
        {"y": y, "age": age, "sex": sex, "set": np.where(np.arange(n) % 4, "a", "b")}
    )


def invoke(*arguments):
    return CliRunner().invoke(cli.app, list(map(str, arguments)), catch_exceptions=False)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """A study, its patients and its run: made once, copied for every test."""
    place = tmp_path_factory.mktemp("sampled")
    (place / "small.toml").write_text(STUDY)
    patients(160, 1).to_csv(place / "small.csv", index=False)
    done = invoke(
        *["sample", place / "small.toml", "--data", place / "small.csv", "--out", place / "run"],
        *["--warmup", "300", "--draws", "1000", "--quiet"],
    )
    assert done.exit_code == 0, done.output
    return place


@pytest.fixture
def run(sampled, tmp_path):
    shutil.copytree(sampled, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"


@pytest.fixture
def others(tmp_path):
    """Patients of another place, without a column that splits them."""
    path = tmp_path / "others.csv"
    patients(120, 2, shift=0.8).drop(columns="set").to_csv(path, index=False)
    return path


def test_a_run_is_judged_on_its_own_patients_and_its_tables_are_added(run):
    before = contents(run)
    done = invoke("validate", run, *QUICK, "--json")
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["sets"]["development"]["patients"] == 120
    assert record["sets"]["validation"]["patients"] == 40
    after = contents(run)
    added = {Path(name).stem for name in set(after) - set(before)}
    assert added == {
        *["performance", "net_benefit", "calibration", "roc", "risk_groups"],
        *["calibration_tests", "splits"],
    }
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"run.json", "tables/loo.csv"}
    for name in added:
        table = pd.read_csv(run / "tables" / f"{name}.csv")
        assert set(table) <= set(COLUMNS), name
        assert "row" not in table
    metric = pd.read_csv(run / "tables/performance.csv")
    assert set(metric["method"]) == {"apparent", "kfold", "loo", "holdout"}
    assert metric.query("metric == 'net_benefit'")["threshold"].eq(0.3).all()


def test_same_inputs_are_not_computed_again_and_the_same_seed_gives_the_same_tables(run):
    first = invoke("validate", run, *QUICK)
    before = contents(run)
    again = invoke("validate", run, *QUICK)
    assert contents(run) == before
    said = "The tables were made before from the same inputs; --overwrite makes them anew.\n"
    assert again.stdout.replace(said, "") == first.stdout != again.stdout
    invoke("validate", run, *QUICK, "--overwrite", "--cores", "1")
    after = contents(run)
    assert {name for name in before if before[name] != after[name]} == {"run.json"}
    other = invoke("validate", run, *QUICK, "--seed", "9")
    assert "made before" not in other.stdout
    assert contents(run)["tables/performance.csv"] != before["tables/performance.csv"]


def test_the_screen_names_what_is_judged_and_what_to_quote(run):
    shown = invoke("validate", run, *QUICK).stdout
    for words in (
        "What is judged is the posterior-mean risk",
        "95% intervals are over patients",
        "as it stands",
        "cross-validated",
        "new patients",
        "quote the other columns",
        "net benefit at 0.3",
        "leave-pair-out",
        "tables/splits.csv",
    ):
        assert words in shown, words
    assert max(len(line) for line in shown.splitlines() if "run folder" not in line) < 105


def test_patients_of_the_run_come_back_as_they_were_read(run, tmp_path):
    cohort = run_cohort(run, load_run(run))
    original = bc.load_cohort(bc.load_study(tmp_path / "small.toml"), tmp_path / "small.csv")
    pd.testing.assert_frame_equal(cohort.predictors, original.predictors)
    np.testing.assert_array_equal(cohort.outcome, original.outcome)
    np.testing.assert_array_equal(cohort.sets, original.sets)
    assert cohort.flow == original.flow
    assert (cohort.source, cohort.sha256) == (original.source, original.sha256)


def test_other_patients_need_no_split_and_keep_the_rows_of_the_own_ones(run, others):
    invoke("validate", run, *QUICK, "--quiet")
    own = pd.read_csv(run / "tables/performance.csv")
    done = invoke("validate", run, "--data", others, *QUICK, "--no-update", "--json")
    assert done.exit_code == 0, done.output
    assert list(json.loads(done.stdout)["sets"]) == ["external"]
    table = pd.read_csv(run / "tables/performance.csv")
    pd.testing.assert_frame_equal(table[table["set"] != "external"].reset_index(drop=True), own)
    external = table[table["set"] == "external"]
    risks = bc.predict(load_run(run), others)["risk"]
    outcome = pd.read_csv(others)["y"]
    row = external.query("metric == 'calibration_in_the_large'").iloc[0]
    assert row["estimate"] == pytest.approx(
        bc.metrics.calibration_in_the_large(outcome, risks), abs=1e-9
    )
    assert row["lower"] > 0  # events are more frequent there
    # another file replaces this one, and is said to
    another = others.with_name("another.csv")
    pd.read_csv(others).head(90).to_csv(another, index=False)
    done = invoke("validate", run, "--data", another, *QUICK, "--no-update")
    assert "the rows of others.csv in the tables will be replaced" in done.stderr
    invoke("validate", run, "--data", others, *QUICK, "--no-update", "--quiet")
    invoke("validate", run, "--data", others, *QUICK, "--no-update", "--overwrite", "--quiet")
    pd.testing.assert_frame_equal(pd.read_csv(run / "tables/performance.csv"), table)


def test_other_patients_update_the_model(run, others):
    done = invoke("validate", run, "--data", others, *QUICK, "--no-power-prior")
    assert done.exit_code == 0, done.output
    table = pd.read_csv(run / "tables/updating.csv").set_index("update")
    assert set(table.columns) <= set(COLUMNS)
    assert table.loc["recalibrated intercept", "elpd_diff"] > 0
    assert table.loc["refit on old and new", "elpd_diff"] > 0
    assert "site recalibration" in done.stdout


def test_levels_never_seen_are_refused_and_nothing_is_written(run, others):
    strange = pd.read_csv(others)
    strange["sex"] += 1  # 1/2 instead of 0/1
    strange.to_csv(others, index=False)
    before = contents(run)
    done = invoke("validate", run, "--data", others, *QUICK)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert 'column sex: level "2"' in done.stderr or "column sex: level 2" in done.stderr
    assert "Nothing was written" in done.stderr
    assert contents(run) == before


def test_a_stage_leaves_no_table_of_an_earlier_run(run):
    invoke("validate", run, *QUICK, "--quiet")
    done = invoke("validate", run, *QUICK[:-4], "--splits", "0", "--replicates", "200")
    assert not (run / "tables/splits.csv").exists()
    assert "Split 7:3" not in done.stdout


def test_a_shared_copy_is_judged_by_other_patients_only(run, others):
    (run / "cohort.parquet").unlink()
    done = invoke("validate", run, *QUICK)
    assert done.exit_code == 2
    assert "judge its model on other patients" in done.stderr
    done = invoke("validate", run, "--data", others, *QUICK)
    assert done.exit_code == 0
    table = pd.read_csv(run / "tables/updating.csv").set_index("update")
    assert "left out" in table.loc["refit on old and new", "note"]
    assert np.isfinite(table.loc["recalibrated intercept", "elpd"])


def test_rows_of_another_run_are_refused(run, tmp_path):
    rows = pd.read_parquet(run / "cohort.parquet")
    rows.rename(columns={"age": "years"}).to_parquet(run / "cohort.parquet")
    done = invoke("validate", run, *QUICK)
    assert done.exit_code == 2
    assert "does not belong to this run" in done.stderr
    rows.assign(**{"(outcome)": 1 - rows["(outcome)"]}).to_parquet(run / "cohort.parquet")
    done = invoke("validate", run, *QUICK)
    assert done.exit_code == 2
    assert "did not learn from the development patients" in done.stderr


def test_an_event_coded_the_other_way_round_is_suspected(run, others):
    turned = pd.read_csv(others)
    turned["y"] = 1 - turned["y"]
    turned.to_csv(others, index=False)
    done = invoke("validate", run, "--data", others, *QUICK, "--no-update")
    assert "coded the other way round?" in done.stdout


def test_rows_that_are_left_out_are_counted(run, others):
    holes = pd.read_csv(others).astype({"age": float})
    holes.loc[:4, "age"] = np.nan
    holes.to_csv(others, index=False)
    done = invoke("validate", run, "--data", others, *QUICK, "--no-update", "--missing", "drop")
    assert done.exit_code == 0
    assert ": 5" in done.stderr


def test_updates_by_other_patients_do_not_outlive_a_run_without_updates(run, others):
    invoke("validate", run, "--data", others, *QUICK, "--no-power-prior", "--quiet")
    assert (run / "tables/updating.csv").is_file()
    invoke("validate", run, "--data", others, *QUICK, "--no-update", "--quiet")
    assert not (run / "tables/updating.csv").exists()


def test_old_acquaintances_among_the_new_patients_are_counted(run, others, tmp_path):
    mixed = pd.concat([pd.read_csv(others), pd.read_csv(tmp_path / "small.csv").head(30)])
    mixed.drop(columns="set").to_csv(others, index=False)
    done = invoke("validate", run, "--data", others, *QUICK, "--no-update")
    assert done.exit_code == 0
    # 30 are the same; with one decimal of age and a sex some more are like an old one by chance
    found = int(done.stderr.partition(" of 150 patients agree")[0].splitlines()[-1])
    assert 30 <= found < 60


def test_the_patients_of_the_run_are_no_other_patients(run, tmp_path):
    before = contents(run)
    done = invoke("validate", run, "--data", tmp_path / "small.csv", *QUICK)
    assert done.exit_code == 2
    assert "is the very file that" in done.stderr
    assert contents(run) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--folds", "1"], "folds: found 1; allowed: a whole number from 2"),
        (["--repeats", "-1"], "repeats: found -1"),
        (["--splits", "-5"], "splits: found -5"),
        (["--replicates", "3"], "replicates: found 3"),
        (["--smoother", "loes"], 'did you mean "loess"'),
        (["--interval", "2"], "between 0 and 1"),
        (["--cores", "0"], "--cores: found 0"),
        (["--seed", "-1"], "seed: found -1"),
        (["--data", "missing.csv"], "missing.csv"),
    ],
)
def test_bad_options_change_nothing(run, options, words):
    before = contents(run)
    done = invoke("validate", run, *options)
    assert done.exit_code == 2
    assert words in done.stderr
    assert contents(run) == before


def test_patients_with_one_outcome_only_judge_nothing(run, others):
    pd.read_csv(others).query("y == 1").to_csv(others, index=False)
    before = contents(run)
    done = invoke("validate", run, "--data", others, *QUICK)
    assert done.exit_code == 2
    assert contents(run) == before


def test_no_run_no_validation(tmp_path):
    done = invoke("validate", tmp_path / "nowhere")
    assert done.exit_code == 2
    assert "does not exist" in done.stderr


def test_a_run_that_is_not_to_be_trusted_says_so_again(tmp_path):
    (tmp_path / "small.toml").write_text(STUDY)
    patients(160, 1).to_csv(tmp_path / "small.csv", index=False)
    folder = tmp_path / "run"
    short = ["--chains", "2", "--warmup", "20", "--draws", "60", "--quiet"]
    sampled = invoke(
        *["sample", tmp_path / "small.toml", "--data", tmp_path / "small.csv", "--out", folder],
        *short,
    )
    assert sampled.exit_code == 3
    done = invoke("validate", folder, *QUICK)
    assert done.exit_code == 3
    assert "not to be trusted" in done.stderr
    assert (folder / "tables/performance.csv").is_file()
