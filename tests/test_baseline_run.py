"""``bayes-cmvt baseline``: what it adds to a run, that it comes out the same, what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_cmvt as bc
from bayes_cmvt import baseline as module
from bayes_cmvt.baseline_run import BaselineRequest, baseline_run
from bayes_cmvt.baseline_summary import baseline_record, baseline_text
from bayes_cmvt.design import encode
from bayes_cmvt.evaluation import EvaluationSettings
from bayes_cmvt.glossary import COLUMNS
from bayes_cmvt.lasso import cross_validate
from bayes_cmvt.pipeline import STATUSES, PipelineFit
from bayes_cmvt.prediction import predict
from bayes_cmvt.workers import Workers
from tests.baseline_study import STUDY, TERMS, contents, invoke, patients
from tests.test_baseline import assert_same_fit

BRIEF = ["--repeats", "0", "--splits", "0", "--subsamples", "50", "--quiet"]
QUICK = EvaluationSettings(replicates=100, repeats=0, splits=0)
KEPT = ".baseline.partial-blocks"
TABLES = {
    *["performance", "net_benefit", "calibration", "roc", "risk_groups", "calibration_tests"],
    *["baseline_coefficients", "baseline_predictions", "lasso_path", "lasso_cv"],
    *["baseline_resamples", "selection_pairs", "model_frequencies", "baseline_calibration"],
}
CONTRACT = {
    "lasso_path": ["lambda", "df", "dev_ratio", "(Intercept)", *TERMS],
    "lasso_cv": ["lambda", "mean", "se", "df"],
    "baseline_coefficients": [
        *["term", "selected_lasso", "selected_final", "coef", "se", "z", "p", "odds_ratio"],
        *["wald_lower", "wald_upper", "boot_lower", "boot_upper", "selection_frequency", "fit"],
    ],
    "performance": [
        *["model", "set", "metric", "estimate", "lower", "upper", "method", "interval_of"],
    ],
    "net_benefit": [
        *["set", "strategy", "threshold", "net_benefit", "lower", "upper", "prob_useful"],
    ],
}


def sample(place, *, study=STUDY, frame=None, options=()):
    """A study file, its patients and its run."""
    place.mkdir(exist_ok=True)
    (place / "small.toml").write_text(study)
    frame = patients() if frame is None else frame
    frame.to_csv(place / "small.csv", index=False)
    return invoke(
        *["sample", place / "small.toml", "--data", place / "small.csv", "--out", place / "run"],
        *["--engine", "gibbs", "--warmup", "200", "--draws", "600", "--quiet", *options],
    )


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    place = tmp_path_factory.mktemp("sampled")
    done = sample(place)
    assert done.exit_code == 0, done.output
    return place


@pytest.fixture
def run(sampled, tmp_path):
    shutil.copytree(sampled, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"


def request(run, **options):
    brief = {"resamples": 30, "subsamples": 50, "workers": Workers(cores=1)}
    return BaselineRequest(run, QUICK, **{**brief, **options})


def added(run, **options):
    """The stage, briefly, and every file but run.json."""
    news = []
    result = baseline_run(request(run, **options), say=news.append)
    return result, news


def without_times(folder):
    """Files of a run; of its record what does not say when and how fast."""
    files = contents(folder)
    record = json.loads(files.pop("run.json"))
    for one in record.get("stages", {}).values():
        one.pop("time"), one.pop("seconds")
    return {**files, "run.json": json.dumps(record, sort_keys=True).encode()}


@pytest.fixture(scope="module")
def finished(sampled, tmp_path_factory):
    """A run with its baseline: 30 resamples in one thread. Not to be changed."""
    place = tmp_path_factory.mktemp("finished")
    shutil.copytree(sampled, place, dirs_exist_ok=True)
    added(place / "run")
    return place / "run"


@pytest.fixture
def done(finished, tmp_path):
    """A copy of a run with its baseline."""
    shutil.copytree(finished.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"


def table(run, name):
    return pd.read_csv(run / "tables" / f"{name}.csv")


# --- What it adds --------------------------------------------------------------------------------


def test_files_of_the_contract_are_added_and_nothing_else_changes(sampled, finished):
    before, after = contents(sampled / "run"), contents(finished)
    expected = {f"tables/{name}.csv" for name in TABLES}
    assert set(after) - set(before) == {*expected, "tables/lasso.json", "baseline.nc"}
    assert {name for name in before if before[name] != after[name]} == {"run.json"}
    for name in TABLES:
        found = table(finished, name)
        if name != "lasso_path":
            assert set(found) <= set(COLUMNS), name
        # of more columns, those of the contract come in its order
        wanted = CONTRACT.get(name, [])
        assert [column for column in found if column in wanted] == wanted
        assert ("row" in found) == (name == "baseline_predictions"), name
    assert list(json.loads((finished / "tables/lasso.json").read_text())) == [
        "lambda_min",
        "lambda_1se",
    ]
    record = json.loads((finished / "run.json").read_text())["stages"]["baseline"]
    assert record["inputs"]["resamples"] == 30


def test_tables_hold_what_the_tree_holds(finished):
    fit = bc.load_baseline(finished)
    cohort = bc.load_cohort(
        bc.load_study(finished.parent / "small.toml"), finished.parent / "small.csv"
    )
    assert_same_fit(fit, bc.fit_baseline(cohort, resamples=30, subsamples=50))
    assert fit.attrs["study_sha256"] == bc.load_run(finished).attrs["study_sha256"]
    coefficients = table(finished, "baseline_coefficients").set_index("term")
    assert coefficients.index[0] == "(Intercept)"
    design = fit["constant_data"]
    beta = fit["estimate"]["reported_beta"].to_numpy()[0, 0] / design["sd"].to_numpy()
    np.testing.assert_allclose(coefficients.loc[list(TERMS), "coef"], beta, atol=1e-9)
    risks = table(finished, "baseline_predictions")
    np.testing.assert_allclose(risks["risk"], predict(fit, cohort)["risk"], atol=1e-12)
    choice = json.loads((finished / "tables/lasso.json").read_text())
    assert choice["lambda_min"] in table(finished, "lasso_cv")["lambda"].tolist()
    methods = set(table(finished, "performance")["method"])
    assert methods == {"apparent", "optimism_corrected", "optimism_corrected_refit", "holdout"}


def test_patients_kept_apart_are_judged_and_never_drawn(finished):
    cohort = pd.read_parquet(finished / "cohort.parquet")
    apart = cohort.index[cohort["(set)"] == "validation"]
    assert len(apart) == 50
    fit = bc.load_baseline(finished)
    for scheme in ("bootstrap", "subsample"):
        assert not np.isin(fit[scheme]["rows"], apart).any()
    risks = table(finished, "baseline_predictions").set_index("row").loc[apart]
    judged = table(finished, "performance").query("set == 'validation' and metric == 'auc'")
    row = judged.query("method == 'holdout' and interval_of == 'patients'").iloc[0]
    assert row["estimate"] == pytest.approx(bc.metrics.auc(risks["outcome"], risks["risk"]))


def test_the_screen_and_its_json_say_the_same(done):
    brief = ["--resamples", "20", "--subsamples", "50", "--repeats", "1", "--splits", "2"]
    shown = invoke("baseline", done, *brief)
    assert shown.exit_code == 0
    assert "150 patients, 42 events, 7 columns" in shown.stdout
    assert "20 resamples of the whole workflow" in shown.stdout
    assert "interval ignores the selection" in shown.stdout
    assert max(len(line) for line in shown.stdout.splitlines()) < 125
    assert shown.stdout.isascii()
    again = invoke("baseline", done, *brief, "--json")

    def refuse(constant):
        raise AssertionError(constant)

    record = json.loads(again.stdout, parse_constant=refuse)
    assert record["reused"]
    assert record["development"] == {"patients": 150, "events": 42, "columns": 7}
    assert record["resamples_asked"] == 20
    assert {"lambda_min", "lambda_1se", "baseline_coefficients", "models"} <= set(record)
    assert (done / "tables/baseline_splits.csv").is_file()
    assert "kfold" in set(table(done, "performance")["method"])
    # a stage leaves no table of an earlier run
    added(done, resamples=20)
    assert not (done / "tables/baseline_splits.csv").exists()
    assert "kfold" not in set(table(done, "performance")["method"])


# --- The same numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "workers", [Workers(cores=2), Workers("processes", cores=2)], ids=["threads", "processes"]
)
def test_two_threads_or_processes_give_the_same_files(run, finished, workers):
    added(run, workers=workers)
    assert without_times(run) == without_times(finished)


@pytest.fixture(scope="module")
def cluster():
    """A scheduler and two worker processes on this machine."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as found:
        yield found


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_cluster_gives_the_same_files_though_a_worker_is_killed(run, finished, cluster):
    seen = []

    def kill_one(state):
        """One of two workers dies when the blocks have been handed out."""
        seen.append(state.finished)
        if len(seen) == 2:
            os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)

    workers = Workers("cluster", address=cluster.scheduler_address)
    baseline_run(request(run, workers=workers), say=print, report=kill_one)
    assert seen[0] == 0
    assert len(seen) > 2
    assert without_times(run) == without_times(finished)


