"""``bayes-cmvt select``: what it adds to a run, what it says, what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayes_cmvt as bc
from bayes_cmvt.glossary import COLUMNS
from bayes_cmvt.selection_run import _forced_names
from bayes_cmvt.selection_summary import plain_words, selection_text
from tests.baseline_study import STUDY, contents, invoke, patients

BRIEF = ["--folds", "3", "--repeats", "2", "--subsamples", "6", "--splits", "2", "--seeds", "1"]
BARE = ["--repeats", "1", "--subsamples", "0", "--splits", "0", "--seeds", "0"]
ADDED = {
    *(
        f"figures/selection_{name}.{kind}"
        for name in ("path", "stability")
        for kind in ("pdf", "png")
    ),
    *(
        f"tables/selection{name}.csv"
        for name in (
            *("", "_coefficients", "_rules", "_errors", "_stability", "_frequencies"),
            *("_recurrence", "_alternatives"),
        )
    ),
    *(
        f"tables/{name}.csv"
        for name in (
            *("performance", "net_benefit", "calibration", "roc", "risk_groups"),
            "calibration_tests",
        )
    ),
    "selection.nc",
}
CONTRACT = ["size", "term", "elpd", "elpd_diff", "elpd_diff_se", "auc", "share_of_folds"]


def sampled_run(place: Path, draws: int = 600) -> Path:
    (place / "small.toml").write_text(STUDY)
    frame = patients(160)
    # the same information twice: the path has to say that either would do
    frame["noise"] = frame["age"] + np.random.default_rng(8).normal(0, 1, 160).round(2)
    frame.to_csv(place / "small.csv", index=False)
    done = invoke(
        *["sample", place / "small.toml", "--data", place / "small.csv", "--out", place / "run"],
        *["--warmup", "300", "--draws", draws, "--quiet"],
    )
    assert done.exit_code in (0, 3), done.output
    return place / "run"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, bytes]]:
    """A run with its selection, what was printed, and the files before. Not to be changed."""
    run = sampled_run(tmp_path_factory.mktemp("selection"))
    before = contents(run)
    done = invoke("select", run, "--size", "2", *BRIEF)
    assert done.exit_code == 0, done.output
    return run, done.stdout, before


@pytest.fixture
def run(finished: tuple[Path, str, dict[str, bytes]], tmp_path: Path) -> Path:
    shutil.copytree(finished[0], tmp_path / "run")
    return tmp_path / "run"


def table(run: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(run / "tables" / f"{name}.csv")


def test_files_are_added_and_nothing_else_changes(finished) -> None:
    run, _, before = finished
    after = contents(run)
    assert set(after) - set(before) == ADDED - {
        name for name in ADDED if name.endswith("alternatives.csv") and name not in after
    }
    assert {name for name in before if before[name] != after[name]} == {"run.json"}
    for name in sorted(ADDED & set(after)):
        if name.endswith(".csv"):
            found = pd.read_csv(run / name)
            assert set(found) <= set(COLUMNS), name
            assert "row" not in found, name


def test_selection_csv_has_the_columns_of_the_contract(finished) -> None:
    found = table(finished[0], "selection")
    assert [one for one in found if one in CONTRACT] == CONTRACT
    assert found["size"].tolist() == list(range(7))
    assert found["chosen"].tolist() == [size == 2 for size in range(7)]
    assert found["suggested"].sum() == 1


def test_the_submodel_stands_in_performance_beside_other_models(run: Path) -> None:
    found = table(run, "performance")
    assert set(found["model"]) == {"projection"}
    assert {"apparent", "kfold", "holdout"} <= set(found["method"])
    area = found.query("metric == 'auc' and method == 'kfold'")["estimate"].item()
    assert area == pytest.approx(table(run, "selection")["auc"][2])
    invoke("validate", run, "--repeats", "1", "--folds", "3", "--splits", "0", "--quiet")
    assert set(table(run, "performance")["model"]) == {"projection", "horseshoe"}
    external = run.parent / "elsewhere.csv"
    patients(120, seed=9).drop(columns="set").to_csv(external, index=False)
    done = invoke("validate", run, "--data", external, "--no-update", "--quiet")
    assert done.exit_code == 0, done.output
    both = table(run, "performance_difference")
    assert set(zip(both["model_a"], both["model_b"], strict=True)) == {("horseshoe", "projection")}


def test_the_screen_says_what_the_tables_say(finished) -> None:
    run, printed, _ = finished
    rows = table(run, "selection")
    for _, row in rows.iterrows():
        loss = f"{round(row['elpd_diff'], 1) + 0.0:.1f} ({row['elpd_diff_se']:.1f})"
        assert re.search(rf"^ *{row['size']}  .*{re.escape(loss)}", printed, re.MULTILINE)
    assert re.search(r"<- (suggested, )?chosen$", printed, re.MULTILINE)
    recurring = table(run, "selection_recurrence").query("source == 'subsample'")
    projected = recurring.query("procedure == 'projection'").iloc[0]
    assert f"{projected['distinct_sets']} different" in printed.replace("\n", " ")
    assert "searched anew with the size held at 2" in printed.replace("\n", " ")
    assert "Other patients may well give another set." in printed


def test_a_predictor_that_says_the_same_is_named(finished) -> None:
    run, printed, _ = finished
    pair = table(run, "selection_alternatives").iloc[0]
    assert {pair["term"], pair["other_term"]} == {"age", "noise"}
    text = " ".join(printed.split())
    if pair["size"] <= 2:
        assert f"{pair['label']} or {pair['other_label']}: either would do." in text
        assert f"one of them in {pair['share_either']:.0%}" in text


def test_the_same_request_again_computes_nothing(run: Path) -> None:
    before = contents(run)
    done = invoke("select", run, "--size", "2", *BRIEF, "--json", "--cores", "1")
    record = json.loads(done.stdout)
    assert record["reused"] is True
    assert contents(run) == before
    assert selection_text(record)


def test_what_is_missing_or_damaged_is_made_anew(run: Path) -> None:
    before = contents(run)
    (run / "selection.nc").write_bytes(before["selection.nc"][:3000])
    (run / "figures" / "selection_path.png").unlink()
    # and on one core, which must not matter
    done = invoke("select", run, "--size", "2", *BRIEF, "--cores", "1")
    assert done.exit_code == 0
    assert "missing or damaged" in done.stderr
    after = contents(run)
    assert {name for name in before if before[name] != after[name]} <= {"run.json"}


def test_a_name_may_hold_a_comma() -> None:
    known = ["Age, years", "NLR", "sex"]
    assert _forced_names(["Age, years", "NLR,sex"], known) == ("Age, years", "NLR", "sex")
    assert _forced_names([" NLR , , sex"], known) == ("NLR", "sex")


def test_the_fit_is_read_back_and_predicts(run: Path) -> None:
    fit = bc.load_selection(run)
    risks = bc.predict(fit, patients(5, seed=4))
    assert ((risks["lower"] < risks["risk"]) & (risks["risk"] < risks["upper"])).all()
    terms = table(run, "selection_coefficients")["term"].tolist()
    assert terms[0] == "(Intercept)"
    assert len(terms) == 3
    assert table(run, "selection_coefficients")["shrinkage"].isna().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "7"], "size: found 7; allowed: 0 to 6"),
        (["--force", "agge"], 'found "agge"; the study has no such predictor'),
        (["--force", "site[east]"], "is a column of site"),
        (["--size", "1", "--force", "age", "--force", "sex"], "forced in are age, sex"),
        (["--size", "9", "--rope", "0", "--interval", "1"], "size: found 9"),
        (["--size", "9", "--rope", "0", "--interval", "1"], "rope: found 0"),
        (["--size", "9", "--rope", "0", "--interval", "1"], "interval: found 1"),
        (["--rope", "0.9"], "rope: found 0.9"),
        (["--search", "backward"], 'search: found "backward"'),
        (["--validation", "bootstrap"], 'validation: found "bootstrap"'),
        (["--folds", "1"], "folds: found 1"),
        (["--cores", "0"], "--cores: found 0"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(
    run: Path, options: list[str], message: str
) -> None:
    before = contents(run)
    done = invoke("select", run, *options)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Nothing was written." in done.stderr
    assert "Traceback" not in done.output
    assert contents(run) == before


def test_a_run_that_failed_its_diagnostics_is_marked(tmp_path: Path) -> None:
    run = sampled_run(tmp_path, draws=30)
    record = json.loads((run / "run.json").read_text())
    assert not record["diagnostics"]["trusted"]
    done = invoke("select", run, "--folds", "2", *BARE)
    assert done.exit_code == 3
    assert "not to be trusted" in done.stderr
    assert "not to be trusted" in " ".join(done.stdout.split())


def test_another_selection_replaces_the_old_one(run: Path) -> None:
    done = invoke("select", run, "--size", "0", "--folds", "3", *BARE)
    assert done.exit_code == 0, done.output
    assert "replacing the selection" in done.stderr
    assert table(run, "selection_coefficients")["term"].tolist() == ["(Intercept)"]
    assert "No predictor at all" in done.stdout
    assert "was not asked for" not in done.stdout  # folds were searched


# --- In plain words ------------------------------------------------------------------------------


def told(**changes: Any) -> dict[str, Any]:
    """A record as the stage writes it, of three sizes."""
    sizes = [
        {
            "size": k,
            "label": f"P{k}",
            "term": f"p{k}",
            "elpd_diff": -6.0 + 2 * k,
            "elpd_diff_se": 1.0,
            "auc_diff": -0.1,
            "auc_diff_se": 0.06,
        }
        for k in range(4)
    ]
    recurring = {"procedure": "projection", "source": "subsample", "replicates": 200}
    lasso = {"procedure": "lasso_final", "source": "subsample", "replicates": 200}
    record = {
        "selection": sizes,
        "size": 2,
        "suggested": 2,
        "size_inside": {"elpd_diff": -4.4, "se": 2.0},
        "forced": [],
        "development": {"predictors": 5},
        "risk_gap": {"mean": 0.01, "largest": 0.1},
        "selection_recurrence": [
            {**recurring, "distinct_sets": 50, "same_set": 0.2},
            {**lasso, "distinct_sets": 90, "same_set": 0.065},
        ],
        "selection_alternatives": [],
    }
    return record | changes


def test_words_for_a_suggested_size() -> None:
    words = " ".join(plain_words(told()))
    assert "2 of 5 predict patients left out with an elpd of -2.0 (SE 1.0)" in words
    assert "the smallest size whose loss is at most one standard error, or below 4" in words
    assert "chosen by the other folds the elpd is -4.4 (SE 2.0)" in words
    assert "AUC falls short" not in words
    assert "gave 50 different sets, that of all patients in 20%" in words
    assert "which chooses its size, gave 90 different sets, that of all patients in 7%" in words
    assert "the set" not in words


def test_words_for_a_size_that_was_asked_for() -> None:
    words = " ".join(plain_words(told(size=1, size_inside=None)))
    assert "The size was asked for; the suggested one is 2." in words
    assert "other folds" not in words


def test_words_for_a_search_that_ends_too_early() -> None:
    words = " ".join(plain_words(told(size=0, suggested=0)))
    assert "No size of the search comes within noise of the full posterior" in words


def test_words_for_an_auc_that_the_elpd_does_not_see() -> None:
    rows = told()["selection"]
    rows[2] |= {"auc_diff": -0.147, "auc_diff_se": 0.038}
    words = " ".join(plain_words(told(selection=rows)))
    assert "Its AUC falls short by 0.147 (SE 0.038): that is more than noise" in words


def test_words_for_one_set_alone_and_for_nothing_to_choose() -> None:
    always = {"procedure": "projection", "source": "subsample", "replicates": 9}
    always |= {"distinct_sets": 1, "same_set": 1.0}
    words = " ".join(plain_words(told(selection_recurrence=[always])))
    assert "gave one set alone." in words
    words = " ".join(plain_words(told(selection_recurrence=[always], forced=["a", "b"])))
    rows = told()["selection"]
    assert "Nothing but what was forced in is in the submodel" in words
    rows[2] |= {"auc_diff": -0.0001, "auc_diff_se": 0.0}
    assert "AUC falls short" not in " ".join(plain_words(told(selection=rows)))


def test_words_without_repetitions_and_without_predictors() -> None:
    words = " ".join(plain_words(told(size=0, suggested=0, selection_recurrence=[])))
    assert "No predictor at all, the event share alone" in words
    assert "was not asked for" in words
