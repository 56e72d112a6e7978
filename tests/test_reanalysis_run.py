"""Every stage in one go, on a study whose words are hostile: files, resuming, marks, privacy."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayes_cmvt import runs
from bayes_cmvt.errors import RunError
from bayes_cmvt.figures.supplementary import FIGURES
from bayes_cmvt.glossary import COLUMNS
from tests.baseline_study import STUDY, contents, invoke, patients

SCRIPT = "<script>alert('x')</script>"
FORMULA = "=1+1"
HOSTILE = (
    STUDY.replace('title = "Small"', f'title = "A {SCRIPT} & \\"title\\" $x$"')
    .replace('name = "age"\n', f'name = "age"\nlabel = "{FORMULA}"\n')
    .replace('name = "marker"\n', f'name = "marker"\nlabel = "{SCRIPT}"\n')
    .replace('name = "noise"\n', f'name = "noise"\nlabel = "{"very long " * 60}"\n')
    .replace('name = "sex"\n', 'name = "sex"\nlabel = "@sex $\\\\frac{1}{2}$"\n')
)
STAGES = (
    *("sample", "baseline", "validate", "compare", "select", "supplement"),
    *("nomogram", "figures", "report", "calculator"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("reanalysis")
    (place / "hostile.toml").write_text(HOSTILE, encoding="utf-8")
    patients(120).to_csv(place / "patients.csv", index=False)
    result = invoke(*_command(place), "--docx")
    assert result.exit_code == 0, result.output
    return place


def _command(place: Path, out: Path | None = None) -> tuple[object, ...]:
    study, data = place / "hostile.toml", place / "patients.csv"
    out = out or place / "run"
    return (
        "reanalyse",
        study,
        "--data",
        data,
        "--out",
        out,
        "--resamples",
        60,
        "--quick",
        "--format",
        "png",
    )


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be spoilt."""
    return shutil.copytree(folder / "run", tmp_path / "run")


def test_every_stage_is_recorded_and_every_file_of_it_is_there(folder: Path) -> None:
    run = folder / "run"
    record = runs.read_run(run)
    assert {"baseline", "validate", "compare", "select", "supplement"} <= set(record["stages"])
    for stage in record["stages"].values():
        assert all((run / name).is_file() for name in stage.get("files", ()))
    for name in ("report.html", "report.docx", "calculator.html", "figures/contact_sheet.png"):
        assert (run / name).stat().st_size > 10_000


def test_every_figure_has_its_csv_with_the_rows_of_its_tables(folder: Path) -> None:
    run = folder / "run"
    assert len(FIGURES) == 17
    for figure in FIGURES:
        assert (run / f"figures/{figure.name}.png").is_file()
        found = pd.read_csv(run / f"figures/{figure.name}.csv")
        names = [name for name in (*figure.needs, *figure.also)]
        tables = [runs.load_table(run, name) for name in names]
        expected = sum(len(table) for table in tables if table is not None)
        assert len(found) == expected, figure.name


def test_the_same_command_again_keeps_every_stage(folder: Path) -> None:
    before = contents(folder / "run")
    result = invoke(*_command(folder), "--docx", "--json", "--quiet")
    assert result.exit_code == 0, result.output
    stages = json.loads(result.stdout)["stages"]
    assert [one["stage"] for one in stages] == list(STAGES)
    assert all(one["reused"] for one in stages)
    assert contents(folder / "run") == before


def test_another_seed_in_the_same_folder_is_refused_and_named(folder: Path) -> None:
    before = contents(folder / "run")
    result = invoke(*_command(folder), "--seed", 7)
    assert result.exit_code == 2
    assert "seed: 2025 in the run, 7 asked for" in result.output
    assert contents(folder / "run") == before


def test_a_stage_that_is_missing_is_made_again_and_the_others_are_kept(folder: Path) -> None:
    run = folder / "run"
    before = contents(run)
    (run / "tables" / "compare_risks.csv").unlink()
    result = invoke(*_command(folder), "--docx", "--json", "--quiet")
    stages = {one["stage"]: one["reused"] for one in json.loads(result.stdout)["stages"]}
    assert [name for name, reused in stages.items() if not reused] == ["compare", "report"]
    after = contents(run)
    # times of day are written down; no number of any table or figure may differ
    for name, content in before.items():
        if name.startswith(("tables/", "figures/")):
            assert after[name] == content, name


