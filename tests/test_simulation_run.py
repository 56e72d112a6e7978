"""``bayes-cmvt simulate`` through its command line: what it writes, refuses, and goes on from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_cmvt as bc
from bayes_cmvt import simulation_run, workers
from bayes_cmvt.progress import SamplingState
from bayes_cmvt.simulation_run import SimulationRequest, simulate
from bayes_cmvt.workers import Workers
from tests.baseline_study import STUDY, invoke, patients

COVERAGE = ("simulate", "coverage", "--quiet", "--seed", "3", "--n", "100")
SHORT = ("--replications", "3", "--resamples", "20")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small study file and its patients."""
    folder = tmp_path_factory.mktemp("simulate")
    (folder / "small.toml").write_text(STUDY + '[data]\nfile = "small.csv"\n', encoding="utf-8")
    patients().to_csv(folder / "small.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def done(folder: Path) -> Path:
    out = folder / "coverage"
    found = invoke(*COVERAGE, *SHORT, str(folder / "small.toml"), "--out", str(out))
    assert found.exit_code == 0, found.output
    return out


def read(folder: Path, name: str) -> pd.DataFrame:
    """A table; the scenario "null" is a name."""
    return pd.read_csv(folder / "tables" / f"{name}.csv", keep_default_na=False, na_values=[""])


def refused(*arguments: str) -> str:
    found = invoke(*arguments)
    assert found.exit_code == 2, found.output
    assert "Nothing was written." in found.output
    assert "Traceback" not in found.output
    return " ".join(found.output.split())


def test_folder_holds_tables_figures_and_what_was_asked(done: Path) -> None:
    names = {"coverage", "coverage_coefficients", "coverage_answer", "plug_in", "coverage_outcomes"}
    assert {file.stem for file in (done / "tables").iterdir()} == names
    drawn = {file.name for file in (done / "figures").iterdir()}
    assert {
        f"{name}.{kind}" for name in ("coverage", "plug_in") for kind in ("png", "pdf")
    } <= drawn
    run = json.loads((done / "run.json").read_text(encoding="utf-8"))
    assert run["settings"]["scenarios"] == ["study"]
    assert run["settings"]["replications"] == 3
    table = read(done, "coverage")
    assert list(table.columns[:8]) == [
        *("scenario", "target", "method", "coverage", "coverage_mcse", "width", "bias"),
        "interval_score",
    ]
    for name in names:
        for column in read(done, name):
            assert len(bc.define(column)) > 10
    assert not list(done.parent.glob(".*simulation-blocks*"))


def test_summary_says_whose_intervals_hold_the_truth(folder: Path, tmp_path: Path) -> None:
    words = (str(folder / "small.toml"), "--replications", "2", "--resamples", "0", "--n", "100")
    asked = ("simulate", "coverage", *words, "--scenario", "null", "--out")
    found = invoke(*asked, str(tmp_path / "a"))
    assert found.exit_code == 0
    for part in (
        "Whose intervals hold the truth?",
        "scenario null",
        "credible",
        "mean of the draws",
    ):
        assert part in found.output
    as_json = json.loads(invoke(*asked, str(tmp_path / "b"), "--json").stdout)
    assert {row["method"] for row in as_json["coverage"]} >= {"credible", "wald", "firth", "ridge"}
    for line in found.output.splitlines():
        assert len(line) < 140


@pytest.mark.slow  # as test_simulation_workers.py, and through a cluster there
def test_same_tables_in_processes(done: Path, folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    words = (str(folder / "small.toml"), "--processes", "--cores", "2", "--out", str(again))
    assert invoke(*COVERAGE, *SHORT, *words).exit_code == 0
    for file in (done / "tables").iterdir():
        assert (again / "tables" / file.name).read_bytes() == file.read_bytes(), file.name


def test_interrupted_simulation_keeps_finished_blocks_and_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = SimulationRequest(
        kind="coverage",
        study=str(folder / "small.toml"),
        replications=60,
        n=100,
        methods=("wald", "ridge"),
        seed=3,
        workers=Workers(cores=1),
        out=tmp_path / "out",
    )

    def stop(state: SamplingState) -> None:
        if state.finished >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"\d+ finished data sets are kept"):
        simulate(request, say=print, report=stop)
    assert not request.out.exists()  # type: ignore[union-attr]
    said: list[str] = []
    computed: list[int] = []
    from bayes_cmvt.simulation import coverage_study

    whole = coverage_study.coverage_block

    def counted(plan, block):
        computed.extend(block)
        return whole(plan, block)

    monkeypatch.setattr(coverage_study, "coverage_block", counted)
    result = simulate(request, say=said.append)
    assert "data sets finished before" in said[-1]
    assert 0 < len(set(computed)) < 60
    table = result.tables["coverage"]
    assert (table.loc[table["target"] == "risk", "data_sets"] == 60).all()


def test_a_large_file_is_a_population(folder: Path, tmp_path: Path) -> None:
    patients(1200).to_csv(folder / "large.csv", index=False)
    out = tmp_path / "population"
    words = ("--population", str(folder / "large.csv"), "--methods", "wald,ridge")
    found = invoke(
        *COVERAGE, "--replications", "3", *words, str(folder / "small.toml"), "--out", str(out)
    )
    assert found.exit_code == 0, found.output
    assert set(read(out, "coverage")["scenario"]) == {"population"}
    assert "Firth" not in found.output


def test_selection_is_replicated(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "selection"
    words = ("--replications", "3", "--folds", "0", "--n", "120", "--out", str(out))
    found = invoke("simulate", "selection", str(folder / "small.toml"), *words)
    assert found.exit_code == 0, found.output
    assert "true ones, kept in this share" in found.output
    rules = read(out, "selection_rules")
    assert set(rules["rule"]) == {"lasso", "p_rule", "kappa", "rope", "interval"}
    assert (out / "figures" / "selection_study.pdf").is_file()


def test_wrong_sampler_is_not_trusted_and_the_right_one_is(folder: Path, tmp_path: Path) -> None:
    """Few patients leave the scales to the prior, where the variant is most wrong."""
    few = folder / "few.toml"
    few.write_text(STUDY + '[data]\nfile = "few.csv"\n', encoding="utf-8")
    patients(40, seed=4).to_csv(folder / "few.csv", index=False)
    for engine, count, status in (("gibbs", "10", 0), ("gibbs-without-normaliser", "30", 3)):
        words = ("--engine", engine, "--replications", count, "--global-scale", "1")
        words += ("--slab-scale", "0.5", "--out", str(tmp_path / engine))
        found = invoke("simulate", "sbc", str(few), *words)
        assert found.exit_code == status, found.output
        run = json.loads((tmp_path / engine / "run.json").read_text(encoding="utf-8"))
        assert run["diagnostics"]["trusted"] == (status == 0)
        assert (tmp_path / engine / "figures" / "sbc.pdf").is_file()
    table = read(tmp_path / "gibbs", "sbc")
    assert list(table.columns[:1]) == ["quantity"]
    assert {"replications", "p_value", "inside_envelope"} <= set(table)
    for column in table:
        assert len(bc.define(column)) > 10


def test_everything_wrong_with_the_options_is_said_at_once(folder: Path) -> None:
    small = str(folder / "small.toml")
    said = refused("simulate", "coverage", small, "--replications", "0", "--engine", "nuts")
    assert "--engine: has no effect on simulate coverage" in said
    said = refused("simulate", "coverage", small, "--replications", "0", "--scenario", "std")
    assert "replications: found 0" in said
    assert 'scenario: found "std"' in said
    said = refused("simulate", "coverage", small, "--scenario", "densed,study")
    assert 'did you mean "dense"' in said
    said = refused("simulate", "covrage", small)
    assert 'did you mean "coverage"' in said
    said = refused("simulate", "coverage", small, "--population", str(folder / "small.csv"))
    assert "--population needs --n" in said
    said = refused(
        "simulate", "coverage", small, "--n", "7", "--methods", "firth", "--resamples", "0"
    )
    assert "n: found 7" in said
    said = refused("simulate", "sbc", small, "--engine", "nutz")
    assert "nuts" in said
    said = refused("simulate", "selection", small, "--posterior")
    assert "--posterior: has no effect on simulate selection" in said
    said = refused("simulate", "sbc", small, "--invariance")
    assert "takes no study" in said


def test_flat_fits_of_more_columns_than_patients_are_refused() -> None:
    said = refused("simulate", "coverage", "cmvt", "--n", "24", "--methods", "firth")
    assert "flat prior" in said
    assert "needs more than 26 patients" in said


def test_unreachable_cluster_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "CONNECT_WITHIN", 1.0)
    words = ("--cluster", "tcp://127.0.0.1:1", "--out", str(tmp_path / "out"))
    said = refused(*COVERAGE, *SHORT, str(folder / "small.toml"), *words)
    assert "no scheduler answers at tcp://127.0.0.1:1" in said


def test_scenario_of_one_class_is_an_error_in_words(folder: Path, tmp_path: Path) -> None:
    rare = folder / "rare.toml"
    rare.write_text(STUDY + '[data]\nfile = "rare.csv"\n', encoding="utf-8")
    table = patients(400, seed=4)
    table["y"] = 0
    table.loc[table.index[[1, 2, 3]], "y"] = 1
    table.to_csv(folder / "rare.csv", index=False)
    words = ("--replications", "2", "--resamples", "0", "--n", "20", "--scenario", "null")
    said = refused("simulate", "coverage", str(rare), *words, "--out", str(tmp_path / "out"))
    assert "none of the data sets has two patients of each outcome" in said


def test_later_commands_name_a_folder_that_holds_no_posterior(done: Path) -> None:
    for command in ("report", "figures", "compare", "sensitivity", "baseline", "validate"):
        said = refused(command, str(done))
        assert "was made by `simulate coverage` and holds no posterior" in said


def test_no_patient_is_in_the_folder(done: Path) -> None:
    """No value that a single patient has stands in any table."""
    alone = patients()["marker"].astype(str)
    text = "".join(file.read_text(encoding="utf-8") for file in (done / "tables").iterdir())
    numbers = set(re.findall(r"\d+\.\d+", text))
    assert not numbers & set(alone)
    assert not np.isin(["row", "patient"], read(done, "coverage").columns).any()


def test_replications_have_defaults_of_their_kind() -> None:
    assert SimulationRequest("sbc").asked_replications == 1000
    assert SimulationRequest("sbc", engine="nuts").asked_replications == 100
    assert SimulationRequest("coverage").asked_replications == 500
    assert SimulationRequest("sbc", invariance=True).asked_replications == 10_000
    assert set(simulation_run.KINDS) == {"sbc", "coverage", "selection"}
