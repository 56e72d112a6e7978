"""``bayes-cmvt reanalyse``: every stage of a reanalysis in order, resuming where it was left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bayes_cmvt.errors import RunError
from bayes_cmvt.stages import Say, StageResult

if TYPE_CHECKING:
    from bayes_cmvt.evaluation import EvaluationSettings
    from bayes_cmvt.progress import Report
    from bayes_cmvt.refits import RefitMemory
    from bayes_cmvt.sampling import SamplerSettings
    from bayes_cmvt.workflow import SampleRequest

# beside the stages of the contract: compare needs the performance of validate, figures the
# supplement; a nomogram is a figure
STAGES = (
    *("sample", "baseline", "validate", "compare", "select", "supplement"),
    *("sensitivity", "nomogram", "figures", "report", "calculator"),
)


@dataclass(frozen=True)
class ReanalyseRequest:
    """What ``bayes-cmvt reanalyse`` was asked for; ``out`` None stands for ``runs/STUDY``.

    ``quick`` is for a first look: fewer resamples and repetitions, which the report states.
    """

    study: str
    settings: SamplerSettings
    data: Path | None = None
    out: Path | None = None
    missing: Literal["error", "drop"] | None = None
    interval: float = 0.95
    resamples: int | None = None
    quick: bool = False
    sensitivity: bool = False
    docx: bool = False
    formats: tuple[str, ...] = ("png", "pdf")
    cores: int | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class DoneStage:
    """A stage of a reanalysis: its name, how long it took, whether it was there already."""

    name: str
    seconds: float
    reused: bool


@dataclass(frozen=True, eq=False)
class Reanalysis:
    """What `reanalyse_study` did.

    Attributes
    ----------
    folder : Path
    stages : tuple of DoneStage
        In order.
    results : mapping of str to StageResult
        Of the stages that add to the folder.
    problems : tuple of str
        Why the draws are not to be trusted; empty where they are.
    """

    folder: Path
    stages: tuple[DoneStage, ...]
    results: Mapping[str, StageResult]
    problems: tuple[str, ...]


QUICK_RESAMPLES = 200  # fewer leave the limits of an interval to chance

type Begin = Callable[[int, int, str], None]
"""Is told the number of a stage, how many there are, and its name."""


def reanalyse_study(
    request: ReanalyseRequest,
    *,
    say: Say,
    begin: Begin | None = None,
    report: Report | None = None,
) -> Reanalysis:
    """Sample, run the baseline, validate, compare, select, draw, report and make the calculator.

    Parameters
    ----------
    request : ReanalyseRequest
    say : callable
        Takes one line of news for the user.
    begin : callable, optional
        Is told which stage begins.
    report : callable, optional
        Takes a `SamplingState` a few times a second.

    Returns
    -------
    Reanalysis
        Stages that were made from the same inputs before are kept, and said to be.

    Raises
    ------
    InputError
        Study, data, options or the folder cannot be used. What was finished before stays.
    """
    from bayes_cmvt.refits import RefitMemory

    folder, sampled = _folder(request)
    memory = RefitMemory()
    todo = [name for name in STAGES if name != "sensitivity" or request.sensitivity]
    done: list[DoneStage] = []
    results: dict[str, StageResult] = {}
    for number, name in enumerate(todo, 1):
        if begin is not None:
            begin(number, len(todo), name)
        started = time.perf_counter()
        if name == "sample":
            if not sampled:
                _sample(request, folder, say, report)
            reused = sampled
        else:
            results[name] = _run_stage(name, request, folder, _Told(say, report, memory))
            reused = results[name].reused
        done.append(DoneStage(name, round(time.perf_counter() - started, 3), reused))
    problems = results["report"].problems
    return Reanalysis(folder, tuple(done), results, problems)


# --- the first stage -----------------------------------------------------------------------------


def _folder(request: ReanalyseRequest) -> tuple[Path, bool]:
    """Run folder, and whether it holds the posterior that is asked for."""
    from bayes_cmvt.runs import RUN, read_run
    from bayes_cmvt.study import load_study

    folder = request.out or Path("runs") / load_study(request.study).name
    if request.overwrite or not (folder / RUN).is_file():
        return folder, False
    differences = _differences(request, folder, read_run(folder))
    if differences:
        msg = (
            f"{folder} holds another run; give --overwrite to replace it, or another folder with "
            "--out"
        )
        raise RunError(msg, differences)
    return folder, True


def _differences(request: ReanalyseRequest, folder: Path, run: Mapping[str, Any]) -> list[str]:
    """In what a run differs from the one that is asked for."""
    from bayes_cmvt.workflow import checked_cohort

    cohort, _ = checked_cohort(request.study, request.data, request.missing)
    asked = asdict(request.settings) | {"interval": request.interval}
    if asked["draws"] in (None, "auto"):
        asked["draws"] = run["settings"].get("draws")
    if run["settings"].get("engine") == "gibbs":
        asked.pop("target_accept", None)
    found = [
        f"{name}: {run['settings'][name]} in the run, {value} asked for"
        for name, value in asked.items()
        if name in run["settings"] and run["settings"][name] != value
    ]
    if run.get("data", {}).get("sha256") != cohort.sha256:
        found.append(f"the data: the run was made from {run.get('data', {}).get('file')}")
    if (folder / "study.toml").read_text(encoding="utf-8") != cohort.study.to_toml():
        found.append(f"the study: see {folder / 'study.toml'}")
    return found


def _sample(request: ReanalyseRequest, folder: Path, say: Say, report: Report | None) -> None:
    from bayes_cmvt.workflow import sample_study

    sample_study(_sample_request(request, folder), say=say, report=report)


def _sample_request(request: ReanalyseRequest, folder: Path) -> SampleRequest:
    from bayes_cmvt.workflow import SampleRequest

    return SampleRequest(
        study=request.study,
        settings=request.settings,
        data=request.data,
        out=folder,
        missing=request.missing,
        interval=request.interval,
        cores=request.cores,
        overwrite=request.overwrite,
    )


# --- the others ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Told:
    """Who hears of a stage, and what stages share."""

    say: Say
    report: Report | None
    memory: RefitMemory


def _run_stage(name: str, request: ReanalyseRequest, folder: Path, told: _Told) -> StageResult:
    """Run one stage as its own command would."""
    return _RUN[name](request, folder, told)


def _evaluation(request: ReanalyseRequest) -> EvaluationSettings:
    from bayes_cmvt.evaluation import EvaluationSettings

    usual = EvaluationSettings(interval=request.interval, seed=request.settings.seed)
    return replace(usual, repeats=1, splits=0, replicates=1000) if request.quick else usual


def _baseline(request: ReanalyseRequest, folder: Path, told: _Told) -> StageResult:
    from bayes_cmvt.baseline_run import BaselineRequest, baseline_run
    from bayes_cmvt.workers import Workers

    quick = QUICK_RESAMPLES if request.quick else None
    asked = BaselineRequest(
        folder,
        _evaluation(request),
        quick if request.resamples is None else request.resamples,
        workers=Workers("threads", request.cores),
    )
    return baseline_run(asked, say=told.say, report=told.report)


def _validate(request: ReanalyseRequest, folder: Path, told: _Told) -> StageResult:
    from bayes_cmvt.validation import ValidateRequest, validate_run

    asked = ValidateRequest(folder, _evaluation(request), cores=request.cores)
    return validate_run(asked, say=told.say, report=told.report, memory=told.memory)


def _compare(request: ReanalyseRequest, folder: Path, told: _Told) -> StageResult:
    from bayes_cmvt.compare_run import CompareRequest, compare_run

    return compare_run(CompareRequest(folder, cores=request.cores), say=told.say)


def _select(request: ReanalyseRequest, folder: Path, told: _Told) -> StageResult:
    from bayes_cmvt.repetitions import SelectionSettings
    from bayes_cmvt.selection_run import SelectRequest, select_run

    settings = SelectionSettings(interval=request.interval, seed=request.settings.seed)
    if request.quick:
        settings = replace(settings, repeats=1, subsamples=20, splits=0, seeds=1, dealings=10)
    asked = SelectRequest(folder, settings, cores=request.cores)
    return select_run(asked, say=told.say, report=told.report, memory=told.memory)


def _supplement(request: ReanalyseRequest, folder: Path, told: _Told) -> StageResult:
    from bayes_cmvt.supplement_run import supplement_run

    return supplement_run(folder, say=told.say, interval=request.interval)


def _sensitivity(request: ReanalyseRequest, folder: Path, told: _Told) -> StageResult:
    from bayes_cmvt.sensitivity_run import SensitivityRequest, sensitivity_run

    asked = SensitivityRequest(folder, cores=request.cores)
    return sensitivity_run(asked, say=told.say, report=told.report)


def _nomogram(request: ReanalyseRequest, folder: Path, told: _Told) -> StageResult:
    from bayes_cmvt.nomogram_run import NomogramRequest, nomogram_run

    return nomogram_run(NomogramRequest(folder, interval=request.interval), say=told.say)


def _figures(request: ReanalyseRequest, folder: Path, told: _Told) -> StageResult:
    from bayes_cmvt.figures_run import FiguresRequest, figures_run

    asked = FiguresRequest(folder, request.formats, cores=request.cores)
    return figures_run(asked, say=told.say, report=told.report)


def _report(request: ReanalyseRequest, folder: Path, told: _Told) -> StageResult:
    from bayes_cmvt.report_run import ReportRequest, report_run

    return report_run(ReportRequest(folder, docx=request.docx), say=told.say)


def _calculator(request: ReanalyseRequest, folder: Path, told: _Told) -> StageResult:
    from bayes_cmvt.calculator_run import CalculatorRequest, calculator_run

    return calculator_run(CalculatorRequest(folder, interval=request.interval), say=told.say)


_RUN: Mapping[str, Callable[[ReanalyseRequest, Path, _Told], StageResult]] = {
    "baseline": _baseline,
    "validate": _validate,
    "compare": _compare,
    "select": _select,
    "supplement": _supplement,
    "sensitivity": _sensitivity,
    "nomogram": _nomogram,
    "figures": _figures,
    "report": _report,
    "calculator": _calculator,
}