COMMAND = "from bayes_cmvt.cli import main; main()"


def command(*arguments):
    """The command in a process of its own, as a terminal starts it."""
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def blocks_in(run):
    return sorted(path.name for path in (run / KEPT).glob("*.npz"))


def stopped_midway(run, how, *options):
    """Stop the command when its first block is finished; what it said, and the blocks kept."""
    process = command("baseline", run, "--resamples", "3000", "--cores", "1", *BRIEF[:-1], *options)
    began = time.monotonic()
    while not blocks_in(run):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - began < 120
        time.sleep(0.01)
    process.send_signal(how)
    output, messages = process.communicate(timeout=60)
    return process.returncode, output, messages, blocks_in(run)


def numbers_of(blocks):
    """Scheme and number of the resamples in kept blocks."""
    found = set()
    for name in blocks:
        scheme, _, first, last = name.removesuffix(".npz").split("-")
        found |= {(scheme, number) for number in range(int(first), int(last))}
    return found


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_a_run_stopped_midway_goes_on_and_comes_out_the_same(run, finished, how, monkeypatch):
    before = contents(run)
    status, output, messages, blocks = stopped_midway(run, how)
    assert status == (130 if how == signal.SIGINT else -signal.SIGKILL)
    assert output == ""
    if how == signal.SIGINT:
        assert "interrupted" in messages
        assert "the same command goes on from there" in messages
        assert "Traceback" not in messages
        assert "nothing was written" not in messages.lower()
    assert 25 <= len(numbers_of(blocks)) < 3000
    assert ("bootstrap", 0) in numbers_of(blocks)
    after = contents(run)
    assert {name: after[name] for name in after if not name.startswith(KEPT)} == before
    # 30 resamples are a part of 3000: the first block serves, the second would be of other size
    computed, resample = [], module._resample

    def counted(given, number):
        computed.append((given.scheme, number))
        return resample(given, number)

    monkeypatch.setattr(module, "_resample", counted)
    result, news = added(run)
    assert any("going on from" in line for line in news)
    assert not result.reused
    assert [number for scheme, number in computed if scheme == "bootstrap"] == [*range(25, 30)]
    assert not (run / KEPT).exists()
    assert without_times(run) == without_times(finished)