@pytest.mark.parametrize(
    ("stop", "status"), [(KeyboardInterrupt(), 130), (RunError("the disk is full"), 2)]
)
def test_a_stage_that_stops_leaves_those_before_and_says_so(
    folder: Path, run: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException, status: int
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise stop

    monkeypatch.setattr("bayes_cmvt.report_run.report_run", stopped)
    result = invoke(*_command(folder, run), "--docx")
    assert result.exit_code == status
    assert "tages before report are in" in result.output
    assert "Nothing was written" not in result.output
    monkeypatch.undo()
    if status != 130:
        return  # going on is the same whatever stopped it
    again = invoke(*_command(folder, run), "--docx", "--json", "--quiet")
    assert again.exit_code == 0
    assert all(one["reused"] for one in json.loads(again.stdout)["stages"])


def test_every_column_is_in_the_glossary(folder: Path) -> None:
    for path in (folder / "run" / "tables").glob("*.csv"):
        table = runs.load_table(folder / "run", path.stem)
        assert table is not None
        if path.stem != "lasso_path":
            assert set(table) <= set(COLUMNS), path.stem


def test_no_cell_of_any_csv_begins_like_a_formula(folder: Path) -> None:
    for path in (folder / "run").rglob("*.csv"):
        table = pd.read_csv(path, dtype=str, keep_default_na=False, header=None)
        for cell in np.unique(table.to_numpy().ravel()):
            if cell.startswith(("=", "+", "-", "@", "\t", "\r")):
                float(cell)  # a number, or this raises
    labels = runs.load_table(folder / "run", "coefficients")
    assert labels is not None
    assert FORMULA in set(labels["label"])


def test_hostile_words_are_text_in_page_and_word(folder: Path) -> None:
    import docx

    page = (folder / "run" / "report.html").read_text(encoding="utf-8")
    assert SCRIPT not in page
    assert "&lt;script&gt;alert(" in page
    assert not re.search(r"src=[\"']?https?:", page)
    document = docx.Document(str(folder / "run" / "report.docx"))
    text = "\n".join(paragraph.text for paragraph in document.paragraphs)
    assert SCRIPT in text


def test_nothing_of_a_patient_is_in_what_is_shared(folder: Path) -> None:
    """No limit of a patient's risk is in the page; marks hold five patients or more."""
    run = folder / "run"
    own = runs.load_table(run, "compare_risks")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert own is not None
    for column in ("credible_lower", "bootstrap_upper", "wald_lower"):
        for value in own[column]:
            assert f"{value!r}" not in page
    for name in ("compare_risk_marks", "instability"):
        table = runs.load_table(run, name)
        assert table is not None
        assert "row" not in table
        assert table["patients"].min() >= 5


def _distrusted(run: Path) -> None:
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    record["diagnostics"] |= {"trusted": False, "problems": ["R-hat of tau is 1.2"]}
    (run / "run.json").write_text(json.dumps(record), encoding="utf-8")


def test_a_run_that_failed_its_diagnostics_is_marked_on_figures(run: Path) -> None:
    """Three manners of drawing stand for all: a headline, a patient to a mark, a nomogram."""
    _distrusted(run)
    names = ("roc", "compare_risks_patients", "nomogram_horseshoe")
    before = contents(run)
    result = invoke("figures", run, "--only", ",".join(names), "--format", "png", "--json")
    assert result.exit_code == 3
    assert "R-hat of tau is 1.2" in result.output
    after = contents(run)
    assert not [
        name for name in names if after[f"figures/{name}.png"] == before[f"figures/{name}.png"]
    ]


def test_a_run_that_failed_its_diagnostics_is_marked_on_the_report(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _distrusted(run)
    # figures drawn before are out of date, and drawing all of them is another test's
    monkeypatch.setattr("bayes_cmvt.figures_run.drawn_pngs", lambda _: ({}, 300))
    result = invoke("report", run)
    assert result.exit_code == 3
    assert "R-hat of tau is 1.2" in result.output
    assert "R-hat of tau is 1.2" in (run / "report.html").read_text(encoding="utf-8")


def test_figures_of_an_untrusted_run_are_not_taken_for_current(run: Path) -> None:
    from bayes_cmvt.figures_run import drawn_pngs

    assert drawn_pngs(run) is not None
    _distrusted(run)
    assert drawn_pngs(run) is None


def test_a_run_of_another_version_is_said_to_be(run: Path) -> None:
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    record["versions"]["bayes-cmvt"] = "0.0.1"
    (run / "run.json").write_text(json.dumps(record), encoding="utf-8")
    result = invoke("report", run)
    assert result.exit_code == 0, result.output
    assert "0.0.1" in result.output
    assert "0.0.1" in (run / "report.html").read_text(encoding="utf-8")


def test_a_copy_without_patients_draws_what_it_has_and_names_the_rest(run: Path) -> None:
    """As a shared copy is: no rows, so no stage can be made again."""
    (run / "cohort.parquet").unlink()
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    del record["stages"]["supplement"]
    (run / "run.json").write_text(json.dumps(record), encoding="utf-8")
    (run / "tables" / "shrinkage.csv").unlink()
    result = invoke("figures", run, "--json", "--format", "png", "--only", "shrinkage,flow,roc")
    assert result.exit_code == 0, result.output
    drawn = json.loads(result.stdout)
    assert set(drawn["left_out"]) == {"shrinkage"}
    assert "holds no cohort.parquet" in drawn["left_out"]["shrinkage"]


def test_formats_width_and_names_are_refused_in_words_all_at_once(run: Path) -> None:
    result = invoke("figures", run, "--format", "jpg", "--width", "wide", "--dpi", "2")
    assert result.exit_code == 2
    for words in ("found jpg", 'found "wide"', "found 2; allowed: 50 to 2400"):
        assert words in result.output
    result = invoke("figures", run, "--only", "rok")
    assert result.exit_code == 2
    assert '"roc"' in result.output


def test_one_figure_in_other_formats_at_another_width(run: Path) -> None:
    from matplotlib.image import imread

    sheet = (run / "figures/contact_sheet.png").read_bytes()
    result = invoke(
        *("figures", run, "--only", "decision_curve", "--format", "svg,tiff,png"),
        *("--width", "100", "--dpi", "127"),
    )
    assert result.exit_code == 0, result.output
    assert (run / "figures/decision_curve.svg").read_bytes().startswith(b"<?xml")
    tiff = (run / "figures/decision_curve.tiff").read_bytes()
    assert tiff[:2] in (b"II", b"MM")
    image = imread(io.BytesIO((run / "figures/decision_curve.png").read_bytes()))
    assert image.shape[1] == 500  # 100 mm at 5 dots a mm
    assert (run / "figures/contact_sheet.png").read_bytes() == sheet  # that of all figures


def test_another_language_has_a_file_of_its_own(run: Path) -> None:
    english = (run / "report.html").read_bytes()
    result = invoke("report", run, "--language", "zh")
    assert result.exit_code == 0, result.output
    assert (run / "report.html").read_bytes() == english
    page = (run / "report_zh.html").read_text(encoding="utf-8")
    assert 'lang="zh' in page


def test_a_first_look_says_that_it_is_one(folder: Path) -> None:
    assert "A first look" in (folder / "run" / "report.html").read_text(encoding="utf-8")


def test_report_language_is_refused_in_words(run: Path) -> None:
    result = invoke("report", run, "--language", "de")
    assert result.exit_code == 2
    assert 'allowed: "en", "zh"' in result.output


def test_limits_of_two_probabilities_are_not_compared(run: Path) -> None:
    result = invoke("compare", run, "--interval", "0.8")
    assert result.exit_code == 2
    assert "baseline has intervals of 0.95, the comparison asks for 0.8" in result.output
    assert "validate has intervals of 0.95" in result.output
