"""``bayes-cmvt figures``: the supplementary figures of a run, each with the CSV behind it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bayes_cmvt.errors import OptionError, RunError, quoted
from bayes_cmvt.stages import (
    Make,
    Say,
    StageResult,
    StageSettings,
    doubts,
    make_missing,
    settings_like,
    unchanged,
)
from bayes_cmvt.synthetic import NOTICE, is_synthetic

if TYPE_CHECKING:
    import pandas as pd

    from bayes_cmvt.figures.supplementary import Material, Supplementary
    from bayes_cmvt.nomogram_scales import Nomogram
    from bayes_cmvt.progress import Report
    from bayes_cmvt.refits import RefitMemory
    from bayes_cmvt.study import Study

STAGE, POSTERIOR = "figures", "horseshoe"
FORMAT = 1  # of the figures: those of another are drawn anew
FORMATS = ("png", "pdf", "svg", "tiff")
WIDTHS: Mapping[str, float] = MappingProxyType({"single": 85.0, "double": 175.0})
TEXTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"nomogram": ("axis", "value", "label", "unit", "kind")}
)
CONTACT_SHEET = "figures/contact_sheet.png"
SHEET_DPI = 70.0


@dataclass(frozen=True)
class FiguresRequest:
    """What ``bayes-cmvt figures`` was asked for; ``width`` "fit": as each figure needs."""

    run: Path
    formats: tuple[str, ...] = ("png", "pdf")
    only: tuple[str, ...] = ()
    width: str = "fit"
    dpi: int = 300
    cores: int | None = None
    overwrite: bool = False


def figures_run(request: FiguresRequest, *, say: Say, report: Report | None = None) -> StageResult:
    """Draw the supplementary figures of a run and add them to its folder.

    Stages that a figure needs are run first where they are not there; what cannot be run is named,
    and its figures are left out.

    Parameters
    ----------
    request : FiguresRequest
    say : callable
        Takes one line of news for the user.
    report : callable, optional
        Takes a `SamplingState` a few times a second.

    Returns
    -------
    StageResult
        Without tables; ``record`` names the figures, and those that were left out.

    Raises
    ------
    InputError
        The run or the options cannot be used, or none of the figures can be drawn.
    """
    from bayes_cmvt import runs
    from bayes_cmvt.figures.supplementary import figures_named

    started = time.perf_counter()
    _check_request(request)
    wanted = figures_named(request.only)
    settings = settings_like(runs.read_run(request.run))
    impossible = _make_needed(request, wanted, settings, say, report)
    run = runs.read_run(request.run)
    material = run_material(request.run, run)
    drawn, left_out = _possible(wanted, material, impossible, say)
    inputs = _inputs(request, run, material, drawn)
    done = None if request.overwrite else unchanged(request.run, run, STAGE, inputs, say)
    if done is not None:
        return StageResult(request.run, STAGE, done, {}, doubts(run, POSTERIOR), reused=True)
    files = _files(request, drawn, material, run)
    record = {
        "inputs": inputs,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - started, 3),
        "figures": {one.name: one.title for one in drawn},
        "private": [one.name for one in drawn if one.private],
        "left_out": left_out,
        "formats": list(request.formats),
        "files": list(files),
    }
    runs.add_stage(request.run, STAGE, record, {}, files=files)
    return StageResult(request.run, STAGE, record, {}, doubts(run, POSTERIOR), reused=False)


def _check_request(request: FiguresRequest) -> None:
    problems = []
    unknown = [kind for kind in request.formats if kind not in FORMATS]
    if unknown or not request.formats:
        problems.append(
            f"--format: found {', '.join(unknown) or 'none'}; allowed: {quoted(FORMATS)}"
        )
    if request.width != "fit" and _width(request.width) is None:
        problems.append(
            f'--width: found "{request.width}"; allowed: "fit", "single" (85 mm), "double" (175 '
            "mm), or a number of mm from 60 to 400"
        )
    if not 50 <= request.dpi <= 2400:
        problems.append(f"--dpi: found {request.dpi}; allowed: 50 to 2400")
    if problems:
        msg = "the figures cannot be drawn"
        raise OptionError(msg, problems)


def _width(text: str) -> float | None:
    """Width in mm; None where a figure decides, or where the text is no width."""
    if text in WIDTHS:
        return WIDTHS[text]
    try:
        width = float(text)
    except ValueError:
        return None
    return width if 60 <= width <= 400 else None


# --- what is there to draw from ------------------------------------------------------------------


def needed_stages(
    say: Say, report: Report | None = None, memory: RefitMemory | None = None
) -> dict[str, Make]:
    """Every stage that figures are drawn from, in order, and how each is run.

    Parameters
    ----------
    say : callable
    report : callable, optional
    memory : RefitMemory, optional
        Of refits that validation and selection share.
    """
    from bayes_cmvt import compare_run, nomogram_run, selection_run, supplement_run
    from bayes_cmvt.repetitions import SelectionSettings

    def compare(folder: Path, settings: StageSettings) -> StageResult:
        request = compare_run.CompareRequest(folder, settings.interval, settings.cores)
        return compare_run.compare_run(request, say=say, report=report)

    def select(folder: Path, settings: StageSettings) -> StageResult:
        asked = SelectionSettings(interval=settings.interval, seed=settings.seed)
        if settings.quick:
            asked = replace(asked, repeats=1, subsamples=20, splits=0, seeds=1, dealings=10)
        request = selection_run.SelectRequest(folder, asked, cores=settings.cores)
        return selection_run.select_run(request, say=say, report=report, memory=memory)

    def supplement(folder: Path, settings: StageSettings) -> StageResult:
        return supplement_run.supplement_run(folder, say=say, interval=settings.interval)

    def nomogram(folder: Path, settings: StageSettings) -> StageResult:
        request = nomogram_run.NomogramRequest(folder, interval=settings.interval)
        return nomogram_run.nomogram_run(request, say=say)

    return {
        **compare_run.needed_stages(say, report, memory),
        "compare": compare,
        "select": select,
        "supplement": supplement,
        "nomogram-horseshoe": nomogram,
    }


def _make_needed(
    request: FiguresRequest,
    wanted: Sequence[Supplementary],
    settings: StageSettings,
    say: Say,
    report: Report | None,
) -> dict[str, str]:
    stages = {stage for one in wanted for stage in one.stages}
    if "compare" in stages:
        stages |= {"baseline", "validate"}
    makers = {name: make for name, make in needed_stages(say, report).items() if name in stages}
    return make_missing(request.run, makers, replace(settings, cores=request.cores), say=say)


def run_material(folder: Path, run: Mapping[str, Any]) -> Material:
    """Everything in a run folder that figures are drawn from.

    Parameters
    ----------
    folder : Path
    run : mapping
        Content of ``run.json``.

    Returns
    -------
    Material
    """
    from bayes_cmvt.figures.supplementary import FIGURES, Material
    from bayes_cmvt.runs import load_table
    from bayes_cmvt.study import load_study

    names = {name for one in FIGURES for name in (*one.needs, *one.also)}
    found = {name: load_table(folder, name, TEXTS.get(name, ())) for name in sorted(names)}
    tables = {name: table for name, table in found.items() if table is not None and len(table)}
    study = load_study(folder / "study.toml")
    return Material(
        tables=tables,
        thresholds=study.decision.thresholds,
        use=study.decision.use,
        penalties=run_penalties(folder),
        nomogram=_nomogram(run, study, tables),
    )


def run_penalties(folder: Path) -> dict[str, float]:
    """``lambda_min`` and ``lambda_1se`` of a run's LASSO; empty where it has none."""
    try:
        found: dict[str, float] = json.loads((folder / "tables" / "lasso.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _nomogram(
    run: Mapping[str, Any], study: Study, tables: Mapping[str, pd.DataFrame]
) -> Nomogram | None:
    """The nomogram of the posterior put together again from its tables."""
    from bayes_cmvt.nomogram_scales import Nomogram

    stage = run.get("stages", {}).get("nomogram-horseshoe")
    names = ("nomogram", "nomogram_risk", "nomogram_risk_ticks", "nomogram_accuracy")
    if stage is None or not set(names) <= set(tables):
        return None
    axes, risk, ticks, accuracy = (
        tables[name][tables[name]["model"] == "horseshoe"].reset_index(drop=True) for name in names
    )
    return Nomogram(
        model="horseshoe",
        title=stage["title"],
        outcome=stage["outcome"],
        horizon=study.outcome.horizon,
        language=study.heading.language,
        interval=float(risk["interval"].iloc[0]),
        interval_kind=stage["interval_kind"],
        axes=axes,
        risk=risk,
        risk_ticks=ticks,
        accuracy=accuracy,
        notice=stage["notice"],
    )


def _possible(
    wanted: Sequence[Supplementary],
    material: Material,
    impossible: Mapping[str, str],
    say: Say,
) -> tuple[list[Supplementary], dict[str, str]]:
    """Figures whose tables are there; of the others why not."""
    drawn, left_out = [], {}
    for one in wanted:
        absent = [name for name in one.needs if name not in material.tables]
        if not absent:
            drawn.append(one)
            continue
        why = [impossible[stage] for stage in one.stages if stage in impossible]
        left_out[one.name] = "; ".join(why) or f"no rows in tables/{absent[0]}.csv"
        say(f"figure {one.name} is left out: {left_out[one.name]}")
    if not drawn:
        msg = "none of the figures can be drawn"
        raise RunError(msg, [f"{name}: {why}" for name, why in left_out.items()])
    return drawn, left_out


def _inputs(
    request: FiguresRequest,
    run: Mapping[str, Any],
    material: Material,
    drawn: Sequence[Supplementary],
) -> dict[str, Any]:
    """What the files depend on: the tables, the options, the notices above them."""
    import hashlib

    used = sorted({name for one in drawn for name in (*one.needs, *one.also)})
    content = hashlib.sha256()
    for name in used:
        if name in material.tables:
            content.update(name.encode())
            content.update((request.run / "tables" / f"{name}.csv").read_bytes())
    return {
        "format": FORMAT,
        "tables": content.hexdigest(),
        "notices": notices(run),
        "figures": [one.name for one in drawn],
        "formats": list(request.formats),
        "width": request.width,
        "dpi": request.dpi,
        "thresholds": [*material.thresholds, material.use],
    }


def notices(run: Mapping[str, Any]) -> list[str]:
    """What has to stand above every figure: synthetic patients, draws not to be trusted."""
    told = [NOTICE] if is_synthetic(run.get("data", {}).get("file")) else []
    problems = doubts(run, POSTERIOR)
    if problems:
        told.append(f"The draws of this run are not to be trusted: {'; '.join(problems)}.")
    return told


# --- files ---------------------------------------------------------------------------------------


def _files(
    request: FiguresRequest,
    drawn: Sequence[Supplementary],
    material: Material,
    run: Mapping[str, Any],
) -> dict[str, bytes]:
    """Figures, their tables and the contact sheet by path within the folder."""
    from bayes_cmvt.figures.contact_sheet import contact_sheet
    from bayes_cmvt.figures.style import save_bytes
    from bayes_cmvt.figures.supplementary import draw_figure

    files, sheet, told = {}, {}, notices(run)
    for one in drawn:
        figure = draw_figure(one, material, notices=told, width_mm=_width(request.width))
        for kind in request.formats:
            files[f"figures/{one.name}.{kind}"] = save_bytes(
                figure,
                kind,  # type: ignore[arg-type]
                dpi=request.dpi,
            )
        files[f"figures/{one.name}.csv"] = _csv(one, material)
        if not (one.private or request.only):
            drawn_already = files.get(f"figures/{one.name}.png")
            sheet[one.name] = drawn_already or save_bytes(figure, "png", dpi=SHEET_DPI)
    # a sheet of some figures would take the place of that of all
    return files if request.only else files | {CONTACT_SHEET: contact_sheet(sheet)}


def _csv(one: Supplementary, material: Material) -> bytes:
    """The tables of a figure as one CSV; where there are several, the first column says which."""
    import pandas as pd

    from bayes_cmvt.spreadsheet_cells import harmless_cells

    names = [name for name in (*one.needs, *one.also) if name in material.tables]
    tables = [material.tables[name] for name in names]
    if len(tables) > 1:
        tables = [
            pd.concat([pd.Series(name, index=table.index, name="table"), table], axis=1)
            for name, table in zip(names, tables, strict=True)
        ]
    written = harmless_cells(pd.concat(tables, ignore_index=True))
    return written.to_csv(index=False).encode("utf-8")


def drawn_pngs(folder: Path) -> tuple[dict[str, bytes], int] | None:
    """PNG of every figure that may be shared, and their dots per inch, where they are up to date.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    tuple of dict and int, or None
        None where figures have to be drawn: none are there, or the tables have changed since.
    """
    from bayes_cmvt.figures.supplementary import figures_named
    from bayes_cmvt.runs import read_run

    run = read_run(folder)
    done = run.get("stages", {}).get(STAGE)
    if done is None or "png" not in done["formats"]:
        return None
    inputs = done["inputs"]
    drawn = [one for one in figures_named(()) if one.name in inputs["figures"]]
    asked = FiguresRequest(folder, tuple(done["formats"]), width=inputs["width"], dpi=inputs["dpi"])
    now = _inputs(asked, run, run_material(folder, run), drawn)
    everything = {one.name for one in figures_named(())} - set(done["left_out"])
    if unchanged(folder, run, STAGE, now, lambda _: None) is None or everything != set(
        inputs["figures"]
    ):
        return None
    names = [one.name for one in drawn if not one.private]
    return {name: (folder / f"figures/{name}.png").read_bytes() for name in names}, inputs["dpi"]