def test_processes_are_stopped_with_their_parent(run):
    status, _, messages, blocks = stopped_midway(run, signal.SIGINT, "--processes")
    assert status == 130
    assert blocks
    assert "Traceback" not in messages


def test_an_interruption_after_the_resamples_keeps_them_too(run, monkeypatch):
    before = contents(run)

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("bayes_cmvt.evaluation.evaluate", interrupt)
        shown = invoke("baseline", run, "--resamples", "30", *BRIEF)
    assert shown.exit_code == 130
    assert "80 finished resamples are kept" in shown.stderr
    after = contents(run)
    assert {name: after[name] for name in after if not name.startswith(KEPT)} == before
    assert len(blocks_in(run)) == 2 + 2  # 30 resamples and 50 subsamples, 25 in a block
    monkeypatch.setattr(module, "_resample", interrupt)  # nothing is left to compute
    _, news = added(run)
    assert any("going on from 80 resamples and subsamples" in line for line in news)
    assert not (run / KEPT).exists()


def test_blocks_of_another_seed_are_not_taken(run, finished, monkeypatch):
    kept = run / KEPT
    with monkeypatch.context() as patched:
        patched.setattr("bayes_cmvt.evaluation.evaluate", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            added(run)
    assert kept.is_dir()
    other = EvaluationSettings(replicates=100, repeats=0, splits=0, seed=7)
    news = []
    baseline_run(BaselineRequest(run, other, 30, workers=Workers(cores=1)), say=news.append)
    assert not news
    ours, theirs = (
        bc.load_baseline(one)["bootstrap"]["rows"].to_numpy() for one in (run, finished)
    )
    assert (ours != theirs).any(axis=-1).all()
    assert not kept.exists()


def test_a_stage_cut_short_while_writing_is_not_taken_for_done(done, finished, monkeypatch):
    """Other settings replace the tables and are cut short: the old command makes them anew."""
    replace, written = Path.replace, []

    def cut_short(path, target):
        if target.suffix == ".csv":
            written.append(target)
            if len(written) > 5:
                raise OSError(5, "Input/output error")
        return replace(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", cut_short)
        with pytest.raises(bc.RunError):
            added(done, resamples=5)
    result, _ = added(done)
    assert not result.reused
    assert without_times(done) == without_times(finished)


# --- Again ---------------------------------------------------------------------------------------


def test_the_same_command_reads_what_is_there(done, finished, monkeypatch):
    monkeypatch.setattr(module, "run_pipeline", None)  # nothing is computed
    result, _ = added(done)
    assert result.reused
    assert set(result.tables) == TABLES
    assert contents(done) == contents(finished)
    # where it is computed is no input
    assert added(done, workers=Workers("processes", cores=2))[0].reused


def test_overwriting_makes_the_same_files_again(done, finished):
    assert not added(done, overwrite=True)[0].reused
    assert without_times(done) == without_times(finished)


@pytest.mark.parametrize(
    "options",
    [
        {"resamples": 31},
        {"resamples": 0},
        {"settings": EvaluationSettings(replicates=100, repeats=0, splits=0, seed=9)},
        {"settings": EvaluationSettings(0.9, replicates=100, repeats=0, splits=0)},
        {"folds": "folds.csv"},
    ],
    ids=["resamples", "none", "seed", "interval", "folds"],
)
def test_other_inputs_are_computed_anew(done, finished, tmp_path, options):
    if "folds" in options:
        rows = np.arange(1, 201)
        path = tmp_path / "folds.csv"
        pd.DataFrame({"row": rows, "fold": rows % 6}).to_csv(path, index=False)
        options = {"folds": path}
    asked = {"run": done, "settings": QUICK, "resamples": 30, "workers": Workers(cores=1)}
    asked["subsamples"] = 50
    result = baseline_run(BaselineRequest(**(asked | options)), say=print)
    assert not result.reused
    before, after = without_times(finished), without_times(done)
    changed = {name for name in before if before[name] != after.get(name)}
    assert "run.json" in changed
    assert "tables/lasso_cv.csv" in changed or "tables/baseline_coefficients.csv" in changed
    assert ("baseline.nc" in changed) == result_moves(options)
    assert ("tables/lasso_cv.csv" in changed) == ("folds" in options or _seed(options) != 2025)
    again = baseline_run(BaselineRequest(**(asked | options)), say=print)
    assert again.reused


def result_moves(options):
    """An interval is of the tables; everything else asked for is of the fit."""
    settings = options.get("settings")
    return settings is None or settings.seed != 2025


def _seed(options):
    return options["settings"].seed if "settings" in options else 2025


def test_without_resamples_nothing_of_an_earlier_bootstrap_is_left(done):
    result, _ = added(done, resamples=0)
    gone = {"baseline_resamples", "selection_pairs", "model_frequencies", "baseline_calibration"}
    assert not [name for name in gone if (done / f"tables/{name}.csv").exists()]
    found = table(done, "baseline_coefficients")
    empty = [name for name in found if "boot" in name or "frequency" in name]
    assert {"boot_lower", "boot_upper", "selection_frequency"} <= set(empty)
    assert found[empty].isna().all(axis=None)
    risks = table(done, "baseline_predictions")
    assert risks[["lower", "upper"]].isna().all(axis=None)
    assert risks["risk"].notna().all()
    methods = set(table(done, "performance")["method"])
    assert methods == {"apparent", "holdout"}
    shown = baseline_text(baseline_record(result))
    assert "no resamples: no bootstrap limits, no selection frequencies" in shown


def test_given_folds_are_those_of_the_cross_validation(run, tmp_path):
    rows = np.arange(1, 201)
    path = tmp_path / "folds.csv"
    pd.DataFrame({"row": rows, "fold": rows % 6}).to_csv(path, index=False)
    result, _ = added(run, resamples=0, folds=path)
    assert "6-fold" in baseline_text(baseline_record(result))
    cohort = pd.read_parquet(run / "cohort.parquet").query("`(set)` == 'development'")
    study = bc.load_study(run.parent / "small.toml")
    own = bc.load_cohort(study, run.parent / "small.csv")
    columns = encode(study, own.predictors[own.development])
    found = cross_validate(columns, cohort["(outcome)"].to_numpy(), cohort.index.to_numpy() % 6)
    np.testing.assert_allclose(table(run, "lasso_cv")["mean"], found.mean, atol=1e-8)


# --- Beside the posterior ------------------------------------------------------------------------

SHARED = ("performance", "net_benefit", "calibration", "roc", "risk_groups", "calibration_tests")
VALIDATE = ["--repeats", "0", "--splits", "0", "--replicates", "100", "--quiet"]


def lines_of(run, name, model):
    """Rows of one model, and the columns that it fills."""
    found = table(run, name)
    key = "strategy" if "strategy" in found else "model"
    return found[found[key] == model].dropna(axis="columns", how="all").reset_index(drop=True)


def in_order(found):
    """A table whose rows and columns stand in an order that its content alone decides."""
    keys = [key for key in ("model", "strategy", "set") if key in found]
    assert not found.duplicated().any()
    ordered = found.sort_values([*keys, *sorted(set(found) - set(keys))])
    return ordered.reset_index(drop=True).sort_index(axis="columns")


def test_each_command_keeps_the_rows_of_the_other_model(sampled, done, tmp_path):
    run = tmp_path / "validated first"
    shutil.copytree(sampled / "run", run)
    invoke("validate", run, *VALIDATE)
    posterior = {name: lines_of(run, name, "horseshoe") for name in SHARED}
    added(run)
    baseline = {name: lines_of(run, name, "baseline") for name in SHARED}
    for name in SHARED:
        assert len(posterior[name]), name
        assert len(baseline[name]), name
        pd.testing.assert_frame_equal(
            lines_of(run, name, "horseshoe"), posterior[name], check_exact=True
        )
    # the other way round, the tables are the same
    invoke("validate", done, *VALIDATE)
    for name in SHARED:
        pd.testing.assert_frame_equal(
            in_order(table(run, name)), in_order(table(done, name)), check_exact=True
        )
    # patients of another place, too
    others = tmp_path / "others.csv"
    patients(90, 8, shift=0.5).drop(columns="set").to_csv(others, index=False)
    shown = invoke("validate", run, "--data", others, "--no-update", *VALIDATE)
    assert shown.exit_code == 0, shown.output
    external = {name: table(run, name).query("set == 'external'") for name in SHARED}
    assert set(external["performance"]["model"]) == {"horseshoe", "baseline"}
    differences = run / "tables" / "performance_difference.csv"
    assert differences.is_file()
    for again, is_new in (
        (lambda: invoke("validate", run, *VALIDATE, "--overwrite"), False),
        (lambda: added(run, overwrite=True), True),
    ):
        again()
        assert differences.is_file() != is_new
        for name in SHARED:
            now = table(run, name)
            if is_new:  # what other patients made of the old baseline is of the old baseline
                key = "strategy" if "strategy" in now else "model"
                external[name] = external[name][external[name][key] != "baseline"]
            pd.testing.assert_frame_equal(
                now.query("set == 'external'").reset_index(drop=True),
                external[name].reset_index(drop=True),
                check_exact=True,
                check_like=True,
                check_dtype=False,
            )
            own = now.query("set != 'external'")
            key = "strategy" if "strategy" in own else "model"
            for model, before in (("horseshoe", posterior), ("baseline", baseline)):
                part = own[own[key] == model].dropna(axis="columns", how="all")
                pd.testing.assert_frame_equal(
                    part.reset_index(drop=True)[list(before[name])],
                    before[name],
                    check_exact=True,
                )


# --- Refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--resamples", "-1"], "resamples: found -1; allowed: a whole number from 0"),
        (["--seed", "-1"], "seed: found -1"),
        (["--interval", "2"], "between 0 and 1"),
        (["--cores", "0"], "cores: found 0"),
        (["--repeats", "-1"], "repeats: found -1"),
        (["--splits", "-1"], "splits: found -1"),
        (["--folds", "nowhere.csv"], "nowhere.csv"),
        (["--resamples", "two"], "resamples"),
    ],
)
def test_bad_options_change_nothing(run, options, words):
    before = contents(run)
    shown = invoke("baseline", run, *options)
    assert shown.exit_code == 2
    assert words in shown.stderr
    assert shown.stdout == ""
    assert contents(run) == before


