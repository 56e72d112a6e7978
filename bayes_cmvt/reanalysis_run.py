"""``bayes-cmvt reanalyse``: every stage of a reanalysis in order, resuming where it was left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bayes_cmvt.errors import InputError, RunError
from bayes_cmvt.stages import Make, Say, StageResult, StageSettings

if TYPE_CHECKING:
    from bayes_cmvt.progress import Report
    from bayes_cmvt.sampling import SamplerSettings
    from bayes_cmvt.workflow import SampleRequest


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

    `validate` stands before `compare`, which needs its figures.

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
    folder, sampled = _folder(request)
    settings = StageSettings(
        request.interval, request.settings.seed, request.resamples, request.cores, request.quick
    )
    makers = _makers(request, say, report)
    done: list[DoneStage] = []
    results: dict[str, StageResult] = {}
    for number, name in enumerate(["sample", *makers], 1):
        if begin is not None:
            begin(number, 1 + len(makers), name)
        started = time.perf_counter()
        if name in makers:
            with _what_is_finished_stays(name, folder):
                results[name] = makers[name](folder, settings)
        elif not sampled:
            _sample(request, folder, say, report)
        reused = results[name].reused if name in results else sampled
        done.append(DoneStage(name, round(time.perf_counter() - started, 3), reused))
    return Reanalysis(folder, tuple(done), results, results["report"].problems)


@contextmanager
def _what_is_finished_stays(name: str, folder: Path) -> Iterator[None]:
    """Say of an error, or an interruption, that the stages before are kept."""
    stays = f"the stages before {name} are in {folder}"
    try:
        yield
    except InputError as error:
        error.aftermath = f"{stays[0].upper()}{stays[1:]}."
        raise
    except KeyboardInterrupt as stop:
        told = f"interrupted; {stays}; the same command goes on from there"
        raise KeyboardInterrupt(next(iter(stop.args), told)) from None


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


def _makers(request: ReanalyseRequest, say: Say, report: Report | None) -> dict[str, Make]:
    """Every stage but the first: how it is run, with what two of them share."""
    from bayes_cmvt import calculator_run, figures_run, report_run, sensitivity_run
    from bayes_cmvt.refits import RefitMemory

    def sensitivity(folder: Path, settings: StageSettings) -> StageResult:
        asked = sensitivity_run.SensitivityRequest(folder, cores=settings.cores)
        return sensitivity_run.sensitivity_run(asked, say=say, report=report)

    def figures(folder: Path, settings: StageSettings) -> StageResult:
        asked = figures_run.FiguresRequest(folder, request.formats, cores=settings.cores)
        return figures_run.figures_run(asked, say=say, report=report)

    def report_file(folder: Path, settings: StageSettings) -> StageResult:
        asked = report_run.ReportRequest(folder, docx=request.docx, cores=settings.cores)
        return report_run.report_run(asked, say=say, report=report)

    def calculator(folder: Path, settings: StageSettings) -> StageResult:
        asked = calculator_run.CalculatorRequest(folder, interval=settings.interval)
        return calculator_run.calculator_run(asked, say=say)

    made = figures_run.needed_stages(say, report, RefitMemory())
    nomogram = made.pop("nomogram-horseshoe")
    other_priors = {"sensitivity": sensitivity} if request.sensitivity else {}
    last: dict[str, Make] = {"figures": figures, "report": report_file, "calculator": calculator}
    return {**made, **other_priors, "nomogram": nomogram, **last}
