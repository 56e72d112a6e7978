"""``bayes-cmvt report``: a run as one HTML file for readers, and as a Word document."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bayes_cmvt.errors import OptionError
from bayes_cmvt.stages import Say, StageResult, doubts, unchanged

if TYPE_CHECKING:
    import pandas as pd

    from bayes_cmvt.progress import Report
    from bayes_cmvt.report.material import FigureImage, ReportRun
    from bayes_cmvt.study import Study

STAGE, POSTERIOR = "report", "horseshoe"
FORMAT = 1  # of the report: another one is made anew
USUAL_REPEATS, USUAL_RESAMPLES = 5, 1000
PAGE, WORD = "report{}.html", "report{}.docx"

type Language = Literal["en", "zh"]


@dataclass(frozen=True)
class ReportRequest:
    """What ``bayes-cmvt report`` was asked for; ``language`` None: that of the study."""

    run: Path
    docx: bool = False
    language: str | None = None
    cores: int | None = None
    overwrite: bool = False


def report_run(request: ReportRequest, *, say: Say, report: Report | None = None) -> StageResult:
    """Write the report of a run; figures, and what they need, are made first.

    Parameters
    ----------
    request : ReportRequest
    say : callable
        Takes one line of news for the user.
    report : callable, optional
        Takes a `SamplingState` a few times a second.

    Returns
    -------
    StageResult
        Without tables; ``record["files"]`` gives the bytes of each file.

    Raises
    ------
    InputError
        The run or the options cannot be used.
    """
    from bayes_cmvt import runs
    from bayes_cmvt.report.figure_images import figure_images
    from bayes_cmvt.report.report import report_document
    from bayes_cmvt.report.web_page import report_page
    from bayes_cmvt.report.word_file import report_word

    started = time.perf_counter()
    runs.read_run(request.run)
    language = _language(request)
    figures = _figures(request, say, report)
    run = runs.read_run(request.run)
    for note in version_notes(run):
        say(note)
    tables = shareable_tables(request.run)
    inputs = _inputs(request, run, tables, figures, language)
    study = _study(request.run)
    stage = STAGE if language == study.heading.language else f"{STAGE}-{language}"
    done = None if request.overwrite else unchanged(request.run, run, stage, inputs, say)
    if done is not None:
        return StageResult(request.run, stage, done, {}, doubts(run, POSTERIOR), reused=True)
    images = figure_images(figures.pngs, figures.dpi)
    document = report_document(_material(request.run, run, study, tables, images, language))
    other = "" if language == study.heading.language else f"_{language}"
    files = {PAGE.format(other): report_page(document).encode("utf-8")}
    if request.docx:
        files[WORD.format(other)] = report_word(document)
    record = {
        "inputs": inputs,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - started, 3),
        "language": language,
        "files": {name: len(content) for name, content in files.items()},
    }
    runs.add_stage(request.run, stage, record, {}, files=files)
    return StageResult(request.run, stage, record, {}, doubts(run, POSTERIOR), reused=False)


def _study(folder: Path) -> Study:
    from bayes_cmvt.study import load_study

    return load_study(folder / "study.toml")


def _language(request: ReportRequest) -> Language:
    """The language asked for, else that of the study."""
    allowed: Mapping[str, Language] = {"en": "en", "zh": "zh"}
    found = request.language or _study(request.run).heading.language
    if found not in allowed:
        msg = f'--language: found "{found}"; allowed: "en", "zh"'
        raise OptionError(msg)
    return allowed[found]


def shareable_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Tables of a run that have no row for each patient, by name."""
    from bayes_cmvt.runs import load_table

    found = {path.stem: load_table(folder, path.stem) for path in (folder / "tables").glob("*.csv")}
    return {
        name: table
        for name, table in sorted(found.items())
        if table is not None and "row" not in table
    }


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Figures as they were drawn: PNG by name, and their dots per inch."""

    pngs: Mapping[str, bytes]
    dpi: float


def _figures(request: ReportRequest, say: Say, report: Report | None) -> _Drawn:
    """Figures of the run that may be shared, as they were drawn; drawn first where need be."""
    from bayes_cmvt.figures_run import FiguresRequest, drawn_pngs, figures_run

    found = drawn_pngs(request.run)
    if found is None:
        figures_run(FiguresRequest(request.run, cores=request.cores), say=say, report=report)
        found = drawn_pngs(request.run)
    return _Drawn(*(found or ({}, 300)))


def _inputs(
    request: ReportRequest,
    run: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    figures: _Drawn,
    language: str,
) -> dict[str, Any]:
    """What the report depends on: tables, figures, what the run says of itself, the words."""
    content = hashlib.sha256()
    for name in tables:
        content.update(name.encode("utf-8"))
        content.update((request.run / "tables" / f"{name}.csv").read_bytes())
    for png in figures.pngs.values():
        content.update(png)
    told = {key: value for key, value in run.items() if key != "stages"}
    # the calculator comes after the report and is not in it
    stages = {
        key: value
        for key, value in run.get("stages", {}).items()
        if not key.startswith((STAGE, "calculator"))
    }
    content.update(json.dumps([told, stages], sort_keys=True).encode("utf-8"))
    return {
        "format": FORMAT,
        "package": version("bayes-cmvt"),
        "content": content.hexdigest(),
        "language": language,
        "docx": request.docx,
    }


def _material(
    folder: Path,
    run: Mapping[str, Any],
    study: Study,
    tables: Mapping[str, pd.DataFrame],
    figures: Mapping[str, FigureImage],
    language: Language,
) -> ReportRun:
    from bayes_cmvt.comparison_words import comparison_paragraph
    from bayes_cmvt.figures_run import run_penalties
    from bayes_cmvt.report.material import ReportRun

    agreement = tables.get("compare_agreement")
    return ReportRun(
        run=run,
        study=study,
        tables=tables,
        penalties=run_penalties(folder),
        figures=figures,
        paragraph=() if agreement is None else comparison_paragraph(agreement, language=language),
        problems=doubts(run, POSTERIOR),
        language=language,
        notes=(*version_notes(run, language), *first_look(run, language)),
    )


def version_notes(run: Mapping[str, Any], language: Language = "en") -> tuple[str, ...]:
    """What is to be said of a run that another version of the package made."""
    made, here = run["versions"]["bayes-cmvt"], version("bayes-cmvt")
    if made == here:
        return ()
    words = {
        "en": f"This run was made by bayes-cmvt {made}, the report by {here}: its numbers are "
        f"those of {made}. To have all of one version, run `bayes-cmvt reanalyse` again with "
        "--overwrite.",
        "zh": f"本次运行由 bayes-cmvt {made} 生成，报告由 {here} 生成：其中的数字出自 {made}。若需"
        "全部出自同一版本，请以 --overwrite 重新运行 `bayes-cmvt reanalyse`。",
    }
    return (words[language],)


def first_look(run: Mapping[str, Any], language: Language = "en") -> tuple[str, ...]:
    """What is to be said of a run whose figures rest on fewer repetitions than by default."""
    stages = run.get("stages", {})
    judged, resampled = (
        stages.get(name, {}).get("inputs", {}) for name in ("validate", "baseline")
    )
    repeats = judged.get("settings", {}).get("repeats", USUAL_REPEATS)
    few = repeats < USUAL_REPEATS or resampled.get("resamples", USUAL_RESAMPLES) < USUAL_RESAMPLES
    if not few:
        return ()
    words = {
        "en": "A first look: fewer resamples or repetitions than by default; the methods say how "
        "many.",
        "zh": "初步结果：重抽样或重复次数少于默认值；具体次数见方法部分。",
    }
    return (words[language],)