def test_several_bad_options_are_told_at_once(run):
    shown = invoke("baseline", run, "--resamples", "-1", "--splits", "-1", "--cores", "0")
    assert shown.exit_code == 2
    for words in ("resamples: found -1", "splits: found -1", "cores: found 0"):
        assert shown.stderr.count(words) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.rename(columns={"fold": "flod"}), 'column "fold" is missing'),
        (lambda t: pd.concat([t, t.head(1)]), "row 1: occurs 2 times"),
        (lambda t: t.assign(row=t["row"] + 200), "not in small.csv, whose rows are 1 to 200"),
        (lambda t: t.iloc[10:], "development patients without a fold"),
        (lambda t: t.assign(fold=t["fold"] + 0.5), "a whole number is needed"),
        (lambda t: t.assign(fold=1), "2 or more folds are needed"),
    ],
)
def test_a_file_of_folds_that_does_not_fit_changes_nothing(run, tmp_path, change, words):
    rows = np.arange(1, 201)
    path = tmp_path / "folds.csv"
    change(pd.DataFrame({"row": rows, "fold": rows % 5})).to_csv(path, index=False)
    before = contents(run)
    shown = invoke("baseline", run, "--resamples", "5", "--folds", path)
    assert shown.exit_code == 2
    assert words in shown.stderr
    assert "folds.csv does not give the folds" in shown.stderr
    assert "Nothing was written" in shown.stderr
    assert contents(run) == before


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("tcp://127.0.0.1:9", "no scheduler answers at tcp://127.0.0.1:9"),
        ("nonsense", 'found "nonsense"; expected such as tcp://HOST:8786'),
        ("", "that of the cluster's scheduler is needed"),
    ],
)
def test_a_cluster_that_does_not_answer_changes_nothing(run, address, words, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("bayes_cmvt.workers.CONNECT_WITHIN", 0.5)
    before = contents(run)
    shown = invoke("baseline", run, "--resamples", "5", "--cluster", address, *BRIEF)
    assert shown.exit_code == 2
    assert words in shown.stderr
    assert contents(run) == before


def test_no_run_no_baseline(tmp_path):
    shown = invoke("baseline", tmp_path / "nowhere")
    assert shown.exit_code == 2
    assert "does not exist" in shown.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_shared_copy_has_no_patients_to_resample(run):
    (run / "cohort.parquet").unlink()
    before = contents(run)
    shown = invoke("baseline", run, *BRIEF)
    assert shown.exit_code == 2
    assert "holds no cohort.parquet" in shown.stderr
    assert "sample again" in shown.stderr
    assert contents(run) == before


def test_rows_of_another_run_are_refused(run):
    rows = pd.read_parquet(run / "cohort.parquet")
    rows.assign(**{"(outcome)": 1 - rows["(outcome)"]}).to_parquet(run / "cohort.parquet")
    before = contents(run)
    shown = invoke("baseline", run, "--resamples", "5", *BRIEF)
    assert shown.exit_code == 2
    assert contents(run) == before


def test_a_run_that_is_not_to_be_trusted_says_so_again(tmp_path):
    few = ["--chains", "2", "--warmup", "10", "--draws", "20"]
    assert sample(tmp_path / "s", options=few).exit_code == 3
    run = tmp_path / "s" / "run"
    shown = invoke("baseline", run, "--resamples", "5", *BRIEF)
    assert shown.exit_code == 3
    assert "not to be trusted" in shown.stderr
    reasons = json.loads((run / "run.json").read_text())["diagnostics"]["problems"]
    assert reasons[0] in shown.stderr
    assert (run / "tables/baseline_coefficients.csv").is_file()


# --- Patients of whom little can be learnt -------------------------------------------------------

PLAIN = """
schema = 1
name = "plain"
title = "Plain"
[outcome]
column = "y"
event = 1
{}
[baseline]
resamples = 20
{}
"""


def plain(place, matrix, events, settings=""):
    """A run of one continuous predictor for each column."""
    names = [f"x{j}" for j in range(matrix.shape[1])]
    declared = "\n".join(f'[[predictors]]\nname = "{one}"\nkind = "continuous"' for one in names)
    frame = pd.DataFrame(matrix.round(4), columns=names)
    frame["y"] = (np.arange(len(frame)) < events).astype(int)
    few = ["--chains", "2", "--warmup", "50", "--draws", "100"]
    shown = sample(place, study=PLAIN.format(declared, settings), frame=frame, options=few)
    assert shown.exit_code in (0, 3), shown.output
    return place / "run"


def normal(n, columns, seed=3):
    return np.random.default_rng(seed).normal(size=(n, columns))


def separated():
    matrix = normal(60, 3)
    matrix[:, 0] = np.where(np.arange(60) < 20, 1, -1) * (1 + np.abs(matrix[:, 0]))
    return matrix


def thin():
    matrix = normal(80, 3)
    matrix[:, 2] = np.arange(80) == 3
    return matrix


@pytest.mark.parametrize(
    ("matrix", "events", "settings", "words"),
    [
        (normal(30, 40), 15, "", "keeps"),
        (separated(), 20, "", "separation by x0; estimates are Firth's, risks those of FLAC"),
        (thin(), 30, "p_enter = 1", "a column that is constant"),
        (normal(60, 3), 5, "", "fewer folds than asked for"),
        (normal(60, 3), 2, "", "fewer than two distinct patients of an outcome: no folds"),
        (normal(80, 3), 30, "screen_p = 1e-9", "The final model has no predictor"),
    ],
    ids=[
        *["more columns than patients", "separated", "constant in a resample"],
        *["fewer events than folds", "two events", "nothing screened"],
    ],
)
def test_difficult_patients_give_a_named_and_counted_outcome(
    tmp_path, matrix, events, settings, words
):
    run = plain(tmp_path / "s", matrix, events, settings)
    asked = BaselineRequest(run, EvaluationSettings(replicates=100, repeats=1, splits=2))
    result = baseline_run(asked, say=print)
    shown = baseline_text(baseline_record(result))
    assert words in shown
    assert "nan" not in shown.lower()
    json.dumps(baseline_record(result), allow_nan=False)
    counts = table(run, "baseline_resamples").query("scheme == 'bootstrap'")
    statuses = counts[counts["what"].isin(STATUSES.values())]
    assert statuses["resamples"].sum() == 20
    found = table(run, "baseline_coefficients")
    numbers = found.loc[found["selected_final"], ["coef", "se", "odds_ratio"]]
    assert np.isfinite(numbers).all(axis=None)
    assert (run / "tables/lasso.json").exists() == ("screen_p" not in settings)
    assert baseline_run(asked, say=print).reused
    assert not (run / KEPT).exists()


def test_patients_of_whom_no_model_can_be_made_change_nothing(run, monkeypatch):
    def fail(patients, settings, seed):
        everything = np.ones(patients.columns.shape[1], dtype=bool)
        return PipelineFit("failed", everything, reason="x9 went astray")

    monkeypatch.setattr(module, "run_pipeline", fail)
    before = contents(run)
    shown = invoke("baseline", run, *BRIEF)
    assert shown.exit_code == 2
    assert "finds no model for the 150 development patients: x9 went astray" in shown.stderr
    assert contents(run) == before


def test_a_damaged_fit_is_made_anew_and_said_to_be(done):
    whole = (done / "baseline.nc").read_bytes()
    (done / "baseline.nc").write_bytes(whole[:3000])
    said = []
    result = baseline_run(request(done), say=said.append)
    assert not result.reused
    assert any("baseline.nc is damaged" in one for one in said)
    assert (done / "baseline.nc").read_bytes() == whole
