"""``bayes-cmvt reconstruct``, and how what is made from a synthetic cohort says so."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import bayes_cmvt as bc
from bayes_cmvt.glossary import COLUMNS
from tests.baseline_study import invoke


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reconstruct") / "run"
    done = invoke("reconstruct", "cmvt", "--out", folder, "--seed", "7")
    assert done.exit_code == 0, done.output
    return folder, done.stdout


@pytest.fixture(scope="module")
def sampled(made):
    out = made[0].parent / "sampled"
    done = invoke(
        *["sample", made[0] / "study.toml", "--out", out, "--warmup", "200", "--draws", "400"]
    )
    assert done.exit_code in (0, 3), done.output
    return out, done.stdout


def test_the_files_of_the_contract_stand_in_the_folder(made):
    folder, _ = made
    cohort = pd.read_csv(folder / "cohort_SYNTHETIC.csv")
    study = bc.load_study("cmvt")
    names = [one.name for one in study.predictors]
    assert cohort.columns.tolist() == [*names, "cmvt", "set"]
    assert len(cohort) == 319
    assert (folder / "assumptions.md").read_text().startswith("SYNTHETIC")
    agreement = pd.read_csv(folder / "tables" / "agreement.csv")
    leading = ["quantity", "printed", "achieved", "tolerance", "agrees"]
    assert agreement.columns[:5].tolist() == leading
    targeted = agreement[agreement["tolerance"] != "not targeted"]
    assert targeted["agrees"].astype(str).eq("True").all()
    assert set(agreement) <= set(COLUMNS)


def test_the_screen_prints_the_agreement_and_what_was_rejected(made):
    assert "SYNTHETIC: made to agree with printed results" in made[1]
    assert "anaesthesia: odds ratio" in made[1]
    assert "rejected" in made[1]
    assert "NO" not in {line.split()[-1] for line in made[1].splitlines() if line.strip()}


def test_what_is_sampled_from_it_says_synthetic_everywhere(sampled):
    folder, text = sampled
    assert text.splitlines()[0].startswith("cmvt  SYNTHETIC: ")
    assert "no patient is in it" in text
    assert (folder / "study.toml").read_text().count("SYNTHETIC") >= 2
    for path in (folder / "tables").glob("*.csv"):
        table = pd.read_csv(path)
        assert table.columns[-1] == "cohort", path.name
        assert table["cohort"].eq("SYNTHETIC").all(), path.name


def test_later_stages_and_risks_of_new_patients_say_so_too(sampled, made):
    folder, _ = sampled
    brief = ["--repeats", "1", "--splits", "0", "--folds", "3", "--replicates", "100"]
    done = invoke("validate", folder, *brief)
    assert done.exit_code in (0, 3), done.output
    assert "SYNTHETIC: " in done.stdout.splitlines()[0]
    assert pd.read_csv(folder / "tables" / "performance.csv")["cohort"].eq("SYNTHETIC").all()
    again = invoke("validate", folder, *brief)
    assert again.stdout.splitlines()[0] == done.stdout.splitlines()[0]
    risks = invoke("predict", folder, "--data", made[0] / "cohort_SYNTHETIC.csv")
    assert risks.stdout.splitlines()[0].endswith(",cohort")


def test_real_patients_of_the_same_study_are_not_called_synthetic(made, tmp_path):
    file = tmp_path / "own.csv"
    file.write_bytes((made[0] / "cohort_SYNTHETIC.csv").read_bytes())
    done = invoke("check", "cmvt", "--data", file)
    assert done.exit_code == 0, done.output
    assert bc.load_cohort(bc.load_study("cmvt"), file).title.startswith("Calf")


def test_figures_carry_the_notice():
    from bayes_cmvt.figures import add_headline
    from bayes_cmvt.figures.style import blank_figure, figure_mm, panel
    from bayes_cmvt.synthetic import NOTICE

    figure = blank_figure(85.0, 60.0)
    axes = panel(figure, 10.0, 5.0, 60.0, 40.0)
    before = axes.get_position().bounds
    add_headline(figure, NOTICE)
    across, down = figure_mm(figure)
    assert (across, figure.texts[0].get_text().replace("\n", " ")) == (85.0, NOTICE)
    after = axes.get_position().bounds
    # the panel keeps its size and its distance from the lower edge, in millimetres
    assert [after[1] * down, after[3] * down] == pytest.approx([before[1] * 60, before[3] * 60])
    top = figure.texts[0].get_window_extent(figure.canvas.get_renderer())
    assert top.y0 > axes.get_window_extent().y1


def test_several_copies_differ_in_what_the_print_leaves_open(tmp_path):
    done = invoke("reconstruct", "cmvt", "--copies", "2", "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["files"][0] == "cohort_SYNTHETIC_01.csv"
    table = pd.read_csv(tmp_path / "out" / "tables" / "reconstructions.csv")
    assert table["correlation"].nunique() == 2
    concluded = pd.read_csv(tmp_path / "out" / "tables" / "reconstruction_conclusions.csv")
    assert concluded.groupby("file")["term"].nunique().tolist() == [6, 6]
    bed = concluded[concluded["term"] == "out_of_bed_day1"]
    assert (bed["odds_ratio"] < 0.7).all()
    assert bed["odds_ratio"].nunique() == 2
    assert concluded["cohort"].eq("SYNTHETIC").all()
    assert set(concluded) <= set(COLUMNS)
    first, second = (Path(tmp_path / "out" / name).read_text() for name in record["files"])
    assert first != second


def test_what_cannot_be_reconstructed_is_refused(tmp_path):
    for arguments, message in (
        (["pep"], "[[published.coefficients]] is missing"),
        (["cmvt", "--copies", "0"], "--copies: found 0"),
        (["cmvt", "--events", "300", "34"], "found 300; allowed: 1 to 223 of 224 patients"),
    ):
        done = invoke("reconstruct", *arguments, "--out", tmp_path / "out")
        assert done.exit_code == 2, done.output
        assert message in done.stderr
        assert not (tmp_path / "out").exists()
